// frame.c - converts a frame to L*, and predicted ab to the frame's chroma: calls the row kernels of frame_rows.h in order.
//
// ab -> chroma. The network's picture is small and its colours are blurred across edges, so they are upsampled in four steps:
// 1. Joint bilateral filter at the network's size (Petschnigg 2004): each pixel gets the mean colour of its neighbourhood,
//    weighted by distance, by similarity of Y', and by a confidence that is low where Y' varies, because the network blurs across
//    edges.
// 2. Guided filter (He 2010): in each window of 3 x 3 pixels a and b are fitted as linear functions of Y', and the coefficients
//    are averaged over the windows that contain the pixel.
// 3. The coefficients are enlarged bilinearly to the chroma grid and evaluated at the frame's own Y' there.
// 4. A table gives the U and V of this a* and b* at this Y'. They are scaled down, at constant Y', until R'G'B' is in gamut.
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "frame_geometry.h"
#include "frame_plan.h"
#include "threads.h"

// ---- frame -> L* ----

// out = weighted sum of `count` rows of the frame's samples, k->luma, with k->weights, converted from codes to Y'.
static void blend_luma(const struct clzk_frame_plan *p, struct worker *k, float *out, const struct clzk_picture *f, int count)
{
    const float start = -p->black * p->inverse;
    const int step = f->c[0].step, n = f->width;

    for (int i = 0; i < count; i++) k->weights[i] *= p->inverse;
    if (f->depth == 8 && step == 1) p->rows->blend8(out, start, k->luma, k->weights, count, n, 0);
    else if (f->depth == 8) p->rows->blend_step8(out, start, k->luma, k->weights, count, n, step);
    else if (step == 1 && !f->swapped) p->rows->blend16(out, start, k->luma, k->weights, count, n, f->shift);
    else p->rows->blend_step16(out, start, k->luma, k->weights, count, n, step, f->shift, f->swapped);
}

static const void *samples_row(const struct clzk_picture *f, int c, int row)
{
    return f->c[c].data + row * f->c[c].stride;
}

// Appends row `row` of the frame to the rows that blend_luma() will sum: Y', or R', G' and B' with the weights of luma.
static void append_luma(struct worker *k, const struct clzk_picture *f, int row, float weight, int *count)
{
    const float parts[3] = { f->weights.kr, 1 - f->weights.kr - f->weights.kb, f->weights.kb };

    if (weight <= 0) return;
    for (int c = 0; c < (f->rgb ? 3 : 1); c++) {
        k->luma[*count] = samples_row(f, c, row);
        k->weights[(*count)++] = f->rgb ? weight * parts[c] : weight;
    }
}

static void fill(float *row, float value, int n)
{
    for (int i = 0; i < n; i++) row[i] = value;
}

void clzk_frame_to_l(struct clzk_frame_plan *p, const struct clzk_picture *in, float *y, float *l, float scale, float offset)
{
#pragma omp parallel for schedule(static) num_threads(p->threads)
    for (int r = 0; r < p->h; r++) {
        struct worker *w = &p->workers[clzk_thread()];
        int count = 0;
        for (int k = 0; k < p->y.taps; k++) append_luma(w, in, p->y.first[r] + k, p->y.weight[(size_t)k * p->h + r], &count);
        blend_luma(p, w, w->line, in, count);
        p->rows->taps(y + (size_t)r * p->w, w->line, p->x.first, p->x.weight, p->x.taps, p->w);
        p->rows->to_l(l + (size_t)r * p->w, y + (size_t)r * p->w, p->colours->l_of_luma, p->w, scale, offset);
    }
}

// ---- ab -> chroma ----

// Row r of a padded plane (0: Y', 1: a, 2: b, 3: confidence); rows outside the picture are clamped to its first or last.
static float *padded_row(const struct clzk_frame_plan *p, int plane, int r)
{
    const int row = r < 0 ? 0 : r < p->h ? r : p->h - 1;
    return p->padded + ((size_t)plane * p->h + row) * (p->w + 2 * CLZK_REACH) + CLZK_REACH;
}

static void repeat_edges(const struct clzk_frame_plan *p, float *row)
{
    for (int i = 1; i <= CLZK_REACH; i++) row[-i] = row[0], row[p->w - 1 + i] = row[p->w - 1];
}

// Copies row r, times gain, to a padded plane.
static void pad_row(const struct clzk_frame_plan *p, int plane, int r, const float *from, float gain)
{
    float *to = padded_row(p, plane, r);

    p->rows->scale(to, from, gain, p->w);
    repeat_edges(p, to);
}

// Row r of the confidence plane: 1 / (roughness + floor), with the squared differences of Y' to the neighbours as roughness.
static void confidence(const struct clzk_frame_plan *p, int r)
{
    float *to = padded_row(p, 3, r);

    fill(to, 0, p->w);
    for (int dy = -CLZK_CONFIDENCE_REACH; dy <= CLZK_CONFIDENCE_REACH; dy++)
        for (int dx = -CLZK_CONFIDENCE_REACH; dx <= CLZK_CONFIDENCE_REACH; dx++)
            if (dx || dy) p->rows->roughness(to, padded_row(p, 0, r), padded_row(p, 0, r + dy) + dx, p->w);
    p->rows->confidence(to, CLZK_ROUGHNESS_FLOOR, p->w);
    repeat_edges(p, to);
}

// Row r of the joint bilateral filter, to k->a and k->b.
static void bilateral(const struct clzk_frame_plan *p, struct worker *k, int r)
{
    const size_t plane = (size_t)p->h * (p->w + 2 * CLZK_REACH);

    fill(k->sums, 0, 3 * p->w);
    for (int dy = -CLZK_REACH; dy <= CLZK_REACH; dy++)
        p->rows->weigh_neighbours(k->sums, padded_row(p, 0, r), padded_row(p, 0, r + dy), plane, p->spatial[abs(dy)],
                                  1 / CLZK_LUMA_RANGE, p->w);
    p->rows->divide_by_weight(k->a, k->b, k->sums, p->w);
}

// Fills the padded planes with the network's picture, and computes the confidence plane.
static void pad_planes(struct clzk_frame_plan *p, const float *y, const float *ab, float gain)
{
    const size_t pixels = (size_t)p->w * p->h;

#pragma omp parallel num_threads(p->threads)
    {
#pragma omp for schedule(static)
        for (int r = 0; r < p->h; r++) {
            pad_row(p, 0, r, y + (size_t)r * p->w, 1);
            pad_row(p, 1, r, ab + (size_t)r * p->w, gain);
            pad_row(p, 2, r, ab + pixels + (size_t)r * p->w, gain);
        }
#pragma omp for schedule(static)
        for (int r = 0; r < p->h; r++) confidence(p, r);
    }
}

// The sum of three neighbours along the row, in each of `count` planes.
static void box_planes(const struct clzk_frame_plan *p, float *to, const float *planes, int count)
{
    for (int i = 0; i < count; i++) p->rows->box(to + (size_t)i * p->w, planes + (size_t)i * p->w, p->w);
}

// Guided filter. A row of each step needs three rows of the step before. Each thread processes its rows from top to bottom and
// keeps only three rows per step, so that they stay in the CPU's cache.

static void invalidate_rows(struct worker *k)
{
    for (int i = 0; i < 3; i++) k->products.number[i] = k->lines.number[i] = -1;
    k->top_row = k->bottom_row = -1;
}

// Row r of the planes of products, summed over three neighbours along the row.
static const float *products_row(const struct clzk_frame_plan *p, struct worker *k, int r)
{
    float *to;

    if (r < 0 || r >= p->h) return p->zeros;
    to = k->products.rows[r % 3];
    if (k->products.number[r % 3] == r) return to;
    bilateral(p, k, r);
    p->rows->products(k->sums, padded_row(p, 0, r), k->a, k->b, p->w);
    box_planes(p, to, k->sums, SUMS);
    k->products.number[r % 3] = r;
    return to;
}

// Row r of the linear functions' coefficients, summed over three neighbours along the row.
static const float *lines_row(const struct clzk_frame_plan *p, struct worker *k, int r)
{
    float *to;
    const float *above, *row, *below;

    if (r < 0 || r >= p->h) return p->zeros;
    to = k->lines.rows[r % 3];
    if (k->lines.number[r % 3] == r) return to;
    above = products_row(p, k, r - 1), row = products_row(p, k, r), below = products_row(p, k, r + 1);
    p->rows->add(k->sums, above, row, below, SUMS * p->w);
    p->rows->fit(k->fitted, k->sums, p->inv_x, p->inv_y[r], CLZK_GUIDED_EPS, p->w);
    box_planes(p, to, k->fitted, LINES);
    k->lines.number[r % 3] = r;
    return to;
}

// Row r of the averaged coefficients, at the network's size: a and b as linear functions of Y'.
static const float *coefficients(const struct clzk_frame_plan *p, struct worker *k, int r)
{
    const float *above = lines_row(p, k, r - 1), *row = lines_row(p, k, r), *below = lines_row(p, k, r + 1);

    p->rows->add(k->sums, above, row, below, LINES * p->w);
    p->rows->interleave(k->coef, k->sums, p->inv_x, p->inv_y[r], p->w);
    memcpy(k->coef + LINES * p->w, k->coef + LINES * (p->w - 1), LINES * sizeof *k->coef);
    return k->coef;
}

// k->y = Y' at the positions of the samples of chroma row r: the weighted mean of the luma samples around each position.
static void luma_at(const struct clzk_frame_plan *p, struct worker *k, const struct clzk_picture *in, const struct grid *g,
                    int log2_w, int log2_h, int r)
{
    static const float here[4] = { 0, 1, 0, 0 };
    const float *weights = log2_h ? p->chroma_rows : here;
    const int last = in->height - 1;
    float *row = log2_w ? k->line + 1 : k->y;
    int count = 0;

    for (int i = 0; i < 4; i++) {
        const int y = (r << log2_h) + i - 1;
        append_luma(k, in, y < 0 ? 0 : y < last ? y : last, weights[i], &count);
    }
    blend_luma(p, k, row, in, count);
    if (!log2_w) return;
    row[-1] = row[0];
    row[in->width] = row[in->width - 1];
    if (p->out.cosited_x) p->rows->half(k->y, row, 0.25f, 0.5f, 0.25f, g->w);
    else p->rows->half(k->y, row, 0, 0.5f, 0.5f, g->w);
}

// k->top, k->bottom = the two rows of coefficients between which row r of the grid lies, enlarged to the grid's width.
// Consecutive rows of the grid often need the same two, so the results of the last call are reused.
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

// ---- samples that are copied, converted between formats, or set to a constant ----

static uint16_t load(const uint16_t *from, const struct clzk_picture *f)
{
    return (f->swapped ? clzk_swap16(*from) : *from) >> f->shift;
}

static uint16_t pack(const struct clzk_picture *f, unsigned code)
{
    const uint16_t v = (uint16_t)(code << f->shift);
    return f->swapped ? clzk_swap16(v) : v;
}

// Copies rows first to end - 1 of component c of `in` to component `to` of `out`, n samples each, and converts byte order, bit
// position and, if recode is not NULL, range.
static void copy_samples(const struct clzk_picture *in, int c, const struct clzk_picture *out, int to, int n, int first, int end,
                         const struct clzk_recode *recode)
{
    const int from_step = in->c[c].step, to_step = out->c[to].step, bytes = in->depth > 8 ? 2 : 1;
    const bool convert = recode && recode->scale != 0;
    const bool same = in->swapped == out->swapped && in->shift == out->shift && !convert;

    if (same && in->c[c].data == out->c[to].data && in->c[c].stride == out->c[to].stride) return;
    for (int r = first; r < end; r++) {
        const void *const from = samples_row(in, c, r);
        uint8_t *const row = out->c[to].data + r * out->c[to].stride;
        const uint8_t *const from8 = from;
        const uint16_t *const from16 = from;
        uint16_t *const row16 = (uint16_t *)row;
        if (same && from_step == 1 && to_step == 1) memcpy(row, from, (size_t)n * bytes);
        else if (bytes == 1 && !convert)
            for (int i = 0; i < n; i++) row[i * to_step] = from8[i * from_step];
        else if (bytes == 1)
            for (int i = 0; i < n; i++) row[i * to_step] = (uint8_t)clzk_recode_code(recode, from8[i * from_step]);
        else if (!convert)
            for (int i = 0; i < n; i++) row16[i * to_step] = pack(out, load(&from16[i * from_step], in));
        else
            for (int i = 0; i < n; i++)
                row16[i * to_step] = pack(out, clzk_recode_code(recode, load(&from16[i * from_step], in)));
    }
}

static void fill_samples(const struct clzk_picture *out, int c, unsigned code, int n, int first, int end)
{
    const int step = out->c[c].step;
    const uint16_t sample = pack(out, code);

    for (int r = first; r < end; r++) {
        uint8_t *const row = out->c[c].data + r * out->c[c].stride;
        if (out->depth == 8)
            for (int i = 0; i < n; i++) row[i * step] = (uint8_t)code;
        else
            for (int i = 0; i < n; i++) ((uint16_t *)row)[i * step] = sample;
    }
}

static void copy_luma(const struct clzk_picture *in, const struct clzk_picture *out, int first, int end)
{
    const struct clzk_recode recode = clzk_recode_luma(in, out);

    copy_samples(in, 0, out, 0, in->width, first, end < in->height ? end : in->height, &recode);
}

static void copy_alpha(const struct clzk_picture *in, const struct clzk_picture *out, int first, int end)
{
    if (end > in->height) end = in->height;
    if (!out->c[3].step) return;
    if (in->c[3].step) copy_samples(in, 3, out, 3, in->width, first, end, NULL);
    else fill_samples(out, 3, (1u << out->depth) - 1, in->width, first, end);
}

void clzk_frame_copy(const struct clzk_picture *in, const struct clzk_picture *out)
{
    const int w = clzk_chroma_width(out), h = clzk_chroma_height(out);

    for (int c = 1; c <= 2; c++) {
        if (in->gray && out->rgb) {
            const struct clzk_recode recode = clzk_recode_luma(in, out);
            copy_samples(in, 0, out, c, in->width, 0, in->height, &recode);
        } else if (in->gray) {
            fill_samples(out, c, 1u << (out->depth - 1), w, 0, h);
        } else {
            copy_samples(in, c, out, c, w, 0, h, NULL);
        }
    }
    copy_luma(in, out, 0, in->height);
    copy_alpha(in, out, 0, in->height);
}

// ---- coloured rows ----

static void store(const struct clzk_frame_plan *p, const struct clzk_store *s, const struct clzk_picture *out, int c, int r,
                  const float *v, int n)
{
    uint8_t *to = out->c[c].data + r * out->c[c].stride;

    if (out->depth == 8) p->rows->store8(to, v, s, n, out->c[c].step);
    else p->rows->store16(to, v, s, n, out->c[c].step);
}

static void store_rgb(const struct clzk_frame_plan *p, const struct clzk_picture *out, int r, const float *y, const float *u,
                      const float *v)
{
    uint8_t *to[3];

    for (int c = 0; c < 3; c++) to[c] = out->c[c].data + r * out->c[c].stride;
    if (out->depth == 8) p->rows->rgb8(to[0], to[1], to[2], y, u, v, &p->store_rgb, out->width);
    else p->rows->rgb16(to[0], to[1], to[2], y, u, v, &p->store_rgb, out->width);
}

bool clzk_frame_ab_is_finite(const struct clzk_frame_plan *p, const float *ab)
{
    int wrong = 0;

#pragma omp parallel for schedule(static) num_threads(p->threads) reduction(|:wrong)
    for (int r = 0; r < 2 * p->h; r++) wrong |= p->rows->beyond(ab + (size_t)r * p->w, 1e6f, p->w);
    return !wrong;
}

// k->a, k->b, k->y = a, b and Y' at the samples of row r of the grid.
static void colour_row(const struct clzk_frame_plan *p, struct worker *k, const struct clzk_picture *in, const struct grid *g,
                       int log2_w, int log2_h, int r)
{
    luma_at(p, k, in, g, log2_w, log2_h, r);
    enlarge(p, k, g, r);
    p->rows->evaluate(k->a, k->b, k->top, k->bottom, g->y_frac[r], k->y, g->w);
}

static void write_rgb(struct clzk_frame_plan *p, struct worker *k, const struct clzk_picture *in, const struct clzk_picture *out,
                      int r)
{
    const float *y = k->y;

    p->rows->chroma(k->u, k->v, k->a, k->b, k->y, p->colours->uv, &p->gamut, p->full.w);
    if (p->colours->lstar) {
        p->rows->shift(k->line, k->a, k->b, k->y, p->colours->shift, p->full.w);
        y = k->line;
    }
    store_rgb(p, out, r, y, k->u, k->v);
    copy_alpha(in, out, r, r + 1);
}

static void write_chroma(struct clzk_frame_plan *p, struct worker *k, const struct clzk_picture *in,
                         const struct clzk_picture *out, int r, bool with_luma)
{
    p->rows->chroma(k->u, k->v, k->a, k->b, k->y, p->colours->uv, &p->gamut, p->chroma.w);
    store(p, &p->store_uv, out, 1, r, k->u, p->chroma.w);
    store(p, &p->store_uv, out, 2, r, k->v, p->chroma.w);
    if (with_luma) copy_luma(in, out, r << out->log2_h, (r + 1) << out->log2_h);       // still in the cache
    copy_alpha(in, out, r << out->log2_h, (r + 1) << out->log2_h);
}

void clzk_frame_merge(struct clzk_frame_plan *p, const struct clzk_picture *in, const struct clzk_picture *out, const float *y,
                      const float *ab, float gain)
{
    // If luma is changed in place, that must wait until all chroma is computed, because chroma is computed from luma.
    const bool lstar = p->colours->lstar, later = in->c[0].data == out->c[0].data && clzk_recode_luma(in, out).scale != 0;

    pad_planes(p, y, ab, gain);
    for (int i = 0; i < p->threads; i++) invalidate_rows(&p->workers[i]);
#pragma omp parallel for schedule(static) num_threads(p->threads)
    for (int r = 0; r < p->chroma.h; r++) {
        struct worker *k = &p->workers[clzk_thread()];
        colour_row(p, k, in, &p->chroma, out->log2_w, out->log2_h, r);
        if (out->rgb) write_rgb(p, k, in, out, r);
        else write_chroma(p, k, in, out, r, !lstar && !later);
    }
    if (out->rgb || !(lstar || later)) return;
    for (int i = 0; i < p->threads; i++) invalidate_rows(&p->workers[i]);
#pragma omp parallel for schedule(static) num_threads(p->threads)
    for (int r = 0; r < p->full.h; r++) {
        struct worker *k = &p->workers[clzk_thread()];
        if (!lstar) {
            copy_luma(in, out, r, r + 1);
            continue;
        }
        colour_row(p, k, in, &p->full, 0, 0, r);
        p->rows->shift(k->u, k->a, k->b, k->y, p->colours->shift, p->full.w);
        store(p, &p->store_y, out, 0, r, k->u, p->full.w);
    }
}
