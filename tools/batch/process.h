// process.h - child processes: ffmpeg and ffprobe, started without a shell.
//
// A child gets SIGKILL when the thread that started it ends (prctl PR_SET_PDEATHSIG), so none survives a kill -9 of this program,
// and stands in a process group of its own, so that Ctrl-C reaches only this program.
#ifndef CLZB_PROCESS_H
#define CLZB_PROCESS_H
#include <stdbool.h>

// The arguments of a program, the first being its path. A failed allocation sets `failed` and is reported by clzb_process_run().
struct clzb_args {
    char **item;
    int count;
    bool failed;
};

void clzb_args_add(struct clzb_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));   // one argument
void clzb_args_list(struct clzb_args *args, const char *const *items);         // ends with NULL
void clzb_args_clear(struct clzb_args *args);

enum clzb_stream { CLZB_OUT, CLZB_ERR };

struct clzb_process {
    const struct clzb_args *args;
    const char *folder;                     // where the program runs; NULL: here
    // Called for each line of the child's output, without its end; for a line of more than 8 KiB several times, `ends` being true
    // for the last part. NULL: the output is ignored.
    void (*line)(void *priv, enum clzb_stream stream, const char *line, bool ends);
    // Called at least five times a second while the child runs. A negative result kills the child. May be NULL.
    int (*tick)(void *priv);
    void *priv;
};

// Runs the program until it ends. *status: its exit status, or 128 + signal. Returns 0, -errno where it could not be started
// (-ENOENT: no such program), or tick's result.
int clzb_process_run(const struct clzb_process *process, int *status);
#endif
