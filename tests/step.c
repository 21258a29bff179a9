// step.c - a training step that is refused leaves no trace, wherever in it a number is not finite. The loss alone does not tell:
// ReLU makes 0 of NaN.
#include <errno.h>

#include "check.h"
#include "trainer/step.h"

enum { BATCH = 2, SIZE = 16, PIXELS = BATCH * SIZE * SIZE, MAX_VALUES = 2000 };

static float l[PIXELS], ab[2 * PIXELS];
static float start[CLZI_MAX_PARAMS][MAX_VALUES], *values[CLZI_MAX_PARAMS];

static float chance(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / 8388608.f - 1;
}

static struct clzi_graph *build(void)
{
    struct clzi_graph *g = NULL;
    uint32_t seed = 1;
    int x;

    if (clzi_graph_create(&g) < 0) exit(1);
    x = clzi_graph_input(g, "L", .channels = 1);
    x = clzi_graph_conv(g, "a", x, .channels = 8, .k = 3, .stride = 2, .pad = 1);
    x = clzi_graph_batchnorm(g, "n", x);
    x = clzi_graph_act(g, "r", x, .act = CLZI_ACT_RELU);
    x = clzi_graph_dropout(g, "d", x, .p = 0.25f);
    x = clzi_graph_conv(g, "b", x, .channels = 8, .k = 3, .pad = 1);
    x = clzi_graph_batchnorm(g, "m", x);
    x = clzi_graph_act(g, "q", x, .act = CLZI_ACT_RELU);
    x = clzi_graph_conv(g, "c", x, .channels = 2, .k = 3, .pad = 1, .bias = 1);
    x = clzi_graph_act(g, "h", x, .act = CLZI_ACT_TANH);
    if (clzi_graph_resize(g, "up", x, .factor = 2) < 0) exit(1);
    for (int i = 0; i < g->param_count; i++) {
        const bool norm = strchr("nm", g->params[i].name[0]);
        values[i] = start[i];
        if (clzi_param_count(&g->params[i]) > MAX_VALUES) exit(1);
        for (int64_t k = 0; k < clzi_param_count(&g->params[i]); k++) start[i][k] = 0.3f * chance(&seed) + norm;
    }
    return g;
}

static void good_batch(void)
{
    uint32_t seed = 2;

    for (int i = 0; i < PIXELS; i++) l[i] = chance(&seed);
    for (int i = 0; i < 2 * PIXELS; i++) ab[i] = 0.3f * chance(&seed);
}

// Parameters whose names begin with "n" play the encoder's part: a batch norm.
static int create(struct clzt_net_state **net, struct clzt_step **s, struct clzi_device *dev, const struct clzi_graph *g,
                  const struct clzt_step_params *params)
{
    const struct clzt_net_state_params net_params = { .name = "generator", .prefix = "", .encoder = "n", .ema = params->ema > 0 };
    const int ret = clzt_net_state_create(net, dev, g, values, &net_params);
    struct clzt_net_state *const players[CLZT_PLAYERS] = { *net };

    return ret < 0 ? ret : clzt_step_create(s, &clzt_phases[CLZT_PHASE_PIXEL], players, params);
}

static void destroy(struct clzt_net_state **net, struct clzt_step **s)
{
    clzt_step_destroy(s);
    clzt_net_state_destroy(net);
}

// Everything that a checkpoint keeps; returns how many numbers of it are not finite.
static int all(struct clzt_net_state *s, const struct clzi_graph *g, float to[CLZT_KEPT_COUNT][CLZI_MAX_PARAMS][MAX_VALUES])
{
    int bad = 0;

    for (int kind = 0; kind < CLZT_KEPT_COUNT; kind++)
        for (int i = 0; i < g->param_count; i++) {
            if (!clzt_net_state_has(s, kind, i)) continue;
            REQUIRE_INT(clzt_net_state_read(s, kind, i, to[kind][i]), 0);
            for (int64_t k = 0; k < clzi_param_count(&g->params[i]); k++) bad += !isfinite(to[kind][i][k]);
        }
    return bad;
}

static void not_finite(const char *device, enum clz_precision precision)
{
    static const struct { const char *what; float pixel, target, l2; } faults[] = {
        { "NaN_in_the_grey", NAN, 0, 1 }, { "infinity_in_the_grey", INFINITY, 0, 1 }, { "overflow_within", 3e38f, 0, 1 },
        { "NaN_in_the_colour", 0, NAN, 1 }, { "infinity_in_the_colour", 0, -INFINITY, 1 },
        { "gradient_alone", 0, 0, 3e38f },  // the loss, a double, has room for it
    };
    static float before[CLZT_KEPT_COUNT][CLZI_MAX_PARAMS][MAX_VALUES], after[CLZT_KEPT_COUNT][CLZI_MAX_PARAMS][MAX_VALUES];
    const struct clzi_device_params device_params = { .threads = 1, .precision = precision };
    struct clzi_device *dev = NULL;
    struct clzi_graph *g = build();

    if (clzi_device_open(&dev, device, &device_params) < 0) {
        clzi_graph_destroy(&g);
        return;                             // no bf16 here
    }
    for (size_t k = 0; k < sizeof faults / sizeof *faults; k++) {
        const struct clzt_step_params params = {
            .batch = BATCH, .shapes = { { SIZE, SIZE } }, .shape_count = 1, .ema = 0.9f, .weight_decay = 0.01f, .seed = 3,
            .adam = { .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f }, .loss = { 1, faults[k].l2 },
        };
        const bool can_be_good = faults[k].l2 == 1;
        double loss[CLZT_VALUES];
        struct clzt_net_state *net = NULL;
    struct clzt_step *s = NULL;
        char name[128];

        snprintf(name, sizeof name, "step/%s%s_%s_changes_nothing", device, precision == CLZ_PRECISION_BF16 ? "_bf16" : "",
                 faults[k].what);
        CASE(name);
        good_batch();
        REQUIRE_INT(create(&net, &s, dev, g, &params), 0);
        if (!s) break;
        if (can_be_good) REQUIRE_INT(clzt_step_run(s, 1, 1e-2f, 0, &(struct clzt_sample){ .l = l, .ab = ab }, loss), 0);
        REQUIRE_INT(all(net, g, before), 0);
        if (faults[k].pixel) l[37] = faults[k].pixel;
        if (faults[k].target) ab[37] = faults[k].target;
        REQUIRE_INT(clzt_step_run(s, 2, 1e-2f, 0, &(struct clzt_sample){ .l = l, .ab = ab }, loss), -EDOM);
        REQUIRE_INT(all(net, g, after), 0);
        REQUIRE(!memcmp(before, after, sizeof before));
        good_batch();
        if (can_be_good) REQUIRE_INT(clzt_step_run(s, 3, 1e-2f, 0, &(struct clzt_sample){ .l = l, .ab = ab }, loss), 0);
        if (can_be_good) REQUIRE_INT(all(net, g, after), 0);
        if (can_be_good) REQUIRE(memcmp(before, after, sizeof before));
        destroy(&net, &s);
    }
    clzi_device_close(&dev);
    clzi_graph_destroy(&g);
}

static bool changed(const struct clzi_graph *g, float a[CLZI_MAX_PARAMS][MAX_VALUES], float b[CLZI_MAX_PARAMS][MAX_VALUES],
                    const char *name)
{
    for (int i = 0; i < g->param_count; i++)
        if (!strcmp(g->params[i].name, name)) return memcmp(a[i], b[i], clzi_param_count(&g->params[i]) * sizeof(float)) != 0;
    REQUIRE(!"no such parameter");
    return false;
}

static void encoder(void)
{
    static float before[CLZT_KEPT_COUNT][CLZI_MAX_PARAMS][MAX_VALUES], after[CLZT_KEPT_COUNT][CLZI_MAX_PARAMS][MAX_VALUES];
    struct clzt_step_params params = {
        .batch = BATCH, .shapes = { { SIZE, SIZE }, { 2 * SIZE, SIZE / 2 } }, .shape_count = 2, .ema = 0.9f, .seed = 3,
        .adam = { .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f }, .loss = { 1 }, .encoder_lr = 1, .encoder_freeze = 1,
    };
    struct clzi_device *dev = NULL;
    struct clzi_graph *g = build();
    struct clzt_net_state *net = NULL;
    struct clzt_step *s = NULL;
    double loss[CLZT_VALUES];

    REQUIRE_INT(clzi_device_open(&dev, "cpu", &(struct clzi_device_params){ .threads = 1, .precision = CLZ_PRECISION_F32 }), 0);
    good_batch();

    CASE("step/a_frozen_encoder_and_kept_statistics");
    REQUIRE_INT(create(&net, &s, dev, g, &params), 0);
    all(net, g, before);
    REQUIRE_INT(clzt_step_run(s, 1, 1e-2f, 0, &(struct clzt_sample){ .l = l, .ab = ab }, loss), 0);
    all(net, g, after);
    REQUIRE(!changed(g, before[0], after[0], "n.weight") && !changed(g, before[0], after[0], "n.running_mean"));
    REQUIRE(changed(g, before[0], after[0], "m.weight") && changed(g, before[0], after[0], "m.running_mean"));
    REQUIRE_INT(clzt_step_run(s, 2, 1e-2f, 1, &(struct clzt_sample){ .l = l, .ab = ab }, loss), 0);     // another shape
    all(net, g, after);
    REQUIRE(changed(g, before[0], after[0], "n.weight") && !changed(g, before[0], after[0], "n.running_var"));
    destroy(&net, &s);

    CASE("step/learning_rate_and_statistics_of_the_encoder");
    params.encoder_freeze = 0;
    params.encoder_lr = 0;
    params.encoder_statistics = true;
    REQUIRE_INT(create(&net, &s, dev, g, &params), 0);
    REQUIRE_INT(clzt_step_run(s, 1, 1e-2f, 0, &(struct clzt_sample){ .l = l, .ab = ab }, loss), 0);
    all(net, g, after);
    REQUIRE(!changed(g, before[0], after[0], "n.weight") && changed(g, before[0], after[0], "n.running_mean"));
    REQUIRE(changed(g, before[0], after[0], "c.weight"));
    destroy(&net, &s);
    clzi_device_close(&dev);
    clzi_graph_destroy(&g);
}

int main(void)
{
    encoder();
    not_finite("ref", CLZ_PRECISION_F32);
    not_finite("cpu", CLZ_PRECISION_F32);
    not_finite("cpu", CLZ_PRECISION_BF16);
    return check_end();
}
