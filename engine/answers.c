// answers.c - reads and writes files of answers.
//
// The network's numbers are 32-bit floats whose low bits are noise, so a general packer gains little. Each is predicted from its
// neighbours, x = left + above - above left, as fpzip does (Lindstrom and Isenburg, "Fast and Efficient Compression of
// Floating-Point Data", 2006); the difference of the two, as integers that ascend as the floats do, is small; its four bytes are
// packed apart, since the high ones are mostly 0. Deflate with Z_RLE packs them as well as with a search for matches, and faster.
// Measured on 40 frames each of akiyo and foreman (lite0, f32): 1.44 and 1.36; without prediction 1.29 and 1.28; deflate alone
// 1.10 and 1.09; with the frame before as the prediction 1.58 and 1.45, for which frames would have to be read in order.
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

#include "answers.h"
#include "base/atomic_file.h"
#include "base/log.h"
#include "bytes.h"
#include "model.h"

// The layout of doc/answers.md: places of fields in the file's header and in that of a record; numbers are little-endian.
enum {
    PARTS = 4,                              // bytes of a number
    MAGIC = 0, VERSION = 8, HEADER_SIZE = 12, NETWORK = 16, DEVICE = 32, LIBRARY = 96, HEADER_CRC = 124, HEADER = 128,
    TAG = 0, DATA_SIZE = 4, KEY = 8, HEIGHT = 24, WIDTH = 28, FRAME = 32, TIME = 40, AMBIGUITY = 48, HINT_X = 52, HINT_Y = 56,
    PRECISION = 60, PART = 64, DATA_CRC = 80, RECORD_CRC = 84, RECORD = 88,
    DEVICE_TEXT = LIBRARY - DEVICE, LIBRARY_TEXT = 24,
    FORMAT = 1,
    MAX_SIDE = 1 << 14,                     // of an answer
};
static const uint8_t magic[8] = { 0x89, 'C', 'L', 'Z', 'A', '\r', '\n', 0x1a };        // as PNG's: shows a transfer as text
static const uint8_t tag[4] = { 'A', 'N', 'S', 'W' };
static const float most = 1e6f;             // a larger answer is an error of the network

static void put(uint8_t *p, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) p[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t crc(const uint8_t *data, size_t size) { return (uint32_t)crc32_z(0, data, size); }

int clzi_answers_network(struct clzk_murmur *hash, const struct clz_model *model)
{
    const struct clzi_model_facts *f = &model->facts;
    const float scales[] = { f->l_scale, f->l_offset, f->ab_scale };
    char *graph;
    const int ret = clzi_graph_to_json(model->graph, &graph);

    if (ret < 0) return ret;
    *hash = (struct clzk_murmur){ { 0 } };
    clzk_murmur(hash, graph, strlen(graph));
    free(graph);
    clzk_murmur(hash, scales, sizeof scales);
    clzk_murmur(hash, f->input, strlen(f->input));
    for (int i = 0; i < model->graph->param_count; i++)
        clzk_murmur(hash, model->values[i], (size_t)clzi_param_count(&model->graph->params[i]) * sizeof **model->values);
    return 0;
}

// ---- packing ----

// As integers that ascend as the numbers do.
static uint32_t ascending(float x)
{
    const uint32_t bits = bits_of(x);
    return bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
}

static float from_ascending(uint32_t n) { return float_of(n >> 31 ? n ^ UINT32_C(1) << 31 : ~n); }

static float predicted(const float *x, int column, int row, int w)
{
    if (!row) return column ? x[-1] : 0;
    return column ? x[-1] + x[-w] - x[-w - 1] : x[-w];
}

// planes: the PARTS bytes of each number's difference from its prediction, each [2,h,w].
static void split(const float *ab, int h, int w, uint8_t *planes)
{
    const size_t count = 2 * (size_t)h * w;
    size_t i = 0;

    for (int row = 0; row < 2 * h; row++)
        for (int x = 0; x < w; x++, i++) {
            const uint32_t d = ascending(ab[i]) - ascending(predicted(ab + i, x, row % h, w));
            const uint32_t zigzag = d << 1 ^ (d >> 31 ? ~UINT32_C(0) : 0);     // small ones of both signs become small
            for (int k = 0; k < PARTS; k++) planes[k * count + i] = (uint8_t)(zigzag >> 8 * k);
        }
}

static void join(const uint8_t *planes, int h, int w, float *ab)
{
    const size_t count = 2 * (size_t)h * w;
    size_t i = 0;

    for (int row = 0; row < 2 * h; row++)
        for (int x = 0; x < w; x++, i++) {
            uint32_t zigzag = 0;
            for (int k = 0; k < PARTS; k++) zigzag |= (uint32_t)planes[k * count + i] << 8 * k;
            const uint32_t d = zigzag >> 1 ^ (zigzag & 1 ? ~UINT32_C(0) : 0);
            ab[i] = from_ascending(ascending(predicted(ab + i, x, row % h, w)) + d);
        }
}

// Whether all numbers are finite and as the network's may be. Sums of them are then numbers, too: those of NaNs have bits that
// depend on the machine.
static bool is_usable(const float *ab, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(ab[i]) <= most)) return false;
    return true;
}

// ---- reading ----

struct entry { struct clzk_murmur key; uint64_t offset; };

struct clzi_answers_reader {
    struct clzi_bytes bytes;
    char *name;
    const struct clz_log *log;
    struct entry *entries;
    uint32_t count, room;
    uint32_t *table, mask;                  // open addressing: number of an entry + 1 at its key's place or later; 0: free
    z_stream inflate[PARTS];
    int streams;                            // of inflate that are set up
    uint8_t *data, *planes;                 // of one answer
    size_t most;                            // numbers that they have room for
    bool warned;                            // of a damaged answer
};

struct record {
    struct clzk_murmur key;
    uint32_t size, h, w, part[PARTS], crc;
    uint32_t precision;
};

static struct record record_of(const uint8_t *p)
{
    struct record r = { { { clzi_u64le(p + KEY), clzi_u64le(p + KEY + 8) } }, clzi_u32le(p + DATA_SIZE), clzi_u32le(p + HEIGHT),
                        clzi_u32le(p + WIDTH), { 0 }, clzi_u32le(p + DATA_CRC), clzi_u32le(p + PRECISION) };

    for (int k = 0; k < PARTS; k++) r.part[k] = clzi_u32le(p + PART + 4 * k);
    return r;
}

// Whether the header of a record agrees with itself. Its data may still be damaged.
static bool is_record(const uint8_t *p)
{
    const struct record r = record_of(p);
    uint64_t size = 0;

    if (memcmp(p + TAG, tag, sizeof tag) || clzi_u32le(p + RECORD_CRC) != crc(p, RECORD_CRC)) return false;
    if (!r.h || !r.w || r.h > MAX_SIDE || r.w > MAX_SIDE) return false;
    if (r.precision < CLZ_PRECISION_F32 || r.precision > CLZ_PRECISION_F16) return false;
    for (int k = 0; k < PARTS; k++) {
        if (r.part[k] > 2 * (uint64_t)r.h * r.w) return false;
        size += r.part[k];
    }
    return size == r.size;
}

// Checks a file's header, which may be repeated between records: files can be joined end to end.
static int check_header(const struct clzi_answers_reader *r, const uint8_t *p, const struct clzk_murmur *network)
{
    if (memcmp(p + MAGIC, magic, sizeof magic))
        return clzi_fail(r->log, -EBADMSG, "%s: is no file of answers: it does not begin as one", r->name);
    if (clzi_u32le(p + VERSION) != FORMAT)
        return clzi_fail(r->log, -EBADMSG, "%s: is a file of answers of version %" PRIu32 "; this library reads version %d",
                         r->name, clzi_u32le(p + VERSION), FORMAT);
    if (clzi_u32le(p + HEADER_SIZE) != HEADER || clzi_u32le(p + HEADER_CRC) != crc(p, HEADER_CRC))
        return clzi_fail(r->log, -EBADMSG, "%s: the header of the file of answers is damaged: its checksum is wrong", r->name);
    if (clzi_u64le(p + NETWORK) != network->h[0] || clzi_u64le(p + NETWORK + 8) != network->h[1])
        return clzi_fail(r->log, -EINVAL, "%s: has the answers of another model: its network is %016" PRIx64 "%016" PRIx64
                         ", that of this model %016" PRIx64 "%016" PRIx64, r->name, clzi_u64le(p + NETWORK),
                         clzi_u64le(p + NETWORK + 8), network->h[0], network->h[1]);
    return 0;
}

static int add_entry(struct clzi_answers_reader *r, struct clzk_murmur key, uint64_t offset)
{
    if (r->count == r->room) {
        const uint32_t room = r->room ? 2 * r->room : 1024;
        struct entry *more = room > r->room && room < UINT32_C(1) << 30 ? realloc(r->entries, room * sizeof *more) : NULL;
        if (!more) return -ENOMEM;
        r->entries = more;
        r->room = room;
    }
    r->entries[r->count++] = (struct entry){ key, offset };
    return 0;
}

// Reads the headers of all records up to the end or to what is none.
static int scan(struct clzi_answers_reader *r, const struct clzk_murmur *network)
{
    uint8_t p[HEADER];
    uint64_t at = 0;
    int ret;

    if (r->bytes.size < HEADER)
        return clzi_fail(r->log, -EBADMSG, "%s: is no file of answers: it has %" PRIu64 " bytes, should have %d or more", r->name,
                         r->bytes.size, HEADER);
    if ((ret = clzi_bytes_read(&r->bytes, 0, p, HEADER)) < 0 || (ret = check_header(r, p, network)) < 0) return ret;
    for (at = HEADER; at < r->bytes.size;) {
        const uint64_t left = r->bytes.size - at;
        const size_t n = left < HEADER ? (size_t)left : HEADER;
        if ((ret = clzi_bytes_read(&r->bytes, at, p, n)) < 0) return ret;
        if (n == HEADER && !memcmp(p, magic, sizeof magic)) {
            if ((ret = check_header(r, p, network)) < 0) return ret;
            at += HEADER;
            continue;
        }
        if (n < RECORD || !is_record(p) || record_of(p).size > left - RECORD) {
            clzi_log(r->log, CLZ_LOG_WARNING, "%s: is damaged or incomplete from byte %" PRIu64 " on; the %" PRIu32 " frames "
                     "before it are used", r->name, at, r->count);
            break;
        }
        if ((ret = add_entry(r, record_of(p).key, at)) < 0) return ret;
        at += RECORD + (uint64_t)record_of(p).size;
    }
    return 0;
}

static int build_table(struct clzi_answers_reader *r)
{
    uint32_t size = 16;

    while (size < 2 * (uint64_t)r->count) size *= 2;
    if (!(r->table = calloc(size, sizeof *r->table))) return -ENOMEM;
    r->mask = size - 1;
    for (uint32_t i = 0; i < r->count; i++) {
        uint32_t at = (uint32_t)r->entries[i].key.h[0] & r->mask;
        while (r->table[at]) at = (at + 1) & r->mask;
        r->table[at] = i + 1;
    }
    return 0;
}

static int open_reader(struct clzi_answers_reader **out, const struct clzi_bytes *bytes, const struct clzk_murmur *network)
{
    struct clzi_answers_reader *r = *out = calloc(1, sizeof *r);
    int ret = -ENOMEM;

    if (!r) {
        if (bytes->fd >= 0) close(bytes->fd);
        return ret;
    }
    r->bytes = *bytes;
    r->log = bytes->log;
    if (!(r->name = strdup(bytes->name))) goto fail;
    r->bytes.name = r->name;
    for (; r->streams < PARTS; r->streams++)
        if (inflateInit2(&r->inflate[r->streams], -15) != Z_OK) goto fail;
    if ((ret = scan(r, network)) >= 0) ret = build_table(r);
    r->bytes.log = NULL;                    // what cannot be read later on is a warning
fail:
    if (ret < 0) clzi_answers_reader_destroy(out);
    return ret;
}

int clzi_answers_read(struct clzi_answers_reader **out, const char *path, const struct clzk_murmur *network,
                      const struct clz_log *log)
{
    struct stat st;
    int fd;

    *out = NULL;
    // O_NONBLOCK: opening a FIFO does not wait for a writer
    if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) < 0 || fstat(fd, &st) < 0) {
        const int error = errno;
        if (fd >= 0) close(fd);
        return clzi_fail(log, -error, "%s: the file of answers cannot be read: %s", path, strerror(error));
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return clzi_fail(log, -EINVAL, "%s: is no regular file, which a file of answers should be", path);
    }
    return open_reader(out, &(struct clzi_bytes){ .fd = fd, .size = (uint64_t)st.st_size, .name = path, .log = log }, network);
}

int clzi_answers_parse(struct clzi_answers_reader **out, const void *data, size_t size, const char *name,
                       const struct clzk_murmur *network, const struct clz_log *log)
{
    return open_reader(out, &(struct clzi_bytes){ .fd = -1, .memory = data, .size = size, .name = name, .log = log }, network);
}

void clzi_answers_reader_destroy(struct clzi_answers_reader **reader)
{
    struct clzi_answers_reader *r = *reader;

    *reader = NULL;
    if (!r) return;
    for (int i = 0; i < r->streams; i++) inflateEnd(&r->inflate[i]);
    if (r->bytes.fd >= 0) close(r->bytes.fd);
    free(r->name);
    free(r->entries);
    free(r->table);
    free(r->data);
    free(r->planes);
    free(r);
}

uint64_t clzi_answers_count(const struct clzi_answers_reader *r) { return r->count; }

static bool unpack_part(z_stream *z, const uint8_t *data, uint32_t size, uint8_t *plane, size_t count)
{
    if (size == count) return memcpy(plane, data, count), true;         // stored
    if (inflateReset(z) != Z_OK) return false;
    z->next_in = (uint8_t *)data;
    z->avail_in = size;
    z->next_out = plane;
    z->avail_out = (uInt)count;
    return inflate(z, Z_FINISH) == Z_STREAM_END && !z->avail_in && !z->avail_out;
}

// Reads the record at `offset`, if it has the answer's size and precision. Returns 1, 0: it has not, or -EBADMSG.
static int unpack(struct clzi_answers_reader *r, uint64_t offset, struct clzi_answer *a)
{
    const size_t count = 2 * (size_t)a->h * a->w;
    uint8_t p[RECORD];
    struct record record;
    size_t at = 0;
    int64_t time;

    if (clzi_bytes_read(&r->bytes, offset, p, RECORD) < 0) return -EBADMSG;
    if (!is_record(p)) return -EBADMSG;     // it was one when the file was opened
    record = record_of(p);
    if (record.h != (uint32_t)a->h || record.w != (uint32_t)a->w) return 0;
    if (a->precision && record.precision != (uint32_t)a->precision) return 0;
    if (r->bytes.size - offset - RECORD < record.size || clzi_bytes_read(&r->bytes, offset + RECORD, r->data, record.size) < 0)
        return -EBADMSG;
    if (crc(r->data, record.size) != record.crc) return -EBADMSG;
    for (int k = 0; k < PARTS; at += record.part[k++])
        if (!unpack_part(&r->inflate[k], r->data + at, record.part[k], r->planes + k * count, count)) return -EBADMSG;
    join(r->planes, a->h, a->w, a->ab);
    if (!is_usable(a->ab, count)) return -EBADMSG;
    a->precision = (enum clz_precision)record.precision;
    a->ambiguity = (struct clzi_ambiguity){ float_of(clzi_u32le(p + AMBIGUITY)), (int32_t)clzi_u32le(p + HINT_X),
                                            (int32_t)clzi_u32le(p + HINT_Y) };
    // of the network's picture, which is at most 8 times as large as the answer
    if (!(a->ambiguity.mean >= 0 && a->ambiguity.mean <= 1) || a->ambiguity.x < 0 || a->ambiguity.y < 0 ||
        a->ambiguity.x >= 8 * a->w || a->ambiguity.y >= 8 * a->h) a->ambiguity = (struct clzi_ambiguity){ -1, -1, -1 };
    a->frame = clzi_u64le(p + FRAME);
    time = (int64_t)clzi_u64le(p + TIME);
    a->time = time < 0 ? -1 : (double)time / 1e6;
    return 1;
}

static int make_room(uint8_t **data, uint8_t **planes, size_t *room, size_t count)
{
    if (count <= *room) return 0;
    free(*data);
    free(*planes);
    *room = 0;
    *data = malloc(RECORD + PARTS * count);
    *planes = malloc(PARTS * count);
    if (!*data || !*planes) return -ENOMEM;
    *room = count;
    return 0;
}

int clzi_answers_find(struct clzi_answers_reader *r, const struct clzk_murmur *key, struct clzi_answer *a)
{
    uint32_t at = (uint32_t)key->h[0] & r->mask;
    int ret = 0;

    if (make_room(&r->data, &r->planes, &r->most, 2 * (size_t)a->h * a->w) < 0) return -ENOMEM;
    for (; r->table[at] && !ret; at = (at + 1) & r->mask) {
        const struct entry *e = &r->entries[r->table[at] - 1];
        if (e->key.h[0] != key->h[0] || e->key.h[1] != key->h[1]) continue;
        ret = unpack(r, e->offset, a);
        if (ret >= 0) continue;
        if (!r->warned)
            clzi_log(r->log, CLZ_LOG_WARNING, "%s: the frame at byte %" PRIu64 " is damaged; the network is run for it and for "
                     "others like it", r->name, e->offset);
        r->warned = true;
        ret = 0;
    }
    return ret;
}

// ---- writing ----

struct clzi_answers_writer {
    struct clzi_atomic_file file;
    bool open;
    int error;                              // of the first write that failed
    char *path;
    const struct clz_log *log;
    uint64_t count;                         // answers written
    struct clzk_murmur last;                // key of the last one
    z_stream deflate[PARTS];
    int streams;                            // of deflate that are set up
    uint8_t *data, *planes;                 // of one answer
    size_t most;
};

int clzi_answers_create(struct clzi_answers_writer **out, const char *path, const struct clzk_murmur *network, const char *device,
                        const struct clz_log *log)
{
    struct clzi_answers_writer *a = *out = calloc(1, sizeof *a);
    uint8_t header[HEADER] = { 0 };
    struct stat st;
    int ret = -ENOMEM;

    if (!a) return ret;
    a->log = log;
    if (!(a->path = strdup(path))) goto fail;
    if (!stat(path, &st) && !S_ISREG(st.st_mode)) {
        ret = clzi_fail(log, -EINVAL, "%s: is no regular file, which a file of answers should be", path);
        goto fail;
    }
    if (!clzi_atomic_may_replace(path, magic, sizeof magic)) {
        ret = clzi_fail(log, -EEXIST, "%s: is no file of answers, and is not replaced by one", path);
        goto fail;
    }
    for (; a->streams < PARTS; a->streams++)
        if (deflateInit2(&a->deflate[a->streams], 6, Z_DEFLATED, -15, 9, Z_RLE) != Z_OK) goto fail;
    if ((ret = clzi_atomic_open(&a->file, path)) < 0) {
        clzi_log(log, CLZ_LOG_ERROR, "%s: the file of answers cannot be written: %s", path, strerror(-ret));
        goto fail;
    }
    a->open = true;
    if (!*a->file.target) {                 // the descriptor of a file, as /dev/stdout can be
        ret = clzi_fail(log, -EINVAL, "%s: is a file descriptor; a file of answers needs a name", path);
        goto fail;
    }
    memcpy(header + MAGIC, magic, sizeof magic);
    put(header + VERSION, FORMAT, 4);
    put(header + HEADER_SIZE, HEADER, 4);
    put(header + NETWORK, network->h[0], 8);
    put(header + NETWORK + 8, network->h[1], 8);
    snprintf((char *)header + DEVICE, DEVICE_TEXT, "%s", device);
    snprintf((char *)header + LIBRARY, LIBRARY_TEXT, "%s", CLZ_VERSION);
    put(header + HEADER_CRC, crc(header, HEADER_CRC), 4);
    a->error = clzi_atomic_write(&a->file, header, HEADER);
    return 0;
fail:
    clzi_answers_finish(out);
    return ret;
}

// Packs one plane. Returns its size, `count` if it is stored.
static uint32_t pack_part(z_stream *z, const uint8_t *plane, size_t count, uint8_t *data)
{
    if (deflateReset(z) == Z_OK) {
        z->next_in = (uint8_t *)plane;
        z->avail_in = (uInt)count;
        z->next_out = data;
        z->avail_out = (uInt)count - 1;     // anything larger is stored
        if (deflate(z, Z_FINISH) == Z_STREAM_END) return (uint32_t)(count - 1 - z->avail_out);
    }
    memcpy(data, plane, count);
    return (uint32_t)count;
}

int clzi_answers_add(struct clzi_answers_writer *w, const struct clzk_murmur *key, const struct clzi_answer *a)
{
    const size_t count = 2 * (size_t)a->h * a->w;
    uint32_t part[PARTS];
    uint8_t *p;
    size_t size = 0;

    if (w->error || (w->count && w->last.h[0] == key->h[0] && w->last.h[1] == key->h[1])) return 0;
    if (!is_usable(a->ab, count)) return 0;             // the frame fails
    if (make_room(&w->data, &w->planes, &w->most, count) < 0) return -ENOMEM;
    p = w->data;
    split(a->ab, a->h, a->w, w->planes);
#pragma omp parallel for schedule(static, 1)
    for (int k = 0; k < PARTS; k++) part[k] = pack_part(&w->deflate[k], w->planes + k * count, count, p + RECORD + k * count);
    memset(p, 0, RECORD);
    for (int k = 0; k < PARTS; k++) {
        memmove(p + RECORD + size, p + RECORD + k * count, part[k]);
        put(p + PART + 4 * k, part[k], 4);
        size += part[k];
    }
    memcpy(p + TAG, tag, sizeof tag);
    put(p + DATA_SIZE, size, 4);
    put(p + KEY, key->h[0], 8);
    put(p + KEY + 8, key->h[1], 8);
    put(p + HEIGHT, (uint64_t)a->h, 4);
    put(p + WIDTH, (uint64_t)a->w, 4);
    put(p + FRAME, a->frame, 8);
    put(p + TIME, (uint64_t)(a->time >= 0 && a->time < 1e12 ? llround(a->time * 1e6) : -1), 8);
    put(p + AMBIGUITY, bits_of(a->ambiguity.mean), 4);
    put(p + HINT_X, (uint32_t)a->ambiguity.x, 4);
    put(p + HINT_Y, (uint32_t)a->ambiguity.y, 4);
    put(p + PRECISION, a->precision, 4);
    put(p + DATA_CRC, crc(p + RECORD, size), 4);
    put(p + RECORD_CRC, crc(p, RECORD_CRC), 4);
    w->error = clzi_atomic_write(&w->file, p, RECORD + size);
    w->last = *key;
    w->count++;
    return 0;
}

int clzi_answers_finish(struct clzi_answers_writer **writer)
{
    struct clzi_answers_writer *w = *writer;
    int ret = 0;

    *writer = NULL;
    if (!w) return 0;
    if (w->open) {
        ret = clzi_atomic_close(&w->file, w->error ? w->error : w->count ? 0 : -ECANCELED);
        if (ret == -ECANCELED) ret = 0;
        if (ret < 0) clzi_log(w->log, CLZ_LOG_WARNING, "%s: was not written: %s", w->path, strerror(-ret));
    }
    for (int i = 0; i < w->streams; i++) deflateEnd(&w->deflate[i]);
    free(w->path);
    free(w->data);
    free(w->planes);
    free(w);
    return ret;
}
