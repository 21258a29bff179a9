// dnn_probe.c - asks cuDNN, on a machine without a GPU, whether it has an engine for every convolution of every net, forward and
// backward, fused as engine/cuda/conv.c runs them, on three generations of GPUs.
#include "check.h"
#include "dnn_devices.h"
#include "engine/cuda/cuda.h"
#include "trainer/nets.h"

enum { MAX_PROBLEMS = 1024 };
static struct clzi_dnn_conv_params problems[MAX_PROBLEMS];
static int problem_count;

static void add(const struct clzi_dnn_conv_params *p)
{
    for (int i = 0; i < problem_count; i++)
        if (!memcmp(&problems[i], p, sizeof *p)) return;
    if (problem_count < MAX_PROBLEMS) problems[problem_count++] = *p;
    else REQUIRE(!"more problems than MAX_PROBLEMS");
}

static void add_graph(const struct clzi_graph *g, enum clzk_type type, int n, int size, bool backward)
{
    struct clzi_shape *shapes = calloc(g->node_count, sizeof *shapes), xs[CLZI_MAX_IN];

    REQUIRE_INT(clzi_graph_shapes(g, n, size, size, shapes, NULL), 0);
    for (int i = 0; i < g->node_count; i++) {
        const struct clzi_node *node = &g->nodes[i];
        for (int k = 0; k < node->in_count; k++) xs[k] = shapes[node->in[k]];
        for (int pass = 0; pass < (backward ? CLZI_CUDA_PASS_COUNT : 1); pass++) {
            struct clzi_dnn_conv_params p;
            memset(&p, 0, sizeof p);
            if (clzi_cuda_conv_problem(node, xs, shapes[i], type, pass, &p)) add(&p);
        }
    }
    free(shapes);
}

static void message(void *priv, enum clz_log_level level, const char *text)
{
    (void)priv;
    if (level == CLZ_LOG_ERROR) printf("  %s\n", text);
}

static cudnnBackendDescriptor_t device_of(const char *json)
{
    cudnnBackendDescriptor_t d = NULL;

    REQUIRE_INT(cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &d), 0);
    REQUIRE_INT(cudnnBackendSetAttribute(d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, strlen(json), json), 0);
    REQUIRE_INT(cudnnBackendFinalize(d), 0);
    return d;
}

static void collect_net(const struct clzt_net *net, const struct clzt_net_options *options, int size, enum clzk_type type)
{
    struct clzi_graph *g = NULL, *fused = NULL;
    float **values, **folded = NULL;

    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE_INT(net->build(g, options), 0);
    values = calloc(g->param_count, sizeof *values);
    for (int i = 0; i < g->param_count; i++) values[i] = calloc(clzi_param_count(&g->params[i]), sizeof **values);
    add_graph(g, type, 16, size, true);
    REQUIRE_INT(clzi_graph_fuse(g, values, &fused, &folded), 0);
    add_graph(fused, type, 8, 256, false);
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    for (int i = 0; i < fused->param_count; i++) free(folded[i]);
    free(values);
    free(folded);
    clzi_graph_destroy(&g);
    clzi_graph_destroy(&fused);
}

// Whether the engine of a plan sums in f32 and always in the same order.
static bool is_faithful(cudnnBackendDescriptor_t plan)
{
    cudnnBackendNumericalNote_t notes[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
    cudnnBackendDescriptor_t config = NULL, engine = NULL;
    int64_t count = 0;
    bool faithful = true;

    REQUIRE_INT(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config), 0);
    REQUIRE_INT(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine), 0);
    REQUIRE_INT(cudnnBackendGetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                                         &config), 0);
    REQUIRE_INT(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                                         &engine), 0);
    count = 0;
    REQUIRE_INT(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                         CUDNN_NUMERICAL_NOTE_TYPE_COUNT, &count, notes), 0);
    for (int64_t i = 0; i < count; i++)
        faithful &= notes[i] != CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC &&
                    notes[i] != CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
    cudnnBackendDestroyDescriptor(engine);
    cudnnBackendDestroyDescriptor(config);
    return faithful;
}

// The second plan of a problem comes from the cache: no heuristic is asked.
static void check_cache(void)
{
    const struct clzi_dnn_conv_params p = {
        .type = CLZK_BF16, .x = { 8, 64, 32, 32 }, .y = { 8, 64, 32, 32 }, .k = 3, .stride = 1, .pad = 1, .groups = 1,
        .bias = true, .residual = true, .act = CLZI_ACT_RELU,
    };
    char folder[512], command[600];
    struct clzi_dnn_target target = { .device_name = dnn_devices[1].name, .log = { message, NULL, CLZ_LOG_INFO } };
    size_t workspace = 0;

    CASE("dnn_probe/a_plan_is_read_back_from_the_cache");
    REQUIRE(mkdtemp(check_temporary(folder, "plans")));
    target.cache = folder;
    target.device = device_of(dnn_devices[1].json);
    for (int i = 0; i < 2; i++) {
        struct clzi_dnn_conv conv;
        int engines = -1;
        REQUIRE_INT(clzi_dnn_conv_create(&conv, &target, &p, &engines), 0);
        REQUIRE(conv.plan && (i ? engines == -1 && conv.workspace == workspace : engines > 0));
        workspace = conv.workspace;
        clzi_dnn_conv_destroy(&conv);
    }
    cudnnBackendDestroyDescriptor(target.device);
    snprintf(command, sizeof command, "rm -r %s", folder);
    REQUIRE_INT(system(command), 0);
}

int main(int argc, char **argv)
{
    static const char *const types[] = { "f32", "f16", "bf16" };

    for (int type = CLZK_F32; type < CLZK_TYPE_COUNT; type++) {
        if (argc > 2 && strcmp(argv[2], types[type])) continue;
        problem_count = 0;
        for (int i = 0; clzt_nets[i]; i++) {
            const int size = clzt_nets[i] == &clzt_net_unet ? 256 : 128;
            const struct clzt_net_options more = { .hints = true, .attention = true,
                                                   .temperature = clzt_nets[i]->classes ? 0.38f : 0 };
            collect_net(clzt_nets[i], NULL, size, type);
            collect_net(clzt_nets[i], &more, size, type);
        }
        collect_net(&clzt_net_patchgan, NULL, 128, type);
        for (size_t d = 0; d < sizeof dnn_devices / sizeof *dnn_devices; d++) {
            struct clzi_dnn_target target = { .device_name = dnn_devices[d].name, .log = { message, NULL, CLZ_LOG_INFO } };
            char name[128];
            int without = 0, unfaithful = 0;
            if (argc > 1 && strcmp(argv[1], dnn_devices[d].name)) continue;
            snprintf(name, sizeof name, "dnn_probe/%s_%s_has_engines", dnn_devices[d].name, types[type]);
            CASE(name);
            target.device = device_of(dnn_devices[d].json);
            for (int i = 0; i < problem_count; i++) {
                struct clzi_dnn_conv conv;
                int engines = 0;
                if (clzi_dnn_conv_create(&conv, &target, &problems[i], &engines) < 0) without++;
                else if (!is_faithful(conv.plan)) unfaithful++;
                clzi_dnn_conv_destroy(&conv);
            }
            REQUIRE_INT(without, 0);
            REQUIRE_INT(unfaithful, 0);
            printf("  %d convolutions, %d without an engine\n", problem_count, without);
            cudnnBackendDestroyDescriptor(target.device);
        }
    }
    if (argc < 2) check_cache();
    return check_end();
}
