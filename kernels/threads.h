// threads.h - the number of threads that kernels use when called from this thread. OpenMP keeps it for each calling thread, so
// streams on different threads are independent. Without OpenMP, kernels run on the calling thread only.
#ifndef CLZK_THREADS_H
#define CLZK_THREADS_H
#ifdef _OPENMP
#include <omp.h>
static inline void clzk_set_threads(int count) { omp_set_num_threads(count); }
static inline int clzk_threads(void) { return omp_get_max_threads(); }
static inline int clzk_thread(void) { return omp_get_thread_num(); }      // within a parallel region, from 0
#else
static inline void clzk_set_threads(int count) { (void)count; }
static inline int clzk_threads(void) { return 1; }
static inline int clzk_thread(void) { return 0; }
#endif
#endif
