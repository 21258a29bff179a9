// params.h - the numbers of a graph's parameters in device memory, with what the optimiser keeps of them: one slab of f32 for
// each kind, so that a training step works on whole slabs and not parameter by parameter.
//
// In a slab the trained parameters come first, sorted into segments that are optimised alike, then the buffers (running
// statistics). Only W and EMA have buffers; DW, M and V end after the trained parameters.
#ifndef CLZI_PARAMS_H
#define CLZI_PARAMS_H
#include "backend.h"
#include "kernels/train_state.h"

enum clzi_kind { CLZI_W, CLZI_DW, CLZI_ADAM_M, CLZI_ADAM_V, CLZI_EMA, CLZI_KINDS };

enum { CLZI_MAX_SEGMENTS = 4 };
struct clzi_segment {
    int64_t first, count;                   // elements of the slabs
    int group;                              // 1: names begin with params.group, else 0
    bool decayed;                           // weight decay applies: weights of convolutions and of linear ops, no vectors
};

struct clzi_params {
    struct clzi_device *dev;
    const struct clzi_graph *graph;         // borrowed
    float *slab[CLZI_KINDS];                // device memory; NULL: not kept
    int64_t *offset;                        // [param_count] of each parameter in a slab, elements
    int64_t count, trained;                 // elements of a slab; of these before the buffers
    struct clzi_segment segments[CLZI_MAX_SEGMENTS];
    int segment_count;
    float *statistics;                      // device memory, [count - trained]: the buffers before this step; NULL: inference
    uint64_t version;                       // raise after changing W
};

struct clzi_params_wanted {
    bool train;                             // DW, M, V
    bool ema;                               // EMA, which begins as W
    const char *group;                      // beginning of the names of a second group of parameters (an encoder); NULL: none
};

// values: host numbers of each parameter, or NULL: zeros. wanted NULL: W alone. 0, -ENOMEM or the device's error.
int clzi_params_create(struct clzi_params **params, struct clzi_device *dev, const struct clzi_graph *graph, float *const *values,
                       const struct clzi_params_wanted *wanted);
void clzi_params_destroy(struct clzi_params **params);

// Where parameter `param` stands in the slab of a kind; NULL: it has no numbers of this kind.
float *clzi_params_at(const struct clzi_params *params, enum clzi_kind kind, int param);

// Host side, dense: all of the device's queue is waited for. write of W raises version.
int clzi_params_read(const struct clzi_params *params, enum clzi_kind kind, int param, float *values);
int clzi_params_write(struct clzi_params *params, enum clzi_kind kind, int param, const float *values);

// ---- one step of training; everything is queued on the device, nothing is read back ----

// The device's memory of a training: what a step decides for itself. Starts as { scale, 0, 0, 0 }.
struct clzi_train_state {
    float scale;                            // of the loss; gradients are divided by it
    float good;                             // steps since the scale changed
    float bad;                              // 1: something in this step was not finite or too large; it changes nothing
    float reserved;
};

enum { CLZI_SCALE_GROWTH_STEPS = CLZK_SCALE_GROWTH_STEPS };

// On the host's memory; what every device's advance() computes.
static inline void clzi_train_state_advance(struct clzi_train_state *state, bool dynamic)
{
    clzk_train_state_advance(&state->scale, &state->good, &state->bad, dynamic);
}

// Before forward: keeps the buffers, clears DW.
int clzi_params_begin(struct clzi_params *params);
// After backward: `bad` is raised if a buffer or a gradient is not finite. What is not finite in an activation gets into a
// running statistic even where a ReLU hides it later.
int clzi_params_check(struct clzi_params *params, struct clzi_train_state *state);
// Adam with lr[group] (0: the group stays as it is) and decay for the decayed segments, then the average with ema_decay. A bad
// step changes nothing and puts the buffers back.
int clzi_params_update(struct clzi_params *params, const struct clzi_adam *adam, const float lr[2], float ema_decay,
                       const struct clzi_train_state *state);
#endif
