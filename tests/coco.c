// coco.c - instances files of COCO: what is read, in any order of keys and any size of reads; invalid files; the pictures that
// they list, found, missing and with their categories.
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "trainer/coco.h"
#include "trainer/data.h"
#include "trainer/sheet.h"

static char said[4000];
static int errors;

static void hear(void *priv, enum clz_log_level level, const char *msg)
{
    const size_t n = strlen(said);

    (void)priv;
    errors += level == CLZ_LOG_ERROR;
    snprintf(said + n, sizeof said - n, "%s\n", msg);
}
static const struct clz_log listener = { hear, NULL, CLZ_LOG_INFO };

struct bytes { const char *at; size_t left, most; };

static ptrdiff_t take(void *priv, uint8_t *data, size_t size)
{
    struct bytes *b = priv;
    size_t n = size < b->most ? size : b->most;

    if (n > b->left) n = b->left;
    memcpy(data, b->at, n);
    b->at += n;
    b->left -= n;
    return (ptrdiff_t)n;
}

static ptrdiff_t fail(void *priv, uint8_t *data, size_t size)
{
    (void)data;
    (void)size;
    return *(int *)priv;
}

static int parse_size(struct clzt_coco **c, const char *text, size_t size, size_t most)
{
    struct bytes bytes = { text, size, most };

    said[0] = 0;
    errors = 0;
    return clzt_coco_read(c, &(struct clzt_json_source){ take, &bytes }, "x.json", &listener);
}
static int parse(struct clzt_coco **c, const char *text, size_t most) { return parse_size(c, text, strlen(text), most); }

#define CATEGORIES "\"categories\": [{\"id\": 18, \"name\": \"dog\"}, {\"supercategory\": \"x\", \"name\": \"cat\", \"id\": 3}]"
#define IMAGES "\"images\": [{\"id\": 7, \"file_name\": \"b.jpg\", \"height\": 48e-1}, " \
    "{\"file_name\": \"a\\u00e4\\ud83d\\ude00.jpg\"" \
    ", \"id\": -2, \"x\": {\"y\": [[], {}, null]}}, {\"id\": 9, \"file_name\": \"sub/c.jpg\"}]"
#define ANNOTATIONS "\"annotations\": [{\"segmentation\": [[1.5, -2, 3e5, 0, 0.25E-3], []], \"image_id\": 7, " \
    "\"category_id\": 3, " \
    "\"id\": 900100000000}, " \
    "{\"id\": 1, \"image_id\": 7, \"category_id\": 18, \"iscrowd\": 0, \"caption\": \"\\\"\\\\\\u0041 \\/\"}, " \
    "{\"id\": 2, \"image_id\": 7, \"category_id\": 3}, {\"category_id\": 18, \"image_id\": -2, \"id\": 3}, " \
    "{\"id\": 4, \"image_id\": 1000, \"category_id\": 3}]"

static void reading(void)
{
    const char *const texts[] = {
        "{\"info\": {\"year\": 2017}, " IMAGES ", " ANNOTATIONS ", " CATEGORIES "}\n",
        " { " ANNOTATIONS ",\r\n\t" CATEGORIES " , " IMAGES ",\"licenses\":[true,false,{\"a\":\"b\"}] } ",
    };
    struct clzt_coco *c;

    CASE("coco/any_order_and_any_size_of_reads");
    for (int t = 0; t < 2; t++)
        for (size_t most = 1; most < 1000; most += most < 20 ? 1 : 400) {
            REQUIRE_INT(parse(&c, texts[t], most), 0);
            if (!c) {
                printf("  %s", said);
                continue;
            }
            REQUIRE_INT(c->image_count, 3);
            REQUIRE_INT(c->annotation_count, 5);
            REQUIRE_INT(c->orphans, 1);
            REQUIRE_INT(c->category_count, 2);
            REQUIRE(!strcmp(c->category[0], "dog") && !strcmp(c->category[1], "cat"));
            REQUIRE(c->images[0].id == -2 && c->images[1].id == 7 && c->images[2].id == 9);
            REQUIRE(!strcmp(c->images[0].name, "a\u00e4\U0001f600.jpg") && !strcmp(c->images[1].name, "b.jpg") &&
                    !strcmp(c->images[2].name, "sub/c.jpg"));
            REQUIRE(c->images[0].categories.bits[0] == 1 && c->images[1].categories.bits[0] == 3 &&
                    c->images[2].categories.bits[0] == 0);
            clzt_coco_destroy(&c);
        }
    CASE("coco/errors_of_reading");
    int error = -EIO;
    said[0] = 0;
    REQUIRE_INT(clzt_coco_read(&c, &(struct clzt_json_source){ fail, &error }, "x.json", &listener), -EIO);
    REQUIRE(!c && strstr(said, "x.json: Input/output error."));
    REQUIRE_INT(clzt_coco_open(&c, "/nonexistent.json", &listener), -ENOENT);
}

static void refusals(void)
{
    static const struct { const char *text, *words; } cases[] = {
        { "", "the end of the file where an object" },
        { "[]", "'[' where an object" },
        { "{", "the end of the file where" },
        { "{}", "there are no images" },
        { "{\"images\": [], " ANNOTATIONS ", " CATEGORIES "}", "images is empty" },
        { "{" IMAGES ", " CATEGORIES "}", "there are no annotations" },
        { "{" IMAGES ", " ANNOTATIONS "}", "there are no categories" },
        { "{" IMAGES ", " ANNOTATIONS ", " CATEGORIES "} x", "'x' where the end of the file" },
        { "{" IMAGES ", " ANNOTATIONS ", " CATEGORIES ",}", "a value after ','" },
        { "{" IMAGES " " CATEGORIES "}", "',' or '}'" },
        { "{" IMAGES ", " IMAGES "}", "images is given twice" },
        { "{\"images\": 3}", "'3' where images" },
        { "{\"images\": [3]}", "'3' where an image" },
        { "{\"images\": [{\"id\": 1}]}", "an image without file_name" },
        { "{\"images\": [{\"file_name\": \"a\"}]}", "an image without id" },
        { "{\"images\": [{\"id\": 1, \"id\": 1, \"file_name\": \"a\"}]}", "id of an image is given twice" },
        { "{\"images\": [{\"id\": 1.5, \"file_name\": \"a\"}]}", "a whole number" },
        { "{\"images\": [{\"id\": 1e3, \"file_name\": \"a\"}]}", "a whole number" },
        { "{\"images\": [{\"id\": 9223372036854775808, \"file_name\": \"a\"}]}", "a whole number" },
        { "{\"images\": [{\"id\": \"1\", \"file_name\": \"a\"}]}", "where id is expected" },
        { "{\"images\": [{\"id\": 1, \"file_name\": 3}]}", "where file_name is expected" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"\"}]}", "not the name of a file" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"/etc/passwd\"}]}", "not the name of a file" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"../a\"}]}", "not the name of a file" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"a/..\"}]}", "not the name of a file" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"a/../../b\"}]}", "not the name of a file" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"a\\u0000b\"}]}", "a NUL" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"a\nb\"}]}", "a control character" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"a\\qb\"}]}", "the letter of an escape" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"a\\u12g4\"}]}", "a hexadecimal digit" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"a\\ud800b\"}]}", "the low surrogate" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"a\\ud800\\u0041\"}]}", "without a low one" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"a\\udc00\"}]}", "without a high one" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"a\xff\"}]}", "not UTF-8" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"a", "the end of a string" },
        { "{\"images\": [{\"id\": 1, \"file_name\": \"a\"}, {\"id\": 1, \"file_name\": \"b\"}], " ANNOTATIONS ", " CATEGORIES "}",
          "the id 1 occurs twice in images" },
        { "{" IMAGES ", \"annotations\": [{\"id\": 5, \"image_id\": 7, \"category_id\": 3}, {\"id\": 4, \"image_id\": 7, "
          "\"category_id\": 3}, {\"id\": 5, \"image_id\": 9, \"category_id\": 3}], " CATEGORIES "}",
          "the id 5 occurs twice in annotations" },
        { "{" IMAGES ", \"annotations\": [{\"id\": 5, \"image_id\": 7, \"category_id\": 4}], " CATEGORIES "}",
          "annotation 5 is of category 4, which is not in categories" },
        { "{\"categories\": [{\"id\": 1, \"name\": \"a\"}, {\"id\": 1, \"name\": \"b\"}], " IMAGES ", \"annotations\": []}",
          "the id 1 occurs twice in categories" },
        { "{\"categories\": [{\"id\": 1, \"name\": \"a\"}, {\"id\": 2, \"name\": \"a\"}]}", "two categories are called \"a\"" },
        { "{\"categories\": [{\"id\": 1, \"name\": \"\"}]}", "a category without a name" },
        { "{\"categories\": [{\"name\": \"a\"}]}", "a category without id" },
        { "{\"x\": 01}", "in a number" }, { "{\"x\": -}", "a number that ends too early" },
        { "{\"x\": 1.}", "a number that ends too early" }, { "{\"x\": 1e}", "a number that ends too early" },
        { "{\"x\": .5}", "where a value is expected" }, { "{\"x\": +1}", "where a value is expected" },
        { "{\"x\": 1.2.3}", "in a number" }, { "{\"x\": 0x10}", "in a number" }, { "{\"x\": NaN}", "where a value" },
        { "{\"x\": 1111111111222222222233333333334444444444555555555566666666667777777777}", "more than 64 characters" },
        { "{\"x\": nul}", "where a value" }, { "{\"x\": }", "where a value" }, { "{\"x\" 1}", "':'" }, { "{x: 1}", "a key" },
        { "{\"x\": [1 2]}", "',' or ']'" }, { "{\"x\": [1,]}", "a value after ','" }, { "{\"x\": [,1]}", "where a value" },
        { "{\"x\": [1}", "',' or ']'" }, { "{\"x\": {\"y\": 1]}", "',' or '}'" }, { "{\"x\": {1: 2}}", "a key" },
        { "{\"x\": \"\\z\"}", "the letter of an escape" }, { "{\"x\": \"\t\"}", "a control character" },
        { "{\"x\": \"abc", "the end of a string" }, { "{\"x\": [[[[", "where a value" },
    };
    static char deep[400], wide[4000], open[70], close[70];
    struct clzt_coco *c;

    CASE("coco/invalid_files_get_one_message");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t most = 1; most < 1000; most = most * 5 + 1) {
            REQUIRE_INT(parse(&c, cases[i].text, most), -EBADMSG);
            REQUIRE(!c && errors == 1);
            if (!strstr(said, cases[i].words)) printf("  %s: %s", cases[i].text, said);
            REQUIRE(strstr(said, cases[i].words) && !strncmp(said, "x.json: ", 8));
            clzt_coco_destroy(&c);
        }
    CASE("coco/depth");
    for (int n = 63; n < 65; n++) {         // one level is the object around it
        memset(open, '[', n);
        memset(close, ']', n);
        snprintf(deep, sizeof deep, "{\"x\": %.*s%.*s, ", n, open, n, close);
        snprintf(wide, sizeof wide, "%s" IMAGES ", " ANNOTATIONS ", " CATEGORIES "}", deep);
        REQUIRE_INT(parse(&c, wide, 9), n == 63 ? 0 : -EBADMSG);
        REQUIRE(n == 63 || strstr(said, "more than 64 nested"));
        clzt_coco_destroy(&c);
    }
    CASE("coco/long_names");
    for (int n = 1023; n < 1025; n++) {
        snprintf(wide, sizeof wide, "{\"images\": [{\"id\": 1, \"file_name\": \"%0*d\"}], \"annotations\": [], " CATEGORIES "}",
                 n, 7);
        REQUIRE_INT(parse(&c, wide, 100), n == 1023 ? 0 : -EBADMSG);
        REQUIRE(n == 1023 || strstr(said, "a string of more than 1023 bytes"));
        clzt_coco_destroy(&c);
    }
    CASE("coco/truncated_anywhere");
    static const char whole[] = "{" IMAGES ", " ANNOTATIONS ", " CATEGORIES "}";
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        REQUIRE_INT(parse_size(&c, whole, n, 50), -EBADMSG);
        REQUIRE(!c && errors == 1);
    }
    REQUIRE_INT(parse(&c, whole, 50), 0);
    clzt_coco_destroy(&c);
}

// ---- as training data ----

static char folder[512];

static void write_file(const char *name, const char *text)
{
    char path[700];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if ((f = fopen(path, "wb"))) {
        fputs(text, f);
        fclose(f);
    }
}

static void write_json(const char *name, const char *text)     // with ' for "
{
    char copy[1000];

    snprintf(copy, sizeof copy, "%s", text);
    for (char *c = copy; (c = strchr(c, '\''));) *c = '"';
    write_file(name, copy);
}

static void write_picture(const char *name, int grey)
{
    static uint8_t rgb[3 * 32 * 32];
    char path[700];

    memset(rgb, grey, sizeof rgb);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    REQUIRE_INT(clzt_png_write(path, rgb, 32, 32, 96, NULL), 0);
}

static void make(const char *name)
{
    char path[700];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    REQUIRE(!mkdir(path, 0777));
}

static int open_files(struct clzt_dataset **d, int count, const char *const *names, const char *images)
{
    char paths[4][700], where[700];
    const char *list[4], *const images_list[1] = { where };

    for (int i = 0; i < count; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/%s", folder, names[i]);
        list[i] = paths[i];
    }
    snprintf(where, sizeof where, "%s/%s", folder, images ? images : "");
    said[0] = 0;
    errors = 0;
    return clzt_dataset_open(d, &(struct clzt_dataset_params){ .paths = list, .path_count = count, .min_side = 16,
                                                                .log = listener,
                                                                .coco_images = images_list, .coco_images_count = !!images });
}

static void pictures(void)
{
    const char *const names[] = { "annotations/instances_some.json", "other.json", "photos" };
    struct clzt_dataset *d = NULL;
    struct clzt_reader *r = NULL;
    struct clzt_picture p;
    char command[700];

    make("annotations");
    make("some");
    make("photos");
    make("elsewhere");
    write_picture("some/one.png", 10);
    write_picture("some/two.png", 20);
    write_picture("some/unlisted.png", 99);
    write_picture("photos/three.png", 30);
    write_picture("elsewhere/four.png", 40);
    write_json("annotations/instances_some.json",
        "{'images': [{'id': 5, 'file_name': 'two.png'}, {'id': 4, 'file_name': 'gone.png'}, {'id': 1, 'file_name': 'one.png'}], "
        "'annotations': [{'id': 1, 'image_id': 5, 'category_id': 2}, {'id': 2, 'image_id': 1, 'category_id': 2}, "
        "{'id': 3, 'image_id': 5, 'category_id': 9}], 'categories': [{'id': 2, 'name': 'dog'}, {'id': 9, 'name': 'cat'}]}");
    write_json("other.json",
        "{'images': [{'id': 1, 'file_name': 'four.png'}], 'annotations': [{'id': 1, 'image_id': 1, 'category_id': 1}, "
        "{'id': 2, 'image_id': 1, 'category_id': 2}], 'categories': [{'id': 1, 'name': 'hat'}, {'id': 2, 'name': 'cat'}]}");

    CASE("coco/pictures_in_the_usual_folder");
    REQUIRE_INT(open_files(&d, 1, names, NULL), 0);
    REQUIRE_INT(clzt_dataset_count(d), 2);  // in the order of ids
    REQUIRE(strstr(said, "the picture gone.png is not in ") && strstr(said, "3 pictures, 1 of them missing; 3 annotations"));
    REQUIRE_INT(clzt_reader_create(&r, d), 0);
    for (int i = 0; i < 2; i++) REQUIRE(!clzt_reader_read(r, i, &p) && p.r[0] == 10 * (i + 1));
    REQUIRE_INT(clzt_dataset_category_count(d), 2);
    REQUIRE(!strcmp(clzt_dataset_category_name(d, 0), "dog") && !strcmp(clzt_dataset_category_name(d, 1), "cat"));
    REQUIRE(!clzt_dataset_category_name(d, 2));
    REQUIRE(clzt_dataset_categories(d, 0)->bits[0] == 1 && clzt_dataset_categories(d, 1)->bits[0] == 3);
    clzt_reader_destroy(&r);
    clzt_dataset_close(&d);

    CASE("coco/missing_everywhere");
    REQUIRE_INT(open_files(&d, 1, names, "photos"), -ENOENT);
    REQUIRE(errors == 1 && strstr(said, "none of its 3 pictures is there; coco.images gives their folder"));

    CASE("coco/with_other_data_and_a_given_folder");
    REQUIRE_INT(open_files(&d, 2, names + 1, "elsewhere"), 0);
    REQUIRE_INT(clzt_dataset_count(d), 2);
    REQUIRE(clzt_dataset_categories(d, 0)->bits[0] == 3 && !clzt_dataset_categories(d, 1));
    clzt_dataset_close(&d);

    CASE("coco/categories_of_two_files_are_joined_by_name");
    write_picture("some/four.png", 40);
    REQUIRE_INT(open_files(&d, 2, names, "some"), 0);
    REQUIRE_INT(clzt_dataset_category_count(d), 3);
    REQUIRE(!strcmp(clzt_dataset_category_name(d, 2), "hat"));
    REQUIRE(clzt_dataset_categories(d, 2)->bits[0] == (1 << 2 | 1 << 1));       // hat, cat
    clzt_dataset_close(&d);

    CASE("coco/invalid_file_as_data");
    write_json("other.json", "{'images': [");
    REQUIRE_INT(open_files(&d, 1, names + 1, NULL), -EINVAL);
    REQUIRE(!d && errors == 1 && strstr(said, "other.json: byte 12: "));
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    REQUIRE_INT(system(command), 0);
}

int main(void)
{
    reading();
    refusals();
    if (!mkdtemp(check_temporary(folder, "coco"))) SKIP("no folder for temporary files");
    pictures();
    return check_end();
}
