// test_folder.h - a temporary folder with files of a test, and the last warning or error of the library.
#ifndef TEST_FOLDER_H
#define TEST_FOLDER_H
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/colorize.h"

static char folder[300], message[2000];

static void keep(void *priv, enum clz_log_level level, const char *text)
{
    (void)priv;
    if (level <= CLZ_LOG_WARNING) snprintf(message, sizeof message, "%s", text);
}

static const struct clz_log log_ = { .cb = keep, .level = CLZ_LOG_WARNING };

// Valid until 16 further calls.
static const char *in_folder(const char *name)
{
    static char path[16][400];
    static int next;
    char *p = path[next++ % 16];

    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static inline const char *write_text(const char *name, const char *text)
{
    const char *path = in_folder(name);
    FILE *f = fopen(path, "w");

    fputs(text, f);
    fclose(f);
    return path;
}

static inline bool folder_make(const char *name)
{
    const char *where = getenv("TMPDIR");

    snprintf(folder, sizeof folder, "%s/clz-%s-XXXXXX", where ? where : "/tmp", name);
    return mkdtemp(folder) != NULL;
}

static inline int folder_remove(void)
{
    char command[320];

    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command) != 0;
}
#endif
