// bench.h - shared by the bench_ programs: clock, median, a frame, errors on stderr.
#ifndef BENCH_H
#define BENCH_H
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "engine/colorize.h"

static inline int compare_doubles(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static inline double median(double *v, int n)   // sorts v
{
    qsort(v, n, sizeof *v, compare_doubles);
    return v[n / 2];
}

static inline void print_error(void *priv, enum clz_log_level level, const char *msg)
{
    (void)priv, (void)level;
    fprintf(stderr, "%s\n", msg);
}
static const struct clz_log stderr_log = { print_error, NULL, CLZ_LOG_WARNING };

// A yuv420p frame without colour: a ramp with noise that depends on the seed.
static inline struct clz_frame frame_create(int w, int h, int seed)
{
    struct clz_frame f = { .format = clz_pixfmt_find("yuv420p"), .width = w, .height = h };

    for (int p = 0; p < 3; p++) {
        const int pw = p ? (w + 1) / 2 : w, ph = p ? (h + 1) / 2 : h;
        f.stride[p] = pw;
        if (!(f.data[p] = malloc((size_t)pw * ph))) exit(1);
        for (int i = 0; i < pw * ph; i++)
            f.data[p][i] = p ? 128 : (uint8_t)(16 + (i % pw * 160 / pw + i / pw * 50 / ph + (i + seed) * 2654435761u % 9));
    }
    return f;
}
#endif
