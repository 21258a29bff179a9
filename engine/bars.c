// bars.c - detection of black bars: measures the borders of each frame and tracks the bars from frame to frame.
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bars.h"
#include "kernels/bars.h"

enum {
    // A line is a row or a column; which are black: kernels/bars.h.
    MIN_EDGE    = 2,                        // a line is an edge if at least 1/2 of its samples are bright; text has fewer
    EDGE_LINES  = 4,                        // the edge of a bar is one of the first 4 lines after it
    ONE_SIDED   = 24,                       // votes needed for a bar without an equal one on the opposite side
    GROWING     = 250,                      // votes needed for a bar where an earlier frame had picture
    MIN_BAR     = 64,                       // a bar is at least 1/64 of the frame
    MIN_PICTURE = 16,                       // least width and height of the picture between the bars
    COLUMNS     = 64,                       // columns per pass over the rows
};

// ---- one frame ----

struct luma {                               // the luma samples of a frame; for RGB its green samples
    const uint8_t *data;
    ptrdiff_t stride;
    int width, height;
    int step;                               // distance between samples, in samples
    int two_bytes;                          // samples have 16 bits
    int black;                              // largest code of black, with the shift of CLZ_PIXFMT_MSB
    bool swapped;                           // CLZ_PIXFMT_SWAPPED
    const int *rows, *columns;              // counts that were made elsewhere, or NULL
};

// One border of a frame: the number of black lines, and whether a sharp edge follows them.
struct border { int depth; bool edge; };

static struct luma luma_of(const struct clz_frame *f, const int *bright)
{
    const int shift = f->format->flags & CLZ_PIXFMT_MSB ? 16 - f->format->depth : 0, two = f->format->depth > 8;
    const struct clz_samples *s = &f->format->samples[f->format->flags & CLZ_PIXFMT_RGB ? 1 : 0];

    return (struct luma){ f->data[s->plane] + s->offset * (two ? 2 : 1), f->stride[s->plane], f->width, f->height, s->step, two,
                          clzk_bars_black(f->format->depth, shift), f->format->flags & CLZ_PIXFMT_SWAPPED,
                          bright, bright ? bright + f->height : NULL };
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

    if (l->rows) return l->rows[y];
    if (l->step > 1 || l->swapped) for (int x = 0; x < l->width; x++) count += is_bright(l, row, x);
    else if (l->two_bytes) for (int x = 0; x < l->width; x++) count += wide[x] > l->black;
    else for (int x = 0; x < l->width; x++) count += row[x] > l->black;
    return count;
}

// Counts the bright samples of columns x to x + n - 1 in every step-th row of [first, end).
static void bright_in_columns(const struct luma *l, int x, int n, int first, int end, int step, int *count)
{
    if (l->columns) {                       // made of the same rows
        memcpy(count, l->columns + x, n * sizeof *count);
        return;
    }
    memset(count, 0, n * sizeof *count);
    for (int y = first; y < end; y += step) {
        const uint8_t *row = l->data + y * l->stride;
        const uint16_t *wide = (const uint16_t *)row;
        if (l->step > 1 || l->swapped) for (int i = 0; i < n; i++) count[i] += is_bright(l, row, x + i);
        else if (l->two_bytes) for (int i = 0; i < n; i++) count[i] += wide[x + i] > l->black;
        else for (int i = 0; i < n; i++) count[i] += row[x + i] > l->black;
    }
}

// Returns the number of black rows at the top or bottom; the height if all rows are black.
static int black_rows(const struct luma *l, bool bottom)
{
    int depth = 0;

    while (depth < l->height && bright_in_row(l, bottom ? l->height - 1 - depth : depth) <= l->width / CLZK_BARS_MAX_BRIGHT)
        depth++;
    return depth;
}

static bool has_edge_row(const struct luma *l, int depth, bool bottom)
{
    bool edge = false;

    for (int i = depth; i < depth + EDGE_LINES && i < l->height && !edge; i++)
        edge = bright_in_row(l, bottom ? l->height - 1 - i : i) * MIN_EDGE >= l->width;
    return edge;
}

// Measures the black columns at the left or right, in the rows between the top and bottom borders. If one of these has no edge
// (as around a title on black), a column is an edge only if it is bright along half of the height of the frame.
static struct border black_columns(const struct luma *l, bool from_right, struct border top, struct border bottom)
{
    const int rows = l->height - top.depth - bottom.depth, step = rows > CLZK_BARS_MIN_ROWS ? rows / CLZK_BARS_MIN_ROWS : 1;
    const int sampled = (rows + step - 1) / step;
    const bool has_edges = (!top.depth || top.edge) && (!bottom.depth || bottom.edge);
    const int edge_rows = has_edges ? sampled : l->height / step;
    int count[COLUMNS], found = -1;
    bool edge = false;

    for (int at = 0; at < l->width; at += COLUMNS) {
        const int n = at + COLUMNS < l->width ? COLUMNS : l->width - at;
        bright_in_columns(l, from_right ? l->width - at - n : at, n, top.depth, l->height - bottom.depth, step, count);
        for (int i = 0; i < n; i++) {
            const int c = count[from_right ? n - 1 - i : i];
            if (found < 0 && c > sampled / CLZK_BARS_MAX_BRIGHT) found = at + i;
            if (found < 0) continue;
            if (at + i >= found + EDGE_LINES) return (struct border){ found, edge };
            edge = edge || c * MIN_EDGE >= edge_rows;
        }
    }
    return (struct border){ found < 0 ? l->width : found, edge };
}

// Measures the four borders of a frame. Returns false if the frame is black.
static bool measure(const struct clz_frame *f, const int *bright, struct border shown[CLZI_SIDES])
{
    const struct luma l = luma_of(f, bright);

    shown[CLZI_TOP].depth = black_rows(&l, false);
    if (shown[CLZI_TOP].depth == l.height) return false;
    shown[CLZI_BOTTOM].depth = black_rows(&l, true);
    for (int bottom = 0; bottom < 2; bottom++) shown[bottom].edge = has_edge_row(&l, shown[bottom].depth, bottom);
    for (int right = 0; right < 2; right++)
        shown[CLZI_LEFT + right] = black_columns(&l, right, shown[CLZI_TOP], shown[CLZI_BOTTOM]);
    if (shown[CLZI_LEFT].depth + shown[CLZI_RIGHT].depth >= l.width) return false;
    return true;
}

// ---- from frame to frame ----

static void reset(struct clzi_bars_finder *b, const struct clz_frame *in)
{
    memset(&b->found, 0, sizeof b->found);
    memset(b->side, 0, sizeof b->side);
    b->width = in->width;
    b->height = in->height;
    for (int i = 0; i < CLZI_SIDES; i++) b->side[i].min_depth = i < CLZI_LEFT ? in->height : in->width;
}

// Counts the vote of a frame for a bar that is larger than the accepted one. Drops the candidate if the frame has picture in it.
static void vote(struct clzi_bars_finder *b, int i, struct border shown, int size)
{
    if (shown.depth < b->side[i].candidate) b->side[i].candidate = b->side[i].votes = 0;
    if (!shown.edge || shown.depth <= b->found.depth[i] || shown.depth * MIN_BAR < size) return;
    if (!b->side[i].candidate) b->side[i].candidate = shown.depth;
    b->side[i].votes += shown.depth == b->side[i].candidate;
}

// Updates the opposite sides i and i + 1 with the borders of a frame, whose height (width for left and right) is `size`.
static void update_pair(struct clzi_bars_finder *b, int i, const struct border *shown, int size)
{
    const int tolerance = 2 + size / 100;
    const bool equal = shown[i].edge && shown[i + 1].edge && abs(shown[i].depth - shown[i + 1].depth) <= tolerance;
    struct clzi_bars *found = &b->found;

    for (int k = i; k < i + 2; k++) {
        const bool never_picture = b->side[k].min_depth >= shown[k].depth;
        if (shown[k].depth < found->depth[k]) found->depth[k] = shown[k].depth;
        vote(b, k, shown[k], size);
        if (b->side[k].votes && b->side[k].votes >= (!never_picture ? GROWING : equal ? 1 : ONE_SIDED)) {
            found->depth[k] = b->side[k].candidate;
            b->side[k].candidate = b->side[k].votes = 0;
        }
        if (shown[k].depth < b->side[k].min_depth) b->side[k].min_depth = shown[k].depth;
        if (found->depth[k] * MIN_BAR < size) found->depth[k] = 0;
    }
    if ((size - found->depth[i] - found->depth[i + 1]) * 4 < size || size - found->depth[i] - found->depth[i + 1] < MIN_PICTURE)
        found->depth[i] = found->depth[i + 1] = 0;
}

// ---- interface ----

// The numbers of "auto/...": width, height, then for each side found, min_depth, candidate and votes.
enum { NUMBERS = 2 + 4 * CLZI_SIDES };

static int *number_of(struct clzi_bars_finder *b, int i)
{
    const int side = (i - 2) / 4;
    int *const numbers[] = { &b->found.depth[side], &b->side[side].min_depth, &b->side[side].candidate, &b->side[side].votes };

    return i < 2 ? i ? &b->height : &b->width : numbers[(i - 2) % 4];
}

// The rest of "auto/...", from the first slash on.
static int parse_state(struct clzi_bars_finder *b, const char *text)
{
    const int *d = b->found.depth;

    for (int i = 0, n; i < NUMBERS; i++, text += n) {
        if (text[1] < '0' || text[1] > '9' || sscanf(text, "/%5d%n", number_of(b, i), &n) != 1) return -EINVAL;
        if (*number_of(b, i) > CLZ_MAX_SIZE) return -EINVAL;
    }
    if (*text || (b->width && !b->height)) return -EINVAL;
    for (int i = 0; i < CLZI_SIDES; i += 2) {
        const int size = i ? b->width : b->height;
        if (d[i] + d[i + 1] && d[i] + d[i + 1] + MIN_PICTURE > size) return -EINVAL;
    }
    return 0;
}

void clzi_bars_text(const struct clzi_bars_finder *finder, char text[CLZI_BARS_TEXT])
{
    struct clzi_bars_finder b = *finder;
    const int *d = b.found.depth;
    int at = 0;

    if (b.mode == CLZI_BARS_OFF) snprintf(text, CLZI_BARS_TEXT, "off");
    else if (b.mode == CLZI_BARS_FIXED) snprintf(text, CLZI_BARS_TEXT, "%d/%d/%d/%d", d[0], d[1], d[2], d[3]);
    else {
        at = snprintf(text, CLZI_BARS_TEXT, "auto");
        for (int i = 0; i < NUMBERS; i++) at += snprintf(text + at, CLZI_BARS_TEXT - at, "/%d", *number_of(&b, i));
    }
}

int clzi_bars_parse(struct clzi_bars_finder *b, const char *text)
{
    int *d = b->found.depth, end = 0;
    char s[3];

    memset(b, 0, sizeof *b);
    if (!text || !strcmp(text, "auto")) return 0;
    if (!strncmp(text, "auto/", 5)) return parse_state(b, text + 4);
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

    return b->mode != CLZI_BARS_FIXED ||
           (d[CLZI_TOP] + d[CLZI_BOTTOM] + (height < MIN_PICTURE ? height : MIN_PICTURE) <= height &&
            d[CLZI_LEFT] + d[CLZI_RIGHT] + (width < MIN_PICTURE ? width : MIN_PICTURE) <= width);
}

struct clzi_bars clzi_bars_next(struct clzi_bars_finder *b, const struct clz_frame *in, const int *bright)
{
    struct border shown[CLZI_SIDES];

    if (b->mode == CLZI_BARS_AUTO) {
        if (b->width != in->width || b->height != in->height) reset(b, in);
        if (measure(in, bright, shown)) {
            update_pair(b, CLZI_TOP, shown, in->height);
            update_pair(b, CLZI_LEFT, shown, in->width);
        }
    }
    return b->found;
}

// Rounds a depth down so that the edge of the bar is at a multiple of step from the left or top of the frame. far_side: a bar at
// the right or bottom.
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
