// progress.c - progress display and metrics.csv.
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/log.h"
#include "progress.h"
#include "whole_file.h"

// ---- smoothing ----

static void smooth(struct clzt_smooth *s, double value, double decay)
{
    s->mean = decay * s->mean + (1 - decay) * value;
    s->weight = decay * s->weight + (1 - decay);
}

void clzt_smooth_add(struct clzt_smooth *s, double value) { smooth(s, value, 0.98); }
double clzt_smooth_value(const struct clzt_smooth *s) { return s->weight > 0 ? s->mean / s->weight : NAN; }

// ---- progress ----

struct clzt_progress {
    FILE *file;
    bool terminal, shown, running;
    double interval;                        // seconds between updates of the display
    const char *unit;
    char phase[32], note[200];
    int64_t done, total, counted;           // counted: `done` when the rate was last computed
    int per_unit;
    double drawn;                           // time of that
    struct clzt_smooth rate;                // units per second
};

int clzt_progress_create(struct clzt_progress **progress, const struct clzt_progress_params *params)
{
    struct clzt_progress *p = *progress = calloc(1, sizeof *p);

    if (!p) return -ENOMEM;
    p->file = params->file;
    p->unit = params->unit ? params->unit : "step";
    p->terminal = isatty(fileno(p->file)) == 1;
    p->interval = p->terminal ? 0.1 : params->interval > 0 ? params->interval : 10;
    return 0;
}

void clzt_progress_destroy(struct clzt_progress **progress)
{
    if (!*progress) return;
    clzt_progress_end(*progress);
    free(*progress);
    *progress = NULL;
}

void clzt_progress_begin(struct clzt_progress *p, const char *phase, int64_t first, int64_t total, int per_unit)
{
    if (!p) return;
    clzt_progress_end(p);
    snprintf(p->phase, sizeof p->phase, "%s", phase);
    p->note[0] = 0;
    p->done = p->counted = first;
    p->total = total;
    p->per_unit = per_unit;
    p->rate = (struct clzt_smooth){0};
    p->drawn = clzi_now();
    p->running = true;
}

static void duration(char *text, size_t size, double seconds)
{
    const long long s = (long long)(seconds + 0.5);

    if (s >= 86400) snprintf(text, size, "%lldd %02lld:%02lld:%02lld", s / 86400, s / 3600 % 24, s / 60 % 60, s % 60);
    else if (s >= 3600) snprintf(text, size, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(text, size, "%02lld:%02lld", s / 60, s % 60);
}

double clzt_progress_rate(const struct clzt_progress *p)
{
    const double rate = clzt_smooth_value(&p->rate);
    return rate > 0 ? rate * (p->per_unit ? p->per_unit : 1) : 0;
}

static int columns(FILE *file)
{
    struct winsize w;
    return !ioctl(fileno(file), TIOCGWINSZ, &w) && w.ws_col > 20 ? w.ws_col : 80;
}

static void draw(struct clzt_progress *p)
{
    const double part = p->total > 0 ? (double)p->done / p->total : 0, rate = clzt_smooth_value(&p->rate);
    char left[40] = "", speed[60] = "", count[60], text[500];
    int n;

    if (rate > 0) {
        if (p->total > p->done) duration(left, sizeof left, (p->total - p->done) / rate);
        snprintf(speed, sizeof speed, "%.*f %s/s", clzt_progress_rate(p) < 10 ? 2 : 0, clzt_progress_rate(p),
                 p->per_unit ? "pictures" : p->unit);
    }
    if (p->total > 0)
        snprintf(count, sizeof count, "%3d%% %lld/%lld", (int)(100 * part), (long long)p->done, (long long)p->total);
    else snprintf(count, sizeof count, "%lld", (long long)p->done);
    n = snprintf(text, sizeof text, "%s %s%s%s%s%s%s%s", p->phase, count, *p->note ? "  " : "", p->note, *speed ? "  " : "",
                 speed, *left ? "  left " : "", left);
    if (p->terminal) {
        const int width = columns(p->file) - 1, room = width - n - 3;
        fputs("\r\033[K", p->file);
        if (room >= 10 && p->total > 0) {                   // the bar is at most 40 columns wide
            const int bar = room < 40 ? room : 40, full = (int)(part * bar);
            fputc('[', p->file);
            for (int i = 0; i < bar; i++) fputc(i < full ? '#' : '.', p->file);
            fputs("] ", p->file);
        }
        fprintf(p->file, "%.*s", width, text);
        p->shown = true;
    } else fprintf(p->file, "%s\n", text);
    fflush(p->file);
}

void clzt_progress_update(struct clzt_progress *p, int64_t done, const char *note)
{
    const double t = clzi_now(), passed = t - p->drawn;

    p->done = done;
    if (note) snprintf(p->note, sizeof p->note, "%s", note);
    if (!p->running || passed < p->interval) return;
    if (done > p->counted) {                // mean with a time constant of ten seconds
        smooth(&p->rate, (done - p->counted) / passed, exp(-passed / 10));
        p->counted = done;
        p->drawn = t;
    } else if (!p->terminal) return;
    draw(p);
}

void clzt_progress_clear(struct clzt_progress *p)
{
    if (!p->shown) return;
    fputs("\r\033[K", p->file);
    fflush(p->file);
    p->shown = false;
}

void clzt_progress_end(struct clzt_progress *p)
{
    const double passed = p ? clzi_now() - p->drawn : 0;

    if (!p || !p->running) return;
    if (p->done > p->counted && passed > 0) smooth(&p->rate, (p->done - p->counted) / passed, exp(-passed / 10));
    p->running = false;
    draw(p);
    if (p->terminal) fputc('\n', p->file);
    fflush(p->file);
    p->shown = false;
}

// ---- metrics.csv ----

enum { MAX_CSV = 1 << 30, MAX_OLD = 1000 };

struct clzt_csv { FILE *file; int columns; };

// Drops rows of steps after `step`, and rows that are no rows; returns the size of the rest.
static size_t keep_rows(char *text, size_t header, int64_t step)
{
    size_t used = header;

    for (char *row = text + header, *end; (end = strchr(row, '\n')); row = end + 1) {
        char *number_end;
        const long long n = strtoll(row, &number_end, 10);
        if (number_end == row || *number_end != ',' || n > step) continue;
        memmove(text + used, row, end + 1 - row);
        used += end + 1 - row;
    }
    return used;
}

// Field n of a line, counted from 0; NULL: the line has fewer.
static const char *field(const char *line, int n)
{
    for (; n > 0; n--, line++)
        if (*(line += strcspn(line, ",\n")) != ',') return NULL;
    return line;
}

static int column_of(const char *header, const char *name)
{
    const size_t size = strlen(name);
    const char *at;
    int n = 0;

    while ((at = field(header, n)) && !(strcspn(at, ",\n") == size && !strncmp(at, name, size))) n++;
    return at ? n : -1;
}

// Whether each column of the file is one of `names`.
static bool has_only(const char *header, const char *const *names)
{
    const char *at;
    bool known = true;

    for (int n = 0; known && (at = field(header, n)); n++) {
        const size_t size = strcspn(at, ",\n");
        known = false;
        for (int i = 0; names[i] && !known; i++) known = strlen(names[i]) == size && !strncmp(names[i], at, size);
    }
    return known;
}

// The rows of a file of other columns under `header`: fields of equal name, and empty ones. NULL: out of memory.
static char *convert_rows(const char *text, const char *header, const char *const *names, int count, size_t *size)
{
    int *from = malloc(count * sizeof *from);
    char *out = NULL;
    FILE *memory = from ? open_memstream(&out, size) : NULL;

    if (memory) fputs(header, memory);
    for (int i = 0; memory && i < count; i++) from[i] = column_of(text, names[i]);
    for (const char *row = strchr(text, '\n'), *end; memory && row && (end = strchr(++row, '\n')); row = end) {
        for (int i = 0; i < count; i++) {
            const char *value = from[i] < 0 ? NULL : field(row, from[i]);
            fprintf(memory, "%s%.*s", i ? "," : "", value ? (int)strcspn(value, ",\n") : 0, value ? value : "");
        }
        fputc('\n', memory);
    }
    free(from);
    if (memory && fclose(memory)) {
        free(out);
        out = NULL;
    }
    return out;
}

// Renames the file to path.old, or to path.old.2 and so on if that exists.
static int set_aside(const char *path, const char *why, const struct clz_log *log)
{
    const size_t room = strlen(path) + 24;
    char *old = malloc(room);
    int ret = old ? 0 : -ENOMEM;

    if (old) snprintf(old, room, "%s.old", path);
    for (int n = 2; old && n < MAX_OLD && !access(old, F_OK); n++) snprintf(old, room, "%s.old.%d", path, n);
    if (old && rename(path, old)) ret = clzi_fail(log, -errno, "%s: %s.", path, strerror(errno));
    if (ret >= 0) clzi_log(log, CLZ_LOG_WARNING, "%s %s; it was renamed to %s.", path, why, old);
    free(old);
    return ret;
}

int clzt_csv_open(struct clzt_csv **csv, const char *path, const char *const *names, int64_t step, const struct clz_log *log)
{
    struct clzt_csv *c = *csv = calloc(1, sizeof *c);
    char *header = NULL, *text = NULL, *old = NULL;
    size_t header_size = 0, size, old_size, kept;
    const char *aside = NULL;
    FILE *memory;
    int ret = -ENOMEM;

    if (!c || !(memory = open_memstream(&header, &header_size))) goto fail;
    for (; names[c->columns]; c->columns++) fprintf(memory, "%s%s", c->columns ? "," : "", names[c->columns]);
    fputc('\n', memory);
    if (fclose(memory)) goto fail;
    old = text = clzt_file_whole(path, MAX_CSV, &size);
    old_size = size;
    if (text && size && (size < header_size || memcmp(text, header, header_size))) {
        if (!has_only(old, names)) aside = "has columns that this recipe does not write";
        if (!(text = convert_rows(old, header, names, c->columns, &size))) goto fail;
    }
    kept = text && size ? keep_rows(text, header_size, step) : 0;
    if (kept == header_size && size > kept) aside = "has rows, but training begins at step 0";
    if (aside && (ret = set_aside(path, aside, log)) < 0) goto fail;
    if (!kept || kept != old_size || text != old || aside) {
        ret = kept ? clzi_file_replace(path, text, kept, log) : clzi_file_replace(path, header, header_size, log);
        if (ret < 0) goto fail;
    }
    ret = (c->file = fopen(path, "ab")) ? 0 : clzi_fail(log, -errno, "%s: %s.", path, strerror(errno));
fail:
    if (ret < 0) clzt_csv_close(csv);
    if (text != old) free(text);
    free(old);
    free(header);
    return ret;
}

int clzt_csv_add(struct clzt_csv *csv, int64_t step, const double *values)
{
    fprintf(csv->file, "%lld", (long long)step);
    for (int i = 0; i + 1 < csv->columns; i++) {
        if (isnan(values[i])) fputc(',', csv->file);
        else fprintf(csv->file, ",%.7g", values[i]);
    }
    fputc('\n', csv->file);
    if (!fflush(csv->file) && !ferror(csv->file)) return 0;
    clearerr(csv->file);
    return -EIO;
}

bool clzt_csv_has(const char *path, int64_t step, const char *column)
{
    size_t size;
    char *text = clzt_file_whole(path, MAX_CSV, &size);
    const int n = text ? column_of(text, column) : -1;
    bool has = false;

    for (char *row = n < 0 ? NULL : strchr(text, '\n'); row && !has; row = strchr(row, '\n')) {
        const char *value = field(++row, n);
        has = strtoll(row, NULL, 10) == step && value && strcspn(value, ",\n") > 0;
    }
    free(text);
    return has;
}

struct clzt_csv_best clzt_csv_best(const char *path, const char *column, int64_t after)
{
    struct clzt_csv_best best = { 0, 0, 0 };
    size_t size;
    char *text = clzt_file_whole(path, MAX_CSV, &size);
    const int n = text ? column_of(text, column) : -1;

    for (char *row = n < 0 ? NULL : strchr(text, '\n'); row; row = strchr(row, '\n')) {
        const char *value = field(++row, n);
        const int64_t step = strtoll(row, NULL, 10);
        if (!value || !strcspn(value, ",\n")) continue;
        if (!best.step || strtod(value, NULL) > best.value) best = (struct clzt_csv_best){ strtod(value, NULL), step, 0 };
        else best.later += step > after;
    }
    free(text);
    return best;
}

void clzt_csv_close(struct clzt_csv **csv)
{
    if (!*csv) return;
    if ((*csv)->file) fclose((*csv)->file);
    free(*csv);
    *csv = NULL;
}
