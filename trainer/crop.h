// crop.h - one sample from one picture: a crop, possibly mirrored, as simulated grey film (the network's input) and in colour.
#ifndef CLZT_CROP_H
#define CLZT_CROP_H
#include <stdbool.h>
#include "data.h"

// Tables for 8-bit values; computed once, read by all threads.
struct clzt_crop_tables {
    float linear[256];                      // sRGB to linear light
    float l_of_luma[256];                   // L* / 50 - 1 of the grey pixel with that Y'
};
void clzt_crop_tables_make(struct clzt_crop_tables *tables);

// Parameters of one sample; clzt_crop_draw draws them at random, clzt_crop_plain gives the centre crop of digital grey.
struct clzt_crop {
    int x, y, width, height;                // of the crop in the picture
    struct clzt_size size;                  // of the sample; the crop is scaled to it
    bool flip, lstar;                       // lstar: the network's input is L* of the colour
    float luma[3];                          // weights of R', G', B' in Y', sum 1
    float gamma, contrast;                  // film response: exponent, factor about the middle
    float blur, grain, grain_soft;          // sigma in pixels, deviation, share of the grain that is larger than a pixel
    float vignette;                         // by how much the picture's corners are darker, 0 to 1
    float light[2];                         // exposure: Y' is multiplied by 1 + this at the sample's top and bottom
    int scratches, dust;                    // their numbers
    uint64_t seed, epoch, picture;          // Philox key and counter of what is drawn pixel by pixel, or for each scratch
};

// Random luma weights vary about mixes of BT.601, 709 and 2020; a quarter have little red and much blue, like orthochromatic
// film, which was usual until about 1930. film.ortho and film.pan replace those of a share of the samples. epoch and picture are
// the counters of the random numbers; each effect has its own, so that none changes the numbers of another. size: of the sample.
// width, height: of the picture; where it is smaller than the sample, a smaller crop is enlarged.
void clzt_crop_draw(struct clzt_crop *crop, const struct clzt_loader_params *params, struct clzt_size size, int width, int height,
                    int64_t epoch, int64_t picture);
void clzt_crop_plain(struct clzt_crop *crop, const struct clzt_loader_params *params, struct clzt_size size, int width,
                     int height);

// Scratch memory of one thread, for samples of up to that width and height.
struct clzt_crop_scratch;
int clzt_crop_scratch_create(struct clzt_crop_scratch **scratch, struct clzt_size most);
void clzt_crop_scratch_destroy(struct clzt_crop_scratch **scratch);

// Makes the sample: l [h,w], ab [2,h,w], true_l [h,w] or NULL, scaled as in struct clzt_batch. The grey is rounded to 8 bits, as
// in most films. -ENOMEM: a crop taller than all before needs more scratch memory.
int clzt_crop_run(const struct clzt_crop *crop, const struct clzt_crop_tables *tables, struct clzt_crop_scratch *scratch,
                  const struct clzt_picture *picture, float *l, float *ab, float *true_l);

// Converts a row of 8-bit sRGB to L* / 50 - 1, a* / 110, b* / 110. The error is below 0.001 Lab units (tests/data.c).
void clzt_lab_row(const struct clzt_crop_tables *tables, const uint8_t *r, const uint8_t *g, const uint8_t *b, int count,
                  float *l, float *a, float *bb);
#endif
