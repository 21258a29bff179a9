// frame_tables.c - host side of frame.cu: lays out the tables of a plan and of a colour table for device memory.
#include <string.h>

#include "kernels/cuda.h"
#include "kernels/frame_geometry.h"

// ---- a block of arrays, each aligned to 16 bytes, that is filled on the host and read on the device ----

struct builder { char *host, *device; size_t size; };       // host NULL: only counts

// The host's memory for the next `bytes`; *device: where they will lie. Both NULL while counting.
static void *append(struct builder *b, size_t bytes, const void *device)
{
    const size_t at = b->size;
    void *const to = b->host ? b->host + at : NULL;
    const char *const there = b->host ? b->device + at : NULL;

    b->size = (at + bytes + 15) & ~(size_t)15;
    memcpy((void *)device, &there, sizeof there);
    return to;
}

// ---- colour table ----

static void build_colours(struct builder *b, struct clzk_cu_colours *c, const struct clzk_colour_table *t)
{
    // As clzk_colour_table_create() makes them: one level more than there are, for the interpolation.
    const size_t steps = CLZK_L_STEPS + 1, cells = (size_t)CLZK_CELLS * CLZK_CELLS * CLZK_LEVELS + 1;
    void *const l = append(b, steps * sizeof *t->l_of_luma, &c->l_of_luma);
    void *const uv = append(b, cells * sizeof *t->uv, &c->uv);
    void *shift;

    if (l) memcpy(l, t->l_of_luma, steps * sizeof *t->l_of_luma);
    if (uv) memcpy(uv, t->uv, cells * sizeof *t->uv);
    c->shift = NULL;
    if (!t->lstar) return;
    shift = append(b, cells * sizeof *t->shift, &c->shift);
    if (shift) memcpy(shift, t->shift, cells * sizeof *t->shift);
}

size_t clzk_cu_colours_size(const struct clzk_colour_table *table)
{
    struct builder b = { NULL, NULL, 0 };
    struct clzk_cu_colours c;

    build_colours(&b, &c, table);
    return b.size;
}

void clzk_cu_colours_fill(struct clzk_cu_colours *colours, const struct clzk_colour_table *table, void *block, void *device)
{
    struct builder b = { block, device, 0 };

    build_colours(&b, colours, table);
}

// ---- plan ----

static void build_axis(struct builder *b, struct clzk_cu_axis *a, int from, int n, float shift)
{
    int *first;
    float *weight;

    a->n = n;
    a->taps = clzk_axis_taps(from, n);
    first = append(b, n * sizeof *first, &a->first);
    weight = append(b, (size_t)n * a->taps * sizeof *weight, &a->weight);
    if (first) clzk_axis_fill(first, weight, from, n, shift);
}

static void build_grid(struct builder *b, struct clzk_cu_grid *g, const struct clzk_picture *f, bool of_chroma, int w, int h)
{
    const int log2_w = of_chroma ? f->log2_w : 0, log2_h = of_chroma ? f->log2_h : 0;
    int *x, *y;
    float *fx, *fy;

    g->w = -(-f->width >> log2_w);
    g->h = -(-f->height >> log2_h);
    x = append(b, g->w * sizeof *x, &g->x_first);
    y = append(b, g->h * sizeof *y, &g->y_first);
    fx = append(b, g->w * sizeof *fx, &g->x_frac);
    fy = append(b, g->h * sizeof *fy, &g->y_frac);
    if (!x) return;
    clzk_positions_fill(x, fx, g->w, log2_w, of_chroma ? clzk_chroma_column(f) : 0, 0, f->width, w);
    clzk_positions_fill(y, fy, g->h, log2_h, of_chroma ? clzk_chroma_row(f) : 0, clzk_row_shift(f), f->height, h);
}

static void build_plan(struct builder *b, struct clzk_cu_frame_plan *p, const struct clzk_picture *in,
                       const struct clzk_picture *out, int w, int h)
{
    p->in = *in;
    p->out = *out;
    p->w = w;
    p->h = h;
    build_axis(b, &p->x, in->width, w, 0);
    build_axis(b, &p->y, in->height, h, clzk_row_shift(in));
    build_grid(b, &p->chroma, out, true, w, h);
    build_grid(b, &p->full, in, false, w, h);
}

size_t clzk_cu_frame_plan_size(const struct clzk_picture *in, const struct clzk_picture *out, int w, int h)
{
    struct builder b = { NULL, NULL, 0 };
    struct clzk_cu_frame_plan p;

    build_plan(&b, &p, in, out, w, h);
    return b.size;
}

void clzk_cu_frame_plan_fill(struct clzk_cu_frame_plan *plan, const struct clzk_picture *in, const struct clzk_picture *out,
                             int w, int h, const struct clzk_colour_table *table, const struct clzk_cu_colours *colours,
                             void *block, void *device)
{
    struct builder b = { block, device, 0 };

    build_plan(&b, plan, in, out, w, h);
    plan->colours = *colours;
    plan->weights = table->space.weights;
    plan->rgb = table->rgb;
    plan->lstar = table->lstar;
    clzk_spatial_fill(plan->spatial);
}
