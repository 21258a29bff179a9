// bench_model.c - writes a model file of one of the trainer's nets with random initial weights, for `make bench`.
//
//     bench_model NET OUT.bin
#include "bench.h"
#include "engine/model.h"
#include "trainer/nets.h"

int main(int argc, char **argv)
{
    struct clzi_model_facts facts = { .input = "luma", .l_scale = 50, .l_offset = 1, .ab_scale = 110, .train = "not trained",
                                      .license = "CC0" };
    const struct clzt_net *net = argc > 2 ? clzt_net_find(argv[1]) : NULL;
    struct clzi_graph *g = NULL;
    float **values;

    if (!net) {
        fprintf(stderr, "usage: bench_model NET OUT.bin\n");
        return 2;
    }
    if (clzi_graph_create(&g) < 0 || net->build(g, NULL) < 0) return 1;
    values = calloc(g->param_count, sizeof *values);
    for (int i = 0; i < g->param_count; i++) values[i] = calloc(clzi_param_count(&g->params[i]), sizeof(float));
    clzt_net_init(g, net->init, 1, values);
    snprintf(facts.arch, sizeof facts.arch, "%s", net->name);
    facts.size = net->size;
    facts.stride = clzi_graph_stride(g);
    return clzi_model_write(argv[2], g, values, &facts, CLZI_F16, &stderr_log) < 0;
}
