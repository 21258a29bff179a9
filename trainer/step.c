// step.c - what the training steps of all phases share. The losses are nodes of the training graphs; losses, gradients, checks
// and the optimiser run on the device, and only the numbers to print and whether the step counted are read back.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/classes.h"
#include "nets.h"
#include "phase.h"

const struct clzt_phase clzt_phases[] = {
    { "pixel", false, clzt_phase_pixel_create, clzt_phase_pixel_run },
    { "adversarial", true, clzt_phase_adversarial_create, clzt_phase_adversarial_run },
    { NULL, false, NULL, NULL }
};

_Static_assert((int)CLZT_MAX_LOSSES < (int)CLZI_MAX_PORTS, "every loss is an output port, and ab is one");

const char *clzt_value_name(int value)
{
    static const char *const names[CLZT_VALUES - CLZT_MAX_LOSSES] = { "gan", "d", "d_real", "d_fake" };
    int losses = 0;

    while (clzt_losses[losses].name) losses++;
    if (value >= CLZT_MAX_LOSSES) return names[value - CLZT_MAX_LOSSES];
    return value < losses ? clzt_losses[value].name : NULL;
}

// ---- networks bound to shapes ----

int clzt_bound_create(struct clzt_bound *b, struct clzt_net_state *player)
{
    b->player = player;
    return clzi_graph_copy(&b->graph, player->graph);
}

struct clzi_exec_params clzt_step_generator_params(const struct clzt_step *s)
{
    return (struct clzi_exec_params){
        .training = true, .backward = true,
        .keep_statistics = s->params.encoder_statistics ? NULL : s->players[CLZT_GENERATOR]->params.encoder,
    };
}

static int no_memory(const struct clzt_step *s, int i)
{
    return clzi_fail(&clzi_device_base(s->dev)->log, -ENOMEM, "not enough memory to train with batch=%d of %dx%d pixels",
                     s->params.batch, s->params.shapes[i].w, s->params.shapes[i].h);
}

int clzt_bound_bind(struct clzt_step *s, struct clzt_bound *b, int i, struct clzi_exec_params params)
{
    int ret;

    params.n = s->params.batch;
    params.h = s->params.shapes[i].h;
    params.w = s->params.shapes[i].w;
    ret = clzi_exec_create(&b->execs[i], b->graph, b->player->weights, &params);
    return ret == -ENOMEM ? no_memory(s, i) : ret;
}

// The mean of x over as many pixels as one of the logits stands for.
static int reduced(struct clzi_graph *g, const char *name, int x, int logits)
{
    enum { SIDE = 256 };                    // divisible by the strides of all nets
    struct clzi_shape *shapes = calloc((size_t)g->node_count, sizeof *shapes);
    int ret = shapes ? clzi_graph_shapes(g, 1, SIDE, SIDE, shapes, NULL) : -ENOMEM, factor;

    factor = ret < 0 ? 1 : SIDE / shapes[logits].h;
    free(shapes);
    if (ret < 0 || factor == 1) return ret < 0 ? ret : x;
    return clzi_graph_avgpool(g, name, x, .k = factor, .stride = factor);
}

int clzt_step_name_ab(struct clzt_step *s)
{
    struct clzi_graph *g = s->bound[0].graph;
    const int ret = g->outputs_named ? 0 : clzi_graph_output(g, "ab", g->out[CLZT_PORT_AB].node);

    return ret < 0 ? ret : 0;
}

int clzt_step_add_losses(struct clzt_step *s)
{
    struct clzi_graph *g = s->bound[0].graph;
    const int logits = clzt_net_logits(g);
    int in[2][3] = { { g->out[0].node }, { logits } }, ret = 0;     // of losses of ab, of logits

    s->l = clzi_port_find(g->in, g->in_count, "L");
    s->hints = clzi_port_find(g->in, g->in_count, "hints");
    s->classes = clzi_classes_port(g);
    s->rarity = -1;
    if (s->l < 0) return s->l;
    s->target = g->in_count;
    if ((in[0][1] = ret = clzi_graph_input(g, "target", .channels = 2)) < 0) return ret;
    if (s->params.rarity) {
        s->rarity = g->in_count;
        if ((in[0][2] = ret = clzi_graph_input(g, "rarity", .channels = 1)) < 0) return ret;
    }
    for (int k = 1; k < 2 + !!s->params.rarity && logits >= 0 && ret >= 0; k++)
        ret = in[1][k] = reduced(g, k == 1 ? "target.logits" : "rarity.logits", in[0][k], logits);
    if (ret < 0) return ret;
    for (int i = 0; clzt_losses[i].name; i++) {
        const struct clzt_loss *loss = &clzt_losses[i];
        char name[CLZI_PORT_NAME_SIZE];
        s->port[i] = -1;
        if (loss->of_features) s->perceptual_weight = s->params.loss[i];
        if (!s->params.loss[i] || loss->of_features) continue;
        if (loss->of_logits && logits < 0) return -EINVAL;
        snprintf(name, sizeof name, "loss.%s", loss->name);
        ret = clzi_graph_append(g, name, loss->op, in[loss->of_logits], 2 + (loss->weighted && s->params.rarity),
                                &(const struct clzi_attr){ 0 });
        if (ret >= 0) ret = clzi_graph_output(g, name, ret);
        if (ret < 0) return ret;
        s->port[i] = g->out_count - 1;
    }
    return 0;
}

int clzt_step_bind_perceptual(struct clzt_step *s, int i)
{
    struct clzi_exec *generator = s->bound[0].execs[i];
    const struct clzt_perceptual_binding binding = {
        .l = clzi_exec_input(generator, s->l), .target = clzi_exec_input(generator, s->target),
        .ab = clzi_exec_output(generator, CLZT_PORT_AB), .ab_gradient = clzi_exec_output_gradient(generator, CLZT_PORT_AB),
    };
    int ret = s->perceptual ? 0 : clzt_perceptual_create(&s->perceptual, s->dev, s->params.features);

    if (ret >= 0) ret = clzt_perceptual_bind(s->perceptual, i, s->params.batch, s->params.shapes[i], &binding);
    return ret == -ENOMEM ? no_memory(s, i) : ret;
}

int clzt_step_create(struct clzt_step **step, const struct clzt_phase *phase, struct clzt_net_state *const players[CLZT_PLAYERS],
                     const struct clzt_step_params *params)
{
    struct clzt_step *s = calloc(1, sizeof *s);
    int64_t largest = 0;
    int ret;

    *step = NULL;
    if (!s) return -ENOMEM;
    s->phase = phase;
    s->params = *params;
    memcpy(s->players, players, sizeof s->players);
    s->dev = players[CLZT_GENERATOR]->weights->dev;
    s->be = clzi_device_base(s->dev)->backend;
    for (int i = 0; i < params->shape_count; i++) {
        const int64_t pixels = (int64_t)params->batch * params->shapes[i].w * params->shapes[i].h;
        if (pixels > largest) largest = pixels;
    }
    if ((ret = phase->create(s)) >= 0 && params->rarity && !(s->map = malloc(largest * sizeof *s->map))) ret = -ENOMEM;
    if (ret < 0) clzt_step_destroy(&s);
    *step = s;
    return ret;
}

void clzt_step_destroy(struct clzt_step **step)
{
    struct clzt_step *s = *step;

    *step = NULL;
    if (!s) return;
    clzt_perceptual_destroy(&s->perceptual);
    for (int k = CLZT_MAX_BOUND - 1; k >= 0; k--) {            // later ones may be bound to tensors of earlier ones
        for (int i = 0; i < s->params.shape_count; i++) clzi_exec_destroy(&s->bound[k].execs[i]);
        clzi_graph_destroy(&s->bound[k].graph);
    }
    free(s->map);
    free(s);
}

// ---- a step ----

int clzt_step_upload(struct clzt_step *s, int shape, const struct clzt_sample *sample)
{
    struct clzi_exec *exec = s->bound[0].execs[shape];
    const struct clzi_shape t = clzi_exec_input_shape(exec, s->target);
    int ret = clzi_exec_upload(exec, s->l, sample->l);

    if (ret >= 0 && s->hints >= 0 && sample->hints) ret = clzi_exec_upload(exec, s->hints, sample->hints);
    if (ret >= 0 && s->classes >= 0 && sample->classes) ret = clzi_exec_upload(exec, s->classes, sample->classes);
    if (ret >= 0) ret = clzi_exec_upload(exec, s->target, sample->ab);
    if (ret < 0 || s->rarity < 0) return ret;
    clzt_ab_weights_map(s->params.rarity, sample->ab, t.n, (int64_t)t.h * t.w, s->map);
    return clzi_exec_upload(exec, s->rarity, s->map);
}

int clzt_step_forward(struct clzt_step *s, struct clzt_bound *b, int shape, int64_t number)
{
    return clzi_exec_forward(b->execs[shape], s->params.seed ^ (uint64_t)number * 0x9e3779b97f4a7c15u);
}

int clzt_step_seed(struct clzt_step *s, struct clzt_net_state *learner, struct clzt_bound *b, int shape, int port,
                   float weight)
{
    struct clzi_exec *exec = b->execs[shape];
    const struct clzi_train_ops *t = s->be->train;
    const int ret = t->check(s->dev, learner->train, clzi_exec_output(exec, port), 1);

    return ret < 0 ? ret : t->seed(s->dev, clzi_exec_output_gradient(exec, port), weight, learner->train);
}

int clzt_step_clear_ab(struct clzt_step *s, int shape)
{
    struct clzi_exec *exec = s->bound[0].execs[shape];
    const size_t size = s->be->tensor_size(s->dev, clzi_exec_output_shape(exec, CLZT_PORT_AB));

    return s->be->train->zero(s->dev, clzi_exec_output_gradient(exec, CLZT_PORT_AB), (int64_t)(size / sizeof(float)));
}

int clzt_step_seed_losses(struct clzt_step *s, int shape, float factor)
{
    int ret = 0;

    if (s->perceptual)
        ret = clzt_perceptual_run(s->perceptual, shape, s->perceptual_weight * factor, s->players[CLZT_GENERATOR]->train);

    for (int i = 0; clzt_losses[i].name && ret >= 0; i++)
        if (s->port[i] >= 0)
            ret = clzt_step_seed(s, s->players[CLZT_GENERATOR], &s->bound[0], shape, s->port[i], s->params.loss[i] * factor);
    return ret;
}

int clzt_step_update(struct clzt_step *s, struct clzt_net_state *player, int64_t number, float lr)
{
    // The average forgets its start quickly: its decay rises from 0 to the recipe's, as users of torch.optim.swa_utils let it.
    const float ramp = (1.f + number) / (10.f + number), decay = ramp < s->params.ema ? ramp : s->params.ema;
    const float lrs[2] = { lr, number > s->params.encoder_freeze ? lr * s->params.encoder_lr : 0 };
    struct clzi_adam adam = s->params.adam;

    adam.step = ++player->updates;
    adam.decay = player == s->players[CLZT_GENERATOR] ? s->params.weight_decay : 0;
    return clzi_params_update(player->weights, &adam, lrs, decay, player->train);
}

int clzt_step_read_losses(struct clzt_step *s, int shape, double *values)
{
    int ret = 0;

    for (int i = 0; clzt_losses[i].name && ret >= 0; i++) {
        float value = 0;
        if (s->port[i] >= 0) ret = clzi_exec_download(s->bound[0].execs[shape], s->port[i], &value);
        values[i] = value;
        if (clzt_losses[i].of_features && s->perceptual) ret = clzt_perceptual_read(s->perceptual, shape, &values[i]);
    }
    return ret;
}

int clzt_step_end(struct clzt_step *s, struct clzt_net_state *player)
{
    struct clzi_train_state state;
    int ret = s->be->read(s->dev, (float *)&state, (const float *)player->train, sizeof state / sizeof(float));

    // f16 overflows where the scale is too large: such a step is left out and the scale halved
    if (ret >= 0)
        ret = s->be->train->advance(s->dev, player->train, clzi_device_base(s->dev)->precision == CLZ_PRECISION_F16);
    if (ret < 0 || !state.bad) return ret;
    if (!s->culprit) s->culprit = player;
    return -EDOM;
}

int clzt_step_run(struct clzt_step *s, int64_t number, float lr, int shape, const struct clzt_sample *sample, double *values)
{
    s->culprit = NULL;
    for (int i = CLZT_MAX_LOSSES; i < CLZT_VALUES; i++) values[i] = NAN;
    return s->phase->run(s, number, lr, shape, sample, values);
}

const char *clzt_step_culprit(const struct clzt_step *s) { return s->culprit ? s->culprit->params.name : ""; }

size_t clzt_step_memory(const struct clzt_step *s)
{
    size_t sum = s->perceptual ? clzt_perceptual_memory(s->perceptual) : 0;
    for (int k = 0; k < CLZT_MAX_BOUND; k++)
        for (int i = 0; i < s->params.shape_count; i++)
            if (s->bound[k].execs[i]) sum += clzi_exec_memory(s->bound[k].execs[i]);
    return sum;
}
