// stabilizer.h - averages the network's a* and b* of a frame with those of its neighbours in the shot, carried along the motion
// of the picture, against flicker. What was hidden, or does not match in luma, keeps the frame's own colour.
//
// Backwards the mean reaches to the beginning of the shot, with weights that fade with time (half after 17 frames of 24 to 30 a
// second); forwards it reaches `ahead` frames. The answer for a frame depends on the frames of its shot up to `ahead` after it
// and on nothing else.
#ifndef CLZI_STABILIZER_H
#define CLZI_STABILIZER_H
#include <stdbool.h>
#include <stdint.h>

#include "bars.h"
#include "motion.h"
#include "qc.h"
#include "shots.h"
#include "window.h"

struct clzi_stabilizer;

struct clzi_stabilizer_params {
    int w, h;                               // of the network's pictures
    int ahead;                              // frames after a frame that it waits for, 0 to CLZI_MAX_WINDOW
    int frames;                             // the most that are added before they are taken
    int threads;
};

int clzi_stabilizer_create(struct clzi_stabilizer **stabilizer, const struct clzi_stabilizer_params *params);
void clzi_stabilizer_destroy(struct clzi_stabilizer **stabilizer);

// Adds the next frame: l [h,w] lightness in 0 to 1, ab [2,h,w] in the network's units; both are copied. strength: 0 the frame
// keeps its own colour, 1 strongest. step: the time since the frame before, 1 for films of 24 to 30 frames a second. hold: it has
// the colours of the frame that it continues, and none of its own but where nothing matches; later frames do not see its own
// either. The first frame of a shot cannot be held.
void clzi_stabilizer_add(struct clzi_stabilizer *stabilizer, const float *l, const float *ab, float strength, float step,
                         bool hold, enum clzi_cut cut);
int clzi_stabilizer_added(const struct clzi_stabilizer *stabilizer);       // frames added and not yet taken

// Writes the colours of the oldest frame not yet taken. Returns false if there is none, or if frames that it waits for are not
// there yet and `last` does not say that none will come.
bool clzi_stabilizer_take(struct clzi_stabilizer *stabilizer, float *ab, bool last);

// Forgets all frames: the next one begins a shot.
void clzi_stabilizer_restart(struct clzi_stabilizer *stabilizer);

// The stabiliser as a stage of the pipeline; the strength is each frame's clz_controls.stabilize. It computes on the CPU, so a
// device that queues calls waits for it. A frame at strength 0 that is not held is passed on as it is, if there are no lists and
// no qc; so that a frame that is held after it has what it continues, clzi_stage.before should be CLZI_MOTION_BACK.
extern const struct clzi_stage_ops clzi_stabilizer_stage;

struct clzi_stabilizer_context {            // clzi_stage.context of that stage; belongs to the stream, used on its worker thread
    struct clzi_shots *shots;               // the list that is written; NULL: none
    struct clzi_cuts *cuts;                 // the list that is given; NULL: cuts are found
    struct clzi_qc *qc;                     // NULL: none
    struct clzi_qc_note *notes;             // with qc, of frame n at n modulo room
    uint64_t first, frame;                  // number of the film's first frame; of the next one, from 0
    bool warned;                            // that a frame does not look as in the list
    struct clzi_bars_finder *bars;          // with shots, what the frames before frame n showed, at n modulo room
    int room;
};

// The network's own answer of frame `number`, of those added and not yet overwritten.
const struct clzk_colour *clzi_stabilizer_own(const struct clzi_stabilizer *stabilizer, uint64_t number);

// motion of the frames added
const struct clzi_motion *clzi_stabilizer_motion(const struct clzi_stabilizer *stabilizer);
#endif
