// convert.c - weights of PyTorch users in our nets: the answers are PyTorch's (tests/ref/nets.txt, which tests/ref/make_nets.py
// writes), and what does not fit is named.
//
// The weights come from a formula, so that the files need not be kept: a safetensors file is written with the names, types and
// shapes of PyTorch's state dict, and goes the way of a user's file.
//     convert run MODEL.bin IN.f32 OUT.f32 SIZE [NODE]     runs a model on a square picture, for tests/convert_torch.sh
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"
#include "engine/exec.h"
#include "engine/f16.h"
#include "engine/model.h"
#include "trainer/convert.h"
#include "trainer/tensors.h"

enum { PATH = 400, MAX_TENSORS = 400, MAX_AT = 64 };
#define COUNT(a) (sizeof(a) / sizeof *(a))

static char folder[128];

static char *in_folder(char path[PATH], const char *name)
{
    snprintf(path, PATH, "%s/%s", folder, name);
    return path;
}

// ---- messages: all of a conversion ----

static char said[1 << 16];
static int errors;

static void hear(void *priv, enum clz_log_level level, const char *msg)
{
    const size_t at = strlen(said);

    (void)priv;
    errors += level == CLZ_LOG_ERROR;
    snprintf(said + at, sizeof said - at, "%s\n", msg);
}
static const struct clz_log listener = { hear, NULL, CLZ_LOG_DEBUG };

static int convert(const struct clzt_convert *c)
{
    said[0] = 0;
    errors = 0;
    return clzt_convert(c, &listener);
}

// ---- what PyTorch says ----

struct tensor { char name[128], dtype[8]; int rank, dims[4]; };

struct known {
    char name[32];
    int channels, size, at_count, tensor_count;
    double mean, rms, at_value[MAX_AT];
    int at[MAX_AT];
    struct tensor tensors[MAX_TENSORS];
};

static int64_t count_of(const struct tensor *t)
{
    int64_t count = 1;

    for (int i = 0; i < t->rank; i++) count *= t->dims[i];
    return count;
}

static void read_line(struct known *k, const char *line)
{
    struct tensor *t = &k->tensors[k->tensor_count];
    char shape[64];

    if (sscanf(line, "output %*s %lf %lf", &k->mean, &k->rms) == 2) return;
    if (k->at_count < MAX_AT && sscanf(line, "at %d %lf", &k->at[k->at_count], &k->at_value[k->at_count]) == 2) k->at_count++;
    if (k->tensor_count < MAX_TENSORS && sscanf(line, "tensor %127s %7s %63s", t->name, t->dtype, shape) == 3) {
        t->rank = *shape == '-' ? 0 : sscanf(shape, "%dx%dx%dx%d", &t->dims[0], &t->dims[1], &t->dims[2], &t->dims[3]);
        k->tensor_count++;
    }
}

// NULL: not there.
static struct known *read_known(const char *name)
{
    const char *src = getenv("SRC");
    struct known *k = calloc(1, sizeof *k);
    char path[PATH], line[256], net[32] = "";
    FILE *f;

    snprintf(path, sizeof path, "%s/tests/ref/nets.txt", src ? src : ".");
    f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f)) {
        int channels, size;
        const bool begins = sscanf(line, "net %31s %d %d", net, &channels, &size) == 3;
        if (strcmp(net, name)) continue;
        if (begins) k->channels = channels, k->size = size;
        else read_line(k, line);
    }
    if (f) fclose(f);
    snprintf(k->name, sizeof k->name, "%s", name);
    if (k->tensor_count) return k;
    printf("  %s: nothing of %s\n", path, name);
    free(k);
    return NULL;
}

// ---- weights of the formula ----

static uint32_t seed_of(const char *name)
{
    uint32_t h = 2166136261u;

    while (*name) h = (h ^ (unsigned char)*name++) * 16777619u;
    return h;
}

static float uniform(uint32_t seed, uint32_t i)
{
    uint32_t x = i * 0x9E3779B9u + seed;

    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= x >> 15;
    x *= 0x846CA68Bu;
    x ^= x >> 16;
    return (float)(x >> 24) / 128 - 1;
}

static bool ends_with(const char *s, const char *suffix)
{
    return strlen(s) >= strlen(suffix) && !strcmp(s + strlen(s) - strlen(suffix), suffix);
}

static void fill(const struct tensor *t, uint16_t *to)
{
    const uint32_t seed = seed_of(t->name);
    const int64_t count = count_of(t);
    float scale = 1, offset = 0;

    if (ends_with(t->name, "running_var")) scale = 0.5f, offset = 1;
    else if (t->rank == 1 && ends_with(t->name, "weight")) scale = 0.25f, offset = 1;
    else if (t->rank == 1) scale = 0.125f;
    else while (scale * scale * (float)(count / t->dims[0]) > 6) scale /= 2;
    for (int64_t i = 0; i < count; i++) to[i] = clzi_f16_from_float(offset + scale * uniform(seed, (uint32_t)i));
}

// ---- files with them ----

// What a test changes of the file. before: a prefix for all names; from, to: one is renamed; extra: one more, empty; reshape: a 1
// more in the shape of this one.
struct change { const char *before, *from, *to, *extra, *reshape; };

static void put_header(FILE *f, const struct known *k, const struct change *c, char *text, size_t room)
{
    size_t at = (size_t)snprintf(text, room, "{\"__metadata__\":{\"format\":\"pt\"}"), begin = 0;

    for (int i = 0; i < k->tensor_count; i++) {
        const struct tensor *t = &k->tensors[i];
        const bool renamed = c->from && !strcmp(t->name, c->from);
        const size_t size = (size_t)count_of(t) * (t->dtype[0] == 'I' ? 8 : 2);
        at += (size_t)snprintf(text + at, room - at, ",\"%s%s\":{\"dtype\":\"%s\",\"shape\":[", c->before ? c->before : "",
                               renamed ? c->to : t->name, t->dtype);
        for (int d = 0; d < t->rank; d++) at += (size_t)snprintf(text + at, room - at, "%s%d", d ? "," : "", t->dims[d]);
        if (c->reshape && !strcmp(t->name, c->reshape)) at += (size_t)snprintf(text + at, room - at, ",1");
        at += (size_t)snprintf(text + at, room - at, "],\"data_offsets\":[%zu,%zu]}", begin, begin + size);
        begin += size;
    }
    if (c->extra)
        at += (size_t)snprintf(text + at, room - at, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[%zu,%zu]}",
                               c->extra, begin, begin);
    at += (size_t)snprintf(text + at, room - at, "}");
    for (int i = 0; i < 8; i++) fputc((int)(at >> 8 * i & 255), f);
    fwrite(text, 1, at, f);
}

static void write_weights(const char *path, const struct known *k, const struct change *c)
{
    FILE *f = fopen(path, "wb");
    const size_t room = 1 << 17;
    char *text = malloc(room);

    REQUIRE(f && text);
    if (!f || !text) exit(1);
    put_header(f, k, c, text, room);
    for (int i = 0; i < k->tensor_count; i++) {
        const size_t size = (size_t)count_of(&k->tensors[i]) * (k->tensors[i].dtype[0] == 'I' ? 8 : 2);
        uint16_t *numbers = calloc(1, size + 2);
        if (k->tensors[i].dtype[0] == 'F') fill(&k->tensors[i], numbers);
        REQUIRE(fwrite(numbers, 1, size, f) == size);
        free(numbers);
    }
    free(text);
    fclose(f);
}

// ---- running a net ----

// The answer, or the tensor of a node if one is named; to be freed.
static float *run(const struct clz_model *m, const float *picture, int size, const char *node, int64_t *count)
{
    const struct clzi_device_params params = { .precision = CLZ_PRECISION_F32, .log = listener };
    struct clzi_graph *g = NULL;
    struct clzi_device *dev = NULL;
    struct clzi_params *w = NULL;
    struct clzi_exec *x = NULL;
    float *y = NULL;

    REQUIRE_INT(clzi_graph_copy(&g, m->graph), 0);
    for (int i = 0; node && i < g->node_count; i++)
        if (!strcmp(g->nodes[i].name, node)) g->out[0].node = i;
    REQUIRE(!node || !strcmp(g->nodes[g->out[0].node].name, node));
    REQUIRE_INT(clzi_device_open(&dev, "cpu", &params), 0);
    REQUIRE_INT(clzi_params_create(&w, dev, g, m->values, NULL), 0);
    REQUIRE_INT(clzi_exec_create(&x, g, w, &(struct clzi_exec_params){ .n = 1, .h = size, .w = size }), 0);
    if (x) {
        *count = clzi_shape_count(clzi_exec_output_shape(x, 0));
        y = malloc((size_t)*count * sizeof *y);
        for (int port = 0; port < g->in_count; port++) {        // the same picture in every channel of every input
            const int64_t pixels = (int64_t)size * size, channels = clzi_exec_input_shape(x, port).c;
            float *planes = malloc((size_t)(channels * pixels) * sizeof *planes);
            for (int64_t i = 0; i < channels * pixels; i++) planes[i] = picture[i % pixels];
            REQUIRE_INT(clzi_exec_upload(x, port, planes), 0);
            free(planes);
        }
        REQUIRE_INT(clzi_exec_forward(x, 0), 0);
        REQUIRE_INT(clzi_exec_download(x, 0, y), 0);
    }
    clzi_exec_destroy(&x);
    clzi_params_destroy(&w);
    clzi_device_close(&dev);
    clzi_graph_destroy(&g);
    return y;
}

static float *picture(int size)
{
    float *x = malloc((size_t)size * (size_t)size * sizeof *x);

    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) x[i * size + j] = (float)(sin(0.05 * i + 0.09 * j) * cos(0.031 * i));
    return x;
}

// ---- cases ----

// net NULL: it must be found out. The largest difference from PyTorch (in double) that was seen is 4e-7.
static void answers(const char *of, const char *net, const char *node)
{
    struct known *k = read_known(of);
    char in[PATH], out[PATH], title[128];
    struct clz_model *m = NULL;
    double sum = 0, squares = 0, worst = 0;
    int64_t count = 0;
    float *x, *y;

    snprintf(title, sizeof title, "convert/%s_in_%s_answers_as_in_pytorch", of, net ? net : of);
    CASE(title);
    REQUIRE(k);
    if (!k) return;
    write_weights(in_folder(in, "in.safetensors"), k, &(struct change){ NULL });
    REQUIRE_INT(convert(&(struct clzt_convert){ .in = in, .out = in_folder(out, "out.bin"), .net = net, .square = -1 }), 0);
    if (errors) printf("%s", said);
    unlink(in);
    REQUIRE_INT(clzi_model_read(&m, out, &listener), 0);
    unlink(out);
    if (!m) return;
    x = picture(k->size);
    y = run(m, x, k->size, node, &count);
    for (int64_t i = 0; i < count; i++) sum += y[i], squares += y[i] * y[i];
    REQUIRE_NEAR(sum / (double)count, k->mean, 1e-5);
    REQUIRE_NEAR(sqrt(squares / (double)count), k->rms, 1e-5);
    for (int i = 0; i < k->at_count; i++) {
        REQUIRE(k->at[i] < count);
        REQUIRE_NEAR(y[k->at[i]], k->at_value[i], 1e-4);
        worst = fmax(worst, fabs(y[k->at[i]] - k->at_value[i]));
    }
    printf("  largest difference %.2g\n", worst);
    free(x);
    free(y);
    free(k);
    clz_model_close(&m);
}

// One conversion of weights that were changed, and what is said of it.
static void says(const char *name, const char *of, const struct change *change, struct clzt_convert c, int want,
                 const char *const words[])
{
    struct known *k = read_known(of);
    char in[PATH], out[PATH], title[128];
    int ret;

    snprintf(title, sizeof title, "convert/%s", name);
    CASE(title);
    REQUIRE(k);
    if (!k) return;
    write_weights(in_folder(in, "in.safetensors"), k, change);
    c.in = in, c.out = in_folder(out, "out.bin");
    ret = convert(&c);
    REQUIRE_INT(ret, want);
    REQUIRE((errors > 0) == (want < 0));
    REQUIRE((access(out, F_OK) == 0) == (want == 0));
    for (int i = 0; words[i]; i++) {
        if (!strstr(said, words[i])) printf("  \"%s\" is not in:\n%s", words[i], said);
        REQUIRE(strstr(said, words[i]));
    }
    unlink(in);
    unlink(out);
    free(k);
}

#define WORDS(...) (const char *const[]){ __VA_ARGS__, NULL }
static void reports(void)
{
    static const struct change renamed = { .from = "_blocks.3._bn1.bias", .to = "_blocks.3._bn9.bias" };
    const struct clzt_convert any = { .square = -1 }, loose = { .square = -1, .loose = 1 };

    says("names_what_is_not_needed", "lite0", &(struct change){ NULL }, any, 0,
         WORDS("296 tensors: EfficientNet-Lite, onto lite0", "not needed (the classifier): _fc.weight, _fc.bias\n",
               "not needed (the classifier's head): _conv_head.weight, _bn1.weight",
               "encoder._conv_stem.weight is the sum of _conv_stem.weight over its three inputs",
               "the others have their initial values"));
    says("asks_which_net_is_meant", "resnet18", &(struct change){ NULL }, any, -EINVAL,
         WORDS("resnet18-light", "resnet18-unet", "net=NAME"));
    says("finds_names_behind_prefixes", "lite0", &(struct change){ .before = "module.net_G." }, any, 0, WORDS("240 of the"));
    says("names_what_is_outside_the_prefix", "lite0", &(struct change){ .before = "net_G.", .extra = "net_D.model.0.weight" },
         any, 0, WORDS("not used (outside of net_G.): net_D.model.0.weight"));
    says("names_parameters_without_a_tensor", "lite0", &renamed, any, -EBADMSG,
         WORDS("parameters without a tensor in the file: encoder._blocks.3._bn1.bias\n",
               "without a parameter in the net: _blocks.3._bn9.bias\n",
               "1 tensors without a parameter, 1 parameters without a tensor", "strict=no"));
    says("takes_what_fits_if_asked", "lite0", &renamed, loose, 0,
         WORDS("parameters without a tensor in the file: encoder._blocks.3._bn1.bias\n",
               "without a parameter in the net: _blocks.3._bn9.bias\n", "239 of the"));
    says("names_tensors_without_a_parameter", "lite0", &(struct change){ .extra = "_blocks.16._bn0.bias" }, any, -EBADMSG,
         WORDS("without a parameter in the net: _blocks.16._bn0.bias\n"));
    says("names_another_shape", "lite0", &(struct change){ .reshape = "_blocks.3._bn1.bias" }, loose, -EBADMSG,
         WORDS("tensor _blocks.3._bn1.bias is 144x1, encoder._blocks.3._bn1.bias of lite0 is 144", "1 of another shape"));
    says("refuses_a_net_without_a_place", "lite0", &(struct change){ NULL }, (struct clzt_convert){ .net = "unet" }, -EBADMSG,
         WORDS("beginning with _conv_stem.weight", "that unet can take"));
    says("refuses_an_unknown_net", "lite0", &(struct change){ NULL }, (struct clzt_convert){ .net = "vgg" }, -EINVAL,
         WORDS("no such net"));
}

static void origin(void)
{
    struct known *k = read_known("lite0");
    char in[PATH], out[PATH];
    struct clz_model *m = NULL;

    CASE("convert/model_says_where_its_weights_are_from");
    REQUIRE(k);
    if (!k) return;
    write_weights(in_folder(in, "lite0-0123.safetensors"), k, &(struct change){ NULL });
    REQUIRE_INT(convert(&(struct clzt_convert){ .in = in, .out = in_folder(out, "out.bin"), .net = "lite0", .square = -1,
                                                .license = "Apache-2.0", .size = 128, .input = "lstar" }), 0);
    REQUIRE_INT(clzi_model_read(&m, out, &listener), 0);
    if (m) {
        REQUIRE_STR(m->facts.license, "Apache-2.0");
        REQUIRE_STR(m->facts.arch, "lite0");
        REQUIRE_STR(m->facts.input, "lstar");
        REQUIRE_STR(m->facts.shape, "frame");
        REQUIRE_INT(m->facts.size, 128);
        REQUIRE(strstr(m->facts.train, "\"file\":\"lite0-0123.safetensors\"") && strstr(m->facts.train, "\"sha256\":\""));
    }
    clz_model_close(&m);
    free(k);
}

// ---- for scripts ----

static int run_model(char **argv)
{
    struct clz_model *m = NULL;
    const int size = atoi(argv[3]);
    float *x = calloc((size_t)size * (size_t)size, sizeof *x), *y;
    FILE *in = fopen(argv[1], "rb"), *out = fopen(argv[2], "wb");
    int64_t count = 0;

    if (!in || !out || clzi_model_read(&m, argv[0], &listener) < 0) return 1;
    if (fread(x, sizeof *x, (size_t)size * (size_t)size, in) != (size_t)size * (size_t)size) return 1;
    y = run(m, x, size, argv[4], &count);
    if (fwrite(y, sizeof *y, (size_t)count, out) != (size_t)count || fclose(out)) return 1;
    fclose(in);
    free(x);
    free(y);
    clz_model_close(&m);
    return check_state.failed_here != 0;
}

int main(int argc, char **argv)
{
    const char *temporary = getenv("TMPDIR");
    char command[PATH];

    if (argc >= 6 && !strcmp(argv[1], "run")) return run_model(argv + 2);
    snprintf(folder, sizeof folder, "%s/clz-convert-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(folder)) return 1;
    answers("unet", NULL, NULL);
    answers("resnet18-unet", NULL, NULL);
    answers("resnet18", "resnet18-light", "encoder.7.1.relu2");
    answers("lite0", "lite0", "encoder._blocks.15._bn2");
    answers("patchgan", "patchgan", NULL);
    answers("pix2pix-d", "patchgan", NULL);
    reports();
    origin();
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command)) printf("  %s: not removed\n", folder);
    return check_end();
}
