// frame_avx512.c - the row kernels of frame_rows.h, compiled for AVX-512
#define ROWS(name) name##_avx512
#include "frame_rows.h"

const struct clzk_rows clzk_rows_avx512 = CLZK_ROWS_TABLE("avx512");
