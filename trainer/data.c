// data.c - datasets: find files, number their pictures, decode them, keep decoded ones in memory, measure their colours.
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <libavutil/log.h>

#include "colours.h"
#include "data.h"
#include "base/log.h"
#include "kernels/fnv.h"
#include "loss.h"
#include "orientation.h"
#include "scaler.h"
#include "shots.h"
#include "source.h"

enum {
    MAX_DEPTH = 32,                         // of nested folders
    MAX_OPEN = 8,                           // decoders that a reader keeps open
    CHUNK = 256,                            // pictures that a thread decodes in sequence for the cache, for videos' sake
    CACHE_BLOCK = 64 << 20,                 // bytes by which the cache grows
    MAX_REPORTS = 10,                       // bad pictures that are named; further ones are only counted
};

enum state { UNKNOWN, GOOD, BAD, GREY };    // GREY: to be left out

struct cached { _Atomic(uint8_t *) rgb; int width, height; };     // rgb NULL: not in memory; it is written last

struct block { struct block *next; size_t used, size; uint8_t data[]; };

struct clzt_dataset {
    struct clz_log log;
    int scale, min_side, threads;
    enum clzt_cache cache;
    int64_t cache_limit;
    bool quiet;
    void (*progress)(void *priv, int64_t done, int64_t total);
    void *priv;
    const volatile int *stop;

    double min_spread;
    struct clzt_split *split;               // during opening
    bool split_val, split_frames;
    int shot_frames;
    int considered;                         // files, before the split

    struct clzt_source *sources;
    int64_t *first;                         // [source_count + 1] number of each source's first picture
    int source_count, source_room;
    const char *const *coco_images;         // during opening
    int coco_images_count;
    char *category[CLZT_MAX_CATEGORIES];
    int category_count;
    struct clzt_categories *sets;           // of the pictures of COCO
    int set_count, set_room;
    char **left_out;                        // paths of files that could not be opened
    int left_out_count;
    int64_t count;
    uint64_t hash;
    atomic_uchar *state;                    // [count] enum state
    struct cached *cached;                  // [count] or NULL; written by clzt_dataset_fill only

    pthread_mutex_t lock;                   // guards the members below, and log
    pthread_cond_t progressed;              // a thread of clzt_dataset_fill has ended
    struct block *blocks;
    int64_t cached_size, cached_count, bad_count;
    atomic_bool full;                       // the cache
    bool none_reported;                     // the error that no picture can be read was logged

    // clzt_dataset_fill
    pthread_t fillers[256];
    int filler_count;
    int64_t next, done;
    int running, error;
    bool behind;                            // they run while the dataset is used
    atomic_bool quit;                       // they are to end
};

// ---- finding ----

enum { OTHER_PART = 1, MISSING, LEFT_OUT };     // results of adding a file that was not added

// Leaves the frames of a film that belong to this part of the split.
static int divide_film(const struct clzt_dataset *d, struct clzt_source *source, const char *name)
{
    int64_t n = 0;

    if (!source->chosen) {
        if (!(source->chosen = malloc(source->count * sizeof *source->chosen))) return -ENOMEM;
        for (int64_t i = 0; i < source->count; i++) source->chosen[i] = i;
    }
    for (int64_t i = 0; i < source->count; i++)
        if (clzt_split_has_frame(d->split, name, source->chosen[i]) == d->split_val) source->chosen[n++] = source->chosen[i];
    source->count = n;
    return n ? 0 : OTHER_PART;
}

static int choose_shots(const struct clzt_dataset *d, struct clzt_source *source)
{
    const int64_t all = source->count;
    int shots, ret = clzt_shots_choose(source, d->shot_frames, &shots, d->stop);

    if (ret == -EIO || (!ret && !source->count)) return clzi_fail(&d->log, -EINVAL, "%s: no frame can be decoded.", source->path);
    if (ret) return ret;
    clzi_log(&d->log, CLZ_LOG_INFO, "%s: %d shots; %lld of %lld frames are used", source->path, shots, (long long)source->count,
             (long long)all);
    return 0;
}

// What the parameters leave of a file that has just been opened.
static int choose(const struct clzt_dataset *d, struct clzt_source *source, const char *name, bool divide)
{
    int ret = 0;

    if (source->count == 1 && divide) return clzt_split_has_name(d->split, name) == d->split_val ? 0 : OTHER_PART;
    if (source->count > 1 && d->shot_frames > 0) ret = choose_shots(d, source);
    if (!ret && divide) ret = divide_film(d, source, name);
    return ret;
}

static int add_file(struct clzt_dataset *d, const char *path, const char *name, const struct stat *st)
{
    struct clzt_source source;
    int64_t facts[2];
    bool divide = false;
    int ret;

    d->considered++;
    if (d->split) {
        const bool listed = clzt_split_lists(d->split, path, name);
        divide = d->split_frames && !listed;
        if (!divide && (listed || clzt_split_has_name(d->split, name)) != d->split_val) return OTHER_PART;
    }
    if ((ret = clzt_source_open(&source, path, &d->log)) < 0) return ret;
    if ((ret = choose(d, &source, name, divide))) {
        clzt_source_close(&source);
        return ret;
    }
    if (d->source_count == d->source_room) {
        const int room = d->source_room * 2 + 64;
        struct clzt_source *more = realloc(d->sources, room * sizeof *more);
        if (!more) {
            clzt_source_close(&source);
            return -ENOMEM;
        }
        d->sources = more;
        d->source_room = room;
    }
    d->sources[d->source_count++] = source;
    d->count += source.count;
    facts[0] = source.count;
    facts[1] = st->st_size;
    d->hash = clzk_fnv1a(clzk_fnv1a(d->hash, name, strlen(name) + 1), facts, sizeof facts);
    return 0;
}

static int leave_out(struct clzt_dataset *d, const char *path)
{
    char **more = realloc(d->left_out, (d->left_out_count + 1) * sizeof *more);

    if (!more) return -ENOMEM;
    d->left_out = more;
    if (!(more[d->left_out_count] = strdup(path))) return -ENOMEM;
    d->left_out_count++;
    return 0;
}

static int visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }
static int by_bytes(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

struct folder { const struct folder *up; dev_t dev; ino_t ino; int depth; };

static bool within(const struct folder *f, const struct stat *st)
{
    for (; f; f = f->up)
        if (f->dev == st->st_dev && f->ino == st->st_ino) return true;
    return false;
}

// root: length of the part of the path that the user gave, which is not hashed. Links to a folder above are not followed: its
// pictures would be found again and again.
static int add_folder(struct clzt_dataset *d, const char *path, size_t root, const struct stat *self, const struct folder *up)
{
    const struct folder here = { up, self->st_dev, self->st_ino, up ? up->depth + 1 : 0 };
    struct dirent **entries = NULL;
    const int n = scandir(path, &entries, visible, by_bytes);
    int ret = 0;

    if (n < 0) return clzi_fail(&d->log, -errno, "%s: %s.", path, strerror(errno));
    for (int i = 0; i < n; i++) {
        const size_t size = strlen(path) + strlen(entries[i]->d_name) + 2;
        char *name = ret < 0 ? NULL : malloc(size);
        struct stat st;
        if (name) {
            snprintf(name, size, "%s/%s", path, entries[i]->d_name);
            if (d->stop && *d->stop) ret = -ECANCELED;
            else if (stat(name, &st)) clzi_log(&d->log, CLZ_LOG_WARNING, "%s: %s; the file is left out.", name, strerror(errno));
            else if (S_ISDIR(st.st_mode) && within(&here, &st))
                clzi_log(&d->log, CLZ_LOG_WARNING, "%s: this link leads to a folder above it; it is not followed.", name);
            else if (S_ISDIR(st.st_mode) && here.depth < MAX_DEPTH) ret = add_folder(d, name, root, &st, &here);
            else if (S_ISREG(st.st_mode) && clzt_source_probe(name)) {
                ret = add_file(d, name, name + root, &st);
                if (ret == -EINVAL) ret = leave_out(d, name);   // logged; a folder may contain a broken file
                if (ret > 0) ret = 0;
            }
        } else if (!ret) ret = -ENOMEM;
        free(name);
        free(entries[i]);
    }
    free(entries);
    return ret;
}

static const char *kind_of(mode_t mode)
{
    return S_ISFIFO(mode) ? "a FIFO" : S_ISSOCK(mode) ? "a socket" : "a device";
}

// Calls stat and checks that the path is a readable folder or regular file. Opening a FIFO would block until there is a writer.
static int check_path(const char *path, struct stat *st, const char *what, const struct clz_log *log)
{
    if (stat(path, st)) return clzi_fail(log, -errno, "%s%s: %s.", what, path, strerror(errno));
    if (!S_ISDIR(st->st_mode) && !S_ISREG(st->st_mode))
        return clzi_fail(log, -EINVAL, "%s%s is %s; expected a folder, a picture or a video.", what, path, kind_of(st->st_mode));
    if (access(path, S_ISDIR(st->st_mode) ? R_OK | X_OK : R_OK))
        return clzi_fail(log, -errno, "%s%s: %s.", what, path, strerror(errno));
    return 0;
}

int clzt_paths_check(const char *const *paths, int count, const char *what, const struct clz_log *log)
{
    char prefix[40];
    struct stat st;
    int ret = 0;

    snprintf(prefix, sizeof prefix, "%s: ", what);
    for (int i = 0; i < count && !ret; i++) ret = check_path(paths[i], &st, prefix, log);
    return ret;
}

// ---- COCO ----

// Folders in which the pictures of an instances file are looked for.
struct folders { char *path[4]; int count; };

static int add_candidate(struct folders *f, const char *format, int size, const char *folder, const char *name)
{
    if (asprintf(&f->path[f->count], format, size, folder, name) < 0) return -ENOMEM;
    f->count++;
    return 0;
}

// Of COCO's layout: annotations/instances_train2017.json, train2017/ or images/train2017/; and next to the file.
static int usual_folders(const char *path, struct folders *f)
{
    const char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path, *score = strchr(file, '_');
    const int folder = slash ? (int)(slash - path) : 1;
    const char *const where = slash ? path : ".";
    char *name = strdup(score ? score + 1 : file), *dot = name ? strrchr(name, '.') : NULL;
    int ret = name ? 0 : -ENOMEM;

    if (dot) *dot = 0;
    if (!ret) ret = add_candidate(f, "%.*s/../%s", folder, where, name);
    if (!ret) ret = add_candidate(f, "%.*s/../images/%s", folder, where, name);
    if (!ret) ret = add_candidate(f, "%.*s/%s", folder, where, name);
    if (!ret) ret = add_candidate(f, "%.*s%s", folder, where, "");
    free(name);
    return ret;
}

// The index of each category of a file among those of the dataset.
static int join_categories(struct clzt_dataset *d, const struct clzt_coco *coco, int index[CLZT_MAX_CATEGORIES])
{
    for (int i = 0; i < coco->category_count; i++) {
        int k = 0;
        while (k < d->category_count && strcmp(d->category[k], coco->category[i])) k++;
        if (k == CLZT_MAX_CATEGORIES)
            return clzi_fail(&d->log, -EINVAL, "more than %d categories in all files of COCO.", CLZT_MAX_CATEGORIES);
        if (k == d->category_count) {
            if (!(d->category[k] = strdup(coco->category[i]))) return -ENOMEM;
            d->category_count++;
        }
        index[i] = k;
    }
    return 0;
}

static int add_set(struct clzt_dataset *d, const struct clzt_categories *from, const int *index, int count)
{
    struct clzt_categories set = {0};

    if (d->set_count == d->set_room) {
        const int room = d->set_room * 2 + 1024;
        struct clzt_categories *more = realloc(d->sets, room * sizeof *more);
        if (!more) return -ENOMEM;
        d->sets = more;
        d->set_room = room;
    }
    for (int i = 0; i < count; i++)
        if (clzt_categories_have(from, i)) clzt_categories_add(&set, index[i]);
    d->sets[d->set_count] = set;
    d->sources[d->source_count - 1].categories = d->set_count++;
    return 0;
}

// Adds the picture from the first folder that has it. MISSING: none has. LEFT_OUT: it is neither picture nor video.
static int add_image(struct clzt_dataset *d, const char *name, const char *const *folders, int count)
{
    int ret = MISSING;

    for (int i = 0; i < count && ret == MISSING; i++) {
        char *path;
        struct stat st;
        if (asprintf(&path, "%s/%s", folders[i], name) < 0) return -ENOMEM;
        if (!stat(path, &st) && S_ISREG(st.st_mode)) ret = add_file(d, path, name, &st);
        if (ret == -EINVAL && !(ret = leave_out(d, path))) ret = LEFT_OUT;
        free(path);
    }
    return ret;
}

static int add_images(struct clzt_dataset *d, const char *path, const struct clzt_coco *coco, const char *const *folders,
                      int count)
{
    int index[CLZT_MAX_CATEGORIES], missing = 0, ret = join_categories(d, coco, index);

    for (int i = 0; i < coco->image_count && ret >= 0; i++) {
        const struct clzt_coco_image *image = &coco->images[i];
        ret = d->stop && *d->stop ? -ECANCELED : add_image(d, image->name, folders, count);
        if (ret == MISSING) {
            if (++missing <= MAX_REPORTS)
                clzi_log(&d->log, CLZ_LOG_WARNING, "%s: the picture %s is not in %s%s.", path, image->name, folders[0],
                         count > 1 ? " or the other folders" : "");
        } else if (!ret) ret = add_set(d, &image->categories, index, coco->category_count);
    }
    if (ret > 0) ret = 0;
    if (!ret && missing == coco->image_count)
        return clzi_fail(&d->log, -ENOENT, "%s: none of its %d pictures is there; coco.images gives their folder.", path,
                         coco->image_count);
    if (!ret)
        clzi_log(&d->log, missing ? CLZ_LOG_WARNING : CLZ_LOG_INFO, "%s: %d pictures, %d of them missing; %lld annotations, %d "
                 "categories", path, coco->image_count, missing, (long long)coco->annotation_count, coco->category_count);
    if (!ret && coco->orphans)
        clzi_log(&d->log, CLZ_LOG_WARNING, "%s: %lld annotations are of pictures that it does not list.", path,
                 (long long)coco->orphans);
    return ret;
}

static int add_coco(struct clzt_dataset *d, const char *path)
{
    struct clzt_coco *coco = NULL;
    struct folders usual = {0};
    int ret = clzt_coco_open(&coco, path, &d->log);

    if (ret == -EBADMSG) ret = -EINVAL;     // the data set is wrong, not a picture of it
    if (!ret && !d->coco_images_count) ret = usual_folders(path, &usual);
    if (!ret && d->coco_images_count) ret = add_images(d, path, coco, d->coco_images, d->coco_images_count);
    else if (!ret) ret = add_images(d, path, coco, (const char *const *)usual.path, usual.count);
    for (int i = 0; i < usual.count; i++) free(usual.path[i]);
    clzt_coco_destroy(&coco);
    return ret;
}

static int add_path(struct clzt_dataset *d, const char *path)
{
    const char *slash = strrchr(path, '/');
    struct stat st;
    int ret;

    if ((ret = check_path(path, &st, "", &d->log)) < 0) return ret;
    if (S_ISDIR(st.st_mode)) return add_folder(d, path, strlen(path), &st, NULL);
    if (clzt_has_extension(path, ".json")) return add_coco(d, path);
    ret = add_file(d, path, slash ? slash + 1 : path, &st);
    return ret > 0 ? 0 : ret;
}

static int source_of(const struct clzt_dataset *d, int64_t index)
{
    int low = 0, high = d->source_count;

    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (d->first[middle] <= index) low = middle;
        else high = middle;
    }
    return low;
}

static int64_t frame_of(const struct clzt_dataset *d, int source, int64_t index)
{
    const int64_t k = index - d->first[source];
    return d->sources[source].chosen ? d->sources[source].chosen[k] : k;
}

static int folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (int)(slash - path) : 0;
}

bool clzt_dataset_follows(const struct clzt_dataset *d, int64_t index)
{
    const int here = source_of(d, index), before = index > 0 ? source_of(d, index - 1) : -1;
    const char *path = d->sources[here].path;

    if (index <= 0) return false;
    if (here == before) return frame_of(d, here, index) == frame_of(d, here, index - 1) + 1;
    return d->sources[here].count == 1 && d->sources[before].count == 1 &&
           folder_length(path) == folder_length(d->sources[before].path) &&
           !strncmp(path, d->sources[before].path, folder_length(path));
}

static void mark_bad(struct clzt_dataset *d, int64_t index, const char *why)
{
    const int s = source_of(d, index);

    if (atomic_exchange(&d->state[index], BAD) == BAD) return;
    pthread_mutex_lock(&d->lock);
    if (++d->bad_count <= MAX_REPORTS && !d->quiet) {
        if (d->sources[s].kind != &clzt_source_video)
            clzi_log(&d->log, CLZ_LOG_WARNING, "%s: %s; the next picture is used instead.", d->sources[s].path, why);
        else
            clzi_log(&d->log, CLZ_LOG_WARNING, "%s: frame %lld %s; the next picture is used instead.", d->sources[s].path,
                     (long long)frame_of(d, s, index), why);
    } else if (d->bad_count == MAX_REPORTS + 1 && !d->quiet) {
        clzi_log(&d->log, CLZ_LOG_WARNING, "more than %d pictures cannot be read; further ones are not named.", MAX_REPORTS);
    }
    pthread_mutex_unlock(&d->lock);
}

// ---- reading ----

struct clzt_reader {
    struct clzt_dataset *dataset;
    struct { int source; void *reader; uint64_t used; } open[MAX_OPEN];
    uint64_t clock;
    AVFrame *frame;
    struct clzt_scaler *scaler;
    struct buffer { uint8_t *data; size_t size; } stored, shown;       // the scaled picture before and after orientation
};

int clzt_reader_create(struct clzt_reader **reader, struct clzt_dataset *dataset)
{
    struct clzt_reader *r = *reader = calloc(1, sizeof *r);

    if (!r) return -ENOMEM;
    r->dataset = dataset;
    if ((r->frame = av_frame_alloc()) && !clzt_scaler_create(&r->scaler)) return 0;
    clzt_reader_destroy(reader);
    return -ENOMEM;
}

static void close_slot(struct clzt_reader *r, int slot)
{
    if (r->open[slot].reader) r->dataset->sources[r->open[slot].source].kind->reader_close(&r->open[slot].reader);
}

void clzt_reader_destroy(struct clzt_reader **reader)
{
    if (!*reader) return;
    for (int i = 0; i < MAX_OPEN; i++) close_slot(*reader, i);
    av_frame_free(&(*reader)->frame);
    clzt_scaler_destroy(&(*reader)->scaler);
    free((*reader)->stored.data);
    free((*reader)->shown.data);
    free(*reader);
    *reader = NULL;
}

// Returns the open decoder of a source; opens one if there is none, and closes the least recently used for it.
static int decoder(struct clzt_reader *r, int source, void **out)
{
    const struct clzt_source *s = &r->dataset->sources[source];
    int oldest = 0, ret;

    *out = NULL;
    if (!s->kind->reader_open) return 0;
    for (int i = 0; i < MAX_OPEN; i++) {
        if (r->open[i].reader && r->open[i].source == source) {
            r->open[i].used = ++r->clock;
            *out = r->open[i].reader;
            return 0;
        }
        if (r->open[i].used < r->open[oldest].used) oldest = i;
    }
    close_slot(r, oldest);
    if ((ret = s->kind->reader_open(&r->open[oldest].reader, s)) < 0) return ret;
    r->open[oldest].source = source;
    r->open[oldest].used = ++r->clock;
    *out = r->open[oldest].reader;
    return 0;
}

static void describe(struct clzt_picture *picture, const uint8_t *rgb, int width, int height)
{
    const size_t plane = (size_t)width * height;

    *picture = (struct clzt_picture){ width, height, rgb, rgb + plane, rgb + 2 * plane };
}

static bool make_room(struct buffer *b, size_t size)
{
    if (size <= b->size) return true;
    free(b->data);
    b->data = malloc(size);
    b->size = b->data ? size : 0;
    return b->data;
}

// Scales the frame to w x h and applies its orientation.
static int scale(struct clzt_reader *r, int w, int h, int orientation, struct clzt_picture *picture)
{
    const size_t size = (size_t)3 * w * h;
    int ret;

    if (!make_room(&r->stored, size) || (orientation != 1 && !make_room(&r->shown, size))) return -ENOMEM;
    if ((ret = clzt_scaler_run(r->scaler, r->frame, w, h, r->stored.data)) < 0) return ret;
    if (orientation == 1) {
        describe(picture, r->stored.data, w, h);
        return 0;
    }
    clzt_orient(orientation, r->stored.data, w, h, r->shown.data);
    if (clzt_orientation_transposes(orientation)) describe(picture, r->shown.data, h, w);
    else describe(picture, r->shown.data, w, h);
    return 0;
}

// -EIO: it cannot be decoded; -ERANGE: it would have too many pixels after its short side is scaled.
static int decode(struct clzt_reader *r, int64_t index, struct clzt_picture *picture)
{
    struct clzt_dataset *d = r->dataset;
    const int source = source_of(d, index);
    const struct clzt_source *s = &d->sources[source];
    int w, h, orientation = 1, ret;
    void *priv;

    if ((ret = decoder(r, source, &priv)) < 0) return ret;
    if ((ret = s->kind->read(priv, s, frame_of(d, source, index), r->frame, &orientation)) < 0) return ret;
    clzt_scaled_size(r->frame->width, r->frame->height, d->scale, d->min_side, &w, &h);
    ret = (int64_t)w * h > CLZT_MAX_PIXELS ? -ERANGE : scale(r, w, h, orientation, picture);
    av_frame_unref(r->frame);
    return ret;
}

int clzt_reader_try(struct clzt_reader *r, int64_t index, struct clzt_picture *picture)
{
    struct clzt_dataset *d = r->dataset;
    int ret;

    if (atomic_load_explicit(&d->state[index], memory_order_relaxed) == BAD) return -EIO;
    uint8_t *rgb = d->cached ? atomic_load(&d->cached[index].rgb) : NULL;
    if (rgb) {
        describe(picture, rgb, d->cached[index].width, d->cached[index].height);
        return 0;
    }
    if ((ret = decode(r, index, picture)) == -EIO) mark_bad(d, index, "cannot be decoded");
    if (ret == -ERANGE) mark_bad(d, index, "is too elongated to be scaled: it would exceed the greatest number of pixels");
    return ret == -ERANGE ? -EIO : ret;
}

static int none(struct clzt_dataset *d)
{
    pthread_mutex_lock(&d->lock);
    if (!d->none_reported)
        clzi_fail(&d->log, -EBADMSG, "none of %lld pictures can be read; the first is in %s.", (long long)d->count,
                  d->sources[0].path);
    d->none_reported = true;
    pthread_mutex_unlock(&d->lock);
    return -EBADMSG;
}

int clzt_reader_read(struct clzt_reader *reader, int64_t index, struct clzt_picture *picture)
{
    const int64_t count = reader->dataset->count;
    int ret = -EIO;

    for (int64_t i = 0; i < count && ret == -EIO; i++) ret = clzt_reader_try(reader, (index + i) % count, picture);
    return ret == -EIO ? none(reader->dataset) : ret;
}

// ---- the cache ----

// Memory for one picture; NULL: the limit is reached, or memory has run out. The caller holds the lock.
static uint8_t *cache_room(struct clzt_dataset *d, size_t size)
{
    struct block *b = d->blocks;

    if (d->cached_size + (int64_t)size > d->cache_limit) return NULL;
    if (!b || b->size - b->used < size) {
        const size_t room = size > CACHE_BLOCK ? size : CACHE_BLOCK;
        if (!(b = malloc(sizeof *b + room))) return NULL;
        *b = (struct block){ d->blocks, 0, room };
        d->blocks = b;
    }
    b->used += size;
    d->cached_size += size;
    d->cached_count++;
    return b->data + b->used - size;
}

static int fill_one(struct clzt_dataset *d, struct clzt_reader *r, struct clzt_colour_meter *meter, int64_t index)
{
    struct clzt_colour_sums colours = {0};
    struct clzt_picture p;
    double spread;
    int ret = clzt_reader_try(r, index, &p);

    if (ret < 0) return ret == -EIO ? 0 : ret;
    if (d->min_spread > 0) {
        if ((ret = clzt_colour_meter_add(meter, &p, &colours, NULL)) < 0) return ret;
        clzt_colour_spread(&colours, &spread, NULL);
        if (spread < d->min_spread) {
            atomic_store(&d->state[index], GREY);
            return 0;
        }
    }
    if (!d->cached || atomic_load(&d->full)) return 0;
    const size_t size = (size_t)3 * p.width * p.height;
    pthread_mutex_lock(&d->lock);
    uint8_t *rgb = cache_room(d, size);
    pthread_mutex_unlock(&d->lock);
    if (!rgb) {
        atomic_store(&d->full, true);
        return d->min_spread > 0 ? 0 : 1;   // the others are still measured
    }
    memcpy(rgb, p.r, size);
    d->cached[index].width = p.width;
    d->cached[index].height = p.height;
    atomic_store(&d->cached[index].rgb, rgb);
    return 0;
}

static void *fill(void *arg)
{
    struct clzt_dataset *d = arg;
    struct clzt_colour_meter *meter = NULL;
    struct clzt_reader *r = NULL;
    int ret = clzt_reader_create(&r, d);

    if (d->behind) setpriority(PRIO_PROCESS, 0, 10);        // of this thread: the training goes first
    if (!ret) ret = clzt_colour_meter_create(&meter);
    pthread_mutex_lock(&d->lock);
    while (!ret && !d->error && !atomic_load(&d->quit) && d->next < d->count) {
        const int64_t from = d->next, to = from + CHUNK < d->count ? from + CHUNK : d->count;
        d->next = to;
        pthread_mutex_unlock(&d->lock);
        for (int64_t i = from; i < to && !ret && !atomic_load(&d->quit); i++) {
            if (d->stop && *d->stop) ret = -ECANCELED;
            else ret = fill_one(d, r, meter, i);
        }
        pthread_mutex_lock(&d->lock);
        d->done += to - from;
    }
    if (ret < 0 && !d->error) d->error = ret;
    if (ret > 0) d->next = d->count;        // the cache is full: the other threads finish their chunks
    d->running--;
    pthread_cond_signal(&d->progressed);
    pthread_mutex_unlock(&d->lock);
    clzt_colour_meter_destroy(&meter);
    clzt_reader_destroy(&r);
    return NULL;
}

// Removes the pictures that are marked as nearly grey, so that they have no number any more.
static int drop_grey(struct clzt_dataset *d)
{
    int64_t kept = 0;

    for (int s = 0; s < d->source_count; s++) {
        struct clzt_source *source = &d->sources[s];
        const int64_t first = d->first[s], count = source->count, before = kept;
        for (int64_t i = 0; i < count; i++) {
            if (atomic_load(&d->state[first + i]) == GREY) {
                if (source->chosen) continue;
                if (!(source->chosen = malloc(count * sizeof *source->chosen))) return -ENOMEM;
                for (int64_t k = 0; k < count; k++) source->chosen[k] = k;
                continue;
            }
            if (source->chosen) source->chosen[kept - before] = source->chosen[i];
            atomic_store(&d->state[kept], atomic_load(&d->state[first + i]));
            if (d->cached) {
                const struct cached *from = &d->cached[first + i];
                d->cached[kept].width = from->width;
                d->cached[kept].height = from->height;
                atomic_store(&d->cached[kept].rgb, atomic_load(&from->rgb));
            }
            kept++;
        }
        source->count = kept - before;
        d->first[s] = before;
    }
    d->first[d->source_count] = kept;
    clzi_log(&d->log, CLZ_LOG_INFO, "%lld of %lld pictures are nearly grey (standard deviation of a*, b* below %g) and left out",
             (long long)(d->count - kept), (long long)d->count, d->min_spread);
    if (!kept) return clzi_fail(&d->log, -EINVAL, "all pictures are nearly grey; expected a smaller min_spread than %g.",
                                d->min_spread);
    d->count = kept;
    return 0;
}

static int start_fill(struct clzt_dataset *d)
{
    if (d->cache == CLZT_CACHE_RAM && !(d->cached = calloc(d->count, sizeof *d->cached))) return -ENOMEM;
    pthread_mutex_lock(&d->lock);
    for (; d->filler_count < d->threads && d->filler_count * (int64_t)CHUNK < d->count; d->filler_count++) {
        if (pthread_create(&d->fillers[d->filler_count], NULL, fill, d)) break;
        d->running++;
    }
    if (!d->filler_count) d->error = -ENOMEM;
    pthread_mutex_unlock(&d->lock);
    return d->filler_count ? 0 : -ENOMEM;
}

static void join_fillers(struct clzt_dataset *d)
{
    for (int i = 0; i < d->filler_count; i++) pthread_join(d->fillers[i], NULL);
    d->filler_count = 0;
}

int clzt_dataset_fill(struct clzt_dataset *d)
{
    int ret;

    if (d->cache != CLZT_CACHE_RAM && d->min_spread <= 0) return 0;
    if ((ret = start_fill(d)) < 0) return ret;
    pthread_mutex_lock(&d->lock);
    while (d->running) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 200 * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&d->progressed, &d->lock, &until);
        if (d->progress) {
            const int64_t done = d->done;
            pthread_mutex_unlock(&d->lock);
            d->progress(d->priv, done, d->count);
            pthread_mutex_lock(&d->lock);
        }
    }
    pthread_mutex_unlock(&d->lock);
    join_fillers(d);
    if (!d->error && d->min_spread > 0) d->error = drop_grey(d);
    return d->error;
}

int clzt_dataset_begin_fill(struct clzt_dataset *d)
{
    bool alone = d->min_spread <= 0;

    for (int i = 0; i < d->source_count && alone; i++)
        alone = !d->sources[i].kind->stands_alone || d->sources[i].kind->stands_alone(&d->sources[i]);
    if (!alone || d->cache != CLZT_CACHE_RAM) return clzt_dataset_fill(d);
    d->behind = true;
    return start_fill(d);
}

bool clzt_dataset_filled(struct clzt_dataset *d)
{
    bool filled;

    pthread_mutex_lock(&d->lock);
    filled = !d->running;
    pthread_mutex_unlock(&d->lock);
    return filled;
}

// ---- the dataset ----

static int cores(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > 256 ? 256 : (int)n;
}

int clzt_dataset_open(struct clzt_dataset **dataset, const struct clzt_dataset_params *params)
{
    struct clzt_dataset *d = *dataset = calloc(1, sizeof *d);
    int ret = 0;

    if (!d) return -ENOMEM;
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->progressed, NULL);
    d->log = params->log;
    d->scale = params->scale;
    d->min_side = params->min_side > 0 ? params->min_side : 1;
    d->threads = params->threads > 0 && params->threads <= 256 ? params->threads : cores();
    d->cache = params->cache;
    d->cache_limit = params->cache_limit;
    if (!d->cache_limit) d->cache_limit = (int64_t)sysconf(_SC_PHYS_PAGES) / 2 * sysconf(_SC_PAGESIZE);
    d->quiet = params->quiet;
    d->min_spread = params->min_spread;
    d->split = params->split;
    d->split_val = params->split_val;
    d->split_frames = params->split_frames;
    d->shot_frames = params->shot_frames;
    d->coco_images = params->coco_images;
    d->coco_images_count = params->coco_images_count;
    d->progress = params->progress;
    d->priv = params->priv;
    d->stop = params->stop;
    d->hash = CLZK_FNV1A_TRAINER;
    av_log_set_level(AV_LOG_QUIET);         // errors of files are logged here, once
    for (int i = 0; i < params->path_count && !ret; i++) ret = add_path(d, params->paths[i]);
    if (!ret && d->split && !d->split_val) ret = clzt_split_check(d->split, &d->log);
    if (!ret && !d->count && d->considered && d->split)
        ret = clzi_fail(&d->log, -EINVAL, "split: of %d files none is for %s; films are divided with split.films=frames only.",
                        d->considered, d->split_val ? "validation" : "training");
    if (!ret && !d->count)
        ret = clzi_fail(&d->log, -EINVAL, "%s contains no picture and no video, as far as the extensions of the files say.",
                        params->path_count ? params->paths[0] : "data");
    if (!ret) {
        d->first = malloc((d->source_count + 1) * sizeof *d->first);
        d->state = calloc(d->count, sizeof *d->state);
        if (!d->first || !d->state) ret = -ENOMEM;
    }
    if (!ret) {
        d->first[0] = 0;
        for (int i = 0; i < d->source_count; i++) d->first[i + 1] = d->first[i] + d->sources[i].count;
    }
    if (ret < 0) clzt_dataset_close(dataset);
    return ret;
}

void clzt_dataset_close(struct clzt_dataset **dataset)
{
    struct clzt_dataset *d = *dataset;

    if (!d) return;
    atomic_store(&d->quit, true);
    join_fillers(d);
    for (int i = 0; i < d->source_count; i++) clzt_source_close(&d->sources[i]);
    for (struct block *b = d->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    for (int i = 0; i < d->left_out_count; i++) free(d->left_out[i]);
    free(d->left_out);
    for (int i = 0; i < d->category_count; i++) free(d->category[i]);
    free(d->sets);
    free(d->sources);
    free(d->first);
    free(d->state);
    free(d->cached);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->progressed);
    free(d);
    *dataset = NULL;
}

struct clzt_place clzt_dataset_file(const struct clzt_dataset *d, int file)
{
    const struct clzt_source *s = &d->sources[file];

    return (struct clzt_place){ .file = file, .path = s->path, .film = s->kind == &clzt_source_video, .frames = s->count };
}

struct clzt_place clzt_dataset_place(const struct clzt_dataset *d, int64_t index)
{
    struct clzt_place place = clzt_dataset_file(d, source_of(d, index));

    place.frame = frame_of(d, place.file, index);
    return place;
}

const char *clzt_dataset_left_out(const struct clzt_dataset *d, int i) { return i < d->left_out_count ? d->left_out[i] : NULL; }
int clzt_dataset_category_count(const struct clzt_dataset *d) { return d->category_count; }

const char *clzt_dataset_category_name(const struct clzt_dataset *d, int category)
{
    return category >= 0 && category < d->category_count ? d->category[category] : NULL;
}

const struct clzt_categories *clzt_dataset_categories(const struct clzt_dataset *d, int64_t index)
{
    const int set = d->sources[source_of(d, index)].categories;
    return set < 0 ? NULL : &d->sets[set];
}

int clzt_dataset_files(const struct clzt_dataset *dataset) { return dataset->source_count; }
int64_t clzt_dataset_count(const struct clzt_dataset *dataset) { return dataset->count; }
static int64_t locked(struct clzt_dataset *d, const int64_t *count)
{
    int64_t now;

    pthread_mutex_lock(&d->lock);
    now = *count;
    pthread_mutex_unlock(&d->lock);
    return now;
}

int64_t clzt_dataset_cached(struct clzt_dataset *d) { return locked(d, &d->cached_count); }
int64_t clzt_dataset_bad(struct clzt_dataset *d) { return locked(d, &d->bad_count); }
uint64_t clzt_dataset_hash(const struct clzt_dataset *dataset) { return dataset->hash; }

uint64_t clzt_dataset_hash_categories(const struct clzt_dataset *d)
{
    uint64_t hash = d->hash;

    for (int i = 0; i < d->category_count; i++) hash = clzk_fnv1a(hash, d->category[i], strlen(d->category[i]) + 1);
    for (int i = 0; i < d->source_count; i++) {
        const struct clzt_categories none = {0}, *set = d->sources[i].categories < 0 ? &none : &d->sets[d->sources[i].categories];
        hash = clzk_fnv1a(hash, set, sizeof *set);
    }
    return hash;
}

int clzt_dataset_min_side(const struct clzt_dataset *dataset) { return dataset->min_side; }
const struct clz_log *clzt_dataset_log(const struct clzt_dataset *dataset) { return &dataset->log; }

// Measuring: threads take pieces of a few pictures; the pieces' sums are added in order, so that the result is the same for any
// number of threads.
enum { PIECE = 16 };

struct piece { struct clzt_colour_sums sums; int64_t grey; double spread; };

struct measuring {
    struct clzt_dataset *dataset;
    int64_t pictures, pieces;
    struct piece *piece;                    // [pieces]
    double *counts;                         // of all threads; NULL: not wanted
    pthread_mutex_t lock;                   // guards the following, and counts
    int64_t next;
    int error;
};

static int measure_piece(struct measuring *m, int64_t number, struct clzt_reader *reader, struct clzt_colour_meter *meter,
                         double *counts)
{
    struct piece *piece = &m->piece[number];
    const int64_t first = number * PIECE, end = first + PIECE < m->pictures ? first + PIECE : m->pictures;
    int ret = 0;

    for (int64_t i = first; i < end && !ret; i++) {
        struct clzt_colour_sums own = {0};
        struct clzt_picture p;
        double spread;
        if ((ret = clzt_reader_read(reader, i * m->dataset->count / m->pictures, &p)) < 0) break;
        if ((ret = clzt_colour_meter_add(meter, &p, &own, counts)) < 0) break;
        clzt_colour_spread(&own, &spread, NULL);
        piece->grey += spread < CLZT_GREY;
        piece->spread += spread;
        clzt_colour_sums_add(&piece->sums, &own);
    }
    return ret;
}

static void *measure(void *arg)
{
    const size_t cells = CLZT_AB_CELLS * CLZT_AB_CELLS;
    struct measuring *m = arg;
    struct clzt_colour_meter *meter = NULL;
    struct clzt_reader *reader = NULL;
    double *counts = m->counts ? calloc(cells, sizeof *counts) : NULL;
    int ret = m->counts && !counts ? -ENOMEM : clzt_reader_create(&reader, m->dataset);

    if (!ret) ret = clzt_colour_meter_create(&meter);
    pthread_mutex_lock(&m->lock);
    while (!ret && !m->error && m->next < m->pieces) {
        const int64_t number = m->next++;
        pthread_mutex_unlock(&m->lock);
        ret = measure_piece(m, number, reader, meter, counts);
        pthread_mutex_lock(&m->lock);
    }
    if (ret < 0 && !m->error) m->error = ret;
    for (size_t i = 0; i < cells && counts; i++) m->counts[i] += counts[i];        // whole numbers: the order does not matter
    pthread_mutex_unlock(&m->lock);
    free(counts);
    clzt_colour_meter_destroy(&meter);
    clzt_reader_destroy(&reader);
    return NULL;
}

int clzt_dataset_colours(struct clzt_dataset *d, int64_t pictures, struct clzt_colours *colours, double *counts)
{
    const int64_t n = pictures > 0 && pictures < d->count ? pictures : d->count;
    struct measuring m = { .dataset = d, .pictures = n, .pieces = (n + PIECE - 1) / PIECE, .counts = counts,
                           .lock = PTHREAD_MUTEX_INITIALIZER };
    struct clzt_colour_sums all = {0};
    pthread_t threads[256];
    int started = 0;

    *colours = (struct clzt_colours){ .pictures = n };
    if (counts) memset(counts, 0, CLZT_AB_CELLS * CLZT_AB_CELLS * sizeof *counts);
    if (!(m.piece = calloc((size_t)m.pieces, sizeof *m.piece))) return -ENOMEM;
    while (started + 1 < d->threads && started + 1 < m.pieces && !pthread_create(&threads[started], NULL, measure, &m)) started++;
    measure(&m);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    for (int64_t i = 0; i < m.pieces; i++) {
        colours->grey += m.piece[i].grey;
        colours->spread += m.piece[i].spread / (double)n;
        clzt_colour_sums_add(&all, &m.piece[i].sums);
    }
    free(m.piece);
    if (!m.error) clzt_colour_spread(&all, NULL, &colours->across);
    for (int c = 0; c < 2; c++) colours->mean[c] = all.pixels > 0 ? all.sum[1 + c] / all.pixels : 0;
    return m.error;
}

void clzt_colours_warn(const struct clzt_colours *c, const char *what, const struct clz_log *log)
{
    const bool grey = 5 * c->grey >= c->pictures;               // a few are normal: fades, title cards
    const bool tinted = c->pictures >= 8 && c->across < CLZT_TINT;     // a few pictures may all have one hue

    if (grey)
        clzi_log(log, CLZ_LOG_WARNING, "%s: %lld of %lld pictures are nearly grey (standard deviation of a*, b* below %d; the "
                 "mean of all pictures is %.1f). A model learns from such pictures to leave things grey, and scores on them "
                 "mean little.", what, (long long)c->grey, (long long)c->pictures, CLZT_GREY, c->spread);
    else if (tinted)
        clzi_log(log, CLZ_LOG_WARNING, "%s: the colours of all %lld pictures have one hue, as in tinted or sepia material "
                 "(standard deviation across that hue %.1f, expected at least %d).", what, (long long)c->pictures,
                 c->across, CLZT_TINT);
}
