// classes.h - classes of things (engine/classes.h) and the categories that COCO knows pictures by.
#ifndef CLZT_CLASSES_H
#define CLZT_CLASSES_H
#include "data.h"
#include "engine/classes.h"

enum { CLZT_CLASS_NAMES = 4096 };           // bytes of a list of names, as in model files

// Writes the list of names. -EINVAL, logged: there are too many, one twice, one is empty or has a comma, or they are too long.
// key: for messages.
int clzt_classes_join(const char *const *names, int count, char text[CLZT_CLASS_NAMES], const char *key,
                      const struct clz_log *log);

// Finds the data set's category of each name in a list, and sets params->count and params->category, which is `category`. "": 0.
// -EINVAL, logged: the data set has no such category.
int clzt_classes_find(struct clzt_class_params *params, int category[CLZI_MAX_CLASSES], const char *names,
                      const struct clzt_dataset *dataset, const char *key, const struct clz_log *log);
#endif
