// model_write.c - writes model files.
//
// Weights of convolutions have the requested type. Vectors (biases, batch norm, running statistics) are f32: they are small, and
// a running variance may exceed the range of half precision. Vectors come first in the data, so that every element is aligned to
// its size; 8 + N is a multiple of 64.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic_file.h"
#include "f16.h"
#include "base/log.h"
#include "model_file.h"
#include "model_json.h"
#include "base/sha256.h"

enum { PIECE = 4096 };                      // elements encoded at a time

struct writer {
    const struct clzi_graph *graph;
    float *const *values;
    enum clzi_dtype dtype;
    const char *path;
    const struct clz_log *log;
    bool plain;                             // the parameters alone: no model, so neither format nor graph
};

static enum clzi_dtype dtype_of(const struct writer *w, const struct clzi_param *p)
{
    return p->rank == 1 ? CLZI_F32 : w->dtype;
}

static void encode(uint8_t *to, float x, enum clzi_dtype dtype)
{
    const uint32_t bits = dtype == CLZI_F16 ? clzi_f16_from_float(x) : dtype == CLZI_BF16 ? clzi_bf16_from_float(x)
                                                                                          : clzi_float_bits(x);
    for (size_t i = 0; i < clzi_dtypes[dtype].size; i++) to[i] = (uint8_t)(bits >> 8 * i);
}

// ---- the data in file order, into a hash or a file ----

typedef int sink(void *priv, const void *data, size_t size);

static int to_hash(void *priv, const void *data, size_t size)
{
    clzi_sha256_update(priv, data, size);
    return 0;
}

static int to_file(void *priv, const void *data, size_t size)
{
    return clzi_atomic_write(priv, data, size);
}

static int put_param(const struct writer *w, int param, sink *put, void *priv)
{
    const struct clzi_param *p = &w->graph->params[param];
    const enum clzi_dtype dtype = dtype_of(w, p);
    const int64_t count = clzi_param_count(p);
    uint8_t piece[PIECE * 4];
    int ret = 0;

    for (int64_t at = 0; at < count && ret >= 0; at += PIECE) {
        const int n = count - at < PIECE ? (int)(count - at) : PIECE;
        for (int i = 0; i < n; i++) encode(piece + (size_t)i * clzi_dtypes[dtype].size, w->values[param][at + i], dtype);
        ret = put(priv, piece, (size_t)n * clzi_dtypes[dtype].size);
    }
    return ret;
}

static int put_data(const struct writer *w, sink *put, void *priv)
{
    int ret = 0;

    for (int vectors = 1; vectors >= 0; vectors--)
        for (int i = 0; i < w->graph->param_count && ret >= 0; i++)
            if ((w->graph->params[i].rank == 1) == vectors) ret = put_param(w, i, put, priv);
    return ret;
}

// Why the reader would refuse this value (text for a message), or NULL.
static const char *refused(float x, enum clzi_dtype dtype, bool variance)
{
    if (!isfinite(x)) return "";
    if (variance && x < 0) return ", a negative variance";
    if (dtype == CLZI_F16 && !isfinite(clzi_f16_to_float(clzi_f16_from_float(x)))) return ", beyond the range of f16";
    if (dtype == CLZI_BF16 && !isfinite(clzi_bf16_to_float(clzi_bf16_from_float(x)))) return ", beyond the range of bf16";
    return NULL;
}

static int check_values(const struct writer *w)
{
    for (int k = 0; k < w->graph->param_count; k++) {
        const struct clzi_param *p = &w->graph->params[k];
        const bool variance = clzi_param_is_variance(p);
        for (int64_t i = 0; i < clzi_param_count(p); i++) {
            const char *why = refused(w->values[k][i], dtype_of(w, p), variance);
            if (why)
                return clzi_fail(w->log, -EDOM, "%s: not written: element %" PRId64 " of %s is %g%s", w->path, i, p->name,
                                 w->values[k][i], why);
        }
    }
    return 0;
}

// ---- header ----

static json_t *fact_to_json(const struct clzi_model_facts *facts, const struct clzi_fact *fact)
{
    const void *field = (const char *)facts + fact->offset;
    char number[16], *text;
    json_t *json;

    switch (fact->type) {
    case CLZI_FACT_TEXT: return json_string(fact->fallback && !*(const char *)field ? fact->fallback : field);
    case CLZI_FACT_INT:
        snprintf(number, sizeof number, "%d", *(const int *)field);
        return json_string(number);
    case CLZI_FACT_FLOAT: break;
    }
    text = clzi_number_to_text(*(const float *)field);
    json = text ? json_string(text) : NULL;
    free(text);
    return json;
}

static json_t *metadata(const struct writer *w, const struct clzi_model_facts *facts)
{
    json_t *m = json_object();
    int bad = json_object_set_new(m, "format", json_string("pt")) < 0;

    if (!w->plain) bad |= json_object_set_new(m, "colorize.format", json_string(CLZI_MODEL_FORMAT)) < 0;
    for (const struct clzi_fact *fact = clzi_facts; fact->key; fact++) {
        char key[64];
        if (fact->fallback && !*fact->fallback && !*((const char *)facts + fact->offset)) continue;     // what absence means
        snprintf(key, sizeof key, "colorize.%s", fact->key);
        bad |= json_object_set_new(m, key, fact_to_json(facts, fact)) < 0;
    }
    if (!w->plain) {
        char *graph = NULL;
        bad |= clzi_graph_to_json(w->graph, &graph) < 0 || json_object_set_new(m, "colorize.graph", json_string(graph)) < 0;
        free(graph);
    }
    if (!bad) return m;
    json_decref(m);
    return NULL;
}

static json_t *tensor(const struct writer *w, const struct clzi_param *p, int64_t *at)
{
    const enum clzi_dtype dtype = dtype_of(w, p);
    const int64_t end = *at + clzi_param_count(p) * (int64_t)clzi_dtypes[dtype].size;
    json_t *shape = json_array(), *t;

    for (int i = 0; i < p->rank; i++)
        if (json_array_append_new(shape, json_integer(p->dims[i])) < 0) {
            json_decref(shape);
            return NULL;
        }
    t = json_pack("{s:s, s:o, s:[I,I]}", "dtype", clzi_dtypes[dtype].name, "shape", shape, "data_offsets", (json_int_t)*at,
                  (json_int_t)end);
    *at = end;
    return t;
}

// The header with the length before it and its padding. NULL: out of memory, or a text in the facts is not UTF-8.
static char *header(const struct writer *w, const struct clzi_model_facts *facts, size_t *size)
{
    json_t *root = json_object();
    int bad = json_object_set_new(root, "__metadata__", metadata(w, facts)) < 0;
    char *json = NULL, *text = NULL;
    int64_t at = 0;

    for (int vectors = 1; vectors >= 0; vectors--)
        for (int i = 0; i < w->graph->param_count; i++)
            if ((w->graph->params[i].rank == 1) == vectors)
                bad |= json_object_set_new(root, w->graph->params[i].name, tensor(w, &w->graph->params[i], &at)) < 0;
    if (!bad) json = clzi_json_text(root, JSON_COMPACT);
    json_decref(root);
    if (json) {
        const size_t length = strlen(json), padded = (8 + length + 63) / 64 * 64;
        if ((text = malloc(padded))) {
            for (int i = 0; i < 8; i++) text[i] = (char)((padded - 8) >> 8 * i);
            memcpy(text + 8, json, length);
            memset(text + 8 + length, ' ', padded - 8 - length);
            *size = padded;
        }
    }
    free(json);
    return text;
}

// ---- the file ----

static int write_file(const struct writer *w, const char *head, size_t head_size)
{
    struct clzi_atomic_file file;
    int ret = clzi_atomic_open(&file, w->path);

    if (ret < 0) return ret;
    ret = to_file(&file, head, head_size);
    if (ret >= 0) ret = put_data(w, to_file, &file);
    return clzi_atomic_close(&file, ret);
}

static int write_model(const struct writer *w, const struct clzi_model_facts *facts)
{
    struct clzi_model_facts f = *facts;
    struct clzi_sha256 hash;
    char *head = NULL;
    size_t head_size = 0;
    int ret;

    if ((ret = clzi_facts_check(facts, w->graph, -EINVAL, w->path, w->log)) < 0 || (ret = check_values(w)) < 0) return ret;
    clzi_sha256_init(&hash);
    put_data(w, to_hash, &hash);
    clzi_sha256_hex(&hash, f.sha256);
    head = header(w, &f, &head_size);
    if (head_size > 8 + CLZI_MAX_HEADER) {
        free(head);
        return clzi_fail(w->log, -EINVAL, "%s: not written: the header has %zu bytes, expected at most %d", w->path,
                         head_size - 8, CLZI_MAX_HEADER);
    }
    if (!head)
        return clzi_fail(w->log, -ENOMEM, "%s: not written: out of memory, or a text in its metadata is not UTF-8", w->path);
    if ((ret = write_file(w, head, head_size)) < 0) clzi_fail(w->log, ret, "%s: not written: %s", w->path, strerror(-ret));
    free(head);
    return ret;
}

int clzi_model_write(const char *path, const struct clzi_graph *graph, float *const *values,
                     const struct clzi_model_facts *facts, enum clzi_dtype dtype, const struct clz_log *log)
{
    return write_model(&(struct writer){ graph, values, dtype, path, log, false }, facts);
}

int clzi_model_write_plain(const char *path, const struct clzi_graph *graph, float *const *values,
                           const struct clzi_model_facts *facts, enum clzi_dtype dtype, const struct clz_log *log)
{
    return write_model(&(struct writer){ graph, values, dtype, path, log, true }, facts);
}
