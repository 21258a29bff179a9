// window.c - a ring of the network's answers, from the oldest frame that a later one may see to the newest.
#include <errno.h>
#include <stdlib.h>

#include "window.h"

struct entry {
    uint64_t shot;                          // number of the first frame of the frame's shot
    struct clz_controls controls;
    bool second;
};

struct clzi_window {
    struct clzi_device *dev;
    const struct clzi_backend *be;
    struct clzi_stage stage;
    void *state;                            // the stage's
    size_t l_size, ab_size;                 // bytes of one image
    int room;                               // of the ring; frame n is stored at n modulo room
    struct entry *entries;                  // [room]
    char *l, *ab;                           // tensors [room,1,h,w], [room,2,h,w]
    char *settled;                          // tensor [images,2,h,w]
    struct clzi_view_frame *view;           // [before + 1 + after]
    uint64_t pushed, done;                  // number of frames pushed and settled
    uint64_t closed;                        // frames before this one wait for none that was pushed after end()
};

static int at(const struct clzi_window *w, uint64_t number) { return (int)(number % w->room); }
static uint64_t shot_of(const struct clzi_window *w, uint64_t number) { return w->entries[at(w, number)].shot; }

int clzi_window_create(struct clzi_window **out, const struct clzi_stage *stage, const struct clzi_window_params *p)
{
    struct clzi_window *w = *out = calloc(1, sizeof *w);
    int ret = -ENOMEM;

    if (!w) return ret;
    w->dev = p->dev;
    w->be = clzi_device_base(p->dev)->backend;
    w->stage = *stage;
    w->room = stage->before + p->images + stage->after;
    w->l_size = w->be->tensor_size(p->dev, (struct clzi_shape){ 1, 1, p->h, p->w });
    w->ab_size = w->be->tensor_size(p->dev, (struct clzi_shape){ 1, 2, p->h, p->w });
    w->entries = calloc(w->room, sizeof *w->entries);
    w->view = calloc(stage->before + 1 + stage->after, sizeof *w->view);
    w->l = w->be->alloc(p->dev, w->room * w->l_size);
    w->ab = w->be->alloc(p->dev, w->room * w->ab_size);
    w->settled = w->be->alloc(p->dev, p->images * w->ab_size);
    if (w->entries && w->view && w->l && w->ab && w->settled) ret = stage->ops->create(&w->state, p);
    if (ret < 0) clzi_window_destroy(out);
    return ret;
}

void clzi_window_destroy(struct clzi_window **window)
{
    struct clzi_window *w = *window;

    *window = NULL;
    if (!w) return;
    w->stage.ops->destroy(&w->state);
    if (w->l) w->be->free(w->dev, w->l);
    if (w->ab) w->be->free(w->dev, w->ab);
    if (w->settled) w->be->free(w->dev, w->settled);
    free(w->entries);
    free(w->view);
    free(w);
}

int clzi_window_push(struct clzi_window *w, const void *l, const void *ab, const struct clz_controls *controls, bool cut,
                     bool second)
{
    const int i = at(w, w->pushed);
    int ret = w->be->copy(w->dev, w->l + i * w->l_size, l, w->l_size);

    if (ret >= 0) ret = w->be->copy(w->dev, w->ab + i * w->ab_size, ab, w->ab_size);
    if (ret < 0) return ret;
    w->entries[i] = (struct entry){ cut || !w->pushed ? w->pushed : shot_of(w, w->pushed - 1), *controls, second };
    w->pushed++;
    return 0;
}

// The first frame after `number` that it cannot see, or could not see if it were there.
static uint64_t end_of_view(const struct clzi_window *w, uint64_t number)
{
    uint64_t end = number + 1;

    while (end < w->pushed && end <= number + w->stage.after && shot_of(w, end) == shot_of(w, number)) end++;
    return end;
}

int clzi_window_ready(const struct clzi_window *w)
{
    uint64_t n = w->done;

    while (n < w->pushed && (n < w->closed || n + w->stage.after < w->pushed || end_of_view(w, n) < w->pushed)) n++;
    return (int)(n - w->done);
}

void clzi_window_end(struct clzi_window *w) { w->closed = w->pushed; }

int clzi_window_settle(struct clzi_window *w, int count, void **ab)
{
    int ret = 0;

    for (int i = 0; i < count && ret >= 0; i++, w->done++) {
        const uint64_t n = w->done, shot = shot_of(w, n);
        const int before = n - shot < (uint64_t)w->stage.before ? (int)(n - shot) : w->stage.before;
        const int after = (int)(end_of_view(w, n) - n) - 1;
        const struct clzi_view view = { -before, after, n == shot, w->view + before };
        for (int k = -before; k <= after; k++) {
            const int from = at(w, n + k);
            w->view[before + k] = (struct clzi_view_frame){ w->l + from * w->l_size, w->ab + from * w->ab_size,
                                                            w->entries[from].controls, w->entries[from].second };
        }
        ret = w->stage.ops->settle(w->state, &view, w->settled + i * w->ab_size);
    }
    *ab = w->settled;
    return ret;
}

void clzi_window_clear(struct clzi_window *w) { w->pushed = w->done = w->closed = 0; }
