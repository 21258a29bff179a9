// loss.c - the losses and the weights of rare colours.
#include <math.h>
#include <string.h>

#include "loss.h"

enum { Q = CLZT_AB_CELLS };

void clzt_ab_weights_make(struct clzt_ab_weights *weights, const double *counts, double mix)
{
    double total = 0, p[Q * Q], mean = 0;
    int occurring = 0;

    for (int i = 0; i < Q * Q; i++) total += counts[i];
    for (int a = 0; a < Q; a++)
        for (int b = 0; b < Q; b++) {
            double sum = 0, norm = 0;
            for (int u = 0; u < Q; u++)
                for (int v = 0; v < Q; v++) {
                    const double d2 = (double)((a - u) * (a - u) + (b - v) * (b - v)) * CLZT_AB_STEP * CLZT_AB_STEP;
                    const double g = exp(-d2 / (2 * 5.0 * 5.0));
                    sum += g * counts[u * Q + v];
                    norm += g;
                }
            p[a * Q + b] = total > 0 ? sum / norm / total : 0;
            occurring += counts[a * Q + b] > 0;
        }
    for (int i = 0; i < Q * Q; i++) {
        weights->w[i] = occurring ? (float)(1 / ((1 - mix) * p[i] + mix / occurring)) : 1;
        mean += total > 0 ? weights->w[i] * counts[i] / total : 0;
    }
    for (int i = 0; i < Q * Q; i++) {
        const float w = mean > 0 ? (float)(weights->w[i] / mean) : 1;
        weights->w[i] = w < 0.3f ? 0.3f : w > 3 ? 3 : w;
    }
}

static float rarity(const struct clzt_ab_weights *weights, float a, float b)
{
    int i = (int)floorf((a * 110 - CLZT_AB_LOW) / CLZT_AB_STEP), k = (int)floorf((b * 110 - CLZT_AB_LOW) / CLZT_AB_STEP);
    i = i < 0 ? 0 : i >= Q ? Q - 1 : i;
    k = k < 0 ? 0 : k >= Q ? Q - 1 : k;
    return weights->w[i * Q + k];
}

void clzt_ab_weights_map(const struct clzt_ab_weights *weights, const float *ab, int n, int64_t pixels, float *map)
{
    for (int k = 0; k < n; k++, ab += 2 * pixels, map += pixels)
        for (int64_t i = 0; i < pixels; i++) map[i] = rarity(weights, ab[i], ab[pixels + i]);
}

void clzt_ab_weights_adjust(const struct clzt_ab_weights *weights, double factor, float *bias)
{
    for (int k = 0; k < CLZK_AB_BINS; k++) {
        float a, b;
        clzk_ab_bin(k, &a, &b);
        bias[k] += (float)(factor * log(rarity(weights, a, b)));
    }
}

const struct clzt_loss clzt_losses[] = {
    { "l1",     "mean absolute error of ab / 110, weighted by rarity if rebalance > 0", CLZI_OP_L1, true, false, false },
    // L2 is smallest at the mean, L1 at the median. Colours that the grey leaves open (a coat: red or blue) are skewed towards
    // grey, so the median is greyer than the mean.
    { "l2",     "mean square error of ab / 110, weighted likewise: less grey than l1", CLZI_OP_L2, true, false, false },
    { "chroma", "difference of mean chroma, picture by picture: against greyness", CLZI_OP_CHROMA, false, false, false },
    { "classes", "cross entropy of the classes of colour and the true colour, for head: classes; weighted likewise",
      CLZI_OP_CROSS_ENTROPY, true, true, false },
    { "perceptual", "mean absolute difference of what the network of `features` sees in the predicted and in the true picture",
      CLZI_OP_L1, false, false, true },
    { NULL, NULL, CLZI_OP_COUNT, false, false, false }
};
