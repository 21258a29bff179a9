// fake_gst_cuda.c - the element with caps of memory:CUDAMemory, over tests/fakecuda.c and the stand-in engine stub_colorize.c.
// gst_cuda.sh runs it, and then reads what the driver reports. What comes out must equal what the element makes of the same
// frames in system memory. The CPU cannot read device addresses here, so that a frame that is taken for one in system memory ends
// the process.
//
//     fake_gst_cuda MODEL [CASE]          CASE: no_engine, no_context, no_stream: what does not open
#include <gst/check/gstharness.h>
#include <gst/cuda/gstcudabufferpool.h>
#include <gst/cuda/gstcudautils.h>
#include <gst/video/video.h>

#include "check.h"

enum { FRAMES = 9, W = 162, H = 122 };      // rows that need padding; the batches are not all full
#define FRAME (40 * GST_MSECOND)

static const char *model;

static char *caps_text(const char *format, gboolean cuda)
{
    return g_strdup_printf("video/x-raw%s,format=%s,width=%d,height=%d,framerate=25/1,interlace-mode=progressive,"
                           "pixel-aspect-ratio=1/1", cuda ? "(memory:CUDAMemory)" : "", format, W, H);
}

static GstHarness *new_harness(const char *options, GstCudaContext *context)
{
    char *text = g_strdup_printf("colorize model=%s batch=4 %s", model, options);
    GstHarness *h = gst_harness_new_parse(text);

    g_free(text);
    gst_harness_set_live(h, FALSE);
    if (context) {
        GstContext *given = gst_context_new_cuda_context(context);
        gst_element_set_context(h->element, given);
        gst_context_unref(given);
    }
    return h;
}

static void set_caps(GstHarness *h, const char *format, gboolean cuda)
{
    char *text = caps_text(format, cuda);
    gst_harness_set_src_caps_str(h, text);
    g_free(text);
}

static GstVideoInfo video_info(const char *format)
{
    char *text = caps_text(format, FALSE);
    GstCaps *caps = gst_caps_from_string(text);
    GstVideoInfo info;

    REQUIRE(gst_video_info_from_caps(&info, caps));
    gst_caps_unref(caps);
    g_free(text);
    return info;
}

static GstBufferPool *new_pool(GstCudaContext *context, const char *format)
{
    GstBufferPool *pool = gst_cuda_buffer_pool_new(context);
    GstStructure *config = gst_buffer_pool_get_config(pool);
    const GstVideoInfo info = video_info(format);
    char *text = caps_text(format, TRUE);
    GstCaps *caps = gst_caps_from_string(text);

    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
    gst_buffer_pool_config_set_params(config, caps, GST_VIDEO_INFO_SIZE(&info), 0, 0);
    REQUIRE(gst_buffer_pool_set_config(pool, config));
    REQUIRE(gst_buffer_pool_set_active(pool, TRUE));
    gst_caps_unref(caps);
    g_free(text);
    return pool;
}

static int row_bytes(const GstVideoInfo *info, int p)
{
    static const char *const pairs[] = { "NV12", "P010_10LE", "P016_LE" };
    int c = 0;

    while ((int)GST_VIDEO_INFO_COMP_PLANE(info, c) != p) c++;
    for (size_t i = 0; i < G_N_ELEMENTS(pairs); i++)
        if (p && !strcmp(pairs[i], info->finfo->name)) return 2 * GST_VIDEO_INFO_COMP_WIDTH(info, 1) * (i ? 2 : 1);
    return GST_VIDEO_INFO_COMP_WIDTH(info, c) * GST_VIDEO_INFO_COMP_PSTRIDE(info, c);
}

static int rows_of(const GstVideoInfo *info, int p)
{
    int c = 0;

    while ((int)GST_VIDEO_INFO_COMP_PLANE(info, c) != p) c++;
    return GST_VIDEO_INFO_COMP_HEIGHT(info, c);
}

// Frame i, in a buffer of the pool, or in system memory. Through the CPU's mapping, so that GStreamer uploads it.
static GstBuffer *make_frame(const GstVideoInfo *info, GstBufferPool *pool, int i)
{
    GstBuffer *b = NULL;
    GstVideoFrame f;

    if (pool) REQUIRE_INT(gst_buffer_pool_acquire_buffer(pool, &b, NULL), GST_FLOW_OK);
    else b = gst_buffer_new_allocate(NULL, GST_VIDEO_INFO_SIZE(info), NULL);
    REQUIRE(gst_video_frame_map(&f, (GstVideoInfo *)info, b, GST_MAP_WRITE));
    for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES(&f); p++)
        for (int y = 0; y < rows_of(info, p); y++)
            for (int x = 0; x < row_bytes(info, p); x++)
                ((guint8 *)GST_VIDEO_FRAME_PLANE_DATA(&f, p))[y * GST_VIDEO_FRAME_PLANE_STRIDE(&f, p) + x] =
                    (guint8)(16 + (x * 7 + y * 13 + 31 * i + 5 * p) % 200);
    gst_video_frame_unmap(&f);
    GST_BUFFER_PTS(b) = i * FRAME;
    GST_BUFFER_DURATION(b) = FRAME;
    return b;
}

// Rows of plane p that differ.
static int wrong_rows(GstBuffer *a, GstBuffer *b, const GstVideoInfo *info, int p)
{
    GstVideoFrame f[2];
    int wrong = 0;

    REQUIRE(gst_video_frame_map(&f[0], (GstVideoInfo *)info, a, GST_MAP_READ));
    REQUIRE(gst_video_frame_map(&f[1], (GstVideoInfo *)info, b, GST_MAP_READ));
    for (int y = 0; y < rows_of(info, p); y++)
        wrong += memcmp((guint8 *)GST_VIDEO_FRAME_PLANE_DATA(&f[0], p) + y * GST_VIDEO_FRAME_PLANE_STRIDE(&f[0], p),
                        (guint8 *)GST_VIDEO_FRAME_PLANE_DATA(&f[1], p) + y * GST_VIDEO_FRAME_PLANE_STRIDE(&f[1], p),
                        row_bytes(info, p)) != 0;
    gst_video_frame_unmap(&f[0]);
    gst_video_frame_unmap(&f[1]);
    return wrong;
}

static GstCudaContext *context_of(GstBuffer *b)
{
    GstMemory *m = gst_buffer_peek_memory(b, 0);
    return gst_is_cuda_memory(m) ? GST_CUDA_MEMORY_CAST(m)->context : NULL;
}

// Requires that `h`, which has got FRAMES frames in CUDA memory and EOS, gives what `plain` gives for the same ones in system
// memory.
static void require_same(GstHarness *h, GstHarness *plain, const char *format, GstCudaContext *context)
{
    const GstVideoInfo info = video_info(format);

    REQUIRE_INT(gst_harness_buffers_in_queue(h), FRAMES);
    for (int i = 0; i < FRAMES; i++) {
        GstBuffer *got = gst_harness_try_pull(h), *want = gst_harness_try_pull(plain), *grey = make_frame(&info, NULL, i);
        REQUIRE(got && want && GST_BUFFER_PTS(got) == (guint64)i * FRAME && GST_BUFFER_DURATION(got) == FRAME);
        if (!got || !want) return;
        REQUIRE(context_of(got) && (!context || context_of(got) == context));
        for (int p = 0; p < (int)GST_VIDEO_INFO_N_PLANES(&info); p++) REQUIRE_INT(wrong_rows(got, want, &info, p), 0);
        if (GST_VIDEO_INFO_IS_YUV(&info)) {
            REQUIRE_INT(wrong_rows(got, grey, &info, 0), 0);        // luma is kept
            REQUIRE(wrong_rows(got, grey, &info, 1) > 0);
        }
        gst_buffer_unref(got);
        gst_buffer_unref(want);
        gst_buffer_unref(grey);
    }
}

static void push_frames(GstHarness *h, const char *format, GstBufferPool *pool, gboolean shared)
{
    const GstVideoInfo info = video_info(format);

    for (int i = 0; i < FRAMES; i++) {
        GstBuffer *b = make_frame(&info, pool, i), *before = shared ? gst_buffer_ref(b) : NULL;
        REQUIRE_INT(gst_harness_push(h, b), GST_FLOW_OK);
        gst_clear_buffer(&before);
    }
    REQUIRE(gst_harness_push_event(h, gst_event_new_eos()));
}

static void test_formats(GstCudaContext *context)
{
    GstHarness *h = new_harness("", NULL);
    GstCaps *caps = gst_pad_peer_query_caps(h->srcpad, NULL);
    const GValue *formats = NULL;

    for (guint i = 0; i < gst_caps_get_size(caps); i++)
        if (gst_caps_features_contains(gst_caps_get_features(caps, i), "memory:CUDAMemory"))
            formats = gst_structure_get_value(gst_caps_get_structure(caps, i), "format");
    CASE("gst_cuda/CUDA_memory_is_offered");
    REQUIRE(formats && gst_value_list_get_size(formats) >= 15);
    for (guint i = 0; formats && i < gst_value_list_get_size(formats); i++) {
        const char *format = g_value_get_string(gst_value_list_get_value(formats, i));
        for (int kind = 0; kind < 3; kind++) {
            static const char *const kinds[] = { "in_place", "shared_buffers", "context_from_the_buffers" };
            GstHarness *gpu = new_harness("", kind == 2 ? NULL : context), *plain = new_harness("", NULL);
            GstBufferPool *pool = new_pool(context, format);
            char name[128];
            snprintf(name, sizeof name, "gst_cuda/%s_%s_as_in_system_memory", format, kinds[kind]);
            CASE(name);
            set_caps(gpu, format, TRUE);
            set_caps(plain, format, FALSE);
            push_frames(gpu, format, pool, kind == 1);
            push_frames(plain, format, NULL, FALSE);
            require_same(gpu, plain, format, context);
            gst_harness_teardown(gpu);
            gst_harness_teardown(plain);
            gst_buffer_pool_set_active(pool, FALSE);
            gst_object_unref(pool);
        }
    }
    gst_caps_unref(caps);
    gst_harness_teardown(h);
}

static void test_sharing(GstCudaContext *context)
{
    const GstVideoInfo info = video_info("NV12");
    GstBufferPool *pool = new_pool(context, "NV12");
    GstHarness *h = new_harness("batch=1", context);
    GstBuffer *b, *got, *copy = make_frame(&info, NULL, 3);

    set_caps(h, "NV12", TRUE);
    CASE("gst_cuda/a_writable_buffer_is_coloured_in_place");
    b = make_frame(&info, pool, 0);
    gst_harness_push(h, b);
    got = gst_harness_pull(h);
    REQUIRE(got == b);
    gst_buffer_unref(got);

    CASE("gst_cuda/a_shared_buffer_is_not_modified");
    b = make_frame(&info, pool, 3);
    gst_harness_push(h, gst_buffer_ref(b));
    got = gst_harness_pull(h);
    REQUIRE(got != b && context_of(got) == context);
    for (int p = 0; p < 2; p++) REQUIRE_INT(wrong_rows(b, copy, &info, p), 0);
    gst_buffer_unref(got);
    gst_buffer_unref(b);
    gst_buffer_unref(copy);
    gst_harness_teardown(h);
    gst_buffer_pool_set_active(pool, FALSE);
    gst_object_unref(pool);
}

static gboolean accepts(GstHarness *h, const char *format, gboolean cuda)
{
    char *text = caps_text(format, cuda);
    GstCaps *caps = gst_caps_from_string(text);
    const gboolean yes = gst_pad_peer_query_accept_caps(h->srcpad, caps);
    GstCaps *offered = gst_pad_peer_query_caps(h->srcpad, NULL);
    const gboolean offers = gst_caps_can_intersect(offered, caps);

    REQUIRE_INT(offers, yes);
    gst_caps_unref(offered);
    gst_caps_unref(caps);
    g_free(text);
    return yes;
}

static void test_negotiation(GstCudaContext *context)
{
    static const struct { const char *options; gboolean offered; } devices[] = {
        { "", TRUE }, { "device=auto", TRUE }, { "device=cuda", TRUE }, { "device=cuda:0", TRUE }, { "device=cuda/0", TRUE },
        { "device=cpu", FALSE }, { "device=ref", FALSE },
    };
    GstBufferPool *pool = new_pool(context, "I420"), *theirs = NULL;
    GstHarness *h, *plain;
    GstQuery *query;
    GstCaps *caps;
    guint size, min, max;
    char *text;

    for (size_t i = 0; i < G_N_ELEMENTS(devices); i++) {
        char name[128];
        snprintf(name, sizeof name, "gst_cuda/offered_with_%s", *devices[i].options ? devices[i].options : "no_device");
        CASE(name);
        h = new_harness(devices[i].options, context);
        REQUIRE_INT(accepts(h, "NV12", TRUE), devices[i].offered);
        REQUIRE(accepts(h, "NV12", FALSE) && accepts(h, "GRAY8", FALSE));
        REQUIRE(!accepts(h, "GRAY8", TRUE) && !accepts(h, "A420", TRUE));
        gst_harness_teardown(h);
    }
    CASE("gst_cuda/output_caps_have_the_memory_of_the_input");
    h = new_harness("", context);
    set_caps(h, "P010_10LE", TRUE);
    caps = gst_pad_get_current_caps(h->sinkpad);
    REQUIRE(caps && gst_caps_features_contains(gst_caps_get_features(caps, 0), "memory:CUDAMemory"));
    gst_clear_caps(&caps);

    CASE("gst_cuda/upstream_is_offered_a_pool_for_the_frames_in_flight");
    text = caps_text("P010_10LE", TRUE);
    caps = gst_caps_from_string(text);
    query = gst_query_new_allocation(caps, TRUE);
    REQUIRE(gst_pad_peer_query(h->srcpad, query) && gst_query_get_n_allocation_pools(query) == 1);
    gst_query_parse_nth_allocation_pool(query, 0, &theirs, &size, &min, &max);
    REQUIRE(theirs && GST_IS_CUDA_BUFFER_POOL(theirs) && GST_CUDA_BUFFER_POOL(theirs)->context == context && min > 4 && !max);
    gst_clear_object(&theirs);
    gst_query_unref(query);
    gst_caps_unref(caps);
    g_free(text);

    CASE("gst_cuda/answers_with_its_context");
    query = gst_query_new_context(GST_CUDA_CONTEXT_TYPE);
    REQUIRE(gst_pad_peer_query(h->srcpad, query) && gst_pad_peer_query(h->sinkpad, query));
    gst_query_unref(query);
    gst_harness_teardown(h);

    CASE("gst_cuda/from_system_memory_to_CUDA_memory_and_back");
    h = new_harness("", context);
    plain = new_harness("", NULL);
    set_caps(plain, "I420", FALSE);
    for (int part = 0; part < 3; part++) {
        const GstVideoInfo info = video_info("I420");
        set_caps(h, "I420", part == 1);
        for (int i = 0; i < 3; i++) {
            REQUIRE_INT(gst_harness_push(h, make_frame(&info, part == 1 ? pool : NULL, 3 * part + i)), GST_FLOW_OK);
            REQUIRE_INT(gst_harness_push(plain, make_frame(&info, NULL, 3 * part + i)), GST_FLOW_OK);
        }
        REQUIRE(gst_harness_push_event(h, gst_event_new_gap(0, 0)) && gst_harness_push_event(plain, gst_event_new_gap(0, 0)));
        for (int i = 0; i < 3; i++) {
            GstBuffer *got = gst_harness_try_pull(h), *want = gst_harness_try_pull(plain);
            REQUIRE(got && want && !context_of(got) == (part != 1));
            for (int p = 0; p < 3 && got && want; p++) REQUIRE_INT(wrong_rows(got, want, &info, p), 0);
            gst_clear_buffer(&got);
            gst_clear_buffer(&want);
        }
    }
    gst_harness_teardown(h);
    gst_harness_teardown(plain);
    gst_buffer_pool_set_active(pool, FALSE);
    gst_object_unref(pool);
}

// Requires an error message with the word.
static void require_error(GstBus *bus, const char *word)
{
    GstMessage *m = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
    GError *error = NULL;

    REQUIRE(m);
    if (!m) return;
    gst_message_parse_error(m, &error, NULL);
    if (!strstr(error->message, word)) printf("  \"%s\"\n", error->message);
    REQUIRE(strstr(error->message, word));
    g_error_free(error);
    gst_message_unref(m);
}

static void test_errors(GstCudaContext *context)
{
    const GstVideoInfo info = video_info("NV12");
    GstHarness *h = new_harness("", context);
    GstBus *bus = gst_bus_new();

    CASE("gst_cuda/a_buffer_in_system_memory_is_an_error");
    gst_element_set_bus(h->element, bus);
    set_caps(h, "NV12", TRUE);
    REQUIRE_INT(gst_harness_push(h, make_frame(&info, NULL, 0)), GST_FLOW_ERROR);
    require_error(bus, "not in CUDA memory");
    gst_harness_teardown(h);

    CASE("gst_cuda/a_flush_drops_the_frames_in_flight");
    GstBufferPool *pool = new_pool(context, "NV12");
    h = new_harness("", context);
    set_caps(h, "NV12", TRUE);
    for (int i = 0; i < 3; i++) REQUIRE_INT(gst_harness_push(h, make_frame(&info, pool, i)), GST_FLOW_OK);
    REQUIRE(gst_harness_push_event(h, gst_event_new_flush_start()) && gst_harness_push_event(h, gst_event_new_flush_stop(TRUE)));
    REQUIRE_INT(gst_harness_buffers_in_queue(h), 0);
    gst_harness_teardown(h);
    gst_buffer_pool_set_active(pool, FALSE);
    gst_object_unref(pool);
    gst_bus_set_flushing(bus, TRUE);        // its messages hold the element
    gst_object_unref(bus);
}

// What does not open: the engine's device, which the stub refuses; the context; the stream, which the driver refuses.
static void test_refusals(const char *what)
{
    GstBus *bus = gst_bus_new();
    GstHarness *h = new_harness("", NULL);
    char name[128];

    snprintf(name, sizeof name, "gst_cuda/%s", what);
    CASE(name);
    gst_element_set_bus(h->element, bus);
    REQUIRE_INT(accepts(h, "NV12", TRUE), strcmp(what, "no_engine") != 0);
    if (strcmp(what, "no_engine")) {
        set_caps(h, "NV12", TRUE);
        require_error(bus, !strcmp(what, "no_context") ? "no CUDA context" : "CUDA memory cannot be coloured");
    }
    set_caps(h, "NV12", FALSE);             // frames in system memory are coloured all the same
    push_frames(h, "NV12", NULL, FALSE);
    REQUIRE_INT(gst_harness_buffers_in_queue(h), FRAMES);
    gst_harness_teardown(h);
    gst_bus_set_flushing(bus, TRUE);        // its messages hold the element
    gst_object_unref(bus);
}

int main(int argc, char **argv)
{
    GstCudaContext *context;

    gst_init(&argc, &argv);
    model = argv[1];
    if (!gst_cuda_load_library()) SKIP("GStreamer's CUDA library refuses the driver");
    if (argc > 2) {
        test_refusals(argv[2]);
        gst_deinit();
        return check_end();
    }
    context = gst_cuda_context_new(0);
    REQUIRE(context);
    if (!context) return check_end();
    gst_cuda_memory_init_once();
    test_formats(context);
    test_sharing(context);
    test_negotiation(context);
    test_errors(context);
    gst_object_unref(context);
    gst_deinit();
    return check_end();
}
