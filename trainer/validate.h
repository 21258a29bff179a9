// validate.h - scores of a model on pictures it was not trained on, beside baselines: grey; one colour everywhere; the mean
// of the picture's own true colours everywhere.
#ifndef CLZT_VALIDATE_H
#define CLZT_VALIDATE_H
#include "data.h"
#include "engine/backend.h"
#include "metrics.h"

struct clzt_validation {
    struct clzt_scores model, grey, mean;
    struct clzt_scores own;                 // only if params.own
    int sheet;                              // 0, or the error of writing the sheet; the scores are valid all the same
};

struct clzt_validate_params {
    int size, batch;                        // width and height of samples; samples per batch
    double zoom_out;                        // centre crops of up to size * zoom_out pixels are scaled to size
    int64_t pictures;                       // 0: all
    int hints;                              // squares of true colour that the model is shown in each picture; 0: none
    const char *classes;                    // the model's list of them: it is told those of each picture; NULL: of none
    enum clzt_luma_input luma;
    float l_scale, l_offset;                // the network's input is L* / l_scale - l_offset
    double mean[2];                         // mean colour of the training set, ab / 110
    bool own;                               // the third baseline, which takes a quarter of the time
    bool film;                              // all pictures are frames in order (clzt_dataset_follows): cdc and change
    const char *features;                   // model file of the network of FD-lite0, NULL: not measured
    float saturation;                       // factor on the predicted ab, usually 1
    const char *sheet;                      // path of a PNG with rows of grey | predicted | true, NULL: none
    int sheet_pictures;
    int workers;
    const volatile int *stop;               // when non-zero, validation ends with -ECANCELED
    void (*progress)(void *priv, int64_t done, int64_t total);      // optional
    void *priv;
};

// graph and values as trained; they are fused as for inference in the library.
int clzt_validate(struct clzi_device *dev, const struct clzi_graph *graph, float *const *values, struct clzt_dataset *dataset,
                  const struct clzt_validate_params *params, struct clzt_validation *result);
#endif
