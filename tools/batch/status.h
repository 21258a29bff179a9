// status.h - a journal's films as text and as an HTML page.
#ifndef CLZB_STATUS_H
#define CLZB_STATUS_H
#include <stdio.h>
#include "journal.h"

// Names may have line ends, and characters that a terminal obeys: bytes below 0x20 and 0x7f are printed as \xHH.
void clzb_print_escaped(FILE *file, const char *text);

int clzb_status_print(struct clzb_journal *journal, FILE *file);

int clzb_history_print(struct clzb_journal *journal, FILE *file);

// One file, with no links to others but the films: counts, and for each film its pictures, speed, warnings and hashes.
int clzb_report_write(struct clzb_journal *journal, const char *path, const struct clz_log *log);
#endif
