// ab_bins.c - ops on the logits of the classes of colour. A row of 313 logits is a pixel.
#include "cpu.h"

enum { PIXELS = 256 };                      // of a piece
static int64_t pixels(const struct clzi_call *c) { return (int64_t)c->xs[0].n * c->xs[0].h * c->xs[0].w; }
static int64_t pieces(int64_t count) { return (count + PIXELS - 1) / PIXELS; }
static int64_t piece(int64_t count, int64_t i) { return count - i * PIXELS < PIXELS ? count - i * PIXELS : PIXELS; }

// Piece i of input k.
static const void *part(const struct clzi_call *c, int k, int64_t i)
{
    return c->node->in_count > k ? clzi_cpu_at(c->dev, c->x[k], i * PIXELS * c->xs[k].c) : NULL;
}

static void *gradient(const struct clzi_call *c, int64_t i)
{
    return clzi_cpu_to(c->dev, c->dx[0], i * PIXELS * CLZK_AB_BINS);
}

static int mean_plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    return 0;
}

static int mean_forward(struct clzi_call *c)
{
    const int64_t count = pixels(c);
    struct clzk_ab_colours colours;

    clzk_ab_colours_make(&colours);
    clzi_cpu_enter(c->dev);
#pragma omp parallel for schedule(static) if (count > PIXELS)
    for (int64_t i = 0; i < pieces(count); i++)
        c->dev->nn->annealed_mean(clzi_cpu_to(c->dev, c->y, 2 * i * PIXELS), part(c, 0, i), piece(count, i), &colours,
                                  c->node->attr.scale);
    return 0;
}

static int mean_backward(struct clzi_call *c)
{
    const int64_t count = pixels(c);
    struct clzk_ab_colours colours;

    if (!c->dx[0]) return 0;
    clzk_ab_colours_make(&colours);
    clzi_cpu_enter(c->dev);
#pragma omp parallel for schedule(static) if (count > PIXELS)
    for (int64_t i = 0; i < pieces(count); i++)
        c->dev->nn->annealed_mean_back(gradient(c, i), part(c, 0, i), clzi_cpu_at(c->dev, c->dy, 2 * i * PIXELS),
                                       piece(count, i), &colours, c->node->attr.scale);
    return 0;
}

const struct clzi_op clzi_cpu_annealed_mean = { .plan = mean_plan, .forward = mean_forward, .backward = mean_backward };

// ---- cross entropy: the sums of pieces are added in order ----

static int entropy_plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    c->scratch_size = (size_t)pieces(pixels(c)) * sizeof(double);
    return 0;
}

static int entropy_forward(struct clzi_call *c)
{
    const int64_t count = pixels(c);
    double *sums = c->scratch, sum = 0;

    clzi_cpu_enter(c->dev);
#pragma omp parallel for schedule(static) if (count > PIXELS)
    for (int64_t i = 0; i < pieces(count); i++)
        sums[i] = c->dev->nn->cross_entropy(part(c, 0, i), part(c, 1, i), part(c, 2, i), piece(count, i));
    for (int64_t i = 0; i < pieces(count); i++) sum += sums[i];
    *(float *)c->y = (float)(sum / count);
    return 0;
}

static int entropy_backward(struct clzi_call *c)
{
    const int64_t count = pixels(c);
    const float scale = (float)(*(const float *)c->dy / (double)count);

    if (!c->dx[0]) return 0;
    clzi_cpu_enter(c->dev);
#pragma omp parallel for schedule(static) if (count > PIXELS)
    for (int64_t i = 0; i < pieces(count); i++)
        c->dev->nn->cross_entropy_back(gradient(c, i), part(c, 0, i), part(c, 1, i), part(c, 2, i), piece(count, i), scale);
    return 0;
}

const struct clzi_op clzi_cpu_cross_entropy = { .plan = entropy_plan, .forward = entropy_forward, .backward = entropy_backward };
