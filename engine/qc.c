// qc.c - figures of each frame, and the page about the shots.
#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "kernels/lab_math.h"
#include "qc.h"

enum { PENDING = 5 };                       // shots that a later frame may still join: more than it looks back
enum { BINS = 64, CELL = 8, THUMBNAIL = 160 };          // of a* and of b*, 4 Lab units each; pixels; width of a thumbnail
static const float grey_chroma = 4, darkest = 15, brightest = 95, still = 1;   // Lab units

#define HEADER "frame,time,colour,grey,ambiguity,x,y,unsteady,flicker,cdc,border\n"
#define PAGE "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>colorize: "

#define STYLE \
    "<style>body{font:14px sans-serif;margin:2em;background:#fff;color:#222}table{border-collapse:collapse}" \
    "td,th{padding:4px 10px;text-align:right;border-bottom:1px solid #ddd;vertical-align:middle}" \
    "td:nth-child(2){text-align:left}.bad{background:#fdd}</style>"
#define INTRODUCTION \
    "<p>A row for each shot, means over its frames. The picture is the frame of which the network is least sure; the cross is " \
    "where a hint would pay most, in pixels of the frame. Units: Lab. Red: ambiguity above 0.5, flicker above 1, more than 0.9 " \
    "grey, spots at the border above 20.</p>"
#define HEADINGS \
    "<tr><th>shot</th><th>worst frame</th><th>from frame</th><th>time</th><th>frames</th><th>hint at</th><th>colour</th>" \
    "<th>grey</th><th>ambiguity</th><th>unsteady</th><th>flicker</th><th>cdc</th><th>border</th></tr>\n"

enum figure { COLOUR, GREY, AMBIGUITY, UNSTEADY, FLICKER, CDC, BORDER, FIGURES };

struct shot {
    uint64_t first, frames, worst;          // worst: the frame that is shown
    double time, worst_time;
    double sum[FIGURES];
    int64_t count[FIGURES];
    float most;                             // ambiguity (or, without, unsteadiness) of the worst
    int x, y;                               // of its hint, in the frame; negative: none
    int w, h, mark_x, mark_y;               // of the thumbnail
    uint8_t *rgb;                           // [h][w][3]
};

struct output { struct clzi_atomic_file file; char *path; bool open; int error; };

struct clzi_qc {
    const struct clz_log *log;
    struct output csv, page;
    uint64_t number;                        // of the next frame
    int shots;                              // written
    struct shot pending[PENDING];           // not written; the last one is the present one
    int count;
    int w, h;                               // of the frame before; 0: none
    float *l, *ab;                          // its lightness [h,w] and colours [2,h,w]
    float histogram[2][BINS];
};

// ---- ambiguity ----

struct clzi_ambiguity clzi_ambiguity_of(const float *logits, int classes, int h, int w, int factor, int threads)
{
    enum { SIDE = 8 };                      // pixels of a place
    const int columns = (w + SIDE - 1) / SIDE, rows = (h + SIDE - 1) / SIDE;
    const int64_t plane = (int64_t)h * w;
    struct clzi_ambiguity best = { 0, -1, -1 };
    double total = 0, most = -1;

#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : total) if (threads > 1)
    for (int cell = 0; cell < rows * columns; cell++) {
        const int x0 = cell % columns * SIDE, y0 = cell / columns * SIDE;
        const int x1 = x0 + SIDE < w ? x0 + SIDE : w, y1 = y0 + SIDE < h ? y0 + SIDE : h;
        double sum = 0;
        for (int y = y0; y < y1; y++)
            for (int x = x0; x < x1; x++) {
                const float *z = logits + (int64_t)y * w + x;
                float high = z[0], weights = 0, product = 0;
                for (int k = 1; k < classes; k++) high = z[k * plane] > high ? z[k * plane] : high;
                for (int k = 0; k < classes; k++) {
                    const float d = z[k * plane] - high, e = expf(d);
                    weights += e;
                    product += d * e;
                }
                sum += logf(weights) - product / weights;       // the entropy of softmax(z)
            }
        total += sum;
        sum /= (x1 - x0) * (y1 - y0);
        // the first of equal ones, so that the place does not depend on the threads
#pragma omp critical(clzi_ambiguity)
        if (sum > most || (sum == most && y0 * w + x0 < best.y * w + best.x)) {
            most = sum;
            best.x = x0;
            best.y = y0;
        }
    }
    best.mean = (float)(total / (double)plane / log(classes));
    best.x = (best.x + SIDE / 2 < w ? best.x + SIDE / 2 : w - 1) * factor;
    best.y = (best.y + SIDE / 2 < h ? best.y + SIDE / 2 : h - 1) * factor;
    return best;
}

// ---- files ----

static void write_text(struct output *o, const char *text)
{
    if (!o->open) return;
    const int ret = clzi_atomic_write(&o->file, text, strlen(text));

    if (ret < 0 && !o->error) o->error = ret;
}

static void write_format(struct output *o, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void write_format(struct output *o, const char *format, ...)
{
    char text[1000];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    write_text(o, text);
}

// A number of 0 or more with five decimals, whatever the locale's decimal point; "" for NAN.
struct text { char text[32]; };
static struct text decimal(double value)
{
    enum { ONE = 100000 };
    struct text t = { "" };
    const long long n = isnan(value) || value > 1e12 ? 0 : llround(value * ONE);

    if (!isnan(value)) snprintf(t.text, sizeof t.text, "%lld.%05lld", n / ONE, n % ONE);
    return t;
}

// Not a FIFO or a device, beside which no page is written.
static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 || S_ISREG(st.st_mode);
}

static int open_output(struct output *o, const char *path, const char *suffix, const char *beginning, const struct clz_log *log)
{
    const size_t size = strlen(path) + strlen(suffix) + 1;
    int ret;

    if (!(o->path = malloc(size))) return -ENOMEM;
    snprintf(o->path, size, "%s%s", path, suffix);
    if (!clzi_atomic_may_replace(o->path, beginning, strlen(beginning)))
        return clzi_fail(log, -EEXIST, "%s: was not written by qc, and is not replaced", o->path);
    if ((ret = clzi_atomic_open(&o->file, o->path)) < 0)
        return clzi_fail(log, ret, "%s: cannot be written: %s", o->path, strerror(-ret));
    o->open = true;
    return 0;
}

static void close_output(struct output *o, const struct clz_log *log)
{
    if (o->open && (o->error = clzi_atomic_close(&o->file, o->error)) < 0)
        clzi_log(log, CLZ_LOG_WARNING, "%s: was not written: %s", o->path, strerror(-o->error));
    free(o->path);
}

// Text of HTML.
static void write_escaped(struct output *o, const char *text)
{
    for (; *text; text++) {
        const char c[2] = { (unsigned char)*text < 32 ? ' ' : *text, 0 };
        write_text(o, *text == '<' ? "&lt;" : *text == '>' ? "&gt;" : *text == '&' ? "&amp;" : *text == '"' ? "&quot;" : c);
    }
}

int clzi_qc_create(struct clzi_qc **out, const char *path, uint64_t first, const struct clz_log *log)
{
    struct clzi_qc *q = *out = calloc(1, sizeof *q);
    int ret;

    if (!q) return -ENOMEM;
    q->log = log;
    q->number = first;
    if ((ret = open_output(&q->csv, path, "", HEADER, log)) < 0 ||
        (is_file(path) && (ret = open_output(&q->page, path, ".html", PAGE, log)) < 0)) {
        if (q->csv.open) clzi_atomic_close(&q->csv.file, ret);          // keeps what the file had
        q->csv.open = false;
        clzi_qc_destroy(out);
        return ret;
    }
    write_text(&q->csv, HEADER);
    if (!q->page.open) return 0;
    write_text(&q->page, PAGE);
    write_escaped(&q->page, path);
    write_text(&q->page, "</title>" STYLE "</head><body><h1>");
    write_escaped(&q->page, path);
    write_text(&q->page, "</h1>" INTRODUCTION "<table>" HEADINGS);
    return 0;
}

// ---- the page ----

static void put_base64(struct output *o, const uint8_t *data, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[4 * 96 + 1];
    size_t n = 0;

    for (size_t i = 0; i < size; i += 3) {
        const uint32_t v = (uint32_t)data[i] << 16 | (i + 1 < size ? data[i + 1] << 8 : 0) | (i + 2 < size ? data[i + 2] : 0);
        for (int k = 0; k < 4; k++) text[n++] = i + k > size ? '=' : digits[v >> (18 - 6 * k) & 63];
        if (n == sizeof text - 1 || i + 3 >= size) {
            text[n] = 0;
            write_text(o, text);
            n = 0;
        }
    }
}

static void write_thumbnail(struct clzi_qc *q, const struct shot *s)
{
    png_image image = { .version = PNG_IMAGE_VERSION, .width = (png_uint_32)s->w, .height = (png_uint_32)s->h,
                        .format = PNG_FORMAT_RGB };
    png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
    uint8_t *png = s->rgb ? malloc(size) : NULL;

    for (int k = -4; k <= 4 && s->rgb && s->mark_x >= 0; k++)
        for (int i = 0; i < 2; i++) {
            const int x = s->mark_x + (i ? 0 : k), y = s->mark_y + (i ? k : 0);
            if (x >= 0 && y >= 0 && x < s->w && y < s->h) memcpy(s->rgb + 3 * (y * s->w + x), (uint8_t[3]){ 255, 0, 255 }, 3);
        }
    if (png && png_image_write_to_memory(&image, png, &size, 0, s->rgb, 0, NULL)) {
        write_text(&q->page, "<img alt=\"\" src=\"data:image/png;base64,");
        put_base64(&q->page, png, size);
        write_text(&q->page, "\"><br>");
    }
    free(png);
}

// Writes the oldest pending shot.
static void end_shot(struct clzi_qc *q)
{
    static const float limits[FIGURES] = { [GREY] = 0.9f, [AMBIGUITY] = 0.5f, [FLICKER] = 1, [BORDER] = 20 };
    struct shot *s = &q->pending[0];

    write_format(&q->page, "<tr><td>%d</td><td>", ++q->shots);
    write_thumbnail(q, s);
    write_format(&q->page, "%llu, %s s</td><td>%llu</td><td>%s</td><td>%llu</td><td>", (unsigned long long)s->worst,
                 decimal(s->worst_time).text, (unsigned long long)s->first, decimal(s->time).text, (unsigned long long)s->frames);
    if (s->x >= 0) write_format(&q->page, "%d, %d", s->x, s->y);
    for (int i = 0; i < FIGURES; i++) {
        const double mean = s->count[i] ? s->sum[i] / (double)s->count[i] : NAN;
        write_format(&q->page, "</td><td%s>%s", limits[i] > 0 && mean > limits[i] ? " class=\"bad\"" : "", decimal(mean).text);
    }
    write_text(&q->page, "</td></tr>\n");
    free(s->rgb);
    memmove(s, s + 1, --q->count * sizeof *s);
}

static void begin_shot(struct clzi_qc *q, double time)
{
    if (q->count == PENDING) end_shot(q);
    q->pending[q->count++] = (struct shot){ .first = q->number, .time = time, .most = -1 };
}

// The shot goes on after an interruption, a flash or a splice, whose frames seemed to begin shots of their own.
static void join_shots(struct clzi_qc *q, uint64_t frame)
{
    while (q->count > 1 && q->pending[q->count - 1].first > frame) {
        struct shot *from = &q->pending[--q->count], *to = &q->pending[q->count - 1];
        for (int i = 0; i < FIGURES; i++) {
            to->sum[i] += from->sum[i];
            to->count[i] += from->count[i];
        }
        to->frames += from->frames;
        free(from->rgb);
    }
}

void clzi_qc_destroy(struct clzi_qc **qc)
{
    struct clzi_qc *q = *qc;

    *qc = NULL;
    if (!q) return;
    if (q->page.open) {
        while (q->count) end_shot(q);
        write_text(&q->page, "</table></body></html>\n");
    }
    close_output(&q->csv, q->log);
    close_output(&q->page, q->log);
    for (int i = 0; i < q->count; i++) free(q->pending[i].rgb);
    free(q->l);
    free(q->ab);
    free(q);
}

// ---- figures ----

static void measure_colour(const struct clzi_qc_frame *f, double figures[FIGURES])
{
    const int64_t pixels = (int64_t)f->w * f->h;
    double chroma = 0, unsteady = 0;
    int64_t grey = 0, between = 0;

    for (int64_t i = 0; i < pixels; i++) {
        const float c = hypotf(f->ab[i], f->ab[pixels + i]) * f->ab_scale;
        chroma += c;
        unsteady += hypotf(f->ab[i] - f->own[i], f->ab[pixels + i] - f->own[pixels + i]) * f->ab_scale;
        if (f->l[i] * 100 <= darkest || f->l[i] * 100 >= brightest) continue;
        between++;
        grey += c < grey_chroma;
    }
    figures[COLOUR] = chroma / (double)pixels;
    figures[UNSTEADY] = unsteady / (double)pixels;
    figures[GREY] = between ? (double)grey / (double)between : NAN;
}

static void mean_of(const struct clzi_qc_frame *f, int x, int y, double mean[2])
{
    const int64_t pixels = (int64_t)f->w * f->h;

    mean[0] = mean[1] = 0;
    for (int i = 0; i < CELL * CELL; i++)
        for (int c = 0; c < 2; c++)
            mean[c] += (double)f->ab[c * pixels + (int64_t)(y + i / CELL) * f->w + x + i % CELL] * f->ab_scale / (CELL * CELL);
}

static double distance_to_inner(const struct clzi_qc_frame *f, int x, int y, int dx, int dy)
{
    double outer[2], inner[2];

    mean_of(f, x, y, outer);
    mean_of(f, x + dx, y + dy, inner);
    return hypot(outer[0] - inner[0], outer[1] - inner[1]);
}

static double border_spot(const struct clzi_qc_frame *f)
{
    double most = 0;

    if (f->w < 3 * CELL || f->h < 3 * CELL) return NAN;
    for (int x = 0; x + CELL <= f->w; x += CELL) {
        most = fmax(most, distance_to_inner(f, x, 0, 0, CELL));
        most = fmax(most, distance_to_inner(f, x, f->h - CELL, 0, -CELL));
    }
    for (int y = 0; y + CELL <= f->h; y += CELL) {
        most = fmax(most, distance_to_inner(f, 0, y, CELL, 0));
        most = fmax(most, distance_to_inner(f, f->w - CELL, y, -CELL, 0));
    }
    return most;
}

static double divergence(const float *p, const float *q)
{
    double sum = 0;

    for (int i = 0; i < BINS; i++) {
        const double m = (p[i] + q[i]) / 2.0;
        if (p[i] > 0) sum += p[i] / 2 * log2(p[i] / m);
        if (q[i] > 0) sum += q[i] / 2 * log2(q[i] / m);
    }
    return fmax(sum, 0);
}

// Compares with the frame before, and takes its place. before: there is one, of the same shot.
static void measure_change(struct clzi_qc *q, const struct clzi_qc_frame *f, bool before, double figures[FIGURES])
{
    const int64_t pixels = (int64_t)f->w * f->h;
    float histogram[2][BINS] = { { 0 } };
    double change = 0;
    int64_t n = 0;

    for (int c = 0; c < 2; c++)
        for (int64_t i = 0; i < pixels; i++) {
            const int bin = (int)floorf(f->ab[c * pixels + i] * f->ab_scale / 4) + BINS / 2;
            histogram[c][bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin] += 1.f / (float)pixels;
        }
    for (int64_t i = 0; i < pixels && before; i++) {
        if (fabsf(f->l[i] - q->l[i]) * 100 >= still) continue;
        change += hypotf(f->ab[i] - q->ab[i], f->ab[pixels + i] - q->ab[pixels + i]) * f->ab_scale;
        n++;
    }
    figures[FLICKER] = n ? change / (double)n : NAN;
    figures[CDC] = before ? (divergence(histogram[0], q->histogram[0]) + divergence(histogram[1], q->histogram[1])) / 2 : NAN;
    memcpy(q->histogram, histogram, sizeof histogram);
    memcpy(q->l, f->l, pixels * sizeof *q->l);
    memcpy(q->ab, f->ab, 2 * pixels * sizeof *q->ab);
}

// ---- frames ----

static void draw_thumbnail(struct shot *s, const struct clzi_qc_frame *f)
{
    const int64_t pixels = (int64_t)f->w * f->h;
    const int w = f->w < THUMBNAIL ? f->w : THUMBNAIL, h = f->h * w / f->w > 0 ? f->h * w / f->w : 1;

    if (w != s->w || h != s->h || !s->rgb) {
        free(s->rgb);
        s->rgb = malloc(3 * (size_t)w * h);
    }
    s->w = w;
    s->h = h;
    s->mark_x = s->mark_y = -1;
    if (f->note.ambiguity.x >= 0) {
        s->mark_x = f->note.ambiguity.x * w / f->w;
        s->mark_y = f->note.ambiguity.y * h / f->h;
    }
    for (int i = 0; i < w * h && s->rgb; i++) {
        const int64_t at = (int64_t)(i / w * f->h / h) * f->w + i % w * f->w / w;
        const float lab[3] = { f->l[at] * 100, f->ab[at] * f->ab_scale, f->ab[pixels + at] * f->ab_scale };
        float rgb[3];
        clzk_lab_to_rgb(lab, rgb);
        for (int c = 0; c < 3; c++) s->rgb[3 * i + c] = (uint8_t)(rgb[c] < 0 ? 0 : rgb[c] > 1 ? 255 : rgb[c] * 255 + 0.5f);
    }
}

static bool make_room(struct clzi_qc *q, const struct clzi_qc_frame *f)
{
    if (q->w == f->w && q->h == f->h) return true;
    free(q->l);
    free(q->ab);
    q->l = malloc((size_t)f->w * f->h * sizeof *q->l);
    q->ab = malloc(2 * (size_t)f->w * f->h * sizeof *q->ab);
    q->w = q->l && q->ab ? f->w : 0;
    q->h = f->h;
    if (!q->w && !q->csv.error) q->csv.error = q->page.error = -ENOMEM;
    return q->w;
}

static void write_row(struct clzi_qc *q, const struct clzi_qc_frame *f, int x, int y, const double figures[FIGURES])
{
    char place[32] = ",";

    if (x >= 0) snprintf(place, sizeof place, "%d,%d", x, y);
    write_format(&q->csv, "%llu,%s,%s,%s,%s,%s,%s,%s,%s,%s\n", (unsigned long long)q->number,
                 decimal(f->time < 0 ? NAN : f->time).text, decimal(figures[COLOUR]).text, decimal(figures[GREY]).text,
                 decimal(figures[AMBIGUITY]).text, place, decimal(figures[UNSTEADY]).text, decimal(figures[FLICKER]).text,
                 decimal(figures[CDC]).text, decimal(figures[BORDER]).text);
}

void clzi_qc_add(struct clzi_qc *q, const struct clzi_qc_frame *f)
{
    const double time = f->time < 0 ? NAN : f->time;
    const bool known = f->note.ambiguity.mean >= 0, before = f->back == 1 && q->count && q->w == f->w && q->h == f->h;
    struct shot *s;
    double figures[FIGURES];
    float badness;
    int x = -1, y = -1;

    if (!make_room(q, f)) return;
    if (!f->back || !q->count) begin_shot(q, time);
    else if (f->back > 1) join_shots(q, q->number - f->back);
    s = &q->pending[q->count - 1];
    measure_colour(f, figures);
    measure_change(q, f, before, figures);
    figures[BORDER] = border_spot(f);
    figures[AMBIGUITY] = known ? f->note.ambiguity.mean : NAN;
    if (known) {
        x = f->note.x + (int)(((float)f->note.ambiguity.x + 0.5f) * (float)f->note.width / (float)f->w);
        y = f->note.y + (int)(((float)f->note.ambiguity.y + 0.5f) * (float)f->note.height / (float)f->h);
    }
    write_row(q, f, x, y, figures);
    for (int i = 0; i < FIGURES; i++)
        if (!isnan(figures[i])) s->sum[i] += figures[i], s->count[i]++;
    badness = (float)(known ? figures[AMBIGUITY] : figures[UNSTEADY]);
    if (badness > s->most) {
        s->most = badness;
        s->worst = q->number;
        s->worst_time = time;
        s->x = x;
        s->y = y;
        draw_thumbnail(s, f);
    }
    s->frames++;
    q->number++;
    while (q->count > 1 && s->frames > PENDING) {
        end_shot(q);
        s = &q->pending[q->count - 1];
    }
}

void clzi_qc_skip(struct clzi_qc *q)
{
    while (q->count) end_shot(q);
    q->number++;
}
