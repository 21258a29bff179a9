// colorize_lavfi_compat.h - every difference of libavfilter's private API between FFmpeg 5.1 (lavfi 8.44) and 9.0 (12.1)
// that vf_colorize.c meets. The filter includes this header last of FFmpeg's and then uses FFmpeg's current names and the
// CZ_ macros below. Only usable inside FFmpeg's tree: the headers need its config.h.
//
// SPDX-License-Identifier: LGPL-2.1-or-later
#ifndef COLORIZE_LAVFI_COMPAT_H
#define COLORIZE_LAVFI_COMPAT_H

#include "libavfilter/version.h"
#include "libavfilter/avfilter.h"
#include "libavfilter/filters.h"
#include "libavfilter/formats.h"
#include "libavfilter/video.h"

#define CZ_LAVFI_7_1 (LIBAVFILTER_VERSION_INT >= AV_VERSION_INT(10, 4, 100))
#define CZ_LAVFI_8_0 (LIBAVFILTER_VERSION_MAJOR >= 11)

// 7.1: internal.h is gone, its contents are in filters.h.
#if !CZ_LAVFI_7_1
#include "libavfilter/internal.h"
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

// 7.0: the range of a link is negotiated and its frames must agree with it; before, frames say it on their own.
#if LIBAVFILTER_VERSION_MAJOR >= 10
static inline int cz_link_range(const AVFilterLink *link) { return link->color_range; }
#else
static inline int cz_link_range(const AVFilterLink *link) { (void)link; return AVCOL_RANGE_UNSPECIFIED; }
#endif

#endif
