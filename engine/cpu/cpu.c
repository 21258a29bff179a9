// cpu.c - the CPU backend's device: memory, upload and download of tensors, functions on parameters, the table of ops.
#include <errno.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu.h"
#include "kernels/spectral.h"
#include "kernels/threads.h"
#include "base/log.h"
#include "params.h"

_Static_assert((int)CLZK_ACT_RELU == CLZI_ACT_RELU && (int)CLZK_ACT_LEAKY == CLZI_ACT_LEAKY &&
               (int)CLZK_ACT_TANH == CLZI_ACT_TANH && (int)CLZK_ACT_SIGMOID == CLZI_ACT_SIGMOID &&
               (int)CLZK_ACT_RELU6 == CLZI_ACT_RELU6,
               "kernels/nn.h and graph.h must number the activations alike");

void clzi_cpu_enter(const struct clzi_device *dev)
{
    clzk_set_threads(dev->base.threads);
}

// ---- device ----

static void cpu_close(struct clzi_device **dev)
{
    if (!*dev) return;
    clzi_cpu_wait_destroy(&(*dev)->wait);
    clzi_dnnl_close(&(*dev)->dnnl);
    free(*dev);
    *dev = NULL;
}

// Own kernels use no instructions that oneDNN does not use, so that DNNL_MAX_CPU_ISA, which oneDNN reads, limits both: tests run
// as on an older CPU.
static enum clzk_isa kernel_isa(void)
{
    const enum clzi_dnnl_isa dnnl = clzi_dnnl_isa();
    const enum clzk_isa limit = dnnl >= CLZI_DNNL_AVX512 ? CLZK_ISA_AVX512 : dnnl == CLZI_DNNL_AVX2 ? CLZK_ISA_AVX2 :
                                CLZK_ISA_PLAIN;
    return clzk_isa_best() < limit ? clzk_isa_best() : limit;
}

// Reduces the number of threads to what the system allows. A stream needs an OpenMP team, its worker thread and the two threads
// of wait.c's helper.
static void limit_threads(struct clzi_device *dev)
{
    const int want = dev->base.threads;
    const int have = want > 1 ? clzi_cpu_thread_limit(want + 2) : 1;

    if (have >= want) return;
    dev->base.threads = have > 1 ? have : 1;
    clzi_log(&dev->base.log, CLZ_LOG_WARNING, "cpu: using %d thread%s instead of %d, the system allows this process no more",
             dev->base.threads, dev->base.threads == 1 ? "" : "s", want);
}

static int cpu_open(struct clzi_device **out, const struct clzi_device_params *params)
{
    struct clzi_device *dev = calloc(1, sizeof *dev);
    int ret = -ENOMEM;

    *out = NULL;
    if (!dev) return ret;
    dev->base.backend = &clzi_backend_cpu;
    dev->base.log = params->log;
    dev->base.threads = params->threads > 0 ? params->threads : omp_get_num_procs();
    if (dev->base.threads > CLZI_CPU_MAX_THREADS) dev->base.threads = CLZI_CPU_MAX_THREADS;
    limit_threads(dev);
    dev->base.precision = params->precision != CLZ_PRECISION_AUTO ? params->precision :
                          clzi_dnnl_isa() >= CLZI_DNNL_AVX512_BF16 ? CLZ_PRECISION_BF16 : CLZ_PRECISION_F32;
    dev->bf16 = dev->base.precision == CLZ_PRECISION_BF16;
    if (dev->base.precision == CLZ_PRECISION_F16) {
        ret = clzi_fail(&params->log, -ENOTSUP, "cpu: it computes in f32 or bf16, not in f16");
        goto fail;
    }
    if (dev->bf16 && clzi_dnnl_isa() < CLZI_DNNL_AVX512) {
        ret = clzi_fail(&params->log, -ENOTSUP, "cpu: bf16 needs AVX-512, this machine has %s",
                        clzi_dnnl_isa_name(clzi_dnnl_isa()));
        goto fail;
    }
    if ((ret = clzi_dnnl_open(&dev->dnnl)) < 0) {
        clzi_fail(&params->log, ret, "cpu: oneDNN cannot be opened");
        goto fail;
    }
    dev->nn = clzk_nn_find(kernel_isa(), dev->bf16);
    dev->vectors = clzk_vectors_find(kernel_isa());
    snprintf(dev->base.describe, sizeof dev->base.describe, "cpu %s (%s)", dev->bf16 ? "bf16" : "f32",
             clzi_dnnl_isa_name(clzi_dnnl_isa()));
    if (dev->base.threads > 1 && (ret = clzi_cpu_wait_init(&dev->wait)) < 0) goto fail;
    *out = dev;
    return 0;
fail:
    cpu_close(&dev);
    return ret;
}

// One: running several frames at once is no faster (measured: the time per frame is the same for 1 and 4), and with one frame
// at a time the picture does not depend on the batch size, bit for bit.
static int cpu_frames_per_run(struct clzi_device *dev, int batch)
{
    (void)dev, (void)batch;
    return 1;
}

// ---- memory ----

static void *cpu_alloc(struct clzi_device *dev, size_t size)
{
    const size_t rounded = (size + 63) / 64 * 64;
    void *p = rounded < size || size > PTRDIFF_MAX ? NULL : aligned_alloc(64, rounded ? rounded : 64);
    (void)dev;
    if (p) memset(p, 0, rounded);
    return p;
}

static void cpu_free(struct clzi_device *dev, void *p)
{
    (void)dev;
    free(p);
}

// ---- tensors ----

static size_t cpu_tensor_size(struct clzi_device *dev, struct clzi_shape shape)
{
    return (size_t)clzi_shape_count(shape) * dev->nn->element;
}

static int cpu_upload(struct clzi_device *dev, void *tensor, struct clzi_shape s, const float *nchw)
{
    const int64_t plane = (int64_t)s.h * s.w;
    clzi_cpu_enter(dev);
#pragma omp parallel for collapse(2) schedule(static) if (plane * s.c > CLZI_CPU_PIECE)
    for (int n = 0; n < s.n; n++)
        for (int y = 0; y < s.h; y++) {
            const int64_t at = (int64_t)y * s.w;
            dev->nn->interleave(clzi_cpu_to(dev, tensor, (n * plane + at) * s.c), nchw + n * plane * s.c + at, plane, s.c, s.w);
        }
    return 0;
}

static int cpu_download(struct clzi_device *dev, const void *tensor, struct clzi_shape s, float *nchw)
{
    const int64_t plane = (int64_t)s.h * s.w;
    clzi_cpu_enter(dev);
#pragma omp parallel for collapse(2) schedule(static) if (plane * s.c > CLZI_CPU_PIECE)
    for (int n = 0; n < s.n; n++)
        for (int y = 0; y < s.h; y++) {
            const int64_t at = (int64_t)y * s.w;
            dev->nn->deinterleave(nchw + n * plane * s.c + at, clzi_cpu_at(dev, tensor, (n * plane + at) * s.c), plane, s.c, s.w);
        }
    return 0;
}

static int cpu_copy_tensor(struct clzi_device *dev, void *to, const void *from, size_t size)
{
    (void)dev;
    memcpy(to, from, size);
    return 0;
}

static int cpu_add(struct clzi_device *dev, void *sum, const void *x, struct clzi_shape shape)
{
    clzi_cpu_enter(dev);
    clzi_cpu_add(dev, sum, sum, x, clzi_shape_count(shape), (struct clzk_activation){ CLZK_ACT_NONE, 0 });
    return 0;
}

static int cpu_pass(struct clzi_device *dev, struct clzi_pass **pass, int (*body)(void *), void *arg)
{
    int ret;

    (void)pass;
    clzi_cpu_wait_begin(&dev->wait);
    ret = body(arg);
    clzi_cpu_wait_end(&dev->wait);
    return ret;
}

// ---- parameters ----

static int cpu_write(struct clzi_device *dev, float *to, const float *from_host, int64_t count)
{
    (void)dev;
    memcpy(to, from_host, (size_t)count * sizeof *to);
    return 0;
}

// ---- training ----

static int cpu_zero(struct clzi_device *dev, float *v, int64_t count)
{
    clzi_cpu_enter(dev);
#pragma omp parallel for schedule(static) if (count > CLZI_CPU_PIECE)
    for (int64_t i = 0; i < clzi_cpu_pieces(count); i++)
        memset(v + i * CLZI_CPU_PIECE, 0, (size_t)clzi_cpu_piece(count, i) * sizeof *v);
    return 0;
}

static int cpu_check(struct clzi_device *dev, struct clzi_train_state *state, const float *v, int64_t count)
{
    int bad = 0;

    clzi_cpu_enter(dev);
#pragma omp parallel for schedule(static) reduction(| : bad) if (count > CLZI_CPU_PIECE)
    for (int64_t i = 0; i < clzi_cpu_pieces(count); i++)
        bad |= dev->vectors->too_large(v + i * CLZI_CPU_PIECE, clzi_cpu_piece(count, i));
    if (bad) state->bad = 1;
    return 0;
}

static int cpu_seed(struct clzi_device *dev, float *dy, float weight, const struct clzi_train_state *state)
{
    (void)dev;
    *dy = weight * state->scale;
    return 0;
}

// Bias corrections are computed once in double: m / (1 - b1^t) goes into the rate, v / (1 - b2^t) into the factor of the root.
static int cpu_adam(struct clzi_device *dev, const struct clzi_adam *a, float *w, const float *g, float *m, float *v,
                    int64_t count, const struct clzi_train_state *state)
{
    const struct clzk_adam adam = {
        .rate = (float)(a->lr / (1 - pow(a->beta1, (double)a->step))), .beta1 = a->beta1, .beta2 = a->beta2, .eps = a->eps,
        .root = (float)(1 / sqrt(1 - pow(a->beta2, (double)a->step))), .decay = a->lr * a->decay, .unscale = 1 / state->scale,
    };
    if (state->bad) return 0;
    clzi_cpu_enter(dev);
#pragma omp parallel for schedule(static) if (count > CLZI_CPU_PIECE)
    for (int64_t i = 0; i < clzi_cpu_pieces(count); i++) {
        const int64_t at = i * CLZI_CPU_PIECE;
        dev->vectors->adam(w + at, g + at, m + at, v + at, clzi_cpu_piece(count, i), &adam);
    }
    return 0;
}

static int cpu_restore(struct clzi_device *dev, float *to, const float *from, int64_t count, const struct clzi_train_state *state)
{
    return state->bad ? cpu_write(dev, to, from, count) : 0;
}

static int cpu_ema(struct clzi_device *dev, float *average, const float *w, float decay, int64_t count,
                   const struct clzi_train_state *state)
{
    if (state->bad) return 0;
    clzi_cpu_enter(dev);
#pragma omp parallel for schedule(static) if (count > CLZI_CPU_PIECE)
    for (int64_t i = 0; i < clzi_cpu_pieces(count); i++)
        dev->vectors->ema(average + i * CLZI_CPU_PIECE, w + i * CLZI_CPU_PIECE, decay, clzi_cpu_piece(count, i));
    return 0;
}

static int cpu_advance(struct clzi_device *dev, struct clzi_train_state *state, bool dynamic)
{
    (void)dev;
    clzi_train_state_advance(state, dynamic);
    return 0;
}

static int cpu_spectral(struct clzi_device *dev, float *to, const float *w, float *u, float *v, float *sigma, int rows,
                        int64_t columns)
{
    (void)dev;
    clzk_spectral(to, w, u, v, sigma, rows, columns);
    return 0;
}

static int cpu_spectral_gradient(struct clzi_device *dev, float *dw, const float *to, const float *u, const float *v,
                                 const float *sigma, int rows, int64_t columns)
{
    (void)dev;
    clzk_spectral_gradient(dw, to, u, v, *sigma, rows, columns);
    return 0;
}

static const struct clzi_train_ops train = {
    cpu_zero, cpu_write, cpu_check, cpu_seed, cpu_adam, cpu_restore, cpu_ema, cpu_advance,
    cpu_spectral, cpu_spectral_gradient,
};

static const struct clzi_op *const ops[CLZI_OP_COUNT] = {
    [CLZI_OP_CONV] = &clzi_cpu_conv, [CLZI_OP_CONVT] = &clzi_cpu_convt, [CLZI_OP_BATCHNORM] = &clzi_cpu_batchnorm,
    [CLZI_OP_ACT] = &clzi_cpu_act_op, [CLZI_OP_ADD] = &clzi_cpu_add_op, [CLZI_OP_CONCAT] = &clzi_cpu_concat,
    [CLZI_OP_SHUFFLE] = &clzi_cpu_shuffle, [CLZI_OP_MAXPOOL] = &clzi_cpu_maxpool, [CLZI_OP_RESIZE] = &clzi_cpu_resize,
    [CLZI_OP_DROPOUT] = &clzi_cpu_dropout, [CLZI_OP_SOFTMAX] = &clzi_cpu_softmax, [CLZI_OP_CLAMP] = &clzi_cpu_clamp,
    [CLZI_OP_LINEAR] = &clzi_cpu_linear, [CLZI_OP_AVGPOOL] = &clzi_cpu_avgpool, [CLZI_OP_GLOBALPOOL] = &clzi_cpu_globalpool,
    [CLZI_OP_AFFINE] = &clzi_cpu_affine_op, [CLZI_OP_GAIN] = &clzi_cpu_gain, [CLZI_OP_ATTENTION] = &clzi_cpu_attention,
    [CLZI_OP_L1] = &clzi_cpu_loss, [CLZI_OP_L2] = &clzi_cpu_loss, [CLZI_OP_CHROMA] = &clzi_cpu_chroma,
    [CLZI_OP_BCE] = &clzi_cpu_loss, [CLZI_OP_LSGAN] = &clzi_cpu_loss, [CLZI_OP_HINGE] = &clzi_cpu_loss,
    [CLZI_OP_NEGMEAN] = &clzi_cpu_loss, [CLZI_OP_ANNEALED_MEAN] = &clzi_cpu_annealed_mean,
    [CLZI_OP_CROSS_ENTROPY] = &clzi_cpu_cross_entropy, [CLZI_OP_RGB] = &clzi_cpu_rgb,
};

const struct clzi_backend clzi_backend_cpu = {
    .name = "cpu",
    .priority = 10,
    .open = cpu_open,
    .close = cpu_close,
    .frames_per_run = cpu_frames_per_run,
    .default_batch = 1,
    .queued_runs = 1,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .tensor_size = cpu_tensor_size,
    .upload = cpu_upload,
    .download = cpu_download,
    .add = cpu_add,
    .copy = cpu_copy_tensor,
    .frames = &clzi_host_frames,
    .pass = cpu_pass,
    .write = cpu_write,
    .read = cpu_write,
    .train = &train,
    .ops = ops,
};
