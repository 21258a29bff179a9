// segment.h - a film in pieces, which are coloured side by side and survive a crash. The joined film is, frame by frame, the one
// that is coloured as a whole: pieces begin at the first frames of shots, over which the stabiliser carries nothing, and are told
// what the frames before have shown of black bars. Where every frame is coloured for itself (stabilize=0, given bars or none, no
// sheet), they begin anywhere.
#ifndef CLZB_SEGMENT_H
#define CLZB_SEGMENT_H
#include "film.h"

// Reads the film's frames and cuts it. Returns the number of pieces, 0 if it is too short or cannot be cut (it is coloured as a
// whole then), or an error. Pieces that the journal has as done, and that are still there, are marked.
int clzb_segment_cut(struct clzb_film *film);
int clzb_segment_render(struct clzb_film *film, int number);
int clzb_segment_join(struct clzb_film *film);              // into the part file
#endif
