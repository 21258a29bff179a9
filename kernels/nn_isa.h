// nn_isa.h - the functions of nn.h for the instruction set of the including file, which defines ISA as the suffix of its tables.
// The pragma sets gcc's optimisation whatever CFLAGS say: -O3's cost model for unrolling and vectorising, and sqrtf as an
// instruction. No other file depends on the optimisation level.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3,no-math-errno,no-trapping-math,no-tree-loop-distribute-patterns")
#endif
#include <math.h>
#include <string.h>

#include "nn.h"

#ifdef _OPENMP
#define SIMD _Pragma("omp simd")
#else
#define SIMD
#endif
// Sums and maxima in vectors: their order depends on the instruction set, not on threads.
#ifdef _OPENMP
#define SIMD_SUM(...) PRAGMA(omp simd reduction(+: __VA_ARGS__))
#define SIMD_MAX(x) PRAGMA(omp simd reduction(max: x))
#define PRAGMA(x) _Pragma(#x)
#else
#define SIMD_SUM(...)
#define SIMD_MAX(x)
#endif
#define INLINE static inline __attribute__((always_inline))

enum { BLOCK = 64 };

// A register of floats, for loops that the compiler does not keep in registers by itself (depthwise convolution).
#if defined(__AVX512F__)
enum { VEC = 16 };
#elif defined(__AVX2__)
enum { VEC = 8 };
#else
enum { VEC = 4 };
#endif
typedef float vec __attribute__((vector_size(4 * VEC), aligned(4), may_alias));
typedef uint32_t vec_bits __attribute__((vector_size(4 * VEC), aligned(4), may_alias));
typedef uint16_t vec_half __attribute__((vector_size(2 * VEC), aligned(2), may_alias));

INLINE vec vec_all(float v)
{
    vec r;
    for (int i = 0; i < VEC; i++) r[i] = v;
    return r;
}

INLINE vec vec_load(const float *x) { return *(const vec *)x; }

// a where mask, else b
INLINE vec vec_select(vec_bits mask, vec a, vec b)
{
    return (vec)(((vec_bits)a & mask) | ((vec_bits)b & ~mask));
}

#define BY_ACT_CASE(act, call) case act: { const enum clzk_act A = act; call; break; }
#define BY_ACT(which, call)                          \
    switch (which) {                                 \
    BY_ACT_CASE(CLZK_ACT_NONE, call)                 \
    BY_ACT_CASE(CLZK_ACT_RELU, call)                 \
    BY_ACT_CASE(CLZK_ACT_LEAKY, call)                \
    BY_ACT_CASE(CLZK_ACT_TANH, call)                 \
    BY_ACT_CASE(CLZK_ACT_SIGMOID, call)              \
    BY_ACT_CASE(CLZK_ACT_RELU6, call)                \
    }

// e^x for x up to 0, relative error below 2e-7: 2^n times a polynomial of the remainder (expf of Cephes, S. Moshier). Below -87
// it is 0; what the formula gives there is left out, which takes fewer instructions than to clamp x.
INLINE float exponential(float x)
{
    const float shifted = x * 1.44269504f + 12582912.f, n = shifted - 12582912.f;           // rounds to an integer
    const float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f, scale;
    uint32_t bits;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.f;
    memcpy(&bits, &shifted, sizeof bits);       // its lowest bits are n; converting a NaN to an integer would be undefined
    bits = (bits + 127) << 23;
    memcpy(&scale, &bits, sizeof scale);
    return x < -87.f ? 0 : p * scale;
}

// tanh as an odd polynomial over an even one, with x clamped to where tanh rounds to 1 in float (the approximation of Eigen).
INLINE float hyperbolic_tangent(float v)
{
    const float x = v < -7.90531110763549805f ? -7.90531110763549805f : v > 7.90531110763549805f ? 7.90531110763549805f : v;
    const float s = x * x;
    float p = -2.76076847742355e-16f, q = 1.19825839466702e-06f;
    p = p * s + 2.00018790482477e-13f;
    p = p * s + -8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    q = q * s + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    return x * p / q;
}

INLINE float activate(float v, enum clzk_act act, float slope)
{
    return act == CLZK_ACT_RELU ? (v > 0 ? v : 0) : act == CLZK_ACT_LEAKY ? (v > 0 ? v : v * slope) :
           act == CLZK_ACT_TANH ? hyperbolic_tangent(v) :
           act == CLZK_ACT_SIGMOID ? 0.5f + 0.5f * hyperbolic_tangent(0.5f * v) :
           act == CLZK_ACT_RELU6 ? (v > 0 ? (v < 6 ? v : 6) : 0) : v;
}

INLINE float derivative(float y, enum clzk_act act, float slope)
{
    return act == CLZK_ACT_RELU ? (y > 0 ? 1.f : 0.f) : act == CLZK_ACT_LEAKY ? (y > 0 ? 1.f : slope) :
           act == CLZK_ACT_TANH ? 1 - y * y : act == CLZK_ACT_SIGMOID ? y * (1 - y) :
           act == CLZK_ACT_RELU6 ? (y > 0 && y < 6 ? 1.f : 0.f) : 1.f;
}

#define BY_LOSS_CASE(kind, call) case kind: { const enum clzk_loss_kind K = kind; call; break; }
#define BY_LOSS(which, call)                         \
    switch (which) {                                 \
    BY_LOSS_CASE(CLZK_LOSS_L1, call)                 \
    BY_LOSS_CASE(CLZK_LOSS_L2, call)                 \
    BY_LOSS_CASE(CLZK_LOSS_BCE, call)                \
    BY_LOSS_CASE(CLZK_LOSS_HINGE, call)              \
    BY_LOSS_CASE(CLZK_LOSS_NEGMEAN, call)            \
    }

INLINE float loss_value(float p, float t, enum clzk_loss_kind kind)
{
    const float d = p - t, hinge = t > 0.5f ? 1 - p : 1 + p;
    return kind == CLZK_LOSS_L1 ? fabsf(d) : kind == CLZK_LOSS_L2 ? d * d :
           kind == CLZK_LOSS_BCE ? (p > 0 ? p : 0) - p * t + log1pf(exponential(-fabsf(p))) :
           kind == CLZK_LOSS_HINGE ? (hinge > 0 ? hinge : 0) : -p;
}

INLINE float loss_slope(float p, float t, enum clzk_loss_kind kind)
{
    const float d = p - t, sign = t > 0.5f ? -1.f : 1.f;
    return kind == CLZK_LOSS_L1 ? (d > 0 ? 1.f : d < 0 ? -1.f : 0.f) : kind == CLZK_LOSS_L2 ? 2 * d :
           kind == CLZK_LOSS_BCE ? 0.5f + 0.5f * hyperbolic_tangent(0.5f * p) - t :
           kind == CLZK_LOSS_HINGE ? (1 + sign * p > 0 ? sign : 0.f) : -1.f;
}

#define BF16 0
#include "nn_template.h"
#define BF16 1
#include "nn_template.h"

static void vector_add(float *sum, const float *x, int64_t count)
{
    SIMD for (int64_t i = 0; i < count; i++) sum[i] += x[i];
}

static void vector_add_gathered(float *sum, const float *x, const int32_t *index, int count)
{
    SIMD for (int i = 0; i < count; i++) sum[i] += x[index[i]];
}

static void vector_adam(float *w, const float *g, float *m, float *v, int64_t count, const struct clzk_adam *adam)
{
    const struct clzk_adam a = *adam;
    SIMD for (int64_t i = 0; i < count; i++) {
        const float gi = g[i] * a.unscale;
        const float mi = a.beta1 * m[i] + (1 - a.beta1) * gi, vi = a.beta2 * v[i] + (1 - a.beta2) * (gi * gi);
        m[i] = mi;
        v[i] = vi;
        w[i] -= a.decay * w[i] + a.rate * mi / (sqrtf(vi) * a.root + a.eps);
    }
}

static void vector_ema(float *average, const float *w, float decay, int64_t count)
{
    SIMD for (int64_t i = 0; i < count; i++) average[i] = decay * average[i] + (1 - decay) * w[i];
}

static int vector_too_large(const float *v, int64_t count)
{
    uint32_t found = 0;
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, v + i, sizeof bits);
        found |= (bits & 0x7fffffff) >= 0x5f800000;         // 2^64; NaN and infinity lie above
    }
    return found != 0;
}

// ---- matrices ----

enum { TILE = 6, DEPTH = 256 };             // rows of c whose sums are in registers; rows of b that are copied to the L1 cache

// `rows` rows of c from row i on, 2 VEC or VEC columns from j on: adds the products of a's columns from `from` on and the `depth`
// rows of b. rows and vecs are constants, so that sums stay in registers: two loads of b and six of a serve twelve multiply-adds.
INLINE void matmul_tile(const struct clzk_matmul *p, int i, int j, int from, const float *b, int depth, const int rows,
                        const int vecs)
{
    const float *a = p->a + i * p->a_row + from * p->a_column;
    float *c = p->c + i * p->c_row + j;
    vec sum[TILE][2];

#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++) sum[r][v] = p->add || from ? vec_load(c + r * p->c_row + v * VEC) : vec_all(0);
    for (int l = 0; l < depth; l++, a += p->a_column, b += vecs * VEC)
#pragma GCC unroll 6
        for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
            for (int v = 0; v < vecs; v++) sum[r][v] += a[r * p->a_row] * vec_load(b + v * VEC);
#pragma GCC unroll 6
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 2
        for (int v = 0; v < vecs; v++) *(vec *)(c + r * p->c_row + v * VEC) = sum[r][v];
}

// Rows of b that are a power of two apart fall into the same lines of the cache, so its columns are copied first: on Zen 3,
// 48x256 times 256x1024: 34 GFLOP/s without, 60 with.
INLINE void matmul_columns(const struct clzk_matmul *p, int j, int from, const int vecs)
{
    const int depth = p->k - from < DEPTH ? p->k - from : DEPTH;
    float b[DEPTH * 2 * VEC];
    int i = 0;

    for (int l = 0; l < depth; l++)
        for (int v = 0; v < vecs; v++) *(vec *)(b + (l * vecs + v) * VEC) = vec_load(p->b + (from + l) * p->b_row + j + v * VEC);
    for (; i + TILE <= p->m; i += TILE) matmul_tile(p, i, j, from, b, depth, TILE, vecs);
    for (; i < p->m; i++) matmul_tile(p, i, j, from, b, depth, 1, vecs);
}

static void matmul(const struct clzk_matmul *p)
{
    for (int from = 0; from < p->k; from += DEPTH)
        for (int j = 0; j < p->n;)
            if (p->n - j >= 2 * VEC) matmul_columns(p, j, from, 2), j += 2 * VEC;
            else matmul_columns(p, j, from, 1), j += VEC;
}

// Sums and maxima of a vector are kept for LANES numbers in turn, then joined in order.
enum { LANES = 16 };

static float vector_max(const float *x, int count)
{
    float most[LANES], max = -INFINITY;
    int i = 0;

    for (int k = 0; k < LANES; k++) most[k] = -INFINITY;
    for (; i + LANES <= count; i += LANES)
        SIMD for (int k = 0; k < LANES; k++) most[k] = x[i + k] > most[k] ? x[i + k] : most[k];
    for (; i < count; i++) max = x[i] > max ? x[i] : max;
    for (int k = 0; k < LANES; k++) max = most[k] > max ? most[k] : max;
    return max;
}

static float vector_dot(const float *x, const float *y, int count)
{
    float sums[LANES] = { 0 }, sum = 0;
    int i = 0;

    for (; i + LANES <= count; i += LANES)
        SIMD for (int k = 0; k < LANES; k++) sums[k] += x[i + k] * y[i + k];
    for (; i < count; i++) sum += x[i] * y[i];
    for (int k = 0; k < LANES; k++) sum += sums[k];
    return sum;
}

static float vector_exponentials(float *x, int count, float max, float factor)
{
    float sums[LANES] = { 0 }, sum = 0;
    int i = 0;

    for (; i + LANES <= count; i += LANES)
        SIMD for (int k = 0; k < LANES; k++) {
            x[i + k] = exponential(x[i + k] - max) * factor;
            sums[k] += x[i + k];
        }
    for (; i < count; i++) sum += x[i] = exponential(x[i] - max) * factor;
    for (int k = 0; k < LANES; k++) sum += sums[k];
    return sum;
}

static void vector_softmax_gradient(float *dx, const float *y, int count, float mean, float factor)
{
    SIMD for (int i = 0; i < count; i++) dx[i] = factor * y[i] * (dx[i] - mean);
}

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
const struct clzk_nn *const JOIN(clzk_nn_, ISA)[2] = { &nn_f32, &nn_bf16 };
const struct clzk_vectors JOIN(clzk_vectors_, ISA) = {
    vector_add, vector_add_gathered, vector_adam, vector_ema, vector_too_large, matmul, vector_max, vector_dot,
    vector_exponentials, vector_softmax_gradient,
};
