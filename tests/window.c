// window.c - streams with a stage that sees neighbouring frames (engine/window.h): which frames it sees, that frames come back in
// order and one for one, at the end of the film too, and that the pictures do not depend on the batch size.
//
//     window [DEVICE]         a few cases on another device than ref and cpu; tests/cuda_device.c calls it with the emulated one
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "engine/colorize.h"
#include "tiny_model.h"
#include "window_stage.h"

enum { WIDTH = 48, HEIGHT = 32, FRAMES = 23 };
struct picture { struct clz_frame f; uint8_t bytes[WIDTH * HEIGHT * 3]; };

static clz_model *model;

// The first pixel tells the number: the stage reads it in the network's input.
static void paint(struct picture *p, int number, int height)
{
    p->f = (struct clz_frame){ .format = clz_pixfmt_find("yuv444p"), .width = WIDTH, .height = height, .opaque = p };
    for (int i = 0; i < 3; i++) {
        p->f.data[i] = p->bytes + i * WIDTH * HEIGHT;
        p->f.stride[i] = WIDTH;
    }
    for (int i = 0; i < WIDTH * HEIGHT * 3; i++)
        p->bytes[i] = (uint8_t)(i < WIDTH * 4 ? 40 + number * 5 : 30 + i * (number + 3) % 180);
}

// What happens to a film: controls of a frame, or something before it is sent.
enum event { NOTHING, CUT, SKIP, SMALLER, SUBMIT, DRAIN };
struct script { int at; enum event event; };

static enum event event_at(const struct script *script, int frame)
{
    for (; script->event; script++)
        if (script->at == frame) return script->event;
    return NOTHING;
}

static void expect(clz_stream *s, struct picture *films, int *received, int want, int wait)
{
    struct clz_frame done;
    int ret;

    while ((ret = clz_stream_receive(s, &done, wait)) == 0) {
        REQUIRE(done.opaque == &films[*received]);
        REQUIRE_INT(done.height, films[*received].f.height);
        ++*received;
    }
    REQUIRE_INT(ret, want);
}

// Colours the film; every wait is for all that can come. Each frame's strength is its number / 100.
static void colour(const char *device, int batch, const struct script *script, struct picture film[FRAMES])
{
    const struct clz_stream_params params = { .device = device, .batch = batch, .threads = 1, .bars = "off" };
    clz_stream *s = NULL;
    int received = 0;

    window_stage.count = 0;
    REQUIRE_INT(clz_stream_open(&s, model, &params), 0);
    REQUIRE_INT(clz_stream_batch(s), batch);
    REQUIRE_INT(clz_stream_lookahead(s), batch + window_stage.stage.after);
    REQUIRE_INT(clz_stream_max_in_flight(s), 3 * batch + window_stage.stage.after);
    for (int i = 0; i < FRAMES; i++) {
        const enum event event = event_at(script, i);
        const struct clz_controls controls = { .strength = 0.5f + (float)i / 100, .saturation = 1, .skip = event == SKIP,
                                               .cut = event == CUT };
        paint(&film[i], i, event == SMALLER ? HEIGHT / 2 : HEIGHT);
        if (event == SUBMIT) {
            REQUIRE_INT(clz_stream_submit(s), 0);
            expect(s, film, &received, -EAGAIN, 1);
            REQUIRE_INT(received, i);
        } else if (event == DRAIN) {
            REQUIRE_INT(clz_stream_drain(s), 0);
            expect(s, film, &received, -ENODATA, 1);
            REQUIRE_INT(received, i);
        }
        REQUIRE_INT(clz_stream_send(s, &film[i].f, &film[i].f, &controls), 0);
        expect(s, film, &received, -EAGAIN, 1);
        REQUIRE(i - received < clz_stream_lookahead(s));
    }
    REQUIRE_INT(clz_stream_drain(s), 0);
    expect(s, film, &received, -ENODATA, 1);
    REQUIRE_INT(received, FRAMES);
    clz_stream_close(&s);
}

// What the stage must have seen, told from the script alone.
static void check_views(const struct script *script)
{
    const int before = window_stage.stage.before, after = window_stage.stage.after;
    int call = 0;

    for (int i = 0; i < FRAMES; i++) {
        int first = i, last = i, shot = i;
        if (event_at(script, i) == SKIP) continue;
        for (int k = i; k > 0; k--) {       // back to the shot's first frame
            const enum event event = event_at(script, k), earlier = event_at(script, k - 1);
            if (event == CUT || event == DRAIN || event == SMALLER || earlier == SMALLER || earlier == SKIP) break;
            shot = k - 1;
        }
        first = i - before > shot ? i - before : shot;
        while (last - i < after && last + 1 < FRAMES) {
            const enum event event = event_at(script, last + 1), own = event_at(script, last);
            if (event == CUT || event == DRAIN || event == SMALLER || event == SKIP || event == SUBMIT || own == SMALLER) break;
            last++;
        }
        REQUIRE_INT(window_stage.seen[call].first, first - i);
        REQUIRE_INT(window_stage.seen[call].last, last - i);
        REQUIRE_INT(window_stage.seen[call].begins, shot == i);
        REQUIRE(window_stage.seen[call].strength == 0.5f + (float)i / 100);
        for (int k = first; k < last; k++) {                // a brighter frame follows each
            const float *luma = window_stage.seen[call].luma + CLZI_MAX_WINDOW + k - i;
            REQUIRE(luma[1] > luma[0]);
        }
        call++;
    }
    REQUIRE_INT(window_stage.count, call);
}

static void films(const char *device, bool all)
{
    static const struct { const char *name; struct script script[5]; } cases[] = {
        { "whole_film", { { 0, NOTHING } } },
        { "cuts", { { 0, CUT }, { 1, CUT }, { 9, CUT }, { 22, CUT }, { 0, NOTHING } } },
        { "frames_passed_on_untouched", { { 3, SKIP }, { 10, SKIP }, { 11, SKIP }, { 22, SKIP }, { 0, NOTHING } } },
        { "another_size", { { 8, SMALLER }, { 9, CUT }, { 0, NOTHING } } },
        { "drained_and_sent_on", { { 6, DRAIN }, { 8, DRAIN }, { 0, NOTHING } } },
        { "submitted", { { 5, SUBMIT }, { 14, SUBMIT }, { 0, NOTHING } } },
    };
    static const int windows[][2] = { { 0, 0 }, { 2, 0 }, { 0, 1 }, { 3, 5 }, { 1, 32 } };
    static struct picture want[FRAMES], got[FRAMES];
    char name[128];

    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (size_t w = 0; w < sizeof windows / sizeof *windows; w++) {
            if (!all && (w != 3 || c % 2)) continue;
            snprintf(name, sizeof name, "window/%s_%s_%d_before_%d_after", device, cases[c].name, windows[w][0], windows[w][1]);
            CASE(name);
            window_stage_use(windows[w][0], windows[w][1], false);
            colour(device, 1, cases[c].script, want);
            check_views(cases[c].script);
            for (int batch = all ? 2 : 4; batch <= 7; batch += batch == 4 ? 3 : 1) {
                colour(device, batch, cases[c].script, got);
                check_views(cases[c].script);
                for (int i = 0; i < FRAMES; i++) REQUIRE(!memcmp(got[i].bytes, want[i].bytes, sizeof got[i].bytes));
            }
        }
}

// A stage that passes the answers on gives what the stream gives without one.
static void same(const char *device)
{
    static const struct script cuts[] = { { 5, CUT }, { 11, SKIP }, { 0, NOTHING } };
    static struct picture want[FRAMES], got[FRAMES];
    char name[64];

    snprintf(name, sizeof name, "window/%s_stage_that_changes_nothing", device);
    CASE(name);
    memset(&window_stage, 0, sizeof window_stage);
    colour(device, 2, cuts, want);
    window_stage_use(2, 3, true);
    colour(device, 2, cuts, got);
    for (int i = 0; i < FRAMES; i++) REQUIRE(!memcmp(got[i].bytes, want[i].bytes, sizeof got[i].bytes));
    window_stage_use(2, 3, false);
    colour(device, 2, cuts, got);
    REQUIRE(memcmp(got[3].bytes, want[3].bytes, sizeof got[3].bytes));
}

static void count_frame(void *priv, const struct clz_frame *frame)
{
    REQUIRE_INT((int)((struct picture *)frame->opaque - *(struct picture **)priv), 0);
    ++*(struct picture **)priv;
}

// Frames that wait for later ones, at a flush, a cancellation, an error, and when the stream is closed.
static void broken_off(const char *device)
{
    static struct picture film[FRAMES];
    struct picture *next;
    struct clz_frame done;
    clz_stream *s = NULL;
    char name[64];
    int failed = 0;

    snprintf(name, sizeof name, "window/%s_flush_cancel_error_close", device);
    CASE(name);
    window_stage_use(1, 4, false);
    REQUIRE_INT(clz_stream_open(&s, model, &(struct clz_stream_params){ .device = device, .batch = 2, .threads = 1 }), 0);
    for (int i = 0; i < FRAMES; i++) paint(&film[i], i, HEIGHT);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 7; i++) REQUIRE_INT(clz_stream_send(s, &film[i].f, &film[i].f, NULL), 0);
        REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
        REQUIRE(done.opaque == &film[0]);
        if (round) {                        // all that can come is out: 4 to 6 frames wait
            REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
            REQUIRE_INT(clz_stream_receive(s, &done, 1), -EAGAIN);
        }
        if (round == 2) {
            clz_stream_cancel(s);
            REQUIRE_INT(clz_stream_receive(s, &done, 1), -ECANCELED);
        }
        next = film + 1 + !!round;
        clz_stream_flush(s, count_frame, &next);
        REQUIRE(next == film + 7);
        REQUIRE_INT(clz_stream_receive(s, &done, 1), -EAGAIN);
    }
    window_stage.fail_at = window_stage.count + 3;
    for (int i = 0; i < 8; i++) (void)clz_stream_send(s, &film[i].f, &film[i].f, NULL);
    (void)clz_stream_drain(s);
    for (int i = 0, ret; (ret = clz_stream_receive(s, &done, 1)) != -ENODATA; i++) {
        REQUIRE(i < 8 && done.opaque == &film[i]);
        REQUIRE(ret == 0 || ret == -EIO);
        REQUIRE(failed == 0 || ret < 0);    // after the first error no frame comes coloured
        failed += ret < 0;
    }
    REQUIRE(failed >= 5);
    REQUIRE_INT(clz_stream_send(s, &film[0].f, &film[0].f, NULL), -EIO);
    clz_stream_flush(s, NULL, NULL);
    window_stage.fail_at = -1;
    for (int i = 0; i < 6; i++) REQUIRE_INT(clz_stream_send(s, &film[i].f, &film[i].f, NULL), 0);
    REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
    REQUIRE(done.opaque == &film[0]);
    clz_stream_close(&s);
}

int main(int argc, char **argv)
{
    char path[512];
    const int fd = mkstemp(check_temporary(path, "window"));

    REQUIRE(fd >= 0);
    REQUIRE_INT(tiny_model_write(path), 0);
    REQUIRE_INT(clz_model_open(&model, path, NULL), 0);
    for (int i = 0; i < (argc > 1 ? 1 : 2); i++) {
        static const char *const devices[] = { "ref", "cpu" };
        const char *device = argc > 1 ? argv[1] : devices[i];
        films(device, argc < 2);
        same(device);
        broken_off(device);
    }
    clz_model_close(&model);
    remove(path);
    close(fd);
    return check_end();
}
