// gpu_check.c - the CUDA device on a GPU, against the CPU: every net forward and backward in f32, bf16 and f16, streams of
// frames, ten thousand frames with flat memory, a training whose losses follow the CPU's. With another device ("cpu", "ref") the
// program checks itself; make check-cuda runs it, tests/ops.c and the sanitizers of CUDA.
//
//     gpu_check [--device cuda] [--quick] [CASE]
#include <errno.h>
#include <unistd.h>

#include "check.h"
#include "base/clock.h"
#include "engine/backend.h"
#include "engine/exec.h"
#include "gpu_memory.h"
#include "stream_check.h"
#include "tiny_model.h"
#include "trainer/nets.h"

static const char *device = "cuda", *only;
static bool quick;

static void message(void *priv, enum clz_log_level level, const char *text)
{
    (void)priv;
    if (level <= CLZ_LOG_INFO) printf("  %s\n", text);
}

// Of devices under test: what went wrong, and whether a pass runs without being recorded as a CUDA graph.
static bool not_recorded;
static void notable(void *priv, enum clz_log_level level, const char *text)
{
    const bool recording = strstr(text, "cannot be recorded");

    (void)priv;
    not_recorded |= recording;
    if (level <= CLZ_LOG_WARNING || recording) printf("  %s\n", text);
}
static const struct clz_log verbose = { message, NULL, CLZ_LOG_INFO }, errors = { notable, NULL, CLZ_LOG_VERBOSE };

static bool wanted(const char *name) { return !only || strstr(name, only); }

// ---- numbers ----

static void fill(float *x, int64_t count, uint32_t seed, float range)
{
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = ((float)(seed >> 8) / 8388608.f - 1) * range;
    }
}

// Root mean square of got - want over that of want; scale: of got.
static double off(const float *got, const float *want, int64_t count, double scale)
{
    double difference = 0, size = 0;

    for (int64_t i = 0; i < count; i++) {
        difference += (got[i] * scale - want[i]) * (got[i] * scale - want[i]);
        size += (double)want[i] * want[i];
    }
    return size > 0 ? sqrt(difference / size) : difference > 0;
}

// ---- a network on a device ----

enum { BATCH = 2, MOST_PARAMS = CLZI_MAX_PARAMS };
struct run { struct clzi_device *dev; struct clzi_params *weights; struct clzi_exec *exec; };

static int open_device(struct clzi_device **dev, const char *name, enum clz_precision precision, const struct clz_log *log)
{
    const struct clzi_device_params params = { .precision = precision, .log = *log };
    int ret = clzi_device_open(dev, name, &params);

    if (ret >= 0 && (ret = clzi_device_enter(*dev)) < 0) clzi_device_close(dev);
    return ret;
}

static void run_close(struct run *r)
{
    clzi_exec_destroy(&r->exec);
    clzi_params_destroy(&r->weights);
    if (!r->dev) return;
    clzi_device_leave(r->dev);
    clzi_device_close(&r->dev);
}

static int run_open(struct run *r, const char *name, enum clz_precision precision, const struct clzi_graph *g,
                    float *const *values, const struct clzi_exec_params *params)
{
    const struct clzi_params_wanted train = { .train = true };
    int ret;

    *r = (struct run){ 0 };
    if ((ret = open_device(&r->dev, name, precision, &errors)) < 0) return ret;
    if ((ret = clzi_params_create(&r->weights, r->dev, g, values, params->backward ? &train : NULL)) < 0 ||
        (ret = clzi_exec_create(&r->exec, g, r->weights, params)) < 0)
        run_close(r);
    return ret;
}

// Outputs, and with dy the gradients of all parameters, one after the other; returns their number.
static int64_t pass(struct run *r, const struct clzi_graph *g, const float *const *inputs, const float *dy, float *y, float *dw)
{
    int64_t at = 0;

    for (int i = 0; i < g->in_count; i++) REQUIRE_INT(clzi_exec_upload(r->exec, i, inputs[i]), 0);
    if (dy) REQUIRE_INT(clzi_params_begin(r->weights), 0);
    REQUIRE_INT(clzi_exec_forward(r->exec, 1), 0);
    if (y) REQUIRE_INT(clzi_exec_download(r->exec, 0, y), 0);
    if (!dy) return 0;
    REQUIRE_INT(clzi_device_base(r->dev)->backend->upload(r->dev, clzi_exec_output_gradient(r->exec, 0),
                                                          clzi_exec_output_shape(r->exec, 0), dy), 0);
    REQUIRE_INT(clzi_exec_backward(r->exec), 0);
    for (int i = 0; i < g->param_count; i++) {
        if (!clzi_params_at(r->weights, CLZI_DW, i)) continue;
        REQUIRE_INT(clzi_params_read(r->weights, CLZI_DW, i, dw + at), 0);
        at += clzi_param_count(&g->params[i]);
    }
    return at;
}

// Gradients of a random dy: a relu that is on in one sum and off in the other changes all that lies below it. bf16 and f16: the
// reference was run with weights, activations and gradients rounded after each op, as the device stores them: of the nets output
// and gradients were off by 0.0022..0.027 and 0.068..0.54 in bf16 (lite2), 2.8e-4..5.5e-3 and 0.025..0.42 in f16. So these limits
// see only what is wrong altogether; ops.c and f32 see the rest.
static const struct { const char *name; enum clz_precision precision; double forward, backward; } types[] = {
    { "f32", CLZ_PRECISION_F32, 1e-4, 5e-3 }, { "bf16", CLZ_PRECISION_BF16, 0.05, 0.8 }, { "f16", CLZ_PRECISION_F16, 0.01, 0.65 },
};

static void check_net(const char *name, const struct clzt_net *net, const struct clzt_net_options *options, int size)
{
    struct clzi_graph *g = NULL;
    float *values[MOST_PARAMS], *inputs[CLZI_MAX_PORTS], *dy, *y, *y2, *dw, *dw2;
    int64_t count = 0, outputs, gradients;
    struct clzi_shape out;
    struct run cpu, gpu;

    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE_INT(net->build(g, options), 0);
    for (int i = 0; i < g->param_count; i++) {
        values[i] = calloc(clzi_param_count(&g->params[i]), sizeof **values);
        count += clzi_param_count(&g->params[i]);
    }
    clzt_net_init(g, net->init, 3, values);
    const struct clzi_exec_params params = { .n = BATCH, .h = size, .w = size, .training = true, .backward = true };
    REQUIRE_INT(run_open(&cpu, strcmp(device, "cpu") ? "cpu" : "ref", CLZ_PRECISION_F32, g, values, &params), 0);
    for (int i = 0; i < g->in_count; i++) {
        const int64_t n = clzi_shape_count(clzi_exec_input_shape(cpu.exec, i));
        inputs[i] = malloc(n * sizeof **inputs);
        fill(inputs[i], n, 7 + i, 1);
    }
    out = clzi_exec_output_shape(cpu.exec, 0);
    outputs = clzi_shape_count(out);
    dy = malloc(outputs * sizeof *dy);
    y = malloc(outputs * sizeof *y);
    y2 = malloc(outputs * sizeof *y2);
    dw = malloc(count * sizeof *dw);
    dw2 = malloc(count * sizeof *dw2);
    fill(dy, outputs, 99, 1);
    gradients = pass(&cpu, g, (const float *const *)inputs, dy, y, dw);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        char title[128];
        not_recorded = false;
        int ret = run_open(&gpu, device, types[t].precision, g, values, &params);
        if (ret == -ENOTSUP && strcmp(device, "cuda")) continue;    // the CPU has no f16
        snprintf(title, sizeof title, "gpu/%s_%s_as_the_cpu", name, types[t].name);
        CASE(title);
        REQUIRE_INT(ret, 0);
        if (ret < 0) continue;
        for (int again = 0; again < 3; again++) {                  // the second and third pass are recorded and replayed
            REQUIRE_INT(pass(&gpu, g, (const float *const *)inputs, dy, y2, dw2), gradients);
            const double forward = off(y2, y, outputs, 1), backward = off(dw2, dw, gradients, 1);
            if (!again) printf("  output off by %.2g, gradients by %.2g\n", forward, backward);
            // batch statistics are those of the batch, so that passes do not depend on one another
            // 5.5e-3 with options in f32
            REQUIRE(forward <= types[t].forward && backward <= types[t].backward * (options && !t ? 2 : 1));
            if (types[t].precision == CLZ_PRECISION_F32) REQUIRE(off(y2, y, outputs, 1.01) > types[t].forward);    // sees 1 %
        }
        REQUIRE(!not_recorded);
        run_close(&gpu);
    }
    run_close(&cpu);
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    for (int i = 0; i < g->in_count; i++) free(inputs[i]);
    free(dy), free(y), free(y2), free(dw), free(dw2);
    clzi_graph_destroy(&g);
}

static void check_nets(void)
{
    for (int i = 0; clzt_nets[i]; i++) {
        const struct clzt_net *n = clzt_nets[i];
        if (quick && strcmp(n->name, "light") && strcmp(n->name, "lite0")) continue;
        check_net(n->name, n, NULL, n == &clzt_net_unet ? 256 : 64);
    }
    check_net("lite0_with_hints_classes_and_attention", &clzt_net_lite0,
              &(struct clzt_net_options){ .hints = true, .attention = true, .temperature = 0.38f }, 64);
    if (!quick) check_net("patchgan", &clzt_net_patchgan, NULL, 64);
}

// ---- streams ----

// Of frames in host memory and, on a GPU, of frames in its memory.
static void check_streams(void)
{
    struct stream_check_memory memory;
    const int kinds = !strcmp(device, "cuda") ? 2 : 1;

    for (int k = 0; k < kinds; k++) {
        if (k) {
            CASE("gpu/device_memory");
            const bool opened = gpu_memory_open(&memory);
            REQUIRE(opened);
            if (!opened) return;
        }
        for (size_t i = 0; i < sizeof stream_check_films / sizeof *stream_check_films; i++) {
            const struct stream_check_film *film = &stream_check_films[i];
            char title[128];
            snprintf(title, sizeof title, "gpu/stream_%s_to_%s_%s_memory_bars_%s_as_ref", film->from, film->to,
                     k ? "device" : "host", film->bars);
            CASE(title);
            stream_check(film, device, CLZ_PRECISION_F32, k ? &memory : NULL);
        }
    }
}

static long resident_kb(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = 0, all = 0;

    if (f && fscanf(f, "%ld %ld", &all, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

// Frames through one stream. growth: of the process and of what is in use on the GPU, in KiB, after the first tenth.
static void many_frames(int frames, long growth[2])
{
    enum { W = 320, H = 240, RING = 64 };
    static uint8_t in[W * H * 3 / 2], out[RING][W * H * 3 / 2];
    char path[512];
    const int fd = mkstemp(check_temporary(path, "gpu"));
    const struct clz_stream_params params = { .device = device, .batch = 8, .log = errors };
    struct clz_frame f = { .format = clz_pixfmt_find("yuv420p"), .width = W, .height = H, .stride = { W, W / 2, W / 2 } };
    struct clz_frame g, done;
    clz_model *model = NULL;
    clz_stream *stream = NULL;
    struct stream_check_memory memory;
    const bool gpu = !strcmp(device, "cuda") && gpu_memory_open(&memory);
    int received = 0;

    growth[0] = growth[1] = 0;
    REQUIRE_INT(tiny_model_write(path), 0);
    REQUIRE_INT(clz_model_open(&model, path, NULL), 0);
    REQUIRE_INT(clz_stream_open(&stream, model, &params), 0);
    for (size_t i = 0; i < sizeof in; i++) in[i] = (uint8_t)(i * 7 % 200 + 20);
    f.data[0] = in, f.data[1] = in + W * H, f.data[2] = f.data[1] + W * H / 4;
    for (int i = 0; stream && i < frames; i++) {
        uint8_t *to = out[i % RING];
        g = f;
        g.data[0] = to, g.data[1] = to + W * H, g.data[2] = g.data[1] + W * H / 4;
        while (clz_stream_send(stream, &f, &g, NULL) == -EAGAIN) {
            if (clz_stream_receive(stream, &done, 1) < 0) goto end;
            received++;
        }
        if (i != frames / 10) continue;
        growth[0] = -resident_kb();
        growth[1] = gpu ? -gpu_memory_used() : 0;
    }
    clz_stream_drain(stream);
    while (clz_stream_receive(stream, &done, 1) == 0) received++;
end:
    REQUIRE_INT(received, frames);
    growth[0] += resident_kb();
    growth[1] += gpu ? gpu_memory_used() : 0;
    clz_stream_close(&stream);
    clz_model_close(&model);
    remove(path);
    close(fd);
}

// ---- training ----

// The mean loss of each tenth of `steps` steps of light on pictures whose colour follows from their grey.
static int train(const char *name, enum clz_precision precision, int steps, double loss[10])
{
    enum { N = 8, SIZE = 64, PIXELS = SIZE * SIZE };
    static float l[N * PIXELS], ab[2 * N * PIXELS];
    const struct clzi_params_wanted want = { .train = true };
    const struct clzi_exec_params params = { .n = N, .h = SIZE, .w = SIZE, .training = true, .backward = true };
    const bool scaled = precision == CLZ_PRECISION_F16;
    const struct clzi_train_state start = { .scale = scaled ? 65536 : 1 };
    const float lr[2] = { 1e-3f, 1e-3f };
    struct clzi_train_state *state = NULL;
    struct clzi_graph *g = NULL;
    struct run r = { 0 };
    float *values[MOST_PARAMS];
    int ret, target;

    clzi_graph_create(&g);
    REQUIRE_INT(clzt_net_light.build(g, NULL), 0);
    target = clzi_graph_input(g, "target", .channels = 2);
    REQUIRE(clzi_graph_output(g, "loss", CLZI_GRAPH_2(g, "loss", L2, g->node_count - 2, target)) >= 0);
    for (int i = 0; i < g->param_count; i++) values[i] = calloc(clzi_param_count(&g->params[i]), sizeof **values);
    clzt_net_init(g, CLZT_INIT_HE, 3, values);
    if ((ret = open_device(&r.dev, name, precision, &errors)) < 0) goto end;
    const struct clzi_backend *be = clzi_device_base(r.dev)->backend;
    if ((ret = clzi_params_create(&r.weights, r.dev, g, values, &want)) < 0 ||
        (ret = clzi_exec_create(&r.exec, g, r.weights, &params)) < 0)
        goto end;
    state = be->alloc(r.dev, sizeof *state);
    be->write(r.dev, (float *)state, (const float *)&start, sizeof start / sizeof(float));
    memset(loss, 0, 10 * sizeof *loss);
    for (int step = 1; step <= steps && ret >= 0; step++) {
        const struct clzi_adam adam = { .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f, .step = step };
        float value;
        fill(l, N * PIXELS, (uint32_t)step, 0.1f);
        for (int64_t i = 0; i < N * PIXELS; i++) {
            const float x = (float)(i % SIZE), y = (float)(i / SIZE % SIZE) * (float)(1 + i / PIXELS % 3);
            l[i] += sinf(x * 0.2f + y * 0.13f + (float)step) * 0.8f;
            ab[i / PIXELS * 2 * PIXELS + i % PIXELS] = 0.4f * l[i];
            ab[i / PIXELS * 2 * PIXELS + PIXELS + i % PIXELS] = 0.3f - 0.5f * l[i] * l[i];
        }
        if ((ret = clzi_exec_upload(r.exec, 0, l)) < 0 || (ret = clzi_exec_upload(r.exec, 1, ab)) < 0 ||
            (ret = clzi_params_begin(r.weights)) < 0 || (ret = clzi_exec_forward(r.exec, step)) < 0 ||
            (ret = be->train->seed(r.dev, clzi_exec_output_gradient(r.exec, 0), 10, state)) < 0 ||
            (ret = clzi_exec_backward(r.exec)) < 0 || (ret = clzi_params_check(r.weights, state)) < 0 ||
            (ret = clzi_params_update(r.weights, &adam, lr, 0, state)) < 0 ||
            (ret = be->train->advance(r.dev, state, scaled)) < 0 || (ret = clzi_exec_download(r.exec, 0, &value)) < 0)
            break;
        loss[(step - 1) * 10 / steps] += value * 10 / steps;
    }
end:
    if (state) clzi_device_base(r.dev)->backend->free(r.dev, state);
    run_close(&r);
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    clzi_graph_destroy(&g);
    return ret;
}

static void check_training(void)
{
    const int steps = quick ? 40 : 300;
    double want[10], got[10];

    CASE("gpu/training_on_the_cpu");
    REQUIRE_INT(train("cpu", CLZ_PRECISION_F32, steps, want), 0);
    REQUIRE(want[9] < want[0] / 2);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        char title[128];
        const int ret = train(device, types[t].precision, steps, got);
        if (ret == -ENOTSUP && strcmp(device, "cuda")) continue;
        snprintf(title, sizeof title, "gpu/training_%s_follows_the_cpu", types[t].name);
        CASE(title);
        REQUIRE_INT(ret, 0);
        for (int i = 0; i < 10 && ret >= 0; i++) {
            printf("  %3d %%: loss %.5f, cpu %.5f\n", (i + 1) * 10, got[i], want[i]);
            REQUIRE(fabs(got[i] - want[i]) <= 0.15 * want[i] + 0.02 * want[0]);
        }
    }
}

int main(int argc, char **argv)
{
    struct clzi_device *dev;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--device") && i + 1 < argc) device = argv[++i];
        else if (!strcmp(argv[i], "--quick")) quick = true;
        else only = argv[i];
    }
    if (open_device(&dev, device, CLZ_PRECISION_AUTO, &verbose) < 0) SKIP("no such device here");
    clzi_device_leave(dev);
    clzi_device_close(&dev);
    if (wanted("nets")) check_nets();
    if (wanted("streams")) check_streams();
    if (wanted("frames")) {
        const int frames = quick ? 1000 : 10000;
        const double start = clzi_now();
        CASE("gpu/many_frames_with_flat_memory");
        long growth[2];
        many_frames(frames, growth);
        printf("  %d frames in %.1f s, the process grew by %ld KiB, memory in use on the GPU by %ld KiB\n", frames,
               clzi_now() - start, growth[0], growth[1]);
        REQUIRE(growth[0] < 4096 && growth[1] < 4096);
    }
    if (wanted("training")) check_training();
    return check_end();
}
