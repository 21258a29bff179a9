// ref.h - what the files of the reference backend share. The reference defines what each op means and is the oracle of
// the tests: plain loops over dense NCHW f32 in host memory, sums in double. It is not meant to be fast; still, the
// outer loops are shared among threads, each output element being made by one thread alone, so that results do not
// depend on their number.
#ifndef CLZI_REF_H
#define CLZI_REF_H
#include "backend.h"

extern const struct clzi_op clzi_ref_conv, clzi_ref_convt, clzi_ref_batchnorm, clzi_ref_act, clzi_ref_add,
    clzi_ref_concat, clzi_ref_shuffle, clzi_ref_maxpool, clzi_ref_resize, clzi_ref_dropout, clzi_ref_softmax,
    clzi_ref_clamp, clzi_ref_linear, clzi_ref_avgpool, clzi_ref_globalpool, clzi_ref_affine, clzi_ref_gain, clzi_ref_attention,
    clzi_ref_loss, clzi_ref_chroma, clzi_ref_annealed_mean, clzi_ref_cross_entropy, clzi_ref_rgb;

static inline int clzi_ref_threads(const struct clzi_call *c) { return clzi_device_base(c->dev)->threads; }
static inline bool clzi_ref_wants_gradient(const struct clzi_call *c)
{
    return c->want_dw || c->want_dx[0] || c->want_dx[1] || c->want_dx[2] || c->want_dx[3];
}

// Channel c of picture n.
static inline const float *clzi_ref_plane(const void *tensor, struct clzi_shape s, int n, int c)
{
    return (const float *)tensor + ((int64_t)n * s.c + c) * s.h * s.w;
}

// ---- act.c: activations, alone or fused into another op as node->attr.act ----

double clzi_ref_act_value(const struct clzi_attr *attr, double z);     // y
double clzi_ref_act_slope(const struct clzi_attr *attr, double y);     // dy/dz, computed from y alone

// y = act(z), in place.
void clzi_ref_act_forward(const struct clzi_call *c);

// For an op with a fused activation: its plan() calls _plan, which asks for y and for scratch; backward() gets the
// gradient before the activation from _backward: c->dy itself where there is none, else in c->scratch.
void clzi_ref_act_plan(struct clzi_call *c);
const float *clzi_ref_act_backward(const struct clzi_call *c);

// ---- window.c: the arithmetic of convolution ----

// Two pictures joined by a sliding window: pixel (y, x) of `small` meets the pixels (y stride - pad + ky,
// x stride - pad + kx) of `big`, 0 <= ky, kx < k; what lies outside big is zero. conv goes from big to small, convt
// from small to big.
// Weights are w[channel of small][channel of big][ky][kx], as PyTorch keeps them for both. With groups, the channels of both are
// split into as many equal parts, and those of part i of small meet those of part i of big alone: w[small.c][big.c / groups].
struct clzi_ref_window {
    struct clzi_shape big, small;
    int k, stride, pad, groups, threads;
};

// small = sum over big's channels and the window of w big
void clzi_ref_window_shrink(const struct clzi_ref_window *g, const float *big, const float *w, float *small);

// big = the transpose of it: sum over small's channels and all windows that hold the pixel of w small
void clzi_ref_window_grow(const struct clzi_ref_window *g, const float *small, const float *w, float *big);

// dw += the weights' gradient: sum over pictures and pixels of small times big
void clzi_ref_window_weights(const struct clzi_ref_window *g, const float *big, const float *small, float *dw);

// y[:, c] += bias[c]; db[c] += sum of dz[:, c]
void clzi_ref_bias_forward(const struct clzi_call *c, const float *bias);
void clzi_ref_bias_backward(const struct clzi_call *c, const float *dz, float *db);
#endif
