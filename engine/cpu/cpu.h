// cpu.h - the CPU backend: oneDNN for convolutions, kernels/nn.h for the other ops. Activations are channels last (NHWC), bf16
// or f32. Measured with oneDNN 2.6.3 on a processor with AMX: in this layout convolutions reach 2-4 TFLOP/s in bf16 and 350
// GFLOP/s in f32 on two cores; in oneDNN's blocked layout (nChw16c) bf16 reaches only 220 GFLOP/s, as AMX is not used.
//
// A forward pass gives the same bits for any number of threads: work is split into pieces whose size depends on the tensor's
// shape only, and sums over pieces are added in the order of the pieces.
#ifndef CLZI_CPU_H
#define CLZI_CPU_H
#include <pthread.h>

#include "backend.h"
#include "dnnl_shim.h"
#include "kernels/nn.h"

// How many of `want` more threads the system allows the process at the same time: thread_limit.c.
int clzi_cpu_thread_limit(int want);

// Whether OpenMP's threads spin or sleep while they wait for one another, chosen by the time of passes: wait.c. A pass is one
// upload, forward and download. Starts as zeros: spinning. All times are in seconds.
struct clzi_cpu_wait_policy {
    bool sleep;                             // the mode in use
    int passes;                             // measured in this window; -1: the next pass is not measured
    int pauses;                             // of the caller, in a row
    double last;                            // when the last pass ended
    double period, wall, cpu;               // sums over the window: end to end of passes; within passes; CPU time of this thread
    double typical_period;                  // mean of the last whole window; 0: none yet
    double other_period, other_wall;        // means of the other mode while this one is on trial; else 0
    double next_trial, retry_interval;      // when the other mode is tried next, at the earliest; interval between trials
};
// To be called after each pass. True: sleep from now on.
bool clzi_cpu_wait_policy_update(struct clzi_cpu_wait_policy *l, double now, double wall, double cpu);

struct clzi_cpu_wait {
    struct clzi_cpu_wait_policy policy;
    bool ready, in_pass;
    double wall, cpu;                       // s, when the pass began
    bool has_helper, helper_stop;           // the thread that makes libgomp sleep
    pthread_t helper;
    pthread_mutex_t mutex;
    pthread_cond_t stop_changed;
};
int clzi_cpu_wait_init(struct clzi_cpu_wait *w);
void clzi_cpu_wait_destroy(struct clzi_cpu_wait *w);
void clzi_cpu_wait_begin(struct clzi_cpu_wait *w);      // a pass begins
void clzi_cpu_wait_end(struct clzi_cpu_wait *w);        // and ends

struct clzi_device {
    struct clzi_device_base base;
    struct clzi_dnnl dnnl;
    const struct clzk_nn *nn;               // kernels for this device's activations
    const struct clzk_vectors *vectors;
    bool bf16;
    struct clzi_cpu_wait wait;
};

enum {
    CLZI_CPU_PIECE = 1 << 14,               // elements of one piece of elementwise work: fits in the L1 or L2 cache
    CLZI_CPU_MAX_THREADS = 256,
};

static inline int64_t clzi_cpu_pieces(int64_t count) { return (count + CLZI_CPU_PIECE - 1) / CLZI_CPU_PIECE; }
static inline int64_t clzi_cpu_piece(int64_t count, int64_t i)          // elements of piece i
{
    return count - i * CLZI_CPU_PIECE < CLZI_CPU_PIECE ? count - i * CLZI_CPU_PIECE : CLZI_CPU_PIECE;
}
static inline const void *clzi_cpu_at(const struct clzi_device *dev, const void *x, int64_t element)
{
    return (const char *)x + element * (int64_t)dev->nn->element;
}
static inline void *clzi_cpu_to(const struct clzi_device *dev, void *y, int64_t element)
{
    return (char *)y + element * (int64_t)dev->nn->element;
}
static inline struct clzk_activation clzi_cpu_activation(const struct clzi_node *node)
{
    return (struct clzk_activation){ (enum clzk_act)node->attr.act, node->attr.slope };
}

// Sets the number of threads that oneDNN and OpenMP use. OpenMP keeps it for each calling thread, so every op's functions call
// this first.
void clzi_cpu_enter(const struct clzi_device *dev);

// Elementwise over whole tensors, split into pieces: pointwise.c.
void clzi_cpu_act(struct clzi_device *dev, void *y, const void *x, int64_t count, struct clzk_activation act);
void clzi_cpu_act_back(struct clzi_device *dev, void *dx, const void *y, const void *dy, int64_t count,
                       struct clzk_activation act);
void clzi_cpu_add(struct clzi_device *dev, void *y, const void *a, const void *b, int64_t count, struct clzk_activation act);
void clzi_cpu_copy(struct clzi_device *dev, void *y, const void *x, int64_t count);

// Per channel over all pixels: channels.c. A tensor of few channels is treated as fewer rows of several pixels each, with the
// per-channel vectors repeated, so that the inner loops are long enough for SIMD.
enum {
    CLZI_CPU_WIDE = 64,                     // pixels are joined until a row has this many channels
    CLZI_CPU_ROWS = 256,                    // rows of one piece of a sum
};
struct clzi_cpu_rows { int64_t rows, pieces; int channels, repeat; };   // channels: of a row = repeat * those of the tensor
struct clzi_cpu_rows clzi_cpu_rows(struct clzi_shape s);
const float *clzi_cpu_repeat(struct clzi_cpu_rows r, const float *v, float buffer[2 * CLZI_CPU_WIDE]);
// total[c] = sum over pieces and repetitions of partial[piece][channel of the row], in order.
void clzi_cpu_total(struct clzi_cpu_rows r, double *total, const float *partial);

void clzi_cpu_affine(struct clzi_device *dev, void *y, const void *x, struct clzi_shape s, const float *scale,
                     const float *shift, struct clzk_activation act);
size_t clzi_cpu_sum_scratch(struct clzi_shape s);                       // bytes
void clzi_cpu_sum(struct clzi_device *dev, float *sum, const void *x, struct clzi_shape s, void *scratch);

// Copies weights into the layout of a convolution, or adds gradients of weights from that layout to dense ones: pack.c.
struct clzi_cpu_pack {
    struct clzi_dnnl_layout layout;
    int out, in, k, area;                   // of the dense weights [out][in][k][k]; k * k
    bool unpacks;
    int32_t *index;                         // NULL: oneDNN packs or unpacks
    struct clzi_dnnl_pack dnnl;
};
int clzi_cpu_pack_create(struct clzi_cpu_pack *p, struct clzi_device *dev, const struct clzi_dnnl_conv *conv,
                         const struct clzi_dnnl_conv_params *params);
void clzi_cpu_pack_destroy(struct clzi_cpu_pack *p);
int clzi_cpu_pack_run(struct clzi_cpu_pack *p, struct clzi_device *dev, float *dense, void *packed, void *scratch);

// conv has several implementations; the private data of each begins with the one that made it.
struct clzi_cpu_conv_base { const struct clzi_op *op; };
extern const struct clzi_op clzi_cpu_conv_depthwise;                    // depthwise.c
bool clzi_cpu_is_depthwise(const struct clzi_call *c);

extern const struct clzi_op clzi_cpu_conv, clzi_cpu_convt, clzi_cpu_batchnorm, clzi_cpu_act_op, clzi_cpu_add_op,
                            clzi_cpu_concat, clzi_cpu_shuffle, clzi_cpu_maxpool, clzi_cpu_resize, clzi_cpu_dropout,
                            clzi_cpu_softmax, clzi_cpu_clamp, clzi_cpu_linear, clzi_cpu_avgpool, clzi_cpu_globalpool,
                            clzi_cpu_affine_op, clzi_cpu_gain, clzi_cpu_attention, clzi_cpu_loss, clzi_cpu_chroma,
                            clzi_cpu_annealed_mean, clzi_cpu_cross_entropy, clzi_cpu_rgb;
#endif
