// run.h - works through a list of films with several workers.
#ifndef CLZB_RUN_H
#define CLZB_RUN_H
#include "film.h"

struct clzb_run_params {
    struct clzb_shelf *shelf;
    const struct clzb_jobs *jobs;
    int parallel;                           // workers
    bool quiet;
};

// What became of the films.
struct clzb_tally {
    int done, skipped, failed, quarantined;             // skipped: were done already, or by another run
};

// Looks at all films, names what they lose, and colours them. Returns 0, or -EINTR if a signal ended it, or an error of the
// program itself; films that failed are in the tally.
int clzb_run(const struct clzb_run_params *params, struct clzb_tally *tally);
#endif
