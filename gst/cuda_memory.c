// cuda_memory.c - see cuda_memory.h. GStreamer's CUDA library (gstreamer-cuda-1.0) is of 1.22. Its memory has no stream: what a
// buffer holds is complete when the buffer is pushed.
// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gst/cuda/gstcudabufferpool.h>
#include <gst/cuda/gstcudacontext.h>
#include <gst/cuda/gstcudaloader.h>
#include <gst/cuda/gstcudamemory.h>
#include <gst/cuda/gstcudautils.h>

#include "cuda_memory.h"

G_STATIC_ASSERT(sizeof(GST_CAPS_FEATURE_MEMORY_CUDA_MEMORY) == sizeof(CUDA_MEMORY));

// Those of gst_cuda_allocator_alloc() in 1.22.
static const char *const formats[] = {
    "NV12", "P010_10LE", "P016_LE", "I420", "Y42B", "Y444", "I420_10LE", "I422_10LE", "I422_12LE", "Y444_16LE", "RGBA", "BGRA",
    "RGBx", "BGRx", "ARGB", "ABGR", "RGB", "BGR", "GBR", "GBRA", NULL
};

static gboolean find_context(GstElement *element, int device, GstCudaContext **context)
{
    if (!gst_cuda_load_library()) return FALSE;
    gst_cuda_memory_init_once();
    return gst_cuda_ensure_element_context(element, device, context);
}

static void set_context(GstElement *element, GstContext *offer, int device, GstCudaContext **context)
{
    gst_cuda_handle_set_context(element, offer, device, context);
}

static gboolean answer(GstElement *element, GstQuery *query, GstCudaContext *context)
{
    return context && gst_cuda_handle_context_query(element, query, context);
}

static void *handle(GstCudaContext *context) { return gst_cuda_context_get_handle(context); }

static void *stream_new(GstCudaContext *context)
{
    CUstream stream = NULL;

    if (!gst_cuda_context_push(context)) return NULL;
    if (CuStreamCreate(&stream, 0) != CUDA_SUCCESS) stream = NULL;
    gst_cuda_context_pop(NULL);
    return stream;
}

static void stream_free(GstCudaContext *context, void *stream)
{
    if (!gst_cuda_context_push(context)) return;
    CuStreamDestroy(stream);
    gst_cuda_context_pop(NULL);
}

static GstCudaContext *context_of(GstBuffer *buffer)
{
    GstMemory *memory = gst_buffer_n_memory(buffer) ? gst_buffer_peek_memory(buffer, 0) : NULL;

    return memory && gst_is_cuda_memory(memory) ? GST_CUDA_MEMORY_CAST(memory)->context : NULL;
}

static GstBufferPool *pool_new(GstCudaContext *context, GstCaps *caps, guint *size, guint min, guint max)
{
    GstBufferPool *pool = gst_cuda_buffer_pool_new(context);
    GstStructure *config = gst_buffer_pool_get_config(pool);

    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
    gst_buffer_pool_config_set_params(config, caps, *size, min, max);
    if (!gst_buffer_pool_set_config(pool, config)) {
        gst_object_unref(pool);
        return NULL;
    }
    config = gst_buffer_pool_get_config(pool);      // rows are padded
    gst_buffer_pool_config_get_params(config, NULL, size, NULL, NULL);
    gst_structure_free(config);
    return pool;
}

static gboolean pool_fits(GstBufferPool *pool, GstCudaContext *context)
{
    return GST_IS_CUDA_BUFFER_POOL(pool) && GST_CUDA_BUFFER_POOL(pool)->context == context;
}

const struct cuda_memory gst_colorize_cuda = {
    formats, (GstMapFlags)GST_MAP_CUDA, find_context, set_context, answer, handle, stream_new, stream_free, context_of, pool_new,
    pool_fits,
};
