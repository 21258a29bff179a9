// orientation.h - how a stored picture must be rotated and mirrored to be shown: EXIF tag of pictures, display matrix of films.
//
// Orientations are numbered as in EXIF (CIPA DC-008, tag 0x0112): 1 as stored, 2 mirrored left to right, 3 rotated by 180
// degrees, 4 mirrored top to bottom, 5 transposed, 6 rotated by 90 degrees clockwise, 7 transposed along the other diagonal, 8
// rotated by 90 degrees counter-clockwise.
#ifndef CLZT_ORIENTATION_H
#define CLZT_ORIENTATION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Orientation of a JPEG, PNG, WebP or TIFF file in memory. 1: it has no tag, or is damaged.
int clzt_orientation_of_file(const uint8_t *data, size_t size);

// Orientation of a display matrix (libavutil/display.h). Other angles are rounded to a multiple of 90 degrees.
int clzt_orientation_of_matrix(const int32_t matrix[9]);

bool clzt_orientation_transposes(int orientation);              // whether width and height are swapped

// Rotates and mirrors three planes of width x height bytes. The planes of in and of out lie one after the other.
void clzt_orient(int orientation, const uint8_t *in, int width, int height, uint8_t *out);
#endif
