// hash.c - reads files and folders.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sha256.h"
#include "hash.h"

enum { CHUNK = 1 << 20 };

static int hash_range(struct clzi_sha256 *hash, int fd, int64_t from, int64_t size)
{
    char *buffer = malloc(CHUNK);
    int ret = buffer ? 0 : -ENOMEM;

    while (!ret && size > 0) {
        const ssize_t n = pread(fd, buffer, size < CHUNK ? size : CHUNK, from);
        if (n < 0 && errno != EINTR) ret = -errno;
        if (!n) break;
        if (n > 0) {
            clzi_sha256_update(hash, buffer, n);
            from += n, size -= n;
        }
    }
    free(buffer);
    return ret;
}

static int hash_file(const char *path, char hex[65], int64_t *size)
{
    struct clzi_sha256 hash;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    int ret;

    if (fd < 0 || fstat(fd, &st)) {
        ret = -errno;
        if (fd >= 0) close(fd);
        return ret;
    }
    clzi_sha256_init(&hash);
    ret = hash_range(&hash, fd, 0, st.st_size);
    clzi_sha256_hex(&hash, hex);
    *size = st.st_size;
    close(fd);
    return ret;
}

static int visible(const struct dirent *entry) { return *entry->d_name != '.'; }

static int each_file(const char *folder, int (*handler)(void *priv, const char *name, const char *path), void *priv)
{
    struct dirent **list = NULL;
    const int n = scandir(folder, &list, visible, alphasort);
    char path[PATH_MAX];
    int ret = n < 0 ? -errno : 0;

    for (int i = 0; i < n; i++) {
        if (!ret && snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name) >= PATH_MAX) ret = -ENAMETOOLONG;
        if (!ret) ret = handler(priv, list[i]->d_name, path);
        free(list[i]);
    }
    free(list);
    return ret;
}

struct sum { struct clzi_sha256 hash; int64_t size; };

static int add_file(void *priv, const char *name, const char *path)
{
    struct sum *sum = priv;
    char hex[65];
    int64_t size;
    const int ret = hash_file(path, hex, &size);

    if (ret) return ret;
    clzi_sha256_update(&sum->hash, hex, 64);
    clzi_sha256_update(&sum->hash, name, strlen(name) + 1);
    sum->size += size;
    return 0;
}

static int add_facts(void *priv, const char *name, const char *path)
{
    struct sum *sum = priv;
    struct stat st;
    char text[80];

    if (stat(path, &st)) return -errno;
    snprintf(text, sizeof text, " %lld %lld.%09ld\n", (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    clzi_sha256_update(&sum->hash, name, strlen(name));
    clzi_sha256_update(&sum->hash, text, strlen(text));
    sum->size += st.st_size;
    return 0;
}

int clzb_hash_path(const char *path, char hex[65], int64_t *size)
{
    struct sum sum = {0};
    struct stat st;
    int ret;

    if (stat(path, &st)) return -errno;
    if (!S_ISDIR(st.st_mode)) return hash_file(path, hex, size);
    clzi_sha256_init(&sum.hash);
    ret = each_file(path, add_file, &sum);
    clzi_sha256_hex(&sum.hash, hex);
    *size = sum.size;
    return ret;
}

int clzb_size_of(const char *path, int64_t *size)
{
    struct sum sum = {0};
    struct stat st;
    int ret = 0;

    if (stat(path, &st)) return -errno;
    clzi_sha256_init(&sum.hash);
    if (S_ISDIR(st.st_mode)) ret = each_file(path, add_facts, &sum);
    *size = S_ISDIR(st.st_mode) ? sum.size : st.st_size;
    return ret;
}

int clzb_fingerprint(const char *path, char hex[65])
{
    struct sum sum = {0};
    struct stat st;
    char text[80];
    int ret = 0, fd;

    if (stat(path, &st)) return -errno;
    clzi_sha256_init(&sum.hash);
    if (S_ISDIR(st.st_mode)) ret = each_file(path, add_facts, &sum);
    else if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) ret = -errno;
    else {
        snprintf(text, sizeof text, "%lld %lld.%09ld\n", (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
        clzi_sha256_update(&sum.hash, text, strlen(text));
        ret = hash_range(&sum.hash, fd, 0, CHUNK);
        if (!ret && st.st_size > CHUNK) ret = hash_range(&sum.hash, fd, st.st_size - CHUNK, CHUNK);
        close(fd);
    }
    clzi_sha256_hex(&sum.hash, hex);
    return ret;
}
