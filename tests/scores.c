// scores.c - scores of sets of pictures: the Frechet distance, consistency of colour in films. Expected numbers:
// tests/ref/frechet_scipy.py.
#include "check.h"
#include "trainer/frechet.h"
#include "trainer/metrics.h"
#include "trainer/temporal.h"

enum { N = 64, PIXELS = N * N };

static float feature(int i, int k, double phase)
{
    return (float)(sin(0.7 * i * (k + 1) + 0.3 * k + phase) + 0.2 * phase * cos(1.3 * i + k * k));
}

static struct clzt_moments set(int count, int size, double phase)
{
    struct clzt_moments m;
    float *x = malloc((size_t)size * sizeof *x);

    REQUIRE_INT(clzt_moments_create(&m, size), 0);
    for (int i = 0; i < count; i++) {
        for (int k = 0; k < size; k++) x[k] = feature(i, k, phase);
        clzt_moments_add(&m, x);
    }
    free(x);
    return m;
}

static double distance(int size, int count_a, double a, int count_b, double b)
{
    struct clzt_moments x = set(count_a, size, a), y = set(count_b, size, b);
    double d = -1;

    REQUIRE_INT(clzt_frechet(&x, &y, &d), 0);
    clzt_moments_destroy(&x);
    clzt_moments_destroy(&y);
    return d;
}

static int rising(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void eigenvalues(void)
{
    static const double expected[][2] = { { 0, -11.04784549 }, { 1, -10.75316025 }, { 14, -0.0511792 }, { 28, 9.43001469 },
                                          { 29, 11.08599144 } };
    double a[30 * 30], d[30], sum = 0;

    CASE("frechet/eigenvalues");            // measured error: 5e-9, that of the digits printed
    for (int i = 0; i < 30; i++)
        for (int k = 0; k < 30; k++) a[30 * i + k] = (double)feature(i, k, 0.5) + feature(k, i, 0.5);
    for (int i = 0; i < 30; i++) sum += a[31 * i];
    REQUIRE_INT(clzt_eigenvalues(a, 30, d), 0);
    qsort(d, 30, sizeof *d, rising);
    for (int i = 0; i < 5; i++) REQUIRE_NEAR(d[(int)expected[i][0]], expected[i][1], 1e-8);
    for (int i = 0; i < 30; i++) sum -= d[i];
    REQUIRE_NEAR(sum, 0, 1e-11);
    memcpy(a, (const double[]){ 3, 9, 9, 0, 2, 9, 0, 0, 1 }, 9 * sizeof *a);       // diagonal; the upper half is not read
    REQUIRE_INT(clzt_eigenvalues(a, 3, d), 0);
    REQUIRE_NEAR(d[0] + d[1] + d[2], 6, 0);
    REQUIRE_INT(clzt_eigenvalues((double[]){ 7 }, 1, d), 0);
    REQUIRE_NEAR(d[0], 7, 0);
    REQUIRE_INT(clzt_eigenvalues((double[]){ 0, 0, 0, 0 }, 2, d), 0);
    REQUIRE_NEAR(d[0] * d[0] + d[1] * d[1], 0, 0);
    REQUIRE(clzt_eigenvalues((double[]){ 1, 0, NAN, 1 }, 2, d) < 0);
}

static void frechet(void)
{
    struct clzt_moments one;
    double d;

    CASE("frechet/full_rank");              // measured error 1e-14
    REQUIRE_NEAR(distance(12, 200, 0, 150, 1.5), 1.965101768353497, 1e-10);
    CASE("frechet/fewer_vectors_than_numbers_in_them");     // measured error 4e-15
    REQUIRE_NEAR(distance(40, 10, 0, 30, 1.5), 21.057723477950237, 1e-10);
    REQUIRE_NEAR(distance(40, 10, 0, 30, 1.5), distance(40, 30, 1.5, 10, 0), 1e-9);     // either may be decomposed
    CASE("frechet/of_a_set_from_itself");   // measured: 0 and 3e-14
    REQUIRE_NEAR(distance(40, 10, 0.3, 10, 0.3), 0, 1e-9);
    REQUIRE_NEAR(distance(12, 100, 0.3, 100, 0.3), 0, 1e-9);
    CASE("frechet/of_one_vector_is_none");
    REQUIRE(isnan(distance(5, 1, 0, 10, 1)));
    CASE("frechet/numbers_that_are_always_0");              // as features are that no picture has
    REQUIRE_INT(clzt_moments_create(&one, 3), 0);
    for (int i = 0; i < 8; i++) clzt_moments_add(&one, (const float[]){ 0, i % 2, 0 });
    REQUIRE_INT(clzt_frechet(&one, &one, &d), 0);
    REQUIRE_NEAR(d, 0, 1e-12);
    clzt_moments_destroy(&one);
}

// Frame k of a film that becomes brighter, as 8-bit RGB.
static void frame(int k, uint8_t *rgb)
{
    for (int y = 0; y < N; y++)
        for (int x = 0; x < N; x++) {
            const int c[3] = { 4 * x % 256, 4 * y % 256, 2 * (x + y) % 256 };
            for (int i = 0; i < 3; i++) rgb[3 * (y * N + x) + i] = c[i] + 5 * k > 255 ? 255 : c[i] + 5 * k;
        }
}

static void temporal(void)
{
    static uint8_t rgb[3 * PIXELS];
    static float l[PIXELS], ab[2 * PIXELS];
    struct clzt_temporal *t = NULL;
    struct clzt_temporal_scores s;

    CASE("temporal/consistency_of_colour");                 // measured error 2e-16
    REQUIRE_INT(clzt_temporal_create(&t, PIXELS), 0);
    for (int film = 0; film < 2; film++) {                  // the pairs of two equal films: the same mean
        clzt_temporal_cut(t);
        for (int k = 0; k < 6; k++) {
            frame(k, rgb);
            clzt_temporal_add(t, rgb, l, ab);
        }
        s = clzt_temporal_scores(t);
        REQUIRE_NEAR(s.cdc, 0.38626530569028117, 1e-12);
    }
    REQUIRE_NEAR(s.change, 0, 0);
    clzt_temporal_destroy(&t);

    CASE("temporal/change_where_the_picture_stands_still");
    REQUIRE_INT(clzt_temporal_create(&t, PIXELS), 0);
    clzt_temporal_add(t, rgb, l, ab);
    s = clzt_temporal_scores(t);
    REQUIRE(isnan(s.cdc) && isnan(s.change));               // one frame says nothing
    for (int i = 0; i < PIXELS; i++) {
        ab[i] += 3 / 110.f;
        ab[PIXELS + i] -= 4 / 110.f;
        if (i % 2) {                                        // these become brighter by 2 of L*, and change more
            l[i] += 2 / 50.f;
            ab[i] += 1;
        }
    }
    clzt_temporal_add(t, rgb, l, ab);
    REQUIRE_NEAR(clzt_temporal_scores(t).change, 5, 1e-5);
    clzt_temporal_add(t, rgb, l, ab);                       // stays: all pixels are still, half of the mean's weight was there
    REQUIRE_NEAR(clzt_temporal_scores(t).change, 5 / 3., 1e-5);
    REQUIRE(isnan(clzt_temporal_scores(t).cdc));            // no two frames 4 apart
    clzt_temporal_destroy(&t);
    REQUIRE(!t);
}

static void own_mean(void)
{
    static float l[PIXELS], ab[2 * PIXELS];
    struct clzt_metrics *m = NULL;

    CASE("metrics/own_mean_colour");        // a is 0.1 and 0.3 by turns, b is -0.2: mean distance (0.1 + 0) / 2
    REQUIRE_INT(clzt_metrics_create(&m, N, N), 0);
    for (int i = 0; i < PIXELS; i++) {
        ab[i] = i % 2 ? 0.1f : 0.3f;
        ab[PIXELS + i] = -0.2f;
    }
    clzt_metrics_add_own(m, l, ab);
    REQUIRE_NEAR(clzt_metrics_scores(m).l1, 0.05, 1e-7);
    REQUIRE_NEAR(clzt_metrics_added(m).flat[0], 0.2, 1e-6);
    REQUIRE_NEAR(clzt_metrics_added(m).flat[PIXELS], -0.2, 1e-6);
    clzt_metrics_destroy(&m);
}

int main(void)
{
    eigenvalues();
    frechet();
    temporal();
    own_mean();
    return check_end();
}
