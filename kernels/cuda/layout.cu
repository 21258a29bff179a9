// layout.cu - kernels that move elements: NCHW to NHWC and back, types, concat, pixel shuffle.
#include "device.cuh"

// ---- NCHW <-> NHWC: transposition of [c][area] for each picture ----

enum { TILE = 32, TILE_ROWS = 8 };              // blocks of TILE x TILE_ROWS threads

// Both sides are read and written along their rows; a tile passes through shared memory, whose rows are padded by one word so
// that a column lies in 32 banks.
template <typename FROM, typename TO, bool ADD>
static __global__ void transpose(TO *y, const FROM *x, int rows, int columns, int row_tiles)
{
    CLZK_SHARED(float, tile, TILE * (TILE + 1));
    const int64_t picture = (int64_t)blockIdx.y * rows * columns;
    const int row = (int)(blockIdx.x % row_tiles) * TILE, column = (int)(blockIdx.x / row_tiles) * TILE;

    x += picture;
    y += picture;
    for (int i = (int)threadIdx.y; i < TILE; i += TILE_ROWS)
        if (row + i < rows && column + (int)threadIdx.x < columns)
            tile[i * (TILE + 1) + threadIdx.x] = get(x[(int64_t)(row + i) * columns + column + threadIdx.x]);
    __syncthreads();
    for (int i = (int)threadIdx.y; i < TILE; i += TILE_ROWS)
        if (column + i < columns && row + (int)threadIdx.x < rows) {
            TO *const to = y + (int64_t)(column + i) * rows + row + threadIdx.x;
            const float v = tile[threadIdx.x * (TILE + 1) + i];
            *to = put<TO>(ADD ? get(*to) + v : v);
        }
}

// The same for pictures of few channels, one pixel a thread.
template <typename T> static __global__ void interleave(T *y, const float *x, int c, uint32_t area, uint32_t pixels)
{
    const uint32_t i = thread_number(), n = i / area;

    if (i >= pixels) return;
    for (int k = 0; k < c; k++) y[(int64_t)i * c + k] = put<T>(x[((int64_t)n * c + k) * area + i % area]);
}

template <typename T, bool ADD> static __global__ void deinterleave(float *y, const T *x, int c, uint32_t area, uint32_t pixels)
{
    const uint32_t i = thread_number(), n = i / area;

    if (i >= pixels) return;
    for (int k = 0; k < c; k++) {
        float *const to = y + ((int64_t)n * c + k) * area + i % area;
        *to = (ADD ? *to : 0) + get(x[(int64_t)i * c + k]);
    }
}

enum { FEW_CHANNELS = 8, MAX_GRID = 65535 };

// One launch takes up to MAX_GRID pictures.
template <typename FROM, typename TO, bool ADD>
static int transpose_all(TO *y, const FROM *x, int n, int rows, int columns, clzk_stream stream)
{
    const int row_tiles = (int)divide_up(rows, TILE), column_tiles = (int)divide_up(columns, TILE);

    for (int first = 0; first < n; first += MAX_GRID) {
        const int64_t at = (int64_t)first * rows * columns;
        const dim3 grid((unsigned)row_tiles * column_tiles, (unsigned)(n - first < MAX_GRID ? n - first : MAX_GRID));
        const int ret = clzk_launch(transpose<FROM, TO, ADD>, grid, dim3(TILE, TILE_ROWS), stream, y + at, x + at, rows, columns,
                                    row_tiles);
        if (ret) return ret;
    }
    return 0;
}

template <typename T> static int from_nchw(void *y, const float *x, int n, int c, int64_t area, clzk_stream stream)
{
    if (c < FEW_CHANNELS)
        return clzk_launch(interleave<T>, blocks_of(n * area), dim3(THREADS), stream, (T *)y, x, c, (uint32_t)area,
                           (uint32_t)(n * area));
    return transpose_all<float, T, false>((T *)y, x, n, c, (int)area, stream);
}

template <typename T> static int to_nchw(float *y, const void *x, int n, int c, int64_t area, bool add, clzk_stream stream)
{
    if (c < FEW_CHANNELS)
        return clzk_launch(add ? deinterleave<T, true> : deinterleave<T, false>, blocks_of(n * area), dim3(THREADS), stream, y,
                           (const T *)x, c, (uint32_t)area, (uint32_t)(n * area));
    return add ? transpose_all<T, float, true>(y, (const T *)x, n, (int)area, c, stream) :
                 transpose_all<T, float, false>(y, (const T *)x, n, (int)area, c, stream);
}

int clzk_cu_from_nchw(clzk_stream stream, enum clzk_type type, void *y, const float *x, int n, int c, int64_t area)
{
    if (!n || !c || !area) return 0;
    return BY_TYPE(type, from_nchw, y, x, n, c, area, stream);
}

int clzk_cu_to_nchw(clzk_stream stream, enum clzk_type type, float *y, const void *x, int n, int c, int64_t area, bool add)
{
    if (!n || !c || !area) return 0;
    return BY_TYPE(type, to_nchw, y, x, n, c, area, add, stream);
}

// ---- cast ----

enum { CAST_VECTOR = 4 };                       // elements of a thread: 64 or 128 bits

template <typename FROM, typename TO> static __global__ void cast(TO *y, const FROM *x, int64_t count)
{
    const int64_t i = (int64_t)thread_number() * CAST_VECTOR;

    if (i + CAST_VECTOR <= count) {
        float v[CAST_VECTOR];
        load(v, x + i);
        store(y + i, v);
    } else {
        for (int64_t k = i; k < count; k++) y[k] = put<TO>(get(x[k]));
    }
}

template <typename TO, typename FROM> static int cast_launch(void *y, const void *x, int64_t count, clzk_stream stream)
{
    return clzk_launch(cast<FROM, TO>, blocks_of(divide_up(count, CAST_VECTOR)), dim3(THREADS), stream, (TO *)y, (const FROM *)x,
                       count);
}

template <typename TO> static int cast_to(enum clzk_type from, void *y, const void *x, int64_t count, clzk_stream stream)
{
    return from == CLZK_F32 ? cast_launch<TO, float>(y, x, count, stream) :
           from == CLZK_F16 ? cast_launch<TO, f16>(y, x, count, stream) : cast_launch<TO, bf16>(y, x, count, stream);
}

int clzk_cu_cast(clzk_stream stream, enum clzk_type to, void *y, enum clzk_type from, const void *x, int64_t count)
{
    if (!count) return 0;
    return BY_TYPE(to, cast_to, from, y, x, count, stream);
}

// ---- concat, split ----

// Elements only move: T is an unsigned integer of the elements' or of a vector's size.
template <typename T, bool SPLIT> static __global__ void join(T *y, T *a, T *b, uint32_t count, uint32_t a_c, uint32_t b_c)
{
    const uint32_t i = thread_number(), row = i / (a_c + b_c), k = i % (a_c + b_c);

    if (i >= count) return;
    T *const part = k < a_c ? a : b;
    if (!part) return;
    T *const at = k < a_c ? a + (int64_t)row * a_c + k : b + (int64_t)row * b_c + (k - a_c);
    if (SPLIT) *at = y[i];
    else y[i] = *at;
}

template <typename T, bool SPLIT>
static int join_launch(void *y, void *a, void *b, int64_t pixels, int a_size, int b_size, clzk_stream stream)
{
    const int a_c = a_size / (int)sizeof(T), b_c = b_size / (int)sizeof(T);
    const int64_t count = pixels * (a_c + b_c);

    return clzk_launch(join<T, SPLIT>, blocks_of(count), dim3(THREADS), stream, (T *)y, (T *)a, (T *)b, (uint32_t)count,
                       (uint32_t)a_c, (uint32_t)b_c);
}

// With the widest units into which a pixel of both divides.
template <bool SPLIT>
static int join_any(void *y, void *a, void *b, int64_t pixels, int a_size, int b_size, clzk_stream stream)
{
    const int sizes = a_size | b_size;

    if (!pixels || !sizes) return 0;
    if (sizes % 16 == 0) return join_launch<uint4, SPLIT>(y, a, b, pixels, a_size, b_size, stream);
    if (sizes % 4 == 0) return join_launch<uint32_t, SPLIT>(y, a, b, pixels, a_size, b_size, stream);
    return join_launch<uint16_t, SPLIT>(y, a, b, pixels, a_size, b_size, stream);
}

int clzk_cu_concat(clzk_stream stream, enum clzk_type type, void *y, const void *a, const void *b, int64_t pixels, int a_c,
                   int b_c)
{
    const int size = (int)clzk_type_size(type);

    return join_any<false>(y, (void *)a, (void *)b, pixels, a_c * size, b_c * size, stream);
}

int clzk_cu_split(clzk_stream stream, enum clzk_type type, void *da, void *db, const void *dy, int64_t pixels, int a_c, int b_c)
{
    const int size = (int)clzk_type_size(type);

    return join_any<true>((void *)dy, da, db, pixels, a_c * size, b_c * size, stream);
}

// ---- pixel shuffle ----

// One thread moves one element. Threads that follow each other have neighbours of the big picture, whose order is
// [n][h][i][w][j][c].
template <typename T, bool BACK>
static __global__ void shuffle(T *big, T *small, uint32_t count, uint32_t w, uint32_t c, uint32_t f)
{
    const uint32_t t = thread_number();
    if (t >= count) return;
    const uint32_t k = t % c, j = t / c % f, column = t / (c * f) % w, line = t / (c * f * w), i = line % f, row = line / f;
    T *const at = small + ((int64_t)row * w + column) * (c * f * f) + (k * f + i) * f + j;
    if (BACK) *at = big[t];
    else big[t] = *at;
}

template <bool BACK>
static int shuffle_launch(enum clzk_type type, void *big, void *small, int n, int h, int w, int c, int f, clzk_stream stream)
{
    const int64_t count = (int64_t)n * h * w * c * f * f;

    if (!count) return 0;
    return type == CLZK_F32 ? clzk_launch(shuffle<uint32_t, BACK>, blocks_of(count), dim3(THREADS), stream, (uint32_t *)big,
                                          (uint32_t *)small, (uint32_t)count, (uint32_t)w, (uint32_t)c, (uint32_t)f) :
                              clzk_launch(shuffle<uint16_t, BACK>, blocks_of(count), dim3(THREADS), stream, (uint16_t *)big,
                                          (uint16_t *)small, (uint32_t)count, (uint32_t)w, (uint32_t)c, (uint32_t)f);
}

int clzk_cu_shuffle(clzk_stream stream, enum clzk_type type, void *y, const void *x, int n, int h, int w, int c, int factor)
{
    return shuffle_launch<false>(type, y, (void *)x, n, h, w, c, factor, stream);
}

int clzk_cu_shuffle_back(clzk_stream stream, enum clzk_type type, void *dx, const void *dy, int n, int h, int w, int c,
                         int factor)
{
    return shuffle_launch<true>(type, (void *)dy, dx, n, h, w, c, factor, stream);
}

// ---- a few bytes of host memory ----

struct bytes { uint8_t v[64]; };

static __global__ void store_bytes(uint8_t *to, struct bytes from, uint32_t size)
{
    if (threadIdx.x < size) to[threadIdx.x] = from.v[threadIdx.x];
}

int clzk_cu_store(clzk_stream stream, void *to, const void *from_host, size_t size)
{
    struct bytes b = {};

    if (!size || size > sizeof b) return size ? 1 : 0;          // cudaErrorInvalidValue
    memcpy(&b, from_host, size);
    return clzk_launch(store_bytes, dim3(1), dim3(64), stream, (uint8_t *)to, b, (uint32_t)size);
}
