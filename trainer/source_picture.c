// source_picture.c - a file that is one picture. The whole file is given to the decoder, without a demuxer, which is faster for
// many small files. The format is recognised by the first bytes, since extensions are often wrong.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <libavcodec/avcodec.h>

#include "base/log.h"
#include "orientation.h"
#include "source.h"

enum { MAX_FILE = 256 << 20 };

static const struct format {
    enum AVCodecID codec;
    int offset;                             // of the magic bytes
    const char *magic;
    int size;
} formats[] = {
    { AV_CODEC_ID_MJPEG, 0, "\xff\xd8\xff", 3 },
    { AV_CODEC_ID_PNG, 0, "\x89PNG\r\n\x1a\n", 8 },
    { AV_CODEC_ID_WEBP, 8, "WEBP", 4 },
    { AV_CODEC_ID_BMP, 0, "BM", 2 },
    { AV_CODEC_ID_TIFF, 0, "II*\0", 4 },
    { AV_CODEC_ID_TIFF, 0, "MM\0*", 4 },
    { AV_CODEC_ID_PPM, 0, "P6", 2 },
    { AV_CODEC_ID_PPM, 0, "P3", 2 },
    { AV_CODEC_ID_PGM, 0, "P5", 2 },
    { AV_CODEC_ID_JPEG2000, 4, "jP  \r\n\x87\n", 8 },
    { AV_CODEC_ID_DPX, 0, "SDPX", 4 },
    { AV_CODEC_ID_DPX, 0, "XPDS", 4 },
    { AV_CODEC_ID_EXR, 0, "v/1\x01", 4 },
};

static bool probe(const char *path)
{
    return clzt_has_extension(path, ".jpg .jpeg .jpe .jfif .png .webp .bmp .tif .tiff .ppm .pgm .pnm .jp2 .j2k .dpx .exr");
}

static const struct format *identify(const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (size >= (size_t)(formats[i].offset + formats[i].size) &&
            !memcmp(data + formats[i].offset, formats[i].magic, formats[i].size)) return &formats[i];
    return NULL;
}

// Opens a regular file. Without O_NONBLOCK, opening a FIFO that has replaced the file would block.
static FILE *open_regular(const char *path)
{
    const int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    FILE *file = NULL;
    struct stat st;

    if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode)) file = fdopen(fd, "rb");
    if (!file && fd >= 0) close(fd);
    return file;
}

// A file with the extension of a picture is not read here; others are recognised by their first bytes.
static int open_file(struct clzt_source *source, const struct clz_log *log)
{
    uint8_t head[16];
    size_t size;
    FILE *file;

    (void)log;
    source->count = 1;
    if (probe(source->path)) return 0;
    if (!(file = open_regular(source->path))) return errno == ENOMEM ? -ENOMEM : -EINVAL;
    size = fread(head, 1, sizeof head, file);
    fclose(file);
    return identify(head, size) ? 0 : -EINVAL;
}

static int read_file(AVPacket *packet, const char *path)
{
    FILE *file = open_regular(path);
    struct stat st;
    int ret = -EIO;

    if (!file) return -EIO;
    if (fstat(fileno(file), &st) || st.st_size < 16 || st.st_size > MAX_FILE) goto end;
    if (av_new_packet(packet, (int)st.st_size)) {
        ret = -ENOMEM;
        goto end;
    }
    if (fread(packet->data, 1, st.st_size, file) == (size_t)st.st_size) ret = 0;
end:
    fclose(file);
    return ret;
}

// libavcodec decodes a truncated JPEG to a picture whose lower part is grey; such a file lacks the end marker near its end.
static bool cut_off(const struct format *format, const AVPacket *packet)
{
    const int tail = packet->size > 65536 ? packet->size - 65536 : 0;

    if (format->codec != AV_CODEC_ID_MJPEG) return false;
    for (int i = packet->size - 2; i >= tail; i--)
        if (packet->data[i] == 0xff && packet->data[i + 1] == 0xd9) return false;
    return true;
}

static int read_picture(void *reader, const struct clzt_source *source, int64_t index, AVFrame *frame, int *orientation)
{
    AVPacket *packet = av_packet_alloc();
    AVCodecContext *codec = NULL;
    const struct format *format;
    const AVCodec *decoder;
    int ret = -ENOMEM;

    (void)reader;
    (void)index;
    if (!packet || (ret = read_file(packet, source->path)) < 0) goto end;
    ret = -EIO;
    if (!(format = identify(packet->data, packet->size)) || cut_off(format, packet)) goto end;
    if (!(decoder = avcodec_find_decoder(format->codec))) goto end;
    if (!(codec = avcodec_alloc_context3(decoder))) {
        ret = -ENOMEM;
        goto end;
    }
    codec->thread_count = 1;
    codec->max_pixels = CLZT_MAX_PIXELS;
    // with AV_EF_EXPLODE libavcodec's TIFF decoder fails at each tag that it does not know, such as the orientation
    codec->err_recognition = format->codec == AV_CODEC_ID_TIFF ? AV_EF_CRCCHECK : AV_EF_CRCCHECK | AV_EF_EXPLODE;
    if (avcodec_open2(codec, decoder, NULL) < 0 || avcodec_send_packet(codec, packet) < 0) goto end;
    avcodec_send_packet(codec, NULL);
    if (avcodec_receive_frame(codec, frame) < 0) goto end;
    ret = frame->decode_error_flags ? -EIO : 0;
    *orientation = clzt_orientation_of_file(packet->data, packet->size);
end:
    if (ret < 0) av_frame_unref(frame);
    avcodec_free_context(&codec);
    av_packet_free(&packet);
    return ret;
}

const struct clzt_source_kind clzt_source_picture = {
    .name = "picture", .probe = probe, .open = open_file, .read = read_picture,
};
