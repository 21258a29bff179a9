// pth_zip.c - reads ZIP archives with stored entries. Source: APPNOTE.TXT 6.3 of PKWARE.
//
// A writer that cannot seek leaves sizes and CRC-32 in the local header 0 and writes them after the data. So they are read from
// the central directory; what the local header states must agree. torch.save() always writes ZIP64 end records.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/model_json.h"
#include "pth_zip.h"

enum {
    END = 22, LOCATOR = 20, END64 = 56, CENTRAL = 46, LOCAL = 30,       // bytes of the fixed part of each record
    MAX_ENTRIES = 1 << 17, MAX_NAME = 512,
    ENCRYPTED = 1 << 0, SIZES_BEHIND = 1 << 3, UTF8 = 1 << 11,          // flags
    EXTRA_ZIP64 = 1,
};

#define BAD(zip, format, ...) clzi_fail((zip)->bytes.log, -EBADMSG, "%s: ZIP: " format, (zip)->bytes.name, __VA_ARGS__)

static struct clzi_printable name_of(const struct clzt_zip_entry *e)
{
    char text[64];

    snprintf(text, sizeof text, "%.*s", (int)(e->name_size < 63 ? e->name_size : 63), e->name);
    return clzi_printable(text);
}

// ---- the end of the archive: where the central directory lies ----

struct place { uint64_t entries, size, at; };

static bool differs(uint64_t in_end, uint64_t saturated, uint64_t in_end64) { return in_end != saturated && in_end != in_end64; }

static int read_end64(struct clzt_zip *zip, uint64_t end, const uint8_t *locator, struct place *p)
{
    const uint64_t at = clzi_u64le(locator + 8);
    const struct place short_form = *p;
    uint8_t record[END64];
    int ret;

    if (end < LOCATOR + END64 || at != end - LOCATOR - END64)
        return BAD(zip, "ZIP64 end record at byte %" PRIu64 " of %" PRIu64, at, zip->bytes.size);
    if ((ret = clzi_bytes_read(&zip->bytes, at, record, sizeof record)) < 0) return ret;
    if (clzi_u32le(record) != 0x06064b50 || clzi_u64le(record + 4) != END64 - 12 || clzi_u64le(record + 16))
        return BAD(zip, "ZIP64 end record at byte %" PRIu64 " is damaged", at);
    *p = (struct place){ clzi_u64le(record + 32), clzi_u64le(record + 40), clzi_u64le(record + 48) };
    if (differs(short_form.entries, UINT16_MAX, p->entries) || differs(short_form.size, UINT32_MAX, p->size) ||
        differs(short_form.at, UINT32_MAX, p->at))
        return BAD(zip, "end record and ZIP64 end record at byte %" PRIu64 " say different things", at);
    return 0;
}

static int find_directory(struct clzt_zip *zip, struct place *p)
{
    const uint64_t size = zip->bytes.size, end = size < END ? 0 : size - END;
    uint8_t record[LOCATOR + END] = { 0 }, *at = record + LOCATOR;
    uint64_t last = end;                    // where the directory must end
    int ret;

    if (size < END) return BAD(zip, "%" PRIu64 " bytes, too short", size);
    if (end >= LOCATOR) ret = clzi_bytes_read(&zip->bytes, end - LOCATOR, record, sizeof record);
    else ret = clzi_bytes_read(&zip->bytes, end, at, END);
    if (ret < 0) return ret;
    if (clzi_u32le(at) != 0x06054b50 || clzi_u16le(at + 20))
        return BAD(zip, "no end record in the last %d bytes: cut off, or something behind it?", END);
    if (clzi_u16le(at + 4) || clzi_u16le(at + 6) || clzi_u16le(at + 8) != clzi_u16le(at + 10))
        return BAD(zip, "%s", "is one of several parts");
    *p = (struct place){ clzi_u16le(at + 10), clzi_u32le(at + 12), clzi_u32le(at + 16) };
    if (clzi_u32le(record) == 0x07064b50) {
        if ((ret = read_end64(zip, end, record, p)) < 0) return ret;
        last = end - LOCATOR - END64;
    }
    if (p->at > last || p->size != last - p->at)
        return BAD(zip, "central directory of %" PRIu64 " bytes at byte %" PRIu64 ", expected it to end at byte %" PRIu64,
                   p->size, p->at, last);
    if (p->size > CLZT_MAX_DESCRIPTION)
        return BAD(zip, "central directory of %" PRIu64 " bytes, at most %d", p->size, CLZT_MAX_DESCRIPTION);
    if (p->entries > MAX_ENTRIES || p->entries > p->size / CENTRAL)
        return BAD(zip, "%" PRIu64 " entries in a central directory of %" PRIu64 " bytes", p->entries, p->size);
    return 0;
}

// ---- entries of the central directory ----

// Rejects names that lead out of a folder. Nothing is unpacked here, but torch.save() does not write such names.
static bool good_name(const char *name, size_t size)
{
    if (!size || size > MAX_NAME || name[0] == '/' || memchr(name, 0, size) || memchr(name, '\\', size)) return false;
    for (size_t i = 0, part = 0; i <= size; i++) {
        if (i < size && name[i] != '/') continue;
        if (i - part == 2 && name[part] == '.' && name[part + 1] == '.') return false;
        part = i + 1;
    }
    return true;
}

// The ZIP64 extra field has the values that do not fit 32 bits, and only those, in this order.
static int read_zip64(struct clzt_zip *zip, const struct clzt_zip_entry *e, const uint8_t *extra, size_t size,
                      uint64_t *const values[3])
{
    bool found = false;

    for (size_t at = 0; at < size;) {
        const size_t left = size - at, length = left >= 4 ? clzi_u16le(extra + at + 2) : 0;
        const uint8_t *p = extra + at + 4;
        if (left < 4 || length > left - 4) return BAD(zip, "entry %s: extra fields are damaged", name_of(e).text);
        at += 4 + length;
        if (clzi_u16le(p - 4) != EXTRA_ZIP64) continue;
        if (found) return BAD(zip, "entry %s: two ZIP64 fields", name_of(e).text);
        found = true;
        for (size_t i = 0, used = 0; i < 3; i++) {
            if (*values[i] != UINT32_MAX) continue;
            if (length - used < 8) return BAD(zip, "entry %s: a ZIP64 field of %zu bytes, too short", name_of(e).text, length);
            *values[i] = clzi_u64le(p + used);
            used += 8;
        }
    }
    return 0;
}

// Reads the record at p, where `left` bytes remain; *size: its length.
static int read_central(struct clzt_zip *zip, const uint8_t *p, size_t left, struct clzt_zip_entry *e, size_t *size)
{
    uint64_t packed, *const values[3] = { &e->size, &packed, &e->header };
    size_t extra;
    int ret;

    if (left < CENTRAL || clzi_u32le(p) != 0x02014b50)
        return BAD(zip, "central directory is damaged, %zu bytes before its end", left);
    e->name = (const char *)p + CENTRAL;
    e->name_size = clzi_u16le(p + 28);
    extra = clzi_u16le(p + 30);
    *size = CENTRAL + e->name_size + extra + clzi_u16le(p + 32);
    if (*size > left) return BAD(zip, "central directory is damaged, %zu bytes before its end", left);
    if (!good_name(e->name, e->name_size))
        return BAD(zip, "entry \"%s\": a name that torch.save() does not give", name_of(e).text);
    if (clzi_u16le(p + 8) & ENCRYPTED) return BAD(zip, "entry %s is encrypted", name_of(e).text);
    if (clzi_u16le(p + 8) & ~(SIZES_BEHIND | UTF8)) return BAD(zip, "entry %s: flags 0x%x", name_of(e).text, clzi_u16le(p + 8));
    if (clzi_u16le(p + 10)) return BAD(zip, "entry %s is compressed (method %d)", name_of(e).text, clzi_u16le(p + 10));
    e->crc = clzi_u32le(p + 16);
    packed = clzi_u32le(p + 20);
    e->size = clzi_u32le(p + 24);
    e->header = clzi_u32le(p + 42);
    if ((ret = read_zip64(zip, e, p + CENTRAL + e->name_size, extra, values)) < 0) return ret;
    if (packed != e->size)
        return BAD(zip, "entry %s: stored, but %" PRIu64 " bytes and %" PRIu64 " in the archive", name_of(e).text, e->size,
                   packed);
    return 0;
}

// Sets e->at from the local header; end: offset of the central directory.
static int read_local(struct clzt_zip *zip, const uint8_t *central, uint64_t end, struct clzt_zip_entry *e)
{
    uint8_t p[LOCAL], name[MAX_NAME];
    uint64_t begin;
    int ret;

    if (e->header > end || end - e->header < LOCAL)
        return BAD(zip, "entry %s: local header at byte %" PRIu64 ", the data ends at %" PRIu64, name_of(e).text, e->header, end);
    if ((ret = clzi_bytes_read(&zip->bytes, e->header, p, sizeof p)) < 0) return ret;
    begin = e->header + LOCAL + clzi_u16le(p + 26) + clzi_u16le(p + 28);
    if (clzi_u32le(p) != 0x04034b50 || clzi_u16le(p + 26) != e->name_size || begin > end || e->size > end - begin)
        return BAD(zip, "entry %s: %" PRIu64 " bytes behind its local header at byte %" PRIu64 ", the data ends at %" PRIu64,
                   name_of(e).text, e->size, e->header, end);
    if ((ret = clzi_bytes_read(&zip->bytes, e->header + LOCAL, name, e->name_size)) < 0) return ret;
    if (memcmp(name, e->name, e->name_size) || clzi_u16le(p + 6) != clzi_u16le(central + 8) || clzi_u16le(p + 8))
        return BAD(zip, "entry %s: its local header at byte %" PRIu64 " is of another", name_of(e).text, e->header);
    if (!(clzi_u16le(p + 6) & SIZES_BEHIND) && (clzi_u32le(p + 14) != e->crc ||
        differs(clzi_u32le(p + 18), UINT32_MAX, e->size) || differs(clzi_u32le(p + 22), UINT32_MAX, e->size)))
        return BAD(zip, "entry %s: its local header at byte %" PRIu64 " has another size or CRC-32", name_of(e).text, e->header);
    e->at = begin;
    return 0;
}

// ---- all of them ----

static int by_place(const void *a, const void *b)
{
    const struct clzt_zip_entry *x = a, *y = b;
    return (x->header > y->header) - (x->header < y->header);
}

static int by_name(const void *a, const void *b)
{
    const struct clzt_zip_entry *x = a, *y = b;
    const size_t size = x->name_size < y->name_size ? x->name_size : y->name_size;
    const int order = memcmp(x->name, y->name, size);

    return order ? order : (x->name_size > y->name_size) - (x->name_size < y->name_size);
}

static int check_entries(struct clzt_zip *zip)
{
    qsort(zip->entries, (size_t)zip->count, sizeof *zip->entries, by_place);
    for (int i = 1; i < zip->count; i++)
        if (zip->entries[i].header < zip->entries[i - 1].at + zip->entries[i - 1].size)
            return BAD(zip, "entries %s and %s overlap", name_of(&zip->entries[i - 1]).text, name_of(&zip->entries[i]).text);
    qsort(zip->entries, (size_t)zip->count, sizeof *zip->entries, by_name);
    for (int i = 1; i < zip->count; i++)
        if (!by_name(&zip->entries[i - 1], &zip->entries[i])) return BAD(zip, "two entries %s", name_of(&zip->entries[i]).text);
    return 0;
}

int clzt_zip_open(struct clzt_zip *zip, const struct clzi_bytes *bytes)
{
    struct place p = { 0 };
    size_t at = 0, size;
    int ret;

    *zip = (struct clzt_zip){ .bytes = *bytes };
    if ((ret = find_directory(zip, &p)) < 0) return ret;
    if (!(zip->directory = malloc((size_t)p.size + 1)) || !(zip->entries = calloc((size_t)p.entries + 1, sizeof *zip->entries)))
        return -ENOMEM;
    if ((ret = clzi_bytes_read(bytes, p.at, zip->directory, (size_t)p.size)) < 0) return ret;
    for (; (uint64_t)zip->count < p.entries; zip->count++, at += size) {
        struct clzt_zip_entry *e = &zip->entries[zip->count];
        if ((ret = read_central(zip, zip->directory + at, (size_t)p.size - at, e, &size)) < 0) return ret;
        if ((ret = read_local(zip, zip->directory + at, p.at, e)) < 0) return ret;
    }
    if (at != p.size) return BAD(zip, "%zu bytes behind the last entry of the central directory", (size_t)p.size - at);
    return check_entries(zip);
}

void clzt_zip_free(struct clzt_zip *zip)
{
    free(zip->entries);
    free(zip->directory);
    *zip = (struct clzt_zip){ .bytes = { .fd = -1 } };
}

const struct clzt_zip_entry *clzt_zip_find(const struct clzt_zip *zip, const char *name)
{
    const struct clzt_zip_entry key = { .name = name, .name_size = strlen(name) };
    return zip->count ? bsearch(&key, zip->entries, (size_t)zip->count, sizeof key, by_name) : NULL;
}

int clzt_zip_read(const struct clzt_zip *zip, const struct clzt_zip_entry *e, size_t most, uint8_t **data)
{
    uint32_t crc;
    int ret;

    if (e->size > most) return BAD(zip, "entry %s has %" PRIu64 " bytes, at most %zu", name_of(e).text, e->size, most);
    if (!(*data = malloc((size_t)e->size + 1))) return -ENOMEM;
    (*data)[e->size] = 0;
    if ((ret = clzi_bytes_read(&zip->bytes, e->at, *data, (size_t)e->size)) >= 0 &&
        (crc = clzt_crc32(0, *data, (size_t)e->size)) != e->crc)
        ret = BAD(zip, "entry %s: CRC-32 is %08" PRIx32 ", the archive says %08" PRIx32 ": damaged", name_of(e).text, crc,
                  e->crc);
    if (ret >= 0) return 0;
    free(*data);
    *data = NULL;
    return ret;
}
