// dropout.h - which elements dropout keeps: one definition for all backends, so that a training step drops the same elements on
// each of them, in any layout and with any number of threads.
//
// Element e (its index in dense NCHW) of node `name` in the training step with seed `seed` takes word e % 4 of the Philox block
// whose key is the seed and whose counter is (e / 4, hash of the name), each as two 32-bit words, low word first. The element is
// kept, and multiplied by 1 / (1 - p), if that word is >= p * 2^32.
#ifndef CLZK_DROPOUT_H
#define CLZK_DROPOUT_H
#include <string.h>

#include "fnv.h"
#include "philox.h"

static inline uint64_t clzk_dropout_stream(const char *name) { return clzk_fnv1a(CLZK_FNV1A_BASIS, name, strlen(name)); }

static inline uint32_t clzk_dropout_threshold(float p) { return (uint32_t)(p * 4294967296.0); }

// The four words of elements 4 * block to 4 * block + 3.
CLZK_PHILOX_FN void clzk_dropout_block(uint64_t seed, uint64_t stream, uint64_t block, uint32_t words[4])
{
    clzk_philox(seed, stream, block, words);
}
#endif
