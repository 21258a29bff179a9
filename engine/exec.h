// exec.h - the executor: a graph bound to a device and to sizes. Plans memory once; a forward or backward pass then
// allocates nothing. The executor owns every buffer but the parameters.
#ifndef CLZI_EXEC_H
#define CLZI_EXEC_H
#include "params.h"

// A tensor of another executor on the same device that takes the place of an input port's own: a discriminator reads the output
// of a generator, and its gradient is added to the generator's. Same shape and layout; it must outlive the executor.
struct clzi_binding {
    void *x;                                // NULL: the port has its own
    void *dx;                               // += dL/dx in backward; NULL: not wanted
};

struct clzi_exec_params {
    int n, h, w;                            // pictures and their size at every input that is no vector
    bool training;                          // batch statistics, dropout
    bool backward;                          // gradients will be asked for
    const char *keep_statistics;            // training: batch norms whose names begin with this use their running statistics and
                                            // leave them as they are; NULL: none
    bool fixed_weights;                     // backward: no gradients of parameters (a discriminator as judge)
    bool input_gradient[CLZI_MAX_PORTS];    // backward: of these input ports; a port with bind.dx has it in any case
    struct clzi_binding bind[CLZI_MAX_PORTS];   // of the input ports
};

struct clzi_exec;

// -ENOMEM is not logged as an error: the caller may try again with a smaller batch, and logs when it gives up.
int clzi_exec_create(struct clzi_exec **exec, const struct clzi_graph *graph, struct clzi_params *weights,
                     const struct clzi_exec_params *params);
void clzi_exec_destroy(struct clzi_exec **exec);

size_t clzi_exec_memory(const struct clzi_exec *exec);         // bytes of activations, gradients, scratch and saved

// Ports are given by their index in the graph. Their tensors last as long as the executor and share memory with nothing.
struct clzi_shape clzi_exec_input_shape(const struct clzi_exec *exec, int port);
struct clzi_shape clzi_exec_output_shape(const struct clzi_exec *exec, int port);

// Host side, dense NCHW f32. A port that nobody uploads to holds zeros.
int clzi_exec_upload(struct clzi_exec *exec, int port, const float *x);
int clzi_exec_download(struct clzi_exec *exec, int port, float *y);

// Device side: the tensors themselves, for whoever converts frames on the device or chains two networks.
void *clzi_exec_input(struct clzi_exec *exec, int port);
void *clzi_exec_output(struct clzi_exec *exec, int port);
void *clzi_exec_output_gradient(struct clzi_exec *exec, int port);     // write dL/dy of every output here, then call backward
void *clzi_exec_input_gradient(struct clzi_exec *exec, int port);      // dL/dx after backward, if asked for

int clzi_exec_forward(struct clzi_exec *exec, uint64_t seed);  // seed: of this step's dropout
int clzi_exec_backward(struct clzi_exec *exec);                // DW += gradients of the parameters

// Time of each op, for bench: name and seconds of node i's last forward; 0 unless timing is on.
void clzi_exec_set_timing(struct clzi_exec *exec, bool on);
double clzi_exec_node_seconds(const struct clzi_exec *exec, int node);
#endif
