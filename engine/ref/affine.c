// affine.c - y = x0 x1 + x2, where x1 and x2 have one number for each picture and channel (affine: FiLM); y = gamma x, where
// gamma is one learnt number (gain).
#include "ref.h"

static int affine_plan(struct clzi_call *c)
{
    c->backward_reads_x = c->want_dx[0] || c->want_dx[1];
    return 0;
}

static int affine_forward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w;
    const float *x = c->x[0], *scale = c->x[1], *shift = c->x[2];
    float *y = c->y;

    for (int64_t i = 0; i < clzi_shape_count(c->ys); i++)
        y[i] = (float)((double)x[i] * scale[i / area] + shift[i / area]);
    return 0;
}

static int affine_backward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w;
    const float *scale = c->x[1];

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int p = 0; p < c->ys.n * c->ys.c; p++) {
        const float *dy = (const float *)c->dy + p * area, *x = (const float *)c->x[0] + p * area;
        double sum = 0, product = 0;
        for (int64_t i = 0; i < area; i++) {
            if (c->dx[0]) ((float *)c->dx[0])[p * area + i] = scale[p] * dy[i];
            if (c->dx[1]) product += (double)dy[i] * x[i];
            sum += dy[i];
        }
        if (c->dx[1]) ((float *)c->dx[1])[p] = (float)product;
        if (c->dx[2]) ((float *)c->dx[2])[p] = (float)sum;
    }
    return 0;
}

const struct clzi_op clzi_ref_affine = { .plan = affine_plan, .forward = affine_forward, .backward = affine_backward };

static int gain_plan(struct clzi_call *c)
{
    c->backward_reads_x = c->want_dw;
    return 0;
}

static int gain_forward(struct clzi_call *c)
{
    const float *x = c->x[0];
    float *y = c->y;

    for (int64_t i = 0; i < clzi_shape_count(c->ys); i++) y[i] = c->w[0][0] * x[i];
    return 0;
}

static int gain_backward(struct clzi_call *c)
{
    const float *x = c->x[0], *dy = c->dy;
    float *dx = c->dx[0];
    double sum = 0;

    for (int64_t i = 0; dx && i < clzi_shape_count(c->ys); i++) dx[i] = c->w[0][0] * dy[i];
    for (int64_t i = 0; c->dw[0] && i < clzi_shape_count(c->ys); i++) sum += (double)dy[i] * x[i];
    if (c->dw[0]) c->dw[0][0] = (float)(c->dw[0][0] + sum);
    return 0;
}

const struct clzi_op clzi_ref_gain = { .plan = gain_plan, .forward = gain_forward, .backward = gain_backward };
