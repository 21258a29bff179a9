// linear.c - fully connected, of vectors [N,C,1,1]: y[n][o] = act(sum over i of weight[o][i] x[n][i] + bias[o])
#include "ref.h"

static int plan(struct clzi_call *c)
{
    c->backward_reads_x = c->want_dw;
    clzi_ref_act_plan(c);
    return 0;
}

static int forward(struct clzi_call *c)
{
    const int in = c->xs[0].c, out = c->ys.c;
    float *y = c->y;

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int o = 0; o < out; o++)
        for (int n = 0; n < c->ys.n; n++) {
            const float *x = (const float *)c->x[0] + (int64_t)n * in, *w = c->w[0] + (int64_t)o * in;
            double sum = c->node->attr.bias ? c->w[1][o] : 0;
            for (int i = 0; i < in; i++) sum += (double)w[i] * x[i];
            y[(int64_t)n * out + o] = (float)sum;
        }
    clzi_ref_act_forward(c);
    return 0;
}

static int backward(struct clzi_call *c)
{
    const int in = c->xs[0].c, out = c->ys.c;
    const float *x = c->x[0], *dz = clzi_ref_act_backward(c);
    float *dx = c->dx[0];

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int i = 0; i < in; i++) {
        for (int n = 0; dx && n < c->ys.n; n++) {
            double sum = 0;
            for (int o = 0; o < out; o++) sum += (double)c->w[0][(int64_t)o * in + i] * dz[(int64_t)n * out + o];
            dx[(int64_t)n * in + i] = (float)sum;
        }
        for (int o = 0; c->dw[0] && o < out; o++) {
            double sum = c->dw[0][(int64_t)o * in + i];
            for (int n = 0; n < c->ys.n; n++) sum += (double)x[(int64_t)n * in + i] * dz[(int64_t)n * out + o];
            c->dw[0][(int64_t)o * in + i] = (float)sum;
        }
    }
    if (c->node->attr.bias && c->dw[1]) clzi_ref_bias_backward(c, dz, c->dw[1]);
    return 0;
}

const struct clzi_op clzi_ref_linear = { .plan = plan, .forward = forward, .backward = backward };
