// loss.h - what training makes small. Every loss is an op of the engine (engine/ops.def) and a row in loss.c; a recipe gives each
// a weight. The trainer adds them to the generator's graph, so that they and their gradients are computed on the device.
#ifndef CLZT_LOSS_H
#define CLZT_LOSS_H
#include "engine/graph.h"
#include "kernels/ab_bins.h"

// How rare colours are, for rebalancing (Zhang 2016): the ab plane in cells of 10 x 10 Lab units, a weight for each.
enum { CLZT_AB_CELLS = 23, CLZT_AB_STEP = CLZK_AB_STEP, CLZT_AB_LOW = -115 };  // cell i covers [LOW + STEP i, LOW + STEP (i+1))
struct clzt_ab_weights { float w[CLZT_AB_CELLS * CLZT_AB_CELLS]; };     // [a cell][b cell]

// From the counts of colours in each cell: w = 1 / ((1-mix) p + mix / Q) with p smoothed by a Gaussian of sigma 5 Lab units, Q
// the number of cells that occur, scaled so that the mean weight over the data is 1, clipped to [0.3, 3].
void clzt_ab_weights_make(struct clzt_ab_weights *weights, const double *counts, double mix);

// Weight of each pixel of ab [n,2,h,w] by the rarity of its colour, into [n,1,h,w].
void clzt_ab_weights_map(const struct clzt_ab_weights *weights, const float *ab, int n, int64_t pixels, float *map);

// Adds factor * log(weight of the class's colour) to each logit's bias [CLZK_AB_BINS]: what was learnt without rebalancing then
// answers as if rare colours were more frequent (Menon et al., "Long-tail learning via logit adjustment", 2021).
void clzt_ab_weights_adjust(const struct clzt_ab_weights *weights, double factor, float *bias);

struct clzt_loss {
    const char *name;                       // key in the recipe's `loss`
    const char *help;
    enum clzi_op_id op;                     // [pred, target] or, if weighted, [pred, target, weight]
    bool weighted;                          // takes the weights of rare colours
    bool of_logits;                         // pred are the logits of the classes of colour; the generator must have such a head
    bool of_features;                       // of what a frozen network sees in the pictures: perceptual.h
};

extern const struct clzt_loss clzt_losses[];        // ends with a row whose name is NULL
enum { CLZT_MAX_LOSSES = 7 };
#endif
