// tsan_glib.h - GLib's locks told to the thread sanitizer. GLib makes its mutexes of futexes, in code that is not
// instrumented, so everything that they guard would look like a race. GLib's own heap is like that too: run with
// G_SLICE=always-malloc. These stand before GLib's own for the program and all its libraries. What then is reported still,
// a free() that gst_task_pool's threads call without a name of ours in either stack, is GLib's thread pool handing over its own.
#ifndef TSAN_GLIB_H
#define TSAN_GLIB_H
#if defined(__SANITIZE_THREAD__)
#include <dlfcn.h>
#include <glib.h>

void __tsan_acquire(void *at);
void __tsan_release(void *at);

#define SEEN __attribute__((visibility("default")))
#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define LOCK(name, type) SEEN void name(type *m); SEEN void name(type *m) { REAL(name); real(m); __tsan_acquire(m); }
#define UNLOCK(name, type) SEEN void name(type *m); SEEN void name(type *m) { REAL(name); __tsan_release(m); real(m); }
#define TRYLOCK(name, type) SEEN gboolean name(type *m); \
    SEEN gboolean name(type *m) { REAL(name); if (!real(m)) return FALSE; __tsan_acquire(m); return TRUE; }

#undef g_mutex_trylock
LOCK(g_mutex_lock, GMutex)
UNLOCK(g_mutex_unlock, GMutex)
TRYLOCK(g_mutex_trylock, GMutex)
LOCK(g_rec_mutex_lock, GRecMutex)
UNLOCK(g_rec_mutex_unlock, GRecMutex)
TRYLOCK(g_rec_mutex_trylock, GRecMutex)
LOCK(g_rw_lock_writer_lock, GRWLock)
UNLOCK(g_rw_lock_writer_unlock, GRWLock)
LOCK(g_rw_lock_reader_lock, GRWLock)
UNLOCK(g_rw_lock_reader_unlock, GRWLock)

SEEN void g_cond_wait(GCond *c, GMutex *m)
{
    REAL(g_cond_wait);
    __tsan_release(m);
    real(c, m);
    __tsan_acquire(m);
}

SEEN gboolean g_cond_wait_until(GCond *c, GMutex *m, gint64 when)
{
    REAL(g_cond_wait_until);
    __tsan_release(m);
    const gboolean woken = real(c, m, when);
    __tsan_acquire(m);
    return woken;
}

// the harness hands buffers over in one of these, whose lock is GLib's inner one
SEEN void g_async_queue_push(GAsyncQueue *q, gpointer data)
{
    REAL(g_async_queue_push);
    __tsan_release(q);
    real(q, data);
}

SEEN gpointer g_async_queue_try_pop(GAsyncQueue *q)
{
    REAL(g_async_queue_try_pop);
    gpointer data = real(q);
    __tsan_acquire(q);
    return data;
}

SEEN gpointer g_async_queue_timeout_pop(GAsyncQueue *q, guint64 timeout)
{
    REAL(g_async_queue_timeout_pop);
    gpointer data = real(q, timeout);
    __tsan_acquire(q);
    return data;
}

// queues that GLib locks from within
SEEN const char *__tsan_default_suppressions(void);
SEEN const char *__tsan_default_suppressions(void) { return "race:g_queue_pop_tail\n"; }

#undef SEEN
#undef REAL
#undef LOCK
#undef UNLOCK
#undef TRYLOCK
#endif
#endif
