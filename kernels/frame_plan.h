// frame_plan.h - what a plan holds: shared by frame_plan.c, which makes it, and frame.c, which runs it.
#ifndef CLZK_FRAME_PLAN_H
#define CLZK_FRAME_PLAN_H
#include "frame.h"
#include "frame_rows.h"

enum { ROUGH = 2 };                                // reach of the window in which roughness is measured
enum { SUMS = 6, LINES = 4 };                      // planes of products, of coefficients

struct axis { int *first, taps; float *weight; };  // area average or enlargement along one side: [taps][n]

struct grid {                                      // where chroma (or luma) samples lie in the network's picture
    int w, h;
    int *x_first, *y_first;
    float *x_frac, *y_frac;
};

// Rows that are worked out when asked for; three are kept, as a pixel's window needs.
struct rolling { float *rows[3]; int number[3]; };     // which row each holds, -1: none

struct worker {                                    // one thread's rows
    float *line, *sums, *fitted, *coef, *top, *bottom, *y, *a, *b, *u, *v;
    const void **luma;                             // rows of the frame that are blended
    float *weights;
    struct rolling products, lines;                // sums of three neighbours: [SUMS][w], [LINES][w]
    int top_row, bottom_row;                       // which rows of coefficients top and bottom hold, -1: none
};

struct clzk_frame_plan {
    struct clzk_picture in, out;
    const struct clzk_rows *rows;
    int w, h, threads;
    const struct clzk_colour_table *colours;       // the caller's
    struct axis x, y;
    float black, inverse;                          // Y' = (code - black) * inverse
    struct clzk_rgb_of_yuv gamut;                  // all 0 if the table has mapped colours into the gamut itself
    struct clzk_store store_uv, store_y;
    struct clzk_store_rgb store_rgb;
    struct grid chroma, full;                      // full: luma's own grid, for luma=lstar
    float *inv_x, *inv_y;                          // 1 / pixels in the window around x, y
    float *wide;                                   // [4][h][w + 2 CLZK_REACH] Y', a, b, trust; the edges repeated
    float near[CLZK_REACH + 1][2 * CLZK_REACH + 1];    // weight of a neighbour by distance in rows and place along the row
    float *zeros;                                  // [SUMS][w]: the rows above and below the picture
    struct worker *workers;
};
#endif
