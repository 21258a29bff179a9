// html.c - pieces of the report: escaped text, embedded pictures, curves; and tables read from csv files.
#include <errno.h>
#include <unistd.h>

#include "check.h"
#include "trainer/html.h"
#include "trainer/table.h"

static char *text;
static size_t size;
static FILE *file;

static void begin(void)
{
    free(text);
    file = open_memstream(&text, &size);
}

static const char *end(void)
{
    fclose(file);
    return text;
}

static const char *escaped(const char *t)
{
    begin();
    clzt_html_text(file, t);
    return end();
}

static const char *base64(const char *t)
{
    begin();
    clzt_html_picture(file, "image/png", t, strlen(t), "a\"b");
    return end();
}

static int count(const char *what)
{
    int n = 0;

    for (const char *p = text; (p = strstr(p, what)); p++) n++;
    return n;
}

// The k-th pair "x,y" of the n-th curve.
static void pair(int n, int k, double *x, double *y)
{
    const char *p = text;

    for (; n >= 0; n--) p = strstr(p, "points=\"") + 8;
    for (; k > 0; k--) p = strchr(p, ' ') + 1;
    REQUIRE_INT(sscanf(p, "%lf,%lf", x, y), 2);
}

static void charts(void)
{
    static double x[10000], y[10000];
    const struct clzt_series series[] = { { "one", x, y, 3 }, { "<two>", x, y + 3, 3 } };
    const struct clzt_mark mark = { 2, "here" };
    struct clzt_chart c = { .title = "<loss>", .series = series, .series_count = 1, .marks = &mark, .mark_count = 1 };
    double px[4], py[4];

    CASE("html/chart_keeps_proportions");
    for (int i = 0; i < 3; i++) x[i] = i + 1;
    y[0] = 1, y[1] = 4, y[2] = 3, y[3] = 0.001, y[4] = 0.1, y[5] = 10;
    begin();
    clzt_html_chart(file, &c);
    end();
    for (int i = 0; i < 3; i++) pair(0, i, &px[i], &py[i]);
    REQUIRE_NEAR(px[1] - px[0], px[2] - px[1], 0.11);
    REQUIRE(py[1] < py[2] && py[2] < py[0]);                // y grows downwards
    REQUIRE_NEAR((py[2] - py[1]) * 3, py[0] - py[1], 0.31);
    REQUIRE(strstr(text, "&lt;loss&gt;") && strstr(text, "<title>here</title>") && !strstr(text, "<loss>"));
    REQUIRE_INT(count("<polyline"), 1);
    CASE("html/chart_with_powers_of_ten");
    c = (struct clzt_chart){ .title = "l", .series = series + 1, .series_count = 1, .log_y = true };
    begin();
    clzt_html_chart(file, &c);
    end();
    for (int i = 0; i < 3; i++) pair(0, i, &px[i], &py[i]);
    REQUIRE_NEAR(py[0] - py[1], py[1] - py[2], 0.11);
    REQUIRE(strstr(text, ">0.001</text>") && strstr(text, ">10</text>"));
    CASE("html/chart_of_several_has_a_legend");
    c = (struct clzt_chart){ .title = "l", .series = series, .series_count = 2 };
    begin();
    clzt_html_chart(file, &c);
    REQUIRE(strstr(end(), "&lt;two&gt;"));
    REQUIRE_INT(count("<polyline"), 2);
    CASE("html/chart_without_points_is_none");
    y[0] = y[2] = NAN, y[1] = INFINITY;
    c = (struct clzt_chart){ .title = "l", .series = series, .series_count = 1 };
    begin();
    clzt_html_chart(file, &c);
    REQUIRE_STR(end(), "");
    CASE("html/chart_of_one_point");
    y[1] = 5;
    begin();
    clzt_html_chart(file, &c);
    REQUIRE(strstr(end(), "<circle") && !strstr(text, "nan"));
    CASE("html/chart_of_many_points_keeps_peaks");
    for (int i = 0; i < 10000; i++) x[i] = i, y[i] = i == 7777 ? 100 : i == 3333 ? -100 : 0;
    c.series = &(const struct clzt_series){ "", x, y, 10000 };
    begin();
    clzt_html_chart(file, &c);
    end();
    REQUIRE(size < 20000);
    REQUIRE(strstr(text, ",8.0 ") && strstr(text, ",188.0 "));      // the chart's upper and lower edge
}

static void tables(void)
{
    char path[512], missing[600];
    const int fd = mkstemp(check_temporary(path, "table"));
    struct clzt_table t;
    FILE *f = fdopen(fd, "w");

    CASE("table/numbers_and_gaps");
    fputs("step,l1,psnr\n10,0.5,\n20,nonsense,21.5\n30,1\n40,2,3,4\n50,7,8\n60,9,", f);      // rows of 2 and 4; torn
    fclose(f);
    REQUIRE_INT(clzt_table_read(&t, path, NULL), 0);
    REQUIRE_INT(t.columns, 3);
    REQUIRE_INT(t.rows, 3);
    REQUIRE_NEAR(clzt_table_column(&t, "step")[2], 50, 0);
    REQUIRE_NEAR(clzt_table_column(&t, "l1")[0], 0.5, 0);
    REQUIRE(isnan(clzt_table_column(&t, "l1")[1]) && isnan(clzt_table_column(&t, "psnr")[0]));
    REQUIRE_NEAR(clzt_table_column(&t, "psnr")[2], 8, 0);
    REQUIRE(!clzt_table_column(&t, "ps"));
    clzt_table_free(&t);
    CASE("table/no_file");
    snprintf(missing, sizeof missing, "%s.nothere", path);
    REQUIRE_INT(clzt_table_read(&t, missing, NULL), -ENOENT);
    clzt_table_free(&t);
    CASE("table/no_header");
    f = fopen(path, "w");
    fclose(f);
    REQUIRE_INT(clzt_table_read(&t, path, NULL), -EINVAL);
    unlink(path);
}

int main(void)
{
    CASE("html/markup_is_escaped");
    REQUIRE_STR(escaped("a<b> & \"c\" 'd'\n\t"), "a&lt;b&gt; &amp; &quot;c&quot; &#39;d&#39;\n\t");
    REQUIRE_STR(escaped("na\xc3\xafve \xe2\x82\xac \xf0\x9f\x8e\xa8"), "na\xc3\xafve \xe2\x82\xac \xf0\x9f\x8e\xa8");
    CASE("html/what_is_no_text_is_replaced");
    REQUIRE_STR(escaped("\x1b[31m\x7f"), "\xef\xbf\xbd[31m\xef\xbf\xbd");
    REQUIRE_STR(escaped("\xff\xc0\xafx\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd");
    REQUIRE_STR(escaped("\xed\xa0\x80\xc2\x85"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");       // surrogate, C1

    CASE("html/base64");                    // RFC 4648, 10
    REQUIRE_STR(base64("foobar"), "<img alt=\"a&quot;b\" src=\"data:image/png;base64,Zm9vYmFy\">");
    REQUIRE_STR(base64("fooba"), "<img alt=\"a&quot;b\" src=\"data:image/png;base64,Zm9vYmE=\">");
    REQUIRE_STR(base64("foob"), "<img alt=\"a&quot;b\" src=\"data:image/png;base64,Zm9vYg==\">");
    REQUIRE_STR(base64(""), "<img alt=\"a&quot;b\" src=\"data:image/png;base64,\">");
    charts();
    tables();
    free(text);
    return check_end();
}
