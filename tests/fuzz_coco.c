// fuzz_coco.c - libFuzzer target of the reader of COCO's instances files: make fuzz, then
// build/fuzz/fuzz_coco -max_total_time=600 -rss_limit_mb=512 FOLDER (FOLDER keeps what was found, it may be empty at first).
//
// The first byte is the number of bytes that a read returns, so that every token is cut at every place. Whatever comes: 0 and
// data that agrees with itself, or -EBADMSG and exactly one message; the same for reads of any size.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/coco.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes { const uint8_t *at; size_t left, most; };

static ptrdiff_t take(void *priv, uint8_t *data, size_t size)
{
    struct bytes *b = priv;
    size_t n = size < b->most ? size : b->most;

    if (n > b->left) n = b->left;
    memcpy(data, b->at, n);
    b->at += n;
    b->left -= n;
    return (ptrdiff_t)n;
}

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

static int parse(const uint8_t *data, size_t size, size_t most)
{
    struct bytes bytes = { data, size, most };
    int messages = 0;
    const struct clz_log log = { count, &messages, CLZ_LOG_DEBUG };
    struct clzt_coco *c;
    const int ret = clzt_coco_read(&c, &(struct clzt_json_source){ take, &bytes }, "fuzz", &log);

    must(ret == 0 || ret == -EBADMSG, "0 or -EBADMSG");
    must((ret == 0) == (c != NULL), "data or an error");
    must(messages == !!ret, "one message for an error");
    for (int i = 0; c && i < c->image_count; i++) {
        must(c->images[i].name[0] && c->images[i].name[0] != '/', "names are relative");
        must(!i || c->images[i].id > c->images[i - 1].id, "ids ascend");
        for (int k = c->category_count; k < CLZT_MAX_CATEGORIES; k++)
            must(!clzt_categories_have(&c->images[i].categories, k), "categories exist");
    }
    clzt_coco_destroy(&c);
    return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    must(parse(data + 1, size - 1, 1 + data[0] % 7) == parse(data + 1, size - 1, 1 << 20), "the same for reads of any size");
    return 0;
}
