// source.c - the table of kinds of files.
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "source.h"

static const struct clzt_source_kind *const kinds[] = { &clzt_source_picture, &clzt_source_video, NULL };

bool clzt_has_extension(const char *path, const char *list)
{
    const char *dot = strrchr(path, '.');
    char word[16];
    size_t n;

    if (!dot || strchr(dot, '/') || (n = strlen(dot)) < 2 || n >= sizeof word) return false;
    for (size_t i = 0; i <= n; i++) word[i] = (char)tolower((unsigned char)dot[i]);
    for (const char *at = list; (at = strstr(at, word)); at++)
        if (at[n] == ' ' || !at[n]) return true;
    return false;
}

bool clzt_source_probe(const char *path)
{
    for (int i = 0; kinds[i]; i++)
        if (kinds[i]->probe(path)) return true;
    return false;
}

int clzt_source_open(struct clzt_source *source, const char *path, const struct clz_log *log)
{
    const bool known = clzt_source_probe(path);
    int ret = -EINVAL;

    *source = (struct clzt_source){ .path = strdup(path), .categories = -1 };
    if (!source->path) return -ENOMEM;
    for (int i = 0; kinds[i]; i++) {
        if (known && !kinds[i]->probe(path)) continue;
        source->kind = kinds[i];
        if ((ret = kinds[i]->open(source, log)) >= 0 || ret == -ENOMEM) break;
        source->kind = NULL;
    }
    if (ret < 0) clzt_source_close(source);
    return ret;
}

void clzt_source_close(struct clzt_source *source)
{
    if (source->kind && source->kind->close) source->kind->close(source);
    free(source->path);
    free(source->chosen);
    *source = (struct clzt_source){0};
}
