// window_stage.h - a stage between the network and the frames' chroma (engine/window.h), put into every stream of a program that
// is linked with --wrap=clzi_pipeline_create. It mixes the answers of the frames that it sees, and what it settled before in the
// shot, so that a picture tells which frames were seen, in which order; and it writes down what it saw.
#ifndef WINDOW_STAGE_H
#define WINDOW_STAGE_H
#include <errno.h>
#include <stdlib.h>

#include "check.h"
#include "engine/pipeline.h"

enum { STAGE_MOST = 512 };

static struct {
    struct clzi_stage stage;                // what the next streams get
    bool plain;                             // the frame's own answer is used as it is
    int fail_at;                            // number of a call of settle() that fails, -1: none
    struct { int first, last; bool begins; float strength, luma[2 * CLZI_MAX_WINDOW + 1]; } seen[STAGE_MOST];
    int count;
} window_stage = { .fail_at = -1 };

struct stage_state { struct clzi_window_params p; float *sum, *past, *one; };

static inline int64_t stage_pixels(const struct stage_state *s) { return (int64_t)s->p.w * s->p.h; }

static inline int stage_create(void **state, const struct clzi_window_params *params)
{
    struct stage_state *s = *state = calloc(1, sizeof *s);

    REQUIRE(s != NULL);
    s->p = *params;
    s->sum = calloc(2 * stage_pixels(s), sizeof *s->sum);
    s->past = calloc(2 * stage_pixels(s), sizeof *s->past);
    s->one = calloc(2 * stage_pixels(s), sizeof *s->one);
    return 0;
}

static inline void stage_destroy(void **state)
{
    struct stage_state *s = *state;

    if (s) free(s->sum), free(s->past), free(s->one);
    free(s);
    *state = NULL;
}

static inline int stage_settle(void *state, const struct clzi_view *view, void *ab)
{
    struct stage_state *s = state;
    const struct clzi_backend *be = clzi_device_base(s->p.dev)->backend;
    const struct clzi_shape l = { 1, 1, s->p.h, s->p.w }, c = { 1, 2, s->p.h, s->p.w };
    const int64_t count = 2 * stage_pixels(s);
    int ret = 0;

    if (window_stage.count == window_stage.fail_at) return -EIO;
    REQUIRE(window_stage.count < STAGE_MOST);
    window_stage.seen[window_stage.count].first = view->first;
    window_stage.seen[window_stage.count].last = view->last;
    window_stage.seen[window_stage.count].begins = view->begins;
    window_stage.seen[window_stage.count].strength = view->frame->controls.strength;
    for (int k = view->first; k <= view->last && ret >= 0; k++) {
        if ((ret = be->download(s->p.dev, view->frame[k].l, l, s->one)) < 0) return ret;
        window_stage.seen[window_stage.count].luma[CLZI_MAX_WINDOW + k] = s->one[0];
        if ((ret = be->download(s->p.dev, view->frame[k].ab, c, s->one)) < 0) return ret;
        for (int64_t i = 0; i < count; i++)
            s->sum[i] = (k > view->first ? s->sum[i] : 0) + (window_stage.plain ? !k : 1.f / (2 + abs(k) + (k > 0))) * s->one[i];
    }
    for (int64_t i = 0; i < count && !window_stage.plain; i++) s->sum[i] += view->begins ? 0 : 0.25f * s->past[i];
    memcpy(s->past, s->sum, count * sizeof *s->sum);
    window_stage.count++;
    return be->upload(s->p.dev, ab, c, s->sum);
}

static const struct clzi_stage_ops stage_ops = { stage_create, stage_destroy, stage_settle };

int __real_clzi_pipeline_create(struct clzi_pipeline **pipeline, struct clz_model *model, struct clzi_device *dev,
                                const struct clzi_pipeline_params *params);
int __wrap_clzi_pipeline_create(struct clzi_pipeline **pipeline, struct clz_model *model, struct clzi_device *dev,
                                const struct clzi_pipeline_params *params);

int __wrap_clzi_pipeline_create(struct clzi_pipeline **pipeline, struct clz_model *model, struct clzi_device *dev,
                                const struct clzi_pipeline_params *params)
{
    struct clzi_pipeline_params p = *params;

    p.stage = window_stage.stage;
    return __real_clzi_pipeline_create(pipeline, model, dev, &p);
}

static inline void window_stage_use(int before, int after, bool plain)
{
    memset(&window_stage, 0, sizeof window_stage);
    window_stage.fail_at = -1;
    window_stage.plain = plain;
    window_stage.stage = (struct clzi_stage){ &stage_ops, before, after, NULL };
}
#endif
