// plan_cache.h - cuDNN's plans on disk: which engine was the fastest for a problem, so that a second start need not measure
// again. One file for each problem, replaced atomically, so that several processes may write at once. A file that is damaged or
// belongs to another key is ignored and later replaced.
#ifndef CLZI_CUDA_PLAN_CACHE_H
#define CLZI_CUDA_PLAN_CACHE_H
#include <stdbool.h>
#include <stdint.h>
#include "colorize.h"

enum { CLZI_PLAN_KEY_SIZE = 512 };          // with its 0
enum { CLZI_PLAN_MAX_SIZE = 1 << 20 };      // bytes of a plan

// $COLORIZE_CACHE, else $XDG_CACHE_HOME/colorize, else $HOME/.cache/colorize; made if it is missing. NULL: none of them can be
// had, or COLORIZE_CACHE is empty. The caller frees it.
char *clzi_plan_cache_folder(const struct clz_log *log);

// The plan of that key, or 0: there is none. The caller frees *plan. key: one line of text.
int64_t clzi_plan_cache_read(const char *folder, const char *key, char **plan);

// Failures are logged as VERBOSE: the cache only saves time.
void clzi_plan_cache_write(const char *folder, const char *key, const char *plan, int64_t size, const struct clz_log *log);
#endif
