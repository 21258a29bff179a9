// whole_file.h - reads a small file.
#ifndef CLZT_WHOLE_FILE_H
#define CLZT_WHOLE_FILE_H
#include <stddef.h>

// The content of a regular file below `limit` bytes, with a NUL behind it; to be freed. NULL: there is none, it cannot be read,
// or memory is short; size is 0 then.
char *clzt_file_whole(const char *path, size_t limit, size_t *size);
#endif
