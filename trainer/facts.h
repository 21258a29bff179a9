// facts.h - the text colorize.train of a model file: JSON that describes the training.
#ifndef CLZT_FACTS_H
#define CLZT_FACTS_H
#include "recipe.h"

// Writes the text, NUL-terminated. steps, seconds: length of the training; data: clzt_dataset_hash of the training set. -EINVAL:
// the recipe's notes do not fit in `size` bytes, which is logged; -ENOMEM.
int clzt_facts_write(char *text, size_t size, const struct clzt_recipe *recipe, int64_t steps, double seconds, uint64_t data,
                     const struct clz_log *log);

// Short side to which pictures must be scaled so that crops of size x size show the same part of them as in the training. 9/8 of
// size if the text does not contain it; 0: the pictures of the training were not scaled.
int clzt_facts_scale(const char *text, int size);
#endif
