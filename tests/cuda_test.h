// cuda_test.h - shared by the tests of CUDA kernels: tensors in memory of the exact size, the reference op beside a kernel, and
// the comparison. tests/cuda_emu.h runs the kernels.
#ifndef CUDA_TEST_H
#define CUDA_TEST_H
#include <stdbool.h>

#include "backend.h"
#include "check.h"
#include "cuda_emu.h"
#include "f16.h"
#include "kernels/cuda.h"
#include "kernels/fnv.h"

static const char *const type_names[] = { "f32", "f16", "bf16" };
static bool print_errors;                       // --errors: the measured errors, for the limits

// ---- numbers ----

static uint32_t random_state = 1;
static inline float uniform(float low, float high)
{
    random_state = random_state * 1664525u + 1013904223u;
    return low + (high - low) * (float)(random_state >> 8) / 16777216.f;
}

static inline uint16_t bf16_from_float(float x)
{
    const uint32_t u = clzi_float_bits(x);
    if ((u & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

static inline float typed_get(enum clzk_type type, const void *p, int64_t i)
{
    if (type == CLZK_F32) return ((const float *)p)[i];
    if (type == CLZK_F16) return clzi_f16_to_float(((const uint16_t *)p)[i]);
    return clzi_bits_float((uint32_t)((const uint16_t *)p)[i] << 16);
}

static inline void typed_set(enum clzk_type type, void *p, int64_t i, float x)
{
    if (type == CLZK_F32) ((float *)p)[i] = x;
    else ((uint16_t *)p)[i] = type == CLZK_F16 ? clzi_f16_from_float(x) : bf16_from_float(x);
}

// ---- memory: exactly as large as asked for, so that the address sanitizer finds what goes beyond; freed by free_all() ----

static struct { void *p[256]; int count; } blocks;

static inline void *block(size_t size)
{
    void *p = malloc(size);
    if (!p || blocks.count == 256) abort();
    memset(p, 0xff, size);                      // NaN
    return blocks.p[blocks.count++] = p;
}

static inline void free_all(void)
{
    while (blocks.count) free(blocks.p[--blocks.count]);
}

static inline float *floats(int64_t count) { return block(count * sizeof(float)); }

static inline float *random_floats(int64_t count, float low, float high)
{
    float *v = floats(count);
    for (int64_t i = 0; i < count; i++) v[i] = uniform(low, high);
    return v;
}

// A tensor of the device beside the same numbers, rounded to its type, for the reference.
struct tensor { struct clzi_shape shape; enum clzk_type type; void *nhwc; float *nchw; };

static inline int64_t nhwc_index(struct clzi_shape s, int64_t i)       // of element i of dense NCHW
{
    const int64_t area = (int64_t)s.h * s.w, n = i / (s.c * area), c = i / area % s.c;
    return (n * area + i % area) * s.c + c;
}

static inline struct tensor tensor_new(enum clzk_type type, struct clzi_shape s)
{
    return (struct tensor){ s, type, block(clzi_shape_count(s) * clzk_type_size(type)), floats(clzi_shape_count(s)) };
}

static inline void tensor_set(struct tensor *t, int64_t i, float v)
{
    typed_set(t->type, t->nhwc, nhwc_index(t->shape, i), v);
    t->nchw[i] = typed_get(t->type, t->nhwc, nhwc_index(t->shape, i));
}

static inline struct tensor tensor_random(enum clzk_type type, struct clzi_shape s, float low, float high)
{
    struct tensor t = tensor_new(type, s);
    for (int64_t i = 0; i < clzi_shape_count(s); i++) tensor_set(&t, i, uniform(low, high));
    return t;
}

// ---- comparison ----

// What a run has produced, to compare the runs in different orders of threads and blocks.
static uint64_t run_hash;
static bool again;                              // not the first run: the results are known to be right

// Of the case: the largest error of each value that is checked, by type.
static struct { const char *what; double error[3], limit[3]; } worst[32];

static inline void note_error(const char *what, int type, double error, double limit)
{
    int i = 0;

    while (i < 31 && worst[i].what && strcmp(worst[i].what, what)) i++;
    worst[i].what = what;
    worst[i].limit[type] = limit;
    if (error > worst[i].error[type] || error != error) worst[i].error[type] = error;
}

static inline void check_value(enum clzk_type type, double got, double want, double scale, double limit, const char *what,
                               int64_t i)
{
    // Half a unit in the last place of the type, and what the sums and functions add.
    static const double rounding[] = { 0, 0x1p-11, 0x1p-8 };
    if (again) return;
    const double error = fabs(got - want) / (fabs(want) + scale), most = limit + rounding[type];

    note_error(what, type, error, most);
    check_state.checks++;
    if (error <= most) return;
    if (check_state.failed_here++ < 3)
        printf("  %s %s: element %lld is %.9g, should be %.9g (error %.3g, limit %.3g)\n", what, type_names[type], (long long)i,
               got, want, error, most);
}

static inline double rms(const float *v, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += (double)v[i] * v[i];
    return count ? sqrt(sum / count) : 0;
}

// The error of an element is |got - want| / (|want| + root mean square of want).
static inline void check_tensor(const struct tensor *got, const float *want, double limit, const char *what)
{
    const int64_t count = clzi_shape_count(got->shape);
    const double scale = rms(want, count) + 1e-20;

    for (int64_t i = 0; i < count; i++)
        check_value(got->type, typed_get(got->type, got->nhwc, nhwc_index(got->shape, i)), want[i], scale, limit, what, i);
    run_hash = clzk_fnv1a(run_hash, got->nhwc, count * clzk_type_size(got->type));
}

static inline void check_floats(const float *got, const float *want, int64_t count, double limit, const char *what)
{
    const double scale = rms(want, count) + 1e-20;

    for (int64_t i = 0; i < count; i++) check_value(CLZK_F32, got[i], want[i], scale, limit, what, i);
    run_hash = clzk_fnv1a(run_hash, got, count * sizeof *got);
}

static inline void check_queued(int ret, const char *call)
{
    check_state.checks++;
    if (!ret) return;
    check_state.failed_here++;
    printf("  %s: error %d: %s\n", call, ret, cuda_emu_message());
}
#define QUEUE(call) check_queued(call, #call)

// Runs a case in each order; the results must be equal bit for bit.
static inline void run_case(const char *name, void (*run)(void))
{
    uint64_t first = 0;

    check_case(name);
    memset(worst, 0, sizeof worst);
    for (int order = 0; order < 3; order++) {
        cuda_emu_set_order((enum cuda_emu_order)order);
        random_state = 1;
        again = order > 0;
        run_hash = CLZK_FNV1A_BASIS;
        run();
        free_all();
        if (!order) first = run_hash;
        check_state.checks++;
        if (run_hash == first) continue;
        check_state.failed_here++;
        printf("  results depend on the order of threads or blocks\n");
    }
    for (int i = 0; i < 32 && worst[i].what && print_errors; i++) {
        printf("  %-22s", worst[i].what);
        for (int t = 0; t < 3; t++)
            if (worst[i].limit[t] > 0 || worst[i].error[t] > 0)
                printf("  %s %.2g of %.2g", type_names[t], worst[i].error[t], worst[i].limit[t]);
        printf("\n");
    }
}

// The sanitizer keeps this much freed memory out of use; its default, 256 MB, costs time.
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "quarantine_size_mb=8"; }

// ---- the reference ----

static struct clzi_device *ref;

struct ref_op {
    enum clzi_op_id op;
    struct clzi_attr attr;
    const char *name;
    int in_count;
    struct clzi_shape xs[CLZI_MAX_IN], ys;
    const float *x[CLZI_MAX_IN];
    float *w[CLZI_MAX_W], *y;
    const float *dy;                            // NULL: forward only
    float *dx[CLZI_MAX_IN], *dw[CLZI_MAX_W];
    bool training;
    uint64_t seed;
};

static inline void ref_run(const struct ref_op *r)
{
    struct clzi_node node = { .op = r->op, .attr = r->attr, .in_count = r->in_count };
    struct clzi_call c = { .dev = ref, .node = &node, .ys = r->ys, .training = r->training, .seed = &r->seed };
    const struct clzi_op *op = clzi_backend_ref.ops[r->op];

    if (again) return;
    if (r->name) snprintf(node.name, sizeof node.name, "%s", r->name);
    for (int i = 0; i < CLZI_MAX_IN; i++) {
        c.xs[i] = r->xs[i];
        c.x[i] = r->x[i];
        c.dx[i] = r->dx[i];
        c.want_dx[i] = r->dx[i] != NULL;
        c.w[i] = r->w[i];
        c.dw[i] = r->dw[i];
        c.want_dw |= r->dw[i] != NULL;
    }
    c.y = r->y;
    c.dy = r->dy;
    REQUIRE(!op->plan || op->plan(&c) == 0);
    c.scratch = malloc(c.scratch_size + 1);
    c.saved = malloc(c.saved_size + 1);
    REQUIRE(op->forward(&c) == 0);
    if (r->dy) REQUIRE(op->backward(&c) == 0);
    if (op->destroy) op->destroy(&c);
    free(c.scratch);
    free(c.saved);
}

static inline int ref_open(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) print_errors |= !strcmp(argv[i], "--errors");
    return clzi_device_open(&ref, "ref", &(struct clzi_device_params){ .threads = 1 });
}
#endif
