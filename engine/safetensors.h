// safetensors.h - the container of model files: u64 N, little endian; N bytes of JSON that name each tensor's type, shape and
// place; the data, which the tensors fill to the last byte of the file. Here is what its readers share: the model's (model.c),
// which knows the tensors that must be there, and the trainer's, which takes any.
#ifndef CLZI_SAFETENSORS_H
#define CLZI_SAFETENSORS_H
#include <jansson.h>
#include "bytes.h"

// Reads the header of at most `most` bytes, parsed with a bound on its objects and arrays that `tensors` of them stay below.
// *root: an object, to be released in any case; *data: where the data begins. -EBADMSG and one message, -ENOMEM.
int clzi_safetensors_header(const struct clzi_bytes *file, size_t most, int tensors, json_t **root, uint64_t *data);

struct clzi_safetensors_entry {
    const char *dtype;                      // "F32"; "missing" if it is no string
    const json_t *shape;                    // of any type
    uint64_t begin, end;                    // in the data; begin may lie behind end
};

// One tensor's entry in the header: dtype, shape and data_offsets, and nothing else.
int clzi_safetensors_entry(const struct clzi_bytes *file, const char *name, const json_t *json,
                           struct clzi_safetensors_entry *entry);

// Its place holds `count` numbers of `size` bytes.
int clzi_safetensors_check_size(const struct clzi_bytes *file, const char *name, const struct clzi_safetensors_entry *entry,
                                uint64_t count, size_t size);

// Called for all tensors by rising place, *at from 0: no hole and no overlap. Then for the end: nothing is behind the last.
int clzi_safetensors_check_place(const struct clzi_bytes *file, const char *name, uint64_t begin, uint64_t end, uint64_t *at);
int clzi_safetensors_check_end(const struct clzi_bytes *file, uint64_t at, uint64_t data_size);
#endif
