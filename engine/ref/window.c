// window.c - the arithmetic that conv and convt share: a sliding window, its transpose, and the weights' gradient.
#include "ref.h"

static int big_per_group(const struct clzi_ref_window *g) { return g->big.c / g->groups; }
static int small_per_group(const struct clzi_ref_window *g) { return g->small.c / g->groups; }

// One pixel of small; w: of its channel; first: of the channels of big that it meets.
static double gather(const struct clzi_ref_window *g, const float *big, int first, const float *w, int n, int y, int x)
{
    double sum = 0;

    for (int c = 0; c < big_per_group(g); c++) {
        const float *b = clzi_ref_plane(big, g->big, n, first + c);
        for (int ky = 0; ky < g->k; ky++) {
            const int by = y * g->stride - g->pad + ky;
            if (by < 0 || by >= g->big.h) continue;
            for (int kx = 0; kx < g->k; kx++) {
                const int bx = x * g->stride - g->pad + kx;
                if (bx < 0 || bx >= g->big.w) continue;
                sum += (double)w[(c * g->k + ky) * g->k + kx] * b[(int64_t)by * g->big.w + bx];
            }
        }
    }
    return sum;
}

void clzi_ref_window_shrink(const struct clzi_ref_window *g, const float *big, const float *w, float *small)
{
    const struct clzi_shape s = g->small;

#pragma omp parallel for num_threads(g->threads) collapse(2)
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++) {
            const float *wc = w + (int64_t)c * big_per_group(g) * g->k * g->k;
            const int first = c / small_per_group(g) * big_per_group(g);
            float *out = small + (clzi_ref_plane(small, s, n, c) - small);
            for (int y = 0; y < s.h; y++)
                for (int x = 0; x < s.w; x++) *out++ = (float)gather(g, big, first, wc, n, y, x);
        }
}

// One pixel of big: window offset (ky, kx) joins it to pixel ((y + pad - ky) / stride, ...) of small, if that is whole.
// w: of its channel and the first channel of small that it meets, `first`.
static double gather_back(const struct clzi_ref_window *g, const float *small, int first, const float *w, int n, int y, int x)
{
    const int64_t step = (int64_t)big_per_group(g) * g->k * g->k;   // from one channel of small to the next, in w
    double sum = 0;

    for (int ky = 0; ky < g->k; ky++) {
        const int sy = y + g->pad - ky;
        if (sy < 0 || sy % g->stride || sy / g->stride >= g->small.h) continue;
        for (int kx = 0; kx < g->k; kx++) {
            const int sx = x + g->pad - kx;
            const float *wk = w + ky * g->k + kx;
            const int64_t at = (int64_t)(sy / g->stride) * g->small.w + sx / g->stride;
            if (sx < 0 || sx % g->stride || sx / g->stride >= g->small.w) continue;
            for (int c = 0; c < small_per_group(g); c++)
                sum += (double)wk[c * step] * clzi_ref_plane(small, g->small, n, first + c)[at];
        }
    }
    return sum;
}

void clzi_ref_window_grow(const struct clzi_ref_window *g, const float *small, const float *w, float *big)
{
    const struct clzi_shape b = g->big;

#pragma omp parallel for num_threads(g->threads) collapse(2)
    for (int n = 0; n < b.n; n++)
        for (int c = 0; c < b.c; c++) {
            const int first = c / big_per_group(g) * small_per_group(g);
            const float *wc = w + ((int64_t)first * big_per_group(g) + c % big_per_group(g)) * g->k * g->k;
            float *out = big + (clzi_ref_plane(big, b, n, c) - big);
            for (int y = 0; y < b.h; y++)
                for (int x = 0; x < b.w; x++) *out++ = (float)gather_back(g, small, first, wc, n, y, x);
        }
}

// The gradient of one weight: of channel s of small, b of big, at (ky, kx) of the window.
static double weight_gradient(const struct clzi_ref_window *g, const float *big, const float *small, const int at[4])
{
    double sum = 0;

    for (int n = 0; n < g->small.n; n++) {
        const float *sp = clzi_ref_plane(small, g->small, n, at[0]), *bp = clzi_ref_plane(big, g->big, n, at[1]);
        for (int y = 0; y < g->small.h; y++) {
            const int by = y * g->stride - g->pad + at[2];
            if (by < 0 || by >= g->big.h) continue;
            for (int x = 0; x < g->small.w; x++) {
                const int bx = x * g->stride - g->pad + at[3];
                if (bx < 0 || bx >= g->big.w) continue;
                sum += (double)sp[(int64_t)y * g->small.w + x] * bp[(int64_t)by * g->big.w + bx];
            }
        }
    }
    return sum;
}

void clzi_ref_window_weights(const struct clzi_ref_window *g, const float *big, const float *small, float *dw)
{
#pragma omp parallel for num_threads(g->threads) collapse(2)
    for (int s = 0; s < g->small.c; s++)
        for (int b = 0; b < big_per_group(g); b++)
            for (int ky = 0; ky < g->k; ky++)
                for (int kx = 0; kx < g->k; kx++) {
                    float *to = dw + (((int64_t)s * big_per_group(g) + b) * g->k + ky) * g->k + kx;
                    const int first = s / small_per_group(g) * big_per_group(g);
                    *to = (float)(*to + weight_gradient(g, big, small, (int[4]){ s, first + b, ky, kx }));
                }
}

void clzi_ref_bias_forward(const struct clzi_call *c, const float *bias)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w;
    float *y = c->y;

    for (int64_t i = 0; i < clzi_shape_count(c->ys); i++) y[i] += bias[i / area % c->ys.c];
}

void clzi_ref_bias_backward(const struct clzi_call *c, const float *dz, float *db)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w;

    for (int k = 0; k < c->ys.c; k++) {
        double sum = 0;
        for (int n = 0; n < c->ys.n; n++) {
            const float *p = clzi_ref_plane(dz, c->ys, n, k);
            for (int64_t i = 0; i < area; i++) sum += p[i];
        }
        db[k] = (float)(db[k] + sum);
    }
}
