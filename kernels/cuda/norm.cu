// norm.cu - batch norm (Ioffe and Szegedy 2015) with a fused activation: y = act((x - mean) inverse gamma + beta), where inverse
// is 1 / sqrt(var + eps). saved: mean [c], inverse [c].
#include "device.cuh"

#include "sums.cuh"

// ---- statistics ----

// Sums of x - x0 and of its square, where x0 is the channel's first element: the difference of large squares would lose digits.
namespace {
template <typename T> struct moments {
    static const int count = 2;
    const T *x;
    template <int V> __device__ void operator()(float (&term)[2][V], int64_t at, int c) const
    {
        float first[V];
        load(term[0], x + at);
        load(first, x + c);
#pragma unroll
        for (int v = 0; v < V; v++) {
            term[0][v] -= first[v];
            term[1][v] = term[0][v] * term[0][v];
        }
    }
};

template <typename T> struct statistics {
    const T *x;
    float *saved, *running_mean, *running_var, eps, momentum;
    double pixels;
    __device__ void operator()(const float (&sum)[2], int, int c, int channels) const
    {
        const double off = sum[0] / pixels, spread = sum[1] / pixels - off * off, var = spread > 0 ? spread : 0;
        const double mean = get(x[c]) + off, unbiased = var * pixels / (pixels > 1 ? pixels - 1 : 1);
        saved[c] = (float)mean;
        saved[channels + c] = (float)(1 / sqrt(var + eps));
        running_mean[c] = (float)(running_mean[c] + momentum * (mean - running_mean[c]));
        running_var[c] = (float)(running_var[c] + momentum * (unbiased - running_var[c]));
    }
};
} // namespace

static __global__ void use_running(float *saved, const float *mean, const float *var, float eps, int c)
{
    const int i = (int)thread_number();

    if (i >= c) return;
    saved[i] = mean[i];
    saved[c + i] = (float)(1 / sqrt((double)var[i] + eps));
}

template <typename T>
static int find_statistics(const void *x, float *running_mean, float *running_var, float *saved, const struct clzk_cu_norm *p,
                           float *work, clzk_stream stream)
{
    const moments<T> terms = { (const T *)x };
    const statistics<T> result = { (const T *)x, saved, running_mean, running_var, p->eps, p->momentum, (double)p->pixels };

    return channel_sums(terms, result, 1, p->pixels, p->c, work, stream);
}

// ---- forward ----

// The numbers of V channels.
template <int V> struct channel_numbers {
    float mean[V], inverse[V], gamma[V], beta[V];
    __device__ channel_numbers(const float *saved, const float *gammas, const float *betas, int k, int c)
    {
#pragma unroll
        for (int j = 0; j < V; j++) {
            mean[j] = saved[k + j];
            inverse[j] = saved[c + k + j];
            gamma[j] = gammas[k + j];
            beta[j] = betas[k + j];
        }
    }
};

template <typename T, int V>
static __global__ void normalise(T *y, const T *x, const float *gamma, const float *beta, const float *saved,
                                 struct row_loop loop, struct clzk_activation act)
{
    const uint32_t i = thread_number();
    const int c = (int)loop.groups * V, k = (int)(i % loop.groups) * V;
    float v[V];

    if (i / loop.groups >= loop.row_groups) return;
    const channel_numbers<V> p(saved, gamma, beta, k, c);
    for (int64_t row = i / loop.groups; row < loop.rows; row += loop.row_groups) {
        load(v, x + row * c + k);
#pragma unroll
        for (int j = 0; j < V; j++) v[j] = activate((v[j] - p.mean[j]) * (p.inverse[j] * p.gamma[j]) + p.beta[j], act);
        store(y + row * c + k, v);
    }
}

template <typename T, int V>
static int normalise_launch(void *y, const void *x, const float *gamma, const float *beta, const float *saved,
                            const struct clzk_cu_norm *p, clzk_stream stream)
{
    const struct row_loop loop = row_loop(p->pixels, p->c, V);

    return clzk_launch(normalise<T, V>, row_loop_blocks(loop), dim3(THREADS), stream, (T *)y, (const T *)x, gamma, beta, saved,
                       loop, p->act);
}

int clzk_cu_norm(clzk_stream stream, enum clzk_type type, void *y, const void *x, const float *gamma, const float *beta,
                 float *running_mean, float *running_var, float *saved, const struct clzk_cu_norm *p, void *work)
{
    int ret;

    if (!p->pixels || !p->c) return 0;
    if (p->batch) ret = BY_TYPE(type, find_statistics, x, running_mean, running_var, saved, p, (float *)work, stream);
    else ret = clzk_launch(use_running, blocks_of(p->c), dim3(THREADS), stream, saved, (const float *)running_mean,
                           (const float *)running_var, p->eps, p->c);
    return ret ? ret : BY_TYPE_AND_WIDTH(type, p->c, normalise_launch, y, x, gamma, beta, (const float *)saved, p, stream);
}

// ---- backward ----

// With g = dy act'(y), xhat = (x - mean) inverse and means over the batch: dx = gamma inverse (g - mean(g) - xhat mean(g xhat)),
// where the means are there only because the statistics depend on x.

static __device__ __forceinline__ float gradient(float dy, float x, float gamma, float beta, float mean, float inverse,
                                                 struct clzk_activation act)
{
    if (act.act == CLZK_ACT_NONE) return dy;
    return dy * activation_slope(activate((x - mean) * (inverse * gamma) + beta, act), act);
}

namespace {
template <typename T> struct norm_terms {
    static const int count = 2;
    const T *dy, *x;
    const float *gamma, *beta, *saved;
    int channels;
    struct clzk_activation act;
    template <int V> __device__ void operator()(float (&term)[2][V], int64_t at, int c) const
    {
        load(term[0], dy + at);
        load(term[1], x + at);
#pragma unroll
        for (int v = 0; v < V; v++) {
            const float mean = saved[c + v], inverse = saved[channels + c + v];
            term[0][v] = gradient(term[0][v], term[1][v], gamma[c + v], beta[c + v], mean, inverse, act);
            term[1][v] = term[0][v] * ((term[1][v] - mean) * inverse);
        }
    }
};

struct norm_sums {
    float *dgamma, *dbeta, *means, scale;       // means [2][c]: of g, of g xhat; scale: 1 / pixels, 0: constants
    __device__ void operator()(const float (&sum)[2], int, int c, int channels) const
    {
        if (dgamma) dgamma[c] += sum[1];
        if (dbeta) dbeta[c] += sum[0];
        means[c] = sum[0] * scale;
        means[channels + c] = sum[1] * scale;
    }
};
} // namespace

template <typename T, int V>
static __global__ void norm_dx(T *dx, const T *dy, const T *x, const float *gamma, const float *beta, const float *saved,
                               const float *means, struct row_loop loop, struct clzk_activation act)
{
    const uint32_t i = thread_number();
    const int c = (int)loop.groups * V, k = (int)(i % loop.groups) * V;
    float g[V], v[V], mean_g[V], mean_gx[V];

    if (i / loop.groups >= loop.row_groups) return;
    const channel_numbers<V> p(saved, gamma, beta, k, c);
#pragma unroll
    for (int j = 0; j < V; j++) {
        mean_g[j] = means[k + j];
        mean_gx[j] = means[c + k + j];
    }
    for (int64_t row = i / loop.groups; row < loop.rows; row += loop.row_groups) {
        load(g, dy + row * c + k);
        load(v, x + row * c + k);
#pragma unroll
        for (int j = 0; j < V; j++) {
            const float xhat = (v[j] - p.mean[j]) * p.inverse[j];
            const float slope = gradient(g[j], v[j], p.gamma[j], p.beta[j], p.mean[j], p.inverse[j], act);
            g[j] = p.gamma[j] * p.inverse[j] * (slope - mean_g[j] - xhat * mean_gx[j]);
        }
        store(dx + row * c + k, g);
    }
}

template <typename T>
static int norm_back_sums(float *dgamma, float *dbeta, const void *dy, const void *x, const float *gamma, const float *beta,
                          const float *saved, const struct clzk_cu_norm *p, float *work, float *means, clzk_stream stream)
{
    const norm_terms<T> terms = { (const T *)dy, (const T *)x, gamma, beta, saved, p->c, p->act };
    const norm_sums sums = { dgamma, dbeta, means, p->batch ? (float)(1 / (double)p->pixels) : 0 };

    return channel_sums(terms, sums, 1, p->pixels, p->c, work, stream);
}

template <typename T, int V>
static int norm_dx_launch(void *dx, const void *dy, const void *x, const float *gamma, const float *beta, const float *saved,
                          const float *means, const struct clzk_cu_norm *p, clzk_stream stream)
{
    const struct row_loop loop = row_loop(p->pixels, p->c, V);

    return clzk_launch(norm_dx<T, V>, row_loop_blocks(loop), dim3(THREADS), stream, (T *)dx, (const T *)dy, (const T *)x, gamma,
                       beta, saved, means, loop, p->act);
}

int clzk_cu_norm_back(clzk_stream stream, enum clzk_type type, void *dx, float *dgamma, float *dbeta, const void *dy,
                      const void *x, const float *gamma, const float *beta, const float *saved,
                      const struct clzk_cu_norm *p, void *work)
{
    float *means;
    int ret;

    if (!p->pixels || !p->c) return 0;
    means = (float *)work + sums_floats(1, p->pixels, p->c);
    ret = BY_TYPE(type, norm_back_sums, dgamma, dbeta, dy, x, gamma, beta, saved, p, (float *)work, means, stream);
    if (ret || !dx) return ret;
    return BY_TYPE_AND_WIDTH(type, p->c, norm_dx_launch, dx, dy, x, gamma, beta, saved, (const float *)means, p, stream);
}
