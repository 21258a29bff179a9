// report.c - the HTML page.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "status.h"

static const char style[] =
    "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1320px;padding:0 1em;color:#222;background:#fff}"
    "h1{font-size:1.4em}section{border-top:1px solid #ccc;padding:.8em 0}"
    "h2{font-size:1.05em;margin:0 0 .3em;word-break:break-all}"
    "img{display:block;max-width:100%;margin:.4em 0}.state{font-weight:600}.done .state{color:#1a7f37}"
    ".failed .state,.quarantined .state{color:#c0362c}code{font-size:.85em;word-break:break-all}"
    "ul{margin:.3em 0;padding-left:1.3em}p{margin:.2em 0}";

struct page { FILE *films; int counts[CLZB_STATES]; int64_t frames; double seconds; };

// Text of any bytes: those of HTML's own signs are escaped, those that are not UTF-8 are shown as U+FFFD.
static void text(FILE *file, const char *s)
{
    for (const unsigned char *c = (const unsigned char *)s; *c; ) {
        const int n = *c < 0x80 ? 1 : *c >= 0xc2 && *c < 0xe0 ? 2 : *c >= 0xe0 && *c < 0xf0 ? 3 : *c >= 0xf0 && *c < 0xf5 ? 4 : 0;
        int good = n;
        for (int i = 1; i < n; i++)
            if ((c[i] & 0xc0) != 0x80) {
                good = 0;
                break;
            }
        if (!good) {
            fputs("\xef\xbf\xbd", file);
            c++;
        } else if (*c == '<') fputs("&lt;", file), c++;
        else if (*c == '>') fputs("&gt;", file), c++;
        else if (*c == '&') fputs("&amp;", file), c++;
        else if (*c == '"') fputs("&quot;", file), c++;
        else fwrite(c, 1, good, file), c += good;
    }
}

static void base64(FILE *file, const uint8_t *data, int size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (int i = 0; i < size; i += 3) {
        const uint32_t v = (uint32_t)data[i] << 16 | (i + 1 < size ? data[i + 1] << 8 : 0) | (i + 2 < size ? data[i + 2] : 0);
        fputc(digits[v >> 18], file);
        fputc(digits[v >> 12 & 63], file);
        fputc(i + 1 < size ? digits[v >> 6 & 63] : '=', file);
        fputc(i + 2 < size ? digits[v & 63] : '=', file);
    }
}

static void list(FILE *file, const char *lines)
{
    char line[400];

    if (!lines || !*lines) return;
    fputs("<ul>", file);
    while (*lines) {
        const size_t n = strcspn(lines, "\n");
        snprintf(line, sizeof line, "%.*s", (int)n, lines);
        fputs("<li>", file);
        text(file, line);
        lines += n + (lines[n] != 0);
    }
    fputs("</ul>", file);
}

static int film(void *priv, const struct clzb_entry *e)
{
    struct page *p = priv;
    const struct clzb_row *row = &e->row;

    p->counts[row->state]++;
    fprintf(p->films, "<section class=\"%s\"><h2>", clzb_state_name(row->state));
    text(p->films, e->out);
    fprintf(p->films, "</h2><p><span class=\"state\">%s</span>", clzb_state_name(row->state));
    if (row->state == CLZB_DONE) {
        p->frames += row->frames;
        p->seconds += row->seconds;
        fprintf(p->films, ", %" PRId64 " frames in %.1f s", row->frames, row->seconds);
        if (row->seconds > 0) fprintf(p->films, ", %.1f frames/s", row->frames / row->seconds);
    }
    fputs("; from ", p->films);
    text(p->films, e->in);
    fputs("</p>", p->films);
    if (e->strip_size) {
        fputs("<img alt=\"frames of the film\" src=\"data:image/jpeg;base64,", p->films);
        base64(p->films, e->strip, e->strip_size);
        fputs("\">", p->films);
    }
    if (*row->reason && row->state != CLZB_DONE) {
        fprintf(p->films, "<p>%d of %d tries failed: ", row->tries, CLZB_MAX_TRIES);
        text(p->films, row->reason);
        fputs("</p>", p->films);
    }
    list(p->films, e->notes);
    if (row->state == CLZB_DONE) {
        fputs("<p>luma: ", p->films);
        text(p->films, *row->luma ? row->luma : "not compared");
        fputs("; device: ", p->films);
        text(p->films, row->device);
        fputs("</p><p>SHA-256 <code>", p->films);
        text(p->films, row->sha256);
        fputs("</code></p>", p->films);
    }
    fputs("</section>\n", p->films);
    return ferror(p->films) ? -ENOMEM : 0;
}

int clzb_report_write(struct clzb_journal *journal, const char *path, const struct clz_log *log)
{
    struct page p = {0};
    char *films = NULL, *page = NULL, date[40] = "";
    size_t films_size = 0, size = 0;
    const time_t now = time(NULL);
    struct tm tm;
    FILE *file = open_memstream(&page, &size);
    const char *comma = "";
    int ret = -ENOMEM;

    if (!(p.films = open_memstream(&films, &films_size)) || !file) goto end;
    ret = clzb_journal_each(journal, film, &p);
    if (fclose(p.films)) ret = -ENOMEM;
    p.films = NULL;
    if (ret) goto end;
    if (localtime_r(&now, &tm)) strftime(date, sizeof date, "%Y-%m-%d %H:%M", &tm);
    fprintf(file, "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>colorize-batch, %s</title>"
            "<style>%s</style>\n<h1>Coloured films, %s</h1><p>", date, style, date);
    for (int i = 0; i < CLZB_STATES; i++) {
        if (!p.counts[i]) continue;
        fprintf(file, "%s%d %s", comma, p.counts[i], clzb_state_name(i));
        comma = ", ";
    }
    fprintf(file, "; %" PRId64 " frames in %.1f hours of work.</p>\n%s</html>\n", p.frames, p.seconds / 3600, films);
    if (fclose(file)) ret = -ENOMEM;
    file = NULL;
    if (!ret) ret = clzi_file_replace(path, page, size, log);
end:
    if (file) fclose(file);
    if (p.films) fclose(p.films);
    free(films);
    free(page);
    return ret;
}
