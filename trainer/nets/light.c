// light.c - the generator for CPUs: about 2 GMAC at 256x256. Most of its weights and half of its arithmetic stand at 1/16 and
// 1/32 of the size, where what a thing is decides its colour; the decoder adds the encoder's tensors to its own; ab is
// predicted at half size and enlarged: chroma of half size costs nothing against luma-guided enlargement behind the network.
// Channels are multiples of 32, which suits the matrix units of CPUs and GPUs.
#include <stdio.h>

#include "trainer/nets.h"

static int build(struct clzi_graph *g, const struct clzt_net_options *options)
{
    static const struct { int channels, residuals; } levels[5] = { { 32, 0 }, { 64, 1 }, { 128, 1 }, { 256, 2 }, { 256, 2 } };
    char prefix[CLZI_NAME_SIZE];
    int tap[5], x = clzt_input(g, options);

    for (int i = 0; i < 5; i++) {           // 1/2, 1/4, 1/8, 1/16, 1/32
        snprintf(prefix, sizeof prefix, "encoder.%d", i);
        x = clzt_conv_bn_relu(g, NAME(prefix, "down"), x, levels[i].channels, i ? 3 : 5, 2);
        for (int r = 0; r < levels[i].residuals; r++) {
            snprintf(prefix, sizeof prefix, "encoder.%d.%d", i, r);
            x = clzt_residual(g, prefix, x);
        }
        tap[i] = x;
    }
    for (int i = 3; i >= 0; i--) {          // 1/16, 1/8, 1/4, 1/2
        snprintf(prefix, sizeof prefix, "decoder.%d", i);
        x = clzi_graph_conv(g, NAME(prefix, "narrow"), x, .channels = levels[i].channels, .k = 1, .bias = 1);
        x = clzi_graph_resize(g, NAME(prefix, "up"), x, .factor = 2);
        x = clzi_graph_add(g, NAME(prefix, "add"), x, tap[i]);
        x = clzt_conv_bn_relu(g, prefix, x, levels[i].channels, 3, 1);
        if (i == 3) x = clzt_attention(g, options, "attention", x);     // at 1/16
        snprintf(prefix, sizeof prefix, "film.%d", i);
        if (i > 0) x = clzt_film(g, options, prefix, x);
    }
    x = clzi_graph_resize(g, "ab", clzt_head(g, options, x), .factor = 2);
    return x < 0 ? x : 0;
}

const struct clzt_net clzt_net_light = {
    "light", "small and fast, for CPUs: 2 GMAC at 256x256", build, CLZT_INIT_HE, 256, "encoder.", true
};
