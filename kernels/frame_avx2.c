// frame_avx2.c - the row kernels of frame_rows.h, compiled for AVX2
#define ROWS(name) name##_avx2
#include "frame_rows.h"

const struct clzk_rows clzk_rows_avx2 = CLZK_ROWS_TABLE("avx2");
