// stream.c - tests of clz_stream as an application uses it: frames come back in order, one for one, with unchanged luma, and the
// coloured frames do not depend on the batch size, the number of threads or other streams of the same model.
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "engine/colorize.h"
#include "kernels/fnv.h"
#include "picture.h"
#include "tiny_model.h"

static char model_path[256];
static clz_model *model;
static const struct clz_controls skip = { .strength = 1, .saturation = 1, .skip = 1 };

// ---- pictures ----

// Luma, alpha, or a component of RGB; 0 for chroma.
static int get(const struct clz_frame *f, int component, int x, int y)
{
    return !(f->format->flags & CLZ_PIXFMT_RGB) && component && component < 3 ? 0 : sample_at(f, component, x, y);
}

// Draws a ramp and a square, both of which move with `number`. RGB: equal values in the three components; alpha: other values.
static void paint(struct picture *p, int number)
{
    const int parts = p->f.format->flags & CLZ_PIXFMT_RGB ? 3 : 1;

    for (int y = 0; y < p->f.height; y++)
        for (int x = 0; x < p->f.width; x++) {
            int v = 20 + (x * 3 + y * 2 + number * 7) % 200;
            if (x > number && x < number + 9 && y > 4 && y < 15) v = 230;
            v <<= p->f.format->depth - 8;
            for (int i = 0; i < parts; i++) set(&p->f, i, x, y, (unsigned)v);
            if (p->f.format->samples[3].step) set(&p->f, 3, x, y, (unsigned)(v ^ 9));
        }
}

// Returns whether the luma of b equals that of a (for RGB within half a code), and alpha also.
static int luma_is_kept(const struct clz_frame *a, const struct clz_frame *b)
{
    for (int y = 0; y < a->height; y++)
        for (int x = 0; x < a->width; x++) {
            const bool rgb = a->format->flags & CLZ_PIXFMT_RGB;
            const double luma = 0.299 * (get(b, 0, x, y) - get(a, 0, x, y)) + 0.587 * (get(b, 1, x, y) - get(a, 1, x, y)) +
                                0.114 * (get(b, 2, x, y) - get(a, 2, x, y));
            if (rgb ? fabs(luma) > 0.5 : get(a, 0, x, y) != get(b, 0, x, y)) return 0;
            if (get(a, 3, x, y) != get(b, 3, x, y)) return 0;
        }
    return 1;
}

// Colours `count` frames in place and checks their order and luma. Returns a hash of the coloured frames.
static uint64_t colour_film(const struct clz_stream_params *params, const char *format, int width, int height, int count)
{
    struct picture *in = calloc(count, sizeof *in);
    clz_stream *s = NULL;
    uint64_t h = CLZK_FNV1A_BASIS;
    struct clz_frame done;
    int got = 0, ret = 0;

    REQUIRE_INT(clz_stream_open(&s, model, params), 0);
    for (int i = 0; i < count && s; i++) {
        in[i] = picture_new(format, width, height);
        paint(&in[i], i);
        in[i].f.opaque = &in[i];
        while ((ret = clz_stream_send(s, &in[i].f, &in[i].f, NULL)) == -EAGAIN) {
            REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
            REQUIRE(done.opaque == &in[got++]);
        }
        REQUIRE_INT(ret, 0);
        while (clz_stream_receive(s, &done, 0) == 0) REQUIRE(done.opaque == &in[got++]);
    }
    REQUIRE_INT(clz_stream_drain(s), 0);
    while ((ret = clz_stream_receive(s, &done, 1)) == 0) REQUIRE(done.opaque == &in[got++]);
    REQUIRE_INT(ret, -ENODATA);
    REQUIRE_INT(got, count);
    clz_stream_close(&s);
    for (int i = 0; i < count; i++) {
        struct picture same = picture_new(format, width, height);
        paint(&same, i);
        REQUIRE_INT(luma_is_kept(&same.f, &in[i].f), 1);
        h = clzk_fnv1a(h, in[i].bytes, in[i].size);
        free(same.bytes);
        free(in[i].bytes);
    }
    free(in);
    return h;
}

static void batches(const char *device)
{
    char name[64];
    uint64_t want;

    snprintf(name, sizeof name, "stream/%s_picture_does_not_depend_on_batch_or_threads", device);
    CASE(name);
    want = colour_film(&(struct clz_stream_params){ .device = device, .batch = 1, .threads = 1 }, "yuv420p", 70, 50, 11);
    for (int batch = 2; batch <= 7; batch += batch == 4 ? 3 : 1)
        for (int threads = 1; threads <= 3; threads++)
            REQUIRE(colour_film(&(struct clz_stream_params){ .device = device, .batch = batch, .threads = threads }, "yuv420p",
                                70, 50, 11) == want);
    REQUIRE(colour_film(&(struct clz_stream_params){ .device = device, .batch = 64 }, "yuv420p", 70, 50, 11) == want);
    REQUIRE(colour_film(&(struct clz_stream_params){ .device = device, .size = 32 }, "yuv420p", 70, 50, 11) != want);
}

// The range of the output for each out_range. Luma code 100 of full range is 102 of limited range; 128 of limited is 130 of full.
static void out_range(void)
{
    static const struct { const char *in, *out; enum clz_range tag, out_range, want; int code, want_code; } cases[] = {
        { "gray", "yuv420p", 0, 0, CLZ_RANGE_FULL, 100, 100 },
        { "gray", "yuv420p", 0, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, 100, 102 },
        { "gray", "yuvj444p", 0, CLZ_RANGE_LIMITED, CLZ_RANGE_FULL, 100, 100 },     // yuvj is always full range
        { "gray", "rgb24", 0, CLZ_RANGE_LIMITED, CLZ_RANGE_FULL, 0, 0 },
        { "gray", "yuvj444p", CLZ_RANGE_LIMITED, 0, CLZ_RANGE_FULL, 128, 130 },
        { "yuv444p", "yuv444p", 0, 0, CLZ_RANGE_LIMITED, 100, 100 },
        { "yuv444p", "yuv444p", 0, CLZ_RANGE_FULL, CLZ_RANGE_FULL, 128, 130 },
        { "yuvj420p", "yuv420p", 0, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, 100, 102 },
    };

    CASE("stream/out_range");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int skipped = 0; skipped < 2; skipped++) {
            struct picture in = picture_new(cases[i].in, 24, 16), out = picture_new(cases[i].out, 24, 16);
            struct clz_frame done = { .range = 9 };
            clz_stream *s = NULL;
            for (int y = 0; y < 16; y++)
                for (int x = 0; x < 24; x++) set(&in.f, 0, x, y, (unsigned)cases[i].code);
            in.f.range = cases[i].tag;
            REQUIRE_INT(clz_stream_open(&s, model, &(struct clz_stream_params){ .batch = 1, .out_range = cases[i].out_range }),
                        0);
            REQUIRE_INT(clz_stream_send(s, &in.f, &out.f, skipped ? &skip : NULL), 0);
            REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
            REQUIRE_INT(done.range, cases[i].want);
            REQUIRE_INT(get(&done, 0, 12, 8), cases[i].want_code);
            clz_stream_close(&s);
            free(in.bytes), free(out.bytes);
        }
}

static void matrix_guess(void)
{
    static const struct { int w, h; enum clz_matrix want; } cases[] = {
        { 720, 576, CLZ_MATRIX_601 }, { 576, 720, CLZ_MATRIX_601 }, { 640, 480, CLZ_MATRIX_601 }, { 480, 640, CLZ_MATRIX_601 },
        { 1024, 576, CLZ_MATRIX_601 }, { 1280, 544, CLZ_MATRIX_709 }, { 1280, 720, CLZ_MATRIX_709 },
        { 720, 1280, CLZ_MATRIX_709 }, { 720, 578, CLZ_MATRIX_709 }, { 1920, 800, CLZ_MATRIX_709 }, { 1, 1, CLZ_MATRIX_601 },
    };

    CASE("stream/matrix_guess_is_the_same_for_landscape_and_portrait");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        REQUIRE_INT(clz_matrix_guess(cases[i].w, cases[i].h), cases[i].want);
}

static void formats(void)
{
    CASE("stream/luma_is_kept_in_every_format");
    for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++)
        if (!(f->flags & CLZ_PIXFMT_GRAY)) colour_film(&(struct clz_stream_params){ .batch = 2 }, f->name, 33, 21, 3);
}

static void largest(void)
{
    static const char *const names[] = { "yuv420p", "yuv420p16" };
    enum { W = 8192, H = 4320, PADDING = 64 };

    for (int i = 0; i < 2; i++) {
        char name[64];
        struct picture p = picture_padded(names[i], W, H, PADDING);
        struct clz_frame done;
        clz_stream *s = NULL;
        uint64_t luma;

        snprintf(name, sizeof name, "stream/%s_of_%dx%d", names[i], W, H);
        CASE(name);
        memset(p.bytes, 0x5a, p.size);
        paint(&p, 5);
        luma = clzk_fnv1a(CLZK_FNV1A_BASIS, p.bytes, (size_t)p.f.stride[0] * H);
        REQUIRE_INT(clz_stream_open(&s, model, &(struct clz_stream_params){ .batch = 1 }), 0);
        REQUIRE_INT(clz_stream_send(s, &p.f, &p.f, NULL), 0);
        REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
        clz_stream_close(&s);
        REQUIRE(clzk_fnv1a(CLZK_FNV1A_BASIS, p.bytes, (size_t)p.f.stride[0] * H) == luma);   // the padding included
        for (int c = 1; c < 3; c++) {
            const int step = i ? 2 : 1;
            int untouched = 0, least = INT_MAX, most = 0, same = 0;
            for (int y = 0; y < H / 2; y++) {
                const uint8_t *row = p.f.data[c] + y * p.f.stride[c];
                for (int x = 0; x < PADDING; x++) untouched += row[W / 2 * step + x] == 0x5a;
                for (int x = 0; x < W / 2; x++) {
                    const int v = i ? ((const uint16_t *)row)[x] : row[x];
                    if (v < least) least = v;
                    if (v > most) most = v;
                    same += v == (i ? 0x5a5a : 0x5a);
                }
            }
            REQUIRE_INT(untouched, PADDING * H / 2);
            REQUIRE(most - least > (i ? 256 * 8 : 8));
            REQUIRE(same < W / 4);                              // every row was written; measured: 23 equal by chance
        }
        free(p.bytes);
    }
}

static void gray(void)
{
    struct picture in = picture_new("gray10", 31, 17), out = picture_new("yuv422p10", 31, 17);
    struct clz_frame done;
    clz_stream *s = NULL;
    int colours = 0;

    CASE("stream/gray_becomes_yuv_with_the_same_luma");
    paint(&in, 3);
    REQUIRE_INT(clz_stream_open(&s, model, &(struct clz_stream_params){ .batch = 4 }), 0);
    REQUIRE_INT(clz_stream_send(s, &in.f, &out.f, NULL), 0);
    REQUIRE_INT(clz_stream_receive(s, &done, 1), -EAGAIN);              // the batch is not complete
    REQUIRE_INT(clz_stream_submit(s), 0);
    REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
    REQUIRE(!memcmp(in.bytes, out.bytes, in.size));
    REQUIRE_INT(done.range, CLZ_RANGE_FULL);
    for (size_t i = in.size / 2; i < out.size / 2; i++) colours += ((uint16_t *)out.bytes)[i] != 512;
    REQUIRE(colours > 100);
    memset(out.bytes, 0, out.size);
    REQUIRE_INT(clz_stream_send(s, &in.f, &out.f, &skip), 0);
    REQUIRE_INT(clz_stream_drain(s), 0);
    REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
    REQUIRE(!memcmp(in.bytes, out.bytes, in.size));
    for (size_t i = in.size / 2; i < out.size / 2; i++) REQUIRE_INT(((uint16_t *)out.bytes)[i], 512);
    clz_stream_close(&s);
    free(in.bytes), free(out.bytes);
}

static void on_dropped_frame(void *priv, const struct clz_frame *frame)
{
    int *expected = priv;
    REQUIRE_INT((intptr_t)frame->opaque, *expected);
    ++*expected;
}

static void ring(void)
{
    struct picture p[16];
    struct clz_frame done;
    clz_stream *s = NULL;
    int expected = 0;

    CASE("stream/full_ring_flush_and_restart");
    REQUIRE_INT(clz_stream_open(&s, model, &(struct clz_stream_params){ .batch = 3 }), 0);
    REQUIRE_INT(clz_stream_lookahead(s), 3);
    REQUIRE_INT(clz_stream_max_in_flight(s), 9);
    REQUIRE_INT(clz_stream_receive(s, &done, 1), -EAGAIN);
    for (int i = 0; i < 16; i++) {
        p[i] = picture_new("yuv444p", 40, 30);
        paint(&p[i], i);
        p[i].f.opaque = (void *)(intptr_t)i;
        if (i < 9) REQUIRE_INT(clz_stream_send(s, &p[i].f, &p[i].f, NULL), 0);
    }
    REQUIRE_INT(clz_stream_send(s, &p[9].f, &p[9].f, NULL), -EAGAIN);
    for (; expected < 2; expected++) {
        REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
        REQUIRE_INT((intptr_t)done.opaque, expected);
    }
    REQUIRE_INT(clz_stream_send(s, &p[9].f, &p[9].f, NULL), 0);
    clz_stream_flush(s, on_dropped_frame, &expected);
    REQUIRE_INT(expected, 10);
    REQUIRE_INT(clz_stream_receive(s, &done, 1), -EAGAIN);
    REQUIRE_INT(clz_stream_drain(s), 0);
    REQUIRE_INT(clz_stream_receive(s, &done, 1), -ENODATA);
    REQUIRE_INT(clz_stream_receive(s, &done, 0), -ENODATA);
    for (int i = 10; i < 16; i++) REQUIRE_INT(clz_stream_send(s, &p[i].f, &p[i].f, NULL), 0);
    for (int i = 10; i < 16; i++) {
        REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
        REQUIRE_INT((intptr_t)done.opaque, i);
    }
    REQUIRE(strlen(clz_stream_describe(s)) > 10);
    clz_stream_close(&s);
    for (int i = 0; i < 16; i++) free(p[i].bytes);
}

// The size of the network's input for a frame of 160x90 and each value of the model's `shape`.
static void shapes(void)
{
    static const struct { const char *shape, *want; } table[] = {
        { "", "112x64" }, { "frame", "112x64" }, { "square", "64x64" }
    };

    CASE("stream/shape_of_the_network_input");
    for (int i = 0; i < 3; i++) {
        struct picture p = picture_new("yuv420p", 160, 90);
        struct clz_frame done;
        clz_stream *s = NULL;
        strcpy(model->facts.shape, table[i].shape);
        paint(&p, i);
        REQUIRE_INT(clz_stream_open(&s, model, &(struct clz_stream_params){ .batch = 1 }), 0);
        REQUIRE_INT(clz_stream_send(s, &p.f, &p.f, NULL), 0);
        REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
        REQUIRE(strstr(clz_stream_describe(s), table[i].want));
        clz_stream_close(&s);
        free(p.bytes);
    }
    *model->facts.shape = 0;
}

static void changes(void)
{
    static const struct { const char *format; int w, h; } kinds[4] = {
        { "yuv420p", 64, 48 }, { "yuv420p", 31, 47 }, { "yuv444p10", 31, 47 }, { "nv12", 2, 1 }
    };
    struct picture p[12];
    struct clz_frame done;
    clz_stream *s = NULL;
    int got = 0;

    CASE("stream/size_and_format_change_within_a_film");
    REQUIRE_INT(clz_stream_open(&s, model, &(struct clz_stream_params){ .batch = 5 }), 0);
    for (int i = 0; i < 12; i++) {
        p[i] = picture_new(kinds[i / 3].format, kinds[i / 3].w, kinds[i / 3].h);
        paint(&p[i], i);
        p[i].f.opaque = &p[i];
        REQUIRE_INT(clz_stream_send(s, &p[i].f, &p[i].f, i % 3 == 1 ? &skip : NULL), 0);
    }
    REQUIRE_INT(clz_stream_drain(s), 0);
    while (clz_stream_receive(s, &done, 1) == 0) {
        REQUIRE(done.opaque == &p[got]);
        got++;
    }
    REQUIRE_INT(got, 12);
    clz_stream_close(&s);
    for (int i = 0; i < 12; i++) free(p[i].bytes);
}

static void last_message(void *priv, enum clz_log_level level, const char *msg)
{
    if (level == CLZ_LOG_ERROR) snprintf(priv, 256, "%s", msg);
}

static void refusals(void)
{
    char message[256] = "";
    struct clz_stream_params params = { .log = { last_message, message, CLZ_LOG_INFO } };
    struct picture p = picture_new("yuv420p", 16, 16), g = picture_new("gray", 16, 16), q = picture_new("yuv420p", 16, 18);
    struct picture deep = picture_new("p010", 16, 16), ten = picture_new("gray10", 16, 16);
    struct clz_frame f;
    clz_stream *s = NULL;

    CASE("stream/refuses_with_one_clear_message");
    params.batch = 65;
    REQUIRE_INT(clz_stream_open(&s, model, &params), -EINVAL);
    REQUIRE(!s && strstr(message, "65") && strstr(message, "64"));
    params.batch = 0;
    params.device = "gpu9";
    REQUIRE_INT(clz_stream_open(&s, model, &params), -EINVAL);
    REQUIRE(strstr(message, "gpu9") && strstr(message, "cpu"));
    params.device = "cuda";
    REQUIRE_INT(clz_stream_open(&s, model, &params), -ENOTSUP);
    REQUIRE(strstr(message, "cuda"));
    params.device = NULL;
    REQUIRE_INT(clz_stream_open(&s, model, &params), 0);
    REQUIRE_INT(clz_stream_send(s, &p.f, &q.f, NULL), -EINVAL);               // the sizes differ
    REQUIRE(strstr(message, "16x18"));
    REQUIRE_INT(clz_stream_send(s, &p.f, &g.f, NULL), -EINVAL);               // the output has no chroma
    REQUIRE_INT(clz_stream_send(s, &g.f, &g.f, NULL), -EINVAL);
    f = p.f, f.data[2] = NULL;
    REQUIRE_INT(clz_stream_send(s, &f, &f, NULL), -EINVAL);
    f = p.f, f.stride[1] = 7;
    REQUIRE_INT(clz_stream_send(s, &f, &f, NULL), -EINVAL);
    REQUIRE_INT(clz_stream_send(s, &p.f, &p.f, &(struct clz_controls){ .strength = NAN, .saturation = 1 }), -EINVAL);
    REQUIRE_INT(clz_stream_send(s, &p.f, &p.f, &(struct clz_controls){ .strength = 1, .saturation = 4.5f }), -EINVAL);
    REQUIRE(strstr(message, "4.5"));
    f = p.f, f.matrix = 99;
    REQUIRE_INT(clz_stream_send(s, &f, &f, NULL), -EINVAL);
    f = p.f, f.siting = -1;
    REQUIRE_INT(clz_stream_send(s, &f, &f, NULL), -EINVAL);
    f = p.f, f.range = 3;
    REQUIRE_INT(clz_stream_send(s, &p.f, &f, NULL), -EINVAL);           // the output's tags are checked too
    REQUIRE(strstr(message, "output") && strstr(message, "range 3"));
    f = p.f, f.siting = 17;
    REQUIRE_INT(clz_stream_send(s, &p.f, &f, NULL), -EINVAL);
    f = p.f, f.height = 4;
    q.f = f, q.f.stride[0] += 16;
    REQUIRE_INT(clz_stream_send(s, &f, &q.f, NULL), -EINVAL);           // in place with different strides
    REQUIRE(strstr(message, "strides differ") && strstr(message, "32"));
    f = deep.f, f.data[1]++;
    REQUIRE_INT(clz_stream_send(s, &f, &f, NULL), -EINVAL);                   // 16-bit samples at odd addresses
    REQUIRE(strstr(message, "even"));
    f = deep.f, f.stride[1]++;
    REQUIRE_INT(clz_stream_send(s, &f, &f, NULL), -EINVAL);
    f = ten.f, f.data[0] = deep.f.data[0], f.stride[0] = deep.f.stride[0];
    REQUIRE_INT(clz_stream_send(s, &f, &deep.f, NULL), -EINVAL);      // gray10 has the low 10 bits of a word, p010 the high
    REQUIRE(strstr(message, "in place"));
    f = p.f, f.memory = CLZ_MEMORY_CUDA;
    REQUIRE_INT(clz_stream_send(s, &f, &f, NULL), -ENOTSUP);
    REQUIRE_INT(clz_stream_send(s, &p.f, &p.f, NULL), 0);                     // the stream still works
    clz_stream_close(&s);
    free(p.bytes), free(g.bytes), free(q.bytes), free(deep.bytes), free(ten.bytes);
}

static void nulls(void)
{
    struct picture p = picture_new("yuv420p", 16, 16);
    struct clz_frame done;
    clz_model *m = NULL;
    clz_stream *s = NULL;

    CASE("stream/null_arguments_are_refused");
    REQUIRE_INT(clz_model_open(NULL, model_path, NULL), -EINVAL);
    REQUIRE_INT(clz_model_open(&m, NULL, NULL), -EINVAL);
    REQUIRE(!clz_model_ref(NULL) && !clz_model_info(NULL, "arch") && !clz_model_info(model, NULL));
    clz_model_close(&m);
    REQUIRE_INT(clz_stream_open(&s, NULL, NULL), -EINVAL);
    REQUIRE_INT(clz_stream_open(NULL, model, NULL), -EINVAL);
    REQUIRE_INT(clz_stream_send(NULL, &p.f, &p.f, NULL), -EINVAL);
    REQUIRE_INT(clz_stream_receive(NULL, &done, 0), -EINVAL);
    REQUIRE_INT(clz_stream_submit(NULL), -EINVAL);
    REQUIRE_INT(clz_stream_drain(NULL), -EINVAL);
    REQUIRE_INT(clz_stream_lookahead(NULL), -EINVAL);
    REQUIRE_INT(clz_stream_max_in_flight(NULL), -EINVAL);
    REQUIRE_STR(clz_stream_describe(NULL), "");
    clz_stream_flush(NULL, NULL, NULL);
    clz_stream_cancel(NULL);
    clz_stream_close(&s);
    REQUIRE_INT(clz_stream_open(&s, model, NULL), 0);
    REQUIRE_INT(clz_stream_send(s, NULL, &p.f, NULL), -EINVAL);
    REQUIRE_INT(clz_stream_send(s, &p.f, NULL, NULL), -EINVAL);
    REQUIRE_INT(clz_stream_receive(s, NULL, 0), -EINVAL);
    clz_stream_close(&s);
    free(p.bytes);
}

// Tags of the output that the caller specifies are kept, and the chroma is computed for them. The other tags are filled in.
static void tags(void)
{
    static const struct { enum clz_matrix matrix; enum clz_siting siting; } given[] = {
        { 0, 0 }, { CLZ_MATRIX_601, CLZ_SITING_LEFT }, { CLZ_MATRIX_2020, 0 }, { 0, CLZ_SITING_CENTER }
    };
    uint64_t h[4];

    CASE("stream/specified_tags_of_the_output_are_kept");
    for (int i = 0; i < 4; i++) {
        struct picture in = picture_new("gray", 40, 30), out = picture_new("yuv420p", 40, 30);
        struct clz_frame done;
        clz_stream *s = NULL;
        paint(&in, 2);
        out.f.matrix = given[i].matrix;
        out.f.siting = given[i].siting;
        REQUIRE_INT(clz_stream_open(&s, model, &(struct clz_stream_params){ .batch = 1 }), 0);
        REQUIRE_INT(clz_stream_send(s, &in.f, &out.f, NULL), 0);
        REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
        REQUIRE_INT(done.range, CLZ_RANGE_FULL);
        REQUIRE_INT(done.matrix, given[i].matrix ? given[i].matrix : CLZ_MATRIX_601);
        REQUIRE_INT(done.siting, given[i].siting ? given[i].siting : CLZ_SITING_LEFT);
        h[i] = clzk_fnv1a(CLZK_FNV1A_BASIS, out.bytes, out.size);
        clz_stream_close(&s);
        free(in.bytes), free(out.bytes);
    }
    REQUIRE(h[0] == h[1] && h[0] != h[2] && h[0] != h[3]);
}

// Cancels while the network colours the frames of a batch one after the other; their pixels show how many were coloured.
static void cancel(void)
{
    enum { COUNT = 32 };
    struct picture p[COUNT];
    struct clz_frame done;
    clz_stream *s = NULL;

    CASE("stream/cancel_stops_between_frames_and_flush_restarts");
    for (int i = 0; i < COUNT; i++) {
        p[i] = picture_new("yuv420p", 512, 512);
        paint(&p[i], i);
    }
    for (int how = 0; how < 3; how++) {     // 0: clz_stream_cancel, 1: clz_stream_flush, 2: clz_stream_close
        int untouched = 0;
        for (int i = 0; i < COUNT; i++) memset(p[i].f.data[1], 1, 256 * 256);
        REQUIRE_INT(clz_stream_open(&s, model, &(struct clz_stream_params){ .batch = COUNT, .size = 512, .threads = 1 }), 0);
        for (int i = 0; i < COUNT; i++) REQUIRE_INT(clz_stream_send(s, &p[i].f, &p[i].f, NULL), 0);
        while (check_peek(p[0].f.data[1] + 256 * 255) == 1) usleep(100);        // until frame 0 is nearly coloured
        if (how == 0) {
            clz_stream_cancel(s);
            REQUIRE_INT(clz_stream_receive(s, &done, 1), -ECANCELED);
            REQUIRE_INT(clz_stream_receive(s, &done, 0), -ECANCELED);
            REQUIRE_INT(clz_stream_send(s, &p[0].f, &p[0].f, NULL), -ECANCELED);
        }
        if (how < 2) {
            clz_stream_flush(s, NULL, NULL);
            REQUIRE_INT(clz_stream_send(s, &p[COUNT - 1].f, &p[COUNT - 1].f, &skip), 0);
            REQUIRE_INT(clz_stream_drain(s), 0);
            REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
            REQUIRE_INT(clz_stream_receive(s, &done, 1), -ENODATA);
        }
        clz_stream_close(&s);
        for (int i = 0; i < COUNT; i++) untouched += p[i].f.data[1][256 * 255] == 1;
        REQUIRE(untouched > 0);             // measured: 30 or 31 of 32
        printf("  %d of %d frames were not coloured\n", untouched, COUNT);
    }
    for (int i = 0; i < COUNT; i++) free(p[i].bytes);
}

static void *cancel_soon(void *stream)
{
    usleep(20000);
    clz_stream_cancel(stream);
    return NULL;
}

static void cancel_from_a_thread(void)
{
    enum { COUNT = 64 };
    struct picture p = picture_new("yuv420p", 512, 512);
    struct clz_frame done;
    clz_stream *s = NULL;
    pthread_t t;
    int ret;

    CASE("stream/cancel_wakes_a_receive_that_waits");
    paint(&p, 1);
    REQUIRE_INT(clz_stream_open(&s, model, &(struct clz_stream_params){ .batch = COUNT, .size = 512, .threads = 1 }), 0);
    for (int i = 0; i < COUNT; i++) REQUIRE_INT(clz_stream_send(s, &p.f, &p.f, NULL), 0);
    pthread_create(&t, NULL, cancel_soon, s);
    while ((ret = clz_stream_receive(s, &done, 1)) == 0) continue;
    REQUIRE_INT(ret, -ECANCELED);
    pthread_join(t, NULL);
    clz_stream_close(&s);
    free(p.bytes);
}

// If the weights are finite but the network's output overflows, the frame is refused with an error, which a flush clears.
static void any_message(void *priv, enum clz_log_level level, const char *msg)
{
    char *text = priv;
    (void)level;
    snprintf(text + strlen(text), 2000 - strlen(text), "%s\n", msg);
}

// A frame whose luma changes while it is inside stands for one that is damaged there.
static void verify(void)
{
    char message[2000];
    enum { SIDE = 64, FRAMES = 4 };
    static uint8_t luma[FRAMES][SIDE * SIDE], chroma[2][SIDE * SIDE];
    struct clz_stream_params params = { .device = "cpu", .threads = 1, .batch = FRAMES, .verify = 1,
                                        .log = { any_message, message, CLZ_LOG_INFO } };
    struct clz_frame f[FRAMES], got;
    clz_stream *s;
    int ret, failed = 0;

    CASE("stream/verify_finds_luma_that_has_changed");
    for (int damage = 0; damage < 2; damage++) {
        *message = 0;
        REQUIRE_INT(clz_stream_open(&s, model, &params), 0);
        for (int i = 0; i < FRAMES - 1; i++) {
            f[i] = (struct clz_frame){ .format = clz_pixfmt_find("yuv444p"), .width = SIDE, .height = SIDE,
                                       .data = { luma[i], chroma[0], chroma[1] }, .stride = { SIDE, SIDE, SIDE } };
            for (int k = 0; k < SIDE * SIDE; k++) luma[i][k] = (uint8_t)(50 + i + k % 100);
            REQUIRE_INT(clz_stream_send(s, &f[i], &f[i], NULL), 0);
        }
        if (damage) luma[1][SIDE * SIDE - 1] ^= 1;
        clz_stream_drain(s);
        failed = 0;
        while ((ret = clz_stream_receive(s, &got, 1)) != -ENODATA) failed += ret == -EIO;
        REQUIRE(damage ? failed > 0 : failed == 0);
        if (damage) REQUIRE(strstr(message, "frame 1: its luma is not that of the film"));
        clz_stream_close(&s);
        if (!damage) REQUIRE(strstr(message, "verify: the luma of 3 frames was compared"));
    }
    params.luma = CLZ_LUMA_LSTAR;
    *message = 0;
    REQUIRE_INT(clz_stream_open(&s, model, &params), 0);
    REQUIRE_INT(clz_stream_send(s, &f[0], &f[0], NULL), 0);
    clz_stream_drain(s);
    while (clz_stream_receive(s, &got, 1) != -ENODATA) {}
    clz_stream_close(&s);
    REQUIRE(strstr(message, "verify: the luma of 1 frames could not be compared"));
}

static void overflow(void)
{
    char message[256] = "";
    const struct clz_stream_params params = { .batch = 1, .log = { last_message, message, CLZ_LOG_ERROR } };
    struct picture p = picture_new("yuv420p", 32, 32);
    struct clz_frame done;
    float kept[8 * 9], *weights = model->values[0];             // of a 3x3 convolution to 8 channels: its output overflows
    clz_stream *s = NULL;

    CASE("stream/an_overflow_in_the_network_output_is_an_error");
    memcpy(kept, weights, sizeof kept);
    for (int i = 0; i < 8 * 9; i++) weights[i] = 3e38f;
    paint(&p, 1);
    REQUIRE_INT(clz_stream_open(&s, model, &params), 0);
    memcpy(weights, kept, sizeof kept);
    if (!s) return;
    REQUIRE_INT(clz_stream_send(s, &p.f, &p.f, NULL), 0);
    REQUIRE_INT(clz_stream_receive(s, &done, 1), -EIO);
    REQUIRE(strstr(message, "overflow") && strstr(message, model_path));
    REQUIRE_INT(clz_stream_send(s, &p.f, &p.f, NULL), -EIO);          // the error is kept
    clz_stream_flush(s, NULL, NULL);
    REQUIRE_INT(clz_stream_send(s, &p.f, &p.f, &skip), 0);      // and a flush clears it
    REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
    clz_stream_close(&s);
    free(p.bytes);
}

static void controls(void)
{
    uint64_t h[2];
    CASE("stream/strength_0_gives_neutral_chroma");
    for (int i = 0; i < 2; i++) {
        struct picture p = picture_new("yuv444p", 32, 32);
        struct clz_frame done;
        clz_stream *s = NULL;
        paint(&p, 1);
        REQUIRE_INT(clz_stream_open(&s, model, NULL), 0);
        REQUIRE_INT(clz_stream_send(s, &p.f, &p.f, i ? NULL : &(struct clz_controls){ .saturation = 1 }), 0);
        REQUIRE_INT(clz_stream_drain(s), 0);
        REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
        for (int k = 1024; k < 3072 && !i; k++) REQUIRE_INT(p.bytes[k], 128);
        h[i] = clzk_fnv1a(CLZK_FNV1A_BASIS, p.bytes, p.size);
        clz_stream_close(&s);
        free(p.bytes);
    }
    REQUIRE(h[0] != h[1]);
}

static void *open_and_colour(void *arg)
{
    clz_model *m = NULL;
    clz_stream *s = NULL;
    struct clz_frame done;

    for (int round = 0; round < 3; round++) {
        struct picture p = picture_new("yuv420p", 24, 20);
        paint(&p, 1);
        if (clz_model_open(&m, model_path, NULL) < 0 ||
            clz_stream_open(&s, m, &(struct clz_stream_params){ .device = "ref", .threads = 1, .batch = 2 }) < 0)
            return NULL;
        clz_model_close(&m);                                            // the stream has its own reference
        for (int i = 0; i < 5; i++)
            if (clz_stream_send(s, &p.f, &p.f, NULL) == 0 && i == 3) clz_stream_submit(s);
        if (round == 1) clz_stream_flush(s, NULL, NULL);
        clz_stream_drain(s);
        while (clz_stream_receive(s, &done, 1) == 0) continue;
        clz_stream_close(&s);
        free(p.bytes);
    }
    *(int *)arg = 1;
    return NULL;
}

static void threads(void)
{
    pthread_t t[8];
    int passed[8] = {0};

    CASE("stream/streams_in_several_threads_share_a_model");
    for (int i = 0; i < 8; i++) pthread_create(&t[i], NULL, open_and_colour, &passed[i]);
    for (int i = 0; i < 8; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < 8; i++) REQUIRE(passed[i]);
}

#ifdef _OPENMP
enum { HAS_OPENMP = 1 };
#else
enum { HAS_OPENMP = 0 };                    // without OpenMP, the library cannot control oneDNN's threads
#endif

// Colours three frames with RLIMIT_NPROC set to `limit`. Runs in a separate process; returns its exit status.
static int colour_with_thread_limit(const char *path, rlim_t limit)
{
    struct picture p = picture_new("yuv420p", 64, 48);
    struct clz_frame done;
    struct rlimit usual;
    clz_stream *s = NULL;

    if (clz_model_open(&model, path, NULL) < 0 || setresuid(54321, 54321, 54321) < 0 || getrlimit(RLIMIT_NPROC, &usual) < 0 ||
        setrlimit(RLIMIT_NPROC, &(struct rlimit){ limit, usual.rlim_max }) < 0)
        return 1;
    if (clz_stream_open(&s, model, &(struct clz_stream_params){ .threads = 4, .batch = 1 }) < 0) _exit(3);
    for (int i = 0; i < 3; i++)
        if (clz_stream_send(s, &p.f, &p.f, NULL) < 0 || clz_stream_receive(s, &done, 1) < 0) return 1;
    clz_stream_close(&s);
    clz_model_close(&model);
    free(p.bytes);
    return setrlimit(RLIMIT_NPROC, &usual) < 0;     // LeakSanitizer starts a thread at exit
}

static void thread_limits(const char *program)
{
    int coloured = 0, refused = 0;

    if (geteuid() || !HAS_OPENMP) return;   // only root can switch to a user who has no other processes
    CASE("stream/a_thread_limit_does_not_end_the_process");
    for (int limit = 1; limit <= 9; limit++) {
        char command[600];
        snprintf(command, sizeof command, "'%s' limited %s %d", program, model_path, limit);
        const int status = system(command);
        REQUIRE(status == 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 3));
        if (status) refused++;
        else coloured++;
    }
    printf("  %d limits refused, %d coloured\n", refused, coloured);
    REQUIRE(refused >= 1 && coloured >= 4);
}

int main(int argc, char **argv)
{
    const char *folder = getenv("TMPDIR");

    if (argc > 3 && !strcmp(argv[1], "limited")) return colour_with_thread_limit(argv[2], (rlim_t)atoi(argv[3]));
    snprintf(model_path, sizeof model_path, "%s/clz-stream-%d.bin", folder ? folder : "/tmp", (int)getpid());
    if (tiny_model_write(model_path) < 0 || clz_model_open(&model, model_path, NULL) < 0) return 1;
    batches("ref");
    batches("cpu");
    formats();
    largest();
    gray();
    out_range();
    matrix_guess();
    ring();
    shapes();
    changes();
    refusals();
    nulls();
    tags();
    cancel();
    cancel_from_a_thread();
    verify();
    overflow();
    controls();
    threads();
    thread_limits(argv[0]);
    clz_model_close(&model);
    unlink(model_path);
    return check_end();
}
