// frame_plan.h - contents of a plan: shared by frame_plan.c, which creates it, and frame.c, which runs it.
#ifndef CLZK_FRAME_PLAN_H
#define CLZK_FRAME_PLAN_H
#include "frame.h"
#include "frame_rows.h"

// The guided filter's window has 3 x 3 pixels: after the bilateral filter that suffices, and larger windows carry colour across
// weak edges. SUMS: number of planes of products that the fit needs; LINES: of coefficients that it gives.
enum { SUMS = 6, LINES = 4 };

struct axis { int *first, taps; float *weight; };  // resampling along one side; weight is [taps][n]

struct grid {                                      // positions of chroma (or luma) samples in the network's picture
    int w, h;
    int *x_first, *y_first;
    float *x_frac, *y_frac;
};

// The last three rows of one step, as many as a window needs; computed on demand. Row r is in rows[r % 3] if number[r % 3] is r.
struct rolling { float *rows[3]; int number[3]; };

struct worker {                                    // one thread's buffers, mostly of one row
    float *line, *sums, *fitted, *coef, *top, *bottom, *y, *a, *b, *u, *v;
    const void **luma;                             // the frame's rows that blend_luma() sums, and their weights
    float *weights;
    struct rolling products, lines;                // summed over three neighbours: [SUMS][w], [LINES][w]
    int top_row, bottom_row;                       // numbers of the rows in top and bottom, -1: none
};

struct clzk_frame_plan {
    struct clzk_picture in, out;
    const struct clzk_rows *rows;
    int w, h, threads;
    const struct clzk_colour_table *colours;       // owned by the caller
    struct axis x, y;
    float black, inverse;                          // Y' = (code - black) * inverse
    struct clzk_rgb_of_yuv gamut;                  // all 0 if the table's colours are within the gamut already
    struct clzk_store store_uv, store_y;
    struct clzk_store_rgb store_rgb;
    float chroma_rows[4];                          // clzk_chroma_row_weights()
    struct grid chroma, full;                      // full: that of the luma samples, for luma=lstar
    float *inv_x, *inv_y;                          // 1 / number of pixels in the window around column x, row y
    float *padded;                                 // [4][h][w + 2 CLZK_REACH] Y', a, b, confidence; edge pixels are repeated
    float spatial[CLZK_REACH + 1][2 * CLZK_REACH + 1]; // weight of a neighbour by distance in rows, position in the row
    float *zeros;                                  // [SUMS][w], in place of the rows above and below the picture
    struct worker *workers;
};
#endif
