// events.c - writes TensorBoard event files.
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "events.h"

enum { MAX_FILES = 10000, HEAD = 12, TAIL = 4, COLORSPACE_RGB = 3, STATUS_START = 1 };
enum { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_32 = 5 };

struct buffer { uint8_t *data; size_t size, room; bool failed; };

struct clzt_events {
    int fd;
    bool broken;                            // it ends with a part of a record: what followed could not be read
    struct buffer record, summary, value;
};

// ---- protocol buffers ----

static void put(struct buffer *b, const void *data, size_t size)
{
    if (!size) return;
    if (b->size + size > b->room) {
        const size_t room = 2 * (b->size + size) + 256;
        uint8_t *more = b->failed ? NULL : realloc(b->data, room);
        if (!more) {
            b->failed = true;
            return;
        }
        b->data = more;
        b->room = room;
    }
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void put_little(struct buffer *b, uint64_t value, int bytes)
{
    uint8_t c[8];

    for (int i = 0; i < bytes; i++) c[i] = (uint8_t)(value >> 8 * i);
    put(b, c, (size_t)bytes);
}

static void put_varint(struct buffer *b, uint64_t value)
{
    uint8_t c[10];
    int n = 0;

    for (; value >= 0x80; value >>= 7) c[n++] = (uint8_t)(value | 0x80);
    c[n++] = (uint8_t)value;
    put(b, c, (size_t)n);
}

static void put_key(struct buffer *b, int field, int wire) { put_varint(b, (uint64_t)(field << 3 | wire)); }

static void put_integer(struct buffer *b, int field, uint64_t value)
{
    put_key(b, field, WIRE_VARINT);
    put_varint(b, value);
}

static void put_double(struct buffer *b, int field, double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof bits);
    put_key(b, field, WIRE_64);
    put_little(b, bits, 8);
}

static void put_float(struct buffer *b, int field, float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    put_key(b, field, WIRE_32);
    put_little(b, bits, 4);
}

static void put_bytes(struct buffer *b, int field, const void *data, size_t size)
{
    put_key(b, field, WIRE_BYTES);
    put_varint(b, size);
    put(b, data, size);
}

static void put_message(struct buffer *b, int field, const struct buffer *message)
{
    b->failed |= message->failed;
    put_bytes(b, field, message->data, message->size);
}

// ---- records ----

uint32_t clzt_crc32c(const void *data, size_t size)
{
    const uint8_t *p = data;
    uint32_t crc = ~0u;

    for (size_t i = 0; i < size; i++) {
        crc ^= p[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (0x82f63b78 & -(crc & 1));
    }
    return ~crc;
}

static uint32_t masked(const void *data, size_t size)
{
    const uint32_t crc = clzt_crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8;
}

// Begins an Event; the length in front is filled in by commit().
static struct buffer *begin(struct clzt_events *e, int64_t step)
{
    static const uint8_t head[HEAD];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    e->record.size = 0;
    e->record.failed = false;
    put(&e->record, head, HEAD);
    put_double(&e->record, 1, (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    if (step) put_integer(&e->record, 2, (uint64_t)step);
    return &e->record;
}

static int write_all(int fd, const uint8_t *data, size_t size)
{
    while (size) {
        const ssize_t n = write(fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -EIO;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

static int commit(struct clzt_events *e)
{
    struct buffer head = { .data = e->record.data, .room = HEAD };
    const size_t size = e->record.size - HEAD;
    off_t end;

    if (e->broken) return -EIO;
    if (e->record.failed) return -ENOMEM;
    put_little(&head, size, 8);
    put_little(&head, masked(head.data, 8), 4);
    put_little(&e->record, masked(e->record.data + HEAD, size), TAIL);
    if (e->record.failed) return -ENOMEM;
    end = lseek(e->fd, 0, SEEK_END);
    if (!write_all(e->fd, e->record.data, e->record.size)) return 0;
    e->broken = end < 0 || ftruncate(e->fd, end) < 0;
    return -EIO;
}

static struct buffer *clear(struct buffer *b)
{
    b->size = 0;
    b->failed = false;
    return b;
}

// ---- events ----

static int create(struct clzt_events *e, const char *folder, const struct clz_log *log)
{
    const long long seconds = (long long)time(NULL);
    const size_t room = strlen(folder) + 80;
    char *path = malloc(room);
    int ret = path ? -EEXIST : -ENOMEM;

    for (int n = 0; n < MAX_FILES && ret == -EEXIST; n++) {
        int used = snprintf(path, room, "%s/events.out.tfevents.%010lld.colorize", folder, seconds);
        if (n) snprintf(path + used, room - (size_t)used, ".%d", n);
        e->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0666);
        ret = e->fd < 0 ? -errno : 0;
    }
    if (ret < 0 && ret != -ENOMEM) clzi_fail(log, ret, "%s: %s.", path, strerror(-ret));
    free(path);
    return ret;
}

static int put_start(struct clzt_events *e, int64_t first)
{
    struct buffer *b = begin(e, 0), *session = clear(&e->value);
    int ret;

    put_bytes(b, 3, "brain.Event:2", 13);
    if ((ret = commit(e)) < 0) return ret;
    put_integer(session, 1, STATUS_START);
    put_message(begin(e, first), 7, session);
    return commit(e);
}

int clzt_events_open(struct clzt_events **events, const char *folder, int64_t first, const struct clz_log *log)
{
    struct clzt_events *e = *events = calloc(1, sizeof *e);
    int ret = -ENOMEM;

    if (e) {
        e->fd = -1;
        ret = create(e, folder, log);
    }
    if (ret >= 0 && (ret = put_start(e, first)) == -EIO)
        clzi_fail(log, ret, "%s: an event file cannot be written.", folder);
    if (ret < 0) clzt_events_close(events);
    return ret;
}

void clzt_events_close(struct clzt_events **events)
{
    struct clzt_events *e = *events;

    if (!e) return;
    if (e->fd >= 0) close(e->fd);
    free(e->record.data);
    free(e->summary.data);
    free(e->value.data);
    free(e);
    *events = NULL;
}

int clzt_events_scalars(struct clzt_events *e, int64_t step, const char *const *tags, const double *values, int count)
{
    struct buffer *summary = clear(&e->summary);

    for (int i = 0; i < count; i++) {
        struct buffer *value = clear(&e->value);
        if (isnan(values[i])) continue;
        put_bytes(value, 1, tags[i], strlen(tags[i]));
        put_float(value, 2, (float)values[i]);
        put_message(summary, 1, value);
    }
    if (!summary->size && !summary->failed) return 0;
    put_message(begin(e, step), 5, summary);
    return commit(e);
}

int clzt_events_png(struct clzt_events *e, int64_t step, const char *tag, int width, int height, const void *png, size_t size)
{
    struct buffer *image = clear(&e->summary), *value = clear(&e->value);

    put_integer(image, 1, (uint64_t)height);
    put_integer(image, 2, (uint64_t)width);
    put_integer(image, 3, COLORSPACE_RGB);
    put_bytes(image, 4, png, size);
    put_bytes(value, 1, tag, strlen(tag));
    put_message(value, 4, image);
    put_message(clear(&e->summary), 1, value);
    put_message(begin(e, step), 5, &e->summary);
    return commit(e);
}
