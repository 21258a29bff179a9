// frame.c - tests of kernels/frame.h: the output has the requested a* and b* at the frame's own Y', luma is kept, colour does not
// bleed over edges, and no byte outside the planes is written.
#include <stdbool.h>
#include <string.h>

#include "check.h"
#include "engine/pixfmt.h"
#include "kernels/fnv.h"
#include "kernels/frame_rows.h"
#include "kernels/lab_math.h"
#include "kernels/threads.h"

static const struct clzk_luma_weights weights_709 = CLZK_LUMA_709;

static uint32_t state = 1;
static float uniform(void)
{
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 16777216.f;
}

// ---- pictures with guard bytes around every row ----

enum { GUARD = 64, GUARD_BYTE = 0xA5 };

struct picture { struct clz_frame f; uint8_t *bytes[4]; int rows[4], row_bytes[4]; };

static struct picture picture_new(const char *format, int w, int h, bool upside_down)
{
    struct picture p = { .f = { .format = clz_pixfmt_find(format), .width = w, .height = h, .range = CLZ_RANGE_LIMITED,
                                .matrix = CLZ_MATRIX_709, .siting = CLZ_SITING_LEFT } };

    for (int i = 0; i < p.f.format->planes; i++) {
        p.rows[i] = clz_pixfmt_rows(p.f.format, i, h);
        p.row_bytes[i] = (int)clz_pixfmt_row_bytes(p.f.format, i, w);
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
    for (int i = 0; i < 4; i++) free(p->bytes[i]);
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

static uint64_t hash(const struct picture *p)
{
    uint64_t h = CLZK_FNV1A_BASIS;
    for (int i = 0; i < p->f.format->planes; i++)
        h = clzk_fnv1a(h, p->bytes[i], (size_t)(p->row_bytes[i] + GUARD) * p->rows[i]);
    return h;
}

static int shift(const struct clz_pixfmt *f) { return f->flags & CLZ_PIXFMT_MSB ? 16 - f->depth : 0; }

static uint16_t swapped(const struct clz_pixfmt *f, unsigned v)
{
    return (uint16_t)(f->flags & CLZ_PIXFMT_SWAPPED ? v << 8 | v >> 8 : v);
}

// component: 0 to 3 for Y U V A or R G B A
static void set(struct clz_frame *f, int component, int x, int y, int code)
{
    const struct clz_samples *s = &f->format->samples[component];
    uint8_t *row = f->data[s->plane] + y * f->stride[s->plane];
    if (f->format->depth > 8)
        ((uint16_t *)row)[s->offset + x * s->step] = swapped(f->format, (uint16_t)(code << shift(f->format)));
    else row[s->offset + x * s->step] = (uint8_t)code;
}

static int get(const struct clz_frame *f, int component, int x, int y)
{
    const struct clz_samples *s = &f->format->samples[component];
    const uint8_t *row = f->data[s->plane] + y * f->stride[s->plane];
    const int at = s->offset + x * s->step;
    return f->format->depth > 8 ? swapped(f->format, ((const uint16_t *)row)[at]) >> shift(f->format) : row[at];
}

static void fill_noise(struct picture *p)
{
    for (int i = 0; i < 4; i++)
        for (int y = 0; p->f.format->samples[i].step && y < p->f.height; y++)
            for (int x = 0; x < p->f.width; x++) {
                if (i && i < 3 && !(p->f.format->flags & CLZ_PIXFMT_RGB)) continue;
                set(&p->f, i, x, y, (int)(uniform() * ((1 << p->f.format->depth) - 1) + 0.5f));
            }
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
    return (code - (1 << (f->format->depth - 1))) /
           (f->range == CLZ_RANGE_FULL ? (double)((1 << f->format->depth) - 1) : 224. * eight);
}

static void decode(const struct clz_frame *f, int x, int y, float rgb[3])
{
    static const struct clzk_luma_weights known[] = { CLZK_LUMA_709, CLZK_LUMA_601, CLZK_LUMA_709, CLZK_LUMA_2020 };
    const struct clzk_luma_weights k = known[f->matrix];
    const double yy = luma_of(f, get(f, 0, x, y));
    const double u = chroma_of(f, get(f, 1, x >> f->format->log2_chroma_w, y >> f->format->log2_chroma_h));
    const double v = chroma_of(f, get(f, 2, x >> f->format->log2_chroma_w, y >> f->format->log2_chroma_h));
    rgb[0] = (float)(yy + 2 * (1 - k.kr) * v);
    rgb[2] = (float)(yy + 2 * (1 - k.kb) * u);
    rgb[1] = (float)((yy - k.kr * rgb[0] - k.kb * rgb[2]) / (1 - k.kr - k.kb));
}

// L*a*b* of components R', G', B' of f's colour space, SDR.
static void to_lab(const struct clz_frame *f, const float rgb[3], float lab[3])
{
    float l[3];

    for (int i = 0; i < 3; i++) l[i] = clzk_srgb_to_linear(rgb[i]);
    if (f->matrix == CLZ_MATRIX_2020) {     // ITU-R BT.2407: to BT.709's primaries
        const float r = l[0], g = l[1], b = l[2];
        l[0] = 1.660491f * r - 0.587641f * g - 0.072850f * b;
        l[1] = -0.124550f * r + 1.132900f * g - 0.008349f * b;
        l[2] = -0.018151f * r - 0.100579f * g + 1.118730f * b;
    }
    clzk_linear_to_lab(l, lab);
}

// The colour table for f's matrix; each table is created once and kept until the program ends.
static const struct clzk_colour_table *colours_of(const struct clz_frame *f, bool lstar)
{
    static struct clzk_colour_table *made[16];
    const struct clzk_colour_space space = clzi_colour_space(f);
    int i = 0;

    while (made[i] && (memcmp(&made[i]->space, &space, sizeof space) || made[i]->lstar != lstar)) i++;
    if (!made[i]) REQUIRE_INT(clzk_colour_table_create(&made[i], &space, lstar), 0);
    return made[i];
}

static void colour(const struct picture *in, struct picture *out, int w, int h, const float *ab, float gain, enum clz_luma luma)
{
    const struct clzk_picture from = clzi_picture(&in->f), to = clzi_picture(&out->f);
    struct clzk_frame_plan *plan = NULL;
    float *y = malloc(sizeof *y * w * h), *l = malloc(sizeof *l * w * h);

    REQUIRE_INT(clzk_frame_plan_create(&plan, &from, &to, w, h, colours_of(&out->f, luma == CLZ_LUMA_LSTAR)), 0);
    clzk_frame_to_l(plan, &from, y, l, 50, 1);
    clzk_frame_merge(plan, &from, &to, y, ab, gain);
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
        clzk_chroma_solve(&(struct clzk_colour_space){ .weights = k }, y, lab[1], lab[2], uv);
        worst = fmax(worst, fmax(fabs(uv[0] - (rgb[2] - y) / (2 * (1 - k.kb))), fabs(uv[1] - (rgb[0] - y) / (2 * (1 - k.kr)))));
    }
    printf("     worst error of U, V %.1e\n", worst);
    REQUIRE(worst < 2e-4);
}

// Constant ab over random luma: every pixel of the output has this ab, or as much of it as the gamut of R'G'B' allows.
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
            to_lab(&out.f, rgb, lab);
            REQUIRE(get(&out.f, 0, x, y) == get(&in.f, 0, x, y));
            if (out.f.format->log2_chroma_w) continue;      // a subsampled chroma sample covers several pixels
            worst = fmax(worst, hypot(lab[1] - 18, lab[2] + 27));
            sum += hypot(lab[1] - 18, lab[2] + 27);
            compared++;
        }
    REQUIRE(guards_whole(&in) && guards_whole(&out));
    if (compared) printf("     ab off by %.2f on average, %.2f at worst\n", sum / compared, worst);
    // A code of 8 bits is a larger step between BT.2020's primaries: 0.59 on average, 1.13 at worst.
    if (compared) REQUIRE(sum / compared < (out.f.format->depth > 8 ? 0.3 : matrix == CLZ_MATRIX_2020 ? 0.7 : 0.45));
    if (compared) REQUIRE(worst < (matrix == CLZ_MATRIX_2020 ? 1.3 : 1.1));
    picture_free(&in), picture_free(&out);
}

// ITU-R BT.2100, tables 4 and 5, written out here on purpose: light of a component, diffuse white (203 cd/m2, 75 % of HLG) is 1.
static double light_of(enum clz_transfer transfer, double c)
{
    if (transfer == CLZ_TRANSFER_PQ) {
        const double p = pow(c, 1 / 78.84375);
        return 10000 / 203. * pow(fmax(p - 0.8359375, 0) / (18.8515625 - 18.6875 * p), 1 / 0.1593017578125);
    }
    return pow((c <= 0.5 ? c * c / 3 : (exp((c - 0.55991073) / 0.17883277) + 0.28466892) / 12) / 0.26496256, 1.2);
}

// The L* that the network sees, and constant ab over luma of HDR: every pixel of the output has this ab as BT.2020 light.
static void hdr(enum clz_transfer transfer)
{
    struct picture in = picture_new("yuv444p16", 61, 37, false), out = picture_new("yuv444p16", 61, 37, false);
    float ab[2 * 20 * 12], *y_ = malloc(61 * 37 * sizeof *y_), *l = malloc(61 * 37 * sizeof *l);
    const double white = transfer == CLZ_TRANSFER_PQ ? 0.580689 : 0.75;
    struct clzk_frame_plan *plan = NULL;
    struct clzk_picture from;
    double worst = 0, worst_l = 0;
    char name[64];

    snprintf(name, sizeof name, "frame/hdr_%s", transfer == CLZ_TRANSFER_PQ ? "pq" : "hlg");
    CASE(name);
    in.f.range = out.f.range = CLZ_RANGE_LIMITED;
    in.f.matrix = out.f.matrix = CLZ_MATRIX_2020;
    in.f.transfer = out.f.transfer = transfer;
    for (int y = 0; y < 37; y++)
        for (int x = 0; x < 61; x++) set(&in.f, 0, x, y, code_of(&in.f, 0.35 + 0.35 * (x * 37 + y) / (61 * 37)));
    from = clzi_picture(&in.f);
    REQUIRE_INT(clzk_frame_plan_create(&plan, &from, &from, 61, 37, colours_of(&in.f, false)), 0);
    clzk_frame_to_l(plan, &from, y_, l, 1, 0);
    clzk_frame_plan_destroy(&plan);
    for (int i = 0; i < 61 * 37; i++) {
        const double light = light_of(transfer, luma_of(&in.f, get(&in.f, 0, i % 61, i / 61)));
        const double want = fmin(116 * (light > 0.008856 ? cbrt(light) : 7.787 * light + 16. / 116) - 16, 101);
        worst_l = fmax(worst_l, fabs(l[i] - want));
    }
    set(&in.f, 0, 0, 0, code_of(&in.f, white));
    REQUIRE(fabs(light_of(transfer, luma_of(&in.f, get(&in.f, 0, 0, 0))) - 1) < 1e-3);
    for (int i = 0; i < 240; i++) ab[i] = 18.f / 110, ab[240 + i] = -27.f / 110;
    colour(&in, &out, 20, 12, ab, 110, CLZ_LUMA_COPY);
    for (int i = 0; i < 61 * 37; i++) {
        const struct clzk_luma_weights k = CLZK_LUMA_2020;
        const double yy = luma_of(&out.f, get(&out.f, 0, i % 61, i / 61));
        const double r_ = yy + 2 * (1 - k.kr) * chroma_of(&out.f, get(&out.f, 2, i % 61, i / 61));
        const double b_ = yy + 2 * (1 - k.kb) * chroma_of(&out.f, get(&out.f, 1, i % 61, i / 61));
        const double r = light_of(transfer, r_), b = light_of(transfer, b_);
        const double g = light_of(transfer, (yy - k.kr * r_ - k.kb * b_) / (1 - k.kr - k.kb));
        const float linear[3] = { (float)(1.660491 * r - 0.587641 * g - 0.072850 * b),      // as in to_lab()
                                  (float)(-0.124550 * r + 1.132900 * g - 0.008349 * b),
                                  (float)(-0.018151 * r - 0.100579 * g + 1.118730 * b) };
        float lab[3];
        clzk_linear_to_lab(linear, lab);
        REQUIRE(get(&out.f, 0, i % 61, i / 61) == get(&in.f, 0, i % 61, i / 61));
        worst = fmax(worst, hypot(lab[1] - 18, lab[2] + 27));
    }
    printf("     L* off by %.4f, ab by %.2f at worst\n", worst_l, worst);
    REQUIRE(worst_l < 0.02 && worst < 1.5);
    free(y_), free(l);
    picture_free(&in), picture_free(&out);
}

static void sizes(void)
{
    CASE("frame/every_size_stays_within_its_planes");
    for (int i = 0; i < 400; i++) {
        static const char *const formats[] = {
            "yuv420p", "yuv422p10", "yuv444p16", "nv12", "p010", "yuvj420p", "gray", "gray12", "rgb24", "rgba64be", "ya16be",
            "yuva420p9", "gbrp14",
        };
        static const char *const outs[] = {
            "yuv420p", "yuv422p10", "yuv444p16", "nv12", "p010", "yuvj420p", "yuv422p", "yuv420p12", "rgb24", "rgba64be",
            "yuva444p16", "yuva420p9", "gbrp14",
        };
        const int k = i % 13, w = 1 + (int)(uniform() * (i % 3 ? 20 : 200)), h = 1 + (int)(uniform() * (i % 5 ? 20 : 150));
        const int sw = 1 + (int)(uniform() * 40), sh = 1 + (int)(uniform() * 40);
        struct picture in = picture_new(formats[k], w, h, i & 1), out = picture_new(outs[k], w, h, i & 2);
        float *ab = malloc(sizeof *ab * sw * sh * 2);
        in.f.siting = out.f.siting = CLZ_SITING_LEFT + i % 3;
        if (out.f.format->flags & CLZ_PIXFMT_FULL) in.f.range = out.f.range = CLZ_RANGE_FULL;
        fill_noise(&in);
        for (int n = 0; n < sw * sh * 2; n++) ab[n] = 300 * uniform() - 150;
        colour(&in, &out, sw, sh, ab, 1, i % 10 == 9 ? CLZ_LUMA_LSTAR : CLZ_LUMA_COPY);
        REQUIRE(guards_whole(&in) && guards_whole(&out));
        for (int y = 0; y < h && i % 10 != 9 && !(in.f.format->flags & CLZ_PIXFMT_RGB); y++)
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
                if (f->flags & CLZ_PIXFMT_RGB)
                    REQUIRE(get(&out.f, 1, x, y) == get(&out.f, 0, x, y) && get(&out.f, 2, x, y) == get(&out.f, 0, x, y));
                else
                    REQUIRE(get(&out.f, 1, x, y) == 1 << (f->depth - 1) && get(&out.f, 2, x, y) == 1 << (f->depth - 1));
        picture_free(&in), picture_free(&out);
    }
}

// Y' of a pixel, in code values of full range.
static double luma_code(const struct clz_frame *f, int x, int y)
{
    static const struct clzk_luma_weights known[] = { CLZK_LUMA_709, CLZK_LUMA_601, CLZK_LUMA_709, CLZK_LUMA_2020 };
    const struct clzk_luma_weights k = known[f->matrix];
    if (!(f->format->flags & CLZ_PIXFMT_RGB)) return luma_of(f, get(f, 0, x, y)) * ((1 << f->format->depth) - 1);
    return k.kr * get(f, 0, x, y) + (1. - k.kr - k.kb) * get(f, 1, x, y) + k.kb * get(f, 2, x, y);
}

// For every RGB format: a scan that is not quite neutral keeps its luma and its fourth component and gets the requested colour.
static void rgb(void)
{
    for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++) {
        enum { W = 53, H = 21 };
        const double max = (1 << f->depth) - 1;
        double off = 0, worst = 0, sum = 0;
        int fourth = 0;
        float ab[2 * 20 * 12];
        struct picture in, out;
        char name[96];

        if (!(f->flags & CLZ_PIXFMT_RGB)) continue;
        snprintf(name, sizeof name, "frame/rgb_%s", f->name);
        CASE(name);
        in = picture_new(f->name, W, H, false), out = picture_new(f->name, W, H, true);
        in.f.matrix = out.f.matrix = CLZ_MATRIX_601 + (int)(f->name[0] + f->depth) % 3;
        fill_noise(&in);
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                const double grey = 0.3 + 0.4 * uniform();
                for (int c = 0; c < 3; c++) set(&in.f, c, x, y, (int)(max * (grey + 0.03 * uniform())));
            }
        for (int i = 0; i < 240; i++) ab[i] = 18, ab[240 + i] = -27;
        colour(&in, &out, 20, 12, ab, 1, CLZ_LUMA_COPY);
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++) {
                const float pixel[3] = { (float)(get(&out.f, 0, x, y) / max), (float)(get(&out.f, 1, x, y) / max),
                                         (float)(get(&out.f, 2, x, y) / max) };
                float lab[3];
                off = fmax(off, fabs(luma_code(&out.f, x, y) - luma_code(&in.f, x, y)));
                to_lab(&out.f, pixel, lab);
                worst = fmax(worst, hypot(lab[1] - 18, lab[2] + 27));
                sum += hypot(lab[1] - 18, lab[2] + 27) / (W * H);
                if (f->samples[3].step) fourth += get(&out.f, 3, x, y) != get(&in.f, 3, x, y);
            }
        // rgb0, bgr0, 0rgb, 0bgr: the fourth component is unused, and the library need not copy it to another frame
        if (!(f->flags & CLZ_PIXFMT_ALPHA)) fourth = 0;
        printf("     luma off by %.3f codes at worst; ab by %.2f on average, %.2f at worst\n", off, sum, worst);
        REQUIRE(off < 0.5);
        REQUIRE(sum < (f->depth == 8 ? 0.45 : 0.3) && worst < 1.5);
        REQUIRE_INT(fourth, 0);
        REQUIRE(guards_whole(&in) && guards_whole(&out));
        // a neutral scan with ab = 0, coloured in place, is not changed
        for (int y = 0; y < H; y++)
            for (int x = 0; x < W; x++)
                for (int c = 1; c < 3; c++) set(&in.f, c, x, y, get(&in.f, 0, x, y));
        memset(ab, 0, sizeof ab);
        {
            const uint64_t before = hash(&in);
            colour(&in, &in, 20, 12, ab, 1, CLZ_LUMA_COPY);
            REQUIRE(hash(&in) == before);
        }
        picture_free(&in), picture_free(&out);
    }
}

// Every gray format (depth, byte order, alpha) converted to every format that it may become: luma and alpha are right.
static void gray(void)
{
    CASE("frame/gray_into_every_format");
    for (const struct clz_pixfmt *from = clz_pixfmt_list(); from->name; from++)
        for (const struct clz_pixfmt *to = clz_pixfmt_list(); to->name; to++) {
            const int max = (1 << from->depth) - 1;
            for (int way = 0; way < 4; way++) {     // bit 0: input of limited range; bit 1: only copied; output of full range
                struct picture in, out;
                float ab[2 * 64];
                double off = 0;
                int alpha = 0;
                if (!(from->flags & CLZ_PIXFMT_GRAY) || !clzi_pixfmt_may_become(from, to)) continue;
                in = picture_new(from->name, 19, 12, way & 1), out = picture_new(to->name, 19, 12, false);
                in.f.range = way & 1 ? CLZ_RANGE_LIMITED : CLZ_RANGE_FULL;
                out.f.range = CLZ_RANGE_FULL;
                fill_noise(&in);
                for (int i = 0; i < 64; i++) ab[i] = 9, ab[64 + i] = -8;
                if (way & 2) {
                    const struct clzk_picture a = clzi_picture(&in.f), b = clzi_picture(&out.f);
                    clzk_frame_copy(&a, &b);
                } else {
                    colour(&in, &out, 8, 8, ab, 1, CLZ_LUMA_COPY);
                }
                for (int y = 0; y < 12; y++)
                    for (int x = 0; x < 19; x++) {
                        off = fmax(off, fabs(luma_code(&out.f, x, y) - fmin(max, fmax(0, luma_code(&in.f, x, y)))));
                        if (to->flags & CLZ_PIXFMT_ALPHA)
                            alpha += get(&out.f, 3, x, y) != (from->flags & CLZ_PIXFMT_ALPHA ? get(&in.f, 3, x, y) : max);
                    }
                REQUIRE(guards_whole(&in) && guards_whole(&out));
                if (off > (way & 1 || to->flags & CLZ_PIXFMT_RGB ? 0.505 : 0) || alpha)
                    printf("     %s to %s, way %d: luma off by %.4f, %d wrong samples of alpha\n",
                           from->name, to->name, way, off, alpha);
                REQUIRE(off <= (way & 1 || to->flags & CLZ_PIXFMT_RGB ? 0.505 : 0));
                REQUIRE_INT(alpha, 0);
                picture_free(&in), picture_free(&out);
            }
        }
}

// Both byte orders of a format: the same input codes give the same output codes.
static void orders(void)
{
    CASE("frame/byte_order_makes_no_difference");
    for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++) {
        const struct clz_pixfmt *other = f + 1;
        const struct clz_pixfmt *out = f->out ? clz_pixfmt_find(f->out) : f;
        struct picture in, swap, a, b;
        float ab[2 * 64];
        int wrong = 0;
        if (!other->name || !(other->flags & CLZ_PIXFMT_SWAPPED)) continue;
        in = picture_new(f->name, 31, 14, false), swap = picture_new(other->name, 31, 14, false);
        a = picture_new(out->name, 31, 14, false), b = picture_new(other->out ? other->out : other->name, 31, 14, false);
        fill_noise(&in);
        for (int i = 0; i < 128; i++) ab[i] = 60 * uniform() - 30;
        for (int i = 0; i < 4; i++)
            for (int y = 0; f->samples[i].step && y < (i % 3 ? 14 >> f->log2_chroma_h : 14); y++)
                for (int x = 0; x < (i % 3 ? 31 >> f->log2_chroma_w : 31); x++) set(&swap.f, i, x, y, get(&in.f, i, x, y));
        colour(&in, &a, 8, 8, ab, 1, CLZ_LUMA_COPY), colour(&swap, &b, 8, 8, ab, 1, CLZ_LUMA_COPY);
        for (int i = 0; i < 4; i++)
            for (int y = 0; out->samples[i].step && y < (i % 3 ? 14 >> out->log2_chroma_h : 14); y++)
                for (int x = 0; x < (i % 3 ? 31 >> out->log2_chroma_w : 31); x++)
                    wrong += get(&a.f, i, x, y) != get(&b.f, i, x, y);
        if (wrong) printf("     %s and %s: %d samples differ\n", f->name, other->name, wrong);
        REQUIRE_INT(wrong, 0);
        picture_free(&in), picture_free(&swap), picture_free(&a), picture_free(&b);
    }
}

// How many luma codes of out are not the nearest to the value that in's have, out being of the other range.
static int wrong_codes(const struct picture *in, const struct picture *out)
{
    const int depth = in->f.format->depth, max = (1 << depth) - 1, eight = 1 << (depth - 8);
    int wrong = 0;

    for (int y = 0; y < 24; y++)
        for (int x = 0; x < 32; x++) {
            const double want = luma_of(&in->f, get(&in->f, 0, x, y));
            const int code = (int)(out->f.range == CLZ_RANGE_FULL ? fmin(1, fmax(0, want)) * max + 0.5 + 1e-9 :
                                   want * 219 * eight + 16 * eight + 0.5);
            wrong += get(&out->f, 0, x, y) != code;
        }
    return wrong;
}

// Luma converted from one range to the other, in place or not: each code is the nearest to the exact value, and the output has
// the requested colour.
static void ranges(void)
{
    CASE("frame/luma_in_another_range");
    for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++)
        for (int way = 0; way < 4; way++) {
            struct picture in, out;
            float ab[2 * 64], rgb[3], lab[3];
            double worst = 0;
            int wrong = 0;
            if (f->flags & (CLZ_PIXFMT_GRAY | CLZ_PIXFMT_RGB | CLZ_PIXFMT_FULL)) continue;
            in = picture_new(f->name, 32, 24, false), out = picture_new(f->name, 32, 24, false);
            in.f.range = way & 1 ? CLZ_RANGE_LIMITED : CLZ_RANGE_FULL, out.f.range = way & 1 ? CLZ_RANGE_FULL : CLZ_RANGE_LIMITED;
            fill_noise(&in);
            for (int x = 0; x < 32; x++)            // rows of one mid grey, at which the colour is measured
                for (int y = 8; y < 24; y++) set(&in.f, 0, x, y, code_of(&in.f, 0.5));
            for (int i = 0; i < 64; i++) ab[i] = 12, ab[64 + i] = 15;
            if (way & 2) {                          // in place
                struct picture before = picture_new(f->name, 32, 24, false);
                for (int i = 0; i < f->planes; i++)
                    memcpy(before.bytes[i], in.bytes[i], (size_t)in.f.stride[i] * in.rows[i] + GUARD);
                for (int i = 0; i < 4; i++) out.f.data[i] = in.f.data[i];
                colour(&in, &out, 8, 8, ab, 1, CLZ_LUMA_COPY);
                for (int i = 0; i < 4; i++) in.f.data[i] = before.f.data[i];
                wrong = wrong_codes(&in, &out);
                for (int i = 0; i < 4; i++) in.f.data[i] = out.f.data[i];
                REQUIRE(guards_whole(&in));
                picture_free(&before);
            } else {
                colour(&in, &out, 8, 8, ab, 1, CLZ_LUMA_COPY);
                wrong = wrong_codes(&in, &out);
                REQUIRE(guards_whole(&out));
            }
            decode(&out.f, 16, 16, rgb);
            to_lab(&out.f, rgb, lab);
            worst = hypot(lab[1] - 12, lab[2] - 15);
            if (wrong || worst > 1) printf("     %s, way %d: %d wrong codes, colour off by %.2f\n", f->name, way, wrong, worst);
            REQUIRE_INT(wrong, 0);
            REQUIRE(worst < 1);
            picture_free(&in), picture_free(&out);
        }
}

// luma=lstar: the output has the L* of the input; black and white do not change, and a ramp stays a ramp of nearly as many
// levels.
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
    for (int x = 0; x < SPAN; x++) REQUIRE_INT(get(&out.f, 0, x, 1), get(&in.f, 0, x, 1));     // ab = 0: no change

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
        if (out.f.format->log2_chroma_w || x < 64 || x > SPAN - 64) continue;    // near black one code is a large step of L*
        decode(&out.f, x, 1, rgb);
        to_lab(&out.f, rgb, lab);
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
    const struct clzk_picture from = clzi_picture(&in.f);
    REQUIRE_INT(clzk_frame_plan_create(&plan, &from, &from, 16, 12, colours_of(&in.f, false)), 0);
    clzk_frame_to_l(plan, &from, y, l, 50, 1);
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

// Two flat halves, dark red and bright blue; the colours are blurred across the edge, over 8 pixels of the network's picture.
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
        to_lab(&out.f, rgb, lab);
        wrong += fabs(lab[1] - want) > 10;
        wrong_bilinear += fabs(30 - 40 * t - want) > 10;
    }
    printf("     pixels more than a quarter off: %d, bilinear %d\n", wrong, wrong_bilinear);
    REQUIRE(wrong * 3 <= wrong_bilinear && wrong_bilinear >= 12);
    picture_free(&in), picture_free(&out);
}

// A ramp of a* along x: chroma samples have the value of the ramp at the position that the siting gives them.
static void siting(void)
{
    enum { W = 128, SW = 32 };
    static const double offset[3] = { 0.5, 1, 0.5 };            // position of chroma column 0 in pixels: left, centre, topleft
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
            clzk_chroma_solve(&(struct clzk_colour_space){ .weights = weights_709 }, 0.5f, want, 0, uv);
            worst = fmax(worst, fabs(chroma_of(&in.f, get(&in.f, 2, x, 8)) - uv[1]));
        }
        printf("     siting %d: V off by %.5f\n", s, worst);
        REQUIRE(worst < 6e-4);                                  // an offset of a quarter of a pixel would give 0.0011
        picture_free(&in);
    }
}

// Plans for the two fields of f, and views of their rows.
static void split(const struct clz_frame *f, int w, int h, struct clzk_picture fields[2], struct clzk_frame_plan *plans[2])
{
    for (int i = 0; i < 2; i++) {
        struct clz_frame view = *f;
        view.height /= 2;
        for (int p = 0; p < f->format->planes; p++) {
            view.data[p] += i * f->stride[p];
            view.stride[p] *= 2;
        }
        fields[i] = clzi_picture(&view);
        fields[i].part = i ? CLZK_BOTTOM_FIELD : CLZK_TOP_FIELD;
        REQUIRE_INT(clzk_frame_plan_create(&plans[i], &fields[i], &fields[i], w, h, colours_of(f, false)), 0);
    }
}

// A ramp of a* down the frame, over luma that is even and that is a ramp too, so that the rows from which luma at the chroma
// samples is taken show as well: each row of chroma has the value of the ramp at the place in the frame that the standard gives
// it.
static void field_siting(void)
{
    enum { W = 32, H = 128, SW = 8, SH = 32 };
    // Of row 0 of the field, from the top of the frame, in pixels: 0.5 below row 0 of the frame, 0.5 above row 3 (ISO/IEC
    // 13818-2, figure 6-3), and on rows 0 and 1.
    static const struct { enum clz_siting siting; double at[2]; } cases[] = {
        { CLZ_SITING_LEFT, { 1, 3 } }, { CLZ_SITING_CENTER, { 1, 3 } }, { CLZ_SITING_TOPLEFT, { 0.5, 1.5 } },
    };
    float ab[2 * SW * SH], y[SW * SH], l[SW * SH];

    CASE("frame/chroma_of_a_field_lies_where_its_siting_says");
    for (int i = 0; i < SW * SH; i++) ab[i] = (float)(i / SW), ab[SW * SH + i] = 0;
    for (size_t s = 0; s < sizeof cases / sizeof *cases; s++)
        for (int sloped = 0; sloped < 2; sloped++) {
            struct picture in = picture_new("yuv420p16", W, H, false);
            struct clzk_picture fields[2];
            struct clzk_frame_plan *plans[2];
            double worst = 0;
            in.f.siting = cases[s].siting;
            for (int r = 0; r < H; r++)
                for (int x = 0; x < W; x++) set(&in.f, 0, x, r, code_of(&in.f, sloped ? 0.3 + 0.4 * (r + 0.5) / H : 0.5));
            split(&in.f, SW, SH, fields, plans);
            for (int i = 0; i < 2; i++) {
                clzk_frame_to_l(plans[i], &fields[i], y, l, 50, 1);
                clzk_frame_merge(plans[i], &fields[i], &fields[i], y, ab, 1);
            }
            for (int r = 8; r < H / 2 - 8; r++) {
                const double at = r / 2 * 4 + cases[s].at[r % 2];
                float uv[2];
                clzk_chroma_solve(&(struct clzk_colour_space){ .weights = weights_709 },
                                  sloped ? (float)(0.3 + 0.4 * at / H) : 0.5f, (float)(at * SH / H - 0.5), 0, uv);
                worst = fmax(worst, fabs(chroma_of(&in.f, get(&in.f, 2, 4, r)) - uv[1]));
            }
            printf("     siting %d, luma %s: V off by %.5f\n", cases[s].siting, sloped ? "sloped" : "even", worst);
            REQUIRE(worst < (sloped ? 3e-4 : 2e-4));            // half a row off: 0.0004 and more
            for (int i = 0; i < 2; i++) clzk_frame_plan_destroy(&plans[i]);
            picture_free(&in);
        }
}

// Of a picture with a slope down the frame the network sees the same of the frame and of each of its fields.
static void field_input(void)
{
    enum { W = 32, H = 128, SW = 8 };
    static const int heights[] = { 24, 32, 100, 200 };          // of the network's picture: smaller and larger than a field
    float y[SW * 200], want[SW * 200], l[SW * 200];

    CASE("frame/the_network_sees_a_field_where_its_rows_lie");
    for (size_t k = 0; k < sizeof heights / sizeof *heights; k++) {
        struct picture in = picture_new("yuv420p16", W, H, false);
        struct clzk_picture fields[2];
        struct clzk_frame_plan *plans[2];
        double worst = 0;
        for (int r = 0; r < H; r++)
            for (int x = 0; x < W; x++) set(&in.f, 0, x, r, code_of(&in.f, 0.1 + 0.8 * r / H));
        split(&in.f, SW, heights[k], fields, plans);
        for (int r = 0; r < heights[k]; r++)
            for (int x = 0; x < SW; x++) want[r * SW + x] = (float)(0.1 + 0.8 * ((r + 0.5) / heights[k] - 0.5 / H));
        for (int i = 0; i < 2; i++) {
            clzk_frame_to_l(plans[i], &fields[i], y, l, 50, 1);
            for (int n = heights[k] / 16 * SW; n < SW * (heights[k] - heights[k] / 16); n++)
                worst = fmax(worst, fabs(y[n] - want[n]));
            clzk_frame_plan_destroy(&plans[i]);
        }
        printf("     %d rows: Y' off by %.5f\n", heights[k], worst);
        REQUIRE(worst < 0.001);                                 // measured 0.0004; without the shift of fields 0.0031
        picture_free(&in);
    }
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

// ---- a picture for visual comparison ----
//
// `frame picture OUT.ppm` draws, from top to bottom: the scene; the scene with its low-resolution colours enlarged bilinearly;
// the scene with the same colours merged by clzk_frame_merge().

enum { SCENE_W = 480, SCENE_H = 200, SMALL_W = 96, SMALL_H = 40 };

// Y', a*, b* of a pixel of the scene: round, thin, slanted and textured objects in front of a sky.
static void scene(int x, int y, float *luma, float ab[2])
{
    static const struct { float luma, a, b; } sky = { 0.7f, -4, -24 }, ball = { 0.35f, 55, 40 }, grass = { 0.45f, -35, 38 },
                                              pole = { 0.2f, 8, 14 }, sun = { 0.87f, 2, 45 };
    const float dx = x - 120.f, dy = y - 95.f, sx = x - 390.f, sy = y - 45.f;
    float l = sky.luma + 0.0006f * y, a = sky.a, b = sky.b;

    if (sx * sx + sy * sy < 24 * 24) l = sun.luma, a = sun.a, b = sun.b;
    if (y > 140 + 12 * sin(x * 0.05) + 6 * sin(x * 0.9))
        l = grass.luma + 0.08f * (float)sin(x * 1.3 + y), a = grass.a, b = grass.b;
    if (abs(x - 250 - (y - 100) / 6) < 3 || (y > 60 && (x + y) % 45 < 4 && x > 270 && x < 345 && y < 130))
        l = pole.luma, a = pole.a, b = pole.b;
    if (dx * dx + dy * dy < 60 * 60) l = ball.luma + 0.15f * -dx / 60, a = ball.a, b = ball.b;
    *luma = l, ab[0] = a, ab[1] = b;
}

static void put_pixel(FILE *file, float y, const float ab[2])
{
    const struct clzk_luma_weights k = CLZK_LUMA_709;
    float uv[2], rgb[3];

    clzk_chroma_solve(&(struct clzk_colour_space){ .weights = k }, y, ab[0], ab[1], uv);
    rgb[0] = y + 2 * (1 - k.kr) * uv[1];
    rgb[2] = y + 2 * (1 - k.kb) * uv[0];
    rgb[1] = (y - k.kr * rgb[0] - k.kb * rgb[2]) / (1 - k.kr - k.kb);
    for (int i = 0; i < 3; i++) fputc((int)(fminf(1, fmaxf(0, rgb[i])) * 255 + 0.5f), file);
}

// The low-resolution plane `small`, interpolated bilinearly at pixel (x, y) of the scene.
static float bilinear(const float *small, int x, int y)
{
    const float fx = fminf(SMALL_W - 1, fmaxf(0, (x + 0.5f) * SMALL_W / SCENE_W - 0.5f));
    const float fy = fminf(SMALL_H - 1, fmaxf(0, (y + 0.5f) * SMALL_H / SCENE_H - 0.5f));
    const int ix = fx < SMALL_W - 2 ? (int)fx : SMALL_W - 2, iy = fy < SMALL_H - 2 ? (int)fy : SMALL_H - 2;
    const float *p = small + iy * SMALL_W + ix, tx = fx - ix, ty = fy - iy;
    return (1 - ty) * ((1 - tx) * p[0] + tx * p[1]) + ty * ((1 - tx) * p[SMALL_W] + tx * p[SMALL_W + 1]);
}

static int draw(const char *path)
{
    enum { CELL = SCENE_W / SMALL_W, REACH = 1 };               // simulates a network that blurs colour by one pixel
    static float small[2 * SMALL_W * SMALL_H];
    struct picture in = picture_new("yuv444p", SCENE_W, SCENE_H, false), out = picture_new("yuv444p", SCENE_W, SCENE_H, false);
    FILE *file = fopen(path, "wb");
    float luma, ab[2], rgb[3];

    if (!file) return 1;
    for (int i = 0; i < SMALL_W * SMALL_H; i++)
        for (int k = 0; k < (2 * REACH + 1) * (2 * REACH + 1) * CELL * CELL; k++) {
            const int side = (2 * REACH + 1) * CELL;
            const int x = (i % SMALL_W - REACH) * CELL + k % side, y = (i / SMALL_W - REACH) * CELL + k / side;
            scene(x < 0 ? 0 : x < SCENE_W ? x : SCENE_W - 1, y < 0 ? 0 : y < SCENE_H ? y : SCENE_H - 1, &luma, ab);
            small[i] += ab[0] / (side * side), small[SMALL_W * SMALL_H + i] += ab[1] / (side * side);
        }
    fprintf(file, "P6 %d %d 255\n", SCENE_W, 3 * SCENE_H);
    for (int what = 0; what < 2; what++)
        for (int i = 0; i < SCENE_W * SCENE_H; i++) {
            const int x = i % SCENE_W, y = i / SCENE_W;
            scene(x, y, &luma, ab);
            set(&in.f, 0, x, y, code_of(&in.f, luma));
            if (what) ab[0] = bilinear(small, x, y), ab[1] = bilinear(small + SMALL_W * SMALL_H, x, y);
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
        for (int m = CLZ_MATRIX_601; m <= CLZ_MATRIX_2020; m++)
            constant(formats[i], i & 1 ? CLZ_RANGE_FULL : CLZ_RANGE_LIMITED, m);
    grey();
    rgb();
    gray();
    orders();
    ranges();
    lstar("yuv444p", "yuv444p");
    lstar("yuv444p10", "yuv444p10");
    lstar("gray16", "yuv444p16");
    lstar("yuv420p12", "yuv420p12");
    input();
    siting();
    field_siting();
    field_input();
    edge();
    threads();
    hdr(CLZ_TRANSFER_PQ);
    hdr(CLZ_TRANSFER_HLG);
    sizes();
    return check_end();
}
