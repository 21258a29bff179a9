// step.c - one training step of a generator. The losses are nodes of the training graph; losses, gradients, checks and the
// optimiser run on the device, and only the numbers to print and whether the step counted are read back.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/log.h"
#include "step.h"

const char *const clzt_kept_names[CLZT_KEPT_COUNT] = { "w", "m", "v", "ema" };
static const enum clzi_kind kinds[CLZT_KEPT_COUNT] = { CLZI_W, CLZI_ADAM_M, CLZI_ADAM_V, CLZI_EMA };

_Static_assert((int)CLZT_MAX_LOSSES <= (int)CLZI_MAX_PORTS, "every loss is an output port");

struct clzt_step {
    struct clzt_step_params params;
    struct clzi_device *dev;
    const struct clzi_backend *be;
    struct clzi_graph *graph;               // the generator's and the losses; its parameters are the generator's
    int l, target, rarity;                  // input ports; rarity -1: none
    int port[CLZT_MAX_LOSSES];              // output port of each row of clzt_losses, -1: weight 0
    struct clzi_params *weights;
    struct clzi_exec *execs[CLZT_MAX_SHAPES];   // one for each shape of pictures
    struct clzi_train_state *state;         // device memory
    float *map;                             // host: rarity of a batch
};

// ---- the training graph ----

static int add_losses(struct clzt_step *s)
{
    struct clzi_graph *g = s->graph;
    const int pred = g->out[0].node;
    int in[3] = { pred }, ret;

    s->l = 0;
    s->rarity = -1;
    s->target = g->in_count;
    if ((in[1] = ret = clzi_graph_input(g, "target", .channels = 2)) < 0) return ret;
    if (s->params.rarity) {
        s->rarity = g->in_count;
        if ((in[2] = ret = clzi_graph_input(g, "rarity", .channels = 1)) < 0) return ret;
    }
    for (int i = 0; clzt_losses[i].name; i++) {
        const struct clzt_loss *loss = &clzt_losses[i];
        char name[CLZI_PORT_NAME_SIZE];
        s->port[i] = -1;
        if (!s->params.loss[i]) continue;
        snprintf(name, sizeof name, "loss.%s", loss->name);
        ret = clzi_graph_append(g, name, loss->op, in, 2 + (loss->weighted && s->params.rarity), &(const struct clzi_attr){ 0 });
        if (ret >= 0) ret = clzi_graph_output(g, name, ret);
        if (ret < 0) return ret;
        s->port[i] = g->out_count - 1;
    }
    return 0;
}

static int create_execs(struct clzt_step *s)
{
    const struct clzt_step_params *p = &s->params;
    int ret = 0;

    for (int i = 0; i < p->shape_count && ret >= 0; i++) {
        const struct clzi_exec_params params = {
            .n = p->batch, .h = p->shapes[i].h, .w = p->shapes[i].w, .training = true, .backward = true,
            .keep_statistics = p->encoder_statistics ? NULL : p->encoder,
        };
        ret = clzi_exec_create(&s->execs[i], s->graph, s->weights, &params);
        if (ret == -ENOMEM)
            clzi_log(&clzi_device_base(s->dev)->log, CLZ_LOG_ERROR, "not enough memory to train with batch=%d of %dx%d pixels",
                     p->batch, params.w, params.h);
    }
    return ret;
}

int clzt_step_create(struct clzt_step **out, struct clzi_device *dev, const struct clzi_graph *graph, float *const *values,
                     const struct clzt_step_params *params)
{
    struct clzt_step *s = calloc(1, sizeof *s);
    const struct clzi_params_wanted wanted = { .train = true, .ema = params->ema > 0, .group = params->encoder };
    const struct clzi_train_state start = { .scale = 1 };
    int64_t largest = 0;
    int ret;

    *out = NULL;
    if (!s) return -ENOMEM;
    s->params = *params;
    s->dev = dev;
    s->be = clzi_device_base(dev)->backend;
    for (int i = 0; i < params->shape_count; i++) {
        const int64_t pixels = (int64_t)params->batch * params->shapes[i].w * params->shapes[i].h;
        if (pixels > largest) largest = pixels;
    }
    if (!s->be->train) {
        ret = clzi_fail(&clzi_device_base(dev)->log, -ENOTSUP, "the %s device does not train", s->be->name);
        goto fail;
    }
    if ((ret = clzi_graph_copy(&s->graph, graph)) < 0 || (ret = add_losses(s)) < 0 ||
        (ret = clzi_params_create(&s->weights, dev, s->graph, values, &wanted)) < 0 || (ret = create_execs(s)) < 0)
        goto fail;
    s->state = s->be->alloc(dev, sizeof *s->state);
    s->map = params->rarity ? malloc(largest * sizeof *s->map) : NULL;
    ret = s->state && (s->map || !params->rarity) ? 0 : -ENOMEM;
    if (ret >= 0) ret = s->be->write(dev, (float *)s->state, (const float *)&start, sizeof start / sizeof(float));
fail:
    if (ret < 0) clzt_step_destroy(&s);
    *out = s;
    return ret;
}

void clzt_step_destroy(struct clzt_step **step)
{
    struct clzt_step *s = *step;

    *step = NULL;
    if (!s) return;
    for (int i = 0; i < s->params.shape_count; i++) clzi_exec_destroy(&s->execs[i]);
    if (s->state) s->be->free(s->dev, s->state);
    clzi_params_destroy(&s->weights);
    clzi_graph_destroy(&s->graph);
    free(s->map);
    free(s);
}

// ---- a step ----

static int upload(struct clzt_step *s, struct clzi_exec *exec, const float *l, const float *ab)
{
    const struct clzi_shape t = clzi_exec_input_shape(exec, s->target);
    int ret = clzi_exec_upload(exec, s->l, l);

    if (ret >= 0) ret = clzi_exec_upload(exec, s->target, ab);
    if (ret < 0 || s->rarity < 0) return ret;
    clzt_ab_weights_map(s->params.rarity, ab, t.n, (int64_t)t.h * t.w, s->map);
    return clzi_exec_upload(exec, s->rarity, s->map);
}

// Every loss must be finite; its gradient is its weight.
static int seed_gradients(struct clzt_step *s, struct clzi_exec *exec)
{
    const struct clzi_train_ops *t = s->be->train;
    int ret = 0;

    for (int i = 0; clzt_losses[i].name && ret >= 0; i++) {
        if (s->port[i] < 0) continue;
        ret = t->check(s->dev, s->state, clzi_exec_output(exec, s->port[i]), 1);
        if (ret >= 0) ret = t->seed(s->dev, clzi_exec_output_gradient(exec, s->port[i]), s->params.loss[i], s->state);
    }
    return ret;
}

static int update(struct clzt_step *s, int64_t number, float lr)
{
    // The average forgets its start quickly: its decay rises from 0 to the recipe's, as users of torch.optim.swa_utils let it.
    const float ramp = (1.f + number) / (10.f + number), decay = ramp < s->params.ema ? ramp : s->params.ema;
    const float lrs[2] = { lr, number > s->params.encoder_freeze ? lr * s->params.encoder_lr : 0 };
    struct clzi_adam adam = s->params.adam;

    adam.step = number;
    adam.decay = s->params.weight_decay;
    return clzi_params_update(s->weights, &adam, lrs, decay, s->state);
}

// The losses and whether the step counted: the one place where the host waits for the device.
static int read_back(struct clzt_step *s, struct clzi_exec *exec, double *loss)
{
    struct clzi_train_state state;
    int ret = 0;

    for (int i = 0; clzt_losses[i].name && ret >= 0; i++) {
        float value = 0;
        if (s->port[i] >= 0) ret = clzi_exec_download(exec, s->port[i], &value);
        loss[i] = value;
    }
    if (ret >= 0) ret = s->be->read(s->dev, (float *)&state, (const float *)s->state, sizeof state / sizeof(float));
    if (ret >= 0) ret = s->be->train->advance(s->dev, s->state, false);
    return ret < 0 ? ret : state.bad ? -EDOM : 0;
}

int clzt_step_run(struct clzt_step *s, int64_t number, float lr, int shape, const float *l, const float *ab, double *loss)
{
    struct clzi_exec *exec = s->execs[shape];
    int ret;

    if ((ret = upload(s, exec, l, ab)) < 0 || (ret = clzi_params_begin(s->weights)) < 0 ||
        (ret = clzi_exec_forward(exec, s->params.seed ^ (uint64_t)number * 0x9e3779b97f4a7c15u)) < 0 ||
        (ret = seed_gradients(s, exec)) < 0 || (ret = clzi_exec_backward(exec)) < 0 ||
        (ret = clzi_params_check(s->weights, s->state)) < 0 || (ret = update(s, number, lr)) < 0)
        return ret;
    return read_back(s, exec, loss);
}

// ---- what is kept ----

bool clzt_step_has(const struct clzt_step *s, enum clzt_kept kind, int param)
{
    return clzi_params_at(s->weights, kinds[kind], param) != NULL;
}

int clzt_step_read(struct clzt_step *s, enum clzt_kept kind, int param, float *values)
{
    return clzi_params_read(s->weights, kinds[kind], param, values);
}

int clzt_step_write(struct clzt_step *s, enum clzt_kept kind, int param, const float *values)
{
    return clzi_params_write(s->weights, kinds[kind], param, values);
}

size_t clzt_step_memory(const struct clzt_step *s)
{
    size_t sum = 0;
    for (int i = 0; i < s->params.shape_count; i++) sum += clzi_exec_memory(s->execs[i]);
    return sum;
}
