// flow.h - dense motion between two pictures of one film, from their lightness: the method of Lucas and Kanade (1981) in the
// inverse compositional form of Baker and Matthews (2004), over a pyramid. Pictures are small, their shorter side is near 64.
//
// A pixel x of picture `from` lies at x + v(x) in picture `to`. Both pictures are compared without their local mean, so that
// changes of brightness do not count as motion.
#ifndef CLZK_FLOW_H
#define CLZK_FLOW_H
#include <stddef.h>

enum {
    CLZK_FLOW_SIDE = 64,                    // the shorter side is near it
    CLZK_FLOW_LEVELS = 4,                   // of the pyramid, at most
    CLZK_FLOW_PLANES = 7,                   // of each level: see flow.c
    CLZK_FLOW_THUMBNAIL_W = 18, CLZK_FLOW_THUMBNAIL_H = 8,
    CLZK_FLOW_THUMBNAIL = CLZK_FLOW_THUMBNAIL_W * CLZK_FLOW_THUMBNAIL_H,
};

struct clzk_flow_size {
    int factor;                             // one pixel of the flow covers factor x factor pixels of the film's picture
    int levels;
    int w[CLZK_FLOW_LEVELS], h[CLZK_FLOW_LEVELS];
    size_t at[CLZK_FLOW_LEVELS];            // offset of the level, in pixels
    size_t pixels;                          // of all levels
};

// Fills size for pictures of w x h.
void clzk_flow_size_of(struct clzk_flow_size *size, int w, int h);

// floats that clzk_flow_picture() and clzk_flow() need as scratch
size_t clzk_flow_scratch(const struct clzk_flow_size *size);

// Prepares a picture: lightness [h,w] is 0 to 1; planes has CLZK_FLOW_PLANES * size->pixels floats.
void clzk_flow_picture(const struct clzk_flow_size *size, const float *lightness, int w, int h, float *planes, float *scratch);

// v [2,h0,w0]: x and y components, in pixels of level 0.
void clzk_flow(const struct clzk_flow_size *size, const float *from, const float *to, float *v, float *scratch);

// How well the motions there and back agree, 0 to 1 for each pixel: exp(-d^2 / 2 s^2), d the distance from where the pixel began
// after both, s = 0.7 pixels. 0 where the motion leaves the picture. Returns the mean.
float clzk_flow_agreement(const struct clzk_flow_size *size, const float *there, const float *back, float *agreement);

// Correlation of picture `from` with `to` moved by v, -1 to 1; 1 where both have no contrast.
float clzk_flow_correlation(const struct clzk_flow_size *size, const float *from, const float *to, const float *v);

// By how much `to` is brighter than `from` where they agree: mean of the difference of lightness, weighted by agreement.
float clzk_flow_brightness(const struct clzk_flow_size *size, const float *from, const float *to, const float *v,
                           const float *agreement);

// A small picture of a prepared one, [CLZK_FLOW_THUMBNAIL_H, CLZK_FLOW_THUMBNAIL_W]: mean lightness.
void clzk_flow_thumbnail(const struct clzk_flow_size *size, const float *planes, float *thumbnail);

// Mean of lightness of a prepared picture, and its contrast: the standard deviation of lightness from its local mean.
float clzk_flow_mean(const struct clzk_flow_size *size, const float *planes);
float clzk_flow_contrast(const struct clzk_flow_size *size, const float *planes);
#endif
