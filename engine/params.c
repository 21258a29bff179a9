// params.c - slabs of parameters and the optimiser's step over them.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "params.h"

enum { ALIGN = 16 };                        // elements: every parameter begins on a cache line; the gaps stay 0

static bool in_group(const char *name, const char *group) { return group && !strncmp(name, group, strlen(group)); }

// Segments in order: group 0 decayed, group 0 not, group 1 decayed, group 1 not; then the buffers.
static int segment_of(const struct clzi_param *p, const char *group)
{
    return p->buffer ? CLZI_MAX_SEGMENTS : 2 * in_group(p->name, group) + (p->rank < 2);
}

static void lay_out(struct clzi_params *p, const char *group)
{
    int64_t at = 0;

    for (int s = 0; s <= CLZI_MAX_SEGMENTS; s++) {
        const int64_t first = at;
        for (int i = 0; i < p->graph->param_count; i++) {
            if (segment_of(&p->graph->params[i], group) != s) continue;
            p->offset[i] = at;
            at += (clzi_param_count(&p->graph->params[i]) + ALIGN - 1) / ALIGN * ALIGN;
        }
        if (s == CLZI_MAX_SEGMENTS) p->trained = first;
        else if (at > first) p->segments[p->segment_count++] = (struct clzi_segment){ first, at - first, s / 2, s % 2 == 0 };
    }
    p->count = at;
}

static int64_t slab_count(const struct clzi_params *p, int kind)
{
    return kind == CLZI_W || kind == CLZI_EMA ? p->count : p->trained;
}

static int allocate(struct clzi_params *p, const struct clzi_params_wanted *wanted)
{
    const struct clzi_backend *be = clzi_device_base(p->dev)->backend;
    const bool has[CLZI_KINDS] = { true, wanted->train, wanted->train, wanted->train, wanted->ema };

    for (int kind = 0; kind < CLZI_KINDS; kind++)
        if (has[kind] && !(p->slab[kind] = be->alloc(p->dev, (slab_count(p, kind) + 1) * sizeof(float)))) return -ENOMEM;
    if (wanted->train && !(p->statistics = be->alloc(p->dev, (p->count - p->trained + 1) * sizeof(float)))) return -ENOMEM;
    return 0;
}

int clzi_params_create(struct clzi_params **out, struct clzi_device *dev, const struct clzi_graph *graph, float *const *values,
                       const struct clzi_params_wanted *wanted)
{
    static const struct clzi_params_wanted inference = { 0 };
    struct clzi_params *p = calloc(1, sizeof *p);
    int ret = -ENOMEM;

    *out = NULL;
    if (!p) return -ENOMEM;
    p->dev = dev;
    p->graph = graph;
    p->version = 1;
    if (!wanted) wanted = &inference;
    if (!(p->offset = calloc((size_t)graph->param_count + 1, sizeof *p->offset))) goto fail;
    lay_out(p, wanted->group);
    if ((ret = allocate(p, wanted)) < 0) goto fail;
    for (int i = 0; values && i < graph->param_count; i++)
        if ((ret = clzi_params_write(p, CLZI_W, i, values[i])) < 0 ||
            (p->slab[CLZI_EMA] && (ret = clzi_params_write(p, CLZI_EMA, i, values[i])) < 0)) goto fail;
    *out = p;
    return 0;
fail:
    clzi_params_destroy(&p);
    return ret == -ENOMEM ? clzi_fail(&clzi_device_base(dev)->log, ret, "no memory for the parameters") : ret;
}

void clzi_params_destroy(struct clzi_params **params)
{
    struct clzi_params *p = *params;

    *params = NULL;
    if (!p) return;
    for (int kind = 0; kind < CLZI_KINDS; kind++)
        if (p->slab[kind]) clzi_device_base(p->dev)->backend->free(p->dev, p->slab[kind]);
    if (p->statistics) clzi_device_base(p->dev)->backend->free(p->dev, p->statistics);
    free(p->offset);
    free(p);
}

float *clzi_params_at(const struct clzi_params *p, enum clzi_kind kind, int param)
{
    if (!p->slab[kind] || p->offset[param] >= slab_count(p, kind)) return NULL;
    return p->slab[kind] + p->offset[param];
}

int clzi_params_read(const struct clzi_params *p, enum clzi_kind kind, int param, float *values)
{
    return clzi_device_base(p->dev)->backend->read(p->dev, values, clzi_params_at(p, kind, param),
                                                   clzi_param_count(&p->graph->params[param]));
}

int clzi_params_write(struct clzi_params *p, enum clzi_kind kind, int param, const float *values)
{
    if (kind == CLZI_W) p->version++;
    return clzi_device_base(p->dev)->backend->write(p->dev, clzi_params_at(p, kind, param), values,
                                                    clzi_param_count(&p->graph->params[param]));
}

// ---- training ----

static const struct clzi_train_ops *train_ops(const struct clzi_params *p) { return clzi_device_base(p->dev)->backend->train; }

int clzi_params_begin(struct clzi_params *p)
{
    const struct clzi_train_ops *t = train_ops(p);
    const int ret = t->copy(p->dev, p->statistics, p->slab[CLZI_W] + p->trained, p->count - p->trained);

    return ret < 0 ? ret : t->zero(p->dev, p->slab[CLZI_DW], p->trained);
}

int clzi_params_check(struct clzi_params *p, struct clzi_train_state *state)
{
    const struct clzi_train_ops *t = train_ops(p);
    const int ret = t->check(p->dev, state, p->slab[CLZI_W] + p->trained, p->count - p->trained);

    return ret < 0 ? ret : t->check(p->dev, state, p->slab[CLZI_DW], p->trained);
}

int clzi_params_update(struct clzi_params *p, const struct clzi_adam *adam, const float lr[2], float ema_decay,
                       const struct clzi_train_state *state)
{
    const struct clzi_train_ops *t = train_ops(p);
    int ret = 0;

    for (int i = 0; i < p->segment_count && ret >= 0; i++) {
        const struct clzi_segment *s = &p->segments[i];
        struct clzi_adam a = *adam;
        a.lr = lr[s->group];
        if (!s->decayed) a.decay = 0;
        if (a.lr > 0)
            ret = t->adam(p->dev, &a, p->slab[CLZI_W] + s->first, p->slab[CLZI_DW] + s->first, p->slab[CLZI_ADAM_M] + s->first,
                          p->slab[CLZI_ADAM_V] + s->first, s->count, state);
    }
    if (ret >= 0) ret = t->restore(p->dev, p->slab[CLZI_W] + p->trained, p->statistics, p->count - p->trained, state);
    if (ret >= 0 && p->slab[CLZI_EMA]) ret = t->ema(p->dev, p->slab[CLZI_EMA], p->slab[CLZI_W], ema_decay, p->count, state);
    p->version++;
    return ret;
}
