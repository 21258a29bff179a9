// features_model.h - a model file of lite0-features with random weights.
#ifndef FEATURES_MODEL_H
#define FEATURES_MODEL_H
#include "check.h"
#include "engine/model.h"
#include "trainer/nets.h"

static void write_features(const char *path)
{
    const struct clzi_model_facts facts = { .size = 256, .stride = 32, .l_scale = 50, .l_offset = 1, .ab_scale = 110,
                                            .arch = "lite0-features", .shape = "frame", .input = "luma" };
    struct clzi_graph *g = NULL;
    float **values;

    REQUIRE_INT(clzi_graph_create(&g), 0);
    REQUIRE_INT(clzt_net_lite0_features.build(g, NULL), 0);
    values = calloc((size_t)g->param_count, sizeof *values);
    for (int i = 0; i < g->param_count; i++) values[i] = calloc((size_t)clzi_param_count(&g->params[i]), sizeof(float));
    clzt_net_init(g, CLZT_INIT_HE, 1, values);
    REQUIRE_INT(clzi_model_write(path, g, values, &facts, CLZI_F32, NULL), 0);
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    free(values);
    clzi_graph_destroy(&g);
}
#endif
