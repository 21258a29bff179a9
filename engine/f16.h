// f16.h - conversion of IEEE half precision and bfloat16 from and to float in integer arithmetic, so that every machine gives
// the same bits. Rounds to nearest, ties to even.
#ifndef CLZI_F16_H
#define CLZI_F16_H
#include <stdint.h>
#include <string.h>

static inline uint32_t clzi_float_bits(float x)
{
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}

static inline float clzi_bits_float(uint32_t u)
{
    float x;
    memcpy(&x, &u, 4);
    return x;
}

static inline float clzi_f16_to_float(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3ff;
    if (e == 31) return clzi_bits_float(sign | 0x7f800000 | m << 13);
    if (e) return clzi_bits_float(sign | (e + 112) << 23 | m << 13);
    return clzi_bits_float(sign | clzi_float_bits((float)m * 0x1p-24f));    // subnormal: exact in float
}

static inline uint16_t clzi_f16_from_float(float x)
{
    const uint32_t u = clzi_float_bits(x), a = u & 0x7fffffff;
    const uint16_t sign = (uint16_t)(u >> 16 & 0x8000);
    if (a > 0x7f800000) return sign | 0x7e00;                       // NaN
    if (a >= 0x477ff000) return sign | 0x7c00;                      // 65520 and more round to infinity
    if (a >= 0x38800000) return sign | (uint16_t)((a - 0x38000000 + 0xfff + (a >> 13 & 1)) >> 13);
    // Subnormal: in a float between 0.5 and 1 the last bit is 2^-24, as in a subnormal half, so adding 0.5 rounds to it.
    return sign | (uint16_t)(clzi_float_bits(clzi_bits_float(a) + 0.5f) - 0x3f000000);
}

static inline float clzi_bf16_to_float(uint16_t h)
{
    return clzi_bits_float((uint32_t)h << 16);
}

static inline uint16_t clzi_bf16_from_float(float x)
{
    const uint32_t u = clzi_float_bits(x);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 0x40);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
#endif
