// provenance.c - writes and reads the side-car, JSON.
//
// What depends on the run (host, time, speed) stands in "run", so that side-cars of two runs differ in nothing else.
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <jansson.h>

#include "base/atomic_file.h"
#include "base/log.h"
#include "provenance.h"

enum { VERSION = 1 };

// A path as JSON text; bytes that are not UTF-8 are written as %XX, and % as %25, and the key says so.
static void set_path(json_t *object, const char *key, const char *path)
{
    json_t *text = json_string(path);
    char name[64], *escaped, *to;

    if (text) {
        json_object_set_new(object, key, text);
        return;
    }
    if (!(escaped = to = malloc(3 * strlen(path) + 1))) return;
    for (const unsigned char *c = (const unsigned char *)path; *c; c++) {
        if (*c >= 0x80 || *c == '%') to += sprintf(to, "%%%02X", *c);
        else *to++ = (char)*c;
    }
    *to = 0;
    snprintf(name, sizeof name, "%s_percent_encoded", key);
    json_object_set_new(object, name, json_string(escaped));
    free(escaped);
}

// Any bytes as JSON text: those that are not UTF-8, as of a message that was cut, become U+FFFD.
static json_t *string(const char *bytes)
{
    json_t *text = json_string(bytes);
    char *good, *to;

    if (text || !(good = to = malloc(3 * strlen(bytes) + 1))) return text;
    while (*bytes) {
        int n = 4;
        json_t *one;
        while (n > 1 && (strnlen(bytes, n) < (size_t)n || !(one = json_stringn(bytes, n)))) n--;
        if (n > 1) json_decref(one);
        if (n > 1 || !(*bytes & 0x80)) {
            memcpy(to, bytes, n);
            to += n;
        } else to = stpcpy(to, "\xef\xbf\xbd");
        bytes += n;
    }
    *to = 0;
    text = json_string(good);
    free(good);
    return text;
}

static json_t *words(const char *const *items)
{
    json_t *list = json_array();
    for (; items && *items; items++) json_array_append_new(list, string(*items));
    return list;
}

static json_t *lines(const char (*items)[120], int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++) json_array_append_new(list, string(items[i]));
    return list;
}

static json_t *facts(const struct clzb_film *film)
{
    const struct clzb_job *job = film->job;
    const char *const *encoder = job->encoder.count ? (const char *const *)job->encoder.item : job->preset->encoder;
    const char *name = strrchr(job->out, '/') + 1;
    json_t *root = json_object(), *in = json_object(), *out = json_object(), *model = json_object(), *run = json_object();
    char date[40] = "";
    const time_t now = time(NULL);
    struct tm tm;

    if (gmtime_r(&now, &tm)) strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_object_set_new(root, "colorize_batch", json_integer(VERSION));
    json_object_set_new(root, "key", string(film->key));

    set_path(out, "name", name);
    json_object_set_new(out, "size", json_integer(film->row.size));
    json_object_set_new(out, "sha256", string(film->row.sha256));
    json_object_set_new(out, "container", string(film->container->name));
    if (film->format) json_object_set_new(out, "pixel_format", string(film->format));
    if (!*film->container->extension) {
        json_object_set_new(out, "pattern", string(film->part_input + strlen("film/")));
        json_object_set_new(out, "first", json_integer(film->probe.sequence ? film->probe.first : 1));
    }
    json_object_set_new(root, "film", out);

    set_path(in, "path", job->in);
    json_object_set_new(in, "fingerprint", string(film->fingerprint));
    json_object_set_new(in, "width", json_integer(film->probe.width));
    json_object_set_new(in, "height", json_integer(film->probe.height));
    json_object_set_new(in, "pixel_format", string(film->probe.format));
    json_object_set_new(root, "source", in);

    set_path(model, "path", job->model);
    json_object_set_new(model, "sha256", string(film->model_sha));
    json_object_set_new(root, "model", model);
    json_object_set_new(root, "options", words((const char *const *)job->options.item));
    if (film->out_range) json_object_set_new(root, "out_range", string(film->out_range));
    json_object_set_new(root, "preset", string(job->preset->name));
    json_object_set_new(root, "encoder", words(encoder));
    json_object_set_new(root, "changed", lines(film->mapping.changed, film->mapping.changed_count));
    json_object_set_new(root, "lost", lines(film->mapping.lost, film->mapping.lost_count));
    json_object_set_new(root, "luma", string(film->row.luma));
    json_object_set_new(root, "damage", string(film->errors ? film->first_error : ""));
    if (*film->answers_sha) {
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s.answers", name);
        json_t *answers = json_object();
        set_path(answers, "name", path);
        json_object_set_new(answers, "size", json_integer(film->answers_size));
        json_object_set_new(answers, "sha256", string(film->answers_sha));
        json_object_set_new(root, "answers", answers);
    }
    json_object_set_new(root, "device", string(film->device));
    json_object_set_new(root, "versions", json_pack("{s:s, s:s}", "colorize", CLZ_VERSION, "ffmpeg",
                                                    film->shelf->ffmpeg.version));

    json_object_set_new(run, "host", string(film->shelf->host));
    json_object_set_new(run, "date", json_string(date));
    json_object_set_new(run, "seconds", json_real(film->colouring));
    json_object_set_new(run, "frames", json_integer(film->in.count));
    if (film->job->answers) {
        json_object_set_new(run, "answers_from_file", json_integer(film->from_file));
        json_object_set_new(run, "answers_from_network", json_integer(film->from_network));
    }
    json_object_set_new(root, "run", run);
    return root;
}

// The frames are written by hand, a line each: [time in units of time_base, hash, hash, hash].
static int write_frames(FILE *file, const struct clzb_film *film)
{
    const struct clzb_frames *f = &film->out;

    fprintf(file, ",\n\"planes\": \"%s\",\n\"time_base\": [%d, %d],\n\"frames\": [",
            film->planes, f->tb_num, f->tb_den);
    for (int i = 0; i < f->count; i++)
        fprintf(file, "%s\n[%lld, \"%s\", \"%s\", \"%s\"]", i ? "," : "", (long long)f->frame[i].pts, f->frame[i].md5[0],
                f->frame[i].md5[1], f->frame[i].md5[2]);
    fprintf(file, "\n]\n}\n");
    return ferror(file) ? -EIO : 0;
}

int clzb_provenance_write(struct clzb_film *film)
{
    json_t *root = facts(film);
    char path[PATH_MAX], *head = root ? json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS) : NULL, *text = NULL;
    size_t size = 0, n = head ? strlen(head) : 0;
    FILE *file = head ? open_memstream(&text, &size) : NULL;
    int ret = file ? 0 : -ENOMEM;

    if (!ret) {
        while (n && head[n - 1] != '}') n--;
        if (n) n--;                         // the object goes on
        while (n && head[n - 1] == '\n') n--;
        fprintf(file, "%.*s", (int)n, head);
        ret = write_frames(file, film);
        if (fclose(file)) ret = -ENOMEM;
    }
    clzb_film_path(film, path, "side.json");
    if (!ret && (ret = clzi_file_replace(path, text, size, NULL)) < 0)
        clzb_film_fail(film, ret, "%s: %s.", path, strerror(-ret));
    free(text);
    free(head);
    json_decref(root);
    return ret;
}

// ---- reading ----

static json_t *load(const char *path)
{
    json_t *root = json_load_file(path, 0, NULL);

    if (!root) return NULL;
    if (json_is_integer(json_object_get(root, "colorize_batch"))) return root;
    json_decref(root);
    return NULL;
}

static void copy(char *to, size_t size, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    snprintf(to, size, "%s", text ? text : "");
}

static bool is_sha256(const char *text) { return strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64; }

int clzb_provenance_key(const char *path, struct clzb_row *row)
{
    json_t *root = load(path);
    const json_t *film = json_object_get(root, "film"), *run = json_object_get(root, "run");

    *row = (struct clzb_row){0};
    if (!root) return -ENOENT;
    copy(row->key, sizeof row->key, root, "key");
    copy(row->device, sizeof row->device, root, "device");
    copy(row->luma, sizeof row->luma, root, "luma");
    copy(row->sha256, sizeof row->sha256, film, "sha256");
    row->size = json_integer_value(json_object_get(film, "size"));
    row->frames = json_integer_value(json_object_get(run, "frames"));
    row->seconds = json_number_value(json_object_get(run, "seconds"));
    json_decref(root);
    return is_sha256(row->key) && is_sha256(row->sha256) ? 0 : -EBADMSG;
}

int clzb_provenance_answers(const char *path, char model[65])
{
    json_t *root = load(path);
    const bool there = json_is_object(json_object_get(root, "answers"));

    copy(model, 65, json_object_get(root, "model"), "sha256");
    json_decref(root);
    return there ? 0 : -ENOENT;
}

int clzb_provenance_read(struct clzb_provenance *p, const char *out, const struct clz_log *log)
{
    char path[PATH_MAX];
    json_t *root = snprintf(path, sizeof path, "%s.json", out) < PATH_MAX ? load(path) : NULL;
    const json_t *film = json_object_get(root, "film"), *frames = json_object_get(root, "frames");
    const json_t *base = json_object_get(root, "time_base");
    int ret = 0;

    *p = (struct clzb_provenance){0};
    if (!root) return clzi_fail(log, -ENOENT, "%s.json: there is no side-car of colorize-batch.", out);
    copy(p->sha256, sizeof p->sha256, film, "sha256");
    copy(p->pattern, sizeof p->pattern, film, "pattern");
    p->start = (int)json_integer_value(json_object_get(film, "first"));
    copy(p->planes, sizeof p->planes, root, "planes");
    p->frames.tb_num = (int)json_integer_value(json_array_get(base, 0));
    p->frames.tb_den = (int)json_integer_value(json_array_get(base, 1));
    p->frames.count = (int)json_array_size(frames);
    if (strcmp(p->planes, "y+u+v") && strcmp(p->planes, "r+g+b")) ret = -EBADMSG;
    if (p->frames.count && (p->frames.tb_num <= 0 || p->frames.tb_den <= 0)) ret = -EBADMSG;
    if (!ret && p->frames.count && !(p->frames.frame = calloc(p->frames.count, sizeof *p->frames.frame))) ret = -ENOMEM;
    for (int i = 0; i < p->frames.count && !ret; i++) {
        const json_t *row = json_array_get(frames, i);
        if (json_array_size(row) != 1 + CLZB_PLANES) ret = -EBADMSG;
        p->frames.frame[i].pts = json_integer_value(json_array_get(row, 0));
        for (int k = 0; k < CLZB_PLANES; k++) {
            const char *md5 = json_string_value(json_array_get(row, 1 + k));
            snprintf(p->frames.frame[i].md5[k], 33, "%s", md5 ? md5 : "");
        }
    }
    json_decref(root);
    if (ret == -EBADMSG) clzi_fail(log, ret, "%s.json: not a side-car that this version can read.", out);
    if (ret) clzb_provenance_clear(p);
    return ret;
}

void clzb_provenance_clear(struct clzb_provenance *p)
{
    clzb_frames_clear(&p->frames);
    *p = (struct clzb_provenance){0};
}
