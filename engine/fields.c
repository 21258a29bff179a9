// fields.c - compares the luma of a frame's two fields, and of frames that follow each other.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "fields.h"
#include "kernels/frame_math.h"

enum { CELL = CLZI_FIELDS_CELL, PLANES = 3 };
// Measured: of three progressive films, two of them in colour, without and with noise of up to 60 codes, no frame is taken for
// combed. Of 80 photographs 7 have squares enough, because of detail as fine as the rows: so a square must have changed since the
// frame before too, by `changed` of what the fields differ by; else it is what it was. Made interlaced, 80 of 80 moving frames of
// an old film and 114 of 150 of a head that moves slowly are found. An edge of 40 codes that moves by 4 samples is found under
// grain of a standard deviation of 5 codes, one of 80 codes under 20.
static const float ratio = 1.5f, margin = 2;    // of the sums; codes of 8 bits, mean of a square
static const float changed = 0.25f;
enum { LEAST = 3, SHARE = 1000 };           // combed squares of a combed frame: at least 3, and 1 of 1000

struct plane { uint8_t *rows; size_t bytes; };      // bytes of a row

struct clzi_fields {
    struct clzi_fields_params params;
    const struct clz_pixfmt *format;        // of the kept frame; NULL: none
    int width, height;
    enum clz_range range;
    enum clz_matrix matrix;
    enum clz_transfer transfer;
    struct plane kept[PLANES];              // luma, or R'G'B', of the last picture of each parity that repeats none
    bool valid[2];                          // its even and odd rows belong to pictures
    uint64_t picture[2], number;            // the last ones that show them; of the next picture
    bool two;                               // the frame before held two pictures
    int columns, rows;                      // of cells
    uint8_t *lines, *combed;                // 4 rows of samples in codes of 8 bits; [rows][columns]
    uint8_t *squares[2];                    // [rows][columns]: that begin with a cell, of this frame and the one before
    uint32_t *sums;                         // [3][rows][columns]: differences of neighbouring rows; of rows of one field; from
                                            // the frame before
};

// The rows of a picture that may come from two: row y is at data[y & 1] + y * stride[y & 1].
struct woven { const uint8_t *data[2]; ptrdiff_t stride[2]; };

int clzi_fields_create(struct clzi_fields **out, const struct clzi_fields_params *params)
{
    struct clzi_fields *f = *out = calloc(1, sizeof *f);

    if (!f) return -ENOMEM;
    f->params = *params;
    return 0;
}

static void release(struct clzi_fields *f)
{
    for (int i = 0; i < PLANES; i++) {
        free(f->kept[i].rows);
        f->kept[i].rows = NULL;
    }
    free(f->lines);
    free(f->combed);
    free(f->squares[0]);
    free(f->squares[1]);
    free(f->sums);
    f->lines = f->combed = f->squares[0] = f->squares[1] = NULL;
    f->sums = NULL;
    f->format = NULL;
    f->two = f->valid[0] = f->valid[1] = false;
}

void clzi_fields_destroy(struct clzi_fields **fields)
{
    if (*fields) release(*fields);
    free(*fields);
    *fields = NULL;
}

void clzi_fields_restart(struct clzi_fields *f) { f->two = f->valid[0] = f->valid[1] = false; }

bool clzi_fields_fit(const struct clz_frame *out)
{
    return out->width >= 2 * CELL && out->height >= 2 * CELL && out->height % (2 << out->format->log2_chroma_h) == 0;
}

static int cells(int size) { return (size + CELL - 1) / CELL; }
size_t clzi_fields_map_size(const struct clz_frame *frame) { return (size_t)cells(frame->width) * cells(frame->height); }

// Whether luma, or a part of R'G'B', lies in the plane.
static bool is_kept(const struct clz_pixfmt *format, int plane)
{
    const int parts = format->flags & CLZ_PIXFMT_RGB ? 3 : 1;

    for (int i = 0; i < parts; i++)
        if (format->samples[i].plane == plane) return true;
    return false;
}

static int fit_to(struct clzi_fields *f, const struct clz_frame *in)
{
    if (f->format == in->format && f->width == in->width && f->height == in->height) {
        if (f->range != in->range || f->matrix != in->matrix || f->transfer != in->transfer) clzi_fields_restart(f);
        goto tags;                          // equal codes have another meaning now
    }
    release(f);
    f->width = in->width;
    f->height = in->height;
    f->columns = cells(in->width);
    f->rows = cells(in->height);
    for (int i = 0; i < in->format->planes && i < PLANES; i++) {
        if (!is_kept(in->format, i)) continue;
        f->kept[i].bytes = clz_pixfmt_row_bytes(in->format, i, in->width);
        if (!(f->kept[i].rows = malloc(f->kept[i].bytes * in->height))) goto fail;
    }
    f->lines = malloc(4 * (size_t)in->width);
    f->combed = malloc((size_t)f->columns * f->rows);
    f->sums = malloc(3 * (size_t)f->columns * f->rows * sizeof *f->sums);
    for (int i = 0; i < 2; i++) f->squares[i] = calloc((size_t)f->columns * f->rows, 1);
    if (!f->lines || !f->combed || !f->squares[0] || !f->squares[1] || !f->sums) goto fail;
    f->format = in->format;
tags:
    f->range = in->range;
    f->matrix = in->matrix;
    f->transfer = in->transfer;
    return 0;
fail:
    release(f);
    return -ENOMEM;
}

// ---- equal pictures ----

static bool near8(const uint8_t *a, const uint8_t *b, size_t n, int most)
{
    int beyond = 0;

    for (size_t i = 0; i < n; i++) beyond |= abs(a[i] - b[i]) > most;
    return !beyond;
}

static bool near16(const uint16_t *a, const uint16_t *b, size_t n, int most, bool swapped, int shift)
{
    int beyond = 0;

    for (size_t i = 0; i < n; i++) {
        const int p = (swapped ? clzk_swap16(a[i]) : a[i]) >> shift, q = (swapped ? clzk_swap16(b[i]) : b[i]) >> shift;
        beyond |= abs(p - q) > most;
    }
    return !beyond;
}

static int shift_of(const struct clz_pixfmt *p) { return p->flags & CLZ_PIXFMT_MSB ? 16 - p->depth : 0; }

static bool rows_match(const struct clzi_fields *f, const struct clz_frame *in, int parity)
{
    const struct clz_pixfmt *p = in->format;
    const int most = f->params.repeats * (1 << (p->depth - 8));
    bool match = f->valid[parity] && f->params.repeats >= 0;

    for (int i = 0; i < PLANES; i++)
        for (int y = parity; f->kept[i].rows && y < in->height && match; y += 2) {
            const uint8_t *a = in->data[i] + y * in->stride[i], *b = f->kept[i].rows + y * f->kept[i].bytes;
            const size_t n = f->kept[i].bytes;
            if (!most) match = !memcmp(a, b, n);
            else if (p->depth == 8) match = near8(a, b, n, most);
            else match = near16((const uint16_t *)a, (const uint16_t *)b, n / 2, most, p->flags & CLZ_PIXFMT_SWAPPED,
                                shift_of(p));
        }
    return match;
}

static void keep_rows(struct clzi_fields *f, const struct clz_frame *in, int parity)
{
    for (int i = 0; i < PLANES; i++)
        for (int y = parity; f->kept[i].rows && y < in->height; y += 2)
            memcpy(f->kept[i].rows + y * f->kept[i].bytes, in->data[i] + y * in->stride[i], f->kept[i].bytes);
}

// ---- combing ----

// Of RGB, green.
static const struct clz_samples *luma_samples(const struct clz_pixfmt *p)
{
    return &p->samples[p->flags & CLZ_PIXFMT_RGB ? 1 : 0];
}

static void read_row(const struct clzi_fields *f, const struct woven *w, int y, uint8_t *to)
{
    const struct clz_pixfmt *p = f->format;
    const struct clz_samples *s = luma_samples(p);
    const uint8_t *from = w->data[y & 1] + y * w->stride[y & 1];
    const uint16_t *wide = (const uint16_t *)from + s->offset;
    const int down = shift_of(p) + p->depth - 8;

    if (p->depth == 8 && s->step == 1) memcpy(to, from + s->offset, f->width);
    else if (p->depth == 8)
        for (int x = 0; x < f->width; x++) to[x] = from[s->offset + x * s->step];
    else
        for (int x = 0; x < f->width; x++) {
            const uint16_t v = wide[x * s->step];
            to[x] = (uint8_t)((p->flags & CLZ_PIXFMT_SWAPPED ? clzk_swap16(v) : v) >> down);
        }
}

static uint32_t difference(const uint8_t *a, const uint8_t *b, int n)
{
    uint32_t sum = 0;

    for (int i = 0; i < n; i++) sum += (uint32_t)abs(a[i] - b[i]);
    return sum;
}

static void add_row(const struct clzi_fields *f, uint32_t *sums, int y, const uint8_t *a, const uint8_t *b)
{
    for (int k = 0; k < f->columns; k++) {
        const int x = k * CELL, n = f->width - x < CELL ? f->width - x : CELL;
        sums[y / CELL * f->columns + k] += n == CELL ? difference(a + x, b + x, CELL) : difference(a + x, b + x, n);
    }
}

static void sum_cells(const struct clzi_fields *f, const struct woven *w, const struct woven *before)
{
    const size_t count = (size_t)f->columns * f->rows;
    uint8_t *const other = f->lines + 3 * f->width;

    memset(f->sums, 0, 3 * count * sizeof *f->sums);
    read_row(f, w, 0, f->lines);
    read_row(f, w, 1, f->lines + f->width);
    for (int y = 0; y + 2 < f->height; y++) {
        const uint8_t *a = f->lines + y % 3 * f->width, *b = f->lines + (y + 1) % 3 * f->width;
        uint8_t *c = f->lines + (y + 2) % 3 * f->width;
        read_row(f, w, y + 2, c);
        add_row(f, f->sums, y, a, b);
        add_row(f, f->sums + count, y, a, c);
        if (!before) continue;
        read_row(f, before, y, other);
        add_row(f, f->sums + 2 * count, y, a, other);
    }
}

static float square_sum(const struct clzi_fields *f, int which, int at)
{
    const uint32_t *s = f->sums + (size_t)which * f->columns * f->rows + at;
    return (float)(s[0] + s[1] + s[f->columns] + s[f->columns + 1]);
}

// Whether the rows are combed, and where: f->combed. before: the frame before, or NULL.
static bool is_combed(const struct clzi_fields *f, const struct woven *w, const struct woven *before)
{
    int count = 0;

    sum_cells(f, w, before);
    memset(f->combed, 0, (size_t)f->columns * f->rows);
    for (int y = 0; y + 1 < f->rows; y++)
        for (int x = 0; x + 1 < f->columns; x++) {
            const int at = y * f->columns + x, below = at + f->columns;
            const float near = square_sum(f, 0, at), far = square_sum(f, 1, at);
            f->squares[0][at] = near > ratio * far + margin * 4 * CELL * CELL;
            if (before && square_sum(f, 2, at) < changed * (near - far)) f->squares[0][at] &= f->squares[1][at];
            if (!f->squares[0][at]) continue;
            f->combed[at] = f->combed[at + 1] = f->combed[below] = f->combed[below + 1] = 255;
            count++;
        }
    return count >= LEAST && count * SHARE >= f->rows * f->columns;
}

// The two fields of a frame.
static bool is_combed_frame(struct clzi_fields *f, const struct clz_frame *in)
{
    const int plane = luma_samples(f->format)->plane;
    const struct plane *k = &f->kept[plane];
    const struct woven w = { { in->data[plane], in->data[plane] }, { in->stride[plane], in->stride[plane] } };
    const struct woven before = { { k->rows, k->rows }, { (ptrdiff_t)k->bytes, (ptrdiff_t)k->bytes } };
    const bool combed = is_combed(f, &w, f->valid[0] && f->valid[1] ? &before : NULL);
    uint8_t *const squares = f->squares[0];

    f->squares[0] = f->squares[1];
    f->squares[1] = squares;
    return combed;
}

// The cells that are combed, and those beside them.
static void fill_map(const struct clzi_fields *f, uint8_t *map)
{
    memset(map, 0, (size_t)f->columns * f->rows);
    for (int y = 0; y < f->rows; y++)
        for (int x = 0; x < f->columns; x++) {
            if (!f->combed[y * f->columns + x]) continue;
            for (int v = y ? y - 1 : 0; v <= y + 1 && v < f->rows; v++)
                for (int u = x ? x - 1 : 0; u <= x + 1 && u < f->columns; u++) map[v * f->columns + u] = 255;
        }
}

// Whether the rows of one parity of the frame fit between the kept ones of the other.
static bool fits_kept(const struct clzi_fields *f, const struct clz_frame *in, int parity)
{
    const int plane = luma_samples(f->format)->plane;
    struct woven w;

    w.data[parity] = in->data[plane];
    w.stride[parity] = in->stride[plane];
    w.data[!parity] = f->kept[plane].rows;
    w.stride[!parity] = (ptrdiff_t)f->kept[plane].bytes;
    return f->valid[!parity] && !is_combed(f, &w, NULL);
}

// ---- frames ----

static int distance(const struct clzi_fields *f, int parity, uint64_t number)
{
    const uint64_t back = number - f->picture[parity];
    return back <= CLZI_FIELDS_BACK ? (int)back : 0;
}

int clzi_fields_next(struct clzi_fields *f, const struct clz_frame *in, enum clz_fields order, uint8_t *map,
                     struct clzi_fields_frame *frame)
{
    const int first = order == CLZ_FIELDS_BOTTOM_FIRST, ret = fit_to(f, in);
    const bool fits = f->params.telecine && f->params.repeats >= 0;
    bool same[2];

    if (ret < 0) return ret;
    *frame = (struct clzi_fields_frame){ .count = 1, .picture = { { CLZK_FRAME, 0 } } };
    for (int i = 0; i < 2; i++) same[i] = rows_match(f, in, i);
    if (!order) {
        memset(f->squares[1], 0, (size_t)f->columns * f->rows);
    } else if (is_combed_frame(f, in)) {
        frame->count = 2;
        fill_map(f, map);
    }
    if (frame->count == 1 && same[0] && same[1] && f->picture[0] == f->picture[1]) {
        frame->picture[0].like = distance(f, 0, f->number);
    } else if (frame->count == 1 && order && fits && f->two && (same[0] || same[1])) {      // the rest of a telecined picture
        frame->picture[0].like = distance(f, same[!first] ? !first : first, f->number);
    }
    for (int i = 0; i < frame->count && frame->count == 2; i++) {
        const int parity = i ? !first : first;
        frame->picture[i].part = parity ? CLZK_BOTTOM_FIELD : CLZK_TOP_FIELD;
        if (same[parity]) frame->picture[i].like = distance(f, parity, f->number + i);
        else if (!i && fits && fits_kept(f, in, parity)) frame->picture[i].like = distance(f, !parity, f->number);
    }
    for (int i = 0; i < 2; i++) {
        const int picture = frame->count == 1 ? 0 : i != first;
        if (!same[i] || !frame->picture[picture].like) keep_rows(f, in, i);
        f->valid[i] = true;
        f->picture[i] = f->number + picture;
    }
    f->number += frame->count;
    f->two = frame->count == 2;
    return 0;
}
