// lite.c - EfficientNet-Lite encoders (Tan and Le 2019; "Lite": no squeeze-and-excitation, ReLU6) with a light decoder, and the
// same decoder on ResNet18. The encoder's parameters carry the names of the PyTorch checkpoints behind "encoder.", so that
// pretrained weights load by name.
//
// The decoder goes up from 1/32 to 1/2 by bilinear enlargement and adds a 1x1 convolution of the encoder's tensor of each size.
// ab is predicted at half size and enlarged. A 3x3 convolution costs most at 1/2, so there are few channels there: lite0 has 0.94
// GMAC at 256x256, 0.51 of them the encoder's.
#include <math.h>
#include <stdio.h>

#include "trainer/nets.h"

enum { LEVELS = 5 };                        // 1/2, 1/4, 1/8, 1/16, 1/32

// ---- encoder ----

struct scaling { double width, depth; };    // of channels and of blocks, Lite0: 1, 1

static const struct stage { int blocks, k, stride, expand, channels; } stages[7] = {
    { 1, 3, 1, 1, 16 }, { 2, 3, 2, 6, 24 }, { 2, 5, 2, 6, 40 }, { 3, 3, 2, 6, 80 }, { 3, 5, 1, 6, 112 }, { 4, 5, 2, 6, 192 },
    { 1, 3, 1, 6, 320 },
};

// To a multiple of 8, never more than 10 % below what was asked for.
static int scaled_channels(int channels, double width)
{
    const double want = channels * width;
    int n = (int)(want + 4) / 8 * 8;

    if (n < 8) n = 8;
    return n < 0.9 * want ? n + 8 : n;
}

static int norm(struct clzi_graph *g, const char *name, int x, enum clzi_act act)
{
    return clzi_graph_batchnorm(g, name, x, .eps = 1e-3f, .momentum = 0.01f, .act = act);
}

// "Same" padding as TensorFlow has it: at stride 2 the smaller half of k - 2 comes first.
static int same_conv(struct clzi_graph *g, const char *name, int x, int channels, int k, int stride, int groups)
{
    const int before = (k - stride) / 2;

    return clzi_graph_conv(g, name, x, .channels = channels, .k = k, .stride = stride, .pad = before,
                           .pad_extra = k - stride - 2 * before, .groups = groups);
}

// Expand 1x1, depthwise, project 1x1; plus the input where shapes allow.
static int block(struct clzi_graph *g, const char *prefix, int x, const struct stage *s, int channels, int stride)
{
    const int in = x < 0 ? 0 : clzi_graph_channels(g, x), wide = in * s->expand, identity = x;

    if (x < 0) return x;
    if (s->expand > 1) {
        x = clzi_graph_conv(g, NAME(prefix, "_expand_conv"), x, .channels = wide, .k = 1);
        x = norm(g, NAME(prefix, "_bn0"), x, CLZI_ACT_RELU6);
    }
    x = same_conv(g, NAME(prefix, "_depthwise_conv"), x, wide, s->k, stride, wide);
    x = norm(g, NAME(prefix, "_bn1"), x, CLZI_ACT_RELU6);
    x = clzi_graph_conv(g, NAME(prefix, "_project_conv"), x, .channels = channels, .k = 1);
    x = norm(g, NAME(prefix, "_bn2"), x, CLZI_ACT_NONE);
    return stride == 1 && in == channels ? clzi_graph_add(g, NAME(prefix, "add"), x, identity) : x;
}

// Stem, head, first and last stage are not scaled in depth; the stem's channels not at all.
static int efficientnet(struct clzi_graph *g, int x, struct scaling scale, int taps[LEVELS])
{
    char prefix[CLZI_NAME_SIZE];
    int level = 0, number = 0;

    x = same_conv(g, "encoder._conv_stem", x, 32, 3, 2, 1);
    x = norm(g, "encoder._bn0", x, CLZI_ACT_RELU6);
    for (int i = 0; i < 7; i++) {
        const struct stage *s = &stages[i];
        const int count = i == 0 || i == 6 ? s->blocks : (int)ceil(s->blocks * scale.depth);
        for (int b = 0; b < count; b++) {
            snprintf(prefix, sizeof prefix, "encoder._blocks.%d", number++);
            if (s->stride == 2 && b == 0) taps[level++] = x;        // the last of its size
            x = block(g, prefix, x, s, scaled_channels(s->channels, scale.width), b ? 1 : s->stride);
        }
    }
    return taps[level] = x;
}

// ---- decoder ----

static int conv_bn_relu(struct clzi_graph *g, const char *prefix, int x, int channels)
{
    x = clzi_graph_conv(g, NAME(prefix, "conv"), x, .channels = channels, .k = 3, .pad = 1);
    return clzi_graph_batchnorm(g, NAME(prefix, "bn"), x, .act = CLZI_ACT_RELU);
}

static int decoder(struct clzi_graph *g, const struct clzt_net_options *options, const int taps[LEVELS])
{
    static const struct { int channels, convs; } levels[LEVELS] = { { 24, 1 }, { 64, 1 }, { 96, 1 }, { 128, 2 }, { 192, 1 } };
    char prefix[CLZI_NAME_SIZE];
    int x = conv_bn_relu(g, "decoder.4", taps[4], levels[4].channels), lateral;

    for (int i = LEVELS - 2; i >= 0; i--) {
        snprintf(prefix, sizeof prefix, "decoder.%d", i);
        x = clzi_graph_conv(g, NAME(prefix, "narrow"), x, .channels = levels[i].channels, .k = 1, .bias = 1);
        x = clzi_graph_resize(g, NAME(prefix, "up"), x, .factor = 2);
        lateral = clzi_graph_conv(g, NAME(prefix, "lateral"), taps[i], .channels = levels[i].channels, .k = 1);
        x = clzi_graph_add(g, NAME(prefix, "add"), x, lateral);
        for (int k = 0; k < levels[i].convs; k++) {
            snprintf(prefix, sizeof prefix, "decoder.%d.%d", i, k);
            x = conv_bn_relu(g, prefix, x, levels[i].channels);
        }
        if (i == 3) x = clzt_attention(g, options, "attention", x);     // at 1/16
        snprintf(prefix, sizeof prefix, "film.%d", i);
        if (i > 0) x = clzt_film(g, options, prefix, x);
    }
    return clzi_graph_resize(g, "ab", clzt_head(g, options, x), .factor = 2);
}

// ---- nets ----

static int lite(struct clzi_graph *g, const struct clzt_net_options *options, struct scaling scale)
{
    int taps[LEVELS], x = efficientnet(g, clzt_input(g, options), scale, taps);

    if (x >= 0) x = decoder(g, options, taps);
    return x < 0 ? x : 0;
}

static int lite0(struct clzi_graph *g, const struct clzt_net_options *o) { return lite(g, o, (struct scaling){ 1, 1 }); }
static int lite1(struct clzi_graph *g, const struct clzt_net_options *o) { return lite(g, o, (struct scaling){ 1, 1.1 }); }
static int lite2(struct clzi_graph *g, const struct clzt_net_options *o) { return lite(g, o, (struct scaling){ 1.1, 1.2 }); }

static int resnet18_lite(struct clzi_graph *g, const struct clzt_net_options *options)
{
    int taps[LEVELS], x = clzt_resnet18(g, "encoder", clzt_input(g, options), taps);

    if (x >= 0) x = decoder(g, options, taps);
    return x < 0 ? x : 0;
}

// What the classifier of EfficientNet-Lite0 sees of a colour picture: its last features, averaged. For FD-lite0.
static int lite0_features(struct clzi_graph *g, const struct clzt_net_options *options)
{
    int taps[LEVELS], x = efficientnet(g, clzi_graph_input(g, "RGB", .channels = 3), (struct scaling){ 1, 1 }, taps);

    (void)options;
    x = clzi_graph_conv(g, "encoder._conv_head", x, .channels = 1280, .k = 1);
    x = norm(g, "encoder._bn1", x, CLZI_ACT_RELU6);
    x = clzi_graph_globalpool(g, "features", x);
    return x < 0 ? x : 0;
}

const struct clzt_net clzt_net_lite0_features = {
    "lite0-features", "EfficientNet-Lite0 to its last features, for FD-lite0", lite0_features, CLZT_INIT_HE, 256, NULL, false
};
const struct clzt_net clzt_net_lite0 = {
    "lite0", "EfficientNet-Lite0 encoder, light decoder: 1 GMAC at 256x256; needs pretrained weights", lite0, CLZT_INIT_HE, 256,
    "encoder.", true
};
const struct clzt_net clzt_net_lite1 = { "lite1", "the same on EfficientNet-Lite1", lite1, CLZT_INIT_HE, 256, "encoder.", true };
const struct clzt_net clzt_net_lite2 = { "lite2", "the same on EfficientNet-Lite2", lite2, CLZT_INIT_HE, 256, "encoder.", true };
const struct clzt_net clzt_net_resnet18_lite = {
    "resnet18-lite", "the same decoder on ResNet18", resnet18_lite, CLZT_INIT_HE, 256, "encoder.", true
};
