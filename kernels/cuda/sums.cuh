// sums.cuh - sums in a fixed order, in two launches: each block writes its partial sums to scratch memory, then they are added
// up. How the work is divided depends on the shape alone.
#ifndef CLZK_CUDA_SUMS_CUH
#define CLZK_CUDA_SUMS_CUH
#include "device.cuh"

// ---- [n][rows][c] over rows: for each picture and channel ----

// Threads of a block: `lanes` for the channels of a row, in vectors of up to four so that a thread's sums stay in registers,
// times THREADS / lanes for rows. A thread sums each (THREADS / lanes)-th row of its block's chunk.
enum { SUM_MAX_LANES = 32, SUM_ROWS = 4, SUM_BLOCKS = 512, SUM_TERMS = 2 };      // SUM_ROWS: of a thread, at least

static inline int sum_vector(int c) { return c % 4 ? 1 : 4; }

static inline int sum_lanes(int vectors)
{
    int lanes = 1;

    while (lanes < vectors && lanes < SUM_MAX_LANES) lanes *= 2;
    return lanes;
}

static inline int64_t sum_chunks(int n, int64_t rows, int c)
{
    const int vectors = c / sum_vector(c), lanes = sum_lanes(vectors);
    const int64_t wanted = divide_up(SUM_BLOCKS, n * divide_up(vectors, lanes));
    const int64_t most = divide_up(rows, SUM_ROWS * THREADS / lanes);

    return wanted < most ? wanted : most;
}

// Floats of the partial sums; scratch has 2 c more behind them, for what is made of the sums.
static inline size_t sums_floats(int n, int64_t rows, int c) { return (size_t)n * sum_chunks(n, rows, c) * SUM_TERMS * c; }

// TERMS: `count` and operator()(float (&term)[count][V], int64_t at, int c): the terms of V elements, the first of which is
// number `at` of the tensor and belongs to channel c. partial [n][chunk][term][c].
template <typename TERMS, int V>
static __global__ void partial_sums(float *partial, TERMS terms, int64_t rows, int c, int64_t chunk_rows)
{
    const int COUNT = TERMS::count;
    CLZK_SHARED(float, lines, THREADS * V);
    const int tx = (int)threadIdx.x, ty = (int)threadIdx.y, lanes = (int)blockDim.x, step = (int)blockDim.y;
    const int k = ((int)blockIdx.x * lanes + tx) * V;
    const int64_t first = (int64_t)blockIdx.y * chunk_rows, end = first + chunk_rows < rows ? first + chunk_rows : rows;
    float sum[COUNT][V] = {}, term[COUNT][V];

    if (k < c)
        for (int64_t r = first + ty; r < end; r += step) {
            terms(term, ((int64_t)blockIdx.z * rows + r) * c + k, k);
#pragma unroll
            for (int t = 0; t < COUNT; t++)
#pragma unroll
                for (int j = 0; j < V; j++) sum[t][j] += term[t][j];
        }
#pragma unroll
    for (int t = 0; t < COUNT; t++) {
        __syncthreads();
#pragma unroll
        for (int j = 0; j < V; j++) lines[(ty * V + j) * lanes + tx] = sum[t][j];
        __syncthreads();
        if (ty || k >= c) continue;
        float *const to = partial + (((int64_t)blockIdx.z * gridDim.y + blockIdx.y) * COUNT + t) * c + k;
#pragma unroll
        for (int j = 0; j < V; j++) {
            float s = 0;
            for (int l = 0; l < step; l++) s += lines[(l * V + j) * lanes + tx];
            to[j] = s;
        }
    }
}

// RESULT: operator()(const float (&sum)[COUNT], int n, int c, int channels).
template <typename RESULT, int COUNT>
static __global__ void add_partial_sums(const float *partial, RESULT result, int c, int chunks)
{
    CLZK_SHARED(float, lines, COUNT * THREADS);
    const int tx = (int)threadIdx.x, ty = (int)threadIdx.y, lanes = (int)blockDim.x, step = (int)blockDim.y;
    const int k = (int)blockIdx.x * lanes + tx, n = (int)blockIdx.y;
    float sum[COUNT] = {};

    if (k < c)
        for (int i = ty; i < chunks; i += step)
#pragma unroll
            for (int t = 0; t < COUNT; t++) sum[t] += partial[(((int64_t)n * chunks + i) * COUNT + t) * c + k];
#pragma unroll
    for (int t = 0; t < COUNT; t++) lines[t * THREADS + ty * lanes + tx] = sum[t];
    __syncthreads();
    if (ty || k >= c) return;
#pragma unroll
    for (int t = 0; t < COUNT; t++) {
        sum[t] = 0;
        for (int l = 0; l < step; l++) sum[t] += lines[t * THREADS + l * lanes + tx];
    }
    result(sum, n, k, c);
}

template <typename TERMS, typename RESULT, int V>
static int channel_sums_launch(TERMS terms, RESULT result, int n, int64_t rows, int c, float *work, clzk_stream stream)
{
    const int64_t chunks = sum_chunks(n, rows, c);
    const int lanes = sum_lanes(c / V), wide = sum_lanes(c);
    const int ret = clzk_launch(partial_sums<TERMS, V>, dim3((unsigned)divide_up(c, lanes * V), (unsigned)chunks, (unsigned)n),
                                dim3(lanes, THREADS / lanes), stream, work, terms, rows, c, divide_up(rows, chunks));

    return ret ? ret : clzk_launch(add_partial_sums<RESULT, TERMS::count>, dim3((unsigned)divide_up(c, wide), (unsigned)n),
                                   dim3(wide, THREADS / wide), stream, (const float *)work, result, c, (int)chunks);
}

template <typename TERMS, typename RESULT>
static int channel_sums(TERMS terms, RESULT result, int n, int64_t rows, int c, float *work, clzk_stream stream)
{
    return sum_vector(c) == 1 ? channel_sums_launch<TERMS, RESULT, 1>(terms, result, n, rows, c, work, stream) :
                                channel_sums_launch<TERMS, RESULT, 4>(terms, result, n, rows, c, work, stream);
}

// ---- one number ----

enum { TOTAL_BLOCKS = 1024, TOTAL_ELEMENTS = 16 };      // TOTAL_ELEMENTS: of a thread, at least

// The sum of v over the block's THREADS threads, for thread 0.
static __device__ float block_sum(float v)
{
    CLZK_SHARED(float, warps, THREADS / WARP);

    v = warp_sum(v);
    if (threadIdx.x % WARP == 0) warps[threadIdx.x / WARP] = v;
    __syncthreads();
    if (threadIdx.x) return 0;
    v = 0;
    for (int i = 0; i < THREADS / WARP; i++) v += warps[i];
    return v;
}

// TERM: operator()(int64_t i), i from 0 to count - 1.
template <typename TERM> static __global__ void partial_total(float *partial, TERM term, int64_t count)
{
    float sum = 0;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < count; i += (int64_t)gridDim.x * THREADS) sum += term(i);
    sum = block_sum(sum);
    if (!threadIdx.x) partial[blockIdx.x] = sum;
}

static __global__ void add_total(float *to, const float *partial, int count, float scale, bool add)
{
    float sum = 0;

    for (int i = (int)threadIdx.x; i < count; i += THREADS) sum += partial[i];
    sum = block_sum(sum) * scale;
    if (!threadIdx.x) *to = (add ? *to : 0) + sum;
}

// *to = scale sum over i of term(i), added to what is there with `add`. work: CLZK_CU_SCALAR_WORK.
template <typename TERM>
static int total(float *to, TERM term, int64_t count, float scale, bool add, float *work, clzk_stream stream)
{
    const int64_t wanted = divide_up(count, THREADS * TOTAL_ELEMENTS), most = TOTAL_BLOCKS;
    const int blocks = (int)(wanted < most ? wanted : most);
    const int ret = clzk_launch(partial_total<TERM>, dim3((unsigned)blocks), dim3(THREADS), stream, work, term, count);

    return ret ? ret : clzk_launch(add_total, dim3(1), dim3(THREADS), stream, to, (const float *)work, blocks, scale, add);
}
#endif
