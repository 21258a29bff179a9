// yaml.c - reads YAML with libyaml. Anchors, aliases, tags and further documents are refused, because a file with them would not
// mean what its reader expects.
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "log.h"
#include "yaml.h"

enum { MAX_FILE = 1 << 20 };

static int check(const yaml_event_t *e, const char *name, int line, const struct clz_log *log)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    switch (e->type) {
    case YAML_ALIAS_EVENT: anchor = e->data.alias.anchor; break;
    case YAML_SCALAR_EVENT: anchor = e->data.scalar.anchor; tag = e->data.scalar.tag; break;
    case YAML_SEQUENCE_START_EVENT: anchor = e->data.sequence_start.anchor; tag = e->data.sequence_start.tag; break;
    case YAML_MAPPING_START_EVENT: anchor = e->data.mapping_start.anchor; tag = e->data.mapping_start.tag; break;
    default: break;
    }
    if (anchor) return clzi_fail(log, -EINVAL, "%s:%d: anchors and aliases are not supported.", name, line);
    if (tag) return clzi_fail(log, -EINVAL, "%s:%d: tags are not supported.", name, line);
    return 0;
}

static int pass_on(const yaml_event_t *e, int line, clzi_yaml_handler handler, void *priv)
{
    struct clzi_yaml_event event = { .line = line };

    switch (e->type) {
    case YAML_SCALAR_EVENT:
        event.kind = CLZI_YAML_SCALAR;
        event.text = (const char *)e->data.scalar.value;
        event.size = e->data.scalar.length;
        break;
    case YAML_MAPPING_START_EVENT: event.kind = CLZI_YAML_MAP; break;
    case YAML_SEQUENCE_START_EVENT: event.kind = CLZI_YAML_LIST; break;
    case YAML_MAPPING_END_EVENT: event.kind = CLZI_YAML_MAP_END; break;
    case YAML_SEQUENCE_END_EVENT: event.kind = CLZI_YAML_LIST_END; break;
    default: return 0;
    }
    return handler(priv, &event);
}

int clzi_yaml_parse(const char *text, size_t size, const char *name, clzi_yaml_handler handler, void *priv,
                    const struct clz_log *log)
{
    yaml_parser_t parser;
    yaml_event_t e;
    bool done = false;
    int ret = 0, documents = 0;

    if (size > MAX_FILE) return clzi_fail(log, -EINVAL, "%s: %zu bytes; expected at most %d.", name, size, MAX_FILE);
    if (!yaml_parser_initialize(&parser)) return -ENOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    while (!done && ret >= 0) {
        int line;
        if (!yaml_parser_parse(&parser, &e)) {
            ret = clzi_fail(log, -EINVAL, "%s:%zu: not YAML: %s.", name, parser.problem_mark.line + 1,
                            parser.problem ? parser.problem : "out of memory");
            break;
        }
        line = (int)e.start_mark.line + 1;
        done = e.type == YAML_STREAM_END_EVENT;
        if (e.type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
            ret = clzi_fail(log, -EINVAL, "%s:%d: a second YAML document; expected one.", name, line);
        else if ((ret = check(&e, name, line, log)) >= 0) ret = pass_on(&e, line, handler, priv);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    return ret < 0 ? ret : 0;
}

int clzi_yaml_load(const char *path, clzi_yaml_handler handler, void *priv, const struct clz_log *log)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t size;
    int ret;

    if (!file) return clzi_fail(log, -errno, "%s: %s.", path, strerror(errno));
    if (!(text = malloc(MAX_FILE + 1))) {
        ret = -ENOMEM;
        goto end;
    }
    size = fread(text, 1, MAX_FILE + 1, file);
    if (ferror(file)) ret = clzi_fail(log, -EIO, "%s: cannot be read.", path);
    else ret = clzi_yaml_parse(text, size, path, handler, priv, log);
end:
    free(text);
    fclose(file);
    return ret;
}
