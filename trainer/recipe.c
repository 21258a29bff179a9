// recipe.c - the table of keys, and everything that walks it.
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "engine/decimal.h"
#include "engine/log.h"
#include "kernels/fnv.h"
#include "recipe.h"

enum {
    MAX_DEPTH = 16,
    MAX_FILE = 1 << 20,
    MAX_KEYS = 64,
    MAX_NAME = 40,
    MAX_MAPS = 16,                          // nested maps of one file
    MIN_SHAPE = 16, MAX_SHAPE = 2048,       // of size and shapes
    MIN_WORKING = 32, MAX_LICENSE = 255,    // of model files, engine/model.h
};

enum type { TYPE_TEXT, TYPE_LIST, TYPE_INT, TYPE_COUNT, TYPE_REAL, TYPE_BOOL, TYPE_CHOICE };   // COUNT: an int64_t

enum {
    NUMBERS = 1,                            // changes what is learnt: part of the recipe's hash
    PATH = 2,                               // a file or folder
};

struct key {
    const char *name;
    enum type type;
    unsigned flags;
    size_t offset;                          // in struct clzt_recipe
    const char *fallback;                   // the default, as it would stand in a recipe
    double min, max;                        // inclusive, for numbers
    const char *const *choices;             // in the order of their enum, ends with NULL
    const char *help;
};

static const char *const caches[] = { "none", "ram", NULL };
static const char *const lumas[] = { "random", "601", "709", "2020", "lstar", NULL };
static const char *const schedules[] = { "constant", "cosine", "linear", NULL };
static const char *const precisions[] = { "auto", "f32", "bf16", NULL };
static const char *const working_shapes[] = { "frame", "square", NULL };
static const char *const statistics[] = { "batch", "kept", NULL };
static const char *const resumes[] = { "auto", "never", "force", NULL };

#define AT(field) offsetof(struct clzt_recipe, field)
static const struct key table[] = {
    { "net", TYPE_TEXT, NUMBERS, AT(net), "light", 0, 0, NULL, "network to train; colorize-train nets lists them" },
    { "init", TYPE_TEXT, NUMBERS | PATH, AT(init), "", 0, 0, NULL,
      "model file whose weights to start from; empty: from chance" },
    { "train", TYPE_LIST, PATH, AT(train), "[]", 0, 0, NULL,
      "folders (searched through), videos and pictures to learn from" },
    { "val", TYPE_LIST, PATH, AT(val), "[]", 0, 0, NULL, "the same, to measure with; never learnt from" },
    { "run", TYPE_TEXT, PATH, AT(run), "run", 0, 0, NULL, "folder for everything this training writes" },
    { "resume", TYPE_CHOICE, 0, AT(resume), "auto", 0, 0, resumes,
      "auto: go on from the newest checkpoint in run, refuse when recipe or data have changed; force: go on all the same; "
      "never: refuse a folder that holds one" },
    { "seed", TYPE_COUNT, NUMBERS, AT(seed), "1", 0, 9007199254740992.0, NULL,
      "of all chance: first weights, order, crops, greys" },

    { "size", TYPE_INT, NUMBERS, AT(size), "128", MIN_SHAPE, MAX_SHAPE, NULL, "side of the square crops, pixels" },
    { "shapes", TYPE_LIST, NUMBERS, AT(shapes), "[]", 0, 0, NULL,
      "widths and heights of crops, as 160x96, in place of the square: each batch has one of them, by chance; empty: size. "
      "Validation is done at size" },
    { "scale", TYPE_INT, NUMBERS, AT(scale), "0", 0, 8192, NULL,
      "short side pictures are scaled to before cropping; 0: as they are" },
    { "batch", TYPE_INT, NUMBERS, AT(batch), "32", 1, 4096, NULL, "pictures to a step" },
    { "steps", TYPE_COUNT, NUMBERS, AT(steps), "0", 0, 1e12, NULL,
      "length of the training; 0: pictures / batch, or 20000" },
    { "pictures", TYPE_COUNT, NUMBERS, AT(pictures), "0", 0, 1e15, NULL,
      "length of the training counted in pictures shown, in place of steps" },
    { "workers", TYPE_INT, 0, AT(workers), "0", 0, 256, NULL, "threads that prepare pictures; 0: one a core" },
    { "cache", TYPE_CHOICE, 0, AT(cache), "ram", 0, 0, caches, "ram: decode every picture once and keep it" },
    { "cache_limit", TYPE_COUNT, 0, AT(cache_limit), "0", 0, 1e9, NULL,
      "MiB of that; what is beyond is decoded anew. 0: half of the memory" },
    { "zoom.in", TYPE_REAL, NUMBERS, AT(zoom_in), "1", 1, CLZT_MAX_ZOOM, NULL,
      "greatest enlargement: crops of down to size / zoom.in are enlarged to size; 1: none" },
    { "zoom.out", TYPE_REAL, NUMBERS, AT(zoom_out), "1", 1, CLZT_MAX_ZOOM, NULL,
      "greatest reduction: crops of up to size * zoom.out, as far as the picture goes, are reduced to size; validation "
      "takes the widest. 1: none" },
    { "aspect", TYPE_REAL, NUMBERS, AT(aspect), "1", 1, CLZT_MAX_ASPECT, NULL,
      "greatest ratio of width to height of crops, which are squeezed to squares as frames are for a model of square shape; "
      "1: none" },
    { "flip", TYPE_BOOL, NUMBERS, AT(flip), "true", 0, 0, NULL, "mirror half of the crops" },
    { "luma", TYPE_CHOICE, NUMBERS, AT(luma), "random", 0, 0, lumas,
      "how grey is made from colour: a matrix, random weights about them (real film differs), or L* of the colour itself" },
    { "film.grain", TYPE_REAL, NUMBERS, AT(film.grain), "0.03", 0, 0.5, NULL,
      "greatest grain of the grey: standard deviation, white is 1" },
    { "film.blur", TYPE_REAL, NUMBERS, AT(film.blur), "0.8", 0, 8, NULL, "greatest blur of the grey: sigma in pixels" },
    { "film.gamma", TYPE_REAL, NUMBERS, AT(film.gamma), "0.3", 0, 2, NULL,
      "film response: exponent from 2^-gamma to 2^gamma" },
    { "film.contrast", TYPE_REAL, NUMBERS, AT(film.contrast), "0.15", 0, 0.9, NULL,
      "film response: contrast from 1-x to 1+x" },

    { "lr", TYPE_REAL, NUMBERS, AT(lr), "0.0005", 0, 10, NULL, "learning rate of Adam, the greatest" },
    { "lr_schedule", TYPE_CHOICE, NUMBERS, AT(schedule), "cosine", 0, 0, schedules, "how it falls towards the end" },
    { "lr_end", TYPE_REAL, NUMBERS, AT(lr_end), "0.02", 0, 1, NULL,
      "what is left of it at the last step, as a factor" },
    { "warmup", TYPE_COUNT, NUMBERS, AT(warmup), "200", 0, 1e12, NULL, "steps over which it rises from 0" },
    { "encoder.lr", TYPE_REAL, NUMBERS, AT(encoder_lr), "1", 0, 10, NULL,
      "factor on lr for the encoder's parameters, which may be pretrained" },
    { "encoder.freeze", TYPE_COUNT, NUMBERS, AT(encoder_freeze), "0", 0, 1e12, NULL,
      "steps at the start in which the encoder's parameters are not changed" },
    { "encoder.statistics", TYPE_CHOICE, NUMBERS, AT(encoder_statistics), "batch", 0, 0, statistics,
      "batch: the encoder's batch norms use each batch's statistics and update the running ones; kept: they use the running "
      "ones and leave them as they are" },
    { "beta1", TYPE_REAL, NUMBERS, AT(beta1), "0.9", 0, 0.999999, NULL, "Adam" },
    { "beta2", TYPE_REAL, NUMBERS, AT(beta2), "0.99", 0, 0.999999, NULL, "Adam" },
    { "eps", TYPE_REAL, NUMBERS, AT(eps), "1e-08", 1e-20, 1, NULL, "Adam" },
    { "weight_decay", TYPE_REAL, NUMBERS, AT(weight_decay), "0.01", 0, 10, NULL,
      "pull of convolution weights to 0, decoupled (AdamW)" },
    { "ema", TYPE_REAL, NUMBERS, AT(ema), "0.999", 0, 0.999999, NULL,
      "averaging of the weights that are validated and exported; 0: none" },
    { "loss", TYPE_REAL, NUMBERS, AT(loss),
      "0", 0, 1e6, NULL, NULL },         // stands for a key loss.NAME for each row of clzt_losses
    { "rebalance", TYPE_REAL, NUMBERS, AT(rebalance), "0", 0, 1, NULL,
      "weight rare colours more: 0 not; else mix of the data's distribution with an even one, 0.5 as published" },

    { "device", TYPE_TEXT, 0, AT(device), "auto", 0, 0, NULL, "auto, cpu, ref, cuda, cuda:1" },
    { "precision", TYPE_CHOICE, NUMBERS, AT(precision), "auto", 0, 0, precisions,
      "of activations and gradients; weights are always f32" },
    { "threads", TYPE_INT, 0, AT(threads), "0", 0, 1024, NULL, "of a CPU device; 0: one a core" },

    { "save_every", TYPE_COUNT, 0, AT(save_every), "1000", 0, 1e12, NULL,
      "steps from checkpoint to checkpoint; 0: only the last" },
    { "keep", TYPE_INT, 0, AT(keep), "3", 0, 100000, NULL, "checkpoints that stay, the newest; 0: all" },
    { "val_every", TYPE_COUNT, 0, AT(val_every), "1000", 0, 1e12, NULL,
      "steps from measurement to measurement; 0: only at the end" },
    { "val_pictures", TYPE_INT, 0, AT(val_pictures), "256", 0, 1e9, NULL, "how many pictures to measure with; 0: all" },
    { "sheet_every", TYPE_COUNT, 0, AT(sheet_every), "1000", 0, 1e12, NULL,
      "steps from sample sheet to sample sheet; 0: only at the end" },
    { "sheet_pictures", TYPE_INT, 0, AT(sheet_pictures), "8", 0, 64, NULL, "rows of a sample sheet; 0: no sheets" },
    { "log_every", TYPE_COUNT, 0, AT(log_every), "50", 1, 1e12, NULL, "steps from row to row of metrics.csv" },

    { "working_size", TYPE_INT, 0, AT(working_size), "0", 0, 2048, NULL,
      "short side of the network's picture when it plays, written into the model; 0: the net's own" },
    { "working_shape", TYPE_CHOICE, 0, AT(working_shape), "frame", 0, 0, working_shapes,
      "of that picture, written into the model; frame: as the frame's, square: squeezed to a square, for nets that know the "
      "shape they were trained at" },
    { "saturation", TYPE_REAL, 0, AT(saturation), "1", 0.1, 4, NULL,
      "factor on the colours of the model when it plays, written into it; below 1: more exact, above: livelier" },
    { "license", TYPE_TEXT, 0, AT(license), "", 0, 0, NULL, "written into the model" },
    { "notes", TYPE_TEXT, 0, AT(notes), "", 0, 0, NULL, "written into the model" },
};

// The table with loss.NAME in place of the row `loss`. l1 alone is 1 by default.
struct keys {
    struct key k[MAX_KEYS];
    char names[CLZT_MAX_LOSSES][MAX_NAME];
    int count;
};

static void keys_make(struct keys *keys)
{
    keys->count = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (table[i].help) {
            keys->k[keys->count++] = table[i];
            continue;
        }
        for (int l = 0; l < CLZT_MAX_LOSSES && clzt_losses[l].name; l++) {
            struct key *key = &keys->k[keys->count++];
            *key = table[i];
            snprintf(keys->names[l], MAX_NAME, "loss.%s", clzt_losses[l].name);
            key->name = keys->names[l];
            key->offset += l * sizeof(double);
            key->fallback = l == 0 ? "1" : "0";
            key->help = clzt_losses[l].help;
        }
    }
}
_Static_assert(sizeof table / sizeof *table + CLZT_MAX_LOSSES <= MAX_KEYS, "raise MAX_KEYS");

static const struct key *find(const struct keys *keys, const char *name)
{
    for (int i = 0; i < keys->count; i++)
        if (!strcmp(keys->k[i].name, name)) return &keys->k[i];
    return NULL;
}

static bool is_section(const struct keys *keys, const char *name)      // "loss": keys begin with "loss."
{
    const size_t n = strlen(name);
    for (int i = 0; i < keys->count; i++)
        if (!strncmp(keys->k[i].name, name, n) && keys->k[i].name[n] == '.') return true;
    return false;
}

static int min3(int a, int b, int c) { return a < b ? (a < c ? a : c) : b < c ? b : c; }

// Letters to change, add or drop to make one word of the other (Levenshtein 1966).
static int distance(const char *a, const char *b)
{
    int row[MAX_NAME + 1];
    const int n = (int)strlen(b);

    for (int k = 0; k <= n; k++) row[k] = k;
    for (int i = 1; a[i - 1]; i++) {
        int corner = row[0];
        row[0] = i;
        for (int k = 1; k <= n; k++) {
            const int here = min3(row[k] + 1, row[k - 1] + 1, corner + (a[i - 1] != b[k - 1]));
            corner = row[k];
            row[k] = here;
        }
    }
    return row[n];
}

static const char *nearest(const struct keys *keys, const char *name)
{
    const char *best = NULL;
    int least = (int)strlen(name) / 3 + 2;

    if (strlen(name) > MAX_NAME) return NULL;
    for (int i = 0; i < keys->count; i++) {
        const char *dot = strrchr(keys->k[i].name, '.');
        int d = distance(name, keys->k[i].name);
        if (dot && distance(name, dot + 1) < d) d = distance(name, dot + 1);
        if (d < least) {
            least = d;
            best = keys->k[i].name;
        }
    }
    return best;
}

// ---- values ----

// Where a value stands, for messages.
struct place { const char *file; int line; const struct clz_log *log; };

static int unknown(const struct keys *keys, const char *name, const struct place *at)
{
    const char *near = nearest(keys, name);

    if (near) return clzi_fail(at->log, -EINVAL, "%s:%d: there is no key \"%.200s\"; the nearest is \"%s\".",
                               at->file, at->line, name, near);
    return clzi_fail(at->log, -EINVAL, "%s:%d: there is no key \"%.200s\".", at->file, at->line, name);
}

// "one of auto, f32, bf16", "a whole number from 1 to 4096"
static void expectation(const struct key *key, char *text, size_t size)
{
    size_t used;

    switch (key->type) {
    case TYPE_TEXT: snprintf(text, size, "text"); break;
    case TYPE_LIST: snprintf(text, size, "%s", key->flags & PATH ? "a path or a list of paths" : "a list"); break;
    case TYPE_BOOL: snprintf(text, size, "true or false"); break;
    case TYPE_REAL: snprintf(text, size, "a number from %.10g to %.10g", key->min, key->max); break;
    case TYPE_INT:
    case TYPE_COUNT: snprintf(text, size, "a whole number from %.0f to %.0f", key->min, key->max); break;
    case TYPE_CHOICE:
        used = snprintf(text, size, "one of ");
        for (int i = 0; key->choices[i] && used < size; i++)
            used += snprintf(text + used, size - used, "%s%s", i ? ", " : "", key->choices[i]);
    }
}

static int bad_value(const struct key *key, const char *value, const struct place *at)
{
    char expected[200];

    expectation(key, expected, sizeof expected);
    return clzi_fail(at->log, -EINVAL, "%s:%d: %s: \"%.200s\" is not %s.", at->file, at->line, key->name, value, expected);
}

static void list_clear(struct clzt_list *list)
{
    for (int i = 0; i < list->count; i++) free(list->items[i]);
    free(list->items);
    *list = (struct clzt_list){0};
}

static int list_add(struct clzt_list *list, const char *item)
{
    char **items = realloc(list->items, (list->count + 1) * sizeof *items);

    if (!items) return -ENOMEM;
    list->items = items;
    if (!(items[list->count] = strdup(item))) return -ENOMEM;
    list->count++;
    return 0;
}

static int parse_bool(const char *value)
{
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };
    for (int i = 0; i < 6; i++)
        if (!strcmp(value, words[i])) return i & 1;
    return -1;
}

// "010": eight for readers of YAML 1.1, ten for those of 1.2 and for strtol.
static int leading_zero(const struct key *key, const char *value, const struct place *at)
{
    const char *digits = value + (*value == '-' || *value == '+'), *rest = digits + strspn(digits, "0");

    if (rest > digits && !isdigit((unsigned char)*rest)) rest--;        // the 0 of "0" and "0.5" stays
    if (rest == digits) return 0;
    return clzi_fail(at->log, -EINVAL, "%s:%d: %s: \"%.200s\" begins with 0, which some YAML readers take for octal; "
                     "write %.*s%.200s.", at->file, at->line, key->name, value, (int)(digits - value), value, rest);
}

// Decimal numbers only: strtod also takes white space, hexadecimal, infinity and NaN.
static int check_number(const struct key *key, const char *value, const char *characters, const struct place *at)
{
    if (value[strspn(value, characters)]) return bad_value(key, value, at);
    return leading_zero(key, value, at);
}

// One scalar into its field. A list gets one more item.
static int set_value(struct clzt_recipe *recipe, const struct key *key, const char *value, const struct place *at)
{
    void *field = (char *)recipe + key->offset;
    char *end, *copy;
    double number;
    long long whole;
    int i, ret;

    switch (key->type) {
    case TYPE_TEXT:
        if (!(copy = strdup(value))) return -ENOMEM;
        free(*(char **)field);
        *(char **)field = copy;
        return 0;
    case TYPE_LIST:
        if (!*value) return bad_value(key, value, at);
        return list_add(field, value);
    case TYPE_BOOL:
        if ((i = parse_bool(value)) < 0) return bad_value(key, value, at);
        *(bool *)field = i;
        return 0;
    case TYPE_CHOICE:
        for (i = 0; key->choices[i] && strcmp(key->choices[i], value); i++);
        if (!key->choices[i]) return bad_value(key, value, at);
        *(int *)field = i;
        return 0;
    case TYPE_REAL:
        if ((ret = check_number(key, value, "0123456789+-.eE", at)) < 0) return ret;
        number = strtod(value, &end);
        if (end == value || *end || !(number >= key->min && number <= key->max)) return bad_value(key, value, at);
        *(double *)field = number;
        return 0;
    case TYPE_INT:
    case TYPE_COUNT:
        if ((ret = check_number(key, value, "0123456789+-", at)) < 0) return ret;
        errno = 0;
        whole = strtoll(value, &end, 10);
        if (end == value || *end || errno || whole < key->min || whole > key->max) return bad_value(key, value, at);
        if (key->type == TYPE_INT) *(int *)field = (int)whole;
        else *(int64_t *)field = whole;
        return 0;
    }
    return -EINVAL;
}

// ---- YAML ----

struct level { bool list; size_t prefix; };     // prefix: length of the path this map's keys are added to

struct reading {
    struct clzt_recipe *recipe;
    const struct keys *keys;
    struct place at;
    bool seen[MAX_KEYS];
    char maps[MAX_MAPS][MAX_NAME * 2];
    int map_count;
    struct level levels[MAX_DEPTH];
    int depth;
    char path[MAX_NAME * 2];                // "film.grain"
    const struct key *key;                  // a value of this key comes next (or items, inside a list)
    bool section;                           // a map comes next
};

static int begin_map(struct reading *r)
{
    if (r->key || (r->depth && !r->section)) {
        char expected[200] = "expected here";
        if (r->key) expectation(r->key, expected, sizeof expected);
        return clzi_fail(r->at.log, -EINVAL, "%s:%d: %s: a map is not %s.", r->at.file, r->at.line, r->path, expected);
    }
    for (int i = 0; i < r->map_count; i++)
        if (!strcmp(r->maps[i], r->path))
            return clzi_fail(r->at.log, -EINVAL, "%s:%d: %s stands there twice.", r->at.file, r->at.line, r->path);
    if (r->map_count == MAX_MAPS || r->depth == MAX_DEPTH) return -EINVAL;
    snprintf(r->maps[r->map_count++], sizeof *r->maps, "%s", r->path);
    r->levels[r->depth++] = (struct level){ false, strlen(r->path) };
    r->section = false;
    return 0;
}

static int begin_list(struct reading *r)
{
    if (!r->key || r->key->type != TYPE_LIST || r->levels[r->depth - 1].list || r->depth == MAX_DEPTH)
        return clzi_fail(r->at.log, -EINVAL, "%s:%d: %s: a list is not expected here.", r->at.file, r->at.line,
                         r->depth ? r->path : "the recipe");
    r->levels[r->depth] = (struct level){ true, r->levels[r->depth - 1].prefix };
    r->depth++;
    return 0;
}

static int key_name(struct reading *r, const char *name)
{
    const struct level *level = &r->levels[r->depth - 1];

    if (strlen(name) >= MAX_NAME || level->prefix + strlen(name) + 2 > sizeof r->path)
        return unknown(r->keys, name, &r->at);
    snprintf(r->path + level->prefix, sizeof r->path - level->prefix, "%s%s", level->prefix ? "." : "", name);
    if ((r->key = find(r->keys, r->path))) {
        bool *seen = &r->seen[r->key - r->keys->k];
        if (*seen) return clzi_fail(r->at.log, -EINVAL, "%s:%d: %s stands there twice.", r->at.file, r->at.line, r->path);
        *seen = true;
        if (r->key->type == TYPE_LIST) list_clear((struct clzt_list *)((char *)r->recipe + r->key->offset));
        return 0;
    }
    if ((r->section = is_section(r->keys, r->path))) return 0;
    return unknown(r->keys, r->path, &r->at);
}

static int scalar(struct reading *r, const char *value, size_t size)
{
    const struct level *level = r->depth ? &r->levels[r->depth - 1] : NULL;
    int ret;

    if (!level)
        return clzi_fail(r->at.log, -EINVAL, "%s:%d: a recipe is a map of keys and values.", r->at.file, r->at.line);
    if (strlen(value) != size)
        return clzi_fail(r->at.log, -EINVAL, "%s:%d: %s: the value holds a NUL.", r->at.file, r->at.line, r->path);
    if (r->section)
        return clzi_fail(r->at.log, -EINVAL, "%s:%d: %s: \"%.200s\" is not a map.", r->at.file, r->at.line, r->path, value);
    if (!r->key) return key_name(r, value);
    ret = set_value(r->recipe, r->key, value, &r->at);
    if (!level->list) r->key = NULL;
    return ret;
}

static void end_level(struct reading *r)
{
    if (r->levels[--r->depth].list) r->key = NULL;
    if (r->depth) r->path[r->levels[r->depth - 1].prefix] = 0;
}

static int event(struct reading *r, const yaml_event_t *e)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;

    r->at.line = (int)e->start_mark.line + 1;
    switch (e->type) {
    case YAML_ALIAS_EVENT: anchor = e->data.alias.anchor; break;
    case YAML_SCALAR_EVENT: anchor = e->data.scalar.anchor; tag = e->data.scalar.tag; break;
    case YAML_SEQUENCE_START_EVENT: anchor = e->data.sequence_start.anchor; tag = e->data.sequence_start.tag; break;
    case YAML_MAPPING_START_EVENT: anchor = e->data.mapping_start.anchor; tag = e->data.mapping_start.tag; break;
    default: break;
    }
    if (anchor) return clzi_fail(r->at.log, -EINVAL, "%s:%d: anchors and aliases are not taken.", r->at.file, r->at.line);
    if (tag) return clzi_fail(r->at.log, -EINVAL, "%s:%d: tags are not taken.", r->at.file, r->at.line);

    switch (e->type) {
    case YAML_SCALAR_EVENT: return scalar(r, (const char *)e->data.scalar.value, e->data.scalar.length);
    case YAML_MAPPING_START_EVENT: return begin_map(r);
    case YAML_SEQUENCE_START_EVENT: return begin_list(r);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT: end_level(r); return 0;
    default: return 0;
    }
}

int clzt_recipe_parse(struct clzt_recipe *recipe, const char *text, size_t size, const char *name,
                      const struct clz_log *log)
{
    struct keys keys;
    struct reading r = { .recipe = recipe, .keys = &keys, .at = { name, 1, log } };
    yaml_parser_t parser;
    yaml_event_t e;
    bool done = false;
    int ret = 0, documents = 0;

    if (size > MAX_FILE) return clzi_fail(log, -EINVAL, "%s: %zu bytes; a recipe has at most %d.", name, size, MAX_FILE);
    keys_make(&keys);
    if (!yaml_parser_initialize(&parser)) return -ENOMEM;
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    while (!done && !ret) {
        if (!yaml_parser_parse(&parser, &e)) {
            ret = clzi_fail(log, -EINVAL, "%s:%zu: not YAML: %s.", name, parser.problem_mark.line + 1,
                            parser.problem ? parser.problem : "out of memory");
            break;
        }
        done = e.type == YAML_STREAM_END_EVENT;
        if (e.type == YAML_DOCUMENT_START_EVENT && ++documents > 1)
            ret = clzi_fail(log, -EINVAL, "%s:%zu: a second document; a recipe is one.", name, e.start_mark.line + 1);
        else ret = event(&r, &e);
        yaml_event_delete(&e);
    }
    yaml_parser_delete(&parser);
    return ret;
}

int clzt_recipe_load(struct clzt_recipe *recipe, const char *path, const struct clz_log *log)
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
    else ret = clzt_recipe_parse(recipe, text, size, path, log);
end:
    free(text);
    fclose(file);
    return ret;
}

// steps and pictures say the same thing: the first that is an argument takes the file's other away.
static void length_given(struct clzt_recipe *recipe, const struct key *key)
{
    const bool steps = key->offset == AT(steps) && recipe->steps, pictures = key->offset == AT(pictures) && recipe->pictures;

    if (!steps && !pictures) return;
    if (!recipe->length_given) *(steps ? &recipe->pictures : &recipe->steps) = 0;
    recipe->length_given = true;
}

// train=[photos, film.mkv]
static int set_list(struct clzt_recipe *recipe, const char *name, const char *value, const struct clz_log *log)
{
    const size_t size = strlen(name) + strlen(value) + 3;
    char *text;
    int ret;

    if (value[strlen(value) - 1] != ']')
        return clzi_fail(log, -EINVAL, "argument: %s: \"%.200s\" is neither a list, which ends with ], nor a file or folder that "
                         "is there.", name, value);
    if (!(text = malloc(size))) return -ENOMEM;
    snprintf(text, size, "%s: %s", name, value);
    ret = clzt_recipe_parse(recipe, text, strlen(text), "argument", log);
    free(text);
    return ret;
}

int clzt_recipe_set(struct clzt_recipe *recipe, const char *assignment, const struct clz_log *log)
{
    const char *equals = strchr(assignment, '=');
    const struct place at = { "argument", 1, log };
    const struct key *key;
    struct keys keys;
    char name[MAX_NAME];
    int ret;

    if (!equals) return clzi_fail(log, -EINVAL, "argument \"%.200s\" is not key=value.", assignment);
    keys_make(&keys);
    snprintf(name, equals - assignment < MAX_NAME ? equals - assignment + 1 : MAX_NAME, "%s", assignment);
    if (!(key = find(&keys, name))) return unknown(&keys, name, &at);
    if (key->type == TYPE_LIST && equals[1] == '[' && access(equals + 1, F_OK)) return set_list(recipe, name, equals + 1, log);
    if (key->type == TYPE_LIST) list_clear((struct clzt_list *)((char *)recipe + key->offset));
    if ((ret = set_value(recipe, key, equals + 1, &at)) >= 0) length_given(recipe, key);
    return ret;
}

// ---- the whole recipe ----

int clzt_recipe_create(struct clzt_recipe **recipe)
{
    struct keys keys;
    struct clzt_recipe *r = *recipe = calloc(1, sizeof *r);
    const struct place at = { "default", 0, NULL };
    int ret = 0;

    if (!r) return -ENOMEM;
    keys_make(&keys);
    for (int i = 0; i < keys.count && !ret; i++)
        if (keys.k[i].type != TYPE_LIST) ret = set_value(r, &keys.k[i], keys.k[i].fallback, &at);
    if (ret) clzt_recipe_destroy(recipe);
    return ret;
}

void clzt_recipe_destroy(struct clzt_recipe **recipe)
{
    struct keys keys;

    if (!*recipe) return;
    keys_make(&keys);
    for (int i = 0; i < keys.count; i++) {
        void *field = (char *)*recipe + keys.k[i].offset;
        if (keys.k[i].type == TYPE_TEXT) free(*(char **)field);
        if (keys.k[i].type == TYPE_LIST) list_clear(field);
    }
    free(*recipe);
    *recipe = NULL;
}

// Length of the UTF-8 character at s and its number; 0: none (RFC 3629: also what is longer than need be, and surrogates).
static int character(const char *s, unsigned *code)
{
    static const unsigned least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    const unsigned char c = (unsigned char)*s;
    const int size = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

    *code = size == 1 ? c : c & (0x7f >> size);
    if (size > 1 && (c < 0xc2 || c > 0xf4)) return 0;
    for (int i = 1; i < size; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        *code = *code << 6 | (s[i] & 0x3f);
    }
    return *code < least[size] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000) ? 0 : size;
}

static int check_text(const struct key *key, const char *text, const struct clz_log *log)
{
    unsigned code;
    int size;

    for (const char *at = text; *at; at += size)
        if (!(size = character(at, &code)))
            return clzi_fail(log, -EINVAL, "%s: byte %td, 0x%02x, is not UTF-8.", key->name, at - text + 1, (unsigned char)*at);
    return 0;
}

// A YAML file and a model file hold UTF-8 only.
static int check_texts(const struct clzt_recipe *recipe, const struct clz_log *log)
{
    struct keys keys;
    int ret = 0;

    keys_make(&keys);
    for (int i = 0; i < keys.count && !ret; i++) {
        const void *field = (const char *)recipe + keys.k[i].offset;
        const struct clzt_list *list = field;
        if (keys.k[i].type == TYPE_TEXT) ret = check_text(&keys.k[i], *(char *const *)field, log);
        for (int n = 0; keys.k[i].type == TYPE_LIST && n < list->count && !ret; n++)
            ret = check_text(&keys.k[i], list->items[n], log);
    }
    return ret;
}

int clzt_recipe_check(struct clzt_recipe *recipe, const struct clz_log *log)
{
    double weight = 0;
    int ret;

    if ((ret = check_texts(recipe, log)) < 0) return ret;
    for (int i = 0; i < CLZT_MAX_LOSSES; i++) weight += recipe->loss[i];
    if (!recipe->train.count) return clzi_fail(log, -EINVAL, "train: no folder, video or picture to learn from is given.");
    if (!*recipe->net) return clzi_fail(log, -EINVAL, "net: no network is named.");
    if (!*recipe->run) return clzi_fail(log, -EINVAL, "run: no folder is named.");
    if (recipe->steps && recipe->pictures)
        return clzi_fail(log, -EINVAL, "steps is %lld and pictures is %lld: give one of them.", (long long)recipe->steps,
                         (long long)recipe->pictures);
    if (recipe->scale && recipe->scale < recipe->size)
        return clzi_fail(log, -EINVAL, "scale is %d, smaller than the crop, size %d.", recipe->scale, recipe->size);
    if (!(weight > 0)) return clzi_fail(log, -EINVAL, "loss: every weight is 0, nothing would be learnt.");
    if (recipe->working_size && recipe->working_size < MIN_WORKING)      // a model file would be refused, after the last step
        return clzi_fail(log, -EINVAL, "working_size is %d; a model file takes %d to 2048, or give 0 for the net's own.",
                         recipe->working_size, MIN_WORKING);
    if (strlen(recipe->license) > MAX_LICENSE)
        return clzi_fail(log, -EINVAL, "license: %zu bytes; a model file takes %d.", strlen(recipe->license), MAX_LICENSE);
    if (!recipe->steps) recipe->steps = recipe->pictures ? (recipe->pictures + recipe->batch - 1) / recipe->batch : 20000;
    recipe->pictures = 0;
    if (recipe->warmup > recipe->steps)
        return clzi_fail(log, -EINVAL, "warmup is %lld, more than steps, %lld: give warmup=%lld or less.",
                         (long long)recipe->warmup, (long long)recipe->steps, (long long)recipe->steps);
    return 0;
}

int clzt_recipe_shapes(const struct clzt_recipe *recipe, struct clzt_size shapes[CLZT_MAX_SHAPES], int *count,
                       const struct clz_log *log)
{
    const struct clzt_list *list = &recipe->shapes;
    char more;

    if (list->count > CLZT_MAX_SHAPES)
        return clzi_fail(log, -EINVAL, "shapes: %d of them; a recipe has at most %d.", list->count, CLZT_MAX_SHAPES);
    for (int i = 0; i < list->count; i++)
        if (sscanf(list->items[i], "%dx%d%c", &shapes[i].w, &shapes[i].h, &more) != 2 || shapes[i].w < MIN_SHAPE ||
            shapes[i].w > MAX_SHAPE || shapes[i].h < MIN_SHAPE || shapes[i].h > MAX_SHAPE)
            return clzi_fail(log, -EINVAL, "shapes: \"%.100s\" is not WIDTHxHEIGHT, each from %d to %d.", list->items[i],
                             MIN_SHAPE, MAX_SHAPE);
    if (!list->count) shapes[0] = (struct clzt_size){ recipe->size, recipe->size };
    *count = list->count ? list->count : 1;
    return 0;
}

static int make_absolute(char **path, const char *folder)
{
    const size_t size = strlen(folder) + strlen(*path) + 2;
    char *text;

    if (!**path || **path == '/') return 0;
    if (!(text = malloc(size))) return -ENOMEM;
    snprintf(text, size, "%s/%s", folder, *path);
    free(*path);
    *path = text;
    return 0;
}

int clzt_recipe_absolute(struct clzt_recipe *recipe)
{
    struct keys keys;
    char *folder = getcwd(NULL, 0);
    int ret = folder ? 0 : -errno;

    keys_make(&keys);
    for (int i = 0; i < keys.count && !ret; i++) {
        void *field = (char *)recipe + keys.k[i].offset;
        if (!(keys.k[i].flags & PATH)) continue;
        if (keys.k[i].type == TYPE_TEXT) ret = make_absolute(field, folder);
        else for (int n = 0; n < ((struct clzt_list *)field)->count && !ret; n++)
            ret = make_absolute(&((struct clzt_list *)field)->items[n], folder);
    }
    free(folder);
    return ret;
}

static void write_text(FILE *file, const char *text)
{
    unsigned c;

    fputc('"', file);
    for (int size; *text; text += size) {
        if (!(size = character(text, &c))) c = (unsigned char)*text, size = 1;     // not checked yet: as it is
        if (c == '"' || c == '\\') fprintf(file, "\\%c", c);
        else if (c == '\n') fputs("\\n", file);
        // what YAML does not take as it is, and its other line breaks, which would be folded
        else if (c < 32 || (c >= 127 && c < 160 && size > 1) || c == 127) fprintf(file, "\\x%02x", c);
        else if (c == 0x2028 || c == 0x2029 || c == 0xfeff || c == 0xfffe || c == 0xffff) fprintf(file, "\\u%04x", c);
        else fwrite(text, 1, size, file);
    }
    fputc('"', file);
}

static void write_real(FILE *file, double number)
{
    char text[CLZI_DECIMAL_SIZE];

    clzi_shortest_decimal(text, number, false);
    fputs(text, file);
}

static void write_value(FILE *file, const struct clzt_recipe *recipe, const struct key *key)
{
    const void *field = (const char *)recipe + key->offset;
    const struct clzt_list *list = field;

    switch (key->type) {
    case TYPE_TEXT: write_text(file, *(char *const *)field); break;
    case TYPE_BOOL: fputs(*(const bool *)field ? "true" : "false", file); break;
    case TYPE_CHOICE: fputs(key->choices[*(const int *)field], file); break;
    case TYPE_INT: fprintf(file, "%d", *(const int *)field); break;
    case TYPE_COUNT: fprintf(file, "%lld", (long long)*(const int64_t *)field); break;
    case TYPE_REAL: write_real(file, *(const double *)field); break;
    case TYPE_LIST:
        fputc('[', file);
        for (int i = 0; i < list->count; i++) {
            if (i) fputs(", ", file);
            write_text(file, list->items[i]);
        }
        fputc(']', file);
    }
}

int clzt_recipe_write(const struct clzt_recipe *recipe, FILE *file)
{
    struct keys keys;
    size_t open = 0;                        // length of the section's name that is written already

    keys_make(&keys);
    for (int i = 0; i < keys.count; i++) {
        const char *name = keys.k[i].name, *dot = strchr(name, '.');
        const size_t section = dot ? (size_t)(dot - name) : 0;
        if (section && !(open == section && !strncmp(keys.k[i - 1].name, name, section + 1)))
            fprintf(file, "%.*s:\n", (int)section, name);
        open = section;
        fprintf(file, "%s%s: ", section ? "  " : "", section ? dot + 1 : name);
        write_value(file, recipe, &keys.k[i]);
        fputc('\n', file);
    }
    return ferror(file) ? -EIO : 0;
}

int clzt_recipe_print_keys(FILE *file, bool markdown)
{
    struct keys keys;

    keys_make(&keys);
    if (markdown) fputs("| key | default | value | meaning |\n|---|---|---|---|\n", file);
    for (int i = 0; i < keys.count; i++) {
        const struct key *key = &keys.k[i];
        const char *fallback = key->type == TYPE_TEXT && !*key->fallback ? "\"\"" : key->fallback;
        char expected[200];
        expectation(key, expected, sizeof expected);
        if (markdown) fprintf(file, "| `%s` | %s | %s | %s |\n", key->name, fallback, expected, key->help);
        else fprintf(file, "  %-16s %s\n  %-16s %s; default %s\n", key->name, key->help, "", expected, fallback);
    }
    return ferror(file) ? -EIO : 0;
}

static bool equal_lists(const struct clzt_list *a, const struct clzt_list *b)
{
    bool same = a->count == b->count;

    for (int i = 0; same && i < a->count; i++) same = !strcmp(a->items[i], b->items[i]);
    return same;
}

static bool equal(const struct clzt_recipe *a, const struct clzt_recipe *b, const struct key *key)     // of no list
{
    const void *x = (const char *)a + key->offset, *y = (const char *)b + key->offset;

    switch (key->type) {
    case TYPE_TEXT: return !strcmp(*(char *const *)x, *(char *const *)y);
    case TYPE_BOOL: return *(const bool *)x == *(const bool *)y;
    case TYPE_CHOICE:
    case TYPE_INT: return *(const int *)x == *(const int *)y;
    case TYPE_COUNT: return *(const int64_t *)x == *(const int64_t *)y;
    case TYPE_REAL: return *(const double *)x == *(const double *)y;
    case TYPE_LIST: break;
    }
    return equal_lists(x, y);
}

// Keys at their default are left out: one that is added later leaves the hashes of earlier runs as they are.
uint64_t clzt_recipe_hash(const struct clzt_recipe *recipe)
{
    uint64_t hash = CLZK_FNV1A_TRAINER;
    struct clzt_recipe *fresh = NULL;
    struct keys keys;
    char *text = NULL;
    size_t size = 0;
    FILE *file = NULL;

    if (clzt_recipe_create(&fresh) || !(file = open_memstream(&text, &size))) {
        clzt_recipe_destroy(&fresh);
        return 0;
    }
    keys_make(&keys);
    for (int i = 0; i < keys.count; i++)
        if (keys.k[i].flags & NUMBERS && !equal(recipe, fresh, &keys.k[i])) {
            fprintf(file, "%s=", keys.k[i].name);
            write_value(file, recipe, &keys.k[i]);
            fputc('\n', file);
        }
    if (fclose(file)) size = 0;
    hash = clzk_fnv1a(hash, text, size);
    free(text);
    clzt_recipe_destroy(&fresh);
    return hash;
}

double clzt_recipe_lr(const struct clzt_recipe *recipe, int64_t step)
{
    const double length = (double)(recipe->steps - recipe->warmup), half_turn = 3.141592653589793;
    double done, left = 1;

    if (step <= recipe->warmup) return recipe->lr * step / recipe->warmup;
    done = length > 1 ? (step - recipe->warmup - 1) / (length - 1) : 0;
    if (done > 1) done = 1;
    if (recipe->schedule == CLZT_SCHEDULE_COSINE) left = 0.5 + 0.5 * cos(half_turn * done);
    if (recipe->schedule == CLZT_SCHEDULE_LINEAR) left = 1 - done;
    return recipe->lr * (recipe->lr_end + (1 - recipe->lr_end) * left);
}
