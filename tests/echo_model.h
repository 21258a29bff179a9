// echo_model.h - a model for tests of hints.
#ifndef ECHO_MODEL_H
#define ECHO_MODEL_H
#include "check.h"
#include "engine/graph.h"
#include "engine/model.h"
#include "test_folder.h"

// A model that answers with its hints: ab = hints, where there are any.
static const char *echo_model(bool with_hints)
{
    const char *path = in_folder(with_hints ? "echo.bin" : "plain.bin");
    struct clzi_model_facts facts = { .arch = "echo", .size = 64, .stride = 4, .input = "luma", .l_scale = 50, .l_offset = 1,
                                      .ab_scale = 110, .train = "made by a test", .license = "CC0" };
    struct clzi_graph *g = NULL;
    float weights[2][8] = { { 0 } }, *values[1] = { weights[0] };
    int x;

    REQUIRE_INT(clzi_graph_create(&g), 0);
    x = clzi_graph_input(g, "L", .channels = 1);
    if (with_hints) x = clzi_graph_concat(g, "both", x, clzi_graph_input(g, "hints", .channels = 3));
    x = clzi_graph_conv(g, "ab", x, .channels = 2, .k = 1);
    REQUIRE(x > 0);
    if (with_hints) weights[0][1] = weights[0][4 + 2] = 1;  // [2 outputs][L, a, b, mask]
    REQUIRE_INT(clzi_model_write(path, g, values, &facts, CLZI_F32, &log_), 0);
    clzi_graph_destroy(&g);
    return path;
}
#endif
