// checkpoint.h - checkpoints of a training that survive kill -9, a full disk and incomplete writes.
//
// A checkpoint is a folder DIR/step-N with one file per blob, the text file `state` and a `manifest` with the size and SHA-256 of
// each. It is written as DIR/.step-N.tmp.PID; every file is fsynced, then the folder; then it is renamed to step-N, DIR is
// fsynced, and the file DIR/last gets its name. So step-N is complete or does not exist, if the disk honours fsync; loading still
// checks all hashes, and takes the newest checkpoint that verifies.
#ifndef CLZT_CHECKPOINT_H
#define CLZT_CHECKPOINT_H
#include <stddef.h>
#include <stdint.h>
#include "engine/colorize.h"

enum { CLZT_BLOB_NAME = 64 };               // with its NUL; letters, digits, '_', '-', '.', not beginning with '.'

struct clzt_blob_file;
struct clzt_blob {
    const char *name;
    const void *data;                       // NULL: put() gives it
    size_t size;                            // bytes
    // Calls clzt_blob_put() until all bytes are written, in parts of any size, so that numbers on a device need no second copy on
    // the host. It is called again if the disk was full, and must give the same bytes. 0 or a negative errno.
    int (*put)(void *priv, struct clzt_blob_file *file);
    void *priv;
};
int clzt_blob_put(struct clzt_blob_file *file, const void *data, size_t size);

// Saves blobs and state as checkpoint `step`, reads it back and verifies it, then deletes the oldest checkpoints beyond `keep`
// (0: none). If the disk is full and keep is not 0, the oldest are deleted first, as long as one that verifies remains. -ENOSPC
// (also if the free space is too small beforehand), -EIO and others: no further checkpoint was changed.
int clzt_checkpoint_save(const char *dir, int64_t step, const struct clzt_blob *blobs, int blob_count,
                         const char *state, int keep, const struct clz_log *log);

struct clzt_checkpoint {
    int64_t step;
    char *state;                            // NUL-terminated
    struct { char name[CLZT_BLOB_NAME]; void *data; size_t size; } *blobs;
    int blob_count;
};

// Loads the newest checkpoint that verifies; logs a warning for each that does not. -ENOENT: there is none; -EBADMSG: none
// verifies. Removes temporary files of processes that do not exist any more.
int clzt_checkpoint_load(struct clzt_checkpoint **checkpoint, const char *dir, const struct clz_log *log);

// Loads the checkpoint of a given step. -ENOENT: there is none; -EBADMSG, logged: it does not verify.
int clzt_checkpoint_load_step(struct clzt_checkpoint **checkpoint, const char *dir, int64_t step,
                              const struct clz_log *log);
void clzt_checkpoint_destroy(struct clzt_checkpoint **checkpoint);

// Data of a blob. NULL: there is none of that name and size.
const void *clzt_checkpoint_blob(const struct clzt_checkpoint *checkpoint, const char *name, size_t size);

// Lists the steps of the checkpoints in dir, newest first, at most max; returns their number. Reads names only.
int clzt_checkpoint_list(const char *dir, int64_t *steps, int max);

// Removes all temporary files of checkpoints in dir. For a caller who knows that no other process writes there.
void clzt_checkpoint_sweep(const char *dir);
#endif
