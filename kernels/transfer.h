// transfer.h - between the components of a film, 0..1, and linear light, in which diffuse white is 1. Extended to negative values
// as odd functions, as lab_math.h has sRGB.
//
// PQ: SMPTE ST 2084 / ITU-R BT.2100, absolute: 203 cd/m2 are diffuse white (ITU-R BT.2408). HLG: the inverse OETF of BT.2100, the
// system gamma 1.2 of a display of 1000 cd/m2, component by component; 75 % are diffuse white (BT.2408). SDR: the sRGB curve, as
// the reference trainings had it, for BT.1886 and BT.2020 of 10 and 12 bits too.
#ifndef CLZK_TRANSFER_H
#define CLZK_TRANSFER_H
#include "lab_math.h"

enum clzk_transfer { CLZK_TRANSFER_SDR, CLZK_TRANSFER_PQ, CLZK_TRANSFER_HLG };

#define CLZK_DIFFUSE_WHITE 203.f            // cd/m2
#define CLZK_HLG_GAMMA 1.2f
#define CLZK_HLG_WHITE 0.264962560f         // inverse OETF of 0.75
#define CLZK_PEAK_PQ (10000.f / CLZK_DIFFUSE_WHITE)
#define CLZK_PEAK_HLG 4.92395f              // (1 / 0.26496256)^1.2

static inline float clzk_pq_to_linear(float c)
{
    const double m1 = 2610 / 16384., m2 = 2523 / 4096. * 128, c1 = 3424 / 4096., c2 = 2413 / 4096. * 32, c3 = 2392 / 4096. * 32;
    const double p = pow(c, 1 / m2), n = p - c1 > 0 ? p - c1 : 0;

    return (float)(pow(n / (c2 - c3 * p), 1 / m1) * CLZK_PEAK_PQ);
}

static inline float clzk_linear_to_pq(float l)
{
    const double m1 = 2610 / 16384., m2 = 2523 / 4096. * 128, c1 = 3424 / 4096., c2 = 2413 / 4096. * 32, c3 = 2392 / 4096. * 32;
    const double p = pow(l / CLZK_PEAK_PQ, m1);

    return (float)pow((c1 + c2 * p) / (1 + c3 * p), m2);
}

static inline float clzk_hlg_to_linear(float c)
{
    const double a = 0.17883277, b = 0.28466892, d = 0.55991073;
    const double scene = c <= 0.5f ? (double)c * c / 3 : (exp((c - d) / a) + b) / 12;

    return (float)pow(scene / CLZK_HLG_WHITE, CLZK_HLG_GAMMA);
}

static inline float clzk_linear_to_hlg(float l)
{
    const double a = 0.17883277, b = 0.28466892, d = 0.55991073;
    const double scene = pow(l, 1 / (double)CLZK_HLG_GAMMA) * CLZK_HLG_WHITE;

    return (float)(scene <= 1 / 12. ? sqrt(3 * scene) : a * log(12 * scene - b) + d);
}

static inline float clzk_to_linear(enum clzk_transfer transfer, float c)
{
    const float a = fabsf(c);
    float l;

    if (transfer == CLZK_TRANSFER_SDR) return clzk_srgb_to_linear(c);
    l = transfer == CLZK_TRANSFER_PQ ? clzk_pq_to_linear(a) : clzk_hlg_to_linear(a);
    return c < 0 ? -l : l;
}

static inline float clzk_from_linear(enum clzk_transfer transfer, float l)
{
    const float a = fabsf(l);
    float c;

    if (transfer == CLZK_TRANSFER_SDR) return clzk_linear_to_srgb(l);
    c = transfer == CLZK_TRANSFER_PQ ? clzk_linear_to_pq(a) : clzk_linear_to_hlg(a);
    return l < 0 ? -c : c;
}

// The largest linear light of a component.
static inline float clzk_peak(enum clzk_transfer transfer)
{
    return transfer == CLZK_TRANSFER_PQ ? CLZK_PEAK_PQ : transfer == CLZK_TRANSFER_HLG ? CLZK_PEAK_HLG : 1;
}

// Linear R, G, B of BT.709's primaries to those of BT.2020 (ITU-R BT.2087).
static inline void clzk_709_to_2020(float rgb[3])
{
    const float r = rgb[0], g = rgb[1], b = rgb[2];

    rgb[0] = 0.627404f * r + 0.329283f * g + 0.043313f * b;
    rgb[1] = 0.069097f * r + 0.919540f * g + 0.011362f * b;
    rgb[2] = 0.016391f * r + 0.088013f * g + 0.895595f * b;
}
#endif
