// device.cuh - what all CUDA kernels share: types and their vectors, launches, sums over a block. Without nvcc, the names of CUDA
// come from a header that is included before (tests/cuda_emu.h).
#ifndef CLZK_CUDA_DEVICE_CUH
#define CLZK_CUDA_DEVICE_CUH
#include <math.h>
#include <string.h>

#include "kernels/cuda.h"

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>

// `name`: shared memory of the block, `count` (a constant) elements of `type`.
#define CLZK_SHARED(type, name, count) __shared__ type name[count]

// Queues kernel(args...). Returns a cudaError_t, of this launch: cudaGetLastError(), which <<<>>> needs, would also report what
// an earlier call of this thread, perhaps the application's, has left there.
template <typename... P, typename... A>
static int clzk_launch(void (*kernel)(P...), dim3 grid, dim3 block, clzk_stream stream, A... args)
{
    return [&](P... exact) {
        void *list[] = { (void *)&exact... };
        return (int)cudaLaunchKernel((const void *)kernel, grid, block, list, 0, stream);
    }(args...);
}
#endif

// Every kernel has internal linkage and blocks of THREADS threads, unless it says otherwise.
enum { THREADS = 256, WARP = 32 };
#define FULL_MASK 0xffffffffu

static inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline dim3 blocks_of(int64_t threads) { return dim3((unsigned)divide_up(threads, THREADS)); }
static inline bool aligned(const void *p, size_t to) { return ((uintptr_t)p & (to - 1)) == 0; }

// The number of this thread in a grid of one dimension. A tensor has fewer than 2^32 elements.
static __device__ __forceinline__ uint32_t thread_number() { return blockIdx.x * THREADS + threadIdx.x; }

// ---- element types ----

typedef __half f16;
typedef __nv_bfloat16 bf16;

static __device__ __forceinline__ float get(float x) { return x; }
static __device__ __forceinline__ float get(f16 x) { return __half2float(x); }
static __device__ __forceinline__ float get(bf16 x) { return __bfloat162float(x); }
template <typename T> __device__ __forceinline__ T put(float x);
template <> __device__ __forceinline__ float put<float>(float x) { return x; }
template <> __device__ __forceinline__ f16 put<f16>(float x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ bf16 put<bf16>(float x) { return __float2bfloat16_rn(x); }

// V elements, aligned to their size, that are read or written with one instruction.
template <typename T, int V> struct alignas(sizeof(T) * V) elements { T v[V]; };
template <typename T> struct vector_of { static const int count = 16 / sizeof(T); };        // elements in 128 bits

// An integer of as many bytes, through which vectors are read and written: the compiler would take their elements one by one.
template <int BYTES> struct word;
template <> struct word<1> { typedef uint8_t type; };
template <> struct word<2> { typedef uint16_t type; };
template <> struct word<4> { typedef uint32_t type; };
template <> struct word<8> { typedef uint2 type; };
template <> struct word<16> { typedef uint4 type; };

template <int V, typename T> __device__ __forceinline__ elements<T, V> read_elements(const T *p)
{
    typedef typename word<sizeof(T) * V>::type W;
    const W w = *(const W *)p;
    elements<T, V> e;
    memcpy(&e, &w, sizeof e);
    return e;
}

template <int V, typename T> __device__ __forceinline__ void write_elements(T *p, const elements<T, V> &e)
{
    typedef typename word<sizeof(T) * V>::type W;
    W w;
    memcpy(&w, &e, sizeof w);
    *(W *)p = w;
}

template <int V, typename T> __device__ __forceinline__ void load(float (&to)[V], const T *p)
{
    const elements<T, V> e = read_elements<V>(p);
#pragma unroll
    for (int i = 0; i < V; i++) to[i] = get(e.v[i]);
}

template <int V, typename T> __device__ __forceinline__ void store(T *p, const float (&from)[V])
{
    elements<T, V> e;
#pragma unroll
    for (int i = 0; i < V; i++) e.v[i] = put<T>(from[i]);
    write_elements<V>(p, e);
}

// Calls f<T>(...) of the enum's type; f is a function template that returns int.
#define BY_TYPE(type, f, ...) \
    ((type) == CLZK_F32 ? f<float>(__VA_ARGS__) : (type) == CLZK_F16 ? f<f16>(__VA_ARGS__) : f<bf16>(__VA_ARGS__))
// f<T, V>(...): V elements of 128 bits where a row of c elements consists of whole vectors, else one.
#define BY_TYPE_AND_WIDTH(type, c, f, ...)                                                                                  \
    ((type) == CLZK_F32 ? (c) % 4 == 0 ? f<float, 4>(__VA_ARGS__) : f<float, 1>(__VA_ARGS__) :                              \
     (type) == CLZK_F16 ? (c) % 8 == 0 ? f<f16, 8>(__VA_ARGS__) : f<f16, 1>(__VA_ARGS__) :                                  \
     (c) % 8 == 0 ? f<bf16, 8>(__VA_ARGS__) : f<bf16, 1>(__VA_ARGS__))

// ---- rows of channels ----

// Where numbers belong to channels, a thread reads those of its V channels once and takes them for several rows (pixels), which
// are row_groups apart: neighbouring threads have neighbouring channels.
struct row_loop { uint32_t groups, row_groups; int64_t rows; };

static inline struct row_loop row_loop(int64_t rows, int c, int v)
{
    const int64_t many = 1 << 18, most = 8;     // threads enough for any device; rows of a thread at most
    const int64_t per_thread = rows * (c / v) / many, each = per_thread < 1 ? 1 : per_thread > most ? most : per_thread;
    const struct row_loop loop = { (uint32_t)(c / v), (uint32_t)divide_up(rows, each), rows };

    return loop;
}

static inline dim3 row_loop_blocks(struct row_loop k) { return blocks_of((int64_t)k.groups * k.row_groups); }

// ---- activations ----

// Not inlined, or each unrolled loop would contain tanh and exp many times over.
[[maybe_unused]] static __device__ __noinline__ float curved_activation(float z, bool sigmoid)
{
    return sigmoid ? 1 / (1 + expf(-z)) : tanhf(z);
}

static __device__ __forceinline__ float activate(float z, struct clzk_activation a)
{
    const float slope = a.act == CLZK_ACT_NONE ? 1 : a.act == CLZK_ACT_LEAKY ? a.slope : 0;
    const float most = a.act == CLZK_ACT_RELU6 ? 6 : INFINITY;

    if (a.act == CLZK_ACT_TANH || a.act == CLZK_ACT_SIGMOID) return curved_activation(z, a.act == CLZK_ACT_SIGMOID);
    return z > 0 ? (z < most ? z : most) : slope != 0 ? slope * z : 0;
}

static __device__ __forceinline__ float activation_slope(float y, struct clzk_activation a)
{
    switch (a.act) {
    case CLZK_ACT_RELU:    return y > 0 ? 1 : 0;
    case CLZK_ACT_LEAKY:   return y > 0 ? 1 : a.slope;
    case CLZK_ACT_TANH:    return 1 - y * y;
    case CLZK_ACT_SIGMOID: return y * (1 - y);
    case CLZK_ACT_RELU6:   return y > 0 && y < 6 ? 1 : 0;
    default:               return 1;
    }
}

// ---- sums ----

static __device__ __forceinline__ float warp_sum(float v)
{
    for (int step = WARP / 2; step; step /= 2) v += __shfl_xor_sync(FULL_MASK, v, step);
    return v;
}

static __device__ __forceinline__ float warp_max(float v)
{
    for (int step = WARP / 2; step; step /= 2) v = fmaxf(v, __shfl_xor_sync(FULL_MASK, v, step));
    return v;
}
#endif
