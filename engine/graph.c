// graph.c - building a network description, its shapes, and what can be asked of it.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"
#include "base/log.h"
#include "op.h"

int64_t clzi_param_count(const struct clzi_param *p)
{
    int64_t count = 1;
    for (int i = 0; i < p->rank; i++) count *= p->dims[i];
    return count;
}

int64_t clzi_graph_trainable_count(const struct clzi_graph *g)
{
    int64_t count = 0;
    for (int i = 0; i < g->param_count; i++)
        if (!g->params[i].buffer) count += clzi_param_count(&g->params[i]);
    return count;
}

int clzi_graph_create(struct clzi_graph **out)
{
    struct clzi_graph *g = calloc(1, sizeof *g);

    *out = NULL;
    if (!g) return -ENOMEM;
    *out = g;
    return 0;
}

void clzi_graph_destroy(struct clzi_graph **graph)
{
    struct clzi_graph *g = *graph;

    *graph = NULL;
    if (!g) return;
    free(g->nodes);
    free(g->params);
    free(g);
}

int clzi_graph_copy(struct clzi_graph **out, const struct clzi_graph *g)
{
    int ret = clzi_graph_create(out);

    for (int i = 0; ret >= 0 && i < g->node_count; i++) ret = clzi_graph_add_node(*out, &g->nodes[i]);
    if (ret < 0) {
        clzi_graph_destroy(out);
        return ret;
    }
    memcpy((*out)->out, g->out, sizeof g->out);
    (*out)->out_count = g->out_count;
    (*out)->outputs_named = g->outputs_named;
    return 0;
}

int clzi_graph_channels(const struct clzi_graph *g, int node)
{
    return g->nodes[node].out_channels;
}

static bool attrs_in_range(const struct clzi_node *node)
{
    for (const struct clzi_attr_info *a = clzi_ops[node->op].attrs; a->name; a++) {
        const double v = clzi_attr_get(&node->attr, a);
        if (!(v >= a->min && v <= a->max)) return false;
    }
    return true;
}

static bool name_free(const struct clzi_graph *g, const char *name)
{
    for (int i = 0; i < g->node_count; i++)
        if (!strcmp(g->nodes[i].name, name)) return false;
    return true;
}

// Room for `more` further entries; capacity grows by doubling and is always a power of two of at least 16.
static int reserve(void **array, int count, int more, size_t size)
{
    int have = 16, want = 16;
    void *p;

    while (have < count) have *= 2;
    while (want < count + more) want *= 2;
    if (*array && want == have) return 0;
    p = realloc(*array, want * size);
    if (!p) return -ENOMEM;
    *array = p;
    return 0;
}

static void set_port(struct clzi_port *port, const char *name, int node)
{
    snprintf(port->name, sizeof port->name, "%s", name);
    port->node = node;
}

int clzi_port_find(const struct clzi_port *ports, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(ports[i].name, name)) return i;
    return -ENOENT;
}

int clzi_graph_output(struct clzi_graph *g, const char *name, int node)
{
    if (node < 0) return node;
    if (!g->outputs_named) g->out_count = 0;
    if (!*name || strlen(name) >= CLZI_PORT_NAME_SIZE || node >= g->node_count || g->out_count == CLZI_MAX_PORTS ||
        clzi_port_find(g->out, g->out_count, name) >= 0)
        return -EINVAL;
    set_port(&g->out[g->out_count++], name, node);
    g->outputs_named = true;
    return node;
}

int clzi_graph_add_node(struct clzi_graph *g, const struct clzi_node *node)
{
    const struct clzi_op_info *op = &clzi_ops[node->op];
    const size_t length = strlen(node->name);
    struct clzi_shape in[CLZI_MAX_IN] = {{0}}, out = {0};
    struct clzi_param p[CLZI_MAX_W];
    struct clzi_node *n;
    int count;

    if (node->in_count < op->in_min || node->in_count > op->in_max || !length || length > CLZI_NAME_SIZE - 16 ||
        !name_free(g, node->name) || !attrs_in_range(node) || g->node_count >= CLZI_MAX_NODES ||
        (node->op == CLZI_OP_INPUT && (g->in_count == CLZI_MAX_PORTS || length >= CLZI_PORT_NAME_SIZE)))
        return -EINVAL;
    for (int i = 0; i < node->in_count; i++) {
        if (node->in[i] < 0 || node->in[i] >= g->node_count) return -EINVAL;
        in[i].c = clzi_graph_channels(g, node->in[i]);
    }
    if (op->shape(node, in, &out) < 0) return -EINVAL;
    count = op->params(node, in[0].c, p);
    if (g->param_count + count > CLZI_MAX_PARAMS) return -EINVAL;
    if (reserve((void **)&g->nodes, g->node_count, 1, sizeof *g->nodes) < 0 ||
        reserve((void **)&g->params, g->param_count, count + 1, sizeof *g->params) < 0)
        return -ENOMEM;

    n = &g->nodes[g->node_count];
    *n = *node;
    n->w_count = count;
    n->out_channels = out.c;
    for (int i = 0; i < count; i++) {
        char suffix[CLZI_NAME_SIZE];
        strcpy(suffix, p[i].name);
        memcpy(p[i].name, node->name, length);
        strcpy(p[i].name + length, suffix);
        n->w[i] = g->param_count;
        g->params[g->param_count++] = p[i];
    }
    if (node->op == CLZI_OP_INPUT) set_port(&g->in[g->in_count++], node->name, g->node_count);
    if (!g->outputs_named) {
        set_port(&g->out[0], node->name, g->node_count);
        g->out_count = 1;
    }
    return g->node_count++;
}

int clzi_graph_append(struct clzi_graph *g, const char *name, enum clzi_op_id op, const int *in, int in_count,
                      const struct clzi_attr *attr)
{
    struct clzi_node node = { .op = op, .in_count = in_count, .attr = *attr };

    if (in_count > CLZI_MAX_IN || strlen(name) >= sizeof node.name) return -EINVAL;
    for (int i = 0; i < in_count; i++) {
        if (in[i] < 0) return in[i];
        node.in[i] = in[i];
    }
    strcpy(node.name, name);
    clzi_attr_default(&clzi_ops[op], &node.attr);
    return clzi_graph_add_node(g, &node);
}

// ---- shapes ----

int clzi_graph_shapes(const struct clzi_graph *g, int n, int h, int w, struct clzi_shape *shapes, const struct clz_log *log)
{
    if (n < 1 || h < 1 || w < 1) return clzi_fail(log, -EINVAL, "%d pictures of %dx%d: each should be 1 or more", n, w, h);
    for (int i = 0; i < g->node_count; i++) {
        const struct clzi_node *node = &g->nodes[i];
        struct clzi_shape x[CLZI_MAX_IN] = {{0}};
        if (node->op == CLZI_OP_INPUT) {
            shapes[i] = (struct clzi_shape){ n, node->attr.channels, node->attr.vector ? 1 : h, node->attr.vector ? 1 : w };
            continue;
        }
        for (int k = 0; k < node->in_count; k++) x[k] = shapes[node->in[k]];
        if (clzi_ops[node->op].shape(node, x, &shapes[i]) < 0 || clzi_shape_count(shapes[i]) > INT32_MAX)
            return clzi_fail(log, -EINVAL, "%s (%s): input %dx%dx%dx%d does not fit", node->name, clzi_ops[node->op].name,
                             x[0].n, x[0].c, x[0].h, x[0].w);
    }
    return 0;
}

int clzi_graph_stride(const struct clzi_graph *g)
{
    int largest = 1, *num = calloc((size_t)g->node_count * 2, sizeof *num), *den = num ? num + g->node_count : NULL;

    if (!num) return -ENOMEM;
    for (int i = 0; i < g->node_count; i++) {       // scale of node i = num / den of the input's size
        const struct clzi_node *node = &g->nodes[i];
        num[i] = den[i] = 1;
        if (node->in_count) {
            num[i] = num[node->in[0]];
            den[i] = den[node->in[0]];
        }
        if (node->op == CLZI_OP_CONV || node->op == CLZI_OP_MAXPOOL || node->op == CLZI_OP_AVGPOOL) num[i] *= node->attr.stride;
        if (node->op == CLZI_OP_CONVT) den[i] *= node->attr.stride;
        if (node->op == CLZI_OP_SHUFFLE || node->op == CLZI_OP_RESIZE) den[i] *= node->attr.factor;
        while (num[i] > 1 && den[i] > 1 && num[i] % 2 == 0 && den[i] % 2 == 0) num[i] /= 2, den[i] /= 2;
        if (num[i] > 4096 || den[i] > 4096) {       // a hostile graph; no picture fits it
            free(num);
            return -EINVAL;
        }
        if (num[i] / den[i] > largest) largest = num[i] / den[i];
    }
    free(num);
    return largest;
}
