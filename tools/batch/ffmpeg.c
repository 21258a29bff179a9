// ffmpeg.c - finds ffmpeg, runs it, reads its messages.
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "ffmpeg.h"

// ---- finding ----

struct answer { bool model; char version[80]; };

static void look(void *priv, enum clzb_stream stream, const char *line, bool ends)
{
    struct answer *a = priv;

    (void)stream;
    (void)ends;
    if (strstr(line, " model ")) a->model = true;
    if (!*a->version && !strncmp(line, "ffmpeg version ", 15))
        snprintf(a->version, sizeof a->version, "%.*s", (int)strcspn(line + 15, " "), line + 15);
}

static char *beside_program(const char *name)
{
    char path[PATH_MAX], *slash;
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 64);

    if (n <= 0) return NULL;
    path[n] = 0;
    if (!(slash = strrchr(path, '/'))) return NULL;
    strcpy(slash + 1, name);
    return access(path, X_OK) ? NULL : strdup(path);
}

int clzb_ffmpeg_find(struct clzb_ffmpeg *ffmpeg, const char *given, const struct clz_log *log)
{
    struct clzb_args args = {0};
    struct answer answer = {0};
    int ret, status;

    *ffmpeg = (struct clzb_ffmpeg){0};
    ffmpeg->ffmpeg = given ? strdup(given) : beside_program("filter/ffmpeg");
    if (!ffmpeg->ffmpeg) ffmpeg->ffmpeg = strdup("ffmpeg");
    ffmpeg->ffprobe = strdup("ffprobe");
    if (!ffmpeg->ffmpeg || !ffmpeg->ffprobe) return -ENOMEM;
    clzb_args_list(&args, (const char *const[]){ ffmpeg->ffmpeg, "-h", "filter=colorize", NULL });
    ret = clzb_process_run(&(struct clzb_process){ .args = &args, .line = look, .priv = &answer }, &status);
    clzb_args_clear(&args);
    if (ret < 0) return clzi_fail(log, ret, "%s cannot be started: %s (--ffmpeg names another).", ffmpeg->ffmpeg, strerror(-ret));
    if (!answer.model)
        return clzi_fail(log, -ENOTSUP, "the filter colorize of %s cannot open models: give the one that has it, as --ffmpeg "
                         "build/filter/ffmpeg, or run make install (doc/filter.md).", ffmpeg->ffmpeg);
    memcpy(ffmpeg->version, answer.version, sizeof ffmpeg->version);
    return 0;
}

void clzb_ffmpeg_clear(struct clzb_ffmpeg *ffmpeg)
{
    free(ffmpeg->ffmpeg);
    free(ffmpeg->ffprobe);
    *ffmpeg = (struct clzb_ffmpeg){0};
}

// ---- running ----

void clzb_ffmpeg_begin(struct clzb_args *args, const struct clzb_ffmpeg *ffmpeg)
{
    clzb_args_list(args, (const char *const[]){ ffmpeg->ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-progress", "pipe:1",
                                                "-v", "level+verbose", "-y", NULL });
}

// What follows "[LEVEL] " in a message, without the objects that say it, "[NAME @ 0xADDRESS] ". NULL: it has another level. The
// level stands nowhere else: a film's name may have the same text.
static const char *message(const char *line, const char *level)
{
    const size_t n = strlen(level);

    while (*line == '[' && strncmp(line, level, n)) {
        const char *address = strstr(line, " @ 0x"), *end = strchr(line, ']');
        if (!address || !end || end < address || end[1] != ' ') return NULL;
        line = end + 2;
    }
    return strncmp(line, level, n) ? NULL : line + n;
}

// How many frames had their answers from a file, and from the network, where the filter says so.
static void read_answers(struct clzb_ffmpeg_run *run, const char *text)
{
    int64_t file = 0, network = 0;
    int n = 0;

    if (sscanf(text, "answers: %" SCNd64 " frames from the network%n", &network, &n) != 1 || !n)
        (void)sscanf(text, "answers: %" SCNd64 " frames from the file, %" SCNd64 " from the network%n", &file, &network, &n);
    if (!n) return;
    run->from_file += file;
    run->from_network += network;
}

static void read_message(struct clzb_ffmpeg_run *run, const char *line)
{
    const char *text;

    if ((text = message(line, "[error] ")) || (text = message(line, "[fatal] ")) || (text = message(line, "[panic] "))) {
        if (!run->errors++) snprintf(run->error, sizeof run->error, "%s", text);
    } else if (message(line, "[warning] ")) run->warnings++;
    if (!strstr(line, "colorize")) return;
    if ((text = message(line, "[info] "))) read_answers(run, text);
    if ((text = strstr(line, "colouring with ")) && !strstr(line, "libcolorize")) {
        snprintf(run->device, sizeof run->device, "%s", text + 15);
    } else if ((text = message(line, "[info] ")) && strstr(text, " becomes ")) snprintf(run->luma, sizeof run->luma, "%s", text);
}

static void line(void *priv, enum clzb_stream stream, const char *text, bool ends)
{
    struct clzb_ffmpeg_run *run = priv;

    if (stream == CLZB_ERR) {
        if (run->log_file) fprintf(run->log_file, "%s%s", text, ends ? "\n" : "");
        read_message(run, text);
    } else if (run->frames && !strncmp(text, "frame=", 6)) atomic_store(run->frames, atoll(text + 6));
}

static int tick(void *priv)
{
    struct clzb_ffmpeg_run *run = priv;
    return run->tick ? run->tick(run->priv) : 0;
}

int clzb_ffmpeg_run(struct clzb_ffmpeg_run *run)
{
    int status, ret;

    if (run->log_file) {
        fputs("$", run->log_file);
        for (int i = 0; i < run->args->count; i++) fprintf(run->log_file, " '%s'", run->args->item[i]);
        fputs("\n", run->log_file);
    }
    ret = clzb_process_run(&(struct clzb_process){ .args = run->args, .folder = run->folder, .line = line, .tick = tick,
                                                   .priv = run }, &status);
    if (run->log_file) fflush(run->log_file);
    if (ret < 0 || !status) return ret;
    if (!*run->error) snprintf(run->error, sizeof run->error, status > 128 ? "ffmpeg was killed by signal %d" :
                               "ffmpeg ended with status %d", status > 128 ? status - 128 : status);
    return strstr(run->error, strerror(ENOSPC)) ? -ENOSPC : -EIO;
}

char *clzb_ffmpeg_escape(const char *value)
{
    char *text = malloc(4 * strlen(value) + 1), *to = text;

    if (!text) return NULL;
    for (; *value; value++) {
        // First as a value of an option, then, with the backslash of that, as a part of the graph.
        const int inner = strchr("\\':", *value) || *value == ' ' || (*value >= '\t' && *value <= '\r');
        if (inner) *to++ = '\\', *to++ = '\\';
        if (strchr("\\'[],;", *value) || *value == ' ' || (*value >= '\t' && *value <= '\r')) *to++ = '\\';
        *to++ = *value;
    }
    *to = 0;
    return text;
}
