// frame_geometry.h - host functions that the plans of frame.h and of cuda.h share: positions and weights of samples, scales of
// codes.
#ifndef CLZK_FRAME_GEOMETRY_H
#define CLZK_FRAME_GEOMETRY_H
#include <math.h>

#include "frame.h"
#include "frame_math.h"

// The length of the intersection of the intervals a0..a1 and b0..b1.
static inline float clzk_overlap(float a0, float a1, float b0, float b1)
{
    const float low = a0 > b0 ? a0 : b0, high = a1 < b1 ? a1 : b1;
    return high > low ? high - low : 0;
}

// How far the rows of a field lie below those of a whole picture of its height: row k of the top field is row 2k of the frame,
// row k of the bottom field is row 2k + 1, and both lie within the space of their row, 2k to 2k + 2.
static inline float clzk_row_shift(const struct clzk_picture *f)
{
    return f->part == CLZK_TOP_FIELD ? -0.25f : f->part == CLZK_BOTTOM_FIELD ? 0.25f : 0;
}

// Where the first row of chroma lies, counted in rows of luma. In interlaced 4:2:0 each row of chroma belongs to one field. Those
// that do not lie on luma's rows are at 1/4 of the way to the next row of the top field, at 3/4 in the bottom field, so that the
// rows of both have equal distances in the frame (ISO/IEC 13818-2, 6.1.1.8 and figure 6-3; H.264, 6.2 and figure 6-2).
static inline float clzk_chroma_row(const struct clzk_picture *f)
{
    if (!f->log2_h || f->cosited_y) return 0;
    if (f->part == CLZK_FRAME) return 0.5f * (float)((1 << f->log2_h) - 1);
    return f->part == CLZK_TOP_FIELD ? 0.25f : 0.75f;
}

// The weights of the rows of luma from -1 to 2 in the mean at a row of chroma that lies at clzk_chroma_row(): the area of two
// rows around it.
static inline void clzk_chroma_row_weights(const struct clzk_picture *f, float weights[4])
{
    const float at = clzk_chroma_row(f);

    for (int i = 0; i < 4; i++) {
        const float top = (float)(i - 1) - 0.5f, low = top > at - 1 ? top : at - 1, high = top < at ? top + 1 : at + 1;
        weights[i] = !f->log2_h ? i == 1 : high > low ? (high - low) / 2 : 0;
    }
}

// Resampling of `from` samples to n along one side: the area average if n is smaller, else linear interpolation.
// Result i is the sum over k of weight[k * n + i] times sample first[i] + k. shift: of the samples, see clzk_row_shift().
static inline int clzk_axis_taps(int from, int n)
{
    const double scale = (double)from / n;
    const int taps = scale >= 1 ? (int)ceil(scale) + 1 : 2;

    return taps > from ? from : taps;
}

static inline void clzk_axis_fill(int *first, float *weight, int from, int n, float shift)
{
    const double scale = (double)from / n;
    const int taps = clzk_axis_taps(from, n);

    for (int i = 0; i < n; i++) {
        double centre = (i + 0.5) * scale - 0.5 - shift;
        int at = (int)floor(scale >= 1 ? i * scale - shift : centre);
        centre = centre < 0 ? 0 : centre > from - 1 ? from - 1 : centre;
        if (at > from - taps) at = from - taps;
        if (at < 0) at = 0;
        first[i] = at;
        for (int k = 0; k < taps; k++) {
            const float d = (float)fabs(centre - (at + k));
            const float low = at + k ? (float)(at + k) + shift : -1;                    // the first and the last reach beyond
            const float high = at + k < from - 1 ? (float)(at + k + 1) + shift : (float)(from + 1);
            const float share = clzk_overlap(low, high, (float)(i * scale), (float)((i + 1) * scale)) / (float)scale;
            weight[(size_t)k * n + i] = scale >= 1 ? share : d < 1 ? 1 - d : 0;
        }
    }
}

// The positions of n samples in a picture of `small` pixels. A sample stands for 2^log2 pixels of `size`; the first one lies at
// pixel `offset`, which itself lies `shift` after its place.
static inline void clzk_positions_fill(int *first, float *frac, int n, int log2, float offset, float shift, int size, int small)
{
    for (int i = 0; i < n; i++) {
        const double centre = i * (double)(1 << log2) + 0.5 + offset + shift;
        double at = centre * small / size - 0.5;
        at = at < 0 ? 0 : at > small - 1 ? small - 1 : at;
        first[i] = (int)at;
        frac[i] = (float)(at - first[i]);
    }
}

static inline float clzk_chroma_column(const struct clzk_picture *f)       // as clzk_chroma_row()
{
    return f->cosited_x ? 0 : 0.5f * (float)((1 << f->log2_w) - 1);
}

// The joint bilateral filter's weights by distance in rows, position in the row.
static inline void clzk_spatial_fill(float weights[CLZK_REACH + 1][2 * CLZK_REACH + 1])
{
    const float s = 2 * CLZK_SPATIAL_SIGMA * CLZK_SPATIAL_SIGMA;

    for (int i = 0; i <= CLZK_REACH; i++)
        for (int j = 0; j <= 2 * CLZK_REACH; j++)
            weights[i][j] = expf(-(float)((j - CLZK_REACH) * (j - CLZK_REACH)) / s) * expf(-(float)(i * i) / s);
}

static inline int clzk_chroma_width(const struct clzk_picture *f) { return -(-f->width >> f->log2_w); }
static inline int clzk_chroma_height(const struct clzk_picture *f) { return -(-f->height >> f->log2_h); }

// Conversions between codes and Y', U, V or R', G', B'. k: of the colour table, rgb: its matrix.
struct clzk_codes {
    float black, inverse;                   // Y' = (code of in - black) * inverse
    struct clzk_store uv, y;
    struct clzk_store_rgb rgb;
};

static inline struct clzk_codes clzk_codes_of(const struct clzk_picture *in, const struct clzk_picture *out,
                                              struct clzk_luma_weights k, const struct clzk_rgb_of_yuv *rgb)
{
    const int eight = 1 << (in->depth - 8);
    const bool in_full = in->full || in->rgb, full = out->full || out->rgb;
    const float max = (float)((1 << in->depth) - 1);
    const struct clzk_store y = { full ? 0 : 16.f * eight, full ? max : 219.f * eight, max, out->shift, out->swapped };
    const struct clzk_store uv = { (float)(1 << (in->depth - 1)), full ? max : 224.f * eight, max, out->shift, out->swapped };
    const struct clzk_store_rgb codes = { rgb->r_v, rgb->b_u, k.kr, k.kb, 1 / (1 - k.kr - k.kb), max, out->c[0].step,
                                          out->swapped };
    const struct clzk_codes c = { in_full ? 0 : 16.f * eight, 1 / (in_full ? max : 219.f * eight), uv, y, codes };

    return c;
}

static inline struct clzk_recode clzk_recode_luma(const struct clzk_picture *in, const struct clzk_picture *out)
{
    const double eight = 1 << (in->depth - 8), max = (1 << in->depth) - 1;
    const bool from = in->full || in->rgb, to = out->full || out->rgb;
    const double scale = to ? max / (219 * eight) : 219 * eight / max;
    const double half = 0.5 + 1e-6;         // rounds halves up
    const struct clzk_recode none = { 0, 0, 0 };
    const struct clzk_recode recode = { scale, (to ? -16 * eight * scale : 16 * eight) + half, max };

    return from == to ? none : recode;
}
#endif
