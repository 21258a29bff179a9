// source_video.c - a video as a set of pictures: all frames of its best video stream, numbered in presentation order.
//
// Opening reads all packets once and stores each frame's timestamp and whether it is a key frame, so that any frame can be seeked
// to. Where timestamps are missing or not unique, frames are counted from the beginning instead.
//
// A packet that the demuxer marks as corrupt is dropped, with all packets up to the next key frame, which may depend on it.
// Opening and reading drop the same packets, so that the numbers of counted frames agree.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/display.h>

#include "base/log.h"
#include "orientation.h"
#include "source.h"

struct mark { int64_t pts; bool key; };

struct video {
    int stream;
    bool timed;                             // timestamps are complete and unique; otherwise frames are counted
    struct mark *marks;                     // [count], sorted by pts
    int orientation;                        // of frames without a display matrix of their own
};

struct reader {
    AVFormatContext *format;
    AVCodecContext *codec;
    AVPacket *packet;
    AVFrame *held;                          // a decoded frame that is later than the one asked for
    bool holding, draining, broken;         // broken: packets are dropped until the next key frame
    int64_t next;                           // number of the frame that is expected to be decoded next
};

// Includes pictures of formats that source_picture.c does not identify; libavformat reads them as films of one frame.
static bool probe(const char *path)
{
    return clzt_has_extension(path, ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .m1v .m2v .mpv .ts .m2t .m2ts .mts .vob .asf "
                                    ".wmv .flv .f4v .ogv .mxf .nut .y4m .h264 .264 .h265 .265 .hevc .ivf .gif .dv .3gp .3g2 "
                                    ".mjpeg .mjpg .rm .tga .pcx .sgi .pam .pbm .psd .qoi .hdr");
}

static int compare(const void *a, const void *b)
{
    const int64_t x = ((const struct mark *)a)->pts, y = ((const struct mark *)b)->pts;
    return (x > y) - (x < y);
}

static int open_format(AVFormatContext **format, const char *path, int *stream)
{
    int ret;

    *format = NULL;
    if ((ret = avformat_open_input(format, path, NULL, NULL)) < 0) return ret;
    if ((ret = avformat_find_stream_info(*format, NULL)) < 0) return ret;
    if ((ret = av_find_best_stream(*format, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0)) < 0) return ret;
    *stream = ret;
    for (unsigned i = 0; i < (*format)->nb_streams; i++)
        (*format)->streams[i]->discard = (int)i == ret ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    return 0;
}

// The stream's display matrix; NULL: none.
#if LIBAVFORMAT_VERSION_INT >= AV_VERSION_INT(60, 16, 100)
static const int32_t *stream_matrix(const AVStream *stream)
{
    const AVCodecParameters *p = stream->codecpar;
    const AVPacketSideData *side = av_packet_side_data_get(p->coded_side_data, p->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);

    return side && side->size >= 9 * sizeof(int32_t) ? (const int32_t *)side->data : NULL;
}
#else
static const int32_t *stream_matrix(const AVStream *stream)
{
    size_t size = 0;
    const uint8_t *data = av_stream_get_side_data(stream, AV_PKT_DATA_DISPLAYMATRIX, &size);

    return data && size >= 9 * sizeof(int32_t) ? (const int32_t *)data : NULL;
}
#endif

// A frame's display matrix (EXIF of JPEG, SEI of H.264) has precedence over the stream's, as in ffmpeg.
static int orientation_of(const struct video *v, const AVFrame *frame)
{
    const AVFrameSideData *side = av_frame_get_side_data(frame, AV_FRAME_DATA_DISPLAYMATRIX);

    return side && side->size >= 9 * sizeof(int32_t) ? clzt_orientation_of_matrix((const int32_t *)side->data) : v->orientation;
}

static void close_file(struct clzt_source *source)
{
    struct video *v = source->priv;

    if (!v) return;
    free(v->marks);
    free(v);
    source->priv = NULL;
}

// Whether a packet may be decoded: it is not corrupt and does not follow a corrupt one without a key frame between.
static bool decodable(const AVPacket *packet, bool *broken)
{
    if (packet->flags & AV_PKT_FLAG_CORRUPT) *broken = true;
    else if (packet->flags & AV_PKT_FLAG_KEY) *broken = false;
    return !*broken;
}

// Demuxers report a truncated file as one that ends there, but its header still has the full length.
static bool truncated(const AVFormatContext *format, const struct video *v, int64_t count)
{
    const AVStream *stream = format->streams[v->stream];
    const double said = format->nb_streams == 1 && format->duration > 0 ? (double)format->duration / AV_TIME_BASE : 0;
    const int64_t begin = stream->start_time != AV_NOPTS_VALUE ? stream->start_time : 0;

    if (stream->nb_frames > 0) return count < stream->nb_frames;
    return v->timed && count > 1 && said > 0 && (v->marks[count - 1].pts - begin) * av_q2d(stream->time_base) < 0.95 * said - 1;
}

static int open_file(struct clzt_source *source, const struct clz_log *log)
{
    AVFormatContext *format = NULL;
    AVPacket *packet = av_packet_alloc();
    struct video *v = source->priv = calloc(1, sizeof *v);
    int64_t room = 0, count = 0, left_out = 0;
    char why[AV_ERROR_MAX_STRING_SIZE];
    const int32_t *matrix;
    bool whole, broken = false;
    int ret = -ENOMEM;

    if (!packet || !v) goto fail;
    if ((ret = open_format(&format, source->path, &v->stream)) < 0) {
        av_strerror(ret, why, sizeof why);
        ret = clzi_fail(log, ret == AVERROR(ENOMEM) ? -ENOMEM : -EINVAL, "%s: neither a picture nor a video: %s.", source->path,
                        why);
        goto fail;
    }
    matrix = stream_matrix(format->streams[v->stream]);
    v->orientation = matrix ? clzt_orientation_of_matrix(matrix) : 1;
    v->timed = true;
    while ((ret = av_read_frame(format, packet)) >= 0) {
        if (packet->stream_index != v->stream || !packet->size) {
            av_packet_unref(packet);
            continue;
        }
        if (!decodable(packet, &broken)) left_out++;
        else if (!(packet->flags & AV_PKT_FLAG_DISCARD)) {
            if (count == room) {
                struct mark *more = realloc(v->marks, (room = room * 2 + 1024) * sizeof *more);
                if (!more) {
                    ret = -ENOMEM;
                    goto fail;
                }
                v->marks = more;
            }
            if (packet->pts == AV_NOPTS_VALUE) v->timed = false;
            v->marks[count++] = (struct mark){ packet->pts, packet->flags & AV_PKT_FLAG_KEY };
        }
        av_packet_unref(packet);
    }
    whole = ret == AVERROR_EOF;
    if (!whole) {
        av_strerror(ret, why, sizeof why);
        clzi_log(log, CLZ_LOG_WARNING, "%s: cannot be read beyond %lld frames (%s); these are used.", source->path,
                 (long long)count, why);
    }
    if (left_out)
        clzi_log(log, CLZ_LOG_WARNING, "%s: %lld of %lld frames are corrupt or depend on corrupt ones; the others are used.",
                 source->path, (long long)left_out, (long long)(count + left_out));
    if (!count) {
        ret = clzi_fail(log, -EINVAL, "%s: the video has no frame.", source->path);
        goto fail;
    }
    qsort(v->marks, count, sizeof *v->marks, compare);
    for (int64_t i = 1; i < count && v->timed; i++)
        if (v->marks[i].pts == v->marks[i - 1].pts) v->timed = false;
    if (whole && !left_out && truncated(format, v, count))
        clzi_log(log, CLZ_LOG_WARNING, "%s: ends after %lld frames, earlier than its header says; these are used.", source->path,
                 (long long)count);
    source->count = count;
    ret = 0;
fail:
    if (ret < 0) close_file(source);
    avformat_close_input(&format);
    av_packet_free(&packet);
    return ret;
}

static void reader_close(void **reader)
{
    struct reader *r = *reader;

    if (!r) return;
    avcodec_free_context(&r->codec);
    avformat_close_input(&r->format);
    av_packet_free(&r->packet);
    av_frame_free(&r->held);
    free(r);
    *reader = NULL;
}

// Opens file and decoder at frame 0; closes them first if they are open.
static int start(struct reader *r, const struct clzt_source *source)
{
    const AVCodec *decoder;
    int stream;

    avcodec_free_context(&r->codec);
    avformat_close_input(&r->format);
    av_frame_unref(r->held);
    r->holding = r->draining = r->broken = false;
    r->next = 0;
    if (open_format(&r->format, source->path, &stream) < 0) return -EIO;
    if (!(decoder = avcodec_find_decoder(r->format->streams[stream]->codecpar->codec_id))) return -EIO;
    if (!(r->codec = avcodec_alloc_context3(decoder))) return -ENOMEM;
    r->codec->thread_count = 1;             // several readers run in parallel
    r->codec->pkt_timebase = r->format->streams[stream]->time_base;
    if (avcodec_parameters_to_context(r->codec, r->format->streams[stream]->codecpar) < 0) return -EIO;
    return avcodec_open2(r->codec, decoder, NULL) < 0 ? -EIO : 0;
}

static int reader_open(void **reader, const struct clzt_source *source)
{
    struct reader *r = *reader = calloc(1, sizeof *r);
    int ret = -ENOMEM;

    if (r && (r->packet = av_packet_alloc()) && (r->held = av_frame_alloc())) ret = start(r, source);
    if (ret < 0) reader_close(reader);
    return ret;
}

// Decodes the next frame. -ENODATA: the end of the file. Packets that cannot be decoded are skipped.
static int decode(struct reader *r, int stream, AVFrame *frame)
{
    for (;;) {
        int ret = avcodec_receive_frame(r->codec, frame);
        if (ret == 0) return 0;
        if (ret == AVERROR(ENOMEM)) return -ENOMEM;
        if (ret == AVERROR_EOF || (r->draining && ret != AVERROR(EAGAIN))) return -ENODATA;
        do {
            av_packet_unref(r->packet);
            ret = av_read_frame(r->format, r->packet);
        } while (ret >= 0 && (r->packet->stream_index != stream || !decodable(r->packet, &r->broken)));
        if (ret < 0) {
            if (r->draining) return -ENODATA;
            r->draining = true;
        }
        avcodec_send_packet(r->codec, r->draining ? NULL : r->packet);
        av_packet_unref(r->packet);
    }
}

static int seek(struct reader *r, const struct clzt_source *source, int64_t index)
{
    const struct video *v = source->priv;
    int64_t key = index;

    if (!r->codec) return start(r, source);
    if (!v->timed) return index < r->next ? start(r, source) : 0;
    while (key > 0 && !v->marks[key].key) key--;
    if (index >= r->next && key <= r->next) return 0;          // seeking would not save any decoding
    // Not to the frame itself: some demuxers compare decoding times, and find the key frame after it, without which a B-frame
    // before it in presentation order cannot be decoded.
    if (av_seek_frame(r->format, v->stream, v->marks[key].pts, AVSEEK_FLAG_BACKWARD) < 0) return start(r, source);
    avcodec_flush_buffers(r->codec);
    av_frame_unref(r->held);
    r->holding = r->draining = r->broken = false;
    r->next = key;
    return 0;
}

static int read_frame(void *reader, const struct clzt_source *source, int64_t index, AVFrame *frame, int *orientation)
{
    const struct video *v = source->priv;
    struct reader *r = reader;
    int ret;

    if ((ret = seek(r, source, index)) < 0) return ret;
    for (;;) {
        if (r->holding) {
            av_frame_move_ref(frame, r->held);
            r->holding = false;
        } else if ((ret = decode(r, v->stream, frame)) < 0) {
            r->next = INT64_MAX;                                // the end: the next read must seek
            return ret == -ENODATA ? -EIO : ret;
        }
        if (v->timed && frame->best_effort_timestamp > v->marks[index].pts) {
            av_frame_move_ref(r->held, frame);
            r->holding = true;
            r->next = index + 1;
            return -EIO;
        }
        if (v->timed ? frame->best_effort_timestamp == v->marks[index].pts : r->next == index) {
            r->next = index + 1;
            *orientation = orientation_of(v, frame);
            if (!frame->decode_error_flags && !(frame->flags & AV_FRAME_FLAG_CORRUPT)) return 0;
            av_frame_unref(frame);
            return -EIO;
        }
        if (!v->timed) r->next++;
        av_frame_unref(frame);
    }
}

static bool stands_alone(const struct clzt_source *source)
{
    const struct video *v = source->priv;

    for (int64_t i = 0; i < source->count; i++)
        if (!v->marks[source->chosen ? source->chosen[i] : i].key) return false;
    return true;
}

const struct clzt_source_kind clzt_source_video = {
    .name = "video", .probe = probe, .open = open_file, .close = close_file, .stands_alone = stands_alone,
    .reader_open = reader_open, .reader_close = reader_close, .read = read_frame,
};
