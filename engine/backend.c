// backend.c - the list of backends, and the choice of a device by name.
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backend.h"
#include "config.h"
#include "base/log.h"
#include "plugin.h"

const struct clzi_backend *const clzi_backends[] = {
    &clzi_backend_cpu,
    &clzi_backend_ref,
    NULL,
};

// Backends in shared libraries of their own, which a machine may lack; by priority.
static const struct { const char *name, *library, *driver; } plugins[] = {
    { "cuda", "libcolorize-cuda.so.0", "libcuda.so.1" },
};
enum { PLUGINS = sizeof plugins / sizeof *plugins };

// Where a plug-in may lie: beside the file that holds this function, in the folder of `make install`, in the system's folders. It
// is never unloaded: other threads may be using it.
static void *open_library(const char *name, char why[256])
{
    char folder[PATH_MAX] = "", path[PATH_MAX + 128];
    const char *const folders[] = { folder, CLZ_CONFIG_LIBDIR "/", "" };
    Dl_info self;
    void *library = NULL;

    if (dladdr((void *)(uintptr_t)clzi_device_open, &self) && self.dli_fname && strchr(self.dli_fname, '/'))
        snprintf(folder, sizeof folder, "%.*s/", (int)(strrchr(self.dli_fname, '/') - self.dli_fname), self.dli_fname);
    for (int i = 0; i < 3 && !library; i++) {
        if (i < 2 && !*folders[i]) continue;
        snprintf(path, sizeof path, "%s%s", folders[i], name);
        if (i < 2 && access(path, F_OK)) continue;
        library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        if (!library) snprintf(why, 256, "%.255s", dlerror());
    }
    return library;
}

// NULL: the plug-in cannot be had; why says so. The driver is looked for first: without one nothing of the plug-in can run, and
// loading it with cuDNN and cuBLAS takes 0.15 s.
static const struct clzi_backend *load(int plugin, char why[256])
{
    void *library = NULL;
    const struct clzi_plugin *p;

    if (!dlopen(plugins[plugin].driver, RTLD_NOW | RTLD_LOCAL)) snprintf(why, 256, "no driver: %.240s", dlerror());
    else library = open_library(plugins[plugin].library, why);
    p = library ? dlsym(library, CLZI_PLUGIN_SYMBOL) : NULL;
    if (library && !p) snprintf(why, 256, "%s is no plug-in of this library", plugins[plugin].library);
    if (p && (p->version != CLZI_PLUGIN_VERSION || p->backend_size != sizeof(struct clzi_backend))) {
        snprintf(why, 256, "%s belongs to another version of this library", plugins[plugin].library);
        p = NULL;
    }
    return p ? p->backend : NULL;
}

// Whether `name` is `word`, "word:index" or "word/index", which needs no escape in FFmpeg's options. index: 0 without one, -1 if
// it is no number.
static bool names(const char *name, const char *word, int *index)
{
    const size_t size = strlen(word);
    char *end;
    long i;

    if (strncmp(name, word, size) || (name[size] && name[size] != ':' && name[size] != '/')) return false;
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

static void not_opened(const struct clz_log *log, const char *name, int ret, const char *reason, char why[256])
{
    const size_t used = strlen(why);

    clzi_log(log, ret == -ENOTSUP ? CLZ_LOG_VERBOSE : CLZ_LOG_WARNING, "device auto: %s does not open: %s", name, reason);
    snprintf(why + used, 256 - used, "%s %s is not available", strchr(why, ';') ? "," : ";", name);
}

static void keep(void *priv, enum clz_log_level level, const char *text)
{
    (void)level;
    snprintf(priv, 256, "%.255s", text);
}

// The first that opens: the plug-ins, then the rest; ref, which is there to be right and not to be fast, only when nothing else
// does. What a plug-in logs while it is tried is no error here.
static int open_best(struct clzi_device **dev, const struct clzi_device_params *params)
{
    struct clzi_device_params p = *params, quiet = *params;
    char why[256] = "auto chooses the fastest available device", reason[256];
    int ret = -ENOTSUP;

    p.index = quiet.index = 0;
    quiet.log = (struct clz_log){ keep, reason, CLZ_LOG_ERROR };
    for (int i = 0; i < PLUGINS; i++) {
        const struct clzi_backend *be = load(i, reason);
        if (be) *reason = 0;
        ret = be ? be->open(dev, &quiet) : -ENOTSUP;
        if (ret >= 0) {
            clzi_device_base(*dev)->log = params->log;
            announce(*dev, why);
            return 0;
        }
        not_opened(&params->log, plugins[i].name, -ENOTSUP, *reason ? reason : strerror(-ret), why);
    }
    for (int i = 0; clzi_backends[i]; i++) {
        const struct clzi_backend *be = clzi_backends[i];
        ret = be->open(dev, &p);
        if (ret >= 0) {
            if (!be->priority)
                clzi_log(&params->log, CLZ_LOG_WARNING, "device auto: only the slow reference device \"%s\" opens here",
                         be->name);
            announce(*dev, why);
            return 0;
        }
        not_opened(&params->log, be->name, ret, strerror(-ret), why);
    }
    return clzi_fail(&params->log, ret, "device auto: no device opens");
}

static int open_plugin(struct clzi_device **dev, int plugin, const char *name, const struct clzi_device_params *params)
{
    char why[256] = "";
    const struct clzi_backend *be = load(plugin, why);
    int ret;

    if (!be) return clzi_fail(&params->log, -ENOTSUP, "device %s: %s", name, why);
    if ((ret = be->open(dev, params)) >= 0) announce(*dev, "as asked for");
    return ret;                             // open() has said why
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
        if (p.index < 0) return clzi_fail(&params->log, -EINVAL, "device %s: no number after the separator", name);
        if ((ret = clzi_backends[i]->open(dev, &p)) < 0) return ret;       // open() has said why
        announce(*dev, "as asked for");
        return 0;
    }
    for (int i = 0; i < PLUGINS; i++) {
        snprintf(known + strlen(known), sizeof known - strlen(known), ", %s", plugins[i].name);
        if (!names(name, plugins[i].name, &p.index)) continue;
        if (p.index < 0) return clzi_fail(&params->log, -EINVAL, "device %s: no number after the separator", name);
        return open_plugin(dev, i, name, &p);
    }
    return clzi_fail(&params->log, -EINVAL, "device \"%s\" is not known; known are %s", name, known);
}

int clzi_device_enter(struct clzi_device *dev)
{
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    return be->enter ? be->enter(dev) : 0;
}

void clzi_device_leave(struct clzi_device *dev)
{
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    if (be->leave) be->leave(dev);
}

void clzi_device_close(struct clzi_device **dev)
{
    if (*dev) clzi_device_base(*dev)->backend->close(dev);
    *dev = NULL;
}
