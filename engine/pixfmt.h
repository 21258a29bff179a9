// pixfmt.h - a frame of the public API as the kernels see it.
#ifndef CLZI_PIXFMT_H
#define CLZI_PIXFMT_H
#include "colorize.h"
#include "kernels/frame.h"

// range, matrix and siting of the frame must not be UNSPECIFIED.
struct clzk_picture clzi_picture(const struct clz_frame *frame);

// The colour space of a frame whose matrix is specified. Matrix BT.2020 has BT.2020's primaries, the others BT.709's.
struct clzk_colour_space;
struct clzk_colour_space clzi_colour_space(const struct clz_frame *frame);

// Whether a picture of one format may be coloured into the other: into its own; yuv and yuvj into one another; gray into any
// colour format of its depth.
bool clzi_pixfmt_may_become(const struct clz_pixfmt *in, const struct clz_pixfmt *out);

// Whether the samples of the first component stand at the same places and bits.
bool clzi_pixfmt_same_luma(const struct clz_pixfmt *a, const struct clz_pixfmt *b);
#endif
