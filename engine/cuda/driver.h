// driver.h - the few functions of libcuda.so.1 that the runtime library has no name for. They are looked up when a device is
// opened, because a machine without a driver has no libcuda.so.1 and must still load the plug-in.
#ifndef CLZI_CUDA_DRIVER_H
#define CLZI_CUDA_DRIVER_H
#include "colorize.h"

struct clzi_cuda_driver {
    int (*get_current)(void **context);     // CUresult fn(CUcontext *)
    int (*push)(void *context);
    int (*pop)(void **context);
};

// 0, or -ENOTSUP with a message that says what is missing.
int clzi_cuda_driver_load(struct clzi_cuda_driver *driver, const struct clz_log *log);
#endif
