// op.c - the table of ops: inputs, attributes, parameters, shapes.
#include <errno.h>
#include <string.h>

#include "kernels/ab_bins.h"
#include "op.h"

static const char *const act_names[CLZI_ACT_COUNT] = {
    [CLZI_ACT_NONE] = "none", [CLZI_ACT_RELU] = "relu", [CLZI_ACT_LEAKY] = "leaky",
    [CLZI_ACT_TANH] = "tanh", [CLZI_ACT_SIGMOID] = "sigmoid", [CLZI_ACT_RELU6] = "relu6",
};

const char *clzi_act_name(enum clzi_act act)
{
    return act_names[act];
}

int clzi_act_find(const char *name)
{
    for (int i = 0; i < CLZI_ACT_COUNT; i++)
        if (!strcmp(name, act_names[i])) return i;
    return -EINVAL;
}

int clzi_op_find(const char *name)
{
    for (int i = 0; i < CLZI_OP_COUNT; i++)
        if (!strcmp(name, clzi_ops[i].name)) return i;
    return -EINVAL;
}

double clzi_attr_get(const struct clzi_attr *attr, const struct clzi_attr_info *info)
{
    const void *field = (const char *)attr + info->offset;
    return info->type == CLZI_ATTR_FLOAT ? (double)*(const float *)field :
           info->type == CLZI_ATTR_ACT ? (double)*(const enum clzi_act *)field : (double)*(const int *)field;
}

void clzi_attr_set(struct clzi_attr *attr, const struct clzi_attr_info *info, double value)
{
    void *field = (char *)attr + info->offset;
    switch (info->type) {
    case CLZI_ATTR_FLOAT: *(float *)field = (float)value; break;
    case CLZI_ATTR_ACT:   *(enum clzi_act *)field = (enum clzi_act)value; break;
    case CLZI_ATTR_INT:   *(int *)field = (int)value; break;
    }
}

void clzi_attr_default(const struct clzi_op_info *op, struct clzi_attr *attr)
{
    for (const struct clzi_attr_info *a = op->attrs; a->name; a++)
        if (a->absent != 0 && clzi_attr_get(attr, a) == 0) clzi_attr_set(attr, a, a->absent);
}

// ---- attributes ----

#define INT_OR(field, low, high, value)   { #field, CLZI_ATTR_INT, offsetof(struct clzi_attr, field), low, high, false, value }
#define FLOAT_OR(field, low, high, value) /* limits as the floats that attributes are kept in */ \
    { #field, CLZI_ATTR_FLOAT, offsetof(struct clzi_attr, field), (float)(low), (float)(high), false, value }
#define INT(field, low, high)             INT_OR(field, low, high, 0)
#define FLOAT(field, low, high)           FLOAT_OR(field, low, high, 0)
#define OPTIONAL(field, low, high, value) \
    { #field, CLZI_ATTR_INT, offsetof(struct clzi_attr, field), low, high, true, value }
#define FUSED                                                                                              \
    { "act", CLZI_ATTR_ACT, offsetof(struct clzi_attr, act), 0, CLZI_ACT_COUNT - 1, true, CLZI_ACT_NONE }, \
    { "slope", CLZI_ATTR_FLOAT, offsetof(struct clzi_attr, slope), 0, 1, true, 0 }
#define END { NULL, CLZI_ATTR_INT, 0, 0, 0, false, 0 }
#define WINDOW INT(k, 1, 15), INT_OR(stride, 1, 8, 1), INT(pad, 0, 14)

static const struct clzi_attr_info input_attrs[] = { INT(channels, 1, CLZI_MAX_CHANNELS), OPTIONAL(vector, 0, 1, 0), END };
static const struct clzi_attr_info conv_attrs[] = {
    INT(channels, 1, CLZI_MAX_CHANNELS), WINDOW, INT(bias, 0, 1), OPTIONAL(pad_extra, 0, 14, 0),
    OPTIONAL(groups, 1, CLZI_MAX_CHANNELS, 1), FUSED, END
};
static const struct clzi_attr_info convt_attrs[] = { INT(channels, 1, CLZI_MAX_CHANNELS), WINDOW, INT(bias, 0, 1), FUSED, END };
static const struct clzi_attr_info norm_attrs[] = { FLOAT_OR(eps, 1e-12, 1, 1e-5), FLOAT_OR(momentum, 0, 1, 0.1), FUSED, END };
static const struct clzi_attr_info act_attrs[] = { FUSED, END };
static const struct clzi_attr_info pool_attrs[] = { WINDOW, END };
static const struct clzi_attr_info factor_attrs[] = { INT(factor, 2, 8), END };
static const struct clzi_attr_info dropout_attrs[] = { FLOAT(p, 0, 0.99), END };
static const struct clzi_attr_info scale_attrs[] = { FLOAT(scale, 1e-6, 1e6), END };
static const struct clzi_attr_info linear_attrs[] = { INT(channels, 1, CLZI_MAX_CHANNELS), INT(bias, 0, 1), FUSED, END };
static const struct clzi_attr_info target_attrs[] = { FLOAT(target, 0, 1), END };
static const struct clzi_attr_info no_attrs[] = { END };

// ---- shapes ----

static int same_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    (void)node;
    *out = in[0];
    return 0;
}

static int input_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    (void)in;
    *out = (struct clzi_shape){ 0, node->attr.channels, 0, 0 };
    return 0;
}

static bool equal_shapes(struct clzi_shape a, struct clzi_shape b)
{
    return a.n == b.n && a.c == b.c && a.h == b.h && a.w == b.w;
}

// Length after a window of k, stride, pad; 0 stays 0 (unknown).
static int window(int length, const struct clzi_attr *a)
{
    const int padded = length + 2 * a->pad + a->pad_extra;
    if (!length) return 0;
    return padded < a->k ? -EINVAL : (padded - a->k) / a->stride + 1;
}

static int windowed(const struct clzi_node *node, struct clzi_shape in, int channels, struct clzi_shape *out)
{
    const int h = window(in.h, &node->attr), w = window(in.w, &node->attr);
    if (node->attr.pad + node->attr.pad_extra >= node->attr.k || h < 0 || w < 0) return -EINVAL;
    *out = (struct clzi_shape){ in.n, channels, h, w };
    return 0;
}

static int conv_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    const int groups = node->attr.groups;
    int ret = in[0].c % groups || node->attr.channels % groups ? -EINVAL : windowed(node, in[0], node->attr.channels, out);
    if (ret >= 0 && node->in_count == 2 && !equal_shapes(in[1], *out)) ret = -EINVAL;
    return ret;
}

static int pool_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    return node->attr.pad * 2 > node->attr.k ? -EINVAL : windowed(node, in[0], in[0].c, out);
}

static int convt_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    const struct clzi_attr *a = &node->attr;
    if (in[0].h > CLZ_MAX_SIZE || in[0].w > CLZ_MAX_SIZE) return -EINVAL;
    const int h = in[0].h ? (in[0].h - 1) * a->stride - 2 * a->pad + a->k : 0;
    const int w = in[0].w ? (in[0].w - 1) * a->stride - 2 * a->pad + a->k : 0;
    if (a->pad >= a->k || (in[0].h && (h < 1 || w < 1))) return -EINVAL;
    *out = (struct clzi_shape){ in[0].n, a->channels, h, w };
    return 0;
}

static int add_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    (void)node;
    *out = in[0];
    return equal_shapes(in[0], in[1]) ? 0 : -EINVAL;
}

static int concat_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    struct clzi_shape b = in[1];
    (void)node;
    *out = in[0];
    out->c += b.c;
    b.c = in[0].c;
    return equal_shapes(in[0], b) && out->c <= CLZI_MAX_CHANNELS ? 0 : -EINVAL;
}

static int enlarged(const struct clzi_node *node, struct clzi_shape in, int channels, struct clzi_shape *out)
{
    const int f = node->attr.factor;
    if (in.h > CLZ_MAX_SIZE || in.w > CLZ_MAX_SIZE) return -EINVAL;
    *out = (struct clzi_shape){ in.n, channels, in.h * f, in.w * f };
    return 0;
}

static int shuffle_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    const int f = node->attr.factor;
    return in[0].c % (f * f) ? -EINVAL : enlarged(node, in[0], in[0].c / (f * f), out);
}

static int resize_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    return enlarged(node, in[0], in[0].c, out);
}

// A vector [N,C,1,1]; unknown heights and widths are 0.
static bool is_vector(struct clzi_shape s) { return s.h <= 1 && s.w <= 1; }

static int linear_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    *out = (struct clzi_shape){ in[0].n, node->attr.channels, in[0].h, in[0].w };
    return is_vector(in[0]) ? 0 : -EINVAL;
}

static int globalpool_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    (void)node;
    *out = (struct clzi_shape){ in[0].n, in[0].c, 1, 1 };
    return 0;
}

static int affine_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    (void)node;
    *out = in[0];
    for (int k = 1; k < 3; k++)
        if (in[k].n != in[0].n || in[k].c != in[0].c || !is_vector(in[k])) return -EINVAL;
    return 0;
}

// k and v have the same positions, which need not be those of q.
static int attention_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    const struct clzi_shape q = in[0], k = in[1], v = in[2];
    (void)node;
    *out = (struct clzi_shape){ q.n, v.c, q.h, q.w };
    return q.n == k.n && q.c == k.c && k.n == v.n && k.h == v.h && k.w == v.w ? 0 : -EINVAL;
}

static int rgb_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    (void)node;
    *out = (struct clzi_shape){ in[0].n, 3, in[0].h, in[0].w };
    return in[0].c == 1 && in[1].c == 2 && in[0].n == in[1].n && in[0].h == in[1].h && in[0].w == in[1].w ? 0 : -EINVAL;
}

static int pair_loss_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    const struct clzi_shape weight = { in[0].n, 1, in[0].h, in[0].w };

    *out = (struct clzi_shape){ 1, 1, 1, 1 };
    if (!equal_shapes(in[0], in[1]) || (node->in_count == 3 && !equal_shapes(in[2], weight))) return -EINVAL;
    return node->op == CLZI_OP_CHROMA && in[0].c != 2 ? -EINVAL : 0;
}

static int annealed_mean_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    (void)node;
    *out = in[0];
    out->c = 2;
    return in[0].c == CLZK_AB_BINS ? 0 : -EINVAL;
}

static int cross_entropy_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    const struct clzi_shape ab = { in[0].n, 2, in[0].h, in[0].w }, weight = { in[0].n, 1, in[0].h, in[0].w };

    *out = (struct clzi_shape){ 1, 1, 1, 1 };
    if (in[0].c != CLZK_AB_BINS || !equal_shapes(in[1], ab)) return -EINVAL;
    return node->in_count == 3 && !equal_shapes(in[2], weight) ? -EINVAL : 0;
}

static int logit_loss_shape(const struct clzi_node *node, const struct clzi_shape *in, struct clzi_shape *out)
{
    (void)node, (void)in;
    *out = (struct clzi_shape){ 1, 1, 1, 1 };
    return 0;
}

// ---- parameters ----

static int no_params(const struct clzi_node *node, int in_channels, struct clzi_param *p)
{
    (void)node, (void)in_channels, (void)p;
    return 0;
}

static int weight_and_bias(const struct clzi_attr *a, int d0, int d1, struct clzi_param *p)
{
    p[0] = (struct clzi_param){ ".weight", 4, { d0, d1, a->k, a->k }, false };
    p[1] = (struct clzi_param){ ".bias", 1, { a->channels }, false };
    return 1 + !!a->bias;
}

static int conv_params(const struct clzi_node *node, int in_channels, struct clzi_param *p)
{
    return weight_and_bias(&node->attr, node->attr.channels, in_channels / node->attr.groups, p);
}

static int convt_params(const struct clzi_node *node, int in_channels, struct clzi_param *p)
{
    return weight_and_bias(&node->attr, in_channels, node->attr.channels, p);
}

static int norm_params(const struct clzi_node *node, int in_channels, struct clzi_param *p)
{
    static const char *const names[4] = { ".weight", ".bias", ".running_mean", ".running_var" };
    (void)node;
    for (int i = 0; i < 4; i++) {
        p[i] = (struct clzi_param){ .rank = 1, .dims = { in_channels }, .buffer = i >= 2 };
        strcpy(p[i].name, names[i]);
    }
    return 4;
}

static int linear_params(const struct clzi_node *node, int in_channels, struct clzi_param *p)
{
    p[0] = (struct clzi_param){ ".weight", 2, { node->attr.channels, in_channels }, false };
    p[1] = (struct clzi_param){ ".bias", 1, { node->attr.channels }, false };
    return 1 + !!node->attr.bias;
}

static int gain_params(const struct clzi_node *node, int in_channels, struct clzi_param *p)
{
    (void)node, (void)in_channels;
    p[0] = (struct clzi_param){ ".gamma", 1, { 1 }, false };
    return 1;
}

const struct clzi_op_info clzi_ops[CLZI_OP_COUNT] = {
    [CLZI_OP_INPUT]     = { "input",     0, 0, input_attrs,   input_shape,   no_params, false },
    [CLZI_OP_CONV]      = { "conv",      1, 2, conv_attrs,    conv_shape,    conv_params, false },
    [CLZI_OP_CONVT]     = { "convt",     1, 1, convt_attrs,   convt_shape,   convt_params, false },
    [CLZI_OP_BATCHNORM] = { "batchnorm", 1, 1, norm_attrs,    same_shape,    norm_params, false },
    [CLZI_OP_ACT]       = { "act",       1, 1, act_attrs,     same_shape,    no_params, false },
    [CLZI_OP_ADD]       = { "add",       2, 2, act_attrs,     add_shape,     no_params, false },
    [CLZI_OP_CONCAT]    = { "concat",    2, 2, no_attrs,      concat_shape,  no_params, false },
    [CLZI_OP_SHUFFLE]   = { "shuffle",   1, 1, factor_attrs,  shuffle_shape, no_params, false },
    [CLZI_OP_MAXPOOL]   = { "maxpool",   1, 1, pool_attrs,    pool_shape,    no_params, false },
    [CLZI_OP_RESIZE]    = { "resize",    1, 1, factor_attrs,  resize_shape,  no_params, false },
    [CLZI_OP_DROPOUT]   = { "dropout",   1, 1, dropout_attrs, same_shape,    no_params, false },
    [CLZI_OP_SOFTMAX]   = { "softmax",   1, 1, scale_attrs,   same_shape,    no_params, false },
    [CLZI_OP_CLAMP]     = { "clamp",     1, 1, scale_attrs,   same_shape,    no_params, false },
    [CLZI_OP_LINEAR]    = { "linear",    1, 1, linear_attrs,  linear_shape,  linear_params, false },
    [CLZI_OP_AVGPOOL]   = { "avgpool",   1, 1, pool_attrs,    pool_shape,    no_params, false },
    [CLZI_OP_GLOBALPOOL] = { "globalpool", 1, 1, no_attrs,    globalpool_shape, no_params, false },
    [CLZI_OP_AFFINE]    = { "affine",    3, 3, no_attrs,      affine_shape,  no_params, false },
    [CLZI_OP_GAIN]      = { "gain",      1, 1, no_attrs,      same_shape,    gain_params, false },
    [CLZI_OP_ATTENTION] = { "attention", 3, 3, no_attrs,      attention_shape, no_params, false },
    [CLZI_OP_ANNEALED_MEAN] = { "annealed_mean", 1, 1, scale_attrs, annealed_mean_shape, no_params, false },
    [CLZI_OP_RGB]       = { "rgb",       2, 2, no_attrs,      rgb_shape,     no_params, false },
    [CLZI_OP_L1]        = { "l1",        2, 3, no_attrs,      pair_loss_shape,  no_params, true },
    [CLZI_OP_L2]        = { "l2",        2, 3, no_attrs,      pair_loss_shape,  no_params, true },
    [CLZI_OP_CHROMA]    = { "chroma",    2, 2, no_attrs,      pair_loss_shape,  no_params, true },
    [CLZI_OP_CROSS_ENTROPY] = { "cross_entropy", 2, 3, no_attrs, cross_entropy_shape, no_params, true },
    [CLZI_OP_BCE]       = { "bce",       1, 1, target_attrs,  logit_loss_shape, no_params, true },
    [CLZI_OP_LSGAN]     = { "lsgan",     1, 1, target_attrs,  logit_loss_shape, no_params, true },
    [CLZI_OP_HINGE]     = { "hinge",     1, 1, target_attrs,  logit_loss_shape, no_params, true },
    [CLZI_OP_NEGMEAN]   = { "negmean",   1, 1, no_attrs,      logit_loss_shape, no_params, true },
};
