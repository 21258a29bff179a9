// progress.h - what a running training shows and writes down: a bar on a terminal, a line now and then elsewhere, and
// metrics.csv.
#ifndef CLZT_PROGRESS_H
#define CLZT_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "engine/colorize.h"

// A mean that forgets: m = d m + (1 - d) x, read as m / (1 - d^n), so that the first values count in full.
struct clzt_smooth { double mean, weight; };
void clzt_smooth_add(struct clzt_smooth *s, double value);     // d = 0.98: about the last 50 values
double clzt_smooth_value(const struct clzt_smooth *s);         // NAN before the first

struct clzt_progress_params {
    FILE *file;                             // stderr
    int interval;                           // seconds between lines when file is not a terminal, 0: 10
    const char *unit;                       // what total counts: "step"
};

// One phase at a time: begin, update often, end. A message of the log between two updates must go through
// clzt_progress_clear first.
struct clzt_progress;
int clzt_progress_create(struct clzt_progress **progress, const struct clzt_progress_params *params);
void clzt_progress_destroy(struct clzt_progress **progress);

// Begin and end take NULL: nothing is shown. first: where counting begins (a resumed run), total: where it ends, 0: not
// known. per_unit: pictures in a step, for
// the rate; 0: show units/s.
void clzt_progress_begin(struct clzt_progress *progress, const char *phase, int64_t first, int64_t total, int per_unit);

// note: "l1 0.0812 chroma 0.120", may be NULL. Draws at most ten times a second (terminal) or once an interval.
void clzt_progress_update(struct clzt_progress *progress, int64_t done, const char *note);
void clzt_progress_end(struct clzt_progress *progress);        // draws the last state and a newline
void clzt_progress_clear(struct clzt_progress *progress);      // wipes the bar; it is redrawn with the next update
double clzt_progress_rate(const struct clzt_progress *progress);       // pictures (or units) a second; 0: not known

// ---- metrics.csv: a header once, then a row now and then; empty where a row has no such number ----

struct clzt_csv;

// Opens for appending. A file that is there keeps its rows up to and including `step` (column 1), so that a run that
// went on from an older checkpoint does not tell its story twice; rows beyond, and a torn last row, are dropped.
// Another set of columns: the old file is renamed to path.old. names ends with NULL; names[0] is "step".
int clzt_csv_open(struct clzt_csv **csv, const char *path, const char *const *names, int64_t step,
                  const struct clz_log *log);
int clzt_csv_add(struct clzt_csv *csv, int64_t step, const double *values);    // values of names[1...]; NAN: empty

// Whether the file has a row of that step with something in that column. No file: no.
bool clzt_csv_has(const char *path, int64_t step, const char *column);
void clzt_csv_close(struct clzt_csv **csv);
#endif
