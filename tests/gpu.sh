#!/bin/sh
# gpu.sh - check and bench of the CUDA device on a machine with a GPU: `make check-cuda`, `make bench-cuda`, the bundle's run.sh.
#
#     gpu.sh check|bench        BIN: folder of the programs; SRC: of tests/gpu_bench.py
# check takes at most 6 minutes on an H100, bench 4.
set -u
bin=${BIN:-build/tests} what=${1:-check} bad=0
log=$(mktemp) && trap 'rm -f "$log"' EXIT
step() { printf '== %s\n' "$*"; }

"$bin/gpu_check" nothing || { echo "skipped: no GPU, or the device does not open (see above)"; exit 77; }
command -v nvidia-smi >/dev/null && nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
case $what in
check)
    step ops, forward and backward, against the reference
    "$bin/ops" --device cuda >"$log" || bad=1
    grep -v '^ok ' "$log"
    step nets, streams, 10,000 frames, training
    "$bin/gpu_check" || bad=1
    for tool in memcheck racecheck; do
        command -v compute-sanitizer >/dev/null || { echo "no compute-sanitizer here"; break; }
        step "compute-sanitizer $tool"
        timeout 120 compute-sanitizer --tool $tool --error-exitcode 9 "$bin/gpu_check" --quick streams >"$log" || bad=1
        tail -5 "$log"
    done ;;
bench)
    out=$(mktemp -d)
    step ours
    "$bin/gpu_bench" | tee "$out/ours.txt"
    if python3 -c 'import torch; assert torch.cuda.is_available()' 2>/dev/null; then
        "$bin/gpu_bench" --export "$out" >/dev/null
        step PyTorch eager, channels_last
        python3 "${SRC:-.}/tests/gpu_bench.py" "$out" "$out/ours.txt"
        step torch.compile, max-autotune
        timeout 200 python3 "${SRC:-.}/tests/gpu_bench.py" "$out" "$out/ours.txt" --compile --sizes 256 --batches 1,16
    else
        echo "no PyTorch with CUDA here: no ratios"
    fi
    rm -r "$out" ;;
*) echo "usage: gpu.sh check|bench" >&2; exit 2 ;;
esac
[ $bad = 0 ] && echo "passed" || echo "FAILED"
exit $bad
