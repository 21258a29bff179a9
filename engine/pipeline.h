// pipeline.h - the way of the data, in order: frame -> L* -> generator -> chroma -> frame, for a run of frames of one geometry.
// It is synchronous; stream.c gives it batches from its own thread.
#ifndef CLZI_PIPELINE_H
#define CLZI_PIPELINE_H
#include <stdatomic.h>

#include "backend.h"
#include "model.h"

enum { CLZI_MAX_BATCH = 64 };               // frames that a run may be asked for

struct clzi_pipeline;

struct clzi_pipeline_params {
    int batch;                              // frames a run may be asked for
    int size;                               // short side of the network's picture; 0: the model's
    enum clz_luma luma;
    const char *bars;                       // as in clz_stream_params
};

int clzi_pipeline_create(struct clzi_pipeline **pipeline, struct clz_model *model, struct clzi_device *dev,
                         const struct clzi_pipeline_params *params);
void clzi_pipeline_destroy(struct clzi_pipeline **pipeline);

struct clzi_job {                           // one frame to colour
    const struct clz_frame *in, *out;
    const struct clz_controls *controls;
};

// Colours `count` frames (at most batch) of equal geometry, whose range, matrix and siting are not UNSPECIFIED. Allocates only
// when the geometry or the bars differ from those before. Returns -ECANCELED before the next network run once *cancelled is
// true. After an error out's chroma is undefined.
int clzi_pipeline_run(struct clzi_pipeline *pipeline, const struct clzi_job *jobs, int count, const atomic_bool *cancelled);

// Whether bars that were given leave a picture of frames of this size.
bool clzi_pipeline_bars_fit(const struct clzi_pipeline *pipeline, int width, int height);

// "456x256, 1 frame a run"; "" before the first run.
const char *clzi_pipeline_describe(const struct clzi_pipeline *pipeline);

// Size of the network's picture for a frame: short side near `size`, aspect kept or a square, multiples of stride.
void clzi_working_size(int width, int height, int size, int stride, bool square, int *w, int *h);
#endif
