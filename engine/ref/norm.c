// norm.c - batch normalisation (Ioffe and Szegedy 2015) with a fused activation:
//     xhat = (x - mean) / sqrt(var + eps);  y = act(gamma xhat + beta), per channel.
// In training mean and var are the batch's (var divided by the count) and the running statistics move towards them by
// `momentum` (var then divided by the count - 1, as PyTorch does). Otherwise the running statistics are used, as
// constants.
// Parameters: w[0] gamma, w[1] beta, w[2] running mean, w[3] running var.
#include <math.h>

#include "ref.h"

struct statistics { double mean, var; };

static int64_t samples(const struct clzi_call *c) { return (int64_t)c->ys.n * c->ys.h * c->ys.w; }

// Of channel k. Two passes: the difference of large squares would lose digits.
static struct statistics statistics(const struct clzi_call *c, int k)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w;
    struct statistics s = { 0, 0 };

    if (!c->training) return (struct statistics){ c->w[2][k], c->w[3][k] };
    for (int n = 0; n < c->ys.n; n++)
        for (int64_t i = 0; i < area; i++) s.mean += clzi_ref_plane(c->x[0], c->ys, n, k)[i];
    s.mean /= samples(c);
    for (int n = 0; n < c->ys.n; n++)
        for (int64_t i = 0; i < area; i++) s.var += pow(clzi_ref_plane(c->x[0], c->ys, n, k)[i] - s.mean, 2);
    s.var /= samples(c);
    return s;
}

static int plan(struct clzi_call *c)
{
    clzi_ref_act_plan(c);
    c->backward_reads_x = c->want_dw || c->training;
    return 0;
}

static int forward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w, count = samples(c);
    const struct clzi_attr *a = &c->node->attr;

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int k = 0; k < c->ys.c; k++) {
        const struct statistics s = statistics(c, k);
        const double scale = c->w[0][k] / sqrt(s.var + a->eps);
        for (int n = 0; n < c->ys.n; n++) {
            const float *x = clzi_ref_plane(c->x[0], c->ys, n, k);
            float *y = (float *)c->y + (x - (const float *)c->x[0]);
            for (int64_t i = 0; i < area; i++)
                y[i] = (float)clzi_ref_act_value(a, (x[i] - s.mean) * scale + c->w[1][k]);
        }
        if (!c->training) continue;
        c->w[2][k] = (float)(c->w[2][k] + a->momentum * (s.mean - c->w[2][k]));
        c->w[3][k] = (float)(c->w[3][k] + a->momentum * (s.var * count / (count > 1 ? count - 1 : 1) - c->w[3][k]));
    }
    return 0;
}

// With g = dz and means over the batch: dx = gamma / sqrt(var + eps) (g - mean(g) - xhat mean(g xhat)), where the means
// are there only because the statistics depend on x.
static int backward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w, count = samples(c);
    const float *dz = clzi_ref_act_backward(c);

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int k = 0; k < c->ys.c; k++) {
        const struct statistics s = statistics(c, k);
        const double inverse = 1 / sqrt(s.var + c->node->attr.eps);
        double sum = 0, sum_xhat = 0;
        for (int n = 0; n < c->ys.n; n++) {
            const float *x = clzi_ref_plane(c->x[0], c->ys, n, k), *g = clzi_ref_plane(dz, c->ys, n, k);
            for (int64_t i = 0; i < area; i++) {
                sum += g[i];
                if (c->backward_reads_x) sum_xhat += g[i] * (x[i] - s.mean) * inverse;
            }
        }
        if (c->dw[0]) c->dw[0][k] = (float)(c->dw[0][k] + sum_xhat);
        if (c->dw[1]) c->dw[1][k] = (float)(c->dw[1][k] + sum);
        for (int n = 0; c->dx[0] && n < c->ys.n; n++) {
            const float *x = clzi_ref_plane(c->x[0], c->ys, n, k), *g = clzi_ref_plane(dz, c->ys, n, k);
            float *dx = (float *)c->dx[0] + (g - dz);
            for (int64_t i = 0; i < area; i++) {
                const double through = c->training ? (sum + (x[i] - s.mean) * inverse * sum_xhat) / count : 0;
                dx[i] = (float)(c->w[0][k] * inverse * (g[i] - through));
            }
        }
    }
    return 0;
}

const struct clzi_op clzi_ref_batchnorm = { .plan = plan, .forward = forward, .backward = backward };
