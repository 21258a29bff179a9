// atomic_file.h - writing a file so that its name stands for the old or the new content at every moment.
//
// A regular file is written as PATH.tmp.PID beside it, fsynced and renamed over it; symbolic links are followed first, so that a
// link stays a link. Anything else (FIFO, device node, terminal, /dev/stdout) is opened and written through: a rename would
// replace the node itself.
#ifndef CLZI_ATOMIC_FILE_H
#define CLZI_ATOMIC_FILE_H
#include <limits.h>
#include <stddef.h>
#include "colorize.h"

struct clzi_atomic_file {
    int fd;
    char target[PATH_MAX], temporary[PATH_MAX];         // empty: written through
};

// Opens PATH for writing; -EISDIR for a folder. On success clzi_atomic_close() must follow.
int clzi_atomic_open(struct clzi_atomic_file *file, const char *path);
int clzi_atomic_write(struct clzi_atomic_file *file, const void *data, size_t size);

// ret: result of the writing. 0: puts the new content in place, and returns 0 or the error that this met. Below 0: discards it,
// unless it was written through, and returns ret.
int clzi_atomic_close(struct clzi_atomic_file *file, int ret);

// The three in one, for a content in memory. An error is logged.
int clzi_file_replace(const char *path, const void *data, size_t size, const struct clz_log *log);

// Removes temporary files that processes which died left of PATH (FOLDER/: of all files in it), whatever their PID: for a caller
// who knows that nobody else writes there.
void clzi_file_sweep(const char *path);
#endif
