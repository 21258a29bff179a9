// data.c - datasets and the loader: finding and decoding files, damaged ones, crops, and that batches depend on the seed only.
//
//     data bench WORKERS CACHE FILM PATH...    pictures per second (CACHE, FILM: 0 or 1)
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>
#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/crc.h>

#include "check.h"
#include "base/clock.h"
#include "kernels/fnv.h"
#include "kernels/lab_math.h"
#include "kernels/philox.h"
#include "trainer/crop.h"
#include "trainer/data.h"
#include "trainer/loss.h"
#include "trainer/sheet.h"

enum { FOLDER = 200, PATH = 400, FRAMES = 100 };

static char folder[FOLDER], said[4000];
static int messages;

static void hear(void *priv, enum clz_log_level level, const char *msg)
{
    const size_t n = strlen(said);
    (void)priv;
    (void)level;
    messages++;
    snprintf(said + n, sizeof said - n, "%s\n", msg);
}

static void in_folder(char path[PATH], const char *name) { snprintf(path, PATH, "%s/%s", folder, name); }

// ---- making files ----

static void make_png(const char *name, int width, int height, int r, int g, int b)
{
    uint8_t *rgb = malloc((size_t)3 * width * height);
    char path[PATH];

    for (int i = 0; i < width * height; i++) {
        rgb[3 * i] = r;
        rgb[3 * i + 1] = g;
        rgb[3 * i + 2] = b;
    }
    in_folder(path, name);
    REQUIRE_INT(clzt_png_write(path, rgb, width, height, (ptrdiff_t)3 * width, NULL), 0);
    free(rgb);
}

// A picture whose pixels all differ in colour, so that crops can be identified.
static void make_pattern(const char *name, int width, int height, int salt)
{
    uint8_t *rgb = malloc((size_t)3 * width * height);
    char path[PATH];

    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            uint8_t *p = rgb + 3 * ((size_t)y * width + x);
            p[0] = (uint8_t)(x * 5 + salt * 40);
            p[1] = (uint8_t)(y * 3 + x + salt * 17);
            p[2] = (uint8_t)(x * y / 8 + salt * 90);
        }
    in_folder(path, name);
    REQUIRE_INT(clzt_png_write(path, rgb, width, height, (ptrdiff_t)3 * width, NULL), 0);
    free(rgb);
}

static void make_file(const char *name, const void *data, size_t size)
{
    char path[PATH];
    FILE *f;

    in_folder(path, name);
    if (!(f = fopen(path, "wb"))) return;
    fwrite(data, 1, size, f);
    fclose(f);
}

static void cut(const char *name, double part)
{
    char path[PATH];
    struct stat st;

    in_folder(path, name);
    REQUIRE(!stat(path, &st));
    REQUIRE(!truncate(path, (off_t)(st.st_size * part)));
}

static void join(const char *part, const char *whole)          // concatenates the file with itself
{
    char command[3 * PATH + 20], path[PATH], to[PATH];

    in_folder(path, part);
    in_folder(to, whole);
    snprintf(command, sizeof command, "cat '%s' '%s' >'%s'", path, path, to);
    REQUIRE(!system(command));
}

// Grey level of frame i of the test videos, in 0..255 of full range.
static int level(int i) { return 20 + 2 * i; }

static int drain(AVCodecContext *codec, AVFormatContext *format, AVPacket *packet)
{
    int ret;

    while (!(ret = avcodec_receive_packet(codec, packet))) {
        packet->duration = 1;               // without it, mp4 has a last frame of length 0, which players leave out
        av_packet_rescale_ts(packet, codec->time_base, format->streams[0]->time_base);
        packet->stream_index = 0;
        if (av_interleaved_write_frame(format, packet) < 0) return -1;
    }
    return 0;
}

// FRAMES frames of 64x48, each of one grey (or, with ffv1, one colour); mpeg4 with B-frames and few key frames.
static bool make_video(const char *name, enum AVCodecID id, enum AVPixelFormat pix_fmt)
{
    const AVCodec *encoder = avcodec_find_encoder(id);
    AVCodecContext *codec = encoder ? avcodec_alloc_context3(encoder) : NULL;
    AVFormatContext *format = NULL;
    AVPacket *packet = av_packet_alloc();
    AVFrame *frame = av_frame_alloc();
    char path[PATH];
    bool ok = false;

    in_folder(path, name);
    if (!codec || avformat_alloc_output_context2(&format, NULL, NULL, path) < 0 || !avformat_new_stream(format, NULL))
        goto end;
    codec->width = frame->width = 64;
    codec->height = frame->height = 48;
    codec->pix_fmt = frame->format = pix_fmt;
    codec->color_range = frame->color_range = AVCOL_RANGE_JPEG;
    codec->time_base = (AVRational){ 1, 25 };
    codec->framerate = (AVRational){ 25, 1 };
    codec->gop_size = 24;
    codec->flags |= AV_CODEC_FLAG_QSCALE;
    codec->global_quality = FF_QP2LAMBDA * 1;
    if (id == AV_CODEC_ID_MPEG4) codec->max_b_frames = 2;
    if (format->oformat->flags & AVFMT_GLOBALHEADER) codec->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    if (avcodec_open2(codec, encoder, NULL) < 0 || avcodec_parameters_from_context(format->streams[0]->codecpar,
                                                                                   codec) < 0 ||
        avio_open(&format->pb, path, AVIO_FLAG_WRITE) < 0 || avformat_write_header(format, NULL) < 0 ||
        av_frame_get_buffer(frame, 0) < 0) goto end;
    for (int i = 0; i < FRAMES; i++) {
        if (av_frame_make_writable(frame) < 0) goto end;
        for (int p = 0; p < 3; p++) {
            const int rows = p && pix_fmt == AV_PIX_FMT_YUV420P ? 24 : 48;
            memset(frame->data[p], p ? (id == AV_CODEC_ID_FFV1 ? 128 + (p == 1 ? 40 : -30) : 128) : level(i),
                   (size_t)frame->linesize[p] * rows);
        }
        frame->pts = i;
        if (avcodec_send_frame(codec, frame) < 0 || drain(codec, format, packet) < 0) goto end;
    }
    ok = avcodec_send_frame(codec, NULL) >= 0 && !drain(codec, format, packet) && !av_write_trailer(format);
end:
    if (format && format->pb) avio_closep(&format->pb);
    avformat_free_context(format);
    avcodec_free_context(&codec);
    av_frame_free(&frame);
    av_packet_free(&packet);
    return ok;
}

// ---- opening ----

static struct clzt_dataset *open_paths(int count, const char *const *names, struct clzt_dataset_params params)
{
    char paths[8][PATH];
    const char *list[8];
    struct clzt_dataset *d = NULL;

    for (int i = 0; i < count; i++) {
        in_folder(paths[i], names[i]);
        list[i] = paths[i];
    }
    params.paths = list;
    params.path_count = count;
    params.log = (struct clz_log){ hear, NULL, CLZ_LOG_INFO };
    said[0] = 0;
    messages = 0;
    REQUIRE_INT(clzt_dataset_open(&d, &params), 0);
    REQUIRE_INT(clzt_dataset_fill(d), 0);
    return d;
}

static struct clzt_dataset *open_one(const char *name, struct clzt_dataset_params params)
{
    return open_paths(1, &name, params);
}

// Red of the middle pixel of a picture; -1: cannot be read.
static int red_of(struct clzt_reader *r, int64_t index)
{
    struct clzt_picture p;

    if (clzt_reader_read(r, index, &p) < 0) return -1;
    return p.r[p.width * (p.height / 2) + p.width / 2];
}

// ---- arithmetic ----

static void numbers(void)
{
    static const uint32_t pi[6] = { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0 };
    uint32_t r[4];

    CASE("philox/known_answers");           // Random123's kat_vectors
    clzk_philox(0, 0, 0, r);
    REQUIRE(r[0] == 0x6627e8d5 && r[1] == 0xe169c58d && r[2] == 0xbc57ac4c && r[3] == 0x9b00dbd8);
    clzk_philox(UINT64_MAX, UINT64_MAX, UINT64_MAX, r);
    REQUIRE(r[0] == 0x408f276d && r[1] == 0x41c83b0e && r[2] == 0xa20bc7c6 && r[3] == 0x6d5451fd);
    clzk_philox4x32(pi, pi + 4, r);
    REQUIRE(r[0] == 0xd16cfe09 && r[1] == 0x94fdcceb && r[2] == 0x5001e420 && r[3] == 0x24126ea1);
}

static void lab_rows(void)
{
    struct clzt_crop_tables tables;
    uint8_t r[256], g[256], b[256];
    float l[256], a[256], bb[256];
    double worst = 0;

    CASE("crop/lab_of_8_bit_colours");
    clzt_crop_tables_make(&tables);
    for (int i = 0; i < 256; i++) r[i] = (uint8_t)i;
    for (int G = 0; G < 256; G += 5)
        for (int B = 0; B < 256; B += 3) {
            memset(g, G, sizeof g);
            memset(b, B, sizeof b);
            clzt_lab_row(&tables, r, g, b, 256, l, a, bb);
            for (int i = 0; i < 256; i++) {
                const float rgb[3] = { i / 255.f, G / 255.f, B / 255.f };
                float lab[3];
                clzk_rgb_to_lab(rgb, lab);
                worst = fmax(worst, fabs((l[i] + 1) * 50 - lab[0]));
                worst = fmax(worst, fabs(a[i] * 110 - lab[1]));
                worst = fmax(worst, fabs(bb[i] * 110 - lab[2]));
            }
        }
    REQUIRE_NEAR(worst, 0, 1e-3);           // measured: 1.8e-4
    REQUIRE_NEAR((tables.l_of_luma[128] + 1) * 50, 53.585013, 1e-3);
    REQUIRE_NEAR(tables.l_of_luma[255], 1, 1e-6);
}

// ---- datasets ----

static void pictures(void)
{
    struct clzt_dataset *d;
    struct clzt_reader *r = NULL;
    struct clzt_picture p;
    char path[PATH], sub[PATH];

    in_folder(path, "set");
    in_folder(sub, "set/b");
    mkdir(path, 0777);
    mkdir(sub, 0777);
    make_png("set/c.png", 40, 30, 30, 0, 0);
    make_png("set/a.png", 40, 30, 10, 0, 0);
    make_png("set/b/z.PNG", 30, 80, 20, 0, 0);
    make_file("set/notes.txt", "hello", 5);
    make_file("set/.hidden.png", "hello", 5);

    CASE("data/folder_is_searched_and_sorted");
    d = open_one("set", (struct clzt_dataset_params){ .min_side = 16 });
    REQUIRE_INT(clzt_dataset_count(d), 3);
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    for (int i = 0; i < 3; i++) REQUIRE_INT(red_of(r, i), 10 * (i + 1));
    REQUIRE_INT(clzt_reader_read(r, 1, &p), 0);
    REQUIRE(p.width == 30 && p.height == 80);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);

    CASE("data/scale_and_least_size");
    d = open_one("set", (struct clzt_dataset_params){ .min_side = 64 });
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    REQUIRE_INT(clzt_reader_read(r, 0, &p), 0);
    REQUIRE(p.width == 85 && p.height == 64);
    REQUIRE_NEAR(p.r[100], 10, 1);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);
    d = open_one("set", (struct clzt_dataset_params){ .scale = 20, .min_side = 16 });
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    REQUIRE_INT(clzt_reader_read(r, 1, &p), 0);
    REQUIRE(p.width == 20 && p.height == 53);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);

    CASE("data/bad_pictures_are_reported_once_and_replaced");
    make_png("set/b/broken.png", 40, 30, 99, 0, 0);
    cut("set/b/broken.png", 0.6);
    make_file("set/b/text.jpg", "this is not a picture, whatever its name", 40);
    make_file("set/zero.png", "", 0);
    for (int cache = 0; cache < 2; cache++) {
        d = open_one("set", (struct clzt_dataset_params){ .min_side = 16, .cache = cache, .threads = 2 });
        REQUIRE_INT(clzt_dataset_count(d), 6);                  // a, b/broken, b/text, b/z, c, zero
        REQUIRE_INT(clzt_reader_create(&r, d), 0);
        for (int again = 0; again < 2; again++) {
            REQUIRE_INT(red_of(r, 1), 20);
            REQUIRE_INT(red_of(r, 2), 20);
            REQUIRE_INT(red_of(r, 5), 10);                      // after the last comes the first
        }
        REQUIRE_INT(messages, 3);
        REQUIRE(strstr(said, "broken.png") && strstr(said, "text.jpg") && strstr(said, "zero.png"));
        REQUIRE_INT(clzt_dataset_bad(d), 3);
        REQUIRE_INT(clzt_dataset_cached(d), cache ? 3 : 0);
        clzt_reader_destroy(&r);
        clzt_dataset_close(&d);
    }

    CASE("data/a_strip_is_not_enlarged_without_end");
    in_folder(path, "strips");
    mkdir(path, 0777);
    make_png("strips/a.png", 40, 30, 30, 0, 0);
    make_png("strips/b.png", 16000, 1, 60, 0, 0);               // 8192000x512: 12.6 GB
    make_png("strips/c.png", 1, 16000, 60, 0, 0);
    d = open_one("strips", (struct clzt_dataset_params){ .min_side = 512, .cache = CLZT_CACHE_RAM, .threads = 1 });
    REQUIRE_INT(clzt_dataset_bad(d), 2);
    REQUIRE(strstr(said, "b.png: is too elongated") && strstr(said, "c.png: is too elongated"));
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    REQUIRE_INT(red_of(r, 1), 30);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);

    CASE("data/refusals");
    const char *list[1] = { path };
    in_folder(path, "nothing");
    REQUIRE_INT(clzt_dataset_open(&d, &(struct clzt_dataset_params){ .paths = list, .path_count = 1 }), -ENOENT);
    REQUIRE(!d);
    in_folder(path, "set/notes.txt");
    REQUIRE_INT(clzt_dataset_open(&d, &(struct clzt_dataset_params){ .paths = list, .path_count = 1 }), -EINVAL);
    alarm(20);                              // opening a FIFO without O_NONBLOCK would block
    const char *const fifos[] = { "fifo.png", "fifo.mkv", "fifo" };
    const struct clz_log log = { hear, NULL, CLZ_LOG_INFO };
    for (int i = 0; i < 3; i++) {
        in_folder(path, fifos[i]);
        REQUIRE(!mkfifo(path, 0600));
        said[0] = 0;
        REQUIRE_INT(clzt_dataset_open(&d, &(struct clzt_dataset_params){ .paths = list, .path_count = 1, .log = log }), -EINVAL);
        REQUIRE(strstr(said, path) && strstr(said, "a FIFO"));
        REQUIRE_INT(clzt_paths_check(list, 1, "val", &log), -EINVAL);
        REQUIRE(strstr(said, "val: "));
        unlink(path);
    }
    make_png("later.png", 20, 20, 1, 2, 3);                     // is replaced by a FIFO after it was found
    d = open_one("later.png", (struct clzt_dataset_params){ .min_side = 16 });
    in_folder(path, "later.png");
    REQUIRE(!unlink(path) && !mkfifo(path, 0600));
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    REQUIRE_INT(clzt_reader_read(r, 0, &p), -EBADMSG);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);
    alarm(0);
    in_folder(path, "empty");
    mkdir(path, 0777);
    REQUIRE_INT(clzt_dataset_open(&d, &(struct clzt_dataset_params){ .paths = list, .path_count = 1 }), -EINVAL);
    make_file("empty/only.png", "bad", 3);
    d = open_one("empty", (struct clzt_dataset_params){ .min_side = 16 });
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    for (int again = 0; again < 2; again++) REQUIRE_INT(clzt_reader_read(r, 0, &p), -EBADMSG);
    REQUIRE(messages == 2 && strstr(said, "none of 1 pictures can be read"));     // besides the message about the picture
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);
}

static void links(void)
{
    struct clzt_dataset *d;
    char path[PATH];

    CASE("data/links_that_lead_back");
    in_folder(path, "loop");
    mkdir(path, 0777);
    in_folder(path, "loop/sub");
    mkdir(path, 0777);
    make_png("loop/sub/a.png", 40, 30, 30, 0, 0);
    in_folder(path, "loop/x");
    REQUIRE(!symlink(".", path));
    d = open_one("loop", (struct clzt_dataset_params){ .min_side = 16 });
    REQUIRE_INT(clzt_dataset_count(d), 1);
    REQUIRE(messages == 1 && strstr(said, "loop/x: this link leads to a folder above it"));
    clzt_dataset_close(&d);
    in_folder(path, "loop/sub/y");
    REQUIRE(!symlink("..", path));          // followed, two of them would double the number at each level
    d = open_one("loop", (struct clzt_dataset_params){ .min_side = 16 });
    REQUIRE_INT(clzt_dataset_count(d), 1);
    clzt_dataset_close(&d);
    in_folder(path, "loop/again");
    REQUIRE(!symlink("sub", path));         // to a folder that is not above: is followed
    d = open_one("loop", (struct clzt_dataset_params){ .min_side = 16 });
    REQUIRE_INT(clzt_dataset_count(d), 2);
    clzt_dataset_close(&d);
}

static void videos(void)
{
    static const int order[] = { 99, 0, 50, 51, 49, 3, 2, 98, 25, 24, 23, 75, 99 };
    struct clzt_dataset *d;
    struct clzt_reader *r = NULL;
    struct clzt_picture p;
    int worst = 0;

    CASE("data/video_frames_in_any_order");
    REQUIRE(make_video("film.mkv", AV_CODEC_ID_MPEG4, AV_PIX_FMT_YUV420P));
    d = open_one("film.mkv", (struct clzt_dataset_params){ .min_side = 16 });
    REQUIRE_INT(clzt_dataset_count(d), FRAMES);
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) REQUIRE_NEAR(red_of(r, order[i]), level(order[i]), 1);
    for (int i = 0; i < FRAMES; i++) worst = abs(red_of(r, i) - level(i)) > worst ? abs(red_of(r, i) - level(i))
        : worst;
    REQUIRE(worst <= 1);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);

    CASE("data/frames_before_a_key_frame_that_is_decoded_first");
    REQUIRE(make_video("film.mp4", AV_CODEC_ID_MPEG4, AV_PIX_FMT_YUV420P));
    d = open_one("film.mp4", (struct clzt_dataset_params){ .min_side = 16 });
    REQUIRE_INT(clzt_dataset_count(d), FRAMES);
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    for (int i = FRAMES - 1; i >= 0; i--) {
        REQUIRE_INT(clzt_reader_try(r, i, &p), 0);
        REQUIRE_NEAR(p.r[0], (level(i) - 16) * 255 / 219., 1.01);      // an mp4 file has no tag for full range
    }
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);

    CASE("data/video_cache_is_the_same");
    d = open_one("film.mkv", (struct clzt_dataset_params){ .min_side = 16, .cache = CLZT_CACHE_RAM, .threads = 2 });
    REQUIRE_INT(clzt_dataset_cached(d), FRAMES);
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    for (int i = 0; i < FRAMES; i++) REQUIRE_NEAR(red_of(r, i), level(i), 1);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);

    CASE("data/video_with_broken_end");
    REQUIRE(make_video("cut.mkv", AV_CODEC_ID_FFV1, AV_PIX_FMT_YUV444P));
    cut("cut.mkv", 0.6);
    d = open_one("cut.mkv", (struct clzt_dataset_params){ .min_side = 16, .cache = CLZT_CACHE_RAM });
    REQUIRE(clzt_dataset_count(d) > 20 && clzt_dataset_count(d) < FRAMES);
    REQUIRE(clzt_dataset_bad(d) <= 1);
    REQUIRE(messages > 0);
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    REQUIRE(red_of(r, 10) >= 0);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);

    // Two films in one file: timestamps are not unique, so frames are counted. The demuxer marks the last packet of the first
    // film, a B-frame, as corrupt; it is dropped, with the one before the next key frame.
    CASE("data/video_broken_in_the_middle");
    REQUIRE(make_video("part.ts", AV_CODEC_ID_MPEG4, AV_PIX_FMT_YUV420P));
    join("part.ts", "joined.ts");
    d = open_one("joined.ts", (struct clzt_dataset_params){ .min_side = 16 });
    REQUIRE(messages == 1 && strstr(said, "2 of 200 frames are corrupt"));
    REQUIRE_INT(clzt_dataset_count(d), 2 * FRAMES - 2);
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    for (int i = 0; i < 2 * FRAMES - 2; i++) {
        const int frame = i < FRAMES - 3 ? i : i == FRAMES - 3 ? FRAMES - 1 : i - (FRAMES - 2);
        REQUIRE_NEAR(red_of(r, i), (level(frame) - 16) * 255 / 219., 1.01);     // a transport stream has no tag for full range
    }
    REQUIRE_NEAR(red_of(r, 150), (level(52) - 16) * 255 / 219., 1.01);
    REQUIRE_NEAR(red_of(r, 20), (level(20) - 16) * 255 / 219., 1.01);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);

    CASE("data/full_range_444_is_601");     // Y' = level, U = 168, V = 98
    REQUIRE(make_video("colour.mkv", AV_CODEC_ID_FFV1, AV_PIX_FMT_YUV444P));
    d = open_one("colour.mkv", (struct clzt_dataset_params){ .min_side = 16 });
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    REQUIRE_INT(clzt_reader_read(r, 40, &p), 0);
    REQUIRE_NEAR(p.r[0], level(40) + 1.402 * -30, 0.51);
    REQUIRE_NEAR(p.g[0], level(40) - 0.344136 * 40 - 0.714136 * -30, 0.51);
    REQUIRE_NEAR(p.b[0], level(40) + 1.772 * 40, 0.51);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);
    d = open_one("colour.mkv", (struct clzt_dataset_params){ .scale = 32, .min_side = 16 });   // through libswscale
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    REQUIRE_INT(clzt_reader_read(r, 40, &p), 0);
    REQUIRE_NEAR(p.r[50], level(40) + 1.402 * -30, 1.01);
    REQUIRE_NEAR(p.b[50], level(40) + 1.772 * 40, 1.01);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);

    CASE("data/hash_follows_the_files");
    const char *both[] = { "film.mkv", "colour.mkv" }, *swapped[] = { "colour.mkv", "film.mkv" };
    uint64_t hash[3];
    d = open_paths(2, both, (struct clzt_dataset_params){ .min_side = 16 });
    hash[0] = clzt_dataset_hash(d);
    clzt_dataset_close(&d);
    d = open_paths(2, both, (struct clzt_dataset_params){ .min_side = 32, .cache = CLZT_CACHE_RAM });
    hash[1] = clzt_dataset_hash(d);
    clzt_dataset_close(&d);
    d = open_paths(2, swapped, (struct clzt_dataset_params){ .min_side = 16 });
    hash[2] = clzt_dataset_hash(d);
    clzt_dataset_close(&d);
    REQUIRE(hash[0] == hash[1] && hash[0] != hash[2]);
}

// ---- loader ----

enum { SIZE = 32, BATCH = 5, PLANE = SIZE * SIZE };

static const struct clzt_size sample_size = { SIZE, SIZE };
static const struct clzt_loader_params training = {
    .size = SIZE, .batch = BATCH, .augment = true, .flip = true, .luma = CLZT_LUMA_RANDOM, .want_true_l = true, .seed =
        77,
    .film = { .grain = 0.05, .blur = 1.5, .gamma = 0.3, .contrast = 0.2 },
};

// Hash of the batches first to first + count - 1.
static uint64_t batches(struct clzt_dataset *d, struct clzt_loader_params p, int64_t first, int count, uint64_t *each)
{
    struct clzt_loader *l = NULL;
    struct clzt_batch *b;
    uint64_t all = 0;

    p.first_step = first;
    REQUIRE_INT(clzt_loader_create(&l, d, &p), 0);
    for (int i = 0; l && i < count; i++) {
        uint64_t h = CLZK_FNV1A_BASIS;
        REQUIRE_INT(clzt_loader_next(l, &b), 0);
        REQUIRE_INT(b->step, first + i);
        h = clzk_fnv1a(h, b->l, BATCH * PLANE * sizeof(float));
        h = clzk_fnv1a(h, b->ab, 2 * BATCH * PLANE * sizeof(float));
        h = clzk_fnv1a(h, b->true_l, BATCH * PLANE * sizeof(float));
        h = clzk_fnv1a(h, b->index, BATCH * sizeof *b->index);
        if (each) each[i] = h;
        all = clzk_fnv1a(all, &h, sizeof h);
        clzt_loader_release(l, &b);
        REQUIRE(!b);
    }
    clzt_loader_destroy(&l);
    return all;
}

static void determinism(void)
{
    struct clzt_dataset *cached = open_one("film2", (struct clzt_dataset_params){ .min_side = SIZE, .cache =
        CLZT_CACHE_RAM });
    struct clzt_dataset *fresh = open_one("film2", (struct clzt_dataset_params){ .min_side = SIZE });
    struct clzt_dataset *half = open_one("film2", (struct clzt_dataset_params){
        .min_side = SIZE, .cache = CLZT_CACHE_RAM, .cache_limit = 50000 });
    struct clzt_loader_params p = training;
    uint64_t each[20], one, rest;

    CASE("loader/batches_depend_on_the_seed_alone");
    p.workers = 1;
    one = batches(cached, p, 0, 20, each);
    p.workers = 3;
    p.ahead = 7;
    REQUIRE(batches(cached, p, 0, 20, NULL) == one);
    REQUIRE(batches(fresh, p, 0, 20, NULL) == one);
    REQUIRE(clzt_dataset_cached(half) > 0 && clzt_dataset_cached(half) < clzt_dataset_count(half));
    REQUIRE(batches(half, p, 0, 20, NULL) == one);
    p.seed = 78;
    REQUIRE(batches(cached, p, 0, 20, NULL) != one);
    for (int i = 1; i < 20; i++) REQUIRE(each[i] != each[i - 1]);

    CASE("loader/the_same_batches_while_pictures_come_into_memory");
    char name[PATH];
    const char *const path = name;
    in_folder(name, "film2");
    const struct clzt_dataset_params filled = { .paths = &path, .path_count = 1, .min_side = SIZE, .cache = CLZT_CACHE_RAM,
                                                .threads = 2, .quiet = true };
    struct clzt_dataset *d = NULL;
    p.seed = 77;
    for (int k = 0; k < 2; k++) {           // closed while threads fill it; used meanwhile
        REQUIRE_INT(clzt_dataset_open(&d, &filled), 0);
        REQUIRE_INT(clzt_dataset_begin_fill(d), 0);
        if (!k) clzt_dataset_close(&d);
    }
    REQUIRE(batches(d, p, 0, 20, NULL) == one);
    for (int k = 0; k < 1000 && !clzt_dataset_filled(d); k++) usleep(10000);
    REQUIRE_INT(clzt_dataset_cached(d), clzt_dataset_count(d));
    REQUIRE(batches(d, p, 0, 20, NULL) == one);
    clzt_dataset_close(&d);

    CASE("dataset/a_film_with_few_key_frames_is_decoded_before_it_is_used");
    in_folder(name, "film.mkv");
    REQUIRE_INT(clzt_dataset_open(&d, &filled), 0);
    REQUIRE_INT(clzt_dataset_begin_fill(d), 0);
    REQUIRE(clzt_dataset_filled(d));
    REQUIRE_INT(clzt_dataset_cached(d), clzt_dataset_count(d));
    clzt_dataset_close(&d);

    CASE("loader/goes_on_from_a_step");
    p.seed = 77;
    batches(cached, p, 13, 1, &rest);
    REQUIRE(rest == each[13]);
    struct clzt_loader *l = NULL;
    struct clzt_batch *b;
    REQUIRE_INT(clzt_loader_create(&l, cached, &p), 0);
    REQUIRE_INT(clzt_loader_rewind(l, 13), 0);
    REQUIRE_INT(clzt_loader_next(l, &b), 0);
    REQUIRE_INT(b->step, 13);
    clzt_loader_release(l, &b);
    REQUIRE(clzt_loader_stats(l).pictures >= BATCH);
    clzt_loader_destroy(&l);
    clzt_dataset_close(&cached);
    clzt_dataset_close(&fresh);
    clzt_dataset_close(&half);
}

static void shapes(void)
{
    static const struct clzt_size list[3] = { { 64, 32 }, { 32, 64 }, { 32, 32 } };
    struct clzt_dataset *d = open_one("film2", (struct clzt_dataset_params){ .min_side = SIZE, .cache = CLZT_CACHE_RAM });
    struct clzt_loader_params p = training;
    struct clzt_loader *l = NULL;
    struct clzt_batch *b;
    uint64_t hash[2] = { 0, 0 };
    int seen[3] = { 0 };

    CASE("loader/batches_have_the_shapes_of_the_list");
    memcpy(p.shapes, list, sizeof list);
    p.shape_count = 3;
    p.zoom_in = p.zoom_out = 1.5;
    for (int k = 0; k < 2; k++) {
        p.workers = k ? 3 : 1;
        REQUIRE_INT(clzt_loader_create(&l, d, &p), 0);
        for (int i = 0; l && i < 30; i++) {
            REQUIRE_INT(clzt_loader_next(l, &b), 0);
            REQUIRE(b->shape >= 0 && b->shape < 3);
            REQUIRE(b->size.w == list[b->shape].w && b->size.h == list[b->shape].h);
            seen[b->shape]++;
            hash[k] = clzk_fnv1a(hash[k], b->ab, (size_t)2 * BATCH * b->size.w * b->size.h * sizeof(float));
            clzt_loader_release(l, &b);
        }
        clzt_loader_destroy(&l);
    }
    REQUIRE(seen[0] > 5 && seen[1] > 5 && seen[2] > 5);
    REQUIRE(hash[0] == hash[1]);

    CASE("crop/a_part_has_the_shape_of_the_sample");
    for (int i = 0; i < 300; i++) {
        struct clzt_crop crop;
        clzt_crop_draw(&crop, &p, list[i % 3], 200, 90, 1, i);
        REQUIRE(crop.x >= 0 && crop.y >= 0 && crop.x + crop.width <= 200 && crop.y + crop.height <= 90);
        REQUIRE(abs(crop.width * list[i % 3].h - crop.height * list[i % 3].w) <= list[i % 3].w);     // half a pixel of height
        REQUIRE(crop.width >= list[i % 3].w / 1.5 - 1 || crop.height >= 89);
    }
    clzt_dataset_close(&d);
}

static void epochs(void)
{
    struct clzt_dataset *d = open_one("film2", (struct clzt_dataset_params){ .min_side = SIZE, .cache =
        CLZT_CACHE_RAM });
    const int count = (int)clzt_dataset_count(d), steps = 3 * count / BATCH;
    struct clzt_loader *l = NULL;
    struct clzt_loader_params p = training;
    struct clzt_batch *b;
    int order[3][20], seen[3][20] = { { 0 } }, at = 0, moved = 0;
    double least = 1, most = -1, odd = 0;

    CASE("loader/every_picture_once_an_epoch");
    p.film = (struct clzt_film){0};
    REQUIRE_INT(count, 10);
    REQUIRE_INT(clzt_loader_create(&l, d, &p), 0);
    for (int s = 0; s < steps; s++) {
        REQUIRE_INT(clzt_loader_next(l, &b), 0);
        for (int i = 0; i < BATCH; i++, at++) {
            order[at / count][at % count] = (int)b->index[i];
            seen[at / count][b->index[i]]++;
        }
        for (int i = 0; i < BATCH * PLANE; i++) {
            least = fmin(least, b->l[i]);
            most = fmax(most, b->l[i]);
            odd = fmax(odd, fabs(b->ab[i]));
        }
        clzt_loader_release(l, &b);
    }
    for (int e = 0; e < 3; e++)
        for (int i = 0; i < count; i++) REQUIRE_INT(seen[e][i], 1);
    for (int i = 0; i < count; i++) moved += order[0][i] != order[1][i];
    REQUIRE(moved > count / 3);
    REQUIRE(least >= -1 && most <= 1 && odd < 1);
    clzt_loader_destroy(&l);
    REQUIRE_INT(clzt_loader_create(&l, d, &(struct clzt_loader_params){ .size = SIZE + 1, .batch = 1 }), -EINVAL);
    clzt_dataset_close(&d);
}

static void crops(void)
{
    struct clzt_loader_params p = training;
    struct clzt_crop crop;
    int xs = 0, ys = 0, flips = 0, ortho = 0;
    double red = 0;

    CASE("loader/chance_covers_its_ranges");
    for (int i = 0; i < 1000; i++) {
        clzt_crop_draw(&crop, &p, sample_size, SIZE + 3, SIZE, 5, i);
        REQUIRE(crop.x >= 0 && crop.x <= 3 && crop.y == 0);
        REQUIRE_NEAR(crop.luma[0] + crop.luma[1] + crop.luma[2], 1, 1e-5);
        REQUIRE(crop.blur >= 0 && crop.blur <= 1.5 && crop.grain >= 0 && crop.grain <= 0.05);
        REQUIRE(crop.contrast >= 0.8f && crop.contrast <= 1.2f && crop.gamma >= 0.8122f && crop.gamma <= 1.2312f);
        xs += crop.x == 3;
        ys += crop.y;
        flips += crop.flip;
        red += crop.luma[0] / 1000;
        ortho += crop.luma[0] < 0.12f;
    }
    REQUIRE_NEAR(xs, 250, 60);
    REQUIRE_NEAR(flips, 500, 70);
    REQUIRE_NEAR(red, 0.23, 0.03);
    REQUIRE(ortho > 80 && ortho < 300);
    p.luma = CLZT_LUMA_709;
    clzt_crop_draw(&crop, &p, sample_size, SIZE, SIZE, 0, 0);
    REQUIRE_NEAR(crop.luma[1], 0.7152, 1e-6);
}

static void zoom(void)
{
    static uint8_t rgb[3 * 100 * 80];
    static float l[PLANE], ab[2 * PLANE];
    const struct { int w, h; } size = { 100, 80 };
    const struct clzt_picture picture = { 100, 80, rgb, rgb + 8000, rgb + 16000 };
    struct clzt_loader_params p = { .size = SIZE, .luma = CLZT_LUMA_601, .zoom_in = 2, .zoom_out = 4 };
    struct clzt_crop_scratch *s = NULL;
    struct clzt_crop_tables tables;
    struct clzt_crop crop;
    int wider = 0, least = 1000, most = 0;

    CASE("zoom/chance_covers_its_range");
    for (int i = 0; i < 2000; i++) {
        clzt_crop_draw(&crop, &p, sample_size, size.w, size.h, 5, i);
        REQUIRE(crop.x >= 0 && crop.x + crop.width <= size.w && crop.y >= 0 && crop.y + crop.height <= size.h);
        REQUIRE(crop.width == crop.height);
        if (crop.width < least) least = crop.width;
        if (crop.width > most) most = crop.width;
        wider += crop.width > SIZE;
    }
    REQUIRE(least == SIZE / 2 && most == size.h);               // the picture is smaller than 4 * SIZE
    REQUIRE_NEAR(wider / 2000., log(80 / 32.) / log(80 / 16.), 0.04);           // uniform in the logarithm

    CASE("zoom/validation_takes_the_widest");
    clzt_crop_plain(&crop, &p, sample_size, size.w, size.h);
    REQUIRE(crop.width == 80 && crop.height == 80 && crop.x == 10 && crop.y == 0);
    p.zoom_out = 1.5;
    clzt_crop_plain(&crop, &p, sample_size, size.w, size.h);
    REQUIRE(crop.width == 48 && crop.height == 48 && crop.x == 26 && crop.y == 16);

    CASE("zoom/a_ramp_stays_a_ramp");       // scaling does not shift or change levels, mirrored or not
    clzt_crop_tables_make(&tables);
    REQUIRE_INT(clzt_crop_scratch_create(&s, sample_size), 0);
    for (int i = 0; i < 8000; i++) rgb[i] = rgb[8000 + i] = rgb[16000 + i] = (uint8_t)(i % 100 + i / 100);
    for (int side = 16; side <= 80; side += 16) {
        crop.width = crop.height = side;
        crop.x = 10;
        crop.y = 0;
        for (int flip = 0; flip < 2; flip++) {
            crop.flip = flip;
            REQUIRE_INT(clzt_crop_run(&crop, &tables, s, &picture, l, ab, NULL), 0);
            for (int i = 0; i < PLANE; i++) {
                const int x = flip ? SIZE - 1 - i % SIZE : i % SIZE, y = i / SIZE;
                const double ratio = side / (double)SIZE, at = 10 + (x + y + 1) * ratio - 1;
                const bool edge = x < 1 || y < 1 || x > SIZE - 2 || y > SIZE - 2;           // the filter is cut off there
                REQUIRE_NEAR(clzk_l_to_luma((l[i] + 1) * 50) * 255, at, edge ? 0.6 * ratio + 0.7 : 1.01);   // rounded twice
            }
        }
    }

    CASE("aspect/wide_parts_become_squares");
    p.aspect = 2;
    wider = most = 0;
    for (int i = 0; i < 2000; i++) {
        clzt_crop_draw(&crop, &p, sample_size, size.w, size.h, 5, i);
        REQUIRE(crop.x >= 0 && crop.x + crop.width <= size.w && crop.y >= 0 && crop.y + crop.height <= size.h);
        const double ratio = crop.width / (double)crop.height;
        REQUIRE(ratio > 0.93 && ratio < 2.1);                   // rounded to pixels
        wider += ratio > sqrt(2);
        most += crop.height * 16 < SIZE * 9;
    }
    REQUIRE_NEAR(wider, 1000, 100);
    REQUIRE(most > 100);
    crop.x = 10, crop.y = 7, crop.width = 64, crop.height = 48, crop.flip = false;
    REQUIRE_INT(clzt_crop_run(&crop, &tables, s, &picture, l, ab, NULL), 0);
    for (int i = 0; i < PLANE; i++) {
        const int x = i % SIZE, y = i / SIZE;
        if (x < 1 || y < 1 || x > SIZE - 2 || y > SIZE - 2) continue;
        REQUIRE_NEAR(clzk_l_to_luma((l[i] + 1) * 50) * 255, 17 + (x + 0.5) * 2 - 0.5 + (y + 0.5) * 1.5 - 0.5, 1.01);
    }

    CASE("aspect/widest_crop_of_the_greatest_zoom");            // zoom.out and aspect allow up to 16 * SIZE
    static uint8_t wide[3 * 520 * 140];
    const struct clzt_picture wide_picture = { 520, 140, wide, wide + 520 * 140, wide + 2 * 520 * 140 };
    const struct clzt_loader_params widest = { .size = SIZE, .luma = CLZT_LUMA_601, .zoom_out = CLZT_MAX_ZOOM,
                                              .aspect = CLZT_MAX_ASPECT };
    most = 0;
    for (int i = 0; i < 2000; i++) {
        clzt_crop_draw(&crop, &widest, sample_size, 5000, 4000, 5, i);
        if (crop.width > most) most = crop.width;
    }
    REQUIRE(most > 15 * SIZE && most <= 16 * SIZE);
    for (int plane = 0; plane < 3; plane++)
        for (int i = 0; i < 520 * 140; i++) wide[plane * 520 * 140 + i] = (uint8_t)(i % 520 / 4 + i / 520 / 2);
    crop = (struct clzt_crop){ .x = 4, .y = 6, .width = 16 * SIZE, .height = 4 * SIZE, .size = sample_size,
                               .luma = { 0.299f, 0.587f, 0.114f }, .gamma = 1, .contrast = 1 };
    REQUIRE_INT(clzt_crop_run(&crop, &tables, s, &wide_picture, l, ab, NULL), 0);
    for (int i = 0; i < PLANE; i++) {
        const int x = i % SIZE, y = i / SIZE;
        if (x < 1 || y < 1 || x > SIZE - 2 || y > SIZE - 2) continue;
        // both terms of the ramp are rounded down, by 3/8 and 1/4 of a level on average
        REQUIRE_NEAR(clzk_l_to_luma((l[i] + 1) * 50) * 255,
                     (4 + (x + 0.5) * 16 - 0.5) / 4 + (6 + (y + 0.5) * 4 - 0.5) / 2 - 0.625, 1.01);
    }

    CASE("zoom/what_is_not_in_the_square_is_not_seen");
    memset(rgb, 255, sizeof rgb);
    for (int c = 0; c < 3; c++) for (int y = 16; y < 64; y++) memset(rgb + 8000 * c + 100 * y + 26, 128, 48);
    crop = (struct clzt_crop){ .x = 26, .y = 16, .width = 48, .height = 48, .size = sample_size,
                               .luma = { 0.299f, 0.587f, 0.114f }, .gamma = 1, .contrast = 1 };
    REQUIRE_INT(clzt_crop_run(&crop, &tables, s, &picture, l, ab, NULL), 0);
    for (int i = 0; i < PLANE; i++) REQUIRE_NEAR(clzk_l_to_luma((l[i] + 1) * 50) * 255, 128, 0.01);
    clzt_crop_scratch_destroy(&s);
}

// Converts L of a sample back to Y' from 0 to 1.
static double luma_at(const float *l, int i) { return clzk_l_to_luma((l[i] + 1) * 50); }

static void pixels(void)
{
    static uint8_t rgb[3 * 50 * 40];
    static float l[PLANE], ab[2 * PLANE], true_l[PLANE];
    const struct clzt_picture picture = { 50, 40, rgb, rgb + 2000, rgb + 4000 };
    struct clzt_crop_scratch *s = NULL;
    struct clzt_crop_tables tables;
    struct clzt_crop crop;
    double mean = 0, square = 0, near = 0;

    clzt_crop_tables_make(&tables);
    REQUIRE_INT(clzt_crop_scratch_create(&s, sample_size), 0);
    for (int i = 0; i < 2000; i++) {
        rgb[i] = (uint8_t)(5 * (i % 50));
        rgb[2000 + i] = (uint8_t)(6 * (i / 50));
        rgb[4000 + i] = 100;
    }

    CASE("crop/place_and_mirror");
    clzt_crop_plain(&crop, &(struct clzt_loader_params){ .size = SIZE, .luma = CLZT_LUMA_601 }, sample_size, 50, 40);
    REQUIRE(crop.x == 9 && crop.y == 4);
    for (int flip = 0; flip < 2; flip++) {
        crop.flip = flip;
        clzt_crop_run(&crop, &tables, s, &picture, l, ab, true_l);
        for (int i = 0; i < PLANE; i += 37) {
            const int x = 9 + (flip ? SIZE - 1 - i % SIZE : i % SIZE), y = 4 + i / SIZE;
            const float c[3] = { 5 * x / 255.f, 6 * y / 255.f, 100 / 255.f };
            float lab[3];
            clzk_rgb_to_lab(c, lab);
            REQUIRE_NEAR((true_l[i] + 1) * 50, lab[0], 1e-3);
            REQUIRE_NEAR(ab[i] * 110, lab[1], 1e-3);
            REQUIRE_NEAR(ab[PLANE + i] * 110, lab[2], 1e-3);
            REQUIRE_NEAR(luma_at(l, i), 0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2], 0.51 / 255);
        }
    }

    CASE("crop/film_response");
    memset(rgb, 128, sizeof rgb);
    crop.gamma = 2;
    crop.contrast = 0.5f;
    clzt_crop_run(&crop, &tables, s, &picture, l, ab, NULL);
    REQUIRE_NEAR(luma_at(l, 77), (128 / 255. * 128 / 255. - 0.5) * 0.5 + 0.5, 0.51 / 255);
    REQUIRE_NEAR(ab[5], 0, 1e-4);           // the target colour is not changed

    CASE("crop/blur_spreads_and_keeps_the_sum");
    crop.flip = false;
    crop.gamma = crop.contrast = 1;
    crop.blur = 1.5f;
    memset(rgb, 0, sizeof rgb);
    for (int p = 0; p < 3; p++) rgb[2000 * p + 50 * 20 + 25] = 255;             // one white pixel
    clzt_crop_run(&crop, &tables, s, &picture, l, ab, NULL);
    for (int i = 0; i < PLANE; i++) mean += luma_at(l, i);
    REQUIRE_NEAR(mean, 1, 0.1);             // because of rounding to 8 bits; measured: 0.98
    REQUIRE_NEAR(luma_at(l, 16 * SIZE + 16), 1 / (2 * 3.14159 * 1.5 * 1.5), 0.005);
    REQUIRE_NEAR(luma_at(l, 16 * SIZE + 17), luma_at(l, 15 * SIZE + 16), 1e-6);

    CASE("crop/grain_has_its_deviation");
    memset(rgb, 128, sizeof rgb);
    crop.blur = 0;
    crop.grain = 0.05f;
    for (int soft = 0; soft < 2; soft++) {
        crop.grain_soft = soft;
        mean = square = near = 0;
        for (int n = 0; n < 40; n++) {
            crop.picture = n;
            clzt_crop_run(&crop, &tables, s, &picture, l, ab, NULL);
            for (int i = 0; i < PLANE; i++) {
                const double v = luma_at(l, i) - 128 / 255.;
                mean += v / (40 * PLANE);
                square += v * v / (40 * PLANE);
                if (i + 1 < PLANE) near += v * (luma_at(l, i + 1) - 128 / 255.) / (40 * PLANE);
            }
        }
        REQUIRE_NEAR(mean, 0, 0.001);
        REQUIRE_NEAR(sqrt(square), 0.05, 0.001);
        REQUIRE_NEAR(near / square, soft ? 0.5 : 0, 0.05);
    }
    clzt_crop_scratch_destroy(&s);
}

static void plain(void)
{
    static const float rgb[3] = { 200 / 255.f, 150 / 255.f, 100 / 255.f };
    const double luma = 0.299 * 200 + 0.587 * 150 + 0.114 * 100;                // 159.25: 159 in 8 bits
    struct clzt_dataset *d;
    struct clzt_loader *l = NULL;
    struct clzt_batch *b;
    struct clzt_loader_params p = { .size = SIZE, .batch = 4, .luma = CLZT_LUMA_RANDOM, .want_true_l = true };
    float lab[3];
    double counts[CLZT_AB_CELLS * CLZT_AB_CELLS], total = 0;
    struct clzt_colours colours;
    char path[PATH];
    int n = 0;

    in_folder(path, "plain");
    mkdir(path, 0777);
    for (int i = 0; i < 10; i++) {
        char name[40];
        snprintf(name, sizeof name, "plain/%d.png", i);
        make_png(name, 50, 40, 200, 150, 100);
    }
    d = open_one("plain", (struct clzt_dataset_params){ .min_side = SIZE });
    clzk_rgb_to_lab(rgb, lab);

    CASE("loader/one_pass_of_centre_crops");
    REQUIRE_INT(clzt_loader_create(&l, d, &p), 0);
    for (int s = 0; s < 3; s++) {
        REQUIRE_INT(clzt_loader_next(l, &b), 0);
        REQUIRE_INT(b->count, s < 2 ? 4 : 2);
        for (int i = 0; i < b->count; i++) REQUIRE_INT(b->index[i], n++);
        REQUIRE_NEAR((b->l[7] + 1) * 50, clzk_luma_to_l((float)(floor(luma + 0.5) / 255)), 1e-4);
        REQUIRE_NEAR((b->true_l[7] + 1) * 50, 65.760061, 1e-3);
        REQUIRE_NEAR(b->ab[7] * 110, 12.758895, 1e-3);
        REQUIRE_NEAR(b->ab[PLANE + 7] * 110, 33.564737, 1e-3);
        clzt_loader_release(l, &b);
    }
    REQUIRE_INT(clzt_loader_next(l, &b), -ENODATA);
    REQUIRE_INT(clzt_loader_rewind(l, 0), 0);
    REQUIRE_INT(clzt_loader_next(l, &b), 0);
    REQUIRE_INT(b->index[0], 0);
    clzt_loader_release(l, &b);
    clzt_loader_destroy(&l);

    CASE("loader/some_pictures_spread_evenly_and_lstar");
    p.pictures = 5;
    p.luma = CLZT_LUMA_LSTAR;
    REQUIRE_INT(clzt_loader_create(&l, d, &p), 0);
    REQUIRE_INT(clzt_loader_next(l, &b), 0);
    for (int i = 0; i < 4; i++) REQUIRE_INT(b->index[i], 2 * i);
    REQUIRE_NEAR(b->l[0], b->true_l[0], 0);
    clzt_loader_release(l, &b);
    REQUIRE_INT(clzt_loader_next(l, &b), 0);
    REQUIRE_INT(b->count, 1);
    clzt_loader_release(l, &b);
    REQUIRE_INT(clzt_loader_next(l, &b), -ENODATA);
    clzt_loader_destroy(&l);

    CASE("data/mean_colour_and_cells");
    REQUIRE_INT(clzt_dataset_colours(d, 3, &colours, counts), 0);
    REQUIRE_NEAR(colours.mean[0] * 110, 12.758895, 1e-3);
    REQUIRE_NEAR(colours.mean[1] * 110, 33.564737, 1e-3);
    REQUIRE(colours.pictures == 3 && colours.grey == 3);        // pictures of one colour each have no spread
    for (int i = 0; i < CLZT_AB_CELLS * CLZT_AB_CELLS; i++) total += counts[i];
    REQUIRE_NEAR(total, 3 * 50 * 40, 0);
    REQUIRE_NEAR(counts[12 * CLZT_AB_CELLS + 14], total, 0);                    // a* in 5..15, b* in 25..35
    clzt_dataset_close(&d);
}

static void add_number(uint8_t **at, uint32_t n, int size)      // little-endian
{
    for (int i = 0; i < size; i++) *(*at)++ = (uint8_t)(n >> 8 * i);
}

// A grey picture of 24 x 16 with an orientation tag; its stored pixel (x, y) has the value 8 x + y.
static uint8_t *add_directory(uint8_t *at, int count, const int entries[][3])
{
    add_number(&at, 0x2a4949, 4);
    add_number(&at, 8, 4);
    add_number(&at, count, 2);
    for (int i = 0; i < count; i++) {
        add_number(&at, entries[i][0], 2);
        add_number(&at, entries[i][1], 2);
        add_number(&at, 1, 4);
        add_number(&at, entries[i][2], 4);
    }
    add_number(&at, 0, 4);
    return at;
}

static void make_tiff(const char *name, int orientation)
{
    enum { ENTRIES = 10, DATA = 8 + 2 + 12 * ENTRIES + 4 };
    const int entries[ENTRIES][3] = { { 256, 3, 24 }, { 257, 3, 16 }, { 258, 3, 8 }, { 259, 3, 1 }, { 262, 3, 1 },
                                      { 273, 4, DATA }, { 274, 3, orientation }, { 277, 3, 1 }, { 278, 3, 16 },
                                      { 279, 4, 24 * 16 } };
    uint8_t file[DATA + 24 * 16], *at = add_directory(file, ENTRIES, entries);

    for (int i = 0; i < 24 * 16; i++) *at++ = (uint8_t)(8 * (i % 24) + i / 24);
    make_file(name, file, sizeof file);
}

static void make_exif_png(const char *name, int orientation)
{
    enum { HEAD = 8 + 25 };                                     // signature and IHDR
    const int entries[1][3] = { { 274, 3, orientation } };
    uint8_t rgb[24 * 16 * 3], file[10000], chunk[100], *at = add_directory(chunk + 4, 1, entries);
    const size_t length = at - chunk - 4;
    char path[PATH];
    size_t size;
    FILE *f;

    for (int i = 0; i < 24 * 16 * 3; i++) rgb[i] = (uint8_t)(8 * (i / 3 % 24) + i / 3 / 24);
    in_folder(path, name);
    REQUIRE_INT(clzt_png_write(path, rgb, 24, 16, 3 * 24, NULL), 0);
    f = fopen(path, "rb");
    size = fread(file, 1, sizeof file, f);
    fclose(f);
    memcpy(chunk, "eXIf", 4);
    f = fopen(path, "wb");
    fwrite(file, 1, HEAD, f);
    fwrite((uint8_t[]){ 0, 0, 0, (uint8_t)length }, 1, 4, f);
    fwrite(chunk, 1, 4 + length, f);
    const uint32_t crc = ~av_crc(av_crc_get_table(AV_CRC_32_IEEE_LE), ~0u, chunk, 4 + length);
    fwrite((uint8_t[]){ crc >> 24, crc >> 16 & 255, crc >> 8 & 255, crc & 255 }, 1, 4, f);
    fwrite(file + HEAD, 1, size - HEAD, f);
    fclose(f);
}

// Orientation on the way from file to picture. tests/orientation.c has all eight, tests/train.sh those of JPEG files and films.
static void orientations(void)
{
    static void (*const make[2])(const char *, int) = { make_tiff, make_exif_png };
    static const char *const names[2] = { "turned.tif", "turned.png" };
    struct clzt_reader *r = NULL;
    struct clzt_picture p;
    struct clzt_dataset *d;

    CASE("data/orientation_of_pictures");
    for (int k = 0; k < 2; k++)
        for (int o = 1; o <= 6; o += 5)
            for (int cache = 0; cache < 2; cache++) {
                make[k](names[k], o);
                d = open_one(names[k], (struct clzt_dataset_params){ .min_side = 16, .cache = cache });
                REQUIRE_INT(clzt_reader_create(&r, d), 0);
                p = (struct clzt_picture){0};
                REQUIRE_INT(clzt_reader_read(r, 0, &p), 0);
                REQUIRE(p.width == (o == 1 ? 24 : 16) && p.height == (o == 1 ? 16 : 24));
                for (int i = 0; i < p.width * p.height; i++) {  // 6: turned by 90 degrees clockwise
                    const int x = i % p.width, y = i / p.width;
                    REQUIRE_NEAR(p.g[i], o == 1 ? 8 * x + y : 8 * y + 15 - x, 1);
                }
                clzt_reader_destroy(&r);
                clzt_dataset_close(&d);
            }
    for (int k = 0; k < 2; k++) {           // truncated files are still detected
        cut(names[k], 0.9);
        d = open_one(names[k], (struct clzt_dataset_params){ .min_side = 16 });
        REQUIRE_INT(clzt_reader_create(&r, d), 0);
        REQUIRE_INT(clzt_reader_read(r, 0, &p), -EBADMSG);
        clzt_reader_destroy(&r);
        clzt_dataset_close(&d);
    }
}

// Which pictures count as grey or tinted.
static void greys(void)
{
    struct clzt_dataset *d;
    struct clzt_colours colours;
    uint8_t rgb[3 * 64 * 64];
    char name[40], path[PATH];
    // grey: a ramp; noise: a ramp with noise in each channel; sepia: a brown ramp; coloured: all hues
    enum kind { GREY, NOISE, SEPIA, COLOURED, KINDS };
    static const char *const folders[KINDS] = { "grey", "noise", "sepia", "coloured" };
    static const struct { int grey; const char *words; } want[KINDS] = { { 10, "10 of 10 pictures are nearly grey" },
        { 10, "10 of 10 pictures are nearly grey" }, { 0, "colours of all 10 pictures have one hue" }, { 0, "" } };

    CASE("data/grey_and_tinted_material_is_warned_about");
    for (int kind = 0; kind < KINDS; kind++) {
        in_folder(path, folders[kind]);
        mkdir(path, 0777);
        for (int i = 0; i < 10; i++) {
            for (int at = 0; at < 64 * 64; at++) {
                const int x = at % 64, v = 30 + 3 * x + i;
                for (int c = 0; c < 3; c++) {
                    const double hue = (at + 400 * i) / 652. + c * 2.1, tint[3] = { 1.1, 0.95, 0.75 };
                    rgb[3 * at + c] = (uint8_t)(kind == COLOURED ? 128 + 60 * sin(hue) : kind == SEPIA ? v * tint[c] * 0.9 :
                                                kind == NOISE ? v * 0.9 + (at * 7919u * (c + 3) + i * 31u) / 7 % 25 : v);
                }
            }
            snprintf(name, sizeof name, "%s/%d.png", folders[kind], i);
            in_folder(path, name);
            REQUIRE_INT(clzt_png_write(path, rgb, 64, 64, 3 * 64, NULL), 0);
        }
        d = open_one(folders[kind], (struct clzt_dataset_params){ .min_side = 64 });
        REQUIRE_INT(clzt_dataset_colours(d, 0, &colours, NULL), 0);
        printf("  %s: spread %.2f, across %.2f\n", folders[kind], colours.spread, colours.across);
        REQUIRE_INT(colours.grey, want[kind].grey);
        clzt_colours_warn(&colours, "train", clzt_dataset_log(d));
        REQUIRE(want[kind].words[0] ? strstr(said, want[kind].words) != NULL : !messages);
        clzt_dataset_close(&d);
    }
}

// ---- bench ----

static int bench(int argc, char **argv)
{
    struct clzt_loader_params p = training;
    struct clzt_dataset *d = NULL;
    struct clzt_loader *l = NULL;
    struct clzt_batch *b;
    double begin = clzi_now(), took;
    int64_t n = 0;

    if (argc < 4) return 1;
    if (clzt_dataset_open(&d, &(struct clzt_dataset_params){ .paths = (const char *const *)argv + 3, .path_count =
        argc - 3,
                              .min_side = 128, .cache = atoi(argv[1]), .threads = atoi(argv[0]) }) < 0 ||
        clzt_dataset_fill(d) < 0) return 1;
    took = clzi_now() - begin;
    printf("open: %.2f s, %lld pictures, %lld in memory, %.0f a second\n", took, (long long)clzt_dataset_count(d),
           (long long)clzt_dataset_cached(d), clzt_dataset_count(d) / took);
    p.size = 128;
    p.batch = 32;
    p.workers = atoi(argv[0]);
    p.want_true_l = false;
    if (!atoi(argv[2])) p.film = (struct clzt_film){0};
    if (clzt_loader_create(&l, d, &p) < 0) return 1;
    for (begin = clzi_now(); clzi_now() - begin < 3; n += p.batch) {
        if (clzt_loader_next(l, &b) < 0) return 1;
        clzt_loader_release(l, &b);
    }
    took = clzi_now() - begin;
    const struct clzt_loader_stats s = clzt_loader_stats(l);
    printf("loader: %.0f crops of 128x128 a second with %d workers, %.0f us of a worker each\n", n / took, p.workers,
           1e6 * s.worked / s.pictures);
    clzt_loader_destroy(&l);
    clzt_dataset_close(&d);
    return 0;
}

int main(int argc, char **argv)
{
    const char *where = getenv("TMPDIR");
    char command[PATH], path[PATH];

    if (argc > 1 && !strcmp(argv[1], "bench")) return bench(argc - 2, argv + 2);
    snprintf(folder, sizeof folder, "%s/colorize-data-XXXXXX", where ? where : P_tmpdir);
    if (!mkdtemp(folder)) SKIP("no folder for temporary files");
    numbers();
    lab_rows();
    pictures();
    links();
    videos();
    in_folder(path, "film2");
    mkdir(path, 0777);
    for (int i = 0; i < 10; i++) {
        char name[40];
        snprintf(name, sizeof name, "film2/%d.png", i);
        make_pattern(name, 40 + 3 * i, 50 - i, i);
    }
    determinism();
    shapes();
    epochs();
    crops();
    zoom();
    pixels();
    plain();
    greys();
    orientations();
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command)) printf("  %s: not removed\n", folder);
    return check_end();
}
