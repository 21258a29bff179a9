// stabilizer.c - means of colour along the motion of a shot.
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/carry.h"
#include "stabilizer.h"

static const float
    longest = 0.96f,                        // keep at strength 1, step 1: the mean covers 1 / (1 - 0.96) = 25 frames
    tolerance = 0.05f,                      // of luma, see carry.h
    own_share = 1e-6f,                      // weight of a held frame's own colours, for places where nothing matches
    held_weight = 25;                       // of the colours that it holds, however long

struct clzi_stabilizer {
    struct clzi_stabilizer_params params;
    struct clzi_motion *motion;
    int slots;
    size_t pixels;
    struct clzk_colour *memory;
    struct clzk_colour **own, **mean;       // of each slot: the frame's own colours; the mean over it and earlier ones
    float *strength, *step;                 // of each slot
    bool *hold;
    struct clzk_colour *ahead[2];           // the mean over later frames
    uint64_t added, taken;
};

int clzi_stabilizer_create(struct clzi_stabilizer **out, const struct clzi_stabilizer_params *params)
{
    struct clzi_stabilizer *s = *out = calloc(1, sizeof *s);
    int ret = -ENOMEM;

    if (!s) return ret;
    s->params = *params;
    s->pixels = (size_t)params->w * params->h;
    // the frames that wait, those that one may still continue, and the one that is added
    s->slots = params->frames + params->ahead + CLZI_MOTION_BACK + 1;
    s->memory = malloc((2 * s->slots + 2) * s->pixels * sizeof *s->memory);
    s->own = calloc(2 * s->slots, sizeof *s->own);
    s->strength = calloc(2 * s->slots, sizeof *s->strength);
    s->hold = calloc(s->slots, sizeof *s->hold);
    if (!s->memory || !s->own || !s->strength || !s->hold) goto fail;
    s->mean = s->own + s->slots;
    s->step = s->strength + s->slots;
    for (int i = 0; i < 2 * s->slots; i++) s->own[i] = s->memory + i * s->pixels;
    for (int i = 0; i < 2; i++) s->ahead[i] = s->memory + (2 * s->slots + i) * s->pixels;
    if ((ret = clzi_motion_create(&s->motion, params->w, params->h, s->slots, params->threads)) < 0) goto fail;
    return 0;
fail:
    clzi_stabilizer_destroy(out);
    return ret;
}

void clzi_stabilizer_destroy(struct clzi_stabilizer **stabilizer)
{
    struct clzi_stabilizer *s = *stabilizer;

    *stabilizer = NULL;
    if (!s) return;
    clzi_motion_destroy(&s->motion);
    free(s->own);
    free(s->strength);
    free(s->hold);
    free(s->memory);
    free(s);
}

static struct clzk_colour *own_of(const struct clzi_stabilizer *s, uint64_t number) { return s->own[number % s->slots]; }
static struct clzk_colour *mean_of(const struct clzi_stabilizer *s, uint64_t number) { return s->mean[number % s->slots]; }

static void carry(const struct clzi_stabilizer *s, struct clzk_colour *out, const struct clzk_colour *own,
                  const struct clzk_colour *other, const float *v, const float *agreement, float brightness, float keep)
{
    const struct clzk_carry c = { clzi_motion_size(s->motion), s->params.w, s->params.h, v, agreement, brightness, keep,
                                  tolerance };
    const int pieces = s->params.threads;

#pragma omp parallel for schedule(static) num_threads(pieces) if (pieces > 1)
    for (int i = 0; i < pieces; i++)
        clzk_carry_rows(&c, out, own, other, s->params.h * i / pieces, s->params.h * (i + 1) / pieces);
}

// By how much the weight of a colour fades in a step.
static float keep_of(float strength, float step) { return step == 1 ? longest * strength : powf(longest * strength, step); }

int clzi_stabilizer_added(const struct clzi_stabilizer *s) { return (int)(s->added - s->taken); }

void clzi_stabilizer_add(struct clzi_stabilizer *s, const float *l, const float *ab, float strength, float step,
                         bool hold, enum clzi_cut cut)
{
    const uint64_t number = s->added++;
    struct clzk_colour *own = own_of(s, number), *mean = mean_of(s, number);
    const struct clzi_link *link;
    float weight;

    clzi_motion_add(s->motion, l, cut);
    link = clzi_motion_link(s->motion, number);
    hold = hold && link->back;
    weight = hold ? own_share : 1;
    for (size_t i = 0; i < s->pixels; i++) own[i] = (struct clzk_colour){ l[i], weight, ab[i], ab[s->pixels + i] };
    s->strength[number % s->slots] = strength;
    s->step[number % s->slots] = step;
    s->hold[number % s->slots] = hold;
    if (link->back)
        carry(s, mean, own, mean_of(s, number - link->back), link->to, link->to_agreement, link->brightness,
              hold ? 1 : keep_of(strength, step));
    else
        memcpy(mean, own, s->pixels * sizeof *own);
    // Carried for however long, colours keep their weight. Those of a place where nothing matched get none: what comes after the
    // hold has its own.
    for (size_t i = 0; i < s->pixels && hold; i++) mean[i].weight = mean[i].weight < 4 * own_share ? own_share : held_weight;
}

// The mean over the frames after `number` that continue it, up to `last`; NULL if there are none. first, step: of the first of
// them.
static const struct clzk_colour *mean_ahead(struct clzi_stabilizer *s, uint64_t number, uint64_t last,
                                            const struct clzi_link **first, float *step)
{
    const float strength = s->strength[number % s->slots];
    const struct clzk_colour *mean = NULL;
    uint64_t frame = last;
    int next = 0;

    *first = NULL;
    while (frame > number) {
        const struct clzi_link *link = clzi_motion_link(s->motion, frame);
        if (!mean) mean = own_of(s, frame);
        if (link->back && frame - link->back == number) {
            *first = link;
            *step = s->step[frame % s->slots];
            return mean;
        }
        if (link->back && frame - link->back > number) {
            frame -= link->back;
            carry(s, s->ahead[next], own_of(s, frame), mean, link->from, link->from_agreement, -link->brightness,
                  keep_of(strength, s->step[(frame + link->back) % s->slots]));
            mean = s->ahead[next];
            next = !next;
        } else {
            frame--;                        // another shot, or an interruption
            mean = NULL;
        }
    }
    return NULL;
}

bool clzi_stabilizer_take(struct clzi_stabilizer *s, float *ab, bool last)
{
    const uint64_t number = s->taken, end = number + s->params.ahead;
    const struct clzk_colour *mean, *later;
    const struct clzi_link *link;
    float step;

    if (number == s->added || (end >= s->added && !last)) return false;
    later = s->hold[number % s->slots] ? NULL : mean_ahead(s, number, end < s->added ? end : s->added - 1, &link, &step);
    mean = mean_of(s, number);
    if (later) {
        struct clzk_colour *both = later == s->ahead[0] ? s->ahead[1] : s->ahead[0];
        carry(s, both, mean, later, link->from, link->from_agreement, -link->brightness,
              keep_of(s->strength[number % s->slots], step));
        mean = both;
    }
    for (size_t i = 0; i < s->pixels; i++) {
        ab[i] = mean[i].a;
        ab[s->pixels + i] = mean[i].b;
    }
    s->taken++;
    return true;
}

void clzi_stabilizer_restart(struct clzi_stabilizer *s)
{
    clzi_motion_restart(s->motion);
    s->added = s->taken = 0;
}

const struct clzi_motion *clzi_stabilizer_motion(const struct clzi_stabilizer *s) { return s->motion; }

const struct clzk_colour *clzi_stabilizer_own(const struct clzi_stabilizer *s, uint64_t number) { return own_of(s, number); }

// ---- the stage ----

enum { KEPT = 2 * CLZI_MAX_WINDOW };        // more than the pictures that wait and CLZI_MOTION_BACK before them

struct stage {
    struct clzi_window_params params;
    struct clzi_stabilizer *stabilizer;
    float *l, *ab, *own;                    // one frame in host memory; own: with qc, the network's answer
    // of the last pictures added, picture n since the last restart at n modulo KEPT: number of its frame; whether it is the
    // second field of that
    uint64_t frame[KEPT], frames_added;
    bool second[KEPT];
    double time, interval;                  // of the last frame; since the one before it: 0: unknown
};

static struct clzi_stabilizer_context *context_of(const struct stage *t) { return t->params.context; }

static void stage_destroy(void **state)
{
    struct stage *t = *state;

    *state = NULL;
    if (!t) return;
    clzi_stabilizer_destroy(&t->stabilizer);
    free(t->l);
    free(t->ab);
    free(t->own);
    free(t);
}

static int stage_create(void **state, const struct clzi_window_params *params)
{
    const size_t pixels = (size_t)params->w * params->h;
    const struct clzi_stabilizer_params p = { params->w, params->h, params->after, 1, clzi_device_base(params->dev)->threads };
    struct stage *t = *state = calloc(1, sizeof *t);

    if (!t) return -ENOMEM;
    t->params = *params;
    t->time = -1;
    t->l = malloc(pixels * sizeof *t->l);
    t->ab = malloc(2 * pixels * sizeof *t->ab);
    if (!t->l || !t->ab || (context_of(t)->qc && !(t->own = malloc(2 * pixels * sizeof *t->own)))) return -ENOMEM;
    return clzi_stabilizer_create(&t->stabilizer, &p);
}

// clzi_link.back of a picture, counted in frames: a frame of two pictures, whose second one begins a shot, begins it as a whole.
static int frames_back(const struct stage *t, uint64_t number)
{
    const struct clzi_motion *m = clzi_stabilizer_motion(t->stabilizer);
    const int back = clzi_motion_link(m, number)->back;
    const uint64_t earlier = number - back;

    if (!back || (t->second[earlier % KEPT] && !clzi_motion_link(m, earlier)->back)) return 0;
    return (int)(t->frame[number % KEPT] - t->frame[earlier % KEPT]);
}

// Enters the oldest frame that is not taken into the list of shots, and compares it with the list that was given.
static void list_frame(struct stage *t, const struct clz_controls *controls, bool begins)
{
    enum { DIFFERENT = 24 };                // of 64 bits: another picture; two pictures differ in 32 on average
    const struct clzi_motion *m = clzi_stabilizer_motion(t->stabilizer);
    struct clzi_stabilizer_context *c = context_of(t);
    const uint64_t frame = t->stabilizer->taken;
    struct clzi_shot_frame f = { controls->time, frames_back(t, frame), begins && !controls->cut,
                                 *clzi_motion_look(m, frame), c->bars ? &c->bars[c->frame % c->room] : NULL, { 0 } };

    clzi_motion_thumbnail(m, frame, f.thumbnail);
    if (c->shots) clzi_shots_add(c->shots, &f);
    if (c->cuts && !c->warned && clzi_cuts_compare(c->cuts, c->first + c->frame, f.thumbnail) > DIFFERENT) {
        c->warned = true;
        clzi_log(&clzi_device_base(t->params.dev)->log, CLZ_LOG_WARNING,
                 "frame %llu does not look as the list of cuts says: is the list of this film?",
                 (unsigned long long)(c->first + c->frame));
    }
}

// Gives the figures of frame `number`, whose colours are in t->ab, to qc.
static void measure_frame(struct stage *t, const struct clzi_view *view, uint64_t number)
{
    const struct clzi_window_params *p = &t->params;
    const struct clzi_stabilizer_context *c = context_of(t);
    const struct clzk_colour *own = clzi_stabilizer_own(t->stabilizer, number);
    const size_t pixels = (size_t)p->w * p->h;

    for (size_t i = 0; i < pixels; i++) {
        t->l[i] = own[i].l;
        t->own[i] = own[i].a;
        t->own[pixels + i] = own[i].b;
    }
    clzi_qc_add(c->qc, &(struct clzi_qc_frame){ view->frame->controls.time, frames_back(t, number), p->w, p->h, t->l, t->own,
                                                t->ab, p->ab_scale, c->notes[c->frame % c->room] });
}

// The time since the picture before, in powers of two, so that times which a container has rounded make no difference: 1 for 24
// to 30 frames a second, 1/2 for 50 and 60 and for fields, 2 for frames that last twice as long.
static float step_of(struct stage *t, const struct clzi_view_frame *frame, bool after_second)
{
    double seconds;

    if (!frame->second) {
        t->interval = frame->controls.time >= 0 && t->time >= 0 ? frame->controls.time - t->time : 0;
        t->time = frame->controls.time;
    }
    seconds = t->interval * (frame->second || after_second ? 0.5 : 1);
    if (!(seconds > 0)) return 1;
    return seconds < 1 / 96. ? 0.25f : seconds > 4 / 24. ? 4 : (float)exp2(round(log2(seconds * 24)));
}

static int add_frame(struct stage *t, const struct clzi_view_frame *frame)
{
    const struct clzi_window_params *p = &t->params;
    const struct clzi_backend *be = clzi_device_base(p->dev)->backend;
    const size_t pixels = (size_t)p->w * p->h;
    const uint64_t number = t->stabilizer->added;
    const float step = step_of(t, frame, number && t->second[(number - 1) % KEPT]);
    int ret = be->download(p->dev, frame->l, (struct clzi_shape){ 1, 1, p->h, p->w }, t->l);

    if (ret >= 0) ret = be->download(p->dev, frame->ab, (struct clzi_shape){ 1, 2, p->h, p->w }, t->ab);
    t->frames_added += !frame->second;
    t->frame[number % KEPT] = t->frames_added;
    t->second[number % KEPT] = frame->second;
    for (size_t i = 0; i < pixels && ret >= 0; i++) t->l[i] = (t->l[i] + p->l_offset) * p->l_scale / 100;
    if (ret >= 0)
        clzi_stabilizer_add(t->stabilizer, t->l, t->ab, frame->controls.stabilize, step, frame->controls.hold,
                            context_of(t)->cuts ? CLZI_CUT_NO : CLZI_CUT_FIND);
    return ret;
}

// The frames before a frame that is held, where they were passed on as they are: it continues one of them.
static int add_earlier(struct stage *t, const struct clzi_view *view)
{
    int ret = 0;

    for (int k = view->first; k < 0 && ret >= 0; k++) {
        ret = add_frame(t, &view->frame[k]);
        if (ret >= 0) clzi_stabilizer_take(t->stabilizer, t->ab, true);
    }
    return ret;
}

static int stage_settle(void *state, const struct clzi_view *view, void *ab)
{
    struct stage *t = state;
    const struct clzi_window_params *p = &t->params;
    const struct clzi_backend *be = clzi_device_base(p->dev)->backend;
    const struct clzi_shape shape = { 1, 2, p->h, p->w };
    const bool lists = context_of(t)->shots || context_of(t)->cuts;
    const bool hold = view->frame->controls.hold;
    const bool off = view->frame->controls.stabilize <= 0 && !hold && !lists && !context_of(t)->qc;
    uint64_t number;
    int ret = 0;

    if (view->begins || off) clzi_stabilizer_restart(t->stabilizer);
    if (off) return be->copy(p->dev, ab, view->frame->ab, be->tensor_size(p->dev, shape));
    if (hold && !t->stabilizer->added) ret = add_earlier(t, view);
    for (int k = clzi_stabilizer_added(t->stabilizer); k <= view->last && ret >= 0; k++) ret = add_frame(t, &view->frame[k]);
    if (ret < 0) return ret;
    if (lists && !view->frame->second) list_frame(t, &view->frame->controls, view->begins);
    number = t->stabilizer->taken;
    clzi_stabilizer_take(t->stabilizer, t->ab, true);
    if (context_of(t)->qc && !view->frame->second) measure_frame(t, view, number);
    context_of(t)->frame += !view->frame->second;
    return be->upload(p->dev, ab, shape, t->ab);
}

const struct clzi_stage_ops clzi_stabilizer_stage = { stage_create, stage_destroy, stage_settle };
