// dnnl_shim.h - what the CPU backend asks of oneDNN, the same for its versions 2 and 3: convolutions in three directions and
// the packing of their weights. Activations are channels last. Everything is created at plan time with the caller's thread
// count (oneDNN fixes its blocking by it); running allocates nothing: scratch comes from outside.
#ifndef CLZI_DNNL_SHIM_H
#define CLZI_DNNL_SHIM_H
#include <oneapi/dnnl/dnnl.h>
#include "graph.h"

struct clzi_dnnl {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

int clzi_dnnl_open(struct clzi_dnnl *d);                    // 0, -ENOMEM, -EIO
void clzi_dnnl_close(struct clzi_dnnl *d);

// What oneDNN will use here: "AMX", "AVX-512 bf16", "AVX-512", "AVX2", "SSE4.1", "plain C".
const char *clzi_dnnl_isa(void);
bool clzi_dnnl_has_bf16(void);                              // bf16 arithmetic in hardware
bool clzi_dnnl_has_bf16_emulation(void);                    // bf16 works, no faster than f32

enum clzi_dnnl_direction { CLZI_DNNL_FORWARD, CLZI_DNNL_BACKWARD_DATA, CLZI_DNNL_BACKWARD_WEIGHTS };

struct clzi_dnnl_conv_params {
    enum clzi_dnnl_direction direction;
    bool bf16;                              // activations and packed weights; f32 otherwise. Bias and gradients of weights: f32
    bool bias;
    bool keep;                              // FORWARD: backward convolutions follow, which take it as `forward`
    struct clzi_shape src, dst;             // of the convolution run forwards
    int k, stride, pad;
    enum clzi_act act;                      // FORWARD: none, relu or leaky
    float slope;
};

struct clzi_dnnl_conv {
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[5];
    dnnl_exec_arg_t arg[5];
    int arg_count;
    size_t weights_size, scratch_size;      // bytes
    const char *implementation;             // oneDNN's name of the kernel: "brgconv:avx512_core"
};

// forward: the FORWARD convolution of the same shapes, for the two backward directions; else NULL.
// 0, -ENOTSUP, -ENOMEM, -EIO
int clzi_dnnl_conv_create(struct clzi_dnnl_conv *c, struct clzi_dnnl *d, const struct clzi_dnnl_conv_params *params,
                          const struct clzi_dnnl_conv *forward);
void clzi_dnnl_conv_destroy(struct clzi_dnnl_conv *c);

// Pointers to run on. src, dst: tensors or their gradients. FORWARD writes dst, BACKWARD_DATA src, BACKWARD_WEIGHTS weights
// and bias. weights: packed. A pointer the direction does not use is ignored.
struct clzi_dnnl_conv_data {
    const void *src, *dst, *weights, *bias;
    void *scratch;
};
int clzi_dnnl_conv_run(struct clzi_dnnl_conv *c, struct clzi_dnnl *d, const struct clzi_dnnl_conv_data *data);

// Between dense f32 weights [dst channels][src channels][k][k] and a convolution's packed ones: packs for FORWARD and
// BACKWARD_DATA; for BACKWARD_WEIGHTS unpacks and adds: dense += packed.
struct clzi_dnnl_pack {
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[3];
    bool unpacks;
    size_t scratch_size;
};
int clzi_dnnl_pack_create(struct clzi_dnnl_pack *p, struct clzi_dnnl *d, const struct clzi_dnnl_conv *conv,
                          const struct clzi_dnnl_conv_params *params);
void clzi_dnnl_pack_destroy(struct clzi_dnnl_pack *p);
int clzi_dnnl_pack_run(struct clzi_dnnl_pack *p, struct clzi_dnnl *d, const float *dense, const void *packed, void *scratch);
// How packed weights lie: element (o, i, h, w) stands at
//     o / block[0] * stride[0] + i / block[1] * stride[1] + h * stride[2] + w * stride[3] + its place in the inner block,
// a dense array of `inner` dimensions of inner_size, outermost first, which are digits of o (inner_dim 0) or i (1).
struct clzi_dnnl_layout {
    int64_t stride[4];
    int block[2];
    int inner, inner_size[6], inner_dim[6];
};
// False: cannot be said like that, or is padded.
bool clzi_dnnl_weights_layout(const struct clzi_dnnl_conv *conv, enum clzi_dnnl_direction direction,
                              struct clzi_dnnl_layout *layout);

bool clzi_dnnl_same_weights(const struct clzi_dnnl_conv *a, const struct clzi_dnnl_conv *b);    // one packed copy will do
#endif
