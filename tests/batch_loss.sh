#!/bin/sh
# batch_loss.sh - colorize-batch destroys no file that it has not made, and no film that it has finished: folders of pictures with
# other files in them, outputs that are films of other jobs, films, side-cars and logs that were put there or changed, renames and
# syncs that fail, death between two renames, claims that another host has taken.
set -u
suite=batch_loss stub=yes preloads=yes
. "$SRC/tests/batch_setup.sh"

cat >faults.c <<'C'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int here(const char *name, const char *path)
{
    const char *end = getenv(name);
    const size_t n = end ? strlen(end) : 0, m = strlen(path);
    return n && m >= n && !strcmp(path + m - n, end) && !strcmp(program_invocation_short_name, "colorize-batch");
}

// Environment: the end of a path. RENAME_FAILS: renaming to it; DIES_AFTER: death after renaming to it; FSYNC_FAILS: syncing it.
int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *) = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    int ret;
    if (here("RENAME_FAILS", to) && !strstr(from, "/old")) return errno = EACCES, -1;
    ret = real(from, to);
    if (!ret && here("DIES_AFTER", to)) _exit(137);
    return ret;
}

int fsync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    char link[64], path[PATH_MAX];
    ssize_t n;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    if (here("FSYNC_FAILS", path)) return errno = EIO, -1;
    return real(fd);
}
C
${CC:-cc} -O1 -fPIC -shared -o faults.so faults.c -ldl || { echo "skip the library with faults cannot be built"; exit 77; }
faulty() { # faulty NAME=VALUE COMMAND...
    fault_=$1; shift
    env "LD_PRELOAD=$dir/faults.so" "$fault_" "$BUILD/colorize-batch" "$@" >out 2>err
}

mkdir films
film 0.3 format=yuv420p -c:v ffv1 films/a.mkv
film 0.3 format=yuv420p,negate -c:v ffv1 films/b.mkv
set -- --model model.bin

# ---- folders of pictures ----

mkdir -p shelf/deep
echo mine >shelf/other.mkv
echo mine >shelf/deep/other.mkv
cat >pictures.yaml <<Y
defaults: {model: model.bin, preset: tiff}
jobs: [{in: films/a.mkv, out: shelf}]
Y
check folder/is_refused [ "$(batch run pictures.yaml --overwrite; echo $?)" = 1 ]
check folder/message says err "shelf: is not replaced: it is not a folder that holds only pictures named as 00000001.tif"
check folder/is_kept [ "$(cat shelf/other.mkv shelf/deep/other.mkv | tr '\n' ' ')" = "mine mine " ]

mkdir -p scans/reel
ffmpeg -nostdin -v error -i films/a.mkv scans/reel/%08d.tif
inside() { # inside NAME IN OUT WORDS
    printf '%s\n' "defaults: {model: model.bin, preset: tiff}" "jobs: [{in: $2, out: $3}]" >inside.yaml
    check "inside/$1" [ "$(batch run inside.yaml --overwrite; echo $?)" = 2 ]
    check "inside/$1/message" says err "$4"
}
inside source_in_output scans/reel scans "has it in it, and would overwrite it"
inside output_in_source scans/reel scans/reel/colour "or lies in it"
ln -s scans other-name
inside source_by_a_link other-name/reel scans "has it in it, and would overwrite it"
check inside/pictures_are_kept [ "$(find scans/reel -name '*.tif' | wc -l)" = 8 ]

cat >pictures.yaml <<Y
defaults: {model: model.bin, preset: tiff, out: reels}
jobs: [films/a.mkv]
Y
check pictures/first batch run pictures.yaml
sums reels >want
touch films/a.mkv
check pictures/again batch run pictures.yaml
sums reels >got
check pictures/are_replaced cmp -s want got
check pictures/nothing_left [ -z "$(find reels -name '.colorize*')" ]
touch films/a.mkv
check pictures/rename_fails [ "$(faulty RENAME_FAILS=reels/a run pictures.yaml; echo $?)" = 1 ]
sums reels >got
check pictures/old_ones_are_back cmp -s want got
check pictures/then batch run pictures.yaml
touch films/a.mkv
check pictures/death [ "$(faulty DIES_AFTER=/old run pictures.yaml; echo $?)" = 137 ]
rm -f pictures.journal*
old=$(find reels -name old -type d)
check pictures/old_ones_are_there [ "$(find "$old" -name '*.tif' | wc -l)" = 8 ]
rm -f "${old%/old}/side.json"
check pictures/death_of_the_next [ "$(faulty DIES_AFTER=/side.json run pictures.yaml; echo $?)" = 137 ]
check pictures/old_ones_are_put_back [ "$(find reels/a -name '*.tif' | wc -l)" = 8 ]
check pictures/at_last batch run pictures.yaml
sums reels >got
check pictures/the_same cmp -s want got
check png/run batch run films/a.mkv --out png/ "$@" --preset png
check png/pictures [ "$(find png/a -name '*.png' | wc -l)" = 8 ]

# ---- outputs of one job that are films of another ----

film 0.3 format=yuv420p -c:v ffv1 films/chain.mkv
sha256sum films/chain.mkv >chain
cat >chain.yaml <<Y
defaults: {model: model.bin}
jobs: [{in: films/a.mkv, out: films/chain.mkv}, {in: films/chain.mkv, out: z.mkv}]
Y
check chain/is_refused [ "$(batch run chain.yaml --overwrite; echo $?)" = 2 ]
check chain/message says err "films/chain.mkv: the output is the film"
ln films/chain.mkv hard.mkv
sed -i 's/out: films\/chain/out: hard/' chain.yaml
check chain/hard_link_is_refused [ "$(batch run chain.yaml --overwrite; echo $?)" = 2 ]
check chain/is_kept sha256sum --quiet -c chain
mkdir c
ln -s c d
for spelling in c/./x.mkv c//x.mkv d/x.mkv new/../c/x.mkv; do
    printf '%s\n' "defaults: {model: model.bin}" "jobs:" "- {in: films/a.mkv, out: c/x.mkv}" \
        "- {in: films/b.mkv, out: $spelling}" >two.yaml
    check "spelling/$spelling" [ "$(batch run two.yaml; echo $?)" = 2 ]
    check "spelling/$spelling/message" says err "two films would become it"
done

# ---- what the user has put there, or changed ----

check changed/first batch run films/a.mkv --out done/ "$@"
echo edited >>done/a.mkv
check changed/is_refused [ "$(batch run films/a.mkv --out done/ "$@"; echo $?)" = 1 ]
check changed/message says err "done/a.mkv: exists, and is not of a batch or was changed since"
check changed/is_kept [ "$(tail -n 1 done/a.mkv)" = edited ]
check changed/overwrite batch run films/a.mkv --out done/ "$@" --overwrite
check changed/option_is_no_change batch run films/a.mkv --out done/ "$@" --set strength=0.5
mkdir beside
echo '{"note": "mine"}' >beside/a.mkv.json
check side_car/is_refused [ "$(batch run films/a.mkv --out beside/ "$@"; echo $?)" = 1 ]
check side_car/message says err "a.mkv.json: exists, and is no side-car"
check side_car/is_kept says beside/a.mkv.json mine
rm beside/a.mkv.json
echo mine >beside/a.mkv.log
check log/is_refused [ "$(batch run films/a.mkv --out beside/ "$@"; echo $?)" = 1 ]
check log/message says err "a.mkv.log: exists, and is no log of a batch"
check log/is_kept says beside/a.mkv.log mine
rm beside/a.mkv.log
check log/then batch run films/a.mkv --out beside/ "$@"

# ---- renames and syncs that fail, death between two renames ----

check sync/fails [ "$(faulty FSYNC_FAILS=/film run films/a.mkv --out sync/ "$@"; echo $?)" = 1 ]
check sync/no_film [ ! -e sync/a.mkv ]
check sync/reason says err "/film: Input/output error"
check sync/then batch run films/a.mkv --out sync/ "$@" --retry
check rename/fails [ "$(faulty RENAME_FAILS=late/a.mkv run films/a.mkv --out late/ "$@"; echo $?)" = 1 ]
check rename/film_is_kept [ -n "$(find late -name film)" ]
check rename/then batch run films/a.mkv --out late/ "$@"
batch history late/colorize-batch.journal
check rename/was_not_coloured_again [ "$(grep -c ' running ' out)" = 1 ]
check rename/the_same cmp -s late/a.mkv sync/a.mkv
check death/status [ "$(faulty DIES_AFTER=dead/a.mkv run films/a.mkv --out dead/ "$@"; echo $?)" = 137 ]
check death/film_without_side_car [ -e dead/a.mkv -a ! -e dead/a.mkv.json ]
check death/another_journal batch run films/a.mkv --out dead/ "$@" --journal other.journal
check death/side_car [ -s dead/a.mkv.json ]
check death/nothing_left [ -z "$(find dead -name '.colorize*')" ]
batch history other.journal
check death/was_not_coloured_again [ "$(grep -c ' verified \| running ' out)" = 0 ]

# ---- a claim that another host has written over ----

film 6 format=yuv420p,noise=alls=20:allf=t -c:v ffv1 films/long.mkv
"$BUILD/colorize-batch" run films/long.mkv --out taken/ "$@" >out 2>err & run=$!
i=0
until [ -n "$(find taken -name in.md5 2>/dev/null)" ] || [ $i = 100 ]; do sleep 0.05; i=$((i + 1)); done
claim=$(find taken -name '*.claim')
printf 'other\n1\nboot\n0123456789abcdef\n' >"$claim"
wait $run
check claim/holder_gives_up [ $? = 1 ]
check claim/message says err "another run has taken the job"
check claim/is_left says "$claim" other
check claim/no_film [ ! -e taken/long.mkv ]

echo "$cases cases, $failed failed"
[ $failed = 0 ]
