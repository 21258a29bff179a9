// rgb.c - L* and ab to a picture in sRGB and back (kernels/lab_math.h), in pieces of pixels.
#include "cpu.h"
#include "kernels/lab_math.h"

enum { PIXELS = 256 };                      // of a piece
static int64_t pixels(const struct clzi_call *c) { return (int64_t)c->ys.n * c->ys.h * c->ys.w; }
static int64_t pieces(int64_t count) { return (count + PIXELS - 1) / PIXELS; }
static int piece(int64_t count, int64_t i) { return count - i * PIXELS < PIXELS ? (int)(count - i * PIXELS) : PIXELS; }

static int plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    return 0;
}

// Piece i as f32: l [n], ab [n][2].
static int read_piece(const struct clzi_call *c, int64_t i, float *l, float *ab)
{
    const int n = piece(pixels(c), i);

    c->dev->nn->to_f32(l, clzi_cpu_at(c->dev, c->x[0], i * PIXELS), n);
    c->dev->nn->to_f32(ab, clzi_cpu_at(c->dev, c->x[1], 2 * i * PIXELS), 2 * n);
    return n;
}

static void forward_piece(const struct clzi_call *c, int64_t i)
{
    float l[PIXELS], ab[2 * PIXELS], rgb[3 * PIXELS];
    const int n = read_piece(c, i, l, ab);

    for (int k = 0; k < n; k++) clzk_net_to_rgb((const float[]){ l[k], ab[2 * k], ab[2 * k + 1] }, &rgb[3 * k]);
    c->dev->nn->from_f32(clzi_cpu_to(c->dev, c->y, 3 * i * PIXELS), rgb, 3 * n);
}

static void backward_piece(const struct clzi_call *c, int64_t i)
{
    float l[PIXELS], ab[2 * PIXELS], rgb[3 * PIXELS];
    const int n = read_piece(c, i, l, ab);

    c->dev->nn->to_f32(rgb, clzi_cpu_at(c->dev, c->dy, 3 * i * PIXELS), 3 * n);
    for (int k = 0; k < n; k++) {
        float d[3];
        clzk_net_to_rgb_back((const float[]){ l[k], ab[2 * k], ab[2 * k + 1] }, &rgb[3 * k], d);
        l[k] = d[0];
        ab[2 * k] = d[1];
        ab[2 * k + 1] = d[2];
    }
    if (c->dx[0]) c->dev->nn->from_f32(clzi_cpu_to(c->dev, c->dx[0], i * PIXELS), l, n);
    if (c->dx[1]) c->dev->nn->from_f32(clzi_cpu_to(c->dev, c->dx[1], 2 * i * PIXELS), ab, 2 * n);
}

static int forward(struct clzi_call *c)
{
    clzi_cpu_enter(c->dev);
#pragma omp parallel for schedule(static) if (pixels(c) > PIXELS)
    for (int64_t i = 0; i < pieces(pixels(c)); i++) forward_piece(c, i);
    return 0;
}

static int backward(struct clzi_call *c)
{
    clzi_cpu_enter(c->dev);
#pragma omp parallel for schedule(static) if (pixels(c) > PIXELS)
    for (int64_t i = 0; i < pieces(pixels(c)); i++) backward_piece(c, i);
    return 0;
}

const struct clzi_op clzi_cpu_rgb = { .plan = plan, .forward = forward, .backward = backward };
