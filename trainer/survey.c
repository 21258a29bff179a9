// survey.c - decodes all pictures of a data set in several threads and sums up what they are. Threads take chunks of pictures,
// and add their sums in the order of the chunks, so that rounding does not depend on the number of threads.
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "loss.h"
#include "survey.h"

enum { CHUNK = 32, MAX_WORKERS = 256 };

struct seen { uint64_t hash; int64_t index; };  // index -1: not readable

// Sums of a chunk.
struct part {
    struct clzt_colour_sums colours;
    double cf, cf_abs, spread, counts[CLZT_AB_CELLS * CLZT_AB_CELLS];
    int64_t pictures, frames, grey, sides[CLZT_SURVEY_SIDES];
    int least_w, least_h, most_w, most_h;
};

struct work {
    struct clzt_dataset *dataset;
    const struct clzt_survey_params *params;
    int64_t count;                          // pictures to look at
    struct seen *seen;                      // [count]
    struct part sum;

    pthread_mutex_t lock;
    pthread_cond_t added;
    int64_t next, next_added;               // chunks
    int error;
};

static int64_t index_of(const struct work *w, int64_t i)
{
    return (int64_t)((__int128)i * clzt_dataset_count(w->dataset) / w->count);
}

// Not cryptographic: multiplies and folds words of 8 bytes.
static uint64_t mix(uint64_t hash, const uint8_t *bytes, size_t size)
{
    uint64_t word;

    for (; size >= 8; size -= 8, bytes += 8) {
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
        hash ^= hash >> 32;
    }
    word = size;
    memcpy(&word, bytes, size);
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

static uint64_t hash_of(const struct clzt_picture *p)
{
    const int size[2] = { p->width, p->height };
    const size_t pixels = (size_t)p->width * p->height;
    uint64_t hash = mix(1, (const uint8_t *)size, sizeof size);

    hash = mix(hash, p->r, pixels);
    hash = mix(hash, p->g, pixels);
    return mix(hash, p->b, pixels);
}

static double colourfulness_of(int64_t pixels, int64_t s1, int64_t s2, int64_t q1, int64_t q2)
{
    const double m1 = (double)s1 / pixels, m2 = s2 / 2. / pixels;
    const double variance = (double)q1 / pixels - m1 * m1 + q2 / 4. / pixels - m2 * m2;
    return sqrt(variance > 0 ? variance : 0) + 0.3 * sqrt(m1 * m1 + m2 * m2);
}

// See metrics.h. Here yb is doubled, so that all numbers are whole.
static void add_colourfulness(const struct clzt_picture *p, double *cf, double *cf_abs)
{
    const int64_t pixels = (int64_t)p->width * p->height;
    int64_t s1 = 0, s2 = 0, a1 = 0, a2 = 0, q1 = 0, q2 = 0;

    for (int y = 0; y < p->height; y++) {
        const uint8_t *restrict r = p->r + (size_t)y * p->width, *restrict g = p->g + (size_t)y * p->width;
        const uint8_t *restrict b = p->b + (size_t)y * p->width;
        int64_t t1 = 0, t2 = 0, u1 = 0, u2 = 0, v1 = 0, v2 = 0;
        for (int x = 0; x < p->width; x++) {
            const int rg = r[x] - g[x], yb = r[x] + g[x] - 2 * b[x];
            t1 += rg;
            t2 += yb;
            u1 += abs(rg);
            u2 += abs(yb);
            v1 += rg * rg;
            v2 += yb * yb;
        }
        s1 += t1;
        s2 += t2;
        a1 += u1;
        a2 += u2;
        q1 += v1;
        q2 += v2;
    }
    *cf += colourfulness_of(pixels, s1, s2, q1, q2);
    *cf_abs += colourfulness_of(pixels, a1, a2, q1, q2);
}

static int side_class(int side)
{
    int k = 0;

    while (k + 1 < CLZT_SURVEY_SIDES && side >= 64 << k) k++;
    return k;
}

static int look_at(struct work *w, int64_t i, struct clzt_reader *reader, struct clzt_colour_meter *meter, struct part *part)
{
    const int64_t index = index_of(w, i);
    struct clzt_colour_sums own = {0};
    struct clzt_picture p;
    double spread;
    int ret = clzt_reader_try(reader, index, &p);

    w->seen[i] = (struct seen){ 0, -1 };
    if (ret < 0) return ret == -EIO ? 0 : ret;
    if ((ret = clzt_colour_meter_add(meter, &p, &own, part->counts)) < 0) return ret;
    w->seen[i] = (struct seen){ hash_of(&p), index };
    clzt_colour_spread(&own, &spread, NULL);
    clzt_colour_sums_add(&part->colours, &own);
    part->spread += spread;
    part->grey += spread < CLZT_GREY;
    add_colourfulness(&p, &part->cf, &part->cf_abs);
    if (clzt_dataset_place(w->dataset, index).film) part->frames++;
    else part->pictures++;
    part->sides[side_class(p.width < p.height ? p.width : p.height)]++;
    if (!part->least_w || p.width < part->least_w) part->least_w = p.width;
    if (!part->least_h || p.height < part->least_h) part->least_h = p.height;
    if (p.width > part->most_w) part->most_w = p.width;
    if (p.height > part->most_h) part->most_h = p.height;
    return 0;
}

static void add_part(struct part *to, const struct part *more)
{
    clzt_colour_sums_add(&to->colours, &more->colours);
    to->cf += more->cf;
    to->cf_abs += more->cf_abs;
    to->spread += more->spread;
    for (size_t i = 0; i < sizeof to->counts / sizeof *to->counts; i++) to->counts[i] += more->counts[i];
    to->pictures += more->pictures;
    to->frames += more->frames;
    to->grey += more->grey;
    for (int i = 0; i < CLZT_SURVEY_SIDES; i++) to->sides[i] += more->sides[i];
    if (more->least_w && (!to->least_w || more->least_w < to->least_w)) to->least_w = more->least_w;
    if (more->least_h && (!to->least_h || more->least_h < to->least_h)) to->least_h = more->least_h;
    if (more->most_w > to->most_w) to->most_w = more->most_w;
    if (more->most_h > to->most_h) to->most_h = more->most_h;
}

static void *worker(void *arg)
{
    struct work *w = arg;
    struct part *part = malloc(sizeof *part);
    struct clzt_colour_meter *meter = NULL;
    struct clzt_reader *reader = NULL;
    int ret = part ? clzt_reader_create(&reader, w->dataset) : -ENOMEM;

    if (!ret) ret = clzt_colour_meter_create(&meter);
    pthread_mutex_lock(&w->lock);
    while (!ret && !w->error && w->next * CHUNK < w->count) {
        const int64_t chunk = w->next++, to = (chunk + 1) * CHUNK < w->count ? (chunk + 1) * CHUNK : w->count;
        pthread_mutex_unlock(&w->lock);
        memset(part, 0, sizeof *part);
        for (int64_t i = chunk * CHUNK; i < to && !ret; i++) ret = look_at(w, i, reader, meter, part);
        pthread_mutex_lock(&w->lock);
        while (!ret && !w->error && w->next_added != chunk) pthread_cond_wait(&w->added, &w->lock);
        if (ret || w->error) break;
        add_part(&w->sum, part);
        w->next_added++;
        if (w->params->progress) w->params->progress(w->params->priv, to, w->count);
        pthread_cond_broadcast(&w->added);
    }
    if (ret && !w->error) w->error = ret;
    pthread_cond_broadcast(&w->added);
    pthread_mutex_unlock(&w->lock);
    clzt_colour_meter_destroy(&meter);
    clzt_reader_destroy(&reader);
    free(part);
    return NULL;
}

static int run_workers(struct work *w)
{
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    const int most = w->params->workers > 0 ? w->params->workers : cores < 1 ? 1 : (int)cores;
    pthread_t threads[MAX_WORKERS];
    int started = 0;

    while (started < most && started < MAX_WORKERS && (!started || started * (int64_t)CHUNK < w->count)) {
        if (pthread_create(&threads[started], NULL, worker, w)) break;
        started++;
    }
    if (!started) return -ENOMEM;
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    return w->error;
}

// ---- from the sums to the survey ----

static int find_damage(struct clzt_survey *s, const struct work *w)
{
    for (int64_t i = 0; i < w->count; i++) {
        const struct clzt_place place = clzt_dataset_place(w->dataset, index_of(w, i));
        struct clzt_damage *more;
        if (w->seen[i].index >= 0) continue;
        s->unreadable++;
        if (s->damaged_count && s->damaged[s->damaged_count - 1].file == place.file) {
            s->damaged[s->damaged_count - 1].unreadable++;
            continue;
        }
        if (!(more = realloc(s->damaged, (s->damaged_count + 1) * sizeof *more))) return -ENOMEM;
        s->damaged = more;
        more[s->damaged_count++] = (struct clzt_damage){ place.file, 1, place.frames };
    }
    return 0;
}

static int by_hash(const void *a, const void *b)
{
    const struct seen *x = a, *y = b;
    if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static int by_index(const void *a, const void *b)
{
    const struct clzt_twin *x = a, *y = b;
    return (x->index > y->index) - (x->index < y->index);
}

static int find_twins(struct clzt_survey *s, struct work *w)
{
    int64_t room = 0;

    qsort(w->seen, w->count, sizeof *w->seen, by_hash);
    for (int64_t i = 1, first = 0; i < w->count; i++) {
        const struct seen *a = &w->seen[i - 1], *b = &w->seen[i];
        if (b->index < 0 || a->index < 0 || b->hash != w->seen[first].hash) {
            first = i;
            continue;
        }
        if (clzt_dataset_place(w->dataset, a->index).file == clzt_dataset_place(w->dataset, b->index).file) {
            s->still++;
            continue;
        }
        if (s->twin_count == room) {
            struct clzt_twin *more = realloc(s->twins, (room = room * 2 + 64) * sizeof *more);
            if (!more) return -ENOMEM;
            s->twins = more;
        }
        s->twins[s->twin_count++] = (struct clzt_twin){ b->index, w->seen[first].index };
    }
    if (s->twin_count) qsort(s->twins, s->twin_count, sizeof *s->twins, by_index);
    return 0;
}

// The cells of the histogram are those of the classes; a cell that is none counts for the nearest class.
static void classes_of(const double *counts, double bins[CLZK_AB_BINS])
{
    for (int i = 0; i < CLZT_AB_CELLS * CLZT_AB_CELLS; i++) {
        const float a = CLZT_AB_LOW + CLZT_AB_STEP * (i / CLZT_AB_CELLS + 0.5f);
        const float b = CLZT_AB_LOW + CLZT_AB_STEP * (i % CLZT_AB_CELLS + 0.5f);
        bins[clzk_ab_share(a / CLZK_AB_SCALE, b / CLZK_AB_SCALE).bin[0]] += counts[i];
    }
}

static void take(struct clzt_survey *s, const struct part *sum)
{
    const double n = (double)(sum->pictures + sum->frames);

    s->pictures = sum->pictures;
    s->frames = sum->frames;
    s->grey = sum->grey;
    s->colours = sum->colours;
    s->least_w = sum->least_w;
    s->least_h = sum->least_h;
    s->most_w = sum->most_w;
    s->most_h = sum->most_h;
    memcpy(s->sides, sum->sides, sizeof s->sides);
    s->spread = sum->spread / n;
    s->cf = sum->cf / n;
    s->cf_abs = sum->cf_abs / n;
    classes_of(sum->counts, s->bins);
}

int clzt_survey_make(struct clzt_survey **survey, struct clzt_dataset *dataset, const struct clzt_survey_params *params)
{
    struct clzt_survey *s = *survey = calloc(1, sizeof *s);
    struct work *w = calloc(1, sizeof *w);
    const int64_t all = clzt_dataset_count(dataset);
    int ret = s && w ? 0 : -ENOMEM;

    if (!ret) {
        w->dataset = dataset;
        w->params = params;
        w->count = params->pictures > 0 && params->pictures < all ? params->pictures : all;
        if (!(w->seen = malloc(w->count * sizeof *w->seen))) ret = -ENOMEM;
    }
    if (!ret) {
        pthread_mutex_init(&w->lock, NULL);
        pthread_cond_init(&w->added, NULL);
        ret = run_workers(w);
        pthread_mutex_destroy(&w->lock);
        pthread_cond_destroy(&w->added);
    }
    for (int i = 0; !ret && i < clzt_dataset_files(dataset); i++) {
        const bool film = clzt_dataset_file(dataset, i).film;
        s->film_files += film;
        s->picture_files += !film;
    }
    if (!ret) ret = find_damage(s, w);      // before the sorting of find_twins
    if (!ret) ret = find_twins(s, w);
    if (!ret && !(w->sum.pictures + w->sum.frames))
        ret = clzi_fail(clzt_dataset_log(dataset), -EBADMSG, "none of %lld pictures can be read; the first is in %s.",
                        (long long)w->count, clzt_dataset_place(dataset, 0).path);
    if (!ret) take(s, &w->sum);
    if (w) free(w->seen);
    free(w);
    return ret;
}

void clzt_survey_destroy(struct clzt_survey **survey)
{
    if (!*survey) return;
    free((*survey)->damaged);
    free((*survey)->twins);
    free(*survey);
    *survey = NULL;
}
