// scaler.h - a decoded frame of any format as planes of 8-bit sRGB at the size that training wants.
#ifndef CLZT_SCALER_H
#define CLZT_SCALER_H
#include <stdint.h>
#include <libavutil/frame.h>

struct clzt_scaler;

int clzt_scaler_create(struct clzt_scaler **scaler);
void clzt_scaler_destroy(struct clzt_scaler **scaler);

// Short side `scale` (0: as it is), but at least min_side; the aspect ratio is kept (the long side at most INT_MAX).
void clzt_scaled_size(int width, int height, int scale, int min_side, int *w, int *h);

// rgb: three planes of w * h bytes, one after the other.
int clzt_scaler_run(struct clzt_scaler *scaler, const AVFrame *frame, int w, int h, uint8_t *rgb);
#endif
