// ffmpeg.h - the ffmpeg and ffprobe that do the work, and one run of ffmpeg with its log, errors and progress.
#ifndef CLZB_FFMPEG_H
#define CLZB_FFMPEG_H
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include "engine/colorize.h"
#include "process.h"

struct clzb_ffmpeg {
    char *ffmpeg, *ffprobe;
    char version[80];                       // "5.1.9-0+deb12u1"
};

// given: a path, or NULL: the one that was built beside this program, else the one of PATH. Refuses one whose filter colorize
// cannot open models.
int clzb_ffmpeg_find(struct clzb_ffmpeg *ffmpeg, const char *given, const struct clz_log *log);
void clzb_ffmpeg_clear(struct clzb_ffmpeg *ffmpeg);

// The arguments that every run begins with.
void clzb_ffmpeg_begin(struct clzb_args *args, const struct clzb_ffmpeg *ffmpeg);

struct clzb_ffmpeg_run {
    const struct clzb_args *args;
    const char *folder;                     // where it runs: names of files it writes are relative to it
    FILE *log_file;
    int (*tick)(void *priv);                // as in process.h
    void *priv;
    _Atomic int64_t *frames;                // frames written so far; may be NULL
    // results
    int errors, warnings;                   // messages of these levels
    char error[300];                        // the first error
    char device[120];                       // what the filter says it colours with
    char luma[160];                         // what the filter says about luma and levels
    int64_t from_file, from_network;        // frames whose answers came from a file, from the network, as the filter says
};

// Returns 0, -EIO if ffmpeg ended with an error (`error` says which), -ENOSPC, or tick's result.
int clzb_ffmpeg_run(struct clzb_ffmpeg_run *run);

// VALUE of an option of a filter inside a graph, escaped for both of ffmpeg's parsers. To free. NULL: out of memory.
char *clzb_ffmpeg_escape(const char *value);
#endif
