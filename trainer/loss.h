// loss.h - what training makes small. Every loss is one function and one row in loss.c; a recipe gives each a weight.
#ifndef CLZT_LOSS_H
#define CLZT_LOSS_H
#include <stddef.h>

// How rare colours are, for rebalancing (Zhang 2016): the ab plane in cells of 10 x 10 Lab units, a weight for each.
enum { CLZT_AB_CELLS = 23, CLZT_AB_STEP = 10, CLZT_AB_LOW = -115 };     // cell i covers [LOW + STEP i, LOW + STEP (i+1))
struct clzt_ab_weights { float w[CLZT_AB_CELLS * CLZT_AB_CELLS]; };     // [a cell][b cell]

// From the counts of colours in each cell: w = 1 / ((1-mix) p + mix / Q) with p smoothed by a Gaussian of sigma 5 Lab units, Q the number of
// cells that occur, scaled so that the mean weight over the data is 1, clipped to [0.3, 3].
void clzt_ab_weights_make(struct clzt_ab_weights *weights, const double *counts, double mix);

struct clzt_loss_input {
    const float *pred, *target;             // [n,2,h,w], ab / 110
    int n, h, w;
    const struct clzt_ab_weights *rarity;   // NULL: every colour counts the same
};

struct clzt_loss {
    const char *name;                       // key in the recipe's `loss`
    const char *help;
    // Returns the loss and adds weight * gradient to grad [n,2,h,w].
    double (*value)(const struct clzt_loss_input *in, float weight, float *grad);
};

extern const struct clzt_loss clzt_losses[];        // ends with a row whose name is NULL
enum { CLZT_MAX_LOSSES = 8 };
#endif
