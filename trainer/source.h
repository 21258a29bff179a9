// source.h - files that pictures come from. A kind of file is one row in source.c: how to tell it, count its pictures
// and decode one.
#ifndef CLZT_SOURCE_H
#define CLZT_SOURCE_H
#include <stdbool.h>
#include <stdint.h>
#include <libavutil/frame.h>

#include "engine/colorize.h"

enum { CLZT_MAX_PIXELS = 16384 * 8192 };    // of a picture, as it is and scaled

struct clzt_source_kind;

struct clzt_source {
    const struct clzt_source_kind *kind;
    char *path;
    int64_t count;                          // pictures in it
    void *priv;                             // the kind's own, not changed after open: readers of several threads share it
};

struct clzt_source_kind {
    const char *name;
    bool (*probe)(const char *path);        // by its name: is it worth opening when found in a folder
    int (*open)(struct clzt_source *source, const struct clz_log *log);     // path is set; fills count and priv
    void (*close)(struct clzt_source *source);                              // optional
    // A reader is one thread's open decoder; optional for kinds that need none (read gets NULL).
    int (*reader_open)(void **reader, const struct clzt_source *source);
    void (*reader_close)(void **reader);
    // Picture `index` into an empty frame, as it is stored; *orientation: how it is to be shown (orientation.h). -EIO: it cannot
    // be decoded; the reader serves on.
    int (*read)(void *reader, const struct clzt_source *source, int64_t index, AVFrame *frame, int *orientation);
};

extern const struct clzt_source_kind clzt_source_picture, clzt_source_video;

// Opens a file as the kind its name tells, or else as the first that takes it. path is copied.
int clzt_source_open(struct clzt_source *source, const char *path, const struct clz_log *log);
void clzt_source_close(struct clzt_source *source);
bool clzt_source_probe(const char *path);   // does any kind want a file of that name

// Whether the name ends in one of the words of a list: ".jpg .png"
bool clzt_has_extension(const char *path, const char *list);
#endif
