// plan_cache.c - a file is "colorize plan 1 HASH\nKEY\nPLAN"; HASH is the FNV-1a hash of what follows its line. Its name is the
// hash of the key.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "kernels/fnv.h"
#include "base/log.h"
#include "plan_cache.h"

enum { HEADER_SIZE = 16 + 16 + 1 };         // "colorize plan 1 ", 16 hex digits, "\n"

static bool make_folder(char *path)
{
    struct stat s;

    for (char *end = path + 1; (end = strchr(end, '/')); end++) {
        *end = 0;
        mkdir(path, 0700);
        *end = '/';
    }
    mkdir(path, 0700);
    return !stat(path, &s) && S_ISDIR(s.st_mode) && !access(path, W_OK);
}

char *clzi_plan_cache_folder(const struct clz_log *log)
{
    const char *own = getenv("COLORIZE_CACHE"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char path[PATH_MAX];
    int size;

    if (own) size = snprintf(path, sizeof path, "%s", own);
    else if (cache && *cache == '/') size = snprintf(path, sizeof path, "%s/colorize", cache);
    else if (home && *home == '/') size = snprintf(path, sizeof path, "%s/.cache/colorize", home);
    else return NULL;
    if (!*path) return NULL;
    if (size < (int)sizeof path && make_folder(path)) return strdup(path);
    clzi_log(log, CLZ_LOG_VERBOSE, "cuda: plans are not kept: %s is no folder that can be written to", path);
    return NULL;
}

static void file_name(const char *folder, const char *key, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%016" PRIx64 ".plan", folder, clzk_fnv1a(CLZK_FNV1A_BASIS, key, strlen(key)));
}

static bool is_valid(const char *text, int64_t size, const char *key)
{
    const size_t key_size = strlen(key);
    char header[HEADER_SIZE + 1];

    if (size <= (int64_t)(HEADER_SIZE + key_size + 1)) return false;
    snprintf(header, sizeof header, "colorize plan 1 %016" PRIx64 "\n",
             clzk_fnv1a(CLZK_FNV1A_BASIS, text + HEADER_SIZE, size - HEADER_SIZE));
    return !memcmp(text, header, HEADER_SIZE) && !memcmp(text + HEADER_SIZE, key, key_size) &&
           text[HEADER_SIZE + key_size] == '\n';
}

int64_t clzi_plan_cache_read(const char *folder, const char *key, char **plan)
{
    const int64_t skip = HEADER_SIZE + (int64_t)strlen(key) + 1;
    char path[PATH_MAX], *text = NULL;
    struct stat s;
    int64_t size = 0;
    int fd;

    *plan = NULL;
    file_name(folder, key, path);
    if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0) return 0;
    if (!fstat(fd, &s) && S_ISREG(s.st_mode) && s.st_size <= CLZI_PLAN_MAX_SIZE && (text = malloc(s.st_size + 1))) {
        while (size < s.st_size) {
            const ssize_t n = read(fd, text + size, s.st_size - size);
            if (n <= 0) break;
            size += n;
        }
    }
    close(fd);
    if (!text || !is_valid(text, size, key)) {
        free(text);
        return 0;
    }
    memmove(text, text + skip, size - skip);
    *plan = text;
    return size - skip;
}

void clzi_plan_cache_write(const char *folder, const char *key, const char *plan, int64_t size, const struct clz_log *log)
{
    const size_t key_size = strlen(key), body = key_size + 1 + size;
    struct clzi_atomic_file file;
    char path[PATH_MAX], header[HEADER_SIZE + 1], *text;
    int ret;

    if (size > CLZI_PLAN_MAX_SIZE - CLZI_PLAN_KEY_SIZE - HEADER_SIZE || !(text = malloc(body))) return;
    memcpy(text, key, key_size);
    text[key_size] = '\n';
    memcpy(text + key_size + 1, plan, size);
    snprintf(header, sizeof header, "colorize plan 1 %016" PRIx64 "\n", clzk_fnv1a(CLZK_FNV1A_BASIS, text, body));
    file_name(folder, key, path);
    if ((ret = clzi_atomic_open(&file, path)) >= 0) {
        ret = clzi_atomic_write(&file, header, HEADER_SIZE);
        if (ret >= 0) ret = clzi_atomic_write(&file, text, body);
        ret = clzi_atomic_close(&file, ret);
    }
    if (ret < 0) clzi_log(log, CLZ_LOG_VERBOSE, "cuda: %s cannot be written: %s", path, strerror(-ret));
    free(text);
}
