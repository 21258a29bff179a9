#!/bin/sh
# gpu_bundle.sh - `make cuda-bundle`: packs what check-cuda and bench-cuda need for a machine that has a GPU, its driver, and
# cuDNN and cuBLAS (from the toolkit or from Python's wheels), but none of our packages: build/cuda-bundle.tar.xz. There:
#
#     tar xf cuda-bundle.tar.xz && sh cuda-bundle/run.sh check|bench
set -eu
out=$BUILD/cuda-bundle
rm -rf "$out" "$out.tar.xz"
mkdir -p "$out/bin" "$out/lib" "$out/tests" "$out/samples"
cp "$BUILD/gpu/gpu_check" "$BUILD/gpu/gpu_bench" "$BUILD/gpu/ops" "$out/bin"
cp "$BUILD/libcolorize-cuda.so.0" "$out/bin"
cp "$SRC/tests/gpu.sh" "$SRC/tests/gpu_bench.py" "$out/tests"
cp "$SRC/samples/model.bin" "$out/samples"
strip "$out"/bin/*
# the system's libraries but for the C library, which is there, and the driver's and CUDA's, which belong to the machine
for program in "$out"/bin/*; do
    ldd "$program" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p'
done | sort -u | grep -vE '/(libc|libm|libdl|librt|libpthread|libcuda|libcudnn|libcublas|libcublasLt|libnvrtc)[.-]' |
    while read -r library; do cp -L "$library" "$out/lib"; done
cat >"$out/run.sh" <<'R'
#!/bin/sh
# run.sh check|bench - on a machine with a GPU.
here=$(cd "$(dirname "$0")" && pwd)
list='import glob, nvidia; print(":".join(d for r in nvidia.__path__ for d in glob.glob(r + "/*/lib")))'
wheels=$(python3 -c "$list" 2>/dev/null)
export LD_LIBRARY_PATH="$here/lib:/usr/local/cuda/lib64:$wheels${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export COLORIZE_CACHE="$here/cache"
BIN=$here/bin SRC=$here sh "$here/tests/gpu.sh" "$@"
R
tar -C "$BUILD" -cJf "$out.tar.xz" cuda-bundle
du -k "$out.tar.xz" | awk '{ print $2 ": " int($1 / 1024 + 0.5) " MB" ; exit $1 > 61440 }'
