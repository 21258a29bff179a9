// thread_limit.c - probes how many threads the system allows. libgomp aborts the process when pthread_create fails (a limit on
// processes or memory, of the user or of a container), so we first create as many plain threads, whose creation may fail.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "cpu.h"

struct probe {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool stop;
    pid_t *ids;                             // kernel ids of the threads that have started
    int started;
};

static void *probe_thread(void *arg)
{
    struct probe *p = arg;

    pthread_mutex_lock(&p->mutex);
    p->ids[p->started++] = gettid();
    while (!p->stop) pthread_cond_wait(&p->changed, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

// The kernel counts a thread that has been joined against its limits until it has removed the task.
static void wait_until_removed(const struct probe *p)
{
    for (int i = 0; i < p->started; i++)
        for (int tries = 0; tries < 10000 && !tgkill(getpid(), p->ids[i], 0); tries++) sched_yield();
}

int clzi_cpu_thread_limit(int want)
{
    struct probe p = { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };
    pthread_t *threads = calloc(want, sizeof *threads);
    int count = 0;

    p.ids = calloc(want, sizeof *p.ids);
    while (threads && p.ids && count < want && !pthread_create(&threads[count], NULL, probe_thread, &p)) count++;
    pthread_mutex_lock(&p.mutex);
    p.stop = true;
    pthread_cond_broadcast(&p.changed);
    pthread_mutex_unlock(&p.mutex);
    for (int i = 0; i < count; i++) pthread_join(threads[i], NULL);
    wait_until_removed(&p);
    free(threads);
    free(p.ids);
    return count;
}
