// metrics.c - scores, compared with published values and with those of a pair of computed pictures; progress and metrics.csv.
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "kernels/lab_math.h"
#include "trainer/metrics.h"
#include "trainer/progress.h"

enum { N = 64, PIXELS = N * N, FOLDER = 240 };

static uint8_t a[PIXELS * 3], b[PIXELS * 3];

static int clip(int v) { return v < 0 ? 0 : v > 255 ? 255 : v; }

static void make_pair(void)
{
    for (int y = 0; y < N; y++)
        for (int x = 0; x < N; x++) {
            uint8_t *p = a + 3 * (y * N + x), *q = b + 3 * (y * N + x);
            p[0] = 4 * x % 256;
            p[1] = 4 * y % 256;
            p[2] = 2 * (x + y) % 256;
            q[0] = clip(p[0] + (7 * x + 3 * y) % 11 - 5);
            q[1] = clip(p[1] + (5 * x + 2 * y) % 7 - 3);
            q[2] = clip(p[2] - (x + 2 * y) % 9 + 4);
        }
}

static void lab_of(const uint8_t *rgb, float lab[3])
{
    const float c[3] = { rgb[0] / 255.f, rgb[1] / 255.f, rgb[2] / 255.f };
    clzk_rgb_to_lab(c, lab);
}

// Expected numbers: numpy 1.24 and scikit-image 0.19.3 on the same pair.
static void pictures(void)
{
    static uint8_t flat[300];

    CASE("metrics/psnr");
    REQUIRE_NEAR(clzt_mse(a, b, PIXELS * 3), 6.836669921875, 1e-12);
    REQUIRE_NEAR(clzt_psnr(a, b, PIXELS * 3), 39.78235748434417, 1e-10);
    REQUIRE_NEAR(clzt_psnr(a, a, PIXELS * 3), 100, 0);

    CASE("metrics/ssim");                               // measured errors: 4e-9 (luma is float), 6e-15
    REQUIRE_NEAR(clzt_ssim_luma(a, b, N, N), 0.9763594486927154, 1e-6);
    REQUIRE_NEAR(clzt_ssim_rgb(a, b, N, N), 0.9444854674121882, 1e-9);
    REQUIRE_NEAR(clzt_ssim_luma(a, a, N, N), 1, 1e-12);
    REQUIRE(isnan(clzt_ssim_luma(a, b, 10, 64)));

    CASE("metrics/colourfulness");
    REQUIRE_NEAR(clzt_colourfulness(a, PIXELS, false), 104.49880382090505, 1e-9);
    REQUIRE_NEAR(clzt_colourfulness(a, PIXELS, true), 85.94089031128567, 1e-9);
    REQUIRE_NEAR(clzt_colourfulness(b, PIXELS, false), 104.56735279641897, 1e-9);
    REQUIRE_NEAR(clzt_colourfulness(b, PIXELS, true), 85.97645937178672, 1e-9);
    memset(flat, 77, sizeof flat);
    REQUIRE_NEAR(clzt_colourfulness(flat, 100, false), 0, 1e-12);
    for (int i = 0; i < 100; i++) memcpy(flat + 3 * i, (uint8_t[]){ 255, 0, 0 }, 3);
    REQUIRE_NEAR(clzt_colourfulness(flat, 100, false), 85.52960013936695, 1e-9);
    for (int i = 0; i < 50; i++) memcpy(flat + 3 * i, (uint8_t[]){ 0, 0, 255 }, 3);
    REQUIRE_NEAR(clzt_colourfulness(flat, 100, false), 272.61869388051275, 1e-9);
    REQUIRE_NEAR(clzt_colourfulness(flat, 100, true), 211.50550170886038, 1e-9);
}

static void colours(void)
{
    static const struct { float lab1[3], lab2[3]; double de; } pairs[] = {      // Sharma, Wu, Dalal 2005
        { { 50, 2.6772f, -79.7751f }, { 50, 0, -82.7485f }, 2.0425 },
        { { 50, 3.1571f, -77.2803f }, { 50, 0, -82.7485f }, 2.8615 },
        { { 50, -1.3802f, -84.2814f }, { 50, 0, -82.7485f }, 1.0 },
        { { 50, 0, 0 }, { 50, -1, 2 }, 2.3669 },
        { { 50, 2.49f, -0.001f }, { 50, -2.49f, 0.0009f }, 7.1792 },
        { { 50, 2.5f, 0 }, { 73, 25, -18 }, 27.1492 },
        { { 60.2574f, -34.0099f, 36.2677f }, { 60.4626f, -34.1751f, 39.4387f }, 1.2644 },
        { { 2.0776f, 0.0795f, -1.1350f }, { 0.9033f, -0.0636f, -0.5514f }, 0.9082 },
    };
    double mae = 0, de76 = 0, de2000 = 0;

    CASE("metrics/delta_e2000");
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        REQUIRE_NEAR(clzk_delta_e2000(pairs[i].lab1, pairs[i].lab2), pairs[i].de, 1e-4);      // measured: 4e-5

    CASE("metrics/lab_differences_of_the_pair");        // measured errors: 3e-7, 4e-7, 1e-7 (Lab in float)
    for (int i = 0; i < PIXELS; i++) {
        float p[3], q[3];
        lab_of(a + 3 * i, p);
        lab_of(b + 3 * i, q);
        mae += (fabs(p[1] - q[1]) + fabs(p[2] - q[2])) / 2;
        de76 += sqrt(pow(p[0] - q[0], 2) + pow(p[1] - q[1], 2) + pow(p[2] - q[2], 2));
        de2000 += clzk_delta_e2000(p, q);
    }
    REQUIRE_NEAR(mae / PIXELS, 1.2569067876727424, 1e-5);
    REQUIRE_NEAR(de76 / PIXELS, 2.084716017489258, 1e-5);
    REQUIRE_NEAR(de2000 / PIXELS, 1.2870234162414107, 1e-5);
}

static float l[PIXELS], ab[2 * PIXELS], other[2 * PIXELS];

static void planes_of(const uint8_t *rgb, float *light, float *colour)
{
    for (int i = 0; i < PIXELS; i++) {
        float lab[3];
        lab_of(rgb + 3 * i, lab);
        light[i] = lab[0] / 50 - 1;
        colour[i] = lab[1] / 110;
        colour[PIXELS + i] = lab[2] / 110;
    }
}

static void adds_up(void)
{
    static uint8_t rgb[PIXELS * 3];
    static float unused[PIXELS];
    struct clzt_metrics *m = NULL;
    struct clzt_scores s;
    double mean_ab = 0;

    planes_of(a, l, ab);
    planes_of(b, unused, other);
    CASE("metrics/round_trip_is_exact");
    clzt_lab_to_rgb8(l, ab, PIXELS, rgb);
    REQUIRE(!memcmp(rgb, a, sizeof rgb));
    clzt_lab_to_rgb8(l, NULL, PIXELS, rgb);
    REQUIRE(rgb[300] == rgb[301] && rgb[301] == rgb[302]);

    CASE("metrics/perfect");
    REQUIRE_INT(clzt_metrics_create(&m, N, N), 0);
    clzt_metrics_add(m, l, ab, ab);
    s = clzt_metrics_scores(m);
    REQUIRE_INT(s.pictures, 1);
    REQUIRE_NEAR(s.l1, 0, 0);
    REQUIRE_NEAR(s.psnr, 100, 0);
    REQUIRE_NEAR(s.ssim, 1, 1e-12);
    REQUIRE_NEAR(s.de2000, 0, 0);
    REQUIRE_NEAR(s.cf, 104.49880382090505, 1e-9);
    REQUIRE_NEAR(s.cf_abs, 85.94089031128567, 1e-9);
    REQUIRE_NEAR(s.cf_ratio, 1, 1e-12);
    REQUIRE_NEAR(s.score, 100, 0);

    CASE("metrics/adds_up_pictures");
    clzt_metrics_add(m, l, ab, other);
    s = clzt_metrics_scores(m);
    REQUIRE_INT(s.pictures, 2);
    REQUIRE_NEAR(s.l1, 0.011426425342479478 / 2, 1e-7);
    REQUIRE_NEAR(s.ab_mae, 1.2569067876727424 / 2, 1e-5);
    REQUIRE(s.psnr < 80 && s.psnr > 65);

    CASE("metrics/grey_baseline");
    clzt_metrics_reset(m);
    clzt_metrics_add_flat(m, l, ab, (const double[2]){ 0, 0 });
    s = clzt_metrics_scores(m);
    for (int i = 0; i < 2 * PIXELS; i++) mean_ab += fabs(ab[i]);
    REQUIRE_NEAR(s.l1, mean_ab / (2 * PIXELS), 1e-6);
    REQUIRE(s.cf_ratio < 0.01 && s.psnr < 25);
    REQUIRE_NEAR(s.cf_true, 104.49880382090505, 1e-9);
    REQUIRE_NEAR(s.score, s.psnr - 10 * (0.8 - s.cf_abs_ratio), 1e-9);
    clzt_metrics_reset(m);
    clzt_metrics_add(m, l, other, ab);      // as colourful as the truth
    REQUIRE_NEAR(clzt_metrics_scores(m).score, clzt_metrics_scores(m).psnr, 0);
    clzt_metrics_reset(m);
    for (int i = 0; i < 2 * PIXELS; i++) other[i] = 0.5f * ab[i];
    clzt_metrics_add(m, l, other, ab);      // too colourful
    s = clzt_metrics_scores(m);
    REQUIRE(s.cf_abs_ratio > 1.2);
    REQUIRE_NEAR(s.score, s.psnr - 10 * (s.cf_abs_ratio - 1.15), 1e-9);
    clzt_metrics_destroy(&m);
    REQUIRE(!m);
}

static char *contents(const char *path)
{
    static char text[4000];
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;

    if (f) fclose(f);
    text[n] = 0;
    return text;
}

static void csv(const char *folder)
{
    const char *const names[] = { "step", "l1", "psnr", NULL }, *const others[] = { "step", "l1", NULL };
    struct clzt_csv *c = NULL;
    const char *const more[] = { "step", "d", "psnr", "l1", NULL };
    char path[300], old[300], second[300];

    snprintf(path, sizeof path, "%.240s/metrics.csv", folder);
    snprintf(second, sizeof second, "%.240s/metrics.csv.old.2", folder);
    snprintf(old, sizeof old, "%.240s/metrics.csv.old", folder);
    CASE("csv/header_once_and_rows");
    REQUIRE_INT(clzt_csv_open(&c, path, names, 0, NULL), 0);
    for (int i = 1; i <= 3; i++) REQUIRE_INT(clzt_csv_add(c, 10 * i, (const double[]){ 0.5 / i, i == 2 ? NAN : 20 }), 0);
    clzt_csv_close(&c);
    REQUIRE_STR(contents(path), "step,l1,psnr\n10,0.5,20\n20,0.25,\n30,0.1666667,20\n");

    CASE("csv/has_a_number_of_that_step_and_column");
    REQUIRE(clzt_csv_has(path, 10, "psnr") && clzt_csv_has(path, 20, "l1") && clzt_csv_has(path, 30, "psnr"));
    REQUIRE(!clzt_csv_has(path, 20, "psnr") && !clzt_csv_has(path, 1, "psnr") && !clzt_csv_has(path, 40, "l1"));
    REQUIRE(!clzt_csv_has(path, 10, "snr") && !clzt_csv_has(path, 10, "psn") && !clzt_csv_has(old, 10, "psnr"));

    CASE("csv/best");
    const struct clzt_csv_best best = clzt_csv_best(path, "l1", 0), late = clzt_csv_best(path, "l1", 20);
    REQUIRE_INT(best.step, 10);
    REQUIRE_NEAR(best.value, 0.5, 0);
    REQUIRE_INT(best.later, 2);
    REQUIRE_INT(late.later, 1);             // rows after step 20
    REQUIRE_INT(clzt_csv_best(path, "psnr", 0).step, 10);       // of equal values the first
    REQUIRE_INT(clzt_csv_best(path, "psnr", 0).later, 1);       // step 20 has none
    REQUIRE_INT(clzt_csv_best(path, "score", 0).step, 0);
    REQUIRE_INT(clzt_csv_best(old, "l1", 0).step, 0);

    CASE("csv/resume_drops_later_and_torn_rows");
    FILE *f = fopen(path, "ab");
    fputs("40,0.1", f);
    fclose(f);
    REQUIRE_INT(clzt_csv_open(&c, path, names, 20, NULL), 0);
    REQUIRE_INT(clzt_csv_add(c, 30, (const double[]){ 1, 2 }), 0);
    clzt_csv_close(&c);
    REQUIRE_STR(contents(path), "step,l1,psnr\n10,0.5,20\n20,0.25,\n30,1,2\n");

    CASE("csv/columns_that_are_gone_are_in_the_old_file");
    REQUIRE_INT(clzt_csv_open(&c, path, others, 100, NULL), 0);
    clzt_csv_close(&c);
    REQUIRE_STR(contents(path), "step,l1\n10,0.5\n20,0.25\n30,1\n");
    REQUIRE_STR(contents(old), "step,l1,psnr\n10,0.5,20\n20,0.25,\n30,1,2\n");

    CASE("csv/new_columns_are_empty_in_old_rows");
    REQUIRE_INT(clzt_csv_open(&c, path, more, 20, NULL), 0);
    REQUIRE_INT(clzt_csv_add(c, 30, (const double[]){ 1, 2, 3 }), 0);
    clzt_csv_close(&c);
    REQUIRE_STR(contents(path), "step,d,psnr,l1\n10,,,0.5\n20,,,0.25\n30,1,2,3\n");
    REQUIRE(access(second, F_OK) < 0);

    CASE("csv/an_old_file_is_not_replaced");
    REQUIRE_INT(clzt_csv_open(&c, path, names, 100, NULL), 0);
    clzt_csv_close(&c);
    REQUIRE_STR(contents(path), "step,l1,psnr\n10,0.5,\n20,0.25,\n30,3,2\n");
    REQUIRE_STR(contents(old), "step,l1,psnr\n10,0.5,20\n20,0.25,\n30,1,2\n");
    REQUIRE_STR(contents(second), "step,d,psnr,l1\n10,,,0.5\n20,,,0.25\n30,1,2,3\n");

    CASE("csv/rows_of_a_training_that_begins_again_are_kept");
    REQUIRE(!unlink(second));
    REQUIRE_INT(clzt_csv_open(&c, path, names, 0, NULL), 0);
    clzt_csv_close(&c);
    REQUIRE_STR(contents(path), "step,l1,psnr\n");
    REQUIRE_STR(contents(second), "step,l1,psnr\n10,0.5,\n20,0.25,\n30,3,2\n");
    REQUIRE(!unlink(second));
    REQUIRE_INT(clzt_csv_open(&c, path, names, 0, NULL), 0);
    clzt_csv_close(&c);
    REQUIRE(access(second, F_OK) < 0);      // a header alone is replaced
    REQUIRE_INT(clzt_csv_open(&c, "/nonexistent/metrics.csv", names, 0, NULL), -ENOENT);
    REQUIRE(!c);
    unlink(path);
    unlink(old);
}

static void progress(const char *folder)
{
    struct clzt_progress *p = NULL;
    struct clzt_smooth s = {0};
    char path[300];
    FILE *f;

    CASE("progress/smoothing_counts_the_first_in_full");
    REQUIRE(isnan(clzt_smooth_value(&s)));
    clzt_smooth_add(&s, 3);
    REQUIRE_NEAR(clzt_smooth_value(&s), 3, 1e-12);
    clzt_smooth_add(&s, 5);
    REQUIRE_NEAR(clzt_smooth_value(&s), (0.98 * 3 + 5) / 1.98, 1e-12);

    CASE("progress/lines_when_not_a_terminal");
    snprintf(path, sizeof path, "%.240s/progress", folder);
    f = fopen(path, "wb");
    REQUIRE_INT(clzt_progress_create(&p, &(struct clzt_progress_params){ .file = f, .interval = 1 }), 0);
    clzt_progress_begin(p, "train", 0, 200, 8);
    for (int i = 1; i <= 100; i++) clzt_progress_update(p, i, "l1 0.5");      // no line within the interval
    clzt_progress_end(p);
    clzt_progress_end(p);
    clzt_progress_destroy(&p);
    fclose(f);
    REQUIRE(!strncmp(contents(path), "train  50% 100/200  l1 0.5  ", 28));
    REQUIRE(strchr(contents(path), '\n') && !strchr(contents(path), '\n')[1]);
    REQUIRE(strstr(contents(path), "pictures/s  left 00:00"));
    unlink(path);
}

int main(void)
{
    const char *where = getenv("TMPDIR");
    char folder[FOLDER];

    snprintf(folder, sizeof folder, "%s/colorize-metrics-XXXXXX", where ? where : P_tmpdir);
    make_pair();
    pictures();
    colours();
    adds_up();
    if (!mkdtemp(folder)) SKIP("no folder for temporary files");
    csv(folder);
    progress(folder);
    rmdir(folder);
    return check_end();
}
