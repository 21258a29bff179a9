// data.h - training data: a dataset is a numbered list of the pictures of folders, files and videos (each frame is a picture); a
// loader prepares batches of grey and colour samples from it in worker threads.
//
// Random choices (crop, mirroring, luma weights, grain) come from a counter-based generator keyed by seed, epoch, picture and
// use; the order of an epoch is a permutation computed from seed and epoch. So batches depend neither on the number of workers
// nor on earlier batches: a loader that starts at step k gives the batches that one started at 0 gives from k on.
#ifndef CLZT_DATA_H
#define CLZT_DATA_H
#include <stdbool.h>
#include <stdint.h>

#include "coco.h"
#include "engine/colorize.h"
#include "split.h"

// ---- dataset ----

enum clzt_cache { CLZT_CACHE_NONE, CLZT_CACHE_RAM };

struct clzt_dataset_params {
    const char *const *paths;               // folders (searched recursively, sorted by name), videos, pictures; instances files
                                            // of COCO, .json: the pictures that they list
    int path_count;
    const char *const *coco_images;         // folders in which these are looked for; none: those of COCO's layout, train2017
    int coco_images_count;                  // for instances_train2017.json in the same folder, its parent, or images within it
    int scale;                              // short side that pictures are scaled to, 0: not scaled
    int min_side;                           // pictures with a shorter short side are enlarged to this: the size of crops
    enum clzt_cache cache;                  // RAM: clzt_dataset_fill decodes everything and keeps it as 8-bit RGB
    int64_t cache_limit;                    // bytes; pictures beyond it are decoded for each use. 0: half of the memory
    int threads;                            // that decode at once, 0: one per core
    double min_spread;                      // clzt_dataset_fill leaves out pictures whose colours have a smaller standard
                                            // deviation than this, Lab units (clzt_colour_spread); 0: none
    struct clzt_split *split;               // NULL: all pictures; borrowed, during opening
    bool split_val, split_frames;           // the part for validation, not that for training; films are divided, too
    int shot_frames;                        // at most so many frames of each shot of a film (shots.h); 0: all
    bool quiet;                             // pictures that cannot be decoded are not logged
    struct clz_log log;
    void (*progress)(void *priv, int64_t done, int64_t total);  // optional; called by the thread in clzt_dataset_fill
    void *priv;
    const volatile int *stop;               // optional; non-zero: opening and filling return -ECANCELED
};

struct clzt_dataset;

// Finds the files and counts their pictures; decodes none. -ENOENT and others for a path that cannot be read, -EINVAL for one
// that is neither a folder nor a regular file, or when there is no picture at all. A picture that cannot be decoded is reported
// once and replaced by the next readable one; a video that is broken gives the frames before the damage and those from the next
// key frame on, with a warning.
int clzt_dataset_open(struct clzt_dataset **dataset, const struct clzt_dataset_params *params);

// With params.cache RAM: decodes every picture and keeps those that the limit allows. With params.min_spread: decodes every
// picture, leaves out nearly grey ones, which changes the number of pictures, and logs how many; -EINVAL: all are. To be called
// once, before the first reader.
int clzt_dataset_fill(struct clzt_dataset *dataset);
// With params.cache RAM: begins to do so, and returns; threads of low priority go on until all are decoded or the dataset is
// closed. Where pictures cannot be decoded one by one (videos with few key frames), or with params.min_spread: as
// clzt_dataset_fill().
int clzt_dataset_begin_fill(struct clzt_dataset *dataset);
bool clzt_dataset_filled(struct clzt_dataset *dataset);     // it has come to its end

// Checks that each path is a readable folder or regular file; reads none. Logs the first that is not, and returns its error.
// what: the recipe's key. For callers who do slow work before they open the dataset.
int clzt_paths_check(const char *const *paths, int count, const char *what, const struct clz_log *log);
void clzt_dataset_close(struct clzt_dataset **dataset);

int64_t clzt_dataset_count(const struct clzt_dataset *dataset);     // pictures
int64_t clzt_dataset_cached(struct clzt_dataset *dataset);  // pictures in memory
int64_t clzt_dataset_bad(struct clzt_dataset *dataset);     // pictures that turned out to be unreadable so far
// Whether picture `index` is the next frame of a film after index - 1: both are of one video, or pictures of one folder.
bool clzt_dataset_follows(const struct clzt_dataset *dataset, int64_t index);
uint64_t clzt_dataset_hash(const struct clzt_dataset *dataset);     // of the files' names, sizes and numbers of pictures

// Where a picture comes from. path is valid until the dataset is closed.
struct clzt_place {
    int file;                               // its number, from 0
    const char *path;
    bool film;
    int64_t frame, frames;                  // its number within the file, from 0, and the pictures of the file
};
struct clzt_place clzt_dataset_place(const struct clzt_dataset *dataset, int64_t index);
int clzt_dataset_files(const struct clzt_dataset *dataset);
struct clzt_place clzt_dataset_file(const struct clzt_dataset *dataset, int file);     // its first picture
const char *clzt_dataset_left_out(const struct clzt_dataset *dataset, int i);  // file i that could not be opened; NULL: no more

// Categories of what pictures show, from COCO: number and names of all, and the set of each picture; NULL: not known. Names that
// occur in several files have one index.
int clzt_dataset_category_count(const struct clzt_dataset *dataset);
const char *clzt_dataset_category_name(const struct clzt_dataset *dataset, int category);
const struct clzt_categories *clzt_dataset_categories(const struct clzt_dataset *dataset, int64_t index);

// clzt_dataset_hash() of the pictures and their categories.
uint64_t clzt_dataset_hash_categories(const struct clzt_dataset *dataset);

int clzt_dataset_min_side(const struct clzt_dataset *dataset);       // params.min_side
const struct clz_log *clzt_dataset_log(const struct clzt_dataset *dataset);

// A picture as three planes of 8-bit sRGB.
struct clzt_picture {
    int width, height;
    const uint8_t *r, *g, *b;               // stride is width
};

// Reads pictures for one thread: has the open decoders, and the memory of the last picture.
struct clzt_reader;
int clzt_reader_create(struct clzt_reader **reader, struct clzt_dataset *dataset);
void clzt_reader_destroy(struct clzt_reader **reader);

// Reads picture `index`, or the next readable one after it (wrapping around). It is valid until the next call with this reader.
// -EBADMSG: no picture of the dataset can be read, which is logged once.
int clzt_reader_read(struct clzt_reader *reader, int64_t index, struct clzt_picture *picture);

// Reads this picture only. -EIO: it cannot be decoded.
int clzt_reader_try(struct clzt_reader *reader, int64_t index, struct clzt_picture *picture);

// ---- loader ----

enum { CLZT_MAX_ZOOM = 8, CLZT_MAX_ASPECT = 4, CLZT_MAX_SHAPES = 16 };

struct clzt_size { int w, h; };

enum clzt_luma_input { CLZT_LUMA_RANDOM, CLZT_LUMA_601, CLZT_LUMA_709, CLZT_LUMA_2020, CLZT_LUMA_LSTAR };

// Simulation of film: the largest amount of each effect; a sample gets a random amount between none and that. All 0: none.
struct clzt_film {
    double grain;                           // standard deviation, in units of Y' 0..1
    double blur;                            // Gaussian sigma, pixels
    double gamma;                           // Y' is raised to the power 2^u, u from -gamma to gamma
    double contrast;                        // Y' - 0.5 is multiplied by 1 + u, u from -contrast to contrast
    double ortho, pan;                      // shares of the samples with the luma weights of orthochromatic, panchromatic film
    double vignette;                        // by how much Y' is smaller in the picture's corners, 0 to 1
    double flicker;                         // Y' is multiplied by 1 + u, u from -flicker to flicker at the top and at the bottom
    double scratches, dust;                 // largest numbers of scratches and of specks in a sample
};

// Hints: colours of some places as a user would give them (hints.h).
struct clzt_hint_params {
    double points;                          // mean number of places; 0: batches have no hints
    double none;                            // share of pictures without any, beside those whose number is 0 by chance
};

// Classes of what is in a picture, from its categories in COCO, as a user would say them (engine/classes.h).
struct clzt_class_params {
    int count;                              // 0: batches have no classes
    const int *category;                    // [count] the dataset's category of each class; borrowed
    double none;                            // share of pictures of which nothing is said (augment only)
};

struct clzt_loader_params {
    int size, batch;                        // width and height of samples; samples per batch
    struct clzt_size shapes[CLZT_MAX_SHAPES];   // augment only: each batch has a random one of these shapes instead of the square
    int shape_count;
    bool augment;                           // true: endless, shuffled, random crops; false: one pass, in order, centre crops
    double zoom_in, zoom_out;               // crops of size / zoom_in to size * zoom_out pixels, as far as the picture is large
                                            // enough, are scaled to size; without augment the largest. 0 to 1: size itself.
                                            // At most CLZT_MAX_ZOOM
    double aspect;                          // largest ratio of width to height of crops, relative to the sample's (augment
                                            // only). 0 to 1: 1. At most CLZT_MAX_ASPECT
    bool flip;                              // mirrors half of the crops (augment only)
    enum clzt_luma_input luma;              // RANDOM without augment means 601
    struct clzt_film film;                  // augment only
    bool want_true_l;                       // fill batch.true_l
    struct clzt_hint_params hints;          // augment: the number of places is random; otherwise it is `points`
    struct clzt_class_params classes;
    uint64_t seed;
    int64_t first_step;                     // number of the first batch, from 0 (augment only)
    int64_t pictures;                       // without augment: number of pictures, spread evenly over the dataset; 0: all
    int workers;                            // threads, 0: one per core
    int ahead;                              // batches in memory, those that are out included; 0: 3
};

enum { CLZT_L_SCALE = 50, CLZT_L_OFFSET = 1 };          // the trainer's network input is L* / scale - offset

struct clzt_batch {
    int count;                              // params.batch, but for the last batch of a pass
    int shape;                              // index into params.shapes; 0 without
    struct clzt_size size;
    int64_t step;
    float *l;                               // [count,1,h,w] L* / 50 - 1 of the grey picture: the network's input
    float *ab;                              // [count,2,h,w] a* / 110, b* / 110 of the colour picture
    float *hints;                           // [count,3,h,w] a* / 110, b* / 110 and mask; NULL: params.hints.points is 0
    float *classes;                         // [count,params.classes.count]; NULL: that is 0
    float *true_l;                          // [count,1,h,w] L* / 50 - 1 of the colour picture; NULL: not asked for
    int64_t *index;                         // [count] number of each sample's picture
};

struct clzt_loader;

int clzt_loader_create(struct clzt_loader **loader, struct clzt_dataset *dataset,
                       const struct clzt_loader_params *params);
void clzt_loader_destroy(struct clzt_loader **loader);      // all batches must have been released

// Waits for the next batch, in order. It belongs to the loader and stays valid until it is released; at most `ahead` - 1 batches
// may be out. Returns 0, -ENODATA at the end of a pass, or the error that stopped a worker. Thread-safety: one thread at a time.
int clzt_loader_next(struct clzt_loader *loader, struct clzt_batch **batch);
void clzt_loader_release(struct clzt_loader *loader, struct clzt_batch **batch);

// Continues at `step` (without augment: 0 begins a new pass). All batches must have been released.
int clzt_loader_rewind(struct clzt_loader *loader, int64_t step);

struct clzt_loader_stats {
    int64_t pictures;                       // samples made
    double waited;                          // seconds that callers waited in clzt_loader_next
    double worked;                          // seconds of work, summed over the workers
};
struct clzt_loader_stats clzt_loader_stats(struct clzt_loader *loader);

struct clzt_colours {
    double mean[2];                         // a*/110 and b*/110
    int64_t pictures, grey;                 // measured; of these nearly grey: with a spread below CLZT_GREY
    double spread;                          // standard deviation of a picture's a*, b*, Lab units; mean over the pictures
    double across;                          // standard deviation along the minor axis of the a*, b* of all pictures, Lab units
};
enum {
    CLZT_GREY = 3,                          // colour photographs have a spread of 5 to 50
    CLZT_TINT = 3,                          // `across` of tinted (sepia) material is below; 15 photographs had 16
};

// Measures up to `pictures` pictures spread evenly over the dataset (0: all). counts: NULL, or room for CLZT_AB_CELLS^2 entries,
// the histogram of a*, b* for clzt_ab_weights.
int clzt_dataset_colours(struct clzt_dataset *dataset, int64_t pictures, struct clzt_colours *colours, double *counts);

// Logs a warning if a fifth of the pictures is nearly grey, or all are tinted. what: the recipe's key, "train".
void clzt_colours_warn(const struct clzt_colours *colours, const char *what, const struct clz_log *log);
#endif
