// crop.h - one picture made into one sample: a part of it, perhaps mirrored, as grey film (the network's input) and
// as colour.
#ifndef CLZT_CROP_H
#define CLZT_CROP_H
#include <stdbool.h>
#include "data.h"

// Tables for 8-bit values; made once, read by all threads.
struct clzt_crop_tables {
    float linear[256];                      // sRGB to linear light
    float l_of_luma[256];                   // L* / 50 - 1 of the grey pixel with that Y'
};
void clzt_crop_tables_make(struct clzt_crop_tables *tables);

// How one sample is made; clzt_crop_draw makes it by chance, clzt_crop_plain without.
struct clzt_crop {
    int x, y, width, height;                // the picture's part
    struct clzt_size size;                  // the sample's; the part is scaled when it differs
    bool flip, lstar;                       // lstar: the network's input is L* of the colour
    float luma[3];                          // weights of R', G', B' in Y', sum 1
    float gamma, contrast, blur, grain, grain_soft;             // exponent, factor, sigma, deviation, share of grain larger than a pixel
    uint64_t seed, high, low;               // of the grain
};

// Greys: random weights lie about a mix of 601, 709 and 2020; a quarter of them see hardly any red and much blue, as
// film before about 1930 did (orthochromatic). epoch and picture are the counters of chance.
// size: of the sample. width, height: of the picture; where it is too small for the sample, a smaller part is enlarged.
void clzt_crop_draw(struct clzt_crop *crop, const struct clzt_loader_params *params, struct clzt_size size, int width, int height,
                    int64_t epoch, int64_t picture);
void clzt_crop_plain(struct clzt_crop *crop, const struct clzt_loader_params *params, struct clzt_size size, int width,
                     int height);

// Scratch of one thread, for samples of up to that width and height.
struct clzt_crop_scratch;
int clzt_crop_scratch_create(struct clzt_crop_scratch **scratch, struct clzt_size most);
void clzt_crop_scratch_destroy(struct clzt_crop_scratch **scratch);

// l [h,w], ab [2,h,w], true_l [h,w] or NULL, scaled as in struct clzt_batch. The grey is rounded to 8
// bits, as films have it. -ENOMEM for a part larger than any before.
int clzt_crop_run(const struct clzt_crop *crop, const struct clzt_crop_tables *tables, struct clzt_crop_scratch *scratch,
                  const struct clzt_picture *picture, float *l, float *ab, float *true_l);

// A row of 8-bit sRGB to L* / 50 - 1, a* / 110, b* / 110. Error below 0.001 Lab units (tests/data.c measures it).
void clzt_lab_row(const struct clzt_crop_tables *tables, const uint8_t *r, const uint8_t *g, const uint8_t *b, int count, float *l,
                  float *a, float *bb);
#endif
