// emulated_runtime.c - the functions of the CUDA runtime, cuBLAS and cuDNN that engine/cuda calls, on the CPU: memory is
// malloc's, calls compute before they return, convolutions are plain loops. With the emulated kernels (cuda_emu.h) the whole CUDA
// device runs in tests without a GPU: everything but cuDNN's plans (dnn_probe.c), recorded passes and overlap.
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "engine/cuda/dnn.h"
#include "engine/f16.h"
#include "emulated_runtime.h"

// ---- runtime ----

static struct emulated_runtime state = { .devices = 1, .capability = 9 };
struct emulated_runtime *emulated_runtime(void) { return &state; }

static cudaError_t sticky(cudaError_t error) { return state.last = error; }

// A call that succeeds. What an earlier one has left for cudaGetLastError() would be taken for this one's error.
static cudaError_t succeeds(void)
{
    if (state.last) state.stale++;
    return cudaSuccess;
}

static cudaError_t allocate(void **p, size_t size)
{
    *p = NULL;
    if ((state.memory && state.used + size > state.memory) || (state.fail_at && !--state.fail_at))
        return sticky(cudaErrorMemoryAllocation);
    if (!(*p = aligned_alloc(256, (size + 255) / 256 * 256))) return sticky(cudaErrorMemoryAllocation);
    memset(*p, 0xff, size);                 // NaN until it is written
    state.blocks++;
    state.used += malloc_usable_size(*p);
    return succeeds();
}

static cudaError_t release(void *p)
{
    if (p) state.blocks--;
    if (p) state.used -= malloc_usable_size(p);
    free(p);
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **p, size_t size) { return allocate(p, size); }
cudaError_t cudaFree(void *p) { return release(p); }
cudaError_t cudaHostAlloc(void **p, size_t size, unsigned flags) { (void)flags; return allocate(p, size); }
cudaError_t cudaFreeHost(void *p) { return release(p); }

// There are no cudaMemcpy() and cudaMemset(): they work on the default stream, which the device's own streams do not wait for,
// and may return before the device's memory is written.
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t s)
{
    (void)s, (void)kind;
    memcpy(to, from, size);
    return succeeds();
}

cudaError_t cudaMemsetAsync(void *p, int value, size_t size, cudaStream_t s)
{
    (void)s;
    memset(p, value, size);
    return succeeds();
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags)
{
    (void)flags;
    return allocate((void **)s, 1);
}
cudaError_t cudaStreamDestroy(cudaStream_t s) { return release(s); }
cudaError_t cudaStreamSynchronize(cudaStream_t s) { (void)s; return cudaSuccess; }
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags)
{
    (void)s, (void)e, (void)flags;
    return cudaSuccess;
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags)
{
    (void)flags;
    return allocate((void **)e, 1);
}
cudaError_t cudaEventDestroy(cudaEvent_t e) { return release(e); }
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) { (void)e, (void)s; return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t e) { (void)e; return state.lost ? cudaErrorUnknown : cudaSuccess; }

// Launches of kernels are function calls here and cannot be recorded: the device must then make the calls of each pass.
cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode mode)
{
    (void)s, (void)mode;
    return sticky(cudaErrorStreamCaptureUnsupported);
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *graph)
{
    (void)s, (void)graph;
    return cudaErrorStreamCaptureUnsupported;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    (void)exec, (void)graph, (void)flags;
    return cudaErrorNotSupported;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) { (void)graph; return cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { (void)exec; return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t s) { (void)exec, (void)s; return cudaErrorNotSupported; }

cudaError_t cudaGetLastError(void)
{
    const cudaError_t error = state.last;
    state.last = cudaSuccess;
    return error;
}
const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaErrorMemoryAllocation ? "out of memory" : error == cudaErrorInsufficientDriver ?
           "CUDA driver version is insufficient for CUDA runtime version" : "emulated error";
}
cudaError_t cudaGetDeviceCount(int *count)
{
    *count = state.devices;
    return state.devices ? cudaSuccess : sticky(cudaErrorInsufficientDriver);
}
cudaError_t cudaGetDevice(int *index) { *index = 0; return cudaSuccess; }
cudaError_t cudaSetDevice(int index) { (void)index; state.current = &state; return cudaSuccess; }
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int index)
{
    (void)index;
    memset(p, 0, sizeof *p);
    strcpy(p->name, "Emulated GPU");
    p->major = state.capability;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) { *version = CUDART_VERSION; return cudaSuccess; }

// ---- driver: one stack of contexts ----

static int get_current(void **context) { *context = state.current; return 0; }
static int push(void *context)
{
    if (state.context_gone) return 709;     // CUDA_ERROR_CONTEXT_IS_DESTROYED
    if (state.depth < 16) state.stack[state.depth++] = state.current;
    state.current = context;
    return 0;
}
static int pop(void **context)
{
    *context = state.current;
    state.current = state.depth ? state.stack[--state.depth] : NULL;
    return 0;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **function, unsigned version, unsigned long long flags,
                                             enum cudaDriverEntryPointQueryResult *result)
{
    (void)version, (void)flags;
    *function = !strcmp(name, "cuCtxGetCurrent") ? (void *)get_current :
                !strcmp(name, "cuCtxPushCurrent") ? (void *)push : (void *)pop;
    *result = cudaDriverEntryPointSuccess;
    return cudaSuccess;
}

// ---- cuBLAS ----

static float load(const void *p, int64_t i, cudaDataType type)
{
    const uint16_t h = type == CUDA_R_32F ? 0 : ((const uint16_t *)p)[i];
    return type == CUDA_R_32F ? ((const float *)p)[i] : type == CUDA_R_16F ? clzi_f16_to_float(h) : clzi_bf16_to_float(h);
}

static void store(void *p, int64_t i, cudaDataType type, float x)
{
    if (type == CUDA_R_32F) ((float *)p)[i] = x;
    else ((uint16_t *)p)[i] = type == CUDA_R_16F ? clzi_f16_from_float(x) : clzi_bf16_from_float(x);
}

cublasStatus_t cublasCreate_v2(cublasHandle_t *h) { *h = (cublasHandle_t)&state; return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasDestroy_v2(cublasHandle_t h) { (void)h; return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream_v2(cublasHandle_t h, cudaStream_t s) { (void)h, (void)s; return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t h, void *p, size_t size)
{
    (void)h, (void)p, (void)size;
    return CUBLAS_STATUS_SUCCESS;
}
const char *cublasGetStatusString(cublasStatus_t status) { return status ? "emulated error" : "success"; }

// Columns first, as cuBLAS: c [m,n] = op(a) [m,k] op(b) [k,n].
cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t h, cublasOperation_t a_op, cublasOperation_t b_op, int m, int n, int k,
                                          const void *alpha, const void *a, cudaDataType a_type, int lda, long long a_step,
                                          const void *b, cudaDataType b_type, int ldb, long long b_step, const void *beta,
                                          void *c, cudaDataType c_type, int ldc, long long c_step, int count,
                                          cublasComputeType_t compute, cublasGemmAlgo_t algo)
{
    (void)h, (void)compute, (void)algo;
    if (*(const float *)alpha != 1 || *(const float *)beta != 0) return CUBLAS_STATUS_NOT_SUPPORTED;
    for (int p = 0; p < count; p++)
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) {
                double sum = 0;
                for (int l = 0; l < k; l++) {
                    const int64_t at = a_op == CUBLAS_OP_N ? i + (int64_t)l * lda : l + (int64_t)i * lda;
                    const int64_t bt = b_op == CUBLAS_OP_N ? l + (int64_t)j * ldb : j + (int64_t)l * ldb;
                    sum += (double)load(a, p * a_step + at, a_type) * load(b, p * b_step + bt, b_type);
                }
                store(c, p * c_step + i + (int64_t)j * ldc, c_type, (float)sum);
            }
    return CUBLAS_STATUS_SUCCESS;
}

// ---- cuDNN ----

size_t cudnnGetVersion(void) { return state.dnn_version ? state.dnn_version : CUDNN_VERSION; }
cudnnStatus_t cudnnCreate(cudnnHandle_t *h) { *h = (cudnnHandle_t)&state; return CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnDestroy(cudnnHandle_t h) { (void)h; return CUDNN_STATUS_SUCCESS; }
cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t s) { (void)h, (void)s; return CUDNN_STATUS_SUCCESS; }
const char *cudnnGetErrorString(cudnnStatus_t status) { return status ? "emulated error" : "success"; }

// ---- dnn.h, in place of dnn.c ----

int clzi_dnn_conv_create(struct clzi_dnn_conv *conv, const struct clzi_dnn_target *target,
                         const struct clzi_dnn_conv_params *params, int *engines)
{
    (void)target;
    *conv = (struct clzi_dnn_conv){ .params = *params, .workspace = 64 };
    if (engines) *engines = 1;
    return 0;
}

void clzi_dnn_conv_destroy(struct clzi_dnn_conv *conv) { conv->plan = NULL; }

struct view { const struct clzi_dnn_conv_params *p; cudaDataType type; const struct clzi_dnn_data *d; };

static int64_t at(struct clzi_shape s, int n, int y, int x, int c) { return (((int64_t)n * s.h + y) * s.w + x) * s.c + c; }

// Calls f for each product of the convolution: element of x, of w and of y.
static void each_product(const struct clzi_dnn_conv_params *p, void (*f)(void *, int64_t x, int64_t w, int64_t y), void *arg)
{
    const int in = p->x.c / p->groups, out = p->y.c / p->groups;

    for (int n = 0; n < p->y.n; n++)
        for (int oy = 0; oy < p->y.h; oy++)
            for (int ox = 0; ox < p->y.w; ox++)
                for (int ky = 0; ky < p->k; ky++)
                    for (int kx = 0; kx < p->k; kx++) {
                        const int iy = oy * p->stride - p->pad + ky, ix = ox * p->stride - p->pad + kx;
                        if (iy < 0 || iy >= p->x.h || ix < 0 || ix >= p->x.w) continue;
                        for (int o = 0; o < p->y.c; o++)
                            for (int i = 0; i < in; i++)
                                f(arg, at(p->x, n, iy, ix, o / out * in + i), (((int64_t)o * p->k + ky) * p->k + kx) * in + i,
                                  at(p->y, n, oy, ox, o));
                    }
}

struct sums { float *a, *b; double *sum; enum clzi_dnn_kind kind; };

static void add_product(void *arg, int64_t x, int64_t w, int64_t y)
{
    const struct sums *s = arg;

    if (s->kind == CLZI_DNN_FORWARD) s->sum[y] += (double)s->a[x] * s->b[w];
    else if (s->kind == CLZI_DNN_DATA) s->sum[x] += (double)s->a[y] * s->b[w];
    else s->sum[w] += (double)s->a[x] * s->b[y];
}

static float *floats(const void *p, int64_t count, cudaDataType type)
{
    float *f = malloc(count * sizeof *f);
    for (int64_t i = 0; i < count; i++) f[i] = load(p, i, type);
    return f;
}

int clzi_dnn_conv_run(const struct clzi_dnn_conv *conv, cudnnHandle_t handle, const struct clzi_dnn_data *d)
{
    static const cudaDataType types[] = { [CLZK_F32] = CUDA_R_32F, [CLZK_F16] = CUDA_R_16F, [CLZK_BF16] = CUDA_R_16BF };
    const struct clzi_dnn_conv_params *p = &conv->params;
    const cudaDataType type = types[p->type];
    const int64_t x = clzi_shape_count(p->x), y = clzi_shape_count(p->y);
    const int64_t w = (int64_t)p->y.c * p->k * p->k * (p->x.c / p->groups);
    const int64_t count = p->kind == CLZI_DNN_FORWARD ? y : p->kind == CLZI_DNN_DATA ? x : w;
    void *to = p->kind == CLZI_DNN_FORWARD ? d->y : p->kind == CLZI_DNN_DATA ? d->x : d->w;
    struct sums s = { .kind = p->kind, .sum = calloc(count, sizeof *s.sum) };

    (void)handle;
    memset(d->workspace, 0xff, conv->workspace);
    s.a = p->kind == CLZI_DNN_DATA ? floats(d->y, y, type) : floats(d->x, x, type);
    s.b = p->kind == CLZI_DNN_WEIGHTS ? floats(d->y, y, type) : floats(d->w, w, type);
    each_product(p, add_product, &s);
    for (int64_t i = 0; i < count; i++) {
        if (p->residual) s.sum[i] += load(d->residual, i, type);
        if (p->bias) s.sum[i] += load(d->bias, i % p->y.c, type);
        if (p->act == CLZI_ACT_RELU && s.sum[i] < 0) s.sum[i] = 0;
        store(to, i, type, (float)s.sum[i]);
    }
    free(s.a);
    free(s.b);
    free(s.sum);
    return 0;
}
