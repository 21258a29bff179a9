// colour_table.h - what the colours of a frame depend on besides the frame: the matrix, and whether Y' or L* is kept. Made once,
// then only read, by any number of plans and threads.
#ifndef CLZK_COLOUR_TABLE_H
#define CLZK_COLOUR_TABLE_H
#include <stdbool.h>
#include <stdint.h>

#include "lab_math.h"

enum {
    CLZK_CELLS = 45,                        // nodes of a and of b, CLZK_STEP apart, the middle one 0
    CLZK_LEVELS = 256,                      // of Y', 0..1
    CLZK_L_STEPS = 4096,                    // of Y' in the table of L*
};
#define CLZK_STEP 5.f
#define CLZK_AB_LIMIT (CLZK_STEP * (CLZK_CELLS / 2) - 0.01f)
#define CLZK_FIXED 16384.f                  // 1.0 in the table: U and V to +-2

// R' = Y' + r_v V; G' = Y' + g_u U + g_v V; B' = Y' + b_u U
struct clzk_rgb_of_yuv { float r_v, g_u, g_v, b_u; };

struct clzk_colour_table {
    struct clzk_luma_weights weights;
    bool lstar;                             // L* is kept and Y' follows; false: Y' is kept
    float *l_of_luma;                       // [CLZK_L_STEPS + 1] L* of the grey pixel with Y' = i / (CLZK_L_STEPS - 1)
    uint32_t *uv;                           // [CLZK_CELLS][CLZK_CELLS][CLZK_LEVELS] by a, b, Y': U and V, two int16 in one word
    float *shift;                           // the same cells and levels, if lstar: how much Y' changes
    struct clzk_rgb_of_yuv rgb;
};

// Returns 0 or -ENOMEM.
int clzk_colour_table_create(struct clzk_colour_table **table, struct clzk_luma_weights weights, bool lstar);
void clzk_colour_table_destroy(struct clzk_colour_table **table);

// The chroma that gives Y', a*, b*: U and V about 0 (-0.5..0.5), exact, unclipped. The definition that the table follows.
void clzk_chroma_solve(struct clzk_luma_weights weights, float y, float a, float b, float uv[2]);
#endif
