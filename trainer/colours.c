// colours.c - sums and moments of the colours of pictures.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "colours.h"
#include "crop.h"
#include "loss.h"

enum { BLOCK = 8 };                         // pixels: width and height of the blocks whose mean colours are measured

struct clzt_colour_meter {
    struct clzt_crop_tables tables;
    float *row;                             // [3, room] L, a, b
    double *block;                          // [room / BLOCK, 2] sums of a*, b* over the current row of blocks
    int room;
};

int clzt_colour_meter_create(struct clzt_colour_meter **meter)
{
    if (!(*meter = calloc(1, sizeof **meter))) return -ENOMEM;
    clzt_crop_tables_make(&(*meter)->tables);
    return 0;
}

void clzt_colour_meter_destroy(struct clzt_colour_meter **meter)
{
    if (!*meter) return;
    free((*meter)->row);
    free((*meter)->block);
    free(*meter);
    *meter = NULL;
}

void clzt_colour_sums_add(struct clzt_colour_sums *to, const struct clzt_colour_sums *more)
{
    double *const a = (double *)to;
    const double *const b = (const double *)more;

    for (size_t i = 0; i < sizeof *to / sizeof *a; i++) a[i] += b[i];
}
_Static_assert(sizeof (struct clzt_colour_sums) == 13 * sizeof(double), "clzt_colour_sums_add adds all members as doubles");

void clzt_colour_spread(const struct clzt_colour_sums *s, double *all, double *across)
{
    const double n = s->blocks > 0 ? s->blocks : 1, a = s->a / n, b = s->b / n;
    const double aa = s->aa / n - a * a, bb = s->bb / n - b * b, ab = s->ab / n - a * b;

    if (all) *all = 110 * sqrt(fmax(aa + bb, 0));
    if (across) *across = 110 * sqrt(fmax((aa + bb) / 2 - sqrt((aa - bb) * (aa - bb) / 4 + ab * ab), 0));
}

static void add_block(struct clzt_colour_sums *s, double a, double b)
{
    s->blocks++;
    s->a += a;
    s->b += b;
    s->aa += a * a;
    s->bb += b * b;
    s->ab += a * b;
}

static int make_room(struct clzt_colour_meter *m, int width)
{
    if (width <= m->room) return 0;
    free(m->row);
    free(m->block);
    m->room = 0;
    m->row = malloc((size_t)width * 3 * sizeof *m->row);
    m->block = malloc((size_t)(width / BLOCK + 1) * 2 * sizeof *m->block);
    if (!m->row || !m->block) return -ENOMEM;
    m->room = width;
    return 0;
}

static int cell(float ab)                   // index of the histogram cell of a* or b*, given in units of 110
{
    const int i = (int)((ab * 110 - CLZT_AB_LOW) / CLZT_AB_STEP);
    return i < 0 ? 0 : i >= CLZT_AB_CELLS ? CLZT_AB_CELLS - 1 : i;
}

static void add_row(const float *restrict v, int count, double *to_sum, double *to_square)
{
    double sum = 0, square = 0;

#pragma omp simd reduction(+ : sum, square)
    for (int x = 0; x < count; x++) {
        sum += v[x];
        square += (double)v[x] * v[x];
    }
    *to_sum += sum;
    *to_square += square;
}

int clzt_colour_meter_add(struct clzt_colour_meter *m, const struct clzt_picture *p, struct clzt_colour_sums *sums,
                          double *counts)
{
    const int side_x = p->width < BLOCK ? p->width : BLOCK, side_y = p->height < BLOCK ? p->height : BLOCK;
    const int blocks = p->width / side_x;   // a rest at the right and at the bottom is left out

    if (make_room(m, p->width) < 0) return -ENOMEM;
    const float *l = m->row, *a = l + m->room, *b = a + m->room;
    for (int y = 0; y < p->height; y++) {
        const size_t at = (size_t)y * p->width;
        clzt_lab_row(&m->tables, p->r + at, p->g + at, p->b + at, p->width, m->row, m->row + m->room, m->row + 2 * m->room);
        if (y % side_y == 0) memset(m->block, 0, 2 * blocks * sizeof *m->block);
        add_row(l, p->width, &sums->sum[0], &sums->square[0]);
        add_row(a, p->width, &sums->sum[1], &sums->square[1]);
        add_row(b, p->width, &sums->sum[2], &sums->square[2]);
        for (int x = 0; counts && x < p->width; x++) counts[cell(a[x]) * CLZT_AB_CELLS + cell(b[x])]++;
        for (int i = 0; i < blocks; i++) {
            float sum_a = 0, sum_b = 0;
            for (int x = i * side_x; x < (i + 1) * side_x; x++) {
                sum_a += a[x];
                sum_b += b[x];
            }
            m->block[2 * i] += sum_a;
            m->block[2 * i + 1] += sum_b;
        }
        for (int i = 0; y % side_y == side_y - 1 && i < blocks; i++)
            add_block(sums, m->block[2 * i] / (side_x * side_y), m->block[2 * i + 1] / (side_x * side_y));
    }
    sums->pixels += (double)p->width * p->height;
    return 0;
}
