// features.c - runs the network of FD-lite0.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "engine/exec.h"
#include "engine/model.h"
#include "engine/model_json.h"
#include "features.h"

struct clzt_features {
    struct clzi_graph *graph;
    float **values;
    struct clzi_params *weights;
    struct clzi_exec *exec;
    int64_t pixels;
    int size;
    float *rgb;                             // [3,height,width]
};

void clzt_features_destroy(struct clzt_features **features)
{
    struct clzt_features *f = *features;

    if (!f) return;
    clzi_exec_destroy(&f->exec);
    clzi_params_destroy(&f->weights);
    for (int i = 0; f->values && i < f->graph->param_count; i++) free(f->values[i]);
    free(f->values);
    clzi_graph_destroy(&f->graph);
    free(f->rgb);
    free(f);
    *features = NULL;
}

static int bind(struct clzt_features *f, struct clzi_device *dev, const struct clz_model *m, int width, int height)
{
    struct clzi_shape out;
    int ret = clzi_graph_fuse(m->graph, m->values, &f->graph, &f->values);

    if (ret >= 0) ret = clzi_params_create(&f->weights, dev, f->graph, f->values, NULL);
    if (ret >= 0)
        ret = clzi_exec_create(&f->exec, f->graph, f->weights, &(struct clzi_exec_params){ .n = 1, .h = height, .w = width });
    if (ret < 0) return ret;
    out = clzi_exec_output_shape(f->exec, 0);
    f->pixels = (int64_t)width * height;
    f->size = out.c;
    return (f->rgb = malloc(3 * (size_t)f->pixels * sizeof *f->rgb)) ? 0 : -ENOMEM;
}

int clzt_features_create(struct clzt_features **features, struct clzi_device *dev, const char *path, int width, int height,
                         const struct clz_log *log)
{
    struct clzt_features *f = *features = calloc(1, sizeof *f);
    struct clz_model *m = NULL;
    int ret = f ? clzi_model_read(&m, path, log) : -ENOMEM;

    if (ret >= 0 && strcmp(m->facts.arch, "lite0-features"))
        ret = clzi_fail(log, -EINVAL, "features: %s is a model of %s; expected one of lite0-features, which colorize-train "
                        "convert makes with net=lite0-features.", path, clzi_printable(m->facts.arch).text);
    if (ret >= 0 && (m->graph->in_count != 1 || clzi_graph_channels(m->graph, m->graph->in[0].node) != 3 ||
                     m->graph->nodes[m->graph->out[0].node].op != CLZI_OP_GLOBALPOOL))
        ret = clzi_fail(log, -EINVAL, "features: the network of %s does not turn R, G and B into means of features.", path);
    if (ret >= 0) ret = bind(f, dev, m, width, height);
    clz_model_close(&m);
    if (ret < 0) clzt_features_destroy(features);
    return ret;
}

int clzt_features_size(const struct clzt_features *f) { return f->size; }

int clzt_features_run(struct clzt_features *f, const uint8_t *rgb, float *vector)
{
    int ret;

    for (int64_t i = 0; i < f->pixels; i++)
        for (int c = 0; c < 3; c++) f->rgb[c * f->pixels + i] = (rgb[3 * i + c] - 127.f) / 128;     // as the network was trained
    if ((ret = clzi_exec_upload(f->exec, 0, f->rgb)) < 0 || (ret = clzi_exec_forward(f->exec, 0)) < 0) return ret;
    return clzi_exec_download(f->exec, 0, vector);
}
