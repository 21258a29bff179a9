// driver.c - see driver.h.
#include <cuda_runtime_api.h>
#include <errno.h>
#include <string.h>

#include "driver.h"
#include "base/log.h"

int clzi_cuda_driver_load(struct clzi_cuda_driver *driver, const struct clz_log *log)
{
    const struct { const char *name; void **at; } functions[] = {
        { "cuCtxGetCurrent", (void **)&driver->get_current }, { "cuCtxPushCurrent", (void **)&driver->push },
        { "cuCtxPopCurrent", (void **)&driver->pop },
    };

    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        enum cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
        const cudaError_t error = cudaGetDriverEntryPointByVersion(functions[i].name, functions[i].at, 12000, cudaEnableDefault,
                                                                   &found);
        if (error || found != cudaDriverEntryPointSuccess)
            return clzi_fail(log, -ENOTSUP, "cuda: the driver has no %s: %s", functions[i].name,
                             error ? cudaGetErrorString(error) : "too old");
    }
    return 0;
}
