// phase.h - what a training step is made of, for step.c and the files of the phases (phase_NAME.c).
#ifndef CLZT_PHASE_H
#define CLZT_PHASE_H
#include "engine/exec.h"
#include "perceptual.h"
#include "step.h"

// A network with losses as nodes at its end, bound to each shape of the batches.
struct clzt_bound {
    struct clzt_net_state *player;
    struct clzi_graph *graph;               // a copy of the player's, with the losses; the parameters are the player's
    struct clzi_exec *execs[CLZT_MAX_SHAPES];
};
enum { CLZT_MAX_BOUND = 4 };

struct clzt_step {
    const struct clzt_phase *phase;
    struct clzt_step_params params;
    struct clzt_net_state *players[CLZT_PLAYERS];
    struct clzi_device *dev;
    const struct clzi_backend *be;
    struct clzt_bound bound[CLZT_MAX_BOUND];   // [0]: the generator's, with the losses of the recipe
    int l, hints, classes, target, rarity;            // input ports of the generator's; -1: none
    int port[CLZT_MAX_LOSSES];              // its output port of each row of clzt_losses, -1: weight 0, or in no node of it
    struct clzt_perceptual *perceptual;     // NULL: without this loss
    float perceptual_weight;
    float *map;                             // host: rarity of a batch
    const struct clzt_net_state *culprit;
};

int clzt_bound_create(struct clzt_bound *b, struct clzt_net_state *player);
struct clzi_exec_params clzt_step_generator_params(const struct clzt_step *step);
// Binds it to shape i. params: all but n, h, w.
int clzt_bound_bind(struct clzt_step *step, struct clzt_bound *b, int i, struct clzi_exec_params params);

// Port 0 of the generator's outputs becomes "ab", to whose gradient other networks add.
enum { CLZT_PORT_AB = 0 };
int clzt_step_name_ab(struct clzt_step *step);
// Adds the losses whose weights are not 0 to the generator's, bound[0].
int clzt_step_add_losses(struct clzt_step *step);
// Binds what other networks say of the generator's ab by the losses of the recipe, for shape i; after the generator's.
int clzt_step_bind_perceptual(struct clzt_step *step, int i);
int clzt_step_upload(struct clzt_step *step, int shape, const struct clzt_sample *sample);
int clzt_step_forward(struct clzt_step *step, struct clzt_bound *b, int shape, int64_t number);

// In the step of `learner`: the loss at output port `port` must be finite; its gradient is `weight`.
int clzt_step_seed(struct clzt_step *step, struct clzt_net_state *learner, struct clzt_bound *b, int shape, int port,
                   float weight);
// Those of the recipe, weights times factor. With a perceptual loss, its gradient is added to that of ab, which
// clzt_step_clear_ab() has cleared, and to which others may have added.
int clzt_step_clear_ab(struct clzt_step *step, int shape);
int clzt_step_seed_losses(struct clzt_step *step, int shape, float factor);

// The optimiser's step, if everything is finite.
int clzt_step_update(struct clzt_step *step, struct clzt_net_state *player, int64_t number, float lr);

// Reads the losses of the recipe, and whether the player's step counted: here the host waits for the device.
int clzt_step_read_losses(struct clzt_step *step, int shape, double *values);
int clzt_step_end(struct clzt_step *step, struct clzt_net_state *player);      // -EDOM: the step did not count

int clzt_phase_pixel_create(struct clzt_step *step);
int clzt_phase_pixel_run(struct clzt_step *step, int64_t number, float lr, int shape, const struct clzt_sample *sample,
                         double *values);
int clzt_phase_adversarial_create(struct clzt_step *step);
int clzt_phase_adversarial_run(struct clzt_step *step, int64_t number, float lr, int shape, const struct clzt_sample *sample,
                               double *values);
#endif
