// bars.h - which rows and columns of a frame are black: what engine/bars.c and kernels/cuda/bars.cu have in common.
#ifndef CLZK_BARS_H
#define CLZK_BARS_H

enum {
    CLZK_BARS_BLACK      = 24,              // largest 8-bit code of black: 16 plus noise; the default of FFmpeg's cropdetect
    CLZK_BARS_MAX_BRIGHT = 32,              // a row or column is black if at most 1/32 of its samples are bright, not black
    CLZK_BARS_MIN_ROWS   = 540,             // the columns of a picture with more rows are measured in 540 to 1079 rows of it
};

// The largest code of black in a sample's bits. shift: how far they are shifted left in their two bytes.
static inline int clzk_bars_black(int depth, int shift) { return ((CLZK_BARS_BLACK + 1) << (depth - 8 + shift)) - 1; }
#endif
