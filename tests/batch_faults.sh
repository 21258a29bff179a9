#!/bin/sh
# batch_faults.sh - the n-th call of colorize-batch that writes, syncs, renames, creates or opens a file fails with ENOSPC or EIO
# (a preloaded library, in colorize-batch alone): it does not crash, no part of a film stands under its name, and the next run
# ends with the same bytes. STEP=1 sh tests/batch_faults.sh: every n, else every 41st.
set -u
suite=batch_faults stub=yes preloads=yes
. "$SRC/tests/batch_setup.sh"

cat >faults.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fails(void)
{
    static int count, at = -1;
    if (at < 0) {
        const char *text = getenv("FAIL_AT");
        at = text && !strcmp(program_invocation_short_name, "colorize-batch") ? atoi(text) : 0;
    }
    if (!at || __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST) != at) return 0;
    fprintf(stderr, "call %d fails\n", at);
    errno = at % 2 ? ENOSPC : EIO;
    return 1;
}
#define WRAP(type, name, parameters, arguments) \
    type name parameters { static type (*real) parameters; if (!real) real = dlsym(RTLD_NEXT, #name); \
        return fails() ? -1 : real arguments; }
WRAP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))
WRAP(ssize_t, pwrite, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
WRAP(ssize_t, pwrite64, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at))
WRAP(int, fsync, (int fd), (fd))
WRAP(int, fdatasync, (int fd), (fd))
WRAP(int, ftruncate, (int fd, off_t n), (fd, n))
WRAP(int, ftruncate64, (int fd, off64_t n), (fd, n))
WRAP(int, rename, (const char *a, const char *b), (a, b))
WRAP(int, link, (const char *a, const char *b), (a, b))
WRAP(int, mkdir, (const char *a, mode_t m), (a, m))
static int opened(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode)
{
    return (flags & (O_WRONLY | O_RDWR)) && fails() ? -1 : real(path, flags, mode);
}
#define WRAP_OPEN(name) \
    int name(const char *path, int flags, ...) { \
        static int (*real)(const char *, int, ...); va_list a; va_start(a, flags); \
        const mode_t mode = va_arg(a, mode_t); va_end(a); if (!real) real = dlsym(RTLD_NEXT, #name); \
        return opened(real, path, flags, mode); }
WRAP_OPEN(open)
WRAP_OPEN(open64)
C
${CC:-cc} -O1 -fPIC -shared -o faults.so faults.c -ldl || { echo "skip the library with faults cannot be built"; exit 77; }

mkdir films
film 0.3 format=yuv420p -c:v ffv1 films/a.mkv
film 4.1 format=gray -c:v ffv1 films/b.mkv
set -- films/a.mkv films/b.mkv --model model.bin --set stabilize=0 --set bars=off --key segments=48
batch run "$@" --out whole/ || { cat err; exit 1; }
sums whole >want

n=1 step=${STEP:-41} runs=0 crashed=0 torn=0 different=0
while :; do
    rm -rf out1
    LD_PRELOAD=$dir/faults.so FAIL_AT=$n "$BUILD/colorize-batch" run "$@" --out out1/ >out 2>err
    status=$?
    grep -q "^call $n fails" err || break
    runs=$((runs + 1))
    [ $status -lt 128 ] || { crashed=$((crashed + 1)); echo "  call $n: status $status"; cp err "crash.$n"; }
    if [ -d out1 ]; then
        sums out1 >now
        ! grep -vxF -f want now >strange || { torn=$((torn + 1)); echo "  call $n:"; cat strange; }
    fi
    batch run "$@" --out out1/ --retry || { echo "  call $n, second run:"; cat err; }
    sums out1 >got
    cmp -s want got || { different=$((different + 1)); echo "  call $n: different or missing"; }
    n=$((n + step))
done
check faults_were_injected [ $runs -gt 2 ]
check no_crash [ $crashed = 0 ]
check nothing_half_under_a_final_name [ $torn = 0 ]
check next_run_ends_with_the_same_bytes [ $different = 0 ]

echo "$cases cases, $failed failed; $runs faults"
[ $failed = 0 ]
