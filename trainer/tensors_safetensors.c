// tensors_safetensors.c - reads safetensors files of any origin. They have no sections.
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/model_json.h"
#include "engine/safetensors.h"
#include "tensors.h"

#define BAD(t, format, ...) clzi_fail((t)->bytes.log, -EBADMSG, "%s: " format, (t)->bytes.name, __VA_ARGS__)

bool clzt_safetensors_is(const uint8_t *head, size_t size)
{
    return size >= 9 && head[8] == '{' && !head[5] && !head[6] && !head[7];
}

static int read_shape(struct clzt_tensors *t, const json_t *shape, struct clzt_tensor *x, int64_t *count)
{
    bool good = json_is_array(shape) && json_array_size(shape) <= CLZT_MAX_RANK;

    x->rank = good ? (int)json_array_size(shape) : 0;
    *count = 1;
    for (int i = x->rank - 1; i >= 0 && good; i--) {
        const json_t *d = json_array_get(shape, (size_t)i);
        x->dims[i] = json_integer_value(d);
        x->strides[i] = *count;
        good = json_is_integer(d) && x->dims[i] >= 0 && !__builtin_mul_overflow(*count, x->dims[i], count) &&
               *count <= CLZT_MAX_ELEMENTS;
    }
    if (good) return 0;
    return BAD(t, "tensor %s: its shape should be at most %d integers from 0, their product at most %" PRId64,
               clzi_printable(x->name).text, CLZT_MAX_RANK, CLZT_MAX_ELEMENTS);
}

static int add_tensor(struct clzt_tensors *t, const char *name, const json_t *json, uint64_t data, uint64_t data_size)
{
    const int index = clzt_tensors_add(t), storage = index < 0 ? index : clzt_tensors_add_storage(t);
    struct clzi_safetensors_entry e;
    struct clzt_tensor *x;
    int64_t count;
    int ret;

    if (storage < 0) return storage;
    x = &t->tensors[index];
    if (strlen(name) >= sizeof x->name)
        return BAD(t, "tensor %s: a name of %zu bytes, at most %zu", clzi_printable(name).text, strlen(name), sizeof x->name - 1);
    strcpy(x->name, name);
    if ((ret = clzi_safetensors_entry(&t->bytes, name, json, &e)) < 0) return ret;
    for (x->number = clzt_numbers; x->number->name && strcmp(x->number->name, e.dtype);) x->number++;
    if (!x->number->name)
        return BAD(t, "tensor %s: dtype %s is not read", clzi_printable(name).text, clzi_printable(e.dtype).text);
    if ((ret = read_shape(t, e.shape, x, &count)) < 0 ||
        (ret = clzi_safetensors_check_size(&t->bytes, name, &e, (uint64_t)count, (size_t)x->number->size)) < 0)
        return ret;
    if (e.end > data_size)
        return BAD(t, "tensor %s: bytes %" PRIu64 " to %" PRIu64 " of %" PRIu64 ": truncated?", clzi_printable(name).text,
                   e.begin, e.end, data_size);
    x->storage = storage;
    t->storages[storage].at = data + e.begin;
    t->storages[storage].size = e.end - e.begin;
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct clzt_storage *x = *(struct clzt_storage *const *)a, *y = *(struct clzt_storage *const *)b;
    return x->at != y->at ? (x->at > y->at) - (x->at < y->at) : (x->size > y->size) - (x->size < y->size);
}

// Tensor i has storage i. Empty tensors sort before others of the same offset.
static int check_places(struct clzt_tensors *t, uint64_t data, uint64_t data_size)
{
    struct clzt_storage **sorted = malloc(((size_t)t->count + 1) * sizeof *sorted);
    uint64_t at = 0;
    int ret = sorted ? 0 : -ENOMEM;

    if (ret < 0) return ret;
    for (int i = 0; i < t->count; i++) sorted[i] = &t->storages[i];
    qsort(sorted, (size_t)t->count, sizeof *sorted, by_place);
    for (int i = 0; i < t->count && ret >= 0; i++) {
        const uint64_t begin = sorted[i]->at - data, end = begin + sorted[i]->size;
        ret = clzi_safetensors_check_place(&t->bytes, t->tensors[sorted[i] - t->storages].name, begin, end, &at);
    }
    free(sorted);
    return ret < 0 ? ret : clzi_safetensors_check_end(&t->bytes, at, data_size);
}

static int check_metadata(struct clzt_tensors *t, json_t *metadata)
{
    const char *key;
    json_t *value;

    json_object_foreach(metadata, key, value)
        if (!json_is_string(value)) return BAD(t, "metadata %s should be a string", clzi_printable(key).text);
    return json_is_object(metadata) ? 0 : BAD(t, "%s should be an object", "\"__metadata__\"");
}

int clzt_safetensors_open(struct clzt_tensors *t, const char *section)
{
    const char *name;
    json_t *root = NULL, *json;
    uint64_t data = 0;
    int ret = clzi_safetensors_header(&t->bytes, CLZT_MAX_DESCRIPTION, CLZT_MAX_TENSORS, &root, &data);

    if (ret >= 0 && section)
        ret = clzi_fail(t->bytes.log, -EINVAL, "section=%s: %s is a safetensors file, which has no sections", section,
                        t->bytes.name);
    if (ret >= 0 && !(t->section = strdup(""))) ret = -ENOMEM;
    if (ret >= 0)
        json_object_foreach(root, name, json) {
            ret = strcmp(name, "__metadata__") ? add_tensor(t, name, json, data, t->bytes.size - data) : check_metadata(t, json);
            if (ret < 0) break;
        }
    if (ret >= 0) ret = check_places(t, data, t->bytes.size - data);
    json_decref(root);
    return ret < 0 ? ret : 0;
}
