// jobs.h - the list of jobs, from jobs.yaml or the command line.
#ifndef CLZB_JOBS_H
#define CLZB_JOBS_H
#include <stdbool.h>
#include "engine/colorize.h"
#include "preset.h"

enum { CLZB_SEGMENTS_OFF = 0, CLZB_SEGMENTS_AUTO = -1 };

struct clzb_words {
    char **item;                            // ends with NULL
    int count;
};

// One film. Paths are absolute. Also the defaults of all films, in which `in` is NULL and `out` a folder.
struct clzb_job {
    char *in, *out, *model;
    const struct clzb_preset *preset;
    const struct clzb_container *container; // NULL: the preset's
    struct clzb_words options;              // of the filter: "strength=0.8", sorted
    struct clzb_words encoder;              // FFmpeg's arguments, in place of the preset's
    char *rate;                             // frames per second of a folder of pictures
    int segments;                           // frames in a piece, or CLZB_SEGMENTS_*
    bool verify;                            // decode the finished film and compare it
    bool keep_damaged;                      // a film with decoding errors is coloured, too
    bool answers;                           // the network's answers are kept beside the film
};

struct clzb_jobs {
    struct clzb_job *job;
    int count;
    struct clzb_job defaults;
    char *journal;                          // path; NULL: not given
    int parallel;                           // films or pieces at a time; 0: not given
};

void clzb_jobs_init(struct clzb_jobs *jobs);

// Sets one key of a job, as in jobs.yaml. folder: what relative paths start from. where: "jobs.yaml:12" or an option, for
// messages. Keys that take a list are appended to.
int clzb_job_set(struct clzb_job *job, const char *key, const char *value, const char *folder, const char *where,
                 const struct clz_log *log);

// Adds a job with the defaults, for the film `in` (absolute).
int clzb_jobs_add(struct clzb_jobs *jobs, const char *in);

int clzb_jobs_load(struct clzb_jobs *jobs, const char *path, const struct clz_log *log);

// To call once, after the last job: gives each job its output file and checks what can be checked without the films: a model, no
// two equal outputs, no output that is an input.
int clzb_jobs_finish(struct clzb_jobs *jobs, const struct clz_log *log);
void clzb_jobs_clear(struct clzb_jobs *jobs);
void clzb_job_clear(struct clzb_job *job);

// The value of an option of the filter, or NULL.
const char *clzb_job_option(const struct clzb_job *job, const char *name);

void clzb_job_keys_print(FILE *file);
#endif
