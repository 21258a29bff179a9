// bars.cu - counts of bright samples in the rows and columns of frames, of which engine/bars.c tells the black bars.
#include "device.cuh"

#include "kernels/bars.h"
#include "kernels/frame_math.h"

// Luma, or green, of up to MAX_FRAMES frames of one geometry; black in the byte order of the machine.
enum { MAX_FRAMES = 16 };
struct bar_frames {
    struct clzk_samples luma[MAX_FRAMES];
    int width, height, black;
    bool wide, swapped;
};

static __device__ __forceinline__ int bright(const struct bar_frames &k, const struct clzk_samples &s, int x, int y)
{
    const uint8_t *const row = s.data + y * (int64_t)s.stride;

    if (!k.wide) return row[(int64_t)x * s.step] > k.black;
    const uint16_t v = ((const uint16_t *)row)[(int64_t)x * s.step];
    return (k.swapped ? clzk_swap16(v) : v) > k.black;
}

// Blocks: (row, 1, frame).
static __global__ void bright_in_rows(int *counts, struct bar_frames k)
{
    CLZK_SHARED(int, sums, THREADS);
    const int thread = (int)threadIdx.x, row = (int)blockIdx.x;
    int count = 0;

    for (int x = thread; x < k.width; x += THREADS) count += bright(k, k.luma[blockIdx.z], x, row);
    sums[thread] = count;
    for (int n = THREADS / 2; n; n /= 2) {
        __syncthreads();
        if (thread < n) sums[thread] += sums[thread + n];
    }
    if (!thread) counts[(int64_t)blockIdx.z * (k.height + k.width) + row] = sums[0];
}

enum { COLUMNS = 32, LANES = THREADS / COLUMNS };

// Blocks: (columns, 1, frame); a block looks for the first and last row that are not black itself, and sums its columns between
// them. Of a black frame no column is counted.
static __global__ void bright_in_columns(int *counts, struct bar_frames k)
{
    CLZK_SHARED(int, firsts, THREADS);
    CLZK_SHARED(int, lasts, THREADS);
    CLZK_SHARED(int, sums, THREADS);
    int *const rows = counts + (int64_t)blockIdx.z * (k.height + k.width), *const columns = rows + k.height;
    const int thread = (int)threadIdx.x, lane = thread / COLUMNS, x = (int)blockIdx.x * COLUMNS + thread % COLUMNS;
    int first = k.height, last = -1, count = 0;

    for (int y = thread; y < k.height; y += THREADS) {
        if (rows[y] <= k.width / CLZK_BARS_MAX_BRIGHT) continue;
        if (first > y) first = y;
        last = y;
    }
    firsts[thread] = first;
    lasts[thread] = last;
    for (int n = THREADS / 2; n; n /= 2) {
        __syncthreads();
        if (thread >= n) continue;
        if (firsts[thread + n] < firsts[thread]) firsts[thread] = firsts[thread + n];
        if (lasts[thread + n] > lasts[thread]) lasts[thread] = lasts[thread + n];
    }
    __syncthreads();
    first = firsts[0];
    last = lasts[0];
    const int n = last + 1 - first, step = n > CLZK_BARS_MIN_ROWS ? n / CLZK_BARS_MIN_ROWS : 1;
    for (int y = first + lane * step; y <= last && x < k.width; y += LANES * step) count += bright(k, k.luma[blockIdx.z], x, y);
    sums[thread] = count;
    __syncthreads();
    if (lane || x >= k.width) return;
    for (int i = 1; i < LANES; i++) count += sums[i * COLUMNS + thread];
    columns[x] = count;
}

int clzk_cu_bars(clzk_stream stream, int n, const struct clzk_picture *in, int *counts)
{
    struct bar_frames k;

    for (int first = 0; first < n; first += MAX_FRAMES) {
        const int count = n - first < MAX_FRAMES ? n - first : MAX_FRAMES;
        int *const at = counts + (int64_t)first * (in->height + in->width);
        memset(&k, 0, sizeof k);
        for (int i = 0; i < count; i++) k.luma[i] = in[first + i].c[in->rgb ? 1 : 0];
        k.width = in->width;
        k.height = in->height;
        k.black = clzk_bars_black(in->depth, in->shift);
        k.wide = in->depth > 8;
        k.swapped = in->swapped;
        int error = clzk_launch(bright_in_rows, dim3((unsigned)k.height, 1, (unsigned)count), dim3(THREADS), stream, at, k);
        if (!error)
            error = clzk_launch(bright_in_columns, dim3((unsigned)divide_up(k.width, COLUMNS), 1, (unsigned)count),
                                dim3(THREADS), stream, at, k);
        if (error) return error;
    }
    return 0;
}
