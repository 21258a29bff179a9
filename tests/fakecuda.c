// fakecuda.c - a stand-in for libcuda.so.1: CUDA frames on a machine without a GPU, as far as no kernel is needed. It has the
// functions that libavutil's CUDA device and GStreamer's CUDA library load. tests/filter_cuda.sh and tests/gst_cuda.sh build it,
// and tests/stub_colorize.c colours frames in its memory.
// Linked with -z nodelete, so that it stays loaded until the report at exit.
//
// Memory: a block is a memfd that is mapped twice. The device address is mapped without access, so a CPU access to it ends the
// process with SIGSEGV. The other address, which fakecuda_alias() gives, can be read and written. New memory contains 0xa5.
// Streams: an asynchronous copy is queued and happens when its stream is synchronised, so that a missing or wrong order shows in
// the frames. The source of a copy from the host is read at once, and a copy to the host waits, as with pageable memory.
// Contexts: every call that needs one, is made with a wrong one, or frees what is not there, is counted as a misuse.
//
// Environment:
//     FAKECUDA_NODEVICE=1         cuInit() finds no device
//     FAKECUDA_FAIL=copy:N        the Nth copy (from 1) fails, then every call that uses a stream or allocates, as after a fault
//                                 on a GPU
//     FAKECUDA_FAIL=FUNCTION:N    the Nth call of cuMemAlloc_v2, cuCtxPushCurrent_v2 or cuCtxCreate_v2 and all later ones fail
//     FAKECUDA_REPORT=FILE        at exit a line with the state is appended to the file, see report()
//
// What this cannot show: kernels, cuDNN, asynchronous errors, NVDEC and NVENC, speed, limits of memory.
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))

typedef unsigned long long devptr;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201,
       LAUNCH_FAILED = 719, NOT_SUPPORTED = 801 };
enum { TEXTURE_ALIGNMENT = 14, COMPUTE_MAJOR = 75, COMPUTE_MINOR = 76 };    // device attributes
enum { MAX_DEPTH = 64, MAX_CONTEXTS = 16, MAX_STREAMS = 16, ALIGNMENT = 512 };

// ---- state; `lock` guards all of it but the stacks ----

struct context { int live, primary; };

struct block {
    char *device, *host;        // the same pages, without access and with
    size_t size;
    struct context *context;
    struct block *next;
};

// A queued copy of rows between host addresses. staged: what `from` points to, to be freed.
struct copy {
    char *to, *from, *staged;
    size_t to_pitch, from_pitch, width, height;
    struct copy *next;
};

struct stream { int live; struct copy *first, **last; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct context contexts[MAX_CONTEXTS];
static struct stream streams[MAX_STREAMS] = { { .live = 1 } };      // the first is the default stream
static struct block *blocks;
static __thread struct context *stack[MAX_DEPTH];                  // current contexts of this thread
static __thread int depth;
static long live_blocks, peak_blocks, pushed, misuses, copies, calls_until_failure = -1;
static char failing[64];
static int broken;          // a copy has failed

static int misuse(const char *function, int error)
{
    misuses++;
    fprintf(stderr, "fakecuda: misuse of %s\n", function);
    return error;
}

static int live_streams(void)
{
    int n = 0;

    for (int i = 1; i < MAX_STREAMS; i++) n += streams[i].live;
    return n;
}

static int live_contexts(void)
{
    int n = 0;

    for (int i = 0; i < MAX_CONTEXTS; i++) n += contexts[i].live;
    return n;
}

// contexts, blocks, streams: not freed. peak: most blocks at once. pushed: contexts left current. misuses: see the head of the
// file.
static void report(void)
{
    FILE *f = getenv("FAKECUDA_REPORT") ? fopen(getenv("FAKECUDA_REPORT"), "a") : NULL;

    if (!f) return;
    fprintf(f, "contexts=%d blocks=%ld streams=%d pushed=%ld misuses=%ld peak=%ld copies=%ld\n", live_contexts(), live_blocks,
            live_streams(), pushed, misuses, peak_blocks, copies);
    fclose(f);
}

__attribute__((constructor)) static void load(void)
{
    const char *fail = getenv("FAKECUDA_FAIL");

    if (fail) sscanf(fail, "%63[^:]:%ld", failing, &calls_until_failure);
    atexit(report);
}

static int fails(const char *function)
{
    return !strcmp(function, failing) && calls_until_failure-- <= 1;
}

// The start of every function that needs a current context: takes the lock.
#define ENTER()                                                                         \
    do {                                                                                \
        pthread_mutex_lock(&lock);                                                      \
        if (!depth || !stack[depth - 1]->live) {                                        \
            const int error_ = misuse(__func__, INVALID_CONTEXT);                       \
            pthread_mutex_unlock(&lock);                                                \
            return error_;                                                              \
        }                                                                               \
        if (broken || fails(__func__)) {                                                \
            pthread_mutex_unlock(&lock);                                                \
            return LAUNCH_FAILED;                                                       \
        }                                                                               \
    } while (0)

static int leave(int result)
{
    pthread_mutex_unlock(&lock);
    return result;
}

static struct block *block_at(devptr p)
{
    struct block *b = blocks;

    while (b && !(p >= (uintptr_t)b->device && p < (uintptr_t)b->device + b->size)) b = b->next;
    return b;
}

// NULL: p is no device address, or n bytes from there leave its block, or the block belongs to another context than the current.
static char *alias(devptr p, size_t n)
{
    const struct block *b = block_at(p);

    if (!b || p - (uintptr_t)b->device + n > b->size || !depth || b->context != stack[depth - 1]) return NULL;
    return b->host + (p - (uintptr_t)b->device);
}

// The CPU's address of device memory, NULL if p is no device address. The caller synchronises the stream that writes there.
API void *fakecuda_alias(devptr p);
API void *fakecuda_alias(devptr p)
{
    pthread_mutex_lock(&lock);
    const struct block *b = block_at(p);
    void *host = b ? b->host + (p - (uintptr_t)b->device) : NULL;
    pthread_mutex_unlock(&lock);
    return host;
}

// ---- device ----

API int cuInit(unsigned flags) { (void)flags; return getenv("FAKECUDA_NODEVICE") ? NO_DEVICE : SUCCESS; }
API int cuDriverGetVersion(int *v) { *v = 12000; return SUCCESS; }
API int cuDeviceGetCount(int *n) { *n = 1; return SUCCESS; }
API int cuDeviceGet(int *dev, int i) { *dev = 0; return i ? INVALID_DEVICE : SUCCESS; }
API int cuDeviceGetName(char *s, int n, int dev) { (void)dev; snprintf(s, (size_t)n, "Fake CUDA"); return SUCCESS; }
API int cuDeviceGetUuid(void *uuid, int dev) { (void)dev; memset(uuid, 1, 16); return SUCCESS; }
API int cuDeviceComputeCapability(int *major, int *minor, int dev) { (void)dev; *major = 8; *minor = 0; return SUCCESS; }
API int cuDeviceGetAttribute(int *v, int attribute, int dev)
{
    (void)dev;
    *v = attribute == TEXTURE_ALIGNMENT ? ALIGNMENT : attribute == COMPUTE_MAJOR ? 8 : attribute == COMPUTE_MINOR ? 0 : 1;
    return SUCCESS;
}
API int cuGetErrorName(int e, const char **s) { *s = e ? "FAKE_ERROR" : "CUDA_SUCCESS"; return SUCCESS; }
API int cuGetErrorString(int e, const char **s) { *s = e ? "an error of fakecuda" : "no error"; return SUCCESS; }

// ---- contexts ----

static int push(struct context *c)
{
    if (c < contexts || c >= contexts + MAX_CONTEXTS || !c->live || depth == MAX_DEPTH)
        return misuse("cuCtxPushCurrent_v2", INVALID_CONTEXT);
    stack[depth++] = c;
    pushed++;
    return SUCCESS;
}

static struct context *new_context(int primary)
{
    for (int i = 0; i < MAX_CONTEXTS; i++)
        if (!contexts[i].live) {
            contexts[i] = (struct context){ 1, primary };
            return &contexts[i];
        }
    return NULL;
}

API int cuCtxPushCurrent_v2(struct context *c)
{
    pthread_mutex_lock(&lock);
    return leave(fails(__func__) ? LAUNCH_FAILED : push(c));
}

API int cuCtxPopCurrent_v2(struct context **c)
{
    pthread_mutex_lock(&lock);
    if (!depth) return leave(misuse(__func__, INVALID_CONTEXT));
    pushed--;
    depth--;
    if (c) *c = stack[depth];
    return leave(SUCCESS);
}

API int cuCtxCreate_v2(struct context **c, unsigned flags, int dev)
{
    (void)flags, (void)dev;
    pthread_mutex_lock(&lock);
    if (fails(__func__) || !(*c = new_context(0))) return leave(OUT_OF_MEMORY);
    return leave(push(*c));
}

API int cuCtxDestroy_v2(struct context *c)
{
    pthread_mutex_lock(&lock);
    if (c < contexts || c >= contexts + MAX_CONTEXTS || !c->live) return leave(misuse(__func__, INVALID_CONTEXT));
    for (const struct block *b = blocks; b; b = b->next)
        if (b->context == c) return leave(misuse("cuCtxDestroy_v2: memory is left", INVALID_CONTEXT));
    c->live = 0;
    return leave(SUCCESS);
}

API int cuCtxGetCurrent(struct context **c) { *c = depth ? stack[depth - 1] : NULL; return SUCCESS; }
API int cuCtxGetDevice(int *dev) { ENTER(); *dev = 0; return leave(SUCCESS); }
API int cuCtxSetLimit(int limit, size_t v) { (void)limit, (void)v; return SUCCESS; }

API int cuDevicePrimaryCtxRetain(struct context **c, int dev)
{
    (void)dev;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_CONTEXTS; i++)
        if (contexts[i].primary) {
            contexts[i].live++;
            *c = &contexts[i];
            return leave(SUCCESS);
        }
    return leave((*c = new_context(1)) ? SUCCESS : OUT_OF_MEMORY);
}

API int cuDevicePrimaryCtxGetState(int dev, unsigned *flags, int *active)
{
    (void)dev;
    *flags = 0;
    *active = 0;
    return SUCCESS;
}

API int cuDevicePrimaryCtxSetFlags(int dev, unsigned flags) { (void)dev, (void)flags; return SUCCESS; }

API int cuDevicePrimaryCtxRelease(int dev)
{
    (void)dev;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MAX_CONTEXTS; i++)
        if (contexts[i].primary && contexts[i].live) {
            contexts[i].primary = --contexts[i].live > 0;
            return leave(SUCCESS);
        }
    return leave(misuse(__func__, INVALID_CONTEXT));
}

// ---- streams ----

static struct stream *stream_of(void *handle)
{
    const uintptr_t i = (uintptr_t)handle;

    if (i <= 2) return &streams[0];         // NULL, CU_STREAM_LEGACY, CU_STREAM_PER_THREAD
    return i < MAX_STREAMS + 2 && streams[i - 2].live ? &streams[i - 2] : NULL;
}

static void run_copies(struct stream *s)
{
    while (s->first) {
        struct copy *c = s->first;
        for (size_t y = 0; y < c->height; y++) memcpy(c->to + y * c->to_pitch, c->from + y * c->from_pitch, c->width);
        s->first = c->next;
        free(c->staged);
        free(c);
    }
}

API int cuStreamCreate(void **handle, unsigned flags)
{
    (void)flags;
    ENTER();
    for (uintptr_t i = 1; i < MAX_STREAMS; i++)
        if (!streams[i].live) {
            streams[i].live = 1;
            *handle = (void *)(i + 2);
            return leave(SUCCESS);
        }
    return leave(OUT_OF_MEMORY);
}

API int cuStreamSynchronize(void *handle)
{
    ENTER();
    struct stream *s = stream_of(handle);
    if (!s) return leave(misuse(__func__, INVALID_VALUE));
    run_copies(s);
    return leave(SUCCESS);
}

API int cuStreamDestroy_v2(void *handle)
{
    ENTER();
    struct stream *s = stream_of(handle);
    if (!s || s == streams) return leave(misuse(__func__, INVALID_VALUE));
    run_copies(s);
    s->live = 0;
    return leave(SUCCESS);
}

API int cuStreamDestroy(void *handle) { return cuStreamDestroy_v2(handle); }

// ---- memory ----

API int cuMemAlloc_v2(devptr *p, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (n + page - 1) / page * page;
    struct block *b;
    int fd;

    ENTER();
    b = calloc(1, sizeof *b);
    fd = memfd_create("fakecuda", 0);
    if (!b || fd < 0 || ftruncate(fd, (off_t)size)) abort();
    b->size = size;
    b->context = stack[depth - 1];
    b->host = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    b->device = mmap(NULL, size, PROT_NONE, MAP_SHARED, fd, 0);
    if (b->host == MAP_FAILED || b->device == MAP_FAILED) abort();
    close(fd);
    memset(b->host, 0xa5, size);
    b->next = blocks;
    blocks = b;
    if (++live_blocks > peak_blocks) peak_blocks = live_blocks;
    *p = (uintptr_t)b->device;
    return leave(SUCCESS);
}

API int cuMemAllocPitch_v2(devptr *p, size_t *pitch, size_t width, size_t height, unsigned element)
{
    (void)element;
    *pitch = (width + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return cuMemAlloc_v2(p, *pitch * height);
}

API int cuMemFree_v2(devptr p)
{
    pthread_mutex_lock(&lock);
    if (!depth || !stack[depth - 1]->live) return leave(misuse(__func__, INVALID_CONTEXT));
    for (int i = 0; i < MAX_STREAMS; i++) run_copies(&streams[i]);
    for (struct block **at = &blocks; *at; at = &(*at)->next) {
        struct block *b = *at;
        if ((uintptr_t)b->device != p) continue;
        if (b->context != stack[depth - 1]) misuse("cuMemFree_v2: another context", INVALID_CONTEXT);
        *at = b->next;
        munmap(b->device, b->size);
        munmap(b->host, b->size);
        free(b);
        live_blocks--;
        return leave(SUCCESS);
    }
    return leave(misuse(__func__, INVALID_VALUE));
}

struct copy2d {             // CUDA_MEMCPY2D
    size_t src_x, src_y;
    int src_type;           // 1: host, 2: device
    const void *src_host;
    devptr src_dev;
    void *src_array;
    size_t src_pitch;
    size_t dst_x, dst_y;
    int dst_type;
    void *dst_host;
    devptr dst_dev;
    void *dst_array;
    size_t dst_pitch;
    size_t width, height;
};

API int cuMemcpy2DAsync_v2(const struct copy2d *c, void *handle)
{
    struct copy *copy;

    ENTER();
    if (fails("copy")) {
        broken = 1;
        return leave(LAUNCH_FAILED);
    }
    struct stream *s = stream_of(handle);
    const size_t from_bytes = (c->height - 1) * c->src_pitch + c->width, to_bytes = (c->height - 1) * c->dst_pitch + c->width;
    char *from = c->src_type == 2 ? alias(c->src_dev, from_bytes) : (char *)(uintptr_t)c->src_host;
    char *to = c->dst_type == 2 ? alias(c->dst_dev, to_bytes) : c->dst_host;
    if (!s || !from || !to || !c->height || c->width > c->src_pitch || c->width > c->dst_pitch || c->src_x || c->src_y ||
        c->dst_x || c->dst_y)
        return leave(misuse(__func__, INVALID_VALUE));
    copies++;
    if (!(copy = calloc(1, sizeof *copy))) abort();
    *copy = (struct copy){ to, from, NULL, c->dst_pitch, c->src_pitch, c->width, c->height, NULL };
    if (c->src_type == 1) {
        if (!(copy->from = copy->staged = malloc(from_bytes))) abort();
        memcpy(copy->staged, from, from_bytes);
    }
    if (!s->first) s->last = &s->first;
    *s->last = copy;
    s->last = &copy->next;
    if (c->dst_type == 1) run_copies(s);
    return leave(SUCCESS);
}

API int cuMemcpy2D_v2(const struct copy2d *c)
{
    const int error = cuMemcpy2DAsync_v2(c, NULL);
    return error ? error : cuStreamSynchronize(NULL);
}

API int cuMemAllocHost_v2(void **p, size_t n) { return (*p = malloc(n)) ? SUCCESS : OUT_OF_MEMORY; }
API int cuMemFreeHost(void *p) { free(p); return SUCCESS; }

// ---- functions that must exist, because libavutil or GStreamer refuses a driver without them ----

#define NO(name) API int name(void); API int name(void) { return NOT_SUPPORTED; }
NO(cuMemAllocManaged) NO(cuMemsetD8Async) NO(cuMemcpy) NO(cuMemcpyAsync) NO(cuMemcpyHtoD_v2)
NO(cuMemcpyHtoDAsync_v2) NO(cuMemcpyDtoH_v2) NO(cuMemcpyDtoHAsync_v2) NO(cuMemcpyDtoD_v2) NO(cuMemcpyDtoDAsync_v2)
NO(cuDevicePrimaryCtxReset) NO(cuStreamQuery) NO(cuStreamAddCallback)
NO(cuEventCreate) NO(cuEventDestroy_v2) NO(cuEventSynchronize) NO(cuEventQuery)
NO(cuEventRecord) NO(cuStreamWaitEvent) NO(cuLaunchKernel)
NO(cuLinkCreate) NO(cuLinkAddData) NO(cuLinkComplete) NO(cuLinkDestroy)
NO(cuModuleLoadData) NO(cuModuleUnload) NO(cuModuleGetFunction) NO(cuModuleGetGlobal) NO(cuTexObjectCreate)
NO(cuTexObjectDestroy) NO(cuArray3DCreate_v2) NO(cuArrayDestroy) NO(cuGLGetDevices_v2) NO(cuGraphicsGLRegisterImage)
NO(cuGraphicsUnregisterResource) NO(cuGraphicsMapResources) NO(cuGraphicsUnmapResources)
NO(cuCtxEnablePeerAccess) NO(cuCtxDisablePeerAccess) NO(cuDeviceCanAccessPeer) NO(cuGraphicsGLRegisterBuffer)
NO(cuGraphicsResourceSetMapFlags_v2) NO(cuGraphicsSubResourceGetMappedArray) NO(cuGraphicsResourceGetMappedPointer_v2)
