// reference.h - a still whose colours are given to frames: places of a frame that look like places of the still, by the features
// of the network's encoder, get a hint with the still's colour there (He et al., "Deep Exemplar-based Colorization", 2018, and
// what came after it, match features likewise; they train a network to use them).
#ifndef CLZI_REFERENCE_H
#define CLZI_REFERENCE_H
#include "exec.h"
#include "hints.h"
#include "model.h"

struct clzi_reference;                      // the still

// A PNG; transparency is ignored. Returns 0, -ENOMEM, -EBADMSG (not such a picture, or without colour) or the error of reading,
// with a message.
int clzi_reference_read(struct clzi_reference **reference, const char *path, const struct clz_log *log);
void clzi_reference_destroy(struct clzi_reference **reference);
const char *clzi_reference_path(const struct clzi_reference *reference);

struct clzi_matcher;                        // compares frames of one geometry with stills

struct clzi_matcher_params {
    struct clzi_device *dev;
    const struct clzi_graph *graph;         // the network, for inference, with its parameters; borrowed
    struct clzi_params *weights;
    const struct clzi_model_facts *facts;
    int size;                               // of the network's pictures, their shorter side
    int w, h;                               // of the frames, as the network sees them
};

// Whether the network has features at 1/8 and 1/16 of the picture's size, as a U-Net has: 0, -ENOTSUP with a message, or -ENOMEM.
int clzi_matcher_check(const struct clzi_graph *graph, const struct clz_log *log);

// Returns 0, -ENOMEM, or an error as above.
int clzi_matcher_create(struct clzi_matcher **matcher, const struct clzi_matcher_params *params);
void clzi_matcher_destroy(struct clzi_matcher **matcher);
int clzi_matcher_places(const struct clzi_matcher *matcher);       // most places that one match gives

// Compares a frame, lightness l [h,w] in 0 to 1, with a still. points: room for places(); x, y and r are pixels of the network's
// picture. Returns how many there are, or an error. The still's own features are computed at its first use and kept.
int clzi_matcher_match(struct clzi_matcher *matcher, const struct clzi_reference *reference, const float *l,
                       struct clzi_point *points);
#endif
