// pipeline.c - the processing of frames: crop the black bars, frame -> L* -> generator -> chroma -> frame.
//
// A run is one pass of the network over up to frames_per_run frames. submit() queues the calls of a run, wait() waits for the
// oldest. A device that computes while the caller goes on has two runs queued, so that the frames of run k+1 are read while the
// network works on run k.
//
// A frame's way: read, network | settled by the stage, if there is one, once the later frames that it looks at have been through
// the network | written. A run completes (writes) frames of its own and earlier ones. Frame n has slot n modulo `slots`.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bars.h"
#include "classes.h"
#include "exec.h"
#include "hints.h"
#include "base/log.h"
#include "pixfmt.h"
#include "pipeline.h"
#include "reference.h"

enum { MAX_RUNS = 2 };                      // queued

struct clzi_pipeline {
    struct clz_model *model;                // borrowed
    struct clzi_device *dev;                // borrowed
    struct clzi_pipeline_params params;
    const struct clz_log *log;
    struct clzi_graph *graph;               // fused for inference
    struct clzi_params *weights;
    const struct clzi_frame_ops *ops;
    struct clzi_bars_finder finder;
    struct clzi_bars bars;                  // of the previous frame that they were looked for in
    struct clzi_bars run_bars;              // of the last run's frames
    struct clzi_hints *hints;               // for all frames; NULL: none
    // valid for one geometry:
    struct clz_frame seen, in, out;         // size, format and tags of the last job; the planes are not used
    struct clzi_frames *frames;
    struct clzi_exec *exec;
    int frames_per_run;                     // the network's batch size N
    int w, h;                               // of the network's input and output
    char describe[64];
    int jobs_per_run;                       // with repetitions, which take no place in a run
    int slots;                              // most frames between read and finish
    struct clzi_frame_job *jobs;            // [slots]
    struct place *places;                   // [slots]
    float *first_ab, *second_ab;            // host memory: colours of a frame's two fields; NULL: there was no field yet
    // With repetitions, tensors: the answers of the last CLZI_FIELDS_BACK frames before a run, and of its frames; the lightness
    // of the run's repetitions.
    char *answers, *repeated_l;             // [BACK + jobs_per_run,2,h,w], [jobs_per_run,1,h,w]
    struct clzi_qc_note notes[CLZI_FIELDS_BACK + CLZI_MAX_BATCH];       // of the same frames
    uint64_t repeatable;                    // frames before this one were seen with other bars or classes, or have hints of their
                                            // own
    const float *last_classes;              // of the frame before
    uint64_t reused;
    struct clzi_window *window;             // NULL: no stage
    struct clzi_hint_painter *painter;      // NULL: there are no hints
    struct clzi_matcher *matcher;           // for stills; NULL: none was needed yet
    float *hint_planes, *lightness;         // host memory: [N,3,h,w], [h,w]
    int logits_port;                        // of p->graph: of the classes of colour, whose entropy is the ambiguity; -1: none
    float *logits;                          // host memory: of a run
    struct clzi_recall *recall;             // NULL: there are no files of answers
    int answer_port;                        // of p->graph, for these; -1: none
    int classes;                            // the model's number of classes; 0: none are used
    float *film_classes;                    // [classes] of frames that have none of their own
    float *class_vectors;                   // [2][N, classes] of a run, and of the last one
    bool classes_known;                     // the second half is what the network's input has
    bool hints_still;                       // the network's input has the hints for all frames and no others
    uint64_t taken, written, finished;      // number of frames of this geometry
    // runs in the queue, the oldest first:
    int counts[MAX_RUNS], queued;           // number of frames that each completes; of runs
    int oldest;                             // number of the oldest
};

struct area { int x, y, width, height; };

struct place {                              // what else is known of a frame between read and finish
    int image;                              // of the run's network input; -1: none, it repeats an earlier frame
    int like;
    bool second;
    const uint8_t *map;                     // as in struct clzi_job
    int columns, rows;                      // of the map
    struct area area;                       // that the network sees
};

static int round_to(double length, int stride)
{
    const int n = (int)(length / stride + 0.5);
    return (n < 1 ? 1 : n) * stride;
}

void clzi_working_size(int width, int height, int size, int stride, bool square, int *w, int *h)
{
    const double shorter = width < height ? width : height, most = 8.0 * size;      // limits the input for a frame of 1x8192
    const double long_side = size * ((width < height ? height : width) / shorter);
    const int a = round_to(size, stride), b = round_to(long_side < most ? long_side : most, stride);
    *w = square || width < height ? a : b;
    *h = square || width > height ? a : b;
}

// If a graph has one input, its name does not matter; among several inputs, "L" is used. The other inputs (hints, class) stay
// zero, which means that there are none. Likewise for the outputs, among which "ab" is used.
static int lightness_port(const struct clzi_graph *g) { return g->in_count == 1 ? 0 : clzi_port_find(g->in, g->in_count, "L"); }
static int colour_port(const struct clzi_graph *g) { return g->out_count == 1 ? 0 : clzi_port_find(g->out, g->out_count, "ab"); }

// The loader accepts any valid graph; the pipeline needs one that maps 1 channel of h x w to 2 channels of h x w.
static int check_graph(const struct clzi_pipeline *p, int w, int h)
{
    const struct clzi_graph *g = p->model->graph;
    const char *path = p->model->path;
    const int in = lightness_port(g), out = colour_port(g);
    struct clzi_shape *shapes, output;
    int ret;

    if (in < 0)
        return clzi_fail(p->log, -EBADMSG, "%s: its graph has no input \"L\" among %d inputs", path, g->in_count);
    if (clzi_graph_channels(g, g->in[in].node) != 1)
        return clzi_fail(p->log, -EBADMSG, "%s: its input has %d channels, should have 1, the lightness", path,
                         clzi_graph_channels(g, g->in[in].node));
    if (out < 0) return clzi_fail(p->log, -EBADMSG, "%s: its graph has no output \"ab\" among %d outputs", path, g->out_count);
    if (!(shapes = calloc((size_t)g->node_count, sizeof *shapes))) return -ENOMEM;
    ret = clzi_graph_shapes(g, 1, h, w, shapes, NULL);
    output = shapes[g->out[out].node];
    free(shapes);
    if (ret < 0) return clzi_fail(p->log, -EBADMSG, "%s: a picture of %dx%d does not pass through its graph", path, w, h);
    if (output.c == 2 && output.h == h && output.w == w) return 0;
    return clzi_fail(p->log, -EBADMSG, "%s: its output is %dx%dx%d for a picture of %dx%d, should be 2x%dx%d", path, output.c,
                     output.h, output.w, w, h, h, w);
}

static int hints_port(const struct clzi_graph *g) { return clzi_port_find(g->in, g->in_count, "hints"); }

static bool takes_hints(const struct clz_model *m)
{
    const int port = hints_port(m->graph);
    return port >= 0 && clzi_graph_channels(m->graph, m->graph->in[port].node) == 3;
}

static int no_hints(const struct clzi_pipeline *p, const char *what)
{
    return clzi_fail(p->log, -EINVAL, "%s has no input for hints: %s cannot be used with it", p->model->path, what);
}

static int no_classes(const struct clzi_pipeline *p, const char *what, const char *classes)
{
    return clzi_fail(p->log, -EINVAL, "%s was not trained with classes: %s%s cannot be used with it", p->model->path, what,
                     classes);
}

int clzi_pipeline_check_extras(const struct clzi_pipeline *p, struct clzi_extras extras)
{
    if (extras.layers && !takes_hints(p->model)) return no_hints(p, "points, masks and stills of the sheet");
    if (extras.classes && clzi_classes_port(p->model->graph) < 0) return no_classes(p, "the sheet's key class", "");
    return extras.stills ? clzi_matcher_check(p->model->graph, p->log) : 0;
}

static int open_hints(struct clzi_pipeline *p, const char *path)
{
    if (!path) return 0;
    return takes_hints(p->model) ? clzi_hints_read(&p->hints, path, p->log) : no_hints(p, path);
}

static int open_classes(struct clzi_pipeline *p, const char *classes)
{
    const struct clz_model *m = p->model;

    if (clzi_classes_port(m->graph) < 0) return clzi_classes_named(classes) ? no_classes(p, "class=", classes) : 0;
    p->classes = clzi_classes_count(m->facts.classes);
    if (!(p->film_classes = calloc((size_t)p->classes, sizeof *p->film_classes))) return -ENOMEM;
    return clzi_classes_parse(classes ? classes : "", m->facts.classes, p->film_classes, "class", p->log);
}

// Makes the logits of the classes of colour an output of the graph.
static int add_logits_port(struct clzi_pipeline *p)
{
    struct clzi_graph *g = p->graph;
    int logits = -1, ret = 0;

    for (int i = 0; i < g->node_count; i++)
        if (g->nodes[i].op == CLZI_OP_ANNEALED_MEAN) logits = g->nodes[i].in[0];
    if (logits < 0 || clzi_port_find(g->out, g->out_count, "logits") >= 0) return 0;
    if (!g->outputs_named) ret = clzi_graph_output(g, "ab", g->out[0].node);
    if (ret >= 0 && (ret = clzi_graph_output(g, "logits", logits)) >= 0) p->logits_port = g->out_count - 1;
    return ret;
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
    p->ops = clzi_device_base(dev)->backend->frames;
    p->params = *params;
    p->logits_port = p->answer_port = -1;
    p->log = &clzi_device_base(dev)->log;
    if (!p->params.size) p->params.size = model->facts.size;
    if ((ret = clzi_bars_parse(&p->finder, params->bars)) < 0) {
        clzi_fail(p->log, ret, "bars is \"%s\", should be auto, off, or the depths of the bars in pixels, top/bottom/left/right",
                  params->bars);
        goto fail;
    }
    if ((ret = open_hints(p, params->hints)) < 0 || (ret = open_classes(p, params->classes)) < 0) goto fail;
    p->params.bars = p->params.hints = p->params.classes = NULL;        // the caller owns the strings and may free them
    clzi_working_size(1, 1, p->params.size, model->facts.stride, true, &w, &h);
    if ((ret = check_graph(p, w, h)) >= 0) ret = clzi_graph_fuse(model->graph, model->values, &p->graph, &values);
    if (ret >= 0 && params->ambiguity) ret = add_logits_port(p);
    if (ret >= 0 && params->answers) ret = p->answer_port = clzi_recall_port(p->graph, colour_port(p->graph));
    if (ret >= 0) ret = clzi_params_create(&p->weights, dev, p->graph, values, NULL);
    for (int i = 0; values && i < p->graph->param_count; i++) free(values[i]);
    free(values);
fail:
    if (ret < 0) clzi_pipeline_destroy(&p);
    *out = p;
    return ret;
}

static void free_geometry(struct clzi_pipeline *p)
{
    clzi_window_destroy(&p->window);
    clzi_hint_painter_destroy(&p->painter);
    clzi_matcher_destroy(&p->matcher);
    clzi_recall_destroy(&p->recall);
    free(p->logits);
    p->logits = NULL;
    free(p->hint_planes);
    free(p->lightness);
    free(p->class_vectors);
    p->hint_planes = p->lightness = p->class_vectors = NULL;
    if (p->frames) p->ops->destroy(&p->frames);
    clzi_exec_destroy(&p->exec);
    free(p->jobs);
    free(p->places);
    free(p->first_ab);
    p->jobs = NULL;
    p->places = NULL;
    p->first_ab = p->second_ab = NULL;
    if (p->answers) clzi_device_base(p->dev)->backend->free(p->dev, p->answers);
    if (p->repeated_l) clzi_device_base(p->dev)->backend->free(p->dev, p->repeated_l);
    p->answers = p->repeated_l = NULL;
    p->repeatable = 0;
    p->taken = p->written = p->finished = 0;
    p->in.format = NULL;
    p->hints_still = false;
    p->describe[0] = 0;
}

void clzi_pipeline_destroy(struct clzi_pipeline **pipeline)
{
    struct clzi_pipeline *p = *pipeline;

    *pipeline = NULL;
    if (!p) return;
    free_geometry(p);
    clzi_params_destroy(&p->weights);
    clzi_graph_destroy(&p->graph);
    clzi_hints_destroy(&p->hints);
    free(p->film_classes);
    free(p);
}

static bool same_geometry(const struct clz_frame *a, const struct clz_frame *b)
{
    return a->format == b->format && a->width == b->width && a->height == b->height && a->range == b->range &&
           a->matrix == b->matrix && a->transfer == b->transfer && a->siting == b->siting && a->memory == b->memory;
}

// Colours for a stage where the network is not run: finite ones, which are not used. They need not stay neutral, since the
// network's input may lie in the same memory.
static int clear_answers(struct clzi_pipeline *p)
{
    const struct clzi_shape shape = { p->frames_per_run, 2, p->h, p->w };
    float *zeros = calloc((size_t)shape.n * shape.c * shape.h * shape.w, sizeof *zeros);
    const int ret = zeros ? clzi_device_base(p->dev)->backend->upload(p->dev, clzi_exec_output(p->exec, colour_port(p->graph)),
                                                                      shape, zeros) : -ENOMEM;

    free(zeros);
    return ret;
}

static int places_of_still(void *priv)
{
    struct clzi_pipeline *p = priv;
    const struct clzi_matcher_params params = { p->dev, p->graph, p->weights, &p->model->facts, p->params.size, p->w, p->h };
    const int ret = p->matcher ? 0 : clzi_matcher_create(&p->matcher, &params);

    return ret < 0 ? ret : clzi_matcher_places(p->matcher);
}

static int match_still(void *priv, const struct clzi_reference *reference, const float *l, struct clzi_point *points)
{
    const struct clzi_pipeline *p = priv;
    return clzi_matcher_match(p->matcher, reference, l, points);
}

static int plan_hints(struct clzi_pipeline *p)
{
    const struct clzi_hint_painter_params params = { p->hints, p->w, p->h, p->model->facts.ab_scale,
                                                     clzi_device_base(p->dev)->threads, p->log, places_of_still, match_still, p };
    const int64_t plane = (int64_t)p->w * p->h;

    p->hints_still = !p->hints;             // an input that nothing is written to is 0
    if (!takes_hints(p->model) || p->params.no_network) return 0;
    p->hint_planes = calloc(3 * (size_t)(p->frames_per_run * plane), sizeof *p->hint_planes);
    p->lightness = malloc((size_t)plane * sizeof *p->lightness);
    return p->hint_planes && p->lightness ? clzi_hint_painter_create(&p->painter, &params) : -ENOMEM;
}

static int plan_recall(struct clzi_pipeline *p)
{
    const struct clzi_recall_params params = { p->dev, p->graph, p->exec, colour_port(p->graph), p->answer_port,
                                               p->frames_per_run, p->h, p->w, p->params.answers };

    if (!p->params.answers) return 0;
    if (!p->lightness && !(p->lightness = malloc((size_t)p->w * p->h * sizeof *p->lightness))) return -ENOMEM;
    return clzi_recall_create(&p->recall, &params);
}

static int plan_classes(struct clzi_pipeline *p)
{
    p->classes_known = true;                // an input that nothing is written to is 0
    if (!p->classes || p->params.no_network) return 0;
    p->class_vectors = calloc(2 * (size_t)p->frames_per_run * (size_t)p->classes, sizeof *p->class_vectors);
    return p->class_vectors ? 0 : -ENOMEM;
}

static int plan_repeats(struct clzi_pipeline *p)
{
    const struct clzi_backend *be = clzi_device_base(p->dev)->backend;
    const int answers = CLZI_FIELDS_BACK + p->jobs_per_run;

    if (!p->params.repeats || p->params.no_network) return 0;
    p->answers = be->alloc(p->dev, answers * be->tensor_size(p->dev, (struct clzi_shape){ 1, 2, p->h, p->w }));
    p->repeated_l = be->alloc(p->dev, p->jobs_per_run * be->tensor_size(p->dev, (struct clzi_shape){ 1, 1, p->h, p->w }));
    return p->answers && p->repeated_l ? 0 : -ENOMEM;
}

// Creates everything that depends on the geometry and on p->frames_per_run.
static int plan_run(struct clzi_pipeline *p, const struct clzi_frame_job *q)
{
    const struct clzi_exec_params params = { .n = p->frames_per_run, .h = p->h, .w = p->w };
    const int twice = 2 * p->frames_per_run < CLZI_MAX_BATCH ? 2 * p->frames_per_run : CLZI_MAX_BATCH;
    const int jobs_per_run = p->jobs_per_run = p->params.repeats ? twice : p->frames_per_run;
    struct clzi_frames_params frames = {
        .seen = q->seen, .in = q->in, .out = q->out, .w = p->w, .h = p->h, .images = p->frames_per_run,
        .slots = jobs_per_run * clzi_pipeline_depth(p) + p->params.stage.after,
        .l_scale = p->model->facts.l_scale, .l_offset = p->model->facts.l_offset,
    };
    const struct clzi_window_params window = {
        .dev = p->dev, .w = p->w, .h = p->h, .images = jobs_per_run, .after = p->params.stage.after,
        .context = p->params.stage.context,
        .l_scale = frames.l_scale, .l_offset = frames.l_offset, .ab_scale = p->model->facts.ab_scale,
    };
    struct clzk_colour_space space;
    int ret;

    p->slots = frames.slots;
    if (!(p->jobs = calloc(p->slots, sizeof *p->jobs)) || !(p->places = calloc(p->slots, sizeof *p->places))) return -ENOMEM;
    if ((ret = clzi_exec_create(&p->exec, p->graph, p->weights, &params)) < 0) return ret;
    if (p->params.no_network && (ret = clear_answers(p)) < 0) return ret;
    if ((ret = plan_repeats(p)) < 0 || (ret = plan_hints(p)) < 0 || (ret = plan_classes(p)) < 0 || (ret = plan_recall(p)) < 0)
        return ret;
    if (p->logits_port >= 0 && !p->params.no_network) {
        const struct clzi_shape shape = clzi_exec_output_shape(p->exec, p->logits_port);
        if (!(p->logits = malloc((size_t)clzi_shape_count(shape) * sizeof *p->logits))) return -ENOMEM;
    }
    if (p->params.stage.ops && (ret = clzi_window_create(&p->window, &p->params.stage, &window)) < 0) return ret;
    space = clzi_colour_space(&q->out);
    ret = clzi_model_colours(p->model, &space, p->params.luma == CLZ_LUMA_LSTAR, &frames.colours);
    return ret < 0 ? ret : p->ops->create(&p->frames, p->dev, &frames);
}

// Prepares the pipeline for the geometry of q. If memory does not suffice for a network run of several frames, halves their
// number; the result is the same, but slower.
static int plan_geometry(struct clzi_pipeline *p, const struct clzi_frame_job *q)
{
    int ret;

    free_geometry(p);
    clzi_working_size(q->seen.width, q->seen.height, p->params.size, p->model->facts.stride,
                      !strcmp(p->model->facts.shape, "square"), &p->w, &p->h);
    if ((ret = check_graph(p, p->w, p->h)) < 0) return ret;
    p->frames_per_run = clzi_device_base(p->dev)->backend->frames_per_run(p->dev, p->params.batch);
    while ((ret = plan_run(p, q)) == -ENOMEM && p->frames_per_run > 1) {
        free_geometry(p);
        clzi_log(p->log, CLZ_LOG_WARNING, "not enough memory for %d frames at once, trying %d", p->frames_per_run,
                 p->frames_per_run / 2);
        p->frames_per_run /= 2;
    }
    if (ret < 0) {
        free_geometry(p);
        if (ret == -ENOMEM)
            clzi_log(p->log, CLZ_LOG_ERROR, "not enough memory to colour frames of %dx%d", q->in.width, q->in.height);
        return ret;
    }
    p->seen = q->seen;
    p->in = q->in;
    p->out = q->out;
    snprintf(p->describe, sizeof p->describe, "%dx%d, %d frame%s a run", p->w, p->h, p->frames_per_run,
             p->frames_per_run > 1 ? "s" : "");
    return 0;
}

static int next_run(const struct clzi_pipeline *p) { return (p->oldest + p->queued) % clzi_pipeline_depth(p); }

// Finite weights can still produce an output that is not finite, or far outside the range of a* and b*: -ERANGE.
static int explain(const struct clzi_pipeline *p, int ret)
{
    if (ret != -ERANGE) return ret;
    return clzi_fail(p->log, -EIO, "%s: the network's output overflows: its values are not finite or far too large",
                     p->model->path);
}

static int slot_of(const struct clzi_pipeline *p, uint64_t frame) { return (int)(frame % p->slots); }

// The number of frames of [first, first + count) whose slots follow each other.
static int in_one_piece(const struct clzi_pipeline *p, uint64_t first, int count)
{
    const int left = p->slots - slot_of(p, first);
    return count < left ? count : left;
}

// L* of the frames [taken, taken + count): into the network's input, that of repetitions beside it. `own` frames have an image.
static int read_frames(struct clzi_pipeline *p, int count, int own)
{
    const size_t size = clzi_device_base(p->dev)->backend->tensor_size(p->dev, (struct clzi_shape){ 1, 1, p->h, p->w });
    char *l = clzi_exec_input(p->exec, lightness_port(p->graph));
    int ret = 0;

    for (int i = 0, n; i < count && ret >= 0; i += n) {
        const int slot = slot_of(p, p->taken + i), image = p->places[slot].image, most = in_one_piece(p, p->taken + i, count - i);
        for (n = 1; n < most && (p->places[slot + n].image < 0) == (image < 0); n++) continue;
        if (n > p->frames_per_run) n = p->frames_per_run;
        if (image < 0) ret = p->ops->read(p->frames, slot, p->jobs + slot, n, n, p->repeated_l + i * size);
        else ret = p->ops->read(p->frames, slot, p->jobs + slot, n, image + n == own ? p->frames_per_run - image : n,
                                l + image * size);
    }
    return ret;
}

static size_t answer_size(const struct clzi_pipeline *p)
{
    return clzi_device_base(p->dev)->backend->tensor_size(p->dev, (struct clzi_shape){ 1, 2, p->h, p->w });
}

// Puts the answers of a run's frames one after the other, those of repetitions too, and keeps the last ones for the next run. ab:
// those of its images; becomes where they are.
static int gather_answers(struct clzi_pipeline *p, int count, char **ab)
{
    const struct clzi_backend *be = clzi_device_base(p->dev)->backend;
    const size_t size = answer_size(p);
    char *gathered;
    int ret = 0;

    if (!p->answers) return 0;
    gathered = p->answers + CLZI_FIELDS_BACK * size;
    for (int i = 0; i < count && ret >= 0; i++) {
        const struct place *place = &p->places[slot_of(p, p->taken + i)];
        ret = be->copy(p->dev, gathered + i * size, place->image < 0 ? gathered + (i - place->like) * (ptrdiff_t)size :
                                                                       *ab + place->image * size, size);
    }
    for (int i = 0; i < CLZI_FIELDS_BACK && ret >= 0; i++)
        ret = be->copy(p->dev, p->answers + i * size, p->answers + (i + count) * size, size);
    *ab = gathered;
    return ret;
}

// Hands the network's answers of a run to the window. first_is_new: the first frame does not belong to the shot before it.
static int push_answers(struct clzi_pipeline *p, const struct clzi_job *jobs, int count, const char *ab, bool first_is_new)
{
    const struct clzi_backend *be = clzi_device_base(p->dev)->backend;
    const size_t l_size = be->tensor_size(p->dev, (struct clzi_shape){ 1, 1, p->h, p->w }), ab_size = answer_size(p);
    const char *l = clzi_exec_input(p->exec, lightness_port(p->graph));
    int ret = 0;

    for (int i = 0; i < count && ret >= 0; i++) {
        const int image = p->places[slot_of(p, p->taken + i)].image;
        ret = clzi_window_push(p->window, image < 0 ? p->repeated_l + i * l_size : l + image * l_size, ab + i * ab_size,
                               jobs[i].controls, jobs[i].controls->cut || (!i && first_is_new), jobs[i].second);
    }
    return ret;
}

// ---- where the two fields of a frame do not differ, the second one has the colours of the first ----

// The map's value, 0 to 1, at a pixel of the network's picture: linear between the middles of its cells.
static float difference_at(const struct clzi_pipeline *p, const struct place *place, int x, int y)
{
    const float cell = CLZI_FIELDS_CELL;
    float u = ((float)place->area.x + ((float)x + 0.5f) * (float)place->area.width / (float)p->w) / cell - 0.5f;
    float v = ((float)place->area.y + ((float)y + 0.5f) * (float)place->area.height / (float)p->h) / cell - 0.5f;
    const uint8_t *at;
    int right, below;

    u = u < 0 ? 0 : u > (float)(place->columns - 1) ? (float)(place->columns - 1) : u;
    v = v < 0 ? 0 : v > (float)(place->rows - 1) ? (float)(place->rows - 1) : v;
    at = place->map + (int)v * place->columns + (int)u;
    right = (int)u + 1 < place->columns;
    below = (int)v + 1 < place->rows ? place->columns : 0;
    u -= (float)(int)u;
    v -= (float)(int)v;
    return ((1 - v) * ((1 - u) * at[0] + u * at[right]) + v * ((1 - u) * at[below] + u * at[below + right])) / 255;
}

// Keeps the colours of a first field, for a second one.
static int blend_fields(struct clzi_pipeline *p, const struct place *place, char *ab)
{
    const struct clzi_backend *be = clzi_device_base(p->dev)->backend;
    const struct clzi_shape shape = { 1, 2, p->h, p->w };
    const size_t pixels = (size_t)p->w * p->h;
    int ret;

    if (!p->first_ab) {
        if (!(p->first_ab = malloc(4 * pixels * sizeof *p->first_ab))) return -ENOMEM;
        p->second_ab = p->first_ab + 2 * pixels;
    }
    ret = be->download(p->dev, ab, shape, place->second ? p->second_ab : p->first_ab);
    if (ret < 0 || !place->second) return ret;
    for (int y = 0; y < p->h; y++)
        for (int x = 0; x < p->w; x++) {
            const size_t i = (size_t)y * p->w + x;
            const float own = difference_at(p, place, x, y);
            for (size_t k = i; k < 2 * pixels; k += pixels) p->second_ab[k] = own > 0 ? own * p->second_ab[k] +
                                                                              (1 - own) * p->first_ab[k] : p->first_ab[k];
        }
    return be->upload(p->dev, ab, shape, p->second_ab);
}

// Writes `count` frames from the oldest on that is not written, with the answers ab.
static int write_frames(struct clzi_pipeline *p, int run, int count, char *ab)
{
    const size_t size = answer_size(p);
    int ret = 0;

    for (int i = 0; i < count && ret >= 0; i++) {
        const int slot = slot_of(p, p->written + i);
        if (p->jobs[slot].part != CLZK_FRAME) ret = blend_fields(p, &p->places[slot], ab + i * size);
    }
    for (int i = 0, n; i < count && ret >= 0; i += n) {
        const int slot = slot_of(p, p->written + i);
        n = in_one_piece(p, p->written + i, count - i);
        if (n > p->frames_per_run) n = p->frames_per_run;
        ret = p->ops->write(p->frames, run, slot, p->jobs + slot, n, ab + i * size);
    }
    p->written += count;
    return ret;
}

static int write_settled_frames(struct clzi_pipeline *p, int run)
{
    void *ab;
    int ret = 0;

    for (int ready; ret >= 0 && (ready = clzi_window_ready(p->window)) > 0;) {
        if (ready > p->jobs_per_run) ready = p->jobs_per_run;
        if ((ret = clzi_window_settle(p->window, ready, &ab)) >= 0) ret = write_frames(p, run, ready, ab);
    }
    return ret;
}

// Adds a run to the queue, which completes the frames from `first` on that are written.
static int mark_run(struct clzi_pipeline *p, uint64_t first)
{
    const struct clzi_backend *be = clzi_device_base(p->dev)->backend;
    const int run = next_run(p), ret = be->mark ? be->mark(p->dev, run) : 0;

    if (ret < 0) return ret;
    p->counts[run] = (int)(p->written - first);
    p->queued++;
    return 0;
}

// Image i of the network's input, as the network has it.
static int download_input(struct clzi_pipeline *p, int i)
{
    const struct clzi_backend *be = clzi_device_base(p->dev)->backend;
    const struct clzi_shape shape = { 1, 1, p->h, p->w };
    const char *l = clzi_exec_input(p->exec, lightness_port(p->graph));

    return be->download(p->dev, l + i * be->tensor_size(p->dev, shape), shape, p->lightness);
}

// Lightness of image i of the network's input, in 0 to 1.
static int download_lightness(struct clzi_pipeline *p, int i)
{
    const int ret = download_input(p, i);

    for (int64_t k = 0; k < (int64_t)p->w * p->h && ret >= 0; k++)
        p->lightness[k] = (p->lightness[k] + p->model->facts.l_offset) * p->model->facts.l_scale / 100;
    return ret;
}

// Paints the hints of a run's frames into the network's input, whose lightness is there already. The input keeps them, so
// what holds for all frames is painted once.
static int paint_hints(struct clzi_pipeline *p, const struct clzi_job *jobs, int count, struct area seen, bool first_is_new)
{
    const int64_t one = 3 * (int64_t)p->w * p->h;
    bool still = true;
    int ret = 0;

    for (int i = 0; i < count; i++) still = still && !jobs[i].layers->count;
    if (still && p->hints_still && (!first_is_new || !p->hints)) return 0;
    for (int i = 0; i < p->frames_per_run && ret >= 0; i++) {
        const struct clzi_job *job = &jobs[i];
        struct clzi_hint_frame f;
        if (i >= count) {                   // images that no frame uses
            memcpy(p->hint_planes + i * one, p->hint_planes, (size_t)one * sizeof *p->hint_planes);
            continue;
        }
        f = (struct clzi_hint_frame){
            job->in->width, job->in->height, { seen.x, seen.y, seen.width, seen.height }, job->layers, p->lightness,
            job->controls->cut ? CLZI_CUT_YES : job->cuts_known ? CLZI_CUT_NO : CLZI_CUT_FIND,
        };
        if (clzi_hint_layers_need_lightness(job->layers)) ret = download_lightness(p, i);
        if (ret >= 0) ret = clzi_hint_painter_next(p->painter, &f, p->hint_planes + i * one);
    }
    if (ret >= 0) ret = clzi_exec_upload(p->exec, hints_port(p->graph), p->hint_planes);
    p->hints_still = ret >= 0 && still;
    return ret;
}

// Writes the classes of a run's frames into the network's input, unless they are there.
static int put_classes(struct clzi_pipeline *p, const struct clzi_job *jobs, int count)
{
    const size_t one = (size_t)p->classes, all = one * (size_t)p->frames_per_run;
    float *now = p->class_vectors, *last = now + all;
    int ret;

    for (int i = 0; i < p->frames_per_run; i++) {
        const float *classes = i < count ? jobs[i].classes : NULL;
        memcpy(now + one * (size_t)i, classes ? classes : p->film_classes, one * sizeof *now);
    }
    if (p->classes_known && !memcmp(now, last, all * sizeof *now)) return 0;
    ret = clzi_exec_upload(p->exec, clzi_classes_port(p->graph), now);
    memcpy(last, now, all * sizeof *now);
    p->classes_known = ret >= 0;
    return ret;
}

// How unsure the network was of the images of this run, from its logits, or as the file of answers has it.
static int measure_ambiguity(struct clzi_pipeline *p, int count, bool run, struct clzi_ambiguity *ambiguity)
{
    const struct clzi_shape shape = p->logits ? clzi_exec_output_shape(p->exec, p->logits_port) : (struct clzi_shape){0};
    const int64_t one = (int64_t)shape.c * shape.h * shape.w;
    const int ret = p->logits && run ? clzi_exec_download(p->exec, p->logits_port, p->logits) : 0;

    for (int i = 0; i < count && ret >= 0; i++) {
        bool known = false;
        ambiguity[i] = p->recall ? clzi_recall_ambiguity(p->recall, i, &known) : (struct clzi_ambiguity){ -1, -1, -1 };
        if (p->logits && !known)
            ambiguity[i] = clzi_ambiguity_of(p->logits + i * one, shape.c, shape.h, shape.w, p->h / shape.h,
                                             clzi_device_base(p->dev)->threads);
    }
    return ret;
}

// Writes the notes of a run's frames; ambiguity: of its images.
static void take_notes(struct clzi_pipeline *p, const struct clzi_job *jobs, int count, const struct clzi_ambiguity *ambiguity,
                       struct area seen)
{
    struct clzi_qc_note *notes = p->notes + CLZI_FIELDS_BACK;

    for (int i = 0; i < count; i++) {
        const struct place *place = &p->places[slot_of(p, p->taken + i)];
        if (place->image < 0) notes[i] = notes[i - place->like];
        else notes[i] = (struct clzi_qc_note){ ambiguity[place->image], seen.x, seen.y, seen.width, seen.height };
        if (jobs[i].note) *jobs[i].note = notes[i];
    }
    memmove(p->notes, p->notes + count, CLZI_FIELDS_BACK * sizeof *p->notes);
}

// Looks for the answers of a run's images, whose frames have these slots. Returns how many the file of answers has, or an error.
static int recall(struct clzi_pipeline *p, const struct clzi_job *jobs, const int *slots, int count)
{
    const int64_t one = 3 * (int64_t)p->w * p->h;
    int ret = 0, found = 0;

    for (int i = 0; i < count && ret >= 0; i++, found += ret) {
        const struct clz_frame *seen = &p->jobs[slots[i]].seen;
        const struct clzi_recall_frame frame = {
            seen, jobs[i].part, seen->memory == CLZ_MEMORY_HOST ? NULL : p->lightness,
            p->painter ? p->hint_planes + i * one : NULL,
            p->class_vectors ? p->class_vectors + (size_t)i * (size_t)p->classes : NULL, p->classes,
            jobs[i].number, jobs[i].controls->time,
        };
        if (seen->memory != CLZ_MEMORY_HOST && (ret = download_input(p, i)) < 0) return ret;
        ret = clzi_recall_find(p->recall, i, &frame);
    }
    return ret < 0 ? ret : found;
}

// Runs the network on `count` images whose lightness and hints are in its input; with files of answers, only if one is not known.
static int answer(struct clzi_pipeline *p, const struct clzi_job *jobs, const int *slots, int count,
                  struct clzi_ambiguity *ambiguity, char **ab)
{
    int ret = p->recall ? recall(p, jobs, slots, count) : 0;
    const bool run = !p->params.no_network && ret < count;

    if (ret >= 0 && run) ret = clzi_exec_forward(p->exec, 0);
    if (ret >= 0 && (p->params.ambiguity || p->recall)) ret = measure_ambiguity(p, count, run, ambiguity);
    return ret >= 0 && p->recall ? clzi_recall_finish(p->recall, count, ambiguity, ab) : ret;
}

// Queues the run of `count` frames, whose jobs are in p->jobs from slot p->taken on.
static int queue_run(struct clzi_pipeline *p, const struct clzi_job *jobs, int count, struct area seen, bool first_is_new)
{
    const int run = next_run(p);
    const uint64_t first = p->written;
    struct clzi_job with_image[CLZI_MAX_BATCH];
    struct clzi_ambiguity ambiguity[CLZI_MAX_BATCH];
    int slots[CLZI_MAX_BATCH], own = 0, ret;
    char *ab = clzi_exec_output(p->exec, colour_port(p->graph));

    for (int i = 0; i < count; i++) {
        const int slot = slot_of(p, p->taken + i);
        if (p->places[slot].image < 0) continue;
        slots[own] = slot;
        with_image[own++] = jobs[i];
    }
    ret = read_frames(p, count, own);
    if (ret >= 0 && p->painter && own) ret = paint_hints(p, with_image, own, seen, first_is_new);
    if (ret >= 0 && p->class_vectors && own) ret = put_classes(p, with_image, own);
    if (ret >= 0 && own) ret = answer(p, with_image, slots, own, ambiguity, &ab);
    if (ret >= 0 && p->params.ambiguity) take_notes(p, jobs, count, ambiguity, seen);
    if (ret >= 0) ret = gather_answers(p, count, &ab);
    if (ret >= 0 && p->window) ret = push_answers(p, jobs, count, ab, first_is_new);
    p->taken += count;
    p->reused += count - own;
    if (ret >= 0 && !p->window) ret = write_frames(p, run, count, ab);
    if (ret >= 0 && p->window) ret = write_settled_frames(p, run);
    if (ret >= 0) ret = mark_run(p, first);
    return ret < 0 ? explain(p, ret) : count;
}

int clzi_pipeline_waiting(const struct clzi_pipeline *p) { return (int)(p->taken - p->written); }
int clzi_pipeline_lookahead(const struct clzi_pipeline *p) { return p->params.stage.after; }

int clzi_pipeline_end(struct clzi_pipeline *p)
{
    const uint64_t first = p->written;
    int ret;

    if (!clzi_pipeline_waiting(p)) return 0;
    if (p->queued == clzi_pipeline_depth(p)) return -EAGAIN;
    clzi_window_end(p->window);
    ret = write_settled_frames(p, next_run(p));
    if (ret >= 0) ret = mark_run(p, first);
    return ret < 0 ? explain(p, ret) : 0;
}

void clzi_pipeline_drop(struct clzi_pipeline *p)
{
    p->taken = p->written = p->finished = p->repeatable = 0;
    if (p->window) clzi_window_clear(p->window);
}

uint64_t clzi_pipeline_reused(const struct clzi_pipeline *p) { return p->reused; }

int clzi_pipeline_wait(struct clzi_pipeline *p, int *count)
{
    const struct clzi_backend *be = clzi_device_base(p->dev)->backend;
    const int run = p->oldest;
    int ret = 0;

    *count = 0;
    if (!p->queued) return 0;
    *count = p->counts[run];
    p->oldest = (run + 1) % clzi_pipeline_depth(p);
    p->queued--;
    if (be->wait) ret = be->wait(p->dev, run);
    for (int i = 0, n; i < *count && ret >= 0 && p->ops->finish; i += n) {
        const int slot = slot_of(p, p->finished + i);
        n = in_one_piece(p, p->finished + i, *count - i);
        ret = p->ops->finish(p->frames, run, slot, p->jobs + slot, n);
    }
    p->finished += *count;
    return ret < 0 ? explain(p, ret) : 0;
}

int clzi_pipeline_depth(const struct clzi_pipeline *p) { return clzi_device_base(p->dev)->backend->queued_runs; }
int clzi_pipeline_queued(const struct clzi_pipeline *p) { return p->queued; }

// ---- black bars ----

// A view of a part of a frame. If the part does not begin on a chroma sample, only the luma of the view may be used.
static struct clz_frame crop(const struct clz_frame *f, struct area a)
{
    struct clz_frame v = *f;

    v.width = a.width;
    v.height = a.height;
    for (int p = 0; p < f->format->planes; p++)
        v.data[p] += clz_pixfmt_rows(f->format, p, a.y) * f->stride[p] + (ptrdiff_t)clz_pixfmt_row_bytes(f->format, p, a.x);
    return v;
}

// Copies the luma of the bars; their chroma becomes neutral.
static int copy_bars(struct clzi_pipeline *p, const struct clz_frame *in, const struct clz_frame *out,
                     const struct clzi_bars *bars)
{
    const int *d = bars->depth, rows = in->height - d[CLZI_TOP] - d[CLZI_BOTTOM];
    const struct area areas[CLZI_SIDES] = {
        [CLZI_TOP] = { 0, 0, in->width, d[CLZI_TOP] },
        [CLZI_BOTTOM] = { 0, in->height - d[CLZI_BOTTOM], in->width, d[CLZI_BOTTOM] },
        [CLZI_LEFT] = { 0, d[CLZI_TOP], d[CLZI_LEFT], rows },
        [CLZI_RIGHT] = { in->width - d[CLZI_RIGHT], d[CLZI_TOP], d[CLZI_RIGHT], rows },
    };
    struct clz_pixfmt luma_only = *in->format;
    int ret = 0;

    if (!(in->format->flags & CLZ_PIXFMT_RGB)) luma_only.flags |= CLZ_PIXFMT_GRAY;      // so the output chroma becomes neutral
    for (int i = 0; i < CLZI_SIDES && ret >= 0; i++) {
        struct clz_frame from, to;
        if (!d[i]) continue;
        from = crop(in, areas[i]);
        to = crop(out, areas[i]);
        from.format = &luma_only;
        ret = p->ops->copy(p->dev, &from, &to);
    }
    return ret;
}

static struct area picture_area(const struct clz_frame *f, const struct clzi_bars *bars)
{
    const int *d = bars->depth;
    return (struct area){ d[CLZI_LEFT], d[CLZI_TOP], f->width - d[CLZI_LEFT] - d[CLZI_RIGHT],
                          f->height - d[CLZI_TOP] - d[CLZI_BOTTOM] };
}

static struct clzi_bars next_bars(struct clzi_pipeline *p, const struct clz_frame *in, const int *bright)
{
    const struct clzi_bars bars = clzi_bars_next(&p->finder, in, bright);
    const int *d = bars.depth;

    if (memcmp(&bars, &p->bars, sizeof bars))
        clzi_log(p->log, CLZ_LOG_VERBOSE, "black bars of %d/%d/%d/%d pixels (top/bottom/left/right) are not coloured",
                 d[CLZI_TOP], d[CLZI_BOTTOM], d[CLZI_LEFT], d[CLZI_RIGHT]);
    p->bars = bars;
    return bars;
}

bool clzi_pipeline_bars_fit(const struct clzi_pipeline *p, int width, int height)
{
    return clzi_bars_fit(&p->finder, width, height);
}

// ---- frames ----

int clzi_pipeline_prepare(struct clzi_pipeline *p, struct clzi_job *jobs, int count)
{
    const struct clz_frame *in = jobs->in;
    struct clz_frame frames[CLZI_MAX_BATCH];
    const int *bright = NULL;
    int ret;

    if (in->memory != CLZ_MEMORY_HOST && p->finder.mode == CLZI_BARS_AUTO) {    // the CPU cannot read them
        frames[0] = *in;
        for (int i = 1; i < count; i++) frames[i] = *jobs[i].in;
        if ((ret = p->ops->bright(p->dev, frames, count, &bright)) < 0) return ret;
    }
    for (int i = 0; i < count; i++) {
        jobs[i].before = p->finder;
        if (jobs[i].second) jobs[i].bars = p->bars;
        else jobs[i].bars = next_bars(p, jobs[i].in, bright ? bright + i * (in->width + in->height) : NULL);
    }
    return 0;
}

// The rows of a frame that belong to a part of it.
static struct clz_frame part_of(const struct clz_frame *f, enum clzk_part part)
{
    struct clz_frame v = *f;

    if (part == CLZK_FRAME) return v;
    v.height /= 2;
    for (int i = 0; i < f->format->planes; i++) {
        if (part == CLZK_BOTTOM_FIELD) v.data[i] += v.stride[i];
        v.stride[i] *= 2;
    }
    return v;
}

// The area whose rows of luma and chroma belong to the two fields in equal parts.
static struct area field_area(const struct clz_frame *out, const struct clzi_bars *aligned)
{
    const int unit = 2 << out->format->log2_chroma_h;
    struct clzi_bars bars = *aligned;

    bars.depth[CLZI_TOP] -= bars.depth[CLZI_TOP] % unit;
    bars.depth[CLZI_BOTTOM] -= bars.depth[CLZI_BOTTOM] % unit;
    return picture_area(out, &bars);
}

// Fills the slot of the frame `number` of this geometry. image: the next that is free.
static void fill_slot(struct clzi_pipeline *p, uint64_t number, const struct clzi_job *job, const struct clzi_bars *aligned,
                      int image)
{
    const int slot = slot_of(p, number);
    const struct area fields = field_area(job->out, aligned);
    const struct area seen = job->part ? fields : picture_area(job->in, &job->bars);
    const struct area coloured = job->part ? fields : picture_area(job->in, aligned);
    const struct clz_frame views[3] = { crop(job->in, seen), crop(job->in, coloured), crop(job->out, coloured) };
    if (job->classes != p->last_classes) p->repeatable = number;
    p->last_classes = job->classes;
    const bool repeats = p->answers && job->like && number >= p->repeatable + job->like && !job->layers->count;

    p->jobs[slot] = (struct clzi_frame_job){
        part_of(&views[0], job->part), part_of(&views[1], job->part), part_of(&views[2], job->part),
        p->params.no_network ? 0 : p->model->facts.ab_scale * job->controls->saturation * job->controls->strength, job->part,
    };
    p->places[slot] = (struct place){ repeats ? -1 : image, job->like, job->second, job->map,
                                      (job->in->width + CLZI_FIELDS_CELL - 1) / CLZI_FIELDS_CELL,
                                      (job->in->height + CLZI_FIELDS_CELL - 1) / CLZI_FIELDS_CELL, seen };
    if (job->layers->count) p->repeatable = number + 1;
}

int clzi_pipeline_submit(struct clzi_pipeline *p, const struct clzi_job *jobs, int count)
{
    const struct clzi_bars *bars = &jobs->bars, aligned = clzi_bars_align(*bars, jobs->out);
    const struct area seen = picture_area(jobs->in, bars), coloured = picture_area(jobs->in, &aligned);
    const struct clzi_frame_job like = { crop(jobs->in, seen), crop(jobs->in, coloured), crop(jobs->out, coloured), 0, 0 };
    const bool other_bars = memcmp(bars, &p->run_bars, sizeof *bars);
    int n = 0, images = 0, ret = 0;

    if (p->queued == clzi_pipeline_depth(p)) return -EAGAIN;
    if (!p->in.format || !same_geometry(&p->seen, &like.seen) || !same_geometry(&p->in, &like.in) ||
        !same_geometry(&p->out, &like.out)) {
        if ((ret = clzi_pipeline_end(p)) < 0) return ret;
        if (p->queued) return -EAGAIN;      // they use what the new geometry replaces
        if ((ret = plan_geometry(p, &like)) < 0) return ret;
    }
    if (other_bars) p->repeatable = p->taken;
    for (; n < count && n < p->jobs_per_run && images < p->frames_per_run && !memcmp(&jobs[n].bars, bars, sizeof *bars); n++) {
        fill_slot(p, p->taken + n, &jobs[n], &aligned, images);
        images += p->places[slot_of(p, p->taken + n)].image >= 0;
    }
    for (int i = 0; i < n && ret >= 0; i++)
        if (!jobs[i].second) ret = copy_bars(p, jobs[i].in, jobs[i].out, &aligned);
    p->run_bars = *bars;
    return ret < 0 ? ret : queue_run(p, jobs, n, seen, other_bars);
}

int clzi_pipeline_copy(struct clzi_pipeline *p, const struct clz_frame *in, const struct clz_frame *out)
{
    const struct clzi_backend *be = clzi_device_base(p->dev)->backend;
    int ret = p->ops->copy(p->dev, in, out);

    if (ret >= 0 && be->mark && (ret = be->mark(p->dev, 0)) >= 0) ret = be->wait(p->dev, 0);
    return ret;
}

const char *clzi_pipeline_describe(const struct clzi_pipeline *p)
{
    return p->describe;
}
