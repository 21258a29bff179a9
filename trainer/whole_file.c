// whole_file.c - reads a small file.
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "whole_file.h"

char *clzt_file_whole(const char *path, size_t limit, size_t *size)
{
    struct stat st;
    FILE *file = !stat(path, &st) && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
    char *text = NULL;
    long n;

    *size = 0;
    if (!file) return NULL;
    if (!fseek(file, 0, SEEK_END) && (n = ftell(file)) >= 0 && (size_t)n < limit && (text = malloc((size_t)n + 1))) {
        rewind(file);
        *size = fread(text, 1, (size_t)n, file);
        text[*size] = 0;
    }
    fclose(file);
    return text;
}
