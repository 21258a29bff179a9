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

// Name of a loss's column in metrics.csv: the loss's own, with the prefix "train_" if a score has the same name.
void clzt_run_column(char *column, size_t size, const char *loss);

// Writes the run's newest checkpoint (averaged weights if kept) as a model file; plain: as clzi_model_write_plain() does.
int clzt_run_export(struct clzt_recipe *recipe, const char *path, enum clzi_dtype dtype, bool plain, const struct clz_log *log);
#endif
