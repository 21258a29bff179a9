// classes.c - lists of names of classes.
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "classes.h"
#include "graph.h"

int clzi_classes_port(const struct clzi_graph *graph) { return clzi_port_find(graph->in, graph->in_count, CLZI_CLASS_PORT); }

// Whether the first `length` bytes of text are a name, in which _ may stand for a space; capitals do not matter.
static bool same(const char *text, size_t length, const char *name, size_t name_length)
{
    if (length != name_length) return false;
    for (size_t i = 0; i < length; i++)
        if (strncasecmp(text + i, name + i, 1) && !(text[i] == '_' && name[i] == ' ')) return false;
    return true;
}

// The number of a name in a list; -1: it is not there.
static int find(const char *names, const char *text, size_t length)
{
    for (int i = 0;; i++) {
        const size_t n = strcspn(names, ",");
        if (same(text, length, names, n)) return i;
        if (!names[n]) return -1;
        names += n + 1;
    }
}

int clzi_classes_count(const char *names)
{
    const char *at = names;
    int count = 0;

    while (*names) {
        const size_t n = strcspn(at, ",");
        if (!n || count == CLZI_MAX_CLASSES || find(names, at, n) != count) return -EINVAL;
        count++;
        if (!at[n]) break;
        at += n + 1;
    }
    return count;
}

bool clzi_classes_named(const char *text) { return text && *text && strcmp(text, "none"); }

int clzi_classes_parse(const char *text, const char *names, float *vector, const char *where, const struct clz_log *log)
{
    const int count = clzi_classes_count(names);
    int known = 0;

    memset(vector, 0, (size_t)(count > 0 ? count : 0) * sizeof *vector);
    if (!clzi_classes_named(text)) return 0;
    for (;;) {
        const size_t n = strcspn(text, ",+|");
        const int k = find(names, text, n);
        if (k < 0)
            return clzi_fail(log, -EINVAL, "%s: \"%.*s\" is not one of the model's classes: %.600s", where, n > 60 ? 60 : (int)n,
                             text, names);
        known += !(vector[k] > 0);
        vector[k] = 1;
        if (!text[n]) break;
        text += n + 1;
    }
    for (int i = 0; i < count; i++) vector[i] /= (float)known;
    return 0;
}
