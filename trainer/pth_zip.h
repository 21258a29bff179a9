// pth_zip.h - reads ZIP archives as torch.save() writes them. Entries must be stored: compressed and encrypted ones are errors.
// Nothing is decompressed, so an archive cannot expand.
#ifndef CLZT_PTH_ZIP_H
#define CLZT_PTH_ZIP_H
#include "tensors.h"

struct clzt_zip_entry {
    const char *name;                       // name_size bytes, not NUL-terminated
    size_t name_size;
    uint64_t header, at, size;              // offset of the local header, offset and size of the data
    uint32_t crc;                           // CRC-32 of the data, from the central directory
};

struct clzt_zip {
    struct clzi_bytes bytes;
    struct clzt_zip_entry *entries;         // sorted by name; names are unique, relative and without ".."
    int count;
    uint8_t *directory;                     // the central directory; names point into it
};

// Reads and checks the central directory and every local header: each entry lies within the file, and no two overlap. -EBADMSG
// and one message, -ENOMEM. clzt_zip_free() must follow in any case.
int clzt_zip_open(struct clzt_zip *zip, const struct clzi_bytes *bytes);
void clzt_zip_free(struct clzt_zip *zip);

const struct clzt_zip_entry *clzt_zip_find(const struct clzt_zip *zip, const char *name);   // NULL: no such entry

// Reads the data of an entry of at most `most` bytes and verifies its CRC-32. The caller frees *data, which ends with a 0 byte.
int clzt_zip_read(const struct clzt_zip *zip, const struct clzt_zip_entry *entry, size_t most, uint8_t **data);
#endif
