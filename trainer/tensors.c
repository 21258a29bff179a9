// tensors.c - files of named tensors: recognises the format, checks that all data lies within the file, reads numbers.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libavutil/crc.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/f16.h"
#include "base/log.h"
#include "engine/model.h"
#include "engine/model_json.h"
#include "pth.h"
#include "tensors.h"

enum { CHUNK = 64 << 10 };                  // bytes that are read at a time

#define BAD(t, format, ...) clzi_fail((t)->bytes.log, -EBADMSG, "%s: " format, (t)->bytes.name, __VA_ARGS__)

// ---- types of numbers ----

static float from_f32(const uint8_t *p) { return clzi_bits_float(clzi_u32le(p)); }
static float from_f16(const uint8_t *p) { return clzi_f16_to_float(clzi_u16le(p)); }
static float from_bf16(const uint8_t *p) { return clzi_bf16_to_float(clzi_u16le(p)); }
static float from_i64(const uint8_t *p) { return (float)(int64_t)clzi_u64le(p); }
static float from_i32(const uint8_t *p) { return (float)(int32_t)clzi_u32le(p); }
static float from_i16(const uint8_t *p) { return (int16_t)clzi_u16le(p); }
static float from_i8(const uint8_t *p) { return (int8_t)*p; }
static float from_u8(const uint8_t *p) { return *p; }
static float from_bool(const uint8_t *p) { return *p != 0; }

static float from_f64(const uint8_t *p)
{
    const uint64_t bits = clzi_u64le(p);
    double x;

    memcpy(&x, &bits, sizeof x);
    return (float)x;
}

const struct clzt_number clzt_numbers[] = {
    { "F32", "FloatStorage",  4, from_f32 }, { "F16", "HalfStorage",  2, from_f16 }, { "BF16", "BFloat16Storage", 2, from_bf16 },
    { "F64", "DoubleStorage", 8, from_f64 }, { "I64", "LongStorage",  8, from_i64 }, { "I32",  "IntStorage",      4, from_i32 },
    { "I16", "ShortStorage",  2, from_i16 }, { "I8",  "CharStorage",  1, from_i8 },  { "U8",   "ByteStorage",     1, from_u8 },
    { "BOOL", "BoolStorage",  1, from_bool }, { NULL, NULL, 0, NULL },
};

uint32_t clzt_crc32(uint32_t crc, const void *data, size_t size)
{
    return size ? ~av_crc(av_crc_get_table(AV_CRC_32_IEEE_LE), ~crc, data, size) : crc;
}

// ---- the lists ----

static int add(void *array, int *count, size_t size)
{
    void **p = array;

    if (!(*count & (*count - 1))) {         // room is the next power of two
        void *larger = realloc(*p, (size_t)(*count ? *count * 2 : 1) * size);
        if (!larger) return -ENOMEM;
        *p = larger;
    }
    memset((char *)*p + (size_t)*count * size, 0, size);
    return (*count)++;
}

int clzt_tensors_add(struct clzt_tensors *t)
{
    if (t->count == CLZT_MAX_TENSORS) return BAD(t, "more than %d tensors", CLZT_MAX_TENSORS);
    return add(&t->tensors, &t->count, sizeof *t->tensors);
}

int clzt_tensors_add_storage(struct clzt_tensors *t)
{
    return add(&t->storages, &t->storage_count, sizeof *t->storages);
}

int64_t clzt_tensor_count(const struct clzt_tensor *tensor)
{
    int64_t count = 1;

    for (int i = 0; i < tensor->rank; i++) count *= tensor->dims[i];
    return count;
}

struct clzt_shape_text clzt_tensor_shape(const struct clzt_tensor *tensor)
{
    struct clzt_shape_text s = { "" };

    for (int i = 0; i < tensor->rank; i++)
        snprintf(s.text + strlen(s.text), sizeof s.text - strlen(s.text), "%s%" PRId64, i ? "x" : "", tensor->dims[i]);
    return s;
}

const struct clzt_tensor *clzt_tensors_find(const struct clzt_tensors *t, const char *name)
{
    for (int i = 0; i < t->count; i++)
        if (!strcmp(t->tensors[i].name, name)) return &t->tensors[i];
    return NULL;
}

// ---- bounds ----

// Elements of the storage that the tensor needs, counted from the storage's begin; -1: negative numbers or an overflow.
static int64_t reach(const struct clzt_tensor *x)
{
    int64_t count = 1, last = x->offset, step;

    for (int i = 0; i < x->rank; i++) {
        if (x->dims[i] < 0 || x->strides[i] < 0 || __builtin_mul_overflow(count, x->dims[i], &count) || count > CLZT_MAX_ELEMENTS)
            return -1;
        if (!x->dims[i]) continue;
        if (__builtin_mul_overflow(x->dims[i] - 1, x->strides[i], &step) || __builtin_add_overflow(last, step, &last)) return -1;
    }
    return x->offset < 0 || last == INT64_MAX ? -1 : count ? last + 1 : 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_names(struct clzt_tensors *t)
{
    const char **names = malloc(((size_t)t->count + 1) * sizeof *names);
    int ret = 0;

    if (!names) return -ENOMEM;
    for (int i = 0; i < t->count; i++) names[i] = t->tensors[i].name;
    qsort(names, (size_t)t->count, sizeof *names, by_name);
    for (int i = 1; i < t->count && ret >= 0; i++)
        if (!strcmp(names[i - 1], names[i])) ret = BAD(t, "two tensors are named %s", clzi_printable(names[i]).text);
    free(names);
    return ret;
}

static int check(struct clzt_tensors *t)
{
    for (int i = 0; i < t->storage_count; i++)
        if (t->storages[i].at > t->bytes.size || t->storages[i].size > t->bytes.size - t->storages[i].at)
            return BAD(t, "a storage of %" PRIu64 " bytes at byte %" PRIu64 ", the file has %" PRIu64, t->storages[i].size,
                       t->storages[i].at, t->bytes.size);
    for (int i = 0; i < t->count; i++) {
        const struct clzt_tensor *x = &t->tensors[i];
        const uint64_t room = t->storages[x->storage].size / (uint64_t)x->number->size;
        const int64_t need = reach(x);
        if (need < 0)
            return BAD(t, "tensor %s: sizes %s with their strides, from element %" PRId64 ", are negative or too large",
                       clzi_printable(x->name).text, clzt_tensor_shape(x).text, x->offset);
        if ((uint64_t)need > room)
            return BAD(t, "tensor %s: reaches element %" PRId64 " of a storage of %" PRIu64, clzi_printable(x->name).text,
                       need - 1, room);
    }
    return check_names(t);
}

// ---- opening ----

static bool is_tar(const uint8_t *head, size_t size) { return size >= 262 && !memcmp(head + 257, "ustar", 5); }
static bool is_zero(const uint8_t *head, size_t size)
{
    (void)head;
    return !size;
}

static int refuse(struct clzt_tensors *t, const char *section)
{
    (void)section;
    return BAD(t, "is %s", t->format);
}

static const struct format {
    const char *name;
    bool (*is)(const uint8_t *head, size_t size);
    int (*open)(struct clzt_tensors *tensors, const char *section);
} formats[] = {
    { "a PyTorch checkpoint (legacy form)", clzt_pth_is_legacy, clzt_pth_open_legacy },
    { "a PyTorch checkpoint (zip form)", clzt_pth_is_zip, clzt_pth_open_zip },
    { "a safetensors file", clzt_safetensors_is, clzt_safetensors_open },
    { "a tar archive, perhaps a PyTorch checkpoint of 2016: load it in PyTorch and save it with torch.save()", is_tar, refuse },
    { "empty", is_zero, refuse },
};

static int open_any(struct clzt_tensors *t, const char *section)
{
    uint8_t head[CLZT_PTH_HEAD];
    const size_t size = t->bytes.size < sizeof head ? (size_t)t->bytes.size : sizeof head;
    int ret = clzi_bytes_read(&t->bytes, 0, head, size);

    for (size_t i = 0; ret >= 0 && i < sizeof formats / sizeof *formats; i++) {
        if (!formats[i].is(head, size)) continue;
        t->format = formats[i].name;
        if ((ret = formats[i].open(t, section)) < 0) return ret;
        return t->count ? check(t) : BAD(t, "%s without tensors", t->format);
    }
    return ret < 0 ? ret : BAD(t, "is no PyTorch checkpoint and no safetensors file: begins with %02x %02x %02x %02x", head[0],
                               size > 1 ? head[1] : 0, size > 2 ? head[2] : 0, size > 3 ? head[3] : 0);
}

static int create(struct clzt_tensors **tensors, const struct clzi_bytes *bytes, const char *section)
{
    struct clzt_tensors *t = calloc(1, sizeof *t);
    char *name = strdup(bytes->name);
    int ret = t && name ? 0 : -ENOMEM;

    if (ret >= 0) {
        t->bytes = *bytes;
        t->bytes.name = name;
        name = NULL;
        ret = open_any(t, section);
    } else if (bytes->fd >= 0) {
        close(bytes->fd);
    }
    free(name);
    if (ret < 0 && t && t->bytes.name) clzt_tensors_close(&t);
    else if (ret < 0) free(t), t = NULL;
    *tensors = t;
    return ret;
}

int clzt_tensors_open(struct clzt_tensors **tensors, const char *path, const char *section, const struct clz_log *log)
{
    struct stat file;
    const int fd = clzi_model_open_file(path, &file, log);

    *tensors = NULL;
    if (fd < 0) return fd;
    return create(tensors, &(struct clzi_bytes){ fd, NULL, (uint64_t)file.st_size, path, log }, section);
}

int clzt_tensors_parse(struct clzt_tensors **tensors, const void *data, size_t size, const char *section, const char *name,
                       const struct clz_log *log)
{
    return create(tensors, &(struct clzi_bytes){ -1, data, size, name, log }, section);
}

void clzt_tensors_close(struct clzt_tensors **tensors)
{
    struct clzt_tensors *t = *tensors;

    *tensors = NULL;
    if (!t) return;
    if (t->bytes.fd >= 0) close(t->bytes.fd);
    free((char *)t->bytes.name);
    free(t->section);
    free(t->tensors);
    free(t->storages);
    free(t);
}

// ---- numbers ----

static int verify(struct clzt_tensors *t, struct clzt_storage *s, const char *name, uint8_t *chunk)
{
    uint32_t crc = 0;

    for (uint64_t at = 0; at < s->size;) {
        const size_t n = s->size - at < CHUNK ? (size_t)(s->size - at) : CHUNK;
        const int ret = clzi_bytes_read(&t->bytes, s->at + at, chunk, n);
        if (ret < 0) return ret;
        crc = clzt_crc32(crc, chunk, n);
        at += n;
    }
    if (crc != s->crc)
        return BAD(t, "tensor %s: CRC-32 of its data is %08" PRIx32 ", the file says %08" PRIx32 ": damaged",
                   clzi_printable(name).text, crc, s->crc);
    s->verified = true;
    return 0;
}

static bool contiguous(const struct clzt_tensor *x)
{
    int64_t stride = 1;

    for (int i = x->rank - 1; i >= 0; i--) {
        if (x->dims[i] > 1 && x->strides[i] != stride) return false;
        stride *= x->dims[i];
    }
    return true;
}

static int read_contiguous(struct clzt_tensors *t, const struct clzt_tensor *x, uint64_t at, int64_t count, uint8_t *chunk,
                           float *to)
{
    const int size = x->number->size;

    for (int64_t i = 0; i < count;) {
        const int64_t n = count - i < CHUNK / size ? count - i : CHUNK / size;
        const int ret = clzi_bytes_read(&t->bytes, at, chunk, (size_t)(n * size));
        if (ret < 0) return ret;
        for (int64_t k = 0; k < n; k++) to[i + k] = x->number->decode(chunk + k * size);
        at += (uint64_t)(n * size);
        i += n;
    }
    return 0;
}

// Reads the whole range from the first element to the last. check() has shown that it is within the file.
static int read_strided(struct clzt_tensors *t, const struct clzt_tensor *x, uint64_t at, int64_t count, float *to)
{
    const size_t size = (size_t)(reach(x) - x->offset) * (size_t)x->number->size;
    uint8_t *bytes = malloc(size);
    int ret = bytes ? clzi_bytes_read(&t->bytes, at, bytes, size) : -ENOMEM;

    for (int64_t i = 0; ret >= 0 && i < count; i++) {
        int64_t from = 0, rest = i;
        for (int d = x->rank - 1; d >= 0; d--) from += rest % x->dims[d] * x->strides[d], rest /= x->dims[d];
        to[i] = x->number->decode(bytes + from * x->number->size);
    }
    free(bytes);
    return ret;
}

int clzt_tensors_read(struct clzt_tensors *t, const struct clzt_tensor *x, float *to)
{
    struct clzt_storage *s = &t->storages[x->storage];
    const uint64_t at = s->at + (uint64_t)x->offset * (uint64_t)x->number->size;
    const int64_t count = clzt_tensor_count(x);
    uint8_t *chunk = malloc(CHUNK);
    int ret = chunk ? 0 : -ENOMEM;

    if (ret >= 0 && s->has_crc && !s->verified) ret = verify(t, s, x->name, chunk);
    if (ret >= 0 && count) ret = contiguous(x) ? read_contiguous(t, x, at, count, chunk, to) : read_strided(t, x, at, count, to);
    free(chunk);
    for (int64_t i = 0; ret >= 0 && i < count; i++)
        if (!isfinite(to[i])) ret = BAD(t, "tensor %s: element %" PRId64 " is %g", clzi_printable(x->name).text, i, to[i]);
    return ret;
}
