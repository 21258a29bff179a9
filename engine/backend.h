// backend.h - what a device must offer to run graphs: memory, ops, vector functions; and the list of backends.
//
// The op contract. plan() is told shapes and which gradients will be wanted, chooses algorithms, builds whatever is costly,
// and reports scratch and saved bytes. forward() and backward() then only compute. A NULL gradient pointer means "nobody
// asked for it": all are NULL in inference, dw[] is NULL for a frozen parameter, dx[] for the network's input. dx is
// overwritten, dw is accumulated (+=). The executor owns every buffer, runs ops in order (backward: in reverse), and sums the
// gradients of a tensor with several readers through add(). What forward must keep for backward goes into `saved`.
// How activations lie in memory (layout, bf16 or f32) is the backend's own affair: tensor_size(), upload() and download()
// are the only ways in and out and speak dense NCHW f32. Parameters, their gradients and the optimiser's state are dense
// f32 in device memory (the master weights); an op keeps its own packed copy and remakes it when `version` has changed.
// Memory is never assumed to be the host's outside engine/ref and engine/cpu.
#ifndef CLZI_BACKEND_H
#define CLZI_BACKEND_H
#include "graph.h"

#define CLZI_CHROMA_EPS 1e-4               // of the chroma loss: keeps its gradient finite at grey

struct clzi_device;                         // each backend's own, begins with struct clzi_device_base

struct clzi_device_base {
    const struct clzi_backend *backend;
    struct clz_log log;
    int threads;                            // CPU threads of ops
    enum clz_precision precision;           // never AUTO here
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
    uint64_t version;                       // changes whenever the parameters' numbers do
    uint64_t seed;                          // dropout: Philox key; changes with every training step
    void *scratch, *saved;
};

struct clzi_op {
    int (*plan)(struct clzi_call *c);       // 0 or -errno
    int (*forward)(struct clzi_call *c);
    int (*backward)(struct clzi_call *c);   // NULL: not differentiable, refused when the graph is bound
    void (*destroy)(struct clzi_call *c);   // optional; copes with what a failed plan() left
};

struct clzi_device_params {
    int index;                              // which of several devices
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
};

struct clzi_backend {
    const char *name;                       // "cpu"
    int priority;                           // device "auto" takes the highest that opens
    int (*open)(struct clzi_device **dev, const struct clzi_device_params *params);    // -ENOTSUP: not here
    void (*close)(struct clzi_device **dev);

    // How many frames one network run takes when the stream asks for `batch`; 1 where larger runs gain nothing.
    int (*frames_per_run)(struct clzi_device *dev, int batch);

    void *(*alloc)(struct clzi_device *dev, size_t size);       // zeroed, aligned for the backend; NULL: none left
    void (*free)(struct clzi_device *dev, void *p);

    size_t (*tensor_size)(struct clzi_device *dev, struct clzi_shape shape);            // bytes of an activation
    int (*upload)(struct clzi_device *dev, void *tensor, struct clzi_shape shape, const float *nchw);
    int (*download)(struct clzi_device *dev, const void *tensor, struct clzi_shape shape, float *nchw);
    int (*add)(struct clzi_device *dev, void *sum, const void *x, struct clzi_shape shape);  // sum += x, activations

    // on parameters: f32 vectors in device memory
    int (*write)(struct clzi_device *dev, float *to, const float *from_host, int64_t count);
    int (*read)(struct clzi_device *dev, float *to_host, const float *from, int64_t count);
    const struct clzi_train_ops *train;     // NULL: plays only

    const struct clzi_op *const *ops;       // CLZI_OP_COUNT entries; NULL: -ENOTSUP when the graph is bound
};

// The list, highest priority first, ends with NULL.
extern const struct clzi_backend *const clzi_backends[];

// Opens "auto" (NULL), "cpu", "ref", "cuda", "cuda:1". Logs what was taken and why.
int clzi_device_open(struct clzi_device **dev, const char *name, const struct clzi_device_params *params);
void clzi_device_close(struct clzi_device **dev);

extern const struct clzi_backend clzi_backend_ref, clzi_backend_cpu;
#endif
