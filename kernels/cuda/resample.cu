// resample.cu - pools and bilinear enlargement. A thread computes V channels of one pixel of the result; gradients are gathered,
// so that no two threads add to one element.
#include "device.cuh"

#include "sums.cuh"

// Pixel and channels of a thread in [n][h][w][c].
struct place { int n, row, column, c; };

template <int V> static __device__ __forceinline__ struct place place_of(uint32_t i, int h, int w, int c)
{
    const uint32_t groups = (uint32_t)(c / V), pixel = i / groups, line = pixel / (uint32_t)w;
    const struct place p = { (int)(line / (uint32_t)h), (int)(line % (uint32_t)h), (int)(pixel % (uint32_t)w),
                             (int)(i % groups) * V };

    return p;
}

template <typename T, int V> static int64_t threads_for(int n, int h, int w, int c) { return (int64_t)n * h * w * (c / V); }

// ---- maxpool ----

template <typename T, int V>
static __global__ void maxpool(T *y, uint8_t *index, const T *x, struct clzk_pool p, uint32_t count)
{
    const uint32_t i = thread_number();
    const struct place at = place_of<V>(i, p.oh, p.ow, p.channels);
    float most[V], v[V];
    elements<uint8_t, V> where;
    bool any = false;

    if (i >= count) return;
#pragma unroll
    for (int k = 0; k < V; k++) {
        most[k] = 0;
        where.v[k] = 0;
    }
    for (int ky = 0; ky < p.k; ky++) {
        const int row = at.row * p.stride - p.pad + ky;
        if (row < 0 || row >= p.h) continue;
        for (int kx = 0; kx < p.k; kx++) {
            const int column = at.column * p.stride - p.pad + kx;
            if (column < 0 || column >= p.w) continue;
            load(v, x + (((int64_t)at.n * p.h + row) * p.w + column) * p.channels + at.c);
#pragma unroll
            for (int k = 0; k < V; k++)
                if (!any || v[k] > most[k] || (v[k] != v[k] && most[k] == most[k])) {
                    most[k] = v[k];
                    where.v[k] = (uint8_t)(ky * p.k + kx);
                }
            any = true;
        }
    }
    store(y + (int64_t)i * V, most);
    if (index) write_elements<V>(index + (int64_t)i * V, where);
}

template <typename T, int V>
static int maxpool_launch(void *y, uint8_t *index, const void *x, int n, const struct clzk_pool *p, clzk_stream stream)
{
    const int64_t count = threads_for<T, V>(n, p->oh, p->ow, p->channels);

    return count ? clzk_launch(maxpool<T, V>, blocks_of(count), dim3(THREADS), stream, (T *)y, index, (const T *)x, *p,
                               (uint32_t)count) : 0;
}

int clzk_cu_maxpool(clzk_stream stream, enum clzk_type type, void *y, uint8_t *index, const void *x, int n,
                    const struct clzk_pool *p)
{
    return BY_TYPE_AND_WIDTH(type, p->channels, maxpool_launch, y, index, x, n, p, stream);
}

// ---- gradients of pools: the windows that hold a pixel ----

// index: of maxpool, whose gradient goes to one pixel of the window; NULL: to all, divided by their number.
template <typename T, int V>
static __global__ void pool_back(T *dx, const uint8_t *index, const T *dy, struct clzk_pool p, uint32_t count)
{
    const uint32_t i = thread_number();
    const struct place at = place_of<V>(i, p.h, p.w, p.channels);
    const float share = index ? 1 : 1.f / (p.k * p.k);
    float sum[V] = {}, g[V];

    if (i >= count) return;
    for (int ky = (at.row + p.pad) % p.stride; ky < p.k && ky <= at.row + p.pad; ky += p.stride) {
        const int oy = (at.row + p.pad - ky) / p.stride;
        if (oy >= p.oh) continue;
        for (int kx = (at.column + p.pad) % p.stride; kx < p.k && kx <= at.column + p.pad; kx += p.stride) {
            const int ox = (at.column + p.pad - kx) / p.stride;
            if (ox >= p.ow) continue;
            const int64_t from = (((int64_t)at.n * p.oh + oy) * p.ow + ox) * p.channels + at.c;
            elements<uint8_t, V> where;
            if (index) where = read_elements<V>(index + from);
            load(g, dy + from);
#pragma unroll
            for (int k = 0; k < V; k++)
                if (!index || where.v[k] == ky * p.k + kx) sum[k] += g[k];
        }
    }
#pragma unroll
    for (int k = 0; k < V; k++) sum[k] *= share;
    store(dx + (int64_t)i * V, sum);
}

template <typename T, int V>
static int pool_back_launch(void *dx, const uint8_t *index, const void *dy, int n, const struct clzk_pool *p, clzk_stream stream)
{
    const int64_t count = threads_for<T, V>(n, p->h, p->w, p->channels);

    return count ? clzk_launch(pool_back<T, V>, blocks_of(count), dim3(THREADS), stream, (T *)dx, index, (const T *)dy, *p,
                               (uint32_t)count) : 0;
}

int clzk_cu_maxpool_back(clzk_stream stream, enum clzk_type type, void *dx, const uint8_t *index, const void *dy, int n,
                         const struct clzk_pool *p)
{
    return BY_TYPE_AND_WIDTH(type, p->channels, pool_back_launch, dx, index, dy, n, p, stream);
}

int clzk_cu_avgpool_back(clzk_stream stream, enum clzk_type type, void *dx, const void *dy, int n, const struct clzk_pool *p)
{
    return BY_TYPE_AND_WIDTH(type, p->channels, pool_back_launch, dx, NULL, dy, n, p, stream);
}

// ---- avgpool ----

template <typename T, int V> static __global__ void avgpool(T *y, const T *x, struct clzk_pool p, uint32_t count)
{
    const uint32_t i = thread_number();
    const struct place at = place_of<V>(i, p.oh, p.ow, p.channels);
    float sum[V] = {}, v[V];

    if (i >= count) return;
    for (int ky = 0; ky < p.k; ky++) {
        const int row = at.row * p.stride - p.pad + ky;
        if (row < 0 || row >= p.h) continue;
        for (int kx = 0; kx < p.k; kx++) {
            const int column = at.column * p.stride - p.pad + kx;
            if (column < 0 || column >= p.w) continue;
            load(v, x + (((int64_t)at.n * p.h + row) * p.w + column) * p.channels + at.c);
#pragma unroll
            for (int k = 0; k < V; k++) sum[k] += v[k];
        }
    }
#pragma unroll
    for (int k = 0; k < V; k++) sum[k] /= p.k * p.k;
    store(y + (int64_t)i * V, sum);
}

template <typename T, int V>
static int avgpool_launch(void *y, const void *x, int n, const struct clzk_pool *p, clzk_stream stream)
{
    const int64_t count = threads_for<T, V>(n, p->oh, p->ow, p->channels);

    return count ? clzk_launch(avgpool<T, V>, blocks_of(count), dim3(THREADS), stream, (T *)y, (const T *)x, *p,
                               (uint32_t)count) : 0;
}

int clzk_cu_avgpool(clzk_stream stream, enum clzk_type type, void *y, const void *x, int n, const struct clzk_pool *p)
{
    return BY_TYPE_AND_WIDTH(type, p->channels, avgpool_launch, y, x, n, p, stream);
}

// ---- globalpool ----

namespace {
template <typename T> struct plane_term {
    static const int count = 1;
    const T *x;
    template <int V> __device__ void operator()(float (&term)[1][V], int64_t at, int) const { load(term[0], x + at); }
};
template <typename T> struct plane_mean {
    T *y;
    float area;
    __device__ void operator()(const float (&sum)[1], int n, int c, int channels) const
    {
        y[(int64_t)n * channels + c] = put<T>(sum[0] / area);
    }
};
} // namespace

template <typename T>
static int globalpool(void *y, const void *x, int n, int64_t area, int c, void *work, clzk_stream stream)
{
    const plane_term<T> term = { (const T *)x };
    const plane_mean<T> mean = { (T *)y, (float)area };

    return channel_sums(term, mean, n, area, c, (float *)work, stream);
}

int clzk_cu_globalpool(clzk_stream stream, enum clzk_type type, void *y, const void *x, int n, int64_t area, int c, void *work)
{
    return n && area && c ? BY_TYPE(type, globalpool, y, x, n, area, c, work, stream) : 0;
}

template <typename T, int V> static __global__ void globalpool_back(T *dx, const T *dy, uint32_t count, uint32_t area, uint32_t c)
{
    const uint32_t i = thread_number(), k = i % (c / V) * V, n = i / (c / V) / area;
    float g[V];

    if (i >= count) return;
    load(g, dy + (int64_t)n * c + k);
#pragma unroll
    for (int j = 0; j < V; j++) g[j] /= (float)area;
    store(dx + (int64_t)i * V, g);
}

template <typename T, int V>
static int globalpool_back_launch(void *dx, const void *dy, int n, int64_t area, int c, clzk_stream stream)
{
    const int64_t count = n * area * (c / V);

    return count ? clzk_launch(globalpool_back<T, V>, blocks_of(count), dim3(THREADS), stream, (T *)dx, (const T *)dy,
                               (uint32_t)count, (uint32_t)area, (uint32_t)c) : 0;
}

int clzk_cu_globalpool_back(clzk_stream stream, enum clzk_type type, void *dx, const void *dy, int n, int64_t area, int c)
{
    return BY_TYPE_AND_WIDTH(type, c, globalpool_back_launch, dx, dy, n, area, c, stream);
}

// ---- bilinear enlargement ----

// Where pixel `out` of the enlarged row lies, in units of 1 / (2 factor) input pixels, held within the row: exact in integers.
static __device__ __forceinline__ int position(int out, int factor, int size)
{
    const int at = 2 * out + 1 - factor, last = 2 * factor * (size - 1);

    return at < 0 ? 0 : at > last ? last : at;
}

template <typename T, int V>
static __global__ void resize(T *y, const T *x, int h, int w, int c, int factor, uint32_t count)
{
    const uint32_t i = thread_number();
    const struct place at = place_of<V>(i, h * factor, w * factor, c);
    float sum[V] = {}, v[V];

    if (i >= count) return;
    const int unit = 2 * factor, py = position(at.row, factor, h), px = position(at.column, factor, w);
    for (int j = 0; j < 2; j++) {
        const int row = py / unit + j;
        const float fy = (float)(py % unit) / unit, wy = j ? fy : 1 - fy;
        if (row >= h) continue;
        for (int k = 0; k < 2; k++) {
            const int column = px / unit + k;
            const float fx = (float)(px % unit) / unit, weight = wy * (k ? fx : 1 - fx);
            if (column >= w) continue;
            load(v, x + (((int64_t)at.n * h + row) * w + column) * c + at.c);
#pragma unroll
            for (int m = 0; m < V; m++) sum[m] += weight * v[m];
        }
    }
    store(y + (int64_t)i * V, sum);
}

// Weight of input pixel `in` in output pixel `out`.
static __device__ __forceinline__ float share(int out, int in, int factor, int size)
{
    const int unit = 2 * factor, distance = position(out, factor, size) - unit * in, away = distance < 0 ? -distance : distance;

    return away < unit ? 1 - (float)away / unit : 0;
}

template <typename T, int V>
static __global__ void resize_back(T *dx, const T *dy, int h, int w, int c, int factor, uint32_t count)
{
    const uint32_t i = thread_number();
    const struct place at = place_of<V>(i, h, w, c);
    float sum[V] = {}, g[V];

    if (i >= count) return;
    const int top = at.row ? (at.row - 1) * factor : 0, bottom = at.row + 1 < h ? (at.row + 2) * factor : h * factor;
    const int left = at.column ? (at.column - 1) * factor : 0, right = at.column + 1 < w ? (at.column + 2) * factor : w * factor;
    for (int row = top; row < bottom; row++) {
        const float wy = share(row, at.row, factor, h);
        if (!(wy > 0)) continue;
        for (int column = left; column < right; column++) {
            const float weight = wy * share(column, at.column, factor, w);
            if (!(weight > 0)) continue;
            load(g, dy + (((int64_t)at.n * h * factor + row) * w * factor + column) * c + at.c);
#pragma unroll
            for (int m = 0; m < V; m++) sum[m] += weight * g[m];
        }
    }
    store(dx + (int64_t)i * V, sum);
}

template <typename T, int V>
static int resize_launch(void *to, const void *from, int n, int h, int w, int c, int factor, bool back, clzk_stream stream)
{
    const int64_t count = threads_for<T, V>(n, h, w, c) * (back ? 1 : factor * factor);

    return count ? clzk_launch(back ? resize_back<T, V> : resize<T, V>, blocks_of(count), dim3(THREADS), stream, (T *)to,
                               (const T *)from, h, w, c, factor, (uint32_t)count) : 0;
}

int clzk_cu_resize(clzk_stream stream, enum clzk_type type, void *y, const void *x, int n, int h, int w, int c, int factor)
{
    return BY_TYPE_AND_WIDTH(type, c, resize_launch, y, x, n, h, w, c, factor, false, stream);
}

int clzk_cu_resize_back(clzk_stream stream, enum clzk_type type, void *dx, const void *dy, int n, int h, int w, int c,
                        int factor)
{
    return BY_TYPE_AND_WIDTH(type, c, resize_launch, dx, dy, n, h, w, c, factor, true, stream);
}
