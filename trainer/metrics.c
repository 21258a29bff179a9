// metrics.c - scores. Single-threaded: a picture takes milliseconds, and OpenMP's waiting threads would slow the loader's down.
// Several threads can each have a struct clzt_metrics.
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/lab_math.h"
#include "metrics.h"

enum { RADIUS = 5, TAPS = 2 * RADIUS + 1 };             // of the window of SSIM

struct sums { double ab, de; };

struct clzt_metrics {
    int width, height;
    uint8_t *truth, *guess;                 // RGB
    float *flat;                            // [2,height,width] a*, b* of clzt_metrics_add_flat
    int64_t pictures;
    double l1, de, psnr, ssim, cf, cf_abs, cf_true, cf_abs_true;
};

// ---- scores of single pictures ----

double clzt_mse(const uint8_t *a, const uint8_t *b, int64_t samples)
{
    int64_t sum = 0;

    for (int64_t i = 0; i < samples; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return (double)sum / samples;
}

double clzt_psnr(const uint8_t *a, const uint8_t *b, int64_t samples)
{
    const double mse = clzt_mse(a, b, samples), db = mse > 0 ? 10 * log10(255.0 * 255 / mse) : 100;
    return db > 100 ? 100 : db;
}

static void window(double w[TAPS])
{
    double sum = 0;

    for (int i = 0; i < TAPS; i++) sum += w[i] = exp(-0.5 * (i - RADIUS) * (i - RADIUS) / (1.5 * 1.5));
    for (int i = 0; i < TAPS; i++) w[i] /= sum;
}

// Horizontal weighted means of a, b, a^2, b^2 and ab, for the columns where the window fits.
static void ssim_row(const double w[TAPS], const float *a, const float *b, int out_width, double *out)
{
    for (int x = 0; x < out_width; x++) {
        double sa = 0, sb = 0, saa = 0, sbb = 0, sab = 0;
        for (int k = 0; k < TAPS; k++) {
            const double u = a[x + k], v = b[x + k];
            sa += w[k] * u;
            sb += w[k] * v;
            saa += w[k] * u * u;
            sbb += w[k] * v * v;
            sab += w[k] * u * v;
        }
        out[5 * x] = sa;
        out[5 * x + 1] = sb;
        out[5 * x + 2] = saa;
        out[5 * x + 3] = sbb;
        out[5 * x + 4] = sab;
    }
}

double clzt_ssim(const float *a, const float *b, int width, int height)
{
    const double c1 = (0.01 * 255) * (0.01 * 255), c2 = (0.03 * 255) * (0.03 * 255);
    const int out_width = width - TAPS + 1, out_height = height - TAPS + 1;
    double w[TAPS], sum = 0, *rows;
    const size_t stride = 5 * (size_t)(out_width > 0 ? out_width : 0);

    if (out_width < 1 || out_height < 1 || !(rows = malloc(height * stride * sizeof *rows))) return NAN;
    window(w);
    for (int y = 0; y < height; y++)
        ssim_row(w, a + (size_t)y * width, b + (size_t)y * width, out_width, rows + y * stride);
    for (int y = 0; y < out_height; y++)
        for (int x = 0; x < out_width; x++) {
            double m[5] = { 0 };
            for (int k = 0; k < TAPS; k++)
                for (int i = 0; i < 5; i++) m[i] += w[k] * rows[(y + k) * stride + 5 * x + i];
            const double va = m[2] - m[0] * m[0], vb = m[3] - m[1] * m[1], vab = m[4] - m[0] * m[1];
            sum += (2 * m[0] * m[1] + c1) * (2 * vab + c2) / ((m[0] * m[0] + m[1] * m[1] + c1) * (va + vb + c2));
        }
    free(rows);
    return sum / ((double)out_width * out_height);
}

// SSIM of weighted sums of R, G, B.
static double ssim_of(const uint8_t *a, const uint8_t *b, int width, int height, const float weights[3])
{
    const size_t pixels = (size_t)width * height;
    float *planes = malloc(2 * pixels * sizeof *planes);
    double ssim;

    if (!planes) return NAN;
    for (size_t i = 0; i < pixels; i++) {
        planes[i] = weights[0] * a[3 * i] + weights[1] * a[3 * i + 1] + weights[2] * a[3 * i + 2];
        planes[pixels + i] = weights[0] * b[3 * i] + weights[1] * b[3 * i + 1] + weights[2] * b[3 * i + 2];
    }
    ssim = clzt_ssim(planes, planes + pixels, width, height);
    free(planes);
    return ssim;
}

double clzt_ssim_luma(const uint8_t *a, const uint8_t *b, int width, int height)
{
    return ssim_of(a, b, width, height, (const float[3]){ 0.299f, 0.587f, 0.114f });
}

double clzt_ssim_rgb(const uint8_t *a, const uint8_t *b, int width, int height)
{
    double sum = 0;

    for (int c = 0; c < 3; c++) sum += ssim_of(a, b, width, height, (const float[3]){ c == 0, c == 1, c == 2 });
    return sum / 3;
}

double clzt_colourfulness(const uint8_t *rgb, int64_t pixels, bool absolute)
{
    double s1 = 0, s2 = 0, q1 = 0, q2 = 0;

    for (int64_t i = 0; i < pixels; i++) {
        const double r = rgb[3 * i], g = rgb[3 * i + 1], b = rgb[3 * i + 2];
        const double rg = absolute ? fabs(r - g) : r - g, yb = absolute ? fabs((r + g) / 2 - b) : (r + g) / 2 - b;
        s1 += rg;
        s2 += yb;
        q1 += rg * rg;
        q2 += yb * yb;
    }
    const double m1 = s1 / pixels, m2 = s2 / pixels, variance = q1 / pixels - m1 * m1 + q2 / pixels - m2 * m2;
    return sqrt(variance > 0 ? variance : 0) + 0.3 * sqrt(m1 * m1 + m2 * m2);
}

void clzt_lab_to_rgb8(const float *l, const float *ab, int64_t pixels, uint8_t *rgb)
{
    for (int64_t i = 0; i < pixels; i++) {
        const float lab[3] = { (l[i] + 1) * 50, ab ? ab[i] * 110 : 0, ab ? ab[pixels + i] * 110 : 0 };
        float c[3];
        clzk_lab_to_rgb(lab, c);
        for (int k = 0; k < 3; k++) rgb[3 * i + k] = (uint8_t)(c[k] <= 0 ? 0 : c[k] >= 1 ? 255 : c[k] * 255 + 0.5f);
    }
}

// ---- means over pictures ----

int clzt_metrics_create(struct clzt_metrics **metrics, int width, int height)
{
    struct clzt_metrics *m = *metrics = calloc(1, sizeof *m);
    const size_t pixels = (size_t)width * height;

    if (!m) return -ENOMEM;
    m->width = width;
    m->height = height;
    m->truth = malloc(3 * pixels);
    m->guess = malloc(3 * pixels);
    m->flat = malloc(2 * pixels * sizeof *m->flat);
    if (m->truth && m->guess && m->flat) return 0;
    clzt_metrics_destroy(metrics);
    return -ENOMEM;
}

void clzt_metrics_destroy(struct clzt_metrics **metrics)
{
    if (!*metrics) return;
    free((*metrics)->truth);
    free((*metrics)->guess);
    free((*metrics)->flat);
    free(*metrics);
    *metrics = NULL;
}

void clzt_metrics_reset(struct clzt_metrics *m)
{
    m->pictures = 0;
    m->l1 = m->de = m->psnr = m->ssim = m->cf = m->cf_abs = m->cf_true = m->cf_abs_true = 0;
}

static struct sums compare(const float *l, const float *true_ab, const float *ab, size_t pixels)
{
    struct sums sum = { 0, 0 };

    for (size_t i = 0; i < pixels; i++) {
        const float light = (l[i] + 1) * 50;
        const float truth[3] = { light, true_ab[i] * 110, true_ab[pixels + i] * 110 };
        const float guess[3] = { light, ab[i] * 110, ab[pixels + i] * 110 };
        sum.ab += fabsf(true_ab[i] - ab[i]) + fabsf(true_ab[pixels + i] - ab[pixels + i]);
        sum.de += clzk_delta_e2000(truth, guess);
    }
    return sum;
}

void clzt_metrics_add(struct clzt_metrics *m, const float *l, const float *true_ab, const float *ab)
{
    const size_t pixels = (size_t)m->width * m->height;
    const struct sums sums = compare(l, true_ab, ab, pixels);

    clzt_lab_to_rgb8(l, true_ab, pixels, m->truth);
    clzt_lab_to_rgb8(l, ab, pixels, m->guess);
    m->pictures++;
    m->l1 += sums.ab / (2.0 * pixels);
    m->de += sums.de / pixels;
    m->psnr += clzt_psnr(m->truth, m->guess, 3 * (int64_t)pixels);
    m->ssim += clzt_ssim_luma(m->truth, m->guess, m->width, m->height);
    m->cf += clzt_colourfulness(m->guess, pixels, false);
    m->cf_abs += clzt_colourfulness(m->guess, pixels, true);
    m->cf_true += clzt_colourfulness(m->truth, pixels, false);
    m->cf_abs_true += clzt_colourfulness(m->truth, pixels, true);
}

void clzt_metrics_add_flat(struct clzt_metrics *m, const float *l, const float *true_ab, const double ab[2])
{
    const size_t pixels = (size_t)m->width * m->height;

    for (size_t i = 0; i < pixels; i++) {
        m->flat[i] = (float)ab[0];
        m->flat[pixels + i] = (float)ab[1];
    }
    clzt_metrics_add(m, l, true_ab, m->flat);
}

void clzt_metrics_add_own(struct clzt_metrics *m, const float *l, const float *true_ab)
{
    const size_t pixels = (size_t)m->width * m->height;
    double mean[2] = { 0, 0 };

    for (int c = 0; c < 2; c++) {
        for (size_t i = 0; i < pixels; i++) mean[c] += true_ab[c * pixels + i];
        mean[c] /= (double)pixels;
    }
    clzt_metrics_add_flat(m, l, true_ab, mean);
}

struct clzt_added clzt_metrics_added(const struct clzt_metrics *m)
{
    return (struct clzt_added){ m->truth, m->guess, m->flat };
}

struct clzt_scores clzt_metrics_scores(const struct clzt_metrics *m)
{
    const double n = m->pictures ? (double)m->pictures : NAN;

    struct clzt_scores s = {
        .pictures = m->pictures, .l1 = m->l1 / n, .ab_mae = 110 * m->l1 / n, .psnr = m->psnr / n, .ssim = m->ssim / n,
        .de2000 = m->de / n, .cf = m->cf / n, .cf_abs = m->cf_abs / n, .cf_true = m->cf_true / n,
        .cf_abs_true = m->cf_abs_true / n, .cf_ratio = m->cf_true > 0 ? m->cf / m->cf_true : NAN,
        .cf_abs_ratio = m->cf_abs_true > 0 ? m->cf_abs / m->cf_abs_true : NAN,
        .fd = NAN, .cdc = NAN, .cdc_true = NAN, .change = NAN, .change_true = NAN,
    };
    const double below = 0.8 - s.cf_abs_ratio, above = s.cf_abs_ratio - 1.15;

    s.score = s.psnr - 10 * (below > 0 ? below : above > 0 ? above : 0);
    return s;
}

#define AT(field) offsetof(struct clzt_scores, field)
const struct clzt_score_info clzt_score_list[] = {
    { "l1", AT(l1), 5, false, "mean absolute error of a*/110, b*/110" },
    { "ab_mae", AT(ab_mae), 3, false, "the same in Lab units" },
    { "psnr", AT(psnr), 2, true, "dB, 8-bit RGB, mean over pictures" },
    { "ssim", AT(ssim), 4, true, "luma, Gaussian window" },
    { "de2000", AT(de2000), 3, false, "mean CIEDE2000" },
    { "cf", AT(cf), 2, true, "colourfulness, signed (Hasler and Suesstrunk)" },
    { "cf_abs", AT(cf_abs), 2, true, "colourfulness, absolute" },
    { "cf_true", AT(cf_true), 2, true, "colourfulness of the truth, signed" },
    { "cf_abs_true", AT(cf_abs_true), 2, true, "colourfulness of the truth, absolute" },
    { "cf_ratio", AT(cf_ratio), 3, true, "cf over that of the truth" },
    { "cf_abs_ratio", AT(cf_abs_ratio), 3, true, "cf_abs over that of the truth" },
    { "score", AT(score), 2, true, "psnr - 10 * (distance of cf_abs_ratio from 0.8 to 1.15), dB" },
    { NULL, 0, 0, false, NULL }
};

const struct clzt_score_info clzt_more_scores[] = {
    { "fd_lite0", AT(fd), 2, false, "Frechet distance of EfficientNet-Lite0's features from the truth's" },
    { "cdc", AT(cdc), 5, false, "colour distribution consistency of the film; a fade or cut counts too" },
    { "cdc_true", AT(cdc_true), 5, false, "that of the true film" },
    { "still_change", AT(change), 4, false, "change of a*, b* from frame to frame where L* stays, Lab units" },
    { "still_change_true", AT(change_true), 4, false, "that of the true film" },
    { NULL, 0, 0, false, NULL }
};
static const struct clzt_score_info *const lists[] = { clzt_score_list, clzt_more_scores, NULL };

int clzt_scores_print(FILE *file, const struct clzt_column *columns, int count)
{
    fprintf(file, "%-18s", "");
    for (int i = 0; i < count; i++) fprintf(file, "%12s", columns[i].title);
    fputc('\n', file);
    for (const struct clzt_score_info *const *list = lists; *list; list++)
        for (const struct clzt_score_info *info = *list; info->name; info++) {
            if (*list == clzt_more_scores && isnan(clzt_score(columns[0].scores, info))) continue;
            fprintf(file, "%-18s", info->name);
            for (int i = 0; i < count; i++) {
                const double value = clzt_score(columns[i].scores, info);
                if (isfinite(value)) fprintf(file, "%12.*f", info->decimals, value);
                else fprintf(file, "%12s", "-");
            }
            fprintf(file, "  %s\n", info->help);
        }
    fprintf(file, "%lld pictures\n", (long long)columns[0].scores->pictures);
    return ferror(file) ? -EIO : 0;
}

char *clzt_scores_json(json_t *facts, const struct clzt_column *columns, int count)
{
    json_t *scores = json_object();
    bool failed = !facts || !scores;
    char *text = NULL, *lines = NULL;

    for (int i = 0; i < count && !failed; i++) {
        json_t *column = json_object();
        for (const struct clzt_score_info *const *list = lists; *list; list++)
            for (const struct clzt_score_info *info = *list; info->name; info++) {
                const double value = clzt_score(columns[i].scores, info);
                if (*list == clzt_more_scores && isnan(clzt_score(columns[0].scores, info))) continue;
                failed |= json_object_set_new(column, info->name, isfinite(value) ? json_real(value) : json_null()) < 0;
            }
        failed |= json_object_set_new(scores, columns[i].key, column) < 0;
    }
    failed = failed || json_object_set_new(facts, "pictures", json_integer(columns[0].scores->pictures)) < 0 ||
             json_object_set(facts, "scores", scores) < 0;
    if (!failed) text = json_dumps(facts, JSON_INDENT(2) | JSON_REAL_PRECISION(10));
    json_decref(facts);
    json_decref(scores);
    if (text && asprintf(&lines, "%s\n", text) < 0) lines = NULL;
    free(text);
    return lines;
}
