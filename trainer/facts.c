// facts.c - writes and reads the text colorize.train.
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "facts.h"

int clzt_facts_write(char *text, size_t size, const struct clzt_recipe *recipe, int64_t steps, double seconds, uint64_t data,
                     const struct clz_log *log)
{
    char recipe_hash[20], data_hash[20], *dump;
    json_t *json;
    int ret = 0;

    snprintf(recipe_hash, sizeof recipe_hash, "%016" PRIx64, clzt_recipe_hash(recipe));
    snprintf(data_hash, sizeof data_hash, "%016" PRIx64, data);
    json = json_pack("{s:I, s:I, s:f, s:I, s:i, s:i, s:s, s:s, s:s}", "steps", (json_int_t)steps, "pictures",
                     (json_int_t)(steps * recipe->batch), "hours", round(seconds / 36) / 100, "seed", (json_int_t)recipe->seed,
                     "crop", recipe->size, "scale", recipe->scale, "recipe", recipe_hash, "data", data_hash, "notes",
                     recipe->notes);
    if (!json) return -ENOMEM;              // the only other error, text that is not UTF-8, is excluded by clzt_recipe_check
    dump = json_dumps(json, JSON_REAL_PRECISION(10));
    if (!dump) ret = -ENOMEM;
    else if (strlen(dump) >= size)
        ret = clzi_fail(log, -EINVAL, "notes: %zu bytes; expected UTF-8 text of at most about %zu.", strlen(recipe->notes),
                        size - 300);
    else strcpy(text, dump);
    free(dump);
    json_decref(json);
    return ret;
}

// An integer from 0 to max; -1: missing or invalid, since the file is untrusted.
static int number(const json_t *json, const char *name, int max)
{
    const json_t *value = json_object_get(json, name);
    const json_int_t n = json_is_integer(value) ? json_integer_value(value) : -1;

    return n >= 0 && n <= max ? (int)n : -1;
}

int clzt_facts_scale(const char *text, int size)
{
    json_t *json = json_loads(text, 0, NULL);
    const int crop = number(json, "crop", 2048), scale = number(json, "scale", 8192);
    double side = size * 9 / 8;             // as in the sample recipes, so that a crop shows most of a picture

    json_decref(json);
    if (!scale) return 0;
    if (crop > 0 && scale > 0) side = rint((double)size * scale / crop);
    return side < size ? size : side > 8192 ? 8192 : (int)side;
}
