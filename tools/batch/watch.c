// watch.c - inotify, and reading the folder.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "paths.h"
#include "watch.h"

enum { STOP_CHECK = 500 };                  // milliseconds
static const double settle_local = 2, settle_network = 60, network_interval = 30;      // seconds

struct entry {
    char *path;
    off_t size;
    struct timespec changed;
    double since;                           // clzi_now() at which size and time were first seen
    bool given, seen;
};

struct clzb_watch {
    char folder[PATH_MAX];
    int inotify;                            // -1: polling
    double settle, interval;
    struct entry *entry;
    int count;
    const char **names;
    const struct clz_log *log;
};

// ---- opening ----

// The part of a path that exists, resolved.
static void resolve(const char *path, char real[PATH_MAX])
{
    char text[PATH_MAX], *slash;

    snprintf(text, sizeof text, "%s", path);
    while (!realpath(text, real)) {
        if (!(slash = strrchr(text, '/')) || slash == text) {
            snprintf(real, PATH_MAX, "/");
            return;
        }
        *slash = 0;
    }
}

int clzb_watch_open(struct clzb_watch **watch, const char *folder, const char *out, double settle, const struct clz_log *log)
{
    struct clzb_watch *w = *watch = calloc(1, sizeof *w);
    const bool network = clzb_on_network(folder);
    char real_out[PATH_MAX];
    size_t n;

    if (!w) return -ENOMEM;
    w->inotify = -1;
    w->log = log;
    if (!realpath(folder, w->folder)) {
        const int ret = clzi_fail(log, -errno, "%s: %s.", folder, strerror(errno));
        clzb_watch_close(watch);
        return ret;
    }
    resolve(out, real_out);
    n = strlen(w->folder);
    if (!strncmp(real_out, w->folder, n) && (!real_out[n] || real_out[n] == '/')) {
        const int ret = clzi_fail(log, -EINVAL, "%s: coloured films cannot go into the watched folder %s.", out, w->folder);
        clzb_watch_close(watch);
        return ret;
    }
    w->settle = settle > 0 ? settle : network ? settle_network : settle_local;
    if (!network && (w->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK)) >= 0 &&
        inotify_add_watch(w->inotify, w->folder, IN_CLOSE_WRITE | IN_MOVED_TO | IN_MODIFY | IN_ATTRIB) < 0) {
        close(w->inotify);
        w->inotify = -1;
    }
    w->interval = w->inotify >= 0 || settle > 0 ? w->settle : network_interval;
    return 0;
}

void clzb_watch_close(struct clzb_watch **watch)
{
    struct clzb_watch *w = *watch;

    if (!w) return;
    if (w->inotify >= 0) close(w->inotify);
    for (int i = 0; i < w->count; i++) free(w->entry[i].path);
    free(w->entry);
    free(w->names);
    free(w);
    *watch = NULL;
}

// ---- looking ----

static bool is_film(const char *name)
{
    static const char *const others[] = { ".part", ".tmp", ".json", ".log", ".journal", ".answers" };
    const char *dot = strrchr(name, '.');

    if (*name == '.') return false;
    for (size_t i = 0; dot && i < sizeof others / sizeof *others; i++)
        if (!strcmp(dot, others[i])) return false;
    return true;
}

static struct entry *find(struct clzb_watch *w, const char *path)
{
    struct entry *entry;

    for (int i = 0; i < w->count; i++)
        if (!strcmp(w->entry[i].path, path)) return &w->entry[i];
    if (!(entry = realloc(w->entry, (w->count + 1) * sizeof *entry))) return NULL;
    w->entry = entry;
    entry[w->count] = (struct entry){ .path = strdup(path), .size = -1 };
    return entry[w->count].path ? &entry[w->count++] : NULL;
}

// A lease for reading is given only on a file that nobody has open for writing. Where leases are not supported, true. -errno: the
// file cannot be opened.
static int written_by_nobody(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool good = true;

    if (fd < 0) return -errno;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0) good = errno != EAGAIN;
    else fcntl(fd, F_SETLEASE, F_UNLCK);
    close(fd);
    return good;
}

static int scan(struct clzb_watch *w)
{
    DIR *dir = opendir(w->folder);
    const double now = clzi_now();
    char path[PATH_MAX];
    struct dirent *e;
    struct stat st;

    if (!dir) return clzi_fail(w->log, -errno, "%s: %s.", w->folder, strerror(errno));
    for (int i = 0; i < w->count; i++) w->entry[i].seen = false;
    while ((e = readdir(dir))) {
        struct entry *entry;
        if (!is_film(e->d_name) || snprintf(path, sizeof path, "%s/%s", w->folder, e->d_name) >= PATH_MAX) continue;
        if (stat(path, &st) || !S_ISREG(st.st_mode)) continue;
        if (!(entry = find(w, path))) {
            closedir(dir);
            return -ENOMEM;
        }
        entry->seen = true;
        if (entry->size == st.st_size && entry->changed.tv_sec == st.st_mtim.tv_sec &&
            entry->changed.tv_nsec == st.st_mtim.tv_nsec) continue;
        entry->size = st.st_size;
        entry->changed = st.st_mtim;
        entry->since = now;
        entry->given = false;
    }
    closedir(dir);
    for (int i = 0; i < w->count; i++) {
        if (w->entry[i].seen) continue;
        free(w->entry[i].path);             // it is gone
        w->entry[i--] = w->entry[--w->count];
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The films that stand still, as names. *waiting: some do not yet.
static int collect(struct clzb_watch *w, bool *waiting)
{
    const double now = clzi_now();
    const char **names = realloc(w->names, (w->count + 1) * sizeof *names);
    int n = 0;

    *waiting = false;
    if (!names) return -ENOMEM;
    w->names = names;
    for (int i = 0; i < w->count; i++) {
        struct entry *e = &w->entry[i];
        int unused = 0;
        if (e->given || !e->size) continue;
        if (now - e->since < w->settle || !(unused = written_by_nobody(e->path))) {
            *waiting = true;
            continue;
        }
        if (unused < 0) {                     // until it changes
            clzi_log(w->log, CLZ_LOG_WARNING, "%s: %s; it is left alone until its time or size changes.", e->path,
                     strerror(-unused));
            e->given = true;
            continue;
        }
        e->given = true;
        names[n++] = e->path;
    }
    names[n] = NULL;
    qsort(names, n, sizeof *names, compare);
    return n;
}

int clzb_watch_next(struct clzb_watch *w, const char *const **names, atomic_int *stop)
{
    for (;;) {
        bool waiting;
        char events[4096];
        double until;
        int n = scan(w);
        if (n < 0 || (n = collect(w, &waiting)) < 0) return n;
        *names = w->names;
        if (n) return n;
        // Without inotify, and while a film is being written, the folder is read again after a while; else at the next event.
        until = clzi_now() + (waiting ? w->settle / 2 : w->interval);
        while (clzi_now() < until || (w->inotify >= 0 && !waiting)) {
            struct pollfd fd = { w->inotify, POLLIN, 0 };
            if (atomic_load(stop)) return -EINTR;
            if (poll(&fd, 1, STOP_CHECK) > 0) {
                while (read(w->inotify, events, sizeof events) > 0);
                if (!waiting) break;
            }
        }
    }
}
