// gan.c - the discriminators, nets told of classes, and the adversarial phase: logits, gradients, losses and updated weights are
// PyTorch's (ref_gan.h, which ref/make_gan.py writes); what must not learn stays as it is; a step that is refused leaves no trace
// in the player that it concerns; pale colours become lively.
#include <errno.h>

#include "check.h"
#include "engine/classes.h"
#include "engine/exec.h"
#include "ref_gan.h"
#include "trainer/nets.h"
#include "trainer/step.h"

enum { BATCH = 2, SIZE = 16, PLACES = 12, MAX_ALL = 2000 };
#define COUNT(a) (sizeof(a) / sizeof *(a))

static const struct { const char *device; enum clz_precision precision; } devices[] = {
    { "ref", CLZ_PRECISION_F32 }, { "cpu", CLZ_PRECISION_F32 }
};

static struct clzi_device *open_device(const char *name)
{
    const struct clzi_device_params params = { .threads = 1, .precision = CLZ_PRECISION_F32 };
    struct clzi_device *dev = NULL;

    if (clzi_device_open(&dev, name, &params) < 0) exit(1);
    return dev;
}

// ---- the formulas of ref/make_gan.py and ref/make_nets.py ----

static void picture(double salt, int n, int c, int size, float *to)
{
    for (int plane = 0; plane < n * c; plane++)
        for (int y = 0; y < size; y++)
            for (int x = 0; x < size; x++)
                *to++ = (float)(0.7 * sin(0.31 * y + 0.17 * x * (1 + plane) + salt) * cos(0.23 * y * plane + 0.4 * salt));
}

static float uniform(const char *name, uint32_t i)
{
    uint32_t h = 2166136261u, x;

    while (*name) h = (h ^ (unsigned char)*name++) * 16777619u;
    x = i * 0x9E3779B9u + h;
    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= x >> 15;
    x *= 0x846CA68Bu;
    x ^= x >> 16;
    return (float)(x >> 24) / 128 - 1;
}

static bool ends_with(const char *s, const char *suffix)
{
    return strlen(s) >= strlen(suffix) && !strcmp(s + strlen(s) - strlen(suffix), suffix);
}

static void fill(const struct clzi_param *p, float *to)
{
    const int64_t count = clzi_param_count(p);
    float scale = 1, offset = 0;

    if (ends_with(p->name, "running_var")) scale = 0.5f, offset = 1;
    else if (p->rank == 1 && ends_with(p->name, "weight")) scale = 0.25f, offset = 1;
    else if (p->rank == 1) scale = 0.125f;
    else while (scale * scale * (float)(count / p->dims[0]) > 6) scale /= 2;
    for (int64_t i = 0; i < count; i++) to[i] = offset + scale * uniform(p->name, (uint32_t)i);
}

static float **values_new(const struct clzi_graph *g)
{
    float **values = calloc((size_t)g->param_count, sizeof *values);

    for (int i = 0; i < g->param_count; i++) {
        values[i] = malloc((size_t)clzi_param_count(&g->params[i]) * sizeof(float));
        fill(&g->params[i], values[i]);
    }
    return values;
}

static void values_free(const struct clzi_graph *g, float **values)
{
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    free(values);
}

static int64_t place(int k, int64_t count) { return (int64_t)k * 7919 * 13 % count; }

// ---- discriminators, and a net modulated by classes ----

static int build_film(struct clzi_graph *g, const struct clzt_net_options *options)
{
    int x = clzi_graph_conv(g, "a", clzi_graph_input(g, "L", .channels = 1), .channels = 4, .k = 3, .pad = 1);

    x = clzi_graph_act(g, "r", clzt_film(g, options, "f", x), .act = CLZI_ACT_RELU);
    x = clzi_graph_conv(g, "b", x, .channels = 4, .k = 3, .pad = 1);
    x = clzi_graph_act(g, "s", clzt_film(g, options, "g", x), .act = CLZI_ACT_RELU);
    x = clzi_graph_conv(g, "c", x, .channels = 1, .k = 3, .pad = 1);
    return x < 0 ? x : 0;
}

static const struct clzt_net film_net = { "film", "", build_film, CLZT_INIT_HE, 64, NULL, false };

#define REFERENCE(name) { name##_logits, COUNT(name##_logits) }, name##_loss, name##_dx, { name##_dw, COUNT(name##_dw) }
struct reference { const float *values; size_t count; };
static const struct judge {
    const char *name;
    const struct clzt_net *net;
    int classes, size;
    const char *port;               // the gradient of this input is compared
    struct reference logits;
    const float *loss, *dx;
    struct reference dw;
} judges[] = {
    { "patchgan", &clzt_net_patchgan, 0, 64, "ab", REFERENCE(patchgan) },
    { "patchgan-half", &clzt_net_patchgan_half, 0, 64, "ab", REFERENCE(half) },
    { "projection", &clzt_net_patchgan, 3, 64, "ab", REFERENCE(projection) },
    { "film", &film_net, 3, SIZE, "L", REFERENCE(film) },
};

// Measured, cpu: 5e-6 of logits up to 1.7; of the input's gradient, relative to the largest compared, 3e-6; of the parameters',
// relative to each tensor's root mean square, 6e-6. ref: 2e-7, 2e-7, 6e-7.
static void compare_judge(const struct judge *j, const char *device)
{
    static const float of_classes[2 * 3] = { 1, 0, 0.5f, 0, 0, 1 };
    struct clzi_device *dev = open_device(device);
    const struct clzi_params_wanted wanted = { .train = true };
    struct clzi_exec_params params = { .n = 2, .h = j->size, .w = j->size, .training = true, .backward = true };
    const struct clzt_net_options options = { .classes = j->classes };
    const struct clzi_train_state good = { .scale = 1 };
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    struct clzi_train_state *state = be->alloc(dev, sizeof *state);
    struct clzi_graph *g = NULL;
    struct clzi_params *w = NULL;
    struct clzi_exec *x = NULL;
    static float in[2 * 2 * 64 * 64], dx[2 * 2 * 64 * 64], z[BATCH * SIZE * SIZE];
    float loss, **values;
    const float *want = j->dw.values;
    double worst_z = 0, worst_dx = 0, worst_dw = 0, largest = 0;
    int64_t dx_count;
    int logits, port;
    char name[80];

    snprintf(name, sizeof name, "gan/%s_has_pytorch's_logits_and_gradients_on_%s", j->name, device);
    CASE(name);
    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE_INT(j->net->build(g, &options), 0);
    values = values_new(g);
    logits = g->out[0].node;
    REQUIRE(clzi_graph_output(g, "z", logits) >= 0);
    REQUIRE(clzi_graph_output(g, "loss", clzi_graph_append(g, "loss", CLZI_OP_BCE, &logits, 1,
                                                           &(struct clzi_attr){ .target = 1 })) >= 0);
    port = clzi_port_find(g->in, g->in_count, j->port);
    REQUIRE(port >= 0);
    params.input_gradient[port] = true;
    REQUIRE_INT(clzi_params_create(&w, dev, g, values, &wanted), 0);
    REQUIRE_INT(clzi_exec_create(&x, g, w, &params), 0);
    picture(1, 2, 1, j->size, in);
    REQUIRE_INT(clzi_exec_upload(x, clzi_port_find(g->in, g->in_count, "L"), in), 0);
    if (clzi_port_find(g->in, g->in_count, "ab") >= 0) {
        picture(2, 2, 2, j->size, in);
        REQUIRE_INT(clzi_exec_upload(x, clzi_port_find(g->in, g->in_count, "ab"), in), 0);
    }
    if (j->classes) REQUIRE_INT(clzi_exec_upload(x, clzi_port_find(g->in, g->in_count, CLZI_CLASS_PORT), of_classes), 0);
    REQUIRE_INT(clzi_params_begin(w), 0);
    REQUIRE_INT(be->write(dev, (float *)state, (const float *)&good, sizeof good / sizeof(float)), 0);
    REQUIRE_INT(clzi_exec_forward(x, 0), 0);
    REQUIRE_INT(be->train->seed(dev, clzi_exec_output_gradient(x, 1), 1, state), 0);
    REQUIRE_INT(clzi_exec_backward(x), 0);
    REQUIRE(j->logits.count <= COUNT(z));
    REQUIRE_INT(clzi_exec_download(x, 0, z), 0);
    REQUIRE_INT(clzi_exec_download(x, 1, &loss), 0);
    REQUIRE_INT(be->download(dev, clzi_exec_input_gradient(x, port), clzi_exec_input_shape(x, port), dx), 0);
    for (size_t i = 0; i < j->logits.count; i++) worst_z = fmax(worst_z, fabs(z[i] - j->logits.values[i]));
    REQUIRE_NEAR(worst_z, 0, 2e-5);
    REQUIRE_NEAR(loss, *j->loss, 2e-6);
    dx_count = (int64_t)2 * clzi_graph_channels(g, g->in[port].node) * j->size * j->size;
    for (int k = 0; k < PLACES; k++) {
        largest = fmax(largest, fabs(j->dx[k]));
        worst_dx = fmax(worst_dx, fabs(dx[place(k, dx_count)] - j->dx[k]));
    }
    worst_dx /= largest;
    REQUIRE_NEAR(worst_dx, 0, 3e-5);
    for (int i = 0; i < g->param_count; i++) {
        const int64_t count = clzi_param_count(&g->params[i]);
        const int places = count < PLACES ? (int)count : PLACES;
        float *dw;
        double squares = 0;
        if (g->params[i].buffer) continue;
        dw = malloc((size_t)count * sizeof *dw);
        REQUIRE_INT(clzi_params_read(w, CLZI_DW, i, dw), 0);
        for (int64_t k = 0; k < count; k++) squares += (double)dw[k] * dw[k];
        for (int k = 0; k < places; k++) worst_dw = fmax(worst_dw, fabs(dw[place(k, count)] - want[k]) / want[places]);
        worst_dw = fmax(worst_dw, fabs(sqrt(squares / count) / want[places] - 1));
        want += places + 1;
        free(dw);
    }
    REQUIRE(want == j->dw.values + j->dw.count);
    REQUIRE_NEAR(worst_dw, 0, 3e-5);
    printf("     largest error: logits %.1e, gradient of %s %.1e, of the parameters %.1e\n", worst_z, j->port, worst_dx,
           worst_dw);
    clzi_exec_destroy(&x);
    clzi_params_destroy(&w);
    values_free(g, values);
    clzi_graph_destroy(&g);
    be->free(dev, state);
    clzi_device_close(&dev);
}

// ---- two tiny players ----

struct game {
    struct clzi_device *dev;
    struct clzi_graph *graphs[CLZT_PLAYERS];
    float **values[CLZT_PLAYERS];
    struct clzt_net_state *players[CLZT_PLAYERS];
    struct clzt_step *step;
    float l[BATCH * SIZE * SIZE], ab[2 * BATCH * SIZE * SIZE];
    double loss[CLZT_VALUES];
};

static void build(struct clzi_graph *g, struct clzi_graph *d)
{
    int x = clzi_graph_input(g, "L", .channels = 1), l = clzi_graph_input(d, "L", .channels = 1);

    x = clzi_graph_conv(g, "a", x, .channels = 4, .k = 3, .pad = 1);
    x = clzi_graph_batchnorm(g, "n", x);
    x = clzi_graph_act(g, "r", x, .act = CLZI_ACT_RELU);
    x = clzi_graph_conv(g, "b", x, .channels = 2, .k = 3, .pad = 1, .bias = 1);
    REQUIRE(clzi_graph_act(g, "h", x, .act = CLZI_ACT_TANH) >= 0);
    x = clzi_graph_concat(d, "Lab", l, clzi_graph_input(d, "ab", .channels = 2));
    x = clzi_graph_conv(d, "p", x, .channels = 4, .k = 4, .stride = 2, .pad = 1, .bias = 1);
    x = clzi_graph_act(d, "s", x, .act = CLZI_ACT_LEAKY, .slope = 0.2f);
    x = clzi_graph_conv(d, "q", x, .channels = 8, .k = 4, .stride = 2, .pad = 1);
    x = clzi_graph_batchnorm(d, "m", x);
    x = clzi_graph_act(d, "t", x, .act = CLZI_ACT_LEAKY, .slope = 0.2f);
    REQUIRE(clzi_graph_conv(d, "r", x, .channels = 1, .k = 4, .pad = 1, .bias = 1) >= 0);
}

static const struct clzt_gan_loss *find_loss(const char *name)
{
    const struct clzt_gan_loss *loss = clzt_gan_losses;

    while (strcmp(loss->name, name)) loss++;
    return loss;
}

static struct clzt_gan rules(const char *loss)
{
    return (struct clzt_gan){ .loss = find_loss(loss), .weight = 1, .lambda = 100, .real = 1, .lr = 1 };
}

static void use_phase(struct game *p, int phase, const struct clzt_gan *gan)
{
    const struct clzt_step_params params = {
        .batch = BATCH, .shapes = { { SIZE, SIZE } }, .shape_count = 1, .encoder_lr = 1, .loss = { 1 }, .gan = *gan,
        .adam = { .beta1 = 0.5f, .beta2 = 0.999f, .eps = 1e-8f }, .seed = 3,
    };

    clzt_step_destroy(&p->step);
    REQUIRE_INT(clzt_step_create(&p->step, &clzt_phases[phase], p->players, &params), 0);
    if (!p->step) exit(1);
}

static void begin_with(struct game *p, const char *device, const struct clzt_gan *gan, bool spectral)
{
    const struct clzt_net_state_params nets[CLZT_PLAYERS] = {
        { .name = "generator", .prefix = "" }, { .name = "discriminator", .prefix = "d.", .spectral = spectral }
    };

    *p = (struct game){ .dev = open_device(device) };
    for (int i = 0; i < CLZT_PLAYERS; i++) REQUIRE_INT(clzi_graph_create(&p->graphs[i]), 0);
    build(p->graphs[0], p->graphs[1]);
    for (int i = 0; i < CLZT_PLAYERS; i++) {
        p->values[i] = values_new(p->graphs[i]);
        REQUIRE_INT(clzt_net_state_create(&p->players[i], p->dev, p->graphs[i], p->values[i], &nets[i]), 0);
    }
    use_phase(p, CLZT_PHASE_ADVERSARIAL, gan);
}

static void begin(struct game *p, const char *device, const struct clzt_gan *gan) { begin_with(p, device, gan, false); }

static void end(struct game *p)
{
    clzt_step_destroy(&p->step);
    for (int i = 0; i < CLZT_PLAYERS; i++) {
        clzt_net_state_destroy(&p->players[i]);
        values_free(p->graphs[i], p->values[i]);
        clzi_graph_destroy(&p->graphs[i]);
    }
    clzi_device_close(&p->dev);
}

static int step(struct game *p, int number, float lr)
{
    picture(number - 1, BATCH, 1, SIZE, p->l);
    picture(number - 0.5, BATCH, 2, SIZE, p->ab);
    return clzt_step_run(p->step, number, lr, 0, &(struct clzt_sample){ .l = p->l, .ab = p->ab }, p->loss);
}

// All numbers of a kind, or -1 if there are none; returns how many.
static int all(const struct clzt_net_state *s, enum clzt_kept kind, float to[MAX_ALL])
{
    int n = 0;

    for (int i = 0; i < s->graph->param_count; i++) {
        if (!clzt_net_state_has(s, kind, i)) continue;
        REQUIRE_INT(clzt_net_state_read(s, kind, i, to + n), 0);
        n += (int)clzi_param_count(&s->graph->params[i]);
    }
    return n;
}

struct snapshot { float kinds[CLZT_KEPT_COUNT][MAX_ALL]; };

static void take(const struct clzt_net_state *s, struct snapshot *to)
{
    memset(to, 0, sizeof *to);
    for (int kind = 0; kind < CLZT_KEPT_COUNT; kind++) all(s, kind, to->kinds[kind]);
}

static bool same(const struct clzt_net_state *s, const struct snapshot *before)
{
    static struct snapshot now;

    take(s, &now);
    return !memcmp(&now, before, sizeof now);
}

// Measured: losses 1.2e-7, weights 1.3e-7.
static void steps(const char *device, const char *loss, bool spectral, float real, const float *losses, const float *want_g,
                  const float *want_d)
{
    struct clzt_gan gan = rules(loss);
    static const int order[5] = { 0, CLZT_VALUE_GAN, CLZT_VALUE_D, CLZT_VALUE_D_REAL, CLZT_VALUE_D_FAKE };
    static float weights[MAX_ALL];
    struct game p;
    double worst = 0, worst_w = 0;
    char name[96];

    snprintf(name, sizeof name, "gan/three_steps_with_%s%s_are_pytorch's_on_%s", loss,
             spectral ? "_and_spectral_norm" : "", device);
    CASE(name);
    gan.real = real;
    begin_with(&p, device, &gan, spectral);
    for (int k = 0; k < 3; k++) {
        REQUIRE_INT(step(&p, k + 1, 0.01f), 0);
        for (int i = 0; i < 5; i++) worst = fmax(worst, fabs(p.loss[order[i]] - *losses++));
    }
    REQUIRE_NEAR(worst, 0, 1e-5);
    for (int i = 0; i < CLZT_PLAYERS && want_g; i++) {
        const float *want = i ? want_d : want_g;
        const int n = all(p.players[i], CLZT_WEIGHTS, weights);
        REQUIRE_INT(n, i ? COUNT(bce_d) : COUNT(bce_g));
        for (int k = 0; k < n; k++) worst_w = fmax(worst_w, fabs(weights[k] - want[k]));
    }
    REQUIRE_NEAR(worst_w, 0, 1e-5);
    printf("     largest error: losses %.1e, weights %.1e\n", worst, worst_w);
    end(&p);
}

// Sigma after each iteration on arange(12).reshape(3, 4) / 10 + eye(3, 4) from u = 1 / sqrt(3), by numpy in double. Measured
// error: 1e-7.
static void spectral(const char *device)
{
    static const double want[5] = { 3.0411657215639245, 3.0638050329727475, 3.063922614019347, 3.063923217239707,
                                    3.0639232203341824 };
    struct clzi_device *dev = open_device(device);
    const struct clzi_train_ops *t = clzi_device_base(dev)->backend->train;
    float w[12], to[12], u[3], v[4], sigma;
    char name[64];

    snprintf(name, sizeof name, "gan/spectral_norm_on_%s", device);
    CASE(name);
    for (int i = 0; i < 12; i++) w[i] = (float)i / 10 + (i % 5 == 0);
    for (int i = 0; i < 3; i++) u[i] = 1 / sqrtf(3);
    for (int k = 0; k < 5; k++) {
        REQUIRE_INT(t->spectral(dev, to, w, u, v, &sigma, 3, 4), 0);
        REQUIRE_NEAR(sigma, want[k], 1e-6);
    }
    for (int i = 0; i < 12; i++) REQUIRE_NEAR(to[i], w[i] / 3.0639232203501394, 1e-6);
    memset(w, 0, sizeof w);
    REQUIRE_INT(t->spectral(dev, to, w, u, v, &sigma, 3, 4), 0);
    for (int i = 0; i < 12; i++) REQUIRE_NEAR(to[i], 0, 0);
    clzi_device_close(&dev);
}

static void critic(void)
{
    static struct snapshot g, d;
    struct clzt_gan gan = rules("bce");
    struct game p;

    CASE("gan/critic_pretraining_leaves_the_generator_as_it_is");
    gan.critic = 2;
    begin(&p, "cpu", &gan);
    take(p.players[CLZT_GENERATOR], &g);
    for (int k = 1; k <= 2; k++) {
        take(p.players[CLZT_DISCRIMINATOR], &d);
        REQUIRE_INT(step(&p, k, 0.01f), 0);
        REQUIRE(same(p.players[CLZT_GENERATOR], &g) && !same(p.players[CLZT_DISCRIMINATOR], &d));
        REQUIRE(isnan(p.loss[CLZT_VALUE_GAN]) && isfinite(p.loss[CLZT_VALUE_D]) && p.loss[0] > 0);
    }
    REQUIRE_INT(p.players[CLZT_GENERATOR]->updates, 0);
    REQUIRE_INT(step(&p, 3, 0.01f), 0);
    REQUIRE(!same(p.players[CLZT_GENERATOR], &g) && isfinite(p.loss[CLZT_VALUE_GAN]));
    REQUIRE_INT(p.players[CLZT_GENERATOR]->updates, 1);         // Adam's bias correction begins with its own first step
    REQUIRE_INT(p.players[CLZT_DISCRIMINATOR]->updates, 3);
    end(&p);

    CASE("gan/the_generator_learns_where_the_discriminator's_loss_is_below_the_threshold");
    gan.critic = 0;
    gan.threshold = 0.69f;
    begin(&p, "cpu", &gan);
    for (int k = 1, learnt = 0, waited = 0; k <= 40; k++) {
        bool below;
        take(p.players[CLZT_GENERATOR], &g);
        REQUIRE_INT(step(&p, k, 0.002f), 0);
        below = p.loss[CLZT_VALUE_D] < gan.threshold;
        REQUIRE_INT(same(p.players[CLZT_GENERATOR], &g), !below);
        REQUIRE_INT(isnan(p.loss[CLZT_VALUE_GAN]), !below);
        learnt += below;
        waited += !below;
        if (k == 40) REQUIRE(learnt > 3 && waited > 3);
    }
    end(&p);
}

// At step 2 something is not finite. Of a player that it concerns nothing changes; the other one learns.
static void not_finite(const char *device)
{
    static const struct { const char *what; float pixel, target, weight; bool d_learns; const char *culprit; } faults[] = {
        { "NaN_in_the_grey", NAN, 0, 1, false, "discriminator" }, { "NaN_in_the_colour", 0, NAN, 1, false, "discriminator" },
        { "overflow_in_the_generator", 0, 0, 3e38f, true, "generator" },
    };
    static struct snapshot g, d;

    for (size_t k = 0; k < COUNT(faults); k++) {
        struct clzt_gan gan = rules("bce");
        struct game p;
        char name[96];

        snprintf(name, sizeof name, "gan/%s_%s", device, faults[k].what);
        CASE(name);
        gan.weight = faults[k].weight;
        begin(&p, device, &gan);
        if (faults[k].weight == 1) REQUIRE_INT(step(&p, 1, 0.01f), 0);
        take(p.players[CLZT_GENERATOR], &g);
        take(p.players[CLZT_DISCRIMINATOR], &d);
        picture(1, BATCH, 1, SIZE, p.l);
        picture(1.5, BATCH, 2, SIZE, p.ab);
        if (faults[k].pixel) p.l[37] = faults[k].pixel;
        if (faults[k].target) p.ab[37] = faults[k].target;
        REQUIRE_INT(clzt_step_run(p.step, 2, 0.01f, 0, &(struct clzt_sample){ .l = p.l, .ab = p.ab }, p.loss), -EDOM);
        REQUIRE_STR(clzt_step_culprit(p.step), faults[k].culprit);
        REQUIRE(same(p.players[CLZT_GENERATOR], &g));
        REQUIRE_INT(!same(p.players[CLZT_DISCRIMINATOR], &d), faults[k].d_learns);
        take(p.players[CLZT_DISCRIMINATOR], &d);
        for (int kind = 0; kind < CLZT_KEPT_COUNT; kind++)
            for (int i = 0; i < MAX_ALL; i++) REQUIRE(isfinite(d.kinds[kind][i]));
        if (faults[k].weight == 1) {
            REQUIRE_INT(step(&p, 3, 0.01f), 0);
            REQUIRE(!same(p.players[CLZT_GENERATOR], &g) && !same(p.players[CLZT_DISCRIMINATOR], &d));
        }
        end(&p);
    }
}

static void balance(void)
{
    struct clzt_balance b = { 0, 0 };

    CASE("gan/who_wins");
    for (int i = 0; i < 500; i++) {
        REQUIRE_INT(clzt_balance_winner(&b, 500), CLZT_NOBODY_WINS);
        clzt_balance_add(&b, find_loss("bce"), 0.049);
    }
    REQUIRE_INT(clzt_balance_winner(&b, 500), CLZT_DISCRIMINATOR_WINS);
    REQUIRE_INT(clzt_balance_winner(&b, 0), CLZT_NOBODY_WINS);
    clzt_balance_add(&b, find_loss("bce"), 0.051);
    for (int i = 0; i < 500; i++) {
        REQUIRE_INT(clzt_balance_winner(&b, 500), CLZT_NOBODY_WINS);
        clzt_balance_add(&b, find_loss("bce"), i % 2 ? 0.7027 : 0.6837);
    }
    REQUIRE_INT(clzt_balance_winner(&b, 500), CLZT_GENERATOR_WINS);
    clzt_balance_add(&b, find_loss("bce"), 0.6829);
    REQUIRE_INT(clzt_balance_winner(&b, 500), CLZT_NOBODY_WINS);
}

// Colours that the grey does not tell: each picture is grey or has one of two opposite hues. Pixel losses answer with the middle,
// the discriminator sees that no true picture of colour is so pale.
static void hues(uint32_t *seed, float *l, float *ab)
{
    for (int n = 0; n < BATCH; n++) {
        uint32_t r = *seed = *seed * 1664525u + 1013904223u;
        const float hue = (float)((r >> 8) % 3) - 1, phase = (float)(r >> 16 & 255) / 40, tilt = (float)(r >> 24) / 255;
        for (int y = 0; y < SIZE; y++)
            for (int x = 0; x < SIZE; x++) {
                l[(n * SIZE + y) * SIZE + x] = 0.6f * sinf(0.5f * x * tilt + 0.4f * y * (1 - tilt) + phase);
                ab[(n * 2 * SIZE + y) * SIZE + x] = 0.4f * hue;
                ab[((n * 2 + 1) * SIZE + y) * SIZE + x] = -0.3f * hue;
            }
    }
}

// Mean chroma of what the generator says of new pictures, relative to the truth's, 0.5 of two thirds of them.
static double chroma(const struct game *p)
{
    const struct clzi_exec_params params = { .n = BATCH, .h = SIZE, .w = SIZE };
    struct clzi_exec *x = NULL;
    static float l[BATCH * SIZE * SIZE], ab[2 * BATCH * SIZE * SIZE];
    uint32_t seed = 77;
    double sum = 0;

    REQUIRE_INT(clzi_exec_create(&x, p->graphs[0], p->players[0]->weights, &params), 0);
    for (int k = 0; k < 32; k++) {
        hues(&seed, l, ab);
        REQUIRE_INT(clzi_exec_upload(x, 0, l), 0);
        REQUIRE_INT(clzi_exec_forward(x, 0), 0);
        REQUIRE_INT(clzi_exec_download(x, 0, ab), 0);
        for (int n = 0; n < BATCH; n++)
            for (int i = 0; i < SIZE * SIZE; i++)
                sum += hypot(ab[2 * n * SIZE * SIZE + i], ab[(2 * n + 1) * SIZE * SIZE + i]);
    }
    clzi_exec_destroy(&x);
    return sum / (32 * BATCH * SIZE * SIZE) / (0.5 * 2 / 3);
}

static void play(struct game *p, int first, int last, float lr)
{
    static uint32_t seed = 5;

    for (int k = first; k <= last; k++) {
        hues(&seed, p->l, p->ab);
        REQUIRE_INT(clzt_step_run(p->step, k, lr, 0, &(struct clzt_sample){ .l = p->l, .ab = p->ab }, p->loss), 0);
    }
}

static void lively(void)
{
    struct clzt_gan gan = rules("bce");
    double pixel, adversarial;
    struct game p;

    CASE("gan/the_adversarial_phase_makes_pale_colours_lively");
    gan.lambda = 1;
    begin(&p, "cpu", &gan);
    use_phase(&p, CLZT_PHASE_PIXEL, &gan);
    play(&p, 1, 600, 0.003f);
    pixel = chroma(&p);
    REQUIRE_INT(clzt_net_state_restart(p.players[0]), 0);
    use_phase(&p, CLZT_PHASE_ADVERSARIAL, &gan);
    play(&p, 601, 1200, 0.002f);
    adversarial = chroma(&p);
    printf("     chroma, relative to the truth: %.2f by L1, %.2f with a discriminator, whose loss is %.2f\n", pixel, adversarial,
           p.loss[CLZT_VALUE_D]);
    REQUIRE(pixel < 0.3 && adversarial > 0.6 && adversarial < 1.6);
    end(&p);
}

// With an argument, only what PyTorch's values are known for, on that device.
int main(int argc, char **argv)
{
    for (size_t i = 0; i < (argc > 1 ? 1 : COUNT(devices)); i++) {
        const char *device = argc > 1 ? argv[1] : devices[i].device;
        for (size_t j = 0; j < COUNT(judges) && argc < 2; j++) compare_judge(&judges[j], device);
        steps(device, "bce", false, 0.9f, bce_losses, bce_g, bce_d);
        steps(device, "lsgan", false, 1, lsgan_losses, NULL, NULL);
        steps(device, "hinge", false, 1, hinge_losses, NULL, NULL);
        steps(device, "bce", true, 1, bce_spectral_losses, bce_spectral_g, bce_spectral_d);
        if (argc > 1) return check_end();
        spectral(device);
        not_finite(device);
    }
    critic();
    balance();
    lively();
    return check_end();
}
