// attention.c - y_i = sum over j of p_ij v_j, p_ij = softmax over j of q_i . k_j, where i is a position of q and j one of k and
// v; the formulas of backward are in ref/attention.c. The scores of all pairs are never in memory at once: forward and the
// gradient of q take some rows of them at a time, the gradients of k and v some columns, and compute them again (as
// FlashAttention does, Dao et al. 2022). Every row and column is computed by one thread in an order that depends on the shape
// alone, so that the result does not depend on the number of threads.
//
// Arithmetic is in f32 in matrices of floats, whatever the tensors are.
#include <omp.h>

#include "cpu.h"

enum {
    QUERIES = 48, KEYS = 96,                // rows and columns of scores at a time: multiples of the kernel's tiles
    SCORES = 1 << 17,                       // at most so many at a time, if that is 6 rows: they stay in the L2 cache
    POSITIONS = 64,                         // of one piece of a copy
};

static int padded(int n) { return (n + CLZK_MATMUL_COLUMNS - 1) / CLZK_MATMUL_COLUMNS * CLZK_MATMUL_COLUMNS; }

// From one row of a matrix of n columns to the next. Rows that are a power of two apart would fall into the same lines of the
// cache (a product of 48x1024 and 1024x256: 37 GFLOP/s instead of 75).
static int64_t row_size(int n) { return padded(n) + CLZK_MATMUL_COLUMNS; }

struct sizes {
    int n, d, c;                            // pictures; channels of q and k, of v
    int queries, keys;                      // positions
    int64_t d_row, c_row, keys_row;         // from row to row of matrices with so many columns
    int rows;                               // of scores at a time
};

static struct sizes sizes(const struct clzi_call *c)
{
    struct sizes s = {
        .n = c->ys.n, .d = c->xs[0].c, .c = c->ys.c, .queries = c->ys.h * c->ys.w, .keys = c->xs[1].h * c->xs[1].w,
        .d_row = row_size(c->xs[0].c), .c_row = row_size(c->ys.c),
    };

    s.keys_row = row_size(s.keys);
    s.rows = (int)(SCORES / s.keys_row / 6 * 6);
    s.rows = s.rows < 6 ? 6 : s.rows > QUERIES ? QUERIES : s.rows;
    return s;
}

// Where matrices lie in scratch, in floats. T: transposed, one row for each channel. forward needs k_t and v.
struct layout {
    int64_t q, k, k_t, v, v_t, dy, max, factor, mean;   // max, factor, mean: of each row of scores
    int64_t thread, thread_size, total;
};

static int64_t take(int64_t *total, int64_t count)
{
    const int64_t at = *total;
    *total += count;
    return at;
}

static struct layout layout(const struct clzi_call *c, const struct sizes *s, bool backward)
{
    const int64_t rows = s->rows * s->keys_row, queries = (int64_t)s->n * s->queries, keys = (int64_t)s->n * s->keys;
    int64_t columns = 0;
    struct layout l = { .k_t = 0, .total = s->n * s->d * s->keys_row };

    if (backward) {
        l.q = take(&l.total, queries * s->d_row);
        l.k = take(&l.total, keys * s->d_row);
        l.v_t = take(&l.total, s->n * s->c * s->keys_row);
        l.dy = take(&l.total, queries * s->c_row);
        l.max = take(&l.total, queries);
        l.factor = take(&l.total, queries);
        l.mean = take(&l.total, queries);
        columns = 2 * QUERIES * KEYS + KEYS * (s->d_row + s->c_row);
        l.thread_size = 2 * rows + s->rows * s->d_row;
    } else {
        l.v = take(&l.total, keys * s->c_row);
        l.thread_size = rows + s->rows * (s->c_row + s->d_row);
    }
    if (columns > l.thread_size) l.thread_size = columns;
    l.thread = take(&l.total, l.thread_size * c->dev->base.threads);
    return l;
}

static float *thread_memory(const struct clzi_call *c, const struct layout *l)
{
    return (float *)c->scratch + l->thread + l->thread_size * omp_get_thread_num();
}

static int plan(struct clzi_call *c)
{
    const struct sizes s = sizes(c);
    const bool gradients = c->want_dx[0] || c->want_dx[1] || c->want_dx[2];
    const int64_t forward = layout(c, &s, false).total, backward = gradients ? layout(c, &s, true).total : 0;

    c->backward_reads_x = true;
    c->scratch_size = (size_t)(forward > backward ? forward : backward) * sizeof(float);
    return 0;
}

// ---- copies: what lies between channels and the row's end is never read as a number that counts ----

// One row for each position.
static void copy_rows(const struct clzi_call *c, int64_t to, int64_t row, const void *x, struct clzi_shape s)
{
    struct clzi_device *dev = c->dev;
    const int64_t count = (int64_t)s.n * s.h * s.w;
    float *rows = (float *)c->scratch + to;

#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < count; i++) dev->nn->to_f32(rows + i * row, clzi_cpu_at(dev, x, i * s.c), s.c);
}

// One row for each channel.
static void copy_columns(const struct clzi_call *c, int64_t to, int64_t row, const void *x, struct clzi_shape s)
{
    struct clzi_device *dev = c->dev;
    const int area = s.h * s.w, pieces = (area + POSITIONS - 1) / POSITIONS;

#pragma omp parallel for collapse(2) schedule(static)
    for (int n = 0; n < s.n; n++)
        for (int piece = 0; piece < pieces; piece++) {
            const int at = piece * POSITIONS;
            dev->nn->deinterleave((float *)c->scratch + to + n * s.c * row + at,
                                  clzi_cpu_at(dev, x, ((int64_t)n * area + at) * s.c), row, s.c,
                                  area - at < POSITIONS ? area - at : POSITIONS);
        }
}

static void put_row(const struct clzi_call *c, void *x, int64_t position, int channels, const float *row)
{
    c->dev->nn->from_f32(clzi_cpu_to(c->dev, x, position * channels), row, channels);
}

// ---- forward ----

static int forward(struct clzi_call *c)
{
    struct clzi_device *dev = c->dev;
    const struct clzk_vectors *f = dev->vectors;
    const struct sizes s = sizes(c);
    const struct layout l = layout(c, &s, false);
    const int blocks = (s.queries + s.rows - 1) / s.rows;
    float *const base = c->scratch;

    clzi_cpu_enter(dev);
    copy_columns(c, l.k_t, s.keys_row, c->x[1], c->xs[1]);
    copy_rows(c, l.v, s.c_row, c->x[2], c->xs[2]);
#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < (int64_t)s.n * blocks; block++) {
        const int64_t n = block / blocks, first = block % blocks * s.rows, at = n * s.queries + first;
        const int rows = s.queries - first < s.rows ? (int)(s.queries - first) : s.rows;
        float *score = thread_memory(c, &l), *y = score + s.rows * s.keys_row, *q = y + s.rows * s.c_row;
        dev->nn->to_f32(q, clzi_cpu_at(dev, c->x[0], at * s.d), (int64_t)rows * s.d);
        f->matmul(&(struct clzk_matmul){ .m = rows, .n = padded(s.keys), .k = s.d, .a = q, .a_row = s.d, .a_column = 1,
                                         .b = base + l.k_t + n * s.d * s.keys_row, .b_row = s.keys_row,
                                         .c = score, .c_row = s.keys_row });
        for (int i = 0; i < rows; i++) {
            float *row = score + i * s.keys_row;
            q[i] = f->exponentials(row, s.keys, f->max(row, s.keys), 1);        // q has been read
        }
        f->matmul(&(struct clzk_matmul){ .m = rows, .n = padded(s.c), .k = s.keys, .a = score, .a_row = s.keys_row, .a_column = 1,
                                         .b = base + l.v + n * s.keys * s.c_row, .b_row = s.c_row, .c = y, .c_row = s.c_row });
        for (int i = 0; i < rows; i++) {
            for (int k = 0; k < s.c; k++) y[i * s.c_row + k] /= q[i];
            put_row(c, c->y, at + i, s.c, y + i * s.c_row);
        }
    }
    return 0;
}

// ---- backward ----

// The maximum of each row of scores, the factor 1 / sum of e^(score - max), the mean of dp weighted by p; and dx[0].
static void row_pass(struct clzi_call *c, const struct sizes *s, const struct layout *l)
{
    const struct clzk_vectors *f = c->dev->vectors;
    const int blocks = (s->queries + s->rows - 1) / s->rows;
    float *const base = c->scratch;

#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < (int64_t)s->n * blocks; block++) {
        const int64_t n = block / blocks, first = block % blocks * s->rows, at = n * s->queries + first;
        const int rows = s->queries - first < s->rows ? (int)(s->queries - first) : s->rows;
        float *score = thread_memory(c, l), *dp = score + s->rows * s->keys_row, *dq = dp + s->rows * s->keys_row;
        f->matmul(&(struct clzk_matmul){ .m = rows, .n = padded(s->keys), .k = s->d,
                                         .a = base + l->q + at * s->d_row, .a_row = s->d_row, .a_column = 1,
                                         .b = base + l->k_t + n * s->d * s->keys_row, .b_row = s->keys_row,
                                         .c = score, .c_row = s->keys_row });
        if (c->dx[0] || c->dx[1])
            f->matmul(&(struct clzk_matmul){ .m = rows, .n = padded(s->keys), .k = s->c,
                                             .a = base + l->dy + at * s->c_row, .a_row = s->c_row, .a_column = 1,
                                             .b = base + l->v_t + n * s->c * s->keys_row, .b_row = s->keys_row,
                                             .c = dp, .c_row = s->keys_row });
        for (int i = 0; i < rows; i++) {
            float *e = score + i * s->keys_row, *d = dp + i * s->keys_row;
            const float max = f->max(e, s->keys), factor = 1 / f->exponentials(e, s->keys, max, 1);
            base[l->max + at + i] = max;
            base[l->factor + at + i] = factor;
            if (!c->dx[0] && !c->dx[1]) continue;
            base[l->mean + at + i] = factor * f->dot(e, d, s->keys);
            f->softmax_gradient(d, e, s->keys, base[l->mean + at + i], factor);
        }
        if (!c->dx[0]) continue;
        f->matmul(&(struct clzk_matmul){ .m = rows, .n = padded(s->d), .k = s->keys, .a = dp, .a_row = s->keys_row, .a_column = 1,
                                         .b = base + l->k + n * s->keys * s->d_row, .b_row = s->d_row,
                                         .c = dq, .c_row = s->d_row });
        for (int i = 0; i < rows; i++) put_row(c, c->dx[0], at + i, s->d, dq + i * s->d_row);
    }
}

// Of a block of rows and of columns of the scores: dk += ds^T q, dv += p^T dy.
static void add_block(struct clzi_call *c, const struct sizes *s, const struct layout *l, int64_t n, int first_query,
                      int first_key, float *block, float *dk, float *dv)
{
    const struct clzk_vectors *f = c->dev->vectors;
    const int64_t at = n * s->queries + first_query;
    const int rows = s->queries - first_query < QUERIES ? s->queries - first_query : QUERIES;
    const int keys = s->keys - first_key < KEYS ? s->keys - first_key : KEYS, width = padded(keys);
    const float *base = c->scratch, *q = base + l->q + at * s->d_row, *dy = base + l->dy + at * s->c_row;
    float *p = block, *dp = block + QUERIES * KEYS;

    f->matmul(&(struct clzk_matmul){ .m = rows, .n = width, .k = s->d, .a = q, .a_row = s->d_row, .a_column = 1,
                                     .b = base + l->k_t + n * s->d * s->keys_row + first_key, .b_row = s->keys_row,
                                     .c = p, .c_row = KEYS });
    for (int i = 0; i < rows; i++) f->exponentials(p + i * KEYS, keys, base[l->max + at + i], base[l->factor + at + i]);
    if (c->dx[2])
        f->matmul(&(struct clzk_matmul){ .m = keys, .n = padded(s->c), .k = rows, .add = first_query > 0,
                                         .a = p, .a_row = 1, .a_column = KEYS, .b = dy, .b_row = s->c_row,
                                         .c = dv, .c_row = s->c_row });
    if (!c->dx[1]) return;
    f->matmul(&(struct clzk_matmul){ .m = rows, .n = width, .k = s->c, .a = dy, .a_row = s->c_row, .a_column = 1,
                                     .b = base + l->v_t + n * s->c * s->keys_row + first_key, .b_row = s->keys_row,
                                     .c = dp, .c_row = KEYS });
    for (int i = 0; i < rows; i++) f->softmax_gradient(dp + i * KEYS, p + i * KEYS, keys, base[l->mean + at + i], 1);
    f->matmul(&(struct clzk_matmul){ .m = keys, .n = padded(s->d), .k = rows, .add = first_query > 0,
                                     .a = dp, .a_row = 1, .a_column = KEYS, .b = q, .b_row = s->d_row,
                                     .c = dk, .c_row = s->d_row });
}

static void column_pass(struct clzi_call *c, const struct sizes *s, const struct layout *l)
{
    const int blocks = (s->keys + KEYS - 1) / KEYS;

#pragma omp parallel for schedule(static)
    for (int64_t block = 0; block < (int64_t)s->n * blocks; block++) {
        const int64_t n = block / blocks;
        const int first = (int)(block % blocks) * KEYS, keys = s->keys - first < KEYS ? s->keys - first : KEYS;
        float *memory = thread_memory(c, l), *dk = memory + 2 * QUERIES * KEYS, *dv = dk + KEYS * s->d_row;
        for (int query = 0; query < s->queries; query += QUERIES) add_block(c, s, l, n, query, first, memory, dk, dv);
        for (int j = 0; j < keys; j++) {
            if (c->dx[1]) put_row(c, c->dx[1], n * s->keys + first + j, s->d, dk + j * s->d_row);
            if (c->dx[2]) put_row(c, c->dx[2], n * s->keys + first + j, s->c, dv + j * s->c_row);
        }
    }
}

static int backward(struct clzi_call *c)
{
    const struct sizes s = sizes(c);
    const struct layout l = layout(c, &s, true);

    clzi_cpu_enter(c->dev);
    copy_rows(c, l.q, s.d_row, c->x[0], c->xs[0]);
    copy_rows(c, l.k, s.d_row, c->x[1], c->xs[1]);
    copy_columns(c, l.k_t, s.keys_row, c->x[1], c->xs[1]);
    copy_columns(c, l.v_t, s.keys_row, c->x[2], c->xs[2]);
    copy_rows(c, l.dy, s.c_row, c->dy, c->ys);
    row_pass(c, &s, &l);
    if (c->dx[1] || c->dx[2]) column_pass(c, &s, &l);
    return 0;
}

const struct clzi_op clzi_cpu_attention = { .plan = plan, .forward = forward, .backward = backward };
