// fnv.h - the FNV-1a hash, 64 bits (Fowler, Noll, Vo).
#ifndef CLZK_FNV_H
#define CLZK_FNV_H
#include <stddef.h>
#include <stdint.h>

#define CLZK_FNV1A_BASIS UINT64_C(0xcbf29ce484222325)       // 14695981039346656037, the hash of no bytes
// The start of the trainer's hashes: the basis without its last decimal digit. It is as good a start as any other; run folders
// and the initial weights of a seed depend on it.
#define CLZK_FNV1A_TRAINER UINT64_C(1469598103934665603)

// Continues `hash` over more bytes.
static inline uint64_t clzk_fnv1a(uint64_t hash, const void *data, size_t size)
{
    const unsigned char *p = (const unsigned char *)data;

    for (size_t i = 0; i < size; i++) hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}
#endif
