// rgb.cu - L* and ab to a picture in sRGB, and the gradient (lab_math.h). A thread has a pixel.
#include "device.cuh"

#include "kernels/lab_math.h"

template <typename T> static __global__ void rgb(T *y, const T *l, const T *ab, uint32_t pixels)
{
    const uint32_t i = thread_number();

    if (i >= pixels) return;
    const float lab[3] = { get(l[i]), get(ab[2 * (int64_t)i]), get(ab[2 * (int64_t)i + 1]) };
    float c[3];
    clzk_net_to_rgb(lab, c);
    for (int k = 0; k < 3; k++) y[3 * (int64_t)i + k] = put<T>(c[k]);
}

template <typename T>
static __global__ void rgb_back(T *dl, T *dab, const T *l, const T *ab, const T *dy, uint32_t pixels)
{
    const uint32_t i = thread_number();

    if (i >= pixels) return;
    const float lab[3] = { get(l[i]), get(ab[2 * (int64_t)i]), get(ab[2 * (int64_t)i + 1]) };
    const float d[3] = { get(dy[3 * (int64_t)i]), get(dy[3 * (int64_t)i + 1]), get(dy[3 * (int64_t)i + 2]) };
    float dlab[3];
    clzk_net_to_rgb_back(lab, d, dlab);
    if (dl) dl[i] = put<T>(dlab[0]);
    if (!dab) return;
    dab[2 * (int64_t)i] = put<T>(dlab[1]);
    dab[2 * (int64_t)i + 1] = put<T>(dlab[2]);
}

template <typename T> static int forward(void *y, const void *l, const void *ab, int64_t pixels, clzk_stream stream)
{
    return clzk_launch(rgb<T>, blocks_of(pixels), dim3(THREADS), stream, (T *)y, (const T *)l, (const T *)ab, (uint32_t)pixels);
}

template <typename T>
static int backward(void *dl, void *dab, const void *l, const void *ab, const void *dy, int64_t pixels, clzk_stream stream)
{
    return clzk_launch(rgb_back<T>, blocks_of(pixels), dim3(THREADS), stream, (T *)dl, (T *)dab, (const T *)l, (const T *)ab,
                       (const T *)dy, (uint32_t)pixels);
}

int clzk_cu_rgb(clzk_stream stream, enum clzk_type type, void *y, const void *l, const void *ab, int64_t pixels)
{
    return pixels ? BY_TYPE(type, forward, y, l, ab, pixels, stream) : 0;
}

int clzk_cu_rgb_back(clzk_stream stream, enum clzk_type type, void *dl, void *dab, const void *l, const void *ab, const void *dy,
                     int64_t pixels)
{
    return pixels ? BY_TYPE(type, backward, dl, dab, l, ab, dy, pixels, stream) : 0;
}
