// model.c - reads model files. A model.bin is a safetensors file (doc/model.md): u64 N, little endian; N bytes of JSON; data. The
// JSON gives the type, shape and offsets of each tensor, and metadata, which are strings: the graph and the model's facts.
//
// The file is not trusted. The header is checked, and the tensors are compared with the parameters of the graph, before memory is
// allocated whose size depends on the file. The tensors must fill the data to the last byte (no holes, no overlaps, nothing after
// them), match the SHA-256 in the metadata, and contain no NaN or infinity. The file is read with pread into own memory: if a
// mapped file is truncated, the host program gets a SIGBUS.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "f16.h"
#include "base/log.h"
#include "classes.h"
#include "model_file.h"
#include "model_json.h"
#include "safetensors.h"
#include "base/sha256.h"

enum {
    MAX_INFO     = 64 << 10,                // bytes of a metadata value other than the graph
    MAX_INFOS    = 256,
    CHUNK        = 64 << 10,                // bytes of data that are read at a time
};
#define MAX_DATA (UINT64_C(2) << 30)

// ---- the facts in the metadata: the table for reader and writer ----

#define TEXT(field)           { #field, CLZI_FACT_TEXT, offsetof(struct clzi_model_facts, field), \
                                sizeof ((struct clzi_model_facts *)0)->field, 0, 0, NULL }
#define TEXT_OR(field, text)  { #field, CLZI_FACT_TEXT, offsetof(struct clzi_model_facts, field), \
                                sizeof ((struct clzi_model_facts *)0)->field, 0, 0, text }
#define INT(field, low, high) { #field, CLZI_FACT_INT, offsetof(struct clzi_model_facts, field), sizeof(int), low, high, NULL }
#define FLOAT(field, low, high) { #field, CLZI_FACT_FLOAT, offsetof(struct clzi_model_facts, field), sizeof(float), low, high, \
                                  NULL }

const struct clzi_fact clzi_facts[] = {
    TEXT(arch), INT(size, 32, 2048), TEXT_OR(shape, "frame"), INT(stride, 1, 1024), TEXT(input),
    FLOAT(l_scale, 1, 1000), FLOAT(l_offset, -1000, 1000), FLOAT(ab_scale, 1, 1000),
    TEXT(train), TEXT(license), TEXT_OR(classes, ""), TEXT(sha256), { NULL, CLZI_FACT_INT, 0, 0, 0, 0, NULL }
};

const struct clzi_dtype_info clzi_dtypes[] = {
    [CLZI_F32] = { "F32", 4 }, [CLZI_F16] = { "F16", 2 }, [CLZI_BF16] = { "BF16", 2 },
};
enum { DTYPES = sizeof clzi_dtypes / sizeof *clzi_dtypes };

// ---- header ----

// Recognises files of other kinds by their first bytes, to name them in the message.
static int check_kind(const struct clzi_bytes *s, const uint8_t *head)
{
    static const struct { const char *magic; int at, size; const char *what; } kinds[] = {
        { "PK\3\4", 0, 4, "a ZIP file, perhaps a PyTorch .pth" },
        { "\x80\2", 0, 2, "a Python pickle, perhaps an old PyTorch .pth" },
        { "GGUF", 0, 4, "a GGUF file" }, { "\x89HDF", 0, 4, "an HDF5 file" }, { "\x1f\x8b", 0, 2, "a gzip file" },
        { "\x89PNG", 0, 4, "a PNG picture" }, { "\xff\xd8\xff", 0, 3, "a JPEG picture" }, { "ftyp", 4, 4, "an MP4 film" },
        { "\x1a\x45\xdf\xa3", 0, 4, "a Matroska film" },
    };

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!memcmp(head + kinds[i].at, kinds[i].magic, kinds[i].size))
            return clzi_fail(s->log, -EBADMSG, "%s: is %s, expected a colorize model (safetensors)", s->name, kinds[i].what);
    return 0;
}

static int read_header(const struct clzi_bytes *s, json_t **root, uint64_t *data)
{
    uint8_t head[9];
    int ret;

    *root = NULL;
    if (s->size >= sizeof head &&
        ((ret = clzi_bytes_read(s, 0, head, sizeof head)) < 0 || (ret = check_kind(s, head)) < 0)) return ret;
    return clzi_safetensors_header(s, CLZI_MAX_HEADER, CLZI_MAX_PARAMS, root, data);
}

// ---- metadata ----

static int add_info(struct clz_model *m, const char *key, const char *value)
{
    struct clzi_model_info *info = &m->info[m->info_count];

    info->key = strdup(key);
    info->value = strdup(value);
    m->info_count++;
    return info->key && info->value ? 0 : -ENOMEM;
}

static int read_info(const struct clzi_bytes *s, struct clz_model *m, json_t *metadata)
{
    static const char prefix[] = "colorize.";
    const char *key, *text;
    json_t *value;
    int ret = 0;

    if (!json_is_object(metadata))
        return clzi_fail(s->log, -EBADMSG, "%s: has no \"__metadata__\": not a colorize model", s->name);
    if (json_object_size(metadata) > MAX_INFOS)
        return clzi_fail(s->log, -EBADMSG, "%s: has %zu entries of metadata, expected at most %d", s->name,
                         json_object_size(metadata), MAX_INFOS);
    if (!(m->info = calloc(json_object_size(metadata) + 1, sizeof *m->info))) return -ENOMEM;
    json_object_foreach(metadata, key, value) {
        if (!(text = json_string_value(value)))
            return clzi_fail(s->log, -EBADMSG, "%s: metadata %s should be a string", s->name, clzi_printable(key).text);
        if (json_string_length(value) > MAX_INFO && strcmp(key, "colorize.graph"))
            return clzi_fail(s->log, -EBADMSG, "%s: metadata %s has %zu bytes, expected at most %d", s->name,
                             clzi_printable(key).text, json_string_length(value), MAX_INFO);
        if (!strncmp(key, prefix, sizeof prefix - 1) && (ret = add_info(m, key + sizeof prefix - 1, text)) < 0) return ret;
    }
    if (!(text = clz_model_info(m, "format")))
        return clzi_fail(s->log, -EBADMSG, "%s: has no metadata colorize.format: not a colorize model", s->name);
    if (strcmp(text, CLZI_MODEL_FORMAT))
        return clzi_fail(s->log, -EBADMSG, "%s: colorize.format is %s, this version reads " CLZI_MODEL_FORMAT, s->name,
                         clzi_printable(text).text);
    return 0;
}

static int read_fact(const struct clzi_bytes *s, struct clz_model *m, const struct clzi_fact *fact)
{
    const char *given = clz_model_info(m, fact->key), *text = given ? given : fact->fallback;
    void *field = (char *)&m->facts + fact->offset;
    double x;

    if (!text) return clzi_fail(s->log, -EBADMSG, "%s: has no metadata colorize.%s", s->name, fact->key);
    if (fact->type == CLZI_FACT_TEXT) {
        if (strlen(text) >= fact->size)
            return clzi_fail(s->log, -EBADMSG, "%s: colorize.%s has %zu bytes, expected at most %zu", s->name, fact->key,
                             strlen(text), fact->size - 1);
        strcpy(field, text);
        return 0;
    }
    if (clzi_number_from_text(text, fact->type == CLZI_FACT_INT, &x) < 0 || !(x >= fact->min && x <= fact->max))
        return clzi_fail(s->log, -EBADMSG, "%s: colorize.%s is %s, expected %s from %g to %g", s->name, fact->key,
                         clzi_printable(text).text, fact->type == CLZI_FACT_INT ? "an integer" : "a number", fact->min,
                         fact->max);
    if (fact->type == CLZI_FACT_INT) *(int *)field = (int)x;
    else *(float *)field = (float)x;
    return 0;
}

static double number_of(const struct clzi_model_facts *facts, const struct clzi_fact *fact)
{
    const void *field = (const char *)facts + fact->offset;
    return fact->type == CLZI_FACT_INT ? (double)*(const int *)field : (double)*(const float *)field;
}

int clzi_facts_check(const struct clzi_model_facts *f, const struct clzi_graph *graph, int code, const char *name,
                     const struct clz_log *log)
{
    const int stride = clzi_graph_stride(graph), port = clzi_classes_port(graph);
    const int names = clzi_classes_count(f->classes);
    const int classes = port < 0 ? 0 : clzi_graph_channels(graph, graph->in[port].node);

    if (names < 0)
        return clzi_fail(log, code, "%s: colorize.classes is %s, expected up to %d different names with commas between them",
                         name, clzi_printable(f->classes).text, CLZI_MAX_CLASSES);
    for (const struct clzi_fact *fact = clzi_facts; fact->key; fact++)
        if (fact->type != CLZI_FACT_TEXT && !(number_of(f, fact) >= fact->min && number_of(f, fact) <= fact->max))
            return clzi_fail(log, code, "%s: colorize.%s is %g, expected %g to %g", name, fact->key, number_of(f, fact),
                             fact->min, fact->max);
    if (strcmp(f->input, "luma") && strcmp(f->input, "lstar"))
        return clzi_fail(log, code, "%s: colorize.input is %s, expected luma or lstar", name, clzi_printable(f->input).text);
    if (*f->shape && strcmp(f->shape, "frame") && strcmp(f->shape, "square"))
        return clzi_fail(log, code, "%s: colorize.shape is %s, expected frame or square", name, clzi_printable(f->shape).text);
    if (classes != names)
        return clzi_fail(log, code, "%s: colorize.classes has %d names, the graph's input \"class\" %d", name, names, classes);
    if (stride == -ENOMEM) return stride;
    if (stride < 0) return clzi_fail(log, code, "%s: the graph changes the size of a picture more than 4096 times", name);
    if (f->stride % stride)
        return clzi_fail(log, code, "%s: colorize.stride is %d, the graph needs a multiple of %d", name, f->stride, stride);
    return 0;
}

static int read_facts(const struct clzi_bytes *s, struct clz_model *m)
{
    int ret;

    for (const struct clzi_fact *fact = clzi_facts; fact->key; fact++)
        if ((ret = read_fact(s, m, fact)) < 0) return ret;
    if (strspn(m->facts.sha256, "0123456789abcdef") != 64)
        return clzi_fail(s->log, -EBADMSG, "%s: colorize.sha256 is not 64 hexadecimal digits", s->name);
    return clzi_facts_check(&m->facts, m->graph, -EBADMSG, s->name, s->log);
}

// ---- tensors ----

struct tensor {
    const struct clzi_param *param;         // NULL: not in the file
    float *values;
    enum clzi_dtype dtype;
    uint64_t begin, end;                    // bytes of the data
};

static int read_shape(const struct clzi_bytes *s, const json_t *shape, const struct clzi_param *p)
{
    char want[64] = "", have[128] = "";
    bool same = json_is_array(shape) && json_array_size(shape) == (size_t)p->rank;

    for (int i = 0; i < p->rank; i++) {
        const json_t *d = json_array_get(shape, (size_t)i);
        same = same && json_is_integer(d) && json_integer_value(d) == p->dims[i];
        snprintf(want + strlen(want), sizeof want - strlen(want), "%s%d", i ? "x" : "", p->dims[i]);
    }
    if (same) return 0;
    for (size_t i = 0; i < json_array_size(shape) && i < 8; i++)
        snprintf(have + strlen(have), sizeof have - strlen(have), "%s%" JSON_INTEGER_FORMAT, i ? "x" : "",
                 json_integer_value(json_array_get(shape, i)));
    return clzi_fail(s->log, -EBADMSG, "%s: tensor %s: the file has %s, the graph needs %s", s->name, p->name,
                     *have ? have : "no shape", want);
}

static int read_tensor(const struct clzi_bytes *s, const json_t *json, const struct clzi_param *p, struct tensor *t)
{
    struct clzi_safetensors_entry e;
    int ret, type = 0;

    if ((ret = clzi_safetensors_entry(s, p->name, json, &e)) < 0) return ret;
    while (type < DTYPES && strcmp(clzi_dtypes[type].name, e.dtype)) type++;
    if (type == DTYPES)
        return clzi_fail(s->log, -EBADMSG, "%s: tensor %s: dtype is %s, expected F32, F16 or BF16", s->name, p->name,
                         clzi_printable(e.dtype).text);
    if ((ret = read_shape(s, e.shape, p)) < 0) return ret;
    t->param = p;
    t->dtype = (enum clzi_dtype)type;
    t->begin = e.begin;
    t->end = e.end;
    return clzi_safetensors_check_size(s, p->name, &e, (uint64_t)clzi_param_count(p), clzi_dtypes[type].size);
}

static int by_offset(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

// Checks the tensors of the file against the parameters of the graph: the same names and no others, with contiguous data.
static int read_tensors(const struct clzi_bytes *s, const json_t *root, const struct clzi_graph *g, uint64_t data_size,
                        struct tensor *tensors)
{
    uint64_t at = 0, need = 0;
    const char *name;
    json_t *value;
    int ret;

    for (int i = 0; i < g->param_count; i++) {
        const struct clzi_param *p = &g->params[i];
        const json_t *json = json_object_get(root, p->name);
        if (!json) return clzi_fail(s->log, -EBADMSG, "%s: has no tensor %s, which the graph needs", s->name, p->name);
        if ((ret = read_tensor(s, json, p, &tensors[i])) < 0) return ret;
        need += (uint64_t)clzi_param_count(p) * sizeof(float);
        if (need > MAX_DATA)
            return clzi_fail(s->log, -EBADMSG, "%s: the graph has more than %" PRIu64 " bytes of parameters", s->name, MAX_DATA);
    }
    if (json_object_size(root) != (size_t)g->param_count + 1)
        json_object_foreach((json_t *)root, name, value) {
            int i = 0;
            while (i < g->param_count && strcmp(g->params[i].name, name)) i++;
            if (i == g->param_count && strcmp(name, "__metadata__"))
                return clzi_fail(s->log, -EBADMSG, "%s: tensor %s is no parameter of the graph", s->name,
                                 clzi_printable(name).text);
        }
    qsort(tensors, (size_t)g->param_count, sizeof *tensors, by_offset);
    for (int i = 0; i < g->param_count; i++) {
        const struct tensor *t = &tensors[i];
        if ((ret = clzi_safetensors_check_place(s, t->param->name, t->begin, t->end, &at)) < 0) return ret;
    }
    return clzi_safetensors_check_end(s, at, data_size);
}

// ---- data ----

static float decode(const uint8_t *p, enum clzi_dtype dtype)
{
    const uint16_t half = (uint16_t)(p[0] | p[1] << 8);

    switch (dtype) {
    case CLZI_F16:  return clzi_f16_to_float(half);
    case CLZI_BF16: return clzi_bf16_to_float(half);
    case CLZI_F32:  break;
    }
    return clzi_bits_float(half | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24);
}

bool clzi_param_is_variance(const struct clzi_param *p)
{
    static const char suffix[] = ".running_var";
    const size_t length = strlen(p->name), size = sizeof suffix - 1;

    return p->buffer && length > size && !strcmp(p->name + length - size, suffix);
}

static int read_values(const struct clzi_bytes *s, uint64_t data, const struct tensor *t, struct clzi_sha256 *hash,
                       uint8_t *chunk)
{
    const size_t size = clzi_dtypes[t->dtype].size;
    const bool variance = clzi_param_is_variance(t->param);
    float *to = t->values;
    int ret;

    for (uint64_t at = t->begin; at < t->end;) {
        const size_t n = t->end - at < CHUNK ? (size_t)(t->end - at) : CHUNK;
        if ((ret = clzi_bytes_read(s, data + at, chunk, n)) < 0) return ret;
        clzi_sha256_update(hash, chunk, n);
        for (size_t i = 0; i < n; i += size, to++) {
            *to = decode(chunk + i, t->dtype);
            if (!isfinite(*to) || (variance && *to < 0))
                return clzi_fail(s->log, -EBADMSG, "%s: tensor %s: element %td is %g, expected %s", s->name, t->param->name,
                                 to - t->values, *to, variance ? "0 or greater" : "a finite number");
        }
        at += n;
    }
    return 0;
}

static int read_data(const struct clzi_bytes *s, struct clz_model *m, uint64_t data, struct tensor *tensors)
{
    const struct clzi_graph *g = m->graph;
    struct clzi_sha256 hash;
    uint8_t *chunk;
    char hex[65];
    int ret = 0;

    if (!(m->values = calloc((size_t)g->param_count + 1, sizeof *m->values))) return -ENOMEM;
    if (!(chunk = malloc(CHUNK))) return -ENOMEM;
    clzi_sha256_init(&hash);
    for (int i = 0; i < g->param_count && ret >= 0; i++) {
        struct tensor *t = &tensors[i];
        t->values = m->values[t->param - g->params] = malloc((size_t)clzi_param_count(t->param) * sizeof(float));
        ret = t->values ? read_values(s, data, t, &hash, chunk) : -ENOMEM;
    }
    free(chunk);
    if (ret < 0) return ret;
    clzi_sha256_hex(&hash, hex);
    if (strcmp(hex, m->facts.sha256))
        return clzi_fail(s->log, -EBADMSG, "%s: the data is damaged: its SHA-256 is %s, the header has %s", s->name, hex,
                         m->facts.sha256);
    return 0;
}

// ---- model ----

static int read_model(struct clz_model **out, const struct clzi_bytes *s)
{
    struct clz_model *m = calloc(1, sizeof *m);
    struct tensor *tensors = NULL;
    json_t *root = NULL;
    const char *text;
    uint64_t data = 0;
    int ret = -ENOMEM;

    *out = NULL;
    if (!m || !(m->path = strdup(s->name))) goto fail;
    atomic_init(&m->references, 1);
    if ((ret = read_header(s, &root, &data)) < 0) goto fail;
    if ((ret = read_info(s, m, json_object_get(root, "__metadata__"))) < 0) goto fail;
    if (!(text = clz_model_info(m, "graph"))) {
        ret = clzi_fail(s->log, -EBADMSG, "%s: has no metadata colorize.graph", s->name);
        goto fail;
    }
    if ((ret = clzi_graph_from_json(&m->graph, text, strlen(text), s->name, s->log)) < 0 || (ret = read_facts(s, m)) < 0)
        goto fail;
    ret = -ENOMEM;
    if (!(tensors = calloc((size_t)m->graph->param_count + 1, sizeof *tensors))) goto fail;
    if ((ret = read_tensors(s, root, m->graph, s->size - data, tensors)) < 0) goto fail;
    ret = read_data(s, m, data, tensors);
fail:
    json_decref(root);
    free(tensors);
    if (ret < 0) clzi_model_destroy(&m);
    *out = m;
    return ret;
}

void clzi_model_destroy(struct clz_model **model)
{
    struct clz_model *m = *model;

    *model = NULL;
    if (!m) return;
    for (int i = 0; m->values && i < m->graph->param_count; i++) free(m->values[i]);
    for (int i = 0; i < m->info_count; i++) {
        free(m->info[i].key);
        free(m->info[i].value);
    }
    free(m->values);
    free(m->info);
    free(m->path);
    clzi_model_colours_destroy(m);
    clzi_graph_destroy(&m->graph);
    free(m);
}

int clzi_model_open_file(const char *path, struct stat *file, const struct clz_log *log)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);   // without it, open() of a FIFO waits for a writer
    int ret = 0;

    if (fd < 0) return clzi_fail(log, -errno, "%s: %s", path, strerror(errno));
    if (fstat(fd, file) < 0) ret = clzi_fail(log, -errno, "%s: %s", path, strerror(errno));
    else if (S_ISDIR(file->st_mode)) ret = clzi_fail(log, -EISDIR, "%s: is a folder, expected a model file", path);
    else if (!S_ISREG(file->st_mode)) ret = clzi_fail(log, -EINVAL, "%s: is not a regular file, expected a model file", path);
    if (ret >= 0) return fd;
    close(fd);
    return ret;
}

int clzi_model_read_fd(struct clz_model **model, int fd, const struct stat *file, const char *path, const struct clz_log *log)
{
    return read_model(model, &(struct clzi_bytes){ fd, NULL, (uint64_t)file->st_size, path, log });
}

int clzi_model_read(struct clz_model **model, const char *path, const struct clz_log *log)
{
    struct stat file;
    const int fd = clzi_model_open_file(path, &file, log);
    int ret;

    *model = NULL;
    if (fd < 0) return fd;
    ret = clzi_model_read_fd(model, fd, &file, path, log);
    close(fd);
    return ret;
}

int clzi_model_parse(struct clz_model **model, const void *data, size_t size, const char *name, const struct clz_log *log)
{
    return read_model(model, &(struct clzi_bytes){ -1, data, size, name, log });
}
