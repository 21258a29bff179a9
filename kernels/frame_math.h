// frame_math.h - the arithmetic of one pixel of the conversions of frames (frame.h). Compiled by C and CUDA compilers alike;
// frame_rows.h calls it in loops that the compiler vectorises.
#ifndef CLZK_FRAME_MATH_H
#define CLZK_FRAME_MATH_H
#include <stdbool.h>
#include <stdint.h>

#include "colour_table.h"

// Inlined in any case: the loops of frame_rows.h are compiled with options of their own.
#ifdef __CUDACC__
#define CLZK_PIXEL_FN static __host__ __device__ __forceinline__
#else
#define CLZK_PIXEL_FN static inline __attribute__((always_inline))
#endif

enum { CLZK_REACH = 3 };                    // radius of the joint bilateral filter, in pixels
enum { CLZK_CONFIDENCE_REACH = 2 };         // the roughness of Y' is measured over 5 x 5 pixels
#define CLZK_SPATIAL_SIGMA 1.5f             // standard deviation of the bilateral filter's spatial weight, in pixels
#define CLZK_LUMA_RANGE 0.15f               // difference of Y' from which on a neighbour has no weight
#define CLZK_ROUGHNESS_FLOOR (0.02f * 0.02f * 24)       // the roughness if all 24 neighbours differ by 0.02 in Y'
#define CLZK_GUIDED_EPS (0.01f * 0.01f)     // He's epsilon: variance of Y' below which a window counts as flat

// Y', U or V -> code: mid + value * scale, rounded, 0 to max
struct clzk_store { float mid, scale, max; int shift; bool swapped; };

// Y', U, V -> codes of R', G', B', 0 to max
struct clzk_store_rgb { float r_v, b_u, kr, kb, inv_kg, max; int step; bool swapped; };

CLZK_PIXEL_FN uint16_t clzk_swap16(uint16_t v) { return (uint16_t)(v << 8 | v >> 8); }
CLZK_PIXEL_FN float clzk_at_most(float a, float b) { return a < b ? a : b; }
CLZK_PIXEL_FN float clzk_at_least(float a, float b) { return a > b ? a : b; }
CLZK_PIXEL_FN float clzk_within(float x, float low, float high) { return x < low ? low : x > high ? high : x; }

// l = L* / scale - offset of the grey pixel with this Y'; inverse: 1 / scale. table: L* at 4096 levels of Y' from 0 to 1 and at
// one level above 1, for the interpolation.
CLZK_PIXEL_FN float clzk_l_of_luma(float y, const float *table, float inverse, float offset)
{
    const float c = clzk_within(y, 0, 1), x = c * 4095.f;
    const int k = (int)x;
    return (table[k] + (x - k) * (table[k + 1] - table[k])) * inverse - offset;
}

// Weight of a neighbour in the joint bilateral filter: the product of its spatial weight, its confidence, and Tukey's biweight of
// the difference of Y', which is 0 from a difference of 1 / inv_range on.
CLZK_PIXEL_FN float clzk_neighbour_weight(float y, float neighbour, float confidence, float spatial, float inv_range)
{
    const float d = (neighbour - y) * inv_range, left = 1 - d * d, t = left > 0 ? left : 0;
    return spatial * t * t * confidence;
}

// a and b as linear functions of Y'.
struct clzk_lines { float a_slope, b_slope, a_offset, b_offset; };

// Least-squares fit of a = A Y' + B, and of b, over a window; eps keeps A small where Y' is flat (He 2010, equations 5 and 6).
// The sums over the window of Y', Y'^2, a, b, Y' a and Y' b; k: 1 / number of its pixels.
CLZK_PIXEL_FN struct clzk_lines clzk_fit_lines(float sum_y, float sum_yy, float sum_a, float sum_b, float sum_ya, float sum_yb,
                                               float k, float eps)
{
    const float y = sum_y * k, a = sum_a * k, b = sum_b * k;
    const float inv = 1 / (sum_yy * k - y * y + eps);
    const float fa = (sum_ya * k - y * a) * inv, fb = (sum_yb * k - y * b) * inv;
    const struct clzk_lines lines = { fa, fb, a - fa * y, b - fb * y };
    return lines;
}

// Where a colour lies in the tables: the cell of the grid of a and b, and the place in it.
struct clzk_cell { int at; float af, bf; };         // at: index of its first corner, at the level 0 of Y'

CLZK_PIXEL_FN struct clzk_cell clzk_cell_of(float a, float b)
{
    const float limit = CLZK_AB_LIMIT;
    const float ac = clzk_within(a, -limit, limit), bc = clzk_within(b, -limit, limit);
    const float ax = ac * (1 / CLZK_STEP) + CLZK_CELLS / 2, bx = bc * (1 / CLZK_STEP) + CLZK_CELLS / 2;
    const int ai = (int)ax, bi = (int)bx;
    const struct clzk_cell cell = { (ai * CLZK_CELLS + bi) * CLZK_LEVELS, ax - ai, bx - bi };
    return cell;
}

// U, V from the table, bilinear in a and b, nearest in Y'; then scaled down until R', G' and B' are within 0..1
CLZK_PIXEL_FN void clzk_chroma_of(float a, float b, float y, const uint32_t *table, float r_v, float g_u, float g_v, float b_u,
                                  float *u, float *v)
{
    const float yc = clzk_within(y, 0, 1);
    const struct clzk_cell cell = clzk_cell_of(a, b);
    const int at = cell.at + (int)(yc * (CLZK_LEVELS - 1) + 0.5f);
    const uint32_t p00 = table[at], p01 = table[at + CLZK_LEVELS], p10 = table[at + CLZK_CELLS * CLZK_LEVELS];
    const uint32_t p11 = table[at + (CLZK_CELLS + 1) * CLZK_LEVELS];
    const float w11 = cell.af * cell.bf, w10 = cell.af - w11, w01 = cell.bf - w11, w00 = 1 - cell.af - w01;
    const float uu = (w00 * (float)(int16_t)p00 + w01 * (float)(int16_t)p01 + w10 * (float)(int16_t)p10 +
                      w11 * (float)(int16_t)p11) * (1 / CLZK_FIXED);
    const float vv = (w00 * (float)((int32_t)p00 >> 16) + w01 * (float)((int32_t)p01 >> 16) +
                      w10 * (float)((int32_t)p10 >> 16) + w11 * (float)((int32_t)p11 >> 16)) * (1 / CLZK_FIXED);
    const float dr = r_v * vv, dg = g_u * uu + g_v * vv, db = b_u * uu;
    const float up = clzk_at_least(clzk_at_least(dr, dg), db), down = -clzk_at_most(clzk_at_most(dr, dg), db);
    const float t = clzk_at_most(clzk_at_most((1 - yc) / clzk_at_least(up, 1e-6f), yc / clzk_at_least(down, 1e-6f)), 1);
    *u = uu * t;
    *v = vv * t;
}

// luma=lstar: Y' + the change of Y' that keeps L*, from the table. The table is interpolated linearly in a, b and Y', so that a
// ramp stays a ramp at any bit depth.
CLZK_PIXEL_FN float clzk_shifted_luma(float a, float b, float y, const float *table)
{
    const float yc = clzk_within(y, 0, 1), yx = yc * (CLZK_LEVELS - 1);
    const struct clzk_cell cell = clzk_cell_of(a, b);
    const int yi = (int)yx;
    const float yf = yx - yi;
    const float *t = table + cell.at + yi, *next = t + CLZK_CELLS * CLZK_LEVELS;
    const float t00 = t[0] + yf * (t[1] - t[0]), t01 = t[CLZK_LEVELS] + yf * (t[CLZK_LEVELS + 1] - t[CLZK_LEVELS]);
    const float t10 = next[0] + yf * (next[1] - next[0]);
    const float t11 = next[CLZK_LEVELS] + yf * (next[CLZK_LEVELS + 1] - next[CLZK_LEVELS]);
    const float low = t00 + cell.bf * (t01 - t00), high = t10 + cell.bf * (t11 - t10);
    return y + (low + cell.af * (high - low));
}

// mid: s.mid + 0.5
CLZK_PIXEL_FN int clzk_code(float v, float mid, float scale, float max)
{
    const float x = mid + v * scale;
    return (int)clzk_within(x, 0, max);
}

CLZK_PIXEL_FN int clzk_rgb_code(float x, float max)
{
    const float c = x < 0 ? 0 : x;
    return (int)((c > max ? max : c) + 0.5f);
}

// Codes of R', G', B', 0 to max. r_v, b_u: those of the matrix times max. G' is computed from luma and the rounded R' and B', so
// that it compensates their rounding errors: luma is correct to within half a code value, and a grey pixel's is exact. U = V = 0
// gives R' = G' = B'.
struct clzk_rgb_codes { int r, g, b; };
CLZK_PIXEL_FN struct clzk_rgb_codes clzk_rgb_of(float y, float u, float v, float r_v, float b_u, float kr, float kb, float inv_kg,
                                                float max)
{
    const float luma = y * max;
    const int r = clzk_rgb_code(luma + r_v * v, max), b = clzk_rgb_code(luma + b_u * u, max);
    const int g = clzk_rgb_code((luma - kr * (float)r - kb * (float)b) * inv_kg, max);
    const int plain = (u == 0) & (v == 0);
    const struct clzk_rgb_codes codes = { r, plain ? r : g, b };
    return codes;
}

// Conversion of a luma code to another range: code * scale + offset, rounded. scale 0: the ranges are equal.
struct clzk_recode { double scale, offset, max; };

CLZK_PIXEL_FN unsigned clzk_recode_code(const struct clzk_recode *r, unsigned code)
{
    const double x = code * r->scale + r->offset;
    return (unsigned)(x < 0 ? 0 : x > r->max ? r->max : x);
}
#endif
