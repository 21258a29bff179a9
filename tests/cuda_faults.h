// cuda_faults.h - kernels with faults, each of which the emulation must find (tests/cuda_emu.c).
#ifndef CUDA_FAULTS_H
#define CUDA_FAULTS_H
#include "kernels/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif
// v [count] is reversed in blocks of 64, count a multiple of 64. missing: without the barrier between writing and reading.
int fault_reverse(float *v, int count, bool missing);
// v[0 to 63] = 128, sums over warps and then shared memory, twice. missing: without the barrier before shared memory is written.
int fault_overtake(float *v, bool missing);
int fault_divergent(float *v);                  // a barrier in one branch only
int fault_two_barriers(float *v);               // each branch has a barrier of its own
int fault_early_return(float *v);               // a thread ends before the barrier
int fault_half_warp(float *v);                  // a shuffle that half of the warp does not reach
int fault_global(float *v, int count);          // writes v[count]
int fault_shared(float *v);                     // writes beyond shared memory
int fault_unwritten(float *v);                  // v[0] = shared memory that nobody wrote
int fault_misaligned(float *v);                 // a vector of four at v + 1
int fault_threads(float *v);                    // 1025 threads
int fault_none(float *v);                       // v[0 to 63] = sum over its warp of the lanes' numbers, v[64] = blocks launched
#ifdef __cplusplus
}
#endif
#endif
