// hint_painter.h - paints the hints of each frame of a film: those that hold for all frames, and layers over them, which hold for
// a part of the film and may be followed along the motion of the picture.
//
// A layer that is followed has its places on the first frame of its range, and again on the first frame of each later shot in it.
// In the frames between, each point moves with the picture, and each pixel of a picture of hints does. What is hidden, or leaves
// the picture, is given up until the next shot. A frame's hints depend on the frames of its shot up to it and on nothing else.
// The places of a layer from a still are those that a comparison finds; when half of them have been given up, it is made again.
#ifndef CLZI_HINT_PAINTER_H
#define CLZI_HINT_PAINTER_H
#include <stdint.h>

#include "hints.h"
#include "motion.h"

enum { CLZI_MAX_LAYERS = 16 };              // of a frame

struct clzi_reference;

struct clzi_hint_layer {
    const struct clzi_hints *hints;         // NULL: from `reference`
    const struct clzi_reference *reference; // a still, whose colours the frame's places get that look like places of it
    bool follow;                            // false: the places are the same in every frame; each is compared with the still
};

struct clzi_hint_layers {                   // of a frame; later ones are painted over earlier ones
    int count;
    const struct clzi_hint_layer *layer[CLZI_MAX_LAYERS];       // borrowed; a layer is known by its address
};

// What frames may have beside the picture: layers, layers from stills, classes of things (classes.h) of their own.
struct clzi_extras { bool layers, stills, classes; };

bool clzi_hint_layers_need_lightness(const struct clzi_hint_layers *layers);       // one is followed or from a still

struct clzi_hint_painter;

struct clzi_hint_painter_params {
    const struct clzi_hints *film;          // for all frames; NULL: none. Borrowed
    int w, h;                               // of the network's pictures
    float ab_scale;
    int threads;
    const struct clz_log *log;
    // For layers from a still, else NULL: as clzi_matcher_match() and clzi_matcher_places(). places() returns an error too.
    int (*places)(void *priv);
    int (*match)(void *priv, const struct clzi_reference *reference, const float *l, struct clzi_point *points);
    void *priv;
};

struct clzi_hint_frame {
    int width, height;                      // of the frame
    struct clzi_hints_area seen;            // what the network sees of it; where it changes, a shot begins
    const struct clzi_hint_layers *layers;
    const float *l;                         // lightness [h,w] in 0 to 1; needed as clzi_hint_layers_need_lightness() says
    enum clzi_cut cut;
};

int clzi_hint_painter_create(struct clzi_hint_painter **painter, const struct clzi_hint_painter_params *params);
void clzi_hint_painter_destroy(struct clzi_hint_painter **painter);

// Paints the hints of the next frame into planes [3,h,w]; see clzi_hints_paint(). Allocates only where a layer begins. Returns 0
// or -ENOMEM.
int clzi_hint_painter_next(struct clzi_hint_painter *painter, const struct clzi_hint_frame *frame, float *planes);
#endif
