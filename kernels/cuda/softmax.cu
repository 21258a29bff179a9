// softmax.cu - softmax of rows, and its gradient: dx = scale y (dy - sum of y dy).
#include "device.cuh"

// A row is read by a warp if it is short, else by a block; both give every thread the result.
template <bool BLOCK> struct row_threads;

template <> struct row_threads<false> {
    static const int count = WARP, rows = THREADS / WARP;          // rows: of a block
    static __device__ float sum(float v, float *) { return warp_sum(v); }
    static __device__ float max(float v, float *) { return warp_max(v); }
};

template <> struct row_threads<true> {
    static const int count = THREADS, rows = 1;
    static __device__ float sum(float v, float *warps)
    {
        v = warp_sum(v);
        gather(v, warps);
        v = 0;
        for (int i = 0; i < THREADS / WARP; i++) v += warps[i];
        return v;
    }
    static __device__ float max(float v, float *warps)
    {
        v = warp_max(v);
        gather(v, warps);
        for (int i = 0; i < THREADS / WARP; i++) v = fmaxf(v, warps[i]);
        return v;
    }
    // The first barrier: until here the threads may read what the call before left.
    static __device__ void gather(float v, float *warps)
    {
        __syncthreads();
        if (threadIdx.x % WARP == 0) warps[threadIdx.x / WARP] = v;
        __syncthreads();
    }
};

enum { SHORT_ROW = 1024 };

template <typename T, bool BLOCK> static __global__ void softmax(T *y, const T *x, int64_t rows, int columns, float scale)
{
    typedef row_threads<BLOCK> R;
    CLZK_SHARED(float, warps, THREADS / WARP);
    const int64_t row = (int64_t)blockIdx.x * R::rows + threadIdx.x / R::count;
    const bool inside = row < rows;
    const int first = inside ? (int)(threadIdx.x % R::count) : columns;             // all threads take part in the sums
    float most = -INFINITY, sum = 0;

    x += row * columns;
    y += row * columns;
    for (int i = first; i < columns; i += R::count) most = fmaxf(most, scale * get(x[i]));
    most = R::max(most, warps);
    for (int i = first; i < columns; i += R::count) sum += expf(scale * get(x[i]) - most);
    const float inverse = 1 / R::sum(sum, warps);
    for (int i = first; i < columns; i += R::count) y[i] = put<T>(expf(scale * get(x[i]) - most) * inverse);
}

template <typename T, bool BLOCK>
static __global__ void softmax_back(T *dx, const T *y, const T *dy, int64_t rows, int columns, float scale)
{
    typedef row_threads<BLOCK> R;
    CLZK_SHARED(float, warps, THREADS / WARP);
    const int64_t row = (int64_t)blockIdx.x * R::rows + threadIdx.x / R::count;
    const int first = row < rows ? (int)(threadIdx.x % R::count) : columns;
    float dot = 0;

    dx += row * columns;
    y += row * columns;
    dy += row * columns;
    for (int i = first; i < columns; i += R::count) dot += get(y[i]) * get(dy[i]);
    dot = R::sum(dot, warps);
    for (int i = first; i < columns; i += R::count) dx[i] = put<T>(scale * get(y[i]) * (get(dy[i]) - dot));
}

template <typename T> static int forward(void *y, const void *x, int64_t rows, int columns, float scale, clzk_stream stream)
{
    if (columns > SHORT_ROW)
        return clzk_launch(softmax<T, true>, dim3((unsigned)rows), dim3(THREADS), stream, (T *)y, (const T *)x, rows, columns,
                           scale);
    return clzk_launch(softmax<T, false>, dim3((unsigned)divide_up(rows, THREADS / WARP)), dim3(THREADS), stream, (T *)y,
                       (const T *)x, rows, columns, scale);
}

template <typename T>
static int backward(void *dx, const void *y, const void *dy, int64_t rows, int columns, float scale, clzk_stream stream)
{
    if (columns > SHORT_ROW)
        return clzk_launch(softmax_back<T, true>, dim3((unsigned)rows), dim3(THREADS), stream, (T *)dx, (const T *)y,
                           (const T *)dy, rows, columns, scale);
    return clzk_launch(softmax_back<T, false>, dim3((unsigned)divide_up(rows, THREADS / WARP)), dim3(THREADS), stream, (T *)dx,
                       (const T *)y, (const T *)dy, rows, columns, scale);
}

int clzk_cu_softmax(clzk_stream stream, enum clzk_type type, void *y, const void *x, int64_t rows, int columns, float scale)
{
    return rows && columns ? BY_TYPE(type, forward, y, x, rows, columns, scale, stream) : 0;
}

int clzk_cu_softmax_back(clzk_stream stream, enum clzk_type type, void *dx, const void *y, const void *dy, int64_t rows,
                         int columns, float scale)
{
    return rows && columns ? BY_TYPE(type, backward, dx, y, dy, rows, columns, scale, stream) : 0;
}
