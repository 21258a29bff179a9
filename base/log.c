// log.c - messages to the object's log callback.
#include <stdarg.h>
#include <stdio.h>

#include "log.h"

enum { MESSAGE_SIZE = 1024 };               // bytes; longer messages are truncated

static void send(const struct clz_log *log, enum clz_log_level level, const char *format, va_list args)
{
    char msg[MESSAGE_SIZE];

    if (!log || !log->cb || level > log->level) return;
    vsnprintf(msg, sizeof msg, format, args);
    log->cb(log->priv, level, msg);
}

void clzi_log(const struct clz_log *log, enum clz_log_level level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    send(log, level, format, args);
    va_end(args);
}

int clzi_fail(const struct clz_log *log, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    send(log, CLZ_LOG_ERROR, format, args);
    va_end(args);
    return code;
}
