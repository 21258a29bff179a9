// coco.c - reads the instances files of COCO. Annotations may come before the images and categories that they refer to, so they
// are kept until the end of the file, 24 bytes each.
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "coco.h"

struct annotation { int64_t id, image, category; };
struct image { int64_t id; size_t name; };  // name: offset in names
struct category { int64_t id; int index; };

struct reading {
    struct clzt_json *json;
    struct clzt_coco *coco;
    const char *name;
    const struct clz_log *log;
    struct annotation *annotations;
    struct image *images;
    struct category categories[CLZT_MAX_CATEGORIES];
    int64_t annotation_count, annotation_room, image_count, image_room;
    size_t names_used, names_room;
};

// Makes room for one element more; grows by half, so that old and new memory together stay small.
static int grow(void **array, int64_t count, int64_t *room, size_t size)
{
    const int64_t more = *room + *room / 2 + 1024;
    void *memory;

    if (count < *room) return 0;
    if (!(memory = realloc(*array, more * size))) return -ENOMEM;
    *array = memory;
    *room = more;
    return 0;
}

// A file within the folder of the pictures, not outside it.
static bool is_inside(const char *name)
{
    if (!*name || *name == '/') return false;
    for (const char *part = name; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (!strncmp(part, "..", 2) && (part[2] == '/' || !part[2])) return false;
    }
    return true;
}

static int add_name(struct reading *r, const char *name)
{
    const size_t size = strlen(name) + 1;

    if (!is_inside(name))
        return clzt_json_fail(r->json, "file_name \"%.100s\" is not the name of a file within the folder of the pictures", name);
    if (r->names_used + size > r->names_room) {
        const size_t room = r->names_room + r->names_room / 2 + 64 * 1024;
        char *more = realloc(r->coco->names, room);
        if (!more) return -ENOMEM;
        r->coco->names = more;
        r->names_room = room;
    }
    memcpy(r->coco->names + r->names_used, name, size);
    r->names_used += size;
    return 0;
}

static int add_category(struct reading *r, const char *name)
{
    struct clzt_coco *c = r->coco;

    if (!*name) return clzt_json_fail(r->json, "a category without a name");
    for (int i = 0; i < c->category_count; i++)
        if (!strcmp(c->category[i], name)) return clzt_json_fail(r->json, "two categories are called \"%.100s\"", name);
    return (c->category[c->category_count] = strdup(name)) ? 0 : -ENOMEM;
}

// An object of which some members are read, each once.
enum { ID, NAME, IMAGE, CATEGORY, MEMBERS };
struct kind {
    const char *what, *list;
    const char *names[MEMBERS];             // NULL: not a member of this kind
};
static const struct kind kinds[] = {
    { "an image", "images", { [ID] = "id", [NAME] = "file_name" } },
    { "an annotation", "annotations", { [ID] = "id", [IMAGE] = "image_id", [CATEGORY] = "category_id" } },
    { "a category", "categories", { [ID] = "id", [NAME] = "name" } },
};
enum { IMAGES, ANNOTATIONS, CATEGORIES, KINDS };

static int read_object(struct reading *r, const struct kind *kind, int64_t values[MEMBERS])
{
    bool seen[MEMBERS] = { false };
    const char *key, *text;
    int ret = clzt_json_object(r->json, kind->what);

    if (ret < 0) return ret;
    while ((ret = clzt_json_key(r->json, &key)) > 0) {
        int m = 0;
        while (m < MEMBERS && (!kind->names[m] || strcmp(kind->names[m], key))) m++;
        if (m == MEMBERS) {
            if ((ret = clzt_json_skip(r->json)) < 0) return ret;
            continue;
        }
        if (seen[m]) return clzt_json_fail(r->json, "%s of %s is given twice", key, kind->what);
        seen[m] = true;
        if (m != NAME) ret = clzt_json_integer(r->json, kind->names[m], &values[m]);
        else if ((ret = clzt_json_string(r->json, kind->names[m], &text)) >= 0)
            ret = kind == &kinds[IMAGES] ? add_name(r, text) : add_category(r, text);
        if (ret < 0) return ret;
    }
    for (int m = 0; m < MEMBERS && !ret; m++)
        if (kind->names[m] && !seen[m]) return clzt_json_fail(r->json, "%s without %s", kind->what, kind->names[m]);
    return ret;
}

static int read_image(struct reading *r)
{
    const size_t name = r->names_used;
    int64_t values[MEMBERS];
    int ret = grow((void **)&r->images, r->image_count, &r->image_room, sizeof *r->images);

    if (ret < 0) return ret;
    if (r->image_count == CLZT_MAX_IMAGES) return clzt_json_fail(r->json, "more than %d images", CLZT_MAX_IMAGES);
    if ((ret = read_object(r, &kinds[IMAGES], values)) < 0) return ret;
    r->images[r->image_count++] = (struct image){ values[ID], name };
    return 0;
}

static int read_annotation(struct reading *r)
{
    int64_t values[MEMBERS];
    int ret = grow((void **)&r->annotations, r->annotation_count, &r->annotation_room, sizeof *r->annotations);

    if (ret < 0) return ret;
    if (r->annotation_count == CLZT_MAX_ANNOTATIONS)
        return clzt_json_fail(r->json, "more than %d annotations", CLZT_MAX_ANNOTATIONS);
    if ((ret = read_object(r, &kinds[ANNOTATIONS], values)) < 0) return ret;
    r->annotations[r->annotation_count++] = (struct annotation){ values[ID], values[IMAGE], values[CATEGORY] };
    return 0;
}

static int read_category(struct reading *r)
{
    struct clzt_coco *c = r->coco;
    int64_t values[MEMBERS];
    int ret;

    if (c->category_count == CLZT_MAX_CATEGORIES)
        return clzt_json_fail(r->json, "more than %d categories", CLZT_MAX_CATEGORIES);
    if ((ret = read_object(r, &kinds[CATEGORIES], values)) < 0) {
        free(c->category[c->category_count]);                   // not counted yet
        c->category[c->category_count] = NULL;
        return ret;
    }
    r->categories[c->category_count] = (struct category){ values[ID], c->category_count };
    c->category_count++;
    return 0;
}

static int read_all(struct reading *r)
{
    static int (*const readers[KINDS])(struct reading *) = { read_image, read_annotation, read_category };
    bool seen[KINDS] = { false };
    const char *key;
    int ret = clzt_json_object(r->json, "an object with images, annotations and categories");

    if (ret < 0) return ret;
    while ((ret = clzt_json_key(r->json, &key)) > 0) {
        int k = 0;
        while (k < KINDS && strcmp(kinds[k].list, key)) k++;
        if (k == KINDS) {
            if ((ret = clzt_json_skip(r->json)) < 0) return ret;
            continue;
        }
        if (seen[k]) return clzt_json_fail(r->json, "%s is given twice", kinds[k].list);
        seen[k] = true;
        if ((ret = clzt_json_array(r->json, kinds[k].list)) < 0) return ret;
        while ((ret = clzt_json_element(r->json)) > 0)
            if ((ret = readers[k](r)) < 0) return ret;
        if (ret < 0) return ret;
    }
    if (!ret) ret = clzt_json_end(r->json);
    for (int k = 0; k < KINDS && !ret; k++)
        if (!seen[k]) ret = clzi_fail(r->log, -EBADMSG, "%s: there are no %s; expected an instances file of COCO.", r->name,
                                      kinds[k].list);
    return ret;
}

// All begin with their id.
static int by_id(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int sort(const struct reading *r, int kind, void *list, int64_t count, size_t size)
{
    const char *const at = list;
    int64_t ascending = 1;

    while (ascending < count && by_id(at + (ascending - 1) * size, at + ascending * size) < 0) ascending++;
    if (ascending >= count) return 0;       // as in the files of COCO; qsort would copy the list
    qsort(list, count, size, by_id);
    for (int64_t i = 1; i < count; i++)
        if (!by_id(at + (i - 1) * size, at + i * size))
            return clzi_fail(r->log, -EBADMSG, "%s: the id %lld occurs twice in %s.", r->name,
                             (long long)*(const int64_t *)(at + i * size), kinds[kind].list);
    return 0;
}

static int connect(struct reading *r)
{
    struct clzt_coco *c = r->coco;
    int ret;

    if ((ret = sort(r, IMAGES, r->images, r->image_count, sizeof *r->images)) < 0) return ret;
    if ((ret = sort(r, ANNOTATIONS, r->annotations, r->annotation_count, sizeof *r->annotations)) < 0) return ret;
    if ((ret = sort(r, CATEGORIES, r->categories, c->category_count, sizeof *r->categories)) < 0) return ret;
    if (!r->image_count) return clzi_fail(r->log, -EBADMSG, "%s: images is empty.", r->name);
    if (!(c->images = calloc(r->image_count, sizeof *c->images))) return -ENOMEM;
    c->image_count = (int)r->image_count;
    c->annotation_count = r->annotation_count;
    for (int i = 0; i < c->image_count; i++) {
        c->images[i].id = r->images[i].id;
        c->images[i].name = c->names + r->images[i].name;
    }
    for (int64_t i = 0; i < r->annotation_count; i++) {
        const struct annotation *a = &r->annotations[i];
        const struct category *k = bsearch(&a->category, r->categories, c->category_count, sizeof *k, by_id);
        struct clzt_coco_image *image = bsearch(&a->image, c->images, c->image_count, sizeof *image, by_id);
        if (!k)
            return clzi_fail(r->log, -EBADMSG, "%s: annotation %lld is of category %lld, which is not in categories.", r->name,
                             (long long)a->id, (long long)a->category);
        if (image) clzt_categories_add(&image->categories, k->index);
        else c->orphans++;
    }
    return 0;
}

int clzt_coco_read(struct clzt_coco **coco, const struct clzt_json_source *source, const char *name, const struct clz_log *log)
{
    struct reading r = { .coco = *coco = calloc(1, sizeof **coco), .name = name, .log = log };
    int ret = r.coco ? clzt_json_create(&r.json, source, name, log) : -ENOMEM;

    if (!ret) ret = read_all(&r);
    if (!ret) ret = connect(&r);
    clzt_json_destroy(&r.json);
    free(r.annotations);
    free(r.images);
    if (ret < 0) clzt_coco_destroy(coco);
    return ret;
}

static ptrdiff_t read_file(void *priv, uint8_t *data, size_t size)
{
    ptrdiff_t n;

    do n = read(*(int *)priv, data, size); while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int clzt_coco_open(struct clzt_coco **coco, const char *path, const struct clz_log *log)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), ret;   // O_NONBLOCK: a FIFO would block

    *coco = NULL;
    if (fd < 0) return clzi_fail(log, -errno, "%s: %s.", path, strerror(errno));
    ret = clzt_coco_read(coco, &(struct clzt_json_source){ read_file, &fd }, path, log);
    close(fd);
    return ret;
}

void clzt_coco_destroy(struct clzt_coco **coco)
{
    if (!*coco) return;
    for (int i = 0; i < (*coco)->category_count; i++) free((*coco)->category[i]);
    free((*coco)->images);
    free((*coco)->names);
    free(*coco);
    *coco = NULL;
}
