// frechet.c - Frechet distance of two normal distributions.
//
// The eigenvalues of S1 S2 are those of the symmetric matrix L' S2 L with S1 = L L'. L comes from a Cholesky decomposition that
// takes the largest diagonal element each time and ends when none is left: a set of n vectors has a covariance of rank n - 1,
// usually below the size of the vectors. Only eigenvalues are needed: Householder's reduction to a tridiagonal matrix, then QL
// with implicit shifts (Golub and Van Loan, Matrix Computations, 8.3).
#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "frechet.h"

enum { SWEEPS = 60 };                       // of QL for one eigenvalue; two or three are usual

int clzt_moments_create(struct clzt_moments *m, int size)
{
    *m = (struct clzt_moments){ .size = size, .sum = calloc((size_t)size, sizeof *m->sum),
                                .products = calloc((size_t)size * size, sizeof *m->products) };
    if (m->sum && m->products) return 0;
    clzt_moments_destroy(m);
    return -ENOMEM;
}

void clzt_moments_destroy(struct clzt_moments *m)
{
    free(m->sum);
    free(m->products);
    *m = (struct clzt_moments){ 0 };
}

void clzt_moments_add(struct clzt_moments *m, const float *x)
{
    for (int i = 0; i < m->size; i++) {
        double *row = m->products + (size_t)i * m->size;
        const double xi = x[i];
        m->sum[i] += xi;
        for (int k = 0; k <= i; k++) row[k] += xi * x[k];
    }
    m->count++;
}

// The whole matrix; to be freed. NULL: out of memory.
static double *covariance(const struct clzt_moments *m)
{
    const size_t n = m->size;
    double *s = malloc(n * n * sizeof *s);

    for (size_t i = 0; s && i < n; i++)
        for (size_t k = 0; k <= i; k++)
            s[i * n + k] = s[k * n + i] = (m->products[i * n + k] - m->sum[i] * m->sum[k] / m->count) / (m->count - 1);
    return s;
}

static double trace(const double *s, size_t n)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++) sum += s[i * n + i];
    return sum;
}

// factor [n,n]: row r is column r of L, S = L L'. Returns the rank, the number of rows. diagonal [n]: scratch.
static int cholesky(const double *s, size_t n, double *factor, double *diagonal)
{
    double largest = 0;
    size_t rank = 0;

    for (size_t i = 0; i < n; i++) {
        diagonal[i] = s[i * n + i];
        if (diagonal[i] > largest) largest = diagonal[i];
    }
    for (; rank < n; rank++) {
        double *row = factor + rank * n, root;
        size_t p = 0;
        for (size_t i = 1; i < n; i++)
            if (diagonal[i] > diagonal[p]) p = i;
        if (!(diagonal[p] > largest * (double)n * DBL_EPSILON)) break;
        root = sqrt(diagonal[p]);
        memcpy(row, s + p * n, n * sizeof *row);
        for (size_t r = 0; r < rank; r++) {
            const double *earlier = factor + r * n, w = earlier[p];
            for (size_t i = 0; i < n; i++) row[i] -= w * earlier[i];
        }
        for (size_t i = 0; i < n; i++) {
            row[i] /= root;
            diagonal[i] -= row[i] * row[i];
        }
        diagonal[p] = -1;                   // taken
    }
    return (int)rank;
}

// ---- eigenvalues ----

// On return d [n] is the diagonal of a similar tridiagonal matrix, e [n] what stands below it: e[i] beside d[i] and d[i-1].
static void tridiagonal(double *a, size_t n, double *d, double *e)
{
    for (size_t i = n - 1; i > 0; i--) {
        double *row = a + i * n, scale = 0, h = 0, sum = 0;
        e[i] = row[i - 1];
        d[i] = row[i];
        for (size_t k = 0; k + 1 < i; k++) scale += fabs(row[k]);
        if (scale == 0) continue;           // is so already
        scale += fabs(row[i - 1]);
        for (size_t k = 0; k < i; k++) {
            row[k] /= scale;
            h += row[k] * row[k];
        }
        const double f = row[i - 1], g = f > 0 ? -sqrt(h) : sqrt(h);
        e[i] = scale * g;
        h -= f * g;
        row[i - 1] = f - g;
        // e[0..i) = A row / h, from the lower half of A; A -= row q' + q row' with q = e - row (row' e) / 2h
        for (size_t k = 0; k < i; k++) e[k] = 0;
        for (size_t k = 0; k < i; k++) {
            const double *ak = a + k * n, rk = row[k];
            double dot = ak[k] * rk;
            for (size_t j = 0; j < k; j++) {
                dot += ak[j] * row[j];
                e[j] += ak[j] * rk;
            }
            e[k] += dot;
        }
        for (size_t k = 0; k < i; k++) sum += row[k] * (e[k] /= h);
        sum /= h + h;
        for (size_t k = 0; k < i; k++) e[k] -= sum * row[k];
        for (size_t k = 0; k < i; k++) {
            double *ak = a + k * n;
            for (size_t j = 0; j <= k; j++) ak[j] -= row[k] * e[j] + e[k] * row[j];
        }
    }
    d[0] = a[0];
    e[0] = 0;
}

static int ql(double *d, double *e, size_t n)
{
    for (size_t i = 1; i < n; i++) e[i - 1] = e[i];
    e[n - 1] = 0;
    for (size_t l = 0; l < n; l++)
        for (int sweep = 0;; sweep++) {
            size_t m = l;
            while (m + 1 < n && fabs(e[m]) > DBL_EPSILON * (fabs(d[m]) + fabs(d[m + 1]))) m++;
            if (m == l) break;
            if (sweep == SWEEPS) return -EDOM;
            double g = (d[l + 1] - d[l]) / (2 * e[l]), r = hypot(g, 1), s = 1, c = 1, p = 0;
            size_t i = m;
            g = d[m] - d[l] + e[l] / (g + copysign(r, g));
            while (i-- > l) {
                const double f = s * e[i], b = c * e[i];
                e[i + 1] = r = hypot(f, g);
                if (r == 0) {
                    d[i + 1] -= p;
                    e[m] = 0;
                    break;
                }
                s = f / r;
                c = g / r;
                g = d[i + 1] - p;
                r = (d[i] - g) * s + 2 * c * b;
                p = s * r;
                d[i + 1] = g + p;
                g = c * r - b;
            }
            if (r == 0 && i + 1 > l) continue;
            d[l] -= p;
            e[l] = g;
            e[m] = 0;
        }
    return 0;
}

int clzt_eigenvalues(double *matrix, int n, double *values)
{
    double *e = malloc((size_t)n * sizeof *e);
    int ret = e ? 0 : -ENOMEM;

    for (int i = 0; i < n && ret >= 0; i++)
        for (int k = 0; k <= i; k++)
            if (!isfinite(matrix[(size_t)i * n + k])) ret = -EDOM;
    if (ret >= 0 && n) {
        tridiagonal(matrix, (size_t)n, values, e);
        ret = ql(values, e, (size_t)n);
    }
    free(e);
    return ret;
}

// ---- the distance ----

// L' S L [rank,rank], lower half. half [n]: scratch.
static void sandwich(const double *factor, const double *s, size_t n, size_t rank, double *half, double *to)
{
    for (size_t r = 0; r < rank; r++) {
        const double *l = factor + r * n;
        memset(half, 0, n * sizeof *half);
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < n; k++) half[k] += l[i] * s[i * n + k];
        for (size_t q = 0; q < rank; q++) {
            double sum = 0;
            for (size_t k = 0; k < n; k++) sum += half[k] * factor[q * n + k];
            to[r * rank + q] = sum;
        }
    }
}

int clzt_frechet(const struct clzt_moments *a, const struct clzt_moments *b, double *distance)
{
    const size_t n = a->size;
    double *sa = NULL, *sb = NULL, *factor = NULL, *vector = NULL, *inner = NULL, sum = 0, largest = 0;
    int rank, ret = -ENOMEM;

    *distance = NAN;
    if (a->count < 2 || b->count < 2) return 0;
    sa = covariance(a);
    sb = covariance(b);
    factor = malloc(n * n * sizeof *factor);
    vector = malloc(n * sizeof *vector);
    if (!sa || !sb || !factor || !vector) goto end;
    rank = cholesky(sa, n, factor, vector);
    if (!(inner = malloc(((size_t)rank * rank + 1) * sizeof *inner))) goto end;
    sandwich(factor, sb, n, (size_t)rank, vector, inner);
    if ((ret = clzt_eigenvalues(inner, rank, vector)) < 0) goto end;
    for (size_t i = 0; i < n; i++) {
        const double d = a->sum[i] / a->count - b->sum[i] / b->count;
        sum += d * d;
    }
    sum += trace(sa, n) + trace(sb, n);
    for (int i = 0; i < rank; i++) largest = fmax(largest, vector[i]);
    for (int i = 0; i < rank; i++)          // the root would enlarge the rounding errors of those that are 0
        if (vector[i] > largest * rank * DBL_EPSILON) sum -= 2 * sqrt(vector[i]);
    *distance = sum > 0 ? sum : 0;
end:
    free(sa);
    free(sb);
    free(factor);
    free(vector);
    free(inner);
    return ret;
}
