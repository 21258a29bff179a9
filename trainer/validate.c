// validate.c - scores and contact sheets of a model.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exec.h"
#include "base/log.h"
#include "sheet.h"
#include "validate.h"

struct validation {
    const struct clzt_validate_params *params;
    struct clzi_graph *graph;
    float **values;
    struct clzi_params *weights;
    struct clzi_exec *exec;
    int l_port, hints_port;                 // of the graph; -1: none
    struct clzt_loader *loader;
    struct clzt_metrics *model, *grey, *mean;
    struct clzt_sheet *sheet;
    int rows;                               // of the sheet
    float *l, *ab;                          // [batch,1,s,s], [batch,2,s,s]
    uint8_t *rgb;
    int64_t total, done;
};

static void destroy(struct validation *v)
{
    clzt_sheet_destroy(&v->sheet);
    clzt_metrics_destroy(&v->model);
    clzt_metrics_destroy(&v->grey);
    clzt_metrics_destroy(&v->mean);
    if (v->loader) clzt_loader_destroy(&v->loader);
    clzi_exec_destroy(&v->exec);
    clzi_params_destroy(&v->weights);
    for (int i = 0; v->values && i < v->graph->param_count; i++) free(v->values[i]);
    free(v->values);
    clzi_graph_destroy(&v->graph);
    free(v->l);
    free(v->ab);
    free(v->rgb);
}

static int create(struct validation *v, struct clzi_device *dev, const struct clzi_graph *graph, float *const *values,
                  struct clzt_dataset *dataset)
{
    const struct clzt_validate_params *p = v->params;
    const size_t pixels = (size_t)p->size * p->size;
    const int64_t count = clzt_dataset_count(dataset);
    int ret;

    v->total = p->pictures && p->pictures < count ? p->pictures : count;
    if ((ret = clzi_graph_fuse(graph, values, &v->graph, &v->values)) < 0) return ret;
    v->l_port = v->graph->in_count == 1 ? 0 : clzi_port_find(v->graph->in, v->graph->in_count, "L");
    v->hints_port = clzi_port_find(v->graph->in, v->graph->in_count, "hints");
    if (v->l_port < 0) return clzi_fail(&clzi_device_base(dev)->log, v->l_port, "the network has no input \"L\".");
    if (p->hints && v->hints_port < 0)
        return clzi_fail(&clzi_device_base(dev)->log, -EINVAL, "hints=%d: the model has no input for hints.", p->hints);
    if ((ret = clzi_params_create(&v->weights, dev, v->graph, v->values, NULL)) < 0) return ret;
    ret = clzi_exec_create(&v->exec, v->graph, v->weights,
                           &(struct clzi_exec_params){ .n = p->batch, .h = p->size, .w = p->size });
    if (ret == -ENOMEM)
        return clzi_fail(&clzi_device_base(dev)->log, ret, "not enough memory to score %d pictures of %dx%d pixels at once",
                         p->batch, p->size, p->size);
    if (ret < 0) return ret;
    ret = clzt_loader_create(&v->loader, dataset,
                             &(struct clzt_loader_params){ .size = p->size, .batch = p->batch, .zoom_out = p->zoom_out,
                                                           .luma = p->luma, .workers = p->workers, .want_true_l = true,
                                                           .pictures = v->total, .hints = { .points = p->hints } });
    if (ret < 0) return ret;
    if ((ret = clzt_metrics_create(&v->model, p->size, p->size)) < 0 ||
        (ret = clzt_metrics_create(&v->grey, p->size, p->size)) < 0 ||
        (ret = clzt_metrics_create(&v->mean, p->size, p->size)) < 0)
        return ret;
    v->rows = p->sheet_pictures < v->total ? p->sheet_pictures : (int)v->total;
    if (p->sheet && p->sheet_pictures > 0 && (ret = clzt_sheet_create(&v->sheet, 3, v->rows, p->size, p->size)) < 0)
        return ret;
    v->l = calloc(p->batch * pixels, sizeof *v->l);
    v->ab = malloc(p->batch * pixels * 2 * sizeof *v->ab);
    v->rgb = malloc(pixels * 3);
    return v->l && v->ab && v->rgb ? 0 : -ENOMEM;
}

static void show(struct validation *v, int row, const float *l, const float *true_l, const float *ab, const float *true_ab)
{
    const int64_t pixels = (int64_t)v->params->size * v->params->size;

    clzt_lab_to_rgb8(l, NULL, pixels, v->rgb);
    clzt_sheet_put(v->sheet, 0, row, v->rgb);
    clzt_lab_to_rgb8(true_l, ab, pixels, v->rgb);
    clzt_sheet_put(v->sheet, 1, row, v->rgb);
    clzt_lab_to_rgb8(true_l, true_ab, pixels, v->rgb);
    clzt_sheet_put(v->sheet, 2, row, v->rgb);
}

static int judge(struct validation *v, const struct clzt_batch *batch)
{
    const int64_t pixels = (int64_t)v->params->size * v->params->size;
    const float factor = CLZT_L_SCALE / v->params->l_scale, offset = CLZT_L_OFFSET * factor - v->params->l_offset;
    int ret;

    // after a shorter last batch, pictures of the batch before remain in v->l; their scores are not added
    for (int64_t i = 0; i < batch->count * pixels; i++) v->l[i] = factor * batch->l[i] + offset;
    if ((ret = clzi_exec_upload(v->exec, v->l_port, v->l)) < 0 ||
        (batch->hints && (ret = clzi_exec_upload(v->exec, v->hints_port, batch->hints)) < 0) ||
        (ret = clzi_exec_forward(v->exec, 0)) < 0 ||
        (ret = clzi_exec_download(v->exec, 0, v->ab)) < 0)
        return ret;
    for (int64_t i = 0; i < batch->count * pixels * 2; i++) v->ab[i] *= v->params->saturation;
    for (int i = 0; i < batch->count; i++, v->done++) {
        const float *l = batch->true_l + i * pixels, *ab = v->ab + i * 2 * pixels, *true_ab = batch->ab + i * 2 * pixels;
        clzt_metrics_add(v->model, l, true_ab, ab);
        clzt_metrics_add_flat(v->grey, l, true_ab, (const double[2]){ 0, 0 });
        clzt_metrics_add_flat(v->mean, l, true_ab, v->params->mean);
        // the sheet's rows are spread evenly over the set
        for (int row = 0; v->sheet && row < v->rows; row++)
            if (v->done == row * v->total / v->rows) show(v, row, batch->l + i * pixels, l, ab, true_ab);
    }
    return 0;
}

int clzt_validate(struct clzi_device *dev, const struct clzi_graph *graph, float *const *values, struct clzt_dataset *dataset,
                  const struct clzt_validate_params *params, struct clzt_validation *result)
{
    struct validation v = { .params = params };
    struct clzt_batch *batch;
    int ret = create(&v, dev, graph, values, dataset);

    while (ret >= 0 && (ret = clzt_loader_next(v.loader, &batch)) >= 0) {
        ret = params->stop && *params->stop ? -ECANCELED : judge(&v, batch);
        clzt_loader_release(v.loader, &batch);
        if (params->progress) params->progress(params->priv, v.done, v.total);
    }
    if (ret == -ENODATA) {
        *result = (struct clzt_validation){ clzt_metrics_scores(v.model), clzt_metrics_scores(v.grey),
                                           clzt_metrics_scores(v.mean),
                                            v.sheet ? clzt_sheet_write(v.sheet, params->sheet, &clzi_device_base(dev)->log) : 0 };
        ret = 0;
    }
    destroy(&v);
    return ret;
}
