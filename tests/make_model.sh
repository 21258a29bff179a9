#!/bin/sh
# make_model.sh OUT.bin - a model for the tests of programs: a real network, trained for one step and so as good as random.
set -eu
: "${BUILD:?the build folder}" "${SRC:?the source root}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/photos"
ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=64x64,format=gbrp -frames:v 4 "$dir/photos/%d.png"
printf 'net: light\nsize: 32\nscale: 32\nworking_size: 64\nbatch: 2\nsteps: 1\nwarmup: 0\nthreads: 1\nsave_every: 0\nval_every: 0\nsheet_every: 0\n' >"$dir/r.yaml"
"$BUILD/colorize-train" train "$dir/r.yaml" "train=$dir/photos" "val=$dir/photos" "run=$dir/run" >"$dir/log" 2>&1 || { cat "$dir/log" >&2; exit 1; }
cp "$dir/run/model.bin" "$1"
