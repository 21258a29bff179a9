// pth.c - reads PyTorch checkpoints: finds the tensors of a state dict in the file. Source: torch/serialization.py of PyTorch.
//
// The legacy form has five pickles (magic number, protocol number, byte order and sizes of types, the object, the keys of its
// storages), then for each key the number of elements (i64) and the elements. The zip form has the object's pickle as entry
// STEM/data.pkl and each storage as entry STEM/data/KEY.
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/model_json.h"
#include "pth.h"
#include "pth_pickle.h"
#include "pth_zip.h"

enum {
    PROTOCOL = 1001,                        // of the legacy form
    MAX_KEYS = 1 << 16,
    DEPTH    = 4,                           // of nested dictionaries that are searched for the state dict
};

#define BAD(r, format, ...) clzi_fail((r)->log, -EBADMSG, "%s: " format, (r)->name, __VA_ARGS__)

// A storage that the pickle mentions.
struct key {
    const struct clzt_node *id, *text;      // nodes: the storage, its key
    int storage;                            // index in tensors->storages; -1: not located yet
};

struct reader {
    struct clzt_tensors *tensors;
    struct clzt_pickle pickle;              // of the object
    struct key *keys;                       // sorted by text, without duplicates
    int key_count;
    int (*place)(struct reader *r, struct key *key);    // locates a storage in the file
    struct clzt_zip zip;
    char stem[CLZT_TENSOR_NAME];            // zip form: the folder that contains all entries
    const char *name;
    const struct clz_log *log;
};

static struct clzi_printable text_of(const struct clzt_node *string)
{
    char text[64];

    snprintf(text, sizeof text, "%.*s", (int)(string->string.size < 63 ? string->string.size : 63), string->string.text);
    return clzi_printable(text);
}

// ---- the storages of a pickle ----

static int compare_text(const struct clzt_node *x, const struct clzt_node *y)
{
    const size_t size = x->string.size < y->string.size ? x->string.size : y->string.size;
    const int order = size ? memcmp(x->string.text, y->string.text, size) : 0;

    return order ? order : (x->string.size > y->string.size) - (x->string.size < y->string.size);
}

static int by_key(const void *a, const void *b)
{
    return compare_text(((const struct key *)a)->text, ((const struct key *)b)->text);
}

static struct key *find_key(const struct reader *r, const struct clzt_node *text)
{
    return r->key_count ? bsearch(&(struct key){ .text = text }, r->keys, (size_t)r->key_count, sizeof *r->keys, by_key) : NULL;
}

static int collect_keys(struct reader *r)
{
    const struct clzt_pickle *p = &r->pickle;
    int all = 0, count = 0;

    for (int i = 0; i < p->count; i++) all += p->nodes[i].kind == CLZT_NODE_STORAGE;
    if (all > MAX_KEYS) return BAD(r, "%d storages, at most %d", all, MAX_KEYS);
    if (!(r->keys = calloc((size_t)all + 1, sizeof *r->keys))) return -ENOMEM;
    for (int i = 0; i < p->count; i++)
        if (p->nodes[i].kind == CLZT_NODE_STORAGE)
            r->keys[count++] = (struct key){ &p->nodes[i], &p->nodes[p->nodes[i].storage.key], -1 };
    qsort(r->keys, (size_t)count, sizeof *r->keys, by_key);
    for (int i = 0; i < count; i++) {
        const struct clzt_node *id = r->keys[i].id, *last = r->key_count ? r->keys[r->key_count - 1].id : NULL;
        if (!last || compare_text(r->keys[i].text, r->keys[r->key_count - 1].text)) r->keys[r->key_count++] = r->keys[i];
        else if (last->storage.number != id->storage.number || last->storage.count != id->storage.count)
            return BAD(r, "storage %s is %" PRId64 " elements of %s and %" PRId64 " of %s", text_of(r->keys[i].text).text,
                       last->storage.count, last->storage.number->name, id->storage.count, id->storage.number->name);
    }
    return 0;
}

// Adds the storage of a key at byte `at` of the file, where `size` bytes are available.
static int place_at(struct reader *r, struct key *key, uint64_t at, uint64_t size)
{
    const struct clzt_node *id = key->id;
    const uint64_t count = (uint64_t)id->storage.count, element = (uint64_t)id->storage.number->size;
    int index;

    if (count > size / element)
        return BAD(r, "storage %s: %" PRIu64 " elements of %s, %" PRIu64 " bytes are there: truncated?", text_of(key->text).text,
                   count, id->storage.number->name, size);
    if ((index = clzt_tensors_add_storage(r->tensors)) < 0) return index;
    r->tensors->storages[index].at = at;
    r->tensors->storages[index].size = count * element;
    key->storage = index;
    return 0;
}

// ---- the tensors of a state dict ----

static int copy_name(struct reader *r, const struct clzt_node *key, struct clzt_tensor *t)
{
    if (key->string.size >= sizeof t->name || memchr(key->string.text, 0, key->string.size))
        return BAD(r, "tensor %s: a name of %zu bytes, at most %zu and no NUL among them", text_of(key).text, key->string.size,
                   sizeof t->name - 1);
    memcpy(t->name, key->string.text, key->string.size);
    return 0;
}

static int copy_shape(struct reader *r, const struct clzt_node *node, struct clzt_tensor *t)
{
    const struct clzt_node *nodes = r->pickle.nodes, *sizes = &nodes[node->tensor.sizes], *strides = &nodes[node->tensor.strides];

    if (sizes->items.count > CLZT_MAX_RANK || strides->items.count != sizes->items.count)
        return BAD(r, "tensor %s: %d sizes and %d strides, expected as many of both and at most %d", clzi_printable(t->name).text,
                   sizes->items.count, strides->items.count, CLZT_MAX_RANK);
    t->rank = sizes->items.count;
    for (int i = 0; i < t->rank; i++) {
        const struct clzt_node *size = &nodes[sizes->items.nodes[i]], *stride = &nodes[strides->items.nodes[i]];
        if (size->kind != CLZT_NODE_INT || stride->kind != CLZT_NODE_INT)
            return BAD(r, "tensor %s: a size that is %s, a stride that is %s", clzi_printable(t->name).text,
                       clzt_node_kind_name(size), clzt_node_kind_name(stride));
        t->dims[i] = size->integer;
        t->strides[i] = stride->integer;
    }
    return 0;
}

static int add_tensor(struct reader *r, const struct clzt_node *key, const struct clzt_node *node)
{
    const struct clzt_node *storage = &r->pickle.nodes[node->tensor.storage];
    struct key *k = find_key(r, &r->pickle.nodes[storage->storage.key]);
    struct clzt_tensor *t;
    int index, ret;

    if (k->storage < 0 && (ret = r->place(r, k)) < 0) return ret;
    if ((index = clzt_tensors_add(r->tensors)) < 0) return index;
    t = &r->tensors->tensors[index];
    if ((ret = copy_name(r, key, t)) < 0 || (ret = copy_shape(r, node, t)) < 0) return ret;
    t->number = storage->storage.number;
    t->storage = k->storage;
    if (__builtin_add_overflow(storage->storage.begin, node->tensor.offset, &t->offset) || node->tensor.offset < 0)
        return BAD(r, "tensor %s: begins at element %" PRId64 " of its storage", clzi_printable(t->name).text,
                   node->tensor.offset);
    return 0;
}

static bool has_tensors(const struct clzt_pickle *p, const struct clzt_node *dict)
{
    for (int i = 0; dict->kind == CLZT_NODE_DICT && i < dict->items.count; i += 2) {
        const struct clzt_node *key = &p->nodes[dict->items.nodes[i]], *value = &p->nodes[dict->items.nodes[i + 1]];
        if (key->kind == CLZT_NODE_STRING && value->kind == CLZT_NODE_TENSOR) return true;
    }
    return false;
}

// ---- the state dict within the object ----

// Logs that there is no state dict, and the keys that the object has.
static int no_state_dict(struct reader *r, const char *what)
{
    const struct clzt_pickle *p = &r->pickle;
    const struct clzt_node *root = &p->nodes[p->root];
    char keys[400] = "";

    if (root->kind != CLZT_NODE_DICT)
        return BAD(r, "%s: the checkpoint is %s, expected a dictionary of tensors", what, clzt_node_kind_name(root));
    for (int i = 0; i < root->items.count && strlen(keys) < sizeof keys - 80; i += 2)
        if (p->nodes[root->items.nodes[i]].kind == CLZT_NODE_STRING)
            snprintf(keys + strlen(keys), sizeof keys - strlen(keys), "%s%s", *keys ? ", " : "",
                     text_of(&p->nodes[root->items.nodes[i]]).text);
    return BAD(r, "%s; the checkpoint has %s", what, *keys ? keys : "no named entries");
}

static int find_given(struct reader *r, const char *section, const struct clzt_node **dict)
{
    const struct clzt_pickle *p = &r->pickle;
    const struct clzt_node *at = &p->nodes[p->root];
    char what[128], part[64];

    for (const char *s = section; at && *s; s += *s == '.') {
        const size_t length = strcspn(s, ".");
        snprintf(part, sizeof part, "%.*s", (int)length, s);
        at = length < sizeof part ? clzt_node_get(p, (int)(at - p->nodes), part) : NULL;
        s += length;
    }
    *dict = at;
    if (at && has_tensors(p, at)) return 0;
    snprintf(what, sizeof what, "section \"%s\" is not a dictionary of tensors", clzi_printable(section).text);
    return no_state_dict(r, what);
}

// Follows the names that training scripts commonly use for the state dict.
static int find_usual(struct reader *r, const struct clzt_node **dict)
{
    static const char *const usual[] = {
        "state_dict", "model_state_dict", "model", "net", "params_ema", "params", "generator", "net_G", "netG"
    };
    const struct clzt_pickle *p = &r->pickle;
    char *section = calloc(1, DEPTH * 32);

    if (!(r->tensors->section = section)) return -ENOMEM;
    *dict = &p->nodes[p->root];
    for (int depth = 0; depth < DEPTH; depth++) {
        const struct clzt_node *next = NULL;
        size_t i = 0;
        for (; i < sizeof usual / sizeof *usual; i++) {
            next = clzt_node_get(p, (int)(*dict - p->nodes), usual[i]);
            if (next && next->kind == CLZT_NODE_DICT) break;
        }
        if (i == sizeof usual / sizeof *usual) break;
        *dict = next;
        sprintf(section + strlen(section), "%s%s", *section ? "." : "", usual[i]);
    }
    return has_tensors(p, *dict) ? 0 : no_state_dict(r, "no dictionary of tensors was found");
}

static int add_tensors(struct reader *r, const char *section)
{
    const struct clzt_pickle *p = &r->pickle;
    const struct clzt_node *dict;
    int ret = section ? find_given(r, section, &dict) : find_usual(r, &dict);

    if (ret >= 0 && section && !(r->tensors->section = strdup(section))) ret = -ENOMEM;
    for (int i = 0; ret >= 0 && i < dict->items.count; i += 2) {
        const struct clzt_node *key = &p->nodes[dict->items.nodes[i]], *value = &p->nodes[dict->items.nodes[i + 1]];
        if (key->kind == CLZT_NODE_STRING && value->kind == CLZT_NODE_TENSOR) ret = add_tensor(r, key, value);
    }
    return ret;
}

static void reader_free(struct reader *r)
{
    clzt_pickle_free(&r->pickle);
    clzt_zip_free(&r->zip);
    free(r->keys);
}

// ---- legacy form ----

static const uint8_t magic[] = "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";  // pickle of 0x1950a86a20f9469cfc6c

bool clzt_pth_is_legacy(const uint8_t *head, size_t size)
{
    return size >= sizeof magic - 1 && !memcmp(head, magic, sizeof magic - 1);
}

// place_legacy() locates all storages at once; one without a place then is in no list.
static int not_placed(struct reader *r, struct key *key)
{
    return BAD(r, "storage %s is mentioned, but not in the list of the file's storages", text_of(key->text).text);
}

static int place_legacy(struct reader *r, const struct clzt_pickle *list, uint64_t at)
{
    const struct clzi_bytes *bytes = &r->tensors->bytes;
    const struct clzt_node *keys = &list->nodes[list->root];
    uint8_t head[8];
    int ret;

    if (keys->kind != CLZT_NODE_LIST) return BAD(r, "the list of storages is %s", clzt_node_kind_name(keys));
    for (int i = 0; i < keys->items.count; i++) {
        const struct clzt_node *text = &list->nodes[keys->items.nodes[i]];
        struct key *key = text->kind == CLZT_NODE_STRING ? find_key(r, text) : NULL;
        if (!key || key->storage >= 0)
            return BAD(r, "entry %d of the list of storages is %s that is %s", i, clzt_node_kind_name(text),
                       key ? "there twice" : "not mentioned before");
        if (bytes->size - at < sizeof head) return BAD(r, "ends before storage %s: truncated?", text_of(text).text);
        if ((ret = clzi_bytes_read(bytes, at, head, sizeof head)) < 0) return ret;
        if (clzi_u64le(head) != (uint64_t)key->id->storage.count)
            return BAD(r, "storage %s: %" PRIu64 " elements before its data, %" PRId64 " where it is mentioned",
                       text_of(text).text, clzi_u64le(head), key->id->storage.count);
        at += sizeof head;
        if ((ret = place_at(r, key, at, bytes->size - at)) < 0) return ret;
        at += r->tensors->storages[key->storage].size;
    }
    if (at != bytes->size) return BAD(r, "%" PRIu64 " bytes behind the last storage", bytes->size - at);
    return 0;
}

static int check_protocol(struct reader *r, const struct clzt_pickle *p)
{
    const struct clzt_node *n = &p->nodes[p->root];

    if (n->kind == CLZT_NODE_INT && n->integer == PROTOCOL) return 0;
    return BAD(r, "protocol number is %s other than %d", clzt_node_kind_name(n), PROTOCOL);
}

static int check_machine(struct reader *r, const struct clzt_pickle *p)
{
    const struct clzt_node *n = clzt_node_get(p, p->root, "little_endian");
    const bool known = n && n->kind == CLZT_NODE_BOOL;

    if (known && n->integer) return 0;
    return BAD(r, "the numbers are %s, expected little endian", known ? "big endian" : "of unknown byte order");
}

// Reads the pickle at text + *at and advances *at past it.
static int next_pickle(struct reader *r, const uint8_t *text, size_t size, size_t *at, struct clzt_pickle *p)
{
    const int ret = clzt_pickle_read(p, text + *at, size - *at, *at, r->name, r->log);

    if (ret >= 0) *at += p->end;
    return ret;
}

static int read_legacy(struct reader *r, const uint8_t *text, size_t size, const char *section)
{
    static int (*const checks[])(struct reader *, const struct clzt_pickle *) = { check_protocol, check_machine };
    struct clzt_pickle p = { 0 };
    size_t at = sizeof magic - 1;
    int ret = 0;

    for (size_t i = 0; i < sizeof checks / sizeof *checks && ret >= 0; i++) {
        if ((ret = next_pickle(r, text, size, &at, &p)) >= 0) ret = checks[i](r, &p);
        clzt_pickle_free(&p);
    }
    if (ret >= 0) ret = next_pickle(r, text, size, &at, &r->pickle);
    if (ret >= 0) ret = collect_keys(r);
    if (ret >= 0) ret = next_pickle(r, text, size, &at, &p);
    if (ret >= 0) ret = place_legacy(r, &p, at);
    clzt_pickle_free(&p);
    return ret < 0 ? ret : add_tensors(r, section);
}

int clzt_pth_open_legacy(struct clzt_tensors *tensors, const char *section)
{
    const struct clzi_bytes *bytes = &tensors->bytes;
    const size_t size = bytes->size < CLZT_MAX_DESCRIPTION ? (size_t)bytes->size : CLZT_MAX_DESCRIPTION;
    struct reader r = { .tensors = tensors, .place = not_placed, .name = bytes->name, .log = bytes->log };
    uint8_t *text = malloc(size);
    int ret = text ? clzi_bytes_read(bytes, 0, text, size) : -ENOMEM;

    if (ret >= 0) ret = read_legacy(&r, text, size, section);
    reader_free(&r);
    free(text);
    return ret;
}

// ---- zip form ----

bool clzt_pth_is_zip(const uint8_t *head, size_t size) { return size >= 4 && !memcmp(head, "PK\3\4", 4); }

// The entry STEM/NAME; NULL: none.
static const struct clzt_zip_entry *find_entry(const struct reader *r, const char *name)
{
    char path[2 * CLZT_TENSOR_NAME];

    snprintf(path, sizeof path, "%s/%s", r->stem, name);
    return clzt_zip_find(&r->zip, path);
}

static int place_zip(struct reader *r, struct key *key)
{
    const struct clzt_node *text = key->text;
    const struct clzt_zip_entry *e = NULL;
    char name[64];
    int ret;

    snprintf(name, sizeof name, "data/%.*s", (int)(text->string.size < 64 ? text->string.size : 64), text->string.text);
    if (strlen(name) == text->string.size + 5) e = find_entry(r, name);
    if (!e) return BAD(r, "storage %s is mentioned, but there is no entry data/%s", text_of(text).text, text_of(text).text);
    if (e->size != (uint64_t)key->id->storage.count * (uint64_t)key->id->storage.number->size)
        return BAD(r, "storage %s: %" PRId64 " elements of %s, but entry data/%s has %" PRIu64 " bytes", text_of(text).text,
                   key->id->storage.count, key->id->storage.number->name, text_of(text).text, e->size);
    if ((ret = place_at(r, key, e->at, e->size)) < 0) return ret;
    r->tensors->storages[key->storage].has_crc = true;
    r->tensors->storages[key->storage].crc = e->crc;
    return 0;
}

// Finds the folder of the only entry FOLDER/data.pkl.
static int find_stem(struct reader *r)
{
    static const char suffix[] = "/data.pkl";
    const size_t length = sizeof suffix - 1;
    int found = 0;

    for (int i = 0; i < r->zip.count; i++) {
        const struct clzt_zip_entry *e = &r->zip.entries[i];
        const size_t stem = e->name_size > length ? e->name_size - length : 0;
        if (!stem || stem >= sizeof r->stem || memcmp(e->name + stem, suffix, length) || memchr(e->name, '/', stem)) continue;
        memcpy(r->stem, e->name, stem);
        r->stem[stem] = 0;
        found++;
    }
    if (found == 1) return 0;
    return BAD(r, "is a ZIP archive with %d entries, %d of them FOLDER/data.pkl, expected one: not a PyTorch checkpoint",
               r->zip.count, found);
}

static int check_byte_order(struct reader *r)
{
    const struct clzt_zip_entry *e = find_entry(r, "byteorder");
    uint8_t *text = NULL;
    int ret = e ? clzt_zip_read(&r->zip, e, 16, &text) : 0;

    if (text && strcmp((char *)text, "little"))
        ret = BAD(r, "byte order is %s, expected little", clzi_printable((char *)text).text);
    free(text);
    return ret;
}

int clzt_pth_open_zip(struct clzt_tensors *tensors, const char *section)
{
    struct reader r = { .tensors = tensors, .place = place_zip, .name = tensors->bytes.name, .log = tensors->bytes.log };
    const struct clzt_zip_entry *e;
    uint8_t *text = NULL;
    int ret = clzt_zip_open(&r.zip, &tensors->bytes);

    if (ret >= 0) ret = find_stem(&r);
    if (ret >= 0) ret = check_byte_order(&r);
    if (ret >= 0) {
        e = find_entry(&r, "data.pkl");
        ret = clzt_zip_read(&r.zip, e, CLZT_MAX_DESCRIPTION, &text);
        if (ret >= 0) ret = clzt_pickle_read(&r.pickle, text, (size_t)e->size, e->at, r.name, r.log);
        if (ret >= 0 && r.pickle.end != e->size) ret = BAD(&r, "%zu bytes behind the pickle", (size_t)e->size - r.pickle.end);
    }
    if (ret >= 0) ret = collect_keys(&r);
    if (ret >= 0) ret = add_tensors(&r, section);
    reader_free(&r);
    free(text);
    return ret;
}
