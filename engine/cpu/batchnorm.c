// batchnorm.c - batch normalisation (Ioffe and Szegedy 2015) with a fused activation:
//     y = act(scale x + shift),  scale = gamma / sqrt(var + eps),  shift = beta - mean scale
// In training, mean and var are those of the batch; the running statistics are updated with `momentum`, where the variance is
// the unbiased one (divided by count - 1) as in PyTorch. The moments are computed in one pass as sums of (x - the first pixel's
// value) and of its square, which does not lose digits when |mean| is much larger than the deviation.
//
// Backward, with g = dy act'(y), N pixels, v = 1 / sqrt(var + eps), sums over pixels:
//     dbeta = sum g,  dgamma = v sum g (x - mean)
//     dx = gamma v (g - sum g / N - (x - mean) v^2 sum(g (x - mean)) / N) = a g + b x + k
// y is computed again from x, so that only x has to be kept. This is own code instead of oneDNN's because oneDNN's sums depend on
// the thread count and it can fuse no activation but relu.
// Parameters: w[0] gamma, w[1] beta, w[2] running mean, w[3] running var.
#include <errno.h>
#include <math.h>
#include <string.h>

#include "cpu.h"

// Vectors of one number per channel. Those that backward needs are in `saved`, the others in scratch.
struct vectors {
    float *mean, *inverse;                  // saved: mean, 1 / sqrt(var + eps)
    float *scale, *shift, *a, *b, *k;
    double *total0, *total1;
    float *partial0, *partial1;
};

static struct vectors vectors(struct clzi_call *c)
{
    const struct clzi_cpu_rows r = clzi_cpu_rows(c->ys);
    const int n = c->ys.c;
    struct vectors v = { .mean = c->saved, .inverse = (float *)c->saved + n };

    v.total0 = c->scratch;
    v.total1 = v.total0 + n;
    v.scale = (float *)(v.total1 + n);
    v.shift = v.scale + n;
    v.a = v.shift + n;
    v.b = v.a + n;
    v.k = v.b + n;
    v.partial0 = v.k + n;
    v.partial1 = v.partial0 + r.pieces * r.channels;
    return v;
}

static int plan(struct clzi_call *c)
{
    const struct clzi_cpu_rows r = clzi_cpu_rows(c->ys);
    c->backward_reads_x = true;
    c->saved_size = 2 * (size_t)c->ys.c * sizeof(float);
    c->scratch_size = (size_t)c->ys.c * (2 * sizeof(double) + 5 * sizeof(float)) +
                      2 * (size_t)r.pieces * r.channels * sizeof(float);
    return 0;
}

static int64_t piece_rows(struct clzi_cpu_rows r, int64_t piece)
{
    const int64_t left = r.rows - piece * CLZI_CPU_ROWS;
    return left < CLZI_CPU_ROWS ? left : CLZI_CPU_ROWS;
}

// Computes mean and 1 / sqrt(var + eps) of the batch, and updates the running statistics.
static void batch_statistics(struct clzi_call *c, struct vectors *v)
{
    const struct clzi_cpu_rows r = clzi_cpu_rows(c->ys);
    const int64_t count = (int64_t)c->ys.n * c->ys.h * c->ys.w;
    const float momentum = c->node->attr.momentum;
    float buffer[2 * CLZI_CPU_WIDE];
    const float *at;

    c->dev->nn->to_f32(v->a, c->x[0], c->ys.c);
    at = clzi_cpu_repeat(r, v->a, buffer);
#pragma omp parallel for schedule(static) if (r.pieces > 1)
    for (int64_t p = 0; p < r.pieces; p++)
        c->dev->nn->moments(v->partial0 + p * r.channels, v->partial1 + p * r.channels,
                            clzi_cpu_at(c->dev, c->x[0], p * CLZI_CPU_ROWS * r.channels), piece_rows(r, p), r.channels, at);
    clzi_cpu_total(r, v->total0, v->partial0);
    clzi_cpu_total(r, v->total1, v->partial1);
    for (int i = 0; i < c->ys.c; i++) {
        const double offset = v->total0[i] / count, square = v->total1[i] / count - offset * offset;
        const double mean = v->a[i] + offset, var = square > 0 ? square : 0;    // rounding may make it negative
        v->mean[i] = (float)mean;
        v->inverse[i] = (float)(1 / sqrt(var + c->node->attr.eps));
        c->w[2][i] += momentum * (float)(mean - c->w[2][i]);
        c->w[3][i] += momentum * (float)(var * count / (count > 1 ? count - 1 : 1) - c->w[3][i]);
    }
}

// y = act(scale x + shift)
static void scale_and_shift(struct clzi_call *c, struct vectors *v)
{
    for (int i = 0; i < c->ys.c; i++) {
        v->scale[i] = c->w[0][i] * v->inverse[i];
        v->shift[i] = c->w[1][i] - v->mean[i] * v->scale[i];
    }
}

static int forward(struct clzi_call *c)
{
    struct vectors v = vectors(c);

    clzi_cpu_enter(c->dev);
    if (c->training) {
        batch_statistics(c, &v);
    } else {
        for (int i = 0; i < c->ys.c; i++) {
            v.mean[i] = c->w[2][i];
            v.inverse[i] = 1 / sqrtf(c->w[3][i] + c->node->attr.eps);
        }
    }
    scale_and_shift(c, &v);
    clzi_cpu_affine(c->dev, c->y, c->x[0], c->ys, v.scale, v.shift, clzi_cpu_activation(c->node));
    return 0;
}

// Computes a, b, k of dx, and adds dgamma and dbeta. Without training the statistics are constants: then dx = a g.
static void gradient_factors(struct clzi_call *c, struct vectors *v)
{
    const double count = (double)c->ys.n * c->ys.h * c->ys.w;
    for (int i = 0; i < c->ys.c; i++) {
        const double inverse = v->inverse[i], dot = v->total1[i] * inverse * inverse / count;
        if (c->dw[0]) c->dw[0][i] += (float)(v->total1[i] * inverse);
        if (c->dw[1]) c->dw[1][i] += (float)v->total0[i];
        v->a[i] = v->scale[i];
        v->b[i] = c->training ? (float)(-v->scale[i] * dot) : 0;
        v->k[i] = c->training ? (float)(-v->scale[i] * (v->total0[i] / count - v->mean[i] * dot)) : 0;
    }
}

static int backward(struct clzi_call *c)
{
    const struct clzi_cpu_rows r = clzi_cpu_rows(c->ys);
    const struct clzk_activation act = clzi_cpu_activation(c->node);
    const struct clzk_nn *nn = c->dev->nn;
    struct vectors v = vectors(c);
    float buffer[6][2 * CLZI_CPU_WIDE];
    const float *scale, *shift, *mean, *a, *b, *k;

    clzi_cpu_enter(c->dev);
    scale_and_shift(c, &v);
    scale = clzi_cpu_repeat(r, v.scale, buffer[0]);
    shift = clzi_cpu_repeat(r, v.shift, buffer[1]);
    mean = clzi_cpu_repeat(r, v.mean, buffer[2]);
#pragma omp parallel for schedule(static) if (r.pieces > 1)
    for (int64_t p = 0; p < r.pieces; p++) {
        const int64_t at = p * CLZI_CPU_ROWS * r.channels;
        nn->norm_back_sums(v.partial0 + p * r.channels, v.partial1 + p * r.channels, clzi_cpu_at(c->dev, c->x[0], at),
                           clzi_cpu_at(c->dev, c->dy, at), piece_rows(r, p), r.channels, scale, shift, mean, act);
    }
    clzi_cpu_total(r, v.total0, v.partial0);
    clzi_cpu_total(r, v.total1, v.partial1);
    gradient_factors(c, &v);
    if (!c->dx[0]) return 0;
    a = clzi_cpu_repeat(r, v.a, buffer[3]);
    b = clzi_cpu_repeat(r, v.b, buffer[4]);
    k = clzi_cpu_repeat(r, v.k, buffer[5]);
#pragma omp parallel for schedule(static) if (r.pieces > 1)
    for (int64_t p = 0; p < r.pieces; p++) {
        const int64_t at = p * CLZI_CPU_ROWS * r.channels;
        nn->norm_back(clzi_cpu_to(c->dev, c->dx[0], at), clzi_cpu_at(c->dev, c->x[0], at), clzi_cpu_at(c->dev, c->dy, at),
                      piece_rows(r, p), r.channels, scale, shift, a, b, k, act);
    }
    return 0;
}

const struct clzi_op clzi_cpu_batchnorm = { .plan = plan, .forward = forward, .backward = backward };
