// answers.c - files of a network's answers: the format, damaged and hostile files, and streams that write them and colour from
// them.
//
//     answers [DEVICE]        streams on another device than ref and cpu; tests/cuda_device.c calls it with the emulated one
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "echo_model.h"
#include "engine/answers.h"
#include "engine/bytes.h"
#include "engine/colorize.h"
#include "engine/graph.h"
#include "engine/model.h"
#include "kernels/ab_bins.h"
#include "test_folder.h"
#include "tiny_model.h"

static char infos[4000];                    // messages of streams, one a line

static void keep_all(void *priv, enum clz_log_level level, const char *text)
{
    keep(priv, level, text);
    if (level <= CLZ_LOG_INFO) snprintf(infos + strlen(infos), sizeof infos - strlen(infos), "%s\n", text);
}

static const struct clz_log all_ = { .cb = keep_all, .level = CLZ_LOG_INFO };

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(1 << 22);

    *size = 0;
    REQUIRE(f != NULL);
    if (!f) return data;
    *size = fread(data, 1, 1 << 22, f);
    fclose(f);
    return data;
}

static void write_file(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");

    REQUIRE(f && fwrite(data, 1, size, f) == size);
    if (f) fclose(f);
}

// ---- the format ----

static const struct clzk_murmur network = { { 0x1234, 0x5678 } };

static struct clzk_murmur key_of(int number)
{
    struct clzk_murmur key = { { 0, 0 } };
    clzk_murmur(&key, &number, sizeof number);
    return key;
}

static void hashes(void)
{
    struct clzk_murmur h = { { 0, 0 } };

    // of smhasher's MurmurHash3_x64_128, as Guava's and mmh3's tests have it
    CASE("answers/hash_is_that_of_the_reference");
    clzk_murmur(&h, "", 0);
    REQUIRE(h.h[0] == 0 && h.h[1] == 0);
    clzk_murmur(&h, "The quick brown fox jumps over the lazy dog", 43);
    REQUIRE(h.h[0] == UINT64_C(0xe34bbc7bbc071b6c) && h.h[1] == UINT64_C(0x7a433ca9c49a9347));
}

static uint32_t seed = 3;
static uint32_t random_bits(void)
{
    seed = seed * 1664525u + 1013904223u;
    return seed >> 8 ^ seed << 13;
}

// Answers of all kinds: smooth, noise, all bit patterns of usable numbers, constants.
static void fill(float *ab, int count, int kind)
{
    static const float special[] = { 0, -0.f, 1e6f, -1e6f, 1e-45f, -1e-45f, 1.17549435e-38f, 0.1f, -110, 1 };

    for (int i = 0; i < count; i++) {
        const uint32_t bits = random_bits();
        if (kind == 0) ab[i] = 0.3f * sinf((float)i / 9) + (float)(bits % 1000) * 1e-7f;
        if (kind == 1) ab[i] = (float)(int32_t)bits / 1e6f;
        if (kind == 2) memcpy(&ab[i], &bits, sizeof bits);
        if (kind == 3) ab[i] = special[bits % 10];
        if (kind == 4) ab[i] = 0.25f;
        if (!(fabsf(ab[i]) <= 1e6f)) ab[i] = -0.5f;
    }
}

// A file of `count` answers of h x w.
static void write_answers(const char *path, int count, int h, int w, float **ab)
{
    struct clzi_answers_writer *a = NULL;

    REQUIRE_INT(clzi_answers_create(&a, path, &network, "test", &log_), 0);
    for (int i = 0; i < count && a; i++) {
        const struct clzk_murmur key = key_of(i);
        ab[i] = malloc(2 * (size_t)h * w * sizeof **ab);
        fill(ab[i], 2 * h * w, i % 5);
        REQUIRE_INT(clzi_answers_add(a, &key, &(struct clzi_answer){ h, w, ab[i], CLZ_PRECISION_F32, { 0.5f, 1, 2 }, 100 + i,
                                                                     i / 25. }), 0);
    }
    REQUIRE_INT(clzi_answers_finish(&a), 0);
}

// Returns what find() returns; what is found must be right.
static int find(struct clzi_answers_reader *r, int number, int h, int w, const float *want)
{
    const struct clzk_murmur key = key_of(number);
    float *got = malloc(2 * (size_t)h * w * sizeof *got);
    struct clzi_answer a = { .h = h, .w = w, .ab = got };
    const int ret = clzi_answers_find(r, &key, &a);

    if (ret == 1) REQUIRE(!memcmp(got, want, 2 * (size_t)h * w * sizeof *got));
    if (ret == 1) REQUIRE(a.precision == CLZ_PRECISION_F32);
    free(got);
    return ret;
}

static void round_trip(void)
{
    static const int sizes[][2] = { { 1, 1 }, { 1, 7 }, { 9, 1 }, { 16, 28 }, { 37, 3 } };
    struct clzi_answers_reader *r = NULL;
    struct clzi_answer a;
    float *ab[12], got[2];

    CASE("answers/every_number_comes_back_with_its_bits");
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int h = sizes[s][0], w = sizes[s][1];
        write_answers(in_folder("a.answers"), 12, h, w, ab);
        REQUIRE_INT(clzi_answers_read(&r, in_folder("a.answers"), &network, &log_), 0);
        REQUIRE_INT(clzi_answers_count(r), 12);
        for (int i = 11; i >= 0; i--) REQUIRE_INT(find(r, i, h, w, ab[i]), 1);
        REQUIRE_INT(find(r, 12, h, w, NULL), 0);            // another key
        REQUIRE_INT(find(r, 3, h + 1, w, NULL), 0);         // another size
        clzi_answers_reader_destroy(&r);
        for (int i = 0; i < 12; i++) free(ab[i]);
    }
    CASE("answers/facts_of_a_frame_come_back");
    write_answers(in_folder("a.answers"), 2, 1, 1, ab);
    REQUIRE_INT(clzi_answers_read(&r, in_folder("a.answers"), &network, &log_), 0);
    a = (struct clzi_answer){ .h = 1, .w = 1, .ab = got };
    REQUIRE_INT(clzi_answers_find(r, &(struct clzk_murmur){ { key_of(1).h[0], key_of(1).h[1] } }, &a), 1);
    REQUIRE(a.frame == 101 && a.time == 0.04 && a.ambiguity.mean == 0.5f && a.ambiguity.x == 1 && a.ambiguity.y == 2);
    a = (struct clzi_answer){ .h = 1, .w = 1, .ab = got, .precision = CLZ_PRECISION_BF16 };
    REQUIRE_INT(clzi_answers_find(r, &(struct clzk_murmur){ { key_of(1).h[0], key_of(1).h[1] } }, &a), 0);
    clzi_answers_reader_destroy(&r);
    free(ab[0]);
    free(ab[1]);
}

// ---- bad files ----

static void refused(const char *path, int code, const char *want)
{
    struct clzi_answers_reader *r = NULL;

    message[0] = 0;
    REQUIRE_INT(clzi_answers_read(&r, path, &network, &log_), code);
    REQUIRE(r == NULL);
    if (!strstr(message, want)) printf("  \"%s\" does not contain \"%s\"\n", message, want);
    REQUIRE(strstr(message, want) != NULL && strstr(message, path) != NULL);
}

static void bad_files(void)
{
    const char *path = in_folder("bad.answers");
    struct clzi_answers_writer *w = NULL, *other = NULL;
    uint8_t *data;
    size_t size;
    float *ab[1];

    CASE("answers/bad_files_are_named");
    write_answers(path, 1, 4, 4, ab);
    free(ab[0]);
    data = read_file(path, &size);
    refused(in_folder("none"), -ENOENT, "No such file");
    refused(folder, -EINVAL, "no regular file");
    mkfifo(in_folder("fifo"), 0600);
    refused(in_folder("fifo"), -EINVAL, "no regular file");
    refused(write_text("empty", ""), -EBADMSG, "has 0 bytes");
    refused(write_text("text", "a long text that is no file of answers, but has more than the 128 bytes which the header of such "
                               "a file has, so that it is read at all."), -EBADMSG, "is no file of answers");
    data[8] = 9;
    write_file(path, data, size);
    refused(path, -EBADMSG, "of version 9");
    data[8] = 1;
    data[40] ^= 1;                          // the device
    write_file(path, data, size);
    refused(path, -EBADMSG, "checksum");
    free(data);
    write_answers(path, 1, 4, 4, ab);
    free(ab[0]);
    {
        struct clzi_answers_reader *r = NULL;
        const struct clzk_murmur another = { { 0x1234, 0x5679 } };
        REQUIRE_INT(clzi_answers_read(&r, path, &another, &log_), -EINVAL);
        REQUIRE(!r && strstr(message, "of another model: its network is 00000000000012340000000000005678"));
    }

    CASE("answers/other_files_are_not_replaced");
    REQUIRE_INT(clzi_answers_create(&w, write_text("diary", "dear diary"), &network, "", &log_), -EEXIST);
    REQUIRE(!w && strstr(message, "diary: is no file of answers, and is not replaced"));
    REQUIRE_INT(clzi_answers_create(&w, in_folder("fifo"), &network, "", &log_), -EINVAL);
    REQUIRE(!w && strstr(message, "fifo: is no regular file"));
    REQUIRE_INT(clzi_answers_create(&w, folder, &network, "", &log_), -EINVAL);
    REQUIRE_INT(clzi_answers_create(&w, in_folder("none/such"), &network, "", &log_), -ENOENT);
    REQUIRE(!w && strstr(message, "none/such: the file of answers cannot be written"));
    REQUIRE_INT(clzi_answers_create(&w, path, &network, "", &log_), 0);
    REQUIRE_INT(clzi_answers_create(&other, path, &network, "", &log_), -EBUSY);
    REQUIRE(!other);

    CASE("answers/without_an_answer_the_old_file_stays");
    data = read_file(path, &size);
    REQUIRE_INT(clzi_answers_finish(&w), 0);
    {
        size_t now;
        uint8_t *after = read_file(path, &now);
        REQUIRE(now == size && !memcmp(data, after, size) && size > 128);
        free(after);
    }
    free(data);
}

// How many of the answers of a file in memory are found; -1: it is refused. None is wrong.
static int found(const void *data, size_t size, int count, int h, int w, float **ab)
{
    struct clzi_answers_reader *r = NULL;
    int n = 0, ret;

    message[0] = 0;
    ret = clzi_answers_parse(&r, data, size, "damaged", &network, &log_);
    REQUIRE(ret ? (ret == -EBADMSG || ret == -EINVAL) && !r && message[0] : r != NULL);
    if (ret) return -1;
    for (int i = 0; i < count; i++) {
        ret = find(r, i, h, w, ab[i]);
        REQUIRE(ret == 0 || ret == 1);
        n += ret;
    }
    clzi_answers_reader_destroy(&r);
    return n;
}

static void damaged(void)
{
    enum { COUNT = 5, H = 6, W = 5 };
    float *ab[COUNT];
    uint8_t *whole, *data, *joined;
    size_t size, ends[COUNT + 1] = { 128 };

    write_answers(in_folder("d.answers"), COUNT, H, W, ab);
    whole = read_file(in_folder("d.answers"), &size);
    for (int i = 0; i < COUNT; i++) ends[i + 1] = ends[i] + 88 + clzi_u32le(whole + ends[i] + 4);
    CASE("answers/records_follow_each_other");
    REQUIRE(ends[COUNT] == size);

    CASE("answers/cut_anywhere_the_frames_before_are_used");
    for (size_t cut = 0; cut <= size; cut++) {
        int complete = -1;
        for (int i = 0; i <= COUNT && ends[i] <= cut; i++) complete = i;
        data = malloc(cut ? cut : 1);       // of this size, so that a sanitizer sees reads beyond it
        memcpy(data, whole, cut);
        REQUIRE_INT(found(data, cut, COUNT, H, W, ab), complete);
        REQUIRE(complete < 0 || cut == ends[complete] ? true : strstr(message, "damaged or incomplete from byte") != NULL);
        free(data);
    }

    CASE("answers/a_changed_byte_loses_frames_and_changes_none");
    data = malloc(size);
    for (size_t at = 0; at < size; at++)
        for (int bit = 0; bit < 8; bit += 3) {
            memcpy(data, whole, size);
            data[at] ^= (uint8_t)(1 << bit);
            int want = -1, n = found(data, size, COUNT, H, W, ab);
            for (int i = 0; i < COUNT && at >= 128; i++)
                if (at >= ends[i] && at < ends[i + 1]) want = at < ends[i] + 88 ? i : COUNT - 1;
            REQUIRE_INT(n, want);
        }

    CASE("answers/hostile_records_are_refused");
    {
        // With right checksums: lengths, sizes and parts that do not fit together.
        static const struct { int at; uint32_t value; } cases[] = {
            { 4, 0xffffffff }, { 4, 0 }, { 24, 0 }, { 28, 0 }, { 24, 0xffffffff }, { 28, 1 << 20 }, { 60, 0 }, { 60, 4 },
            { 64, 0xffffffff }, { 68, 0x7fffffff }, { 72, 61 }, { 76, 0 },
        };
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            uint8_t *p = data + ends[2];
            uint32_t crc = 0xffffffff;
            memcpy(data, whole, size);
            for (int k = 0; k < 4; k++) p[cases[i].at + k] = (uint8_t)(cases[i].value >> 8 * k);
            for (int k = 0; k < 84; k++) {
                crc ^= p[k];
                for (int b = 0; b < 8; b++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
            }
            for (int k = 0; k < 4; k++) p[84 + k] = (uint8_t)(~crc >> 8 * k);
            REQUIRE_INT(found(data, size, COUNT, H, W, ab), 2);
        }
    }
    free(data);

    CASE("answers/files_can_be_joined_end_to_end");
    joined = malloc(2 * size);
    memcpy(joined, whole, ends[3]);
    memcpy(joined + ends[3], whole, 128);
    memcpy(joined + ends[3] + 128, whole + ends[3], size - ends[3]);
    REQUIRE_INT(found(joined, size + 128, COUNT, H, W, ab), COUNT);
    REQUIRE(!message[0]);
    joined[ends[3] + 16] ^= 1;              // the second one is of another network
    REQUIRE_INT(found(joined, size + 128, COUNT, H, W, ab), -1);
    free(joined);
    free(whole);
    for (int i = 0; i < COUNT; i++) free(ab[i]);
}

// ---- streams ----

enum { WIDTH = 96, HEIGHT = 64, FRAMES = 14, PLANE = WIDTH * HEIGHT };
struct film { uint8_t out[FRAMES][3][PLANE]; };

// A network as most are: classes of colour at half size, enlarged; with hints. seed: other weights.
static const char *classes_model(const char *name, uint32_t number)
{
    const char *path = in_folder(name);
    struct clzi_model_facts facts = { .arch = "test", .size = 64, .stride = 4, .input = "luma", .l_scale = 50, .l_offset = 1,
                                      .ab_scale = 110, .train = "made by a test", .license = "CC0" };
    struct clzi_graph *g = NULL;
    float *values[4];
    int x;

    REQUIRE_INT(clzi_graph_create(&g), 0);
    x = clzi_graph_input(g, "L", .channels = 1);
    x = clzi_graph_concat(g, "both", x, clzi_graph_input(g, "hints", .channels = 3));
    x = clzi_graph_conv(g, "conv", x, .channels = CLZK_AB_BINS, .k = 4, .stride = 2, .pad = 1, .bias = 1);
    x = clzi_graph_annealed_mean(g, "mean", x, .scale = 2);
    REQUIRE(clzi_graph_resize(g, "ab", x, .factor = 2) > 0);
    for (int i = 0; i < g->param_count; i++) {
        values[i] = malloc(clzi_param_count(&g->params[i]) * sizeof(float));
        for (int64_t k = 0; k < clzi_param_count(&g->params[i]); k++) {
            number = number * 1664525u + 1013904223u;
            values[i][k] = ((float)(number >> 8) / 16777216.f - 0.5f) * 4;
        }
    }
    REQUIRE_INT(clzi_model_write(path, g, values, &facts, CLZI_F32, &log_), 0);
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    clzi_graph_destroy(&g);
    return path;
}

struct run {
    struct clz_stream_params params;
    struct clz_controls controls;
    const char *format;                     // of the frames; NULL: yuv444p
    int darker;                             // another film
    int bar;                                // rows of black above and below
    bool spot;                              // the last pixel of frame 3 is another one
    int answers;                            // 1: the next two are compared with the message
    int from_file, from_network;
};

// Frame 9 is frame 8 again; a shot begins with frame 6; frame 12 is passed on.
static void paint(uint8_t *luma, int i, const struct run *run)
{
    const int n = i == 9 ? 8 : i;

    for (int k = 0; k < PLANE; k++) {
        const int y = k / WIDTH;
        luma[k] = y < run->bar || y >= HEIGHT - run->bar ? 16 :
                  (uint8_t)(100 - run->darker + (n < 6 ? 60 : -50) * sin((k % WIDTH + n) / (n < 6 ? 7. : 4.)) + y / 2);
    }
    luma[PLANE - 1] ^= run->spot && i == 3;
}

static char model_path[400];                // in_folder() keeps a path for some calls only
static const char *device;

static void use_model(const char *path) { snprintf(model_path, sizeof model_path, "%s", path); }

// Colours the film and compares the figures of the last message. Returns the stream's error.
static int colour(const struct run *run, struct film *film)
{
    struct clz_stream_params params = run->params;
    struct clz_controls controls = run->controls;
    static uint8_t in_planes[FRAMES][3 * PLANE], packed[FRAMES][3 * PLANE];
    const struct clz_pixfmt *format = clz_pixfmt_find(run->format ? run->format : "yuv444p");
    const bool semi = run->format != NULL;  // nv12
    clz_model *m = NULL;
    clz_stream *s = NULL;
    struct clz_frame got;
    char want[80];
    int ret, n = 0;

    params.device = device;
    params.log = all_;
    params.repeats = -1;                    // each frame counts; tests/fields has repetitions
    if (!params.threads) params.threads = 1;
    infos[0] = message[0] = 0;
    if (!controls.strength) controls.strength = 1;
    if (!controls.saturation) controls.saturation = 1;
    REQUIRE_INT(clz_model_open(&m, model_path, &log_), 0);
    if ((ret = clz_stream_open(&s, m, &params)) < 0) {
        clz_model_close(&m);
        return ret;
    }
    memset(in_planes, 128, sizeof in_planes);
    for (int i = 0; i < FRAMES; i++) {
        struct clz_frame in = { .format = format, .width = WIDTH, .height = HEIGHT, .stride = { WIDTH, WIDTH, WIDTH } }, out = in;
        paint(in_planes[i], i, run);
        for (int p = 0; p < format->planes; p++) {
            in.data[p] = in_planes[i] + p * PLANE;
            out.data[p] = semi ? packed[i] + p * PLANE : film->out[i][p];
        }
        controls.time = i / 25.;
        controls.skip = i == 12;
        controls.cut = i == 6 && !params.cuts;
        REQUIRE_INT(clz_stream_send(s, &in, &out, &controls), 0);
        while (clz_stream_receive(s, &got, 1) == 0) n++;
    }
    clz_stream_drain(s);
    while ((ret = clz_stream_receive(s, &got, 1)) == 0) n++;
    REQUIRE_INT(ret, -ENODATA);
    REQUIRE_INT(n, FRAMES);
    clz_stream_close(&s);
    clz_model_close(&m);
    if (run->answers) {
        snprintf(want, sizeof want, "answers: %d frames from the file, %d from the network", run->from_file, run->from_network);
        if (!params.answers_in) snprintf(want, sizeof want, "answers: %d frames from the network", run->from_network);
        if (!strstr(infos, want)) printf("  expected \"%s\", got \"%s\"\n", want, infos);
        REQUIRE(strstr(infos, want) != NULL);
    }
    return 0;
}

static bool same(const struct film *a, const struct film *b) { return !memcmp(a, b, sizeof *a); }

static struct film want, got;

static char *case_name(const char *name)
{
    static char text[100];
    snprintf(text, sizeof text, "answers/%s/%s", device, name);
    return text;
}

// Whatever happens behind the network can be changed. few: on a device that is emulated.
static void settings(bool few)
{
    const char *file = in_folder("film.answers"), *cuts = write_text("cuts.csv", "0,0,start\n3,0.12,cut\n6,0.24,cut\n");
    const char *sheet = write_text("strength.yaml", "lines:\n- {from: 0.1, to: 0.2, strength: 0.2}\n"
                                                    "- {from: 0.3, saturation: 3}\n- {from: 0.28, to: 0.4, hold: true}\n");
    struct run runs[] = {
        { .params = { .batch = 1 } },
        { .params = { .batch = 3, .threads = 3 } },
        { .params = { .batch = 5 }, .controls = { .strength = 0.3f, .saturation = 2.5f } },
        { .params = { .stabilizer = 1 }, .controls = { .stabilize = 1 } },
        { .params = { .stabilizer = 1, .window = 5, .batch = 4, .threads = 2 }, .controls = { .stabilize = 0.6f } },
        { .params = { .stabilizer = 1, .window = 1, .cuts = cuts, .batch = 2 }, .controls = { .stabilize = 1 } },
        { .params = { .stabilizer = 1, .window = 2, .sheet = sheet }, .controls = { .stabilize = 1 } },
        { .params = { .luma = CLZ_LUMA_LSTAR, .batch = 7 } },
    };
    const struct run write = { .params = { .batch = 2, .answers_out = file }, .answers = 1, .from_network = 13 };

    CASE(case_name("a_film_is_written_without_a_change_of_the_picture"));
    REQUIRE_INT(colour(&(struct run){ .params = { .batch = 2 } }, &want), 0);
    REQUIRE_INT(colour(&write, &got), 0);
    REQUIRE(same(&want, &got));
    REQUIRE(strstr(infos, "from the network; written") != NULL);

    CASE(case_name("the_same_bits_for_all_settings_behind_the_network"));
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        struct run run = runs[i];
        if (few && i != 2) continue;
        REQUIRE_INT(colour(&run, &want), 0);
        run.params.answers_in = file;
        run.answers = 1;
        run.from_file = 13;
        REQUIRE_INT(colour(&run, &got), 0);
        REQUIRE(same(&want, &got));
        REQUIRE(!message[0]);
    }
}

// The picture comes from the file: other answers under the same keys give another one.
static void tampered(void)
{
    const char *file = in_folder("film.answers"), *other = in_folder("other.answers");
    const struct clzk_murmur *written;
    struct clzi_answers_writer *w = NULL;
    struct clzi_answers_reader *r = NULL;
    struct clzk_murmur own;
    clz_model *m = NULL;
    uint8_t *data;
    size_t size, at = 128;
    int records = 0;

    CASE(case_name("a_frame_that_is_like_the_one_before_is_kept_once"));
    data = read_file(file, &size);
    for (; at < size; at += 88 + clzi_u32le(data + at + 4)) records++;
    REQUIRE_INT(records, 12);               // of 13 frames

    CASE(case_name("the_colours_are_those_of_the_file"));
    REQUIRE_INT(clz_model_open(&m, model_path, &log_), 0);
    REQUIRE_INT(clzi_answers_network(&own, m), 0);
    REQUIRE_INT(clzi_answers_read(&r, file, &own, &log_), 0);
    REQUIRE_INT(clzi_answers_create(&w, other, &own, "test", &log_), 0);
    for (at = 128; at < size; at += 88 + clzi_u32le(data + at + 4)) {
        const int h = (int)clzi_u32le(data + at + 24), width = (int)clzi_u32le(data + at + 28);
        struct clzi_answer a = { .h = h, .w = width, .ab = malloc(2 * (size_t)h * width * sizeof(float)) };
        written = &(struct clzk_murmur){ { clzi_u64le(data + at + 8), clzi_u64le(data + at + 16) } };
        REQUIRE_INT(clzi_answers_find(r, written, &a), 1);
        for (int i = 0; i < 2 * h * width; i++) a.ab[i] = i < h * width ? 0.5f : 0;
        REQUIRE_INT(clzi_answers_add(w, written, &a), 0);
        free(a.ab);
    }
    REQUIRE_INT(clzi_answers_finish(&w), 0);
    clzi_answers_reader_destroy(&r);
    clz_model_close(&m);
    free(data);
    REQUIRE_INT(colour(&(struct run){ .params = { .answers_in = other }, .answers = 1, .from_file = 13 }, &got), 0);
    for (int i = 0; i < FRAMES; i++)
        for (int k = 0; k < PLANE && i != 12; k += 37) REQUIRE(got.out[i][2][k] > 150);         // red
}

static void damaged_frame(void)
{
    const char *file = in_folder("film.answers"), *next = in_folder("next.answers");
    struct run run = { .params = { .answers_in = next, .batch = 3 }, .answers = 1, .from_file = 12, .from_network = 1 };
    uint8_t *data;
    size_t size;

    CASE(case_name("a_damaged_frame_is_run"));
    data = read_file(file, &size);
    for (size_t at = 128, i = 0; at < size; at += 88 + clzi_u32le(data + at + 4), i++)
        if (i == 4) data[at + 88 + 3] ^= 1;
    write_file(next, data, size);
    REQUIRE_INT(colour(&(struct run){ .params = { .batch = 3 } }, &want), 0);
    REQUIRE_INT(colour(&run, &got), 0);
    REQUIRE(same(&want, &got));
    REQUIRE(strstr(infos, "next.answers: the frame at byte") != NULL);
    write_file(next, data, size - 5);       // as after a kill
    run.from_file = 11, run.from_network = 2;
    REQUIRE_INT(colour(&run, &got), 0);
    REQUIRE(same(&want, &got));
    free(data);
}

static void not_in_the_file(void)
{
    const char *file = in_folder("film.answers"), *next = in_folder("next.answers");
    const char *points = write_text("points.yaml", "lines:\n- {from: 0.12, to: 0.2, follow: false, "
                                                   "points: ['20 20 6 #ff0000']}\n");
    struct run run = { .params = { .sheet = points, .batch = 3 } };

    CASE(case_name("frames_with_other_hints_are_run"));
    REQUIRE_INT(colour(&run, &want), 0);
    run.params.answers_in = file;
    run.params.answers_out = next;
    run.answers = 1, run.from_file = 11, run.from_network = 2;
    REQUIRE_INT(colour(&run, &got), 0);
    REQUIRE(same(&want, &got));
    run.params.answers_in = next;           // it has the frames of both
    run.params.answers_out = NULL;
    run.params.batch = 2;
    run.from_file = 13, run.from_network = 0;
    REQUIRE_INT(colour(&run, &got), 0);
    REQUIRE(same(&want, &got));
    run.params.sheet = NULL;
    run.from_file = 11, run.from_network = 2;
    REQUIRE_INT(colour(&run, &got), 0);

    CASE(case_name("another_film_size_or_bars_are_run_and_said"));
    for (int i = 0; i < 3; i++) {
        run = (struct run){ .params = { .batch = 4, .size = i == 0 ? 32 : 0, .bars = i == 1 ? "4/4/0/0" : NULL },
                            .darker = i == 2 };
        REQUIRE_INT(colour(&run, &want), 0);
        run.params.answers_in = file;
        run.answers = 1, run.from_network = 13;
        REQUIRE_INT(colour(&run, &got), 0);
        REQUIRE(same(&want, &got));
        REQUIRE(strstr(message, "answers_in has none of the frames") != NULL);
    }

    CASE(case_name("a_frame_with_one_other_pixel_is_run"));
    run = (struct run){ .params = { .answers_in = file }, .spot = true, .answers = 1, .from_file = 12, .from_network = 1 };
    REQUIRE_INT(colour(&run, &got), 0);

    CASE(case_name("bars_that_are_found_and_given_see_the_same"));
    run = (struct run){ .params = { .answers_out = next }, .bar = 6 };
    REQUIRE_INT(colour(&run, &want), 0);
    run = (struct run){ .params = { .answers_in = next, .bars = "6/6/0/0" }, .bar = 6, .answers = 1, .from_file = 13 };
    REQUIRE_INT(colour(&run, &got), 0);
    REQUIRE(same(&want, &got));

    CASE(case_name("a_film_in_another_format_has_the_same_answers"));
    run = (struct run){ .params = { .answers_in = file }, .format = "nv12", .answers = 1, .from_file = 13 };
    REQUIRE_INT(colour(&run, &got), 0);

    CASE(case_name("a_precision_that_is_asked_for_is_looked_for"));
    run = (struct run){ .params = { .answers_out = next, .precision = CLZ_PRECISION_F32 }, .answers = 1, .from_network = 13 };
    REQUIRE_INT(colour(&run, &want), 0);
    run = (struct run){ .params = { .answers_in = next, .precision = CLZ_PRECISION_F32 }, .answers = 1, .from_file = 13 };
    REQUIRE_INT(colour(&run, &got), 0);
    REQUIRE(same(&want, &got));
}

static void wrong_options(void)
{
    const char *file = in_folder("film.answers");
    char link[400];

    CASE(case_name("wrong_options_are_named"));
    REQUIRE_INT(colour(&(struct run){ .params = { .answers_in = file, .answers_out = file } }, &got), -EINVAL);
    REQUIRE(strstr(message, "answers_in and answers_out are the same file") != NULL);
    snprintf(link, sizeof link, "%s", in_folder("link.answers"));
    remove(link);
    REQUIRE_INT(symlink(file, link), 0);
    REQUIRE_INT(colour(&(struct run){ .params = { .answers_in = file, .answers_out = link } }, &got), -EINVAL);
    REQUIRE_INT(colour(&(struct run){ .params = { .answers_in = in_folder("none") } }, &got), -ENOENT);
    REQUIRE_INT(colour(&(struct run){ .params = { .answers_out = in_folder("x.csv"), .shots = in_folder("x.csv"),
                                                  .stabilizer = 1 } }, &got), -EINVAL);
    REQUIRE(strstr(message, "answers_out and shots are the same file") != NULL);
    REQUIRE_INT(colour(&(struct run){ .params = { .answers_out = in_folder("y"), .shots = in_folder("x.csv"), .stabilizer = 1,
                                                  .shots_only = 1 } }, &got), -EINVAL);
    use_model(classes_model("model2.bin", 99));
    REQUIRE_INT(colour(&(struct run){ .params = { .answers_in = file } }, &got), -EINVAL);
    REQUIRE(strstr(message, "film.answers: has the answers of another model") != NULL);
    use_model(in_folder("model.bin"));
}

// A write that fails is one warning: the film is coloured, and the old file stays.
static void failed_write(void)
{
    const char *file = in_folder("film.answers");
    const struct run run = { .params = { .batch = 2, .answers_out = file }, .answers = 1, .from_network = 13 };
    struct rlimit limit, small;
    size_t size, after;
    uint8_t *before = read_file(file, &size), *now;

    CASE(case_name("a_failed_write_is_a_warning"));
    REQUIRE_INT(colour(&(struct run){ .params = { .batch = 2 } }, &want), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &limit);
    small = limit;
    small.rlim_cur = 5000;
    setrlimit(RLIMIT_FSIZE, &small);
    REQUIRE_INT(colour(&run, &got), 0);
    setrlimit(RLIMIT_FSIZE, &limit);
    REQUIRE(same(&want, &got));
    REQUIRE(strstr(message, "film.answers: was not written: File too large") != NULL);
    REQUIRE(strstr(infos, "not written") != NULL);
    now = read_file(file, &after);
    REQUIRE(after == size && !memcmp(before, now, size));
    free(before);
    free(now);
}

static void with_qc(void)
{
    const char *file = in_folder("qc.answers"), *one = in_folder("one.csv"), *two = in_folder("two.csv");
    struct run run = { .params = { .stabilizer = 1, .qc = one, .answers_out = file }, .controls = { .stabilize = 1 } };
    size_t size, again;
    uint8_t *a, *b;

    CASE(case_name("figures_of_a_film_that_was_written_with_figures_are_the_same"));
    REQUIRE_INT(colour(&run, &want), 0);
    run.params.qc = two;
    run.params.answers_out = NULL;
    run.params.answers_in = file;
    run.answers = 1, run.from_file = 13;
    run.params.batch = 3;
    REQUIRE_INT(colour(&run, &got), 0);
    REQUIRE(same(&want, &got));
    a = read_file(one, &size);
    b = read_file(two, &again);
    REQUIRE(size == again && !memcmp(a, b, size) && size > 500);
    free(b);

    CASE(case_name("without_them_ambiguity_is_not_known"));
    run.params.answers_in = in_folder("film.answers");
    REQUIRE_INT(colour(&run, &got), 0);
    REQUIRE(same(&want, &got));
    b = read_file(two, &again);
    REQUIRE(again < size && strstr((char *)memchr(b, '\n', again), ",,,,") != NULL);
    free(a);
    free(b);
}

int main(int argc, char **argv)
{
    static const char *const devices[] = { "ref", "cpu" };

    if (!folder_make("answers")) return 1;
    if (argc < 2) {
        hashes();
        round_trip();
        bad_files();
        damaged();
    }
    for (int i = 0; i < 2 && argc < 2; i++) {
        device = devices[i];
        use_model(classes_model("model.bin", 5));
        settings(false);
        tampered();
        not_in_the_file();
        damaged_frame();
        wrong_options();
        failed_write();
        with_qc();
    }
    if (argc < 2) {                         // a network that does not end with an enlargement
        use_model(echo_model(true));
        settings(false);
    } else {
        device = argv[1];
        use_model(in_folder("tiny.bin"));
        REQUIRE_INT(tiny_model_write(model_path), 0);
        settings(true);
        damaged_frame();
    }
    return check_end() | folder_remove();
}
