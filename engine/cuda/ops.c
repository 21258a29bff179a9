// ops.c - ops whose work is a kernel of our own (kernels/cuda.h): each plans what backward reads and how much scratch it needs,
// then calls the kernel. conv.c and attention.c have the others.
#include <errno.h>

#include "cuda.h"
#include "kernels/dropout.h"

#define STREAM c->dev->stream, c->dev->type

static int done(const struct clzi_call *c, int error) { return clzi_cuda_error(c->dev, error, c->node->name); }
static int64_t count(const struct clzi_call *c) { return clzi_shape_count(c->ys); }
static int64_t pixels(const struct clzi_call *c) { return clzi_cuda_pixels(c->xs[0]); }
static int64_t area(const struct clzi_call *c) { return (int64_t)c->xs[0].h * c->xs[0].w; }
static bool backward_wanted(const struct clzi_call *c) { return c->want_dw || c->want_dx[0] || c->want_dx[1] || c->want_dx[2]; }

// A copy of an activation.
static int copy(const struct clzi_call *c, void *to, const void *from, int64_t elements)
{
    return clzk_cu_cast(c->dev->stream, c->dev->type, to, c->dev->type, from, elements);
}

// ---- act ----

static int act_plan(struct clzi_call *c)
{
    c->backward_reads_y = true;
    return 0;
}

static int act_forward(struct clzi_call *c)
{
    return done(c, clzk_cu_act(STREAM, c->y, c->x[0], count(c), clzi_cuda_activation(c->node)));
}

static int act_backward(struct clzi_call *c)
{
    return c->dx[0] ? done(c, clzk_cu_act_back(STREAM, c->dx[0], c->y, c->dy, count(c), clzi_cuda_activation(c->node))) : 0;
}

const struct clzi_op clzi_cuda_act = { .plan = act_plan, .forward = act_forward, .backward = act_backward };

// ---- add ----

static int add_plan(struct clzi_call *c)
{
    c->backward_reads_y = c->node->attr.act != CLZI_ACT_NONE;
    return 0;
}

static int add_forward(struct clzi_call *c)
{
    return done(c, clzk_cu_add(STREAM, c->y, c->x[0], c->x[1], count(c), clzi_cuda_activation(c->node)));
}

static int add_backward(struct clzi_call *c)
{
    int error = 0;

    for (int k = 0; k < 2 && !error; k++) {
        if (!c->dx[k]) continue;
        if (c->node->attr.act) error = clzk_cu_act_back(STREAM, c->dx[k], c->y, c->dy, count(c), clzi_cuda_activation(c->node));
        else error = copy(c, c->dx[k], c->dy, count(c));
    }
    return done(c, error);
}

const struct clzi_op clzi_cuda_add = { .plan = add_plan, .forward = add_forward, .backward = add_backward };

// ---- concat ----

static int concat_forward(struct clzi_call *c)
{
    return done(c, clzk_cu_concat(STREAM, c->y, c->x[0], c->x[1], pixels(c), c->xs[0].c, c->xs[1].c));
}

static int concat_backward(struct clzi_call *c)
{
    return done(c, clzk_cu_split(STREAM, c->dx[0], c->dx[1], c->dy, pixels(c), c->xs[0].c, c->xs[1].c));
}

const struct clzi_op clzi_cuda_concat = { .forward = concat_forward, .backward = concat_backward };

// ---- shuffle, resize ----

static int shuffle_forward(struct clzi_call *c)
{
    const struct clzi_shape x = c->xs[0];
    return done(c, clzk_cu_shuffle(STREAM, c->y, c->x[0], x.n, x.h, x.w, c->ys.c, c->node->attr.factor));
}

static int shuffle_backward(struct clzi_call *c)
{
    const struct clzi_shape x = c->xs[0];
    return c->dx[0] ? done(c, clzk_cu_shuffle_back(STREAM, c->dx[0], c->dy, x.n, x.h, x.w, c->ys.c, c->node->attr.factor)) : 0;
}

const struct clzi_op clzi_cuda_shuffle = { .forward = shuffle_forward, .backward = shuffle_backward };

static int resize_forward(struct clzi_call *c)
{
    const struct clzi_shape x = c->xs[0];
    return done(c, clzk_cu_resize(STREAM, c->y, c->x[0], x.n, x.h, x.w, x.c, c->node->attr.factor));
}

static int resize_backward(struct clzi_call *c)
{
    const struct clzi_shape x = c->xs[0];
    return c->dx[0] ? done(c, clzk_cu_resize_back(STREAM, c->dx[0], c->dy, x.n, x.h, x.w, x.c, c->node->attr.factor)) : 0;
}

const struct clzi_op clzi_cuda_resize = { .forward = resize_forward, .backward = resize_backward };

// ---- pools ----

static struct clzk_pool pool(const struct clzi_call *c)
{
    const struct clzi_attr *a = &c->node->attr;
    return (struct clzk_pool){ c->xs[0].c, c->xs[0].h, c->xs[0].w, c->ys.h, c->ys.w, a->k, a->stride, a->pad };
}

static int maxpool_plan(struct clzi_call *c)
{
    if (c->node->attr.k > 15) return -ENOTSUP;      // the place in a window is one byte
    c->saved_size = c->want_dx[0] ? (size_t)count(c) : 0;
    return 0;
}

static int maxpool_forward(struct clzi_call *c)
{
    const struct clzk_pool p = pool(c);
    return done(c, clzk_cu_maxpool(STREAM, c->y, c->saved, c->x[0], c->ys.n, &p));
}

static int maxpool_backward(struct clzi_call *c)
{
    const struct clzk_pool p = pool(c);
    return c->dx[0] ? done(c, clzk_cu_maxpool_back(STREAM, c->dx[0], c->saved, c->dy, c->ys.n, &p)) : 0;
}

const struct clzi_op clzi_cuda_maxpool = { .plan = maxpool_plan, .forward = maxpool_forward, .backward = maxpool_backward };

static int avgpool_forward(struct clzi_call *c)
{
    const struct clzk_pool p = pool(c);
    return done(c, clzk_cu_avgpool(STREAM, c->y, c->x[0], c->ys.n, &p));
}

static int avgpool_backward(struct clzi_call *c)
{
    const struct clzk_pool p = pool(c);
    return c->dx[0] ? done(c, clzk_cu_avgpool_back(STREAM, c->dx[0], c->dy, c->ys.n, &p)) : 0;
}

const struct clzi_op clzi_cuda_avgpool = { .forward = avgpool_forward, .backward = avgpool_backward };

static int globalpool_plan(struct clzi_call *c)
{
    c->scratch_size = clzk_cu_sums_size(c->xs[0].n, area(c), c->xs[0].c);
    return 0;
}

static int globalpool_forward(struct clzi_call *c)
{
    return done(c, clzk_cu_globalpool(STREAM, c->y, c->x[0], c->xs[0].n, area(c), c->xs[0].c, c->scratch));
}

static int globalpool_backward(struct clzi_call *c)
{
    return c->dx[0] ? done(c, clzk_cu_globalpool_back(STREAM, c->dx[0], c->dy, c->xs[0].n, area(c), c->xs[0].c)) : 0;
}

const struct clzi_op clzi_cuda_globalpool = {
    .plan = globalpool_plan, .forward = globalpool_forward, .backward = globalpool_backward,
};

// ---- batch norm ----

static struct clzk_cu_norm norm(const struct clzi_call *c)
{
    const struct clzi_attr *a = &c->node->attr;
    return (struct clzk_cu_norm){ pixels(c), c->ys.c, a->eps, a->momentum, c->training, clzi_cuda_activation(c->node) };
}

static int norm_plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    c->saved_size = 2 * (size_t)c->ys.c * sizeof(float);
    c->scratch_size = clzk_cu_sums_size(1, pixels(c), c->ys.c);
    return 0;
}

static int norm_forward(struct clzi_call *c)
{
    const struct clzk_cu_norm p = norm(c);
    return done(c, clzk_cu_norm(STREAM, c->y, c->x[0], c->w[0], c->w[1], c->w[2], c->w[3], c->saved, &p, c->scratch));
}

static int norm_backward(struct clzi_call *c)
{
    const struct clzk_cu_norm p = norm(c);
    return done(c, clzk_cu_norm_back(STREAM, c->dx[0], c->dw[0], c->dw[1], c->dy, c->x[0], c->w[0], c->w[1], c->saved, &p,
                                     c->scratch));
}

const struct clzi_op clzi_cuda_batchnorm = { .plan = norm_plan, .forward = norm_forward, .backward = norm_backward };

// ---- dropout ----

static int dropout(struct clzi_call *c, void *y, const void *x)
{
    if (!c->training) return done(c, copy(c, y, x, count(c)));
    return done(c, clzk_cu_dropout(STREAM, y, x, c->ys.n, area(c), c->ys.c, c->node->attr.p, c->seed,
                                   clzk_dropout_stream(c->node->name)));
}

static int dropout_forward(struct clzi_call *c) { return dropout(c, c->y, c->x[0]); }
static int dropout_backward(struct clzi_call *c) { return c->dx[0] ? dropout(c, c->dx[0], c->dy) : 0; }
const struct clzi_op clzi_cuda_dropout = { .forward = dropout_forward, .backward = dropout_backward };

// ---- softmax over channels, clamp ----

static int softmax_plan(struct clzi_call *c)
{
    c->backward_reads_y = true;
    return 0;
}

static int softmax_forward(struct clzi_call *c)
{
    return done(c, clzk_cu_softmax(STREAM, c->y, c->x[0], pixels(c), c->ys.c, c->node->attr.scale));
}

static int softmax_backward(struct clzi_call *c)
{
    return c->dx[0] ? done(c, clzk_cu_softmax_back(STREAM, c->dx[0], c->y, c->dy, pixels(c), c->ys.c, c->node->attr.scale)) : 0;
}

const struct clzi_op clzi_cuda_softmax = { .plan = softmax_plan, .forward = softmax_forward, .backward = softmax_backward };

static int clamp_plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    return 0;
}

static int clamp_forward(struct clzi_call *c)
{
    return done(c, clzk_cu_clamp(STREAM, c->y, c->x[0], count(c), c->node->attr.scale));
}

static int clamp_backward(struct clzi_call *c)
{
    return c->dx[0] ? done(c, clzk_cu_clamp_back(STREAM, c->dx[0], c->x[0], c->dy, count(c), c->node->attr.scale)) : 0;
}

const struct clzi_op clzi_cuda_clamp = { .plan = clamp_plan, .forward = clamp_forward, .backward = clamp_backward };

// ---- affine (FiLM), gain ----

static int affine_plan(struct clzi_call *c)
{
    c->backward_reads_x = true;                     // x[1], the scale, too
    c->scratch_size = backward_wanted(c) ? clzk_cu_sums_size(c->xs[0].n, area(c), c->xs[0].c) : 0;
    return 0;
}

static int affine_forward(struct clzi_call *c)
{
    return done(c, clzk_cu_affine(STREAM, c->y, c->x[0], c->x[1], c->x[2], c->xs[0].n, area(c), c->xs[0].c));
}

static int affine_backward(struct clzi_call *c)
{
    return done(c, clzk_cu_affine_back(STREAM, c->dx[0], c->dx[1], c->dx[2], c->dy, c->x[0], c->x[1], c->xs[0].n, area(c),
                                       c->xs[0].c, c->scratch));
}

const struct clzi_op clzi_cuda_affine = { .plan = affine_plan, .forward = affine_forward, .backward = affine_backward };

static int gain_plan(struct clzi_call *c)
{
    c->backward_reads_x = c->want_dw;
    c->scratch_size = c->want_dw ? CLZK_CU_SCALAR_WORK : 0;
    return 0;
}

static int gain_forward(struct clzi_call *c) { return done(c, clzk_cu_gain(STREAM, c->y, c->x[0], count(c), c->w[0])); }

static int gain_backward(struct clzi_call *c)
{
    return done(c, clzk_cu_gain_back(STREAM, c->dx[0], c->dw[0], c->dy, c->x[0], count(c), c->w[0], c->scratch));
}

const struct clzi_op clzi_cuda_gain = { .plan = gain_plan, .forward = gain_forward, .backward = gain_backward };

// ---- losses ----

static struct clzk_loss loss_of(const struct clzi_node *node)
{
    static const enum clzk_loss_kind kinds[CLZI_OP_COUNT] = {
        [CLZI_OP_L1] = CLZK_LOSS_L1, [CLZI_OP_L2] = CLZK_LOSS_L2, [CLZI_OP_BCE] = CLZK_LOSS_BCE, [CLZI_OP_LSGAN] = CLZK_LOSS_L2,
        [CLZI_OP_HINGE] = CLZK_LOSS_HINGE, [CLZI_OP_NEGMEAN] = CLZK_LOSS_NEGMEAN,
    };
    return (struct clzk_loss){ kinds[node->op], node->attr.target };
}

static const void *input(const struct clzi_call *c, int k) { return c->node->in_count > k ? c->x[k] : NULL; }

static int loss_plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    c->scratch_size = CLZK_CU_SCALAR_WORK;
    return 0;
}

static int loss_forward(struct clzi_call *c)
{
    return done(c, clzk_cu_loss(STREAM, c->y, c->x[0], input(c, 1), input(c, 2), pixels(c), c->xs[0].c, loss_of(c->node),
                                c->scratch));
}

static int loss_backward(struct clzi_call *c)
{
    if (!c->dx[0]) return 0;
    return done(c, clzk_cu_loss_back(STREAM, c->dx[0], c->dy, c->x[0], input(c, 1), input(c, 2), pixels(c), c->xs[0].c,
                                     loss_of(c->node)));
}

const struct clzi_op clzi_cuda_loss = { .plan = loss_plan, .forward = loss_forward, .backward = loss_backward };

static int chroma_plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    c->saved_size = (size_t)c->xs[0].n * sizeof(float);
    c->scratch_size = clzk_cu_sums_size(c->xs[0].n, area(c), 2);
    return 0;
}

static int chroma_forward(struct clzi_call *c)
{
    return done(c, clzk_cu_chroma(STREAM, c->y, c->saved, c->x[0], c->x[1], c->xs[0].n, area(c), (float)CLZI_CHROMA_EPS,
                                  c->scratch));
}

static int chroma_backward(struct clzi_call *c)
{
    if (!c->dx[0]) return 0;
    return done(c, clzk_cu_chroma_back(STREAM, c->dx[0], c->dy, c->saved, c->x[0], c->xs[0].n, area(c), (float)CLZI_CHROMA_EPS));
}

const struct clzi_op clzi_cuda_chroma = { .plan = chroma_plan, .forward = chroma_forward, .backward = chroma_backward };

// ---- the picture in sRGB ----

static int rgb_plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    return 0;
}

static int rgb_forward(struct clzi_call *c) { return done(c, clzk_cu_rgb(STREAM, c->y, c->x[0], c->x[1], pixels(c))); }

static int rgb_backward(struct clzi_call *c)
{
    return done(c, clzk_cu_rgb_back(STREAM, c->dx[0], c->dx[1], c->x[0], c->x[1], c->dy, pixels(c)));
}

const struct clzi_op clzi_cuda_rgb = { .plan = rgb_plan, .forward = rgb_forward, .backward = rgb_backward };

// ---- logits of the classes of colour ----

static int mean_plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    return 0;
}

static int mean_forward(struct clzi_call *c)
{
    return done(c, clzk_cu_annealed_mean(STREAM, c->y, c->x[0], pixels(c), c->node->attr.scale));
}

static int mean_backward(struct clzi_call *c)
{
    if (!c->dx[0]) return 0;
    return done(c, clzk_cu_annealed_mean_back(STREAM, c->dx[0], c->x[0], c->dy, pixels(c), c->node->attr.scale));
}

const struct clzi_op clzi_cuda_annealed_mean = { .plan = mean_plan, .forward = mean_forward, .backward = mean_backward };

static int entropy_plan(struct clzi_call *c)
{
    c->backward_reads_x = true;
    c->scratch_size = CLZK_CU_SCALAR_WORK + (size_t)pixels(c) * sizeof(float);
    return 0;
}

static int entropy_forward(struct clzi_call *c)
{
    return done(c, clzk_cu_cross_entropy(STREAM, c->y, c->x[0], c->x[1], input(c, 2), pixels(c), c->scratch));
}

static int entropy_backward(struct clzi_call *c)
{
    if (!c->dx[0]) return 0;
    return done(c, clzk_cu_cross_entropy_back(STREAM, c->dx[0], c->dy, c->x[0], c->x[1], input(c, 2), pixels(c)));
}

const struct clzi_op clzi_cuda_cross_entropy = { .plan = entropy_plan, .forward = entropy_forward, .backward = entropy_backward };
