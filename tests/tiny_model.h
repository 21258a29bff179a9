// tiny_model.h - a small model file for tests: two convolutions and an enlargement, whose colours vary over the picture.
#ifndef TINY_MODEL_H
#define TINY_MODEL_H
#include <stdlib.h>
#include <string.h>

#include "engine/graph.h"
#include "engine/model.h"

// Writes it to path; returns the result of clzi_model_write(). large: its output is so large that it is no valid colour.
static inline int tiny_model_write_as(const char *path, bool large)
{
    struct clzi_model_facts facts = { .arch = "tiny", .size = 64, .stride = 4, .input = "luma", .l_scale = 50, .l_offset = 1,
                                      .ab_scale = 110, .train = "made by a test", .license = "CC0" };
    struct clzi_graph *g = NULL;
    float **values;
    uint32_t seed = 1;
    int x, ret;

    if ((ret = clzi_graph_create(&g)) < 0) return ret;
    x = clzi_graph_input(g, "L", .channels = 1);
    x = clzi_graph_conv(g, "a", x, .channels = 8, .k = 3, .stride = 2, .pad = 1);
    x = clzi_graph_batchnorm(g, "bn", x);
    x = clzi_graph_act(g, "relu", x, .act = CLZI_ACT_RELU);
    x = clzi_graph_conv(g, "b", x, .channels = 2, .k = 3, .pad = 1, .bias = 1);
    if (!large) x = clzi_graph_act(g, "tanh", x, .act = CLZI_ACT_TANH);
    x = clzi_graph_resize(g, "ab", x, .factor = 2);
    values = calloc(g->param_count, sizeof *values);
    for (int i = 0; i < g->param_count; i++) {
        const int64_t count = clzi_param_count(&g->params[i]);
        values[i] = malloc(count * sizeof(float));
        for (int64_t k = 0; k < count; k++) {
            seed = seed * 1664525u + 1013904223u;
            values[i][k] = !i && large ? 1e30f : strstr(g->params[i].name, "running_var") ? 1.f :
                           ((float)(seed >> 8) / 16777216.f - 0.5f) * 0.6f;
        }
    }
    ret = x < 0 ? x : clzi_model_write(path, g, values, &facts, CLZI_F32, NULL);
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    free(values);
    clzi_graph_destroy(&g);
    return ret;
}

static inline int tiny_model_write(const char *path) { return tiny_model_write_as(path, false); }
#endif
