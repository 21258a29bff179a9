// pipeline.c - frame -> L* -> generator -> chroma -> frame.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bars.h"
#include "exec.h"
#include "log.h"
#include "pixfmt.h"
#include "pipeline.h"

struct clzi_pipeline {
    struct clz_model *model;                // borrowed
    struct clzi_device *dev;                // borrowed
    struct clzi_pipeline_params params;
    const struct clz_log *log;
    struct clzi_graph *graph;               // fused for inference
    struct clzi_params *weights;
    struct clzi_bars_finder finder;
    struct clzi_bars bars;                  // of the last frame
    // made for one geometry
    struct clz_frame seen, in, out;         // the geometry: no planes
    struct clzk_frame_plan *frames;
    struct clzk_frame_plan *input;          // of what the network sees, where that is not the same; else NULL
    struct clzk_colour_table *colours;      // for one matrix: outlives a change of geometry
    struct clzi_exec *exec;
    int run;                                // frames to a network run
    int w, h;                               // of the network's picture
    float *y, *l, *ab;                      // [run,1,h,w] Y' and L* as the network wants it; [run,2,h,w] as it answers
    char describe[64];
};

static int round_to(double length, int stride)
{
    const int n = (int)(length / stride + 0.5);
    return (n < 1 ? 1 : n) * stride;
}

void clzi_working_size(int width, int height, int size, int stride, bool square, int *w, int *h)
{
    const double shorter = width < height ? width : height, most = 8.0 * size;      // a 1x8192 picture stays bounded
    const double long_side = size * ((width < height ? height : width) / shorter);
    const int a = round_to(size, stride), b = round_to(long_side < most ? long_side : most, stride);
    *w = square || width < height ? a : b;
    *h = square || width > height ? a : b;
}

// The one input and one output of a graph may have any name; among several, "L" and "ab" are used. Other inputs stay at zero: no
// hints, no class.
static int lightness_port(const struct clzi_graph *g) { return g->in_count == 1 ? 0 : clzi_port_find(g->in, g->in_count, "L"); }
static int colour_port(const struct clzi_graph *g) { return g->out_count == 1 ? 0 : clzi_port_find(g->out, g->out_count, "ab"); }

// The loader takes any graph; a stream needs one that makes two channels from one, of the picture's size.
static int check_graph(const struct clzi_pipeline *p, int w, int h)
{
    const struct clzi_graph *g = p->model->graph;
    const char *path = p->model->path;
    const int in = lightness_port(g), out = colour_port(g);
    struct clzi_shape *shapes, answer;
    int ret;

    if (in < 0)
        return clzi_fail(p->log, -EBADMSG, "%s: its graph has no input \"L\" among %d inputs", path, g->in_count);
    if (clzi_graph_channels(g, g->in[in].node) != 1)
        return clzi_fail(p->log, -EBADMSG, "%s: takes %d channels, should take 1, the lightness", path,
                         clzi_graph_channels(g, g->in[in].node));
    if (out < 0) return clzi_fail(p->log, -EBADMSG, "%s: its graph has no output \"ab\" among %d outputs", path, g->out_count);
    if (!(shapes = calloc((size_t)g->node_count, sizeof *shapes))) return -ENOMEM;
    ret = clzi_graph_shapes(g, 1, h, w, shapes, NULL);
    answer = shapes[g->out[out].node];
    free(shapes);
    if (ret < 0) return clzi_fail(p->log, -EBADMSG, "%s: a picture of %dx%d does not pass through its graph", path, w, h);
    if (answer.c == 2 && answer.h == h && answer.w == w) return 0;
    return clzi_fail(p->log, -EBADMSG, "%s: answers %dx%dx%d for a picture of %dx%d, should be 2x%dx%d", path, answer.c, answer.h,
                     answer.w, w, h, h, w);
}

int clzi_pipeline_create(struct clzi_pipeline **out, struct clz_model *model, struct clzi_device *dev,
                         const struct clzi_pipeline_params *params)
{
    struct clzi_pipeline *p = calloc(1, sizeof *p);
    float **values = NULL;
    int ret, w, h;

    *out = NULL;
    if (!p) return -ENOMEM;
    p->model = model;
    p->dev = dev;
    p->params = *params;
    p->log = &clzi_device_base(dev)->log;
    if (!p->params.size) p->params.size = model->facts.size;
    if ((ret = clzi_bars_parse(&p->finder, params->bars)) < 0) {
        clzi_fail(p->log, ret, "bars is \"%s\", should be auto, off, or the depths of the bars in pixels, top:bottom:left:right",
                  params->bars);
        goto fail;
    }
    p->params.bars = NULL;                  // the caller's string; not needed any more
    clzi_working_size(1, 1, p->params.size, model->facts.stride, true, &w, &h);
    if ((ret = check_graph(p, w, h)) >= 0) ret = clzi_graph_fuse(model->graph, model->values, &p->graph, &values);
    if (ret >= 0) ret = clzi_params_create(&p->weights, dev, p->graph, values, NULL);
    for (int i = 0; values && i < p->graph->param_count; i++) free(values[i]);
    free(values);
fail:
    if (ret < 0) clzi_pipeline_destroy(&p);
    *out = p;
    return ret;
}

static void forget_geometry(struct clzi_pipeline *p)
{
    clzk_frame_plan_destroy(&p->frames);
    clzk_frame_plan_destroy(&p->input);
    clzi_exec_destroy(&p->exec);
    free(p->y);
    free(p->l);
    free(p->ab);
    p->y = p->l = p->ab = NULL;
    p->in.format = NULL;
    p->describe[0] = 0;
}

void clzi_pipeline_destroy(struct clzi_pipeline **pipeline)
{
    struct clzi_pipeline *p = *pipeline;

    *pipeline = NULL;
    if (!p) return;
    forget_geometry(p);
    clzk_colour_table_destroy(&p->colours);
    clzi_params_destroy(&p->weights);
    clzi_graph_destroy(&p->graph);
    free(p);
}

static bool same_geometry(const struct clz_frame *a, const struct clz_frame *b)
{
    return a->format == b->format && a->width == b->width && a->height == b->height && a->range == b->range &&
           a->matrix == b->matrix && a->siting == b->siting && a->memory == b->memory;
}

// The part of a frame between its bars: what the network sees, and, from one chroma sample to another, what is coloured.
struct picture {
    struct clz_frame seen, in, out;
    const struct clz_controls *controls;
};

static int plan_frames(struct clzi_pipeline *p, const struct clz_frame *in, const struct clz_frame *out, struct clzk_frame_plan **plan)
{
    const struct clzk_picture from = clzi_picture(in), to = clzi_picture(out);

    return clzk_frame_plan_create(plan, &from, &to, p->w, p->h, p->colours);
}

static int make_colours(struct clzi_pipeline *p, const struct clz_frame *out)
{
    const struct clzk_luma_weights k = clzi_picture(out).weights;

    if (p->colours && (p->colours->weights.kr != k.kr || p->colours->weights.kb != k.kb)) clzk_colour_table_destroy(&p->colours);
    return p->colours ? 0 : clzk_colour_table_create(&p->colours, k, p->params.luma == CLZ_LUMA_LSTAR);
}

// All that depends on the geometry and on how many frames go through the network at once (p->run).
static int plan_run(struct clzi_pipeline *p, const struct picture *q)
{
    const struct clzi_exec_params params = { .n = p->run, .h = p->h, .w = p->w };
    const size_t pixels = (size_t)p->run * p->h * p->w;
    int ret;

    if ((ret = clzi_exec_create(&p->exec, p->graph, p->weights, &params)) < 0) return ret;
    p->y = malloc(pixels * sizeof *p->y);
    p->l = malloc(pixels * sizeof *p->l);
    p->ab = malloc(pixels * sizeof *p->ab * 2);
    if (!p->y || !p->l || !p->ab) return -ENOMEM;
    if ((ret = make_colours(p, &q->out)) < 0) return ret;
    if (q->seen.width != q->in.width || q->seen.height != q->in.height) {
        struct clz_frame out = q->out;
        out.width = q->seen.width;
        out.height = q->seen.height;
        if ((ret = plan_frames(p, &q->seen, &out, &p->input)) < 0) return ret;
    }
    return plan_frames(p, &q->in, &q->out, &p->frames);
}

// Where memory does not suffice for a network run of several frames, fewer are tried: the result is the same, only slower.
static int plan(struct clzi_pipeline *p, const struct picture *q)
{
    int ret;

    forget_geometry(p);
    clzi_working_size(q->seen.width, q->seen.height, p->params.size, p->model->facts.stride,
                      !strcmp(p->model->facts.shape, "square"), &p->w, &p->h);
    if ((ret = check_graph(p, p->w, p->h)) < 0) return ret;
    p->run = clzi_device_base(p->dev)->backend->frames_per_run(p->dev, p->params.batch);
    while ((ret = plan_run(p, q)) == -ENOMEM && p->run > 1) {
        forget_geometry(p);
        clzi_log(p->log, CLZ_LOG_WARNING, "not enough memory for %d frames at once, trying %d", p->run, p->run / 2);
        p->run /= 2;
    }
    if (ret < 0) {
        forget_geometry(p);
        if (ret == -ENOMEM)
            clzi_log(p->log, CLZ_LOG_ERROR, "not enough memory to colour frames of %dx%d", q->in.width, q->in.height);
        return ret;
    }
    p->seen = q->seen;
    p->in = q->in;
    p->out = q->out;
    snprintf(p->describe, sizeof p->describe, "%dx%d, %d frame%s a run", p->w, p->h, p->run, p->run > 1 ? "s" : "");
    return 0;
}

// Weights that are numbers can still make an answer that is none, or far from any colour.
static int check_answer(const struct clzi_pipeline *p, int count)
{
    for (int i = 0; i < count; i++)
        if (!clzk_frame_ab_is_finite(p->frames, p->ab + (size_t)i * 2 * p->h * p->w))
            return clzi_fail(p->log, -EIO, "%s: the network's answer is no colour: its numbers overflow", p->model->path);
    return 0;
}

// One network run: up to p->run frames; the places of missing ones repeat the last frame, whose colours are then not used.
static int run(struct clzi_pipeline *p, const struct picture *jobs, int count)
{
    const struct clzi_model_facts *facts = &p->model->facts;
    const size_t pixels = (size_t)p->h * p->w;
    int ret;

    for (int i = 0; i < count; i++) {
        const struct clzk_picture seen = clzi_picture(&jobs[i].seen);
        clzk_frame_to_l(p->input ? p->input : p->frames, &seen, p->y + i * pixels, p->l + i * pixels, facts->l_scale,
                        facts->l_offset);
    }
    for (int i = count; i < p->run; i++) memcpy(p->l + i * pixels, p->l + (count - 1) * pixels, pixels * sizeof *p->l);
    if ((ret = clzi_exec_upload(p->exec, lightness_port(p->graph), p->l)) < 0 ||
        (ret = clzi_exec_forward(p->exec, 0)) < 0 ||
        (ret = clzi_exec_download(p->exec, colour_port(p->graph), p->ab)) < 0 ||
        (ret = check_answer(p, count)) < 0)
        return ret;
    for (int i = 0; i < count; i++) {
        const struct clzk_picture in = clzi_picture(&jobs[i].in), out = clzi_picture(&jobs[i].out);
        clzk_frame_merge(p->frames, &in, &out, p->y + i * pixels, p->ab + i * 2 * pixels,
                         facts->ab_scale * jobs[i].controls->saturation * jobs[i].controls->strength);
    }
    return 0;
}

// ---- black bars ----

struct area { int x, y, width, height; };

// A part of a frame; if it does not begin on a chroma sample, only its luma is meant.
static struct clz_frame part(const struct clz_frame *f, struct area a)
{
    struct clz_frame v = *f;

    v.width = a.width;
    v.height = a.height;
    for (int p = 0; p < f->format->planes; p++)
        v.data[p] += clz_pixfmt_rows(f->format, p, a.y) * f->stride[p] + (ptrdiff_t)clz_pixfmt_row_bytes(f->format, p, a.x);
    return v;
}

// The bars of a frame keep their luma and become neutral.
static void pass_bars(const struct clz_frame *in, const struct clz_frame *out, const struct clzi_bars *bars)
{
    const int *d = bars->depth, rows = in->height - d[CLZI_TOP] - d[CLZI_BOTTOM];
    const struct area areas[CLZI_SIDES] = {
        [CLZI_TOP] = { 0, 0, in->width, d[CLZI_TOP] },
        [CLZI_BOTTOM] = { 0, in->height - d[CLZI_BOTTOM], in->width, d[CLZI_BOTTOM] },
        [CLZI_LEFT] = { 0, d[CLZI_TOP], d[CLZI_LEFT], rows },
        [CLZI_RIGHT] = { in->width - d[CLZI_RIGHT], d[CLZI_TOP], d[CLZI_RIGHT], rows },
    };
    struct clz_pixfmt luma_only = *in->format;

    if (!(in->format->flags & CLZ_PIXFMT_RGB)) luma_only.flags |= CLZ_PIXFMT_GRAY;      // its chroma is not passed on
    for (int i = 0; i < CLZI_SIDES; i++) {
        struct clz_frame from, to;
        struct clzk_picture a, b;
        if (!d[i]) continue;
        from = part(in, areas[i]);
        to = part(out, areas[i]);
        from.format = &luma_only;
        a = clzi_picture(&from);
        b = clzi_picture(&to);
        clzk_frame_copy(&a, &b);
    }
}

static struct area picture_in(const struct clz_frame *f, const struct clzi_bars *bars)
{
    const int *d = bars->depth;
    return (struct area){ d[CLZI_LEFT], d[CLZI_TOP], f->width - d[CLZI_LEFT] - d[CLZI_RIGHT],
                          f->height - d[CLZI_TOP] - d[CLZI_BOTTOM] };
}

static struct clzi_bars bars_of(struct clzi_pipeline *p, const struct clz_frame *in)
{
    const struct clzi_bars bars = clzi_bars_next(&p->finder, in);
    const int *d = bars.depth;

    if (memcmp(&bars, &p->bars, sizeof bars))
        clzi_log(p->log, CLZ_LOG_VERBOSE, "black bars of %d:%d:%d:%d pixels (top:bottom:left:right) are left out", d[CLZI_TOP],
                 d[CLZI_BOTTOM], d[CLZI_LEFT], d[CLZI_RIGHT]);
    p->bars = bars;
    return bars;
}

bool clzi_pipeline_bars_fit(const struct clzi_pipeline *p, int width, int height)
{
    return clzi_bars_fit(&p->finder, width, height);
}

// ---- frames ----

// The first frames of `jobs` that have the same bars, as many as go through the network at once. Returns how many these were.
static int run_some(struct clzi_pipeline *p, const struct clzi_job *jobs, const struct clzi_bars *bars, int count)
{
    const struct clzi_bars aligned = clzi_bars_align(*bars, jobs->out);
    const struct area seen = picture_in(jobs->in, bars), coloured = picture_in(jobs->in, &aligned);
    struct picture q[CLZI_MAX_BATCH];
    int n = 0, ret = 0;

    for (; n < count && n < CLZI_MAX_BATCH && !memcmp(&bars[n], bars, sizeof *bars); n++)
        q[n] = (struct picture){ part(jobs[n].in, seen), part(jobs[n].in, coloured), part(jobs[n].out, coloured),
                                 jobs[n].controls };
    if (!p->in.format || !same_geometry(&p->seen, &q->seen) || !same_geometry(&p->in, &q->in) || !same_geometry(&p->out, &q->out))
        ret = plan(p, q);
    if (ret >= 0 && n > p->run) n = p->run;
    if (ret >= 0) ret = run(p, q, n);
    for (int i = 0; i < n && ret >= 0; i++) pass_bars(jobs[i].in, jobs[i].out, &aligned);
    return ret < 0 ? ret : n;
}

int clzi_pipeline_run(struct clzi_pipeline *p, const struct clzi_job *jobs, int count, const atomic_bool *cancelled)
{
    struct clzi_bars bars[CLZI_MAX_BATCH];
    int ret = 0;

    for (int i = 0; i < count; i++) bars[i] = bars_of(p, jobs[i].in);
    for (int i = 0; i < count && ret >= 0; i += ret) ret = *cancelled ? -ECANCELED : run_some(p, jobs + i, bars + i, count - i);
    return ret < 0 ? ret : 0;
}

const char *clzi_pipeline_describe(const struct clzi_pipeline *p)
{
    return p->describe;
}
