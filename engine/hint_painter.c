// hint_painter.c - the hints of each frame, and how they move.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "hint_painter.h"
#include "kernels/patch.h"
#include "reference.h"

enum { STATES = CLZI_MOTION_BACK + 1, TRACKS = 2 * CLZI_MAX_LAYERS };

// Agreement of the motions there and back below which a place counts as hidden: they miss each other by 1.5 pixels of the flow.
static const float hidden = 0.1f;
// A patch that is found again within this distance, in pixels of the network's picture, and matches this well, corrects the
// motion. Below, its picture has changed (it turns, comes nearer), and the patch is taken anew.
static const float near = 2, similar = 0.9f;

struct follower {
    struct clzi_place place;
    bool has_patch;
    struct clzk_patch patch;                // what was there, around its centre
};

// Where the hints of a layer are in one frame. NAN: given up.
struct state {
    uint64_t frame;                         // 1 + its number; 0: no state
    struct follower *points;                // of each point
    int begun;                              // number of points when they were placed
    float *map;                             // [2,h0,w0]: the place in `planes` of each pixel of the flow, in pixels
};

static int clamp(int i, int count) { return i < 0 ? 0 : i >= count ? count - 1 : i; }

struct geometry { int width, height; struct clzi_hints_area seen; };        // of a frame; all 0: none

struct track {                              // of a layer
    const struct clzi_hint_layer *layer;    // NULL: free
    const struct clzi_hints *hints;         // the layer's, or `found`
    struct clzi_hints found;                // from a still, as of the last comparison
    int room;                               // of points
    bool said;                              // how much of a frame matches the still
    uint64_t last;                          // count of frames when the layer was used last
    float *planes;                          // [3,h,w]: the hints where they were given; NULL: points that are followed
    struct geometry painted;                // for which they were painted
    struct follower *points;                // memory of the states
    float *maps;
    struct state states[STATES];            // of frame n at n modulo STATES
};

struct clzi_hint_painter {
    struct clzi_hint_painter_params params;
    struct clzi_hint_layer film;
    struct clzi_motion *motion;             // of the frames from the first on that had a layer that is followed
    struct track tracks[TRACKS + 1];        // the last one is the film's
    struct geometry before;                 // of the frame before, if it had a layer that is followed
    uint64_t count, number;                 // of all frames, from 1; of this frame in `motion`
};

bool clzi_hint_layers_need_lightness(const struct clzi_hint_layers *l)
{
    for (int i = 0; i < l->count; i++)
        if (l->layer[i]->follow || l->layer[i]->reference) return true;
    return false;
}

int clzi_hint_painter_create(struct clzi_hint_painter **out, const struct clzi_hint_painter_params *params)
{
    struct clzi_hint_painter *p = *out = calloc(1, sizeof *p);

    if (!p) return -ENOMEM;
    p->params = *params;
    p->film.hints = params->film;
    return 0;
}

static void free_track(struct track *t)
{
    free(t->found.points);
    free(t->planes);
    free(t->points);
    free(t->maps);
    *t = (struct track){0};
}

void clzi_hint_painter_destroy(struct clzi_hint_painter **painter)
{
    struct clzi_hint_painter *p = *painter;

    *painter = NULL;
    if (!p) return;
    for (int i = 0; i <= TRACKS; i++) free_track(&p->tracks[i]);
    clzi_motion_destroy(&p->motion);
    free(p);
}

static bool is_of(const struct geometry *g, const struct clzi_hint_frame *f)
{
    return g->width == f->width && g->height == f->height && !memcmp(&g->seen, &f->seen, sizeof g->seen);
}

static struct geometry geometry_of(const struct clzi_hint_frame *f) { return (struct geometry){ f->width, f->height, f->seen }; }

static struct clzi_canvas canvas_of(const struct clzi_hint_painter *p, const struct clzi_hint_frame *f, float *planes)
{
    return (struct clzi_canvas){ planes, p->params.ab_scale, f->seen, p->params.w, p->params.h };
}

static void warn_of_points(const struct clzi_hint_painter *p, const struct clzi_hint_frame *f, int outside)
{
    if (outside)
        clzi_log(p->params.log, CLZ_LOG_WARNING, "%d point%s of the hints lie%s outside the frame, which has %dx%d pixels",
                 outside, outside > 1 ? "s" : "", outside > 1 ? "" : "s", f->width, f->height);
}

// ---- fields of the flow ----

// A pixel x of the flow has its centre at (x + 0.5) * factor in the network's picture.
struct field { const struct clzk_flow_size *size; const float *v; };       // [2,h0,w0]

// The field at pixel (x, y): bilinear among the neighbours that are not NAN; NAN if the nearest is.
static void sample(const struct field *f, float x, float y, float out[2])
{
    const int w = f->size->w[0], h = f->size->h[0], i = (int)floorf(x), k = (int)floorf(y);
    const float fx = x - (float)i, fy = y - (float)k;
    const int64_t plane = (int64_t)w * h, nearest = (int64_t)clamp(k + (fy >= 0.5f), h) * w + clamp(i + (fx >= 0.5f), w);
    float sum[2] = { 0, 0 }, weights = 0;

    for (int n = 0; n < 4 && !isnan(f->v[nearest]); n++) {
        const int64_t at = (int64_t)clamp(k + n / 2, h) * w + clamp(i + n % 2, w);
        const float weight = (n % 2 ? fx : 1 - fx) * (n / 2 ? fy : 1 - fy);
        if (isnan(f->v[at])) continue;
        sum[0] += weight * f->v[at];
        sum[1] += weight * f->v[plane + at];
        weights += weight;
    }
    out[0] = weights > 0 ? sum[0] / weights : NAN;
    out[1] = weights > 0 ? sum[1] / weights : NAN;
}

// ---- following ----

static struct state *state_of(struct track *t, uint64_t frame) { return &t->states[frame % STATES]; }

// The pixel of the network's picture, whose centres are at whole numbers.
static void network_place(const struct clzi_hint_painter *p, const struct clzi_hint_frame *f, const struct clzi_place *place,
                          float *x, float *y)
{
    *x = (place->x - (float)f->seen.x) * (float)p->params.w / (float)f->seen.width - 0.5f;
    *y = (place->y - (float)f->seen.y) * (float)p->params.h / (float)f->seen.height - 0.5f;
}

static void take_patch(const struct clzi_hint_painter *p, const struct clzi_hint_frame *f, struct follower *point)
{
    float x, y;

    network_place(p, f, &point->place, &x, &y);
    point->has_patch = clzk_patch_take(&point->patch, f->l, p->params.w, p->params.h, x, y);
}

// Says how many of the frame's places have been found in the still, and in which ninths of the frame next to none.
static void say_match(const struct clzi_hint_painter *p, struct track *t)
{
    static const char *const names[9] = { "top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom",
                                          "bottom right" };
    int counts[9] = { 0 };
    char where[100] = "";

    for (int i = 0; i < t->found.count; i++) {
        const struct clzi_point *at = &t->found.points[i];
        const int column = (int)(3 * at->x.value / (float)p->params.w), row = (int)(3 * at->y.value / (float)p->params.h);
        counts[clamp(column, 3) + 3 * clamp(row, 3)]++;
    }
    for (int i = 0; i < 9; i++)
        if (counts[i] * 90 < t->room)       // a tenth of a ninth
            snprintf(where + strlen(where), sizeof where - strlen(where), "%s%s", *where ? ", " : "; nothing like it at the ",
                     names[i]);
    clzi_log(p->params.log, t->said ? CLZ_LOG_VERBOSE : CLZ_LOG_INFO, "%s: %d %% of a frame look like places of the still%s",
             clzi_reference_path(t->layer->reference), (100 * t->found.count + t->room / 2) / t->room, where);
    t->said = true;
}

// Compares the frame with the layer's still.
static int find(const struct clzi_hint_painter *p, struct track *t, const struct clzi_hint_frame *f)
{
    const float step_x = (float)f->seen.width / (float)p->params.w, step_y = (float)f->seen.height / (float)p->params.h;
    const int count = p->params.match(p->params.priv, t->layer->reference, f->l, t->found.points);

    if (count < 0) return count;
    t->found.count = count;
    if (t->layer->follow || !t->said) say_match(p, t);
    for (int i = 0; i < count; i++) {       // pixels of the network's picture to those of the frame
        struct clzi_point *at = &t->found.points[i];
        at->x.value = (float)f->seen.x + at->x.value * step_x - 0.5f;
        at->y.value = (float)f->seen.y + at->y.value * step_y - 0.5f;
        at->r.value *= step_x < step_y ? step_x : step_y;
    }
    return 0;
}

static int start(struct clzi_hint_painter *p, struct track *t, const struct clzi_hint_frame *f, struct state *s)
{
    const struct clzk_flow_size *size = clzi_motion_size(p->motion);
    const struct clzi_hints *hints = t->hints;
    const int ret = t->layer->reference ? find(p, t, f) : 0;
    const struct clzi_canvas canvas = canvas_of(p, f, t->planes);
    const int64_t plane = (int64_t)size->w[0] * size->h[0];

    for (int i = 0; i < hints->count; i++)
        if (clzi_point_place(&hints->points[i], f->width, f->height, &s->points[i].place)) take_patch(p, f, &s->points[i]);
        else s->points[i].place.x = NAN;
    s->begun = hints->count;
    if (ret < 0 || !t->planes) return ret;
    if (!is_of(&t->painted, f)) clzi_hints_paint(hints, f->width, f->height, &canvas);
    t->painted = geometry_of(f);
    for (int64_t i = 0; i < plane; i++) {
        s->map[i] = ((float)(i % size->w[0]) + 0.5f) * (float)size->factor;
        s->map[plane + i] = ((float)(i / size->w[0]) + 0.5f) * (float)size->factor;
    }
    return 0;
}

// The mean motion of what is around a pixel of the flow, weighted by its agreement: one pixel's own errors would add up from
// frame to frame.
static bool motion_at(const struct clzk_flow_size *size, const struct clzi_link *link, float x, float y, float v[2])
{
    enum { REACH = 2 };
    const int w = size->w[0], h = size->h[0];
    float weights = 0;

    v[0] = v[1] = 0;
    for (int k = -REACH; k <= REACH; k++)
        for (int i = -REACH; i <= REACH; i++) {
            const int at = clamp((int)lroundf(y) + k, h) * w + clamp((int)lroundf(x) + i, w);
            const float weight = link->from_agreement[at] * expf(-(float)(i * i + k * k) / 4);
            v[0] += weight * link->from[at];
            v[1] += weight * link->from[w * h + at];
            weights += weight;
        }
    v[0] /= weights + 1e-9f;
    v[1] /= weights + 1e-9f;
    return weights >= hidden;
}

static void move_point(const struct clzi_hint_painter *p, const struct clzi_hint_frame *f, const struct clzi_link *link,
                       struct follower *point)
{
    const struct clzk_flow_size *size = clzi_motion_size(p->motion);
    const float factor = (float)size->factor;
    float x, y, v[2], match;

    network_place(p, f, &point->place, &x, &y);
    if (!motion_at(size, link, (x + 0.5f) / factor - 0.5f, (y + 0.5f) / factor - 0.5f, v)) {
        point->place.x = NAN;
        return;
    }
    x += v[0] * factor;
    y += v[1] * factor;
    match = point->has_patch ? clzk_patch_find(&point->patch, f->l, p->params.w, p->params.h, near, &x, &y) : -1;
    point->place.x = (float)f->seen.x + (x + 0.5f) * (float)f->seen.width / (float)p->params.w;
    point->place.y = (float)f->seen.y + (y + 0.5f) * (float)f->seen.height / (float)p->params.h;
    if (match < similar) take_patch(p, f, point);
}

// Returns how many points are not given up.
static int move(struct clzi_hint_painter *p, struct track *t, const struct clzi_hint_frame *f, const struct clzi_link *link,
                 struct state *s, const struct state *earlier)
{
    const struct clzk_flow_size *size = clzi_motion_size(p->motion);
    const int64_t plane = (int64_t)size->w[0] * size->h[0];
    int left = 0;

    s->begun = earlier->begun;
    for (int i = 0; i < s->begun; i++) {
        s->points[i] = earlier->points[i];
        if (!isnan(s->points[i].place.x)) move_point(p, f, link, &s->points[i]);
        left += !isnan(s->points[i].place.x);
    }
    for (int64_t i = 0; i < plane && t->planes; i++) {
        const float x = (float)(i % size->w[0]) + link->to[i], y = (float)(i / size->w[0]) + link->to[plane + i];
        float place[2] = { NAN, NAN };
        if (link->to_agreement[i] >= hidden) sample(&(struct field){ size, earlier->map }, x, y, place);
        s->map[i] = place[0];
        s->map[plane + i] = place[1];
    }
    return left;
}

// ---- painting ----

// Lays planes over those that are there.
static void lay_over(float *planes, const float *over, int64_t plane)
{
    for (int64_t i = 0; i < plane; i++)
        for (int c = 0; c < 3 && over[2 * plane + i] > 0; c++) planes[c * plane + i] = over[c * plane + i];
}

static void paint_map(const struct clzi_hint_painter *p, const struct track *t, const struct state *s, float *planes)
{
    const struct field map = { clzi_motion_size(p->motion), s->map };
    const int w = p->params.w, h = p->params.h;
    const int64_t plane = (int64_t)w * h;
    const float factor = (float)map.size->factor;

    for (int64_t i = 0; i < plane; i++) {
        float place[2];
        int64_t from;
        sample(&map, ((float)(i % w) + 0.5f) / factor - 0.5f, ((float)(i / w) + 0.5f) / factor - 0.5f, place);
        if (isnan(place[0])) continue;
        // sample() repeats the pixels at the border, whose places lie half a pixel of the flow inside the picture
        from = (int64_t)clamp((int)floorf(place[1]), h) * w + clamp((int)floorf(place[0]), w);
        for (int c = 0; c < 3 && t->planes[2 * plane + from] > 0; c++) planes[c * plane + i] = t->planes[c * plane + from];
    }
}

static void paint(const struct clzi_hint_painter *p, const struct track *t, const struct clzi_hint_frame *f,
                  const struct state *s, float *planes)
{
    const struct clzi_canvas canvas = canvas_of(p, f, planes);

    for (int i = 0; i < s->begun; i++)
        if (!isnan(s->points[i].place.x)) clzi_point_paint(&canvas, &t->hints->points[i], &s->points[i].place);
    if (t->planes) paint_map(p, t, s, planes);
}

// ---- layers ----

static int allocate(struct clzi_hint_painter *p, struct track *t)
{
    const bool follow = t->layer->follow || t->layer->reference, picture = t->hints->rgba;
    const int64_t plane = (int64_t)p->params.w * p->params.h;
    int64_t flow;

    t->room = t->layer->reference ? p->params.places(p->params.priv) : t->hints->count;
    if (t->room < 0) return t->room;
    if (t->layer->reference && !(t->found.points = malloc((size_t)t->room * sizeof *t->found.points))) return -ENOMEM;
    if ((!follow || picture) && !(t->planes = malloc(3 * plane * sizeof *t->planes))) return -ENOMEM;
    if (!follow) return 0;
    flow = 2 * (int64_t)clzi_motion_size(p->motion)->w[0] * clzi_motion_size(p->motion)->h[0];
    if (t->room && !(t->points = malloc(STATES * (size_t)t->room * sizeof *t->points))) return -ENOMEM;
    if (picture && !(t->maps = malloc(STATES * (size_t)flow * sizeof *t->maps))) return -ENOMEM;
    for (int i = 0; i < STATES; i++) {
        if (t->room) t->states[i].points = t->points + (int64_t)i * t->room;
        if (picture) t->states[i].map = t->maps + i * flow;
    }
    return 0;
}

// The track of a layer; a new one takes the place of the one whose layer has been missing longest.
static int find_track(struct clzi_hint_painter *p, const struct clzi_hint_layer *layer, const struct clzi_hint_frame *f,
                      struct track **out)
{
    struct track *t = &p->tracks[0];
    int ret;

    for (int i = 0; i < TRACKS; i++) {
        if (p->tracks[i].layer == layer) return *out = &p->tracks[i], 0;
        if (p->tracks[i].last < t->last) t = &p->tracks[i];
    }
    *out = t;
    free_track(t);
    t->layer = layer;
    t->hints = layer->reference ? &t->found : layer->hints;
    if ((ret = allocate(p, t)) < 0) {
        free_track(t);
        return ret;
    }
    if (layer->follow) {
        struct clzi_place place;
        int outside = 0;
        for (int i = 0; i < t->hints->count; i++)
            outside += !clzi_point_place(&t->hints->points[i], f->width, f->height, &place);
        warn_of_points(p, f, outside);
    }
    return 0;
}

static void paint_still(struct clzi_hint_painter *p, struct track *t, const struct clzi_hint_frame *f, float *planes)
{
    const struct clzi_canvas canvas = canvas_of(p, f, t->planes);

    if (!is_of(&t->painted, f)) {
        const int outside = clzi_hints_paint(t->hints, f->width, f->height, &canvas);
        if (!t->painted.width) warn_of_points(p, f, outside);
    }
    t->painted = geometry_of(f);
    lay_over(planes, t->planes, (int64_t)p->params.w * p->params.h);
}

static int paint_layer(struct clzi_hint_painter *p, const struct clzi_hint_layer *layer, const struct clzi_hint_frame *f,
                       float *planes)
{
    struct track *t;
    struct state *s, *earlier;
    const struct clzi_link *link;
    int ret = find_track(p, layer, f, &t);

    if (ret < 0) return ret;
    t->last = p->count;
    if (!layer->follow && !layer->reference) return paint_still(p, t, f, planes), 0;
    s = state_of(t, p->number);
    link = clzi_motion_link(p->motion, p->number);
    earlier = state_of(t, p->number - link->back);
    if (layer->follow && link->back && earlier->frame == 1 + p->number - link->back) {
        const int left = move(p, t, f, link, s, earlier);
        if (layer->reference && 2 * left < s->begun) ret = start(p, t, f, s);
    } else ret = start(p, t, f, s);
    if (ret < 0) return ret;
    s->frame = 1 + p->number;
    paint(p, t, f, s, planes);
    return 0;
}

static int paint_film(struct clzi_hint_painter *p, const struct clzi_hint_frame *f, float *planes)
{
    struct track *t = &p->tracks[TRACKS];
    int ret;

    if (!t->layer) {
        t->layer = &p->film;
        t->hints = p->film.hints;
        if ((ret = allocate(p, t)) < 0) {
            free_track(t);
            return ret;
        }
    }
    paint_still(p, t, f, planes);
    return 0;
}

// Adds the frame to the motion. After a frame without layers that move, or of another geometry, a shot begins.
static int follow(struct clzi_hint_painter *p, const struct clzi_hint_frame *f)
{
    int ret;

    if (!p->motion &&
        (ret = clzi_motion_create(&p->motion, p->params.w, p->params.h, STATES, p->params.threads)) < 0)
        return ret;
    if (!is_of(&p->before, f)) {
        clzi_motion_restart(p->motion);
        p->number = 0;
        for (int i = 0; i < TRACKS; i++)
            for (int k = 0; k < STATES; k++) p->tracks[i].states[k].frame = 0;
    } else p->number++;
    clzi_motion_add(p->motion, f->l, f->cut);
    return 0;
}

int clzi_hint_painter_next(struct clzi_hint_painter *p, const struct clzi_hint_frame *f, float *planes)
{
    const bool moves = clzi_hint_layers_need_lightness(f->layers);
    int ret = moves ? follow(p, f) : 0;

    p->count++;
    p->before = moves ? geometry_of(f) : (struct geometry){0};
    memset(planes, 0, 3 * (size_t)p->params.w * p->params.h * sizeof *planes);
    if (ret >= 0 && p->params.film) ret = paint_film(p, f, planes);
    for (int i = 0; i < f->layers->count && ret >= 0; i++) ret = paint_layer(p, f->layers->layer[i], f, planes);
    return ret;
}
