// nn.h - the arithmetic of the CPU device's ops, except convolutions. Tensors are channels last, of float or bf16 (the upper half
// of a float, rounded to nearest even); arithmetic is in float. The functions run on the calling thread: callers split the work,
// into pieces that do not depend on the number of threads. One template (nn_template.h) is compiled for each instruction set.
#ifndef CLZK_NN_H
#define CLZK_NN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ab_bins.h"

enum clzk_act { CLZK_ACT_NONE, CLZK_ACT_RELU, CLZK_ACT_LEAKY, CLZK_ACT_TANH, CLZK_ACT_SIGMOID, CLZK_ACT_RELU6 };

// Derivatives of activations are computed from the result y: relu and leaky from its sign, tanh' = 1 - y^2, sigmoid' = y (1 - y),
// relu6' = 1 for 0 < y < 6.
struct clzk_activation { enum clzk_act act; float slope; };

// Losses of an element p against a target t: kind gives the formula (engine/ref/loss.c).
enum clzk_loss_kind { CLZK_LOSS_L1, CLZK_LOSS_L2, CLZK_LOSS_BCE, CLZK_LOSS_HINGE, CLZK_LOSS_NEGMEAN };
struct clzk_loss { enum clzk_loss_kind kind; float target; };   // target: where no tensor is given

struct clzk_pool { int channels, h, w, oh, ow, k, stride, pad; };

// A depthwise convolution: each channel with a window of its own. h, w: of x; oh, ow: of y; channels of both.
struct clzk_depthwise { int channels, h, w, oh, ow, k, stride, pad; };

// Weight of input i (of `size`) in output o of a bilinear enlargement with half-pixel centres and repeated edges.
static inline float clzk_resize_weight(int o, int i, int size, int factor)
{
    const float at = (o + 0.5f) / factor - 0.5f, clamped = at < 0 ? 0 : at > size - 1 ? size - 1 : at;
    const float distance = clamped < i ? i - clamped : clamped - i;
    return distance < 1 ? 1 - distance : 0;
}

struct clzk_nn {
    size_t element;                         // bytes: 4 or 2

    void (*from_f32)(void *y, const float *x, int64_t count);
    void (*to_f32)(float *y, const void *x, int64_t count);
    // planar (one plane per channel) <-> channels last; plane: floats between planes
    void (*interleave)(void *y, const float *x, int64_t plane, int channels, int64_t pixels);
    void (*deinterleave)(float *y, const void *x, int64_t plane, int channels, int64_t pixels);

    // y = act(x); dx = dy act'(y); y = act(a + b); any pointers may be equal
    void (*act)(void *y, const void *x, int64_t count, struct clzk_activation act);
    void (*act_back)(void *dx, const void *y, const void *dy, int64_t count, struct clzk_activation act);
    void (*add)(void *y, const void *a, const void *b, int64_t count, struct clzk_activation act);

    // y = act(x * scale[c] + shift[c]); scale NULL: 1
    void (*affine)(void *y, const void *x, int64_t rows, int channels, const float *scale, const float *shift,
                   struct clzk_activation act);
    // sum[c] = sum of x
    void (*sum)(float *sum, const void *x, int64_t rows, int channels);
    // sum[c] = sum of (x - at[c]), square[c] = sum of (x - at[c])^2
    void (*moments)(float *sum, float *square, const void *x, int64_t rows, int channels, const float *at);
    // With z = x scale + shift, y = act(z), g = dy act'(y): sum[c] = sum of g, dot[c] = sum of g (x - mean[c])
    void (*norm_back_sums)(float *sum, float *dot, const void *x, const void *dy, int64_t rows, int channels,
                           const float *scale, const float *shift, const float *mean, struct clzk_activation act);
    // dx = a[c] g + b[c] x + k[c], with g as above
    void (*norm_back)(void *dx, const void *x, const void *dy, int64_t rows, int channels, const float *scale,
                      const float *shift, const float *a, const float *b, const float *k, struct clzk_activation act);

    void (*gather)(void *y, const float *x, const int32_t *index, int count);   // y[i] = x[index[i]]
    // copies rows of `size` elements; strides in elements
    void (*copy)(void *y, int64_t y_stride, const void *x, int64_t x_stride, int size, int64_t rows);
    // one row of `pixels` pixels of c*f*f channels <-> f rows of pixels*f pixels of c channels; stride: elements between rows
    void (*shuffle)(void *y, int64_t stride, const void *x, int pixels, int channels, int factor);
    void (*unshuffle)(void *x, const void *y, int64_t stride, int pixels, int channels, int factor);

    // Output row `row` of one image; index: of the maximum in its window, k * row + column, or NULL. Backward: input row `row`.
    void (*maxpool)(void *y, uint8_t *index, const void *x, const struct clzk_pool *p, int row);
    void (*maxpool_back)(void *dx, const uint8_t *index, const void *dy, const struct clzk_pool *p, int row);

    // Depthwise convolution of one image; w [k * k][channels].
    // Output row `row`: y = act(sum of x w + bias[c]); bias NULL: 0
    void (*depthwise)(void *y, const void *x, const float *w, const float *bias, const struct clzk_depthwise *p, int row,
                      struct clzk_activation act);
    // Input row `row` of dx, the transpose of it
    void (*depthwise_back)(void *dx, const void *dy, const float *w, const struct clzk_depthwise *p, int row);
    // dw += the share of output row `row` in the gradient of w
    void (*depthwise_weights)(float *dw, const void *x, const void *dy, const struct clzk_depthwise *p, int row);

    // Bilinear enlargement. blend: y = wa a + wb b. enlarge_row: a row of `pixels` pixels, preceded by its first and followed by
    // its last pixel once more, becomes one of pixels * factor. Transposes: y += weight x; a row of pixels * factor to `pixels`.
    void (*blend)(float *y, const void *a, const void *b, float wa, float wb, int64_t count);
    void (*enlarge_row)(void *y, const float *x, int pixels, int channels, int factor);
    void (*accumulate)(float *y, const void *x, float weight, int64_t count);
    void (*reduce_row)(void *y, const float *x, int pixels, int channels, int factor);

    // Sum of weight loss(x, t) over rows of channels; t NULL: loss.target; weight [rows], NULL: 1. Backward: dx = scale weight
    // slope
    double (*loss)(const void *x, const void *t, const void *weight, int64_t rows, int channels, struct clzk_loss loss);
    void (*loss_back)(void *dx, const void *x, const void *t, const void *weight, int64_t rows, int channels,
                      struct clzk_loss loss, float scale);
    // Rows of two channels: sum of sqrt(a^2 + b^2 + eps); dx = scale x / sqrt(a^2 + b^2 + eps)
    double (*chroma)(const void *x, int64_t rows, float eps);
    void (*chroma_back)(void *dx, const void *x, int64_t rows, float eps, float scale);

    // Rows of CLZK_AB_BINS logits (ab_bins.h). annealed_mean: y [rows][2], the colours' mean weighted by softmax(scale x).
    // cross_entropy: sum of weight times the entropy of softmax(x) and t [rows][2]; weight [rows], NULL: 1. Backward: dx = scale
    // times the gradient of that sum.
    void (*annealed_mean)(void *y, const void *x, int64_t rows, const struct clzk_ab_colours *colours, float scale);
    void (*annealed_mean_back)(void *dx, const void *x, const void *dy, int64_t rows, const struct clzk_ab_colours *colours,
                               float scale);
    double (*cross_entropy)(const void *x, const void *t, const void *weight, int64_t rows);
    void (*cross_entropy_back)(void *dx, const void *x, const void *t, const void *weight, int64_t rows, float scale);

    void (*dropout)(void *y, const void *x, const uint8_t *keep, float scale, int64_t count);
    void (*softmax)(void *y, const void *x, int64_t rows, int channels, float scale);
    void (*softmax_back)(void *dx, const void *y, const void *dy, int64_t rows, int channels, float scale);
    void (*clamp)(void *y, const void *x, int64_t count, float limit);
    void (*clamp_back)(void *dx, const void *x, const void *dy, int64_t count, float limit);
};

struct clzk_adam { float rate, beta1, beta2, eps, root, decay, unscale; };

// c = a b, or c += a b: m x k numbers times k x n. Element (i, l) of a is a[i * a_row + l * a_column], so that a may be
// transposed. Rows of b and c are contiguous. n is a multiple of CLZK_MATMUL_COLUMNS, k at least 1.
enum { CLZK_MATMUL_COLUMNS = 16 };
struct clzk_matmul {
    int m, n, k;
    bool add;
    const float *a;
    int64_t a_row, a_column;
    const float *b;
    int64_t b_row;
    float *c;
    int64_t c_row;
};

// Functions on vectors and matrices of floats: the update of parameters in a training step, attention.
struct clzk_vectors {
    void (*add)(float *sum, const float *x, int64_t count);
    // sum[i] += x[index[i]]
    void (*add_gathered)(float *sum, const float *x, const int32_t *index, int count);
    // g = gradient * unscale; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; w -= decay w + rate m / (sqrt(v) * root + eps)
    void (*adam)(float *w, const float *g, float *m, float *v, int64_t count, const struct clzk_adam *a);
    void (*ema)(float *average, const float *w, float decay, int64_t count);
    int (*too_large)(const float *v, int64_t count);       // 1: NaN or a magnitude of 2^64 or more is among them

    void (*matmul)(const struct clzk_matmul *p);
    float (*max)(const float *x, int count);
    float (*dot)(const float *x, const float *y, int count);
    // x = e^(x - max) factor; returns the sum
    float (*exponentials)(float *x, int count, float max, float factor);
    // dx = factor y (dx - mean)
    void (*softmax_gradient)(float *dx, const float *y, int count, float mean, float factor);
};

enum clzk_isa { CLZK_ISA_PLAIN, CLZK_ISA_AVX2, CLZK_ISA_AVX512, CLZK_ISA_COUNT };
enum clzk_isa clzk_isa_best(void);          // of this machine
const struct clzk_nn *clzk_nn_find(enum clzk_isa isa, bool bf16);
const struct clzk_vectors *clzk_vectors_find(enum clzk_isa isa);

// The kernels of each instruction set: [0] for float, [1] for bf16.
extern const struct clzk_nn *const clzk_nn_plain[2], *const clzk_nn_avx2[2], *const clzk_nn_avx512[2];
extern const struct clzk_vectors clzk_vectors_plain, clzk_vectors_avx2, clzk_vectors_avx512;
#endif
