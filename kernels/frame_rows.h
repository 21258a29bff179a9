// frame_rows.h - the row kernels: loops over one row of pixels, in plain C that the compiler vectorises. frame_plain.c,
// frame_avx2.c and frame_avx512.c define ROWS(name) and include this file to compile it for one instruction set each. The pragma
// sets the optimisation level because vectorisation depends on it. Partial redundancy elimination is disabled: it turns clamps
// into branches, which prevents vectorisation (chroma then takes 14 ns a sample instead of 2).
#if defined(ROWS) && defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3,no-math-errno,no-trapping-math,no-tree-pre")
#endif
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "frame_math.h"

#ifndef CLZK_FRAME_ROWS_H
#define CLZK_FRAME_ROWS_H

struct clzk_rows {
    const char *name;
    void (*blend8)(float *out, float start, const void *const *rows, const float *weights, int count, int n, int shift);
    void (*blend16)(float *out, float start, const void *const *rows, const float *weights, int count, int n, int shift);
    void (*blend_step8)(float *out, float start, const void *const *rows, const float *weights, int count, int n, int step);
    void (*blend_step16)(float *out, float start, const void *const *rows, const float *weights, int count, int n, int step,
                         int shift, bool swapped);
    void (*taps)(float *out, const float *row, const int *first, const float *weight, int taps, int n);
    void (*to_l)(float *l, const float *y, const float *table, int n, float scale, float offset);
    void (*roughness)(float *sum, const float *y, const float *other, int n);
    void (*confidence)(float *roughness, float floor, int n);
    void (*weigh_neighbours)(float *sums, const float *y, const float *planes, size_t plane, const float *spatial,
                             float inv_range, int n);
    void (*divide_by_weight)(float *a, float *b, const float *sums, int n);
    void (*box)(float *out, const float *row, int n);
    void (*products)(float *p, const float *y, const float *a, const float *b, int n);
    void (*fit)(float *coef, const float *sums, const float *inv_x, float inv_y, float eps, int n);
    void (*add)(float *sum, const float *above, const float *row, const float *below, int n);
    void (*scale)(float *out, const float *row, float gain, int n);
    int (*beyond)(const float *v, float limit, int n);
    void (*interleave)(float *out, const float *planes, const float *inv_x, float inv_y, int n);
    void (*enlarge)(float *out, const float *row, const int *first, const float *frac, int n);
    void (*evaluate)(float *a, float *b, const float *top, const float *bottom, float frac, const float *y, int n);
    void (*chroma)(float *u, float *v, const float *a, const float *b, const float *y, const uint32_t *table,
                   const struct clzk_rgb_of_yuv *g, int n);
    void (*shift)(float *out, const float *a, const float *b, const float *y, const float *table, int n);
    void (*half)(float *out, const float *row, float left, float middle, float right, int n);
    void (*store8)(void *out, const float *v, const struct clzk_store *s, int n, int step);
    void (*store16)(void *out, const float *v, const struct clzk_store *s, int n, int step);
    void (*rgb8)(void *red, void *green, void *blue, const float *y, const float *u, const float *v,
                 const struct clzk_store_rgb *s, int n);
    void (*rgb16)(void *red, void *green, void *blue, const float *y, const float *u, const float *v,
                  const struct clzk_store_rgb *s, int n);
};

extern const struct clzk_rows clzk_rows_plain, clzk_rows_avx2, clzk_rows_avx512;
#endif

#ifdef ROWS

// out = start + sum_k weights[k] rows[k], in blocks of 512 samples, which stay in the level 1 cache
#define CLZK_BLEND(type, code)                                                                                              \
    for (int at = 0; at < n; at += 512) {                                                                                   \
        const int end = at + 512 < n ? at + 512 : n;                                                                        \
        float *restrict to = out;                                                                                           \
        int k = 0;                                                                                                          \
        for (int i = at; i < end; i++) to[i] = start;                                                                       \
        for (; k + 3 <= count; k += 3) {                                                                                    \
            const type *restrict a = rows[k], *restrict b = rows[k + 1], *restrict c = rows[k + 2];                         \
            const float wa = weights[k], wb = weights[k + 1], wc = weights[k + 2];                                          \
            for (int i = at; i < end; i++) {                                                                                \
                float x = to[i];                                                                                            \
                x += wa * (float)(a[i] code);                                                                               \
                x += wb * (float)(b[i] code);                                                                               \
                x += wc * (float)(c[i] code);                                                                               \
                to[i] = x;                                                                                                  \
            }                                                                                                               \
        }                                                                                                                   \
        for (; k < count; k++) {                                                                                            \
            const type *restrict a = rows[k];                                                                               \
            const float wa = weights[k];                                                                                    \
            for (int i = at; i < end; i++) to[i] += wa * (float)(a[i] code);                                                \
        }                                                                                                                   \
    }

static void ROWS(blend8)(float *out, float start, const void *const *rows, const float *weights, int count, int n, int shift)
{
    (void)shift;
    CLZK_BLEND(uint8_t, )
}

static void ROWS(blend16)(float *out, float start, const void *const *rows, const float *weights, int count, int n, int shift)
{
    CLZK_BLEND(uint16_t, >> shift)
}

// The same for samples that are `step` apart or have the other byte order. Each step has its own loop, in which it is a constant.
#define CLZK_BLEND_STEP(type, code, step_)                                                                                  \
    case step_:                                                                                                             \
        for (int k = 0; k < count; k++) {                                                                                   \
            const type *restrict from = rows[k];                                                                            \
            const float w = weights[k];                                                                                     \
            for (int i = 0; i < n; i++) out[i] += w * (float)(code(from[i * step_]));                                       \
        }                                                                                                                   \
        break;
#define CLZK_BLEND_STEPS(type, code)                                                                                        \
    switch (step) {                                                                                                         \
    CLZK_BLEND_STEP(type, code, 1)                                                                                          \
    CLZK_BLEND_STEP(type, code, 2)                                                                                          \
    CLZK_BLEND_STEP(type, code, 3)                                                                                          \
    CLZK_BLEND_STEP(type, code, 4)                                                                                          \
    }

static void ROWS(blend_step8)(float *restrict out, float start, const void *const *rows, const float *weights, int count, int n,
                              int step)
{
    for (int i = 0; i < n; i++) out[i] = start;
    CLZK_BLEND_STEPS(uint8_t, )
}

static void ROWS(blend_step16)(float *restrict out, float start, const void *const *rows, const float *weights, int count, int n,
                               int step, int shift, bool swapped)
{
#define CLZK_OTHER(v) clzk_swap16(v) >> shift
#define CLZK_OWN(v) (v) >> shift
    for (int i = 0; i < n; i++) out[i] = start;
    if (swapped) CLZK_BLEND_STEPS(uint16_t, CLZK_OTHER)
    else CLZK_BLEND_STEPS(uint16_t, CLZK_OWN)
#undef CLZK_OTHER
#undef CLZK_OWN
}

// out[i] = sum_k weight[k,i] row[first[i] + k]. weight is stored as [taps][n], so that the loop over i reads contiguous memory.
static void ROWS(taps)(float *restrict out, const float *restrict row, const int *restrict first, const float *restrict weight,
                       int taps, int n)
{
    for (int i = 0; i < n; i++) out[i] = 0;
    for (int k = 0; k < taps; k++)
        for (int i = 0; i < n; i++) out[i] += weight[(size_t)k * n + i] * row[first[i] + k];
}

static void ROWS(to_l)(float *restrict l, const float *restrict y, const float *restrict table, int n, float scale, float offset)
{
    const float inverse = 1 / scale;
    for (int i = 0; i < n; i++) l[i] = clzk_l_of_luma(y[i], table, inverse, offset);
}

// sum += (other - y)^2: summed over a window, the roughness of Y'
static void ROWS(roughness)(float *restrict sum, const float *y, const float *other, int n)
{
    for (int i = 0; i < n; i++) sum[i] += (other[i] - y[i]) * (other[i] - y[i]);
}

// roughness -> confidence
static void ROWS(confidence)(float *restrict roughness, float floor, int n)
{
    for (int i = 0; i < n; i++) roughness[i] = 1 / (roughness[i] + floor);
}

// Joint bilateral filter: adds one row of neighbours to each pixel's weighted sums. planes: Y', a, b, confidence of the row of
// neighbours, `plane` floats apart. spatial: weights by position along the row. sums: sum of the weights, weighted sums of a and
// b, n floats apart.
static void ROWS(weigh_neighbours)(float *restrict sums, const float *y, const float *planes, size_t plane, const float *spatial,
                                   float inv_range, int n)
{
    for (int i = 0; i < n; i++) {
        float weight = sums[i], a = sums[n + i], b = sums[2 * n + i];
        for (int k = -CLZK_REACH; k <= CLZK_REACH; k++) {
            const float w = clzk_neighbour_weight(y[i], planes[i + k], planes[3 * plane + i + k], spatial[k + CLZK_REACH],
                                                  inv_range);
            weight += w;
            a += w * planes[plane + i + k];
            b += w * planes[2 * plane + i + k];
        }
        sums[i] = weight;
        sums[n + i] = a;
        sums[2 * n + i] = b;
    }
}

// a, b = weighted sums / sum of the weights
static void ROWS(divide_by_weight)(float *restrict a, float *restrict b, const float *restrict sums, int n)
{
    for (int i = 0; i < n; i++) {
        const float inv = 1 / sums[i];
        a[i] = sums[n + i] * inv;
        b[i] = sums[2 * n + i] * inv;
    }
}

// out = sum of three neighbours; pixels beyond the ends of the row count as 0
static void ROWS(box)(float *restrict out, const float *restrict row, int n)
{
    out[0] = n > 1 ? row[0] + row[1] : row[0];
    for (int i = 1; i < n - 1; i++) out[i] = row[i - 1] + row[i] + row[i + 1];
    if (n > 1) out[n - 1] = row[n - 2] + row[n - 1];
}

// p = Y', Y'^2, a, b, Y'a, Y'b, each n floats after the one before
static void ROWS(products)(float *restrict p, const float *restrict y, const float *restrict a, const float *restrict b, int n)
{
    for (int i = 0; i < n; i++) {
        p[i] = y[i];
        p[n + i] = y[i] * y[i];
        p[2 * n + i] = a[i];
        p[3 * n + i] = b[i];
        p[4 * n + i] = y[i] * a[i];
        p[5 * n + i] = y[i] * b[i];
    }
}

// coef = A of a, A of b, B of a, B of b, from the sums over the windows.
static void ROWS(fit)(float *restrict coef, const float *restrict s, const float *restrict inv_x, float inv_y, float eps, int n)
{
    for (int i = 0; i < n; i++) {
        const struct clzk_lines l = clzk_fit_lines(s[i], s[n + i], s[2 * n + i], s[3 * n + i], s[4 * n + i], s[5 * n + i],
                                                   inv_x[i] * inv_y, eps);
        coef[i] = l.a_slope;
        coef[n + i] = l.b_slope;
        coef[2 * n + i] = l.a_offset;
        coef[3 * n + i] = l.b_offset;
    }
}

static void ROWS(add)(float *restrict sum, const float *above, const float *row, const float *below, int n)
{
    for (int i = 0; i < n; i++) sum[i] = above[i] + row[i] + below[i];
}

static void ROWS(scale)(float *restrict out, const float *restrict row, float gain, int n)
{
    for (int i = 0; i < n; i++) out[i] = row[i] * gain;
}

// whether any value is NaN or beyond +-limit
static int ROWS(beyond)(const float *restrict v, float limit, int n)
{
    int wrong = 0;
    for (int i = 0; i < n; i++) wrong |= !(v[i] > -limit) | !(v[i] < limit);
    return wrong;
}

// Interleaves four planes, times 1 / number of pixels in the window: sums -> means
static void ROWS(interleave)(float *restrict out, const float *restrict p, const float *restrict inv_x, float inv_y, int n)
{
    for (int i = 0; i < n; i++) {
        const float k = inv_x[i] * inv_y;
        out[4 * i] = p[i] * k;
        out[4 * i + 1] = p[n + i] * k;
        out[4 * i + 2] = p[2 * n + i] * k;
        out[4 * i + 3] = p[3 * n + i] * k;
    }
}

// Linear interpolation along a row of four interleaved coefficients.
static void ROWS(enlarge)(float *restrict out, const float *restrict row, const int *restrict first, const float *restrict frac,
                          int n)
{
    for (int i = 0; i < n; i++) {
        const float *r = row + 4 * first[i], f = frac[i];
        for (int k = 0; k < 4; k++) out[4 * i + k] = r[k] + f * (r[k + 4] - r[k]);
    }
}

// a, b = A Y' + B, with the coefficients interpolated between the rows top and bottom
static void ROWS(evaluate)(float *restrict a, float *restrict b, const float *restrict top, const float *restrict bottom, float f,
                           const float *restrict y, int n)
{
    for (int i = 0; i < n; i++) {
        const float fa = top[4 * i] + f * (bottom[4 * i] - top[4 * i]);
        const float fb = top[4 * i + 1] + f * (bottom[4 * i + 1] - top[4 * i + 1]);
        const float ca = top[4 * i + 2] + f * (bottom[4 * i + 2] - top[4 * i + 2]);
        const float cb = top[4 * i + 3] + f * (bottom[4 * i + 3] - top[4 * i + 3]);
        a[i] = fa * y[i] + ca;
        b[i] = fb * y[i] + cb;
    }
}

static void ROWS(chroma)(float *restrict u, float *restrict v, const float *restrict a, const float *restrict b,
                         const float *restrict y, const uint32_t *restrict table, const struct clzk_rgb_of_yuv *g, int n)
{
    const float r_v = g->r_v, g_u = g->g_u, g_v = g->g_v, b_u = g->b_u;

    for (int i = 0; i < n; i++) clzk_chroma_of(a[i], b[i], y[i], table, r_v, g_u, g_v, b_u, &u[i], &v[i]);
}

static void ROWS(shift)(float *restrict out, const float *restrict a, const float *restrict b, const float *restrict y,
                        const float *restrict table, int n)
{
    for (int i = 0; i < n; i++) out[i] = clzk_shifted_luma(a[i], b[i], y[i], table);
}

// out[i] = left row[2i-1] + middle row[2i] + right row[2i+1]; row[-1] and row[2n-1] must exist
static void ROWS(half)(float *restrict out, const float *restrict row, float left, float middle, float right, int n)
{
    for (int i = 0; i < n; i++) out[i] = left * row[2 * i - 1] + middle * row[2 * i] + right * row[2 * i + 1];
}

static void ROWS(store8)(void *out, const float *restrict v, const struct clzk_store *s, int n, int step)
{
    uint8_t *restrict to = out;
    const float mid = s->mid + 0.5f, scale = s->scale, max = s->max;
    if (step == 1) {
        for (int i = 0; i < n; i++) to[i] = (uint8_t)clzk_code(v[i], mid, scale, max);
        return;
    }
    for (int i = 0; i < n; i++) to[2 * i] = (uint8_t)clzk_code(v[i], mid, scale, max);
}

static void ROWS(store16)(void *out, const float *restrict v, const struct clzk_store *s, int n, int step)
{
    uint16_t *restrict to = out;
    const float mid = s->mid + 0.5f, scale = s->scale, max = s->max;
    if (s->swapped) {
        for (int i = 0; i < n; i++) to[step * i] = clzk_swap16((uint16_t)(clzk_code(v[i], mid, scale, max) << s->shift));
        return;
    }
    for (int i = 0; i < n; i++) to[step * i] = (uint16_t)(clzk_code(v[i], mid, scale, max) << s->shift);
}

#define CLZK_RGB(type, pack)                                                                                                \
    type *restrict r = red, *restrict g = green, *restrict b = blue;                                                        \
    const int step = s->step;                                                                                               \
    const float max = s->max, r_v = s->r_v * max, b_u = s->b_u * max, kr = s->kr, kb = s->kb, inv_kg = s->inv_kg;           \
    for (int i = 0; i < n; i++) {                                                                                           \
        const struct clzk_rgb_codes c = clzk_rgb_of(y[i], u[i], v[i], r_v, b_u, kr, kb, inv_kg, max);                       \
        r[i * step] = pack((type)c.r);                                                                                      \
        b[i * step] = pack((type)c.b);                                                                                      \
        g[i * step] = pack((type)c.g);                                                                                      \
    }

static void ROWS(rgb8)(void *red, void *green, void *blue, const float *restrict y, const float *restrict u,
                       const float *restrict v, const struct clzk_store_rgb *s, int n)
{
    CLZK_RGB(uint8_t, )
}

static void ROWS(rgb16)(void *red, void *green, void *blue, const float *restrict y, const float *restrict u,
                        const float *restrict v, const struct clzk_store_rgb *s, int n)
{
    if (s->swapped) {
        CLZK_RGB(uint16_t, clzk_swap16)
    } else {
        CLZK_RGB(uint16_t, )
    }
}

#define CLZK_ROWS_TABLE(label)                                                                                              \
    { label, ROWS(blend8), ROWS(blend16), ROWS(blend_step8), ROWS(blend_step16), ROWS(taps), ROWS(to_l), ROWS(roughness),   \
      ROWS(confidence), ROWS(weigh_neighbours), ROWS(divide_by_weight), ROWS(box), ROWS(products), ROWS(fit), ROWS(add),    \
      ROWS(scale), ROWS(beyond), ROWS(interleave), ROWS(enlarge), ROWS(evaluate), ROWS(chroma), ROWS(shift), ROWS(half),    \
      ROWS(store8), ROWS(store16), ROWS(rgb8), ROWS(rgb16) }
#endif
