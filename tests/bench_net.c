// bench_net.c - measures the time of a model's network without the rest of the pipeline, for `make bench`. Prints one line
// "median_ms min_ms max_resident_MiB device".
//
//     bench_net MODEL.bin WIDTHxHEIGHT f32|bf16|auto THREADS SECONDS [nodes | OUT.f32]
//
// nodes: also prints the mean time of each node. OUT.f32: writes the network's output as raw floats, which bench_ort.py compares.
#include <string.h>
#include <sys/resource.h>

#include "bench.h"
#include "engine/exec.h"
#include "engine/model.h"
#include "engine/op.h"

int main(int argc, char **argv)
{
    static double times[100000];
    struct clzi_device_params params = { .log = stderr_log };
    struct clz_model *m = NULL;
    struct clzi_graph *g = NULL;
    struct clzi_device *dev = NULL;
    struct clzi_params *weights = NULL;
    struct clzi_exec *exec = NULL;
    float **values = NULL, *x, *y;
    struct rusage usage;
    double start, median_time;
    int w, h, count = 0;

    if (argc < 6 || sscanf(argv[2], "%dx%d", &w, &h) != 2) {
        fprintf(stderr, "usage: bench_net MODEL.bin WIDTHxHEIGHT f32|bf16|auto THREADS SECONDS [nodes | OUT.f32]\n");
        return 2;
    }
    params.precision = !strcmp(argv[3], "f32") ? CLZ_PRECISION_F32 :
                       !strcmp(argv[3], "bf16") ? CLZ_PRECISION_BF16 : CLZ_PRECISION_AUTO;
    params.threads = atoi(argv[4]);
    if (clzi_model_read(&m, argv[1], &stderr_log) < 0 || clzi_device_open(&dev, "cpu", &params) < 0 ||
        clzi_graph_fuse(m->graph, m->values, &g, &values) < 0 || clzi_params_create(&weights, dev, g, values, NULL) < 0)
        return 1;
    for (int i = 0; i < g->param_count; i++) free(values[i]);   // clzi_params_create() has copied them to the device
    clz_model_close(&m);
    if (clzi_exec_create(&exec, g, weights, &(struct clzi_exec_params){ .n = 1, .h = h, .w = w }) < 0) return 1;
    x = calloc((size_t)w * h, sizeof *x);
    y = calloc((size_t)w * h * 2, sizeof *y);
    for (int i = 0; i < w * h; i++) x[i] = (float)(i * 2654435761u % 2000) / 1000 - 1;
    for (int i = 0; i < 3; i++) {
        clzi_exec_upload(exec, 0, x);
        clzi_exec_forward(exec, 0);
        clzi_exec_download(exec, 0, y);
    }
    for (start = clzi_now(); clzi_now() - start < atof(argv[5]) && count < 100000; count++) {
        const double t = clzi_now();
        clzi_exec_upload(exec, 0, x);
        clzi_exec_forward(exec, 0);
        clzi_exec_download(exec, 0, y);
        times[count] = clzi_now() - t;
    }
    median_time = median(times, count);
    getrusage(RUSAGE_SELF, &usage);
    printf("%.4f %.4f %.1f %s\n", median_time * 1e3, times[0] * 1e3, usage.ru_maxrss / 1024.0,
           clzi_device_base(dev)->describe);
    if (argc > 6 && strcmp(argv[6], "nodes")) {
        FILE *out = fopen(argv[6], "wb");
        if (!out || fwrite(y, sizeof *y, (size_t)w * h * 2, out) != (size_t)w * h * 2 || fclose(out)) return 1;
    } else if (argc > 6) {
        double sum[CLZI_MAX_NODES] = {0};
        clzi_exec_set_timing(exec, true);
        for (int r = 0; r < 50; r++) {
            clzi_exec_forward(exec, 0);
            for (int i = 0; i < g->node_count; i++) sum[i] += clzi_exec_node_seconds(exec, i);
        }
        for (int i = 0; i < g->node_count; i++)
            printf("%8.1f us  %-10s %s\n", sum[i] / 50 * 1e6, clzi_ops[g->nodes[i].op].name, g->nodes[i].name);
    }
    return 0;
}
