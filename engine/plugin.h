// plugin.h - what the shared library of an optional device exports, as the symbol "clzi_plugin". A plug-in belongs to the build
// of the library beside it: version and size are compared, and one of another build is refused.
#ifndef CLZI_PLUGIN_H
#define CLZI_PLUGIN_H
#include "backend.h"

enum { CLZI_PLUGIN_VERSION = 1 };           // raise when backend.h, graph.h, exec.h or params.h change what a plug-in sees

struct clzi_plugin {
    int version;
    size_t backend_size;                    // sizeof(struct clzi_backend)
    const struct clzi_backend *backend;
};
#define CLZI_PLUGIN_SYMBOL "clzi_plugin"
CLZ_API extern const struct clzi_plugin clzi_plugin;
#endif
