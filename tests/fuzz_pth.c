// fuzz_pth.c - libFuzzer target of the readers of foreign weights: make fuzz, then
// build/fuzz/fuzz_pth -max_total_time=600 -rss_limit_mb=512 FOLDER (FOLDER keeps what was found, it may be empty at first).
//
// Random bytes fail at the first magic number or CRC-32, so there are four kinds of input, by the first byte:
//     'f'  the rest is a file as it is
//     'z'  the rest is a pickle, put into a right ZIP archive
//     'l'  the rest is a pickle, put into a right file of the legacy form
//     's'  the rest is a header's text, up to the first NUL, and the data behind it, made a safetensors file
// Whatever comes: 0 and tensors whose numbers can be read, or -EBADMSG and exactly one message.
#include <errno.h>

#include "pth_files.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

enum { MOST_READ = 1 << 16 };               // elements of a tensor that are read

static void must(int condition, const char *what)
{
    if (condition) return;
    fprintf(stderr, "violated: %s\n", what);
    abort();
}

static void count(void *priv, enum clz_log_level level, const char *msg)
{
    must(*msg != 0, "messages are not empty");
    *(int *)priv += level == CLZ_LOG_ERROR;
}

static void read_tensor(struct clzt_tensors *t, const struct clzt_tensor *x, int *messages)
{
    const int64_t elements = clzt_tensor_count(x);
    float *to;
    int ret;

    must(elements >= 0 && elements <= CLZT_MAX_ELEMENTS, "a bounded number of elements");
    if (elements > MOST_READ) return;
    to = malloc((size_t)elements * sizeof *to + 1);
    *messages = 0;
    ret = clzt_tensors_read(t, x, to);
    must(ret == 0 || ret == -EBADMSG, "reading: 0 or -EBADMSG");
    must(*messages == !!ret, "reading: one message for an error");
    must(clzt_tensors_find(t, x->name) == x, "names are unique");
    free(to);
}

static void parse(const void *data, size_t size)
{
    int messages = 0;
    const struct clz_log log = { count, &messages, CLZ_LOG_DEBUG };
    struct clzt_tensors *t;
    const int ret = clzt_tensors_parse(&t, data, size, NULL, "fuzz", &log);

    must(ret == 0 || ret == -EBADMSG, "0 or -EBADMSG");
    must((ret == 0) == (t != NULL), "tensors or an error");
    must(messages == !!ret, "one message for an error");
    for (int i = 0; t && i < t->count && i < 64; i++) read_tensor(t, &t->tensors[i], &messages);
    clzt_tensors_close(&t);
}

static void parse_safetensors(const uint8_t *data, size_t size)
{
    const size_t header = strnlen((const char *)data, size), rest = size - header > 1 ? size - header - 1 : 0;
    struct bytes b = { 0 };

    put_number(&b, header, 8);
    put(&b, data, header);
    put(&b, data + size - rest, rest);
    parse(b.p, b.size);
    bytes_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes legacy = { 0 };
    struct zip z = { 0 };
    uint8_t *copy;

    if (!size) return 0;
    switch (data[0]) {
    case 'z':
        put_zip_checkpoint(&z, data + 1, size - 1);
        parse(z.file.p, z.file.size);
        break;
    case 'l':
        put_legacy(&legacy, data + 1, size - 1);
        parse(legacy.p, legacy.size);
        break;
    case 's':
        parse_safetensors(data + 1, size - 1);
        break;
    default:
        copy = malloc(size);                // of its exact size: a read behind its end is found
        memcpy(copy, data + 1, size - 1);
        parse(copy, size - 1);
        free(copy);
    }
    bytes_free(&legacy);
    bytes_free(&z.file);
    return 0;
}

// ---- mutations that keep the grammar ----

static const char *const pieces[] = {
    ORDERED_DICT, TENSOR_A, TENSOR_B, "'a'", "'b.bias'", "'state_dict'", "'model'", "#0;", "#1;", "#6;", "#-1;", "#2147483647;",
    "#4294967296;", "#9223372036854775807;", "(", "t", ")", "]", "}", "s", "u", "a", "e", "b", ".", "R", "Q", "N", "q $00",
    "q $01", "h $00", "h $01", "$85", "$86", "$87", "$88", "$89", "<torch Size>", "<torch._utils _rebuild_parameter>",
    "<torch._utils _rebuild_tensor>", "<torch._utils _rebuild_tensor_v2>", STORAGE("FloatStorage", "0", "6"),
    STORAGE("HalfStorage", "0", "12"), STORAGE("LongStorage", "0", "3"), STORAGE("DoubleStorage", "1", "1"),
    STORAGE("BoolStorage", "1", "12"), "<torch BFloat16Storage>",
    "'0'", "'1'", "'cpu'", "'storage'", "( 'v' #1; #2; t", "G $00 $00 $00 $00 $00 $00 $00 $00", "$8a $01 $05", "U $01 a",
};

static const char safetensors_example[] =
    "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"b\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[24,28]},"
    "\"c\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[28,36]}}"
    "\0" "0123456789abcdefghijklmnopqrstuvwxyz";

// Puts a piece in place of up to 8 bytes of data[1..size).
static size_t splice(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    struct bytes piece = { 0 };
    size_t at = 1 + (seed >> 8) % size, cut = seed >> 4 & 7;

    if (at > size) at = size;
    if (cut > size - at) cut = size - at;
    put_pickle(&piece, pieces[seed % (sizeof pieces / sizeof *pieces)]);
    if (size - cut + piece.size <= most) {
        memmove(data + at + piece.size, data + at + cut, size - at - cut);
        memcpy(data + at, piece.p, piece.size);
        size += piece.size - cut;
    }
    bytes_free(&piece);
    return size;
}

static size_t example(uint8_t *data, size_t most, unsigned seed)
{
    static const char kinds[] = "fzlsf";
    struct bytes b = { 0 }, p = { 0 };
    struct zip z = { 0 };
    const unsigned kind = seed % 5;

    put(&b, &kinds[kind], 1);
    put_pickle(&p, GOOD_PICKLE);
    put_zip_checkpoint(&z, p.p, p.size);
    if (kind == 0) put(&b, z.file.p, z.file.size);
    if (kind == 1 || kind == 2) put(&b, p.p, p.size);
    if (kind == 3) put(&b, safetensors_example, sizeof safetensors_example - 1);
    if (kind == 4) put_legacy(&b, p.p, p.size);
    const size_t size = b.size <= most ? b.size : 0;
    memcpy(data, b.p, size);
    bytes_free(&b);
    bytes_free(&p);
    bytes_free(&z.file);
    return size;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    if (size < 8 && !(size = example(data, most, seed >> 8))) return LLVMFuzzerMutate(data, size, most);
    if ((data[0] == 'z' || data[0] == 'l') && seed % 3) return splice(data, size, most, seed >> 2);
    return 1 + LLVMFuzzerMutate(data + 1, size - 1, most - 1);
}
