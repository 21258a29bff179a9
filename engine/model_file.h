// model_file.h - what reader (model.c) and writer (model_write.c) of model files share.
#ifndef CLZI_MODEL_FILE_H
#define CLZI_MODEL_FILE_H
#include <stddef.h>
#include "model.h"

#define CLZI_MODEL_FORMAT "1"               // metadata colorize.format; raised when old readers would misread a file

// One entry of the metadata that becomes a field of struct clzi_model_facts, under "colorize." and the field's name.
struct clzi_fact {
    const char *key;                        // NULL ends the list
    enum { CLZI_FACT_TEXT, CLZI_FACT_INT, CLZI_FACT_FLOAT } type;
    size_t offset, size;
    double min, max;                        // of numbers
};
extern const struct clzi_fact clzi_facts[];

struct clzi_dtype_info { const char *name; size_t size; };
extern const struct clzi_dtype_info clzi_dtypes[];                  // by enum clzi_dtype
#endif
