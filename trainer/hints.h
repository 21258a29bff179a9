// hints.h - colours of some places of a picture, as a user gives them to the generator: three planes, a* / 110, b* / 110 and a
// mask that is 1 where there is a hint; all 0 elsewhere. In training they are drawn from the true colours, as R. Zhang et al.,
// "Real-Time User-Guided Image Colorization with Learned Deep Priors", 2017, draw them (util.py of
// github.com/richzhang/colorization-pytorch): squares of 1 to 9 pixels at normally distributed places, each with the mean of the
// true colours in it.
#ifndef CLZT_HINTS_H
#define CLZT_HINTS_H
#include "data.h"

enum { CLZT_HINT_SIDE = 9 };                // pixels, of the largest square

// Number of squares of picture `picture` in pass `epoch`: geometrically distributed with mean params->points; with probability
// params->none, 0. In one of 100 pictures that have hints, every pixel is one: then CLZT_HINT_ALL.
enum { CLZT_HINT_ALL = -1 };
int clzt_hints_count(const struct clzt_hint_params *params, uint64_t seed, int64_t epoch, int64_t picture);

// Fills hints [3,h,w] with `count` squares of ab [2,h,w]; where squares overlap, the later one counts.
void clzt_hints_draw(float *hints, const float *ab, struct clzt_size size, int count, uint64_t seed, int64_t epoch,
                     int64_t picture);
#endif
