// ops.c - every op on every device that opens here, against the reference; and the reference against central
// differences and against PyTorch.
//
//     ops [--device NAME] [--errors] [--bench] [OP]       OP: only that op ("conv")
//
// Adding an op: rows in `cases` and `bench_cases`, a row in `tolerance`, a case in ref/make_ops.py.
//
// A run holds an op to the contract of engine/backend.h, too: scratch, saved and outputs are full of NaN before they
// are written; x and y are destroyed before backward() unless plan() said it reads them; dw starts from numbers that
// must still be in the sum; parameters are changed once, and refresh() is called for them; subsets of gradients are asked for.
#include <errno.h>
#include <stdarg.h>

#include "backend.h"
#include "params.h"
#include "check.h"
#include "base/clock.h"
#include "kernels/philox.h"
#include "op.h"

// ---- cases ----

struct op_case {
    enum clzi_op_id op;
    struct clzi_shape x;                    // of input 0
    struct clzi_attr attr;
    int second;                             // channels of a second input (attention: v); -1: it has the output's shape; 0: none.
                                            // Losses: -1: a target, -2: a target and weights of pixels
    bool training;
    int h2, w2;                             // attention: of k and v; 0: as x
};

#include "ref_values.h"

#define CONV(n, ci, co, h, w, kk, s, p, ...) \
    { .op = CLZI_OP_CONV, .x = { n, ci, h, w }, .attr = { .channels = co, .k = kk, .stride = s, .pad = p, __VA_ARGS__ } }
#define CONV_RESIDUAL(n, ci, co, h, w, kk, s, p, ...) \
    { .op = CLZI_OP_CONV, .x = { n, ci, h, w }, .second = -1, \
      .attr = { .channels = co, .k = kk, .stride = s, .pad = p, __VA_ARGS__ } }
#define CONVT(n, ci, co, h, w, kk, s, p, ...) \
    { .op = CLZI_OP_CONVT, .x = { n, ci, h, w }, .attr = { .channels = co, .k = kk, .stride = s, .pad = p, __VA_ARGS__ } }
#define NORM(n, c, h, w, train, ...) \
    { .op = CLZI_OP_BATCHNORM, .x = { n, c, h, w }, .attr = { .eps = 1e-5f, .momentum = 0.1f, __VA_ARGS__ }, .training = train }
#define ACT(n, c, h, w, ...) { .op = CLZI_OP_ACT, .x = { n, c, h, w }, .attr = { __VA_ARGS__ } }
#define ADD(n, c, h, w, ...) { .op = CLZI_OP_ADD, .x = { n, c, h, w }, .attr = { __VA_ARGS__ }, .second = -1 }
#define CONCAT(n, c, c2, h, w) { .op = CLZI_OP_CONCAT, .x = { n, c, h, w }, .attr = { 0 }, .second = c2 }
#define POOL(n, c, h, w, kk, s, p) { .op = CLZI_OP_MAXPOOL, .x = { n, c, h, w }, .attr = { .k = kk, .stride = s, .pad = p } }
#define FACTOR(which, n, c, h, w, f) { .op = CLZI_OP_##which, .x = { n, c, h, w }, .attr = { .factor = f } }
#define DROPOUT(n, c, h, w, share, train) \
    { .op = CLZI_OP_DROPOUT, .x = { n, c, h, w }, .attr = { .p = share }, .training = train }
#define SCALE(which, n, c, h, w, s) { .op = CLZI_OP_##which, .x = { n, c, h, w }, .attr = { .scale = s } }
#define LINEAR(n, i, o, ...) { .op = CLZI_OP_LINEAR, .x = { n, i, 1, 1 }, .attr = { .channels = o, __VA_ARGS__ } }
#define AVGPOOL(n, c, h, w, kk, s, p) { .op = CLZI_OP_AVGPOOL, .x = { n, c, h, w }, .attr = { .k = kk, .stride = s, .pad = p } }
#define PLAIN(which, n, c, h, w) { .op = CLZI_OP_##which, .x = { n, c, h, w }, .attr = { 0 } }
#define ATTENTION(n, c, h, w, c2, ...) { .op = CLZI_OP_ATTENTION, .x = { n, c, h, w }, .attr = { 0 }, .second = c2, __VA_ARGS__ }
#define PAIR(which, n, c, h, w, inputs) { .op = CLZI_OP_##which, .x = { n, c, h, w }, .attr = { 0 }, .second = inputs }
#define COLOUR_LOSS(n, h, w, weight) { .op = CLZI_OP_CROSS_ENTROPY, .x = { n, 313, h, w }, .attr = { 0 }, .second = -1 - weight }
#define RGB_PICTURE(n, h, w) { .op = CLZI_OP_RGB, .x = { n, 1, h, w }, .attr = { 0 }, .second = 2 }
#define LOGITS(which, n, c, h, w, ...) { .op = CLZI_OP_##which, .x = { n, c, h, w }, .attr = { __VA_ARGS__ } }
#define RELU .act = CLZI_ACT_RELU
#define LEAKY .act = CLZI_ACT_LEAKY, .slope = 0.2f
#define RELU6 .act = CLZI_ACT_RELU6
#define TANH .act = CLZI_ACT_TANH
#define SIGMOID .act = CLZI_ACT_SIGMOID

static const struct op_case cases[] = {
    CONV(1, 1, 1, 5, 7, 1, 1, 0, 0),
    CONV(2, 3, 16, 9, 6, 1, 1, 0, .bias = 1),
    CONV(1, 97, 2, 6, 5, 1, 1, 0, .bias = 1),
    CONV(3, 17, 33, 7, 7, 1, 1, 0, RELU),
    CONV(2, 16, 32, 8, 6, 1, 2, 0, 0),
    CONV(2, 17, 16, 9, 7, 1, 2, 0, 0),
    CONV(1, 1, 16, 16, 12, 3, 1, 1, .bias = 1),
    CONV(2, 16, 16, 11, 13, 3, 1, 1, .bias = 1, RELU),
    CONV(1, 32, 48, 14, 9, 3, 1, 1, 0),
    CONV(1, 48, 32, 17, 20, 3, 1, 1, .bias = 1, LEAKY),
    CONV(1, 33, 17, 10, 10, 3, 1, 1, .bias = 1),
    CONV(1, 97, 97, 6, 7, 3, 1, 1, .bias = 1, RELU),
    CONV(1, 16, 2, 12, 8, 3, 1, 1, .bias = 1, TANH),
    CONV(3, 3, 16, 13, 11, 3, 2, 1, 0),
    CONV(2, 32, 33, 12, 12, 3, 2, 1, .bias = 1, SIGMOID),
    CONV(1, 16, 16, 2, 1, 3, 1, 1, .bias = 1),
    CONV(2, 1, 32, 16, 14, 4, 2, 1, 0),
    CONV(1, 3, 16, 12, 16, 4, 2, 1, .bias = 1, LEAKY),
    CONV(2, 32, 48, 8, 8, 4, 2, 1, 0),
    CONV(3, 17, 33, 2, 2, 4, 2, 1, 0),
    CONV(2, 16, 32, 9, 8, 4, 1, 1, 0),
    CONV(2, 48, 1, 7, 6, 4, 1, 1, .bias = 1),
    CONV(2, 1, 16, 20, 18, 7, 2, 3, 0),
    CONV(1, 3, 32, 15, 17, 7, 2, 3, .bias = 1, RELU),
    CONV(1, 3, 5, 9, 8, 3, 1, 0, .bias = 1),
    CONV_RESIDUAL(2, 16, 16, 9, 10, 3, 1, 1, .bias = 1, RELU),
    CONV_RESIDUAL(1, 17, 17, 6, 6, 3, 1, 1, .bias = 1),
    CONV_RESIDUAL(1, 97, 97, 5, 6, 3, 1, 1, .bias = 1, RELU),
    CONV_RESIDUAL(2, 16, 32, 8, 8, 1, 2, 0, LEAKY),

    CONV(2, 16, 24, 9, 10, 3, 2, 0, .pad_extra = 1),
    CONV(1, 3, 16, 8, 12, 5, 2, 1, .pad_extra = 1, .bias = 1, RELU6),
    CONV(1, 17, 9, 7, 6, 2, 1, 0, .pad_extra = 1),
    CONV(2, 16, 32, 7, 9, 3, 1, 1, .groups = 4, .bias = 1, RELU6),
    CONV(1, 12, 18, 8, 6, 3, 2, 0, .groups = 6, .pad_extra = 1),
    CONV(1, 9, 9, 6, 7, 1, 1, 0, .groups = 3, .bias = 1),
    CONV_RESIDUAL(1, 16, 16, 6, 5, 3, 1, 1, .groups = 2, .bias = 1, RELU6),
    CONV(2, 32, 32, 13, 21, 3, 1, 1, .groups = 32),
    CONV(1, 96, 96, 12, 14, 3, 2, 0, .groups = 96, .pad_extra = 1, .bias = 1, RELU6),
    CONV(2, 40, 40, 9, 11, 5, 1, 2, .groups = 40, .bias = 1, RELU),
    CONV(1, 24, 24, 10, 8, 5, 2, 1, .groups = 24, .pad_extra = 1),
    CONV(3, 17, 17, 5, 6, 3, 1, 1, .groups = 17, .bias = 1, TANH),
    CONV(1, 8, 8, 1, 2, 5, 1, 2, .groups = 8),
    CONV(1, 20, 20, 3, 30, 7, 3, 3, .groups = 20, LEAKY),
    CONV(1, 16, 16, 6, 18, 4, 1, 1, .groups = 16, .pad_extra = 1),
    CONV_RESIDUAL(1, 16, 16, 6, 12, 3, 1, 1, .groups = 16, .bias = 1, RELU6),

    CONVT(2, 16, 16, 5, 6, 2, 2, 0, .bias = 1),
    CONVT(1, 33, 17, 4, 3, 2, 2, 0, .bias = 1, RELU),
    CONVT(1, 1, 3, 3, 5, 2, 2, 0, 0),
    CONVT(2, 32, 16, 6, 5, 4, 2, 1, 0),
    CONVT(3, 48, 2, 7, 4, 4, 2, 1, .bias = 1, TANH),
    CONVT(1, 17, 33, 1, 1, 4, 2, 1, 0),
    CONVT(2, 97, 3, 4, 4, 4, 2, 1, .bias = 1, LEAKY),
    CONVT(1, 3, 16, 4, 5, 3, 1, 1, .bias = 1),

    NORM(2, 16, 7, 5, true, 0),
    NORM(3, 17, 6, 6, true, RELU),
    NORM(1, 1, 9, 8, true, 0),
    NORM(2, 97, 4, 5, true, LEAKY),
    NORM(2, 48, 5, 5, true, TANH),
    NORM(2, 40, 5, 7, true, RELU6),
    NORM(2, 16, 7, 5, false, 0),
    NORM(1, 33, 6, 4, false, RELU),
    NORM(3, 3, 5, 5, false, SIGMOID),
    NORM(1, 32, 1, 1, false, LEAKY),

    ACT(2, 17, 5, 7, RELU),
    ACT(1, 16, 8, 8, LEAKY),
    ACT(3, 3, 5, 5, TANH),
    ACT(1, 33, 4, 7, SIGMOID),
    ACT(1, 48, 3, 3, .act = CLZI_ACT_NONE),
    ACT(1, 1, 9, 11, RELU),
    ACT(2, 18, 5, 6, RELU6),

    ADD(2, 16, 6, 7, 0),
    ADD(1, 17, 5, 5, RELU),
    ADD(3, 97, 3, 2, LEAKY),

    CONCAT(2, 16, 32, 5, 6),
    CONCAT(1, 17, 16, 4, 7),
    CONCAT(3, 3, 48, 5, 5),
    CONCAT(1, 96, 1, 6, 6),
    CONCAT(2, 33, 33, 3, 4),

    FACTOR(SHUFFLE, 2, 64, 5, 7, 2),
    FACTOR(SHUFFLE, 1, 12, 4, 4, 2),
    FACTOR(SHUFFLE, 1, 132, 3, 5, 2),
    FACTOR(SHUFFLE, 1, 48, 3, 2, 4),

    POOL(2, 16, 9, 8, 3, 2, 1),
    POOL(1, 17, 12, 7, 3, 2, 1),
    POOL(3, 3, 6, 6, 2, 2, 0),
    POOL(1, 33, 5, 6, 3, 1, 1),

    FACTOR(RESIZE, 2, 16, 5, 6, 2),
    FACTOR(RESIZE, 1, 2, 7, 9, 2),
    FACTOR(RESIZE, 1, 17, 4, 5, 4),
    FACTOR(RESIZE, 3, 1, 3, 3, 8),
    FACTOR(RESIZE, 1, 33, 1, 1, 2),

    DROPOUT(2, 17, 5, 7, 0.5f, true),
    DROPOUT(1, 48, 6, 5, 0.2f, true),
    DROPOUT(1, 1, 3, 3, 0.9f, true),
    DROPOUT(2, 16, 4, 4, 0.5f, false),

    SCALE(SOFTMAX, 2, 17, 4, 5, 1),
    SCALE(SOFTMAX, 1, 48, 3, 3, 2.632f),
    SCALE(SOFTMAX, 3, 3, 5, 5, 0.5f),

    SCALE(CLAMP, 2, 2, 7, 9, 1),
    SCALE(CLAMP, 1, 17, 5, 5, 0.5f),

    LINEAR(1, 1, 1, 0),
    LINEAR(3, 17, 5, .bias = 1),
    LINEAR(2, 64, 48, .bias = 1, RELU),
    LINEAR(5, 80, 33, .bias = 1, TANH),
    LINEAR(16, 97, 128, 0),

    AVGPOOL(2, 16, 9, 8, 3, 2, 1),
    AVGPOOL(1, 17, 12, 7, 3, 1, 1),
    AVGPOOL(3, 3, 6, 6, 2, 2, 0),
    AVGPOOL(1, 33, 5, 11, 5, 3, 2),
    AVGPOOL(1, 1, 4, 15, 4, 1, 0),

    PLAIN(GLOBALPOOL, 2, 16, 9, 8),
    PLAIN(GLOBALPOOL, 1, 17, 1, 1),
    PLAIN(GLOBALPOOL, 3, 3, 41, 37),
    PLAIN(GLOBALPOOL, 1, 97, 5, 3),

    PLAIN(AFFINE, 1, 1, 3, 5),
    PLAIN(AFFINE, 3, 17, 5, 7),
    PLAIN(AFFINE, 2, 64, 6, 4),
    PLAIN(AFFINE, 2, 2, 33, 29),
    PLAIN(AFFINE, 4, 97, 1, 1),

    PLAIN(GAIN, 1, 1, 1, 1),
    PLAIN(GAIN, 2, 17, 5, 7),
    PLAIN(GAIN, 3, 64, 19, 6),

    ATTENTION(1, 1, 1, 1, 1),
    ATTENTION(2, 2, 3, 5, 16),
    ATTENTION(1, 4, 8, 7, 33),
    ATTENTION(1, 8, 16, 16, 64),
    ATTENTION(3, 5, 7, 9, 17, .h2 = 2, .w2 = 3),
    ATTENTION(1, 3, 2, 2, 5, .h2 = 13, .w2 = 11),

    PAIR(L1, 1, 2, 2, 3, -1),               // small ones, for central differences; large ones, for pieces
    PAIR(L1, 2, 2, 1, 3, -2),
    PAIR(L1, 3, 2, 70, 61, -2),
    PAIR(L2, 1, 2, 2, 3, -1),
    PAIR(L2, 2, 2, 2, 2, -2),
    PAIR(L2, 2, 17, 33, 65, -2),
    PAIR(CHROMA, 1, 2, 2, 3, -1),
    PAIR(CHROMA, 3, 2, 65, 41, -1),
    SCALE(ANNEALED_MEAN, 1, 313, 2, 1, 1 / 0.38f),
    SCALE(ANNEALED_MEAN, 3, 313, 19, 17, 1),
    COLOUR_LOSS(1, 1, 2, 0),
    COLOUR_LOSS(1, 2, 1, 1),
    COLOUR_LOSS(3, 19, 17, 1),
    RGB_PICTURE(1, 3, 4),
    RGB_PICTURE(2, 19, 33),
    LOGITS(BCE, 1, 1, 3, 4, .target = 1),
    LOGITS(BCE, 2, 1, 30, 30, .target = 0.9f),
    LOGITS(LSGAN, 1, 1, 3, 4, 0),
    LOGITS(LSGAN, 5, 1, 30, 31, .target = 1),
    LOGITS(HINGE, 1, 1, 3, 4, .target = 1),
    LOGITS(HINGE, 5, 1, 30, 31, 0),
    LOGITS(NEGMEAN, 1, 1, 3, 4, 0),
    LOGITS(NEGMEAN, 5, 1, 30, 31, 0),
};

// For --bench: sizes that the nets have at 256x256.
static const struct op_case bench_cases[] = {
    CONV(1, 1, 16, 256, 256, 3, 1, 1, .bias = 1, RELU),
    CONV(1, 16, 32, 256, 256, 3, 2, 1, .bias = 1, RELU),
    CONV(1, 32, 32, 128, 128, 3, 1, 1, .bias = 1, RELU),
    CONV(1, 64, 64, 64, 64, 3, 1, 1, .bias = 1, RELU),
    CONV_RESIDUAL(1, 64, 64, 64, 64, 3, 1, 1, .bias = 1, RELU),
    CONV(1, 256, 256, 16, 16, 3, 1, 1, .bias = 1, RELU),
    CONV(1, 64, 256, 64, 64, 1, 1, 0, .bias = 1),
    CONV(1, 3, 64, 256, 256, 7, 2, 3, .bias = 1, RELU),
    CONV(1, 128, 256, 64, 64, 4, 2, 1, 0),
    CONV(1, 96, 96, 128, 128, 3, 2, 0, .groups = 96, .pad_extra = 1, .bias = 1, RELU6),
    CONV(1, 144, 144, 64, 64, 3, 1, 1, .groups = 144, .bias = 1, RELU6),
    CONV(1, 240, 240, 32, 32, 5, 1, 2, .groups = 240, .bias = 1, RELU6),
    CONV(1, 672, 672, 16, 16, 5, 1, 2, .groups = 672, .bias = 1, RELU6),
    CONV(1, 144, 24, 64, 64, 1, 1, 0, .bias = 1),
    CONVT(1, 256, 64, 64, 64, 4, 2, 1, .bias = 1, RELU),
    CONVT(1, 64, 32, 64, 64, 2, 2, 0, .bias = 1, RELU),
    NORM(4, 64, 64, 64, true, RELU),
    NORM(4, 64, 64, 64, false, RELU),
    ACT(1, 64, 128, 128, LEAKY),
    ADD(1, 64, 128, 128, RELU),
    CONCAT(1, 64, 64, 128, 128),
    FACTOR(SHUFFLE, 1, 256, 64, 64, 2),
    POOL(1, 64, 128, 128, 3, 2, 1),
    FACTOR(RESIZE, 1, 32, 64, 64, 2),
    FACTOR(RESIZE, 1, 2, 128, 128, 2),
    DROPOUT(4, 512, 8, 8, 0.5f, true),
    SCALE(SOFTMAX, 1, 313, 64, 64, 2.632f),
    SCALE(ANNEALED_MEAN, 1, 313, 128, 128, 2.632f),
    SCALE(CLAMP, 1, 2, 256, 256, 1),
    RGB_PICTURE(1, 256, 256),
    LINEAR(16, 512, 512, .bias = 1),
    AVGPOOL(1, 64, 128, 128, 2, 2, 0),
    PLAIN(GLOBALPOOL, 1, 512, 16, 16),
    PLAIN(AFFINE, 1, 64, 128, 128),
    PLAIN(GAIN, 1, 64, 128, 128),
    ATTENTION(1, 32, 16, 16, 256),
    ATTENTION(1, 32, 32, 32, 256),
    ATTENTION(1, 16, 64, 64, 128),
};

// What an op may differ from the reference by, in `error`'s measures, and what was measured: the worst over `cases` of
// the cpu device with AVX2, AVX-512 and AMX, which differ in the last digit (ops --errors). In bf16 most of it is the
// rounding of the result, 2^-9 at most for each element. 1 % must not pass, so a limit of rms stays well below.
struct limit { double rms, most; };
static const struct { struct limit f32, bf16; } tolerance[CLZI_OP_COUNT] = {
    [CLZI_OP_CONV]      = { { 2e-6, 4e-6 }, { 5e-3, 1e-2 } },       // 2.6e-7 4.8e-7   3.2e-3 3.6e-3
    [CLZI_OP_CONVT]     = { { 2e-6, 4e-6 }, { 5e-3, 1e-2 } },       // 1.6e-7 2.4e-7   2.5e-3 4.4e-3
    [CLZI_OP_BATCHNORM] = { { 4e-6, 8e-6 }, { 5e-3, 1e-2 } },       // 1.8e-6 1.8e-6   2.3e-3 3.3e-3
    [CLZI_OP_ACT]       = { { 1e-6, 1e-6 }, { 5e-3, 1e-2 } },       // 1.1e-7 1.4e-7   2.7e-3 4.8e-3
    [CLZI_OP_ADD]       = { { 1e-7, 1e-7 }, { 4e-3, 5e-3 } },       // 0      0        2.0e-3 2.5e-3
    [CLZI_OP_CONCAT]    = { { 0, 0 }, { 0, 0 } },                   // moves numbers: exact
    [CLZI_OP_SHUFFLE]   = { { 0, 0 }, { 0, 0 } },
    [CLZI_OP_MAXPOOL]   = { { 1e-7, 1e-7 }, { 4e-3, 8e-3 } },       // 0      0        2.0e-3 3.9e-3
    [CLZI_OP_RESIZE]    = { { 5e-7, 1e-6 }, { 4e-3, 8e-3 } },       // 6.0e-8 8.0e-8   2.0e-3 3.1e-3
    [CLZI_OP_DROPOUT]   = { { 1e-7, 1e-7 }, { 4e-3, 8e-3 } },       // 0      0        2.3e-3 3.7e-3
    [CLZI_OP_SOFTMAX]   = { { 1e-6, 2e-6 }, { 4e-3, 8e-3 } },       // 1.7e-7 3.0e-7   2.2e-3 3.2e-3
    [CLZI_OP_CLAMP]     = { { 0, 0 }, { 0, 0 } },                   // exact
    // Measured with AVX2 only: f32, and bf16 of the kernels compiled for AVX2; bf16 of linear (oneDNN) not yet.
    [CLZI_OP_LINEAR]    = { { 2e-6, 4e-6 }, { 5e-3, 1e-2 } },       // 1.4e-7 1.8e-7
    [CLZI_OP_AVGPOOL]   = { { 1e-6, 2e-6 }, { 4e-3, 8e-3 } },       // 8.0e-8 1.1e-7   1.8e-3 2.7e-3
    [CLZI_OP_GLOBALPOOL] = { { 1e-6, 2e-6 }, { 4e-3, 8e-3 } },      // 4.6e-8 5.9e-8   2.1e-3 2.7e-3
    [CLZI_OP_AFFINE]    = { { 1e-6, 2e-6 }, { 4e-3, 8e-3 } },       // 7.4e-8 7.4e-8   2.5e-3 3.4e-3
    [CLZI_OP_GAIN]      = { { 1e-6, 2e-6 }, { 4e-3, 8e-3 } },       // 9.0e-8 9.0e-8   1.8e-3 3.0e-3
    [CLZI_OP_ATTENTION] = { { 4e-6, 8e-6 }, { 4e-3, 8e-3 } },       // 5.4e-7 6.9e-7   2.0e-3 3.3e-3
    [CLZI_OP_L1]        = { { 2e-6, 2e-6 }, { 4e-3, 8e-3 } },      // 4.3e-8 1.2e-7   bf16: not measured, no AVX-512
    [CLZI_OP_L2]        = { { 2e-6, 2e-6 }, { 4e-3, 8e-3 } },      // 6.0e-8 1.3e-7   bf16: not measured, no AVX-512
    [CLZI_OP_CHROMA]    = { { 2e-6, 4e-6 }, { 4e-3, 8e-3 } },      // 5.3e-8 1.3e-7   bf16: not measured, no AVX-512
    [CLZI_OP_ANNEALED_MEAN] = { { 2e-6, 4e-6 }, { 5e-3, 1e-2 } },  // 1.4e-7 2.5e-7   bf16: not measured, no AVX-512
    [CLZI_OP_CROSS_ENTROPY] = { { 2e-6, 4e-6 }, { 5e-3, 1e-2 } },  // 6.1e-8 5.0e-7   bf16: not measured, no AVX-512
    [CLZI_OP_RGB]       = { { 1e-5, 5e-5 }, { 5e-3, 1e-2 } },      // 1.9e-6 1.2e-5 (differences of X, Y, Z)   bf16: not measured
    [CLZI_OP_BCE]       = { { 2e-6, 2e-6 }, { 4e-3, 8e-3 } },      // 6.9e-8 8.7e-8   bf16: not measured, no AVX-512
    [CLZI_OP_LSGAN]     = { { 2e-6, 2e-6 }, { 4e-3, 8e-3 } },      // 4.9e-8 6.6e-8   bf16: not measured, no AVX-512
    [CLZI_OP_HINGE]     = { { 2e-6, 2e-6 }, { 4e-3, 8e-3 } },      // 0      0   bf16: not measured, no AVX-512
    [CLZI_OP_NEGMEAN]   = { { 2e-6, 2e-6 }, { 4e-3, 8e-3 } },      // 0      0   bf16: not measured, no AVX-512
};

// ---- a case with numbers ----

enum { SLOTS = CLZI_MAX_IN > CLZI_MAX_W ? CLZI_MAX_IN : CLZI_MAX_W };

struct problem {
    const struct op_case *oc;
    struct clzi_node node;
    struct clzi_shape xs[CLZI_MAX_IN], ys;
    struct clzi_param params[CLZI_MAX_W];
    int64_t x_count[CLZI_MAX_IN], w_count[CLZI_MAX_W], y_count;
    float *x[CLZI_MAX_IN], *w[CLZI_MAX_W], *dw[CLZI_MAX_W], *dy;    // dw: what it holds before backward
};

struct result { float *y, *dx[CLZI_MAX_IN], *w[CLZI_MAX_W], *dw[CLZI_MAX_W]; };

static float *numbers(int64_t count)
{
    float *p = calloc(count + 1, sizeof *p);
    if (!p) exit(1);
    return p;
}

static void describe(const struct problem *p, char *text, size_t size)
{
    const struct op_case *oc = p->oc;
    const struct clzi_attr_info *a = clzi_ops[oc->op].attrs;
    int at = snprintf(text, size, "%s %dx%dx%dx%d", clzi_ops[oc->op].name, oc->x.n, oc->x.c, oc->x.h, oc->x.w);

    for (; a->name; a++)
        if (a->type == CLZI_ATTR_ACT) at += snprintf(text + at, size - at, " %s", clzi_act_name(oc->attr.act));
        else at += snprintf(text + at, size - at, " %s %g", a->name, clzi_attr_get(&oc->attr, a));
    if (oc->second) at += snprintf(text + at, size - at, oc->second < 0 ? " + x1" : " + %d", oc->second);
    if (oc->h2) at += snprintf(text + at, size - at, " of %dx%d", oc->h2, oc->w2);
    if (oc->training) snprintf(text + at, size - at, " training");
}

// Shapes of the inputs after the first, but for the residual of a convolution.
static int more_inputs(const struct op_case *oc, struct clzi_shape xs[CLZI_MAX_IN])
{
    xs[1] = xs[2] = oc->x;
    switch (oc->op) {
    case CLZI_OP_AFFINE:
        xs[1].h = xs[1].w = xs[2].h = xs[2].w = 1;
        return 3;
    case CLZI_OP_ATTENTION:
        if (oc->h2) xs[1].h = xs[2].h = oc->h2, xs[1].w = xs[2].w = oc->w2;
        xs[2].c = oc->second;
        return 3;
    case CLZI_OP_CROSS_ENTROPY:
        xs[1].c = 2;
        xs[2].c = 1;
        return 1 - oc->second;
    default:
        xs[2].c = 1;
        if (oc->second > 0) xs[1].c = oc->second;
        return 1 + !!oc->second + (oc->second == -2);
    }
}

static void problem_open(struct problem *p, const struct op_case *oc)
{
    const struct clzi_op_info *info = &clzi_ops[oc->op];

    *p = (struct problem){ .oc = oc, .node = { .name = "node", .op = oc->op, .attr = oc->attr } };
    clzi_attr_default(info, &p->node.attr);
    p->xs[0] = oc->x;
    p->node.in_count = more_inputs(oc, p->xs);
    if (oc->op == CLZI_OP_CONV) {           // the shape of the residual follows from the rest
        p->node.in_count = 1;
        REQUIRE(info->shape(&p->node, p->xs, &p->xs[1]) == 0);
        p->node.in_count = 1 + !!oc->second;
    }
    REQUIRE(info->shape(&p->node, p->xs, &p->ys) == 0);
    p->node.w_count = info->params(&p->node, oc->x.c, p->params);
    p->y_count = clzi_shape_count(p->ys);
    p->dy = numbers(p->y_count);
    for (int k = 0; k < p->node.in_count; k++) p->x[k] = numbers(p->x_count[k] = clzi_shape_count(p->xs[k]));
    for (int k = 0; k < p->node.w_count; k++) {
        p->w[k] = numbers(p->w_count[k] = clzi_param_count(&p->params[k]));
        p->dw[k] = numbers(p->w_count[k]);
    }
}

static void problem_close(struct problem *p)
{
    for (int k = 0; k < CLZI_MAX_IN; k++) free(p->x[k]);
    for (int k = 0; k < CLZI_MAX_W; k++) free(p->w[k]), free(p->dw[k]);
    free(p->dy);
}

static void result_open(struct result *r, const struct problem *p)
{
    *r = (struct result){ .y = numbers(p->y_count) };
    for (int k = 0; k < p->node.in_count; k++) r->dx[k] = numbers(p->x_count[k]);
    for (int k = 0; k < p->node.w_count; k++) r->w[k] = numbers(p->w_count[k]), r->dw[k] = numbers(p->w_count[k]);
}

static void result_close(struct result *r)
{
    for (int k = 0; k < CLZI_MAX_IN; k++) free(r->dx[k]);
    for (int k = 0; k < CLZI_MAX_W; k++) free(r->w[k]), free(r->dw[k]);
    free(r->y);
}

// The nearest number that bf16 holds: then an upload loses nothing and what differs is the op's own doing.
static float to_bf16(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    u = (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000u;
    memcpy(&v, &u, sizeof v);
    return v;
}

// Uniform in [-range, range).
static void fill(float *v, int64_t count, uint64_t seed, uint64_t stream, float middle, float range)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t r[4];
        clzk_philox(seed, stream, i, r);
        v[i] = to_bf16(middle + range * (2 * clzk_uniform(r[0]) - 1));
    }
}

static void problem_fill(struct problem *p, uint64_t seed)
{
    const bool norm = p->node.op == CLZI_OP_BATCHNORM;
    const double fan_in = p->w_count[0] / (p->ys.c ? p->ys.c : 1);

    for (int k = 0; k < p->node.in_count; k++) {
        const bool weights = p->oc->second == -2 && k == 2;
        fill(p->x[k], p->x_count[k], seed, k, weights, weights ? 0.5f : 1.7f);
        if (p->node.op == CLZI_OP_RGB)      // most of it colours that exist
            fill(p->x[k], p->x_count[k], seed, k, k ? 0 : 0.2f, k ? 0.25f : 0.4f);
    }
    for (int k = 0; k < p->node.w_count; k++) {
        const bool weight = p->params[k].rank >= 2, about_1 = norm && (k == 0 || k == 3);
        fill(p->w[k], p->w_count[k], seed, 10 + k, about_1, weight ? (float)sqrt(3 / fan_in) : 0.5f);
        fill(p->dw[k], p->w_count[k], seed, 20 + k, 0, 0.125f);
    }
    fill(p->dy, p->y_count, seed, 30, 0, 1.7f);
    if (p->node.op == CLZI_OP_L1)           // away from the kink
        for (int64_t i = 0; i < p->x_count[0]; i++)
            if (fabsf(p->x[0][i] - p->x[1][i]) < 0.25f) p->x[0][i] = to_bf16(p->x[1][i] + 0.5f);
    if (p->node.op == CLZI_OP_HINGE)
        for (int64_t i = 0; i < p->x_count[0]; i++)
            if (fabsf(fabsf(p->x[0][i]) - 1) < 0.25f) p->x[0][i] = 0.5f;
    if (p->node.op == CLZI_OP_MAXPOOL)      // many ties: the first in scan order gets the gradient
        for (int64_t i = 0; i < p->x_count[0]; i++) p->x[0][i] = roundf(p->x[0][i] * 4) / 4;
}

// ---- an op on a device ----

enum { DX = 1, DW = 1 << SLOTS, ALL = (1 << 2 * SLOTS) - 1 };      // DX << k, DW << k: sets of gradients

// A loss has a gradient for its first input alone, and one number as its output.
static bool is_scalar(const struct problem *p) { return clzi_ops[p->node.op].scalar; }
static unsigned possible(const struct problem *p, unsigned wanted) { return is_scalar(p) ? wanted & DX : wanted; }

struct session {
    const struct problem *p;
    const struct clzi_backend *be;
    const struct clzi_op *op;
    struct clzi_call c;
    void *x[CLZI_MAX_IN];
    void *dy;
    uint64_t *seed;                         // device memory
};

// The buffers' bytes become NaN in f32 and bf16.
static void poison(struct session *s, void *p, size_t size)
{
    const int64_t count = size / sizeof(float);
    float *nan = numbers(count);

    memset(nan, 0xff, count * sizeof *nan);
    if (count) REQUIRE(s->be->write(s->c.dev, p, nan, count) == 0);
    free(nan);
}

static void poison_tensor(struct session *s, void *p, struct clzi_shape shape)
{
    poison(s, p, s->be->tensor_size(s->c.dev, shape));
}

static void *allocate(struct session *s, size_t size)
{
    void *p = s->be->alloc(s->c.dev, size);
    if (!p) exit(1);
    return p;
}

static void *tensor(struct session *s, struct clzi_shape shape)
{
    return allocate(s, s->be->tensor_size(s->c.dev, shape));
}

static size_t y_size(const struct session *s)
{
    return is_scalar(s->p) ? sizeof(float) : s->be->tensor_size(s->c.dev, s->p->ys);
}

static int y_put(const struct session *s, void *tensor, const float *y)
{
    return is_scalar(s->p) ? s->be->write(s->c.dev, tensor, y, 1) : s->be->upload(s->c.dev, tensor, s->p->ys, y);
}

static int y_get(const struct session *s, const void *tensor, float *y)
{
    return is_scalar(s->p) ? s->be->read(s->c.dev, y, tensor, 1) : s->be->download(s->c.dev, tensor, s->p->ys, y);
}

static void put_seed(struct session *s, uint64_t seed)
{
    float words[2];

    memcpy(words, &seed, sizeof words);
    REQUIRE(s->be->write(s->c.dev, (float *)s->seed, words, 2) == 0);
}

static int session_open(struct session *s, struct clzi_device *dev, const struct problem *p, unsigned wanted)
{
    struct clzi_call *c = &s->c;
    int ret;

    *s = (struct session){ .p = p, .be = clzi_device_base(dev)->backend };
    s->op = s->be->ops[p->node.op];
    c->dev = dev;
    c->node = &p->node;
    c->ys = p->ys;
    c->training = p->oc->training;
    c->seed = s->seed = allocate(s, sizeof *s->seed);
    put_seed(s, 0x123456789abcdef);
    wanted = possible(p, wanted);
    memcpy(c->xs, p->xs, sizeof c->xs);
    for (int k = 0; k < p->node.in_count; k++) c->want_dx[k] = wanted & (DX << k);
    for (int k = 0; k < p->node.w_count; k++) c->want_dw |= !!(wanted & (DW << k));
    if ((ret = s->op->plan ? s->op->plan(c) : 0) < 0) return ret;

    for (int k = 0; k < p->node.in_count; k++) {
        c->x[k] = s->x[k] = tensor(s, p->xs[k]);
        if (c->want_dx[k]) c->dx[k] = tensor(s, p->xs[k]);
    }
    for (int k = 0; k < p->node.w_count; k++) {
        c->w[k] = allocate(s, p->w_count[k] * sizeof(float));
        if (wanted & (DW << k) && !p->params[k].buffer) c->dw[k] = allocate(s, p->w_count[k] * sizeof(float));
    }
    c->y = allocate(s, y_size(s));
    c->dy = s->dy = allocate(s, y_size(s));
    if (c->scratch_size) c->scratch = allocate(s, c->scratch_size);
    if (c->saved_size) c->saved = allocate(s, c->saved_size);
    return 0;
}

static void session_close(struct session *s)
{
    struct clzi_device *dev = s->c.dev;

    if (s->op->destroy) s->op->destroy(&s->c);
    for (int k = 0; k < CLZI_MAX_IN; k++) s->be->free(dev, s->x[k]), s->be->free(dev, s->c.dx[k]);
    for (int k = 0; k < CLZI_MAX_W; k++) s->be->free(dev, s->c.w[k]), s->be->free(dev, s->c.dw[k]);
    s->be->free(dev, s->c.y);
    s->be->free(dev, s->dy);
    s->be->free(dev, s->c.scratch);
    s->be->free(dev, s->seed);
    s->be->free(dev, s->c.saved);
}

// With the problem's numbers as they are now; leaves y and the parameters in r.
static void session_forward(struct session *s, struct result *r)
{
    const struct problem *p = s->p;
    struct clzi_call *c = &s->c;

    for (int k = 0; k < p->node.in_count; k++) REQUIRE(s->be->upload(c->dev, s->x[k], p->xs[k], p->x[k]) == 0);
    for (int k = 0; k < p->node.w_count; k++) REQUIRE(s->be->write(c->dev, c->w[k], p->w[k], p->w_count[k]) == 0);
    if (s->op->refresh) REQUIRE_INT(s->op->refresh(c), 0);
    poison(s, c->y, y_size(s));
    poison(s, c->scratch, c->scratch_size);
    poison(s, c->saved, c->saved_size);
    REQUIRE_INT(s->op->forward(c), 0);
    REQUIRE(y_get(s, c->y, r->y) == 0);
    for (int k = 0; k < p->node.w_count; k++) REQUIRE(s->be->read(c->dev, r->w[k], c->w[k], p->w_count[k]) == 0);
}

static void session_backward(struct session *s, struct result *r)
{
    const struct problem *p = s->p;
    struct clzi_call *c = &s->c;

    REQUIRE(y_put(s, s->dy, p->dy) == 0);
    poison(s, c->scratch, c->scratch_size);
    if (!c->backward_reads_y) poison(s, c->y, y_size(s));
    for (int k = 0; k < p->node.in_count; k++) {
        if (!c->backward_reads_x) poison_tensor(s, s->x[k], p->xs[k]);
        if (c->dx[k]) poison_tensor(s, c->dx[k], p->xs[k]);
    }
    for (int k = 0; k < p->node.w_count; k++)
        if (c->dw[k]) REQUIRE(s->be->write(c->dev, c->dw[k], p->dw[k], p->w_count[k]) == 0);
    REQUIRE_INT(s->op->backward(c), 0);
    for (int k = 0; k < p->node.in_count; k++)
        if (c->dx[k]) REQUIRE(s->be->download(c->dev, c->dx[k], p->xs[k], r->dx[k]) == 0);
    for (int k = 0; k < p->node.w_count; k++) {
        if (c->dw[k]) REQUIRE(s->be->read(c->dev, r->dw[k], c->dw[k], p->w_count[k]) == 0);
        for (int64_t i = 0; i < p->w_count[k]; i++) r->dw[k][i] -= p->dw[k][i];
    }
}

static bool wants_gradient(const struct clzi_call *c)
{
    bool any = c->want_dw;
    for (int k = 0; k < CLZI_MAX_IN; k++) any |= c->want_dx[k];
    return any;
}

// Forward and backward once; false: the op could not be planned.
static bool run(struct clzi_device *dev, struct problem *p, unsigned wanted, struct result *r)
{
    struct session s;
    const int ret = session_open(&s, dev, p, wanted);

    REQUIRE_INT(ret, 0);
    if (ret < 0) {
        if (s.op->destroy) s.op->destroy(&s.c);
        return false;
    }
    if (p->node.w_count) {                  // an op whose refresh() forgets something goes on with these
        float *const w = p->w[0];
        p->w[0] = numbers(p->w_count[0]);
        session_forward(&s, r);
        free(p->w[0]);
        p->w[0] = w;
    }
    session_forward(&s, r);
    if (!p->oc->training) {                 // and nothing changes when it is run again
        struct result again;
        result_open(&again, p);
        poison(&s, s.c.y, y_size(&s));
        REQUIRE_INT(s.op->forward(&s.c), 0);
        REQUIRE(y_get(&s, s.c.y, again.y) == 0);
        REQUIRE(!memcmp(again.y, r->y, p->y_count * sizeof *r->y));
        result_close(&again);
    }
    if (wants_gradient(&s.c)) session_backward(&s, r);
    session_close(&s);
    return true;
}

// Gradients jump where an activation has a kink, and rounding decides on which side a number lies that is close to it:
// such elements take no part (dy = 0). Found with the reference without its activation.
static void avoid_kinks(struct clzi_device *ref, struct problem *p, double margin)
{
    const enum clzi_act act = p->node.attr.act;
    const double kink = p->node.op == CLZI_OP_CLAMP ? p->node.attr.scale : 0;
    struct result r;

    if (act != CLZI_ACT_RELU && act != CLZI_ACT_LEAKY && act != CLZI_ACT_RELU6 && p->node.op != CLZI_OP_CLAMP &&
        p->node.op != CLZI_OP_RGB)
        return;
    result_open(&r, p);
    p->node.attr.act = CLZI_ACT_NONE;
    if (kink) memcpy(r.y, p->x[0], p->y_count * sizeof *r.y);
    else run(ref, p, 0, &r);
    p->node.attr.act = act;
    for (int64_t i = 0; i < p->y_count; i++)
        if (fabs(fabs(r.y[i]) - kink) < margin || (p->node.op == CLZI_OP_RGB && fabs(r.y[i]) > 1 - 3 * margin) ||
            (act == CLZI_ACT_RELU6 && fabs(r.y[i] - 6) < margin))
            p->dy[i] = 0;
    result_close(&r);
}

// ---- comparison ----

struct error { double rms, most; };         // of the difference, as shares of the wanted's root mean square and largest

static struct error difference(const float *got, const float *want, int64_t count, double factor)
{
    double difference2 = 0, want2 = 0, most = 0, largest = 0;

    for (int64_t i = 0; i < count; i++) {
        const double w = want[i] * factor, d = fabs(got[i] - w);
        if (!(d <= 1e30)) return (struct error){ INFINITY, INFINITY };
        difference2 += d * d;
        want2 += w * w;
        if (d > most) most = d;
        if (fabs(w) > largest) largest = fabs(w);
    }
    return want2 ? (struct error){ sqrt(difference2 / want2), most / largest } : (struct error){ most, most };
}

static bool within(struct error e, struct limit l) { return e.rms <= l.rms && e.most <= l.most; }

struct watch {                              // what is compared now, and the worst so far
    const struct problem *p;
    struct limit limit;
    struct error worst;
};

static void compare(struct watch *w, const char *what, int k, const float *got, const float *want, int64_t count)
{
    const struct error e = difference(got, want, count, 1);
    char text[200];

    if (e.rms > w->worst.rms) w->worst.rms = e.rms;
    if (e.most > w->worst.most) w->worst.most = e.most;
    if (!within(e, w->limit)) {
        describe(w->p, text, sizeof text);
        printf("  %s: %s[%d] is off by %.3g rms, %.3g at most; allowed are %.3g, %.3g\n", text, what, k, e.rms, e.most,
               w->limit.rms, w->limit.most);
    }
    REQUIRE(within(e, w->limit));
    // The comparison is worth something only if it sees a fault of 1 %.
    if (difference(want, want, count, 0).rms) REQUIRE(!within(difference(got, want, count, 1.01), w->limit));
}

static void compare_all(struct watch *w, unsigned wanted, const struct result *got, const struct result *want)
{
    const struct problem *p = w->p;

    wanted = possible(p, wanted);
    compare(w, "y", 0, got->y, want->y, p->y_count);
    for (int k = 0; k < p->node.in_count; k++)
        if (wanted & (DX << k)) compare(w, "dx", k, got->dx[k], want->dx[k], p->x_count[k]);
    for (int k = 0; k < p->node.w_count; k++)
        if (p->params[k].buffer) compare(w, p->params[k].name, k, got->w[k], want->w[k], p->w_count[k]);
        else if (wanted & (DW << k)) compare(w, "dw", k, got->dw[k], want->dw[k], p->w_count[k]);
}

// Every case of an op on a device against the reference, with each kind of gradients wanted.
static void check_op(struct clzi_device *dev, struct clzi_device *ref, enum clzi_op_id op, bool show_errors)
{
    static const unsigned sets[] = {
        ALL, 0, DX | DX << 1, DW | DW << 1, DX << 1 | DW << 1, DX << 2,
    };
    const bool bf16 = clzi_device_base(dev)->precision != CLZ_PRECISION_F32;        // f16 rounds less
    struct watch w = { .limit = bf16 ? tolerance[op].bf16 : tolerance[op].f32 };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct problem p;
        struct result want, got;
        if (cases[i].op != op) continue;
        problem_open(&p, &cases[i]);
        problem_fill(&p, i);
        avoid_kinks(ref, &p, 0.02);
        result_open(&want, &p);
        result_open(&got, &p);
        w.p = &p;
        if (run(ref, &p, ALL, &want))
            for (size_t k = 0; k < sizeof sets / sizeof *sets; k++)
                if (run(dev, &p, sets[k], &got)) compare_all(&w, sets[k], &got, &want);
        result_close(&want);
        result_close(&got);
        problem_close(&p);
    }
    if (show_errors)
        printf("  %-20s %-10s worst error %.2g rms, %.2g at most\n", clzi_device_base(dev)->describe, clzi_ops[op].name,
               w.worst.rms, w.worst.most);
}

// ---- the reference against central differences ----

enum { SLOPES = 12 };                       // elements of each tensor that are tried

static double total(struct session *s, struct result *r)
{
    double sum = 0;

    session_forward(s, r);
    for (int64_t i = 0; i < s->p->y_count; i++) sum += (double)s->p->dy[i] * r->y[i];
    return sum;
}

// d(sum of dy y) / dv for some elements of v, an input or parameter of the problem, against the gradient `got`.
static struct error slope_error(struct session *s, float *v, const float *got, int64_t count, uint64_t seed)
{
    const float step = 1.f / 128;           // larger: curvature; smaller: the rounding of y to float
    float want[SLOPES], there[SLOPES];
    const int tries = count < SLOPES ? (int)count : SLOPES;
    struct result r;

    result_open(&r, s->p);
    for (int i = 0; i < tries; i++) {
        uint32_t word[4];
        int64_t at = i;
        if (count > SLOPES) {
            clzk_philox(seed, 99, i, word);
            at = word[0] % count;
        }
        const float old = v[at];
        v[at] = old + step;
        double sum = total(s, &r), width = v[at];
        v[at] = old - step;
        sum -= total(s, &r);
        width -= v[at];
        v[at] = old;
        want[i] = (float)(sum / width);
        there[i] = got[at];
    }
    result_close(&r);
    return difference(there, want, tries, 1);
}

static void check_slopes(struct clzi_device *ref, enum clzi_op_id op, bool show_errors)
{
    const struct limit limit = { 5e-4, 5e-4 };      // measured: 1.0e-4 rms and at most (batchnorm), the rest below 8e-5
    struct error worst = { 0, 0 };
    char text[200];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct problem p;
        struct session s;
        struct result r;
        if (cases[i].op != op) continue;
        if (clzi_ops[op].scalar && clzi_shape_count(cases[i].x) > 16) continue;     // a mean of many rounds the difference away
        problem_open(&p, &cases[i]);
        problem_fill(&p, 1000 + i);
        if (op == CLZI_OP_MAXPOOL)          // no ties: every value once, in no order
            for (int64_t k = 0; k < p.x_count[0]; k++) p.x[0][k] = (float)(k * 7919 % 10007) / 32;
        avoid_kinks(ref, &p, 0.15);
        result_open(&r, &p);
        run(ref, &p, ALL, &r);
        REQUIRE(session_open(&s, ref, &p, 0) == 0);
        for (int k = 0; k < p.node.in_count + p.node.w_count; k++) {
            const int j = k - p.node.in_count;
            struct error e;
            if (j >= 0 && p.params[j].buffer) continue;
            if (j < 0 && !(possible(&p, ALL) & (DX << k))) continue;
            e = j < 0 ? slope_error(&s, p.x[k], r.dx[k], p.x_count[k], i) :
                        slope_error(&s, p.w[j], r.dw[j], p.w_count[j], i);
            if (e.rms > worst.rms) worst.rms = e.rms;
            if (e.most > worst.most) worst.most = e.most;
            if (!within(e, limit)) {
                describe(&p, text, sizeof text);
                printf("  %s: %s[%d] is off by %.3g rms, %.3g at most\n", text, j < 0 ? "dx" : "dw", j < 0 ? k : j,
                       e.rms, e.most);
            }
            REQUIRE(within(e, limit));
        }
        session_close(&s);
        result_close(&r);
        problem_close(&p);
    }
    if (show_errors)
        printf("  %-10s worst slope error %.2g rms, %.2g at most\n", clzi_ops[op].name, worst.rms, worst.most);
}

// ---- the reference against PyTorch ----

// Both sides make their inputs with this (ref/make_ops.py); 24 bits, so exact in a float.
static float golden_input(uint32_t salt, uint32_t i)
{
    uint32_t x = i * 0x9e3779b9u + salt * 0x85ebca6bu;
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return (float)(x >> 8) / 8388608 - 1;
}

static void check_golden(struct clzi_device *ref, const struct golden *g, bool show_errors)
{
    struct watch w = { .limit = { 5e-7, 5e-7 } };       // measured: 1.5e-7 rms, 1.6e-7 at most (resize)
    // In quarters, to meet ties and kinks.
    const bool coarse = g->oc.op == CLZI_OP_MAXPOOL || g->oc.op == CLZI_OP_CLAMP || g->oc.op == CLZI_OP_ACT;
    struct problem p;
    struct result r;

    problem_open(&p, &g->oc);
    w.p = &p;
    for (int k = 0; k < p.node.in_count; k++)
        for (int64_t i = 0; i < p.x_count[k]; i++) {
            p.x[k][i] = k == 2 && g->oc.second == -2 ? 1 + 0.5f * golden_input(3, i) : 1.5f * golden_input(1 + k, i);
            if (g->oc.op == CLZI_OP_RGB) p.x[k][i] = (k ? 0.25f : 1) * golden_input(1 + k, i);
            if (coarse) p.x[k][i] = floorf(4 * p.x[k][i]) / 4;
        }
    for (int k = 0; k < p.node.w_count; k++)
        for (int64_t i = 0; i < p.w_count[k]; i++) {
            const bool about_1 = p.node.op == CLZI_OP_BATCHNORM && (k == 0 || k == 3);
            p.w[k][i] = about_1 + 0.5f * golden_input(10 + k, i);
        }
    for (int64_t i = 0; i < p.y_count; i++) p.dy[i] = golden_input(20, i);
    result_open(&r, &p);
    if (run(ref, &p, ALL, &r)) {
        compare(&w, "y", 0, r.y, g->y, p.y_count);
        for (int k = 0; k < p.node.in_count; k++)
            if (possible(&p, ALL) & (DX << k)) compare(&w, "dx", k, r.dx[k], g->dx[k], p.x_count[k]);
        for (int k = 0; k < p.node.w_count; k++)
            compare(&w, p.params[k].name, k, p.params[k].buffer ? r.w[k] : r.dw[k], g->dw[k], p.w_count[k]);
    }
    if (show_errors)
        printf("  %-10s from PyTorch %.2g rms, %.2g at most\n", clzi_ops[p.node.op].name, w.worst.rms, w.worst.most);
    result_close(&r);
    problem_close(&p);
}

// Batch norm of 1, 2, 3, 4, on every device: PyTorch's y and running statistics, to the digits it prints.
static void check_norm_of_four(struct clzi_device *dev)
{
    static const struct op_case four = NORM(1, 1, 2, 2, true, 0);
    static const float want[4] = { -1.34163535f, -0.44721174f, 0.44721186f, 1.34163547f };
    const double tolerance_y = clzi_device_base(dev)->precision != CLZ_PRECISION_F32 ? 4e-3 : 1e-6;
    struct problem p;
    struct result r;

    problem_open(&p, &four);
    for (int i = 0; i < 4; i++) p.x[0][i] = i + 1.f;
    p.w[0][0] = p.w[3][0] = 1;
    result_open(&r, &p);
    if (run(dev, &p, ALL, &r)) {
        for (int i = 0; i < 4; i++) REQUIRE_NEAR(r.y[i], want[i], tolerance_y);
        REQUIRE_NEAR(r.w[2][0], 0.25, 1e-6);
        REQUIRE_NEAR(r.w[3][0], 1.0666666, 1e-6);
    }
    result_close(&r);
    problem_close(&p);
}

// ---- what holds beyond numbers ----

// The same bits with one thread and with three.
static void check_threads(void)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct problem p;
        struct result r[2];
        problem_open(&p, &cases[i]);
        problem_fill(&p, i);
        for (int k = 0; k < 2; k++) {
            struct clzi_device *dev;
            REQUIRE(clzi_device_open(&dev, "ref", &(struct clzi_device_params){ .threads = k ? 3 : 1 }) == 0);
            result_open(&r[k], &p);
            run(dev, &p, ALL, &r[k]);
            clzi_device_close(&dev);
        }
        REQUIRE(!memcmp(r[0].y, r[1].y, p.y_count * sizeof(float)));
        for (int k = 0; k < p.node.in_count; k++)
            REQUIRE(!memcmp(r[0].dx[k], r[1].dx[k], p.x_count[k] * sizeof(float)));
        for (int k = 0; k < p.node.w_count; k++)
            REQUIRE(!memcmp(r[0].dw[k], r[1].dw[k], p.w_count[k] * sizeof(float)));
        result_close(&r[0]);
        result_close(&r[1]);
        problem_close(&p);
    }
}

// Dropout keeps the share it should and makes up for the rest; another step or node keeps other elements; outside
// training it does nothing.
static void check_dropout(struct clzi_device *dev)
{
    static const struct op_case oc = DROPOUT(1, 16, 50, 50, 0.25f, true), idle = DROPOUT(1, 3, 5, 5, 0.25f, false);
    const enum clz_precision precision = clzi_device_base(dev)->precision;
    const double kept = precision == CLZ_PRECISION_BF16 ? to_bf16(4 / 3.f) :
                        precision == CLZ_PRECISION_F16 ? 1365 / 1024. : 4 / 3.;
    bool two_values = true;
    struct problem p;
    struct session s;
    struct result r, other;
    int64_t dropped = 0, both = 0;

    problem_open(&p, &oc);
    for (int64_t i = 0; i < p.x_count[0]; i++) p.x[0][i] = 1;
    result_open(&r, &p);
    result_open(&other, &p);
    REQUIRE(session_open(&s, dev, &p, 0) == 0);
    session_forward(&s, &r);
    put_seed(&s, 0x123456789abcdf0);
    session_forward(&s, &other);
    for (int64_t i = 0; i < p.y_count; i++) {
        two_values &= r.y[i] == 0 || fabs(r.y[i] - kept) < 1e-6;
        dropped += r.y[i] == 0;
        both += r.y[i] == 0 && other.y[i] == 0;
    }
    REQUIRE(two_values);
    REQUIRE_NEAR((double)dropped / p.y_count, 0.25, 0.01);          // standard deviation 0.0022
    REQUIRE_NEAR((double)both / p.y_count, 0.0625, 0.006);          // independent; standard deviation 0.0012
    session_close(&s);
    strcpy(p.node.name, "other");
    REQUIRE(session_open(&s, dev, &p, 0) == 0);
    session_forward(&s, &other);
    both = 0;
    for (int64_t i = 0; i < p.y_count; i++) both += r.y[i] == 0 && other.y[i] == 0;
    REQUIRE_NEAR((double)both / p.y_count, 0.0625, 0.006);
    session_close(&s);
    result_close(&r);
    result_close(&other);
    problem_close(&p);

    problem_open(&p, &idle);
    problem_fill(&p, 1);
    result_open(&r, &p);
    if (run(dev, &p, ALL, &r)) {
        REQUIRE(!memcmp(r.y, p.x[0], p.y_count * sizeof *r.y));
        REQUIRE(!memcmp(r.dx[0], p.dy, p.y_count * sizeof *r.y));
    }
    result_close(&r);
    problem_close(&p);
}

// Loss scale, steps that do not count, the scale's own course. a, b, m, v: 1000 numbers each.
static void check_train_state(struct clzi_device *dev, struct clzi_train_state *state, float *a, float *b, float *m, float *v)
{
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    const struct clzi_train_ops *const t = be->train;
    const struct clzi_adam how = { .lr = 0.125f, .beta1 = 0.9f, .beta2 = 0.999f, .eps = 1e-8f, .step = 1 };
    struct clzi_train_state s = { .scale = 1024 };
    float one[1000], two[1000], three[1000], seed;

    for (int i = 0; i < 1000; i++) one[i] = (float)i / 512 - 1;
    for (int scaled = 0; scaled < 2; scaled++) {                    // scaled gradients, divided again: the same bits
        s.scale = scaled ? 1024 : 1;
        REQUIRE(be->write(dev, (float *)state, (const float *)&s, 4) == 0);
        for (int i = 0; i < 1000; i++) two[i] = one[i] * s.scale;
        REQUIRE(be->write(dev, b, two, 1000) == 0 && be->write(dev, a, one, 1000) == 0);
        REQUIRE(t->zero(dev, m, 1000) == 0 && t->zero(dev, v, 1000) == 0);
        REQUIRE(t->adam(dev, &how, a, b, m, v, 1000, state) == 0);
        REQUIRE(be->read(dev, scaled ? two : three, a, 1000) == 0);
    }
    REQUIRE(!memcmp(two, three, sizeof two));
    for (int i = 0; i < 1000; i++) REQUIRE_NEAR(two[i], i == 512 ? 0 : one[i] - (one[i] > 0 ? 0.125f : -0.125f), 1e-6);
    REQUIRE(t->seed(dev, b, 0.25f, state) == 0 && be->read(dev, &seed, b, 1) == 0);
    REQUIRE_NEAR(seed, 256, 0);

    REQUIRE(t->check(dev, state, a, 1000) == 0);
    REQUIRE(be->read(dev, (float *)&s, (float *)state, 4) == 0 && s.bad == 0);
    two[999] = NAN;
    REQUIRE(be->write(dev, b, two, 1000) == 0 && t->check(dev, state, b, 999) == 0);
    REQUIRE(be->read(dev, (float *)&s, (float *)state, 4) == 0 && s.bad == 0);          // not past the end
    REQUIRE(t->check(dev, state, b, 1000) == 0);
    REQUIRE(be->read(dev, (float *)&s, (float *)state, 4) == 0 && s.bad == 1);
    REQUIRE(be->write(dev, a, one, 1000) == 0);                     // a bad step changes nothing and restores
    REQUIRE(t->adam(dev, &how, a, b, m, v, 1000, state) == 0 && t->ema(dev, a, b, 0.5f, 1000, state) == 0);
    REQUIRE(be->read(dev, two, a, 1000) == 0 && !memcmp(one, two, sizeof one));
    REQUIRE(t->restore(dev, b, a, 1000, state) == 0 && be->read(dev, two, b, 1000) == 0 && !memcmp(one, two, sizeof one));
    REQUIRE(t->advance(dev, state, true) == 0 && be->read(dev, (float *)&s, (float *)state, 4) == 0);
    REQUIRE(s.scale == 512 && s.good == 0 && s.bad == 0);
    REQUIRE(t->zero(dev, a, 1000) == 0 && t->restore(dev, b, a, 1000, state) == 0);     // a good step keeps what it has
    REQUIRE(be->read(dev, two, b, 1000) == 0 && !memcmp(one, two, sizeof one));
    for (int i = 0; i < CLZI_SCALE_GROWTH_STEPS; i++) REQUIRE(t->advance(dev, state, true) == 0);
    REQUIRE(be->read(dev, (float *)&s, (float *)state, 4) == 0 && s.scale == 1024 && s.good == 0);
}

// Memory, activations in and out, vectors of parameters, the optimiser.
static void check_device(struct clzi_device *dev)
{
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    static const struct clzi_shape shapes[] = { { 1, 1, 1, 1 }, { 2, 17, 5, 7 }, { 3, 97, 1, 3 }, { 1, 32, 4, 4 } };
    // w0 = 1, lr 2e-4, betas 0.5, 0.999: PyTorch in double, here kept in float
    static const struct { float g, w; } adam[] = {
        { 0.5f, 0.999800000004f }, { -0.25f, 0.999800000004f }, { 0.125f, 0.9997567886239653f },
    };
    static const struct clzi_adam decaying = { 0.125f, 0.9f, 0.999f, 1e-8f, 0.5f, 1 };
    const struct clzi_train_ops *const t = be->train;
    struct clzi_train_state now_state = { .scale = 1 }, *const state = be->alloc(dev, sizeof *state);
    float one[2000], two[2000], *a, *b, *m, *v;

    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t count = clzi_shape_count(shapes[i]);
        void *tensor = be->alloc(dev, be->tensor_size(dev, shapes[i])), *u = be->alloc(dev, be->tensor_size(dev, shapes[i]));
        REQUIRE(tensor && u);
        fill(one, count, i, 0, 0, 1);
        fill(two, count, i, 0, 0, 1);
        REQUIRE(be->upload(dev, tensor, shapes[i], one) == 0);
        REQUIRE(be->upload(dev, u, shapes[i], two) == 0);
        REQUIRE(be->add(dev, tensor, u, shapes[i]) == 0);
        memset(two, 0xff, sizeof two);
        REQUIRE(be->download(dev, tensor, shapes[i], two) == 0);
        for (int64_t k = 0; k < count; k++) one[k] *= 2;           // exact, in bf16 too
        REQUIRE(!memcmp(one, two, count * sizeof *one));
        be->free(dev, tensor);
        be->free(dev, u);
    }
    a = be->alloc(dev, 1000 * sizeof *one);
    b = be->alloc(dev, 1000 * sizeof *one);
    m = be->alloc(dev, 1000 * sizeof *one);
    v = be->alloc(dev, 1000 * sizeof *one);
    REQUIRE(a && b && m && v);
    REQUIRE(be->read(dev, two, a, 1000) == 0);
    for (int i = 0; i < 1000; i++) REQUIRE(two[i] == 0);            // alloc gives zeros
    for (int i = 0; i < 1000; i++) one[i] = 1;
    REQUIRE(be->write(dev, a, one, 1000) == 0);
    REQUIRE(be->write(dev, (float *)state, (const float *)&now_state, 4) == 0);
    for (int step = 0; step < 3; step++) {
        const struct clzi_adam how = { .lr = 2e-4f, .beta1 = 0.5f, .beta2 = 0.999f, .eps = 1e-8f, .step = step + 1 };
        for (int i = 0; i < 1000; i++) one[i] = adam[step].g;
        REQUIRE(be->write(dev, b, one, 1000) == 0);
        REQUIRE(t->adam(dev, &how, a, b, m, v, 999, state) == 0);
        REQUIRE(be->read(dev, two, a, 1000) == 0);
        REQUIRE(two[999] == 1);                                     // not past the end
        for (int i = 0; i < 1000; i++) one[i] = adam[step].w;
        REQUIRE_NEAR(difference(two, one, 999, 1).most, 0, 1.3e-7); // two steps of a float below 1
    }
    // With decay: the first step goes to w - lr (decay w + 1).
    for (int i = 0; i < 1000; i++) one[i] = i;
    REQUIRE(be->write(dev, a, one, 1000) == 0);
    REQUIRE(t->zero(dev, m, 1000) == 0);
    REQUIRE(t->zero(dev, v, 1000) == 0);
    REQUIRE(t->adam(dev, &decaying, a, b, m, v, 1000, state) == 0);
    REQUIRE(be->read(dev, two, a, 1000) == 0);
    for (int i = 0; i < 1000; i++) one[i] = i - 0.125f * (0.5f * i + 1);
    REQUIRE_NEAR(difference(two, one, 1000, 1).most, 0, 1e-6);

    for (int i = 0; i < 1000; i++) one[i] = i;
    REQUIRE(be->write(dev, a, one, 1000) == 0);
    REQUIRE(t->zero(dev, b, 1000) == 0);
    REQUIRE(t->ema(dev, b, a, 0.75f, 1000, state) == 0);
    REQUIRE(t->ema(dev, b, a, 0.75f, 999, state) == 0);
    REQUIRE(be->read(dev, two, b, 1000) == 0);
    for (int i = 0; i < 1000; i++) one[i] = (i < 999 ? 0.4375f : 0.25f) * i;
    REQUIRE_NEAR(difference(two, one, 1000, 1).most, 0, 1e-6);
    check_train_state(dev, state, a, b, m, v);
    be->free(dev, state);
    be->free(dev, a);
    be->free(dev, b);
    be->free(dev, m);
    be->free(dev, v);
}

// ---- speed ----

// Best time of a run, from at least three and 0.2 seconds of them.
static double best_time(struct session *s, int (*run_op)(struct clzi_call *))
{
    const double start = clzi_now();
    double best = 1e30, t = start;

    for (int i = 0; i < 3 || t - start < 0.2; i++) {
        const double before = t;
        REQUIRE(run_op(&s->c) == 0);
        t = clzi_now();
        if (t - before < best) best = t - before;
    }
    return best;
}

static void bench(struct clzi_device *dev, const struct op_case *oc)
{
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    struct problem p;
    struct session s;
    struct result r;
    char text[200];
    double work, forward, backward = 0;
    bool sums;

    problem_open(&p, oc);
    problem_fill(&p, 1);
    result_open(&r, &p);
    describe(&p, text, sizeof text);
    sums = (p.w_count[0] && p.params[0].rank >= 2) || oc->op == CLZI_OP_ATTENTION;
    if (oc->op == CLZI_OP_ATTENTION) {      // multiply-adds count two
        work = 2.0 * p.xs[0].n * p.xs[0].h * p.xs[0].w * p.xs[1].h * p.xs[1].w * (p.xs[1].c + p.xs[2].c);
    } else if (sums) {
        const struct clzi_shape small = oc->op == CLZI_OP_CONVT ? p.xs[0] : p.ys;
        work = 2.0 * small.n * small.h * small.w * p.w_count[0];
    } else {                                // bytes that must be read and written
        work = be->tensor_size(dev, p.ys);
        for (int k = 0; k < p.node.in_count; k++) work += be->tensor_size(dev, p.xs[k]);
    }
    REQUIRE(session_open(&s, dev, &p, 0) == 0);
    session_forward(&s, &r);
    forward = best_time(&s, s.op->forward);
    session_close(&s);
    if (s.op->backward) {
        REQUIRE(session_open(&s, dev, &p, ALL) == 0);
        session_forward(&s, &r);
        session_backward(&s, &r);
        session_forward(&s, &r);
        backward = best_time(&s, s.op->backward);
        session_close(&s);
    }
    printf("%-72s %9.3f ms %8.1f %s", text, forward * 1e3, work / forward * 1e-9, sums ? "GFLOP/s" : "GB/s   ");
    if (backward) printf("   backward %9.3f ms %8.1f", backward * 1e3, (sums ? 2 : 1) * work / backward * 1e-9);
    printf("\n");
    fflush(stdout);
    result_close(&r);
    problem_close(&p);
}

// ---- all of it ----

struct options { const char *device; int op; bool errors, bench; };

static bool chosen(const struct options *o, int op) { return op != CLZI_OP_INPUT && (o->op < 0 || o->op == op); }

static void print_message(void *priv, enum clz_log_level level, const char *text)
{
    (void)priv, (void)level;
    printf("  %s\n", text);
}

// The case's name lives until the next CASE.
static const char *title(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *title(const char *format, ...)
{
    static char text[2][128];
    static int turn;
    va_list args;

    turn = !turn;
    va_start(args, format);
    vsnprintf(text[turn], sizeof text[turn], format, args);
    va_end(args);
    return text[turn];
}

static void check_backend(const char *device, enum clz_precision precision, const struct options *o)
{
    static const char *const names[] = {
        [CLZ_PRECISION_F32] = "f32", [CLZ_PRECISION_BF16] = "bf16", [CLZ_PRECISION_F16] = "f16",
    };
    struct clzi_device *dev, *ref;
    const char *name = names[precision];
    const struct clz_log log = { print_message, NULL, CLZ_LOG_WARNING };
    const struct clzi_device_params params = { .precision = precision, .log = log };
    const int ret = clzi_device_open(&dev, device, &params);
    const struct clzi_backend *be;

    if (ret == -ENOTSUP) {
        printf("none %s %s on this machine\n", device, name);
        return;
    }
    REQUIRE_INT(ret, 0);
    if (ret < 0) return;
    be = clzi_device_base(dev)->backend;
    REQUIRE_INT(clzi_device_enter(dev), 0);
    REQUIRE_INT(clzi_device_open(&ref, "ref", &(struct clzi_device_params){ .precision = CLZ_PRECISION_F32 }), 0);
    REQUIRE_INT(clzi_device_base(dev)->precision, precision);
    printf("---- %s, %d threads\n", clzi_device_base(dev)->describe, clzi_device_base(dev)->threads);
    for (size_t i = 0; o->bench && i < sizeof bench_cases / sizeof *bench_cases; i++)
        if (chosen(o, bench_cases[i].op) && be->ops[bench_cases[i].op]) bench(dev, &bench_cases[i]);
    for (int op = 0; !o->bench && op < CLZI_OP_COUNT; op++) {
        if (!chosen(o, op)) continue;
        if (!be->ops[op]) {
            printf("none %s has no %s\n", be->name, clzi_ops[op].name);
            continue;
        }
        CASE(title("ops/%s_%s/%s_as_the_reference", be->name, name, clzi_ops[op].name));
        check_op(dev, ref, op, o->errors);
    }
    if (!o->bench && o->op < 0) {
        CASE(title("ops/%s_%s/memory_vectors_adam_ema", be->name, name));
        check_device(dev);
    }
    if (!o->bench && chosen(o, CLZI_OP_BATCHNORM) && be->ops[CLZI_OP_BATCHNORM]) {
        CASE(title("ops/%s_%s/batchnorm_of_four_numbers", be->name, name));
        check_norm_of_four(dev);
    }
    if (!o->bench && chosen(o, CLZI_OP_DROPOUT) && be->ops[CLZI_OP_DROPOUT]) {
        CASE(title("ops/%s_%s/dropout_keeps_its_share", be->name, name));
        check_dropout(dev);
    }
    clzi_device_leave(dev);
    clzi_device_close(&dev);
    clzi_device_close(&ref);
}

static void check_ref(const struct options *o)
{
    struct clzi_device *ref;

    REQUIRE(clzi_device_open(&ref, "ref", &(struct clzi_device_params){ 0 }) == 0);
    for (int op = 0; op < CLZI_OP_COUNT; op++) {
        if (!chosen(o, op)) continue;
        CASE(title("ops/ref/%s_gradient_is_the_slope", clzi_ops[op].name));
        check_slopes(ref, op, o->errors);
    }
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        if (!chosen(o, goldens[i].oc.op)) continue;
        CASE(title("ops/ref/%s_as_pytorch_%zu", clzi_ops[goldens[i].oc.op].name, i));
        check_golden(ref, &goldens[i], o->errors);
    }
    if (o->op < 0) {
        CASE("ops/ref/threads_change_nothing");
        check_threads();
    }
    clzi_device_close(&ref);
}

int main(int argc, char **argv)
{
    struct options o = { .op = -1 };

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench")) o.bench = true;
        else if (!strcmp(argv[i], "--errors")) o.errors = true;
        else if (!strcmp(argv[i], "--device") && i + 1 < argc) o.device = argv[++i];
        else if ((o.op = clzi_op_find(argv[i])) < 0) {
            fprintf(stderr, "usage: ops [--device NAME] [--errors] [--bench] [OP]\n");
            return 2;
        }
    }
    for (int i = 0; clzi_backends[i]; i++) {
        const char *name = clzi_backends[i]->name;
        if (o.device ? strcmp(o.device, name) : o.bench && !strcmp(name, "ref")) continue;
        check_backend(name, CLZ_PRECISION_F32, &o);
        check_backend(name, CLZ_PRECISION_BF16, &o);
    }
    for (int p = CLZ_PRECISION_F32; p <= CLZ_PRECISION_F16; p++)
        if (!o.device || !strcmp(o.device, "cuda")) check_backend("cuda", p, &o);
    if (!o.bench && (!o.device || !strcmp(o.device, "ref"))) check_ref(&o);
    return o.bench ? check_state.failed_here : check_end();
}
