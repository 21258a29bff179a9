// resnet18_light.c - a ResNet18 encoder with a light decoder: transposed 2x2 convolution, concatenation with the encoder's tensor
// of that size, two 3x3 convolutions, at 256, 128, 64 and 32 channels; 16 channels at full size.
#include <stdio.h>

#include "trainer/nets.h"

static int build(struct clzi_graph *g, const struct clzt_net_options *options)
{
    static const int channels[4] = { 256, 128, 64, 32 };
    int taps[5], x = clzt_resnet18(g, "encoder", clzt_input(g, options), taps);
    char prefix[CLZI_NAME_SIZE];

    for (int i = 0; i < 4; i++) {
        snprintf(prefix, sizeof prefix, "decoder.%d", i);
        x = clzi_graph_convt(g, NAME(prefix, "up"), x, .channels = channels[i], .k = 2, .stride = 2, .bias = 1);
        x = clzi_graph_concat(g, NAME(prefix, "cat"), x, taps[3 - i]);
        x = clzt_conv_bn_relu(g, NAME(prefix, "0"), x, channels[i], 3, 1);
        x = clzt_conv_bn_relu(g, NAME(prefix, "1"), x, channels[i], 3, 1);
        if (i == 0) x = clzt_attention(g, options, "attention", x);     // at 1/16
        snprintf(prefix, sizeof prefix, "film.%d", i);
        if (i < 3) x = clzt_film(g, options, prefix, x);
    }
    x = clzi_graph_convt(g, "decoder.4.up", x, .channels = 16, .k = 2, .stride = 2, .bias = 1);
    x = clzt_conv_bn_relu(g, "decoder.4.0", x, 16, 3, 1);
    x = clzt_head(g, options, x);
    return x < 0 ? x : 0;
}

const struct clzt_net clzt_net_resnet18_light = {
    "resnet18-light", "ResNet18 encoder, light decoder, 14 M parameters", build, CLZT_INIT_HE, 256, "encoder.", true
};
