// run.h - a training run: a folder with the resolved recipe, metrics.csv, ckpt/, samples/ and model.bin.
#ifndef CLZT_RUN_H
#define CLZT_RUN_H
#include "engine/model.h"
#include "recipe.h"

// For the log callback, which clears the progress bar before it prints. progress: NULL while there is none.
struct clzt_progress;
struct clzt_console { struct clzt_progress *progress; };

// Trains to the recipe's last step, from the newest checkpoint of the run folder if there is one. A non-zero *save asks for a
// checkpoint, and is reset. A non-zero *stop ends the training: -EINTR after a checkpoint was written, or -ECANCELED before the
// first step. console may be NULL.
int clzt_run(struct clzt_recipe *recipe, const struct clz_log *log, struct clzt_console *console, const volatile int *stop,
             volatile int *save);

// Checks recipe, pictures and networks as clzt_run() does, and prints what the training would be: length, layers, memory. Writes
// no file.
int clzt_run_dry(struct clzt_recipe *recipe, FILE *file, const struct clz_log *log);

// Trains on one batch, `steps` times, in the pixel phase, and prints the losses. Writes no file. -EDOM, logged: the loss did not
// fall to half of its first value, or is not finite: something is wrong with pictures or recipe. -ESHUTDOWN: stopped.
int clzt_run_overfit(struct clzt_recipe *recipe, int64_t steps, FILE *file, const struct clz_log *log, const volatile int *stop);

// Trains with a learning rate that rises from `from` to `to`, each step by the same factor (Smith 2017), and prints where the
// loss falls fastest. Writes a csv file of learning rate, loss and smoothed loss, and its curve as OUT.html. -EDOM, logged: it
// falls nowhere.
struct clzt_lr_find { double from, to; int steps; const char *out; };
int clzt_run_lr_find(struct clzt_recipe *recipe, const struct clzt_lr_find *params, FILE *file, const struct clz_log *log,
                     const volatile int *stop);

// Name of a loss's column in metrics.csv: the loss's own, with the prefix "train_" if a score has the same name.
void clzt_run_column(char *column, size_t size, const char *loss);

// Writes a checkpoint of the run (averaged weights if kept) as a model file. -ENOENT, logged: there is none of that step.
struct clzt_export {
    const char *path;
    int64_t step;               // 0: the newest checkpoint
    enum clzi_dtype dtype;
    bool plain;                 // as clzi_model_write_plain() does
};
int clzt_run_export(struct clzt_recipe *recipe, const struct clzt_export *params, const struct clz_log *log);
#endif
