// colours.h - measures the colours of pictures: means, spread, how near to grey.
#ifndef CLZT_COLOURS_H
#define CLZT_COLOURS_H
#include "data.h"

// Sums over pixels, and moments of a*, b* over means of 8 x 8 pixels, which film grain and sensor noise in the chroma of a grey
// picture do not raise much. L* / 50 - 1, a* / 110, b* / 110.
struct clzt_colour_sums {
    double pixels, sum[3], square[3];       // of L, a, b
    double blocks, a, b, aa, bb, ab;
};
void clzt_colour_sums_add(struct clzt_colour_sums *to, const struct clzt_colour_sums *more);

// Standard deviation of the blocks' colours, Lab units: in all, and along the minor axis of their covariance. The colours of a
// tinted grey lie along one line, since they differ in chroma but not in hue. Either may be NULL.
void clzt_colour_spread(const struct clzt_colour_sums *sums, double *all, double *across);

// Tables and scratch memory of one thread.
struct clzt_colour_meter;
int clzt_colour_meter_create(struct clzt_colour_meter **meter);
void clzt_colour_meter_destroy(struct clzt_colour_meter **meter);

// Adds a picture to sums and, if not NULL, its pixels to counts [CLZT_AB_CELLS^2]. -ENOMEM: nothing was added.
int clzt_colour_meter_add(struct clzt_colour_meter *meter, const struct clzt_picture *picture, struct clzt_colour_sums *sums,
                          double *counts);
#endif
