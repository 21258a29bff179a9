// bars.c - the rows and columns of frames in device memory, for the detection of black bars.
#include <errno.h>
#include <string.h>

#include "cuda.h"
#include "pixfmt.h"

static int reserve(struct clzi_device *dev, size_t size)
{
    struct clzi_cuda_bars *b = &dev->bars;
    cudaError_t error;

    if (size <= b->size) return 0;
    clzi_cuda_bars_free(dev);
    error = cudaMalloc((void **)&b->device, size);
    if (!error) error = cudaHostAlloc((void **)&b->host, size, cudaHostAllocDefault);
    if (!error) error = cudaEventCreateWithFlags(&b->done, cudaEventDisableTiming);
    if (error) {
        clzi_cuda_bars_free(dev);
        return clzi_cuda_error(dev, error, "black bars");
    }
    b->size = size;
    return 0;
}

void clzi_cuda_bars_free(struct clzi_device *dev)
{
    struct clzi_cuda_bars *b = &dev->bars;

    cudaFree(b->device);
    cudaFreeHost(b->host);
    if (b->done) cudaEventDestroy(b->done);
    memset(b, 0, sizeof *b);
}

int clzi_cuda_bright(struct clzi_device *dev, const struct clz_frame *frames, int count, const int **counts)
{
    struct clzi_cuda_bars *b = &dev->bars;
    struct clzk_picture pictures[CLZI_MAX_IMAGES];
    const size_t size = (size_t)count * (frames->width + frames->height) * sizeof *b->device;
    int error, ret = reserve(dev, size);

    if (ret < 0) return ret;
    for (int i = 0; i < count; i++) pictures[i] = clzi_picture(&frames[i]);
    error = clzk_cu_bars(dev->stream, count, pictures, b->device);
    if (!error) error = cudaMemcpyAsync(b->host, b->device, size, cudaMemcpyDeviceToHost, dev->stream);
    // not for the stream, to which the application may go on adding
    if (!error) error = cudaEventRecord(b->done, dev->stream);
    if (!error) error = cudaEventSynchronize(b->done);
    *counts = b->host;
    return clzi_cuda_error(dev, error, "black bars");
}
