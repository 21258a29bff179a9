// safetensors.h - the safetensors container: u64 N, little endian; N bytes of JSON with the type, shape and data offsets of each
// tensor; the data, which ends with the file. Two readers use this: model.c knows the tensors that a model must have, the
// trainer takes any.
#ifndef CLZI_SAFETENSORS_H
#define CLZI_SAFETENSORS_H
#include <jansson.h>
#include "bytes.h"

// Reads and parses a header of at most `most` bytes, with no more objects and arrays than `tensors` tensors have. *root: an
// object, which the caller releases in any case; *data: offset of the data. -EBADMSG and one message, or -ENOMEM.
int clzi_safetensors_header(const struct clzi_bytes *file, size_t most, int tensors, json_t **root, uint64_t *data);

struct clzi_safetensors_entry {
    const char *dtype;                      // "F32"; "missing" if it is no string
    const json_t *shape;                    // may be of any type
    uint64_t begin, end;                    // offsets in the data; begin may exceed end
};

// Reads the entry of one tensor, which must have dtype, shape and data_offsets and nothing else.
int clzi_safetensors_entry(const struct clzi_bytes *file, const char *name, const json_t *json,
                           struct clzi_safetensors_entry *entry);

// Checks that the offsets enclose `count` numbers of `size` bytes.
int clzi_safetensors_check_size(const struct clzi_bytes *file, const char *name, const struct clzi_safetensors_entry *entry,
                                uint64_t count, size_t size);

// Check that there is no gap and no overlap: call the first for all tensors in the order of `begin`, with *at 0 at first, then
// the second with the last *at.
int clzi_safetensors_check_place(const struct clzi_bytes *file, const char *name, uint64_t begin, uint64_t end, uint64_t *at);
int clzi_safetensors_check_end(const struct clzi_bytes *file, uint64_t at, uint64_t data_size);
#endif
