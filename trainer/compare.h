// compare.h - scores of a coloured film against the true one, beside the baselines of validate.h.
#ifndef CLZT_COMPARE_H
#define CLZT_COMPARE_H
#include "data.h"
#include "metrics.h"

struct clzt_comparison { struct clzt_scores film, grey, mean, own; };

// Compares up to `pictures` frames (0: all) spread evenly over the films, which must have the same number of frames, all of one
// size. Both sides get the true L*, so that only colour counts. Of all frames,
// cdc and change of temporal.h are measured too. mean: the colour of the second baseline, a*/110 and b*/110.
int clzt_compare(struct clzt_dataset *truth, struct clzt_dataset *film, int64_t pictures, const double mean[2],
                 struct clzt_comparison *result);
#endif
