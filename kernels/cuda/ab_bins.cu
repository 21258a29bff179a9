// ab_bins.cu - ops on the logits of the classes of colour; engine/ref/ab_bins.c has the formulas. A warp has a row of logits, a
// lane each 32nd of them.
#include "device.cuh"

#include "kernels/ab_bins.h"
#include "sums.cuh"

enum { ROWS = THREADS / WARP, LANE_BINS = (CLZK_AB_BINS + WARP - 1) / WARP };      // ROWS: of a block

static __device__ __forceinline__ int lane() { return (int)(threadIdx.x % WARP); }
static __device__ __forceinline__ int64_t warp_row() { return (int64_t)blockIdx.x * ROWS + threadIdx.x / WARP; }
static dim3 row_blocks(int64_t rows) { return dim3((unsigned)divide_up(rows, ROWS)); }

// This lane's logits as e = e^(scale (x - max)), 0 behind the last; every lane gets the sum of the row. A row past the end (x
// NULL) takes part in the sums of its warp.
template <typename T>
static __device__ __forceinline__ float exponentials(float (&e)[LANE_BINS], const T *x, float scale, float *max)
{
    float most = -INFINITY, sum = 0;

    for (int i = 0; i < LANE_BINS; i++) {
        const int k = lane() + i * WARP;
        e[i] = x && k < CLZK_AB_BINS ? scale * get(x[k]) : -INFINITY;
        most = fmaxf(most, e[i]);
    }
    most = warp_max(most);
    for (int i = 0; i < LANE_BINS; i++) {
        e[i] = x && lane() + i * WARP < CLZK_AB_BINS ? expf(e[i] - most) : 0;
        sum += e[i];
    }
    *max = most;
    return warp_sum(sum);
}

template <typename T> static __global__ void annealed_mean(T *y, const T *x, int64_t rows, float scale)
{
    const int64_t row = warp_row();
    float e[LANE_BINS], max, a = 0, b = 0;
    const float sum = exponentials(e, row < rows ? x + row * CLZK_AB_BINS : (const T *)NULL, scale, &max);

    for (int i = 0; i < LANE_BINS && lane() + i * WARP < CLZK_AB_BINS; i++) {
        float bin_a, bin_b;
        clzk_ab_bin(lane() + i * WARP, &bin_a, &bin_b);
        a += e[i] * bin_a;
        b += e[i] * bin_b;
    }
    a = warp_sum(a);
    b = warp_sum(b);
    if (row >= rows || lane()) return;
    y[2 * row] = put<T>(a / sum);
    y[2 * row + 1] = put<T>(b / sum);
}

template <typename T> static __global__ void annealed_mean_back(T *dx, const T *x, const T *dy, int64_t rows, float scale)
{
    const int64_t row = warp_row();
    const bool inside = row < rows;
    const float da = inside ? get(dy[2 * row]) : 0, db = inside ? get(dy[2 * row + 1]) : 0;
    float e[LANE_BINS], along[LANE_BINS], max, mean = 0;        // along: the class's colour times dy
    const float sum = exponentials(e, inside ? x + row * CLZK_AB_BINS : (const T *)NULL, scale, &max);

    for (int i = 0; i < LANE_BINS; i++) {
        const int k = lane() + i * WARP;
        float a, b;
        clzk_ab_bin(k < CLZK_AB_BINS ? k : 0, &a, &b);
        along[i] = da * a + db * b;
        mean += e[i] * along[i];
    }
    mean = warp_sum(mean) / sum;
    for (int i = 0; i < LANE_BINS; i++) {
        const int k = lane() + i * WARP;
        if (inside && k < CLZK_AB_BINS) dx[row * CLZK_AB_BINS + k] = put<T>(scale * e[i] / sum * (along[i] - mean));
    }
}

template <typename T> static int mean_forward(void *y, const void *x, int64_t rows, float scale, clzk_stream stream)
{
    return clzk_launch(annealed_mean<T>, row_blocks(rows), dim3(THREADS), stream, (T *)y, (const T *)x, rows, scale);
}

template <typename T>
static int mean_backward(void *dx, const void *x, const void *dy, int64_t rows, float scale, clzk_stream stream)
{
    return clzk_launch(annealed_mean_back<T>, row_blocks(rows), dim3(THREADS), stream, (T *)dx, (const T *)x, (const T *)dy, rows,
                       scale);
}

int clzk_cu_annealed_mean(clzk_stream stream, enum clzk_type type, void *y, const void *x, int64_t rows, float scale)
{
    return rows ? BY_TYPE(type, mean_forward, y, x, rows, scale, stream) : 0;
}

int clzk_cu_annealed_mean_back(clzk_stream stream, enum clzk_type type, void *dx, const void *x, const void *dy, int64_t rows,
                               float scale)
{
    return rows ? BY_TYPE(type, mean_backward, dx, x, dy, rows, scale, stream) : 0;
}

// ---- cross entropy ----

template <typename T>
static __global__ void cross_entropy(float *values, const T *x, const T *t, const T *weight, int64_t rows)
{
    const int64_t row = warp_row();
    const T *const logits = row < rows ? x + row * CLZK_AB_BINS : (const T *)NULL;
    float e[LANE_BINS], max;
    float value = logf(exponentials(e, logits, 1, &max));

    if (row >= rows || lane()) return;
    const struct clzk_ab_share share = clzk_ab_share(get(t[2 * row]), get(t[2 * row + 1]));
    for (int j = 0; j < CLZK_AB_NEAREST; j++) value -= share.weight[j] * (get(logits[share.bin[j]]) - max);
    values[row] = weight ? get(weight[row]) * value : value;
}

template <typename T>
static __global__ void cross_entropy_back(T *dx, const float *dy, const T *x, const T *t, const T *weight, int64_t rows)
{
    const int64_t row = warp_row();
    float e[LANE_BINS], max;
    const float sum = exponentials(e, row < rows ? x + row * CLZK_AB_BINS : (const T *)NULL, 1, &max);

    if (row >= rows) return;
    const struct clzk_ab_share share = clzk_ab_share(get(t[2 * row]), get(t[2 * row + 1]));
    const float scale = (float)(*dy / (double)rows) * (weight ? get(weight[row]) : 1);
    for (int i = 0; i < LANE_BINS && lane() + i * WARP < CLZK_AB_BINS; i++) {
        const int k = lane() + i * WARP;
        float p = e[i] / sum;
        for (int j = 0; j < CLZK_AB_NEAREST; j++) p -= share.bin[j] == k ? share.weight[j] : 0;
        dx[row * CLZK_AB_BINS + k] = put<T>(scale * p);
    }
}

namespace {
struct row_value {
    const float *values;
    __device__ float operator()(int64_t i) const { return values[i]; }
};
} // namespace

template <typename T>
static int entropy_forward(float *out, const void *x, const void *t, const void *weight, int64_t rows, void *work,
                           clzk_stream stream)
{
    float *const values = (float *)((char *)work + CLZK_CU_SCALAR_WORK);
    const row_value value = { values };
    const int ret = clzk_launch(cross_entropy<T>, row_blocks(rows), dim3(THREADS), stream, values, (const T *)x, (const T *)t,
                                (const T *)weight, rows);

    return ret ? ret : total(out, value, rows, (float)(1 / (double)rows), false, (float *)work, stream);
}

template <typename T>
static int entropy_backward(void *dx, const float *dy, const void *x, const void *t, const void *weight, int64_t rows,
                            clzk_stream stream)
{
    return clzk_launch(cross_entropy_back<T>, row_blocks(rows), dim3(THREADS), stream, (T *)dx, dy, (const T *)x, (const T *)t,
                       (const T *)weight, rows);
}

int clzk_cu_cross_entropy(clzk_stream stream, enum clzk_type type, float *out, const void *x, const void *t, const void *weight,
                          int64_t rows, void *work)
{
    return rows ? BY_TYPE(type, entropy_forward, out, x, t, weight, rows, work, stream) : 0;
}

int clzk_cu_cross_entropy_back(clzk_stream stream, enum clzk_type type, void *dx, const float *dy, const void *x, const void *t,
                               const void *weight, int64_t rows)
{
    return rows ? BY_TYPE(type, entropy_backward, dx, dy, x, t, weight, rows, stream) : 0;
}
