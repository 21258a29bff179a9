// wait.c - chooses whether OpenMP's threads spin or sleep while they wait for one another.
//
// libgomp spins for milliseconds by default. If its threads outnumber the CPUs of the process, it polls a thousand times and then
// sleeps on a futex. Spinning is faster while the CPUs are idle otherwise, since waking a thread takes as long as a small layer.
// It is slower where a decoder, an encoder or another job needs those CPUs, and where the thread that is waited for is itself
// waiting for a CPU. The load of the machine does not tell which of the two is faster, so we measure: when the waiting thread
// loses the CPU during passes (a pass: forward or backward of a network), the other mode is tried for half a second and kept if
// it is faster.
//
// To make libgomp sleep we start a helper thread that opens an OpenMP team of two and then idles: libgomp counts the team, and
// with it has more threads than CPUs. This works where a stream has a thread for each CPU, which is the default.
//
// Measured on 2 cores of a Zen 4 (spinning; sleeping; chosen by measuring). Network of `light` at 256x256 in bf16, alone, medians
// of 7 turns: 5.2 ms; 7.4 ms; 5.2 ms. Through ffmpeg with samples/model.bin, two or three runs of each:
//     1,200 frames of 1080p H.264, decoded only       9.6 to 10.2 s; 7.5 to 8.4 s; 8.4 to 8.7 s
//     2,000 frames of 640x360                         5.1 to 5.9 s; 8.4 to 9.8 s; 5.1 to 5.4 s
//     250 of 640x360, beside a network that spins     79 to 80 s; 1.4 to 2.1 s; -
//     1,250 of them                                   -; 6 to 10 s; 7 to 12 s
//     the 1080p film into x264, one run each          56 s; 45 s; 48 s
#include <stdatomic.h>

#include "base/clock.h"
#include "cpu.h"

// ---- the helper thread ----

static void *helper_main(void *arg)
{
    struct clzi_cpu_wait *w = arg;
    atomic_int started = 0;

    if (clzi_cpu_thread_limit(1) == 1) {
#pragma omp parallel num_threads(2)
        atomic_fetch_add(&started, 1);
    }
    pthread_mutex_lock(&w->mutex);
    while (!w->helper_stop) pthread_cond_wait(&w->stop_changed, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
    return NULL;
}

static void start_helper(struct clzi_cpu_wait *w)
{
    w->helper_stop = false;
    w->has_helper = !pthread_create(&w->helper, NULL, helper_main, w);     // without it libgomp spins: only slower
}

static void stop_helper(struct clzi_cpu_wait *w)
{
    if (!w->has_helper) return;
    pthread_mutex_lock(&w->mutex);
    w->helper_stop = true;
    pthread_cond_signal(&w->stop_changed);
    pthread_mutex_unlock(&w->mutex);
    pthread_join(w->helper, NULL);
    w->has_helper = false;
}

int clzi_cpu_wait_init(struct clzi_cpu_wait *w)
{
    int ret;

    *w = (struct clzi_cpu_wait){ 0 };
    if ((ret = -pthread_mutex_init(&w->mutex, NULL)) < 0) return ret;
    if ((ret = -pthread_cond_init(&w->stop_changed, NULL)) < 0) {
        pthread_mutex_destroy(&w->mutex);
        return ret;
    }
    w->ready = true;
    return 0;
}

void clzi_cpu_wait_destroy(struct clzi_cpu_wait *w)
{
    if (!w->ready) return;
    stop_helper(w);
    pthread_cond_destroy(&w->stop_changed);
    pthread_mutex_destroy(&w->mutex);
    w->ready = false;
}

// ---- the choice ----

enum {
    WINDOW_PASSES = 4,                      // a window has at least so many passes and lasts at least WINDOW
    PAUSES = 3,                             // this many long periods in a row are the new normal, not pauses
};
static const double WINDOW = 0.5,           // s
                    CONTENDED = 0.95,       // a spinning thread that has less of its time on a CPU shares the CPUs
                    FASTER = 0.95,          // a smaller gain in time may be chance
                    PAUSE = 0.5,            // s; a period longer than this plus three typical ones is a pause of the caller
                    HOPELESS = 10,          // a pass this many times as long as in the other mode ends the trial at once
                    RETRY_MIN = 1, RETRY_MAX = 32,      // s, interval between trials; multiplied by the length of the trial
                    RETRY_HOPELESS = 256;               // if that was above 1 s

// Starts a window. skipped: passes that are not measured first.
static void start_window(struct clzi_cpu_wait_policy *l, int skipped)
{
    l->passes = -skipped;
    l->period = l->wall = l->cpu = 0;
}

// Ends a trial: keeps the mode on trial, or returns to the other and multiplies the retry interval by `backoff`.
static void end_trial(struct clzi_cpu_wait_policy *l, double now, bool keep, double backoff, double max_interval)
{
    const double interval = l->retry_interval ? l->retry_interval : RETRY_MIN;
    const double longer = interval * backoff < max_interval ? interval * backoff : max_interval;

    l->retry_interval = keep ? RETRY_MIN : longer > interval ? longer : interval;
    l->next_trial = now + l->retry_interval * (l->period > 1 ? l->period : 1);
    l->other_period = 0;
    if (!keep) l->sleep = !l->sleep;
    start_window(l, keep ? 0 : 1);
}

// Compares the time from pass to pass, which includes all that the job's other threads do. Where a live source sets that time, it
// is equal in both modes and the time of the pass itself decides.
static bool trial_is_faster(const struct clzi_cpu_wait_policy *l, double period, double wall)
{
    return period < FASTER * l->other_period || (period * FASTER < l->other_period && wall < FASTER * l->other_wall);
}

bool clzi_cpu_wait_policy_update(struct clzi_cpu_wait_policy *l, double now, double wall, double cpu)
{
    const double period = now - l->last;
    const bool pause = !l->last || (l->typical_period && period > PAUSE + 3 * l->typical_period && ++l->pauses < PAUSES);

    l->last = now;
    if (l->other_period && wall > HOPELESS * l->other_wall + PAUSE / 10) {
        end_trial(l, now, false, 4, RETRY_HOPELESS);
        return l->sleep;
    }
    if (pause || l->passes++ < 0) {         // the first pass of a mode includes the start or end of threads
        start_window(l, 0);
        return l->sleep;
    }
    l->pauses = 0;
    l->period += period;
    l->wall += wall;
    l->cpu += cpu;
    if (l->period < WINDOW || l->passes < WINDOW_PASSES) return l->sleep;

    l->typical_period = l->period / l->passes;
    if (l->other_period) {
        end_trial(l, now, trial_is_faster(l, l->typical_period, l->wall / l->passes), 2, RETRY_MAX);
    } else if (now >= l->next_trial && (l->sleep || l->cpu < CONTENDED * l->wall)) {
        l->other_period = l->typical_period;
        l->other_wall = l->wall / l->passes;
        l->sleep = !l->sleep;
        start_window(l, 1);
    } else {
        start_window(l, 0);
    }
    return l->sleep;
}

void clzi_cpu_wait_begin(struct clzi_cpu_wait *w)
{
    if (!w->ready) return;
    w->wall = clzi_now();
    w->cpu = clzi_cpu_time();
    w->in_pass = true;
}

void clzi_cpu_wait_end(struct clzi_cpu_wait *w)
{
    double now;
    bool sleep;

    if (!w->in_pass) return;
    w->in_pass = false;
    if (!w->policy.last) {                  // after the first pass, so that glibc has cached the stacks: no later allocation
        start_helper(w);
        stop_helper(w);
    }
    now = clzi_now();
    sleep = clzi_cpu_wait_policy_update(&w->policy, now, now - w->wall, clzi_cpu_time() - w->cpu);
    if (sleep && !w->has_helper) start_helper(w);
    if (!sleep) stop_helper(w);
}
