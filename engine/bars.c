// bars.c - black bars around the picture of a film: what one frame shows, and what follows from frame to frame.
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bars.h"

enum {
    BLACK       = 24,                       // largest 8-bit code that counts as black, as in cropdetect: 16 and some noise
    EXCEPTIONS  = 32,                       // a line is black if at most 1/32 of its samples are brighter
    WIDE        = 2,                        // at an edge half of a line is brighter: more than a line of text has
    BLUR        = 4,                        // lines over which an edge may spread
    ONE_SIDED   = 24,                       // frames that must show a bar which has no equal on the other side
    GROWING     = 250,                      // frames that must show a bar where there has been picture before
    SMALLEST    = 64,                       // a bar is at least 1/64 of the frame
    FEWEST      = 16,                       // pixels that bars must leave
    COLUMNS     = 64,                       // counted at once
    ROWS_SEEN   = 540,                      // about as many rows are read for columns
};

// ---- one frame ----

struct luma {                               // the samples that are looked at
    const uint8_t *data;
    ptrdiff_t stride;
    int width, height, step, two_bytes, black;      // step: from sample to sample; black: largest code, as it lies in memory
    bool swapped;
};

// What a frame shows on a side: black up to `depth`, and whether the picture begins there all at once.
struct shown { int depth; bool edge; };

static struct luma luma_of(const struct clz_frame *f)
{
    const int shift = f->format->flags & CLZ_PIXFMT_MSB ? 16 - f->format->depth : 0, two = f->format->depth > 8;
    const struct clz_samples *s = &f->format->samples[f->format->flags & CLZ_PIXFMT_RGB ? 1 : 0];       // green says enough

    return (struct luma){ f->data[s->plane] + s->offset * (two ? 2 : 1), f->stride[s->plane], f->width, f->height, s->step, two,
                          ((BLACK + 1) << (f->format->depth - 8 + shift)) - 1, f->format->flags & CLZ_PIXFMT_SWAPPED };
}

static bool is_bright(const struct luma *l, const uint8_t *row, int x)
{
    const int at = x * l->step;
    uint16_t v;

    if (!l->two_bytes) return row[at] > l->black;
    v = ((const uint16_t *)row)[at];
    return (l->swapped ? (uint16_t)(v << 8 | v >> 8) : v) > l->black;
}

static int bright_in_row(const struct luma *l, int y)
{
    const uint8_t *row = l->data + y * l->stride;
    const uint16_t *wide = (const uint16_t *)row;
    int count = 0;

    if (l->step > 1 || l->swapped) for (int x = 0; x < l->width; x++) count += is_bright(l, row, x);
    else if (l->two_bytes) for (int x = 0; x < l->width; x++) count += wide[x] > l->black;
    else for (int x = 0; x < l->width; x++) count += row[x] > l->black;
    return count;
}

// count[i] of column x + i, i < n, over rows [first, end) in steps
static void bright_in_columns(const struct luma *l, int x, int n, int first, int end, int step, int *count)
{
    memset(count, 0, n * sizeof *count);
    for (int y = first; y < end; y += step) {
        const uint8_t *row = l->data + y * l->stride;
        const uint16_t *wide = (const uint16_t *)row;
        if (l->step > 1 || l->swapped) for (int i = 0; i < n; i++) count[i] += is_bright(l, row, x + i);
        else if (l->two_bytes) for (int i = 0; i < n; i++) count[i] += wide[x + i] > l->black;
        else for (int i = 0; i < n; i++) count[i] += row[x + i] > l->black;
    }
}

// Black rows from the top, or from the bottom; height where all are.
static int black_rows(const struct luma *l, bool bottom)
{
    int depth = 0;

    while (depth < l->height && bright_in_row(l, bottom ? l->height - 1 - depth : depth) <= l->width / EXCEPTIONS)
        depth++;
    return depth;
}

static bool edge_of_rows(const struct luma *l, int depth, bool bottom)
{
    bool wide = false;

    for (int i = depth; i < depth + BLUR && i < l->height && !wide; i++)
        wide = bright_in_row(l, bottom ? l->height - 1 - i : i) * WIDE >= l->width;
    return wide;
}

// Black columns from the left or the right, over the rows between top and bottom, and their edge. Where top or bottom is no edge
// (a title on black), an edge must be bright along half of the frame's whole height.
static struct shown black_columns(const struct luma *l, bool from_right, struct shown top, struct shown bottom)
{
    const int rows = l->height - top.depth - bottom.depth, step = rows > ROWS_SEEN ? rows / ROWS_SEEN : 1;
    const int seen = (rows + step - 1) / step;
    const bool framed = (!top.depth || top.edge) && (!bottom.depth || bottom.edge);
    const int whole = framed ? seen : l->height / step;
    int count[COLUMNS], found = -1;
    bool wide = false;

    for (int at = 0; at < l->width; at += COLUMNS) {
        const int n = at + COLUMNS < l->width ? COLUMNS : l->width - at;
        bright_in_columns(l, from_right ? l->width - at - n : at, n, top.depth, l->height - bottom.depth, step, count);
        for (int i = 0; i < n; i++) {
            const int c = count[from_right ? n - 1 - i : i];
            if (found < 0 && c > seen / EXCEPTIONS) found = at + i;
            if (found < 0) continue;
            if (at + i >= found + BLUR) return (struct shown){ found, wide };
            wide = wide || c * WIDE >= whole;
        }
    }
    return (struct shown){ found < 0 ? l->width : found, wide };
}

// False for a frame that is black all over.
static bool look(const struct clz_frame *f, struct shown shown[CLZI_SIDES])
{
    const struct luma l = luma_of(f);

    shown[CLZI_TOP].depth = black_rows(&l, false);
    if (shown[CLZI_TOP].depth == l.height) return false;
    shown[CLZI_BOTTOM].depth = black_rows(&l, true);
    for (int bottom = 0; bottom < 2; bottom++) shown[bottom].edge = edge_of_rows(&l, shown[bottom].depth, bottom);
    for (int right = 0; right < 2; right++)
        shown[CLZI_LEFT + right] = black_columns(&l, right, shown[CLZI_TOP], shown[CLZI_BOTTOM]);
    if (shown[CLZI_LEFT].depth + shown[CLZI_RIGHT].depth >= l.width) return false;
    return true;
}

// ---- from frame to frame ----

static void begin(struct clzi_bars_finder *b, const struct clz_frame *in)
{
    memset(&b->found, 0, sizeof b->found);
    memset(b->side, 0, sizeof b->side);
    b->width = in->width;
    b->height = in->height;
    for (int i = 0; i < CLZI_SIDES; i++) b->side[i].least = i < CLZI_LEFT ? in->height : in->width;
}

// Counts a frame that shows a larger bar than was found, or forgets the candidate that the frame contradicts.
static void count(struct clzi_bars_finder *b, int i, struct shown shown, int size)
{
    if (shown.depth < b->side[i].candidate) b->side[i].candidate = b->side[i].agreed = 0;
    if (!shown.edge || shown.depth <= b->found.depth[i] || shown.depth * SMALLEST < size) return;
    if (!b->side[i].candidate) b->side[i].candidate = shown.depth;
    b->side[i].agreed += shown.depth == b->side[i].candidate;
}

// Sides i and i + 1 of a frame whose length across them is `size`.
static void follow(struct clzi_bars_finder *b, int i, const struct shown *shown, int size)
{
    const int tolerance = 2 + size / 100;
    const bool equal = shown[i].edge && shown[i + 1].edge && abs(shown[i].depth - shown[i + 1].depth) <= tolerance;
    struct clzi_bars *found = &b->found;

    for (int k = i; k < i + 2; k++) {
        const bool never_picture = b->side[k].least >= shown[k].depth;
        if (shown[k].depth < found->depth[k]) found->depth[k] = shown[k].depth;
        count(b, k, shown[k], size);
        if (b->side[k].agreed && b->side[k].agreed >= (!never_picture ? GROWING : equal ? 1 : ONE_SIDED)) {
            found->depth[k] = b->side[k].candidate;
            b->side[k].candidate = b->side[k].agreed = 0;
        }
        if (shown[k].depth < b->side[k].least) b->side[k].least = shown[k].depth;
        if (found->depth[k] * SMALLEST < size) found->depth[k] = 0;
    }
    if ((size - found->depth[i] - found->depth[i + 1]) * 4 < size || size - found->depth[i] - found->depth[i + 1] < FEWEST)
        found->depth[i] = found->depth[i + 1] = 0;
}

// ---- what the pipeline asks ----

int clzi_bars_parse(struct clzi_bars_finder *b, const char *text)
{
    int *d = b->found.depth, end = 0;
    char s[3];

    memset(b, 0, sizeof *b);
    if (!text || !strcmp(text, "auto")) return 0;
    b->mode = CLZI_BARS_OFF;
    if (!strcmp(text, "off")) return 0;
    b->mode = CLZI_BARS_FIXED;
    if (strspn(text, "0123456789:/") != strlen(text) || strlen(text) > 40 ||
        sscanf(text, "%5d%c%5d%c%5d%c%5d%n", &d[0], &s[0], &d[1], &s[1], &d[2], &s[2], &d[3], &end) != 7 || text[end])
        return -EINVAL;
    return 0;
}

int clzi_bars_fit(const struct clzi_bars_finder *b, int width, int height)
{
    const int *d = b->found.depth;

    return b->mode != CLZI_BARS_FIXED || (d[CLZI_TOP] + d[CLZI_BOTTOM] + (height < FEWEST ? height : FEWEST) <= height &&
                                          d[CLZI_LEFT] + d[CLZI_RIGHT] + (width < FEWEST ? width : FEWEST) <= width);
}

struct clzi_bars clzi_bars_next(struct clzi_bars_finder *b, const struct clz_frame *in)
{
    struct shown shown[CLZI_SIDES];

    if (b->mode == CLZI_BARS_AUTO) {
        if (b->width != in->width || b->height != in->height) begin(b, in);
        if (look(in, shown)) {
            follow(b, CLZI_TOP, shown, in->height);
            follow(b, CLZI_LEFT, shown, in->width);
        }
    }
    return b->found;
}

// Down to a multiple of step, counted from the left or top border of the frame; on the far side so that the picture ends there.
static int align(int depth, int size, int step, bool far_side)
{
    if (!far_side) return depth / step * step;
    return depth ? size - (size - depth + step - 1) / step * step : 0;
}

struct clzi_bars clzi_bars_align(struct clzi_bars bars, const struct clz_frame *f)
{
    for (int i = 0; i < CLZI_SIDES; i++) {
        const bool rows = i < CLZI_LEFT;
        const int depth = align(bars.depth[i], rows ? f->height : f->width,
                                1 << (rows ? f->format->log2_chroma_h : f->format->log2_chroma_w), i % 2);
        bars.depth[i] = depth > 0 ? depth : 0;
    }
    return bars;
}
