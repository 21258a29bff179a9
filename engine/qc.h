// qc.h - what a film's colours look like in numbers, so that the places that need a hand are found without watching all of it.
//
// PATH is a CSV with a row for each frame, PATH.html a page with a row and a thumbnail for each shot, numbered as in the list of
// shots; beside a FIFO or a device there is no page. The columns of the CSV, an
// empty field where a figure is not known:
//
//     frame, time      number, from first_frame on; seconds
//     colour           mean chroma (Lab units)
//     grey             share of the pixels of L* 15 to 95 whose chroma is below 4
//     ambiguity        0 the network is sure of every pixel's class of colour, 1 it has no idea: mean entropy of its
//                      probabilities / log(classes). Of models with a head of classes
//     x, y             the pixel of the frame where a hint would pay most: the middle of the most ambiguous place
//     unsteady         mean distance of the network's own answer from the colours that the stabiliser makes of it (Lab units)
//     flicker          mean change of colour since the frame before, where L* changed by less than 1 (Lab units)
//     cdc              Jensen-Shannon divergence of the distributions of a* and b* of this frame and the one before, mean of the
//                      two: colour distribution consistency at a distance of one frame (Liu et al., "Temporally Consistent Video
//                      Colorization", 2021, who have it of R, G, B)
//     border           largest distance of the mean colour of a square at the border from that of its inner neighbour (Lab
//                      units): spots at the border
#ifndef CLZI_QC_H
#define CLZI_QC_H
#include "colorize.h"

struct clzi_qc;

struct clzi_ambiguity { float mean; int x, y; };        // mean: negative: not known. x, y: pixel of the network's picture

// What the pipeline knows of a frame before the stabiliser has it.
struct clzi_qc_note {
    struct clzi_ambiguity ambiguity;
    int x, y, width, height;                // of the frame's pixels, those that the network sees
};

struct clzi_qc_frame {
    double time;                            // seconds; negative: unknown
    int back;                               // the frame continues the one so many before it; 0: it begins a shot
    int w, h;                               // of the network's picture
    const float *l;                         // [h,w] lightness, 0 to 1
    const float *own, *ab;                  // [2,h,w] the network's answer, and the colours that are used
    float ab_scale;                         // own, ab times ab_scale is in Lab units
    struct clzi_qc_note note;
};

// Returns 0, -ENOMEM, -EEXIST (the files are not such files) or the error of creating one of them, with a message.
int clzi_qc_create(struct clzi_qc **qc, const char *path, uint64_t first, const struct clz_log *log);
void clzi_qc_destroy(struct clzi_qc **qc);                  // completes the files; a failed write is one warning
void clzi_qc_add(struct clzi_qc *qc, const struct clzi_qc_frame *frame);       // the next frame
void clzi_qc_skip(struct clzi_qc *qc);                      // the next frame is passed on untouched

// Of logits [classes,h,w], whose pixels cover factor x factor pixels of the network's picture.
struct clzi_ambiguity clzi_ambiguity_of(const float *logits, int classes, int h, int w, int factor, int threads);
#endif
