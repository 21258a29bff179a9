// pth.c - foreign weights: what PyTorch wrote is read as PyTorch reads it; what is wrong is refused with one sentence that names
// it, before memory is taken for it, and nothing in a file is ever carried out.
#include <errno.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"
#include "pth_files.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

// ---- messages ----

static char said[2000];
static int errors;

static void hear(void *priv, enum clz_log_level level, const char *msg)
{
    (void)priv;
    if (level == CLZ_LOG_ERROR) errors++;
    snprintf(said, sizeof said, "%s", msg);
}
static const struct clz_log listener = { hear, NULL, CLZ_LOG_DEBUG };

// Opens and reads all.
static int read_all(const struct bytes *b, const char *section)
{
    struct clzt_tensors *t;
    int ret;

    said[0] = 0;
    errors = 0;
    ret = clzt_tensors_parse(&t, b->p, b->size, section, "file.pth", &listener);
    for (int i = 0; ret >= 0 && i < t->count; i++) {
        const int64_t count = clzt_tensor_count(&t->tensors[i]);
        float *to = malloc((size_t)count * sizeof *to + 1);
        ret = to ? clzt_tensors_read(t, &t->tensors[i], to) : -ENOMEM;
        free(to);
    }
    if (ret < 0 && !errors) printf("  %d without a message\n", ret);
    clzt_tensors_close(&t);
    return ret;
}

static void refused(const char *name, const struct bytes *b, const char *want)
{
    char title[128];
    int ret;

    snprintf(title, sizeof title, "pth/%s", name);
    CASE(title);
    ret = read_all(b, NULL);
    if (ret != -EBADMSG || errors != 1 || !strstr(said, want)) printf("  %d, said \"%s\", wanted \"%s\"\n", ret, said, want);
    REQUIRE_INT(ret, -EBADMSG);
    REQUIRE_INT(errors, 1);
    REQUIRE(strstr(said, want) && strstr(said, "file.pth"));
}

// ---- right files ----

static void require_good(const struct bytes *b, const char *section)
{
    static const float want[2][6] = { { 1, 2, 3, 4, 5, 6 }, { 8, 9 } };
    struct clzt_tensors *t;
    float to[6];

    errors = 0;
    REQUIRE_INT(clzt_tensors_parse(&t, b->p, b->size, section, "file.pth", &listener), 0);
    REQUIRE_INT(errors, 0);
    if (!t) return;
    REQUIRE_INT(t->count, 2);
    REQUIRE_STR(t->tensors[0].name, "a.weight");
    REQUIRE_STR(clzt_tensor_shape(&t->tensors[0]).text, "2x3");
    REQUIRE_STR(clzt_tensor_shape(clzt_tensors_find(t, "b.bias")).text, "2");
    REQUIRE(!clzt_tensors_find(t, "b"));
    for (int i = 0; i < t->count; i++) {
        REQUIRE_INT(clzt_tensors_read(t, &t->tensors[i], to), 0);
        REQUIRE(!memcmp(to, want[i], (size_t)clzt_tensor_count(&t->tensors[i]) * sizeof *to));
    }
    clzt_tensors_close(&t);
}

static void good(const char *name, const char *pickle, const char *section)
{
    struct bytes p = { 0 }, legacy = { 0 };
    struct zip z = { 0 };
    char title[128];

    put_pickle(&p, pickle);
    snprintf(title, sizeof title, "pth/%s_zip", name);
    CASE(title);
    put_zip_checkpoint(&z, p.p, p.size);
    require_good(&z.file, section);
    snprintf(title, sizeof title, "pth/%s_legacy", name);
    CASE(title);
    put_legacy(&legacy, p.p, p.size);
    require_good(&legacy, section);
    bytes_free(&p);
    bytes_free(&legacy);
    bytes_free(&z.file);
}

#define DICT ORDERED_DICT " ( 'a.weight' " TENSOR_A " 'b.bias' " TENSOR_B " u"
static void good_files(void)
{
    good("plain", GOOD_PICKLE, NULL);
    good("metadata", PICKLE(DICT " } ( '_metadata' } u b"), NULL);
    good("in_a_dictionary", PICKLE("} ( 'epoch' #3; 'state_dict' " DICT " 'loss' G $00 $00 $00 $00 $00 $00 $00 $00 u"), NULL);
    good("twice_in_dictionaries", PICKLE("} ( 'model' } 'state_dict' " DICT " s 'optimizer' } u"), NULL);
    good("named_section", PICKLE("} ( 'weights' } 'ema' " DICT " s 'model' " ORDERED_DICT " 'x' " TENSOR_A " s u"),
         "weights.ema");
    good("parameters", PICKLE("} ( 'a.weight' <torch._utils _rebuild_parameter> " TENSOR_A " $88 " ORDERED_DICT " $87 R "
                              "'b.bias' " TENSOR_B " 'n' #1; u"), NULL);
    good("of_python_2", PICKLE("<collections OrderedDict> ] ( ] ( U $08 a.weight " TENSOR_A " e ] ( U $06 b.bias " TENSOR_B
                               " e e $85 R"), NULL);
    good("memo", PICKLE("} ( 'model' } q $00 ( 'a.weight' " TENSOR_A " 'b.bias' " TENSOR_B " u 'again' r $01 $00 $00 $00 h $00 "
                        "'key' j $01 $00 $00 $00 u"), NULL);
}

// A column of a matrix, a transposed matrix, one number spread over a shape: what the strides say.
static void strides(void)
{
    static const struct { const char *name, *sizes, *strides, *offset; int count; float want[6]; } rows[] = {
        { "transposed", "#3; #2;", "#1; #3;", "0", 6, { 1, 4, 2, 5, 3, 6 } },
        { "column", "#2; #1;", "#3; #1;", "1", 2, { 2, 5 } },
        { "spread", "#2; #2;", "#0; #0;", "5", 4, { 6, 6, 6, 6 } },
        { "scalar", "", "", "3", 1, { 4 } },
        { "empty", "#0; #5;", "#5; #1;", "0", 0, { 0 } },
        { "reversed_dims_of_one", "#1; #6;", "#99; #1;", "0", 6, { 1, 2, 3, 4, 5, 6 } },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct bytes p = { 0 };
        struct zip z = { 0 };
        struct clzt_tensors *t;
        char title[128], text[1000];
        float to[6] = { 0 };
        snprintf(title, sizeof title, "pth/strides_%s", rows[i].name);
        CASE(title);
        snprintf(text, sizeof text, "$80 $02 } 'a' <torch._utils _rebuild_tensor_v2> ( " STORAGE("FloatStorage", "0", "6")
                 " #%s; ( %s t ( %s t $89 } t R s .", rows[i].offset, rows[i].sizes, rows[i].strides);
        put_pickle(&p, text);
        put_zip_checkpoint(&z, p.p, p.size);
        REQUIRE_INT(clzt_tensors_parse(&t, z.file.p, z.file.size, NULL, "file.pth", &listener), 0);
        if (t) {
            REQUIRE_INT(clzt_tensor_count(&t->tensors[0]), rows[i].count);
            REQUIRE_INT(clzt_tensors_read(t, &t->tensors[0], to), 0);
            REQUIRE(!memcmp(to, rows[i].want, sizeof to));
        } else {
            printf("  %s\n", said);
        }
        clzt_tensors_close(&t);
        bytes_free(&p);
        bytes_free(&z.file);
    }
}


// ---- files that PyTorch wrote (tests/ref/make_pth.py) ----

static float formula(const struct clzt_tensor *x, int k, int64_t i)
{
    const int v = (int)((5 * i + k) % 13);

    if (!strcmp(x->number->name, "BOOL")) return (float)(v % 2);
    return (float)(strcmp(x->number->name, "U8") ? v - 6 : v);
}

static void of_pytorch(const char *file, int count, const char *section)
{
    const char *src = getenv("SRC");
    struct clzt_tensors *t;
    char title[64], path[300];
    float to[128];

    snprintf(title, sizeof title, "pth/pytorch_%s", file);
    CASE(title);
    snprintf(path, sizeof path, "%s/tests/ref/pth/%s", src ? src : ".", file);
    REQUIRE_INT(clzt_tensors_open(&t, path, NULL, &listener), 0);
    if (!t) {
        printf("  %s\n", said);
        return;
    }
    REQUIRE_INT(t->count, count);
    REQUIRE_STR(t->section, section);
    for (int k = 0; k < t->count; k++) {
        const struct clzt_tensor *x = &t->tensors[k];
        int wrong = 0;
        REQUIRE(clzt_tensor_count(x) <= (int)COUNT(to));
        REQUIRE_INT(clzt_tensors_read(t, x, to), 0);
        for (int64_t i = 0; i < clzt_tensor_count(x); i++) wrong += to[i] != formula(x, k, i);
        if (wrong) printf("  %s %s: %d wrong\n", x->name, clzt_tensor_shape(x).text, wrong);
        REQUIRE_INT(wrong, 0);
    }
    clzt_tensors_close(&t);
}

// ---- wrong pickles, each in both forms ----

struct bad { const char *name, *pickle, *want; };

#define ALONE(tensor) PICKLE("} 'a' " tensor " s")
static const struct bad opcodes[] = {
    { "opcode_unknown", "$80 $02 } $ff .", "opcode 0xff" },
    { "opcode_0", "$80 $02 } $00 .", "opcode 0x00" },
    { "inst", PICKLE("( 'id' ios\nsystem\n"), "opcode INST" },
    { "obj", PICKLE("( <os system> 'id' o"), "GLOBAL os.system" },
    { "obj_of_a_known_name", PICKLE("( <collections OrderedDict> o"), "opcode OBJ" },
    { "newobj", PICKLE("<collections OrderedDict> ) $81"), "opcode NEWOBJ" },
    { "newobj_ex", PICKLE("<collections OrderedDict> ) } $92"), "opcode NEWOBJ_EX" },
    { "stack_global", PICKLE("'os' 'system' $93"), "opcode STACK_GLOBAL" },
    { "ext1", PICKLE("$82 $01"), "opcode EXT1" },
    { "ext2", PICKLE("$83 $01 $00"), "opcode EXT2" },
    { "ext4", PICKLE("$84 $01 $00 $00 $00"), "opcode EXT4" },
    { "persid", PICKLE("P0\n"), "opcode PERSID" },
    { "protocol_4", "$80 $04 } .", "protocol 4" },
    { "protocol_255", "$80 $ff } .", "protocol 255" },
    { "os_system", PICKLE("<os system> 'touch x' $85 R"), "GLOBAL os.system" },
    { "posix_system", PICKLE("<posix system> 'touch x' $85 R"), "GLOBAL posix.system" },
    { "builtins_eval", PICKLE("<builtins eval> '1' $85 R"), "GLOBAL builtins.eval" },
    { "builtins_getattr", PICKLE("<builtins getattr> } 'x' $86 R"), "GLOBAL builtins.getattr" },
    { "torch_load", PICKLE("<torch load> 'x' $85 R"), "GLOBAL torch.load" },
    { "torch_hub", PICKLE("<torch.hub load_state_dict_from_url> 'x' $85 R"), "GLOBAL torch.hub" },
    { "known_name_of_another_module", PICKLE("<os OrderedDict> ) R"), "GLOBAL os.OrderedDict" },
    { "known_name_with_a_tail", PICKLE("<torch FloatStorage2> ) R"), "GLOBAL torch.FloatStorage2" },
    { "name_of_nothing", PICKLE("c\n\n"), "GLOBAL ." },
    { "name_with_escapes", PICKLE("c$1b[31m\nx\n"), "GLOBAL ?[31m.x" },
    { "name_without_an_end", "$80 $02 cos", "a name without an end" },
};

#define VIEW(view) "( 'storage' <torch FloatStorage> '0' 'cpu' #6; " view " t Q"
static const struct bad stacks[] = {
    { "reduce_of_nothing", PICKLE("R"), "the empty stack" },
    { "reduce_of_a_dictionary", PICKLE("} ) R"), "REDUCE of a dictionary" },
    { "reduce_with_a_list", PICKLE("<collections OrderedDict> ] R"), "REDUCE of a name" },
    { "reduce_of_a_storage_type", PICKLE("<torch FloatStorage> ) R"), "called" },
    { "below_the_mark", PICKLE("<collections OrderedDict> ( R"), "below the mark" },
    { "setitem_of_nothing", PICKLE("s"), "needs 2 values" },
    { "setitem_over_the_mark", PICKLE("} ( 'a' s"), "needs 2 values" },
    { "setitem_into_a_list", PICKLE("] 'a' 'b' s"), "needs a dictionary" },
    { "setitems_without_a_mark", PICKLE("} 'a' 'b' u"), "no mark" },
    { "setitems_of_three", PICKLE("} ( 'a' 'b' 'c' u"), "3 values, expected pairs" },
    { "setitems_into_nothing", PICKLE("( 'a' 'b' u"), "needs a dictionary" },
    { "append_to_a_dictionary", PICKLE("} 'a' a"), "needs a list" },
    { "appends_to_a_string", PICKLE("'s' ( 'a' e"), "needs a list" },
    { "tuple_without_a_mark", PICKLE("'a' t"), "no mark" },
    { "tuple3_of_two", PICKLE("'a' 'b' $87"), "needs 3 values" },
    { "build_onto_a_list", PICKLE("] } b"), "needs a dictionary" },
    { "build_of_nothing", PICKLE("b"), "the empty stack" },
    { "put_of_nothing", PICKLE("q $00"), "has no value" },
    { "put_of_a_mark", PICKLE("( q $00"), "has no value" },
    { "put_far_away", PICKLE("} r $ff $ff $ff $7f"), "memo entry 2147483647" },
    { "put_one_too_far", PICKLE("} q $01"), "memo entry 1, expected at most 0" },
    { "get_of_nothing", PICKLE("h $00"), "memo entry 0 of 0" },
    { "get_far_away", PICKLE("} q $00 j $ff $ff $ff $ff"), "memo entry 4294967295 of 1" },
    { "stop_with_nothing", "$80 $02 .", "0 values" },
    { "stop_with_two", PICKLE("} }"), "2 values" },
    { "stop_with_a_mark", PICKLE("("), "1 values" },
    { "persid_of_a_string", PICKLE("'0' Q"), "persistent id" },
    { "persid_of_another_kind", PICKLE("( 'module' <torch FloatStorage> '0' 'cpu' #6; t Q"), "persistent id" },
    { "persid_of_no_type", PICKLE("( 'storage' <collections OrderedDict> '0' 'cpu' #6; t Q"), "persistent id" },
    { "persid_with_a_number_as_key", PICKLE("( 'storage' <torch FloatStorage> #0; 'cpu' #6; t Q"), "persistent id" },
    { "persid_negative", PICKLE(STORAGE("FloatStorage", "0", "-1")), "-1 elements" },
    { "view_beyond_its_storage", PICKLE(VIEW("( 'v' #4; #3; t")), "used from 4, 3 of them" },
    { "view_negative", PICKLE(VIEW("( 'v' #-4; #3; t")), "used from -4" },
    { "view_of_2^63", PICKLE(VIEW("( 'v' #1; #9223372036854775807; t")), "used from 1" },
    { "view_of_a_string", PICKLE(VIEW("'v'")), "a view" },
    { "ordered_dict_of_a_number", PICKLE("<collections OrderedDict> #1; $85 R"), "OrderedDict are not understood" },
    { "ordered_dict_of_singles", PICKLE("<collections OrderedDict> ] ( 'a' ) e $85 R"), "no pair" },
    { "parameter_of_a_string", PICKLE("<torch._utils _rebuild_parameter> 'x' $88 } $87 R"), "a parameter are not understood" },
    { "size_of_a_list", PICKLE("<torch Size> ] $85 R"), "torch.Size are not understood" },
};

#define NINE_ONES "#1; #1; #1; #1; #1; #1; #1; #1; #1;"
static const struct bad numbers[] = {
    { "string_of_4_GiB", "$80 $02 X $ff $ff $ff $ff .", "4294967295 bytes" },
    { "string_past_the_end", "$80 $02 X $00 $00 $10 $00 .", "1048576 bytes" },
    { "string_without_a_length", "$80 $02 X $00", "truncated?" },
    { "long_of_9_bytes", PICKLE("$8a $09 $01 $02 $03 $04 $05 $06 $07 $08 $09"), "an integer of 9 bytes" },
    { "long_of_255_bytes", PICKLE("$8a $ff"), "an integer of 255 bytes" },
    { "tensor_of_nothing", PICKLE("<torch._utils _rebuild_tensor_v2> ) R"), "a tensor are not understood" },
    { "tensor_of_a_string", ALONE(TENSOR_OF("'0'", "0", "#2;", "#1;")), "a tensor are not understood" },
    { "tensor_of_a_type", ALONE(TENSOR_OF("<torch FloatStorage>", "0", "#2;", "#1;")), "a tensor are not understood" },
    { "tensor_without_strides", PICKLE("<torch._utils _rebuild_tensor_v2> " STORAGE("FloatStorage", "0", "6") " #0; ) $87 R"),
      "a tensor are not understood" },
    { "size_negative", ALONE(TENSOR("0", "6", "0", "#-2; #-3;", "#3; #1;")), "sizes -2x-3" },
    { "size_2^63-1", ALONE(TENSOR("0", "6", "0", "#9223372036854775807;", "#0;")), "negative or too large" },
    { "sizes_overflow", ALONE(TENSOR("0", "6", "0", "#4294967296; #4294967296;", "#0; #0;")), "negative or too large" },
    { "sizes_overflow_to_6", ALONE(TENSOR("0", "6", "0", "#6; #4611686018427387905; #4;", "#0; #0; #0;")),
      "negative or too large" },
    { "sizes_of_4_GiB_of_one_number", ALONE(TENSOR("0", "6", "0", "#1073741824;", "#0;")), "negative or too large" },
    { "stride_negative", ALONE(TENSOR("0", "6", "5", "#6;", "#-1;")), "negative or too large" },
    { "stride_too_large", ALONE(TENSOR("0", "6", "0", "#2; #3;", "#4; #1;")), "element 6 of a storage of 6" },
    { "strides_overflow", ALONE(TENSOR("0", "6", "0", "#3; #3;", "#4611686018427387904; #4611686018427387904;")),
      "negative or too large" },
    { "strides_missing", ALONE(TENSOR("0", "6", "0", "#2; #3;", "#1;")), "2 sizes and 1 strides" },
    { "rank_9", ALONE(TENSOR("0", "6", "0", NINE_ONES, NINE_ONES)), "9 sizes" },
    { "size_a_string", ALONE(TENSOR("0", "6", "0", "'2'", "#1;")), "a size that is a string" },
    { "stride_none", ALONE(TENSOR("0", "6", "0", "#2;", "N")), "a stride that is None" },
    { "offset_negative", ALONE(TENSOR("0", "6", "-1", "#2;", "#1;")), "begins at element -1" },
    { "offset_too_large", ALONE(TENSOR("0", "6", "5", "#2;", "#1;")), "element 6 of a storage of 6" },
    { "offset_2^63-1", ALONE(TENSOR("0", "6", "9223372036854775807", "#1;", "#1;")), "negative or too large" },
    { "size_beyond_its_storage", ALONE(TENSOR("0", "6", "0", "#7;", "#1;")), "element 6 of a storage of 6" },
    { "storage_missing", ALONE(TENSOR("7", "6", "0", "#2;", "#1;")), "storage 7" },
    { "storage_larger_than_it_is", ALONE(TENSOR("0", "7", "0", "#7;", "#1;")), "storage 0: " },
    { "storage_smaller_than_it_is", ALONE(TENSOR("0", "5", "0", "#5;", "#1;")), "storage 0: " },
    { "storage_of_2^62", ALONE(TENSOR("0", "4611686018427387904", "0", "#2;", "#1;")), "4611686018427387904" },
    { "storage_of_2^63-1", ALONE(TENSOR("0", "9223372036854775807", "0", "#2;", "#1;")), "9223372036854775807" },
    { "storage_of_two_types",
      PICKLE("} 'a' " TENSOR_A " s 'b' " TENSOR_OF(STORAGE("HalfStorage", "0", "12"), "0", "#2;", "#1;") " s"),
      "storage 0 is 6 elements of F32 and 12 of F16" },
    { "storage_of_two_sizes", PICKLE("} 'a' " TENSOR_A " s 'b' " TENSOR("0", "3", "0", "#2;", "#1;") " s"), "storage 0 is" },
    { "key_is_a_path", ALONE(TENSOR("../../../../etc/passwd", "6", "0", "#2;", "#1;")), "storage ../../../../etc/passwd" },
    { "key_is_another_entry", ALONE(TENSOR("../version", "6", "0", "#2;", "#1;")), "storage ../version" },
    { "key_empty", ALONE(TENSOR("", "6", "0", "#2;", "#1;")), "storage " },
};

#define LONG "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
static const struct bad objects[] = {
    { "a_number", PICKLE("#7;"), "is an integer, expected a dictionary" },
    { "a_list", PICKLE("]"), "is a list" },
    { "a_tensor", PICKLE(TENSOR_A), "is a tensor" },
    { "an_empty_dictionary", PICKLE("}"), "no named entries" },
    { "no_tensors", PICKLE("} ( 'epoch' #3; 'lr' 'x' u"), "the checkpoint has epoch, lr" },
    { "tensors_under_numbers", PICKLE("} #1; " TENSOR_A " s"), "no dictionary of tensors" },
    { "a_dictionary_within_itself", PICKLE("} q $00 'state_dict' h $00 s"), "no dictionary of tensors" },
    { "a_list_within_itself", PICKLE("] q $00 h $00 a"), "is a list" },
    { "name_twice", PICKLE("} ( 'a' " TENSOR_A " 'a' " TENSOR_B " u"), "two tensors are named a" },
    { "name_with_a_nul", PICKLE("} X $03 $00 $00 $00 a $00 b " TENSOR_A " s"), "no NUL" },
    { "name_of_256_bytes", PICKLE("} '" LONG LONG LONG LONG "' " TENSOR_A " s"), "at most 255" },
};

static void bad_pickle(const char *name, const struct bytes *pickle, const char *want)
{
    struct bytes legacy = { 0 };
    struct zip z = { 0 };
    char title[128];

    snprintf(title, sizeof title, "zip_%s", name);
    put_zip_checkpoint(&z, pickle->p, pickle->size);
    refused(title, &z.file, want);
    snprintf(title, sizeof title, "legacy_%s", name);
    put_legacy(&legacy, pickle->p, pickle->size);
    refused(title, &legacy, want);
    bytes_free(&legacy);
    bytes_free(&z.file);
}

static void bad_pickles(const struct bad *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct bytes p = { 0 };
        put_pickle(&p, rows[i].pickle);
        bad_pickle(rows[i].name, &p, rows[i].want);
        bytes_free(&p);
    }
}

// Much from little: what is built must stay in proportion to the bytes that build it.
static void bombs(void)
{
    static const struct { const char *name, *before, *again; int times; const char *after, *want; } rows[] = {
        { "marks", "$80 $02", "(", 70000, ".", "values on the stack" },
        { "values", "$80 $02", "N", 70000, ".", "values on the stack" },
        { "nested_tuples", "$80 $02 )", "$85", 1000000, ".", "is a tuple" },
        { "nodes", "$80 $02 ]", "( NNNNNNNNNNNNNNNNNNNN e", 60000, ".", "more than 1048576 values" },
        { "lists_of_the_same_list_twice", "$80 $02 ] q $00", "h $00 h $00 $86", 30000, ".", "values on the stack" },
        { "copies_of_a_large_dictionary", NULL, "h $01 h $00 R", 6000, ".",
          "in tuples, lists and dictionaries" },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct bytes p = { 0 };
        char name[64];
        if (rows[i].before) {
            put_pickle(&p, rows[i].before);
        } else {                                            // OrderedDict(([pair, pair, ...],)) in the memo, and the name
            put_pickle(&p, "$80 $02 ] ( N N $86 r $00 $00 $00 $00");
            for (int k = 0; k < 60000; k++) put_pickle(&p, "h $00");
            put_pickle(&p, "e $85 q $00 <collections OrderedDict> q $01");
        }
        for (int k = 0; k < rows[i].times; k++) put_pickle(&p, rows[i].again);
        put_pickle(&p, rows[i].after);
        snprintf(name, sizeof name, "bomb_%s", rows[i].name);
        bad_pickle(name, &p, rows[i].want);
        bytes_free(&p);
    }
}

// ---- wrong archives ----

struct bad_zip { const char *name; enum zip_record record; int entry, at, size; uint64_t value; const char *want; };

static const struct bad_zip records[] = {
    { "compressed", CENTRAL, 2, 10, 2, 8, "x/data/0 is compressed (method 8)" },
    { "compressed_in_the_local_header_alone", LOCAL, 2, 8, 2, 8, "is of another" },
    { "encrypted", CENTRAL, 2, 8, 2, 0x809, "x/data/0 is encrypted" },
    { "encrypted_in_the_local_header_alone", LOCAL, 2, 6, 2, 0x809, "is of another" },
    { "strongly_encrypted", CENTRAL, 2, 8, 2, 0x841, "x/data/0 is encrypted" },
    { "headers_masked", CENTRAL, 2, 8, 2, 0x2808, "flags 0x2808" },
    { "storage_crc", CENTRAL, 2, 16, 4, 1, "CRC-32 of its data" },
    { "storage_changed", DATA, 2, 3, 1, 0x41, "CRC-32 of its data" },
    { "pickle_crc", CENTRAL, 0, 16, 4, 1, "x/data.pkl: CRC-32" },
    { "pickle_changed", DATA, 0, 3, 1, 'R', "x/data.pkl: CRC-32" },
    { "size", CENTRAL, 2, 24, 4, 23, "23 bytes and 24" },
    { "sizes_too_large", CENTRAL, 2, 20, 8, UINT64_C(0x7fffffff7fffffff), "2147483647 bytes behind its local header" },
    { "sizes_of_zip64_without_the_field", CENTRAL, 2, 20, 8, UINT64_MAX, "4294967295 bytes behind its local header" },
    { "local_header_beyond_the_end", CENTRAL, 2, 42, 4, 0x7fffffff, "local header at byte 2147483647" },
    { "local_header_elsewhere", CENTRAL, 2, 42, 4, 5, "local header at byte 5" },
    { "local_header_of_another", CENTRAL, 2, 42, 4, 0, "local header at byte 0" },
    { "local_name", LOCAL, 2, 30 + 7, 1, '1', "is of another" },
    { "local_name_longer", LOCAL, 2, 26, 2, 9, "behind its local header" },
    { "local_extra_too_long", LOCAL, 2, 28, 2, 65535, "behind its local header" },
    { "local_signature", LOCAL, 2, 0, 4, 0, "behind its local header" },
    { "central_signature", CENTRAL, 2, 0, 4, 0, "central directory is damaged" },
    { "central_name_too_long", CENTRAL, 4, 28, 2, 60000, "central directory is damaged" },
    { "central_extra_too_long", CENTRAL, 4, 30, 2, 60000, "central directory is damaged" },
    { "central_comment_too_long", CENTRAL, 4, 32, 2, 60000, "central directory is damaged" },
    { "name_with_a_nul", CENTRAL, 1, 46 + 3, 1, 0, "a name that torch.save() does not give" },
    { "name_with_a_backslash", CENTRAL, 1, 46 + 1, 1, '\\', "a name that" },
    { "name_absolute", CENTRAL, 1, 46, 1, '/', "a name that" },
    { "name_twice", CENTRAL, 3, 46 + 7, 1, '0', "is of another" },
    { "one_entry_less", END64, 0, 32, 8, 4, "say different things" },
    { "end64_entries_2^63", END64, 0, 32, 8, UINT64_C(1) << 63, "say different things" },
    { "end64_directory_elsewhere", END64, 0, 48, 8, 17, "say different things" },
    { "end64_signature", END64, 0, 0, 4, 0, "end record at byte" },
    { "end64_of_another_size", END64, 0, 4, 8, 45, "is damaged" },
    { "end64_of_several_parts", END64, 0, 16, 4, 1, "is damaged" },
    { "locator_elsewhere", LOCATOR, 0, 8, 8, 0, "ZIP64 end record at byte 0" },
    { "locator_at_2^64-1", LOCATOR, 0, 8, 8, UINT64_MAX, "ZIP64 end record at byte 18446744073709551615" },
    { "locator_missing", LOCATOR, 0, 0, 4, 0, "expected it to end at" },
    { "end_signature", END, 0, 0, 4, 0, "no end record" },
    { "end_with_a_comment", END, 0, 20, 2, 5, "no end record" },
    { "end_of_several_parts", END, 0, 4, 2, 1, "several parts" },
    { "end_entries_on_this_part", END, 0, 8, 2, 4, "several parts" },
    { "end_directory_size", END, 0, 12, 4, 3, "say different things" },
};

static void bad_records(void)
{
    struct bytes p = { 0 };

    put_pickle(&p, GOOD_PICKLE);
    for (size_t i = 0; i < COUNT(records); i++) {
        const struct bad_zip *row = &records[i];
        struct zip z = { 0 };
        char title[128];
        put_zip_checkpoint(&z, p.p, p.size);
        for (int k = 0; k < row->size; k++)
            z.file.p[zip_place(&z, row->record, row->entry) + (size_t)(row->at + k)] = (uint8_t)(row->value >> 8 * k);
        snprintf(title, sizeof title, "archive_%s", row->name);
        refused(title, &z.file, row->want);
        bytes_free(&z.file);
    }
    bytes_free(&p);
}

// Archives whose records are right, but not their content.
static void bad_archives(void)
{
    struct bytes p = { 0 };
    struct zip z;
    struct bad_archive { const char *name; struct zip_entry entries[6]; const char *want; };

    put_pickle(&p, GOOD_PICKLE);
    put_pickle(&p, "X");
    const struct zip_entry pickle = { "x/data.pkl", p.p, p.size - 1 }, zero = { "x/data/0", storage_values[0], 24 },
                           one = { "x/data/1", storage_values[1], 12 };
    const struct bad_archive rows[] = {
        { "without_a_pickle", { zero, one }, "2 entries, 0 of them FOLDER/data.pkl" },
        { "with_the_pickle_outside", { { "data.pkl", p.p, p.size - 1 }, zero, one }, "0 of them" },
        { "with_the_pickle_too_deep", { { "x/y/data.pkl", p.p, p.size - 1 }, zero, one }, "0 of them" },
        { "with_two_pickles", { pickle, { "y/data.pkl", p.p, p.size - 1 }, zero, one }, "2 of them" },
        { "with_an_entry_twice", { pickle, zero, one, zero }, "two entries x/data/0" },
        { "with_the_pickle_twice", { pickle, zero, one, pickle }, "two entries x/data.pkl" },
        { "without_a_storage", { pickle, zero }, "no entry data/1" },
        { "with_a_storage_elsewhere", { pickle, zero, { "y/data/1", storage_values[1], 12 } }, "no entry data/1" },
        { "with_a_short_storage", { pickle, zero, { "x/data/1", storage_values[1], 11 } }, "entry data/1 has 11 bytes" },
        { "with_a_long_storage", { pickle, zero, { "x/data/1", storage_values[1], 13 } }, "entry data/1 has 13 bytes" },
        { "with_an_empty_storage", { pickle, zero, { "x/data/1", NULL, 0 } }, "entry data/1 has 0 bytes" },
        { "of_big_endian_numbers", { pickle, zero, one, { "x/byteorder", "big", 3 } }, "byte order is big" },
        { "of_an_endless_byte_order", { pickle, zero, one, { "x/byteorder", p.p, 100 } }, "has 100 bytes, at most 16" },
        { "with_a_way_up", { pickle, zero, one, { "x/../../.bashrc", "x", 1 } }, "a name that torch.save() does not give" },
        { "with_a_way_up_at_the_end", { pickle, zero, one, { "x/..", "x", 1 } }, "a name that" },
        { "with_a_way_up_at_once", { pickle, zero, one, { "../x", "x", 1 } }, "a name that" },
        { "with_an_absolute_name", { pickle, zero, one, { "/etc/passwd", "x", 1 } }, "a name that" },
        { "with_an_empty_name", { pickle, zero, one, { "", "x", 1 } }, "a name that" },
        { "with_a_pickle_and_more", { { "x/data.pkl", p.p, p.size }, zero, one }, "1 bytes behind the pickle" },
        { "with_an_empty_pickle", { { "x/data.pkl", NULL, 0 }, zero, one }, "ends without STOP" },
        { "with_half_a_pickle", { { "x/data.pkl", p.p, p.size / 2 }, zero, one }, "pickle, byte" },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        int count = 0;
        char title[128];
        z = (struct zip){ 0 };
        while (count < 6 && rows[i].entries[count].name) count++;
        put_zip(&z, rows[i].entries, count);
        snprintf(title, sizeof title, "archive_%s", rows[i].name);
        refused(title, &z.file, rows[i].want);
        bytes_free(&z.file);
    }
    bytes_free(&p);
}

// Two entries that share bytes: the second begins within the data of the first.
static void overlap(void)
{
    struct bytes p = { 0 };
    struct zip inner = { 0 }, z = { 0 };
    const struct zip_entry hidden = { "x/data/1", storage_values[1], 12 };
    uint64_t at;

    put_pickle(&p, GOOD_PICKLE);
    put_zip(&inner, &hidden, 1);
    const struct zip_entry entries[] = {
        { "x/data.pkl", p.p, p.size }, { "x/data/0", storage_values[0], 24 }, { "x/cover", inner.file.p, inner.central[0] },
        hidden,
    };
    put_zip(&z, entries, 4);
    at = z.data[2];
    for (int k = 0; k < 4; k++) z.file.p[z.central[3] + 42 + (size_t)k] = (uint8_t)(at >> 8 * k);
    refused("archive_entries_overlap", &z.file, "entries x/cover and x/data/1 overlap");
    bytes_free(&p);
    bytes_free(&inner.file);
    bytes_free(&z.file);
}

// ---- wrong legacy files ----

static void bad_legacy(void)
{
    static const struct { const char *name, *protocol, *machine, *keys; int storages[3], cut; const char *want; } rows[] = {
        { "protocol", "#1002;", NULL, NULL, { 0, 1, -1 }, 0, "protocol number" },
        { "protocol_a_string", "'1001'", NULL, NULL, { 0, 1, -1 }, 0, "protocol number is a string" },
        { "big_endian", NULL, "} 'little_endian' $89 s", NULL, { 0, 1, -1 }, 0, "big endian" },
        { "no_byte_order", NULL, "}", NULL, { 0, 1, -1 }, 0, "unknown byte order" },
        { "machine_a_list", NULL, "]", NULL, { 0, 1, -1 }, 0, "unknown byte order" },
        { "keys_a_dictionary", NULL, NULL, "} '0' '1' s", { 0, 1, -1 }, 0, "list of storages is a dictionary" },
        { "keys_numbers", NULL, NULL, "] ( #0; #1; e", { 0, 1, -1 }, 0, "entry 0 of the list of storages is an integer" },
        { "key_twice", NULL, NULL, "] ( '0' '0' e", { 0, 0, -1 }, 0, "there twice" },
        { "key_unknown", NULL, NULL, "] ( '0' '1' '2' e", { 0, 1, 1 }, 0, "entry 2 of the list of storages" },
        { "key_missing", NULL, NULL, "] ( '0' e", { 0, -1, -1 }, 0, "storage 1 is mentioned, but not in the list" },
        { "keys_swapped", NULL, NULL, "] ( '1' '0' e", { 0, 1, -1 }, 0, "storage 1: 6 elements before its data, 3 where" },
        { "storage_missing", NULL, NULL, NULL, { 0, -1, -1 }, 0, "ends before storage 1" },
        { "storage_twice", NULL, NULL, NULL, { 0, 1, 1 }, 0, "20 bytes behind the last storage" },
        { "storage_cut", NULL, NULL, NULL, { 0, 1, -1 }, 1, "storage 1: 3 elements of F32, 11 bytes are there" },
        { "storage_length_cut", NULL, NULL, NULL, { 0, 1, -1 }, 15, "ends before storage 1" },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct bytes b = { 0 };
        char text[200], title[128];
        put_pickle(&b, "$80 $02 $8a $0a $6c $fc $9c $46 $f9 $20 $6a $a8 $50 $19 .");
        snprintf(text, sizeof text, "$80 $02 %s .", rows[i].protocol ? rows[i].protocol : "#1001;");
        put_pickle(&b, text);
        snprintf(text, sizeof text, "$80 $02 %s .", rows[i].machine ? rows[i].machine : "} 'little_endian' $88 s");
        put_pickle(&b, text);
        put_pickle(&b, GOOD_PICKLE);
        snprintf(text, sizeof text, "$80 $02 %s .", rows[i].keys ? rows[i].keys : "] ( '0' '1' e");
        put_pickle(&b, text);
        for (int k = 0; k < 3 && rows[i].storages[k] >= 0; k++) put_storage(&b, rows[i].storages[k]);
        b.size -= (size_t)rows[i].cut;
        snprintf(title, sizeof title, "legacy_file_%s", rows[i].name);
        refused(title, &b, rows[i].want);
        bytes_free(&b);
    }
}

// ---- other files ----

static void other_files(void)
{
    static const struct { const char *name, *head; size_t size, padded; const char *want; } rows[] = {
        { "empty", "", 0, 0, "is empty" }, { "one_byte", "P", 1, 1, "begins with 50" },
        { "zip_of_four_bytes", "PK\3\4", 4, 4, "too short" }, { "zip_of_22_bytes", "PK\3\4", 4, 22, "no end record" },
        { "zip_of_zeros", "PK\3\4", 4, 1000, "no end record" }, { "python_pickle", "\x80\4\x95", 3, 100, "begins with 80 04 95" },
        { "text", "hello, world", 12, 12, "begins with 68 65 6c 6c" }, { "zeros", "\0", 1, 1000, "begins with 00 00 00 00" },
        { "legacy_magic_alone", "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15, 15, "ends without STOP" },
    };
    struct bytes b = { 0 };

    for (size_t i = 0; i < COUNT(rows); i++) {
        char title[64];
        b.size = 0;
        put(&b, rows[i].head, rows[i].size);
        while (b.size < rows[i].padded) put(&b, "", 1);
        snprintf(title, sizeof title, "file_%s", rows[i].name);
        refused(title, &b, rows[i].want);
    }
    b.size = 0;
    while (b.size < 600) put(&b, "", 1);
    memcpy(b.p + 257, "ustar", 5);
    refused("file_tar_of_2016", &b, "tar archive");
    bytes_free(&b);
}

// Every prefix of a good file, and every file with one bit changed: an error with one message, or the numbers that stand there.
static void cut_and_flip(const char *form, const struct bytes *b)
{
    struct bytes copy = { 0 };
    int fine = 0, quiet = 0;
    char title[64];

    snprintf(title, sizeof title, "pth/%s_cut_anywhere", form);
    CASE(title);
    for (size_t n = 0; n < b->size; n++) {
        copy.size = 0;
        put(&copy, b->p, n);
        if (read_all(&copy, NULL) >= 0) fine++;
        quiet += errors != 1;
    }
    REQUIRE_INT(fine, 0);
    REQUIRE_INT(quiet, 0);
    snprintf(title, sizeof title, "pth/%s_any_bit_changed", form);
    CASE(title);
    for (size_t i = 0; i < 8 * b->size; i++) {
        copy.size = 0;
        put(&copy, b->p, b->size);
        copy.p[i / 8] ^= (uint8_t)(1 << i % 8);
        quiet += errors != (read_all(&copy, NULL) < 0);
        fine += !errors;
    }
    REQUIRE_INT(quiet, 0);
    printf("  %zu bits, %d read all the same\n", 8 * b->size, fine);
    bytes_free(&copy);
}

static void damage(void)
{
    struct bytes p = { 0 }, legacy = { 0 };
    struct zip z = { 0 };

    put_pickle(&p, GOOD_PICKLE);
    put_zip_checkpoint(&z, p.p, p.size);
    put_legacy(&legacy, p.p, p.size);
    cut_and_flip("zip", &z.file);
    cut_and_flip("legacy", &legacy);
    bytes_free(&p);
    bytes_free(&legacy);
    bytes_free(&z.file);
}

// A file that asks for much memory fails here for want of it, not for what is wrong in it. Not under a sanitizer, which itself
// takes more.
static void bound_memory(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    const size_t most = (size_t)128 << 20;

    if (!f || fscanf(f, "%lu", &pages) != 1) pages = 0;
    if (f) fclose(f);
    pages *= (unsigned long)sysconf(_SC_PAGESIZE);
    if (pages && pages < (size_t)16 << 30) setrlimit(RLIMIT_AS, &(struct rlimit){ pages + most, pages + most });
}

int main(void)
{
    bound_memory();
    good_files();
    strides();
    of_pytorch("zip.pth", 17, "");
    of_pytorch("legacy.pth", 17, "");
    of_pytorch("nested.pth", 7, "state_dict");
    bad_pickles(opcodes, COUNT(opcodes));
    bad_pickles(stacks, COUNT(stacks));
    bad_pickles(numbers, COUNT(numbers));
    bad_pickles(objects, COUNT(objects));
    bombs();
    bad_records();
    bad_archives();
    overlap();
    bad_legacy();
    other_files();
    damage();
    return check_end();
}
