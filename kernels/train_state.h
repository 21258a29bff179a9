// train_state.h - what a training step decides from its own numbers, in memory of the device: one definition for all backends.
#ifndef CLZK_TRAIN_STATE_H
#define CLZK_TRAIN_STATE_H
#include <stdbool.h>

#include "lab_math.h"

#define CLZK_TRAIN_LIMIT 18446744073709551616.f // 2^64, whose square Adam's v cannot hold
#define CLZK_SCALE_GROWTH_STEPS 2000        // good steps after which a dynamic scale is doubled, as PyTorch's GradScaler does

// Ends a step: clears bad; a dynamic scale is halved after a bad step, and doubled after CLZK_SCALE_GROWTH_STEPS good ones.
CLZK_FN void clzk_train_state_advance(float *scale, float *good, float *bad, bool dynamic)
{
    if (dynamic && *bad != 0) {
        *scale = *scale > 1 ? *scale / 2 : 1;
        *good = 0;
    } else if (dynamic && ++*good >= CLZK_SCALE_GROWTH_STEPS) {
        *scale = *scale < 16777216.f ? *scale * 2 : *scale;
        *good = 0;
    }
    *bad = 0;
}
#endif
