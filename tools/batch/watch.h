// watch.h - a folder into which films are put: gives those that stand still.
//
// inotify says when to look; on network file systems, which do not tell of other hosts' writes, and where inotify is used up, the
// folder is read again and again. A file is taken when its size and time of change have stayed for the settling time, and no
// process of this host has it open for writing. Names with a dot in front, and *.part, *.tmp, *.json, *.log, are not films.
#ifndef CLZB_WATCH_H
#define CLZB_WATCH_H
#include <stdatomic.h>
#include <stdbool.h>
#include "engine/colorize.h"

struct clzb_watch;

// settle: seconds; 0: 2, or 60 on a network file system. Refuses an `out` inside the folder, or the folder itself, because films
// would be coloured again. Errors are logged.
int clzb_watch_open(struct clzb_watch **watch, const char *folder, const char *out, double settle, const struct clz_log *log);
void clzb_watch_close(struct clzb_watch **watch);

// Waits until there are films that were not given before, or have changed since. *names: their absolute paths, ending with NULL,
// valid until the next call. Returns their number, -EINTR when *stop is set, or an error.
int clzb_watch_next(struct clzb_watch *watch, const char *const **names, atomic_int *stop);
#endif
