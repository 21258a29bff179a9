// perceptual.c - the perceptual loss.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/model.h"
#include "engine/model_json.h"
#include "perceptual.h"

// The last nodes of EfficientNet-Lite0 at 1/4, 1/8 and 1/16 of the size (nets/lite.c).
enum { LAYERS = 3 };
static const char *const layers[LAYERS] = { "encoder._blocks.2.add", "encoder._blocks.4.add", "encoder._blocks.10.add" };

enum { L, AB, TARGET };                     // input ports

struct clzt_perceptual {
    struct clzi_device *dev;
    const struct clzi_backend *be;
    struct clzi_graph *graph;
    struct clzi_params *weights;
    struct clzi_exec *execs[CLZT_MAX_SHAPES];
};

static int find(const struct clzi_graph *g, const char *name)
{
    for (int i = 0; i < g->node_count; i++)
        if (!strcmp(g->nodes[i].name, name)) return i;
    return -ENOENT;
}

int clzt_perceptual_check(const struct clz_model *net, const char *key, const char *path, const struct clz_log *log)
{
    bool fits = net->graph->in_count == 1 && clzi_graph_channels(net->graph, net->graph->in[0].node) == 3;

    for (int i = 0; i < LAYERS; i++) fits &= find(net->graph, layers[i]) > 0;
    if (fits && !strcmp(net->facts.arch, "lite0-features")) return 0;
    return clzi_fail(log, -EINVAL, "%s: %s is a model of %s; expected one of lite0-features, which colorize-train convert makes "
                     "with net=lite0-features.", key, path, clzi_printable(net->facts.arch).text);
}

// Appends the net up to the last of the layers, its input being `picture`. values: those of g's parameters; taps: of the layers.
static int append(struct clzi_graph *g, const char *prefix, int picture, const struct clz_model *net, float **values,
                  int taps[LAYERS])
{
    const struct clzi_graph *from = net->graph;
    const int last = find(from, layers[LAYERS - 1]), count = last < 0 ? 0 : last + 1;   // checked before
    int *node = calloc((size_t)count, sizeof *node), ret = node ? 0 : -ENOMEM;

    for (int i = 0; i < count && ret >= 0; i++) {
        const struct clzi_node *n = &from->nodes[i];
        char name[CLZI_NAME_SIZE];
        int in[CLZI_MAX_IN];
        for (int k = 0; k < n->in_count; k++) in[k] = node[n->in[k]];
        if (snprintf(name, sizeof name, "%s.%s", prefix, n->name) >= (int)sizeof name) ret = -EINVAL;
        else ret = n->op == CLZI_OP_INPUT ? picture : clzi_graph_append(g, name, n->op, in, n->in_count, &n->attr);
        if (ret < 0) break;
        node[i] = ret;
        for (int k = 0; k < n->w_count; k++) values[g->nodes[ret].w[k]] = net->values[n->w[k]];
        for (int k = 0; k < LAYERS; k++)
            if (!strcmp(n->name, layers[k])) taps[k] = ret;
    }
    free(node);
    return ret;
}

static int build(struct clzi_graph *g, const struct clz_model *net, float **values)
{
    const int l = clzi_graph_input(g, "L", .channels = 1), ab = clzi_graph_input(g, "ab", .channels = 2);
    const int target = clzi_graph_input(g, "target", .channels = 2);
    int predicted[LAYERS], truth[LAYERS];
    int ret = clzi_graph_rgb(g, "predicted.rgb", l, ab);

    if (ret >= 0) ret = append(g, "predicted", ret, net, values, predicted);
    if (ret >= 0) ret = clzi_graph_rgb(g, "true.rgb", l, target);
    if (ret >= 0) ret = append(g, "true", ret, net, values, truth);
    for (int i = 0; i < LAYERS && ret >= 0; i++) {
        char name[CLZI_PORT_NAME_SIZE];
        snprintf(name, sizeof name, "loss.%d", i);
        ret = clzi_graph_append(g, name, CLZI_OP_L1, (const int[]){ predicted[i], truth[i] }, 2, &(const struct clzi_attr){ 0 });
        ret = clzi_graph_output(g, name, ret);
    }
    return ret < 0 ? ret : 0;
}

int clzt_perceptual_create(struct clzt_perceptual **perceptual, struct clzi_device *dev, const struct clz_model *net)
{
    struct clzt_perceptual *p = *perceptual = calloc(1, sizeof *p);
    float **values = calloc(2 * (size_t)net->graph->param_count + 1, sizeof *values);      // borrowed numbers
    int ret = p && values ? clzi_graph_create(&p->graph) : -ENOMEM;

    if (p) p->dev = dev, p->be = clzi_device_base(dev)->backend;
    if (ret >= 0) ret = build(p->graph, net, values);
    if (ret >= 0) ret = clzi_params_create(&p->weights, dev, p->graph, values, NULL);
    free(values);
    if (ret < 0) clzt_perceptual_destroy(perceptual);
    return ret;
}

void clzt_perceptual_destroy(struct clzt_perceptual **perceptual)
{
    struct clzt_perceptual *p = *perceptual;

    *perceptual = NULL;
    if (!p) return;
    for (int i = 0; i < CLZT_MAX_SHAPES; i++) clzi_exec_destroy(&p->execs[i]);
    clzi_params_destroy(&p->weights);
    clzi_graph_destroy(&p->graph);
    free(p);
}

int clzt_perceptual_bind(struct clzt_perceptual *p, int i, int batch, struct clzt_size size,
                         const struct clzt_perceptual_binding *binding)
{
    return clzi_exec_create(&p->execs[i], p->graph, p->weights, &(struct clzi_exec_params){
        .n = batch, .h = size.h, .w = size.w, .backward = true, .fixed_weights = true,
        .bind = { [L].x = binding->l, [AB] = { binding->ab, binding->ab_gradient }, [TARGET].x = binding->target } });
}

size_t clzt_perceptual_memory(const struct clzt_perceptual *p)
{
    size_t sum = 0;

    for (int i = 0; i < CLZT_MAX_SHAPES; i++) sum += p->execs[i] ? clzi_exec_memory(p->execs[i]) : 0;
    return sum;
}

int clzt_perceptual_run(struct clzt_perceptual *p, int shape, float weight, struct clzi_train_state *train)
{
    struct clzi_exec *exec = p->execs[shape];
    const struct clzi_train_ops *t = p->be->train;
    int ret = clzi_exec_forward(exec, 0);

    for (int i = 0; i < LAYERS && ret >= 0; i++)
        if ((ret = t->check(p->dev, train, clzi_exec_output(exec, i), 1)) >= 0)
            ret = t->seed(p->dev, clzi_exec_output_gradient(exec, i), weight / LAYERS, train);
    return ret < 0 ? ret : clzi_exec_backward(exec);
}

int clzt_perceptual_read(struct clzt_perceptual *p, int shape, double *value)
{
    int ret = 0;

    *value = 0;
    for (int i = 0; i < LAYERS && ret >= 0; i++) {
        float v = 0;
        ret = clzi_exec_download(p->execs[shape], i, &v);
        *value += (double)v / LAYERS;
    }
    return ret;
}
