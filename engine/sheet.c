// sheet.c - reads the shot sheet and applies it to frames.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"
#include "classes.h"
#include "reference.h"
#include "sheet.h"

enum { MAX_DIGITS = 9 };                    // of a whole number
enum { MAX_MASKS = 8 };                     // of a line
static const double slack = 0.0005;         // seconds: Matroska rounds times to milliseconds

enum what { NUMBER, SWITCH, SHOT, FROM, TO, POINTS, MASKS, REFERENCE, CLASS };

static const struct key { const char *name; enum what what; float most; } keys[] = {
    { "strength", NUMBER, 1 }, { "saturation", NUMBER, 4 }, { "stabilize", NUMBER, 1 },
    { "skip", SWITCH, 0 }, { "hold", SWITCH, 0 }, { "follow", SWITCH, 0 },
    { "shot", SHOT, 0 }, { "from", FROM, 0 }, { "to", TO, 0 }, { "points", POINTS, 0 }, { "masks", MASKS, 0 },
    { "reference", REFERENCE, 0 }, { "class", CLASS, 0 },
};
enum {
    STRENGTH, SATURATION, STABILIZE, SKIP, HOLD, FOLLOW, SETTINGS,
    SHOT_BIT = 1 << SETTINGS, POINTS_BIT = 1 << (SETTINGS + 3), MASKS_BIT = 1 << (SETTINGS + 4),
    REFERENCE_BIT = 1 << (SETTINGS + 5), CLASS_BIT = 1 << (SETTINGS + 6), HINTS = POINTS_BIT | MASKS_BIT | REFERENCE_BIT,
    KEYS = sizeof keys / sizeof *keys
};

struct instant {                            // a time, or a time code until the rate is known
    int line;                               // 0: not given
    bool is_code, drop;
    int part[4];                            // of a time code
    double seconds;
};

struct span { int first, last; uint64_t from, to; };        // shots; their frames, not including `to`

struct line {
    int number;                             // in the file
    unsigned seen;                          // bits of keys
    float value[SETTINGS];                  // a switch: 0 or 1
    struct instant from, to;
    int first_span, spans, shot_line;
    char *text;                             // of the points, while the line is read
    int text_line;
    struct clzi_hints *hints[1 + MAX_MASKS];    // of the points and masks
    struct clzi_reference *reference;
    struct clzi_hint_layer layers[2 + MAX_MASKS];       // from the still, the masks, the points
    int hint_count, layer_count;
    char *class;                            // names of classes, with + between them; NULL: the line has none
    int class_line;
    float *classes;                         // their vector, when the model is known
    bool used;
};

struct clzi_sheet {
    char *path, *cuts;
    const struct clz_log *log;
    struct line *lines;
    struct span *span;
    int count, spans;
    int rate_num, rate_den;
    struct instant start;
    bool said_lost;
    bool lost, warned, crowded;             // the numbers of frames are unknown; a frame had no time; had too many layers
    double first_time, last_time;           // of the frames so far; first_time negative: none
};

// ---- values ----

static int fail_at(const struct clzi_sheet *s, int line, const char *key, const char *text, const char *expected)
{
    return clzi_fail(s->log, -EINVAL, "%s:%d: %s: \"%.60s\" is not %s", s->path, line, key, text, expected);
}

// A whole number at *text, which is moved behind it. -1: there is none.
static int whole(const char **text)
{
    int n = 0, digits = 0;

    for (; **text >= '0' && **text <= '9'; ++*text)
        if (++digits <= MAX_DIGITS) n = 10 * n + (**text - '0');
    return digits > 0 && digits <= MAX_DIGITS ? n : -1;
}

// A decimal, whatever the locale's decimal point is.
static bool decimal(const char *text, double *value)
{
    const int n = whole(&text);
    double digit = 1;

    *value = n;
    if (n < 0) return false;
    if (*text != '.') return !*text;
    for (text++; *text >= '0' && *text <= '9'; text++) *value += (*text - '0') * (digit /= 10);
    return !*text;
}

// Seconds, m:s, h:m:s with a fraction or without, or the time code h:m:s:f, with ; before f where frames are dropped.
static bool instant(const char *text, struct instant *at)
{
    int part[4], count = 0;
    double last;

    while (count < 3) {
        const char *end = text;
        if ((part[count] = whole(&end)) < 0 || (*end != ':' && !(*end == ';' && count == 2))) break;
        at->drop = *end == ';';
        text = end + 1;
        count++;
    }
    if (!decimal(text, &last)) return false;
    at->is_code = count == 3;
    if (at->is_code && last != floor(last)) return false;
    if ((count > 0 && last >= 60 && !at->is_code) || (count > 1 && part[1] >= 60) || (at->is_code && part[2] >= 60)) return false;
    part[3] = (int)last;
    memcpy(at->part, part, sizeof part);
    at->seconds = count == 0 ? last : count == 1 ? 60. * part[0] + last : 3600. * part[0] + 60. * part[1] + last;
    return true;
}

// The number of a time code's frame. Returns -1 if there is no such time code.
static int64_t frame_of(const struct clzi_sheet *s, const struct instant *at)
{
    const int fps = (int)lround((double)s->rate_num / s->rate_den), drop = at->drop ? fps / 15 : 0;
    const int64_t minutes = 60 * (int64_t)at->part[0] + at->part[1];

    if (at->part[3] >= fps) return -1;
    if (at->drop && (s->rate_den != 1001 || (fps != 30 && fps != 60))) return -1;
    if (at->drop && minutes % 10 && !at->part[2] && at->part[3] < drop) return -1;
    return (minutes * 60 + at->part[2]) * fps + at->part[3] - drop * (minutes - minutes / 10);
}

// Makes seconds of a time code.
static int resolve(const struct clzi_sheet *s, struct instant *at, const char *key)
{
    int64_t frame, start = 0;

    if (!at->line) return 0;
    if (!at->is_code) {
        at->seconds -= slack;
        return 0;
    }
    if (!s->rate_num)
        return clzi_fail(s->log, -EINVAL, "%s:%d: %s: a time code needs the key `rate` at the top of the sheet, as rate: 24",
                         s->path, at->line, key);
    if ((frame = frame_of(s, at)) < 0 || (s->start.line && (start = frame_of(s, &s->start)) < 0))
        return clzi_fail(s->log, -EINVAL, "%s:%d: there is no such time code at a rate of %d/%d; ; stands before the frame only "
                         "where frames are dropped (30000/1001, 60000/1001)", s->path, frame < 0 ? at->line : s->start.line,
                         s->rate_num, s->rate_den);
    if (frame < start)
        return clzi_fail(s->log, -EINVAL, "%s:%d: %s: the time code is before the film's first, `start`", s->path, at->line, key);
    at->seconds = (frame - start - 0.5) * s->rate_den / s->rate_num;        // half a frame: times are rounded
    return 0;
}

// ---- the file ----

enum place { NOTHING, TOP, TOP_VALUE, LINES, LINE, LINE_VALUE, VALUES };

struct reading {
    struct clzi_sheet *sheet;
    enum place place;
    char top[16];                           // the key of TOP_VALUE
    unsigned tops;                          // keys of the top seen
    int key;                                // of LINE_VALUE
};

static const char *const tops[] = { "cuts", "rate", "start", "lines" };
enum { TOPS = sizeof tops / sizeof *tops };

static int add_line(struct clzi_sheet *s, int number)
{
    struct line *more = realloc(s->lines, (s->count + 1) * sizeof *more);

    if (!more) return -ENOMEM;
    s->lines = more;
    more[s->count++] = (struct line){ .number = number, .first_span = s->spans, .value[FOLLOW] = 1 };
    return 0;
}

// Shots: 3 or 3-5.
static int add_span(struct clzi_sheet *s, const char *text, int number)
{
    struct line *l = &s->lines[s->count - 1];
    struct span *more = realloc(s->span, (s->spans + 1) * sizeof *more), *p;
    const char *at = text;

    if (!more) return -ENOMEM;
    s->span = more;
    p = &more[s->spans];
    *p = (struct span){0};
    p->first = p->last = whole(&at);
    if (p->first > 0 && *at == '-') at++, p->last = whole(&at);
    if (p->first < 1 || p->last < p->first || *at)
        return fail_at(s, number, "shot", text, "the number of a shot, from 1, or of several as 3-5");
    s->spans++;
    l->spans++;
    l->shot_line = number;
    return 0;
}

static int set_switch(const struct clzi_sheet *s, float *value, const char *key, const char *text, int line)
{
    static const char *const words[] = { "false", "true", "off", "on", "no", "yes" };

    for (int i = 0; i < 6; i++)
        if (!strcmp(text, words[i])) return *value = i % 2, 0;
    return fail_at(s, line, key, text, "true or false");
}

// The path of a file that the sheet names: relative to the sheet's folder. NULL: no memory.
static char *beside(const struct clzi_sheet *s, const char *name)
{
    const char *slash = strrchr(s->path, '/');
    const int folder = slash && *name != '/' ? (int)(slash - s->path) + 1 : 0;
    const size_t size = folder + strlen(name) + 1;
    char *path = malloc(size);

    if (path) snprintf(path, size, "%.*s%s", folder, s->path, name);
    return path;
}

static int add_points(const struct clzi_sheet *s, const char *text, int line)
{
    struct line *l = &s->lines[s->count - 1];
    const size_t length = l->text ? strlen(l->text) : 0, size = length + strlen(text) + 2;
    char *more = realloc(l->text, size);

    if (!more) return -ENOMEM;
    l->text = more;
    snprintf(more + length, size - length, "%s\n", text);
    if (!length) l->text_line = line;
    return 0;
}

static int add_layer(const struct clzi_sheet *s, struct clzi_hints *hints)
{
    struct line *l = &s->lines[s->count - 1];

    l->hints[l->hint_count++] = hints;
    return 0;
}

static int add_mask(const struct clzi_sheet *s, const char *name, int line)
{
    struct clzi_hints *hints;
    char *path;
    int ret;

    if (!*name) return clzi_fail(s->log, -EINVAL, "%s:%d: masks: the name is empty", s->path, line);
    if (s->lines[s->count - 1].hint_count == MAX_MASKS)
        return clzi_fail(s->log, -EINVAL, "%s:%d: masks: a line has more than %d files", s->path, line, MAX_MASKS);
    if (!(path = beside(s, name))) return -ENOMEM;
    ret = clzi_hints_read(&hints, path, s->log);
    free(path);
    return ret < 0 ? ret : add_layer(s, hints);
}

static int set_reference(const struct clzi_sheet *s, const char *name, int line)
{
    char *path;
    int ret;

    if (!*name) return clzi_fail(s->log, -EINVAL, "%s:%d: reference: the name is empty", s->path, line);
    if (!(path = beside(s, name))) return -ENOMEM;
    ret = clzi_reference_read(&s->lines[s->count - 1].reference, path, s->log);
    free(path);
    return ret;
}

static int add_class(const struct clzi_sheet *s, const char *text, int line)
{
    struct line *l = &s->lines[s->count - 1];
    const size_t length = l->class ? strlen(l->class) : 0, size = length + strlen(text) + 2;
    char *more = realloc(l->class, size);

    if (!more) return -ENOMEM;
    l->class = more;
    snprintf(more + length, size - length, "%s%s", length ? "+" : "", text);
    if (!length) l->class_line = line;
    return 0;
}

static int set_value(struct reading *r, const char *text, int line)
{
    struct clzi_sheet *s = r->sheet;
    struct line *l = &s->lines[s->count - 1];
    const struct key *k = &keys[r->key];
    struct instant *at = k->what == FROM ? &l->from : &l->to;
    char expected[64];
    double value;

    switch (k->what) {
    case NUMBER:
        snprintf(expected, sizeof expected, "a number from 0 to %d", (int)k->most);
        if (!decimal(text, &value) || value > k->most) return fail_at(s, line, k->name, text, expected);
        l->value[r->key] = (float)value;
        return 0;
    case SWITCH: return set_switch(s, &l->value[r->key], k->name, text, line);
    case SHOT: return add_span(s, text, line);
    case POINTS: return add_points(s, text, line);
    case MASKS: return add_mask(s, text, line);
    case REFERENCE: return set_reference(s, text, line);
    case CLASS: return add_class(s, text, line);
    default:
        at->line = line;
        return instant(text, at) ? 0 : fail_at(s, line, k->name, text,
                                               "a time: seconds, minutes:seconds, h:m:s or the time code h:m:s:frame");
    }
}

static int line_key(struct reading *r, const char *text, int line)
{
    struct clzi_sheet *s = r->sheet;
    struct line *l = &s->lines[s->count - 1];
    int k = 0;

    while (k < KEYS && strcmp(text, keys[k].name)) k++;
    if (k == KEYS)
        return clzi_fail(s->log, -EINVAL, "%s:%d: a line has no key \"%.40s\", but shot, from, to, strength, saturation, "
                         "stabilize, skip, hold, points, masks, reference, follow, class", s->path, line, text);
    if (l->seen & 1u << k) return clzi_fail(s->log, -EINVAL, "%s:%d: %s: is given twice in a line", s->path, line, text);
    l->seen |= 1u << k;
    r->key = k;
    r->place = LINE_VALUE;
    return 0;
}

// Makes the points of their text. They are painted over the masks.
static int end_points(struct clzi_sheet *s)
{
    struct line *l = &s->lines[s->count - 1];
    struct clzi_hints *hints;
    char *name;
    int ret = -ENOMEM;

    if (!l->text) return 0;
    if ((name = malloc(strlen(s->path) + 30))) {
        sprintf(name, "%s:%d: points", s->path, l->text_line);
        ret = clzi_hints_parse(&hints, l->text, strlen(l->text), name, s->log);
    }
    free(name);
    free(l->text);
    l->text = NULL;
    return ret == -EBADMSG ? -EINVAL : ret < 0 ? ret : add_layer(s, hints);
}

static int end_line(struct clzi_sheet *s, int number)
{
    struct line *l = &s->lines[s->count - 1];
    int ret;

    if (!(l->seen & (((1u << FOLLOW) - 1) | HINTS | CLASS_BIT)))
        return clzi_fail(s->log, -EINVAL, "%s:%d: the line sets nothing: expected strength, saturation, stabilize, skip, hold, "
                         "points, masks, reference or class", s->path, l->number);
    if (l->seen & SHOT_BIT && (l->from.line || l->to.line))
        return clzi_fail(s->log, -EINVAL, "%s:%d: shot and from, to exclude each other", s->path, l->number);
    if (l->seen & SHOT_BIT && !l->spans) return clzi_fail(s->log, -EINVAL, "%s:%d: shot: the list is empty", s->path, number);
    if (l->seen & 1u << FOLLOW && !(l->seen & HINTS))
        return clzi_fail(s->log, -EINVAL, "%s:%d: follow: the line has no points, masks or reference", s->path, l->number);
    if ((ret = end_points(s)) < 0) return ret;
    if (l->seen & (POINTS_BIT | MASKS_BIT) && !l->hint_count)
        return clzi_fail(s->log, -EINVAL, "%s:%d: %s: the list is empty", s->path, number,
                         l->seen & POINTS_BIT ? "points" : "masks");
    if (l->reference) l->layers[l->layer_count++].reference = l->reference;
    for (int i = 0; i < l->hint_count; i++) l->layers[l->layer_count++].hints = l->hints[i];
    for (int i = 0; i < l->layer_count; i++) l->layers[i].follow = l->value[FOLLOW] > 0;
    return 0;
}

static int top_key(struct reading *r, const char *text, int line)
{
    int k = 0;

    while (k < TOPS && strcmp(text, tops[k])) k++;
    if (k == TOPS)
        return clzi_fail(r->sheet->log, -EINVAL, "%s:%d: a sheet has no key \"%.40s\", but cuts, rate, start, lines",
                         r->sheet->path, line, text);
    if (r->tops & 1u << k) return clzi_fail(r->sheet->log, -EINVAL, "%s:%d: %s: is given twice", r->sheet->path, line, text);
    r->tops |= 1u << k;
    snprintf(r->top, sizeof r->top, "%s", text);
    r->place = TOP_VALUE;
    return 0;
}

static int set_rate(struct clzi_sheet *s, const char *text, int line)
{
    const char *at = text;
    const int num = whole(&at);
    int den = 1;

    if (*at == '/') at++, den = whole(&at);
    if (num < 1 || den < 1 || *at || num / den > 1000 || num < den)
        return fail_at(s, line, "rate", text, "frames per second, as 24 or 24000/1001");
    s->rate_num = num;
    s->rate_den = den;
    return 0;
}

static int set_cuts(struct clzi_sheet *s, const char *text, int line)
{
    if (!*text) return clzi_fail(s->log, -EINVAL, "%s:%d: cuts: the name is empty", s->path, line);
    return (s->cuts = beside(s, text)) ? 0 : -ENOMEM;
}

static int top_value(struct reading *r, const char *text, int line)
{
    struct clzi_sheet *s = r->sheet;

    r->place = TOP;
    if (!strcmp(r->top, "cuts")) return set_cuts(s, text, line);
    if (!strcmp(r->top, "rate")) return set_rate(s, text, line);
    if (!strcmp(r->top, "start")) {
        s->start.line = line;
        return instant(text, &s->start) && s->start.is_code ? 0 : fail_at(s, line, "start", text, "a time code h:m:s:frame");
    }
    if (!*text) return 0;                   // lines without one
    return fail_at(s, line, "lines", text, "a list");
}

static int scalar(struct reading *r, const char *text, int line)
{
    switch (r->place) {
    case TOP: return top_key(r, text, line);
    case TOP_VALUE: return top_value(r, text, line);
    case LINE: return line_key(r, text, line);
    case LINE_VALUE:
        r->place = LINE;
        return set_value(r, text, line);
    case VALUES: return set_value(r, text, line);
    default: break;
    }
    return clzi_fail(r->sheet->log, -EINVAL, "%s:%d: expected %s", r->sheet->path, line,
                     r->place == LINES ? "a line as {shot: 3, strength: 0.8}" : "a map with the key `lines`");
}

static int event(void *priv, const struct clzi_yaml_event *e)
{
    struct reading *r = priv;
    struct clzi_sheet *s = r->sheet;

    switch (e->kind) {
    case CLZI_YAML_SCALAR:
        if (strlen(e->text) != e->size)
            return clzi_fail(s->log, -EINVAL, "%s:%d: a value contains a NUL character", s->path, e->line);
        return scalar(r, e->text, e->line);
    case CLZI_YAML_MAP:
        if (r->place != NOTHING && r->place != LINES) break;
        if (r->place == NOTHING) return r->place = TOP, 0;
        r->place = LINE;
        return add_line(s, e->line);
    case CLZI_YAML_LIST:
        if (r->place == TOP_VALUE && !strcmp(r->top, "lines")) return r->place = LINES, 0;
        if (r->place != LINE_VALUE || (keys[r->key].what != SHOT && keys[r->key].what != POINTS && keys[r->key].what != MASKS &&
                                        keys[r->key].what != CLASS))
            break;
        r->place = VALUES;
        return 0;
    case CLZI_YAML_MAP_END:
        if (r->place != LINE) return 0;
        r->place = LINES;
        return end_line(s, e->line);
    case CLZI_YAML_LIST_END:
        r->place = r->place == VALUES ? LINE : TOP;
        return 0;
    }
    return clzi_fail(s->log, -EINVAL, "%s:%d: no map or list is expected here", s->path, e->line);
}

// Times of time codes, which need the rate wherever it stands.
static int finish(struct clzi_sheet *s)
{
    int ret;

    for (int i = 0; i < s->count; i++) {
        struct line *l = &s->lines[i];
        if ((ret = resolve(s, &l->from, "from")) < 0 || (ret = resolve(s, &l->to, "to")) < 0) return ret;
        if (l->to.line && l->to.seconds <= (l->from.line ? l->from.seconds : -slack))
            return clzi_fail(s->log, -EINVAL, "%s:%d: to: the range ends where it begins or before; it does not include `to`",
                             s->path, l->to.line);
    }
    return 0;
}

int clzi_sheet_read(struct clzi_sheet **out, const char *path, const struct clz_log *log)
{
    struct clzi_sheet *s = *out = calloc(1, sizeof *s);
    struct reading r = { .sheet = s };
    int ret = -ENOMEM;

    if (!s) return ret;
    s->log = log;
    s->first_time = -1;
    if (!(s->path = strdup(path))) goto fail;
    if ((ret = clzi_yaml_load(path, event, &r, log)) < 0) goto fail;
    if (r.place == NOTHING) ret = clzi_fail(log, -EINVAL, "%s: the sheet is empty; expected a map with the key `lines`", path);
    if (ret >= 0) ret = finish(s);
fail:
    if (ret < 0) clzi_sheet_destroy(out);
    return ret;
}

void clzi_sheet_destroy(struct clzi_sheet **sheet)
{
    struct clzi_sheet *s = *sheet;

    *sheet = NULL;
    if (!s) return;
    for (int i = 0; i < s->count; i++) {
        free(s->lines[i].text);
        for (int k = 0; k < s->lines[i].hint_count; k++) clzi_hints_destroy(&s->lines[i].hints[k]);
        clzi_reference_destroy(&s->lines[i].reference);
        free(s->lines[i].class);
        free(s->lines[i].classes);
    }
    free(s->path);
    free(s->cuts);
    free(s->lines);
    free(s->span);
    free(s);
}

const char *clzi_sheet_cuts(const struct clzi_sheet *s) { return s->cuts; }

bool clzi_sheet_holds(const struct clzi_sheet *s)
{
    for (int i = 0; i < s->count; i++)
        if (s->lines[i].value[HOLD] > 0) return true;
    return false;
}

struct clzi_extras clzi_sheet_extras(const struct clzi_sheet *s)
{
    struct clzi_extras extras = { false, false, false };

    for (int i = 0; i < s->count; i++) {
        extras.layers |= s->lines[i].layer_count > 0;
        extras.stills |= s->lines[i].reference != NULL;
        extras.classes |= clzi_classes_named(s->lines[i].class);
    }
    return extras;
}

int clzi_sheet_find_classes(struct clzi_sheet *s, const char *names)
{
    const int count = clzi_classes_count(names);
    int ret = 0;

    for (int i = 0; i < s->count && ret >= 0 && count > 0; i++) {
        struct line *l = &s->lines[i];
        char where[300];
        if (!(l->seen & CLASS_BIT)) continue;
        snprintf(where, sizeof where, "%.260s:%d: class", s->path, l->class ? l->class_line : l->number);
        if (!(l->classes = calloc((size_t)count, sizeof *l->classes))) return -ENOMEM;
        ret = clzi_classes_parse(l->class ? l->class : "", names, l->classes, where, s->log);
    }
    return ret;
}

// ---- frames ----

int clzi_sheet_number(struct clzi_sheet *s, const struct clzi_cuts *cuts)
{
    const int shots = cuts ? clzi_cuts_shots(cuts) : 0;

    for (int i = 0; i < s->count; i++) {
        const struct line *l = &s->lines[i];
        for (int k = l->first_span; k < l->first_span + l->spans; k++) {
            struct span *p = &s->span[k];
            if (!cuts)
                return clzi_fail(s->log, -EINVAL, "%s:%d: shot: numbers of shots need a list of shots: the option cuts, or the "
                                 "key `cuts` at the top of the sheet that the film begins with", s->path, l->shot_line);
            if (p->last > shots)
                return clzi_fail(s->log, -EINVAL, "%s:%d: shot: the list of shots has no shot %d, but %d shots", s->path,
                                 l->shot_line, p->last, shots);
            p->from = clzi_cuts_begin(cuts, p->first);
            p->to = p->last < shots ? clzi_cuts_begin(cuts, p->last + 1) : UINT64_MAX;
        }
    }
    return 0;
}

void clzi_sheet_lose_numbers(struct clzi_sheet *s)
{
    s->lost = true;
}

static bool lies_in(const struct clzi_sheet *s, const struct line *l, uint64_t number, double time)
{
    if (l->from.line || l->to.line)
        return time >= 0 && (!l->from.line || time >= l->from.seconds) && (!l->to.line || time < l->to.seconds);
    if (!l->spans) return true;
    for (int k = l->first_span; k < l->first_span + l->spans && !s->lost; k++)
        if (number >= s->span[k].from && number < s->span[k].to) return true;
    return false;
}

static void add_layers(struct clzi_sheet *s, const struct line *l, struct clzi_hint_layers *layers)
{
    for (int i = 0; i < l->layer_count; i++) {
        if (layers->count < CLZI_MAX_LAYERS) {
            layers->layer[layers->count++] = &l->layers[i];
        } else if (!s->crowded) {
            s->crowded = true;
            clzi_log(s->log, CLZ_LOG_WARNING, "%s:%d: more than %d lists of points, masks and stills apply to a frame; the "
                     "later ones are left out", s->path, l->number, CLZI_MAX_LAYERS);
        }
    }
}

bool clzi_sheet_apply(struct clzi_sheet *s, uint64_t number, struct clz_controls *c, struct clzi_hint_layers *layers,
                      const float **classes)
{
    bool says_skip = false;
    float skip = 0, hold = (float)c->hold;

    if (s->lost && s->spans && !s->said_lost) {
        s->said_lost = true;
        clzi_log(s->log, CLZ_LOG_WARNING, "%s: after a seek the lines with `shot` do not apply: the numbers of frames are not "
                 "known", s->path);
    }
    for (int i = 0; i < s->count; i++) {
        struct line *l = &s->lines[i];
        if (c->time < 0 && (l->from.line || l->to.line) && !s->warned) {
            s->warned = true;
            clzi_log(s->log, CLZ_LOG_WARNING, "%s: a frame has no time, so that lines with from and to do not apply to it",
                     s->path);
        }
        if (!lies_in(s, l, number, c->time)) continue;
        l->used = true;
        if (l->seen & 1u << STRENGTH) c->strength = l->value[STRENGTH];
        if (l->seen & 1u << SATURATION) c->saturation = l->value[SATURATION];
        if (l->seen & 1u << STABILIZE) c->stabilize = l->value[STABILIZE];
        if (l->seen & 1u << SKIP) {
            skip = l->value[SKIP];
            says_skip = true;
        }
        if (l->seen & 1u << HOLD) hold = l->value[HOLD];
        add_layers(s, l, layers);
        if (l->classes) *classes = l->classes;
    }
    if (skip > 0) c->skip = 1;              // what the caller skips stays skipped
    c->hold = hold > 0;
    if (c->time >= 0 && s->first_time < 0) s->first_time = c->time;
    if (c->time >= 0) s->last_time = c->time;
    return says_skip;
}

void clzi_sheet_end(const struct clzi_sheet *s, bool late)
{
    const char *const none = late ? "no frame that came after the sheet" : "no frame of the film";

    for (int i = 0; i < s->count; i++) {
        const struct line *l = &s->lines[i];
        if (l->used) continue;
        if (l->spans && s->lost) continue;
        if (l->spans || s->first_time < 0)
            clzi_log(s->log, CLZ_LOG_WARNING, "%s:%d: %s lies in this line's range", s->path, l->number, none);
        else
            clzi_log(s->log, CLZ_LOG_WARNING, "%s:%d: %s lies in this line's range; %s from %.3f to %.3f s", s->path, l->number,
                     none, late ? "they last" : "it lasts", s->first_time, s->last_time);
    }
}
