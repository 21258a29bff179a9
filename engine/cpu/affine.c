// affine.c - y = x scale + shift, where scale and shift have one number for each picture and channel (affine: FiLM); y = gamma x,
// where gamma is one learnt number (gain). Backward, sums over the pixels of a picture:
//     dx = dy scale,  dscale = sum dy x,  dshift = sum dy;    gain: dx = gamma dy,  dgamma = sum dy x over all elements
// Both sums are batch norm's (kernels/nn.h) with mean and shift 0 and scale 1.
#include "cpu.h"

static const struct clzk_activation none = { CLZK_ACT_NONE, 0 };

// ---- affine ----

static struct clzi_shape picture(const struct clzi_call *c)
{
    return (struct clzi_shape){ 1, c->ys.c, c->ys.h, c->ys.w };
}

// Vectors of one number per channel, and sums over pieces, for one picture.
struct vectors {
    double *total;
    float *scale, *shift;                   // of affine; then the results of backward
    float *zero, *one;                      // of a row of pixels (clzi_cpu_rows)
    float *partial_shift, *partial_scale;   // sums of pieces of dy and of dy x
};

static struct vectors vectors(const struct clzi_call *c)
{
    const struct clzi_cpu_rows r = clzi_cpu_rows(picture(c));
    struct vectors v = { .total = c->scratch };

    v.scale = (float *)(v.total + c->ys.c);
    v.shift = v.scale + c->ys.c;
    v.zero = v.shift + c->ys.c;
    v.one = v.zero + r.channels;
    v.partial_shift = v.one + r.channels;
    v.partial_scale = v.partial_shift + r.pieces * r.channels;
    return v;
}

static int affine_plan(struct clzi_call *c)
{
    const struct clzi_cpu_rows r = clzi_cpu_rows(picture(c));

    c->backward_reads_x = c->want_dx[0] || c->want_dx[1];
    c->scratch_size = c->ys.c * (sizeof(double) + 2 * sizeof(float)) + (size_t)(2 + 2 * r.pieces) * r.channels * sizeof(float);
    return 0;
}

static int affine_forward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const struct clzi_shape s = picture(c);
    const struct vectors v = vectors(c);

    clzi_cpu_enter(dev);
    for (int n = 0; n < c->ys.n; n++) {
        const int64_t at = n * clzi_shape_count(s);
        dev->nn->to_f32(v.scale, clzi_cpu_at(dev, c->x[1], (int64_t)n * s.c), s.c);
        dev->nn->to_f32(v.shift, clzi_cpu_at(dev, c->x[2], (int64_t)n * s.c), s.c);
        clzi_cpu_affine(dev, clzi_cpu_to(dev, c->y, at), clzi_cpu_at(dev, c->x[0], at), s, v.scale, v.shift, none);
    }
    return 0;
}

// Sums of picture n into dx[1] and dx[2].
static void sums(struct clzi_call *c, const struct vectors *v, int n)
{
    struct clzi_device *dev = c->dev;
    const struct clzi_shape s = picture(c);
    const struct clzi_cpu_rows r = clzi_cpu_rows(s);
    // shift alone does not need x
    const void *x = c->dx[1] ? c->x[0] : c->dy;

#pragma omp parallel for schedule(static) if (r.pieces > 1)
    for (int64_t p = 0; p < r.pieces; p++) {
        const int64_t row = p * CLZI_CPU_ROWS, at = n * clzi_shape_count(s) + row * r.channels;
        dev->nn->norm_back_sums(v->partial_shift + p * r.channels, v->partial_scale + p * r.channels, clzi_cpu_at(dev, x, at),
                                clzi_cpu_at(dev, c->dy, at), r.rows - row < CLZI_CPU_ROWS ? r.rows - row : CLZI_CPU_ROWS,
                                r.channels, v->one, v->zero, v->zero, none);
    }
    for (int k = 1; k <= 2; k++) {
        if (!c->dx[k]) continue;
        clzi_cpu_total(r, v->total, k == 1 ? v->partial_scale : v->partial_shift);
        for (int i = 0; i < s.c; i++) v->shift[i] = (float)v->total[i];
        dev->nn->from_f32(clzi_cpu_to(dev, c->dx[k], (int64_t)n * s.c), v->shift, s.c);
    }
}

static int affine_backward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const struct clzi_shape s = picture(c);
    const struct vectors v = vectors(c);
    const int channels = clzi_cpu_rows(s).channels;

    clzi_cpu_enter(dev);
    for (int i = 0; i < channels; i++) v.zero[i] = 0, v.one[i] = 1;
    for (int n = 0; n < c->ys.n; n++) {
        const int64_t at = n * clzi_shape_count(s);
        if (c->dx[0]) {
            dev->nn->to_f32(v.scale, clzi_cpu_at(dev, c->x[1], (int64_t)n * s.c), s.c);
            clzi_cpu_affine(dev, clzi_cpu_to(dev, c->dx[0], at), clzi_cpu_at(dev, c->dy, at), s, v.scale, v.zero, none);
        }
        if (c->dx[1] || c->dx[2]) sums(c, &v, n);
    }
    return 0;
}

const struct clzi_op clzi_cpu_affine_op = { .plan = affine_plan, .forward = affine_forward, .backward = affine_backward };

// ---- gain: pieces of the tensor are taken as rows of WIDTH channels, what is left over as one row ----

enum { WIDTH = CLZI_CPU_WIDE, ROWS = CLZI_CPU_PIECE / WIDTH };

static int gain_plan(struct clzi_call *c)
{
    c->backward_reads_x = c->want_dw;
    c->scratch_size = c->want_dw ? (size_t)clzi_cpu_pieces(clzi_shape_count(c->ys)) * sizeof(double) : 0;
    return 0;
}

static void multiply(struct clzi_device *dev, void *y, const void *x, int64_t count, float gamma)
{
    float scale[WIDTH], shift[WIDTH] = { 0 };

    for (int i = 0; i < WIDTH; i++) scale[i] = gamma;
#pragma omp parallel for schedule(static) if (count > CLZI_CPU_PIECE)
    for (int64_t i = 0; i < clzi_cpu_pieces(count); i++) {
        const int64_t at = i * CLZI_CPU_PIECE, some = clzi_cpu_piece(count, i), rows = some / WIDTH, rest = at + rows * WIDTH;
        dev->nn->affine(clzi_cpu_to(dev, y, at), clzi_cpu_at(dev, x, at), rows, WIDTH, scale, shift, none);
        dev->nn->affine(clzi_cpu_to(dev, y, rest), clzi_cpu_at(dev, x, rest), 1, (int)(some % WIDTH), scale, shift, none);
    }
}

static int gain_forward(struct clzi_call *c)
{
    clzi_cpu_enter(c->dev);
    multiply(c->dev, c->y, c->x[0], clzi_shape_count(c->ys), c->w[0][0]);
    return 0;
}

static double product_sum(const struct clzk_nn *nn, const void *x, const void *dy, int64_t rows, int width)
{
    static const float zero[WIDTH];
    float one[WIDTH], sum[WIDTH], dot[WIDTH];
    double total = 0;

    for (int i = 0; i < WIDTH; i++) one[i] = 1;
    nn->norm_back_sums(sum, dot, x, dy, rows, width, one, zero, zero, none);
    for (int i = 0; i < width; i++) total += dot[i];
    return total;
}

static int gain_backward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const int64_t count = clzi_shape_count(c->ys);
    double *partial = c->scratch, sum = 0;

    clzi_cpu_enter(dev);
    if (c->dx[0]) multiply(dev, c->dx[0], c->dy, count, c->w[0][0]);
    if (!c->dw[0]) return 0;
#pragma omp parallel for schedule(static) if (count > CLZI_CPU_PIECE)
    for (int64_t i = 0; i < clzi_cpu_pieces(count); i++) {
        const int64_t at = i * CLZI_CPU_PIECE, some = clzi_cpu_piece(count, i), rows = some / WIDTH, rest = at + rows * WIDTH;
        partial[i] = product_sum(dev->nn, clzi_cpu_at(dev, c->x[0], at), clzi_cpu_at(dev, c->dy, at), rows, WIDTH) +
                     product_sum(dev->nn, clzi_cpu_at(dev, c->x[0], rest), clzi_cpu_at(dev, c->dy, rest), 1, (int)(some % WIDTH));
    }
    for (int64_t i = 0; i < clzi_cpu_pieces(count); i++) sum += partial[i];
    c->dw[0][0] += (float)sum;
    return 0;
}

const struct clzi_op clzi_cpu_gain = { .plan = gain_plan, .forward = gain_forward, .backward = gain_backward };
