// fuzz_filter.c - sends random films through buffersrc -> colorize -> buffersink with the stand-in engine. Random are size,
// format, options, timeline, rows without padding, bottom-up rows, shared frames, missing pts, changes of size, commands, the
// moments at which frames are read, and an early close. The output must have as many frames as the input, in order, each with
// its luma and pts.
//
// It can be built in two ways. With -DFUZZ_MAIN it is a program, linked to any libavfilter: fuzz_filter RUNS [SEED]
// (tests/filter.sh builds it so). Without, it is a libFuzzer target, to be linked to an FFmpeg that is built with sanitizers,
// from the source that filter/build-lavfi.sh has prepared (S is its folder):
//     mkdir b && cd b && S/configure --cc=clang --disable-everything --disable-autodetect --disable-doc --disable-programs
//         --disable-network --disable-x86asm --disable-avcodec --disable-avformat --disable-avdevice --disable-swresample
//         --enable-filter=colorize,format,null,scale --disable-stripping --optflags=-O1
//         --extra-ldflags=-fsanitize=address,undefined
//         --extra-cflags='-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined' && make -j2
//     clang -g -O1 -fsanitize=address,undefined,fuzzer -I. -IS -o fuzz_filter fuzz_filter.c libavfilter/libavfilter.a
//         libswscale/libswscale.a libavutil/libavutil.a -lm -ldl -pthread
//     COLORIZE_LIBRARY=.../libcolorize.so.0 ./fuzz_filter -max_len=256 corpus        (library: tests/stub_colorize.c)
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "libavfilter/avfilter.h"
#include "libavfilter/buffersink.h"
#include "libavfilter/buffersrc.h"
#include "libavutil/frame.h"
#include "libavutil/log.h"
#include "libavutil/pixdesc.h"

#define MAX_FRAMES 300
#define COUNT(a) (sizeof(a) / sizeof *(a))

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const formats[] = {
    "yuv420p", "yuv422p", "yuv444p", "yuv420p10", "yuv444p10", "yuvj420p", "nv12", "p010", "gray", "gray10", "gray16", "yuv422p10"
};

// %s: the model file
static const char *const options[] = {
    "%s", "%s:batch=1", "%s:batch=3", "%s:batch=64", "%s:strength=0.5:saturation=4", "%s:batch=3:enable='lt(mod(t,2),1)'",
    "120:0.5", "hue=30:enable='lt(mod(t,2),1)'"
};
static const char *const commands[][2] = {
    { "strength", "0.25" }, { "saturation", "2" }, { "saturation", "zz" }, { "hue", "40" }, { "batch", "2" }, { "mix", "0.5" }
};

static char model[] = "fuzz_model_XXXXXX";

// The input, read byte by byte; zeros after its end.
static const uint8_t *input;
static size_t left;
static unsigned u8(void) { return left ? (left--, *input++) : 0; }
static unsigned u16(void) { unsigned low = u8(); return low | u8() << 8; }

// A film, and the facts of each frame that was sent.
struct film {
    AVFilterGraph *graph;
    AVFilterContext *source, *filter, *sink;
    int width, height, format, model_mode;
    int exact;                              // the luma is unchanged, so it identifies the frame
    int sent, got;
    struct { int64_t pts; unsigned luma; int width; } frames[MAX_FRAMES];
};

static unsigned luma_at(const AVFrame *f)
{
    const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(f->format);
    return d->comp[0].depth > 8 ? *(const uint16_t *)f->data[0] : f->data[0][0];
}

// Bits of c: 16: rows without padding; 32: a reference is kept, so the frame is not writable; 64: bottom-up rows.
static void push_frame(struct film *film, int64_t pts, unsigned c)
{
    AVFrame *f = av_frame_alloc();

    f->width  = film->width;
    f->height = film->height;
    f->format = film->format;
    f->pts    = pts;
    if (av_frame_get_buffer(f, c & 16 ? 1 : 0) >= 0) {
        for (int p = 0; p < 4 && f->buf[p]; p++) memset(f->buf[p]->data, (int)(c + film->sent), f->buf[p]->size);
        if (c & 64) {
            const AVPixFmtDescriptor *d = av_pix_fmt_desc_get(f->format);
            for (int p = 0; p < 4 && f->data[p]; p++) {
                const int rows = p ? -(-f->height >> d->log2_chroma_h) : f->height;
                f->data[p] += (ptrdiff_t)(rows - 1) * f->linesize[p];
                f->linesize[p] = -f->linesize[p];
            }
        }
        film->frames[film->sent].pts   = pts;
        film->frames[film->sent].luma  = luma_at(f);
        film->frames[film->sent].width = f->width;
        if (av_buffersrc_add_frame_flags(film->source, f, c & 32 ? AV_BUFFERSRC_FLAG_KEEP_REF : 0) >= 0) film->sent++;
    }
    av_frame_free(&f);
}

static void broken(const struct film *film, const char *what)
{
    fprintf(stderr, "frame %d of %d sent: %s\n", film->got, film->sent, what);
    abort();
}

static void pull_frames(struct film *film)
{
    AVFrame *f = av_frame_alloc();

    while (av_buffersink_get_frame(film->sink, f) >= 0) {
        if (film->got >= film->sent) broken(film, "it was never sent");
        if (f->pts != film->frames[film->got].pts) broken(film, "its pts is that of another frame");
        if (f->width != film->frames[film->got].width) broken(film, "its width is that of another frame");
        if (film->exact && luma_at(f) != film->frames[film->got].luma) broken(film, "its luma is that of another frame");
        film->got++;
        av_frame_unref(f);
    }
    av_frame_free(&f);
}

static int open_film(struct film *film)
{
    char args[128], filter_args[256];
    const unsigned chosen = u8() % COUNT(options);

    film->width  = 1 + u16() % 300;
    film->height = 1 + u8();
    film->format = av_get_pix_fmt(formats[u8() % COUNT(formats)]);
    film->model_mode = chosen < 6;
    film->exact  = film->model_mode;
    film->graph  = avfilter_graph_alloc();
    film->graph->nb_threads = 1;
    snprintf(args, sizeof args, "video_size=%dx%d:pix_fmt=%d:time_base=1/25", film->width, film->height, film->format);
    snprintf(filter_args, sizeof filter_args, options[chosen], model);
    // By default gray becomes limited range here, which changes its luma.
    if (film->model_mode && !strncmp(av_get_pix_fmt_name(film->format), "gray", 4)) {
        film->exact = u8() & 1;
        if (film->exact) strcat(filter_args, ":out_range=full");
    }
    if (avfilter_graph_create_filter(&film->source, avfilter_get_by_name("buffer"), "in", args, NULL, film->graph) < 0 ||
        avfilter_graph_create_filter(&film->filter, avfilter_get_by_name("colorize"), "c", filter_args, NULL, film->graph) < 0 ||
        avfilter_graph_create_filter(&film->sink, avfilter_get_by_name("buffersink"), "out", NULL, NULL, film->graph) < 0 ||
        avfilter_link(film->source, 0, film->filter, 0) < 0 || avfilter_link(film->filter, 0, film->sink, 0) < 0)
        return -1;
    return avfilter_graph_config(film->graph, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct film film;        // static because it is large
    int64_t pts = 0;
    int eof = 0, opened;

    memset(&film, 0, sizeof film);
    input = data;
    left  = size;
    opened = open_film(&film) >= 0;
    if (!opened && size > 8) broken(&film, "the filter graph could not be built");
    while (opened && left && !eof && film.sent < MAX_FRAMES) {
        const unsigned c = u8();

        if (c < 200) {
            pts += c & 3;
            push_frame(&film, c == 7 ? AV_NOPTS_VALUE : pts, c);
        } else if (c < 220) {
            pull_frames(&film);
        } else if (c < 235) {
            char reply[64];
            const unsigned n = u8() % COUNT(commands);
            avfilter_graph_send_command(film.graph, "c", commands[n][0], commands[n][1], reply, sizeof reply, 0);
        } else if (c < 245 && film.model_mode) {     // as ffmpeg -reinit_filter 0 does; the stock filter does not support it
            film.width  = 1 + u8();
            film.height = 1 + u8() % 64;
        } else {
            eof = 1;
        }
    }
    if (opened && (eof || !left)) {             // else the filter graph is freed while it holds frames
        if (av_buffersrc_add_frame(film.source, NULL) < 0) broken(&film, "the end of the film was refused");
        pull_frames(&film);
        if (film.sent != film.got) broken(&film, "frames are missing at the end of the film");
    }
    avfilter_graph_free(&film.graph);
    return 0;
}

static void remove_model(void) { unlink(model); }

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const int fd = mkstemp(model);

    (void)argc, (void)argv;
    if (fd < 0 || write(fd, "x", 1) != 1 || close(fd)) {
        perror(model);
        exit(1);
    }
    atexit(remove_model);
    av_log_set_level(AV_LOG_QUIET);
    return 0;
}

#ifdef FUZZ_MAIN
int main(int argc, char **argv)
{
    const long runs = argc > 1 ? atol(argv[1]) : 1000;
    uint64_t state = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    uint8_t data[256];

    LLVMFuzzerInitialize(&argc, &argv);
    for (long n = 0; n < runs; n++) {
        size_t size = 0;
        do {
            state = state * 6364136223846793005u + 1442695040888963407u;    // Knuth's MMIX generator
            data[size++] = (uint8_t)(state >> 56);
        } while (size < sizeof data && (size < 16 || (state >> 40 & 63)));
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%ld films\n", runs);
    return 0;
}
#endif
