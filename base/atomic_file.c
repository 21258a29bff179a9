// atomic_file.c - temporary file, fsync, rename, fsync of the folder; or direct writing to what is not a regular file.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "atomic_file.h"
#include "log.h"

enum { MAX_LINKS = 40, MAX_WRITE = 1 << 30 };

// ---- paths ----

static int put(char to[PATH_MAX], const char *format, const char *a, const char *b)
{
    return snprintf(to, PATH_MAX, format, a, b) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static void folder_of(const char *path, char folder[PATH_MAX])         // of a path shorter than PATH_MAX
{
    const char *slash = strrchr(path, '/');

    snprintf(folder, PATH_MAX, "%.*s", slash > path ? (int)(slash - path) : 1, slash ? path : ".");
}

// The file descriptor that PATH stands for, if it is an entry of /proc/self/fd (/dev/stdout and /dev/fd/N are links to such),
// else -1. readlink of such an entry gives a text that need not be a path.
static int descriptor_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX], own[PATH_MAX], real[PATH_MAX], *end = NULL;
    long n;

    folder_of(path, folder);
    if (!slash || !realpath("/proc/self/fd", own) || !realpath(folder, real) || strcmp(own, real)) return -1;
    n = strtol(slash + 1, &end, 10);
    return end != slash + 1 && !*end && n >= 0 && n <= INT_MAX ? (int)n : -1;
}

// Follows symbolic links in the last component of PATH. target: the path at the end, which need not exist. *descriptor: the file
// descriptor that it stands for, or -1.
static int follow(const char *path, char target[PATH_MAX], int *descriptor)
{
    char text[PATH_MAX], folder[PATH_MAX];
    int ret = put(target, "%s%s", path, "");

    for (int links = 0; !ret && (*descriptor = descriptor_of(target)) < 0; links++) {
        const ssize_t n = readlink(target, text, sizeof text);
        if (n < 0) return 0;                // not a link, or it does not exist
        if (links == MAX_LINKS) return -ELOOP;
        if (n == sizeof text) return -ENAMETOOLONG;
        text[n] = 0;
        folder_of(target, folder);
        ret = text[0] == '/' ? put(target, "%s%s", text, "") : put(target, "%s/%s", folder, text);
    }
    return ret;
}

// ---- writing ----

// Whether this process is writing the file now: whoever writes holds its lock.
static bool is_in_use(const char *temporary)
{
    const int fd = open(temporary, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    const bool locked = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK;

    if (fd >= 0) close(fd);
    return locked;
}

// Opens the temporary file for a target that is a regular file (old: its stat) or does not exist (old NULL).
static int open_temporary(struct clzi_atomic_file *file, const struct stat *old)
{
    char pid[24];

    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (put(file->temporary, "%s.tmp.%s", file->target, pid) < 0) return -ENAMETOOLONG;
    if (is_in_use(file->temporary)) return -EBUSY;
    unlink(file->temporary);                // of a process that had the same PID
    file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd < 0) return -errno;
    flock(file->fd, LOCK_EX | LOCK_NB);     // where there are no locks, the last writer wins
    if (old) fchmod(file->fd, old->st_mode & 0777);
    return 0;
}

bool clzi_atomic_may_replace(const char *path, const void *beginning, size_t size)
{
    char start[256];
    struct stat st;
    FILE *f;
    size_t n;

    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode) || !st.st_size) return true;
    if (size > sizeof start || !(f = fopen(path, "rb"))) return false;
    n = fread(start, 1, size, f);
    fclose(f);
    return n == size && !memcmp(start, beginning, size);
}

int clzi_atomic_open(struct clzi_atomic_file *file, const char *path)
{
    int descriptor = -1, ret;
    struct stat st;
    bool exists;

    exists = !stat(path, &st);
    if (exists && S_ISDIR(st.st_mode)) return -EISDIR;
    if ((ret = follow(path, file->target, &descriptor)) < 0) return ret;
    if (descriptor < 0 && (!exists || S_ISREG(st.st_mode))) return open_temporary(file, exists ? &st : NULL);
    file->target[0] = file->temporary[0] = 0;
    file->fd = descriptor >= 0 ? fcntl(descriptor, F_DUPFD_CLOEXEC, 0) : open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
    return file->fd < 0 ? -errno : 0;
}

int clzi_atomic_write(struct clzi_atomic_file *file, const void *data, size_t size)
{
    const char *at = data;

    while (size) {
        const ssize_t n = write(file->fd, at, size > MAX_WRITE ? MAX_WRITE : size);
        if (n < 0 && errno != EINTR) return -errno;
        if (n > 0) {
            at += n;
            size -= n;
        }
    }
    return 0;
}

// The rename is durable only after an fsync of the folder. Errors are ignored, since some file systems do not support that.
static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    int fd;

    folder_of(path, folder);
    if ((fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) return;
    fsync(fd);
    close(fd);
}

int clzi_atomic_close(struct clzi_atomic_file *file, int ret)
{
    const bool replaces = *file->target;

    if (!ret && replaces && fsync(file->fd)) ret = -errno;
    if (close(file->fd) && !ret) ret = -errno;
    if (!replaces) return ret;
    if (!ret && rename(file->temporary, file->target)) ret = -errno;
    if (ret) unlink(file->temporary);
    else sync_folder(file->target);
    return ret;
}

int clzi_file_replace(const char *path, const void *data, size_t size, const struct clz_log *log)
{
    struct clzi_atomic_file file;
    int ret = clzi_atomic_open(&file, path);

    if (!ret) ret = clzi_atomic_close(&file, clzi_atomic_write(&file, data, size));
    return ret ? clzi_fail(log, ret, "%s: cannot be written: %s.", path, strerror(-ret)) : 0;
}

// ---- stale temporary files ----

void clzi_file_sweep(const char *path)
{
    char target[PATH_MAX], folder[PATH_MAX];
    int descriptor = -1;
    const char *name;
    struct dirent *entry;
    size_t n;
    DIR *dir;

    if (follow(path, target, &descriptor) < 0 || descriptor >= 0) return;
    name = strrchr(target, '/') ? strrchr(target, '/') + 1 : target;
    n = strlen(name);
    folder_of(target, folder);
    dir = opendir(folder);
    while (dir && (entry = readdir(dir))) {
        const char *rest = n ? entry->d_name + n : strstr(entry->d_name, ".tmp.");
        if (strncmp(entry->d_name, name, n) || !rest || strncmp(rest, ".tmp.", 5) || !rest[5] ||
            rest[5 + strspn(rest + 5, "0123456789")]) continue;
        unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir) closedir(dir);
}
