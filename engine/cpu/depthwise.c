// depthwise.c - conv whose groups are its channels: every channel has a window of its own. The work is bound by memory; our own
// kernels read channels-last rows as whole registers of channels and apply bias, relu and relu6 before the one store.
//
//     y[o] = act(sum over taps of x[o stride - pad + tap] w[tap] + bias)
//     dx:  at stride 1 the same convolution of dz with the taps in reverse order and pad k - 1 - pad, else a gather
//     dw[tap] = sum over images, rows and columns of dz[o] x[o stride - pad + tap], in pieces that depend on the shape alone
//
// avgpool is the same with weights 1 / k^2.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"

enum { PIECES = 64 };                       // of the sum over rows in dw

struct depthwise {
    struct clzi_cpu_conv_base base;
    struct clzk_depthwise forth, back;      // back: dx as a convolution of dz, where stride is 1
    float *weights, *reversed;              // [k * k][channels]
    size_t dz_size, bias_size;              // in the scratch of backward()
};

bool clzi_cpu_is_depthwise(const struct clzi_call *c)
{
    const int groups = c->node->attr.groups;
    return groups > 1 && groups == c->xs[0].c && groups == c->ys.c;
}

static size_t aligned(size_t size) { return (size + 127) / 128 * 128; }
static int pieces(const struct clzi_call *c) { return c->ys.n * c->ys.h < PIECES ? c->ys.n * c->ys.h : PIECES; }
static int taps(const struct clzi_call *c) { return c->node->attr.k * c->node->attr.k; }
static size_t weights_size(const struct clzi_call *c) { return aligned((size_t)taps(c) * c->ys.c * sizeof(float)); }

static void destroy(struct clzi_call *c)
{
    struct depthwise *s = c->priv;

    c->priv = NULL;
    if (!s) return;
    free(s->weights);
    free(s->reversed);
    free(s);
}

static int create(struct clzi_call *c)
{
    const struct clzi_attr *a = &c->node->attr;
    const struct clzi_shape x = c->xs[0], y = c->ys;
    struct depthwise *s = c->priv = calloc(1, sizeof *s);

    if (!s) return -ENOMEM;
    s->base.op = &clzi_cpu_conv_depthwise;
    s->forth = (struct clzk_depthwise){ y.c, x.h, x.w, y.h, y.w, a->k, a->stride, a->pad };
    s->back = (struct clzk_depthwise){ y.c, y.h, y.w, x.h, x.w, a->k, 1, a->k - 1 - a->pad };
    s->weights = aligned_alloc(128, weights_size(c));
    if (a->stride == 1 && c->want_dx[0]) s->reversed = aligned_alloc(128, weights_size(c));
    return !s->weights || (a->stride == 1 && c->want_dx[0] && !s->reversed) ? -ENOMEM : 0;
}

static int plan(struct clzi_call *c)
{
    const struct clzi_attr *a = &c->node->attr;
    const struct clzi_shape y = c->ys;
    const int ret = create(c);
    struct depthwise *s = c->priv;
    size_t sums;

    if (ret < 0) return ret;
    c->backward_reads_x = c->want_dw;
    c->backward_reads_y = a->act != CLZI_ACT_NONE;
    if (!c->want_dx[0] && !c->want_dx[1] && !c->want_dw) return 0;
    s->dz_size = a->act ? aligned((size_t)clzi_shape_count(y) * c->dev->nn->element) : 0;
    s->bias_size = a->bias ? aligned(y.c * sizeof(float)) : 0;
    sums = c->want_dw ? (size_t)pieces(c) * weights_size(c) : 0;
    if (a->bias && clzi_cpu_sum_scratch(y) > sums) sums = clzi_cpu_sum_scratch(y);
    c->scratch_size = s->dz_size + s->bias_size + sums + 1;     // not 0: backward() adds offsets to the pointer
    return 0;
}

// Dense [channels][1][k][k] into [k * k][channels].
static int refresh(struct clzi_call *c)
{
    struct depthwise *s = c->priv;
    const int area = taps(c), channels = c->ys.c;

    for (int i = 0; i < channels; i++)
        for (int tap = 0; tap < area; tap++) {
            s->weights[tap * channels + i] = c->w[0][i * area + tap];
            if (s->reversed) s->reversed[(area - 1 - tap) * channels + i] = c->w[0][i * area + tap];
        }
    return 0;
}

static int64_t in_image(const struct clzk_depthwise *p) { return (int64_t)p->h * p->w * p->channels; }         // elements
static int64_t out_image(const struct clzk_depthwise *p) { return (int64_t)p->oh * p->ow * p->channels; }

static void convolve(struct clzi_call *c, const struct clzk_depthwise *p, void *y, const void *x, const float *w,
                     const float *bias, struct clzk_activation act)
{
    struct clzi_device *dev = c->dev;
    const int64_t rows = (int64_t)c->ys.n * p->oh, size = (int64_t)p->ow * p->channels;

#pragma omp parallel for schedule(static) if (rows * size > CLZI_CPU_PIECE)
    for (int64_t row = 0; row < rows; row++)
        dev->nn->depthwise(clzi_cpu_to(dev, y, row * size), clzi_cpu_at(dev, x, row / p->oh * in_image(p)), w, bias, p,
                           (int)(row % p->oh), act);
}

static int forward(struct clzi_call *c)
{
    struct depthwise *s = c->priv;
    const bool residual = c->node->in_count == 2;
    const struct clzk_activation act = clzi_cpu_activation(c->node), none = { CLZK_ACT_NONE, 0 };

    clzi_cpu_enter(c->dev);
    convolve(c, &s->forth, c->y, c->x[0], s->weights, c->node->attr.bias ? c->w[1] : NULL, residual ? none : act);
    if (residual) clzi_cpu_add(c->dev, c->y, c->y, c->x[1], clzi_shape_count(c->ys), act);
    return 0;
}

static void gradient_of_x(struct clzi_call *c, struct depthwise *s, const void *dz)
{
    struct clzi_device *dev = c->dev;
    const struct clzk_depthwise *p = &s->forth;
    const int64_t rows = (int64_t)c->ys.n * p->h, size = (int64_t)p->w * p->channels;

    if (s->reversed) {
        convolve(c, &s->back, c->dx[0], dz, s->reversed, NULL, (struct clzk_activation){ CLZK_ACT_NONE, 0 });
        return;
    }
#pragma omp parallel for schedule(static) if (rows * size > CLZI_CPU_PIECE)
    for (int64_t row = 0; row < rows; row++)
        dev->nn->depthwise_back(clzi_cpu_to(dev, c->dx[0], row * size), clzi_cpu_at(dev, dz, row / p->h * out_image(p)),
                                s->weights, p, (int)(row % p->h));
}

static void gradient_of_weights(struct clzi_call *c, struct depthwise *s, const void *dz, char *sums)
{
    struct clzi_device *dev = c->dev;
    const struct clzk_depthwise *p = &s->forth;
    const int64_t rows = (int64_t)c->ys.n * p->oh;
    const int count = pieces(c), area = taps(c), channels = p->channels;

#pragma omp parallel for schedule(static)
    for (int piece = 0; piece < count; piece++) {
        float *sum = (float *)(sums + piece * weights_size(c));
        memset(sum, 0, weights_size(c));
        for (int64_t row = rows * piece / count; row < rows * (piece + 1) / count; row++)
            dev->nn->depthwise_weights(sum, clzi_cpu_at(dev, c->x[0], row / p->oh * in_image(p)),
                                       clzi_cpu_at(dev, dz, row / p->oh * out_image(p)), p, (int)(row % p->oh));
    }
#pragma omp parallel for schedule(static)
    for (int tap = 0; tap < area; tap++)
        for (int i = 0; i < channels; i++) {
            double sum = 0;
            for (int piece = 0; piece < count; piece++)
                sum += ((float *)(sums + piece * weights_size(c)))[tap * channels + i];
            c->dw[0][i * area + tap] += (float)sum;
        }
}

static int backward(struct clzi_call *c)
{
    struct depthwise *s = c->priv;
    struct clzi_device *dev = c->dev;
    char *scratch = c->scratch;
    float *bias = (float *)(scratch + s->dz_size);
    const int64_t count = clzi_shape_count(c->ys);
    const void *dz = c->dy;

    clzi_cpu_enter(dev);
    if (c->node->attr.act) {
        clzi_cpu_act_back(dev, scratch, c->y, c->dy, count, clzi_cpu_activation(c->node));
        dz = scratch;
    }
    scratch += s->dz_size + s->bias_size;
    if (c->node->in_count == 2 && c->dx[1]) clzi_cpu_copy(dev, c->dx[1], dz, count);
    if (c->dw[0]) gradient_of_weights(c, s, dz, scratch);
    if (c->node->attr.bias && c->dw[1]) {
        clzi_cpu_sum(dev, bias, dz, c->ys, scratch);
        dev->vectors->add(c->dw[1], bias, c->ys.c);
    }
    if (c->dx[0]) gradient_of_x(c, s, dz);
    return 0;
}

const struct clzi_op clzi_cpu_conv_depthwise = {
    .plan = plan, .forward = forward, .backward = backward, .destroy = destroy, .refresh = refresh,
};

// ---- avgpool ----

static int avgpool_plan(struct clzi_call *c)
{
    const int ret = create(c), area = taps(c);
    struct depthwise *s = c->priv;

    for (int i = 0; ret >= 0 && i < area * c->ys.c; i++) {
        s->weights[i] = 1.f / area;
        if (s->reversed) s->reversed[i] = 1.f / area;
    }
    return ret;
}

static int avgpool_forward(struct clzi_call *c)
{
    const struct depthwise *s = c->priv;

    clzi_cpu_enter(c->dev);
    convolve(c, &s->forth, c->y, c->x[0], s->weights, NULL, (struct clzk_activation){ CLZK_ACT_NONE, 0 });
    return 0;
}

static int avgpool_backward(struct clzi_call *c)
{
    clzi_cpu_enter(c->dev);
    if (c->dx[0]) gradient_of_x(c, c->priv, c->dy);
    return 0;
}

const struct clzi_op clzi_cpu_avgpool = {
    .plan = avgpool_plan, .forward = avgpool_forward, .backward = avgpool_backward, .destroy = destroy,
};
