// sheet.h - contact sheets: rows of small pictures (grey | predicted | true) in one PNG.
#ifndef CLZT_SHEET_H
#define CLZT_SHEET_H
#include <stddef.h>
#include <stdint.h>
#include "engine/colorize.h"

// Writes 8-bit RGB as PNG, as engine/atomic_file.h describes. stride in bytes. log may be NULL.
int clzt_png_write(const char *path, const uint8_t *rgb, int width, int height, ptrdiff_t stride,
                   const struct clz_log *log);

// A sheet of rows x columns cells, each width x height, separated by thin grey lines.
struct clzt_sheet;
int clzt_sheet_create(struct clzt_sheet **sheet, int columns, int rows, int width, int height);
void clzt_sheet_destroy(struct clzt_sheet **sheet);
void clzt_sheet_put(struct clzt_sheet *sheet, int column, int row, const uint8_t *rgb);     // rows without gaps
int clzt_sheet_write(const struct clzt_sheet *sheet, const char *path, const struct clz_log *log);
#endif
