// cuda_frame.c - kernels/cuda/frame.cu, compiled for the CPU (cuda_emu.h), against kernels/frame.c: all pixel formats, odd sizes,
// pitches and alignments, in place and not, in all types.
#include "bars.h"
#include "cuda_test.h"
#include "kernels/frame_plan.h"
#include "pixfmt.h"

static const struct clzk_luma_weights weights_709 = CLZK_LUMA_709;
static struct clzk_colour_table *tables[2];     // luma kept, L* kept
static struct clzk_cu_colours colours[2];       // the same in memory of the device

// ---- pictures in memory of the exact size ----

enum { PITCH_BYTE = 0xA5 };

struct picture { struct clz_frame f; uint8_t *bytes[4]; size_t size[4]; int row_bytes[4]; };

// extra: bytes between rows; offset: of the first sample from an aligned address.
static struct picture picture_new(const struct clz_pixfmt *format, int w, int h, int extra, int offset, enum clz_range range)
{
    struct picture p = { .f = { .format = format, .width = w, .height = h, .range = range, .matrix = CLZ_MATRIX_709,
                                .siting = CLZ_SITING_LEFT } };

    for (int i = 0; i < format->planes; i++) {
        const int rows = clz_pixfmt_rows(format, i, h);
        p.row_bytes[i] = (int)clz_pixfmt_row_bytes(format, i, w);
        p.f.stride[i] = p.row_bytes[i] + extra;
        p.size[i] = offset + (rows - 1) * p.f.stride[i] + p.row_bytes[i];
        p.bytes[i] = block(p.size[i]);
        memset(p.bytes[i], PITCH_BYTE, p.size[i]);
        p.f.data[i] = p.bytes[i] + offset;
    }
    return p;
}

// Noise with flat areas and edges, in every sample that the format has.
static void fill_noise(struct picture *p)
{
    const struct clz_pixfmt *format = p->f.format;

    for (int i = 0; i < format->planes; i++)
        for (int r = 0; r < clz_pixfmt_rows(format, i, p->f.height); r++) {
            uint8_t *row = p->f.data[i] + r * p->f.stride[i];
            const int count = p->row_bytes[i] / (format->depth > 8 ? 2 : 1);
            for (int x = 0; x < count; x++) {
                const float level = (x / 7 + r / 5) % 3 * 0.4f, v = level + uniform(0, 0.2f);
                const unsigned code = (unsigned)(v * ((1 << format->depth) - 1));
                const uint16_t sample = (uint16_t)(code << (format->flags & CLZ_PIXFMT_MSB ? 16 - format->depth : 0));
                if (format->depth == 8) row[x] = (uint8_t)code;
                else ((uint16_t *)row)[x] = format->flags & CLZ_PIXFMT_SWAPPED ? (uint16_t)(sample << 8 | sample >> 8) : sample;
            }
        }
}

static struct picture picture_copy(const struct picture *p)
{
    struct picture q = *p;

    for (int i = 0; i < p->f.format->planes; i++) {
        q.bytes[i] = block(p->size[i]);
        memcpy(q.bytes[i], p->bytes[i], p->size[i]);
        q.f.data[i] = q.bytes[i] + (p->f.data[i] - p->bytes[i]);
    }
    return q;
}

static int code_at(const struct clz_frame *f, int component, int x, int y)
{
    const struct clz_samples *s = &f->format->samples[component];
    const uint8_t *row = f->data[s->plane] + y * f->stride[s->plane];
    const int at = s->offset + x * s->step;

    if (f->format->depth == 8) return row[at];
    const uint16_t v = ((const uint16_t *)row)[at];
    return (f->format->flags & CLZ_PIXFMT_SWAPPED ? (uint16_t)(v << 8 | v >> 8) : v) >>
           (f->format->flags & CLZ_PIXFMT_MSB ? 16 - f->format->depth : 0);
}

// Luma and alpha equal; chroma and R'G'B' too where the compiler fuses no multiplications with additions (x86-64 without FMA): a
// difference of 1 code of 10 bits is allowed elsewhere. All bytes between the rows are as they were.
static void check_pictures(const struct picture *got, const struct picture *want, bool lstar, const char *what)
{
    const struct clz_pixfmt *format = got->f.format;
    const int depth = format->depth, most = depth > 10 ? 1 << (depth - 10) : 1;

    for (int c = 0; c < 4; c++) {
        const bool chroma = c == 1 || c == 2, rgb = format->flags & CLZ_PIXFMT_RGB;
        const int w = chroma && !rgb ? -(-got->f.width >> format->log2_chroma_w) : got->f.width;
        const int h = chroma && !rgb ? -(-got->f.height >> format->log2_chroma_h) : got->f.height;
        const int limit = c < 3 && (chroma || rgb || lstar) ? most : 0;
        int worst_here = 0;
        if (!format->samples[c].step) continue;
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++) {
                const int d = abs(code_at(&got->f, c, x, y) - code_at(&want->f, c, x, y));
                worst_here = d > worst_here ? d : worst_here;
            }
        check_state.checks++;
        note_error(c == 3 ? "alpha" : rgb ? "codes of R'G'B'" : chroma ? "codes of chroma" : "codes of luma", 0, worst_here,
                   limit);
        if (worst_here <= limit) continue;
        check_state.failed_here++;
        printf("  %s %s %dx%d: component %d differs by up to %d\n", what, format->name, got->f.width, got->f.height, c,
               worst_here);
    }
    for (int i = 0; i < format->planes; i++) {
        const size_t from = got->f.data[i] - got->bytes[i];
        bool whole = true;
        for (size_t k = 0; k < got->size[i]; k++)
            if (k < from || (k - from) % got->f.stride[i] >= (size_t)got->row_bytes[i]) whole &= got->bytes[i][k] == PITCH_BYTE;
        REQUIRE(whole);
        run_hash = clzk_fnv1a(run_hash, got->bytes[i], got->size[i]);
    }
}

// ---- one geometry on both sides ----

struct sides {
    struct clzk_frame_plan *cpu;
    struct clzk_cu_frame_plan gpu;
};

static struct clzk_picture part_of(const struct clz_frame *f, enum clzk_part part)
{
    struct clzk_picture p = clzi_picture(f);

    p.part = part;
    return p;
}

static struct sides sides_new(const struct clz_frame *in, const struct clz_frame *out, enum clzk_part part, int w, int h,
                              bool lstar)
{
    const struct clzk_picture from = part_of(in, part), to = part_of(out, part);
    const size_t size = clzk_cu_frame_plan_size(&from, &to, w, h);
    void *host = block(size), *device = block(size);
    struct sides s;

    REQUIRE(clzk_frame_plan_create(&s.cpu, &from, &to, w, h, tables[lstar]) == 0);
    s.cpu->rows = &clzk_rows_plain;             // the same operations in the same order
    clzk_cu_frame_plan_fill(&s.gpu, &from, &to, w, h, tables[lstar], &colours[lstar], host, device);
    memcpy(device, host, size);
    memset(host, 0xff, size);                   // nothing reads the host's copy
    return s;
}

struct frame_case {
    const char *in, *out;                       // NULL: all formats; out NULL: the format that `in` becomes
    int width, height, w, h, extra, offset;
    enum clz_range in_range, out_range;
    enum clz_siting siting;
    bool lstar, in_place;
};

static void colour(const struct frame_case *k, enum clzk_part part, const struct clz_pixfmt *in_format,
                   const struct clz_pixfmt *out_format, enum clzk_type type)
{
    enum { FRAMES = 2, CHANNELS = 3 };          // channels of the network's input and output; the last is not touched
    const int64_t pixels = (int64_t)k->w * k->h;
    struct picture in = picture_new(in_format, k->width, k->height, k->extra, k->offset, k->in_range), out, want;
    struct tensor l = tensor_new(type, (struct clzi_shape){ FRAMES, CHANNELS, k->h, k->w });
    struct tensor ab = tensor_random(type, (struct clzi_shape){ FRAMES, CHANNELS, k->h, k->w }, -1, 1);
    float *y = floats(FRAMES * pixels), *want_y = floats(pixels), *want_l = floats(pixels), *lines = floats(4 * FRAMES * pixels);
    const float gain[FRAMES] = { 70, 110 };
    int *bad = block(sizeof *bad);

    out = k->in_place ? in : picture_new(out_format, k->width, k->height, k->extra, k->offset, k->out_range);
    out.f.range = k->out_range;
    in.f.siting = out.f.siting = k->siting;
    struct sides s = sides_new(&in.f, &out.f, part, k->w, k->h, k->lstar);
    void *work = block(clzk_cu_frame_fit_size(&s.gpu, FRAMES));
    *bad = 0;
    for (int f = 0; f < FRAMES; f++) {
        fill_noise(&in);
        const struct picture source = picture_copy(&in);
        const struct clzk_picture a = part_of(&in.f, part), b = part_of(&source.f, part);
        QUEUE(clzk_cu_frame_to_l(NULL, &s.gpu, &a, y + f * pixels, type,
                                 (char *)l.nhwc + f * pixels * CHANNELS * clzk_type_size(type), CHANNELS, 50, 1));
        clzk_frame_to_l(s.cpu, &b, want_y, want_l, 50, 1);
        for (int64_t i = 0; i < pixels; i++) {
            check_value(CLZK_F32, y[f * pixels + i], want_y[i], 1, 1e-6, "y", i);
            check_value(type, typed_get(type, l.nhwc, (f * pixels + i) * CHANNELS), want_l[i], 1, 1e-6, "l", i);
        }
        QUEUE(clzk_cu_frame_fit(NULL, &s.gpu, f + 1, y, type, ab.nhwc, CHANNELS, gain, lines, work, bad));
        if (!k->in_place) fill_noise(&out);
        want = picture_copy(&out);
        struct clz_frame same = want.f;
        same.range = in.f.range;
        const struct clzk_picture to = part_of(&out.f, part), expected = part_of(&want.f, part);
        const struct clzk_picture shared = part_of(&same, part);
        clzk_frame_merge(s.cpu, k->in_place ? &shared : &b, &expected, want_y, ab.nchw + f * CHANNELS * pixels, gain[f]);
        QUEUE(clzk_cu_frame_merge(NULL, &s.gpu, &a, &to, lines + 4 * f * pixels));
        check_pictures(&out, &want, k->lstar, "merge");
    }
    REQUIRE(*bad == 0);
    for (int64_t i = 0; i < FRAMES * pixels * CHANNELS; i++)
        if (i % CHANNELS) REQUIRE(isnan(typed_get(type, l.nhwc, i)));
    clzk_frame_plan_destroy(&s.cpu);
}

static const struct frame_case frame_cases[] = {
    { NULL, NULL, 33, 18, 16, 8, 2, 2, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_LEFT, false, false },
    { NULL, NULL, 21, 13, 8, 9, 0, 0, CLZ_RANGE_FULL, CLZ_RANGE_LIMITED, CLZ_SITING_CENTER, true, false },
    { "yuv420p", NULL, 64, 48, 40, 24, 0, 0, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_LEFT, false, true },
    { "yuv420p", NULL, 63, 47, 35, 20, 6, 2, CLZ_RANGE_FULL, CLZ_RANGE_FULL, CLZ_SITING_TOPLEFT, true, true },
    { "yuv420p", NULL, 7, 5, 16, 8, 0, 0, CLZ_RANGE_LIMITED, CLZ_RANGE_FULL, CLZ_SITING_LEFT, false, false },    // enlarged
    { "yuv420p10", NULL, 1, 1, 8, 8, 0, 0, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_LEFT, false, false },
    { "yuv422p10", NULL, 64, 30, 32, 16, 32, 0, CLZ_RANGE_LIMITED, CLZ_RANGE_FULL, CLZ_SITING_LEFT, false, true },
    { "nv12", NULL, 96, 50, 33, 17, 16, 16, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_LEFT, false, false },
    { "p010", NULL, 48, 50, 48, 50, 8, 8, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_TOPLEFT, false, false },
    { "yuv420p", NULL, 64, 10, 16, 8, 0, 0, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_CENTER, false, false },
    { "nv12", NULL, 36, 9, 16, 8, 4, 0, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_LEFT, false, false },  // no runs of 4
    { "yuv422p", NULL, 80, 11, 16, 8, 16, 0, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_LEFT, false, false },
    { "yuv420p12", NULL, 64, 13, 16, 8, 32, 16, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_TOPLEFT, false, false },
    { "nv12", NULL, 64, 16, 16, 8, 4, 0, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_LEFT, true, true },
    { "rgb24", NULL, 40, 20, 16, 8, 0, 0, CLZ_RANGE_FULL, CLZ_RANGE_FULL, CLZ_SITING_LEFT, true, true },
    { "gray", "gbrp", 20, 11, 16, 8, 0, 0, CLZ_RANGE_LIMITED, CLZ_RANGE_FULL, CLZ_SITING_LEFT, false, false },
    { "gray16", "p016", 20, 12, 16, 8, 0, 0, CLZ_RANGE_FULL, CLZ_RANGE_LIMITED, CLZ_SITING_LEFT, false, false },
    // The columns of one pixel do not fit into a block's line.
    { "gray", "nv12", 5000, 4, 2, 2, 0, 0, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_LEFT, false, false },
};

static const struct clz_pixfmt *out_format_of(const struct frame_case *k, const struct clz_pixfmt *in)
{
    return clz_pixfmt_find(k->out ? k->out : in->out ? in->out : in->name);
}

// Of the cases with all formats, only some are run again in the other orders of threads.
static void merge(void)
{
    for (size_t i = 0; i < sizeof frame_cases / sizeof *frame_cases; i++) {
        const struct frame_case *k = &frame_cases[i];
        int at = 0;
        for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; f++, at++) {
            const bool repeated = k->in || at % 16 == 0;
            const uint64_t before = run_hash;
            if ((k->in && strcmp(k->in, f->name)) || (again && !repeated)) continue;
            REQUIRE(out_format_of(k, f) != NULL);
            random_state = at + 1;
            colour(k, CLZK_FRAME, f, out_format_of(k, f), (enum clzk_type)(at % CLZK_TYPE_COUNT));
            free_all();
            if (!repeated) run_hash = before;
        }
    }
}

static const struct { enum clzk_part part; struct frame_case k; } field_cases[] = {
    { CLZK_TOP_FIELD,
      { "yuv420p", NULL, 64, 24, 40, 20, 0, 0, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_LEFT, false, true } },
    { CLZK_BOTTOM_FIELD,
      { "nv12", NULL, 96, 50, 33, 17, 16, 16, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_LEFT, false, false } },
    { CLZK_BOTTOM_FIELD,
      { "p010", NULL, 44, 20, 48, 50, 8, 8, CLZ_RANGE_LIMITED, CLZ_RANGE_LIMITED, CLZ_SITING_CENTER, false, false } },
    { CLZK_BOTTOM_FIELD,
      { "yuv420p", NULL, 48, 32, 24, 16, 0, 0, CLZ_RANGE_FULL, CLZ_RANGE_FULL, CLZ_SITING_TOPLEFT, true, true } },
    { CLZK_TOP_FIELD,
      { "yuv444p", NULL, 48, 32, 24, 16, 0, 0, CLZ_RANGE_FULL, CLZ_RANGE_FULL, CLZ_SITING_LEFT, false, true } },
};

static void fields(void)
{
    for (size_t i = 0; i < sizeof field_cases / sizeof *field_cases; i++) {
        const struct frame_case *k = &field_cases[i].k;
        const struct clz_pixfmt *f = clz_pixfmt_find(k->in);
        random_state = (unsigned)i + 1;
        colour(k, field_cases[i].part, f, out_format_of(k, f), (enum clzk_type)(i % CLZK_TYPE_COUNT));
        free_all();
    }
}

// More frames than one launch takes give what each gives alone.
static void many(void)
{
    enum { FRAMES = 19, W = 48, H = 20, SMALL_W = 16, SMALL_H = 8, PIXELS = SMALL_W * SMALL_H };
    static const char *const names[] = { "yuv420p", "p010", "yuva444p", "gbrp" };

    for (int k = 0; k < 4; free_all(), k++) {
        const struct clz_pixfmt *format = clz_pixfmt_find(names[k]);
        struct picture in[FRAMES], out[FRAMES], alone;
        struct clzk_picture from[FRAMES], to[FRAMES];
        struct tensor l = tensor_new(CLZK_BF16, (struct clzi_shape){ FRAMES, 1, SMALL_H, SMALL_W });
        float *y = floats(FRAMES * PIXELS), *one_y = floats(PIXELS), *lines = random_floats(FRAMES * PIXELS * 4, -9, 9);
        uint16_t *one_l = block(PIXELS * sizeof *one_l);
        for (int i = 0; i < FRAMES; i++) {
            in[i] = picture_new(format, W, H, 0, 0, CLZ_RANGE_LIMITED);
            fill_noise(&in[i]);
            out[i] = i % 5 ? picture_new(format, W, H, 16, 0, CLZ_RANGE_LIMITED) : picture_copy(&in[i]);
            from[i] = clzi_picture(&in[i].f);
            to[i] = clzi_picture(&out[i].f);
        }
        struct sides s = sides_new(&in[0].f, &out[1].f, CLZK_FRAME, SMALL_W, SMALL_H, false);
        QUEUE(clzk_cu_frames_to_l(NULL, &s.gpu, FRAMES, from, y, CLZK_BF16, l.nhwc, 1, 50, 1));
        QUEUE(clzk_cu_frames_merge(NULL, &s.gpu, FRAMES, from, to, lines));
        for (int i = 0; i < FRAMES; i++) {
            QUEUE(clzk_cu_frame_to_l(NULL, &s.gpu, &from[i], one_y, CLZK_BF16, one_l, 1, 50, 1));
            REQUIRE(!memcmp(one_y, y + i * PIXELS, sizeof(float[PIXELS])));
            REQUIRE(!memcmp(one_l, (uint16_t *)l.nhwc + i * PIXELS, sizeof(uint16_t[PIXELS])));
            alone = picture_new(format, W, H, i % 5 ? 16 : 0, 0, CLZ_RANGE_LIMITED);
            const struct clzk_picture single = clzi_picture(&alone.f);
            QUEUE(clzk_cu_frame_merge(NULL, &s.gpu, &from[i], &single, lines + i * PIXELS * 4));
            for (int c = 0; c < format->planes; c++) REQUIRE(!memcmp(alone.bytes[c], out[i].bytes[c], alone.size[c]));
        }
        clzk_frame_plan_destroy(&s.cpu);
    }
}

static void copy(void)
{
    for (size_t i = 0; i < 2; i++)
        for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; free_all(), f++) {
            const struct frame_case *k = &frame_cases[i];
            struct picture in = picture_new(f, k->width, k->height, k->extra, k->offset, k->in_range), want;
            struct picture out = picture_new(out_format_of(k, f), k->width, k->height, k->extra, k->offset, k->out_range);
            fill_noise(&in);
            want = picture_copy(&out);
            const struct clzk_picture a = clzi_picture(&in.f), to = clzi_picture(&out.f), expected = clzi_picture(&want.f);
            clzk_frame_copy(&a, &expected);
            QUEUE(clzk_cu_frame_copy(NULL, &a, &to));
            check_pictures(&out, &want, false, "copy");
        }
}

// A picture of noise within black bars, which themselves have some noise.
static void fill_barred(struct picture *p, const int depth[CLZI_SIDES])
{
    const struct clz_pixfmt *format = p->f.format;
    const bool rgb = format->flags & CLZ_PIXFMT_RGB;

    for (int c = 0; c < (rgb ? 3 : 1); c++)
        for (int y = 0; y < p->f.height; y++)
            for (int x = 0; x < p->f.width; x++) {
                const struct clz_samples *s = &format->samples[c];
                const bool bar = y < depth[CLZI_TOP] || y >= p->f.height - depth[CLZI_BOTTOM] || x < depth[CLZI_LEFT] ||
                                 x >= p->f.width - depth[CLZI_RIGHT];
                const unsigned code = (unsigned)(bar ? uniform(0, 24.9f) + (uniform(0, 1) < 0.01f) * 40 : uniform(20, 250));
                uint8_t *row = p->f.data[s->plane] + y * p->f.stride[s->plane];
                const int at = s->offset + x * s->step;
                uint16_t v = (uint16_t)(code << (format->depth - 8) << (format->flags & CLZ_PIXFMT_MSB ? 16 - format->depth : 0));
                if (format->flags & CLZ_PIXFMT_SWAPPED) v = (uint16_t)(v << 8 | v >> 8);
                if (format->depth == 8) row[at] = (uint8_t)code;
                else ((uint16_t *)row)[at] = v;
            }
}

// Counts of rows are all the samples above black; bars that are told from the counts are those that the CPU finds.
static void bars(void)
{
    static const struct { int width, height, depth[CLZI_SIDES]; } cases[] = {
        { 96, 70, { 9, 9, 0, 0 } }, { 301, 43, { 0, 0, 33, 34 } }, { 64, 48, { 0, 0, 0, 0 } }, { 70, 1200, { 51, 52, 8, 8 } },
        { 40, 30, { 15, 15, 0, 0 } }, { 520, 300, { 30, 30, 40, 40 } }, { 1, 1, { 0, 0, 0, 0 } },
    };
    enum { FRAMES = 18 };
    int found = 0;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (const struct clz_pixfmt *f = clz_pixfmt_list(); f->name; free_all(), f++) {
            const int w = cases[i].width, h = cases[i].height, frames = i == 2 ? FRAMES : 2;
            struct clzk_picture pictures[FRAMES];
            struct picture p[FRAMES];
            struct clzi_bars_finder one = { .mode = CLZI_BARS_AUTO }, two = one;
            int *counts;
            if (strcmp(f->name, "yuv420p") && strcmp(f->name, "p010") && ((f - clz_pixfmt_list()) % 7 != (int)i || again))
                continue;
            counts = block(frames * (w + h) * sizeof *counts);
            for (int k = 0; k < frames; k++) {
                p[k] = picture_new(f, w, h, 2 * k, 4, CLZ_RANGE_LIMITED);
                fill_barred(&p[k], cases[i].depth);
                pictures[k] = clzi_picture(&p[k].f);
            }
            QUEUE(clzk_cu_bars(NULL, frames, pictures, counts));
            for (int k = 0; k < frames; k++) {
                const int *rows = counts + k * (w + h), black = (25 << (f->depth - 8)) - 1;
                struct clzi_bars a, b;
                for (int y = 0; y < h; y++) {
                    int count = 0;
                    for (int x = 0; x < w; x++) count += code_at(&p[k].f, f->flags & CLZ_PIXFMT_RGB ? 1 : 0, x, y) > black;
                    REQUIRE_INT(rows[y], count);
                }
                a = clzi_bars_next(&one, &p[k].f, NULL);
                b = clzi_bars_next(&two, &p[k].f, rows);
                REQUIRE(!memcmp(&a, &b, sizeof a) && !memcmp(&one, &two, sizeof one));
                found += memcmp(a.depth, cases[i].depth, sizeof a.depth) == 0 && a.depth[CLZI_TOP] + a.depth[CLZI_LEFT] > 0;
            }
        }
    REQUIRE(again || found > 20);
}

static void bad_output(void)
{
    static const float bads[] = { NAN, INFINITY, -2e6f };
    const struct frame_case k = { .width = 16, .height = 16, .w = 16, .h = 16 };
    struct picture p = picture_new(clz_pixfmt_find("gray"), k.width, k.height, 0, 0, CLZ_RANGE_LIMITED);
    struct picture out = picture_new(clz_pixfmt_find("yuv420p"), k.width, k.height, 0, 0, CLZ_RANGE_LIMITED);
    struct sides s = sides_new(&p.f, &out.f, CLZK_FRAME, k.w, k.h, false);
    struct tensor ab = tensor_random(CLZK_F32, (struct clzi_shape){ 1, 2, k.h, k.w }, -1, 1);
    float *y = random_floats(k.w * k.h, 0, 1), *lines = floats(4 * k.w * k.h), gain = 110;
    void *work = block(clzk_cu_frame_fit_size(&s.gpu, 1));
    int *bad = block(sizeof *bad);

    for (int i = 0; i < 3; i++) {
        *bad = 0;
        QUEUE(clzk_cu_frame_fit(NULL, &s.gpu, 1, y, CLZK_F32, ab.nhwc, 2, &gain, lines, work, bad));
        REQUIRE(*bad == 0);
        tensor_set(&ab, 300 + i, bads[i]);
        QUEUE(clzk_cu_frame_fit(NULL, &s.gpu, 1, y, CLZK_F32, ab.nhwc, 2, &gain, lines, work, bad));
        REQUIRE(*bad == 1);
        QUEUE(clzk_cu_frame_fit(NULL, &s.gpu, 1, y, CLZK_F32, ab.nhwc, 2, &gain, lines, work, NULL));
        tensor_set(&ab, 300 + i, 0);
    }
    clzk_frame_plan_destroy(&s.cpu);
}

int main(int argc, char **argv)
{
    void *device[2];

    if (ref_open(argc, argv)) return 1;
    for (int i = 0; i < 2; i++) {
        if (clzk_colour_table_create(&tables[i], &(struct clzk_colour_space){ .weights = weights_709 }, i)) return 1;
        const size_t size = clzk_cu_colours_size(tables[i]);
        void *host = malloc(size);
        device[i] = malloc(size);
        clzk_cu_colours_fill(&colours[i], tables[i], host, device[i]);
        memcpy(device[i], host, size);
        free(host);
    }
    run_case("cuda_frame/merge_equals_the_cpu's", merge);
    run_case("cuda_frame/fields_equal_the_cpu's", fields);
    run_case("cuda_frame/many_frames_at_once", many);
    run_case("cuda_frame/copy_equals_the_cpu's", copy);
    run_case("cuda_frame/bars_equal_the_cpu's", bars);
    run_case("cuda_frame/finds_output_that_is_not_finite", bad_output);
    for (int i = 0; i < 2; i++) {
        clzk_colour_table_destroy(&tables[i]);
        free(device[i]);
    }
    clzi_device_close(&ref);
    return check_end();
}
