// attention.c - y_i = sum over j of p_ij v_j, p = softmax over j of q_i . k_j: two matrix products of cuBLAS around a softmax,
// picture by picture. The weights p [queries, keys] of the batch are kept for backward. With dp = dy v^T and
// ds = p (dp - sum of p dp):
//     dv = p^T dy,  dq = ds k,  dk = ds^T q
// Tensors are [position][channel], row by row; cuBLAS counts columns first, so each product is written for the transposes.
#include <errno.h>

#include "cuda.h"

struct sizes { int n, queries, keys, c, cv; };

static struct sizes sizes(const struct clzi_call *c)
{
    return (struct sizes){ c->xs[0].n, c->xs[0].h * c->xs[0].w, c->xs[1].h * c->xs[1].w, c->xs[0].c, c->xs[2].c };
}

static size_t weights_size(const struct clzi_call *c)
{
    const struct sizes s = sizes(c);
    return clzi_cuda_aligned(clzi_cuda_bytes(c->dev, (int64_t)s.n * s.queries * s.keys));
}

static int plan(struct clzi_call *c)
{
    const int ret = clzi_cuda_blas_open(c->dev);

    if (ret < 0) return ret;
    c->backward_reads_x = true;
    c->saved_size = weights_size(c);
    c->scratch_size = c->want_dx[0] || c->want_dx[1] ? weights_size(c) : 0;
    return 0;
}

// Row-major y [rows][columns] = a b, for each picture. a_t: a is stored [inner][rows], else [rows][inner]; b_t: b is stored
// [columns][inner], else [inner][columns].
struct product { int rows, columns, inner; bool a_t, b_t; const void *a, *b; void *y; };

static int multiply(struct clzi_call *c, const struct product *p)
{
    static const cudaDataType types[CLZK_TYPE_COUNT] = {
        [CLZK_F32] = CUDA_R_32F, [CLZK_F16] = CUDA_R_16F, [CLZK_BF16] = CUDA_R_16BF,
    };
    const cudaDataType type = types[c->dev->type];
    const float one = 1, zero = 0;
    const cublasStatus_t status = cublasGemmStridedBatchedEx(
        c->dev->blas, p->b_t ? CUBLAS_OP_T : CUBLAS_OP_N, p->a_t ? CUBLAS_OP_T : CUBLAS_OP_N, p->columns, p->rows, p->inner, &one,
        p->b, type, p->b_t ? p->inner : p->columns, (int64_t)p->columns * p->inner, p->a, type, p->a_t ? p->rows : p->inner,
        (int64_t)p->rows * p->inner, &zero, p->y, type, p->columns, (int64_t)p->rows * p->columns, c->xs[0].n,
        CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);

    return status ? clzi_fail(&c->dev->base.log, -EIO, "cuda: cuBLAS: %s", cublasGetStatusString(status)) : 0;
}

static int forward(struct clzi_call *c)
{
    const struct sizes s = sizes(c);
    int ret = multiply(c, &(struct product){ s.queries, s.keys, s.c, false, true, c->x[0], c->x[1], c->saved });

    if (ret >= 0)
        ret = clzi_cuda_error(c->dev, clzk_cu_softmax(c->dev->stream, c->dev->type, c->saved, c->saved, (int64_t)s.n * s.queries,
                                                      s.keys, 1), c->node->name);
    return ret < 0 ? ret : multiply(c, &(struct product){ s.queries, s.cv, s.keys, false, false, c->saved, c->x[2], c->y });
}

static int backward(struct clzi_call *c)
{
    const struct sizes s = sizes(c);
    int ret = 0;

    if (c->dx[2]) ret = multiply(c, &(struct product){ s.keys, s.cv, s.queries, true, false, c->saved, c->dy, c->dx[2] });
    if (ret < 0 || (!c->dx[0] && !c->dx[1])) return ret;
    if ((ret = multiply(c, &(struct product){ s.queries, s.keys, s.cv, false, true, c->dy, c->x[2], c->scratch })) < 0 ||
        (ret = clzi_cuda_error(c->dev, clzk_cu_softmax_back(c->dev->stream, c->dev->type, c->scratch, c->saved, c->scratch,
                                                            (int64_t)s.n * s.queries, s.keys, 1), c->node->name)) < 0)
        return ret;
    if (c->dx[0]) ret = multiply(c, &(struct product){ s.queries, s.c, s.keys, false, false, c->scratch, c->x[1], c->dx[0] });
    if (ret >= 0 && c->dx[1])
        ret = multiply(c, &(struct product){ s.keys, s.c, s.queries, true, false, c->scratch, c->x[0], c->dx[1] });
    return ret;
}

const struct clzi_op clzi_cuda_attention = { .plan = plan, .forward = forward, .backward = backward };
