// fuse.c - a graph made ready for inference: batch norm folded into convolutions, additions and activations fused, dropout
// removed. The model file keeps the graph as it was trained; this is done when a stream plans it.
//
// A chain starts at one node and swallows the nodes behind it as long as each is read by nothing else:
//     conv | convt   -> [batchnorm] -> [add, conv only] -> [act]      (a batchnorm with an activation of its own ends it)
//     batchnorm | add                                   -> [act]
// The whole chain becomes one node at the place of its last member, where all its inputs exist.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph.h"

struct chain { int norm, add, act, last; };     // node indices, -1: not there; last: where the fused node stands

struct fuser {
    const struct clzi_graph *g;
    float *const *values;
    int *source;                // node -> node that really makes its output (dropout looks through)
    int *readers;               // how many read it
    int *reader;                // one of them
    int *swallowed;             // node belongs to a chain that starts before it
    int *place;                 // node -> its index in the new graph
    struct clzi_graph *out;
    float **out_values;
};

static bool is_output(const struct fuser *f, int node)
{
    for (int i = 0; i < f->g->out_count; i++)
        if (f->source[f->g->out[i].node] == node) return true;
    return false;
}

static int swallow(struct fuser *f, struct chain *c, int *member, enum clzi_op_id op)
{
    const int next = f->readers[c->last] == 1 && !is_output(f, c->last) ? f->reader[c->last] : -1;

    if (next < 0 || f->g->nodes[next].op != op || f->swallowed[next]) return 0;
    if (op == CLZI_OP_ADD && f->source[f->g->nodes[next].in[0]] == f->source[f->g->nodes[next].in[1]]) return 0;
    if (f->g->nodes[next].attr.act && op == CLZI_OP_ADD) return 0;      // already fused: leave it
    *member = next;
    f->swallowed[next] = 1;
    c->last = next;
    return 1;
}

static struct chain follow(struct fuser *f, int i)
{
    const struct clzi_node *node = &f->g->nodes[i];
    struct chain c = { -1, -1, -1, i };

    if (node->attr.act) return c;
    if ((node->op == CLZI_OP_CONV || node->op == CLZI_OP_CONVT) && node->in_count == 1) {
        if (swallow(f, &c, &c.norm, CLZI_OP_BATCHNORM) && f->g->nodes[c.norm].attr.act) return c;
        if (node->op == CLZI_OP_CONV) swallow(f, &c, &c.add, CLZI_OP_ADD);
    } else if (node->op != CLZI_OP_BATCHNORM && node->op != CLZI_OP_ADD) {
        return c;
    }
    swallow(f, &c, &c.act, CLZI_OP_ACT);
    return c;
}

static float *copy(const float *v, int64_t count)
{
    float *p = malloc((count ? count : 1) * sizeof *p);
    if (p && v) memcpy(p, v, count * sizeof *p);
    return p;
}

// w' = w gamma / sqrt(var + eps), b' = beta + (b - mean) gamma / sqrt(var + eps)
static void fold(const struct fuser *f, const struct clzi_node *conv, const struct clzi_node *norm, float *w, float *b)
{
    const struct clzi_param *wp = &f->g->params[conv->w[0]];
    const float *gamma = f->values[norm->w[0]], *beta = f->values[norm->w[1]];
    const float *mean = f->values[norm->w[2]], *var = f->values[norm->w[3]];
    const float *old = conv->attr.bias ? f->values[conv->w[1]] : NULL;
    const int transposed = conv->op == CLZI_OP_CONVT, kk = wp->dims[2] * wp->dims[3];

    for (int o = 0; o < conv->attr.channels; o++) {
        const double s = gamma[o] / sqrt((double)var[o] + norm->attr.eps);
        const int inner = transposed ? wp->dims[0] : wp->dims[1];
        for (int i = 0; i < inner; i++)
            for (int k = 0; k < kk; k++) {
                const int64_t row = transposed ? (int64_t)i * wp->dims[1] + o : (int64_t)o * wp->dims[1] + i;
                w[row * kk + k] = (float)(w[row * kk + k] * s);
            }
        b[o] = (float)(beta[o] + ((old ? old[o] : 0.0) - mean[o]) * s);
    }
}

// One fused node and its numbers.
static int emit(struct fuser *f, int i, const struct chain *c)
{
    const struct clzi_node *node = &f->g->nodes[i], *norm = c->norm < 0 ? NULL : &f->g->nodes[c->norm];
    struct clzi_node n = *node;
    int ret, before = f->out->param_count;

    for (int k = 0; k < n.in_count; k++) n.in[k] = f->place[f->source[n.in[k]]];
    if (norm) {
        n.attr.bias = 1;
        n.attr.act = norm->attr.act;
        n.attr.slope = norm->attr.slope;
    }
    if (c->add >= 0) {
        const struct clzi_node *add = &f->g->nodes[c->add];
        const int before_add = c->norm >= 0 ? c->norm : i;
        const int other = f->source[add->in[0]] == before_add ? add->in[1] : add->in[0];
        n.in[n.in_count++] = f->place[f->source[other]];
    }
    if (c->act >= 0) {
        n.attr.act = f->g->nodes[c->act].attr.act;
        n.attr.slope = f->g->nodes[c->act].attr.slope;
    }
    ret = clzi_graph_add_node(f->out, &n);
    if (ret < 0) return ret;
    f->place[c->last] = ret;
    for (int k = before; k < f->out->param_count; k++) {
        const int at = k - before;
        f->out_values[k] = copy(at < node->w_count ? f->values[node->w[at]] : NULL, clzi_param_count(&f->out->params[k]));
        if (!f->out_values[k]) return -ENOMEM;
    }
    if (norm) fold(f, node, norm, f->out_values[before], f->out_values[before + 1]);
    return 0;
}

static int fuse(struct fuser *f, struct chain *chains)
{
    const struct clzi_graph *g = f->g;
    int ret = 0;

    for (int i = 0; i < g->node_count; i++) {
        f->source[i] = g->nodes[i].op == CLZI_OP_DROPOUT ? f->source[g->nodes[i].in[0]] : i;
        for (int k = 0; g->nodes[i].op != CLZI_OP_DROPOUT && k < g->nodes[i].in_count; k++) {
            f->readers[f->source[g->nodes[i].in[k]]]++;
            f->reader[f->source[g->nodes[i].in[k]]] = i;
        }
    }
    for (int i = 0; i < g->node_count; i++) {
        chains[i].last = -1;                    // slot i: the chain that ENDS at node i, if any; start kept in place[]
    }
    for (int i = 0; i < g->node_count; i++) {
        struct chain c;
        if (f->swallowed[i] || f->source[i] != i) continue;
        c = follow(f, i);
        chains[c.last] = c;
        f->place[c.last] = i;
    }
    for (int i = 0; i < g->node_count && ret >= 0; i++)
        if (chains[i].last == i) ret = emit(f, f->place[i], &chains[i]);
    for (int i = 0; i < g->out_count && ret >= 0; i++)
        ret = clzi_graph_output(f->out, g->out[i].name, f->place[f->source[g->out[i].node]]);
    return ret;
}

int clzi_graph_fuse(const struct clzi_graph *g, float *const *values, struct clzi_graph **out, float ***out_values)
{
    struct fuser f = { .g = g, .values = values };
    struct chain *chains = calloc(g->node_count, sizeof *chains);
    int *ints = calloc((size_t)g->node_count * 5, sizeof *ints), ret;

    *out = NULL;
    *out_values = NULL;
    ret = clzi_graph_create(&f.out);
    f.out_values = calloc((size_t)g->param_count + g->node_count + 1, sizeof *f.out_values);
    if (ret >= 0 && (!chains || !ints || !f.out_values)) ret = -ENOMEM;
    if (ret >= 0) {
        f.source = ints;
        f.readers = ints + g->node_count;
        f.reader = ints + 2 * g->node_count;
        f.swallowed = ints + 3 * g->node_count;
        f.place = ints + 4 * g->node_count;
        ret = fuse(&f, chains);
    }
    free(chains);
    free(ints);
    if (ret < 0) {
        for (int i = 0; f.out_values && f.out && i < f.out->param_count; i++) free(f.out_values[i]);
        free(f.out_values);
        clzi_graph_destroy(&f.out);
        return ret;
    }
    *out = f.out;
    *out_values = f.out_values;
    return 0;
}
