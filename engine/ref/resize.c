// resize.c - bilinear enlargement with half-pixel centres and repeated edges: PyTorch's interpolate(mode="bilinear",
// align_corners=False). Output pixel i lies at (i + 0.5) / factor - 0.5 of the input. The gradient is the transpose.
#include <math.h>
#include <string.h>

#include "ref.h"

struct tap { int i[2]; double weight[2]; };     // an output pixel is weight[0] x[i[0]] + weight[1] x[i[1]]

static struct tap tap(int out, int factor, int size)
{
    const double at = fmax(0, (out + 0.5) / factor - 0.5);
    const int i = (int)at;
    return (struct tap){ { i, i + 1 < size ? i + 1 : i }, { 1 - (at - i), at - i } };
}

static int forward(struct clzi_call *c)
{
    const struct clzi_shape in = c->xs[0], out = c->ys;
    const int f = c->node->attr.factor;

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int p = 0; p < out.n * out.c; p++) {
        const float *x = (const float *)c->x[0] + (int64_t)p * in.h * in.w;
        float *y = (float *)c->y + (int64_t)p * out.h * out.w;
        for (int row = 0; row < out.h; row++)
            for (int column = 0; column < out.w; column++) {
                const struct tap v = tap(row, f, in.h), h = tap(column, f, in.w);
                double sum = 0;
                for (int a = 0; a < 2; a++)
                    for (int b = 0; b < 2; b++)
                        sum += v.weight[a] * h.weight[b] * x[(int64_t)v.i[a] * in.w + h.i[b]];
                *y++ = (float)sum;
            }
    }
    return 0;
}

static int backward(struct clzi_call *c)
{
    const struct clzi_shape in = c->xs[0], out = c->ys;
    const int f = c->node->attr.factor;

    if (!c->dx[0]) return 0;
    memset(c->dx[0], 0, clzi_shape_count(in) * sizeof(float));
#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int p = 0; p < out.n * out.c; p++) {
        const float *dy = (const float *)c->dy + (int64_t)p * out.h * out.w;
        float *dx = (float *)c->dx[0] + (int64_t)p * in.h * in.w;
        for (int row = 0; row < out.h; row++)
            for (int column = 0; column < out.w; column++, dy++) {
                const struct tap v = tap(row, f, in.h), h = tap(column, f, in.w);
                for (int a = 0; a < 2; a++)
                    for (int b = 0; b < 2; b++)
                        dx[(int64_t)v.i[a] * in.w + h.i[b]] += (float)(v.weight[a] * h.weight[b] * *dy);
            }
    }
    return 0;
}

const struct clzi_op clzi_ref_resize = { .forward = forward, .backward = backward };
