// model_cache.c - the list of open models of this process: opening the same unchanged file again returns the same object. FFmpeg
// rebuilds its filter graph when a stream changes size, and should not read 124 MB again for that.
//
// When the last reference to a model is released, the model is removed from the list under the same lock, so that no thread can
// find a model that is being freed.
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "model.h"

static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;      // guards the list, and releases of references
static pthread_mutex_t load_mutex = PTHREAD_MUTEX_INITIALIZER;      // one load at a time; taken before list_mutex
static struct clz_model *list;

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

// The open model of that file, with a reference added, or NULL.
static struct clz_model *find(const struct stat *file)
{
    struct clz_model *m;

    pthread_mutex_lock(&list_mutex);
    for (m = list; m; m = m->next)
        if (same_file(&m->file, file)) break;
    if (m) atomic_fetch_add(&m->references, 1);
    pthread_mutex_unlock(&list_mutex);
    return m;
}

static int load(struct clz_model **model, int fd, const struct stat *file, const char *path, const struct clz_log *log)
{
    int ret = 0;

    pthread_mutex_lock(&load_mutex);
    *model = find(file);                                            // another thread may have loaded it since
    if (!*model && (ret = clzi_model_read_fd(model, fd, file, path, log)) >= 0) {
        pthread_mutex_lock(&list_mutex);
        (*model)->file = *file;
        (*model)->next = list;
        list = *model;
        pthread_mutex_unlock(&list_mutex);
    }
    pthread_mutex_unlock(&load_mutex);
    return ret;
}

int clz_model_open(clz_model **model, const char *path, const struct clz_log *log)
{
    struct stat file;
    int ret = 0, fd;

    if (!model) return -EINVAL;
    *model = NULL;
    if (!path) return clzi_fail(log, -EINVAL, "no path (NULL) of a model file");
    if ((fd = clzi_model_open_file(path, &file, log)) < 0) return fd;
    if (!(*model = find(&file))) ret = load(model, fd, &file, path, log);
    close(fd);
    return ret;
}

clz_model *clz_model_ref(clz_model *model)
{
    if (model) atomic_fetch_add(&model->references, 1);
    return model;
}

void clz_model_close(clz_model **model)
{
    struct clz_model *m = *model, **place;
    bool last;

    *model = NULL;
    if (!m) return;
    pthread_mutex_lock(&list_mutex);
    last = atomic_fetch_sub(&m->references, 1) == 1;
    for (place = &list; last && *place; place = &(*place)->next)
        if (*place == m) {
            *place = m->next;
            break;
        }
    pthread_mutex_unlock(&list_mutex);
    if (last) clzi_model_destroy(&m);
}

const char *clz_model_info(const clz_model *model, const char *key)
{
    for (int i = 0; model && key && i < model->info_count; i++)
        if (!strcmp(model->info[i].key, key)) return model->info[i].value;
    return NULL;
}
