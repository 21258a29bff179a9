// resnet18_unet.c - fastai 2.4's DynamicUnet on a ResNet18 encoder with one input channel, as the moein-shariatnia tutorial
// trains it, exact layer for layer so that its checkpoints load. 31,099,672 parameters, 28.43 GMAC at 256x256. The output is
// unbounded: a clamp at the end keeps it in the range of ab.
//
// fastai applies relu to the concatenation of the enlarged tensor (a relu's output, so unchanged by it) and the normalised
// skip: here only the skip goes through it.
#include <stdio.h>

#include "trainer/nets.h"

// conv1x1 to 4 x channels, relu, pixel shuffle: PixelShuffle_ICNR
static int enlarge(struct clzi_graph *g, const char *prefix, int x, int channels)
{
    x = clzi_graph_conv(g, NAME(prefix, "0.0"), x, .channels = channels * 4, .k = 1, .bias = 1);
    x = clzi_graph_act(g, NAME(prefix, "0.1"), x, .act = CLZI_ACT_RELU);
    return clzi_graph_shuffle(g, NAME(prefix, "1"), x, .factor = 2);
}

static int conv_relu(struct clzi_graph *g, const char *prefix, int x, int channels)
{
    x = clzi_graph_conv(g, NAME(prefix, "0"), x, .channels = channels, .k = 3, .pad = 1, .bias = 1);
    return clzi_graph_act(g, NAME(prefix, "1"), x, .act = CLZI_ACT_RELU);
}

static int unet_block(struct clzi_graph *g, const char *prefix, int x, int skip, bool last)
{
    int channels;

    if (x < 0) return x;
    x = enlarge(g, NAME(prefix, "shuf"), x, clzi_graph_channels(g, x) / 2);
    skip = clzi_graph_batchnorm(g, NAME(prefix, "bn"), skip);
    skip = clzi_graph_act(g, NAME(prefix, "relu"), skip, .act = CLZI_ACT_RELU);
    x = clzi_graph_concat(g, NAME(prefix, "cat"), x, skip);
    if (x < 0) return x;
    channels = clzi_graph_channels(g, x);
    if (last) channels /= 2;
    x = conv_relu(g, NAME(prefix, "conv1"), x, channels);
    return conv_relu(g, NAME(prefix, "conv2"), x, channels);
}

static int build(struct clzi_graph *g, const struct clzt_net_options *options)
{
    int taps[5], x = clzt_resnet18(g, "layers.0", clzt_input(g, options), taps), identity;

    x = clzi_graph_batchnorm(g, "layers.1", x);
    x = clzi_graph_act(g, "layers.2", x, .act = CLZI_ACT_RELU);
    x = conv_relu(g, "layers.3.0", x, 1024);
    x = conv_relu(g, "layers.3.1", x, 512);
    x = unet_block(g, "layers.4", x, taps[3], false);
    x = clzt_film(g, options, "film.0", clzt_attention(g, options, "attention", x));       // at 1/16
    x = clzt_film(g, options, "film.1", unet_block(g, "layers.5", x, taps[2], false));
    x = clzt_film(g, options, "film.2", unet_block(g, "layers.6", x, taps[1], false));
    x = unet_block(g, "layers.7", x, taps[0], true);
    if (x < 0) return x;
    x = enlarge(g, "layers.8", x, clzi_graph_channels(g, x));
    identity = x = clzi_graph_concat(g, "layers.10", x, clzt_lightness(g));
    x = conv_relu(g, "layers.11.convpath.0", x, 97);
    x = clzi_graph_conv(g, "layers.11.convpath.1.0", x, .channels = 97, .k = 3, .pad = 1, .bias = 1);
    x = clzi_graph_add(g, "layers.11.add", x, identity);
    x = clzi_graph_act(g, "layers.11.act", x, .act = CLZI_ACT_RELU);
    x = clzi_graph_conv(g, "layers.12.0", x, .channels = 2, .k = 1, .bias = 1);
    x = clzi_graph_clamp(g, "ab", x, .scale = 1);
    return x < 0 ? x : 0;
}

const struct clzt_net clzt_net_resnet18_unet = {
    "resnet18-unet", "DynamicUnet on ResNet18, 31 M parameters", build, CLZT_INIT_HE, 256, "layers.0.", false
};
