// bench_frame.c - speed of the conversions of frames, relative to memcpy, for `make bench`: 1920x1080 yuv420p, network at
// 448x256. Prints a line each: "name ms GB/s memcpy_GB/s". Bytes read and bytes written count once each; medians of the turns.
//
//     bench_frame [THREADS]
#include <string.h>

#include "bench.h"
#include "engine/pixfmt.h"
#include "kernels/threads.h"

enum { W = 1920, H = 1080, NET_W = 448, NET_H = 256, FRAMES = 12, ROUNDS = 61 };    // 12 frames: 37 MB, beyond the caches

// Reads and writes as many bytes as the conversion, with as many threads.
static void copy(char *to, const char *from, size_t bytes, int threads)
{
#pragma omp parallel for num_threads(threads)
    for (int i = 0; i < threads; i++) {
        const size_t begin = bytes * i / threads, end = bytes * (i + 1) / threads;
        memcpy(to + begin, from + begin, end - begin);
    }
}

int main(int argc, char **argv)
{
    static double times[2][ROUNDS], copies[2][ROUNDS];
    static const char *const names[] = { "frame_to_L", "merge" };
    const size_t luma = (size_t)W * H, chroma = luma / 2, net = (size_t)NET_W * NET_H * sizeof(float);
    const size_t bytes[] = { luma + 2 * net, luma + 3 * net + chroma };
    const int threads = argc > 1 ? atoi(argv[1]) : clzk_threads();
    struct clz_frame f[FRAMES];
    struct clzk_frame_plan *plan;
    struct clzk_colour_table *colours;
    struct clzk_picture first;
    char *from = malloc((FRAMES + 2) * luma), *to = malloc((FRAMES + 2) * luma);
    float *y = malloc(net), *l = malloc(net), *ab = malloc(2 * net);

    clzk_set_threads(threads);
    for (int i = 0; i < FRAMES; i++) {
        f[i] = frame_create(W, H, i);
        f[i].range = CLZ_RANGE_LIMITED;     // a stream determines these
        f[i].matrix = CLZ_MATRIX_709;
        f[i].siting = CLZ_SITING_LEFT;
    }
    memset(from, 1, (FRAMES + 2) * luma);
    memset(to, 1, (FRAMES + 2) * luma);
    for (size_t i = 0; i < 2 * net / sizeof *ab; i++) ab[i] = (float)(i % NET_W) / NET_W - 0.5f;
    first = clzi_picture(&f[0]);
    if (clzk_colour_table_create(&colours, &(struct clzk_colour_space){ .weights = first.weights }, false) < 0 ||
        clzk_frame_plan_create(&plan, &first, &first, NET_W, NET_H, colours) < 0)
        return 1;
    for (int r = 0; r < ROUNDS; r++) {
        const struct clzk_picture one = clzi_picture(&f[r % FRAMES]);
        char *const a = from + r % FRAMES * luma, *const b = to + r % FRAMES * luma;
        double t = clzi_now();
        clzk_frame_to_l(plan, &one, y, l, 50, 1);
        times[0][r] = clzi_now() - t;
        t = clzi_now();
        copy(b, a, bytes[0] / 2, threads);
        copies[0][r] = clzi_now() - t;
        t = clzi_now();
        clzk_frame_merge(plan, &one, &one, y, ab, 40);
        times[1][r] = clzi_now() - t;
        t = clzi_now();
        copy(a, b, bytes[1] / 2, threads);
        copies[1][r] = clzi_now() - t;
    }
    for (int i = 0; i < 2; i++) {
        const double t = median(times[i], ROUNDS), c = median(copies[i], ROUNDS);
        printf("%s %.3f %.2f %.2f\n", names[i], t * 1e3, bytes[i] / t * 1e-9, bytes[i] / c * 1e-9);
    }
    return 0;
}
