// backend.h - what a device must offer to run graphs: memory, ops, vector functions; and the list of backends.
//
// The op contract. plan() is told shapes and which gradients will be wanted, chooses algorithms, builds whatever is costly,
// and reports scratch and saved bytes. forward() and backward() then only compute. A NULL gradient pointer means "nobody
// asked for it": all are NULL in inference, dw[] is NULL for a frozen parameter, dx[] for the network's input. dx is
// overwritten, dw is accumulated (+=). The executor owns every buffer, runs ops in order (backward: in reverse), and sums the
// gradients of a tensor with several readers through add(). What forward must keep for backward goes into `saved`.
// How activations lie in memory (layout, bf16 or f32) is the backend's own affair: tensor_size(), upload() and download()
// are the only ways in and out and speak dense NCHW f32. All activations of a device have one type and lie in its memory, so a
// call carries their shapes alone. Image i of a tensor begins i * tensor_size(one image) bytes after
// image 0. Parameters, their gradients and the optimiser's state are dense f32 in device memory (the master weights); an op
// keeps its own packed copy, which refresh() makes. Memory is never assumed to be the host's outside engine/ref and engine/cpu.
//
// Time. Calls on a device come from one thread at a time and are queued: they take effect in the order of the calls, and host
// memory that a call reads may be reused when it returns. Only download(), read() and wait() block. forward() and backward() can
// be recorded once and replayed: whatever changes from pass to pass (parameters, seed) lies in device memory.
#ifndef CLZI_BACKEND_H
#define CLZI_BACKEND_H
#include "graph.h"
#include "kernels/frame.h"

#define CLZI_CHROMA_EPS 1e-4               // of the chroma loss: keeps its gradient finite at grey

struct clzi_device;                         // each backend's own, begins with struct clzi_device_base

struct clzi_device_base {
    const struct clzi_backend *backend;
    struct clz_log log;
    int threads;                            // CPU threads of ops
    enum clz_precision precision;           // never AUTO here
    bool cuda_frames;                       // takes frames in device memory
    char describe[64];                      // "cpu bf16 (AMX)"
};
static inline struct clzi_device_base *clzi_device_base(struct clzi_device *dev) { return (struct clzi_device_base *)dev; }

struct clzi_call {
    struct clzi_device *dev;
    const struct clzi_node *node;
    struct clzi_shape xs[CLZI_MAX_IN], ys;
    // set before plan(), fixed from then on
    bool want_dx[CLZI_MAX_IN], want_dw;     // which gradients backward() will be asked for
    bool training;                          // batchnorm uses and updates batch statistics, dropout drops
    bool backward_reads_x, backward_reads_y;// set by plan(): backward() reads x or y, keep them
    size_t scratch_size, saved_size;        // set by plan(): scratch is shared by all ops, saved is the op's own
    void *priv;                             // the op's own, made by plan(), freed by destroy()
    // set before each forward()/backward()
    const void *x[CLZI_MAX_IN];
    void *y;
    const void *dy;
    void *dx[CLZI_MAX_IN];
    float *w[CLZI_MAX_W];                   // parameters, in device memory
    float *dw[CLZI_MAX_W];
    const uint64_t *seed;                   // dropout: Philox key, in device memory; changes with every training step
    void *scratch, *saved;
};

struct clzi_op {
    int (*plan)(struct clzi_call *c);       // 0 or -errno
    int (*forward)(struct clzi_call *c);
    int (*backward)(struct clzi_call *c);   // NULL: not differentiable, refused when the graph is bound
    void (*destroy)(struct clzi_call *c);   // optional; copes with what a failed plan() left
    int (*refresh)(struct clzi_call *c);    // optional: packs the parameters; before a forward pass after they have changed
};

struct clzi_device_params {
    int index;                              // which of several devices
    void *cuda_context, *cuda_stream;       // as in clz_stream_params
    int threads;                            // 0: one per core
    enum clz_precision precision;
    struct clz_log log;
};

// One step of Adam on one parameter (Kingma and Ba 2015, bias-corrected; PyTorch's form of eps), with decoupled weight decay:
// w -= lr decay w; m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; w -= lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + eps)
struct clzi_adam { float lr, beta1, beta2, eps, decay; int64_t step; /* t, from 1 */ };

// What only training needs, on f32 vectors in device memory. Calls are queued in order; none waits, none allocates. `state` lies
// in device memory (params.h), so that a step decides on the device whether it counts.
#define CLZI_TRAIN_LIMIT 18446744073709551616.  // 2^64, whose square Adam's v cannot hold
struct clzi_train_state;
struct clzi_train_ops {
    int (*zero)(struct clzi_device *dev, float *v, int64_t count);
    int (*copy)(struct clzi_device *dev, float *to, const float *from, int64_t count);
    int (*check)(struct clzi_device *dev, struct clzi_train_state *state, const float *v, int64_t count);
                                                                // raises bad: NaN, or a magnitude of CLZI_TRAIN_LIMIT or more
    int (*seed)(struct clzi_device *dev, float *dy, float weight, const struct clzi_train_state *state);   // *dy = weight * scale
    int (*adam)(struct clzi_device *dev, const struct clzi_adam *a, float *w, const float *g, float *m, float *v, int64_t count,
                const struct clzi_train_state *state);          // g is divided by scale; nothing if bad
    int (*restore)(struct clzi_device *dev, float *to, const float *from, int64_t count, const struct clzi_train_state *state);
                                                                // copy if bad
    int (*ema)(struct clzi_device *dev, float *average, const float *w, float decay, int64_t count,
               const struct clzi_train_state *state);           // average = decay average + (1 - decay) w; nothing if bad
    // Ends a step: clears bad; with dynamic loss scale halves it after a bad step and doubles it after 2,000 good ones.
    int (*advance)(struct clzi_device *dev, struct clzi_train_state *state, bool dynamic);
    // Spectral norm of a matrix [rows, columns], kernels/spectral.h: to = w / sigma, by one power iteration on u [rows]; v
    // [columns] and sigma [1] are outputs. And dw, the gradient of `to`, becomes that of w. Both NULL: the device has none.
    int (*spectral)(struct clzi_device *dev, float *to, const float *w, float *u, float *v, float *sigma, int rows,
                    int64_t columns);
    int (*spectral_gradient)(struct clzi_device *dev, float *dw, const float *to, const float *u, const float *v,
                             const float *sigma, int rows, int64_t columns);
};

// ---- frames ----

enum { CLZI_MAX_IMAGES = 64 };              // of one network run
struct clzi_frames;                         // each backend's own
struct clzk_colour_table;

struct clzi_frames_params {
    struct clz_frame seen, in, out;         // geometry and tags of whole frames: what the network sees; what is coloured, before
                                            // and after
    int w, h;                               // of the network's picture
    int images;                             // of the network's batch, at most CLZI_MAX_IMAGES
    int slots;                              // how many frames may be between read() and finish()
    const struct clzk_colour_table *colours;// for out's matrix; outlives the frames
    float l_scale, l_offset;                // the network's input is L* / l_scale - l_offset
};

struct clzi_frame_job {
    struct clz_frame seen;                  // the part of the frame that the network reads
    struct clz_frame in, out;               // the part that is coloured
    float gain;                             // the network's answer times gain is in Lab units
    enum clzk_part part;                    // a field: seen, in and out are views of its rows, of one size
};

// Both ends of the network: frame -> L*, ab -> chroma. Frames of one geometry; the planes stay from read() to finish(). Frame i
// of a call has the slot `slot + i`. `run` is the number, below queued_runs, under which the call will be waited for.
struct clzi_frame_ops {
    int (*create)(struct clzi_frames **frames, struct clzi_device *dev, const struct clzi_frames_params *params);
    void (*destroy)(struct clzi_frames **frames);
    // Y' of `seen` is kept in the slots; L* goes into `images` images of a tensor from l on, [images,1,h,w]. Those after `count`
    // repeat the last one.
    int (*read)(struct clzi_frames *frames, int slot, const struct clzi_frame_job *jobs, int count, int images, void *l);
    // Writes `out`: luma from `in`, chroma from the tensor ab [count,2,h,w]. -ERANGE: ab is not finite or beyond 1e6.
    int (*write)(struct clzi_frames *frames, int run, int slot, const struct clzi_frame_job *jobs, int count, const void *ab);
    // After wait(run): the frames are complete; -ERANGE as above. NULL: write() has done all.
    int (*finish)(struct clzi_frames *frames, int run, int slot, const struct clzi_frame_job *jobs, int count);
    // Without colour: luma converted to out's range, chroma neutral where in is gray. Of any geometry; complete after wait().
    int (*copy)(struct clzi_device *dev, const struct clz_frame *in, const struct clz_frame *out);
    // For clzi_bars_next(), of frames in device memory, of one size and format: width + height counts of each, valid until the
    // next call. Waits. NULL: there are none.
    int (*bright)(struct clzi_device *dev, const struct clz_frame *frames, int count, const int **counts);
    bool fields;                            // jobs may be fields; their plans are made when the first comes, so that read() then
                                            // returns -ENOMEM where memory does not suffice
};

struct clzi_pass;                           // each backend's own: the recorded calls of one pass

struct clzi_backend {
    const char *name;                       // "cpu"
    int priority;                           // device "auto" takes the highest that opens
    int (*open)(struct clzi_device **dev, const struct clzi_device_params *params);    // -ENOTSUP: not here
    void (*close)(struct clzi_device **dev);

    // How many frames one network run takes when the stream asks for `batch`; 1 where larger runs gain nothing.
    int (*frames_per_run)(struct clzi_device *dev, int batch);
    int default_batch;                      // of a stream that leaves the choice to us
    int queued_runs;                        // network runs that a stream keeps queued: 1 where calls compute before they return

    // A thread calls enter() before its first other call and leave() after its last, both optional: the device's context.
    int (*enter)(struct clzi_device *dev);
    void (*leave)(struct clzi_device *dev);

    void *(*alloc)(struct clzi_device *dev, size_t size);       // zeroed, aligned for the backend; NULL: none left
    void (*free)(struct clzi_device *dev, void *p);

    size_t (*tensor_size)(struct clzi_device *dev, struct clzi_shape shape);            // bytes of an activation
    int (*upload)(struct clzi_device *dev, void *tensor, struct clzi_shape shape, const float *nchw);
    int (*download)(struct clzi_device *dev, const void *tensor, struct clzi_shape shape, float *nchw);
    int (*add)(struct clzi_device *dev, void *sum, const void *x, struct clzi_shape shape);  // sum += x, activations
    int (*copy)(struct clzi_device *dev, void *to, const void *from, size_t size);           // bytes of activations
    const struct clzi_frame_ops *frames;

    // Runs one forward or backward pass: body(arg) makes its calls. A backend may record them in *pass, NULL at first, and replay
    // them the next time without calling body, which would make the same calls again. NULL: body is called.
    int (*pass)(struct clzi_device *dev, struct clzi_pass **pass, int (*body)(void *arg), void *arg);
    void (*pass_destroy)(struct clzi_device *dev, struct clzi_pass **pass);
    // mark() remembers this point of the queue under a number below queued_runs; wait() blocks until everything before it has
    // been done, and returns the first error of these calls. NULL: calls compute before they return.
    int (*mark)(struct clzi_device *dev, int number);
    int (*wait)(struct clzi_device *dev, int number);

    // on parameters: f32 vectors in device memory
    int (*write)(struct clzi_device *dev, float *to, const float *from_host, int64_t count);
    int (*read)(struct clzi_device *dev, float *to_host, const float *from, int64_t count);
    const struct clzi_train_ops *train;     // NULL: only inference

    const struct clzi_op *const *ops;       // CLZI_OP_COUNT entries; NULL: -ENOTSUP when the graph is bound
};

// The list, highest priority first, ends with NULL.
extern const struct clzi_backend *const clzi_backends[];

// Opens "auto" (NULL), "cpu", "ref", "cuda", "cuda:1" or "cuda/1". Logs what was taken and why.
int clzi_device_open(struct clzi_device **dev, const char *name, const struct clzi_device_params *params);
void clzi_device_close(struct clzi_device **dev);
int clzi_device_enter(struct clzi_device *dev);
void clzi_device_leave(struct clzi_device *dev);

extern const struct clzi_backend clzi_backend_ref, clzi_backend_cpu;
extern const struct clzi_backend clzi_backend_cuda;     // in the plug-in: plugin.h

// Of devices whose frames lie in host memory: frames_host.c.
extern const struct clzi_frame_ops clzi_host_frames;
#endif
