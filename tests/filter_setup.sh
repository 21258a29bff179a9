# filter_setup.sh - sourced by filter.sh and levels.sh: finds the filter that filter/build-lavfi.sh built and the stock ffmpeg,
# builds the stand-in engine tests/stub_colorize.c, and changes to a temporary folder that has it and a model file for it.
#
# Sets BUILD and SRC (absolute), ours (the folder of the filter), program and stockdir (stock ffmpeg and its libraries), soname
# (of its libavfilter) and dir (the temporary folder, which is removed at exit). Exit status 77 if the filter was not built.
: "${BUILD:?the build folder}" "${SRC:?the source root}"
BUILD=$(cd "$BUILD" && pwd) SRC=$(cd "$SRC" && pwd)
ours=$BUILD/filter
[ -x "$ours/ffmpeg" ] && [ -e "$ours/out/stock" ] || { echo "skip no $ours/ffmpeg: filter/build-lavfi.sh has not run"; exit 77; }
program=$(sed -n 1p "$ours/out/stock") stockdir=$(sed -n 2p "$ours/out/stock") soname=$(sed -n 3p "$ours/out/stock")
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
${CC:-cc} -std=gnu11 -O2 -fPIC -shared -Wl,-soname,libcolorize.so.0 -I"$SRC" -I"$SRC/engine" -o "$dir/libcolorize.so.0" \
    "$SRC/tests/stub_colorize.c" "$SRC/engine/pixfmt.c" || exit 1
cd "$dir" || exit 1
echo model >model.bin
COLORIZE_LIBRARY=$dir/libcolorize.so.0
export COLORIZE_LIBRARY
