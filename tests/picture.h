// picture.h - frames of their own memory in every pixel format, and their samples.
#ifndef CLZ_TEST_PICTURE_H
#define CLZ_TEST_PICTURE_H
#include <stdlib.h>

#include "engine/colorize.h"

struct picture { struct clz_frame f; uint8_t *bytes; size_t size; };

static inline size_t plane_layout(const struct clz_pixfmt *format, int width, int height, int p, int *rows)
{
    *rows = clz_pixfmt_rows(format, p, height);
    return clz_pixfmt_row_bytes(format, p, width);
}

static inline struct picture picture_padded(const char *format, int width, int height, int padding)
{
    struct picture p = { .f = { .format = clz_pixfmt_find(format), .width = width, .height = height } };
    size_t at = 0;
    int rows;

    for (int i = 0; i < p.f.format->planes; i++) p.size += (plane_layout(p.f.format, width, height, i, &rows) + padding) * rows;
    p.bytes = calloc(1, p.size);
    for (int i = 0; i < p.f.format->planes; i++) {
        p.f.stride[i] = plane_layout(p.f.format, width, height, i, &rows) + padding;
        p.f.data[i] = p.bytes + at;
        at += p.f.stride[i] * rows;
    }
    return p;
}

static inline struct picture picture_new(const char *format, int width, int height)
{
    return picture_padded(format, width, height, 0);
}

static inline void set(struct clz_frame *f, int component, int x, int y, unsigned code)
{
    const struct clz_samples *s = &f->format->samples[component];
    uint8_t *row = f->data[s->plane] + y * f->stride[s->plane];
    const unsigned v = code << (f->format->flags & CLZ_PIXFMT_MSB ? 16 - f->format->depth : 0);

    if (f->format->depth == 8) row[s->offset + x * s->step] = (uint8_t)v;
    else ((uint16_t *)row)[s->offset + x * s->step] = (uint16_t)(f->format->flags & CLZ_PIXFMT_SWAPPED ? v << 8 | v >> 8 : v);
}

// The value of a sample, whatever the byte order and the position of its bits; 0 if the format has no such component.
static inline int sample_at(const struct clz_frame *f, int component, int x, int y)
{
    const struct clz_samples *s = &f->format->samples[component];
    const uint8_t *row = f->data[s->plane] + y * f->stride[s->plane];
    uint16_t v;

    if (!s->step) return 0;
    if (f->format->depth == 8) return row[s->offset + x * s->step];
    v = ((const uint16_t *)row)[s->offset + x * s->step];
    if (f->format->flags & CLZ_PIXFMT_SWAPPED) v = (uint16_t)(v << 8 | v >> 8);
    return f->format->flags & CLZ_PIXFMT_MSB ? v >> (16 - f->format->depth) : v;
}
#endif
