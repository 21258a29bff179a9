// pth_zip.h - ZIP archives as torch.save() writes them: entries that are stored, never compressed or encrypted. Found by the
// central directory alone; nothing is unpacked, so no archive is larger inside than outside.
#ifndef CLZT_PTH_ZIP_H
#define CLZT_PTH_ZIP_H
#include "tensors.h"

struct clzt_zip_entry {
    const char *name;                       // name_size bytes, no NUL behind it
    size_t name_size;
    uint64_t header, at, size;              // bytes of the file: its local header, its data
    uint32_t crc;                           // CRC-32 of the data, as the archive says
};

struct clzt_zip {
    struct clzi_bytes bytes;
    struct clzt_zip_entry *entries;         // sorted by name; names are unique, relative and without ".."
    int count;
    uint8_t *directory;                     // the central directory, which holds the names
};

// Reads and checks the central directory and every local header: each entry lies within the file, and no two overlap. -EBADMSG
// and one message, -ENOMEM. To be freed in any case.
int clzt_zip_open(struct clzt_zip *zip, const struct clzi_bytes *bytes);
void clzt_zip_free(struct clzt_zip *zip);

const struct clzt_zip_entry *clzt_zip_find(const struct clzt_zip *zip, const char *name);   // NULL: no such entry

// The data of an entry of at most `most` bytes, its CRC-32 verified; to be freed. One byte more is taken, and is 0.
int clzt_zip_read(const struct clzt_zip *zip, const struct clzt_zip_entry *entry, size_t most, uint8_t **data);
#endif
