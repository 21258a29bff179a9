// run.c - the queue of films and pieces, its workers, and the display.
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "run.h"
#include "segment.h"
#include "status.h"

enum { REFRESH_TERMINAL = 500, REFRESH_LINES = 30, LOOK_AGAIN = 2 };         // milliseconds; seconds; seconds

struct run {
    const struct clzb_run_params *params;
    struct clzb_film *film;
    int count;
    pthread_mutex_t mutex;                  // of all below, and of the films' scheduling
    pthread_cond_t changed;
    int workers;                            // that run
    int order;
    struct clzb_tally tally;
    int64_t frames_finished;                // of films that were coloured in this run
    double started;
    bool shown;                             // the terminal's line has something on it
};

static void say(struct run *run, enum clz_log_level level, const struct clzb_film *film, const char *text)
{
    const char *name = strrchr(film->job->in, '/') + 1;
    if (!run->params->quiet || level <= CLZ_LOG_WARNING) clzi_log(run->params->shelf->log, level, "%s: %s", name, text);
}

// ---- the queue ----

static struct clzb_film *next_film(struct run *run)
{
    struct clzb_film *best = NULL;
    const double now = clzi_now();

    for (int i = 0; i < run->count; i++)
        if (run->film[i].work == CLZB_WAITING && run->film[i].not_before <= now && (!best || run->film[i].order < best->order))
            best = &run->film[i];
    return best;
}

// The largest piece that nobody has taken, of the film that was cut first.
static struct clzb_film *next_piece(struct run *run, int *number)
{
    for (int i = 0; i < run->count; i++) {
        struct clzb_film *f = &run->film[i];
        int best = -1;
        if (f->work != CLZB_PIECES || f->error) continue;
        for (int k = 0; k < f->pieces; k++)
            if (!f->piece[k].taken && (best < 0 || f->piece[k].count > f->piece[best].count)) best = k;
        if (best < 0) continue;
        *number = best;
        f->piece[best].taken = true;
        f->pieces_taken++;
        return f;
    }
    return NULL;
}

// Waits for something to do. Returns NULL at the end. *number: a piece, or -1: the film as a whole.
static struct clzb_film *take(struct run *run, int *number)
{
    struct clzb_film *film = NULL;

    pthread_mutex_lock(&run->mutex);
    for (;;) {
        bool busy = false;
        *number = -1;
        if ((film = next_piece(run, number))) break;
        if (!atomic_load(run->params->shelf->stop) && (film = next_film(run))) {
            film->work = CLZB_BUSY;
            break;
        }
        for (int i = 0; i < run->count; i++)
            busy |= run->film[i].work == CLZB_BUSY || run->film[i].work == CLZB_PIECES ||
                    (run->film[i].work == CLZB_WAITING && !atomic_load(run->params->shelf->stop));
        if (!busy) break;                   // the main thread wakes those that wait for another run's film, twice a second
        pthread_cond_wait(&run->changed, &run->mutex);
    }
    pthread_mutex_unlock(&run->mutex);
    return film;
}

static void finished(struct run *run, struct clzb_film *film, int *counter, enum clzb_work work)
{
    pthread_mutex_lock(&run->mutex);
    if (counter) ++*counter;
    film->work = work;
    film->order = ++run->order;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
}

static void end_film(struct run *run, struct clzb_film *film, int ret)
{
    const double seconds = clzi_now() - film->started;
    char text[500];
    bool again;

    if (!ret) ret = clzb_film_finish(film);
    if (!ret) {
        snprintf(text, sizeof text, "done: %" PRId64 " frames in %.1f s, %.1f frames/s, luma %s%s", film->row.frames, seconds,
                 seconds > 0 ? film->row.frames / seconds : 0, *film->row.luma ? film->row.luma : "not compared",
                 film->errors ? "; its damage is in the log" : "");
    }
    again = clzb_film_end(film, ret);
    if (!ret) {
        say(run, CLZ_LOG_INFO, film, text);
        pthread_mutex_lock(&run->mutex);
        run->frames_finished += film->row.frames;
        pthread_mutex_unlock(&run->mutex);
        finished(run, film, &run->tally.done, CLZB_FINISHED);
        return;
    }
    if (ret == -EINTR) {
        finished(run, film, NULL, CLZB_FINISHED);
        return;
    }
    snprintf(text, sizeof text, "%s: %s", ret == -ESTALE ? "given up" : again ? "failed, will be tried again" :
             film->row.state == CLZB_QUARANTINED ? "failed for the third time and is quarantined" : "failed", film->reason);
    say(run, again ? CLZ_LOG_WARNING : CLZ_LOG_ERROR, film, text);
    if (again) finished(run, film, NULL, CLZB_WAITING);
    else finished(run, film, film->row.state == CLZB_QUARANTINED ? &run->tally.quarantined : &run->tally.failed, CLZB_FINISHED);
}

static void work_on_film(struct run *run, struct clzb_film *film)
{
    int ret = clzb_film_begin(film);

    if (ret == 1) {
        finished(run, film, &run->tally.skipped, CLZB_FINISHED);
        return;
    }
    if (ret == -EBUSY) {                    // to look later whether that run has done it, or died
        if (!film->not_before) say(run, CLZ_LOG_INFO, film, film->reason);
        film->not_before = clzi_now() + LOOK_AGAIN;
        finished(run, film, NULL, CLZB_WAITING);
        return;
    }
    if (ret == -ECANCELED) {
        say(run, CLZ_LOG_WARNING, film, film->reason);
        finished(run, film, &run->tally.quarantined, CLZB_FINISHED);
        return;
    }
    if (ret < 0) {
        say(run, CLZ_LOG_ERROR, film, *film->reason ? film->reason : strerror(-ret));
        finished(run, film, &run->tally.failed, CLZB_FINISHED);
        return;
    }
    if (film->row.state == CLZB_VERIFIED) {
        end_film(run, film, 0);
        return;
    }
    if (film->job->segments && (ret = clzb_segment_cut(film)) > 0) {
        finished(run, film, NULL, CLZB_PIECES);
        return;
    }
    end_film(run, film, ret < 0 ? ret : clzb_film_render(film));
}

static void work_on_piece(struct run *run, struct clzb_film *film, int number)
{
    const int ret = clzb_segment_render(film, number);
    bool last;

    pthread_mutex_lock(&run->mutex);
    film->pieces_done++;
    if (ret < 0 && !film->error) film->error = ret;
    last = film->pieces_done == (film->error ? film->pieces_taken : film->pieces);
    if (last) film->work = CLZB_BUSY;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
    if (last) end_film(run, film, film->error ? film->error : clzb_segment_join(film));
}

static void *worker(void *priv)
{
    struct run *run = priv;
    struct clzb_film *film;
    int number;

    while ((film = take(run, &number))) {
        if (number < 0) work_on_film(run, film);
        else work_on_piece(run, film, number);
    }
    pthread_mutex_lock(&run->mutex);
    run->workers--;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->mutex);
    return NULL;
}

// ---- the display ----

static void left(char *text, size_t size, double seconds)
{
    const long s = (long)(seconds + 0.5);

    if (s >= 3600) snprintf(text, size, "%ld:%02ld h left", s / 3600, s / 60 % 60);
    else if (s >= 60) snprintf(text, size, "%ld min left", (s + 30) / 60);
    else snprintf(text, size, "%ld s left", s);
}

// A line: films, the film in work, its time left, the shelf's time left. Under the mutex.
static void display(struct run *run, bool terminal)
{
    const struct clzb_film *shown = NULL;
    int64_t done = run->frames_finished, todo = 0;
    const double seconds = clzi_now() - run->started;
    int finished_films = 0;
    char film[200] = "", shelf[40] = "", time[40] = "";

    for (int i = 0; i < run->count; i++) {
        const struct clzb_film *f = &run->film[i];
        const int64_t frames = atomic_load(&f->done);
        finished_films += f->work == CLZB_FINISHED;
        if (f->work == CLZB_FINISHED) continue;
        todo += f->probe.frames > frames ? f->probe.frames - frames : 0;
        if (f->work == CLZB_WAITING) continue;
        done += frames;
        if (!shown) shown = f;
    }
    if (!shown) return;
    if (done > 0 && seconds > 1) left(shelf, sizeof shelf, todo * seconds / done);
    if (atomic_load(&shown->done) > 0 && shown->probe.frames > 0) {
        const int64_t n = atomic_load(&shown->done);
        left(time, sizeof time, n < shown->probe.frames ? (shown->probe.frames - n) * (clzi_now() - shown->started) / n : 0);
        snprintf(film, sizeof film, "%.60s frame %" PRId64 " of %" PRId64 ", %s", strrchr(shown->job->in, '/') + 1, n,
                 shown->probe.frames, time);
    } else snprintf(film, sizeof film, "%.60s", strrchr(shown->job->in, '/') + 1);
    fprintf(stderr, "%s%d of %d films; ", terminal ? "\r\033[K" : "", finished_films, run->count);
    clzb_print_escaped(stderr, film);
    fprintf(stderr, "%s%s%s", *shelf ? "; all films: " : "", shelf, terminal ? "" : "\n");
    fflush(stderr);
    run->shown = terminal;
}

static void wait_for_workers(struct run *run)
{
    const bool terminal = isatty(2) == 1;
    double renewed = clzi_now(), displayed = renewed;

    pthread_mutex_lock(&run->mutex);
    while (run->workers) {
        struct timespec until;
        double now;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += REFRESH_TERMINAL * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&run->changed, &run->mutex, &until);
        pthread_cond_broadcast(&run->changed);
        now = clzi_now();
        if (now - renewed >= CLZB_CLAIM_RENEW) {
            renewed = now;
            for (int i = 0; i < run->count; i++) {
                struct clzb_film *f = &run->film[i];
                if (f->work != CLZB_BUSY && f->work != CLZB_PIECES) continue;
                if (clzb_film_renew(f) == -ESTALE) atomic_store(&f->lost, true);
            }
        }
        if (!run->params->quiet && now - displayed >= (terminal ? 0.5 : REFRESH_LINES)) {
            displayed = now;
            display(run, terminal);
        }
    }
    if (run->shown) fputs("\r\033[K", stderr);
    pthread_mutex_unlock(&run->mutex);
}

// ---- a run ----

// Looks at every film before the first is coloured, so that what they lose is known, and errors show at once.
static void open_films(struct run *run)
{
    for (int i = 0; i < run->count; i++) {
        struct clzb_film *f = &run->film[i];
        const struct clzb_job *job = &run->params->jobs->job[i];
        const int ret = atomic_load(run->params->shelf->stop) ? -EINTR : clzb_film_open(f, run->params->shelf, job);
        f->order = ++run->order;
        if (ret) f->work = CLZB_FINISHED;
        if (ret == 1) run->tally.skipped++;
        else if (ret < 0 && ret != -EINTR) {
            say(run, CLZ_LOG_ERROR, f, f->reason);
            clzb_film_refuse(f, ret);
            run->tally.failed++;
        }
        for (int k = 0; k < f->mapping.lost_count; k++) {
            char text[200];
            snprintf(text, sizeof text, "lost in %s: %s", f->container->name, f->mapping.lost[k]);
            say(run, CLZ_LOG_WARNING, f, text);
        }
        for (int k = 0; k < f->mapping.changed_count; k++) say(run, CLZ_LOG_INFO, f, f->mapping.changed[k]);
        if (!ret && *f->probe.field_order && strcmp(f->probe.field_order, "progressive") &&
            strcmp(f->probe.field_order, "unknown"))
            say(run, CLZ_LOG_WARNING, f, "is interlaced: each field is coloured by itself, but the encoder is not told of "
                "fields: deinterlace it first");
    }
}

int clzb_run(const struct clzb_run_params *params, struct clzb_tally *tally)
{
    struct run run = { .params = params, .count = params->jobs->count, .started = clzi_now() };
    const int wanted = params->parallel > 0 ? params->parallel : 1;
    pthread_t *threads = calloc(wanted, sizeof *threads);
    int started = 0, ret = 0;

    *tally = (struct clzb_tally){0};
    if (!(run.film = calloc(run.count ? run.count : 1, sizeof *run.film)) || !threads) {
        free(run.film);
        free(threads);
        return -ENOMEM;
    }
    pthread_mutex_init(&run.mutex, NULL);
    pthread_cond_init(&run.changed, NULL);
    open_films(&run);
    run.started = clzi_now();
    pthread_mutex_lock(&run.mutex);
    while (started < wanted && !(ret = -pthread_create(&threads[started], NULL, worker, &run))) started++;
    run.workers = started;
    pthread_mutex_unlock(&run.mutex);
    if (started) ret = 0;
    wait_for_workers(&run);
    for (int i = 0; i < started; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < run.count; i++) clzb_film_close(&run.film[i]);
    if (atomic_load(params->shelf->stop)) ret = -EINTR;
    *tally = run.tally;
    pthread_cond_destroy(&run.changed);
    pthread_mutex_destroy(&run.mutex);
    free(run.film);
    free(threads);
    return ret;
}
