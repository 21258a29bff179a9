// sheet.h - what of a shot sheet concerns the batch; the engine reads the rest.
#ifndef CLZB_SHEET_H
#define CLZB_SHEET_H
#include "engine/colorize.h"

// Finds the list of shots that the sheet names at its top (`cuts`). *list: its path, to be freed, or NULL. Returns 0, or an error
// of reading, which is logged.
int clzb_sheet_list(const char *sheet, char **list, const struct clz_log *log);
#endif
