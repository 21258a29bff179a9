// paths.c - absolute paths, folders and their contents.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <linux/magic.h>

#include "paths.h"

char *clzb_absolute(const char *folder, const char *path)
{
    char *text = NULL, *cwd = NULL;
    const bool here = !strcmp(folder, ".");

    while (!strncmp(path, "./", 2)) path += 2 + strspn(path + 2, "/");
    if (*path == '/') return strdup(path);
    if (*folder != '/' && !(cwd = getcwd(NULL, 0))) return NULL;
    if (asprintf(&text, "%s%s%s/%s", cwd ? cwd : "", cwd && !here ? "/" : "", here ? "" : folder, path) < 0) text = NULL;
    free(cwd);
    return text;
}

// Appends the parts of a path that does not exist, without "." and "..".
static int append_parts(char real[PATH_MAX], const char *parts)
{
    for (parts += strspn(parts, "/"); *parts; parts += strspn(parts, "/")) {
        const int n = (int)strcspn(parts, "/");
        const size_t used = strcmp(real, "/") ? strlen(real) : 0;
        char *slash = strrchr(real, '/');
        if (n == 2 && !strncmp(parts, "..", 2)) slash[slash == real] = 0;
        else if (n != 1 || *parts != '.') {
            if (used + n + 2 > PATH_MAX) {
                errno = ENAMETOOLONG;
                return -1;
            }
            snprintf(real + used, PATH_MAX - used, "/%.*s", n, parts);
        }
        parts += n;
    }
    return 0;
}

char *clzb_canonical(const char *path)
{
    char real[PATH_MAX], folder[PATH_MAX], *text = NULL;
    const char *name = strrchr(path, '/') + 1;
    int n = (int)(name - path);

    for (;;) {                              // the longest part of the folder that exists
        if (n >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return NULL;
        }
        snprintf(folder, sizeof folder, "%.*s", n, path);
        if (realpath(folder, real)) break;
        if (errno != ENOENT && errno != ENOTDIR) return NULL;
        while (n > 1 && path[n - 1] == '/') n--;
        while (n > 1 && path[n - 1] != '/') n--;
    }
    snprintf(folder, sizeof folder, "%.*s", (int)(name - path) - n, path + n);
    if (append_parts(real, folder)) return NULL;
    if (asprintf(&text, "%s/%s", strcmp(real, "/") ? real : "", name) < 0) return NULL;
    return text;
}

void clzb_folder_of(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    snprintf(folder, PATH_MAX, "%.*s", slash > path ? (int)(slash - path) : 1, path);
}

bool clzb_on_network(const char *path)
{
    static const unsigned long kinds[] = {
        NFS_SUPER_MAGIC, SMB_SUPER_MAGIC, FUSE_SUPER_MAGIC, 0xff534d42 /* cifs */, 0xfe534d42 /* smb2 */, 0x47504653 /* gpfs */,
        0x0bd00bd0 /* lustre */, 0x00c36400 /* ceph */
    };
    char folder[PATH_MAX];
    struct statfs fs;
    char *slash;

    snprintf(folder, sizeof folder, "%s", path);
    if (statfs(folder, &fs)) {
        if ((slash = strrchr(folder, '/'))) slash[slash == folder] = 0;
        if (statfs(slash ? folder : ".", &fs)) return false;
    }
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((unsigned long)fs.f_type == kinds[i]) return true;
    return false;
}

int clzb_make_folders(const char *folder)
{
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%s", folder);
    for (char *c = path + 1; ; c++) {
        const char kept = *c;
        if (kept && kept != '/') continue;
        *c = 0;
        if (mkdir(path, 0777) && errno != EEXIST && (errno != EROFS || access(path, F_OK))) return -errno;
        if (!(*c = kept)) return 0;
    }
}

// NNNNNNNN.EXTENSION, eight digits or more. extension NULL: any.
static bool is_picture(const char *name, const char *extension)
{
    const size_t digits = strspn(name, "0123456789");
    const char *end = name + digits + 1;

    if (digits < 8 || name[digits] != '.' || !*end || end[strspn(end, "abcdefghijklmnopqrstuvwxyz")]) return false;
    return !extension || !strcmp(end, extension);
}

static bool is_dot(const char *name) { return !strcmp(name, ".") || !strcmp(name, ".."); }

bool clzb_only_pictures(const char *folder, const char *extension)
{
    DIR *dir = opendir(folder);
    struct dirent *e;
    struct stat st;
    bool good = dir != NULL;

    while (good && (e = readdir(dir)))
        if (!is_dot(e->d_name))
            good = is_picture(e->d_name, extension) && !fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
                   S_ISREG(st.st_mode);
    if (dir) closedir(dir);
    return good;
}

void clzb_remove_pictures(const char *folder)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    while (dir && (e = readdir(dir)))
        if (is_picture(e->d_name, NULL)) unlinkat(fd, e->d_name, 0);
    if (dir) closedir(dir);
    else if (fd >= 0) close(fd);
    rmdir(folder);
}

void clzb_empty_folder(const char *path, bool (*keep)(const char *name))
{
    DIR *dir = opendir(path);
    struct dirent *e;
    char inner[PATH_MAX];

    while (dir && (e = readdir(dir))) {
        if (is_dot(e->d_name) || (keep && keep(e->d_name))) continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, e->d_name) >= PATH_MAX) continue;
        if (unlink(inner) && (errno == EISDIR || errno == EPERM)) clzb_remove_pictures(inner);
    }
    if (dir) closedir(dir);
    rmdir(path);
}

int clzb_sync(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    int ret = 0;

    if (fd < 0) return -errno;
    if (fsync(fd) && errno != EINVAL && errno != ENOTSUP) ret = -errno;
    if (ret && !fstat(fd, &st) && S_ISDIR(st.st_mode)) ret = 0;
    close(fd);
    return ret;
}

int clzb_sync_all(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *e;
    char path[PATH_MAX];
    int ret = dir ? 0 : -errno;

    while (dir && (e = readdir(dir)))
        if (*e->d_name != '.' && snprintf(path, sizeof path, "%s/%s", folder, e->d_name) < PATH_MAX) {
            const int one = clzb_sync(path);
            if (!ret) ret = one;
        }
    if (dir) closedir(dir);
    clzb_sync(folder);
    return ret;
}
