// run_networks.c - the networks of a training run: built, filled with initial weights, bound to the step of a phase.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "nets.h"
#include "perceptual.h"
#include "run_parts.h"

void clzt_run_values_free(const struct clzi_graph *g, float ***values)
{
    for (int i = 0; *values && i < g->param_count; i++) free((*values)[i]);
    free(*values);
    *values = NULL;
}

static float **values_new(const struct clzi_graph *g)
{
    float **values = calloc((size_t)g->param_count + 1, sizeof *values);

    for (int i = 0; values && i < g->param_count; i++) {
        values[i] = calloc(clzi_param_count(&g->params[i]), sizeof(float));
        if (!values[i]) clzt_run_values_free(g, &values);
    }
    return values;
}

// Copies weights of a first convolution that had L alone as its input into one that has more: the others begin at 0, so that the
// net answers the same.
static bool widen(const struct clzi_param *a, float *to, const struct clzi_param *b, const float *from)
{
    const int64_t area = (int64_t)b->dims[2] * b->dims[3];

    if (a->rank != 4 || b->rank != 4 || a->dims[0] != b->dims[0] || b->dims[1] != 1 || a->dims[1] < 2 ||
        a->dims[2] != b->dims[2] || a->dims[3] != b->dims[3])
        return false;
    memset(to, 0, clzi_param_count(a) * sizeof *to);
    for (int o = 0; o < a->dims[0]; o++) memcpy(to + o * a->dims[1] * area, from + o * area, area * sizeof *to);
    return true;
}

// Whether the parameter is the weight of a convolution of the net's input.
static bool reads_input(const struct clzi_graph *g, int param)
{
    for (int n = 0; n < g->node_count; n++)
        if (g->nodes[n].op == CLZI_OP_CONV && g->nodes[n].w[0] == param) {
            const struct clzi_node *x = &g->nodes[g->nodes[n].in[0]];
            return x->op == CLZI_OP_INPUT || (x->op == CLZI_OP_CONCAT && g->nodes[x->in[0]].op == CLZI_OP_INPUT);
        }
    return false;
}

// Copies the parameters of a model file that agree in name and shape. key, net: for messages.
static int take_from(struct clzt_run *r, const char *path, const struct clzi_graph *g, float *const *values, const char *key,
                     const char *net)
{
    struct clz_model *m = NULL;
    int taken = 0, ret = clzi_model_read(&m, path, r->log);

    if (ret >= 0 && *r->classes && *m->facts.classes && strcmp(r->classes, m->facts.classes))
        ret = clzi_fail(r->log, -EINVAL, "%s: %s knows the classes %.300s; expected those of classes.names, in their order, or "
                        "none.", key, path, m->facts.classes);
    for (int i = 0; ret >= 0 && i < g->param_count; i++)
        for (int k = 0; k < m->graph->param_count; k++) {
            const struct clzi_param *a = &g->params[i], *b = &m->graph->params[k];
            if (strcmp(a->name, b->name)) continue;
            if (a->rank == b->rank && !memcmp(a->dims, b->dims, sizeof a->dims))
                memcpy(values[i], m->values[k], clzi_param_count(a) * sizeof(float));
            else if (!reads_input(g, i) || !widen(a, values[i], b, m->values[k]))
                continue;
            taken++;
        }
    clz_model_close(&m);
    if (ret >= 0 && !taken) ret = clzi_fail(r->log, -EINVAL, "%s: %s has no parameter of the net %s.", key, path, net);
    if (ret >= 0) clzi_log(r->log, CLZ_LOG_INFO, "%s: %d of %d parameters were copied", path, taken, g->param_count);
    return ret;
}

// With its initial weights.
int clzt_run_create_discriminator(struct clzt_run *r)
{
    const struct clzt_net_state_params params = { .name = "discriminator", .prefix = "d.", .spectral = r->recipe->spectral_norm };

    if (!r->discriminator_graph)
        return clzi_fail(r->log, -EINVAL, "%s: its checkpoint is of an adversarial phase, which the recipe does not have.",
                         r->recipe->run);
    return clzt_net_state_create(&r->players[CLZT_DISCRIMINATOR], r->dev, r->discriminator_graph, r->discriminator_values,
                                 &params);
}

static int no_net(const struct clzt_run *r, const char *key, const char *name, const struct clzt_net *const *nets)
{
    char *known = NULL;
    size_t size;
    FILE *f = open_memstream(&known, &size);

    if (!f) return -ENOMEM;
    for (const struct clzt_net *const *net = nets; *net; net++)
        fprintf(f, "%s%s", net == nets ? "" : ", ", (*net)->name);
    if (fclose(f)) {
        free(known);
        return -ENOMEM;
    }
    clzi_fail(r->log, -EINVAL, "%s: \"%.100s\" is not one of %s.", key, name, known);
    free(known);
    return -EINVAL;
}

// The frozen network of the perceptual loss.
static int read_features(struct clzt_run *r)
{
    const struct clzt_recipe *c = r->recipe;
    bool wanted = false;
    int ret;

    for (int i = 0; clzt_losses[i].name; i++) wanted |= clzt_losses[i].of_features && c->loss[i] > 0;
    if (!wanted || r->features) return 0;
    ret = clzi_model_read(&r->features, c->features, r->log);
    return ret < 0 ? ret : clzt_perceptual_check(r->features, "features", c->features, r->log);
}

// The initial weights of a training, and the frozen ones of its losses.
int clzt_run_first_values(struct clzt_run *r)
{
    const int ret = read_features(r);

    if (ret < 0) return ret;
    clzt_net_init(r->graph, r->net->init, r->recipe->seed, r->values);
    return *r->recipe->init ? take_from(r, r->recipe->init, r->graph, r->values, "init", r->net->name) : 0;
}

int clzt_run_build_net(struct clzt_run *r)
{
    const struct clzt_net_options options = { .hints = r->recipe->hints.points > 0, .attention = r->recipe->attention,
                                              .classes = r->recipe->classes.count,
                                              .temperature = r->recipe->head ? (float)r->recipe->temperature : 0 };
    struct clzt_size shapes[CLZT_MAX_SHAPES];
    int count, ret;

    ret = clzt_classes_join((const char *const *)r->recipe->classes.items, r->recipe->classes.count, r->classes, "classes.names",
                            r->log);
    if (ret < 0) return ret;
    if (!(r->net = clzt_net_find(r->recipe->net))) return no_net(r, "net", r->recipe->net, clzt_nets);
    if (options.temperature > 0 && !r->net->classes)
        return clzi_fail(r->log, -EINVAL, "head: classes: %s cannot have such a head.", r->net->name);
    if ((ret = clzi_graph_create(&r->graph)) < 0 || (ret = r->net->build(r->graph, &options)) < 0) return ret;
    if (!r->net->encoder && (r->recipe->encoder_lr != 1 || r->recipe->encoder_freeze || r->recipe->encoder_statistics))
        return clzi_fail(r->log, -EINVAL, "encoder.lr, encoder.freeze, encoder.statistics: %s has no encoder.", r->net->name);
    if (r->recipe->size % clzi_graph_stride(r->graph))
        return clzi_fail(r->log, -EINVAL, "size: %d is not a multiple of %d, the stride of %s.", r->recipe->size,
                         clzi_graph_stride(r->graph), r->net->name);
    if ((ret = clzt_recipe_shapes(r->recipe, shapes, &count, r->log)) < 0) return ret;
    for (int i = 0; i < count; i++)
        if (shapes[i].w % clzi_graph_stride(r->graph) || shapes[i].h % clzi_graph_stride(r->graph))
            return clzi_fail(r->log, -EINVAL, "shapes: %dx%d is not a multiple of %d, the stride of %s.", shapes[i].w,
                             shapes[i].h,
                             clzi_graph_stride(r->graph), r->net->name);
    return (r->values = values_new(r->graph)) ? 0 : -ENOMEM;
}

int clzt_run_create_generator(struct clzt_run *r)
{
    return clzt_net_state_create(&r->players[CLZT_GENERATOR], r->dev, r->graph, r->values,
                                 &(struct clzt_net_state_params){ .name = "generator", .prefix = "", .encoder = r->net->encoder,
                                                                  .ema = r->recipe->ema > 0 });
}

const struct clzt_phase *clzt_run_phase_at(const struct clzt_run *r, int64_t number)
{
    return &clzt_phases[number > r->recipe->steps ? CLZT_PHASE_ADVERSARIAL : CLZT_PHASE_PIXEL];
}

static struct clzi_adam adam(const struct clzt_run *r)
{
    const struct clzt_recipe *c = r->recipe;
    const bool gan = r->phase->discriminator;

    return (struct clzi_adam){ .beta1 = gan ? c->gan.beta1 : c->beta1, .beta2 = gan ? c->gan.beta2 : c->beta2, .eps = c->eps };
}

int clzt_run_create_step(struct clzt_run *r)
{
    const struct clzt_recipe *c = r->recipe;
    struct clzt_step_params p = { .batch = c->batch, .adam = adam(r), .weight_decay = c->weight_decay, .ema = c->ema,
                                  .encoder_lr = (float)c->encoder_lr, .encoder_freeze = c->encoder_freeze,
                                  .encoder_statistics = c->encoder_statistics == 0,
                                  .features = r->features, .rarity = c->rebalance > 0 ? &r->rarity : NULL, .seed = c->seed,
                                  .gan = { .loss = &clzt_gan_losses[c->gan.loss], .weight = c->gan.weight,
                                           .lambda = c->gan.lambda, .real = 1 - c->gan.smoothing, .lr = c->discriminator_lr,
                                           .critic = c->steps + c->gan.critic, .threshold = c->gan.threshold } };
    int ret = clzt_recipe_shapes(c, p.shapes, &p.shape_count, r->log);

    for (int i = 0; clzt_losses[i].name; i++) p.loss[i] = c->loss[i];
    if (ret >= 0 && r->phase->discriminator && !r->players[CLZT_DISCRIMINATOR]) ret = clzt_run_create_discriminator(r);
    if (ret < 0 || (ret = clzt_step_create(&r->step, r->phase, r->players, &p)) < 0) return ret;
    clzi_log(r->log, CLZ_LOG_INFO, "%s: %" PRId64 " parameters, %s, %zu MiB of activations", r->net->name,
             clzi_graph_trainable_count(r->graph), clzi_device_base(r->dev)->describe, clzt_step_memory(r->step) >> 20);
    if (r->phase->discriminator)
        clzi_log(r->log, CLZ_LOG_INFO, "adversarial phase: steps %" PRId64 " to %" PRId64 ", a discriminator %s of %" PRId64
                 " parameters", c->steps + 1, clzt_recipe_total(c), c->discriminator_net,
                 clzi_graph_trainable_count(r->discriminator_graph));
    return 0;
}

// The optimisers begin anew with each phase, as the averages of the losses.
int clzt_run_change_phase(struct clzt_run *r)
{
    const int ret = clzt_net_state_restart(r->players[CLZT_GENERATOR]);

    clzt_progress_end(r->progress);
    clzt_step_destroy(&r->step);
    clzt_net_state_destroy(&r->players[CLZT_DISCRIMINATOR]);
    r->phase = clzt_run_phase_at(r, r->number + 1);
    r->balance = (struct clzt_balance){ 0, 0 };
    memset(r->smooth, 0, sizeof r->smooth);
    clzt_progress_begin(r->progress, "train", r->number, clzt_recipe_total(r->recipe), r->recipe->batch);
    return ret < 0 ? ret : clzt_run_create_step(r);
}

// The discriminator must fit the shapes, and its initial weights must be readable, now and not after the pixel phase.
int clzt_run_build_discriminator(struct clzt_run *r)
{
    const char *const init = r->recipe->discriminator_init;
    const struct clzt_net *const net = clzt_discriminator_find(r->recipe->discriminator_net);
    struct clzi_shape shapes[CLZI_MAX_NODES];
    struct clzt_size sizes[CLZT_MAX_SHAPES];
    int count, ret, least;

    if (!net) return no_net(r, "discriminator.net", r->recipe->discriminator_net, clzt_discriminators);
    if (!r->recipe->gan.steps) return 0;
    if ((ret = clzi_graph_create(&r->discriminator_graph)) < 0 ||
        (ret = net->build(r->discriminator_graph, &(struct clzt_net_options){ .classes = r->recipe->classes.count })) < 0 ||
        (ret = clzt_recipe_shapes(r->recipe, sizes, &count, r->log)) < 0)
        return ret;
    for (least = 16; least < 512 && clzi_graph_shapes(r->discriminator_graph, 1, least, least, shapes, NULL) < 0; least++);
    for (int i = 0; i < count; i++)
        if (sizes[i].w < least || sizes[i].h < least)
            return clzi_fail(r->log, -EINVAL, "%dx%d pixels are too small for the discriminator %s; expected at least %dx%d.",
                             sizes[i].w, sizes[i].h, net->name, least, least);
    if (!(r->discriminator_values = values_new(r->discriminator_graph))) return -ENOMEM;
    clzt_net_init(r->discriminator_graph, net->init, r->recipe->seed, r->discriminator_values);
    return *init ? take_from(r, init, r->discriminator_graph, r->discriminator_values, "discriminator.init",
                             net->name) : 0;
}
