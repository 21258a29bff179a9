// act.c - activations, alone or fused. All of them are monotonic, so the slope follows from y; x need not be kept.
#include <math.h>

#include "ref.h"

double clzi_ref_act_value(const struct clzi_attr *attr, double z)
{
    switch (attr->act) {
    case CLZI_ACT_RELU:    return z > 0 ? z : 0;
    case CLZI_ACT_LEAKY:   return z > 0 ? z : attr->slope * z;
    case CLZI_ACT_TANH:    return tanh(z);
    case CLZI_ACT_SIGMOID: return 1 / (1 + exp(-z));
    case CLZI_ACT_RELU6:   return z > 0 ? (z < 6 ? z : 6) : 0;
    default:               return z;
    }
}

double clzi_ref_act_slope(const struct clzi_attr *attr, double y)
{
    switch (attr->act) {
    case CLZI_ACT_RELU:    return y > 0;
    case CLZI_ACT_LEAKY:   return y > 0 ? 1 : attr->slope;
    case CLZI_ACT_TANH:    return 1 - y * y;
    case CLZI_ACT_SIGMOID: return y * (1 - y);
    case CLZI_ACT_RELU6:   return y > 0 && y < 6;
    default:               return 1;
    }
}

void clzi_ref_act_forward(const struct clzi_call *c)
{
    float *y = c->y;

    if (c->node->attr.act == CLZI_ACT_NONE) return;
#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int64_t i = 0; i < clzi_shape_count(c->ys); i++) y[i] = (float)clzi_ref_act_value(&c->node->attr, y[i]);
}

static void slope_times_dy(const struct clzi_call *c, float *dz)
{
    const float *y = c->y, *dy = c->dy;

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int64_t i = 0; i < clzi_shape_count(c->ys); i++)
        dz[i] = (float)(dy[i] * clzi_ref_act_slope(&c->node->attr, y[i]));
}

void clzi_ref_act_plan(struct clzi_call *c)
{
    if (c->node->attr.act == CLZI_ACT_NONE || !clzi_ref_wants_gradient(c)) return;
    c->backward_reads_y = true;
    c->scratch_size = clzi_shape_count(c->ys) * sizeof(float);
}

const float *clzi_ref_act_backward(const struct clzi_call *c)
{
    if (c->node->attr.act == CLZI_ACT_NONE) return c->dy;
    slope_times_dy(c, c->scratch);
    return c->scratch;
}

static int plan(struct clzi_call *c)
{
    c->backward_reads_y = c->node->attr.act != CLZI_ACT_NONE;
    return 0;
}

static int forward(struct clzi_call *c)
{
    const float *x = c->x[0];
    float *y = c->y;

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int64_t i = 0; i < clzi_shape_count(c->ys); i++) y[i] = (float)clzi_ref_act_value(&c->node->attr, x[i]);
    return 0;
}

static int backward(struct clzi_call *c)
{
    const float *dy = c->dy;
    float *dx = c->dx[0];

    if (!dx) return 0;
    if (c->node->attr.act != CLZI_ACT_NONE) slope_times_dy(c, dx);
    else for (int64_t i = 0; i < clzi_shape_count(c->ys); i++) dx[i] = dy[i];
    return 0;
}

const struct clzi_op clzi_ref_act = { .plan = plan, .forward = forward, .backward = backward };
