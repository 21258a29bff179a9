// vf_colorize.c - FFmpeg's filter `colorize`, extended: with the option `model` it colours black-and-white film through
// libcolorize; without `model` it behaves exactly like FFmpeg's own solid-colour filter.
//
// build-lavfi.sh puts this file in the place of libavfilter/vf_colorize.c, renames FFmpeg's file to vf_colorize_stock.c, and
// this file includes it, so no line of FFmpeg changes. The engine is loaded with dlopen, so that ffmpeg starts without it.
//
// Data flow: the filter sends each input frame to the engine's stream together with an output frame. The output frame is the
// input frame itself if that is writable and keeps its format (luma is then not copied), else a new frame (gray input, shared
// frames). The filter receives the coloured frames in order and passes them on. It waits for the engine only when the stream is
// full or the film has ended, so decoding, colouring and encoding overlap although ffmpeg 5.1 runs all filters in one thread.
// The exception is batch=1 if the user gives it: the filter then waits for each frame and holds none, so that no frame is lost
// when ffmpeg rebuilds its filter graph in the middle of the film. With the default batch=0 the filter holds frames, even if the
// device chooses batches of one frame.
//
// CUDA frames (AV_PIX_FMT_CUDA): the filter copies each input frame to a frame of its own pool and frees the input frame at once.
// The engine then colours the copy in place. It needs the planes until the frame is received, which can be three batches later,
// and NVDEC of FFmpeg 5.1 hands out its decoder surfaces, of which it has only 2 to 5 more than the film's reference frames: a
// filter that held them would stop the decoder ("No decoder surfaces left"). The copy is queued on the AVCUDADeviceContext's
// stream, which orders it before the engine's work and before the next use of the surface. The filter calls no CUDA function
// itself: libavutil and the engine make the context of the AVCUDADeviceContext current for theirs, and then restore the previous.
//
// SPDX-License-Identifier: LGPL-2.1-or-later
#include <dlfcn.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "libavutil/avstring.h"
#include "libavutil/bprint.h"
#include "libavutil/cpu.h"
#include "libavutil/eval.h"
#include "libavutil/frame.h"
#include "libavutil/hwcontext.h"
#include "libavutil/imgutils.h"
#include "libavutil/mem.h"
#include "libavutil/opt.h"
#include "libavutil/pixdesc.h"

// Of CUDA's headers hwcontext_cuda.h needs these two types only.
#ifndef CUDA_VERSION
#define CUDA_VERSION 0
typedef struct CUctx_st    *CUcontext;
typedef struct CUstream_st *CUstream;
#endif
#include "libavutil/hwcontext_cuda.h"

#include "colorize_lavfi_compat.h"
#include "colorize.h"
#include "colorize_path.h"          // COLORIZE_LIBRARY_FILE, written by build-lavfi.sh

// FFmpeg's own filter, under another symbol. Used below: ColorizeContext, pixel_fmts, config_input(), filter_frame().
#define ff_vf_colorize ff_vf_colorize_stock
#include "libavfilter/vf_colorize_stock.c"
#undef ff_vf_colorize

// ---- the engine ----

#define ENGINE_SONAME "libcolorize.so.0"

#define ENGINE_FUNCTIONS(X)                                                                                             \
    X(abi_version) X(version) X(pixfmt_list) X(model_open) X(model_close) X(stream_open) X(stream_close) X(stream_send) \
    X(stream_receive) X(stream_drain) X(stream_flush) X(stream_describe) X(stream_set_sheet)

typedef struct Engine {
    void *library;
#define X(name) __typeof__(&clz_##name) name;
    ENGINE_FUNCTIONS(X)
#undef X
} Engine;

static const struct { const char *name; size_t at; } engine_functions[] = {
#define X(name) { "clz_" #name, offsetof(Engine, name) },
    ENGINE_FUNCTIONS(X)
#undef X
};

#define MAX_JOBS 256                // more than a stream holds: before that, stream_send() returns -EAGAIN

// A frame that was sent to the engine and not yet received.
typedef struct Job {
    AVFrame *in, *out;              // in: NULL if out is the input frame itself
    int untouched;                  // the filter is disabled for this frame (enable=): it keeps its colour and tags
    int gray;                       // the input frame was gray
} Job;

typedef struct CZContext {
    ColorizeContext stock;          // must be first: the stock code casts ctx->priv to it, and it starts with the AVClass
    struct {
#define MODEL(name, help) char *name;
#define STRING(name, initial, help) char *name;
#define STRING_AS(name, field, initial, help) char *field;
#define FILTER_STRING STRING
#define INT(name, initial, min, max, help) int name;
#define ENUM(name, last, help, values) int name;
#define FLOAT(name, initial, max, help) float name;
#define STOCK_FLOAT FLOAT           // NAN: not given
#include "options.def"
    } option;

    Engine engine;
    clz_model *model;               // NULL: solid colour
    clz_stream *stream;             // NULL until the input link is configured
    AVBufferRef *cuda_device;       // AVHWDeviceContext of the frames, which the stream uses too; NULL: frames in host memory
    const struct clz_pixfmt *in_format, *out_format;    // the negotiated formats of the two links; CUDA frames: their sw_format
    enum clz_range gray_range;      // the output range for gray film of full range, see "levels" below
    int converted;                  // the next filter accepts no format of the gray film's depth: ffmpeg inserts a scaler
    Job jobs[MAX_JOBS];             // ring buffer of the frames in the engine; the oldest is jobs[first]
    int first, count;
    int described;                  // the stream's description was logged
    int failed;                     // the first error of a frame, 0: none; see activate()
} CZContext;

static void engine_close(Engine *e)
{
    if (e->library) dlclose(e->library);
    memset(e, 0, sizeof(*e));
}

// Opens the library `asked`, or the one that COLORIZE_LIBRARY names, and no other; if neither is given, the first of files[]
// that the loader finds.
static int engine_open(AVFilterContext *ctx, Engine *e, const char *asked)
{
    const char *files[] = { ENGINE_SONAME, COLORIZE_LIBRARY_FILE };
    int abi;

    if (!asked || !*asked) asked = getenv("COLORIZE_LIBRARY");
    if (asked && *asked) files[0] = files[1] = asked;

    for (int i = 0; i < FF_ARRAY_ELEMS(files) && !e->library; i++) {
        // NODELETE: the engine's threads and its model cache must survive when ffmpeg rebuilds the filter graph
        e->library = dlopen(files[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
        if (!e->library) av_log(ctx, AV_LOG_VERBOSE, "%s\n", dlerror());
    }
    if (!e->library) {
        av_log(ctx, AV_LOG_ERROR, "cannot open the engine %s (-loglevel verbose shows why; the option library or the environment "
               "variable COLORIZE_LIBRARY names another file%s)\n", files[0], strspn(files[0], "0123456789") == strlen(files[0]) ?
               "; this number may belong to an option before: write bars=60/60/0/0, since a : ends its value" : "");
        return AVERROR(ENOSYS);
    }
    for (int i = 0; i < FF_ARRAY_ELEMS(engine_functions); i++) {
        void *function = dlsym(e->library, engine_functions[i].name);
        if (!function) {
            av_log(ctx, AV_LOG_ERROR, "the engine library has no function %s\n", engine_functions[i].name);
            engine_close(e);
            return AVERROR(ENOSYS);
        }
        memcpy((char *)e + engine_functions[i].at, &function, sizeof(function));
    }
    abi = e->abi_version();
    if (abi != CLZ_ABI_VERSION) {
        av_log(ctx, AV_LOG_ERROR, "the engine library %s has ABI %d, this filter needs %d: rebuild one of them\n",
               e->version(), abi, CLZ_ABI_VERSION);
        engine_close(e);
        return AVERROR(ENOSYS);
    }
    return 0;
}

static const int av_levels[] = {
    [CLZ_LOG_ERROR] = AV_LOG_ERROR, [CLZ_LOG_WARNING] = AV_LOG_WARNING, [CLZ_LOG_INFO] = AV_LOG_INFO,
    [CLZ_LOG_VERBOSE] = AV_LOG_VERBOSE, [CLZ_LOG_DEBUG] = AV_LOG_DEBUG,
};

static void engine_message(void *priv, enum clz_log_level level, const char *msg)
{
    av_log(priv, av_levels[level], "%s\n", msg);
}

static struct clz_log engine_log(AVFilterContext *ctx)
{
    struct clz_log log = { .cb = engine_message, .priv = ctx, .level = CLZ_LOG_ERROR };

    while (log.level < CLZ_LOG_DEBUG && av_levels[log.level + 1] <= av_log_get_level()) log.level++;
    return log;
}

static enum AVPixelFormat av_format(const struct clz_pixfmt *f)
{
    return av_get_pix_fmt(f->name);     // adds the suffix of the machine's byte order if the name has none
}

static const struct clz_pixfmt *engine_format(const Engine *e, enum AVPixelFormat format)
{
    const struct clz_pixfmt *f = e->pixfmt_list();

    while (f->name && av_format(f) != format) f++;
    return f->name ? f : NULL;
}

// ---- tags: conversion between FFmpeg's colour properties of a frame and the engine's ----

static enum clz_range range_of(const AVFrame *f)
{
    switch (f->color_range) {
    case AVCOL_RANGE_MPEG: return CLZ_RANGE_LIMITED;
    case AVCOL_RANGE_JPEG: return CLZ_RANGE_FULL;
    default:               return CLZ_RANGE_UNSPECIFIED;
    }
}

static enum clz_matrix matrix_of(const AVFrame *f)
{
    switch (f->colorspace) {
    case AVCOL_SPC_BT709: case AVCOL_SPC_SMPTE240M:                        return CLZ_MATRIX_709;
    case AVCOL_SPC_BT470BG: case AVCOL_SPC_SMPTE170M: case AVCOL_SPC_FCC:  return CLZ_MATRIX_601;
    case AVCOL_SPC_BT2020_NCL: case AVCOL_SPC_BT2020_CL:                   return CLZ_MATRIX_2020;
    default:                                                               return CLZ_MATRIX_UNSPECIFIED;
    }
}

static enum clz_transfer transfer_of(const AVFrame *f)
{
    switch (f->color_trc) {
    case AVCOL_TRC_SMPTE2084:    return CLZ_TRANSFER_PQ;
    case AVCOL_TRC_ARIB_STD_B67: return CLZ_TRANSFER_HLG;
    default:                     return CLZ_TRANSFER_UNSPECIFIED;
    }
}

static enum clz_siting siting_of(const AVFrame *f)
{
    switch (f->chroma_location) {
    case AVCHROMA_LOC_LEFT:    return CLZ_SITING_LEFT;
    case AVCHROMA_LOC_CENTER:  return CLZ_SITING_CENTER;
    case AVCHROMA_LOC_TOPLEFT: return CLZ_SITING_TOPLEFT;
    default:                   return CLZ_SITING_UNSPECIFIED;
    }
}

static enum clz_fields fields_of(const AVFrame *f)
{
    return !cz_is_interlaced(f) ? CLZ_FIELDS_NONE : cz_is_top_first(f) ? CLZ_FIELDS_TOP_FIRST : CLZ_FIELDS_BOTTOM_FIRST;
}

// Tags the output frame with its range. Sets matrix and chroma siting to those that the engine used if the film has no such tag,
// if its tag is one that the engine cannot produce (YCgCo, BT.2020 constant luminance, or "RGB" on a gray picture from an RGB
// file), or if the user gave an option that overrides the tag.
static void tag_frame(const CZContext *s, AVFrame *f, const struct clz_frame *made, int gray)
{
    static const enum AVColorSpace matrices[] = {
        AVCOL_SPC_UNSPECIFIED, AVCOL_SPC_SMPTE170M, AVCOL_SPC_BT709, AVCOL_SPC_BT2020_NCL
    };
    static const enum AVColorTransferCharacteristic transfers[] = {
        AVCOL_TRC_UNSPECIFIED, AVCOL_TRC_BT709, AVCOL_TRC_SMPTE2084, AVCOL_TRC_ARIB_STD_B67
    };
    static const enum AVChromaLocation sitings[] = {
        AVCHROMA_LOC_UNSPECIFIED, AVCHROMA_LOC_LEFT, AVCHROMA_LOC_CENTER, AVCHROMA_LOC_TOPLEFT
    };

    if (made->format->flags & CLZ_PIXFMT_RGB) {
        if (!gray) return;                          // RGB film keeps its own tags
        f->color_range = AVCOL_RANGE_JPEG;
        f->colorspace  = AVCOL_SPC_RGB;
        return;
    }
    f->color_range = made->range == CLZ_RANGE_FULL ? AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG;
    if (matrix_of(f) == CLZ_MATRIX_UNSPECIFIED || f->colorspace == AVCOL_SPC_BT2020_CL || s->option.matrix)
        f->colorspace = matrices[made->matrix];
    if (s->option.transfer)
        f->color_trc = transfers[s->option.transfer];
    if ((f->chroma_location == AVCHROMA_LOC_UNSPECIFIED || s->option.siting) && made->format->log2_chroma_w)
        f->chroma_location = sitings[made->siting];
}

// ---- levels: the range of a coloured gray film ----
//
// Gray frames have full range. A player must show the coloured film with the same levels as the film without this filter. It
// shows a file of full range correctly only if the file signals full range, and most encoders cannot signal it: MPEG-4 part 2,
// MPEG-2, ProRes, DNxHD and others write no range, and players take a file without a range for limited range. With FFV1 and
// similar codecs the range is written by the container, which a filter does not know. So the luma is kept unchanged if the
// encoder is known to signal full range, in its stream or by its pixel format. Otherwise the film is converted to R'G'B' if the
// encoder accepts that, or else to limited range, as FFmpeg's scaler would do.
//
// A filter cannot query the encoder, but ffmpeg passes the encoder's list of pixel formats to the filters as a constraint, and
// this list identifies the encoder. If a list matches several encoders (-pix_fmt yuv420p matches most), all of them must be able
// to signal full range.

// Encoders that write the range of the frame's tag into their stream; tests/levels.sh checks this list. Other encoders signal
// full range by the pixel format if their list has a format that implies it (yuvj420p).
static const char *const writes_range[] = {
    "libx264", "libx265", "libvpx-vp9", "libaom-av1", "libsvtav1", "librav1e", "h264_nvenc", "hevc_nvenc", "av1_nvenc",
    "h264_qsv", "hevc_qsv",
};

// How an encoder signals full range, weakest first.
enum range_signal { SIGNAL_UNKNOWN, SIGNAL_NONE, SIGNAL_BY_FORMAT, SIGNAL_BY_TAG };

static int lists_format(const enum AVPixelFormat *list, int format)
{
    while (*list != AV_PIX_FMT_NONE && *list != format) list++;
    return *list == format;
}

static int takes_format(const AVFilterFormats *list, int format)
{
    for (unsigned i = 0; list && i < list->nb_formats; i++)
        if (list->formats[i] == format) return 1;
    return 0;
}

// Whether an encoder with the format list `list` may have constrained the output to `wanted`: it accepts every format in
// `wanted` and, with `exactly`, no other.
static int list_matches(const enum AVPixelFormat *list, const AVFilterFormats *wanted, int exactly)
{
    for (unsigned i = 0; i < wanted->nb_formats; i++)
        if (!lists_format(list, wanted->formats[i])) return 0;
    for (; exactly && *list != AV_PIX_FMT_NONE; list++)
        if (!takes_format(wanted, *list)) return 0;
    return 1;
}

static enum range_signal encoder_signal(const AVCodec *encoder, const enum AVPixelFormat *list)
{
    for (int i = 0; i < FF_ARRAY_ELEMS(writes_range); i++)
        if (!strcmp(encoder->name, writes_range[i])) return SIGNAL_BY_TAG;
    return lists_format(list, AV_PIX_FMT_YUVJ420P) || lists_format(list, AV_PIX_FMT_YUVJ444P) ? SIGNAL_BY_FORMAT : SIGNAL_NONE;
}

// The weakest signal among the encoders that match `wanted`: those with exactly this list, or if there are none, those that
// accept all of it. SIGNAL_UNKNOWN if no encoder matches or the program has not loaded libavcodec.
static enum range_signal weakest_signal(const AVFilterFormats *wanted)
{
    CZEncoders encoders = cz_encoders();

    for (int exactly = 1; wanted && exactly >= 0; exactly--) {
        enum range_signal least = SIGNAL_UNKNOWN;
        const AVCodec *encoder;
        void *position = NULL;
        while ((encoder = cz_next_encoder(&encoders, &position))) {
            const enum AVPixelFormat *list = cz_encoder_formats(&encoders, encoder);
            if (!list || !list_matches(list, wanted, exactly)) continue;
            if (!least || encoder_signal(encoder, list) < least) least = encoder_signal(encoder, list);
        }
        if (least) return least;
    }
    return SIGNAL_UNKNOWN;
}

// The cost of format f as the output format for a gray film: the lowest is the best, -1: f cannot be used. prefers_420: 4:2:0
// comes before 4:4:4.
static int format_cost(const CZContext *s, const struct clz_pixfmt *gray, const struct clz_pixfmt *f, enum range_signal signal,
                       int prefers_420)
{
    const int rgb = !!(f->flags & CLZ_PIXFMT_RGB), by_name = !!(f->flags & CLZ_PIXFMT_FULL);    // by_name: yuvj
    const int full = s->option.out_range == CLZ_RANGE_FULL, less = f->log2_chroma_w + f->log2_chroma_h;
    const int chroma = prefers_420 && !rgb ? (less + 1) % 3 : less;     // 4:2:0, 4:4:4, 4:2:2 or 4:4:4, 4:2:2, 4:2:0
    int family;

    if (f->flags & CLZ_PIXFMT_GRAY || f->depth != gray->depth) return -1;
    if (by_name && (s->option.out_range == CLZ_RANGE_LIMITED || !full && signal <= SIGNAL_NONE)) return -1;
    if (s->option.out_range)
        family = rgb ? 2 : by_name ? signal != SIGNAL_BY_FORMAT : signal == SIGNAL_BY_FORMAT && full;
    else if (signal == SIGNAL_BY_FORMAT)
        family = by_name ? 0 : rgb ? 1 : 2;
    else if (signal == SIGNAL_NONE)
        family = !rgb;
    else
        family = rgb ? 2 : by_name;
    return (gray->flags & ~f->flags & CLZ_PIXFMT_ALPHA ? 1000 : 0) + 100 * family + 10 * chroma +
           (f->flags & ~gray->flags & CLZ_PIXFMT_ALPHA ? 5 : 0) + (f->flags & CLZ_PIXFMT_SWAPPED ? 2 : 0) + (f->planes == 2);
}

// The format of the list that FFmpeg would choose as a replacement for `to`; with_colour: only formats with three or more
// components.
static enum AVPixelFormat nearest_format(const AVFilterFormats *list, enum AVPixelFormat to, int with_colour)
{
    enum AVPixelFormat best = AV_PIX_FMT_NONE;

    for (unsigned i = 0; i < list->nb_formats; i++)
        if (list->formats[i] != AV_PIX_FMT_CUDA &&
            (!with_colour || av_pix_fmt_desc_get(list->formats[i])->nb_components >= 3))
            best = av_find_best_pix_fmt_of_2(best, list->formats[i], to, av_pix_fmt_desc_get(to)->nb_components % 2 == 0, NULL);
    return best;
}

// Whether what follows this link, perhaps after filters that leave the format as it is, is the end of the filter graph for an
// encoder without a list of formats, such as raw video.
static int ends_without_list(const AVFilterLink *link)
{
    for (;; link = link->dst->outputs[0]) {
        const AVFilterFormats *list = link->outcfg.formats;
        if (!takes_format(list, AV_PIX_FMT_CUDA) || !takes_format(list, AV_PIX_FMT_PAL8)) return 0;     // not every format
        if (!link->dst->nb_outputs) return 1;
        if (link->dst->nb_inputs != 1 || link->dst->nb_outputs != 1) return 0;
        if (link->dst->outputs[0]->incfg.formats != list) return 0;
    }
}

// Whether 4:2:0 is what is expected where gray film may become YUV of several samplings. Most players of H.264, HEVC, VP9, AV1
// and MPEG-2 support nothing else, and AVI has no name for raw 4:4:4. Full chroma is for encoders that are made for keeping a
// film: those that have R'G'B' but no signal for full range (FFV1, PNG...); for ProRes and others that have no 4:2:0; filters.
static int is_420_expected(const CZContext *s, const AVFilterLink *outlink, enum range_signal signal, int depth)
{
    const AVFilterFormats *wanted = outlink->outcfg.formats;

    if (signal != SIGNAL_NONE) return signal == SIGNAL_BY_TAG || wanted && ends_without_list(outlink);
    for (const struct clz_pixfmt *f = s->engine.pixfmt_list(); f->name; f++)
        if (f->flags & CLZ_PIXFMT_RGB && f->depth == depth && takes_format(wanted, av_format(f))) return 0;
    return 1;
}

static int takes_420(const AVFilterFormats *list)
{
    for (unsigned i = 0; list && i < list->nb_formats; i++) {
        const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(list->formats[i]);
        if (d->nb_components >= 3 && d->log2_chroma_w == 1 && d->log2_chroma_h == 1) return 1;
    }
    return 0;
}

// Chooses the output format for a gray film, of the same depth, and sets s->gray_range. The link has the formats that the next
// filter or the encoder accepts, NULL if unknown. If none of them has the film's depth, ffmpeg will insert a scaler, which
// converts to the range of its own output; the scaler then gets full range, and R'G'B' if that is what ffmpeg would choose for
// the film.
static const struct clz_pixfmt *coloured_format(CZContext *s, const struct clz_pixfmt *gray, const AVFilterLink *outlink)
{
    const AVFilterFormats *wanted = outlink->outcfg.formats;
    // FFmpeg's scaler (5.1), and every player that uses it, treats YUV of more than 8 bits as limited range whatever its tag is
    // (observed with 10-bit H.264, HEVC, VP9 and AV1), so only 8-bit film stays full range.
    const enum range_signal weakest = weakest_signal(wanted);
    const enum range_signal signal = gray->depth > 8 && weakest > SIGNAL_NONE ? SIGNAL_UNKNOWN : weakest;
    const int prefers_420 = is_420_expected(s, outlink, weakest, gray->depth);
    const struct clz_pixfmt *best = NULL, *f;
    int least = INT_MAX, rgb = 0;

    for (f = s->engine.pixfmt_list(); f->name; f++) {
        const int c = format_cost(s, gray, f, signal, prefers_420);
        if (c < 0 || c >= least || wanted && !takes_format(wanted, av_format(f))) continue;
        least = c;
        best  = f;
    }
    s->converted  = !best;
    s->gray_range = s->option.out_range ? s->option.out_range :
                    s->converted || signal >= SIGNAL_BY_FORMAT ? CLZ_RANGE_FULL : CLZ_RANGE_LIMITED;
    if (best) {
        if (signal == SIGNAL_BY_FORMAT && !s->option.out_range && !(best->flags & CLZ_PIXFMT_FULL))
            s->gray_range = CLZ_RANGE_LIMITED;
        return best;
    }
    if (signal == SIGNAL_NONE) {
        enum AVPixelFormat next = nearest_format(wanted, av_format(gray), 1);
        rgb = next != AV_PIX_FMT_NONE && av_pix_fmt_desc_get(next)->flags & AV_PIX_FMT_FLAG_RGB;
    }
    for (f = s->engine.pixfmt_list(); f->name; f++) {
        // the scaler makes 4:2:2 (ProRes) better from 4:4:4
        const int c = format_cost(s, gray, f, rgb ? SIGNAL_NONE : SIGNAL_UNKNOWN, prefers_420 && takes_420(wanted));
        if (c < 0 || c >= least) continue;
        least = c;
        best  = f;
    }
    return best;
}

// The range for the output frame; CLZ_RANGE_UNSPECIFIED: that of the input frame.
static enum clz_range range_wanted(const AVFilterContext *ctx, const struct clz_pixfmt *in, const struct clz_frame *from)
{
    const CZContext *s = ctx->priv;

    switch (cz_link_range(ctx->outputs[0])) {
    case AVCOL_RANGE_MPEG: return CLZ_RANGE_LIMITED;
    case AVCOL_RANGE_JPEG: return CLZ_RANGE_FULL;
    default: break;
    }
    if (s->option.out_range || !(in->flags & CLZ_PIXFMT_GRAY)) return s->option.out_range;
    return from->range == CLZ_RANGE_LIMITED ? CLZ_RANGE_LIMITED : s->gray_range;
}

// Logs once, for the first frame, which range the output has and why, unless the film simply keeps its own range.
static void log_levels(AVFilterContext *ctx, const struct clz_frame *made)
{
    const CZContext *s = ctx->priv;
    const char *in = s->in_format->name, *out = made->format->name;

    if (!(s->in_format->flags & CLZ_PIXFMT_GRAY)) {
        if (s->option.out_range) av_log(ctx, AV_LOG_INFO, "the output is %s of %s range, as out_range asks\n", out,
                                 made->range == CLZ_RANGE_FULL ? "full" : "limited");
    } else if (made->format->flags & CLZ_PIXFMT_RGB) {
        av_log(ctx, AV_LOG_INFO, "%s becomes %s, with the film's luma to within half a code value%s\n", in, out,
               s->option.out_range ? "" : "; out_range=full makes YUV instead and keeps the luma bit for bit");
    } else if (s->converted && made->range == CLZ_RANGE_FULL) {
        av_log(ctx, AV_LOG_INFO, "%s becomes %s of full range, which ffmpeg converts for the encoder\n", in, out);
    } else if (made->range != CLZ_RANGE_FULL) {
        av_log(ctx, AV_LOG_INFO, "%s becomes %s of limited range%s\n", in, out, s->option.out_range ? ", as out_range asks" :
               ", because the encoder is not known to signal full range; out_range=full keeps the luma bit for bit");
    } else {
        av_log(ctx, AV_LOG_INFO, "%s becomes %s of full range, its luma kept bit for bit%s\n", in, out, s->option.out_range ?
               ", as out_range asks: players show the right levels only if the file signals full range" :
               "; the encoder signals full range");
    }
}

// ---- frames through the engine ----

// Removes the oldest job, `job`, from the ring and passes its output frame on; status < 0: the engine failed on that frame.
static int emit(AVFilterContext *ctx, Job *job, const struct clz_frame *made, int status)
{
    CZContext *s = ctx->priv;
    AVFrame *out = job->out;
    int untouched = job->untouched, gray = job->gray;

    av_frame_free(&job->in);
    job->out = NULL;
    s->first = (s->first + 1) % MAX_JOBS;
    s->count--;
    if (status < 0) {
        av_log(ctx, AV_LOG_ERROR, "a frame could not be coloured: %s\n", av_err2str(status));
        av_frame_free(&out);
        return status;
    }
    if (!s->described++) {
        av_log(ctx, AV_LOG_VERBOSE, "colouring with %s%s\n", s->engine.stream_describe(s->stream),
               s->option.batch ? "" : " (the device's choice)");
        log_levels(ctx, made);
    }
    if (!untouched) tag_frame(s, out, made, gray);
    return ff_filter_frame(ctx->outputs[0], out);
}

// Passes on one finished frame. Returns AVERROR(EAGAIN) if none is finished (with wait: if none is being coloured),
// AVERROR(ENODATA) if the stream is drained.
static int receive(AVFilterContext *ctx, int wait)
{
    CZContext *s = ctx->priv;
    struct clz_frame made;
    int ret;

    if (!s->count) return AVERROR(EAGAIN);
    ret = s->engine.stream_receive(s->stream, &made, wait);
    if (ret == AVERROR(EAGAIN) || ret == AVERROR(ENODATA)) return ret;
    return emit(ctx, &s->jobs[s->first], &made, ret);
}

static struct clz_frame describe_frame(const CZContext *s, const AVFrame *f, const struct clz_pixfmt *format)
{
    struct clz_frame frame = {
        .format = format, .width = f->width, .height = f->height, .memory = s->cuda_device ? CLZ_MEMORY_CUDA : CLZ_MEMORY_HOST,
        .range  = s->option.range  ? s->option.range  : range_of(f),
        .matrix = s->option.matrix ? s->option.matrix : matrix_of(f),
        .siting = s->option.siting ? s->option.siting : siting_of(f),
        .transfer = s->option.transfer ? s->option.transfer : transfer_of(f),
        .fields = fields_of(f),
    };

    for (int p = 0; p < format->planes; p++) {
        frame.data[p]   = f->data[p];
        frame.stride[p] = f->linesize[p];
    }
    return frame;
}

// Replaces *frame, a CUDA frame, by a copy in a frame of the output link's pool.
static int copy_cuda_frame(AVFilterContext *ctx, AVFrame **frame)
{
    const CZContext *s = ctx->priv;
    const AVFilterLink *inlink = ctx->inputs[0];
    const AVHWFramesContext *frames = (*frame)->hw_frames_ctx ? (const void *)(*frame)->hw_frames_ctx->data : NULL;
    AVFrame *copy;
    int ret;

    // with -reinit_filter 0 ffmpeg sends frames that differ from those that were negotiated
    if ((*frame)->format != AV_PIX_FMT_CUDA || !frames || (*frame)->width != inlink->w || (*frame)->height != inlink->h ||
        engine_format(&s->engine, frames->sw_format) != s->in_format || frames->device_ref->data != s->cuda_device->data) {
        av_log(ctx, AV_LOG_ERROR, "the film has changed from %dx%d %s to %dx%d %s or to another device, which the filter cannot "
               "follow with CUDA frames: leave out -reinit_filter 0\n", inlink->w, inlink->h, s->in_format->name,
               (*frame)->width, (*frame)->height, av_get_pix_fmt_name(frames ? frames->sw_format : (*frame)->format));
        return AVERROR(EINVAL);
    }
    copy = ff_get_video_buffer(ctx->outputs[0], inlink->w, inlink->h);
    if (!copy) {
        av_log(ctx, AV_LOG_ERROR, "no CUDA memory for a frame of %dx%d %s\n", inlink->w, inlink->h, s->in_format->name);
        return AVERROR(ENOMEM);
    }
    ret = av_frame_copy_props(copy, *frame);
    copy->width  = inlink->w;                   // frames from a pool have the pool's size
    copy->height = inlink->h;
    if (ret >= 0) ret = av_hwframe_transfer_data(copy, *frame, 0);
    if (ret < 0) {
        av_log(ctx, AV_LOG_ERROR, "a CUDA frame could not be copied: %s\n", av_err2str(ret));
        av_frame_free(&copy);
        return ret;
    }
    av_frame_free(frame);
    *frame = copy;
    return 0;
}

// Sends `in`, which it then owns, to the engine. If the stream is full, waits for a finished frame and passes it on first.
static int send(AVFilterContext *ctx, AVFrame *in)
{
    CZContext *s = ctx->priv;
    AVFilterLink *inlink = ctx->inputs[0], *outlink = ctx->outputs[0];
    const struct clz_pixfmt *in_format = s->in_format, *out_format = s->out_format;
    struct clz_frame from, to;
    struct clz_controls controls = CLZ_CONTROLS_DEFAULT;
    AVFrame *out = NULL;
    Job *job;
    int ret;

    if (s->cuda_device && (ret = copy_cuda_frame(ctx, &in)) < 0) goto fail;
    // with -reinit_filter 0 ffmpeg sends frames whose format differs from the negotiated one
    if (in->format != inlink->format) {
        in_format = engine_format(&s->engine, in->format);
        if (!(out_format->flags & CLZ_PIXFMT_GRAY) && s->in_format == s->out_format) out_format = in_format;
        if (!in_format || in_format->depth != out_format->depth) {
            av_log(ctx, AV_LOG_ERROR, "the film's pixel format has changed to %s, which cannot be followed\n",
                   av_get_pix_fmt_name(in->format));
            ret = AVERROR(EINVAL);
            goto fail;
        }
    }
    if (in_format == out_format && av_frame_is_writable(in)) {
        out = in;
    } else {
        out = ff_get_video_buffer(outlink, in->width, in->height);
        if (!out || in_format == out_format && out->format != in->format) {
            ret = AVERROR(ENOMEM);
            goto fail;
        }
        if ((ret = av_frame_copy_props(out, in)) < 0) goto fail;
    }
    from = describe_frame(s, in, in_format);
    to   = describe_frame(s, out, out_format);
    to.range = range_wanted(ctx, in_format, &from);
    controls.strength   = s->option.strength;
    controls.stabilize  = s->option.stabilize;
    controls.saturation = isnan(s->option.saturation) ? 1 : s->option.saturation;
    controls.skip       = ctx->is_disabled;
    controls.time       = in->pts == AV_NOPTS_VALUE ? -1 : in->pts * av_q2d(ctx->inputs[0]->time_base);

    while (s->count == MAX_JOBS || (ret = s->engine.stream_send(s->stream, &from, &to, &controls)) == AVERROR(EAGAIN)) {
        ret = receive(ctx, 1);
        if (ret == AVERROR(EAGAIN)) ret = AVERROR_BUG;      // the stream is full although it colours no frame
        if (ret < 0) goto fail;
    }
    if (ret < 0) goto fail;
    job = &s->jobs[(s->first + s->count++) % MAX_JOBS];
    job->in  = out == in ? NULL : in;
    job->out = out;
    job->gray = !!(in_format->flags & CLZ_PIXFMT_GRAY);
    job->untouched = controls.skip && !job->gray && !to.range;
    return 0;

fail:
    if (out != in) av_frame_free(&out);
    av_frame_free(&in);
    return ret;
}

static void discard_frames(CZContext *s)
{
    if (s->stream) s->engine.stream_flush(s->stream, NULL, NULL);
    for (; s->count; s->count--, s->first = (s->first + 1) % MAX_JOBS) {
        av_frame_free(&s->jobs[s->first].in);
        av_frame_free(&s->jobs[s->first].out);
    }
}

static int drain(AVFilterContext *ctx)
{
    CZContext *s = ctx->priv;
    int ret = s->engine.stream_drain(s->stream);

    while (ret >= 0 && s->count) ret = receive(ctx, 1);
    return ret;
}

// ---- without a model: FFmpeg's own code ----

static int solid_frame(AVFilterContext *ctx, AVFrame *frame)
{
    int ret;

    if (ctx->is_disabled) return ff_filter_frame(ctx->outputs[0], frame);
    ret = ff_inlink_make_frame_writable(ctx->inputs[0], &frame);    // the stock pad has NEEDS_WRITABLE
    if (ret < 0) {
        av_frame_free(&frame);
        return ret;
    }
    return filter_frame(ctx->inputs[0], frame);
}

// ---- scheduling: the order of the steps matters ----

// ffmpeg 5.1 exits with status 0, as if the film were complete, if activate() fails while ffmpeg requests a frame. So an error of
// step 2 is saved in s->failed and returned with the next input frame or the end of the film, and with every one after that.

static int activate(AVFilterContext *ctx)
{
    CZContext *s = ctx->priv;
    AVFilterLink *inlink = ctx->inputs[0], *outlink = ctx->outputs[0];
    AVFrame *in;
    int64_t pts;
    int ret, status;

    status = ff_outlink_get_status(outlink);                    // 1. the output is closed
    if (status) {
        discard_frames(s);
        ff_inlink_set_status(inlink, status);
        return 0;
    }
    if (s->model && !s->failed) {                               // 2. pass on finished frames, without waiting
        while ((ret = receive(ctx, 0)) >= 0)
            ;
        if (ret != AVERROR(EAGAIN) && ret != AVERROR(ENODATA)) s->failed = ret;
    }
    while ((ret = ff_inlink_consume_frame(inlink, &in)) > 0) {  // 3. this call runs commands, sets ctx->is_disabled
        ret = s->failed;
        if (ret < 0) av_frame_free(&in);
        else ret = s->model ? send(ctx, in) : solid_frame(ctx, in);
        if (ret >= 0 && s->model && s->option.batch == 1 && (ret = receive(ctx, 1)) == AVERROR(EAGAIN))
            ret = 0;                                            // it waits for later frames
        if (ret < 0) return s->failed = ret;
    }
    if (ret < 0) return ret;
    if (ff_inlink_acknowledge_status(inlink, &status, &pts)) {  // 4. end of the film: pass on all frames first
        ret = s->failed;
        if (ret >= 0 && s->model && status == AVERROR_EOF) ret = s->failed = drain(ctx);
        else discard_frames(s);
        ff_outlink_set_status(outlink, ret < 0 ? ret : status, pts);
        return ret;
    }
    FF_FILTER_FORWARD_WANTED(outlink, inlink);                  // 5. ask for more
    return FFERROR_NOT_READY;
}

// ---- formats ----

// The format of the film on this link before any conversion: that of the nearest link upstream which has a single format. FFmpeg
// chooses the format of this link by it. AV_PIX_FMT_NONE if the source itself offers several formats.
static enum AVPixelFormat source_format(const AVFilterLink *link)
{
    for (;;) {
        const AVFilterFormats *list = link->incfg.formats;
        if (list && list->nb_formats == 1) return list->formats[0];
        if (!link->src->nb_inputs || !link->src->inputs[0]) return AV_PIX_FMT_NONE;
        link = link->src->inputs[0];
    }
}

// The source's own format if the list has it, else the nearest one. If the source offers several formats, the first of
// the list that has colour.
static enum AVPixelFormat choose_input(const CZContext *s, const AVFilterLink *inlink)
{
    const AVFilterFormats *list = inlink->outcfg.formats;
    const enum AVPixelFormat source = source_format(inlink);

    if (takes_format(list, AV_PIX_FMT_CUDA) && (source == AV_PIX_FMT_CUDA || list->nb_formats == 1)) return AV_PIX_FMT_CUDA;
    if (source != AV_PIX_FMT_NONE) return nearest_format(list, source, 0);
    for (unsigned i = 0; i < list->nb_formats; i++) {
        const struct clz_pixfmt *f = engine_format(&s->engine, list->formats[i]);
        if (f && !(f->flags & CLZ_PIXFMT_GRAY)) return list->formats[i];
    }
    return list->formats[0];
}

// The output format for a film of format `in`: gray film gets a format with colour; other film keeps its format, except that
// out_range=limited turns yuvj into yuv.
static const struct clz_pixfmt *output_format(CZContext *s, const struct clz_pixfmt *in, const AVFilterLink *outlink)
{
    if (in->flags & CLZ_PIXFMT_GRAY) return coloured_format(s, in, outlink);
    for (const struct clz_pixfmt *f = s->engine.pixfmt_list();
         in->flags & CLZ_PIXFMT_FULL && s->option.out_range == CLZ_RANGE_LIMITED && f->name; f++)
        if (f->flags == (in->flags & ~CLZ_PIXFMT_FULL) && f->depth == in->depth && f->planes == in->planes &&
            f->log2_chroma_w == in->log2_chroma_w && f->log2_chroma_h == in->log2_chroma_h)
            return f;
    return in;
}

// The output format depends on the input format, which is known only when the source's formats are. So the framework is made to
// call this function twice: first the input accepts every format of the engine, and when the framework has merged that list with
// the source's formats, this function chooses one of them and the output format that goes with it.
CZ_QUERY_FORMATS(query_formats)
{
    CZContext *s = ctx->priv;
    AVFilterLink *inlink = ctx->inputs[0], *outlink = ctx->outputs[0];
    AVFilterFormats *list = NULL;
    const struct clz_pixfmt *in, *out;
    int ret;

    if (!s->model) {
        list = ff_make_format_list((const int *)pixel_fmts);
        if ((ret = ff_formats_ref(list, &inlink->outcfg.formats)) < 0) return ret;
        return ff_formats_ref(inlink->outcfg.formats, &outlink->incfg.formats);
    }
    if (!inlink->outcfg.formats) {
        for (const struct clz_pixfmt *f = s->engine.pixfmt_list(); f->name; f++)
            if (av_format(f) != AV_PIX_FMT_NONE && (ret = ff_add_format(&list, av_format(f))) < 0) return ret;
        if ((ret = ff_add_format(&list, AV_PIX_FMT_CUDA)) < 0) return ret;
        if ((ret = ff_formats_ref(list, &inlink->outcfg.formats)) < 0) return ret;
        return AVERROR(EAGAIN);
    }
    list = inlink->outcfg.formats;
    if (list != inlink->incfg.formats) return AVERROR(EAGAIN);      // not merged yet

    list->formats[0] = choose_input(s, inlink);                     // the choice holds for every link that shares the list
    list->nb_formats = 1;
    if (list->formats[0] == AV_PIX_FMT_CUDA)
        return ff_formats_ref(ff_make_formats_list_singleton(AV_PIX_FMT_CUDA), &outlink->incfg.formats);
    in  = engine_format(&s->engine, list->formats[0]);
    out = output_format(s, in, outlink);
    if ((ret = ff_formats_ref(ff_make_formats_list_singleton(av_format(out)), &outlink->incfg.formats)) < 0) return ret;
    if (in->flags & CLZ_PIXFMT_GRAY || s->option.out_range)
        return cz_offer_range(inlink, outlink, out->flags & (CLZ_PIXFMT_FULL | CLZ_PIXFMT_RGB) ? AVCOL_RANGE_JPEG :
                              (in->flags & CLZ_PIXFMT_GRAY ? s->gray_range : s->option.out_range) == CLZ_RANGE_FULL ?
                              AVCOL_RANGE_JPEG : AVCOL_RANGE_MPEG);
    return 0;
}

// ---- options, opening ----

// The option `saturation` has two meanings: without a model it is the stock filter's option, with that one's range and default.
static int resolve_saturation(AVFilterContext *ctx)
{
    CZContext *s = ctx->priv;

    if (s->model) return 0;
    if (s->option.saturation > 1) {
        av_log(ctx, AV_LOG_ERROR, "Value %f for parameter 'saturation' out of range [0 - 1] without a model\n",
               s->option.saturation);
        return AVERROR(ERANGE);
    }
    s->stock.saturation = isnan(s->option.saturation) ? 0.5f : s->option.saturation;
    return 0;
}

static int process_command(AVFilterContext *ctx, const char *cmd, const char *arg, char *res, int res_len, int flags)
{
    CZContext *s = ctx->priv;
    float saturation = s->option.saturation;
    char *sheet = NULL;
    int ret;

    if (s->option.sheet && !(sheet = av_strdup(s->option.sheet))) return AVERROR(ENOMEM);
    ret = ff_filter_process_command(ctx, cmd, arg, res, res_len, flags);
    if (ret >= 0) ret = resolve_saturation(ctx);
    if (ret >= 0 && s->stream && !strcmp(cmd, "sheet")) ret = s->engine.stream_set_sheet(s->stream, s->option.sheet);
    if (ret < 0) {                          // as before
        s->option.saturation = saturation;
        FFSWAP(char *, s->option.sheet, sheet);
    }
    av_free(sheet);
    return ret;
}

// Number of threads for the engine: this filter's option `threads` (the framework reads that option for every filter and stores
// it in ctx->nb_threads), else -filter_threads. If that has FFmpeg's default (cores + 1, at most 16), 0: the engine chooses.
static int engine_threads(AVFilterContext *ctx)
{
    const CZContext *s = ctx->priv;
    int threads = FFMAX(s->option.threads, ctx->nb_threads), graph = ctx->graph->nb_threads, cores = av_cpu_count();

    if (threads) return threads;
    return graph > 1 + cores || graph == FFMIN(1 + cores, 16) ? 0 : graph;
}

static int open_engine(AVFilterContext *ctx)
{
    CZContext *s = ctx->priv;
    struct clz_log log = engine_log(ctx);
    int ret = engine_open(ctx, &s->engine, s->option.library);

    return ret < 0 ? ret : s->engine.model_open(&s->model, s->option.model, &log);
}

// cuda: the device of the frames, or of the application for frames in host memory; NULL: none.
static int open_stream(AVFilterContext *ctx, const AVCUDADeviceContext *cuda)
{
    CZContext *s = ctx->priv;
    struct clz_stream_params params = {
#define STRING(name, initial, help) .name = s->option.name,
#define STRING_AS(name, field, initial, help) .field = s->option.field,
#define INT(name, initial, min, max, help) .name = s->option.name,
#define ENUM(name, last, help, values) .name = s->option.name,
#include "options.def"
        .log = engine_log(ctx),
    };
    int ret;

    params.threads    = engine_threads(ctx);
    params.stabilizer = 1;
    // A command may turn the stabiliser on later; it then looks at no later frame.
    if (s->option.stabilize == 0) params.window = 0;
    if (cuda) {
        if (s->cuda_device) params.device = "cuda";         // the context says which one
        params.cuda_context = cuda->cuda_ctx;
        // NULL is CUDA's default stream, and FFmpeg's own choice. The engine would take NULL for "none given" and make a stream
        // that is not ordered with the default one; 1 is the other name of the default stream (CU_STREAM_LEGACY).
        params.cuda_stream  = cuda->stream ? (void *)cuda->stream : (void *)1;
    }
    if ((ret = s->engine.stream_open(&s->stream, s->model, &params)) < 0) return ret;
    av_log(ctx, AV_LOG_VERBOSE, "colouring with %s, libcolorize %s\n", s->option.model, s->engine.version());
    return 0;
}

// `model` is the first option, so that colorize=model.bin works. The stock filter's first option is hue, so a value that names
// no file but is a number is taken as the hue: colorize=120:0.7.
static av_cold int init(AVFilterContext *ctx)
{
    CZContext *s = ctx->priv;
    struct stat file;
    double hue;
    int ret = 0, missing;

    if (s->option.model && !*s->option.model) {
        av_log(ctx, AV_LOG_ERROR, "the option model is empty; expected a file (without the option: FFmpeg's solid colour)\n");
        return AVERROR(EINVAL);
    }
    if (s->option.model) {
        missing = stat(s->option.model, &file) < 0 ? errno : 0;
        if (!missing) {
            ret = open_engine(ctx);
        } else if (av_expr_parse_and_eval(&hue, s->option.model, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 64, ctx) >= 0) {
            ret = av_opt_set(s, "hue", s->option.model, 0);
        } else {
            ret = AVERROR(missing);
            av_log(ctx, AV_LOG_ERROR, "cannot open the model '%s': %s (this is the path as it was read: in a filter's options "
                   "the characters : ' \\ , ; [ ] must be escaped)\n", s->option.model, av_err2str(ret));
        }
    }
    return ret < 0 ? ret : resolve_saturation(ctx);
}

// ---- links ----

// Logs that frames of this sw_format cannot be coloured, and which can: those that FFmpeg's CUDA device and the engine both have.
static int refuse_cuda_format(AVFilterContext *ctx, AVHWFramesContext *frames)
{
    CZContext *s = ctx->priv;
    AVHWFramesConstraints *known = av_hwdevice_get_hwframe_constraints(frames->device_ref, NULL);
    AVBPrint names;

    av_bprint_init(&names, 0, AV_BPRINT_SIZE_AUTOMATIC);
    for (const enum AVPixelFormat *f = known ? known->valid_sw_formats : NULL; f && *f != AV_PIX_FMT_NONE; f++)
        if (engine_format(&s->engine, *f)) av_bprintf(&names, " %s", av_get_pix_fmt_name(*f));
    av_log(ctx, AV_LOG_ERROR, "CUDA frames of the format %s cannot be coloured; supported are:%s\n",
           av_get_pix_fmt_name(frames->sw_format), names.str);
    av_bprint_finalize(&names, NULL);
    av_hwframe_constraints_free(&known);
    return AVERROR(ENOSYS);
}

static int config_cuda_input(AVFilterContext *ctx)
{
    CZContext *s = ctx->priv;
    const AVBufferRef *ref = ff_filter_link(ctx->inputs[0])->hw_frames_ctx;
    const char *device = s->option.device ? s->option.device : "auto";
    AVHWFramesContext *frames;
    int ret;

    if (!ref) {
        av_log(ctx, AV_LOG_ERROR, "the CUDA frames have no hw_frames_ctx\n");
        return AVERROR(EINVAL);
    }
    frames = (AVHWFramesContext *)ref->data;
    s->in_format = engine_format(&s->engine, frames->sw_format);
    if (!s->in_format || s->in_format->flags & CLZ_PIXFMT_GRAY) return refuse_cuda_format(ctx, frames);
    if (*device && strcmp(device, "auto") && strcmp(device, "cuda") && strncmp(device, "cuda:", 5) &&
        strncmp(device, "cuda/", 5)) {
        av_log(ctx, AV_LOG_ERROR, "device=%s cannot colour CUDA frames: use device=auto, or put hwdownload,format=%s before this "
               "filter\n", device, av_get_pix_fmt_name(frames->sw_format));
        return AVERROR(EINVAL);
    }
    s->cuda_device = av_buffer_ref(frames->device_ref);
    if (!s->cuda_device) return AVERROR(ENOMEM);
    ret = open_stream(ctx, frames->device_ctx->hwctx);
    if (ret < 0)
        av_log(ctx, AV_LOG_ERROR, "the engine cannot colour CUDA frames here (%s); hwdownload,format=%s before this filter gives "
               "it frames in host memory\n", av_err2str(ret), av_get_pix_fmt_name(frames->sw_format));
    return ret;
}

// The CUDA device that the application has given to its filters (ffmpeg's -filter_hw_device, or the only -init_hw_device), if
// frames in host memory may be coloured on it: device=cuda:1 means another one. The filter's context holds the reference.
static const AVCUDADeviceContext *application_device(const AVFilterContext *ctx)
{
    const CZContext *s = ctx->priv;
    const AVHWDeviceContext *device = ctx->hw_device_ctx ? (const void *)ctx->hw_device_ctx->data : NULL;
    const char *asked = s->option.device;

    if (!device || device->type != AV_HWDEVICE_TYPE_CUDA) return NULL;
    return !asked || !*asked || !strcmp(asked, "auto") || !strcmp(asked, "cuda") ? device->hwctx : NULL;
}

static int cz_config_input(AVFilterLink *inlink)
{
    CZContext *s = inlink->dst->priv;

    if (!s->model) return config_input(inlink);         // stock
    if (inlink->format == AV_PIX_FMT_CUDA) return config_cuda_input(inlink->dst);
    s->in_format = engine_format(&s->engine, inlink->format);
    return s->in_format ? open_stream(inlink->dst, application_device(inlink->dst)) : AVERROR_BUG;
}

// The pool of the output frames. libavutil's CUDA pools have no fixed size: they grow to the number of frames in use, here those
// in the stream (three batches) and those that the next filters or the encoder hold.
static int config_cuda_output(AVFilterLink *outlink)
{
    CZContext *s = outlink->src->priv;
    const AVHWFramesContext *in = (const void *)ff_filter_link(outlink->src->inputs[0])->hw_frames_ctx->data;
    FilterLink *link = ff_filter_link(outlink);
    AVHWFramesContext *out;
    int ret;

    av_buffer_unref(&link->hw_frames_ctx);
    link->hw_frames_ctx = av_hwframe_ctx_alloc(s->cuda_device);
    if (!link->hw_frames_ctx) return AVERROR(ENOMEM);
    out = (AVHWFramesContext *)link->hw_frames_ctx->data;
    out->format    = AV_PIX_FMT_CUDA;
    out->sw_format = in->sw_format;
    out->width     = FFALIGN(in->width, 2);     // of an odd height libavutil (5.1) would let the planes U and V overlap
    out->height    = FFALIGN(in->height, 2);
    if ((ret = ff_filter_init_hw_frames(outlink->src, outlink, 0)) < 0) return ret;
    s->out_format = s->in_format;
    return av_hwframe_ctx_init(link->hw_frames_ctx);
}

static int cz_config_output(AVFilterLink *outlink)
{
    CZContext *s = outlink->src->priv;

    if (!s->model) return 0;
    if (s->cuda_device) return config_cuda_output(outlink);
    s->out_format = engine_format(&s->engine, outlink->format);
    return s->out_format ? 0 : AVERROR_BUG;
}

static const AVFilterPad cz_inputs[] = {
    { .name = "default", .type = AVMEDIA_TYPE_VIDEO, .config_props = cz_config_input },
};

static const AVFilterPad cz_outputs[] = {
    { .name = "default", .type = AVMEDIA_TYPE_VIDEO, .config_props = cz_config_output },
};

// ---- closing ----

// Whether the output ended before our input. A trim filter after this one (-t inserts one) sets the end on its own output at
// once, but on ours too late, so every later link is checked. Filters that were freed before this one cannot be checked.
static int output_ended(AVFilterContext *ctx)
{
    while (ctx->nb_outputs == 1 && ctx->outputs[0]) {
        if (ff_outlink_get_status(ctx->outputs[0])) return 1;
        ctx = ctx->outputs[0]->dst;
    }
    return 0;
}

// The number of coloured frames that wait in the links after this filter. After a signal (Ctrl-C) ffmpeg 5.1 sends the end of the
// film through its filters, but reads no more frames from the last one.
static int frames_queued_downstream(AVFilterContext *ctx)
{
    int count = 0;

    for (; ctx->nb_outputs == 1 && ctx->outputs[0]; ctx = ctx->outputs[0]->dst)
        count += (int)ff_inlink_queued_frames(ctx->outputs[0]);
    return count;
}

// If frames are left, the output has ended, or ffmpeg was interrupted, or it rebuilds its filter graph in the middle of the film.
// The filter cannot tell these apart if ffmpeg has only stopped requesting frames (-frames:v), so the warning names all three.
static av_cold void uninit(AVFilterContext *ctx)
{
    CZContext *s = ctx->priv;
    int left = s->stream ? (output_ended(ctx) ? 0 : s->count) + frames_queued_downstream(ctx) : 0;

    if (left)
        av_log(ctx, AV_LOG_WARNING, "%d frame%s inside %s not asked for: nothing is lost if the output ended first (-t, "
               "-frames:v); if ffmpeg was interrupted they are not written; if the film has changed its size they are lost, and "
               "%sffmpeg's -reinit_filter 0 keeps all\n", left, left > 1 ? "s" : "", left > 1 ? "were" : "was",
               s->option.batch == 1 ? "" : "batch=1 or ");
    discard_frames(s);
    if (s->engine.library) {
        s->engine.stream_close(&s->stream);
        s->engine.model_close(&s->model);
    }
    av_buffer_unref(&s->cuda_device);           // after the stream, which uses its context
    engine_close(&s->engine);
}

// ---- the filter ----

#define FIXED   (AV_OPT_FLAG_FILTERING_PARAM | AV_OPT_FLAG_VIDEO_PARAM)
#define RUNTIME (FIXED | AV_OPT_FLAG_RUNTIME_PARAM)
#define AT(field) offsetof(CZContext, field)
#define TEXT_ROW(name, field, initial, flags, help) \
    { #name, help, AT(option.field), AV_OPT_TYPE_STRING, { .str = initial }, 0, 0, flags },
#define STRING_ROW_AS(name, field, initial, help) TEXT_ROW(name, field, initial, FIXED, help)
#define STRING_ROW(name, initial, help) STRING_ROW_AS(name, name, initial, help)
#define FLOAT_ROW(name, field, initial, max, help) \
    { #name, help, AT(field), AV_OPT_TYPE_FLOAT, { .dbl = initial }, 0, max, RUNTIME },

static const AVOption cz_options[] = {
#define MODEL(name, help) STRING_ROW(name, NULL, help)
#define STRING STRING_ROW
#define STRING_AS STRING_ROW_AS
#define FILTER_STRING STRING_ROW
#define LIVE_STRING(name, help) TEXT_ROW(name, name, NULL, RUNTIME, help)
#define INT(name, initial, min, max, help) \
    { #name, help, AT(option.name), AV_OPT_TYPE_INT, { .i64 = initial }, min, max, FIXED },
#define ENUM(name, last, help, values) \
    { #name, help, AT(option.name), AV_OPT_TYPE_INT, { .i64 = 0 }, 0, last, FIXED, .unit = #name }, values
#define VALUE(option, name, value, help) { #name, help, 0, AV_OPT_TYPE_CONST, { .i64 = value }, 0, 0, FIXED, .unit = #option },
#define FLOAT(name, initial, max, help) FLOAT_ROW(name, option.name, initial, max, help)
#define STOCK_FLOAT(name, initial, max, help) FLOAT_ROW(name, option.name, NAN, max, help)
#define FILTER_FLOAT(name, initial, max, help) FLOAT_ROW(name, stock.name, initial, max, help)
#include "options.def"
    { NULL }
};

AVFILTER_DEFINE_CLASS_EXT(cz, "colorize", cz_options);

const CZ_FILTER ff_vf_colorize = {
    .CZ_PUB(name)        = "colorize",
    .CZ_PUB(description) = NULL_IF_CONFIG_SMALL("Colour black-and-white film with a model, or overlay a solid color."),
    .CZ_PUB(priv_class)  = &cz_class,
    .CZ_PUB(flags)       = AVFILTER_FLAG_SUPPORT_TIMELINE_INTERNAL | AVFILTER_FLAG_SLICE_THREADS | CZ_FLAG_HWDEVICE,
    .flags_internal      = FF_FILTER_FLAG_HWFRAME_AWARE,
    .priv_size           = sizeof(CZContext),
    .init                = init,
    .uninit              = uninit,
    .activate            = activate,
    .process_command     = process_command,
    FILTER_INPUTS(cz_inputs),
    FILTER_OUTPUTS(cz_outputs),
    CZ_FILTER_QUERY(query_formats),
};
