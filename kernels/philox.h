// philox.h - counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as
// 1, 2, 3"). A key and a counter determine the numbers, so that they depend neither on the number of threads nor on numbers drawn
// before. Compiled by C and CUDA compilers alike.
#ifndef CLZK_PHILOX_H
#define CLZK_PHILOX_H
#include <math.h>
#include <stdint.h>

#ifdef __CUDACC__
#define CLZK_PHILOX_FN static __host__ __device__ inline
#else
#define CLZK_PHILOX_FN static inline
#endif

// The function as published: a counter of four words and a key of two give four words.
CLZK_PHILOX_FN void clzk_philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];

    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

// The same with 64-bit arguments: the key is a seed, (high, low) the counter.
CLZK_PHILOX_FN void clzk_philox(uint64_t key, uint64_t high, uint64_t low, uint32_t out[4])
{
    const uint32_t counter[4] = { (uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high, (uint32_t)(high >> 32) };
    const uint32_t k[2] = { (uint32_t)key, (uint32_t)(key >> 32) };

    clzk_philox4x32(counter, k, out);
}

// Uniform in [0, 1), on a grid of 2^-24: every value is exact in a float.
CLZK_PHILOX_FN float clzk_uniform(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

// Two independent normal numbers, mean 0 and deviation 1, of two words (Box and Muller 1958).
CLZK_PHILOX_FN void clzk_normals(const uint32_t word[2], double pair[2])
{
    const double radius = sqrt(-2 * log((word[0] + 1.0) / 4294967296.0)), angle = 6.283185307179586 * word[1] / 4294967296.0;

    pair[0] = radius * cos(angle);
    pair[1] = radius * sin(angle);
}
#endif
