// check.h - the test harness: a test program is a main() that calls CASE and REQUIRE and returns check_end().
//
//     int main(void)
//     {
//         CASE("model/rejects_truncated_file");
//         REQUIRE(clzi_model_read(&m, path, NULL) == -EBADMSG);
//         return check_end();
//     }
//
// A failed REQUIRE prints file, line and both values, and the program continues. check_end() prints a summary and returns the
// exit status: 0 all passed, 1 a check failed. SKIP prints the reason and exits with 77.
#ifndef CHECK_H
#define CHECK_H
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct { char name[128]; int cases, failed_cases, failed_here, checks; } check_state;

// Reads a byte that a thread of the code under test may be writing, to see how far it is. The thread sanitizer does not look.
__attribute__((noinline, unused, no_sanitize("thread"))) static int check_peek(const volatile unsigned char *byte)
{
    return *byte;
}

// Writes the template of a temporary file's name, for mkstemp() and mkdtemp(), in $TMPDIR or /tmp. Returns path.
__attribute__((unused)) static char *check_temporary(char path[512], const char *name)
{
    const char *folder = getenv("TMPDIR");

    snprintf(path, 512, "%s/colorize-%s-XXXXXX", folder && *folder ? folder : "/tmp", name);
    return path;
}

static inline void check_case_end(void)
{
    if (!check_state.name[0]) return;
    if (check_state.failed_here) check_state.failed_cases++;
    printf("%s %s\n", check_state.failed_here ? "FAIL" : "ok  ", check_state.name);
    fflush(stdout);
}

static inline void check_case(const char *name)
{
    check_case_end();
    snprintf(check_state.name, sizeof check_state.name, "%s", name);
    check_state.cases++;
    check_state.failed_here = 0;
}

static inline int check_end(void)
{
    check_case_end();
    printf("%d cases, %d checks, %d cases failed\n", check_state.cases, check_state.checks, check_state.failed_cases);
    return check_state.failed_cases ? 1 : 0;
}

#define CASE(name) check_case(name)
#define SKIP(reason) do { printf("skip %s\n", reason); exit(77); } while (0)
#define REQUIRE(condition)                                                                          \
    do {                                                                                            \
        check_state.checks++;                                                                       \
        if (!(condition)) {                                                                         \
            check_state.failed_here++;                                                              \
            printf("  %s:%d: %s\n", __FILE__, __LINE__, #condition);                                \
        }                                                                                           \
    } while (0)
#define REQUIRE_INT(got, want)                                                                      \
    do {                                                                                            \
        long long got_ = (got), want_ = (want);                                                     \
        check_state.checks++;                                                                       \
        if (got_ != want_) {                                                                        \
            check_state.failed_here++;                                                              \
            printf("  %s:%d: %s is %lld, should be %lld\n", __FILE__, __LINE__, #got, got_, want_); \
        }                                                                                           \
    } while (0)
#define REQUIRE_NEAR(got, want, tolerance)                                                          \
    do {                                                                                            \
        double got_ = (got), want_ = (want);                                                        \
        check_state.checks++;                                                                       \
        if (!(fabs(got_ - want_) <= (tolerance))) {                                                 \
            check_state.failed_here++;                                                              \
            printf("  %s:%d: %s is %.9g, should be %.9g +- %.3g\n", __FILE__, __LINE__, #got, got_, want_, \
                   (double)(tolerance));                                                            \
        }                                                                                           \
    } while (0)
#define REQUIRE_STR(got, want)                                                                      \
    do {                                                                                            \
        const char *got_ = (got), *want_ = (want);                                                  \
        check_state.checks++;                                                                       \
        if (!got_ || strcmp(got_, want_)) {                                                         \
            check_state.failed_here++;                                                              \
            printf("  %s:%d: %s is \"%s\", should be \"%s\"\n", __FILE__, __LINE__, #got, got_ ? got_ : "NULL", want_); \
        }                                                                                           \
    } while (0)
#endif
