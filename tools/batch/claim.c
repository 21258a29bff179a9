// claim.c - claim files: O_EXCL, flock, and the file's time.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "claim.h"

enum { TEXT = 400 };

void clzb_random_token(char token[17])
{
    uint64_t number;

    if (getrandom(&number, sizeof number, 0) != sizeof number)
        number = ((uint64_t)getpid() << 32) ^ (uint64_t)(clzi_now() * 1e9);
    snprintf(token, 17, "%016llx", (unsigned long long)number);
}

// Tells apart hosts of one name, each of which has its own kernel. "-": not known.
static void read_boot(char boot[64])
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (!file || fscanf(file, "%63s", boot) != 1) snprintf(boot, 64, "-");
    if (file) fclose(file);
}

struct holder { char host[256], boot[64], token[17]; long pid; };

// The text of a claim: "HOST\nPID\nBOOT\nTOKEN\n".
static void read_holder(int fd, struct holder *holder)
{
    char text[TEXT];
    const ssize_t n = pread(fd, text, sizeof text - 1, 0);
    char *end;

    *holder = (struct holder){0};
    if (n <= 0) return;
    text[n] = 0;
    if (!(end = strchr(text, '\n'))) return;
    *end = 0;
    snprintf(holder->host, sizeof holder->host, "%.255s", text);
    if (sscanf(end + 1, "%ld %63s %16s", &holder->pid, holder->boot, holder->token) < 3) *holder->token = 0;
}

static bool same_file(int fd, const char *path)
{
    struct stat a, b;
    return !fstat(fd, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Whether the claim is still this run's. A run that took it over may have written into the same file.
static bool is_own(const struct clzb_claim *claim)
{
    struct holder holder;

    if (!same_file(claim->fd, claim->path)) return false;
    read_holder(claim->fd, &holder);
    return !strcmp(holder.token, claim->token);
}

// Seconds since the claim was renewed, by the clock that gives files of its folder their times. Negative: not known.
static double age(const char *path)
{
    char probe[PATH_MAX + 40], token[17];
    struct stat claim, now;
    double seconds = -1;
    int fd;

    clzb_random_token(token);
    snprintf(probe, sizeof probe, "%s.now.%s", path, token);
    if ((fd = open(probe, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) < 0) return -1;
    unlink(probe);                          // at once: a run that is killed while it waits for the disk leaves no file
    if (write(fd, "x", 1) == 1 && !fsync(fd) && !fstat(fd, &now) && !stat(path, &claim))
        seconds = (double)(now.st_mtim.tv_sec - claim.st_mtim.tv_sec);
    close(fd);
    return seconds;
}

static int write_holder(struct clzb_claim *claim, const char *host)
{
    const int fd = claim->fd;
    char text[TEXT], boot[64];
    int n;

    read_boot(boot);
    clzb_random_token(claim->token);
    n = snprintf(text, sizeof text, "%.255s\n%ld\n%s\n%s\n", host, (long)getpid(), boot, claim->token);
    if (ftruncate(fd, 0) || pwrite(fd, text, n, 0) != n || fsync(fd)) return errno ? -errno : -EIO;
    return 0;
}

// Takes the place of a holder that has died. The lock is held from the check to the new text, so of two runs one wins. On a
// file system without locks the file is moved away, which only one of two runs can do.
static int take_over(struct clzb_claim *claim, const char *host, char *holder, size_t size)
{
    char boot[64], token[17], moved[PATH_MAX + 40];
    struct holder old;
    const int fd = open(claim->path, O_RDWR | O_CLOEXEC);
    bool locked, dead, here;

    if (fd < 0) return errno == ENOENT ? -EAGAIN : -errno;
    read_holder(fd, &old);
    read_boot(boot);
    snprintf(holder, size, "host %.200s, PID %ld", *old.host ? old.host : "?", old.pid);
    here = !*old.host || (!strcmp(old.host, host) && (!*old.boot || !strcmp(old.boot, boot)));
    locked = !flock(fd, LOCK_EX | LOCK_NB);
    // The holder writes its name while it has the lock, so a text that is not there yet belongs to one that lives or has died.
    dead = here ? locked : age(claim->path) > CLZB_CLAIM_STALE;
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
        return write_holder(claim, host);
    }
    close(fd);
    clzb_random_token(token);
    snprintf(moved, sizeof moved, "%s.old.%s", claim->path, token);
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
            else ret = same_file(fd, path) ? write_holder(claim, host) : -EAGAIN;
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
    if (!is_own(claim)) return -ESTALE;
    return futimens(claim->fd, NULL) ? -errno : 0;
}

void clzb_claim_drop(struct clzb_claim *claim)
{
    if (claim->fd < 0) return;
    if (is_own(claim)) unlink(claim->path);
    close(claim->fd);
    claim->fd = -1;
}
