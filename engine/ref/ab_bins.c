// ab_bins.c - ops on the logits z of the classes of colour (kernels/ab_bins.h).
//
// annealed_mean: ab = sum over classes of softmax(scale z) times the class's colour; scale is 1/T, the temperature (Zhang et al.
//   2016, eq. 5). dz = scale p ((colour - ab) . dy)
// cross_entropy: mean over pixels of weight * -sum over classes of t log softmax(z), where t are the shares of the true colour
//   (eq. 2). dz = weight (softmax(z) - t) / pixels
#include <math.h>

#include "kernels/ab_bins.h"
#include "ref.h"

enum { BINS = CLZK_AB_BINS };

// p = softmax(scale x) of a pixel whose classes are `area` apart. Returns log of the sum of e^(scale x).
static double probabilities(double p[BINS], const float *x, int64_t area, double scale)
{
    double most = -INFINITY, sum = 0;

    for (int k = 0; k < BINS; k++) most = fmax(most, scale * x[k * area]);
    for (int k = 0; k < BINS; k++) sum += p[k] = exp(scale * x[k * area] - most);
    for (int k = 0; k < BINS; k++) p[k] /= sum;
    return most + log(sum);
}

static int plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    return 0;
}

static int mean_forward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w;
    struct clzk_ab_colours colour;

    clzk_ab_colours_make(&colour);
#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int64_t i = 0; i < c->ys.n * area; i++) {
        float *y = (float *)c->y + i / area * 2 * area + i % area;
        double p[BINS], a = 0, b = 0;
        probabilities(p, (const float *)c->x[0] + i / area * BINS * area + i % area, area, c->node->attr.scale);
        for (int k = 0; k < BINS; k++) a += p[k] * colour.a[k], b += p[k] * colour.b[k];
        y[0] = (float)a;
        y[area] = (float)b;
    }
    return 0;
}

static int mean_backward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w;
    struct clzk_ab_colours colour;
    const double scale = c->node->attr.scale;

    if (!c->dx[0]) return 0;
    clzk_ab_colours_make(&colour);
#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int64_t i = 0; i < c->ys.n * area; i++) {
        const int64_t at = i / area * BINS * area + i % area;
        const float *dy = (const float *)c->dy + i / area * 2 * area + i % area;
        float *dx = (float *)c->dx[0] + at;
        double p[BINS], mean = 0;
        probabilities(p, (const float *)c->x[0] + at, area, scale);
        for (int k = 0; k < BINS; k++) mean += p[k] * (dy[0] * colour.a[k] + dy[area] * colour.b[k]);
        for (int k = 0; k < BINS; k++)
            dx[k * area] = (float)(scale * p[k] * (dy[0] * colour.a[k] + dy[area] * colour.b[k] - mean));
    }
    return 0;
}

const struct clzi_op clzi_ref_annealed_mean = { .plan = plan, .forward = mean_forward, .backward = mean_backward };

// ---- cross entropy: inputs z, the true ab and perhaps a weight for each pixel ----

static struct clzk_ab_share true_share(const struct clzi_call *c, int64_t i)
{
    const int64_t area = (int64_t)c->xs[0].h * c->xs[0].w;
    const float *t = (const float *)c->x[1] + i / area * 2 * area + i % area;

    return clzk_ab_share(t[0], t[area]);
}

static double weight_of(const struct clzi_call *c, int64_t i) { return c->node->in_count == 3 ? ((const float *)c->x[2])[i] : 1; }

static int entropy_forward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->xs[0].h * c->xs[0].w, pixels = c->xs[0].n * area;
    double sum = 0;

    for (int64_t i = 0; i < pixels; i++) {
        const float *x = (const float *)c->x[0] + i / area * BINS * area + i % area;
        const struct clzk_ab_share share = true_share(c, i);
        double p[BINS], value = probabilities(p, x, area, 1);
        for (int j = 0; j < CLZK_AB_NEAREST; j++) value -= share.weight[j] * (double)x[share.bin[j] * area];
        sum += weight_of(c, i) * value;
    }
    *(float *)c->y = (float)(sum / pixels);
    return 0;
}

static int entropy_backward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->xs[0].h * c->xs[0].w, pixels = c->xs[0].n * area;
    const double dy = *(const float *)c->dy / (double)pixels;

    for (int64_t i = 0; i < pixels && c->dx[0]; i++) {
        const int64_t at = i / area * BINS * area + i % area;
        const struct clzk_ab_share share = true_share(c, i);
        float *dx = (float *)c->dx[0] + at;
        double p[BINS];
        probabilities(p, (const float *)c->x[0] + at, area, 1);
        for (int j = 0; j < CLZK_AB_NEAREST; j++) p[share.bin[j]] -= share.weight[j];
        for (int k = 0; k < BINS; k++) dx[k * area] = (float)(dy * weight_of(c, i) * p[k]);
    }
    return 0;
}

const struct clzi_op clzi_ref_cross_entropy = { .plan = plan, .forward = entropy_forward, .backward = entropy_backward };
