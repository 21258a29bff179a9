// pointwise.c - ops whose result depends on one element or one pixel: act, add, clamp, softmax, dropout.
#include <omp.h>
#include <string.h>

#include "cpu.h"
#include "kernels/dropout.h"

// Executes `call` for each piece of `count` elements, with `at` its first element and `some` the number of its elements.
#define FOR_PIECES(count, call)                                                                                     \
    _Pragma("omp parallel for schedule(static) if (count > CLZI_CPU_PIECE)")                                        \
    for (int64_t i = 0; i < clzi_cpu_pieces(count); i++) {                                                          \
        const int64_t at = i * CLZI_CPU_PIECE, some = clzi_cpu_piece(count, i);                                     \
        call;                                                                                                       \
    }
#define AT(x) clzi_cpu_at(dev, x, at)
#define TO(y) clzi_cpu_to(dev, y, at)

void clzi_cpu_act(struct clzi_device *dev, void *y, const void *x, int64_t count, struct clzk_activation act)
{
    FOR_PIECES(count, dev->nn->act(TO(y), AT(x), some, act))
}

void clzi_cpu_act_back(struct clzi_device *dev, void *dx, const void *y, const void *dy, int64_t count,
                       struct clzk_activation act)
{
    FOR_PIECES(count, dev->nn->act_back(TO(dx), AT(y), AT(dy), some, act))
}

void clzi_cpu_add(struct clzi_device *dev, void *y, const void *a, const void *b, int64_t count, struct clzk_activation act)
{
    FOR_PIECES(count, dev->nn->add(TO(y), AT(a), AT(b), some, act))
}

void clzi_cpu_copy(struct clzi_device *dev, void *y, const void *x, int64_t count)
{
    FOR_PIECES(count, memcpy(TO(y), AT(x), (size_t)some * dev->nn->element))
}

// ---- act ----

static int act_plan(struct clzi_call *c)
{
    c->backward_reads_y = true;
    return 0;
}

static int act_forward(struct clzi_call *c)
{
    clzi_cpu_enter(c->dev);
    clzi_cpu_act(c->dev, c->y, c->x[0], clzi_shape_count(c->ys), clzi_cpu_activation(c->node));
    return 0;
}

static int act_backward(struct clzi_call *c)
{
    clzi_cpu_enter(c->dev);
    if (c->dx[0]) clzi_cpu_act_back(c->dev, c->dx[0], c->y, c->dy, clzi_shape_count(c->ys), clzi_cpu_activation(c->node));
    return 0;
}

const struct clzi_op clzi_cpu_act_op = { .plan = act_plan, .forward = act_forward, .backward = act_backward };

// ---- add ----

static int add_plan(struct clzi_call *c)
{
    c->backward_reads_y = c->node->attr.act != CLZI_ACT_NONE;
    return 0;
}

static int add_forward(struct clzi_call *c)
{
    clzi_cpu_enter(c->dev);
    clzi_cpu_add(c->dev, c->y, c->x[0], c->x[1], clzi_shape_count(c->ys), clzi_cpu_activation(c->node));
    return 0;
}

static int add_backward(struct clzi_call *c)
{
    const int64_t count = clzi_shape_count(c->ys);
    clzi_cpu_enter(c->dev);
    for (int k = 0; k < 2; k++) {
        if (!c->dx[k]) continue;
        if (c->node->attr.act)
            clzi_cpu_act_back(c->dev, c->dx[k], c->y, c->dy, count, clzi_cpu_activation(c->node));
        else
            clzi_cpu_copy(c->dev, c->dx[k], c->dy, count);
    }
    return 0;
}

const struct clzi_op clzi_cpu_add_op = { .plan = add_plan, .forward = add_forward, .backward = add_backward };

// ---- clamp ----

static int clamp_plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    return 0;
}

static int clamp_forward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const int64_t count = clzi_shape_count(c->ys);
    clzi_cpu_enter(dev);
    FOR_PIECES(count, dev->nn->clamp(TO(c->y), AT(c->x[0]), some, c->node->attr.scale))
    return 0;
}

static int clamp_backward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const int64_t count = clzi_shape_count(c->ys);
    if (!c->dx[0]) return 0;
    clzi_cpu_enter(dev);
    FOR_PIECES(count, dev->nn->clamp_back(TO(c->dx[0]), AT(c->x[0]), AT(c->dy), some, c->node->attr.scale))
    return 0;
}

const struct clzi_op clzi_cpu_clamp = { .plan = clamp_plan, .forward = clamp_forward, .backward = clamp_backward };

// ---- softmax ----

static int softmax_plan(struct clzi_call *c)
{
    c->backward_reads_y = true;
    return 0;
}

static int softmax_forward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const int64_t rows = (int64_t)c->ys.n * c->ys.h;
    const int channels = c->ys.c;
    clzi_cpu_enter(dev);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const int64_t at = row * c->ys.w * channels;
        dev->nn->softmax(TO(c->y), AT(c->x[0]), c->ys.w, channels, c->node->attr.scale);
    }
    return 0;
}

static int softmax_backward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const int64_t rows = (int64_t)c->ys.n * c->ys.h;
    const int channels = c->ys.c;
    if (!c->dx[0]) return 0;
    clzi_cpu_enter(dev);
#pragma omp parallel for schedule(static)
    for (int64_t row = 0; row < rows; row++) {
        const int64_t at = row * c->ys.w * channels;
        dev->nn->softmax_back(TO(c->dx[0]), AT(c->y), AT(c->dy), c->ys.w, channels, c->node->attr.scale);
    }
    return 0;
}

const struct clzi_op clzi_cpu_softmax = { .plan = softmax_plan, .forward = softmax_forward, .backward = softmax_backward };

// ---- dropout: the mask is defined on dense NCHW (kernels/dropout.h) and computed for DROPOUT_PIXELS pixels at a time ----

enum { DROPOUT_PIXELS = 64 };

static int dropout_plan(struct clzi_call *c)
{
    c->scratch_size = (size_t)c->dev->base.threads * DROPOUT_PIXELS * c->ys.c;
    return 0;
}

static void dropout_mask(const struct clzi_call *c, uint8_t *keep, int image, int64_t pixel, int count)
{
    const uint32_t threshold = clzk_dropout_threshold(c->node->attr.p);
    const uint64_t stream = clzk_dropout_stream(c->node->name);
    const int64_t area = (int64_t)c->ys.h * c->ys.w;

    for (int k = 0; k < c->ys.c; k++) {
        const int64_t first = ((int64_t)image * c->ys.c + k) * area + pixel;
        for (int64_t block = first / 4; block <= (first + count - 1) / 4; block++) {
            uint32_t words[4];
            clzk_dropout_block(*c->seed, stream, block, words);
            for (int i = 0; i < 4; i++) {
                const int64_t at = block * 4 + i - first;
                if (at >= 0 && at < count) keep[at * c->ys.c + k] = words[i] >= threshold;
            }
        }
    }
}

static int dropout(struct clzi_call *c, void *y, const void *x)
{
    struct clzi_device *dev = c->dev;
    const int64_t area = (int64_t)c->ys.h * c->ys.w, pieces = (area + DROPOUT_PIXELS - 1) / DROPOUT_PIXELS;
    const float scale = (float)(1 / (1 - (double)c->node->attr.p));

    clzi_cpu_enter(dev);
    if (!c->training) {
        clzi_cpu_copy(dev, y, x, clzi_shape_count(c->ys));
        return 0;
    }
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < c->ys.n * pieces; i++) {
        const int64_t pixel = i % pieces * DROPOUT_PIXELS, at = (i / pieces * area + pixel) * c->ys.c;
        const int count = area - pixel < DROPOUT_PIXELS ? (int)(area - pixel) : DROPOUT_PIXELS;
        uint8_t *keep = (uint8_t *)c->scratch + (size_t)omp_get_thread_num() * DROPOUT_PIXELS * c->ys.c;
        dropout_mask(c, keep, (int)(i / pieces), pixel, count);
        dev->nn->dropout(TO(y), AT(x), keep, scale, (int64_t)count * c->ys.c);
    }
    return 0;
}

static int dropout_forward(struct clzi_call *c) { return dropout(c, c->y, c->x[0]); }
static int dropout_backward(struct clzi_call *c) { return c->dx[0] ? dropout(c, c->dx[0], c->dy) : 0; }

const struct clzi_op clzi_cpu_dropout = { .plan = dropout_plan, .forward = dropout_forward, .backward = dropout_backward };
