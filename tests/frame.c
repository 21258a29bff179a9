// frame.c - both ends of the pipeline: colours come out as asked for at the frame's own Y', luma stays, edges do not bleed, nothing
// outside the planes is touched.
#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "kernels/frame.h"
#include "kernels/frame_rows.h"
#include "kernels/lab_math.h"
#include "kernels/threads.h"

static uint32_t state = 1;
static float uniform(void)
{
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 16777216.f;
}

// ---- pictures with guards around every row ----

enum { GUARD = 64, GUARD_BYTE = 0xA5 };

struct picture { struct clz_frame f; uint8_t *bytes[3]; int rows[3], row_bytes[3]; };

static struct picture picture_new(const char *format, int w, int h, bool upside_down)
{
    struct picture p = { .f = { .format = clz_pixfmt_find(format), .width = w, .height = h, .range = CLZ_RANGE_LIMITED,
                                .matrix = CLZ_MATRIX_709, .siting = CLZ_SITING_LEFT } };

    for (int i = 0; i < p.f.format->planes; i++) {
        const int pw = i ? -(-w >> p.f.format->log2_chroma_w) : w;
        p.rows[i] = i ? -(-h >> p.f.format->log2_chroma_h) : h;
        p.row_bytes[i] = pw * (p.f.format->depth > 8 ? 2 : 1) * (i && p.f.format->flags & CLZ_PIXFMT_SEMIPLANAR ? 2 : 1);
        p.f.stride[i] = p.row_bytes[i] + GUARD;
        p.bytes[i] = malloc((size_t)p.f.stride[i] * p.rows[i] + GUARD);
        memset(p.bytes[i], GUARD_BYTE, (size_t)p.f.stride[i] * p.rows[i] + GUARD);
        p.f.data[i] = p.bytes[i] + GUARD;
        for (int r = 0; r < p.rows[i]; r++) memset(p.f.data[i] + r * p.f.stride[i], 0, p.row_bytes[i]);
        if (upside_down) {
            p.f.data[i] += (p.rows[i] - 1) * p.f.stride[i];
            p.f.stride[i] = -p.f.stride[i];
        }
    }
    return p;
}

static void picture_free(struct picture *p)
{
    for (int i = 0; i < 3; i++) free(p->bytes[i]);
}

static int guards_whole(const struct picture *p)
{
    for (int i = 0; i < p->f.format->planes; i++) {
        const size_t step = p->row_bytes[i] + GUARD;
        for (size_t k = 0; k < step * p->rows[i] + GUARD; k++)
            if ((k < GUARD || (k - GUARD) % step >= (size_t)p->row_bytes[i]) && p->bytes[i][k] != GUARD_BYTE) return 0;
    }
    return 1;
}

static int shift(const struct clz_pixfmt *f) { return f->flags & CLZ_PIXFMT_MSB ? 16 - f->depth : 0; }

static void set(struct clz_frame *f, int plane, int x, int y, int code)
{
    uint8_t *row = f->data[plane] + y * f->stride[plane];
    if (f->format->depth > 8) ((uint16_t *)row)[x] = (uint16_t)(code << shift(f->format));
    else row[x] = (uint8_t)code;
}

static int get(const struct clz_frame *f, int plane, int x, int y)      // plane 1, 2: U, V of any packing
{
    const bool semi = plane && f->format->flags & CLZ_PIXFMT_SEMIPLANAR;
    const int at = semi ? 2 * x + plane - 1 : x, from = semi ? 1 : plane;
    const uint8_t *row = f->data[from] + y * f->stride[from];
    return f->format->depth > 8 ? ((const uint16_t *)row)[at] >> shift(f->format) : row[at];
}

static double luma_of(const struct clz_frame *f, int code)
{
    const int eight = 1 << (f->format->depth - 8);
    return f->range == CLZ_RANGE_FULL ? code / (double)((1 << f->format->depth) - 1) : (code - 16 * eight) / (219. * eight);
}

static int code_of(const struct clz_frame *f, double y)
{
    const int eight = 1 << (f->format->depth - 8);
    return (int)lrint(f->range == CLZ_RANGE_FULL ? y * ((1 << f->format->depth) - 1) : y * 219 * eight + 16 * eight);
}

static double chroma_of(const struct clz_frame *f, int code)
{
    const int eight = 1 << (f->format->depth - 8);
    return (code - (1 << (f->format->depth - 1))) / (f->range == CLZ_RANGE_FULL ? (double)((1 << f->format->depth) - 1) : 224. * eight);
}

static void decode(const struct clz_frame *f, int x, int y, float rgb[3])
{
    static const struct clzk_luma_weights known[] = { CLZK_LUMA_709, CLZK_LUMA_601, CLZK_LUMA_709, CLZK_LUMA_2020 };
    const struct clzk_luma_weights k = known[f->matrix];
    const double yy = luma_of(f, get(f, 0, x, y)), u = chroma_of(f, get(f, 1, x >> f->format->log2_chroma_w, y >> f->format->log2_chroma_h));
    const double v = chroma_of(f, get(f, 2, x >> f->format->log2_chroma_w, y >> f->format->log2_chroma_h));
    rgb[0] = (float)(yy + 2 * (1 - k.kr) * v);
    rgb[2] = (float)(yy + 2 * (1 - k.kb) * u);
    rgb[1] = (float)((yy - k.kr * rgb[0] - k.kb * rgb[2]) / (1 - k.kr - k.kb));
}

static void colour(const struct picture *in, struct picture *out, int w, int h, const float *ab, float gain, enum clz_luma luma)
{
    struct clzk_frame_plan *plan = NULL;
    float *y = malloc(sizeof *y * w * h), *l = malloc(sizeof *l * w * h);

    REQUIRE_INT(clzk_frame_plan_create(&plan, &in->f, &out->f, w, h, luma), 0);
    clzk_frame_to_l(plan, &in->f, y, l, 50, 1);
    clzk_frame_merge(plan, &in->f, &out->f, y, ab, gain);
    clzk_frame_plan_destroy(&plan);
    free(y), free(l);
}

// ---- tests ----

static void solver(void)
{
    double worst = 0;

    CASE("frame/solved_chroma_has_the_asked_ab_at_that_luma");
    for (int i = 0; i < 4000; i++) {
        const float rgb[3] = { uniform(), uniform(), uniform() };
        const enum clz_matrix m = CLZ_MATRIX_601 + i % 3;
        static const struct clzk_luma_weights known[] = { CLZK_LUMA_709, CLZK_LUMA_601, CLZK_LUMA_709, CLZK_LUMA_2020 };
        const struct clzk_luma_weights k = known[m];
        const float y = k.kr * rgb[0] + (1 - k.kr - k.kb) * rgb[1] + k.kb * rgb[2];
        float lab[3], uv[2];
        clzk_rgb_to_lab(rgb, lab);
        clzk_chroma_solve(m, y, lab[1], lab[2], uv);
        worst = fmax(worst, fmax(fabs(uv[0] - (rgb[2] - y) / (2 * (1 - k.kb))), fabs(uv[1] - (rgb[0] - y) / (2 * (1 - k.kr)))));
    }
    printf("     worst error of U, V %.1e\n", worst);
    REQUIRE(worst < 2e-4);
}

// Constant ab over random luma: every pixel of the answer has that ab, or the most of it that R'G'B' can show.
static void constant(const char *format, enum clz_range range, enum clz_matrix matrix)
{
    struct picture in = picture_new(format, 61, 37, false), out = picture_new(format, 61, 37, false);
    float ab[2 * 20 * 12];
    double worst = 0, sum = 0;
    int compared = 0;
    char name[96];

    snprintf(name, sizeof name, "frame/constant_ab_%s_%s_%d", format, range == CLZ_RANGE_FULL ? "full" : "limited", matrix);
    CASE(name);
    in.f.range = out.f.range = range;
    in.f.matrix = out.f.matrix = matrix;
    for (int y = 0; y < 37; y++)
        for (int x = 0; x < 61; x++) set(&in.f, 0, x, y, code_of(&in.f, 0.25 + 0.5 * uniform()));
    for (int i = 0; i < 240; i++) ab[i] = 18.f / 110, ab[240 + i] = -27.f / 110;
    colour(&in, &out, 20, 12, ab, 110, CLZ_LUMA_COPY);
    for (int y = 0; y < 37; y++)
        for (int x = 0; x < 61; x++) {
            float rgb[3], lab[3];
            decode(&out.f, x, y, rgb);
            clzk_rgb_to_lab(rgb, lab);
            REQUIRE(get(&out.f, 0, x, y) == get(&in.f, 0, x, y));
            if (out.f.format->log2_chroma_w) continue;      // subsampled chroma belongs to several pixels
            worst = fmax(worst, hypot(lab[1] - 18, lab[2] + 27));
            sum += hypot(lab[1] - 18, lab[2] + 27);
            compared++;
        }
    REQUIRE(guards_whole(&in) && guards_whole(&out));
    if (compared) printf("     ab off by %.2f on average, %.2f at worst\n", sum / compared, worst);
    if (compared) REQUIRE(sum / compared < (out.f.format->depth == 8 ? 0.45 : 0.3) && worst < 1.1);
    picture_free(&in), picture_free(&out);
}

static void sizes(void)
{
    CASE("frame/every_size_stays_within_its_planes");
    for (int i = 0; i < 400; i++) {
        static const char *const formats[] = { "yuv420p", "yuv422p10", "yuv444p16", "nv12", "p010", "yuvj420p", "gray", "gray12" };
        static const char *const outs[] = { "yuv420p", "yuv422p10", "yuv444p16", "nv12", "p010", "yuvj420p", "yuv422p", "yuv420p12" };
        const int k = i % 8, w = 1 + (int)(uniform() * (i % 3 ? 20 : 200)), h = 1 + (int)(uniform() * (i % 5 ? 20 : 150));
        const int sw = 1 + (int)(uniform() * 40), sh = 1 + (int)(uniform() * 40);
        struct picture in = picture_new(formats[k], w, h, i & 1), out = picture_new(outs[k], w, h, i & 2);
        float *ab = malloc(sizeof *ab * sw * sh * 2);
        in.f.siting = out.f.siting = CLZ_SITING_LEFT + i % 3;
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) set(&in.f, 0, x, y, (int)(uniform() * ((1 << in.f.format->depth) - 1)));
        for (int n = 0; n < sw * sh * 2; n++) ab[n] = 300 * uniform() - 150;
        colour(&in, &out, sw, sh, ab, 1, i % 10 == 9 ? CLZ_LUMA_LSTAR : CLZ_LUMA_COPY);
        REQUIRE(guards_whole(&in) && guards_whole(&out));
        for (int y = 0; y < h && i % 10 != 9; y++)
            for (int x = 0; x < w; x++) REQUIRE(get(&in.f, 0, x, y) == get(&out.f, 0, x, y));
        free(ab);
        picture_free(&in), picture_free(&out);
    }
}

static void grey(void)
{
    CASE("frame/no_colour_is_exactly_neutral");
    for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++) {
        struct picture in, out;
        float ab[2 * 64] = {0};
        if (f->flags & CLZ_PIXFMT_GRAY) continue;
        in = picture_new(f->name, 16, 16, false), out = picture_new(f->name, 16, 16, false);
        for (int i = 0; i < 256; i++) set(&in.f, 0, i % 16, i / 16, (int)(uniform() * ((1 << f->depth) - 1)));
        colour(&in, &out, 8, 8, ab, 110, CLZ_LUMA_COPY);
        for (int y = 0; y < 16 >> f->log2_chroma_h; y++)
            for (int x = 0; x < 16 >> f->log2_chroma_w; x++)
                REQUIRE(get(&out.f, 1, x, y) == 1 << (f->depth - 1) && get(&out.f, 2, x, y) == 1 << (f->depth - 1));
        picture_free(&in), picture_free(&out);
    }
}

// luma=lstar: L* of the answer is L* of the input; black and white stay, a ramp stays a ramp of as many levels.
static void lstar(const char *from, const char *to)
{
    enum { SPAN = 1024 };
    struct picture in = picture_new(from, SPAN, 4, false), out = picture_new(to, SPAN, 4, false);
    const int top = (1 << in.f.format->depth) - 1, wide = top < SPAN - 1 ? top : SPAN - 1;
    float ab[2 * 64] = { 0 };
    double worst = 0, sum = 0;
    int levels = 0, ramp = 0, last = -1;
    char name[96];

    snprintf(name, sizeof name, "frame/lstar_%s_to_%s", from, to);
    CASE(name);
    in.f.range = out.f.range = CLZ_RANGE_FULL;
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < SPAN; x++) set(&in.f, 0, x, y, x < wide ? (int)((int64_t)x * top / wide) : top);
    colour(&in, &out, 16, 2, ab, 1, CLZ_LUMA_LSTAR);
    for (int x = 0; x < SPAN; x++) REQUIRE_INT(get(&out.f, 0, x, 1), get(&in.f, 0, x, 1));     // no colour: no change

    for (int i = 0; i < 32; i++) ab[i] = 25, ab[32 + i] = -35;
    colour(&in, &out, 16, 2, ab, 1, CLZ_LUMA_LSTAR);
    REQUIRE(guards_whole(&in) && guards_whole(&out));
    REQUIRE_INT(get(&out.f, 0, 0, 1), 0);
    REQUIRE_INT(get(&out.f, 0, SPAN - 1, 1), top);
    for (int x = 0; x < SPAN; x++) {
        const int code = get(&out.f, 0, x, 1);
        float rgb[3], lab[3];
        REQUIRE(code >= last);
        levels += code > last;
        ramp += !x || get(&in.f, 0, x, 1) > get(&in.f, 0, x - 1, 1);
        last = code;
        if (out.f.format->log2_chroma_w || x < 64 || x > SPAN - 64) continue;    // in the darks a code is a large step of L*
        decode(&out.f, x, 1, rgb);
        clzk_rgb_to_lab(rgb, lab);
        worst = fmax(worst, fabs(lab[0] - clzk_luma_to_l((float)luma_of(&in.f, get(&in.f, 0, x, 1)))));
        sum = fmax(sum, hypot(lab[1], lab[2]));
    }
    printf("     %d levels of %d, L* off by %.2f at worst, colour up to %.0f\n", levels, ramp, worst, sum);
    REQUIRE(levels > ramp * 0.85);
    REQUIRE(worst < (out.f.format->depth == 8 ? 0.7 : 0.3));
    if (!out.f.format->log2_chroma_w) REQUIRE(sum > 40);
    picture_free(&in), picture_free(&out);
}

static void input(void)
{
    struct picture in = picture_new("yuv420p", 64, 48, false);
    struct clzk_frame_plan *plan = NULL;
    float y[16 * 12], l[16 * 12];
    double worst = 0;

    CASE("frame/the_network_sees_L_of_the_mean_luma");
    for (int r = 0; r < 48; r++)
        for (int x = 0; x < 64; x++) set(&in.f, 0, x, r, 16 + (x * 5 + r * 3) % 220);
    REQUIRE_INT(clzk_frame_plan_create(&plan, &in.f, &in.f, 16, 12, CLZ_LUMA_COPY), 0);
    clzk_frame_to_l(plan, &in.f, y, l, 50, 1);
    for (int r = 0; r < 12; r++)
        for (int x = 0; x < 16; x++) {
            double sum = 0;
            for (int k = 0; k < 16; k++) sum += luma_of(&in.f, get(&in.f, 0, 4 * x + k % 4, 4 * r + k / 4)) / 16;
            worst = fmax(worst, fabs(l[r * 16 + x] - (clzk_luma_to_l((float)sum) / 50 - 1)));
        }
    printf("     worst error %.1e\n", worst);
    REQUIRE(worst < 2e-5);
    clzk_frame_plan_destroy(&plan);
    picture_free(&in);
}

// Two flat halves, dark red and bright blue, with colour blurred over 8 pixels of the small picture between them.
static void edge(void)
{
    enum { W = 256, H = 64, SW = 64, SH = 16 };
    struct picture in = picture_new("yuv444p", W, H, false), out = picture_new("yuv444p", W, H, false);
    float ab[2 * SW * SH];
    int wrong = 0, wrong_bilinear = 0;

    CASE("frame/colour_does_not_bleed_over_an_edge");
    for (int y = 0; y < H; y++)
        for (int x = 0; x < W; x++) set(&in.f, 0, x, y, x < W / 2 ? 80 : 170);
    for (int i = 0; i < SW * SH; i++) {
        const double t = fmin(1, fmax(0, (i % SW - (SW / 2 - 4)) / 8.));
        ab[i] = (float)(30 - 40 * t), ab[SW * SH + i] = (float)(25 - 55 * t);
    }
    colour(&in, &out, SW, SH, ab, 1, CLZ_LUMA_COPY);
    for (int x = 0; x < W; x++) {
        float rgb[3], lab[3];
        const double t = fmin(1, fmax(0, ((x + 0.5) / 4 - 0.5 - (SW / 2 - 4)) / 8.)), want = x < W / 2 ? 30 : -10;
        decode(&out.f, x, H / 2, rgb);
        clzk_rgb_to_lab(rgb, lab);
        wrong += fabs(lab[1] - want) > 10;
        wrong_bilinear += fabs(30 - 40 * t - want) > 10;
    }
    printf("     pixels more than a quarter off: %d, bilinear %d\n", wrong, wrong_bilinear);
    REQUIRE(wrong * 3 <= wrong_bilinear && wrong_bilinear >= 12);
    picture_free(&in), picture_free(&out);
}

// A ramp of colour along x: each siting's samples take it where they lie.
static void siting(void)
{
    enum { W = 128, SW = 32 };
    static const double offset[3] = { 0.5, 1, 0.5 };            // left, centre, topleft: of chroma column 0, in pixels
    float ab[2 * SW * 8];

    CASE("frame/chroma_lies_where_its_siting_says");
    for (int i = 0; i < SW * 8; i++) ab[i] = i % SW, ab[SW * 8 + i] = 0;
    for (int s = 0; s < 3; s++) {
        struct picture in = picture_new("yuv420p16", W, 32, false);
        double worst = 0;
        in.f.siting = CLZ_SITING_LEFT + s;
        for (int y = 0; y < 32; y++)
            for (int x = 0; x < W; x++) set(&in.f, 0, x, y, code_of(&in.f, 0.5));
        colour(&in, &in, SW, 8, ab, 1, CLZ_LUMA_COPY);
        for (int x = 8; x < W / 2 - 8; x++) {
            const float want = (float)((2 * x + offset[s]) / 4 - 0.5);
            float uv[2];
            clzk_chroma_solve(CLZ_MATRIX_709, 0.5f, want, 0, uv);
            worst = fmax(worst, fabs(chroma_of(&in.f, get(&in.f, 2, x, 8)) - uv[1]));
        }
        printf("     siting %d: V off by %.5f\n", s, worst);
        REQUIRE(worst < 6e-4);                                  // a quarter of a pixel would be 0.0011
        picture_free(&in);
    }
}

static uint64_t hash(const struct picture *p)
{
    uint64_t h = 1469598103934665603u;
    for (int i = 0; i < p->f.format->planes; i++)
        for (int k = 0; k < (p->row_bytes[i] + GUARD) * p->rows[i]; k++) h = (h ^ p->bytes[i][k]) * 1099511628211u;
    return h;
}

static void threads(void)
{
    uint64_t want = 0;
    float ab[2 * 50 * 30];

    CASE("frame/same_bits_for_any_number_of_threads");
    for (int i = 0; i < 3000; i++) ab[i] = 80 * uniform() - 40;
    for (int n = 1; n <= 5; n++) {
        struct picture p = picture_new("yuv420p", 201, 133, false);
        for (int y = 0; y < 133; y++)
            for (int x = 0; x < 201; x++) set(&p.f, 0, x, y, 16 + (x * 7 + y * 13 + x * y) % 220);
        clzk_set_threads(n);
        colour(&p, &p, 50, 30, ab, 1, CLZ_LUMA_COPY);
        if (n == 1) want = hash(&p);
        REQUIRE(hash(&p) == want);
        picture_free(&p);
    }
    clzk_set_threads(2);
}

// ---- a picture to look at: `frame picture OUT.ppm`, from top to bottom the scene, bilinear enlargement of its small colours, ours ----

enum { SCENE_W = 480, SCENE_H = 200, SMALL_W = 96, SMALL_H = 40 };

// Y', a*, b* of a scene with round, thin, slanted and textured things before a sky.
static void scene(int x, int y, float *luma, float ab[2])
{
    static const struct { float luma, a, b; } sky = { 0.7f, -4, -24 }, ball = { 0.35f, 55, 40 }, grass = { 0.45f, -35, 38 },
                                              pole = { 0.2f, 8, 14 }, sun = { 0.87f, 2, 45 };
    const float dx = x - 120.f, dy = y - 95.f, sx = x - 390.f, sy = y - 45.f;
    float l = sky.luma + 0.0006f * y, a = sky.a, b = sky.b;

    if (sx * sx + sy * sy < 24 * 24) l = sun.luma, a = sun.a, b = sun.b;
    if (y > 140 + 12 * sin(x * 0.05) + 6 * sin(x * 0.9)) l = grass.luma + 0.08f * (float)sin(x * 1.3 + y), a = grass.a, b = grass.b;
    if (abs(x - 250 - (y - 100) / 6) < 3 || (y > 60 && (x + y) % 45 < 4 && x > 270 && x < 345 && y < 130)) l = pole.luma, a = pole.a, b = pole.b;
    if (dx * dx + dy * dy < 60 * 60) l = ball.luma + 0.15f * -dx / 60, a = ball.a, b = ball.b;
    *luma = l, ab[0] = a, ab[1] = b;
}

static void put_pixel(FILE *file, float y, const float ab[2])
{
    const struct clzk_luma_weights k = CLZK_LUMA_709;
    float uv[2], rgb[3];

    clzk_chroma_solve(CLZ_MATRIX_709, y, ab[0], ab[1], uv);
    rgb[0] = y + 2 * (1 - k.kr) * uv[1];
    rgb[2] = y + 2 * (1 - k.kb) * uv[0];
    rgb[1] = (y - k.kr * rgb[0] - k.kb * rgb[2]) / (1 - k.kr - k.kb);
    for (int i = 0; i < 3; i++) fputc((int)(fminf(1, fmaxf(0, rgb[i])) * 255 + 0.5f), file);
}

// A small plane of colours at (x, y) of the scene, between its pixels.
static float between(const float *small, int x, int y)
{
    const float fx = fminf(SMALL_W - 1, fmaxf(0, (x + 0.5f) * SMALL_W / SCENE_W - 0.5f));
    const float fy = fminf(SMALL_H - 1, fmaxf(0, (y + 0.5f) * SMALL_H / SCENE_H - 0.5f));
    const int ix = fx < SMALL_W - 2 ? (int)fx : SMALL_W - 2, iy = fy < SMALL_H - 2 ? (int)fy : SMALL_H - 2;
    const float *p = small + iy * SMALL_W + ix, tx = fx - ix, ty = fy - iy;
    return (1 - ty) * ((1 - tx) * p[0] + tx * p[1]) + ty * ((1 - tx) * p[SMALL_W] + tx * p[SMALL_W + 1]);
}

static int draw(const char *path)
{
    enum { CELL = SCENE_W / SMALL_W, REACH = 1 };               // colours of a network that blurs by a pixel
    static float small[2 * SMALL_W * SMALL_H];
    struct picture in = picture_new("yuv444p", SCENE_W, SCENE_H, false), out = picture_new("yuv444p", SCENE_W, SCENE_H, false);
    FILE *file = fopen(path, "wb");
    float luma, ab[2], rgb[3];

    if (!file) return 1;
    for (int i = 0; i < SMALL_W * SMALL_H; i++)
        for (int k = 0; k < (2 * REACH + 1) * (2 * REACH + 1) * CELL * CELL; k++) {
            const int side = (2 * REACH + 1) * CELL, x = (i % SMALL_W - REACH) * CELL + k % side, y = (i / SMALL_W - REACH) * CELL + k / side;
            scene(x < 0 ? 0 : x < SCENE_W ? x : SCENE_W - 1, y < 0 ? 0 : y < SCENE_H ? y : SCENE_H - 1, &luma, ab);
            small[i] += ab[0] / (side * side), small[SMALL_W * SMALL_H + i] += ab[1] / (side * side);
        }
    fprintf(file, "P6 %d %d 255\n", SCENE_W, 3 * SCENE_H);
    for (int what = 0; what < 2; what++)
        for (int i = 0; i < SCENE_W * SCENE_H; i++) {
            const int x = i % SCENE_W, y = i / SCENE_W;
            scene(x, y, &luma, ab);
            set(&in.f, 0, x, y, code_of(&in.f, luma));
            if (what) ab[0] = between(small, x, y), ab[1] = between(small + SMALL_W * SMALL_H, x, y);
            put_pixel(file, luma, ab);
        }
    colour(&in, &out, SMALL_W, SMALL_H, small, 1, CLZ_LUMA_COPY);
    for (int i = 0; i < SCENE_W * SCENE_H; i++) {
        decode(&out.f, i % SCENE_W, i / SCENE_W, rgb);
        for (int c = 0; c < 3; c++) fputc((int)(fminf(1, fmaxf(0, rgb[c])) * 255 + 0.5f), file);
    }
    picture_free(&in), picture_free(&out);
    return fclose(file) != 0;
}

int main(int argc, char **argv)
{
    static const char *const formats[] = { "yuv444p", "yuv444p10", "yuv444p16", "yuv420p", "nv12" };
    if (argc == 3 && !strcmp(argv[1], "picture")) return draw(argv[2]);
    solver();
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        for (int m = CLZ_MATRIX_601; m <= CLZ_MATRIX_2020; m++) constant(formats[i], i & 1 ? CLZ_RANGE_FULL : CLZ_RANGE_LIMITED, m);
    grey();
    lstar("yuv444p", "yuv444p");
    lstar("yuv444p10", "yuv444p10");
    lstar("gray16", "yuv444p16");
    lstar("yuv420p12", "yuv420p12");
    input();
    siting();
    edge();
    threads();
    sizes();
    return check_end();
}
