// chroma.c - what is found of a film's own colours, and what a stream does with them: films of computed scenes that are grey,
// tinted, toned, sepia and coloured.
#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "check.h"
#include "engine/chroma.h"
#include "tiny_model.h"

enum { W = 96, H = 72, PIXELS = W * H };
enum look { GREY, NOISE, SEPIA, TINT, TONED, BLUE, COLOURS, PALE, TEAL_AND_ORANGE, UNEVEN, DIM, BLACK, LOOKS };

static float unit(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t h = a * 0x9e3779b1u ^ b * 0x85ebca77u ^ c * 0xc2b2ae3du;

    h = (h ^ h >> 15) * 0x2c1b3c6du;
    h = (h ^ h >> 12) * 0x297a2d39u;
    return (float)((h ^ h >> 15) >> 8) / (1 << 24);
}

// Y', Cb, Cr of 0 to 255 and -128 to 127, in blocks of 12 pixels, with a little noise.
static void colour(enum look look, int scene, int frame, int x, int y, float c[3])
{
    const uint32_t bx = (uint32_t)((x + abs(frame % 12 - 6)) / 12), by = (uint32_t)(y / 12), s = (uint32_t)scene * 16;
    const float l = look == BLACK ? 4 : (40 + 180 * unit(s, bx, by)) * (look == DIM ? 0.1f : 1);
    const float u = unit(s + 1, bx, by) - 0.5f, v = unit(s + 2, bx, by) - 0.5f;
    const float range = look == COLOURS || look == DIM ? 60 : look == PALE ? 16 : 0, warm = unit(s + 3, bx, by) < 0.6f ? 1 : -1;
    const float noise = look == GREY ? 0 : 2;

    c[0] = l;
    c[1] = range * u + noise * (unit((uint32_t)frame, (uint32_t)x, (uint32_t)y) - 0.5f);
    c[2] = range * v + noise * (unit((uint32_t)frame + 999, (uint32_t)x, (uint32_t)y) - 0.5f);
    if (look == SEPIA) c[1] -= 14 + 8 * l / 255, c[2] += 9 + 5 * l / 255;
    if (look == TINT) c[1] -= 30, c[2] += 25;                   // the film's base is amber
    if (look == TONED) c[1] += 30 * (1 - l / 255), c[2] -= 12 * (1 - l / 255);      // the shadows are blue
    if (look == BLUE) c[1] += 6, c[2] -= 4;
    if (look == UNEVEN) c[1] -= 24, c[2] += 20 * l / 255;       // the hue of the tint changes with lightness
    if (look == TEAL_AND_ORANGE) c[1] -= 15 * warm, c[2] += 12 * warm;
}

static _Alignas(2) uint8_t planes[4 * 2 * PIXELS];

static void put(const struct clz_frame *f, int component, int x, int y, float code)     // of 0 to 255
{
    const struct clz_samples *s = &f->format->samples[component];
    uint8_t *row = f->data[s->plane] + y * f->stride[s->plane];
    const int at = s->offset + x * s->step, depth = f->format->depth, most = (1 << depth) - 1;
    int v = (int)lrintf(code * (float)(1 << (depth - 8)));

    v = v < 0 ? 0 : v > most ? most : v;
    if (f->format->flags & CLZ_PIXFMT_MSB) v <<= 16 - depth;
    if (f->format->flags & CLZ_PIXFMT_SWAPPED) v = (v << 8 | v >> 8) & 0xffff;
    if (depth == 8) row[at] = (uint8_t)v;
    else ((uint16_t *)row)[at] = (uint16_t)v;
}

static struct clz_frame paint(const char *format, enum look look, int scene, int frame, uint8_t *at)
{
    struct clz_frame f = { .format = clz_pixfmt_find(format), .width = W, .height = H, .range = CLZ_RANGE_LIMITED };
    const bool rgb = f.format->flags & CLZ_PIXFMT_RGB;

    for (int p = 0; p < f.format->planes; p++) {
        f.data[p] = at;
        f.stride[p] = (ptrdiff_t)clz_pixfmt_row_bytes(f.format, p, W);
        at += f.stride[p] * clz_pixfmt_rows(f.format, p, H);
    }
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) {
            const int cx = x >> f.format->log2_chroma_w, cy = y >> f.format->log2_chroma_h;
            float c[3];
            colour(look, scene, frame, x, y, c);
            if (rgb) {                      // BT.709
                put(&f, 0, x, y, c[0] + 1.5748f * c[2]);
                put(&f, 1, x, y, c[0] - 0.1873f * c[1] - 0.4681f * c[2]);
                put(&f, 2, x, y, c[0] + 1.8556f * c[1]);
            } else {
                put(&f, 0, x, y, 16 + c[0] * 219 / 255);
                if (f.format->samples[1].step) put(&f, 1, cx, cy, 128 + c[1]), put(&f, 2, cx, cy, 128 + c[2]);
            }
        }
    return f;
}

static void looks(void)
{
    static const struct { const char *name; enum clzi_own_colour want; } rows[LOOKS] = {
        [GREY] = { "grey", CLZI_GREY }, [NOISE] = { "noise", CLZI_GREY }, [SEPIA] = { "sepia", CLZI_TINTED },
        [TINT] = { "tint", CLZI_TINTED }, [TONED] = { "toned", CLZI_TINTED }, [BLUE] = { "a weak blue", CLZI_TINTED },
        [COLOURS] = { "colours", CLZI_COLOURED }, [PALE] = { "pale colours", CLZI_COLOURED },
        [TEAL_AND_ORANGE] = { "teal and orange", CLZI_COLOURED }, [BLACK] = { "black", CLZI_GREY },
        [UNEVEN] = { "an uneven tint", CLZI_TINTED }, [DIM] = { "dark", CLZI_GREY },
    };
    static const char *const formats[] = { "yuv420p", "yuv422p10", "yuv444p16be", "nv12", "p010", "gbrp", "bgr24", "rgba64" };

    CASE("chroma/looks_in_every_kind_of_format");
    for (size_t k = 0; k < sizeof formats / sizeof *formats; k++)
        for (int i = 0; i < LOOKS; i++) {
            struct clzi_chroma_finder finder = {0};
            float luma[CLZI_CHROMA_CELLS];
            const struct clz_frame f = paint(formats[k], (enum look)i, 3, 0, planes);
            const struct clzi_chroma_look look = clzi_chroma_look(&f, luma);
            if (!k) printf("  %-16s strength %5.2f variety %5.2f\n", rows[i].name, look.strength, look.variety);
            REQUIRE_INT(clzi_chroma_next(&finder, &f), rows[i].want);
            REQUIRE_INT(look.dark, i == BLACK || i == DIM);
        }
    struct clzi_chroma_finder finder = {0};
    const struct clz_frame f = paint("gray", COLOURS, 3, 0, planes);
    REQUIRE_INT(clzi_chroma_next(&finder, &f), CLZI_GREY);

    CASE("chroma/pictures_of_one_pixel");
    for (int i = 0; i < 2; i++) {
        struct clz_frame one = paint(i ? "gbrp" : "yuv420p", COLOURS, 3, 0, planes);
        finder = (struct clzi_chroma_finder){0};
        one.width = one.height = 1;
        clzi_chroma_next(&finder, &one);
    }
}

// Frames [first, last] of a film of one shot after another; want: what is found for each.
struct stretch { int frames; enum look look; int scene; enum clzi_own_colour want; };

static void expect(const struct stretch *s, int count)
{
    struct clzi_chroma_finder finder = {0};
    int n = 0;

    for (int i = 0; i < count; i++)
        for (int k = 0; k < s[i].frames; k++, n++) {
            const struct clz_frame f = paint("yuv420p", s[i].look, s[i].scene, n, planes);
            const enum clzi_own_colour got = clzi_chroma_next(&finder, &f);
            if (got == s[i].want) continue;
            REQUIRE_INT(got, s[i].want);
            printf("  frame %d, stretch %d\n", n, i);
            return;
        }
}

static void shots(void)
{
    CASE("chroma/found_at_a_cut");
    expect((const struct stretch[]){ { 5, GREY, 1, CLZI_GREY }, { 5, COLOURS, 2, CLZI_COLOURED }, { 5, SEPIA, 3, CLZI_TINTED },
                                     { 1, PALE, 4, CLZI_COLOURED }, { 5, NOISE, 5, CLZI_GREY } }, 5);

    CASE("chroma/a_shot_keeps_it_while_its_colours_come_and_go");
    expect((const struct stretch[]){ { 5, COLOURS, 1, CLZI_COLOURED }, { 40, GREY, 1, CLZI_COLOURED },
                                     { 5, COLOURS, 1, CLZI_COLOURED }, { 47, SEPIA, 1, CLZI_COLOURED },
                                     { 5, SEPIA, 1, CLZI_TINTED } }, 5);
    expect((const struct stretch[]){ { 5, GREY, 1, CLZI_GREY }, { 2, COLOURS, 1, CLZI_GREY }, { 5, GREY, 1, CLZI_GREY },
                                     { 2, COLOURS, 1, CLZI_GREY }, { 5, COLOURS, 1, CLZI_COLOURED } }, 5);

    CASE("chroma/a_shot_that_begins_dark");
    expect((const struct stretch[]){ { 5, GREY, 1, CLZI_GREY }, { 5, BLACK, 1, CLZI_GREY }, { 5, COLOURS, 2, CLZI_COLOURED },
                                     { 5, BLACK, 2, CLZI_COLOURED }, { 5, GREY, 2, CLZI_GREY } }, 5);
    expect((const struct stretch[]){ { 5, GREY, 1, CLZI_GREY }, { 5, DIM, 2, CLZI_GREY }, { 5, COLOURS, 2, CLZI_COLOURED },
                                     { 5, DIM, 3, CLZI_COLOURED }, { 5, GREY, 3, CLZI_GREY } }, 5);
}

// ---- a stream ----

enum { FILM = 30, SIZE = 3 * PIXELS };
static const enum look film_looks[3] = { GREY, SEPIA, COLOURS };

static int colour_film(clz_model *model, const struct clz_stream_params *params, const int *skip, uint8_t *pictures)
{
    clz_stream *s = NULL;
    struct clz_frame done;
    int got = 0, ret = clz_stream_open(&s, model, params);

    for (int n = 0; s && n < FILM; n++) {
        const struct clz_frame f = paint("yuv444p", film_looks[n / 10], n / 10, n, pictures + (size_t)n * SIZE);
        struct clz_controls c = CLZ_CONTROLS_DEFAULT;
        c.skip = skip ? skip[n / 10] : 0;
        c.time = n;
        while ((ret = clz_stream_send(s, &f, &f, &c)) == -EAGAIN && clz_stream_receive(s, &done, 1) == 0) got++;
        REQUIRE_INT(ret, 0);
    }
    if (s) clz_stream_drain(s);
    while (s && clz_stream_receive(s, &done, 1) == 0) got++;
    if (s) REQUIRE_INT(got, FILM);
    clz_stream_close(&s);
    return ret;
}

static void streams(clz_model *model, const char *sheet)
{
    static uint8_t want[FILM * SIZE], got[FILM * SIZE];
    static const int skip[3][3] = { [CLZ_CHROMA_KEEP] = { 0, 1, 1 }, [CLZ_CHROMA_AUTO] = { 0, 0, 1 } };
    struct clz_stream_params p = { .device = "cpu", .threads = 1, .stabilizer = 1, .window = 2 };

    CASE("stream/shots_that_have_colours_are_passed_on");
    for (int mode = CLZ_CHROMA_IGNORE; mode <= CLZ_CHROMA_AUTO; mode++) {
        p.chroma = CLZ_CHROMA_IGNORE;
        colour_film(model, &p, skip[mode], want);
        p.chroma = (enum clz_chroma)mode;
        for (p.batch = 1; p.batch < 9; p.batch += 3) {
            colour_film(model, &p, NULL, got);
            REQUIRE(!memcmp(want, got, sizeof got));
        }
        p.batch = 0;
        paint("yuv444p", COLOURS, 2, 25, planes);
        REQUIRE(!memcmp(planes, got + 25 * SIZE, SIZE) == (mode != CLZ_CHROMA_IGNORE));
        paint("yuv444p", SEPIA, 1, 15, planes);
        REQUIRE(!memcmp(planes, got + 15 * SIZE, SIZE) == (mode == CLZ_CHROMA_KEEP));
        REQUIRE(!memcmp(planes, got + 15 * SIZE, PIXELS));      // luma
    }

    CASE("stream/a_sheet_decides_for_its_shots");
    FILE *f = fopen(sheet, "w");
    REQUIRE(f && fputs("lines: [{from: 25, skip: false}]\n", f) >= 0 && !fclose(f));
    p.sheet = sheet;
    colour_film(model, &p, NULL, got);
    paint("yuv444p", COLOURS, 2, 24, planes);
    REQUIRE(!memcmp(planes, got + 24 * SIZE, SIZE));
    paint("yuv444p", COLOURS, 2, 25, planes);
    REQUIRE(memcmp(planes, got + 25 * SIZE, SIZE));
    unlink(sheet);

    CASE("stream/not_a_mode");
    p.sheet = NULL;
    p.chroma = (enum clz_chroma)3;
    REQUIRE_INT(colour_film(model, &p, NULL, got), -EINVAL);
}

int main(void)
{
    char path[512];
    clz_model *model = NULL;
    const int file = mkstemp(check_temporary(path, "chroma"));

    if (file < 0 || close(file)) return 1;
    looks();
    shots();
    if (tiny_model_write(path) < 0 || clz_model_open(&model, path, NULL) < 0) return 1;
    streams(model, path);
    clz_model_close(&model);
    unlink(path);
    return check_end();
}
