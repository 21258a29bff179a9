// table.h - reads a csv file of numbers, such as metrics.csv.
#ifndef CLZT_TABLE_H
#define CLZT_TABLE_H
#include <stdint.h>
#include "engine/colorize.h"

struct clzt_table {
    char *text;                             // names point into it
    char **names;                           // [columns]
    double *values;                         // [columns][rows]; NAN: empty, or no number
    int columns;
    int64_t rows;
};

// The first line has the names. A line with another number of fields, such as an incomplete last one, is left out. -ENOENT,
// logged: there is no such file; -EINVAL, logged: it has no header; -ENOMEM.
int clzt_table_read(struct clzt_table *table, const char *path, const struct clz_log *log);
void clzt_table_free(struct clzt_table *table);                 // also of a zeroed struct

// The rows of a column; NULL: there is no such column.
const double *clzt_table_column(const struct clzt_table *table, const char *name);
#endif
