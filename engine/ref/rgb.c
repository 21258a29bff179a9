// rgb.c - L* / 50 - 1 and ab / 110 to R', G', B' of sRGB, cut to 0..1, as (255 c - 127) / 128: what networks that were trained on
// ImageNet read. The conversion is that of kernels/lab_math.h, here in double.
#include <math.h>

#include "ref.h"

static const double from_xyz[3][3] = {
    { 3.24048134, -1.53715152, -0.49853633 }, { -0.96925495, 1.87599, 0.04155593 }, { 0.05564664, -0.20404134, 1.05731107 }
};
static const double white[3] = { 0.95047, 1, 1.08883 };

static double f_inverse(double f) { return f > 0.2068966 ? f * f * f : (f - 16. / 116) / 7.787; }
static double f_inverse_slope(double f) { return f > 0.2068966 ? 3 * f * f : 1 / 7.787; }

// f(X), f(Y), f(Z), and linear R, G, B. b* is limited as scikit-image limits it: Z is not negative.
static void linear(double l, double a, double b, double f[3], double rgb[3])
{
    double xyz[3];

    f[1] = (50 * (l + 1) + 16) / 116;
    f[0] = f[1] + 110 * a / 500;
    f[2] = f[1] - 110 * b / 200;
    for (int i = 0; i < 3; i++) xyz[i] = white[i] * f_inverse(i == 2 && f[i] < 0 ? 0 : f[i]);
    for (int i = 0; i < 3; i++) rgb[i] = from_xyz[i][0] * xyz[0] + from_xyz[i][1] * xyz[1] + from_xyz[i][2] * xyz[2];
}

static int plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    return 0;
}

static int forward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w;

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int64_t i = 0; i < c->ys.n * area; i++) {
        const float *ab = (const float *)c->x[1] + i / area * 2 * area + i % area;
        float *y = (float *)c->y + i / area * 3 * area + i % area;
        double f[3], rgb[3];
        linear(((const float *)c->x[0])[i], ab[0], ab[area], f, rgb);
        for (int k = 0; k < 3; k++) {
            const double v = fmin(fmax(rgb[k], 0), 1), s = v > 0.0031308 ? 1.055 * pow(v, 1 / 2.4) - 0.055 : 12.92 * v;
            y[k * area] = (float)((255 * s - 127) / 128);
        }
    }
    return 0;
}

static int backward(struct clzi_call *c)
{
    const int64_t area = (int64_t)c->ys.h * c->ys.w;

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int64_t i = 0; i < c->ys.n * area; i++) {
        const int64_t at = i / area * 2 * area + i % area;
        const float *ab = (const float *)c->x[1] + at, *dy = (const float *)c->dy + i / area * 3 * area + i % area;
        double f[3], rgb[3], df[3] = { 0, 0, 0 };
        linear(((const float *)c->x[0])[i], ab[0], ab[area], f, rgb);
        for (int k = 0; k < 3; k++) {
            const double v = rgb[k], slope = v > 0.0031308 ? 1.055 / 2.4 * pow(v, 1 / 2.4 - 1) : 12.92;
            for (int j = 0; j < 3 && v >= 0 && v <= 1; j++) df[j] += dy[k * area] * 255. / 128 * slope * from_xyz[k][j];
        }
        for (int j = 0; j < 3; j++) df[j] *= j == 2 && f[j] < 0 ? 0 : white[j] * f_inverse_slope(f[j]);
        if (c->dx[0]) ((float *)c->dx[0])[i] = (float)(50. / 116 * (df[0] + df[1] + df[2]));
        if (!c->dx[1]) continue;
        ((float *)c->dx[1])[at] = (float)(110. / 500 * df[0]);
        ((float *)c->dx[1])[at + area] = (float)(-110. / 200 * df[2]);
    }
    return 0;
}

const struct clzi_op clzi_ref_rgb = { .plan = plan, .forward = forward, .backward = backward };
