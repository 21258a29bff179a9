// compare.h - how near a coloured film comes to the true one, beside two baselines: grey, and one colour everywhere.
#ifndef CLZT_COMPARE_H
#define CLZT_COMPARE_H
#include "data.h"
#include "metrics.h"

struct clzt_comparison { struct clzt_scores film, grey, mean; };

// Up to `pictures` (0: all) spread over both; they must be as many and of one size. The lightness is that of the truth on both
// sides: only colour is judged. mean: the one colour, a*/110 and b*/110.
int clzt_compare(struct clzt_dataset *truth, struct clzt_dataset *film, int64_t pictures, const double mean[2],
                 struct clzt_comparison *result);
#endif
