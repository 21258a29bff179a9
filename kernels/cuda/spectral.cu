// spectral.cu - spectral norm of a matrix w [rows, columns], as kernels/spectral.c. Sums are in double and in an order that the
// sizes alone decide. Four launches: v = w^T u | v to length 1 | u = w v | u to length 1 and sigma, w / sigma.
#include "device.cuh"

#define LEAST 1e-12                             // of lengths and of sigma

// The sum of the block's values, for all its threads.
static __device__ double block_sum(double value, double *sums)
{
    const int thread = (int)threadIdx.x;

    __syncthreads();                            // sums may be in use
    sums[thread] = value;
    for (int n = THREADS / 2; n; n /= 2) {
        __syncthreads();
        if (thread < n) sums[thread] += sums[thread + n];
    }
    __syncthreads();
    return sums[0];
}

static __global__ void transposed_product(float *v, const float *w, const float *u, int rows, int64_t columns)
{
    const int64_t k = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    double sum = 0;

    if (k >= columns) return;
    for (int i = 0; i < rows; i++) sum += (double)u[i] * w[i * columns + k];
    v[k] = (float)sum;
}

// One block. sigma, if not NULL: the length.
static __global__ void to_length_1(float *x, int64_t count, float *sigma)
{
    CLZK_SHARED(double, sums, THREADS);
    double squares = 0;

    for (int64_t i = threadIdx.x; i < count; i += THREADS) squares += (double)x[i] * x[i];
    squares = sqrt(block_sum(squares, sums));
    const double length = squares < LEAST ? LEAST : squares;
    for (int64_t i = threadIdx.x; i < count; i += THREADS) x[i] = (float)(x[i] / length);
    if (sigma && !threadIdx.x) *sigma = (float)length;
}

// A block for each row.
static __global__ void product(float *u, const float *w, const float *v, int64_t columns)
{
    CLZK_SHARED(double, sums, THREADS);
    double sum = 0;

    for (int64_t k = threadIdx.x; k < columns; k += THREADS) sum += (double)w[blockIdx.x * columns + k] * v[k];
    sum = block_sum(sum, sums);
    if (!threadIdx.x) u[blockIdx.x] = (float)sum;
}

static __global__ void divided(float *to, const float *w, const float *sigma, int64_t count)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;

    if (i < count) to[i] = (float)(w[i] * (1 / (double)*sigma));
}

int clzk_cu_train_spectral(clzk_stream stream, float *to, const float *w, float *u, float *v, float *sigma, int rows,
                           int64_t columns)
{
    int error = clzk_launch(transposed_product, blocks_of(columns), dim3(THREADS), stream, v, w, u, rows, columns);

    if (!error) error = clzk_launch(to_length_1, dim3(1), dim3(THREADS), stream, v, columns, (float *)NULL);
    if (!error) error = clzk_launch(product, dim3((unsigned)rows), dim3(THREADS), stream, u, w, v, columns);
    if (!error) error = clzk_launch(to_length_1, dim3(1), dim3(THREADS), stream, u, (int64_t)rows, sigma);
    return error ? error : clzk_launch(divided, blocks_of(rows * columns), dim3(THREADS), stream, to, w, sigma, rows * columns);
}

enum { PARTS = 256 };                           // partial sums of <dw, to>, one a block; they fill half of CLZK_CU_SCALAR_WORK

static __global__ void partial_products(double *parts, const float *a, const float *b, int64_t count)
{
    CLZK_SHARED(double, sums, THREADS);
    double sum = 0;

    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < count; i += (int64_t)PARTS * THREADS)
        sum += (double)a[i] * b[i];
    sum = block_sum(sum, sums);
    if (!threadIdx.x) parts[blockIdx.x] = sum;
}

// Every block adds up the partial sums again.
static __global__ void gradient(float *dw, const double *parts, const float *u, const float *v, const float *sigma,
                                int64_t columns, int64_t count)
{
    CLZK_SHARED(double, sums, THREADS);
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    const double along = block_sum(threadIdx.x < PARTS ? parts[threadIdx.x] : 0, sums);

    if (i < count) dw[i] = (float)((dw[i] - along * u[i / columns] * v[i % columns]) * (1 / (double)*sigma));
}

int clzk_cu_train_spectral_gradient(clzk_stream stream, float *dw, const float *to, const float *u, const float *v,
                                    const float *sigma, int rows, int64_t columns, void *work)
{
    const int64_t count = rows * columns;
    const int error = clzk_launch(partial_products, dim3(PARTS), dim3(THREADS), stream, (double *)work, dw, to, count);

    return error ? error : clzk_launch(gradient, blocks_of(count), dim3(THREADS), stream, dw, (const double *)work, u, v, sigma,
                                       columns, count);
}
