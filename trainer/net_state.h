// net_state.h - a network in training: on the device its weights, Adam's moments and the averaged weights, and on the host the
// number of its updates. This is what a checkpoint keeps of it.
#ifndef CLZT_NET_STATE_H
#define CLZT_NET_STATE_H
#include "checkpoint.h"
#include "engine/params.h"

enum { CLZT_F16_SCALE = 65536 };            // of the loss at the start of a training in f16, as PyTorch's GradScaler has it

enum clzt_kept { CLZT_WEIGHTS, CLZT_ADAM_M, CLZT_ADAM_V, CLZT_AVERAGE, CLZT_KEPT_COUNT };

struct clzt_net_state_params {
    const char *name;                       // "generator", for messages
    const char *prefix;                     // of its blobs in a checkpoint: "" gives w, m, v and ema
    const char *encoder;                    // what the names of an encoder's parameters begin with; NULL: none
    bool ema;                               // keeps averaged weights
    bool spectral;                          // convolutions see their weights divided by their spectral norm
};

struct clzt_net_state {
    struct clzt_net_state_params params;
    const struct clzi_graph *graph;
    struct clzi_params *weights;
    struct clzi_train_state *train;         // device memory: loss scale, and whether the current step counts
    int64_t updates;                        // steps of the optimiser, which Adam's bias correction depends on
    float *buffer;                          // host, of the largest parameter's size
    struct clzt_spectral *spectral;         // NULL: without
    struct clzt_kept_blob {
        struct clzt_net_state *state;
        enum clzt_kept kind;
        char name[CLZT_BLOB_NAME];
    } kept[CLZT_KEPT_COUNT + 1];
};

// values: start of the parameters, host. The graph, the device and the strings must outlive it. -ENOTSUP: a device that does not
// train, or has no spectral norm, which is logged.
int clzt_net_state_create(struct clzt_net_state **state, struct clzi_device *dev, const struct clzi_graph *graph,
                          float *const *values, const struct clzt_net_state_params *params);
void clzt_net_state_destroy(struct clzt_net_state **state);

// Whether parameter i has numbers of this kind (buffers have no m and v; without ema there is no average).
bool clzt_net_state_has(const struct clzt_net_state *state, enum clzt_kept kind, int param);
int clzt_net_state_read(const struct clzt_net_state *state, enum clzt_kept kind, int param, float *values);
int clzt_net_state_write(struct clzt_net_state *state, enum clzt_kept kind, int param, const float *values);

// The optimiser begins anew: m, v and updates become 0. Weights and average stay.
int clzt_net_state_restart(struct clzt_net_state *state);

// The loss scale (params.h), which a checkpoint keeps too.
int clzt_net_state_read_scale(const struct clzt_net_state *state, struct clzi_train_state *train);
int clzt_net_state_write_scale(struct clzt_net_state *state, const struct clzi_train_state *train);

// Running statistics after a forward pass: `train` becomes bad if one is not finite; they become those of before the last
// clzi_params_begin() if `train` is bad, NULL: in any case.
int clzt_net_state_check_statistics(struct clzt_net_state *state, struct clzi_train_state *train);
int clzt_net_state_restore_statistics(struct clzt_net_state *state, const struct clzi_train_state *train);

// Spectral norm (kernels/spectral.h) of the weights of convolutions; without it these do nothing. Between normalise and
// denormalise the weights on the device are those that passes need, w / sigma; normalise follows sigma by one power iteration.
// gradient makes DW, after passes with w / sigma, the gradient of w.
int clzt_net_state_normalise(struct clzt_net_state *state);
int clzt_net_state_gradient(struct clzt_net_state *state);
int clzt_net_state_denormalise(struct clzt_net_state *state);

// ---- in a checkpoint: one blob for each kind, with all parameters of the graph one after the other, those without numbers of
// this kind as zeros; with spectral norm one more, PREFIXu, with the vectors u of all convolutions ----

enum { CLZT_STATE_BLOBS = CLZT_KEPT_COUNT + 1 };
// Fills blobs, which the checkpoint's writer reads through the state's buffer; returns their number.
int clzt_net_state_blobs(struct clzt_net_state *state, struct clzt_blob blobs[CLZT_STATE_BLOBS]);
// -EBADMSG, logged: the checkpoint lacks a blob, or it has another size. dir: of the checkpoint, for the message.
int clzt_net_state_load(struct clzt_net_state *state, const struct clzt_checkpoint *checkpoint, const char *dir,
                        const struct clz_log *log);
// Copies the numbers of one kind to host memory, values[i] of parameter i. Needs no device.
int clzt_net_state_values(const struct clzi_graph *graph, const char *prefix, enum clzt_kept kind,
                          const struct clzt_checkpoint *checkpoint, const char *dir, float *const *values,
                          const struct clz_log *log);
#endif
