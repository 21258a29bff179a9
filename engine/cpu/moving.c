// moving.c - ops that only move elements: concat, shuffle. Their gradients move them back.
#include "cpu.h"

// ---- concat: of each pixel first a's channels, then b's ----

static void interleave(struct clzi_call *c, void *y, const void *x, int x_channels, int64_t y_offset, bool gather)
{
    struct clzi_device *dev = c->dev;
    const int64_t rows = (int64_t)c->ys.n * c->ys.h;
    const int w = c->ys.w, wide = c->ys.c;

#pragma omp parallel for schedule(static) if (rows * w * wide > CLZI_CPU_PIECE)
    for (int64_t row = 0; row < rows; row++) {
        const int64_t narrow_at = row * w * x_channels, wide_at = row * w * wide + y_offset;
        if (gather)
            dev->nn->copy(clzi_cpu_to(dev, y, narrow_at), x_channels, clzi_cpu_at(dev, x, wide_at), wide, x_channels, w);
        else
            dev->nn->copy(clzi_cpu_to(dev, y, wide_at), wide, clzi_cpu_at(dev, x, narrow_at), x_channels, x_channels, w);
    }
}

static int concat_forward(struct clzi_call *c)
{
    clzi_cpu_enter(c->dev);
    interleave(c, c->y, c->x[0], c->xs[0].c, 0, false);
    interleave(c, c->y, c->x[1], c->xs[1].c, c->xs[0].c, false);
    return 0;
}

static int concat_backward(struct clzi_call *c)
{
    clzi_cpu_enter(c->dev);
    if (c->dx[0]) interleave(c, c->dx[0], c->dy, c->xs[0].c, 0, true);
    if (c->dx[1]) interleave(c, c->dx[1], c->dy, c->xs[1].c, c->xs[0].c, true);
    return 0;
}

const struct clzi_op clzi_cpu_concat = { NULL, concat_forward, concat_backward, NULL };

// ---- shuffle ----

static int shuffle_forward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const struct clzi_shape x = c->xs[0];
    const int factor = c->node->attr.factor;
    const int64_t rows = (int64_t)x.n * x.h, size = (int64_t)x.w * x.c;

    clzi_cpu_enter(dev);
#pragma omp parallel for schedule(static) if (rows * size > CLZI_CPU_PIECE)
    for (int64_t row = 0; row < rows; row++)
        dev->nn->shuffle(clzi_cpu_to(dev, c->y, row * size), size / factor, clzi_cpu_at(dev, c->x[0], row * size), x.w, c->ys.c,
                         factor);
    return 0;
}

static int shuffle_backward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const struct clzi_shape x = c->xs[0];
    const int factor = c->node->attr.factor;
    const int64_t rows = (int64_t)x.n * x.h, size = (int64_t)x.w * x.c;

    if (!c->dx[0]) return 0;
    clzi_cpu_enter(dev);
#pragma omp parallel for schedule(static) if (rows * size > CLZI_CPU_PIECE)
    for (int64_t row = 0; row < rows; row++)
        dev->nn->unshuffle(clzi_cpu_to(dev, c->dx[0], row * size), clzi_cpu_at(dev, c->dy, row * size), size / factor, x.w,
                           c->ys.c, factor);
    return 0;
}

const struct clzi_op clzi_cpu_shuffle = { NULL, shuffle_forward, shuffle_backward, NULL };
