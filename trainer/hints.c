// hints.c - draws hints from true colours.
#include <math.h>
#include <string.h>

#include "hints.h"
#include "kernels/philox.h"

// In the Philox counter, beside the uses of crop.c, which are small numbers, and those of loader.c.
enum use { USE_COUNT = 253, USE_SQUARES = 252 };

int clzt_hints_count(const struct clzt_hint_params *params, uint64_t seed, int64_t epoch, int64_t picture)
{
    const double more = params->points / (1 + params->points);     // probability of one more square: the mean is `points`
    uint32_t r[4];

    clzk_philox(seed, (uint64_t)epoch << 32 | USE_COUNT, (uint64_t)picture, r);
    if (clzk_uniform(r[0]) < params->none || !(params->points > 0)) return 0;
    if (clzk_uniform(r[1]) < 0.01f) return CLZT_HINT_ALL;
    // P(n >= k) = more^k. 1 - u is above 0, so n is finite.
    return (int)(log(1 - (double)clzk_uniform(r[2])) / log(more));
}

// Where a side of `side` pixels begins in a line of `length`: normal about the middle, standard deviation a quarter of the free
// pixels, clipped.
static int place(float normal, int length, int side)
{
    const int free = length - side;
    const float at = (0.5f + 0.25f * normal) * free;

    return at < 0 ? 0 : at > free ? free : (int)at;
}

static void put_square(float *hints, const float *ab, struct clzt_size size, int x, int y, int w, int h)
{
    const int64_t plane = (int64_t)size.w * size.h;

    for (int c = 0; c < 3; c++) {
        double sum = 0;
        for (int i = y; i < y + h && c < 2; i++)
            for (int k = x; k < x + w; k++) sum += ab[c * plane + (int64_t)i * size.w + k];
        for (int i = y; i < y + h; i++)
            for (int k = x; k < x + w; k++) hints[c * plane + (int64_t)i * size.w + k] = c < 2 ? (float)(sum / (w * h)) : 1;
    }
}

void clzt_hints_draw(float *hints, const float *ab, struct clzt_size size, int count, uint64_t seed, int64_t epoch,
                     int64_t picture)
{
    const size_t plane = (size_t)size.w * size.h;

    memset(hints, 0, 3 * plane * sizeof *hints);
    if (count == CLZT_HINT_ALL) {
        memcpy(hints, ab, 2 * plane * sizeof *hints);
        for (size_t i = 0; i < plane; i++) hints[2 * plane + i] = 1;
    }
    for (int n = 0; n < count; n++) {
        uint32_t r[4];
        double at[2];
        int w, h;
        clzk_philox(seed, (uint64_t)epoch << 32 | (uint64_t)(n & 0xffff) << 8 | USE_SQUARES, (uint64_t)picture, r);
        clzk_normals(r, at);
        const int side = 1 + (int)((uint64_t)r[2] * CLZT_HINT_SIDE >> 32);
        w = side < size.w ? side : size.w;
        h = side < size.h ? side : size.h;
        put_square(hints, ab, size, place((float)at[0], size.w, w), place((float)at[1], size.h, h), w, h);
    }
}
