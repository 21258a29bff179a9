// bench_gst.c - the GStreamer element by the clock, for `make bench`:
//
//     bench_gst MODEL.bin SECONDS SIZE     frames/s at 1920x1080 I420 of the element, of the engine alone, and their ratio
//
// Both in one process, in turns of half a second, on frames that are coloured in place and used again. Needs GST_PLUGIN_PATH.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gst/check/gstharness.h>
#include <gst/video/video.h>

#include "engine/colorize.h"

enum { W = 1920, H = 1080, BYTES = W * H * 3 / 2, FRAMES = 16 };
#define CAPS "video/x-raw,format=I420,width=1920,height=1080,framerate=25/1"

static void paint(guint8 *data, int seed)
{
    for (int i = 0; i < W * H; i++) data[i] = (guint8)(16 + (i % W * 160 / W + i / W * 50 / H + (guint)(i + seed) * 2654435761u % 9));
    memset(data + W * H, 128, W * H / 2);
}

struct engine { clz_model *model; clz_stream *stream; guint8 *frames[FRAMES]; int sent; };

static int engine_step(struct engine *e)
{
    guint8 *d = e->frames[e->sent++ % FRAMES];
    const struct clz_frame f = { .format = clz_pixfmt_find("yuv420p"), .width = W, .height = H, .strength = 1, .saturation = 1,
                                 .data = { d, d + W * H, d + W * H * 5 / 4 }, .stride = { W, W / 2, W / 2 } };
    struct clz_frame done;
    int ret, taken = 0;

    while ((ret = clz_stream_send(e->stream, &f, &f)) == -EAGAIN) taken += clz_stream_receive(e->stream, &done, 1) == 0;
    if (ret < 0) exit(1);
    while (clz_stream_receive(e->stream, &done, 0) == 0) taken++;
    return taken;
}

struct element { GstHarness *h; GQueue idle; };

// What is inside at the end of a turn would run in the other's.
static int engine_drain(struct engine *e)
{
    struct clz_frame done;
    int taken = 0;

    clz_stream_drain(e->stream);
    while (clz_stream_receive(e->stream, &done, 1) == 0) taken++;
    return taken;
}

static int element_take(struct element *e)
{
    GstBuffer *b;
    int taken = 0;

    for (; (b = gst_harness_try_pull(e->h)); taken++) g_queue_push_tail(&e->idle, b);
    return taken;
}

static int element_step(struct element *e)
{
    GstBuffer *b = g_queue_pop_head(&e->idle);

    if (!b || gst_harness_push(e->h, b) != GST_FLOW_OK) exit(1);
    return element_take(e);
}

static int element_drain(struct element *e)
{
    gst_harness_push_event(e->h, gst_event_new_gap(0, GST_SECOND));
    return element_take(e);
}

int main(int argc, char **argv)
{
    struct engine engine = { 0 };
    struct element element = { 0 };
    gint64 spent[2] = { 0, 0 };
    int count[2] = { 0, 0 };
    char *text;

    if (argc < 4) return 2;
    gst_init(NULL, NULL);
    if (clz_model_open(&engine.model, argv[1], NULL) < 0 ||
        clz_stream_open(&engine.stream, engine.model, &(struct clz_stream_params){ .size = atoi(argv[3]) }) < 0)
        return 1;
    for (int i = 0; i < FRAMES; i++) paint(engine.frames[i] = g_malloc(BYTES), i);
    text = g_strdup_printf("colorize model=%s size=%s", argv[1], argv[3]);
    element.h = gst_harness_new_parse(text);
    g_free(text);
    gst_harness_set_live(element.h, FALSE);
    gst_harness_set_src_caps_str(element.h, CAPS);
    for (int i = 0; i < FRAMES; i++) {
        GstBuffer *b = gst_buffer_new_allocate(NULL, BYTES, NULL);
        GstMapInfo map;
        gst_buffer_map(b, &map, GST_MAP_WRITE);
        paint(map.data, i);
        gst_buffer_unmap(b, &map);
        g_queue_push_tail(&element.idle, b);
    }
    for (int i = 0; i < FRAMES; i++) {
        engine_step(&engine);
        element_step(&element);
    }
    engine_drain(&engine);
    element_drain(&element);
    while (spent[0] + spent[1] < (gint64)(atof(argv[2]) * G_USEC_PER_SEC)) {
        for (int which = 0; which < 2; which++) {
            const gint64 start = g_get_monotonic_time();
            while (g_get_monotonic_time() - start < G_USEC_PER_SEC / 2)
                count[which] += which ? element_step(&element) : engine_step(&engine);
            count[which] += which ? element_drain(&element) : engine_drain(&engine);
            spent[which] += g_get_monotonic_time() - start;
        }
    }
    const double alone = count[0] / (spent[0] * 1e-6), rate = count[1] / (spent[1] * 1e-6);
    printf("%.4f %.2f %.2f\n", alone / rate, rate, alone);
    gst_harness_teardown(element.h);
    clz_stream_close(&engine.stream);
    clz_model_close(&engine.model);
    return 0;
}
