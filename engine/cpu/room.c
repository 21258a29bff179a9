// room.c - whether threads can be had. libgomp ends the process where a thread is refused (a limit of processes, of memory, of
// a container); so plain threads, which may be refused, are asked for first.
#include <pthread.h>
#include <stdlib.h>

#include "cpu.h"

struct room { pthread_mutex_t mutex; pthread_cond_t changed; bool leave; };

static void *visit(void *arg)
{
    struct room *r = arg;

    pthread_mutex_lock(&r->mutex);
    while (!r->leave) pthread_cond_wait(&r->changed, &r->mutex);
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

int clzi_cpu_room(int want)
{
    struct room r = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false };
    pthread_t *threads = calloc(want, sizeof *threads);
    int count = 0;

    while (threads && count < want && !pthread_create(&threads[count], NULL, visit, &r)) count++;
    pthread_mutex_lock(&r.mutex);
    r.leave = true;
    pthread_cond_broadcast(&r.changed);
    pthread_mutex_unlock(&r.mutex);
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    free(threads);
    return count;
}
