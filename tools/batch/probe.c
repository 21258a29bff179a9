// probe.c - runs ffprobe and reads its JSON.
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <jansson.h>

#include "base/log.h"
#include "probe.h"
#include "process.h"

enum { MAX_ANSWER = 4 << 20 };

struct answer {
    FILE *text;
    size_t size;
    char message[300];                      // the first line of ffprobe's messages
};

static void keep_line(void *priv, enum clzb_stream stream, const char *line, bool ends)
{
    struct answer *a = priv;

    if (stream == CLZB_ERR && !*a->message) snprintf(a->message, sizeof a->message, "%s", line);
    if (stream == CLZB_OUT && (a->size += strlen(line) + 1) < MAX_ANSWER) fprintf(a->text, "%s%s", line, ends ? "\n" : "");
}

// ---- a folder of pictures ----

// Splits NAME into what stands before its last number, the number's digits, and the rest. Returns the digits' count, or 0.
static int number_of(const char *name, int *start)
{
    int end = (int)strlen(name), n = 0;
    const char *dot = strrchr(name, '.');

    if (dot) end = (int)(dot - name);
    while (end - n > 0 && n < 9 && isdigit((unsigned char)name[end - n - 1])) n++;
    *start = end - n;
    return n;
}

// The files of a folder must be one row of numbers without a gap; files whose names begin with a dot do not count.
static int find_sequence(struct clzb_probe *p, const char *path, const struct clz_log *log)
{
    struct dirent **list = NULL;
    const int n = scandir(path, &list, NULL, alphasort);
    char first[256] = "", escaped[400];
    int count = 0, low = -1, high = -1, start = 0, digits = 0, ret = 0, used = 0;

    if (n < 0) return clzi_fail(log, -errno, "%s: %s.", path, strerror(errno));
    for (int i = 0; i < n && !ret; i++) {
        const char *name = list[i]->d_name;
        int at, k, value;
        if (*name == '.') continue;
        k = number_of(name, &at);
        value = k ? atoi(name + at) : 0;
        if (!*first) {
            snprintf(first, sizeof first, "%s", name);
            start = at;
            digits = k;
        }
        if (!k || k != digits || at != start || strncmp(name, first, at) || strcmp(name + at + k, first + at + k))
            ret = clzi_fail(log, -EINVAL, "%s: a folder of pictures has files numbered in one row, as scan_0001.dpx; \"%s\" is "
                            "none beside \"%s\".", path, name, first);
        if (!count++ || value < low) low = value;
        if (value > high) high = value;
    }
    if (!ret && !count) ret = clzi_fail(log, -EINVAL, "%s: the folder has no files.", path);
    if (!ret && high - low + 1 != count)
        ret = clzi_fail(log, -EINVAL, "%s: %d pictures numbered %d to %d; expected %d: some are missing.", path, count, low, high,
                        high - low + 1);
    for (int i = 0; i < n; i++) free(list[i]);
    free(list);
    if (ret) return ret;
    for (int i = 0; i < start && used < (int)sizeof escaped - 3; i++) {
        if (first[i] == '%') escaped[used++] = '%';
        escaped[used++] = first[i];
    }
    escaped[used] = 0;
    p->sequence = true;
    p->first = low;
    snprintf(p->pattern, sizeof p->pattern, "%s%%0%dd%s", escaped, digits, first + start + digits);
    p->frames = count;
    return 0;
}

// ---- ffprobe's answer ----

static void copy_text(char *to, size_t size, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(to, size, "%s", text ? text : "");
}

static int64_t whole(const json_t *object, const char *key)
{
    const json_t *v = json_object_get(object, key);
    return json_is_integer(v) ? json_integer_value(v) : json_is_string(v) ? atoll(json_string_value(v)) : 0;
}

static double real(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? atof(text) : 0;
}

static void timecode_of(struct clzb_probe *p, const json_t *object)
{
    if (!*p->timecode) copy_text(p->timecode, sizeof p->timecode, json_object_get(object, "tags"), "timecode");
}

static void read_video(struct clzb_probe *p, const json_t *s)
{
    char rate[32];

    p->width = (int)whole(s, "width");
    p->height = (int)whole(s, "height");
    copy_text(p->format, sizeof p->format, s, "pix_fmt");
    copy_text(p->range, sizeof p->range, s, "color_range");
    copy_text(p->space, sizeof p->space, s, "color_space");
    copy_text(p->primaries, sizeof p->primaries, s, "color_primaries");
    copy_text(p->transfer, sizeof p->transfer, s, "color_transfer");
    copy_text(p->siting, sizeof p->siting, s, "chroma_location");
    p->is_default = whole(json_object_get(s, "disposition"), "default") != 0;
    copy_text(p->field_order, sizeof p->field_order, s, "field_order");
    copy_text(rate, sizeof rate, s, "avg_frame_rate");
    if (sscanf(rate, "%d/%d", &p->rate_num, &p->rate_den) != 2 || p->rate_den <= 0) p->rate_num = 0, p->rate_den = 1;
    if (!p->frames) p->frames = whole(s, "nb_frames");
    p->captions = whole(s, "closed_captions") != 0;
    if (real(s, "duration") > 0) p->duration = real(s, "duration");
}

static int read_streams(struct clzb_probe *p, const json_t *root, const char *path, const struct clz_log *log)
{
    static const char *const types[] = { "video", "audio", "subtitle", "attachment" };
    const json_t *streams = json_object_get(root, "streams");

    p->video = -1;
    for (size_t i = 0; i < json_array_size(streams); i++) {
        const json_t *s = json_array_get(streams, i), *disposition = json_object_get(s, "disposition");
        struct clzb_stream_facts *f = &p->stream[p->count];
        const char *type = json_string_value(json_object_get(s, "codec_type"));
        if (p->count == CLZB_MAX_STREAMS)
            return clzi_fail(log, -EINVAL, "%s: %zu streams; expected at most %d.", path, json_array_size(streams),
                             CLZB_MAX_STREAMS);
        p->count++;
        f->index = (int)whole(s, "index");
        f->type = CLZB_DATA;
        for (int t = 0; type && t < 4; t++)
            if (!strcmp(type, types[t])) f->type = t;
        f->cover = whole(disposition, "attached_pic") != 0;
        f->sample_rate = (int)whole(s, "sample_rate");
        copy_text(f->codec, sizeof f->codec, s, "codec_name");
        copy_text(f->tag, sizeof f->tag, s, "codec_tag_string");
        timecode_of(p, s);
        if (f->type != CLZB_VIDEO || f->cover || p->video >= 0) continue;
        p->video = p->count - 1;
        read_video(p, s);
    }
    return 0;
}

int clzb_probe(struct clzb_probe *probe, const char *ffprobe, const char *path, const char *rate, const struct clz_log *log)
{
    struct clzb_args args = {0};
    struct answer answer = {0};
    char *text = NULL;
    size_t size = 0;
    json_t *root = NULL;
    struct stat st;
    int ret, status = 0;

    *probe = (struct clzb_probe){ .rate_den = 1 };
    if (stat(path, &st)) return clzi_fail(log, -errno, "%s: %s.", path, strerror(errno));
    if (S_ISDIR(st.st_mode) && (ret = find_sequence(probe, path, log)) < 0) return ret;
    clzb_args_add(&args, "%s", ffprobe);
    clzb_args_list(&args, (const char *const[]){ "-v", "error", "-of", "json", "-show_format", "-show_streams", "-show_chapters",
                                                 NULL });
    if (probe->sequence) {
        clzb_args_list(&args, (const char *const[]){ "-f", "image2", "-framerate", rate, "-start_number", NULL });
        clzb_args_add(&args, "%d", probe->first);
        clzb_args_add(&args, "./%s", probe->pattern);
    } else clzb_args_add(&args, "file:%s", path);
    if (!(answer.text = open_memstream(&text, &size))) ret = -ENOMEM;
    else {
        ret = clzb_process_run(&(struct clzb_process){ .args = &args, .folder = probe->sequence ? path : NULL, .line = keep_line,
                                                       .priv = &answer }, &status);
        if (fclose(answer.text)) ret = -ENOMEM;
    }
    if (ret < 0) clzi_fail(log, ret, "%s: %s.", ffprobe, strerror(-ret));
    else if (status || !(root = json_loads(text, 0, NULL)))
        ret = clzi_fail(log, -EBADMSG, "%s: ffprobe cannot read it: %s.", path, *answer.message ? answer.message : "no message");
    else ret = read_streams(probe, root, path, log);
    if (!ret && probe->video < 0) ret = clzi_fail(log, -EBADMSG, "%s: there are no pictures in it.", path);
    if (!ret && (probe->width <= 0 || probe->height <= 0 || !*probe->format))
        ret = clzi_fail(log, -EBADMSG, "%s: its pictures cannot be decoded (%s).", path, probe->stream[probe->video].codec);
    if (!ret) {
        const json_t *format = json_object_get(root, "format");
        timecode_of(probe, format);
        probe->chapters = (int)json_array_size(json_object_get(root, "chapters"));
        if (real(format, "duration") > probe->duration) probe->duration = real(format, "duration");
        if (!probe->frames && probe->rate_num) probe->frames = llrint(probe->duration * probe->rate_num / probe->rate_den);
    }
    json_decref(root);
    free(text);
    clzb_args_clear(&args);
    return ret;
}
