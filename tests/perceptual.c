// perceptual.c - the perceptual loss: 0 where the picture is true, its gradient is its slope, and a training with it makes it
// smaller in both phases. tests/convert_torch.sh compares it with PyTorch:
//
//     perceptual write FEATURES.bin                           a model with random weights, for tests/train.sh
//     perceptual run FEATURES.bin IN.f32 OUT.f32 SIZE         IN: L, ab, true ab; OUT: the loss, 100000 times the gradient by ab
#include <errno.h>

#include "check.h"
#include "features_model.h"
#include "test_folder.h"
#include "trainer/perceptual.h"
#include "trainer/step.h"

enum { MOST = 256 };

// What the loss is bound to: an exec whose inputs are L and the true ab, and whose output is the predicted ab.
struct scene {
    struct clzi_device *dev;
    struct clz_model *net;
    struct clzi_graph *graph;
    struct clzi_params *weights;
    struct clzi_exec *exec;
    struct clzt_perceptual *loss;
    struct clzi_train_state *train;
    int64_t pixels;
};

static int open_scene(struct scene *s, const char *device, const char *path, int batch, int w, int h)
{
    const struct clzi_train_state start = { 1, 0, 0, 0 };
    int ab, ret;

    *s = (struct scene){ .pixels = (int64_t)batch * w * h };
    if ((ret = clzi_device_open(&s->dev, device, &(struct clzi_device_params){ .threads = 1, .precision = CLZ_PRECISION_F32,
                                                                               .log = log_ })) < 0 ||
        (ret = clzi_model_read(&s->net, path, &log_)) < 0 || (ret = clzt_perceptual_check(s->net, "features", path, &log_)) < 0)
        return ret;
    const struct clzi_backend *be = clzi_device_base(s->dev)->backend;
    REQUIRE_INT(clzi_graph_create(&s->graph), 0);
    clzi_graph_input(s->graph, "L", .channels = 1);
    ab = clzi_graph_input(s->graph, "raw", .channels = 2);
    clzi_graph_input(s->graph, "target", .channels = 2);
    // an op that changes nothing: an input that is an output has no gradient of its own
    REQUIRE(clzi_graph_output(s->graph, "ab", clzi_graph_clamp(s->graph, "same", ab, .scale = 10)) >= 0);
    REQUIRE_INT(clzi_params_create(&s->weights, s->dev, s->graph, NULL, NULL), 0);
    REQUIRE_INT(clzi_exec_create(&s->exec, s->graph, s->weights, &(struct clzi_exec_params){
        .n = batch, .h = h, .w = w, .backward = true, .input_gradient = { [1] = true } }), 0);
    REQUIRE_INT(clzt_perceptual_create(&s->loss, s->dev, s->net), 0);
    REQUIRE_INT(clzt_perceptual_bind(s->loss, 0, batch, (struct clzt_size){ w, h }, &(struct clzt_perceptual_binding){
        .l = clzi_exec_input(s->exec, 0), .target = clzi_exec_input(s->exec, 2), .ab = clzi_exec_output(s->exec, 0),
        .ab_gradient = clzi_exec_output_gradient(s->exec, 0) }), 0);
    s->train = be->alloc(s->dev, sizeof *s->train);
    return be->write(s->dev, (float *)s->train, (const float *)&start, sizeof start / sizeof(float));
}

static void close_scene(struct scene *s)
{
    if (s->train) clzi_device_base(s->dev)->backend->free(s->dev, s->train);
    clzt_perceptual_destroy(&s->loss);
    clzi_exec_destroy(&s->exec);
    clzi_params_destroy(&s->weights);
    clzi_graph_destroy(&s->graph);
    clz_model_close(&s->net);
    clzi_device_close(&s->dev);
}

// The loss, and its gradient by ab, [2 pixels]; NULL: not wanted.
static double loss_of(struct scene *s, const float *l, const float *ab, const float *target, float *gradient)
{
    const struct clzi_backend *be = clzi_device_base(s->dev)->backend;
    double value = NAN;

    REQUIRE_INT(clzi_exec_upload(s->exec, 0, l), 0);
    REQUIRE_INT(clzi_exec_upload(s->exec, 1, ab), 0);
    REQUIRE_INT(clzi_exec_upload(s->exec, 2, target), 0);
    REQUIRE_INT(clzi_exec_forward(s->exec, 0), 0);
    REQUIRE_INT(be->train->zero(s->dev, clzi_exec_output_gradient(s->exec, 0), 2 * s->pixels), 0);
    REQUIRE_INT(clzt_perceptual_run(s->loss, 0, 1, s->train), 0);
    REQUIRE_INT(clzt_perceptual_read(s->loss, 0, &value), 0);
    REQUIRE_INT(clzi_exec_backward(s->exec), 0);
    if (gradient)
        REQUIRE_INT(be->download(s->dev, clzi_exec_input_gradient(s->exec, 1), clzi_exec_input_shape(s->exec, 1), gradient), 0);
    return value;
}

static float chance(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (float)(*seed >> 8) / 8388608.f - 1;
}

// Colours that exist, in smooth patches.
static void picture(float *l, float *ab, float *target, int64_t pixels)
{
    uint32_t seed = 5;

    for (int64_t i = 0; i < pixels; i++) l[i] = 0.1f + 0.3f * chance(&seed);
    for (int64_t i = 0; i < 2 * pixels; i++) ab[i] = 0.1f * chance(&seed), target[i] = 0.1f * chance(&seed);
}

static void values(const char *device, const char *path)
{
    enum { SIZE = 64, PIXELS = SIZE * SIZE, TRIED = 6 };
    static float l[PIXELS], ab[2 * PIXELS], target[2 * PIXELS], gradient[2 * PIXELS], zero[2 * PIXELS];
    struct scene s;
    char name[60];

    snprintf(name, sizeof name, "perceptual/%s_values", device);
    CASE(name);
    REQUIRE_INT(open_scene(&s, device, path, 1, SIZE, SIZE), 0);
    picture(l, ab, target, PIXELS);
    REQUIRE_NEAR(loss_of(&s, l, target, target, gradient), 0, 0);
    REQUIRE(!memcmp(gradient, zero, sizeof zero));
    REQUIRE(loss_of(&s, l, ab, target, gradient) > 0.01);
    double along = 0, slope;
    // along the gradient itself: the sum of many pixels' shares
    const float step = 3e-5f;
    static float there[2 * PIXELS];
    double norm = 0;
    for (int i = 0; i < 2 * PIXELS; i++) norm += (double)gradient[i] * gradient[i];
    norm = sqrt(norm);
    for (int side = -1; side <= 1; side += 2) {
        for (int i = 0; i < 2 * PIXELS; i++) there[i] = ab[i] + (float)(side * step * gradient[i] / norm * sqrt(PIXELS));
        along += side * loss_of(&s, l, there, target, NULL);
    }
    slope = along / (2 * step * sqrt(PIXELS));
    REQUIRE_NEAR(slope / norm, 1, 0.02);    // measured: 0.998; relu6 and L1 have kinks
    close_scene(&s);
}

static void refused(void)
{
    struct clz_model *m = NULL;
    const struct clzi_model_facts facts = { .size = 64, .stride = 2, .l_scale = 50, .l_offset = 1, .ab_scale = 110,
                                            .arch = "other", .shape = "frame", .input = "luma" };
    static float w[2] = { 1, 1 };
    float *weights[1] = { w };
    struct clzi_graph *g = NULL;

    CASE("perceptual/a_model_of_another_net_is_refused");
    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE(clzi_graph_conv(g, "c", clzi_graph_input(g, "L", .channels = 1), .channels = 2, .k = 1) >= 0);
    REQUIRE_INT(clzi_model_write(in_folder("other.bin"), g, weights, &facts, CLZI_F32, NULL), 0);
    REQUIRE_INT(clzi_model_read(&m, in_folder("other.bin"), &log_), 0);
    REQUIRE_INT(clzt_perceptual_check(m, "features", "other.bin", &log_), -EINVAL);
    REQUIRE(strstr(message, "features: other.bin is a model of other; expected one of lite0-features"));
    clz_model_close(&m);
    clzi_graph_destroy(&g);
}

// A generator of two convolutions, shown one picture again and again.
static void training(const char *path, int phase)
{
    enum { SIZE = 64, PIXELS = SIZE * SIZE };
    static float l[PIXELS], ab[2 * PIXELS], target[2 * PIXELS];
    struct clzi_graph *graphs[CLZT_PLAYERS] = { NULL, NULL };
    struct clzt_net_state *players[CLZT_PLAYERS] = { NULL, NULL };
    struct clzt_step *step = NULL;
    struct clz_model *net = NULL;
    struct clzi_device *dev = NULL;
    struct clzt_step_params params = {
        .batch = 1, .shapes = { { SIZE, SIZE } }, .shape_count = 1, .encoder_lr = 1, .seed = 3,
        .adam = { .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f },
        .gan = { .loss = clzt_gan_losses, .weight = 1e-3f, .lambda = 1, .real = 1, .lr = 1 },
    };
    double loss[CLZT_VALUES], first = 0;
    int row = 0;

    CASE(phase == CLZT_PHASE_PIXEL ? "perceptual/training_makes_it_smaller" : "perceptual/and_beside_a_discriminator");
    while (!clzt_losses[row].of_features) row++;
    params.loss[row] = 0.5f;
    REQUIRE_INT(clzi_device_open(&dev, "cpu", &(struct clzi_device_params){ .threads = 1, .precision = CLZ_PRECISION_F32 }), 0);
    REQUIRE_INT(clzi_model_read(&net, path, &log_), 0);
    params.features = net;
    for (int i = 0; i < CLZT_PLAYERS; i++) REQUIRE_INT(clzi_graph_create(&graphs[i]), 0);
    int x = clzi_graph_input(graphs[0], "L", .channels = 1);
    x = clzi_graph_conv(graphs[0], "a", x, .channels = 8, .k = 3, .pad = 1, .bias = 1, .act = CLZI_ACT_NONE);
    x = clzi_graph_act(graphs[0], "r", x, .act = CLZI_ACT_RELU);
    REQUIRE(clzi_graph_conv(graphs[0], "b", x, .channels = 2, .k = 3, .pad = 1, .bias = 1) >= 0);
    REQUIRE_INT(clzt_net_patchgan.build(graphs[1], NULL), 0);
    for (int i = 0; i < CLZT_PLAYERS; i++) {
        float **v = calloc((size_t)graphs[i]->param_count, sizeof *v);
        for (int k = 0; k < graphs[i]->param_count; k++)
            v[k] = calloc((size_t)clzi_param_count(&graphs[i]->params[k]), sizeof **v);
        clzt_net_init(graphs[i], CLZT_INIT_HE, 1, v);
        REQUIRE_INT(clzt_net_state_create(&players[i], dev, graphs[i], v, &(struct clzt_net_state_params){
            .name = "player", .prefix = i ? "d." : "" }), 0);
        for (int k = 0; k < graphs[i]->param_count; k++) free(v[k]);
        free(v);
    }
    picture(l, ab, target, PIXELS);
    for (int i = 0; i < PIXELS; i++) target[i] = 0.2f, target[PIXELS + i] = -0.15f;        // one colour, that can be learnt
    REQUIRE_INT(clzt_step_create(&step, &clzt_phases[phase], players, &params), 0);
    for (int number = 1; number <= 40 && step; number++) {
        REQUIRE_INT(clzt_step_run(step, number, 1e-2f, 0, &(struct clzt_sample){ .l = l, .ab = target }, loss), 0);
        if (number == 1) first = loss[row];
        for (int i = 0; i < row; i++) REQUIRE_NEAR(loss[i], 0, 0);
    }
    REQUIRE(loss[row] < 0.3 * first);       // measured: 0.12 of it in the pixel phase, 0.13 beside the discriminator
    printf("     perceptual loss %.4f, then %.4f\n", first, loss[row]);
    clzt_step_destroy(&step);
    for (int i = 0; i < CLZT_PLAYERS; i++) {
        clzt_net_state_destroy(&players[i]);
        clzi_graph_destroy(&graphs[i]);
    }
    clz_model_close(&net);
    clzi_device_close(&dev);
}

static int run(char **args)
{
    const int size = atoi(args[3]), pixels = size * size;
    float *in = calloc(5 * (size_t)pixels, sizeof *in), *out = calloc(1 + 2 * (size_t)pixels, sizeof *out);
    FILE *f = fopen(args[1], "rb");
    struct scene s;

    if (size < 32 || size > MOST || !in || !out || !f || fread(in, sizeof *in, 5 * (size_t)pixels, f) != 5 * (size_t)pixels ||
        fclose(f) || open_scene(&s, "ref", args[0], 1, size, size) < 0)
        return 1;
    out[0] = (float)loss_of(&s, in, in + pixels, in + 3 * pixels, out + 1);
    for (int i = 1; i <= 2 * pixels; i++) out[i] *= 100000;
    close_scene(&s);
    if (!(f = fopen(args[2], "wb")) || fwrite(out, sizeof *out, 1 + 2 * (size_t)pixels, f) != 1 + 2 * (size_t)pixels || fclose(f))
        return 1;
    free(in);
    free(out);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "write")) return write_features(argv[2]), 0;
    if (argc == 6 && !strcmp(argv[1], "run")) return run(argv + 2);
    if (!folder_make("perceptual")) return 1;
    write_features(in_folder("features.bin"));
    values("ref", in_folder("features.bin"));
    values("cpu", in_folder("features.bin"));
    refused();
    training(in_folder("features.bin"), CLZT_PHASE_PIXEL);
    training(in_folder("features.bin"), CLZT_PHASE_ADVERSARIAL);
    if (folder_remove()) return 1;
    return check_end();
}
