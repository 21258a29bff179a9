// colour_table.c - lookup tables for colour conversion: Y' -> L*, and (a*, b*, Y') -> U, V.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "colour_table.h"

static void lab_to_yuv(const struct clzk_colour_space *s, float l, float a, float b, float yuv[3])
{
    const struct clzk_luma_weights k = s->weights;
    const float lab[3] = { l, a, b };
    float rgb[3];

    clzk_lab_to_linear(lab, rgb);
    if (s->wide) clzk_709_to_2020(rgb);
    for (int i = 0; i < 3; i++) rgb[i] = clzk_from_linear(s->transfer, rgb[i]);
    yuv[0] = k.kr * rgb[0] + (1 - k.kr - k.kb) * rgb[1] + k.kb * rgb[2];
    yuv[1] = (rgb[2] - yuv[0]) / (2 * (1 - k.kb));
    yuv[2] = (rgb[0] - yuv[0]) / (2 * (1 - k.kr));
}

// L* of linear light, which is Y of a grey pixel, and of the brightest one.
static float l_of_linear(float y) { return 116 * clzk_lab_f(y) - 16; }
static float most_l(const struct clzk_colour_space *s) { return l_of_linear(clzk_peak(s->transfer)); }

void clzk_chroma_solve(const struct clzk_colour_space *s, float y, float a, float b, float uv[2])
{
    float low = -60, high = most_l(s) + 60, yuv[3];

    for (int i = 0; i < 40; i++) {
        const float l = (low + high) / 2;
        lab_to_yuv(s, l, a, b, yuv);
        if (yuv[0] < y) low = l;
        else high = l;
    }
    uv[0] = yuv[1];
    uv[1] = yuv[2];
}

static uint32_t pack(float u, float v)
{
    const float us = u * CLZK_FIXED, vs = v * CLZK_FIXED;
    const int iu = (int)lrintf(us < -32767 ? -32767 : us > 32767 ? 32767 : us);
    const int iv = (int)lrintf(vs < -32767 ? -32767 : vs > 32767 ? 32767 : vs);
    return (uint32_t)(uint16_t)iu | (uint32_t)(uint16_t)iv << 16;
}

// U, V of all levels of Y' for one a, b. L is raised in steps, which gives Y', U and V at each step; U and V of a level are
// interpolated linearly between the two steps whose Y' enclose it.
static void fill_levels(const struct clzk_colour_space *s, float a, float b, uint32_t *to)
{
    const float range = most_l(s) + 70;     // from -30 to 40 above the brightest grey
    const int steps = (int)(300 * range / 170);
    float now[3], next[3];
    int at = 0;

    lab_to_yuv(s, -30, a, b, now);
    for (int i = 1; i <= steps && at < CLZK_LEVELS; i++) {
        lab_to_yuv(s, -30 + range * i / steps, a, b, next);
        for (; at < CLZK_LEVELS && (float)at / (CLZK_LEVELS - 1) <= next[0]; at++) {
            const float y = (float)at / (CLZK_LEVELS - 1), step = next[0] - now[0];
            float f = step > 1e-9f ? (y - now[0]) / step : 1;
            f = f < 0 ? 0 : f;
            to[at] = pack(now[1] + f * (next[1] - now[1]), now[2] + f * (next[2] - now[2]));
        }
        if (next[0] > now[0]) memcpy(now, next, sizeof now);
    }
    for (; at < CLZK_LEVELS; at++) to[at] = pack(now[1], now[2]);
}

// Whether R', G' and B' of the colour are within 0..1.
static bool in_gamut(const struct clzk_colour_space *s, float l, float a, float b)
{
    const float lab[3] = { l, a, b }, peak = clzk_peak(s->transfer);
    float rgb[3];

    clzk_lab_to_linear(lab, rgb);
    if (s->wide) clzk_709_to_2020(rgb);
    for (int i = 0; i < 3; i++)
        if (rgb[i] < -1e-4f || rgb[i] > 1.0001f * peak) return false;
    return true;
}

// luma=lstar: L* is kept and Y' changes; a colour outside the gamut of R'G'B' gets the largest a, b on the line to grey, at
// constant L*, that is within the gamut (bisection).
static void fill_lstar(const struct clzk_colour_space *s, float a, float b, uint32_t *uv, float *shift)
{
    for (int i = 0; i < CLZK_LEVELS; i++) {
        const float l = l_of_linear(clzk_to_linear(s->transfer, (float)i / (CLZK_LEVELS - 1)));
        float low = 0, high = 1, yuv[3];
        if (in_gamut(s, l, a, b)) low = 1;
        for (int step = 0; step < 8 && low < 1; step++) {
            const float t = (low + high) / 2;
            if (in_gamut(s, l, t * a, t * b)) low = t;
            else high = t;
        }
        lab_to_yuv(s, l, low * a, low * b, yuv);
        uv[i] = pack(yuv[1], yuv[2]);
        shift[i] = yuv[0] - (float)i / (CLZK_LEVELS - 1);
    }
}

static void fill_table(struct clzk_colour_table *t)
{
#pragma omp parallel for schedule(dynamic, 1)
    for (int i = 0; i < CLZK_CELLS; i++)
        for (int j = 0; j < CLZK_CELLS; j++) {
            const float a = (i - CLZK_CELLS / 2) * CLZK_STEP, b = (j - CLZK_CELLS / 2) * CLZK_STEP;
            const size_t at = (size_t)(i * CLZK_CELLS + j) * CLZK_LEVELS;
            if (t->lstar) fill_lstar(&t->space, a, b, t->uv + at, t->shift + at);
            else fill_levels(&t->space, a, b, t->uv + at);
            // a = b = 0 does not give exactly R' = G' = B'; U = V = 0 keeps grey film grey
            if (i != CLZK_CELLS / 2 || j != CLZK_CELLS / 2) continue;
            memset(t->uv + at, 0, CLZK_LEVELS * sizeof *t->uv);
            if (t->shift) memset(t->shift + at, 0, CLZK_LEVELS * sizeof *t->shift);
        }
}

int clzk_colour_table_create(struct clzk_colour_table **table, const struct clzk_colour_space *space, bool lstar)
{
    const struct clzk_luma_weights k = space->weights;
    const float kg = 1 - k.kr - k.kb;
    const size_t cells = (size_t)CLZK_CELLS * CLZK_CELLS * CLZK_LEVELS + 1;
    struct clzk_colour_table *t = calloc(1, sizeof *t);

    *table = NULL;
    if (!t) return -ENOMEM;
    t->space = *space;
    t->lstar = lstar;
    t->rgb = (struct clzk_rgb_of_yuv){ 2 * (1 - k.kr), -2 * k.kb * (1 - k.kb) / kg, -2 * k.kr * (1 - k.kr) / kg, 2 * (1 - k.kb) };
    t->l_of_luma = malloc((CLZK_L_STEPS + 1) * sizeof *t->l_of_luma);
    t->uv = calloc(cells, sizeof *t->uv);
    t->shift = lstar ? calloc(cells, sizeof *t->shift) : NULL;
    if (!t->l_of_luma || !t->uv || (lstar && !t->shift)) {
        clzk_colour_table_destroy(&t);
        return -ENOMEM;
    }
    for (int i = 0; i <= CLZK_L_STEPS; i++)
        t->l_of_luma[i] = fminf(l_of_linear(clzk_to_linear(space->transfer, i / (CLZK_L_STEPS - 1.f))), CLZK_BRIGHTEST);
    fill_table(t);
    *table = t;
    return 0;
}

void clzk_colour_table_destroy(struct clzk_colour_table **table)
{
    struct clzk_colour_table *t = *table;

    *table = NULL;
    if (!t) return;
    free(t->l_of_luma);
    free(t->uv);
    free(t->shift);
    free(t);
}
