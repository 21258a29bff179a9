// validate.c - scores and contact sheets of a model.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/exec.h"
#include "base/log.h"
#include "classes.h"
#include "features.h"
#include "frechet.h"
#include "sheet.h"
#include "temporal.h"
#include "validate.h"

enum { MODEL, GREY, MEAN, OWN, COLUMNS, TRUTH = COLUMNS, SETS };

// What is known of the predicted colours, of a baseline's, and of the true ones.
struct set { struct clzt_metrics *metrics; struct clzt_temporal *temporal; struct clzt_moments moments; };

struct validation {
    const struct clzt_validate_params *params;
    struct clzi_graph *graph;
    float **values;
    struct clzi_params *weights;
    struct clzi_exec *exec;
    int category[CLZI_MAX_CLASSES];         // of the data set, of each of the model's classes
    int l_port, hints_port;                 // of the graph; -1: none
    struct clzt_loader *loader;
    struct set sets[SETS];                  // the truth has no metrics
    int columns;
    struct clzt_features *features;
    float *vector;
    struct clzt_sheet *sheet;
    int rows;                               // of the sheet
    float *l, *ab;                          // [batch,1,s,s], [batch,2,s,s]
    uint8_t *rgb;
    int64_t total, done;
};

static void destroy(struct validation *v)
{
    clzt_sheet_destroy(&v->sheet);
    for (int i = 0; i < SETS; i++) {
        clzt_metrics_destroy(&v->sets[i].metrics);
        clzt_temporal_destroy(&v->sets[i].temporal);
        clzt_moments_destroy(&v->sets[i].moments);
    }
    clzt_features_destroy(&v->features);
    free(v->vector);
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

static int create_sets(struct validation *v, struct clzi_device *dev)
{
    const struct clzt_validate_params *p = v->params;
    int ret = 0, size = 0;

    v->columns = p->own ? COLUMNS : OWN;
    if (p->features) {
        ret = clzt_features_create(&v->features, dev, p->features, p->size, p->size, &clzi_device_base(dev)->log);
        if (ret < 0) return ret;
        size = clzt_features_size(v->features);
        if (!(v->vector = malloc((size_t)size * sizeof *v->vector))) return -ENOMEM;
    }
    for (int i = 0; i < SETS && ret >= 0; i++) {
        if (i >= v->columns && i != TRUTH) continue;
        if (i != TRUTH) ret = clzt_metrics_create(&v->sets[i].metrics, p->size, p->size);
        if (ret >= 0 && p->film) ret = clzt_temporal_create(&v->sets[i].temporal, (int64_t)p->size * p->size);
        if (ret >= 0 && p->features) ret = clzt_moments_create(&v->sets[i].moments, size);
    }
    return ret;
}

static int create(struct validation *v, struct clzi_device *dev, const struct clzi_graph *graph, float *const *values,
                  struct clzt_dataset *dataset)
{
    const struct clzt_validate_params *p = v->params;
    const size_t pixels = (size_t)p->size * p->size;
    const int64_t count = clzt_dataset_count(dataset);
    struct clzt_class_params classes = { .count = 0 };
    int ret;

    v->total = p->pictures && p->pictures < count ? p->pictures : count;
    if ((ret = clzi_graph_fuse(graph, values, &v->graph, &v->values)) < 0) return ret;
    v->l_port = v->graph->in_count == 1 ? 0 : clzi_port_find(v->graph->in, v->graph->in_count, "L");
    v->hints_port = clzi_port_find(v->graph->in, v->graph->in_count, "hints");
    if (v->l_port < 0) return clzi_fail(&clzi_device_base(dev)->log, v->l_port, "the network has no input \"L\".");
    if (p->hints && v->hints_port < 0)
        return clzi_fail(&clzi_device_base(dev)->log, -EINVAL, "hints=%d: the model has no input for hints.", p->hints);
    if (p->classes && clzi_classes_port(v->graph) < 0)
        return clzi_fail(&clzi_device_base(dev)->log, -EINVAL, "classes=yes: the model has no input for classes.");
    if ((ret = clzt_classes_find(&classes, v->category, p->classes ? p->classes : "", dataset, "classes=yes",
                                 &clzi_device_base(dev)->log)) < 0)
        return ret;
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
                                                           .pictures = v->total, .hints = { .points = p->hints },
                                                           .classes = classes });
    if (ret < 0) return ret;
    if ((ret = create_sets(v, dev)) < 0) return ret;
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

static int add_to_set(struct validation *v, struct set *set, bool follows, const uint8_t *rgb, const float *l, const float *ab)
{
    int ret = 0;

    if (v->features && (ret = clzt_features_run(v->features, rgb, v->vector)) >= 0) clzt_moments_add(&set->moments, v->vector);
    if (!set->temporal) return ret;
    if (!follows) clzt_temporal_cut(set->temporal);
    clzt_temporal_add(set->temporal, rgb, l, ab);
    return ret;
}

static int add_picture(struct validation *v, bool follows, const float *l, const float *true_ab, const float *ab)
{
    struct set *sets = v->sets;
    int ret = 0;

    clzt_metrics_add(sets[MODEL].metrics, l, true_ab, ab);
    clzt_metrics_add_flat(sets[GREY].metrics, l, true_ab, (const double[2]){ 0, 0 });
    clzt_metrics_add_flat(sets[MEAN].metrics, l, true_ab, v->params->mean);
    if (v->params->own) clzt_metrics_add_own(sets[OWN].metrics, l, true_ab);
    if (!v->features && !v->params->film) return 0;
    for (int i = 0; i < v->columns && ret >= 0; i++) {
        const struct clzt_added added = clzt_metrics_added(sets[i].metrics);
        ret = add_to_set(v, &sets[i], follows, added.guess, l, i == MODEL ? ab : added.flat);
    }
    return ret < 0 ? ret : add_to_set(v, &sets[TRUTH], follows, clzt_metrics_added(sets[MODEL].metrics).truth, l,
                                      true_ab);
}

static int judge(struct validation *v, const struct clzt_dataset *dataset, const struct clzt_batch *batch)
{
    const int64_t pixels = (int64_t)v->params->size * v->params->size;
    const float factor = CLZT_L_SCALE / v->params->l_scale, offset = CLZT_L_OFFSET * factor - v->params->l_offset;
    int ret;

    // after a shorter last batch, pictures of the batch before remain in v->l; their scores are not added
    for (int64_t i = 0; i < batch->count * pixels; i++) v->l[i] = factor * batch->l[i] + offset;
    if ((ret = clzi_exec_upload(v->exec, v->l_port, v->l)) < 0 ||
        (batch->hints && (ret = clzi_exec_upload(v->exec, v->hints_port, batch->hints)) < 0) ||
        (batch->classes && (ret = clzi_exec_upload(v->exec, clzi_classes_port(v->graph), batch->classes)) < 0) ||
        (ret = clzi_exec_forward(v->exec, 0)) < 0 ||
        (ret = clzi_exec_download(v->exec, 0, v->ab)) < 0)
        return ret;
    for (int64_t i = 0; i < batch->count * pixels * 2; i++) v->ab[i] *= v->params->saturation;
    for (int i = 0; i < batch->count && ret >= 0; i++, v->done++) {
        const float *l = batch->true_l + i * pixels, *ab = v->ab + i * 2 * pixels, *true_ab = batch->ab + i * 2 * pixels;
        ret = add_picture(v, clzt_dataset_follows(dataset, batch->index[i]), l, true_ab, ab);
        // the sheet's rows are spread evenly over the set
        for (int row = 0; v->sheet && row < v->rows; row++)
            if (v->done == row * v->total / v->rows) show(v, row, batch->l + i * pixels, l, ab, true_ab);
    }
    return ret;
}

static int score(const struct validation *v, int column, struct clzt_scores *s)
{
    const struct set *set = &v->sets[column], *truth = &v->sets[TRUTH];

    *s = clzt_metrics_scores(set->metrics);
    if (v->params->film) {
        const struct clzt_temporal_scores here = clzt_temporal_scores(set->temporal);
        const struct clzt_temporal_scores there = clzt_temporal_scores(truth->temporal);
        s->cdc = here.cdc;
        s->change = here.change;
        s->cdc_true = there.cdc;
        s->change_true = there.change;
    }
    return v->features ? clzt_frechet(&truth->moments, &set->moments, &s->fd) : 0;
}

static int score_all(struct validation *v, struct clzi_device *dev, struct clzt_validation *result)
{
    struct clzt_scores *const scores[COLUMNS] = { &result->model, &result->grey, &result->mean, &result->own };
    int ret = 0;

    for (int i = 0; i < v->columns && ret >= 0; i++) ret = score(v, i, scores[i]);
    if (ret >= 0 && v->sheet) result->sheet = clzt_sheet_write(v->sheet, v->params->sheet, &clzi_device_base(dev)->log);
    return ret;
}

int clzt_validate(struct clzi_device *dev, const struct clzi_graph *graph, float *const *values, struct clzt_dataset *dataset,
                  const struct clzt_validate_params *params, struct clzt_validation *result)
{
    struct validation v = { .params = params };
    struct clzt_batch *batch;
    int ret = create(&v, dev, graph, values, dataset);

    while (ret >= 0 && (ret = clzt_loader_next(v.loader, &batch)) >= 0) {
        ret = params->stop && *params->stop ? -ECANCELED : judge(&v, dataset, batch);
        clzt_loader_release(v.loader, &batch);
        if (params->progress) params->progress(params->priv, v.done, v.total);
    }
    if (ret == -ENODATA) {
        *result = (struct clzt_validation){ .sheet = 0 };
        ret = score_all(&v, dev, result);
    }
    destroy(&v);
    return ret;
}
