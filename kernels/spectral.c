// spectral.c - spectral norm; see spectral.h. A discriminator's largest matrix has 512 x 4096 elements: little work beside its
// convolution.
#include <math.h>

#include "spectral.h"

static const double least = 1e-12;

static void normalise(float *x, int64_t count)
{
    double squares = 0;

    for (int64_t i = 0; i < count; i++) squares += (double)x[i] * x[i];
    squares = sqrt(squares);
    if (squares < least) squares = least;
    for (int64_t i = 0; i < count; i++) x[i] = (float)(x[i] / squares);
}

static double dot(const float *a, const float *b, int64_t count)
{
    double sum = 0;

    for (int64_t i = 0; i < count; i++) sum += (double)a[i] * b[i];
    return sum;
}

void clzk_spectral(float *to, const float *w, float *u, float *v, float *sigma, int rows, int64_t columns)
{
    double length = 0, factor;

    for (int64_t k = 0; k < columns; k++) v[k] = 0;
    for (int i = 0; i < rows; i++)
        for (int64_t k = 0; k < columns; k++) v[k] += u[i] * w[i * columns + k];
    normalise(v, columns);
    for (int i = 0; i < rows; i++) {
        const double x = dot(w + i * columns, v, columns);
        u[i] = (float)x;
        length += x * x;
    }
    normalise(u, rows);
    length = sqrt(length);                  // u . (w v), u being w v made a unit vector
    *sigma = (float)(length < least ? least : length);
    factor = 1 / (double)*sigma;
    for (int64_t i = 0; i < rows * columns; i++) to[i] = (float)(w[i] * factor);
}

void clzk_spectral_gradient(float *dw, const float *to, const float *u, const float *v, float sigma, int rows, int64_t columns)
{
    const double along = dot(dw, to, rows * columns), factor = 1 / (double)sigma;

    for (int i = 0; i < rows; i++)
        for (int64_t k = 0; k < columns; k++)
            dw[i * columns + k] = (float)((dw[i * columns + k] - along * u[i] * v[k]) * factor);
}
