// colorize_lavfi_compat.h - every difference of libavfilter's private API between FFmpeg 5.1 (lavfi 8.44) and 9.0 (12.1)
// that vf_colorize.c meets. The filter includes this header last of FFmpeg's and then uses FFmpeg's current names and the
// CZ_ macros below. Only usable inside FFmpeg's tree: the headers need its config.h.
//
// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef COLORIZE_LAVFI_COMPAT_H
#define COLORIZE_LAVFI_COMPAT_H

#include <dlfcn.h>

#include "libavcodec/avcodec.h"
#include "libavcodec/version.h"
#include "libavfilter/version.h"
#include "libavfilter/avfilter.h"
#include "libavfilter/filters.h"
#include "libavfilter/formats.h"
#include "libavfilter/video.h"

#define CZ_LAVFI_7_1 (LIBAVFILTER_VERSION_INT >= AV_VERSION_INT(10, 4, 100))
#define CZ_LAVFI_8_0 (LIBAVFILTER_VERSION_MAJOR >= 11)

// 7.1: internal.h is gone, its contents are in filters.h; a link's hw_frames_ctx has moved to a struct of its own.
#if !CZ_LAVFI_7_1
#include "libavfilter/internal.h"
typedef AVFilterLink FilterLink;
static inline FilterLink *ff_filter_link(AVFilterLink *link) { return link; }
#endif

// 8.0: FFFilter wraps AVFilter, whose public fields move to .p.
#if CZ_LAVFI_8_0
#define CZ_FILTER        FFFilter
#define CZ_PUB(field)    p.field
#else
#define CZ_FILTER        AVFilter
#define CZ_PUB(field)    field
#endif

// 7.1: format queries get the config lists as arguments. They are those of the links, which can be reached in both forms,
// so the filter uses the links: CZ_QUERY_FORMATS(query_formats) { ... ctx->inputs[0]->outcfg ... }
#if CZ_LAVFI_7_1
#define CZ_QUERY_FORMATS(name)                                                                                          \
    static int name(const AVFilterContext *ctx, av_unused AVFilterFormatsConfig **cfg_in,                               \
                    av_unused AVFilterFormatsConfig **cfg_out)
#define CZ_FILTER_QUERY(func)       FILTER_QUERY_FUNC2(func)
#else
#define CZ_QUERY_FORMATS(name)      static int name(AVFilterContext *ctx)
#define CZ_FILTER_QUERY(func)       FILTER_QUERY_FUNC(func)
#endif

// 6.0: ffmpeg gives its device (-filter_hw_device) only to filters that ask for it.
#ifdef AVFILTER_FLAG_HWDEVICE
#define CZ_FLAG_HWDEVICE AVFILTER_FLAG_HWDEVICE
#else
#define CZ_FLAG_HWDEVICE 0
#endif

// 6.1: flags in place of fields.
#ifdef AV_FRAME_FLAG_INTERLACED
static inline int cz_is_interlaced(const AVFrame *f) { return !!(f->flags & AV_FRAME_FLAG_INTERLACED); }
static inline int cz_is_top_first(const AVFrame *f) { return !!(f->flags & AV_FRAME_FLAG_TOP_FIELD_FIRST); }
#else
static inline int cz_is_interlaced(const AVFrame *f) { return f->interlaced_frame; }
static inline int cz_is_top_first(const AVFrame *f) { return f->top_field_first; }
#endif

// 7.0: the range of a link is negotiated and its frames must agree with it; before, frames say it on their own.
#if LIBAVFILTER_VERSION_MAJOR >= 10
static inline int cz_link_range(const AVFilterLink *link) { return link->color_range; }

static inline int cz_offer_range(AVFilterLink *in, AVFilterLink *out, int range)
{
    int ret = ff_formats_ref(ff_all_color_ranges(), &in->outcfg.color_ranges);

    return ret < 0 ? ret : ff_formats_ref(ff_make_formats_list_singleton(range), &out->incfg.color_ranges);
}
#else
static inline int cz_link_range(const AVFilterLink *link) { (void)link; return AVCOL_RANGE_UNSPECIFIED; }
static inline int cz_offer_range(AVFilterLink *in, AVFilterLink *out, int range) { (void)in, (void)out, (void)range; return 0; }
#endif

// The encoders of the program's libavcodec, which a libavfilter need not be linked to. 7.1: a function gives their formats.
typedef struct CZEncoders {
    const AVCodec *(*iterate)(void **);
    int (*is_encoder)(const AVCodec *);
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100)
    __typeof__(&avcodec_get_supported_config) config;
#endif
} CZEncoders;

static inline CZEncoders cz_encoders(void)
{
    CZEncoders e = {0};

    *(void **)&e.iterate    = dlsym(RTLD_DEFAULT, "av_codec_iterate");
    *(void **)&e.is_encoder = dlsym(RTLD_DEFAULT, "av_codec_is_encoder");
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100)
    *(void **)&e.config     = dlsym(RTLD_DEFAULT, "avcodec_get_supported_config");
#endif
    return e;
}

static inline const AVCodec *cz_next_encoder(const CZEncoders *e, void **position)
{
    const AVCodec *codec = NULL;

    while (e->iterate && e->is_encoder && (codec = e->iterate(position)) && !e->is_encoder(codec))
        ;
    return codec;
}

// NULL: no list, it takes what it is given, or it is no video encoder.
static inline const enum AVPixelFormat *cz_encoder_formats(const CZEncoders *e, const AVCodec *codec)
{
#if LIBAVCODEC_VERSION_INT >= AV_VERSION_INT(61, 13, 100)
    const void *list = NULL;

    if (codec->type != AVMEDIA_TYPE_VIDEO || !e->config ||
        e->config(NULL, codec, AV_CODEC_CONFIG_PIX_FORMAT, 0, &list, NULL) < 0) return NULL;
    return list;
#else
    (void)e;
    return codec->type == AVMEDIA_TYPE_VIDEO ? codec->pix_fmts : NULL;
#endif
}

#endif
