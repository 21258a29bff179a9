// progress.h - progress display of a training (a bar on a terminal, lines at intervals elsewhere) and metrics.csv.
#ifndef CLZT_PROGRESS_H
#define CLZT_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "engine/colorize.h"

// Exponential moving average: m = d m + (1 - d) x; its value is m / (1 - d^n), without bias towards 0 at the start.
struct clzt_smooth { double mean, weight; };
void clzt_smooth_add(struct clzt_smooth *s, double value);     // d = 0.98: averages about 50 values
double clzt_smooth_value(const struct clzt_smooth *s);         // NAN before the first value

struct clzt_progress_params {
    FILE *file;                             // stderr
    int interval;                           // seconds between lines when file is not a terminal, 0: 10
    const char *unit;                       // of `total`: "step"
};

// Phases follow each other: begin, update often, end. clzt_progress_clear must be called before a log message is printed between
// two updates.
struct clzt_progress;
int clzt_progress_create(struct clzt_progress **progress, const struct clzt_progress_params *params);
void clzt_progress_destroy(struct clzt_progress **progress);

// Begin and end accept NULL and do nothing. first: initial count (of a resumed run); total: final count, 0: not known. per_unit:
// pictures per step, for the rate; 0: the rate is in units/s.
void clzt_progress_begin(struct clzt_progress *progress, const char *phase, int64_t first, int64_t total, int per_unit);

// note: text such as "l1 0.0812 chroma 0.120", may be NULL. Draws at most ten times per second on a terminal, otherwise once per
// interval.
void clzt_progress_update(struct clzt_progress *progress, int64_t done, const char *note);
void clzt_progress_end(struct clzt_progress *progress);        // draws the final state and a newline
void clzt_progress_clear(struct clzt_progress *progress);      // erases the bar until the next update
double clzt_progress_rate(const struct clzt_progress *progress);       // pictures (or units) per second; 0: not known

// ---- metrics.csv: a header, then rows; a field is empty where a row has no value ----

struct clzt_csv;

// Opens the file, a regular one, for appending. Rows of steps after `step` (column 1) and an incomplete last row are dropped, so
// that a resumed run does not write steps twice. Rows of other columns are converted: columns that the file lacks are empty.
// Where that would lose columns, or all rows be dropped, the file is kept as path.old (path.old.2, ...). names ends with NULL;
// names[0] is "step".
int clzt_csv_open(struct clzt_csv **csv, const char *path, const char *const *names, int64_t step,
                  const struct clz_log *log);
int clzt_csv_add(struct clzt_csv *csv, int64_t step, const double *values);    // values of names[1...]; NAN: empty

// Whether the file exists and has a row of that step with a value in that column.
bool clzt_csv_has(const char *path, int64_t step, const char *column);

// The largest value of a column and its step, 0: the file has none; and the number of later rows with a value of that column, of
// steps after `after` only.
struct clzt_csv_best { double value; int64_t step, later; };
struct clzt_csv_best clzt_csv_best(const char *path, const char *column, int64_t after);
void clzt_csv_close(struct clzt_csv **csv);
#endif
