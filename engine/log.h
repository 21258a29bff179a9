// log.h - messages to the object's log callback, and the errno convention of the library.
#ifndef CLZI_LOG_H
#define CLZI_LOG_H
#include "colorize.h"

// Formats and sends one message; log NULL or log->cb NULL: silence. Messages are complete sentences without a newline.
void clzi_log(const struct clz_log *log, enum clz_log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Logs an error and gives `code` back: return clzi_fail(log, -EBADMSG, "%s: header length %" PRIu64 ...);
int clzi_fail(const struct clz_log *log, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
#endif
