// scaler.h - converts a decoded frame of any pixel format to planes of 8-bit sRGB at a given size.
#ifndef CLZT_SCALER_H
#define CLZT_SCALER_H
#include <stdint.h>
#include <libavutil/frame.h>

struct clzt_scaler;

int clzt_scaler_create(struct clzt_scaler **scaler);
void clzt_scaler_destroy(struct clzt_scaler **scaler);

// Size with short side `scale` (0: that of the frame), but at least min_side, and the frame's aspect ratio; the long side is at
// most INT_MAX.
void clzt_scaled_size(int width, int height, int scale, int min_side, int *w, int *h);

// Converts to w x h. rgb: three planes of w * h bytes, one after the other.
int clzt_scaler_run(struct clzt_scaler *scaler, const AVFrame *frame, int w, int h, uint8_t *rgb);
#endif
