// attention.c - y_i = sum over j of p_ij v_j, p = softmax over j of q_i . k_j: two matrix products of cuBLAS around a softmax,
// picture by picture. The weights p [queries, keys] of the batch are kept for backward. With dp = dy v^T and
// ds = p (dp - sum of p dp):
//     dv = p^T dy,  dq = ds k,  dk = ds^T q
// All is computed in f32, into which other types are converted first: p in bf16 costs 1 % of the result, and at the size where
// attention is affordable the products are small.
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
    return clzi_cuda_aligned((size_t)s.n * s.queries * s.keys * sizeof(float));
}

static size_t floats_size(struct clzi_shape s) { return clzi_cuda_aligned((size_t)clzi_shape_count(s) * sizeof(float)); }

static int plan(struct clzi_call *c)
{
    const int ret = clzi_cuda_blas_open(c->dev);
    size_t copies = 0, largest = floats_size(c->ys);

    if (ret < 0) return ret;
    for (int k = 0; k < 3; k++) {
        copies += floats_size(c->xs[k]);
        if (floats_size(c->xs[k]) > largest) largest = floats_size(c->xs[k]);
    }
    c->backward_reads_x = true;
    c->saved_size = weights_size(c);
    // backward: ds; for other types than f32 the inputs and dy, and one result
    c->scratch_size = (c->want_dx[0] || c->want_dx[1] ? weights_size(c) : 0) +
                      (c->dev->type == CLZK_F32 ? 0 : copies + floats_size(c->ys) + largest);
    return 0;
}

// Row-major y [rows][columns] = a b, for each picture. a_t: a is stored [inner][rows], else [rows][inner]; b_t: b is stored
// [columns][inner], else [inner][columns].
struct product { int rows, columns, inner; bool a_t, b_t; const float *a, *b; float *y; };

static int multiply(struct clzi_call *c, const struct product *p)
{
    const float one = 1, zero = 0;
    const cublasStatus_t status = cublasGemmStridedBatchedEx(
        c->dev->blas, p->b_t ? CUBLAS_OP_T : CUBLAS_OP_N, p->a_t ? CUBLAS_OP_T : CUBLAS_OP_N, p->columns, p->rows, p->inner, &one,
        p->b, CUDA_R_32F, p->b_t ? p->inner : p->columns, (int64_t)p->columns * p->inner, p->a, CUDA_R_32F,
        p->a_t ? p->rows : p->inner, (int64_t)p->rows * p->inner, &zero, p->y, CUDA_R_32F, p->columns,
        (int64_t)p->rows * p->columns, c->xs[0].n, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT);

    return status ? clzi_fail(&c->dev->base.log, -EIO, "cuda: cuBLAS: %s", cublasGetStatusString(status)) : 0;
}

// The tensors in f32: themselves, or copies from `room` on.
struct floats { const float *q, *k, *v, *dy; char *rest; };

static int convert(struct clzi_call *c, const void *x, struct clzi_shape s, const float **y, char **room)
{
    int error = 0;

    *y = x;
    if (!x || c->dev->type == CLZK_F32) return 0;
    *y = (float *)*room;
    error = clzk_cu_cast(c->dev->stream, CLZK_F32, *room, c->dev->type, x, clzi_shape_count(s));
    *room += floats_size(s);
    return clzi_cuda_error(c->dev, error, c->node->name);
}

static int convert_all(struct clzi_call *c, const void *dy, char *room, struct floats *f)
{
    int ret;

    if ((ret = convert(c, c->x[0], c->xs[0], &f->q, &room)) < 0 || (ret = convert(c, c->x[1], c->xs[1], &f->k, &room)) < 0 ||
        (ret = convert(c, c->x[2], c->xs[2], &f->v, &room)) < 0 || (ret = convert(c, dy, c->ys, &f->dy, &room)) < 0)
        return ret;
    f->rest = room;
    return 0;
}

// Computes a product into a tensor of the activations' type.
static int multiply_to(struct clzi_call *c, struct product p, void *y, struct clzi_shape s, char *room)
{
    int ret;

    p.y = c->dev->type == CLZK_F32 ? y : (float *)room;
    if ((ret = multiply(c, &p)) < 0 || c->dev->type == CLZK_F32) return ret;
    return clzi_cuda_error(c->dev, clzk_cu_cast(c->dev->stream, c->dev->type, y, CLZK_F32, room, clzi_shape_count(s)),
                           c->node->name);
}

static int forward(struct clzi_call *c)
{
    const struct sizes s = sizes(c);
    float *p = c->saved;
    struct floats f;
    int ret;

    if ((ret = convert_all(c, NULL, c->scratch, &f)) < 0 ||
        (ret = multiply(c, &(struct product){ s.queries, s.keys, s.c, false, true, f.q, f.k, p })) < 0 ||
        (ret = clzi_cuda_error(c->dev, clzk_cu_softmax(c->dev->stream, CLZK_F32, p, p, (int64_t)s.n * s.queries, s.keys, 1),
                               c->node->name)) < 0)
        return ret;
    return multiply_to(c, (struct product){ s.queries, s.cv, s.keys, false, false, p, f.v, NULL }, c->y, c->ys, f.rest);
}

static int backward(struct clzi_call *c)
{
    const struct sizes s = sizes(c);
    const bool scores = c->dx[0] || c->dx[1];
    const float *p = c->saved;
    float *ds = c->scratch;
    struct floats f;
    int ret = convert_all(c, c->dy, (char *)c->scratch + (scores ? weights_size(c) : 0), &f);

    if (ret >= 0 && c->dx[2])
        ret = multiply_to(c, (struct product){ s.keys, s.cv, s.queries, true, false, p, f.dy, NULL }, c->dx[2], c->xs[2], f.rest);
    if (ret < 0 || !scores) return ret;
    if ((ret = multiply(c, &(struct product){ s.queries, s.keys, s.cv, false, true, f.dy, f.v, ds })) < 0 ||
        (ret = clzi_cuda_error(c->dev, clzk_cu_softmax_back(c->dev->stream, CLZK_F32, ds, p, ds, (int64_t)s.n * s.queries, s.keys,
                                                            1), c->node->name)) < 0)
        return ret;
    if (c->dx[0])
        ret = multiply_to(c, (struct product){ s.queries, s.c, s.keys, false, false, ds, f.k, NULL }, c->dx[0], c->xs[0], f.rest);
    if (ret >= 0 && c->dx[1])
        ret = multiply_to(c, (struct product){ s.keys, s.c, s.queries, true, false, ds, f.q, NULL }, c->dx[1], c->xs[1], f.rest);
    return ret;
}

const struct clzi_op clzi_cuda_attention = { .plan = plan, .forward = forward, .backward = backward };
