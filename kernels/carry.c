// carry.c - colours carried along motion.
//
// Four pixels at a time: a pixel of struct clzk_colour is loaded as one vector of four floats, four of them are transposed to
// vectors of l, weight, a and b.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3,no-math-errno,no-trapping-math")
#endif
#include "carry.h"

typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
typedef int four_ints __attribute__((vector_size(16)));

enum { COLUMNS = 64 };                      // pixels whose motion is interpolated at once; they stay in the level 1 cache

// Position k of the flow's pixels that lies before the middle of pixel i of a picture, and the fraction to the next.
static float place(int i, float inv_factor, int n, int *k)
{
    const float at = (i + 0.5f) * inv_factor - 0.5f, in = at < 0 ? 0 : at > n - 1 ? n - 1 : at;

    *k = (int)in < n - 2 ? (int)in : n > 1 ? n - 2 : 0;
    return in - *k;
}

struct columns {                            // where the pixels of some columns lie among those of the flow
    int first, count, padded;               // the first pixel, their number, and it rounded up to a multiple of 4
    int low, high;                          // columns of the flow that they lie between
    int k[COLUMNS];                         // the one before, from low on
    float fraction[COLUMNS];
};

struct motion { float x[COLUMNS], y[COLUMNS], agreement[COLUMNS]; };        // x, y: positions in `other`

static void columns_of(const struct clzk_carry *c, int x, struct columns *t)
{
    const int fw = c->size->w[0];

    t->count = c->w - x < COLUMNS ? c->w - x : COLUMNS;
    t->padded = (t->count + 3) / 4 * 4;
    t->first = x;
    for (int i = 0; i < t->padded; i++) t->fraction[i] = place(x + i, 1.f / c->size->factor, fw, &t->k[i]);
    t->low = t->k[0];
    t->high = t->k[t->padded - 1] + (fw > 1);
    for (int i = 0; i < t->padded; i++) t->k[i] -= t->low;
}

static void row_between(float *out, const float *plane, const struct columns *t, int below, float fraction)
{
    float row[COLUMNS + 2];
    const int n = t->high - t->low + 1;
    const float *top = plane + t->low, *bottom = top + below;

    for (int i = 0; i < n; i++) row[i] = top[i] + fraction * (bottom[i] - top[i]);
    row[n] = row[n - 1];
    for (int i = 0; i < t->padded; i++) out[i] = row[t->k[i]] + t->fraction[i] * (row[t->k[i] + 1] - row[t->k[i]]);
}

// Interpolates the motion of the pixels of row y, in pixels of the picture.
static void motion_of(const struct clzk_carry *c, const struct columns *t, int y, struct motion *m)
{
    const int fw = c->size->w[0], fh = c->size->h[0], factor = c->size->factor;
    const size_t plane = (size_t)fw * fh;
    int k;
    const float fraction = place(y, 1.f / factor, fh, &k);
    const size_t at = (size_t)k * fw;
    const int below = fh > 1 ? fw : 0;

    row_between(m->x, c->v + at, t, below, fraction);
    row_between(m->y, c->v + plane + at, t, below, fraction);
    row_between(m->agreement, c->agreement + at, t, below, fraction);
    for (int i = 0; i < t->padded; i++) {
        m->x[i] = t->first + i + factor * m->x[i];
        m->y[i] = y + factor * m->y[i];
        m->agreement[i] *= c->keep;
    }
}

struct colours { four l, weight, a, b; };   // of four pixels

static struct colours transpose(four p0, four p1, four p2, four p3)
{
    const four l01 = __builtin_shufflevector(p0, p1, 0, 4, 1, 5), l23 = __builtin_shufflevector(p2, p3, 0, 4, 1, 5);
    const four a01 = __builtin_shufflevector(p0, p1, 2, 6, 3, 7), a23 = __builtin_shufflevector(p2, p3, 2, 6, 3, 7);

    return (struct colours){
        __builtin_shufflevector(l01, l23, 0, 1, 4, 5), __builtin_shufflevector(l01, l23, 2, 3, 6, 7),
        __builtin_shufflevector(a01, a23, 0, 1, 4, 5), __builtin_shufflevector(a01, a23, 2, 3, 6, 7),
    };
}

static four select(four_ints mask, four yes, four no)
{
    return (four)(((four_ints)yes & mask) | ((four_ints)no & ~mask));
}

static four limit(four v, float most)       // to 0 to most
{
    v = select(v > 0, v, (four){ 0 });
    return select(v < most, v, (four){ most, most, most, most });
}

// Splits a position into the pixel before it, at most n - 2, and the fraction to the next.
static four_ints split(four at, int n, four *fraction)
{
    const int most = n > 1 ? n - 2 : 0;
    four_ints i = __builtin_convertvector(at, four_ints);

    i = (i & (i < most)) | (most & ~(i < most));
    *fraction = at - __builtin_convertvector(i, four);
    return i;
}

// The mean of four pixels. p: their colours `own`, x, y: their positions in `other`, keep: factor of other's weights.
static struct colours average(const struct clzk_carry *c, struct colours p, const struct clzk_colour *other, four x, four y,
                              four keep)
{
    const int right = c->w > 1, down = c->h > 1 ? c->w : 0;
    const int offsets[4] = { 0, right, down, down + right };
    const float inv2 = 1 / (c->tolerance * c->tolerance);
    four fx, fy;
    const four_ints ix = split(limit(x, c->w - 1), c->w, &fx), iy = split(limit(y, c->h - 1), c->h, &fy), at = iy * c->w + ix;
    const four bilinear[4] = { (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy };
    const four own = p.l + c->brightness;
    four sum = p.weight, a = p.weight * p.a, b = p.weight * p.b;

    for (int k = 0; k < 4; k++) {
        const struct clzk_colour *tap = other + offsets[k];
        const struct colours t = transpose(*(const four *)(tap + at[0]), *(const four *)(tap + at[1]),
                                           *(const four *)(tap + at[2]), *(const four *)(tap + at[3]));
        const four d = t.l - own, close = 1 / (1 + d * d * inv2), s = keep * bilinear[k] * t.weight * (close * close);
        sum += s;
        a += s * t.a;
        b += s * t.b;
    }
    const four inv = 1 / select(sum > 0, sum, (four){ 1, 1, 1, 1 });
    return (struct colours){ p.l, sum, a * inv, b * inv };
}

static four load(const float *p) { return *(const four *)p; }

void clzk_carry_rows(const struct clzk_carry *c, struct clzk_colour *out, const struct clzk_colour *own,
                     const struct clzk_colour *other, int first, int end)
{
    for (int x = 0; x < c->w; x += COLUMNS) {
        struct columns t = { 0 };
        struct motion m;
        columns_of(c, x, &t);
        for (int y = first; y < end; y++) {
            const struct clzk_colour *from = own + (size_t)y * c->w + x;
            struct clzk_colour *to = out + (size_t)y * c->w + x;
            motion_of(c, &t, y, &m);
            for (int i = 0; i < t.count; i += 4) {
                const int n = t.count - i < 4 ? t.count - i : 4;
                const int k1 = n > 1, k2 = n > 2 ? 2 : 0, k3 = n > 3 ? 3 : 0;       // pixels past the row are the first again
                const struct colours p = transpose(*(const four *)(from + i), *(const four *)(from + i + k1),
                                                   *(const four *)(from + i + k2), *(const four *)(from + i + k3));
                const struct colours mean = average(c, p, other, load(m.x + i), load(m.y + i), load(m.agreement + i));
                const struct colours q = transpose(mean.l, mean.weight, mean.a, mean.b);
                const four result[4] = { q.l, q.weight, q.a, q.b };
                for (int k = 0; k < n; k++) *(four *)(to + i + k) = result[k];
            }
        }
    }
}
