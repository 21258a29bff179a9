// pipeline.h - the processing of frames: frame -> L* -> generator -> chroma -> frame, for batches of frames of one geometry. The
// worker thread of stream.c makes all calls.
#ifndef CLZI_PIPELINE_H
#define CLZI_PIPELINE_H
#include "backend.h"
#include "bars.h"
#include "fields.h"
#include "hint_painter.h"
#include "model.h"
#include "qc.h"
#include "recall.h"
#include "window.h"

enum { CLZI_MAX_BATCH = CLZI_MAX_IMAGES };  // largest number of frames of one network run

struct clzi_pipeline;

struct clzi_pipeline_params {
    int batch;                              // largest number of frames of one network run
    int size;                               // shorter side of the network's input, in pixels; 0: the model's default
    enum clz_luma luma;
    const char *bars;                       // as in clz_stream_params
    bool no_network;                        // it is not run: the stage sees lightness without colours, the frames become grey
    const char *hints;                      // as in clz_stream_params
    const char *classes;                    // likewise; NULL: none
    bool ambiguity;                         // jobs want it in their notes
    bool repeats;                           // jobs may repeat earlier ones
    struct clzi_answers *answers;           // files of answers; NULL: none. Borrowed
    struct clzi_stage stage;                // between the network and the frames' chroma
};

int clzi_pipeline_create(struct clzi_pipeline **pipeline, struct clz_model *model, struct clzi_device *dev,
                         const struct clzi_pipeline_params *params);
void clzi_pipeline_destroy(struct clzi_pipeline **pipeline);

// Whether the model can use what jobs have beside the frame: -EINVAL, with a message, if it cannot. Callable at any time.
int clzi_pipeline_check_extras(const struct clzi_pipeline *pipeline, struct clzi_extras extras);

struct clzi_job {                           // a frame to colour, or a field
    const struct clz_frame *in, *out;       // the whole frame
    enum clzk_part part;
    bool second;                            // the second field of the job before
    const uint8_t *map;                     // second: where it differs from the first, see fields.h; stays until wait()
    int like;                               // it repeats the job so many before, at most CLZI_FIELDS_BACK: the network's answer
                                            // is the same, if bars and hints are; 0: none
    const struct clz_controls *controls;
    const struct clzi_hint_layers *layers;  // beside the hints for all frames
    const float *classes;                   // of what is in the frame (classes.h); NULL: those of the params
    struct clzi_qc_note *note;              // what qc has to know of the frame; NULL: not wanted
    uint64_t number;                        // of the frame in the film, for files of answers
    bool cuts_known;                        // for layers: shots begin at controls->cut alone; else they are looked for as well
    struct clzi_bars bars;                  // set by clzi_pipeline_prepare()
    struct clzi_bars_finder before;         // likewise: what the frames before it have shown
};

// Finds the black bars of frames of one geometry; once for each frame, in the film's order. Waits for the device where the frames
// lie in its memory. Returns 0 or the device's error.
int clzi_pipeline_prepare(struct clzi_pipeline *pipeline, struct clzi_job *jobs, int count);

// Queues a network run of the first frames of jobs: those with the same bars, as many as fit; repetitions take no place, but
// there are at most twice as many jobs as places. The frames have equal geometry and their range, matrix and siting are not
// UNSPECIFIED; their planes must stay until wait() has returned for them. The run also completes the frames, of this run or
// earlier ones, that wait for no later frame. Returns how many frames it took; -EAGAIN: the queue is full, or runs of another
// geometry are in it: call wait() first. After another error nothing was queued and the chroma of all frames that are not
// complete is undefined: call wait() until the queue is empty, then drop(). Allocates only when geometry or bars differ from
// those of the frame before.
int clzi_pipeline_submit(struct clzi_pipeline *pipeline, const struct clzi_job *jobs, int count);

// Waits for the oldest run in the queue. count: of the frames that it completes, the oldest ones; 0 if the queue is empty, and it
// can be 0 for a run. Returns 0 or the error of these frames.
int clzi_pipeline_wait(struct clzi_pipeline *pipeline, int *count);

int clzi_pipeline_lookahead(const struct clzi_pipeline *pipeline); // most later frames that a frame waits for
int clzi_pipeline_waiting(const struct clzi_pipeline *pipeline);   // frames that no run in the queue completes
// Queues a run that completes the waiting frames without later ones. Returns 0 or an error as submit().
int clzi_pipeline_end(struct clzi_pipeline *pipeline);
// Forgets the waiting frames. The queue must be empty.
void clzi_pipeline_drop(struct clzi_pipeline *pipeline);

uint64_t clzi_pipeline_reused(const struct clzi_pipeline *pipeline);   // jobs so far that had the answer of one before
int clzi_pipeline_queued(const struct clzi_pipeline *pipeline);    // runs in the queue
int clzi_pipeline_depth(const struct clzi_pipeline *pipeline);     // the most that fit: 1 or 2

// Copies a frame without colouring it. The queue must be empty, and no frame waiting.
int clzi_pipeline_copy(struct clzi_pipeline *pipeline, const struct clz_frame *in, const struct clz_frame *out);

// Returns whether bars of fixed depths leave a picture in frames of this size; true if the bars are detected or off.
bool clzi_pipeline_bars_fit(const struct clzi_pipeline *pipeline, int width, int height);

// Returns the size of the network's input and the frames per network run, "456x256, 1 frame a run"; "" before the first run.
const char *clzi_pipeline_describe(const struct clzi_pipeline *pipeline);

// Computes the size of the network's input for a frame: the shorter side is near `size`, the aspect ratio is that of the frame or
// 1:1 (square), and both sides are multiples of `stride`.
void clzi_working_size(int width, int height, int size, int stride, bool square, int *w, int *h);
#endif
