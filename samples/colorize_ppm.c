// colorize_ppm.c - example program of libcolorize: colours one picture.
//
//     colorize_ppm MODEL IN.pgm OUT.ppm
//     cc colorize_ppm.c $(pkg-config --cflags --libs colorize) -o colorize_ppm
//
// IN is a binary PGM (P5) or PPM (P6; only its luma is used) of 8 bits. The picture is converted to a full-range yuv444p frame
// of BT.601, the library writes U and V, and the frame is converted to RGB. A film is coloured in the same way, frame by frame:
// see the loop at the beginning of colorize.h.
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "colorize.h"

struct picture { int width, height; uint8_t *y, *u, *v; };       // the planes share one allocation, which starts at y

static void print_message(void *priv, enum clz_log_level level, const char *msg)
{
    fprintf(stderr, "colorize_ppm: %s\n", msg);
    if (level == CLZ_LOG_ERROR) *(int *)priv = 1;
}

// Reads one number of the header, after white space and # comments. Returns -1 if there is no number or it is larger than max.
static int read_number(FILE *file, int max)
{
    int c, value = 0, digits = 0;

    while ((c = getc(file)) == '#' || isspace(c))
        if (c == '#') while ((c = getc(file)) != '\n' && c != EOF);
    for (; isdigit(c) && value <= max; c = getc(file), digits++) value = 10 * value + c - '0';
    return digits && value <= max && isspace(c) ? value : -1;    // one white-space character ends the header
}

// Returns NULL, or the reason why the picture could not be read.
static const char *read_picture(struct picture *p, const char *path)
{
    const char *error = NULL;
    FILE *file = fopen(path, "rb");
    int kind, channels;
    size_t n;

    if (!file) return strerror(errno);
    if (getc(file) != 'P' || ((kind = getc(file)) != '5' && kind != '6')) error = "neither binary PGM (P5) nor PPM (P6)";
    else if ((p->width = read_number(file, CLZ_MAX_SIZE)) < 1 || (p->height = read_number(file, CLZ_MAX_SIZE)) < 1)
        error = "bad size";
    else if (read_number(file, 255) != 255) error = "not 8 bits per sample";
    else if (!(p->y = malloc(3 * (n = (size_t)p->width * p->height)))) error = "out of memory";
    else if (fread(p->y, channels = kind == '6' ? 3 : 1, n, file) != n)
        error = ferror(file) ? strerror(errno) : "truncated";
    else {
        p->u = p->y + n;
        p->v = p->u + n;
        for (size_t i = 0; i < n && channels == 3; i++)          // in place: y[i] is written after the pixel at 3 i >= i is read
            p->y[i] = (uint8_t)(0.299 * p->y[3 * i] + 0.587 * p->y[3 * i + 1] + 0.114 * p->y[3 * i + 2] + 0.5);
    }
    fclose(file);
    return error;
}

// Sends one frame, drains the stream and receives the frame. Input and output share their planes, so luma is not copied.
// *logged becomes 1 if the library has logged an error.
static int colour(struct picture *p, const char *model_path, int *logged)
{
    const struct clz_log log = { print_message, logged, CLZ_LOG_WARNING };
    const struct clz_frame frame = { .format = clz_pixfmt_find("yuv444p"), .width = p->width, .height = p->height,
                                     .data = { p->y, p->u, p->v }, .stride = { p->width, p->width, p->width },
                                     .range = CLZ_RANGE_FULL, .matrix = CLZ_MATRIX_601 };
    struct clz_frame done;
    clz_model *model = NULL;
    clz_stream *stream = NULL;
    int ret = clz_model_open(&model, model_path, &log);

    if (ret >= 0) ret = clz_stream_open(&stream, model, &(struct clz_stream_params){ .batch = 1, .log = log });
    if (ret >= 0) ret = clz_stream_send(stream, &frame, &frame, NULL);
    if (ret >= 0) ret = clz_stream_drain(stream);
    if (ret >= 0) ret = clz_stream_receive(stream, &done, 1);
    clz_stream_close(&stream);
    clz_model_close(&model);
    return ret;
}

static uint8_t clip(double x)
{
    return x <= 0 ? 0 : x >= 255 ? 255 : (uint8_t)(x + 0.5);
}

static int write_picture(const struct picture *p, const char *path)
{
    FILE *file = fopen(path, "wb");
    const size_t n = (size_t)p->width * p->height;
    int failed;

    if (!file) return -errno;
    fprintf(file, "P6\n%d %d\n255\n", p->width, p->height);
    for (size_t i = 0; i < n; i++) {
        const double y = p->y[i], u = p->u[i] - 128.0, v = p->v[i] - 128.0;
        putc(clip(y + 1.402 * v), file);
        putc(clip(y - 0.344136 * u - 0.714136 * v), file);
        putc(clip(y + 1.772 * u), file);
    }
    failed = ferror(file);
    return fclose(file) || failed ? -EIO : 0;
}

int main(int argc, char **argv)
{
    struct picture p = {0};
    const char *error;
    int ret = 0, logged = 0;

    if (argc != 4) {
        fprintf(stderr, "usage: colorize_ppm MODEL IN.pgm|IN.ppm OUT.ppm\n");
        return 2;
    }
    if ((error = read_picture(&p, argv[2]))) fprintf(stderr, "colorize_ppm: %s: %s\n", argv[2], error);
    else if ((ret = colour(&p, argv[1], &logged)) < 0) {
        if (!logged) fprintf(stderr, "colorize_ppm: not coloured: %s\n", strerror(-ret));
    } else if ((ret = write_picture(&p, argv[3])) < 0) fprintf(stderr, "colorize_ppm: %s: %s\n", argv[3], strerror(-ret));
    free(p.y);
    return error || ret < 0;
}
