// pth_files.h - PyTorch checkpoints made by hand, right ones and wrong ones, for the tests of the reader.
//
// Pickles are written in a small assembly language:
//     'text'      BINUNICODE          <module name>   GLOBAL          #12;    BININT (LONG1 of 8 bytes if it needs them)
//     $80         a byte in hex       blanks          nothing         else    the byte itself: most opcodes are letters
#ifndef PTH_FILES_H
#define PTH_FILES_H
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/tensors.h"

struct bytes { uint8_t *p; size_t size, room; };

static inline void put(struct bytes *b, const void *data, size_t size)
{
    if (b->size + size > b->room) {
        b->room = 2 * (b->size + size);
        if (!(b->p = realloc(b->p, b->room))) abort();
    }
    if (size) memcpy(b->p + b->size, data, size);
    b->size += size;
}

static inline void put_number(struct bytes *b, uint64_t value, int size)
{
    for (int i = 0; i < size; i++) put(b, &(uint8_t){ i < 8 ? (uint8_t)(value >> 8 * i) : 0 }, 1);
}

static inline void bytes_free(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes){ 0 };
}

// ---- pickles ----

static inline const char *put_token(struct bytes *b, const char *s)
{
    const char *end = s;
    char *rest;

    switch (*s) {
    case ' ': return s + 1;
    case '\'':
        end = strchr(s + 1, '\'');
        put(b, "X", 1);
        put_number(b, (uint64_t)(end - s - 1), 4);
        put(b, s + 1, (size_t)(end - s - 1));
        return end + 1;
    case '<':
        end = strchr(s, '>');
        put(b, "c", 1);
        for (const char *c = s + 1; c < end; c++) put(b, *c == ' ' ? "\n" : c, 1);
        put(b, "\n", 1);
        return end + 1;
    case '#': {
        const int64_t value = strtoll(s + 1, &rest, 10);
        const bool small = value >= INT32_MIN && value <= INT32_MAX;
        put(b, small ? "J" : "\x8a\x08", small ? 1 : 2);
        put_number(b, (uint64_t)value, small ? 4 : 8);
        return rest + 1;
    }
    case '$':
        put_number(b, strtoul((char[]){ s[1], s[2], 0 }, NULL, 16), 1);
        return s + 3;
    default:
        put(b, s, 1);
        return s + 1;
    }
}

static inline void put_pickle(struct bytes *b, const char *assembly)
{
    while (*assembly) assembly = put_token(b, assembly);
}

// The usual pieces. sizes and strides are tokens: "#2; #3;".
#define ORDERED_DICT "<collections OrderedDict> ) R"
#define STORAGE(type, key, count) "( 'storage' <torch " type "> '" key "' 'cpu' #" count "; t Q"
#define TENSOR_OF(storage, offset, sizes, strides) \
    "<torch._utils _rebuild_tensor_v2> ( " storage " #" offset "; ( " sizes " t ( " strides " t $89 " ORDERED_DICT " t R"
#define TENSOR(key, count, offset, sizes, strides) TENSOR_OF(STORAGE("FloatStorage", key, count), offset, sizes, strides)
#define PICKLE(body) "$80 $02 " body " ."

// Two tensors: a.weight [2,3], all six of storage 0; b.bias [2], the last two of the three of storage 1.
#define TENSOR_A TENSOR("0", "6", "0", "#2; #3;", "#3; #1;")
#define TENSOR_B TENSOR("1", "3", "1", "#2;", "#1;")
#define GOOD_PICKLE PICKLE(ORDERED_DICT " ( 'a.weight' " TENSOR_A " 'b.bias' " TENSOR_B " u")
enum { STORAGES = 2 };
static const float storage_values[STORAGES][6] = { { 1, 2, 3, 4, 5, 6 }, { 7, 8, 9 } };
static const int storage_counts[STORAGES] = { 6, 3 };

// ---- zip form ----

struct zip_entry { const char *name; const void *data; size_t size; };

// Where the records begin, to be written over.
enum zip_record { LOCAL, DATA, CENTRAL, END64, LOCATOR, END };
struct zip { struct bytes file; size_t local[16], data[16], central[16], end64, locator, end; };

static inline void put_zip(struct zip *z, const struct zip_entry *entries, int count)
{
    struct bytes *b = &z->file;
    size_t directory;

    for (int i = 0; i < count; i++) {
        const struct zip_entry *e = &entries[i];
        z->local[i] = b->size;
        put(b, "PK\3\4\0\0\x08\x08\0\0\0\0\0\0", 14);
        put_number(b, 0, 12);                               // CRC-32 and sizes stand behind the data
        put_number(b, strlen(e->name), 2);
        put_number(b, 6, 2);
        put(b, e->name, strlen(e->name));
        put(b, "FB\2\0ZZ", 6);
        z->data[i] = b->size;
        put(b, e->data, e->size);
        put(b, "PK\7\10", 4);
        put_number(b, clzt_crc32(0, e->data, e->size), 4);
        put_number(b, e->size, 4);
        put_number(b, e->size, 4);
    }
    directory = b->size;
    for (int i = 0; i < count; i++) {
        const struct zip_entry *e = &entries[i];
        z->central[i] = b->size;
        put(b, "PK\1\2\0\0\0\0\x08\x08\0\0\0\0\0\0", 16);
        put_number(b, clzt_crc32(0, e->data, e->size), 4);
        put_number(b, e->size, 4);
        put_number(b, e->size, 4);
        put_number(b, strlen(e->name), 2);
        put_number(b, 0, 12);
        put_number(b, z->local[i], 4);
        put(b, e->name, strlen(e->name));
    }
    z->end64 = b->size;
    put(b, "PK\6\6", 4);
    put_number(b, 44, 8);
    put_number(b, 0, 12);
    put_number(b, (uint64_t)count, 8);
    put_number(b, (uint64_t)count, 8);
    put_number(b, z->end64 - directory, 8);
    put_number(b, directory, 8);
    z->locator = b->size;
    put(b, "PK\6\7", 4);
    put_number(b, 0, 4);
    put_number(b, z->end64, 8);
    put_number(b, 1, 4);
    z->end = b->size;
    put(b, "PK\5\6\0\0\0\0", 8);
    put_number(b, (uint64_t)count, 2);
    put_number(b, (uint64_t)count, 2);
    put_number(b, z->end64 - directory, 4);
    put_number(b, directory, 4);
    put_number(b, 0, 2);
}

static inline size_t zip_place(const struct zip *z, enum zip_record record, int entry)
{
    switch (record) {
    case LOCAL:   return z->local[entry];
    case DATA:    return z->data[entry];
    case CENTRAL: return z->central[entry];
    case END64:   return z->end64;
    case LOCATOR: return z->locator;
    case END:     break;
    }
    return z->end;
}

// The checkpoint x with this pickle, storages 0 and 1, a version and a byte order; pickle bytes may hold anything.
enum { ZIP_ENTRIES = 5 };
static inline void put_zip_checkpoint(struct zip *z, const void *pickle, size_t size)
{
    const struct zip_entry entries[ZIP_ENTRIES] = {
        { "x/data.pkl", pickle, size }, { "x/byteorder", "little", 6 }, { "x/data/0", storage_values[0], 24 },
        { "x/data/1", storage_values[1], 12 }, { "x/version", "3\n", 2 },
    };
    put_zip(z, entries, ZIP_ENTRIES);
}

// ---- legacy form ----

static inline void put_legacy_head(struct bytes *b)
{
    put_pickle(b, "$80 $02 $8a $0a $6c $fc $9c $46 $f9 $20 $6a $a8 $50 $19 .");
    put_pickle(b, PICKLE("#1001;"));
    put_pickle(b, PICKLE("} ( 'protocol_version' #1001; 'little_endian' $88 u"));
}

static inline void put_storage(struct bytes *b, int i)
{
    put_number(b, (uint64_t)storage_counts[i], 8);
    put(b, storage_values[i], (size_t)storage_counts[i] * sizeof(float));
}

// With those of storages 0 and 1 that the pickle mentions.
static inline void put_legacy(struct bytes *b, const void *pickle, size_t size)
{
    static const char keys[STORAGES][6] = { "X\1\0\0\0000", "X\1\0\0\0001" };
    bool mentioned[STORAGES];

    put_legacy_head(b);
    put(b, pickle, size);
    put_pickle(b, "$80 $02 ] (");
    for (int i = 0; i < STORAGES; i++)
        if ((mentioned[i] = memmem(pickle, size, keys[i], 6) != NULL)) put(b, keys[i], 6);
    put_pickle(b, "e .");
    for (int i = 0; i < STORAGES; i++)
        if (mentioned[i]) put_storage(b, i);
}
#endif
