// unet.c - the U-Net of pix2pix (Isola 2017, netG unet_256): eight levels, 64 to 512 channels, 4x4 convolutions of stride 2 down
// and transposed ones up, skips by concatenation. 54,409,858 parameters, 5.98 GMAC at 256x256. Parameters are named as
// pix2pix's and the tutorial's checkpoints name them (model.model.1.model.3 ...).
#include <stdio.h>

#include "trainer/nets.h"

enum { LEVELS = 8 };

// The block at `level` (0: outermost) on x; returns its output, the up path's tensor of this level.
static int block(struct clzi_graph *g, const struct clzt_net_options *options, const char *prefix, int level, int x)
{
    static const int channels[LEVELS] = { 64, 128, 256, 512, 512, 512, 512, 512 };
    const bool outer = level == 0, inner = level == LEVELS - 1;
    const int out = outer ? 2 : channels[level - 1], skip = x;
    char name[CLZI_NAME_SIZE], below[CLZI_NAME_SIZE];
    int at = 0;                             // index within pix2pix's nn.Sequential

#define NEXT (snprintf(name, sizeof name, "%s.model.%d", prefix, at++), name)
    if (!outer) x = clzi_graph_act(g, NEXT, x, .act = CLZI_ACT_LEAKY, .slope = 0.2f);
    x = clzi_graph_conv(g, NEXT, x, .channels = channels[level], .k = 4, .stride = 2, .pad = 1);
    if (!outer && !inner) x = clzi_graph_batchnorm(g, NEXT, x);
    if (!inner) {
        snprintf(below, sizeof below, "%s.model.%d", prefix, at++);
        if (level == 3) x = clzt_attention(g, options, "attention", x);     // at 1/16
        x = block(g, options, below, level + 1, x);
    }
    x = clzi_graph_act(g, NEXT, x, .act = CLZI_ACT_RELU);
    x = clzi_graph_convt(g, NEXT, x, .channels = out, .k = 4, .stride = 2, .pad = 1, .bias = outer);
    if (outer) return clzi_graph_act(g, NEXT, x, .act = CLZI_ACT_TANH);
    x = clzi_graph_batchnorm(g, NEXT, x);
    if (level >= 2 && level <= 4) x = clzt_film(g, options, NAME(prefix, "film"), x);       // at 1/16 to 1/4
    if (level >= 4 && !inner) x = clzi_graph_dropout(g, NEXT, x, .p = 0.5f);
#undef NEXT
    return clzi_graph_concat(g, NAME(prefix, "cat"), skip, x);
}

static int build(struct clzi_graph *g, const struct clzt_net_options *options)
{
    const int x = block(g, options, "model", 0, clzt_input(g, options));
    return x < 0 ? x : 0;
}

const struct clzt_net clzt_net_unet = { "unet", "U-Net of pix2pix, 54 M parameters", build, CLZT_INIT_NORMAL, 256, NULL, false };
