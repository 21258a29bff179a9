// checkpoint.h - saving a training so that it survives kill -9, a full disk and a torn write.
//
// A checkpoint is a folder DIR/step-N with one file per blob, a text `state` and a `manifest` that gives size and
// SHA-256 of each. It comes to be as DIR/.step-N.tmp.PID; every file is fsynced, then the folder, then it is renamed to
// step-N and DIR is fsynced, then the small file DIR/last names it. So step-N is whole or not there, as far as the disk
// keeps its word; loading checks every hash all the same and takes the newest that verifies.
#ifndef CLZT_CHECKPOINT_H
#define CLZT_CHECKPOINT_H
#include <stddef.h>
#include <stdint.h>
#include "engine/colorize.h"

enum { CLZT_BLOB_NAME = 64 };               // with its NUL; letters, digits, '_', '-', '.', not beginning with '.'

struct clzt_blob { const char *name; const void *data; size_t size; };

// Saves blobs and state as checkpoint `step`, then removes the oldest so that `keep` stay (0: all); never before the
// new one has been read back and verified. Where there is no room for it and keep is not 0, the oldest go first, as long
// as one that verifies stays. Returns 0, -ENOSPC (also found out beforehand), -EIO and others: then the other earlier
// checkpoints are as they were.
int clzt_checkpoint_save(const char *dir, int64_t step, const struct clzt_blob *blobs, int blob_count,
                         const char *state, int keep, const struct clz_log *log);

struct clzt_checkpoint {
    int64_t step;
    char *state;                            // NUL-terminated
    struct { char name[CLZT_BLOB_NAME]; void *data; size_t size; } *blobs;
    int blob_count;
};

// The newest that verifies; a warning names each that does not. -ENOENT: there is none; -EBADMSG: none verifies. Sweeps what dead processes left
// half-written.
int clzt_checkpoint_load(struct clzt_checkpoint **checkpoint, const char *dir, const struct clz_log *log);

// A given one: step-N's folder.
int clzt_checkpoint_load_step(struct clzt_checkpoint **checkpoint, const char *dir, int64_t step,
                              const struct clz_log *log);
void clzt_checkpoint_destroy(struct clzt_checkpoint **checkpoint);

// A blob by name. NULL: not there, or of another size than `size`.
const void *clzt_checkpoint_blob(const struct clzt_checkpoint *checkpoint, const char *name, size_t size);

// Steps of the checkpoints in dir, newest first, at most max; returns how many. Only looks at names.
int clzt_checkpoint_list(const char *dir, int64_t *steps, int max);

// Removes what was left half-written of checkpoints in dir, whoever has the number of the process that left it. For a caller who
// knows that nobody else writes there.
void clzt_checkpoint_sweep(const char *dir);
#endif
