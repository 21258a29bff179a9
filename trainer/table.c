// table.c - reads a csv file of numbers.
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "table.h"
#include "whole_file.h"

enum { MAX_FILE = 1 << 30, MAX_COLUMNS = 1000 };

static int fields(const char *line)
{
    int n = 1;

    for (; *line && *line != '\n'; line++) n += *line == ',';
    return n;
}

// Splits the line in place; returns the next one, NULL: the line has no end.
static char *split(char *line, char **to, int count)
{
    char *end = strchr(line, '\n');

    if (!end) return NULL;
    *end = 0;
    for (int i = 0; i < count; i++) {
        to[i] = line;
        line += strcspn(line, ",");
        if (*line) *line++ = 0;
    }
    return end + 1;
}

static double number(const char *text)
{
    char *end;
    const double value = strtod(text, &end);

    return end == text || *end ? NAN : value;
}

int clzt_table_read(struct clzt_table *t, const char *path, const struct clz_log *log)
{
    size_t size;
    char *line, **row = NULL;
    int64_t lines = 0, n = 0;

    *t = (struct clzt_table){ .text = clzt_file_whole(path, MAX_FILE, &size) };
    if (!t->text) return clzi_fail(log, -ENOENT, "%s: the file is missing or cannot be read.", path);
    for (const char *p = t->text; (p = strchr(p, '\n')); p++) lines++;
    t->columns = fields(t->text);
    if (!lines || t->columns > MAX_COLUMNS) {
        clzt_table_free(t);
        return clzi_fail(log, -EINVAL, "%s: expected a line with the names of at most %d columns.", path, MAX_COLUMNS);
    }
    t->names = calloc((size_t)t->columns, sizeof *t->names);
    row = calloc((size_t)t->columns, sizeof *row);
    t->values = malloc((size_t)t->columns * (size_t)lines * sizeof *t->values);
    if (!t->names || !row || !t->values) {
        free(row);
        clzt_table_free(t);
        return -ENOMEM;
    }
    for (line = split(t->text, t->names, t->columns); line && *line;) {
        const bool whole = fields(line) == t->columns;
        if (!(line = split(line, row, t->columns)) || !whole) continue;
        for (int i = 0; i < t->columns; i++) t->values[i * lines + n] = number(row[i]);
        n++;
    }
    for (int i = 1; i < t->columns; i++) memmove(t->values + i * n, t->values + i * lines, (size_t)n * sizeof *t->values);
    t->rows = n;
    free(row);
    return 0;
}

void clzt_table_free(struct clzt_table *t)
{
    free(t->text);
    free(t->names);
    free(t->values);
    *t = (struct clzt_table){ NULL };
}

const double *clzt_table_column(const struct clzt_table *t, const char *name)
{
    for (int i = 0; i < t->columns; i++)
        if (!strcmp(t->names[i], name)) return t->values + i * t->rows;
    return NULL;
}
