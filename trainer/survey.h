// survey.h - what a data set consists of: files, sizes, damage, duplicates, colours. Every picture is decoded once; memory is 16
// bytes for each, and what is listed by name.
#ifndef CLZT_SURVEY_H
#define CLZT_SURVEY_H
#include <stdio.h>

#include "colours.h"
#include "kernels/ab_bins.h"

enum { CLZT_SURVEY_SIDES = 8 };             // classes of short sides: below 64, 64 to 127, ... 4096 and more

struct clzt_survey {
    int64_t pictures, frames;               // readable: files that are one picture; frames of films
    int picture_files, film_files;          // of those that could be opened
    int64_t unreadable;
    struct clzt_damage { int file; int64_t unreadable, of; } *damaged;     // the files with unreadable pictures, in order
    int damaged_count;

    int least_w, least_h, most_w, most_h;   // of readable pictures
    int64_t sides[CLZT_SURVEY_SIDES];

    // Pictures with the same pixels as an earlier one. Repeated frames within a film are only counted.
    struct clzt_twin { int64_t index, first; } *twins;
    int64_t twin_count, still;

    int64_t grey;                           // pictures with a spread below CLZT_GREY
    struct clzt_colour_sums colours;
    double spread;                          // mean over pictures, Lab units
    double cf, cf_abs;                      // colourfulness as in metrics.h, mean over pictures
    double bins[CLZK_AB_BINS];              // pixels of each class of colour; others count for the nearest
};

struct clzt_survey_params {
    int64_t pictures;                       // at most so many, spread evenly; 0: all
    int workers;                            // threads, 0: one per core. The result does not depend on it
    void (*progress)(void *priv, int64_t done, int64_t total);      // optional; called by one thread at a time
    void *priv;
};

// -EBADMSG: no picture can be read, which is logged. To be destroyed in any case.
int clzt_survey_make(struct clzt_survey **survey, struct clzt_dataset *dataset, const struct clzt_survey_params *params);
void clzt_survey_destroy(struct clzt_survey **survey);

// Print what `colorize-train dataset scan` and `stats` say. -EIO.
int clzt_survey_print_scan(FILE *file, const struct clzt_survey *survey, const struct clzt_dataset *dataset, bool json);
int clzt_survey_print_stats(FILE *file, const struct clzt_survey *survey, bool json);
#endif
