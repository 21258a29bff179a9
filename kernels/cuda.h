// cuda.h - launch functions of our own CUDA kernels (kernels/cuda/*.cu), callable from C.
//
// Rules for all of them:
// - A function queues its kernels on `stream` (a cudaStream_t) and returns a cudaError_t as int; 0: queued. None allocates,
//   synchronises, reads device memory on the host or keeps state, so all may be captured into a CUDA graph. Arguments are not
//   checked. A count of 0 launches nothing.
// - Pointers are to device memory unless the comment says host.
// - Activations are dense NHWC, elements of `type`, base aligned to 16 bytes, fewer than 2^32; arithmetic and sums are in f32.
//   `pixels` is N * H * W. y and dx may be the same memory as x and dy where the comment says "in place".
// - Parameters and their gradients are dense f32 in PyTorch's layout, aligned to 4 bytes. Gradients of activations (dx) are
//   overwritten, gradients of parameters (dw, db, dgamma) are added to. A pointer to a gradient may be NULL: not wanted.
// - `work` is scratch memory aligned to 16 bytes, of the size that the function named beside it returns. It holds nothing between
//   calls, so all calls queued on one stream may share one buffer of the largest size.
// - Results do not depend on the device or on the order in which blocks run: sums are taken in an order that depends on the
//   shapes alone. No floating-point atomics.
// Thread-safety: all functions may be called from any thread.
#ifndef CLZK_CUDA_H
#define CLZK_CUDA_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "frame.h"
#include "nn.h"

#ifdef __cplusplus
extern "C" {
#endif

struct CUstream_st;
typedef struct CUstream_st *clzk_stream;        // = cudaStream_t

enum clzk_type { CLZK_F32, CLZK_F16, CLZK_BF16, CLZK_TYPE_COUNT };
static inline size_t clzk_type_size(enum clzk_type type) { return type == CLZK_F32 ? 4 : 2; }

// ---- layout (layout.cu) ----

// Dense [n][c][area] f32 -> [n][area][c] of type: an NCHW picture to NHWC. The same call packs weights: PyTorch's conv [K,C,R,S]
// and convt [I,O,R,S] become KRSC with n = K (or I), area = R S; a depthwise weight [C,1,R,S] becomes [R S][C] with n = 1.
int clzk_cu_from_nchw(clzk_stream stream, enum clzk_type type, void *y, const float *x, int n, int c, int64_t area);

// The inverse. add: y += x instead of y = x, which adds a KRSC weight gradient to its slab.
int clzk_cu_to_nchw(clzk_stream stream, enum clzk_type type, float *y, const void *x, int n, int c, int64_t area, bool add);

// y = x in another type, rounded to nearest even. In place only if the sizes are equal.
int clzk_cu_cast(clzk_stream stream, enum clzk_type to, void *y, enum clzk_type from, const void *x, int64_t count);

// Channels of a, then channels of b. split: the inverse (da, db may be NULL).
int clzk_cu_concat(clzk_stream stream, enum clzk_type type, void *y, const void *a, const void *b, int64_t pixels, int a_c,
                   int b_c);
int clzk_cu_split(clzk_stream stream, enum clzk_type type, void *da, void *db, const void *dy, int64_t pixels, int a_c, int b_c);

// PixelShuffle: x [n][h][w][c f f] -> y [n][h f][w f][c]; element c*f*f + i*f + j becomes pixel (i, j). back: dy to dx.
int clzk_cu_shuffle(clzk_stream stream, enum clzk_type type, void *y, const void *x, int n, int h, int w, int c, int factor);
int clzk_cu_shuffle_back(clzk_stream stream, enum clzk_type type, void *dx, const void *dy, int n, int h, int w, int c,
                         int factor);

// Writes up to 64 bytes of host memory, read during the call, to device memory in stream order: seeds, rates of Adam.
int clzk_cu_store(clzk_stream stream, void *to, const void *from_host, size_t size);

// ---- pointwise (pointwise.cu) ----

// y = act(x); dx = dy act'(y), the derivative computed from y. In place.
int clzk_cu_act(clzk_stream stream, enum clzk_type type, void *y, const void *x, int64_t count, struct clzk_activation act);
int clzk_cu_act_back(clzk_stream stream, enum clzk_type type, void *dx, const void *y, const void *dy, int64_t count,
                     struct clzk_activation act);

// y = act(a + b). In place of a or b: the backend's add() is y = a.
int clzk_cu_add(clzk_stream stream, enum clzk_type type, void *y, const void *a, const void *b, int64_t count,
                struct clzk_activation act);

// y = act(x scale[c] + shift[c]): a folded batch norm; scale NULL: 1, a bias; shift NULL: 0. f32 vectors. In place.
int clzk_cu_channels(clzk_stream stream, enum clzk_type type, void *y, const void *x, int64_t pixels, int c, const float *scale,
                     const float *shift, struct clzk_activation act);

// db[c] += sum over pixels of dz. work: clzk_cu_sums_size(1, pixels, c).
int clzk_cu_bias_back(clzk_stream stream, enum clzk_type type, float *db, const void *dz, int64_t pixels, int c, void *work);

// FiLM: y = x scale[n][c] + shift[n][c], x [n][area][c], scale and shift [n][c] of type. In place.
int clzk_cu_affine(clzk_stream stream, enum clzk_type type, void *y, const void *x, const void *scale, const void *shift, int n,
                   int64_t area, int c);
// dx = dy scale, dscale = sum dy x, dshift = sum dy over a picture's pixels (of type, overwritten). x may be NULL without dscale.
// work: clzk_cu_sums_size(n, area, c).
int clzk_cu_affine_back(clzk_stream stream, enum clzk_type type, void *dx, void *dscale, void *dshift, const void *dy,
                        const void *x, const void *scale, int n, int64_t area, int c, void *work);

// y = gamma[0] x. In place. back: dx = gamma[0] dy, dgamma[0] += sum dy x (x may be NULL without dgamma).
// work: CLZK_CU_SCALAR_WORK bytes.
int clzk_cu_gain(clzk_stream stream, enum clzk_type type, void *y, const void *x, int64_t count, const float *gamma);
int clzk_cu_gain_back(clzk_stream stream, enum clzk_type type, void *dx, float *dgamma, const void *dy, const void *x,
                      int64_t count, const float *gamma, void *work);

// y = x held within [-limit, limit]; dx = dy where x is strictly inside, else 0. In place (dx = dy).
int clzk_cu_clamp(clzk_stream stream, enum clzk_type type, void *y, const void *x, int64_t count, float limit);
int clzk_cu_clamp_back(clzk_stream stream, enum clzk_type type, void *dx, const void *x, const void *dy, int64_t count,
                       float limit);

// Zeroes elements with probability p and multiplies the others by 1 / (1 - p); backward is the same call on dy. The elements are
// those of dropout.h: *seed is the key (device memory, so that a captured graph sees each step's), node the stream of the node's
// name, clzk_dropout_stream(). In place.
int clzk_cu_dropout(clzk_stream stream, enum clzk_type type, void *y, const void *x, int n, int64_t area, int c, float p,
                    const uint64_t *seed, uint64_t node);

// Scratch of functions that sum [n][rows][c] over rows, and of those that make one number.
size_t clzk_cu_sums_size(int n, int64_t rows, int c);
enum { CLZK_CU_SCALAR_WORK = 4096 };

// ---- depthwise convolution (depthwise.cu) ----

// p as in nn.h: windows begin at (oy stride - pad, ox stride - pad) and are 0 outside the picture; oh and ow hold what pad_extra
// adds. Any k and stride; 3 and 5 with strides 1 and 2 are the fast ones, as are channels that are a multiple of
// 8 (f32: 4). w: [k k][channels] f32, packed by clzk_cu_from_nchw(F32, n = 1); bias NULL: 0.
int clzk_cu_depthwise(clzk_stream stream, enum clzk_type type, void *y, const void *x, const float *w, const float *bias, int n,
                      const struct clzk_depthwise *p, struct clzk_activation act);
int clzk_cu_depthwise_back(clzk_stream stream, enum clzk_type type, void *dx, const void *dy, const float *w, int n,
                           const struct clzk_depthwise *p);
// dw [channels][k k] += (PyTorch's layout, straight into the slab). dy is the gradient before the activation.
int clzk_cu_depthwise_weights(clzk_stream stream, enum clzk_type type, float *dw, const void *x, const void *dy, int n,
                              const struct clzk_depthwise *p, void *work);
size_t clzk_cu_depthwise_size(int n, const struct clzk_depthwise *p);          // of work

// ---- batch norm (norm.cu) ----

struct clzk_cu_norm {
    int64_t pixels;
    int c;
    float eps, momentum;                        // as PyTorch's
    bool batch;                                 // statistics of the batch (training); false: the running ones, as constants
    struct clzk_activation act;
};
// y = act((x - mean) / sqrt(var + eps) gamma + beta). With batch, running_mean and running_var move by momentum (var divided by
// the count - 1). saved: [2][c] f32, mean and 1 / sqrt(var + eps), which backward reads. In place is allowed only if backward is
// not called. work: clzk_cu_sums_size(1, pixels, c).
int clzk_cu_norm(clzk_stream stream, enum clzk_type type, void *y, const void *x, const float *gamma, const float *beta,
                 float *running_mean, float *running_var, float *saved, const struct clzk_cu_norm *p, void *work);
// dx, dgamma and dbeta from dy; the activation's slope is computed from x again, y is not needed. In place (dx = dy).
int clzk_cu_norm_back(clzk_stream stream, enum clzk_type type, void *dx, float *dgamma, float *dbeta, const void *dy,
                      const void *x, const float *gamma, const float *beta, const float *saved,
                      const struct clzk_cu_norm *p, void *work);

// ---- windows and sizes (resample.cu) ----

// p as in nn.h, pad <= k / 2. index [n][oh][ow][channels]: where in the window the maximum was (k row + column); NULL: backward
// is not called; it is aligned to 8 bytes, and k is 16 at most. The first maximum in scan order wins, NaN over numbers.
int clzk_cu_maxpool(clzk_stream stream, enum clzk_type type, void *y, uint8_t *index, const void *x, int n,
                    const struct clzk_pool *p);
int clzk_cu_maxpool_back(clzk_stream stream, enum clzk_type type, void *dx, const uint8_t *index, const void *dy, int n,
                         const struct clzk_pool *p);

// Mean of each window; zeros around the picture count.
int clzk_cu_avgpool(clzk_stream stream, enum clzk_type type, void *y, const void *x, int n, const struct clzk_pool *p);
int clzk_cu_avgpool_back(clzk_stream stream, enum clzk_type type, void *dx, const void *dy, int n, const struct clzk_pool *p);

// x [n][area][c] -> y [n][c], the mean. work: clzk_cu_sums_size(n, area, c).
int clzk_cu_globalpool(clzk_stream stream, enum clzk_type type, void *y, const void *x, int n, int64_t area, int c, void *work);
int clzk_cu_globalpool_back(clzk_stream stream, enum clzk_type type, void *dx, const void *dy, int n, int64_t area, int c);

// Bilinear enlargement of x [n][h][w][c] by an integer factor, half-pixel centres, edges repeated. back: dy [n][h f][w f][c] to
// dx.
int clzk_cu_resize(clzk_stream stream, enum clzk_type type, void *y, const void *x, int n, int h, int w, int c, int factor);
int clzk_cu_resize_back(clzk_stream stream, enum clzk_type type, void *dx, const void *dy, int n, int h, int w, int c,
                         int factor);

// ---- softmax (softmax.cu) ----

// Rows of `columns` numbers, contiguous: y = softmax(scale x) within each row. Over channels: rows = pixels, columns = c. In
// attention: rows = positions of q, columns = positions of k. In place.
// back: dx = scale y (dy - sum of y dy). In place (dx = dy).
int clzk_cu_softmax(clzk_stream stream, enum clzk_type type, void *y, const void *x, int64_t rows, int columns, float scale);
int clzk_cu_softmax_back(clzk_stream stream, enum clzk_type type, void *dx, const void *y, const void *dy, int64_t rows,
                         int columns, float scale);

// ---- losses (loss.cu): one f32 number ----

// *out = mean of weight[pixel] loss(x, t). t NULL: loss.target; weight [pixels] of type, NULL: 1. LSGAN is L2 against the target.
// work: CLZK_CU_SCALAR_WORK.
int clzk_cu_loss(clzk_stream stream, enum clzk_type type, float *out, const void *x, const void *t, const void *weight,
                 int64_t pixels, int c, struct clzk_loss loss, void *work);
// dx = *dy times the derivative of that number. dy: f32.
int clzk_cu_loss_back(clzk_stream stream, enum clzk_type type, void *dx, const float *dy, const void *x, const void *t,
                      const void *weight, int64_t pixels, int c, struct clzk_loss loss);
// *out = mean over pictures of |mean chroma of x - mean chroma of t|, chroma = sqrt(a^2 + b^2 + eps); x, t [n][area][2].
// difference [n] f32: of each picture, kept for backward. work: clzk_cu_sums_size(n, area, 2).
int clzk_cu_chroma(clzk_stream stream, enum clzk_type type, float *out, float *difference, const void *x, const void *t, int n,
                   int64_t area, float eps, void *work);
int clzk_cu_chroma_back(clzk_stream stream, enum clzk_type type, void *dx, const float *dy, const float *difference,
                        const void *x, int n, int64_t area, float eps);

// ---- the picture in sRGB (rgb.cu): lab_math.h ----

// l [pixels], ab [pixels][2] as the networks have them -> y [pixels][3]. back: dl or dab may be NULL.
int clzk_cu_rgb(clzk_stream stream, enum clzk_type type, void *y, const void *l, const void *ab, int64_t pixels);
int clzk_cu_rgb_back(clzk_stream stream, enum clzk_type type, void *dl, void *dab, const void *l, const void *ab, const void *dy,
                     int64_t pixels);

// ---- logits of the classes of colour (ab_bins.cu): rows of CLZK_AB_BINS, contiguous ----

// y [rows][2]: the mean of the classes' ab / 110, weighted by softmax(scale x).
int clzk_cu_annealed_mean(clzk_stream stream, enum clzk_type type, void *y, const void *x, int64_t rows, float scale);
int clzk_cu_annealed_mean_back(clzk_stream stream, enum clzk_type type, void *dx, const void *x, const void *dy, int64_t rows,
                               float scale);
// *out = mean of weight[row] times the cross entropy of softmax(x) and the true colour t [rows][2]; weight NULL: 1.
// work: CLZK_CU_SCALAR_WORK and a float for each row.
int clzk_cu_cross_entropy(clzk_stream stream, enum clzk_type type, float *out, const void *x, const void *t, const void *weight,
                          int64_t rows, void *work);
int clzk_cu_cross_entropy_back(clzk_stream stream, enum clzk_type type, void *dx, const float *dy, const void *x, const void *t,
                               const void *weight, int64_t rows);

// ---- training, on whole slabs of f32 (train.cu); what each does: struct clzi_train_ops in engine/backend.h ----

// state: struct clzi_train_state in device memory, { scale, good, bad, reserved }.
int clzk_cu_train_zero(clzk_stream stream, float *v, int64_t count);
int clzk_cu_train_copy(clzk_stream stream, float *to, const float *from, int64_t count);
int clzk_cu_train_check(clzk_stream stream, float *state, const float *v, int64_t count);
int clzk_cu_train_seed(clzk_stream stream, float *dy, float weight, const float *state);
// a: host, read during the call, unless `rates`, the same struct in device memory, is given: for captured graphs, in which lr and
// the step's corrections change. unscale is ignored: the gradient is divided by the state's scale.
int clzk_cu_train_adam(clzk_stream stream, const struct clzk_adam *a, const struct clzk_adam *rates, float *w, const float *g,
                       float *m, float *v, int64_t count, const float *state);
int clzk_cu_train_restore(clzk_stream stream, float *to, const float *from, int64_t count, const float *state);
int clzk_cu_train_ema(clzk_stream stream, float *average, const float *w, float decay, int64_t count, const float *state);
int clzk_cu_train_advance(clzk_stream stream, float *state, bool dynamic);
// work: CLZK_CU_SCALAR_WORK, aligned to 8 bytes.
int clzk_cu_train_spectral(clzk_stream stream, float *to, const float *w, float *u, float *v, float *sigma, int rows,
                           int64_t columns);
int clzk_cu_train_spectral_gradient(clzk_stream stream, float *dw, const float *to, const float *u, const float *v,
                                    const float *sigma, int rows, int64_t columns, void *work);
// Host: the rates of step `step` (from 1) in the form that Adam's kernel takes.
struct clzk_adam clzk_adam_rates(float lr, float beta1, float beta2, float eps, float decay, int64_t step);

// ---- colour (frame.cu, frame_tables.c) ----
//
// A struct clzk_picture describes a frame on the device as it does on the host (frame.h): c[].data is device memory, of any
// alignment and stride; sample type, packing, byte order, range and siting as there. The results are those of
// frame.c, but for rounding: luma that is copied is equal bit for bit.

// A colour table in device memory.
struct clzk_cu_colours { const float *l_of_luma; const uint32_t *uv; const float *shift; };
// Host: bytes of the table; writes it to `block` (host), which the caller copies to `device` (aligned to 16 bytes).
size_t clzk_cu_colours_size(const struct clzk_colour_table *table);
void clzk_cu_colours_fill(struct clzk_cu_colours *colours, const struct clzk_colour_table *table, void *block, void *device);

struct clzk_cu_axis { const int *first; const float *weight; int taps, n; };        // resampling; weight [taps][n]
struct clzk_cu_grid { const int *x_first, *y_first; const float *x_frac, *y_frac; int w, h; };

// One geometry, as clzk_frame_plan: a host struct that is passed to kernels by value.
struct clzk_cu_frame_plan {
    struct clzk_picture in, out;                // geometry and formats; data is not used
    int w, h;                                   // the network's picture
    struct clzk_cu_axis x, y;
    struct clzk_cu_grid chroma, full;
    struct clzk_cu_colours colours;
    struct clzk_luma_weights weights;           // of the colour table
    struct clzk_rgb_of_yuv rgb;
    bool lstar;
    float spatial[4][7];                        // the bilateral filter's weights by distance in rows, position in the row
};
// Host: bytes of the plan's tables; fills the plan and writes the tables to `block` (host), which the caller copies to `device`
// (aligned to 16 bytes). table: for out's weights; colours: the same table on the device. Both must outlive the plan.
size_t clzk_cu_frame_plan_size(const struct clzk_picture *in, const struct clzk_picture *out, int w, int h);
void clzk_cu_frame_plan_fill(struct clzk_cu_frame_plan *plan, const struct clzk_picture *in, const struct clzk_picture *out,
                             int w, int h, const struct clzk_colour_table *table, const struct clzk_cu_colours *colours,
                             void *block, void *device);

// n frames of one geometry and format, each with its own memory; in: host array [n]. y [n][h][w] f32 = Y' of the network's
// picture; l: L* / scale - offset of its grey pixel, written to every `channels`-th element: channel 0 of an input tensor
// [n][h][w][channels] of type. One launch for up to 16 frames.
int clzk_cu_frames_to_l(clzk_stream stream, const struct clzk_cu_frame_plan *plan, int n, const struct clzk_picture *in, float *y,
                        enum clzk_type type, void *l, int channels, float scale, float offset);
static inline int clzk_cu_frame_to_l(clzk_stream stream, const struct clzk_cu_frame_plan *plan, const struct clzk_picture *in,
                                     float *y, enum clzk_type type, void *l, int channels, float scale, float offset)
{
    return clzk_cu_frames_to_l(stream, plan, 1, in, y, type, l, channels, scale, offset);
}

// The relation of ab to Y' in n networks' pictures: joint bilateral and guided filter, at the network's size. y [n][h][w] f32;
// ab [n][h][w][channels] of type, channels 0 and 1 are a and b; gain (host, [n]): a and b times gain[i] are in Lab units.
// lines [n][h][w][4] f32, aligned to 16 bytes: what clzk_cu_frame_merge() reads. work: clzk_cu_frame_fit_size(). bad: int in
// device memory, set to 1 (never cleared) if an a or b is not finite or beyond +-1e6; NULL: not looked for.
int clzk_cu_frame_fit(clzk_stream stream, const struct clzk_cu_frame_plan *plan, int n, const float *y, enum clzk_type type,
                      const void *ab, int channels, const float *gain, float *lines, void *work, int *bad);
size_t clzk_cu_frame_fit_size(const struct clzk_cu_frame_plan *plan, int n);

// Writes the chroma (or R'G'B') of n frames, their luma, and their alpha, as clzk_frame_merge(). in, out: host arrays [n], one
// geometry and format each; lines [n][h][w][4]. A frame's in and out may share planes as there; samples that are shared and stay
// are not written. A few launches for up to 16 frames: two where luma is copied and there is no alpha. Chroma of half luma's
// width is computed with vectors if widths are multiples of 8 and planes and strides are aligned to 16 bytes.
int clzk_cu_frames_merge(clzk_stream stream, const struct clzk_cu_frame_plan *plan, int n, const struct clzk_picture *in,
                         const struct clzk_picture *out, const float *lines);
static inline int clzk_cu_frame_merge(clzk_stream stream, const struct clzk_cu_frame_plan *plan, const struct clzk_picture *in,
                                      const struct clzk_picture *out, const float *lines)
{
    return clzk_cu_frames_merge(stream, plan, 1, in, out, lines);
}

// Black bars (engine/bars.h). Of each frame `height` counts and then `width` counts: how many samples of luma (RGB: of green) are
// bright in the row; and in the column, between the first and last row that are not black, in every step-th row (kernels/bars.h);
// 0 if all rows are black. One geometry and format; counts [n][height + width].
int clzk_cu_bars(clzk_stream stream, int n, const struct clzk_picture *in, int *counts);

// Copies a frame without colouring it, as clzk_frame_copy().
int clzk_cu_frame_copy(clzk_stream stream, const struct clzk_picture *in, const struct clzk_picture *out);

#ifdef __cplusplus
}
#endif
#endif
