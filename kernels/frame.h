// frame.h - conversion of frames on the host: frame -> L* for the network, and predicted ab -> the frame's chroma or R'G'B'.
//
// A plan holds all tables and buffers for one geometry; running it allocates nothing. The rows are divided among the calling
// thread's OpenMP threads (at most as many as when the plan was created); the result does not depend on their number.
#ifndef CLZK_FRAME_H
#define CLZK_FRAME_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "colour_table.h"
#include "lab_math.h"

// The samples of one component: sample x of row y is element x * step, of one or two bytes, of the row at data + y * stride.
// stride is in bytes. step 0: the picture does not have this component.
struct clzk_samples { uint8_t *data; ptrdiff_t stride; int step; };

// The rows of a frame that a picture consists of: all, the even ones (the top field), or the odd ones.
enum clzk_part { CLZK_FRAME, CLZK_TOP_FIELD, CLZK_BOTTOM_FIELD };

// A picture; the caller owns the samples. A sample has two bytes if depth is above 8.
struct clzk_picture {
    int width, height;
    int depth, shift;                       // bits of a sample; how far they are shifted left in its two bytes
    int log2_w, log2_h;                     // chroma is ceil(width / 2^w) x ceil(height / 2^h)
    bool swapped;                           // two-byte samples have the byte order that is not the machine's
    bool rgb, gray;                         // c[] holds R' G' B' A (rgb), Y' - - A (gray), else Y' U V A
    bool full;                              // Y', U, V have full range, else limited; RGB is always full
    bool cosited_x, cosited_y;              // chroma lies on luma's first column / row, else between two
    struct clzk_luma_weights weights;       // of the matrix
    enum clzk_part part;                    // size and samples are those of the part; a field is half as high as its frame,
                                            // whose height is a multiple of 2, of 4 if log2_h is 1
    struct clzk_samples c[4];
};

struct clzk_frame_plan;

// in, out: geometry and formats (data is not read). w, h: size of the network's picture. colours: the table for out's weights; it
// must outlive the plan. Returns 0 or -ENOMEM.
int clzk_frame_plan_create(struct clzk_frame_plan **plan, const struct clzk_picture *in, const struct clzk_picture *out,
                           int w, int h, const struct clzk_colour_table *colours);
void clzk_frame_plan_destroy(struct clzk_frame_plan **plan);

// y [h,w] = Y' (0..1), averaged over the area of each pixel of the network's picture; l [h,w] = L* / scale - offset, where L* is
// that of the grey pixel with this Y'.
void clzk_frame_to_l(struct clzk_frame_plan *plan, const struct clzk_picture *in, float *y, float *l, float scale, float offset);

// Writes out's chroma, or its R'G'B' if it is RGB, from ab [2,h,w], which times gain is in Lab units. y is the result of
// clzk_frame_to_l() for this frame. The relation of ab to y in the network's picture is applied to the frame's luma (fast guided
// filter, He and Sun 2015), so that edges of colour coincide with edges of luma. Luma is copied bit for bit if in and out have
// the same range, else converted and rounded; R'G'B' has in's luma to within half a code value. Alpha is copied; if in has none,
// out's is set to opaque. in and out may share planes if the samples of both have the same positions there.
void clzk_frame_merge(struct clzk_frame_plan *plan, const struct clzk_picture *in, const struct clzk_picture *out, const float *y,
                      const float *ab, float gain);

// Whether all numbers of ab [2,h,w] are finite and within +-1e6.
bool clzk_frame_ab_is_finite(const struct clzk_frame_plan *plan, const float *ab);

// Copies the frame without colouring it: luma is converted to out's range, and a gray frame gets neutral chroma. Samples that
// in and out share, and that need no conversion, are not written.
void clzk_frame_copy(const struct clzk_picture *in, const struct clzk_picture *out);
#endif
