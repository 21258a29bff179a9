// model.c - model files: a file that is written reads back the same, a wrong file is refused with one sentence, no file makes the
// reader hang.
//
// The wrong files are made from the correct one below: each row of the tables changes one thing in it.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "engine/f16.h"
#include "engine/model_file.h"
#include "engine/op.h"
#include "base/sha256.h"
#include "tiny_model.h"

enum { PATH = 300, COUNT_OPS = 30 };
#define COUNT(a) (sizeof(a) / sizeof *(a))

static char folder[128];

static char *in_folder(char path[PATH], const char *name)
{
    snprintf(path, PATH, "%s/%s", folder, name);
    return path;
}

// ---- messages ----

static char logged[2000];
static int errors;

static void log_message(void *priv, enum clz_log_level level, const char *msg)
{
    (void)priv;
    if (level == CLZ_LOG_ERROR) errors++;
    snprintf(logged, sizeof logged, "%s", msg);
}
static const struct clz_log listener = { log_message, NULL, CLZ_LOG_WARNING };

static void clear_log(void)
{
    logged[0] = 0;
    errors = 0;
}

// ---- the correct file; ' stands for " ----

static const char good_graph[] =
    "[{'op':'input','name':'L','in':[],'channels':1},"
    "{'op':'conv','name':'a','in':[0],'channels':2,'k':3,'stride':2,'pad':1,'bias':0},"
    "{'op':'batchnorm','name':'n','in':[1],'eps':1e-05,'momentum':0.1},"
    "{'op':'act','name':'r','in':[2],'act':'leaky','slope':0.5},"
    "{'op':'conv','name':'b','in':[3],'channels':2,'k':1,'stride':1,'pad':0,'bias':1},"
    "{'op':'resize','name':'up','in':[4],'factor':2}]";

static const char good_header[] =
    "{'__metadata__':{'format':'pt','colorize.format':'1','colorize.arch':'hand','colorize.size':'64','colorize.stride':'2',"
    "'colorize.input':'luma','colorize.l_scale':'50.0','colorize.l_offset':'1','colorize.ab_scale':'110','colorize.train':'',"
    "'colorize.license':'CC0','colorize.sha256':'@SHA@','colorize.graph':'@GRAPH@'},"
    "'a.weight':{'dtype':'F32','shape':[2,1,3,3],'data_offsets':[0,72]},"
    "'n.weight':{'dtype':'F32','shape':[2],'data_offsets':[72,80]},"
    "'n.bias':{'dtype':'F32','shape':[2],'data_offsets':[80,88]},"
    "'n.running_mean':{'dtype':'F32','shape':[2],'data_offsets':[88,96]},"
    "'n.running_var':{'dtype':'F32','shape':[2],'data_offsets':[96,104]},"
    "'b.weight':{'dtype':'BF16','shape':[2,2,1,1],'data_offsets':[104,112]},"
    "'b.bias':{'dtype':'F32','shape':[2],'data_offsets':[112,120]}}";
enum { DATA_SIZE = 120, VAR_AT = 96, BF16_AT = 104 };

static void good_data(uint8_t data[DATA_SIZE])
{
    for (int i = 0; i < DATA_SIZE / 4; i++) {
        const float x = i == VAR_AT / 4 ? 2.f : (float)i / 8 - 1;
        memcpy(data + 4 * i, &x, 4);
    }
}

// Writes the text between two ~ `repeat` times; in it, # is replaced by the number of the repetition.
static char *expanded(const char *put, int repeat)
{
    const char *first = strchr(put, '~'), *second = first ? strchr(first + 1, '~') : NULL;
    char *out = NULL;
    size_t size;
    FILE *f;

    if (!second) return strdup(put);
    f = open_memstream(&out, &size);
    fprintf(f, "%.*s", (int)(first - put), put);
    for (int i = 0; i < repeat; i++)
        for (const char *p = first + 1; p < second; p++)
            if (*p == '#') fprintf(f, "%d", i);
            else fputc(*p, f);
    fputs(second + 1, f);
    fclose(f);
    return out;
}

// text with the first `find`, if any, replaced by `put`.
static char *replaced(const char *text, const char *find, const char *put)
{
    const char *at = strstr(text, find);
    char *out;

    if (!at) return strdup(text);
    out = malloc(strlen(text) + strlen(put) + 1);
    sprintf(out, "%.*s%s%s", (int)(at - text), text, put, at + strlen(find));
    return out;
}

enum part {
    HEADER, GRAPH,                          // in the text, `find` is replaced by `put`
    DATA,                                   // `size` bytes of `put` replace those at `at`; the hash is that of the new data
    DAMAGE,                                 // the same, but the hash is that of the old data
    BYTES,                                  // the same, at an offset in the file; at < 0: before the end of the header
    LENGTH,                                 // put: the header's length as a decimal number
    SIZE                                    // the file is `at` bytes longer or, if negative, shorter
};

struct bad {
    const char *name;
    enum part part;
    const char *find, *put, *want;          // want: text that the message must contain
    int at, size, repeat;
};

struct file { uint8_t *bytes; size_t size, header; };   // header: its size, including the 8 bytes before it

static void write_u64(uint8_t *to, uint64_t x)
{
    for (int i = 0; i < 8; i++) to[i] = (uint8_t)(x >> 8 * i);
}

static struct file assemble(const char *header, const char *graph, const uint8_t *data, const char *sha)
{
    char *quoted = malloc(2 * strlen(graph) + 1), *to = quoted, *with_sha, *text;
    struct file file;

    for (; *graph; graph++) {
        if (*graph == '\'') *to++ = '\\', *to++ = '"';
        else *to++ = *graph;
    }
    *to = 0;
    with_sha = replaced(header, "@SHA@", sha);
    text = replaced(with_sha, "@GRAPH@", quoted);
    for (char *p = text; *p; p++)
        if (*p == '\'') *p = '"';
    file.header = 8 + strlen(text);
    file.size = file.header + DATA_SIZE;
    file.bytes = malloc(file.size);
    write_u64(file.bytes, strlen(text));
    memcpy(file.bytes + 8, text, strlen(text));
    memcpy(file.bytes + file.header, data, DATA_SIZE);
    free(quoted);
    free(with_sha);
    free(text);
    return file;
}

static char *changed(const char *text, const struct bad *b, enum part part)
{
    char *put, *out;

    if (b->part != part) return strdup(text);
    REQUIRE(strstr(text, b->find) != NULL);
    put = expanded(b->put, b->repeat);
    out = replaced(text, b->find, put);
    free(put);
    return out;
}

// The correct file with one change, or unchanged (NULL).
static struct file make(const struct bad *bad)
{
    static const struct bad none = { .part = SIZE };
    const struct bad *b = bad ? bad : &none;
    char *header = changed(good_header, b, HEADER), *graph = changed(good_graph, b, GRAPH);
    uint8_t data[DATA_SIZE];
    struct clzi_sha256 hash;
    struct file file;
    char hex[65];

    good_data(data);
    if (b->part == DATA) memcpy(data + b->at, b->put, b->size);
    clzi_sha256_init(&hash);
    clzi_sha256_update(&hash, data, sizeof data);
    clzi_sha256_hex(&hash, hex);
    if (b->part == DAMAGE) memcpy(data + b->at, b->put, b->size);
    file = assemble(header, graph, data, hex);
    if (b->part == BYTES) memcpy(file.bytes + (b->at < 0 ? file.header : 0) + b->at, b->put, b->size);
    if (b->part == LENGTH) write_u64(file.bytes, strtoull(b->put, NULL, 10));
    if (b->part == SIZE && b->at) {
        const size_t old = file.size;
        file.size = b->at < 0 && (size_t)-b->at > old ? 0 : old + b->at;
        file.bytes = realloc(file.bytes, file.size + 1);
        if (file.size > old) memset(file.bytes + old, 0, file.size - old);
    }
    free(header);
    free(graph);
    return file;
}

static void save(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");

    REQUIRE(f && fwrite(bytes, 1, size, f) == size);
    if (f) fclose(f);
}

static struct file load(const char *path)
{
    struct file file = {0};
    FILE *f = fopen(path, "rb");

    if (!f) return file;
    fseek(f, 0, SEEK_END);
    file.size = ftell(f);
    rewind(f);
    file.bytes = malloc(file.size + 1);
    if (fread(file.bytes, 1, file.size, f) != file.size) file.size = 0;
    for (int i = 7; i >= 0; i--) file.header = file.header << 8 | file.bytes[i];
    file.header += 8;
    fclose(f);
    return file;
}

// Parses from an allocation of exactly the file's size, so that a sanitizer finds a read beyond the end.
static int parse(struct clz_model **m, const void *bytes, size_t size, const char *name)
{
    uint8_t *exact = malloc(size ? size : 1);
    int ret;

    memcpy(exact, bytes, size);
    clear_log();
    ret = clzi_model_parse(m, exact, size, name, &listener);
    free(exact);
    return ret;
}

// ---- bad files ----

#define WHOLE(bytes, what) { "is_" what, BYTES, NULL, bytes, what, 0, sizeof bytes - 1, 0 }
#define TEXT(name, part, find, put, want) { name, part, find, put, want, 0, 0, 0 }

static const struct bad containers[] = {
    WHOLE("PK\3\4", "ZIP"), WHOLE("\x80\2", "pickle"), WHOLE("GGUF", "GGUF"), WHOLE("\x89HDF", "HDF5"), WHOLE("\x1f\x8b", "gzip"),
    WHOLE("\x89PNG", "PNG"), WHOLE("\xff\xd8\xff", "JPEG"), WHOLE("\x1a\x45\xdf\xa3", "Matroska"),
    { "is_mp4", BYTES, NULL, "ftyp", "MP4", 4, 4, 0 },
    { "empty", SIZE, NULL, NULL, "has 0 bytes, too few", -100000, 0, 0 },
    { "not_brace", BYTES, NULL, "[", "'{'", 8, 1, 0 },
    { "leading_space", BYTES, NULL, " ", "'{'", 8, 1, 0 },
    TEXT("length_0", LENGTH, NULL, "0", "header: byte"),
    TEXT("length_1", LENGTH, NULL, "1", "header: byte"),
    TEXT("length_beyond_the_file", LENGTH, NULL, "5000", "truncated?"),
    TEXT("length_1MiB", LENGTH, NULL, "1048576", "truncated?"),
    TEXT("length_over_1MiB", LENGTH, NULL, "1048577", "at most 1048576"),
    TEXT("length_2^31", LENGTH, NULL, "2147483648", "at most"),
    TEXT("length_2^32", LENGTH, NULL, "4294967296", "at most"),
    TEXT("length_2^63", LENGTH, NULL, "9223372036854775808", "header length is 9223372036854775808"),
    TEXT("length_2^64-8", LENGTH, NULL, "18446744073709551608", "at most"),
    TEXT("length_2^64-1", LENGTH, NULL, "18446744073709551615", "header length is 18446744073709551615"),
    { "data_one_byte_short", SIZE, NULL, NULL, "119 bytes of data", -1, 0, 0 },
    { "data_one_byte_long", SIZE, NULL, NULL, "data after the last tensor", 1, 0, 0 },
    { "data_gone", SIZE, NULL, NULL, "0 bytes of data", -DATA_SIZE, 0, 0 },
    { "nul_in_header", BYTES, NULL, "", "header: a NUL byte", 30, 1, 0 },
    { "nul_behind_a_number", BYTES, NULL, "2\0]}}", "header: a NUL byte", -5, 5, 0 },
};

static const struct bad json[] = {
    TEXT("no_comma", HEADER, "'pt',", "'pt'", "header: byte"),
    TEXT("comma_too_many", HEADER, "'pt',", "'pt',,", "header: byte"),
    TEXT("text_behind", HEADER, "[112,120]}}", "[112,120]}}x", "end of file expected"),
    TEXT("two_objects", HEADER, "[112,120]}}", "[112,120]}}{}", "end of file expected"),
    TEXT("comment", HEADER, "'pt',", "'pt',/*x*/", "header: byte"),
    TEXT("bad_utf8", HEADER, "'pt'", "'p\xff'", "unable to decode"),
    TEXT("utf8_surrogate", HEADER, "'pt'", "'\xed\xa0\x80'", "unable to decode"),
    TEXT("utf8_too_long_form", HEADER, "'pt'", "'\xc0\xaf'", "unable to decode"),
    TEXT("half_surrogate_escape", HEADER, "'pt'", "'\\ud800'", "header: byte"),
    TEXT("control_character", HEADER, "'pt'", "'p\x01'", "control character"),
    TEXT("nul_in_value", HEADER, "'pt'", "'p\\u0000t'", "\\u0000"),
    TEXT("nul_in_key", HEADER, "'format'", "'form\\u0000at'", "NUL byte"),
    TEXT("nul_in_tensor_name", HEADER, "'n.bias'", "'n.bias\\u0000'", "NUL byte"),
    TEXT("open_string", HEADER, "[112,120]}}", "[112,120]},'x", "header: byte"),
    TEXT("number_of_400_digits_exponent", HEADER, "[112,120]", "[112,1e999]", "header: byte"),
    TEXT("integer_2^64", HEADER, "[112,120]", "[112,18446744073709551616]", "too big"),
    TEXT("duplicate_in_file", HEADER, "'n.bias'", "'n.weight'", "duplicate"),
    TEXT("duplicate_in_metadata", HEADER, "'format':'pt'", "'format':'pt','format':'pt'", "duplicate"),
    TEXT("duplicate_graph", HEADER, "'format':'pt'", "'colorize.graph':'[]'", "duplicate"),
    TEXT("duplicate_in_tensor", HEADER, "{'dtype':'F32'", "{'dtype':'F32','dtype':'F32'", "duplicate"),
    TEXT("duplicate_in_node", GRAPH, "'channels':1", "'channels':1,'channels':1", "duplicate"),
    { "deep_shape", HEADER, "[2,1,3,3]", "~[~", "too deep", 0, 0, 100000 },
    { "too_many_containers", HEADER, "'n.bias'", "~'x#':{},~'n.bias'", "too many", 0, 0, 13000 },
    { "graph_too_deep", GRAPH, "'in':[0]", "'in':~[~0", "graph: too many or too deep", 0, 0, 100000 },
    TEXT("graph_no_json", GRAPH, "[{'op'", "[{'op", "graph: byte"),
    TEXT("graph_text_behind", GRAPH, "'factor':2}]", "'factor':2}]]", "graph: byte"),
};

static const struct bad facts[] = {
    TEXT("no_metadata", HEADER, "'__metadata__'", "'metadata'", "__metadata__"),
    TEXT("metadata_a_list", HEADER, "'format':'pt',", "'format':['pt'],", "format should be a string"),
    TEXT("metadata_a_number", HEADER, "'colorize.size':'64'", "'colorize.size':64", "colorize.size should be a string"),
    TEXT("metadata_null", HEADER, "'colorize.train':''", "'colorize.train':null", "should be a string"),
    { "metadata_too_long", HEADER, "'pt'", "'~x~'", "at most 65536", 0, 0, 65537 },
    { "metadata_too_many", HEADER, "'format'", "~'k#':'',~'format'", "at most 256", 0, 0, 244 },
    TEXT("no_format", HEADER, "'colorize.format':'1',", "", "colorize.format"),
    TEXT("format_of_the_future", HEADER, "'colorize.format':'1'", "'colorize.format':'2'", "is 2, this version reads 1"),
    TEXT("format_with_a_space", HEADER, "'colorize.format':'1'", "'colorize.format':'1 '", "this version reads 1"),
    TEXT("no_graph", HEADER, "'colorize.graph':'@GRAPH@'", "'x':''", "colorize.graph"),
    { "arch_too_long", HEADER, "'hand'", "'~x~'", "colorize.arch has 64 bytes", 0, 0, 64 },
    { "license_too_long", HEADER, "'CC0'", "'~x~'", "colorize.license has 256", 0, 0, 256 },
    { "train_too_long", HEADER, "'colorize.train':''", "'colorize.train':'~x~'", "colorize.train has 2048", 0, 0, 2048 },
    TEXT("size_small", HEADER, "'colorize.size':'64'", "'colorize.size':'31'", "colorize.size is 31"),
    TEXT("size_large", HEADER, "'colorize.size':'64'", "'colorize.size':'2049'", "colorize.size is 2049"),
    TEXT("size_negative", HEADER, "'colorize.size':'64'", "'colorize.size':'-64'", "colorize.size is -64"),
    TEXT("size_2^32", HEADER, "'colorize.size':'64'", "'colorize.size':'4294967360'", "colorize.size is 4294967360"),
    TEXT("size_2^64", HEADER, "'colorize.size':'64'", "'colorize.size':'18446744073709551680'",
         "colorize.size is 18446744073709551680"),
    TEXT("size_with_a_point", HEADER, "'colorize.size':'64'", "'colorize.size':'64.0'", "expected an integer"),
    TEXT("size_a_word", HEADER, "'colorize.size':'64'", "'colorize.size':'big'", "colorize.size is big"),
    TEXT("size_empty", HEADER, "'colorize.size':'64'", "'colorize.size':''", "expected an integer"),
    TEXT("size_two_numbers", HEADER, "'colorize.size':'64'", "'colorize.size':'64 64'", "expected an integer"),
    TEXT("size_hexadecimal", HEADER, "'colorize.size':'64'", "'colorize.size':'0x40'", "expected an integer"),
    TEXT("stride_0", HEADER, "'colorize.stride':'2'", "'colorize.stride':'0'", "colorize.stride is 0"),
    TEXT("stride_large", HEADER, "'colorize.stride':'2'", "'colorize.stride':'1026'", "colorize.stride is 1026"),
    TEXT("stride_no_multiple", HEADER, "'colorize.stride':'2'", "'colorize.stride':'3'", "a multiple of 2"),
    TEXT("shape_unknown", HEADER, "'colorize.size':'64'", "'colorize.size':'64','colorize.shape':'round'",
         "colorize.shape is round"),
    TEXT("input_unknown", HEADER, "'luma'", "'rgb'", "colorize.input is rgb"),
    TEXT("l_scale_0", HEADER, "'50.0'", "'0'", "colorize.l_scale is 0"),
    TEXT("l_scale_1e999", HEADER, "'50.0'", "'1e999'", "colorize.l_scale is 1e999"),
    TEXT("l_scale_nan", HEADER, "'50.0'", "'nan'", "colorize.l_scale is nan"),
    TEXT("l_scale_list", HEADER, "'50.0'", "'[50]'", "expected a number"),
    TEXT("l_offset_large", HEADER, "'colorize.l_offset':'1'", "'colorize.l_offset':'-1001'", "colorize.l_offset is -1001"),
    TEXT("ab_scale_large", HEADER, "'110'", "'1e4'", "colorize.ab_scale is 1e4"),
    TEXT("ab_scale_true", HEADER, "'110'", "'true'", "colorize.ab_scale is true"),
    TEXT("sha256_short", HEADER, "@SHA@", "abcdef", "64 hexadecimal"),
    { "sha256_wrong", HEADER, "@SHA@", "~0~", "damaged", 0, 0, 64 },
    { "sha256_upper_case", HEADER, "@SHA@", "~AB~", "64 hexadecimal", 0, 0, 32 },
    { "sha256_too_long", HEADER, "@SHA@", "~a~", "colorize.sha256 has 65", 0, 0, 65 },
};

static const struct bad graphs[] = {
    TEXT("object", GRAPH, good_graph, "{}", "array of nodes"),
    TEXT("empty_text", GRAPH, good_graph, "", "graph: byte"),
    TEXT("empty_array", GRAPH, good_graph, "[]", "no input node"),
    TEXT("number", GRAPH, good_graph, "7", "graph: byte"),
    TEXT("node_a_number", GRAPH, good_graph, "[7]", "node 0: should be an object"),
    { "too_many_nodes", GRAPH, good_graph, "[7~,{}~]", "has 1025 nodes, expected at most 1024", 0, 0, 1024 },
    { "many_nodes_with_inputs", GRAPH, "'factor':2}", "'factor':2}~,{'op':'act','name':'x#','in':[0],'act':'relu'}~", "too many",
      0, 0, 1100 },
    TEXT("no_name", GRAPH, "'name':'r',", "", "no \"name\""),
    TEXT("name_a_number", GRAPH, "'name':'r'", "'name':7", "no \"name\""),
    TEXT("name_empty", GRAPH, "'name':'r'", "'name':''", "1 to 80 bytes"),
    { "name_too_long", GRAPH, "'name':'r'", "'name':'~x~'", "1 to 80 bytes", 0, 0, 81 },
    TEXT("name_with_a_slash", GRAPH, "'name':'r'", "'name':'../r'", "no characters but A-Za-z0-9_.-"),
    TEXT("name_with_a_control_character", GRAPH, "'name':'r'", "'name':'r\\\\n'", "r?"),
    TEXT("name_twice", GRAPH, "'name':'r'", "'name':'n'", "same name"),
    TEXT("no_op", GRAPH, "'op':'act',", "", "no \"op\""),
    TEXT("op_a_number", GRAPH, "'op':'act'", "'op':4", "no \"op\""),
    TEXT("op_unknown", GRAPH, "'op':'act'", "'op':'exec'", "unknown op: exec"),
    TEXT("op_unknown_with_format", GRAPH, "'op':'act'", "'op':'%n%s%s'", "unknown op: %n%s%s"),
    TEXT("attribute_missing", GRAPH, "'pad':1,", "", "no \"pad\""),
    TEXT("attribute_unknown", GRAPH, "'factor':2", "'factor':2,'mode':1", "unknown attribute: mode"),
    TEXT("attribute_of_another_op", GRAPH, "'factor':2", "'factor':2,'k':1", "unknown attribute: k"),
    TEXT("channels_0", GRAPH, "'channels':2", "'channels':0", "\"channels\" is 0"),
    TEXT("channels_negative", GRAPH, "'channels':2", "'channels':-1", "\"channels\" is -1"),
    TEXT("channels_2^31", GRAPH, "'channels':2", "'channels':2147483648", "\"channels\" is 2.147"),
    TEXT("channels_2^63-1", GRAPH, "'channels':2", "'channels':9223372036854775807", "\"channels\" is 9.22"),
    TEXT("channels_2^64", GRAPH, "'channels':2", "'channels':18446744073709551616", "too big"),
    TEXT("channels_with_a_point", GRAPH, "'channels':2", "'channels':2.0", "\"channels\" should be an integer"),
    TEXT("channels_a_string", GRAPH, "'channels':2", "'channels':'2'", "\"channels\" should be an integer"),
    TEXT("k_16", GRAPH, "'k':3", "'k':16", "\"k\" is 16"),
    TEXT("k_0", GRAPH, "'k':3", "'k':0", "\"k\" is 0"),
    TEXT("stride_9", GRAPH, "'stride':2", "'stride':9", "\"stride\" is 9"),
    TEXT("pad_15", GRAPH, "'pad':1", "'pad':15", "\"pad\" is 15"),
    TEXT("groups_0", GRAPH, "'bias':1", "'bias':1,'groups':0", "\"groups\" is 0"),
    TEXT("groups_no_divisor", GRAPH, "'bias':1", "'bias':1,'groups':3", "do not fit"),
    TEXT("pad_extra_15", GRAPH, "'bias':1", "'bias':1,'pad_extra':15", "\"pad_extra\" is 15"),
    TEXT("pad_extra_reaches_k", GRAPH, "'bias':1", "'bias':1,'pad_extra':2", "do not fit"),
    TEXT("bias_2", GRAPH, "'bias':1", "'bias':2", "\"bias\" is 2"),
    TEXT("bias_true", GRAPH, "'bias':1", "'bias':true", "\"bias\" should be an integer"),
    TEXT("act_unknown", GRAPH, "'leaky'", "'gelu'", "gelu"),
    TEXT("act_a_number", GRAPH, "'leaky'", "2", "\"act\" should be one of none, relu"),
    TEXT("slope_negative", GRAPH, "0.5", "-0.5", "\"slope\" is -0.5"),
    TEXT("slope_1e999", GRAPH, "0.5", "1e999", "graph: byte"),
    TEXT("eps_0", GRAPH, "1e-05", "0", "\"eps\" is 0"),
    TEXT("eps_1e-300", GRAPH, "1e-05", "1e-300", "\"eps\" is 1e-300"),
    TEXT("eps_9e-13", GRAPH, "1e-05", "9e-13", "\"eps\" is 9"),
    TEXT("momentum_2", GRAPH, "0.1", "2", "\"momentum\" is 2"),
    TEXT("momentum_1e300", GRAPH, "0.1", "1e300", "\"momentum\" is 1e+300"),
    TEXT("factor_1", GRAPH, "'factor':2", "'factor':1", "\"factor\" is 1"),
    TEXT("factor_9", GRAPH, "'factor':2", "'factor':9", "\"factor\" is 9"),
    TEXT("inputs_missing", GRAPH, "'in':[2],", "", "\"in\" should be an array"),
    TEXT("inputs_a_number", GRAPH, "'in':[2]", "'in':2", "\"in\" should be an array"),
    TEXT("out_a_number", GRAPH, "'bias':1", "'bias':1,'out':1", "\"out\" should be a string"),
    TEXT("out_empty", GRAPH, "'bias':1", "'bias':1,'out':''", "\"out\" should be 1 to 31 bytes"),
    TEXT("out_too_long", GRAPH, "'bias':1", "'bias':1,'out':'a23456789b123456789c123456789d12'",
         "\"out\" should be 1 to 31 bytes"),
    TEXT("out_with_a_space", GRAPH, "'bias':1", "'bias':1,'out':'a b'", "characters other than"),
    TEXT("vector_2", GRAPH, "'channels':1}", "'channels':1,'vector':2}", "\"vector\" is 2"),
    TEXT("input_itself", GRAPH, "'in':[2]", "'in':[3]", "input 3 is not an earlier node"),
    TEXT("input_later", GRAPH, "'in':[2]", "'in':[4]", "input 4 is not an earlier node"),
    TEXT("input_negative", GRAPH, "'in':[2]", "'in':[-1]", "input -1 is not"),
    TEXT("input_2^32", GRAPH, "'in':[2]", "'in':[4294967296]", "input 4294967296 is not"),
    TEXT("input_fractional", GRAPH, "'in':[2]", "'in':[1.5]", "should contain integers"),
    TEXT("too_few_inputs", GRAPH, "'in':[2]", "'in':[]", "0 inputs"),
    TEXT("too_many_inputs", GRAPH, "'in':[2]", "'in':[2,2]", "2 inputs"),
    TEXT("five_inputs", GRAPH, "'in':[2]", "'in':[2,2,2,2,2]", "5 inputs"),
    TEXT("no_input_node", GRAPH, "{'op':'input','name':'L','in':[],'channels':1},", "", "not an earlier node"),
    TEXT("residual_does_not_fit", GRAPH, "'in':[3]", "'in':[3,0]", "do not fit together"),
    TEXT("add_does_not_fit", GRAPH, "'op':'resize','name':'up','in':[4],'factor':2", "'op':'add','name':'up','in':[0,1]",
         "do not fit together"),
    TEXT("shuffle_does_not_fit", GRAPH, "'op':'resize'", "'op':'shuffle'", "do not fit together"),
    TEXT("affine_of_other_channels", GRAPH, "'op':'resize','name':'up','in':[4],'factor':2",
         "'op':'affine','name':'up','in':[4,4,0]", "do not fit together"),
    TEXT("attention_of_other_channels", GRAPH, "'op':'resize','name':'up','in':[4],'factor':2",
         "'op':'attention','name':'up','in':[4,0,4]", "do not fit together"),
    TEXT("attention_of_two_inputs", GRAPH, "'op':'resize','name':'up','in':[4],'factor':2",
         "'op':'attention','name':'up','in':[4,4]", "2 inputs"),
    TEXT("avgpool_pad_over_half_the_window", GRAPH, "'op':'resize','name':'up','in':[4],'factor':2",
         "'op':'avgpool','name':'up','in':[4],'k':3,'stride':1,'pad':2", "do not fit together"),
    TEXT("pad_as_large_as_the_window", GRAPH, "'pad':1", "'pad':3", "do not fit together"),
    { "concat_too_many_channels", GRAPH, "'factor':2}", "'factor':2}~,{'op':'concat','name':'c#','in':[5,5]}~"
      ",{'op':'conv','name':'big','in':[4],'channels':16384,'k':1,'stride':1,'pad':0,'bias':0},"
      "{'op':'concat','name':'c','in':[8,0]}", "do not fit together", 0, 0, 2 },
    TEXT("stride_larger_than_said", GRAPH, "'stride':2", "'stride':8", "a multiple of 8"),
};

static const struct bad tensors[] = {
    TEXT("missing", HEADER, "'n.bias':{'dtype':'F32','shape':[2],'data_offsets':[80,88]},", "", "no tensor n.bias"),
    TEXT("extra", HEADER, "'n.bias'", "'x':{'dtype':'F32','shape':[0],'data_offsets':[80,80]},'n.bias'",
         "tensor x is no parameter"),
    TEXT("extra_with_odd_name", HEADER, "'n.bias'", "'\\u001b[31m':1,'n.bias'", "tensor ?[31m is no parameter"),
    TEXT("renamed", HEADER, "'n.bias'", "'n.Bias'", "no tensor n.bias"),
    TEXT("a_number", HEADER, "{'dtype':'F32','shape':[2,1,3,3],'data_offsets':[0,72]}", "7", "a.weight should have"),
    TEXT("key_missing", HEADER, "'shape':[2,1,3,3],", "", "a.weight should have"),
    TEXT("key_unknown", HEADER, "'shape':[2,1,3,3],", "'shape':[2,1,3,3],'strides':[9,9,3,1],", "nothing else"),
    TEXT("dtype_F64", HEADER, "'F32'", "'F64'", "dtype is F64"),
    TEXT("dtype_lower_case", HEADER, "'F32'", "'f32'", "dtype is f32"),
    TEXT("dtype_a_number", HEADER, "'dtype':'F32'", "'dtype':32", "dtype is missing"),
    TEXT("dtype_shorter", HEADER, "'F32'", "'F16'", "F16 need 36 bytes"),
    TEXT("rank_3", HEADER, "[2,1,3,3]", "[2,1,9]", "the file has 2x1x9, the graph needs 2x1x3x3"),
    TEXT("rank_5", HEADER, "[2,1,3,3]", "[2,1,3,3,1]", "the graph needs 2x1x3x3"),
    { "rank_1000", HEADER, "[2,1,3,3]", "[2~,1~]", "the graph needs 2x1x3x3", 0, 0, 1000 },
    TEXT("rank_0", HEADER, "[2,1,3,3]", "[]", "no shape"),
    TEXT("shape_a_number", HEADER, "[2,1,3,3]", "18", "no shape"),
    TEXT("dims_swapped", HEADER, "[2,1,3,3]", "[1,2,3,3]", "file has 1x2x3x3"),
    TEXT("dims_negative", HEADER, "[2,1,3,3]", "[-2,-1,3,3]", "file has -2x-1x3x3"),
    TEXT("dims_overflow", HEADER, "[2,1,3,3]", "[4294967296,4294967296,3,3]", "4294967296x4294967296"),
    TEXT("dims_fractional", HEADER, "[2,1,3,3]", "[2.0,1,3,3]", "the graph needs 2x1x3x3"),
    TEXT("offsets_missing", HEADER, "'data_offsets':[0,72]", "'offsets':[0,72]", "data_offsets"),
    TEXT("offsets_one", HEADER, "[0,72]", "[72]", "two integers"),
    TEXT("offsets_three", HEADER, "[0,72]", "[0,72,72]", "two integers"),
    TEXT("offsets_negative", HEADER, "[0,72]", "[-72,0]", "two integers, 0 or greater"),
    TEXT("offsets_fractional", HEADER, "[0,72]", "[0,72.0]", "two integers"),
    TEXT("offsets_strings", HEADER, "[0,72]", "['0','72']", "two integers"),
    TEXT("offsets_2^63-1", HEADER, "[112,120]", "[9223372036854775799,9223372036854775807]", "begins at 9223372036854775799"),
    TEXT("offsets_2^63", HEADER, "[112,120]", "[9223372036854775800,9223372036854775808]", "too big"),
    TEXT("end_before_begin", HEADER, "[112,120]", "[120,112]", "bytes 120 to 112"),
    TEXT("size_too_small", HEADER, "[0,72]", "[0,68]", "need 72 bytes"),
    TEXT("size_too_large", HEADER, "[0,72]", "[0,76]", "need 72 bytes"),
    TEXT("overlap", HEADER, "[80,88]", "[72,80]", "begins at 72, expected 80"),
    TEXT("half_overlap", HEADER, "[112,120]", "[108,116]", "begins at 108, expected 112"),
    TEXT("hole", HEADER, "[112,120]", "[116,124]", "begins at 116, expected 112"),
    TEXT("beyond_the_file", HEADER, "[112,120]", "[120,128]", "begins at 120, expected 112"),
    TEXT("swapped_with_another_size", HEADER, "[104,112]", "[112,120]", "a gap or an overlap"),
    { "infinity", DATA, NULL, "\0\0\x80\x7f", "element 1 is inf", 4, 4, 0 },
    { "minus_infinity", DATA, NULL, "\0\0\x80\xff", "element 1 is -inf", 4, 4, 0 },
    { "nan", DATA, NULL, "\1\0\x80\x7f", "element 0 is nan", 0, 4, 0 },
    { "bf16_infinity", DATA, NULL, "\x80\x7f", "b.weight: element 0 is inf", BF16_AT, 2, 0 },
    { "bf16_nan", DATA, NULL, "\xc0\x7f", "b.weight: element 3 is", BF16_AT + 6, 2, 0 },
    { "negative_variance", DATA, NULL, "\0\0\x80\xbf", "n.running_var: element 0 is -1", VAR_AT, 4, 0 },
    { "first_bit_flipped", DAMAGE, NULL, "\1", "damaged", 0, 1, 0 },
    { "last_bit_flipped", DAMAGE, NULL, "\x80", "damaged", DATA_SIZE - 4, 1, 0 },
};

static void refuse(const struct bad *bad)
{
    static const char name[] = "a/strange.bin";
    struct file file = make(bad);
    struct clz_model *m = (void *)-1;
    const int ret = parse(&m, file.bytes, file.size, name);
    char path[PATH];

    if (ret != -EBADMSG || errors != 1 || m || !strstr(logged, name) || !strstr(logged, bad->want)) {
        printf("  %s: returned %d with %d errors: \"%s\", expected \"%s\"\n", bad->name, ret, errors, logged, bad->want);
        REQUIRE(!"refused");
    }
    REQUIRE(strlen(logged) < 400);
    save(in_folder(path, "bad.bin"), file.bytes, file.size);            // also from a file, through the public function
    clear_log();
    REQUIRE_INT(clz_model_open(&m, path, &listener), -EBADMSG);
    REQUIRE(errors == 1 && !m && strstr(logged, path) && strstr(logged, bad->want));
    if (m) clz_model_close(&m);
    free(file.bytes);
}

static void bad_files(void)
{
    static const struct { const char *name; const struct bad *rows; size_t count; } tables[] = {
        { "model/refuses_bad_container", containers, COUNT(containers) }, { "model/refuses_bad_json", json, COUNT(json) },
        { "model/refuses_bad_facts", facts, COUNT(facts) }, { "model/refuses_bad_graphs", graphs, COUNT(graphs) },
        { "model/refuses_bad_tensors", tensors, COUNT(tensors) },
    };
    char find[80], want[80];

    for (size_t t = 0; t < COUNT(tables); t++) {
        CASE(tables[t].name);
        for (size_t i = 0; i < tables[t].count; i++) refuse(&tables[t].rows[i]);
    }
    CASE("model/refuses_missing_facts");
    for (const struct clzi_fact *fact = clzi_facts; fact->key; fact++) {
        if (fact->fallback) continue;
        snprintf(find, sizeof find, "'colorize.%s':", fact->key);
        snprintf(want, sizeof want, "no metadata colorize.%s", fact->key);
        refuse(&(struct bad){ fact->key, HEADER, find, "'x':", want, 0, 0, 0 });
    }
}

// Files that are unusual and correct.
static void unusual_files(void)
{
    static const struct bad rows[] = {
        { .name = "as_it_is", .part = SIZE },
        TEXT("padding_and_white_space", HEADER, "[112,120]}}", "[112, 120 ]}}   \n", ""),
        { "unknown_metadata", HEADER, "'format'", "~'k#':'',~'format'", "", 0, 0, 243 },
        { "longest_metadata", HEADER, "'pt'", "'~x~'", "", 0, 0, 65536 },
        TEXT("size_swapped_tensors", HEADER, "[72,80]},'n.bias':{'dtype':'F32','shape':[2],'data_offsets':[80,88]}",
             "[80,88]},'n.bias':{'dtype':'F32','shape':[2],'data_offsets':[72,80]}", ""),
        TEXT("license_with_an_escape", HEADER, "'CC0'", "'\\u00a9 \\ud83c\\udfa8 \\t'", ""),
        { "longest_name", GRAPH, "'name':'r'", "'name':'~x~'", "", 0, 0, 80 },
        { "most_nodes", GRAPH, "'factor':2}", "'factor':2}~,{'op':'act','name':'x#','in':[5],'act':'relu'}~", "", 0, 0, 1018 },
        { "adds_of_adds", GRAPH, "'factor':2}",
          "'factor':2},{'op':'add','name':'s0','in':[5,5]},{'op':'add','name':'s1','in':[6,6]},"
          "{'op':'add','name':'s2','in':[7,7]},{'op':'add','name':'s3','in':[8,8]},{'op':'add','name':'s4','in':[9,9]}",
          "", 0, 0, 0 },
        TEXT("eps_at_its_limit", GRAPH, "1e-05", "1e-12", ""),          // rounded to float these exceed the limits
        TEXT("dropout_at_its_limit", GRAPH, "'factor':2}", "'factor':2},{'op':'dropout','name':'d','in':[5],'p':0.99}", ""),
        TEXT("scale_at_its_limit", GRAPH, "'factor':2}", "'factor':2},{'op':'clamp','name':'d','in':[5],'scale':1e-6}", ""),
    };
    struct clz_model *m;

    CASE("model/accepts_the_unusual");
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct file file = make(&rows[i]);
        int ret = parse(&m, file.bytes, file.size, "odd.bin");
        if (ret || errors) printf("  %s: %d %s\n", rows[i].name, ret, logged);
        REQUIRE_INT(ret, 0);
        if (m) clz_model_close(&m);
        free(file.bytes);
    }
}

// 400 additions, each of the previous result to itself: following every path through them would take 2^400 steps.
static void many_paths(void)
{
    struct clz_model *m = NULL;
    struct file file;
    char *graph = NULL;
    size_t size;
    FILE *f = open_memstream(&graph, &size);

    CASE("model/time_does_not_grow_with_paths");
    fprintf(f, "%.*s", (int)strlen(good_graph) - 1, good_graph);
    for (int i = 6; i < 406; i++) fprintf(f, ",{'op':'add','name':'s%d','in':[%d,%d]}", i, i - 1, i - 1);
    fprintf(f, "]");
    fclose(f);
    alarm(20);
    file = make(&(struct bad){ .part = GRAPH, .find = good_graph, .put = graph });
    REQUIRE_INT(parse(&m, file.bytes, file.size, "adds.bin"), 0);
    alarm(0);
    clz_model_close(&m);
    free(file.bytes);
    free(graph);
}

// ---- damage ----

static bool same_values(const struct clz_model *a, const struct clz_model *b)
{
    if (a->graph->param_count != b->graph->param_count) return false;
    for (int i = 0; i < a->graph->param_count; i++) {
        const int64_t count = clzi_param_count(&a->graph->params[i]);
        if (count != clzi_param_count(&b->graph->params[i]) || memcmp(a->values[i], b->values[i], count * sizeof(float)))
            return false;
    }
    return true;
}

static void truncations(const struct file *file)
{
    struct clz_model *m;
    char path[PATH];

    CASE("model/truncated_at_every_byte");
    for (size_t size = 0; size < file->size; size += size < file->header || file->size - size <= 64 ? 1 : 64) {
        REQUIRE_INT(parse(&m, file->bytes, size, "cut.bin"), -EBADMSG);
        REQUIRE(errors == 1 && !m && strstr(logged, "cut.bin"));
    }
    for (size_t size = 0; size < file->size; size += 509) {
        save(in_folder(path, "cut.bin"), file->bytes, size);
        REQUIRE_INT(clz_model_open(&m, path, NULL), -EBADMSG);
    }
}

static void header_flips(struct file *file)
{
    struct clz_model *good, *m;
    int harmless = 0;

    CASE("model/every_flipped_bit_of_the_header");
    REQUIRE_INT(parse(&good, file->bytes, file->size, "flip.bin"), 0);
    for (size_t bit = 0; bit < 8 * file->header; bit++) {
        file->bytes[bit / 8] ^= 1 << bit % 8;
        const int ret = parse(&m, file->bytes, file->size, "flip.bin");
        file->bytes[bit / 8] ^= 1 << bit % 8;
        if (ret == 0) {             // in a free text, a fact, or a number that stays in its range
            harmless++;
            REQUIRE(bit >= 64 && !errors && same_values(good, m));
            clz_model_close(&m);
        } else {
            REQUIRE(ret == -EBADMSG && errors == 1 && !m);
        }
    }
    printf("  %zu flips, %d are read without an error\n", 8 * file->header, harmless);
    REQUIRE(harmless < (int)file->header);
    clz_model_close(&good);
}

static void data_flips(struct file *file)
{
    struct clz_model *m;
    uint32_t seed = 7;

    CASE("model/random_damage_of_the_data");
    for (int i = 0; i < 10000; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint8_t *p = file->bytes + file->header + (seed >> 8) % (file->size - file->header), old = *p;
        *p ^= 1 + (seed >> 4) % 255;
        REQUIRE_INT(parse(&m, file->bytes, file->size, "flip.bin"), -EBADMSG);
        REQUIRE(errors == 1);
        *p = old;
    }
}

// ---- round trip ----

static const struct clzi_model_facts some_facts = {
    .arch = "every-op", .size = 96, .stride = 8, .input = "lstar", .l_scale = 33.3f, .l_offset = -0.1f, .ab_scale = 127,
    .train = "{\"steps\": 7, \"pfad\": \"C:\\\\x\"}", .license = "\xc2\xa9 CC BY \xe2\x80\x9c" "4.0\xe2\x80\x9d\n"
};

// A graph with every op and attribute, and random parameters.
static float **every_op(struct clzi_graph **graph)
{
    struct clzi_graph *g;
    float **values;
    uint32_t seed = 3;
    bool there[CLZI_OP_COUNT] = { false };
    int l, x, y, z, scale, shift;

    if (clzi_graph_create(&g) < 0) return NULL;
    z = clzi_graph_input(g, "vector", .channels = 80, .vector = 1);
    l = x = clzi_graph_input(g, "L", .channels = 1);
    x = clzi_graph_conv(g, "layers.0.conv-1", x, .channels = 8, .k = 3, .stride = 2, .pad = 1, .bias = 1);
    y = x = clzi_graph_batchnorm(g, "bn", x);
    x = clzi_graph_act(g, "leaky", x, .act = CLZI_ACT_LEAKY, .slope = 0.2f);
    x = clzi_graph_add(g, "add", x, y);
    x = clzi_graph_maxpool(g, "pool", x, .k = 3, .stride = 2, .pad = 1);
    x = clzi_graph_dropout(g, "drop", x, .p = 1.f / 3);
    x = clzi_graph_convt(g, "up", x, .channels = 6, .k = 4, .stride = 2, .pad = 1);
    x = clzi_graph_concat(g, "cat", x, y);
    x = clzi_graph_conv(g, "shuf", x, .channels = 16, .k = 1);
    x = clzi_graph_shuffle(g, "pixels", x, .factor = 2);
    x = clzi_graph_softmax(g, "soft", x, .scale = 2.5f);
    x = clzi_graph_conv(g, "two", x, .channels = 2, .k = 5, .stride = 2, .pad = 1, .pad_extra = 1, .groups = 2, .bias = 1);
    y = clzi_graph_avgpool(g, "average", y, .k = 3, .stride = 2, .pad = 1);
    scale = clzi_graph_linear(g, "film.scale", z, .channels = 8, .bias = 1, .act = CLZI_ACT_LEAKY, .slope = 0.1f);
    shift = clzi_graph_linear(g, "film.shift", clzi_graph_globalpool(g, "mean", y), .channels = 8);
    y = clzi_graph_affine(g, "film", y, scale, shift);
    z = clzi_graph_attention(g, "attend", x, clzi_graph_conv(g, "key", y, .channels = 2, .k = 1), y);
    z = clzi_graph_conv(g, "to2", clzi_graph_gain(g, "attended", z), .channels = 2, .k = 1);
    x = clzi_graph_add(g, "sum", x, z);
    y = clzi_graph_conv(g, "logits", x, .channels = 313, .k = 1);
    x = clzi_graph_add(g, "sum2", x, clzi_graph_annealed_mean(g, "colours", y, .scale = 2.6f));
    x = clzi_graph_clamp(g, "clamp", x, .scale = 0.5f);
    x = clzi_graph_resize(g, "ab", x, .factor = 2);
    REQUIRE_INT(clzi_graph_rgb(g, "rgb", l, x), COUNT_OPS - 1);
    REQUIRE(clzi_graph_output(g, "pool", y) == y && clzi_graph_output(g, "ab", x) == x);
    for (int i = 0; i < g->node_count; i++) there[g->nodes[i].op] = true;
    for (int op = 0; op < CLZI_OP_COUNT; op++) REQUIRE_INT(there[op] || clzi_ops[op].scalar ? op : -1, op);     // but losses
    *graph = g;
    values = calloc(g->param_count, sizeof *values);
    for (int i = 0; i < g->param_count; i++) {
        const int64_t count = clzi_param_count(&g->params[i]);
        values[i] = malloc(count * sizeof(float));
        for (int64_t k = 0; k < count; k++) {
            seed = seed * 1664525u + 1013904223u;
            values[i][k] = (float)(seed >> 8) / 16777216.f - (clzi_param_is_variance(&g->params[i]) ? 0 : 0.5f);
            if (g->params[i].rank == 1) values[i][k] *= 1e6f;           // beyond the range of half precision
        }
    }
    return values;
}

static void destroy_graph(struct clzi_graph **g, float **values)
{
    for (int i = 0; i < (*g)->param_count; i++) free(values[i]);
    free(values);
    clzi_graph_destroy(g);
}

static float rounded(float x, enum clzi_dtype dtype)
{
    return dtype == CLZI_F16 ? clzi_f16_to_float(clzi_f16_from_float(x)) :
           dtype == CLZI_BF16 ? clzi_bf16_to_float(clzi_bf16_from_float(x)) : x;
}

static void same_graph(const struct clzi_graph *a, const struct clzi_graph *b)
{
    REQUIRE_INT(a->node_count, b->node_count);
    REQUIRE_INT(a->param_count, b->param_count);
    REQUIRE(a->in_count == b->in_count && a->out_count == b->out_count && a->outputs_named == b->outputs_named);
    for (int i = 0; i < a->in_count; i++) REQUIRE(a->in[i].node == b->in[i].node && !strcmp(a->in[i].name, b->in[i].name));
    for (int i = 0; i < a->out_count; i++) REQUIRE(a->out[i].node == b->out[i].node && !strcmp(a->out[i].name, b->out[i].name));
    for (int i = 0; i < a->node_count && i < b->node_count; i++) {
        const struct clzi_node *n = &a->nodes[i], *o = &b->nodes[i];
        REQUIRE_STR(n->name, o->name);
        REQUIRE(n->op == o->op && n->in_count == o->in_count && n->w_count == o->w_count);
        REQUIRE(!memcmp(n->in, o->in, sizeof *n->in * n->in_count) && !memcmp(n->w, o->w, sizeof *n->w * n->w_count));
        REQUIRE(!memcmp(&n->attr, &o->attr, sizeof n->attr));
    }
    for (int i = 0; i < a->param_count && i < b->param_count; i++) {
        const struct clzi_param *p = &a->params[i], *q = &b->params[i];
        REQUIRE_STR(p->name, q->name);
        REQUIRE(p->rank == q->rank && p->buffer == q->buffer && !memcmp(p->dims, q->dims, sizeof *p->dims * p->rank));
    }
}

static int files_in_folder(void)
{
    DIR *d = opendir(folder);
    int count = 0;

    while (d && readdir(d)) count++;
    closedir(d);
    return count - 2;
}

static void empty_folder(void)
{
    DIR *d = opendir(folder);
    char path[PATH];

    for (const struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' && unlink(in_folder(path, e->d_name)) < 0) rmdir(path);
    closedir(d);
}

static void round_trip(enum clzi_dtype dtype)
{
    struct clzi_graph *g;
    float **values = every_op(&g);
    struct clz_model *m = NULL;
    struct file file;
    char path[PATH], name[64], start[64];

    snprintf(name, sizeof name, "model/round_trip_%s", clzi_dtypes[dtype].name);
    CASE(name);
    empty_folder();
    clear_log();
    REQUIRE_INT(clzi_model_write(in_folder(path, "m.bin"), g, values, &some_facts, dtype, &listener), 0);
    REQUIRE_INT(files_in_folder(), 1);                                  // no temporary file is left
    REQUIRE_INT(clz_model_open(&m, path, &listener), 0);
    REQUIRE_STR(logged, "");
    same_graph(m->graph, g);
    for (int i = 0; i < g->param_count; i++)
        for (int64_t k = 0; k < clzi_param_count(&g->params[i]); k++)
            REQUIRE(m->values[i][k] == rounded(values[i][k], g->params[i].rank == 1 ? CLZI_F32 : dtype));
    REQUIRE_STR(m->facts.arch, some_facts.arch);
    REQUIRE_STR(m->facts.input, some_facts.input);
    REQUIRE_STR(m->facts.train, some_facts.train);
    REQUIRE_STR(m->facts.license, some_facts.license);
    REQUIRE(m->facts.size == 96 && m->facts.stride == 8);
    REQUIRE(m->facts.l_scale == 33.3f && m->facts.l_offset == -0.1f && m->facts.ab_scale == 127);
    REQUIRE_STR(clz_model_info(m, "arch"), "every-op");
    REQUIRE_STR(clz_model_info(m, "size"), "96");
    REQUIRE_STR(clz_model_info(m, "l_scale"), "33.3");
    REQUIRE_STR(clz_model_info(m, "license"), some_facts.license);
    REQUIRE(!clz_model_info(m, "none") && !clz_model_info(m, ""));
    clz_model_close(&m);
    REQUIRE(m == NULL);
    file = load(path);
    REQUIRE_INT(file.header % 64, 0);
    snprintf(start, sizeof start, "{\"__metadata__\":{\"format\":\"pt\"");
    REQUIRE(!memcmp(file.bytes + 8, start, strlen(start)));
    free(file.bytes);
    destroy_graph(&g, values);
}

// A write that fails leaves the old file unchanged, and no other file.
static void failed_write(const char *name, const char *path, const struct clzi_graph *g, float *const *values,
                         const struct clzi_model_facts *f, enum clzi_dtype dtype, int want)
{
    char old[PATH];
    const struct file before = load(in_folder(old, "m.bin"));
    struct file after;
    const int count = files_in_folder();
    int ret;

    clear_log();
    ret = clzi_model_write(path, g, values, f, dtype, &listener);
    after = load(old);
    if (ret != want || errors != 1 || !strstr(logged, path)) printf("  %s: %d with %d errors: %s\n", name, ret, errors, logged);
    REQUIRE_INT(ret, want);
    REQUIRE(errors == 1 && strstr(logged, path));
    REQUIRE(before.size && before.size == after.size && !memcmp(before.bytes, after.bytes, before.size));
    REQUIRE_INT(files_in_folder(), count);
    free(before.bytes);
    free(after.bytes);
}

static void refused_values(const char *path, const struct clzi_graph *g, float *const *values)
{
    static const struct { const char *name; int rank; enum clzi_dtype dtype; float x; int want; } rows[] = {
        { "nan", 4, CLZI_F32, NAN, -EDOM }, { "inf", 4, CLZI_F32, INFINITY, -EDOM },
        { "nan in a vector", 1, CLZI_BF16, NAN, -EDOM },
        { "f16 100000", 4, CLZI_F16, 1e5f, -EDOM }, { "f16 -65520", 4, CLZI_F16, -65520, -EDOM },
        { "bf16 overflow", 4, CLZI_BF16, 3.4e38f, -EDOM }, { "f16 65504", 4, CLZI_F16, 65504, 0 },
        { "f32 largest", 4, CLZI_F32, 3.4e38f, 0 }, { "vector beyond f16", 1, CLZI_F16, 1e30f, 0 },
    };
    struct clz_model *m;

    for (size_t i = 0; i < COUNT(rows); i++) {
        int k = 0;
        while (g->params[k].rank != rows[i].rank || g->params[k].buffer) k++;
        const float old = values[k][1];
        values[k][1] = rows[i].x;
        if (rows[i].want) {
            failed_write(rows[i].name, path, g, values, &some_facts, rows[i].dtype, rows[i].want);
        } else {
            REQUIRE_INT(clzi_model_write(path, g, values, &some_facts, rows[i].dtype, NULL), 0);
            REQUIRE_INT(clz_model_open(&m, path, NULL), 0);             // a file that is written can be read
            REQUIRE(m && m->values[k][1] == rows[i].x);
            clz_model_close(&m);
        }
        values[k][1] = old;
    }
    for (int k = 0; k < g->param_count; k++)
        if (clzi_param_is_variance(&g->params[k])) {
            values[k][0] = -1;
            failed_write("negative variance", path, g, values, &some_facts, CLZI_F32, -EDOM);
            values[k][0] = 1;
        }
}

static void failing_writes(void)
{
    struct clzi_graph *g;
    float **values = every_op(&g);
    struct clzi_model_facts f;
    struct rlimit limit, small;
    char path[PATH], other[PATH];

    CASE("model/failed_write_leaves_the_old_file");
    empty_folder();
    REQUIRE_INT(clzi_model_write(in_folder(path, "m.bin"), g, values, &some_facts, CLZI_F32, NULL), 0);
    refused_values(path, g, values);
    f = some_facts, f.size = 0;
    failed_write("size", path, g, values, &f, CLZI_F32, -EINVAL);
    f = some_facts, f.stride = 6;
    failed_write("stride", path, g, values, &f, CLZI_F32, -EINVAL);
    f = some_facts, f.l_scale = NAN;
    failed_write("l_scale", path, g, values, &f, CLZI_F32, -EINVAL);
    f = some_facts, strcpy(f.input, "rgb");
    failed_write("input", path, g, values, &f, CLZI_F32, -EINVAL);
    f = some_facts, strcpy(f.license, "\xff");
    failed_write("license", path, g, values, &f, CLZI_F32, -ENOMEM);     // the message names both causes
    failed_write("no folder", in_folder(other, "none/m.bin"), g, values, &some_facts, CLZI_F32, -ENOENT);
    mkdir(in_folder(other, "folder"), 0755);
    failed_write("a folder", other, g, values, &some_facts, CLZI_F32, -EISDIR);

    signal(SIGXFSZ, SIG_IGN);                                           // as if the disk were full after 1000 bytes
    getrlimit(RLIMIT_FSIZE, &limit);
    small = (struct rlimit){ 1000, limit.rlim_max };
    setrlimit(RLIMIT_FSIZE, &small);
    failed_write("full disk", path, g, values, &some_facts, CLZI_F32, -EFBIG);
    setrlimit(RLIMIT_FSIZE, &limit);
    destroy_graph(&g, values);
}

// ---- cache ----

static void cache(void)
{
    char path[PATH], other[PATH];
    struct timespec times[2] = { { 1000000000, 5 }, { 1000000000, 5 } };
    clz_model *a = NULL, *b = NULL, *c = NULL;
    struct file file;

    CASE("model/cache_by_file");
    empty_folder();
    REQUIRE_INT(tiny_model_write(in_folder(path, "m.bin")), 0);
    REQUIRE(utimensat(AT_FDCWD, path, times, 0) == 0);
    REQUIRE(link(path, in_folder(other, "same.bin")) == 0);
    REQUIRE_INT(clz_model_open(&a, path, NULL), 0);
    REQUIRE_INT(clz_model_open(&b, path, NULL), 0);
    REQUIRE_INT(clz_model_open(&c, other, NULL), 0);
    REQUIRE(a == b && a == c);
    REQUIRE(clz_model_ref(a) == a);
    REQUIRE_INT(a->references, 4);
    clz_model_close(&c), clz_model_close(&b);
    b = a;
    clz_model_close(&b);
    REQUIRE_INT(a->references, 1);
    unlink(other);

    REQUIRE_INT(tiny_model_write(path), 0);                             // replaces the file: another inode
    REQUIRE(utimensat(AT_FDCWD, path, times, 0) == 0);
    REQUIRE_INT(clz_model_open(&b, path, NULL), 0);
    REQUIRE(b != a && same_values(a, b));
    times[1].tv_nsec++;                                                 // the same inode with another time
    REQUIRE(utimensat(AT_FDCWD, path, times, 0) == 0);
    REQUIRE_INT(clz_model_open(&c, path, NULL), 0);
    REQUIRE(c != a && c != b);
    clz_model_close(&a), clz_model_close(&b), clz_model_close(&c);
    clz_model_close(&a);                                                // a pointer to NULL is allowed

    file = load(path);
    file.bytes[file.size - 1] ^= 1;
    save(path, file.bytes, file.size);
    REQUIRE_INT(clz_model_open(&a, path, NULL), -EBADMSG);              // a failed open leaves nothing in the cache
    file.bytes[file.size - 1] ^= 1;
    save(path, file.bytes, file.size);
    REQUIRE_INT(clz_model_open(&a, path, NULL), 0);
    clz_model_close(&a);
    free(file.bytes);
}

struct user { const char *path; clz_model *want; bool fine; };

static void *use(void *arg)
{
    struct user *u = arg;
    clz_model *m, *r;

    u->fine = true;
    for (int i = 0; i < 200; i++) {
        if (clz_model_open(&m, u->path, NULL) < 0) return u->fine = false, NULL;
        r = clz_model_ref(m);
        u->fine &= (!u->want || m == u->want) && !strcmp(clz_model_info(r, "arch"), "tiny") && m->values[0][0] == r->values[0][0];
        clz_model_close(&m);
        clz_model_close(&r);
    }
    return NULL;
}

static void threads(bool held)
{
    pthread_t t[8];
    struct user u[8];
    clz_model *m = NULL;
    char path[PATH];

    CASE(held ? "model/threads_share_an_open_model" : "model/threads_open_and_close_the_last_reference");
    REQUIRE_INT(tiny_model_write(in_folder(path, "m.bin")), 0);
    if (held) REQUIRE_INT(clz_model_open(&m, path, NULL), 0);
    for (int i = 0; i < 8; i++) {
        u[i] = (struct user){ path, m, false };
        pthread_create(&t[i], NULL, use, &u[i]);
    }
    for (int i = 0; i < 8; i++) pthread_join(t[i], NULL);
    for (int i = 0; i < 8; i++) REQUIRE(u[i].fine);
    if (held) REQUIRE_INT(m->references, 1);
    clz_model_close(&m);
}

// ---- paths that are no regular file ----

static void open_fails(const char *path, int want)
{
    clz_model *m = (void *)-1;

    clear_log();
    REQUIRE_INT(clz_model_open(&m, path, &listener), want);
    REQUIRE(!m && errors == 1 && strstr(logged, path));
}

static void not_regular(void)
{
    const bool root = geteuid() == 0;
    char path[PATH];

    CASE("model/not_a_regular_file");
    empty_folder();
    alarm(20);
    open_fails(folder, -EISDIR);
    REQUIRE(mkfifo(in_folder(path, "fifo"), 0600) == 0);
    open_fails(path, -EINVAL);                                          // and does not wait for a writer
    open_fails("/dev/null", -EINVAL);
    open_fails("/dev/zero", -EINVAL);
    open_fails(in_folder(path, "missing.bin"), -ENOENT);
    REQUIRE_INT(tiny_model_write(in_folder(path, "secret.bin")), 0);
    open_fails(in_folder(path, "secret.bin/x"), -ENOTDIR);
    chmod(in_folder(path, "secret.bin"), 0);
    if (root && seteuid(65534) < 0) {
        printf("  skip: no permission (root may read everything)\n");
    } else {
        open_fails(path, -EACCES);
        if (root) REQUIRE(seteuid(0) == 0);
    }
    alarm(0);
}

// ---- graphs that a stream cannot use ----

static int three_in(struct clzi_graph *g)
{
    int x = clzi_graph_input(g, "rgb", .channels = 3);
    return clzi_graph_conv(g, "c", x, .channels = 2, .k = 3, .pad = 1, .bias = 1);
}

static int five_out(struct clzi_graph *g)
{
    int x = clzi_graph_input(g, "L", .channels = 1);
    return clzi_graph_conv(g, "c", x, .channels = 5, .k = 3, .pad = 1, .bias = 1);
}

static int half_size(struct clzi_graph *g)
{
    int x = clzi_graph_input(g, "L", .channels = 1);
    return clzi_graph_conv(g, "c", x, .channels = 2, .k = 3, .stride = 2, .pad = 1, .bias = 1);
}

static int shrinks(struct clzi_graph *g)
{
    int x = clzi_graph_input(g, "L", .channels = 1);
    return clzi_graph_conv(g, "c", x, .channels = 2, .k = 3, .bias = 1);
}

static int vanishes(struct clzi_graph *g)
{
    int x = clzi_graph_input(g, "L", .channels = 1);
    for (int i = 0; i < 7; i++) x = clzi_graph_conv(g, ((char[]){ 'a' + i, 0 }), x, .channels = 2, .k = 15, .bias = 1);
    return x;
}

static int grows(struct clzi_graph *g)
{
    int x = clzi_graph_input(g, "L", .channels = 1);
    for (int i = 0; i < 4; i++)
        x = clzi_graph_convt(g, ((char[]){ 'a' + i, 0 }), x, .channels = 2, .k = 8, .stride = 8, .bias = 1);
    return x;
}

// The side becomes 16383 * 7^7 + 1, which in 32 bits wraps to 607203082.
static int outgrows_an_int(struct clzi_graph *g)
{
    int x = clzi_graph_input(g, "L", .channels = 1);
    for (int i = 0; i < 7; i++) x = clzi_graph_convt(g, ((char[]){ 'a' + i, 0 }), x, .channels = 1, .k = 1, .stride = 7);
    return x;
}

static void refused_stream(const char *path, const char *want)
{
    struct clz_stream *s = (void *)-1;
    struct clz_model *m = NULL;

    clear_log();
    REQUIRE_INT(clz_model_open(&m, path, &listener), 0);                // the file is correct, for another program
    REQUIRE_INT(clz_stream_open(&s, m, &(struct clz_stream_params){ .device = "ref", .threads = 1, .log = listener }),
                -EBADMSG);
    if (errors != 1 || !strstr(logged, path) || !strstr(logged, want)) printf("  logged \"%s\", expected \"%s\"\n", logged, want);
    REQUIRE(!s && errors == 1 && strstr(logged, path) && strstr(logged, want));
    clz_model_close(&m);
}

static void streams(void)
{
    static const struct { int (*build)(struct clzi_graph *g); int stride; const char *want; } rows[] = {
        { three_in, 1, "input has 3 channels, should have 1" }, { five_out, 1, "output is 5x96x96" },
        { half_size, 2, "output is 2x48x48" },
        { shrinks, 1, "output is 2x94x94" }, { vanishes, 1, "96x96 does not pass" }, { grows, 1, "96x96 does not pass" },
    };
    struct clzi_shape shapes[32];
    struct clzi_graph *g;
    char path[PATH];

    CASE("model/stream_refuses_a_graph_it_cannot_use");
    empty_folder();
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct clzi_model_facts f = some_facts;
        float *values[16];
        REQUIRE_INT(clzi_graph_create(&g), 0);
        REQUIRE(rows[i].build(g) > 0 && g->param_count <= 16);
        for (int k = 0; k < g->param_count; k++) values[k] = calloc(clzi_param_count(&g->params[k]), sizeof(float));
        f.stride = rows[i].stride;
        REQUIRE_INT(clzi_model_write(in_folder(path, "m.bin"), g, values, &f, CLZI_F32, NULL), 0);
        refused_stream(path, rows[i].want);
        for (int k = 0; k < g->param_count; k++) free(values[k]);
        clzi_graph_destroy(&g);
    }
    CASE("model/sides_do_not_overflow");                                // the other side is 1, so that the product stays small
    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE(outgrows_an_int(g) > 0);
    REQUIRE_INT(clzi_graph_shapes(g, 1, 16384, 1, shapes, NULL), -EINVAL);
    clzi_graph_destroy(&g);
}

// ---- the safetensors library of Python reads our files ----

static void python(void)
{
    static const char script[] =
        "python3 - \"$CLZ_FOLDER\" <<'END' 2>&1\n"
        "import sys\n"
        "try:\n    import numpy, safetensors\nexcept ImportError:\n    sys.exit(77)\n"
        "import json\n"
        "for name in 'f32', 'f16', 'bf16':\n"
        "    with safetensors.safe_open('%s/%s.bin' % (sys.argv[1], name), framework='numpy') as f:\n"
        "        meta = f.metadata()\n"
        "        graph = json.loads(meta['colorize.graph'])\n"
        "        assert graph[1]['name'] == 'layers.0.conv-1' and graph[-1]['op'] == 'resize', graph\n"
        "        assert meta['colorize.arch'] == 'every-op' and meta['colorize.l_scale'] == '33.3', meta\n"
        "        assert len(f.keys()) == 10, f.keys()\n"
        "        weight = f.get_slice('up.weight')\n"
        "        assert weight.get_shape() == [8, 6, 4, 4] and weight.get_dtype() == name.upper(), weight.get_shape()\n"
        "        if name == 'bf16': continue\n"
        "        mean = f.get_tensor('bn.running_mean')\n"
        "        print(name, *('%.9g' % x for x in mean[:2]), '%.9g' % f.get_tensor('up.weight')[7, 5, 3, 3])\n"
        "END\n";
    struct clzi_graph *g;
    float **values;
    char path[PATH], want[200], got[2000];
    size_t n;
    FILE *f;
    int status, mean = 0, up = 0;

    CASE("model/python_reads_it_too");
    empty_folder();
    values = every_op(&g);
    REQUIRE_INT(clzi_model_write(in_folder(path, "f32.bin"), g, values, &some_facts, CLZI_F32, NULL), 0);
    REQUIRE_INT(clzi_model_write(in_folder(path, "f16.bin"), g, values, &some_facts, CLZI_F16, NULL), 0);
    REQUIRE_INT(clzi_model_write(in_folder(path, "bf16.bin"), g, values, &some_facts, CLZI_BF16, NULL), 0);
    while (strcmp(g->params[mean].name, "bn.running_mean")) mean++;
    while (strcmp(g->params[up].name, "up.weight")) up++;
    const float last = values[up][8 * 6 * 4 * 4 - 1];
    snprintf(want, sizeof want, "f32 %.9g %.9g %.9g\nf16 %.9g %.9g %.9g\n", values[mean][0], values[mean][1], last,
             values[mean][0], values[mean][1], rounded(last, CLZI_F16));
    setenv("CLZ_FOLDER", folder, 1);
    f = popen(script, "r");
    n = f ? fread(got, 1, sizeof got - 1, f) : 0;
    got[n] = 0;
    status = f ? pclose(f) : -1;
    if (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127)
        printf("  skip: python3 with numpy and safetensors is not installed\n");
    else REQUIRE_STR(got, want);
    destroy_graph(&g, values);
}

int main(void)
{
    const char *temporary = getenv("TMPDIR");
    struct file hand = make(NULL), tiny;
    char path[PATH];

    snprintf(folder, sizeof folder, "%s/clz-model-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(folder)) return 1;
    for (int dtype = CLZI_F32; dtype <= CLZI_BF16; dtype++) round_trip(dtype);
    failing_writes();
    cache();
    threads(true);
    threads(false);
    bad_files();
    unusual_files();
    many_paths();
    tiny_model_write(in_folder(path, "tiny.bin"));
    tiny = load(path);
    truncations(&tiny);
    header_flips(&hand);
    header_flips(&tiny);
    data_flips(&tiny);
    not_regular();
    streams();
    python();
    empty_folder();
    rmdir(folder);
    free(hand.bytes);
    free(tiny.bytes);
    return check_end();
}
