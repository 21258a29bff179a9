// sheet.h - what of a shot sheet concerns the batch; the engine reads the rest.
#ifndef CLZB_SHEET_H
#define CLZB_SHEET_H
#include "engine/colorize.h"

// Called for each file that a sheet names, by its key, `cuts`, `masks` or `reference`, and its path. A negative result ends the
// search.
typedef int (*clzb_sheet_file)(void *priv, const char *key, const char *path);

// Returns 0, an error of reading the sheet, which is logged, or the handler's result.
int clzb_sheet_files(const char *sheet, clzb_sheet_file handler, void *priv, const struct clz_log *log);
#endif
