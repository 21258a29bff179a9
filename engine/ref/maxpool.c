// maxpool.c - largest value of each window; what lies outside the picture is -inf, so never chosen (pad <= k / 2: every
// window holds a pixel). The gradient goes to the first maximum in scan order. NaN wins over numbers, as in PyTorch.
#include <math.h>
#include <string.h>

#include "ref.h"

// Index in the plane of the first maximum of the window of output pixel (y, x).
static int64_t argmax(const struct clzi_call *c, const float *plane, int y, int x)
{
    const struct clzi_attr *a = &c->node->attr;
    int64_t best = -1;

    for (int ky = 0; ky < a->k; ky++) {
        const int sy = y * a->stride - a->pad + ky;
        if (sy < 0 || sy >= c->xs[0].h) continue;
        for (int kx = 0; kx < a->k; kx++) {
            const int sx = x * a->stride - a->pad + kx;
            const int64_t i = (int64_t)sy * c->xs[0].w + sx;
            if (sx < 0 || sx >= c->xs[0].w) continue;
            if (best < 0 || plane[i] > plane[best] || (isnan(plane[i]) && !isnan(plane[best]))) best = i;
        }
    }
    return best;
}

static int plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    return 0;
}

static int forward(struct clzi_call *c)
{
    const int64_t in = (int64_t)c->xs[0].h * c->xs[0].w, out = (int64_t)c->ys.h * c->ys.w;

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int p = 0; p < c->ys.n * c->ys.c; p++) {
        const float *x = (const float *)c->x[0] + p * in;
        float *y = (float *)c->y + p * out;
        for (int64_t i = 0; i < out; i++) y[i] = x[argmax(c, x, (int)(i / c->ys.w), (int)(i % c->ys.w))];
    }
    return 0;
}

static int backward(struct clzi_call *c)
{
    const int64_t in = (int64_t)c->xs[0].h * c->xs[0].w, out = (int64_t)c->ys.h * c->ys.w;

    if (!c->dx[0]) return 0;
    memset(c->dx[0], 0, clzi_shape_count(c->xs[0]) * sizeof(float));
#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int p = 0; p < c->ys.n * c->ys.c; p++) {
        const float *x = (const float *)c->x[0] + p * in, *dy = (const float *)c->dy + p * out;
        float *dx = (float *)c->dx[0] + p * in;
        for (int64_t i = 0; i < out; i++) dx[argmax(c, x, (int)(i / c->ys.w), (int)(i % c->ys.w))] += dy[i];
    }
    return 0;
}

const struct clzi_op clzi_ref_maxpool = { .plan = plan, .forward = forward, .backward = backward };
