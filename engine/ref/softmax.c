// softmax.c - y = softmax(scale x) over channels, at each pixel. dx = scale y (dy - sum over channels of y dy)
#include <math.h>

#include "ref.h"

static int plan(struct clzi_call *c)
{
    c->backward_reads_y = true;
    return 0;
}

static int forward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w;
    const double scale = c->node->attr.scale;

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int64_t i = 0; i < c->ys.n * area; i++) {
        const int64_t at = i / area * c->ys.c * area + i % area;
        const float *x = (const float *)c->x[0] + at;
        float *y = (float *)c->y + at;
        double most = -INFINITY, sum = 0;
        for (int k = 0; k < c->ys.c; k++) most = fmax(most, scale * x[k * area]);
        for (int k = 0; k < c->ys.c; k++) sum += exp(scale * x[k * area] - most);
        for (int k = 0; k < c->ys.c; k++) y[k * area] = (float)(exp(scale * x[k * area] - most) / sum);
    }
    return 0;
}

static int backward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w;
    const double scale = c->node->attr.scale;

    if (!c->dx[0]) return 0;
#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int64_t i = 0; i < c->ys.n * area; i++) {
        const int64_t at = i / area * c->ys.c * area + i % area;
        const float *y = (const float *)c->y + at, *dy = (const float *)c->dy + at;
        float *dx = (float *)c->dx[0] + at;
        double sum = 0;
        for (int k = 0; k < c->ys.c; k++) sum += (double)y[k * area] * dy[k * area];
        for (int k = 0; k < c->ys.c; k++) dx[k * area] = (float)(scale * y[k * area] * (dy[k * area] - sum));
    }
    return 0;
}

const struct clzi_op clzi_ref_softmax = { .plan = plan, .forward = forward, .backward = backward };
