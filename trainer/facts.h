// facts.h - the text colorize.train of a model file: how the model was trained, as JSON. A training writes it, val reads it.
#ifndef CLZT_FACTS_H
#define CLZT_FACTS_H
#include "recipe.h"

// Writes it, NUL-terminated, for a model of `steps` steps and so many seconds of training; data: clzt_dataset_hash of the
// training set. -EINVAL: the recipe's notes do not fit in `size` bytes, which is logged; -ENOMEM.
int clzt_facts_write(char *text, size_t size, const struct clzt_recipe *recipe, int64_t steps, double seconds, uint64_t data,
                     const struct clz_log *log);

// Short side to scale pictures to, so that crops of size x size show as much of them as the model saw in training. 9/8 of size
// where the text does not say; 0: the model was trained on pictures as they are.
int clzt_facts_scale(const char *text, int size);
#endif
