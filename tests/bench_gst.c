// bench_gst.c - measures the GStreamer element, for `make bench`:
//
//     bench_gst MODEL.bin SECONDS SIZE THREADS engine|element     frames/s at 1920x1080 I420
//
// Frames are coloured in place and reused. A process measures one of the two: the threads of a second stream would change how
// OpenMP's threads wait (engine/cpu/wait.c). Needs GST_PLUGIN_PATH.
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
    for (int i = 0; i < W * H; i++)
        data[i] = (guint8)(16 + (i % W * 160 / W + i / W * 50 / H + (guint)(i + seed) * 2654435761u % 9));
    memset(data + W * H, 128, W * H / 2);
}

struct engine { clz_model *model; clz_stream *stream; guint8 *frames[FRAMES]; int sent; };

static int engine_step(struct engine *e)
{
    guint8 *d = e->frames[e->sent++ % FRAMES];
    const struct clz_frame f = { .format = clz_pixfmt_find("yuv420p"), .width = W, .height = H,
                                 .data = { d, d + W * H, d + W * H * 5 / 4 }, .stride = { W, W / 2, W / 2 } };
    struct clz_frame done;
    int ret, taken = 0;

    while ((ret = clz_stream_send(e->stream, &f, &f, NULL)) == -EAGAIN) taken += clz_stream_receive(e->stream, &done, 1) == 0;
    if (ret < 0) exit(1);
    while (clz_stream_receive(e->stream, &done, 0) == 0) taken++;
    return taken;
}

struct element { GstHarness *h; GQueue idle; };

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

static void engine_open(struct engine *e, char **argv)
{
    const struct clz_stream_params params = { .size = atoi(argv[3]), .threads = atoi(argv[4]) };

    if (clz_model_open(&e->model, argv[1], NULL) < 0 || clz_stream_open(&e->stream, e->model, &params) < 0) exit(1);
    for (int i = 0; i < FRAMES; i++) paint(e->frames[i] = g_malloc(BYTES), i);
}

static void element_open(struct element *e, char **argv)
{
    char *text = g_strdup_printf("colorize model=%s size=%s threads=%s", argv[1], argv[3], argv[4]);

    e->h = gst_harness_new_parse(text);
    g_free(text);
    gst_harness_set_live(e->h, FALSE);
    gst_harness_set_src_caps_str(e->h, CAPS);
    for (int i = 0; i < FRAMES; i++) {
        GstBuffer *b = gst_buffer_new_allocate(NULL, BYTES, NULL);
        GstMapInfo map;
        gst_buffer_map(b, &map, GST_MAP_WRITE);
        paint(map.data, i);
        gst_buffer_unmap(b, &map);
        g_queue_push_tail(&e->idle, b);
    }
}

int main(int argc, char **argv)
{
    struct engine engine = { 0 };
    struct element element = { 0 };
    gint64 start;
    int count = 0;

    if (argc < 6) return 2;
    const gboolean whole = !strcmp(argv[5], "element");
    gst_init(NULL, NULL);
    if (whole) element_open(&element, argv);
    else engine_open(&engine, argv);
    for (int i = 0; i < 2 * FRAMES; i++) whole ? element_step(&element) : engine_step(&engine);
    for (start = g_get_monotonic_time(); g_get_monotonic_time() - start < (gint64)(atof(argv[2]) * G_USEC_PER_SEC);)
        count += whole ? element_step(&element) : engine_step(&engine);
    printf("%.2f\n", count / ((g_get_monotonic_time() - start) * 1e-6));
    if (whole) gst_harness_teardown(element.h);
    clz_stream_close(&engine.stream);
    clz_model_close(&engine.model);
    return 0;
}
