// source.h - files that pictures are read from. Each kind of file (picture, video) has a row in source.c with its functions:
// recognise a file, count its pictures, decode one.
#ifndef CLZT_SOURCE_H
#define CLZT_SOURCE_H
#include <stdbool.h>
#include <stdint.h>
#include <libavutil/frame.h>

#include "engine/colorize.h"

enum { CLZT_MAX_PIXELS = 16384 * 8192 };    // of a picture, both as stored and scaled

struct clzt_source_kind;

struct clzt_source {
    const struct clzt_source_kind *kind;
    char *path;
    int64_t count;                          // pictures in it; those that are used
    int64_t *chosen;                        // [count] their numbers, ascending; NULL: all
    int categories;                         // index of its set of categories, -1: none is known; for the dataset's use
    void *priv;                             // of the kind; constant after open, since readers of several threads share it
};

struct clzt_source_kind {
    const char *name;
    bool (*probe)(const char *path);        // by its name: should a file found in a folder be opened
    int (*open)(struct clzt_source *source, const struct clz_log *log);     // path is set; fills count and priv
    void (*close)(struct clzt_source *source);                              // optional
    // A reader is the open decoder of one thread. Optional: without, `read` gets NULL.
    int (*reader_open)(void **reader, const struct clzt_source *source);
    void (*reader_close)(void **reader);
    // Whether each picture can be decoded without others. Optional: without, it can.
    bool (*stands_alone)(const struct clzt_source *source);
    // Decodes picture `index` into an empty frame, as it is stored; sets *orientation to how it is to be shown (orientation.h).
    // -EIO: it cannot be decoded; the reader can be used for others.
    int (*read)(void *reader, const struct clzt_source *source, int64_t index, AVFrame *frame, int *orientation);
};

extern const struct clzt_source_kind clzt_source_picture, clzt_source_video;

// Opens a file as the kind that recognises its name, or else as the first kind whose open succeeds. path is copied. An error is
// logged.
int clzt_source_open(struct clzt_source *source, const char *path, const struct clz_log *log);
void clzt_source_close(struct clzt_source *source);
bool clzt_source_probe(const char *path);   // does any kind recognise the name

// Whether the name has one of the extensions of a list such as ".jpg .png".
bool clzt_has_extension(const char *path, const char *list);
#endif
