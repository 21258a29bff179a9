// pth_pickle.c - interprets pickles without calling anything. Sources: Lib/pickletools.py of Python (opcodes to protocol 2),
// torch/_utils.py and torch/serialization.py of PyTorch (arguments of tensors and storages).
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/model_json.h"
#include "pth_pickle.h"

enum {
    MAX_NODES = 1 << 20,
    MAX_ITEMS = 1 << 22,                    // in all tuples, lists and dictionaries together
    MAX_STACK = 1 << 16,
    MAX_LINE  = 256,                        // bytes of the name of a module or class
    MARK      = -1,                         // on the stack, in place of a node
};

struct machine {
    struct clzt_pickle *pickle;
    const uint8_t *text;
    size_t size, at, opcode;                // opcode: offset of the current one
    int *stack, depth, stack_room;
    int *memo, memo_count, memo_room;
    int items;
    bool stopped;
    uint64_t base;
    const char *name;
    const struct clz_log *log;
};

#define BAD(m, format, ...)                                                                                     \
    clzi_fail((m)->log, -EBADMSG, "%s: pickle, byte %" PRIu64 ": " format, (m)->name, (m)->base + (m)->opcode, __VA_ARGS__)

// ---- names that a pickle may mention ----

enum role { ORDERED_DICT, TENSOR, PARAMETER, SIZE, STORAGE_TYPE };

static const struct { const char *module, *name; enum role role; } globals[] = {
    { "collections",  "OrderedDict",        ORDERED_DICT },
    { "torch._utils", "_rebuild_tensor_v2", TENSOR },
    { "torch._utils", "_rebuild_tensor",    TENSOR },
    { "torch._utils", "_rebuild_parameter", PARAMETER },
    { "torch",        "Size",               SIZE },
};

// ---- memory ----

static int grow(void *array, int *room, int count, size_t size)
{
    void **p = array, *larger;
    int n = *room ? *room : 4;

    if (count <= *room) return 0;
    while (n < count) n *= 2;
    if (!(larger = realloc(*p, (size_t)n * size))) return -ENOMEM;
    *p = larger;
    *room = n;
    return 0;
}

static int new_node(struct machine *m, enum clzt_node_kind kind)
{
    struct clzt_pickle *p = m->pickle;
    int ret;

    if (p->count == MAX_NODES) return BAD(m, "more than %d values", MAX_NODES);
    if ((ret = grow(&p->nodes, &p->room, p->count + 1, sizeof *p->nodes)) < 0) return ret;
    p->nodes[p->count] = (struct clzt_node){ .kind = kind };
    return p->count++;
}

static int push(struct machine *m, int node)
{
    int ret;

    if (node < MARK) return node;           // an error of new_node()
    if (m->depth == MAX_STACK) return BAD(m, "more than %d values on the stack", MAX_STACK);
    if ((ret = grow(&m->stack, &m->stack_room, m->depth + 1, sizeof *m->stack)) < 0) return ret;
    m->stack[m->depth++] = node;
    return 0;
}

static int push_new(struct machine *m, enum clzt_node_kind kind)
{
    return push(m, new_node(m, kind));
}

static int pop(struct machine *m)           // returns the node
{
    if (!m->depth || m->stack[m->depth - 1] == MARK)
        return BAD(m, "takes a value from %s", m->depth ? "below the mark" : "the empty stack");
    return m->stack[--m->depth];
}

static int top(struct machine *m, enum clzt_node_kind kind)
{
    static const char *const words[CLZT_NODE_KINDS] = { [CLZT_NODE_LIST] = "list", [CLZT_NODE_DICT] = "dictionary" };

    if (!m->depth || m->stack[m->depth - 1] == MARK || m->pickle->nodes[m->stack[m->depth - 1]].kind != kind)
        return BAD(m, "needs a %s on the stack", words[kind]);
    return m->stack[m->depth - 1];
}

// Index of the first stack entry above the topmost mark.
static int mark(struct machine *m)
{
    for (int i = m->depth - 1; i >= 0; i--)
        if (m->stack[i] == MARK) return i + 1;
    return BAD(m, "there is no %s", "mark on the stack");
}

static const uint8_t *take(struct machine *m, size_t n)
{
    const uint8_t *p = m->text + m->at;

    if (n > m->size - m->at) {
        BAD(m, "needs %zu bytes, %zu are left: truncated?", n, m->size - m->at);
        return NULL;
    }
    m->at += n;
    return p;
}

static int append(struct machine *m, int to, const int *nodes, int count)
{
    struct clzt_node *n = &m->pickle->nodes[to];
    int ret;

    if (count > MAX_ITEMS - m->items) return BAD(m, "more than %d values in tuples, lists and dictionaries", MAX_ITEMS);
    if ((ret = grow(&n->items.nodes, &n->items.room, n->items.count + count, sizeof *nodes)) < 0) return ret;
    m->items += count;
    if (count) memcpy(n->items.nodes + n->items.count, nodes, (size_t)count * sizeof *nodes);
    n->items.count += count;
    return 0;
}

// ---- plain values ----

static int op_kind(struct machine *m, int kind) { return push_new(m, (enum clzt_node_kind)kind); }

static int integer(struct machine *m, enum clzt_node_kind kind, int64_t value)
{
    const int node = new_node(m, kind);

    if (node >= 0) m->pickle->nodes[node].integer = value;
    return push(m, node);
}

static int op_bool(struct machine *m, int value) { return integer(m, CLZT_NODE_BOOL, value); }

static int64_t signed_le(const uint8_t *p, int size)
{
    uint64_t v = size && p[size - 1] & 0x80 ? UINT64_MAX : 0;

    for (int i = size - 1; i >= 0; i--) v = v << 8 | p[i];
    return (int64_t)v;
}

static int op_unsigned(struct machine *m, int size)
{
    const uint8_t *p = take(m, (size_t)size);
    return p ? integer(m, CLZT_NODE_INT, size == 1 ? p[0] : clzi_u16le(p)) : -EBADMSG;
}

static int op_signed(struct machine *m, int size)
{
    const uint8_t *p = take(m, (size_t)size);
    return p ? integer(m, CLZT_NODE_INT, signed_le(p, size)) : -EBADMSG;
}

static int op_long1(struct machine *m, int arg)
{
    const uint8_t *p = take(m, 1);

    (void)arg;
    if (!p) return -EBADMSG;
    if (*p > 8) return BAD(m, "an integer of %d bytes, at most 8", *p);
    return op_signed(m, *p);
}

static int op_float(struct machine *m, int arg)
{
    const uint8_t *p = take(m, 8);

    (void)arg;                              // the value is not needed: tensors have none of these
    return p ? push_new(m, CLZT_NODE_FLOAT) : -EBADMSG;
}

// size: bytes of the length field.
static int op_string(struct machine *m, int size)
{
    const uint8_t *p = take(m, (size_t)size), *text;
    size_t length = 0;
    int node;

    if (!p) return -EBADMSG;
    for (int i = size - 1; i >= 0; i--) length = length << 8 | p[i];
    if (!(text = take(m, length))) return -EBADMSG;
    if ((node = new_node(m, CLZT_NODE_STRING)) >= 0) {
        m->pickle->nodes[node].string.text = (const char *)text;
        m->pickle->nodes[node].string.size = length;
    }
    return push(m, node);
}

static int op_proto(struct machine *m, int arg)
{
    const uint8_t *p = take(m, 1);

    (void)arg;
    if (!p) return -EBADMSG;
    return *p <= 2 ? 0 : BAD(m, "protocol %d, read are those to 2, which torch.save() takes by default", *p);
}

// ---- stack and memo ----

static int op_mark(struct machine *m, int arg)
{
    (void)arg;
    return push(m, MARK);
}

static int op_stop(struct machine *m, int arg)
{
    (void)arg;
    if (m->depth != 1 || m->stack[0] == MARK) return BAD(m, "ends with %d values on the stack, expected 1", m->depth);
    m->stopped = true;
    return 0;
}

static int memo_index(struct machine *m, int size, uint32_t *index)
{
    const uint8_t *p = take(m, (size_t)size);

    if (!p) return -EBADMSG;
    *index = size == 1 ? p[0] : clzi_u32le(p);
    return 0;
}

// Writers number memo entries from 0 upwards, so an index is at most the number of entries.
static int op_put(struct machine *m, int size)
{
    uint32_t index;
    int ret = memo_index(m, size, &index);

    if (ret < 0) return ret;
    if (!m->depth || m->stack[m->depth - 1] == MARK) return BAD(m, "memo entry %" PRIu32 " has no value", index);
    if (index > (uint32_t)m->memo_count || index >= MAX_NODES)
        return BAD(m, "memo entry %" PRIu32 ", expected at most %d", index, m->memo_count);
    if ((ret = grow(&m->memo, &m->memo_room, m->memo_count + 1, sizeof *m->memo)) < 0) return ret;
    m->memo[index] = m->stack[m->depth - 1];
    if (index == (uint32_t)m->memo_count) m->memo_count++;
    return 0;
}

static int op_get(struct machine *m, int size)
{
    uint32_t index;
    int ret = memo_index(m, size, &index);

    if (ret < 0) return ret;
    if (index >= (uint32_t)m->memo_count) return BAD(m, "memo entry %" PRIu32 " of %d", index, m->memo_count);
    return push(m, m->memo[index]);
}

// ---- containers ----

static int tuple_from(struct machine *m, int first, int below)
{
    const int node = new_node(m, CLZT_NODE_TUPLE);
    int ret = node < 0 ? node : append(m, node, m->stack + first, m->depth - first);

    if (ret < 0) return ret;
    m->depth = below;
    return push(m, node);
}

static int op_tuple(struct machine *m, int arg)
{
    const int first = mark(m);

    (void)arg;
    return first < 0 ? first : tuple_from(m, first, first - 1);
}

static int op_tuple_of(struct machine *m, int count)
{
    for (int i = 1; i <= count; i++)
        if (i > m->depth || m->stack[m->depth - i] == MARK) return BAD(m, "needs %d values on the stack", count);
    return tuple_from(m, m->depth - count, m->depth - count);
}

// Appends the stack entries from `first` on to the list or dictionary on top of the first `below` entries, which remain.
static int put_into(struct machine *m, enum clzt_node_kind kind, int first, int below)
{
    const int count = m->depth - first;
    int to;

    if (kind == CLZT_NODE_DICT && count % 2) return BAD(m, "%d values, expected pairs", count);
    m->depth = below;
    to = top(m, kind);
    return to < 0 ? to : append(m, to, m->stack + first, count);
}

static int op_items(struct machine *m, int kind)
{
    const int first = mark(m);
    return first < 0 ? first : put_into(m, (enum clzt_node_kind)kind, first, first - 1);
}

static int op_item(struct machine *m, int kind)
{
    const int count = kind == CLZT_NODE_DICT ? 2 : 1;

    for (int i = 1; i <= count; i++)
        if (i > m->depth || m->stack[m->depth - i] == MARK) return BAD(m, "needs %d values on the stack", count);
    return put_into(m, (enum clzt_node_kind)kind, m->depth - count, m->depth - count);
}

// ---- names, tensors, storages ----

struct line { const char *text; int size; };           // text NULL: an error, logged

static struct line next_line(struct machine *m)
{
    const size_t left = m->size - m->at;
    const uint8_t *text = m->text + m->at, *end = memchr(text, '\n', left < MAX_LINE ? left : MAX_LINE);

    if (!end) {
        BAD(m, "a name without an end within %d bytes", MAX_LINE);
        return (struct line){ NULL, 0 };
    }
    m->at += (size_t)(end - text) + 1;
    return (struct line){ (const char *)text, (int)(end - text) };
}

static bool same(const char *text, size_t size, const char *word)
{
    return strlen(word) == size && !memcmp(text, word, size);
}

static bool is(struct line line, const char *word) { return same(line.text, (size_t)line.size, word); }

static int push_global(struct machine *m, enum role role, const struct clzt_number *number)
{
    const int node = new_node(m, CLZT_NODE_GLOBAL);

    if (node >= 0) {
        m->pickle->nodes[node].global.role = (int)role;
        m->pickle->nodes[node].global.number = number;
    }
    return push(m, node);
}

static int op_global(struct machine *m, int arg)
{
    struct line module, name;
    char both[MAX_LINE];

    (void)arg;
    if (!(module = next_line(m)).text || !(name = next_line(m)).text) return -EBADMSG;
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (is(module, globals[i].module) && is(name, globals[i].name)) return push_global(m, globals[i].role, NULL);
    for (const struct clzt_number *n = clzt_numbers; n->name; n++)
        if (is(module, "torch") && is(name, n->storage)) return push_global(m, STORAGE_TYPE, n);
    snprintf(both, sizeof both, "%.*s.%.*s", module.size, module.text, name.size, name.text);
    return BAD(m, "GLOBAL %s is not among the names that describe tensors, and nothing else is ever called; save the state_dict "
               "alone", clzi_printable(both).text);
}

// Compares the kinds of a tuple's values: s storage, i integer, b bool, t tuple, u string, g name, T tensor, * any.
static bool fits(const struct clzt_pickle *p, int tuple, const char *pattern)
{
    static const char letters[CLZT_NODE_KINDS] = {
        [CLZT_NODE_STORAGE] = 's', [CLZT_NODE_INT] = 'i', [CLZT_NODE_BOOL] = 'b', [CLZT_NODE_TUPLE] = 't',
        [CLZT_NODE_STRING] = 'u', [CLZT_NODE_TENSOR] = 'T', [CLZT_NODE_GLOBAL] = 'g',
    };
    const struct clzt_node *n = &p->nodes[tuple];

    if (n->kind != CLZT_NODE_TUPLE || (size_t)n->items.count != strlen(pattern)) return false;
    for (int i = 0; i < n->items.count; i++)
        if (pattern[i] != '*' && letters[p->nodes[n->items.nodes[i]].kind] != pattern[i]) return false;
    return true;
}

// OrderedDict() or, from Python 2, OrderedDict([[key, value], ...])
static int ordered_dict(struct machine *m, int args)
{
    struct clzt_pickle *p = m->pickle;
    const int dict = new_node(m, CLZT_NODE_DICT);
    int list, ret;

    if (dict < 0) return dict;
    if (fits(p, args, "")) return push(m, dict);
    if (!fits(p, args, "*") || p->nodes[list = p->nodes[args].items.nodes[0]].kind != CLZT_NODE_LIST)
        return BAD(m, "arguments of %s are not understood", "OrderedDict");
    for (int i = 0; i < p->nodes[list].items.count; i++) {
        const struct clzt_node *pair = &p->nodes[p->nodes[list].items.nodes[i]];
        if ((pair->kind != CLZT_NODE_LIST && pair->kind != CLZT_NODE_TUPLE) || pair->items.count != 2)
            return BAD(m, "item %d of %s is no pair", i, "an OrderedDict");
        if ((ret = append(m, dict, pair->items.nodes, 2)) < 0) return ret;
    }
    return push(m, dict);
}

// (storage, offset, sizes, strides) and, in version 2, (requires_grad, hooks) and sometimes metadata
static int tensor(struct machine *m, int args)
{
    struct clzt_pickle *p = m->pickle;
    const int *a, node = new_node(m, CLZT_NODE_TENSOR);
    struct clzt_node *n;

    if (node < 0) return node;
    if (!fits(p, args, "sittb*") && !fits(p, args, "sittb**") && !fits(p, args, "sitt"))
        return BAD(m, "arguments of %s are not understood", "a tensor");
    a = p->nodes[args].items.nodes;
    n = &p->nodes[node];
    n->tensor.storage = a[0];
    n->tensor.offset = p->nodes[a[1]].integer;
    n->tensor.sizes = a[2];
    n->tensor.strides = a[3];
    return push(m, node);
}

static int op_reduce(struct machine *m, int arg)
{
    struct clzt_pickle *p = m->pickle;
    int args, callee;

    (void)arg;
    if ((args = pop(m)) < 0) return args;
    if ((callee = pop(m)) < 0) return callee;
    if (p->nodes[callee].kind != CLZT_NODE_GLOBAL || p->nodes[args].kind != CLZT_NODE_TUPLE)
        return BAD(m, "REDUCE of %s, expected one of the names that describe tensors", clzt_node_kind_name(&p->nodes[callee]));
    switch ((enum role)p->nodes[callee].global.role) {
    case ORDERED_DICT: return ordered_dict(m, args);
    case TENSOR:       return tensor(m, args);
    case PARAMETER:
        if (!fits(p, args, "Tb*")) return BAD(m, "arguments of %s are not understood", "a parameter");
        return push(m, p->nodes[args].items.nodes[0]);
    case SIZE:
        if (!fits(p, args, "t")) return BAD(m, "arguments of %s are not understood", "torch.Size");
        return push(m, p->nodes[args].items.nodes[0]);
    case STORAGE_TYPE: break;
    }
    return BAD(m, "a storage is %s", "called, expected a persistent id");
}

// ('storage', type, key, location, elements) and, in the legacy form, None or (key of the view, begin, length)
static int op_persid(struct machine *m, int arg)
{
    struct clzt_pickle *p = m->pickle;
    const int *a, *view;
    struct clzt_node *n;
    int id, node;

    (void)arg;
    if ((id = pop(m)) < 0) return id;
    if ((node = new_node(m, CLZT_NODE_STORAGE)) < 0) return node;
    a = p->nodes[id].kind == CLZT_NODE_TUPLE ? p->nodes[id].items.nodes : NULL;
    if ((!fits(p, id, "uguui") && !fits(p, id, "uguui*")) || !clzt_node_is(p, a[0], "storage") ||
        p->nodes[a[1]].global.role != STORAGE_TYPE)
        return BAD(m, "a persistent id that is not %s", "(\"storage\", type, key, location, elements)");
    n = &p->nodes[node];
    n->storage.key = a[2];
    n->storage.number = p->nodes[a[1]].global.number;
    n->storage.count = n->storage.length = p->nodes[a[4]].integer;
    n->storage.begin = 0;
    if (p->nodes[id].items.count == 6 && p->nodes[a[5]].kind != CLZT_NODE_NONE) {
        if (!fits(p, a[5], "uii")) return BAD(m, "a view of a storage that is not %s", "(key, begin, length)");
        view = p->nodes[a[5]].items.nodes;
        n->storage.begin = p->nodes[view[1]].integer;
        n->storage.length = p->nodes[view[2]].integer;
    }
    if (n->storage.count < 0 || n->storage.begin < 0 || n->storage.length < 0 || n->storage.begin > n->storage.count ||
        n->storage.length > n->storage.count - n->storage.begin)
        return BAD(m, "a storage of %" PRId64 " elements, used from %" PRId64 ", %" PRId64 " of them", n->storage.count,
                   n->storage.begin, n->storage.length);
    return push(m, node);
}

// Sets attributes of a dictionary (_metadata: versions of PyTorch's modules), which are not needed.
static int op_build(struct machine *m, int arg)
{
    const int state = pop(m);

    (void)arg;
    return state < 0 ? state : top(m, CLZT_NODE_DICT);
}

// ---- the opcodes ----

static int op_refused(struct machine *m, int arg);

static const struct opcode { uint8_t code; const char *name; int (*run)(struct machine *m, int arg); int arg; } opcodes[] = {
    { 0x80, "PROTO",       op_proto,    0 }, { '.',  "STOP",         op_stop,     0 }, { 'c',  "GLOBAL",    op_global,   0 },
    { '(',  "MARK",        op_mark,     0 }, { 'q',  "BINPUT",       op_put,      1 }, { 'r',  "LONG_BINPUT", op_put,    4 },
    { 'h',  "BINGET",      op_get,      1 }, { 'j',  "LONG_BINGET",  op_get,      4 }, { 'R',  "REDUCE",    op_reduce,   0 },
    { 'Q',  "BINPERSID",   op_persid,   0 }, { 'b',  "BUILD",        op_build,    0 },
    { 'N',  "NONE",        op_kind,     CLZT_NODE_NONE },  { ')', "EMPTY_TUPLE", op_kind, CLZT_NODE_TUPLE },
    { ']',  "EMPTY_LIST",  op_kind,     CLZT_NODE_LIST },  { '}', "EMPTY_DICT",  op_kind, CLZT_NODE_DICT },
    { 't',  "TUPLE",       op_tuple,    0 }, { 0x85, "TUPLE1",       op_tuple_of, 1 }, { 0x86, "TUPLE2",    op_tuple_of, 2 },
    { 0x87, "TUPLE3",      op_tuple_of, 3 },
    { 'a',  "APPEND",      op_item,     CLZT_NODE_LIST },  { 'e', "APPENDS",     op_items, CLZT_NODE_LIST },
    { 's',  "SETITEM",     op_item,     CLZT_NODE_DICT },  { 'u', "SETITEMS",    op_items, CLZT_NODE_DICT },
    { 0x88, "NEWTRUE",     op_bool,     1 }, { 0x89, "NEWFALSE",     op_bool,     0 }, { 'G',  "BINFLOAT",  op_float,    0 },
    { 'K',  "BININT1",     op_unsigned, 1 }, { 'M',  "BININT2",      op_unsigned, 2 }, { 'J',  "BININT",    op_signed,   4 },
    { 0x8a, "LONG1",       op_long1,    0 }, { 'X',  "BINUNICODE",   op_string,   4 }, { 'U',  "SHORT_BINSTRING", op_string, 1 },
    { 'T',  "BINSTRING",   op_string,   4 },
    // recognised, to name them in the error
    { 'i',  "INST",        op_refused,  0 }, { 'o',  "OBJ",          op_refused,  0 }, { 0x81, "NEWOBJ",    op_refused,  0 },
    { 0x92, "NEWOBJ_EX",   op_refused,  0 }, { 0x93, "STACK_GLOBAL", op_refused,  0 }, { 0x82, "EXT1",      op_refused,  0 },
    { 0x83, "EXT2",        op_refused,  0 }, { 0x84, "EXT4",         op_refused,  0 }, { 'P',  "PERSID",    op_refused,  0 },
};

static const struct opcode *find_opcode(uint8_t code)
{
    for (size_t i = 0; i < sizeof opcodes / sizeof *opcodes; i++)
        if (opcodes[i].code == code) return &opcodes[i];
    return NULL;
}

static int op_refused(struct machine *m, int arg)
{
    (void)arg;
    return BAD(m, "opcode %s is not carried out: it makes objects of any class", find_opcode(m->text[m->opcode])->name);
}

int clzt_pickle_read(struct clzt_pickle *pickle, const uint8_t *text, size_t size, uint64_t base, const char *name,
                     const struct clz_log *log)
{
    struct machine m = { .pickle = pickle, .text = text, .size = size, .base = base, .name = name, .log = log };
    int ret = 0;

    *pickle = (struct clzt_pickle){ 0 };
    while (!m.stopped && ret >= 0) {
        const struct opcode *op;
        m.opcode = m.at;
        if (m.at == size) {
            ret = BAD(&m, "ends without %s: truncated?", "STOP");
            break;
        }
        op = find_opcode(text[m.at++]);
        ret = op ? op->run(&m, op->arg) : BAD(&m, "opcode 0x%02x is unknown", text[m.opcode]);
    }
    if (ret >= 0) pickle->root = m.stack[0];
    pickle->end = m.at;
    free(m.stack);
    free(m.memo);
    if (ret < 0) clzt_pickle_free(pickle);
    return ret < 0 ? ret : 0;
}

void clzt_pickle_free(struct clzt_pickle *pickle)
{
    for (int i = 0; i < pickle->count; i++) {
        const enum clzt_node_kind kind = pickle->nodes[i].kind;
        if (kind == CLZT_NODE_TUPLE || kind == CLZT_NODE_LIST || kind == CLZT_NODE_DICT) free(pickle->nodes[i].items.nodes);
    }
    free(pickle->nodes);
    *pickle = (struct clzt_pickle){ 0 };
}

// ---- looking at the result ----

bool clzt_node_is(const struct clzt_pickle *pickle, int node, const char *text)
{
    const struct clzt_node *n = &pickle->nodes[node];
    return n->kind == CLZT_NODE_STRING && same(n->string.text, n->string.size, text);
}

const struct clzt_node *clzt_node_get(const struct clzt_pickle *pickle, int dict, const char *key)
{
    const struct clzt_node *n = &pickle->nodes[dict];

    for (int i = 0; n->kind == CLZT_NODE_DICT && i < n->items.count; i += 2)
        if (clzt_node_is(pickle, n->items.nodes[i], key)) return &pickle->nodes[n->items.nodes[i + 1]];
    return NULL;
}

const char *clzt_node_kind_name(const struct clzt_node *node)
{
    static const char *const names[CLZT_NODE_KINDS] = {
        [CLZT_NODE_NONE] = "None", [CLZT_NODE_BOOL] = "a bool", [CLZT_NODE_INT] = "an integer", [CLZT_NODE_FLOAT] = "a float",
        [CLZT_NODE_STRING] = "a string", [CLZT_NODE_TUPLE] = "a tuple", [CLZT_NODE_LIST] = "a list",
        [CLZT_NODE_DICT] = "a dictionary", [CLZT_NODE_GLOBAL] = "a name", [CLZT_NODE_STORAGE] = "a storage",
        [CLZT_NODE_TENSOR] = "a tensor",
    };
    return names[node->kind];
}
