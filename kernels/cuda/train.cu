// train.cu - the steps of training on whole slabs of f32, each in one launch. What they decide upon lies in `state`, in device
// memory: { scale, good, bad, reserved }. Segments of a slab begin anywhere, so vectors are used only where all pointers allow.
#include "device.cuh"

#include "kernels/train_state.h"

enum { SCALE = 0, GOOD = 1, BAD = 2, SLAB_VECTOR = 4 };

// op(i) for single elements, op.vector(i) for four from i on.
template <int V, typename OP> static __global__ void each(OP op, int64_t count)
{
    const int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * V;

    if (op.nothing()) return;
    if (V > 1 && i + V <= count) {
        op.template run<V>(i);
    } else {
        for (int64_t k = i; k < count && k < i + V; k++) op.template run<1>(k);
    }
}

template <typename OP> static int run(OP op, int64_t count, bool whole, clzk_stream stream)
{
    if (!count) return 0;
    return whole ? clzk_launch(each<SLAB_VECTOR, OP>, blocks_of(divide_up(count, SLAB_VECTOR)), dim3(THREADS), stream, op,
                               count) :
                   clzk_launch(each<1, OP>, blocks_of(count), dim3(THREADS), stream, op, count);
}

namespace {
struct zero_op {
    float *v;
    __device__ bool nothing() const { return false; }
    template <int V> __device__ void run(int64_t i) const
    {
        const float zeros[V] = {};
        store(v + i, zeros);
    }
};

struct copy_op {
    float *to;
    const float *from, *state;                  // state: only if bad; NULL: always
    __device__ bool nothing() const { return state && state[BAD] == 0; }
    template <int V> __device__ void run(int64_t i) const
    {
        float v[V];
        load(v, from + i);
        store(to + i, v);
    }
};

struct check_op {
    float *state;
    const float *v;
    __device__ bool nothing() const { return false; }
    template <int V> __device__ void run(int64_t i) const
    {
        float x[V];
        bool bad = false;
        load(x, v + i);
#pragma unroll
        for (int k = 0; k < V; k++) bad |= !(fabsf(x[k]) < CLZK_TRAIN_LIMIT);
        if (bad) state[BAD] = 1;                // whoever writes, writes the same
    }
};

struct adam_op {
    struct clzk_adam host;
    const struct clzk_adam *device;
    float *w, *m, *v;
    const float *g, *state;
    __device__ bool nothing() const { return state[BAD] != 0; }
    template <int V> __device__ void run(int64_t i) const
    {
        const struct clzk_adam a = device ? *device : host;
        const float unscale = 1 / state[SCALE];
        float wi[V], gi[V], mi[V], vi[V];
        load(wi, w + i);
        load(gi, g + i);
        load(mi, m + i);
        load(vi, v + i);
#pragma unroll
        for (int k = 0; k < V; k++) {
            const float gradient = gi[k] * unscale;
            mi[k] = a.beta1 * mi[k] + (1 - a.beta1) * gradient;
            vi[k] = a.beta2 * vi[k] + (1 - a.beta2) * gradient * gradient;
            wi[k] -= a.decay * wi[k] + a.rate * mi[k] / (sqrtf(vi[k]) * a.root + a.eps);
        }
        store(w + i, wi);
        store(m + i, mi);
        store(v + i, vi);
    }
};

struct ema_op {
    float *average;
    const float *w, *state;
    float decay;
    __device__ bool nothing() const { return state[BAD] != 0; }
    template <int V> __device__ void run(int64_t i) const
    {
        float a[V], x[V];
        load(a, average + i);
        load(x, w + i);
#pragma unroll
        for (int k = 0; k < V; k++) a[k] += (1 - decay) * (x[k] - a[k]);
        store(average + i, a);
    }
};
} // namespace

static __global__ void seed(float *dy, float weight, const float *state) { *dy = weight * state[SCALE]; }

static __global__ void advance(float *state, bool dynamic)
{
    clzk_train_state_advance(&state[SCALE], &state[GOOD], &state[BAD], dynamic);
}

int clzk_cu_train_zero(clzk_stream stream, float *v, int64_t count)
{
    const zero_op op = { v };

    return run(op, count, aligned(v, 16), stream);
}

int clzk_cu_train_copy(clzk_stream stream, float *to, const float *from, int64_t count)
{
    return clzk_cu_train_restore(stream, to, from, count, NULL);
}

int clzk_cu_train_restore(clzk_stream stream, float *to, const float *from, int64_t count, const float *state)
{
    const copy_op op = { to, from, state };

    return run(op, count, aligned(to, 16) && aligned(from, 16), stream);
}

int clzk_cu_train_check(clzk_stream stream, float *state, const float *v, int64_t count)
{
    const check_op op = { state, v };

    return run(op, count, aligned(v, 16), stream);
}

int clzk_cu_train_seed(clzk_stream stream, float *dy, float weight, const float *state)
{
    return clzk_launch(seed, dim3(1), dim3(1), stream, dy, weight, state);
}

int clzk_cu_train_adam(clzk_stream stream, const struct clzk_adam *a, const struct clzk_adam *rates, float *w, const float *g,
                       float *m, float *v, int64_t count, const float *state)
{
    const struct clzk_adam none = {};
    const adam_op op = { a ? *a : none, rates, w, m, v, g, state };

    return run(op, count, aligned(w, 16) && aligned(g, 16) && aligned(m, 16) && aligned(v, 16), stream);
}

int clzk_cu_train_ema(clzk_stream stream, float *average, const float *w, float decay, int64_t count, const float *state)
{
    const ema_op op = { average, w, state, decay };

    return run(op, count, aligned(average, 16) && aligned(w, 16), stream);
}

int clzk_cu_train_advance(clzk_stream stream, float *state, bool dynamic)
{
    return clzk_launch(advance, dim3(1), dim3(1), stream, state, dynamic);
}

struct clzk_adam clzk_adam_rates(float lr, float beta1, float beta2, float eps, float decay, int64_t step)
{
    const double c1 = 1 - pow((double)beta1, (double)step), c2 = 1 - pow((double)beta2, (double)step);
    const struct clzk_adam rates = { (float)(lr / c1), beta1, beta2, eps, (float)(1 / sqrt(c2)), lr * decay, 1 };

    return rates;
}
