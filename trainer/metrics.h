// metrics.h - scores of predicted colours against the true ones. Definitions and sources:
// - l1, ab_mae and de2000 compare Lab values: the true L* with the true and the predicted a*, b*, so that only colour counts.
// - psnr, ssim and cf compare the 8-bit sRGB pictures made of these.
// - l1: mean |difference| of a*/110 and b*/110. ab_mae: the same in Lab units.
// - psnr: 10 log10(255^2 / MSE over all samples of R, G, B), identical pictures count as 100 dB; mean over pictures.
// - ssim: Wang 2004: luma (.299, .587, .114), Gaussian 11x11 of sigma 1.5, K .01 and .03, biased covariance, over the
//   valid region; mean over pictures. Of pictures smaller than 11x11 it is NAN.
// - de2000: mean CIEDE2000 over pixels (Sharma 2005).
// - cf: colourfulness of Hasler and Suesstrunk 2003, rg = R - G, yb = (R + G) / 2 - B signed, population standard
//   deviations; cf_abs: the same with |rg|, |yb|, as in the tables of DDColor. Means over pictures. ratio: mean of the
//   prediction / mean of the truth.
// - score: which model of a training to keep, in dB: psnr - 10 * (distance of cf_abs's ratio from 0.8 to 1.15). PSNR alone
//   prefers models that are too grey.
#ifndef CLZT_METRICS_H
#define CLZT_METRICS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct clzt_scores {
    int64_t pictures;
    double l1, ab_mae, psnr, ssim, de2000;
    double cf, cf_abs, cf_true, cf_abs_true, cf_ratio, cf_abs_ratio;
    double score;
    double fd;                              // FD-lite0 (features.h); NAN: not measured, as the following
    double cdc, cdc_true, change, change_true;      // of films, temporal.h
};

// Names and offsets of the scores, for logs and tables; ends with a row whose name is NULL.
struct clzt_score_info { const char *name; size_t offset; int decimals; bool more_is_better; const char *help; };
extern const struct clzt_score_info clzt_score_list[];
extern const struct clzt_score_info clzt_more_scores[];         // those that are measured only where they are asked for
static inline double clzt_score(const struct clzt_scores *s, const struct clzt_score_info *i)
{
    return *(const double *)((const char *)s + i->offset);
}

// Means over pictures of one size. Thread-safety: one thread at a time per object.
struct clzt_metrics;
int clzt_metrics_create(struct clzt_metrics **metrics, int width, int height);
void clzt_metrics_destroy(struct clzt_metrics **metrics);
void clzt_metrics_reset(struct clzt_metrics *metrics);

// l [1,h,w] = L*/50 - 1 of the colour picture, true_ab and ab [2,h,w] in units of 110.
void clzt_metrics_add(struct clzt_metrics *metrics, const float *l, const float *true_ab, const float *ab);

// The same for one colour everywhere, in units of 110: the baselines grey, {0, 0}, and mean colour, clzt_colours.mean.
void clzt_metrics_add_flat(struct clzt_metrics *metrics, const float *l, const float *true_ab, const double ab[2]);
// The same for the mean of the picture's own true colours, the best that one colour everywhere can be.
void clzt_metrics_add_own(struct clzt_metrics *metrics, const float *l, const float *true_ab);

// Of the last picture that was added: as 8-bit RGB, and a*, b* in units of 110 if it was one colour.
struct clzt_added { const uint8_t *truth, *guess; const float *flat; };
struct clzt_added clzt_metrics_added(const struct clzt_metrics *metrics);
struct clzt_scores clzt_metrics_scores(const struct clzt_metrics *metrics);

// A model, or a baseline.
struct clzt_column { const char *title, *key; const struct clzt_scores *scores; };

// Prints a line per score: name, a number for each column, help. The first column is the model's.
int clzt_scores_print(FILE *file, const struct clzt_column *columns, int count);
// The same as JSON: {"pictures": N, "scores": {KEY: {"l1": X, ...}, ...}} with the members of `facts`, a json_t object which is
// released, in front. What is not a finite number is null. NULL: out of memory. To be freed.
struct json_t;
char *clzt_scores_json(struct json_t *facts, const struct clzt_column *columns, int count);

// ---- scores of single pictures: 8-bit RGB, interleaved, rows without padding ----

double clzt_mse(const uint8_t *a, const uint8_t *b, int64_t samples);
double clzt_psnr(const uint8_t *a, const uint8_t *b, int64_t samples);             // 100 when equal
double clzt_ssim(const float *a, const float *b, int width, int height);           // one plane of 0..255; NAN: too small
double clzt_ssim_luma(const uint8_t *a, const uint8_t *b, int width, int height);
double clzt_ssim_rgb(const uint8_t *a, const uint8_t *b, int width, int height);   // mean of the three channels
double clzt_colourfulness(const uint8_t *rgb, int64_t pixels, bool absolute);

// L* / 50 - 1 [h,w] and ab / 110 [2,h,w] to 8-bit RGB. ab NULL: grey.
void clzt_lab_to_rgb8(const float *l, const float *ab, int64_t pixels, uint8_t *rgb);
#endif
