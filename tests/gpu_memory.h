// gpu_memory.h - device memory for programs that are not linked to CUDA: the driver's functions, opened at run time.
#ifndef GPU_MEMORY_H
#define GPU_MEMORY_H
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

#include "stream_check.h"

static struct {
    int (*init)(unsigned), (*device)(int *, int), (*retain)(void **, int), (*push)(void *);
    int (*alloc)(uint64_t *, size_t), (*free)(uint64_t);
    int (*to_device)(uint64_t, const void *, size_t), (*to_host)(void *, uint64_t, size_t);
    int (*info)(size_t *free, size_t *all);
} gpu_driver;

static inline void *gpu_memory_alloc(size_t size)
{
    uint64_t p = 0;
    return gpu_driver.alloc(&p, size) ? NULL : (void *)(uintptr_t)p;
}

static inline void gpu_memory_free(void *p) { gpu_driver.free((uintptr_t)p); }

static inline void gpu_memory_copy(void *to, const void *from, size_t size, bool to_device)
{
    if (to_device) REQUIRE_INT(gpu_driver.to_device((uintptr_t)to, from, size), 0);
    else REQUIRE_INT(gpu_driver.to_host(to, (uintptr_t)from, size), 0);
}

// KiB of the GPU that are in use, after gpu_memory_open().
static inline long gpu_memory_used(void)
{
    size_t left = 0, all = 0;
    REQUIRE_INT(gpu_driver.info(&left, &all), 0);
    return (long)((all - left) / 1024);
}

// The first GPU's primary context, which stays current on the calling thread, and its default stream. false: there is none.
static inline bool gpu_memory_open(struct stream_check_memory *m)
{
    static const struct { const char *name; void *at; } functions[] = {
        { "cuInit", &gpu_driver.init }, { "cuDeviceGet", &gpu_driver.device }, { "cuDevicePrimaryCtxRetain", &gpu_driver.retain },
        { "cuCtxPushCurrent_v2", &gpu_driver.push }, { "cuMemAlloc_v2", &gpu_driver.alloc }, { "cuMemFree_v2", &gpu_driver.free },
        { "cuMemcpyHtoD_v2", &gpu_driver.to_device }, { "cuMemcpyDtoH_v2", &gpu_driver.to_host },
        { "cuMemGetInfo_v2", &gpu_driver.info },
    };
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    int number;

    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        void *function = library ? dlsym(library, functions[i].name) : NULL;
        if (!function) return false;
        memcpy(functions[i].at, &function, sizeof function);
    }
    *m = (struct stream_check_memory){ NULL, (void *)1, gpu_memory_alloc, gpu_memory_free, gpu_memory_copy };  // CU_STREAM_LEGACY
    return !gpu_driver.init(0) && !gpu_driver.device(&number, 0) && !gpu_driver.retain(&m->context, number) &&
           !gpu_driver.push(m->context);
}
#endif
