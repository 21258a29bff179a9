// orientation.c - EXIF orientations and display matrices in every form that they come in, also damaged.
#include <errno.h>
#include <stdarg.h>
#include <libavutil/display.h>

#include "check.h"
#include "trainer/orientation.h"

struct file { uint8_t bytes[300]; size_t size; };

static void add(struct file *f, const void *bytes, size_t size)
{
    memcpy(f->bytes + f->size, bytes, size);
    f->size += size;
}

static void add_number(struct file *f, uint32_t n, int size, bool big)
{
    for (int i = 0; i < size; i++) f->bytes[f->size++] = (uint8_t)(n >> 8 * (big ? size - 1 - i : i));
}

// Adds a directory with an entry before the tag and one after it.
static void add_tiff(struct file *f, int orientation, bool big)
{
    static const struct { int tag, type; } entries[] = { { 0x100, 4 }, { 0x112, 3 }, { 0x11a, 5 } };

    add(f, big ? "MM" : "II", 2);
    add_number(f, 42, 2, big);
    add_number(f, 12, 4, big);              // four unused bytes before the directory
    add(f, "none", 4);
    add_number(f, 3, 2, big);
    for (int i = 0; i < 3; i++) {
        add_number(f, entries[i].tag, 2, big);
        add_number(f, entries[i].type, 2, big);
        add_number(f, 1, 4, big);
        add_number(f, orientation, entries[i].type == 3 ? 2 : 4, big);
        if (entries[i].type == 3) add_number(f, 0, 2, big);
    }
    add_number(f, 0, 4, big);
}

static void make_tiff(struct file *f, int orientation, bool big) { add_tiff(f, orientation, big); }

static void make_jpeg(struct file *f, int orientation, bool big)
{
    struct file exif = { .size = 0 };

    add(&exif, "Exif\0\0", 6);
    add_tiff(&exif, orientation, big);
    add(f, "\xff\xd8\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0\xff\xff\xe1\0\xaxmp data", 33);      // with a byte of padding
    add(f, "\xff\xe1", 2);
    add_number(f, (uint32_t)exif.size + 2, 2, true);
    add(f, exif.bytes, exif.size);
    add(f, "\xff\xda\0\2", 4);
}

static void make_png(struct file *f, int orientation, bool big)
{
    struct file exif = { .size = 0 };

    add_tiff(&exif, orientation, big);
    add(f, "\x89PNG\r\n\x1a\n\0\0\0\4IDAT1234crc.", 24);
    add_number(f, (uint32_t)exif.size, 4, true);
    add(f, "eXIf", 4);
    add(f, exif.bytes, exif.size);
    add(f, "crc.\0\0\0\0IENDcrc.", 16);
}

static void make_webp(struct file *f, int orientation, bool big)
{
    struct file exif = { .size = 0 };

    if (big) add(&exif, "Exif\0\0", 6);     // some writers keep the prefix of JPEG
    add_tiff(&exif, orientation, big);
    add(f, "RIFF\0\0\0\0WEBPVP8 \3\0\0\0abc\0EXIF", 28);         // a chunk of odd length, with padding
    add_number(f, (uint32_t)exif.size, 4, false);
    add(f, exif.bytes, exif.size);
}

static const struct { const char *name; void (*make)(struct file *, int orientation, bool big); } kinds[] = {
    { "tiff", make_tiff }, { "jpeg", make_jpeg }, { "png", make_png }, { "webp", make_webp },
};

// Reads from memory of exactly that size, so that sanitizers detect reads beyond it.
static int read_copy(const uint8_t *bytes, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    int orientation;

    memcpy(copy, bytes, size);
    orientation = clzt_orientation_of_file(copy, size);
    free(copy);
    return orientation;
}

static void files(void)
{
    uint32_t seed = 1;

    CASE("orientation/of_files");
    for (int k = 0; k < 4; k++)
        for (int big = 0; big < 2; big++)
            for (int o = 0; o <= 9; o++) {
                struct file f = { .size = 0 };
                kinds[k].make(&f, o, big);
                if (read_copy(f.bytes, f.size) != (o < 1 || o > 8 ? 1 : o)) printf("  %s, orientation %d:\n", kinds[k].name, o);
                REQUIRE_INT(read_copy(f.bytes, f.size), o < 1 || o > 8 ? 1 : o);
            }
    REQUIRE_INT(read_copy((const uint8_t *)"", 0), 1);
    REQUIRE_INT(read_copy((const uint8_t *)"P6 1 1 255 abc", 14), 1);

    CASE("orientation/of_damaged_files");   // cut off anywhere, or with bytes changed: no byte beyond the file is read
    for (int k = 0; k < 4; k++) {
        struct file f = { .size = 0 };
        kinds[k].make(&f, 6, k & 1);
        for (size_t size = 0; size < f.size; size++) {
            const int o = read_copy(f.bytes, size);
            REQUIRE(o == 1 || o == 6);
        }
        for (int i = 0; i < 20000; i++) {
            struct file damaged = f;
            for (int n = 0; n < 1 + i % 4; n++) {
                seed = seed * 1664525u + 1013904223u;
                damaged.bytes[(seed >> 8) % f.size] = (uint8_t)(i % 3 ? seed >> 24 : i % 2 ? 255 : 0);
            }
            const int o = read_copy(damaged.bytes, f.size);
            REQUIRE(o >= 1 && o <= 8);
        }
    }
}

static void matrices(void)
{
    int32_t m[9];

    CASE("orientation/of_matrices");
    for (int turns = 0; turns < 4; turns++)
        for (int mirrored = 0; mirrored < 2; mirrored++) {
            // as libavcodec makes them of EXIF's tag: a turn clockwise, then a mirror in the stored picture
            static const int want[4][2] = { { 1, 2 }, { 6, 5 }, { 3, 4 }, { 8, 7 } };
            for (int off = -40; off <= 40; off += 40) {         // degrees: rounded to a multiple of 90
                av_display_rotation_set(m, 90 * turns + off);
                if (mirrored) av_display_matrix_flip(m, 1, 0);
                REQUIRE_INT(clzt_orientation_of_matrix(m), want[turns][mirrored]);
            }
        }
    memset(m, 0, sizeof m);
    REQUIRE_INT(clzt_orientation_of_matrix(m), 1);
    for (int i = 0; i < 9; i++) m[i] = INT32_MIN;
    REQUIRE(clzt_orientation_of_matrix(m) >= 1);
}

static void pictures(void)
{
    // as EXIF has it: which sides of the shown picture the stored first row and first column are
    static const struct { int w; const char *shown; } want[9] = { { 0, "" },
        { 3, "abcdef" },                    // top, left
        { 3, "cbafed" },                    // top, right
        { 3, "fedcba" },                    // bottom, right
        { 3, "defabc" },                    // bottom, left
        { 2, "adbecf" },                    // left, top
        { 2, "daebfc" },                    // right, top
        { 2, "fcebda" },                    // right, bottom
        { 2, "cfbead" },                    // left, bottom
    };
    uint8_t in[18], out[18];

    CASE("orientation/turning");
    for (int i = 0; i < 18; i++) in[i] = (uint8_t)("abcdef"[i % 6] + 10 * (i / 6));
    for (int o = 1; o <= 8; o++) {
        clzt_orient(o, in, 3, 2, out);
        REQUIRE_INT(clzt_orientation_transposes(o) ? 2 : 3, want[o].w);
        for (int i = 0; i < 18; i++) REQUIRE_INT(out[i], want[o].shown[i % 6] + 10 * (i / 6));
    }
}

int main(void)
{
    files();
    matrices();
    pictures();
    return check_end();
}
