// op.h - what every op is, apart from its arithmetic: inputs, attributes with their ranges, parameters, shape rule.
// Builder, loader, writer and executor all read this one table.
#ifndef CLZI_OP_H
#define CLZI_OP_H
#include <stddef.h>
#include "graph.h"

enum clzi_attr_type { CLZI_ATTR_INT, CLZI_ATTR_FLOAT, CLZI_ATTR_ACT };

struct clzi_attr_info {
    const char *name;                       // in model files; NULL ends a list
    enum clzi_attr_type type;
    size_t offset;                          // in struct clzi_attr
    double min, max;                        // inclusive
    bool optional;                          // in model files: absent means `absent`
    double absent;                          // also what a builder takes where none is given
};

struct clzi_op_info {
    const char *name;                       // in model files
    int in_min, in_max;
    const struct clzi_attr_info *attrs;
    // Output shape from the inputs' shapes; -EINVAL when they do not fit. H and W may be 0: "unknown", only C is asked for.
    int (*shape)(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out);
    // Fills p[0..] with the parameters' names (suffix only) and shapes; returns how many. in_channels: of input 0.
    int (*params)(const struct clzi_node *node, int in_channels, struct clzi_param *p);
    bool scalar;                            // its output is one f32 number in device memory, not an activation
};

extern const struct clzi_op_info clzi_ops[CLZI_OP_COUNT];

const char *clzi_act_name(enum clzi_act act);                  // "relu"; "none"
int clzi_act_find(const char *name);                           // enum clzi_act or -EINVAL
int clzi_op_find(const char *name);                            // enum clzi_op_id or -EINVAL

// Attributes that are 0 take the value that absence means: groups 1. For builders, not for files, where 0 is a value.
void clzi_attr_default(const struct clzi_op_info *op, struct clzi_attr *attr);
double clzi_attr_get(const struct clzi_attr *attr, const struct clzi_attr_info *info);
void clzi_attr_set(struct clzi_attr *attr, const struct clzi_attr_info *info, double value);
#endif
