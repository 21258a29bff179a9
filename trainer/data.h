// data.h - pictures to train on: a dataset is a list of pictures over folders, single pictures and videos (every frame
// a picture); a loader makes batches of grey and colour from it in the background.
//
// Which picture, crop, flip, grey and grain a sample gets follows from (seed, epoch, picture, use) by a counter-based
// generator, and the order of an epoch from (seed, epoch) by a permutation that is computed, not stored. So batches
// depend neither on the number of workers nor on what came before: a loader started at step k gives what one that ran
// up to k would have given.
#ifndef CLZT_DATA_H
#define CLZT_DATA_H
#include <stdbool.h>
#include <stdint.h>

#include "engine/colorize.h"

// ---- dataset ----

enum clzt_cache { CLZT_CACHE_NONE, CLZT_CACHE_RAM };

struct clzt_dataset_params {
    const char *const *paths;               // folders (searched through, sorted), videos, pictures
    int path_count;
    int scale;                              // short side that pictures are scaled to, 0: as they are
    int min_side;                           // smaller pictures are enlarged to this short side (the crop)
    enum clzt_cache cache;                  // RAM: clzt_dataset_fill decodes everything and keeps it as 8-bit RGB
    int64_t cache_limit;                    // bytes; what goes beyond is decoded anew each time. 0: half the memory
    int threads;                            // for filling the cache, 0: one a core
    struct clz_log log;
    void (*progress)(void *priv, int64_t done, int64_t total);  // optional; from the opening thread, the cache fills
    void *priv;
    const volatile int *stop;               // optional; when it becomes non-zero, opening ends with -ECANCELED
};

struct clzt_dataset;

// Finds the files and counts their pictures; decodes none. -ENOENT and others for a path that cannot be read, -EINVAL for one
// that is neither a folder nor a regular file, or when there is no picture at all. A picture that cannot be decoded is reported
// once and replaced by the next readable one; a video that is broken gives the frames before the damage and those from the next
// key frame on, with a warning.
int clzt_dataset_open(struct clzt_dataset **dataset, const struct clzt_dataset_params *params);

// With params.cache RAM: decodes every picture and keeps what the limit allows. Once, before the first reader.
int clzt_dataset_fill(struct clzt_dataset *dataset);

// -ENOENT and others, logged, for the first path of a list that cannot be read or is no folder and no regular file; what: the
// recipe's key. Quick, for callers who do much before they open the dataset.
int clzt_paths_check(const char *const *paths, int count, const char *what, const struct clz_log *log);
void clzt_dataset_close(struct clzt_dataset **dataset);

int64_t clzt_dataset_count(const struct clzt_dataset *dataset);     // pictures
int64_t clzt_dataset_cached(const struct clzt_dataset *dataset);    // of these in memory
int64_t clzt_dataset_bad(const struct clzt_dataset *dataset);       // found unreadable so far
uint64_t clzt_dataset_hash(const struct clzt_dataset *dataset);     // of file names without folders, sizes and counts

int clzt_dataset_min_side(const struct clzt_dataset *dataset);       // no picture is smaller
const struct clz_log *clzt_dataset_log(const struct clzt_dataset *dataset);

// A picture as three planes of 8-bit sRGB.
struct clzt_picture {
    int width, height;
    const uint8_t *r, *g, *b;               // stride is width
};

// One thread's way into a dataset: holds its open decoders and the memory of the picture it gave last.
struct clzt_reader;
int clzt_reader_create(struct clzt_reader **reader, struct clzt_dataset *dataset);
void clzt_reader_destroy(struct clzt_reader **reader);

// Picture `index`, or the next good one after it (wrapping around). Valid until the next read or destroy of this
// reader. -EBADMSG: no picture of the whole set can be read, which is said once.
int clzt_reader_read(struct clzt_reader *reader, int64_t index, struct clzt_picture *picture);

// ---- loader ----

enum { CLZT_MAX_ZOOM = 8, CLZT_MAX_ASPECT = 4, CLZT_MAX_SHAPES = 16 };

struct clzt_size { int w, h; };

enum clzt_luma_input { CLZT_LUMA_RANDOM, CLZT_LUMA_601, CLZT_LUMA_709, CLZT_LUMA_2020, CLZT_LUMA_LSTAR };

// What film does to grey, each the greatest amount; a picture gets a random one between none and that. All 0: digital
// grey.
struct clzt_film {
    double grain;                           // standard deviation, in units of Y' 0..1
    double blur;                            // Gaussian sigma, pixels
    double gamma;                           // Y' to the power 2^u, u in -gamma..gamma
    double contrast;                        // Y' about its middle times 1 + u, u in -contrast..contrast
};

struct clzt_loader_params {
    int size, batch;                        // side of the square crop; pictures to a batch
    struct clzt_size shapes[CLZT_MAX_SHAPES];   // augment only: each batch has a random one of these shapes instead of the square
    int shape_count;
    bool augment;                           // true: shuffled, endless, random crops; false: one pass, in order, centre crops
    double zoom_in, zoom_out;               // crops have sides from size / zoom_in to size * zoom_out, as far as the picture
                                            // goes, and are scaled to size. Without augment: the widest. Up to 1: not.
                                            // At most CLZT_MAX_ZOOM
    double aspect;                          // crops are up to so many times as wide as tall, squeezed to squares (augment only).
                                            // Up to 1: not. At most CLZT_MAX_ASPECT
    bool flip;                              // half of the crops mirrored (augment only)
    enum clzt_luma_input luma;              // RANDOM without augment means 601
    struct clzt_film film;                  // augment only
    bool want_true_l;                       // fill batch.true_l
    uint64_t seed;
    int64_t first_step;                     // first batch to give, from 0 (augment only)
    int64_t pictures;                       // without augment: how many, spread evenly over the dataset; 0: all
    int workers;                            // threads, 0: one a core
    int ahead;                              // batches prepared ahead, 0: 3
};

enum { CLZT_L_SCALE = 50, CLZT_L_OFFSET = 1 };          // of a batch's L: L* / scale - offset

struct clzt_batch {
    int count;                              // params.batch, but for the last batch of a pass
    int shape;                              // index into params.shapes; 0 without
    struct clzt_size size;
    int64_t step;
    float *l;                               // [count,1,h,w] L* / 50 - 1 of the grey picture: the network's input
    float *ab;                              // [count,2,h,w] a* / 110, b* / 110 of the colour picture
    float *true_l;                          // [count,1,h,w] L* / 50 - 1 of the colour picture; NULL: not asked for
    int64_t *index;                         // [count] picture each came from
};

struct clzt_loader;

int clzt_loader_create(struct clzt_loader **loader, struct clzt_dataset *dataset,
                       const struct clzt_loader_params *params);
void clzt_loader_destroy(struct clzt_loader **loader);      // all batches must have been released

// The next batch, in order; waits for it. Memory belongs to the loader until it is released; several may be out at
// once, but no more than `ahead` - 1. Returns 0, -ENODATA at the end of a pass, or the error that stopped a worker. One
// thread at a time.
int clzt_loader_next(struct clzt_loader *loader, struct clzt_batch **batch);
void clzt_loader_release(struct clzt_loader *loader, struct clzt_batch **batch);

// Begin at `step` again (without augment: 0 begins the pass anew). All batches must have been released.
int clzt_loader_rewind(struct clzt_loader *loader, int64_t step);

struct clzt_loader_stats {
    int64_t pictures;                       // prepared
    double waited;                          // seconds the caller spent waiting in clzt_loader_next
    double worked;                          // seconds of all workers together
};
struct clzt_loader_stats clzt_loader_stats(struct clzt_loader *loader);

struct clzt_colours {
    double mean[2];                         // a*/110 and b*/110
    int64_t pictures, grey;                 // looked at; of these with a spread below CLZT_GREY
    double spread;                          // mean over pictures: deviation of a*, b* from the picture's own mean, Lab units
    double across;                          // of all pictures together: deviation across the line that their colours lie along
};
enum {
    CLZT_GREY = 3,                          // spread of a grey picture at most; photographs have 5 to 50
    CLZT_TINT = 2,                          // across of tinted (sepia) material at most; a set of photographs has 6 and more
};

// The colours of up to `pictures` pictures spread evenly over the dataset (0: all), and if counts is not NULL how often each cell
// of clzt_ab_weights occurs (CLZT_AB_CELLS^2 entries). For the mean-colour baseline, rebalancing, and clzt_colours_warn.
int clzt_dataset_colours(struct clzt_dataset *dataset, int64_t pictures, struct clzt_colours *colours, double *counts);

// Warns where a fifth of the pictures are nearly grey, or all are tinted. what: the recipe's key, "train".
void clzt_colours_warn(const struct clzt_colours *colours, const char *what, const struct clz_log *log);
#endif
