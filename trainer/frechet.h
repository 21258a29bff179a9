// frechet.h - the Frechet distance between two sets of feature vectors, each taken as a normal distribution:
//     |m1 - m2|^2 + tr(S1) + tr(S2) - 2 tr((S1 S2)^(1/2)), covariances with n - 1 in the denominator (Heusel et al. 2017).
#ifndef CLZT_FRECHET_H
#define CLZT_FRECHET_H
#include <stdint.h>

// Mean and covariance of a set that is given vector by vector.
struct clzt_moments {
    int size;                               // of a vector
    int64_t count;
    double *sum, *products;                 // [size], [size,size] lower half: sums of x x'
};
int clzt_moments_create(struct clzt_moments *m, int size);      // -ENOMEM
void clzt_moments_destroy(struct clzt_moments *m);              // also of a zeroed struct
void clzt_moments_add(struct clzt_moments *m, const float *x);

// NAN: fewer than two vectors in a set. -ENOMEM. Takes about size * rank * (size + rank) multiplications, the rank being that of
// the covariance of a, at most its count - 1.
int clzt_frechet(const struct clzt_moments *a, const struct clzt_moments *b, double *distance);

// Eigenvalues of the symmetric matrix [n,n], of which the lower half is read; it is overwritten. values [n], in no order.
// -ENOMEM; -EDOM: it is not finite.
int clzt_eigenvalues(double *matrix, int n, double *values);
#endif
