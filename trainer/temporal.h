// temporal.h - how steadily a film is coloured. Frames are given in order; both scores are means over pairs of frames of a film.
// - cdc: colour distribution consistency (TCVC, Liu et al. 2023): Jensen-Shannon divergence, natural logarithm, of the 256-bin
//   histograms of frames t apart, 8-bit R, G and B; mean over the pairs, then over t = 1, 2, 4 and the channels. 0: the colours
//   stay; ln 2 = 0.693: they share nothing. A fade or a cut counts as well, so it means something only beside the true film's.
// - change: length of the difference of a*, b* between neighbouring frames, Lab units; mean over the pixels whose L* differs by
//   less than 1. There the true film's colours stay nearly as they are; flicker of a coloured one shows.
#ifndef CLZT_TEMPORAL_H
#define CLZT_TEMPORAL_H
#include <stdint.h>

struct clzt_temporal;
struct clzt_temporal_scores { double cdc, change; };    // NAN: no film was long enough (5 frames, 2 frames)

int clzt_temporal_create(struct clzt_temporal **temporal, int64_t pixels);
void clzt_temporal_destroy(struct clzt_temporal **temporal);
void clzt_temporal_cut(struct clzt_temporal *temporal);         // the next frame is the first of another film

// rgb: 8-bit, interleaved; l: L* / 50 - 1 of the true film; ab [2,pixels] in units of 110.
void clzt_temporal_add(struct clzt_temporal *temporal, const uint8_t *rgb, const float *l, const float *ab);
struct clzt_temporal_scores clzt_temporal_scores(const struct clzt_temporal *temporal);
#endif
