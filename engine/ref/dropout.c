// dropout.c - in training each element is zeroed with probability p and the others are multiplied by 1 / (1 - p);
// otherwise y = x. Which elements: kernels/dropout.h. backward() makes the mask again from the seed; nothing is kept.
#include <string.h>

#include "kernels/dropout.h"
#include "ref.h"

static void mask(const struct clzi_call *c, const float *from, float *to)
{
    const uint32_t threshold = clzk_dropout_threshold(c->node->attr.p);
    const uint64_t stream = clzk_dropout_stream(c->node->name);
    const int64_t count = clzi_shape_count(c->ys);
    const float scale = (float)(1 / (1 - (double)c->node->attr.p));

    if (!c->training) {
        memcpy(to, from, count * sizeof *to);
        return;
    }
    for (int64_t i = 0; i < count; i += 4) {
        uint32_t words[4];
        clzk_dropout_block(*c->seed, stream, i / 4, words);
        for (int k = 0; k < 4 && i + k < count; k++) to[i + k] = words[k] >= threshold ? from[i + k] * scale : 0;
    }
}

static int forward(struct clzi_call *c)
{
    mask(c, c->x[0], c->y);
    return 0;
}

static int backward(struct clzi_call *c)
{
    if (c->dx[0]) mask(c, c->dy, c->dx[0]);
    return 0;
}

const struct clzi_op clzi_ref_dropout = { .forward = forward, .backward = backward };
