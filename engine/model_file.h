// model_file.h - definitions that the reader (model.c) and the writer (model_write.c) of model files share.
#ifndef CLZI_MODEL_FILE_H
#define CLZI_MODEL_FILE_H
#include <stddef.h>
#include "model.h"

enum { CLZI_MAX_HEADER = 1 << 20 };         // bytes of JSON
#define CLZI_MODEL_FORMAT "1"               // metadata colorize.format; increased when old readers would misread a file

// One field of struct clzi_model_facts, which is the metadata entry "colorize." and the field's name.
struct clzi_fact {
    const char *key;                        // NULL ends the list
    enum { CLZI_FACT_TEXT, CLZI_FACT_INT, CLZI_FACT_FLOAT } type;
    size_t offset, size;
    double min, max;                        // of numbers
    const char *fallback;                   // the value if the file has none; NULL: the file must have one
};
extern const struct clzi_fact clzi_facts[];

// Checks that numbers are within their ranges and that the stride fits the graph. Returns 0, -ENOMEM, or `code` after logging a
// message about file `name`.
int clzi_facts_check(const struct clzi_model_facts *facts, const struct clzi_graph *graph, int code, const char *name,
                     const struct clz_log *log);

bool clzi_param_is_variance(const struct clzi_param *p);            // its values must not be negative

struct clzi_dtype_info { const char *name; size_t size; };
extern const struct clzi_dtype_info clzi_dtypes[];                  // by enum clzi_dtype
#endif
