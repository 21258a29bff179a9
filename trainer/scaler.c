// scaler.c - libswscale; but 4:4:4 pictures that have the wanted size already are converted here, which is faster.
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <libavutil/pixdesc.h>
#include <libswscale/swscale.h>

#include "engine/colorize.h"
#include "kernels/lab_math.h"
#include "scaler.h"

struct clzt_scaler {
    struct SwsContext *sws;
    struct { int width, height, format, matrix, full, w, h; } set;     // parameters of sws
    AVFrame *out;                           // gbrp
};

int clzt_scaler_create(struct clzt_scaler **scaler)
{
    return (*scaler = calloc(1, sizeof **scaler)) ? 0 : -ENOMEM;
}

void clzt_scaler_destroy(struct clzt_scaler **scaler)
{
    if (!*scaler) return;
    sws_freeContext((*scaler)->sws);
    av_frame_free(&(*scaler)->out);
    free(*scaler);
    *scaler = NULL;
}

void clzt_scaled_size(int width, int height, int scale, int min_side, int *w, int *h)
{
    const int shorter = width < height ? width : height;
    const int wanted = scale ? scale : shorter < min_side ? min_side : shorter, side = wanted < min_side ? min_side : wanted;

    *w = width == shorter ? side : (int)fmin(rint((double)width * side / shorter), INT_MAX);
    *h = height == shorter ? side : (int)fmin(rint((double)height * side / shorter), INT_MAX);
}

// The deprecated yuvj formats: the plain format at full range.
static const struct { enum AVPixelFormat old, now; } full_formats[] = {
    { AV_PIX_FMT_YUVJ420P, AV_PIX_FMT_YUV420P }, { AV_PIX_FMT_YUVJ422P, AV_PIX_FMT_YUV422P },
    { AV_PIX_FMT_YUVJ444P, AV_PIX_FMT_YUV444P }, { AV_PIX_FMT_YUVJ440P, AV_PIX_FMT_YUV440P },
    { AV_PIX_FMT_YUVJ411P, AV_PIX_FMT_YUV411P },
};

static enum AVPixelFormat plain_format(const AVFrame *frame, bool *full)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(frame->format);

    *full = frame->color_range == AVCOL_RANGE_JPEG ||
            (frame->color_range == AVCOL_RANGE_UNSPECIFIED && d && (d->nb_components < 3 || d->flags & AV_PIX_FMT_FLAG_RGB));
    for (size_t i = 0; i < sizeof full_formats / sizeof *full_formats; i++)
        if (frame->format == full_formats[i].old) {
            *full = true;
            return full_formats[i].now;
        }
    return frame->format;
}

static const struct matrix { int sws; struct clzk_luma_weights weights; } bt601 = { SWS_CS_ITU601, CLZK_LUMA_601 },
    bt709 = { SWS_CS_ITU709, CLZK_LUMA_709 }, bt2020 = { SWS_CS_BT2020, CLZK_LUMA_2020 };

// As in the filter; but an untagged frame of full range counts as BT.601, since photographs are (JFIF).
static const struct matrix *matrix_of(const AVFrame *frame, bool full)
{
    const bool is_709 = !full && clz_matrix_guess(frame->width, frame->height) == CLZ_MATRIX_709;

    switch (frame->colorspace) {
    case AVCOL_SPC_BT709:
    case AVCOL_SPC_SMPTE240M: return &bt709;
    case AVCOL_SPC_BT2020_NCL:
    case AVCOL_SPC_BT2020_CL: return &bt2020;
    case AVCOL_SPC_UNSPECIFIED: return is_709 ? &bt709 : &bt601;
    default: return &bt601;
    }
}

static inline int clip(int v) { return v < 0 ? 0 : v > 255 ? 255 : v; }

// In fixed point with 16 fractional bits; the rounding error is at most slightly above half a level.
static void convert_444(const AVFrame *frame, const struct matrix *m, bool full, int w, int h, uint8_t *rgb)
{
    const double red = m->weights.kr, blue = m->weights.kb, green = 1 - red - blue;
    const double luma = full ? 1 : 255.0 / 219, chroma = full ? 1 : 255.0 / 224;
    const int ky = (int)lrint(luma * 65536), offset = full ? 0 : 16;
    const int rv = (int)lrint(chroma * 2 * (1 - red) * 65536), bu = (int)lrint(chroma * 2 * (1 - blue) * 65536);
    const int gv = (int)lrint(chroma * 2 * (1 - red) * red / green * 65536);
    const int gu = (int)lrint(chroma * 2 * (1 - blue) * blue / green * 65536);

    for (int row = 0; row < h; row++) {
        const uint8_t *restrict py = frame->data[0] + (ptrdiff_t)row * frame->linesize[0];
        const uint8_t *restrict pu = frame->data[1] + (ptrdiff_t)row * frame->linesize[1];
        const uint8_t *restrict pv = frame->data[2] + (ptrdiff_t)row * frame->linesize[2];
        uint8_t *restrict r = rgb + (size_t)row * w, *restrict g = r + (size_t)w * h, *restrict b = g + (size_t)w * h;
#pragma omp simd
        for (int i = 0; i < w; i++) {
            const int y = ky * (py[i] - offset) + 32768, u = pu[i] - 128, v = pv[i] - 128;
            r[i] = (uint8_t)clip((y + rv * v) >> 16);
            g[i] = (uint8_t)clip((y - gu * u - gv * v) >> 16);
            b[i] = (uint8_t)clip((y + bu * u) >> 16);
        }
    }
}

static int make_sws(struct clzt_scaler *s, const AVFrame *frame, enum AVPixelFormat format, const struct matrix *m, bool full,
                    int w, int h)
{
    const int flags = SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INP | SWS_FULL_CHR_H_INT;

    if (s->sws && s->set.width == frame->width && s->set.height == frame->height && s->set.format == format &&
        s->set.matrix == m->sws && s->set.full == full && s->set.w == w && s->set.h == h) return 0;
    sws_freeContext(s->sws);
    if (!(s->sws = sws_getContext(frame->width, frame->height, format, w, h, AV_PIX_FMT_GBRP, flags, NULL, NULL, NULL)))
        return -EIO;
    sws_setColorspaceDetails(s->sws, sws_getCoefficients(m->sws), full, sws_getCoefficients(SWS_CS_DEFAULT), 1, 0, 1 << 16,
                             1 << 16);
    s->set.width = frame->width;
    s->set.height = frame->height;
    s->set.format = format;
    s->set.matrix = m->sws;
    s->set.full = full;
    s->set.w = w;
    s->set.h = h;
    if (s->out && s->out->width == w && s->out->height == h) return 0;
    av_frame_free(&s->out);
    if (!(s->out = av_frame_alloc())) return -ENOMEM;
    s->out->format = AV_PIX_FMT_GBRP;
    s->out->width = w;
    s->out->height = h;
    return av_frame_get_buffer(s->out, 0) < 0 ? -ENOMEM : 0;
}

int clzt_scaler_run(struct clzt_scaler *s, const AVFrame *frame, int w, int h, uint8_t *rgb)
{
    static const int plane_of[3] = { 2, 0, 1 };                 // gbrp stores green, blue, red
    bool full;
    const enum AVPixelFormat format = plain_format(frame, &full);
    const struct matrix *m = matrix_of(frame, full);
    int ret;

    if (format == AV_PIX_FMT_YUV444P && frame->width == w && frame->height == h && frame->colorspace != AVCOL_SPC_RGB) {
        convert_444(frame, m, full, w, h, rgb);
        return 0;
    }
    if ((ret = make_sws(s, frame, format, m, full, w, h)) < 0) {
        sws_freeContext(s->sws);
        s->sws = NULL;
        return ret;
    }
    if (sws_scale(s->sws, (const uint8_t *const *)frame->data, frame->linesize, 0, frame->height, s->out->data,
                  s->out->linesize) != h) return -EIO;
    for (int p = 0; p < 3; p++) {
        const uint8_t *from = s->out->data[plane_of[p]];
        for (int row = 0; row < h; row++, from += s->out->linesize[plane_of[p]]) memcpy(rgb + ((size_t)p * h + row) * w, from, w);
    }
    return 0;
}
