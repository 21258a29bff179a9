// pixfmt.c - the table of pixel formats. To add a format, add a row: the filter and the GStreamer element build their format
// lists from this table.
#include <string.h>

#include "pixfmt.h"

// Formats with samples of more than 8 bits are listed in both byte orders. For the machine's own, the name is FFmpeg's without
// the suffix le or be.
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define OTHER "le"
#define GST_OWN "BE"
#define GST_OTHER "LE"
#else
#define OTHER "be"
#define GST_OWN "LE"
#define GST_OTHER "BE"
#endif

// Positions of the samples of Y, U, V, A or of R, G, B, A: { plane, step, offset }.
#define ONE             { { 0, 1, 0 } }
#define PLANAR          { { 0, 1, 0 }, { 1, 1, 0 }, { 2, 1, 0 } }
#define PLANAR_ALPHA    { { 0, 1, 0 }, { 1, 1, 0 }, { 2, 1, 0 }, { 3, 1, 0 } }
#define GBR             { { 2, 1, 0 }, { 0, 1, 0 }, { 1, 1, 0 } }
#define GBR_ALPHA       { { 2, 1, 0 }, { 0, 1, 0 }, { 1, 1, 0 }, { 3, 1, 0 } }
#define SEMIPLANAR      { { 0, 1, 0 }, { 1, 2, 0 }, { 1, 2, 1 } }
#define GRAY_ALPHA      { { 0, 2, 0 }, { 0 }, { 0 }, { 0, 2, 1 } }
#define PACKED3(r, g, b)        { { 0, 3, r }, { 0, 3, g }, { 0, 3, b } }
#define PACKED4(r, g, b, a)     { { 0, 4, r }, { 0, 4, g }, { 0, 4, b }, { 0, 4, a } }

// Two rows, one for each byte order. name and gst are FFmpeg's and GStreamer's names without the suffix of the byte order;
// BOTH_AV: GStreamer has no such format.
#define BOTH(name, gst, ...)        { name, gst GST_OWN, __VA_ARGS__ }, { name OTHER, gst GST_OTHER, SWAPPED(__VA_ARGS__) }
#define BOTH_AV(name, ...)          { name, NULL, __VA_ARGS__ }, { name OTHER, NULL, SWAPPED(__VA_ARGS__) }
#define SWAPPED(...)                SWAPPED_(__VA_ARGS__)
#define SWAPPED_(planes, depth, w, h, flags, out, ...)  planes, depth, w, h, (flags) | CLZ_PIXFMT_SWAPPED, out, __VA_ARGS__

#define GRAY    CLZ_PIXFMT_GRAY
#define RGB     CLZ_PIXFMT_RGB
#define ALPHA   CLZ_PIXFMT_ALPHA
#define FULL    CLZ_PIXFMT_FULL
#define MSB     CLZ_PIXFMT_MSB

static const struct clz_pixfmt formats[] = {
    // name          GStreamer     planes, depth, log2 of w, h, flags, out, samples
    { "gray",        "GRAY8",       1, 8,  0, 0, GRAY,         "yuv444p",    ONE },
    BOTH_AV("gray9",                1, 9,  0, 0, GRAY,         "yuv444p9",   ONE),
    BOTH_AV("gray10",               1, 10, 0, 0, GRAY,         "yuv444p10",  ONE),
    BOTH_AV("gray12",               1, 12, 0, 0, GRAY,         "yuv444p12",  ONE),
    BOTH_AV("gray14",               1, 14, 0, 0, GRAY,         "yuv444p14",  ONE),
    BOTH("gray16",   "GRAY16_",     1, 16, 0, 0, GRAY,         "yuv444p16",  ONE),
    { "ya8",         NULL,          1, 8,  0, 0, GRAY | ALPHA, "yuva444p",   GRAY_ALPHA },
    BOTH_AV("ya16",                 1, 16, 0, 0, GRAY | ALPHA, "yuva444p16", GRAY_ALPHA),

    { "yuv420p",     "I420",        3, 8,  1, 1, 0,            NULL,         PLANAR },
    { "yuv422p",     "Y42B",        3, 8,  1, 0, 0,            NULL,         PLANAR },
    { "yuv444p",     "Y444",        3, 8,  0, 0, 0,            NULL,         PLANAR },
    BOTH_AV("yuv420p9",             3, 9,  1, 1, 0,            NULL,         PLANAR),
    BOTH_AV("yuv422p9",             3, 9,  1, 0, 0,            NULL,         PLANAR),
    BOTH_AV("yuv444p9",             3, 9,  0, 0, 0,            NULL,         PLANAR),
    BOTH("yuv420p10", "I420_10",    3, 10, 1, 1, 0,            NULL,         PLANAR),
    BOTH("yuv422p10", "I422_10",    3, 10, 1, 0, 0,            NULL,         PLANAR),
    BOTH("yuv444p10", "Y444_10",    3, 10, 0, 0, 0,            NULL,         PLANAR),
    BOTH("yuv420p12", "I420_12",    3, 12, 1, 1, 0,            NULL,         PLANAR),
    BOTH("yuv422p12", "I422_12",    3, 12, 1, 0, 0,            NULL,         PLANAR),
    BOTH("yuv444p12", "Y444_12",    3, 12, 0, 0, 0,            NULL,         PLANAR),
    BOTH_AV("yuv420p14",            3, 14, 1, 1, 0,            NULL,         PLANAR),
    BOTH_AV("yuv422p14",            3, 14, 1, 0, 0,            NULL,         PLANAR),
    BOTH_AV("yuv444p14",            3, 14, 0, 0, 0,            NULL,         PLANAR),
    BOTH_AV("yuv420p16",            3, 16, 1, 1, 0,            NULL,         PLANAR),
    BOTH_AV("yuv422p16",            3, 16, 1, 0, 0,            NULL,         PLANAR),
    BOTH("yuv444p16", "Y444_16",    3, 16, 0, 0, 0,            NULL,         PLANAR),
    { "yuvj420p",    NULL,          3, 8,  1, 1, FULL,         NULL,         PLANAR },
    { "yuvj422p",    NULL,          3, 8,  1, 0, FULL,         NULL,         PLANAR },
    { "yuvj444p",    NULL,          3, 8,  0, 0, FULL,         NULL,         PLANAR },
    { "nv12",        "NV12",        2, 8,  1, 1, 0,            NULL,         SEMIPLANAR },
    BOTH("p010",     "P010_10",     2, 10, 1, 1, MSB,          NULL,         SEMIPLANAR),
    BOTH("p016",     "P016_",       2, 16, 1, 1, MSB,          NULL,         SEMIPLANAR),

    { "yuva420p",    "A420",        4, 8,  1, 1, ALPHA,        NULL,         PLANAR_ALPHA },
    { "yuva422p",    NULL,          4, 8,  1, 0, ALPHA,        NULL,         PLANAR_ALPHA },
    { "yuva444p",    NULL,          4, 8,  0, 0, ALPHA,        NULL,         PLANAR_ALPHA },
    BOTH_AV("yuva420p9",            4, 9,  1, 1, ALPHA,        NULL,         PLANAR_ALPHA),
    BOTH_AV("yuva422p9",            4, 9,  1, 0, ALPHA,        NULL,         PLANAR_ALPHA),
    BOTH_AV("yuva444p9",            4, 9,  0, 0, ALPHA,        NULL,         PLANAR_ALPHA),
    BOTH("yuva420p10", "A420_10",   4, 10, 1, 1, ALPHA,        NULL,         PLANAR_ALPHA),
    BOTH("yuva422p10", "A422_10",   4, 10, 1, 0, ALPHA,        NULL,         PLANAR_ALPHA),
    BOTH("yuva444p10", "A444_10",   4, 10, 0, 0, ALPHA,        NULL,         PLANAR_ALPHA),
    BOTH_AV("yuva422p12",           4, 12, 1, 0, ALPHA,        NULL,         PLANAR_ALPHA),
    BOTH_AV("yuva444p12",           4, 12, 0, 0, ALPHA,        NULL,         PLANAR_ALPHA),
    BOTH_AV("yuva420p16",           4, 16, 1, 1, ALPHA,        NULL,         PLANAR_ALPHA),
    BOTH_AV("yuva422p16",           4, 16, 1, 0, ALPHA,        NULL,         PLANAR_ALPHA),
    BOTH_AV("yuva444p16",           4, 16, 0, 0, ALPHA,        NULL,         PLANAR_ALPHA),

    { "gbrp",        "GBR",         3, 8,  0, 0, RGB,          NULL,         GBR },
    BOTH_AV("gbrp9",                3, 9,  0, 0, RGB,          NULL,         GBR),
    BOTH("gbrp10",   "GBR_10",      3, 10, 0, 0, RGB,          NULL,         GBR),
    BOTH("gbrp12",   "GBR_12",      3, 12, 0, 0, RGB,          NULL,         GBR),
    BOTH_AV("gbrp14",               3, 14, 0, 0, RGB,          NULL,         GBR),
    BOTH_AV("gbrp16",               3, 16, 0, 0, RGB,          NULL,         GBR),
    { "gbrap",       "GBRA",        4, 8,  0, 0, RGB | ALPHA,  NULL,         GBR_ALPHA },
    BOTH("gbrap10",  "GBRA_10",     4, 10, 0, 0, RGB | ALPHA,  NULL,         GBR_ALPHA),
    BOTH("gbrap12",  "GBRA_12",     4, 12, 0, 0, RGB | ALPHA,  NULL,         GBR_ALPHA),
    BOTH_AV("gbrap16",              4, 16, 0, 0, RGB | ALPHA,  NULL,         GBR_ALPHA),
    { "rgb24",       "RGB",         1, 8,  0, 0, RGB,          NULL,         PACKED3(0, 1, 2) },
    { "bgr24",       "BGR",         1, 8,  0, 0, RGB,          NULL,         PACKED3(2, 1, 0) },
    BOTH_AV("rgb48",                1, 16, 0, 0, RGB,          NULL,         PACKED3(0, 1, 2)),
    BOTH_AV("bgr48",                1, 16, 0, 0, RGB,          NULL,         PACKED3(2, 1, 0)),
    { "rgba",        "RGBA",        1, 8,  0, 0, RGB | ALPHA,  NULL,         PACKED4(0, 1, 2, 3) },
    { "bgra",        "BGRA",        1, 8,  0, 0, RGB | ALPHA,  NULL,         PACKED4(2, 1, 0, 3) },
    { "argb",        "ARGB",        1, 8,  0, 0, RGB | ALPHA,  NULL,         PACKED4(1, 2, 3, 0) },
    { "abgr",        "ABGR",        1, 8,  0, 0, RGB | ALPHA,  NULL,         PACKED4(3, 2, 1, 0) },
    { "rgb0",        "RGBx",        1, 8,  0, 0, RGB,          NULL,         PACKED4(0, 1, 2, 3) },
    { "bgr0",        "BGRx",        1, 8,  0, 0, RGB,          NULL,         PACKED4(2, 1, 0, 3) },
    { "0rgb",        "xRGB",        1, 8,  0, 0, RGB,          NULL,         PACKED4(1, 2, 3, 0) },
    { "0bgr",        "xBGR",        1, 8,  0, 0, RGB,          NULL,         PACKED4(3, 2, 1, 0) },
    BOTH("rgba64",   "RGBA64_",     1, 16, 0, 0, RGB | ALPHA,  NULL,         PACKED4(0, 1, 2, 3)),
    BOTH("bgra64",   "BGRA64_",     1, 16, 0, 0, RGB | ALPHA,  NULL,         PACKED4(2, 1, 0, 3)),
    { .name = NULL },
};

const struct clz_pixfmt *clz_pixfmt_list(void)
{
    return formats;
}

const struct clz_pixfmt *clz_pixfmt_find(const char *name)
{
    for (const struct clz_pixfmt *f = formats; name && f->name; f++)
        if (!strcmp(f->name, name)) return f;
    return NULL;
}

static bool is_chroma(const struct clz_pixfmt *f, int plane)
{
    return !(f->flags & (CLZ_PIXFMT_RGB | CLZ_PIXFMT_GRAY)) && (plane == 1 || plane == 2);
}

size_t clz_pixfmt_row_bytes(const struct clz_pixfmt *f, int plane, int width)
{
    const int samples = is_chroma(f, plane) ? -(-width >> f->log2_chroma_w) : width;
    int step = 0;

    for (int i = 0; i < 4; i++)
        if (f->samples[i].step && f->samples[i].plane == plane) step = f->samples[i].step;
    return (size_t)samples * step * (f->depth > 8 ? 2 : 1);
}

int clz_pixfmt_rows(const struct clz_pixfmt *f, int plane, int height)
{
    return is_chroma(f, plane) ? -(-height >> f->log2_chroma_h) : height;
}

bool clzi_pixfmt_may_become(const struct clz_pixfmt *in, const struct clz_pixfmt *out)
{
    if (out->flags & CLZ_PIXFMT_GRAY || in->depth != out->depth) return false;
    if (in->flags & CLZ_PIXFMT_GRAY || in == out) return true;
    return (in->flags ^ out->flags) == CLZ_PIXFMT_FULL && in->planes == out->planes &&
           in->log2_chroma_w == out->log2_chroma_w && in->log2_chroma_h == out->log2_chroma_h;
}

bool clzi_pixfmt_same_luma(const struct clz_pixfmt *a, const struct clz_pixfmt *b)
{
    const unsigned order = a->depth > 8 ? CLZ_PIXFMT_SWAPPED : 0, place = a->depth < 16 ? CLZ_PIXFMT_MSB : 0;

    return a->samples[0].step == b->samples[0].step && a->samples[0].offset == b->samples[0].offset &&
           !((a->flags ^ b->flags) & (CLZ_PIXFMT_RGB | order | place));
}

// The rule that players apply to films without a matrix tag: mpv's mp_csp_guess_colorspace assumes BT.709 from a width of 1280 or
// a height above 576. Here the longer and the shorter side are compared, so that rotating a picture does not change its matrix.
enum clz_matrix clz_matrix_guess(int width, int height)
{
    const int longer = width > height ? width : height, shorter = width > height ? height : width;

    return longer >= 1280 || shorter > 576 ? CLZ_MATRIX_709 : CLZ_MATRIX_601;
}

static struct clzk_luma_weights luma_weights(enum clz_matrix matrix)
{
    static const struct clzk_luma_weights known[] = {
        [CLZ_MATRIX_UNSPECIFIED] = CLZK_LUMA_709, [CLZ_MATRIX_601] = CLZK_LUMA_601, [CLZ_MATRIX_709] = CLZK_LUMA_709,
        [CLZ_MATRIX_2020] = CLZK_LUMA_2020
    };
    return known[matrix];
}

struct clzk_colour_space clzi_colour_space(const struct clz_frame *f)
{
    static const enum clzk_transfer transfers[] = {
        [CLZ_TRANSFER_UNSPECIFIED] = CLZK_TRANSFER_SDR, [CLZ_TRANSFER_SDR] = CLZK_TRANSFER_SDR,
        [CLZ_TRANSFER_PQ] = CLZK_TRANSFER_PQ, [CLZ_TRANSFER_HLG] = CLZK_TRANSFER_HLG
    };
    return (struct clzk_colour_space){ luma_weights(f->matrix), f->matrix == CLZ_MATRIX_2020, transfers[f->transfer] };
}

struct clzk_picture clzi_picture(const struct clz_frame *f)
{
    const struct clz_pixfmt *p = f->format;
    const int bytes = p->depth > 8 ? 2 : 1;
    struct clzk_picture picture = {
        .width = f->width, .height = f->height, .depth = p->depth, .log2_w = p->log2_chroma_w, .log2_h = p->log2_chroma_h,
        .shift = p->flags & CLZ_PIXFMT_MSB ? 16 - p->depth : 0, .swapped = p->flags & CLZ_PIXFMT_SWAPPED,
        .rgb = p->flags & CLZ_PIXFMT_RGB, .gray = p->flags & CLZ_PIXFMT_GRAY, .full = f->range == CLZ_RANGE_FULL,
        .cosited_x = f->siting != CLZ_SITING_CENTER, .cosited_y = f->siting == CLZ_SITING_TOPLEFT,
        .weights = luma_weights(f->matrix),
    };

    for (int i = 0; i < 4; i++) {
        const struct clz_samples *s = &p->samples[i];
        if (!s->step) continue;
        picture.c[i] = (struct clzk_samples){ f->data[s->plane] ? f->data[s->plane] + s->offset * bytes : NULL,
                                              f->stride[s->plane], s->step };
    }
    return picture;
}
