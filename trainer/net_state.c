// net_state.c - what a checkpoint keeps of a network, on the device and in the checkpoint.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/log.h"
#include "net_state.h"

static const char *const names[CLZT_KEPT_COUNT] = { "w", "m", "v", "ema" };
static const enum clzi_kind kinds[CLZT_KEPT_COUNT] = { CLZI_W, CLZI_ADAM_M, CLZI_ADAM_V, CLZI_EMA };

static const struct clzi_backend *backend(const struct clzt_net_state *s)
{
    return clzi_device_base(s->weights->dev)->backend;
}

int clzt_net_state_create(struct clzt_net_state **state, struct clzi_device *dev, const struct clzi_graph *graph,
                          float *const *values, const struct clzt_net_state_params *params)
{
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    const struct clzi_params_wanted wanted = { .train = true, .ema = params->ema, .group = params->encoder };
    const bool f16 = clzi_device_base(dev)->precision == CLZ_PRECISION_F16;
    const struct clzi_train_state start = { .scale = f16 ? CLZT_F16_SCALE : 1 };
    struct clzt_net_state *s;
    int64_t largest = 1;
    int ret;

    *state = NULL;
    if (!be->train) return clzi_fail(&clzi_device_base(dev)->log, -ENOTSUP, "the %s device does not train", be->name);
    if (!(s = calloc(1, sizeof *s))) return -ENOMEM;
    s->params = *params;
    s->graph = graph;
    for (int i = 0; i < graph->param_count; i++)
        if (clzi_param_count(&graph->params[i]) > largest) largest = clzi_param_count(&graph->params[i]);
    if ((ret = clzi_params_create(&s->weights, dev, graph, values, &wanted)) < 0) goto fail;
    s->train = be->alloc(dev, sizeof *s->train);
    s->buffer = malloc(largest * sizeof *s->buffer);
    ret = s->train && s->buffer ? 0 : -ENOMEM;
    if (ret >= 0) ret = be->write(dev, (float *)s->train, (const float *)&start, sizeof start / sizeof(float));
fail:
    if (ret < 0) clzt_net_state_destroy(&s);
    *state = s;
    return ret;
}

void clzt_net_state_destroy(struct clzt_net_state **state)
{
    struct clzt_net_state *s = *state;

    *state = NULL;
    if (!s) return;
    if (s->train) backend(s)->free(s->weights->dev, s->train);
    clzi_params_destroy(&s->weights);
    free(s->buffer);
    free(s);
}

bool clzt_net_state_has(const struct clzt_net_state *s, enum clzt_kept kind, int param)
{
    return clzi_params_at(s->weights, kinds[kind], param) != NULL;
}

int clzt_net_state_read(const struct clzt_net_state *s, enum clzt_kept kind, int param, float *values)
{
    return clzi_params_read(s->weights, kinds[kind], param, values);
}

int clzt_net_state_write(struct clzt_net_state *s, enum clzt_kept kind, int param, const float *values)
{
    return clzi_params_write(s->weights, kinds[kind], param, values);
}

int clzt_net_state_restart(struct clzt_net_state *s)
{
    const struct clzi_train_ops *t = backend(s)->train;
    int ret = t->zero(s->weights->dev, s->weights->slab[CLZI_ADAM_M], s->weights->trained);

    if (ret >= 0) ret = t->zero(s->weights->dev, s->weights->slab[CLZI_ADAM_V], s->weights->trained);
    s->updates = 0;
    return ret;
}

int clzt_net_state_check_statistics(struct clzt_net_state *s, struct clzi_train_state *train)
{
    const struct clzi_params *w = s->weights;
    return backend(s)->train->check(w->dev, train, w->slab[CLZI_W] + w->trained, w->count - w->trained);
}

int clzt_net_state_restore_statistics(struct clzt_net_state *s, const struct clzi_train_state *train)
{
    const struct clzi_params *w = s->weights;
    const struct clzi_train_ops *t = backend(s)->train;

    if (train) return t->restore(w->dev, w->slab[CLZI_W] + w->trained, w->statistics, w->count - w->trained, train);
    return t->copy(w->dev, w->slab[CLZI_W] + w->trained, w->statistics, w->count - w->trained);
}

// ---- in a checkpoint ----

static size_t blob_size(const struct clzi_graph *g)
{
    size_t count = 0;
    for (int i = 0; i < g->param_count; i++) count += clzi_param_count(&g->params[i]);
    return count * sizeof(float);
}

static void blob_name(char name[CLZT_BLOB_NAME], const char *prefix, enum clzt_kept kind)
{
    snprintf(name, CLZT_BLOB_NAME, "%s%s", prefix, names[kind]);
}

static int put_parameters(void *priv, struct clzt_blob_file *file)
{
    const struct clzt_kept_blob *kept = priv;
    struct clzt_net_state *s = kept->state;
    int ret = 0;

    for (int i = 0; i < s->graph->param_count && ret >= 0; i++) {
        const size_t size = clzi_param_count(&s->graph->params[i]) * sizeof(float);
        if (clzt_net_state_has(s, kept->kind, i)) ret = clzt_net_state_read(s, kept->kind, i, s->buffer);
        else memset(s->buffer, 0, size);
        if (ret >= 0) ret = clzt_blob_put(file, s->buffer, size);
    }
    return ret;
}

int clzt_net_state_blobs(struct clzt_net_state *s, struct clzt_blob blobs[CLZT_KEPT_COUNT])
{
    int count = 0;

    for (int kind = 0; kind < CLZT_KEPT_COUNT; kind++) {
        struct clzt_kept_blob *kept = &s->kept[kind];
        if (!s->weights->slab[kinds[kind]]) continue;
        kept->state = s;
        kept->kind = kind;
        blob_name(kept->name, s->params.prefix, kind);
        blobs[count++] = (struct clzt_blob){ .name = kept->name, .size = blob_size(s->graph), .put = put_parameters,
                                             .priv = kept };
    }
    return count;
}

static const float *find_blob(const struct clzi_graph *g, const char *prefix, enum clzt_kept kind,
                              const struct clzt_checkpoint *checkpoint, const char *dir, const struct clz_log *log)
{
    const size_t size = blob_size(g);
    char name[CLZT_BLOB_NAME];
    const float *blob;

    blob_name(name, prefix, kind);
    if (!(blob = clzt_checkpoint_blob(checkpoint, name, size)))
        clzi_fail(log, -EBADMSG, "%s/step-%" PRId64 ": expected %s of %zu bytes; was another net trained?", dir, checkpoint->step,
                  name, size);
    return blob;
}

int clzt_net_state_load(struct clzt_net_state *s, const struct clzt_checkpoint *checkpoint, const char *dir,
                        const struct clz_log *log)
{
    int ret = 0;

    for (int kind = 0; kind < CLZT_KEPT_COUNT && ret >= 0; kind++) {
        const float *from;
        if (!s->weights->slab[kinds[kind]]) continue;
        if (!(from = find_blob(s->graph, s->params.prefix, kind, checkpoint, dir, log))) return -EBADMSG;
        for (int i = 0; i < s->graph->param_count && ret >= 0; i++) {
            if (clzt_net_state_has(s, kind, i)) ret = clzt_net_state_write(s, kind, i, from);
            from += clzi_param_count(&s->graph->params[i]);
        }
    }
    return ret;
}

int clzt_net_state_values(const struct clzi_graph *graph, const char *prefix, enum clzt_kept kind,
                          const struct clzt_checkpoint *checkpoint, const char *dir, float *const *values,
                          const struct clz_log *log)
{
    const float *from = find_blob(graph, prefix, kind, checkpoint, dir, log);

    if (!from) return -EBADMSG;
    for (int i = 0; i < graph->param_count; i++) {
        const int64_t count = clzi_param_count(&graph->params[i]);
        memcpy(values[i], from, count * sizeof(float));
        from += count;
    }
    return 0;
}
