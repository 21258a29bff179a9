// maxpool.c - the maximum of each window. For backward, `saved` keeps the index of the maximum within its window.
#include "cpu.h"

static struct clzk_pool pool(const struct clzi_call *c)
{
    const struct clzi_attr *a = &c->node->attr;
    return (struct clzk_pool){ c->ys.c, c->xs[0].h, c->xs[0].w, c->ys.h, c->ys.w, a->k, a->stride, a->pad };
}

static int plan(struct clzi_call *c)
{
    c->saved_size = c->want_dx[0] ? (size_t)clzi_shape_count(c->ys) : 0;
    return 0;
}

static int forward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const struct clzk_pool p = pool(c);
    const int64_t rows = (int64_t)c->ys.n * p.oh, image = (int64_t)p.h * p.w * p.channels, size = (int64_t)p.ow * p.channels;

    clzi_cpu_enter(dev);
#pragma omp parallel for schedule(static) if (rows * size > CLZI_CPU_PIECE)
    for (int64_t row = 0; row < rows; row++)
        dev->nn->maxpool(clzi_cpu_to(dev, c->y, row * size), c->want_dx[0] ? (uint8_t *)c->saved + row * size : NULL,
                         clzi_cpu_at(dev, c->x[0], row / p.oh * image), &p, (int)(row % p.oh));
    return 0;
}

static int backward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const struct clzk_pool p = pool(c);
    const int64_t rows = (int64_t)c->ys.n * p.h, image = (int64_t)p.oh * p.ow * p.channels, size = (int64_t)p.w * p.channels;

    if (!c->dx[0]) return 0;
    clzi_cpu_enter(dev);
#pragma omp parallel for schedule(static) if (rows * size > CLZI_CPU_PIECE)
    for (int64_t row = 0; row < rows; row++)
        dev->nn->maxpool_back(clzi_cpu_to(dev, c->dx[0], row * size), (const uint8_t *)c->saved + row / p.h * image,
                              clzi_cpu_at(dev, c->dy, row / p.h * image), &p, (int)(row % p.h));
    return 0;
}

const struct clzi_op clzi_cpu_maxpool = { .plan = plan, .forward = forward, .backward = backward };
