// carry.h - carries colours from one frame of a film to the next along the motion between them, and averages them with its own.
#ifndef CLZK_CARRY_H
#define CLZK_CARRY_H
#include "flow.h"

// What is known of the colour of a pixel: the mean of a* and b* over frames, and the sum of their weights.
struct clzk_colour { float l, weight, a, b; };      // l: lightness of the frame, 0 to 1

struct clzk_carry {
    const struct clzk_flow_size *size;
    int w, h;                               // of the pictures of struct clzk_colour
    const float *v;                         // motion [2,h0,w0] from the frame `own` to the frame `other`
    const float *agreement;                 // [h0,w0]
    float brightness;                       // by how much `other` is brighter than `own`
    float keep;                             // factor of other's weights, 0 to below 1
    float tolerance;                        // difference of lightness at which a weight is a quarter
};

// Rows [first, end) of out = own, averaged with other's colours at the places where its pixels come from. Weights of other are
// multiplied by keep, the agreement, and for each of the four pixels of the bilinear interpolation 1 / (1 + d^2 / tolerance^2)^2,
// d the difference of lightness. So colours do not pass from one side of an edge to the other, and what is new keeps its own
// colour.
void clzk_carry_rows(const struct clzk_carry *carry, struct clzk_colour *out, const struct clzk_colour *own,
                     const struct clzk_colour *other, int first, int end);
#endif
