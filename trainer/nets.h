// nets.h - the networks that recipes can name. A net is one file in nets/ that describes a graph; its row stands in nets.c.
// Players need none of this: the model file carries the graph.
#ifndef CLZT_NETS_H
#define CLZT_NETS_H
#include "engine/graph.h"

enum clzt_init {
    CLZT_INIT_NORMAL,       // convolutions N(0, 0.02), batch norm N(1, 0.02): pix2pix
    CLZT_INIT_HE,           // convolutions N(0, sqrt(2 / fan in)), batch norm 1
};

// What a recipe may add to a net. All 0: nothing, as NULL.
struct clzt_net_options {
    bool hints;             // an input "hints" [N,3,H,W] beside L: a, b, mask. The colours of some places, as a user gives them:
                            // there ab / 110 and mask 1, elsewhere 0. Without hints all is 0
    bool attention;         // self-attention at 1/16 of the size (SAGAN), which begins as the identity
    int classes;            // > 0: an input "class" [N,classes,1,1] (engine/classes.h), which modulates the decoder (FiLM), or by
                            // which a discriminator judges
    float temperature;      // > 0: the head answers logits of the classes of colour, and ab is their annealed mean. Else: ab
};

struct clzt_net {
    const char *name;       // in recipes
    const char *help;       // one line
    // 0 or -errno; input L* [N,1,H,W] scaled to -1..1, output ab [N,2,H,W] / 110. options may be NULL.
    int (*build)(struct clzi_graph *g, const struct clzt_net_options *options);
    enum clzt_init init;
    int size;               // working size (short side) that suits it
    const char *encoder;    // what the names of its encoder's parameters begin with, NULL: it has none to speak of
    bool classes;           // its head can answer classes of colour
};

extern const struct clzt_net *const clzt_nets[];            // generators; ends with NULL
const struct clzt_net *clzt_net_find(const char *name);     // NULL: no such net

// Discriminators: inputs "L" [N,1,H,W] and "ab" [N,2,H,W], output logits. Ends with NULL.
extern const struct clzt_net *const clzt_discriminators[];
const struct clzt_net *clzt_discriminator_find(const char *name);   // NULL: no such discriminator
// Networks that only describe pictures: input "RGB" [N,3,H,W], (R - 127) / 128; output a vector. Ends with NULL.
extern const struct clzt_net *const clzt_feature_nets[];
extern const struct clzt_net clzt_net_patchgan, clzt_net_patchgan_half;

// Fills values[i] (already allocated) of each parameter. Counter-based random numbers: depends on seed and names only.
void clzt_net_init(const struct clzi_graph *g, enum clzt_init init, uint64_t seed, float *const *values);

extern const struct clzt_net clzt_net_light, clzt_net_lite0, clzt_net_lite1, clzt_net_lite2, clzt_net_unet,
    clzt_net_resnet18_unet, clzt_net_resnet18_light, clzt_net_resnet18_lite, clzt_net_lite0_features;

// ---- blocks that several nets share ----

// conv without bias + batch norm + relu; names: PREFIX.conv, PREFIX.bn, PREFIX.relu. Returns the node of the relu.
int clzt_conv_bn_relu(struct clzi_graph *g, const char *prefix, int x, int channels, int k, int stride);

// Two 3x3 convolutions with batch norm and the identity added: conv1, bn1, relu1, conv2, bn2, add, relu. Channels are kept.
int clzt_residual(struct clzi_graph *g, const char *prefix, int x);

// The input "L", joined with "hints" if there are any. clzt_lightness(): L alone.
int clzt_input(struct clzi_graph *g, const struct clzt_net_options *options);
static inline int clzt_lightness(const struct clzi_graph *g) { return g->in[0].node; }

// The node of the logits of the classes of colour; -1: the net answers ab itself.
int clzt_net_logits(const struct clzi_graph *g);

// x, or x + gamma attention(x): query, key: 1x1 convolutions to 1/8 of the channels, value: to all; gamma.
int clzt_attention(struct clzi_graph *g, const struct clzt_net_options *options, const char *prefix, int x);

// x, or x modulated by the classes of the picture (FiLM, Perez et al. 2018): x scale + shift, with one scale and shift for each
// channel. "class.embedding" makes 64 numbers of the vector of classes: the mean of what it has for each class, and a bias, which
// is what it has for none; PREFIX.scale and PREFIX.shift are linear in these, and begin as 1 and 0.
int clzt_film(struct clzi_graph *g, const struct clzt_net_options *options, const char *prefix, int x);

// Features to ab: "head", a 3x3 convolution, and tanh; or "head.logits", a 1x1 convolution, and their annealed mean.
int clzt_head(struct clzi_graph *g, const struct clzt_net_options *options, int x);

// torchvision's ResNet18 without its classifier; prefix "layers.0" names the parameters layers.0.0, layers.0.1,
// layers.0.4.0.conv1 ... taps: outputs after the first relu (64 channels, 1/2), layer1 (64, 1/4), layer2 (128, 1/8), layer3
// (256, 1/16), layer4 (512, 1/32).
int clzt_resnet18(struct clzi_graph *g, const char *prefix, int x, int taps[5]);

// "prefix.suffix" into a buffer that lives as long as the statement needs it.
struct clzt_name { char text[CLZI_NAME_SIZE]; };
struct clzt_name clzt_name(const char *prefix, const char *suffix);
#define NAME(prefix, suffix) clzt_name(prefix, suffix).text
#endif
