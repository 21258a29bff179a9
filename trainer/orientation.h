// orientation.h - how a stored picture is turned and mirrored to be shown: EXIF tag of pictures, display matrix of films.
//
// Orientations are numbered as in EXIF (CIPA DC-008, tag 0x0112): 1 as stored, 2 mirrored left to right, 3 turned by 180 degrees,
// 4 mirrored top to bottom, 5 transposed, 6 turned by 90 degrees clockwise, 7 transposed along the other diagonal, 8 turned by 90
// degrees counter-clockwise.
#ifndef CLZT_ORIENTATION_H
#define CLZT_ORIENTATION_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Of a JPEG, PNG, WebP or TIFF file in memory. 1 where it does not say, or is damaged. Reads no byte beyond size.
int clzt_orientation_of_file(const uint8_t *data, size_t size);

// Of a display matrix (libavutil/display.h). An angle between two quarter turns counts as the nearer.
int clzt_orientation_of_matrix(const int32_t matrix[9]);

bool clzt_orientation_transposes(int orientation);              // width and height change places

// Three planes of width x height bytes as they are shown. The planes of out lie one after the other, like those of in.
void clzt_orient(int orientation, const uint8_t *in, int width, int height, uint8_t *out);
#endif
