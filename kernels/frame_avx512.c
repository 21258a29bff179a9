// frame_avx512.c - frame_rows.h with AVX512
#define ROWS(name) name##_avx512
#include "frame_rows.h"

const struct clzk_rows clzk_rows_avx512 = CLZK_ROWS_TABLE("avx512");
