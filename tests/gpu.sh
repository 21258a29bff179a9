#!/bin/sh
# gpu.sh - check, bench and train of the CUDA device on a machine with a GPU: `make check-cuda`, `make bench-cuda`,
# `make train-cuda`, the bundle's run.sh.
#
#     gpu.sh check|bench|train [--device cpu]       BIN: folder of the programs; SRC: of tests/gpu_bench.py, samples;
#                                                   TRAINER: colorize-train
# check takes at most 6 minutes on an H100, bench 4. With another device than cuda the scripts try themselves: all is short. train
# makes a film with FFMPEG (ffmpeg) and trains on it: losses fall in bf16 and f16, and a run that is stopped and resumed gives the
# same model as one that is not.
set -u
bin=${BIN:-build/gpu} trainer=${TRAINER:-build/colorize-train} src=${SRC:-.} what=${1:-check} device=cuda bad=0 quick=
[ "${2:-}" != --device ] || device=${3:?the device}
[ "$device" = cuda ] || quick=--quick
log=$(mktemp) out=$(mktemp -d) && trap 'rm -rf "$log" "$out"' EXIT
step() { printf '== %s\n' "$*"; }
exec 3>&1                                   # past what sends the output of a command to the log
fault() { echo "FAILED: $*" >&3; bad=1; }
end=$(($(date +%s) + $([ "$what" = check ] && echo 345 || echo 225)))
# within SECONDS COMMAND: at most so long, and not longer than the whole check or bench may take; a check fails if it lacks time
within() {
    limit=$((end - $(date +%s)))
    [ "$limit" -lt "$1" ] || limit=$1
    shift
    [ "$what$quick" != check--quick ] || limit=3600
    if [ "$limit" -ge 5 ]; then timeout "$limit" "$@"; else echo "no time is left for this"; [ "$what" != check ]; fi
}

"$bin/gpu_check" --device "$device" nothing || { echo "skipped: no GPU, or the device does not open (see above)"; exit 77; }
[ -n "$quick" ] || ! command -v nvidia-smi >/dev/null ||
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader

# took COMMAND: its failure fails the check; says so if it was stopped, and how long it ran
took() {
    began=$(date +%s) rc=0
    "$@" || rc=$?
    [ $rc = 0 ] || fault "$([ $rc = 124 ] && echo stopped || echo "status $rc") after $(($(date +%s) - began)) s"
}

# run NAME key=value...: a short training on the film; its last losses, and images/s
run() {
    name=$1
    shift
    "$trainer" train "$out/recipe.yaml" run="$out/$name" device="$device" "$@" >"$log" 2>&1 ||
        { tail -5 "$log"; fault "training $name"; return; }
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "train_l1") n = i; next }
        $n != "" { if (first == "") first = $n; last = $n }
        END { print "  train_l1 from " first " to " last; exit !(last < 0.8 * first) }' \
        "$out/$name/metrics.csv" || fault "the loss of $name does not fall"
    grep -o '[0-9.]* pictures/s' "$log" | tail -1 | sed 's/^/  /'
}
sha() { "$trainer" info "$1" | sed -n 's/^sha256 *\([0-9a-f]*\).*/\1/p'; }

case $what in
check)
    step ops, forward and backward, against the reference
    took within 120 "$bin/ops" --device "$device" >"$log"
    grep -v '^ok ' "$log"
    # a program each, so that one that is stopped does not hide what the others would say
    for part in streams nets frames training; do
        step "$part"
        took within 150 "$bin/gpu_check" --device "$device" $quick $part
    done
    PATH=$PATH:${CUDA_HOME:-/usr/local/cuda}/bin
    # Calls that fail are checked by the programs themselves; libraries make some whose failure they expect.
    for tool in 'memcheck --report-api-errors no' racecheck; do
        [ -z "$quick" ] || break
        command -v compute-sanitizer >/dev/null || { echo "no compute-sanitizer here"; break; }
        step "compute-sanitizer ${tool%% *}"
        # shellcheck disable=SC2086
        took within 100 compute-sanitizer --tool $tool --error-exitcode 9 "$bin/gpu_check" --quick streams >"$log" 2>&1
        grep -v '^ok ' "$log" | tail -n 12
    done ;;
bench)
    step colour kernels at 1080p
    within 20 "$bin/gpu_bench" --device "$device" --frames || bad=1
    step streams of 1080p frames in device memory
    within 40 "$bin/gpu_bench" --device "$device" --stream "$src/samples/model.bin" || bad=1
    step training steps
    within 40 "$bin/gpu_bench" --device "$device" --train ${quick:+--size 64 --batch 2 lite0} | tee "$out/ours.txt"
    grep -q 'adversarial.*images/s' "$out/ours.txt" || fault "no figures of training"
    step ours
    within 70 "$bin/gpu_bench" --device "$device" ${quick:+--size 128 --batch 1 light} | tee -a "$out/ours.txt"
    # PyTorch runs without the folders that a bundle adds for its own programs.
    system=${SYSTEM_LIBRARIES-${LD_LIBRARY_PATH-}}
    if ! LD_LIBRARY_PATH=$system python3 -c "import torch; assert '$device' == 'cpu' or torch.cuda.is_available()" 2>"$log"; then
        echo "no PyTorch with CUDA here, so no ratios: $(tail -n 1 "$log")"
    else
        "$bin/gpu_bench" --device "$device" --export "$out" >"$log" || { cat "$log"; fault "the nets cannot be exported"; }
        # torch SECONDS OPTION...: no measurement begins in the last 15 of the seconds
        torch() {
            most=$1
            shift
            within "$most" env LD_LIBRARY_PATH="$system" python3 "$src/tests/gpu_bench.py" "$out" \
                "$out/ours.txt" --seconds $((most - 15)) "$@" || fault "gpu_bench.py $*"
        }
        step PyTorch AMP, training steps
        torch 45 --train ${quick:+--type f32 --nets lite0 --sizes 64 --batches 2}
        step PyTorch eager, channels_last
        torch 70 ${quick:+--type f32 --nets light --sizes 128 --batches 1}
        step torch.compile, max-autotune
        [ -n "$quick" ] || torch $((end - $(date +%s))) --compile --nets lite0,resnet18-unet,light --sizes 256 --batches 1,16
    fi ;;
train)
    [ -x "$trainer" ] || { echo "no trainer $trainer"; exit 1; }
    steps=300 batch=16 precisions='bf16 f16'
    [ -z "$quick" ] || steps=20 batch=2 precisions=f32
    "${FFMPEG:-ffmpeg}" -nostdin -v error -f lavfi -i testsrc2=s=160x120:r=24 -frames:v 48 -c:v ffv1 "$out/film.mkv" ||
        { echo "ffmpeg cannot make the film"; exit 1; }
    printf '%s: %s\n' train "$out/film.mkv" val "$out/film.mkv" net light size 64 scale 96 batch $batch steps $steps lr 0.002 \
        warmup 5 loss '{l2: 10}' log_every 1 sheet_pictures 0 save_every 0 val_pictures 8 >"$out/recipe.yaml"
    for p in $precisions; do
        step "a training of $steps steps in $p"
        run "$p" precision="$p"
    done
    step stopped and resumed
    half=$((steps / 2)) p=${precisions%% *}
    "$trainer" train "$out/recipe.yaml" run="$out/stopped" device="$device" precision="$p" save_every=$half \
        >"$log" 2>&1 &
    while [ ! -e "$out/stopped/ckpt/step-$half/manifest" ] && kill -0 $! 2>/dev/null; do sleep 0.1; done
    kill -TERM $! 2>/dev/null
    wait $!
    run stopped precision="$p" save_every=$half
    [ -n "$(sha "$out/$p/model.bin")" ] && [ "$(sha "$out/$p/model.bin")" = "$(sha "$out/stopped/model.bin")" ] ||
        fault "the resumed training gives another model" ;;
*) echo "usage: gpu.sh check|bench|train [--device cpu]" >&2; exit 2 ;;
esac
[ $bad = 0 ] && echo "passed" || echo "FAILED"
exit $bad
