// gpu_bench.c - frames/s of every generator on a device, for make bench-cuda. Prints one line a measurement: "net size batch ms
// frames/s". With --export DIR it writes the nets as model files instead, so that gpu_bench.py runs the same ones in PyTorch.
//
//     gpu_bench [--device cuda] [--precision f32|bf16|f16] [--export DIR] [NET]
#include "check.h"
#include "base/clock.h"
#include "engine/backend.h"
#include "engine/exec.h"
#include "engine/model.h"
#include "trainer/nets.h"

enum { WARM = 3, SETS = 5 };
static const int sizes[] = { 128, 256, 512 }, batches[] = { 1, 8, 16, 32 };

struct net { struct clzi_graph *g; float **values; };

static struct net net_create(const struct clzt_net *n)
{
    struct net net = { 0 };

    clzi_graph_create(&net.g);
    n->build(net.g);
    net.values = calloc(net.g->param_count, sizeof *net.values);
    for (int i = 0; i < net.g->param_count; i++) net.values[i] = calloc(clzi_param_count(&net.g->params[i]), sizeof **net.values);
    clzt_net_init(net.g, n->init, 3, net.values);
    return net;
}

static void net_destroy(struct net *net)
{
    for (int i = 0; net->values && i < net->g->param_count; i++) free(net->values[i]);
    free(net->values);
    clzi_graph_destroy(&net->g);
}

// Seconds of one forward pass: the median of SETS sets, each ended by reading a number back.
static double measure(struct clzi_device *dev, struct clzi_exec *e, struct clzi_params *w)
{
    const struct clzi_backend *be = clzi_device_base(dev)->backend;
    double times[SETS], once;
    float x;
    int runs;

    for (int i = 0; i < WARM; i++) clzi_exec_forward(e, 0);
    be->read(dev, &x, w->slab[CLZI_W], 1);
    once = clzi_now();
    clzi_exec_forward(e, 0);
    be->read(dev, &x, w->slab[CLZI_W], 1);
    once = clzi_now() - once;
    runs = once > 0.1 ? 1 : (int)(0.1 / once);
    for (int s = 0; s < SETS; s++) {
        const double start = clzi_now();
        for (int i = 0; i < runs; i++) clzi_exec_forward(e, 0);
        be->read(dev, &x, w->slab[CLZI_W], 1);
        times[s] = (clzi_now() - start) / runs;
    }
    for (int i = 1; i < SETS; i++)
        for (int k = i; k > 0 && times[k] < times[k - 1]; k--) {
            const double t = times[k];
            times[k] = times[k - 1];
            times[k - 1] = t;
        }
    return times[SETS / 2];
}

static void bench(struct clzi_device *dev, const struct clzt_net *n)
{
    struct net net = net_create(n), fused = { 0 };
    struct clzi_params *weights = NULL;

    if (clzi_graph_fuse(net.g, net.values, &fused.g, &fused.values) < 0 ||
        clzi_params_create(&weights, dev, fused.g, fused.values, NULL) < 0) {
        printf("%-16s cannot be made\n", n->name);
        goto end;
    }
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            struct clzi_exec *e = NULL;
            const struct clzi_exec_params p = { .n = batches[b], .h = sizes[s], .w = sizes[s] };
            double seconds;
            if ((n == &clzt_net_unet && sizes[s] < 256) || clzi_exec_create(&e, fused.g, weights, &p) < 0) continue;
            seconds = measure(dev, e, weights);
            printf("%-16s %4d %3d %10.3f ms %10.1f frames/s\n", n->name, sizes[s], batches[b], seconds * 1e3,
                   batches[b] / seconds);
            fflush(stdout);
            clzi_exec_destroy(&e);
        }
end:
    clzi_params_destroy(&weights);
    net_destroy(&fused);
    net_destroy(&net);
}

static int export(const char *folder, const struct clzt_net *n)
{
    const struct clzi_model_facts facts = {
        .size = 256, .stride = 256, .input = "luma", .l_scale = 50, .l_offset = 1, .ab_scale = 110,
    };
    struct net net = net_create(n);
    char path[1024];
    int ret;

    snprintf(path, sizeof path, "%s/%s.bin", folder, n->name);
    ret = clzi_model_write(path, net.g, net.values, &facts, CLZI_F32, NULL);
    net_destroy(&net);
    return ret;
}

int main(int argc, char **argv)
{
    static const char *const names[] = { "auto", "f32", "bf16", "f16" };
    const char *device = "cuda", *folder = NULL, *only = NULL;
    struct clzi_device_params params = { .precision = CLZ_PRECISION_AUTO };
    struct clzi_device *dev;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--device") && i + 1 < argc) device = argv[++i];
        else if (!strcmp(argv[i], "--export") && i + 1 < argc) folder = argv[++i];
        else if (!strcmp(argv[i], "--precision") && i + 1 < argc) {
            i++;
            for (int k = 0; k < 4; k++)
                if (!strcmp(argv[i], names[k])) params.precision = k;
        } else only = argv[i];
    }
    if (!folder && (clzi_device_open(&dev, device, &params) < 0 || clzi_device_enter(dev) < 0)) SKIP("no such device here");
    if (!folder) printf("# %s\n", clzi_device_base(dev)->describe);
    for (int i = 0; clzt_nets[i]; i++) {
        if (only && strcmp(only, clzt_nets[i]->name)) continue;
        if (!folder) bench(dev, clzt_nets[i]);
        else if (export(folder, clzt_nets[i]) < 0) return 1;
    }
    return 0;
}
