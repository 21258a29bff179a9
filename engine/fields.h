// fields.h - the pictures that a film's frames consist of, for the network: which frames hold two fields of different times, and
// which pictures repeat one before.
//
// A frame is one picture, or two where it is interlaced and its fields differ by motion: then each field is a picture of half the
// height. They differ in a place if the rows of one field do not fit between those of the other one (combing): in a square of 16
// x 16 luma samples the differences of neighbouring rows, which belong to two fields, exceed those of rows of one field. Noise
// and fine detail make both larger alike. Detail as fine as the rows does not: a square that has not changed
// since the frame before is what it was there.
//
// A picture that repeats one before has its luma to within a number of codes. Of the fields of telecined film, whose pictures are
// spread over frames by 3:2 pulldown, a field that fits between the rows of the last field of the frame before is a repetition
// too; only frames that hold two pictures are looked at in this way, so that film that moves little is not taken for one picture.
//
// What is found depends on the frames up to this one and on nothing else. Frames lie in host memory.
#ifndef CLZI_FIELDS_H
#define CLZI_FIELDS_H
#include <stdbool.h>
#include <stdint.h>

#include "colorize.h"
#include "kernels/frame.h"

enum { CLZI_FIELDS_CELL = 8 };              // the map has one number for so many columns and rows of the frame
enum { CLZI_FIELDS_BACK = 2 };              // a picture may repeat one so many pictures before it

struct clzi_fields_params {
    int repeats;                            // codes of 8 bits by which luma may differ in a repetition; -1: none are found
    bool telecine;                          // fields that fit are repetitions
};

struct clzi_fields_frame {
    int count;                              // of pictures: 1 or 2
    struct { enum clzk_part part; int like; } picture[2];       // like: it repeats the picture so many before it; 0: none
};

struct clzi_fields;
int clzi_fields_create(struct clzi_fields **fields, const struct clzi_fields_params *params);
void clzi_fields_destroy(struct clzi_fields **fields);

// Whether frames of this size and format can be split into fields: rows of luma and chroma belong to one field each.
bool clzi_fields_fit(const struct clz_frame *frame);

// Number of bytes of the map of a frame.
size_t clzi_fields_map_size(const struct clz_frame *frame);

// Looks at the next frame. order: whether it is interlaced, and which field comes first. map: where the fields differ, for frames
// of two pictures: 0 or 255 for each square of CLZI_FIELDS_CELL samples, ceil(width / cell) columns. Returns 0 or -ENOMEM;
// allocates at the first frame and where size or format differ from those of the frame before.
int clzi_fields_next(struct clzi_fields *fields, const struct clz_frame *in, enum clz_fields order, uint8_t *map,
                     struct clzi_fields_frame *frame);

// The next frame repeats none before it.
void clzi_fields_restart(struct clzi_fields *fields);
#endif
