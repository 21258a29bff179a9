// cuda_emu.c - tests of the emulation of CUDA (cuda_emu.h): it runs a right kernel, and finds each fault of cuda_faults.cu.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "cuda_emu.h"
#include "cuda_faults.h"

// clang does not check the alignment of a struct that is assigned.
#ifdef __clang__
enum { FINDS_MISALIGNED = 0 };
#else
enum { FINDS_MISALIGNED = 1 };
#endif

static float *numbers(int count)
{
    float *v = malloc(count * sizeof *v);
    for (int i = 0; i < count; i++) v[i] = (float)i;
    return v;
}

static int is_reversed(const float *v, int count)
{
    for (int i = 0; i < count; i++)
        if (v[i] != (float)(i / 64 * 64 + 63 - i % 64)) return 0;
    return 1;
}

static int global_range(float *v) { return fault_global(v, 65); }

// Whether a sanitizer ends a process that launches it.
static int ends_process(int (*launch)(float *))
{
    float *v = numbers(65);
    const pid_t child = fork();
    int status = 0;

    if (!child) {
        dup2(open("/dev/null", O_WRONLY), 2);
        launch(v);
        _exit(0);
    }
    waitpid(child, &status, 0);
    free(v);
    return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

// Whether the launch fails with a message that contains this text, and the next launch works.
static int fails_with(int (*launch)(float *), int error, const char *text)
{
    float *v = numbers(65);
    const int ret = launch(v), found = strstr(cuda_emu_message(), text) != NULL;

    if (!found) printf("  returned %d: %s\n", ret, cuda_emu_message());
    REQUIRE(fault_none(v) == 0 && v[40] == 1520);
    free(v);
    return ret == error && found;
}

int main(void)
{
    float *v = numbers(192);

    CASE("cuda_emu/runs_a_kernel_in_each_order");
    for (int order = 0; order < 3; order++) {
        float *r = numbers(192);
        const int launches = cuda_emu_launches();
        cuda_emu_set_order((enum cuda_emu_order)order);
        REQUIRE(fault_reverse(r, 192, false) == 0 && is_reversed(r, 192));
        REQUIRE(fault_none(v) == 0 && v[3] == 496 && v[32] == 1520 && v[64] == 1);
        REQUIRE_INT(cuda_emu_launches() - launches, 2);
        free(r);
    }
    CASE("cuda_emu/a_missing_barrier_changes_the_result");
    for (int order = 0; order < 3; order++) {
        float *r = numbers(192);
        cuda_emu_set_order((enum cuda_emu_order)order);
        REQUIRE(fault_reverse(r, 192, true) == 0 && !is_reversed(r, 192));
        free(r);
    }
    CASE("cuda_emu/a_warp_that_overtakes_changes_the_result");
    for (int order = 0; order < 3; order++) {
        float *r = numbers(64), *s = numbers(64);
        cuda_emu_set_order((enum cuda_emu_order)order);
        REQUIRE(fault_overtake(r, false) == 0 && fault_overtake(s, true) == 0);
        for (int i = 0; i < 64; i++) REQUIRE(r[i] == 128);
        REQUIRE((memcmp(r, s, sizeof(float[64])) != 0) == (order > 0));
        free(r);
        free(s);
    }
    cuda_emu_set_order(CUDA_EMU_ASCENDING);
    CASE("cuda_emu/finds_divergence");
    REQUIRE(fails_with(fault_divergent, 719, "thread 0 waits for thread 5, which has ended"));
    REQUIRE(fails_with(fault_two_barriers, 719, "thread 0 waits here, thread 5 in line"));
    REQUIRE(fails_with(fault_early_return, 719, "thread 0 waits for thread 63, which has ended"));
    REQUIRE(fails_with(fault_half_warp, 719, "thread 0 waits for thread 16, which has ended"));
    CASE("cuda_emu/finds_wrong_launches");
    REQUIRE(fails_with(fault_threads, 9, "1025 x 1 x 1 threads"));
    CASE("cuda_emu/finds_accesses_out_of_range");
    REQUIRE(ends_process(global_range));
    REQUIRE(ends_process(fault_shared));
    REQUIRE(ends_process(fault_misaligned) || !FINDS_MISALIGNED);
    REQUIRE(!ends_process(fault_none));
    CASE("cuda_emu/shared_memory_begins_as_nan");
    REQUIRE(fault_unwritten(v) == 0 && isnan(v[0]) && isnan(v[63]));
    free(v);
    return check_end();
}
