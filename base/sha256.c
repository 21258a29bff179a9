// sha256.c - SHA-256 (FIPS 180-4, section 6.2), for the data of model files and checkpoints.
#include <string.h>

#include "sha256.h"

static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01,
    0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc,
    0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08,
    0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotate(uint32_t x, int n)
{
    return x >> n | x << (32 - n);
}

static uint32_t load_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

// One round. The caller rotates the roles of the eight working variables instead of copying them.
static inline void round_of(uint32_t a, uint32_t b, uint32_t c, uint32_t *d, uint32_t e, uint32_t f, uint32_t g, uint32_t *h,
                            uint32_t wk)
{
    const uint32_t t = *h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + (g ^ (e & (f ^ g))) + wk;
    *d += t;
    *h = t + (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));
}

static void blocks(uint32_t state[8], const uint8_t *p, size_t count)
{
    uint32_t w[64];

    for (; count; count--, p += 64) {
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int i = 0; i < 16; i++) w[i] = load_be32(p + 4 * i);
        for (int i = 16; i < 64; i++) {
            const uint32_t s0 = rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3;
            const uint32_t s1 = rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10;
            w[i] = w[i - 16] + s0 + w[i - 7] + s1;
        }
        for (int i = 0; i < 64; i += 8) {
            round_of(a, b, c, &d, e, f, g, &h, w[i] + constants[i]);
            round_of(h, a, b, &c, d, e, f, &g, w[i + 1] + constants[i + 1]);
            round_of(g, h, a, &b, c, d, e, &f, w[i + 2] + constants[i + 2]);
            round_of(f, g, h, &a, b, c, d, &e, w[i + 3] + constants[i + 3]);
            round_of(e, f, g, &h, a, b, c, &d, w[i + 4] + constants[i + 4]);
            round_of(d, e, f, &g, h, a, b, &c, w[i + 5] + constants[i + 5]);
            round_of(c, d, e, &f, g, h, a, &b, w[i + 6] + constants[i + 6]);
            round_of(b, c, d, &e, f, g, h, &a, w[i + 7] + constants[i + 7]);
        }
        state[0] += a, state[1] += b, state[2] += c, state[3] += d;
        state[4] += e, state[5] += f, state[6] += g, state[7] += h;
    }
}

void clzi_sha256_init(struct clzi_sha256 *s)
{
    *s = (struct clzi_sha256){ .h = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab,
                                      0x5be0cd19 } };
}

void clzi_sha256_update(struct clzi_sha256 *s, const void *data, size_t size)
{
    const uint8_t *p = data;
    const size_t have = s->size % 64;

    s->size += size;
    if (have) {
        const size_t n = size < 64 - have ? size : 64 - have;
        memcpy(s->block + have, p, n);
        p += n, size -= n;
        if (have + n < 64) return;
        blocks(s->h, s->block, 1);
    }
    blocks(s->h, p, size / 64);
    if (size % 64) memcpy(s->block, p + size / 64 * 64, size % 64);
}

void clzi_sha256_hex(struct clzi_sha256 *s, char hex[65])
{
    static const uint8_t padding[64] = { 0x80 };
    static const char digits[] = "0123456789abcdef";
    const uint64_t bits = s->size * 8;
    const size_t have = s->size % 64;
    uint8_t length[8];

    for (int i = 0; i < 8; i++) length[i] = (uint8_t)(bits >> (56 - 8 * i));
    clzi_sha256_update(s, padding, have < 56 ? 56 - have : 120 - have);
    clzi_sha256_update(s, length, 8);
    for (int i = 0; i < 64; i++) hex[i] = digits[s->h[i / 8] >> (28 - 4 * (i % 8)) & 15];
    hex[64] = 0;
}
