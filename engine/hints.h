// hints.h - colours that the user gives for places of a film's frames. They come from a file and are painted into the network's
// input "hints": three planes, a*, b* and a mask, 0 where there is no hint.
//
// The file is either text, with a line for each point:
//
//     x y r #rrggbb
//
// x, y: a pixel of the frame, from 0, 0 at the top left; r: radius in pixels. A number followed by % is a share: x of the frame's
// width, y of its height, r of its shorter side. Where points overlap, the later one counts. Empty lines and lines that begin
// with '#' are ignored. Or it is a PNG with transparency, which is laid over the frame, whatever its size: opaque pixels are
// hints.
//
// Of a colour, only hue and saturation count: the lightness is that of the film.
#ifndef CLZI_HINTS_H
#define CLZI_HINTS_H
#include "colorize.h"

struct clzi_hints;

// Returns 0, -ENOMEM, -EBADMSG (it is neither, or a line is wrong) or the error of reading, with a message.
int clzi_hints_read(struct clzi_hints **hints, const char *path, const struct clz_log *log);
// As clzi_hints_read(), from memory (fuzzing, tests).
int clzi_hints_parse(struct clzi_hints **hints, const void *data, size_t size, const char *name, const struct clz_log *log);
void clzi_hints_destroy(struct clzi_hints **hints);

struct clzi_hints_area { int x, y, width, height; };            // in pixels of the frame

// Paints the hints of a frame of width x height pixels, of which the network sees `seen` as w x h pixels, into planes [3][h][w]:
// a* / ab_scale, b* / ab_scale, mask. A point paints the pixels whose centres are within its radius, at least one. Returns how
// many points of the file lie outside the frame.
int clzi_hints_paint(const struct clzi_hints *hints, int width, int height, const struct clzi_hints_area *seen, int w, int h,
                     float ab_scale, float *planes);
#endif
