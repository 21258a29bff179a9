// attention.c - y_i = sum over j of p_ij v_j, p_ij = softmax over j of q_i . k_j, where i is a position of q and j one of k and
// v. With dp_ij = dy_i . v_j:
//     dv_j = sum over i of p_ij dy_i,  ds_ij = p_ij (dp_ij - sum over j' of p_ij' dp_ij')
//     dq_i = sum over j of ds_ij k_j,  dk_j = sum over i of ds_ij q_i
// The weights p of all pairs are never kept: backward computes them again.
#include <math.h>

#include "kernels/threads.h"
#include "ref.h"

static int64_t area(struct clzi_shape s) { return (int64_t)s.h * s.w; }

// Of picture n: the product of position i of a and position j of b, over their channels.
static double product(const void *a, struct clzi_shape as, int64_t i, const void *b, struct clzi_shape bs, int64_t j, int n)
{
    double sum = 0;

    for (int c = 0; c < as.c; c++) sum += (double)clzi_ref_plane(a, as, n, c)[i] * clzi_ref_plane(b, bs, n, c)[j];
    return sum;
}

static double score(const struct clzi_call *c, int n, int64_t i, int64_t j)
{
    return product(c->x[0], c->xs[0], i, c->x[1], c->xs[1], j, n);
}

// Of one position of q: p_ij = exp(s_ij - most) / sum; mean: sum over j of p_ij dp_ij.
struct row { double most, sum, mean; };

static struct row row(const struct clzi_call *c, int n, int64_t i, bool gradient)
{
    struct row r = { -INFINITY, 0, 0 };

    for (int64_t j = 0; j < area(c->xs[1]); j++) r.most = fmax(r.most, score(c, n, i, j));
    for (int64_t j = 0; j < area(c->xs[1]); j++) {
        const double e = exp(score(c, n, i, j) - r.most);
        r.sum += e;
        if (gradient) r.mean += e * product(c->dy, c->ys, i, c->x[2], c->xs[2], j, n);
    }
    r.mean /= r.sum;
    return r;
}

static double weight(const struct clzi_call *c, const struct row *r, int n, int64_t i, int64_t j)
{
    return exp(score(c, n, i, j) - r->most) / r->sum;
}

static size_t sums_count(const struct clzi_call *c) { return (size_t)c->xs[0].c + c->xs[2].c; }

// Of the calling thread: sums over positions, for each channel of q or k, and for each of v.
static double *sums(const struct clzi_call *c)
{
    double *s = (double *)c->scratch + (size_t)clzk_thread() * sums_count(c);
    for (size_t i = 0; i < sums_count(c); i++) s[i] = 0;
    return s;
}

static void add(double *sum, double factor, const void *tensor, struct clzi_shape s, int n, int64_t i)
{
    for (int c = 0; c < s.c; c++) sum[c] += factor * clzi_ref_plane(tensor, s, n, c)[i];
}

static void put(void *tensor, struct clzi_shape s, int n, int64_t i, const double *sum)
{
    for (int c = 0; tensor && c < s.c; c++) ((float *)tensor)[((int64_t)n * s.c + c) * area(s) + i] = (float)sum[c];
}

static size_t thread_sums_size(const struct clzi_call *c) { return clzi_ref_threads(c) * sums_count(c) * sizeof(double); }

static int plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    c->scratch_size = thread_sums_size(c);
    if (clzi_ref_wants_gradient(c)) c->scratch_size += c->ys.n * area(c->ys) * sizeof(struct row);
    return 0;
}

static int forward(struct clzi_call *c)
{
    const int64_t count = area(c->xs[1]);

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int64_t k = 0; k < c->ys.n * area(c->ys); k++) {
        const int n = (int)(k / area(c->ys));
        const int64_t i = k % area(c->ys);
        const struct row r = row(c, n, i, false);
        double *s = sums(c);
        for (int64_t j = 0; j < count; j++) add(s, weight(c, &r, n, i, j), c->x[2], c->xs[2], n, j);
        put(c->y, c->ys, n, i, s);
    }
    return 0;
}

static double score_gradient(const struct clzi_call *c, const struct row *r, int n, int64_t i, int64_t j)
{
    return weight(c, r, n, i, j) * (product(c->dy, c->ys, i, c->x[2], c->xs[2], j, n) - r->mean);
}

static int backward(struct clzi_call *c)
{
    const int64_t queries = area(c->xs[0]), keys = area(c->xs[1]);
    struct row *rows = (struct row *)((char *)c->scratch + thread_sums_size(c));

#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int64_t k = 0; k < c->ys.n * queries; k++) {
        const int n = (int)(k / queries);
        const int64_t i = k % queries;
        double *s = sums(c);
        rows[k] = row(c, n, i, true);
        for (int64_t j = 0; c->dx[0] && j < keys; j++)
            add(s, score_gradient(c, &rows[k], n, i, j), c->x[1], c->xs[1], n, j);
        put(c->dx[0], c->xs[0], n, i, s);
    }
#pragma omp parallel for num_threads(clzi_ref_threads(c))
    for (int64_t k = 0; k < c->ys.n * keys; k++) {
        const int n = (int)(k / keys);
        const int64_t j = k % keys;
        double *s = sums(c), *of_v = s + c->xs[1].c;
        for (int64_t i = 0; i < queries; i++) {
            const struct row *r = &rows[n * queries + i];
            if (c->dx[1]) add(s, score_gradient(c, r, n, i, j), c->x[0], c->xs[0], n, i);
            if (c->dx[2]) add(of_v, weight(c, r, n, i, j), c->dy, c->ys, n, i);
        }
        put(c->dx[1], c->xs[1], n, j, s);
        put(c->dx[2], c->xs[2], n, j, of_v);
    }
    return 0;
}

const struct clzi_op clzi_ref_attention = { .plan = plan, .forward = forward, .backward = backward };
