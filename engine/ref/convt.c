// convt.c - transposed convolution: convolution's gradient as a forward op. y = act(convt(x, weight) + bias)
#include "ref.h"

static struct clzi_ref_window window(const struct clzi_call *c)
{
    const struct clzi_attr *a = &c->node->attr;
    return (struct clzi_ref_window){ c->ys, c->xs[0], a->k, a->stride, a->pad, 1, clzi_ref_threads(c) };
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

    clzi_ref_window_grow(&g, c->x[0], c->w[0], c->y);
    if (c->node->attr.bias) clzi_ref_bias_forward(c, c->w[1]);
    clzi_ref_act_forward(c);
    return 0;
}

static int backward(struct clzi_call *c)
{
    const struct clzi_ref_window g = window(c);
    const float *dz = clzi_ref_act_backward(c);

    if (c->dx[0]) clzi_ref_window_shrink(&g, dz, c->w[0], c->dx[0]);
    if (c->dw[0]) clzi_ref_window_weights(&g, dz, c->x[0], c->dw[0]);
    if (c->node->attr.bias && c->dw[1]) clzi_ref_bias_backward(c, dz, c->dw[1]);
    return 0;
}

const struct clzi_op clzi_ref_convt = { .plan = plan, .forward = forward, .backward = backward };
