// cuda_memory.h - memory:CUDAMemory for the element: what it needs of GStreamer's CUDA library. cuda_memory.c has it where
// configure found that library; else no_cuda_memory.c, in which the table is empty.
// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef COLORIZE_CUDA_MEMORY_H
#define COLORIZE_CUDA_MEMORY_H
#include <gst/gst.h>

#define CUDA_MEMORY "memory:CUDAMemory"

struct _GstCudaContext;                     // GstCudaContext, a GstObject

struct cuda_memory {
    // GStreamer's names of the formats that its CUDA memory has and libcolorize colours; NULL: there is no support. The rest is
    // NULL then.
    const char *const *formats;
    GstMapFlags map;                        // maps a buffer to its device addresses

    // Stores in *context, the element's own field, the context of a neighbour or the application, or else a new one, if the
    // field is NULL. device: number of the GPU, -1: any. Calls the element's set_context. FALSE: there is none.
    gboolean (*find_context)(GstElement *element, int device, struct _GstCudaContext **context);
    // The parts of the element's set_context and of its answer to a query of type CONTEXT.
    void (*set_context)(GstElement *element, GstContext *offer, int device, struct _GstCudaContext **context);
    gboolean (*answer)(GstElement *element, GstQuery *query, struct _GstCudaContext *context);

    void *(*handle)(struct _GstCudaContext *context);           // the CUcontext
    void *(*stream_new)(struct _GstCudaContext *context);       // a CUstream; NULL: the driver refuses
    void (*stream_free)(struct _GstCudaContext *context, void *stream);

    struct _GstCudaContext *(*context_of)(GstBuffer *buffer);   // of its memory, borrowed; NULL: that is no CUDA memory
    // A pool of buffers with these caps; *size becomes the size of its buffers. NULL: it cannot be made.
    GstBufferPool *(*pool_new)(struct _GstCudaContext *context, GstCaps *caps, guint *size, guint min, guint max);
    gboolean (*pool_fits)(GstBufferPool *pool, struct _GstCudaContext *context);
};
extern const struct cuda_memory gst_colorize_cuda;
#endif
