// dnn.c - operation graphs of cuDNN's backend API for one convolution with its epilogue, and the choice of an engine.
//
// Precompiled engines fuse bias, residual and activation only if the bias has the activations' type and the residual is added
// before it (cuDNN 9.19, sm_90: 63 engines against 8 that are compiled at run time, 0.5 s each).
#include <cuda_runtime_api.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dnn.h"
#include "base/log.h"
#include "plan_cache.h"

enum {
    MAX_DESCRIPTORS = 32,
    MAX_CONFIGS = 32,                       // of one heuristic
    MAX_TIMED = 6,                          // plans that are timed
    TIMED_RUNS = 5,
    HOLD_NANOSECONDS = 200000,              // in which TIMED_RUNS are queued
    ALIGNMENT = 16,                         // of all pointers, bytes
};
#define MAX_WORKSPACE ((int64_t)512 << 20)

typedef cudnnBackendDescriptor_t desc;

// ---- descriptors ----

// All descriptors of one graph. After a failed call the rest do nothing.
struct builder {
    desc all[MAX_DESCRIPTORS];
    int count;
    cudnnStatus_t status;
};

static desc create(struct builder *b, cudnnBackendDescriptorType_t type)
{
    desc d = NULL;

    if (b->status || b->count == MAX_DESCRIPTORS) return NULL;
    if ((b->status = cudnnBackendCreateDescriptor(type, &d))) return NULL;
    return b->all[b->count++] = d;
}

static void set(struct builder *b, desc d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, int64_t count,
                const void *values)
{
    if (!b->status) b->status = cudnnBackendSetAttribute(d, name, type, count, values);
}

static void set_desc(struct builder *b, desc d, cudnnBackendAttributeName_t name, desc value)
{
    set(b, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static desc finish(struct builder *b, desc d)
{
    if (!b->status) b->status = cudnnBackendFinalize(d);
    return d;
}

static void destroy_all(struct builder *b)
{
    while (b->count) cudnnBackendDestroyDescriptor(b->all[--b->count]);
}

// ---- the graph ----

static const cudnnDataType_t data_types[CLZK_TYPE_COUNT] = {
    [CLZK_F32] = CUDNN_DATA_FLOAT, [CLZK_F16] = CUDNN_DATA_HALF, [CLZK_BF16] = CUDNN_DATA_BFLOAT16,
};
static const cudnnDataType_t f32 = CUDNN_DATA_FLOAT;        // of sums and of what lies between the operations

enum { ID_X = 'x', ID_W = 'w', ID_Y = 'y', ID_BIAS = 'b', ID_RESIDUAL = 'r' };

static desc tensor(struct builder *b, int64_t id, cudnnDataType_t type, struct clzi_shape s, bool is_virtual)
{
    const int64_t dims[4] = { s.n, s.c, s.h, s.w }, strides[4] = { (int64_t)s.h * s.w * s.c, 1, (int64_t)s.w * s.c, s.c };
    const int64_t align = ALIGNMENT;
    desc d = create(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);

    set(b, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &id);
    set(b, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(b, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    set(b, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set(b, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
    set(b, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    return finish(b, d);
}

// y = mode(x) or mode(x, other).
static desc pointwise(struct builder *b, cudnnPointwiseMode_t mode, desc x, desc other, desc y)
{
    desc mode_desc = create(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR), op;

    set(b, mode_desc, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(b, mode_desc, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &f32);
    finish(b, mode_desc);
    op = create(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    set_desc(b, op, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, mode_desc);
    set_desc(b, op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (other) set_desc(b, op, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, other);
    set_desc(b, op, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    return finish(b, op);
}

// The attributes of the three kinds of convolution.
static const struct {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t conv, x, w, y, alpha, beta;
} kinds[CLZI_DNN_KIND_COUNT] = {
    [CLZI_DNN_FORWARD] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
        CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA },
    [CLZI_DNN_DATA] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA },
    [CLZI_DNN_WEIGHTS] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
        CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA },
};

static desc convolution(struct builder *b, const struct clzi_dnn_conv_params *p, desc x, desc w, desc y)
{
    const int64_t dims = 2, dilation[2] = { 1, 1 }, stride[2] = { p->stride, p->stride }, before[2] = { p->pad, p->pad };
    const int64_t after[2] = { p->pad + p->pad_extra, p->pad + p->pad_extra };
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const float one = 1, zero = 0;
    desc conv = create(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR), op;

    set(b, conv, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &f32);
    set(b, conv, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set(b, conv, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dims);
    set(b, conv, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation);
    set(b, conv, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
    set(b, conv, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, before);
    set(b, conv, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, after);
    finish(b, conv);
    op = create(b, kinds[p->kind].type);
    set_desc(b, op, kinds[p->kind].conv, conv);
    set_desc(b, op, kinds[p->kind].x, x);
    set_desc(b, op, kinds[p->kind].w, w);
    set_desc(b, op, kinds[p->kind].y, y);
    set(b, op, kinds[p->kind].alpha, CUDNN_TYPE_FLOAT, 1, &one);
    set(b, op, kinds[p->kind].beta, CUDNN_TYPE_FLOAT, 1, &zero);
    return finish(b, op);
}

// conv -> [+ residual] -> [+ bias] -> [activation]: all but the last result are virtual.
static desc graph(struct builder *b, const struct clzi_dnn_target *t, const struct clzi_dnn_conv_params *p)
{
    const bool data = p->kind == CLZI_DNN_DATA;
    const struct clzi_shape out = data ? p->x : p->y, vector = { 1, out.c, 1, 1 };
    const struct clzi_shape weights = { p->y.c, p->x.c / p->groups, p->k, p->k };
    const int steps = p->residual + p->bias + (p->act != CLZI_ACT_NONE);
    const cudnnDataType_t type = data_types[p->type];
    int64_t id = 1;
    int left = steps, count = 0;
    desc ops[4], g, x, w, y, last = tensor(b, steps ? id++ : data ? ID_X : ID_Y, steps ? f32 : type, out, steps > 0);

    if (p->kind == CLZI_DNN_WEIGHTS) last = tensor(b, ID_Y, type, p->y, false);
    x = data ? last : tensor(b, ID_X, type, p->x, false);
    y = data ? tensor(b, ID_Y, type, p->y, false) : last;
    w = tensor(b, ID_W, type, weights, false);
    ops[count++] = convolution(b, p, x, w, y);
    for (int step = 0; step < 3; step++) {
        static const cudnnPointwiseMode_t modes[3] = { CUDNN_POINTWISE_ADD, CUDNN_POINTWISE_ADD, CUDNN_POINTWISE_RELU_FWD };
        const bool wanted[3] = { p->residual, p->bias, p->act != CLZI_ACT_NONE };
        desc other = NULL, next;
        if (!wanted[step]) continue;
        if (step < 2) other = tensor(b, step ? ID_BIAS : ID_RESIDUAL, type, step ? vector : out, false);
        left--;
        next = tensor(b, left ? id++ : data ? ID_X : ID_Y, left ? f32 : type, out, left > 0);
        ops[count++] = pointwise(b, modes[step], last, other, next);
        last = next;
    }
    g = create(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(b, g, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, count, ops);
    if (t->handle) set(b, g, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &t->handle);
    return finish(b, g);
}

// ---- engines ----

// Notes of engines that are not taken. Winograd and FFT lose digits, which f32 is there for; a reduced reduction sums in f16.
static const cudnnBackendNumericalNote_t refused[] = {
    CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION,
}, refused_f32[] = {
    CUDNN_NUMERICAL_NOTE_TENSOR_CORE, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS, CUDNN_NUMERICAL_NOTE_FFT,
    CUDNN_NUMERICAL_NOTE_WINOGRAD, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4, CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6,
    CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13,
};

static bool is_refused(cudnnBackendNumericalNote_t note, enum clzk_type type)
{
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (note == refused[i]) return true;
    for (size_t i = 0; type == CLZK_F32 && i < sizeof refused_f32 / sizeof *refused_f32; i++)
        if (note == refused_f32[i]) return true;
    return false;
}

// Whether a configuration gives the same bits every time, sums in f32 and, for f32, computes in f32.
static bool is_exact(desc config, enum clzk_type type)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    struct builder b = { .count = 0 };
    desc engine = create(&b, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
    int64_t count = 0;
    bool exact = true;

    if (b.status ||
        cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine) ||
        cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                 CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes)) {
        destroy_all(&b);
        return false;
    }
    for (int64_t i = 0; i < count; i++) exact &= !is_refused(notes[i], type);
    destroy_all(&b);
    return exact;
}

static cudnnStatus_t set_target(desc plan, const struct clzi_dnn_target *t)
{
    if (t->handle) return cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &t->handle);
    return cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &t->device);
}

static bool workspace_of(desc plan, size_t *workspace)
{
    int64_t count, size = 0;

    if (cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &size))
        return false;
    *workspace = (size_t)size;
    return size <= MAX_WORKSPACE;
}

static desc plan_of(const struct clzi_dnn_target *t, desc config, size_t *workspace)
{
    desc plan;

    if (cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan)) return NULL;
    if (!set_target(plan, t) &&
        !cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config) &&
        !cudnnBackendFinalize(plan) && workspace_of(plan, workspace))
        return plan;
    cudnnBackendDestroyDescriptor(plan);
    return NULL;
}

// The configurations that a heuristic offers, best first, as new descriptors that the caller destroys.
static int configs_of(const struct clzi_dnn_target *t, desc g, cudnnBackendHeurMode_t mode, desc configs[MAX_CONFIGS])
{
    struct builder b = { .count = 0 };
    desc heuristic = create(&b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    int64_t count = 0;

    set_desc(&b, heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, g);
    set(&b, heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (t->device) set_desc(&b, heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, t->device);
    finish(&b, heuristic);
    memset(configs, 0, MAX_CONFIGS * sizeof *configs);
    for (int i = 0; i < MAX_CONFIGS && !b.status; i++)
        b.status = cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]);
    if (!b.status)
        b.status = cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, MAX_CONFIGS,
                                            &count, configs);
    destroy_all(&b);
    return b.status ? 0 : (int)(count < MAX_CONFIGS ? count : MAX_CONFIGS);
}

// ---- the fastest ----

static size_t bytes(struct clzi_shape s, enum clzk_type type) { return (size_t)clzi_shape_count(s) * clzk_type_size(type); }

static void buffers_free(struct clzi_dnn_data *d)
{
    void *all[] = { d->x, d->w, d->y, d->bias, d->residual };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) cudaFree(all[i]);
}

static bool buffers_alloc(struct clzi_dnn_data *d, const struct clzi_dnn_conv_params *p, cudaStream_t stream)
{
    const struct clzi_shape weights = { p->y.c, p->x.c / p->groups, p->k, p->k }, vector = { 1, p->y.c, 1, 1 };
    const struct { void **at; size_t size; } wanted[] = {
        { &d->x, bytes(p->x, p->type) }, { &d->w, bytes(weights, p->type) }, { &d->y, bytes(p->y, p->type) },
        { &d->bias, p->bias ? bytes(vector, p->type) : 0 }, { &d->residual, p->residual ? bytes(p->y, p->type) : 0 },
    };

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (wanted[i].size && (cudaMalloc(wanted[i].at, wanted[i].size) ||
                               cudaMemsetAsync(*wanted[i].at, 0, wanted[i].size, stream))) {
            cudaGetLastError();
            return false;
        }
    return true;
}

// Keeps a stream waiting until the calls that are timed lie in its queue: short convolutions run faster than they are queued.
static void CUDART_CB hold(void *unused)
{
    const struct timespec time = { 0, HOLD_NANOSECONDS };

    (void)unused;
    nanosleep(&time, NULL);
}

// Milliseconds of one run, or a negative number if it fails.
static float time_plan(const struct clzi_dnn_conv *conv, cudnnHandle_t handle, cudaStream_t stream, struct clzi_dnn_data d)
{
    cudaEvent_t start = NULL, end = NULL;
    float ms = -1;

    if ((!conv->workspace || !cudaMalloc(&d.workspace, conv->workspace)) && !cudaEventCreate(&start) && !cudaEventCreate(&end) &&
        !clzi_dnn_conv_run(conv, handle, &d) && !cudaLaunchHostFunc(stream, hold, NULL) && !cudaEventRecord(start, stream)) {
        int ret = 0;
        for (int i = 0; i < TIMED_RUNS && !ret; i++) ret = clzi_dnn_conv_run(conv, handle, &d);
        if (ret || cudaEventRecord(end, stream) || cudaEventSynchronize(end) || cudaEventElapsedTime(&ms, start, end)) ms = -1;
    }
    if (start) cudaEventDestroy(start);
    if (end) cudaEventDestroy(end);
    cudaFree(d.workspace);
    if (ms < 0) cudaGetLastError();         // another plan is tried
    return ms;
}

// Takes the first plan, or on a real device the fastest of MAX_TIMED.
static int choose(struct clzi_dnn_conv *conv, const struct clzi_dnn_target *t, desc g, int *engines)
{
    static const cudnnBackendHeurMode_t modes[] = { CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK };
    struct clzi_dnn_data data = { 0 };
    float best = -1;
    int timed = 0;
    cudaStream_t stream = NULL;
    const bool timing = t->handle && !cudnnGetStream(t->handle, &stream) && buffers_alloc(&data, &conv->params, stream);

    for (size_t m = 0; m < sizeof modes / sizeof *modes && timed < MAX_TIMED && !(conv->plan && m); m++) {
        desc configs[MAX_CONFIGS];
        const int count = configs_of(t, g, modes[m], configs);
        *engines += count;
        for (int i = 0; i < count && timed < MAX_TIMED; i++) {
            struct clzi_dnn_conv other = { .params = conv->params };
            float ms = 0;
            if ((conv->plan && !timing) || !is_exact(configs[i], conv->params.type)) continue;
            if (!(other.plan = plan_of(t, configs[i], &other.workspace))) continue;
            timed++;
            if (timing && (ms = time_plan(&other, t->handle, stream, data)) < 0) {
                clzi_dnn_conv_destroy(&other);
            } else if (conv->plan && ms >= best) {
                clzi_dnn_conv_destroy(&other);
            } else {
                clzi_dnn_conv_destroy(conv);
                *conv = other;
                best = ms;
            }
        }
        for (int i = 0; i < MAX_CONFIGS; i++)
            if (configs[i]) cudnnBackendDestroyDescriptor(configs[i]);
    }
    buffers_free(&data);
    return conv->plan ? 0 : -ENOTSUP;
}

// ---- plans on disk ----

static void cache_key(const struct clzi_dnn_target *t, const char *problem, char key[CLZI_PLAN_KEY_SIZE])
{
    int runtime = 0;

    cudaRuntimeGetVersion(&runtime);
    snprintf(key, CLZI_PLAN_KEY_SIZE, "cuDNN %zu, CUDA %d, %s: %s", cudnnGetVersion(), runtime, t->device_name, problem);
}

static bool load_plan(struct clzi_dnn_conv *conv, const struct clzi_dnn_target *t, const char *key)
{
    char *json = NULL;
    int64_t size = clzi_plan_cache_read(t->cache, key, &json);
    desc plan = NULL;

    if (size <= 0) return false;
    if (!cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan) && !set_target(plan, t) &&
        !cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, size, json) &&
        !cudnnBackendFinalize(plan) && workspace_of(plan, &conv->workspace)) {
        conv->plan = plan;
    } else {
        if (plan) cudnnBackendDestroyDescriptor(plan);
        clzi_log(&t->log, CLZ_LOG_VERBOSE, "cuda: a stored plan is not accepted any more, measured again: %s", key);
    }
    free(json);
    return conv->plan != NULL;
}

static void store_plan(const struct clzi_dnn_conv *conv, const struct clzi_dnn_target *t, const char *key)
{
    int64_t size = 0;
    char *json;
    const cudnnBackendAttributeName_t name = CUDNN_ATTR_EXECUTION_PLAN_JSON_REPRESENTATION;

    if (cudnnBackendGetAttribute(conv->plan, name, CUDNN_TYPE_CHAR, 0, &size, NULL) || size <= 0 || !(json = malloc(size)))
        return;
    if (!cudnnBackendGetAttribute(conv->plan, name, CUDNN_TYPE_CHAR, size, &size, json))
        clzi_plan_cache_write(t->cache, key, json, size, &t->log);
    free(json);
}

// ---- interface ----

// What cuDNN says about a failed call of this thread.
static const char *reason(cudnnStatus_t status, char text[256])
{
    *text = 0;
    cudnnGetLastErrorString(text, 256);
    return *text ? text : cudnnGetErrorString(status);
}

void clzi_dnn_conv_name(const struct clzi_dnn_conv_params *p, char name[CLZI_DNN_NAME_SIZE])
{
    static const char *const kind[] = { "forward", "data", "weights" }, *const type[] = { "f32", "f16", "bf16" };

    snprintf(name, CLZI_DNN_NAME_SIZE, "%s %s %dx%dx%dx%d to %dx%dx%dx%d, %dx%d stride %d pad %d+%d groups %d%s%s%s",
             kind[p->kind], type[p->type], p->x.n, p->x.h, p->x.w, p->x.c, p->y.n, p->y.h, p->y.w, p->y.c, p->k, p->k,
             p->stride, p->pad, p->pad_extra, p->groups, p->residual ? " residual" : "", p->bias ? " bias" : "",
             p->act ? " relu" : "");
}

int clzi_dnn_conv_create(struct clzi_dnn_conv *conv, const struct clzi_dnn_target *t, const struct clzi_dnn_conv_params *params,
                         int *engines)
{
    char name[CLZI_DNN_NAME_SIZE], key[CLZI_PLAN_KEY_SIZE], text[256];
    struct builder b = { .count = 0 };
    int ret, offered = 0;
    desc g;

    *conv = (struct clzi_dnn_conv){ .params = *params };
    clzi_dnn_conv_name(params, name);
    cache_key(t, name, key);
    if (t->cache && load_plan(conv, t, key)) {
        conv->log = t->log;
        return 0;
    }
    g = graph(&b, t, params);
    if (b.status) {
        ret = clzi_fail(&t->log, -ENOTSUP, "cuda: cuDNN refuses %s: %s", name, reason(b.status, text));
    } else {
        ret = choose(conv, t, g, &offered);
        if (ret < 0)
            clzi_log(&t->log, CLZ_LOG_ERROR, "cuda: cuDNN has no engine for %s among the %d that it offers; its last message: %s",
                     name, offered, reason(CUDNN_STATUS_NOT_SUPPORTED, text));
    }
    destroy_all(&b);
    conv->log = t->log;
    if (ret >= 0 && t->cache) store_plan(conv, t, key);
    if (engines) *engines = offered;
    return ret;
}

void clzi_dnn_conv_destroy(struct clzi_dnn_conv *conv)
{
    if (conv->plan) cudnnBackendDestroyDescriptor(conv->plan);
    conv->plan = NULL;
}

int clzi_dnn_conv_run(const struct clzi_dnn_conv *conv, cudnnHandle_t handle, const struct clzi_dnn_data *d)
{
    const struct clzi_dnn_conv_params *p = &conv->params;
    const struct { bool wanted; int64_t id; void *at; } all[] = {
        { true, ID_X, d->x }, { true, ID_W, d->w }, { true, ID_Y, d->y }, { p->bias, ID_BIAS, d->bias },
        { p->residual, ID_RESIDUAL, d->residual },
    };
    int64_t ids[sizeof all / sizeof *all];
    void *pointers[sizeof all / sizeof *all], *workspace = d->workspace;
    int count = 0;
    struct builder b = { .count = 0 };
    desc pack = create(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!all[i].wanted) continue;
        ids[count] = all[i].id;
        pointers[count++] = all[i].at;
    }
    set(&b, pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, count, ids);
    set(&b, pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointers);
    set(&b, pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
    finish(&b, pack);
    if (!b.status) b.status = cudnnBackendExecute(handle, conv->plan, pack);
    if (b.status) {
        char name[CLZI_DNN_NAME_SIZE], text[256];
        clzi_dnn_conv_name(p, name);
        clzi_log(&conv->log, CLZ_LOG_ERROR, "cuda: cuDNN: %s: %s", name, reason(b.status, text));
        cudaGetLastError();
    }
    destroy_all(&b);
    return b.status ? -EIO : 0;
}
