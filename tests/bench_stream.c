// bench_stream.c - measures the public API, for `make bench`. Each mode prints one line of numbers:
//
//     bench_stream speed MODEL.bin SECONDS SIZE THREADS    frames/s at 1920x1080, coloured in place
//     bench_stream first MODEL.bin SIZE            seconds from the start of a process to its first coloured frame of 1920x1080
//     bench_stream flat MODEL.bin FRAMES           allocations per frame, those of oneDNN, growth of resident memory in KiB per
//                                                  thousand frames (least squares), KiB resident at the end
//
// `flat` uses small frames, so that ten thousand take seconds: a leak per frame does not depend on the size of frames.
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

// ---- counts all allocations of the process, including libraries: these replace the C library's functions ----

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

#define SEEN __attribute__((visibility("default")))        // so that the libraries call them
static atomic_llong allocations, in_cxx;    // in_cxx: by C++'s operator new, which only oneDNN uses, within its calls

SEEN void *malloc(size_t size) { allocations++; return __libc_malloc(size); }
SEEN void *calloc(size_t count, size_t size) { allocations++; return __libc_calloc(count, size); }
SEEN void *realloc(void *p, size_t size) { allocations++; return __libc_realloc(p, size); }
SEEN void *aligned_alloc(size_t alignment, size_t size) { allocations++; return __libc_memalign(alignment, size); }
void *_Znwm(size_t size);
SEEN void *_Znwm(size_t size) { in_cxx++; return __libc_malloc(size ? size : 1); }
SEEN int posix_memalign(void **p, size_t alignment, size_t size)
{
    allocations++;
    *p = __libc_memalign(alignment, size);
    return *p ? 0 : ENOMEM;
}

// ---- frames ----

enum { FRAMES = 16 };                       // more than a stream with the default batch holds

struct player {
    clz_model *model;
    clz_stream *stream;
    struct clz_frame frames[FRAMES];
    int sent;
};

static void open_player(struct player *p, const char *path, int w, int h, int size, int threads, int frames)
{
    if (clz_model_open(&p->model, path, &stderr_log) < 0 ||
        clz_stream_open(&p->stream, p->model, &(struct clz_stream_params){ .size = size, .threads = threads,
                                                                           .log = stderr_log }) < 0)
        exit(1);
    if (clz_stream_max_in_flight(p->stream) > FRAMES) {
        fprintf(stderr, "a stream holds %d frames, more than %d\n", clz_stream_max_in_flight(p->stream), FRAMES);
        exit(1);
    }
    for (int i = 0; i < frames; i++) p->frames[i] = frame_create(w, h, i);
}

// Sends one frame; receives one first if the stream is full, as a player does. Returns the number of frames received.
static int step(struct player *p)
{
    const struct clz_frame *f = &p->frames[p->sent++ % FRAMES];
    struct clz_frame done;
    int ret, taken = 0;

    while ((ret = clz_stream_send(p->stream, f, f, NULL)) == -EAGAIN) {
        if (clz_stream_receive(p->stream, &done, 1) < 0) exit(1);
        taken++;
    }
    if (ret < 0) exit(1);
    while (clz_stream_receive(p->stream, &done, 0) == 0) taken++;
    return taken;
}

static void close_player(struct player *p)
{
    struct clz_frame done;

    clz_stream_drain(p->stream);
    while (clz_stream_receive(p->stream, &done, 1) == 0) ;
    clz_stream_close(&p->stream);
    clz_model_close(&p->model);
}

// ---- modes ----

static int speed(const char *path, double seconds, int size, int threads)
{
    struct player p = {0};
    double start;
    int count = 0;

    open_player(&p, path, 1920, 1080, size, threads, FRAMES);
    for (int i = 0; i < 2 * FRAMES; i++) step(&p);
    for (start = clzi_now(); clzi_now() - start < seconds;) count += step(&p);
    printf("%.2f %s\n", count / (clzi_now() - start), clz_stream_describe(p.stream));
    close_player(&p);
    return 0;
}

static int first_frame(const char *path, int size)  // in the child
{
    struct player p = { 0 };
    struct clz_frame done;

    open_player(&p, path, 1920, 1080, size, 0, 1);
    step(&p);
    clz_stream_drain(p.stream);
    if (clz_stream_receive(p.stream, &done, 1) < 0) return 1;
    return write(1, "x", 1) != 1;
}

static int first(const char *path, const char *size)
{
    const double start = clzi_now();
    int ends[2], status;
    char byte;
    pid_t child;

    if (pipe(ends) < 0 || (child = fork()) < 0) return 1;
    if (!child) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        execl("/proc/self/exe", "bench_stream", "first_frame", path, size, NULL);
        _exit(1);
    }
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 1) return 1;
    printf("%.3f\n", clzi_now() - start);
    return waitpid(child, &status, 0) < 0;
}

static double resident(void)                // KiB
{
    static char text[200];                  // so that stdio allocates no buffer, which would count
    FILE *f = fopen("/proc/self/statm", "r");
    long pages = 0;

    if (!f) return 0;
    setvbuf(f, text, _IOFBF, sizeof text);
    if (fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024.0);
}

static int flat(const char *path, int frames)
{
    struct player p = {0};
    double sx = 0, sy = 0, sxx = 0, sxy = 0, n = 0, y = 0;
    long long before, cxx_before, own = 0, cxx = 0;

    open_player(&p, path, 64, 64, 64, 0, FRAMES);
    for (int i = 0; i < 2 * FRAMES; i++) step(&p);      // the first batches allocate buffers
    for (int i = 0; i < frames; i++) {
        before = allocations, cxx_before = in_cxx;
        step(&p);
        own += allocations - before, cxx += in_cxx - cxx_before;
        if (i % 50) continue;
        y = resident();
        sx += i, sy += y, sxx += (double)i * i, sxy += i * y, n++;
    }
    printf("%.4f %.1f %.2f %.0f\n", (double)own / frames, (double)cxx / frames,
           (n * sxy - sx * sy) / (n * sxx - sx * sx) * 1000, y);
    close_player(&p);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 5 && !strcmp(argv[1], "speed")) return speed(argv[2], atof(argv[3]), atoi(argv[4]), atoi(argv[5]));
    if (argc > 3 && !strcmp(argv[1], "first")) return first(argv[2], argv[3]);
    if (argc > 3 && !strcmp(argv[1], "first_frame")) return first_frame(argv[2], atoi(argv[3]));
    if (argc > 3 && !strcmp(argv[1], "flat")) return flat(argv[2], atoi(argv[3]));
    fprintf(stderr, "usage: bench_stream speed MODEL SECONDS SIZE THREADS | first MODEL SIZE | flat MODEL FRAMES\n");
    return 2;
}
