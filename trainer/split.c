// split.c - the list and the hash that divide a data set.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "kernels/fnv.h"
#include "split.h"

enum { MAX_REPORTS = 10, MAX_LINE = 4096 };

struct line { char *text; int number; bool used; };

struct clzt_split {
    char *list;
    double share;
    struct line *lines;                     // sorted by text
    int count, room;
};

static int by_text(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return strcmp(x->text, y->text);
}

static int by_number(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    return x->number - y->number;
}

static int add_line(struct clzt_split *s, const char *text, int number)
{
    if (s->count == s->room) {
        const int room = s->room * 2 + 256;
        struct line *more = realloc(s->lines, room * sizeof *more);
        if (!more) return -ENOMEM;
        s->lines = more;
        s->room = room;
    }
    if (!(s->lines[s->count].text = strdup(text))) return -ENOMEM;
    s->lines[s->count].number = number;
    s->lines[s->count++].used = false;
    return 0;
}

static int read_list(struct clzt_split *s, const struct clz_log *log)
{
    struct stat st;
    FILE *f = stat(s->list, &st) || S_ISREG(st.st_mode) ? fopen(s->list, "r") : NULL;   // opening a FIFO would block
    char text[MAX_LINE];
    int ret = 0;

    if (!f && errno) return clzi_fail(log, -errno, "%s: %s.", s->list, strerror(errno));
    if (!f) return clzi_fail(log, -EINVAL, "%s is not a regular file.", s->list);
    for (int number = 1; !ret && fgets(text, sizeof text, f); number++) {
        size_t n = strlen(text);
        if (n + 1 == sizeof text && text[n - 1] != '\n')
            ret = clzi_fail(log, -EINVAL, "%s: line %d has more than %d bytes.", s->list, number, MAX_LINE - 2);
        while (n && (text[n - 1] == '\n' || text[n - 1] == '\r')) text[--n] = 0;
        if (n && !ret) ret = add_line(s, text, number);
    }
    if (!ret && ferror(f)) ret = clzi_fail(log, -EIO, "%s: cannot be read.", s->list);
    fclose(f);
    if (!ret && !s->count) ret = clzi_fail(log, -EINVAL, "%s: the list is empty.", s->list);
    if (s->count) qsort(s->lines, s->count, sizeof *s->lines, by_text);
    return ret;
}

int clzt_split_create(struct clzt_split **split, const char *list, double share, const struct clz_log *log)
{
    struct clzt_split *s = *split = calloc(1, sizeof *s);
    int ret = 0;

    if (!s) return -ENOMEM;
    s->share = share;
    errno = 0;
    if (list && *list) ret = (s->list = strdup(list)) ? read_list(s, log) : -ENOMEM;
    if (ret < 0) clzt_split_destroy(split);
    return ret;
}

void clzt_split_destroy(struct clzt_split **split)
{
    if (!*split) return;
    for (int i = 0; i < (*split)->count; i++) free((*split)->lines[i].text);
    free((*split)->lines);
    free((*split)->list);
    free(*split);
    *split = NULL;
}

static bool is_listed(struct clzt_split *s, const char *text)
{
    int low = 0, high = s->count;
    bool found = false;

    while (low < high) {                    // the first line that is not before text
        const int middle = (low + high) / 2;
        if (strcmp(s->lines[middle].text, text) < 0) low = middle + 1;
        else high = middle;
    }
    for (; low < s->count && !strcmp(s->lines[low].text, text); low++) found = s->lines[low].used = true;
    return found;
}

// The bits of FNV-1a of similar names are not independent; the finisher of MurmurHash3 makes them so.
static bool falls_into(uint64_t hash, double share)
{
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccdu;
    hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53u;
    hash ^= hash >> 33;
    return (double)(hash >> 11) * 0x1p-53 < share;
}

bool clzt_split_lists(struct clzt_split *s, const char *path, const char *name)
{
    const char *slash = strrchr(name, '/');

    name += *name == '/';                   // names within a folder begin so
    // all three, so that each such line counts as used
    const bool whole = is_listed(s, path), own = is_listed(s, name), last = slash && is_listed(s, slash + 1);
    return whole || own || last;
}

bool clzt_split_has_name(const struct clzt_split *s, const char *name)
{
    name += *name == '/';
    return falls_into(clzk_fnv1a(CLZK_FNV1A_BASIS, name, strlen(name)), s->share);
}

bool clzt_split_has_frame(const struct clzt_split *s, const char *name, int64_t frame)
{
    name += *name == '/';
    return falls_into(clzk_fnv1a(clzk_fnv1a(CLZK_FNV1A_BASIS, name, strlen(name) + 1), &frame, sizeof frame), s->share);
}

int clzt_split_check(const struct clzt_split *s, const struct clz_log *log)
{
    int missed = 0;

    if (s->count) qsort(s->lines, s->count, sizeof *s->lines, by_number);
    for (int i = 0; i < s->count; i++)
        if (!s->lines[i].used && ++missed <= MAX_REPORTS)
            clzi_log(log, CLZ_LOG_WARNING, "%s:%d: no training picture is called \"%.200s\".", s->list, s->lines[i].number,
                     s->lines[i].text);
    if (s->count && missed == s->count)
        return clzi_fail(log, -EINVAL, "%s: no training picture has one of its %d names.", s->list, s->count);
    if (missed) clzi_log(log, CLZ_LOG_WARNING, "%s: %d of %d names are not of training pictures.", s->list, missed, s->count);
    return 0;
}
