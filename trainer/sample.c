// sample.c - colours pictures through the library's own stream and writes them as PNG.
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "data.h"
#include "engine/model.h"
#include "sample.h"
#include "sheet.h"

// One of the settings, with a model of its own, whose temperature may have been changed.
struct setting { struct clz_model *model; struct clz_stream *stream; struct clz_controls controls; };

struct sampler {
    const struct clzt_sample_params *params;
    const struct clz_log *log;
    struct setting settings[CLZT_SAMPLE_SETTINGS];
    struct clzt_dataset *data;
    struct clzt_reader *reader;
    bool folder;                            // params->out is one
    size_t pixels;                          // room of the following
    uint8_t *planes, *rgb;                  // [3,h,w]; interleaved
    char **names;                           // of the files written so far
    int64_t name_count;
};

// ---- settings ----

static int set_temperature(struct clz_model *m, double temperature, const char *path, const struct clz_log *log)
{
    bool any = false;

    for (int i = 0; i < m->graph->node_count; i++) {
        struct clzi_node *node = &m->graph->nodes[i];
        if (node->op != CLZI_OP_ANNEALED_MEAN) continue;
        node->attr.scale = (float)(1 / temperature);
        any = true;
    }
    if (any) return 0;
    return clzi_fail(log, -EINVAL, "temperature: %s answers a*, b*, no classes of colour; expected no temperature.", path);
}

static int open_setting(struct sampler *s, int i)
{
    const struct clzt_sample_params *p = s->params;
    struct setting *t = &s->settings[i];
    struct clz_log log = *s->log;
    int ret = clzi_model_read(&t->model, p->model, s->log);

    if (ret >= 0 && p->temperature[i] > 0) ret = set_temperature(t->model, p->temperature[i], p->model, s->log);
    if (ret < 0) return ret;
    t->controls = (struct clz_controls)CLZ_CONTROLS_DEFAULT;
    t->controls.strength = (float)p->strength[i];
    t->controls.saturation = (float)p->saturation[i];
    if (i && log.level > CLZ_LOG_WARNING) log.level = CLZ_LOG_WARNING;      // the device is told once
    return clz_stream_open(&t->stream, t->model, &(struct clz_stream_params){
        .device = p->device, .threads = p->threads, .batch = 1, .size = p->size, .bars = "off", .log = log });
}

static void destroy(struct sampler *s)
{
    for (int i = 0; i < CLZT_SAMPLE_SETTINGS; i++) {
        clz_stream_close(&s->settings[i].stream);
        clz_model_close(&s->settings[i].model);
    }
    clzt_reader_destroy(&s->reader);
    clzt_dataset_close(&s->data);
    for (int64_t i = 0; i < s->name_count; i++) free(s->names[i]);
    free(s->names);
    free(s->planes);
    free(s->rgb);
}

// ---- names ----

// The name without folders and extension; NULL: out of memory.
static char *stem(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    return dot && dot > name ? strndup(name, (size_t)(dot - name)) : strdup(name);
}

static bool is_taken(const struct sampler *s, const char *name)
{
    for (int64_t i = 0; i < s->name_count; i++)
        if (!strcmp(s->names[i], name)) return true;
    return false;
}

// The file for a picture: OUT, or OUT/NAME.png, of a video OUT/NAME-FRAME.png; with -2, -3 where that is another picture's.
static const char *name_for(struct sampler *s, int64_t index)
{
    const struct clzt_place place = clzt_dataset_place(s->data, index);
    char *base = stem(place.path), *name = NULL, **more, frame[32] = "", number[32] = "";

    if (place.film) snprintf(frame, sizeof frame, "-%06" PRId64, place.frame);
    for (int n = 2; base; n++) {
        if (!s->folder) name = strdup(s->params->out);
        else if (asprintf(&name, "%s/%s%s%s.png", s->params->out, base, frame, number) < 0) name = NULL;
        if (!name || !is_taken(s, name)) break;
        free(name);
        snprintf(number, sizeof number, "-%d", n);
    }
    free(base);
    if (!name || !(more = realloc(s->names, (size_t)(s->name_count + 1) * sizeof *more))) {
        free(name);
        return NULL;
    }
    s->names = more;
    return s->names[s->name_count++] = name;
}

// ---- pictures ----

static int make_room(struct sampler *s, size_t pixels)
{
    if (pixels <= s->pixels) return 0;
    free(s->planes);
    free(s->rgb);
    s->planes = malloc(3 * pixels);
    s->rgb = malloc(3 * pixels);
    s->pixels = s->planes && s->rgb ? pixels : 0;
    return s->pixels ? 0 : -ENOMEM;
}

// Colours the picture into s->rgb.
static int colour(struct sampler *s, struct setting *t, const struct clzt_picture *p)
{
    const size_t pixels = (size_t)p->width * p->height;
    struct clz_frame in = { .format = clz_pixfmt_find("gbrp"), .width = p->width, .height = p->height,
                            .data = { (uint8_t *)p->g, (uint8_t *)p->b, (uint8_t *)p->r },
                            .stride = { p->width, p->width, p->width }, .range = CLZ_RANGE_FULL, .matrix = CLZ_MATRIX_601 };
    struct clz_frame out = in, done;
    int ret;

    for (int i = 0; i < 3; i++) out.data[i] = s->planes + i * pixels;
    ret = clz_stream_send(t->stream, &in, &out, &t->controls);
    if (ret >= 0) ret = clz_stream_drain(t->stream);
    if (ret >= 0) ret = clz_stream_receive(t->stream, &done, 1);
    for (size_t i = 0; i < pixels && ret >= 0; i++)
        for (int c = 0; c < 3; c++) s->rgb[3 * i + (c + 1) % 3] = s->planes[c * pixels + i];     // G, B, R to 1, 2, 0
    return ret;
}

static int write_row(struct sampler *s, const struct clzt_picture *p, const char *path)
{
    struct clzt_sheet *sheet = NULL;
    struct setting grey = s->settings[0];
    int ret = clzt_sheet_create(&sheet, s->params->settings + 1, 1, p->width, p->height);

    grey.controls.strength = 0;
    for (int i = -1; i < s->params->settings && ret >= 0; i++)
        if ((ret = colour(s, i < 0 ? &grey : &s->settings[i], p)) >= 0) clzt_sheet_put(sheet, i + 1, 0, s->rgb);
    if (ret >= 0) ret = clzt_sheet_write(sheet, path, s->log);
    clzt_sheet_destroy(&sheet);
    return ret;
}

static int sample_picture(struct sampler *s, int64_t index)
{
    struct clzt_picture p;
    const char *path;
    int ret = clzt_reader_try(s->reader, index, &p);

    if (ret < 0) return ret;
    if (p.width > CLZ_MAX_SIZE || p.height > CLZ_MAX_SIZE)
        return clzi_fail(s->log, -EINVAL, "%s: %dx%d pixels; expected at most %d in width and height.",
                         clzt_dataset_place(s->data, index).path, p.width, p.height, CLZ_MAX_SIZE);
    if (!(path = name_for(s, index)) || make_room(s, (size_t)p.width * p.height) < 0) return -ENOMEM;
    if (s->params->settings > 1) return write_row(s, &p, path);
    ret = colour(s, &s->settings[0], &p);
    return ret < 0 ? ret : clzt_png_write(path, s->rgb, p.width, p.height, (ptrdiff_t)3 * p.width, s->log);
}

// ---- all ----

static bool is_folder(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

static int open_out(struct sampler *s)
{
    const char *out = s->params->out;

    s->folder = clzt_dataset_count(s->data) > 1 || is_folder(s->params->in) || is_folder(out);
    if (s->folder && !is_folder(out) && mkdir(out, 0777) < 0)
        return clzi_fail(s->log, -errno, "%s: the folder cannot be created: %s.", out, strerror(errno));
    return 0;
}

static int sample_all(struct sampler *s)
{
    const int64_t count = clzt_dataset_count(s->data), wanted = s->params->pictures;
    const int64_t n = wanted > 0 && wanted < count ? wanted : count;
    int64_t written = 0;
    int ret = 0;

    for (int64_t i = 0; i < n && ret >= 0; i++) {
        if (s->params->stop && *s->params->stop) return -ESHUTDOWN;
        ret = sample_picture(s, (2 * i + 1) * count / (2 * n));         // the centres of n equal parts
        if (ret == -EIO && n > 1) ret = 0;  // one that cannot be decoded, which was logged
        else written += ret >= 0;
    }
    if (ret >= 0)
        clzi_log(s->log, CLZ_LOG_INFO, "%s: %" PRId64 " of %" PRId64 " pictures written%s", s->params->out, written, n,
                 s->params->settings > 1 ? ", each as a row: grey, then the settings in their order" : "");
    return ret;
}

int clzt_sample(const struct clzt_sample_params *params, const struct clz_log *log)
{
    struct sampler s = { .params = params, .log = log };
    int ret = clzt_dataset_open(&s.data, &(struct clzt_dataset_params){ .paths = &params->in, .path_count = 1, .log = *log });

    for (int i = 0; i < params->settings && ret >= 0; i++) ret = open_setting(&s, i);
    if (ret >= 0) ret = open_out(&s);
    if (ret >= 0) ret = clzt_reader_create(&s.reader, s.data);
    if (ret >= 0) ret = sample_all(&s);
    destroy(&s);
    return ret;
}
