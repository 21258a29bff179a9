// log.h - messages to the object's log callback, and the errno convention of the library.
#ifndef CLZI_LOG_H
#define CLZI_LOG_H
#include "engine/colorize.h"

// Formats a message and passes it to log->cb. Does nothing if log or log->cb is NULL. A message is one sentence without newline.
void clzi_log(const struct clz_log *log, enum clz_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Logs an error and returns `code`: return clzi_fail(log, -EBADMSG, "%s: header length %" PRIu64 ...);
int clzi_fail(const struct clz_log *log, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
#endif
