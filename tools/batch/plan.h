// plan.h - a list of jobs as numbered units for a cluster: one for each film or piece of a film, done by run --index anywhere, in
// any order; then merge joins.
//
// A plan is a text of lines, JSON: {"list": "/abs/jobs.yaml", "job": 3, "piece": 2, "key": "...", "film": "reel3.mkv"}; piece -1:
// the whole film. Units share nothing but the folders of the outputs: a piece that is done is told by a file beside it, a film by
// its side-car.
#ifndef CLZB_PLAN_H
#define CLZB_PLAN_H
#include <stdio.h>
#include "film.h"

// Looks at all films, reads the frames of those that are cut, writes the plan. Films that cannot be opened are logged and left
// out; merge tries them again. list: absolute path.
int clzb_plan_write(struct clzb_shelf *shelf, const struct clzb_jobs *jobs, const char *list, FILE *file);

struct clzb_unit {
    char list[PATH_MAX], key[65];
    int job, piece;
};

// Line INDEX of the plan, from 0; -1: the first line, for its list.
int clzb_plan_read(struct clzb_unit *unit, const char *path, int index, const struct clz_log *log);

// -EINVAL, with a message, if the list has no such job any more, or the film, the model or the job has changed since the plan.
int clzb_plan_check(struct clzb_shelf *shelf, const struct clzb_jobs *jobs, const struct clzb_unit *unit);

// Colours a piece. Refuses if the film, the model or the list has changed since the plan.
int clzb_plan_piece(struct clzb_shelf *shelf, const struct clzb_jobs *jobs, const struct clzb_unit *unit);
#endif
