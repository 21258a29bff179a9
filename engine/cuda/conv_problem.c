// conv_problem.c - which convolution of cuDNN a node's forward pass and its gradients are. The test that looks for engines
// without a GPU asks too.
#include "cuda.h"

bool clzi_cuda_is_depthwise(const struct clzi_node *node, const struct clzi_shape *xs, struct clzi_shape ys)
{
    const int groups = node->attr.groups;

    return node->op == CLZI_OP_CONV && groups > 1 && groups == xs[0].c && groups == ys.c;
}

// Precompiled engines have bias, residual and relu. With another activation cuDNN 9.19 offers only engines that it compiles at
// run time, 0.5 s each, so the others are a pass of our own; for a convt it has no others at all.
bool clzi_cuda_is_fusible(const struct clzi_node *node)
{
    return node->op != CLZI_OP_CONVT;
}

bool clzi_cuda_conv_problem(const struct clzi_node *node, const struct clzi_shape *xs, struct clzi_shape ys, enum clzk_type type,
                            enum clzi_cuda_pass pass, struct clzi_dnn_conv_params *problem)
{
    const struct clzi_attr *a = &node->attr;
    const bool transposed = node->op == CLZI_OP_CONVT, linear = node->op == CLZI_OP_LINEAR;

    if ((node->op != CLZI_OP_CONV && !transposed && !linear) || clzi_cuda_is_depthwise(node, xs, ys)) return false;
    *problem = (struct clzi_dnn_conv_params){
        .type = type, .x = transposed ? ys : xs[0], .y = transposed ? xs[0] : ys, .k = linear ? 1 : a->k,
        .stride = linear ? 1 : a->stride, .pad = linear ? 0 : a->pad, .pad_extra = node->op == CLZI_OP_CONV ? a->pad_extra : 0,
        .groups = node->op == CLZI_OP_CONV ? a->groups : 1,
        .kind = pass == CLZI_CUDA_WEIGHT_GRADIENT ? CLZI_DNN_WEIGHTS :
                (pass == CLZI_CUDA_FORWARD) != transposed ? CLZI_DNN_FORWARD : CLZI_DNN_DATA,
    };
    if (problem->groups < 1) problem->groups = 1;
    if (pass == CLZI_CUDA_FORWARD && clzi_cuda_is_fusible(node)) {
        problem->residual = node->in_count == 2;
        if (a->act == CLZI_ACT_RELU) problem->act = a->act;
        problem->bias = a->bias || problem->residual || problem->act;  // there are no engines for these without a bias: zeros
    }
    return true;
}
