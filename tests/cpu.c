// cpu.c - properties of the CPU device other than the arithmetic of its ops (tests/ops.c): the same bits for any number of
// threads and from run to run, no allocation once a graph is planned, kernels chosen by the machine's instruction set.
#include <errno.h>
#include <stdatomic.h>

#include "check.h"
#include "cpu/cpu.h"
#include "exec.h"

// ---- this program's malloc replaces the C library's and counts allocations ----

static atomic_int allocations, large_allocations;
static atomic_int counting;

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
enum { COUNTS = 1 };
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static void count_one(size_t size)
{
    if (!counting) return;
    allocations++;
    if (size > 2048) large_allocations++;
}

void *malloc(size_t size)
{
    count_one(size);
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    count_one(count * size);
    return __libc_calloc(count, size);
}

void *realloc(void *p, size_t size)
{
    count_one(size);
    return __libc_realloc(p, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    count_one(size);
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **p, size_t alignment, size_t size)
{
    count_one(size);
    *p = __libc_memalign(alignment, size);
    return *p ? 0 : ENOMEM;
}
#else
enum { COUNTS = 0 };
#endif

// ---- a net that uses every op ----

enum { SIZE = 64, BATCH = 2 };

static int residual(struct clzi_graph *g, int x)
{
    const struct clzi_attr attr = { .channels = clzi_graph_channels(g, x), .k = 3, .pad = 1, .bias = 1, .act = CLZI_ACT_RELU };

    return clzi_graph_append(g, "residual", CLZI_OP_CONV, (int[]){ x, x }, 2, &attr);
}

static struct clzi_graph *net(void)
{
    struct clzi_graph *g;
    int x, skip;

    if (clzi_graph_create(&g) < 0) exit(1);
    x = clzi_graph_input(g, "in", .channels = 1);
    x = clzi_graph_conv(g, "stem", x, .channels = 32, .k = 5, .stride = 2, .pad = 2);
    x = clzi_graph_batchnorm(g, "norm", x);
    x = skip = clzi_graph_act(g, "act", x, .act = CLZI_ACT_LEAKY, .slope = 0.2f);
    x = clzi_graph_maxpool(g, "pool", x, .k = 3, .stride = 2, .pad = 1);
    x = residual(g, x);
    x = clzi_graph_conv(g, "depthwise", x, .channels = 32, .k = 3, .pad = 1, .groups = 32, .bias = 1);
    x = clzi_graph_conv(g, "down", x, .channels = 97, .k = 3, .stride = 2, .pad = 1, .bias = 1);
    x = clzi_graph_dropout(g, "dropout", x, .p = 0.25f);
    x = clzi_graph_convt(g, "up4", x, .channels = 32, .k = 4, .stride = 2, .pad = 1, .bias = 1);
    x = clzi_graph_convt(g, "up2", x, .channels = 32, .k = 2, .stride = 2, .bias = 1);
    x = clzi_graph_add(g, "add", x, skip);
    x = clzi_graph_concat(g, "concat", x, skip);
    x = clzi_graph_conv(g, "wide", x, .channels = 64, .k = 1, .bias = 1);
    x = clzi_graph_shuffle(g, "shuffle", x, .factor = 2);
    x = clzi_graph_softmax(g, "softmax", x, .scale = 2);
    x = clzi_graph_conv(g, "head", x, .channels = 2, .k = 3, .pad = 1, .bias = 1);
    x = clzi_graph_clamp(g, "clamp", x, .scale = 0.9f);
    x = clzi_graph_resize(g, "resize", x, .factor = 2);
    if (x < 0) exit(1);
    return g;
}

static uint32_t state = 1;
static float noise(void)
{
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.f - 1;
}

static float **parameters(const struct clzi_graph *g)
{
    float **values = calloc(g->param_count, sizeof *values);
    state = 1;
    for (int i = 0; i < g->param_count; i++) {
        const int64_t count = clzi_param_count(&g->params[i]);
        const float scale = g->params[i].rank == 4 ? 2 / sqrtf((float)count / g->params[i].dims[0]) : 1;
        values[i] = calloc(count, sizeof **values);
        for (int64_t k = 0; k < count; k++) values[i][k] = strstr(g->params[i].name, "running_var") ? 1 : scale * noise();
    }
    return values;
}

// The net bound to a device, with an input and a gradient of the output.
struct instance {
    struct clzi_device *dev;
    struct clzi_params *weights;
    struct clzi_exec *exec;
    float *x, *dy;
    int64_t count;                          // elements of the output
};

static int open_cpu(struct clzi_device **dev, int threads, enum clz_precision precision)
{
    const struct clzi_device_params params = { .threads = threads, .precision = precision };
    return clzi_device_open(dev, "cpu", &params);
}

static struct instance instance_create(const struct clzi_graph *g, float **values, int threads, enum clz_precision precision,
                                       bool training)
{
    const struct clzi_exec_params params = { .n = BATCH, .h = SIZE, .w = SIZE, .training = training, .backward = training };
    struct instance r = { 0 };
    if (open_cpu(&r.dev, threads, precision) < 0 ||
        clzi_params_create(&r.weights, r.dev, g, values, &(struct clzi_params_wanted){ .train = training }) < 0 ||
        clzi_exec_create(&r.exec, g, r.weights, &params) < 0)
        exit(1);
    r.count = clzi_shape_count(clzi_exec_output_shape(r.exec, 0));
    r.x = calloc(BATCH * SIZE * SIZE, sizeof *r.x);
    r.dy = calloc(r.count, sizeof *r.dy);
    for (int i = 0; i < BATCH * SIZE * SIZE; i++) r.x[i] = noise();
    for (int64_t i = 0; i < r.count; i++) r.dy[i] = noise();
    return r;
}

static void instance_destroy(struct instance *r)
{
    clzi_exec_destroy(&r->exec);
    clzi_params_destroy(&r->weights);
    clzi_device_close(&r->dev);
    free(r->x);
    free(r->dy);
}

static void forward(struct instance *r, float *y)
{
    REQUIRE_INT(clzi_exec_upload(r->exec, 0, r->x), 0);
    REQUIRE_INT(clzi_exec_forward(r->exec, 5), 0);
    REQUIRE_INT(clzi_exec_download(r->exec, 0, y), 0);
}

static void backward(struct instance *r)
{
    const struct clzi_backend *be = clzi_device_base(r->dev)->backend;
    REQUIRE_INT(be->upload(r->dev, clzi_exec_output_gradient(r->exec, 0), clzi_exec_output_shape(r->exec, 0), r->dy), 0);
    REQUIRE_INT(clzi_exec_backward(r->exec), 0);
}

static void read_gradients(struct instance *r, float *to)
{
    const struct clzi_graph *g = r->weights->graph;
    for (int i = 0; i < g->param_count; i++) {
        const int64_t count = clzi_param_count(&g->params[i]);
        if (!clzi_params_at(r->weights, CLZI_DW, i)) continue;
        REQUIRE_INT(clzi_device_base(r->dev)->backend->read(r->dev, to, clzi_params_at(r->weights, CLZI_DW, i), count), 0);
        to += count;
    }
}

static const struct precision { enum clz_precision value; const char *name; } precisions[] = {
    { CLZ_PRECISION_F32, "f32" }, { CLZ_PRECISION_BF16, "bf16" },
};

static bool opens(enum clz_precision precision)
{
    struct clzi_device *dev;
    if (open_cpu(&dev, 1, precision) < 0) return false;
    clzi_device_close(&dev);
    return true;
}

static const char *name_of(const char *what, const struct precision *p)
{
    static char name[100];
    snprintf(name, sizeof name, "cpu/%s_%s", p->name, what);
    return name;
}

// Also for forward in training, where the batch statistics are sums over all pixels. (Gradients of weights do depend on the
// number of threads: oneDNN splits their sums by thread.)
static void test_threads(const struct clzi_graph *g, float **values, const struct precision *p)
{
    static const int threads[] = { 1, 2, 3, 7 };
    CASE(name_of("forward_is_the_same_for_any_number_of_threads", p));
    for (int training = 0; training < 2; training++) {
        float *first = NULL;
        for (size_t i = 0; i < sizeof threads / sizeof *threads; i++) {
            struct instance r;
            float *y;
            state = 7;
            r = instance_create(g, values, threads[i], p->value, training);
            y = calloc(r.count, sizeof *y);
            forward(&r, y);
            if (first) REQUIRE(!memcmp(first, y, r.count * sizeof *y));
            if (first) free(y); else first = y;
            instance_destroy(&r);
        }
        free(first);
    }
}

static void test_repeats(const struct clzi_graph *g, float **values, const struct precision *p)
{
    struct instance r[2];
    float *y[2], *dw[2];
    int64_t total = clzi_graph_trainable_count(g);

    CASE(name_of("forward_and_backward_repeat_bit_for_bit", p));
    for (int i = 0; i < 2; i++) {
        state = 7;
        r[i] = instance_create(g, values, 2, p->value, true);
        y[i] = calloc(r[i].count, sizeof **y);
        dw[i] = calloc(total, sizeof **dw);
        forward(&r[i], y[i]);
        backward(&r[i]);
        read_gradients(&r[i], dw[i]);
    }
    REQUIRE(!memcmp(y[0], y[1], r[0].count * sizeof **y));
    REQUIRE(!memcmp(dw[0], dw[1], total * sizeof **dw));
    for (int i = 0; i < 2; i++) {
        instance_destroy(&r[i]);
        free(y[i]);
        free(dw[i]);
    }
}

// oneDNN allocates a small table of arguments for each execution and frees it (measured: at most 4 allocations per primitive,
// none above 2048 bytes). Larger allocations, or a number that grows, are ours and fail the test.
static void test_memory(const struct clzi_graph *g, float **values, const struct precision *p)
{
    struct instance r;
    float *y;
    int count[3], large[3];

    CASE(name_of("steady_steps_allocate_nothing", p));
    if (!COUNTS) return;
    state = 7;
    r = instance_create(g, values, 1, p->value, true);      // one: on a busy machine several may start wait.c's helper thread
    y = calloc(r.count, sizeof *y);
    for (int i = 0; i < 3; i++) {
        allocations = large_allocations = 0;
        r.weights->version++;               // weights are packed again, as in every training step
        counting = 1;
        forward(&r, y);
        backward(&r);
        counting = 0;
        count[i] = allocations;
        large[i] = large_allocations;
    }
    REQUIRE_INT(large[1], 0);
    REQUIRE_INT(large[2], 0);
    REQUIRE_INT(count[1], count[2]);
    printf("  %d small allocations of oneDNN per step\n", count[2]);
    free(y);
    instance_destroy(&r);
}

static void test_device(void)
{
    struct clzi_device *dev;
    const struct clzi_backend *be;
    void *p;

    CASE("cpu/device");
    REQUIRE_INT(open_cpu(&dev, 3, CLZ_PRECISION_AUTO), 0);
    be = clzi_device_base(dev)->backend;
    REQUIRE_INT(clzi_device_base(dev)->threads, 3);
    REQUIRE(!strncmp(clzi_device_base(dev)->describe, "cpu ", 4));
    REQUIRE_INT(be->frames_per_run(dev, 16), 1);
    REQUIRE(!be->alloc(dev, SIZE_MAX - 100));
    REQUIRE(!be->alloc(dev, SIZE_MAX - 10));
    p = be->alloc(dev, 1);
    REQUIRE(p && (uintptr_t)p % 64 == 0);
    be->free(dev, p);
    clzi_device_close(&dev);
    REQUIRE(!dev);
    REQUIRE_INT(open_cpu(&dev, 0, CLZ_PRECISION_F32), 0);
    REQUIRE(clzi_device_base(dev)->threads >= 1);
    clzi_device_close(&dev);
}

// Runs this program again with oneDNN limited to `isa`, and reads what it prints: device, sum of the net's output, bf16 or not.
static void describe(const char *program, const char *isa, char device[64], double *sum, int *bf16)
{
    char command[600];
    FILE *f;
    snprintf(command, sizeof command, "DNNL_MAX_CPU_ISA=%s '%s' describe", isa, program);
    f = popen(command, "r");
    REQUIRE(f && fscanf(f, "%63[^;];%lf;%d", device, sum, bf16) == 3);
    if (f) REQUIRE_INT(pclose(f), 0);
}

static int print_description(const struct clzi_graph *g, float **values)
{
    struct clzi_device *dev;
    struct instance r;
    double sum = 0;
    float *y;

    state = 7;
    r = instance_create(g, values, 2, CLZ_PRECISION_F32, false);
    y = calloc(r.count, sizeof *y);
    forward(&r, y);
    for (int64_t i = 0; i < r.count; i++) sum += fabs(y[i]);
    free(y);
    instance_destroy(&r);
    if (open_cpu(&dev, 1, CLZ_PRECISION_AUTO) < 0) return 1;
    printf("%s;%.9g;%d\n", clzi_device_base(dev)->describe, sum, opens(CLZ_PRECISION_BF16));
    clzi_device_close(&dev);
    return 0;
}

static void test_dispatch(const char *program)
{
    static const struct { const char *isa, *device; int bf16; } want[] = {
        { "AVX2", "cpu f32 (AVX2)", 0 }, { "AVX512_CORE", "cpu f32 (AVX-512)", 1 },
        { "AVX512_CORE_BF16", "cpu bf16 (AVX-512 bf16)", 1 },
    };
    double full = 1;
    char device[64] = "", limited[64] = "";
    int bf16;

    CASE("cpu/kernels_follow_the_machine");
    describe(program, "ALL", device, &full, &bf16);
    printf("  this machine: %s\n", device);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        double sum = 0;
        if (!strcmp(want[i].isa, "AVX2") ? !strstr(device, "(A") : !opens(CLZ_PRECISION_BF16)) continue;
        if (!strcmp(want[i].isa, "AVX512_CORE_BF16") && strncmp(device, "cpu bf16", 8)) continue;
        describe(program, want[i].isa, limited, &sum, &bf16);
        REQUIRE_STR(limited, want[i].device);
        REQUIRE_INT(bf16, want[i].bf16);
        REQUIRE_NEAR(sum / full, 1, 1e-6);  // measured: below 1e-8
    }
}

// ---- spinning or sleeping: the policy on simulated machines ----

// s: length of a pass when spinning and when sleeping, of the work between passes, and from frame to frame of a live source (or
// 0); share: of the CPU that the waiting thread gets while it spins.
struct machine { double spin, sleep, share, rest, period; };

// Simulates passes for `span` seconds. Returns the share of the passes' time that was in sleep mode.
static double simulate(struct clzi_cpu_wait_policy *l, double *now, double span, struct machine m, int *changes)
{
    const double end = *now + span;
    double asleep = 0, sum = 0;

    *changes = 0;
    while (*now < end) {
        const bool was = l->sleep;
        const double wall = was ? m.sleep : m.spin, all = wall * 1.2 + m.rest;
        *now += all > m.period ? all : m.period;
        sum += wall;
        if (was) asleep += wall;
        *changes += clzi_cpu_wait_policy_update(l, *now, wall, was ? wall / 2 : wall * m.share) != was;
    }
    return asleep / sum;
}

static void test_wait(void)
{
    struct clzi_cpu_wait_policy l = { 0 };
    double now = 1000, worst = 0;
    int changes;

    CASE("cpu/wait/spins_when_alone");
    REQUIRE(simulate(&l, &now, 60, (struct machine){ .005, .004, 1, 0, 0 }, &changes) == 0);
    REQUIRE_INT(changes, 0);

    CASE("cpu/wait/sleeps_on_a_busy_machine_if_faster");
    REQUIRE(simulate(&l, &now, 60, (struct machine){ .007, .005, .4, 0, 0 }, &changes) > 0.9);
    REQUIRE(l.sleep);
    REQUIRE(changes < 20);

    CASE("cpu/wait/spins_again_when_alone_again");
    simulate(&l, &now, 40, (struct machine){ .005, .007, 1, 0, 0 }, &changes);
    REQUIRE(simulate(&l, &now, 60, (struct machine){ .005, .007, 1, 0, 0 }, &changes) == 0);

    CASE("cpu/wait/spins_on_a_busy_machine_if_faster");
    REQUIRE(simulate(&l, &now, 120, (struct machine){ .002, .004, .4, 0, 0 }, &changes) < 0.06);
    REQUIRE(!l.sleep);
    REQUIRE(changes > 4);                   // trials go on

    CASE("cpu/wait/equal_times_change_nothing");
    REQUIRE(simulate(&l, &now, 120, (struct machine){ .004, .004, .4, 0, 0 }, &changes) < 0.06);

    CASE("cpu/wait/a_very_busy_machine_is_found_in_seconds_and_retried_seldom");
    l = (struct clzi_cpu_wait_policy){ 0 };
    simulate(&l, &now, 2.5, (struct machine){ .3, .005, .1, 0, 0 }, &changes);
    REQUIRE(l.sleep);
    simulate(&l, &now, 600, (struct machine){ .3, .005, .1, 0, 0 }, &changes);
    REQUIRE(l.sleep);
    REQUIRE(changes > 2 && changes < 16);   // each trial is one slow pass

    CASE("cpu/wait/a_live_source_gets_the_shorter_pass");
    l = (struct clzi_cpu_wait_policy){ 0 };
    REQUIRE(simulate(&l, &now, 120, (struct machine){ .020, .010, .4, 0, .040 }, &changes) > 0.8);
    simulate(&l, &now, 60, (struct machine){ .010, .020, .4, 0, .040 }, &changes);
    REQUIRE(simulate(&l, &now, 120, (struct machine){ .010, .020, .4, 0, .040 }, &changes) < 0.1);

    CASE("cpu/wait/training_where_a_pass_is_part_of_a_step");
    l = (struct clzi_cpu_wait_policy){ 0 };
    simulate(&l, &now, 600, (struct machine){ 2, 0.5, .4, 4, 0 }, &changes);
    REQUIRE(l.sleep);
    REQUIRE(simulate(&l, &now, 3600, (struct machine){ 2, 0.5, .4, 4, 0 }, &changes) > 0.6);    // trials are slow

    CASE("cpu/wait/pauses_are_not_measured");
    l = (struct clzi_cpu_wait_policy){ 0 };
    simulate(&l, &now, 2, (struct machine){ .005, .005, 1, 0, 0 }, &changes);
    for (int i = 0; i < 1000; i++) {
        now += i % 100 ? .006 : 3600;
        clzi_cpu_wait_policy_update(&l, now, .005, .005);
        worst = fmax(worst, l.typical_period);
    }
    REQUIRE(worst < 0.01);
}

int main(int argc, char **argv)
{
    struct clzi_graph *g = net();
    float **values = parameters(g);
    const bool child = argc > 1 && !strcmp(argv[1], "describe");
    int ret = child ? print_description(g, values) : 0;

    if (!child) test_device();
    if (!child) test_wait();
    for (size_t i = 0; !child && i < sizeof precisions / sizeof *precisions; i++) {
        if (!opens(precisions[i].value)) continue;
        test_threads(g, values, &precisions[i]);
        test_repeats(g, values, &precisions[i]);
        test_memory(g, values, &precisions[i]);
    }
    if (!child) test_dispatch(argv[0]);
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    free(values);
    clzi_graph_destroy(&g);
    return child ? ret : check_end();
}
