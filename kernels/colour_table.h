// colour_table.h - lookup tables for colour conversion. They depend only on the colour space and on whether Y' or L* is kept. A
// table is read-only once created, so any number of plans and threads may use it.
#ifndef CLZK_COLOUR_TABLE_H
#define CLZK_COLOUR_TABLE_H
#include <stdbool.h>
#include <stdint.h>

#include "lab_math.h"
#include "transfer.h"

enum {
    CLZK_CELLS = 45,                        // grid points of a and of b, CLZK_STEP apart; the middle one is 0
    CLZK_LEVELS = 256,                      // levels of Y' from 0 to 1 in the table of U, V
    CLZK_L_STEPS = 4096,                    // levels of Y' from 0 to 1 in the table of L*
};
#define CLZK_STEP 5.f
#define CLZK_BRIGHTEST 101.f                // L*; a little above 100, which rounding may exceed
#define CLZK_AB_LIMIT (CLZK_STEP * (CLZK_CELLS / 2) - 0.01f)
#define CLZK_FIXED 16384.f                  // fixed-point 1.0 of U and V in the table; the range is +-2

// R' = Y' + r_v V; G' = Y' + g_u U + g_v V; B' = Y' + b_u U
struct clzk_rgb_of_yuv { float r_v, g_u, g_v, b_u; };

struct clzk_colour_space {
    struct clzk_luma_weights weights;
    bool wide;                              // primaries of BT.2020; false: of BT.709
    enum clzk_transfer transfer;
};

struct clzk_colour_table {
    struct clzk_colour_space space;
    bool lstar;                             // L* is kept and Y' changes; false: Y' is kept
    float *l_of_luma;                       // [CLZK_L_STEPS + 1] L* of the grey pixel with Y' = i / (CLZK_L_STEPS - 1), at most
                                            // CLZK_BRIGHTEST: the highlights of HDR are white for the network
    uint32_t *uv;                           // [CLZK_CELLS][CLZK_CELLS][CLZK_LEVELS] by a, b, Y': U (low half), V, as int16
    float *shift;                           // the change of Y', at the same grid points; NULL unless lstar
    struct clzk_rgb_of_yuv rgb;
};

// Returns 0 or -ENOMEM.
int clzk_colour_table_create(struct clzk_colour_table **table, const struct clzk_colour_space *space, bool lstar);
void clzk_colour_table_destroy(struct clzk_colour_table **table);

// The U and V (-0.5..0.5) of the colour that has this Y', a* and b*, by bisection over L*, not clipped to the gamut. It is the
// reference that the table approximates.
void clzk_chroma_solve(const struct clzk_colour_space *space, float y, float a, float b, float uv[2]);
#endif
