// fuzz_hints.c - libFuzzer target of the reader and painter of hints: make fuzz, then
// build/fuzz/fuzz_hints -max_total_time=600 -rss_limit_mb=1024 FOLDER (FOLDER keeps what was found, it may be empty at first).
//
// The first two bytes choose the sizes of frame and network; the rest is the file. Whatever comes: -EBADMSG and one message, or
// hints that paint finite numbers and a mask of 0 and 1.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "engine/hints.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MOST = 64 };
    static float planes[3 * MOST * MOST];
    int messages = 0, ret;
    const struct clz_log log = { .cb = count, .priv = &messages, .level = CLZ_LOG_ERROR };
    struct clzi_hints *h = NULL;

    if (size < 2) return 0;
    ret = clzi_hints_parse(&h, data + 2, size - 2, "fuzz", &log);
    must(ret == 0 ? h && !messages : !h && (ret == -ENOMEM || (ret == -EBADMSG && messages == 1)), "one message or hints");
    if (!h) return 0;
    const int w = 1 + data[0] % MOST, rows = 1 + data[1] % MOST, width = 1 + 9 * data[0], height = 1 + 7 * data[1];
    const struct clzi_hints_area seen = { width / 5, height / 7, width - width / 5, height - height / 7 };
    clzi_hints_paint(h, width, height, &(struct clzi_canvas){ planes, 110, seen, w, rows });
    for (int i = 0; i < 3 * w * rows; i++) must(isfinite(planes[i]), "finite");
    for (int i = 2 * w * rows; i < 3 * w * rows; i++) must(planes[i] == 0 || planes[i] == 1, "a mask");
    clzi_hints_destroy(&h);
    return 0;
}
