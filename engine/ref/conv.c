// conv.c - convolution (cross-correlation, as in PyTorch) with bias, fused residual and activation:
// y = act(conv(x0, weight) + bias + x1)
#include <string.h>

#include "ref.h"

static struct clzi_ref_window window(const struct clzi_call *c)
{
    const struct clzi_attr *a = &c->node->attr;
    return (struct clzi_ref_window){ c->xs[0], c->ys, a->k, a->stride, a->pad, a->groups, clzi_ref_threads(c) };
}

static int plan(struct clzi_call *c)
{
    c->backward_reads_x = c->want_dw;
    clzi_ref_act_plan(c);
    return 0;
}

static int forward(struct clzi_call *c)
{
    const struct clzi_ref_window g = window(c);
    const float *residual = c->node->in_count == 2 ? c->x[1] : NULL;
    float *y = c->y;

    clzi_ref_window_shrink(&g, c->x[0], c->w[0], y);
    if (c->node->attr.bias) clzi_ref_bias_forward(c, c->w[1]);
    for (int64_t i = 0; residual && i < clzi_shape_count(c->ys); i++) y[i] += residual[i];
    clzi_ref_act_forward(c);
    return 0;
}

static int backward(struct clzi_call *c)
{
    const struct clzi_ref_window g = window(c);
    const float *dz = clzi_ref_act_backward(c);

    if (c->dx[0]) clzi_ref_window_grow(&g, dz, c->w[0], c->dx[0]);
    if (c->node->in_count == 2 && c->dx[1]) memcpy(c->dx[1], dz, clzi_shape_count(c->ys) * sizeof *dz);
    if (c->dw[0]) clzi_ref_window_weights(&g, c->x[0], dz, c->dw[0]);
    if (c->node->attr.bias && c->dw[1]) clzi_ref_bias_backward(c, dz, c->dw[1]);
    return 0;
}

const struct clzi_op clzi_ref_conv = { .plan = plan, .forward = forward, .backward = backward };
