// dnnl_shim.c - one interface to oneDNN 2.6 (Debian 12) and 3.x. The two differ in how descriptors are made: version 2 fills
// structs with *_desc_init; version 3 has opaque objects and one function for each kind of primitive descriptor. The first half
// of this file contains the functions that differ.
#include <errno.h>
#include <string.h>

#include "dnnl_shim.h"

struct conv_descs {
    dnnl_memory_desc_t src, weights, bias, dst;
    dnnl_dims_t stride, pad_l, pad_r;
    bool has_bias;
};

struct blocking {                           // the properties of a blocked layout
    const dnnl_dim_t *dims, *padded_dims, *strides, *sizes, *indices;
    int count;
};

#if DNNL_VERSION_MAJOR >= 3

typedef const_dnnl_memory_desc_t desc_ref;
static desc_ref ref(const dnnl_memory_desc_t *d) { return *d; }

static dnnl_status_t desc_create(dnnl_memory_desc_t *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                                 dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_create_with_tag(d, rank, dims, type, tag);
}

static void desc_destroy(dnnl_memory_desc_t *d)
{
    if (*d) dnnl_memory_desc_destroy(*d);
    *d = NULL;
}

static dnnl_status_t conv_desc_create(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, enum clzi_dnnl_direction direction,
                                      bool keep, const struct conv_descs *d, const_dnnl_primitive_attr_t attr,
                                      const_dnnl_primitive_desc_t forward)
{
    const dnnl_alg_kind_t direct = dnnl_convolution_direct;
    const dnnl_dims_t dilation = { 0 };
    const desc_ref bias = d->has_bias ? d->bias : NULL;
    switch (direction) {
    case CLZI_DNNL_FORWARD:
        return dnnl_convolution_forward_primitive_desc_create(pd, engine, keep ? dnnl_forward_training : dnnl_forward_inference,
                                                              direct, d->src, d->weights, bias, d->dst, d->stride, dilation,
                                                              d->pad_l, d->pad_r, attr);
    case CLZI_DNNL_BACKWARD_DATA:
        return dnnl_convolution_backward_data_primitive_desc_create(pd, engine, direct, d->src, d->weights, d->dst, d->stride,
                                                                    dilation, d->pad_l, d->pad_r, forward, attr);
    case CLZI_DNNL_BACKWARD_WEIGHTS:
        break;
    }
    return dnnl_convolution_backward_weights_primitive_desc_create(pd, engine, direct, d->src, d->weights, bias, d->dst,
                                                                   d->stride, dilation, d->pad_l, d->pad_r, forward, attr);
}

static dnnl_status_t append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha, float beta)
{
    return dnnl_post_ops_append_eltwise(ops, kind, alpha, beta);
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1, 0, dnnl_data_type_undef);
}

static bool blocking_of(desc_ref d, struct blocking *b)
{
    dnnl_format_kind_t kind;
    const dnnl_dims_t *dims, *padded, *strides, *sizes, *indices;
    if (dnnl_memory_desc_query(d, dnnl_query_format_kind, &kind) || kind != dnnl_blocked ||
        dnnl_memory_desc_query(d, dnnl_query_dims, &dims) || dnnl_memory_desc_query(d, dnnl_query_padded_dims, &padded) ||
        dnnl_memory_desc_query(d, dnnl_query_strides, &strides) ||
        dnnl_memory_desc_query(d, dnnl_query_inner_nblks_s32, &b->count) ||
        dnnl_memory_desc_query(d, dnnl_query_inner_blks, &sizes) || dnnl_memory_desc_query(d, dnnl_query_inner_idxs, &indices))
        return false;
    b->dims = *dims;
    b->padded_dims = *padded;
    b->strides = *strides;
    b->sizes = *sizes;
    b->indices = *indices;
    return true;
}

#else

typedef const dnnl_memory_desc_t *desc_ref;
static desc_ref ref(const dnnl_memory_desc_t *d) { return d; }

static dnnl_status_t desc_create(dnnl_memory_desc_t *d, int rank, const dnnl_dims_t dims, dnnl_data_type_t type,
                                 dnnl_format_tag_t tag)
{
    return dnnl_memory_desc_init_by_tag(d, rank, dims, type, tag);
}

static void desc_destroy(dnnl_memory_desc_t *d)
{
    (void)d;
}

static dnnl_status_t conv_desc_create(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, enum clzi_dnnl_direction direction,
                                      bool keep, const struct conv_descs *d, const_dnnl_primitive_attr_t attr,
                                      const_dnnl_primitive_desc_t forward)
{
    const dnnl_alg_kind_t direct = dnnl_convolution_direct;
    const desc_ref bias = d->has_bias ? &d->bias : NULL;
    dnnl_convolution_desc_t op;
    dnnl_status_t ret = dnnl_unimplemented;
    switch (direction) {
    case CLZI_DNNL_FORWARD:
        ret = dnnl_convolution_forward_desc_init(&op, keep ? dnnl_forward_training : dnnl_forward_inference, direct, &d->src,
                                                 &d->weights, bias, &d->dst, d->stride, d->pad_l, d->pad_r);
        break;
    case CLZI_DNNL_BACKWARD_DATA:
        ret = dnnl_convolution_backward_data_desc_init(&op, direct, &d->src, &d->weights, &d->dst, d->stride, d->pad_l,
                                                       d->pad_r);
        break;
    case CLZI_DNNL_BACKWARD_WEIGHTS:
        ret = dnnl_convolution_backward_weights_desc_init(&op, direct, &d->src, &d->weights, bias, &d->dst, d->stride,
                                                          d->pad_l, d->pad_r);
        break;
    }
    return ret ? ret : dnnl_primitive_desc_create(pd, &op, attr, engine, forward);
}

static dnnl_status_t append_eltwise(dnnl_post_ops_t ops, dnnl_alg_kind_t kind, float alpha, float beta)
{
    return dnnl_post_ops_append_eltwise(ops, 1, kind, alpha, beta);
}

static dnnl_status_t append_sum(dnnl_post_ops_t ops)
{
    return dnnl_post_ops_append_sum(ops, 1);
}

static bool blocking_of(desc_ref d, struct blocking *b)
{
    const dnnl_blocking_desc_t *blocks = &d->format_desc.blocking;
    if (d->format_kind != dnnl_blocked || d->extra.flags || d->offset0) return false;
    *b = (struct blocking){ d->dims, d->padded_dims, blocks->strides, blocks->inner_blks, blocks->inner_idxs,
                            blocks->inner_nblks };
    return true;
}

#endif

// ---- common to both versions ----

static int errno_from(dnnl_status_t status)
{
    return status == dnnl_success ? 0 : status == dnnl_out_of_memory ? -ENOMEM : status == dnnl_unimplemented ? -ENOTSUP : -EIO;
}

int clzi_dnnl_open(struct clzi_dnnl *d)
{
    dnnl_status_t ret = dnnl_engine_create(&d->engine, dnnl_cpu, 0);
    if (!ret) ret = dnnl_stream_create(&d->stream, d->engine, dnnl_stream_default_flags);
    if (ret) clzi_dnnl_close(d);
    return errno_from(ret);
}

void clzi_dnnl_close(struct clzi_dnnl *d)
{
    if (d->stream) dnnl_stream_destroy(d->stream);
    if (d->engine) dnnl_engine_destroy(d->engine);
    *d = (struct clzi_dnnl){ 0 };
}

// By enum clzi_dnnl_isa. oneDNN's numbers are bit masks: a larger instruction set contains the bits of the smaller ones.
static const struct { unsigned mask; const char *name; } isas[] = {
    [CLZI_DNNL_PLAIN] = { 0, "plain C" },
    [CLZI_DNNL_SSE41] = { dnnl_cpu_isa_sse41, "SSE4.1" },
    [CLZI_DNNL_AVX2] = { dnnl_cpu_isa_avx2, "AVX2" },
    [CLZI_DNNL_AVX512] = { dnnl_cpu_isa_avx512_core, "AVX-512" },
    [CLZI_DNNL_AVX512_BF16] = { dnnl_cpu_isa_avx512_core_bf16, "AVX-512 bf16" },
    [CLZI_DNNL_AMX] = { dnnl_cpu_isa_avx512_core_amx, "AMX" },
};

enum clzi_dnnl_isa clzi_dnnl_isa(void)
{
    const unsigned mask = dnnl_get_effective_cpu_isa();
    int isa = CLZI_DNNL_AMX;

    while ((mask & isas[isa].mask) != isas[isa].mask) isa--;
    return (enum clzi_dnnl_isa)isa;
}

const char *clzi_dnnl_isa_name(enum clzi_dnnl_isa isa) { return isas[isa].name; }

// The memory object owns no memory: its pointer (oneDNN: handle) is set before each execution.
static dnnl_status_t memory_create(dnnl_memory_t *m, desc_ref desc, struct clzi_dnnl *d)
{
    return dnnl_memory_create(m, desc, d->engine, DNNL_MEMORY_NONE);
}

static dnnl_status_t attr_create(dnnl_primitive_attr_t *attr, const struct clzi_dnnl_conv_params *p)
{
    dnnl_post_ops_t ops = NULL;
    dnnl_status_t ret = dnnl_primitive_attr_create(attr);
    if (!ret) ret = dnnl_primitive_attr_set_scratchpad_mode(*attr, dnnl_scratchpad_mode_user);
    if (ret || !p->act) return ret;
    ret = dnnl_post_ops_create(&ops);
    if (!ret && p->act == CLZI_ACT_RELU6) ret = append_eltwise(ops, dnnl_eltwise_clip, 0, 6);
    else if (!ret) ret = append_eltwise(ops, dnnl_eltwise_relu, p->act == CLZI_ACT_LEAKY ? p->slope : 0, 0);
    if (!ret) ret = dnnl_primitive_attr_set_post_ops(*attr, ops);
    if (ops) dnnl_post_ops_destroy(ops);
    return ret;
}

// oneDNN's argument number and descriptor query for each pointer, by direction.
enum { SRC, WEIGHTS, BIAS, DST, SCRATCH, ARGS };
static const struct { int arg; dnnl_query_t query; } args[3][4] = {
    [CLZI_DNNL_FORWARD] = { { DNNL_ARG_SRC, dnnl_query_src_md }, { DNNL_ARG_WEIGHTS, dnnl_query_weights_md },
                            { DNNL_ARG_BIAS, dnnl_query_weights_md }, { DNNL_ARG_DST, dnnl_query_dst_md } },
    [CLZI_DNNL_BACKWARD_DATA] = { { DNNL_ARG_DIFF_SRC, dnnl_query_diff_src_md }, { DNNL_ARG_WEIGHTS, dnnl_query_weights_md },
                                  { 0, dnnl_query_undef }, { DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md } },
    [CLZI_DNNL_BACKWARD_WEIGHTS] = { { DNNL_ARG_SRC, dnnl_query_src_md }, { DNNL_ARG_DIFF_WEIGHTS, dnnl_query_diff_weights_md },
                                     { DNNL_ARG_DIFF_BIAS, dnnl_query_diff_weights_md },
                                     { DNNL_ARG_DIFF_DST, dnnl_query_diff_dst_md } },
};

// [O][I][k][k], or [groups][O / groups][I / groups][k][k].
struct weights_dims { int rank; dnnl_dims_t d; };
static struct weights_dims weights_dims(const struct clzi_dnnl_conv_params *p)
{
    const int g = p->groups, o = p->dst.c / g, i = p->src.c / g;

    return g == 1 ? (struct weights_dims){ 4, { o, i, p->k, p->k } } : (struct weights_dims){ 5, { g, o, i, p->k, p->k } };
}

static dnnl_status_t descs_create(struct conv_descs *s, const struct clzi_dnnl_conv_params *p)
{
    const struct clzi_shape x = p->src, y = p->dst;
    const dnnl_dims_t src = { x.n, x.c, x.h, x.w }, dst = { y.n, y.c, y.h, y.w };
    struct weights_dims weights = weights_dims(p);
    const dnnl_dims_t bias = { y.c };
    const dnnl_data_type_t type = p->bf16 ? dnnl_bf16 : dnnl_f32;
    dnnl_status_t ret;

    s->has_bias = p->bias && p->direction != CLZI_DNNL_BACKWARD_DATA;
    for (int i = 0; i < 2; i++) {
        s->stride[i] = p->stride;
        s->pad_l[i] = p->pad;
        s->pad_r[i] = (dst[2 + i] - 1) * p->stride + p->k - src[2 + i] - p->pad;    // negative: rows that are never read
    }
    // nhwc also for one channel, although nchw is the same order in memory: for nchw oneDNN takes its slow reference kernel.
    (void)((ret = desc_create(&s->src, 4, src, type, dnnl_nhwc)) || (ret = desc_create(&s->dst, 4, dst, type, dnnl_nhwc)) ||
           (ret = desc_create(&s->weights, weights.rank, weights.d, p->direction == CLZI_DNNL_BACKWARD_WEIGHTS ? dnnl_f32 : type,
                              dnnl_format_tag_any)) ||
           (ret = desc_create(&s->bias, 1, bias, dnnl_f32, dnnl_x)));
    return ret;
}

int clzi_dnnl_conv_create(struct clzi_dnnl_conv *c, struct clzi_dnnl *d, const struct clzi_dnnl_conv_params *p,
                          const struct clzi_dnnl_conv *forward)
{
    struct conv_descs s = { 0 };
    dnnl_primitive_attr_t attr = NULL;
    dnnl_status_t ret;

    *c = (struct clzi_dnnl_conv){ .groups = p->groups };
    if ((ret = descs_create(&s, p)) || (ret = attr_create(&attr, p)) ||
        (ret = conv_desc_create(&c->pd, d->engine, p->direction, p->keep, &s, attr, forward ? forward->pd : NULL)) ||
        (ret = dnnl_primitive_create(&c->primitive, c->pd)))
        goto end;
    for (int i = 0; i < ARGS; i++) {
        const desc_ref desc = i == SCRATCH ? dnnl_primitive_desc_query_md(c->pd, dnnl_query_scratchpad_md, 0) :
                                             dnnl_primitive_desc_query_md(c->pd, args[p->direction][i].query, i == BIAS);
        if (i == BIAS && !s.has_bias) continue;
        if (i == SCRATCH) c->scratch_size = dnnl_memory_desc_get_size(desc);
        if (i == WEIGHTS) c->weights_size = dnnl_memory_desc_get_size(desc);
        if (i == SCRATCH && !c->scratch_size) continue;
        if ((ret = memory_create(&c->memory[i], desc, d))) goto end;
        c->arg[c->arg_count++] = (dnnl_exec_arg_t){ i == SCRATCH ? DNNL_ARG_SCRATCHPAD : args[p->direction][i].arg,
                                                    c->memory[i] };
    }
    ret = dnnl_primitive_desc_query(c->pd, dnnl_query_impl_info_str, 0, &c->implementation);
end:
    if (attr) dnnl_primitive_attr_destroy(attr);
    desc_destroy(&s.src);
    desc_destroy(&s.weights);
    desc_destroy(&s.bias);
    desc_destroy(&s.dst);
    if (ret) clzi_dnnl_conv_destroy(c);
    return errno_from(ret);
}

void clzi_dnnl_conv_destroy(struct clzi_dnnl_conv *c)
{
    for (int i = 0; i < ARGS; i++)
        if (c->memory[i]) dnnl_memory_destroy(c->memory[i]);
    if (c->primitive) dnnl_primitive_destroy(c->primitive);
    if (c->pd) dnnl_primitive_desc_destroy(c->pd);
    *c = (struct clzi_dnnl_conv){ 0 };
}

// Version 2 zeroes the padding of padded layouts whenever a handle changes. That costs nothing here: only packed weights are
// padded, and their address stays the same.
int clzi_dnnl_conv_run(struct clzi_dnnl_conv *c, struct clzi_dnnl *d, const struct clzi_dnnl_conv_data *data)
{
    const void *const pointer[ARGS] = { [SRC] = data->src, [WEIGHTS] = data->weights, [BIAS] = data->bias, [DST] = data->dst,
                                        [SCRATCH] = data->scratch };
    dnnl_status_t ret = dnnl_success;
    for (int i = 0; i < ARGS && !ret; i++)
        if (c->memory[i]) ret = dnnl_memory_set_data_handle(c->memory[i], (void *)pointer[i]);
    if (!ret) ret = dnnl_primitive_execute(c->primitive, d->stream, c->arg_count, c->arg);
    return errno_from(ret ? ret : dnnl_stream_wait(d->stream));
}

int clzi_dnnl_pack_create(struct clzi_dnnl_pack *p, struct clzi_dnnl *d, const struct clzi_dnnl_conv *conv,
                          const struct clzi_dnnl_conv_params *params)
{
    const struct weights_dims dims = weights_dims(params);
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t ops = NULL;
    dnnl_memory_desc_t dense = { 0 };
    desc_ref packed, scratch;
    dnnl_status_t ret;

    *p = (struct clzi_dnnl_pack){ .unpacks = params->direction == CLZI_DNNL_BACKWARD_WEIGHTS };
    packed = dnnl_primitive_desc_query_md(conv->pd, args[params->direction][WEIGHTS].query, 0);
    if ((ret = desc_create(&dense, dims.rank, dims.d, dnnl_f32, dims.rank == 5 ? dnnl_goihw : dnnl_oihw)) ||
        (ret = dnnl_primitive_attr_create(&attr)) ||
        (ret = dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user)) || (ret = dnnl_post_ops_create(&ops)))
        goto end;
    if (p->unpacks && ((ret = append_sum(ops)) || (ret = dnnl_primitive_attr_set_post_ops(attr, ops)))) goto end;
    ret = dnnl_reorder_primitive_desc_create(&p->pd, p->unpacks ? packed : ref(&dense), d->engine,
                                             p->unpacks ? ref(&dense) : packed, d->engine, attr);
    if (ret || (ret = dnnl_primitive_create(&p->primitive, p->pd))) goto end;
    scratch = dnnl_primitive_desc_query_md(p->pd, dnnl_query_scratchpad_md, 0);
    p->scratch_size = dnnl_memory_desc_get_size(scratch);
    (void)((ret = memory_create(&p->memory[0], ref(&dense), d)) || (ret = memory_create(&p->memory[1], packed, d)) ||
           (ret = memory_create(&p->memory[2], scratch, d)));
end:
    if (ops) dnnl_post_ops_destroy(ops);
    if (attr) dnnl_primitive_attr_destroy(attr);
    desc_destroy(&dense);
    if (ret) clzi_dnnl_pack_destroy(p);
    return errno_from(ret);
}

void clzi_dnnl_pack_destroy(struct clzi_dnnl_pack *p)
{
    for (int i = 0; i < 3; i++)
        if (p->memory[i]) dnnl_memory_destroy(p->memory[i]);
    if (p->primitive) dnnl_primitive_destroy(p->primitive);
    if (p->pd) dnnl_primitive_desc_destroy(p->pd);
    *p = (struct clzi_dnnl_pack){ 0 };
}

int clzi_dnnl_pack_run(struct clzi_dnnl_pack *p, struct clzi_dnnl *d, const float *dense, const void *packed, void *scratch)
{
    const dnnl_exec_arg_t arg[] = { { DNNL_ARG_FROM, p->memory[p->unpacks] }, { DNNL_ARG_TO, p->memory[!p->unpacks] },
                                    { DNNL_ARG_SCRATCHPAD, p->memory[2] } };
    dnnl_status_t ret;
    (void)((ret = dnnl_memory_set_data_handle(p->memory[0], (void *)dense)) ||
           (ret = dnnl_memory_set_data_handle(p->memory[1], (void *)packed)) ||
           (ret = dnnl_memory_set_data_handle(p->memory[2], scratch)) ||
           (ret = dnnl_primitive_execute(p->primitive, d->stream, 2 + !!p->scratch_size, arg)) ||
           (ret = dnnl_stream_wait(d->stream)));
    return errno_from(ret);
}

bool clzi_dnnl_same_weights(const struct clzi_dnnl_conv *a, const struct clzi_dnnl_conv *b)
{
    return dnnl_memory_desc_equal(dnnl_primitive_desc_query_md(a->pd, dnnl_query_weights_md, 0),
                                  dnnl_primitive_desc_query_md(b->pd, dnnl_query_weights_md, 0));
}

bool clzi_dnnl_weights_layout(const struct clzi_dnnl_conv *conv, enum clzi_dnnl_direction direction,
                              struct clzi_dnnl_layout *layout)
{
    struct blocking b;

    if (conv->groups != 1 || !blocking_of(dnnl_primitive_desc_query_md(conv->pd, args[direction][WEIGHTS].query, 0), &b) ||
        b.count > 6) return false;
    *layout = (struct clzi_dnnl_layout){ .block = { 1, 1 }, .inner = b.count };
    for (int i = 0; i < 4; i++) {
        if (b.dims[i] != b.padded_dims[i]) return false;
        layout->stride[i] = b.strides[i];
    }
    for (int i = 0; i < b.count; i++) {
        if (b.indices[i] > 1) return false;
        layout->inner_size[i] = (int)b.sizes[i];
        layout->inner_dim[i] = (int)b.indices[i];
        layout->block[b.indices[i]] *= (int)b.sizes[i];
    }
    return true;
}
