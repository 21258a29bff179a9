// recipe.h - the parameters of a training, read from YAML and from `key=value` arguments. A table in recipe.c has every key's
// name, type, default, range and help; the reader, colorize-train keys, the recipe.yaml of a run and the table in doc/recipe.md
// use it.
//
// The YAML may contain maps, lists and scalars. Anchors, aliases, tags, more than 16 levels, more than 1 MiB and a key given
// twice are refused. `loss: {l1: 1, chroma: 0.1}` sets the keys loss.l1 and loss.chroma; the argument loss.chroma=0.2 sets one of
// them. A list as an argument: train=[photos, film.mkv] or train=photos. A value that begins with [ but is the name of an
// existing file or folder is that path.
#ifndef CLZT_RECIPE_H
#define CLZT_RECIPE_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/colorize.h"
#include "data.h"
#include "gan.h"
#include "loss.h"

enum clzt_schedule { CLZT_SCHEDULE_CONSTANT, CLZT_SCHEDULE_COSINE, CLZT_SCHEDULE_LINEAR };
enum clzt_resume { CLZT_RESUME_AUTO, CLZT_RESUME_NEVER, CLZT_RESUME_FORCE };

struct clzt_list { char **items; int count; };

struct clzt_recipe {
    char *net, *init;                       // name in clzt_nets; model file with the initial weights, "": none
    struct clzt_list train, val;            // folders, videos, pictures, instances files of COCO
    struct clzt_list coco_images;           // folders of the pictures that these list; none: as COCO lays them out
    struct {                                // which training pictures are for validation instead
        char *list;                         // file of names, "": none
        double share;
        int films;                          // 0 whole, 1 frames
    } split;
    double min_spread;                      // Lab units
    int shot_frames;
    char *run;                              // folder
    int head;                               // 0: ab, 1: classes of colour
    double temperature;                     // of classes of colour
    double adjustment;                      // of their logits, in the written model: see clzt_ab_weights_adjust
    bool attention;                         // in the generator
    struct clzt_hint_params hints;
    struct clzt_list classes;               // names of COCO's categories that the generator is told of; none: no such input
    double classes_none;                    // share of pictures of which it is told nothing
    int64_t seed;
    int resume;                             // enum clzt_resume

    int size, scale;                        // of crops, pixels; short side of pictures before cropping, 0: not scaled
    struct clzt_list shapes;                // "160x128": of crops instead of the square, a random one for each batch; none: size
    int batch;
    int64_t steps, pictures, epochs;        // length of the pixel phase, see clzt_recipe_length
    bool length_given[2];                   // of the pixel and the adversarial phase: it was set by an argument
    int workers;                            // 0: one per core
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
    char *features;                         // model of lite0-features, for the perceptual loss; "": none
    double rebalance;                       // 0: off, otherwise the mix of clzt_ab_weights_make

    struct {                                // the adversarial phase, which follows the pixel phase
        int64_t steps, pictures, epochs;    // its length; all 0: there is none
        int loss;                           // index in clzt_gan_losses
        double weight, lambda, smoothing;
        double lr, lr_end, beta1, beta2;
        int schedule;                       // enum clzt_schedule
        int64_t critic;                     // steps
        double threshold;
        int64_t alarm, patience;            // steps; validations
    } gan;
    char *discriminator_net;                // one of clzt_discriminators
    char *discriminator_init;               // model file, "": none
    double discriminator_lr;                // factor on gan.lr
    bool spectral_norm;                     // of the discriminator

    char *device;
    int precision, threads;                 // enum clz_precision; 0: one per core

    int64_t save_every, val_every, sheet_every, log_every;     // steps, 0: never
    int keep, val_pictures, sheet_pictures; // val_pictures 0: all
    bool tensorboard;                       // write event files

    double saturation;                      // of the written model: its ab_scale is 110 times this
    int working_size;                       // short side written into the model, 0: the net's own
    int working_shape;                      // written into the model: 0 as the frame, 1 square
    char *license, *notes;                  // written into the model
};

// Whether validation pictures are taken from the training pictures.
static inline bool clzt_recipe_splits(const struct clzt_recipe *recipe) { return *recipe->split.list || recipe->split.share > 0; }

// Creates a recipe with every key at its default.
int clzt_recipe_create(struct clzt_recipe **recipe);
void clzt_recipe_destroy(struct clzt_recipe **recipe);

// Read a file, or text that messages call `name`. -EINVAL: one message names file, line, key, value and what was expected. Keys
// that are read again are overwritten; after an error the recipe may be partly changed.
int clzt_recipe_load(struct clzt_recipe *recipe, const char *path, const struct clz_log *log);
int clzt_recipe_parse(struct clzt_recipe *recipe, const char *text, size_t size, const char *name,
                      const struct clz_log *log);

// Sets a key from a command line argument, "key=value". steps clears the file's pictures, pictures its steps.
int clzt_recipe_set(struct clzt_recipe *recipe, const char *assignment, const struct clz_log *log);

// Checks combinations of keys, and that all text is UTF-8; computes the steps of both phases from `pictures`. To be called after
// the last set.
int clzt_recipe_check(struct clzt_recipe *recipe, const struct clz_log *log);

// Computes the steps of both phases from `epochs`, passes over that many training pictures, and checks what depends on them.
int clzt_recipe_length(struct clzt_recipe *recipe, int64_t pictures, const struct clz_log *log);
static inline int64_t clzt_recipe_total(const struct clzt_recipe *recipe) { return recipe->steps + recipe->gan.steps; }

// Makes paths absolute, so that the written recipe is valid in any working directory.
int clzt_recipe_absolute(struct clzt_recipe *recipe);

// Writes every key with its value as YAML; reading it gives the same recipe. -EIO, or -ENOMEM (also: text that is not UTF-8).
int clzt_recipe_write(const struct clzt_recipe *recipe, FILE *file);

// Prints all keys with default, range and help; markdown: as the table of doc/recipe.md.
int clzt_recipe_print_keys(FILE *file, bool markdown);

// FNV-1a over the keys that influence the trained weights (not run, workers, save_every etc.) and are not at their default. A
// resumed run must have the same.
uint64_t clzt_recipe_hash(const struct clzt_recipe *recipe);

// The shapes that batches have: those of the recipe, or its square. -EINVAL: one that cannot be read.
int clzt_recipe_shapes(const struct clzt_recipe *recipe, struct clzt_size shapes[CLZT_MAX_SHAPES], int *count,
                       const struct clz_log *log);

// Learning rate of step 1, 2, ...: rises linearly from 0 over `warmup` steps, then follows the schedule from lr to lr * lr_end at
// `steps`. Later steps are those of the adversarial phase, which has its own lr and schedule, and no warmup.
double clzt_recipe_lr(const struct clzt_recipe *recipe, int64_t step);
#endif
