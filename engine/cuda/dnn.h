// dnn.h - convolutions of cuDNN 9 through its graph ("backend") API: forward with bias, residual and activation in one kernel,
// gradients of the input and of the weights. Tensors are NHWC, weights [K][k][k][C / groups], sums are in f32.
#ifndef CLZI_CUDA_DNN_H
#define CLZI_CUDA_DNN_H
#include <stdbool.h>                        // before cudnn.h: CUDNN_TYPE_BOOLEAN is a C bool
#include <cudnn.h>

#include "graph.h"
#include "kernels/cuda.h"

// For which device plans are made. One of the two is NULL: `handle` belongs to a device that is here; `device` is a finalized
// DEVICEPROP descriptor made from JSON, for tests on machines without a GPU.
struct clzi_dnn_target {
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t device;
    const char *cache;                      // folder of plans that were measured before; NULL: none
    const char *device_name;                // part of the cache's keys
    struct clz_log log;
};

enum clzi_dnn_kind { CLZI_DNN_FORWARD, CLZI_DNN_DATA, CLZI_DNN_WEIGHTS, CLZI_DNN_KIND_COUNT };

// x and y are always the input and the output of the convolution: DATA reads y and writes x, WEIGHTS reads x and y and writes w.
// A transposed convolution runs forward as DATA, with its input as y and its output as x.
struct clzi_dnn_conv_params {
    enum clzi_dnn_kind kind;
    enum clzk_type type;                    // of x, y, w, bias and residual
    struct clzi_shape x, y;
    int k, stride, pad, pad_extra, groups;
    bool bias, residual;                    // FORWARD: act(conv + residual + bias)
    enum clzi_act act;                      // FORWARD: NONE or RELU
};

struct clzi_dnn_conv {
    struct clzi_dnn_conv_params params;
    struct clz_log log;                     // of run(); while plans are timed there is none
    cudnnBackendDescriptor_t plan;
    size_t workspace;                       // bytes
};

struct clzi_dnn_data { void *x, *w, *y, *bias, *residual, *workspace; };

// Chooses an engine that computes the same bits every time and, in f32, in full f32 (no TF32). On a real device the candidates
// are timed, unless the cache knows the fastest. 0, -ENOTSUP: no engine, -ENOMEM, -EIO. *engines (may be NULL): how many
// candidates the heuristics offered.
int clzi_dnn_conv_create(struct clzi_dnn_conv *conv, const struct clzi_dnn_target *target,
                         const struct clzi_dnn_conv_params *params, int *engines);
void clzi_dnn_conv_destroy(struct clzi_dnn_conv *conv);

// Queued on the handle's stream.
int clzi_dnn_conv_run(const struct clzi_dnn_conv *conv, cudnnHandle_t handle, const struct clzi_dnn_data *data);

// Text of a problem, also the key of the cache: "forward bf16 16x64x64x256 3x3 ...".
enum { CLZI_DNN_NAME_SIZE = 192 };
void clzi_dnn_conv_name(const struct clzi_dnn_conv_params *params, char name[CLZI_DNN_NAME_SIZE]);
#endif
