// cuda.h - the CUDA device: a stream for the network, one for each direction of copying, cuDNN and cuBLAS handles. Activations
// are dense NHWC of one type; parameters dense f32. The plug-in libcolorize-cuda.so holds everything in this folder.
#ifndef CLZI_CUDA_H
#define CLZI_CUDA_H
#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include "backend.h"
#include "dnn.h"
#include "driver.h"
#include "base/log.h"

enum { CLZI_CUDA_RUNS = 2 };                // network runs in the queue

struct clzi_cuda_bars { int *device, *host; size_t size; cudaEvent_t done; };     // made at the first use

struct clzi_device {
    struct clzi_device_base base;
    int index;
    enum clzk_type type;                    // of activations
    struct clzi_cuda_driver driver;
    void *context;                          // CUcontext of all calls
    cudaStream_t stream;                    // the network; the application's if `borrowed`
    bool borrowed;
    cudaStream_t up, down;                  // copies of frames between host and device
    cudaEvent_t marks[CLZI_CUDA_RUNS], up_done, network_done;
    cudnnHandle_t dnn;
    cublasHandle_t blas;                    // NULL until a graph needs it
    void *blas_memory;
    void *train_work;                       // CLZK_CU_SCALAR_WORK bytes
    float *dense;                           // of upload() and download(); made at the first use
    size_t dense_size;                      // bytes
    struct clzi_cuda_bars bars;
    struct clzi_dnn_target target;          // without a log: clzi_device_open() may still change base.log
    char name[256];                         // "NVIDIA H200, sm_90"
    char *cache;
};

static inline size_t clzi_cuda_bytes(const struct clzi_device *dev, int64_t count)
{
    return (size_t)count * clzk_type_size(dev->type);
}
static inline const void *clzi_cuda_at(const struct clzi_device *dev, const void *x, int64_t element)
{
    return (const char *)x + clzi_cuda_bytes(dev, element);
}
static inline void *clzi_cuda_to(const struct clzi_device *dev, void *y, int64_t element)
{
    return (char *)y + clzi_cuda_bytes(dev, element);
}
static inline int64_t clzi_cuda_pixels(struct clzi_shape s) { return (int64_t)s.n * s.h * s.w; }
static inline struct clzk_activation clzi_cuda_activation(const struct clzi_node *node)
{
    return (struct clzk_activation){ (enum clzk_act)node->attr.act, node->attr.slope };
}
// 16-byte steps of scratch memory, which all kernels and cuDNN's plans ask for.
static inline size_t clzi_cuda_aligned(size_t size) { return (size + 255) / 256 * 256; }

// Makes dev->blas; for plan() of ops that need matrix products.
int clzi_cuda_blas_open(struct clzi_device *dev);

// clzi_frame_ops.bright, and the end of its buffers.
int clzi_cuda_bright(struct clzi_device *dev, const struct clz_frame *frames, int count, const int **counts);
void clzi_cuda_bars_free(struct clzi_device *dev);

// Logs an error of CUDA or of our kernels and returns the errno for it: -ENOMEM, -ENODEV for a device that is lost, else -EIO.
// 0 stays 0.
int clzi_cuda_error(const struct clzi_device *dev, int error, const char *what);

// Depthwise convolutions have kernels of our own. Fusible: bias, residual and relu are part of the forward problem.
bool clzi_cuda_is_depthwise(const struct clzi_node *node, const struct clzi_shape *xs, struct clzi_shape ys);
bool clzi_cuda_is_fusible(const struct clzi_node *node);

// The convolution of cuDNN that a pass of a node needs; false: it needs none.
enum clzi_cuda_pass { CLZI_CUDA_FORWARD, CLZI_CUDA_INPUT_GRADIENT, CLZI_CUDA_WEIGHT_GRADIENT, CLZI_CUDA_PASS_COUNT };
bool clzi_cuda_conv_problem(const struct clzi_node *node, const struct clzi_shape *xs, struct clzi_shape ys, enum clzk_type type,
                            enum clzi_cuda_pass pass, struct clzi_dnn_conv_params *problem);

extern const struct clzi_op clzi_cuda_conv, clzi_cuda_batchnorm, clzi_cuda_act, clzi_cuda_add, clzi_cuda_concat,
                            clzi_cuda_shuffle, clzi_cuda_maxpool, clzi_cuda_resize, clzi_cuda_dropout, clzi_cuda_softmax,
                            clzi_cuda_clamp, clzi_cuda_avgpool, clzi_cuda_globalpool, clzi_cuda_affine, clzi_cuda_gain,
                            clzi_cuda_attention, clzi_cuda_loss, clzi_cuda_chroma, clzi_cuda_annealed_mean,
                            clzi_cuda_cross_entropy, clzi_cuda_rgb;
extern const struct clzi_frame_ops clzi_cuda_frames;
#endif
