// qc.c - figures of frames with known colours, shots that flashes interrupt, the page, and what a stream writes.
#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "engine/colorize.h"
#include "engine/graph.h"
#include "engine/model.h"
#include "engine/qc.h"
#include "kernels/ab_bins.h"
#include "test_folder.h"

enum { W = 48, H = 32, PIXELS = W * H };

// The whole file, NUL-terminated; to be freed.
static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 1 << 22);

    REQUIRE(f != NULL);
    if (f) fread(text, 1, (1 << 22) - 1, f);
    if (f) fclose(f);
    return text;
}

static int count_of(const char *text, const char *word)
{
    int n = 0;

    for (; (text = strstr(text, word)); text += strlen(word)) n++;
    return n;
}

// Column `column` of the row of a frame; NAN: empty.
static double value(const char *csv, int frame, int column)
{
    char start[16];
    const char *at;

    snprintf(start, sizeof start, "\n%d,", frame);
    if (!(at = strstr(csv, start))) return -1;
    for (at++; column > 0; column--) at = strchr(at, ',') + 1;
    return *at == ',' || *at == '\n' ? NAN : atof(at);
}
enum { TIME = 1, COLOUR, GREY, AMBIGUITY, X, Y, UNSTEADY, FLICKER, CDC, BORDER };

static float l[PIXELS], own[2 * PIXELS], ab[2 * PIXELS];

static void fill(float *planes, float a, float b)
{
    for (int i = 0; i < PIXELS; i++) planes[i] = a, planes[PIXELS + i] = b;
}

static struct clzi_qc_frame frame(double time, int back)
{
    return (struct clzi_qc_frame){ time, back, W, H, l, own, ab, 110, { { 0.25f, 12, 20 }, 10, 20, 4 * W, 4 * H } };
}

static bool near(double a, double b) { return fabs(a - b) < 0.002; }

static void figures(void)
{
    struct clzi_qc *q = NULL;
    struct clzi_qc_frame f;
    const char *path = in_folder("figures.csv");
    char *csv;

    CASE("qc/figures_of_known_colours");
    REQUIRE_INT(clzi_qc_create(&q, path, 7, &log_), 0);
    for (int i = 0; i < PIXELS; i++) l[i] = 0.5f;
    fill(ab, 0.3f, 0.4f);                               // chroma 55
    fill(own, 0.3f, 0.4f);
    f = frame(0.5, 0);
    clzi_qc_add(q, &f);
    fill(ab, 0.3f, 0.4f + 2.f / 110);                   // 2 Lab units further, in the same bin: 44 is the first of 44..48
    fill(own, 0.3f - 3.f / 110, 0.4f + 2.f / 110);
    f = frame(1, 1);
    clzi_qc_add(q, &f);
    for (int i = 0; i < PIXELS; i++)                    // a quarter grey, a quarter too dark to count, half in colour
        ab[i] = i % 4 == 0 ? 3.9f / 110 : -0.5f, ab[PIXELS + i] = 0, l[i] = i % 4 == 1 ? 0.1f : 0.52f;
    fill(own, 0, 0);
    f = frame(-1, 1);
    f.note.ambiguity = (struct clzi_ambiguity){ -1, -1, -1 };
    clzi_qc_add(q, &f);
    clzi_qc_skip(q);
    fill(ab, 0, 0);
    for (int y = 0; y < 8; y++)                         // a spot at the right border
        for (int x = W - 8; x < W; x++) ab[(8 + y) * W + x] = 0.2f;
    f = frame(3, 1);                                    // continues a frame that was passed on: a shot of its own
    clzi_qc_add(q, &f);
    clzi_qc_destroy(&q);
    csv = read_file(path);
    REQUIRE(near(value(csv, 7, TIME), 0.5) && near(value(csv, 7, COLOUR), 55) && near(value(csv, 7, GREY), 0));
    REQUIRE(near(value(csv, 7, AMBIGUITY), 0.25) && value(csv, 7, X) == 10 + 12 * 4 + 2 && value(csv, 7, Y) == 20 + 20 * 4 + 2);
    REQUIRE(near(value(csv, 7, UNSTEADY), 0) && isnan(value(csv, 7, FLICKER)) && isnan(value(csv, 7, CDC)));
    REQUIRE(near(value(csv, 7, BORDER), 0));
    REQUIRE(near(value(csv, 8, FLICKER), 2) && near(value(csv, 8, UNSTEADY), 3) && near(value(csv, 8, CDC), 0));
    REQUIRE(isnan(value(csv, 9, TIME)) && near(value(csv, 9, GREY), 1. / 3) && isnan(value(csv, 9, AMBIGUITY)));
    REQUIRE(isnan(value(csv, 9, X)) && isnan(value(csv, 9, FLICKER)) && near(value(csv, 9, CDC), 1));   // L* changed by 2
    REQUIRE(value(csv, 10, TIME) == -1);                // it has no row
    REQUIRE(near(value(csv, 11, BORDER), 22) && isnan(value(csv, 11, CDC)));
    free(csv);
}

// The colour of pixel (x, y) of picture number n of the page; -1: no such picture.
static int thumbnail(const char *page, int n, int x, int y)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    png_image image = { .version = PNG_IMAGE_VERSION };
    uint8_t *data = malloc(1 << 18), *rgb = NULL;
    size_t size = 0;
    uint32_t bits = 0;
    int colour = -1, have = 0;

    for (int i = 0; page && i <= n; i++)
        if ((page = strstr(page, "base64,"))) page += 7;
    for (; page && *page && *page != '"' && *page != '='; page++) {
        bits = bits << 6 | (uint32_t)(strchr(digits, *page) - digits);
        if ((have += 6) >= 8) data[size++] = (uint8_t)(bits >> (have -= 8));
    }
    if (page && png_image_begin_read_from_memory(&image, data, size)) {
        image.format = PNG_FORMAT_RGB;
        rgb = malloc(PNG_IMAGE_SIZE(image));
        if (png_image_finish_read(&image, NULL, rgb, 0, NULL) && x < (int)image.width && y < (int)image.height) {
            const uint8_t *p = rgb + 3 * (y * (int)image.width + x);
            colour = p[0] << 16 | p[1] << 8 | p[2];
        }
    }
    free(rgb);
    free(data);
    return colour;
}

static void shots(void)
{
    struct clzi_qc *q = NULL;
    const char *path = in_folder("shots <b>.csv");
    char *page, name[420];

    CASE("qc/a_page_with_a_row_and_a_thumbnail_for_each_shot");
    for (int i = 0; i < PIXELS; i++) l[i] = 0.5f;
    REQUIRE_INT(clzi_qc_create(&q, path, 0, &log_), 0);
    for (int i = 0; i < 40; i++) {                      // shots at 0 and 20; flashes at 10, 11 and 30
        struct clzi_qc_frame f = frame(i / 24., i == 0 || i == 10 || i == 11 || i == 20 || i == 30 ? 0 : i == 12 ? 3 :
                                       i == 31 ? 2 : 1);
        fill(ab, i < 20 ? 0.4f : -0.4f, 0);
        f.note.ambiguity.mean = i == 5 || i == 25 ? 0.6f : 0.2f;
        clzi_qc_add(q, &f);
    }
    clzi_qc_destroy(&q);
    snprintf(name, sizeof name, "%s.html", path);
    page = read_file(name);
    REQUIRE_INT(count_of(page, "<tr><td>"), 2);
    REQUIRE_INT(count_of(page, "data:image/png;base64,"), 2);
    REQUIRE(strstr(page, "<tr><td>1</td>") && strstr(page, "<tr><td>2</td>"));
    REQUIRE(strstr(page, "\"><br>5, 0.20833 s</td><td>0</td><td>0.00000</td><td>20</td><td>60, 102</td>") != NULL);
    REQUIRE(strstr(page, "\"><br>25, 1.04167 s</td><td>20</td><td>0.83333</td><td>20</td>") != NULL);
    REQUIRE(strstr(page, "shots &lt;b&gt;.csv") && !strstr(page, "<b>") && !strstr(page, "http") && !strstr(page, "<script"));
    REQUIRE(strstr(page, "</table></body></html>") != NULL);
    {
        const int red = thumbnail(page, 0, 2, 2), green = thumbnail(page, 1, 2, 2), cross = thumbnail(page, 0, 12, 20);
        REQUIRE(red >= 0 && (red >> 16) > (red >> 8 & 255) + 40);
        REQUIRE(green >= 0 && (green >> 8 & 255) > (green >> 16) + 40);
        REQUIRE_INT(cross, 0xff00ff);
    }
    free(page);
}

static void files(void)
{
    struct clzi_qc *q = NULL, *other = NULL;
    const char *path = in_folder("mine.csv");
    FILE *f = fopen(path, "w");
    char *text;

    fputs("dear diary\n", f);
    fclose(f);
    CASE("qc/files_of_others_are_not_replaced");
    REQUIRE_INT(clzi_qc_create(&q, path, 0, &log_), -EEXIST);
    REQUIRE(!q && strstr(message, "mine.csv: was not written by qc, and is not replaced"));
    text = read_file(path);
    REQUIRE(!strcmp(text, "dear diary\n"));
    free(text);
    REQUIRE_INT(clzi_qc_create(&q, in_folder("none/such.csv"), 0, &log_), -ENOENT);
    REQUIRE(strstr(message, "none/such.csv: cannot be written"));
    f = fopen(in_folder("page.csv.html"), "w");
    fputs("<html>mine</html>", f);
    fclose(f);
    REQUIRE_INT(clzi_qc_create(&q, in_folder("page.csv"), 0, &log_), -EEXIST);
    REQUIRE(strstr(message, "page.csv.html: was not written by qc") && access(in_folder("page.csv"), F_OK));
    REQUIRE_INT(clzi_qc_create(&q, in_folder("figures.csv"), 0, &log_), 0);        // its own: replaced
    REQUIRE_INT(clzi_qc_create(&other, in_folder("figures.csv"), 0, &log_), -EBUSY);
    REQUIRE(!other && strstr(message, "figures.csv: cannot be written: Device or resource busy"));
    clzi_qc_destroy(&q);
}

static void ambiguity(void)
{
    enum { CLASSES = 313, SMALL_W = 20, SMALL_H = 12, SMALL = SMALL_W * SMALL_H };
    float *z = calloc(CLASSES * SMALL, sizeof *z);
    struct clzi_ambiguity a;

    CASE("qc/ambiguity_is_the_entropy");
    a = clzi_ambiguity_of(z, CLASSES, SMALL_H, SMALL_W, 2, 1);
    REQUIRE(fabsf(a.mean - 1) < 1e-5f && a.x == 2 * 4 && a.y == 2 * 4);             // the first of equal places
    for (int i = 0; i < SMALL; i++) z[17 * SMALL + i] = 60;
    a = clzi_ambiguity_of(z, CLASSES, SMALL_H, SMALL_W, 2, 2);
    REQUIRE(fabsf(a.mean) < 1e-5f);
    for (int y = 8; y < SMALL_H; y++)                                               // two classes, in the place at (8, 8)
        for (int x = 8; x < 16; x++) z[200 * SMALL + y * SMALL_W + x] = 60;
    for (int threads = 1; threads < 4; threads++) {
        a = clzi_ambiguity_of(z, CLASSES, SMALL_H, SMALL_W, 2, threads);
        REQUIRE(fabsf(a.mean - 32.f / SMALL * logf(2) / logf(CLASSES)) < 1e-5f && a.x == 2 * 12 && a.y == 2 * (SMALL_H - 1));
    }
    free(z);
}

// ---- streams ----

static const char *model(bool classes)
{
    const char *path = in_folder(classes ? "classes.bin" : "plain.bin");
    struct clzi_model_facts facts = { .arch = "test", .size = 64, .stride = 4, .input = "luma", .l_scale = 50, .l_offset = 1,
                                      .ab_scale = 110, .train = "made by a test", .license = "CC0" };
    struct clzi_graph *g = NULL;
    float *values[4];
    uint32_t seed = 5;
    int x;

    REQUIRE_INT(clzi_graph_create(&g), 0);
    x = clzi_graph_input(g, "L", .channels = 1);
    x = clzi_graph_conv(g, "conv", x, .channels = classes ? CLZK_AB_BINS : 2, .k = 4, .stride = 2, .pad = 1, .bias = 1);
    if (classes) x = clzi_graph_annealed_mean(g, "mean", x, .scale = 2);
    REQUIRE(clzi_graph_resize(g, "ab", x, .factor = 2) > 0);
    for (int i = 0; i < g->param_count; i++) {
        values[i] = malloc(clzi_param_count(&g->params[i]) * sizeof(float));
        for (int64_t k = 0; k < clzi_param_count(&g->params[i]); k++) {
            seed = seed * 1664525u + 1013904223u;
            values[i][k] = ((float)(seed >> 8) / 16777216.f - 0.5f) * (classes ? 4 : 0.5f);
        }
    }
    REQUIRE_INT(clzi_model_write(path, g, values, &facts, CLZI_F32, &log_), 0);
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    clzi_graph_destroy(&g);
    return path;
}

static int run(const char *model_path, const char *qc, int batch, int threads, int stabilizer)
{
    enum { FRAMES = 13, WIDTH = 96, HEIGHT = 64 };
    struct clz_stream_params params = { .device = "cpu", .threads = threads, .batch = batch, .stabilizer = stabilizer,
                                        .window = 2, .qc = qc, .log = log_ };
    static uint8_t luma[FRAMES][WIDTH * HEIGHT], chroma[FRAMES][2][WIDTH * HEIGHT];
    struct clz_controls controls = CLZ_CONTROLS_DEFAULT;
    clz_model *m = NULL;
    clz_stream *s = NULL;
    struct clz_frame got;
    int ret;

    REQUIRE_INT(clz_model_open(&m, model_path, &log_), 0);
    if ((ret = clz_stream_open(&s, m, &params)) < 0) {
        clz_model_close(&m);
        return ret;
    }
    for (int i = 0; i < FRAMES; i++) {
        struct clz_frame in = { .format = clz_pixfmt_find("gray"), .width = WIDTH, .height = HEIGHT, .data = { luma[i] },
                                .stride = { WIDTH } };
        struct clz_frame out = { .format = clz_pixfmt_find("yuv444p"), .width = WIDTH, .height = HEIGHT,
                                 .data = { luma[i], chroma[i][0], chroma[i][1] }, .stride = { WIDTH, WIDTH, WIDTH } };
        for (int k = 0; k < WIDTH * HEIGHT; k++) luma[i][k] = (uint8_t)(100 + 60 * sin((k % WIDTH + i) / 7.) + k / WIDTH);
        controls.skip = i == 8;
        controls.time = i / 25.;
        REQUIRE_INT(clz_stream_send(s, &in, &out, &controls), 0);
        while (clz_stream_receive(s, &got, 1) == 0) {}
    }
    clz_stream_drain(s);
    while ((ret = clz_stream_receive(s, &got, 1)) == 0) {}
    clz_stream_close(&s);
    clz_model_close(&m);
    return ret == -ENODATA ? 0 : ret;
}

static void streams(void)
{
    const char *path = in_folder("stream.csv"), *classes = model(true), *plain = model(false);
    char *one, *other;

    CASE("qc/a_stream_writes_a_row_for_each_frame_for_any_batch");
    REQUIRE_INT(run(classes, path, 1, 1, 1), 0);
    one = read_file(path);
    REQUIRE_INT(count_of(one, "\n"), 13);                                           // header, 12 frames: one was passed on
    for (int i = 0; i < 13; i++)
        if (i != 8) REQUIRE(value(one, i, AMBIGUITY) > 0 && value(one, i, AMBIGUITY) < 1 && value(one, i, COLOUR) > 0);
    REQUIRE(value(one, 5, FLICKER) >= 0 && isnan(value(one, 9, FLICKER)) && near(value(one, 12, TIME), 0.48));
    for (int batch = 3; batch < 6; batch++) {
        REQUIRE_INT(run(classes, path, batch, 2, 1), 0);
        other = read_file(path);
        REQUIRE(!strcmp(one, other));
        free(other);
    }
    free(one);

    CASE("qc/a_model_without_classes_has_no_ambiguity");
    REQUIRE_INT(run(plain, path, 2, 1, 1), 0);
    one = read_file(path);
    REQUIRE(isnan(value(one, 3, AMBIGUITY)) && isnan(value(one, 3, X)) && value(one, 3, UNSTEADY) >= 0);
    free(one);

    CASE("qc/needs_the_stabiliser");
    REQUIRE_INT(run(classes, path, 1, 1, 0), -EINVAL);
    REQUIRE(strstr(message, "qc needs the stabiliser"));
}

int main(void)
{
    if (!folder_make("qc")) return 1;
    figures();
    shots();
    files();
    ambiguity();
    streams();
    return check_end() | folder_remove();
}
