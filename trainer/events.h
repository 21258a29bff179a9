// events.h - what a training reports as TensorBoard event files: scalars and pictures.
//
// A file is a sequence of records (TFRecord): length as u64, masked CRC-32C of these 8 bytes, the data, masked CRC-32C of the
// data, all little-endian; mask(c) = (c >> 15 | c << 17) + 0xa282ead8. The data is a protocol buffer "Event":
//     Event: 1 wall_time double, 2 step int64, 3 file_version string, 5 Summary, 7 SessionLog { 1 status }
//     Summary: 1 Value, repeated: { 1 tag, 2 simple_value float, 4 Image { 1 height, 2 width, 3 colorspace, 4 encoded } }
// The first record has the version "brain.Event:2". A reader leaves out a last record that is incomplete.
#ifndef CLZT_EVENTS_H
#define CLZT_EVENTS_H
#include <stdint.h>
#include "engine/colorize.h"

struct clzt_events;

// Creates folder/events.out.tfevents.SECONDS.colorize, or with .1, .2, ... at the end if that exists. first: the number of the
// first step that follows; TensorBoard drops what earlier files of the folder say of it and of later ones. -errno, logged.
int clzt_events_open(struct clzt_events **events, const char *folder, int64_t first, const struct clz_log *log);
void clzt_events_close(struct clzt_events **events);

// One record; values that are NAN are left out. After the first such call with as many values none allocates memory. -EIO: it was
// not written (disk full); a later one may be.
int clzt_events_scalars(struct clzt_events *events, int64_t step, const char *const *tags, const double *values, int count);
// An RGB picture as a PNG file's content.
int clzt_events_png(struct clzt_events *events, int64_t step, const char *tag, int width, int height, const void *png,
                    size_t size);

uint32_t clzt_crc32c(const void *data, size_t size);
#endif
