#!/bin/sh
# gst_cuda.sh - tests the element with frames in CUDA memory, without a GPU: fake_gst_cuda.c with fakecuda.c in place of
# libcuda.so.1 and the stand-in engine of stub_colorize.c. After each run fakecuda's report must say that contexts, memory and
# streams were freed, no context was left current, and no function was misused.
set -u
: "${SRC:?the source root}" "${BUILD:?the build folder}"
program=$BUILD/tests/fake_gst_cuda
ldd "$BUILD/gst/libgstcolorize.so" 2>/dev/null | grep -q libgstcuda ||
    { echo "skip the element was built without GStreamer's CUDA library"; exit 77; }
dir=$(mktemp -d) && trap 'rm -rf "$dir"' EXIT
${CC:-cc} -std=gnu11 -O2 -fPIC -shared -Wl,-soname,libcolorize.so.0 -I"$SRC" -I"$SRC/engine" -o "$dir/libcolorize.so.0" \
    "$SRC/tests/stub_colorize.c" "$SRC/engine/pixfmt.c" || exit 1
${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -fPIC -shared -fvisibility=hidden -Wl,-z,nodelete,-soname,libcuda.so.1 \
    -o "$dir/libcuda.so.1" "$SRC/tests/fakecuda.c" -lpthread || exit 1
echo model >"$dir/model.bin"
export LD_LIBRARY_PATH="$dir${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" FAKECUDA_REPORT="$dir/report" GST_REGISTRY="$dir/registry"
export GST_PLUGIN_PATH="$BUILD/gst" GST_PLUGIN_SYSTEM_PATH="$dir/none" GST_REGISTRY_FORK=no

failed=0
# run [CASE]
run() {
    rm -f "$dir/report"
    timeout 120 "$program" "$dir/model.bin" "$@" || failed=1
    case $(cat "$dir/report" 2>/dev/null) in
    'contexts=0 blocks=0 streams=0 pushed=0 misuses=0 '*) echo "ok   gst_cuda/${1:-all}/state" ;;
    *) echo "FAIL gst_cuda/${1:-all}/state: fakecuda: $(cat "$dir/report" 2>/dev/null)"; failed=1 ;;
    esac
}
run
COLORIZE_STUB_NO_CUDA=1 run no_engine
FAKECUDA_FAIL=cuCtxCreate_v2:1 run no_context
FAKECUDA_FAIL=cuStreamCreate:1 run no_stream
[ $failed = 0 ] && echo passed
exit $failed
