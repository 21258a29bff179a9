// frame_plan.c - creates the plan for one geometry: sample positions in the network's picture, scales of codes, all buffers.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frame_geometry.h"
#include "frame_plan.h"
#include "nn.h"
#include "threads.h"

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

static int axis_create(struct axis *axis, int from, int n, float shift)
{
    axis->taps = clzk_axis_taps(from, n);
    axis->first = malloc(n * sizeof *axis->first);
    axis->weight = malloc((size_t)n * axis->taps * sizeof *axis->weight);
    if (!axis->first || !axis->weight) return -ENOMEM;
    clzk_axis_fill(axis->first, axis->weight, from, n, shift);
    return 0;
}

static int positions(int **first, float **frac, int n, int log2, float offset, float shift, int size, int small)
{
    *first = malloc(n * sizeof **first);
    *frac = malloc(n * sizeof **frac);
    if (!*first || !*frac) return -ENOMEM;
    clzk_positions_fill(*first, *frac, n, log2, offset, shift, size, small);
    return 0;
}

// of_chroma: the grid of chroma, else that of luma.
static int grid_create(struct grid *g, const struct clzk_picture *f, bool of_chroma, int w, int h)
{
    const int log2_w = of_chroma ? f->log2_w : 0, log2_h = of_chroma ? f->log2_h : 0;
    int ret;

    g->w = -(-f->width >> log2_w);
    g->h = -(-f->height >> log2_h);
    ret = positions(&g->x_first, &g->x_frac, g->w, log2_w, of_chroma ? clzk_chroma_column(f) : 0, 0, f->width, w);
    return ret < 0 ? ret : positions(&g->y_first, &g->y_frac, g->h, log2_h, of_chroma ? clzk_chroma_row(f) : 0,
                                     clzk_row_shift(f), f->height, h);
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
    const struct clzk_codes codes = clzk_codes_of(&p->in, &p->out, p->colours->space.weights, &p->colours->rgb);

    p->black = codes.black;
    p->inverse = codes.inverse;
    p->store_y = codes.y;
    p->store_uv = codes.uv;
    p->store_rgb = codes.rgb;
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
    clzk_spatial_fill(p->spatial);
    clzk_chroma_row_weights(out, p->chroma_rows);
    p->zeros = calloc((size_t)SUMS * w, sizeof(float));
    p->workers = calloc(p->threads, sizeof *p->workers);
    if (!p->inv_x || !p->inv_y || !p->padded || !p->zeros || !p->workers) goto fail;
    if ((ret = axis_create(&p->x, in->width, w, 0)) < 0 ||
        (ret = axis_create(&p->y, in->height, h, clzk_row_shift(in))) < 0 ||
        (ret = grid_create(&p->chroma, out, true, w, h)) < 0 || (ret = grid_create(&p->full, in, false, w, h)) < 0)
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
