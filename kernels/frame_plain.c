// frame_plain.c - the row kernels of frame_rows.h, compiled for any processor
#define ROWS(name) name##_plain
#include "frame_rows.h"

const struct clzk_rows clzk_rows_plain = CLZK_ROWS_TABLE("plain");
