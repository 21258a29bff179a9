// exec.c - the executor: plans where every tensor lies, then runs the ops forwards and backwards.
//
// Time is counted in passes: node i runs forward at time i and backward at time 2 * nodes - 1 - i. Every tensor is alive from
// the time it is written to the last time it is read, and tensors that are never alive together may share memory. One
// allocation holds them all.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "exec.h"
#include "base/log.h"
#include "op.h"

// ---- executor ----

struct buffer {
    size_t size, offset;
    int first, last;                        // times; first > last: never used
};

struct bound {                              // a node bound to memory
    struct clzi_call call;
    const struct clzi_op *op;
    struct buffer y, dy, saved;
    struct buffer part[CLZI_MAX_IN];        // gradient of an input that other readers add to as well
    bool adds[CLZI_MAX_IN];                 // dx goes to part and is then added to the input's dy
    bool reaches_output;                    // the output depends on this node; if not, there is no dy and backward skips it
    bool needs_gradient;
    double seconds;
};

struct clzi_exec {
    const struct clzi_graph *graph;
    struct clzi_params *weights;
    const struct clzi_backend *be;
    struct clzi_device *dev;
    struct bound *nodes;
    struct clzi_binding bind[CLZI_MAX_PORTS];
    struct clzi_pass *forward_pass, *backward_pass;
    struct buffer scratch;
    char *memory;
    size_t memory_size;
    uint64_t *seed;                         // of dropout, in device memory; NULL unless training
    uint64_t refreshed;                     // version of the parameters that the ops have packed
    bool backward, timing;
};

static size_t aligned(size_t size)
{
    return (size + 255) / 256 * 256;
}

static void alive(struct buffer *b, int time)
{
    if (time < b->first) b->first = time;
    if (time > b->last) b->last = time;
}

static void always(struct buffer *b, int end)
{
    alive(b, 0);
    alive(b, end);
}

static bool is_output(const struct clzi_exec *e, int node)
{
    for (int i = 0; i < e->graph->out_count; i++)
        if (e->graph->out[i].node == node) return true;
    return false;
}

static bool wants_input_gradient(const struct clzi_exec *e, int node, const struct clzi_exec_params *params)
{
    for (int i = 0; i < e->graph->in_count; i++)
        if (e->graph->in[i].node == node) return params->backward && (params->input_gradient[i] || params->bind[i].dx);
    return false;
}

static void mark_reaching(struct clzi_exec *e)
{
    const struct clzi_graph *g = e->graph;

    for (int i = 0; i < g->out_count; i++) e->nodes[g->out[i].node].reaches_output = true;
    for (int i = g->node_count - 1; i >= 0; i--)
        for (int k = 0; e->nodes[i].reaches_output && k < g->nodes[i].in_count; k++)
            e->nodes[g->nodes[i].in[k]].reaches_output = true;
}

static int plan_op(struct clzi_exec *e, int i, struct clzi_shape *shapes, const struct clzi_exec_params *params)
{
    struct bound *b = &e->nodes[i];
    const struct clzi_node *node = &e->graph->nodes[i];
    struct clzi_call *c = &b->call;
    const struct clz_log *log = &clzi_device_base(e->dev)->log;
    int ret;

    b->op = node->op == CLZI_OP_INPUT ? NULL : e->be->ops[node->op];
    c->dev = e->dev;
    c->node = node;
    c->ys = shapes[i];
    c->training = params->training && !(params->keep_statistics && node->op == CLZI_OP_BATCHNORM &&
                                        !strncmp(node->name, params->keep_statistics, strlen(params->keep_statistics)));
    c->want_dw = params->backward && !params->fixed_weights && b->reaches_output && e->weights->slab[CLZI_DW] && node->w_count;
    b->needs_gradient = node->op == CLZI_OP_INPUT ? wants_input_gradient(e, i, params) : c->want_dw;
    for (int k = 0; k < node->in_count; k++) {
        c->xs[k] = shapes[node->in[k]];
        c->want_dx[k] = params->backward && b->reaches_output && e->nodes[node->in[k]].needs_gradient;
        b->needs_gradient |= c->want_dx[k];
    }
    for (int k = 0; k < node->w_count; k++) {
        c->w[k] = clzi_params_at(e->weights, CLZI_W, node->w[k]);
        c->dw[k] = c->want_dw ? clzi_params_at(e->weights, CLZI_DW, node->w[k]) : NULL;
    }
    if (node->op == CLZI_OP_INPUT) return 0;
    if (!b->op || (b->needs_gradient && params->backward && !b->op->backward))
        return clzi_fail(log, -ENOTSUP, "%s: the %s device has no %s%s", node->name, e->be->name, clzi_ops[node->op].name,
                         b->op ? " backward" : "");
    ret = b->op->plan ? b->op->plan(c) : 0;
    if (ret < 0 && ret != -ENOMEM)
        return clzi_fail(log, ret, "%s: %s cannot be planned for %dx%dx%dx%d", node->name, clzi_ops[node->op].name,
                         c->xs[0].n, c->xs[0].c, c->xs[0].h, c->xs[0].w);
    return ret < 0 ? ret : 0;
}

// When each tensor is written and read.
static void plan_times(struct clzi_exec *e)
{
    const int n = e->graph->node_count, end = 2 * n;

    for (int i = 0; i < n; i++) {
        struct bound *b = &e->nodes[i];
        const struct buffer never = { .first = end + 1, .last = -1 };
        b->y = b->dy = b->saved = never;
        for (int k = 0; k < CLZI_MAX_IN; k++) b->part[k] = never;
        b->y.size = clzi_ops[e->graph->nodes[i].op].scalar ? sizeof(float) : e->be->tensor_size(e->dev, b->call.ys);
        b->dy.size = b->y.size;
        b->saved.size = b->call.saved_size;
    }
    for (int i = 0; i < n; i++) {
        struct bound *b = &e->nodes[i];
        const int back = end - 1 - i, runs_back = e->backward && b->needs_gradient;
        alive(&b->y, i);
        if (b->saved.size) alive(&b->saved, i);
        if (b->saved.size && runs_back) alive(&b->saved, back);
        if (runs_back) alive(&b->dy, back);
        if (runs_back && b->call.backward_reads_y) alive(&b->y, back);
        for (int k = 0; k < e->graph->nodes[i].in_count; k++) {
            struct bound *x = &e->nodes[e->graph->nodes[i].in[k]];
            alive(&x->y, i);
            if (!runs_back) continue;
            if (b->call.backward_reads_x) alive(&x->y, back);
            if (!b->call.want_dx[k]) continue;
            alive(&x->dy, back);
        }
    }
    // Backward runs from the last node to the first: the first to write a gradient writes it, later ones add.
    for (int i = n - 1; i >= 0 && e->backward; i--) {
        struct bound *b = &e->nodes[i];
        for (int k = 0; k < e->graph->nodes[i].in_count; k++) {
            const int x = e->graph->nodes[i].in[k];
            bool written = is_output(e, x);
            if (!b->call.want_dx[k]) continue;
            for (int j = n - 1; j >= i && !written; j--)
                for (int l = 0; l < e->graph->nodes[j].in_count && !(j == i && l >= k); l++)
                    written |= e->graph->nodes[j].in[l] == x && e->nodes[j].call.want_dx[l] && e->nodes[j].needs_gradient;
            b->adds[k] = written;
            if (written) {
                b->part[k].size = e->nodes[x].y.size;
                alive(&b->part[k], end - 1 - i);
            }
        }
    }
    // Ports share memory with nothing: the next batch may be uploaded, and the last one downloaded, while this one runs.
    for (int i = 0; i < e->graph->in_count; i++) {
        struct bound *b = &e->nodes[e->graph->in[i].node];
        always(&b->y, end);
        if (b->needs_gradient) always(&b->dy, end);
        if (e->bind[i].x) b->y.size = 0;
    }
    for (int i = 0; i < e->graph->out_count; i++) {
        struct bound *b = &e->nodes[e->graph->out[i].node];
        always(&b->y, end);
        if (e->backward) always(&b->dy, end);
    }
    e->scratch.first = 0;
    e->scratch.last = end;
}

static int by_size(const void *a, const void *b)
{
    const struct buffer *x = *(struct buffer *const *)a, *y = *(struct buffer *const *)b;
    return x->size != y->size ? (x->size < y->size ? 1 : -1) : x->first - y->first;
}

static int by_offset(const void *a, const void *b)
{
    const struct buffer *x = *(struct buffer *const *)a, *y = *(struct buffer *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

// Largest first, each at the lowest place where nothing lies that is alive at the same time.
static int place(struct clzi_exec *e)
{
    const int n = e->graph->node_count, most = n * (3 + CLZI_MAX_IN) + 1;
    struct buffer **list = malloc(most * sizeof *list), **near = malloc(most * sizeof *near);
    int count = 0;

    if (!list || !near) {
        free(list);
        free(near);
        return -ENOMEM;
    }
    for (int i = 0; i < n; i++) {
        struct bound *b = &e->nodes[i];
        struct buffer *all[] = { &b->y, &b->dy, &b->saved, &b->part[0], &b->part[1], &b->part[2], &b->part[3] };
        for (size_t k = 0; k < sizeof all / sizeof *all; k++)
            if (all[k]->first <= all[k]->last && all[k]->size) list[count++] = all[k];
    }
    if (e->scratch.size) list[count++] = &e->scratch;
    qsort(list, count, sizeof *list, by_size);
    for (int i = 0; i < count; i++) {
        int near_count = 0;
        size_t at = 0;
        for (int k = 0; k < i; k++)
            if (list[k]->first <= list[i]->last && list[i]->first <= list[k]->last) near[near_count++] = list[k];
        qsort(near, near_count, sizeof *near, by_offset);
        for (int k = 0; k < near_count; k++) {
            if (at + aligned(list[i]->size) <= near[k]->offset) break;
            if (near[k]->offset + aligned(near[k]->size) > at) at = near[k]->offset + aligned(near[k]->size);
        }
        list[i]->offset = at;
        if (at + aligned(list[i]->size) > e->memory_size) e->memory_size = at + aligned(list[i]->size);
    }
    free(list);
    free(near);
    return 0;
}

static void *address(const struct clzi_exec *e, const struct buffer *b)
{
    return b->first <= b->last && b->size ? e->memory + b->offset : NULL;
}

static void *bound_tensor(const struct clzi_exec *e, int node)
{
    for (int i = 0; i < e->graph->in_count; i++)
        if (e->graph->in[i].node == node) return e->bind[i].x;
    return NULL;
}

static void bind(struct clzi_exec *e)
{
    for (int i = 0; i < e->graph->node_count; i++) {
        struct bound *b = &e->nodes[i];
        void *bound = bound_tensor(e, i);
        b->call.y = bound ? bound : address(e, &b->y);
        b->call.dy = address(e, &b->dy);
        b->call.saved = address(e, &b->saved);
        b->call.scratch = address(e, &e->scratch);
        b->call.seed = e->seed;
        for (int k = 0; k < e->graph->nodes[i].in_count; k++) {
            const struct bound *x = &e->nodes[e->graph->nodes[i].in[k]];
            b->call.x[k] = x->call.y;
            b->call.dx[k] = !b->call.want_dx[k] ? NULL : address(e, b->adds[k] ? &b->part[k] : &x->dy);
        }
    }
}

int clzi_exec_create(struct clzi_exec **out, const struct clzi_graph *graph, struct clzi_params *weights,
                     const struct clzi_exec_params *params)
{
    struct clzi_exec *e = calloc(1, sizeof *e);
    struct clzi_shape *shapes = calloc(graph->node_count, sizeof *shapes);
    int ret = -ENOMEM;

    *out = NULL;
    if (!e || !shapes) goto fail;
    e->graph = graph;
    e->weights = weights;
    e->dev = weights->dev;
    e->be = clzi_device_base(e->dev)->backend;
    e->backward = params->backward;
    memcpy(e->bind, params->bind, sizeof e->bind);
    e->nodes = calloc(graph->node_count, sizeof *e->nodes);
    if (!e->nodes) goto fail;
    ret = clzi_graph_shapes(graph, params->n, params->h, params->w, shapes, &clzi_device_base(e->dev)->log);
    mark_reaching(e);
    for (int i = 0; i < graph->node_count && ret >= 0; i++) {
        ret = plan_op(e, i, shapes, params);
        if (e->nodes[i].call.scratch_size > e->scratch.size) e->scratch.size = e->nodes[i].call.scratch_size;
    }
    if (ret < 0) goto fail;
    plan_times(e);
    if ((ret = place(e)) < 0) goto fail;
    e->memory = e->be->alloc(e->dev, e->memory_size);
    if (!e->memory) {
        clzi_log(&clzi_device_base(e->dev)->log, CLZ_LOG_VERBOSE, "no memory for %zu MiB of activations (%dx%d, batch %d)",
                 e->memory_size >> 20, params->w, params->h, params->n);
        ret = -ENOMEM;
        goto fail;
    }
    if (params->training && !(e->seed = e->be->alloc(e->dev, sizeof *e->seed))) {
        ret = -ENOMEM;
        goto fail;
    }
    bind(e);
    free(shapes);
    *out = e;
    return 0;
fail:
    free(shapes);
    clzi_exec_destroy(&e);
    return ret;
}

void clzi_exec_destroy(struct clzi_exec **exec)
{
    struct clzi_exec *e = *exec;

    *exec = NULL;
    if (!e) return;
    // the passes first: a device may still be running what the ops have planned
    if (e->forward_pass) e->be->pass_destroy(e->dev, &e->forward_pass);
    if (e->backward_pass) e->be->pass_destroy(e->dev, &e->backward_pass);
    for (int i = 0; e->nodes && i < e->graph->node_count; i++)
        if (e->nodes[i].op && e->nodes[i].op->destroy) e->nodes[i].op->destroy(&e->nodes[i].call);
    if (e->memory) e->be->free(e->dev, e->memory);
    if (e->seed) e->be->free(e->dev, e->seed);
    free(e->nodes);
    free(e);
}

size_t clzi_exec_memory(const struct clzi_exec *e) { return e->memory_size; }
static const struct bound *in_port(const struct clzi_exec *e, int port) { return &e->nodes[e->graph->in[port].node]; }
static const struct bound *out_port(const struct clzi_exec *e, int port) { return &e->nodes[e->graph->out[port].node]; }
struct clzi_shape clzi_exec_input_shape(const struct clzi_exec *e, int port) { return in_port(e, port)->call.ys; }
struct clzi_shape clzi_exec_output_shape(const struct clzi_exec *e, int port) { return out_port(e, port)->call.ys; }
void *clzi_exec_input(struct clzi_exec *e, int port) { return in_port(e, port)->call.y; }
void *clzi_exec_output(struct clzi_exec *e, int port) { return out_port(e, port)->call.y; }
void *clzi_exec_output_gradient(struct clzi_exec *e, int port) { return address(e, &out_port(e, port)->dy); }
void *clzi_exec_input_gradient(struct clzi_exec *e, int port) { return address(e, &in_port(e, port)->dy); }
void clzi_exec_set_timing(struct clzi_exec *e, bool on) { e->timing = on; }
double clzi_exec_node_seconds(const struct clzi_exec *e, int node) { return e->nodes[node].seconds; }

int clzi_exec_upload(struct clzi_exec *e, int port, const float *x)
{
    return e->be->upload(e->dev, clzi_exec_input(e, port), clzi_exec_input_shape(e, port), x);
}

int clzi_exec_download(struct clzi_exec *e, int port, float *y)
{
    const void *tensor = clzi_exec_output(e, port);

    if (clzi_ops[e->graph->nodes[e->graph->out[port].node].op].scalar) return e->be->read(e->dev, y, tensor, 1);
    return e->be->download(e->dev, tensor, clzi_exec_output_shape(e, port), y);
}

static int failed(const struct clzi_exec *e, int node, int ret, const char *what)
{
    return clzi_fail(&clzi_device_base(e->dev)->log, ret, "%s: %s%s failed", e->graph->nodes[node].name, what,
                     clzi_ops[e->graph->nodes[node].op].name);
}

static int refresh(struct clzi_exec *e)
{
    int ret;

    if (e->refreshed == e->weights->version) return 0;
    for (int i = 0; i < e->graph->node_count; i++) {
        struct bound *b = &e->nodes[i];
        if (b->op && b->op->refresh && (ret = b->op->refresh(&b->call)) < 0) return failed(e, i, ret, "packing of ");
    }
    e->refreshed = e->weights->version;
    return 0;
}

static int run_forward(void *arg)
{
    struct clzi_exec *e = arg;
    int ret;

    for (int i = 0; i < e->graph->node_count; i++) {
        struct bound *b = &e->nodes[i];
        const double start = e->timing ? clzi_now() : 0;
        if (!b->op) continue;
        if ((ret = b->op->forward(&b->call)) < 0) return failed(e, i, ret, "");
        if (e->timing) b->seconds = clzi_now() - start;
    }
    return 0;
}

static int run_backward(void *arg)
{
    struct clzi_exec *e = arg;
    int ret;

    for (int i = e->graph->node_count - 1; i >= 0; i--) {
        struct bound *b = &e->nodes[i];
        if (!b->op || !b->needs_gradient) continue;
        if ((ret = b->op->backward(&b->call)) < 0) return failed(e, i, ret, "backward of ");
        for (int k = 0; k < e->graph->nodes[i].in_count; k++) {
            const struct bound *x = &e->nodes[e->graph->nodes[i].in[k]];
            if (b->adds[k] && (ret = e->be->add(e->dev, address(e, &x->dy), b->call.dx[k], x->call.ys)) < 0) return ret;
        }
    }
    for (int i = 0; i < e->graph->in_count; i++)
        if (e->bind[i].dx && (ret = e->be->add(e->dev, e->bind[i].dx, clzi_exec_input_gradient(e, i),
                                               clzi_exec_input_shape(e, i))) < 0)
            return ret;
    return 0;
}

static int run_pass(struct clzi_exec *e, struct clzi_pass **pass, int (*body)(void *))
{
    return e->be->pass && !e->timing ? e->be->pass(e->dev, pass, body, e) : body(e);
}

int clzi_exec_forward(struct clzi_exec *e, uint64_t seed)
{
    float words[2];
    int ret = refresh(e);

    _Static_assert(sizeof words == sizeof seed, "a seed is written as two f32");
    if (ret >= 0 && e->seed) {
        memcpy(words, &seed, sizeof words);
        ret = e->be->write(e->dev, (float *)e->seed, words, 2);
    }
    return ret < 0 ? ret : run_pass(e, &e->forward_pass, run_forward);
}

int clzi_exec_backward(struct clzi_exec *e) { return run_pass(e, &e->backward_pass, run_backward); }
