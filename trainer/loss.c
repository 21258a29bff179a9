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

// mean over all elements of w |p - t|, w the rarity of the target's colour
static double l1(const struct clzt_loss_input *in, float weight, float *grad)
{
    const long pixels = (long)in->h * in->w, all = 2 * pixels * in->n;
    const float scale = weight / all;
    double sum = 0;

    for (int n = 0; n < in->n; n++) {
        const long at = n * 2 * pixels;
        const float *pa = in->pred + at, *pb = pa + pixels, *ta = in->target + at, *tb = ta + pixels;
        float *ga = grad + at, *gb = ga + pixels;
        for (long i = 0; i < pixels; i++) {
            const float w = in->rarity ? rarity(in->rarity, ta[i], tb[i]) : 1, da = pa[i] - ta[i], db = pb[i] - tb[i];
            sum += w * (fabsf(da) + fabsf(db));
            ga[i] += da > 0 ? scale * w : da < 0 ? -scale * w : 0;
            gb[i] += db > 0 ? scale * w : db < 0 ? -scale * w : 0;
        }
    }
    return sum / all;
}

// mean over all elements of w (p - t)^2: smallest at the mean, where L1 is smallest at the median. Colours that the grey leaves open
// (a coat: red or blue) are skewed towards grey, so the median is greyer than the mean.
static double l2(const struct clzt_loss_input *in, float weight, float *grad)
{
    const long pixels = (long)in->h * in->w, all = 2 * pixels * in->n;
    const float scale = 2 * weight / all;
    double sum = 0;

    for (int n = 0; n < in->n; n++) {
        const long at = n * 2 * pixels;
        const float *pa = in->pred + at, *pb = pa + pixels, *ta = in->target + at, *tb = ta + pixels;
        float *ga = grad + at, *gb = ga + pixels;
        for (long i = 0; i < pixels; i++) {
            const float w = in->rarity ? rarity(in->rarity, ta[i], tb[i]) : 1, da = pa[i] - ta[i], db = pb[i] - tb[i];
            sum += w * (da * da + db * db);
            ga[i] += scale * w * da;
            gb[i] += scale * w * db;
        }
    }
    return sum / all;
}

// mean over pictures of |mean chroma of the prediction - mean chroma of the truth|, chroma = sqrt(a^2 + b^2 + eps): L1 alone is
// smallest at the median, which is greyer than the truth; this asks for as much colour as the truth has, not for any hue.
static double chroma(const struct clzt_loss_input *in, float weight, float *grad)
{
    const long pixels = (long)in->h * in->w;
    const float eps = 1e-4f;
    double loss = 0;

    for (int n = 0; n < in->n; n++) {
        const long at = n * 2 * pixels;
        const float *pa = in->pred + at, *pb = pa + pixels, *ta = in->target + at, *tb = ta + pixels;
        float *ga = grad + at, *gb = ga + pixels, scale;
        double sum = 0;
        for (long i = 0; i < pixels; i++)
            sum += sqrtf(pa[i] * pa[i] + pb[i] * pb[i] + eps) - sqrtf(ta[i] * ta[i] + tb[i] * tb[i] + eps);
        loss += fabs(sum) / pixels / in->n;
        scale = weight / (float)pixels / in->n * (sum > 0 ? 1 : -1);
        for (long i = 0; i < pixels; i++) {
            const float c = scale / sqrtf(pa[i] * pa[i] + pb[i] * pb[i] + eps);
            ga[i] += c * pa[i];
            gb[i] += c * pb[i];
        }
    }
    return loss;
}

const struct clzt_loss clzt_losses[] = {
    { "l1",     "mean absolute error of ab / 110, weighted by rarity if rebalance > 0", l1 },
    { "l2",     "mean square error of ab / 110, weighted likewise: less grey than l1", l2 },
    { "chroma", "difference of mean chroma, picture by picture: against greyness", chroma },
    { NULL, NULL, NULL }
};
