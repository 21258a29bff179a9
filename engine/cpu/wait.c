// wait.c - how OpenMP's threads wait for one another. libgomp knows two ways: busily, in a loop of milliseconds, or, when it
// counts more threads than the machine has cores, with a thousand looks and then asleep. Busily is right while the cores are
// ours: to wake a thread costs as much as a small layer. It is wrong where a decoder, an encoder or another job wants the cores
// that are spun away, and the thread that is waited for may itself be waiting for one. How full the machine is does not tell
// which is better, so the runs' own times do: where runs lose the processor, the other way is tried for a moment, and kept if
// it is faster. Sleep is brought about by company: a thread of ours with a team of two that stands by, asleep, for libgomp to
// count; so it works where a stream has all cores, which is the default.
//
// Measured on 2 cores of a Zen 4 (busily; asleep; learned). Network of `light` at 256x256 in bf16, alone, medians of 7 turns: 5.2 ms;
// 7.4 ms; 5.2 ms. Through ffmpeg with samples/model.bin, two or three runs of each: 1,200 frames of 1080p H.264, decoded only,
// 9.6 to 10.2 s; 7.5 to 8.4 s; 8.4 to 8.7 s; 2,000 of 640x360 5.1 to 5.9 s; 8.4 to 9.8 s; 5.1 to 5.4 s; 250 of 640x360 beside a
// network that spins on the same cores 79 to 80 s; 1.4 to 2.1 s; and 1,250 of them -; 6 to 10 s; 7 to 12 s. The 1080p film into
// x264, one run of the first two: 56 s; 45 s; 48 s.
#include <stdatomic.h>
#include <time.h>

#include "cpu.h"

// ---- company ----

static void *stand_by(void *arg)
{
    struct clzi_cpu_wait *w = arg;
    atomic_int here = 0;

    if (clzi_cpu_room(1) == 1) {
#pragma omp parallel num_threads(2)
        atomic_fetch_add(&here, 1);
    }
    pthread_mutex_lock(&w->mutex);
    while (!w->leave) pthread_cond_wait(&w->left, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

static void come(struct clzi_cpu_wait *w)
{
    w->leave = false;
    w->company = !pthread_create(&w->thread, NULL, stand_by, w);    // without: only slower
}

static void leave(struct clzi_cpu_wait *w)
{
    if (!w->company) return;
    pthread_mutex_lock(&w->mutex);
    w->leave = true;
    pthread_cond_signal(&w->left);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->thread, NULL);
    w->company = false;
}

int clzi_cpu_wait_init(struct clzi_cpu_wait *w)
{
    int ret;

    *w = (struct clzi_cpu_wait){ 0 };
    if ((ret = -pthread_mutex_init(&w->mutex, NULL)) < 0) return ret;
    if ((ret = -pthread_cond_init(&w->left, NULL)) < 0) {
        pthread_mutex_destroy(&w->mutex);
        return ret;
    }
    w->ready = true;
    return 0;
}

void clzi_cpu_wait_destroy(struct clzi_cpu_wait *w)
{
    if (!w->ready) return;
    leave(w);
    pthread_cond_destroy(&w->left);
    pthread_mutex_destroy(&w->mutex);
    w->ready = false;
}

// ---- what the runs' times say ----

enum { WINDOW_RUNS = 4, PAUSES = 3 };
static const double WINDOW = 0.5,           // s: a window is at least this long, and of so many runs
                    CROWDED = 0.95,         // share of its time that a thread that spins has the processor, when alone
                    BETTER = 0.95,          // of the time: by chance is not better
                    PAUSE = 0.5,            // s, and three usual periods: says nothing about runs, unless it becomes usual
                    HOPELESS = 10,          // times the other way's run: one is enough
                    STAY_MIN = 1, STAY_MAX = 32, STAY_HOPELESS = 256;   // s from one try to the next; as many times as long as a long try

static void window(struct clzi_cpu_learner *l, int runs)
{
    l->runs = runs;
    l->period = l->wall = l->cpu = 0;
}

static void settle(struct clzi_cpu_learner *l, double now, bool keep, double longer, double longest)
{
    const double stay = l->stay ? l->stay : STAY_MIN, grown = stay * longer < longest ? stay * longer : longest;

    l->stay = keep ? STAY_MIN : grown > stay ? grown : stay;
    l->next = now + l->stay * (l->period > 1 ? l->period : 1);
    l->before = 0;
    if (!keep) l->asleep = !l->asleep;
    window(l, keep ? 0 : -1);
}

// What is compared is the time from run to run, with all that the other threads of the job do meanwhile; where that is set from
// outside, as by a camera, the run's own.
static bool better(const struct clzi_cpu_learner *l, double period, double wall)
{
    return period < BETTER * l->before || (period * BETTER < l->before && wall < BETTER * l->before_wall);
}

bool clzi_cpu_learn(struct clzi_cpu_learner *l, double now, double wall, double cpu)
{
    const double period = now - l->last;
    const bool pause = !l->last || (l->usual && period > PAUSE + 3 * l->usual && ++l->pauses < PAUSES);

    l->last = now;
    if (l->before && wall > HOPELESS * l->before_wall + PAUSE / 10) {
        settle(l, now, false, 4, STAY_HOPELESS);
        return l->asleep;
    }
    if (pause || l->runs++ < 0) {           // the first of its way: threads still come and go
        window(l, 0);
        return l->asleep;
    }
    l->pauses = 0;
    l->period += period;
    l->wall += wall;
    l->cpu += cpu;
    if (l->period < WINDOW || l->runs < WINDOW_RUNS) return l->asleep;

    l->usual = l->period / l->runs;
    if (l->before) {
        settle(l, now, better(l, l->usual, l->wall / l->runs), 2, STAY_MAX);
    } else if (now >= l->next && (l->asleep || l->cpu < CROWDED * l->wall)) {
        l->before = l->usual;
        l->before_wall = l->wall / l->runs;
        l->asleep = !l->asleep;
        window(l, -1);
    } else {
        window(l, 0);
    }
    return l->asleep;
}

static double seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

void clzi_cpu_wait_begin(struct clzi_cpu_wait *w)
{
    if (!w->ready) return;
    w->wall = seconds(CLOCK_MONOTONIC);
    w->cpu = seconds(CLOCK_THREAD_CPUTIME_ID);
    w->running = true;
}

void clzi_cpu_wait_end(struct clzi_cpu_wait *w)
{
    double now;
    bool asleep;

    if (!w->running) return;
    w->running = false;
    if (!w->learner.last) {                 // once after the first run, so that no later one asks for its stacks
        come(w);
        leave(w);
    }
    now = seconds(CLOCK_MONOTONIC);
    asleep = clzi_cpu_learn(&w->learner, now, now - w->wall, seconds(CLOCK_THREAD_CPUTIME_ID) - w->cpu);
    if (asleep && !w->company) come(w);
    if (!asleep) leave(w);
}
