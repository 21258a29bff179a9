// sample.h - colours pictures as the library does, at their own size, with several settings side by side.
#ifndef CLZT_SAMPLE_H
#define CLZT_SAMPLE_H
#include "engine/colorize.h"

enum { CLZT_SAMPLE_SETTINGS = 8 };

struct clzt_sample_params {
    const char *model, *in;                 // model file; picture, folder or video
    const char *out;                        // of a single picture: a PNG file, or a folder; else a folder, which is made
    double strength[CLZT_SAMPLE_SETTINGS];  // as the option of the filter, 0 to 1
    double saturation[CLZT_SAMPLE_SETTINGS];        // likewise, 0 to 4
    double temperature[CLZT_SAMPLE_SETTINGS];       // of a model with classes of colour; 0: as it was trained
    int settings;                           // 1: the coloured picture alone. More: grey and all of them in a row
    int64_t pictures;                       // of a folder or video, evenly spread; 0: all
    int size, threads;                      // as in clz_stream_params
    const char *device;
    const volatile int *stop;               // optional; non-zero: ends with -ESHUTDOWN after the current picture
};

// -EINVAL, logged: a temperature is given for a model without classes of colour.
int clzt_sample(const struct clzt_sample_params *params, const struct clz_log *log);
#endif
