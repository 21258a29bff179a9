// dnnl_shim.h - one interface to oneDNN 2 and 3 for what the CPU backend needs: convolutions in three directions and the packing
// of their weights. Activations are channels last. Primitives are created at plan time, with the thread count of the caller set
// (oneDNN chooses its blocking by it). Running them allocates nothing here: the caller provides the scratch memory.
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

// The largest instruction set that oneDNN uses on this machine, ordered: each includes those before it.
enum clzi_dnnl_isa {
    CLZI_DNNL_PLAIN, CLZI_DNNL_SSE41, CLZI_DNNL_AVX2, CLZI_DNNL_AVX512,
    CLZI_DNNL_AVX512_BF16,                  // bf16 arithmetic in hardware; AVX512 without it emulates bf16, no faster than f32
    CLZI_DNNL_AMX,
};
enum clzi_dnnl_isa clzi_dnnl_isa(void);
const char *clzi_dnnl_isa_name(enum clzi_dnnl_isa isa);     // for messages: "AVX-512 bf16"

enum clzi_dnnl_direction { CLZI_DNNL_FORWARD, CLZI_DNNL_BACKWARD_DATA, CLZI_DNNL_BACKWARD_WEIGHTS };

struct clzi_dnnl_conv_params {
    enum clzi_dnnl_direction direction;
    bool bf16;                              // activations and packed weights; f32 otherwise. Bias and gradients of weights: f32
    bool bias;
    bool keep;                              // FORWARD: it will be passed as `forward` when backward convolutions are created
    struct clzi_shape src, dst;             // of the forward convolution, for all directions
    int k, stride, pad, groups;
    enum clzi_act act;                      // FORWARD: none, relu, leaky or relu6
    float slope;
};

struct clzi_dnnl_conv {
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    dnnl_memory_t memory[5];
    dnnl_exec_arg_t arg[5];
    int arg_count;
    size_t weights_size, scratch_size;      // bytes
    int groups;
    const char *implementation;             // oneDNN's name of its kernel: "brgconv:avx512_core"
};

// forward: for the two backward directions the FORWARD convolution of the same shapes, which oneDNN requires; else NULL.
// 0, -ENOTSUP, -ENOMEM, -EIO
int clzi_dnnl_conv_create(struct clzi_dnnl_conv *c, struct clzi_dnnl *d, const struct clzi_dnnl_conv_params *params,
                          const struct clzi_dnnl_conv *forward);
void clzi_dnnl_conv_destroy(struct clzi_dnnl_conv *c);

// The arguments of a run. src, dst: tensors or their gradients; weights: packed. FORWARD writes dst, BACKWARD_DATA src,
// BACKWARD_WEIGHTS weights and bias. Pointers that the direction does not use are ignored.
struct clzi_dnnl_conv_data {
    const void *src, *dst, *weights, *bias;
    void *scratch;
};
int clzi_dnnl_conv_run(struct clzi_dnnl_conv *c, struct clzi_dnnl *d, const struct clzi_dnnl_conv_data *data);

// Converts between dense f32 weights [dst channels][src channels / groups][k][k] and the packed ones of a convolution: packs for
// FORWARD and BACKWARD_DATA; for BACKWARD_WEIGHTS unpacks and adds: dense += packed.
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

// The layout of packed weights. The offset of element (o, i, h, w) is
//     o / block[0] * stride[0] + i / block[1] * stride[1] + h * stride[2] + w * stride[3] + its offset in the inner block,
// where the inner block is a dense array of `inner` dimensions of inner_size, outermost first. Each dimension is indexed by a
// digit of o (inner_dim 0) or of i (inner_dim 1) in the mixed radix of these sizes.
struct clzi_dnnl_layout {
    int64_t stride[4];
    int block[2];
    int inner, inner_size[6], inner_dim[6];
};
// False: the layout cannot be described like that, is padded, or has groups.
bool clzi_dnnl_weights_layout(const struct clzi_dnnl_conv *conv, enum clzi_dnnl_direction direction,
                              struct clzi_dnnl_layout *layout);

// True: both use the same weight layout, so that one packed copy serves both.
bool clzi_dnnl_same_weights(const struct clzi_dnnl_conv *a, const struct clzi_dnnl_conv *b);
#endif
