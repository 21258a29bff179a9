// events.c - TensorBoard event files: checksums, the bytes of a record, and what a reader of the format finds in a file.
//
//     events list FOLDER      prints what event files say, for tests/train.sh
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"
#include "trainer/events.h"

enum { PATH = 600, MAX = 64 };

// ---- a reader, as the format's description has it ----

struct event {
    double wall_time;
    long long step;
    char version[32];
    int status;                             // of a SessionLog
    int values;
    struct { char tag[40]; float scalar; int width, height, colorspace, size; char encoded[16]; } value[32];
};

static uint64_t little(const uint8_t *p, int bytes)
{
    uint64_t x = 0;

    for (int i = bytes; i-- > 0;) x = x << 8 | p[i];
    return x;
}

static uint32_t mask(uint32_t crc) { return (crc >> 15 | crc << 17) + 0xa282ead8; }

static uint64_t varint(const uint8_t **p)
{
    uint64_t x = 0;
    int shift = 0;

    do x |= (uint64_t)(**p & 0x7f) << shift, shift += 7;
    while (*(*p)++ & 0x80);
    return x;
}

// The next field of a message: number, value or length, and where the bytes begin.
struct field { int number, wire; uint64_t value; const uint8_t *data; };
static bool next(const uint8_t **p, const uint8_t *end, struct field *f)
{
    uint64_t key;

    if (*p >= end) return false;
    key = varint(p);
    *f = (struct field){ .number = (int)(key >> 3), .wire = (int)(key & 7) };
    if (f->wire == 0) f->value = varint(p);
    else if (f->wire == 1) f->value = little(*p, 8), *p += 8;
    else if (f->wire == 5) f->value = little(*p, 4), *p += 4;
    else {
        REQUIRE_INT(f->wire, 2);
        f->value = varint(p);
        f->data = *p;
        *p += f->value;
        REQUIRE(*p <= end);
    }
    return true;
}

static void copy_text(char *to, size_t room, const struct field *f)
{
    snprintf(to, room, "%.*s", (int)f->value, (const char *)f->data);
}

static void read_value(struct event *e, const struct field *value)
{
    const uint8_t *p = value->data, *end = p + value->value;
    struct field f, g;
    const int n = e->values++;

    while (next(&p, end, &f)) {
        uint32_t bits = (uint32_t)f.value;
        if (f.number == 1) copy_text(e->value[n].tag, sizeof e->value[n].tag, &f);
        if (f.number == 2) memcpy(&e->value[n].scalar, &bits, 4);
        if (f.number != 4) continue;
        for (const uint8_t *q = f.data; next(&q, f.data + f.value, &g);) {
            if (g.number == 1) e->value[n].height = (int)g.value;
            if (g.number == 2) e->value[n].width = (int)g.value;
            if (g.number == 3) e->value[n].colorspace = (int)g.value;
            if (g.number == 4) copy_text(e->value[n].encoded, sizeof e->value[n].encoded, &g), e->value[n].size = (int)g.value;
        }
    }
}

// Events of a file's content; their number, or -1: a checksum is wrong. A last record that is incomplete is left out.
static int read_events(const uint8_t *data, size_t size, struct event *events)
{
    int n = 0;

    for (size_t at = 0; at + 12 <= size; n++) {
        const uint64_t length = little(data + at, 8);
        const uint8_t *p = data + at + 12, *end = p + length;
        struct field f, g;
        if (mask(clzt_crc32c(data + at, 8)) != little(data + at + 8, 4)) return -1;
        if (at + 16 + length > size) break;
        if (mask(clzt_crc32c(p, length)) != little(end, 4)) return -1;
        at += 16 + length;
        memset(&events[n], 0, sizeof *events);
        while (next(&p, end, &f)) {
            if (f.number == 1) memcpy(&events[n].wall_time, &f.value, 8);
            if (f.number == 2) events[n].step = (long long)f.value;
            if (f.number == 3) copy_text(events[n].version, sizeof events[n].version, &f);
            for (const uint8_t *q = f.data; (f.number == 5 || f.number == 7) && next(&q, f.data + f.value, &g);) {
                if (f.number == 7 && g.number == 1) events[n].status = (int)g.value;
                if (f.number == 5 && g.number == 1) read_value(&events[n], &g);
            }
        }
    }
    return n;
}

// The files of the folder in the order of their names, joined; their number.
static int read_folder(const char *folder, uint8_t *data, size_t room, size_t *size)
{
    struct dirent **entries = NULL;
    const int n = scandir(folder, &entries, NULL, alphasort);
    int files = 0;

    *size = 0;
    for (int i = 0; i < n; i++) {
        char path[PATH + 300];
        FILE *f;
        if (entries[i]->d_name[0] == '.') continue;
        REQUIRE(strstr(entries[i]->d_name, "tfevents"));        // by which TensorBoard finds them
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if ((f = fopen(path, "rb"))) {
            *size += fread(data + *size, 1, room - *size, f);
            fclose(f);
        }
        files++;
        free(entries[i]);
    }
    free(entries);
    return files;
}

static void remove_files(const char *folder)
{
    char command[PATH + 40];

    snprintf(command, sizeof command, "rm -f %s/*", folder);
    if (system(command)) printf("%s failed\n", command);
}

// For scripts: a line for each value of the folder's files.
static int list(const char *folder)
{
    enum { ROOM = 16 << 20 };
    struct event *all = calloc(5000, sizeof *all);
    uint8_t *data = malloc(ROOM);
    size_t size;
    int n;

    if (!read_folder(folder, data, ROOM, &size)) return 1;
    n = read_events(data, size, all);
    for (int i = 0; i < n; i++) {
        if (all[i].status) printf("%lld start\n", all[i].step);
        for (int k = 0; k < all[i].values; k++) {
            printf("%lld %s ", all[i].step, all[i].value[k].tag);
            if (all[i].value[k].size) printf("%dx%d\n", all[i].value[k].width, all[i].value[k].height);
            else printf("%.9g\n", all[i].value[k].scalar);
        }
    }
    return n < 1;
}

// ---- tests ----

static struct event events[MAX];

// The bytes: written by hand after the description and read by Google's protobuf 3.21.
static void reader(void)
{
    static const uint8_t record[] = {
        24, 0, 0, 0, 0, 0, 0, 0, 0xa3, 0x7f, 0x4b, 0x22, 0x09, 0, 0, 0, 0x40, 0xfc, 0x54, 0xd9, 0x41, 0x1a, 13,
        'b', 'r', 'a', 'i', 'n', '.', 'E', 'v', 'e', 'n', 't', ':', '2', 0xec, 0xed, 0x8f, 0x9d
    };

    CASE("events/checksums");               // "123456789" is the check value of CRC-32C
    REQUIRE_INT(clzt_crc32c("123456789", 9), 0xe3069283);
    REQUIRE_INT(mask(clzt_crc32c("123456789", 9)), 0xc78ab0e5);
    REQUIRE_INT(clzt_crc32c("", 0), 0);
    CASE("events/the_reader_of_this_test");
    REQUIRE_INT(read_events(record, sizeof record, events), 1);
    REQUIRE_NEAR(events[0].wall_time, 1700000000.0, 0);
    REQUIRE_STR(events[0].version, "brain.Event:2");
}

static void writer(const char *folder)
{
    static const char *const tags[] = { "train/l1", "lr", "val/psnr" };
    static uint8_t data[1 << 16], png[5000] = "\x89PNG";
    struct clzt_events *e = NULL;
    size_t size;
    int n;

    CASE("events/scalars_and_pictures");
    REQUIRE_INT(clzt_events_open(&e, folder, 1, NULL), 0);
    REQUIRE_INT(clzt_events_scalars(e, 1, tags, (const double[]){ 0.25, 1e-4, NAN }, 3), 0);
    REQUIRE_INT(clzt_events_scalars(e, 3000000000, tags, (const double[]){ NAN, NAN, 21.5 }, 3), 0);
    REQUIRE_INT(clzt_events_scalars(e, 9, tags, (const double[]){ NAN, NAN, NAN }, 3), 0);      // no event
    REQUIRE_INT(clzt_events_png(e, 300, "samples", 404, 140, png, sizeof png), 0);
    clzt_events_close(&e);
    REQUIRE(!e);
    REQUIRE_INT(read_folder(folder, data, sizeof data, &size), 1);
    n = read_events(data, size, events);
    REQUIRE_INT(n, 5);
    REQUIRE_STR(events[0].version, "brain.Event:2");
    REQUIRE(events[0].wall_time > 1.7e9 && events[0].wall_time < 1e11);
    REQUIRE_INT(events[1].status, 1);
    REQUIRE_INT(events[1].step, 1);
    REQUIRE_INT(events[2].step, 1);
    REQUIRE_INT(events[2].values, 2);
    REQUIRE_STR(events[2].value[0].tag, "train/l1");
    REQUIRE_NEAR(events[2].value[0].scalar, 0.25, 0);
    REQUIRE_STR(events[2].value[1].tag, "lr");
    REQUIRE_NEAR(events[2].value[1].scalar, 1e-4f, 0);
    REQUIRE_INT(events[3].step, 3000000000);
    REQUIRE_INT(events[3].values, 1);
    REQUIRE_NEAR(events[3].value[0].scalar, 21.5, 0);
    REQUIRE_STR(events[4].value[0].tag, "samples");
    REQUIRE_INT(events[4].value[0].width, 404);
    REQUIRE_INT(events[4].value[0].height, 140);
    REQUIRE_INT(events[4].value[0].colorspace, 3);
    REQUIRE_INT(events[4].value[0].size, (long long)sizeof png);
    REQUIRE_STR(events[4].value[0].encoded, "\x89PNG");

    CASE("events/torn_record_is_left_out");
    REQUIRE_INT(read_events(data, size - 1, events), 4);
    REQUIRE_INT(read_events(data, size - 4800, events), 4);
    data[size - 10] ^= 1;
    REQUIRE_INT(read_events(data, size, events), -1);

    CASE("events/a_file_for_each_start_in_order");
    for (int i = 0; i < 3; i++) {
        REQUIRE_INT(clzt_events_open(&e, folder, 10 * i + 10, NULL), 0);
        REQUIRE_INT(clzt_events_scalars(e, 10 * i + 10, tags, (const double[]){ i }, 1), 0);
        clzt_events_close(&e);
    }
    REQUIRE_INT(read_folder(folder, data, sizeof data, &size), 4);
    REQUIRE_INT(read_events(data, size, events), 5 + 9);
    for (int i = 0; i < 3; i++) {
        REQUIRE_INT(events[6 + 3 * i].step, 10 * i + 10);
        REQUIRE_INT(events[6 + 3 * i].status, 1);
        REQUIRE_NEAR(events[7 + 3 * i].value[0].scalar, i, 0);
    }

    CASE("events/no_folder");
    REQUIRE_INT(clzt_events_open(&e, "/nonexistent/folder", 1, NULL), -ENOENT);
    REQUIRE(!e);
}

// As on a full disk: the file cannot grow for a time.
static void full_disk(const char *folder)
{
    static const char *const tags[] = { "l1" };
    static uint8_t data[1 << 16];
    struct clzt_events *e = NULL;
    struct rlimit old, limit;
    size_t size;

    CASE("events/full_disk_leaves_whole_records");
    remove_files(folder);
    signal(SIGXFSZ, SIG_IGN);
    REQUIRE_INT(getrlimit(RLIMIT_FSIZE, &old), 0);
    REQUIRE_INT(clzt_events_open(&e, folder, 1, NULL), 0);
    REQUIRE_INT(clzt_events_scalars(e, 1, tags, (const double[]){ 1 }, 1), 0);
    limit = (struct rlimit){ 130, old.rlim_max };           // the third record ends at 111, the next would at 151
    REQUIRE_INT(setrlimit(RLIMIT_FSIZE, &limit), 0);
    REQUIRE_INT(clzt_events_scalars(e, 2, tags, (const double[]){ 2 }, 1), -EIO);
    REQUIRE_INT(setrlimit(RLIMIT_FSIZE, &old), 0);
    REQUIRE_INT(clzt_events_scalars(e, 3, tags, (const double[]){ 3 }, 1), 0);
    clzt_events_close(&e);
    REQUIRE_INT(read_folder(folder, data, sizeof data, &size), 1);
    REQUIRE_INT(read_events(data, size, events), 4);
    REQUIRE_INT(events[3].step, 3);
}

int main(int argc, char **argv)
{
    char folder[512];

    if (argc == 3 && !strcmp(argv[1], "list")) return list(argv[2]);
    if (!mkdtemp(check_temporary(folder, "events"))) SKIP("no folder for temporary files");
    reader();
    writer(folder);
    full_disk(folder);
    remove_files(folder);
    rmdir(folder);
    return check_end();
}
