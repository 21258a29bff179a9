// window.h - a stage between the network and the frames' chroma, which sees the network's answers of neighbouring frames: what a
// stabiliser needs. A window belongs to one stream and one geometry; it keeps the answers in device memory.
//
// Where the fields of an interlaced frame are pictures of their own (fields.h), each is a frame here.
//
// Frames that see each other form a shot: it ends before a frame with clz_controls.cut, at a change of geometry or bars, at a
// frame that is passed on untouched, and at the end of the film. What a frame sees depends on the film alone, not on the batches.
#ifndef CLZI_WINDOW_H
#define CLZI_WINDOW_H
#include "backend.h"

struct clzi_window_params {
    struct clzi_device *dev;
    int w, h;                               // of the network's picture
    int images;                             // most frames of one push
    int after;                              // = clzi_stage.after
    void *context;                          // = clzi_stage.context
    float l_scale, l_offset;                // the network's input is L* / l_scale - l_offset
    float ab_scale;                         // the network's answer times ab_scale is in Lab units
};

// A frame and its neighbours. frame[0] is the frame itself, frame[first] .. frame[last] are those of its shot that it may see:
// -before <= first <= 0 <= last <= after, and fewer only at the ends of a shot or where clz_stream_submit() did not let it wait.
struct clzi_view {
    int first, last;
    bool begins;                            // the first frame of a shot: state of earlier frames does not count
    const struct clzi_view_frame {
        const void *l, *ab;                 // the network's input [1,1,h,w] and answer [1,2,h,w]; tensors of the device
        struct clz_controls controls;
        bool second;                        // it is the second field of the frame before it in the list
    } *frame;
};

// Frames are settled once each, in order. Time and thread rules: backend.h.
struct clzi_stage_ops {
    int (*create)(void **state, const struct clzi_window_params *params);
    void (*destroy)(void **state);          // copes with what a failed create() left
    int (*settle)(void *state, const struct clzi_view *view, void *ab);     // ab [1,2,h,w]: the answer that is used
};

struct clzi_stage {
    const struct clzi_stage_ops *ops;       // NULL: no stage, before and after are 0
    int before, after;                      // how many frames a frame wants to see, 0 .. CLZI_MAX_WINDOW
    void *context;                          // what the stage has to know besides
};
enum { CLZI_MAX_WINDOW = 32 };

struct clzi_window;
int clzi_window_create(struct clzi_window **window, const struct clzi_stage *stage, const struct clzi_window_params *params);
void clzi_window_destroy(struct clzi_window **window);

// Keeps the answer of one more frame: image 0 of l and ab.
int clzi_window_push(struct clzi_window *window, const void *l, const void *ab, const struct clz_controls *controls, bool cut,
                     bool second);

// Number of frames, from the oldest that is not settled, that wait for no later frame. After end(): all; frames that are pushed
// later still see them.
int clzi_window_ready(const struct clzi_window *window);
void clzi_window_end(struct clzi_window *window);

// Settles the oldest `count` frames, at most `images`. *ab: their answers, a tensor [count,2,h,w], which the caller may change;
// valid until the next call.
int clzi_window_settle(struct clzi_window *window, int count, void **ab);

// Forgets all frames.
void clzi_window_clear(struct clzi_window *window);
#endif
