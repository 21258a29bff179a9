// run.h - a training run: a folder with the resolved recipe, metrics.csv, ckpt/, samples/ and model.bin.
#ifndef CLZT_RUN_H
#define CLZT_RUN_H
#include "engine/model.h"
#include "recipe.h"

// The log callback clears the progress bar before it prints; progress is NULL while nothing is shown.
struct clzt_progress;
struct clzt_console { struct clzt_progress *progress; };

// Trains to the recipe's last step, or until *stop becomes non-zero (then a checkpoint is written and -EINTR returned; before
// the first step nothing is, and -ECANCELED returned); a non-zero *save asks for a checkpoint now and is set back. Goes on from the newest checkpoint of the run folder if there is
// one. console may be NULL.
int clzt_run(struct clzt_recipe *recipe, const struct clz_log *log, struct clzt_console *console, const volatile int *stop,
             volatile int *save);

// Column of a loss in metrics.csv: its name, after "train_" where a score of validation has the same.
void clzt_run_column(char *column, size_t size, const char *loss);

// Writes the run's newest checkpoint (averaged weights if kept) as a model file; plain: as clzi_model_write_plain() does.
int clzt_run_export(const struct clzt_recipe *recipe, const char *path, enum clzi_dtype dtype, bool plain,
                    const struct clz_log *log);
#endif
