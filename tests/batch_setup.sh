# batch_setup.sh - sourced by the tests of colorize-batch: changes to a temporary folder with a model. colorize-batch uses the
# filter that was built, and the library beside it; with stub=yes, the stand-in engine tests/stub_colorize.c, which colours
# faster, for tests that do not ask what colours come out. preloads=yes: the test preloads a library of its own. Exit status 77 if
# there is no filter, or a sanitizer's library would have to be preloaded first.
: "${BUILD:?the build folder}" "${SRC:?the source root}"
BUILD=$(cd "$BUILD" && pwd) SRC=$(cd "$SRC" && pwd)
export BUILD SRC
[ -x "$BUILD/filter/ffmpeg" ] || { echo "skip no $BUILD/filter/ffmpeg: filter/build-lavfi.sh has not run"; exit 77; }
COLORIZE_LIBRARY=$BUILD/libcolorize.so.0
export COLORIZE_LIBRARY
case ${preloads:-}$(sed -n 's/^SANITIZER = //p' "$BUILD/../config.mak" 2>/dev/null) in
yes/*) echo "skip a sanitizer's library must come first"; exit 77 ;;
esac
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
if [ "${stub:-}" = yes ]; then
    ${CC:-cc} -std=gnu11 -O2 -fPIC -shared -Wl,-soname,libcolorize.so.0 -I"$SRC" -I"$SRC/engine" -o libcolorize.so.0 \
        "$SRC/tests/stub_colorize.c" "$SRC/engine/pixfmt.c" || exit 1
    COLORIZE_LIBRARY=$dir/libcolorize.so.0
    echo model >model.bin
else sh "$SRC/tests/make_model.sh" model.bin || exit 1
fi

batch() { "$BUILD/colorize-batch" "$@" >out 2>err; }
cases=0 failed=0
check() {
    cases=$((cases + 1)) name=$1; shift
    if "$@"; then echo "ok   $suite/$name"; return; fi
    failed=$((failed + 1))
    echo "FAIL $suite/$name: false: $*"
    [ ! -s err ] || head -n 12 err | sed 's/^/  | /'
}
# says FILE WORDS: the words stand in the file
says() { grep -qF -- "$2" "$1"; }
# film SECONDS FILTERS FFMPEG-ARGUMENTS...
film() {
    seconds_=$1 filters_=$2; shift 2
    ffmpeg -nostdin -v error -y -f lavfi -i "testsrc2=s=64x48:r=24:d=$seconds_,$filters_" "$@"
}
# entries STREAM-TYPE ENTRY FILE: of all its streams, joined by spaces
entries() { ffprobe -v error -select_streams "$1" -show_entries "stream=$2" -of csv=p=0 "$3" | tr '\n' ' ' | sed 's/ $//'; }
# sums FOLDER: the hashes of the films in it
sums() {
    (cd "$1" && find . -type f ! -name '*.json' ! -name '*.log' ! -name '*.journal*' ! -path '*/.colorize-*' \
        -exec sha256sum {} + | sort -k2)
}
# wait_for COMMAND...: until it succeeds, at most 20 seconds
wait_for() { for i in $(seq 200); do "$@" && return; sleep 0.1; done; false; }
# working FOLDER: a film for it is being made
working() { [ -n "$(find "$1" -name in.md5 2>/dev/null)" ]; }
films_in() { find "$1" -name '*.mkv' ! -path '*/.colorize-*' | wc -l; }
more_films() { [ "$(films_in "$1")" -gt "$2" ]; }
# until_another_works PID FOLDER: stops the run PID at one of its films until another run has made one in the folder, so that both
# work, however fast one of them is
until_another_works() {
    wait_for working "$2"
    kill -STOP "$1"
    { wait_for more_films "$2" "$(films_in "$2")"; kill -CONT "$1"; } &
}
