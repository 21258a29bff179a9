// run_dry.c - what a training would be, without one: its recipe, data and networks are checked, their layers listed, and the
// memory is reckoned that it would take.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/exec.h"
#include "engine/op.h"
#include "nets.h"
#include "planner.h"
#include "run_parts.h"

enum { DRIVER = 500000000 };                // bytes of a card that a CUDA context takes, about

// Memory of a training on one device, bytes.
struct memory { int64_t generator, pixel, adversarial, validation; };

static int print_net(FILE *f, const char *what, const struct clzi_graph *g, struct clzt_size size)
{
    struct clzi_shape *shapes = calloc((size_t)g->node_count, sizeof *shapes);
    int ret = shapes ? clzi_graph_shapes(g, 1, size.h, size.w, shapes, NULL) : -ENOMEM;
    int64_t macs = 0;

    if (ret >= 0) fprintf(f, "\n%s, a picture of %dx%d\n  %-34s %-14s %18s %12s %10s\n", what, size.w, size.h, "layer", "op",
                          "output", "parameters", "M mult-adds");
    for (int i = 0; i < g->node_count && ret >= 0; i++) {
        const struct clzi_node *n = &g->nodes[i];
        char shape[40];
        int64_t parameters = 0;
        for (int k = 0; k < n->w_count; k++)
            if (!g->params[n->w[k]].buffer) parameters += clzi_param_count(&g->params[n->w[k]]);
        snprintf(shape, sizeof shape, "%dx%dx%d", shapes[i].c, shapes[i].h, shapes[i].w);
        fprintf(f, "  %-34s %-14s %18s %12" PRId64 " %10.2f\n", n->name, clzi_ops[n->op].name, shape, parameters,
                1e-6 * (double)clzt_macs(g, i, shapes));
        macs += clzt_macs(g, i, shapes);
    }
    if (ret >= 0)
        fprintf(f, "  %s: %" PRId64 " parameters, %.2f G multiply-adds\n", what, clzi_graph_trainable_count(g),
                1e-9 * (double)macs);
    free(shapes);
    return ret;
}

// A validation runs beside the training.
static int plan_validation(struct clzt_run *r)
{
    struct clzi_graph *g = NULL;
    struct clzi_params *weights = NULL;
    struct clzi_exec *exec = NULL;
    float **values = NULL;
    int ret = clzi_graph_fuse(r->graph, r->values, &g, &values);

    if (ret >= 0) ret = clzi_params_create(&weights, r->dev, g, values, NULL);
    if (ret >= 0)
        ret = clzi_exec_create(&exec, g, weights, &(struct clzi_exec_params){ .n = r->recipe->batch, .h = r->recipe->size,
                                                                              .w = r->recipe->size });
    clzi_exec_destroy(&exec);
    clzi_params_destroy(&weights);
    if (g) clzt_run_values_free(g, &values);
    clzi_graph_destroy(&g);
    return ret;
}

static int plan_phases(struct clzt_run *r, const struct clzt_planner *planner, struct memory *m)
{
    const struct clzt_recipe *c = r->recipe;
    int64_t at;
    int ret = clzt_run_create_generator(r);

    m->generator = at = clzt_planner_bytes(planner);
    for (int64_t number = 1; ret >= 0; number = c->steps + 1) {
        clzt_step_destroy(&r->step);
        r->phase = clzt_run_phase_at(r, number);
        ret = clzt_run_create_step(r);
        *(r->phase->discriminator ? &m->adversarial : &m->pixel) = clzt_planner_bytes(planner) - at;
        at = clzt_planner_bytes(planner);
        if (r->phase->discriminator || !c->gan.steps) break;
    }
    if (ret >= 0 && r->val) ret = plan_validation(r);
    m->validation = clzt_planner_bytes(planner) - at;
    return ret;
}

static int plan_memory(struct clzt_run *r, bool gpu, enum clz_precision precision, struct memory *m)
{
    struct clzt_planner *planner;
    int ret = clzt_planner_create(&planner, gpu, precision, r->recipe->threads, r->log);

    *m = (struct memory){ 0 };
    if (ret < 0) return ret;
    r->dev = clzt_planner_device(planner);
    ret = plan_phases(r, planner, m);
    clzt_step_destroy(&r->step);
    for (int i = 0; i < CLZT_PLAYERS; i++) clzt_net_state_destroy(&r->players[i]);
    r->dev = NULL;
    clzt_planner_destroy(&planner);
    return ret;
}

static void print_memory(FILE *f, const char *device, const struct memory *m, int64_t besides)
{
    static const int cards[] = { 2, 4, 6, 8, 12, 16, 24, 32, 48, 80, 141 };        // GB
    const int64_t phase = m->pixel > m->adversarial ? m->pixel : m->adversarial, all = m->generator + phase + m->validation;
    size_t i = 0;

    while (i < sizeof cards / sizeof *cards && all + besides > (int64_t)cards[i] * 1000000000) i++;
    fprintf(f, "  %-18s %12.0f %12.0f %12.0f %12.0f %12.0f", device, 1e-6 * (double)m->generator, 1e-6 * (double)m->pixel,
            1e-6 * (double)m->adversarial, 1e-6 * (double)m->validation, 1e-6 * (double)all);
    if (i < sizeof cards / sizeof *cards) fprintf(f, "   in %d GB\n", cards[i]);
    else fputs("   more than any card has\n", f);
}

// The CPU at the recipe's precision; a GPU in each of them.
static int print_memories(struct clzt_run *r, FILE *f)
{
    static const struct { const char *name; enum clz_precision precision; } gpus[] = {
        { "gpu f32", CLZ_PRECISION_F32 }, { "gpu bf16", CLZ_PRECISION_BF16 }, { "gpu f16", CLZ_PRECISION_F16 }
    };
    const struct clzt_recipe *c = r->recipe;
    const enum clz_precision precision = c->precision == CLZ_PRECISION_F16 ? CLZ_PRECISION_AUTO : c->precision;
    struct memory m;
    int ret = plan_memory(r, false, precision, &m);

    if (ret < 0) return ret;
    fprintf(f, "\nmemory in MB, batch %d: the generator with gradient, Adam's moments and average; activations and gradients of "
            "each phase, in the second the discriminator, too; a validation beside them\n", c->batch);
    fprintf(f, "  %-18s %12s %12s %12s %12s %12s\n", "", "generator", "pixel", "adversarial", "validation", "together");
    print_memory(f, "cpu", &m, 0);
    for (size_t i = 0; i < sizeof gpus / sizeof *gpus && ret >= 0; i++)
        if ((ret = plan_memory(r, true, gpus[i].precision, &m)) >= 0) print_memory(f, gpus[i].name, &m, DRIVER);
    fputs("  of a GPU without cuDNN's workspaces, which depend on the card; its driver takes about 500 MB more, for which "
          "there is room\n", f);
    return ret;
}

static void print_length(const struct clzt_run *r, FILE *f)
{
    const struct clzt_recipe *c = r->recipe;

    fprintf(f, "pictures        %" PRId64 " for training", clzt_dataset_count(r->train));
    if (r->val) fprintf(f, ", %" PRId64 " for validation", clzt_dataset_count(r->val));
    fprintf(f, "\nlength          %" PRId64 " steps of %d pictures", c->steps, c->batch);
    if (c->gan.steps) fprintf(f, ", then %" PRId64 " adversarial ones", c->gan.steps);
    fprintf(f, ": %.2f times all pictures\n", (double)clzt_recipe_total(c) * c->batch / (double)clzt_dataset_count(r->train));
}

static int dry(struct clzt_run *r, FILE *f)
{
    const bool has_val = r->recipe->val.count || clzt_recipe_splits(r->recipe);
    struct clzt_size shapes[CLZT_MAX_SHAPES];
    int count, ret;

    if ((ret = clzt_run_check_paths(r)) < 0 || (ret = clzt_run_build_net(r)) < 0 || (ret = clzt_run_first_values(r)) < 0 ||
        (ret = clzt_run_open_dataset(r, &r->train, false)) < 0 ||
        (has_val && (ret = clzt_run_open_dataset(r, &r->val, true)) < 0) ||
        (r->recipe->min_spread > 0 && (ret = clzt_dataset_fill(r->train)) < 0) ||      // which pictures are left
        (ret = clzt_recipe_length(r->recipe, clzt_dataset_count(r->train), r->log)) < 0 ||
        (ret = clzt_run_build_discriminator(r)) < 0 || (ret = clzt_recipe_shapes(r->recipe, shapes, &count, r->log)) < 0)
        return ret;
    print_length(r, f);
    if ((ret = print_net(f, r->net->name, r->graph, shapes[0])) < 0) return ret;
    if (r->discriminator_graph &&
        (ret = print_net(f, r->recipe->discriminator_net, r->discriminator_graph, shapes[0])) < 0)
        return ret;
    return print_memories(r, f);
}

int clzt_run_dry(struct clzt_recipe *recipe, FILE *file, const struct clz_log *log)
{
    const struct clz_log quiet = { log->cb, log->priv, CLZ_LOG_WARNING };
    const volatile int stop = 0;
    struct clzt_run r = { .recipe = recipe, .log = &quiet, .lock = -1, .stop = &stop };
    const int ret = dry(&r, file);

    clzt_run_destroy(&r);
    return ret;
}
