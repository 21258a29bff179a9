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

void clzb_empty_folder(const char *path, bool (*keep)(const char *name))
{
    DIR *dir = opendir(path);
    struct dirent *e;
    char inner[PATH_MAX];

    while (dir && (e = readdir(dir))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || (keep && keep(e->d_name))) continue;
        if (snprintf(inner, sizeof inner, "%s/%s", path, e->d_name) >= PATH_MAX) continue;
        if (unlink(inner) && (errno == EISDIR || errno == EPERM)) clzb_empty_folder(inner, NULL);
    }
    if (dir) closedir(dir);
    rmdir(path);
}

void clzb_sync(const char *path)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

void clzb_sync_all(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *e;
    char path[PATH_MAX];

    while (dir && (e = readdir(dir)))
        if (*e->d_name != '.' && snprintf(path, sizeof path, "%s/%s", folder, e->d_name) < PATH_MAX) clzb_sync(path);
    if (dir) closedir(dir);
    clzb_sync(folder);
}
