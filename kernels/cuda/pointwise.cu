// pointwise.cu - ops whose result at an element depends on that element and on a vector at most; dropout.
#include "device.cuh"

#include "kernels/dropout.h"
#include "sums.cuh"

// ---- of whole tensors, whatever their shape: one vector of 128 bits a thread ----

// y[i] = op(x[i]) or, with two inputs, op(a[i], b[i]). The last elements, which fill no vector, fall to the last thread. y may be
// an input: a thread reads what it writes before it writes.
template <typename T, typename OP> static __global__ void map1(T *y, const T *x, int64_t count, OP op)
{
    const int V = vector_of<T>::count;
    const int64_t i = (int64_t)thread_number() * V;
    float v[V];

    if (i + V <= count) {
        load(v, x + i);
#pragma unroll
        for (int k = 0; k < V; k++) v[k] = op(v[k]);
        store(y + i, v);
    } else {
        for (int64_t k = i; k < count; k++) y[k] = put<T>(op(get(x[k])));
    }
}

template <typename T, typename OP> static __global__ void map2(T *y, const T *a, const T *b, int64_t count, OP op)
{
    const int V = vector_of<T>::count;
    const int64_t i = (int64_t)thread_number() * V;
    float v[V], w[V];

    if (i + V <= count) {
        load(v, a + i);
        load(w, b + i);
#pragma unroll
        for (int k = 0; k < V; k++) v[k] = op(v[k], w[k]);
        store(y + i, v);
    } else {
        for (int64_t k = i; k < count; k++) y[k] = put<T>(op(get(a[k]), get(b[k])));
    }
}

template <typename T, typename OP> static int run1(void *y, const void *x, int64_t count, OP op, clzk_stream stream)
{
    return clzk_launch(map1<T, OP>, blocks_of(divide_up(count, vector_of<T>::count)), dim3(THREADS), stream, (T *)y, (const T *)x,
                       count, op);
}

template <typename T, typename OP>
static int run2(void *y, const void *a, const void *b, int64_t count, OP op, clzk_stream stream)
{
    return clzk_launch(map2<T, OP>, blocks_of(divide_up(count, vector_of<T>::count)), dim3(THREADS), stream, (T *)y, (const T *)a,
                       (const T *)b, count, op);
}

namespace {
struct act_op {
    struct clzk_activation a;
    __device__ float operator()(float x) const { return activate(x, a); }
};
struct act_back_op {
    struct clzk_activation a;
    __device__ float operator()(float y, float dy) const { return dy * activation_slope(y, a); }
};
struct add_op {
    struct clzk_activation a;
    __device__ float operator()(float x, float y) const { return activate(x + y, a); }
};
struct gain_op {
    const float *gamma;
    __device__ float operator()(float x) const { return *gamma * x; }
};
struct clamp_op {
    float limit;
    __device__ float operator()(float x) const { return x < -limit ? -limit : x > limit ? limit : x; }
};
struct clamp_back_op {
    float limit;
    __device__ float operator()(float x, float dy) const { return x > -limit && x < limit ? dy : 0; }
};
} // namespace

int clzk_cu_act(clzk_stream stream, enum clzk_type type, void *y, const void *x, int64_t count, struct clzk_activation act)
{
    const act_op op = { act };

    return count ? BY_TYPE(type, run1, y, x, count, op, stream) : 0;
}

int clzk_cu_act_back(clzk_stream stream, enum clzk_type type, void *dx, const void *y, const void *dy, int64_t count,
                     struct clzk_activation act)
{
    const act_back_op op = { act };

    return count ? BY_TYPE(type, run2, dx, y, dy, count, op, stream) : 0;
}

int clzk_cu_add(clzk_stream stream, enum clzk_type type, void *y, const void *a, const void *b, int64_t count,
                struct clzk_activation act)
{
    const add_op op = { act };

    return count ? BY_TYPE(type, run2, y, a, b, count, op, stream) : 0;
}

int clzk_cu_clamp(clzk_stream stream, enum clzk_type type, void *y, const void *x, int64_t count, float limit)
{
    const clamp_op op = { limit };

    return count ? BY_TYPE(type, run1, y, x, count, op, stream) : 0;
}

int clzk_cu_clamp_back(clzk_stream stream, enum clzk_type type, void *dx, const void *x, const void *dy, int64_t count,
                       float limit)
{
    const clamp_back_op op = { limit };

    return count ? BY_TYPE(type, run2, dx, x, dy, count, op, stream) : 0;
}

int clzk_cu_gain(clzk_stream stream, enum clzk_type type, void *y, const void *x, int64_t count, const float *gamma)
{
    const gain_op op = { gamma };

    return count ? BY_TYPE(type, run1, y, x, count, op, stream) : 0;
}

namespace {
template <typename T> struct dot_term {
    const T *a, *b;
    __device__ float operator()(int64_t i) const { return get(a[i]) * get(b[i]); }
};
} // namespace

template <typename T>
static int gain_back(void *dx, float *dgamma, const void *dy, const void *x, int64_t count, const float *gamma, void *work,
                     clzk_stream stream)
{
    int ret = 0;

    if (dgamma) {
        const dot_term<T> term = { (const T *)dy, (const T *)x };
        ret = total(dgamma, term, count, 1, true, (float *)work, stream);
    }
    if (ret || !dx) return ret;
    const gain_op op = { gamma };
    return run1<T>(dx, dy, count, op, stream);
}

int clzk_cu_gain_back(clzk_stream stream, enum clzk_type type, void *dx, float *dgamma, const void *dy, const void *x,
                      int64_t count, const float *gamma, void *work)
{
    return count ? BY_TYPE(type, gain_back, dx, dgamma, dy, x, count, gamma, work, stream) : 0;
}

// ---- by vectors: [n][area][c] with a number for each channel, or for each picture and channel ----

template <typename T, int V>
static __global__ void by_channel(T *y, const T *x, struct row_loop loop, const float *scale, const float *shift,
                                  struct clzk_activation act)
{
    const uint32_t i = thread_number(), k = i % loop.groups * V;
    float factor[V], summand[V], v[V];

    if (i / loop.groups >= loop.row_groups) return;
#pragma unroll
    for (int j = 0; j < V; j++) {
        factor[j] = scale ? scale[k + j] : 1;
        summand[j] = shift ? shift[k + j] : 0;
    }
    for (int64_t row = i / loop.groups; row < loop.rows; row += loop.row_groups) {
        const int64_t at = row * loop.groups * V + k;
        load(v, x + at);
#pragma unroll
        for (int j = 0; j < V; j++) v[j] = activate(v[j] * factor[j] + summand[j], act);
        store(y + at, v);
    }
}

template <typename T, int V>
static int channels(void *y, const void *x, int64_t pixels, int c, const float *scale, const float *shift,
                    struct clzk_activation act, clzk_stream stream)
{
    const struct row_loop loop = row_loop(pixels, c, V);

    return clzk_launch(by_channel<T, V>, row_loop_blocks(loop), dim3(THREADS), stream, (T *)y, (const T *)x, loop, scale, shift,
                       act);
}

int clzk_cu_channels(clzk_stream stream, enum clzk_type type, void *y, const void *x, int64_t pixels, int c, const float *scale,
                     const float *shift, struct clzk_activation act)
{
    return pixels && c ? BY_TYPE_AND_WIDTH(type, c, channels, y, x, pixels, c, scale, shift, act, stream) : 0;
}

// y = x scale + shift; scale and shift [n][c] of T; shift NULL: 0.
template <typename T, int V>
static __global__ void by_picture(T *y, const T *x, const T *scale, const T *shift, uint32_t count, uint32_t c, uint32_t area)
{
    const uint32_t i = thread_number(), k = i % (c / V) * V;
    float v[V], s[V], t[V] = {};

    if (i >= count) return;
    const int64_t at = (int64_t)(i / (c / V) / area) * c + k;
    load(v, x + (int64_t)i * V);
    load(s, scale + at);
    if (shift) load(t, shift + at);
#pragma unroll
    for (int j = 0; j < V; j++) v[j] = v[j] * s[j] + t[j];
    store(y + (int64_t)i * V, v);
}

template <typename T, int V>
static int affine(void *y, const void *x, const void *scale, const void *shift, int n, int64_t area, int c, clzk_stream stream)
{
    const int64_t count = n * area * (c / V);

    return clzk_launch(by_picture<T, V>, blocks_of(count), dim3(THREADS), stream, (T *)y, (const T *)x, (const T *)scale,
                       (const T *)shift, (uint32_t)count, (uint32_t)c, (uint32_t)area);
}

int clzk_cu_affine(clzk_stream stream, enum clzk_type type, void *y, const void *x, const void *scale, const void *shift, int n,
                   int64_t area, int c)
{
    return n && area && c ? BY_TYPE_AND_WIDTH(type, c, affine, y, x, scale, shift, n, area, c, stream) : 0;
}

namespace {
// The terms of FiLM's gradients: dy and dy x.
template <typename T> struct affine_terms {
    static const int count = 2;
    const T *dy, *x;
    template <int V> __device__ void operator()(float (&term)[2][V], int64_t at, int) const
    {
        load(term[0], dy + at);
#pragma unroll
        for (int j = 0; j < V; j++) term[1][j] = 0;
        if (!x) return;
        load(term[1], x + at);
#pragma unroll
        for (int j = 0; j < V; j++) term[1][j] *= term[0][j];
    }
};
template <typename T> struct affine_sums {
    T *dscale, *dshift;
    __device__ void operator()(const float (&sum)[2], int n, int c, int channels) const
    {
        if (dshift) dshift[(int64_t)n * channels + c] = put<T>(sum[0]);
        if (dscale) dscale[(int64_t)n * channels + c] = put<T>(sum[1]);
    }
};

template <typename T> struct bias_term {
    static const int count = 1;
    const T *dz;
    template <int V> __device__ void operator()(float (&term)[1][V], int64_t at, int) const { load(term[0], dz + at); }
};
struct bias_sum {
    float *db;
    __device__ void operator()(const float (&sum)[1], int, int c, int) const { db[c] += sum[0]; }
};
} // namespace

template <typename T>
static int affine_back(void *dscale, void *dshift, const void *dy, const void *x, int n, int64_t area, int c, void *work,
                       clzk_stream stream)
{
    const affine_terms<T> terms = { (const T *)dy, dscale ? (const T *)x : NULL };
    const affine_sums<T> sums = { (T *)dscale, (T *)dshift };

    return channel_sums(terms, sums, n, area, c, (float *)work, stream);
}

int clzk_cu_affine_back(clzk_stream stream, enum clzk_type type, void *dx, void *dscale, void *dshift, const void *dy,
                        const void *x, const void *scale, int n, int64_t area, int c, void *work)
{
    int ret = 0;

    if (!n || !area || !c) return 0;
    if (dscale || dshift) ret = BY_TYPE(type, affine_back, dscale, dshift, dy, x, n, area, c, work, stream);
    return ret || !dx ? ret : BY_TYPE_AND_WIDTH(type, c, affine, dx, dy, scale, NULL, n, area, c, stream);
}

template <typename T> static int bias_back(float *db, const void *dz, int64_t pixels, int c, void *work, clzk_stream stream)
{
    const bias_term<T> terms = { (const T *)dz };
    const bias_sum sum = { db };

    return channel_sums(terms, sum, 1, pixels, c, (float *)work, stream);
}

int clzk_cu_bias_back(clzk_stream stream, enum clzk_type type, float *db, const void *dz, int64_t pixels, int c, void *work)
{
    return pixels && c ? BY_TYPE(type, bias_back, db, dz, pixels, c, work, stream) : 0;
}

size_t clzk_cu_sums_size(int n, int64_t rows, int c)
{
    return n && rows && c ? (sums_floats(n, rows, c) + 2 * (size_t)c) * sizeof(float) : 0;
}

// ---- dropout ----

// Word e of the mask belongs to element e of dense NCHW: four pixels that follow each other share a block of words. ALIGNED:
// planes begin with whole blocks, and a thread takes a block; else it takes one element. Neighbouring threads have neighbouring
// channels.
template <typename T, bool ALIGNED>
static __global__ void dropout(T *y, const T *x, uint32_t count, uint32_t area, uint32_t c, uint32_t threshold, float scale,
                               const uint64_t *seed, uint64_t node)
{
    const uint32_t STEP = ALIGNED ? 4 : 1, i = thread_number();
    uint32_t words[4];

    if (i >= count) return;
    const uint32_t k = i % c, pixel = i / c * STEP, n = pixel / area;      // pixel: of all pictures
    const uint64_t element = ((uint64_t)n * c + k) * area + pixel % area;
    clzk_dropout_block(*seed, node, element / 4, words);
#pragma unroll
    for (uint32_t j = 0; j < STEP; j++) {
        const int64_t at = (int64_t)(pixel + j) * c + k;
        const uint32_t word = ALIGNED ? words[j] : element % 4 < 2 ? (element % 4 ? words[1] : words[0]) :
                              element % 4 == 2 ? words[2] : words[3];
        y[at] = put<T>(word >= threshold ? get(x[at]) * scale : 0);
    }
}

template <typename T>
static int dropout_launch(void *y, const void *x, int n, int64_t area, int c, float p, const uint64_t *seed, uint64_t node,
                          clzk_stream stream)
{
    const bool whole = area % 4 == 0;
    const int64_t count = n * area * c / (whole ? 4 : 1);

    return clzk_launch(whole ? dropout<T, true> : dropout<T, false>, blocks_of(count), dim3(THREADS), stream, (T *)y,
                       (const T *)x, (uint32_t)count, (uint32_t)area, (uint32_t)c, clzk_dropout_threshold(p),
                       (float)(1 / (1 - (double)p)), seed, node);
}

int clzk_cu_dropout(clzk_stream stream, enum clzk_type type, void *y, const void *x, int n, int64_t area, int c, float p,
                    const uint64_t *seed, uint64_t node)
{
    return n && area && c ? BY_TYPE(type, dropout_launch, y, x, n, area, c, p, seed, node, stream) : 0;
}
