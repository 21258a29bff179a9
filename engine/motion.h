// motion.h - which earlier frame of a film a frame continues, and how everything moved since. A frame that continues none is the
// first of a shot. Frames come in the film's order; what is known of a frame depends on it and earlier ones only, so it is the
// same for any batch size.
//
// A picture that fades in from black or white begins a shot too.
//
// A flash, a splice or a damaged frame may stand between a frame and the one that it continues, so up to CLZI_MOTION_BACK frames
// back are tried where the frame before does not match.
#ifndef CLZI_MOTION_H
#define CLZI_MOTION_H
#include <stdbool.h>
#include <stdint.h>

#include "kernels/flow.h"

enum { CLZI_MOTION_BACK = 4 };

struct clzi_motion;

struct clzi_link {                          // of a frame to the earlier one that it continues
    int back;                               // the earlier frame is number - back; 0: there is none
    const float *to, *to_agreement;         // motion [2,h0,w0] from this frame to the earlier one, and its agreement [h0,w0]
    const float *from, *from_agreement;     // from the earlier one to this
    float brightness;                       // by how much the earlier one is brighter, mean of lightness (0 to 1)
};

// What the frame looks like beside the one before it, for the list of shots.
struct clzi_frame_look {
    float brightness, contrast;             // mean of lightness, and its standard deviation from the local mean
    float match;                            // with the frame before: 0 none, 1 equal
    bool dark;                              // its contrast shows too little to tell pictures apart
};

// Pictures of w x h; the links of the last `frames` frames are kept.
int clzi_motion_create(struct clzi_motion **motion, int w, int h, int frames, int threads);
void clzi_motion_destroy(struct clzi_motion **motion);
const struct clzk_flow_size *clzi_motion_size(const struct clzi_motion *motion);

// Adds the next frame, whose number is the count of frames before it since creation or the last restart. l: lightness [h,w], 0 to
// 1.
enum clzi_cut { CLZI_CUT_FIND, CLZI_CUT_YES, CLZI_CUT_NO };     // whether a frame is the first of a shot
void clzi_motion_add(struct clzi_motion *motion, const float *l, enum clzi_cut cut);

const struct clzi_link *clzi_motion_link(const struct clzi_motion *motion, uint64_t number);
const struct clzi_frame_look *clzi_motion_look(const struct clzi_motion *motion, uint64_t number);
void clzi_motion_thumbnail(const struct clzi_motion *motion, uint64_t number, float *thumbnail);    // see flow.h
void clzi_motion_restart(struct clzi_motion *motion);      // forgets all frames
#endif
