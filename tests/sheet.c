// sheet.c - the shot sheet: what it means for frames, what is wrong with it, and a stream that follows it.
#include <errno.h>
#include <locale.h>
#include <stdbool.h>
#include <unistd.h>

#include "check.h"
#include "engine/sheet.h"
#include "tiny_model.h"

static char path[600], list[600];          // of the sheet and of a list of shots beside it
static char said[4096];                    // messages, a line each

static void hear(void *priv, enum clz_log_level level, const char *msg)
{
    (void)priv;
    (void)level;
    snprintf(said + strlen(said), sizeof said - strlen(said), "%s\n", msg);
}

static const struct clz_log listener = { hear, NULL, CLZ_LOG_WARNING };

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");

    REQUIRE(f && fputs(text, f) >= 0 && !fclose(f));
}

// Reads the sheet, with the list of shots if there is one.
static int read_sheet(struct clzi_sheet **s, const char *text, bool with_list)
{
    struct clzi_cuts *cuts = NULL;
    int ret;

    said[0] = 0;
    write_text(path, text);
    ret = clzi_sheet_read(s, path, &listener);
    if (ret >= 0 && with_list) REQUIRE_INT(clzi_cuts_read(&cuts, list, 0, &listener), 0);
    if (ret >= 0) ret = clzi_sheet_number(*s, cuts);
    clzi_cuts_destroy(&cuts);
    return ret;
}

// ---- what is wrong ----

static void wrong(void)
{
    static const struct { const char *text, *message; } cases[] = {
        { "", ": the sheet is empty" },
        { "- 1\n", ":1: no map or list is expected here" },
        { "lines: 3\n", ":1: lines: \"3\" is not a list" },
        { "line: []\n", ":1: a sheet has no key \"line\"" },
        { "lines: []\nlines: []\n", ":2: lines: is given twice" },
        { "lines:\n- 3\n", ":2: expected a line as {" },
        { "lines:\n- {}\n", ":2: the line sets nothing" },
        { "lines:\n- {shot: 3}\n", ":2: the line sets nothing" },
        { "lines:\n- {strenght: 1}\n", ":2: a line has no key \"strenght\"" },
        { "lines:\n- {strength: 1, strength: 0}\n", ":2: strength: is given twice" },
        { "lines:\n- shot: 1\n  strength: 1.5\n", ":3: strength: \"1.5\" is not a number from 0 to 1" },
        { "lines:\n- {saturation: 4.1}\n", ":2: saturation: \"4.1\" is not a number from 0 to 4" },
        { "lines:\n- {strength: -1}\n", ":2: strength: \"-1\" is not" },
        { "lines:\n- {strength: nan}\n", ":2: strength: \"nan\" is not" },
        { "lines:\n- {strength: }\n", ":2: strength: \"\" is not" },
        { "lines:\n- {strength: [1]}\n", ":2: no map or list is expected here" },
        { "lines:\n- {skip: 1}\n", ":2: skip: \"1\" is not true or false" },
        { "lines:\n- {hold: maybe}\n", ":2: hold: \"maybe\" is not true or false" },
        { "lines:\n- {shot: 0, hold: true}\n", ":2: shot: \"0\" is not" },
        { "lines:\n- {shot: 5-3, hold: true}\n", ":2: shot: \"5-3\" is not" },
        { "lines:\n- {shot: 2x, hold: true}\n", ":2: shot: \"2x\" is not" },
        { "lines:\n- {shot: [], hold: true}\n", ":2: shot: the list is empty" },
        { "lines:\n- {shot: 1, hold: true}\n", ":2: shot: numbers of shots need a list of shots" },
        { "lines:\n- {shot: 1, from: 3, hold: true}\n", ":2: shot and from, to exclude each other" },
        { "lines:\n- {from: soon, skip: true}\n", ":2: from: \"soon\" is not a time" },
        { "lines:\n- {from: -1, skip: true}\n", ":2: from: \"-1\" is not a time" },
        { "lines:\n- {from: 1:60, skip: true}\n", ":2: from: \"1:60\" is not a time" },
        { "lines:\n- {from: 1:60:00, skip: true}\n", ":2: from: \"1:60:00\" is not a time" },
        { "lines:\n- {from: 1:2:3:4:5, skip: true}\n", ":2: from: \"1:2:3:4:5\" is not a time" },
        { "lines:\n- from: 12\n  to: 10\n  skip: true\n", ":3: to: the range ends where it begins or before" },
        { "lines:\n- {from: 12, to: 12, skip: true}\n", ":2: to: the range ends where it begins" },
        { "lines:\n- {to: 0, skip: true}\n", ":2: to: the range ends where it begins" },
        { "lines:\n- {from: 0:0:1:0, skip: true}\n", ":2: from: a time code needs the key `rate`" },
        { "rate: 24\nlines:\n- {from: 0:0:1:24, skip: true}\n", ":3: there is no such time code at a rate of 24/1" },
        { "rate: 30\nlines:\n- {from: 0:0:1;4, skip: true}\n", ":3: there is no such time code at a rate of 30/1" },
        { "rate: 30000/1001\nlines:\n- {from: 0:1:00;01, skip: true}\n", ":3: there is no such time code at a rate of 30000/" },
        { "rate: 24\nstart: 1:0:0:0\nlines:\n- {from: 0:59:0:0, skip: true}\n", ":4: from: the time code is before" },
        { "start: 5\n", ":1: start: \"5\" is not a time code" },
        { "rate: fast\n", ":1: rate: \"fast\" is not frames per second" },
        { "rate: 24/0\n", ":1: rate: \"24/0\" is not frames per second" },
        { "cuts: ''\n", ":1: cuts: the name is empty" },
        { "lines:\n- {points: [[3, 4, 5, '#ff0000']]}\n", ":2: no map or list is expected here" },
        { "lines:\n- points: ['1 2 3 #ff0000',\n  '1 2 red']\n", ":2: points, line 2: should be x y radius #rrggbb" },
        { "lines:\n- {points: ''}\n", ":2: points: there is no hint" },
        { "lines:\n- {points: []}\n", ":2: points: the list is empty" },
        { "lines:\n- {masks: []}\n", ":2: masks: the list is empty" },
        { "lines:\n- {masks: ''}\n", ":2: masks: the name is empty" },
        { "lines:\n- {masks: {a: b}}\n", ":2: no map or list is expected here" },
        { "lines:\n- {shot: 1, follow: true}\n", ":2: the line sets nothing" },
        { "lines:\n- {strength: 1, follow: true}\n", ":2: follow: the line has no points, masks or reference" },
        { "lines:\n- {points: '1 2 3 #ff0000', follow: maybe}\n", ":2: follow: \"maybe\" is not true or false" },
        { "lines:\n- {reference: ''}\n", ":2: reference: the name is empty" },
        { "lines:\n- {reference: [a.png]}\n", ":2: no map or list is expected here" },
        { "lines: [\n", ":2: not YAML" },
        { "lines:\n- &a {strength: 1}\n", ":2: anchors and aliases are not supported" },
    };
    struct clzi_sheet *s;

    CASE("sheet/what_is_wrong_is_named_with_file_line_and_key");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        REQUIRE_INT(read_sheet(&s, cases[i].text, false), -EINVAL);
        clzi_sheet_destroy(&s);
        const bool one = strchr(said, '\n') == said + strlen(said) - 1;
        if (strncmp(said, path, strlen(path)) || !strstr(said, cases[i].message) || !one) {
            REQUIRE(!"the message");
            printf("  case %zu: %s  expected %s\n", i, said, cases[i].message);
        }
    }
    REQUIRE_INT(clzi_sheet_read(&s, "/nonexistent/sheet", &listener), -ENOENT);
    REQUIRE(!s);

    CASE("sheet/shots_that_the_list_does_not_have");
    write_text(list, "0,0,start\n40,1.6,cut\n");
    REQUIRE_INT(read_sheet(&s, "lines:\n- {shot: 1-3, hold: true}\n", true), -EINVAL);
    REQUIRE(strstr(said, ":2: shot: the list of shots has no shot 3, but 2 shots"));
    clzi_sheet_destroy(&s);
}

// ---- what it means ----

struct want { int number; double time; float strength, saturation, stabilize; int skip, hold; };

static void expect(const char *text, bool with_list, const struct want *want, int count)
{
    struct clzi_sheet *s;

    REQUIRE_INT(read_sheet(&s, text, with_list), 0);
    for (int i = 0; s && i < count; i++) {
        struct clz_controls c = { .strength = 0.5f, .saturation = 1, .stabilize = 1, .time = want[i].time };
        struct clzi_hint_layers layers = {0};
        const float *classes;
        clzi_sheet_apply(s, want[i].number, &c, &layers, &classes);
        if (c.strength != want[i].strength || c.saturation != want[i].saturation || c.stabilize != want[i].stabilize ||
            c.skip != want[i].skip || c.hold != want[i].hold) {
            REQUIRE(!"the controls");
            printf("  frame %d, %g s: strength %g saturation %g stabilize %g skip %d hold %d\n", want[i].number, want[i].time,
                   c.strength, c.saturation, c.stabilize, c.skip, c.hold);
        }
    }
    clzi_sheet_destroy(&s);
}

static void means(void)
{
    CASE("sheet/later_lines_override_earlier_ones_key_by_key");
    expect("lines:\n- {strength: 0.9}\n- {from: 2, to: 4, saturation: 2, skip: yes, hold: on}\n"
           "- {from: 3, strength: 0.25, skip: no}\n", false, (const struct want[]){
               { 0, 0, 0.9f, 1, 1, 0, 0 }, { 1, 1.999, 0.9f, 1, 1, 0, 0 }, { 2, 2, 0.9f, 2, 1, 1, 1 },
               { 3, 3, 0.25f, 2, 1, 0, 1 }, { 4, 4, 0.25f, 1, 1, 0, 0 }, { 5, 1e6, 0.25f, 1, 1, 0, 0 } }, 6);

    CASE("sheet/times");
    // 1/24 s in Matroska's milliseconds: 0.042 for 0.0416667
    expect("lines: [{from: 0.0416667, to: 0.083334, strength: 0}, {from: 1:01, to: '1:02.5', strength: 0}, "
           "{from: 2:00:00.25, to: 2:00:01, strength: 0}]\n", false, (const struct want[]){
               { 0, 0, 0.5f, 1, 1, 0, 0 }, { 1, 0.042, 0, 1, 1, 0, 0 }, { 2, 0.083, 0.5f, 1, 1, 0, 0 },
               { 3, 60.96, 0.5f, 1, 1, 0, 0 }, { 4, 61, 0, 1, 1, 0, 0 }, { 5, 62.499, 0, 1, 1, 0, 0 },
               { 6, 62.5, 0.5f, 1, 1, 0, 0 }, { 7, 7200.2, 0.5f, 1, 1, 0, 0 }, { 8, 7200.25, 0, 1, 1, 0, 0 },
               { 9, 7201, 0.5f, 1, 1, 0, 0 } }, 10);

    CASE("sheet/time_codes_at_any_rate_wherever_the_rate_stands");
    // 01:00:10:12 at 24 frames per second, from 01:00:00:00: frame 252, 10.5 s
    expect("lines: [{from: 01:00:10:12, to: 01:00:10:14, strength: 0}]\nrate: 24\nstart: 01:00:00:00\n", false,
           (const struct want[]){ { 0, 251 / 24., 0.5f, 1, 1, 0, 0 }, { 1, 10.5, 0, 1, 1, 0, 0 }, { 2, 253 / 24., 0, 1, 1, 0, 0 },
                                  { 3, 254 / 24., 0.5f, 1, 1, 0, 0 } }, 4);
    // SMPTE 12M: of 00:01:00;02 the number is 1800, of 00:10:00;00 17982, of 01:00:00;00 107892
    expect("rate: 30000/1001\nlines: [{from: 00:01:00;02, to: 00:01:00;03, strength: 0}, "
           "{from: 00:10:00;00, to: 00:10:00;01, strength: 0}, {from: 01:00:00;00, to: 01:00:00;01, strength: 0}]\n", false,
           (const struct want[]){ { 0, 1799 * 1.001 / 30, 0.5f, 1, 1, 0, 0 }, { 1, 1800 * 1.001 / 30, 0, 1, 1, 0, 0 },
                                  { 2, 1801 * 1.001 / 30, 0.5f, 1, 1, 0, 0 }, { 3, 17981 * 1.001 / 30, 0.5f, 1, 1, 0, 0 },
                                  { 4, 17982 * 1.001 / 30, 0, 1, 1, 0, 0 }, { 5, 107892 * 1.001 / 30, 0, 1, 1, 0, 0 },
                                  { 6, 107893 * 1.001 / 30, 0.5f, 1, 1, 0, 0 } }, 7);
    // without dropped frames: 00:01:00:00 is frame 1800
    expect("rate: 30000/1001\nlines: [{from: 00:01:00:00, to: 00:01:00:01, strength: 0}]\n", false,
           (const struct want[]){ { 0, 1799 * 1.001 / 30, 0.5f, 1, 1, 0, 0 }, { 1, 1800 * 1.001 / 30, 0, 1, 1, 0, 0 },
                                  { 2, 1801 * 1.001 / 30, 0.5f, 1, 1, 0, 0 } }, 3);

    CASE("sheet/shots_by_number");
    write_text(list, "0,0,start\n10,0.4,cut\n20,0.8,flash\n30,1.2,fade\n35,1.4,dissolve\n40,1.6,cut\n");     // 4 shots
    expect("lines:\n- {shot: [2, 4], strength: 0}\n- {shot: 2-3, stabilize: 0}\n", true, (const struct want[]){
        { 0, -1, 0.5f, 1, 1, 0, 0 }, { 9, -1, 0.5f, 1, 1, 0, 0 }, { 10, -1, 0, 1, 0, 0, 0 }, { 29, -1, 0, 1, 0, 0, 0 },
        { 30, -1, 0.5f, 1, 0, 0, 0 }, { 39, -1, 0.5f, 1, 0, 0, 0 }, { 40, -1, 0, 1, 1, 0, 0 }, { 4000, -1, 0, 1, 1, 0, 0 } }, 8);
    write_text(list, "5,0,cut\n");          // the first shot begins with frame 0
    expect("lines:\n- {shot: 1, strength: 0}\n", true, (const struct want[]){
        { 0, 0, 0, 1, 1, 0, 0 }, { 4, 0, 0, 1, 1, 0, 0 }, { 5, 0, 0.5f, 1, 1, 0, 0 } }, 3);

    CASE("sheet/frames_without_a_time");
    expect("lines:\n- {from: 0, strength: 0}\n- {saturation: 2}\n", false, (const struct want[]){
        { 0, -1, 0.5f, 2, 1, 0, 0 }, { 1, -1, 0.5f, 2, 1, 0, 0 }, { 2, 0, 0, 2, 1, 0, 0 } }, 3);
    REQUIRE(strstr(said, "a frame has no time"));
    REQUIRE(!strstr(strstr(said, "a frame has no time") + 5, "a frame has no time"));

    CASE("sheet/of_no_lines");
    expect("lines: []\n", false, (const struct want[]){ { 0, 0, 0.5f, 1, 1, 0, 0 } }, 1);
    expect("lines:\n", false, (const struct want[]){ { 0, 0, 0.5f, 1, 1, 0, 0 } }, 1);
    expect("# nothing yet\nrate: 25\n", false, (const struct want[]){ { 0, 0, 0.5f, 1, 1, 0, 0 } }, 1);

    CASE("sheet/decimals_in_a_locale_with_a_comma");
    if (setlocale(LC_NUMERIC, "de_DE.UTF-8"))
        expect("lines: [{strength: 0.25}]\n", false, (const struct want[]){ { 0, 0, 0.25f, 1, 1, 0, 0 } }, 1);
    else printf("  no such locale here\n");
    setlocale(LC_NUMERIC, "C");

    CASE("sheet/what_the_caller_skips_stays_skipped");
    struct clzi_sheet *s;
    struct clz_controls c = CLZ_CONTROLS_DEFAULT;
    const float *classes;
    REQUIRE_INT(read_sheet(&s, "lines: [{skip: false}]\n", false), 0);
    c.skip = 1;
    clzi_sheet_apply(s, 0, &c, &(struct clzi_hint_layers){ 0 }, &classes);
    REQUIRE_INT(c.skip, 1);
    clzi_sheet_destroy(&s);
}

// ---- a stream ----

enum { W = 72, H = 54, FILM = 30, SIZE = W * H * 3 };

// A frame of a film of three shots of ten frames.
static void draw(int n, uint8_t *bytes)
{
    uint32_t seed = 77u + (uint32_t)(n / 10) * 1000;

    for (int i = 0; i < W * H; i++) {
        const int x = (i % W + n % 10) / 6, y = i / W / 6;
        uint32_t h = seed * 0x9e3779b1u ^ (uint32_t)x * 0x85ebca77u ^ (uint32_t)y * 0xc2b2ae3du;
        h = (h ^ h >> 15) * 0x2c1b3c6du;
        bytes[i] = (uint8_t)(h >> 24);
    }
    memset(bytes + W * H, 90, 2 * W * H);   // chroma that is not neutral: a frame that is skipped keeps it
}

// What colour_film() calls clz_stream_set_sheet() with before a frame, and what that returns. sheet NULL and frame 0: the end.
struct change { int frame; const char *sheet; int ret; };
static const struct change no_change = { 0, NULL, 0 }, *changes = &no_change;

// Colours the film at 10 frames per second, whose frames from `first` on are sent; controls: of each frame, or NULL.
static int colour_film(clz_model *model, const struct clz_stream_params *params, const struct clz_controls *controls, int first,
                       uint8_t *pictures)
{
    struct clz_frame done;
    clz_stream *s = NULL;
    int got = 0, ret = clz_stream_open(&s, model, params);

    for (int n = first; s && n < FILM; n++) {
        uint8_t *bytes = pictures + (size_t)n * SIZE;
        const int h = n < 20 ? H : H / 2;   // the last shot has another size
        struct clz_controls c = CLZ_CONTROLS_DEFAULT;
        struct clz_frame f = { .format = clz_pixfmt_find("yuv444p"), .width = W, .height = h, .range = CLZ_RANGE_FULL,
                               .data = { bytes, bytes + W * H, bytes + 2 * W * H }, .stride = { W, W, W } };
        if (controls) c = controls[n];
        c.time = n / 10.;
        for (const struct change *change = changes; change->frame; change++)
            if (change->frame == n) {
                while (!clz_stream_receive(s, &done, 1)) got++;         // no frame before it waits for the worker
                REQUIRE_INT(clz_stream_set_sheet(s, change->sheet), change->ret);
            }
        draw(n, bytes);
        while ((ret = clz_stream_send(s, &f, &f, &c)) == -EAGAIN && !clz_stream_receive(s, &done, 1)) got++;
        REQUIRE_INT(ret, 0);
    }
    if (s) clz_stream_drain(s);
    while (s && clz_stream_receive(s, &done, 1) == 0) got++;
    if (s) REQUIRE_INT(got, FILM - first);
    clz_stream_close(&s);
    return ret;
}

static double chroma(const uint8_t *picture)        // mean distance from neutral
{
    double sum = 0;

    for (int i = W * H; i < SIZE; i++) sum += abs(picture[i] - 128);
    return sum / (2 * W * H);
}

static void streams(clz_model *model)
{
    const size_t size = (size_t)FILM * SIZE;
    uint8_t *plain = malloc(size), *want = malloc(size), *got = malloc(size);
    struct clz_stream_params p = { .device = "cpu", .threads = 1, .batch = 1, .stabilizer = 1, .window = 2, .log = listener };
    struct clz_controls controls[FILM];

    CASE("stream/a_sheet_is_the_same_as_controls_for_each_frame");
    write_text(list, "0,0,start\n10,1,cut\n20,2,cut\n");
    char text[900], *name = strrchr(list, '/') + 1;
    snprintf(text, sizeof text, "cuts: %s\nrate: 10\nlines:\n- {shot: 2, strength: 0.5}\n- {from: 0:0:0:3, to: 0.5, skip: true}\n"
             "- {shot: 3, saturation: 3}\n- {from: 1.2, to: 1.6, hold: true}\n", name);
    write_text(path, text);
    for (int n = 0; n < FILM; n++) {
        controls[n] = (struct clz_controls)CLZ_CONTROLS_DEFAULT;
        if (n >= 10 && n < 20) controls[n].strength = 0.5f;
        if (n == 3 || n == 4) controls[n].skip = 1;
        if (n >= 20) controls[n].saturation = 3;
        controls[n].hold = n >= 12 && n < 16;
    }
    p.cuts = list;
    REQUIRE_INT(colour_film(model, &p, NULL, 0, plain), 0);
    REQUIRE_INT(colour_film(model, &p, controls, 0, want), 0);
    p.cuts = NULL;                          // the sheet names the list, in its own folder
    p.sheet = path;
    for (p.batch = 1; p.batch < 12; p.batch += 3) {
        said[0] = 0;
        REQUIRE_INT(colour_film(model, &p, NULL, 0, got), 0);
        REQUIRE(!memcmp(want, got, size));
        REQUIRE_STR(said, "");
    }
    REQUIRE(memcmp(plain, got, size));
    REQUIRE(!memcmp(plain, got, SIZE));     // lies in no line, and sees none in its window
    REQUIRE(chroma(got + 3 * SIZE) == 38 && chroma(got + 4 * SIZE) == 38);      // skipped: as they came
    REQUIRE(memcmp(plain + 12 * SIZE, got + 12 * SIZE, SIZE));
    for (int n = 0; n < FILM; n++) {        // luma
        const int h = n < 20 ? H : H / 2;
        draw(n, want);
        REQUIRE(!memcmp(want, got + (size_t)n * SIZE, (size_t)W * h));
    }

    CASE("stream/another_sheet_counts_from_the_next_frame_on");
    char second[600], wrong[600];
    snprintf(second, sizeof second, "%s.second", path);
    snprintf(wrong, sizeof wrong, "%s.wrong", path);
    write_text(second, "lines:\n- {strength: 0}\n- {shot: 2, strength: 0.25}\n");
    write_text(wrong, "lines:\n- {shot: 4, strength: 0}\n");
    for (int n = 6; n < 18; n++) {
        controls[n] = (struct clz_controls)CLZ_CONTROLS_DEFAULT;
        if (n < 15) controls[n].strength = n < 10 ? 0 : 0.25f;
    }
    p.sheet = NULL;
    p.cuts = list;
    p.batch = 1;
    REQUIRE_INT(colour_film(model, &p, controls, 0, want), 0);
    changes = (struct change[]){ { 6, second, 0 }, { 8, wrong, -EINVAL }, { 9, "/nonexistent/sheet", -ENOENT }, { 15, NULL, 0 },
                                 { 18, path, 0 }, { 0, NULL, 0 } };
    p.sheet = path;
    for (p.batch = 1; p.batch < 12; p.batch += 5) {
        REQUIRE_INT(colour_film(model, &p, NULL, 0, got), 0);
        REQUIRE(!memcmp(want, got, size));
    }
    changes = &no_change;
    p.cuts = NULL;
    REQUIRE_INT(colour_film(model, &p, NULL, 0, got), 0);
    unlink(second);
    unlink(wrong);

    CASE("stream/the_first_frame_has_a_number");
    p.first_frame = 10;                     // shots 2 and 3 alone
    REQUIRE_INT(colour_film(model, &p, NULL, 10, want), 0);
    REQUIRE(!memcmp(want + 10 * SIZE, got + 10 * SIZE, 20 * SIZE));
    p.first_frame = -1;
    REQUIRE_INT(colour_film(model, &p, NULL, 0, want), -EINVAL);
    p.first_frame = 0;

    CASE("stream/ranges_that_no_frame_lies_in_are_warned_of");
    said[0] = 0;
    write_text(path, "lines:\n- {from: 2.9, strength: 0}\n- {from: 3, to: 9, strength: 0}\n");
    REQUIRE_INT(colour_film(model, &p, NULL, 0, got), 0);
    REQUIRE(strstr(said, ":3: no frame of the film lies in this line's range; it lasts from 0.000 to 2.900 s"));
    REQUIRE(!strstr(said, ":2: "));
    said[0] = 0;
    write_text(second, "lines:\n- {from: 2.9, strength: 0}\n- {to: 1, strength: 0}\n");
    changes = (struct change[]){ { 11, second, 0 }, { 0, NULL, 0 } };
    REQUIRE_INT(colour_film(model, &p, NULL, 0, got), 0);
    changes = &no_change;
    REQUIRE(strstr(said, ":3: no frame that came after the sheet lies in this line's range; they last from 1.100 to 2.900 s"));
    REQUIRE(!strstr(said, ":2: "));

    CASE("stream/a_sheet_without_a_name_is_none");
    p.sheet = "";
    REQUIRE_INT(colour_film(model, &p, NULL, 0, got), 0);
    p.sheet = NULL;
    REQUIRE_INT(colour_film(model, &p, NULL, 0, want), 0);
    REQUIRE(!memcmp(want, got, size));

    CASE("stream/a_sheet_that_comes_holds_what_went_before_without_stabilising");
    for (int n = 0; n < FILM; n++) controls[n].stabilize = 0, controls[n].strength = 1;
    write_text(second, "lines:\n- {from: 0.6, to: 0.9, hold: true}\n- {from: 1.4, to: 1.7, hold: true, stabilize: 0.5}\n");
    p.sheet = second;
    for (p.window = 0; p.window < 3; p.window += 2) {
        p.batch = 1;
        REQUIRE_INT(colour_film(model, &p, controls, 0, want), 0);
        p.sheet = NULL;
        REQUIRE_INT(colour_film(model, &p, controls, 0, plain), 0);
        for (int n = 0; n < FILM; n++)      // the first of each range too is held
            REQUIRE_INT(!!memcmp(want + (size_t)n * SIZE, plain + (size_t)n * SIZE, SIZE), n / 3 == 2 || (n >= 14 && n < 17));
        changes = (struct change[]){ { 6, second, 0 }, { 9, NULL, 0 }, { 14, second, 0 }, { 0, NULL, 0 } };
        for (; p.batch < 12; p.batch += 5) {
            REQUIRE_INT(colour_film(model, &p, controls, 0, got), 0);
            REQUIRE(!memcmp(want, got, size));
        }
        changes = &no_change;
        p.sheet = second;
    }
    p.window = 2;
    p.batch = 1;
    p.sheet = path;
    unlink(second);

    CASE("stream/hold_needs_the_stabiliser");
    write_text(path, "lines:\n- {hold: true}\n");
    p.stabilizer = 0;
    REQUIRE_INT(colour_film(model, &p, NULL, 0, got), -EINVAL);
    p.sheet = NULL;
    clz_stream *s = NULL;
    struct clz_controls held = CLZ_CONTROLS_DEFAULT;
    struct clz_frame f = { .format = clz_pixfmt_find("yuv444p"), .width = W, .height = H, .data = { got, got, got },
                           .stride = { W, W, W } };
    held.hold = 1;
    REQUIRE_INT(clz_stream_open(&s, model, &p), 0);
    REQUIRE_INT(clz_stream_send(s, &f, &f, &held), -EINVAL);
    clz_stream_close(&s);
    p.stabilizer = 1;
    p.sheet = path;

    CASE("stream/a_film_that_is_held_from_its_first_frame_has_that_frames_colours");
    REQUIRE_INT(colour_film(model, &p, NULL, 0, got), 0);
    p.sheet = NULL;
    REQUIRE_INT(colour_film(model, &p, NULL, 0, plain), 0);
    REQUIRE(chroma(got) > 1 && chroma(got + 9 * SIZE) > 1 && memcmp(got + 9 * SIZE, plain + 9 * SIZE, SIZE));

    CASE("stream/after_a_seek_shots_have_no_numbers_and_times_still_hold");
    write_text(path, text);
    p.sheet = path;
    said[0] = 0;
    REQUIRE_INT(clz_stream_open(&s, model, &p), 0);
    for (int n = 0; n < 6; n++) {
        struct clz_controls c = CLZ_CONTROLS_DEFAULT;
        uint8_t *bytes = got + n * SIZE;
        f.data[0] = bytes, f.data[1] = bytes + W * H, f.data[2] = bytes + 2 * W * H;
        c.time = n < 3 ? n / 10. : (n - 1) / 10.;   // a seek back by a frame
        if (n == 3) clz_stream_flush(s, NULL, NULL);
        draw(n, bytes);
        REQUIRE_INT(clz_stream_send(s, &f, &f, &c), 0);
    }
    clz_stream_drain(s);
    for (int n = 3; n < 6; n++) REQUIRE_INT(clz_stream_receive(s, &f, 1), 0);
    clz_stream_close(&s);
    REQUIRE(strstr(said, "after a seek the lines with `shot` do not apply"));
    REQUIRE(chroma(got + 3 * SIZE) != 38 && chroma(got + 4 * SIZE) == 38 && chroma(got + 5 * SIZE) == 38);

    CASE("stream/after_a_seek_a_sheet_with_shots_can_come");
    p.sheet = NULL;
    said[0] = 0;
    REQUIRE_INT(clz_stream_open(&s, model, &p), 0);
    REQUIRE_INT(clz_stream_set_sheet(s, path), -EINVAL);
    REQUIRE(strstr(said, ": numbers of shots need a list of shots"));
    said[0] = 0;
    for (int n = 0; n < 6; n++) {
        struct clz_controls c = CLZ_CONTROLS_DEFAULT;
        uint8_t *bytes = got + n * SIZE;
        f.data[0] = bytes, f.data[1] = bytes + W * H, f.data[2] = bytes + 2 * W * H;
        c.time = n < 3 ? n / 10. : (n - 1) / 10.;
        if (n == 3) clz_stream_flush(s, NULL, NULL);
        if (n == 3) REQUIRE_INT(clz_stream_set_sheet(s, path), 0);
        draw(n, bytes);
        REQUIRE_INT(clz_stream_send(s, &f, &f, &c), 0);
    }
    clz_stream_drain(s);
    for (int n = 3; n < 6; n++) REQUIRE_INT(clz_stream_receive(s, &f, 1), 0);
    clz_stream_close(&s);
    REQUIRE(strstr(said, "after a seek the lines with `shot` do not apply") && !strstr(said, "need a list"));
    REQUIRE(chroma(got + 3 * SIZE) != 38 && chroma(got + 4 * SIZE) == 38 && chroma(got + 5 * SIZE) == 38);

    CASE("stream/a_bad_sheet_fails_at_the_opening");
    write_text(path, "lines: [{shot: 1, skip: true}]\n");
    p.sheet = path;
    REQUIRE_INT(clz_stream_open(&s, model, &p), -EINVAL);
    p.sheet = "/nonexistent/sheet";
    REQUIRE_INT(clz_stream_open(&s, model, &p), -ENOENT);
    free(plain);
    free(want);
    free(got);
}

int main(void)
{
    clz_model *model = NULL;
    char folder[512], name[600];

    if (!mkdtemp(check_temporary(folder, "sheet"))) return 1;
    snprintf(path, sizeof path, "%s/film.yaml", folder);
    snprintf(list, sizeof list, "%s/film.csv", folder);
    snprintf(name, sizeof name, "%s/model.bin", folder);
    wrong();
    means();
    if (tiny_model_write(name) < 0 || clz_model_open(&model, name, NULL) < 0) return 1;
    streams(model);
    clz_model_close(&model);
    unlink(path);
    unlink(list);
    unlink(name);
    rmdir(folder);
    return check_end();
}
