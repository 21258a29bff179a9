// lab_math.h - conversions of one pixel between sRGB, CIE L*a*b* and Y'. Compiled by C and CUDA compilers alike.
//
// The Lab constants are those of scikit-image's rgb2lab (D65, 2 degrees), which the reference trainings used. Ranges: R'G'B' and
// Y' 0..1, L* 0..100, a* and b* about -110..110.
#ifndef CLZK_LAB_MATH_H
#define CLZK_LAB_MATH_H
#include <math.h>

#ifdef __CUDACC__
#define CLZK_FN static __host__ __device__ inline
#else
#define CLZK_FN static inline
#endif

// IEC 61966-2-1, extended to negative values as an odd function (f(-x) = -f(x)), so that colours out of gamut stay finite and
// invertible.
CLZK_FN float clzk_srgb_to_linear(float c)
{
    const float a = fabsf(c), l = a > 0.04045f ? powf((a + 0.055f) / 1.055f, 2.4f) : a / 12.92f;
    return c < 0 ? -l : l;
}

CLZK_FN float clzk_linear_to_srgb(float l)
{
    const float a = fabsf(l), c = a > 0.0031308f ? 1.055f * powf(a, 1 / 2.4f) - 0.055f : a * 12.92f;
    return l < 0 ? -c : c;
}

// CIE 1976: f(t) and its inverse, with the constants of scikit-image.
CLZK_FN float clzk_lab_f(float t) { return t > 0.008856f ? cbrtf(t) : 7.787f * t + 16.f / 116; }
CLZK_FN float clzk_lab_f_inverse(float f) { return f > 0.2068966f ? f * f * f : (f - 16.f / 116) / 7.787f; }
CLZK_FN float clzk_lab_f_inverse_slope(float f) { return f > 0.2068966f ? 3 * f * f : 1 / 7.787f; }

// Linear RGB to CIE XYZ of the same colour, and the XYZ of white (D65, 2 degrees; Y = 1).
#define CLZK_WHITE_X 0.95047f
#define CLZK_WHITE_Z 1.08883f
CLZK_FN float clzk_linear_to_x(float r, float g, float b) { return 0.412453f * r + 0.357580f * g + 0.180423f * b; }
CLZK_FN float clzk_linear_to_y(float r, float g, float b) { return 0.212671f * r + 0.715160f * g + 0.072169f * b; }
CLZK_FN float clzk_linear_to_z(float r, float g, float b) { return 0.019334f * r + 0.119193f * g + 0.950227f * b; }

CLZK_FN void clzk_linear_to_lab(const float rgb[3], float lab[3])
{
    const float x = clzk_linear_to_x(rgb[0], rgb[1], rgb[2]) / CLZK_WHITE_X;
    const float y = clzk_linear_to_y(rgb[0], rgb[1], rgb[2]);
    const float z = clzk_linear_to_z(rgb[0], rgb[1], rgb[2]) / CLZK_WHITE_Z;
    const float fx = clzk_lab_f(x), fy = clzk_lab_f(y), fz = clzk_lab_f(z);
    lab[0] = 116 * fy - 16;
    lab[1] = 500 * (fx - fy);
    lab[2] = 200 * (fy - fz);
}

// Not clipped: components may lie outside 0..1 for colours out of gamut.
CLZK_FN void clzk_lab_to_linear(const float lab[3], float rgb[3])
{
    const float fy = (lab[0] + 16) / 116, fx = fy + lab[1] / 500, fz = fy - lab[2] / 200;
    const float x = CLZK_WHITE_X * clzk_lab_f_inverse(fx), y = clzk_lab_f_inverse(fy);
    const float z = CLZK_WHITE_Z * clzk_lab_f_inverse(fz > 0 ? fz : 0);
    rgb[0] = 3.24048134f * x - 1.53715152f * y - 0.49853633f * z;
    rgb[1] = -0.96925495f * x + 1.87599f * y + 0.04155593f * z;
    rgb[2] = 0.05564664f * x - 0.20404134f * y + 1.05731107f * z;
}

CLZK_FN void clzk_rgb_to_lab(const float rgb[3], float lab[3])
{
    const float linear[3] = { clzk_srgb_to_linear(rgb[0]), clzk_srgb_to_linear(rgb[1]), clzk_srgb_to_linear(rgb[2]) };
    clzk_linear_to_lab(linear, lab);
}

CLZK_FN void clzk_lab_to_rgb(const float lab[3], float rgb[3])
{
    float linear[3];
    clzk_lab_to_linear(lab, linear);
    for (int i = 0; i < 3; i++) rgb[i] = clzk_linear_to_srgb(linear[i]);
}

// A pixel as the networks have it, L* / 50 - 1 and ab / 110, to R'G'B' cut to 0..1, as (255 c - 127) / 128; and the gradient of a
// loss by l, a, b from that by the result. What is cut off has none.
CLZK_FN void clzk_net_to_rgb(const float lab[3], float rgb[3])
{
    const float scaled[3] = { 50 * (lab[0] + 1), 110 * lab[1], 110 * lab[2] };

    clzk_lab_to_linear(scaled, rgb);
    for (int i = 0; i < 3; i++) {
        const float c = clzk_linear_to_srgb(rgb[i] < 0 ? 0 : rgb[i] > 1 ? 1 : rgb[i]);
        rgb[i] = (255 * c - 127) / 128;
    }
}

CLZK_FN void clzk_net_to_rgb_back(const float lab[3], const float drgb[3], float dlab[3])
{
    const float fy = (50 * lab[0] + 66) / 116, fx = fy + 110 * lab[1] / 500, fz = fy - 110 * lab[2] / 200;
    const float scaled[3] = { 50 * (lab[0] + 1), 110 * lab[1], 110 * lab[2] };
    float rgb[3], d[3];

    clzk_lab_to_linear(scaled, rgb);
    for (int i = 0; i < 3; i++) {           // by linear R, G, B
        const float l = rgb[i];
        d[i] = l < 0 || l > 1 ? 0 : drgb[i] * (255.f / 128) * (l > 0.0031308f ? 1.055f / 2.4f * powf(l, 1 / 2.4f - 1) : 12.92f);
    }
    {
        const float dx = CLZK_WHITE_X * (3.24048134f * d[0] - 0.96925495f * d[1] + 0.05564664f * d[2]);
        const float dy = -1.53715152f * d[0] + 1.87599f * d[1] - 0.20404134f * d[2];
        const float dz = CLZK_WHITE_Z * (-0.49853633f * d[0] + 0.04155593f * d[1] + 1.05731107f * d[2]);
        const float dfx = dx * clzk_lab_f_inverse_slope(fx), dfy = dy * clzk_lab_f_inverse_slope(fy);
        const float dfz = fz > 0 ? dz * clzk_lab_f_inverse_slope(fz) : 0;
        dlab[0] = 50.f / 116 * (dfx + dfy + dfz);
        dlab[1] = 110.f / 500 * dfx;
        dlab[2] = -110.f / 200 * dfz;
    }
}

// L* of the grey pixel that has this Y' (R' = G' = B' = Y'), and back.
CLZK_FN float clzk_luma_to_l(float y) { return 116 * clzk_lab_f(clzk_srgb_to_linear(y)) - 16; }
CLZK_FN float clzk_l_to_luma(float l) { return clzk_linear_to_srgb(clzk_lab_f_inverse((l + 16) / 116)); }

// Y' = kr R' + (1 - kr - kb) G' + kb B'; U = (B' - Y') / (2 (1 - kb)), V = (R' - Y') / (2 (1 - kr)).
struct clzk_luma_weights { float kr, kb; };
#define CLZK_KR_601  0.299                      // ITU-R BT.601
#define CLZK_KB_601  0.114
#define CLZK_KR_709  0.2126                     // ITU-R BT.709
#define CLZK_KB_709  0.0722
#define CLZK_KR_2020 0.2627                     // ITU-R BT.2020, non-constant luminance
#define CLZK_KB_2020 0.0593
#define CLZK_LUMA_601  { (float)CLZK_KR_601, (float)CLZK_KB_601 }
#define CLZK_LUMA_709  { (float)CLZK_KR_709, (float)CLZK_KB_709 }
#define CLZK_LUMA_2020 { (float)CLZK_KR_2020, (float)CLZK_KB_2020 }

// CIEDE2000 (Sharma, Wu, Dalal 2005), kL = kC = kH = 1. In double: its terms cancel.
CLZK_FN double clzk_delta_e2000(const float lab1[3], const float lab2[3])
{
    const double pi = 3.14159265358979323846, rad = pi / 180, p25 = 6103515625.0;
    const double c1 = hypot(lab1[1], lab1[2]), c2 = hypot(lab2[1], lab2[2]), cm = (c1 + c2) / 2, cm7 = pow(cm, 7);
    const double g = 0.5 * (1 - sqrt(cm7 / (cm7 + p25)));
    const double a1 = (1 + g) * lab1[1], a2 = (1 + g) * lab2[1], b1 = lab1[2], b2 = lab2[2];
    const double cp1 = hypot(a1, b1), cp2 = hypot(a2, b2);
    double h1 = cp1 > 0 ? atan2(b1, a1) : 0, h2 = cp2 > 0 ? atan2(b2, a2) : 0, dh, hm;
    const double dl = (double)lab2[0] - lab1[0], dc = cp2 - cp1;

    if (h1 < 0) h1 += 2 * pi;
    if (h2 < 0) h2 += 2 * pi;
    dh = h2 - h1;
    if (cp1 * cp2 == 0) dh = 0;
    else if (dh > pi) dh -= 2 * pi;
    else if (dh < -pi) dh += 2 * pi;
    hm = h1 + h2;
    if (cp1 * cp2 != 0) {
        if (fabs(h1 - h2) <= pi) hm /= 2;
        else hm = hm < 2 * pi ? hm / 2 + pi : hm / 2 - pi;
    }
    {
        const double big = 2 * sqrt(cp1 * cp2) * sin(dh / 2), lm = ((double)lab1[0] + lab2[0]) / 2, cpm = (cp1 + cp2) / 2;
        const double t = 1 - 0.17 * cos(hm - 30 * rad) + 0.24 * cos(2 * hm) + 0.32 * cos(3 * hm + 6 * rad) -
                         0.20 * cos(4 * hm - 63 * rad);
        const double theta = 30 * rad * exp(-pow((hm / rad - 275) / 25, 2)), cpm7 = pow(cpm, 7);
        const double rc = 2 * sqrt(cpm7 / (cpm7 + p25)), l50 = (lm - 50) * (lm - 50);
        const double sl = 1 + 0.015 * l50 / sqrt(20 + l50), sc = 1 + 0.045 * cpm, sh = 1 + 0.015 * cpm * t;
        const double rt = -sin(2 * theta) * rc;
        return sqrt(pow(dl / sl, 2) + pow(dc / sc, 2) + pow(big / sh, 2) + rt * (dc / sc) * (big / sh));
    }
}
#endif
