// step.h - one training step: batch -> forward -> losses -> backward -> Adam -> average, in one of the phases of a training. The
// networks that it changes, the players, belong to the caller and outlive it (net_state.h).
#ifndef CLZT_STEP_H
#define CLZT_STEP_H
#include "data.h"
#include "gan.h"
#include "loss.h"
#include "net_state.h"

enum clzt_player { CLZT_GENERATOR, CLZT_DISCRIMINATOR, CLZT_PLAYERS };

// What a step reports: first the rows of clzt_losses, then, of the adversarial phase, the generator's adversarial loss; the
// discriminator's loss, which is the mean of the other two: on true and on predicted colours.
enum {
    CLZT_VALUE_GAN = CLZT_MAX_LOSSES, CLZT_VALUE_D, CLZT_VALUE_D_REAL, CLZT_VALUE_D_FAKE, CLZT_VALUES
};
const char *clzt_value_name(int value);     // NULL: no such loss

struct clzt_gan {                           // of the adversarial phase
    const struct clzt_gan_loss *loss;
    float weight, lambda;                   // the generator's loss: weight * adversarial + lambda * (losses of the recipe)
    float real;                             // target on true colours: 1, or less (one-sided label smoothing)
    float lr;                               // factor on lr for the discriminator
    int64_t critic;                         // up to and including this step only the discriminator learns
    float threshold;                        // the generator learns only where the discriminator's loss is below; 0: always
};

struct clzt_step_params {
    int batch;                              // pictures
    struct clzt_size shapes[CLZT_MAX_SHAPES];   // of the pictures; at least one
    int shape_count;
    struct clzi_adam adam;                  // lr and step are given with each step
    float weight_decay;                     // w -= lr * decay * w before Adam (AdamW), convolution weights of the generator only
    float encoder_lr;                       // factor on lr for the encoder's parameters
    int64_t encoder_freeze;                 // steps at the start in which they are not changed
    bool encoder_statistics;                // its batch norms use and update the batch's statistics; false: running ones, kept
    float ema;                              // decay of the averaged weights, if the player keeps them
    float loss[CLZT_MAX_LOSSES];            // weight of each row of clzt_losses
    const struct clz_model *features;       // for the loss of features, whose weight is 0 without
    const struct clzt_ab_weights *rarity;   // NULL: none
    uint64_t seed;                          // of dropout
    struct clzt_gan gan;
};

struct clzt_step;

struct clzt_sample {                        // of a batch, on the host
    const float *l;                         // [batch,1,h,w]
    const float *ab;                        // [batch,2,h,w], true
    const float *hints;                     // [batch,3,h,w]; NULL: none
    const float *classes;                   // [batch,K] (engine/classes.h); NULL: the nets have no such input
};

// A kind of training step. The table ends with a row whose name is NULL; the first is the pixel phase.
struct clzt_phase {
    const char *name;                       // in checkpoints and messages
    bool discriminator;                     // has this player beside the generator
    int (*create)(struct clzt_step *step);  // see phase.h
    int (*run)(struct clzt_step *step, int64_t number, float lr, int shape, const struct clzt_sample *sample, double *values);
};
extern const struct clzt_phase clzt_phases[];
enum { CLZT_PHASE_PIXEL, CLZT_PHASE_ADVERSARIAL };

// players: those that the phase has, borrowed. -ENOMEM is logged.
int clzt_step_create(struct clzt_step **step, const struct clzt_phase *phase, struct clzt_net_state *const players[CLZT_PLAYERS],
                     const struct clzt_step_params *params);
void clzt_step_destroy(struct clzt_step **step);

// One step, number 1, 2, ... of the training; shape: which of the shapes. values: CLZT_VALUES;
// a loss of weight 0 is 0; what the phase does not have, or did not compute in this step, is NAN.
// Returns 0; -EDOM: a loss, a running statistic or a gradient of a player is not finite; that player was not changed.
int clzt_step_run(struct clzt_step *step, int64_t number, float lr, int shape, const struct clzt_sample *sample, double *values);

// After -EDOM: the name of the player.
const char *clzt_step_culprit(const struct clzt_step *step);

size_t clzt_step_memory(const struct clzt_step *step);         // bytes of activations and gradients
#endif
