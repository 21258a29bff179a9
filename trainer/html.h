// html.h - pieces of a self-contained HTML page: escaped text, embedded pictures, curves as SVG.
#ifndef CLZT_HTML_H
#define CLZT_HTML_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// Text of any origin, for an element or a quoted attribute: markup is escaped, control characters but line breaks and tabs, and
// bytes that are no UTF-8, become U+FFFD.
void clzt_html_text(FILE *file, const char *text);

// The page up to and without the first content; and its end. The style stands in the page. title: any text.
void clzt_html_begin(FILE *file, const char *title);
void clzt_html_end(FILE *file);

// <img> with the picture in it. type: "image/png". alt: any text.
void clzt_html_picture(FILE *file, const char *type, const void *data, size_t size, const char *alt);

// ---- charts ----

struct clzt_series { const char *label; const double *x, *y; int64_t count; };     // points whose y is NAN are left out
struct clzt_mark { double x; const char *label; };

struct clzt_chart {
    const char *title, *help, *x_label;     // any text; help and x_label may be NULL
    const struct clzt_series *series;       // of the n-th colour each
    int series_count;
    const struct clzt_mark *marks;          // vertical lines
    int mark_count;
    bool log_x;
    bool log_y;                             // where all are above 0 and the largest is 20 times the smallest or more
};

enum { CLZT_CHART_POINTS = 800 };           // of a series; longer ones show the least and the largest value of each part
// <figure> with the curves, axes and, for more than one series, a legend. Nothing where no series has a finite point.
void clzt_html_chart(FILE *file, const struct clzt_chart *chart);
#endif
