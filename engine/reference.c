// reference.c - reads a still, and finds the places of frames that look like places of it.
#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kernels/lab_math.h"
#include "pipeline.h"
#include "reference.h"

enum { CELL = 8, RADIUS = 2 };              // pixels of the network's picture: side of a place; radius of its hint
enum { LEVELS = 2, NEAREST = 5 };
static const int factors[LEVELS] = { 8, 16 };                   // of the features' sizes
static const float shares[LEVELS] = { 0.35f, 0.65f };           // of their similarities
// A place is given a colour if the most similar place of the still is at least this similar, -1 to 1, and the colours of the
// NEAREST most similar, weighted by exp(similarity / sharpness), differ by no more than this standard deviation, in Lab units.
static const float similar = 0.5f, sharpness = 0.03f, most_spread = 14;
static const float least_chroma = 2;                            // of a still, mean: below, it is no picture in colour

struct clzi_reference { char *path; uint8_t *rgb; int width, height; };

// ---- the still ----

static float mean_chroma(const struct clzi_reference *r)
{
    const int64_t pixels = (int64_t)r->width * r->height, step = 1 + pixels / 10000;
    double sum = 0;
    int64_t n = 0;

    for (int64_t i = 0; i < pixels; i += step, n++) {
        float lab[3];
        clzk_rgb_to_lab((const float[3]){ r->rgb[3 * i] / 255.f, r->rgb[3 * i + 1] / 255.f, r->rgb[3 * i + 2] / 255.f }, lab);
        sum += hypotf(lab[1], lab[2]);
    }
    return (float)(sum / (double)n);
}

int clzi_reference_read(struct clzi_reference **out, const char *path, const struct clz_log *log)
{
    struct clzi_reference *r = *out = calloc(1, sizeof *r);
    png_image image = { .version = PNG_IMAGE_VERSION };
    uint8_t *data = NULL;
    size_t size;
    int ret = -ENOMEM;

    if (!r || !(r->path = strdup(path))) goto fail;
    if ((ret = clzi_hints_load(path, &data, &size, log)) < 0) goto fail;
    if (!png_image_begin_read_from_memory(&image, data, size))
        ret = clzi_fail(log, -EBADMSG, "%s: a still should be a PNG: %s", path, image.message);
    else if (image.width > CLZ_MAX_SIZE || image.height > CLZ_MAX_SIZE)
        ret = clzi_fail(log, -EBADMSG, "%s: %ux%u pixels; should be at most %d", path, image.width, image.height, CLZ_MAX_SIZE);
    image.format = PNG_FORMAT_RGB;
    if (ret >= 0 && !(r->rgb = malloc(PNG_IMAGE_SIZE(image)))) ret = -ENOMEM;
    if (ret >= 0 && !png_image_finish_read(&image, &(png_color){ 128, 128, 128 }, r->rgb, 0, NULL))
        ret = clzi_fail(log, -EBADMSG, "%s: %s", path, image.message);
    r->width = (int)image.width;
    r->height = (int)image.height;
    png_image_free(&image);
    if (ret >= 0 && mean_chroma(r) < least_chroma)
        ret = clzi_fail(log, -EBADMSG, "%s: the still has no colours to give", path);
fail:
    free(data);
    if (ret < 0) clzi_reference_destroy(out);
    return ret;
}

void clzi_reference_destroy(struct clzi_reference **reference)
{
    struct clzi_reference *r = *reference;

    *reference = NULL;
    if (!r) return;
    free(r->path);
    free(r->rgb);
    free(r);
}

const char *clzi_reference_path(const struct clzi_reference *r) { return r->path; }

// ---- features ----

struct cells {                              // of a picture: CELL x CELL pixels each
    int w, h;
    float *features;                        // [w*h][channels]
    float *ab, *spread;                     // of a still: [w*h][2] mean a*, b*; [w*h] standard deviation
};

struct known { const struct clzi_reference *reference; struct cells cells; };

struct clzi_matcher {
    struct clzi_matcher_params params;
    struct clzi_graph *graph;               // a copy, whose outputs are the features
    struct clzi_exec *exec;                 // for frames
    int channels[LEVELS], all;
    struct cells frame;
    float *input, *level;                   // host: of the network; one level's features
    float *similarities;                    // [threads][cells of the largest still]
    struct known *known;
    int known_count, largest;
};

// The features that the network's decoder reads beside what comes from below: the last node of 1/factor of the picture's size
// before the first of half that size, which is read again after that one. -1: there is none.
static int feature_node(const struct clzi_graph *g, const struct clzi_shape *shapes, int side, int factor)
{
    int coarser = 0;

    while (coarser < g->node_count && shapes[coarser].h != side / (2 * factor)) coarser++;
    for (int i = coarser - 1; i >= 0 && coarser < g->node_count; i--)
        for (int k = coarser + 1; shapes[i].h == side / factor && k < g->node_count; k++)
            for (int n = 0; n < g->nodes[k].in_count; n++)
                if (g->nodes[k].in[n] == i) return i;
    return -1;
}

static int feature_nodes(const struct clzi_graph *g, int nodes[LEVELS], const struct clz_log *log)
{
    enum { SIDE = 256 };
    struct clzi_shape *shapes = calloc(g->node_count, sizeof *shapes);
    int ret = shapes ? clzi_graph_shapes(g, 1, SIDE, SIDE, shapes, NULL) : -ENOMEM;

    for (int i = 0; i < LEVELS && ret >= 0; i++)
        if ((nodes[i] = feature_node(g, shapes, SIDE, factors[i])) < 0)
            ret = clzi_fail(log, -ENOTSUP, "the model has no features at 1/%d of the picture's size, by which a frame is "
                            "compared with a still: reference needs a model with an encoder and skips, as lite0", factors[i]);
    free(shapes);
    return ret;
}

int clzi_matcher_check(const struct clzi_graph *g, const struct clz_log *log)
{
    int nodes[LEVELS];
    return feature_nodes(g, nodes, log);
}

static int choose_outputs(struct clzi_matcher *m)
{
    struct clzi_graph *g = m->graph;
    int nodes[LEVELS];
    const int ret = feature_nodes(g, nodes, &clzi_device_base(m->params.dev)->log);

    for (int i = 0; i < LEVELS && ret >= 0; i++) {
        g->out[i] = (struct clzi_port){ .node = nodes[i] };
        snprintf(g->out[i].name, sizeof g->out[i].name, "features.%d", factors[i]);
        m->channels[i] = clzi_graph_channels(g, nodes[i]);
        m->all += m->channels[i];
    }
    g->out_count = LEVELS;
    return ret;
}

static void free_cells(struct cells *c)
{
    free(c->features);
    free(c->ab);
    free(c->spread);
}

static int create_cells(const struct clzi_matcher *m, struct cells *c, int w, int h, bool colours)
{
    const size_t count = (size_t)(w / CELL) * (h / CELL);

    *c = (struct cells){ .w = w / CELL, .h = h / CELL };
    c->features = malloc(count * m->all * sizeof *c->features);
    if (colours) c->ab = malloc(2 * count * sizeof *c->ab);
    if (colours) c->spread = malloc(count * sizeof *c->spread);
    return c->features && (!colours || (c->ab && c->spread)) ? 0 : -ENOMEM;
}

int clzi_matcher_create(struct clzi_matcher **out, const struct clzi_matcher_params *p)
{
    struct clzi_matcher *m = *out = calloc(1, sizeof *m);
    int ret;

    if (!m) return -ENOMEM;
    m->params = *p;
    if ((ret = clzi_graph_copy(&m->graph, p->graph)) < 0 || (ret = choose_outputs(m)) < 0 ||
        (ret = create_cells(m, &m->frame, p->w, p->h, false)) < 0 ||
        (ret = clzi_exec_create(&m->exec, m->graph, p->weights, &(struct clzi_exec_params){ .n = 1, .h = p->h, .w = p->w })) < 0)
        goto fail;
    m->input = malloc((size_t)p->w * p->h * sizeof *m->input);
    if (!m->input) ret = -ENOMEM;
fail:
    if (ret < 0) clzi_matcher_destroy(out);
    return ret;
}

void clzi_matcher_destroy(struct clzi_matcher **matcher)
{
    struct clzi_matcher *m = *matcher;

    *matcher = NULL;
    if (!m) return;
    clzi_exec_destroy(&m->exec);
    clzi_graph_destroy(&m->graph);
    free_cells(&m->frame);
    for (int i = 0; i < m->known_count; i++) free_cells(&m->known[i].cells);
    free(m->known);
    free(m->input);
    free(m->similarities);
    free(m);
}

int clzi_matcher_places(const struct clzi_matcher *m) { return m->frame.w * m->frame.h; }

// Runs the network on input [h,w], and collects the features of each cell.
static int compute_features(const struct clzi_matcher *m, struct clzi_exec *exec, const float *input, struct cells *c)
{
    const struct clzi_graph *g = m->graph;
    const int port = g->in_count == 1 ? 0 : clzi_port_find(g->in, g->in_count, "L");
    int ret = clzi_exec_upload(exec, port, input), first = 0;

    if (ret >= 0) ret = clzi_exec_forward(exec, 0);
    for (int i = 0; i < LEVELS && ret >= 0; first += m->channels[i++]) {
        const struct clzi_shape s = clzi_exec_output_shape(exec, i);
        const int64_t plane = (int64_t)s.h * s.w;
        float *values = malloc((size_t)clzi_shape_count(s) * sizeof *values);
        ret = values ? clzi_exec_download(exec, i, values) : -ENOMEM;
        for (int k = 0; k < c->w * c->h && ret >= 0; k++) {
            const int x = k % c->w * CELL / factors[i], y = k / c->w * CELL / factors[i];
            const int64_t at = (int64_t)(y < s.h ? y : s.h - 1) * s.w + (x < s.w ? x : s.w - 1);
            for (int n = 0; n < s.c; n++) c->features[(int64_t)k * m->all + first + n] = values[n * plane + at];
        }
        free(values);
    }
    return ret;
}

// Of the still, resized to w x h by area: the network's input, and the colours of the cells.
static void resize_still(const struct clzi_matcher *m, const struct clzi_reference *r, int w, int h, float *input,
                         struct cells *c)
{
    const struct clzi_model_facts *facts = m->params.facts;
    const bool of_luma = strcmp(facts->input, "lstar");
    double sums[5];

    for (int cell = 0; cell < c->w * c->h; cell++) {
        memset(sums, 0, sizeof sums);
        for (int i = 0; i < CELL * CELL; i++) {
            const int x = cell % c->w * CELL + i % CELL, y = cell / c->w * CELL + i / CELL;
            const int x0 = (int)((int64_t)x * r->width / w), x1 = (int)((int64_t)(x + 1) * r->width / w);
            const int y0 = (int)((int64_t)y * r->height / h), y1 = (int)((int64_t)(y + 1) * r->height / h);
            float rgb[3] = { 0 }, lab[3], grey[3], luma, n = 0;
            for (int v = y0; v < y1 || v == y0; v++)
                for (int u = x0; u < x1 || u == x0; u++, n++)
                    for (int k = 0; k < 3; k++) rgb[k] += r->rgb[3 * ((int64_t)v * r->width + u) + k];
            for (int k = 0; k < 3; k++) rgb[k] /= 255 * n;
            clzk_rgb_to_lab(rgb, lab);
            luma = 0.2126f * rgb[0] + 0.7152f * rgb[1] + 0.0722f * rgb[2];
            clzk_rgb_to_lab((const float[3]){ luma, luma, luma }, grey);
            input[(int64_t)y * w + x] = (of_luma ? grey[0] : lab[0]) / facts->l_scale - facts->l_offset;
            for (int k = 0; k < 2; k++) {
                sums[k] += lab[1 + k];
                sums[2] += (double)lab[1 + k] * lab[1 + k];
            }
        }
        for (int k = 0; k < 2; k++) c->ab[2 * cell + k] = (float)(sums[k] / (CELL * CELL));
        sums[2] = sums[2] / (CELL * CELL) - (double)c->ab[2 * cell] * c->ab[2 * cell] -
                  (double)c->ab[2 * cell + 1] * c->ab[2 * cell + 1];
        c->spread[cell] = sqrtf((float)fmax(sums[2], 0));
    }
}

static int add_known(struct clzi_matcher *m, const struct clzi_reference *r)
{
    struct known *more = realloc(m->known, (m->known_count + 1) * sizeof *more), *k;
    struct clzi_exec *exec = NULL;
    const int threads = clzi_device_base(m->params.dev)->threads;
    float *input = NULL, *similarities;
    int w, h, ret;

    if (!more) return -ENOMEM;
    m->known = more;
    k = &more[m->known_count];
    clzi_working_size(r->width, r->height, m->params.size, m->params.facts->stride, false, &w, &h);
    k->reference = r;
    if ((ret = create_cells(m, &k->cells, w, h, true)) < 0) goto fail;
    ret = -ENOMEM;
    if (!(input = malloc((size_t)w * h * sizeof *input))) goto fail;
    if (k->cells.w * k->cells.h > m->largest) {
        similarities = realloc(m->similarities, (size_t)threads * k->cells.w * k->cells.h * sizeof *similarities);
        if (!similarities) goto fail;
        m->similarities = similarities;
        m->largest = k->cells.w * k->cells.h;
    }
    resize_still(m, r, w, h, input, &k->cells);
    ret = clzi_exec_create(&exec, m->graph, m->params.weights, &(struct clzi_exec_params){ .n = 1, .h = h, .w = w });
    if (ret >= 0) ret = compute_features(m, exec, input, &k->cells);
fail:
    clzi_exec_destroy(&exec);
    free(input);
    if (ret < 0) free_cells(&k->cells);
    else m->known_count++;
    return ret;
}

// ---- matching ----

// Features with the mean of both pictures subtracted, and of length `shares` for each level.
static float *normalised(const struct clzi_matcher *m, const struct cells *c, const float *mean)
{
    const int count = c->w * c->h;
    float *out = malloc((size_t)count * m->all * sizeof *out);

    for (int i = 0; out && i < count; i++) {
        const float *from = c->features + (int64_t)i * m->all;
        float *to = out + (int64_t)i * m->all;
        for (int level = 0, first = 0; level < LEVELS; first += m->channels[level++]) {
            double length = 1e-12;
            float factor;
            for (int n = first; n < first + m->channels[level]; n++) {
                to[n] = from[n] - mean[n];
                length += (double)to[n] * to[n];
            }
            factor = sqrtf(shares[level]) / (float)sqrt(length);
            for (int n = first; n < first + m->channels[level]; n++) to[n] *= factor;
        }
    }
    return out;
}

static void add_means(const struct clzi_matcher *m, const struct cells *c, float *mean)
{
    const int count = c->w * c->h;

    for (int i = 0; i < count; i++)
        for (int n = 0; n < m->all; n++) mean[n] += c->features[(int64_t)i * m->all + n] / (float)(2 * count);
}

// The colour of a place whose similarities with the still's cells are s [count], which is changed. Returns false if none fits.
static bool colour_of(const struct cells *still, float *s, int count, float *a, float *b)
{
    double weights = 0, sums[3] = { 0 }, best = -1;

    for (int k = 0; k < NEAREST && k < count; k++) {
        int at = 0;
        double weight;
        for (int i = 1; i < count; i++)
            if (s[i] > s[at]) at = i;
        if (!k) best = s[at];
        weight = exp((s[at] - best) / sharpness);
        for (int c = 0; c < 2; c++) {
            const double v = still->ab[2 * at + c];
            sums[c] += weight * v;
            sums[2] += weight * v * v;
        }
        sums[2] += weight * still->spread[at] * still->spread[at];
        weights += weight;
        s[at] = -2;
    }
    *a = (float)(sums[0] / weights);
    *b = (float)(sums[1] / weights);
    return best >= similar && sums[2] / weights - *a * *a - *b * *b < most_spread * most_spread;
}

int clzi_matcher_match(struct clzi_matcher *m, const struct clzi_reference *reference, const float *l, struct clzi_point *points)
{
    const struct clzi_model_facts *facts = m->params.facts;
    const int count = m->frame.w * m->frame.h, threads = clzi_device_base(m->params.dev)->threads;
    const struct cells *still = NULL;
    float *mean = NULL, *own = NULL, *theirs = NULL;
    int ret = 0, found = 0;

    for (int i = 0; i < m->known_count && !still; i++)
        if (m->known[i].reference == reference) still = &m->known[i].cells;
    if (!still && (ret = add_known(m, reference)) < 0) return ret;
    if (!still) still = &m->known[m->known_count - 1].cells;
    for (int64_t i = 0; i < (int64_t)m->params.w * m->params.h; i++) m->input[i] = l[i] * 100 / facts->l_scale - facts->l_offset;
    if ((ret = compute_features(m, m->exec, m->input, &m->frame)) < 0) return ret;
    if ((mean = calloc(m->all, sizeof *mean))) {
        add_means(m, &m->frame, mean);
        add_means(m, still, mean);
        own = normalised(m, &m->frame, mean);
        theirs = normalised(m, still, mean);
    }
    if (!own || !theirs) ret = -ENOMEM;
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int t = 0; t < threads; t++)
        for (int i = count * t / threads; ret >= 0 && i < count * (t + 1) / threads; i++) {
            float *s = m->similarities + (int64_t)t * m->largest;
            struct clzi_point *p = &points[i];
            for (int k = 0; k < still->w * still->h; k++) {
                float sum = 0;
                for (int n = 0; n < m->all; n++) sum += own[(int64_t)i * m->all + n] * theirs[(int64_t)k * m->all + n];
                s[k] = sum;
            }
            *p = (struct clzi_point){ { (float)(i % m->frame.w * CELL) + CELL / 2.f, false },
                                      { (float)(i / m->frame.w * CELL) + CELL / 2.f, false }, { RADIUS, false }, 0, 0 };
            if (!colour_of(still, s, still->w * still->h, &p->a, &p->b)) p->r.value = -1;
        }
    for (int i = 0; i < count && ret >= 0; i++)
        if (points[i].r.value >= 0) points[found++] = points[i];
    free(mean);
    free(own);
    free(theirs);
    return ret < 0 ? ret : found;
}
