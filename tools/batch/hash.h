// hash.h - SHA-256 of files.
#ifndef CLZB_HASH_H
#define CLZB_HASH_H
#include <stdint.h>

// Hash and size of a file, or of a folder's files with their names. -errno.
int clzb_hash_path(const char *path, char hex[65], int64_t *size);
int clzb_size_of(const char *path, int64_t *size);

// A film's identity without reading all of it: size, time of change, first and last MiB. Of a folder: names, sizes, times.
int clzb_fingerprint(const char *path, char hex[65]);
#endif
