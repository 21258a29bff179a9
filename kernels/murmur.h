// murmur.h - MurmurHash3, the form of 128 bits for 64-bit machines (Austin Appleby, public domain; smhasher/MurmurHash3.cpp).
// It knows contents again, 3 to 6 GB/s; it is no protection against contents that are made to collide.
#ifndef CLZK_MURMUR_H
#define CLZK_MURMUR_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct clzk_murmur { uint64_t h[2]; };

static inline uint64_t clzk_murmur_rotate(uint64_t x, int bits) { return x << bits | x >> (64 - bits); }

static inline uint64_t clzk_murmur_mix(uint64_t x)
{
    x = (x ^ x >> 33) * UINT64_C(0xff51afd7ed558ccd);
    x = (x ^ x >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

static inline uint64_t clzk_murmur_first(uint64_t k)
{
    return clzk_murmur_rotate(k * UINT64_C(0x87c37b91114253d5), 31) * UINT64_C(0x4cf5ad432745937f);
}

static inline uint64_t clzk_murmur_second(uint64_t k)
{
    return clzk_murmur_rotate(k * UINT64_C(0x4cf5ad432745937f), 33) * UINT64_C(0x87c37b91114253d5);
}

// The hash of one more piece, with what came before it as the seed: pieces of other lengths have other hashes. From zeros, the
// hash of one piece is MurmurHash3_x64_128 with the seed 0. On machines of the other byte order it is another one.
static inline void clzk_murmur(struct clzk_murmur *hash, const void *data, size_t size)
{
    const unsigned char *p = (const unsigned char *)data;
    uint64_t a = hash->h[0], b = hash->h[1], k[2];
    size_t left = size;

    for (; left >= 16; left -= 16, p += 16) {
        memcpy(k, p, 16);
        a = (clzk_murmur_rotate(a ^ clzk_murmur_first(k[0]), 27) + b) * 5 + 0x52dce729;
        b = (clzk_murmur_rotate(b ^ clzk_murmur_second(k[1]), 31) + a) * 5 + 0x38495ab5;
    }
    k[0] = k[1] = 0;
    memcpy(k, p, left);
    a ^= clzk_murmur_first(k[0]);
    b ^= clzk_murmur_second(k[1]);
    a ^= size;
    b ^= size;
    a += b;
    b += a;
    a = clzk_murmur_mix(a);
    b = clzk_murmur_mix(b);
    hash->h[0] = a + b;
    hash->h[1] = b + hash->h[0];
}
#endif
