// depthwise.cu - depthwise convolution: each channel has a window of its own. x [n][h][w][c], y [n][oh][ow][c], w [k k][c] f32.
#include "device.cuh"

#include "sums.cuh"

// ---- forward, and the gradient of x where the stride is 1 ----

// What the kernels read: a picture of h x w, windows that begin at (oy s - pad, ox s - pad), a result of oh x ow. flip: the
// window is turned by 180 degrees, which makes the gradient of x out of dy.
struct window { int n, c, h, w, oh, ow, k, s, pad; bool flip; };

enum { RUN = 4 };                               // pixels of a row that one thread computes, V channels of each

// K and S are constants, so that sums and weights stay in registers and each number of x is read once a row of the window.
template <typename T, int V, int K, int S>
static __global__ void depthwise_run(T *y, const T *x, const float *w, const float *bias, struct window p, uint32_t count,
                                     struct clzk_activation act)
{
    const uint32_t t = thread_number(), groups = p.c / V, runs = (p.ow + RUN - 1) / RUN;
    const int c = (int)(t % groups) * V, first = (int)(t / groups % runs) * RUN, line = (int)(t / groups / runs);
    const int oy = line % p.oh, n = line / p.oh, left = first * S - p.pad;
    float sum[RUN][V];

    if (t >= count) return;
#pragma unroll
    for (int r = 0; r < RUN; r++)
#pragma unroll
        for (int v = 0; v < V; v++) sum[r][v] = bias ? bias[c + v] : 0;
#pragma unroll 1
    for (int i = 0; i < K; i++) {
        const int row = oy * S - p.pad + i;
        if (row < 0 || row >= p.h) continue;
        const T *const from = x + ((int64_t)n * p.h + row) * p.w * p.c + c;
        float weight[K][V], in[V];
#pragma unroll
        for (int j = 0; j < K; j++) {
            const float *const at = w + (int64_t)(p.flip ? K * K - 1 - (i * K + j) : i * K + j) * p.c + c;
            if (V % 4 == 0) {
#pragma unroll
                for (int v = 0; v < V; v += 4) {
                    const float4 four = *(const float4 *)(at + v);
                    weight[j][v] = four.x, weight[j][v + 1] = four.y, weight[j][v + 2] = four.z, weight[j][v + 3] = four.w;
                }
            } else {
#pragma unroll
                for (int v = 0; v < V; v++) weight[j][v] = at[v];
            }
        }
#pragma unroll
        for (int column = 0; column < (RUN - 1) * S + K; column++) {
            if (left + column < 0 || left + column >= p.w) continue;
            load(in, from + (int64_t)(left + column) * p.c);
#pragma unroll
            for (int r = 0; r < RUN; r++) {
                const int j = column - r * S;
                if (j < 0 || j >= K) continue;
#pragma unroll
                for (int v = 0; v < V; v++) sum[r][v] += weight[j][v] * in[v];
            }
        }
    }
#pragma unroll
    for (int r = 0; r < RUN; r++) {
        if (first + r >= p.ow) continue;
#pragma unroll
        for (int v = 0; v < V; v++) sum[r][v] = activate(sum[r][v], act);
        store(y + ((int64_t)line * p.ow + first + r) * p.c + c, sum[r]);
    }
}

// Any window and stride, any number of channels.
template <typename T>
static __global__ void depthwise_any(T *y, const T *x, const float *w, const float *bias, struct window p, uint32_t count,
                                     struct clzk_activation act)
{
    const uint32_t t = thread_number();
    const int c = (int)(t % p.c), ox = (int)(t / p.c % p.ow), line = (int)(t / p.c / p.ow), oy = line % p.oh, n = line / p.oh;

    if (t >= count) return;
    float sum = bias ? bias[c] : 0;
    for (int i = 0; i < p.k; i++) {
        const int row = oy * p.s - p.pad + i;
        if (row < 0 || row >= p.h) continue;
        for (int j = 0; j < p.k; j++) {
            const int column = ox * p.s - p.pad + j;
            if (column < 0 || column >= p.w) continue;
            sum += w[(int64_t)(p.flip ? p.k * p.k - 1 - (i * p.k + j) : i * p.k + j) * p.c + c] *
                   get(x[(((int64_t)n * p.h + row) * p.w + column) * p.c + c]);
        }
    }
    y[t] = put<T>(activate(sum, act));
}

template <typename T>
static int depthwise(void *y, const void *x, const float *w, const float *bias, const struct window *p,
                     struct clzk_activation act, clzk_stream stream)
{
    const int V = vector_of<T>::count;
    const int64_t lines = (int64_t)p->n * p->oh, count = lines * p->ow * p->c, runs = lines * divide_up(p->ow, RUN) * (p->c / V);
    void (*run)(T *, const T *, const float *, const float *, struct window, uint32_t, struct clzk_activation) = NULL;

    if (p->k == 3 && p->s == 1) run = depthwise_run<T, V, 3, 1>;
    else if (p->k == 3 && p->s == 2) run = depthwise_run<T, V, 3, 2>;
    else if (p->k == 5 && p->s == 1) run = depthwise_run<T, V, 5, 1>;
    else if (p->k == 5 && p->s == 2) run = depthwise_run<T, V, 5, 2>;
    if (run && p->c % V == 0 && aligned(w, 16))
        return clzk_launch(run, blocks_of(runs), dim3(THREADS), stream, (T *)y, (const T *)x, w, bias, *p, (uint32_t)runs, act);
    return clzk_launch(depthwise_any<T>, blocks_of(count), dim3(THREADS), stream, (T *)y, (const T *)x, w, bias, *p,
                       (uint32_t)count, act);
}

int clzk_cu_depthwise(clzk_stream stream, enum clzk_type type, void *y, const void *x, const float *w, const float *bias, int n,
                      const struct clzk_depthwise *p, struct clzk_activation act)
{
    const struct window win = { n, p->channels, p->h, p->w, p->oh, p->ow, p->k, p->stride, p->pad, false };

    return n ? BY_TYPE(type, depthwise, y, x, w, bias, &win, act, stream) : 0;
}

// ---- gradient of x, other strides: an element gathers from the windows that hold it ----

template <typename T, int V>
static __global__ void depthwise_back(T *dx, const T *dy, const float *w, struct window p, uint32_t count)
{
    const uint32_t t = thread_number(), groups = p.c / V;
    const int c = (int)(t % groups) * V, column = (int)(t / groups % p.w), line = (int)(t / groups / p.w);
    const int row = line % p.h, n = line / p.h;
    float sum[V] = {}, g[V];

    if (t >= count) return;
    for (int i = (row + p.pad) % p.s; i < p.k && i <= row + p.pad; i += p.s) {
        const int oy = (row + p.pad - i) / p.s;
        if (oy >= p.oh) continue;
        for (int j = (column + p.pad) % p.s; j < p.k && j <= column + p.pad; j += p.s) {
            const int ox = (column + p.pad - j) / p.s;
            if (ox >= p.ow) continue;
            const float *const weight = w + (int64_t)(i * p.k + j) * p.c + c;
            load(g, dy + (((int64_t)n * p.oh + oy) * p.ow + ox) * p.c + c);
#pragma unroll
            for (int v = 0; v < V; v++) sum[v] += weight[v] * g[v];
        }
    }
    store(dx + (int64_t)t * V, sum);
}

template <typename T, int V>
static int back_launch(void *dx, const void *dy, const float *w, const struct window *p, clzk_stream stream)
{
    const int64_t count = (int64_t)p->n * p->h * p->w * (p->c / V);

    return clzk_launch(depthwise_back<T, V>, blocks_of(count), dim3(THREADS), stream, (T *)dx, (const T *)dy, w, *p,
                       (uint32_t)count);
}

int clzk_cu_depthwise_back(clzk_stream stream, enum clzk_type type, void *dx, const void *dy, const float *w, int n,
                           const struct clzk_depthwise *p)
{
    const struct window win = { n, p->channels, p->h, p->w, p->oh, p->ow, p->k, p->stride, p->pad, false };
    const struct window turned = { n, p->channels, p->oh, p->ow, p->h, p->w, p->k, 1, p->k - 1 - p->pad, true };
    const struct clzk_activation none = { CLZK_ACT_NONE, 0 };

    if (!n) return 0;
    if (p->stride == 1) return BY_TYPE(type, depthwise, dx, dy, w, NULL, &turned, none, stream);
    return BY_TYPE_AND_WIDTH(type, p->channels, back_launch, dx, dy, w, &win, stream);
}

// ---- gradient of w ----

// Blocks as in sums.cuh, a channel or two a thread. Each block sums a chunk of the rows of y for all places of the window; the
// partial sums [chunk][k k][c] are added up in order.
enum { WEIGHT_BLOCKS = 512, WEIGHT_CHANNELS = 2, WEIGHT_PIXELS = 16 };         // WEIGHT_PIXELS: of a thread, at least

struct weight_chunks { int lanes, channel_blocks; int64_t rows, chunks; };      // rows: of y, in a chunk

static struct weight_chunks weight_chunks(int n, const struct clzk_depthwise *p)
{
    struct weight_chunks k;
    const int vectors = (int)divide_up(p->channels, WEIGHT_CHANNELS);
    int64_t least;

    k.lanes = sum_lanes(vectors);
    least = divide_up(WEIGHT_PIXELS * THREADS / k.lanes, p->ow);
    k.channel_blocks = (int)divide_up(vectors, k.lanes);
    k.rows = divide_up((int64_t)n * p->oh, divide_up(WEIGHT_BLOCKS, k.channel_blocks));
    if (k.rows < least) k.rows = least;
    k.chunks = divide_up((int64_t)n * p->oh, k.rows);
    return k;
}

size_t clzk_cu_depthwise_size(int n, const struct clzk_depthwise *p)
{
    return n && p->oh ? (size_t)weight_chunks(n, p).chunks * p->k * p->k * p->channels * sizeof(float) : 0;
}

// K: the window's size; 0: any, one place of the window after the other, with x and dy read again for each.
template <typename T, int V, int K>
static __global__ void depthwise_weights(float *partial, const T *x, const T *dy, struct window p, int64_t chunk_rows)
{
    const int SIDE = K ? K : 1, k = K ? K : p.k;            // SIDE: of the part of the window that is summed at once
    CLZK_SHARED(float, lines, SIDE * V * THREADS);
    const int tx = (int)threadIdx.x, ty = (int)threadIdx.y, lanes = (int)blockDim.x, step = (int)blockDim.y;
    const int c = ((int)blockIdx.x * lanes + tx) * V;
    const int64_t all = (int64_t)p.n * p.oh, begin = (int64_t)blockIdx.y * chunk_rows;
    const int64_t first = begin * p.ow, end = (begin + chunk_rows < all ? begin + chunk_rows : all) * p.ow;

    for (int place = 0; place < k * k; place += SIDE * SIDE) {
        const int top = place / k, left = place % k;
        float sum[SIDE][SIDE][V] = {};
        for (int64_t at = first + ty; at < end && c < p.c; at += step) {
            const int ox = (int)(at % p.ow), line = (int)(at / p.ow), oy = line % p.oh, n = line / p.oh;
            float g[V], in[V];
            load(g, dy + at * p.c + c);
#pragma unroll
            for (int i = 0; i < SIDE; i++) {
                const int row = oy * p.s - p.pad + top + i;
                if (row < 0 || row >= p.h) continue;
                const T *const from = x + ((int64_t)n * p.h + row) * p.w * p.c + c;
#pragma unroll
                for (int j = 0; j < SIDE; j++) {
                    const int column = ox * p.s - p.pad + left + j;
                    if (column < 0 || column >= p.w) continue;
                    load(in, from + (int64_t)column * p.c);
#pragma unroll
                    for (int v = 0; v < V; v++) sum[i][j][v] += g[v] * in[v];
                }
            }
        }
#pragma unroll
        for (int i = 0; i < SIDE; i++) {
            __syncthreads();
#pragma unroll
            for (int j = 0; j < SIDE; j++)
#pragma unroll
                for (int v = 0; v < V; v++) lines[((j * V + v) * step + ty) * lanes + tx] = sum[i][j][v];
            __syncthreads();
            for (int m = ty; m < SIDE * V && c < p.c; m += step) {
                float s = 0;
                for (int l = 0; l < step; l++) s += lines[(m * step + l) * lanes + tx];
                partial[(((int64_t)blockIdx.y * k + top + i) * k + left + m / V) * p.c + c + m % V] = s;
            }
        }
    }
}

// dw [c][k k] += sum over chunks. A warp for each number.
static __global__ void add_weights(float *dw, const float *partial, int chunks, int places, int c)
{
    const int64_t at = (int64_t)blockIdx.x * (THREADS / WARP) + threadIdx.x / WARP, size = (int64_t)places * c;
    float sum = 0;

    if (at < size)
        for (int i = (int)(threadIdx.x % WARP); i < chunks; i += WARP) sum += partial[i * size + at];
    sum = warp_sum(sum);
    if (at < size && threadIdx.x % WARP == 0) dw[at % c * places + at / c] += sum;
}

template <typename T, int V>
static int weights_launch(float *dw, const void *x, const void *dy, int n, const struct clzk_depthwise *p, float *work,
                          clzk_stream stream)
{
    const struct window win = { n, p->channels, p->h, p->w, p->oh, p->ow, p->k, p->stride, p->pad, false };
    const struct weight_chunks k = weight_chunks(n, p);
    const int places = p->k * p->k, vectors = p->channels / V, lanes = sum_lanes(vectors);
    const dim3 grid((unsigned)divide_up(vectors, lanes), (unsigned)k.chunks), block(lanes, THREADS / lanes);
    const bool odd = V == 1;                    // rare: compiled for any window only
    const int ret = clzk_launch(p->k == 3 && !odd ? depthwise_weights<T, V, V == 1 ? 0 : 3> :
                                p->k == 5 && !odd ? depthwise_weights<T, V, V == 1 ? 0 : 5> : depthwise_weights<T, V, 0>,
                                grid, block, stream, work, (const T *)x, (const T *)dy, win, k.rows);

    return ret ? ret : clzk_launch(add_weights, dim3((unsigned)divide_up((int64_t)places * p->channels, THREADS / WARP)),
                                   dim3(THREADS), stream, dw, (const float *)work, (int)k.chunks, places, p->channels);
}

template <typename T>
static int weights(float *dw, const void *x, const void *dy, int n, const struct clzk_depthwise *p, float *work,
                   clzk_stream stream)
{
    return p->channels % WEIGHT_CHANNELS ? weights_launch<T, 1>(dw, x, dy, n, p, work, stream) :
                                           weights_launch<T, WEIGHT_CHANNELS>(dw, x, dy, n, p, work, stream);
}

int clzk_cu_depthwise_weights(clzk_stream stream, enum clzk_type type, float *dw, const void *x, const void *dy, int n,
                              const struct clzk_depthwise *p, void *work)
{
    return n && p->oh && p->ow && dw ? BY_TYPE(type, weights, dw, x, dy, n, p, (float *)work, stream) : 0;
}
