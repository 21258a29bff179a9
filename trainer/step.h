// step.h - one training step of a generator: batch -> forward -> loss -> backward -> Adam -> average. Holds everything that a
// checkpoint must keep of the optimisation.
#ifndef CLZT_STEP_H
#define CLZT_STEP_H
#include "data.h"
#include "engine/exec.h"
#include "loss.h"

struct clzt_step_params {
    int batch;                              // pictures
    struct clzt_size shapes[CLZT_MAX_SHAPES];   // of the pictures; at least one
    int shape_count;
    struct clzi_adam adam;                  // lr and step are given with each step
    float weight_decay;                     // w -= lr * decay * w before Adam (AdamW), convolution weights only
    const char *encoder;                    // what the names of an encoder's parameters begin with; NULL: none
    float encoder_lr;                       // factor on lr for these
    int64_t encoder_freeze;                 // steps at the start in which they are not changed
    bool encoder_statistics;                // its batch norms use and update the batch's statistics; false: running ones, kept
    float ema;                              // decay of the averaged weights, 0: none
    float loss[CLZT_MAX_LOSSES];            // weight of each row of clzt_losses
    const struct clzt_ab_weights *rarity;   // NULL: none
    uint64_t seed;                          // of dropout
};

struct clzt_step;

// values: start of the parameters, host. The graph and device must outlive it.
int clzt_step_create(struct clzt_step **step, struct clzi_device *dev, const struct clzi_graph *graph, float *const *values,
                     const struct clzt_step_params *params);
void clzt_step_destroy(struct clzt_step **step);

// One step, number 1, 2, ...; shape: which of the shapes; l [batch,1,h,w], ab [batch,2,h,w]. loss[i]: value of clzt_losses[i], 0
// where its weight is 0.
// Returns 0; -EDOM: the loss, a running statistic or a gradient is not finite, nothing was changed.
int clzt_step_run(struct clzt_step *step, int64_t number, float lr, int shape, const float *l, const float *ab, double *loss);

enum clzt_kept { CLZT_WEIGHTS, CLZT_ADAM_M, CLZT_ADAM_V, CLZT_AVERAGE, CLZT_KEPT_COUNT };
extern const char *const clzt_kept_names[CLZT_KEPT_COUNT];      // "w", "m", "v", "ema"

// Whether parameter i has numbers of this kind (buffers have no m and v; without ema there is no average).
bool clzt_step_has(const struct clzt_step *step, enum clzt_kept kind, int param);
int clzt_step_read(struct clzt_step *step, enum clzt_kept kind, int param, float *values);
int clzt_step_write(struct clzt_step *step, enum clzt_kept kind, int param, const float *values);

size_t clzt_step_memory(const struct clzt_step *step);         // bytes of activations and gradients
#endif
