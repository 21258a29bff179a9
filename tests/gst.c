// gst.c - tests the GStreamer element in a GstHarness: each input buffer gives one output buffer with the same timestamps, flags
// and metas, and with the colours that the engine computes; draining, flushing, errors, live sources, many elements.
#include <fcntl.h>
#include <unistd.h>

#include <gst/check/gstharness.h>
#include <gst/controller/controller.h>
#include <gst/video/video.h>

#include "check.h"
#include "colorize.h"
#include "tiny_model.h"
#include "tsan_glib.h"

enum { W = 64, H = 48 };
#define FRAME (40 * GST_MSECOND)
#define TAGS "framerate=25/1,interlace-mode=progressive,pixel-aspect-ratio=1/1"
#define CAPS "video/x-raw,format=I420,width=64,height=48," TAGS

// `gst few` divides the repetitions of the long cases by 50, so that valgrind can run them.
static gboolean few;
static int repetitions(int n) { return few ? n / 50 : n; }

static char *folder, model[512], overflowing_model[512];

// ---- frames ----

static char *caps_text(const char *format, int w, int h, const char *more)
{
    return g_strdup_printf("video/x-raw,format=%s,width=%d,height=%d,%s%s", format, w, h, TAGS, more);
}

static GstVideoInfo video_info(const char *caps_string)
{
    GstCaps *caps = gst_caps_from_string(caps_string);
    GstVideoInfo info;

    REQUIRE(gst_video_info_from_caps(&info, caps));
    gst_caps_unref(caps);
    return info;
}

// Makes frame i: its luma depends on i, and its chroma is not gray, because the element must ignore it.
static GstBuffer *make_frame(const GstVideoInfo *info, int i)
{
    GstBuffer *b = gst_buffer_new_allocate(NULL, GST_VIDEO_INFO_SIZE(info), NULL);
    GstMapInfo map;

    gst_buffer_map(b, &map, GST_MAP_WRITE);
    for (gsize k = 0; k < map.size; k++) map.data[k] = (guint8)(16 + (k * 7 + k / 61 * 13 + 31 * i) % 200);
    if (GST_VIDEO_INFO_COMP_DEPTH(info, 0) > 8)
        for (gsize k = 1; k < map.size; k += 2) map.data[k] &= (1 << (GST_VIDEO_INFO_COMP_DEPTH(info, 0) - 8)) - 1;
    if (info->finfo->format == GST_VIDEO_FORMAT_P010_10LE)
        for (gsize k = 0; k < map.size; k += 2) map.data[k] &= 0xc0, map.data[k + 1] = (guint8)(16 + (k * 7 + 31 * i) % 200);
    gst_buffer_unmap(b, &map);
    GST_BUFFER_PTS(b) = i * FRAME;
    GST_BUFFER_DURATION(b) = FRAME;
    GST_BUFFER_OFFSET(b) = i;
    return b;
}

// Requires that `got`, the element's output for frame i, equals what the engine computes for frame i.
static void require_coloured_at(GstBuffer *got, const GstVideoInfo *in, const GstVideoInfo *out, int i, double strength,
                                enum clz_siting siting)
{
    const struct clz_pixfmt *formats[2] = { NULL, NULL };
    const GstVideoInfo *infos[2] = { in, out };
    static const enum clz_matrix matrices[] = { [GST_VIDEO_COLOR_MATRIX_BT601] = CLZ_MATRIX_601,
                                                [GST_VIDEO_COLOR_MATRIX_BT709] = CLZ_MATRIX_709,
                                                [GST_VIDEO_COLOR_MATRIX_BT2020] = CLZ_MATRIX_2020 };
    struct clz_frame frames[2] = { { 0 }, { 0 } }, done;
    GstBuffer *buffers[2] = { make_frame(in, i), gst_buffer_new_allocate(NULL, GST_VIDEO_INFO_SIZE(out), NULL) };
    GstVideoFrame maps[2], ours;
    clz_model *m = NULL;
    clz_stream *s = NULL;

    for (int k = 0; k < 2; k++) {
        for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++)
            if (f->gst && !strcmp(f->gst, infos[k]->finfo->name)) formats[k] = f;
        gst_video_frame_map(&maps[k], (GstVideoInfo *)infos[k], buffers[k], GST_MAP_READWRITE);
        frames[k] = (struct clz_frame){ .format = formats[k], .width = in->width, .height = in->height };
        for (int p = 0; p < formats[k]->planes; p++) {
            frames[k].data[p] = GST_VIDEO_FRAME_PLANE_DATA(&maps[k], p);
            frames[k].stride[p] = GST_VIDEO_FRAME_PLANE_STRIDE(&maps[k], p);
        }
    }
    frames[0].siting = siting;
    frames[0].matrix = matrices[out->colorimetry.matrix];
    for (int k = 0; k < 2; k++)
        frames[k].range = infos[k]->colorimetry.range == GST_VIDEO_COLOR_RANGE_0_255 ? CLZ_RANGE_FULL : CLZ_RANGE_LIMITED;
    REQUIRE_INT(clz_model_open(&m, model, NULL), 0);
    REQUIRE_INT(clz_stream_open(&s, m, &(struct clz_stream_params){ .batch = 1, .threads = 1 }), 0);
    REQUIRE_INT(clz_stream_send(s, &frames[0], &frames[1],
                                &(struct clz_controls){ .strength = (float)strength, .saturation = 1 }), 0);
    REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
    REQUIRE(gst_video_frame_map(&ours, (GstVideoInfo *)out, got, GST_MAP_READ));
    for (int p = 0; p < formats[1]->planes; p++) {
        const int rows = p ? -(-out->height >> formats[1]->log2_chroma_h) : out->height;
        const int pixels = p ? -(-out->width >> formats[1]->log2_chroma_w) : out->width;
        const int bytes = pixels * (formats[1]->depth > 8 ? 2 : 1) * (p && formats[1]->planes == 2 ? 2 : 1);
        int wrong = 0;
        for (int y = 0; y < rows; y++)
            wrong += memcmp((guint8 *)GST_VIDEO_FRAME_PLANE_DATA(&ours, p) + (gssize)y * GST_VIDEO_FRAME_PLANE_STRIDE(&ours, p),
                            frames[1].data[p] + y * frames[1].stride[p], bytes) != 0;
        REQUIRE_INT(wrong, 0);
    }
    gst_video_frame_unmap(&ours);
    clz_stream_close(&s);
    clz_model_close(&m);
    for (int k = 0; k < 2; k++) {
        gst_video_frame_unmap(&maps[k]);
        gst_buffer_unref(buffers[k]);
    }
}

static void require_coloured(GstBuffer *got, const GstVideoInfo *in, const GstVideoInfo *out, int i, double strength)
{
    require_coloured_at(got, in, out, i, strength, CLZ_SITING_LEFT);
}

// ---- harnesses ----

static GstHarness *new_harness(const char *options, const char *caps)
{
    // frames are compared one by one with what the engine makes of each alone, so the stabiliser is off unless options turn it on
    char *text = g_strdup_printf("colorize model=%s threads=1 stabilize=0 %s", model, options);
    GstHarness *h = gst_harness_new_parse(text);

    g_free(text);
    gst_harness_set_live(h, FALSE);
    if (caps) gst_harness_set_src_caps_str(h, caps);
    return h;
}

static void push_frame(GstHarness *h, const char *caps, int i)
{
    const GstVideoInfo info = video_info(caps);
    REQUIRE_INT(gst_harness_push(h, make_frame(&info, i)), GST_FLOW_OK);
}

static void require_next(GstHarness *h, const char *caps, int i)
{
    const GstVideoInfo info = video_info(caps);
    GstBuffer *b = gst_harness_try_pull(h);

    REQUIRE(b);
    if (!b) return;
    REQUIRE_INT(GST_BUFFER_PTS(b), i * FRAME);
    REQUIRE_INT(GST_BUFFER_DURATION(b), FRAME);
    REQUIRE_INT(GST_BUFFER_OFFSET(b), i);
    require_coloured(b, &info, &info, i, 1);
    gst_buffer_unref(b);
}

static void push_eos(GstHarness *h) { REQUIRE(gst_harness_push_event(h, gst_event_new_eos())); }

// Pops the next message of a type from a bus and returns its text, or NULL if there is none.
static char *pop_message(GstBus *bus, GstMessageType type)
{
    GstMessage *m = gst_bus_pop_filtered(bus, type);
    GError *error = NULL;
    char *text;

    if (!m) return NULL;
    if (type == GST_MESSAGE_ERROR) gst_message_parse_error(m, &error, NULL);
    else gst_message_parse_warning(m, &error, NULL);
    text = g_strdup(error->message);
    g_clear_error(&error);
    gst_message_unref(m);
    return text;
}

static void require_message(GstBus *bus, GstMessageType type, const char *word, const char *other)
{
    char *text = pop_message(bus, type);

    REQUIRE(text && strstr(text, word) && strstr(text, other));
    if (!text || !strstr(text, word) || !strstr(text, other)) printf("  the message is: %s\n", text ? text : "none");
    g_free(text);
}

// ---- order and formats ----

static void test_order(void)
{
    for (int batch = 1; batch <= 7; batch += 3) {
        char *options = g_strdup_printf("batch=%d", batch), name[64];
        GstHarness *h = new_harness(options, CAPS);

        snprintf(name, sizeof name, "gst/one_out_for_one_in_batch_%d", batch);
        CASE(name);
        for (int i = 0; i < 10; i++) {
            push_frame(h, CAPS, i);
            const int out = (int)gst_harness_buffers_received(h);
            REQUIRE(batch == 1 ? out == i + 1 : out <= i + 1 - (i + 1) % batch && out >= i + 1 - 3 * batch);
        }
        push_eos(h);
        REQUIRE_INT(gst_harness_buffers_received(h), 10);
        for (int i = 0; i < 10; i++) require_next(h, CAPS, i);
        gst_harness_teardown(h);
        g_free(options);
    }

    CASE("gst/no_input_gives_no_output");
    GstHarness *h = new_harness("batch=4", CAPS);
    push_eos(h);
    REQUIRE_INT(gst_harness_buffers_received(h), 0);
    gst_harness_teardown(h);
    h = new_harness("batch=4", NULL);       // no caps either
    gst_harness_push_event(h, gst_event_new_eos());
    gst_harness_teardown(h);
}

static void test_formats(void)
{
    for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++) {
        static const char *const tags[] = {
            ",colorimetry=bt601", ",colorimetry=bt709,chroma-site=jpeg", ",colorimetry=(string)1:4:0:0"
        };
        const gboolean gray = f->flags & CLZ_PIXFMT_GRAY;
        char name[64];

        if (!f->gst) continue;
        snprintf(name, sizeof name, "gst/format_%s", f->gst);
        CASE(name);
        for (guint t = 0; t < G_N_ELEMENTS(tags); t++) {
            char *caps = caps_text(f->gst, 53, 39, gray ? "" : tags[t]);
            GstHarness *h = new_harness("batch=2", caps);
            const GstVideoInfo in = video_info(caps);
            GstVideoInfo out;
            GstCaps *got;
            for (int i = 0; i < 3; i++) REQUIRE_INT(gst_harness_push(h, make_frame(&in, i)), GST_FLOW_OK);
            push_eos(h);
            REQUIRE((got = gst_pad_get_current_caps(h->sinkpad)) && gst_video_info_from_caps(&out, got));
            if (!got) break;
            if (gray) REQUIRE(out.finfo->format == (f->depth > 8 ? GST_VIDEO_FORMAT_Y444_16LE : GST_VIDEO_FORMAT_Y444));
            else REQUIRE(out.finfo->format == in.finfo->format && out.chroma_site == in.chroma_site &&
                         gst_video_colorimetry_is_equal(&out.colorimetry, &in.colorimetry));
            for (int i = 0; i < 3; i++) {
                GstBuffer *b = gst_harness_try_pull(h);
                REQUIRE(b);
                if (b) require_coloured_at(b, &in, &out, i, 1, t == 1 ? CLZ_SITING_CENTER : CLZ_SITING_LEFT);
                gst_clear_buffer(&b);
            }
            gst_caps_unref(got);
            gst_harness_teardown(h);
            g_free(caps);
        }
    }
}

// Returns the output caps for the given input caps and downstream caps, or NULL if negotiation fails.
static char *negotiate(const char *options, const char *in_caps, const char *downstream)
{
    GstHarness *h = new_harness(options, NULL);
    const GstVideoInfo in = video_info(in_caps);
    GstCaps *got;
    char *text = NULL;

    gst_harness_set_sink_caps_str(h, downstream);
    gst_harness_set_src_caps_str(h, in_caps);
    if (gst_harness_push(h, make_frame(&in, 0)) == GST_FLOW_OK) {
        push_eos(h);
        REQUIRE_INT(gst_harness_buffers_received(h), 1);
        got = gst_pad_get_current_caps(h->sinkpad);
        text = got ? gst_caps_to_string(got) : NULL;
        gst_clear_caps(&got);
    }
    gst_harness_teardown(h);
    return text;
}

static void test_negotiation(void)
{
    static const struct { const char *name, *options, *in, *down; const char *want[3]; } table[] = {
        { "gray_becomes_the_format_of_the_table", "", "video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1",
          "video/x-raw", { "format=(string)Y444,", "colorimetry=(string)2:4:0:0" } },
        { "gray_becomes_a_format_that_downstream_accepts", "", "video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1",
          "video/x-raw,format={P010_10LE,NV12}", { "format=(string)NV12,", "2:4:0:0" } },
        { "gray_in_hd_becomes_bt709", "", "video/x-raw,format=GRAY8,width=720,height=720,framerate=25/1,colorimetry=1:4:0:0",
          "video/x-raw", { "2:3:0:0" } },
        { "gray_of_a_wide_hd_film_becomes_bt709", "",
          "video/x-raw,format=GRAY8,width=1280,height=534,framerate=25/1,colorimetry=1:4:0:0", "video/x-raw", { "2:3:0:0" } },
        { "gray_of_a_high_sd_film_becomes_bt601", "",
          "video/x-raw,format=GRAY8,width=360,height=640,framerate=25/1,colorimetry=1:4:0:0", "video/x-raw", { "2:4:0:0" } },
        { "gray_becomes_full_range_if_downstream_requires_it", "", "video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1",
          "video/x-raw,colorimetry=1:4:0:0", { "format=(string)Y444,", "1:4:0:0" } },
        { "gray_prefers_limited_range_to_the_order_of_downstream", "",
          "video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1",
          "video/x-raw,format=I420,colorimetry=1:4:0:0;video/x-raw,format=NV12", { "format=(string)NV12,", "2:4:0:0" } },
        { "gray_becomes_rgb", "", "video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1", "video/x-raw,format=RGB",
          { "format=(string)RGB,", "1:1:0:0" } },
        { "gray_with_out_range_full", "out-range=full", "video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1",
          "video/x-raw", { "format=(string)Y444,", "1:4:0:0" } },
        { "gray_with_out_range_limited", "out-range=limited", "video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1",
          "video/x-raw,colorimetry=1:4:0:0", { NULL } },
        { "gray_of_limited_range_with_out_range_full", "out-range=full",
          "video/x-raw,format=GRAY8,width=64,height=720,framerate=25/1,colorimetry=2:4:5:3", "video/x-raw", { "1:4:5:3" } },
        { "gray_that_is_overruled_as_limited_stays_limited", "range=limited",
          "video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1,colorimetry=1:4:0:0",
          "video/x-raw,colorimetry=1:4:0:0", { NULL } },
        { "yuv_with_out_range_full", "out-range=full",
          "video/x-raw,format=I420,width=64,height=48,framerate=25/1,chroma-site=jpeg,colorimetry=2:3:5:1", "video/x-raw",
          { "format=(string)I420,", "chroma-site=(string)jpeg", "1:3:5:1" } },
        { "rgb_keeps_its_colorimetry", "out-range=limited matrix=bt2020",
          "video/x-raw,format=RGB,width=64,height=48,framerate=25/1", "video/x-raw", { "format=(string)RGB,", "sRGB" } },
        { "gray_keeps_its_colorimetry", "", "video/x-raw,format=GRAY8,width=64,height=720,framerate=25/1,colorimetry=2:4:5:3",
          "video/x-raw", { "2:4:5:3", "height=(int)720" } },
        { "gray_keeps_its_depth", "", "video/x-raw,format=GRAY16_LE,width=64,height=48,framerate=25/1",
          "video/x-raw", { "format=(string)Y444_16LE," } },
        { "gray_does_not_change_its_depth", "", "video/x-raw,format=GRAY8,width=64,height=48,framerate=25/1",
          "video/x-raw,format=I420_10LE", { NULL } },
        { "yuv_keeps_its_format_and_colorimetry", "",
          "video/x-raw,format=I420,width=64,height=48,framerate=25/1,chroma-site=jpeg,colorimetry=bt709", "video/x-raw",
          { "format=(string)I420,", "chroma-site=(string)jpeg", "colorimetry=(string)bt709" } },
        { "yuv_does_not_become_another_format", "", "video/x-raw,format=I420,width=64,height=48,framerate=25/1",
          "video/x-raw,format=NV12", { NULL } },
        { "rgb_keeps_its_format", "", "video/x-raw,format=RGB,width=64,height=48,framerate=25/1", "video/x-raw",
          { "format=(string)RGB," } },
        { "a_palette_format_is_refused", "", "video/x-raw,format=RGB8P,width=64,height=48,framerate=25/1", "video/x-raw",
          { NULL } },
        { "overridden_tags_are_in_the_output_caps", "range=full matrix=bt709 siting=center",
          "video/x-raw,format=I420,width=64,height=48,framerate=25/1,chroma-site=mpeg2,colorimetry=bt601", "video/x-raw",
          { "colorimetry=(string)1:3:", "chroma-site=(string)jpeg" } },
    };

    for (guint i = 0; i < G_N_ELEMENTS(table); i++) {
        char name[64], *got;
        snprintf(name, sizeof name, "gst/%s", table[i].name);
        CASE(name);
        got = negotiate(table[i].options, table[i].in, table[i].down);
        REQUIRE(!got == !table[i].want[0]);
        for (int k = 0; k < 3 && got && table[i].want[k]; k++) {
            REQUIRE(strstr(got, table[i].want[k]));
            if (!strstr(got, table[i].want[k])) printf("  %s is not in %s\n", table[i].want[k], got);
        }
        g_free(got);
    }
}

static void test_buffers(void)
{
    const GstVideoInfo info = video_info(CAPS);
    const int pad = 24, stride = W + pad;
    GstHarness *h;
    GstBuffer *in, *out, *mine;
    GstVideoCropMeta *crop;
    GstMapInfo map;

    CASE("gst/a_writable_buffer_is_coloured_in_place");
    h = new_harness("batch=1", CAPS);
    in = make_frame(&info, 3);
    REQUIRE_INT(gst_harness_push(h, in), GST_FLOW_OK);
    out = gst_harness_pull(h);
    REQUIRE(out == in);
    require_coloured(out, &info, &info, 3, 1);
    gst_buffer_unref(out);

    CASE("gst/a_shared_buffer_is_not_modified");
    in = make_frame(&info, 4);
    GST_BUFFER_FLAG_SET(in, GST_BUFFER_FLAG_MARKER);
    mine = gst_buffer_copy_deep(in);
    gst_buffer_ref(in);
    REQUIRE_INT(gst_harness_push(h, in), GST_FLOW_OK);
    out = gst_harness_pull(h);
    REQUIRE(out != in);
    REQUIRE(GST_BUFFER_FLAG_IS_SET(out, GST_BUFFER_FLAG_MARKER));
    REQUIRE_INT(GST_BUFFER_PTS(out), 4 * FRAME);
    require_coloured(out, &info, &info, 4, 1);
    gst_buffer_map(mine, &map, GST_MAP_READ);
    REQUIRE_INT(gst_buffer_memcmp(in, 0, map.data, map.size), 0);
    gst_buffer_unmap(mine, &map);
    gst_buffer_unref(in);
    gst_buffer_unref(mine);
    gst_buffer_unref(out);

    CASE("gst/metas_are_copied");
    for (int shared = 0; shared < 2; shared++) {
        in = make_frame(&info, 5);
        crop = gst_buffer_add_video_crop_meta(in);
        crop->x = 7;
        gst_buffer_add_video_region_of_interest_meta(in, "face", 1, 2, 3, 4);
        if (shared) gst_buffer_ref(in);
        REQUIRE_INT(gst_harness_push(h, in), GST_FLOW_OK);
        out = gst_harness_pull(h);
        crop = gst_buffer_get_video_crop_meta(out);
        REQUIRE(crop && crop->x == 7);
        REQUIRE(gst_buffer_get_video_region_of_interest_meta_id(out, 0));
        gst_buffer_unref(out);
        if (shared) gst_buffer_unref(in);
    }

    CASE("gst/strides_are_those_of_the_buffer");
    gst_harness_teardown(h);
    for (int meta = 0; meta < 2; meta++) {  // 1: downstream supports GstVideoMeta; 0: it needs the strides of the caps
        h = new_harness("batch=1", NULL);
        if (meta) gst_harness_add_propose_allocation_meta(h, GST_VIDEO_META_API_TYPE, NULL);
        gst_harness_set_src_caps_str(h, CAPS);
        in = gst_buffer_new_allocate(NULL, stride * H * 2, NULL);
        gst_buffer_memset(in, 0, 77, -1);
        gst_buffer_add_video_meta_full(in, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_I420, W, H, 3,
                                       (gsize[4]){ 0, stride * H, stride * H + stride * H / 2 },
                                       (gint[4]){ stride, stride, stride });
        mine = make_frame(&info, 6);
        gst_buffer_map(mine, &map, GST_MAP_READ);
        for (int y = 0; y < H; y++) gst_buffer_fill(in, y * stride, map.data + W * y, W);
        gst_buffer_unmap(mine, &map);
        gst_buffer_unref(mine);
        REQUIRE_INT(gst_harness_push(h, in), GST_FLOW_OK);
        out = gst_harness_pull(h);
        require_coloured(out, &info, &info, 6, 1);
        REQUIRE_INT(out == in, meta);
        if (meta) {
            gst_buffer_map(out, &map, GST_MAP_READ);
            for (int y = 0; y < H; y++) for (int x = W; x < stride; x++) REQUIRE(map.data[y * stride + x] == 77);
            gst_buffer_unmap(out, &map);
        } else {
            REQUIRE_INT(gst_buffer_get_size(out), GST_VIDEO_INFO_SIZE(&info));
        }
        gst_buffer_unref(out);
        gst_harness_teardown(h);
    }
}

// ---- draining and flushing ----

static void push_flush(GstHarness *h)
{
    GstSegment segment;

    gst_harness_push_event(h, gst_event_new_flush_start());
    gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
    gst_segment_init(&segment, GST_FORMAT_TIME);
    gst_harness_push_event(h, gst_event_new_segment(&segment));
}

static void test_draining(void)
{
    static const struct { const char *name; int drained; } table[] = {
        { "segment", 3 }, { "gap", 3 }, { "stream_start", 3 }, { "custom_event", 3 }, { "tag", 0 }, { "drain_query", 3 }
    };
    static const char other[] = "video/x-raw,format=I420,width=32,height=32," TAGS;
    const GstVideoInfo info = video_info(CAPS);
    GstHarness *h;
    GstBuffer *b;
    GstQuery *query;
    GstEvent *event;

    for (guint i = 0; i < G_N_ELEMENTS(table); i++) {
        GstSegment segment;
        char name[64];
        snprintf(name, sizeof name, "gst/drained_by_%s", table[i].name);
        CASE(name);
        h = new_harness("batch=8", CAPS);
        for (int k = 0; k < 3; k++) push_frame(h, CAPS, k);
        REQUIRE_INT(gst_harness_buffers_received(h), 0);
        gst_segment_init(&segment, GST_FORMAT_TIME);
        segment.start = 5;
        switch (i) {
        case 0: gst_harness_push_event(h, gst_event_new_segment(&segment)); break;
        case 1: gst_harness_push_event(h, gst_event_new_gap(3 * FRAME, FRAME)); break;
        case 2: gst_harness_push_event(h, gst_event_new_stream_start("other")); break;
        case 3: gst_harness_push_event(h, gst_event_new_custom(GST_EVENT_CUSTOM_DOWNSTREAM, gst_structure_new_empty("x"))); break;
        case 4: gst_harness_push_event(h, gst_event_new_tag(gst_tag_list_new_empty())); break;
        case 5:
            query = gst_query_new_drain();
            gst_pad_peer_query(h->srcpad, query);
            gst_query_unref(query);
            break;
        }
        REQUIRE_INT(gst_harness_buffers_received(h), table[i].drained);
        if (i == 2) gst_harness_push_event(h, gst_event_new_segment(&segment));
        push_frame(h, CAPS, 3);
        push_eos(h);
        for (int k = 0; k < 4; k++) require_next(h, CAPS, k);
        gst_harness_teardown(h);
    }

    CASE("gst/drained_by_a_discontinuity");
    h = new_harness("batch=8", CAPS);
    for (int k = 0; k < 3; k++) push_frame(h, CAPS, k);
    b = make_frame(&info, 7);
    GST_BUFFER_FLAG_SET(b, GST_BUFFER_FLAG_DISCONT);
    REQUIRE_INT(gst_harness_push(h, b), GST_FLOW_OK);
    REQUIRE_INT(gst_harness_buffers_received(h), 3);
    push_eos(h);
    for (int k = 0; k < 3; k++) require_next(h, CAPS, k);
    b = gst_harness_try_pull(h);
    REQUIRE(b && GST_BUFFER_IS_DISCONT(b) && GST_BUFFER_PTS(b) == 7 * FRAME);
    gst_clear_buffer(&b);
    gst_harness_teardown(h);

    CASE("gst/drained_by_new_caps_before_they_are_forwarded");
    h = new_harness("batch=8", CAPS);
    for (int k = 0; k < 3; k++) push_frame(h, CAPS, k);
    while ((event = gst_harness_try_pull_event(h))) gst_event_unref(event);
    gst_harness_set_src_caps_str(h, other);
    REQUIRE_INT(gst_harness_buffers_received(h), 3);
    push_frame(h, other, 3);
    push_eos(h);
    for (int k = 0; k < 3; k++) require_next(h, CAPS, k);
    require_next(h, other, 3);
    gst_harness_teardown(h);

    CASE("gst/a_flush_drops_the_frames_in_flight");
    h = new_harness("batch=4", CAPS);
    for (int round = 0; round < 20; round++) {
        const int before = (int)gst_harness_buffers_received(h);
        for (int k = 0; k < round % 7; k++) push_frame(h, CAPS, k);
        const int given = (int)gst_harness_buffers_received(h) - before;
        push_flush(h);
        while ((b = gst_harness_try_pull(h))) gst_buffer_unref(b);
        push_frame(h, CAPS, 9);
        gst_harness_push_event(h, gst_event_new_gap(10 * FRAME, FRAME));
        REQUIRE_INT(gst_harness_buffers_received(h) - before - given, 1);
        require_next(h, CAPS, 9);
    }
    gst_harness_teardown(h);

    CASE("gst/accepts_buffers_after_eos_and_flush");            // as after a flushing seek
    h = new_harness("batch=4", CAPS);
    push_frame(h, CAPS, 0);
    push_eos(h);
    require_next(h, CAPS, 0);
    push_flush(h);
    push_frame(h, CAPS, 1);
    push_eos(h);
    require_next(h, CAPS, 1);
    gst_harness_teardown(h);
}

// ---- live sources ----

static void test_live_sources(void)
{
    GstHarness *h;
    GstMessage *message;
    GstBuffer *b;
    GstBus *bus;

    CASE("gst/latency_is_reported");
    h = new_harness("batch=4", CAPS);
    gst_harness_set_live(h, TRUE);
    gst_harness_set_upstream_latency(h, 10 * GST_MSECOND);
    REQUIRE_INT(gst_harness_query_latency(h), 10 * GST_MSECOND + 8 * FRAME);
    gst_harness_teardown(h);
    h = new_harness("batch=1", CAPS);
    gst_harness_set_live(h, TRUE);
    REQUIRE_INT(gst_harness_query_latency(h), FRAME);
    gst_harness_teardown(h);
    h = new_harness("batch=3", NULL);       // before negotiation the element adds no latency
    gst_harness_set_live(h, TRUE);
    REQUIRE_INT(gst_harness_query_latency(h), 0);
    gst_harness_teardown(h);

    CASE("gst/latency_message_is_posted");
    h = new_harness("batch=4", NULL);
    bus = gst_bus_new();
    gst_element_set_bus(h->element, bus);
    gst_harness_set_src_caps_str(h, CAPS);
    REQUIRE((message = gst_bus_pop_filtered(bus, GST_MESSAGE_LATENCY)));
    if (message) gst_message_unref(message);
    gst_element_set_bus(h->element, NULL);
    gst_object_unref(bus);
    gst_harness_teardown(h);

    CASE("gst/all_frames_are_pushed_when_a_live_source_pauses");
    h = new_harness("batch=4", NULL);
    gst_harness_set_live(h, TRUE);
    gst_harness_set_src_caps_str(h, CAPS);
    for (int count = 1; count < 8; count += 3) {                // less than a batch, one batch, more than a batch
        for (int k = 0; k < count; k++) push_frame(h, CAPS, k);
        for (int k = 0; k < count; k++) {
            REQUIRE((b = gst_harness_pull(h)));                 // waits up to a minute
            if (b) REQUIRE_INT(GST_BUFFER_PTS(b), k * FRAME);
            gst_clear_buffer(&b);
        }
    }
    gst_harness_teardown(h);

    CASE("gst/no_deadline_if_the_source_is_not_live");
    h = new_harness("batch=4", CAPS);
    push_frame(h, CAPS, 0);
    g_usleep(10 * FRAME / 1000);
    REQUIRE_INT(gst_harness_buffers_received(h), 0);
    gst_harness_teardown(h);

    CASE("gst/stopped_at_the_deadline");
    for (int i = 0; i < 50; i++) {
        h = new_harness("batch=4", NULL);
        gst_harness_set_live(h, TRUE);
        gst_harness_set_src_caps_str(h, "video/x-raw,format=I420,width=64,height=48,framerate=1000/1");
        for (int k = 0; k < i % 9; k++) push_frame(h, CAPS, k);
        g_usleep(i % 5 * 500);
        gst_harness_teardown(h);
    }

    CASE("gst/late_frames_are_dropped_only_with_qos");
    for (int qos = 0; qos < 2; qos++) {
        h = new_harness(qos ? "batch=1 qos=true" : "batch=1", CAPS);
        push_frame(h, CAPS, 0);
        gst_harness_push_upstream_event(h, gst_event_new_qos(GST_QOS_TYPE_UNDERFLOW, 0.1, 20 * FRAME, 0));
        push_frame(h, CAPS, 1);
        REQUIRE_INT(gst_harness_buffers_received(h), qos ? 1 : 2);
        gst_harness_teardown(h);
    }
}

// ---- properties ----

static void test_properties(void)
{
    const GstVideoInfo info = video_info(CAPS);
    GstHarness *h = new_harness("batch=4", CAPS);
    GstControlSource *source;
    GstElement *e;
    GstBuffer *b;
    GstBus *bus = gst_bus_new();
    int batch;

    CASE("gst/strength_changes_at_the_next_frame");
    e = gst_harness_find_element(h, "colorize");
    for (int i = 0; i < 6; i++) {
        g_object_set(e, "strength", i < 3 ? 1.0 : 0.25, NULL);
        push_frame(h, CAPS, i);
    }
    push_eos(h);
    for (int i = 0; i < 6; i++) {
        b = gst_harness_try_pull(h);
        REQUIRE(b);
        if (b) require_coloured(b, &info, &info, i, i < 3 ? 1 : 0.25);
        gst_clear_buffer(&b);
    }
    gst_object_unref(e);
    gst_harness_teardown(h);

    CASE("gst/a_sheet_can_be_set_while_playing");
    char *sheet = g_strdup_printf("%s.yaml", model), *kept;
    g_file_set_contents(sheet, "lines: [{strength: 0.25}]\n", -1, NULL);
    h = new_harness("batch=4", CAPS);
    e = gst_harness_find_element(h, "colorize");
    gst_element_set_bus(e, bus);
    for (int i = 0; i < 8; i++) {
        if (i == 2) g_object_set(e, "sheet", sheet, NULL);
        if (i == 4) g_object_set(e, "sheet", "/nonexistent/sheet", NULL);      // the one before stays
        if (i == 6) g_object_set(e, "sheet", NULL, NULL);
        push_frame(h, CAPS, i);
        g_object_get(e, "sheet", &kept, NULL);
        REQUIRE(!g_strcmp0(kept, i < 2 || i >= 6 ? NULL : sheet));
        g_free(kept);
    }
    push_eos(h);
    for (int i = 0; i < 8; i++) {
        b = gst_harness_try_pull(h);
        REQUIRE(b);
        if (b) require_coloured(b, &info, &info, i, i < 2 || i >= 6 ? 1 : 0.25);
        gst_clear_buffer(&b);
    }
    GstMessage *warning = gst_bus_pop_filtered(bus, GST_MESSAGE_WARNING);
    GError *said = NULL;
    REQUIRE(warning);
    if (warning) gst_message_parse_warning(warning, &said, NULL);
    REQUIRE(said && strstr(said->message, "the one before it stays: /nonexistent/sheet: No such file"));
    g_clear_error(&said);
    if (warning) gst_message_unref(warning);
    gst_object_unref(e);
    gst_harness_teardown(h);
    unlink(sheet);
    g_free(sheet);

    CASE("gst/strength_follows_a_control_source");
    h = new_harness("batch=2", CAPS);
    e = gst_harness_find_element(h, "colorize");
    source = gst_interpolation_control_source_new();
    g_object_set(source, "mode", GST_INTERPOLATION_MODE_LINEAR, NULL);
    gst_object_add_control_binding(GST_OBJECT(e), gst_direct_control_binding_new(GST_OBJECT(e), "strength", source));
    gst_timed_value_control_source_set(GST_TIMED_VALUE_CONTROL_SOURCE(source), 0, 0);
    gst_timed_value_control_source_set(GST_TIMED_VALUE_CONTROL_SOURCE(source), 4 * FRAME, 1);
    for (int i = 0; i < 4; i++) push_frame(h, CAPS, i);
    push_eos(h);
    for (int i = 0; i < 4; i++) {
        b = gst_harness_try_pull(h);
        REQUIRE(b);
        if (b) require_coloured(b, &info, &info, i, i / 4.);
        gst_clear_buffer(&b);
    }
    gst_object_unref(source);

    CASE("gst/a_setting_in_the_wrong_state_posts_a_warning");
    gst_element_set_bus(e, bus);
    g_object_set(e, "batch", 9, NULL);
    require_message(bus, GST_MESSAGE_WARNING, "\"batch\"", "NULL and READY");
    g_object_get(e, "batch", &batch, NULL);
    REQUIRE_INT(batch, 2);
    gst_element_set_bus(e, NULL);
    gst_object_unref(e);
    gst_object_unref(bus);
    gst_harness_teardown(h);
}

// ---- errors and warnings ----

static void test_errors(void)
{
    static const struct { const char *name, *file, *options, *word, *other; } table[] = {
        { "model_missing", "/nonexistent.bin", "", "/nonexistent.bin", "No such file" },
        { "model_not_set", NULL, "", "\"model\"", "No model" },
        { "model_is_a_folder", "/", "", "/", "" },
        { "model_is_garbage", "bad.bin", "", "bad.bin", "" },
        { "no_such_device", "", "device=cuda", "cuda", "" },
        { "size_too_small", "", "size=7", "size is 7", "32 to 2048" },
    };
    char bad[512];
    GstBus *bus = gst_bus_new();
    GstHarness *h;
    GstBuffer *b;
    GstVideoInfo info;
    guint64 dropped = 0;
    GstElement *element;
    FILE *f;

    snprintf(bad, sizeof bad, "%s/bad.bin", folder);
    if ((f = fopen(bad, "w"))) {
        fputs("no model at all, just text that goes on for a while", f);
        fclose(f);
    }
    for (guint i = 0; i < G_N_ELEMENTS(table); i++) {
        char name[64], *text = g_strdup_printf("colorize name=c %s", table[i].options);
        const char *path = !table[i].file ? NULL : !*table[i].file ? model : *table[i].file == '/' ? table[i].file : bad;
        GstElement *e = gst_parse_launch(text, NULL);
        snprintf(name, sizeof name, "gst/%s", table[i].name);
        CASE(name);
        REQUIRE(e);
        g_object_set(e, "model", path, NULL);
        gst_element_set_bus(e, bus);
        REQUIRE_INT(gst_element_set_state(e, GST_STATE_READY), GST_STATE_CHANGE_SUCCESS);
        REQUIRE_INT(gst_element_set_state(e, GST_STATE_PAUSED), GST_STATE_CHANGE_FAILURE);
        require_message(bus, GST_MESSAGE_ERROR, table[i].word, table[i].other);
        gst_element_set_state(e, GST_STATE_NULL);
        g_object_set(e, "model", model, "device", "cpu", "size", 0, NULL);      // after the error, valid properties work
        REQUIRE_INT(gst_element_set_state(e, GST_STATE_PAUSED), GST_STATE_CHANGE_SUCCESS);
        gst_element_set_state(e, GST_STATE_NULL);
        gst_element_set_bus(e, NULL);
        gst_object_unref(e);
        g_free(text);
    }

    info = video_info(CAPS);
    CASE("gst/interlaced_caps_are_accepted_where_buffers_hold_frames");
    for (int i = 0; i < 3; i++) {
        static const char *const modes[] = { "interleaved,field-order=top-field-first", "mixed", "fields" };
        char *caps = g_strdup_printf("video/x-raw,format=I420,width=64,height=48,framerate=25/1,interlace-mode=%s", modes[i]);
        GstCaps *got;
        h = new_harness(i ? "" : "interlaced=progressive", NULL);
        gst_bus_set_flushing(bus, TRUE);
        gst_bus_set_flushing(bus, FALSE);
        gst_element_set_bus(h->element, bus);
        gst_harness_set_src_caps_str(h, caps);
        b = make_frame(&info, 2);
        GST_BUFFER_FLAG_SET(b, GST_VIDEO_BUFFER_FLAG_INTERLACED | GST_VIDEO_BUFFER_FLAG_TFF);
        if (i < 2) {
            REQUIRE_INT(gst_harness_push(h, b), GST_FLOW_OK);
            push_eos(h);
            b = gst_harness_pull(h);
            REQUIRE(GST_BUFFER_FLAG_IS_SET(b, GST_VIDEO_BUFFER_FLAG_INTERLACED | GST_VIDEO_BUFFER_FLAG_TFF));
            require_coloured(b, &info, &info, 2, 1);
            gst_buffer_unref(b);
            got = gst_pad_get_current_caps(h->sinkpad);         // the output caps keep interlace-mode
            caps[strcspn(strstr(caps, "interlace-mode"), ",") + (strstr(caps, "interlace-mode") - caps)] = 0;
            REQUIRE_STR(gst_structure_get_string(gst_caps_get_structure(got, 0), "interlace-mode"), strrchr(caps, '=') + 1);
            gst_caps_unref(got);
        } else {                            // a buffer holds one field
            REQUIRE_INT(gst_harness_push(h, b), GST_FLOW_NOT_NEGOTIATED);
            require_message(bus, GST_MESSAGE_ERROR, modes[i], "deinterlace");
        }
        gst_element_set_bus(h->element, NULL);
        gst_harness_teardown(h);
        g_free(caps);
    }

    CASE("gst/a_short_buffer_is_an_error");
    h = new_harness("batch=4", CAPS);
    gst_element_set_bus(h->element, bus);
    push_frame(h, CAPS, 0);
    gst_bus_set_flushing(bus, TRUE);        // drops the messages of the case before
    gst_bus_set_flushing(bus, FALSE);
    b = gst_buffer_new_allocate(NULL, 100, NULL);
    REQUIRE_INT(gst_harness_push(h, b), GST_FLOW_ERROR);
    require_message(bus, GST_MESSAGE_ERROR, "smaller", "caps");
    gst_element_set_bus(h->element, NULL);
    push_eos(h);
    REQUIRE_INT(gst_harness_buffers_received(h), 1);            // the frame in flight is not lost
    gst_harness_teardown(h);

    CASE("gst/a_short_buffer_of_a_live_source_is_dropped_and_counted");
    h = new_harness("batch=2", NULL);
    gst_harness_set_live(h, TRUE);
    gst_element_set_bus(h->element, bus);
    gst_harness_set_src_caps_str(h, CAPS);
    for (int i = 0; i < 24; i++) {          // one of three buffers is valid
        if (i % 3) REQUIRE_INT(gst_harness_push(h, gst_buffer_new_allocate(NULL, 100 * i, NULL)), GST_FLOW_OK);
        else push_frame(h, CAPS, i);
    }
    push_eos(h);
    for (int i = 0; i < 24; i += 3) {
        REQUIRE((b = gst_harness_pull(h)));
        if (!b) break;
        REQUIRE_INT(GST_BUFFER_PTS(b), i * FRAME);
        REQUIRE_INT(GST_BUFFER_IS_DISCONT(b), i > 0);
        require_coloured(b, &info, &info, i, 1);
        gst_buffer_unref(b);
    }
    element = gst_harness_find_element(h, "colorize");
    g_object_get(element, "dropped", &dropped, NULL);
    gst_object_unref(element);
    REQUIRE_INT(dropped, 16);
    require_message(bus, GST_MESSAGE_WARNING, "dropped", "1 so far");
    require_message(bus, GST_MESSAGE_WARNING, "smaller", "10 so far");
    REQUIRE(!pop_message(bus, GST_MESSAGE_WARNING) && !pop_message(bus, GST_MESSAGE_ERROR));
    gst_element_set_bus(h->element, NULL);
    gst_harness_teardown(h);
    gst_object_unref(bus);
}

enum { LARGE = 512, LARGE_BYTES = LARGE * LARGE * 3 / 2, HELD = 64 };
#define LARGE_CAPS "video/x-raw,format=I420,width=512,height=512," TAGS

static gpointer push_eos_thread(gpointer h)
{
    gst_harness_push_event(h, gst_event_new_eos());
    return NULL;
}

// Stops or flushes the element while it colours a batch of 64 frames in place. The buffers wrap memory of the test, which then
// shows how many of the frames were coloured.
static void test_stopping(void)
{
    static const char *const names[] = {
        "gst/stopping_does_not_wait_for_a_batch", "gst/stopping_wakes_a_thread_that_waits_for_a_batch",
        "gst/a_flush_does_not_wait_for_a_batch"
    };
    guint8 *memory = g_malloc(HELD * LARGE_BYTES);

    for (int how = 0; how < 3; how++) {
        GstHarness *h = new_harness("batch=64 size=512", LARGE_CAPS);
        GThread *thread = NULL;
        int untouched = 0;
        CASE(names[how]);
        memset(memory, 1, HELD * LARGE_BYTES);
        for (int i = 0; i < HELD; i++)
            REQUIRE_INT(gst_harness_push(h, gst_buffer_new_wrapped_full(0, memory + i * LARGE_BYTES, LARGE_BYTES, 0, LARGE_BYTES,
                                                                        NULL, NULL)), GST_FLOW_OK);
        if (how) thread = g_thread_new("eos", push_eos_thread, h);      // drains, so it waits for the whole batch
        while (check_peek(memory + LARGE_BYTES - 1) == 1) g_usleep(100);
        if (how < 2) gst_element_set_state(h->element, GST_STATE_NULL);
        else gst_harness_push_event(h, gst_event_new_flush_start());
        if (thread) g_thread_join(thread);
        if (how == 2) gst_harness_push_event(h, gst_event_new_flush_stop(TRUE));
        for (int i = 0; i < HELD; i++) untouched += memory[(i + 1) * LARGE_BYTES - 1] == 1;
        printf("  %d of %d frames were not coloured\n", untouched, HELD);
        REQUIRE(untouched > 0);
        gst_harness_teardown(h);
    }
    g_free(memory);
}

static GstFlowReturn not_negotiated(GstPad *pad, GstObject *parent, GstBuffer *b)
{
    (void)pad, (void)parent;
    gst_buffer_unref(b);
    return GST_FLOW_NOT_NEGOTIATED;
}

// Errors while the element drains must reach upstream or the bus.
static void test_failed_pushes(void)
{
    const GstVideoInfo info = video_info(CAPS);
    GstBus *bus = gst_bus_new();
    GstPadChainFunction agrees;
    GstHarness *h;
    char *text;

    for (int end = 0; end < 2; end++) {
        CASE(end ? "gst/a_failed_push_at_eos_posts_an_error" : "gst/a_failed_push_is_returned_for_the_next_buffer");
        h = new_harness("batch=4", CAPS);
        agrees = GST_PAD_CHAINFUNC(h->sinkpad);
        gst_pad_set_chain_function(h->sinkpad, not_negotiated);
        gst_element_set_bus(h->element, bus);
        for (int i = 0; i < 3; i++) push_frame(h, CAPS, i);
        if (end) {
            push_eos(h);
            text = pop_message(bus, GST_MESSAGE_ERROR);
            REQUIRE(text);
            g_free(text);
        } else {
            gst_harness_push_event(h, gst_event_new_gap(3 * FRAME, FRAME));
            REQUIRE_INT(gst_harness_push(h, make_frame(&info, 4)), GST_FLOW_NOT_NEGOTIATED);
            gst_pad_set_chain_function(h->sinkpad, agrees);             // the error is returned only once
            for (int i = 5; i < 9; i++) REQUIRE_INT(gst_harness_push(h, make_frame(&info, i)), GST_FLOW_OK);
            gst_harness_push_event(h, gst_event_new_gap(9 * FRAME, FRAME));
            REQUIRE_INT(gst_harness_buffers_received(h), 4);
        }
        gst_element_set_bus(h->element, NULL);
        gst_harness_teardown(h);
        gst_bus_set_flushing(bus, TRUE);
        gst_bus_set_flushing(bus, FALSE);
    }

    CASE("gst/a_frame_that_cannot_be_coloured_posts_one_error");
    text = g_strdup_printf("colorize model=%s threads=1 batch=4", overflowing_model);
    h = gst_harness_new_parse(text);
    g_free(text);
    gst_harness_set_live(h, FALSE);
    gst_element_set_bus(h->element, bus);
    gst_harness_set_src_caps_str(h, CAPS);
    for (int i = 0; i < 30; i++) {
        const GstFlowReturn ret = gst_harness_push(h, make_frame(&info, i));
        if (ret == GST_FLOW_OK) continue;
        REQUIRE_INT(ret, GST_FLOW_ERROR);
        break;
    }
    push_eos(h);
    require_message(bus, GST_MESSAGE_ERROR, "could not be coloured", "overflow");
    REQUIRE(!pop_message(bus, GST_MESSAGE_ERROR));
    REQUIRE_INT(gst_harness_buffers_received(h), 0);
    gst_element_set_bus(h->element, NULL);
    gst_harness_teardown(h);
    gst_object_unref(bus);
}

// ---- many elements and long runs ----

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const gboolean sanitized = TRUE;     // sanitizers keep freed memory in quarantine
#else
static const gboolean sanitized = FALSE;
#endif

static long resident_kib(void)
{
    long pages = 0, all;
    FILE *f = fopen("/proc/self/statm", "r");

    if (!f) return 0;
    if (fscanf(f, "%ld %ld", &all, &pages) != 2) pages = 0;
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int open_files(void)
{
    int count = 0;
    GDir *d = g_dir_open("/proc/self/fd", 0, NULL);

    while (d && g_dir_read_name(d)) count++;
    if (d) g_dir_close(d);
    return count;
}

static void test_many_elements(void)
{
    GstHarness *all[64];
    GstElement *e;
    GstBuffer *b;
    const GstVideoInfo info = video_info(CAPS);
    GstHarness *h;
    long before, after;
    int files;

    CASE("gst/64_elements_in_one_process");
    for (int i = 0; i < 64; i++) all[i] = new_harness("batch=2", CAPS);
    for (int k = 0; k < 3; k++) for (int i = 0; i < 64; i++) push_frame(all[i], CAPS, k);
    for (int i = 0; i < 64; i++) {
        push_eos(all[i]);
        REQUIRE_INT(gst_harness_buffers_received(all[i]), 3);
        if (i % 16 == 0) require_next(all[i], CAPS, 0);
        gst_harness_teardown(all[i]);
    }

    CASE("gst/created_and_destroyed_1000_times");
    before = resident_kib();
    files = open_files();
    for (int i = 0; i < repetitions(1000); i++) {
        e = gst_element_factory_make("colorize", NULL);
        g_object_set(e, "model", model, NULL);
        gst_object_unref(e);
    }
    REQUIRE(sanitized || few || resident_kib() - before < 2048);

    CASE("gst/10000_state_changes");
    e = gst_element_factory_make("colorize", NULL);
    g_object_set(e, "model", model, "threads", 1, NULL);
    for (int i = 0; i < repetitions(5000); i++) {               // each pass changes the state twice
        REQUIRE_INT(gst_element_set_state(e, GST_STATE_PAUSED), GST_STATE_CHANGE_SUCCESS);
        REQUIRE_INT(gst_element_set_state(e, i % 2 ? GST_STATE_NULL : GST_STATE_READY), GST_STATE_CHANGE_SUCCESS);
        if (i == repetitions(500)) before = resident_kib();
    }
    gst_element_set_state(e, GST_STATE_NULL);
    gst_object_unref(e);
    after = resident_kib();
    REQUIRE(sanitized || few || after - before < 4096);         // measured: 0; printed below
    printf("  memory grew by %ld KiB over 4500 starts\n", after - before);
    REQUIRE_INT(open_files(), files);

    CASE("gst/memory_is_constant_over_10000_live_frames");
    h = new_harness("batch=4", NULL);
    gst_harness_set_live(h, TRUE);
    gst_harness_set_src_caps_str(h, CAPS);
    for (int i = 0; i < repetitions(10000); i++) {
        REQUIRE_INT(gst_harness_push(h, make_frame(&info, i)), GST_FLOW_OK);
        while ((b = gst_harness_try_pull(h))) gst_buffer_unref(b);
        if (i == repetitions(1000)) before = resident_kib();
    }
    push_eos(h);
    after = resident_kib();
    REQUIRE(sanitized || few || after - before < 2048);
    printf("  memory grew by %ld KiB over 9000 frames\n", after - before);
    REQUIRE_INT(gst_harness_buffers_received(h), repetitions(10000));
    gst_harness_teardown(h);
}

// ---- pipelines ----

static void test_pipelines(void)
{
    char *text = g_strdup_printf("videotestsrc num-buffers=100000 ! "
                                 "video/x-raw,format=I420,width=64,height=48,framerate=1000/1 ! "
                                 "colorize model=%s batch=8 threads=1 ! queue ! fakesink sync=false", model);
    GstElement *p = gst_parse_launch(text, NULL);
    GstMessage *message;
    GstBus *bus = gst_element_get_bus(p);

    CASE("gst/seeks_while_playing");
    gst_element_set_state(p, GST_STATE_PLAYING);
    REQUIRE_INT(gst_element_get_state(p, NULL, NULL, 20 * GST_SECOND), GST_STATE_CHANGE_SUCCESS);
    for (int i = 0; i < 40; i++) {
        REQUIRE(gst_element_seek_simple(p, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH | GST_SEEK_FLAG_KEY_UNIT,
                                        i % 10 * GST_SECOND));
        g_usleep(i % 4 * 2000);
    }
    REQUIRE(gst_element_seek(p, 1, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, GST_SEEK_TYPE_SET, 0, GST_SEEK_TYPE_SET,
                             50 * GST_MSECOND));
    message = gst_bus_timed_pop_filtered(bus, 30 * GST_SECOND, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    REQUIRE(message && GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS);
    if (message) gst_message_unref(message);
    gst_element_set_state(p, GST_STATE_NULL);
    gst_object_unref(bus);
    gst_object_unref(p);
    g_free(text);

    CASE("gst/stopped_while_downstream_blocks");
    text = g_strdup_printf("videotestsrc is-live=true ! video/x-raw,format=I420,width=64,height=48,framerate=200/1 ! "
                           "colorize model=%s batch=4 threads=1 ! fakesink sync=true", model);
    for (int i = 0; i < 20; i++) {
        p = gst_parse_launch(text, NULL);
        gst_element_set_state(p, i % 2 ? GST_STATE_PLAYING : GST_STATE_PAUSED);
        g_usleep(i * 3000);
        gst_element_set_state(p, GST_STATE_PAUSED);
        g_usleep(i % 3 * 20000);
        REQUIRE_INT(gst_element_set_state(p, GST_STATE_NULL), GST_STATE_CHANGE_SUCCESS);
        gst_object_unref(p);
    }
    g_free(text);
}

int main(int argc, char **argv)
{
    const char *build = getenv("BUILD");
    static const char *const needed[] = {
        GST_SYSTEM_PLUGINS "/libgstcoreelements.so", GST_SYSTEM_PLUGINS "/libgstvideotestsrc.so"
    };
    char plugins[4096], registry[512];

    if (!build) SKIP("BUILD is not set");
    few = argc > 1 && !strcmp(argv[1], "few");
    if (!(folder = g_dir_make_tmp("clz-gst-XXXXXX", NULL))) SKIP("no folder for temporary files");
    snprintf(plugins, sizeof plugins, "%s/gst", build);
    snprintf(registry, sizeof registry, "%s/registry.bin", folder);
    snprintf(model, sizeof model, "%s/model.bin", folder);
    snprintf(overflowing_model, sizeof overflowing_model, "%s/overflowing.bin", folder);
    setenv("GST_PLUGIN_PATH", plugins, 1);
    setenv("GST_REGISTRY", registry, 1);    // the user's registry must not change
    setenv("GST_REGISTRY_FORK", "no", 1);   // a child process would lack the sanitizers' runtime
    setenv("GST_PLUGIN_SYSTEM_PATH", "", 1);    // only the plugins in needed[] are loaded: some others leak
    gst_init(&argc, &argv);
    for (guint i = 0; i < G_N_ELEMENTS(needed); i++) {
        GstPlugin *plugin = gst_plugin_load_file(needed[i], NULL);
        if (!plugin) SKIP("GStreamer's own plugins are not there: package gstreamer1.0-plugins-base");
        gst_object_unref(plugin);
    }
    if (tiny_model_write(model) < 0 || tiny_model_write_as(overflowing_model, true) < 0) return 1;

    test_order();
    test_formats();
    test_negotiation();
    test_buffers();
    test_draining();
    test_live_sources();
    test_properties();
    test_errors();
    test_stopping();
    test_failed_pushes();
    test_many_elements();
    test_pipelines();

    unlink(model);
    unlink(overflowing_model);
    unlink(registry);
    snprintf(registry, sizeof registry, "%s/bad.bin", folder);
    unlink(registry);
    rmdir(folder);
    g_free(folder);
    return check_end();
}
