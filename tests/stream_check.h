// stream_check.h - the same frames through a stream of a device and of "ref", and how far apart the results may be. For programs
// that include check.h.
#ifndef STREAM_CHECK_H
#define STREAM_CHECK_H
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "check.h"
#include "engine/colorize.h"
#include "tiny_model.h"

// bars: the option; "auto" paints bars of 8 rows above and below. fields: not NONE: the rows of each frame show two times.
struct stream_check_film {
    const char *from, *to;
    int width, height;
    enum clz_range range;
    const char *bars;
    enum clz_fields fields;
};

// Where the frames lie; NULL: in host memory.
struct stream_check_memory {
    void *context, *stream;                 // for clz_stream_params
    void *(*alloc)(size_t size);
    void (*free)(void *p);
    void (*copy)(void *to, const void *from, size_t size, bool to_device);
};

static const struct stream_check_film stream_check_films[] = {
    { "yuv420p", "yuv420p", 130, 90, 0, "8/8/0/0", 0 }, { "gray", "yuv444p", 101, 67, 0, "8/8/0/0", 0 },
    { "nv12", "nv12", 128, 64, 0, "8/8/0/0", 0 }, { "yuv422p10", "yuv422p10", 98, 70, 0, "8/8/0/0", 0 },
    { "p010", "p010", 96, 66, 0, "8/8/0/0", 0 }, { "gray", "yuv420p", 96, 64, CLZ_RANGE_LIMITED, "8/8/0/0", 0 },
    { "gray16", "gbrp16", 90, 60, 0, "8/8/0/0", 0 }, { "gbrp", "gbrp", 96, 64, 0, "8/8/0/0", 0 },
    { "nv12", "nv12", 120, 72, 0, "auto", 0 }, { "yuv420p10", "yuv420p10", 98, 66, 0, "auto", 0 },
};

// In host memory only.
static const struct stream_check_film stream_check_interlaced[] = {
    { "yuv420p", "yuv420p", 130, 96, 0, "8/8/0/0", CLZ_FIELDS_TOP_FIRST },
    { "gray", "yuv420p", 98, 64, 0, "6/5/0/0", CLZ_FIELDS_BOTTOM_FIRST },
    { "p010", "p010", 96, 68, 0, "off", CLZ_FIELDS_TOP_FIRST },
    { "gbrp", "gbrp", 96, 66, 0, "off", CLZ_FIELDS_BOTTOM_FIRST },
};

enum { STREAM_CHECK_FRAMES = 7, STREAM_CHECK_BYTES = 160 * 96 * 4 * 2 };
struct stream_check_picture { struct clz_frame f; uint8_t *bytes; };

static inline struct stream_check_picture stream_check_paint(const char *format, int width, int height, int number, int bar)
{
    struct stream_check_picture p = {
        .f = { .format = clz_pixfmt_find(format), .width = width, .height = height }, .bytes = malloc(STREAM_CHECK_BYTES)
    };
    uint32_t seed = (uint32_t)number * 77 + 5;
    size_t at = 0;

    for (size_t i = 0; i < STREAM_CHECK_BYTES; i++) {
        seed = seed * 1664525u + 1013904223u;
        p.bytes[i] = (uint8_t)(seed >> 25);             // 0..127: in 16-bit samples of any depth up to 15 and more
    }
    for (int i = 0; i < p.f.format->planes; i++) {
        p.f.stride[i] = clz_pixfmt_row_bytes(p.f.format, i, width) + 6;
        p.f.data[i] = p.bytes + at;
        at += p.f.stride[i] * clz_pixfmt_rows(p.f.format, i, height);
    }
    // luma: a picture with areas and edges, within the depth
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const int picture = 40 + 90 * (x / 23 % 2) + 40 * (y / 17 % 2) + number * 3 + (x + y) % 5, depth = p.f.format->depth;
            const int code = y < bar || y >= height - bar ? 16 : picture;
            uint8_t *row = p.f.data[0] + y * p.f.stride[0];
            if (depth == 8) row[x] = (uint8_t)code;
            else ((uint16_t *)row)[x] = (uint16_t)(code << (depth - 8) << (p.f.format->flags & CLZ_PIXFMT_MSB ? 16 - depth : 0));
        }
    return p;
}

// The picture in another memory; p's own memory stays as it is.
static inline struct stream_check_picture stream_check_move(const struct stream_check_picture *p,
                                                            const struct stream_check_memory *memory)
{
    struct stream_check_picture q = *p;

    q.bytes = memory->alloc(STREAM_CHECK_BYTES);
    REQUIRE(q.bytes != NULL);
    memory->copy(q.bytes, p->bytes, STREAM_CHECK_BYTES, true);
    q.f.memory = CLZ_MEMORY_CUDA;
    for (int i = 0; i < p->f.format->planes; i++) q.f.data[i] = q.bytes + (p->f.data[i] - p->bytes);
    return q;
}

// Shifts the odd rows of luma or R'G'B', so that they do not fit to the even ones.
static inline void stream_check_comb(struct clz_frame *f)
{
    for (int i = 0; i < (f->format->flags & CLZ_PIXFMT_RGB ? 3 : 1); i++)
        for (int y = 1; y < f->height; y += 2) {
            uint8_t *row = f->data[i] + y * f->stride[i];
            const size_t bytes = clz_pixfmt_row_bytes(f->format, i, f->width), shift = bytes / 16 * 2;
            memmove(row + shift, row, bytes - shift);
        }
}

static inline void stream_check_message(void *priv, enum clz_log_level level, const char *text)
{
    (void)priv, (void)level;
    printf("  %s\n", text);
}

static inline void stream_check_colour(const char *device, enum clz_precision precision, const struct stream_check_film *film,
                                       const struct stream_check_memory *memory,
                                       struct stream_check_picture out[STREAM_CHECK_FRAMES])
{
    const struct clz_stream_params params = {
        .device = device, .precision = precision, .batch = 3, .threads = 1, .out_range = film->range, .bars = film->bars,
        .cuda_context = memory ? memory->context : NULL, .cuda_stream = memory ? memory->stream : NULL,
        .log = { stream_check_message, NULL, CLZ_LOG_WARNING },
    };
    const int bar = strcmp(film->bars, "auto") ? 0 : 8;
    struct stream_check_picture in[STREAM_CHECK_FRAMES], to[STREAM_CHECK_FRAMES];
    char path[512];
    const int fd = mkstemp(check_temporary(path, "cuda"));
    clz_model *model = NULL;
    clz_stream *stream = NULL;
    struct clz_frame done;
    int received = 0;

    REQUIRE_INT(tiny_model_write(path), 0);
    REQUIRE_INT(clz_model_open(&model, path, NULL), 0);
    REQUIRE_INT(clz_stream_open(&stream, model, &params), 0);
    for (int i = 0; i < STREAM_CHECK_FRAMES; i++) {
        in[i] = stream_check_paint(film->from, film->width, film->height, i, bar);
        if (film->fields) stream_check_comb(&in[i].f);
        in[i].f.fields = film->fields;
        to[i] = out[i] = stream_check_paint(film->to, film->width, film->height, 100, 0);
        if (memory) {
            struct stream_check_picture host = in[i];
            in[i] = stream_check_move(&host, memory);
            to[i] = stream_check_move(&out[i], memory);
            free(host.bytes);
        }
        REQUIRE_INT(clz_stream_send(stream, &in[i].f, &to[i].f, NULL), 0);
        while (clz_stream_receive(stream, &done, 0) == 0) received++;
    }
    clz_stream_drain(stream);
    while (clz_stream_receive(stream, &done, 1) == 0) received++;
    REQUIRE_INT(received, STREAM_CHECK_FRAMES);
    clz_stream_close(&stream);
    clz_model_close(&model);
    for (int i = 0; i < STREAM_CHECK_FRAMES; i++) {
        if (!memory) {
            free(in[i].bytes);
            continue;
        }
        memory->copy(out[i].bytes, to[i].bytes, STREAM_CHECK_BYTES, false);
        memory->free(in[i].bytes);
        memory->free(to[i].bytes);
    }
    remove(path);
    close(fd);
}

// Luma and alpha equal; chroma within one code on 99.9 % of the samples and `most` everywhere.
static inline void stream_check_compare(const struct stream_check_picture *got, const struct stream_check_picture *want, int most)
{
    const struct clz_pixfmt *format = want->f.format;
    int64_t samples = 0, beyond = 0, wrong = 0;

    for (int p = 0; p < format->planes; p++)
        for (int y = 0; y < clz_pixfmt_rows(format, p, want->f.height); y++) {
            const uint8_t *a = got->f.data[p] + y * got->f.stride[p], *b = want->f.data[p] + y * want->f.stride[p];
            const int bytes = (int)clz_pixfmt_row_bytes(format, p, want->f.width), size = format->depth == 8 ? 1 : 2;
            const bool rgb = format->flags & CLZ_PIXFMT_RGB, luma = !rgb && p == format->samples[0].plane;
            REQUIRE(a[bytes] == b[bytes]);  // nothing was written past the row
            for (int x = 0; x + size <= bytes; x += size) {
                const int shift = format->flags & CLZ_PIXFMT_MSB ? 16 - format->depth : 0;
                const int one = size == 1 ? a[x] : *(const uint16_t *)(a + x) >> shift;
                const int two = size == 1 ? b[x] : *(const uint16_t *)(b + x) >> shift;
                const int difference = abs(one - two);
                samples++;
                beyond += difference > (luma ? 0 : 1 << (format->depth > 10 ? format->depth - 10 : 0));
                wrong += luma ? difference != 0 : difference > most << (format->depth - 8);
            }
        }
    REQUIRE_INT(wrong, 0);
    REQUIRE(beyond * 1000 <= samples);
}

static inline void stream_check(const struct stream_check_film *film, const char *device, enum clz_precision precision,
                                const struct stream_check_memory *memory)
{
    struct stream_check_picture got[STREAM_CHECK_FRAMES], want[STREAM_CHECK_FRAMES];

    if (!clz_pixfmt_find(film->from) || !clz_pixfmt_find(film->to)) return;
    stream_check_colour("ref", CLZ_PRECISION_F32, film, NULL, want);
    stream_check_colour(device, precision, film, memory, got);
    for (int k = 0; k < STREAM_CHECK_FRAMES; k++) {
        stream_check_compare(&got[k], &want[k], 3);
        free(got[k].bytes);
        free(want[k].bytes);
    }
}
#endif
