// sheet.c - looks for the key `cuts` of a shot sheet.
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"
#include "paths.h"
#include "sheet.h"

struct search { const char *sheet; char *list; int depth; bool is_value, found; };

// Keys and values of the outermost map alternate.
static int look(void *priv, const struct clzi_yaml_event *e)
{
    struct search *s = priv;
    char folder[PATH_MAX];

    if (e->kind == CLZI_YAML_MAP || e->kind == CLZI_YAML_LIST) {
        s->depth++;
        return 0;
    }
    if (e->kind == CLZI_YAML_SCALAR && s->depth == 1 && s->is_value && s->found && !s->list && *e->text) {
        clzb_folder_of(s->sheet, folder);
        if (!(s->list = clzb_absolute(folder, e->text))) return -ENOMEM;
    }
    if (e->kind == CLZI_YAML_SCALAR && s->depth == 1 && !s->is_value) s->found = !strcmp(e->text, "cuts");
    if (e->kind != CLZI_YAML_SCALAR) s->depth--;
    if (s->depth == 1) s->is_value = !s->is_value;
    return 0;
}

int clzb_sheet_list(const char *sheet, char **list, const struct clz_log *log)
{
    struct search s = { .sheet = sheet };
    const int ret = clzi_yaml_load(sheet, look, &s, log);

    *list = s.list;
    return ret;
}
