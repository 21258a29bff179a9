// paths.h - absolute paths, folders and their contents.
#ifndef CLZB_PATHS_H
#define CLZB_PATHS_H
#include <limits.h>
#include <stdbool.h>

// PATH as an absolute path, from FOLDER if it is relative. To free. NULL: out of memory.
char *clzb_absolute(const char *folder, const char *path);
// An absolute path with its folder resolved: no links, no ".", no "..", also where the folder does not exist yet. The name itself
// is not followed. To free. NULL: errno is set.
char *clzb_canonical(const char *path);

void clzb_folder_of(const char *path, char folder[PATH_MAX]);          // of an absolute path

// Whether a file or folder, or where it does not exist, its folder, is on a network file system.
bool clzb_on_network(const char *path);

// Makes a folder and those above it that do not exist. 0 or -errno.
int clzb_make_folders(const char *folder);

// Removes the files of a folder for which keep() does not hold (NULL: all), and the folder if it is empty then. Of folders in it
// only files that are named as pictures of a batch are removed: what else lies there is not its own.
void clzb_empty_folder(const char *path, bool (*keep)(const char *name));

// Whether all that a folder holds are regular files named NNNNNNNN.EXTENSION, as a batch names pictures. False: no folder, too.
bool clzb_only_pictures(const char *folder, const char *extension);

// Removes the files of a folder that are named as pictures of a batch, and the folder if it is empty then.
void clzb_remove_pictures(const char *folder);

// fsync of a file or folder; of a folder of files, with all in it. 0 or -errno: with delayed allocation, a full disk or a write
// that failed shows here first. Ignored: errors of folders, and of file systems that do not support fsync (EINVAL, ENOTSUP).
int clzb_sync(const char *path);
int clzb_sync_all(const char *folder);
#endif
