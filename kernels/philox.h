// philox.h - Philox4x32-10, a counter-based random number generator (Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
// as easy as 1, 2, 3", SC 2011). A number is a function of key and counter alone, so it does not matter which thread makes it,
// in what order, or whether a run was interrupted before. Compiled by C and CUDA compilers alike.
#ifndef CLZK_PHILOX_H
#define CLZK_PHILOX_H
#include <stdint.h>

#ifdef __CUDACC__
#define CLZK_PHILOX_FN static __host__ __device__ inline
#else
#define CLZK_PHILOX_FN static inline
#endif

struct clzk_philox { uint32_t v[4]; };      // four random words

// key: what the stream belongs to (a seed); counter: which four words of it.
CLZK_PHILOX_FN struct clzk_philox clzk_philox(const uint32_t key[2], const uint32_t counter[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    struct clzk_philox r;

    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xd2511f53u * c0, p1 = (uint64_t)0xcd9e8d57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9e3779b9u;                  // golden ratio
        k1 += 0xbb67ae85u;                  // sqrt(3) - 1
    }
    r.v[0] = c0;
    r.v[1] = c1;
    r.v[2] = c2;
    r.v[3] = c3;
    return r;
}

// Uniform in [0, 1), on a grid of 2^-24: every value is exact in a float.
CLZK_PHILOX_FN float clzk_uniform(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }
#endif
