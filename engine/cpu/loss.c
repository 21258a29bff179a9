// loss.c - losses: one f32 number each. Sums are taken in pieces that depend on the shape alone and added in order, in double.
#include <math.h>

#include "cpu.h"

static struct clzk_loss loss_of(const struct clzi_node *node)
{
    static const enum clzk_loss_kind kinds[CLZI_OP_COUNT] = {
        [CLZI_OP_L1] = CLZK_LOSS_L1, [CLZI_OP_L2] = CLZK_LOSS_L2, [CLZI_OP_BCE] = CLZK_LOSS_BCE, [CLZI_OP_LSGAN] = CLZK_LOSS_L2,
        [CLZI_OP_HINGE] = CLZK_LOSS_HINGE, [CLZI_OP_NEGMEAN] = CLZK_LOSS_NEGMEAN,
    };
    return (struct clzk_loss){ kinds[node->op], node->attr.target };
}

// Pixels of a piece, and how many pieces.
enum { PIXELS = 4096 };
static int64_t pixels(const struct clzi_call *c) { return (int64_t)c->xs[0].n * c->xs[0].h * c->xs[0].w; }
static int64_t pieces(int64_t count) { return (count + PIXELS - 1) / PIXELS; }
static int64_t piece(int64_t count, int64_t i) { return count - i * PIXELS < PIXELS ? count - i * PIXELS : PIXELS; }

static const void *part(const struct clzi_call *c, int input, int64_t i)
{
    return c->node->in_count > input ? clzi_cpu_at(c->dev, c->x[input], i * PIXELS * c->xs[input].c) : NULL;
}

static int plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    c->scratch_size = (size_t)pieces(pixels(c)) * sizeof(double);
    return 0;
}

static int forward(struct clzi_call *c)
{
    const struct clzk_loss loss = loss_of(c->node);
    const int64_t count = pixels(c);
    double *sums = c->scratch, sum = 0;

    clzi_cpu_enter(c->dev);
#pragma omp parallel for schedule(static) if (count > PIXELS)
    for (int64_t i = 0; i < pieces(count); i++)
        sums[i] = c->dev->nn->loss(part(c, 0, i), part(c, 1, i), part(c, 2, i), piece(count, i), c->xs[0].c, loss);
    for (int64_t i = 0; i < pieces(count); i++) sum += sums[i];
    *(float *)c->y = (float)(sum / (count * c->xs[0].c));
    return 0;
}

static int backward(struct clzi_call *c)
{
    const struct clzk_loss loss = loss_of(c->node);
    const int64_t count = pixels(c);
    const float scale = (float)(*(const float *)c->dy / ((double)count * c->xs[0].c));

    if (!c->dx[0]) return 0;
    clzi_cpu_enter(c->dev);
#pragma omp parallel for schedule(static) if (count > PIXELS)
    for (int64_t i = 0; i < pieces(count); i++)
        c->dev->nn->loss_back(clzi_cpu_to(c->dev, c->dx[0], i * PIXELS * c->xs[0].c), part(c, 0, i), part(c, 1, i), part(c, 2, i),
                              piece(count, i), c->xs[0].c, loss, scale);
    return 0;
}

const struct clzi_op clzi_cpu_loss = { .plan = plan, .forward = forward, .backward = backward };

// ---- chroma: mean over pictures of |mean chroma of pred - mean chroma of target|; one picture a thread ----

static int chroma_plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    c->saved_size = (size_t)c->xs[0].n * sizeof(double);
    return 0;
}

static int chroma_forward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->xs[0].h * c->xs[0].w;
    const float eps = (float)CLZI_CHROMA_EPS;
    double *difference = c->saved, sum = 0;

    clzi_cpu_enter(c->dev);
#pragma omp parallel for schedule(static) if (c->xs[0].n > 1)
    for (int n = 0; n < c->xs[0].n; n++)
        difference[n] = (c->dev->nn->chroma(clzi_cpu_at(c->dev, c->x[0], 2 * n * area), area, eps) -
                         c->dev->nn->chroma(clzi_cpu_at(c->dev, c->x[1], 2 * n * area), area, eps)) / area;
    for (int n = 0; n < c->xs[0].n; n++) sum += fabs(difference[n]);
    *(float *)c->y = (float)(sum / c->xs[0].n);
    return 0;
}

static int chroma_backward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->xs[0].h * c->xs[0].w;
    const double *difference = c->saved, scale = *(const float *)c->dy / ((double)area * c->xs[0].n);

    if (!c->dx[0]) return 0;
    clzi_cpu_enter(c->dev);
#pragma omp parallel for schedule(static) if (c->xs[0].n > 1)
    for (int n = 0; n < c->xs[0].n; n++)
        c->dev->nn->chroma_back(clzi_cpu_to(c->dev, c->dx[0], 2 * n * area), clzi_cpu_at(c->dev, c->x[0], 2 * n * area), area,
                                (float)CLZI_CHROMA_EPS, (float)(scale * ((difference[n] > 0) - (difference[n] < 0))));
    return 0;
}

const struct clzi_op clzi_cpu_chroma = { .plan = chroma_plan, .forward = chroma_forward, .backward = chroma_backward };
