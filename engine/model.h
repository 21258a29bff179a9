// model.h - a model in memory (graph, parameters, facts), and reading and writing its file.
#ifndef CLZI_MODEL_H
#define CLZI_MODEL_H
#include <stdatomic.h>
#include <sys/stat.h>
#include "graph.h"
#include "kernels/lab_math.h"

// Facts of a model beside its graph. Strings are NUL-terminated UTF-8.
struct clzi_model_facts {
    char arch[64];                          // generator's name in recipes: "light"
    int size;                               // working size: short side, pixels
    char shape[16];                         // of that picture: "frame" or "": that of the frame; "square": the frame is resized
                                            // to a square
    int stride;                             // height and width are multiples of this
    char input[16];                         // "luma": L* of the grey pixel with that Y'; "lstar": L* of the colour pixel
    float l_scale, l_offset, ab_scale;      // network input = L / l_scale - l_offset (50, 1), a* = output * ab_scale (110)
    char train[2048];                       // how it was trained: seed, steps, pictures, data; free text, usually JSON
    char license[256];
    char classes[4096];                     // names of the classes of its input "class", "person,horse"; "": it has none
    char sha256[65];                        // of the data, hex; the writer computes it
};

// One "colorize.KEY" of the file's metadata, without the prefix.
struct clzi_model_info { char *key, *value; };

struct clz_model {
    atomic_int references;
    struct clzi_graph *graph;
    float **values;                         // [graph->param_count], dense f32, host
    struct clzi_model_facts facts;
    char *path;
    struct clzi_model_info *info;
    int info_count;
    struct clzi_model_colours *colours;     // model_colours.c
    struct stat file;                       // cache only: the file it was read from
    struct clz_model *next;                 // cache only: in its list, guarded by its mutex
};

enum clzi_dtype { CLZI_F32, CLZI_F16, CLZI_BF16 };

// Reads and checks a file, without the cache. If the file is wrong: -EBADMSG, and one logged sentence that names file, value and
// what was expected. The model has one reference, to be released with clz_model_close().
int clzi_model_read(struct clz_model **model, const char *path, const struct clz_log *log);

// The two steps of clzi_model_read(). open_file: returns a descriptor of a regular file, and fills `file` with its fstat().
// read_fd: does not close fd.
int clzi_model_open_file(const char *path, struct stat *file, const struct clz_log *log);
int clzi_model_read_fd(struct clz_model **model, int fd, const struct stat *file, const char *path,
                       const struct clz_log *log);

// The table for one colour space (kernels/colour_table.h), made at the first call; the model owns it. Any thread. 0 or -ENOMEM.
struct clzk_colour_space;
struct clzk_colour_table;
int clzi_model_colours(struct clz_model *model, const struct clzk_colour_space *space, bool lstar,
                       const struct clzk_colour_table **table);
void clzi_model_colours_destroy(struct clz_model *model);

// Frees a model, also a partly built one, whatever its reference count is.
void clzi_model_destroy(struct clz_model **model);

// As clzi_model_read(), from memory (fuzzing, tests).
int clzi_model_parse(struct clz_model **model, const void *data, size_t size, const char *name,
                     const struct clz_log *log);

// Writes a file as atomic_file.h describes. values as in struct clz_model.
int clzi_model_write(const char *path, const struct clzi_graph *graph, float *const *values,
                     const struct clzi_model_facts *facts, enum clzi_dtype dtype, const struct clz_log *log);

// The same parameters as a safetensors file for programs that know the network. It is no model: it has no graph.
int clzi_model_write_plain(const char *path, const struct clzi_graph *graph, float *const *values,
                           const struct clzi_model_facts *facts, enum clzi_dtype dtype, const struct clz_log *log);

// Converts between a graph and the JSON text of the metadata key colorize.graph. The caller frees *json.
int clzi_graph_to_json(const struct clzi_graph *graph, char **json);
int clzi_graph_from_json(struct clzi_graph **graph, const char *json, size_t size, const char *name,
                         const struct clz_log *log);
#endif
