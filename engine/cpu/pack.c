// pack.c - weights from dense [out][in][k][k] into the layout a convolution wants, and gradients back. A training step does this to
// all weights three times; oneDNN's reorders take 0.35 to 0.5 ms for 256x256x3x3 on two cores. Here each inner block of the layout is
// one gather by a table, with source and destination in the L1 cache. Padded layouts are left to oneDNN.
#include <errno.h>
#include <stdlib.h>

#include "cpu.h"

// Where each digit stands: steps of o and i in the inner block.
static int inner_place(const struct clzi_dnnl_layout *l, int dim, int value)
{
    int place = 0, step = 1;
    for (int i = l->inner - 1; i >= 0; i--) {
        if (l->inner_dim[i] == dim) {
            place += value % l->inner_size[i] * step;
            value /= l->inner_size[i];
        }
        step *= l->inner_size[i];
    }
    return place;
}

// Pack: index[place in the inner block] = where it comes from in dense, from the block's first element.
// Unpack: index[i * area + pixel] = where that element of the first o comes from in packed.
static void make_index(struct clzi_cpu_pack *p)
{
    const struct clzi_dnnl_layout *l = &p->layout;
    for (int o = 0; o < l->block[0] && !p->unpacks; o++)
        for (int i = 0; i < l->block[1]; i++)
            p->index[inner_place(l, 0, o) + inner_place(l, 1, i)] = (o * p->in + i) * p->area;
    for (int i = 0; i < l->block[1] && p->unpacks; i++)
        for (int pixel = 0; pixel < p->area; pixel++)
            p->index[i * p->area + pixel] = (int32_t)(inner_place(l, 1, i) + pixel / p->k * l->stride[2] + pixel % p->k * l->stride[3]);
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
    const int k = l->block[0], m = l->block[1], across = p->in / m, blocks = p->out / k * across;

    if (!p->index) return clzi_dnnl_pack_run(&p->dnnl, &dev->dnnl, dense, packed, scratch);
#pragma omp parallel for schedule(static) if ((int64_t)p->out * p->in * p->area > CLZI_CPU_PIECE)
    for (int block = 0; block < blocks; block++) {
        const int64_t at = block / across * l->stride[0] + block % across * l->stride[1];
        float *corner = dense + ((int64_t)(block / across) * k * p->in + (int64_t)(block % across) * m) * p->area;
        for (int o = 0; o < k && p->unpacks; o++)
            dev->vectors->add_gathered(corner + (int64_t)o * p->in * p->area, (float *)packed + at + inner_place(l, 0, o), p->index,
                                       m * p->area);
        for (int pixel = 0; pixel < p->area && !p->unpacks; pixel++)
            dev->nn->gather(clzi_cpu_to(dev, packed, at + pixel / p->k * l->stride[2] + pixel % p->k * l->stride[3]),
                            corner + pixel, p->index, k * m);
    }
    return 0;
}
