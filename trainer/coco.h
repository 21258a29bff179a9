// coco.h - the pictures of a COCO data set and the categories of what is in them, from an "instances" file: images [{id,
// file_name}], annotations [{id, image_id, category_id}], categories [{id, name}]; everything else is skipped. The file is read
// as a stream: for the 860,001 annotations of train2017, 448 MB, memory stays below 64 MB.
//
// The file is not trusted: ids that occur twice, references to what is not there, names that lead out of the folder, and invalid
// JSON are errors.
#ifndef CLZT_COCO_H
#define CLZT_COCO_H
#include "json_stream.h"

enum {
    CLZT_MAX_CATEGORIES = 256,
    CLZT_MAX_IMAGES = 16 << 20, CLZT_MAX_ANNOTATIONS = 128 << 20,
};

// A set of categories, by their index.
struct clzt_categories { uint64_t bits[CLZT_MAX_CATEGORIES / 64]; };
static inline bool clzt_categories_have(const struct clzt_categories *c, int i) { return c->bits[i / 64] >> (i % 64) & 1; }
static inline void clzt_categories_add(struct clzt_categories *c, int i) { c->bits[i / 64] |= UINT64_C(1) << (i % 64); }

struct clzt_coco_image {
    int64_t id;
    const char *name;                       // relative path, within clzt_coco.names
    struct clzt_categories categories;
};

struct clzt_coco {
    struct clzt_coco_image *images;         // [image_count] in ascending order of id
    int image_count;
    int64_t annotation_count, orphans;      // orphans: annotations of images that are not listed, which are left out
    char *category[CLZT_MAX_CATEGORIES];    // [category_count] names, in the file's order
    int category_count;
    char *names;
};

// -EBADMSG and one logged sentence for an invalid file; errors of reading; -ENOMEM.
int clzt_coco_open(struct clzt_coco **coco, const char *path, const struct clz_log *log);
int clzt_coco_read(struct clzt_coco **coco, const struct clzt_json_source *source, const char *name, const struct clz_log *log);
void clzt_coco_destroy(struct clzt_coco **coco);
#endif
