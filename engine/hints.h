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
#include <stdbool.h>
#include <stdint.h>

#include "colorize.h"

struct clzi_length { float value; bool share; };        // pixels, or a share of 1
struct clzi_point { struct clzi_length x, y, r; float a, b; };

struct clzi_hints {
    struct clzi_point *points;
    int count;
    uint8_t *rgba;                          // NULL: points
    int width, height;                      // of the picture
};

// Returns 0, -ENOMEM, -EBADMSG (it is neither, or a line is wrong) or the error of reading, with a message.
int clzi_hints_read(struct clzi_hints **hints, const char *path, const struct clz_log *log);
// The bytes of a file of at most 256 MiB, to be freed. Errors as above.
int clzi_hints_load(const char *path, uint8_t **data, size_t *size, const struct clz_log *log);
// As clzi_hints_read(), from memory (fuzzing, tests).
int clzi_hints_parse(struct clzi_hints **hints, const void *data, size_t size, const char *name, const struct clz_log *log);
void clzi_hints_destroy(struct clzi_hints **hints);

// ---- painting ----

struct clzi_hints_area { int x, y, width, height; };            // in pixels of the frame

struct clzi_canvas {                        // the planes [3][h][w] of what the network sees of a frame: a*, b*, mask
    float *planes, ab_scale;                // a* and b* are divided by ab_scale
    struct clzi_hints_area seen;
    int w, h;
};

// Where a point lies in a frame of width x height pixels; the pixel at the top left has its centre at (0.5, 0.5). Returns false
// if it lies outside.
struct clzi_place { float x, y, r; };
bool clzi_point_place(const struct clzi_point *point, int width, int height, struct clzi_place *place);

// Paints the pixels whose centres are within the radius, at least one.
void clzi_point_paint(const struct clzi_canvas *canvas, const struct clzi_point *point, const struct clzi_place *place);

// Paints all hints into cleared planes. Returns how many points lie outside the frame.
int clzi_hints_paint(const struct clzi_hints *hints, int width, int height, const struct clzi_canvas *canvas);
#endif
