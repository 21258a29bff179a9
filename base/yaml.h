// yaml.h - reads YAML files of this project: one document of maps, lists and scalars, without anchors, aliases and tags.
#ifndef CLZI_YAML_H
#define CLZI_YAML_H
#include <stddef.h>
#include "engine/colorize.h"

enum clzi_yaml_kind { CLZI_YAML_SCALAR, CLZI_YAML_MAP, CLZI_YAML_LIST, CLZI_YAML_MAP_END, CLZI_YAML_LIST_END };

// text, size: of a scalar, a key or a value, NUL-terminated (but it may contain further NULs). Valid during the call.
struct clzi_yaml_event {
    enum clzi_yaml_kind kind;
    int line;                               // from 1
    const char *text;
    size_t size;
};

// Called for each event in the order of the file. A negative result ends the reading, which returns it.
typedef int (*clzi_yaml_handler)(void *priv, const struct clzi_yaml_event *event);

// name: of the file, for messages. Returns 0, -EINVAL (not such a file; logged), -ENOMEM, or the handler's result.
int clzi_yaml_parse(const char *text, size_t size, const char *name, clzi_yaml_handler handler, void *priv,
                    const struct clz_log *log);

// Reads a file of at most 1 MiB. Also returns the errors of open and read, which are logged.
int clzi_yaml_load(const char *path, clzi_yaml_handler handler, void *priv, const struct clz_log *log);
#endif
