// flow.c - dense motion between two pictures.
//
// Planes of a prepared picture, at each level of size w x h:
//     DETAIL      lightness minus its mean over 13 x 13 pixels
//     GX, GY      its gradient
//     IXX IXY IYY inverse of the sum of gradient products over 7 x 7 pixels, which is the same for every iteration and for both
//                 directions of motion (inverse compositional form)
//     WHOLE       lightness itself
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3,no-math-errno,no-trapping-math")
#endif
#include <math.h>
#include <string.h>

#include "flow.h"

enum { DETAIL, GX, GY, IXX, IXY, IYY, WHOLE };
enum {
    MEAN = 6, WINDOW = 3,                   // radii of the local mean and of the window over which gradients are summed
    ITERATIONS = 2,                         // at each level
    MAX_WIDTH = 1024,                       // of level 0: 16 times the shorter side
};
static const float
    noise = 49 * 1e-4f,                     // added to the sums of squares: a gradient of 0.01 is noise
    largest_step = 2,                       // of one iteration, in pixels
    largest_difference = 0.2f,              // of lightness; a larger one counts as that
    explained = 0.4f, grain = 0.003f;       // a difference up to 0.4 of the contrast, and grain, is explained well

static int clamp(int i, int n) { return i < 0 ? 0 : i >= n ? n - 1 : i; }
static int smaller(int a, int b) { return a < b ? a : b; }

void clzk_flow_size_of(struct clzk_flow_size *s, int w, int h)
{
    const int least = (smaller(w, h) + CLZK_FLOW_SIDE / 2) / CLZK_FLOW_SIDE, narrow = (w + MAX_WIDTH - 1) / MAX_WIDTH;

    memset(s, 0, sizeof *s);
    s->factor = least > narrow ? least : narrow;
    if (s->factor < 1) s->factor = 1;
    s->w[0] = (w + s->factor - 1) / s->factor;
    s->h[0] = (h + s->factor - 1) / s->factor;
    for (s->levels = 0; s->levels < CLZK_FLOW_LEVELS; s->levels++) {
        const int l = s->levels;
        if (l) s->w[l] = (s->w[l - 1] + 1) / 2;
        if (l) s->h[l] = (s->h[l - 1] + 1) / 2;
        if (l && smaller(s->w[l], s->h[l]) < 6) break;
        s->at[l] = s->pixels;
        s->pixels += (size_t)s->w[l] * s->h[l];
    }
}

// scratch: three planes of level 0, and two of it for pyramids
size_t clzk_flow_scratch(const struct clzk_flow_size *s) { return 6 * (size_t)s->w[0] * s->h[0]; }

// ---- filters ----

// out = mean (or sum) of `in` over (2 radius + 1)^2 pixels; the border is repeated. The rows' sums go through `row`.
static void box(float *out, const float *in, int w, int h, int radius, float scale)
{
    float row[MAX_WIDTH + 2 * MEAN];

    for (int y = 0; y < h; y++) {
        memset(row + radius, 0, w * sizeof *row);
        for (int k = -radius; k <= radius; k++) {
            const float *from = in + (size_t)clamp(y + k, h) * w;
            for (int x = 0; x < w; x++) row[radius + x] += from[x];
        }
        for (int k = 0; k < radius; k++) {
            row[k] = row[radius];
            row[radius + w + k] = row[radius + w - 1];
        }
        for (int x = 0; x < w; x++) {
            float sum = 0;
            for (int k = 0; k <= 2 * radius; k++) sum += row[x + k];
            out[(size_t)y * w + x] = sum * scale;
        }
    }
}

// Mean over blocks of factor x factor pixels, fewer at the right and bottom.
static void shrink(float *out, int ow, int oh, const float *in, int w, int h, int factor)
{
    for (int y = 0; y < oh; y++)
        for (int x = 0; x < ow; x++) {
            const int ex = smaller(w, (x + 1) * factor), ey = smaller(h, (y + 1) * factor);
            float sum = 0;
            for (int j = y * factor; j < ey; j++)
                for (int i = x * factor; i < ex; i++) sum += in[(size_t)j * w + i];
            out[(size_t)y * ow + x] = sum / ((ex - x * factor) * (ey - y * factor));
        }
}

static float sample(const float *p, int w, int h, float x, float y)
{
    const float cx = !(x > 0) ? 0 : x > w - 1 ? w - 1 : x, cy = !(y > 0) ? 0 : y > h - 1 ? h - 1 : y;      // NaN: 0
    const int ix = (int)cx < w - 2 ? (int)cx : w > 1 ? w - 2 : 0, iy = (int)cy < h - 2 ? (int)cy : h > 1 ? h - 2 : 0;
    const float fx = cx - ix, fy = cy - iy;
    const float *q = p + (size_t)iy * w + ix;
    const int right = w > 1, down = h > 1 ? w : 0;

    return (q[0] * (1 - fx) + q[right] * fx) * (1 - fy) + (q[down] * (1 - fx) + q[down + right] * fx) * fy;
}

// ---- pictures ----

static void gradients(float *gx, float *gy, const float *p, int w, int h)
{
    for (int y = 0; y < h; y++) {
        const float *row = p + (size_t)y * w, *above = p + (size_t)clamp(y - 1, h) * w, *below = p + (size_t)clamp(y + 1, h) * w;
        float *ox = gx + (size_t)y * w, *oy = gy + (size_t)y * w;
        for (int x = 0; x < w; x++) oy[x] = (below[x] - above[x]) / 2;
        for (int x = 1; x < w - 1; x++) ox[x] = (row[x + 1] - row[x - 1]) / 2;
        ox[0] = (row[clamp(1, w)] - row[0]) / 2;
        ox[w - 1] = (row[w - 1] - row[clamp(w - 2, w)]) / 2;
    }
}

static void prepare_level(float *planes, size_t pixels, size_t at, const float *lightness, int w, int h, float *scratch)
{
    const size_t n = (size_t)w * h;
    float *detail = planes + DETAIL * pixels + at, *gx = planes + GX * pixels + at, *gy = planes + GY * pixels + at;
    float *ixx = planes + IXX * pixels + at, *ixy = planes + IXY * pixels + at, *iyy = planes + IYY * pixels + at;

    box(scratch, lightness, w, h, MEAN, 1.f / ((2 * MEAN + 1) * (2 * MEAN + 1)));
    for (size_t i = 0; i < n; i++) detail[i] = lightness[i] - scratch[i];
    memcpy(planes + WHOLE * pixels + at, lightness, n * sizeof *lightness);
    gradients(gx, gy, detail, w, h);
    for (size_t i = 0; i < n; i++) scratch[i] = gx[i] * gx[i];
    box(ixx, scratch, w, h, WINDOW, 1);
    for (size_t i = 0; i < n; i++) scratch[i] = gx[i] * gy[i];
    box(ixy, scratch, w, h, WINDOW, 1);
    for (size_t i = 0; i < n; i++) scratch[i] = gy[i] * gy[i];
    box(iyy, scratch, w, h, WINDOW, 1);
    for (size_t i = 0; i < n; i++) {
        const float a = ixx[i] + noise, b = ixy[i], c = iyy[i] + noise, scale = 1 / (a * c - b * b);
        ixx[i] = c * scale;
        ixy[i] = -b * scale;
        iyy[i] = a * scale;
    }
}

void clzk_flow_picture(const struct clzk_flow_size *s, const float *lightness, int w, int h, float *planes, float *scratch)
{
    const size_t n = (size_t)s->w[0] * s->h[0];
    float *level = scratch + n, *next = level + n;

    shrink(level, s->w[0], s->h[0], lightness, w, h, s->factor);
    for (int l = 0; l < s->levels; l++) {
        float *t = next;
        prepare_level(planes, s->pixels, s->at[l], level, s->w[l], s->h[l], scratch);
        if (l + 1 < s->levels) shrink(next, s->w[l + 1], s->h[l + 1], level, s->w[l], s->h[l], 2);
        next = level;
        level = t;
    }
}

// ---- motion ----

// The motion of the next smaller level, scaled to this one.
static void enlarge(float *v, int w, int h, const float *small, int sw, int sh)
{
    for (int k = 0; k < 2; k++)
        for (int y = 0; y < h; y++)
            for (int x = 0; x < w; x++)
                v[((size_t)k * h + y) * w + x] =
                    2 * sample(small + (size_t)k * sw * sh, sw, sh, (x - 0.5f) / 2, (y - 0.5f) / 2);
}

// One iteration: v -= inverse * sum(gradient * difference)
static void step(const float *from, const float *to, size_t pixels, int w, int h, float *v, float *scratch)
{
    const size_t n = (size_t)w * h;
    const float *gx = from + GX * pixels, *gy = from + GY * pixels;
    const float *ixx = from + IXX * pixels, *ixy = from + IXY * pixels, *iyy = from + IYY * pixels;
    float *px = scratch, *py = scratch + n, *bx = scratch + 2 * n, *by = scratch + 3 * n;

    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const size_t i = (size_t)y * w + x;
            float d = sample(to, w, h, x + v[i], y + v[n + i]) - from[i];
            d = d > largest_difference ? largest_difference : d < -largest_difference ? -largest_difference : d;
            px[i] = gx[i] * d;
            py[i] = gy[i] * d;
        }
    box(bx, px, w, h, WINDOW, 1);
    box(by, py, w, h, WINDOW, 1);
    for (size_t i = 0; i < n; i++) {
        float dx = -(ixx[i] * bx[i] + ixy[i] * by[i]), dy = -(ixy[i] * bx[i] + iyy[i] * by[i]);
        dx = dx > largest_step ? largest_step : dx < -largest_step ? -largest_step : dx;
        dy = dy > largest_step ? largest_step : dy < -largest_step ? -largest_step : dy;
        px[i] = v[i] + dx;
        py[i] = v[n + i] + dy;
    }
    box(v, px, w, h, 1, 1 / 9.f);           // neighbours move alike
    box(v + n, py, w, h, 1, 1 / 9.f);
}

// Sets v to 0 where that explains the picture well, and no worse than v. The large windows of the small levels spread the motion
// of what moves far into what stands still; with this, a still background keeps its place.
static void prefer_still(const float *from, const float *to, int w, int h, float *v, float *scratch)
{
    const size_t n = (size_t)w * h;
    float *moved = scratch, *still = scratch + n, *mean = scratch + 2 * n;

    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const size_t i = (size_t)y * w + x;
            const float by_motion = fabsf(sample(to, w, h, x + v[i], y + v[n + i]) - from[i]), by_none = fabsf(to[i] - from[i]);
            moved[i] = by_none - by_motion;
            still[i] = by_none - explained * fabsf(from[i]) - grain;
        }
    box(mean, moved, w, h, 2, 1);
    for (size_t i = 0; i < n; i++) moved[i] = mean[i];
    box(mean, still, w, h, 2, 1);
    for (size_t i = 0; i < n; i++) {
        const float keep = moved[i] > 0 || mean[i] > 0;
        v[i] *= keep;
        v[n + i] *= keep;
    }
}

void clzk_flow(const struct clzk_flow_size *s, const float *from, const float *to, float *v, float *scratch)
{
    float *small = scratch + 4 * (size_t)s->w[0] * s->h[0];

    for (int l = s->levels - 1; l >= 0; l--) {
        const int w = s->w[l], h = s->h[l];
        if (l == s->levels - 1) {
            memset(v, 0, 2 * (size_t)w * h * sizeof *v);
        } else {
            memcpy(small, v, 2 * (size_t)s->w[l + 1] * s->h[l + 1] * sizeof *v);
            enlarge(v, w, h, small, s->w[l + 1], s->h[l + 1]);
            prefer_still(from + s->at[l], to + s->at[l], w, h, v, scratch);
        }
        for (int i = 0; i < ITERATIONS; i++) step(from + s->at[l], to + s->at[l], s->pixels, w, h, v, scratch);
    }
}

float clzk_flow_agreement(const struct clzk_flow_size *s, const float *there, const float *back, float *agreement)
{
    const int w = s->w[0], h = s->h[0];
    const size_t n = (size_t)w * h;
    double sum = 0;

    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const size_t i = (size_t)y * w + x;
            const float tx = x + there[i], ty = y + there[n + i];
            const float dx = there[i] + sample(back, w, h, tx, ty), dy = there[n + i] + sample(back + n, w, h, tx, ty);
            const int inside = tx > -1 && ty > -1 && tx < w && ty < h;
            agreement[i] = inside ? 1 / ((1 + (dx * dx + dy * dy)) * (1 + (dx * dx + dy * dy))) : 0;
            sum += agreement[i];
        }
    return (float)(sum / n);
}

// The level of the pyramid that is compared: half the size, where grain is weaker.
static int compared_level(const struct clzk_flow_size *s) { return s->levels > 1; }

float clzk_flow_correlation(const struct clzk_flow_size *s, const float *from, const float *to, const float *v)
{
    const int l = compared_level(s), w = s->w[l], h = s->h[l], w0 = s->w[0], h0 = s->h[0];
    const size_t n = (size_t)w * h;
    const float *a = from + s->at[l], *b = to + s->at[l];
    const float scale = l ? 0.5f : 1;
    const double floor = n * 1e-5;          // of contrast 0.003
    double aa = 0, ab = 0, bb = 0;

    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const size_t i = (size_t)y * w + x, k = (size_t)clamp(y << l, h0) * w0 + clamp(x << l, w0);
            const float p = a[i], q = sample(b, w, h, x + scale * v[k], y + scale * v[(size_t)w0 * h0 + k]);
            aa += p * p;
            ab += p * q;
            bb += q * q;
        }
    return (float)((ab + floor) / (sqrt(aa * bb) + floor));
}

float clzk_flow_brightness(const struct clzk_flow_size *s, const float *from, const float *to, const float *v,
                           const float *agreement)
{
    const int w = s->w[0], h = s->h[0];
    const size_t n = (size_t)w * h, plane = WHOLE * s->pixels;
    double sum = 0, weight = 1e-9;

    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            const size_t i = (size_t)y * w + x;
            sum += agreement[i] * (sample(to + plane, w, h, x + v[i], y + v[n + i]) - from[plane + i]);
            weight += agreement[i];
        }
    return (float)(sum / weight);
}

float clzk_flow_contrast(const struct clzk_flow_size *s, const float *planes)
{
    const int l = compared_level(s);
    const size_t n = (size_t)s->w[l] * s->h[l];
    double sum = 0;

    for (size_t i = 0; i < n; i++) sum += planes[s->at[l] + i] * planes[s->at[l] + i];
    return (float)sqrt(sum / n);
}

float clzk_flow_mean(const struct clzk_flow_size *s, const float *planes)
{
    const size_t n = (size_t)s->w[0] * s->h[0];
    const float *whole = planes + WHOLE * s->pixels;
    double sum = 0;

    for (size_t i = 0; i < n; i++) sum += whole[i];
    return (float)(sum / n);
}

void clzk_flow_thumbnail(const struct clzk_flow_size *s, const float *planes, float *thumbnail)
{
    const float *whole = planes + WHOLE * s->pixels;
    const int w = s->w[0], h = s->h[0], tw = CLZK_FLOW_THUMBNAIL_W, th = CLZK_FLOW_THUMBNAIL_H;

    for (int y = 0; y < th; y++)
        for (int x = 0; x < tw; x++) {
            const int x0 = x * w / tw, y0 = y * h / th, next_x = (x + 1) * w / tw, next_y = (y + 1) * h / th;
            const int x1 = next_x > x0 ? next_x : x0 + 1, y1 = next_y > y0 ? next_y : y0 + 1;
            float sum = 0;
            for (int j = y0; j < y1; j++)
                for (int i = x0; i < x1; i++) sum += whole[(size_t)j * w + i];
            thumbnail[y * tw + x] = sum / ((x1 - x0) * (y1 - y0));
        }
}
