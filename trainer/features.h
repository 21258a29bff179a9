// features.h - a network that describes pictures by vectors, for FD-lite0: the Frechet distance (frechet.h) between the vectors
// of coloured pictures and those of the true ones. It is small where the coloured pictures look like photographs, right or wrong.
//
// The network is EfficientNet-Lite0 with its head, the vectors the 1280 means of its last features; its model file is converted
// from a checkpoint (net=lite0-features). The distance depends on the network, on the size and on the number of pictures: it
// falls as that grows. It is no FID, which is of Inception-v3.
#ifndef CLZT_FEATURES_H
#define CLZT_FEATURES_H
#include "engine/backend.h"

struct clzt_features;

// Reads the model file and binds it to pictures of width x height. -EINVAL, logged: it is another network.
int clzt_features_create(struct clzt_features **features, struct clzi_device *dev, const char *path, int width, int height,
                         const struct clz_log *log);
void clzt_features_destroy(struct clzt_features **features);
int clzt_features_size(const struct clzt_features *features);      // of a vector

// rgb: 8-bit, interleaved.
int clzt_features_run(struct clzt_features *features, const uint8_t *rgb, float *vector);
#endif
