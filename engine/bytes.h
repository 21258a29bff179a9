// bytes.h - reads an untrusted file, given as a descriptor or as memory. Reads use pread: a mapped file that shrinks would kill
// the process with SIGBUS.
#ifndef CLZI_BYTES_H
#define CLZI_BYTES_H
#include <stddef.h>
#include <stdint.h>
#include "colorize.h"

struct clzi_bytes {
    int fd;                                 // -1: the bytes are in memory
    const uint8_t *memory;
    uint64_t size;
    const char *name;                       // for messages
    const struct clz_log *log;
};

// Copies `size` bytes from `offset`; the caller has checked that they lie within bytes->size. 0, -EBADMSG (the file has become
// shorter) or the error of pread(), logged.
int clzi_bytes_read(const struct clzi_bytes *bytes, uint64_t offset, void *to, size_t size);

static inline uint64_t clzi_u64le(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static inline uint16_t clzi_u16le(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }
static inline uint32_t clzi_u32le(const uint8_t *p) { return clzi_u16le(p) | (uint32_t)clzi_u16le(p + 2) << 16; }
#endif
