// clock.h - clocks in seconds.
#ifndef CLZI_CLOCK_H
#define CLZI_CLOCK_H
#include <time.h>

static inline double clzi_clock(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static inline double clzi_now(void) { return clzi_clock(CLOCK_MONOTONIC); }                     // for durations
static inline double clzi_cpu_time(void) { return clzi_clock(CLOCK_THREAD_CPUTIME_ID); }        // of the calling thread
#endif
