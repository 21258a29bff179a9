// cuda_faults.cu - see cuda_faults.h.
#include "cuda_faults.h"

#include "kernels/cuda/device.cuh"

enum { BLOCK = 64 };

template <bool BARRIER> static __global__ void reverse(float *v)
{
    CLZK_SHARED(float, copy, BLOCK);
    float *const at = v + blockIdx.x * BLOCK;
    copy[threadIdx.x] = at[threadIdx.x];
    if (BARRIER) __syncthreads();
    at[threadIdx.x] = copy[BLOCK - 1 - threadIdx.x];
}

template <bool BARRIER> static __global__ void overtake(float *v)
{
    CLZK_SHARED(float, warps, BLOCK / WARP);
    float sum = 1;

    for (int i = 0; i < 2; i++) {
        sum = warp_sum(sum / (i ? BLOCK / 2 : 1));
        if (BARRIER) __syncthreads();
        if (threadIdx.x % WARP == 0) warps[threadIdx.x / WARP] = sum;
        __syncthreads();
        sum = warps[0] + warps[1];
    }
    v[threadIdx.x] = sum;
}

static __global__ void divergent(float *v)
{
    if (threadIdx.x < 5) __syncthreads();
    v[threadIdx.x] = 0;
}

static __global__ void two_barriers(float *v)
{
    if (threadIdx.x < 5) __syncthreads();
    else
        __syncthreads();
    v[threadIdx.x] = 0;
}

static __global__ void early_return(float *v)
{
    if (threadIdx.x == 63) return;
    __syncthreads();
    v[threadIdx.x] = 0;
}

static __global__ void half_warp(float *v)
{
    if (threadIdx.x % WARP < 16) v[threadIdx.x] = __shfl_xor_sync(FULL_MASK, 1.f, 1);
}

static __global__ void global_range(float *v) { v[threadIdx.x] = 0; }

static __global__ void shared_range(float *v)
{
    CLZK_SHARED(float, copy, BLOCK - 1);
    copy[threadIdx.x] = 1;
    __syncthreads();
    v[threadIdx.x] = copy[0];
}

static __global__ void unwritten(float *v)
{
    CLZK_SHARED(float, copy, BLOCK);
    v[threadIdx.x] = copy[threadIdx.x];
}

static __global__ void misaligned(float *v)
{
    float four[4] = {};
    store(v + 1, four);
}

static __global__ void sums(float *v)
{
    v[blockIdx.x * BLOCK + threadIdx.x] = warp_sum((float)threadIdx.x);
    __syncthreads();
    if (blockIdx.x == 0 && threadIdx.x == 0) v[BLOCK] = (float)gridDim.x;
}

int fault_reverse(float *v, int count, bool missing)
{
    return clzk_launch(missing ? reverse<false> : reverse<true>, dim3(count / BLOCK), dim3(BLOCK), NULL, v);
}
int fault_overtake(float *v, bool missing)
{
    return clzk_launch(missing ? overtake<false> : overtake<true>, dim3(1), dim3(BLOCK), NULL, v);
}
int fault_divergent(float *v) { return clzk_launch(divergent, dim3(1), dim3(BLOCK), NULL, v); }
int fault_two_barriers(float *v) { return clzk_launch(two_barriers, dim3(1), dim3(BLOCK), NULL, v); }
int fault_early_return(float *v) { return clzk_launch(early_return, dim3(1), dim3(BLOCK), NULL, v); }
int fault_half_warp(float *v) { return clzk_launch(half_warp, dim3(1), dim3(BLOCK), NULL, v); }
int fault_global(float *v, int count) { return clzk_launch(global_range, dim3(1), dim3(count + 1), NULL, v); }
int fault_shared(float *v) { return clzk_launch(shared_range, dim3(1), dim3(BLOCK), NULL, v); }
int fault_unwritten(float *v) { return clzk_launch(unwritten, dim3(1), dim3(BLOCK), NULL, v); }
int fault_misaligned(float *v) { return clzk_launch(misaligned, dim3(1), dim3(1), NULL, v); }
int fault_threads(float *v) { return clzk_launch(global_range, dim3(1), dim3(1025), NULL, v); }
int fault_none(float *v) { return clzk_launch(sums, dim3(1), dim3(BLOCK), NULL, v); }
