// checkpoint.c - the commit protocol described in checkpoint.h. The manifest of a checkpoint is text:
//
//     colorize checkpoint 1
//     step 12000
//     state 345 SHA256                    size in bytes and hash of the file `state`
//     blob w.conv1.weight 36864 SHA256    one line per blob, each a file of that name
//     end SHA256                          of all lines above
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "checkpoint.h"
#include "base/log.h"
#include "base/sha256.h"

enum { MAX_BLOBS = 1 << 16, MAX_MANIFEST = 16 << 20, HEX = 65, CHUNK = 1 << 20 };

static const char heading[] = "colorize checkpoint 1\n";

// ---- hashes ----

static void hash(const void *data, size_t size, char hex[HEX])
{
    struct clzi_sha256 sha;

    clzi_sha256_init(&sha);
    clzi_sha256_update(&sha, data, size);
    clzi_sha256_hex(&sha, hex);
}

// ---- files of a folder ----

static int create_file(int folder, const char *name)
{
    const int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    return fd < 0 ? -errno : fd;
}

static int write_bytes(int fd, const void *data, size_t size)
{
    const char *at = data;

    while (size) {
        const ssize_t n = write(fd, at, size > 1 << 30 ? 1 << 30 : size);
        if (n < 0 && errno != EINTR) return -errno;
        if (n > 0) {
            at += n;
            size -= n;
        }
    }
    return 0;
}

static int finish_file(int fd, int ret)
{
    if (!ret && fsync(fd)) ret = -errno;
    if (close(fd) && !ret) ret = -errno;
    return ret;
}

static int write_file(int folder, const char *name, const void *data, size_t size)
{
    const int fd = create_file(folder, name);
    return fd < 0 ? fd : finish_file(fd, write_bytes(fd, data, size));
}

struct clzt_blob_file { int fd; size_t left; struct clzi_sha256 sha; };

int clzt_blob_put(struct clzt_blob_file *file, const void *data, size_t size)
{
    if (size > file->left) return -EINVAL;
    file->left -= size;
    clzi_sha256_update(&file->sha, data, size);
    return write_bytes(file->fd, data, size);
}

static int write_blob(int folder, const struct clzt_blob *blob, char hex[HEX])
{
    struct clzt_blob_file file = { .fd = create_file(folder, blob->name), .left = blob->size };
    int ret;

    if (file.fd < 0) return file.fd;
    clzi_sha256_init(&file.sha);
    ret = blob->data || !blob->put ? clzt_blob_put(&file, blob->data, blob->size) : blob->put(blob->priv, &file);
    if (!ret && file.left) ret = -EINVAL;
    clzi_sha256_hex(&file.sha, hex);
    return finish_file(file.fd, ret);
}

// Reads a file, which must have exactly `size` bytes (SIZE_MAX: at most MAX_MANIFEST), and checks its hash. data NULL: checks
// only. A NUL is appended to *data.
static int read_file(int folder, const char *name, size_t size, const char *hex, char **data, size_t *got)
{
    const int fd = openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct clzi_sha256 sha;
    char *buffer = NULL, found[HEX];
    struct stat st;
    size_t at = 0;
    int ret = -EBADMSG;

    if (fd < 0) return -errno;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) goto end;
    if (size == SIZE_MAX ? st.st_size > MAX_MANIFEST : (uint64_t)st.st_size != size) goto end;
    size = st.st_size;
    ret = -ENOMEM;
    if (!(buffer = malloc(data ? size + 1 : CHUNK))) goto end;
    clzi_sha256_init(&sha);
    while (at < size) {
        char *to = data ? buffer + at : buffer;
        const ssize_t n = read(fd, to, size - at > CHUNK ? CHUNK : size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) {
            ret = n < 0 ? -errno : -EBADMSG;
            goto end;
        }
        clzi_sha256_update(&sha, to, n);
        at += n;
    }
    clzi_sha256_hex(&sha, found);
    ret = hex && strcmp(hex, found) ? -EBADMSG : 0;
end:
    if (!ret && data) {
        buffer[size] = 0;
        *data = buffer;
        buffer = NULL;
        if (got) *got = size;
    }
    free(buffer);
    close(fd);
    return ret;
}

static void remove_folder(int parent, const char *name)         // without subfolders, like a checkpoint
{
    const int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    struct dirent *entry;
    DIR *dir;

    if (fd < 0) {
        unlinkat(parent, name, 0);          // it is a file or a link
        return;
    }
    if (!(dir = fdopendir(fd))) {
        close(fd);
        return;
    }
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    unlinkat(parent, name, AT_REMOVEDIR);
}

// ---- names ----

static int64_t step_of(const char *name)    // of "step-12000": 12000; -1: another name
{
    char same[40];
    int64_t n;

    if (strncmp(name, "step-", 5) || name[5] < '0' || name[5] > '9') return -1;
    n = strtoll(name + 5, NULL, 10);
    snprintf(same, sizeof same, "step-%" PRId64, n);
    return strcmp(name, same) ? -1 : n;     // not step-007: the folder is opened as step-7
}

static int newest_first(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

// Lists the steps of all checkpoints, newest first; the caller frees *steps. Returns their number or an error.
static int all_steps(const char *path, int64_t **steps)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    int count = 0, room = 0, ret = 0;

    *steps = NULL;
    if (!dir) return errno == ENOENT ? 0 : -errno;
    while (!ret && (entry = readdir(dir))) {
        const int64_t step = step_of(entry->d_name);
        if (step < 0) continue;
        if (count == room) {
            int64_t *more = realloc(*steps, (room = room * 2 + 16) * sizeof *more);
            if (!more) {
                ret = -ENOMEM;
                break;
            }
            *steps = more;
        }
        (*steps)[count++] = step;
    }
    closedir(dir);
    if (ret) {
        free(*steps);
        *steps = NULL;
        return ret;
    }
    if (count) qsort(*steps, count, sizeof **steps, newest_first);
    return count;
}

int clzt_checkpoint_list(const char *dir, int64_t *steps, int max)
{
    int64_t *all;
    int count = all_steps(dir, &all);

    if (count > max) count = max;
    for (int i = 0; i < count; i++) steps[i] = all[i];
    free(all);
    return count;
}

static bool blob_name_ok(const char *name)
{
    const size_t n = strlen(name);

    if (!n || n >= CLZT_BLOB_NAME || name[0] == '.' || !strcmp(name, "state") || !strcmp(name, "manifest")) return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == n;
}

// Removes .step-N.tmp.PID and last.tmp.PID: all, or only those of processes that do not exist any more.
static void sweep(int folder, bool all)
{
    const int copy = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *entry;

    if (!dir) {
        if (copy >= 0) close(copy);
        return;
    }
    while ((entry = readdir(dir))) {
        const char *dot = strrchr(entry->d_name, '.');
        const bool folder_name = !strncmp(entry->d_name, ".step-", 6), file_name = !strncmp(entry->d_name, "last.tmp.", 9);
        long pid;
        if ((!folder_name && !file_name) || !dot || (folder_name && !strstr(entry->d_name, ".tmp."))) continue;
        pid = strtol(dot + 1, NULL, 10);
        if (!all && (pid <= 0 || pid == getpid() || !kill((pid_t)pid, 0) || errno != ESRCH)) continue;
        if (folder_name) remove_folder(folder, entry->d_name);
        else unlinkat(folder, entry->d_name, 0);
    }
    closedir(dir);
}

// ---- manifests ----

// Writes the blobs to their files, and the manifest, which is short, to memory.
static int write_blobs(int folder, char **text, size_t *size, int64_t step, const struct clzt_blob *blobs, int count,
                       const char *state)
{
    FILE *file = open_memstream(text, size);
    char hex[HEX];
    int ret = 0;

    if (!file) return -ENOMEM;
    hash(state, strlen(state), hex);
    fprintf(file, "%sstep %" PRId64 "\nstate %zu %s\n", heading, step, strlen(state), hex);
    for (int i = 0; i < count && !ret; i++) {
        ret = write_blob(folder, &blobs[i], hex);
        fprintf(file, "blob %s %zu %s\n", blobs[i].name, blobs[i].size, hex);
    }
    if (fflush(file) && !ret) ret = -ENOMEM;
    if (!ret) hash(*text, *size, hex);
    fprintf(file, "end %s\n", hex);
    if (fclose(file) && !ret) ret = -ENOMEM;
    if (ret) {
        free(*text);
        *text = NULL;
    }
    return ret;
}

// Returns what follows WORD in the next line, "WORD ...", and advances *at. NULL: the line does not begin with word.
static char *line(char **at, const char *word)
{
    char *begin = *at, *end = strchr(begin, '\n');
    const size_t n = strlen(word);

    if (!end || strncmp(begin, word, n) || begin[n] != ' ') return NULL;
    *end = 0;
    *at = end + 1;
    return begin + n + 1;
}

static bool size_and_hash(const char *text, size_t *size, char hex[HEX])
{
    int used = 0;
    return sscanf(text, "%zu %64[0-9a-f]%n", size, hex, &used) == 2 && !text[used] && strlen(hex) == 64;
}

// Checks a checkpoint's folder, and loads its contents if `load`. -EBADMSG: damaged; the reason is logged as a warning.
static int read_checkpoint(struct clzt_checkpoint **checkpoint, int folder, const char *shown, int64_t step, bool load,
                           const struct clz_log *log)
{
    struct clzt_checkpoint *c = *checkpoint = calloc(1, sizeof *c);
    const char *bad = "manifest";
    char *manifest = NULL, *at, *rest, hex[HEX], sum[HEX];
    size_t size, got = 0;
    int ret = -ENOMEM, lines = 0;

    if (!c) return -ENOMEM;
    c->step = step;
    if ((ret = read_file(folder, "manifest", SIZE_MAX, NULL, &manifest, &got)) < 0) goto fail;
    ret = -EBADMSG;
    if (strlen(manifest) != got || strncmp(manifest, heading, strlen(heading))) goto fail;
    if (!(at = strstr(manifest, "\nend "))) goto fail;
    hash(manifest, at + 1 - manifest, sum);
    for (const char *p = manifest; *p; p++) lines += *p == '\n';
    if (lines > MAX_BLOBS) goto fail;
    if (load && !(c->blobs = calloc(lines, sizeof *c->blobs))) {
        ret = -ENOMEM;
        goto fail;
    }
    at = manifest + strlen(heading);
    if (!(rest = line(&at, "step")) || strtoll(rest, NULL, 10) != step) goto fail;
    if (!(rest = line(&at, "state")) || !size_and_hash(rest, &size, hex)) goto fail;
    bad = "state";
    if ((ret = read_file(folder, "state", size, hex, load ? &c->state : NULL, NULL)) < 0) goto fail;
    ret = -EBADMSG;
    while ((rest = line(&at, "blob"))) {
        char *space = strchr(rest, ' ');
        bad = "manifest";
        if (!space) goto fail;
        *space = 0;
        if (!blob_name_ok(rest) || !size_and_hash(space + 1, &size, hex)) goto fail;
        bad = rest;
        if ((ret = read_file(folder, rest, size, hex, load ? (char **)&c->blobs[c->blob_count].data : NULL, NULL)) < 0) goto fail;
        ret = -EBADMSG;
        if (!load) continue;
        snprintf(c->blobs[c->blob_count].name, CLZT_BLOB_NAME, "%s", rest);
        c->blobs[c->blob_count++].size = size;
    }
    bad = "manifest";
    if (!(rest = line(&at, "end")) || *at || strcmp(rest, sum)) goto fail;
    free(manifest);
    if (!load) clzt_checkpoint_destroy(checkpoint);
    return 0;
fail:
    if (ret != -ENOMEM) {
        clzi_log(log, CLZ_LOG_WARNING, "%s/step-%" PRId64 ": %s is damaged (%s).", shown, step, bad,
                 ret == -EBADMSG ? "size or hash differ from the manifest" : strerror(-ret));
        ret = -EBADMSG;
    }
    free(manifest);
    clzt_checkpoint_destroy(checkpoint);
    return ret;
}

static int read_step(struct clzt_checkpoint **checkpoint, const char *dir, int64_t step, bool load, const struct clz_log *log)
{
    const size_t room = strlen(dir) + 40;
    char *path = malloc(room);
    int fd, ret;

    *checkpoint = NULL;
    if (!path) return -ENOMEM;
    snprintf(path, room, "%s/step-%" PRId64, dir, step);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        ret = errno == ENOMEM ? -ENOMEM : -EBADMSG;
        clzi_log(log, CLZ_LOG_WARNING, "%s: not a checkpoint: %s.", path, strerror(errno));
    } else {
        ret = read_checkpoint(checkpoint, fd, dir, step, load, log);
        close(fd);
    }
    free(path);
    return ret;
}

// ---- public ----

void clzt_checkpoint_sweep(const char *dir)
{
    const int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (folder < 0) return;
    sweep(folder, true);
    close(folder);
}

void clzt_checkpoint_destroy(struct clzt_checkpoint **checkpoint)
{
    struct clzt_checkpoint *c = *checkpoint;

    if (!c) return;
    for (int i = 0; i < c->blob_count; i++) free(c->blobs[i].data);
    free(c->blobs);
    free(c->state);
    free(c);
    *checkpoint = NULL;
}

const void *clzt_checkpoint_blob(const struct clzt_checkpoint *checkpoint, const char *name, size_t size)
{
    for (int i = 0; i < checkpoint->blob_count; i++)
        if (!strcmp(checkpoint->blobs[i].name, name)) return checkpoint->blobs[i].size == size ? checkpoint->blobs[i].data : NULL;
    return NULL;
}

int clzt_checkpoint_load_step(struct clzt_checkpoint **checkpoint, const char *dir, int64_t step, const struct clz_log *log)
{
    int64_t *steps;
    const int count = all_steps(dir, &steps);
    bool found = false;

    *checkpoint = NULL;
    if (count < 0) return count;
    for (int i = 0; i < count; i++) found |= steps[i] == step;
    free(steps);
    return found ? read_step(checkpoint, dir, step, true, log) : -ENOENT;
}

int clzt_checkpoint_load(struct clzt_checkpoint **checkpoint, const char *dir, const struct clz_log *log)
{
    const int folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int64_t *steps;
    int count, ret = -ENOENT;

    *checkpoint = NULL;
    if (folder < 0) return errno == ENOENT ? -ENOENT : clzi_fail(log, -errno, "%s: %s.", dir, strerror(errno));
    sweep(folder, false);
    close(folder);
    if ((count = all_steps(dir, &steps)) < 0)
        return count == -ENOMEM ? count : clzi_fail(log, count, "%s: %s.", dir, strerror(-count));
    for (int i = 0; i < count; i++)
        if ((ret = read_step(checkpoint, dir, steps[i], true, log)) != -EBADMSG) break;
    free(steps);
    if (ret == -EBADMSG) clzi_fail(log, ret, "%s: none of its checkpoints can be read.", dir);
    return ret;
}

static int write_all(int folder, int64_t step, const struct clzt_blob *blobs, int count, const char *state)
{
    char *manifest = NULL;
    size_t size;
    int ret = write_blobs(folder, &manifest, &size, step, blobs, count, state);

    if (!ret) ret = write_file(folder, "state", state, strlen(state));
    if (!ret) ret = write_file(folder, "manifest", manifest, size);
    if (!ret && fsync(folder)) ret = -errno;
    free(manifest);
    return ret;
}

// Renames the complete folder to its final name. An existing folder of that name is exchanged atomically, so that one of the two
// always has the name.
static int commit(int folder, const char *temporary, const char *name)
{
    if (!renameat2(folder, temporary, folder, name, RENAME_EXCHANGE)) {
        remove_folder(folder, temporary);
        return fsync(folder) ? -errno : 0;
    }
    if (errno != ENOENT) remove_folder(folder, name);           // the file system does not support the exchange
    if (renameat(folder, temporary, folder, name)) return -errno;
    return fsync(folder) ? -errno : 0;
}

static void discard(int folder, int64_t step)   // renames first, so that no partly removed step-N is visible
{
    char name[40], temporary[60];

    snprintf(name, sizeof name, "step-%" PRId64, step);
    snprintf(temporary, sizeof temporary, ".step-%" PRId64 ".tmp.%ld", step, (long)getpid());
    remove_folder(folder, temporary);
    if (!renameat(folder, name, folder, temporary)) remove_folder(folder, temporary);
}

// Deletes checkpoints newer than `step` (damaged ones that the run did not continue from), and the oldest beyond `keep`.
static void prune(int folder, const char *dir, int64_t step, int keep)
{
    int64_t *steps;
    const int count = all_steps(dir, &steps);

    for (int i = 0, kept = 0; i < count; i++) {
        if (steps[i] > step || (keep > 0 && kept >= keep)) discard(folder, steps[i]);
        else kept++;
    }
    free(steps);
}

// Deletes one checkpoint: one newer than `step`, otherwise the oldest, if a newer one verifies. False: none can be deleted.
static bool make_room(int folder, const char *dir, int64_t step, const struct clz_log *log)
{
    struct clzt_checkpoint *unused = NULL;
    int64_t *steps;
    const int count = all_steps(dir, &steps);
    int victim = -1;

    for (int i = 0; i < count && victim < 0; i++)
        if (steps[i] > step) victim = i;
    for (int i = 0; i < count - 1 && victim < 0; i++)
        if (!read_step(&unused, dir, steps[i], false, log)) victim = count - 1;
    if (victim >= 0) {
        clzi_log(log, CLZ_LOG_WARNING, "%s/step-%" PRId64 ": removed to free disk space for step %" PRId64 ".", dir,
                 steps[victim], step);
        discard(folder, steps[victim]);
    }
    free(steps);
    return victim >= 0;
}

struct saving { const char *dir; int64_t step; const struct clzt_blob *blobs; int blob_count; const char *state; double needed; };

// Writes the checkpoint and commits it. -ENOSPC: the disk is full, or has less free space than will be needed (*missing).
static int try_save(int folder, const struct saving *s, double *missing)
{
    char name[40], temporary[60];
    struct statvfs space;
    int inner = -1, ret;

    *missing = 0;
    if (!fstatvfs(folder, &space) && space.f_blocks && (double)space.f_bavail * space.f_frsize < s->needed) {
        *missing = s->needed - (double)space.f_bavail * space.f_frsize;
        return -ENOSPC;
    }
    snprintf(name, sizeof name, "step-%" PRId64, s->step);
    snprintf(temporary, sizeof temporary, ".step-%" PRId64 ".tmp.%ld", s->step, (long)getpid());
    remove_folder(folder, temporary);
    if (mkdirat(folder, temporary, 0777)) ret = -errno;
    else if ((inner = openat(folder, temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) ret = -errno;
    else ret = write_all(inner, s->step, s->blobs, s->blob_count, s->state);
    if (!ret) ret = commit(folder, temporary, name);
    if (ret) remove_folder(folder, temporary);
    if (inner >= 0) close(inner);
    return ret;
}

int clzt_checkpoint_save(const char *dir, int64_t step, const struct clzt_blob *blobs, int blob_count, const char *state,
                         int keep, const struct clz_log *log)
{
    struct saving saving = { dir, step, blobs, blob_count, state, strlen(state) + 200.0 * blob_count };
    struct clzt_checkpoint *unused = NULL;
    char name[40], last[60];
    double missing = 0;
    int folder = -1, ret = 0;

    if (step < 0 || blob_count > MAX_BLOBS - 16)
        return clzi_fail(log, -EINVAL, "%s: step %" PRId64 ", %d blobs; expected a step of 0 or more, and at most %d blobs.", dir,
                         step, blob_count, MAX_BLOBS - 16);
    for (int i = 0; i < blob_count; i++) {
        if (!blob_name_ok(blobs[i].name)) return clzi_fail(log, -EINVAL, "%s: \"%s\" is not a valid name of a blob.", dir,
                                                           blobs[i].name);
        saving.needed += blobs[i].size + 4096.0;
    }
    saving.needed *= 1.1;
    snprintf(name, sizeof name, "step-%" PRId64, step);
    if ((mkdir(dir, 0777) && errno != EEXIST) || (folder = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0) {
        ret = -errno;
        goto fail;
    }
    sweep(folder, false);
    do ret = try_save(folder, &saving, &missing);
    while ((ret == -ENOSPC || ret == -EDQUOT) && keep > 0 && make_room(folder, dir, step, log));
    if (ret < 0) goto fail;
    if ((ret = read_step(&unused, dir, step, false, log)) < 0) goto fail;
    snprintf(last, sizeof last, "last.tmp.%ld", (long)getpid());
    strcat(name, "\n");
    if (!(ret = write_file(folder, last, name, strlen(name))) && renameat(folder, last, folder, "last")) ret = -errno;
    name[strlen(name) - 1] = 0;
    if (ret) {
        unlinkat(folder, last, 0);
        goto fail;
    }
    prune(folder, dir, step, keep);
    goto end;
fail:
    if (missing > 0)
        clzi_fail(log, ret, "%s/%s: not saved: %.0f MB are needed, %.0f MB are free. Earlier checkpoints are kept.", dir, name,
                  1e-6 * saving.needed, 1e-6 * (saving.needed - missing));
    else clzi_fail(log, ret, "%s/%s: not saved: %s. Earlier checkpoints are kept.", dir, name, strerror(-ret));
end:
    if (folder >= 0) close(folder);
    return ret;
}
