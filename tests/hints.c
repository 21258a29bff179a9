// hints.c - what recipes add to nets: hints, self-attention, a head of colour classes; and hints drawn from true colours.
#include <math.h>

#include "check.h"
#include "engine/backend.h"
#include "engine/exec.h"
#include "engine/params.h"
#include "kernels/ab_bins.h"
#include "trainer/hints.h"
#include "trainer/loss.h"
#include "trainer/nets.h"

// ---- drawing ----

static void counts(void)
{
    const struct clzt_hint_params published = { 7, 0 }, half = { 7, 0.5 }, none = { 0, 0 };
    enum { PICTURES = 100000 };
    double sum = 0, squares = 0;
    int with = 0, all = 0, zero = 0, few[4] = { 0 };

    CASE("hints/numbers_are_geometrically_distributed");
    for (int i = 0; i < PICTURES; i++) {
        const int n = clzt_hints_count(&published, 5, 2, i);
        if (n == CLZT_HINT_ALL) {
            all++;
            continue;
        }
        sum += n;
        squares += (double)n * n;
        with++;
        if (n < 4) few[n]++;
        zero += clzt_hints_count(&half, 5, 2, i) == 0;
        REQUIRE_INT(clzt_hints_count(&none, 5, 2, i), 0);
    }
    printf("     mean %.3f, variance %.2f\n", sum / with, squares / with - sum / with * (sum / with));
    REQUIRE_NEAR(sum / with, 7, 0.1);
    REQUIRE_NEAR(squares / with - sum / with * (sum / with), 56, 2);
    for (int n = 0; n < 4; n++) REQUIRE_NEAR((double)few[n] / with, 0.125 * pow(0.875, n), 0.004);     // 5 standard deviations
    REQUIRE_NEAR((double)all / PICTURES, 0.01, 0.0016);
    REQUIRE_NEAR((double)zero / with, 0.5 + 0.5 * 0.125, 0.01);
}

static void squares(void)
{
    enum { W = 96, H = 64, PLANE = W * H };
    const struct clzt_size size = { W, H };
    float *ab = malloc(2 * PLANE * sizeof *ab), *hints = malloc(3 * PLANE * sizeof *hints);
    double x_sum = 0, y_sum = 0, x2 = 0, area = 0;
    int points = 0;

    CASE("hints/a_square_has_the_mean_of_its_true_colours");
    for (int i = 0; i < 2 * PLANE; i++) ab[i] = (float)sin(0.37 * i);
    for (int picture = 0; picture < 4000; picture++) {
        int x0 = W, x1 = -1, y0 = H, y1 = -1, masked = 0;
        double mean[2] = { 0, 0 };
        clzt_hints_draw(hints, ab, size, 1, 9, 0, picture);
        for (int i = 0; i < PLANE; i++) {
            REQUIRE(hints[2 * PLANE + i] == 0 || hints[2 * PLANE + i] == 1);
            if (hints[2 * PLANE + i] == 0) {
                REQUIRE(hints[i] == 0 && hints[PLANE + i] == 0);
                continue;
            }
            masked++;
            x0 = i % W < x0 ? i % W : x0;
            x1 = i % W > x1 ? i % W : x1;
            y0 = i / W < y0 ? i / W : y0;
            y1 = i / W > y1 ? i / W : y1;
            for (int c = 0; c < 2; c++) mean[c] += ab[c * PLANE + i];
        }
        REQUIRE(x1 - x0 == y1 - y0 && x1 - x0 < CLZT_HINT_SIDE && masked == (x1 - x0 + 1) * (x1 - x0 + 1));
        for (int c = 0; c < 2; c++) REQUIRE_NEAR(hints[c * PLANE + y0 * W + x0], mean[c] / masked, 1e-6);
        for (int c = 0; c < 2; c++) REQUIRE(hints[c * PLANE + y0 * W + x0] == hints[c * PLANE + y1 * W + x1]);
        x_sum += (x0 + x1 + 1) / 2.;
        x2 += ((x0 + x1 + 1) / 2. - W / 2.) * ((x0 + x1 + 1) / 2. - W / 2.);
        y_sum += (y0 + y1 + 1) / 2.;
        area += masked;
        points++;
    }
    printf("     centre %.2f, %.2f of 48, 32; deviation %.2f; %.2f pixels\n", x_sum / points, y_sum / points, sqrt(x2 / points),
           area / points);
    REQUIRE_NEAR(x_sum / points, 48, 2);                    // standard error 0.35
    REQUIRE_NEAR(y_sum / points, 32, 1.5);
    REQUIRE_NEAR(sqrt(x2 / points), 22, 2);                 // a quarter of 91 free pixels, clipped at two deviations
    REQUIRE_NEAR(area / points, (1 + 4 + 9 + 16 + 25 + 36 + 49 + 64 + 81) / 9., 1.5);

    CASE("hints/none_are_zeros_and_all_are_the_picture");
    clzt_hints_draw(hints, ab, size, 0, 9, 0, 1);
    for (int i = 0; i < 3 * PLANE; i++) REQUIRE(hints[i] == 0);
    clzt_hints_draw(hints, ab, size, CLZT_HINT_ALL, 9, 0, 1);
    REQUIRE(!memcmp(hints, ab, 2 * PLANE * sizeof *ab));
    for (int i = 2 * PLANE; i < 3 * PLANE; i++) REQUIRE(hints[i] == 1);
    clzt_hints_draw(hints, ab, (struct clzt_size){ 3, 2 }, 40, 9, 0, 1);        // smaller than the squares
    free(ab);
    free(hints);
}

// ---- nets ----

static float **new_values(const struct clzi_graph *g)
{
    float **values = calloc((size_t)g->param_count + 1, sizeof *values);

    for (int i = 0; i < g->param_count; i++) values[i] = calloc(clzi_param_count(&g->params[i]), sizeof(float));
    return values;
}

static void free_values(const struct clzi_graph *g, float **values)
{
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    free(values);
}

// The answer of a net on ref to a picture and hints (NULL: not uploaded).
static void answer(const struct clzi_graph *g, float *const *values, int side, const float *l, const float *hints, float *ab)
{
    struct clzi_device *dev = NULL;
    struct clzi_params *weights = NULL;
    struct clzi_exec *exec = NULL;
    const int port = clzi_port_find(g->in, g->in_count, "hints");

    REQUIRE_INT(clzi_device_open(&dev, "ref", &(struct clzi_device_params){ 0 }), 0);
    REQUIRE_INT(clzi_params_create(&weights, dev, g, values, NULL), 0);
    REQUIRE_INT(clzi_exec_create(&exec, g, weights, &(struct clzi_exec_params){ .n = 1, .h = side, .w = side }), 0);
    REQUIRE_INT(clzi_exec_upload(exec, clzi_port_find(g->in, g->in_count, "L"), l), 0);
    if (hints) REQUIRE_INT(clzi_exec_upload(exec, port, hints), 0);
    REQUIRE_INT(clzi_exec_forward(exec, 0), 0);
    REQUIRE_INT(clzi_exec_download(exec, 0, ab), 0);
    clzi_exec_destroy(&exec);
    clzi_params_destroy(&weights);
    clzi_device_close(&dev);
}

// Weights of g from those of `from` by name; those of a wider first convolution go into its first channel.
static void take(const struct clzi_graph *g, float **values, const struct clzi_graph *from, float *const *others)
{
    for (int i = 0; i < g->param_count; i++)
        for (int k = 0; k < from->param_count; k++) {
            const struct clzi_param *a = &g->params[i], *b = &from->params[k];
            const int64_t area = (int64_t)b->dims[2] * b->dims[3];
            if (strcmp(a->name, b->name)) continue;
            if (clzi_param_count(a) == clzi_param_count(b)) memcpy(values[i], others[k], clzi_param_count(a) * sizeof(float));
            else
                for (int o = 0; o < a->dims[0]; o++)
                    memcpy(values[i] + o * a->dims[1] * area, others[k] + o * area, area * sizeof(float));
        }
}

static void options(const struct clzt_net *net)
{
    enum { SIDE = 64, PLANE = SIDE * SIDE };
    static const struct clzt_net_options more = { .hints = true, .attention = true };
    struct clzi_graph *plain, *wide;
    float **values, **wide_values, l[PLANE], hints[3 * PLANE] = { 0 }, a[2 * PLANE], b[2 * PLANE];
    char name[96];

    snprintf(name, sizeof name, "hints/%s_without_hints_answers_as_the_plain_net", net->name);
    CASE(name);
    for (int i = 0; i < PLANE; i++) l[i] = (float)sin(0.05 * (i % SIDE) + 0.0013 * i);
    REQUIRE(clzi_graph_create(&plain) == 0 && net->build(plain, NULL) == 0);
    REQUIRE(clzi_graph_create(&wide) == 0 && net->build(wide, &more) == 0);
    REQUIRE_INT(wide->in_count, 2);
    REQUIRE(wide->param_count > plain->param_count);
    values = new_values(plain);
    wide_values = new_values(wide);
    clzt_net_init(plain, net->init, 4, values);
    clzt_net_init(wide, net->init, 5, wide_values);
    take(wide, wide_values, plain, values);
    answer(plain, values, SIDE, l, NULL, a);
    answer(wide, wide_values, SIDE, l, NULL, b);
    REQUIRE(!memcmp(a, b, sizeof a));
    answer(wide, wide_values, SIDE, l, hints, b);
    REQUIRE(!memcmp(a, b, sizeof a));
    hints[PLANE / 2 + 7] = 0.4f;
    hints[2 * PLANE + PLANE / 2 + 7] = 1;
    answer(wide, wide_values, SIDE, l, hints, b);
    REQUIRE(memcmp(a, b, sizeof a));                        // and a hint changes it
    for (int i = 0; i < wide->param_count; i++)             // as does the attention's gamma
        if (!strcmp(wide->params[i].name, "attention.gain.gamma")) wide_values[i][0] = 0.5f;
    memset(hints, 0, sizeof hints);
    answer(wide, wide_values, SIDE, l, hints, b);
    REQUIRE(memcmp(a, b, sizeof a));
    free_values(plain, values);
    free_values(wide, wide_values);
    clzi_graph_destroy(&plain);
    clzi_graph_destroy(&wide);
}

static void classes(void)
{
    CASE("hints/a_head_of_classes_has_313_logits");
    for (const struct clzt_net *const *net = clzt_nets; *net; net++) {
        static const struct clzt_net_options some = { .temperature = 0.38f };
        struct clzi_graph *g;
        int logits;
        if (!(*net)->classes) continue;
        REQUIRE(clzi_graph_create(&g) == 0 && (*net)->build(g, &some) == 0);
        logits = clzt_net_logits(g);
        REQUIRE(logits > 0 && clzi_graph_channels(g, logits) == CLZK_AB_BINS);
        REQUIRE_INT(clzi_graph_channels(g, g->out[0].node), 2);
        clzi_graph_destroy(&g);
        REQUIRE(clzi_graph_create(&g) == 0 && (*net)->build(g, NULL) == 0);
        REQUIRE_INT(clzt_net_logits(g), -1);
        clzi_graph_destroy(&g);
    }
}

// The classes are those of Zhang et al.: their file begins and ends so, has 313 and none twice, each with a*, then b* rising.
static void bins(void)
{
    float a, b, last_a = -1000, last_b = 0;

    CASE("hints/classes_are_in_the_published_order");
    for (int k = 0; k < CLZK_AB_BINS; k++, last_a = a, last_b = b) {
        clzk_ab_bin(k, &a, &b);
        REQUIRE_NEAR(a * 110 / 10, rint(a * 11), 1e-5);
        REQUIRE(a > last_a + 0.05f || (fabsf(a - last_a) < 1e-6f && fabsf(b - last_b - 10 / 110.f) < 1e-5f));
        if (k == 0) REQUIRE(fabsf(a * 110 + 90) < 1e-4f && fabsf(b * 110 - 50) < 1e-4f);
        if (k == 312) REQUIRE(fabsf(a * 110 - 100) < 1e-4f && fabsf(b) < 1e-4f);
        if (k == 128) REQUIRE(fabsf(a * 110) < 1e-4f && fabsf(b * 110 - 80) < 1e-4f);
    }
    CASE("hints/a_colour_at_a_class_belongs_to_it");
    for (int k = 0; k < CLZK_AB_BINS; k++) {
        struct clzk_ab_share s;
        double sum = 0;
        clzk_ab_bin(k, &a, &b);
        s = clzk_ab_share(a, b);
        for (int j = 0; j < CLZK_AB_NEAREST; j++) sum += s.weight[j];
        REQUIRE_INT(s.bin[0], k);
        REQUIRE_NEAR(sum, 1, 1e-6);
    }
    for (int k = 0; k < 4; k++) {                           // far outside
        const struct clzk_ab_share s = clzk_ab_share(k % 2 ? 1e6f : -1e6f, k / 2 ? 1e6f : -1e6f);
        for (int j = 0; j < CLZK_AB_NEAREST; j++) REQUIRE(s.bin[j] >= 0 && s.bin[j] < CLZK_AB_BINS && isfinite(s.weight[j]));
    }
}

// A colour that makes up nearly all of the data against a rare one.
static void adjustment(void)
{
    static double counts[CLZT_AB_CELLS * CLZT_AB_CELLS];
    struct clzt_ab_weights weights;
    float bias[CLZK_AB_BINS] = { 0 };
    int common = -1, rare = -1;

    CASE("hints/adjustment_makes_rare_colours_likelier");
    for (int k = 0; k < CLZK_AB_BINS; k++) {
        float a, b;
        clzk_ab_bin(k, &a, &b);
        if (fabsf(a) < 1e-6f && fabsf(b) < 1e-6f) common = k;
        if (fabsf(a * 110 - 50) < 1e-3f && fabsf(b * 110 - 50) < 1e-3f) rare = k;
    }
    REQUIRE(common >= 0 && rare >= 0);
    counts[11 * CLZT_AB_CELLS + 11] = 999;                  // ab = 0: cell 11 covers -5 to 5
    counts[16 * CLZT_AB_CELLS + 16] = 1;
    clzt_ab_weights_make(&weights, counts, 0.5);
    clzt_ab_weights_adjust(&weights, 0.5, bias);
    REQUIRE_NEAR(bias[rare] - bias[common],
                 0.5 * log(weights.w[16 * CLZT_AB_CELLS + 16] / weights.w[11 * CLZT_AB_CELLS + 11]), 1e-5);
    REQUIRE(bias[rare] > bias[common] + 0.3f);
    clzt_ab_weights_adjust(&weights, -0.5, bias);
    for (int k = 0; k < CLZK_AB_BINS; k++) REQUIRE_NEAR(bias[k], 0, 1e-6);
}

int main(void)
{
    bins();
    adjustment();
    counts();
    squares();
    options(&clzt_net_lite0);
    options(&clzt_net_light);
    options(&clzt_net_resnet18_lite);
    options(&clzt_net_resnet18_unet);
    classes();
    return check_end();
}
