// stream_hints.c - colours that the user gives: the file, the painting, and what comes out of a stream.
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "engine/colorize.h"
#include "engine/graph.h"
#include "engine/hints.h"
#include "engine/model.h"
#include "echo_model.h"
#include "test_folder.h"

static const char *write_png(const char *name, int width, int height, const uint8_t *pixels, bool alpha)
{
    png_image image = { .version = PNG_IMAGE_VERSION, .width = (png_uint_32)width, .height = (png_uint_32)height,
                        .format = alpha ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB };
    const char *path = in_folder(name);

    REQUIRE(png_image_write_to_file(&image, path, 0, pixels, 0, NULL));
    return path;
}

// ---- files ----

static void refused(const char *path, int code, const char *want)
{
    struct clzi_hints *h = NULL;

    message[0] = 0;
    REQUIRE_INT(clzi_hints_read(&h, path, &log_), code);
    REQUIRE(h == NULL);
    if (!strstr(message, want)) printf("  \"%s\" does not contain \"%s\"\n", message, want);
    REQUIRE(strstr(message, want) != NULL);
    REQUIRE(strstr(message, path) != NULL);
}

static void files(void)
{
    static const char *const wrong[] = {
        "1 2 3", "1 2 #ff0000", "1 2 3 ff0000", "1 2 3 #ff00", "1 2 3 #ff00001", "1 2 3 #gg0000", "-1 2 3 #ff0000",
        "nan 2 3 #ff0000",
        "1 2 1e9 #ff0000", "x 2 3 #ff0000", "1,2,3,#ff0000", "1 2 3 #ff0000 more", "1 2 inf #ff0000",
    };
    uint8_t pixels[4 * 6] = { 0 };
    char text[200], *many = malloc(150000);
    size_t at = 0;

    CASE("stream_hints/bad_files_are_named");
    refused(in_folder("none.txt"), -ENOENT, "No such file");
    refused(folder, -EINVAL, "is none");
    mkfifo(in_folder("fifo"), 0600);
    refused(in_folder("fifo"), -EINVAL, "is none");
    refused(write_text("empty.txt", ""), -EBADMSG, "no hint");
    refused(write_text("comment.txt", "# nothing\n\n"), -EBADMSG, "no hint");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        snprintf(text, sizeof text, "# a comment\n10 10 2 #00ff00\n\n%s\n", wrong[i]);
        refused(write_text("wrong.txt", text), -EBADMSG, "line 4: should be x y radius #rrggbb");
    }
    memset(many, '1', 300);
    many[300] = 0;
    refused(write_text("long.txt", many), -EBADMSG, "line 1");
    {
        FILE *f = fopen(in_folder("nul.txt"), "w");
        fwrite("1 2 3 #ff0000\0 junk\n", 1, 20, f);
        fclose(f);
    }
    refused(in_folder("nul.txt"), -EBADMSG, "line 1");
    refused(write_png("clear.png", 3, 2, pixels, true), -EBADMSG, "transparent everywhere");
    refused(write_png("opaque.png", 3, 2, pixels, false), -EBADMSG, "no transparency");
    truncate(in_folder("opaque.png"), 30);
    refused(in_folder("opaque.png"), -EBADMSG, "opaque.png");
    for (int i = 0; i < 10001; i++) at += snprintf(many + at, 150000 - at, "1 1 1 #000000\n");
    refused(write_text("many.txt", many), -EBADMSG, "more than 10000 points");
    free(many);
}

static void good_files(void)
{
    struct clzi_hints *h = NULL;

    CASE("stream_hints/text_may_have_spaces_percents_and_no_last_newline");
    REQUIRE_INT(clzi_hints_read(&h, write_text("good.txt", "  1 2.5\t3 #FFaa00  \r\n\t\n #c\n50% 25% 10% #000000"), &log_), 0);
    clzi_hints_destroy(&h);
}

// Bytes of good files changed at random: an error and a message, or hints that can be painted.
static void damaged(void)
{
    static const uint8_t rgba[4 * 6] = { 255, 0, 0, 255, [8] = 0, 99, 0, 255, [20] = 1, 2, 3, 200 };
    static float planes[3 * 40 * 20];
    const char *const paths[] = { write_text("whole.txt", "1 2.5 3 #ffaa00\n50% 25% 10% #000000\n"),
                                  write_png("w.png", 3, 2, rgba, true) };
    const struct clzi_canvas canvas = { planes, 110, { 0, 0, 400, 200 }, 40, 20 };
    uint32_t seed = 7;
    int good = 0, bad = 0;

    CASE("stream_hints/damaged_files_are_refused_or_painted");
    for (int i = 0; i < 2; i++) {
        uint8_t whole[400], data[400];
        FILE *f = fopen(paths[i], "rb");
        const size_t size = fread(whole, 1, sizeof whole, f);
        fclose(f);
        for (int round = 0; round < 4000; round++) {
            struct clzi_hints *h = NULL;
            int ret;
            memcpy(data, whole, size);
            for (int k = 0; k < 1 + round % 3; k++) {
                seed = seed * 1664525u + 1013904223u;
                data[(seed >> 8) % size] = (uint8_t)(seed >> 24);
            }
            message[0] = 0;
            ret = clzi_hints_parse(&h, data, size - (round % 7 == 6 ? round % size : 0), "damaged", &log_);
            REQUIRE(ret == 0 ? h != NULL : ret == -EBADMSG && !h && message[0]);
            if (ret == 0) clzi_hints_paint(h, 400, 200, &canvas);
            for (int k = 0; k < 3 * 40 * 20; k += 7) REQUIRE(isfinite(planes[k]));
            good += ret == 0;
            bad += ret < 0;
            clzi_hints_destroy(&h);
        }
    }
    REQUIRE(good > 200 && bad > 200);
}

// ---- painting ----

enum { W = 40, H = 20, PLANE = W * H };

static float *painted(const char *path, int width, int height, struct clzi_hints_area seen, int *outside)
{
    static float planes[3 * PLANE];
    struct clzi_hints *h = NULL;

    memset(planes, 0xff, sizeof planes);
    REQUIRE_INT(clzi_hints_read(&h, path, &log_), 0);
    *outside = clzi_hints_paint(h, width, height, &(struct clzi_canvas){ planes, 110, seen, W, H });
    clzi_hints_destroy(&h);
    return planes;
}

static int masked(const float *planes)
{
    int n = 0;

    for (int i = 0; i < PLANE; i++) {
        n += planes[2 * PLANE + i] == 1;
        REQUIRE(planes[2 * PLANE + i] == 1 || (planes[i] == 0 && planes[PLANE + i] == 0 && planes[2 * PLANE + i] == 0));
    }
    return n;
}

static void painting(void)
{
    const struct clzi_hints_area all = { 0, 0, 400, 200 }, part = { 0, 50, 400, 100 };
    const uint8_t picture[4 * 4] = { 255, 0, 0, 255, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 255, 128 };
    int outside;
    float *p;

    CASE("stream_hints/a_point_paints_its_disc_in_its_colour");
    p = painted(write_text("a.txt", "205 105 0 #ff0000\n"), 400, 200, all, &outside);
    REQUIRE_INT(masked(p), 1);
    REQUIRE_INT(outside, 0);
    REQUIRE_NEAR(p[10 * W + 20] * 110, 80.09, 0.02);        // sRGB red: L* 53.24, a* 80.09, b* 67.20 (scikit-image)
    REQUIRE_NEAR(p[PLANE + 10 * W + 20] * 110, 67.20, 0.02);
    p = painted(write_text("a.txt", "205 105 21 #ff0000\n"), 400, 200, all, &outside);
    REQUIRE_INT(masked(p), 13);                             // centres within 21 pixels, which are 10 apart
    p = painted(write_text("a.txt", "51.25% 52.5% 0% #ff0000\n"), 400, 200, all, &outside);
    REQUIRE(masked(p) == 1 && p[2 * PLANE + 10 * W + 20] == 1);
    p = painted(write_text("a.txt", "0 0 0 #ff0000\n399 199 0 #00ff00\n100% 0% 0 #0000ff"), 400, 200, all, &outside);
    REQUIRE(masked(p) == 3 && p[2 * PLANE] == 1 && p[3 * PLANE - 1] == 1 && p[2 * PLANE + W - 1] == 1 && !outside);

    CASE("stream_hints/a_later_point_counts");
    p = painted(write_text("a.txt", "205 105 21 #ff0000\n205 105 0 #0000ff\n"), 400, 200, all, &outside);
    REQUIRE_NEAR(p[PLANE + 10 * W + 20] * 110, -107.85, 0.02);          // blue: b* -107.86
    REQUIRE_NEAR(p[PLANE + 10 * W + 21] * 110, 67.20, 0.02);

    CASE("stream_hints/points_outside_are_counted_and_those_in_bars_ignored");
    p = painted(write_text("a.txt", "400 0 1 #ff0000\n0 200 1 #ff0000\n1000 10 1 #ff0000"), 400, 200, all, &outside);
    REQUIRE(masked(p) == 0 && outside == 3);
    p = painted(write_text("a.txt", "200 20 1 #ff0000\n200 52 0 #ff0000"), 400, 200, part, &outside);
    REQUIRE(masked(p) == 1 && outside == 0 && p[2 * PLANE + 20] == 1);

    CASE("stream_hints/a_picture_is_laid_over_the_frame");
    p = painted(write_png("two.png", 2, 2, picture, true), 400, 200, all, &outside);
    REQUIRE_INT(masked(p), PLANE / 2);                      // the left upper and the right lower quarter
    REQUIRE_NEAR(p[0] * 110, 80.09, 0.02);
    REQUIRE_NEAR(p[PLANE + PLANE - 1] * 110, -107.85, 0.02);
    REQUIRE(p[2 * PLANE + W - 1] == 0);
    p = painted(in_folder("two.png"), 400, 200, (struct clzi_hints_area){ 0, 0, 200, 100 }, &outside);
    REQUIRE_INT(masked(p), PLANE);
}

// ---- streams ----

enum { WIDTH = 128, HEIGHT = 64, FRAMES = 5 };

// Colours grey frames; chroma: of all, [FRAMES][2][HEIGHT][WIDTH].
static int run(const char *model, const char *hints, int batch, int bars, uint8_t *chroma)
{
    struct clz_stream_params params = { .device = "cpu", .threads = 1, .batch = batch, .hints = hints, .log = log_ };
    static uint8_t luma[WIDTH * HEIGHT], out_luma[FRAMES][WIDTH * HEIGHT];
    struct clz_controls controls = CLZ_CONTROLS_DEFAULT;
    clz_model *m = NULL;
    clz_stream *s = NULL;
    struct clz_frame got;
    int ret, n = 0;

    for (int i = 0; i < WIDTH * HEIGHT; i++)
        luma[i] = i / WIDTH < bars || i / WIDTH >= HEIGHT - bars ? 16 : (uint8_t)(80 + i % 7 + i / WIDTH);
    REQUIRE_INT(clz_model_open(&m, model, &log_), 0);
    if ((ret = clz_stream_open(&s, m, &params)) < 0) {
        clz_model_close(&m);
        return ret;
    }
    for (int i = 0; i < FRAMES; i++) {
        const struct clz_frame in = { .format = clz_pixfmt_find("gray"), .width = WIDTH, .height = HEIGHT, .data = { luma },
                                      .stride = { WIDTH }, .range = CLZ_RANGE_LIMITED };
        uint8_t *c = chroma + i * 2 * WIDTH * HEIGHT;
        const struct clz_frame out = { .format = clz_pixfmt_find("yuv444p"), .width = WIDTH, .height = HEIGHT,
                                       .data = { out_luma[i], c, c + WIDTH * HEIGHT }, .stride = { WIDTH, WIDTH, WIDTH },
                                       .range = CLZ_RANGE_LIMITED };
        REQUIRE_INT(clz_stream_send(s, &in, &out, &controls), 0);
        while (clz_stream_receive(s, &got, 1) == 0) n++;
    }
    clz_stream_drain(s);
    while ((ret = clz_stream_receive(s, &got, 1)) == 0) n++;
    REQUIRE_INT(ret, -ENODATA);
    REQUIRE_INT(n, FRAMES);
    clz_stream_close(&s);
    clz_model_close(&m);
    return 0;
}

static void streams(void)
{
    enum { SIZE = FRAMES * 2 * WIDTH * HEIGHT, U = 0, V = WIDTH * HEIGHT };
    uint8_t *one = malloc(SIZE), *four = malloc(SIZE);
    const char *model = echo_model(true), *hints = write_text("s.txt", "0 0 2000 #808080\n100 40 9 #ff0000\n");
    const int there = 40 * WIDTH + 100, elsewhere = 20 * WIDTH + 30;

    CASE("stream_hints/every_frame_has_them_for_any_batch");
    REQUIRE_INT(run(model, hints, 1, 0, one), 0);
    REQUIRE_INT(run(model, hints, 4, 0, four), 0);
    REQUIRE(!memcmp(one, four, SIZE));
    for (int i = 0; i < FRAMES; i++) {
        const uint8_t *c = one + i * 2 * WIDTH * HEIGHT;
        REQUIRE(abs(c[U + elsewhere] - 128) <= 1 && abs(c[V + elsewhere] - 128) <= 1);
        REQUIRE(c[V + there] > 170 && c[U + there] < 118);  // red
    }
    CASE("stream_hints/stay_in_their_place_where_there_are_black_bars");
    REQUIRE_INT(run(model, write_text("s.txt", "100 40 9 #ff0000\n"), 2, 8, one), 0);
    for (int i = 0; i < FRAMES; i++) {
        const uint8_t *c = one + i * 2 * WIDTH * HEIGHT;
        REQUIRE(c[V + there] > 170 && c[U + there] < 118);
        REQUIRE(c[V + elsewhere] == 128 && c[V + there - 24] == 128 && c[V + there + 20] == 128);
        REQUIRE(c[V + there - 15 * WIDTH] == 128 && c[V + there + 15 * WIDTH] == 128);
    }
    CASE("stream_hints/a_model_without_them_says_so");
    REQUIRE_INT(run(echo_model(false), hints, 1, 0, one), -EINVAL);
    REQUIRE(strstr(message, "plain.bin has no input for hints") != NULL);
    REQUIRE_INT(run(model, in_folder("none"), 1, 0, one), -ENOENT);
    CASE("stream_hints/points_outside_are_warned_of");
    message[0] = 0;
    REQUIRE_INT(run(model, write_text("s.txt", "100 40 9 #ff0000\n128 3 1 #ff0000"), 1, 0, one), 0);
    REQUIRE(strstr(message, "1 point of the hints lies outside the frame, which has 128x64 pixels") != NULL);
    free(one);
    free(four);
}

int main(void)
{
    if (!folder_make("hints")) return 1;
    files();
    good_files();
    damaged();
    painting();
    streams();
    return check_end() | folder_remove();
}
