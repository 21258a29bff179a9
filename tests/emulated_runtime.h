// emulated_runtime.h - what tests may set and read of emulated_runtime.c.
#ifndef EMULATED_RUNTIME_H
#define EMULATED_RUNTIME_H
#include <stdbool.h>
#include <stddef.h>

struct emulated_runtime {
    int devices;                            // 0: no driver
    int capability;                         // major
    size_t memory, used;                    // bytes that can be allocated, 0: no limit; that are
    size_t dnn_version;                     // 0: that of the headers
    int fail_at;                            // this allocation from now on fails; 0: none
    bool lost, context_gone;                // waiting fails; the context cannot be entered
    int blocks;                             // allocated now, with streams and events
    void *current, *stack[16];              // context, and those below it
    int depth;
    int last, stale;                        // what cudaGetLastError() returns; calls that were made before it was asked
};
struct emulated_runtime *emulated_runtime(void);
#endif
