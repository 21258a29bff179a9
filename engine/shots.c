// shots.c - the list of shots. A cut may turn out to be a flash by frames that come later, and a dissolve is found at its end, so
// rows wait in a queue before they are written.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic_file.h"
#include "shots.h"

enum {
    SPANS = 3, LONGEST = 32,                // numbers of frames over which dissolves are looked for, see spans[]
    WAIT = LONGEST + 8,                     // frames until a row is written
};
static const int spans[SPANS] = { 8, 16, LONGEST };
static const float
    least_change = 0.004f,                  // mean square of lightness between the ends of a dissolve
    most_rest = 0.06f,                      // share of that which the mean of the ends does not explain in the middle of it
    same_picture = 0.6f;                    // least correlation of two thumbnails of one picture

enum kind { NONE, START, CUT, FADE, FLASH, DISSOLVE };
static const char *const names[] = { "", "start", "cut", "fade", "flash", "dissolve" };

struct row { enum kind kind; double time; float confidence; uint64_t look; bool begins; struct clzi_bars_finder bars; };

struct clzi_shots {
    struct clzi_atomic_file file;
    bool open;
    int error;                              // of the first write that failed
    char *path;
    const struct clz_log *log;
    uint64_t first, count, written;         // numbers of the first frame, the next one, and the next one to be written
    struct row rows[WAIT + 1];              // of the frames not written yet
    struct clzi_shot_frame frames[LONGEST + 1];
    uint64_t since;                         // first frame of the shot
    bool dark;                              // the frame before shows nothing
    struct { uint64_t middle; float rest; } dissolve;      // the best one so far; rest 1: none
};

static struct row *row_of(struct clzi_shots *s, uint64_t frame) { return &s->rows[frame % (WAIT + 1)]; }
static const float *picture_of(const struct clzi_shots *s, uint64_t frame)
{
    return s->frames[frame % (LONGEST + 1)].thumbnail;
}

// One bit for each pair of neighbours in a row of the thumbnail of 8 x 8 pairs: the left one is brighter.
static uint64_t look_of(const float *thumbnail)
{
    uint64_t bits = 0;

    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 8; x++) {
            const float *p = thumbnail + y * CLZK_FLOW_THUMBNAIL_W + 2 * x;
            bits = bits << 1 | (p[0] + p[1] > p[2] + p[3]);
        }
    return bits;
}

#define HEADER "frame,time,kind,confidence,look,bars\n"

static void write_line(struct clzi_shots *s, const char *line)
{
    const int ret = clzi_atomic_write(&s->file, line, strlen(line));

    if (ret < 0 && !s->error) s->error = ret;
}

int clzi_shots_create(struct clzi_shots **out, const char *path, uint64_t first, const struct clz_log *log)
{
    struct clzi_shots *s = *out = calloc(1, sizeof *s);
    int ret = -ENOMEM;

    if (!s) return ret;
    s->log = log;
    s->dissolve.rest = 1;
    s->first = s->count = s->written = s->since = first;
    if (!(s->path = strdup(path))) goto fail;
    if (!clzi_atomic_may_replace(path, "#", 1) && !clzi_atomic_may_replace(path, HEADER, 10)) {
        ret = clzi_fail(log, -EEXIST, "%s: is no list of shots, and is not replaced by one", path);
        goto fail;
    }
    if ((ret = clzi_atomic_open(&s->file, path)) < 0) {
        clzi_log(log, CLZ_LOG_ERROR, "%s: the list of shots cannot be written: %s", path, strerror(-ret));
        goto fail;
    }
    s->open = true;
    write_line(s, HEADER);
    return 0;
fail:
    clzi_shots_destroy(out);
    return ret;
}

// Writes the rows of frames before `end`.
static void write_rows(struct clzi_shots *s, uint64_t end)
{
    for (; s->written < end; s->written++) {
        const struct row *r = row_of(s, s->written);
        char time[32] = "", bars[CLZI_BARS_TEXT] = "", line[128 + CLZI_BARS_TEXT];
        if (r->kind == NONE) continue;
        // integers: a locale may have another decimal point
        if (r->time >= 0 && r->time < 1e9) {
            const long long us = llround(r->time * 1e6);
            snprintf(time, sizeof time, "%lld.%06lld", us / 1000000, us % 1000000);
        }
        if (r->begins && r->kind <= FADE) clzi_bars_text(&r->bars, bars);
        snprintf(line, sizeof line, "%llu,%s,%s,%d.%02d,%016llx,%s\n", (unsigned long long)s->written, time, names[r->kind],
                 (int)lrintf(r->confidence * 100) / 100, (int)lrintf(r->confidence * 100) % 100, (unsigned long long)r->look,
                 bars);
        write_line(s, line);
    }
}

void clzi_shots_destroy(struct clzi_shots **shots)
{
    struct clzi_shots *s = *shots;

    *shots = NULL;
    if (!s) return;
    if (s->open) {
        write_rows(s, s->count);
        s->error = clzi_atomic_close(&s->file, s->error);
        if (s->error < 0)
            clzi_log(s->log, CLZ_LOG_WARNING, "%s: the list of shots was not written: %s", s->path, strerror(-s->error));
    }
    free(s->path);
    free(s);
}

// Correlation of two thumbnails above which they show the same picture.
static bool alike(const float *p, const float *q)
{
    const int n = CLZK_FLOW_THUMBNAIL;
    float mean_p = 0, mean_q = 0, pp = 0, pq = 0, qq = 0;

    for (int i = 0; i < n; i++) {
        mean_p += p[i] / n;
        mean_q += q[i] / n;
    }
    for (int i = 0; i < n; i++) {
        pp += (p[i] - mean_p) * (p[i] - mean_p);
        pq += (p[i] - mean_p) * (q[i] - mean_q);
        qq += (q[i] - mean_q) * (q[i] - mean_q);
    }
    return pq >= same_picture * sqrtf(pp * qq);
}

// ---- dissolves ----

// How much of the middle picture is not the mean of the first and the last, as a share of their difference; 1: these are no two
// pictures.
static float rest_of(const float *first, const float *middle, const float *last)
{
    const int n = CLZK_FLOW_THUMBNAIL;
    float change = 0, along = 0, left = 0;

    for (int i = 0; i < n; i++) {
        const float d = first[i] - last[i];
        change += d * d;
        along += d * (middle[i] - last[i]);
    }
    if (change < n * least_change || alike(first, last)) return 1;      // alike: only the exposure changed
    along /= change;                        // share of the first picture in the middle one
    if (along < 0.25f || along > 0.75f) return 1;
    for (int i = 0; i < n; i++) {
        const float e = middle[i] - last[i] - along * (first[i] - last[i]);
        left += e * e;
    }
    return left / change;
}

static void look_for_dissolve(struct clzi_shots *s, uint64_t frame)
{
    for (int k = 0; k < SPANS; k++) {
        const int d = spans[k];
        float rest, early, late;
        if (frame < s->since + d) continue;
        rest = rest_of(picture_of(s, frame - d), picture_of(s, frame - d / 2), picture_of(s, frame));
        if (rest >= most_rest || rest >= s->dissolve.rest) continue;
        early = rest_of(picture_of(s, frame - d), picture_of(s, frame - d * 5 / 8), picture_of(s, frame));
        late = rest_of(picture_of(s, frame - d), picture_of(s, frame - d * 3 / 8), picture_of(s, frame));
        if (early >= 2 * most_rest || late >= 2 * most_rest) continue;
        s->dissolve.middle = frame - d / 2;
        s->dissolve.rest = rest;
    }
    if (s->dissolve.rest < 1 && frame >= s->dissolve.middle + LONGEST / 2 + 4) {
        struct row *r = row_of(s, s->dissolve.middle);
        if (s->dissolve.middle >= s->written && r->kind == NONE) {
            r->kind = DISSOLVE;
            r->confidence = 1 - s->dissolve.rest / most_rest;
        }
        s->dissolve.rest = 1;
    }
}

// ---- frames ----

void clzi_shots_add(struct clzi_shots *s, const struct clzi_shot_frame *frame)
{
    const uint64_t n = s->count++;
    struct row *r;

    if (s->count > s->first + WAIT) write_rows(s, s->count - WAIT);
    r = row_of(s, n);
    *r = (struct row){ NONE, frame->time, 0, look_of(frame->thumbnail), false, { 0 } };
    if (frame->bars && !frame->look.dark) {
        r->begins = true;
        r->bars = *frame->bars;
    }
    s->frames[n % (LONGEST + 1)] = *frame;
    if (n == s->first) {
        r->kind = START;
        r->confidence = 1;
    } else if (frame->resized ? !alike(picture_of(s, n - 1), frame->thumbnail) : !frame->back) {
        r->kind = s->dark ? FADE : CUT;
        r->confidence = frame->look.match < 1 ? 1 - frame->look.match : 1;
        s->since = n;
    }
    for (int k = 1; k < frame->back && (uint64_t)k <= n - s->first; k++) {         // the frames between interrupt the shot
        struct row *between = row_of(s, n - k);
        if (between->kind == CUT || between->kind == FADE || between->kind == NONE) between->kind = FLASH;
        between->confidence = 1;
        s->since = n;
    }
    s->dark = frame->look.dark;
    look_for_dissolve(s, n);
}

void clzi_shots_skip(struct clzi_shots *s)
{
    const uint64_t n = s->count++;

    if (s->count > s->first + WAIT) write_rows(s, s->count - WAIT);
    *row_of(s, n) = (struct row){ NONE, -1, 0, 0, false, { 0 } };
    s->since = n + 1;
    s->dissolve.rest = 1;
}

// ---- a list that is given ----

struct given { uint64_t frame, look; bool begins; };

struct clzi_cuts {
    struct given *rows;
    int count, at;
    uint64_t next;
};

// The line is frame,time,kind, and perhaps confidence and look. It is changed.
static int parse_row(char *line, struct given *row)
{
    char *end, *kind, *rest;
    int k = START;

    if (line[0] < '0' || line[0] > '9') return -EBADMSG;
    errno = 0;
    row->frame = strtoull(line, &end, 10);
    if (errno || *end != ',' || !(kind = strchr(end + 1, ','))) return -EBADMSG;
    if ((rest = strchr(++kind, ','))) *rest++ = 0;
    while (k <= DISSOLVE && strcmp(kind, names[k])) k++;
    if (k > DISSOLVE) return -EBADMSG;
    row->begins = k <= FADE;
    row->look = rest && (rest = strchr(rest, ',')) ? strtoull(rest + 1, NULL, 16) : 0;
    return 0;
}

static int add_row(struct clzi_cuts *c, int *room, char *line, int number, const char *path, const struct clz_log *log)
{
    struct given *r;

    if (c->count == *room) {
        struct given *more = realloc(c->rows, (2 * *room + 64) * sizeof *more);
        if (!more) return -ENOMEM;
        c->rows = more;
        *room = 2 * *room + 64;
    }
    r = &c->rows[c->count];
    if (parse_row(line, r) < 0)
        return clzi_fail(log, -EBADMSG, "%s, line %d: should be frame,time,kind with a kind of start, cut, fade, flash, dissolve",
                         path, number);
    if (c->count && r->frame <= r[-1].frame)
        return clzi_fail(log, -EBADMSG, "%s, line %d: frame %llu comes after frame %llu; frames should ascend", path, number,
                         (unsigned long long)r->frame, (unsigned long long)r[-1].frame);
    c->count++;
    return 0;
}

int clzi_cuts_read(struct clzi_cuts **out, const char *path, uint64_t first, const struct clz_log *log)
{
    struct clzi_cuts *c = *out = calloc(1, sizeof *c);
    FILE *file = fopen(path, "r");
    char *line = NULL;
    size_t size = 0;
    int ret = 0, room = 0;

    if (!file) ret = clzi_fail(log, -errno, "%s: the list of cuts cannot be read: %s", path, strerror(errno));
    else if (!c) ret = -ENOMEM;
    errno = 0;
    for (int number = 1; ret >= 0 && getline(&line, &size, file) >= 0; number++) {
        line[strcspn(line, "\r\n")] = 0;
        if (line[0] && line[0] != '#' && strncmp(line, "frame,", 6)) ret = add_row(c, &room, line, number, path, log);
    }
    if (ret >= 0 && ferror(file))
        ret = clzi_fail(log, errno ? -errno : -EIO, "%s: the list of cuts cannot be read: %s", path,
                        strerror(errno ? errno : EIO));
    if (ret >= 0 && !c->count)
        ret = clzi_fail(log, -EBADMSG, "%s: the list of cuts is empty: it should say where shots begin", path);
    free(line);
    if (file) fclose(file);
    if (c) c->next = first;
    if (ret < 0) clzi_cuts_destroy(out);
    return ret;
}

void clzi_cuts_destroy(struct clzi_cuts **cuts)
{
    if (*cuts) free((*cuts)->rows);
    free(*cuts);
    *cuts = NULL;
}

bool clzi_cuts_next(struct clzi_cuts *c)
{
    const uint64_t frame = c->next++;

    while (c->at < c->count && c->rows[c->at].frame < frame) c->at++;
    return c->at < c->count && c->rows[c->at].frame == frame && c->rows[c->at].begins;
}

uint64_t clzi_cuts_begin(const struct clzi_cuts *c, int shot)
{
    int n = 1;

    for (int i = 0; i < c->count; i++)
        if (c->rows[i].begins && c->rows[i].frame && ++n == shot) return c->rows[i].frame;
    return 0;
}

int clzi_cuts_shots(const struct clzi_cuts *c)
{
    int n = 1;

    for (int i = 0; i < c->count; i++) n += c->rows[i].begins && c->rows[i].frame;
    return n;
}

int clzi_cuts_compare(const struct clzi_cuts *c, uint64_t frame, const float *thumbnail)
{
    for (int i = 0; i < c->count; i++)
        if (c->rows[i].frame == frame && c->rows[i].look) return __builtin_popcountll(c->rows[i].look ^ look_of(thumbnail));
    return 0;
}
