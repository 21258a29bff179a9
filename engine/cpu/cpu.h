// cpu.h - the CPU backend: oneDNN for convolutions, kernels/nn.h for the rest. Activations are channels last (NHWC), bf16 or
// f32. Measured with oneDNN 2.6.3 on a processor with AMX: in this layout convolutions reach 2-4 TFLOP/s in bf16 and 350 GFLOP/s
// in f32 on two cores; in oneDNN's blocked layout (nChw16c) bf16 stays at 220 GFLOP/s, as the matrix unit is not used.
//
// Thread counts change no bit of a forward pass: work is split into pieces that depend on the shape alone, sums over pieces
// are taken in their order.
#ifndef CLZI_CPU_H
#define CLZI_CPU_H
#include <pthread.h>

#include "backend.h"
#include "dnnl_shim.h"
#include "kernels/nn.h"

// How many of `want` more threads the process can have at the same time: room.c.
int clzi_cpu_room(int want);

// How OpenMP's threads wait for one another, learned from the time of runs: wait.c. Begins as zeros.
struct clzi_cpu_learner {
    bool asleep;                            // the way in use: asleep, or busily
    int runs;                               // of the window that is measured; -1: the next does not count
    int pauses;                             // in a row
    double last;                            // s, when the last run ended
    double period, wall, cpu;               // s, sums: from end to end; the runs' own time; the processor's, of the thread that waits
    double usual;                           // s from run to run in the last whole window, 0: none yet
    double before, before_wall;             // s a run of the other way, while this one is tried; else 0
    double next, stay;                      // s: when the other way may be tried, and how long from one try to the next
};
bool clzi_cpu_learn(struct clzi_cpu_learner *l, double now, double wall, double cpu);       // after a run: shall they sleep?

struct clzi_cpu_wait {
    struct clzi_cpu_learner learner;
    bool ready, running, company, leave;
    double wall, cpu;                       // s, when the run began
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t left;
};
int clzi_cpu_wait_init(struct clzi_cpu_wait *w);
void clzi_cpu_wait_destroy(struct clzi_cpu_wait *w);
void clzi_cpu_wait_begin(struct clzi_cpu_wait *w);      // a run, from upload to download
void clzi_cpu_wait_end(struct clzi_cpu_wait *w);

struct clzi_device {
    struct clzi_device_base base;
    struct clzi_dnnl dnnl;
    const struct clzk_nn *nn;               // kernels for this device's activations
    const struct clzk_vectors *vectors;
    bool bf16;
    struct clzi_cpu_wait wait;
};

enum {
    CLZI_CPU_PIECE = 1 << 14,               // elements of one piece of elementwise work: fits into the L1 or L2 cache
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

// Called at the start of every op's functions: the thread count of this device for oneDNN and OpenMP, a setting of the calling
// thread alone.
void clzi_cpu_enter(const struct clzi_device *dev);

// Elementwise over whole tensors, in pieces: pointwise.c.
void clzi_cpu_act(struct clzi_device *dev, void *y, const void *x, int64_t count, struct clzk_activation act);
void clzi_cpu_act_back(struct clzi_device *dev, void *dx, const void *y, const void *dy, int64_t count,
                       struct clzk_activation act);
void clzi_cpu_add(struct clzi_device *dev, void *y, const void *a, const void *b, int64_t count, struct clzk_activation act);
void clzi_cpu_copy(struct clzi_device *dev, void *y, const void *x, int64_t count);

// Per channel over all pixels: channels.c. Narrow tensors are taken as fewer, wider rows, with the per-channel vectors repeated,
// so that the inner loops are long enough for vectors.
enum {
    CLZI_CPU_WIDE = 64,                     // a row is widened until it has this many channels
    CLZI_CPU_ROWS = 256,                    // rows of one piece of a sum
};
struct clzi_cpu_rows { int64_t rows, pieces; int channels, repeat; };   // channels: of a wide row, repeat times the tensor's
struct clzi_cpu_rows clzi_cpu_rows(struct clzi_shape s);
const float *clzi_cpu_repeat(struct clzi_cpu_rows r, const float *v, float buffer[2 * CLZI_CPU_WIDE]);
// total[c] = sum over pieces and repetitions of partial[piece][wide channel], in order.
void clzi_cpu_total(struct clzi_cpu_rows r, double *total, const float *partial);

void clzi_cpu_affine(struct clzi_device *dev, void *y, const void *x, struct clzi_shape s, const float *scale,
                     const float *shift, struct clzk_activation act);
size_t clzi_cpu_sum_scratch(struct clzi_shape s);                       // bytes
void clzi_cpu_sum(struct clzi_device *dev, float *sum, const void *x, struct clzi_shape s, void *scratch);

// Weights into a convolution's layout, or, for gradients of weights, out of it with +=: pack.c.
struct clzi_cpu_pack {
    struct clzi_dnnl_layout layout;
    int out, in, k, area;                   // of the dense weights [out][in][k][k]; k * k
    bool unpacks;
    int32_t *index;                         // NULL: oneDNN does it
    struct clzi_dnnl_pack dnnl;
};
int clzi_cpu_pack_create(struct clzi_cpu_pack *p, struct clzi_device *dev, const struct clzi_dnnl_conv *conv,
                         const struct clzi_dnnl_conv_params *params);
void clzi_cpu_pack_destroy(struct clzi_cpu_pack *p);
int clzi_cpu_pack_run(struct clzi_cpu_pack *p, struct clzi_device *dev, float *dense, void *packed, void *scratch);

extern const struct clzi_op clzi_cpu_conv, clzi_cpu_convt, clzi_cpu_batchnorm, clzi_cpu_act_op, clzi_cpu_add_op,
                            clzi_cpu_concat, clzi_cpu_shuffle, clzi_cpu_maxpool, clzi_cpu_resize, clzi_cpu_dropout,
                            clzi_cpu_softmax, clzi_cpu_clamp;
#endif
