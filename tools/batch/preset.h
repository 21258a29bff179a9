// preset.h - what a film can become: the tables of presets (encoder, pixel format) and of containers (which streams they hold).
#ifndef CLZB_PRESET_H
#define CLZB_PRESET_H
#include <stdbool.h>
#include <stdio.h>
#include "engine/colorize.h"

enum {
    CLZB_CHAPTERS      = 1,
    CLZB_ATTACHMENTS   = 2,
    CLZB_PICTURE_TEXT  = 4,                 // subtitles that are pictures
    CLZB_TIMECODE      = 8,
    CLZB_TIMES         = 16,                // each frame has a time of its own; without it, frames follow at one rate
};

struct clzb_container {
    const char *name, *muxer, *extension;   // muxer: FFmpeg's name. extension "": a folder of pictures
    unsigned holds;                         // CLZB_*
    const char *sound;                      // codecs that are copied, " aac ac3 "; NULL: all; "": it holds no sound
    const char *const *other_sound;         // arguments of the encoder for all other codecs
    const char *text;                       // codec of text subtitles; NULL: it holds none
    const char *copied_text;                // text codecs that are copied, " subrip ass "
    const char *const *options;             // of the muxer; ends with NULL
};

struct clzb_preset {
    const char *name, *help, *container;
    const char *const *encoder;             // FFmpeg's arguments; ends with NULL. NULL: the job's own
    const char *const *formats;             // pixel formats of the coded film; the first is for all films in none of them
    bool lossless;                          // the decoded film is what the filter made
    double share;                           // size of a coded frame, of the same frame uncoded; an estimate on the safe side
};

const struct clzb_preset *clzb_preset_find(const char *name);                  // NULL: no such preset
const struct clzb_container *clzb_container_find(const char *name);            // by name or FFmpeg's muxer; NULL: none
void clzb_presets_print(FILE *file);

// The pixel format that a film of format `from` (FFmpeg's name) is encoded in, and the filter's option out_range for it (NULL:
// none). Returns NULL for a preset without formats.
const char *clzb_preset_format(const struct clzb_preset *preset, const char *from, const char **out_range);
#endif
