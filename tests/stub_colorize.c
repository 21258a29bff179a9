// stub_colorize.c - a stand-in for libcolorize.so.0 with the public API as the filter and the element use it, and "colour" that
// is plain arithmetic on luma. So tests of order, end of file, timeline and options have exact results on every machine, and
// need no model, only a file. tests/filter.sh, filter_cuda.sh, gst_cuda.sh and fuzz_filter.c build it.
//
// CUDA frames: if the stream is opened with device cuda and a context, and the driver is tests/fakecuda.c, the frames are
// coloured in its memory, after what is queued on the given stream, with the given context current. Device auto takes a context
// where it can. Without a context, device cuda opens where the driver is loaded, for frames in host memory.
// Batches: with N = batch (0: 4), frames are done when N are inside; a done batch is handed out without waiting only after
// the next one is full, as if it ran meanwhile; wait, drain and submit hurry it. At most 3 N frames are inside.
// Colour: U = Y xor 0x5a, V = Y xor 0xa5 of the luma sample at the chroma sample's corner (scaled to the depth), pulled
// towards neutral by strength and saturation / 4. RGB: R and B are G xor 0x5a and 0xa5, pulled towards G.
// The table of formats is the engine's own: engine/pixfmt.c is compiled in.
// A model file that begins with "bad" is refused (-EBADMSG); "failN" fails the Nth frame with -EIO (from 0).
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "engine/pixfmt.h"

#define MAX_INSIDE (3 * 64 + 32)

struct clz_model { int references, fail; };

struct driver {
    void *(*alias)(unsigned long long);
    int (*push)(void *), (*pop)(void **), (*synchronize)(void *);
};

struct clz_stream {
    struct clz_model *model;
    struct clz_log log;
    enum clz_range out_range;
    struct { struct clz_frame in, out; struct clz_controls controls; int status; } ring[MAX_INSIDE];
    int first, count;           // frames inside, oldest at ring[first]
    int done;                   // of these, how many are coloured
    int batch, draining;
    int after;                  // frames that each waits for: COLORIZE_STUB_LOOKAHEAD
    long sent;
    char describe[80];
    struct driver driver;       // all NULL: frames in host memory
    void *cuda_context, *cuda_stream;
};

int clz_abi_version(void)
{
    const char *other = getenv("COLORIZE_STUB_ABI");
    return other ? atoi(other) : CLZ_ABI_VERSION;
}

const char *clz_version(void) { return "stub"; }

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

static int driver_is_loaded(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);

    if (library) dlclose(library);
    return library != NULL;
}

// 0, or -ENOTSUP if the process has not loaded fakecuda.c or it refuses the context or the stream.
static int driver_open(struct driver *d, void *context, void *stream)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD), *popped;
    int error;

    if (!library) return -ENOTSUP;
    *(void **)&d->alias = dlsym(library, "fakecuda_alias");
    *(void **)&d->push = dlsym(library, "cuCtxPushCurrent_v2");
    *(void **)&d->pop = dlsym(library, "cuCtxPopCurrent_v2");
    *(void **)&d->synchronize = dlsym(library, "cuStreamSynchronize");
    dlclose(library);
    if (!d->alias || d->push(context)) return -ENOTSUP;
    error = d->synchronize(stream);
    d->pop(&popped);
    return error ? -ENOTSUP : 0;
}

int clz_stream_open(clz_stream **stream, clz_model *model, const struct clz_stream_params *params)
{
    const int automatic = !params->device || !strcmp(params->device, "auto");
    int cuda = params->device && !strncmp(params->device, "cuda", 4);
    struct driver driver = { 0 };
    struct clz_stream *s;
    char bars[64];

    *stream = NULL;
    if (automatic && params->cuda_context && !getenv("COLORIZE_STUB_NO_CUDA"))
        cuda = driver_open(&driver, params->cuda_context, params->cuda_stream) == 0;
    else if (cuda && (getenv("COLORIZE_STUB_NO_CUDA") || !driver_is_loaded() || (params->cuda_context &&
                 (!params->cuda_stream || driver_open(&driver, params->cuda_context, params->cuda_stream) < 0)))) {
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
    s->out_range = params->out_range;
    s->batch = params->batch ? params->batch : 4;
    s->after = getenv("COLORIZE_STUB_LOOKAHEAD") ? atoi(getenv("COLORIZE_STUB_LOOKAHEAD")) : 0;
    s->driver = driver;
    s->cuda_context = params->cuda_context;
    s->cuda_stream = params->cuda_stream;
    snprintf(s->describe, sizeof(s->describe), "stub%s, batch %d, threads %d, size %d, luma %d", cuda ? " cuda" : "", s->batch,
             params->threads, params->size, params->luma);
    *stream = s;
    return 0;
}

void clz_stream_close(clz_stream **stream)
{
    if (*stream) clz_model_close(&(*stream)->model);
    free(*stream);
    *stream = NULL;
}

static unsigned swapped(const struct clz_pixfmt *f, unsigned v)
{
    return f->flags & CLZ_PIXFMT_SWAPPED ? (v << 8 | v >> 8) & 0xffff : v;
}

// component 0 to 3: Y U V A or R G B A
static int get(const struct clz_frame *f, int component, int x, int y)
{
    const struct clz_samples *s = &f->format->samples[component];
    const uint8_t *row = f->data[s->plane] + y * f->stride[s->plane];
    const int at = s->offset + x * s->step, shift = f->format->flags & CLZ_PIXFMT_MSB ? 16 - f->format->depth : 0;

    return f->format->depth == 8 ? row[at] : (int)(swapped(f->format, ((const uint16_t *)row)[at]) >> shift);
}

static void set(const struct clz_frame *f, int component, int x, int y, int code)
{
    const struct clz_samples *s = &f->format->samples[component];
    uint8_t *row = f->data[s->plane] + y * f->stride[s->plane];
    const int at = s->offset + x * s->step, shift = f->format->flags & CLZ_PIXFMT_MSB ? 16 - f->format->depth : 0;

    if (f->format->depth == 8) row[at] = (uint8_t)code;
    else ((uint16_t *)row)[at] = (uint16_t)swapped(f->format, (uint16_t)(code << shift));
}

static int recode(const struct clz_frame *in, const struct clz_frame *out, int code)
{
    const double eight = 1 << (in->format->depth - 8), max = (1 << in->format->depth) - 1;
    double y = code;

    if (in->range == out->range) return code;
    y = out->range == CLZ_RANGE_FULL ? (y - 16 * eight) * max / (219 * eight) : y * 219 * eight / max + 16 * eight;
    return y < 0 ? 0 : y > max ? (int)max : (int)(y + 0.5);
}

static void colour(const struct clz_frame *in, const struct clz_frame *out, const struct clz_controls *controls)
{
    const struct clz_pixfmt *f = out->format;
    const int gray = in->format->flags & CLZ_PIXFMT_GRAY, rgb = f->flags & CLZ_PIXFMT_RGB;
    const int w = -(-out->width >> f->log2_chroma_w), h = -(-out->height >> f->log2_chroma_h);
    const int scale = 1 << (f->depth - 8), max = 256 * scale - 1, luma = !gray && rgb ? 1 : 0;
    const float share = controls->skip ? 0 : controls->strength * controls->saturation / 4;

    for (int i = 1; i < 3; i++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                const int old = get(in, luma, x << f->log2_chroma_w, y << f->log2_chroma_h);
                const int base = rgb ? recode(in, out, old) : 128 * scale, flip = (i == 1 ? 0x5a : 0xa5) * scale;
                int code = base + (int)((float)(((rgb ? base : old) ^ flip) - base) * share);
                if (controls->skip && !gray) code = get(in, rgb && i == 1 ? 0 : i, x, y);
                set(out, rgb && i == 1 ? 0 : i, x, y, code < 0 ? 0 : code > max ? max : code);
            }
    if (in->format == out->format && in->range == out->range) {        // luma bit for bit, and alpha
        for (int p = 0; p < f->planes && in->data[0] != out->data[0]; p++) {
            if (!rgb && (p == 1 || p == 2)) continue;
            if (rgb && f->planes == 1) continue;
            for (int y = 0; y < out->height && (!rgb || p == 0 || p == 3); y++)
                memcpy(out->data[p] + y * out->stride[p], in->data[p] + y * in->stride[p],
                       clz_pixfmt_row_bytes(f, p, out->width));
        }
        if (in->data[0] == out->data[0] || !rgb || f->planes > 1) return;
    }
    for (int y = 0; y < out->height; y++)
        for (int x = 0; x < out->width; x++) {
            set(out, rgb ? 1 : 0, x, y, recode(in, out, get(in, luma, x, y)));
            if (f->samples[3].step) set(out, 3, x, y, in->format->samples[3].step ? get(in, 3, x, y) : max);
        }
}

int clz_stream_send(clz_stream *s, const struct clz_frame *in, const struct clz_frame *out, const struct clz_controls *controls)
{
    int at;

    if (in->memory != out->memory || (in->memory == CLZ_MEMORY_CUDA && !s->driver.alias)) return -ENOTSUP;
    if (in->width != out->width || in->height != out->height || !clzi_pixfmt_may_become(in->format, out->format))
        return -EINVAL;
    if (s->count == 3 * s->batch + s->after) return -EAGAIN;
    s->draining = 0;
    at = (s->first + s->count++) % MAX_INSIDE;
    s->ring[at].in = *in;
    s->ring[at].out = *out;
    s->ring[at].controls = *controls;
    s->ring[at].out.opaque = in->opaque;
    s->ring[at].status = s->sent++ == s->model->fail ? -EIO : 0;
    return 0;
}

static void resolve(const struct clz_stream *s, struct clz_frame *in, struct clz_frame *out)
{
    const unsigned full = CLZ_PIXFMT_FULL | CLZ_PIXFMT_RGB;

    if (in->format->flags & full) in->range = CLZ_RANGE_FULL;
    if (!in->range) in->range = in->format->flags & CLZ_PIXFMT_GRAY ? CLZ_RANGE_FULL : CLZ_RANGE_LIMITED;
    if (s->out_range) out->range = s->out_range;
    if (out->format->flags & full) out->range = CLZ_RANGE_FULL;
    if (!out->range) out->range = in->range;
    if (!in->matrix) in->matrix = clz_matrix_guess(in->width, in->height);
    if (!out->matrix) out->matrix = in->matrix;
}

// The frame at the addresses that the CPU can access; no plane of it may be NULL.
static struct clz_frame accessible(const struct clz_stream *s, const struct clz_frame *frame)
{
    struct clz_frame f = *frame;

    for (int p = 0; p < f.format->planes; p++) {
        f.data[p] = s->driver.alias((uintptr_t)frame->data[p]);
        if (!f.data[p]) {
            fprintf(stderr, "stub: plane %d is not in CUDA memory\n", p);
            abort();
        }
    }
    return f;
}

static int colour_cuda(const struct clz_stream *s, const struct clz_frame *in, const struct clz_frame *out,
                       const struct clz_controls *controls)
{
    struct clz_frame from, to;
    void *popped;

    if (s->driver.push(s->cuda_context)) return -EIO;
    if (s->driver.synchronize(s->cuda_stream)) {
        s->driver.pop(&popped);
        return -EIO;
    }
    from = accessible(s, in);
    to = accessible(s, out);
    colour(&from, &to, controls);
    s->driver.pop(&popped);
    return 0;
}

static void run(struct clz_stream *s, int until)
{
    for (; s->done < until; s->done++) {
        int at = (s->first + s->done) % MAX_INSIDE;
        struct clz_frame *out = &s->ring[at].out;
        if (out->format == NULL || s->ring[at].status < 0) continue;
        resolve(s, &s->ring[at].in, out);
        if (out->memory == CLZ_MEMORY_CUDA)
            s->ring[at].status = colour_cuda(s, &s->ring[at].in, out, &s->ring[at].controls);
        else
            colour(&s->ring[at].in, out, &s->ring[at].controls);
        if (!out->siting) out->siting = CLZ_SITING_LEFT;
    }
}

int clz_stream_receive(clz_stream *s, struct clz_frame *frame, int wait)
{
    int status;

    if (!s->count) return s->draining ? -ENODATA : -EAGAIN;
    if (!s->done) {
        int ready = s->draining ? s->count : s->count - s->after;
        if (!s->draining && ready < (wait ? s->batch : 2 * s->batch)) return -EAGAIN;
        run(s, ready < s->batch ? ready : s->batch);
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

void clz_stream_cancel(clz_stream *s) { (void)s; }          // no call waits
int clz_stream_set_sheet(clz_stream *s, const char *path) { (void)s, (void)path; return 0; }       // reads no sheet

int clz_stream_batch(const clz_stream *s) { return s->batch; }
int clz_stream_lookahead(const clz_stream *s) { return s->batch + s->after; }
int clz_stream_max_in_flight(const clz_stream *s) { return 3 * s->batch + s->after; }
const char *clz_stream_describe(const clz_stream *s) { return s->describe; }
