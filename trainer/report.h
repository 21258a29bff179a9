// report.h - a page that shows one or several training runs: curves, scores, sample sheets, recipe, facts of the data. One HTML
// file without scripts, which loads nothing.
#ifndef CLZT_REPORT_H
#define CLZT_REPORT_H
#include "engine/colorize.h"

enum { CLZT_REPORT_RUNS = 16, CLZT_REPORT_SHEETS = 64 };

struct clzt_report {
    const char *const *runs;                // their folders
    int count;                              // 1 to CLZT_REPORT_RUNS
    const char *out;                        // NULL: report.html in the first of them
    int sheets;                             // sample sheets of each run, from the first to the last; -1: 4 of one run, else 2
};

// -ENOENT, logged: a folder has no metrics.csv. What else is missing, in a run that goes on, is left out.
int clzt_report_write(const struct clzt_report *report, const struct clz_log *log);
#endif
