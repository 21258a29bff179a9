// ab_bins.h - the 313 classes of colour of Zhang, Isola and Efros, "Colorful Image Colorization", 2016: the points of a grid of
// 10 Lab units in the ab plane that lie in or next to the gamut of sRGB, in the order of their file pts_in_hull.npy (by a*, then
// b*).
// A network that answers a logit for each class says which colours are likely, where one that answers a* and b* says their mean.
// Compiled by C and CUDA compilers alike.
#ifndef CLZK_AB_BINS_H
#define CLZK_AB_BINS_H
#include <math.h>

#include "lab_math.h"

enum { CLZK_AB_BINS = 313, CLZK_AB_ROWS = 20, CLZK_AB_STEP = 10, CLZK_AB_NEAREST = 5 };
#define CLZK_AB_SIGMA 5.f                   // Lab units, of the Gaussian that divides a colour among the nearest classes
#define CLZK_AB_SCALE 110.f                 // a*, b* of tensors are divided by it

// Row i of the grid: the classes with a* = 10 i - 90 have b* = first, first + 10, ... last.
struct clzk_ab_row { int first, last; };
CLZK_FN struct clzk_ab_row clzk_ab_row(int i)
{
    const signed char rows[CLZK_AB_ROWS][2] = {
        { 50, 90 }, { 20, 90 }, { 0, 90 }, { -20, 90 }, { -30, 100 }, { -40, 100 }, { -50, 100 }, { -50, 100 }, { -60, 100 },
        { -70, 100 }, { -80, 90 }, { -80, 90 }, { -90, 90 }, { -100, 90 }, { -100, 80 }, { -110, 80 }, { -110, 80 }, { -110, 70 },
        { -110, 70 }, { -90, 0 },
    };
    const struct clzk_ab_row row = { rows[i][0], rows[i][1] };
    return row;
}
CLZK_FN int clzk_ab_row_count(struct clzk_ab_row row) { return (row.last - row.first) / CLZK_AB_STEP + 1; }

// a* and b* of class k, 0 to CLZK_AB_BINS - 1, divided by CLZK_AB_SCALE.
CLZK_FN void clzk_ab_bin(int k, float *a, float *b)
{
    int i = 0;
    struct clzk_ab_row row = clzk_ab_row(0);

    while (k >= clzk_ab_row_count(row)) {
        k -= clzk_ab_row_count(row);
        row = clzk_ab_row(++i);
    }
    *a = (float)(CLZK_AB_STEP * i - 90) / CLZK_AB_SCALE;
    *b = (float)(row.first + CLZK_AB_STEP * k) / CLZK_AB_SCALE;
}

// Of all classes.
struct clzk_ab_colours { float a[CLZK_AB_BINS], b[CLZK_AB_BINS]; };
CLZK_FN void clzk_ab_colours_make(struct clzk_ab_colours *colours)
{
    for (int k = 0; k < CLZK_AB_BINS; k++) clzk_ab_bin(k, &colours->a[k], &colours->b[k]);
}

// A colour as shares of the CLZK_AB_NEAREST nearest classes: Gaussian weights of their distances, sum 1. The nearest comes first.
struct clzk_ab_share { int bin[CLZK_AB_NEAREST]; float weight[CLZK_AB_NEAREST]; };

// Inserts class `bin` at squared distance d into the list of the nearest; its farthest falls out.
CLZK_FN void clzk_ab_insert(struct clzk_ab_share *s, int bin, float d)
{
    int at = CLZK_AB_NEAREST - 1;

    if (!(d < s->weight[at])) return;
    for (; at > 0 && d < s->weight[at - 1]; at--) {
        s->weight[at] = s->weight[at - 1];
        s->bin[at] = s->bin[at - 1];
    }
    s->weight[at] = d;
    s->bin[at] = bin;
}

// a, b: divided by CLZK_AB_SCALE, finite. The weights hold squared distances until all classes have been looked at.
CLZK_FN struct clzk_ab_share clzk_ab_share(float a, float b)
{
    struct clzk_ab_share s;
    float sum = 0;

    a *= CLZK_AB_SCALE;
    b *= CLZK_AB_SCALE;
    for (int j = 0; j < CLZK_AB_NEAREST; j++) {
        s.bin[j] = 0;
        s.weight[j] = 3e38f;
    }
    for (int i = 0, start = 0; i < CLZK_AB_ROWS; i++) {
        const struct clzk_ab_row row = clzk_ab_row(i);
        const float da = a - (float)(CLZK_AB_STEP * i - 90);
        const int count = clzk_ab_row_count(row);
        // The five nearest of a row are next to each other; which five depends on b alone.
        const int nearest = (int)floorf((b < -200.f ? -200.f : b > 200.f ? 200.f : b) / CLZK_AB_STEP + 0.5f) -
                            row.first / CLZK_AB_STEP;
        const int low = nearest - 2 < 0 ? 0 : nearest - 2 > count - CLZK_AB_NEAREST ? count - CLZK_AB_NEAREST : nearest - 2;
        if (da * da < s.weight[CLZK_AB_NEAREST - 1])
            for (int k = low; k < low + CLZK_AB_NEAREST; k++) {
                const float db = b - (float)(row.first + CLZK_AB_STEP * k);
                clzk_ab_insert(&s, start + k, da * da + db * db);
            }
        start += count;
    }
    // Relative to the nearest, so that a colour far from all classes does not underflow to 0 / 0.
    for (int j = CLZK_AB_NEAREST - 1; j >= 0; j--) {
        s.weight[j] = expf((s.weight[0] - s.weight[j]) / (2 * CLZK_AB_SIGMA * CLZK_AB_SIGMA));
        sum += s.weight[j];
    }
    for (int j = 0; j < CLZK_AB_NEAREST; j++) s.weight[j] /= sum;
    return s;
}
#endif
