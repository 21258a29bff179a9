// temporal.c - colour distribution consistency, and change of colour where the picture stands still.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "temporal.h"

enum { BINS = 256, CHANNELS = 3, DISTANCES = 3, KEPT = 4 };
static const int distances[DISTANCES] = { 1, 2, KEPT };

struct clzt_temporal {
    int64_t pixels, frames;                 // frames: of the current film, so far
    double histograms[KEPT + 1][CHANNELS][BINS];    // of the last frames: frame i is at i % (KEPT + 1)
    double divergence[DISTANCES][CHANNELS];         // sums over the pairs of all films
    int64_t pairs[DISTANCES];
    float *l, *ab;                          // of the frame before
    double change;                          // sum over still pixels
    int64_t still;
};

int clzt_temporal_create(struct clzt_temporal **temporal, int64_t pixels)
{
    struct clzt_temporal *t = *temporal = calloc(1, sizeof *t);

    if (!t) return -ENOMEM;
    t->pixels = pixels;
    t->l = malloc((size_t)pixels * sizeof *t->l);
    t->ab = malloc(2 * (size_t)pixels * sizeof *t->ab);
    if (t->l && t->ab) return 0;
    clzt_temporal_destroy(temporal);
    return -ENOMEM;
}

void clzt_temporal_destroy(struct clzt_temporal **temporal)
{
    if (!*temporal) return;
    free((*temporal)->l);
    free((*temporal)->ab);
    free(*temporal);
    *temporal = NULL;
}

void clzt_temporal_cut(struct clzt_temporal *t) { t->frames = 0; }

// Jensen-Shannon divergence of two distributions.
static double divergence(const double p[BINS], const double q[BINS])
{
    double sum = 0;

    for (int i = 0; i < BINS; i++) {
        const double m = (p[i] + q[i]) / 2;
        if (p[i] > 0) sum += p[i] * log(p[i] / m);
        if (q[i] > 0) sum += q[i] * log(q[i] / m);
    }
    return sum / 2;
}

static void add_histograms(struct clzt_temporal *t, const uint8_t *rgb)
{
    double (*now)[BINS] = t->histograms[t->frames % (KEPT + 1)];
    int64_t counts[CHANNELS][BINS] = { { 0 } };

    for (int64_t i = 0; i < t->pixels; i++)
        for (int c = 0; c < CHANNELS; c++) counts[c][rgb[CHANNELS * i + c]]++;
    for (int c = 0; c < CHANNELS; c++)
        for (int i = 0; i < BINS; i++) now[c][i] = (double)counts[c][i] / t->pixels;
    for (int d = 0; d < DISTANCES; d++) {
        if (t->frames < distances[d]) continue;
        t->pairs[d]++;
        for (int c = 0; c < CHANNELS; c++)
            t->divergence[d][c] += divergence(t->histograms[(t->frames - distances[d]) % (KEPT + 1)][c], now[c]);
    }
}

static void add_change(struct clzt_temporal *t, const float *l, const float *ab)
{
    const float still = 1 / 50.f;           // 1 of L*

    for (int64_t i = 0; t->frames && i < t->pixels; i++) {
        const double a = ab[i] - t->ab[i], b = ab[t->pixels + i] - t->ab[t->pixels + i];
        if (fabsf(l[i] - t->l[i]) >= still) continue;
        t->change += 110 * sqrt(a * a + b * b);
        t->still++;
    }
    memcpy(t->l, l, (size_t)t->pixels * sizeof *l);
    memcpy(t->ab, ab, 2 * (size_t)t->pixels * sizeof *ab);
}

void clzt_temporal_add(struct clzt_temporal *t, const uint8_t *rgb, const float *l, const float *ab)
{
    add_histograms(t, rgb);
    add_change(t, l, ab);
    t->frames++;
}

struct clzt_temporal_scores clzt_temporal_scores(const struct clzt_temporal *t)
{
    struct clzt_temporal_scores s = { 0, t->still ? t->change / t->still : NAN };

    for (int d = 0; d < DISTANCES; d++)
        for (int c = 0; c < CHANNELS; c++)
            s.cdc += t->pairs[d] ? t->divergence[d][c] / t->pairs[d] / (DISTANCES * CHANNELS) : NAN;
    return s;
}
