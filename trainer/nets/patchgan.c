// patchgan.c - the discriminator of pix2pix: it judges 70x70 patches of L and ab. 4x4 convolutions with 64, 128, 256 and 512
// features, batch norm in all but the first and last, leaky ReLU 0.2, logits out. 2,765,633 parameters; 30x30 logits at 256x256.
//
// patchgan-half is the same on the means of 2x2 pixels: it judges patches of 140x140 pixels, in a quarter of the time. Generators
// that answer ab at half the size, and enlarge it, are told from the truth by soft edges alone where a discriminator sees all
// pixels; this one sees no finer than they answer.
#include <stdio.h>

#include "engine/classes.h"
#include "trainer/nets.h"

// What the classes c of the picture say of features x at each place, to be added to the logits (projection, Miyato and Koyama
// 2018): w * ((V c) x + U c), w a 4x4 convolution as the last one. For no class it is 0.
static int project(struct clzi_graph *g, int classes, int x)
{
    const int c = clzi_graph_input(g, CLZI_CLASS_PORT, .channels = classes, .vector = 1), channels = clzi_graph_channels(g, x);
    const int v = clzi_graph_linear(g, "class.project", c, .channels = channels);
    const int u = clzi_graph_linear(g, "class.shift", c, .channels = channels);

    x = clzi_graph_affine(g, "class.modulate", x, v, u);
    return clzi_graph_conv(g, "class.sum", x, .channels = 1, .k = 4, .pad = 1);
}

static int build_on(struct clzi_graph *g, const struct clzt_net_options *options, bool half)
{
    static const struct { int channels, stride; bool norm; } layers[4] = {
        { 64, 2, false }, { 128, 2, true }, { 256, 2, true }, { 512, 1, true }
    };
    int l = clzi_graph_input(g, "L", .channels = 1), ab = clzi_graph_input(g, "ab", .channels = 2);
    int x = clzi_graph_concat(g, "Lab", l, ab);
    char prefix[CLZI_NAME_SIZE];
    int classes;

    if (half) x = clzi_graph_avgpool(g, "half", x, .k = 2, .stride = 2);
    for (int i = 0; i < 4; i++) {           // named as the tutorial's nn.Sequential of nn.Sequential
        snprintf(prefix, sizeof prefix, "model.%d", i);
        x = clzi_graph_conv(g, NAME(prefix, "0"), x, .channels = layers[i].channels, .k = 4, .stride = layers[i].stride, .pad = 1,
                            .bias = !layers[i].norm);
        if (layers[i].norm) x = clzi_graph_batchnorm(g, NAME(prefix, "1"), x);
        x = clzi_graph_act(g, NAME(prefix, layers[i].norm ? "2" : "1"), x, .act = CLZI_ACT_LEAKY, .slope = 0.2f);
    }
    classes = x;
    x = clzi_graph_conv(g, "model.4.0", x, .channels = 1, .k = 4, .pad = 1, .bias = 1);
    if (x >= 0 && options && options->classes) x = clzi_graph_add(g, "class.add", x, project(g, options->classes, classes));
    return x < 0 ? x : 0;
}

static int build(struct clzi_graph *g, const struct clzt_net_options *options)
{
    return build_on(g, options, false);
}

static int build_half(struct clzi_graph *g, const struct clzt_net_options *options)
{
    return build_on(g, options, true);
}

const struct clzt_net clzt_net_patchgan = {
    "patchgan", "pix2pix's: patches of 70x70 pixels, 2.8 M parameters", build, CLZT_INIT_NORMAL, 256, NULL, false
};

const struct clzt_net clzt_net_patchgan_half = {
    "patchgan-half", "the same at half the size: patches of 140x140 pixels, a quarter of the time", build_half, CLZT_INIT_NORMAL,
    256, NULL, false
};
