// stabilizer.h - colour that does not flicker: the network's a* and b* of a frame are averaged with those of its neighbours in the
// shot, carried along the motion of the picture. What was hidden, or does not match in luma, keeps the frame's own colour.
//
// Backwards the mean reaches to the beginning of the shot, with weights that fade by `keep` from frame to frame; forwards it
// reaches `ahead` frames. The answer for a frame depends on the frames of its shot up to `ahead` after it and on nothing else.
#ifndef CLZI_STABILIZER_H
#define CLZI_STABILIZER_H
#include <stdbool.h>
#include <stdint.h>

#include "motion.h"

enum { CLZI_MAX_AHEAD = 32 };

struct clzi_stabilizer;

struct clzi_stabilizer_params {
    int w, h;                               // of the network's pictures
    int ahead;                              // frames after a frame that it waits for, 0 to CLZI_MAX_AHEAD
    int frames;                             // the most that are added before they are taken
    float strength;                         // 0: every frame keeps its own colour; 1: strongest
    int threads;
};

int clzi_stabilizer_create(struct clzi_stabilizer **stabilizer, const struct clzi_stabilizer_params *params);
void clzi_stabilizer_destroy(struct clzi_stabilizer **stabilizer);

// Adds the next frame: Y' [h,w] in 0 to 1, ab [2,h,w] in the network's units. cut: a new shot begins with it. It copies both.
void clzi_stabilizer_add(struct clzi_stabilizer *stabilizer, const float *y, const float *ab, bool cut);

// Writes the colours of the oldest frame not yet taken. Returns false if there is none, or if frames that it waits for are not
// there yet and `last` does not say that none will come.
bool clzi_stabilizer_take(struct clzi_stabilizer *stabilizer, float *ab, bool last);

// Forgets all frames: the next one begins a shot.
void clzi_stabilizer_restart(struct clzi_stabilizer *stabilizer);

// motion of the frames added
const struct clzi_motion *clzi_stabilizer_motion(const struct clzi_stabilizer *stabilizer);
#endif
