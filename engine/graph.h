// graph.h - the description of a network: nodes in topological order, each with one output tensor, and the parameters they
// need. The trainer builds graphs with the functions below; the model file carries them as JSON; every backend runs them.
//
// Tensors are [N,C,H,W]. A graph is built without knowing N, H and W; clzi_graph_shapes() works them out for an input.
#ifndef CLZI_GRAPH_H
#define CLZI_GRAPH_H
#include <stdbool.h>
#include <stdint.h>
#include "colorize.h"

enum {
    CLZI_MAX_NODES  = 1024,
    CLZI_MAX_PARAMS = 4096,
    CLZI_MAX_IN     = 4,                    // inputs of a node
    CLZI_MAX_W      = 4,                    // parameters of a node
    CLZI_NAME_SIZE  = 96,
    CLZI_MAX_CHANNELS = 16384,
    CLZI_MAX_PORTS  = 8,                    // inputs of a graph; outputs of a graph
    CLZI_PORT_NAME_SIZE = 32,
};

// The list of ops. Adding one: a row in ops.def, a shape rule in op.c, a builder in graph.c, a file per backend, a case in
// tests/ops.c.
enum clzi_op_id {
#define CLZI_OP(ID, name) CLZI_OP_##ID,
#include "ops.def"
#undef CLZI_OP
    CLZI_OP_COUNT
};

enum clzi_act {
    CLZI_ACT_NONE, CLZI_ACT_RELU, CLZI_ACT_LEAKY, CLZI_ACT_TANH, CLZI_ACT_SIGMOID, CLZI_ACT_RELU6, CLZI_ACT_COUNT
};

struct clzi_shape { int n, c, h, w; };
static inline int64_t clzi_shape_count(struct clzi_shape s) { return (int64_t)s.n * s.c * s.h * s.w; }

// Attributes of all ops; ops.def says which of them an op reads. The rest are 0.
struct clzi_attr {
    int channels;                           // conv, convt, linear, input: channels of the output
    int vector;                             // input: 1: [N,C,1,1], whatever the picture's size
    int k, stride, pad;                     // conv, convt, pools: square window; convt: output = (h-1)*stride - 2 pad + k
    int pad_extra;                          // conv: rows and columns of zeros after the end, beyond `pad` (TensorFlow's "same")
    int groups;                             // conv: channels are split into groups; = channels: depthwise (PyTorch's meaning)
    int bias;                               // conv, convt, linear: 1 = has a bias
    enum clzi_act act;                      // act; batchnorm; also fused into conv, convt, batchnorm, add by clzi_graph_fuse()
    float slope;                            // act leaky: factor below 0
    int factor;                             // shuffle, resize: 2 = twice the height and width
    float eps, momentum;                    // batchnorm (PyTorch's meaning: running = (1-m) running + m batch)
    float p;                                // dropout: share that is zeroed (in training only)
    float target;                           // bce, lsgan, hinge: what the logits should say
    float scale;                            // softmax, annealed_mean: factor of the exponent; clamp: y in [-scale, scale]
};

struct clzi_node {
    char name[CLZI_NAME_SIZE];              // prefix of its parameters: "layer1.0.conv1"; unique
    enum clzi_op_id op;
    int in[CLZI_MAX_IN], in_count;          // indices of earlier nodes
    struct clzi_attr attr;
    int w[CLZI_MAX_W], w_count;             // indices of its parameters, in the order given in ops.def
    int out_channels;                       // of its output; set when it is added
};

// A named tensor of numbers that belongs to a node. Dense, C order: conv [out,in/groups,k,k], convt [in,out,k,k],
// linear [out,in], vectors [c].
struct clzi_param {
    char name[CLZI_NAME_SIZE];              // PyTorch's: "layer1.0.conv1.weight", "...running_mean"
    int rank, dims[4];
    bool buffer;                            // running statistics: kept with the weights, not trained
};

// Where numbers enter or leave a graph.
struct clzi_port { char name[CLZI_PORT_NAME_SIZE]; int node; };

struct clzi_graph {
    struct clzi_node *nodes;
    int node_count;
    struct clzi_param *params;
    int param_count;
    struct clzi_port in[CLZI_MAX_PORTS], out[CLZI_MAX_PORTS];
    int in_count, out_count;
    bool outputs_named;                     // by clzi_graph_output(); false: out[0] is the node added last, under its own name
};

int64_t clzi_param_count(const struct clzi_param *p);                  // product of dims
int64_t clzi_graph_trainable_count(const struct clzi_graph *g);        // what papers call "parameters"

int clzi_graph_create(struct clzi_graph **g);
void clzi_graph_destroy(struct clzi_graph **g);
int clzi_graph_copy(struct clzi_graph **copy, const struct clzi_graph *g);

// Builders: append a node and return its index, or a negative errno (-ENOMEM, -EINVAL: inputs that do not fit, full).
// A negative x is passed through, so that a net can be written without a check on each line: look at the last result.
// Attributes are named: clzi_graph_conv(g, "conv1", x, .channels = 64, .k = 3, .pad = 1). One that is left out or 0 takes its
// default: stride and groups 1, eps 1e-5, momentum 0.1, the others 0. The comments list what each op reads.
#define CLZI_GRAPH_1(g, name, op, x, ...) \
    clzi_graph_append(g, name, CLZI_OP_##op, (const int[]){ x }, 1, &(const struct clzi_attr){ __VA_ARGS__ })
#define CLZI_GRAPH_2(g, name, op, a, b) \
    clzi_graph_append(g, name, CLZI_OP_##op, (const int[]){ a, b }, 2, &(const struct clzi_attr){ 0 })
#define CLZI_GRAPH_3(g, name, op, a, b, c) \
    clzi_graph_append(g, name, CLZI_OP_##op, (const int[]){ a, b, c }, 3, &(const struct clzi_attr){ 0 })
// An input is a port of its own name (shorter than CLZI_PORT_NAME_SIZE).
#define clzi_graph_input(g, name, ...) \
    clzi_graph_append(g, name, CLZI_OP_INPUT, NULL, 0, &(const struct clzi_attr){ __VA_ARGS__ })     // channels vector
#define clzi_graph_conv(g, name, x, ...)      CLZI_GRAPH_1(g, name, CONV, x, __VA_ARGS__)     // channels k stride pad bias ...
#define clzi_graph_convt(g, name, x, ...)     CLZI_GRAPH_1(g, name, CONVT, x, __VA_ARGS__)    // channels k stride pad bias
#define clzi_graph_batchnorm(g, name, x, ...) CLZI_GRAPH_1(g, name, BATCHNORM, x, __VA_ARGS__)    // eps momentum act slope
#define clzi_graph_act(g, name, x, ...)       CLZI_GRAPH_1(g, name, ACT, x, __VA_ARGS__)      // act slope
#define clzi_graph_add(g, name, a, b)         CLZI_GRAPH_2(g, name, ADD, a, b)
#define clzi_graph_concat(g, name, a, b)      CLZI_GRAPH_2(g, name, CONCAT, a, b)             // along channels
#define clzi_graph_shuffle(g, name, x, ...)   CLZI_GRAPH_1(g, name, SHUFFLE, x, __VA_ARGS__)  // factor; PixelShuffle: C*f*f -> C
#define clzi_graph_maxpool(g, name, x, ...)   CLZI_GRAPH_1(g, name, MAXPOOL, x, __VA_ARGS__)  // k stride pad
#define clzi_graph_resize(g, name, x, ...)    CLZI_GRAPH_1(g, name, RESIZE, x, __VA_ARGS__)   // factor; half-pixel centres
#define clzi_graph_dropout(g, name, x, ...)   CLZI_GRAPH_1(g, name, DROPOUT, x, __VA_ARGS__)  // p
#define clzi_graph_softmax(g, name, x, ...)   CLZI_GRAPH_1(g, name, SOFTMAX, x, __VA_ARGS__)  // scale; over channels
// Logits of the 313 classes of colour (kernels/ab_bins.h) to ab. scale: 1/T; the temperature T goes from 1, the mean, to 0, the
// likeliest class. Zhang et al. 2016 use T = 0.38.
#define clzi_graph_annealed_mean(g, name, x, ...) CLZI_GRAPH_1(g, name, ANNEALED_MEAN, x, __VA_ARGS__)
#define clzi_graph_clamp(g, name, x, ...)     CLZI_GRAPH_1(g, name, CLAMP, x, __VA_ARGS__)    // scale: the limit
#define clzi_graph_linear(g, name, x, ...)    CLZI_GRAPH_1(g, name, LINEAR, x, __VA_ARGS__)   // channels bias act slope
#define clzi_graph_avgpool(g, name, x, ...)   CLZI_GRAPH_1(g, name, AVGPOOL, x, __VA_ARGS__)  // k stride pad; zeros count
#define clzi_graph_globalpool(g, name, x)     CLZI_GRAPH_1(g, name, GLOBALPOOL, x, 0)
// Feature-wise modulation (FiLM, Perez et al. 2018): x scale + shift, scale and shift [N,C,1,1].
#define clzi_graph_affine(g, name, x, scale, shift) CLZI_GRAPH_3(g, name, AFFINE, x, scale, shift)
#define clzi_graph_gain(g, name, x)           CLZI_GRAPH_1(g, name, GAIN, x, 0)               // gamma x, gamma learnt, from 0
// Attention: y_i = sum over j of softmax_j(q_i . k_j) v_j, i a position of q, j one of k and v. Self-attention as SAGAN has it
// (Zhang et al. 2019): x + gain(attention(q, k, v)), where q and k are 1x1 convolutions of x to C/8 channels, v one to C. k is
// the paper's f and q its g; fastai calls them the other way round: its "query" is k, its "key" is q.
#define clzi_graph_attention(g, name, q, k, v) CLZI_GRAPH_3(g, name, ATTENTION, q, k, v)
// L* / 50 - 1 and ab / 110 to the picture in sRGB, (255 c - 127) / 128.
#define clzi_graph_rgb(g, name, l, ab)        CLZI_GRAPH_2(g, name, RGB, l, ab)
int clzi_graph_append(struct clzi_graph *g, const char *name, enum clzi_op_id op, const int *in, int in_count,
                      const struct clzi_attr *attr);
// Makes a node's output a port of the graph. Without any, the node added last is the one output. Returns node, or -EINVAL: the
// name is taken, empty or too long, or there are too many.
int clzi_graph_output(struct clzi_graph *g, const char *name, int node);
// As the loader does it: every attribute is as given.
int clzi_graph_add_node(struct clzi_graph *g, const struct clzi_node *node);

// Channels of a node's output (known without H and W).
int clzi_graph_channels(const struct clzi_graph *g, int node);

// Port of that name among count ports; -ENOENT: none.
int clzi_port_find(const struct clzi_port *ports, int count, const char *name);

// Shapes of all nodes for n pictures of h x w at every input that is no vector. -EINVAL where a window does not fit; the log
// names the node. shapes: node_count entries.
int clzi_graph_shapes(const struct clzi_graph *g, int n, int h, int w, struct clzi_shape *shapes, const struct clz_log *log);

// Height and width must be multiples of this for the skips to meet (largest total stride).
int clzi_graph_stride(const struct clzi_graph *g);

// For inference: a new graph with batch norm folded into the convolution before it, activations and residual additions
// fused into convolutions (in[1] of a conv is then the residual, added before the activation), dropout removed.
// values[i]: the numbers of g's parameter i; *out_values: those of the new graph's parameters, to be freed with each entry
// (one allocation per entry). Folding: w' = w gamma / sqrt(var + eps), b' = beta + (b - mean) gamma / sqrt(var + eps).
int clzi_graph_fuse(const struct clzi_graph *g, float *const *values, struct clzi_graph **out, float ***out_values);
#endif
