#!/bin/sh
# make_model.sh OUT.bin - writes a model for the tests of programs: a real network after one training step, practically random.
set -eu
: "${BUILD:?the build folder}" "${SRC:?the source root}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/photos"
ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=64x64,format=gbrp -frames:v 4 "$dir/photos/%d.png"
printf '%s\n' "net: light" "size: 32" "scale: 32" "working_size: 64" "batch: 2" "steps: 1" "warmup: 0" "threads: 1" \
    "save_every: 0" "val_every: 0" "sheet_every: 0" >"$dir/r.yaml"
"$BUILD/colorize-train" train "$dir/r.yaml" "train=$dir/photos" "val=$dir/photos" "run=$dir/run" >"$dir/log" 2>&1 ||
    { cat "$dir/log" >&2; exit 1; }
cp "$dir/run/model.bin" "$1"
