// device.c - the reference device: host memory, dense NCHW f32, and the table of its ops.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/spectral.h"
#include "base/log.h"
#include "params.h"
#include "ref.h"

struct clzi_device {
    struct clzi_device_base base;
};

static void ref_close(struct clzi_device **dev)
{
    free(*dev);
    *dev = NULL;
}

static int ref_open(struct clzi_device **out, const struct clzi_device_params *params)
{
    struct clzi_device *dev;

    *out = NULL;
    if (params->index) return clzi_fail(&params->log, -EINVAL, "device ref:%d: there is only one", params->index);
    if (params->precision > CLZ_PRECISION_F32)
        return clzi_fail(&params->log, -ENOTSUP, "device ref computes in f32 only");
    if (!(dev = calloc(1, sizeof *dev))) return clzi_fail(&params->log, -ENOMEM, "device ref: no memory");
    dev->base.backend = &clzi_backend_ref;
    dev->base.log = params->log;
    dev->base.threads = params->threads > 0 ? params->threads : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (dev->base.threads < 1) dev->base.threads = 1;
    dev->base.precision = CLZ_PRECISION_F32;
    snprintf(dev->base.describe, sizeof dev->base.describe, "ref f32");
    *out = dev;
    return 0;
}

static int ref_frames_per_run(struct clzi_device *dev, int batch)
{
    (void)dev;
    return batch;
}

static void *ref_alloc(struct clzi_device *dev, size_t size)
{
    void *p;

    (void)dev;
    if (posix_memalign(&p, 64, size ? size : 1)) return NULL;
    return memset(p, 0, size);
}

static void ref_free(struct clzi_device *dev, void *p)
{
    (void)dev;
    free(p);
}

static size_t ref_tensor_size(struct clzi_device *dev, struct clzi_shape shape)
{
    (void)dev;
    return clzi_shape_count(shape) * sizeof(float);
}

static int ref_upload(struct clzi_device *dev, void *tensor, struct clzi_shape shape, const float *nchw)
{
    memcpy(tensor, nchw, ref_tensor_size(dev, shape));
    return 0;
}

static int ref_download(struct clzi_device *dev, const void *tensor, struct clzi_shape shape, float *nchw)
{
    memcpy(nchw, tensor, ref_tensor_size(dev, shape));
    return 0;
}

static int ref_copy_tensor(struct clzi_device *dev, void *to, const void *from, size_t size)
{
    (void)dev;
    memcpy(to, from, size);
    return 0;
}

static int ref_add(struct clzi_device *dev, void *sum, const void *x, struct clzi_shape shape)
{
    float *s = sum;
    const float *t = x;

    (void)dev;
    for (int64_t i = 0; i < clzi_shape_count(shape); i++) s[i] += t[i];
    return 0;
}

static int ref_copy(struct clzi_device *dev, float *to, const float *from, int64_t count)
{
    (void)dev;
    memcpy(to, from, count * sizeof *to);
    return 0;
}

// ---- training ----

static int ref_zero(struct clzi_device *dev, float *v, int64_t count)
{
    (void)dev;
    memset(v, 0, count * sizeof *v);
    return 0;
}

static int ref_check(struct clzi_device *dev, struct clzi_train_state *state, const float *v, int64_t count)
{
    (void)dev;
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(v[i]) < CLZI_TRAIN_LIMIT)) state->bad = 1;
    return 0;
}

static int ref_seed(struct clzi_device *dev, float *dy, float weight, const struct clzi_train_state *state)
{
    (void)dev;
    *dy = weight * state->scale;
    return 0;
}

static int ref_adam(struct clzi_device *dev, const struct clzi_adam *a, float *w, const float *g, float *m, float *v,
                    int64_t count, const struct clzi_train_state *state)
{
    const double b1 = a->beta1, b2 = a->beta2;
    const double c1 = 1 - pow(b1, (double)a->step), c2 = 1 - pow(b2, (double)a->step);

    (void)dev;
    for (int64_t i = 0; i < count && !state->bad; i++) {
        const double gradient = (double)g[i] / state->scale;
        m[i] = (float)(b1 * m[i] + (1 - b1) * gradient);
        v[i] = (float)(b2 * v[i] + (1 - b2) * gradient * gradient);
        w[i] = (float)(w[i] - (double)a->lr * (a->decay * w[i] + m[i] / c1 / (sqrt(v[i] / c2) + a->eps)));
    }
    return 0;
}

static int ref_restore(struct clzi_device *dev, float *to, const float *from, int64_t count, const struct clzi_train_state *state)
{
    return state->bad ? ref_copy(dev, to, from, count) : 0;
}

static int ref_ema(struct clzi_device *dev, float *average, const float *w, float decay, int64_t count,
                   const struct clzi_train_state *state)
{
    (void)dev;
    for (int64_t i = 0; i < count && !state->bad; i++)
        average[i] = (float)((double)decay * average[i] + (1 - (double)decay) * w[i]);
    return 0;
}

static int ref_advance(struct clzi_device *dev, struct clzi_train_state *state, bool dynamic)
{
    (void)dev;
    clzi_train_state_advance(state, dynamic);
    return 0;
}

static int ref_spectral(struct clzi_device *dev, float *to, const float *w, float *u, float *v, float *sigma, int rows,
                        int64_t columns)
{
    (void)dev;
    clzk_spectral(to, w, u, v, sigma, rows, columns);
    return 0;
}

static int ref_spectral_gradient(struct clzi_device *dev, float *dw, const float *to, const float *u, const float *v,
                                 const float *sigma, int rows, int64_t columns)
{
    (void)dev;
    clzk_spectral_gradient(dw, to, u, v, *sigma, rows, columns);
    return 0;
}

static const struct clzi_train_ops train = {
    ref_zero, ref_copy, ref_check, ref_seed, ref_adam, ref_restore, ref_ema, ref_advance,
    ref_spectral, ref_spectral_gradient,
};

static const struct clzi_op *const ops[CLZI_OP_COUNT] = {
    [CLZI_OP_CONV]      = &clzi_ref_conv,
    [CLZI_OP_CONVT]     = &clzi_ref_convt,
    [CLZI_OP_BATCHNORM] = &clzi_ref_batchnorm,
    [CLZI_OP_ACT]       = &clzi_ref_act,
    [CLZI_OP_ADD]       = &clzi_ref_add,
    [CLZI_OP_CONCAT]    = &clzi_ref_concat,
    [CLZI_OP_SHUFFLE]   = &clzi_ref_shuffle,
    [CLZI_OP_MAXPOOL]   = &clzi_ref_maxpool,
    [CLZI_OP_RESIZE]    = &clzi_ref_resize,
    [CLZI_OP_DROPOUT]   = &clzi_ref_dropout,
    [CLZI_OP_SOFTMAX]   = &clzi_ref_softmax,
    [CLZI_OP_CLAMP]     = &clzi_ref_clamp,
    [CLZI_OP_LINEAR]    = &clzi_ref_linear,
    [CLZI_OP_AVGPOOL]   = &clzi_ref_avgpool,
    [CLZI_OP_GLOBALPOOL] = &clzi_ref_globalpool,
    [CLZI_OP_AFFINE]    = &clzi_ref_affine,
    [CLZI_OP_GAIN]      = &clzi_ref_gain,
    [CLZI_OP_ATTENTION] = &clzi_ref_attention,
    [CLZI_OP_L1]        = &clzi_ref_loss,
    [CLZI_OP_L2]        = &clzi_ref_loss,
    [CLZI_OP_CHROMA]    = &clzi_ref_chroma,
    [CLZI_OP_ANNEALED_MEAN] = &clzi_ref_annealed_mean,
    [CLZI_OP_CROSS_ENTROPY] = &clzi_ref_cross_entropy,
    [CLZI_OP_RGB]       = &clzi_ref_rgb,
    [CLZI_OP_BCE]       = &clzi_ref_loss,
    [CLZI_OP_LSGAN]     = &clzi_ref_loss,
    [CLZI_OP_HINGE]     = &clzi_ref_loss,
    [CLZI_OP_NEGMEAN]   = &clzi_ref_loss,
};

const struct clzi_backend clzi_backend_ref = {
    .name = "ref", .priority = 0,
    .open = ref_open, .close = ref_close, .frames_per_run = ref_frames_per_run, .default_batch = 4, .queued_runs = 1,
    .alloc = ref_alloc, .free = ref_free,
    .tensor_size = ref_tensor_size, .upload = ref_upload, .download = ref_download, .add = ref_add,
    .copy = ref_copy_tensor,
    .frames = &clzi_host_frames,
    .write = ref_copy, .read = ref_copy, .train = &train,
    .ops = ops,
};
