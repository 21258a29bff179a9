// claim.c - claim files: O_EXCL, flock, and the file's time.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "claim.h"

// The text of a claim: "HOST\nPID\n".
static void read_holder(int fd, char host[256], long *pid)
{
    char text[300];
    const ssize_t n = pread(fd, text, sizeof text - 1, 0);
    char *end;

    *host = 0;
    *pid = 0;
    if (n <= 0) return;
    text[n] = 0;
    if (!(end = strchr(text, '\n'))) return;
    *end = 0;
    snprintf(host, 256, "%.255s", text);
    *pid = atol(end + 1);
}

static bool same_file(int fd, const char *path)
{
    struct stat a, b;
    return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Seconds since the claim was renewed, by the clock that gives files of its folder their times. Negative: not known.
static double age(const char *path)
{
    char probe[PATH_MAX + 40];
    struct stat claim, now;
    double seconds = -1;
    int fd;

    snprintf(probe, sizeof probe, "%s.now.%ld", path, (long)getpid());
    if ((fd = open(probe, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) < 0) return -1;
    if (write(fd, "x", 1) == 1 && !fsync(fd) && !fstat(fd, &now) && !stat(path, &claim))
        seconds = (double)(now.st_mtim.tv_sec - claim.st_mtim.tv_sec);
    close(fd);
    unlink(probe);
    return seconds;
}

static int write_holder(int fd, const char *host)
{
    char text[300];
    const int n = snprintf(text, sizeof text, "%.255s\n%ld\n", host, (long)getpid());

    if (ftruncate(fd, 0) || pwrite(fd, text, n, 0) != n || fsync(fd)) return errno ? -errno : -EIO;
    return 0;
}

// Takes the place of a holder that has died. The lock is held from the check to the new text, so of two runs one wins. On a
// file system without locks the file is moved away, which only one of two runs can do.
static int take_over(struct clzb_claim *claim, const char *host, char *holder, size_t size)
{
    char old_host[256], moved[PATH_MAX + 40];
    const int fd = open(claim->path, O_RDWR | O_CLOEXEC);
    const double seconds = age(claim->path);
    bool locked, dead;
    long pid;

    if (fd < 0) return errno == ENOENT ? -EAGAIN : -errno;
    read_holder(fd, old_host, &pid);
    snprintf(holder, size, "host %.200s, PID %ld", *old_host ? old_host : "?", pid);
    locked = !flock(fd, LOCK_EX | LOCK_NB);
    // The holder writes its name while it has the lock, so a text that is not there yet belongs to one that lives or has died.
    dead = !strcmp(old_host, host) || !*old_host ? locked : seconds > CLZB_CLAIM_STALE;
    if (!dead) {
        close(fd);
        return -EBUSY;
    }
    if (locked) {
        if (!same_file(fd, claim->path)) {                          // dropped or taken meanwhile
            close(fd);
            return -EAGAIN;
        }
        claim->fd = fd;
        return write_holder(fd, host);
    }
    close(fd);
    snprintf(moved, sizeof moved, "%s.old.%ld", claim->path, (long)getpid());
    if (!rename(claim->path, moved)) unlink(moved);
    return -EAGAIN;
}

int clzb_claim_take(struct clzb_claim *claim, const char *path, const char *host, char *holder, size_t size)
{
    int ret = -EAGAIN;

    *holder = 0;
    claim->fd = -1;
    if (snprintf(claim->path, sizeof claim->path, "%s", path) >= (int)sizeof claim->path) return -ENAMETOOLONG;
    for (int tries = 0; tries < 5 && ret == -EAGAIN; tries++) {
        const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            claim->fd = fd;
            if (flock(fd, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK) ret = -EAGAIN;        // another run judged it dead
            else ret = same_file(fd, path) ? write_holder(fd, host) : -EAGAIN;
            if (ret == -EAGAIN) close(fd);
        } else if (errno == EEXIST) ret = take_over(claim, host, holder, size);
        else ret = -errno;
    }
    if (ret < 0 && claim->fd >= 0 && ret != -EAGAIN && ret != -EBUSY) clzb_claim_drop(claim);
    if (ret < 0) claim->fd = -1;
    return ret == -EAGAIN ? -EBUSY : ret;
}

int clzb_claim_renew(const struct clzb_claim *claim)
{
    if (!same_file(claim->fd, claim->path)) return -ESTALE;
    return futimens(claim->fd, NULL) ? -errno : 0;
}

void clzb_claim_drop(struct clzb_claim *claim)
{
    if (claim->fd < 0) return;
    if (same_file(claim->fd, claim->path)) unlink(claim->path);
    close(claim->fd);
    claim->fd = -1;
}
