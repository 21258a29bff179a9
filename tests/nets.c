// nets.c - the networks: numbers of parameters and operations as in the papers' code, shapes, names, initial weights.
#include "check.h"
#include "engine/graph.h"
#include "trainer/nets.h"

static struct clzi_shape output_shape(const struct clzi_graph *g, struct clzi_shape in)
{
    struct clzi_shape shapes[CLZI_MAX_NODES] = {{0}};

    REQUIRE_INT(clzi_graph_shapes(g, in.n, in.h, in.w, shapes, NULL), 0);
    return shapes[g->out[0].node];
}

static double gmac(const struct clzi_graph *g, int size)
{
    struct clzi_shape shapes[CLZI_MAX_NODES];
    double sum = 0;

    if (clzi_graph_shapes(g, 1, size, size, shapes, NULL) < 0) return -1;
    for (int i = 0; i < g->node_count; i++) {
        const struct clzi_node *n = &g->nodes[i];
        const struct clzi_shape x = n->in_count ? shapes[n->in[0]] : shapes[i], y = shapes[i];
        if (n->op == CLZI_OP_CONV) sum += 1e-9 * y.h * y.w * y.c * x.c / n->attr.groups * n->attr.k * n->attr.k;
        if (n->op == CLZI_OP_CONVT) sum += 1e-9 * x.h * x.w * y.c * x.c * n->attr.k * n->attr.k;
    }
    return sum;
}

static void generators(void)
{
    for (const struct clzt_net *const *net = clzt_nets; *net; net++) {
        char name[64];
        struct clzi_graph *g = NULL;
        struct clzi_shape y;
        snprintf(name, sizeof name, "nets/%s_answers_ab_of_the_same_size", (*net)->name);
        CASE(name);
        REQUIRE_INT(clzi_graph_create(&g), 0);
        REQUIRE_INT((*net)->build(g, NULL), 0);
        y = output_shape(g, (struct clzi_shape){ 2, 1, 256, 512 });
        REQUIRE(y.n == 2 && y.c == 2 && y.h == 256 && y.w == 512);
        REQUIRE(clzi_graph_stride(g) <= 256);
        printf("     %s: %lld parameters, %.2f GMAC at 256x256, stride %d\n", (*net)->name,
               (long long)clzi_graph_trainable_count(g), gmac(g, 256), clzi_graph_stride(g));
        clzi_graph_destroy(&g);
    }
}

// Expected values: counted with PyTorch 1.13 in the code of pix2pix and fastai.
static void counts(void)
{
    static const struct { const char *net; long long parameters; double gmac; } known[] = {
        { "unet", 54409858, 5.98 }, { "resnet18-unet", 31099672, 28.43 },
    };
    struct clzi_graph *g = NULL;
    struct clzi_shape y;

    for (int i = 0; i < 2; i++) {
        CASE(i ? "nets/resnet18_unet_has_fastai's_parameters" : "nets/unet_has_pix2pix's_parameters");
        REQUIRE_INT(clzi_graph_create(&g), 0);
        REQUIRE_INT(clzt_net_find(known[i].net)->build(g, NULL), 0);
        REQUIRE_INT(clzi_graph_trainable_count(g), known[i].parameters);
        REQUIRE_NEAR(gmac(g, 256), known[i].gmac, 0.006);
        clzi_graph_destroy(&g);
    }
    CASE("nets/patchgan_has_pix2pix's_parameters");
    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE_INT(clzt_net_patchgan.build(g, NULL), 0);
    REQUIRE_INT(clzi_graph_trainable_count(g), 2765633);
    y = output_shape(g, (struct clzi_shape){ 1, 3, 256, 256 });
    REQUIRE(y.c == 1 && y.h == 30 && y.w == 30);
    y = output_shape(g, (struct clzi_shape){ 1, 3, 128, 128 });
    REQUIRE(y.h == 14 && y.w == 14);
    clzi_graph_destroy(&g);
    CASE("nets/patchgan-half_judges_as_patchgan_at_half_the_size");
    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE_INT(clzt_net_patchgan_half.build(g, NULL), 0);
    REQUIRE_INT(clzi_graph_trainable_count(g), 2765633);
    y = output_shape(g, (struct clzi_shape){ 1, 3, 256, 256 });
    REQUIRE(y.h == 14 && y.w == 14);
    clzi_graph_destroy(&g);
}

static void names(void)
{
    static const char *const known[] = {
        "layers.0.0.weight", "layers.0.7.1.bn2.running_var", "layers.0.5.0.downsample.1.bias", "layers.3.1.0.bias",
        "layers.4.shuf.0.0.weight", "layers.7.bn.weight", "layers.11.convpath.1.0.weight", "layers.12.0.bias",
    };
    struct clzi_graph *g = NULL;

    CASE("nets/parameters_have_fastai's_names");
    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE_INT(clzt_net_resnet18_unet.build(g, NULL), 0);
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        int found = 0;
        for (int i = 0; i < g->param_count; i++) found += !strcmp(g->params[i].name, known[k]);
        REQUIRE_INT(found, 1);
    }
    clzi_graph_destroy(&g);
}

static void init(void)
{
    struct clzi_graph *g = NULL;
    float *values[CLZI_MAX_PARAMS];
    double sum = 0, sum2 = 0, count = 0;

    CASE("nets/normal_init_has_mean_0_and_deviation_0.02");
    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE_INT(clzt_net_patchgan.build(g, NULL), 0);
    for (int i = 0; i < g->param_count; i++) values[i] = malloc(clzi_param_count(&g->params[i]) * sizeof(float));
    clzt_net_init(g, CLZT_INIT_NORMAL, 1, values);
    for (int i = 0; i < g->param_count; i++)
        for (int64_t k = 0; g->params[i].rank == 4 && k < clzi_param_count(&g->params[i]); k++, count++) {
            sum += values[i][k];
            sum2 += values[i][k] * values[i][k];
        }
    REQUIRE_NEAR(sum / count, 0, 5e-5);                         // the deviation of the mean is 0.02 / sqrt(2.7e6) = 1.2e-5
    REQUIRE_NEAR(sqrt(sum2 / count), 0.02, 5e-5);
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    clzi_graph_destroy(&g);
}

int main(void)
{
    generators();
    counts();
    names();
    init();
    return check_end();
}
