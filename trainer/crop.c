// crop.c - random crops and their arithmetic. A row fits in the L1 cache, so most steps are a loop over one row.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "crop.h"
#include "kernels/lab_math.h"
#include "kernels/philox.h"

enum {
    MAX_RADIUS = 24,                        // of the blur kernel: three times the largest sigma of a recipe
    MAX_RATIO = CLZT_MAX_ZOOM * 2,          // input pixels per output pixel: zoom * sqrt(CLZT_MAX_ASPECT), see clzt_crop_draw
    MAX_TAPS = 2 * MAX_RATIO + 2,           // of the scaling filter, whose triangle is 2 * ratio wide
};

_Static_assert(2 * 2 == CLZT_MAX_ASPECT, "MAX_RATIO contains sqrt(CLZT_MAX_ASPECT)");

struct clzt_crop_scratch {
    uint8_t *rgb;                           // [3,w] one row, mirrored
    uint8_t *scaled;                        // [3,h,w] the crop at the sample's size
    float *row;                             // [w] accumulator of vertical scaling
    uint16_t *narrow;                       // rows of the crop after horizontal scaling; grows
    size_t narrow_room;
    float *lab;                             // [w] L* of a row, where the caller does not ask for it
    float *grey, *other;                    // [h,w] Y'
};

void clzt_crop_tables_make(struct clzt_crop_tables *tables)
{
    for (int i = 0; i < 256; i++) {
        tables->linear[i] = clzk_srgb_to_linear(i / 255.f);
        tables->l_of_luma[i] = clzk_luma_to_l(i / 255.f) / 50 - 1;
    }
}

int clzt_crop_scratch_create(struct clzt_crop_scratch **scratch, struct clzt_size most)
{
    struct clzt_crop_scratch *s = *scratch = calloc(1, sizeof *s);
    const size_t pixels = (size_t)most.w * most.h;

    if (!s) return -ENOMEM;
    s->rgb = malloc((size_t)3 * most.w);
    s->scaled = malloc(3 * pixels);
    s->row = malloc(most.w * sizeof(float));
    s->lab = malloc(most.w * sizeof(float));
    s->grey = malloc(pixels * sizeof(float));
    s->other = malloc(pixels * sizeof(float));
    if (s->rgb && s->scaled && s->row && s->lab && s->grey && s->other) return 0;
    clzt_crop_scratch_destroy(scratch);
    return -ENOMEM;
}

void clzt_crop_scratch_destroy(struct clzt_crop_scratch **scratch)
{
    if (!*scratch) return;
    free((*scratch)->rgb);
    free((*scratch)->scaled);
    free((*scratch)->row);
    free((*scratch)->narrow);
    free((*scratch)->lab);
    free((*scratch)->grey);
    free((*scratch)->other);
    free(*scratch);
    *scratch = NULL;
}

// ---- random numbers ----

// What a random number is used for; part of the Philox counter, so that the uses are independent. loader.c has 254 and 255,
// hints.c 252 and 253.
enum use {
    USE_PLACE, USE_LUMA, USE_LUMA2, USE_FILM, USE_GRAIN, USE_SHAPE, USE_STOCK, USE_LIGHT, USE_DAMAGE, USE_SCRATCH, USE_DUST
};

static float uniform_in(uint32_t word, double low, double high) { return (float)(low + (high - low) * clzk_uniform(word)); }

static const struct clzk_luma_weights standards[] = {
    [CLZT_LUMA_601] = CLZK_LUMA_601, [CLZT_LUMA_709] = CLZK_LUMA_709, [CLZT_LUMA_2020] = CLZK_LUMA_2020,
};

static void standard_luma(enum clzt_luma_input standard, float luma[3])
{
    const struct clzk_luma_weights w = standards[standard];

    luma[0] = w.kr;
    luma[1] = (float)(1 - (double)w.kr - w.kb);
    luma[2] = w.kb;
}

// A mix of the three standards, uniform over all mixes (normalised exponential variates); then each weight is multiplied by a
// factor of its own. A quarter of the samples get the weights of orthochromatic film.
static void draw_luma(float luma[3], const uint32_t r[4], const uint32_t q[4])
{
    const float octaves[3] = { 0.6f, 0.2f, 0.8f };              // the factor is 2^-octaves to 2^octaves
    float total = 1e-12f, w[3], e;

    memset(luma, 0, 3 * sizeof *luma);
    for (int k = 0; k < 3; k++) {
        e = -logf(1 - clzk_uniform(r[k]));
        total += e;
        standard_luma((enum clzt_luma_input[]){ CLZT_LUMA_601, CLZT_LUMA_709, CLZT_LUMA_2020 }[k], w);
        for (int c = 0; c < 3; c++) luma[c] += e * w[c];
    }
    for (int c = 0; c < 3; c++) luma[c] *= exp2f(uniform_in(q[c], -octaves[c], octaves[c])) / total;
    if (clzk_uniform(r[3]) < 0.25f) {
        luma[0] *= uniform_in(q[3] * 2654435761u, 0.1, 0.7);
        luma[2] *= uniform_in(q[3], 1, 3);
    }
    total = 0;
    for (int c = 0; c < 3; c++) total += luma[c];
    for (int c = 0; c < 3; c++) luma[c] /= total;
}

// What film was sensitive to, as ranges of the weights of red and green; blue has the rest. Orthochromatic film: to blue and
// green, to about 590 nm, so that red is black. Panchromatic film of 1925 to 1960: to red as well, and to blue more than the eye
// is. The ranges are estimates, wide enough for different makes, filters and light.
struct stock { float red[2], green[2]; };
static const struct stock ortho = { { 0, 0.08f }, { 0.35f, 0.6f } }, pan = { { 0.2f, 0.38f }, { 0.3f, 0.45f } };

static void draw_stock(const struct stock *stock, float luma[3], const uint32_t r[4])
{
    luma[0] = uniform_in(r[1], stock->red[0], stock->red[1]);
    luma[1] = uniform_in(r[2], stock->green[0], stock->green[1]);
    luma[2] = 1 - luma[0] - luma[1];
}

// A random whole number from 0 to `most` or the next above it, with mean most / 2.
static int draw_number(double most, uint32_t word, uint32_t rest)
{
    return (int)floor(clzk_uniform(word) * most + clzk_uniform(rest));
}

// Width of the largest crop of the sample's aspect ratio that zoom_out allows and the picture contains.
static int widest(const struct clzt_loader_params *params, struct clzt_size size, int width, int height)
{
    const double want = params->zoom_out <= 1 ? size.w : size.w * params->zoom_out, tall = (double)height * size.w / size.h;
    const int most = want < width ? (int)want : width;

    return most < tall ? most : tall < 1 ? 1 : (int)tall;
}

static int height_for(struct clzt_size size, double width, int most)
{
    const int height = (int)lrint(width * size.h / size.w);
    return height < 1 ? 1 : height > most ? most : height;
}

void clzt_crop_plain(struct clzt_crop *crop, const struct clzt_loader_params *params, struct clzt_size size, int width,
                     int height)
{
    const int w = widest(params, size, width, height), h = height_for(size, w, height);
    const bool standard = params->luma != CLZT_LUMA_RANDOM && params->luma != CLZT_LUMA_LSTAR;

    *crop = (struct clzt_crop){
        .x = (width - w) / 2, .y = (height - h) / 2, .width = w, .height = h, .size = size,
        .lstar = params->luma == CLZT_LUMA_LSTAR, .gamma = 1, .contrast = 1,
    };
    standard_luma(standard ? params->luma : CLZT_LUMA_601, crop->luma);
}

void clzt_crop_draw(struct clzt_crop *crop, const struct clzt_loader_params *params, struct clzt_size size, int width, int height,
                    int64_t epoch, int64_t picture)
{
    const struct clzt_film *film = &params->film;
    const uint64_t seed = params->seed, high = (uint64_t)epoch << 32;
    uint32_t r[4], q[4];

    clzt_crop_plain(crop, params, size, width, height);
    clzk_philox(seed, high | USE_PLACE, picture, r);
    if (params->zoom_in > 1 || params->zoom_out > 1) {          // uniform in the logarithm
        const double least = fmin(size.w / fmax(params->zoom_in, 1), crop->width);
        const int w = (int)lrint(least * exp2(clzk_uniform(r[3]) * log2(crop->width / least)));
        crop->width = w < 1 ? 1 : w;
        crop->height = height_for(size, crop->width, height);
    }
    if (params->aspect > 1) {               // wider and less tall at equal area; where the picture is too narrow, only less tall
        clzk_philox(seed, high | USE_SHAPE, picture, q);
        const double ratio = exp2(clzk_uniform(q[0]) * log2(params->aspect)), wide = crop->width * sqrt(ratio);
        crop->width = wide < width ? (int)lrint(wide) : width;
        crop->height = height_for(size, crop->width / ratio, height);
    }
    crop->x = (int)((uint64_t)r[0] * (width - crop->width + 1) >> 32);
    crop->y = (int)((uint64_t)r[1] * (height - crop->height + 1) >> 32);
    crop->flip = params->flip && r[2] >> 31;
    if (params->luma == CLZT_LUMA_RANDOM) {
        clzk_philox(seed, high | USE_LUMA, picture, r);
        clzk_philox(seed, high | USE_LUMA2, picture, q);
        draw_luma(crop->luma, r, q);
    }
    clzk_philox(seed, high | USE_FILM, picture, r);
    crop->gamma = exp2f(uniform_in(r[0], -film->gamma, film->gamma));
    crop->contrast = 1 + uniform_in(r[1], -film->contrast, film->contrast);
    crop->blur = uniform_in(r[2], 0, film->blur);
    crop->grain = uniform_in(r[3], 0, film->grain);
    crop->grain_soft = clzk_uniform(r[3] * 2654435761u);
    if (film->ortho > 0 || film->pan > 0) {
        clzk_philox(seed, high | USE_STOCK, picture, r);
        if (clzk_uniform(r[0]) < film->ortho) draw_stock(&ortho, crop->luma, r);
        else if (clzk_uniform(r[0]) < film->ortho + film->pan) draw_stock(&pan, crop->luma, r);
    }
    clzk_philox(seed, high | USE_LIGHT, picture, r);
    crop->vignette = uniform_in(r[0], 0, film->vignette);
    for (int i = 0; i < 2; i++) crop->light[i] = uniform_in(r[1 + i], -film->flicker, film->flicker);
    clzk_philox(seed, high | USE_DAMAGE, picture, r);
    crop->scratches = draw_number(film->scratches, r[0], r[1]);
    crop->dust = draw_number(film->dust, r[2], r[3]);
    crop->seed = seed;
    crop->epoch = epoch;
    crop->picture = picture;
}

// ---- pixels ----

// Cube root: a first guess by dividing the exponent (Kahan), then two iterations of Halley's method, exact but for rounding.
static inline float cube_root(float x)
{
    union { float f; int32_t i; } u = { .f = x };
    float y, y3;

    u.i = (int32_t)((float)u.i * (1 / 3.f)) + 709921077;
    y = u.f;
    y3 = y * y * y;
    y = y * (y3 + 2 * x) / (2 * y3 + x);
    y3 = y * y * y;
    return y * (y3 + 2 * x) / (2 * y3 + x);
}

static inline float lab_f(float t)          // clzk_lab_f with a cube root that vectorises
{
    const float root = cube_root(t), line = 7.787f * t + 16 / 116.f;
    return t > 0.008856f ? root : line;
}

void clzt_lab_row(const struct clzt_crop_tables *tables, const uint8_t *restrict r, const uint8_t *restrict g,
                  const uint8_t *restrict b, int count, float *restrict l, float *restrict a, float *restrict bb)
{
    const float *restrict linear = tables->linear;

#pragma omp simd
    for (int i = 0; i < count; i++) {
        const float R = linear[r[i]], G = linear[g[i]], B = linear[b[i]];
        const float fx = lab_f(clzk_linear_to_x(R, G, B) * (1 / CLZK_WHITE_X));
        const float fy = lab_f(clzk_linear_to_y(R, G, B));
        const float fz = lab_f(clzk_linear_to_z(R, G, B) * (1 / CLZK_WHITE_Z));
        l[i] = (116 * fy - 16) * 0.02f - 1;
        a[i] = (fx - fy) * (500 / 110.f);
        bb[i] = (fy - fz) * (200 / 110.f);
    }
}

static void luma_row(const float weights[3], const uint8_t *restrict r, const uint8_t *restrict g, const uint8_t *restrict b,
                     int count, float *restrict grey)
{
    const float wr = weights[0] / 255, wg = weights[1] / 255, wb = weights[2] / 255;

#pragma omp simd
    for (int i = 0; i < count; i++) grey[i] = wr * r[i] + wg * g[i] + wb * b[i];
}

static void draw_part(const struct clzt_crop *crop, enum use use, uint64_t number, uint32_t r[4])
{
    clzk_philox(crop->seed, crop->epoch << 32 | number << 8 | use, crop->picture, r);
}

// Vignette and flicker: how much light each place of the film got. A lens's corners are darker by the fourth power of the cosine
// of the angle, 1 / (1 + k r^2)^2, here with r = 1 in the corners of the whole picture, of which the sample shows a part.
static void expose(const struct clzt_crop *crop, const struct clzt_picture *picture, float *grey)
{
    const int w = crop->size.w, h = crop->size.h;
    const float k = 1 / sqrtf(1 - crop->vignette) - 1;
    const float half_x = picture->width * 0.5f, half_y = picture->height * 0.5f, unit = k / (half_x * half_x + half_y * half_y);
    const float step_x = (float)crop->width / w, step_y = (float)crop->height / h;

    if (crop->vignette <= 0 && crop->light[0] == 0 && crop->light[1] == 0) return;
    for (int y = 0; y < h; y++) {
        const float light = 1 + crop->light[0] + (crop->light[1] - crop->light[0]) * (y + 0.5f) / h;
        const float dy = crop->y + (y + 0.5f) * step_y - half_y;
        float *const row = grey + (size_t)y * w;
        for (int x = 0; x < w; x++) {
            const float dx = crop->x + ((crop->flip ? w - 1 - x : x) + 0.5f) * step_x - half_x;
            const float lens = 1 + unit * (dx * dx + dy * dy), v = row[x] * light / (lens * lens);
            row[x] = v > 1 ? 1 : v;
        }
    }
}

// Gamma and contrast by a table of 256 intervals with linear interpolation, which is exact enough for 8 bits.
static void film_response(const struct clzt_crop *crop, float *grey, int count)
{
    float table[258];

    if (crop->gamma == 1 && crop->contrast == 1) return;
    for (int i = 0; i < 258; i++) {
        const float v = (powf(i / 256.f, crop->gamma) - 0.5f) * crop->contrast + 0.5f;
        table[i] = v < 0 ? 0 : v > 1 ? 1 : v;
    }
    for (int i = 0; i < count; i++) {
        const float at = grey[i] * 256, k = floorf(at);
        grey[i] = table[(int)k] + (at - k) * (table[(int)k + 1] - table[(int)k]);
    }
}

static inline int mirror(int i, int n)      // index of the picture continued by reflection: 1 0 | 0 1 2 ...
{
    if (i < 0) i = -1 - i;
    if (i >= n) i = 2 * n - 1 - i;
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

static void blur(struct clzt_crop_scratch *s, struct clzt_size size, float sigma, float *image)
{
    const int w = size.w, h = size.h, radius = sigma < MAX_RADIUS / 3.f ? (int)ceilf(3 * sigma) : MAX_RADIUS;
    float taps[2 * MAX_RADIUS + 1], sum = 0;

    if (sigma < 0.15f) return;              // the neighbours' weights are too small to change an 8-bit level
    for (int i = -radius; i <= radius; i++) sum += taps[i + radius] = expf(-0.5f * i * i / (sigma * sigma));
    for (int i = 0; i <= 2 * radius; i++) taps[i] /= sum;
    for (int y = 0; y < h; y++) {           // vertical, image to other
        float *restrict out = s->other + (size_t)y * w;
        memset(out, 0, w * sizeof *out);
        for (int k = -radius; k <= radius; k++) {
            const float *restrict in = image + (size_t)mirror(y + k, h) * w;
            const float weight = taps[k + radius];
#pragma omp simd
            for (int x = 0; x < w; x++) out[x] += weight * in[x];
        }
    }
    for (int y = 0; y < h; y++) {           // horizontal, other to image
        const float *in = s->other + (size_t)y * w;
        float *out = image + (size_t)y * w;
        for (int x = 0; x < w; x++) {
            float v = 0;
            if (x >= radius && x + radius < w) for (int k = -radius; k <= radius; k++) v += taps[k + radius] * in[x + k];
            else for (int k = -radius; k <= radius; k++) v += taps[k + radius] * in[mirror(x + k, w)];
            out[x] = v;
        }
    }
}

// Normal variates of deviation 1, approximately: sums of four random bytes, which have variance 4 (256^2 - 1) / 12.
static void noise(const struct clzt_crop *crop, float *out, int count)
{
    for (int i = 0; i < count; i += 4) {
        uint32_t r[4];
        draw_part(crop, USE_GRAIN, i / 4, r);
        for (int k = 0; k < 4 && i + k < count; k++) {
            const uint32_t v = r[k];
            out[i + k] = ((int)((v & 255) + (v >> 8 & 255) + (v >> 16 & 255) + (v >> 24)) - 510) * (1 / 147.8f);
        }
    }
}

// Grain: white noise mixed with the same noise averaged over 2x2 pixels, in the ratio grain_soft; scaled to deviation
// crop->grain.
static void add_grain(const struct clzt_crop *crop, struct clzt_crop_scratch *s, float *grey)
{
    const int w = crop->size.w, h = crop->size.h;
    const float soft = crop->grain_soft, norm = crop->grain / sqrtf((1 - soft) * (1 - soft) + soft * soft + (1 - soft) * soft);

    if (crop->grain < 0.0005f) return;
    noise(crop, s->other, w * h);
    for (int y = 0; y < h; y++) {
        const float *restrict here = s->other + (size_t)y * w, *restrict below = s->other + (size_t)(y + 1 < h ? y + 1 : 0) * w;
        float *restrict out = grey + (size_t)y * w;
        for (int x = 0; x < w; x++) {
            const int right = x + 1 < w ? x + 1 : 0;
            const float sum = 0.5f * (here[x] + here[right] + below[x] + below[right]);
            out[x] += norm * ((1 - soft) * here[x] + soft * sum);
        }
    }
}

static inline void cover(float *grey, float to, float opacity) { *grey += opacity * (to - *grey); }

// Scratches run along the film, so nearly vertically and, every second one, through the whole picture; they wander a little.
// Those of a print are black, those of its negative white.
static void add_scratches(const struct clzt_crop *crop, float *grey)
{
    const int w = crop->size.w, h = crop->size.h;

    for (int n = 0; n < crop->scratches; n++) {
        uint32_t r[4], q[4];
        draw_part(crop, USE_SCRATCH, 2 * n, r);
        draw_part(crop, USE_SCRATCH, 2 * n + 1, q);
        const float middle = uniform_in(r[0], 0, w), slant = uniform_in(r[1], -0.02, 0.02), sigma = uniform_in(r[2], 0.3, 0.8);
        const float opacity = uniform_in(r[3], 0.2, 0.9), white = (float)(q[0] & 1);
        const float sway = uniform_in(q[1], 0, 1.5), turn = 6.2832f / uniform_in(q[2], 40, 400);
        const float phase = uniform_in(q[3], 0, 6.2832), flat = -0.5f / (sigma * sigma);
        const int length = q[0] & 2 ? h : (int)(uniform_in(q[0], 0.05, 1) * h);
        const int top = (int)(uniform_in(q[0] * 2654435761u, 0, 1) * (h - length + 1));
        for (int y = top; y < top + length; y++) {
            const float at = middle + slant * (y - h * 0.5f) + sway * sinf(turn * y + phase) - 0.5f;
            for (int x = (int)ceilf(at - 2.5f); x <= at + 2.5f; x++)
                if (x >= 0 && x < w) cover(&grey[(size_t)y * w + x], white, opacity * expf(flat * (x - at) * (x - at)));
        }
    }
}

// Dust: specks of uneven outline, most of them small, black or white; one in eight is drawn out to a hair.
static void add_dust(const struct clzt_crop *crop, float *grey)
{
    const int w = crop->size.w, h = crop->size.h;
    const float largest = fmaxf(1, 0.02f * (w < h ? w : h));

    for (int n = 0; n < crop->dust; n++) {
        uint32_t r[4], q[4];
        draw_part(crop, USE_DUST, 2 * n, r);
        draw_part(crop, USE_DUST, 2 * n + 1, q);
        const float at_x = uniform_in(r[0], 0, w), at_y = uniform_in(r[1], 0, h), u = clzk_uniform(r[2]);
        const float radius = 0.5f + (largest - 0.5f) * u * u * u, opacity = uniform_in(r[3], 0.4, 1), white = (float)(q[0] & 1);
        const bool hair = (q[0] & 14) == 0;
        const float across = hair ? 0.5f : radius * uniform_in(q[1], 0.5, 1), along = hair ? 4 * largest : radius;
        const float angle = uniform_in(q[2], 0, 6.2832), c = cosf(angle), s = sinf(angle);
        const float bend = uniform_in(q[3], -0.5, 0.5) * along;
        const float reach = (hair ? 2 : 1.2f) * along + 1;
        for (int y = (int)fmaxf(0, at_y - reach); y < h && y <= at_y + reach; y++)
            for (int x = (int)fmaxf(0, at_x - reach); x < w && x <= at_x + reach; x++) {
                const float dx = x + 0.5f - at_x, dy = y + 0.5f - at_y, a = (c * dx + s * dy) / along;
                const float b = (c * dy - s * dx - (hair ? bend * a * a : 0)) / across;
                const float ragged = hair ? 1 : 1 + 0.2f * sinf(3 * atan2f(b, a) + angle);
                const float inside = (ragged - sqrtf(a * a + b * b)) * across + 0.5f;      // in pixels, about the outline
                if (inside > 0) cover(&grey[(size_t)y * w + x], white, opacity * fminf(inside, 1));
            }
    }
}

// Filter of an output pixel: a triangle about its centre, two input pixels wide when enlarging and two output pixels wide when
// reducing.
struct taps { int first, count; float weight[MAX_TAPS]; };

static void taps_make(struct taps *t, int to, int side, int size)
{
    const float ratio = (float)side / size, reach = ratio > 1 ? ratio : 1, middle = (to + 0.5f) * ratio - 0.5f;
    float sum = 0;
    int last = (int)floorf(middle + reach);

    t->first = (int)ceilf(middle - reach);
    if (t->first < 0) t->first = 0;
    if (last > side - 1) last = side - 1;
    t->count = last - t->first + 1;
    for (int i = 0; i < t->count; i++) {
        const float d = fabsf(t->first + i - middle) / reach;
        sum += t->weight[i] = d < 1 ? 1 - d : 0;
    }
    for (int i = 0; i < t->count; i++) t->weight[i] /= sum;
}

// Scales the crop to the sample's size: horizontally into `narrow` (values times 256), then vertically.
static int scale(const struct clzt_crop *crop, struct clzt_crop_scratch *s, const uint8_t *const planes[3], int stride)
{
    const int w = crop->size.w, h = crop->size.h;
    const size_t room = (size_t)crop->height * w;
    struct taps t;

    if (room > s->narrow_room) {
        uint16_t *more = realloc(s->narrow, room * sizeof *more);
        if (!more) return -ENOMEM;
        s->narrow = more;
        s->narrow_room = room;
    }
    for (int p = 0; p < 3; p++) {
        const uint8_t *const part = planes[p] + (size_t)crop->y * stride + crop->x;
        for (int x = 0; x < w; x++) {
            taps_make(&t, x, crop->width, w);
            for (int y = 0; y < crop->height; y++) {
                const uint8_t *const in = part + (size_t)y * stride + t.first;
                float v = 0.5f / 256;
                for (int i = 0; i < t.count; i++) v += t.weight[i] * in[i];
                s->narrow[(size_t)y * w + x] = (uint16_t)(v * 256);
            }
        }
        for (int y = 0; y < h; y++) {
            uint8_t *const restrict out = s->scaled + ((size_t)p * h + y) * w;
            float *const restrict row = s->row;
            taps_make(&t, y, crop->height, h);
            memset(row, 0, w * sizeof *row);
            for (int i = 0; i < t.count; i++) {
                const uint16_t *const restrict in = s->narrow + (size_t)(t.first + i) * w;
                const float weight = t.weight[i] / 256;
#pragma omp simd
                for (int x = 0; x < w; x++) row[x] += weight * in[x];
            }
            for (int x = 0; x < w; x++) out[x] = (uint8_t)(row[x] + 0.5f);
        }
    }
    return 0;
}

int clzt_crop_run(const struct clzt_crop *crop, const struct clzt_crop_tables *tables, struct clzt_crop_scratch *s,
                  const struct clzt_picture *picture, float *l, float *ab, float *true_l)
{
    const int w = crop->size.w, h = crop->size.h, pixels = w * h;
    const uint8_t *planes[3] = { picture->r, picture->g, picture->b };
    size_t first = (size_t)crop->y * picture->width + crop->x;
    int stride = picture->width, ret;

    if (crop->width != w || crop->height != h) {
        if ((ret = scale(crop, s, planes, stride)) < 0) return ret;
        for (int p = 0; p < 3; p++) planes[p] = s->scaled + (size_t)p * pixels;
        first = 0;
        stride = w;
    }
    for (int y = 0; y < h; y++) {
        const size_t from = first + (size_t)y * stride, to = (size_t)y * w;
        const uint8_t *row[3];
        for (int p = 0; p < 3; p++) {
            row[p] = planes[p] + from;
            if (!crop->flip) continue;
            for (int i = 0; i < w; i++) s->rgb[p * w + i] = row[p][w - 1 - i];
            row[p] = s->rgb + p * w;
        }
        clzt_lab_row(tables, row[0], row[1], row[2], w, crop->lstar ? l + to : true_l ? true_l + to : s->lab, ab + to,
                     ab + pixels + to);
        if (crop->lstar && true_l) memcpy(true_l + to, l + to, w * sizeof(float));
        if (!crop->lstar) luma_row(crop->luma, row[0], row[1], row[2], w, s->grey + to);
    }
    if (crop->lstar) return 0;
    expose(crop, picture, s->grey);
    film_response(crop, s->grey, pixels);
    blur(s, crop->size, crop->blur, s->grey);
    add_grain(crop, s, s->grey);
    add_scratches(crop, s->grey);
    add_dust(crop, s->grey);
    for (int i = 0; i < pixels; i++) {
        const float v = s->grey[i] * 255 + 0.5f;
        l[i] = tables->l_of_luma[v < 0 ? 0 : v >= 255 ? 255 : (int)v];
    }
    return 0;
}
