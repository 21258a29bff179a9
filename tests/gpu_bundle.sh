#!/bin/sh
# gpu_bundle.sh - `make cuda-bundle`: packs all that is needed on a machine that has a GPU, its driver, and cuDNN and cuBLAS (from
# the toolkit or from Python's wheels), but none of our packages: build/cuda-bundle.tar.xz. There:
#
#     tar xf cuda-bundle.tar.xz && sh cuda-bundle/run.sh check|bench|train [--device cpu]
#     cuda-bundle/ffmpeg -hwaccel cuda -hwaccel_output_format cuda -i film.mkv -vf colorize=cuda-bundle/samples/model.bin ...
#
# The trainer's libraries and ffmpeg come from gpu_ffmpeg.sh, which needs FFmpeg's source as `make filter` leaves it; without it
# the bundle has neither trainer nor ffmpeg, and says so.
set -eu
: "${BUILD:?the build folder}" "${SRC:?the source root}"
out=$BUILD/cuda-bundle
rm -rf "$out" "$out.tar.xz"
mkdir -p "$out/bin" "$out/lib" "$out/tests/ref" "$out/samples"
cp "$BUILD/gpu/gpu_check" "$BUILD/gpu/gpu_bench" "$BUILD/gpu/ops" "$out/bin"
cp -L "$BUILD/libcolorize.so.0" "$out/lib"
if [ -e "$BUILD/libcolorize-cuda.so.0" ]; then          # looked for beside the program or library that opens it
    cp "$BUILD/libcolorize-cuda.so.0" "$out/lib"
    ln -s ../lib/libcolorize-cuda.so.0 "$out/bin"
fi
cp "$SRC/tests/gpu.sh" "$SRC/tests/gpu_bench.py" "$out/tests"
cp "$SRC/tests/ref/nets_torch.py" "$out/tests/ref"
cp "$SRC/samples/model.bin" "$out/samples"
source=$(ls -d "$BUILD"/filter/ffmpeg-*/ 2>/dev/null | head -n 1)
if [ -n "$source" ]; then
    sh "$SRC/tests/gpu_ffmpeg.sh" "$source" "$BUILD/portable"
    cp "$BUILD/portable/ffmpeg" "$out/bin"
    av=
    for l in avformat avcodec swscale swresample avutil; do av="$av $BUILD/portable/lib$l/lib$l.a"; done
    [ ! -e "$BUILD/portable/static/libx264.a" ] || av="$av -lx264"
    # shellcheck disable=SC2086
    $CC $TRAINER_OBJECTS -o "$out/bin/colorize-train" -L"$BUILD/portable/static" $av -lz $LIBS \
        -Wl,--disable-new-dtags,-rpath,'$ORIGIN/../lib'
else
    echo "gpu_bundle: no FFmpeg source in $BUILD/filter (make filter): the bundle has no trainer and no ffmpeg"
fi
for file in "$out"/bin/* "$out"/lib/*; do
    [ -L "$file" ] || strip "$file"
done
# the system's libraries but for the C library, which is there, and the driver's and CUDA's, which belong to the machine
for program in "$out"/bin/* "$out"/lib/*; do
    ldd "$program" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p'
done | sort -u | grep -vE '/(libc|libm|libdl|librt|libpthread|libcuda|libcudnn|libcublas|libcublasLt|libnvrtc|libcolorize)[.-]' |
    while read -r library; do cp -L "$library" "$out/lib"; done
# The compiler's own are used only where the system's are missing or too old: ours may need a newer C library than there is.
mkdir "$out/lib/gcc"
for name in stdc++ gcc_s gomp; do mv "$out/lib/lib$name".so.* "$out/lib/gcc"; done
cat >"$out/environment.sh" <<'R'
# Sourced with $here, the bundle's folder: where CUDA's libraries are, in the toolkit or in Python's wheels. The bundle's own are
# found by $ORIGIN, so that python3 does not take them for its own. SYSTEM_LIBRARIES: the path before, for python3.
list='import glob, nvidia; print(":".join(d for r in nvidia.__path__ for d in glob.glob(r + "/*/lib")))'
wheels=$(python3 -c "$list" 2>/dev/null) || wheels=
export SYSTEM_LIBRARIES="${LD_LIBRARY_PATH-}"
export LD_LIBRARY_PATH="/usr/local/cuda/lib64${wheels:+:$wheels}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
! ldd "$here/bin/gpu_check" 2>&1 | grep -q 'not found' || LD_LIBRARY_PATH="$here/lib/gcc:$LD_LIBRARY_PATH"
export COLORIZE_CACHE="${COLORIZE_CACHE-$here/cache}" COLORIZE_LIBRARY="$here/lib/libcolorize.so.0"
R
cat >"$out/run.sh" <<'R'
#!/bin/sh
# run.sh check|bench|train [--device cpu] - on a machine with a GPU.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/environment.sh"
BIN=$here/bin SRC=$here TRAINER=$here/bin/colorize-train FFMPEG=$here/bin/ffmpeg sh "$here/tests/gpu.sh" "$@"
R
cat >"$out/ffmpeg" <<'R'
#!/bin/sh
# ffmpeg with the filter colorize.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/environment.sh"
exec "$here/bin/ffmpeg" "$@"
R
chmod +x "$out/ffmpeg" "$out/run.sh"
tar -C "$BUILD" -cJf "$out.tar.xz" cuda-bundle
du -k "$out.tar.xz" | awk '{ print $2 ": " int($1 / 1024 + 0.5) " MB"; exit $1 > 61440 }'
