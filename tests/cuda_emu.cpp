// cuda_emu.cpp - runs emulated kernels: the fibres of one block at a time, as cuda_emu.h describes.
#include "cuda_emu.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __has_feature                        // clang's way to say it
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#else
static void __sanitizer_start_switch_fiber(void **, const void *, size_t) {}
static void __sanitizer_finish_switch_fiber(void *, const void **, size_t *) {}
#endif

// Saves the registers that a call must preserve on the stack, the stack pointer in *from, and goes on where `to` was saved.
// swapcontext() does the same with two system calls and, under the address sanitizer, clears the stack's shadow: most of the time
// of the tests. A stack begins with saved registers and the address of the function that runs on it.
extern "C" void cuda_emu_switch(void **from, void *to);

#if defined(__x86_64__)
enum { SAVED_RETURN = 6, FRAME_WORDS = 8 };        // at the function's start, rsp is 8 beyond a multiple of 16
__asm__(".text\n.globl cuda_emu_switch\n.type cuda_emu_switch, @function\ncuda_emu_switch:\n"
        "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\nmovq %rsp, (%rdi)\n"
        "movq %rsi, %rsp\npopq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");
#elif defined(__aarch64__)
enum { SAVED_RETURN = 11, FRAME_WORDS = 20 };
__asm__(".text\n.globl cuda_emu_switch\n.type cuda_emu_switch, %function\ncuda_emu_switch:\n"
        "sub sp, sp, #160\nstp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\nstp x25, x26, [sp, #48]\n"
        "stp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\nstp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\n"
        "stp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\nmov x2, sp\nstr x2, [x0]\nmov sp, x1\n"
        "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\nldp x25, x26, [sp, #48]\n"
        "ldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\nldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\n"
        "ldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\nadd sp, sp, #160\nret\n");
#else
#error "cuda_emu_switch() is written for x86-64 and aarch64 only: configure leaves out the tests of the CUDA kernels elsewhere"
#endif

uint3 cuda_emu_thread, cuda_emu_block;
dim3 cuda_emu_block_size, cuda_emu_grid_size;

namespace {

enum { MAX_THREADS = 1024, MAX_SHARED = 64, STACK_SIZE = 64 * 1024, SHARED_LIMIT = 48 * 1024 };
enum state { RUNS, AT_BARRIER, AT_WARP, ENDED };

struct fibre { void *at; char *stack; void *fake; int thread; };           // at: the stack pointer while it does not run

struct thread {                             // of the block that runs
    state at;
    const char *file;                       // where it waits
    int line;
    fibre *on;                              // where it waits: the fibre that holds its stack
    int exchanges;                          // so far
};

struct {
    cuda_emu_order order;
    int launches;
    char message[256];

    int threads, started, ended, current;   // of the block
    int may_start;                          // threads after that many wait for their turn
    thread block[MAX_THREADS];
    uint64_t words[2][MAX_THREADS];         // of exchanges, by turns: a lane may be one ahead
    fibre fibres[MAX_THREADS];
    fibre *idle[MAX_THREADS];
    int fibre_count, idle_count;
    fibre *running;
    void *scheduler;                        // its stack pointer
    const void *main_stack;
    size_t main_size;
    void *main_fake;
    void (*call)(void *);
    void *closure;
    struct { const void *site; void *memory; size_t size; } shared[MAX_SHARED];
    int shared_count;
    size_t shared_size;
    bool failed;
} emu;

int permuted(int i, int count)
{
    if (emu.order == CUDA_EMU_DESCENDING) return count - 1 - i;
    if (emu.order == CUDA_EMU_ASCENDING || count < 3) return i;
    // A step that has no common divisor with count visits all.
    int step = count * 5 / 8 | 1;
    for (int a = step, b = count; ; step += 2, a = step, b = count) {
        while (b) { const int c = a % b; a = b; b = c; }
        if (a == 1) break;
    }
    return (int)(((int64_t)i * step + count / 3) % count);
}

// The i-th thread that starts. Warps stay together.
int thread_at(int i)
{
    if (emu.threads % 32) return permuted(i, emu.threads);
    return permuted(i / 32, emu.threads / 32) * 32 + permuted(i % 32, 32);
}

void fail(const char *format, ...)
{
    va_list list;

    if (emu.failed) return;
    emu.failed = true;
    va_start(list, format);
    vsnprintf(emu.message, sizeof emu.message, format, list);
    va_end(list);
}

uint3 position(unsigned i, dim3 size) { return uint3{ i % size.x, i / size.x % size.y, i / size.x / size.y }; }

void set_current(int thread)
{
    emu.current = thread;
    cuda_emu_thread = position((unsigned)thread, cuda_emu_block_size);
}

// From a fibre to the scheduler, until the scheduler resumes it.
void leave(fibre *f)
{
    __sanitizer_start_switch_fiber(&f->fake, emu.main_stack, emu.main_size);
    cuda_emu_switch(&f->at, emu.scheduler);
    __sanitizer_finish_switch_fiber(f->fake, &emu.main_stack, &emu.main_size);
}

void resume(fibre *f)
{
    emu.running = f;
    if (f->thread >= 0) set_current(f->thread);
    __sanitizer_start_switch_fiber(&emu.main_fake, f->stack, STACK_SIZE);
    cuda_emu_switch(&emu.scheduler, f->at);
    __sanitizer_finish_switch_fiber(emu.main_fake, NULL, NULL);
}

// A fibre runs threads that have not started, one after the other, until one of them waits; then the thread keeps the fibre.
void fibre_main()
{
    __sanitizer_finish_switch_fiber(NULL, &emu.main_stack, &emu.main_size);
    for (;;) {
        fibre *const f = emu.running;
        while (emu.started < emu.may_start && !emu.failed) {
            const int t = thread_at(emu.started++);
            f->thread = t;
            set_current(t);
            emu.call(emu.closure);
            emu.block[t].at = ENDED;
            emu.ended++;
            f->thread = -1;
        }
        f->thread = -1;
        emu.idle[emu.idle_count++] = f;
        leave(f);
    }
}

fibre *idle_fibre()
{
    if (emu.idle_count) return emu.idle[--emu.idle_count];
    fibre *const f = &emu.fibres[emu.fibre_count++];
    f->stack = (char *)malloc(STACK_SIZE);
    f->thread = -1;
    void **const frame = (void **)((uintptr_t)(f->stack + STACK_SIZE) & ~(uintptr_t)15) - FRAME_WORDS;
    for (int i = 0; i < FRAME_WORDS; i++) frame[i] = NULL;
    frame[SAVED_RETURN] = (void *)fibre_main;
    f->at = frame;
    return f;
}

void wait(state at, const char *file, int line)
{
    thread *const t = &emu.block[emu.current];
    fibre *const f = emu.running;

    t->at = at;
    t->file = file;
    t->line = line;
    t->on = f;
    leave(f);
}

// Lets the threads first to end - 1 go on, if all of them wait in the same line.
bool release(int first, int end, state at)
{
    for (int i = first; i < end; i++)
        if (emu.block[i].at != at || emu.block[i].line != emu.block[first].line) return false;
    for (int i = first; i < end; i++) emu.block[i].at = RUNS;
    return true;
}

void report_divergence()
{
    for (int i = 0; i < emu.threads; i++) {
        const thread *a = &emu.block[0], *b = &emu.block[i];
        if (a->at == b->at && (a->at == ENDED || a->line == b->line)) continue;
        const thread *w = a->at == ENDED ? b : a;
        const int waits = a->at == ENDED ? i : 0, other = a->at == ENDED ? 0 : i;
        const thread *o = &emu.block[other];
        if (o->at == ENDED) fail("%s:%d: thread %d waits for thread %d, which has ended", w->file, w->line, waits, other);
        else fail("%s:%d: thread %d waits here, thread %d in line %d", w->file, w->line, waits, other, o->line);
        return;
    }
    fail("%s:%d: a warp function in a block of %d threads, no multiple of 32", emu.block[0].file, emu.block[0].line, emu.threads);
}

// The stacks of the threads that wait are given up.
void abandon_fibres()
{
    for (int i = 0; i < emu.fibre_count; i++) free(emu.fibres[i].stack);
    emu.fibre_count = emu.idle_count = 0;
}

void free_shared()
{
    for (int i = 0; i < emu.shared_count; i++) free(emu.shared[i].memory);
    emu.shared_count = 0;
    emu.shared_size = 0;
}

// Starts or resumes the threads in places first to end - 1 of the order until all of them wait or have ended.
void run_threads(int first, int end)
{
    emu.may_start = end;
    while (emu.started < end && !emu.failed) resume(idle_fibre());
    for (int i = first; i < end && !emu.failed; i++) {
        thread *const t = &emu.block[thread_at(i)];
        if (t->at != RUNS || !t->on) continue;
        fibre *const f = t->on;
        t->on = NULL;
        resume(f);
    }
}

// Lets the warp in places first to first + 31 of the order go on if all of its threads wait for each other.
bool release_warp(int first)
{
    const int start = thread_at(first) / 32 * 32;
    return emu.threads % 32 == 0 && release(start, start + 32, AT_WARP);
}

// A barrier must be met by all threads; between barriers, either each warp goes as far as it can before the next one begins, or
// all warps go from one warp function to the next together. Hardware may do either.
void run_block()
{
    const int step = emu.order == CUDA_EMU_ASCENDING || emu.threads % 32 ? emu.threads : 32;

    emu.started = emu.ended = 0;
    for (int i = 0; i < emu.threads; i++) emu.block[i] = thread{ RUNS, NULL, 0, NULL, 0 };
    for (;;) {
        for (int first = 0; first < emu.threads; first += step)
            for (bool more = true; more && !emu.failed;) {
                run_threads(first, first + step);
                more = false;
                for (int i = first; i < first + step; i += 32) more |= release_warp(i);
            }
        if (emu.ended == emu.threads || emu.failed) break;
        if (!release(0, emu.threads, AT_BARRIER)) report_divergence();
    }
    free_shared();
}

} // namespace

void cuda_emu_set_order(enum cuda_emu_order order) { emu.order = order; }
int cuda_emu_launches(void) { return emu.launches; }
const char *cuda_emu_message(void) { return emu.message; }
int cuda_emu_lane(void) { return emu.current % 32; }

void cuda_emu_barrier(const char *file, int line) { wait(AT_BARRIER, file, line); }

uint64_t cuda_emu_exchange(unsigned mask, uint64_t word, int from, const char *file, int line)
{
    const int me = emu.current, turn = emu.block[me].exchanges++ & 1;

    if (mask != 0xffffffffu) fail("%s:%d: the mask of lanes is %#x: only all lanes are emulated", file, line, mask);
    emu.words[turn][me] = word;
    wait(AT_WARP, file, line);
    return emu.words[turn][me / 32 * 32 + from];
}

void *cuda_emu_shared(const void *site, size_t size)
{
    for (int i = 0; i < emu.shared_count; i++)
        if (emu.shared[i].site == site) return emu.shared[i].memory;
    emu.shared_size += size;
    if (emu.shared_size > SHARED_LIMIT) fail("%zu bytes of shared memory, at most %d", emu.shared_size, SHARED_LIMIT);
    if (emu.shared_count == MAX_SHARED) fail("more than %d arrays in shared memory", MAX_SHARED);
    void *const memory = malloc(size);
    memset(memory, 0xff, size);             // NaN in f32, f16 and bf16
    if (emu.shared_count < MAX_SHARED) emu.shared[emu.shared_count++] = { site, memory, size };
    return memory;
}

int cuda_emu_run(dim3 grid, dim3 block, void (*call)(void *), void *closure)
{
    const uint64_t threads = (uint64_t)block.x * block.y * block.z, blocks = (uint64_t)grid.x * grid.y * grid.z;

    emu.launches++;
    emu.failed = false;
    emu.message[0] = 0;
    if (!threads || threads > MAX_THREADS || block.z > 64 || !blocks || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535) {
        fail("grid %u x %u x %u of %u x %u x %u threads", grid.x, grid.y, grid.z, block.x, block.y, block.z);
        return 9;                           // cudaErrorInvalidConfiguration
    }
    emu.threads = (int)threads;
    emu.call = call;
    emu.closure = closure;
    cuda_emu_block_size = block;
    cuda_emu_grid_size = grid;
    for (uint64_t i = 0; i < blocks && !emu.failed; i++) {
        cuda_emu_block = position((unsigned)permuted((int)i, (int)blocks), grid);
        run_block();
    }
    if (emu.failed) abandon_fibres();
    return emu.failed ? 719 : 0;            // cudaErrorLaunchFailure
}
