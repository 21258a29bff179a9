// recipe.h - what a training run is made of, read from YAML and from `key=value` arguments. One table in recipe.c holds
// every key's name, type, default, range and help; parsing, --help, the resolved recipe of a run and the table in
// doc/recipe.md all come from it.
//
// The YAML is a plain subset: maps, lists and scalars. Anchors, aliases and tags are refused, as are more than 16
// levels, more than 1 MiB and a key given twice. `loss: {l1: 1, chroma: 0.1}` is the same as the keys loss.l1 and
// loss.chroma; an argument loss.chroma=0.2 changes one of them. A list in an argument: train=[photos, film.mkv] or
// train=photos; a value that begins with [ and is the name of a file or folder is that path.
#ifndef CLZT_RECIPE_H
#define CLZT_RECIPE_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/colorize.h"
#include "data.h"
#include "loss.h"

enum clzt_schedule { CLZT_SCHEDULE_CONSTANT, CLZT_SCHEDULE_COSINE, CLZT_SCHEDULE_LINEAR };
enum clzt_resume { CLZT_RESUME_AUTO, CLZT_RESUME_NEVER, CLZT_RESUME_FORCE };

struct clzt_list { char **items; int count; };

struct clzt_recipe {
    char *net, *init;                       // name in clzt_nets; model file to start from ("" none)
    struct clzt_list train, val;            // folders, videos, pictures
    char *run;                              // folder
    int64_t seed;
    int resume;                             // enum clzt_resume

    int size, scale;                        // crop, pixels; short side before it, 0: as is
    struct clzt_list shapes;                // "160x128": of crops instead of the square, a random one for each batch; none: size
    int batch;
    int64_t steps, pictures;                // length: one of them, the other 0 (clzt_recipe_check fills steps in)
    bool length_given;                      // by an argument, which takes the place of the file's
    int workers;                            // 0: one a core
    int cache;                              // enum clzt_cache
    int64_t cache_limit;                    // MiB, 0: half of the machine's memory
    double zoom_in, zoom_out, aspect;
    bool flip;
    int luma;                               // enum clzt_luma_input
    struct clzt_film film;

    double lr, lr_end, beta1, beta2, eps, weight_decay, ema;
    double encoder_lr;
    int64_t encoder_freeze;                 // steps
    int encoder_statistics;                 // 0 of the batch, 1 kept
    int schedule;                           // enum clzt_schedule
    int64_t warmup;                         // steps
    double loss[CLZT_MAX_LOSSES];           // weight of each row of clzt_losses
    double rebalance;                       // 0: off, else clzt_ab_weights_make's mix

    char *device;
    int precision, threads;                 // enum clz_precision; 0: one a core

    int64_t save_every, val_every, sheet_every, log_every;     // steps, 0: never
    int keep, val_pictures, sheet_pictures; // val_pictures 0: all

    double saturation;                      // of the written model: its ab_scale is 110 times this
    int working_size;                       // short side written into the model, 0: the net's own
    int working_shape;                      // 0 as the frame's, 1 square; likewise
    char *license, *notes;                  // written into the model
};

// Every key at its default.
int clzt_recipe_create(struct clzt_recipe **recipe);
void clzt_recipe_destroy(struct clzt_recipe **recipe);

// Read a file, or text whose messages say `name`. -EINVAL after one message: file, line, key, value, what was expected,
// the nearest key. Later readings override earlier ones; a file that fails leaves the recipe half changed.
int clzt_recipe_load(struct clzt_recipe *recipe, const char *path, const struct clz_log *log);
int clzt_recipe_parse(struct clzt_recipe *recipe, const char *text, size_t size, const char *name,
                      const struct clz_log *log);

// One command line argument: "key=value". steps takes the place of a file's pictures, and pictures of its steps.
int clzt_recipe_set(struct clzt_recipe *recipe, const char *assignment, const struct clz_log *log);

// What concerns several keys at once, and that all text is UTF-8; makes `steps` from `pictures`. Call it after the last set.
int clzt_recipe_check(struct clzt_recipe *recipe, const struct clz_log *log);

// Makes paths that are relative to the working directory absolute, so that the written recipe serves from anywhere.
int clzt_recipe_absolute(struct clzt_recipe *recipe);

// The whole recipe as YAML, every key with its value: reading it back gives the same recipe.
int clzt_recipe_write(const struct clzt_recipe *recipe, FILE *file);

// All keys with default, range and help, for people; markdown: as the table of doc/recipe.md.
int clzt_recipe_print_keys(FILE *file, bool markdown);

// FNV-1a over those keys that make a training's numbers (not run, workers, save_every and the like) and differ from their
// default: a resumed run must agree.
uint64_t clzt_recipe_hash(const struct clzt_recipe *recipe);

// The shapes that batches have: those of the recipe, or its square. -EINVAL: one that cannot be read.
int clzt_recipe_shapes(const struct clzt_recipe *recipe, struct clzt_size shapes[CLZT_MAX_SHAPES], int *count,
                       const struct clz_log *log);

// Learning rate of step 1, 2, ...: linear from 0 over `warmup` steps, then the schedule from lr down to lr * lr_end at
// `steps`.
double clzt_recipe_lr(const struct clzt_recipe *recipe, int64_t step);
#endif
