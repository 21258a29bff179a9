// device.c - opening a CUDA device, memory, copies, passes as CUDA graphs, and the tables that the plug-in hands out.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda.h"
#include "params.h"
#include "plan_cache.h"
#include "plugin.h"

enum { BLAS_MEMORY = 32 << 20 };            // bytes; cuBLAS may not allocate while calls are recorded

int clzi_cuda_error(const struct clzi_device *dev, int error, const char *what)
{
    if (!error) return 0;
    clzi_log(&dev->base.log, CLZ_LOG_ERROR, "cuda: %s: %s", what, cudaGetErrorString(error));
    cudaGetLastError();                     // an error that does not stay would be reported again by the next call
    if (error == cudaErrorMemoryAllocation) return -ENOMEM;
    return error == cudaErrorDevicesUnavailable || error == cudaErrorContextIsDestroyed || error == cudaErrorDeviceUninitialized ?
           -ENODEV : -EIO;
}

// ---- context ----

static int cuda_enter(struct clzi_device *dev)
{
    const int error = dev->driver.push(dev->context);
    return error ? clzi_fail(&dev->base.log, -ENODEV, "cuda: the context cannot be used any more (CUDA error %d)", error) : 0;
}

static void cuda_leave(struct clzi_device *dev)
{
    void *context;
    dev->driver.pop(&context);
}

// ---- open and close ----

static void cuda_close(struct clzi_device **device)
{
    struct clzi_device *dev = *device;

    *device = NULL;
    if (!dev) return;
    if (dev->context && cuda_enter(dev) >= 0) {
        if (dev->blas) cublasDestroy(dev->blas);
        cudaFree(dev->blas_memory);
        clzi_cuda_bars_free(dev);
        cudaFree(dev->train_work);
        cudaFree(dev->dense);
        if (dev->dnn) cudnnDestroy(dev->dnn);
        for (int i = 0; i < CLZI_CUDA_RUNS; i++)
            if (dev->marks[i]) cudaEventDestroy(dev->marks[i]);
        if (dev->up_done) cudaEventDestroy(dev->up_done);
        if (dev->network_done) cudaEventDestroy(dev->network_done);
        if (dev->up) cudaStreamDestroy(dev->up);
        if (dev->down) cudaStreamDestroy(dev->down);
        if (dev->stream && !dev->borrowed) cudaStreamDestroy(dev->stream);
        cuda_leave(dev);
    }
    free(dev->cache);
    free(dev);
}

// The runtime makes the primary context current; where the application gives one, its own.
static int find_context(struct clzi_device *dev, const struct clzi_device_params *params)
{
    void *before = NULL, *popped;
    int count = 0, index;
    const cudaError_t error = cudaGetDeviceCount(&count);

    cudaGetLastError();
    if (error || !count)
        return clzi_fail(&params->log, -ENOTSUP, "cuda: no device: %s", error ? cudaGetErrorString(error) : "none is visible");
    if (params->index >= count)
        return clzi_fail(&params->log, -EINVAL, "cuda:%d: there are %d devices, the first is cuda:0", params->index, count);
    if (clzi_cuda_driver_load(&dev->driver, &params->log) < 0) return -ENOTSUP;
    if (params->cuda_context) {
        dev->context = params->cuda_context;
        if (cuda_enter(dev) < 0) {
            dev->context = NULL;
            return -ENODEV;
        }
        if (cudaGetDevice(&index)) index = 0;
        dev->index = index;
        cuda_leave(dev);
        return 0;
    }
    dev->index = params->index;
    dev->driver.get_current(&before);
    if (cudaSetDevice(dev->index) || cudaFree(NULL) || dev->driver.get_current(&dev->context) || !dev->context) {
        dev->context = NULL;
        return clzi_fail(&params->log, -ENODEV, "cuda:%d: %s", dev->index, cudaGetErrorString(cudaGetLastError()));
    }
    // cudaSetDevice() replaced what was current on this thread
    if (before != dev->context) {
        dev->driver.pop(&popped);
        if (before) dev->driver.push(before);
    }
    return 0;
}

static int check_versions(const struct clzi_device_params *params)
{
    const size_t version = cudnnGetVersion();

    if (version / 10000 == CUDNN_MAJOR) return 0;
    return clzi_fail(&params->log, -ENOTSUP, "cuda: cuDNN %zu.%zu was found, this build needs cuDNN %d", version / 10000,
                     version / 100 % 100, CUDNN_MAJOR);
}

static int choose_type(struct clzi_device *dev, enum clz_precision wanted, int capability)
{
    static const struct { const char *name; enum clzk_type type; } types[] = {
        [CLZ_PRECISION_F32] = { "f32", CLZK_F32 }, [CLZ_PRECISION_BF16] = { "bf16", CLZK_BF16 },
        [CLZ_PRECISION_F16] = { "f16", CLZK_F16 },
    };

    if (wanted == CLZ_PRECISION_AUTO) wanted = capability >= 8 ? CLZ_PRECISION_BF16 : CLZ_PRECISION_F16;
    if (wanted == CLZ_PRECISION_BF16 && capability < 8)
        return clzi_fail(&dev->base.log, -ENOTSUP, "cuda: bf16 needs compute capability 8.0, this is %s; f16 works", dev->name);
    dev->base.precision = wanted;
    dev->type = types[wanted].type;
    snprintf(dev->base.describe, sizeof dev->base.describe, "cuda:%d %s (%.40s)", dev->index, types[wanted].name, dev->name);
    return 0;
}

static int create_objects(struct clzi_device *dev, const struct clzi_device_params *params)
{
    const unsigned quiet = cudaEventDisableTiming;
    struct cudaDeviceProp props;
    cudaError_t error = cudaGetDeviceProperties(&props, dev->index);
    cudnnStatus_t status;

    if (!error && params->cuda_context) {               // a NULL stream is the default stream
        dev->stream = params->cuda_stream;
        dev->borrowed = true;
    } else if (!error) {
        error = cudaStreamCreateWithFlags(&dev->stream, cudaStreamNonBlocking);
    }
    if (!error) error = cudaStreamCreateWithFlags(&dev->up, cudaStreamNonBlocking);
    if (!error) error = cudaStreamCreateWithFlags(&dev->down, cudaStreamNonBlocking);
    // A thread that waits for a run sleeps: the processor belongs to the decoder and the encoder.
    for (int i = 0; i < CLZI_CUDA_RUNS && !error; i++)
        error = cudaEventCreateWithFlags(&dev->marks[i], quiet | cudaEventBlockingSync);
    if (!error) error = cudaEventCreateWithFlags(&dev->up_done, quiet);
    if (!error) error = cudaEventCreateWithFlags(&dev->network_done, quiet);
    if (!error) error = cudaMalloc(&dev->train_work, CLZK_CU_SCALAR_WORK);
    if (error) return clzi_cuda_error(dev, error, "opening");
    if ((status = cudnnCreate(&dev->dnn)) || (status = cudnnSetStream(dev->dnn, dev->stream)))
        return clzi_fail(&dev->base.log, status == CUDNN_STATUS_ALLOC_FAILED ? -ENOMEM : -EIO, "cuda: cuDNN: %s",
                         cudnnGetErrorString(status));
    snprintf(dev->name, sizeof dev->name, "%.240s, sm_%d%d", props.name, props.major, props.minor);
    return choose_type(dev, params->precision, props.major);
}

static int cuda_open(struct clzi_device **out, const struct clzi_device_params *params)
{
    struct clzi_device *dev;
    int ret;

    *out = NULL;
    if ((ret = check_versions(params)) < 0) return ret;
    if (!(dev = calloc(1, sizeof *dev))) return -ENOMEM;
    dev->base.backend = &clzi_backend_cuda;
    dev->base.log = params->log;
    dev->base.threads = 1;
    dev->base.cuda_frames = params->cuda_context != NULL;
    if ((ret = find_context(dev, params)) < 0 || (ret = cuda_enter(dev)) < 0) goto fail;
    ret = create_objects(dev, params);
    cuda_leave(dev);
    if (ret < 0) goto fail;
    dev->cache = clzi_plan_cache_folder(&dev->base.log);
    dev->target = (struct clzi_dnn_target){ .handle = dev->dnn, .cache = dev->cache, .device_name = dev->name };
    *out = dev;
    return 0;
fail:
    cuda_close(&dev);
    return ret;
}

int clzi_cuda_blas_open(struct clzi_device *dev)
{
    cublasStatus_t status;

    if (dev->blas) return 0;
    if (cudaMalloc(&dev->blas_memory, BLAS_MEMORY)) {
        cudaGetLastError();
        return -ENOMEM;
    }
    if ((status = cublasCreate(&dev->blas)) || (status = cublasSetStream(dev->blas, dev->stream)) ||
        (status = cublasSetWorkspace(dev->blas, dev->blas_memory, BLAS_MEMORY)))
        return clzi_fail(&dev->base.log, -EIO, "cuda: cuBLAS: %s", cublasGetStatusString(status));
    return 0;
}

static int cuda_frames_per_run(struct clzi_device *dev, int batch)
{
    (void)dev;
    return batch;
}

// ---- memory ----

static void *cuda_alloc(struct clzi_device *dev, size_t size)
{
    void *p = NULL;

    if (cudaMalloc(&p, size ? size : 1) || cudaMemsetAsync(p, 0, size ? size : 1, dev->stream)) {
        cudaGetLastError();                 // the caller may try again with less
        cudaFree(p);
        return NULL;
    }
    return p;
}

static void cuda_free(struct clzi_device *dev, void *p)
{
    if (!p) return;
    cudaStreamSynchronize(dev->stream);
    cudaFree(p);
}

// From pageable memory cudaMemcpyAsync() returns after the host memory has been read.
static int cuda_write(struct clzi_device *dev, float *to, const float *from_host, int64_t count)
{
    return clzi_cuda_error(dev, cudaMemcpyAsync(to, from_host, (size_t)count * sizeof *to, cudaMemcpyHostToDevice, dev->stream),
                           "copying to the device");
}

static int cuda_read(struct clzi_device *dev, float *to_host, const float *from, int64_t count)
{
    cudaError_t error = cudaMemcpyAsync(to_host, from, (size_t)count * sizeof *from, cudaMemcpyDeviceToHost, dev->stream);

    if (!error) error = cudaStreamSynchronize(dev->stream);
    return clzi_cuda_error(dev, error, "copying from the device");
}

// ---- tensors ----

static size_t cuda_tensor_size(struct clzi_device *dev, struct clzi_shape shape)
{
    return clzi_cuda_bytes(dev, clzi_shape_count(shape));
}

// For an f32 copy of a tensor, on its way to NHWC or back. One serves all, since calls take effect in order; it only grows, so
// that training steps allocate nothing.
static int reserve_dense(struct clzi_device *dev, size_t size)
{
    cudaError_t error;

    if (size <= dev->dense_size) return 0;
    error = cudaStreamSynchronize(dev->stream);
    cudaFree(dev->dense);
    dev->dense = NULL;
    dev->dense_size = 0;
    if (!error) error = cudaMalloc((void **)&dev->dense, size);
    if (error) return clzi_cuda_error(dev, error, "memory for a copy");
    dev->dense_size = size;
    return 0;
}

// For the trainer's pictures, for stages that compute on the CPU and for tests; frames have their own way (frames.c).
static int cuda_upload(struct clzi_device *dev, void *tensor, struct clzi_shape s, const float *nchw)
{
    const int64_t count = clzi_shape_count(s);
    int ret = reserve_dense(dev, (size_t)count * sizeof *dev->dense);

    if (ret < 0 || (ret = cuda_write(dev, dev->dense, nchw, count)) < 0) return ret;
    return clzi_cuda_error(dev, clzk_cu_from_nchw(dev->stream, dev->type, tensor, dev->dense, s.n, s.c, (int64_t)s.h * s.w),
                           "converting to NHWC");
}

static int cuda_download(struct clzi_device *dev, const void *tensor, struct clzi_shape s, float *nchw)
{
    const int64_t count = clzi_shape_count(s);
    int ret = reserve_dense(dev, (size_t)count * sizeof *dev->dense);

    if (ret < 0) return ret;
    ret = clzi_cuda_error(dev, clzk_cu_to_nchw(dev->stream, dev->type, dev->dense, tensor, s.n, s.c, (int64_t)s.h * s.w, false),
                          "converting to NCHW");
    return ret < 0 ? ret : cuda_read(dev, nchw, dev->dense, count);
}

static int cuda_add(struct clzi_device *dev, void *sum, const void *x, struct clzi_shape shape)
{
    return clzi_cuda_error(dev, clzk_cu_add(dev->stream, dev->type, sum, sum, x, clzi_shape_count(shape),
                                            (struct clzk_activation){ CLZK_ACT_NONE, 0 }), "add");
}

static int cuda_copy_tensor(struct clzi_device *dev, void *to, const void *from, size_t size)
{
    return clzi_cuda_error(dev, cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToDevice, dev->stream), "copy");
}

// ---- passes ----

// The first pass runs as it is: libraries load kernels and set themselves up. The second is recorded and from then on replayed.
struct clzi_pass {
    int runs;
    bool cannot;                            // recording has failed: the pass runs as it is
    cudaGraphExec_t recorded;
};

static void cuda_pass_destroy(struct clzi_device *dev, struct clzi_pass **pass)
{
    if (!*pass) return;
    cudaStreamSynchronize(dev->stream);
    if ((*pass)->recorded) cudaGraphExecDestroy((*pass)->recorded);
    free(*pass);
    *pass = NULL;
}

static int record(struct clzi_device *dev, struct clzi_pass *p, int (*body)(void *), void *arg)
{
    cudaGraph_t graph = NULL;
    cudaError_t error = cudaStreamBeginCapture(dev->stream, cudaStreamCaptureModeThreadLocal);
    int ret = 0;

    if (!error) {
        ret = body(arg);
        error = cudaStreamEndCapture(dev->stream, &graph);
    }
    if (!error && ret >= 0) error = cudaGraphInstantiate(&p->recorded, graph, 0);
    if (graph) cudaGraphDestroy(graph);
    if (error || ret < 0) {
        clzi_log(&dev->base.log, CLZ_LOG_VERBOSE, "cuda: a pass cannot be recorded (%s); its calls are made one by one",
                 error ? cudaGetErrorString(error) : "a call failed");
        cudaGetLastError();
        p->recorded = NULL;
        p->cannot = true;
    }
    return ret;
}

static int cuda_pass(struct clzi_device *dev, struct clzi_pass **pass, int (*body)(void *), void *arg)
{
    struct clzi_pass *p = *pass;

    if (!p && !(p = *pass = calloc(1, sizeof *p))) return -ENOMEM;
    // an application's stream is not recorded: what it queues there meanwhile would become part of the pass
    if (p->runs++ == 1 && !dev->borrowed) record(dev, p, body, arg);
    if (p->recorded) return clzi_cuda_error(dev, cudaGraphLaunch(p->recorded, dev->stream), "replaying a pass");
    return body(arg);
}

// After the network and after the copies of its frames.
static int cuda_mark(struct clzi_device *dev, int number)
{
    cudaError_t error = cudaEventRecord(dev->network_done, dev->stream);

    if (!error) error = cudaStreamWaitEvent(dev->down, dev->network_done, 0);
    if (!error) error = cudaEventRecord(dev->marks[number], dev->down);
    return clzi_cuda_error(dev, error, "queueing");
}

static int cuda_wait(struct clzi_device *dev, int number)
{
    return clzi_cuda_error(dev, cudaEventSynchronize(dev->marks[number]), "running the network");
}

// ---- training ----

#define TRAIN(what, call) return clzi_cuda_error(dev, call, what)

static int train_zero(struct clzi_device *dev, float *v, int64_t count)
{
    TRAIN("zero", clzk_cu_train_zero(dev->stream, v, count));
}

static int train_copy(struct clzi_device *dev, float *to, const float *from, int64_t count)
{
    TRAIN("copy", clzk_cu_train_copy(dev->stream, to, from, count));
}

static int train_check(struct clzi_device *dev, struct clzi_train_state *state, const float *v, int64_t count)
{
    TRAIN("check", clzk_cu_train_check(dev->stream, (float *)state, v, count));
}

static int train_seed(struct clzi_device *dev, float *dy, float weight, const struct clzi_train_state *state)
{
    TRAIN("seed", clzk_cu_train_seed(dev->stream, dy, weight, (const float *)state));
}

static int train_adam(struct clzi_device *dev, const struct clzi_adam *a, float *w, const float *g, float *m, float *v,
                      int64_t count, const struct clzi_train_state *state)
{
    const struct clzk_adam rates = clzk_adam_rates(a->lr, a->beta1, a->beta2, a->eps, a->decay, a->step);
    TRAIN("adam", clzk_cu_train_adam(dev->stream, &rates, NULL, w, g, m, v, count, (const float *)state));
}

static int train_restore(struct clzi_device *dev, float *to, const float *from, int64_t count,
                         const struct clzi_train_state *state)
{
    TRAIN("restore", clzk_cu_train_restore(dev->stream, to, from, count, (const float *)state));
}

static int train_ema(struct clzi_device *dev, float *average, const float *w, float decay, int64_t count,
                     const struct clzi_train_state *state)
{
    TRAIN("ema", clzk_cu_train_ema(dev->stream, average, w, decay, count, (const float *)state));
}

static int train_advance(struct clzi_device *dev, struct clzi_train_state *state, bool dynamic)
{
    TRAIN("advance", clzk_cu_train_advance(dev->stream, (float *)state, dynamic));
}

static int train_spectral(struct clzi_device *dev, float *to, const float *w, float *u, float *v, float *sigma, int rows,
                          int64_t columns)
{
    TRAIN("spectral norm", clzk_cu_train_spectral(dev->stream, to, w, u, v, sigma, rows, columns));
}

static int train_spectral_gradient(struct clzi_device *dev, float *dw, const float *to, const float *u, const float *v,
                                   const float *sigma, int rows, int64_t columns)
{
    TRAIN("spectral norm", clzk_cu_train_spectral_gradient(dev->stream, dw, to, u, v, sigma, rows, columns, dev->train_work));
}

static const struct clzi_train_ops train = {
    train_zero, train_copy, train_check, train_seed, train_adam, train_restore, train_ema, train_advance, train_spectral,
    train_spectral_gradient,
};

// ---- tables ----

static const struct clzi_op *const ops[CLZI_OP_COUNT] = {
    [CLZI_OP_CONV] = &clzi_cuda_conv, [CLZI_OP_CONVT] = &clzi_cuda_conv, [CLZI_OP_LINEAR] = &clzi_cuda_conv,
    [CLZI_OP_BATCHNORM] = &clzi_cuda_batchnorm, [CLZI_OP_ACT] = &clzi_cuda_act, [CLZI_OP_ADD] = &clzi_cuda_add,
    [CLZI_OP_CONCAT] = &clzi_cuda_concat, [CLZI_OP_SHUFFLE] = &clzi_cuda_shuffle, [CLZI_OP_MAXPOOL] = &clzi_cuda_maxpool,
    [CLZI_OP_RESIZE] = &clzi_cuda_resize, [CLZI_OP_DROPOUT] = &clzi_cuda_dropout, [CLZI_OP_SOFTMAX] = &clzi_cuda_softmax,
    [CLZI_OP_CLAMP] = &clzi_cuda_clamp, [CLZI_OP_AVGPOOL] = &clzi_cuda_avgpool, [CLZI_OP_GLOBALPOOL] = &clzi_cuda_globalpool,
    [CLZI_OP_AFFINE] = &clzi_cuda_affine, [CLZI_OP_GAIN] = &clzi_cuda_gain, [CLZI_OP_ATTENTION] = &clzi_cuda_attention,
    [CLZI_OP_L1] = &clzi_cuda_loss, [CLZI_OP_L2] = &clzi_cuda_loss, [CLZI_OP_CHROMA] = &clzi_cuda_chroma,
    [CLZI_OP_BCE] = &clzi_cuda_loss, [CLZI_OP_LSGAN] = &clzi_cuda_loss, [CLZI_OP_HINGE] = &clzi_cuda_loss,
    [CLZI_OP_NEGMEAN] = &clzi_cuda_loss, [CLZI_OP_ANNEALED_MEAN] = &clzi_cuda_annealed_mean,
    [CLZI_OP_CROSS_ENTROPY] = &clzi_cuda_cross_entropy, [CLZI_OP_RGB] = &clzi_cuda_rgb,
};

const struct clzi_backend clzi_backend_cuda = {
    .name = "cuda", .priority = 20,
    .open = cuda_open, .close = cuda_close, .enter = cuda_enter, .leave = cuda_leave,
    .frames_per_run = cuda_frames_per_run, .default_batch = 16, .queued_runs = CLZI_CUDA_RUNS,
    .alloc = cuda_alloc, .free = cuda_free,
    .tensor_size = cuda_tensor_size, .upload = cuda_upload, .download = cuda_download, .add = cuda_add,
    .copy = cuda_copy_tensor,
    .frames = &clzi_cuda_frames,
    .pass = cuda_pass, .pass_destroy = cuda_pass_destroy, .mark = cuda_mark, .wait = cuda_wait,
    .write = cuda_write, .read = cuda_read, .train = &train,
    .ops = ops,
};

CLZ_API const struct clzi_plugin clzi_plugin = { CLZI_PLUGIN_VERSION, sizeof(struct clzi_backend), &clzi_backend_cuda };
