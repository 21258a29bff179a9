// run_parts.h - a training run, for run.c and the files that it is split into: run_networks.c, run_save.c, run_output.c.
#ifndef CLZT_RUN_PARTS_H
#define CLZT_RUN_PARTS_H
#include "classes.h"
#include "engine/model.h"
#include "events.h"
#include "progress.h"
#include "recipe.h"
#include "run.h"
#include "step.h"
#include "validate.h"

enum { CLZT_RUN_COLUMNS = CLZT_VALUES + 36 };   // at most: of metrics.csv

enum { CLZT_COLOUR_PICTURES = 1024 };       // of the training set, whose colours are measured before the first step

struct clzt_run {
    struct clzt_recipe *recipe;
    const struct clz_log *log;
    struct clzt_console *console;
    const volatile int *stop;
    volatile int *save;
    const struct clzt_net *net;
    struct clz_model *features;             // of the perceptual loss; NULL: without
    struct clzi_device *dev;
    struct clzi_graph *graph;
    struct clzt_dataset *train, *val;
    bool filled_told[2];                    // of each, that its pictures are in memory
    char classes[CLZT_CLASS_NAMES];         // the recipe's, as the model file has them
    int category[CLZI_MAX_CLASSES];         // of each class of the recipe in `train`
    struct clzt_loader *loader;
    struct clzi_graph *discriminator_graph; // NULL: the recipe has no adversarial phase
    float **discriminator_values;           // its initial weights
    struct clzt_net_state *players[CLZT_PLAYERS];   // the discriminator: NULL in the pixel phase
    const struct clzt_phase *phase;         // of the last step
    struct clzt_step *step;
    struct clzt_progress *progress;
    struct clzt_csv *csv;
    struct clzt_events *events;             // NULL: none
    char tags[CLZT_RUN_COLUMNS][48];        // of its scalars: one for each column but the step
    struct clzt_ab_weights rarity;
    struct clzt_ab_weights adjustment;      // of the logits, if recipe->adjustment > 0
    double mean[2];                         // of the training set, ab / 110
    uint64_t data;                          // hash of the training set; an export takes it from the checkpoint
    float **values;                         // host copy of the parameters, for initialising, validating and the model file
    int64_t number, saved;                  // steps done; number of the newest checkpoint
    double seconds;                         // of training, including those before a resume
    struct clzt_smooth smooth[CLZT_VALUES];
    struct clzt_balance balance;
    struct clzt_csv_best best;              // of the validations
    int bad_steps, failed_saves, csv_failed, events_failed;
    int save_error;                         // error of saving that ends the training; 0: none
    int lock;                               // descriptor of the run folder, which is locked; -1: none
    bool existed[3];                        // the run folder, its samples, its ckpt: before the start
};

// "RUN/" and the name; to be freed. NULL: out of memory.
char *clzt_run_path(const struct clzt_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

// ---- run.c ----

void clzt_run_destroy(struct clzt_run *run);
int clzt_run_create_loader(struct clzt_run *run);
int clzt_run_check_paths(const struct clzt_run *run);
int clzt_run_open_dataset(struct clzt_run *run, struct clzt_dataset **dataset, bool val);

// ---- run_networks.c: the networks, and the step of the current phase ----

const struct clzt_phase *clzt_run_phase_at(const struct clzt_run *run, int64_t number);     // of step `number`
int clzt_run_build_net(struct clzt_run *run);
int clzt_run_build_discriminator(struct clzt_run *run);        // graph and initial weights, if the recipe has such a phase
int clzt_run_first_values(struct clzt_run *run);               // the initial weights of a training, and the frozen ones of losses
int clzt_run_create_generator(struct clzt_run *run);
int clzt_run_create_discriminator(struct clzt_run *run);       // with its initial weights
int clzt_run_create_step(struct clzt_run *run);
int clzt_run_change_phase(struct clzt_run *run);
void clzt_run_values_free(const struct clzi_graph *g, float ***values);

// ---- run_save.c: checkpoints ----

int clzt_run_save(struct clzt_run *run);
void clzt_run_save_or_warn(struct clzt_run *run);              // the third failure in a row sets save_error
int clzt_run_load(struct clzt_run *run);                       // -ENOENT: there is no checkpoint
// For an export: only the weights that are exported, on the host. step 0: of the newest checkpoint.
int clzt_run_load_values(struct clzt_run *run, int64_t step);
enum clzt_kept clzt_run_best_kind(const struct clzt_run *run); // of weights, to validate and export

// ---- run_output.c: metrics.csv, validation, model files ----

int clzt_run_write_data(struct clzt_run *run, const struct clzt_colours *colours);     // data.json: facts of the pictures
int clzt_run_open_csv(struct clzt_run *run);
void clzt_run_open_events(struct clzt_run *run);
void clzt_run_csv_row(struct clzt_run *run, const double *values, double lr, double rate, const struct clzt_scores *scores);
bool clzt_run_is_reported(const struct clzt_run *run, int value);
bool clzt_run_is_validated(const struct clzt_run *run);        // whether the current step's scores are in metrics.csv
bool clzt_run_is_finished(const struct clzt_run *run);         // whether the adversarial phase ends before its last step
int clzt_run_validate(struct clzt_run *run, bool sheet);
int clzt_run_read_values(struct clzt_run *run);                // from the device, for the following; logits are adjusted
void clzt_run_adjust(struct clzt_run *run);                    // the logits in run->values, as the recipe says
int clzt_run_write_model(struct clzt_run *run, const char *path, enum clzi_dtype dtype, bool plain);
void clzt_run_keep_best(struct clzt_run *run);
#endif
