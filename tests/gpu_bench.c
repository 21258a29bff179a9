// gpu_bench.c - frames/s of every generator on a device, for make bench-cuda. Prints one line a measurement: "net size batch ms
// frames/s". With --export DIR it writes the nets as model files instead, so that gpu_bench.py runs the same ones in PyTorch.
// With --train, training steps of two nets in both phases, as images/s; batches are uploaded from the host, as the trainer's are.
// With --frames, the ends of the network at 1080p: GB/s of the frames' planes, in percent of what a copy reaches here; with
// --stream MODEL whole streams of 1080p frames. Frames lie in the memory of the GPU, on other devices in the host's.
//
//     gpu_bench [--device cuda] [--precision f32|bf16|f16] [--export DIR | --frames | --stream MODEL [--batch 16]]
//               [--train] [--size 256] [--batch 16] [NET]
#include "check.h"
#include "base/clock.h"
#include "engine/backend.h"
#include "engine/exec.h"
#include "engine/model.h"
#include "engine/pixfmt.h"
#include "gpu_memory.h"
#include "kernels/colour_table.h"
#include "trainer/nets.h"
#include "trainer/step.h"

enum { WARM = 3, SETS = 5 };
#define SET_SECONDS 0.06                    // as in gpu_bench.py
// The shapes, the most telling ones first: the time may not suffice for all. As in gpu_bench.py.
static const struct { int size, batch; } shapes[] = {
    { 256, 16 }, { 256, 1 }, { 512, 16 }, { 128, 16 }, { 128, 1 }, { 512, 1 }, { 256, 8 }, { 256, 32 }, { 512, 8 }, { 512, 32 },
    { 128, 8 }, { 128, 32 },
};

struct net { struct clzi_graph *g; float **values; };

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static struct net net_create(const struct clzt_net *n)
{
    struct net net = { 0 };

    clzi_graph_create(&net.g);
    n->build(net.g, NULL);
    net.values = calloc(net.g->param_count, sizeof *net.values);
    for (int i = 0; i < net.g->param_count; i++) net.values[i] = calloc(clzi_param_count(&net.g->params[i]), sizeof **net.values);
    clzt_net_init(net.g, n->init, 3, net.values);
    return net;
}

static void net_destroy(struct net *net)
{
    for (int i = 0; net->values && i < net->g->param_count; i++) free(net->values[i]);
    free(net->values);
    clzi_graph_destroy(&net->g);
}

// Seconds of one forward pass: the median of SETS sets, each ended by reading a number back.
static double measure(struct clzi_device *dev, struct clzi_exec *e, struct clzi_params *w)
{
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    double times[SETS], once;
    float x;
    int runs;

    for (int i = 0; i < WARM; i++) clzi_exec_forward(e, 0);
    be->read(dev, &x, w->slab[CLZI_W], 1);
    once = clzi_now();
    clzi_exec_forward(e, 0);
    be->read(dev, &x, w->slab[CLZI_W], 1);
    once = clzi_now() - once;
    runs = once > SET_SECONDS ? 1 : (int)(SET_SECONDS / once);
    for (int s = 0; s < SETS; s++) {
        const double start = clzi_now();
        for (int i = 0; i < runs; i++) clzi_exec_forward(e, 0);
        be->read(dev, &x, w->slab[CLZI_W], 1);
        times[s] = (clzi_now() - start) / runs;
    }
    qsort(times, SETS, sizeof *times, by_size);
    return times[SETS / 2];
}

struct fused { struct net net; struct clzi_params *weights; };

static void fused_create(struct fused *f, struct clzi_device *dev, const struct clzt_net *n)
{
    struct net net = net_create(n);

    if (clzi_graph_fuse(net.g, net.values, &f->net.g, &f->net.values) < 0 ||
        clzi_params_create(&f->weights, dev, f->net.g, f->net.values, NULL) < 0)
        printf("%-16s cannot be made\n", n->name);
    net_destroy(&net);
}

static void bench(struct clzi_device *dev, const struct clzt_net *n, const struct fused *f, int size, int batch)
{
    const struct clzi_exec_params p = { .n = batch, .h = size, .w = size };
    struct clzi_exec *e = NULL;
    double seconds;

    if ((n == &clzt_net_unet && size < 256) || !f->weights || clzi_exec_create(&e, f->net.g, f->weights, &p) < 0) return;
    seconds = measure(dev, e, f->weights);
    printf("%-16s %4d %3d %10.3f ms %10.1f frames/s\n", n->name, size, batch, seconds * 1e3, batch / seconds);
    fflush(stdout);
    clzi_exec_destroy(&e);
}

// Of the net `only`, or of all: shape after shape, or one shape, if batch is not 0.
static void bench_nets(struct clzi_device *dev, const char *only, int size, int batch)
{
    enum { MOST_NETS = 32 };
    struct fused nets[MOST_NETS] = { 0 };

    for (int i = 0; clzt_nets[i] && i < MOST_NETS; i++)
        if (!only || !strcmp(only, clzt_nets[i]->name)) fused_create(&nets[i], dev, clzt_nets[i]);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        if (batch && (shapes[s].size != size || shapes[s].batch != batch)) continue;
        for (int i = 0; clzt_nets[i] && i < MOST_NETS; i++)
            bench(dev, clzt_nets[i], &nets[i], shapes[s].size, shapes[s].batch);
    }
    for (int i = 0; i < MOST_NETS; i++) {
        clzi_params_destroy(&nets[i].weights);
        net_destroy(&nets[i].net);
    }
}

// ---- frames of 1080p ----

enum { FRAME_W = 1920, FRAME_H = 1080, NET_W = 456, NET_H = 256, FRAMES = 16 };

static void *host_alloc(size_t size) { return calloc(1, size); }
static void host_copy(void *to, const void *from, size_t size, bool to_device)
{
    (void)to_device;
    memcpy(to, from, size);
}

static struct clz_frame frame_new(const char *format, const struct stream_check_memory *m, bool on_device)
{
    struct clz_frame f = {
        .format = clz_pixfmt_find(format), .width = FRAME_W, .height = FRAME_H, .range = CLZ_RANGE_LIMITED,
        .matrix = CLZ_MATRIX_709, .siting = CLZ_SITING_LEFT, .memory = on_device ? CLZ_MEMORY_CUDA : CLZ_MEMORY_HOST,
    };
    size_t size = 0;
    uint8_t *bytes, *host;

    for (int i = 0; i < f.format->planes; i++) {
        f.stride[i] = (clz_pixfmt_row_bytes(f.format, i, FRAME_W) + 255) / 256 * 256;
        f.data[i] = (uint8_t *)size;
        size += f.stride[i] * clz_pixfmt_rows(f.format, i, FRAME_H);
    }
    bytes = m->alloc(size);
    host = malloc(size);
    for (size_t i = 0; i < size; i++) host[i] = (uint8_t)(60 + i * i / 77 % 120);
    m->copy(bytes, host, size, true);
    free(host);
    for (int i = 0; i < f.format->planes; i++) f.data[i] = bytes + (uintptr_t)f.data[i];
    return f;
}

static void wait_for(struct clzi_device *dev)
{
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    if (be->mark && be->mark(dev, 0) >= 0) be->wait(dev, 0);
}

// Bytes/s that a copy within the device's memory reads and writes.
static double copy_speed(struct clzi_device *dev, bool gpu)
{
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    const size_t size = gpu ? 256 << 20 : 16 << 20;
    const int runs = gpu ? 50 : 5;
    char *a = be->alloc(dev, size), *b = be->alloc(dev, size);
    double start;

    for (int i = 0; i < 3; i++) be->copy(dev, b, a, size);
    wait_for(dev);
    start = clzi_now();
    for (int i = 0; i < runs; i++) be->copy(dev, b, a, size);
    wait_for(dev);
    start = clzi_now() - start;
    be->free(dev, a);
    be->free(dev, b);
    return 2.0 * size * runs / start;
}

static void bench_frames(struct clzi_device *dev, const char *format, const struct stream_check_memory *m, bool gpu, double copy)
{
    static const struct clzk_luma_weights weights = CLZK_LUMA_709;
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    struct clzi_frame_job jobs[FRAMES];
    struct clzk_colour_table *colours = NULL;
    struct clzi_frames *frames = NULL;
    const int runs = gpu ? 100 : 1;
    void *l = be->alloc(dev, be->tensor_size(dev, (struct clzi_shape){ FRAMES, 1, NET_H, NET_W }));
    void *ab = be->alloc(dev, be->tensor_size(dev, (struct clzi_shape){ FRAMES, 2, NET_H, NET_W }));
    double luma, times[2];

    for (int i = 0; i < FRAMES; i++) {
        const struct clz_frame f = frame_new(format, m, gpu);
        jobs[i] = (struct clzi_frame_job){ f, f, f, 110 };
    }
    luma = (double)FRAME_W * FRAME_H * (jobs->in.format->depth > 8 ? 2 : 1);
    const struct clzi_frames_params p = {
        .seen = jobs->in, .in = jobs->in, .out = jobs->in, .w = NET_W, .h = NET_H, .images = FRAMES, .slots = FRAMES,
        .l_scale = 50, .l_offset = 1,
    };
    struct clzi_frames_params made = p;
    if (clzk_colour_table_create(&colours, &(struct clzk_colour_space){ .weights = weights }, false) < 0) return;
    made.colours = colours;
    if (be->frames->create(&frames, dev, &made) < 0) return;
    for (int end = 0; end < 2; end++)
        for (int warm = 1; warm >= 0; warm--) {
            times[end] = clzi_now();
            for (int i = 0; i < (warm ? 1 : runs); i++) {
                if (end) be->frames->write(frames, 0, 0, jobs, FRAMES, ab);
                else be->frames->read(frames, 0, jobs, FRAMES, FRAMES, l);
            }
            wait_for(dev);
            times[end] = (clzi_now() - times[end]) / runs / FRAMES;
        }
    // chroma of 4:2:0 is half as much as luma, which is read at both ends
    printf("%-8s frame -> L*      %8.2f us a frame  %8.1f GB/s  %5.1f %% of a copy's %.0f GB/s\n", format, times[0] * 1e6,
           luma / times[0] * 1e-9, 100 * luma / times[0] / copy, copy * 1e-9);
    printf("%-8s ab -> chroma     %8.2f us a frame  %8.1f GB/s  %5.1f %%\n", format, times[1] * 1e6, 1.5 * luma / times[1] * 1e-9,
           150 * luma / times[1] / copy);
    fflush(stdout);
    be->frames->destroy(&frames);
    clzk_colour_table_destroy(&colours);
    for (int i = 0; i < FRAMES; i++) m->free(jobs[i].in.data[0]);
    be->free(dev, l);
    be->free(dev, ab);
}

// Frames/s of a whole stream: in place, as many frames as the stream holds, again and again.
static int bench_stream(const char *device, const char *path, int batch, const char *format, const char *bars,
                        const struct stream_check_memory *m, bool gpu)
{
    const struct clz_stream_params params = {
        .device = device, .batch = batch, .bars = bars,
        .cuda_context = gpu ? m->context : NULL, .cuda_stream = gpu ? m->stream : NULL,
    };
    const int wanted = gpu ? 4000 : 8;
    struct clz_frame *ring, done;
    clz_model *model = NULL;
    clz_stream *s = NULL;
    double start = 0;
    int sent = 0, received = 0, room;

    if (clz_model_open(&model, path, NULL) < 0 || clz_stream_open(&s, model, &params) < 0) {
        printf("%s does not open\n", s ? device : path);
        clz_model_close(&model);
        return 1;
    }
    room = clz_stream_max_in_flight(s);
    ring = calloc(room, sizeof *ring);
    for (int i = 0; i < room; i++) ring[i] = frame_new(format, m, gpu);
    while (received < wanted) {
        while (sent < wanted && clz_stream_send(s, &ring[sent % room], &ring[sent % room], NULL) == 0) sent++;
        if (sent == wanted) clz_stream_drain(s);
        if (clz_stream_receive(s, &done, 1) < 0) break;
        if (++received == wanted / 4) start = clzi_now();       // plans have been made
    }
    printf("stream   %-8s bars %-5s %8.1f frames/s  (%s)\n", format, bars, (received - wanted / 4) / (clzi_now() - start),
           clz_stream_describe(s));
    fflush(stdout);
    clz_stream_close(&s);
    clz_model_close(&model);
    for (int i = 0; i < room; i++) m->free(ring[i].data[0]);
    free(ring);
    return received != wanted;
}

// ---- training ----

// Seconds of one step, the median of SETS sets; a negative errno if a step fails.
static double measure_steps(struct clzt_step *s, const struct clzt_sample *sample)
{
    double times[SETS], values[CLZT_VALUES], once = 0;
    int64_t number = 0;
    int runs, ret = 0;

    for (int i = 0; i <= WARM && ret >= 0; i++) {
        once = clzi_now();
        ret = clzt_step_run(s, ++number, 1e-4f, 0, sample, values);      // ends by reading the losses back
        once = clzi_now() - once;
    }
    runs = once > SET_SECONDS ? 1 : (int)(SET_SECONDS / once);
    for (int k = 0; k < SETS && ret >= 0; k++) {
        const double start = clzi_now();
        for (int i = 0; i < runs && ret >= 0; i++) ret = clzt_step_run(s, ++number, 1e-4f, 0, sample, values);
        times[k] = (clzi_now() - start) / runs;
    }
    if (ret < 0) return ret;
    qsort(times, SETS, sizeof *times, by_size);
    return times[SETS / 2];
}

static int bench_train(struct clzi_device *dev, const struct clzt_net *n, int phase, int size, int batch)
{
    static const char *const names[CLZT_PLAYERS] = { "generator", "discriminator" };
    const bool gan = clzt_phases[phase].discriminator;
    const int64_t pixels = (int64_t)batch * size * size;
    const struct clzt_step_params params = {
        .batch = batch, .shapes = { { size, size } }, .shape_count = 1, .weight_decay = 0.01f, .encoder_lr = 1,
        .encoder_statistics = true, .loss = { 1 }, .seed = 3,
        .adam = { .beta1 = gan ? 0.5f : 0.9f, .beta2 = gan ? 0.999f : 0.99f, .eps = 1e-8f },
        .gan = { .loss = &clzt_gan_losses[0], .weight = 1, .lambda = 100, .real = 1, .lr = 1 },
    };
    struct net nets[CLZT_PLAYERS] = { net_create(n), net_create(clzt_discriminators[0]) };
    struct clzt_net_state *players[CLZT_PLAYERS] = { NULL };
    struct clzt_step *step = NULL;
    float *l = malloc(pixels * sizeof *l), *ab = malloc(2 * pixels * sizeof *ab);
    double seconds;
    int ret = 0;

    for (int64_t i = 0; i < pixels; i++) l[i] = (float)(i * 7919 % 2001) / 1000 - 1;
    for (int64_t i = 0; i < 2 * pixels; i++) ab[i] = (float)(i * 104729 % 2001) / 4000 - 0.25f;
    for (int i = 0; i < (gan ? 2 : 1) && ret >= 0; i++)
        ret = clzt_net_state_create(&players[i], dev, nets[i].g, nets[i].values,
                                    &(struct clzt_net_state_params){ .name = names[i], .prefix = i ? "d." : "" });
    if (ret >= 0) ret = clzt_step_create(&step, &clzt_phases[phase], players, &params);
    seconds = ret < 0 ? ret : measure_steps(step, &(struct clzt_sample){ .l = l, .ab = ab });
    if (seconds > 0)
        printf("train %-16s %-12s %4d %3d %10.3f ms %10.1f images/s\n", n->name, clzt_phases[phase].name, size, batch,
               seconds * 1e3, batch / seconds);
    else printf("train %s: %s: %s\n", n->name, clzt_phases[phase].name, strerror(-(int)seconds));
    fflush(stdout);
    clzt_step_destroy(&step);
    for (int i = 0; i < CLZT_PLAYERS; i++) {
        clzt_net_state_destroy(&players[i]);
        net_destroy(&nets[i]);
    }
    free(l);
    free(ab);
    return seconds > 0 ? 0 : 1;
}

static int export(const char *folder, const struct clzt_net *n)
{
    const struct clzi_model_facts facts = {
        .size = 256, .stride = 256, .input = "luma", .l_scale = 50, .l_offset = 1, .ab_scale = 110,
    };
    struct net net = net_create(n);
    char path[1024];
    int ret;

    snprintf(path, sizeof path, "%s/%s.bin", folder, n->name);
    ret = clzi_model_write(path, net.g, net.values, &facts, CLZI_F32, NULL);
    net_destroy(&net);
    return ret;
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "auto", "f32", "bf16", "f16" };
    const char *device = "cuda", *folder = NULL, *only = NULL, *stream = NULL;
    struct stream_check_memory memory = { NULL, NULL, host_alloc, free, host_copy };
    static const struct clzt_net *const trained[] = { &clzt_net_lite0, &clzt_net_resnet18_unet };
    bool frames = false, train = false, gpu;
    int ret = 0, size = 256, batch = 0;
    struct clzi_device_params params = { .precision = CLZ_PRECISION_AUTO };
    struct clzi_device *dev;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--device") && i + 1 < argc) device = argv[++i];
        else if (!strcmp(argv[i], "--frames")) frames = true;
        else if (!strcmp(argv[i], "--train")) train = true;
        else if (!strcmp(argv[i], "--size") && i + 1 < argc) size = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--batch") && i + 1 < argc) batch = atoi(argv[++i]);
        else if (!strcmp(argv[i], "--stream") && i + 1 < argc) stream = argv[++i];
        else if (!strcmp(argv[i], "--export") && i + 1 < argc) folder = argv[++i];
        else if (!strcmp(argv[i], "--precision") && i + 1 < argc) {
            i++;
            for (int k = 0; k < 4; k++)
                if (!strcmp(argv[i], names[k])) params.precision = k;
        } else only = argv[i];
    }
    gpu = !strncmp(device, "cuda", 4);
    if (gpu && (frames || stream)) {
        if (!gpu_memory_open(&memory)) SKIP("no such device here");
        params.cuda_context = memory.context;
        params.cuda_stream = memory.stream;
    }
    if (stream) {
        ret = bench_stream(device, stream, batch, "nv12", "off", &memory, gpu);
        ret |= bench_stream(device, stream, batch, "nv12", "auto", &memory, gpu);
        return ret | bench_stream(device, stream, batch, "p010", "off", &memory, gpu);
    }
    if (!folder && (clzi_device_open(&dev, device, &params) < 0 || clzi_device_enter(dev) < 0)) SKIP("no such device here");
    if (!folder) printf("# %s\n", clzi_device_base(dev)->describe);
    if (frames) {
        const double copy = copy_speed(dev, gpu);
        bench_frames(dev, "nv12", &memory, gpu, copy);
        bench_frames(dev, "p010", &memory, gpu, copy);
        return 0;
    }
    for (int i = 0; i < 4 && train; i++) {
        if (only && strcmp(only, trained[i / 2]->name)) continue;
        ret |= bench_train(dev, trained[i / 2], i % 2, size, batch ? batch : 16);
    }
    if (!folder && !train) bench_nets(dev, only, size, batch);
    for (int i = 0; clzt_nets[i] && folder; i++)
        if ((!only || !strcmp(only, clzt_nets[i]->name)) && export(folder, clzt_nets[i]) < 0) return 1;
    return ret;
}
