// classes.h - classes of things, known by name ("person"), that a model was told of in its training: its input "class" is a
// vector [N,K,1,1] with a number for each of its K names. A picture of which n classes are known has 1 / n there for each of
// these, so that the network sees the mean of what it learnt of them; all 0: nothing is known.
#ifndef CLZI_CLASSES_H
#define CLZI_CLASSES_H
#include <stdbool.h>

#include "base/log.h"

struct clzi_graph;

enum { CLZI_MAX_CLASSES = 128 };
#define CLZI_CLASS_PORT "class"

// How many names are in a model's list "person,traffic light". -EINVAL: an empty name, a name twice, or too many.
int clzi_classes_count(const char *names);

// The number of a graph's input for classes; negative: it has none.
int clzi_classes_port(const struct clzi_graph *graph);

// Whether a text names a class; NULL does not.
bool clzi_classes_named(const char *text);

// Reads "person,horse" into vector [count of names]. Between names stands , or + or |; _ is a space; "" and "none" are no class.
// -EINVAL, with a message that begins with `where`: a name is not in the list.
int clzi_classes_parse(const char *text, const char *names, float *vector, const char *where, const struct clz_log *log);
#endif
