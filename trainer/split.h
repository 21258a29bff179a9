// split.h - which of the pictures of a data set are for validation, and not for training: by a list of names, by a hash of the
// name, or both. A picture's part depends on its own name only, so that it stays when others are added or removed.
#ifndef CLZT_SPLIT_H
#define CLZT_SPLIT_H
#include <stdbool.h>
#include <stdint.h>
#include "engine/colorize.h"

struct clzt_split;

// list: a text file with a path or name a line, "" or NULL: none; empty lines are skipped. share: of the names' hashes, 0 to 1.
// An error of reading is logged.
int clzt_split_create(struct clzt_split **split, const char *list, double share, const struct clz_log *log);
void clzt_split_destroy(struct clzt_split **split);

// name: of the file, relative to the folder that the recipe names. A line of the list is the path, this name, or its last part.
bool clzt_split_lists(struct clzt_split *split, const char *path, const char *name);
bool clzt_split_has_name(const struct clzt_split *split, const char *name);                     // by its hash
bool clzt_split_has_frame(const struct clzt_split *split, const char *name, int64_t frame);    // by the hash of both

// Names the lines of the list that no file has matched. -EINVAL: none has matched.
int clzt_split_check(const struct clzt_split *split, const struct clz_log *log);
#endif
