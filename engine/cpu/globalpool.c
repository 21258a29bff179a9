// globalpool.c - mean of each plane, to [N,C,1,1].
#include "cpu.h"

static struct clzi_shape image(const struct clzi_call *c)
{
    return (struct clzi_shape){ 1, c->xs[0].c, c->xs[0].h, c->xs[0].w };
}

// scratch: one number per channel, then what sums need
static int plan(struct clzi_call *c)
{
    c->scratch_size = c->ys.c * sizeof(double) + clzi_cpu_sum_scratch(image(c));
    return 0;
}

static int forward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const struct clzi_shape s = image(c);
    const float area = (float)s.h * s.w;
    float *mean = c->scratch;

    clzi_cpu_enter(dev);
    for (int n = 0; n < c->ys.n; n++) {
        clzi_cpu_sum(dev, mean, clzi_cpu_at(dev, c->x[0], n * clzi_shape_count(s)), s, (double *)c->scratch + s.c);
        for (int i = 0; i < s.c; i++) mean[i] /= area;
        dev->nn->from_f32(clzi_cpu_to(dev, c->y, (int64_t)n * s.c), mean, s.c);
    }
    return 0;
}

static int backward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const struct clzi_shape s = image(c);
    const float area = (float)s.h * s.w;
    float *share = c->scratch;
    void *share_t = (double *)c->scratch + s.c;         // the same as elements of tensors

    if (!c->dx[0]) return 0;
    clzi_cpu_enter(dev);
    for (int n = 0; n < c->ys.n; n++) {
        dev->nn->to_f32(share, clzi_cpu_at(dev, c->dy, (int64_t)n * s.c), s.c);
        for (int i = 0; i < s.c; i++) share[i] /= area;
        dev->nn->from_f32(share_t, share, s.c);
#pragma omp parallel for schedule(static) if (clzi_shape_count(s) > CLZI_CPU_PIECE)
        for (int y = 0; y < s.h; y++)
            dev->nn->copy(clzi_cpu_to(dev, c->dx[0], ((int64_t)n * s.h + y) * s.w * s.c), s.c, share_t, 0, s.c, s.w);
    }
    return 0;
}

const struct clzi_op clzi_cpu_globalpool = { .plan = plan, .forward = forward, .backward = backward };
