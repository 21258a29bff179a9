// model_json.c - a graph as JSON text: [{"op":"conv","name":"layer1.0.conv1","in":[3],"channels":64,"k":3,...}, ...].
// "in" contains indices of earlier nodes. The other keys are the op's attributes as listed in op.c; an optional one is omitted if
// it has its default value. The last node is the output.
#include <errno.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "decimal.h"
#include "base/log.h"
#include "model.h"
#include "model_json.h"
#include "op.h"

struct clzi_printable clzi_printable(const char *s)
{
    struct clzi_printable p = {{0}};
    const size_t length = strlen(s), room = sizeof p.text - 1;

    for (size_t i = 0; i < length && i < room; i++) p.text[i] = s[i] < ' ' || s[i] > '~' ? '?' : s[i];
    if (length > room) memcpy(p.text + room - 3, "...", 3);
    return p;
}

// Counts objects and arrays and their depth without parsing. True if there are at most `containers`, at most three deep.
static bool brackets_bounded(const char *text, size_t size, int containers)
{
    bool in_string = false;
    int level = 0;

    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        if (in_string && c == '\\') i++;
        else if (c == '"') in_string = !in_string;
        else if (in_string) continue;
        else if (c == '{' || c == '[') {
            if (++level > 3 || !containers--) return false;
        } else if (c == '}' || c == ']') {
            level--;
        }
    }
    return true;
}

int clzi_json_parse(json_t **root, const char *text, size_t size, int containers, struct clzi_printable *why)
{
    char place[JSON_ERROR_TEXT_LENGTH + 32];
    json_error_t error;

    *root = NULL;
    if (!brackets_bounded(text, size, containers)) {
        *why = clzi_printable("too many or too deep objects and arrays");
        return -EBADMSG;
    }
    if (memchr(text, 0, size)) {                    // jansson ignores it after a number
        *why = clzi_printable("a NUL byte");
        return -EBADMSG;
    }
    if ((*root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error))) return 0;
    if (json_error_code(&error) == json_error_out_of_memory) return -ENOMEM;
    snprintf(place, sizeof place, "byte %d: %s", error.position, error.text);
    *why = clzi_printable(place);
    return -EBADMSG;
}

char *clzi_json_text(const json_t *json, size_t flags)
{
    const size_t size = json_dumpb(json, NULL, 0, flags);
    char *text = size ? malloc(size + 1) : NULL;

    if (!text) return NULL;
    text[size] = 0;
    if (json_dumpb(json, text, size, flags) == size) return text;
    free(text);
    return NULL;
}

// The double that jansson, which prints doubles, writes with the fewest digits that read back as the float x.
static double shortest(float x)
{
    char text[CLZI_DECIMAL_SIZE];

    clzi_shortest_decimal(text, x, true);
    return strtod(text, NULL);
}

char *clzi_number_to_text(float x)
{
    json_t *number = json_real(shortest(x));
    char *text = number ? clzi_json_text(number, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9)) : NULL;

    json_decref(number);
    return text;
}

int clzi_number_from_text(const char *text, int integer, double *x)
{
    json_t *number = json_loads(text, JSON_DECODE_ANY, NULL);
    const bool right = integer ? json_is_integer(number) : json_is_number(number);

    *x = right ? json_number_value(number) : 0;
    json_decref(number);
    return right ? 0 : -EINVAL;
}

// ---- writing ----

static json_t *attr_to_json(const struct clzi_attr *attr, const struct clzi_attr_info *info)
{
    const double value = clzi_attr_get(attr, info);

    switch (info->type) {
    case CLZI_ATTR_FLOAT: return json_real(shortest((float)value));
    case CLZI_ATTR_ACT:   return json_string(clzi_act_name((enum clzi_act)value));
    case CLZI_ATTR_INT:   break;
    }
    return json_integer((json_int_t)value);
}

static json_t *node_to_json(const struct clzi_graph *g, int index)
{
    const struct clzi_node *n = &g->nodes[index];
    json_t *node = json_object(), *in = json_array();
    int bad = json_object_set_new(node, "op", json_string(clzi_ops[n->op].name));

    bad |= json_object_set_new(node, "name", json_string(n->name));
    for (int i = 0; i < n->in_count; i++) bad |= json_array_append_new(in, json_integer(n->in[i]));
    bad |= json_object_set_new(node, "in", in);
    for (const struct clzi_attr_info *a = clzi_ops[n->op].attrs; a->name; a++)
        if (!a->optional || clzi_attr_get(&n->attr, a) != a->absent)
            bad |= json_object_set_new(node, a->name, attr_to_json(&n->attr, a));
    for (int i = 0; i < g->out_count && g->outputs_named; i++)
        if (g->out[i].node == index) bad |= json_object_set_new(node, "out", json_string(g->out[i].name));
    if (bad) {
        json_decref(node);
        return NULL;
    }
    return node;
}

int clzi_graph_to_json(const struct clzi_graph *g, char **json)
{
    json_t *nodes = json_array();
    int ret = nodes ? 0 : -ENOMEM;

    *json = NULL;
    for (int i = 0; i < g->node_count && ret >= 0; i++)
        if (json_array_append_new(nodes, node_to_json(g, i)) < 0) ret = -ENOMEM;
    if (ret >= 0 && !(*json = clzi_json_text(nodes, JSON_COMPACT | JSON_REAL_PRECISION(9)))) ret = -ENOMEM;
    json_decref(nodes);
    return ret;
}

// ---- reading ----

struct reader {
    struct clzi_graph *graph;
    const char *name;                       // of the file, for messages
    const struct clz_log *log;
};

static const struct clzi_attr_info *find_attr(const struct clzi_op_info *op, const char *name)
{
    const struct clzi_attr_info *a = op->attrs;

    while (a->name && strcmp(a->name, name)) a++;
    return a->name ? a : NULL;
}

// Logs "FILE: graph: node 3 NAME: WHAT: VALUE". The node's name is omitted until it has been checked.
static int bad_node(const struct reader *r, const struct clzi_node *n, const char *what, const char *value)
{
    return clzi_fail(r->log, -EBADMSG, "%s: graph: node %d%s%s: %s%s%s", r->name, r->graph->node_count, *n->name ? " " : "",
                     n->name, what, *value ? ": " : "", clzi_printable(value).text);
}

static int bad_act(const struct reader *r, const struct clzi_node *n, const char *value)
{
    char what[128] = "\"act\" should be one of ";

    for (int i = 0; i < CLZI_ACT_COUNT; i++) {
        const size_t used = strlen(what);
        snprintf(what + used, sizeof what - used, "%s%s", i ? ", " : "", clzi_act_name((enum clzi_act)i));
    }
    return bad_node(r, n, what, value);
}

static int read_attr(const struct reader *r, struct clzi_node *n, const struct clzi_attr_info *a, const json_t *json)
{
    double value, rounded;

    if (!json) {
        if (!a->optional)
            return clzi_fail(r->log, -EBADMSG, "%s: graph: node %d %s: has no \"%s\", which %s needs", r->name,
                             r->graph->node_count, n->name, a->name, clzi_ops[n->op].name);
        clzi_attr_set(&n->attr, a, a->absent);
        return 0;
    }
    if (a->type == CLZI_ATTR_ACT) {
        const int act = json_is_string(json) ? clzi_act_find(json_string_value(json)) : -EINVAL;
        if (act < 0)
            return bad_act(r, n, json_is_string(json) ? json_string_value(json) : "");
        clzi_attr_set(&n->attr, a, act);
        return 0;
    }
    if (a->type == CLZI_ATTR_INT ? !json_is_integer(json) : !json_is_number(json))
        return clzi_fail(r->log, -EBADMSG, "%s: graph: node %d %s: \"%s\" should be %s", r->name, r->graph->node_count, n->name,
                         a->name, a->type == CLZI_ATTR_INT ? "an integer" : "a number");
    value = json_number_value(json);
    rounded = a->type == CLZI_ATTR_FLOAT && fabs(value) <= FLT_MAX ? (float)value : value;     // the limits are floats
    if (!(rounded >= a->min && rounded <= a->max))
        return clzi_fail(r->log, -EBADMSG, "%s: graph: node %d %s: \"%s\" is %.9g, expected %.7g to %.7g", r->name,
                         r->graph->node_count, n->name, a->name, value, a->min, a->max);
    clzi_attr_set(&n->attr, a, rounded);
    return 0;
}

static const char name_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";

static int read_name(const struct reader *r, struct clzi_node *n, const char *name)
{
    if (!name) return bad_node(r, n, "has no \"name\"", "");
    if (!*name || strlen(name) > CLZI_NAME_SIZE - 16) return bad_node(r, n, "name should be 1 to 80 bytes", name);
    if (name[strspn(name, name_characters)]) return bad_node(r, n, "name should have no characters but A-Za-z0-9_.-", name);
    for (int i = 0; i < r->graph->node_count; i++)
        if (!strcmp(r->graph->nodes[i].name, name)) return bad_node(r, n, "an earlier node has the same name", name);
    strcpy(n->name, name);
    return 0;
}

static int read_inputs(const struct reader *r, struct clzi_node *n, const json_t *in)
{
    const struct clzi_op_info *op = &clzi_ops[n->op];

    if (!json_is_array(in)) return bad_node(r, n, "\"in\" should be an array of node indices", "");
    if (json_array_size(in) < (size_t)op->in_min || json_array_size(in) > (size_t)op->in_max)
        return clzi_fail(r->log, -EBADMSG, "%s: graph: node %d %s: has %zu inputs, %s takes %d to %d", r->name,
                         r->graph->node_count, n->name, json_array_size(in), op->name, op->in_min, op->in_max);
    n->in_count = (int)json_array_size(in);
    for (int i = 0; i < n->in_count; i++) {
        const json_t *index = json_array_get(in, i);
        if (!json_is_integer(index)) return bad_node(r, n, "\"in\" should contain integers", "");
        if (json_integer_value(index) < 0 || json_integer_value(index) >= r->graph->node_count)
            return clzi_fail(r->log, -EBADMSG, "%s: graph: node %d %s: input %" JSON_INTEGER_FORMAT " is not an earlier node",
                             r->name, r->graph->node_count, n->name, json_integer_value(index));
        n->in[i] = (int)json_integer_value(index);
    }
    return 0;
}

// "out" makes the node that was added last an output of the graph.
static int read_output(const struct reader *r, const struct clzi_node *n, const json_t *out)
{
    const char *name = json_string_value(out);

    if (!out) return 0;
    if (!name) return bad_node(r, n, "\"out\" should be a string", "");
    if (name[strspn(name, name_characters)]) return bad_node(r, n, "\"out\" has characters other than A-Za-z0-9_.-", name);
    if (clzi_graph_output(r->graph, name, r->graph->node_count - 1) < 0)
        return bad_node(r, n, "\"out\" should be 1 to 31 bytes, of no other output, and there are at most 8", name);
    return 0;
}

static int read_node(const struct reader *r, json_t *json)
{
    struct clzi_node n = { .name = "" };
    const char *op, *key;
    json_t *value;
    int ret;

    if (!json_is_object(json)) return bad_node(r, &n, "should be an object", "");
    if ((ret = read_name(r, &n, json_string_value(json_object_get(json, "name")))) < 0) return ret;
    if (!(op = json_string_value(json_object_get(json, "op")))) return bad_node(r, &n, "has no \"op\"", "");
    if ((ret = clzi_op_find(op)) < 0) return bad_node(r, &n, "unknown op", op);
    n.op = (enum clzi_op_id)ret;
    if ((ret = read_inputs(r, &n, json_object_get(json, "in"))) < 0) return ret;
    json_object_foreach(json, key, value)
        if (strcmp(key, "op") && strcmp(key, "name") && strcmp(key, "in") && strcmp(key, "out") &&
            !find_attr(&clzi_ops[n.op], key))
            return bad_node(r, &n, "unknown attribute", key);
    for (const struct clzi_attr_info *a = clzi_ops[n.op].attrs; a->name; a++)
        if ((ret = read_attr(r, &n, a, json_object_get(json, a->name))) < 0) return ret;
    ret = clzi_graph_add_node(r->graph, &n);
    if (ret == -ENOMEM) return ret;
    if (ret < 0) return bad_node(r, &n, "its inputs and attributes do not fit together", op);
    return read_output(r, &n, json_object_get(json, "out"));
}

int clzi_graph_from_json(struct clzi_graph **out, const char *json, size_t size, const char *name, const struct clz_log *log)
{
    struct reader r = { .name = name, .log = log };
    struct clzi_printable why;
    json_t *nodes;
    int ret;

    *out = NULL;
    if ((ret = clzi_json_parse(&nodes, json, size, 1 + 2 * CLZI_MAX_NODES, &why)) < 0)
        return ret == -EBADMSG ? clzi_fail(log, ret, "%s: graph: %s", name, why.text) : ret;
    if ((ret = clzi_graph_create(&r.graph)) < 0) goto fail;
    if (!json_is_array(nodes)) {
        ret = clzi_fail(log, -EBADMSG, "%s: graph: should be an array of nodes", name);
        goto fail;
    }
    if (json_array_size(nodes) > CLZI_MAX_NODES) {
        ret = clzi_fail(log, -EBADMSG, "%s: graph: has %zu nodes, expected at most %d", name, json_array_size(nodes),
                        CLZI_MAX_NODES);
        goto fail;
    }
    for (size_t i = 0; i < json_array_size(nodes); i++)
        if ((ret = read_node(&r, json_array_get(nodes, i))) < 0) goto fail;
    if (!r.graph->in_count) {
        ret = clzi_fail(log, -EBADMSG, "%s: graph: has no input node, expected one", name);
        goto fail;
    }
    json_decref(nodes);
    *out = r.graph;
    return 0;
fail:
    json_decref(nodes);
    clzi_graph_destroy(&r.graph);
    return ret;
}
