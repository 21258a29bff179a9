// classes.c - classes of things, from categories of COCO.
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "classes.h"

int clzt_classes_join(const char *const *names, int count, char text[CLZT_CLASS_NAMES], const char *key,
                      const struct clz_log *log)
{
    size_t used = 0;

    text[0] = 0;
    for (int i = 0; i < count; i++) {
        if (!*names[i] || strpbrk(names[i], ",+|"))
            return clzi_fail(log, -EINVAL, "%s: \"%.60s\"; expected a name without , + and |.", key, names[i]);
        used += (size_t)snprintf(text + used, CLZT_CLASS_NAMES - used, "%s%s", used ? "," : "", names[i]);
        if (used >= CLZT_CLASS_NAMES)
            return clzi_fail(log, -EINVAL, "%s: the names have more than %d bytes.", key, CLZT_CLASS_NAMES - 1);
    }
    if (clzi_classes_count(text) == count) return 0;
    return clzi_fail(log, -EINVAL, "%s: %d names; expected up to %d different ones.", key, count, CLZI_MAX_CLASSES);
}

static int no_category(const char *name, int length, const struct clzt_dataset *d, const char *key, const struct clz_log *log)
{
    char known[600] = "";
    size_t used = 0;

    for (int i = 0; i < clzt_dataset_category_count(d) && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "", clzt_dataset_category_name(d, i));
    if (!*known)
        return clzi_fail(log, -EINVAL, "%s: the pictures have no categories; expected an \"instances\" file of COCO.", key);
    return clzi_fail(log, -EINVAL, "%s: \"%.*s\" is no category of the pictures, which have %s.", key, length, name, known);
}

int clzt_classes_find(struct clzt_class_params *params, int category[CLZI_MAX_CLASSES], const char *names,
                      const struct clzt_dataset *dataset, const char *key, const struct clz_log *log)
{
    params->count = clzi_classes_count(names);
    params->category = category;
    for (int i = 0; i < params->count; i++) {
        const int length = (int)strcspn(names, ",");
        int k = 0;
        while (k < clzt_dataset_category_count(dataset) &&
               ((int)strlen(clzt_dataset_category_name(dataset, k)) != length ||
                strncmp(clzt_dataset_category_name(dataset, k), names, (size_t)length)))
            k++;
        if (k == clzt_dataset_category_count(dataset)) return no_category(names, length, dataset, key, log);
        category[i] = k;
        names += length + 1;
    }
    return 0;
}
