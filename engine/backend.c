// backend.c - the list of backends, and the choice of a device by name.
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "log.h"

const struct clzi_backend *const clzi_backends[] = {
    &clzi_backend_cpu,
    &clzi_backend_ref,
    NULL,
};

// Names a build may lack, and what to say then.
static const struct { const char *name, *missing; } optional[] = {
    { "cuda", "this build has no CUDA backend" },
};

// Whether `name` is `word` or "word:index"; index: what follows the colon, 0 without one, -1 if it is no number.
static bool names(const char *name, const char *word, int *index)
{
    const size_t size = strlen(word);
    char *end;
    long i;

    if (strncmp(name, word, size) || (name[size] && name[size] != ':')) return false;
    *index = 0;
    if (!name[size]) return true;
    i = strtol(name + size + 1, &end, 10);
    *index = end == name + size + 1 || *end || i < 0 || i > INT_MAX ? -1 : (int)i;
    return true;
}

static void announce(struct clzi_device *dev, const char *why)
{
    const struct clzi_device_base *base = clzi_device_base(dev);
    clzi_log(&base->log, CLZ_LOG_INFO, "device %s, %d thread%s: %s", base->describe, base->threads,
             base->threads == 1 ? "" : "s", why);
}

// The first that opens; ref, which is there to be right and not to be fast, only when nothing else does.
static int open_best(struct clzi_device **dev, const struct clzi_device_params *params)
{
    struct clzi_device_params p = *params;
    char why[256] = "auto takes the fastest that opens";
    int ret = -ENOTSUP;

    p.index = 0;
    for (int i = 0; clzi_backends[i]; i++) {
        const struct clzi_backend *be = clzi_backends[i];
        const size_t used = strlen(why);
        ret = be->open(dev, &p);
        if (ret >= 0) {
            if (!be->priority)
                clzi_log(&params->log, CLZ_LOG_WARNING, "device auto: only the slow reference device \"%s\" opens here",
                         be->name);
            announce(*dev, why);
            return 0;
        }
        clzi_log(&params->log, ret == -ENOTSUP ? CLZ_LOG_VERBOSE : CLZ_LOG_WARNING, "device auto: %s does not open: %s",
                 be->name, strerror(-ret));
        snprintf(why + used, sizeof why - used, "%s %s does not", used && strchr(why, ';') ? "," : ";", be->name);
    }
    return clzi_fail(&params->log, ret, "device auto: no device opens");
}

int clzi_device_open(struct clzi_device **dev, const char *name, const struct clzi_device_params *params)
{
    struct clzi_device_params p = *params;
    char known[128] = "auto";

    *dev = NULL;
    if (!name || !strcmp(name, "auto")) return open_best(dev, params);
    for (int i = 0; clzi_backends[i]; i++) {
        int ret;
        snprintf(known + strlen(known), sizeof known - strlen(known), ", %s", clzi_backends[i]->name);
        if (!names(name, clzi_backends[i]->name, &p.index)) continue;
        if (p.index < 0) return clzi_fail(&params->log, -EINVAL, "device %s: no number after the colon", name);
        if ((ret = clzi_backends[i]->open(dev, &p)) < 0) return ret;       // open() has said why
        announce(*dev, "as asked for");
        return 0;
    }
    for (size_t i = 0; i < sizeof optional / sizeof *optional; i++) {
        if (names(name, optional[i].name, &p.index))
            return clzi_fail(&params->log, -ENOTSUP, "device %s: %s", name, optional[i].missing);
        snprintf(known + strlen(known), sizeof known - strlen(known), ", %s", optional[i].name);
    }
    return clzi_fail(&params->log, -EINVAL, "device \"%s\" is not known; known are %s", name, known);
}

void clzi_device_close(struct clzi_device **dev)
{
    if (*dev) clzi_device_base(*dev)->backend->close(dev);
    *dev = NULL;
}
