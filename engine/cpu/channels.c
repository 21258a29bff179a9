// channels.c - functions per channel over all pixels of a tensor: affine maps and sums. The pieces of a sum depend on the shape
// only and are added in order, in double, so that the result does not depend on the number of threads.
#include "cpu.h"

struct clzi_cpu_rows clzi_cpu_rows(struct clzi_shape s)
{
    struct clzi_cpu_rows r = { .rows = (int64_t)s.n * s.h * s.w, .channels = s.c, .repeat = 1 };
    while (r.channels < CLZI_CPU_WIDE && r.rows % 2 == 0) {
        r.rows /= 2;
        r.channels *= 2;
        r.repeat *= 2;
    }
    r.pieces = (r.rows + CLZI_CPU_ROWS - 1) / CLZI_CPU_ROWS;
    return r;
}

const float *clzi_cpu_repeat(struct clzi_cpu_rows r, const float *v, float buffer[2 * CLZI_CPU_WIDE])
{
    const int channels = r.channels / r.repeat;
    if (!v || r.repeat == 1) return v;
    for (int i = 0; i < r.channels; i++) buffer[i] = v[i % channels];
    return buffer;
}

void clzi_cpu_total(struct clzi_cpu_rows r, double *total, const float *partial)
{
    const int channels = r.channels / r.repeat;
#pragma omp parallel for schedule(static) if (r.pieces * r.channels > CLZI_CPU_PIECE)
    for (int c = 0; c < channels; c++) {
        total[c] = 0;
        for (int64_t p = 0; p < r.pieces; p++)
            for (int k = 0; k < r.repeat; k++) total[c] += partial[p * r.channels + k * channels + c];
    }
}

void clzi_cpu_affine(struct clzi_device *dev, void *y, const void *x, struct clzi_shape s, const float *scale,
                     const float *shift, struct clzk_activation act)
{
    const struct clzi_cpu_rows r = clzi_cpu_rows(s);
    const int64_t step = r.channels < CLZI_CPU_PIECE ? CLZI_CPU_PIECE / r.channels : 1;
    float scale_buffer[2 * CLZI_CPU_WIDE], shift_buffer[2 * CLZI_CPU_WIDE];

    scale = clzi_cpu_repeat(r, scale, scale_buffer);
    shift = clzi_cpu_repeat(r, shift, shift_buffer);
#pragma omp parallel for schedule(static) if (r.rows > step)
    for (int64_t row = 0; row < r.rows; row += step)
        dev->nn->affine(clzi_cpu_to(dev, y, row * r.channels), clzi_cpu_at(dev, x, row * r.channels),
                        r.rows - row < step ? r.rows - row : step, r.channels, scale, shift, act);
}

size_t clzi_cpu_sum_scratch(struct clzi_shape s)
{
    const struct clzi_cpu_rows r = clzi_cpu_rows(s);
    return (size_t)r.pieces * r.channels * sizeof(float) + s.c * sizeof(double);
}

void clzi_cpu_sum(struct clzi_device *dev, float *sum, const void *x, struct clzi_shape s, void *scratch)
{
    const struct clzi_cpu_rows r = clzi_cpu_rows(s);
    double *total = scratch;
    float *partial = (float *)(total + s.c);

#pragma omp parallel for schedule(static) if (r.pieces > 1)
    for (int64_t p = 0; p < r.pieces; p++) {
        const int64_t row = p * CLZI_CPU_ROWS;
        dev->nn->sum(partial + p * r.channels, clzi_cpu_at(dev, x, row * r.channels),
                     r.rows - row < CLZI_CPU_ROWS ? r.rows - row : CLZI_CPU_ROWS, r.channels);
    }
    clzi_cpu_total(r, total, partial);
    for (int c = 0; c < s.c; c++) sum[c] = (float)total[c];
}
