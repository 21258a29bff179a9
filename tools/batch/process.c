// process.c - fork, exec, and reading of two pipes.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"

enum { TICK = 200, MAX_LINE = 8192 };       // milliseconds; bytes, a longer line is passed on in parts

// ---- arguments ----

static void append(struct clzb_args *args, char *text)
{
    char **item = text ? realloc(args->item, (args->count + 2) * sizeof *item) : NULL;

    if (!item) {
        free(text);
        args->failed = true;
        return;
    }
    args->item = item;
    item[args->count++] = text;
    item[args->count] = NULL;
}

void clzb_args_add(struct clzb_args *args, const char *format, ...)
{
    char *text = NULL;
    va_list list;

    va_start(list, format);
    if (vasprintf(&text, format, list) < 0) text = NULL;
    va_end(list);
    append(args, text);
}

void clzb_args_list(struct clzb_args *args, const char *const *items)
{
    for (; items && *items; items++) append(args, strdup(*items));
}

void clzb_args_clear(struct clzb_args *args)
{
    for (int i = 0; i < args->count; i++) free(args->item[i]);
    free(args->item);
    *args = (struct clzb_args){0};
}

// ---- running ----

struct reader {
    int fd, used;
    char text[MAX_LINE];
};

static void child(const struct clzb_process *p, pid_t parent, const int out[2], const int err[2], int report)
{
    const int null = open("/dev/null", O_RDONLY);
    sigset_t none;
    int error;

    // From here to exec only async-signal-safe functions: other threads may hold locks.
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);    // the parent ended before prctl
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    signal(SIGIO, SIG_DFL);
    if (null >= 0 && dup2(null, 0) >= 0 && dup2(out[1], 1) >= 0 && dup2(err[1], 2) >= 0 && (!p->folder || !chdir(p->folder)))
        execvp(p->args->item[0], p->args->item);
    error = errno;
    if (write(report, &error, sizeof error) < 0) _exit(126);
    _exit(127);
}

static void pass_lines(struct reader *r, enum clzb_stream stream, const struct clzb_process *p, bool last)
{
    char *start = r->text, *end;

    while ((end = memchr(start, '\n', r->text + r->used - start))) {
        *end = 0;
        if (end > start && end[-1] == '\r') end[-1] = 0;
        if (p->line) p->line(p->priv, stream, start, true);
        start = end + 1;
    }
    r->used -= (int)(start - r->text);
    memmove(r->text, start, r->used);
    if (r->used == MAX_LINE - 1 || (last && r->used)) {
        r->text[r->used] = 0;
        if (p->line) p->line(p->priv, stream, r->text, r->used < MAX_LINE - 1);
        r->used = 0;
    }
}

// Returns false at the end of the file.
static bool read_some(struct reader *r, enum clzb_stream stream, const struct clzb_process *p)
{
    const ssize_t n = read(r->fd, r->text + r->used, MAX_LINE - 1 - r->used);

    if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
    if (n > 0) r->used += (int)n;
    pass_lines(r, stream, p, n <= 0);
    return n > 0;
}

static int watch(const struct clzb_process *p, pid_t pid, struct reader readers[2])
{
    struct pollfd fds[2] = { { readers[0].fd, POLLIN, 0 }, { readers[1].fd, POLLIN, 0 } };
    int ret = 0;

    while (fds[0].fd >= 0 || fds[1].fd >= 0) {
        if (poll(fds, 2, TICK) < 0 && errno != EINTR) break;
        for (int i = 0; i < 2; i++)
            if (fds[i].fd >= 0 && fds[i].revents && !read_some(&readers[i], i, p)) fds[i].fd = -1;
        if (!ret && p->tick && (ret = p->tick(p->priv)) < 0) kill(pid, SIGKILL);
    }
    return ret;
}

int clzb_process_run(const struct clzb_process *process, int *status)
{
    struct reader *readers = calloc(2, sizeof *readers);
    int out[2] = { -1, -1 }, err[2] = { -1, -1 }, report[2] = { -1, -1 }, ret = 0, error = 0;
    const pid_t parent = getpid();
    pid_t pid;

    *status = -1;
    if (!readers || process->args->failed || !process->args->count) {
        free(readers);
        return -ENOMEM;
    }
    if (pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC) || pipe2(report, O_CLOEXEC)) ret = -errno;
    else if ((pid = fork()) < 0) ret = -errno;
    else {
        int state = 0;
        if (!pid) child(process, parent, out, err, report[1]);
        close(out[1]);
        close(err[1]);
        close(report[1]);
        out[1] = err[1] = report[1] = -1;
        readers[0].fd = out[0];
        readers[1].fd = err[0];
        if (read(report[0], &error, sizeof error) == sizeof error) ret = -error;       // ends at exec, which closes the pipe
        if (!ret) ret = watch(process, pid, readers);
        while (waitpid(pid, &state, 0) < 0 && errno == EINTR);
        *status = WIFSIGNALED(state) ? 128 + WTERMSIG(state) : WEXITSTATUS(state);
    }
    for (int i = 0; i < 2; i++) {
        if (out[i] >= 0) close(out[i]);
        if (err[i] >= 0) close(err[i]);
        if (report[i] >= 0) close(report[i]);
    }
    free(readers);
    return ret;
}
