// planner.c - a device that counts memory.
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>

#include "base/log.h"
#include "planner.h"

struct clzt_planner {
    struct clzi_backend backend;            // a copy of the CPU's or the reference's, whose memory functions count
    struct clzi_op ops[CLZI_OP_COUNT];      // gpu: the reference's, planned as engine/cuda does
    const struct clzi_op *table[CLZI_OP_COUNT];
    struct clzi_device *dev;
    int element;                            // gpu: bytes of a number of an activation
    int64_t bytes;
};

static struct clzt_planner *planner_of(struct clzi_device *dev)
{
    return (struct clzt_planner *)clzi_device_base(dev)->backend;       // its first member
}

// ---- memory that is only counted ----

static void *count(struct clzi_device *dev, size_t size)
{
    static char nothing[64];                // nobody reads or writes it

    planner_of(dev)->bytes += (int64_t)size;
    return nothing;
}

static void forget(struct clzi_device *dev, void *p) { (void)dev, (void)p; }

static int no_write(struct clzi_device *dev, float *to, const float *from, int64_t n)
{
    (void)dev, (void)to, (void)from, (void)n;
    return 0;
}

static int no_zero(struct clzi_device *dev, float *v, int64_t n)
{
    (void)dev, (void)v, (void)n;
    return 0;
}

static int no_spectral(struct clzi_device *dev, float *to, const float *w, float *u, float *v, float *sigma, int rows,
                       int64_t columns)
{
    (void)dev, (void)to, (void)w, (void)u, (void)v, (void)sigma, (void)rows, (void)columns;
    return 0;
}

static const struct clzi_train_ops no_training = { .zero = no_zero, .copy = no_write, .spectral = no_spectral };

// ---- a GPU's plan ----

static size_t gpu_tensor_size(struct clzi_device *dev, struct clzi_shape shape)
{
    return (size_t)clzi_shape_count(shape) * (size_t)planner_of(dev)->element;
}

// What engine/cuda does otherwise than the reference: packed copies of weights, saved statistics, indices and attention.
static int gpu_plan(struct clzi_call *c)
{
    struct clzt_planner *p = planner_of(c->dev);
    const enum clzi_op_id op = c->node->op;
    const struct clzi_op *reference = clzi_backend_ref.ops[op];
    const int64_t ys = clzi_shape_count(c->ys), in = (int64_t)c->xs[0].h * c->xs[0].w;
    const int ret = reference->plan ? reference->plan(c) : 0;

    c->scratch_size = 0;
    if (ret < 0) return ret;
    if (op == CLZI_OP_CONV)
        p->bytes += (int64_t)c->ys.c * c->xs[0].c / c->node->attr.groups * c->node->attr.k * c->node->attr.k * p->element;
    if (op == CLZI_OP_CONVT) p->bytes += (int64_t)c->ys.c * c->xs[0].c * c->node->attr.k * c->node->attr.k * p->element;
    if (op == CLZI_OP_BATCHNORM) {
        c->backward_reads_x = true;
        c->saved_size = 2 * (size_t)c->ys.c * sizeof(float);
    }
    if (op == CLZI_OP_MAXPOOL) {
        c->backward_reads_x = false;
        c->saved_size = c->want_dx[0] ? (size_t)ys : 0;
    }
    if (op == CLZI_OP_ATTENTION)
        c->saved_size = (size_t)(c->xs[0].n * in * c->xs[1].h * c->xs[1].w) * sizeof(float);
    return 0;
}

static void plan_as_gpu(struct clzt_planner *p, enum clz_precision precision)
{
    p->element = precision == CLZ_PRECISION_F32 ? 4 : 2;
    p->backend.tensor_size = gpu_tensor_size;
    for (int i = 0; i < CLZI_OP_COUNT; i++) {
        const struct clzi_op *op = clzi_backend_ref.ops[i];
        if (!op) continue;
        p->ops[i] = *op;
        p->ops[i].plan = gpu_plan;
        p->table[i] = &p->ops[i];
    }
    p->backend.ops = p->table;
    clzi_device_base(p->dev)->precision = precision;
}

// ---- creating ----

int clzt_planner_create(struct clzt_planner **planner, bool gpu, enum clz_precision precision, int threads,
                        const struct clz_log *log)
{
    struct clzt_planner *p = *planner = calloc(1, sizeof *p);
    const struct clz_log quiet = { log->cb, log->priv, CLZ_LOG_WARNING };
    int ret = -ENOMEM;

    if (p)
        ret = clzi_device_open(&p->dev, gpu ? "ref" : "cpu", &(struct clzi_device_params){
            .threads = gpu ? 1 : threads, .precision = gpu ? CLZ_PRECISION_F32 : precision, .log = quiet });
    if (ret < 0) {
        clzt_planner_destroy(planner);
        return ret;
    }
    p->backend = *clzi_device_base(p->dev)->backend;
    p->backend.alloc = count;
    p->backend.free = forget;
    p->backend.write = no_write;
    p->backend.train = &no_training;
    if (gpu) plan_as_gpu(p, precision);
    clzi_device_base(p->dev)->backend = &p->backend;
    return 0;
}

void clzt_planner_destroy(struct clzt_planner **planner)
{
    if (!*planner) return;
    clzi_device_close(&(*planner)->dev);
    free(*planner);
    *planner = NULL;
}

struct clzi_device *clzt_planner_device(struct clzt_planner *p) { return p->dev; }
int64_t clzt_planner_bytes(const struct clzt_planner *p) { return p->bytes; }

int64_t clzt_macs(const struct clzi_graph *g, int node, const struct clzi_shape *shapes)
{
    const struct clzi_node *n = &g->nodes[node];
    const struct clzi_shape y = shapes[node], x = n->in_count ? shapes[n->in[0]] : y;
    const int64_t window = (int64_t)n->attr.k * n->attr.k;
    struct clzi_shape k;

    switch (n->op) {
    case CLZI_OP_CONV: return clzi_shape_count(y) * window * x.c / n->attr.groups;
    case CLZI_OP_CONVT: return clzi_shape_count(x) * window * y.c;
    case CLZI_OP_LINEAR: return clzi_shape_count(y) * x.c;
    case CLZI_OP_ATTENTION:
        k = shapes[n->in[1]];
        return (int64_t)x.n * x.h * x.w * k.h * k.w * (x.c + y.c);
    default: return 0;
    }
}
