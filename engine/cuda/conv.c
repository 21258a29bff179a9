// conv.c - conv, convt and linear. A transposed convolution is the input gradient of the convolution whose dense weights
// [out,in,k,k] are its own [in,out,k,k]; linear is a 1x1 convolution of pictures of one pixel. So all are three problems of
// cuDNN:
//
//              y                              dx                             dw
//   conv       FORWARD of x                   DATA of dz                     WEIGHTS of x, dz
//   convt      DATA of x                      FORWARD of dz                  WEIGHTS of dz, x
//
// where dz = dy act'(y). Depthwise convolutions have kernels of our own. cuDNN fuses bias, residual and relu into FORWARD; other
// activations, and bias and activation of convt, are a pass of our own.
#include <errno.h>
#include <stdlib.h>

#include "cuda.h"

struct conv {
    struct clzi_dnn_conv plans[CLZI_CUDA_PASS_COUNT];
    bool planned[CLZI_CUDA_PASS_COUNT];
    bool depthwise, fused;                  // fused: bias and residual are part of the forward plan
    struct clzk_depthwise window;           // depthwise
    void *weights, *bias;                   // device memory: packed weights; the bias as the plan wants it, or zeros
    size_t dz_size, dw_size;                // bytes, in the scratch of backward()
};

static void destroy(struct clzi_call *c)
{
    struct conv *s = c->priv;

    c->priv = NULL;
    if (!s) return;
    for (int i = 0; i < CLZI_CUDA_PASS_COUNT; i++)
        if (s->planned[i]) clzi_dnn_conv_destroy(&s->plans[i]);
    cudaFree(s->weights);
    cudaFree(s->bias);
    free(s);
}

static int64_t weight_count(const struct clzi_call *c)
{
    return clzi_shape_count((struct clzi_shape){ c->node->op == CLZI_OP_CONVT ? c->xs[0].c : c->ys.c,
        c->node->op == CLZI_OP_CONVT ? c->ys.c : c->xs[0].c / (c->node->op == CLZI_OP_CONV ? c->node->attr.groups : 1),
        c->node->op == CLZI_OP_LINEAR ? 1 : c->node->attr.k, c->node->op == CLZI_OP_LINEAR ? 1 : c->node->attr.k });
}

// Weights are [outer][inner][area] in the slab and [outer][area][inner] in the plans; depthwise ones [channels][area] and
// [area][channels].
struct layout { int outer, inner; int64_t area; };
static struct layout layout(const struct clzi_call *c)
{
    const struct conv *s = c->priv;
    const int k = c->node->op == CLZI_OP_LINEAR ? 1 : c->node->attr.k;
    const int outer = c->node->op == CLZI_OP_CONVT ? c->xs[0].c : c->ys.c;

    if (s->depthwise) return (struct layout){ 1, c->ys.c, (int64_t)k * k };
    return (struct layout){ outer, (int)(weight_count(c) / outer / k / k), (int64_t)k * k };
}

static bool wants(const struct clzi_call *c, enum clzi_cuda_pass pass)
{
    return pass == CLZI_CUDA_FORWARD || (pass == CLZI_CUDA_INPUT_GRADIENT ? c->want_dx[0] : c->want_dw);
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

static int plan(struct clzi_call *c)
{
    const struct clzi_attr *a = &c->node->attr;
    const bool backward = c->want_dx[0] || c->want_dx[1] || c->want_dw;
    struct conv *s = c->priv = calloc(1, sizeof *s);
    struct clzi_device *dev = c->dev;
    struct clzi_dnn_target target = dev->target;
    size_t workspace = 0;
    int ret;

    if (!s) return -ENOMEM;
    target.log = dev->base.log;
    s->depthwise = clzi_cuda_is_depthwise(c->node, c->xs, c->ys);
    s->fused = clzi_cuda_is_fusible(c->node);
    s->window = (struct clzk_depthwise){ c->ys.c, c->xs[0].h, c->xs[0].w, c->ys.h, c->ys.w, a->k, a->stride, a->pad };
    for (int pass = 0; pass < CLZI_CUDA_PASS_COUNT; pass++) {
        struct clzi_dnn_conv_params problem;
        if (!wants(c, pass) || !clzi_cuda_conv_problem(c->node, c->xs, c->ys, dev->type, pass, &problem)) continue;
        if ((ret = clzi_dnn_conv_create(&s->plans[pass], &target, &problem, NULL)) < 0) return ret;
        s->planned[pass] = true;
        workspace = larger(workspace, s->plans[pass].workspace);
    }
    if (cudaMalloc(&s->weights, (size_t)weight_count(c) * (s->depthwise ? sizeof(float) : clzk_type_size(dev->type))) ||
        cudaMalloc(&s->bias, c->ys.c * sizeof(float))) {
        cudaGetLastError();                 // the caller may try again with less
        return -ENOMEM;
    }
    cudaMemsetAsync(s->bias, 0, c->ys.c * sizeof(float), dev->stream);
    c->backward_reads_x = c->want_dw;
    c->backward_reads_y = a->act != CLZI_ACT_NONE;
    if (backward) {
        s->dz_size = a->act ? clzi_cuda_aligned(clzi_cuda_bytes(dev, clzi_shape_count(c->ys))) : 0;
        s->dw_size = c->want_dw && !s->depthwise ? clzi_cuda_aligned(clzi_cuda_bytes(dev, weight_count(c))) : 0;
        if (c->want_dw && s->depthwise) workspace = larger(workspace, clzk_cu_depthwise_size(c->ys.n, &s->window));
        if (c->want_dw && a->bias) workspace = larger(workspace, clzk_cu_sums_size(1, clzi_cuda_pixels(c->ys), c->ys.c));
    }
    c->scratch_size = s->dz_size + s->dw_size + workspace;
    return 0;
}

static int refresh(struct clzi_call *c)
{
    struct conv *s = c->priv;
    const struct layout l = layout(c);
    const enum clzk_type type = s->depthwise ? CLZK_F32 : c->dev->type;
    int ret = clzk_cu_from_nchw(c->dev->stream, type, s->weights, c->w[0], l.outer, l.inner, l.area);

    if (!ret && c->node->attr.bias)
        ret = clzk_cu_cast(c->dev->stream, s->fused ? type : CLZK_F32, s->bias, CLZK_F32, c->w[1], c->ys.c);
    return clzi_cuda_error(c->dev, ret, "packing weights");
}

static int forward_depthwise(struct clzi_call *c)
{
    struct conv *s = c->priv;
    const bool residual = c->node->in_count == 2;
    const struct clzk_activation act = clzi_cuda_activation(c->node), none = { CLZK_ACT_NONE, 0 };
    int ret = clzk_cu_depthwise(c->dev->stream, c->dev->type, c->y, c->x[0], s->weights, s->bias, c->ys.n, &s->window,
                                residual ? none : act);

    if (!ret && residual) ret = clzk_cu_add(c->dev->stream, c->dev->type, c->y, c->y, c->x[1], clzi_shape_count(c->ys), act);
    return ret;
}

// What the plan has not done: bias of convt, activations but relu.
static int finish(struct clzi_call *c)
{
    struct conv *s = c->priv;
    const struct clzk_activation act = clzi_cuda_activation(c->node);

    if (!s->fused && c->node->attr.bias)
        return clzk_cu_channels(c->dev->stream, c->dev->type, c->y, c->y, clzi_cuda_pixels(c->ys), c->ys.c, NULL, s->bias, act);
    if (act.act == CLZK_ACT_NONE || (s->fused && act.act == CLZK_ACT_RELU)) return 0;
    return clzk_cu_act(c->dev->stream, c->dev->type, c->y, c->y, clzi_shape_count(c->ys), act);
}

static int forward(struct clzi_call *c)
{
    struct conv *s = c->priv;
    const bool transposed = c->node->op == CLZI_OP_CONVT;
    struct clzi_dnn_data data = {
        .x = transposed ? c->y : (void *)c->x[0], .y = transposed ? (void *)c->x[0] : c->y, .w = s->weights, .bias = s->bias,
        .residual = c->node->in_count == 2 ? (void *)c->x[1] : NULL, .workspace = c->scratch,
    };
    int ret;

    if (s->depthwise) return clzi_cuda_error(c->dev, forward_depthwise(c), c->node->name);
    ret = clzi_dnn_conv_run(&s->plans[CLZI_CUDA_FORWARD], c->dev->dnn, &data);
    return ret < 0 ? ret : clzi_cuda_error(c->dev, finish(c), c->node->name);
}

static int weight_gradient(struct clzi_call *c, const void *dz, void *dw, void *workspace)
{
    struct conv *s = c->priv;
    const bool transposed = c->node->op == CLZI_OP_CONVT;
    const struct layout l = layout(c);
    struct clzi_dnn_data data = {
        .x = (void *)(transposed ? dz : c->x[0]), .y = (void *)(transposed ? c->x[0] : dz), .w = dw, .workspace = workspace,
    };
    int ret;

    if (s->depthwise)
        return clzk_cu_depthwise_weights(c->dev->stream, c->dev->type, c->dw[0], c->x[0], dz, c->ys.n, &s->window, workspace);
    ret = clzi_dnn_conv_run(&s->plans[CLZI_CUDA_WEIGHT_GRADIENT], c->dev->dnn, &data);
    return ret ? ret : clzk_cu_to_nchw(c->dev->stream, c->dev->type, c->dw[0], dw, l.outer, l.inner, l.area, true);
}

static int input_gradient(struct clzi_call *c, const void *dz, void *workspace)
{
    struct conv *s = c->priv;
    const bool transposed = c->node->op == CLZI_OP_CONVT;
    struct clzi_dnn_data data = {
        .x = transposed ? (void *)dz : c->dx[0], .y = transposed ? c->dx[0] : (void *)dz, .w = s->weights, .workspace = workspace,
    };

    if (s->depthwise)
        return clzk_cu_depthwise_back(c->dev->stream, c->dev->type, c->dx[0], dz, s->weights, c->ys.n, &s->window);
    return clzi_dnn_conv_run(&s->plans[CLZI_CUDA_INPUT_GRADIENT], c->dev->dnn, &data);
}

static int backward(struct clzi_call *c)
{
    struct conv *s = c->priv;
    struct clzi_device *dev = c->dev;
    char *dw = (char *)c->scratch + s->dz_size, *workspace = dw + s->dw_size;
    const int64_t count = clzi_shape_count(c->ys);
    const void *dz = c->node->attr.act ? c->scratch : c->dy;
    int ret = 0;

    if (c->node->attr.act)
        ret = clzk_cu_act_back(dev->stream, dev->type, c->scratch, c->y, c->dy, count, clzi_cuda_activation(c->node));
    if (!ret && c->dx[1]) ret = clzk_cu_cast(dev->stream, dev->type, c->dx[1], dev->type, dz, count);
    if (!ret && c->dw[0]) ret = weight_gradient(c, dz, dw, workspace);
    if (!ret && c->dw[1])
        ret = clzk_cu_bias_back(dev->stream, dev->type, c->dw[1], dz, clzi_cuda_pixels(c->ys), c->ys.c, workspace);
    if (!ret && c->dx[0]) ret = input_gradient(c, dz, workspace);
    return ret < 0 ? ret : clzi_cuda_error(dev, ret, c->node->name);
}

const struct clzi_op clzi_cuda_conv = {
    .plan = plan, .forward = forward, .backward = backward, .destroy = destroy, .refresh = refresh,
};
