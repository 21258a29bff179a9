// pipeline.h - the processing of frames: frame -> L* -> generator -> chroma -> frame, for a batch of frames of one geometry.
// Calls are synchronous; the worker thread of stream.c makes them.
#ifndef CLZI_PIPELINE_H
#define CLZI_PIPELINE_H
#include <stdatomic.h>

#include "backend.h"
#include "model.h"

enum { CLZI_MAX_BATCH = 64 };               // largest number of frames in one call of clzi_pipeline_run()

struct clzi_pipeline;

struct clzi_pipeline_params {
    int batch;                              // largest number of frames in one call of clzi_pipeline_run()
    int size;                               // shorter side of the network's input, in pixels; 0: the model's default
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

// Colours `count` frames (at most `batch`) of equal geometry, whose range, matrix and siting are not UNSPECIFIED. Allocates
// only when the geometry or the bars differ from those of the previous frame. Once *cancelled is true, returns -ECANCELED before
// the next network run. After an error, the chroma of `out` is undefined.
int clzi_pipeline_run(struct clzi_pipeline *pipeline, const struct clzi_job *jobs, int count, const atomic_bool *cancelled);

// Returns whether bars of fixed depths leave a picture in frames of this size; true if the bars are detected or off.
bool clzi_pipeline_bars_fit(const struct clzi_pipeline *pipeline, int width, int height);

// Returns the size of the network's input and the frames per network run, "456x256, 1 frame a run"; "" before the first run.
const char *clzi_pipeline_describe(const struct clzi_pipeline *pipeline);

// Computes the size of the network's input for a frame: the shorter side is near `size`, the aspect ratio is that of the frame or
// 1:1 (square), and both sides are multiples of `stride`.
void clzi_working_size(int width, int height, int size, int stride, bool square, int *w, int *h);
#endif
