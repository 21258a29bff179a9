// recall.c - keys of frames; answers from and to files.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pixfmt.h"
#include "recall.h"

struct image {
    struct clzk_murmur key;
    bool found;
    struct clzi_answer answer;
};

struct clzi_recall {
    struct clzi_recall_params p;
    const struct clzi_backend *be;
    struct clzi_shape one;                  // of an answer
    struct image *images;                   // [n]
    float *ab;                              // host memory, an answer each: [n]
    uint8_t *row;                           // of a frame's samples
    int row_width;                          // samples that it has room for
    // the enlargement; NULL: the network has none
    struct clzi_graph *tail_graph;
    struct clzi_params *tail_params;
    struct clzi_exec *tail;
};

int clzi_recall_port(struct clzi_graph *g, int colour)
{
    const struct clzi_node *last = &g->nodes[g->out[colour].node];
    int ret = 0;

    if (last->op != CLZI_OP_RESIZE || clzi_port_find(g->out, g->out_count, "answer") >= 0 || g->out_count == CLZI_MAX_PORTS)
        return colour;
    if (!g->outputs_named) ret = clzi_graph_output(g, "ab", g->out[0].node);
    if (ret >= 0) ret = clzi_graph_output(g, "answer", last->in[0]);
    return ret < 0 ? ret : g->out_count - 1;
}

// The network's last op as a network of its own.
static int create_tail(struct clzi_recall *r)
{
    const struct clzi_node *last = &r->p.graph->nodes[r->p.graph->out[r->p.colour].node];
    const struct clzi_exec_params params = { .n = r->p.n, .h = r->one.h, .w = r->one.w };
    int ret = clzi_graph_create(&r->tail_graph);

    if (ret >= 0) ret = clzi_graph_input(r->tail_graph, "answer", .channels = 2);
    if (ret >= 0) ret = clzi_graph_append(r->tail_graph, "ab", last->op, &ret, 1, &last->attr);
    if (ret >= 0) ret = clzi_params_create(&r->tail_params, r->p.dev, r->tail_graph, NULL, NULL);
    return ret < 0 ? ret : clzi_exec_create(&r->tail, r->tail_graph, r->tail_params, &params);
}

int clzi_recall_create(struct clzi_recall **out, const struct clzi_recall_params *params)
{
    struct clzi_recall *r = *out = calloc(1, sizeof *r);
    int ret = -ENOMEM;

    if (!r) return ret;
    r->p = *params;
    r->be = clzi_device_base(params->dev)->backend;
    r->one = clzi_exec_output_shape(params->exec, params->answer);
    r->one.n = 1;
    r->images = calloc((size_t)params->n, sizeof *r->images);
    r->ab = malloc((size_t)params->n * (size_t)clzi_shape_count(r->one) * sizeof *r->ab);
    if (r->images && r->ab) ret = params->answer != params->colour && params->answers->in ? create_tail(r) : 0;
    if (ret < 0) clzi_recall_destroy(out);
    return ret;
}

void clzi_recall_destroy(struct clzi_recall **recall)
{
    struct clzi_recall *r = *recall;

    *recall = NULL;
    if (!r) return;
    clzi_exec_destroy(&r->tail);
    clzi_params_destroy(&r->tail_params);
    clzi_graph_destroy(&r->tail_graph);
    free(r->images);
    free(r->ab);
    free(r->row);
    free(r);
}

// ---- keys ----

// Samples of one row, dense and as in memory of the machine: so films of one content have one key in all formats of a depth.
static const void *dense_row(const struct clzk_picture *p, const struct clzk_samples *c, int y, uint8_t *row)
{
    const uint8_t *from = c->data + y * c->stride;

    if (p->depth <= 8) {
        if (c->step == 1) return from;
        for (int x = 0; x < p->width; x++) row[x] = from[x * c->step];
        return row;
    }
    if (c->step == 1 && !p->shift && !p->swapped) return from;
    for (int x = 0; x < p->width; x++) {
        uint16_t v = ((const uint16_t *)(const void *)from)[x * c->step];
        if (p->swapped) v = (uint16_t)(v << 8 | v >> 8);
        ((uint16_t *)(void *)row)[x] = (uint16_t)(v >> p->shift);
    }
    return row;
}

static bool any(const float *values, int64_t count)
{
    for (int64_t i = 0; values && i < count; i++)
        if (values[i] != 0) return true;
    return false;
}

static int make_key(struct clzi_recall *r, const struct clzi_recall_frame *f, struct clzk_murmur *key)
{
    const struct clzk_picture p = clzi_picture(f->seen);
    const int64_t plane = (int64_t)r->p.w * r->p.h;
    const int32_t facts[] = {
        r->p.w, r->p.h, p.width, p.height, f->l ? 0 : p.depth, p.rgb, p.full, p.rgb ? f->seen->matrix : 0, f->seen->transfer,
    };

    *key = (struct clzk_murmur){ { 0 } };
    clzk_murmur(key, facts, sizeof facts);
    if (f->part) clzk_murmur(key, (int32_t[]){ f->part }, sizeof(int32_t));
    if (f->l) {
        clzk_murmur(key, f->l, (size_t)plane * sizeof *f->l);
    } else {
        if (p.width > r->row_width) {
            free(r->row);
            r->row_width = 0;
            if (!(r->row = malloc(2 * (size_t)p.width))) return -ENOMEM;
            r->row_width = p.width;
        }
        for (int c = 0; c < (p.rgb ? 3 : 1); c++)
            for (int y = 0; y < p.height; y++)
                clzk_murmur(key, dense_row(&p, &p.c[c], y, r->row), (size_t)p.width * (p.depth > 8 ? 2 : 1));
    }
    if (any(f->hints, 3 * plane)) clzk_murmur(key, f->hints, 3 * (size_t)plane * sizeof *f->hints);
    if (any(f->classes, f->class_count)) clzk_murmur(key, f->classes, (size_t)f->class_count * sizeof *f->classes);
    return 0;
}

// ---- frames ----

static float *answer_of(const struct clzi_recall *r, int i) { return r->ab + i * clzi_shape_count(r->one); }

int clzi_recall_find(struct clzi_recall *r, int i, const struct clzi_recall_frame *frame)
{
    struct image *m = &r->images[i];
    int ret;

    m->found = false;
    m->answer = (struct clzi_answer){ .h = r->one.h, .w = r->one.w, .ab = answer_of(r, i),
                                      .precision = r->p.answers->precision, .ambiguity = { -1, -1, -1 } };
    if ((ret = make_key(r, frame, &m->key)) < 0) return ret;
    if (r->p.answers->in && (ret = clzi_answers_find(r->p.answers->in, &m->key, &m->answer)) < 0) return ret;
    m->found = ret > 0;
    m->answer.frame = frame->number;
    m->answer.time = frame->time;
    return ret;
}

struct clzi_ambiguity clzi_recall_ambiguity(const struct clzi_recall *r, int i, bool *known)
{
    *known = r->images[i].found;
    return r->images[i].answer.ambiguity;
}

// The answers of images that were found, and those of the network, through the enlargement.
static int enlarge(struct clzi_recall *r, int count, char **ab)
{
    char *to = r->tail ? clzi_exec_input(r->tail, 0) : clzi_exec_output(r->p.exec, r->p.answer);
    const char *from = clzi_exec_output(r->p.exec, r->p.answer);
    const size_t size = r->be->tensor_size(r->p.dev, r->one);
    int ret = 0;

    for (int i = 0; i < count && ret >= 0; i++) {
        if (r->images[i].found) ret = r->be->upload(r->p.dev, to + i * size, r->one, answer_of(r, i));
        else if (r->tail) ret = r->be->copy(r->p.dev, to + i * size, from + i * size, size);
    }
    if (ret >= 0 && r->tail) ret = clzi_exec_forward(r->tail, 0);
    *ab = r->tail ? clzi_exec_output(r->tail, 0) : to;
    return ret;
}

int clzi_recall_finish(struct clzi_recall *r, int count, const struct clzi_ambiguity *ambiguity, char **ab)
{
    const size_t size = r->be->tensor_size(r->p.dev, r->one);
    const char *answers = clzi_exec_output(r->p.exec, r->p.answer);
    int ret = 0, found = 0;

    for (int i = 0; i < count && ret >= 0; i++) {
        struct image *m = &r->images[i];
        found += m->found;
        if (!m->found && r->p.answers->out) {
            m->answer.precision = clzi_device_base(r->p.dev)->precision;
            m->answer.ambiguity = ambiguity[i];
            ret = r->be->download(r->p.dev, answers + i * size, r->one, answer_of(r, i));
        }
        if (ret >= 0 && r->p.answers->out) ret = clzi_answers_add(r->p.answers->out, &m->key, &m->answer);
    }
    r->p.answers->from_file += (uint64_t)found;
    r->p.answers->from_network += (uint64_t)(count - found);
    *ab = clzi_exec_output(r->p.exec, r->p.colour);
    return ret >= 0 && found ? enlarge(r, count, ab) : ret;
}
