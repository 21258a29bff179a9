// loader.c - prepares batches in worker threads. Workers take sample numbers from a counter; a batch is ready when all its
// samples are, and batches are handed out in order. A sample depends on its number alone.
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crop.h"
#include "data.h"
#include "coco.h"
#include "hints.h"
#include "base/clock.h"
#include "base/log.h"
#include "kernels/philox.h"

enum { MAX_WORKERS = 256, AHEAD = 3 };

enum slot_state { FREE, FILLING, READY, OUT };

struct slot {
    struct clzt_batch batch;                // the first member, so that a batch pointer is also its slot's
    enum slot_state state;
    int missing;                            // samples that are not ready
};

struct clzt_loader {
    struct clzt_dataset *dataset;
    struct clzt_loader_params params;
    struct clzt_crop_tables tables;
    struct clzt_size most;                  // greatest width and height of a sample
    int64_t pictures;                       // in an epoch
    int64_t batches;                        // in a pass; INT64_MAX: endless
    struct slot *slots;                     // [params.ahead]; batch k is in slot k % ahead
    pthread_t threads[MAX_WORKERS];
    int started;

    pthread_mutex_t lock;
    pthread_cond_t work, ready;             // a slot became free; a batch became ready
    int64_t batch_next, item_next;          // the next sample for a worker: batch, and place in it
    int64_t give_next;                      // the next batch for clzt_loader_next
    bool stop;
    int error;
    struct clzt_loader_stats stats;
};

// Picture number i of an epoch: a pseudorandom permutation of 0 to count - 1, computed by a Feistel network over an even number
// of bits with cycle walking (Black and Rogaway 2002). Six rounds, with Philox as the round function; count up to 2^62.
static int64_t permute(uint64_t seed, int64_t epoch, int64_t i, int64_t count)
{
    int half = 1;
    uint64_t mask, v = (uint64_t)i;

    while (half < 31 && (int64_t)1 << 2 * half < count) half++;
    mask = ((uint64_t)1 << half) - 1;
    do {
        uint64_t left = v >> half, right = v & mask;
        for (int round = 0; round < 6; round++) {
            uint32_t r[4];
            clzk_philox(seed, (uint64_t)epoch << 32 | (uint64_t)round << 8 | 255, right, r);   // 255: not in crop.c's enum use
            const uint64_t mixed = left ^ (r[0] & mask);
            left = right;
            right = mixed;
        }
        v = left << half | right;
    } while (v >= (uint64_t)count);
    return (int64_t)v;
}

enum { USE_CLASSES = 251 };                 // in the Philox counter, beside crop.c's enum use, 252 to 255 here and in hints.c

// What is said of a picture: 1 / n for each of its n classes.
static void classes_of(const struct clzt_loader *l, int64_t epoch, int64_t index, float *vector)
{
    const struct clzt_class_params *c = &l->params.classes;
    const struct clzt_categories *have = clzt_dataset_categories(l->dataset, index);
    uint32_t r[4];
    int n = 0;

    clzk_philox(l->params.seed, (uint64_t)epoch << 32 | USE_CLASSES, (uint64_t)index, r);
    for (int i = 0; i < c->count; i++) {
        const bool known = have && clzt_categories_have(have, c->category[i]) &&
                           !(l->params.augment && clzk_uniform(r[0]) < c->none);
        vector[i] = known;
        n += known;
    }
    for (int i = 0; i < c->count && n; i++) vector[i] /= (float)n;
}

// Makes sample `item` of batch `step` in the batch's memory.
static int make(const struct clzt_loader *l, int64_t step, int item, struct clzt_batch *batch, struct clzt_reader *reader,
                struct clzt_crop_scratch *scratch)
{
    const struct clzt_loader_params *p = &l->params;
    const int64_t number = step * p->batch + item, epoch = number / l->pictures, place = number % l->pictures;
    const int64_t count = clzt_dataset_count(l->dataset);
    const int64_t index = p->augment ? permute(p->seed, epoch, place, count) : place * count / l->pictures;
    const struct clzt_size size = batch->size;
    const size_t plane = (size_t)size.w * size.h;
    struct clzt_picture picture;
    struct clzt_crop crop;
    int ret;

    if ((ret = clzt_reader_read(reader, index, &picture)) < 0) return ret;
    if (p->augment) clzt_crop_draw(&crop, p, size, picture.width, picture.height, epoch, index);
    else clzt_crop_plain(&crop, p, size, picture.width, picture.height);
    ret = clzt_crop_run(&crop, &l->tables, scratch, &picture, batch->l + item * plane, batch->ab + 2 * item * plane,
                        batch->true_l ? batch->true_l + item * plane : NULL);
    batch->index[item] = index;
    if (ret >= 0 && batch->hints)
        clzt_hints_draw(batch->hints + 3 * item * plane, batch->ab + 2 * item * plane, size,
                        p->augment ? clzt_hints_count(&p->hints, p->seed, epoch, index) : (int)p->hints.points, p->seed, epoch,
                        index);
    if (ret >= 0 && batch->classes) classes_of(l, epoch, index, batch->classes + item * p->classes.count);
    return ret;
}

// The size of a batch's samples depends on its number alone.
static int shape_of(const struct clzt_loader *l, int64_t step)
{
    uint32_t r[4];

    if (l->params.shape_count < 2) return 0;
    clzk_philox(l->params.seed, 254, (uint64_t)step, r);            // 254: not in crop.c's enum use
    return (int)((uint64_t)r[0] * (uint64_t)l->params.shape_count >> 32);
}

static struct clzt_size size_of(const struct clzt_loader *l, int shape)
{
    return l->params.shape_count ? l->params.shapes[shape] : (struct clzt_size){ l->params.size, l->params.size };
}

static int batch_count(const struct clzt_loader *l, int64_t step)      // the last batch of a pass may be short
{
    const int64_t left = l->pictures - step * l->params.batch;
    return l->params.augment || left > l->params.batch ? l->params.batch : (int)left;
}

static void *worker(void *arg)
{
    struct clzt_loader *l = arg;
    struct clzt_reader *reader = NULL;
    struct clzt_crop_scratch *scratch = NULL;
    int ret;

    if (!(ret = clzt_reader_create(&reader, l->dataset))) ret = clzt_crop_scratch_create(&scratch, l->most);
    pthread_mutex_lock(&l->lock);
    while (!ret && !l->stop) {
        struct slot *slot = &l->slots[l->batch_next % l->params.ahead];
        const int64_t step = l->batch_next;
        int item;
        if (step >= l->batches || (l->item_next == 0 && slot->state != FREE)) {
            pthread_cond_wait(&l->work, &l->lock);
            continue;
        }
        if (l->item_next == 0) {
            slot->state = FILLING;
            slot->batch.step = step;
            slot->batch.shape = shape_of(l, step);
            slot->batch.size = size_of(l, slot->batch.shape);
            slot->missing = slot->batch.count = batch_count(l, step);
        }
        item = (int)l->item_next++;
        if (l->item_next == slot->batch.count) {
            l->batch_next++;
            l->item_next = 0;
        }
        pthread_mutex_unlock(&l->lock);

        const double begin = clzi_now();
        ret = make(l, step, item, &slot->batch, reader, scratch);
        const double took = clzi_now() - begin;

        pthread_mutex_lock(&l->lock);
        l->stats.worked += took;
        l->stats.pictures++;
        if (!ret && !--slot->missing) {
            slot->state = READY;
            pthread_cond_signal(&l->ready);
        }
    }
    if (ret && !l->error) {
        l->error = ret;
        pthread_cond_signal(&l->ready);
    }
    pthread_mutex_unlock(&l->lock);
    clzt_crop_scratch_destroy(&scratch);
    clzt_reader_destroy(&reader);
    return NULL;
}

static void stop_workers(struct clzt_loader *l)
{
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->started; i++) pthread_join(l->threads[i], NULL);
    l->started = 0;
}

static int start_workers(struct clzt_loader *l, int64_t step)
{
    for (int i = 0; i < l->params.ahead; i++) l->slots[i].state = FREE;
    l->batch_next = l->give_next = step;
    l->item_next = 0;
    l->stop = false;
    l->error = 0;
    for (; l->started < l->params.workers; l->started++)
        if (pthread_create(&l->threads[l->started], NULL, worker, l)) break;
    return l->started ? 0 : -ENOMEM;
}

int clzt_loader_create(struct clzt_loader **loader, struct clzt_dataset *dataset, const struct clzt_loader_params *params)
{
    struct clzt_loader *l = *loader = calloc(1, sizeof *l);
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t plane = 0;
    struct clzt_loader_params *p;
    int ret = -ENOMEM;

    if (!l) return -ENOMEM;
    p = &l->params;
    *p = *params;
    l->dataset = dataset;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_cond_init(&l->ready, NULL);
    if (p->size < 1 || p->size > clzt_dataset_min_side(dataset) || p->batch < 1 || p->first_step < 0) {
        ret = clzi_fail(clzt_dataset_log(dataset), -EINVAL,
                        "loader: crop size %d, batch %d, first step %lld; expected a size from 1 to the dataset's min_side, %d, "
                        "a batch of 1 or more and a step of 0 or more.", p->size, p->batch,
                        (long long)p->first_step, clzt_dataset_min_side(dataset));
        goto fail;
    }
    if (p->zoom_in > CLZT_MAX_ZOOM || p->zoom_out > CLZT_MAX_ZOOM || p->aspect > CLZT_MAX_ASPECT) {
        ret = clzi_fail(clzt_dataset_log(dataset), -EINVAL,
                        "loader: zoom.in %g, zoom.out %g, aspect %g; expected at most %d, %d and %d.",
                        p->zoom_in, p->zoom_out, p->aspect, CLZT_MAX_ZOOM, CLZT_MAX_ZOOM, CLZT_MAX_ASPECT);
        goto fail;
    }
    if (p->workers <= 0) p->workers = cores < 1 ? 1 : (int)cores;
    if (p->workers > MAX_WORKERS) p->workers = MAX_WORKERS;
    if (p->ahead < 2) p->ahead = AHEAD;
    l->pictures = clzt_dataset_count(dataset);
    if (!p->augment && p->pictures > 0 && p->pictures < l->pictures) l->pictures = p->pictures;
    l->batches = p->augment ? INT64_MAX : (l->pictures + p->batch - 1) / p->batch;
    for (int i = 0; i < (p->shape_count ? p->shape_count : 1); i++) {
        const struct clzt_size size = size_of(l, i);
        if (size.w > l->most.w) l->most.w = size.w;
        if (size.h > l->most.h) l->most.h = size.h;
        if (plane < (size_t)size.w * size.h * sizeof(float)) plane = (size_t)size.w * size.h * sizeof(float);
    }
    clzt_crop_tables_make(&l->tables);
    if (!(l->slots = calloc(p->ahead, sizeof *l->slots))) goto fail;
    for (int i = 0; i < p->ahead; i++) {
        struct clzt_batch *b = &l->slots[i].batch;
        b->l = malloc(plane * p->batch);
        b->ab = malloc(plane * 2 * p->batch);
        b->true_l = p->want_true_l ? malloc(plane * p->batch) : NULL;
        b->hints = p->hints.points > 0 ? malloc(plane * 3 * p->batch) : NULL;
        b->classes = p->classes.count ? malloc((size_t)p->batch * p->classes.count * sizeof *b->classes) : NULL;
        b->index = malloc(p->batch * sizeof *b->index);
        if ((p->classes.count && !b->classes) ||
            !b->l || !b->ab || !b->index || (p->hints.points > 0 && !b->hints) || (p->want_true_l && !b->true_l)) goto fail;
    }
    if ((ret = start_workers(l, p->augment ? p->first_step : 0)) < 0) goto fail;
    return 0;
fail:
    clzt_loader_destroy(loader);
    return ret;
}

void clzt_loader_destroy(struct clzt_loader **loader)
{
    struct clzt_loader *l = *loader;

    if (!l) return;
    stop_workers(l);
    for (int i = 0; l->slots && i < l->params.ahead; i++) {
        free(l->slots[i].batch.l);
        free(l->slots[i].batch.ab);
        free(l->slots[i].batch.hints);
        free(l->slots[i].batch.classes);
        free(l->slots[i].batch.true_l);
        free(l->slots[i].batch.index);
    }
    free(l->slots);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->ready);
    free(l);
    *loader = NULL;
}

int clzt_loader_next(struct clzt_loader *l, struct clzt_batch **batch)
{
    struct slot *slot;
    double begin;
    int ret = 0;

    *batch = NULL;
    if (l->give_next >= l->batches) return -ENODATA;
    begin = clzi_now();
    pthread_mutex_lock(&l->lock);
    slot = &l->slots[l->give_next % l->params.ahead];
    while (!l->error && !(slot->state == READY && slot->batch.step == l->give_next)) pthread_cond_wait(&l->ready, &l->lock);
    if (slot->state == READY && slot->batch.step == l->give_next) {
        slot->state = OUT;
        l->give_next++;
        *batch = &slot->batch;
    } else ret = l->error;
    l->stats.waited += clzi_now() - begin;
    pthread_mutex_unlock(&l->lock);
    return ret;
}

void clzt_loader_release(struct clzt_loader *l, struct clzt_batch **batch)
{
    if (!*batch) return;
    pthread_mutex_lock(&l->lock);
    ((struct slot *)*batch)->state = FREE;
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->lock);
    *batch = NULL;
}

int clzt_loader_rewind(struct clzt_loader *l, int64_t step)
{
    stop_workers(l);
    return start_workers(l, step);
}

struct clzt_loader_stats clzt_loader_stats(struct clzt_loader *l)
{
    struct clzt_loader_stats stats;

    pthread_mutex_lock(&l->lock);
    stats = l->stats;
    pthread_mutex_unlock(&l->lock);
    return stats;
}
