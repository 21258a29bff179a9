// queue.c - the rules of engine/backend.h about time, on a device that makes use of them: calls return before they have computed,
// a thread of its own runs them later and after random pauses, passes are recorded and replayed. Streams and training must give
// what they give on "ref", bit for bit.
#include <errno.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "engine/backend.h"
#include "engine/exec.h"
#include "engine/op.h"
#include "engine/params.h"
#include "tiny_model.h"
#include "window_stage.h"

// ---- the device: ref behind a queue ----

struct task { int (*run)(void *arg); void *arg; bool keep; };      // keep: arg belongs to a recorded pass

struct clzi_device {
    struct clzi_device_base base;           // first, so that ref's ops find their number of threads
    struct clzi_device *ref;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    struct task *tasks;
    int64_t added, done, room;
    int64_t marks[2];
    int error;
    bool quit;
    struct clzi_pass *recording;
    unsigned chance;
    int64_t longest;                        // most tasks that waited
};

struct clzi_pass { struct task *tasks; int count, room; };

static const struct clzi_backend *ref_of(struct clzi_device *dev) { return clzi_device_base(dev->ref)->backend; }

static void *thread_main(void *arg)
{
    struct clzi_device *dev = arg;

    pthread_mutex_lock(&dev->mutex);
    while (!dev->quit || dev->done < dev->added) {
        struct task t;
        int ret;
        if (dev->done == dev->added) {
            pthread_cond_wait(&dev->changed, &dev->mutex);
            continue;
        }
        t = dev->tasks[dev->done];
        dev->chance = dev->chance * 1664525u + 1013904223u;
        pthread_mutex_unlock(&dev->mutex);
        if (dev->chance >> 27 == 0) nanosleep(&(struct timespec){ 0, 300000 }, NULL);
        ret = t.run(t.arg);
        if (!t.keep) free(t.arg);
        pthread_mutex_lock(&dev->mutex);
        if (ret < 0 && !dev->error) dev->error = ret;
        dev->done++;
        pthread_cond_broadcast(&dev->changed);
    }
    pthread_mutex_unlock(&dev->mutex);
    return NULL;
}

static int append(struct clzi_device *dev, struct task t)
{
    pthread_mutex_lock(&dev->mutex);
    if (dev->added == dev->room) {
        dev->room = dev->room ? 2 * dev->room : 1024;
        dev->tasks = realloc(dev->tasks, dev->room * sizeof *dev->tasks);
    }
    dev->tasks[dev->added++] = t;
    if (dev->added - dev->done > dev->longest) dev->longest = dev->added - dev->done;
    pthread_cond_broadcast(&dev->changed);
    pthread_mutex_unlock(&dev->mutex);
    return 0;
}

// Queues run(arg), or adds it to the pass that is being recorded. arg was allocated.
static int queue(struct clzi_device *dev, int (*run)(void *), void *arg)
{
    struct clzi_pass *p = dev->recording;

    if (!p) return append(dev, (struct task){ run, arg, false });
    if (p->count == p->room) {
        p->room = p->room ? 2 * p->room : 64;
        p->tasks = realloc(p->tasks, p->room * sizeof *p->tasks);
    }
    p->tasks[p->count++] = (struct task){ run, arg, true };
    return 0;
}

static int wait_until(struct clzi_device *dev, int64_t number)
{
    int ret;

    pthread_mutex_lock(&dev->mutex);
    while (dev->done < number) pthread_cond_wait(&dev->changed, &dev->mutex);
    ret = dev->error;
    pthread_mutex_unlock(&dev->mutex);
    return ret;
}

static int finish(struct clzi_device *dev) { return wait_until(dev, dev->added); }

// ---- calls as tasks ----

enum { MAX_POINTERS = 6 };
struct call {
    struct clzi_device *dev;
    void *p[MAX_POINTERS];
    int64_t count;
    struct clzi_shape shape;
    float number;
    bool flag;
    struct clzi_adam adam;
    struct clzi_call *op;
    struct clzi_frames *frames;
    int run, slot, images, all_images;
    struct clzi_frame_job jobs[8];          // late_frames_per_run() keeps them below
    float host[];
};

static struct call *call_new(struct clzi_device *dev, int64_t floats)
{
    struct call *c = calloc(1, sizeof *c + floats * sizeof(float));
    c->dev = dev;
    return c;
}

#define TASK(name, expression) static int name(void *arg) { struct call *c = arg; return expression; }
#define REF ref_of(c->dev)
#define DEV c->dev->ref
TASK(do_forward, REF->ops[c->op->node->op]->forward(c->op))
TASK(do_backward, REF->ops[c->op->node->op]->backward(c->op))
TASK(do_upload, REF->upload(DEV, c->p[0], c->shape, c->host))
TASK(do_write, REF->write(DEV, c->p[0], c->host, c->count))
TASK(do_add, REF->add(DEV, c->p[0], c->p[1], c->shape))
TASK(do_zero, REF->train->zero(DEV, c->p[0], c->count))
TASK(do_copy, REF->train->copy(DEV, c->p[0], c->p[1], c->count))
TASK(do_check, REF->train->check(DEV, c->p[0], c->p[1], c->count))
TASK(do_seed, REF->train->seed(DEV, c->p[0], c->number, c->p[1]))
TASK(do_adam, REF->train->adam(DEV, &c->adam, c->p[0], c->p[1], c->p[2], c->p[3], c->count, c->p[4]))
TASK(do_restore, REF->train->restore(DEV, c->p[0], c->p[1], c->count, c->p[2]))
TASK(do_ema, REF->train->ema(DEV, c->p[0], c->p[1], c->number, c->count, c->p[2]))
TASK(do_advance, REF->train->advance(DEV, c->p[0], c->flag))
TASK(do_read, clzi_host_frames.read(c->frames, c->slot, c->jobs, c->images, c->all_images, c->p[0]))
TASK(do_frame_write, clzi_host_frames.write(c->frames, c->run, c->slot, c->jobs, c->images, c->p[0]))
TASK(do_copy_tensor, REF->copy(DEV, c->p[0], c->p[1], c->count))

static int op_forward(struct clzi_call *op)
{
    struct call *c = call_new(op->dev, 0);
    c->op = op;
    return queue(op->dev, do_forward, c);
}

static int op_backward(struct clzi_call *op)
{
    struct call *c = call_new(op->dev, 0);
    c->op = op;
    return queue(op->dev, do_backward, c);
}

static int op_plan(struct clzi_call *op)
{
    const struct clzi_op *of_ref = clzi_backend_ref.ops[op->node->op];
    return of_ref->plan ? of_ref->plan(op) : 0;
}

static int late_upload(struct clzi_device *dev, void *tensor, struct clzi_shape shape, const float *nchw)
{
    struct call *c = call_new(dev, clzi_shape_count(shape));
    c->p[0] = tensor;
    c->shape = shape;
    memcpy(c->host, nchw, clzi_shape_count(shape) * sizeof(float));
    return queue(dev, do_upload, c);
}

static int late_download(struct clzi_device *dev, const void *tensor, struct clzi_shape shape, float *nchw)
{
    const int ret = finish(dev);
    return ret < 0 ? ret : ref_of(dev)->download(dev->ref, tensor, shape, nchw);
}

static int late_write(struct clzi_device *dev, float *to, const float *from_host, int64_t count)
{
    struct call *c = call_new(dev, count);
    c->p[0] = to;
    c->count = count;
    memcpy(c->host, from_host, count * sizeof(float));
    return queue(dev, do_write, c);
}

static int late_read(struct clzi_device *dev, float *to_host, const float *from, int64_t count)
{
    const int ret = finish(dev);
    return ret < 0 ? ret : ref_of(dev)->read(dev->ref, to_host, from, count);
}

static int late_add(struct clzi_device *dev, void *sum, const void *x, struct clzi_shape shape)
{
    struct call *c = call_new(dev, 0);
    c->p[0] = sum;
    c->p[1] = (void *)x;
    c->shape = shape;
    return queue(dev, do_add, c);
}

static int late_copy_tensor(struct clzi_device *dev, void *to, const void *from, size_t size)
{
    struct call *c = call_new(dev, 0);
    c->p[0] = to;
    c->p[1] = (void *)from;
    c->count = (int64_t)size;
    return queue(dev, do_copy_tensor, c);
}

// A call of p[0..4] and count.
static int late(struct clzi_device *dev, int (*run)(void *), struct call values)
{
    struct call *c = call_new(dev, 0);
    *c = values;
    c->dev = dev;
    return queue(dev, run, c);
}

#define V(...) (struct call){ .p = { __VA_ARGS__ }, .count = count }
static int late_zero(struct clzi_device *dev, float *v, int64_t count) { return late(dev, do_zero, V(v)); }
static int late_copy(struct clzi_device *dev, float *to, const float *from, int64_t count)
{
    return late(dev, do_copy, V(to, (void *)from));
}
static int late_check(struct clzi_device *dev, struct clzi_train_state *state, const float *v, int64_t count)
{
    return late(dev, do_check, V(state, (void *)v));
}
static int late_seed(struct clzi_device *dev, float *dy, float weight, const struct clzi_train_state *state)
{
    return late(dev, do_seed, (struct call){ .p = { dy, (void *)state }, .number = weight });
}
static int late_adam(struct clzi_device *dev, const struct clzi_adam *a, float *w, const float *g, float *m, float *v,
                     int64_t count, const struct clzi_train_state *state)
{
    struct call c = V(w, (void *)g, m, v, (void *)state);
    c.adam = *a;
    return late(dev, do_adam, c);
}
static int late_restore(struct clzi_device *dev, float *to, const float *from, int64_t count,
                        const struct clzi_train_state *state)
{
    return late(dev, do_restore, V(to, (void *)from, (void *)state));
}
static int late_ema(struct clzi_device *dev, float *average, const float *w, float decay, int64_t count,
                    const struct clzi_train_state *state)
{
    struct call c = V(average, (void *)w, (void *)state);
    c.number = decay;
    return late(dev, do_ema, c);
}
static int late_advance(struct clzi_device *dev, struct clzi_train_state *state, bool dynamic)
{
    return late(dev, do_advance, (struct call){ .p = { state }, .flag = dynamic });
}

static const struct clzi_train_ops late_train = {
    late_zero, late_copy, late_check, late_seed, late_adam, late_restore, late_ema, late_advance, NULL, NULL,
};

// ---- frames: the jobs are read later, as the contract allows ----

static int frames_create(struct clzi_frames **frames, struct clzi_device *dev, const struct clzi_frames_params *params)
{
    return clzi_host_frames.create(frames, dev->ref, params);
}

// clzi_host_frames belong to ref; the queue is found through this.
static struct clzi_device *current;

static int frames_queue(int (*task)(void *), struct clzi_frames *frames, int run, int slot, const struct clzi_frame_job *jobs,
                        int count, int all_images, const void *tensor)
{
    struct call *c = call_new(current, 0);

    c->run = run;
    c->all_images = all_images;
    c->frames = frames;
    c->slot = slot;
    c->images = count;
    c->p[0] = (void *)tensor;
    memcpy(c->jobs, jobs, count * sizeof *jobs);
    return queue(current, task, c);
}

static void frames_destroy(struct clzi_frames **frames)
{
    finish(current);
    clzi_host_frames.destroy(frames);
}

static int frames_read(struct clzi_frames *f, int slot, const struct clzi_frame_job *jobs, int count, int images, void *l)
{
    return frames_queue(do_read, f, 0, slot, jobs, count, images, l);
}

static int frames_write(struct clzi_frames *f, int run, int slot, const struct clzi_frame_job *jobs, int count, const void *ab)
{
    return frames_queue(do_frame_write, f, run, slot, jobs, count, 0, ab);
}

static int frames_copy(struct clzi_device *dev, const struct clz_frame *in, const struct clz_frame *out)
{
    const int ret = finish(dev);
    return ret < 0 ? ret : clzi_host_frames.copy(dev->ref, in, out);
}

static const struct clzi_frame_ops late_frames = {
    frames_create, frames_destroy, frames_read, frames_write, NULL, frames_copy, NULL, true,
};

// ---- passes, marks, memory ----

static int late_pass(struct clzi_device *dev, struct clzi_pass **pass, int (*body)(void *), void *arg)
{
    int ret = 0;

    if (!*pass) {
        *pass = calloc(1, sizeof **pass);
        dev->recording = *pass;
        ret = body(arg);
        dev->recording = NULL;
    }
    for (int i = 0; i < (*pass)->count && ret >= 0; i++) ret = append(dev, (*pass)->tasks[i]);
    return ret;
}

static void late_pass_destroy(struct clzi_device *dev, struct clzi_pass **pass)
{
    finish(dev);
    for (int i = 0; i < (*pass)->count; i++) free((*pass)->tasks[i].arg);
    free((*pass)->tasks);
    free(*pass);
    *pass = NULL;
}

static int late_mark(struct clzi_device *dev, int number)
{
    dev->marks[number] = dev->added;
    return 0;
}

static int late_wait(struct clzi_device *dev, int number) { return wait_until(dev, dev->marks[number]); }
static void *late_alloc(struct clzi_device *dev, size_t size) { return ref_of(dev)->alloc(dev->ref, size); }
static void late_free(struct clzi_device *dev, void *p)
{
    finish(dev);
    ref_of(dev)->free(dev->ref, p);
}
static size_t late_tensor_size(struct clzi_device *dev, struct clzi_shape shape)
{
    return ref_of(dev)->tensor_size(dev->ref, shape);
}
static int late_frames_per_run(struct clzi_device *dev, int batch)
{
    (void)dev;
    return batch < 3 ? batch : 3;
}

static struct clzi_op late_ops[CLZI_OP_COUNT];
static const struct clzi_op *late_table[CLZI_OP_COUNT];
static struct clzi_backend late_backend = {
    .name = "late", .frames_per_run = late_frames_per_run, .default_batch = 4, .queued_runs = 2, .alloc = late_alloc,
    .free = late_free, .tensor_size = late_tensor_size, .upload = late_upload, .download = late_download, .add = late_add,
    .copy = late_copy_tensor,
    .frames = &late_frames, .pass = late_pass, .pass_destroy = late_pass_destroy, .mark = late_mark, .wait = late_wait,
    .write = late_write, .read = late_read, .train = &late_train, .ops = late_table,
};

static void late_close(struct clzi_device **device)
{
    struct clzi_device *dev = *device;

    pthread_mutex_lock(&dev->mutex);
    dev->quit = true;
    pthread_cond_broadcast(&dev->changed);
    pthread_mutex_unlock(&dev->mutex);
    pthread_join(dev->thread, NULL);
    pthread_cond_destroy(&dev->changed);
    pthread_mutex_destroy(&dev->mutex);
    clzi_device_close(&dev->ref);
    free(dev->tasks);
    free(dev);
    *device = NULL;
}

// In place of clzi_device_open(), which the linker replaces in this program: "late" is the device above.
int __real_clzi_device_open(struct clzi_device **dev, const char *name, const struct clzi_device_params *params);
int __wrap_clzi_device_open(struct clzi_device **dev, const char *name, const struct clzi_device_params *params);

int __wrap_clzi_device_open(struct clzi_device **out, const char *name, const struct clzi_device_params *params)
{
    struct clzi_device *dev;
    int ret;

    if (!name || strcmp(name, "late")) return __real_clzi_device_open(out, name, params);
    dev = calloc(1, sizeof *dev);
    for (int i = 0; i < CLZI_OP_COUNT; i++) {
        if (!clzi_backend_ref.ops[i]) continue;
        late_ops[i] = (struct clzi_op){ .plan = op_plan, .forward = op_forward, .backward = op_backward };
        late_table[i] = &late_ops[i];
    }
    late_backend.close = late_close;
    if ((ret = __real_clzi_device_open(&dev->ref, "ref", params)) < 0) {
        free(dev);
        return ret;
    }
    dev->base = *clzi_device_base(dev->ref);
    dev->base.backend = &late_backend;
    dev->chance = 1;
    pthread_mutex_init(&dev->mutex, NULL);
    pthread_cond_init(&dev->changed, NULL);
    REQUIRE_INT(pthread_create(&dev->thread, NULL, thread_main, dev), 0);
    *out = current = dev;
    return 0;
}

// ---- a stream ----

enum { FRAMES = 40, WIDTH = 96, HEIGHT = 64 };
struct picture { struct clz_frame f; uint8_t bytes[WIDTH * HEIGHT * 3]; };

// Grey noise with black bars above and below from frame 10 on; frames 25 to 29 are smaller.
static void paint(struct picture *p, int number)
{
    const int height = number >= 25 && number < 30 ? HEIGHT - 16 : HEIGHT, bar = number < 10 || height < HEIGHT ? 0 : 8;
    uint32_t seed = (uint32_t)number + 1;

    p->f = (struct clz_frame){ .format = clz_pixfmt_find("yuv444p"), .width = WIDTH, .height = height };
    for (int i = 0; i < 3; i++) {
        p->f.data[i] = p->bytes + i * WIDTH * HEIGHT;
        p->f.stride[i] = WIDTH;
    }
    memset(p->bytes, 128, sizeof p->bytes);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < WIDTH; x++) {
            seed = seed * 1664525u + 1013904223u;
            p->bytes[y * WIDTH + x] = (uint8_t)(y < bar || y >= height - bar ? 16 : 60 + (seed >> 26) + x);
        }
}

static void colour(const char *device, int batch, struct picture *out)
{
    static struct picture in[FRAMES];
    static const struct clz_controls skipped = { .strength = 1, .saturation = 1, .skip = 1 };
    const struct clz_stream_params params = { .device = device, .batch = batch, .threads = 1 };
    char path[512];
    const int fd = mkstemp(check_temporary(path, "queue"));
    clz_model *model = NULL;
    clz_stream *stream = NULL;
    struct clz_frame done;
    int received = 0;

    REQUIRE(fd >= 0);
    REQUIRE_INT(tiny_model_write(path), 0);
    REQUIRE_INT(clz_model_open(&model, path, NULL), 0);
    REQUIRE_INT(clz_stream_open(&stream, model, &params), 0);
    for (int i = 0; i < FRAMES; i++) {
        paint(&in[i], i);
        paint(&out[i], i);
        memset(out[i].bytes, 0, sizeof out[i].bytes);
        in[i].f.opaque = &out[i];
        while (clz_stream_send(stream, &in[i].f, &out[i].f, i % 13 == 7 ? &skipped : NULL) == -EAGAIN) {
            REQUIRE_INT(clz_stream_receive(stream, &done, 1), 0);
            REQUIRE(done.opaque == &out[received]);
            received++;
        }
    }
    REQUIRE_INT(clz_stream_drain(stream), 0);
    while (clz_stream_receive(stream, &done, 1) == 0) {
        REQUIRE(received < FRAMES && done.opaque == &out[received]);
        received++;
    }
    REQUIRE_INT(received, FRAMES);
    for (int i = 0; i < FRAMES; i++)
        REQUIRE(!memcmp(in[i].bytes, out[i].bytes, (size_t)WIDTH * in[i].f.height));
    clz_stream_close(&stream);
    clz_model_close(&model);
    remove(path);
    close(fd);
}

// ---- training ----

enum { STEPS = 6, BATCH = 2, SIZE = 8, MOST = 4096 };

// Six steps of a net with dropout and batch norm; the weights at the end. Nothing is read back in between.
static int64_t train(const char *device, float *weights)
{
    static const float lr[2] = { 1e-2f, 1e-2f };
    const struct clzi_params_wanted wanted = { .train = true, .ema = true };
    const struct clzi_exec_params params = { .n = BATCH, .h = SIZE, .w = SIZE, .training = true, .backward = true };
    const struct clzi_train_state start = { .scale = 64 };
    struct clzi_train_state *state;
    struct clzi_device *dev = NULL;
    struct clzi_graph *g = NULL;
    struct clzi_params *p = NULL;
    struct clzi_exec *e = NULL;
    const struct clzi_backend *be;
    float **values, input[BATCH * SIZE * SIZE], target[2 * BATCH * SIZE * SIZE];
    int64_t count;
    int x, ab;

    REQUIRE_INT(clzi_device_open(&dev, device, &(struct clzi_device_params){ .threads = 1 }), 0);
    be = clzi_device_base(dev)->backend;
    REQUIRE_INT(clzi_graph_create(&g), 0);
    x = clzi_graph_input(g, "L", .channels = 1);
    ab = clzi_graph_input(g, "ab", .channels = 2);
    x = clzi_graph_conv(g, "a", x, .channels = 6, .k = 3, .pad = 1);
    x = clzi_graph_batchnorm(g, "norm", x, .act = CLZI_ACT_RELU);
    x = clzi_graph_dropout(g, "drop", x, .p = 0.5f);
    x = clzi_graph_conv(g, "b", x, .channels = 2, .k = 3, .pad = 1, .bias = 1);
    REQUIRE(clzi_graph_output(g, "loss", CLZI_GRAPH_2(g, "l2", L2, x, ab)) >= 0);
    values = calloc(g->param_count, sizeof *values);
    for (int i = 0; i < g->param_count; i++) {
        values[i] = calloc(clzi_param_count(&g->params[i]), sizeof **values);
        for (int64_t k = 0; k < clzi_param_count(&g->params[i]); k++)
            values[i][k] = 0.3f + (float)((k * 7 + i) % 11) / 16 - 0.25f;
    }
    REQUIRE_INT(clzi_params_create(&p, dev, g, values, &wanted), 0);
    REQUIRE_INT(clzi_exec_create(&e, g, p, &params), 0);
    state = be->alloc(dev, sizeof *state);
    REQUIRE_INT(be->write(dev, (float *)state, (const float *)&start, sizeof start / sizeof(float)), 0);
    for (int step = 1; step <= STEPS; step++) {
        const struct clzi_adam adam = { .beta1 = 0.9f, .beta2 = 0.99f, .eps = 1e-8f, .step = step };
        for (int i = 0; i < BATCH * SIZE * SIZE; i++) input[i] = (float)((i * 31 + step * 17) % 64) / 32 - 1;
        for (int i = 0; i < 2 * BATCH * SIZE * SIZE; i++) target[i] = (float)((i * 13 + step) % 32) / 32 - 0.5f;
        REQUIRE_INT(clzi_exec_upload(e, 0, input), 0);
        REQUIRE_INT(clzi_exec_upload(e, 1, target), 0);
        memset(input, 0xff, sizeof input);  // the host's memory is the caller's again
        REQUIRE_INT(clzi_params_begin(p), 0);
        REQUIRE_INT(clzi_exec_forward(e, 1000 + step), 0);
        REQUIRE_INT(be->train->seed(dev, clzi_exec_output_gradient(e, 0), 10, state), 0);
        REQUIRE_INT(clzi_exec_backward(e), 0);
        REQUIRE_INT(clzi_params_check(p, state), 0);
        REQUIRE_INT(clzi_params_update(p, &adam, lr, 0.9f, state), 0);
        REQUIRE_INT(be->train->advance(dev, state, true), 0);
    }
    count = p->count;
    REQUIRE(count < MOST);
    REQUIRE_INT(be->read(dev, weights, p->slab[CLZI_W], count), 0);
    if (!strcmp(device, "late")) REQUIRE(dev->longest > 100);      // the host did go ahead
    be->free(dev, state);
    clzi_exec_destroy(&e);
    clzi_params_destroy(&p);
    for (int i = 0; i < g->param_count; i++) free(values[i]);
    free(values);
    clzi_graph_destroy(&g);
    clzi_device_close(&dev);
    return count;
}

int main(void)
{
    static struct picture want[FRAMES], got[FRAMES];
    static float one[MOST], two[MOST];
    int64_t count;

    CASE("queue/a_stream_gives_what_ref_gives");
    colour("ref", 1, want);
    for (int batch = 1; batch <= 7; batch += 2) {
        colour("late", batch, got);
        for (int i = 0; i < FRAMES; i++) REQUIRE(!memcmp(got[i].bytes, want[i].bytes, sizeof got[i].bytes));
    }

    CASE("queue/a_stream_that_sees_neighbouring_frames_gives_what_ref_gives");
    for (int after = 0; after <= 6; after += 3) {
        window_stage_use(2, after, false);
        colour("ref", 1, want);
        for (int batch = 1; batch <= 7; batch += 2) {
            window_stage.count = 0;
            colour("late", batch, got);
            for (int i = 0; i < FRAMES; i++) REQUIRE(!memcmp(got[i].bytes, want[i].bytes, sizeof got[i].bytes));
        }
    }
    memset(&window_stage, 0, sizeof window_stage);

    CASE("queue/training_gives_what_ref_gives");
    count = train("ref", one);
    REQUIRE_INT(train("late", two), count);
    REQUIRE(!memcmp(one, two, count * sizeof *one));
    for (int64_t i = 0; i < count; i++) REQUIRE(isfinite(one[i]));
    return check_end();
}
