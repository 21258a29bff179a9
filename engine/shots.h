// shots.h - the list of a film's shots: written while the film is coloured, and read back, edited or not.
//
// The file is CSV. Columns: frame (from 0), time (seconds, empty if the caller does not say it), kind, confidence (0 to 1), look
// (hexadecimal; 64 bits that say where the frame is brighter than to the right), bars. A stream that begins with this frame and
// has `bars` as that option gives the frames from there on the colours that they have in the whole film. Without it, or it is not
// known, or what comes before a dark frame counts after it. Kinds:
//     start       the first frame
//     cut         the first frame of a shot
//     fade        the first frame after a black or white picture
//     flash       a frame that interrupts a shot: the shot goes on after it
//     dissolve    the middle of a dissolve; nothing begins there
// A list that is read gives the cuts of the film: start, cut and fade begin a shot, and no other frame does. Lines that begin
// with '#' are comments.
#ifndef CLZI_SHOTS_H
#define CLZI_SHOTS_H
#include "base/log.h"
#include "bars.h"
#include "motion.h"

// ---- writing; one thread ----

struct clzi_shots;

// Opens the file, whose old content stays until destroy(). first: number of the first frame. Returns 0, -ENOMEM, -EEXIST (the old
// content is no list of shots), or the error of creating it, with a message.
int clzi_shots_create(struct clzi_shots **shots, const char *path, uint64_t first, const struct clz_log *log);
void clzi_shots_destroy(struct clzi_shots **shots);        // completes the file; a failed write is one warning

struct clzi_shot_frame {
    double time;                            // in seconds; negative: unknown
    int back;                               // as in struct clzi_link
    bool resized;                           // the network's picture changed with this frame, by its size or black bars, so that
                                            // back is not known: a cut, if the thumbnails differ
    struct clzi_frame_look look;
    const struct clzi_bars_finder *bars;    // that the frames before showed; NULL: unknown
    float thumbnail[CLZK_FLOW_THUMBNAIL];
};
void clzi_shots_add(struct clzi_shots *shots, const struct clzi_shot_frame *frame);    // the next frame
void clzi_shots_skip(struct clzi_shots *shots);                                        // the next frame is passed on untouched

// ---- reading; one thread ----

struct clzi_cuts;

// first: number of the first frame of clzi_cuts_next(). Returns 0, -ENOMEM, -EBADMSG (a line is wrong, or there is none) or the
// error of reading, with a message.
int clzi_cuts_read(struct clzi_cuts **cuts, const char *path, uint64_t first, const struct clz_log *log);
void clzi_cuts_destroy(struct clzi_cuts **cuts);

// Returns whether a shot begins with the next frame.
bool clzi_cuts_next(struct clzi_cuts *cuts);

// The number of shots of the list, and the first frame of one of them, from 1. The first shot begins with frame 0.
int clzi_cuts_shots(const struct clzi_cuts *cuts);
uint64_t clzi_cuts_begin(const struct clzi_cuts *cuts, int shot);

// Compares the frame with the list's look of it, if it is there. Returns how many of the 64 bits differ.
int clzi_cuts_compare(const struct clzi_cuts *cuts, uint64_t frame, const float *thumbnail);
#endif
