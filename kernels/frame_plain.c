// frame_plain.c - frame_rows.h for any processor
#define ROWS(name) name##_plain
#include "frame_rows.h"

const struct clzk_rows clzk_rows_plain = CLZK_ROWS_TABLE("plain");
