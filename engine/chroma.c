// chroma.c - measures the chroma of a grid of places in a frame.
#include <math.h>
#include <string.h>

#include "chroma.h"

enum {
    PLACES = 3,                             // in each direction of a cell, whose mean counts: against noise
    SOON = 3, LATE = 48,                    // frames, see chroma.h
};
// In codes of 8 bits. Measured on two colour films, and with them and an old film made grey, sepia and tinted: natural colours
// have a variety of 3.8 to 11.6, 0.29 or more of their strength (at a third of the saturation 1.2 to 3.5, 0.3); gray film 0;
// tints up to 1.0, 0.06 of their strength, and 3.2, 0.15, where sepia clips.
static const float
    coloured = 2.7f, tinted = 2.2f,         // at the first frame of a shot
    clearly_coloured = 3.5f, hardly_coloured = 2,
    one_hue = 0.17f,                        // share of the strength that the variety of a tint has at most
    dark_cell = 28,                         // luma of 0 to 255 under which a cell has no say
    same_shot = 0.6f;                       // least correlation of the luma of two frames of a shot
static const int least_cells = CLZI_CHROMA_CELLS / 16;

static float sample(const struct clz_frame *f, int component, int x, int y)     // in codes of 8 bits
{
    const struct clz_pixfmt *p = f->format;
    const struct clz_samples *s = &p->samples[component];
    const bool small = !(p->flags & CLZ_PIXFMT_RGB) && (component == 1 || component == 2);
    const int at = s->offset + (x >> (small ? p->log2_chroma_w : 0)) * s->step;
    const uint8_t *row = f->data[s->plane] + (y >> (small ? p->log2_chroma_h : 0)) * f->stride[s->plane];
    uint16_t v;

    if (p->depth == 8) return row[at];
    v = ((const uint16_t *)row)[at];
    if (p->flags & CLZ_PIXFMT_SWAPPED) v = (uint16_t)(v << 8 | v >> 8);
    if (p->flags & CLZ_PIXFMT_MSB) v >>= 16 - p->depth;
    return (float)v / (float)(1 << (p->depth - 8));
}

// Y', Cb and Cr, the last two about 0. For RGB with the weights of BT.709, whatever its matrix: this is only an estimate.
static void colour_at(const struct clz_frame *f, int x, int y, float c[3])
{
    const float p = sample(f, 0, x, y), q = sample(f, 1, x, y), r = sample(f, 2, x, y);

    if (f->format->flags & CLZ_PIXFMT_RGB) {
        c[0] = 0.2126f * p + 0.7152f * q + 0.0722f * r;
        c[1] = (r - c[0]) / 1.8556f;
        c[2] = (p - c[0]) / 1.5748f;
    } else {
        c[0] = f->range == CLZ_RANGE_FULL ? p : (p - 16) * 255 / 219;
        c[1] = q - 128;
        c[2] = r - 128;
    }
}

struct clzi_chroma_look clzi_chroma_look(const struct clz_frame *in, float luma[CLZI_CHROMA_CELLS])
{
    struct { float u, v; } cell[CLZI_CHROMA_CELLS];
    float uu = 0, uv = 0, vv = 0, most, least, x, y, norm, sides[2] = { 0, 0 };
    int n = 0;

    for (int k = 0; k < CLZI_CHROMA_CELLS; k++) {
        float sum[3] = { 0, 0, 0 };
        for (int i = 0; i < PLACES * PLACES; i++) {
            const int column = k % CLZI_CHROMA_COLUMNS * PLACES + i % PLACES, row = k / CLZI_CHROMA_COLUMNS * PLACES + i / PLACES;
            float c[3];
            colour_at(in, (2 * column + 1) * in->width / (2 * PLACES * CLZI_CHROMA_COLUMNS),
                      (2 * row + 1) * in->height / (2 * PLACES * CLZI_CHROMA_ROWS), c);
            for (int j = 0; j < 3; j++) sum[j] += c[j] / (PLACES * PLACES);
        }
        luma[k] = sum[0];
        if (sum[0] < dark_cell) continue;
        cell[n].u = sum[1];
        cell[n].v = sum[2];
        uu += sum[1] * sum[1];
        uv += sum[1] * sum[2];
        vv += sum[2] * sum[2];
        n++;
    }
    if (n < least_cells) return (struct clzi_chroma_look){ .dark = true };
    uu /= (float)n;
    uv /= (float)n;
    vv /= (float)n;
    // the axes of the second moments about neutral
    most = (uu + vv) / 2 + sqrtf((uu - vv) * (uu - vv) / 4 + uv * uv);
    least = fmaxf(uu + vv - most, 0);
    x = uu >= vv ? most - vv : uv;
    y = uu >= vv ? uv : most - uu;
    norm = sqrtf(x * x + y * y);
    for (int i = 0; i < n && norm > 0; i++) {
        const float along = (cell[i].u * x + cell[i].v * y) / norm;
        sides[along > 0] += along * along / (float)n;
    }
    return (struct clzi_chroma_look){ false, sqrtf(uu + vv), sqrtf(least + fminf(sides[0], sides[1])) };
}

// Of a picture that is all of one brightness and another that is not: 0.
static float correlation(const float *p, const float *q)
{
    const float flat = CLZI_CHROMA_CELLS;   // a mean square of 1
    float mean_p = 0, mean_q = 0, pp = 0, pq = 0, qq = 0;

    for (int i = 0; i < CLZI_CHROMA_CELLS; i++) {
        mean_p += p[i] / CLZI_CHROMA_CELLS;
        mean_q += q[i] / CLZI_CHROMA_CELLS;
    }
    for (int i = 0; i < CLZI_CHROMA_CELLS; i++) {
        pp += (p[i] - mean_p) * (p[i] - mean_p);
        pq += (p[i] - mean_p) * (q[i] - mean_q);
        qq += (q[i] - mean_q) * (q[i] - mean_q);
    }
    if (pp < flat || qq < flat) return pp < flat && qq < flat;
    return pq / sqrtf(pp * qq);
}

// What a frame shows by itself; `from`: with less variety it is not coloured.
static enum clzi_own_colour shown(const struct clzi_chroma_look *look, float from)
{
    if (look->variety > from && look->variety > one_hue * look->strength) return CLZI_COLOURED;
    return look->strength > tinted ? CLZI_TINTED : CLZI_GREY;
}

enum clzi_own_colour clzi_chroma_next(struct clzi_chroma_finder *f, const struct clz_frame *in)
{
    struct clzi_chroma_look look;
    float luma[CLZI_CHROMA_CELLS];
    enum clzi_own_colour now;
    bool cut;

    if (in->format->flags & CLZ_PIXFMT_GRAY) return CLZI_GREY;
    look = clzi_chroma_look(in, luma);
    cut = !f->begun || correlation(luma, f->luma) < same_shot;
    memcpy(f->luma, luma, sizeof f->luma);
    f->begun = true;
    f->pending = f->pending || cut;
    if (look.dark) return f->found;
    if (f->pending) {
        f->pending = false;
        f->votes = 0;
        return f->found = shown(&look, coloured);
    }
    now = shown(&look, f->found == CLZI_COLOURED ? hardly_coloured : clearly_coloured);
    f->votes = now == f->found ? 0 : f->votes + 1;
    if (f->votes < (now == CLZI_COLOURED ? SOON : LATE)) return f->found;
    f->votes = 0;
    return f->found = now;
}
