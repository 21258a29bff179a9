// tensors.h - files of named tensors: safetensors files, PyTorch checkpoints. Opening reads and checks names, types, shapes and
// offsets; numbers are read afterwards, tensor by tensor, as f32.
//
// The file is not trusted. Opening allocates memory for the description of the tensors only, which may take 16 MiB of the file.
// It checks that each tensor lies within its storage, and each storage within the file.
#ifndef CLZT_TENSORS_H
#define CLZT_TENSORS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "engine/bytes.h"

enum {
    CLZT_MAX_TENSORS = 16384,
    CLZT_MAX_RANK    = 8,
    CLZT_TENSOR_NAME = 256,                 // bytes of a name, with its NUL
    CLZT_MAX_DESCRIPTION = 16 << 20,        // bytes of a header, central directory or pickle
};
#define CLZT_MAX_ELEMENTS (INT64_C(1) << 29)    // of one tensor: 2 GiB as f32

struct clzt_number {
    const char *name;                       // as safetensors calls the type: "F32"
    const char *storage;                    // as PyTorch calls a storage of it: "FloatStorage"
    int size;                               // bytes
    float (*decode)(const uint8_t *p);      // p: little endian
};
extern const struct clzt_number clzt_numbers[];     // ends with name NULL

struct clzt_tensor {
    char name[CLZT_TENSOR_NAME];
    const struct clzt_number *number;
    int rank;
    int64_t dims[CLZT_MAX_RANK];
    int64_t strides[CLZT_MAX_RANK], offset; // in elements of its storage
    int storage;
};

// A range of bytes in the file that one or more tensors use.
struct clzt_storage {
    uint64_t at, size;                      // bytes
    bool has_crc, verified;
    uint32_t crc;                           // CRC-32 of the bytes
};

struct clzt_tensors {
    struct clzi_bytes bytes;
    const char *format;                     // "PyTorch checkpoint (legacy form)"
    char *section;                          // which dictionary of the checkpoint has the tensors: "state_dict"; "": the root
    struct clzt_tensor *tensors;            // in the file's order; names are unique
    int count;
    struct clzt_storage *storages;
    int storage_count;
};

// section: which dictionary of a checkpoint to take, "a.b" for b within a; NULL: one under a common name ("state_dict"), or the
// root. -EBADMSG and one logged sentence for an invalid file; errors of open().
int clzt_tensors_open(struct clzt_tensors **tensors, const char *path, const char *section, const struct clz_log *log);
void clzt_tensors_close(struct clzt_tensors **tensors);

// The same from memory (fuzzing, tests). data must remain valid until clzt_tensors_close().
int clzt_tensors_parse(struct clzt_tensors **tensors, const void *data, size_t size, const char *section, const char *name,
                       const struct clz_log *log);

const struct clzt_tensor *clzt_tensors_find(const struct clzt_tensors *tensors, const char *name);   // NULL: no such tensor
int64_t clzt_tensor_count(const struct clzt_tensor *tensor);                                         // product of dims

// Reads all numbers of a tensor in C order, whatever its strides; to: room for clzt_tensor_count() numbers. The first read of a
// storage with a CRC-32 verifies it. A number that is not finite is an error. 0 or a negative errno, logged.
int clzt_tensors_read(struct clzt_tensors *tensors, const struct clzt_tensor *tensor, float *to);

// "64x3x7x7", "" for a rank of 0; for messages.
struct clzt_shape_text { char text[CLZT_MAX_RANK * 21 + 1]; };
struct clzt_shape_text clzt_tensor_shape(const struct clzt_tensor *tensor);

// ---- for the formats (pth.c, tensors_safetensors.c) ----

// Like the functions of pth.h.
bool clzt_safetensors_is(const uint8_t *head, size_t size);
int clzt_safetensors_open(struct clzt_tensors *tensors, const char *section);

// Append a zeroed entry and return its index, or -ENOMEM. More than CLZT_MAX_TENSORS tensors: -EBADMSG, logged.
int clzt_tensors_add(struct clzt_tensors *tensors);
int clzt_tensors_add_storage(struct clzt_tensors *tensors);

uint32_t clzt_crc32(uint32_t crc, const void *data, size_t size);   // of ZIP; crc: of the data before, 0 at first
#endif
