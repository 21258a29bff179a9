// nn.c - the kernels of kernels/nn.h of every instruction set that this machine has, called directly. Those for floats must agree
// with those in plain C, those for bf16 with those for floats on numbers that bf16 holds, to one rounding. So bf16 is tested on
// machines where no device computes in it, and the slower instruction sets where none is used. The arithmetic itself is tested
// through the ops (tests/ops.c); matrix products, which only attention uses, also here.
//
// Adding a kernel: a function and a row in `kernels`.
#include "check.h"
#include "kernels/nn.h"

enum { COUNT = 40000 };                     // elements of every array; more than any size needs

// rows x w pixels; for convolutions a picture of that size
struct size { int channels, rows, w, k, stride, pad; };

static const struct size sizes[] = {
    { 1, 5, 7, 3, 1, 1 }, { 3, 4, 9, 3, 2, 1 }, { 8, 6, 5, 5, 1, 2 }, { 16, 7, 20, 3, 1, 1 }, { 17, 6, 11, 3, 2, 0 },
    { 33, 3, 13, 5, 2, 1 }, { 72, 4, 27, 3, 1, 1 }, { 24, 9, 9, 7, 3, 3 }, { 40, 2, 3, 4, 1, 1 }, { 97, 3, 4, 2, 2, 0 },
};

// Inputs: x and g of the kernel's type, v and u of floats. Results: y of its type, f of floats, both 0 before.
struct arrays { void *x, *g, *y; float *v, *u, *f; };

static const struct clzk_activation none = { CLZK_ACT_NONE, 0 }, relu6 = { CLZK_ACT_RELU6, 0 }, leaky = { CLZK_ACT_LEAKY, 0.25f };

static void *at(const struct clzk_nn *nn, void *x, int64_t element) { return (char *)x + element * (int64_t)nn->element; }

static struct clzk_depthwise window(const struct size *s)
{
    return (struct clzk_depthwise){ s->channels, s->rows, s->w, (s->rows + 2 * s->pad - s->k) / s->stride + 1,
                                    (s->w + 2 * s->pad - s->k) / s->stride + 1, s->k, s->stride, s->pad };
}

static void depthwise(const struct clzk_nn *nn, const struct size *s, const struct arrays *a)
{
    const struct clzk_depthwise p = window(s);
    for (int row = 0; row < p.oh; row++)
        nn->depthwise(at(nn, a->y, (int64_t)row * p.ow * p.channels), a->x, a->v, row % 2 ? a->u : NULL, &p, row,
                      row % 3 ? relu6 : leaky);
}

static void depthwise_back(const struct clzk_nn *nn, const struct size *s, const struct arrays *a)
{
    const struct clzk_depthwise p = window(s);
    for (int row = 0; row < p.h; row++)
        nn->depthwise_back(at(nn, a->y, (int64_t)row * p.w * p.channels), a->g, a->v, &p, row);
}

static void depthwise_weights(const struct clzk_nn *nn, const struct size *s, const struct arrays *a)
{
    const struct clzk_depthwise p = window(s);
    for (int row = 0; row < p.oh; row++) nn->depthwise_weights(a->f, a->x, a->g, &p, row);
}

static void affine(const struct clzk_nn *nn, const struct size *s, const struct arrays *a)
{
    nn->affine(a->y, a->x, s->rows * s->w, s->channels, a->v, a->u, leaky);
}

static void sum(const struct clzk_nn *nn, const struct size *s, const struct arrays *a)
{
    nn->sum(a->f, a->x, s->rows * s->w, s->channels);
}

static void norm_back_sums(const struct clzk_nn *nn, const struct size *s, const struct arrays *a)
{
    nn->norm_back_sums(a->f, a->f + s->channels, a->x, a->g, s->rows * s->w, s->channels, a->v, a->u, a->v + s->channels, none);
}

static void repeat(const struct clzk_nn *nn, const struct size *s, const struct arrays *a)
{
    nn->copy(a->y, s->channels, a->x, 0, s->channels, s->rows * s->w);
}

static void interleave(const struct clzk_nn *nn, const struct size *s, const struct arrays *a)
{
    nn->interleave(a->y, a->v, s->rows * s->w + 3, s->channels, s->rows * s->w);
}

static void deinterleave(const struct clzk_nn *nn, const struct size *s, const struct arrays *a)
{
    nn->deinterleave(a->f, a->x, s->rows * s->w + 3, s->channels, s->rows * s->w);
}

static void add(const struct clzk_nn *nn, const struct size *s, const struct arrays *a)
{
    nn->add(a->y, a->x, a->g, (int64_t)s->rows * s->w * s->channels, relu6);
}

static void act_back(const struct clzk_nn *nn, const struct size *s, const struct arrays *a)
{
    nn->act_back(a->y, a->x, a->g, (int64_t)s->rows * s->w * s->channels, relu6);
}

static void softmax(const struct clzk_nn *nn, const struct size *s, const struct arrays *a)
{
    nn->softmax(a->y, a->x, s->rows * s->w, s->channels, 1.5f);
}

static const struct { const char *name; void (*run)(const struct clzk_nn *nn, const struct size *s, const struct arrays *a); }
kernels[] = {
    { "depthwise", depthwise }, { "depthwise_back", depthwise_back }, { "depthwise_weights", depthwise_weights },
    { "affine", affine }, { "sum", sum }, { "norm_back_sums", norm_back_sums }, { "copy_repeats_a_row", repeat },
    { "interleave", interleave }, { "deinterleave", deinterleave }, { "add", add }, { "act_back", act_back },
    { "softmax", softmax },
};

static const char *const isa_names[CLZK_ISA_COUNT] = { "plain", "avx2", "avx512" };

static float *floats(int count)
{
    float *p = calloc(count, sizeof *p);
    if (!p) exit(1);
    return p;
}

// Numbers of 4 significant bits in [-4, 4): bf16 holds them.
static void fill(float *v, int count, uint32_t seed)
{
    for (int i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = (float)((int)(seed >> 16 & 15) - 8) / (float)(2 << (seed >> 28 & 3));
    }
}

// Runs a kernel on numbers that depend on the size alone. f, and y as floats, are the results.
static void run(int kernel, const struct clzk_nn *nn, const struct size *s, float *y, float *f)
{
    float *x = floats(COUNT);
    struct arrays a = { .x = floats(COUNT), .g = floats(COUNT), .y = floats(COUNT), .v = floats(COUNT), .u = floats(COUNT),
                        .f = f };

    fill(x, COUNT, (uint32_t)s->channels);
    nn->from_f32(a.x, x, COUNT);
    fill(x, COUNT, (uint32_t)s->channels + 1000);
    nn->from_f32(a.g, x, COUNT);
    fill(a.v, COUNT, 7);
    fill(a.u, COUNT, 8);
    memset(f, 0, COUNT * sizeof *f);
    kernels[kernel].run(nn, s, &a);
    nn->to_f32(y, a.y, COUNT);
    free(x), free(a.x), free(a.g), free(a.y), free(a.v), free(a.u);
}

// The largest difference, as a share of the wanted number or, where that is small, of `least`.
static double difference(const float *got, const float *want, int count, double least)
{
    double worst = 0;

    for (int i = 0; i < count; i++) {
        const double d = fabs((double)got[i] - want[i]) / fmax(fabs(want[i]), least);
        if (!(d <= worst)) worst = d <= 1e30 ? d : INFINITY;
    }
    return worst;
}

static void check_kernel(int kernel, enum clzk_isa isa)
{
    float *plain = floats(COUNT), *plain_f = floats(COUNT), *y = floats(COUNT), *f = floats(COUNT), *half = floats(COUNT),
          *half_f = floats(COUNT);
    double of_plain = 0, of_half = 0, of_half_f = 0;
    char name[96];

    snprintf(name, sizeof name, "nn/%s/%s", isa_names[isa], kernels[kernel].name);
    CASE(name);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        run(kernel, clzk_nn_find(CLZK_ISA_PLAIN, false), &sizes[i], plain, plain_f);
        run(kernel, clzk_nn_find(isa, false), &sizes[i], y, f);
        run(kernel, clzk_nn_find(isa, true), &sizes[i], half, half_f);
        of_plain = fmax(of_plain, fmax(difference(y, plain, COUNT, 1), difference(f, plain_f, COUNT, 1)));
        of_half = fmax(of_half, difference(half, y, COUNT, 1e-3));
        of_half_f = fmax(of_half_f, difference(half_f, f, COUNT, 1));
    }
    REQUIRE(of_plain <= 1e-7);              // the numbers are so round that sums are exact; measured in softmax: 1e-9
    REQUIRE(of_half <= 1. / 256);           // bf16 has 8 significant bits: half a unit of the last, of a number just above 2^n
    REQUIRE(of_half_f <= 1e-7);             // sums of floats of the same numbers
    if (of_plain > 1e-7 || of_half > 1. / 256 || of_half_f > 1e-7)
        printf("  %s: f32 is off by %.2g, bf16 by %.2g, its sums by %.2g\n", name, of_plain, of_half, of_half_f);
    free(plain), free(plain_f), free(y), free(f), free(half), free(half_f);
}

// ---- functions on floats ----

// c = a b or c + a b, with a or its transpose, against sums in double.
static void check_matmul(const struct clzk_vectors *v, int m, int n, int k, bool transposed, bool sums)
{
    const int a_row = transposed ? 1 : k + 3, a_column = transposed ? m + 1 : 1, b_row = n + 5, c_row = n + 2;
    float *a = floats((m + 3) * (k + 3)), *b = floats(k * b_row), *c = floats(m * c_row), *want = floats(m * c_row);

    fill(a, (m + 3) * (k + 3), 1);
    fill(b, k * b_row, 2);
    fill(c, m * c_row, 3);
    memcpy(want, c, m * c_row * sizeof *c);
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            double sum = sums ? c[i * c_row + j] : 0;
            for (int l = 0; l < k; l++) sum += (double)a[i * a_row + l * a_column] * b[l * b_row + j];
            want[i * c_row + j] = (float)sum;
        }
    v->matmul(&(struct clzk_matmul){ .m = m, .n = n, .k = k, .add = sums, .a = a, .a_row = a_row, .a_column = a_column,
                                     .b = b, .b_row = b_row, .c = c, .c_row = c_row });
    REQUIRE(difference(c, want, m * c_row, 1) <= 2e-6);                // and nothing beside the n columns is written
    free(a), free(b), free(c), free(want);
}

static void check_softmax(const struct clzk_vectors *v, int count)
{
    float *x = floats(count), *dx = floats(count), *p = floats(count), *want = floats(count), *want_dx = floats(count), max;
    double most = -INFINITY, sum = 0, mean = 0;

    fill(x, count, 4);
    fill(dx, count, 5);
    for (int i = 0; i < count; i++) most = fmax(most, x[i]);
    for (int i = 0; i < count; i++) sum += exp(x[i] - most);
    for (int i = 0; i < count; i++) mean += (want[i] = (float)(exp(x[i] - most) / sum)) * (double)dx[i];
    for (int i = 0; i < count; i++) want_dx[i] = (float)(want[i] * (dx[i] - mean));
    memcpy(p, x, count * sizeof *p);
    REQUIRE((max = v->max(p, count)) == (float)most);
    REQUIRE_NEAR(v->exponentials(x, count, max, 1), sum, 1e-6 * sum);
    REQUIRE_NEAR(v->exponentials(p, count, max, (float)(1 / sum)), 1, 1e-6);
    REQUIRE(difference(p, want, count, 1e-3) <= 2e-6);
    REQUIRE_NEAR(v->dot(p, dx, count), mean, 2e-6);
    v->softmax_gradient(dx, x, count, (float)mean, (float)(1 / sum));
    REQUIRE(difference(dx, want_dx, count, 1e-3) <= 4e-5);             // dx - mean may be small
    free(x), free(dx), free(p), free(want), free(want_dx);
}

static void check_vectors(enum clzk_isa isa)
{
    static const int m[] = { 1, 5, 6, 13 }, n[] = { 16, 32, 48, 112 }, k[] = { 1, 7, 256, 300, 513 };
    const struct clzk_vectors *v = clzk_vectors_find(isa);
    char name[96];

    snprintf(name, sizeof name, "nn/%s/matmul", isa_names[isa]);
    CASE(name);
    for (int i = 0; i < 4 * 4 * 5 * 4; i++) check_matmul(v, m[i % 4], n[i / 4 % 4], k[i / 16 % 5], i / 80 & 1, i / 80 & 2);
    snprintf(name, sizeof name, "nn/%s/softmax_of_a_row", isa_names[isa]);
    CASE(name);
    for (int count = 1; count < 70; count++) check_softmax(v, count);
}

int main(void)
{
    for (int isa = 0; isa <= (int)clzk_isa_best(); isa++) {
        for (int kernel = 0; kernel < (int)(sizeof kernels / sizeof *kernels); kernel++) check_kernel(kernel, isa);
        check_vectors(isa);
    }
    return check_end();
}
