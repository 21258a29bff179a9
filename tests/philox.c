// philox.c - the random numbers are those of Philox4x32-10 as published.
#include "check.h"
#include "kernels/dropout.h"
#include "kernels/philox.h"

// Known-answer vectors of Random123 (kat_vectors, philox4x32 with 10 rounds).
static const struct { uint32_t counter[4], key[2], want[4]; } vectors[] = {
    { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
      { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },       // digits of pi
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
};

static uint32_t word(uint64_t seed, uint64_t stream, uint64_t block)
{
    uint32_t words[4];
    clzk_dropout_block(seed, stream, block, words);
    return words[0];
}

int main(void)
{
    CASE("philox/known_answers");
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint32_t out[4];
        clzk_philox4x32(vectors[i].counter, vectors[i].key, out);
        for (int k = 0; k < 4; k++) REQUIRE_INT(out[k], vectors[i].want[k]);
    }

    CASE("philox/uniform_is_in_0_1");
    REQUIRE(clzk_uniform(0) == 0);
    REQUIRE(clzk_uniform(0xffffffff) < 1);
    REQUIRE(clzk_uniform(0x80000000) == 0.5f);

    CASE("philox/dropout_streams_differ");
    REQUIRE_INT(clzk_dropout_stream(""), (long long)0xcbf29ce484222325u);                   // FNV-1a of nothing and of "a"
    REQUIRE_INT(clzk_dropout_stream("a"), (long long)0xaf63dc4c8601ec8cu);
    REQUIRE_INT(clzk_dropout_threshold(0.5f), 0x80000000);
    REQUIRE(word(1, 2, 3) != word(1, 2, 4));
    REQUIRE(word(1, 2, 3) != word(1, 3, 3));
    REQUIRE(word(1, 2, 3) != word(2, 2, 3));
    REQUIRE(word(1, 2, 3) != word(1, 2 + (1ull << 32), 3));
    return check_end();
}
