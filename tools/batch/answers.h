// answers.h - the file beside a coloured film that keeps the network's answers, OUT.answers, for jobs that ask for it. When the
// film is coloured again with other options, its frames come from there.
//
// In the film's folder, MODEL the beginning of the model's hash:
//     answers-MODEL               what a run writes, until the film is done
//     answers-MODEL.before        what a run that was broken off has left
//     piece-N.answers             of a piece
#ifndef CLZB_ANSWERS_H
#define CLZB_ANSWERS_H
#include "film.h"

// Before work begins: looks for what an earlier run has left.
int clzb_answers_begin(struct clzb_film *film);
bool clzb_answers_is_kept(const char *name);                // when the folder is emptied

// The filter's options for a run that writes `out`, in the film's folder; NULL: answers-MODEL. To free; "" if the job does not
// ask for it. NULL: out of memory.
char *clzb_answers_options(const struct clzb_film *film, const char *out);

int clzb_answers_join(struct clzb_film *film);              // those of the pieces become answers-MODEL
// Syncs and hashes answers-MODEL, for the side-car.
int clzb_answers_verify(struct clzb_film *film);
int clzb_answers_rename(struct clzb_film *film);            // to OUT.answers
bool clzb_answers_may_replace(const char *path);            // there is none, or it is such a file
#endif
