// nn_template.h - the functions of struct clzk_nn for one type of element: included by nn_isa.h once with BF16 0 and once with
// BF16 1. Loops are plain C that the compiler vectorises. The loops fix the order of every sum, not the compiler (no
// -ffast-math), so that results depend on the instruction set only.

#if BF16
#define T uint16_t
#define F(name) name##_bf16

static inline float F(get)(T v)
{
    const uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

// Rounds to nearest even. The NaN that x86 computes (0x7fc00000, either sign) stays a NaN. A NaN whose low bits are all set does
// not, but a test for it would cost a third of the speed of the simple kernels.
static inline T F(put)(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
#else
#define T float
#define F(name) name##_f32
static inline float F(get)(T v) { return v; }
static inline T F(put)(float f) { return f; }
#endif
#if BF16
INLINE vec F(vec_get)(const T *x) { return (vec)(__builtin_convertvector(*(const vec_half *)x, vec_bits) << 16); }
INLINE void F(vec_put)(T *y, vec v)
{
    const vec_bits bits = (vec_bits)v;
    *(vec_half *)y = __builtin_convertvector((bits + 0x7fff + (bits >> 16 & 1)) >> 16, vec_half);
}
#else
INLINE vec F(vec_get)(const T *x) { return *(const vec *)x; }
INLINE void F(vec_put)(T *y, vec v) { *(vec *)y = v; }
#endif
#define GET F(get)
#define PUT F(put)

static void F(from_f32)(void *yv, const float *x, int64_t count)
{
    T *y = yv;
    SIMD for (int64_t i = 0; i < count; i++) y[i] = PUT(x[i]);
}

static void F(to_f32)(float *y, const void *xv, int64_t count)
{
    const T *x = xv;
    SIMD for (int64_t i = 0; i < count; i++) y[i] = GET(x[i]);
}

static void F(interleave)(void *yv, const float *x, int64_t plane, int channels, int64_t pixels)
{
    T *y = yv;
    if (channels == 1) {
        F(from_f32)(y, x, pixels);
    } else if (channels == 2) {
        SIMD for (int64_t i = 0; i < pixels; i++) {
            y[2 * i] = PUT(x[i]);
            y[2 * i + 1] = PUT(x[plane + i]);
        }
    } else {
        for (int c = 0; c < channels; c++)
            SIMD for (int64_t i = 0; i < pixels; i++) y[i * channels + c] = PUT(x[c * plane + i]);
    }
}

static void F(deinterleave)(float *y, const void *xv, int64_t plane, int channels, int64_t pixels)
{
    const T *x = xv;
    if (channels == 1) {
        F(to_f32)(y, x, pixels);
    } else if (channels == 2) {
        SIMD for (int64_t i = 0; i < pixels; i++) {
            y[i] = GET(x[2 * i]);
            y[plane + i] = GET(x[2 * i + 1]);
        }
    } else {
        for (int c = 0; c < channels; c++)
            SIMD for (int64_t i = 0; i < pixels; i++) y[c * plane + i] = GET(x[i * channels + c]);
    }
}

// ---- elementwise; BY_ACT compiles a loop for each activation, in which A is a constant ----

INLINE void F(act_loop)(T *y, const T *x, int64_t count, enum clzk_act act, float slope)
{
    SIMD for (int64_t i = 0; i < count; i++) y[i] = PUT(activate(GET(x[i]), act, slope));
}

static void F(act)(void *y, const void *x, int64_t count, struct clzk_activation act)
{
    BY_ACT(act.act, F(act_loop)(y, x, count, A, act.slope))
}

INLINE void F(act_back_loop)(T *dx, const T *y, const T *dy, int64_t count, enum clzk_act act, float slope)
{
    SIMD for (int64_t i = 0; i < count; i++) dx[i] = PUT(GET(dy[i]) * derivative(GET(y[i]), act, slope));
}

static void F(act_back)(void *dx, const void *y, const void *dy, int64_t count, struct clzk_activation act)
{
    BY_ACT(act.act, F(act_back_loop)(dx, y, dy, count, A, act.slope))
}

INLINE void F(add_loop)(T *y, const T *a, const T *b, int64_t count, enum clzk_act act, float slope)
{
    SIMD for (int64_t i = 0; i < count; i++) y[i] = PUT(activate(GET(a[i]) + GET(b[i]), act, slope));
}

static void F(add)(void *y, const void *a, const void *b, int64_t count, struct clzk_activation act)
{
    BY_ACT(act.act, F(add_loop)(y, a, b, count, A, act.slope))
}

static void F(clamp)(void *yv, const void *xv, int64_t count, float limit)
{
    const T *x = xv;
    T *y = yv;
    SIMD for (int64_t i = 0; i < count; i++) {
        const float v = GET(x[i]), low = v < -limit ? -limit : v;
        y[i] = PUT(low > limit ? limit : low);
    }
}

static void F(clamp_back)(void *dxv, const void *xv, const void *dyv, int64_t count, float limit)
{
    const T *x = xv, *dy = dyv;
    T *dx = dxv;
    SIMD for (int64_t i = 0; i < count; i++) {
        const float v = GET(x[i]), g = GET(dy[i]);
        dx[i] = PUT((v < 0 ? -v : v) <= limit ? g : 0);
    }
}

static void F(dropout)(void *yv, const void *xv, const uint8_t *keep, float scale, int64_t count)
{
    const T *x = xv;
    T *y = yv;
    SIMD for (int64_t i = 0; i < count; i++) y[i] = PUT(keep[i] ? GET(x[i]) * scale : 0);
}

// ---- per channel ----

INLINE void F(affine_loop)(T *y, const T *x, int64_t rows, int channels, const float *scale, const float *shift,
                           enum clzk_act act, float slope)
{
    for (int64_t r = 0; r < rows; r++, x += channels, y += channels) {
        if (scale)
            SIMD for (int c = 0; c < channels; c++) y[c] = PUT(activate(GET(x[c]) * scale[c] + shift[c], act, slope));
        else
            SIMD for (int c = 0; c < channels; c++) y[c] = PUT(activate(GET(x[c]) + shift[c], act, slope));
    }
}

static void F(affine)(void *y, const void *x, int64_t rows, int channels, const float *scale, const float *shift,
                      struct clzk_activation act)
{
    BY_ACT(act.act, F(affine_loop)(y, x, rows, channels, scale, shift, A, act.slope))
}

// Sums over rows add 8 rows at a time, so that the sums are loaded and stored once per 8 rows.
#define EIGHT_ROWS(term, ...)                                                       \
    for (int64_t r = 0; r < rows;) {                                                \
        if (rows - r >= 8) {                                                        \
            SIMD for (int c = 0; c < channels; c++) { term(8, __VA_ARGS__) }        \
            r += 8;                                                                 \
        } else {                                                                    \
            SIMD for (int c = 0; c < channels; c++) { term(1, __VA_ARGS__) }        \
            r++;                                                                    \
        }                                                                           \
    }

static void F(sum)(float *sum, const void *xv, int64_t rows, int channels)
{
    const T *x = xv;
    for (int c = 0; c < channels; c++) sum[c] = 0;
#define SUM_TERM(count, unused)                                                                      \
    float s = 0;                                                                                     \
    for (int k = 0; k < count; k++) s += GET(x[(r + k) * channels + c]);                             \
    sum[c] += s;
    EIGHT_ROWS(SUM_TERM, 0)
}

static void F(moments)(float *sum, float *square, const void *xv, int64_t rows, int channels, const float *at)
{
    const T *x = xv;
    for (int c = 0; c < channels; c++) sum[c] = square[c] = 0;
#define MOMENTS_TERM(count, unused)                                                                  \
    float s = 0, q = 0;                                                                              \
    for (int k = 0; k < count; k++) {                                                                \
        const float v = GET(x[(r + k) * channels + c]) - at[c];                                      \
        s += v;                                                                                      \
        q += v * v;                                                                                  \
    }                                                                                                \
    sum[c] += s;                                                                                     \
    square[c] += q;
    EIGHT_ROWS(MOMENTS_TERM, 0)
}

INLINE void F(norm_back_sums_loop)(float *sum, float *dot, const T *x, const T *dy, int64_t rows, int channels,
                                   const float *scale, const float *shift, const float *mean, enum clzk_act act, float slope)
{
    for (int c = 0; c < channels; c++) sum[c] = dot[c] = 0;
#define NORM_BACK_TERM(count, unused)                                                                \
    float s = 0, q = 0;                                                                              \
    for (int k = 0; k < count; k++) {                                                                \
        const float v = GET(x[(r + k) * channels + c]);                                              \
        const float y = activate(v * scale[c] + shift[c], act, slope);                               \
        const float g = GET(dy[(r + k) * channels + c]) * derivative(y, act, slope);                 \
        s += g;                                                                                      \
        q += g * (v - mean[c]);                                                                      \
    }                                                                                                \
    sum[c] += s;                                                                                     \
    dot[c] += q;
    EIGHT_ROWS(NORM_BACK_TERM, 0)
}

static void F(norm_back_sums)(float *sum, float *dot, const void *x, const void *dy, int64_t rows, int channels,
                              const float *scale, const float *shift, const float *mean, struct clzk_activation act)
{
    BY_ACT(act.act, F(norm_back_sums_loop)(sum, dot, x, dy, rows, channels, scale, shift, mean, A, act.slope))
}

INLINE void F(norm_back_loop)(T *dx, const T *x, const T *dy, int64_t rows, int channels, const float *scale,
                              const float *shift, const float *a, const float *b, const float *k, enum clzk_act act,
                              float slope)
{
    for (int64_t r = 0; r < rows; r++, x += channels, dy += channels, dx += channels)
        SIMD for (int c = 0; c < channels; c++) {
            const float v = GET(x[c]), y = activate(v * scale[c] + shift[c], act, slope);
            const float g = GET(dy[c]) * derivative(y, act, slope);
            dx[c] = PUT(a[c] * g + (b[c] * v + k[c]));
        }
}

static void F(norm_back)(void *dx, const void *x, const void *dy, int64_t rows, int channels, const float *scale,
                         const float *shift, const float *a, const float *b, const float *k, struct clzk_activation act)
{
    BY_ACT(act.act, F(norm_back_loop)(dx, x, dy, rows, channels, scale, shift, a, b, k, A, act.slope))
}

// ---- copying elements ----

static void F(gather)(void *yv, const float *x, const int32_t *index, int count)
{
    T *y = yv;
    SIMD for (int i = 0; i < count; i++) y[i] = PUT(x[index[i]]);
}

static void F(copy)(void *yv, int64_t y_stride, const void *xv, int64_t x_stride, int size, int64_t rows)
{
    const T *x = xv;
    T *y = yv;
    for (int64_t r = 0; r < rows; r++, x += x_stride, y += y_stride)
        SIMD for (int i = 0; i < size; i++) y[i] = x[i];
}

static void F(shuffle)(void *yv, int64_t stride, const void *xv, int pixels, int channels, int factor)
{
    const T *x = xv;
    T *y = yv;
    const int f2 = factor * factor;
    for (int w = 0; w < pixels; w++, x += (int64_t)channels * f2, y += (int64_t)channels * factor) {
        if (factor == 2) {
            SIMD for (int c = 0; c < channels; c++) {
                y[c] = x[4 * c];
                y[channels + c] = x[4 * c + 1];
                y[stride + c] = x[4 * c + 2];
                y[stride + channels + c] = x[4 * c + 3];
            }
            continue;
        }
        for (int i = 0; i < factor; i++)
            for (int j = 0; j < factor; j++)
                for (int c = 0; c < channels; c++) y[i * stride + j * channels + c] = x[c * f2 + i * factor + j];
    }
}

static void F(unshuffle)(void *xv, const void *yv, int64_t stride, int pixels, int channels, int factor)
{
    const T *y = yv;
    T *x = xv;
    const int f2 = factor * factor;
    for (int w = 0; w < pixels; w++, x += (int64_t)channels * f2, y += (int64_t)channels * factor) {
        if (factor == 2) {
            SIMD for (int c = 0; c < channels; c++) {
                x[4 * c] = y[c];
                x[4 * c + 1] = y[channels + c];
                x[4 * c + 2] = y[stride + c];
                x[4 * c + 3] = y[stride + channels + c];
            }
            continue;
        }
        for (int i = 0; i < factor; i++)
            for (int j = 0; j < factor; j++)
                for (int c = 0; c < channels; c++) x[c * f2 + i * factor + j] = y[i * stride + j * channels + c];
    }
}

// ---- max pooling: BLOCK channels at a time, so that the maxima and their indices stay in registers and the L1 cache ----

static void F(maxpool)(void *yv, uint8_t *index, const void *xv, const struct clzk_pool *p, int row)
{
    const int top = row * p->stride - p->pad, y0 = top < 0 ? 0 : top, y1 = top + p->k < p->h ? top + p->k : p->h;
    for (int o = 0; o < p->ow; o++) {
        const int left = o * p->stride - p->pad, x0 = left < 0 ? 0 : left, x1 = left + p->k < p->w ? left + p->k : p->w;
        for (int from = 0; from < p->channels; from += BLOCK) {
            const int count = p->channels - from < BLOCK ? p->channels - from : BLOCK;
            T *y = (T *)yv + (int64_t)o * p->channels + from;
            uint8_t *at = index ? index + (int64_t)o * p->channels + from : NULL;
            float best[BLOCK];
            int32_t place[BLOCK];
            for (int c = 0; c < count; c++) {
                best[c] = -INFINITY;
                place[c] = (y0 - top) * p->k + x0 - left;
            }
            for (int i = y0; i < y1; i++)
                for (int j = x0; j < x1; j++) {
                    const T *x = (const T *)xv + ((int64_t)i * p->w + j) * p->channels + from;
                    const int32_t here = (i - top) * p->k + j - left;
                    SIMD for (int c = 0; c < count; c++) {
                        const float v = GET(x[c]);
                        place[c] = v > best[c] ? here : place[c];
                        best[c] = v > best[c] ? v : best[c];
                    }
                }
            SIMD for (int c = 0; c < count; c++) y[c] = PUT(best[c]);
            if (at)
                SIMD for (int c = 0; c < count; c++) at[c] = (uint8_t)place[c];
        }
    }
}

// Each input pixel sums dy over the windows whose maximum it was.
static void F(maxpool_back)(void *dxv, const uint8_t *index, const void *dyv, const struct clzk_pool *p, int row)
{
    const int high = (row + p->pad) / p->stride, low = row + p->pad - p->k + 1;
    const int oy0 = low <= 0 ? 0 : (low + p->stride - 1) / p->stride, oy1 = high < p->oh - 1 ? high : p->oh - 1;
    for (int col = 0; col < p->w; col++) {
        const int right = (col + p->pad) / p->stride, left = col + p->pad - p->k + 1;
        const int ox0 = left <= 0 ? 0 : (left + p->stride - 1) / p->stride, ox1 = right < p->ow - 1 ? right : p->ow - 1;
        for (int from = 0; from < p->channels; from += BLOCK) {
            const int count = p->channels - from < BLOCK ? p->channels - from : BLOCK;
            T *dx = (T *)dxv + (int64_t)col * p->channels + from;
            float sum[BLOCK];
            for (int c = 0; c < count; c++) sum[c] = 0;
            for (int oy = oy0; oy <= oy1; oy++)
                for (int ox = ox0; ox <= ox1; ox++) {
                    const int64_t o = ((int64_t)oy * p->ow + ox) * p->channels + from;
                    const int here = (row + p->pad - oy * p->stride) * p->k + col + p->pad - ox * p->stride;
                    const T *dy = (const T *)dyv + o;
                    SIMD for (int c = 0; c < count; c++) sum[c] += index[o + c] == here ? GET(dy[c]) : 0;
                }
            SIMD for (int c = 0; c < count; c++) dx[c] = PUT(sum[c]);
        }
    }
}

// ---- depthwise convolution ----

// What relu and relu6 leave of v; other activations are a pass of their own.
INLINE vec F(bounded)(vec v, enum clzk_act act)
{
    if (act == CLZK_ACT_RELU || act == CLZK_ACT_RELU6) v = vec_select((vec_bits)(v > vec_all(0)), v, vec_all(0));
    if (act == CLZK_ACT_RELU6) v = vec_select((vec_bits)(v < vec_all(6)), v, vec_all(6));
    return v;
}

// `count` (a constant) neighbouring outputs of VEC channels: rows x cols taps from x and w on. Eight outputs share a load of
// weights and keep eight sums in registers: on Zen 3, f32, 144 channels, 64x64, 3x3: 18 GFLOP/s a core.
INLINE void F(depthwise_tile)(T *y, const T *x, const float *w, vec bias, const struct clzk_depthwise *p, int rows, int cols,
                              enum clzk_act act, const int count)
{
    const int64_t row = (int64_t)p->w * p->channels, step = (int64_t)p->stride * p->channels;
    vec sum[8];

#pragma GCC unroll 8
    for (int n = 0; n < count; n++) sum[n] = bias;
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < cols; j++) {
            const vec weight = vec_load(w + (i * p->k + j) * p->channels);
            const T *from = x + i * row + j * p->channels;
#pragma GCC unroll 8
            for (int n = 0; n < count; n++) sum[n] += weight * F(vec_get)(from + n * step);
        }
#pragma GCC unroll 8
    for (int n = 0; n < count; n++) F(vec_put)(y + (int64_t)n * p->channels, F(bounded)(sum[n], act));
}

static void F(depthwise)(void *yv, const void *xv, const float *w, const float *bias, const struct clzk_depthwise *p, int row,
                         struct clzk_activation act)
{
    const int top = row * p->stride - p->pad, k = p->k, channels = p->channels;
    const int i0 = top < 0 ? -top : 0, rows = (top + k > p->h ? p->h - top : k) - i0;
    const int first = (p->pad + p->stride - 1) / p->stride;
    const int last = p->w + p->pad < k ? 0 : (p->w + p->pad - k) / p->stride + 1;
    const bool bounds = act.act == CLZK_ACT_RELU || act.act == CLZK_ACT_RELU6;
    T *const y = yv;

    for (int o = 0; o < p->ow;) {           // from `first` to `last` the window lies within the picture's width
        const int count = o >= first && o + 8 <= last ? 8 : 1, left = o * p->stride - p->pad;
        const int j0 = left < 0 ? -left : 0, cols = (left + k > p->w ? p->w - left : k) - j0;
        const T *from = (const T *)xv + ((int64_t)(top + i0) * p->w + left + j0) * channels;
        const float *weights = w + (i0 * k + j0) * channels;
        T *to = y + (int64_t)o * channels;
        int c = 0;
        for (; c + VEC <= channels; c += VEC) {
            const vec start = bias ? vec_load(bias + c) : vec_all(0);
            if (count == 8) F(depthwise_tile)(to + c, from + c, weights + c, start, p, rows, cols, act.act, 8);
            else F(depthwise_tile)(to + c, from + c, weights + c, start, p, rows, cols, act.act, 1);
        }
        for (int n = 0; n < count; n++)
            for (int d = c; d < channels; d++) {
                const T *x = from + (int64_t)n * p->stride * channels + d;
                float sum = bias ? bias[d] : 0;
                for (int i = 0; i < rows; i++)
                    for (int j = 0; j < cols; j++)
                        sum += weights[(i * k + j) * channels + d] * GET(x[((int64_t)i * p->w + j) * channels]);
                to[(int64_t)n * channels + d] = PUT(bounds ? activate(sum, act.act, 0) : sum);
            }
        o += count;
    }
    if (act.act && !bounds) F(act)(y, y, (int64_t)p->ow * channels, act);
}

// Every input pixel gathers from the outputs whose window holds it: their taps are listed once for all channels.
static void F(depthwise_back)(void *dxv, const void *dyv, const float *w, const struct clzk_depthwise *p, int row)
{
    const int k = p->k, s = p->stride, channels = p->channels;
    struct { const T *dy; const float *w; } taps[15 * 15];
    T *dx = dxv;

    for (int col = 0; col < p->w; col++, dx += channels) {
        int count = 0, c = 0;
        for (int i = (row + p->pad) % s; i < k && i <= row + p->pad; i += s) {
            const int oy = (row + p->pad - i) / s;
            if (oy >= p->oh) continue;
            for (int j = (col + p->pad) % s; j < k && j <= col + p->pad; j += s) {
                const int ox = (col + p->pad - j) / s;
                if (ox >= p->ow) continue;
                taps[count].dy = (const T *)dyv + ((int64_t)oy * p->ow + ox) * channels;
                taps[count++].w = w + (i * k + j) * channels;
            }
        }
        for (; c + VEC <= channels; c += VEC) {
            vec sum = vec_all(0);
            for (int t = 0; t < count; t++) sum += vec_load(taps[t].w + c) * F(vec_get)(taps[t].dy + c);
            F(vec_put)(dx + c, sum);
        }
        for (; c < channels; c++) {
            float sum = 0;
            for (int t = 0; t < count; t++) sum += taps[t].w[c] * GET(taps[t].dy[c]);
            dx[c] = PUT(sum);
        }
    }
}

// One row i of the window: dw[j][c] += sum over the row's outputs of dy x. Where k is a constant, the sums stay in registers.
INLINE void F(depthwise_weights_row)(float *dw, const T *x, const T *dy, const struct clzk_depthwise *p, const int k)
{
    const int channels = p->channels, s = p->stride;
    const int first = (p->pad + s - 1) / s < p->ow ? (p->pad + s - 1) / s : p->ow;
    const int whole = p->w + p->pad < k ? 0 : (p->w + p->pad - k) / s + 1;
    const int last = whole < first ? first : whole < p->ow ? whole : p->ow;
    int c = 0;

    for (; c + VEC <= channels; c += VEC) {
        vec sum[15] = { { 0 } };
        for (int o = first; o < last; o++) {
            const vec g = F(vec_get)(dy + (int64_t)o * channels + c);
            const T *from = x + (int64_t)(o * s - p->pad) * channels + c;
#pragma GCC unroll 15
            for (int j = 0; j < k; j++) sum[j] += g * F(vec_get)(from + (int64_t)j * channels);
        }
#pragma GCC unroll 15
        for (int j = 0; j < k; j++) *(vec *)(dw + j * channels + c) += sum[j];
    }
    for (int o = first; o < last; o++)      // channels that do not fill a register
        for (int j = 0; j < k; j++)
            for (int d = c; d < channels; d++)
                dw[j * channels + d] += GET(dy[(int64_t)o * channels + d]) *
                                        GET(x[(int64_t)(o * s - p->pad + j) * channels + d]);
    for (int o = 0; o < p->ow; o++) {       // windows that reach over the sides
        if (o == first) o = last;
        if (o >= p->ow) break;
        for (int j = 0; j < k; j++) {
            const int col = o * s - p->pad + j;
            if (col < 0 || col >= p->w) continue;
            SIMD for (int d = 0; d < channels; d++)
                dw[j * channels + d] += GET(dy[(int64_t)o * channels + d]) * GET(x[(int64_t)col * channels + d]);
        }
    }
}

static void F(depthwise_weights)(float *dw, const void *xv, const void *dyv, const struct clzk_depthwise *p, int row)
{
    const T *dy = (const T *)dyv + (int64_t)row * p->ow * p->channels;

    for (int i = 0; i < p->k; i++) {
        const int y = row * p->stride - p->pad + i;
        const T *x = (const T *)xv + (int64_t)y * p->w * p->channels;
        float *to = dw + i * p->k * p->channels;
        if (y < 0 || y >= p->h) continue;
        if (p->k == 3) F(depthwise_weights_row)(to, x, dy, p, 3);
        else if (p->k == 5) F(depthwise_weights_row)(to, x, dy, p, 5);
        else F(depthwise_weights_row)(to, x, dy, p, p->k);
    }
}

// ---- bilinear enlargement ----

static void F(blend)(float *y, const void *av, const void *bv, float wa, float wb, int64_t count)
{
    const T *a = av, *b = bv;
    SIMD for (int64_t i = 0; i < count; i++) y[i] = wa * GET(a[i]) + wb * GET(b[i]);
}

INLINE void F(twice)(T *y, const float *x, int pixels, int channels)
{
    SIMD for (int i = 0; i < pixels; i++)
        for (int c = 0; c < channels; c++) {
            const float at = 0.75f * x[(i + 1) * channels + c];
            y[2 * i * channels + c] = PUT(at + 0.25f * x[i * channels + c]);
            y[(2 * i + 1) * channels + c] = PUT(at + 0.25f * x[(i + 2) * channels + c]);
        }
}

static void F(enlarge_row)(void *yv, const float *x, int pixels, int channels, int factor)
{
    T *y = yv;
    if (factor == 2 && channels == 1) {
        F(twice)(y, x, pixels, 1);
    } else if (factor == 2 && channels == 2) {
        F(twice)(y, x, pixels, 2);
    } else {
        for (int i = 0; i < pixels; i++, x += channels)
            for (int p = 0; p < factor; p++, y += channels) {
                const float at = (p + 0.5f) / factor - 0.5f, w = at < 0 ? at + 1 : at, v = 1 - w;
                const float *a = at < 0 ? x : x + channels, *b = a + channels;
                SIMD for (int c = 0; c < channels; c++) y[c] = PUT(v * a[c] + w * b[c]);
            }
    }
}

static void F(accumulate)(float *y, const void *xv, float weight, int64_t count)
{
    const T *x = xv;
    SIMD for (int64_t i = 0; i < count; i++) y[i] += weight * GET(x[i]);
}

INLINE void F(halve)(T *y, const float *x, int from, int to, int channels)
{
    SIMD for (int i = from; i < to; i++)
        for (int c = 0; c < channels; c++)
            y[i * channels + c] = PUT(0.25f * (x[(2 * i - 1) * channels + c] + x[(2 * i + 2) * channels + c]) +
                                      0.75f * (x[2 * i * channels + c] + x[(2 * i + 1) * channels + c]));
}

static void F(reduce_row)(void *yv, const float *x, int pixels, int channels, int factor)
{
    const bool narrow = factor == 2 && channels <= 2 && pixels > 2;
    T *y = yv;
    if (narrow && channels == 1) F(halve)(y, x, 1, pixels - 1, 1);
    if (narrow && channels == 2) F(halve)(y, x, 1, pixels - 1, 2);
    for (int i = 0; i < pixels; i += narrow ? pixels - 1 : 1) {         // narrow: only both ends are left
        const int first = (i - 1) * factor < 0 ? 0 : (i - 1) * factor;
        const int last = (i + 2) * factor < pixels * factor ? (i + 2) * factor : pixels * factor;
        for (int from = 0; from < channels; from += BLOCK) {
            const int count = channels - from < BLOCK ? channels - from : BLOCK;
            float sum[BLOCK];
            for (int c = 0; c < count; c++) sum[c] = 0;
            for (int o = first; o < last; o++) {
                const float weight = clzk_resize_weight(o, i, pixels, factor);
                const float *from_x = x + (int64_t)o * channels + from;
                if (!(weight > 0)) continue;
                SIMD for (int c = 0; c < count; c++) sum[c] += weight * from_x[c];
            }
            SIMD for (int c = 0; c < count; c++) y[(int64_t)i * channels + from + c] = PUT(sum[c]);
        }
    }
}

// ---- losses ----

INLINE double F(loss_loop)(const T *x, const T *t, const T *weight, int64_t rows, int channels, float target,
                           enum clzk_loss_kind kind)
{
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        float row = 0;
        for (int c = 0; c < channels; c++)
            row += loss_value(GET(x[r * channels + c]), t ? GET(t[r * channels + c]) : target, kind);
        sum += weight ? GET(weight[r]) * row : row;
    }
    return sum;
}

static double F(loss)(const void *x, const void *t, const void *weight, int64_t rows, int channels, struct clzk_loss loss)
{
    double sum = 0;
    BY_LOSS(loss.kind, sum = F(loss_loop)(x, t, weight, rows, channels, loss.target, K))
    return sum;
}

INLINE void F(loss_back_loop)(T *dx, const T *x, const T *t, const T *weight, int64_t rows, int channels, float target,
                              float scale, enum clzk_loss_kind kind)
{
    for (int64_t r = 0; r < rows; r++) {
        const float s = weight ? scale * GET(weight[r]) : scale;
        for (int c = 0; c < channels; c++) {
            const int64_t i = r * channels + c;
            dx[i] = PUT(s * loss_slope(GET(x[i]), t ? GET(t[i]) : target, kind));
        }
    }
}

static void F(loss_back)(void *dx, const void *x, const void *t, const void *weight, int64_t rows, int channels,
                         struct clzk_loss loss, float scale)
{
    BY_LOSS(loss.kind, F(loss_back_loop)(dx, x, t, weight, rows, channels, loss.target, scale, K))
}

static double F(chroma)(const void *xv, int64_t rows, float eps)
{
    const T *x = xv;
    double sum = 0;
    for (int64_t r = 0; r < rows; r++) {
        const float a = GET(x[2 * r]), b = GET(x[2 * r + 1]);
        sum += sqrtf(a * a + b * b + eps);
    }
    return sum;
}

static void F(chroma_back)(void *dxv, const void *xv, int64_t rows, float eps, float scale)
{
    const T *x = xv;
    T *dx = dxv;
    for (int64_t r = 0; r < rows; r++) {
        const float a = GET(x[2 * r]), b = GET(x[2 * r + 1]), s = scale / sqrtf(a * a + b * b + eps);
        dx[2 * r] = PUT(s * a);
        dx[2 * r + 1] = PUT(s * b);
    }
}

// ---- softmax over the channels of a pixel ----

static void F(softmax)(void *yv, const void *xv, int64_t rows, int channels, float scale)
{
    const T *x = xv;
    T *y = yv;
    for (int64_t r = 0; r < rows; r++, x += channels, y += channels) {
        float max = -INFINITY, sum = 0;
        for (int c = 0; c < channels; c++) max = GET(x[c]) > max ? GET(x[c]) : max;
        for (int c = 0; c < channels; c++) sum += exponential(scale * (GET(x[c]) - max));
        SIMD for (int c = 0; c < channels; c++) y[c] = PUT(exponential(scale * (GET(x[c]) - max)) / sum);
    }
}

static void F(softmax_back)(void *dxv, const void *yv, const void *dyv, int64_t rows, int channels, float scale)
{
    const T *y = yv, *dy = dyv;
    T *dx = dxv;
    for (int64_t r = 0; r < rows; r++, y += channels, dy += channels, dx += channels) {
        float dot = 0;
        for (int c = 0; c < channels; c++) dot += GET(y[c]) * GET(dy[c]);
        SIMD for (int c = 0; c < channels; c++) dx[c] = PUT(scale * GET(y[c]) * (GET(dy[c]) - dot));
    }
}

// ---- logits of the classes of colour ----

// e = e^(scale (x - max)); returns the sum. *max: of scale x.
INLINE float F(exponentials)(float e[CLZK_AB_BINS], const T *x, float scale, float *max)
{
    float most = GET(x[0]), sum = 0;
    for (int k = 0; k < CLZK_AB_BINS; k++) e[k] = GET(x[k]);
    SIMD_MAX(most) for (int k = 0; k < CLZK_AB_BINS; k++) most = e[k] > most ? e[k] : most;
    SIMD_SUM(sum) for (int k = 0; k < CLZK_AB_BINS; k++) sum += e[k] = exponential(scale * (e[k] - most));
    *max = scale * most;
    return sum;
}

static void F(annealed_mean)(void *yv, const void *xv, int64_t rows, const struct clzk_ab_colours *colours, float scale)
{
    const T *x = xv;
    T *y = yv;
    for (int64_t r = 0; r < rows; r++, x += CLZK_AB_BINS, y += 2) {
        float most = GET(x[0]), sum = 0, a = 0, b = 0;
        SIMD_MAX(most) for (int k = 0; k < CLZK_AB_BINS; k++) most = GET(x[k]) > most ? GET(x[k]) : most;
        SIMD_SUM(sum, a, b) for (int k = 0; k < CLZK_AB_BINS; k++) {
            const float e = exponential(scale * (GET(x[k]) - most));
            sum += e;
            a += e * colours->a[k];
            b += e * colours->b[k];
        }
        y[0] = PUT(a / sum);
        y[1] = PUT(b / sum);
    }
}

static void F(annealed_mean_back)(void *dxv, const void *xv, const void *dyv, int64_t rows, const struct clzk_ab_colours *colours,
                                  float scale)
{
    const T *x = xv, *dy = dyv;
    T *dx = dxv;
    for (int64_t r = 0; r < rows; r++, x += CLZK_AB_BINS, dx += CLZK_AB_BINS, dy += 2) {
        const float da = GET(dy[0]), db = GET(dy[1]);
        float e[CLZK_AB_BINS], max, mean = 0;
        const float sum = F(exponentials)(e, x, scale, &max);
        SIMD_SUM(mean) for (int k = 0; k < CLZK_AB_BINS; k++) mean += e[k] * (da * colours->a[k] + db * colours->b[k]);
        mean /= sum;
        SIMD for (int k = 0; k < CLZK_AB_BINS; k++)
            dx[k] = PUT(scale * e[k] / sum * (da * colours->a[k] + db * colours->b[k] - mean));
    }
}

static double F(cross_entropy)(const void *xv, const void *tv, const void *weightv, int64_t rows)
{
    const T *x = xv, *t = tv, *weight = weightv;
    double total = 0;
    for (int64_t r = 0; r < rows; r++, x += CLZK_AB_BINS, t += 2) {
        const struct clzk_ab_share share = clzk_ab_share(GET(t[0]), GET(t[1]));
        float e[CLZK_AB_BINS], max, value = logf(F(exponentials)(e, x, 1, &max));
        for (int j = 0; j < CLZK_AB_NEAREST; j++) value -= share.weight[j] * (GET(x[share.bin[j]]) - max);
        total += weight ? GET(weight[r]) * value : value;
    }
    return total;
}

static void F(cross_entropy_back)(void *dxv, const void *xv, const void *tv, const void *weightv, int64_t rows, float scale)
{
    const T *x = xv, *t = tv, *weight = weightv;
    T *dx = dxv;
    for (int64_t r = 0; r < rows; r++, x += CLZK_AB_BINS, dx += CLZK_AB_BINS, t += 2) {
        const struct clzk_ab_share share = clzk_ab_share(GET(t[0]), GET(t[1]));
        const float s = weight ? scale * GET(weight[r]) : scale;
        float e[CLZK_AB_BINS], max;
        const float inverse = 1 / F(exponentials)(e, x, 1, &max);
        SIMD for (int k = 0; k < CLZK_AB_BINS; k++) e[k] *= inverse;
        for (int j = 0; j < CLZK_AB_NEAREST; j++) e[share.bin[j]] -= share.weight[j];
        SIMD for (int k = 0; k < CLZK_AB_BINS; k++) dx[k] = PUT(s * e[k]);
    }
}

static const struct clzk_nn F(nn) = {
    .element = sizeof(T),
    .from_f32 = F(from_f32), .to_f32 = F(to_f32), .interleave = F(interleave), .deinterleave = F(deinterleave),
    .act = F(act), .act_back = F(act_back), .add = F(add), .affine = F(affine), .sum = F(sum), .moments = F(moments),
    .norm_back_sums = F(norm_back_sums), .norm_back = F(norm_back), .copy = F(copy), .gather = F(gather), .shuffle = F(shuffle),
    .unshuffle = F(unshuffle), .maxpool = F(maxpool), .maxpool_back = F(maxpool_back),
    .depthwise = F(depthwise), .depthwise_back = F(depthwise_back), .depthwise_weights = F(depthwise_weights), .blend = F(blend),
    .enlarge_row = F(enlarge_row), .accumulate = F(accumulate), .reduce_row = F(reduce_row), .dropout = F(dropout),
    .softmax = F(softmax), .softmax_back = F(softmax_back), .clamp = F(clamp), .clamp_back = F(clamp_back),
    .loss = F(loss), .loss_back = F(loss_back), .chroma = F(chroma), .chroma_back = F(chroma_back),
    .annealed_mean = F(annealed_mean), .annealed_mean_back = F(annealed_mean_back), .cross_entropy = F(cross_entropy),
    .cross_entropy_back = F(cross_entropy_back),
};

#undef SUM_TERM
#undef MOMENTS_TERM
#undef NORM_BACK_TERM
#undef EIGHT_ROWS
#undef GET
#undef PUT
#undef T
#undef F
#undef BF16
