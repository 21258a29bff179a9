// fuzz_model.c - libFuzzer target for the reader of model files: make fuzz, then
// build/fuzz/fuzz_model -max_total_time=600 FOLDER (FOLDER keeps the inputs that reached new code; it may be empty at first).
//
// Random bytes are rejected at the length or at the hash, so there are three kinds of input, chosen by the first byte:
//     'f'  the rest is a file, unchanged
//     'h'  the rest is a header's text up to the first NUL, then data; length and hash are set to the correct values
//     'g'  the rest is a graph's text; matching facts, tensors and data are added. A graph that clzi_graph_from_json() accepts
//          must be accepted in this file, and fusing it and computing its shapes must succeed or fail without a crash
// Every input must give 0 and a model, or -EBADMSG, no model and exactly one message.
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model.h"
#include "base/sha256.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

enum { MOST_DATA = 1 << 20 };

static void must(int condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "violated: %s\n", what);
    abort();
}

static void count(void *priv, enum clz_log_level level, const char *msg)
{
    must(level == CLZ_LOG_ERROR && *msg, "messages are errors and not empty");
    ++*(int *)priv;
}

// ---- uses the graph as a stream does ----

static void use_graph(const struct clz_model *m)
{
    const struct clzi_graph *g = m->graph;
    struct clzi_shape *shapes = calloc(g->node_count, sizeof *shapes);
    struct clzi_graph *fused = NULL;
    float **values = NULL;
    char *json = NULL;

    for (int i = 0; i < 3; i++)
        clzi_graph_shapes(g, 1 + i, i == 1 ? 16384 : 64, i == 2 ? 16384 : 32, shapes, NULL);
    must(clzi_graph_fuse(g, m->values, &fused, &values) >= 0, "a graph that is read can be fused");
    for (int i = 0; i < fused->param_count; i++) free(values[i]);
    free(values);
    must(clzi_graph_to_json(g, &json) >= 0, "a graph that is read can be written");
    free(json);
    clzi_graph_destroy(&fused);
    free(shapes);
}

static int parse(const void *data, size_t size)
{
    int messages = 0;
    const struct clz_log log = { count, &messages, CLZ_LOG_DEBUG };
    struct clz_model *m = NULL;
    const int ret = clzi_model_parse(&m, data, size, "fuzz", &log);

    must(ret == 0 || ret == -EBADMSG, "0 or -EBADMSG");
    must((ret == 0) == (m != NULL), "a model or an error");
    must(messages == !!ret, "one message for an error");
    if (m) use_graph(m);
    clz_model_close(&m);
    return ret;
}

// ---- files with the correct length and hash ----

static int parse_header(const char *text, size_t length, const uint8_t *data, size_t size)
{
    static const char key[] = "\"colorize.sha256\":\"";
    uint8_t *file = malloc(8 + length + size);
    struct clzi_sha256 hash;
    char hex[65], *at;
    int ret;

    for (int i = 0; i < 8; i++) file[i] = (uint8_t)(length >> 8 * i);
    memcpy(file + 8, text, length);
    if (size) memcpy(file + 8 + length, data, size);
    clzi_sha256_init(&hash);
    clzi_sha256_update(&hash, data, size);
    clzi_sha256_hex(&hash, hex);
    at = memmem(file + 8, length, key, sizeof key - 1);
    if (at && at + sizeof key - 1 + 64 <= (char *)file + 8 + length) memcpy(at + sizeof key - 1, hex, 64);
    ret = parse(file, 8 + length + size);
    free(file);
    return ret;
}

static void put_tensors(FILE *f, const struct clzi_graph *g)
{
    long at = 0;

    for (int i = 0; i < g->param_count; i++) {
        const struct clzi_param *p = &g->params[i];
        fprintf(f, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[", p->name);
        for (int k = 0; k < p->rank; k++) fprintf(f, "%s%d", k ? "," : "", p->dims[k]);
        fprintf(f, "],\"data_offsets\":[%ld,%ld]}", at, at + 4 * (long)clzi_param_count(p));
        at += 4 * (long)clzi_param_count(p);
    }
}

static int64_t data_size(const struct clzi_graph *g)
{
    int64_t size = 0;

    for (int i = 0; i < g->param_count; i++) size += 4 * clzi_param_count(&g->params[i]);
    return size;
}

static void parse_graph(const char *text, size_t length)
{
    const int stride_of_graph = 4096;
    struct clzi_graph *g = NULL;
    char *header = NULL;
    uint8_t *zeros;
    size_t size;
    FILE *f;
    int stride;

    if (clzi_graph_from_json(&g, text, length, "fuzz", NULL) < 0) {
        must(!g, "no graph with an error");
        return;
    }
    stride = clzi_graph_stride(g);
    must(stride < 0 || (stride >= 1 && stride <= stride_of_graph), "a stride in its range");
    if (stride < 0 || stride > 1024 || data_size(g) > MOST_DATA) {
        clzi_graph_destroy(&g);
        return;
    }
    f = open_memstream(&header, &size);
    fprintf(f, "{\"__metadata__\":{\"colorize.format\":\"1\",\"colorize.arch\":\"\",\"colorize.size\":\"64\","
            "\"colorize.stride\":\"%d\",\"colorize.input\":\"luma\",\"colorize.l_scale\":\"50\",\"colorize.l_offset\":\"1\","
            "\"colorize.ab_scale\":\"110\",\"colorize.train\":\"\",\"colorize.license\":\"\","
            "\"colorize.sha256\":\"%64d\",\"colorize.graph\":\"", stride, 0);
    for (size_t i = 0; i < length; i++)
        fprintf(f, text[i] < ' ' && text[i] >= 0 ? "\\u%04x" : strchr("\"\\", text[i]) ? "\\%c" : "%c", text[i]);
    fprintf(f, "\"}");
    put_tensors(f, g);
    fprintf(f, "}");
    fclose(f);
    zeros = calloc(1, data_size(g) + 1);
    must(parse_header(header, size, zeros, data_size(g)) == 0 || size > 1 << 20, "a file with a correct graph is accepted");
    free(zeros);
    free(header);
    clzi_graph_destroy(&g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data + 1;
    size_t length;

    if (!size) return 0;
    if (data[0] == 'f') parse(data + 1, size - 1);
    if (data[0] == 'h') {
        length = strnlen(text, size - 1);
        parse_header(text, length, data + 1 + length + (length < size - 1), size - 1 - length - (length < size - 1));
    }
    if (data[0] == 'g') parse_graph(text, size - 1);
    return 0;
}

// ---- mutations that keep most of the JSON valid ----

static const char graph_example[] =
    "g[{\"op\":\"input\",\"name\":\"L\",\"in\":[],\"channels\":1},"
    "{\"op\":\"conv\",\"name\":\"a\",\"in\":[0],\"channels\":4,\"k\":3,\"stride\":2,\"pad\":1,\"bias\":0},"
    "{\"op\":\"batchnorm\",\"name\":\"n\",\"in\":[1],\"eps\":1e-05,\"momentum\":0.1},"
    "{\"op\":\"act\",\"name\":\"r\",\"in\":[2],\"act\":\"leaky\",\"slope\":0.5},"
    "{\"op\":\"dropout\",\"name\":\"d\",\"in\":[3],\"p\":0.5},"
    "{\"op\":\"add\",\"name\":\"s\",\"in\":[4,1]},"
    "{\"op\":\"maxpool\",\"name\":\"m\",\"in\":[5],\"k\":3,\"stride\":2,\"pad\":1},"
    "{\"op\":\"convt\",\"name\":\"t\",\"in\":[6],\"channels\":4,\"k\":4,\"stride\":2,\"pad\":1,\"bias\":1},"
    "{\"op\":\"concat\",\"name\":\"c\",\"in\":[7,1]},{\"op\":\"shuffle\",\"name\":\"p\",\"in\":[8],\"factor\":2},"
    "{\"op\":\"softmax\",\"name\":\"o\",\"in\":[9],\"scale\":1},{\"op\":\"clamp\",\"name\":\"l\",\"in\":[10],\"scale\":1},"
    "{\"op\":\"resize\",\"name\":\"z\",\"in\":[6],\"factor\":4}]";

static const char header_example[] =
    "h{\"__metadata__\":{\"format\":\"pt\",\"colorize.format\":\"1\",\"colorize.arch\":\"x\",\"colorize.size\":\"64\","
    "\"colorize.stride\":\"1\",\"colorize.input\":\"luma\",\"colorize.l_scale\":\"50.0\",\"colorize.l_offset\":\"1\","
    "\"colorize.ab_scale\":\"110\",\"colorize.train\":\"\","
    "\"colorize.license\":\"\",\"colorize.sha256\":\"0123456789012345678901234567890123456789012345678901234567890123\","
    "\"colorize.graph\":\"[{\\\"op\\\":\\\"input\\\",\\\"name\\\":\\\"L\\\",\\\"in\\\":[],\\\"channels\\\":1},"
    "{\\\"op\\\":\\\"conv\\\","
    "\\\"name\\\":\\\"a\\\",\\\"in\\\":[0],\\\"channels\\\":2,\\\"k\\\":1,\\\"stride\\\":1,\\\"pad\\\":0,\\\"bias\\\":1},"
    "{\\\"op\\\":\\\"batchnorm\\\",\\\"name\\\":\\\"n\\\",\\\"in\\\":[1],\\\"eps\\\":1e-05,\\\"momentum\\\":0.1}]\"},"
    "\"a.weight\":{\"dtype\":\"F32\",\"shape\":[2,1,1,1],\"data_offsets\":[0,8]},"
    "\"a.bias\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[8,12]},"
    "\"n.weight\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[12,16]},"
    "\"n.bias\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[16,20]},"
    "\"n.running_mean\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[20,24]},"
    "\"n.running_var\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[24,28]}}\0"
    "0123456789abcdefghij\0\0\0\0\0\0\0\0";

static const char *const tokens[] = {
    "0", "1", "2", "3", "4", "8", "15", "16", "-1", "64", "1024", "16384", "16385", "2147483647", "2147483648", "4294967296",
    "9223372036854775807", "9223372036854775808", "18446744073709551615", "1e999", "0.5", "1e-300", "\"\"", "null", "true",
    "[]", "{}", "\"act\"", "\"slope\"", "\"relu\"", "\"tanh\"", "\"none\"", "\"conv\"", "\"convt\"", "\"add\"", "\"concat\"",
    "\"shuffle\"", "\"maxpool\"", "\"resize\"", "\"dropout\"", "\"softmax\"", "\"clamp\"", "\"annealed_mean\"", "\"batchnorm\"",
    "\"rgb\"", "\"F16\"", "\"BF16\"",
    "\"F32\"", "\\u0000", "\xff",
};

// Replaces data[at..end) by new[0..n).
static size_t splice(uint8_t *data, size_t size, size_t most, size_t at, size_t end, const void *new, size_t n)
{
    if (size - (end - at) + n > most) return size;
    memmove(data + at + n, data + end, size - end);
    memcpy(data + at, new, n);
    return size - (end - at) + n;
}

static int is_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_' ||
           c == '"';
}

// Replaces a word or number by another one.
static size_t change_word(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    const char *token = tokens[seed % (sizeof tokens / sizeof *tokens)];
    size_t at = 1 + (seed >> 8) % (size - 1), end;

    while (at < size && !is_word(data[at])) at++;
    while (at > 1 && is_word(data[at - 1])) at--;
    for (end = at; end < size && is_word(data[end]);) end++;
    return splice(data, size, most, at, end, token, strlen(token));
}

// Copies an object, with its key if it has one, to another place, with another name so that it is not rejected as a duplicate.
static size_t copy_node(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    uint8_t *open = memchr(data + 1 + seed % (size - 1), '{', size - 1 - seed % (size - 1)), *close, *to, *name, copy[512];
    bool key;
    size_t n;

    if (!open || !(close = memchr(open, '}', data + size - open))) return size;
    key = open[-1] == ':';
    while (key && open > data + 2 && open[-1] != ',' && open[-1] != '{') open--;
    if ((n = close - open + 1) > sizeof copy - 1) return size;
    memcpy(copy + 1, open, n);
    copy[0] = ',';
    name = key ? copy + 2 : memmem(copy, n, "\"name\":\"", 8);
    if (name) name[key ? 0 : 8] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ0123456789_-"[(seed >> 12) % 48];
    to = memchr(close, '}', data + size - close);
    return splice(data, size, most, to + 1 - data, to + 1 - data, copy, n + 1);
}

// Replaces a list by another one: makes offsets that overlap or leave a gap, or the shape or inputs of another node.
static size_t copy_list(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    uint8_t *from = memchr(data + 1 + seed % (size - 1), '[', size - 1 - seed % (size - 1)), *to, *end, copy[64];
    size_t n;

    if (!from || !(end = memchr(from, ']', data + size - from)) || (n = end - from + 1) > sizeof copy) return size;
    memcpy(copy, from, n);
    to = end;
    for (unsigned skip = seed >> 12 & 3;; skip--) {
        if (!(to = memchr(to, '[', data + size - to)) || !(end = memchr(to, ']', data + size - to))) return size;
        if (!skip) return splice(data, size, most, to - data, end + 1 - data, copy, n);
        to = end;
    }
}

// Replaces two bytes of the data by the upper half of an infinity, a NaN or a negative number.
static size_t damage_data(uint8_t *data, size_t size, unsigned seed)
{
    static const uint8_t numbers[][2] = { { 0x80, 0x7f }, { 0xc0, 0x7f }, { 0x80, 0xff }, { 0x00, 0x7c }, { 0x01, 0xfc },
                                          { 0x80, 0xbf } };
    uint8_t *nul = data[0] == 'h' ? memchr(data, 0, size) : NULL;
    const size_t left = nul ? data + size - nul - 1 : 0;

    if (left >= 2) memcpy(nul + 1 + (seed >> 4) % (left - 1), numbers[seed % (sizeof numbers / sizeof *numbers)], 2);
    return size;
}

// An example of each kind; the hash of the file is wrong.
static size_t example(uint8_t *data, size_t most, unsigned seed)
{
    const size_t header = strlen(header_example + 1), behind = sizeof header_example - 1 - header - 2;

    if (most < 9 + sizeof header_example + sizeof graph_example) return 0;
    if (seed % 3 == 0) {
        memcpy(data, graph_example, sizeof graph_example - 1);
        return sizeof graph_example - 1;
    }
    if (seed % 3 == 1) {
        memcpy(data, header_example, sizeof header_example - 1);
        return sizeof header_example - 1;
    }
    data[0] = 'f';
    for (int i = 0; i < 8; i++) data[1 + i] = (uint8_t)(header >> 8 * i);
    memcpy(data + 9, header_example + 1, header);
    memcpy(data + 9 + header, header_example + 1 + header + 1, behind);
    return 9 + header + behind;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    if (size < 40 && !(size = example(data, most, seed >> 8))) return LLVMFuzzerMutate(data, most < 40 ? most : 40, most);
    switch (seed >> 1 & 7) {
    case 0: case 1: case 2: return change_word(data, size, most, seed >> 4);
    case 3: case 4:         return copy_node(data, size, most, seed >> 4);
    case 5:                 return copy_list(data, size, most, seed >> 4);
    case 6:                 return damage_data(data, size, seed >> 4);
    default:                return 1 + LLVMFuzzerMutate(data + 1, size - 1, most - 1);
    }
}
