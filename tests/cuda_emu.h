// cuda_emu.h - the part of CUDA that kernels/cuda/*.cu use, for a C++ compiler without CUDA: the tests compile the kernels
// against it (`-include tests/cuda_emu.h`), so that they run on the CPU, under the address and undefined-behaviour sanitizers.
//
// A launch runs block after block on the calling thread. The threads of a block are fibres: a thread runs until it meets
// __syncthreads() or a warp function, then the next one runs. A thread that meets neither costs no switch. What is found:
// - reads and writes out of range: tests allocate buffers of the exact size; CLZK_SHARED allocates shared memory for each block;
// - shared memory that is read before it is written: it is filled with NaNs;
// - a missing barrier: cuda_emu_order reverses or permutes threads, warps and blocks and lets a warp overtake the others, so that
//   results differ;
// - a barrier or warp function that not all threads reach, or reach in different lines; wrong launch sizes; misaligned vectors.
// Not emulated: memory ordering between blocks, more than one stream, timing.
#ifndef CUDA_EMU_H
#define CUDA_EMU_H
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
enum cuda_emu_order { CUDA_EMU_ASCENDING, CUDA_EMU_DESCENDING, CUDA_EMU_PERMUTED };
void cuda_emu_set_order(enum cuda_emu_order order);
// Launches since the start of the program.
int cuda_emu_launches(void);
// What was wrong with the last launch that failed (it returned 719 or 9); the program goes on. "": nothing.
const char *cuda_emu_message(void);
#ifdef __cplusplus
}

#include <math.h>
#include <string.h>

#include "engine/f16.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)

struct uint3 { unsigned x, y, z; };
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct alignas(16) float4 { float x, y, z, w; };
static inline float4 make_float4(float x, float y, float z, float w) { return float4{ x, y, z, w }; }

struct __half { uint16_t bits; };
struct __nv_bfloat16 { uint16_t bits; };
static inline float __half2float(__half h) { return clzi_f16_to_float(h.bits); }
static inline __half __float2half_rn(float x) { return __half{ clzi_f16_from_float(x) }; }
static inline float __bfloat162float(__nv_bfloat16 h) { return clzi_bits_float((uint32_t)h.bits << 16); }
static inline __nv_bfloat16 __float2bfloat16_rn(float x)
{
    const uint32_t u = clzi_float_bits(x);
    if ((u & 0x7fffffff) > 0x7f800000) return __nv_bfloat16{ 0x7fff };
    return __nv_bfloat16{ (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16) };
}

extern uint3 cuda_emu_thread, cuda_emu_block;
extern dim3 cuda_emu_block_size, cuda_emu_grid_size;
#define threadIdx cuda_emu_thread
#define blockIdx cuda_emu_block
#define blockDim cuda_emu_block_size
#define gridDim cuda_emu_grid_size

void cuda_emu_barrier(const char *file, int line);
#define __syncthreads() cuda_emu_barrier(__FILE__, __LINE__)

// The word of lane `from` of the calling thread's warp; all lanes of the mask, which must be all, give theirs.
uint64_t cuda_emu_exchange(unsigned mask, uint64_t word, int from, const char *file, int line);
template <typename T> T cuda_emu_shuffle(unsigned mask, T value, int from, const char *file, int line)
{
    uint64_t word = 0;
    memcpy(&word, &value, sizeof value);
    word = cuda_emu_exchange(mask, word, from, file, line);
    memcpy(&value, &word, sizeof value);
    return value;
}
int cuda_emu_lane(void);
#define __shfl_sync(mask, v, lane) cuda_emu_shuffle(mask, v, (lane) & 31, __FILE__, __LINE__)
#define __shfl_xor_sync(mask, v, bits) cuda_emu_shuffle(mask, v, cuda_emu_lane() ^ (bits), __FILE__, __LINE__)
#define __shfl_down_sync(mask, v, step) \
    cuda_emu_shuffle(mask, v, cuda_emu_lane() + (step) < 32 ? cuda_emu_lane() + (step) : cuda_emu_lane(), __FILE__, __LINE__)

static inline int atomicOr(int *at, int bits) { const int old = *at; *at |= bits; return old; }

// `name`: shared memory of the block, count elements of type.
void *cuda_emu_shared(const void *site, size_t size);
#define CLZK_SHARED(type, name, count) \
    static const char name##_site = 0; \
    type *const name = (type *)cuda_emu_shared(&name##_site, sizeof(type) * (count))

int cuda_emu_run(dim3 grid, dim3 block, void (*call)(void *), void *closure);

template <typename F> void cuda_emu_call(void *closure) { (*(F *)closure)(); }
template <typename... P, typename... A>
int clzk_launch(void (*kernel)(P...), dim3 grid, dim3 block, struct CUstream_st *, A... args)
{
    auto call = [&] { kernel(args...); };
    return cuda_emu_run(grid, block, cuda_emu_call<decltype(call)>, &call);
}
#endif
#endif
