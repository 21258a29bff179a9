// frame_plan.c - creates the plan for one geometry: sample positions in the network's picture, scales of codes, all buffers.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frame_plan.h"
#include "nn.h"
#include "threads.h"

// Standard deviation of the joint bilateral filter's spatial weight, in pixels of the network's picture.
static const float spatial_sigma = 1.5f;

static const struct clzk_rows *rows_find(void)
{
#if defined(__x86_64__)
    static const struct clzk_rows *const list[CLZK_ISA_COUNT] = { &clzk_rows_plain, &clzk_rows_avx2, &clzk_rows_avx512 };
    return list[clzk_isa_best()];
#else
    return &clzk_rows_plain;
#endif
}

// ---- geometry ----

// The length of the intersection of the intervals a0..a1 and b0..b1.
static float overlap(float a0, float a1, float b0, float b1)
{
    const float low = a0 > b0 ? a0 : b0, high = a1 < b1 ? a1 : b1;
    return high > low ? high - low : 0;
}

// Resampling of `from` samples to n along one side: the area average if n is smaller, else linear interpolation.
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
            const float share = overlap(first + k, first + k + 1, (float)(i * scale), (float)((i + 1) * scale)) / (float)scale;
            axis->weight[(size_t)k * n + i] = scale >= 1 ? share : d < 1 ? 1 - d : 0;
        }
    }
    return 0;
}

// The positions of n samples in a picture of `small` pixels. A sample stands for 2^log2 pixels of `size` and lies on the first of
// them (cosited) or at their centre.
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

static int grid_create(struct grid *g, const struct clzk_picture *f, int log2_w, int log2_h, int w, int h)
{
    int ret;

    g->w = -(-f->width >> log2_w);
    g->h = -(-f->height >> log2_h);
    ret = positions(&g->x_first, &g->x_frac, g->w, log2_w, f->cosited_x, f->width, w);
    return ret < 0 ? ret : positions(&g->y_first, &g->y_frac, g->h, log2_h, f->cosited_y, f->height, h);
}

static void grid_destroy(struct grid *g)
{
    free(g->x_first);
    free(g->y_first);
    free(g->x_frac);
    free(g->y_frac);
}

// 1 / number of pixels in the window of three around each of n pixels.
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
    const size_t layers = (p->y.taps > 3 ? p->y.taps : 3) * (p->in.rgb ? 3 : 1);
    const struct { float **row; size_t count; } rows[] = {
        { &k->line, all }, { &k->y, all }, { &k->a, all }, { &k->b, all }, { &k->u, all }, { &k->v, all },
        { &k->sums, SUMS * w }, { &k->fitted, LINES * w }, { &k->coef, LINES * (w + 1) },
        { &k->top, LINES * wide }, { &k->bottom, LINES * wide }, { &k->weights, layers },
        { &k->products.rows[0], SUMS * w }, { &k->products.rows[1], SUMS * w }, { &k->products.rows[2], SUMS * w },
        { &k->lines.rows[0], LINES * w }, { &k->lines.rows[1], LINES * w }, { &k->lines.rows[2], LINES * w },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (!(*rows[i].row = calloc(rows[i].count, sizeof(float)))) return -ENOMEM;
    k->luma = calloc(layers, sizeof *k->luma);
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

// ---- codes ----

// Sets the conversions between codes and Y', U, V or R', G', B'.
static void set_code_scales(struct clzk_frame_plan *p)
{
    const int depth = p->in.depth, eight = 1 << (depth - 8);
    const bool in_full = p->in.full || p->in.rgb, full = p->out.full || p->out.rgb;
    const float max = (float)((1 << depth) - 1);
    const struct clzk_luma_weights k = p->colours->weights;

    p->black = in_full ? 0 : 16.f * eight;
    p->inverse = 1 / (in_full ? max : 219.f * eight);
    p->store_y = (struct clzk_store){ full ? 0 : 16.f * eight, full ? max : 219.f * eight, max, p->out.shift, p->out.swapped };
    p->store_uv = (struct clzk_store){ (float)(1 << (depth - 1)), full ? max : 224.f * eight, max, p->out.shift, p->out.swapped };
    p->store_rgb = (struct clzk_store_rgb){ p->colours->rgb.r_v, p->colours->rgb.b_u, k.kr, k.kb, 1 / (1 - k.kr - k.kb), max,
                                            p->out.c[0].step, p->out.swapped };
}

int clzk_frame_plan_create(struct clzk_frame_plan **plan, const struct clzk_picture *in, const struct clzk_picture *out,
                           int w, int h, const struct clzk_colour_table *colours)
{
    struct clzk_frame_plan *p = calloc(1, sizeof *p);
    int ret = -ENOMEM;

    *plan = NULL;
    if (!p) return -ENOMEM;
    p->in = *in;
    p->out = *out;
    p->rows = rows_find();
    p->w = w;
    p->h = h;
    p->colours = colours;
    p->threads = clzk_threads();
    if (!colours->lstar) p->gamut = colours->rgb;
    set_code_scales(p);
    p->inv_x = inverse_counts(w);
    p->inv_y = inverse_counts(h);
    p->padded = malloc((size_t)h * 4 * (w + 2 * CLZK_REACH) * sizeof(float));
    for (int i = 0; i <= CLZK_REACH; i++)
        for (int j = 0; j <= 2 * CLZK_REACH; j++)
            p->spatial[i][j] = expf(-(float)((j - CLZK_REACH) * (j - CLZK_REACH)) / (2 * spatial_sigma * spatial_sigma)) *
                            expf(-(float)(i * i) / (2 * spatial_sigma * spatial_sigma));
    p->zeros = calloc((size_t)SUMS * w, sizeof(float));
    p->workers = calloc(p->threads, sizeof *p->workers);
    if (!p->inv_x || !p->inv_y || !p->padded || !p->zeros || !p->workers) goto fail;
    if ((ret = axis_create(&p->x, in->width, w)) < 0 || (ret = axis_create(&p->y, in->height, h)) < 0 ||
        (ret = grid_create(&p->chroma, out, out->log2_w, out->log2_h, w, h)) < 0 ||
        (ret = grid_create(&p->full, in, 0, 0, w, h)) < 0)
        goto fail;
    for (int i = 0; i < p->threads; i++)
        if ((ret = worker_create(&p->workers[i], p)) < 0) goto fail;
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
    free(p->inv_x);
    free(p->inv_y);
    free(p->padded);
    free(p->zeros);
    free(p);
}
