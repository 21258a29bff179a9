// model_file.h - what reader (model.c) and writer (model_write.c) of model files share.
#ifndef CLZI_MODEL_FILE_H
#define CLZI_MODEL_FILE_H
#include <stddef.h>
#include "model.h"

enum { CLZI_MAX_HEADER = 1 << 20 };         // bytes of JSON
#define CLZI_MODEL_FORMAT "1"               // metadata colorize.format; raised when old readers would misread a file

// One entry of the metadata that becomes a field of struct clzi_model_facts, under "colorize." and the field's name.
struct clzi_fact {
    const char *key;                        // NULL ends the list
    enum { CLZI_FACT_TEXT, CLZI_FACT_INT, CLZI_FACT_FLOAT } type;
    size_t offset, size;
    double min, max;                        // of numbers
    const char *fallback;                   // text of a file without it; NULL: it must be there
};
extern const struct clzi_fact clzi_facts[];

// Numbers within their ranges, input and stride that the graph can serve. 0, or `code` and a message about file `name`; -ENOMEM.
int clzi_facts_check(const struct clzi_model_facts *facts, const struct clzi_graph *graph, int code, const char *name,
                     const struct clz_log *log);

bool clzi_param_is_variance(const struct clzi_param *p);            // its numbers must not be negative

struct clzi_dtype_info { const char *name; size_t size; };
extern const struct clzi_dtype_info clzi_dtypes[];                  // by enum clzi_dtype
#endif
