// motion.c - the frame that a frame continues, and the motion between them.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "motion.h"

// The thresholds were chosen on films of 300 cuts each, made of two test sequences, an old film and moving photographs, with
// grain, fades, flashes and changing brightness between the cuts: at true cuts the product of correlation and agreement is below
// 0.014 in 95 of 100, within shots it is below 0.03 in 1 of 1,000.
static const float
    enough_match = 0.025f,                  // least product of correlation and agreement
    enough_correlation = 0.75f,             // suffices by itself: grain can spoil the agreement
    dark = 0.022f,                          // pictures of less contrast show too little to tell them apart
    blank = 0.012f,                         // a picture of less contrast is black, white or all of one gray
    some_contrast = 0.03f, sudden = 5;      // contrast that comes or goes within a frame by this factor is a cut

struct record {                             // of one frame
    float *planes;                          // see flow.h
    float *to, *from;                       // [2,h0,w0]
    float *to_agreement, *from_agreement;   // [h0,w0]
    struct clzi_link link;
    struct clzi_frame_look look;
};

struct clzi_motion {
    struct clzk_flow_size size;
    int w, h, frames;
    struct record *records;
    float *memory, *scratch[2];
    int threads;
    uint64_t count;
    bool blank;                             // there was a blank picture since the last one that is not dark
};

static struct record *record_of(const struct clzi_motion *m, uint64_t number) { return &m->records[number % m->frames]; }

int clzi_motion_create(struct clzi_motion **out, int w, int h, int frames, int threads)
{
    struct clzi_motion *m = *out = calloc(1, sizeof *m);
    size_t n, each;
    float *at;

    if (!m) return -ENOMEM;
    clzk_flow_size_of(&m->size, w, h);
    m->w = w;
    m->h = h;
    m->threads = threads;
    m->frames = frames > CLZI_MOTION_BACK ? frames : CLZI_MOTION_BACK + 1;
    n = (size_t)m->size.w[0] * m->size.h[0];
    each = CLZK_FLOW_PLANES * m->size.pixels + 6 * n;
    m->records = calloc(m->frames, sizeof *m->records);
    m->memory = at = malloc(m->frames * each * sizeof *at);
    for (int i = 0; i < 2; i++) m->scratch[i] = malloc(clzk_flow_scratch(&m->size) * sizeof *m->scratch[i]);
    if (!m->records || !m->memory || !m->scratch[0] || !m->scratch[1]) {
        clzi_motion_destroy(out);
        return -ENOMEM;
    }
    for (int i = 0; i < m->frames; i++, at += each) {
        struct record *r = &m->records[i];
        r->planes = at;
        r->to = at + CLZK_FLOW_PLANES * m->size.pixels;
        r->from = r->to + 2 * n;
        r->to_agreement = r->from + 2 * n;
        r->from_agreement = r->to_agreement + n;
    }
    return 0;
}

void clzi_motion_destroy(struct clzi_motion **motion)
{
    struct clzi_motion *m = *motion;

    *motion = NULL;
    if (!m) return;
    free(m->records);
    free(m->memory);
    free(m->scratch[0]);
    free(m->scratch[1]);
    free(m);
}

const struct clzk_flow_size *clzi_motion_size(const struct clzi_motion *m) { return &m->size; }

// Computes the motion between r and an earlier frame into r. Returns how well they match, 0 to 1.
static float compare(struct clzi_motion *m, struct record *r, const struct record *earlier)
{
    const float low = r->look.contrast < earlier->look.contrast ? r->look.contrast : earlier->look.contrast;
    const float high = r->look.contrast < earlier->look.contrast ? earlier->look.contrast : r->look.contrast;
    float there, back, agreement, correlation;

#pragma omp parallel for schedule(static) num_threads(m->threads) if (m->threads > 1)
    for (int i = 0; i < 2; i++) {
        if (i) clzk_flow(&m->size, r->planes, earlier->planes, r->to, m->scratch[i]);
        else clzk_flow(&m->size, earlier->planes, r->planes, r->from, m->scratch[i]);
    }
    agreement = clzk_flow_agreement(&m->size, r->to, r->from, r->to_agreement);
    clzk_flow_agreement(&m->size, r->from, r->to, r->from_agreement);
    there = clzk_flow_correlation(&m->size, r->planes, earlier->planes, r->to);
    back = clzk_flow_correlation(&m->size, earlier->planes, r->planes, r->from);
    correlation = there < back ? there : back;
    if (r->look.dark && earlier->look.dark) return 1;
    if (high > some_contrast && low * sudden < high) return 0;
    if (correlation > enough_correlation) return correlation;
    return correlation > 0 ? correlation * agreement : 0;
}

static bool is_match(float match) { return match > enough_match; }

void clzi_motion_add(struct clzi_motion *m, const float *l, enum clzi_cut cut)
{
    const uint64_t number = m->count++;
    struct record *r = record_of(m, number);
    int back = 0;

    clzk_flow_picture(&m->size, l, m->w, m->h, r->planes, m->scratch[0]);
    r->look.contrast = clzk_flow_contrast(&m->size, r->planes);
    r->look.dark = r->look.contrast < dark;
    r->look.brightness = clzk_flow_mean(&m->size, r->planes);
    r->look.match = number && cut != CLZI_CUT_YES ? compare(m, r, record_of(m, number - 1)) : 0;
    if (is_match(r->look.match) || (number && cut == CLZI_CUT_NO)) back = 1;
    if (r->look.contrast < blank) m->blank = true;
    if (!r->look.dark) {
        if (m->blank && cut == CLZI_CUT_FIND) back = 0;     // it fades in, unless the blank pictures interrupted a shot
        m->blank = false;
    }
    if (cut == CLZI_CUT_YES) back = 0;
    // Does it continue a frame before an interruption? Only frames that are not linked themselves were interruptions.
    for (int k = 2; !back && cut == CLZI_CUT_FIND && k <= CLZI_MOTION_BACK && (uint64_t)k <= number; k++)
        if (!record_of(m, number - k + 1)->link.back && is_match(compare(m, r, record_of(m, number - k)))) back = k;
    r->link = (struct clzi_link){ .back = back };
    if (!back) return;
    r->link = (struct clzi_link){ back, r->to, r->to_agreement, r->from, r->from_agreement,
        clzk_flow_brightness(&m->size, r->planes, record_of(m, number - back)->planes, r->to, r->to_agreement) };
}

const struct clzi_link *clzi_motion_link(const struct clzi_motion *m, uint64_t number) { return &record_of(m, number)->link; }
const struct clzi_frame_look *clzi_motion_look(const struct clzi_motion *m, uint64_t number)
{
    return &record_of(m, number)->look;
}

void clzi_motion_thumbnail(const struct clzi_motion *m, uint64_t number, float *thumbnail)
{
    clzk_flow_thumbnail(&m->size, record_of(m, number)->planes, thumbnail);
}

void clzi_motion_restart(struct clzi_motion *m)
{
    m->count = 0;
    m->blank = false;
}
