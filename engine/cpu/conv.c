// conv.c - conv, convt and linear. A transposed convolution is the backward-data pass of the convolution whose dense weights
// [out,in,k,k] are its own [in,out,k,k]; linear is a 1x1 convolution of pictures of one pixel, whose weights [out,in] lie in
// memory as [out,in,1,1] do. So all are the same three oneDNN primitives:
//
//              y                              dx                             dw
//   conv       forward of x                   backward data of dz            backward weights of x, dz
//   convt      backward data of x             forward of dz                  backward weights of dz, x
//
// where dz = dy act'(y). Bias (of conv) and relu are fused into the primitive. The residual, tanh, sigmoid and convt's bias are a
// pass of our own: measured with oneDNN 2.6.3, 256 -> 256 channels, 3x3, 16x16, bf16: convolution 70 us, with the residual as a
// binary post-op 139 us, with our pass 79 us; f32 64 -> 64, 64x64: 828, 1081, 852 us; tanh on 2 channels, 128x128, bf16: 57 us as
// a post-op, 6 us as a pass.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

struct packed {                             // one primitive and its packed weights
    struct clzi_dnnl_conv conv;
    struct clzi_cpu_pack pack;
    void *weights;
};

struct conv {
    struct clzi_cpu_conv_base base;
    bool transposed;
    int k, stride, pad, groups;
    bool fused_act;                         // the primitive applies the activation
    bool shared;                            // back uses forth's packed weights
    struct packed forth, back;              // makes y; makes dx
    struct packed grad;                     // makes dw; its packed weights are the gradients
    size_t dz_size, bias_size;              // in the scratch of backward()
};

static const struct clzi_op conv_dnnl;

static size_t aligned(size_t size)
{
    return (size + 127) / 128 * 128;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void packed_destroy(struct packed *p)
{
    clzi_dnnl_conv_destroy(&p->conv);
    clzi_cpu_pack_destroy(&p->pack);
    free(p->weights);
    p->weights = NULL;
}

static int packed_create(struct packed *p, struct clzi_device *dev, const struct clzi_dnnl_conv_params *params)
{
    int ret = clzi_cpu_pack_create(&p->pack, dev, &p->conv, params);
    if (ret < 0) return ret;
    p->weights = aligned_alloc(128, aligned(p->conv.weights_size));
    if (!p->weights) return -ENOMEM;
    memset(p->weights, 0, aligned(p->conv.weights_size));
    return 0;
}

static size_t packed_scratch(const struct packed *p)
{
    return aligned(larger(p->conv.scratch_size, p->pack.dnnl.scratch_size));
}

static void destroy(struct clzi_call *c)
{
    struct conv *s = c->priv;
    c->priv = NULL;
    if (!s) return;
    packed_destroy(&s->forth);
    packed_destroy(&s->back);
    packed_destroy(&s->grad);
    free(s);
}

// The primitive that runs the convolution forwards is the hint of the other two, so it is made first, and for convt always.
static int plan_primitives(struct clzi_call *c, struct conv *s)
{
    const struct clzi_attr *a = &c->node->attr;
    struct clzi_dnnl *dnnl = &c->dev->dnnl;
    struct clzi_dnnl_conv_params p = {
        .bf16 = c->dev->bf16, .k = s->k, .stride = s->stride, .pad = s->pad, .groups = s->groups,
        .direction = CLZI_DNNL_FORWARD,
        .src = s->transposed ? c->ys : c->xs[0], .dst = s->transposed ? c->xs[0] : c->ys,
        .keep = c->want_dx[0] || c->want_dw || s->transposed, .bias = a->bias && !s->transposed,
        .act = s->fused_act ? a->act : CLZI_ACT_NONE, .slope = a->slope,
    };
    struct clzi_dnnl_conv_params back;
    struct packed *forward = s->transposed ? &s->back : &s->forth, *data = s->transposed ? &s->forth : &s->back;
    int ret = clzi_dnnl_conv_create(&forward->conv, dnnl, &p, NULL);

    back = p;
    back.act = CLZI_ACT_NONE;
    back.direction = CLZI_DNNL_BACKWARD_DATA;
    if (ret >= 0 && (s->transposed || c->want_dx[0])) ret = clzi_dnnl_conv_create(&data->conv, dnnl, &back, &forward->conv);
    if (ret >= 0) ret = packed_create(&s->forth, c->dev, s->transposed ? &back : &p);
    if (ret >= 0 && c->want_dx[0]) {
        s->shared = clzi_dnnl_same_weights(&s->forth.conv, &s->back.conv);
        if (!s->shared) ret = packed_create(&s->back, c->dev, s->transposed ? &p : &back);
    }
    back.direction = CLZI_DNNL_BACKWARD_WEIGHTS;
    if (ret < 0 || !c->want_dw || (ret = clzi_dnnl_conv_create(&s->grad.conv, dnnl, &back, &forward->conv)) < 0) return ret;
    return packed_create(&s->grad, c->dev, &back);
}

static int plan(struct clzi_call *c, bool transposed)
{
    const struct clzi_attr *a = &c->node->attr;
    const bool linear = c->node->op == CLZI_OP_LINEAR;
    struct conv *s = c->priv = calloc(1, sizeof *s);
    int ret;

    if (!s) return -ENOMEM;
    s->base.op = transposed ? &clzi_cpu_convt : &conv_dnnl;
    clzi_cpu_enter(c->dev);
    s->transposed = transposed;
    s->k = linear ? 1 : a->k;
    s->stride = linear ? 1 : a->stride;
    s->pad = linear ? 0 : a->pad;
    s->groups = linear || transposed ? 1 : a->groups;
    s->fused_act = !transposed && c->node->in_count == 1 &&
                   (a->act == CLZI_ACT_RELU || a->act == CLZI_ACT_LEAKY || a->act == CLZI_ACT_RELU6);
    if ((ret = plan_primitives(c, s)) < 0) return ret;
    c->backward_reads_x = c->want_dw;
    c->backward_reads_y = a->act != CLZI_ACT_NONE;
    c->scratch_size = larger(packed_scratch(&s->forth), larger(packed_scratch(&s->back), packed_scratch(&s->grad)));
    if (c->want_dx[0] || c->want_dx[1] || c->want_dw) {
        s->dz_size = a->act ? aligned((size_t)clzi_shape_count(c->ys) * c->dev->nn->element) : 0;
        s->bias_size = a->bias ? aligned(c->ys.c * sizeof(float)) : 0;
        c->scratch_size = larger(c->scratch_size, a->bias ? clzi_cpu_sum_scratch(c->ys) : 0);
        c->scratch_size += s->dz_size + s->bias_size + 1;       // not 0: backward() adds offsets to the pointer
    }
    return 0;
}

static int dnnl_plan(struct clzi_call *c) { return plan(c, false); }
static int convt_plan(struct clzi_call *c) { return plan(c, true); }

static int refresh(struct clzi_call *c)
{
    struct conv *s = c->priv;
    int ret;

    clzi_cpu_enter(c->dev);
    ret = clzi_cpu_pack_run(&s->forth.pack, c->dev, c->w[0], s->forth.weights, c->scratch);
    if (ret < 0 || !s->back.weights) return ret;
    return clzi_cpu_pack_run(&s->back.pack, c->dev, c->w[0], s->back.weights, c->scratch);
}

// What the primitive has not done: bias of convt, residual, activation; in one pass.
static void finish(struct clzi_call *c, const struct conv *s)
{
    const struct clzk_activation act = clzi_cpu_activation(c->node);
    const int64_t count = clzi_shape_count(c->ys);

    if (c->node->in_count == 2)
        clzi_cpu_add(c->dev, c->y, c->y, c->x[1], count, act);
    else if (s->transposed && c->node->attr.bias)
        clzi_cpu_affine(c->dev, c->y, c->y, c->ys, NULL, c->w[1], act);
    else if (act.act && !s->fused_act)
        clzi_cpu_act(c->dev, c->y, c->y, count, act);
}

static int forward(struct clzi_call *c)
{
    struct conv *s = c->priv;
    struct clzi_dnnl_conv_data data = { .weights = s->forth.weights, .bias = c->w[1], .scratch = c->scratch };
    int ret;

    clzi_cpu_enter(c->dev);
    data.src = s->transposed ? c->y : c->x[0];
    data.dst = s->transposed ? c->x[0] : c->y;
    if ((ret = clzi_dnnl_conv_run(&s->forth.conv, &c->dev->dnnl, &data)) < 0) return ret;
    finish(c, s);
    return 0;
}

static int run_grad(struct clzi_call *c, struct conv *s, const void *dz, float *bias, void *scratch)
{
    struct clzi_dnnl_conv_data data = { .weights = s->grad.weights, .bias = bias, .scratch = scratch };
    int ret;
    data.src = s->transposed ? dz : c->x[0];
    data.dst = s->transposed ? c->x[0] : dz;
    if ((ret = clzi_dnnl_conv_run(&s->grad.conv, &c->dev->dnnl, &data)) < 0) return ret;
    return clzi_cpu_pack_run(&s->grad.pack, c->dev, c->dw[0], s->grad.weights, scratch);
}

static int backward(struct clzi_call *c)
{
    struct conv *s = c->priv;
    struct clzi_device *dev = c->dev;
    char *scratch = c->scratch;
    float *bias = (float *)(scratch + s->dz_size);
    const int64_t count = clzi_shape_count(c->ys);
    const void *dz = c->dy;
    int ret = 0;

    clzi_cpu_enter(dev);
    if (c->node->attr.act) {
        clzi_cpu_act_back(dev, scratch, c->y, c->dy, count, clzi_cpu_activation(c->node));
        dz = scratch;
    }
    scratch += s->dz_size + s->bias_size;
    if (c->dx[1]) clzi_cpu_copy(dev, c->dx[1], dz, count);
    if (c->dw[0] && (ret = run_grad(c, s, dz, bias, scratch)) < 0) return ret;
    if (c->dw[1]) {
        if (s->transposed || !c->dw[0]) clzi_cpu_sum(dev, bias, dz, c->ys, scratch);
        dev->vectors->add(c->dw[1], bias, c->ys.c);
    }
    if (c->dx[0]) {
        struct packed *weights = s->shared ? &s->forth : &s->back;
        struct clzi_dnnl_conv_data data = { .weights = weights->weights, .scratch = scratch };
        data.src = s->transposed ? dz : c->dx[0];
        data.dst = s->transposed ? c->dx[0] : dz;
        ret = clzi_dnnl_conv_run(&s->back.conv, &dev->dnnl, &data);
    }
    return ret;
}

static const struct clzi_op conv_dnnl = {
    .plan = dnnl_plan, .forward = forward, .backward = backward, .destroy = destroy, .refresh = refresh,
};
const struct clzi_op clzi_cpu_convt = {
    .plan = convt_plan, .forward = forward, .backward = backward, .destroy = destroy, .refresh = refresh,
};
const struct clzi_op clzi_cpu_linear = {
    .plan = dnnl_plan, .forward = forward, .backward = backward, .destroy = destroy, .refresh = refresh,
};

// ---- conv: the first implementation that takes it ----

static bool takes_all(const struct clzi_call *c)
{
    (void)c;
    return true;
}

static const struct { bool (*takes)(const struct clzi_call *c); const struct clzi_op *op; } implementations[] = {
    { clzi_cpu_is_depthwise, &clzi_cpu_conv_depthwise },
    { takes_all, &conv_dnnl },
};

static int conv_plan(struct clzi_call *c)
{
    int i = 0;
    while (!implementations[i].takes(c)) i++;
    return implementations[i].op->plan(c);
}

static const struct clzi_op *chosen(const struct clzi_call *c) { return ((const struct clzi_cpu_conv_base *)c->priv)->op; }
static int conv_forward(struct clzi_call *c) { return chosen(c)->forward(c); }
static int conv_backward(struct clzi_call *c) { return chosen(c)->backward(c); }
static int conv_refresh(struct clzi_call *c) { return chosen(c)->refresh(c); }
static void conv_destroy(struct clzi_call *c) { if (c->priv) chosen(c)->destroy(c); }

const struct clzi_op clzi_cpu_conv = {
    .plan = conv_plan, .forward = conv_forward, .backward = conv_backward, .destroy = conv_destroy, .refresh = conv_refresh,
};
