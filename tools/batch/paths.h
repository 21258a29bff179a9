// paths.h - absolute paths, folders and their contents.
#ifndef CLZB_PATHS_H
#define CLZB_PATHS_H
#include <limits.h>
#include <stdbool.h>

// PATH as an absolute path, from FOLDER if it is relative. To free. NULL: out of memory.
char *clzb_absolute(const char *folder, const char *path);
void clzb_folder_of(const char *path, char folder[PATH_MAX]);          // of an absolute path

// Whether a file or folder, or where it does not exist, its folder, is on a network file system.
bool clzb_on_network(const char *path);

// Makes a folder and those above it that do not exist. 0 or -errno.
int clzb_make_folders(const char *folder);

// Removes the entries of a folder for which keep() does not hold (NULL: all), and the folder if it is empty then.
void clzb_empty_folder(const char *path, bool (*keep)(const char *name));

// fsync of a file or folder; of a folder of files, with all in it. Errors are ignored: some file systems do not support it for
// folders, and of a file they have shown when it was written.
void clzb_sync(const char *path);
void clzb_sync_all(const char *folder);
#endif
