// stream.c - clz_stream: a ring buffer of frames between the caller and one worker thread, which runs the pipeline.
//
// The ring holds pictures: a frame is one, or two where its fields are coloured each by itself (fields.h). From the oldest to the
// newest:
//     [head, done)        finished; the caller may receive their frames
//     [done, taken)       in the pipeline: queued, or waiting for later pictures that they look at
//     [taken, submitted)  submitted to the worker
//     [submitted, tail)   the incomplete batch
// The counters only increase; picture n is stored in slot n modulo the room. The mutex protects the counters and the
// worker's state. The worker owns the pixels of a frame from its submission until it is finished.
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "kernels/fnv.h"
#include "kernels/threads.h"
#include "base/log.h"
#include "chroma.h"
#include "fields.h"
#include "pipeline.h"
#include "pixfmt.h"
#include "sheet.h"
#include "stabilizer.h"

enum { WINDOW = 2 };                        // default of clz_stream_params.window
enum { BATCHES = 3 };                       // inside: the worker runs batch k while the caller fills k+1 and receives k-1

struct slot {
    struct clz_frame in, out;               // of the whole frame
    uint64_t frame;                         // its number
    enum clzk_part part;
    int like;                               // it repeats the picture so many before; 0: none
    bool second, last;                      // of the frame's pictures
    uint8_t *map;                           // where the frame's fields differ, see fields.h; of the slot, made when it is needed
    size_t map_size;
    struct clz_controls controls;
    struct clzi_hint_layers layers;
    const float *classes;                   // NULL: those of the params
    bool verified;                          // the luma was hashed when the frame came
    uint64_t luma;                          // its hash
    int error;                              // negative errno, or 0 if the frame was coloured
};

// Sheets that frames inside, or what follows their points, may still refer to. They are known by address, so all are kept.
struct sheets { struct clzi_sheet *sheet; struct sheets *next; };

struct clz_stream {
    clz_model *model;
    struct clz_stream_params params;
    struct clzi_device *dev;
    struct clzi_pipeline *pipeline;
    struct clzi_stabilizer_context stabilizer;
    struct clzi_sheet *sheet;               // NULL: none
    struct sheets *replaced;                // by clz_stream_set_sheet()
    bool sheet_is_late;                     // it came after the first frame
    bool numbers_lost;                      // the list of shots is of no use: a frame's number in the film is not known
    struct clzi_answers answers;
    struct clzi_chroma_finder chroma;
    struct clzi_fields *fields;             // NULL: every frame is one picture, and none repeats another
    bool no_fields_said;                    // that an interlaced frame is coloured as progressive
    struct slot *ring;
    int capacity, room, batch;              // frames; slots of the ring; pictures of a batch
    uint64_t head, done, taken, submitted, tail;
    uint64_t frames, received;              // number of frames sent and received, or forgotten
    uint64_t with_two;                      // number of frames sent that are two pictures
    uint64_t saved;                         // clzi_pipeline_reused(); written by the worker
    uint64_t release;                       // pictures before this one do not wait for later ones
    uint64_t starved;                       // = taken: the worker found that all frames in the pipeline wait for later ones
    bool new_shot;                          // the next frame has nothing to do with those before it
    bool draining, quit;
    atomic_bool cancelled;                  // written under the mutex; the worker also reads it within a batch
    int error;                              // of the first batch that failed; kept until clz_stream_flush()
    uint64_t compared, not_compared;        // with verify: number of frames
    char worker_describe[160];              // device, threads, network size and batch; written by the worker
    char describe[160];                     // the copy that clz_stream_describe() returns

    pthread_mutex_t mutex;
    pthread_cond_t work, finished;          // signalled when frames are submitted, and when frames are finished
    pthread_t worker;
    bool has_worker, has_mutex;
};

static struct slot *slot_of(clz_stream *s, uint64_t number)
{
    return &s->ring[number % s->room];
}

// ---- the worker ----

static bool same_batch(const struct slot *a, const struct slot *b)
{
    return a->in.format == b->in.format && a->out.format == b->out.format && a->in.memory == b->in.memory &&
           a->in.width == b->in.width && a->in.height == b->in.height && a->in.range == b->in.range &&
           a->in.matrix == b->in.matrix && a->in.siting == b->in.siting && a->in.transfer == b->in.transfer &&
           a->out.range == b->out.range && a->out.matrix == b->out.matrix && a->out.siting == b->out.siting &&
           a->out.transfer == b->out.transfer && a->controls.skip == b->controls.skip;
}

// A hash of the luma samples of a frame in host memory.
static uint64_t luma_hash(const struct clz_frame *f)
{
    const size_t bytes = clz_pixfmt_row_bytes(f->format, 0, f->width);
    uint64_t hash = CLZK_FNV1A_BASIS;

    for (int y = 0; y < f->height; y++) hash = clzk_fnv1a(hash, f->data[0] + y * f->stride[0], bytes);
    return hash;
}

// With verify: whether the luma of the frames is that of the input whose last pictures are among the oldest `count` that are not
// done.
static int verify(clz_stream *s, int count)
{
    for (int i = 0; i < count; i++) {
        const struct slot *slot = slot_of(s, s->done + i);
        if (!slot->last) continue;
        if (slot->verified) s->compared++;
        else s->not_compared++;
        if (slot->verified && luma_hash(&slot->out) != slot->luma)
            return clzi_fail(&s->params.log, -EIO, "frame %llu: its luma is not that of the film",
                             (unsigned long long)slot->frame + s->params.first_frame);
    }
    return 0;
}

// The first `count` pictures that are not done yet are finished, or failed if ret is an error.
static void finish(clz_stream *s, int count, int ret)
{
    if (ret >= 0 && s->params.verify) ret = verify(s, count);
    pthread_mutex_lock(&s->mutex);
    if (ret < 0) s->error = ret;
    if (*clzi_pipeline_describe(s->pipeline))
        snprintf(s->worker_describe, sizeof s->worker_describe, "%s, %d thread%s, %s, batch %d",
                 clzi_device_base(s->dev)->describe, s->params.threads, s->params.threads > 1 ? "s" : "",
                 clzi_pipeline_describe(s->pipeline), s->batch);
    for (int i = 0; i < count; i++) slot_of(s, s->done + i)->error = ret < 0 ? ret : 0;
    s->saved = clzi_pipeline_reused(s->pipeline);
    s->done += count;
    if (s->taken < s->done) s->taken = s->done;
    pthread_cond_broadcast(&s->finished);
    pthread_mutex_unlock(&s->mutex);
}

static void finish_oldest(clz_stream *s)
{
    int count;
    const int ret = clzi_pipeline_wait(s->pipeline, &count);

    finish(s, count, ret);
}

static void finish_queued(clz_stream *s)
{
    while (clzi_pipeline_queued(s->pipeline)) finish_oldest(s);
}

// The frames before number `end` that the stabiliser did not see have their numbers in the list of shots all the same.
static void count_frames(clz_stream *s, uint64_t end)
{
    for (; s->stabilizer.frame < end; s->stabilizer.frame++) {
        if (s->stabilizer.shots) clzi_shots_skip(s->stabilizer.shots);
        if (s->stabilizer.qc) clzi_qc_skip(s->stabilizer.qc);
    }
}

// The pictures that are not done yet, up to `end`, fail.
static void fail_frames(clz_stream *s, uint64_t end, int error)
{
    finish_queued(s);
    clzi_pipeline_drop(s->pipeline);
    if (end > s->done) count_frames(s, slot_of(s, end - 1)->frame + 1);
    finish(s, (int)(end - s->done), error);
}

// The frames in the pipeline wait for later ones no more. They may still be queued on return.
static void release_frames(clz_stream *s)
{
    int ret;

    while ((ret = clzi_pipeline_end(s->pipeline)) == -EAGAIN) finish_oldest(s);
    if (ret < 0) fail_frames(s, s->taken, ret);
}

// Copies the pictures [first, end), whose `skip` is set: all are frames.
static void copy_frames(clz_stream *s, uint64_t first, uint64_t end)
{
    release_frames(s);
    finish_queued(s);
    for (uint64_t i = first; i < end; i++) {
        const struct slot *slot = slot_of(s, i);
        count_frames(s, slot->frame + 1);
        finish(s, 1, clzi_pipeline_copy(s->pipeline, &slot->in, &slot->out));
    }
}

// Colours the pictures [first, end), which have the same geometry. The last run or two may still be queued on return.
static void colour_frames(clz_stream *s, uint64_t first, uint64_t end)
{
    struct clzi_job jobs[CLZI_MAX_BATCH];
    const int count = (int)(end - first);
    int ret = 0;

    for (int i = 0; i < count; i++) {
        const struct slot *slot = slot_of(s, first + i);
        jobs[i] = (struct clzi_job){ .in = &slot->in, .out = &slot->out, .controls = &slot->controls,
                                     .layers = &slot->layers, .classes = slot->classes, .cuts_known = s->stabilizer.cuts,
                                     .part = slot->part, .second = slot->second, .map = slot->map, .like = slot->like,
                                     .number = s->params.first_frame + slot->frame };
        if (s->stabilizer.notes && !slot->second) jobs[i].note = &s->stabilizer.notes[slot->frame % s->stabilizer.room];
    }
    if ((ret = clzi_pipeline_prepare(s->pipeline, jobs, count)) < 0) {
        fail_frames(s, end, ret);
        return;
    }
    for (int i = 0; i < count && s->stabilizer.bars; i++)
        if (!jobs[i].second) s->stabilizer.bars[slot_of(s, first + i)->frame % s->stabilizer.room] = jobs[i].before;
    for (int i = 0; i < count;) {
        ret = s->cancelled ? -ECANCELED : s->error ? s->error : clzi_pipeline_submit(s->pipeline, jobs + i, count - i);
        if (ret == -EAGAIN) {
            finish_oldest(s);
        } else if (ret < 0) {
            fail_frames(s, end, ret);
            return;
        } else {
            i += ret;
            s->taken += ret;
            if (clzi_pipeline_depth(s->pipeline) == 1) finish_oldest(s);
        }
    }
}

// Whether the worker, whose queue is empty, has something to do.
static bool has_work(const clz_stream *s)
{
    return s->quit || s->taken < s->submitted || (s->taken > s->done && (s->release == s->taken || s->cancelled || s->error));
}

// Blocks the worker and the threads of its OpenMP team until frames are submitted. Between two parallel regions libgomp's threads
// spin for milliseconds, which takes CPU time from the decoder and the encoder of the same film. Within a parallel region they
// wait for a condition variable instead.
static void wait_for_work(clz_stream *s)
{
    pthread_mutex_lock(&s->mutex);
    s->starved = s->taken;
    pthread_cond_broadcast(&s->finished);
    pthread_mutex_unlock(&s->mutex);
#pragma omp parallel num_threads(s->params.threads)
    {
        pthread_mutex_lock(&s->mutex);
        while (!has_work(s)) pthread_cond_wait(&s->work, &s->mutex);
        pthread_mutex_unlock(&s->mutex);
    }
}

static void *worker_main(void *arg)
{
    clz_stream *s = arg;
    int entered;

    clzk_set_threads(s->params.threads);
    entered = clzi_device_enter(s->dev);
    if (entered < 0) finish(s, 0, entered);         // every frame fails
    pthread_mutex_lock(&s->mutex);
    while (!s->quit) {
        const uint64_t first = s->taken, limit = s->release > first && s->release < s->submitted ? s->release : s->submitted;
        const int error = s->cancelled ? -ECANCELED : s->error;
        const bool inside = first > s->done, released = s->release == first && clzi_pipeline_waiting(s->pipeline);
        uint64_t end = first;
        int runs = 0;                       // of the network: repetitions take no place in a batch
        while (end < limit && runs < s->batch && end - first < CLZI_MAX_BATCH && same_batch(slot_of(s, first), slot_of(s, end)))
            runs += !slot_of(s, end++)->like;
        pthread_mutex_unlock(&s->mutex);
        if (error && (first < end || (inside && !clzi_pipeline_queued(s->pipeline)))) {
            fail_frames(s, end, error);
        } else if (released && !error) {
            release_frames(s);
        } else if (first == end && clzi_pipeline_queued(s->pipeline)) {
            finish_oldest(s);
        } else if (first == end) {
            wait_for_work(s);
        } else if (slot_of(s, first)->controls.skip) {
            copy_frames(s, first, end);
        } else {
            colour_frames(s, first, end);
        }
        pthread_mutex_lock(&s->mutex);
    }
    pthread_mutex_unlock(&s->mutex);
    finish_queued(s);
    if (entered >= 0) clzi_device_leave(s->dev);
    return NULL;
}

// ---- open and close ----

static int check_params(const struct clz_stream_params *p)
{
    if (p->batch < 0 || p->batch > CLZI_MAX_BATCH)
        return clzi_fail(&p->log, -EINVAL,
                         "batch is %d, should be 1 to %d, or 0 for the device's default", p->batch, CLZI_MAX_BATCH);
    if (p->size && (p->size < 32 || p->size > 2048))
        return clzi_fail(&p->log, -EINVAL, "size is %d, should be 32 to 2048, or 0 for the model's default", p->size);
    if (p->window < -1 || p->window > CLZI_MAX_WINDOW)
        return clzi_fail(&p->log, -EINVAL, "window is %d, should be 0 to %d, or -1 for the default", p->window, CLZI_MAX_WINDOW);
    if (p->first_frame < 0) return clzi_fail(&p->log, -EINVAL, "first_frame is %d, should be 0 or more", p->first_frame);
    if (p->threads < 0 || p->threads > 1024)
        return clzi_fail(&p->log, -EINVAL, "threads is %d, should be 1 to 1024, or 0 for one per core", p->threads);
    if ((unsigned)p->precision > CLZ_PRECISION_F16 || (unsigned)p->luma > CLZ_LUMA_LSTAR ||
        (unsigned)p->range > CLZ_RANGE_FULL || (unsigned)p->matrix > CLZ_MATRIX_2020 ||
        (unsigned)p->siting > CLZ_SITING_TOPLEFT || (unsigned)p->transfer > CLZ_TRANSFER_HLG ||
        (unsigned)p->out_range > CLZ_RANGE_FULL || (unsigned)p->chroma > CLZ_CHROMA_AUTO ||
        (unsigned)p->interlaced > CLZ_INTERLACED_FIELDS)
        return clzi_fail(&p->log, -EINVAL, "precision, luma, range, matrix, siting, transfer, out_range, chroma or interlaced is "
                         "not a value of its enum");
    if (p->repeats < -1 || p->repeats > 64)
        return clzi_fail(&p->log, -EINVAL, "repeats is %d, should be 0 to 64, or -1 for none", p->repeats);
    return 0;
}

// What looks at the frames before they are sent to the worker.
static int open_fields(clz_stream *s)
{
    const struct clzi_fields_params params = { s->params.repeats, true };

    if (s->params.repeats < 0 && s->params.interlaced == CLZ_INTERLACED_PROGRESSIVE) return 0;
    return clzi_fields_create(&s->fields, &params);
}

static struct clzi_stage stabilizer(const struct clz_stream_params *p, struct clzi_stabilizer_context *context)
{
    const int window = p->window >= 0 ? p->window : p->batch == 1 ? 0 : WINDOW;

    return p->stabilizer ? (struct clzi_stage){ &clzi_stabilizer_stage, CLZI_MOTION_BACK, window, context } :
                           (struct clzi_stage){ 0 };
}

// Finds what a sheet that was just read refers to: shots of the list, and classes of the model.
static int resolve_sheet(clz_stream *s, struct clzi_sheet *sheet, const char *path)
{
    int ret;

    if (s->numbers_lost) clzi_sheet_lose_numbers(sheet);
    else if ((ret = clzi_sheet_number(sheet, s->stabilizer.cuts)) < 0) return ret;
    if ((ret = clzi_sheet_find_classes(sheet, s->model->facts.classes)) < 0) return ret;
    return clzi_sheet_holds(sheet) && !s->params.stabilizer ?
           clzi_fail(&s->params.log, -EINVAL, "%s: hold needs the stabiliser", path) : 0;
}

// Reads the lists of shots and the sheet.
static int open_lists(clz_stream *s, const struct clz_stream_params *p)
{
    const struct clz_log *log = &s->params.log;
    const char *cuts = p->cuts;
    int ret;

    if (p->sheet && *p->sheet && (ret = clzi_sheet_read(&s->sheet, p->sheet, log)) < 0) return ret;
    if (!cuts && s->sheet) cuts = clzi_sheet_cuts(s->sheet);
    if (p->shots && cuts && !strcmp(p->shots, cuts))
        return clzi_fail(log, -EINVAL, "shots and cuts are the same file, %s", cuts);
    if (cuts && (ret = clzi_cuts_read(&s->stabilizer.cuts, cuts, p->first_frame, log)) < 0) return ret;
    if (s->sheet && (ret = resolve_sheet(s, s->sheet, p->sheet)) < 0) return ret;
    if (p->shots_only && (!p->shots || !p->stabilizer))
        return clzi_fail(log, -EINVAL, "shots_only needs a file to write the list of shots to, and the stabiliser");
    if (p->qc && p->shots && !strcmp(p->qc, p->shots))
        return clzi_fail(log, -EINVAL, "qc and shots are the same file, %s", p->qc);
    if (p->qc && (!p->stabilizer || p->shots_only))
        return clzi_fail(log, -EINVAL, "qc needs the stabiliser, and excludes shots_only");
    if (p->qc && (ret = clzi_qc_create(&s->stabilizer.qc, p->qc, p->first_frame, log)) < 0) return ret;
    return p->shots ? clzi_shots_create(&s->stabilizer.shots, p->shots, p->first_frame, log) : 0;
}

// Whether two paths are one file.
static bool is_same_file(const char *a, const char *b)
{
    struct stat x, y;

    if (!strcmp(a, b)) return true;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

// Opens the files of answers.
static int open_answers(clz_stream *s, const struct clz_stream_params *p)
{
    const struct clz_log *log = &s->params.log;
    struct clzk_murmur network;
    int ret;

    if (!p->answers_in && !p->answers_out) return 0;
    if (p->shots_only) return clzi_fail(log, -EINVAL, "answers_in and answers_out exclude shots_only, which runs no network");
    if (p->answers_in && p->answers_out && is_same_file(p->answers_in, p->answers_out))
        return clzi_fail(log, -EINVAL, "answers_in and answers_out are the same file, %s", p->answers_in);
    for (int i = 0; i < 2 && p->answers_out; i++) {
        const char *other = i ? p->qc : p->shots;
        if (other && is_same_file(other, p->answers_out))
            return clzi_fail(log, -EINVAL, "answers_out and %s are the same file, %s", i ? "qc" : "shots", other);
    }
    if ((ret = clzi_answers_network(&network, s->model)) < 0) return ret;
    s->answers.precision = p->precision;
    if (p->answers_in && (ret = clzi_answers_read(&s->answers.in, p->answers_in, &network, log)) < 0) return ret;
    if (!p->answers_out) return 0;
    return clzi_answers_create(&s->answers.out, p->answers_out, &network, clzi_device_base(s->dev)->describe, log);
}

// Completes the file that is written, and says where answers came from.
static void close_answers(clz_stream *s)
{
    const struct clz_log *log = &s->params.log;
    const struct clzi_answers *a = &s->answers;
    const unsigned long long file = a->from_file, network = a->from_network;
    const bool in = a->in, out = a->out;
    const int ret = clzi_answers_finish(&s->answers.out);
    const char *written = !out ? "" : ret < 0 ? "; not written" : "; written";

    if (in && file + network)
        clzi_log(log, CLZ_LOG_INFO, "answers: %llu frames from the file, %llu from the network%s", file, network, written);
    else if (out && network)
        clzi_log(log, CLZ_LOG_INFO, "answers: %llu frames from the network%s", network, written);
    if (in && !file && network)
        clzi_log(log, CLZ_LOG_WARNING, "answers_in has none of the frames: it is of another film, or of other bars, another size "
                 "or precision");
    clzi_answers_reader_destroy(&s->answers.in);
}

int clz_stream_open(clz_stream **out, clz_model *model, const struct clz_stream_params *params)
{
    static const struct clz_stream_params defaults;
    clz_stream *s;
    int ret;

    if (!out) return -EINVAL;
    *out = NULL;
    if (!params) params = &defaults;
    if (!model) return clzi_fail(&params->log, -EINVAL, "the model of the stream is NULL");
    if ((ret = check_params(params)) < 0) return ret;
    if (!(s = calloc(1, sizeof *s))) return -ENOMEM;
    s->model = clz_model_ref(model);
    s->params = *params;
    ret = clzi_device_open(&s->dev, params->device,
                           &(struct clzi_device_params){ .threads = s->params.threads, .precision = params->precision,
                                                         .log = params->log, .cuda_context = params->cuda_context,
                                                         .cuda_stream = params->cuda_stream });
    if (ret < 0) goto fail;
    s->params.threads = clzi_device_base(s->dev)->threads;      // the device's default, or fewer than requested
    s->params.device = NULL;                // the caller owns the string and may free it
    s->batch = s->params.batch ? s->params.batch : clzi_device_base(s->dev)->backend->default_batch;
    s->stabilizer.first = s->params.first_frame;
    if ((ret = open_lists(s, params)) < 0 || (ret = open_answers(s, params)) < 0 || (ret = open_fields(s)) < 0) goto fail;
    if ((ret = clzi_device_enter(s->dev)) < 0) goto fail;
    ret = clzi_pipeline_create(&s->pipeline, model, s->dev,
                               &(struct clzi_pipeline_params){ .batch = s->batch, .size = s->params.size,
                                                              .luma = s->params.luma, .bars = s->params.bars,
                                                              .no_network = s->params.shots_only,
                                                              .hints = s->params.hints, .ambiguity = s->stabilizer.qc,
                                                              .classes = s->params.classes,
                                                              .answers = params->answers_in || params->answers_out ?
                                                                         &s->answers : NULL,
                                                              .repeats = s->params.repeats >= 0,
                                                              .stage = stabilizer(params, &s->stabilizer) });
    clzi_device_leave(s->dev);
    if (ret >= 0 && s->sheet) ret = clzi_pipeline_check_extras(s->pipeline, clzi_sheet_extras(s->sheet));
    s->params.bars = s->params.hints = s->params.shots = s->params.cuts = s->params.sheet = NULL;       // likewise
    s->params.qc = s->params.answers_out = s->params.answers_in = s->params.classes = NULL;
    if (ret < 0) goto fail;
    s->capacity = BATCHES * s->batch + clzi_pipeline_lookahead(s->pipeline);
    s->room = s->params.interlaced == CLZ_INTERLACED_PROGRESSIVE ? s->capacity : 2 * s->capacity;
    s->ring = calloc(s->room, sizeof *s->ring);
    s->stabilizer.room = s->capacity;
    if (s->stabilizer.shots) s->stabilizer.bars = calloc(s->capacity, sizeof *s->stabilizer.bars);
    if (s->stabilizer.qc) s->stabilizer.notes = calloc(s->capacity, sizeof *s->stabilizer.notes);
    if (!s->ring || (s->stabilizer.shots && !s->stabilizer.bars) || (s->stabilizer.qc && !s->stabilizer.notes)) {
        ret = -ENOMEM;
        goto fail;
    }
    s->new_shot = true;
    if (pthread_mutex_init(&s->mutex, NULL) || pthread_cond_init(&s->work, NULL) || pthread_cond_init(&s->finished, NULL)) {
        ret = -ENOMEM;
        goto fail;
    }
    s->has_mutex = true;
    if ((ret = -pthread_create(&s->worker, NULL, worker_main, s)) < 0) {
        clzi_log(&params->log, CLZ_LOG_ERROR, "cannot start a thread: %s", strerror(-ret));
        goto fail;
    }
    s->has_worker = true;
    *out = s;
    return 0;
fail:
    clz_stream_close(&s);
    return ret;
}

void clz_stream_close(clz_stream **stream)
{
    clz_stream *s = *stream;

    *stream = NULL;
    if (!s) return;
    if (s->has_worker) {
        pthread_mutex_lock(&s->mutex);
        s->quit = true;
        s->cancelled = true;
        pthread_cond_broadcast(&s->work);
        pthread_mutex_unlock(&s->mutex);
        pthread_join(s->worker, NULL);
    }
    if (s->params.verify && s->compared)
        clzi_log(&s->params.log, CLZ_LOG_INFO, "verify: the luma of %llu frames was compared, bit for bit",
                 (unsigned long long)s->compared);
    if (s->params.verify && s->not_compared)
        clzi_log(&s->params.log, CLZ_LOG_WARNING, "verify: the luma of %llu frames could not be compared: it is converted, or "
                 "not in host memory", (unsigned long long)s->not_compared);
    if (s->with_two || s->saved)
        clzi_log(&s->params.log, CLZ_LOG_INFO, "%llu of %llu frames hold two fields of different times; %llu runs of the model "
                 "were saved by repetitions", (unsigned long long)s->with_two, (unsigned long long)s->frames,
                 (unsigned long long)s->saved);
    if (s->has_mutex) {
        pthread_cond_destroy(&s->finished);
        pthread_cond_destroy(&s->work);
        pthread_mutex_destroy(&s->mutex);
    }
    if (s->pipeline && clzi_device_enter(s->dev) >= 0) {
        clzi_pipeline_destroy(&s->pipeline);
        clzi_device_leave(s->dev);
    }
    close_answers(s);
    clzi_shots_destroy(&s->stabilizer.shots);
    clzi_qc_destroy(&s->stabilizer.qc);
    clzi_cuts_destroy(&s->stabilizer.cuts);
    if (s->sheet && s->draining) clzi_sheet_end(s->sheet, s->sheet_is_late);
    clzi_sheet_destroy(&s->sheet);
    while (s->replaced) {
        struct sheets *next = s->replaced->next;
        clzi_sheet_destroy(&s->replaced->sheet);
        free(s->replaced);
        s->replaced = next;
    }
    free(s->stabilizer.bars);
    free(s->stabilizer.notes);
    clzi_device_close(&s->dev);
    clz_model_close(&s->model);
    clzi_fields_destroy(&s->fields);
    for (int i = 0; s->ring && i < s->room; i++) free(s->ring[i].map);
    free(s->ring);
    free(s);
}

int clz_stream_set_sheet(clz_stream *s, const char *path)
{
    struct sheets *old = NULL;
    struct clzi_sheet *sheet = NULL;
    int ret = 0;

    if (!s) return -EINVAL;
    if (path && *path && (ret = clzi_sheet_read(&sheet, path, &s->params.log)) < 0) return ret;
    if (sheet && ((ret = clzi_pipeline_check_extras(s->pipeline, clzi_sheet_extras(sheet))) < 0 ||
                  (ret = resolve_sheet(s, sheet, path)) < 0))
        goto fail;
    if (s->sheet && !(old = malloc(sizeof *old))) {
        ret = -ENOMEM;
        goto fail;
    }
    if (old) {
        *old = (struct sheets){ s->sheet, s->replaced };
        s->replaced = old;
    }
    s->sheet = sheet;
    s->sheet_is_late = s->frames > 0;
    return 0;
fail:
    clzi_sheet_destroy(&sheet);
    return ret;
}

// ---- frames in ----

static int check_planes(const struct clz_stream *s, const char *which, const struct clz_frame *f)
{
    if (!f->format || f->width < 1 || f->height < 1 || f->width > CLZ_MAX_SIZE || f->height > CLZ_MAX_SIZE)
        return clzi_fail(&s->params.log, -EINVAL, "%s frame is %dx%d %s, should be 1x1 to %dx%d with a pixel format", which,
                         f->width, f->height, f->format ? f->format->name : "without a pixel format", CLZ_MAX_SIZE, CLZ_MAX_SIZE);
    if (f->memory != CLZ_MEMORY_HOST && !clzi_device_base(s->dev)->cuda_frames)
        return clzi_fail(&s->params.log, -ENOTSUP, "%s frame is not in host memory; this device takes host frames only", which);
    for (int p = 0; p < f->format->planes; p++) {
        const int bytes = (int)clz_pixfmt_row_bytes(f->format, p, f->width);
        const ptrdiff_t stride = f->stride[p] < 0 ? -f->stride[p] : f->stride[p];
        if (!f->data[p] || stride < bytes)
            return clzi_fail(&s->params.log, -EINVAL, "%s frame, plane %d: data is %s, stride is %td, a row has %d bytes", which,
                             p, f->data[p] ? "set" : "NULL", f->stride[p], bytes);
        if (f->format->depth > 8 && ((uintptr_t)f->data[p] % 2 || f->stride[p] % 2))
            return clzi_fail(&s->params.log, -EINVAL,
                             "%s frame, plane %d: %s has samples of two bytes; address and stride %td must be even", which,
                             p, f->format->name, f->stride[p]);
    }
    if ((unsigned)f->range > CLZ_RANGE_FULL || (unsigned)f->matrix > CLZ_MATRIX_2020 ||
        (unsigned)f->siting > CLZ_SITING_TOPLEFT || (unsigned)f->transfer > CLZ_TRANSFER_HLG ||
        (unsigned)f->fields > CLZ_FIELDS_BOTTOM_FIRST)
        return clzi_fail(&s->params.log, -EINVAL, "%s frame: range %d, matrix %d, siting %d, transfer %d or fields %d is not a "
                         "value of its enum", which, f->range, f->matrix, f->siting, f->transfer, f->fields);
    return 0;
}

static int check_frames(const struct clz_stream *s, const struct clz_frame *in, const struct clz_frame *out)
{
    int ret = 0;

    if ((ret = check_planes(s, "input", in)) < 0 || (ret = check_planes(s, "output", out)) < 0) return ret;
    if (in->memory != out->memory)
        return clzi_fail(&s->params.log, -EINVAL, "the input and the output frame lie in different memories");
    if (in->width != out->width || in->height != out->height || !clzi_pixfmt_may_become(in->format, out->format))
        return clzi_fail(&s->params.log, -EINVAL, "%dx%d %s cannot become %dx%d %s", in->width, in->height, in->format->name,
                         out->width, out->height, out->format->name);
    if (in->data[0] == out->data[0] && !clzi_pixfmt_same_luma(in->format, out->format))
        return clzi_fail(&s->params.log, -EINVAL, "%s cannot become %s in place: their luma samples are stored differently",
                         in->format->name, out->format->name);
    if (!clzi_pipeline_bars_fit(s->pipeline, in->width, in->height))
        return clzi_fail(&s->params.log, -EINVAL, "the given bars leave no picture in a frame of %dx%d", in->width, in->height);
    for (int p = 0; p < in->format->planes; p++)
        if (in->data[p] == out->data[p] && in->stride[p] != out->stride[p])
            return clzi_fail(&s->params.log, -EINVAL,
                             "plane %d is coloured in place, but its strides differ: input %td, output %td", p, in->stride[p],
                             out->stride[p]);
    return 0;
}

static int check_controls(const struct clz_stream *s, const struct clz_controls *c)
{
    if (!(c->strength >= 0 && c->strength <= 1 && c->saturation >= 0 && c->saturation <= 4))
        return clzi_fail(&s->params.log, -EINVAL, "strength is %g and saturation %g, should be 0 to 1 and 0 to 4", c->strength,
                         c->saturation);
    if (!(c->stabilize >= 0 && c->stabilize <= 1))
        return clzi_fail(&s->params.log, -EINVAL, "stabilize is %g, should be 0 to 1", c->stabilize);
    if (c->hold && !s->params.stabilizer) return clzi_fail(&s->params.log, -EINVAL, "hold needs the stabiliser");
    return 0;
}

// Sets the tags that the pipeline uses. in: the stream's override, else the frame's tag, else the default that colorize.h states.
// out: the stream's out_range, else the frame's tag, else the tag that was resolved for in.
static void resolve_tags(const struct clz_stream *s, struct clz_frame *in, struct clz_frame *out)
{
    if (s->params.range) in->range = s->params.range;
    if (s->params.matrix) in->matrix = s->params.matrix;
    if (s->params.siting) in->siting = s->params.siting;
    if (s->params.transfer) in->transfer = s->params.transfer;
    if (in->format->flags & (CLZ_PIXFMT_FULL | CLZ_PIXFMT_RGB)) in->range = CLZ_RANGE_FULL;
    if (!in->range) in->range = in->format->flags & CLZ_PIXFMT_GRAY ? CLZ_RANGE_FULL : CLZ_RANGE_LIMITED;
    if (!in->matrix) in->matrix = clz_matrix_guess(in->width, in->height);
    if (!in->siting) in->siting = CLZ_SITING_LEFT;
    if (s->params.out_range) out->range = s->params.out_range;
    if (out->format->flags & (CLZ_PIXFMT_FULL | CLZ_PIXFMT_RGB)) out->range = CLZ_RANGE_FULL;
    if (!out->range) out->range = in->range;
    // Y' is computed from R', G', B' with the weights of in->matrix, so the output is converted back with the same weights
    if (!out->matrix || in->format->flags & CLZ_PIXFMT_RGB) out->matrix = in->matrix;
    if (!out->siting) out->siting = in->siting;
    if (!in->transfer) in->transfer = CLZ_TRANSFER_SDR;
    out->transfer = in->transfer;           // Y' is kept
    out->fields = in->fields;
}

// With verify: hashes the luma of a frame that comes in, if it is to be kept.
static void note_luma(clz_stream *s, struct slot *slot)
{
    const struct clz_frame *in = &slot->in, *out = &slot->out;

    slot->verified = in->memory == CLZ_MEMORY_HOST && !(in->format->flags & CLZ_PIXFMT_RGB) && in->range == out->range &&
                     clzi_pixfmt_same_luma(in->format, out->format) && s->params.luma == CLZ_LUMA_COPY;
    if (slot->verified) slot->luma = luma_hash(in);
}

static void submit(clz_stream *s)
{
    if (s->submitted == s->tail) return;
    s->submitted = s->tail;
    pthread_cond_broadcast(&s->work);
}

// Submits what is inside; it waits for no later frame.
static void release(clz_stream *s)
{
    submit(s);
    s->release = s->tail;
    pthread_cond_broadcast(&s->work);
}

// Whether the frame is passed on for its own colours. Called once for each frame that is sent.
static bool keeps_its_colours(clz_stream *s, const struct clz_frame *in)
{
    static const char *const words[] = { "grey", "a tint", "colours of its own" };
    const enum clzi_own_colour was = s->chroma.found, now = clzi_chroma_next(&s->chroma, in);

    if (now != was)
        clzi_log(&s->params.log, CLZ_LOG_VERBOSE, "frame %llu: the film has %s from here on",
                 (unsigned long long)s->frames + s->params.first_frame, words[now]);
    return now == CLZI_COLOURED || (now == CLZI_TINTED && s->params.chroma == CLZ_CHROMA_KEEP);
}

// The order of the fields of a frame that is looked at for such; NONE: it is coloured as progressive.
static enum clz_fields order_of_fields(clz_stream *s, const struct slot *slot)
{
    const enum clz_interlaced wish = s->params.interlaced;
    const enum clz_fields order = wish == CLZ_INTERLACED_PROGRESSIVE ? CLZ_FIELDS_NONE : slot->in.fields ? slot->in.fields :
                                  wish == CLZ_INTERLACED_FIELDS ? CLZ_FIELDS_TOP_FIRST : CLZ_FIELDS_NONE;
    const bool can = slot->in.memory == CLZ_MEMORY_HOST && clzi_device_base(s->dev)->backend->frames->fields;
    const bool fits = clzi_fields_fit(&slot->out);

    if (s->params.shots_only) return CLZ_FIELDS_NONE;       // no frame is coloured
    if (!order || (can && fits)) return order;
    if (!s->no_fields_said && !can)
        clzi_log(&s->params.log, CLZ_LOG_WARNING, "the film is interlaced, and is coloured as if progressive: %s",
                 slot->in.memory == CLZ_MEMORY_HOST ? "this device cannot colour fields" :
                 "only fields in host memory are coloured");
    else if (!s->no_fields_said)
        clzi_log(&s->params.log, CLZ_LOG_WARNING, "the film is interlaced, and is coloured as if progressive: fields need a "
                 "width of 16 and a height of 16 that is a multiple of %d, but the frames are %dx%d",
                 2 << slot->out.format->log2_chroma_h, slot->in.width, slot->in.height);
    s->no_fields_said = true;
    return CLZ_FIELDS_NONE;
}

// What the frame consists of. map: of the slot that its second picture will have.
static int find_pictures(clz_stream *s, const struct slot *slot, struct slot *second, struct clzi_fields_frame *pictures)
{
    const size_t size = clzi_fields_map_size(&slot->in);
    enum clz_fields order;

    *pictures = (struct clzi_fields_frame){ .count = 1 };
    if (!s->fields) return 0;
    if (slot->controls.skip || slot->in.memory != CLZ_MEMORY_HOST) clzi_fields_restart(s->fields);
    if (slot->controls.skip) return 0;
    order = order_of_fields(s, slot);
    if (slot->in.memory != CLZ_MEMORY_HOST) return 0;
    if (order && second->map_size < size) {
        free(second->map);
        second->map_size = 0;
        if (!(second->map = malloc(size))) return -ENOMEM;
        second->map_size = size;
    }
    return clzi_fields_next(s->fields, &slot->in, order, second->map, pictures);
}

// Sets what film, lists and sheet say about the frame. Called once for each frame that is sent.
static void set_controls(clz_stream *s, struct slot *slot)
{
    const bool keeps = s->params.chroma && keeps_its_colours(s, &slot->in);

    if (s->stabilizer.cuts && clzi_cuts_next(s->stabilizer.cuts)) slot->controls.cut = 1;
    if (!s->sheet || !clzi_sheet_apply(s->sheet, s->params.first_frame + s->frames, &slot->controls, &slot->layers,
                                      &slot->classes))
        slot->controls.skip |= keeps;
    if (s->new_shot || slot_of(s, s->tail - 1)->controls.skip) slot->controls.cut = 1;
    s->new_shot = false;
}

static void append(clz_stream *s, const struct slot *picture)
{
    struct slot *slot = slot_of(s, s->tail++);
    uint8_t *map = slot->map;
    const size_t size = slot->map_size;

    *slot = *picture;
    slot->map = map;
    slot->map_size = size;
}

// Adds the frame's pictures to the ring, and submits full batches.
static void add_pictures(clz_stream *s, struct slot *slot, const struct clzi_fields_frame *pictures)
{
    const bool alone = s->tail == s->submitted;

    if (!alone && !same_batch(slot_of(s, s->tail - 1), slot) && slot_of(s, s->tail - 1)->controls.skip == slot->controls.skip)
        submit(s);                          // the geometry changes: run the frames before it as a batch of their own
    for (int i = 0; i < pictures->count; i++) {
        slot->part = pictures->picture[i].part;
        slot->like = pictures->picture[i].like;
        slot->second = i;
        slot->last = i + 1 == pictures->count;
        if (i) slot->controls.cut = 0;
        append(s, slot);
    }
    s->frames++;
    s->with_two += pictures->count == 2;
    s->draining = false;
    if (s->tail - s->submitted < (uint64_t)s->batch) return;
    s->submitted += (s->tail - s->submitted) / s->batch * s->batch;
    pthread_cond_broadcast(&s->work);
}

int clz_stream_send(clz_stream *s, const struct clz_frame *in, const struct clz_frame *out, const struct clz_controls *controls)
{
    static const struct clz_controls defaults = CLZ_CONTROLS_DEFAULT;
    struct clzi_fields_frame pictures;
    struct slot slot = {0};
    int ret;

    if (!s) return -EINVAL;
    if (!in || !out) return clzi_fail(&s->params.log, -EINVAL, "the %s frame is NULL", in ? "output" : "input");
    slot = (struct slot){ .in = *in, .out = *out, .controls = controls ? *controls : defaults };
    slot.out.opaque = in->opaque;
    if ((ret = check_frames(s, in, out)) < 0 || (ret = check_controls(s, &slot.controls)) < 0) return ret;
    resolve_tags(s, &slot.in, &slot.out);
    if (s->params.chroma && in->memory != CLZ_MEMORY_HOST)
        return clzi_fail(&s->params.log, -ENOTSUP, "chroma=keep and chroma=auto need frames in host memory");
    pthread_mutex_lock(&s->mutex);
    ret = s->cancelled ? -ECANCELED : s->error ? s->error : s->frames - s->received == (uint64_t)s->capacity ? -EAGAIN : 0;
    pthread_mutex_unlock(&s->mutex);
    if (ret < 0) return ret;
    // From here on the frame is taken. This thread alone adds frames; the worker and it do not touch each other's slots.
    slot.frame = s->frames;
    if (s->params.verify) note_luma(s, &slot);
    set_controls(s, &slot);
    if ((ret = find_pictures(s, &slot, slot_of(s, s->tail + 1), &pictures)) < 0) return ret;
    pthread_mutex_lock(&s->mutex);
    add_pictures(s, &slot, &pictures);
    pthread_mutex_unlock(&s->mutex);
    return 0;
}

int clz_stream_submit(clz_stream *s)
{
    if (!s) return -EINVAL;
    pthread_mutex_lock(&s->mutex);
    release(s);
    pthread_mutex_unlock(&s->mutex);
    return 0;
}

int clz_stream_drain(clz_stream *s)
{
    if (!s) return -EINVAL;
    pthread_mutex_lock(&s->mutex);
    release(s);
    s->draining = true;
    s->new_shot = true;
    pthread_mutex_unlock(&s->mutex);
    return 0;
}

void clz_stream_cancel(clz_stream *s)
{
    if (!s) return;
    pthread_mutex_lock(&s->mutex);
    s->cancelled = true;
    pthread_cond_broadcast(&s->finished);
    pthread_mutex_unlock(&s->mutex);
}

// ---- frames out ----

// Whether all submitted frames that are not done wait for later ones.
static bool all_wait(const clz_stream *s) { return s->starved == s->submitted && s->release < s->submitted; }

// How many pictures the oldest frame consists of, if they are done; else 0.
static int done_pictures(const clz_stream *s)
{
    const int count = s->head < s->tail ? 1 + !s->ring[s->head % s->room].last : 0;

    return s->head + count <= s->done ? count : 0;
}

int clz_stream_receive(clz_stream *s, struct clz_frame *frame, int wait)
{
    int ret = -EAGAIN;

    if (!s) return -EINVAL;
    if (!frame) return clzi_fail(&s->params.log, -EINVAL, "the frame to receive into is NULL");
    pthread_mutex_lock(&s->mutex);
    while (wait && !s->cancelled && !done_pictures(s) && s->done < s->submitted && !all_wait(s))
        pthread_cond_wait(&s->finished, &s->mutex);
    if (s->cancelled) {
        ret = -ECANCELED;
    } else if (done_pictures(s)) {
        *frame = slot_of(s, s->head)->out;
        ret = 0;
        for (int i = done_pictures(s); i > 0; i--, s->head++)
            if (!ret) ret = slot_of(s, s->head)->error;
        s->received++;
    } else if (s->draining && s->head == s->tail) {
        ret = -ENODATA;
    }
    pthread_mutex_unlock(&s->mutex);
    return ret;
}

void clz_stream_flush(clz_stream *s, void (*on_frame)(void *priv, const struct clz_frame *frame), void *priv)
{
    uint64_t first, end;

    if (!s) return;
    pthread_mutex_lock(&s->mutex);
    s->cancelled = true;                    // the worker does not colour the frames that it has not started
    pthread_cond_broadcast(&s->work);
    while (s->done < s->submitted) pthread_cond_wait(&s->finished, &s->mutex);
    s->cancelled = false;
    first = s->head;
    end = s->tail;
    if (s->draining && first == end && s->sheet)
        clzi_sheet_end(s->sheet, s->sheet_is_late);             // it is over: hosts flush before they close
    s->head = s->done = s->taken = s->submitted = s->tail;      // the worker is idle, so the incomplete batch is dropped too
    s->draining = false;
    s->new_shot = true;
    s->error = 0;                           // frames after a seek are coloured again
    s->received = s->frames;
    count_frames(s, s->frames);
    s->numbers_lost |= s->tail > 0;
    if (s->numbers_lost) clzi_cuts_destroy(&s->stabilizer.cuts);        // its numbers are of the film from the beginning
    if (s->numbers_lost && s->sheet) clzi_sheet_lose_numbers(s->sheet);
    s->chroma = (struct clzi_chroma_finder){0};
    if (s->fields) clzi_fields_restart(s->fields);
    pthread_mutex_unlock(&s->mutex);
    for (; on_frame && first < end; first++)
        if (slot_of(s, first)->last) on_frame(priv, &slot_of(s, first)->out);
}

// ---- properties ----

int clz_stream_batch(const clz_stream *s) { return s ? s->batch : -EINVAL; }
int clz_stream_lookahead(const clz_stream *s) { return s ? s->batch + clzi_pipeline_lookahead(s->pipeline) : -EINVAL; }
uint64_t clz_stream_saved_runs(const clz_stream *s)
{
    clz_stream *stream = (clz_stream *)s;
    uint64_t count;

    if (!s) return 0;
    pthread_mutex_lock(&stream->mutex);
    count = s->saved;
    pthread_mutex_unlock(&stream->mutex);
    return count;
}

int clz_stream_max_in_flight(const clz_stream *s) { return s ? s->capacity : -EINVAL; }

const char *clz_stream_describe(const clz_stream *stream)
{
    clz_stream *s = (clz_stream *)stream;   // only s->describe is written, under the mutex

    if (!s) return "";
    pthread_mutex_lock(&s->mutex);
    memcpy(s->describe, s->worker_describe, sizeof s->describe);
    pthread_mutex_unlock(&s->mutex);
    return s->describe;
}

int clz_abi_version(void) { return CLZ_ABI_VERSION; }
const char *clz_version(void) { return CLZ_VERSION; }
