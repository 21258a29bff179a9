// moving.c - ops that only copy elements to other places: concat, shuffle (PixelShuffle). Backward copies them back.
#include "cpu.h"

// ---- concat: each output pixel holds the channels of x[0], then those of x[1] ----

// Copies between a tensor of `channels` channels (part) and the channels from `offset` on of the concatenation (whole).
static void copy_channels(struct clzi_call *c, void *to, const void *from, int channels, int64_t offset, bool from_whole)
{
    struct clzi_device *dev = c->dev;
    const int64_t rows = (int64_t)c->ys.n * c->ys.h;
    const int w = c->ys.w, whole = c->ys.c;

#pragma omp parallel for schedule(static) if (rows * w * whole > CLZI_CPU_PIECE)
    for (int64_t row = 0; row < rows; row++) {
        const int64_t part_at = row * w * channels, whole_at = row * w * whole + offset;
        if (from_whole)
            dev->nn->copy(clzi_cpu_to(dev, to, part_at), channels, clzi_cpu_at(dev, from, whole_at), whole, channels, w);
        else
            dev->nn->copy(clzi_cpu_to(dev, to, whole_at), whole, clzi_cpu_at(dev, from, part_at), channels, channels, w);
    }
}

static int concat_forward(struct clzi_call *c)
{
    clzi_cpu_enter(c->dev);
    copy_channels(c, c->y, c->x[0], c->xs[0].c, 0, false);
    copy_channels(c, c->y, c->x[1], c->xs[1].c, c->xs[0].c, false);
    return 0;
}

static int concat_backward(struct clzi_call *c)
{
    clzi_cpu_enter(c->dev);
    if (c->dx[0]) copy_channels(c, c->dx[0], c->dy, c->xs[0].c, 0, true);
    if (c->dx[1]) copy_channels(c, c->dx[1], c->dy, c->xs[1].c, c->xs[0].c, true);
    return 0;
}

const struct clzi_op clzi_cpu_concat = { .forward = concat_forward, .backward = concat_backward };

// ---- shuffle: [c f^2, h, w] to [c, h f, w f] ----

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

const struct clzi_op clzi_cpu_shuffle = { .forward = shuffle_forward, .backward = shuffle_backward };
