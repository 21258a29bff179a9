// shuffle.c - PixelShuffle (Shi et al. 2016): channel c f^2 + i f + j of x becomes the pixels (y f + i, x f + j) of
// channel c.
#include "ref.h"

// Index in x of the element that stands at (n, k, row, column) of y.
static int64_t source(const struct clzi_call *c, int n, int k, int row, int column)
{
    const struct clzi_shape x = c->xs[0];
    const int f = c->node->attr.factor, channel = k * f * f + row % f * f + column % f;
    return (((int64_t)n * x.c + channel) * x.h + row / f) * x.w + column / f;
}

// Moves every element: from x to y, or from dy back to dx.
static void move(const struct clzi_call *c, const float *x, float *y, const float *dy, float *dx)
{
    int64_t i = 0;

    for (int n = 0; n < c->ys.n; n++)
        for (int k = 0; k < c->ys.c; k++)
            for (int row = 0; row < c->ys.h; row++)
                for (int column = 0; column < c->ys.w; column++, i++) {
                    const int64_t s = source(c, n, k, row, column);
                    if (y) y[i] = x[s];
                    else dx[s] = dy[i];
                }
}

static int forward(struct clzi_call *c)
{
    move(c, c->x[0], c->y, NULL, NULL);
    return 0;
}

static int backward(struct clzi_call *c)
{
    if (c->dx[0]) move(c, NULL, NULL, c->dy, c->dx[0]);
    return 0;
}

const struct clzi_op clzi_ref_shuffle = { .forward = forward, .backward = backward };
