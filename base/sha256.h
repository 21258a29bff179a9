// sha256.h - SHA-256 (FIPS 180-4).
#ifndef CLZI_SHA256_H
#define CLZI_SHA256_H
#include <stddef.h>
#include <stdint.h>

struct clzi_sha256 {
    uint32_t h[8];
    uint64_t size;                          // bytes so far
    uint8_t block[64];                      // the last, incomplete block
};

void clzi_sha256_init(struct clzi_sha256 *s);
void clzi_sha256_update(struct clzi_sha256 *s, const void *data, size_t size);

// Finishes the hash and writes 64 lower-case hex digits and a NUL.
void clzi_sha256_hex(struct clzi_sha256 *s, char hex[65]);
#endif
