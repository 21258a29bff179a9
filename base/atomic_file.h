// atomic_file.h - writes a file so that at any time it has either its old or its new content.
//
// The content is written to PATH.tmp.PID, fsynced and renamed to PATH. Symbolic links are followed first, so that the file they
// lead to is replaced, not the link. What is not a regular file (FIFO, device node, terminal, /dev/stdout) is opened and written
// to directly, because a rename would replace the node.
#ifndef CLZI_ATOMIC_FILE_H
#define CLZI_ATOMIC_FILE_H
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include "engine/colorize.h"

struct clzi_atomic_file {
    int fd;
    char target[PATH_MAX], temporary[PATH_MAX];         // empty: written to directly
};

// Whether PATH may be replaced by a file that begins with these bytes, at most 256: there is none, it is empty, no regular file,
// or begins so. A file of the user's own, given by mistake, does not.
bool clzi_atomic_may_replace(const char *path, const void *beginning, size_t size);

// Opens PATH for writing; -EISDIR for a folder, -EBUSY if this process is writing it already. After success clzi_atomic_close()
// must be called.
int clzi_atomic_open(struct clzi_atomic_file *file, const char *path);
int clzi_atomic_write(struct clzi_atomic_file *file, const void *data, size_t size);

// ret: result of writing. 0: commits the new content; returns 0 or the error of that. Negative: discards it, unless it was
// written to directly, and returns ret.
int clzi_atomic_close(struct clzi_atomic_file *file, int ret);

// Opens, writes and closes. An error is logged.
int clzi_file_replace(const char *path, const void *data, size_t size, const struct clz_log *log);

// Removes the temporary files of PATH, of any process (FOLDER/: those of all files in it). For a caller who knows that no other
// process writes there.
void clzi_file_sweep(const char *path);
#endif
