// safetensors.c - reads safetensors headers. Source: README.md and the checks of the reference reader of safetensors.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "model_json.h"
#include "safetensors.h"

#define BAD(file, format, ...) clzi_fail((file)->log, -EBADMSG, "%s: " format, (file)->name, __VA_ARGS__)

int clzi_safetensors_header(const struct clzi_bytes *file, size_t most, int tensors, json_t **root, uint64_t *data)
{
    struct clzi_printable why;
    uint8_t head[9];
    uint64_t size;
    char *text;
    int ret;

    *root = NULL;
    if (file->size < sizeof head) return BAD(file, "has %" PRIu64 " bytes, too few for a model", file->size);
    if ((ret = clzi_bytes_read(file, 0, head, sizeof head)) < 0) return ret;
    size = clzi_u64le(head);
    if (size > most) return BAD(file, "header length is %" PRIu64 ", expected at most %zu: not a model?", size, most);
    if (size > file->size - 8)
        return BAD(file, "header length is %" PRIu64 ", but the file has %" PRIu64 " bytes: truncated?", size, file->size);
    if (head[8] != '{') return BAD(file, "the header does not begin with %s: not a safetensors file", "'{'");
    if (!(text = malloc(size))) return -ENOMEM;
    if ((ret = clzi_bytes_read(file, 8, text, size)) >= 0 &&
        (ret = clzi_json_parse(root, text, size, 2 + 3 * tensors, &why)) == -EBADMSG)
        BAD(file, "header: %s", why.text);
    free(text);
    *data = 8 + size;
    if (ret >= 0 && !json_is_object(*root)) ret = BAD(file, "the header should be %s", "an object");
    return ret;
}

static int read_place(const struct clzi_bytes *file, const char *name, const json_t *offsets, struct clzi_safetensors_entry *e)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);

    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end) || json_integer_value(begin) < 0 ||
        json_integer_value(end) < 0)
        return BAD(file, "tensor %s: \"data_offsets\" should be two integers, 0 or greater", clzi_printable(name).text);
    e->begin = (uint64_t)json_integer_value(begin);
    e->end = (uint64_t)json_integer_value(end);
    return 0;
}

int clzi_safetensors_entry(const struct clzi_bytes *file, const char *name, const json_t *json,
                           struct clzi_safetensors_entry *entry)
{
    const char *dtype = json_string_value(json_object_get(json, "dtype"));

    entry->dtype = dtype ? dtype : "missing";
    entry->shape = json_object_get(json, "shape");
    if (json_object_size(json) != 3 || !json_object_get(json, "dtype") || !entry->shape)
        return BAD(file, "tensor %s should have dtype, shape and data_offsets and nothing else", clzi_printable(name).text);
    return read_place(file, name, json_object_get(json, "data_offsets"), entry);
}

int clzi_safetensors_check_size(const struct clzi_bytes *file, const char *name, const struct clzi_safetensors_entry *entry,
                                uint64_t count, size_t size)
{
    if (entry->end >= entry->begin && entry->end - entry->begin == count * size) return 0;
    return BAD(file, "tensor %s: has bytes %" PRIu64 " to %" PRIu64 ", its shape and %s need %" PRIu64 " bytes",
               clzi_printable(name).text, entry->begin, entry->end, entry->dtype, count * size);
}

int clzi_safetensors_check_place(const struct clzi_bytes *file, const char *name, uint64_t begin, uint64_t end, uint64_t *at)
{
    if (begin != *at)
        return BAD(file, "tensor %s begins at %" PRIu64 ", expected %" PRIu64 ": a gap or an overlap", clzi_printable(name).text,
                   begin, *at);
    *at = end;
    return 0;
}

int clzi_safetensors_check_end(const struct clzi_bytes *file, uint64_t at, uint64_t data_size)
{
    if (at == data_size) return 0;
    return BAD(file, "has %" PRIu64 " bytes of data, the tensors need %" PRIu64 ": %s", data_size, at,
               data_size < at ? "truncated?" : "data after the last tensor");
}
