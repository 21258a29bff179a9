// fuzz_answers.c - libFuzzer target of the reader of files of answers: make fuzz, then
// build/fuzz/fuzz_answers -max_total_time=600 -rss_limit_mb=512 FOLDER (FOLDER keeps what was found, it may be empty at first).
//
// The first byte: bit 0, the checksums are made right, since no mutation finds one; the others, the size of the answers that are
// looked for. Whatever comes: an error and one message, or answers whose numbers are finite, the same each time.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/log.h"
#include "engine/answers.h"
#include "engine/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEADER = 128, RECORD = 88 };

static void must(int condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "violated: %s\n", what);
    abort();
}

static void count(void *priv, enum clz_log_level level, const char *msg)
{
    must(*msg != 0, "messages are not empty");
    *(int *)priv += level == CLZ_LOG_ERROR;
}

static void put_crc(uint8_t *to, const uint8_t *data, size_t size)
{
    const uint32_t crc = (uint32_t)crc32_z(0, data, size);
    for (int i = 0; i < 4; i++) to[i] = (uint8_t)(crc >> 8 * i);
}

// A file as it would be with right checksums; what is no record ends it.
static void repair(uint8_t *p, size_t size)
{
    static const uint8_t begins[16] = { 0x89, 'C', 'L', 'Z', 'A', '\r', '\n', 0x1a, 1, 0, 0, 0, HEADER };

    if (size < HEADER) return;
    memcpy(p, begins, sizeof begins);
    put_crc(p + 124, p, 124);
    for (size_t at = HEADER; size - at >= RECORD;) {
        uint8_t *r = p + at;
        const uint32_t n = clzi_u32le(r + 4);
        memcpy(r, "ANSW", 4);
        if (n <= size - at - RECORD) put_crc(r + 80, r + RECORD, n);
        put_crc(r + 84, r, 84);
        if (n > size - at - RECORD) return;
        at += RECORD + n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static float ab[2][2 * 16 * 8];
    struct clzk_murmur network = { { 0, 0 } };
    struct clzi_answers_reader *r = NULL;
    uint8_t *file = malloc(size);
    int messages = 0, ret;
    const struct clz_log log = { .cb = count, .priv = &messages, .level = CLZ_LOG_WARNING };

    if (size < 1) return free(file), 0;
    memcpy(file, data + 1, size - 1);
    if (data[0] & 1) repair(file, size - 1);
    if (size > HEADER) network = (struct clzk_murmur){ { clzi_u64le(file + 16), clzi_u64le(file + 24) } };
    ret = clzi_answers_parse(&r, file, size - 1, "fuzz", &network, &log);
    must(ret == 0 ? r && !messages : !r && (ret == -ENOMEM || ((ret == -EBADMSG || ret == -EINVAL) && messages == 1)),
         "one message or a reader");
    for (size_t at = HEADER, n; r && size - 1 - at >= RECORD; at += RECORD + n) {
        const struct clzk_murmur key = { { clzi_u64le(file + at + 8), clzi_u64le(file + at + 16) } };
        struct clzi_answer a[2];
        if ((n = clzi_u32le(file + at + 4)) > size - 1 - at - RECORD) n = size - 1 - at - RECORD;
        for (int i = 0; i < 2; i++) {
            a[i] = (struct clzi_answer){ .h = 1 + (data[0] >> 1) % 8, .w = 1 + (data[0] >> 4), .ab = ab[i] };
            ret = clzi_answers_find(r, &key, &a[i]);
            must(ret == 0 || ret == 1, "there or not");
            if (!ret) break;
            for (int k = 0; k < 2 * a[i].h * a[i].w; k++) must(fabsf(ab[i][k]) <= 1e6f, "usable numbers");
            must(a[i].precision >= CLZ_PRECISION_F32 && a[i].precision <= CLZ_PRECISION_F16, "a precision");
            must(a[i].ambiguity.mean < 0 || (a[i].ambiguity.mean <= 1 && a[i].ambiguity.x >= 0 && a[i].ambiguity.y >= 0),
                 "an ambiguity");
            if (i) must(!memcmp(ab[0], ab[1], 2 * (size_t)a[i].h * a[i].w * sizeof **ab), "the same each time");
        }
    }
    clzi_answers_reader_destroy(&r);
    free(file);
    return 0;
}
