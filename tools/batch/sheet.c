// sheet.c - looks for the files that a shot sheet names: `cuts` of the outermost map, `masks` and `reference` of the lines.
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/yaml.h"
#include "paths.h"
#include "sheet.h"

enum { TOP = 1, LINE = 3, DEEPEST = 8 };    // depth of the outermost map; of a line's map, in it and in a list

struct search {
    const char *sheet;
    clzb_sheet_file handler;
    void *priv;
    int depth;
    struct level { bool is_map, has_key; const char *file; } level[DEEPEST + 1];    // file: the key, if its value is a file
};

static const char *file_key(int depth, const char *key)
{
    if (depth == TOP) return strcmp(key, "cuts") ? NULL : "cuts";
    if (depth != LINE) return NULL;
    return !strcmp(key, "masks") ? "masks" : !strcmp(key, "reference") ? "reference" : NULL;
}

static int named(const struct search *s, const char *key, const char *name)
{
    char folder[PATH_MAX], *path;
    int ret;

    if (!key || !*name) return 0;
    clzb_folder_of(s->sheet, folder);
    if (!(path = clzb_absolute(folder, name))) return -ENOMEM;
    ret = s->handler(s->priv, key, path);
    free(path);
    return ret;
}

static int look(void *priv, const struct clzi_yaml_event *e)
{
    struct search *s = priv;
    struct level *l = &s->level[s->depth];

    if (e->kind == CLZI_YAML_MAP || e->kind == CLZI_YAML_LIST) {
        if (s->depth == DEEPEST) return 0;  // the engine refuses such a sheet
        s->level[++s->depth] = (struct level){ .is_map = e->kind == CLZI_YAML_MAP };
        return 0;
    }
    if (e->kind != CLZI_YAML_SCALAR) {
        if (s->depth > 0) s->level[--s->depth].has_key = false;
        return 0;
    }
    if (!l->is_map) return named(s, s->depth == LINE + 1 ? s->level[LINE].file : NULL, e->text);
    l->has_key = !l->has_key;
    if (!l->has_key) return named(s, l->file, e->text);
    l->file = file_key(s->depth, e->text);
    return 0;
}

int clzb_sheet_files(const char *sheet, clzb_sheet_file handler, void *priv, const struct clz_log *log)
{
    struct search s = { .sheet = sheet, .handler = handler, .priv = priv };

    return clzi_yaml_load(sheet, look, &s, log);
}
