// orientation.c - reads the EXIF tag, interprets display matrices, rotates and mirrors pictures.
//
// The tag is read from the file here, because libavcodec 5.1 reads it from JPEG and WebP files but not from PNG and TIFF, and
// later versions report it differently.
#include <stdlib.h>
#include <string.h>

#include "orientation.h"

// From coordinates of the shown picture to those of the stored one: swap x and y if `transpose`, then reverse x, y if `flip_x`,
// `flip_y`.
static const struct turn { bool transpose, flip_x, flip_y; } turns[9] = {
    [1] = { 0, 0, 0 }, [2] = { 0, 1, 0 }, [3] = { 0, 1, 1 }, [4] = { 0, 0, 1 },
    [5] = { 1, 0, 0 }, [6] = { 1, 0, 1 }, [7] = { 1, 1, 1 }, [8] = { 1, 1, 0 },
};

// ---- files: each function gets the remaining bytes and their number, which it checks before it reads ----

enum { TAG_ORIENTATION = 0x112, TYPE_SHORT = 3, ENTRY = 12 };

static uint32_t number(const uint8_t *p, int bytes, bool big)
{
    uint32_t n = 0;

    for (int i = 0; i < bytes; i++) n |= (uint32_t)p[i] << 8 * (big ? bytes - 1 - i : i);
    return n;
}

static bool begins(const uint8_t *p, size_t size, const char *with, size_t n) { return size >= n && !memcmp(p, with, n); }

// Finds the tag in the first directory of a TIFF file; EXIF data has the same form.
static int of_tiff(const uint8_t *p, size_t size)
{
    const bool big = begins(p, size, "MM\0*", 4);
    uint32_t at, count;

    if ((!big && !begins(p, size, "II*\0", 4)) || size < 8) return 1;
    at = number(p + 4, 4, big);
    if (at > size || size - at < 2) return 1;
    count = number(p + at, 2, big);
    p += at + 2;
    size -= at + 2;
    for (; count && size >= ENTRY; count--, p += ENTRY, size -= ENTRY) {
        const uint32_t value = number(p + 8, 2, big);
        if (number(p, 2, big) != TAG_ORIENTATION || number(p + 2, 2, big) != TYPE_SHORT || number(p + 4, 4, big) != 1) continue;
        return value >= 1 && value <= 8 ? (int)value : 1;
    }
    return 1;
}

static int of_exif(const uint8_t *p, size_t size)               // with or without the prefix that it has in JPEG
{
    const size_t prefix = begins(p, size, "Exif\0\0", 6) ? 6 : 0;
    return of_tiff(p + prefix, size - prefix);
}

// A JPEG file: segments of marker, length (including itself) and content, up to the entropy-coded data.
static int of_jpeg(const uint8_t *p, size_t size)
{
    for (p += 2, size -= 2; size >= 4 && p[0] == 0xff;) {
        const uint8_t marker = p[1];
        const size_t length = number(p + 2, 2, true);
        if (marker == 0xff) {               // padding
            p++;
            size--;
            continue;
        }
        if (marker == 0xda || marker == 0xd9 || length < 2 || length > size - 2) return 1;
        if (marker == 0xe1 && begins(p + 4, length - 2, "Exif\0\0", 6)) return of_exif(p + 4, length - 2);
        p += 2 + length;
        size -= 2 + length;
    }
    return 1;
}

// A PNG file: chunks of length, type, content and checksum.
static int of_png(const uint8_t *p, size_t size)
{
    for (p += 8, size -= 8; size >= 12;) {
        const size_t length = number(p, 4, true);
        if (length > size - 12) return 1;
        if (!memcmp(p + 4, "eXIf", 4)) return of_exif(p + 8, length);
        p += 12 + length;
        size -= 12 + length;
    }
    return 1;
}

// A WebP file: chunks of type, length and content, padded to an even number of bytes.
static int of_webp(const uint8_t *p, size_t size)
{
    for (p += 12, size -= 12; size >= 8;) {
        const size_t length = number(p + 4, 4, false), padded = length + (length & 1);
        if (length > size - 8) return 1;
        if (!memcmp(p, "EXIF", 4)) return of_exif(p + 8, length);
        if (padded > size - 8) return 1;
        p += 8 + padded;
        size -= 8 + padded;
    }
    return 1;
}

int clzt_orientation_of_file(const uint8_t *data, size_t size)
{
    if (begins(data, size, "\xff\xd8", 2)) return of_jpeg(data, size);
    if (begins(data, size, "\x89PNG\r\n\x1a\n", 8)) return of_png(data, size);
    if (begins(data, size, "RIFF", 4) && size >= 12 && !memcmp(data + 8, "WEBP", 4)) return of_webp(data, size);
    return of_tiff(data, size);
}

// ---- display matrices ----

// A stored pixel (x, y) is shown at (a x + c y, b x + d y), up to a shift. matrix: a, b, u, c, d, v, ... in 16.16 fixed point.
int clzt_orientation_of_matrix(const int32_t matrix[9])
{
    const int64_t a = matrix[0], b = matrix[1], c = matrix[3], d = matrix[4];
    const bool transpose = llabs(b) + llabs(c) > llabs(a) + llabs(d);
    const bool flip_x = (transpose ? b : a) < 0, flip_y = (transpose ? c : d) < 0;

    for (int i = 1; i <= 8; i++)
        if (turns[i].transpose == transpose && turns[i].flip_x == flip_x && turns[i].flip_y == flip_y) return i;
    return 1;
}

// ---- pictures ----

bool clzt_orientation_transposes(int orientation) { return turns[orientation].transpose; }

void clzt_orient(int orientation, const uint8_t *in, int width, int height, uint8_t *out)
{
    const struct turn turn = turns[orientation];
    const ptrdiff_t along = turn.flip_x ? -1 : 1, down = turn.flip_y ? -width : width;         // a stored column, a stored row
    const ptrdiff_t step_x = turn.transpose ? down : along, step_y = turn.transpose ? along : down;
    const int w = turn.transpose ? height : width, h = turn.transpose ? width : height;
    const size_t first = (turn.flip_x ? width - 1 : 0) + (turn.flip_y ? (size_t)(height - 1) * width : 0);

    for (int plane = 0; plane < 3; plane++, in += (size_t)width * height)
        for (int y = 0; y < h; y++, out += w) {
            const uint8_t *from = in + first + y * step_y;
            for (int x = 0; x < w; x++) out[x] = from[x * step_x];
        }
}
