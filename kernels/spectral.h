// spectral.h - spectral norm (Miyato et al. 2018): a matrix divided by its largest singular value, which one step of power
// iteration for each call follows as the matrix changes. The sums are in double; the results do not depend on threads.
#ifndef CLZK_SPECTRAL_H
#define CLZK_SPECTRAL_H
#include <stdint.h>

// w [rows, columns]. v = norm(w^T u), u = norm(w v), *sigma = u . (w v), to = w / *sigma. u [rows] is kept from call to call, v
// [columns] is an output. norm(x) = x / max(|x|, 1e-12), as PyTorch; *sigma is at least 1e-12.
void clzk_spectral(float *to, const float *w, float *u, float *v, float *sigma, int rows, int64_t columns);

// The gradient of a function of `to`, dw, becomes that of w, u and v being constants: dw = (dw - <dw, to> u v^T) / sigma.
void clzk_spectral_gradient(float *dw, const float *to, const float *u, const float *v, float sigma, int rows, int64_t columns);
#endif
