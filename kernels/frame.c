// frame.c - frame -> L* and ab -> frame: tables, buffers, and the order in which the loops of frame_rows.h run over a picture.
//
// ab -> chroma. The network's picture is small and its colours are blurred across edges. At its own size first: a pixel takes the mean
// colour of its neighbourhood, weighted by nearness, likeness of luma, and trust, which is small where luma changes (a joint
// bilateral filter, Petschnigg 2004, with trust added: beside an edge the blur has reached both sides). Then a and b are fitted as
// straight lines of Y' in small windows, the lines' coefficients are averaged over the windows that a pixel lies in (guided filter,
// He 2010), enlarged bilinearly to the chroma grid and evaluated at the frame's own Y' there. Last a table gives the U and V that have
// that a* and b* at that Y', and they are drawn towards grey, at constant Y', until the colour is one that R'G'B' can show.
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "frame.h"
#include "frame_rows.h"
#include "lab_math.h"
#include "nn.h"
#include "threads.h"

// Windows of three by three do for the guided filter, once the colours are sharp: larger ones carry colour over weak edges.
enum { ROUGH = 2, TABLE_L = 4096 };
enum { SUMS = 6, LINES = 4 };                      // planes of products, of coefficients
static const float near_sigma = 1.5f, luma_range = 0.15f, rough_flat = 0.02f * 0.02f * 24;
static const float guided_eps = 0.01f * 0.01f;     // variance of Y' below which a window counts as flat

struct axis { int *first, taps; float *weight; };  // area average or enlargement along one side: [taps][n]

struct grid {                                      // where chroma (or luma) samples lie in the network's picture
    int w, h;
    int *x_first, *y_first;
    float *x_frac, *y_frac;
};

// Rows that are worked out when asked for; three are kept, as a pixel's window needs.
struct rolling { float *rows[3]; int number[3]; };     // which row each holds, -1: none

struct worker {                                    // one thread's rows
    float *line, *sums, *fitted, *coef, *top, *bottom, *y, *a, *b, *u, *v;
    const void **luma;                             // rows of the frame that are blended
    float *weights;
    struct rolling products, lines;                // sums of three neighbours: [SUMS][w], [LINES][w]
    int top_row, bottom_row;                       // which rows of coefficients top and bottom hold, -1: none
};

struct clzk_frame_plan {
    struct clz_frame in, out;
    const struct clzk_rows *rows;
    int w, h, threads;
    enum clz_luma luma;
    struct axis x, y;
    float black, inverse;                          // Y' = (code - black) * inverse
    int in_shift;                                  // codes stand this many bits up
    float *l_of_luma;                              // [TABLE_L + 1]
    uint32_t *uv;                                  // colour table, see frame_rows.h
    float *shift;                                  // the same cells and levels, for luma=lstar: how much Y' changes
    struct clzk_gamut gamut;
    struct clzk_store store_uv, store_y;
    struct grid chroma, full;                      // full: luma's own grid, for luma=lstar
    float *inv_x, *inv_y;                          // 1 / pixels in the window around x, y
    float *wide;                                   // [4][h][w + 2 CLZK_REACH] Y', a, b, trust; the edges repeated
    float near[CLZK_REACH + 1][2 * CLZK_REACH + 1];    // weight of a neighbour by distance in rows and place along the row
    float *zeros;                                  // [SUMS][w]: the rows above and below the picture
    struct worker *workers;
};

// ---- instruction sets ----

static const struct clzk_rows *rows_find(void)
{
#if defined(__x86_64__)
    static const struct clzk_rows *const list[CLZK_ISA_COUNT] = { &clzk_rows_plain, &clzk_rows_avx2, &clzk_rows_avx512 };
    return list[clzk_isa_best()];
#else
    return &clzk_rows_plain;
#endif
}

// ---- colour ----

static struct clzk_luma_weights luma_weights(enum clz_matrix matrix)
{
    static const struct clzk_luma_weights known[] = {
        [CLZ_MATRIX_UNSPECIFIED] = CLZK_LUMA_709, [CLZ_MATRIX_601] = CLZK_LUMA_601, [CLZ_MATRIX_709] = CLZK_LUMA_709,
        [CLZ_MATRIX_2020] = CLZK_LUMA_2020
    };
    return known[matrix];
}

static void lab_to_yuv(struct clzk_luma_weights k, float l, float a, float b, float yuv[3])
{
    const float lab[3] = { l, a, b };
    float rgb[3];

    clzk_lab_to_rgb(lab, rgb);
    yuv[0] = k.kr * rgb[0] + (1 - k.kr - k.kb) * rgb[1] + k.kb * rgb[2];
    yuv[1] = (rgb[2] - yuv[0]) / (2 * (1 - k.kb));
    yuv[2] = (rgb[0] - yuv[0]) / (2 * (1 - k.kr));
}

void clzk_chroma_solve(enum clz_matrix matrix, float y, float a, float b, float uv[2])
{
    const struct clzk_luma_weights k = luma_weights(matrix);
    float low = -60, high = 160, yuv[3];

    for (int i = 0; i < 40; i++) {
        const float l = (low + high) / 2;
        lab_to_yuv(k, l, a, b, yuv);
        if (yuv[0] < y) low = l;
        else high = l;
    }
    uv[0] = yuv[1];
    uv[1] = yuv[2];
}

static uint32_t pack(float u, float v)
{
    const float us = u * CLZK_FIXED, vs = v * CLZK_FIXED;
    const int iu = (int)lrintf(us < -32767 ? -32767 : us > 32767 ? 32767 : us);
    const int iv = (int)lrintf(vs < -32767 ? -32767 : vs > 32767 ? 32767 : vs);
    return (uint32_t)(uint16_t)iu | (uint32_t)(uint16_t)iv << 16;
}

// U, V of all levels of Y' for one a, b: Y' is followed along L and read off between two neighbours.
static void fill_levels(struct clzk_luma_weights k, float a, float b, uint32_t *to)
{
    enum { STEPS = 300 };
    float now[3], next[3];
    int at = 0;

    lab_to_yuv(k, -30, a, b, now);
    for (int i = 1; i <= STEPS && at < CLZK_LEVELS; i++) {
        lab_to_yuv(k, -30 + 170.f * i / STEPS, a, b, next);
        for (; at < CLZK_LEVELS && (float)at / (CLZK_LEVELS - 1) <= next[0]; at++) {
            const float y = (float)at / (CLZK_LEVELS - 1), step = next[0] - now[0];
            float f = step > 1e-9f ? (y - now[0]) / step : 1;
            f = f < 0 ? 0 : f;
            to[at] = pack(now[1] + f * (next[1] - now[1]), now[2] + f * (next[2] - now[2]));
        }
        if (next[0] > now[0]) memcpy(now, next, sizeof now);
    }
    for (; at < CLZK_LEVELS; at++) to[at] = pack(now[1], now[2]);
}

static bool in_gamut(float l, float a, float b)
{
    const float lab[3] = { l, a, b };
    float rgb[3];

    clzk_lab_to_linear(lab, rgb);
    for (int i = 0; i < 3; i++)
        if (rgb[i] < -1e-4f || rgb[i] > 1.0001f) return false;
    return true;
}

// luma=lstar: L* stays, Y' follows; colours that R'G'B' cannot show lose chroma at constant L*.
static void fill_lstar(struct clzk_luma_weights k, float a, float b, uint32_t *uv, float *shift)
{
    for (int i = 0; i < CLZK_LEVELS; i++) {
        const float l = clzk_luma_to_l((float)i / (CLZK_LEVELS - 1));
        float low = 0, high = 1, yuv[3];
        if (in_gamut(l, a, b)) low = 1;
        for (int step = 0; step < 8 && low < 1; step++) {
            const float t = (low + high) / 2;
            if (in_gamut(l, t * a, t * b)) low = t;
            else high = t;
        }
        lab_to_yuv(k, l, low * a, low * b, yuv);
        uv[i] = pack(yuv[1], yuv[2]);
        shift[i] = yuv[0] - (float)i / (CLZK_LEVELS - 1);
    }
}

static void fill_table(struct clzk_frame_plan *p, struct clzk_luma_weights k)
{
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < CLZK_CELLS; i++)
        for (int j = 0; j < CLZK_CELLS; j++) {
            const float a = (i - CLZK_CELLS / 2) * CLZK_STEP, b = (j - CLZK_CELLS / 2) * CLZK_STEP;
            const size_t at = (size_t)(i * CLZK_CELLS + j) * CLZK_LEVELS;
            if (p->luma == CLZ_LUMA_LSTAR) fill_lstar(k, a, b, p->uv + at, p->shift + at);
            else fill_levels(k, a, b, p->uv + at);
            // Lab's white is not exactly R' = G' = B': grey must stay grey all the same
            if (i != CLZK_CELLS / 2 || j != CLZK_CELLS / 2) continue;
            memset(p->uv + at, 0, CLZK_LEVELS * sizeof *p->uv);
            if (p->shift) memset(p->shift + at, 0, CLZK_LEVELS * sizeof *p->shift);
        }
}

// ---- geometry ----

static float overlap(float a0, float a1, float b0, float b1)
{
    const float low = a0 > b0 ? a0 : b0, high = a1 < b1 ? a1 : b1;
    return high > low ? high - low : 0;
}

// n samples from `from`: each the mean over the stretch it covers, or between two neighbours when there are more than before.
static int axis_create(struct axis *axis, int from, int n)
{
    const double scale = (double)from / n;

    axis->taps = scale >= 1 ? (int)ceil(scale) + 1 : 2;
    if (axis->taps > from) axis->taps = from;
    axis->first = malloc(n * sizeof *axis->first);
    axis->weight = malloc((size_t)n * axis->taps * sizeof *axis->weight);
    if (!axis->first || !axis->weight) return -ENOMEM;
    for (int i = 0; i < n; i++) {
        double centre = (i + 0.5) * scale - 0.5;
        int first = (int)floor(scale >= 1 ? i * scale : centre);
        centre = centre < 0 ? 0 : centre > from - 1 ? from - 1 : centre;
        if (first > from - axis->taps) first = from - axis->taps;
        if (first < 0) first = 0;
        axis->first[i] = first;
        for (int k = 0; k < axis->taps; k++) {
            const float d = (float)fabs(centre - (first + k));
            axis->weight[(size_t)k * n + i] = scale >= 1 ?
                overlap(first + k, first + k + 1, (float)(i * scale), (float)((i + 1) * scale)) / (float)scale : d < 1 ? 1 - d : 0;
        }
    }
    return 0;
}

// Samples every 2^log2 pixels of `size`, on the first of them (cosited) or in their middle, in coordinates of a picture of `small`.
static int positions(int **first, float **frac, int n, int log2, bool cosited, int size, int small)
{
    *first = malloc(n * sizeof **first);
    *frac = malloc(n * sizeof **frac);
    if (!*first || !*frac) return -ENOMEM;
    for (int i = 0; i < n; i++) {
        const double centre = i * (double)(1 << log2) + (cosited ? 0.5 : 0.5 * (1 << log2));
        double at = centre * small / size - 0.5;
        at = at < 0 ? 0 : at > small - 1 ? small - 1 : at;
        (*first)[i] = (int)at;
        (*frac)[i] = (float)(at - (*first)[i]);
    }
    return 0;
}

static int grid_create(struct grid *g, const struct clz_frame *f, int log2_w, int log2_h, int w, int h)
{
    int ret;

    g->w = -(-f->width >> log2_w);
    g->h = -(-f->height >> log2_h);
    ret = positions(&g->x_first, &g->x_frac, g->w, log2_w, f->siting != CLZ_SITING_CENTER, f->width, w);
    return ret < 0 ? ret : positions(&g->y_first, &g->y_frac, g->h, log2_h, f->siting == CLZ_SITING_TOPLEFT, f->height, h);
}

static void grid_destroy(struct grid *g)
{
    free(g->x_first);
    free(g->y_first);
    free(g->x_frac);
    free(g->y_frac);
}

static float *inverse_counts(int n)
{
    float *inv = malloc(n * sizeof *inv);

    for (int i = 0; inv && i < n; i++) {
        const int low = i ? i - 1 : 0, high = i + 1 < n ? i + 1 : i;
        inv[i] = 1.f / (high - low + 1);
    }
    return inv;
}

static int worker_create(struct worker *k, const struct clzk_frame_plan *p)
{
    const size_t wide = p->in.width + 4, w = p->w, all = (wide > w ? wide : w) + 16;
    const struct { float **row; size_t count; } rows[] = {
        { &k->line, all }, { &k->y, all }, { &k->a, all }, { &k->b, all }, { &k->u, all }, { &k->v, all },
        { &k->sums, SUMS * w }, { &k->fitted, LINES * w }, { &k->coef, LINES * (w + 1) },
        { &k->top, LINES * wide }, { &k->bottom, LINES * wide }, { &k->weights, p->y.taps > 3 ? p->y.taps : 3 },
        { &k->products.rows[0], SUMS * w }, { &k->products.rows[1], SUMS * w }, { &k->products.rows[2], SUMS * w },
        { &k->lines.rows[0], LINES * w }, { &k->lines.rows[1], LINES * w }, { &k->lines.rows[2], LINES * w },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!(*rows[i].row = calloc(rows[i].count, sizeof(float)))) return -ENOMEM;
    k->luma = calloc(p->y.taps > 3 ? p->y.taps : 3, sizeof *k->luma);
    return k->luma ? 0 : -ENOMEM;
}

static void worker_destroy(struct worker *k)
{
    float *rows[] = { k->line, k->sums, k->fitted, k->coef, k->top, k->bottom, k->y, k->a, k->b, k->u, k->v, k->weights };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) free(rows[i]);
    for (int i = 0; i < 3; i++) {
        free(k->products.rows[i]);
        free(k->lines.rows[i]);
    }
    free(k->luma);
}

static int shift_of(const struct clz_pixfmt *f)
{
    return f->flags & CLZ_PIXFMT_MSB ? 16 - f->depth : 0;
}

static void codes(struct clzk_frame_plan *p)
{
    const int depth = p->in.format->depth, eight = 1 << (depth - 8);
    const bool full = p->in.range == CLZ_RANGE_FULL;
    const float max = (float)((1 << depth) - 1);

    p->black = full ? 0 : 16.f * eight;
    p->inverse = 1 / (full ? max : 219.f * eight);
    p->in_shift = shift_of(p->in.format);
    p->store_y = (struct clzk_store){ p->black, full ? max : 219.f * eight, max, shift_of(p->out.format) };
    p->store_uv = (struct clzk_store){ (float)(1 << (depth - 1)), full ? max : 224.f * eight, max, shift_of(p->out.format) };
}

int clzk_frame_plan_create(struct clzk_frame_plan **plan, const struct clz_frame *in, const struct clz_frame *out, int w, int h,
                           enum clz_luma luma)
{
    const struct clzk_luma_weights k = luma_weights(out->matrix);
    const float kg = 1 - k.kr - k.kb;
    const size_t cells = (size_t)CLZK_CELLS * CLZK_CELLS * CLZK_LEVELS + 1;
    struct clzk_frame_plan *p = calloc(1, sizeof *p);
    int ret = -ENOMEM;

    *plan = NULL;
    if (!p) return -ENOMEM;
    p->in = *in;
    p->out = *out;
    p->rows = rows_find();
    p->w = w;
    p->h = h;
    p->luma = luma;
    p->threads = clzk_threads();
    p->gamut = (struct clzk_gamut){ 2 * (1 - k.kr), -2 * k.kb * (1 - k.kb) / kg, -2 * k.kr * (1 - k.kr) / kg, 2 * (1 - k.kb) };
    if (luma == CLZ_LUMA_LSTAR) p->gamut = (struct clzk_gamut){0};      // its table has done it
    codes(p);
    p->l_of_luma = malloc((TABLE_L + 1) * sizeof *p->l_of_luma);
    p->uv = calloc(cells, sizeof *p->uv);
    p->shift = luma == CLZ_LUMA_LSTAR ? calloc(cells, sizeof *p->shift) : NULL;
    p->inv_x = inverse_counts(w);
    p->inv_y = inverse_counts(h);
    p->wide = malloc((size_t)h * 4 * (w + 2 * CLZK_REACH) * sizeof(float));
    for (int i = 0; i <= CLZK_REACH; i++)
        for (int j = 0; j <= 2 * CLZK_REACH; j++)
            p->near[i][j] = expf(-(float)((j - CLZK_REACH) * (j - CLZK_REACH)) / (2 * near_sigma * near_sigma)) *
                            expf(-(float)(i * i) / (2 * near_sigma * near_sigma));
    p->zeros = calloc((size_t)SUMS * w, sizeof(float));
    p->workers = calloc(p->threads, sizeof *p->workers);
    if (!p->l_of_luma || !p->uv || (luma == CLZ_LUMA_LSTAR && !p->shift) || !p->inv_x || !p->inv_y || !p->wide || !p->zeros ||
        !p->workers)
        goto fail;
    if ((ret = axis_create(&p->x, in->width, w)) < 0 || (ret = axis_create(&p->y, in->height, h)) < 0 ||
        (ret = grid_create(&p->chroma, out, out->format->log2_chroma_w, out->format->log2_chroma_h, w, h)) < 0 ||
        (ret = grid_create(&p->full, in, 0, 0, w, h)) < 0)
        goto fail;
    for (int i = 0; i < p->threads; i++)
        if ((ret = worker_create(&p->workers[i], p)) < 0) goto fail;
    for (int i = 0; i <= TABLE_L; i++) p->l_of_luma[i] = clzk_luma_to_l(i / (TABLE_L - 1.f));
    fill_table(p, k);
    *plan = p;
    return 0;
fail:
    clzk_frame_plan_destroy(&p);
    return ret;
}

void clzk_frame_plan_destroy(struct clzk_frame_plan **plan)
{
    struct clzk_frame_plan *p = *plan;

    *plan = NULL;
    if (!p) return;
    for (int i = 0; p->workers && i < p->threads; i++) worker_destroy(&p->workers[i]);
    free(p->workers);
    free(p->x.first);
    free(p->x.weight);
    free(p->y.first);
    free(p->y.weight);
    grid_destroy(&p->chroma);
    grid_destroy(&p->full);
    free(p->l_of_luma);
    free(p->uv);
    free(p->shift);
    free(p->inv_x);
    free(p->inv_y);
    free(p->wide);
    free(p->zeros);
    free(p);
}

// ---- frame -> L* ----

// out = Y' of `count` rows of the frame, weighted: k->luma, k->weights
static void blend_luma(const struct clzk_frame_plan *p, struct worker *k, float *out, const struct clz_frame *f, int count)
{
    const float start = -p->black * p->inverse;

    for (int i = 0; i < count; i++) k->weights[i] *= p->inverse;
    if (f->format->depth == 8) p->rows->blend8(out, start, k->luma, k->weights, count, f->width, 0);
    else p->rows->blend16(out, start, k->luma, k->weights, count, f->width, p->in_shift);
}

static void choose_luma(struct worker *k, const struct clz_frame *f, int row, float weight, int *count)
{
    if (weight <= 0) return;
    k->luma[*count] = f->data[0] + row * f->stride[0];
    k->weights[(*count)++] = weight;
}

static void fill(float *row, float value, int n)
{
    for (int i = 0; i < n; i++) row[i] = value;
}

void clzk_frame_to_l(struct clzk_frame_plan *p, const struct clz_frame *in, float *y, float *l, float scale, float offset)
{
#pragma omp parallel for schedule(static) num_threads(p->threads)
    for (int r = 0; r < p->h; r++) {
        struct worker *w = &p->workers[clzk_thread()];
        int count = 0;
        for (int k = 0; k < p->y.taps; k++) choose_luma(w, in, p->y.first[r] + k, p->y.weight[(size_t)k * p->h + r], &count);
        blend_luma(p, w, w->line, in, count);
        p->rows->taps(y + (size_t)r * p->w, w->line, p->x.first, p->x.weight, p->x.taps, p->w);
        p->rows->to_l(l + (size_t)r * p->w, y + (size_t)r * p->w, p->l_of_luma, p->w, scale, offset);
    }
}

// ---- ab -> chroma ----

// Row r of plane 0 Y', 1 a, 2 b, 3 trust; rows beyond the picture are its first or last.
static float *wide_row(const struct clzk_frame_plan *p, int plane, int r)
{
    const int row = r < 0 ? 0 : r < p->h ? r : p->h - 1;
    return p->wide + ((size_t)plane * p->h + row) * (p->w + 2 * CLZK_REACH) + CLZK_REACH;
}

static void repeat_edges(const struct clzk_frame_plan *p, float *row)
{
    for (int i = 1; i <= CLZK_REACH; i++) row[-i] = row[0], row[p->w - 1 + i] = row[p->w - 1];
}

static void widen(const struct clzk_frame_plan *p, int plane, int r, const float *from, float gain)
{
    float *to = wide_row(p, plane, r);

    p->rows->scale(to, from, gain, p->w);
    repeat_edges(p, to);
}

static void trust(const struct clzk_frame_plan *p, int r)
{
    float *to = wide_row(p, 3, r);

    fill(to, 0, p->w);
    for (int dy = -ROUGH; dy <= ROUGH; dy++)
        for (int dx = -ROUGH; dx <= ROUGH; dx++)
            if (dx || dy) p->rows->rough(to, wide_row(p, 0, r), wide_row(p, 0, r + dy) + dx, p->w);
    p->rows->trust(to, rough_flat, p->w);
    repeat_edges(p, to);
}

// Row r with sharp colours, to k->a and k->b.
static void sharpen(const struct clzk_frame_plan *p, struct worker *k, int r)
{
    const size_t plane = (size_t)p->h * (p->w + 2 * CLZK_REACH);

    fill(k->sums, 0, 3 * p->w);
    for (int dy = -CLZK_REACH; dy <= CLZK_REACH; dy++)
        p->rows->gather(k->sums, wide_row(p, 0, r), wide_row(p, 0, r + dy), plane, p->near[abs(dy)], 1 / luma_range, p->w);
    p->rows->settle(k->a, k->b, k->sums, p->w);
}

// The picture of the network with room at its edges, and where it can be trusted.
static void spread(struct clzk_frame_plan *p, const float *y, const float *ab, float gain)
{
    const size_t pixels = (size_t)p->w * p->h;

#pragma omp parallel num_threads(p->threads)
    {
#pragma omp for schedule(static)
        for (int r = 0; r < p->h; r++) {
            widen(p, 0, r, y + (size_t)r * p->w, 1);
            widen(p, 1, r, ab + (size_t)r * p->w, gain);
            widen(p, 2, r, ab + pixels + (size_t)r * p->w, gain);
        }
#pragma omp for schedule(static)
        for (int r = 0; r < p->h; r++) trust(p, r);
    }
}

static void boxes(const struct clzk_frame_plan *p, float *to, const float *planes, int count)
{
    for (int i = 0; i < count; i++) p->rows->box(to + (size_t)i * p->w, planes + (size_t)i * p->w, p->w);
}

// Guided filter. From sharp colours to coefficients every row takes three of the step before; a thread works its way down
// its part of the picture and keeps no more than those, so that they stay in its cache.

static void forget_rows(struct worker *k)
{
    for (int i = 0; i < 3; i++) k->products.number[i] = k->lines.number[i] = -1;
    k->top_row = k->bottom_row = -1;
}

static const float *products_row(const struct clzk_frame_plan *p, struct worker *k, int r)
{
    float *to;

    if (r < 0 || r >= p->h) return p->zeros;
    to = k->products.rows[r % 3];
    if (k->products.number[r % 3] == r) return to;
    sharpen(p, k, r);
    p->rows->products(k->sums, wide_row(p, 0, r), k->a, k->b, p->w);
    boxes(p, to, k->sums, SUMS);
    k->products.number[r % 3] = r;
    return to;
}

static const float *lines_row(const struct clzk_frame_plan *p, struct worker *k, int r)
{
    float *to;
    const float *above, *row, *below;

    if (r < 0 || r >= p->h) return p->zeros;
    to = k->lines.rows[r % 3];
    if (k->lines.number[r % 3] == r) return to;
    above = products_row(p, k, r - 1), row = products_row(p, k, r), below = products_row(p, k, r + 1);
    p->rows->add(k->sums, above, row, below, SUMS * p->w);
    p->rows->fit(k->fitted, k->sums, p->inv_x, p->inv_y[r], guided_eps, p->w);
    boxes(p, to, k->fitted, LINES);
    k->lines.number[r % 3] = r;
    return to;
}

// Coefficients of a and b as lines of Y', of row r of the network's picture.
static const float *coefficients(const struct clzk_frame_plan *p, struct worker *k, int r)
{
    const float *above = lines_row(p, k, r - 1), *row = lines_row(p, k, r), *below = lines_row(p, k, r + 1);

    p->rows->add(k->sums, above, row, below, LINES * p->w);
    p->rows->interleave(k->coef, k->sums, p->inv_x, p->inv_y[r], p->w);
    memcpy(k->coef + LINES * p->w, k->coef + LINES * (p->w - 1), LINES * sizeof *k->coef);
    return k->coef;
}

// Y' where the samples of chroma row r lie: the mean of the luma samples around.
static void luma_at(const struct clzk_frame_plan *p, struct worker *k, const struct clz_frame *in, const struct grid *g, int log2_w,
                    int log2_h, int r)
{
    const bool below = log2_h && p->out.siting == CLZ_SITING_TOPLEFT;
    const float up = below ? 0.25f : 0, here = !log2_h ? 1 : 0.5f, down = !log2_h ? 0 : below ? 0.25f : 0.5f;
    const int y = r << log2_h, last = in->height - 1;
    float *row = log2_w ? k->line + 1 : k->y;
    int count = 0;

    choose_luma(k, in, y ? y - 1 : 0, up, &count);
    choose_luma(k, in, y, here, &count);
    choose_luma(k, in, y < last ? y + 1 : last, down, &count);
    blend_luma(p, k, row, in, count);
    if (!log2_w) return;
    row[-1] = row[0];
    row[in->width] = row[in->width - 1];
    if (p->out.siting == CLZ_SITING_CENTER) p->rows->half(k->y, row, 0, 0.5f, 0.5f, g->w);
    else p->rows->half(k->y, row, 0.25f, 0.5f, 0.25f, g->w);
}

// The coefficients' rows above and below row r of the grid, enlarged to its width; neighbouring rows share them.
static void enlarge(const struct clzk_frame_plan *p, struct worker *k, const struct grid *g, int r)
{
    const int want = g->y_first[r], next = want + 1 < p->h ? want + 1 : want;

    if (k->bottom_row == want && k->top_row != want) {
        float *top = k->top;
        k->top = k->bottom;
        k->bottom = top;
        k->top_row = want;
        k->bottom_row = -1;
    }
    if (k->top_row != want) p->rows->enlarge(k->top, coefficients(p, k, want), g->x_first, g->x_frac, g->w);
    if (k->bottom_row != next) p->rows->enlarge(k->bottom, coefficients(p, k, next), g->x_first, g->x_frac, g->w);
    k->top_row = want;
    k->bottom_row = next;
}

static void store(const struct clzk_frame_plan *p, const struct clzk_store *s, const struct clz_frame *out, int plane, int r,
                  const float *v, int n, int step, int offset)
{
    const int bytes = out->format->depth > 8 ? 2 : 1;
    uint8_t *to = out->data[plane] + r * out->stride[plane] + offset * bytes;

    if (bytes == 1) p->rows->store8(to, v, s, n, step);
    else p->rows->store16(to, v, s, n, step);
}

static void copy_rows(const struct clz_frame *in, const struct clz_frame *out, int plane, int row_bytes, int first, int end)
{
    const int up = shift_of(out->format) - shift_of(in->format);

    if (out->data[plane] == in->data[plane]) return;
    for (int r = first; r < end; r++) {
        const uint8_t *from = in->data[plane] + r * in->stride[plane];
        uint8_t *to = out->data[plane] + r * out->stride[plane];
        if (up == 0) memcpy(to, from, row_bytes);
        for (int i = 0; up > 0 && i < row_bytes / 2; i++) ((uint16_t *)to)[i] = (uint16_t)(((const uint16_t *)from)[i] << up);
    }
}

static void copy_luma(const struct clz_frame *in, const struct clz_frame *out, int first, int end)
{
    copy_rows(in, out, 0, in->width * (in->format->depth > 8 ? 2 : 1), first, end < in->height ? end : in->height);
}

bool clzk_frame_answer_is_colour(const struct clzk_frame_plan *p, const float *ab)
{
    int wrong = 0;

#pragma omp parallel for schedule(static) num_threads(p->threads) reduction(|:wrong)
    for (int r = 0; r < 2 * p->h; r++) wrong |= p->rows->beyond(ab + (size_t)r * p->w, 1e6f, p->w);
    return !wrong;
}

void clzk_frame_merge(struct clzk_frame_plan *p, const struct clz_frame *in, const struct clz_frame *out, const float *y,
                      const float *ab, float gain)
{
    const struct clz_pixfmt *f = out->format;
    const bool semi = f->flags & CLZ_PIXFMT_SEMIPLANAR;

    spread(p, y, ab, gain);
    for (int i = 0; i < p->threads; i++) forget_rows(&p->workers[i]);
#pragma omp parallel for schedule(static) num_threads(p->threads)
    for (int r = 0; r < p->chroma.h; r++) {
        struct worker *k = &p->workers[clzk_thread()];
        luma_at(p, k, in, &p->chroma, f->log2_chroma_w, f->log2_chroma_h, r);
        enlarge(p, k, &p->chroma, r);
        p->rows->evaluate(k->a, k->b, k->top, k->bottom, p->chroma.y_frac[r], k->y, p->chroma.w);
        p->rows->chroma(k->u, k->v, k->a, k->b, k->y, p->uv, &p->gamut, p->chroma.w);
        store(p, &p->store_uv, out, 1, r, k->u, p->chroma.w, semi ? 2 : 1, 0);
        store(p, &p->store_uv, out, semi ? 1 : 2, r, k->v, p->chroma.w, semi ? 2 : 1, semi);
        if (p->luma == CLZ_LUMA_COPY) copy_luma(in, out, r << f->log2_chroma_h, (r + 1) << f->log2_chroma_h);     // just read
    }
    if (p->luma == CLZ_LUMA_COPY) return;
    for (int i = 0; i < p->threads; i++) forget_rows(&p->workers[i]);
#pragma omp parallel for schedule(static) num_threads(p->threads)
    for (int r = 0; r < p->full.h; r++) {
        struct worker *k = &p->workers[clzk_thread()];
        luma_at(p, k, in, &p->full, 0, 0, r);
        enlarge(p, k, &p->full, r);
        p->rows->evaluate(k->a, k->b, k->top, k->bottom, p->full.y_frac[r], k->y, p->full.w);
        p->rows->shift(k->u, k->a, k->b, k->y, p->shift, p->full.w);
        store(p, &p->store_y, out, 0, r, k->u, p->full.w, 1, 0);
    }
}

void clzk_frame_copy(const struct clz_frame *in, const struct clz_frame *out)
{
    const struct clz_pixfmt *f = out->format;
    const int w = -(-out->width >> f->log2_chroma_w), h = -(-out->height >> f->log2_chroma_h);
    const int samples = w * (f->flags & CLZ_PIXFMT_SEMIPLANAR ? 2 : 1), bytes = f->depth > 8 ? 2 : 1;

    copy_luma(in, out, 0, in->height);
    for (int plane = 1; plane < f->planes; plane++) {
        if (!(in->format->flags & CLZ_PIXFMT_GRAY)) {
            copy_rows(in, out, plane, samples * bytes, 0, h);
            continue;
        }
        for (int r = 0; r < h; r++) {
            uint8_t *row = out->data[plane] + r * out->stride[plane];
            if (bytes == 1) memset(row, 128, samples);
            for (int i = 0; bytes == 2 && i < samples; i++)
                ((uint16_t *)row)[i] = (uint16_t)(1 << (f->depth - 1) << shift_of(f));
        }
    }
}
