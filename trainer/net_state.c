// net_state.c - what a checkpoint keeps of a network, on the device and in the checkpoint.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "net_state.h"

static const char *const names[CLZT_KEPT_COUNT] = { "w", "m", "v", "ema" };
static const enum clzi_kind kinds[CLZT_KEPT_COUNT] = { CLZI_W, CLZI_ADAM_M, CLZI_ADAM_V, CLZI_EMA };

static const struct clzi_backend *backend(const struct clzt_net_state *s)
{
    return clzi_device_base(s->weights->dev)->backend;
}

// ---- spectral norm ----

struct clzt_spectral {
    struct matrix { int param, rows; int64_t columns, u, v; } *matrices;    // u, v: where its vectors begin
    int count;
    int64_t u_count;
    float *original;                        // device: the trained weights, while the device's are normalised
    float *u, *v, *sigma;                   // device
};

static void spectral_free(struct clzt_net_state *s)
{
    struct clzt_spectral *sp = s->spectral;

    if (!sp) return;
    for (float **p = (float *[]){ sp->original, sp->u, sp->v, sp->sigma, NULL }, **end = p + 4; p < end; p++)
        if (*p) backend(s)->free(s->weights->dev, *p);
    free(sp->matrices);
    free(sp);
    s->spectral = NULL;
}

// u begins as a vector of equal elements, and follows the initial weights by as many iterations as in PyTorch.
static int spectral_create(struct clzt_net_state *s)
{
    const struct clzi_backend *be = backend(s);
    struct clzi_device *dev = s->weights->dev;
    const struct clzi_graph *g = s->graph;
    struct clzt_spectral *sp = s->spectral = calloc(1, sizeof *sp);
    int64_t v_count = 0;
    int ret = 0;

    if (!sp || !(sp->matrices = calloc(g->param_count + 1, sizeof *sp->matrices))) return -ENOMEM;
    for (int i = 0; i < g->param_count; i++) {
        const int rows = g->params[i].dims[0];
        struct matrix *m = &sp->matrices[sp->count];
        if (g->params[i].rank != 4) continue;
        *m = (struct matrix){ i, rows, clzi_param_count(&g->params[i]) / rows, sp->u_count, v_count };
        sp->u_count += m->rows;
        v_count += m->columns;
        sp->count++;
    }
    sp->original = be->alloc(dev, (s->weights->trained + 1) * sizeof(float));
    sp->u = be->alloc(dev, (sp->u_count + 1) * sizeof(float));
    sp->v = be->alloc(dev, (v_count + 1) * sizeof(float));
    sp->sigma = be->alloc(dev, (sp->count + 1) * sizeof(float));
    if (!sp->original || !sp->u || !sp->v || !sp->sigma) return -ENOMEM;
    for (int i = 0; i < sp->count; i++)
        for (int k = 0; k < sp->matrices[i].rows; k++)
            s->buffer[sp->matrices[i].u + k] = (float)(1 / sqrt(sp->matrices[i].rows));
    ret = be->write(dev, sp->u, s->buffer, sp->u_count);
    for (int k = 0; k < 15 && ret >= 0; k++)
        if ((ret = clzt_net_state_normalise(s)) >= 0) ret = clzt_net_state_denormalise(s);
    return ret;
}

int clzt_net_state_normalise(struct clzt_net_state *s)
{
    const struct clzt_spectral *sp = s->spectral;
    const struct clzi_train_ops *t = backend(s)->train;
    struct clzi_params *w = s->weights;
    int ret;

    if (!sp) return 0;
    ret = t->copy(w->dev, sp->original, w->slab[CLZI_W], w->trained);
    for (int i = 0; i < sp->count && ret >= 0; i++) {
        const struct matrix *m = &sp->matrices[i];
        ret = t->spectral(w->dev, clzi_params_at(w, CLZI_W, m->param), sp->original + w->offset[m->param], sp->u + m->u,
                          sp->v + m->v, sp->sigma + i, m->rows, m->columns);
    }
    w->version++;
    return ret;
}

int clzt_net_state_gradient(struct clzt_net_state *s)
{
    const struct clzt_spectral *sp = s->spectral;
    struct clzi_params *w = s->weights;
    int ret = 0;

    for (int i = 0; sp && i < sp->count && ret >= 0; i++) {
        const struct matrix *m = &sp->matrices[i];
        ret = backend(s)->train->spectral_gradient(w->dev, clzi_params_at(w, CLZI_DW, m->param),
                                                   clzi_params_at(w, CLZI_W, m->param), sp->u + m->u, sp->v + m->v,
                                                   sp->sigma + i, m->rows, m->columns);
    }
    return ret;
}

int clzt_net_state_denormalise(struct clzt_net_state *s)
{
    struct clzi_params *w = s->weights;

    if (!s->spectral) return 0;
    w->version++;
    return backend(s)->train->copy(w->dev, w->slab[CLZI_W], s->spectral->original, w->trained);
}

// ---- a network ----

int clzt_net_state_create(struct clzt_net_state **state, struct clzi_device *dev, const struct clzi_graph *graph,
                          float *const *values, const struct clzt_net_state_params *params)
{
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    const struct clzi_params_wanted wanted = { .train = true, .ema = params->ema, .group = params->encoder };
    const bool f16 = clzi_device_base(dev)->precision == CLZ_PRECISION_F16;
    const struct clzi_train_state start = { .scale = f16 ? CLZT_F16_SCALE : 1 };
    struct clzt_net_state *s;
    int64_t largest = 1, rows = 0;
    int ret;

    *state = NULL;
    if (!be->train) return clzi_fail(&clzi_device_base(dev)->log, -ENOTSUP, "the %s device does not train", be->name);
    if (params->spectral && !be->train->spectral)
        return clzi_fail(&clzi_device_base(dev)->log, -ENOTSUP, "the %s device has no spectral norm", be->name);
    if (!(s = calloc(1, sizeof *s))) return -ENOMEM;
    s->params = *params;
    s->graph = graph;
    for (int i = 0; i < graph->param_count; i++) {
        if (clzi_param_count(&graph->params[i]) > largest) largest = clzi_param_count(&graph->params[i]);
        rows += graph->params[i].dims[0];
    }
    if (rows > largest) largest = rows;
    if ((ret = clzi_params_create(&s->weights, dev, graph, values, &wanted)) < 0) goto fail;
    s->train = be->alloc(dev, sizeof *s->train);
    s->buffer = malloc(largest * sizeof *s->buffer);
    ret = s->train && s->buffer ? 0 : -ENOMEM;
    if (ret >= 0) ret = be->write(dev, (float *)s->train, (const float *)&start, sizeof start / sizeof(float));
    if (ret >= 0 && params->spectral) ret = spectral_create(s);
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
    spectral_free(s);
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

int clzt_net_state_read_scale(const struct clzt_net_state *s, struct clzi_train_state *train)
{
    return backend(s)->read(s->weights->dev, (float *)train, (const float *)s->train, sizeof *train / sizeof(float));
}

int clzt_net_state_write_scale(struct clzt_net_state *s, const struct clzi_train_state *train)
{
    return backend(s)->write(s->weights->dev, (float *)s->train, (const float *)train, sizeof *train / sizeof(float));
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

static int put_u(void *priv, struct clzt_blob_file *file)
{
    struct clzt_net_state *s = ((const struct clzt_kept_blob *)priv)->state;
    const int ret = backend(s)->read(s->weights->dev, s->buffer, s->spectral->u, s->spectral->u_count);

    return ret < 0 ? ret : clzt_blob_put(file, s->buffer, s->spectral->u_count * sizeof(float));
}

int clzt_net_state_blobs(struct clzt_net_state *s, struct clzt_blob blobs[CLZT_STATE_BLOBS])
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
    if (s->spectral) {
        struct clzt_kept_blob *kept = &s->kept[CLZT_KEPT_COUNT];
        kept->state = s;
        snprintf(kept->name, CLZT_BLOB_NAME, "%su", s->params.prefix);
        blobs[count++] = (struct clzt_blob){ .name = kept->name, .size = s->spectral->u_count * sizeof(float), .put = put_u,
                                             .priv = kept };
    }
    return count;
}

static const float *find_blob(const struct clzt_checkpoint *checkpoint, const char *name, size_t size, const char *dir,
                              const struct clz_log *log)
{
    const float *blob = clzt_checkpoint_blob(checkpoint, name, size);

    if (!blob)
        clzi_fail(log, -EBADMSG, "%s/step-%" PRId64 ": expected %s of %zu bytes; was another net trained?", dir, checkpoint->step,
                  name, size);
    return blob;
}

int clzt_net_state_load(struct clzt_net_state *s, const struct clzt_checkpoint *checkpoint, const char *dir,
                        const struct clz_log *log)
{
    char name[CLZT_BLOB_NAME];
    const float *from;
    int ret = 0;

    for (int kind = 0; kind < CLZT_KEPT_COUNT && ret >= 0; kind++) {
        if (!s->weights->slab[kinds[kind]]) continue;
        blob_name(name, s->params.prefix, kind);
        if (!(from = find_blob(checkpoint, name, blob_size(s->graph), dir, log))) return -EBADMSG;
        for (int i = 0; i < s->graph->param_count && ret >= 0; i++) {
            if (clzt_net_state_has(s, kind, i)) ret = clzt_net_state_write(s, kind, i, from);
            from += clzi_param_count(&s->graph->params[i]);
        }
    }
    if (ret < 0 || !s->spectral) return ret;
    snprintf(name, sizeof name, "%su", s->params.prefix);
    if (!(from = find_blob(checkpoint, name, s->spectral->u_count * sizeof(float), dir, log))) return -EBADMSG;
    return backend(s)->write(s->weights->dev, s->spectral->u, from, s->spectral->u_count);
}

int clzt_net_state_values(const struct clzi_graph *graph, const char *prefix, enum clzt_kept kind,
                          const struct clzt_checkpoint *checkpoint, const char *dir, float *const *values,
                          const struct clz_log *log)
{
    char name[CLZT_BLOB_NAME];
    const float *from;

    blob_name(name, prefix, kind);
    if (!(from = find_blob(checkpoint, name, blob_size(graph), dir, log))) return -EBADMSG;
    for (int i = 0; i < graph->param_count; i++) {
        const int64_t count = clzi_param_count(&graph->params[i]);
        memcpy(values[i], from, count * sizeof(float));
        from += count;
    }
    return 0;
}
