// pixfmt.c - the table of pixel formats. One row more is one format more: the filter and the element build their lists from it.
#include <string.h>

#include "colorize.h"

static const struct clz_pixfmt formats[] = {
    // name          GStreamer       planes depth  w  h  flags                                       out
    { "gray",        "GRAY8",        1,  8,  0, 0, CLZ_PIXFMT_GRAY,                              "yuv444p" },
    { "gray10",      NULL,           1, 10,  0, 0, CLZ_PIXFMT_GRAY,                              "yuv444p10" },
    { "gray12",      NULL,           1, 12,  0, 0, CLZ_PIXFMT_GRAY,                              "yuv444p12" },
    { "gray16",      "GRAY16_LE",    1, 16,  0, 0, CLZ_PIXFMT_GRAY,                              "yuv444p16" },
    { "yuv420p",     "I420",         3,  8,  1, 1, 0,                                            NULL },
    { "yuv422p",     "Y42B",         3,  8,  1, 0, 0,                                            NULL },
    { "yuv444p",     "Y444",         3,  8,  0, 0, 0,                                            NULL },
    { "yuv420p10",   "I420_10LE",    3, 10,  1, 1, 0,                                            NULL },
    { "yuv422p10",   "I422_10LE",    3, 10,  1, 0, 0,                                            NULL },
    { "yuv444p10",   "Y444_10LE",    3, 10,  0, 0, 0,                                            NULL },
    { "yuv420p12",   "I420_12LE",    3, 12,  1, 1, 0,                                            NULL },
    { "yuv422p12",   "I422_12LE",    3, 12,  1, 0, 0,                                            NULL },
    { "yuv444p12",   "Y444_12LE",    3, 12,  0, 0, 0,                                            NULL },
    { "yuv420p16",   NULL,           3, 16,  1, 1, 0,                                            NULL },
    { "yuv422p16",   NULL,           3, 16,  1, 0, 0,                                            NULL },
    { "yuv444p16",   "Y444_16LE",    3, 16,  0, 0, 0,                                            NULL },
    { "yuvj420p",    NULL,           3,  8,  1, 1, CLZ_PIXFMT_FULL,                              NULL },
    { "yuvj422p",    NULL,           3,  8,  1, 0, CLZ_PIXFMT_FULL,                              NULL },
    { "yuvj444p",    NULL,           3,  8,  0, 0, CLZ_PIXFMT_FULL,                              NULL },
    { "nv12",        "NV12",         2,  8,  1, 1, CLZ_PIXFMT_SEMIPLANAR,                        NULL },
    { "p010",        "P010_10LE",    2, 10,  1, 1, CLZ_PIXFMT_SEMIPLANAR | CLZ_PIXFMT_MSB,       NULL },
    { "p016",        "P016_LE",      2, 16,  1, 1, CLZ_PIXFMT_SEMIPLANAR | CLZ_PIXFMT_MSB,       NULL },
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
