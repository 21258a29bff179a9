// loss.cu - losses: one f32 number, and the derivative of it times *dy (engine/ref/loss.c has the formulas).
#include "device.cuh"

#include "sums.cuh"

static __device__ __forceinline__ float loss_value(float p, float t, enum clzk_loss_kind kind)
{
    const float d = p - t, hinge = t > 0.5f ? 1 - p : 1 + p;

    switch (kind) {
    case CLZK_LOSS_L1:    return fabsf(d);
    case CLZK_LOSS_L2:    return d * d;
    case CLZK_LOSS_BCE:   return (p > 0 ? p : 0) - p * t + log1pf(expf(-fabsf(p)));
    case CLZK_LOSS_HINGE: return hinge > 0 ? hinge : 0;
    default:              return -p;
    }
}

static __device__ __forceinline__ float loss_slope(float p, float t, enum clzk_loss_kind kind)
{
    const float d = p - t, sign = t > 0.5f ? -1 : 1;

    switch (kind) {
    case CLZK_LOSS_L1:    return d > 0 ? 1 : d < 0 ? -1 : 0;
    case CLZK_LOSS_L2:    return 2 * d;
    case CLZK_LOSS_BCE:   return 1 / (1 + expf(-p)) - t;
    case CLZK_LOSS_HINGE: return 1 + sign * p > 0 ? sign : 0;
    default:              return -1;
    }
}

namespace {
template <typename T> struct loss_term {
    const T *x, *t, *weight;
    int c;
    struct clzk_loss loss;
    __device__ float operator()(int64_t i) const
    {
        const float value = loss_value(get(x[i]), t ? get(t[i]) : loss.target, loss.kind);
        return weight ? get(weight[i / c]) * value : value;
    }
};
} // namespace

template <typename T>
static int loss_forward(float *out, const void *x, const void *t, const void *weight, int64_t pixels, int c,
                        struct clzk_loss loss, void *work, clzk_stream stream)
{
    const loss_term<T> term = { (const T *)x, (const T *)t, (const T *)weight, c, loss };
    const int64_t count = pixels * c;

    return total(out, term, count, (float)(1 / (double)count), false, (float *)work, stream);
}

int clzk_cu_loss(clzk_stream stream, enum clzk_type type, float *out, const void *x, const void *t, const void *weight,
                 int64_t pixels, int c, struct clzk_loss loss, void *work)
{
    return pixels && c ? BY_TYPE(type, loss_forward, out, x, t, weight, pixels, c, loss, work, stream) : 0;
}

template <typename T>
static __global__ void loss_back(T *dx, const float *dy, struct loss_term<T> k, int64_t count)
{
    const int64_t i = thread_number();

    if (i >= count) return;
    const float scale = (float)(*dy / (double)count) * (k.weight ? get(k.weight[i / k.c]) : 1);
    dx[i] = put<T>(scale * loss_slope(get(k.x[i]), k.t ? get(k.t[i]) : k.loss.target, k.loss.kind));
}

template <typename T>
static int loss_backward(void *dx, const float *dy, const void *x, const void *t, const void *weight, int64_t pixels, int c,
                         struct clzk_loss loss, clzk_stream stream)
{
    const loss_term<T> term = { (const T *)x, (const T *)t, (const T *)weight, c, loss };
    const int64_t count = pixels * c;

    return clzk_launch(loss_back<T>, blocks_of(count), dim3(THREADS), stream, (T *)dx, dy, term, count);
}

int clzk_cu_loss_back(clzk_stream stream, enum clzk_type type, void *dx, const float *dy, const void *x, const void *t,
                      const void *weight, int64_t pixels, int c, struct clzk_loss loss)
{
    return pixels && c ? BY_TYPE(type, loss_backward, dx, dy, x, t, weight, pixels, c, loss, stream) : 0;
}

// ---- chroma: mean over pictures of |mean chroma of x - mean chroma of t| ----

static __device__ __forceinline__ float chroma_of(float a, float b, float eps) { return sqrtf(a * a + b * b + eps); }

// A block of THREADS threads sums part of one picture: partial [n][gridDim.x].
template <typename T>
static __global__ void chroma_partial(float *partial, const T *x, const T *t, int64_t area, float eps)
{
    const int64_t first = blockIdx.y * area;
    float sum = 0;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < area; i += (int64_t)gridDim.x * THREADS) {
        const int64_t at = 2 * (first + i);
        sum += chroma_of(get(x[at]), get(x[at + 1]), eps) - chroma_of(get(t[at]), get(t[at + 1]), eps);
    }
    sum = block_sum(sum);
    if (!threadIdx.x) partial[(int64_t)blockIdx.y * gridDim.x + blockIdx.x] = sum;
}

// One block for each picture.
static __global__ void chroma_difference(float *difference, const float *partial, int blocks, float area)
{
    float sum = 0;

    for (int i = (int)threadIdx.x; i < blocks; i += THREADS) sum += partial[(int64_t)blockIdx.x * blocks + i];
    sum = block_sum(sum);
    if (!threadIdx.x) difference[blockIdx.x] = sum / area;
}

static __global__ void chroma_mean(float *out, const float *difference, int n)
{
    float sum = 0;

    for (int i = (int)threadIdx.x; i < n; i += THREADS) sum += fabsf(difference[i]);
    sum = block_sum(sum);
    if (!threadIdx.x) *out = sum / n;
}

// Of one picture, so that the partial sums fit into the scratch of channel sums.
static int chroma_blocks(int n, int64_t area)
{
    const int64_t blocks = divide_up(area, THREADS * TOTAL_ELEMENTS), most = 2 * sum_chunks(n, area, 2);

    return (int)(blocks < most ? blocks : most);
}

template <typename T>
static int chroma_forward(float *out, float *difference, const void *x, const void *t, int n, int64_t area, float eps,
                          float *work, clzk_stream stream)
{
    const int blocks = chroma_blocks(n, area);
    int ret = clzk_launch(chroma_partial<T>, dim3((unsigned)blocks, (unsigned)n), dim3(THREADS), stream, work, (const T *)x,
                          (const T *)t, area, eps);

    if (ret) return ret;
    ret = clzk_launch(chroma_difference, dim3((unsigned)n), dim3(THREADS), stream, difference, (const float *)work, blocks,
                      (float)area);
    return ret ? ret : clzk_launch(chroma_mean, dim3(1), dim3(THREADS), stream, out, (const float *)difference, n);
}

int clzk_cu_chroma(clzk_stream stream, enum clzk_type type, float *out, float *difference, const void *x, const void *t, int n,
                   int64_t area, float eps, void *work)
{
    return n && area ? BY_TYPE(type, chroma_forward, out, difference, x, t, n, area, eps, (float *)work, stream) : 0;
}

template <typename T>
static __global__ void chroma_back(T *dx, const float *dy, const float *difference, const T *x, uint32_t pixels, uint32_t area,
                                   int n, float eps)
{
    const uint32_t i = thread_number();

    if (i >= pixels) return;
    const float d = difference[i / area], a = get(x[2 * (int64_t)i]), b = get(x[2 * (int64_t)i + 1]);
    const float scale = (float)(*dy * (double)((d > 0) - (d < 0)) / area / n) / chroma_of(a, b, eps);
    dx[2 * (int64_t)i] = put<T>(scale * a);
    dx[2 * (int64_t)i + 1] = put<T>(scale * b);
}

template <typename T>
static int chroma_backward(void *dx, const float *dy, const float *difference, const void *x, int n, int64_t area, float eps,
                           clzk_stream stream)
{
    return clzk_launch(chroma_back<T>, blocks_of(n * area), dim3(THREADS), stream, (T *)dx, dy, difference, (const T *)x,
                       (uint32_t)(n * area), (uint32_t)area, n, eps);
}

int clzk_cu_chroma_back(clzk_stream stream, enum clzk_type type, void *dx, const float *dy, const float *difference,
                        const void *x, int n, int64_t area, float eps)
{
    return n && area ? BY_TYPE(type, chroma_backward, dx, dy, difference, x, n, area, eps, stream) : 0;
}
