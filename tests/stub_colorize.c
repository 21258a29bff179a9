// stub_colorize.c - a stand-in for libcolorize.so.0 with the whole public API as the filter uses it, and "colour" that is
// plain arithmetic on luma. So tests of order, end of file, timeline and options have exact results on every machine, and
// need no model, only a file. tests/filter.sh and tests/fuzz_filter.c build it.
//
// Batches: with N = batch (0: 4), frames are done when N are inside; a done batch is handed out without waiting only after
// the next one is full, as if it ran meanwhile; wait, drain and submit hurry it. At most 3 N frames are inside.
// Colour: U = Y xor 0x5a, V = Y xor 0xa5 of the luma sample at the chroma sample's corner (scaled to the depth), pulled
// towards neutral by strength and saturation / 4.
// A model file that begins with "bad" is refused (-EBADMSG); "failN" fails the Nth frame with -EIO (from 0).
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "colorize.h"

#define MAX_INSIDE (3 * 64)

struct clz_model { int references, fail; };

struct clz_stream {
    struct clz_model *model;
    struct clz_log log;
    struct { struct clz_frame in, out; struct clz_controls controls; int status; } ring[MAX_INSIDE];
    int first, count;           // frames inside, oldest at ring[first]
    int done;                   // of these, how many are coloured
    int batch, draining;
    long sent;
    char describe[64];
};

int clz_abi_version(void)
{
    const char *other = getenv("COLORIZE_STUB_ABI");
    return other ? atoi(other) : CLZ_ABI_VERSION;
}

const char *clz_version(void) { return "stub"; }

static const struct clz_pixfmt formats[] = {
    { "gray",      "GRAY8",      1, 8,  0, 0, CLZ_PIXFMT_GRAY, "yuv444p" },
    { "gray10",    NULL,         1, 10, 0, 0, CLZ_PIXFMT_GRAY, "yuv444p10" },
    { "gray12",    NULL,         1, 12, 0, 0, CLZ_PIXFMT_GRAY, "yuv444p12" },
    { "gray16",    "GRAY16_LE",  1, 16, 0, 0, CLZ_PIXFMT_GRAY, "yuv444p16" },
    { "yuv420p",   "I420",       3, 8,  1, 1, 0, NULL },
    { "yuv422p",   "Y42B",       3, 8,  1, 0, 0, NULL },
    { "yuv444p",   "Y444",       3, 8,  0, 0, 0, NULL },
    { "yuvj420p",  NULL,         3, 8,  1, 1, CLZ_PIXFMT_FULL, NULL },
    { "yuvj422p",  NULL,         3, 8,  1, 0, CLZ_PIXFMT_FULL, NULL },
    { "yuvj444p",  NULL,         3, 8,  0, 0, CLZ_PIXFMT_FULL, NULL },
    { "yuv420p10", "I420_10LE",  3, 10, 1, 1, 0, NULL },
    { "yuv422p10", "I422_10LE",  3, 10, 1, 0, 0, NULL },
    { "yuv444p10", "Y444_10LE",  3, 10, 0, 0, 0, NULL },
    { "yuv420p12", "I420_12LE",  3, 12, 1, 1, 0, NULL },
    { "yuv422p12", "I422_12LE",  3, 12, 1, 0, 0, NULL },
    { "yuv444p12", "Y444_12LE",  3, 12, 0, 0, 0, NULL },
    { "yuv420p16", NULL,         3, 16, 1, 1, 0, NULL },
    { "yuv422p16", NULL,         3, 16, 1, 0, 0, NULL },
    { "yuv444p16", "Y444_16LE",  3, 16, 0, 0, 0, NULL },
    { "nv12",      "NV12",       2, 8,  1, 1, CLZ_PIXFMT_SEMIPLANAR, NULL },
    { "p010",      "P010_10LE",  2, 10, 1, 1, CLZ_PIXFMT_SEMIPLANAR | CLZ_PIXFMT_MSB, NULL },
    { "p016",      "P016_LE",    2, 16, 1, 1, CLZ_PIXFMT_SEMIPLANAR, NULL },
    { NULL, NULL, 0, 0, 0, 0, 0, NULL }
};

const struct clz_pixfmt *clz_pixfmt_list(void) { return formats; }

const struct clz_pixfmt *clz_pixfmt_find(const char *name)
{
    const struct clz_pixfmt *f = formats;

    while (f->name && strcmp(f->name, name)) f++;
    return f->name ? f : NULL;
}

static void say(const struct clz_log *log, enum clz_log_level level, const char *msg)
{
    if (log && log->cb && level <= log->level) log->cb(log->priv, level, msg);
}

int clz_model_open(clz_model **model, const char *path, const struct clz_log *log)
{
    FILE *f = fopen(path, "rb");
    char head[64] = "";
    int fail = -1;

    *model = NULL;
    if (!f) return -errno;
    if (!fgets(head, sizeof(head), f)) head[0] = 0;
    fclose(f);
    if (!strncmp(head, "bad", 3)) {
        say(log, CLZ_LOG_ERROR, "stub: a bad model file");
        return -EBADMSG;
    }
    if (sscanf(head, "fail%d", &fail) != 1) fail = -1;
    *model = calloc(1, sizeof(**model));
    if (!*model) return -ENOMEM;
    (*model)->references = 1;
    (*model)->fail = fail;
    return 0;
}

clz_model *clz_model_ref(clz_model *model) { model->references++; return model; }

void clz_model_close(clz_model **model)
{
    if (*model && !--(*model)->references) free(*model);
    *model = NULL;
}

const char *clz_model_info(const clz_model *model, const char *key) { (void)model; (void)key; return NULL; }

int clz_stream_open(clz_stream **stream, clz_model *model, const struct clz_stream_params *params)
{
    struct clz_stream *s;
    char bars[64];

    *stream = NULL;
    if (params->device && !strncmp(params->device, "cuda", 4)) {
        say(&params->log, CLZ_LOG_ERROR, "stub: no such device");
        return -ENOTSUP;
    }
    if (params->bars && strcmp(params->bars, "auto")) {
        snprintf(bars, sizeof(bars), "stub: bars %s", params->bars);
        say(&params->log, CLZ_LOG_WARNING, bars);
    }
    s = calloc(1, sizeof(*s));
    if (!s) return -ENOMEM;
    s->model = clz_model_ref(model);
    s->log = params->log;
    s->batch = params->batch ? params->batch : 4;
    snprintf(s->describe, sizeof(s->describe), "stub, batch %d, threads %d, size %d, luma %d", s->batch, params->threads,
             params->size, params->luma);
    *stream = s;
    return 0;
}

void clz_stream_close(clz_stream **stream)
{
    if (*stream) clz_model_close(&(*stream)->model);
    free(*stream);
    *stream = NULL;
}

static unsigned get(const struct clz_frame *f, int plane, int x, int y)
{
    const uint8_t *row = f->data[plane] + y * f->stride[plane];
    unsigned v = f->format->depth > 8 ? ((const uint16_t *)row)[x] : row[x];

    return f->format->flags & CLZ_PIXFMT_MSB ? v >> (16 - f->format->depth) : v;
}

static void set(const struct clz_frame *f, int plane, int x, int y, unsigned v)
{
    uint8_t *row = f->data[plane] + y * f->stride[plane];

    if (f->format->flags & CLZ_PIXFMT_MSB) v <<= 16 - f->format->depth;
    if (f->format->depth > 8) ((uint16_t *)row)[x] = (uint16_t)v; else row[x] = (uint8_t)v;
}

static void colour(const struct clz_frame *in, const struct clz_frame *out, const struct clz_controls *controls)
{
    const struct clz_pixfmt *f = out->format;
    int w = (out->width + (1 << f->log2_chroma_w) - 1) >> f->log2_chroma_w;
    int h = (out->height + (1 << f->log2_chroma_h) - 1) >> f->log2_chroma_h;
    int scale = 1 << (f->depth - 8), middle = 128 * scale;
    float share = controls->strength * controls->saturation / 4;

    if (in->data[0] != out->data[0])
        for (int y = 0; y < out->height; y++)
            memcpy(out->data[0] + y * out->stride[0], in->data[0] + y * in->stride[0],
                   (size_t)out->width * (f->depth > 8 ? 2 : 1));
    if (controls->skip && !(in->format->flags & CLZ_PIXFMT_GRAY)) {       // untouched: what colour it had stays
        for (int p = 1; p < f->planes && in->data[0] != out->data[0]; p++)
            for (int y = 0; y < h; y++)
                for (int x = 0; x < (f->planes == 2 ? 2 * w : w); x++) set(out, p, x, y, get(in, p, x, y));
        return;
    }
    if (controls->skip) share = 0;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int luma = (int)get(in, 0, x << f->log2_chroma_w, y << f->log2_chroma_h);
            int u = middle + (int)((float)((luma ^ 0x5a * scale) - middle) * share);
            int v = middle + (int)((float)((luma ^ 0xa5 * scale) - middle) * share);
            if (f->planes == 2) {
                set(out, 1, 2 * x, y, (unsigned)u);
                set(out, 1, 2 * x + 1, y, (unsigned)v);
            } else {
                set(out, 1, x, y, (unsigned)u);
                set(out, 2, x, y, (unsigned)v);
            }
        }
}

int clz_stream_send(clz_stream *s, const struct clz_frame *in, const struct clz_frame *out, const struct clz_controls *controls)
{
    int at;

    if (in->width != out->width || in->height != out->height || in->format->depth != out->format->depth) return -EINVAL;
    if (s->count == 3 * s->batch) return -EAGAIN;
    s->draining = 0;
    at = (s->first + s->count++) % MAX_INSIDE;
    s->ring[at].in = *in;
    s->ring[at].out = *out;
    s->ring[at].controls = *controls;
    s->ring[at].out.opaque = in->opaque;
    s->ring[at].status = s->sent++ == s->model->fail ? -EIO : 0;
    return 0;
}

static void run(struct clz_stream *s, int until)
{
    for (; s->done < until; s->done++) {
        int at = (s->first + s->done) % MAX_INSIDE;
        struct clz_frame *out = &s->ring[at].out;
        if (out->format == NULL || s->ring[at].status < 0) continue;
        colour(&s->ring[at].in, out, &s->ring[at].controls);
        if (!out->range) out->range = s->ring[at].in.format->flags & (CLZ_PIXFMT_GRAY | CLZ_PIXFMT_FULL) ?
                                      CLZ_RANGE_FULL : CLZ_RANGE_LIMITED;
        if (!out->matrix) out->matrix = out->height > 576 ? CLZ_MATRIX_709 : CLZ_MATRIX_601;
        if (!out->siting) out->siting = CLZ_SITING_LEFT;
    }
}

int clz_stream_receive(clz_stream *s, struct clz_frame *frame, int wait)
{
    int status;

    if (!s->count) return s->draining ? -ENODATA : -EAGAIN;
    if (!s->done) {
        int waiting = s->draining || (wait && s->count >= s->batch) || s->count >= 2 * s->batch;
        if (!waiting) return -EAGAIN;
        run(s, s->count < s->batch ? s->count : s->batch);
    }
    *frame = s->ring[s->first].out;
    status = s->ring[s->first].status;
    s->first = (s->first + 1) % MAX_INSIDE;
    s->count--;
    s->done--;
    return status;
}

int clz_stream_submit(clz_stream *s) { run(s, s->count); return 0; }
int clz_stream_drain(clz_stream *s) { s->draining = 1; return 0; }

void clz_stream_flush(clz_stream *s, void (*on_frame)(void *priv, const struct clz_frame *frame), void *priv)
{
    for (; s->count; s->count--, s->first = (s->first + 1) % MAX_INSIDE)
        if (on_frame) on_frame(priv, &s->ring[s->first].out);
    s->done = s->draining = 0;
}

int clz_stream_lookahead(const clz_stream *s) { return s->batch; }
int clz_stream_max_in_flight(const clz_stream *s) { return 3 * s->batch; }
const char *clz_stream_describe(const clz_stream *s) { return s->describe; }
