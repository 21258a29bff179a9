// frame.h - the two ends of the pipeline on the host: frame -> L*, and predicted ab -> the frame's own chroma.
//
// A plan holds all tables and buffers for one geometry; using it allocates nothing. Rows are shared out among the threads that
// OpenMP gives the calling thread (at most as many as when the plan was made); the result is the same for any number of them.
#ifndef CLZK_FRAME_H
#define CLZK_FRAME_H
#include <stdbool.h>

#include "engine/colorize.h"

struct clzk_frame_plan;

// in, out: geometry, formats and resolved tags (planes are not looked at). w, h: the network's picture. Returns 0 or -ENOMEM.
int clzk_frame_plan_create(struct clzk_frame_plan **plan, const struct clz_frame *in, const struct clz_frame *out, int w, int h,
                           enum clz_luma luma);
void clzk_frame_plan_destroy(struct clzk_frame_plan **plan);

// y [h,w] = Y' (0..1) averaged over the area of each pixel of the network's picture; l [h,w] = L / scale - offset, L the L* of the grey
// pixel with that Y'.
void clzk_frame_to_l(struct clzk_frame_plan *plan, const struct clz_frame *in, float *y, float *l, float scale, float offset);

// Whether the network's answer, ab [2,h,w], is made of numbers that are not absurd (1e6).
bool clzk_frame_answer_is_colour(const struct clzk_frame_plan *plan, const float *ab);

// ab [2,h,w], times gain in Lab units -> out's chroma; out's luma is in's. y is what clzk_frame_to_l gave for this frame: where the small
// picture's colour follows its luma, the large one's follows in the same way (fast guided filter, He and Sun 2015), so that edges
// of colour stand where edges of luma do. May work in place.
void clzk_frame_merge(struct clzk_frame_plan *plan, const struct clz_frame *in, const struct clz_frame *out, const float *y,
                      const float *ab, float gain);

// A frame passed on untouched: luma and chroma are copied, gray input gets neutral chroma; in place nothing is written.
void clzk_frame_copy(const struct clz_frame *in, const struct clz_frame *out);

// The chroma that gives Y', a*, b*: U and V about 0 (-0.5..0.5), exact, unclipped. The definition that the plan's table follows.
void clzk_chroma_solve(enum clz_matrix matrix, float y, float a, float b, float uv[2]);
#endif
