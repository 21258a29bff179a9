// nets.c - the list of nets, and how their weights begin.
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/classes.h"
#include "kernels/ab_bins.h"
#include "kernels/fnv.h"
#include "kernels/philox.h"
#include "nets.h"

const struct clzt_net *const clzt_nets[] = {
    &clzt_net_light, &clzt_net_lite0, &clzt_net_lite1, &clzt_net_lite2, &clzt_net_resnet18_light, &clzt_net_resnet18_lite,
    &clzt_net_resnet18_unet, &clzt_net_unet, NULL
};

const struct clzt_net *const clzt_discriminators[] = { &clzt_net_patchgan, &clzt_net_patchgan_half, NULL };
const struct clzt_net *const clzt_feature_nets[] = { &clzt_net_lite0_features, NULL };

static const struct clzt_net *find(const struct clzt_net *const *net, const char *name)
{
    while (*net && strcmp((*net)->name, name)) net++;
    return *net;
}

const struct clzt_net *clzt_net_find(const char *name) { return find(clzt_nets, name); }
const struct clzt_net *clzt_discriminator_find(const char *name) { return find(clzt_discriminators, name); }

struct clzt_name clzt_name(const char *prefix, const char *suffix)
{
    struct clzt_name name;
    snprintf(name.text, sizeof name.text, "%s.%s", prefix, suffix);
    return name;
}

static float normal(uint64_t seed, uint64_t param, uint64_t index)
{
    uint32_t r[4];
    double pair[2];

    clzk_philox(seed, param, index, r);
    clzk_normals(r, pair);
    return (float)pair[0];
}

// Pixel shuffle without checkerboards (ICNR, Aitken 2017): the factor^2 channels of one output start equal. 1: none follows.
static int icnr_group(const struct clzi_graph *g, int node)
{
    for (int i = 0; i < g->node_count; i++) {
        int x = g->nodes[i].op == CLZI_OP_SHUFFLE ? g->nodes[i].in[0] : -1;
        if (x >= 0 && g->nodes[x].op == CLZI_OP_ACT) x = g->nodes[x].in[0];
        if (x == node) return g->nodes[i].attr.factor * g->nodes[i].attr.factor;
    }
    return 1;
}

// Of the node of a scale or shift of FiLM: what its bias is at first, while its weights are 0. -1: it is neither.
static float film_start(const struct clzi_graph *g, int node)
{
    for (int i = 0; i < g->node_count && g->nodes[node].op == CLZI_OP_LINEAR && g->nodes[node].attr.bias; i++)
        for (int k = 1; k < 3 && g->nodes[i].op == CLZI_OP_AFFINE; k++)
            if (g->nodes[i].in[k] == node) return k == 1;
    return -1;
}

void clzt_net_init(const struct clzi_graph *g, enum clzt_init init, uint64_t seed, float *const *values)
{
    for (int n = 0; n < g->node_count; n++) {
        const struct clzi_node *node = &g->nodes[n];
        for (int k = 0; k < node->w_count; k++) {
            const struct clzi_param *p = &g->params[node->w[k]];
            const int64_t count = clzi_param_count(p), per_channel = count / p->dims[0];
            const int64_t group = icnr_group(g, n);
            // by name, so that the initial weights of a net do not depend on the order of its nodes
            const uint64_t name = clzk_fnv1a(CLZK_FNV1A_TRAINER, p->name, strlen(p->name));
            const bool norm = node->op == CLZI_OP_BATCHNORM, weight = k == 0 && node->op != CLZI_OP_GAIN;
            // starts near grey, and with equal probabilities of all classes of colour
            const bool head = (node->attr.channels == 2 || node->attr.channels == CLZK_AB_BINS) && init == CLZT_INIT_HE;
            const float fan_in = (float)(node->op == CLZI_OP_CONVT ? p->dims[0] : p->rank >= 2 ? p->dims[1] : 1) *
                                 (p->rank == 4 ? p->dims[2] * p->dims[3] : 1);
            const float film = film_start(g, n);
            const float sd = init == CLZT_INIT_NORMAL ? 0.02f : head ? 0.01f : sqrtf(2 / fan_in);
            for (int64_t i = 0; i < count; i++) {
                float v = norm && (k == 0 || k == 3) ? 1 : 0;              // weight and running_var 1, the rest (gain's gamma) 0
                if (weight && !norm) v = sd * normal(seed, name, i / per_channel / group * group * per_channel + i % per_channel);
                if (weight && norm && init == CLZT_INIT_NORMAL) v += 0.02f * normal(seed, name, i);
                if (film >= 0) v = k == 0 ? 0 : film;
                values[node->w[k]][i] = v;
            }
        }
    }
}

// ---- blocks ----

int clzt_conv_bn_relu(struct clzi_graph *g, const char *prefix, int x, int channels, int k, int stride)
{
    x = clzi_graph_conv(g, NAME(prefix, "conv"), x, .channels = channels, .k = k, .stride = stride, .pad = k / 2);
    x = clzi_graph_batchnorm(g, NAME(prefix, "bn"), x);
    return clzi_graph_act(g, NAME(prefix, "relu"), x, .act = CLZI_ACT_RELU);
}

int clzt_input(struct clzi_graph *g, const struct clzt_net_options *options)
{
    const int l = clzi_graph_input(g, "L", .channels = 1);

    if (!options || !options->hints) return l;
    return clzi_graph_concat(g, "input", l, clzi_graph_input(g, "hints", .channels = 3));
}

int clzt_net_logits(const struct clzi_graph *g)
{
    for (int i = 0; i < g->node_count; i++)
        if (g->nodes[i].op == CLZI_OP_ANNEALED_MEAN) return g->nodes[i].in[0];
    return -1;
}

int clzt_attention(struct clzi_graph *g, const struct clzt_net_options *options, const char *prefix, int x)
{
    const int channels = x < 0 ? 0 : clzi_graph_channels(g, x);
    int q, k, v;

    if (x < 0 || !options || !options->attention) return x;
    q = clzi_graph_conv(g, NAME(prefix, "query"), x, .channels = channels / 8, .k = 1);
    k = clzi_graph_conv(g, NAME(prefix, "key"), x, .channels = channels / 8, .k = 1);
    v = clzi_graph_conv(g, NAME(prefix, "value"), x, .channels = channels, .k = 1);
    v = clzi_graph_attention(g, NAME(prefix, "attend"), q, k, v);
    return clzi_graph_add(g, NAME(prefix, "add"), clzi_graph_gain(g, NAME(prefix, "gain"), v), x);
}

static int embedding(struct clzi_graph *g, int classes)
{
    static const char name[] = "class.embedding";
    enum { EMBEDDING = 64 };

    for (int i = 0; i < g->node_count; i++)
        if (!strcmp(g->nodes[i].name, name)) return i;
    return clzi_graph_linear(g, name, clzi_graph_input(g, CLZI_CLASS_PORT, .channels = classes, .vector = 1),
                             .channels = EMBEDDING, .bias = 1);
}

int clzt_film(struct clzi_graph *g, const struct clzt_net_options *options, const char *prefix, int x)
{
    const int channels = x < 0 ? 0 : clzi_graph_channels(g, x);
    int e, scale, shift;

    if (x < 0 || !options || !options->classes) return x;
    e = embedding(g, options->classes);
    scale = clzi_graph_linear(g, NAME(prefix, "scale"), e, .channels = channels, .bias = 1);
    shift = clzi_graph_linear(g, NAME(prefix, "shift"), e, .channels = channels, .bias = 1);
    return clzi_graph_affine(g, NAME(prefix, "modulate"), x, scale, shift);
}

int clzt_head(struct clzi_graph *g, const struct clzt_net_options *options, int x)
{
    if (options && options->temperature > 0) {
        x = clzi_graph_conv(g, "head.logits", x, .channels = CLZK_AB_BINS, .k = 1, .bias = 1);
        return clzi_graph_annealed_mean(g, "head.mean", x, .scale = 1 / options->temperature);
    }
    x = clzi_graph_conv(g, "head", x, .channels = 2, .k = 3, .pad = 1, .bias = 1);
    return clzi_graph_act(g, "head.tanh", x, .act = CLZI_ACT_TANH);
}

// stride 2 or other channels: the identity goes through a 1x1 convolution, as in torchvision's BasicBlock.
static int basic_block(struct clzi_graph *g, const char *prefix, int x, int channels, int stride)
{
    const bool same = x >= 0 && stride == 1 && clzi_graph_channels(g, x) == channels;
    int identity = x;

    x = clzi_graph_conv(g, NAME(prefix, "conv1"), x, .channels = channels, .k = 3, .stride = stride, .pad = 1);
    x = clzi_graph_batchnorm(g, NAME(prefix, "bn1"), x);
    x = clzi_graph_act(g, NAME(prefix, "relu1"), x, .act = CLZI_ACT_RELU);
    x = clzi_graph_conv(g, NAME(prefix, "conv2"), x, .channels = channels, .k = 3, .pad = 1);
    x = clzi_graph_batchnorm(g, NAME(prefix, "bn2"), x);
    if (!same) {
        identity = clzi_graph_conv(g, NAME(prefix, "downsample.0"), identity, .channels = channels, .k = 1, .stride = stride);
        identity = clzi_graph_batchnorm(g, NAME(prefix, "downsample.1"), identity);
    }
    x = clzi_graph_add(g, NAME(prefix, "add"), x, identity);
    return clzi_graph_act(g, NAME(prefix, "relu2"), x, .act = CLZI_ACT_RELU);
}

int clzt_residual(struct clzi_graph *g, const char *prefix, int x)
{
    return x < 0 ? x : basic_block(g, prefix, x, clzi_graph_channels(g, x), 1);
}

int clzt_resnet18(struct clzi_graph *g, const char *prefix, int x, int taps[5])
{
    static const int channels[4] = { 64, 128, 256, 512 };

    x = clzi_graph_conv(g, NAME(prefix, "0"), x, .channels = 64, .k = 7, .stride = 2, .pad = 3);
    x = clzi_graph_batchnorm(g, NAME(prefix, "1"), x);
    x = taps[0] = clzi_graph_act(g, NAME(prefix, "2"), x, .act = CLZI_ACT_RELU);
    x = clzi_graph_maxpool(g, NAME(prefix, "3"), x, .k = 3, .stride = 2, .pad = 1);
    for (int layer = 0; layer < 4; layer++) {
        char block[CLZI_NAME_SIZE];
        for (int b = 0; b < 2; b++) {
            snprintf(block, sizeof block, "%s.%d.%d", prefix, layer + 4, b);
            x = basic_block(g, block, x, channels[layer], layer && !b ? 2 : 1);
        }
        taps[layer + 1] = x;
    }
    return x;
}
