// stabilizer.c - means of colour along the motion of a shot.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/carry.h"
#include "stabilizer.h"

static const float
    longest = 0.96f,                        // keep at strength 1: the mean covers 1 / (1 - 0.96) = 25 frames
    tolerance = 0.05f;                      // of luma, see carry.h

struct clzi_stabilizer {
    struct clzi_stabilizer_params params;
    struct clzi_motion *motion;
    int slots;
    size_t pixels;
    struct clzk_colour *memory;
    struct clzk_colour **own, **mean;       // of each slot: the frame's own colours; the mean over it and earlier ones
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
    if (!s->memory || !s->own) goto fail;
    s->mean = s->own + s->slots;
    for (int i = 0; i < 2 * s->slots; i++) s->own[i] = s->memory + i * s->pixels;
    for (int i = 0; i < 2; i++) s->ahead[i] = s->memory + (2 * s->slots + i) * s->pixels;
    if ((ret = clzi_motion_create(&s->motion, params->w, params->h, s->slots)) < 0) goto fail;
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
    free(s->memory);
    free(s);
}

static struct clzk_colour *own_of(const struct clzi_stabilizer *s, uint64_t number) { return s->own[number % s->slots]; }
static struct clzk_colour *mean_of(const struct clzi_stabilizer *s, uint64_t number) { return s->mean[number % s->slots]; }

static void carry(const struct clzi_stabilizer *s, struct clzk_colour *out, const struct clzk_colour *own,
                  const struct clzk_colour *other, const float *v, const float *agreement, float brightness)
{
    const struct clzk_carry c = { clzi_motion_size(s->motion), s->params.w, s->params.h, v, agreement, brightness,
                                  longest * s->params.strength, tolerance };
    const int pieces = s->params.threads;

#pragma omp parallel for schedule(static) num_threads(pieces) if (pieces > 1)
    for (int i = 0; i < pieces; i++)
        clzk_carry_rows(&c, out, own, other, s->params.h * i / pieces, s->params.h * (i + 1) / pieces);
}

void clzi_stabilizer_add(struct clzi_stabilizer *s, const float *y, const float *ab, bool cut)
{
    const uint64_t number = s->added++;
    struct clzk_colour *own = own_of(s, number);
    const struct clzi_link *link;

    for (size_t i = 0; i < s->pixels; i++) own[i] = (struct clzk_colour){ y[i], 1, ab[i], ab[s->pixels + i] };
    clzi_motion_add(s->motion, y, cut);
    link = clzi_motion_link(s->motion, number);
    if (link->back) carry(s, mean_of(s, number), own, mean_of(s, number - link->back), link->to, link->to_agreement,
                          link->brightness);
    else memcpy(mean_of(s, number), own, s->pixels * sizeof *own);
}

// The mean over the frames after `number` that continue it, up to `last`; NULL if there are none. link: of the first of them.
static const struct clzk_colour *mean_ahead(struct clzi_stabilizer *s, uint64_t number, uint64_t last,
                                            const struct clzi_link **first)
{
    const struct clzk_colour *mean = NULL;
    uint64_t frame = last;
    int next = 0;

    *first = NULL;
    while (frame > number) {
        const struct clzi_link *link = clzi_motion_link(s->motion, frame);
        if (!mean) mean = own_of(s, frame);
        if (link->back && frame - link->back == number) {
            *first = link;
            return mean;
        }
        if (link->back && frame - link->back > number) {
            frame -= link->back;
            carry(s, s->ahead[next], own_of(s, frame), mean, link->from, link->from_agreement, -link->brightness);
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

    if (number == s->added || (end >= s->added && !last)) return false;
    later = mean_ahead(s, number, end < s->added ? end : s->added - 1, &link);
    mean = mean_of(s, number);
    if (later) {
        struct clzk_colour *both = later == s->ahead[0] ? s->ahead[1] : s->ahead[0];
        carry(s, both, mean, later, link->from, link->from_agreement, -link->brightness);
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
