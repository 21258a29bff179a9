// step.c - one training step of a generator.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/log.h"
#include "step.h"

const char *const clzt_kept_names[CLZT_KEPT_COUNT] = { "w", "m", "v", "ema" };

struct clzt_step {
    struct clzt_step_params params;
    struct clzi_device *dev;
    const struct clzi_backend *be;
    const struct clzi_graph *graph;
    struct clzi_weights *weights;
    struct clzi_exec *execs[CLZT_MAX_SHAPES];   // one for each shape of pictures
    struct clzi_exec *exec;                 // of this step's shape
    float **kept[CLZT_KEPT_COUNT];          // [kind][param], device memory; kept[CLZT_WEIGHTS] = weights->w
    struct clzi_shape answer;               // of exec
    float *pred, *grad;                     // host, room for the largest answer
    float *statistics, *vector;             // host: the running statistics before the step; room for any parameter of rank 1
};

static int keep(struct clzt_step *s, enum clzt_kept kind)
{
    s->kept[kind] = calloc((size_t)s->graph->param_count + 1, sizeof *s->kept[kind]);
    if (!s->kept[kind]) return -ENOMEM;
    for (int i = 0; i < s->graph->param_count; i++) {
        if (s->graph->params[i].buffer && kind != CLZT_AVERAGE) continue;
        s->kept[kind][i] = s->be->alloc(s->dev, clzi_param_count(&s->graph->params[i]) * sizeof(float));
        if (!s->kept[kind][i]) return -ENOMEM;
    }
    return 0;
}

// largest: elements of the largest answer.
static int create_execs(struct clzt_step *s, int64_t *largest)
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
        if (ret >= 0 && clzi_shape_count(clzi_exec_output_shape(s->execs[i], 0)) > *largest)
            *largest = clzi_shape_count(clzi_exec_output_shape(s->execs[i], 0));
    }
    return ret;
}

int clzt_step_create(struct clzt_step **out, struct clzi_device *dev, const struct clzi_graph *graph, float *const *values,
                     const struct clzt_step_params *params)
{
    struct clzt_step *s = calloc(1, sizeof *s);
    int64_t statistics = 0, longest = 0, largest = 0;
    int ret;

    *out = NULL;
    if (!s) return -ENOMEM;
    s->params = *params;
    s->dev = dev;
    s->be = clzi_device_base(dev)->backend;
    s->graph = graph;
    if ((ret = clzi_weights_create(&s->weights, dev, graph, values, true)) < 0) goto fail;
    if ((ret = create_execs(s, &largest)) < 0) goto fail;
    s->kept[CLZT_WEIGHTS] = s->weights->w;
    if ((ret = keep(s, CLZT_ADAM_M)) < 0 || (ret = keep(s, CLZT_ADAM_V)) < 0) goto fail;
    if (params->ema > 0 && (ret = keep(s, CLZT_AVERAGE)) < 0) goto fail;
    for (int i = 0; params->ema > 0 && i < graph->param_count; i++)
        if ((ret = s->be->write(dev, s->kept[CLZT_AVERAGE][i], values[i], clzi_param_count(&graph->params[i]))) < 0) goto fail;
    s->pred = malloc(largest * sizeof *s->pred);
    s->grad = malloc(largest * sizeof *s->grad);
    for (int i = 0; i < graph->param_count; i++) {
        const int64_t count = clzi_param_count(&graph->params[i]);
        if (graph->params[i].buffer) statistics += count;
        if (graph->params[i].rank == 1 && count > longest) longest = count;
    }
    s->statistics = malloc((statistics + 1) * sizeof *s->statistics);
    s->vector = malloc((longest + 1) * sizeof *s->vector);
    ret = s->pred && s->grad && s->statistics && s->vector ? 0 : -ENOMEM;
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
    for (int kind = CLZT_WEIGHTS + 1; kind < CLZT_KEPT_COUNT; kind++) {
        for (int i = 0; s->kept[kind] && i < s->graph->param_count; i++)
            if (s->kept[kind][i]) s->be->free(s->dev, s->kept[kind][i]);
        free(s->kept[kind]);
    }
    for (int i = 0; i < s->params.shape_count; i++) clzi_exec_destroy(&s->execs[i]);
    clzi_weights_destroy(&s->weights);
    free(s->pred);
    free(s->grad);
    free(s->statistics);
    free(s->vector);
    free(s);
}

static double losses(struct clzt_step *s, const float *ab, double *loss)
{
    const struct clzt_loss_input in = { s->pred, ab, s->answer.n, s->answer.h, s->answer.w, s->params.rarity };
    double total = 0;

    memset(s->grad, 0, clzi_shape_count(s->answer) * sizeof *s->grad);
    for (int i = 0; clzt_losses[i].name; i++) {
        loss[i] = s->params.loss[i] ? clzt_losses[i].value(&in, s->params.loss[i], s->grad) : 0;
        total += s->params.loss[i] * loss[i];
    }
    return total;
}

static bool in_encoder(const struct clzt_step *s, const char *name)
{
    return s->params.encoder && !strncmp(name, s->params.encoder, strlen(s->params.encoder));
}

static int update(struct clzt_step *s, int64_t number, float lr)
{
    const struct clzi_graph *g = s->graph;
    struct clzi_adam adam = s->params.adam;
    int ret = 0;

    adam.step = number;
    for (int i = 0; i < g->param_count && ret >= 0; i++) {
        const int64_t count = clzi_param_count(&g->params[i]);
        float *w = s->weights->w[i];
        if (s->weights->dw[i]) {
            const bool encoder = in_encoder(s, g->params[i].name);
            if (encoder && number <= s->params.encoder_freeze) continue;
            adam.lr = encoder ? lr * s->params.encoder_lr : lr;
            adam.decay = g->params[i].rank == 4 ? s->params.weight_decay : 0;
            ret = s->be->adam(s->dev, &adam, w, s->weights->dw[i], s->kept[CLZT_ADAM_M][i], s->kept[CLZT_ADAM_V][i], count);
        }
        if (ret >= 0 && s->params.ema > 0) {
            // The average's start is forgotten quickly: its decay rises from 0 to the recipe's (as torch.optim.swa_utils users do).
            const float ramp = (1.f + number) / (10.f + number), decay = ramp < s->params.ema ? ramp : s->params.ema;
            ret = s->be->ema(s->dev, s->kept[CLZT_AVERAGE][i], w, decay, count);
        }
    }
    s->weights->version++;
    return ret;
}

// Forward moves the running statistics before anyone knows whether the step is a good one.
static int keep_statistics(struct clzt_step *s, bool put_back)
{
    float *at = s->statistics;
    int ret = 0;

    for (int i = 0; i < s->graph->param_count && ret >= 0; i++) {
        const int64_t count = clzi_param_count(&s->graph->params[i]);
        if (!s->graph->params[i].buffer) continue;
        ret = put_back ? s->be->write(s->dev, s->weights->w[i], at, count) : s->be->read(s->dev, at, s->weights->w[i], count);
        at += count;
    }
    return ret;
}

// 0 or -EDOM. Vectors alone are looked at, for they are few. What is not finite in a tensor gets into a running statistic, and may
// get no further: relu makes 0 of NaN. What is not finite in a gradient gets into that of a bias or of batch norm.
static int check_vectors(struct clzt_step *s, float *const *of, bool buffers)
{
    int ret = 0;

    for (int i = 0; i < s->graph->param_count && ret >= 0; i++) {
        const int64_t count = clzi_param_count(&s->graph->params[i]);
        if (!of[i] || s->graph->params[i].rank != 1 || s->graph->params[i].buffer != buffers) continue;
        ret = s->be->read(s->dev, s->vector, of[i], count);
        for (int64_t k = 0; k < count && ret >= 0; k++)
            if (!isfinite(s->vector[k])) ret = -EDOM;
    }
    return ret;
}

static int gradients(struct clzt_step *s, uint64_t seed, const float *l, const float *ab, double *loss)
{
    int ret;

    if ((ret = clzi_exec_upload(s->exec, 0, l)) < 0 || (ret = clzi_exec_forward(s->exec, seed)) < 0 ||
        (ret = clzi_exec_download(s->exec, 0, s->pred)) < 0)
        return ret;
    if (!isfinite(losses(s, ab, loss))) return -EDOM;
    if ((ret = check_vectors(s, s->weights->w, true)) < 0) return ret;
    for (int i = 0; i < s->graph->param_count; i++)
        if (s->weights->dw[i] &&
            (ret = s->be->zero(s->dev, s->weights->dw[i], clzi_param_count(&s->graph->params[i]))) < 0) return ret;
    if ((ret = s->be->upload(s->dev, clzi_exec_output_gradient(s->exec, 0), s->answer, s->grad)) < 0 ||
        (ret = clzi_exec_backward(s->exec)) < 0)
        return ret;
    return check_vectors(s, s->weights->dw, false);
}

int clzt_step_run(struct clzt_step *s, int64_t number, float lr, int shape, const float *l, const float *ab, double *loss)
{
    int ret;

    s->exec = s->execs[shape];
    s->answer = clzi_exec_output_shape(s->exec, 0);
    ret = keep_statistics(s, false);
    if (ret >= 0) ret = gradients(s, s->params.seed ^ (uint64_t)number * 0x9e3779b97f4a7c15u, l, ab, loss);
    if (ret == -EDOM && (ret = keep_statistics(s, true)) >= 0) return -EDOM;
    return ret < 0 ? ret : update(s, number, lr);
}

bool clzt_step_has(const struct clzt_step *s, enum clzt_kept kind, int param)
{
    return s->kept[kind] && s->kept[kind][param];
}

int clzt_step_read(struct clzt_step *s, enum clzt_kept kind, int param, float *values)
{
    return s->be->read(s->dev, values, s->kept[kind][param], clzi_param_count(&s->graph->params[param]));
}

int clzt_step_write(struct clzt_step *s, enum clzt_kept kind, int param, const float *values)
{
    if (kind == CLZT_WEIGHTS) s->weights->version++;
    return s->be->write(s->dev, s->kept[kind][param], values, clzi_param_count(&s->graph->params[param]));
}

size_t clzt_step_memory(const struct clzt_step *s)
{
    size_t sum = 0;
    for (int i = 0; i < s->params.shape_count; i++) sum += clzi_exec_memory(s->execs[i]);
    return sum;
}
