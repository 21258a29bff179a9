// shots.h - the shots of a film, and a choice of its frames in which long shots do not outweigh short ones: neighbouring frames
// of a shot are nearly the same picture.
#ifndef CLZT_SHOTS_H
#define CLZT_SHOTS_H
#include "source.h"

// Finds the cuts (engine/motion.h), for which it decodes the whole film once, and leaves at most `most` frames of each shot,
// spread evenly over it; sets source->chosen and count. *shots: their number. Frames that cannot be decoded are not chosen. A
// flash or a damaged frame within a shot belongs to it. -ECANCELED: *stop was set.
int clzt_shots_choose(struct clzt_source *source, int most, int *shots, const volatile int *stop);

// The choice alone. shot: of each frame, from 0; -1: not to be chosen. Fills chosen, which has room for count frames, in
// ascending order; returns their number, or -ENOMEM.
int64_t clzt_shots_spread(const int *shot, int64_t count, int most, int64_t *chosen);
#endif
