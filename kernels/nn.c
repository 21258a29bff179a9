// nn.c - which instruction sets this machine has, the list of kernels, and the kernels in plain C.
#define ISA plain
#include "nn_isa.h"

#if defined(__x86_64__)

enum clzk_isa clzk_isa_best(void)
{
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq"))
        return CLZK_ISA_AVX512;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? CLZK_ISA_AVX2 : CLZK_ISA_PLAIN;
}

static const struct { const struct clzk_nn *const *nn; const struct clzk_vectors *vectors; } list[CLZK_ISA_COUNT] = {
    { clzk_nn_plain, &clzk_vectors_plain }, { clzk_nn_avx2, &clzk_vectors_avx2 }, { clzk_nn_avx512, &clzk_vectors_avx512 },
};

#else

enum clzk_isa clzk_isa_best(void) { return CLZK_ISA_PLAIN; }

static const struct { const struct clzk_nn *const *nn; const struct clzk_vectors *vectors; } list[CLZK_ISA_COUNT] = {
    { clzk_nn_plain, &clzk_vectors_plain },
};

#endif

const struct clzk_nn *clzk_nn_find(enum clzk_isa isa, bool bf16) { return list[isa].nn[bf16]; }
const struct clzk_vectors *clzk_vectors_find(enum clzk_isa isa) { return list[isa].vectors; }
