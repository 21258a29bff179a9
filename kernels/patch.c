// patch.c - translation of a small square.
#include <math.h>

#include "patch.h"

enum { R = CLZK_PATCH_REACH, N = CLZK_PATCH_SIDE, STEPS = 8 };
static const float least_deviation = 0.004f;        // of lightness 0 to 1: one code of 8 bits

static float pixel(const float *picture, int w, int h, int x, int y)
{
    x = x < 0 ? 0 : x >= w ? w - 1 : x;
    y = y < 0 ? 0 : y >= h ? h - 1 : y;
    return picture[(long)y * w + x];
}

bool clzk_patch_take(struct clzk_patch *patch, const float *picture, int w, int h, float x, float y)
{
    const int i = (int)floorf(x), k = (int)floorf(y);
    const float fx = x - (float)i, fy = y - (float)k;
    float *v = patch->values;
    double sum = 0, squares = 0, mean, deviation;

    for (int n = 0; n < N * N; n++) {
        const int at_x = i + n % N - R, at_y = k + n / N - R;
        const float top = pixel(picture, w, h, at_x, at_y) * (1 - fx) + pixel(picture, w, h, at_x + 1, at_y) * fx;
        const float bottom = pixel(picture, w, h, at_x, at_y + 1) * (1 - fx) + pixel(picture, w, h, at_x + 1, at_y + 1) * fx;
        v[n] = top * (1 - fy) + bottom * fy;
        sum += v[n];
        squares += (double)v[n] * v[n];
    }
    mean = sum / (N * N);
    deviation = sqrt(fmax(squares / (N * N) - mean * mean, 0));
    for (int n = 0; n < N * N; n++) v[n] = (float)((v[n] - mean) / fmax(deviation, 1e-6));
    return deviation >= least_deviation;
}

// Gradient of the patch at its pixel n.
static void gradient(const float *v, int n, float g[2])
{
    const int x = n % N, y = n / N;

    g[0] = (v[x < N - 1 ? n + 1 : n] - v[x > 0 ? n - 1 : n]) * (x > 0 && x < N - 1 ? 0.5f : 1);
    g[1] = (v[y < N - 1 ? n + N : n] - v[y > 0 ? n - N : n]) * (y > 0 && y < N - 1 ? 0.5f : 1);
}

float clzk_patch_find(const struct clzk_patch *patch, const float *picture, int w, int h, float reach, float *x, float *y)
{
    const float *v = patch->values;
    struct clzk_patch seen;
    double a = 0, b = 0, c = 0, determinant;
    float at_x = *x, at_y = *y, correlation = 0;

    for (int n = 0; n < N * N; n++) {
        float g[2];
        gradient(v, n, g);
        a += (double)g[0] * g[0];
        b += (double)g[0] * g[1];
        c += (double)g[1] * g[1];
    }
    determinant = a * c - b * b;
    if (determinant < 1e-3 * (a + c) * (a + c)) return -1;      // an edge: it could be anywhere along it
    for (int step = 0; step < STEPS; step++) {
        double p = 0, q = 0;
        float dx, dy;
        if (!clzk_patch_take(&seen, picture, w, h, at_x, at_y)) return -1;
        for (int n = 0; n < N * N; n++) {
            float g[2];
            gradient(v, n, g);
            p += (double)g[0] * (seen.values[n] - v[n]);
            q += (double)g[1] * (seen.values[n] - v[n]);
        }
        dx = (float)((c * p - b * q) / determinant);
        dy = (float)((a * q - b * p) / determinant);
        at_x -= dx;
        at_y -= dy;
        if (!(fabsf(at_x - *x) <= reach && fabsf(at_y - *y) <= reach)) return -1;
        if (fabsf(dx) < 0.01f && fabsf(dy) < 0.01f) break;
    }
    if (!clzk_patch_take(&seen, picture, w, h, at_x, at_y)) return -1;
    for (int n = 0; n < N * N; n++) correlation += seen.values[n] * v[n];
    *x = at_x;
    *y = at_y;
    return correlation / (N * N);
}
