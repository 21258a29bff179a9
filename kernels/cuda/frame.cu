// frame.cu - frames to L*, and predicted ab to the frame's chroma or R'G'B': kernels/frame.c on the GPU, in the same steps and
// with the formulas of frame_math.h.
#include "device.cuh"

#include "kernels/frame_geometry.h"

// ---- frames ----

// The planes of up to MAX_FRAMES frames of one geometry, which one launch works on: blockIdx.z is the number of the frame.
enum { MAX_FRAMES = 16 };
struct frame_planes { struct clzk_samples in[3], out[3]; };
struct frame_batch { struct frame_planes f[MAX_FRAMES]; };

static struct frame_batch frame_batch(int n, const struct clzk_picture *in, const struct clzk_picture *out)
{
    struct frame_batch b;

    memset(&b, 0, sizeof b);
    for (int i = 0; i < n; i++) {
        memcpy(b.f[i].in, in[i].c, sizeof b.f[i].in);
        if (out) memcpy(b.f[i].out, out[i].c, sizeof b.f[i].out);
    }
    return b;
}

// Whether vectors of `size` bytes begin in every row of component c of every frame.
static bool all_aligned(int n, const struct clzk_picture *f, int c, int size)
{
    for (int i = 0; i < n; i++)
        if (!aligned(f[i].c[c].data, size) || f[i].c[c].stride % size) return false;
    return true;
}

// ---- samples ----

// Where luma comes from: one component, or R', G' and B' with their weights. A code times `weight` is its part of Y' - start.
struct luma_source {
    struct clzk_samples c[3];                       // of the frame that the block works on
    float weight[3], start;
    int parts, shift, width, height;
    bool wide, swapped;
};

static struct luma_source luma_source(const struct clzk_picture *f, const struct clzk_codes *codes)
{
    const float parts[3] = { f->weights.kr, 1 - f->weights.kr - f->weights.kb, f->weights.kb };
    struct luma_source s;

    memset(&s, 0, sizeof s);
    s.parts = f->rgb ? 3 : 1;
    for (int i = 0; i < s.parts; i++) s.weight[i] = f->rgb ? parts[i] : 1;
    s.start = -codes->black * codes->inverse;
    s.shift = f->shift;
    s.width = f->width;
    s.height = f->height;
    s.wide = f->depth > 8;
    s.swapped = f->swapped;
    return s;
}

static __device__ __forceinline__ unsigned sample(const struct clzk_samples &c, int x, int y, bool wide, bool swapped, int shift)
{
    const uint8_t *const row = c.data + y * (int64_t)c.stride;

    if (!wide) return row[(int64_t)x * c.step];
    const uint16_t v = ((const uint16_t *)row)[(int64_t)x * c.step];
    return (unsigned)((swapped ? clzk_swap16(v) : v) >> shift);
}

static __device__ __forceinline__ void take_frame(struct luma_source &s, const struct frame_batch &frames)
{
#pragma unroll
    for (int i = 0; i < 3; i++) s.c[i] = frames.f[blockIdx.z].in[i];
}

// Adds a row's luma at column x, times weight.
static __device__ __forceinline__ float add_luma(float sum, const struct luma_source &s, int x, int y, float weight,
                                                 float inverse)
{
    if (s.parts == 1) return sum + weight * inverse * (float)sample(s.c[0], x, y, s.wide, s.swapped, s.shift);
#pragma unroll
    for (int i = 0; i < 3; i++)
        sum += weight * s.weight[i] * inverse * (float)sample(s.c[i], x, y, s.wide, s.swapped, s.shift);
    return sum;
}

// ---- frame -> L* ----

enum { LINE = 2048, LINE_THREADS = 128 };           // LINE: columns of the frame that one block sums over the rows

// line = columns x0 to x1 - 1 of the frame, summed over the rows of the area of the network's row. V: neighbouring columns that a
// thread reads with one instruction; S: unsigned integer of a sample's size.
template <typename S, int V>
static __device__ __forceinline__ void sum_columns(float *line, const struct luma_source &s, const struct clzk_cu_axis &axis,
                                                   int row, int x0, int x1, float inverse)
{
    const int first = axis.first[row];

    for (int x = x0 + (int)threadIdx.x * V; x < x1; x += LINE_THREADS * V) {
        float sum[V];
#pragma unroll
        for (int v = 0; v < V; v++) sum[v] = s.start;
        for (int k = 0; k < axis.taps; k++) {
            const float weight = axis.weight[(int64_t)k * axis.n + row];
            if (weight <= 0) continue;
            if (V == 1) {
                sum[0] = add_luma(sum[0], s, x, first + k, weight, inverse);
                continue;
            }
            const S *const at = (const S *)(s.c[0].data + (first + k) * (int64_t)s.c[0].stride) + x;
            const elements<S, V> e = read_elements<V>(at);
#pragma unroll
            for (int v = 0; v < V; v++) {
                const unsigned code = sizeof(S) == 2 && s.swapped ? clzk_swap16((uint16_t)e.v[v]) : e.v[v];
                sum[v] += weight * inverse * (float)(code >> s.shift);
            }
        }
#pragma unroll
        for (int v = 0; v < V; v++) line[x - x0 + v] = sum[v];
    }
}

// What one conversion of luma to L* needs. columns: of the network's picture, for one block.
struct lightness {
    struct luma_source luma;
    struct clzk_cu_axis x, y;
    int columns, channels;
    float inverse, inverse_scale, offset;
    const float *table;
};

// One row of the network's picture: the frame's columns are summed over the rows of the area, then along the row.
template <typename T, typename S, int V>
static __global__ void to_l(T *l, float *y, struct lightness k, struct frame_batch frames)
{
    CLZK_SHARED(float, line, LINE);
    const struct clzk_cu_axis &ax = k.x;
    const int row = (int)blockIdx.y, c0 = (int)blockIdx.x * k.columns, c1 = c0 + k.columns < ax.n ? c0 + k.columns : ax.n;
    const int x0 = ax.first[c0] / V * V, end = ax.first[c1 - 1] + ax.taps;

    take_frame(k.luma, frames);
    // A vector may reach beyond the columns that are needed, but not beyond the row: its width is a multiple of V.
    sum_columns<S, V>(line, k.luma, k.y, row, x0, end, k.inverse);
    __syncthreads();
    for (int c = c0 + (int)threadIdx.x; c < c1; c += LINE_THREADS) {
        const int first = ax.first[c] - x0;
        float sum = 0;
        for (int j = 0; j < ax.taps; j++) sum += ax.weight[(int64_t)j * ax.n + c] * line[first + j];
        const int64_t at = ((int64_t)blockIdx.z * k.y.n + row) * ax.n + c;
        y[at] = sum;
        l[at * k.channels] = put<T>(clzk_l_of_luma(sum, k.table, k.inverse_scale, k.offset));
    }
}

// For pictures that are reduced so much that the columns of one pixel do not fit into a line.
template <typename T> static __global__ void to_l_any(T *l, float *y, struct lightness k, struct frame_batch frames)
{
    const struct clzk_cu_axis &ax = k.x, &ay = k.y;
    const int c = (int)(blockIdx.x * LINE_THREADS + threadIdx.x), row = (int)blockIdx.y;
    float sum = 0;

    if (c >= ax.n) return;
    take_frame(k.luma, frames);
    for (int j = 0; j < ax.taps; j++) {
        float column = k.luma.start;
        for (int i = 0; i < ay.taps; i++) {
            const float weight = ay.weight[(int64_t)i * ay.n + row];
            if (weight > 0) column = add_luma(column, k.luma, ax.first[c] + j, ay.first[row] + i, weight, k.inverse);
        }
        sum += ax.weight[(int64_t)j * ax.n + c] * column;
    }
    const int64_t at = ((int64_t)blockIdx.z * ay.n + row) * ax.n + c;
    y[at] = sum;
    l[at * k.channels] = put<T>(clzk_l_of_luma(sum, k.table, k.inverse_scale, k.offset));
}

template <typename T>
static int to_l_launch(T *l, float *y, struct lightness k, int n, const struct clzk_picture *in, clzk_stream stream)
{
    const struct luma_source *const s = &k.luma;
    const int most = 4, whole = (int)divide_up(s->width, k.x.n);    // most: V; a line may begin that much earlier or end later
    const bool vectors = s->parts == 1 && in->c[0].step == 1 && s->width % most == 0 &&
                         all_aligned(n, in, 0, most * (s->wide ? 2 : 1));
    const struct frame_batch frames = frame_batch(n, in, NULL);

    k.columns = (LINE - k.x.taps - 2 * most) / whole;
    if (k.columns > 64) k.columns = 64;
    if (k.columns < 1)
        return clzk_launch(to_l_any<T>, dim3((unsigned)divide_up(k.x.n, LINE_THREADS), (unsigned)k.y.n, (unsigned)n),
                           dim3(LINE_THREADS), stream, l, y, k, frames);
    return clzk_launch(!vectors ? to_l<T, uint8_t, 1> : s->wide ? to_l<T, uint16_t, 4> : to_l<T, uint8_t, 4>,
                       dim3((unsigned)divide_up(k.x.n, k.columns), (unsigned)k.y.n, (unsigned)n), dim3(LINE_THREADS), stream,
                       l, y, k, frames);
}

template <typename T>
static int to_l_all(void *l, float *y, const struct lightness *k, int n, const struct clzk_picture *in, clzk_stream stream)
{
    const int64_t pixels = (int64_t)k->x.n * k->y.n;

    for (int first = 0; first < n; first += MAX_FRAMES) {
        const int count = n - first < MAX_FRAMES ? n - first : MAX_FRAMES;
        const int ret = to_l_launch((T *)l + first * pixels * k->channels, y + first * pixels, *k, count, in + first, stream);
        if (ret) return ret;
    }
    return 0;
}

int clzk_cu_frames_to_l(clzk_stream stream, const struct clzk_cu_frame_plan *plan, int n, const struct clzk_picture *in,
                        float *y, enum clzk_type type, void *l, int channels, float scale, float offset)
{
    const struct clzk_codes codes = clzk_codes_of(&plan->in, &plan->out, plan->weights, &plan->rgb);
    const struct lightness k = { luma_source(in, &codes), plan->x, plan->y, 0, channels, codes.inverse, 1 / scale, offset,
                                 plan->colours.l_of_luma };

    return n ? BY_TYPE(type, to_l_all, l, y, &k, n, in, stream) : 0;
}

// ---- the relation of ab to Y' ----

enum { TILE_W = 32, TILE_H = 8, TILE_THREADS = TILE_W * TILE_H, REACH = CLZK_REACH, MAX_GAINS = 64 };

struct gains { float v[MAX_GAINS]; };
struct spatial { float v[REACH + 1][2 * REACH + 1]; };

static __device__ __forceinline__ int clamped(int i, int n) { return i < 0 ? 0 : i < n ? i : n - 1; }

// Joint bilateral filter of a tile, in one pass from ab to smooth [n][2][h][w]. Pixels beyond the picture repeat its edge, in Y',
// a, b and in the confidence.
template <typename T>
static __global__ void bilateral(float *smooth, const float *y, const T *ab, int channels, struct gains gains,
                                 struct spatial spatial, int w, int h, int *bad)
{
    enum { EDGE = REACH + CLZK_CONFIDENCE_REACH, YW = TILE_W + 2 * EDGE, YH = TILE_H + 2 * EDGE, W = TILE_W + 2 * REACH,
           H = TILE_H + 2 * REACH };
    CLZK_SHARED(float, ys, YW * YH);
    CLZK_SHARED(float, as, W * H);
    CLZK_SHARED(float, bs, W * H);
    CLZK_SHARED(float, trust, W * H);
    const int thread = (int)threadIdx.x, x0 = (int)blockIdx.x * TILE_W, y0 = (int)blockIdx.y * TILE_H;
    const int64_t picture = (int64_t)blockIdx.z * w * h;
    const float gain = gains.v[blockIdx.z];

    for (int i = thread; i < YW * YH; i += TILE_THREADS)
        ys[i] = y[picture + (int64_t)clamped(y0 + i / YW - EDGE, h) * w + clamped(x0 + i % YW - EDGE, w)];
    for (int i = thread; i < W * H; i += TILE_THREADS) {
        const int64_t at = picture + (int64_t)clamped(y0 + i / W - REACH, h) * w + clamped(x0 + i % W - REACH, w);
        const float a = get(ab[at * channels]), b = get(ab[at * channels + 1]);
        if (bad && !(fabsf(a) < 1e6f && fabsf(b) < 1e6f)) *bad = 1;     // whoever writes, writes the same
        as[i] = a * gain;
        bs[i] = b * gain;
    }
    __syncthreads();
    for (int i = thread; i < W * H; i += TILE_THREADS) {
        // The pixel whose confidence this is, in ys; it lies in the picture.
        const int cx = clamped(x0 + i % W - REACH, w) - x0 + EDGE, cy = clamped(y0 + i / W - REACH, h) - y0 + EDGE;
        const float centre = ys[cy * YW + cx];
        float roughness = 0;
        for (int dy = -CLZK_CONFIDENCE_REACH; dy <= CLZK_CONFIDENCE_REACH; dy++)
            for (int dx = -CLZK_CONFIDENCE_REACH; dx <= CLZK_CONFIDENCE_REACH; dx++) {
                const float d = ys[(cy + dy) * YW + cx + dx] - centre;
                roughness += d * d;
            }
        trust[i] = 1 / (roughness + CLZK_ROUGHNESS_FLOOR);
    }
    __syncthreads();
    const int tx = thread % TILE_W, ty = thread / TILE_W, x = x0 + tx, row = y0 + ty;
    if (x >= w || row >= h) return;
    const float centre = ys[(ty + EDGE) * YW + tx + EDGE];
    float weight = 0, a = 0, b = 0;
    for (int dy = -REACH; dy <= REACH; dy++)
#pragma unroll
        for (int dx = -REACH; dx <= REACH; dx++) {
            const int at = (ty + REACH + dy) * W + tx + REACH + dx;
            const float k = clzk_neighbour_weight(centre, ys[(ty + EDGE + dy) * YW + tx + EDGE + dx], trust[at],
                                                  spatial.v[dy < 0 ? -dy : dy][dx + REACH], 1 / CLZK_LUMA_RANGE);
            weight += k;
            a += k * as[at];
            b += k * bs[at];
        }
    const float inverse = 1 / weight;
    const int64_t to = 2 * picture + (int64_t)row * w + x;
    smooth[to] = a * inverse;
    smooth[to + (int64_t)w * h] = b * inverse;
}

// 1 / number of pixels in the window of three around pixel i of n.
static __device__ __forceinline__ float inverse_count(int i, int n) { return 1.f / ((i ? 1 : 0) + 1 + (i + 1 < n ? 1 : 0)); }

// Guided filter of a tile: the fit in each window of 3 x 3 pixels, then the mean of the windows that contain a pixel. What lies
// beyond the picture is not in any window: it counts as 0 in the sums, and the number of pixels is smaller.
static __global__ void guided(float4 *lines, const float *y, const float *smooth, int w, int h)
{
    enum { W = TILE_W + 4, H = TILE_H + 4, FW = TILE_W + 2, FH = TILE_H + 2 };
    CLZK_SHARED(float, ys, W * H);
    CLZK_SHARED(float, as, W * H);
    CLZK_SHARED(float, bs, W * H);
    CLZK_SHARED(float4, fits, FW * FH);
    const int thread = (int)threadIdx.x, x0 = (int)blockIdx.x * TILE_W, y0 = (int)blockIdx.y * TILE_H;
    const int64_t pixels = (int64_t)w * h, picture = blockIdx.z * pixels;

    for (int i = thread; i < W * H; i += TILE_THREADS) {
        const int x = x0 + i % W - 2, row = y0 + i / W - 2;
        const bool inside = x >= 0 && x < w && row >= 0 && row < h;
        const int64_t at = (int64_t)row * w + x;
        ys[i] = inside ? y[picture + at] : 0;
        as[i] = inside ? smooth[2 * picture + at] : 0;
        bs[i] = inside ? smooth[2 * picture + pixels + at] : 0;
    }
    __syncthreads();
    for (int i = thread; i < FW * FH; i += TILE_THREADS) {
        const int x = x0 + i % FW - 1, row = y0 + i / FW - 1;
        float s[6] = {};
        for (int dy = 0; dy < 3; dy++) {
            float r[6] = {};
#pragma unroll
            for (int dx = 0; dx < 3; dx++) {
                const int at = (i / FW + dy) * W + i % FW + dx;
                r[0] += ys[at];
                r[1] += ys[at] * ys[at];
                r[2] += as[at];
                r[3] += bs[at];
                r[4] += ys[at] * as[at];
                r[5] += ys[at] * bs[at];
            }
#pragma unroll
            for (int k = 0; k < 6; k++) s[k] += r[k];
        }
        const bool inside = x >= 0 && x < w && row >= 0 && row < h;
        const struct clzk_lines fit = clzk_fit_lines(s[0], s[1], s[2], s[3], s[4], s[5], inside ? inverse_count(x, w) *
                                                     inverse_count(row, h) : 0, CLZK_GUIDED_EPS);
        fits[i] = inside ? make_float4(fit.a_slope, fit.b_slope, fit.a_offset, fit.b_offset) : make_float4(0, 0, 0, 0);
    }
    __syncthreads();
    const int tx = thread % TILE_W, ty = thread / TILE_W, x = x0 + tx, row = y0 + ty;
    if (x >= w || row >= h) return;
    float4 sum = make_float4(0, 0, 0, 0);
    for (int dy = 0; dy < 3; dy++) {
        float4 r = make_float4(0, 0, 0, 0);
#pragma unroll
        for (int dx = 0; dx < 3; dx++) {
            const float4 f = fits[(ty + dy) * FW + tx + dx];
            r.x += f.x, r.y += f.y, r.z += f.z, r.w += f.w;
        }
        sum.x += r.x, sum.y += r.y, sum.z += r.z, sum.w += r.w;
    }
    const float k = inverse_count(x, w) * inverse_count(row, h);
    lines[picture + (int64_t)row * w + x] = make_float4(sum.x * k, sum.y * k, sum.z * k, sum.w * k);
}

template <typename T>
static int fit(const struct clzk_cu_frame_plan *p, int n, const float *y, const void *ab, int channels, const float *gain,
               float *lines, float *work, int *bad, clzk_stream stream)
{
    const dim3 tiles((unsigned)divide_up(p->w, TILE_W), (unsigned)divide_up(p->h, TILE_H), (unsigned)n);
    struct gains gains;
    struct spatial spatial;
    int ret;

    memcpy(gains.v, gain, n * sizeof *gain);
    memcpy(spatial.v, p->spatial, sizeof spatial.v);
    ret = clzk_launch(bilateral<T>, tiles, dim3(TILE_THREADS), stream, work, y, (const T *)ab, channels, gains, spatial, p->w,
                      p->h, bad);
    if (ret) return ret;
    return clzk_launch(guided, tiles, dim3(TILE_THREADS), stream, (float4 *)lines, y, (const float *)work, p->w, p->h);
}

int clzk_cu_frame_fit(clzk_stream stream, const struct clzk_cu_frame_plan *plan, int n, const float *y, enum clzk_type type,
                      const void *ab, int channels, const float *gain, float *lines, void *work, int *bad)
{
    const int64_t pixels = (int64_t)plan->w * plan->h;

    for (int first = 0; first < n; first += MAX_GAINS) {
        const int count = n - first < MAX_GAINS ? n - first : MAX_GAINS;
        const int64_t at = first * pixels;
        const void *const part = (const char *)ab + at * channels * (int64_t)clzk_type_size(type);
        const int ret = BY_TYPE(type, fit, plan, count, y + at, part, channels, gain + first, lines + 4 * at, (float *)work, bad,
                                stream);
        if (ret) return ret;
    }
    return 0;
}

size_t clzk_cu_frame_fit_size(const struct clzk_cu_frame_plan *plan, int n)
{
    return (size_t)(n < MAX_GAINS ? n : MAX_GAINS) * plan->w * plan->h * 2 * sizeof(float);
}

// ---- coloured samples ----

// What every sample of a grid needs.
struct colouring {
    struct luma_source luma;
    struct clzk_cu_grid grid;
    int log2_w, log2_h, w, h;                           // w, h: of lines
    bool cosited_x;
    float rows[4];                                      // weights of the rows of luma around a row of the grid, from -1 to 2
    float inverse;
    const float4 *lines;                                // [frames][h][w]
};

// Luma of the frame's column x, as the mean of the rows around a sample of the grid's row.
static __device__ __forceinline__ float luma_column(const struct colouring &k, int x, int row)
{
    const int last = k.luma.height - 1;
    float sum = k.luma.start;

#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int y = (row << k.log2_h) + j - 1;
        if (k.rows[j] > 0) sum = add_luma(sum, k.luma, x, y < 0 ? 0 : y < last ? y : last, k.rows[j], k.inverse);
    }
    return sum;
}

static __device__ __forceinline__ float luma_at(const struct colouring &k, int x, int row)
{
    if (!k.log2_w) return luma_column(k, x, row);
    const int last = k.luma.width - 1, left = 2 * x - 1, right = 2 * x + 1;
    const float middle = luma_column(k, 2 * x, row), after = luma_column(k, right < last ? right : last, row);
    if (!k.cosited_x) return 0.5f * middle + 0.5f * after;
    return 0.25f * luma_column(k, left > 0 ? left : 0, row) + 0.5f * middle + 0.25f * after;
}

static __device__ __forceinline__ float between(float a, float b, float f) { return a + f * (b - a); }
static __device__ __forceinline__ float4 between(float4 a, float4 b, float f)
{
    return make_float4(between(a.x, b.x, f), between(a.y, b.y, f), between(a.z, b.z, f), between(a.w, b.w, f));
}

struct colour { float y, a, b; };

// y: Y' at that sample of the grid.
static __device__ __forceinline__ struct colour colour_at(const struct colouring &k, int x, int row, float y)
{
    const int x0 = k.grid.x_first[x], x1 = x0 + 1 < k.w ? x0 + 1 : x0, y0 = k.grid.y_first[row], y1 = y0 + 1 < k.h ? y0 + 1 : y0;
    const float fx = k.grid.x_frac[x], fy = k.grid.y_frac[row];
    const float4 *const lines = k.lines + (int64_t)blockIdx.z * k.h * k.w;
    const float4 *const top = lines + (int64_t)y0 * k.w, *const bottom = lines + (int64_t)y1 * k.w;
    const float4 l = between(between(top[x0], top[x1], fx), between(bottom[x0], bottom[x1], fx), fy);
    const struct colour c = { y, l.x * y + l.z, l.y * y + l.w };

    return c;
}

static __device__ __forceinline__ void store_sample(const struct clzk_samples &c, int x, int y, unsigned code, bool wide,
                                                    bool swapped, int shift)
{
    uint8_t *const row = c.data + y * (int64_t)c.stride;

    if (!wide) {
        row[(int64_t)x * c.step] = (uint8_t)code;
    } else {
        const uint16_t v = (uint16_t)(code << shift);
        ((uint16_t *)row)[(int64_t)x * c.step] = swapped ? clzk_swap16(v) : v;
    }
}

static __device__ __forceinline__ void store_value(const struct clzk_samples &c, int x, int y, float v,
                                                   const struct clzk_store &s, bool wide)
{
    store_sample(c, x, y, (unsigned)clzk_code(v, s.mid + 0.5f, s.scale, s.max), wide, s.swapped, s.shift);
}

enum { PIXELS_X = 32, PIXELS_Y = 8 };                   // threads of a block, one sample each

static dim3 pixel_blocks(int w, int h, int n)
{
    return dim3((unsigned)divide_up(w, PIXELS_X), (unsigned)divide_up(h, PIXELS_Y), (unsigned)n);
}

struct chroma_output { struct clzk_store store; struct clzk_rgb_of_yuv gamut; const uint32_t *table; };

static __global__ void colour_chroma(struct colouring k, struct chroma_output o, struct frame_batch frames)
{
    const int x = (int)(blockIdx.x * PIXELS_X + threadIdx.x), row = (int)(blockIdx.y * PIXELS_Y + threadIdx.y);
    const struct frame_planes &planes = frames.f[blockIdx.z];
    float u, v;

    if (x >= k.grid.w || row >= k.grid.h) return;
    take_frame(k.luma, frames);
    const struct colour c = colour_at(k, x, row, luma_at(k, x, row));
    clzk_chroma_of(c.a, c.b, c.y, o.table, o.gamut.r_v, o.gamut.g_u, o.gamut.g_v, o.gamut.b_u, &u, &v);
    store_value(planes.out[1], x, row, u, o.store, k.luma.wide);
    store_value(planes.out[2], x, row, v, o.store, k.luma.wide);
}

// The same for chroma of half luma's width, four samples a thread with vectors of luma and chroma. S: unsigned integer of a
// sample's size; STEP: 1 for planes of U and V, 2 for one of both. The machine's byte order.
enum { CHROMA_RUN = 4 };
template <typename S, int STEP>
static __global__ void colour_chroma_run(struct colouring k, struct chroma_output o, struct frame_batch frames)
{
    const int x = (int)(blockIdx.x * PIXELS_X + threadIdx.x) * CHROMA_RUN, row = (int)(blockIdx.y * PIXELS_Y + threadIdx.y);
    const struct frame_planes &planes = frames.f[blockIdx.z];
    float column[2 * CHROMA_RUN + 1];                   // luma of the frame's columns 2 x - 1, 2 x, ...
    elements<S, CHROMA_RUN * STEP> first, second;       // STEP 2: first has all

    if (x >= k.grid.w || row >= k.grid.h) return;
#pragma unroll
    for (int i = 0; i <= 2 * CHROMA_RUN; i++) column[i] = k.luma.start;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        const int y = (row << k.log2_h) + j - 1, last = k.luma.height - 1, at = y < 0 ? 0 : y < last ? y : last;
        if (!(k.rows[j] > 0)) continue;
        const S *const from = (const S *)(planes.in[0].data + at * (int64_t)planes.in[0].stride) + 2 * x;
        const elements<S, 2 * CHROMA_RUN> e = read_elements<2 * CHROMA_RUN>(from);
        const float weight = k.rows[j] * k.inverse;
        if (k.cosited_x) column[0] += weight * (float)(from[x ? -1 : 0] >> k.luma.shift);
#pragma unroll
        for (int i = 0; i < 2 * CHROMA_RUN; i++) column[i + 1] += weight * (float)(e.v[i] >> k.luma.shift);
    }
#pragma unroll
    for (int i = 0; i < CHROMA_RUN; i++) {
        const float middle = column[2 * i + 1], after = column[2 * i + 2];
        const float y = k.cosited_x ? 0.25f * column[2 * i] + 0.5f * middle + 0.25f * after : 0.5f * middle + 0.5f * after;
        const struct colour c = colour_at(k, x + i, row, y);
        float u, v;
        clzk_chroma_of(c.a, c.b, c.y, o.table, o.gamut.r_v, o.gamut.g_u, o.gamut.g_v, o.gamut.b_u, &u, &v);
        const S cu = (S)(clzk_code(u, o.store.mid + 0.5f, o.store.scale, o.store.max) << o.store.shift);
        const S cv = (S)(clzk_code(v, o.store.mid + 0.5f, o.store.scale, o.store.max) << o.store.shift);
        first.v[i * STEP] = cu;
        if (STEP == 2) first.v[i * STEP + STEP - 1] = cv;
        else second.v[i] = cv;
    }
    S *const to = (S *)(planes.out[1].data + row * (int64_t)planes.out[1].stride) + x * STEP;
    write_elements<CHROMA_RUN * STEP>(to, first);
    if (STEP == 1) write_elements<CHROMA_RUN * STEP>((S *)(planes.out[2].data + row * (int64_t)planes.out[2].stride) + x, second);
}

// Whether that kernel can be used.
static bool runs_fit(const struct colouring *k, int n, const struct clzk_picture *in, const struct clzk_picture *out)
{
    const int size = k->luma.wide ? 2 : 1, step = out->c[1].step;

    if (k->log2_w != 1 || k->luma.parts != 1 || in->c[0].step != 1 || in->swapped || out->swapped || step > 2) return false;
    if (in->width % (2 * CHROMA_RUN) || !all_aligned(n, in, 0, 2 * CHROMA_RUN * size)) return false;
    for (int i = 0; step == 2 && i < n; i++)
        if (out[i].c[2].data != out[i].c[1].data + size || out[i].c[2].stride != out[i].c[1].stride) return false;
    return all_aligned(n, out, 1, CHROMA_RUN * size * step) && (step == 2 || all_aligned(n, out, 2, CHROMA_RUN * size));
}

static int colour_chroma_all(const struct colouring *k, const struct chroma_output *o, int n, const struct clzk_picture *in,
                             const struct clzk_picture *out, clzk_stream stream)
{
    const struct frame_batch frames = frame_batch(n, in, out);
    const bool run = runs_fit(k, n, in, out), both = out->c[1].step == 2;

    return clzk_launch(!run ? colour_chroma :
                       k->luma.wide ? both ? colour_chroma_run<uint16_t, 2> : colour_chroma_run<uint16_t, 1> :
                       both ? colour_chroma_run<uint8_t, 2> : colour_chroma_run<uint8_t, 1>,
                       pixel_blocks(run ? k->grid.w / CHROMA_RUN : k->grid.w, k->grid.h, n), dim3(PIXELS_X, PIXELS_Y), stream,
                       *k, *o, frames);
}

struct rgb_output {
    struct clzk_store_rgb store;
    struct clzk_rgb_of_yuv gamut;
    const uint32_t *table;
    const float *shift;                                 // NULL: luma is kept
};

static __global__ void colour_rgb(struct colouring k, struct rgb_output o, struct frame_batch frames)
{
    const int x = (int)(blockIdx.x * PIXELS_X + threadIdx.x), row = (int)(blockIdx.y * PIXELS_Y + threadIdx.y);
    const struct frame_planes &planes = frames.f[blockIdx.z];
    const float max = o.store.max;
    float u, v;

    if (x >= k.grid.w || row >= k.grid.h) return;
    take_frame(k.luma, frames);
    const struct colour c = colour_at(k, x, row, luma_at(k, x, row));
    clzk_chroma_of(c.a, c.b, c.y, o.table, o.gamut.r_v, o.gamut.g_u, o.gamut.g_v, o.gamut.b_u, &u, &v);
    const float y = o.shift ? clzk_shifted_luma(c.a, c.b, c.y, o.shift) : c.y;
    const struct clzk_rgb_codes codes = clzk_rgb_of(y, u, v, o.store.r_v * max, o.store.b_u * max, o.store.kr, o.store.kb,
                                                    o.store.inv_kg, max);
    store_sample(planes.out[0], x, row, (unsigned)codes.r, k.luma.wide, o.store.swapped, 0);
    store_sample(planes.out[1], x, row, (unsigned)codes.g, k.luma.wide, o.store.swapped, 0);
    store_sample(planes.out[2], x, row, (unsigned)codes.b, k.luma.wide, o.store.swapped, 0);
}

// luma=lstar
static __global__ void shift_luma(struct colouring k, struct clzk_store store, const float *shift, struct frame_batch frames)
{
    const int x = (int)(blockIdx.x * PIXELS_X + threadIdx.x), row = (int)(blockIdx.y * PIXELS_Y + threadIdx.y);

    if (x >= k.grid.w || row >= k.grid.h) return;
    take_frame(k.luma, frames);
    const struct colour c = colour_at(k, x, row, luma_at(k, x, row));
    store_value(frames.f[blockIdx.z].out[0], x, row, clzk_shifted_luma(c.a, c.b, c.y, shift), store, k.luma.wide);
}

// ---- samples that are copied, converted between formats, or set to a constant ----

// Component by component: of each frame, where it is read and where it is written.
struct copied { struct { struct clzk_samples from, to; } f[MAX_FRAMES]; int count; };

template <typename T> static __global__ void copy_rows(struct copied c, int n)
{
    const int x = (int)(blockIdx.x * THREADS + threadIdx.x), row = (int)blockIdx.y;
    const struct clzk_samples &from = c.f[blockIdx.z].from, &to = c.f[blockIdx.z].to;

    if (x < n) ((T *)(to.data + row * (int64_t)to.stride))[x] = ((const T *)(from.data + row * (int64_t)from.stride))[x];
}

struct conversion { int from_shift, to_shift; bool wide, from_swapped, to_swapped; struct clzk_recode recode; };

static __global__ void convert_samples(struct copied c, int n, struct conversion k)
{
    const int x = (int)(blockIdx.x * THREADS + threadIdx.x), row = (int)blockIdx.y;

    if (x >= n) return;
    unsigned code = sample(c.f[blockIdx.z].from, x, row, k.wide, k.from_swapped, k.from_shift);
    if (k.recode.scale != 0) code = clzk_recode_code(&k.recode, code);
    store_sample(c.f[blockIdx.z].to, x, row, code, k.wide, k.to_swapped, k.to_shift);
}

static __global__ void fill_samples(struct copied c, int n, unsigned code, bool wide, bool swapped, int shift)
{
    const int x = (int)(blockIdx.x * THREADS + threadIdx.x), row = (int)blockIdx.y;

    if (x < n) store_sample(c.f[blockIdx.z].to, x, row, code, wide, swapped, shift);
}

static dim3 row_blocks(int64_t n, int rows, int frames)
{
    return dim3((unsigned)divide_up(n, THREADS), (unsigned)rows, (unsigned)frames);
}

// Whether rows of `bytes` can be copied in units of this size.
static bool units_fit(const struct copied *c, int64_t bytes, int size)
{
    for (int i = 0; i < c->count; i++) {
        const struct clzk_samples *const a = &c->f[i].from, *const b = &c->f[i].to;
        if (!aligned(a->data, size) || !aligned(b->data, size) || a->stride % size || b->stride % size) return false;
    }
    return bytes % size == 0;
}

template <typename T> static int copy_rows_launch(const struct copied *c, int64_t bytes, int rows, clzk_stream stream)
{
    const int64_t n = bytes / (int64_t)sizeof(T);

    return clzk_launch(copy_rows<T>, row_blocks(n, rows, c->count), dim3(THREADS), stream, *c, (int)n);
}

// Component c of each `in` to component `to` of `out`, w x h samples; recode NULL: codes stay. Frames whose samples are shared,
// and stay, are left out.
static int copy_samples(int n, const struct clzk_picture *in, int c, const struct clzk_picture *out, int to, int w, int h,
                        const struct clzk_recode *recode, clzk_stream stream)
{
    const bool convert = recode && recode->scale != 0;
    const bool same = in->swapped == out->swapped && in->shift == out->shift && !convert;
    const struct clzk_recode none = { 0, 0, 0 };
    const struct conversion k = { in->shift, out->shift, in->depth > 8, in->swapped, out->swapped, convert ? *recode : none };
    const int64_t bytes = (int64_t)w * (in->depth > 8 ? 2 : 1);
    struct copied list;

    memset(&list, 0, sizeof list);
    for (int i = 0; i < n; i++) {
        const struct clzk_samples *const a = &in[i].c[c], *const b = &out[i].c[to];
        if (same && a->data == b->data && a->stride == b->stride) continue;
        list.f[list.count].from = *a;
        list.f[list.count++].to = *b;
    }
    if (!list.count) return 0;
    if (!same || in->c[c].step != 1 || out->c[to].step != 1)
        return clzk_launch(convert_samples, row_blocks(w, h, list.count), dim3(THREADS), stream, list, w, k);
    if (units_fit(&list, bytes, 16)) return copy_rows_launch<uint4>(&list, bytes, h, stream);
    if (units_fit(&list, bytes, 4)) return copy_rows_launch<uint32_t>(&list, bytes, h, stream);
    return copy_rows_launch<uint8_t>(&list, bytes, h, stream);
}

static int fill(int n, const struct clzk_picture *out, int c, unsigned code, int w, int h, clzk_stream stream)
{
    struct copied list;

    memset(&list, 0, sizeof list);
    for (int i = 0; i < n; i++) list.f[i].to = out[i].c[c];
    return clzk_launch(fill_samples, row_blocks(w, h, n), dim3(THREADS), stream, list, w, code, out->depth > 8, out->swapped,
                       out->shift);
}

static int copy_luma(int n, const struct clzk_picture *in, const struct clzk_picture *out, clzk_stream stream)
{
    const struct clzk_recode recode = clzk_recode_luma(in, out);

    return copy_samples(n, in, 0, out, 0, in->width, in->height, &recode, stream);
}

static int copy_alpha(int n, const struct clzk_picture *in, const struct clzk_picture *out, clzk_stream stream)
{
    if (!out->c[3].step) return 0;
    if (in->c[3].step) return copy_samples(n, in, 3, out, 3, in->width, in->height, NULL, stream);
    return fill(n, out, 3, (1u << out->depth) - 1, in->width, in->height, stream);
}

static int merge(const struct clzk_cu_frame_plan *plan, int n, const struct clzk_picture *in, const struct clzk_picture *out,
                 const float *lines, clzk_stream stream)
{
    const struct clzk_codes codes = clzk_codes_of(in, out, plan->weights, &plan->rgb);
    const struct clzk_rgb_of_yuv none = { 0, 0, 0, 0 }, gamut = plan->lstar ? none : plan->rgb;
    const struct chroma_output chroma = { codes.uv, gamut, plan->colours.uv };
    const struct rgb_output rgb = { codes.rgb, gamut, plan->colours.uv, plan->lstar ? plan->colours.shift : NULL };
    const struct frame_batch frames = frame_batch(n, in, out);
    struct colouring k = { luma_source(in, &codes), plan->chroma, out->log2_w, out->log2_h, plan->w, plan->h, out->cosited_x,
                           { 0 }, codes.inverse, (const float4 *)lines };
    const dim3 block(PIXELS_X, PIXELS_Y);
    int ret;

    clzk_chroma_row_weights(out, k.rows);
    if (out->rgb) {
        ret = clzk_launch(colour_rgb, pixel_blocks(k.grid.w, k.grid.h, n), block, stream, k, rgb, frames);
        return ret ? ret : copy_alpha(n, in, out, stream);
    }
    // Luma is written last: chroma is computed from it, and the planes may be the same.
    if ((ret = colour_chroma_all(&k, &chroma, n, in, out, stream))) return ret;
    if ((ret = copy_alpha(n, in, out, stream))) return ret;
    if (!plan->lstar) return copy_luma(n, in, out, stream);
    k.grid = plan->full;
    k.log2_w = k.log2_h = 0;
    for (int i = 0; i < 4; i++) k.rows[i] = i == 1;     // the row itself
    return clzk_launch(shift_luma, pixel_blocks(k.grid.w, k.grid.h, n), block, stream, k, codes.y, plan->colours.shift, frames);
}

int clzk_cu_frames_merge(clzk_stream stream, const struct clzk_cu_frame_plan *plan, int n, const struct clzk_picture *in,
                         const struct clzk_picture *out, const float *lines)
{
    for (int first = 0; first < n; first += MAX_FRAMES) {
        const int count = n - first < MAX_FRAMES ? n - first : MAX_FRAMES;
        const int ret = merge(plan, count, in + first, out + first, lines + (int64_t)first * 4 * plan->w * plan->h, stream);
        if (ret) return ret;
    }
    return 0;
}

int clzk_cu_frame_copy(clzk_stream stream, const struct clzk_picture *in, const struct clzk_picture *out)
{
    const int w = clzk_chroma_width(out), h = clzk_chroma_height(out);
    const struct clzk_recode recode = clzk_recode_luma(in, out);
    int ret = 0;

    for (int c = 1; c <= 2 && !ret; c++) {
        if (in->gray && out->rgb) ret = copy_samples(1, in, 0, out, c, in->width, in->height, &recode, stream);
        else if (in->gray) ret = fill(1, out, c, 1u << (out->depth - 1), w, h, stream);
        else ret = copy_samples(1, in, c, out, c, w, h, NULL, stream);
    }
    if (ret || (ret = copy_luma(1, in, out, stream))) return ret;
    return copy_alpha(1, in, out, stream);
}
