// frame.h - the two ends of the pipeline on the host: frame -> L*, and predicted ab -> the frame's own chroma or R'G'B'.
//
// A plan holds all tables and buffers for one geometry; using it allocates nothing. Rows are shared out among the threads that
// OpenMP gives the calling thread (at most as many as when the plan was made); the result is the same for any number of them.
#ifndef CLZK_FRAME_H
#define CLZK_FRAME_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "colour_table.h"
#include "lab_math.h"

// The samples of one component: sample x of row y is the number x * step after data + y * stride. stride: bytes; step 0: the
// picture has no such component.
struct clzk_samples { uint8_t *data; ptrdiff_t stride; int step; };

// A picture whose samples the caller owns. Two bytes a sample where depth is above 8.
struct clzk_picture {
    int width, height;
    int depth, shift;                       // a sample's bits, and how far up in its two bytes they stand
    int log2_w, log2_h;                     // chroma is ceil(width / 2^w) x ceil(height / 2^h)
    bool swapped;                           // two-byte samples in the byte order that is not the machine's
    bool rgb, gray;                         // c[] is R' G' B' A, Y' - - A, or else Y' U V A
    bool full;                              // range of Y', U, V: full or limited; RGB is always full
    bool cosited_x, cosited_y;              // whether chroma lies on luma's first column, row, or between two
    struct clzk_luma_weights weights;       // of the matrix
    struct clzk_samples c[4];
};

struct clzk_frame_plan;

// in, out: geometry and formats (data is not looked at). w, h: the network's picture. colours: for out's weights; it must outlive the
// plan. Returns 0 or -ENOMEM.
int clzk_frame_plan_create(struct clzk_frame_plan **plan, const struct clzk_picture *in, const struct clzk_picture *out, int w, int h,
                           const struct clzk_colour_table *colours);
void clzk_frame_plan_destroy(struct clzk_frame_plan **plan);

// y [h,w] = Y' (0..1) averaged over the area of each pixel of the network's picture; l [h,w] = L / scale - offset, L the L* of the grey
// pixel with that Y'.
void clzk_frame_to_l(struct clzk_frame_plan *plan, const struct clzk_picture *in, float *y, float *l, float scale, float offset);

// ab [2,h,w], times gain in Lab units -> out's chroma, or its R'G'B' if it is RGB. y is what clzk_frame_to_l() gave for this frame: where
// the small picture's colour follows its luma, the large one's follows in the same way (fast guided filter, He and Sun 2015), so that
// edges of colour stand where edges of luma do. Luma is copied bit for bit where in and out have the same range, else converted and
// rounded; R'G'B' has in's luma within half a code. Alpha is copied; where in has none, out's is opaque. in and out may share planes if
// their samples stand in the same places.
void clzk_frame_merge(struct clzk_frame_plan *plan, const struct clzk_picture *in, const struct clzk_picture *out, const float *y,
                      const float *ab, float gain);

// Whether ab [2,h,w] holds finite numbers only, within +-1e6.
bool clzk_frame_ab_is_finite(const struct clzk_frame_plan *plan, const float *ab);

// The frame as it is, not coloured: gray gets neutral chroma, and luma the range of out. In place nothing is written.
void clzk_frame_copy(const struct clzk_picture *in, const struct clzk_picture *out);
#endif
