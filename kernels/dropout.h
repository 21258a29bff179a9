// dropout.h - which elements dropout keeps: the one definition for every backend, so that a training step drops the
// same elements on each of them, in any layout and with any number of threads.
//
// Element e (its index in dense NCHW) of node `name` in the step `seed` takes word e % 4 of the Philox block with the
// seed as key and counter = (e / 4, hash of the name), each as two 32-bit words, low first. It is kept if the word is
// >= p * 2^32, and then multiplied by 1 / (1 - p).
#ifndef CLZK_DROPOUT_H
#define CLZK_DROPOUT_H
#include "philox.h"

// FNV-1a, 64 bits.
static inline uint64_t clzk_dropout_stream(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

static inline uint32_t clzk_dropout_threshold(float p) { return (uint32_t)(p * 4294967296.0); }

// The four words of elements 4 * block .. 4 * block + 3.
CLZK_PHILOX_FN void clzk_dropout_block(uint64_t seed, uint64_t stream, uint64_t block, uint32_t words[4])
{
    clzk_philox(seed, stream, block, words);
}
#endif
