// streams.h - which streams of a film go into the coloured one, and how. What its container cannot hold is named before the work
// begins.
#ifndef CLZB_STREAMS_H
#define CLZB_STREAMS_H
#include "preset.h"
#include "probe.h"
#include "process.h"

struct clzb_mapping {
    struct clzb_args args;                  // of ffmpeg's output, for all but the pictures; the film is input 0
    int sound, text, attachments;           // numbers of streams that are kept
    int source[CLZB_MAX_STREAMS], count;    // their indices in the film, in the order of the output, in which they follow the
                                            // pictures
    int changed_count, lost_count;
    char changed[CLZB_MAX_STREAMS][120];    // "sound 1 (vorbis) becomes pcm_s24le"
    char lost[CLZB_MAX_STREAMS + 4][120];   // "stream 3: data (bin_data)"
};

void clzb_streams_map(struct clzb_mapping *mapping, const struct clzb_probe *probe, const struct clzb_container *container);
#endif
