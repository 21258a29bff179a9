// status.c - prints a journal.
#include <inttypes.h>
#include <string.h>

#include "status.h"

void clzb_print_escaped(FILE *file, const char *text)
{
    for (; *text; text++) {
        const unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f) fprintf(file, "\\x%02x", c);
        else fputc(c, file);
    }
}

struct table { FILE *file; int counts[CLZB_STATES]; };

static int print(void *priv, const struct clzb_entry *e)
{
    struct table *t = priv;

    t->counts[e->row.state]++;
    fprintf(t->file, "%-12s ", clzb_state_name(e->row.state));
    clzb_print_escaped(t->file, e->out);
    if (e->row.state == CLZB_DONE) {
        fprintf(t->file, "  %" PRId64 " frames", e->row.frames);
        if (e->row.seconds > 0) fprintf(t->file, ", %.1f frames/s", e->row.frames / e->row.seconds);
    } else if (e->row.state == CLZB_RUNNING) fprintf(t->file, "  host %s, PID %ld, attempt %d", e->row.host, e->row.pid,
                                                     e->row.attempt);
    else if (*e->row.reason) {
        fprintf(t->file, "  %d of %d tries: ", e->row.tries, CLZB_MAX_TRIES);
        clzb_print_escaped(t->file, e->row.reason);
    }
    fputc('\n', t->file);
    return 0;
}

int clzb_status_print(struct clzb_journal *journal, FILE *file)
{
    struct table t = { .file = file };
    const int ret = clzb_journal_each(journal, print, &t);
    const char *comma = "";

    for (int i = 0; i < CLZB_STATES && !ret; i++) {
        if (!t.counts[i]) continue;
        fprintf(file, "%s%d %s", comma, t.counts[i], clzb_state_name(i));
        comma = ", ";
    }
    if (!ret) fprintf(file, "%s\n", *comma ? "" : "no films");
    return ret;
}

static int print_event(void *priv, const char *at, const char *host, long pid, const char *event, const char *out,
                       const char *reason)
{
    FILE *file = priv;

    fprintf(file, "%s %s %ld %s ", at, host, pid, event);
    clzb_print_escaped(file, out);
    if (*reason) fputs(": ", file);
    clzb_print_escaped(file, reason);
    fputc('\n', file);
    return 0;
}

int clzb_history_print(struct clzb_journal *journal, FILE *file)
{
    return clzb_journal_history(journal, print_event, file);
}
