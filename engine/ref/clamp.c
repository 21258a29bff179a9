// clamp.c - y = x held within [-scale, scale]; the gradient passes where x lies strictly inside (PyTorch's hardtanh).
#include "ref.h"

static int plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    return 0;
}

static int forward(struct clzi_call *c)
{
    const float *x = c->x[0], limit = c->node->attr.scale;
    float *y = c->y;

    for (int64_t i = 0; i < clzi_shape_count(c->ys); i++) y[i] = x[i] < -limit ? -limit : x[i] > limit ? limit : x[i];
    return 0;
}

static int backward(struct clzi_call *c)
{
    const float *x = c->x[0], *dy = c->dy, limit = c->node->attr.scale;
    float *dx = c->dx[0];

    for (int64_t i = 0; dx && i < clzi_shape_count(c->ys); i++) dx[i] = x[i] > -limit && x[i] < limit ? dy[i] : 0;
    return 0;
}

const struct clzi_op clzi_ref_clamp = { .plan = plan, .forward = forward, .backward = backward };
