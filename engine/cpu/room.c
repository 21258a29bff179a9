// room.c - whether threads can be had. libgomp ends the process where a thread is refused (a limit of processes, of memory, of
// a container); so plain threads, which may be refused, are asked for first.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cpu.h"

struct room {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool leave;
    pid_t *ids;                             // the system's, of those that came
    int came;
};

static void *visit(void *arg)
{
    struct room *r = arg;

    pthread_mutex_lock(&r->mutex);
    r->ids[r->came++] = gettid();
    while (!r->leave) pthread_cond_wait(&r->changed, &r->mutex);
    pthread_mutex_unlock(&r->mutex);
    return NULL;
}

// A thread that is joined counts for the system's limits until the system has done with it.
static void wait_until_gone(const struct room *r)
{
    for (int i = 0; i < r->came; i++)
        for (int turns = 0; turns < 10000 && !tgkill(getpid(), r->ids[i], 0); turns++) sched_yield();
}

int clzi_cpu_room(int want)
{
    struct room r = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    pthread_t *threads = calloc(want, sizeof *threads);
    int count = 0;

    r.ids = calloc(want, sizeof *r.ids);
    while (threads && r.ids && count < want && !pthread_create(&threads[count], NULL, visit, &r)) count++;
    pthread_mutex_lock(&r.mutex);
    r.leave = true;
    pthread_cond_broadcast(&r.changed);
    pthread_mutex_unlock(&r.mutex);
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    wait_until_gone(&r);
    free(threads);
    free(r.ids);
    return count;
}
