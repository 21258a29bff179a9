// perceptual.h - the perceptual loss (Johnson et al. 2016): how differently a frozen network, EfficientNet-Lite0 trained to tell
// 1000 things apart, sees the predicted picture and the true one. Both become R, G, B with the true L*; the loss is the mean over
// three layers, at 1/4, 1/8 and 1/16 of the size, of the mean absolute difference of their features.
//
// It is a graph of its own, bound to tensors of the generator's: L and the true ab, which it reads, and the predicted ab, to
// whose gradient it adds.
#ifndef CLZT_PERCEPTUAL_H
#define CLZT_PERCEPTUAL_H
#include "data.h"
#include "engine/exec.h"

struct clz_model;
struct clzt_perceptual;

// Whether the model is one of lite0-features, as the loss reads it. -EINVAL, logged: it is not. key: of the recipe.
int clzt_perceptual_check(const struct clz_model *net, const char *key, const char *path, const struct clz_log *log);

struct clzt_perceptual_binding {            // to the generator's tensors, of one shape
    void *l, *target, *ab;
    void *ab_gradient;                      // += the gradient
};

// net: its numbers are copied to the device.
int clzt_perceptual_create(struct clzt_perceptual **perceptual, struct clzi_device *dev, const struct clz_model *net);
void clzt_perceptual_destroy(struct clzt_perceptual **perceptual);
// Binds it to shape i. -ENOMEM is not logged.
int clzt_perceptual_bind(struct clzt_perceptual *perceptual, int i, int batch, struct clzt_size size,
                         const struct clzt_perceptual_binding *binding);
size_t clzt_perceptual_memory(const struct clzt_perceptual *perceptual);

// One step: forward; the three losses must be finite, or `train` becomes bad; backward with the gradient `weight` of their mean.
int clzt_perceptual_run(struct clzt_perceptual *perceptual, int shape, float weight, struct clzi_train_state *train);
// The loss of the last step: here the host waits for the device.
int clzt_perceptual_read(struct clzt_perceptual *perceptual, int shape, double *value);
#endif
