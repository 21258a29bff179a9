// classes.c - classes of things: the list of names, what a stream and a sheet make of them, and the nets that are told of them.
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "check.h"
#include "engine/classes.h"
#include "engine/colorize.h"
#include "engine/exec.h"
#include "engine/model.h"
#include "test_folder.h"
#include "trainer/nets.h"

// ---- lists ----

static void lists(void)
{
    static const struct { const char *text; float want[3]; } good[] = {
        { "", { 0 } }, { "none", { 0 } }, { "person", { 1 } }, { "traffic light", { 0, 1 } }, { "traffic_light", { 0, 1 } },
        { "person,Horse", { 0.5f, 0, 0.5f } }, { "horse+person", { 0.5f, 0, 0.5f } }, { "horse|horse", { 0, 0, 1 } },
        { "person+traffic light|horse", { 1 / 3.f, 1 / 3.f, 1 / 3.f } },
    };
    static const char *const bad[] = { "dog", "perso", "persons", ",", "person,", "person,,horse", "person horse",
                                       "none,person" };
    static const char names[] = "person,traffic light,horse";
    char many[4 * CLZI_MAX_CLASSES + 8] = "";
    float v[3];

    CASE("classes/names_in_a_list");
    REQUIRE_INT(clzi_classes_count(""), 0);
    REQUIRE_INT(clzi_classes_count("one"), 1);
    REQUIRE_INT(clzi_classes_count(names), 3);
    REQUIRE_INT(clzi_classes_count("a,b,a"), -EINVAL);
    REQUIRE_INT(clzi_classes_count("a,,b"), -EINVAL);
    REQUIRE_INT(clzi_classes_count(",a"), -EINVAL);
    REQUIRE_INT(clzi_classes_count("a,"), -EINVAL);
    for (int i = 0; i < CLZI_MAX_CLASSES; i++) sprintf(many + strlen(many), "%s%d", i ? "," : "", i);
    REQUIRE_INT(clzi_classes_count(many), CLZI_MAX_CLASSES);
    strcat(many, ",x");
    REQUIRE_INT(clzi_classes_count(many), -EINVAL);
    CASE("classes/a_picture_has_equal_shares_of_its_classes");
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        REQUIRE_INT(clzi_classes_parse(good[i].text, names, v, "class", &log_), 0);
        REQUIRE(!memcmp(v, good[i].want, sizeof v));
    }
    CASE("classes/an_unknown_one_is_named");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        REQUIRE_INT(clzi_classes_parse(bad[i], names, v, "class", &log_), -EINVAL);
    REQUIRE_INT(clzi_classes_parse("person+dog", names, v, "class", &log_), -EINVAL);
    REQUIRE(strstr(message, "class: \"dog\" is not one of the model's classes: person,traffic light,horse"));
}

// ---- streams ----

enum { WIDTH = 64, HEIGHT = 48, FRAMES = 10, PLANE = WIDTH * HEIGHT, CHROMA = FRAMES * 2 * PLANE };

// A model whose answer is one colour for each class, and grey where nothing is known.
static int write_model(const char *name, const char *classes)
{
    struct clzi_model_facts facts = { .arch = "told", .size = 32, .stride = 1, .input = "luma", .l_scale = 50, .l_offset = 1,
                                      .ab_scale = 110, .train = "made by a test", .license = "CC0" };
    static float zero[2], colours[2][3] = { { 0.4f, -0.3f, 0 }, { 0, -0.2f, 0.4f } };      // of a, of b
    float *values[] = { zero, colours[0], colours[0] };
    struct clzi_graph *g = NULL;
    int x, c, ret;

    snprintf(facts.classes, sizeof facts.classes, "%s", classes);
    REQUIRE_INT(clzi_graph_create(&g), 0);
    x = clzi_graph_conv(g, "c", clzi_graph_input(g, "L", .channels = 1), .channels = 2, .k = 1);
    c = clzi_graph_input(g, "class", .channels = 3, .vector = 1);
    x = clzi_graph_affine(g, "ab", x, clzi_graph_linear(g, "scale", c, .channels = 2),
                          clzi_graph_linear(g, "shift", c, .channels = 2));
    REQUIRE(x > 0);
    ret = clzi_model_write(in_folder(name), g, values, &facts, CLZI_F32, &log_);
    clzi_graph_destroy(&g);
    return ret;
}

struct way { const char *classes, *sheet; int batch, threads, size; const char *answers_out, *answers_in; };

// Colours grey frames, two in a second; chroma: of all, [FRAMES][2][HEIGHT][WIDTH].
static int run(const char *model, struct way way, uint8_t *chroma)
{
    struct clz_stream_params params = { .device = "cpu", .threads = way.threads, .batch = way.batch, .classes = way.classes,
                                        .sheet = way.sheet, .size = way.size, .answers_out = way.answers_out,
                                        .answers_in = way.answers_in, .log = log_ };
    static uint8_t luma[PLANE], out_luma[FRAMES][PLANE];
    struct clz_controls controls = CLZ_CONTROLS_DEFAULT;
    clz_model *m = NULL;
    clz_stream *s = NULL;
    struct clz_frame got;
    int ret, n = 0;

    for (int i = 0; i < PLANE; i++) luma[i] = (uint8_t)(90 + i % 7 + i / WIDTH);
    REQUIRE_INT(clz_model_open(&m, model, &log_), 0);
    if ((ret = clz_stream_open(&s, m, &params)) < 0) {
        clz_model_close(&m);
        return ret;
    }
    for (int i = 0; i < FRAMES; i++) {
        const int height = i < 7 ? HEIGHT : HEIGHT - 8;        // another size: the network is planned anew
        const struct clz_frame in = { .format = clz_pixfmt_find("gray"), .width = WIDTH, .height = height, .data = { luma },
                                      .stride = { WIDTH }, .range = CLZ_RANGE_LIMITED };
        uint8_t *c = chroma + i * 2 * PLANE;
        const struct clz_frame out = { .format = clz_pixfmt_find("yuv444p"), .width = WIDTH, .height = height,
                                       .data = { out_luma[i], c, c + PLANE }, .stride = { WIDTH, WIDTH, WIDTH },
                                       .range = CLZ_RANGE_LIMITED };
        controls.time = i / 2.;
        REQUIRE_INT(clz_stream_send(s, &in, &out, &controls), 0);
        while (clz_stream_receive(s, &got, 1) == 0) n++;
    }
    clz_stream_drain(s);
    while ((ret = clz_stream_receive(s, &got, 1)) == 0) n++;
    REQUIRE_INT(ret, -ENODATA);
    REQUIRE_INT(n, FRAMES);
    clz_stream_close(&s);
    clz_model_close(&m);
    return 0;
}

// The class that a frame's colour tells, -1: grey.
static int class_of(const uint8_t *chroma, int frame)
{
    const uint8_t *u = chroma + frame * 2 * PLANE, *v = u + PLANE;

    return u[0] == 128 && v[0] == 128 ? -1 : v[0] > 150 ? 0 : u[0] > 130 ? 1 : 2;
}

static void streams(void)
{
    static uint8_t plain[CHROMA], told[CHROMA], other[CHROMA];
    char model[400];

    snprintf(model, sizeof model, "%s", in_folder("told.bin"));
    REQUIRE_INT(write_model("told.bin", "red,blue,yellow"), 0);

    CASE("classes/without_any_nothing_is_told");
    REQUIRE_INT(run(model, (struct way){ .batch = 1 }, plain), 0);
    for (int i = 0; i < FRAMES; i++) REQUIRE_INT(class_of(plain, i), -1);
    REQUIRE_INT(run(model, (struct way){ .classes = "none", .batch = 1 }, told), 0);
    REQUIRE(!memcmp(plain, told, CHROMA));

    CASE("classes/every_frame_is_told_of_them");
    REQUIRE_INT(run(model, (struct way){ .classes = "red", .batch = 1 }, told), 0);
    for (int i = 0; i < FRAMES; i++) REQUIRE_INT(class_of(told, i), 0);
    REQUIRE_INT(run(model, (struct way){ .classes = "blue", .batch = 4, .threads = 2 }, told), 0);
    for (int i = 0; i < FRAMES; i++) REQUIRE_INT(class_of(told, i), 1);

    CASE("classes/a_sheet_tells_of_a_part_for_any_batch");
    const char *sheet = write_text("told.yaml", "lines:\n- {from: 1, to: 2, class: red}\n- {from: 2, class: [yellow]}\n"
                                                "- {from: 4, class: none}\n");
    static const int want[FRAMES] = { 1, 1, 0, 0, 2, 2, 2, 2, -1, -1 };
    REQUIRE_INT(run(model, (struct way){ .classes = "blue", .sheet = sheet, .batch = 1, .threads = 1 }, told), 0);
    for (int i = 0; i < FRAMES; i++) REQUIRE_INT(class_of(told, i), want[i]);
    for (int batch = 2; batch < 9; batch += 3) {
        REQUIRE_INT(run(model, (struct way){ .classes = "blue", .sheet = sheet, .batch = batch, .threads = 2 }, other), 0);
        REQUIRE(!memcmp(told, other, CHROMA));
    }

    CASE("classes/kept_answers_are_those_for_the_same_classes");
    char kept[400];
    snprintf(kept, sizeof kept, "%s", in_folder("kept.answers"));
    REQUIRE_INT(run(model, (struct way){ "red", NULL, 2, 1, 0, kept, NULL }, told), 0);
    REQUIRE_INT(run(model, (struct way){ "blue", NULL, 2, 1, 0, NULL, kept }, other), 0);
    for (int i = 0; i < FRAMES; i++) REQUIRE_INT(class_of(other, i), 1);
    REQUIRE_INT(run(model, (struct way){ "red", NULL, 3, 1, 0, NULL, kept }, other), 0);
    REQUIRE(!memcmp(told, other, CHROMA));

    CASE("classes/what_is_wrong_is_named");
    REQUIRE_INT(run(model, (struct way){ .classes = "green" }, told), -EINVAL);
    REQUIRE(strstr(message, "class: \"green\" is not one of the model's classes: red,blue,yellow"));
    sheet = write_text("w.yaml", "lines:\n- {strength: 1}\n- {class: [red, gren]}\n");
    REQUIRE_INT(run(model, (struct way){ .sheet = sheet }, told), -EINVAL);
    REQUIRE(strstr(message, "w.yaml:3: class: \"gren\" is not one of"));
    REQUIRE_INT(write_model("unnamed.bin", ""), -EINVAL);
    REQUIRE(strstr(message, "colorize.classes has 0 names, the graph's input \"class\" 3"));
    REQUIRE_INT(write_model("unnamed.bin", "a,b"), -EINVAL);
    REQUIRE_INT(write_model("unnamed.bin", "a,a,b"), -EINVAL);
    REQUIRE(strstr(message, "expected up to 128 different names"));

    CASE("classes/a_model_without_them_says_so");
    {
        struct clzi_model_facts facts = { .arch = "untold", .size = 32, .stride = 1, .input = "luma", .l_scale = 50,
                                          .l_offset = 1, .ab_scale = 110, .train = "", .license = "CC0" };
        static float zero[2], *values[] = { zero };
        struct clzi_graph *g = NULL;
        REQUIRE_INT(clzi_graph_create(&g), 0);
        REQUIRE(clzi_graph_conv(g, "ab", clzi_graph_input(g, "L", .channels = 1), .channels = 2, .k = 1) > 0);
        REQUIRE_INT(clzi_model_write(in_folder("untold.bin"), g, values, &facts, CLZI_F32, &log_), 0);
        clzi_graph_destroy(&g);
    }
    REQUIRE_INT(run(in_folder("untold.bin"), (struct way){ .classes = "none" }, told), 0);
    REQUIRE_INT(run(in_folder("untold.bin"), (struct way){ .classes = "" }, told), 0);
    REQUIRE_INT(run(in_folder("untold.bin"), (struct way){ .sheet = write_text("n.yaml", "lines: [{class: none}]\n") }, told), 0);
    REQUIRE_INT(run(in_folder("untold.bin"), (struct way){ .classes = "red" }, told), -EINVAL);
    REQUIRE(strstr(message, "untold.bin was not trained with classes: class=red cannot be used with it"));
    REQUIRE_INT(run(in_folder("untold.bin"), (struct way){ .sheet = in_folder("told.yaml") }, told), -EINVAL);
    REQUIRE(strstr(message, "untold.bin was not trained with classes: the sheet's key class cannot be used with it"));
}

// ---- nets ----

enum { SIZE = 256, CLASSES = 5 };

static float **values_of(const struct clzi_graph *g, enum clzt_init init)
{
    float **v = calloc((size_t)g->param_count, sizeof *v);

    for (int i = 0; i < g->param_count; i++) v[i] = calloc((size_t)clzi_param_count(&g->params[i]), sizeof **v);
    clzt_net_init(g, init, 3, v);
    return v;
}

// The net's first output for a picture, of which `class` is known (-1: none, or the net has no such input).
static int64_t answer(struct clzi_device *dev, const struct clzt_net *net, int classes, int class, int size, float **out)
{
    const struct clzt_net_options options = { .classes = classes };
    struct clzi_graph *g = NULL;
    struct clzi_params *weights = NULL;
    struct clzi_exec *exec = NULL;
    float **v, vector[CLASSES] = { 0 }, *picture = calloc(2 * (size_t)size * size, sizeof *picture);
    int64_t count = 0;

    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE_INT(net->build(g, &options), 0);
    v = values_of(g, net->init);
    REQUIRE_INT(clzi_params_create(&weights, dev, g, v, NULL), 0);
    REQUIRE_INT(clzi_exec_create(&exec, g, weights, &(struct clzi_exec_params){ .n = 1, .h = size, .w = size }), 0);
    for (int i = 0; i < 2 * size * size; i++) picture[i] = 0.5f * sinf((float)(i % 977) * 0.37f);
    for (int i = 0; i < g->in_count && exec; i++)
        if (i != clzi_classes_port(g)) REQUIRE_INT(clzi_exec_upload(exec, i, picture), 0);
    if (class >= 0) vector[class] = 1;
    REQUIRE_INT(clzi_classes_port(g) >= 0, classes > 0);
    if (classes) REQUIRE_INT(clzi_exec_upload(exec, clzi_classes_port(g), vector), 0);
    REQUIRE_INT(clzi_exec_forward(exec, 0), 0);
    count = clzi_shape_count(clzi_exec_output_shape(exec, 0));
    *out = calloc((size_t)count, sizeof **out);
    REQUIRE_INT(clzi_exec_download(exec, 0, *out), 0);
    clzi_exec_destroy(&exec);
    clzi_params_destroy(&weights);
    for (int i = 0; i < g->param_count; i++) free(v[i]);
    free(v);
    free(picture);
    clzi_graph_destroy(&g);
    return count;
}

static void nets(void)
{
    struct clzi_device *dev = NULL;
    float *without, *none, *one;
    int64_t count;

    REQUIRE_INT(clzi_device_open(&dev, "cpu", &(struct clzi_device_params){ .threads = 2, .precision = CLZ_PRECISION_F32 }), 0);
    for (const struct clzt_net *const *net = clzt_nets; *net; net++) {
        const int size = !strcmp((*net)->name, "unet") ? SIZE : 64;
        char name[80];
        snprintf(name, sizeof name, "classes/%s_begins_as_without_them", (*net)->name);
        CASE(name);
        count = answer(dev, *net, 0, -1, size, &without);
        REQUIRE_INT(answer(dev, *net, CLASSES, -1, size, &none), count);
        REQUIRE_INT(answer(dev, *net, CLASSES, 2, size, &one), count);
        REQUIRE(!memcmp(without, none, (size_t)count * sizeof *none));
        REQUIRE(!memcmp(without, one, (size_t)count * sizeof *one));
        free(without);
        free(none);
        free(one);
    }
    CASE("classes/the_discriminator_judges_by_them");
    count = answer(dev, &clzt_net_patchgan, 0, -1, 64, &without);
    REQUIRE_INT(answer(dev, &clzt_net_patchgan, CLASSES, -1, 64, &none), count);
    REQUIRE_INT(answer(dev, &clzt_net_patchgan, CLASSES, 2, 64, &one), count);
    REQUIRE(!memcmp(without, none, (size_t)count * sizeof *none));
    REQUIRE(memcmp(without, one, (size_t)count * sizeof *one));
    free(without);
    free(none);
    free(one);
    clzi_device_close(&dev);
}

int main(void)
{
    if (!folder_make("classes")) return 1;
    lists();
    streams();
    nets();
    return check_end() | folder_remove();
}
