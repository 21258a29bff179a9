// html.c - writes pieces of a self-contained HTML page.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "html.h"

// ---- text ----

// Length of the UTF-8 sequence at p, 0: none (overlong, surrogate, above 10FFFF, cut off).
static int sequence(const unsigned char *p)
{
    const int length = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;

    for (int i = 1; i < length; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f))
        return 0;
    return length;
}

void clzt_html_text(FILE *f, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;

    while (*p) {
        const int length = sequence(p);
        const bool control = (*p < 32 && *p != '\n' && *p != '\t') || *p == 127 || (*p == 0xc2 && p[1] < 0xa0);
        if (!length || control) fputs("\xef\xbf\xbd", f);
        else if (*p == '&') fputs("&amp;", f);
        else if (*p == '<') fputs("&lt;", f);
        else if (*p == '>') fputs("&gt;", f);
        else if (*p == '"') fputs("&quot;", f);
        else if (*p == '\'') fputs("&#39;", f);
        else fwrite(p, 1, (size_t)length, f);
        p += length ? length : 1;
    }
}

// The policy forbids a browser to load anything.
void clzt_html_begin(FILE *f, const char *title)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
          "style-src 'unsafe-inline'\">\n"
          "<meta name=\"viewport\" content=\"width=device-width\">\n<title>", f);
    clzt_html_text(f, title);
    fputs("</title>\n<style>\n"
          ":root { color-scheme: light dark; --line: #8885; --dim: #777 }\n"
          "body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 90rem; padding: 0 1rem }\n"
          "h2 { margin: 2rem 0 .5rem; border-bottom: 1px solid var(--line) }\n"
          "table { border-collapse: collapse } th, td { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top }\n"
          "td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } tr + tr { border-top: 1px solid var(--line) }\n"
          ".charts { display: flex; flex-wrap: wrap; gap: 1rem } figure { margin: 0 } figcaption small { color: var(--dim) }\n"
          "svg text { font-family: system-ui, sans-serif; fill: currentColor }\n"
          ".side { display: flex; flex-wrap: wrap; gap: 1.5rem } .side > * { min-width: 0 }\n"
          "pre { font-size: 12px; overflow-x: auto } mark { background: #fd06; color: inherit } img { max-width: 100% }\n"
          "</style>\n</head>\n<body>\n<h1>", f);
    clzt_html_text(f, title);
    fputs("</h1>\n", f);
}

void clzt_html_end(FILE *f) { fputs("</body>\n</html>\n", f); }

void clzt_html_picture(FILE *f, const char *type, const void *data, size_t size, const char *alt)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = data;

    fputs("<img alt=\"", f);
    clzt_html_text(f, alt);
    fprintf(f, "\" src=\"data:%s;base64,", type);
    for (size_t i = 0; i < size; i += 3) {
        const unsigned a = p[i], b = i + 1 < size ? p[i + 1] : 0, c = i + 2 < size ? p[i + 2] : 0, bits = a << 16 | b << 8 | c;
        fputc(digits[bits >> 18], f);
        fputc(digits[bits >> 12 & 63], f);
        fputc(i + 1 < size ? digits[bits >> 6 & 63] : '=', f);
        fputc(i + 2 < size ? digits[bits & 63] : '=', f);
    }
    fputs("\">", f);
}

// ---- charts ----

enum { WIDTH = 420, HEIGHT = 220, LEFT = 54, RIGHT = 18, TOP = 8, BOTTOM = 32, COLOURS = 6, TICKS = 5 };
static const char *const colours[COLOURS] = { "#1b6ac9", "#d9480f", "#2b8a3e", "#9c36b5", "#b8860b", "#0b7285" };
#define AXIS "stroke=\"#888\" stroke-opacity=\"0.35\""
#define MARK "stroke=\"#888\" stroke-dasharray=\"3 3\""

struct axis { double low, high; bool log; int from, length; };  // pixels

static double place(const struct axis *a, double v)
{
    const double low = a->log ? log10(a->low) : a->low, high = a->log ? log10(a->high) : a->high, x = a->log ? log10(v) : v;
    return a->from + a->length * (x - low) / (high - low);
}

static bool counts(const struct clzt_series *s, int64_t i) { return isfinite(s->x[i]) && isfinite(s->y[i]); }

// Ranges of x and y over all series. false: there is no point.
static bool ranges(const struct clzt_chart *c, struct axis *x, struct axis *y)
{
    *x = *y = (struct axis){ .low = INFINITY, .high = -INFINITY };
    for (int k = 0; k < c->series_count; k++)
        for (int64_t i = 0; i < c->series[k].count; i++) {
            const struct clzt_series *s = &c->series[k];
            if (!counts(s, i)) continue;
            x->low = fmin(x->low, s->x[i]);
            x->high = fmax(x->high, s->x[i]);
            y->low = fmin(y->low, s->y[i]);
            y->high = fmax(y->high, s->y[i]);
        }
    if (x->low > x->high) return false;
    x->log = c->log_x && x->low > 0;
    y->log = c->log_y && y->low > 0 && y->high >= 20 * y->low;
    for (int k = 0; k < 2; k++) {           // a single value has a range, too
        struct axis *a = k ? y : x;
        const double margin = fabs(a->low) > 0 ? fabs(a->low) / 10 : 1;
        if (a->high > a->low) continue;
        a->low -= margin;
        a->high += margin;
    }
    *x = (struct axis){ x->low, x->high, x->log, LEFT, WIDTH - LEFT - RIGHT };
    *y = (struct axis){ y->low, y->high, y->log, HEIGHT - BOTTOM, -(HEIGHT - TOP - BOTTOM) };
    return true;
}

// A step of 1, 2 or 5 times a power of ten that gives at most TICKS ticks.
static double tick_step(double range)
{
    const double least = range / TICKS, power = pow(10, floor(log10(least)));
    return least <= power ? power : least <= 2 * power ? 2 * power : least <= 5 * power ? 5 * power : 10 * power;
}

static void tick(FILE *f, const struct axis *a, bool upright, double v)
{
    const double at = place(a, v);

    if (upright)
        fprintf(f, "<line " AXIS " x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">"
                "%.4g</text>\n", LEFT, WIDTH - RIGHT, at, at, LEFT - 5, at + 4, v);
    else
        fprintf(f, "<line " AXIS " x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/><text x=\"%.1f\" y=\"%d\" "
                "text-anchor=\"middle\">%.6g</text>\n", at, at, TOP, HEIGHT - BOTTOM, at, HEIGHT - BOTTOM + 14, v);
}

static void ticks(FILE *f, const struct axis *a, bool upright)
{
    const double step = tick_step(a->high - a->low);

    if (a->log) {
        const int low = (int)ceil(log10(a->low) - 1e-9), high = (int)floor(log10(a->high) + 1e-9);
        const int every = (high - low) / TICKS + 1;
        for (int i = low; i <= high; i += every) tick(f, a, upright, pow(10, i));
        for (int i = low - 1; i <= high && high - low < 2; i++)         // a range of few powers
            for (int k = 2; k <= 5; k += 3)
                if (k * pow(10, i) >= a->low && k * pow(10, i) <= a->high) tick(f, a, upright, k * pow(10, i));
        return;
    }
    for (int i = 0; i <= 2 * TICKS; i++) {
        const double v = (ceil(a->low / step - 1e-9) + i) * step;
        if (v > a->high + 1e-9 * step) break;
        tick(f, a, upright, fabs(v) < 1e-9 * step ? 0 : v);
    }
}

static void point(FILE *f, const struct axis *x, const struct axis *y, const struct clzt_series *s, int64_t i)
{
    fprintf(f, "%.1f,%.1f ", place(x, s->x[i]), place(y, s->y[i]));
}

// Of many points, the least and the largest of each part, in their order.
static void curve(FILE *f, const struct axis *x, const struct axis *y, const struct clzt_series *s, int colour)
{
    const int64_t part = s->count > CLZT_CHART_POINTS ? (2 * s->count + CLZT_CHART_POINTS - 1) / CLZT_CHART_POINTS : 1;
    int64_t shown = 0, last = 0;

    fprintf(f, "<polyline fill=\"none\" stroke-width=\"1.5\" stroke=\"%s\" points=\"", colours[colour % COLOURS]);
    for (int64_t from = 0; from < s->count; from += part) {
        int64_t least = -1, largest = -1;
        for (int64_t i = from; i < from + part && i < s->count; i++) {
            if (!counts(s, i)) continue;
            if (least < 0 || s->y[i] < s->y[least]) least = i;
            if (largest < 0 || s->y[i] > s->y[largest]) largest = i;
        }
        if (least < 0) continue;
        last = least < largest ? largest : least;
        point(f, x, y, s, least < largest ? least : largest);
        if (least != largest) point(f, x, y, s, last);
        shown++;
    }
    fputs("\"/>\n", f);
    if (shown == 1)
        fprintf(f, "<circle fill=\"%s\" r=\"2.5\" cx=\"%.1f\" cy=\"%.1f\"/>\n", colours[colour % COLOURS], place(x, s->x[last]),
                place(y, s->y[last]));
}

static void marks(FILE *f, const struct clzt_chart *c, const struct axis *x)
{
    for (int i = 0; i < c->mark_count; i++) {
        const double at = c->marks[i].x < x->low || c->marks[i].x > x->high ? -1 : place(x, c->marks[i].x);
        if (at < 0) continue;
        fprintf(f, "<line " MARK " x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"><title>", at, at, TOP, HEIGHT - BOTTOM);
        clzt_html_text(f, c->marks[i].label);
        fputs("</title></line>\n", f);
    }
}

static void legend(FILE *f, const struct clzt_chart *c)
{
    for (int k = 0; k < c->series_count; k++) {
        fprintf(f, " <svg width=\"14\" height=\"8\"><line stroke=\"%s\" stroke-width=\"3\" x1=\"0\" x2=\"12\" y1=\"5\" "
                "y2=\"5\"/></svg> ", colours[k % COLOURS]);
        clzt_html_text(f, c->series[k].label);
    }
}

void clzt_html_chart(FILE *f, const struct clzt_chart *c)
{
    struct axis x, y;

    if (!ranges(c, &x, &y)) return;
    fputs("<figure>\n<figcaption><b>", f);
    clzt_html_text(f, c->title);
    fputs("</b> <small>", f);
    clzt_html_text(f, c->help ? c->help : "");
    fputs("</small></figcaption>\n", f);
    fprintf(f, "<svg width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\" font-size=\"11\">\n", WIDTH, HEIGHT, WIDTH,
            HEIGHT);
    ticks(f, &x, false);
    ticks(f, &y, true);
    marks(f, c, &x);
    for (int k = 0; k < c->series_count; k++) curve(f, &x, &y, &c->series[k], k);
    if (c->x_label) {
        fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">", WIDTH - RIGHT, HEIGHT - 4);
        clzt_html_text(f, c->x_label);
        fputs("</text>\n", f);
    }
    fputs("</svg>", f);
    if (c->series_count > 1) {
        fputs("<br><small>", f);
        legend(f, c);
        fputs("</small>", f);
    }
    fputs("\n</figure>\n", f);
}
