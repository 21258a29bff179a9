// globalpool.c - mean of each plane, to [N,C,1,1]
#include "ref.h"

static int forward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->xs[0].h * c->xs[0].w;
    float *y = c->y;

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int p = 0; p < c->ys.n * c->ys.c; p++) {
        const float *x = (const float *)c->x[0] + p * area;
        double sum = 0;
        for (int64_t i = 0; i < area; i++) sum += x[i];
        y[p] = (float)(sum / area);
    }
    return 0;
}

static int backward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->xs[0].h * c->xs[0].w;
    const float *dy = c->dy;
    float *dx = c->dx[0];

    for (int64_t i = 0; dx && i < clzi_shape_count(c->xs[0]); i++) dx[i] = (float)((double)dy[i / area] / area);
    return 0;
}

const struct clzi_op clzi_ref_globalpool = { .forward = forward, .backward = backward };
