// pack.c - copies weights from dense [out][in][k][k] into the layout of a convolution, and adds gradients of weights back. A
// training step does this to all weights three times; oneDNN's reorders take 0.35 to 0.5 ms for 256x256x3x3 on two cores. Here
// each inner block of the layout is one gather through a table of indices, with source and destination in the L1 cache. Padded
// layouts are left to oneDNN.
#include <errno.h>
#include <stdlib.h>

#include "cpu.h"

// The part that o (dim 0) or i (dim 1) contributes to an element's offset in the inner block: the sum of digit times step.
static int inner_offset(const struct clzi_dnnl_layout *l, int dim, int value)
{
    int offset = 0, step = 1;
    for (int i = l->inner - 1; i >= 0; i--) {
        if (l->inner_dim[i] == dim) {
            offset += value % l->inner_size[i] * step;
            value /= l->inner_size[i];
        }
        step *= l->inner_size[i];
    }
    return offset;
}

static int64_t pixel_offset(const struct clzi_cpu_pack *p, int pixel)
{
    return pixel / p->k * p->layout.stride[2] + pixel % p->k * p->layout.stride[3];
}

// Where each element is read from. Packing: index[offset in the inner block] = offset in dense, from the block's first element.
// Unpacking: index[i * area + pixel] = offset in packed, from the element (o, 0) of the block.
static void make_index(struct clzi_cpu_pack *p)
{
    const struct clzi_dnnl_layout *l = &p->layout;
    for (int o = 0; o < l->block[0] && !p->unpacks; o++)
        for (int i = 0; i < l->block[1]; i++)
            p->index[inner_offset(l, 0, o) + inner_offset(l, 1, i)] = (o * p->in + i) * p->area;
    for (int i = 0; i < l->block[1] && p->unpacks; i++)
        for (int pixel = 0; pixel < p->area; pixel++)
            p->index[i * p->area + pixel] = (int32_t)(inner_offset(l, 1, i) + pixel_offset(p, pixel));
}

int clzi_cpu_pack_create(struct clzi_cpu_pack *p, struct clzi_device *dev, const struct clzi_dnnl_conv *conv,
                         const struct clzi_dnnl_conv_params *params)
{
    *p = (struct clzi_cpu_pack){ .out = params->dst.c, .in = params->src.c, .k = params->k,
                                 .area = params->k * params->k,
                                 .unpacks = params->direction == CLZI_DNNL_BACKWARD_WEIGHTS };
    if (!clzi_dnnl_weights_layout(conv, params->direction, &p->layout) || p->out % p->layout.block[0] ||
        p->in % p->layout.block[1] || conv->weights_size > INT32_MAX)
        return clzi_dnnl_pack_create(&p->dnnl, &dev->dnnl, conv, params);
    p->index = malloc((size_t)p->layout.block[1] * (p->unpacks ? p->area : p->layout.block[0]) * sizeof *p->index);
    if (!p->index) return -ENOMEM;
    make_index(p);
    return 0;
}

void clzi_cpu_pack_destroy(struct clzi_cpu_pack *p)
{
    clzi_dnnl_pack_destroy(&p->dnnl);
    free(p->index);
    p->index = NULL;
}

int clzi_cpu_pack_run(struct clzi_cpu_pack *p, struct clzi_device *dev, float *dense, void *packed, void *scratch)
{
    const struct clzi_dnnl_layout *l = &p->layout;
    int block_out, block_in, columns, blocks;

    if (!p->index) return clzi_dnnl_pack_run(&p->dnnl, &dev->dnnl, dense, packed, scratch);
    block_out = l->block[0];
    block_in = l->block[1];
    columns = p->in / block_in;
    blocks = p->out / block_out * columns;
#pragma omp parallel for schedule(static) if ((int64_t)p->out * p->in * p->area > CLZI_CPU_PIECE)
    for (int block = 0; block < blocks; block++) {
        const int64_t at = block / columns * l->stride[0] + block % columns * l->stride[1];
        float *first = dense + ((int64_t)(block / columns) * block_out * p->in + (int64_t)(block % columns) * block_in) * p->area;
        for (int o = 0; o < block_out && p->unpacks; o++)
            dev->vectors->add_gathered(first + (int64_t)o * p->in * p->area, (float *)packed + at + inner_offset(l, 0, o),
                                       p->index, block_in * p->area);
        for (int pixel = 0; pixel < p->area && !p->unpacks; pixel++)
            dev->nn->gather(clzi_cpu_to(dev, packed, at + pixel_offset(p, pixel)), first + pixel, p->index, block_out * block_in);
    }
    return 0;
}
