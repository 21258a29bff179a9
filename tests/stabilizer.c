// stabilizer.c - motion between frames, cuts, and colour over time, on films that are computed: scenes of smooth noise under a
// moving camera, with grain, flashes, fades and unsteady exposure.
#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "check.h"
#include "engine/stabilizer.h"
#include "kernels/carry.h"
#include "tiny_model.h"

enum { W = 120, H = 90, PIXELS = W * H };

// ---- scenes ----

static uint32_t hash(uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t h = a * 0x9e3779b1u ^ b * 0x85ebca77u ^ c * 0xc2b2ae3du;

    h = (h ^ h >> 15) * 0x2c1b3c6du;
    h = (h ^ h >> 12) * 0x297a2d39u;
    return h ^ h >> 15;
}

static float unit(uint32_t a, uint32_t b, uint32_t c) { return (float)(hash(a, b, c) >> 8) / (1 << 24); }

// Noise that is smooth over 1 unit, 0 to 1.
static float noise(uint32_t seed, float x, float y)
{
    const float fx = floorf(x), fy = floorf(y), tx = x - fx, ty = y - fy;
    const float sx = tx * tx * (3 - 2 * tx), sy = ty * ty * (3 - 2 * ty);
    const uint32_t ix = (uint32_t)(int)fx, iy = (uint32_t)(int)fy;

    return (unit(seed, ix, iy) * (1 - sx) + unit(seed, ix + 1, iy) * sx) * (1 - sy) +
           (unit(seed, ix, iy + 1) * (1 - sx) + unit(seed, ix + 1, iy + 1) * sx) * sy;
}

static float scene(uint32_t seed, float x, float y)
{
    return 0.1f + 0.8f * (0.5f * noise(seed, x / 40, y / 40) + 0.3f * noise(seed + 1, x / 15, y / 15) +
                          0.2f * noise(seed + 2, x / 6, y / 6));
}

struct camera { float x, y, zoom, gain, grain; };

static void shoot(float *y, uint32_t seed, struct camera c, uint32_t frame)
{
    for (int j = 0; j < H; j++)
        for (int i = 0; i < W; i++) {
            const float grain = unit(frame, (uint32_t)i, (uint32_t)j) + unit(frame + 7777, (uint32_t)i, (uint32_t)j) - 1;
            const float v = c.gain * scene(seed, (i - W / 2) * c.zoom + c.x, (j - H / 2) * c.zoom + c.y) + c.grain * grain;
            y[j * W + i] = v < 0 ? 0 : v > 1 ? 1 : v;
        }
}

// ---- motion ----

struct pair { struct clzk_flow_size size; float *planes[2], *v, *back, *agreement, *scratch; };

static struct pair pair_of(int w, int h, const float *a, const float *b)
{
    struct pair p;
    size_t n;

    clzk_flow_size_of(&p.size, w, h);
    n = (size_t)p.size.w[0] * p.size.h[0];
    p.scratch = malloc(clzk_flow_scratch(&p.size) * sizeof(float));
    for (int i = 0; i < 2; i++) {
        p.planes[i] = malloc(CLZK_FLOW_PLANES * p.size.pixels * sizeof(float));
        clzk_flow_picture(&p.size, i ? b : a, w, h, p.planes[i], p.scratch);
    }
    p.v = malloc(2 * n * sizeof(float));
    p.back = malloc(2 * n * sizeof(float));
    p.agreement = malloc(n * sizeof(float));
    clzk_flow(&p.size, p.planes[0], p.planes[1], p.v, p.scratch);
    clzk_flow(&p.size, p.planes[1], p.planes[0], p.back, p.scratch);
    return p;
}

static void pair_free(struct pair *p)
{
    free(p->planes[0]);
    free(p->planes[1]);
    free(p->v);
    free(p->back);
    free(p->agreement);
    free(p->scratch);
}

// Mean distance of the motion from the true one, x -> (x - centre) * zoom + centre + shift, away from the border; in film pixels.
static float error_of(const struct pair *p, float dx, float dy, float zoom)
{
    const int w = p->size.w[0], h = p->size.h[0], f = p->size.factor, edge = 8;
    float sum = 0;

    for (int y = edge; y < h - edge; y++)
        for (int x = edge; x < w - edge; x++) {
            const float fx = (x + 0.5f) * f - 0.5f - W / 2, fy = (y + 0.5f) * f - 0.5f - H / 2;
            const float ex = f * p->v[y * w + x] - (fx * (zoom - 1) + dx);
            const float ey = f * p->v[(size_t)w * h + y * w + x] - (fy * (zoom - 1) + dy);
            sum += sqrtf(ex * ex + ey * ey);
        }
    return sum / ((w - 2 * edge) * (h - 2 * edge));
}

static void motion(void)
{
    static const struct { float dx, dy, zoom, gain, grain, most; } cases[] = {
        // most: up to 1.7 times the measured error, which is printed
        { 0, 0, 1, 1, 0, 0.001f },
        { 2.5f, -1.25f, 1, 1, 0, 0.1f },
        { 9, 5, 1, 1, 0, 0.55f },
        { 0, 0, 1.05f, 1, 0, 0.2f },
        { 2.5f, -1.25f, 1, 0.8f, 0, 0.4f },         // the exposure changes too
        { 2.5f, -1.25f, 1, 1, 0.05f, 0.5f },
    };
    float *a = malloc(PIXELS * sizeof *a), *b = malloc(PIXELS * sizeof *b);

    CASE("flow/finds_the_motion_of_the_camera");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pair p;
        float error, agreement;
        shoot(a, 5, (struct camera){ 300, 200, 1, 1, cases[i].grain }, 1);
        shoot(b, 5, (struct camera){ 300 - cases[i].dx, 200 - cases[i].dy, 1 / cases[i].zoom, cases[i].gain, cases[i].grain }, 2);
        p = pair_of(W, H, a, b);
        error = error_of(&p, cases[i].dx, cases[i].dy, cases[i].zoom);
        agreement = clzk_flow_agreement(&p.size, p.v, p.back, p.agreement);
        printf("  (%g, %g) zoom %g gain %g grain %g: error %.3f pixels, agreement %.2f\n", cases[i].dx, cases[i].dy,
               cases[i].zoom, cases[i].gain, cases[i].grain, error, agreement);
        REQUIRE(error < cases[i].most);
        REQUIRE(agreement > 0.45f);
        pair_free(&p);
    }

    CASE("flow/brightness_and_contrast");
    shoot(a, 5, (struct camera){ 300, 200, 1, 1, 0 }, 1);
    for (int i = 0; i < PIXELS; i++) b[i] = a[i] * 0.75f + 0.2f;
    struct pair p = pair_of(W, H, a, b);
    float mean = 0;
    for (int i = 0; i < PIXELS; i++) mean += (b[i] - a[i]) / PIXELS;
    clzk_flow_agreement(&p.size, p.v, p.back, p.agreement);
    REQUIRE(fabsf(clzk_flow_brightness(&p.size, p.planes[0], p.planes[1], p.v, p.agreement) - mean) < 0.01f);   // 0.001
    printf("  correlation %.4f\n", clzk_flow_correlation(&p.size, p.planes[0], p.planes[1], p.v));
    REQUIRE(clzk_flow_correlation(&p.size, p.planes[0], p.planes[1], p.v) > 0.99f);
    REQUIRE(fabsf(clzk_flow_contrast(&p.size, p.planes[1]) / clzk_flow_contrast(&p.size, p.planes[0]) - 0.75f) < 1e-3f);
    pair_free(&p);

    CASE("flow/any_size_of_picture");
    for (int w = 1; w < 400; w += w / 2 + 1)
        for (int h = 1; h < 400; h += h / 2 + 1) {
            float *flat = malloc((size_t)w * h * sizeof *flat);
            for (int i = 0; i < w * h; i++) flat[i] = unit(1, (uint32_t)(i % w), (uint32_t)(i / w));
            p = pair_of(w, h, flat, flat);
            REQUIRE(fabsf(p.v[0]) < 1e-3f);
            pair_free(&p);
            free(flat);
        }
    free(a);
    free(b);
}

// ---- cuts ----

enum { CUTS = 300 };

// Frame `number` of a film of CUTS shots. Returns which shot it is in; -1 after the end. *flash: one of its flashes. *fades_in:
// its shot fades in there, from black: whether it begins with the first black frame or after the last is a matter of taste.
static int film_frame(int number, float *y, bool *flash, bool *fades_in)
{
    int shot = 0, first = 0, length;

    while (number >= first + (length = 8 + (int)(hash(9, (uint32_t)shot, 1) % 20))) {
        first += length;
        if (++shot == CUTS) return -1;
    }
    const uint32_t s = (uint32_t)shot, kind = hash(9, s, 2) % 10;
    const int at = number - first, flashed = 4 + (int)(hash(9, s, 3) % 3);
    const float pan = (unit(9, s, 4) - 0.5f) * 6, tilt = (unit(9, s, 5) - 0.5f) * 4;
    struct camera c = { 1000.f * (shot % 50) + pan * at, 1000.f * (shot / 50) + tilt * at,
                        1 + (unit(9, s, 6) - 0.5f) * 0.04f * at, 1, 0.12f * unit(9, s, 7) };

    if (kind == 0 && length > 16) c.gain = length - at > 8 ? 1 : (length - at - 1) / 8.f;       // fades out
    if (kind == 1 && length > 16) c.gain = at < 8 ? at / 8.f : 1;                               // fades in
    if (kind == 2) c.gain = 0.85f + 0.3f * unit(9, s, 100 + (uint32_t)at);                      // unsteady exposure
    *fades_in = kind == 1 && length > 16 && at < 8;
    *flash = kind > 7 && at >= flashed && at < flashed + 1 + (int)(hash(9, s, 8) % 3);
    shoot(y, 40 + s * 3, c, (uint32_t)number);
    if (*flash) for (int i = 0; i < PIXELS; i++) y[i] = y[i] * 0.05f + 0.95f;
    return shot;
}

static void cuts(void)
{
    struct clzi_motion *m = NULL;
    float *y = malloc(PIXELS * sizeof *y);
    int shot, before = -1, right = 0, missed = 0, wrong = 0, flashes = 0, bridged = 0;
    bool flash, fades_in, after_flash = false;

    CASE("motion/cuts_among_flashes_fades_grain_and_pans");
    REQUIRE_INT(clzi_motion_create(&m, W, H, 8, 2), 0);
    for (int n = 0; (shot = film_frame(n, y, &flash, &fades_in)) >= 0; n++) {
        clzi_motion_add(m, y, CLZI_CUT_FIND);
        const int back = clzi_motion_link(m, (uint64_t)n)->back;
        if (n && shot != before) {
            right += back == 0;
            missed += back != 0;
        } else if (n && after_flash && !flash) {
            flashes++;
            bridged += back != 0;
        } else if (n && !flash && !fades_in) {
            wrong += back == 0;
        }
        before = shot;
        after_flash = flash;
    }
    printf("  of %d cuts %d found, %d others; %d of %d shots go on after a flash\n", CUTS - 1, right, wrong, bridged, flashes);
    REQUIRE(right >= 0.95 * (right + missed));
    REQUIRE(right >= 0.95 * (right + wrong));
    REQUIRE(bridged >= 0.9 * flashes);

    CASE("motion/a_cut_that_was_said");
    clzi_motion_restart(m);
    for (int n = 0; n < 6; n++) {
        shoot(y, 5, (struct camera){ 300, 200, 1, 1, 0 }, 1);
        clzi_motion_add(m, y, n == 3 ? CLZI_CUT_YES : CLZI_CUT_FIND);
        REQUIRE_INT(clzi_motion_link(m, (uint64_t)n)->back, n != 0 && n != 3);
    }

    CASE("motion/a_picture_that_fades_in_begins_a_shot");
    int begun = 0;
    clzi_motion_restart(m);
    for (int n = 0; n < 60; n++) {          // out to black in frames 10 to 30, another one in from 30 to 50
        const float gain = n < 10 || n > 50 ? 1 : fabsf(n - 30.f) / 20;
        shoot(y, n < 30 ? 5 : 80, (struct camera){ 300, 200, 1, gain, 0 }, 1);
        clzi_motion_add(m, y, CLZI_CUT_FIND);
        if (n && !clzi_motion_link(m, (uint64_t)n)->back) begun++;
        if (n && !clzi_motion_link(m, (uint64_t)n)->back) REQUIRE(n > 30 && n <= 50);
    }
    REQUIRE_INT(begun, 1);
    clzi_motion_destroy(&m);
    free(y);
}

static void carried(void)
{
    enum { SIDE = 8 };
    float zero[2 * SIDE * SIDE] = { 0 }, one[SIDE * SIDE];
    struct clzk_colour own[SIDE * SIDE], other[SIDE * SIDE], out[SIDE * SIDE];
    struct clzk_flow_size size;

    CASE("carry/mean_where_lightness_matches");
    clzk_flow_size_of(&size, SIDE, SIDE);
    for (int i = 0; i < SIDE * SIDE; i++) {
        one[i] = 1;
        own[i] = (struct clzk_colour){ 0.5f, 1, 0.25f, -0.25f };
        other[i] = (struct clzk_colour){ i % SIDE < 4 ? 0.6f : 0.9f, 4, 0.75f, 0.25f };     // brighter by 0.1; right half: 0.4
    }
    const struct clzk_carry c = { &size, SIDE, SIDE, zero, one, 0.1f, 0.5f, 0.05f };
    clzk_carry_rows(&c, out, own, other, 0, SIDE);
    for (int i = 0; i < SIDE * SIDE; i++) {
        const bool matches = i % SIDE < 4;  // weights 1 and 4 * 0.5; on the right 4 * 0.5 / 37^2
        REQUIRE(fabsf(out[i].weight - (matches ? 3 : 1)) < (matches ? 1e-5f : 0.002f));
        REQUIRE(fabsf(out[i].a - (matches ? 0.25f + 0.5f * 2 / 3 : 0.25f)) < (matches ? 1e-5f : 0.001f));
        REQUIRE(fabsf(out[i].b - (matches ? -0.25f + 0.5f * 2 / 3 : -0.25f)) < (matches ? 1e-5f : 0.001f));
        REQUIRE(out[i].l == 0.5f);
    }
}

// ---- colour ----

// The true colour of a scene at a place, and the network's: the true one, plus an error that changes from frame to frame.
static float colour(uint32_t seed, int channel, float x, float y) { return noise(seed + 50 + channel, x / 25, y / 25) - 0.5f; }

struct film { uint32_t seed; float speed; float grain; float flicker; };

static void frame_of(const struct film *f, int n, float *y, float *ab, float *truth)
{
    const struct camera c = { 300 + f->speed * n, 200 + f->speed * n / 3, 1, 1, f->grain };

    shoot(y, f->seed, c, (uint32_t)n);
    for (int k = 0; k < 2; k++) {
        const float error = f->flicker * (unit(f->seed, (uint32_t)n, 900 + (uint32_t)k) - 0.5f);
        for (int i = 0; i < PIXELS; i++) {
            const float v = colour(f->seed, k, i % W - W / 2 + c.x, i / W - H / 2 + c.y);
            const float local = f->flicker * (noise(f->seed + (uint32_t)n * 31, (i % W) / 20.f, (i / W) / 20.f) - 0.5f);
            ab[k * PIXELS + i] = v + error + local;
            if (truth) truth[k * PIXELS + i] = v;
        }
    }
}

static double mean_square(const float *a, const float *b)
{
    double sum = 0;

    for (int i = 0; i < 2 * PIXELS; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum / (2 * PIXELS);
}

static struct clzi_stabilizer *create(int ahead, int frames, int threads)
{
    struct clzi_stabilizer *s = NULL;
    const struct clzi_stabilizer_params p = { W, H, ahead, frames, threads };

    REQUIRE_INT(clzi_stabilizer_create(&s, &p), 0);
    return s;
}

// Colours `count` frames of the film from `first` on, adding up to `frames` of them before they are taken; out [count][2,H,W].
static int run(const struct film *f, int first, int count, int ahead, int frames, float strength, int threads, float *out)
{
    struct clzi_stabilizer *s = create(ahead, frames, threads);
    float *y = malloc(PIXELS * sizeof *y), *ab = malloc(2 * PIXELS * sizeof *ab);
    int taken = 0;

    for (int n = 0; n < count;) {
        for (int k = 0; k < frames && n < count; k++, n++) {
            frame_of(f, first + n, y, ab, NULL);
            clzi_stabilizer_add(s, y, ab, strength, 1, false, CLZI_CUT_FIND);
        }
        while (clzi_stabilizer_take(s, out + (size_t)taken * 2 * PIXELS, n == count)) taken++;
    }
    clzi_stabilizer_destroy(&s);
    free(y);
    free(ab);
    return taken;
}

static void colours(void)
{
    enum { COUNT = 40 };
    const size_t size = 2 * PIXELS * sizeof(float);
    float *out = malloc(COUNT * size), *other = malloc(COUNT * size);
    float *y = malloc(size), *ab = malloc(size), *truth = malloc(size);
    const struct film still = { 5, 0, 0.02f, 0.3f }, moving = { 8, 1.5f, 0.02f, 0.3f };

    CASE("stabilizer/strength_0_keeps_each_frame");
    REQUIRE_INT(run(&moving, 0, COUNT, 4, 1, 0, 1, out), COUNT);
    for (int n = 0; n < COUNT; n++) {
        frame_of(&moving, n, y, ab, NULL);
        REQUIRE(!memcmp(out + (size_t)n * 2 * PIXELS, ab, size));
    }

    CASE("stabilizer/flicker_goes_and_the_true_colour_stays");
    for (int k = 0; k < 2; k++) {
        const struct film *f = k ? &moving : &still;
        double raw = 0, settled = 0, raw_change = 0, change = 0;
        REQUIRE_INT(run(f, 0, COUNT, 4, 1, 1, 1, out), COUNT);
        for (int n = 0; n < COUNT; n++) {
            const float *now = out + (size_t)n * 2 * PIXELS;
            memcpy(other, ab, size);
            frame_of(f, n, y, ab, truth);
            raw += mean_square(ab, truth) / COUNT;
            settled += mean_square(now, truth) / COUNT;
            if (n) raw_change += mean_square(ab, other) / COUNT;
            if (n && !k) change += mean_square(now, now - 2 * PIXELS) / COUNT;
        }
        printf("  %s: mean square error %.5f of each frame alone, %.5f stabilised", k ? "moving" : "still", raw, settled);
        printf(k ? "\n" : "; change from frame to frame %.6f, %.6f\n", raw_change, change);
        REQUIRE(settled < raw * (k ? 0.3 : 0.2));
        if (!k) REQUIRE(change < raw_change * 0.02);
    }

    CASE("stabilizer/any_number_of_frames_and_threads_gives_the_same");
    for (int ahead = 0; ahead < 6; ahead += 5) {
        run(&moving, 0, COUNT, ahead, 1, 0.8f, 1, out);
        for (int frames = 2; frames < COUNT; frames = frames * 3 + 1) {
            REQUIRE_INT(run(&moving, 0, COUNT, ahead, frames, 0.8f, 1 + frames % 3, other), COUNT);
            REQUIRE(!memcmp(out, other, COUNT * size));
        }
    }

    CASE("stabilizer/short_films");
    for (int count = 1; count < 8; count++) REQUIRE_INT(run(&moving, 0, count, 5, 2, 1, 1, other), count);

    CASE("stabilizer/nothing_crosses_a_cut");
    for (int said = 0; said < 2; said++) {  // a cut to another scene is found; one within a scene is said
        struct clzi_stabilizer *s = create(4, 1, 1);
        const struct film *second = said ? &still : &moving;
        int taken = 0;
        for (int n = 0; n < 20; n++) {
            frame_of(n < 10 ? &still : second, n, y, ab, NULL);
            clzi_stabilizer_add(s, y, ab, 1, 1, false, said && n == 10 ? CLZI_CUT_YES : CLZI_CUT_FIND);
            while (clzi_stabilizer_take(s, out + (size_t)taken * 2 * PIXELS, n == 19)) taken++;
        }
        REQUIRE_INT(taken, 20);
        run(second, 10, 10, 4, 1, 1, 1, other);
        REQUIRE(!memcmp(out + 10 * 2 * PIXELS, other, 10 * size));
        run(&still, 0, 10, 4, 1, 1, 1, other);
        REQUIRE(!memcmp(out, other, 10 * size));
        clzi_stabilizer_destroy(&s);
    }

    CASE("stabilizer/what_appears_keeps_its_own_colour");
    struct clzi_stabilizer *s = create(0, 1, 1);
    for (int n = 0; n < 12; n++) {          // a bright square of another colour comes in the last frame
        frame_of(&still, 0, y, ab, NULL);
        for (int i = 0; n == 11 && i < PIXELS; i++)
            if (i % W > 40 && i % W < 70 && i / W > 30 && i / W < 60) {
                y[i] = 0.95f;
                ab[i] = ab[PIXELS + i] = 0.9f;
            }
        clzi_stabilizer_add(s, y, ab, 1, 1, false, CLZI_CUT_FIND);
        REQUIRE(clzi_stabilizer_take(s, out, false));
    }
    float inside = 0, beside = 0;
    for (int i = 0; i < PIXELS; i++) {
        const bool in = i % W > 42 && i % W < 68 && i / W > 32 && i / W < 58;
        const bool far = i % W < 30 || i % W > 80 || i / W < 20 || i / W > 70;
        if (in) inside = fmaxf(inside, fabsf(out[i] - 0.9f));
        if (far) beside = fmaxf(beside, fabsf(out[i] - ab[i]));
    }
    printf("  largest difference inside the square %.3f, far from it %.3f\n", inside, beside);
    REQUIRE(inside < 0.1f);
    REQUIRE(beside < 0.005f);     // 0.001
    clzi_stabilizer_restart(s);
    frame_of(&moving, 0, y, ab, NULL);
    clzi_stabilizer_add(s, y, ab, 1, 1, false, CLZI_CUT_FIND);
    REQUIRE(clzi_stabilizer_take(s, out, false));
    REQUIRE(!memcmp(out, ab, size));
    REQUIRE(!clzi_stabilizer_take(s, out, true));

    CASE("stabilizer/after_a_restart_as_new");
    run(&moving, 0, 8, 0, 1, 1, 1, other);
    clzi_stabilizer_restart(s);
    REQUIRE_INT(clzi_stabilizer_added(s), 0);
    for (int n = 0; n < 8; n++) {
        frame_of(&moving, n, y, ab, NULL);
        clzi_stabilizer_add(s, y, ab, 1, 1, false, CLZI_CUT_FIND);
        REQUIRE(clzi_stabilizer_take(s, out, false));
        REQUIRE(!memcmp(out, other + (size_t)n * 2 * PIXELS, size));
    }
    clzi_stabilizer_destroy(&s);
    free(out);
    free(other);
    free(y);
    free(ab);
    free(truth);
}

// Frames [first, end) are held. Their own answers are `wrong`, which must not be seen.
static void run_held(const struct film *f, int count, int first, int end, float strength, float wrong, float *out)
{
    struct clzi_stabilizer *s = create(2, 1, 1);
    float *y = malloc(PIXELS * sizeof *y), *ab = malloc(2 * PIXELS * sizeof *ab);
    int taken = 0;

    for (int n = 0; n < count; n++) {
        frame_of(f, n, y, ab, NULL);
        for (int i = 0; n >= first && n < end && i < 2 * PIXELS; i++) ab[i] = wrong;
        clzi_stabilizer_add(s, y, ab, strength, 1, n >= first && n < end, CLZI_CUT_FIND);
        while (clzi_stabilizer_take(s, out + (size_t)taken * 2 * PIXELS, n == count - 1)) taken++;
    }
    REQUIRE_INT(taken, count);
    clzi_stabilizer_destroy(&s);
    free(y);
    free(ab);
}

static void held(void)
{
    enum { COUNT = 120, FIRST = 10 };
    float *out = malloc((size_t)COUNT * 2 * PIXELS * sizeof *out), *other = malloc((size_t)COUNT * 2 * PIXELS * sizeof *other);
    float *y = malloc(PIXELS * sizeof *y), *ab = malloc(2 * PIXELS * sizeof *ab), *truth = malloc(2 * PIXELS * sizeof *truth);
    const struct film still = { 5, 0, 0.02f, 0.1f }, moving = { 8, 1.5f, 0.02f, 0.1f };
    const size_t size = 2 * PIXELS * sizeof *out;

    CASE("hold/colours_of_a_moving_shot_are_carried_along");
    for (int k = 0; k < 2; k++) {
        double inside = 0, after = 0, before = 0, wrong = 0;
        run_held(&moving, 40, FIRST, 25, (float)k, 0.9f, out);
        run_held(&moving, 40, FIRST, 25, (float)k, -0.9f, other);
        for (int n = 0; n < 40; n++) {
            const float *now = out + (size_t)n * 2 * PIXELS, *then = other + (size_t)n * 2 * PIXELS;
            frame_of(&moving, n, y, ab, truth);
            if (n < FIRST) before = fmax(before, mean_square(now, then));
            if (n >= 25) after = fmax(after, mean_square(now, then));
            // what has come into view since, at the edge towards which the camera moves, has no colours to keep
            for (int i = 0; n >= FIRST && n < 25 && i < PIXELS; i++) {
                if (i % W > W - 30 || i / W > H - 12) continue;
                inside += (fabs(now[i] - then[i]) > 0.2) / ((W - 29) * (H - 11) * 15.);
                wrong += (now[i] - truth[i]) * (now[i] - truth[i]) / ((W - 29) * (H - 11) * 15.);
            }
        }
        printf("  strength %d: colours of frames before and after differ by %.1e, %.1e (mean square); of held ones %.4f see "
               "their own; error %.5f\n", k, before, after, inside, wrong);
        REQUIRE(before < 1e-6 && after < 1e-6 && inside < 0.002 && wrong < 0.01);
    }

    CASE("hold/for_long");
    run_held(&still, COUNT, FIRST, COUNT, 0, 0.9f, out);
    printf("  mean square of the change after %d frames %.6f\n", COUNT - FIRST,
           mean_square(out + (FIRST - 1) * 2 * PIXELS, out + (size_t)(COUNT - 1) * 2 * PIXELS));
    // of colours whose mean square is 0.053; 0.0008 is the blur of repeated interpolation
    REQUIRE(mean_square(out + (FIRST - 1) * 2 * PIXELS, out + (size_t)(COUNT - 1) * 2 * PIXELS) < 0.002);

    CASE("hold/nothing_is_held_over_a_cut");
    struct clzi_stabilizer *s = create(0, 1, 1);
    for (int n = 0; n < 12; n++) {
        frame_of(n < 6 ? &still : &moving, n, y, ab, NULL);
        clzi_stabilizer_add(s, y, ab, 0, 1, n >= 6, CLZI_CUT_FIND);
        REQUIRE(clzi_stabilizer_take(s, out, false));
        if (n == 6) REQUIRE(!memcmp(out, ab, size));
        if (n == 11) REQUIRE(mean_square(out, ab) > 1e-5);
    }
    clzi_stabilizer_destroy(&s);
    free(out);
    free(other);
    free(y);
    free(ab);
    free(truth);
}

// ---- the list of shots ----

enum { LISTED = 24, SHOT = 48, DISSOLVED = 16 };            // shots, and frames of a shot and of a dissolve

// Shot k of a film in which every third shot changes to the next by a dissolve over its last frames, and others have a flash.
static bool dissolves(int k) { return k % 3 == 1 && k < LISTED - 1; }
static bool flashes(int k) { return k % 3 == 2; }

static void listed_frame(int n, float *l)
{
    static float next[PIXELS];
    const int k = n / SHOT, at = n % SHOT, left = SHOT - at;
    const struct camera c = { 1000.f * k + 0.7f * at, 500, 1, 1, 0.06f };

    shoot(l, 40 + 3 * (uint32_t)k, c, (uint32_t)n);
    if (flashes(k) && (at == 20 || at == 21)) for (int i = 0; i < PIXELS; i++) l[i] = 0.97f + 0.03f * l[i];
    if (!dissolves(k) || left > DISSOLVED) return;
    shoot(next, 40 + 3 * (uint32_t)(k + 1), (struct camera){ 1000.f * (k + 1) - 0.7f * left, 500, 1, 1, 0.06f }, (uint32_t)n);
    for (int i = 0; i < PIXELS; i++) l[i] += (next[i] - l[i]) * (DISSOLVED - left + 1) / (DISSOLVED + 1);
}

static int lines_of(const char *path, char lines[][80], int most)
{
    FILE *f = fopen(path, "r");
    int n = 0;

    while (f && n < most && fgets(lines[n], 80, f)) n++;
    if (f) fclose(f);
    return n;
}

static void list(const char *path)
{
    static char lines[400][80];
    const struct clz_log quiet = { 0 };
    struct clzi_shots *shots = NULL;
    struct clzi_motion *m = NULL;
    float *l = malloc(PIXELS * sizeof *l);
    int found[3] = { 0 }, wrong = 0, cuts = 0, middle = 0, bright = 0;

    CASE("shots/cuts_flashes_and_dissolves_are_listed");
    REQUIRE_INT(clzi_shots_create(&shots, path, 0, &quiet), 0);
    REQUIRE_INT(clzi_motion_create(&m, W, H, 8, 1), 0);
    for (int n = 0; n < LISTED * SHOT; n++) {
        struct clzi_shot_frame f = { .time = n / 25. };
        listed_frame(n, l);
        clzi_motion_add(m, l, CLZI_CUT_FIND);
        f.back = clzi_motion_link(m, (uint64_t)n)->back;
        f.look = *clzi_motion_look(m, (uint64_t)n);
        clzi_motion_thumbnail(m, (uint64_t)n, f.thumbnail);
        clzi_shots_add(shots, &f);
    }
    clzi_shots_destroy(&shots);
    clzi_motion_destroy(&m);
    const int count = lines_of(path, lines, 400);
    REQUIRE(!strncmp(lines[0], "frame,time,kind,confidence,look,bars\n", 37));
    REQUIRE(!strncmp(lines[1], "0,0.000000,start,1.00,", 22));
    for (int i = 2; i < count; i++) {
        char kind[16] = "";
        double time, confidence;
        int frame = 0;
        REQUIRE_INT(sscanf(lines[i], "%d,%lf,%15[a-z],%lf,", &frame, &time, kind, &confidence), 4);
        REQUIRE(fabs(time - frame / 25.) < 1e-6 && confidence >= 0 && confidence <= 1);
        const int k = frame / SHOT, at = frame % SHOT;
        if (!strcmp(kind, "cut") && !at && !dissolves(k - 1)) found[0]++;
        else if (!strcmp(kind, "flash") && flashes(k) && (at == 20 || at == 21)) found[1]++;
        else if (!strcmp(kind, "dissolve") && dissolves(k) && abs(SHOT - at - DISSOLVED / 2) <= 5) found[2]++;
        else if (wrong++ < 12) printf("  not expected: %s", lines[i]);
    }
    for (int k = 0; k < LISTED; k++) {
        cuts += k && !dissolves(k - 1);
        middle += dissolves(k);
        bright += 2 * flashes(k);
    }
    printf("  %d of %d cuts, %d of %d frames of flashes, %d of %d dissolves, %d others\n", found[0], cuts, found[1], bright,
           found[2], middle, wrong);
    REQUIRE(found[0] >= 0.95 * cuts && found[1] >= 0.9 * bright && found[2] >= 0.8 * middle && wrong <= 0.05 * cuts);
    free(l);
}

// ---- a stream with the stabiliser ----

enum { FILM = 22 };

// Colours FILM frames: two shots, with a change of size at the third. pictures [FILM][W * H * 3], yuv444p.
static void colour_film(clz_model *model, const char *device, const struct clz_stream_params *params, float stabilize,
                        uint8_t *pictures)
{
    static float l[PIXELS];
    struct clz_stream_params p = *params;
    struct clz_frame done;
    clz_stream *s = NULL;
    int got = 0, ret;

    p.device = device;
    REQUIRE_INT(clz_stream_open(&s, model, &p), 0);
    for (int n = 0; s && n < FILM; n++) {
        const int h = n < 18 ? H : H / 2;
        uint8_t *bytes = pictures + (size_t)n * PIXELS * 3;
        struct clz_controls c = CLZ_CONTROLS_DEFAULT;
        struct clz_frame f = { .format = clz_pixfmt_find("yuv444p"), .width = W, .height = h, .range = CLZ_RANGE_FULL,
                               .data = { bytes, bytes + W * h, bytes + 2 * W * h }, .stride = { W, W, W } };
        c.stabilize = stabilize;
        shoot(l, n < 9 ? 5 : 30, (struct camera){ 300 + 1.5f * n, 200, 1, 1, 0.05f }, (uint32_t)n);
        for (int i = 0; i < W * h; i++) bytes[i] = (uint8_t)(l[i] * 255);
        while ((ret = clz_stream_send(s, &f, &f, &c)) == -EAGAIN) {
            REQUIRE_INT(clz_stream_receive(s, &done, 1), 0);
            got++;
        }
        REQUIRE_INT(ret, 0);
    }
    REQUIRE_INT(clz_stream_drain(s), 0);
    while (clz_stream_receive(s, &done, 1) == 0) got++;
    REQUIRE_INT(got, FILM);
    clz_stream_close(&s);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    REQUIRE(f && fputs(text, f) >= 0 && !fclose(f));
}

static void streams(clz_model *model, const char *list_path)
{
    const size_t size = (size_t)FILM * PIXELS * 3;
    uint8_t *alone = calloc(1, size), *first = calloc(1, size), *other = calloc(1, size);
    struct clz_stream_params p = { .batch = 1, .threads = 1, .stabilizer = 1, .window = 3 };
    clz_stream *s = NULL;
    int luma = 0;

    CASE("stream/stabilised_in_batches_of_any_size_on_any_number_of_threads");
    colour_film(model, "cpu", &p, 1, first);
    for (p.batch = 2; p.batch < 20; p.batch = p.batch * 2 + 1) {
        p.threads = 1 + p.batch % 3;
        memset(other, 0, size);
        colour_film(model, "cpu", &p, 1, other);
        REQUIRE(!memcmp(first, other, size));
    }

    CASE("stream/strength_0_is_no_stabiliser");
    colour_film(model, "cpu", &(struct clz_stream_params){ .threads = 1 }, 1, alone);
    colour_film(model, "cpu", &p, 0, other);
    REQUIRE(!memcmp(alone, other, size));
    REQUIRE(memcmp(alone, first, size));
    for (int n = 0; n < FILM; n++)
        luma += memcmp(alone + (size_t)n * PIXELS * 3, first + (size_t)n * PIXELS * 3, W * (n < 18 ? H : H / 2)) != 0;
    REQUIRE_INT(luma, 0);

    CASE("stream/stabiliser_on_the_reference_device");
    int far = 0;
    colour_film(model, "ref", &p, 1, other);
    for (size_t i = 0; i < size; i++) far += abs(first[i] - other[i]) > 1;
    REQUIRE_INT(far, 0);

    CASE("stream/parameters_of_the_stabiliser");
    const struct { int batch, window, lookahead; } cases[] = { { 1, -1, 1 }, { 4, -1, 6 }, { 4, 0, 4 }, { 1, 7, 8 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        p = (struct clz_stream_params){ .batch = cases[i].batch, .stabilizer = 1, .window = cases[i].window };
        REQUIRE_INT(clz_stream_open(&s, model, &p), 0);
        REQUIRE_INT(clz_stream_lookahead(s), cases[i].lookahead);
        clz_stream_close(&s);
    }
    p.window = 33;
    REQUIRE_INT(clz_stream_open(&s, model, &p), -EINVAL);
    p.window = -2;
    REQUIRE_INT(clz_stream_open(&s, model, &p), -EINVAL);

    CASE("stream/a_list_of_shots_is_written_and_given_back");
    static char lines[8][80];
    p = (struct clz_stream_params){ .batch = 3, .threads = 1, .stabilizer = 1, .window = 3 };
    colour_film(model, "cpu", &p, 1, first);
    p.shots = list_path;
    colour_film(model, "cpu", &p, 1, other);
    REQUIRE(!memcmp(first, other, size));
    REQUIRE_INT(lines_of(list_path, lines, 8), 4);
    REQUIRE(!strncmp(lines[1], "0,,start,", 9) && !strncmp(lines[2], "9,,cut,", 7) && !strncmp(lines[3], "18,,cut,", 8));
    p.shots = NULL;
    p.cuts = list_path;
    colour_film(model, "cpu", &p, 1, other);
    REQUIRE(!memcmp(first, other, size));
    write_text(list_path, "# edited\r\nframe,time,kind\n0,0,start\n5,0.2,cut\n9,0.3,flash\n");
    colour_film(model, "cpu", &p, 1, other);
    REQUIRE(memcmp(first, other, size));
    REQUIRE(!memcmp(first, other, (size_t)2 * PIXELS * 3));        // frames that see no changed cut: window 3 before frame 5

    CASE("stream/bad_lists_of_shots");
    static const char *const bad[] = { "x,1,cut\n", "-1,1,cut\n", "1,1\n", "1,1,jump\n", "5,1,cut\n5,1,cut\n", "1\n", "",
                                       "# none\n", "1.5,1,cut\n", "99999999999999999999,1,cut\n" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        write_text(list_path, bad[i]);
        REQUIRE_INT(clz_stream_open(&s, model, &p), -EBADMSG);
    }
    p.cuts = "/nonexistent/list";
    REQUIRE_INT(clz_stream_open(&s, model, &p), -ENOENT);
    p.cuts = "/";
    REQUIRE(clz_stream_open(&s, model, &p) < 0);
    write_text(list_path, "0,0,start\n");
    p.cuts = p.shots = list_path;
    REQUIRE_INT(clz_stream_open(&s, model, &p), -EINVAL);

    CASE("stream/only_a_list_of_shots_is_replaced_by_one");
    p.cuts = NULL;
    write_text(list_path, "a film\n");
    REQUIRE_INT(clz_stream_open(&s, model, &p), -EEXIST);
    REQUIRE_INT(lines_of(list_path, lines, 8), 1);
    REQUIRE(!strcmp(lines[0], "a film\n"));
    p.shots = "/nonexistent/list";
    REQUIRE_INT(clz_stream_open(&s, model, &p), -ENOENT);
    unlink(list_path);
    free(alone);
    free(first);
    free(other);
}

// ---- a film in parts ----

enum { PART = 16, PARTS = 6, LONG = PARTS * PART, BAR = 16 };

// Frame n of a letterboxed film: the second shot has a subtitle in a bar, which the bars of all later shots follow; the third a
// flash, the fourth an unsteady exposure; the fifth fades in from black.
static void part_frame(int n, uint8_t *bytes)
{
    static float l[PIXELS];
    const int k = n / PART, at = n % PART;
    const float gain = k == 3 ? 1 + 0.1f * (float)(at % 3) : k != 4 ? 1 : at < 3 ? 0 : at < 8 ? (float)(at - 2) / 6 : 1;

    shoot(l, 60 + 3 * (uint32_t)k, (struct camera){ 1000.f * k + 1.2f * at, 500, 1, gain, gain ? 0.04f : 0 }, (uint32_t)n);
    for (int i = 0; i < PIXELS; i++) {
        const int y = i / W, x = i % W;
        const bool title = k == 1 && at > 4 && y > H - BAR + 3 && y < H - 5 && x > 30 && x < 90 && x % 4 < 2;
        float v = k == 2 && (at == 6 || at == 7) ? 0.95f : l[i];
        if (y < BAR || y >= H - BAR) v = title ? 0.9f : 0;
        bytes[i] = (uint8_t)(v * 255);
    }
    memset(bytes + PIXELS, 77, 2 * PIXELS);
}

static void colour_part(clz_model *model, const struct clz_stream_params *params, int first, int end, uint8_t *pictures)
{
    struct clz_frame done;
    clz_stream *s = NULL;
    int got = 0, ret;

    REQUIRE_INT(clz_stream_open(&s, model, params), 0);
    for (int n = first; s && n < end; n++) {
        uint8_t *bytes = pictures + (size_t)n * PIXELS * 3;
        struct clz_controls c = CLZ_CONTROLS_DEFAULT;
        struct clz_frame f = { .format = clz_pixfmt_find("yuv444p"), .width = W, .height = H, .range = CLZ_RANGE_FULL,
                               .data = { bytes, bytes + PIXELS, bytes + 2 * PIXELS }, .stride = { W, W, W } };
        c.time = n / 24.;
        part_frame(n, bytes);
        while ((ret = clz_stream_send(s, &f, &f, &c)) == -EAGAIN && clz_stream_receive(s, &done, 1) == 0) got++;
        REQUIRE_INT(ret, 0);
    }
    clz_stream_drain(s);
    while (clz_stream_receive(s, &done, 1) == 0) got++;
    REQUIRE_INT(got, end - first);
    clz_stream_close(&s);
}

static void parts(clz_model *model, const char *list_path)
{
    const size_t frame = (size_t)PIXELS * 3, size = LONG * frame;
    uint8_t *whole = malloc(size), *part = malloc(size);
    static char coloured[40][80 + CLZI_BARS_TEXT], alone[40][80 + CLZI_BARS_TEXT];
    struct clz_stream_params p = { .device = "cpu", .threads = 1, .batch = 3, .stabilizer = 1, .window = 3, .shots = list_path };
    int begins[40], count = 0, rows[2], with_bars = 0;

    CASE("parts/a_list_alone_is_that_of_the_coloured_film");
    for (int k = 0; k < 2; k++) {
        FILE *f;
        p.shots_only = k;
        colour_part(model, &p, 0, LONG, k ? part : whole);
        f = fopen(list_path, "r");
        for (rows[k] = 0; f && rows[k] < 40 && fgets(k ? alone[rows[k]] : coloured[rows[k]], sizeof *alone, f);) rows[k]++;
        if (f) fclose(f);
    }
    REQUIRE(rows[0] >= PARTS && rows[0] == rows[1]);       // a row is the header
    for (int i = 0; i < rows[0]; i++) REQUIRE_STR(alone[i], coloured[i]);
    for (int n = 0; n < LONG; n++) {        // the frames became grey, with their luma
        const uint8_t *was = whole + n * frame, *is = part + n * frame;
        int neutral = 1;
        REQUIRE(!memcmp(was, is, PIXELS));
        for (int i = PIXELS; i < 3 * PIXELS; i++) neutral &= is[i] == 128;
        REQUIRE(neutral);
    }

    CASE("parts/from_the_shots_of_the_list_they_are_the_whole_film");
    for (int i = 1; i < rows[0]; i++) {
        const char *kind = strchr(strchr(coloured[i], ',') + 1, ',') + 1;
        if (strncmp(kind, "start", 5) && strncmp(kind, "cut", 3) && strncmp(kind, "fade", 4)) continue;
        if (strrchr(coloured[i], ',')[1] == '\n') continue;     // a dark frame
        begins[count++] = i;
    }
    REQUIRE(count >= 4);                    // two cuts are not found for the black that stays where the subtitle was
    p.shots = NULL;
    p.shots_only = 0;
    for (int i = 0; i < count; i++) {
        const int first = atoi(coloured[begins[i]]), end = i + 1 < count ? atoi(coloured[begins[i + 1]]) : LONG;
        char bars[CLZI_BARS_TEXT];
        snprintf(bars, sizeof bars, "%s", strrchr(coloured[begins[i]], ',') + 1);
        bars[strcspn(bars, "\n")] = 0;
        p.batch = 1 + i % 4;
        p.first_frame = first;
        p.bars = bars;
        colour_part(model, &p, first, end, part);
        REQUIRE(!memcmp(whole + first * frame, part + first * frame, (end - first) * frame));
        p.bars = NULL;                      // without what the frames before have shown, the bars are others
        colour_part(model, &p, first, end, part);
        with_bars += memcmp(whole + first * frame, part + first * frame, (end - first) * frame) != 0;
    }
    printf("  %d parts, %d of them need the bars\n", count, with_bars);
    REQUIRE(with_bars > 0);
    p.shots_only = 1;
    clz_stream *s;
    REQUIRE_INT(clz_stream_open(&s, model, &p), -EINVAL);
    unlink(list_path);
    free(whole);
    free(part);
}

int main(void)
{
    const char *folder = getenv("TMPDIR");
    char path[512];
    clz_model *model = NULL;

    motion();
    cuts();
    carried();
    colours();
    held();
    snprintf(path, sizeof path, "%s/clz-stabilizer-%d.bin", folder ? folder : "/tmp", (int)getpid());
    if (tiny_model_write(path) < 0 || clz_model_open(&model, path, NULL) < 0) return 1;
    unlink(path);
    list(path);
    streams(model, path);
    parts(model, path);
    clz_model_close(&model);
    return check_end();
}
