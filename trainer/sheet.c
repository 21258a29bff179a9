// sheet.c - composes sheets of pictures; writes PNG through libavcodec.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <libavcodec/avcodec.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "sheet.h"

enum { GAP = 4, GAP_GREY = 128 };

struct clzt_sheet {
    int columns, rows, cell_width, cell_height, width, height;
    uint8_t *rgb;
};

int clzt_png_write(const char *path, const uint8_t *rgb, int width, int height, ptrdiff_t stride, const struct clz_log *log)
{
    const AVCodec *encoder = avcodec_find_encoder(AV_CODEC_ID_PNG);
    AVCodecContext *codec = encoder ? avcodec_alloc_context3(encoder) : NULL;
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    int ret = -ENOMEM;

    if (!encoder) {
        ret = clzi_fail(log, -ENOTSUP, "%s: this libavcodec has no PNG encoder.", path);
        goto end;
    }
    if (!codec || !packet || !frame) goto end;
    codec->width = frame->width = width;
    codec->height = frame->height = height;
    codec->pix_fmt = frame->format = AV_PIX_FMT_RGB24;
    codec->time_base = (AVRational){ 1, 1 };
    if (avcodec_open2(codec, encoder, NULL) < 0 || av_frame_get_buffer(frame, 0) < 0) goto end;
    for (int y = 0; y < height; y++)
        memcpy(frame->data[0] + (ptrdiff_t)y * frame->linesize[0], rgb + y * stride, (size_t)3 * width);
    if (avcodec_send_frame(codec, frame) < 0 || avcodec_receive_packet(codec, packet) < 0) {
        ret = clzi_fail(log, -EIO, "%s: a picture of %dx%d cannot be encoded as PNG.", path, width, height);
        goto end;
    }
    ret = clzi_file_replace(path, packet->data, packet->size, log);
end:
    av_frame_free(&frame);
    av_packet_free(&packet);
    avcodec_free_context(&codec);
    return ret;
}

int clzt_sheet_create(struct clzt_sheet **sheet, int columns, int rows, int width, int height)
{
    struct clzt_sheet *s = *sheet = calloc(1, sizeof *s);
    size_t size;

    if (!s) return -ENOMEM;
    s->columns = columns;
    s->rows = rows;
    s->cell_width = width;
    s->cell_height = height;
    s->width = columns * (width + GAP) - GAP;
    s->height = rows * (height + GAP) - GAP;
    size = (size_t)3 * s->width * s->height;
    if (!(s->rgb = malloc(size))) {
        clzt_sheet_destroy(sheet);
        return -ENOMEM;
    }
    memset(s->rgb, GAP_GREY, size);
    return 0;
}

void clzt_sheet_destroy(struct clzt_sheet **sheet)
{
    if (!*sheet) return;
    free((*sheet)->rgb);
    free(*sheet);
    *sheet = NULL;
}

void clzt_sheet_put(struct clzt_sheet *s, int column, int row, const uint8_t *rgb)
{
    const size_t x = (size_t)column * (s->cell_width + GAP), y = (size_t)row * (s->cell_height + GAP);

    for (int i = 0; i < s->cell_height; i++)
        memcpy(s->rgb + 3 * ((y + i) * s->width + x), rgb + (size_t)3 * i * s->cell_width, (size_t)3 * s->cell_width);
}

int clzt_sheet_write(const struct clzt_sheet *s, const char *path, const struct clz_log *log)
{
    return clzt_png_write(path, s->rgb, s->width, s->height, (ptrdiff_t)3 * s->width, log);
}
