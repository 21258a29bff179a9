// avgpool.c - mean of each window. One that reaches over the edge is divided by k^2 like the others: what lies outside the
// picture is 0 and counts (PyTorch's count_include_pad=True).
#include "ref.h"

static double window_sum(const struct clzi_call *c, const float *plane, int y, int x)
{
    const struct clzi_attr *a = &c->node->attr;
    double sum = 0;

    for (int sy = y * a->stride - a->pad; sy < y * a->stride - a->pad + a->k; sy++)
        for (int sx = x * a->stride - a->pad; sx < x * a->stride - a->pad + a->k; sx++)
            if (sy >= 0 && sy < c->xs[0].h && sx >= 0 && sx < c->xs[0].w) sum += plane[(int64_t)sy * c->xs[0].w + sx];
    return sum;
}

// Of dy over the windows that hold pixel (y, x).
static double windows_sum(const struct clzi_call *c, const float *dy, int y, int x)
{
    const struct clzi_attr *a = &c->node->attr;
    double sum = 0;

    for (int ky = 0; ky < a->k; ky++) {
        const int sy = y + a->pad - ky;
        if (sy < 0 || sy % a->stride || sy / a->stride >= c->ys.h) continue;
        for (int kx = 0; kx < a->k; kx++) {
            const int sx = x + a->pad - kx;
            if (sx < 0 || sx % a->stride || sx / a->stride >= c->ys.w) continue;
            sum += dy[(int64_t)(sy / a->stride) * c->ys.w + sx / a->stride];
        }
    }
    return sum;
}

static int forward(struct clzi_call *c)
{
    const int64_t in = (int64_t)c->xs[0].h * c->xs[0].w, out = (int64_t)c->ys.h * c->ys.w;
    const int k = c->node->attr.k;

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int p = 0; p < c->ys.n * c->ys.c; p++)
        for (int64_t i = 0; i < out; i++)
            ((float *)c->y)[p * out + i] = (float)(window_sum(c, (const float *)c->x[0] + p * in, (int)(i / c->ys.w),
                                                              (int)(i % c->ys.w)) / (k * k));
    return 0;
}

static int backward(struct clzi_call *c)
{
    const int64_t in = (int64_t)c->xs[0].h * c->xs[0].w, out = (int64_t)c->ys.h * c->ys.w;
    const int k = c->node->attr.k;

    if (!c->dx[0]) return 0;
#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int p = 0; p < c->ys.n * c->ys.c; p++)
        for (int64_t i = 0; i < in; i++)
            ((float *)c->dx[0])[p * in + i] = (float)(windows_sum(c, (const float *)c->dy + p * out, (int)(i / c->xs[0].w),
                                                                  (int)(i % c->xs[0].w)) / (k * k));
    return 0;
}

const struct clzi_op clzi_ref_avgpool = { .forward = forward, .backward = backward };
