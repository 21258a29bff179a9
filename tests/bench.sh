#!/bin/sh
# bench.sh - `make bench`: measures speed as ratios to a peer or to a limit. Both are measured in the same run, in turns, so that
# other load on the machine affects both; the figures are medians of the turns. Each line has name, figure, target, met or not.
# A row that this machine cannot measure says why.
#
# Peers: ONNX Runtime, if ORT_PYTHON or else python3 has onnxruntime, onnx and numpy; PyTorch, if TORCH_PYTHON or else python3 has
# torch.
# ROUNDS=n: number of turns [5]. ONLY="net filter gst start memory ends train torch ops": parts to run [all].
set -u
: "${BUILD:?the build folder}" "${SRC:?the source root}"
rounds=${ROUNDS:-5}
only=${ONLY:-net filter gst start memory ends train torch ops}
T=$BUILD/tests
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

threads=$(nproc)
[ "$threads" -le 2 ] || threads=2
# Real-time priority, if allowed: two threads that wait for each other lose a whole time slice to any third one.
first=
if chrt -f 1 true 2>/dev/null; then first='chrt -f 1'; fi

fail() { echo "bench: $*" >&2; exit 1; }
part() { case " $only " in *" $1 "*) return 0 ;; esac; return 1; }
clock() { date +%s.%N; }
calc() { awk "BEGIN { printf \"%.4f\", $1 }"; }
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) printf "%.6g", (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'; }
column() { awk -v c="$2" '{ print $c }' "$1" | median; }

heading() { printf '\n%s\n' "$1"; }
# name, figure, "min" or "max", target, unit, remark
judge() {
    awk -v name="$1" -v x="$2" -v how="$3" -v target="$4" -v unit="$5" -v remark="${6:-}" 'BEGIN {
        met = how == "min" ? x >= target : x <= target
        printf "  %-52s %8.2f %-11s at %-5s %5s  %-7s  %s\n", name, x, unit, how == "min" ? "least" : "most", target,
            met ? "met" : "NOT met", remark
    }'
}
tell() {
    awk -v name="$1" -v x="$2" -v unit="$3" -v remark="${4:-}" \
        'BEGIN { printf "  %-52s %8.2f %-35s %s\n", name, x, unit, remark }'
}
cannot() { printf '  %-52s not measured: %s\n' "$1" "$2"; }

echo "$(sed -n 's/^model name[ \t]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, $(uname -m)," \
    "load $(cut -d' ' -f1 /proc/loadavg); $threads threads, medians of $rounds turns"

for net in light resnet18-light lite0; do
    "$T/bench_model" $net "$dir/$net.bin" || fail "cannot make the model $net"
done
light=$dir/light.bin size=256                                   # the size the net is designed for; the shipped model's is smaller

precisions="f32 bf16" no_bf16=
if ! "$T/bench_net" "$light" 64x64 bf16 1 0 >/dev/null 2>"$dir/why"; then
    precisions=f32 no_bf16=$(tail -n 1 "$dir/why")
    case $no_bf16 in *"bf16 needs"*) ;; *) fail "bench_net failed: $no_bf16" ;; esac
fi

# ---- the networks, relative to ONNX Runtime ----

python=
for p in ${ORT_PYTHON:-} python3; do
    if [ -z "$python" ] && "$p" -c 'import numpy, onnx, onnxruntime' 2>/dev/null; then python=$p; fi
done

# One turn: each precision, then ONNX Runtime. Appends to a file each: ratio of times, our ms, their ms, ratio of memory, error.
turn() {
    for precision in $precisions; do
        ours=$($first "$T/bench_net" "$2" 256x256 $precision "$threads" 1 "$dir/answer") || fail "bench_net failed"
        theirs=$($first "$python" "$SRC/tests/bench_ort.py" run "$dir/net.onnx" "$threads" 1 "$dir/answer") ||
            fail "bench_ort.py failed"
        echo "$ours $theirs" | sed 's/cpu[^)]*)//' | awk '{ print $4 / $1, $1, $4, $3 / $6, $7 }' >>"$dir/$1-$precision"
    done
    version=${theirs#* * * * }
}
network() { # NAME, target of bf16
    "$python" "$SRC/tests/bench_ort.py" convert "$dir/$1.bin" 256x256 "$dir/net.onnx" || fail "cannot convert $1"
    rm -f "$dir/$1"-*
    i=0
    while [ $i -lt "$rounds" ]; do turn "$1" "$dir/$1.bin"; i=$((i + 1)); done
    [ -z "$no_bf16" ] || cannot "$1 bf16, speed, resident memory" "$no_bf16"
    for precision in $precisions; do
        f=$dir/$1-$precision target=1.0
        [ $precision = f32 ] || target=$2
        judge "$1 $precision, speed" "$(column "$f" 1)" min $target "x ORT f32" \
            "$(printf '%.1f ms against %.1f ms, error %.1e' "$(column "$f" 2)" "$(column "$f" 3)" "$(column "$f" 5)")"
        judge "$1 $precision, resident memory" "$(column "$f" 4)" max 1.5 "x ORT"
    done
}
if part net; then
    if [ -n "$python" ]; then
        heading "256x256, batch 1, relative to ONNX Runtime in f32 with the same weights (error: relative L2 of our output)"
        network light 2.0
        network resnet18-light 2.0
        network lite0 1.6
        echo "  $version"
    else
        heading "256x256, batch 1 (no comparison with ONNX Runtime: no Python with onnxruntime and onnx, set ORT_PYTHON)"
        for net in light resnet18-light lite0; do
            [ -z "$no_bf16" ] || cannot "$net bf16" "$no_bf16"
            for precision in $precisions; do
                tell "$net $precision" \
                    "$($first "$T/bench_net" "$dir/$net.bin" 256x256 $precision "$threads" 3 | cut -d' ' -f1)" ms
            done
        done
    fi
fi

# ---- the whole filter, relative to its network ----

# Raw frames are read from the page cache and discarded: no disk, no codec. Without real-time priority: ffmpeg has other threads
# than the network's, and all of them need the CPUs.
ffmpeg=$BUILD/filter/ffmpeg
COLORIZE_LIBRARY=$BUILD/libcolorize.so.0
export COLORIZE_LIBRARY
raw="-f rawvideo -pixel_format yuv420p -video_size 1920x1080 -framerate 25"
play() { # frames, filter
    # shellcheck disable=SC2086
    "$ffmpeg" -nostdin -v error -y -stream_loop -1 $raw -i "$dir/film.yuv" -frames:v "$1" -vf "$2" -f rawvideo /dev/null ||
        fail "ffmpeg failed"
}
seconds() { s0=$(clock); "$@" || exit 1; calc "$(clock) - $s0"; }
# frames per second, without the time to start
rate() { short=$(seconds play 10 "$1") || exit 1; long=$(seconds play "$2" "$1") || exit 1; calc "($2 - 10) / ($long - $short)"; }

film() {
    [ -x "$ffmpeg" ] || { heading "filter: skipped, not built ($ffmpeg)"; return 1; }
    [ -e "$dir/film.yuv" ] || "$ffmpeg" -nostdin -v error -f lavfi \
        -i testsrc2=s=1920x1080:r=25,noise=alls=6:allf=t,format=yuv420p -frames:v 24 -f rawvideo "$dir/film.yuv" ||
        fail "cannot make a film"
}
if part filter && film; then
    heading "1920x1080 yuv420p, 8 bit, raw frames, light with size=$size, relative to the network alone"
    "$T/bench_stream" speed "$light" 1 $size "$threads" >"$dir/say" || fail "bench_stream failed"
    net_size=$(sed 's/.* \([0-9]*x[0-9]*\),.*/\1/' "$dir/say")
    i=0
    while [ $i -lt "$rounds" ]; do
        alone=$("$T/bench_net" "$light" "$net_size" auto "$threads" 2 | cut -d' ' -f1)
        api=$("$T/bench_stream" speed "$light" 2 $size "$threads" | cut -d' ' -f1)
        whole=$(rate "colorize=$light:size=$size:threads=$threads" 260) || exit 1
        echo "$alone $api $whole" | awk '{ print $3 * $1 / 1000, $2 * $1 / 1000, 1000 / $1, $2, $3 }' >>"$dir/filter"
        i=$((i + 1))
    done
    judge "ffmpeg with the filter" "$(column "$dir/filter" 1)" min 0.7 "x network" \
        "$(printf '%.1f f/s; network at %s %.1f f/s' "$(column "$dir/filter" 5)" "$net_size" "$(column "$dir/filter" 3)")"
    tell "library alone, frames coloured in place" "$(column "$dir/filter" 2)" "x network" \
        "$(printf '%.1f f/s' "$(column "$dir/filter" 4)")"
    tell "ffmpeg without the filter" "$(rate null 500)" "f/s"
    tell "ffmpeg with the shipped model at its own size" "$(rate "colorize=$SRC/samples/model.bin:threads=$threads" 260)" "f/s"
    cut -d' ' -f2- "$dir/say" | sed 's/^/  /'
fi

# ---- the GStreamer element ----

if part gst && [ -x "$T/bench_gst" ]; then
    heading "1920x1080 I420, light with size=$size: the GStreamer element, relative to the engine alone"
    i=0
    while [ $i -lt "$rounds" ]; do
        alone=$("$T/bench_gst" "$light" 3 $size "$threads" engine) || fail "bench_gst failed"
        whole=$(GST_PLUGIN_PATH=$BUILD/gst GST_REGISTRY=$dir/registry.bin "$T/bench_gst" "$light" 3 $size "$threads" element) ||
            fail "bench_gst failed"
        echo "$alone $whole" | awk '{ print $1 / $2, $2, $1 }' >>"$dir/gst"
        i=$((i + 1))
    done
    judge "element, time per frame" "$(column "$dir/gst" 1)" max 1.05 "x engine" \
        "$(printf '%.1f f/s against %.1f f/s' "$(column "$dir/gst" 2)" "$(column "$dir/gst" 3)")"
fi

# ---- start ----

if part start; then
    heading "First frame of 1920x1080, light with size=$size, from the start of the process"
    i=0
    while [ $i -lt "$rounds" ]; do
        $first "$T/bench_stream" first "$light" $size >>"$dir/first"
        i=$((i + 1))
    done
    judge "library" "$(column "$dir/first" 1)" max 0.5 s
    if film; then
        i=0
        while [ $i -lt "$rounds" ]; do
            seconds play 1 "colorize=$light:size=$size" >>"$dir/first-ffmpeg"
            echo >>"$dir/first-ffmpeg"
            i=$((i + 1))
        done
        judge "ffmpeg -frames:v 1, to its end" "$(column "$dir/first-ffmpeg" 1)" max 0.5 s
    fi
fi

# ---- memory over a film ----

if part memory; then
    heading "10000 frames of 64x64, light with size=64, after the first batches"
    set -- $($first "$T/bench_stream" flat "$light" 10000)
    [ $# = 4 ] || fail "bench_stream failed"
    # the helper thread of a trial (engine/cpu/wait.c) allocates a few times in thousands of frames
    judge "allocations" "$1" max 0.001 "per frame" "and $2 by oneDNN, freed within its calls"
    judge "growth of resident memory (least squares)" "$3" max 1 "KiB/1000 f" "$4 KiB in all"
fi

# ---- conversions of frames ----

if part ends; then
    heading "Conversions at 1920x1080, relative to memcpy of as many bytes, $threads threads"
    $first "$T/bench_frame" "$threads" | while read -r name ms speed copy; do
        tell "$name" "$(calc "$speed / $copy")" "x memcpy" "$ms ms, $speed GB/s, memcpy $copy GB/s"
    done
fi

# ---- training ----

if part train; then
    precision=${precisions##* }
    heading "Training light: 128x128, batch 16, $precision, pictures in memory"
    mkdir "$dir/pictures"
    "${FFMPEG:-ffmpeg}" -nostdin -v error -f lavfi -i mandelbrot=s=320x240:rate=2 -frames:v 64 "$dir/pictures/%02d.png" ||
        fail "cannot make pictures"
    train() {
        rm -rf "$dir/run"
        printf '%s\n' "net: light" "train: $dir/pictures" "run: $dir/run" "size: 128" "batch: 16" "steps: $1" "warmup: 0" \
            "precision: $precision" "threads: $threads" "val_every: 0" "sheet_every: 0" >"$dir/recipe.yaml"
        $first "$BUILD/colorize-train" train "$dir/recipe.yaml" >"$dir/train.log" 2>&1 ||
            { cat "$dir/train.log" >&2; fail "training failed"; }
    }
    i=0
    while [ $i -lt $(((rounds + 1) / 2)) ]; do
        forward=$($first "$T/bench_net" "$light" 128x128 $precision "$threads" 1 | cut -d' ' -f1)
        short=$(seconds train 5) || exit 1
        long=$(seconds train 55) || exit 1
        loader=$($first "$T/data" bench "$threads" 1 1 "$dir/pictures" | sed -n 's/^loader: \([0-9]*\).*/\1/p')
        calc "50 * 16 / ($long - $short)" >>"$dir/train"
        echo " $loader $forward" >>"$dir/train"
        i=$((i + 1))
    done
    awk '{ print $1, $2 / $1, $1 * 3 * $3 / 1000, $2 }' "$dir/train" >"$dir/trained"
    if [ -z "$no_bf16" ]; then
        judge "training, loading included" "$(column "$dir/trained" 1)" min 70 "pictures/s"
    else
        cannot "training in bf16, loading included" "$no_bf16"
        tell "training in f32, loading included" "$(column "$dir/trained" 1)" "pictures/s"
    fi
    judge "loader alone" "$(column "$dir/trained" 2)" min 5 "x training" "$(column "$dir/trained" 4 | cut -d. -f1) pictures/s"
    tell "training, relative to 3 forward passes of inference" "$(column "$dir/trained" 3)" "x"
fi

# ---- training steps, relative to PyTorch ----

if part torch; then
    heading "Training steps of lite0: 128x128, batch 16, f32; the adversarial phase with PatchGAN at full size"
    python=
    for p in ${TORCH_PYTHON:-} python3 /usr/bin/python3; do
        [ -n "$python" ] || ! "$p" -c 'import torch' 2>/dev/null || python=$p
    done
    if [ -z "$python" ]; then
        cannot "beside PyTorch" "no python3 has torch (TORCH_PYTHON names one)"
    else
        mkdir "$dir/torch"
        "$BUILD/gpu/gpu_bench" --export "$dir/torch" lite0 >"$dir/why" 2>&1 || { cat "$dir/why" >&2; fail "cannot export lite0"; }
        cores=0-$((threads - 1))
        i=0
        while [ $i -lt $(((rounds + 1) / 2)) ]; do
            taskset -c $cores $first "$BUILD/gpu/gpu_bench" --device cpu --precision f32 --train --size 128 --batch 16 lite0 \
                >"$dir/torch/ours" 2>"$dir/why" || { cat "$dir/why" >&2; fail "gpu_bench failed"; }
            taskset -c $cores $first "$python" "$SRC/tests/gpu_bench.py" "$dir/torch" "$dir/torch/ours" --type f32 --train \
                --sizes 128 --nets lite0 >"$dir/torch/theirs" 2>"$dir/why" || { cat "$dir/why" >&2; fail "gpu_bench.py failed"; }
            for phase in pixel adversarial; do
                mine=$(awk -v phase=$phase '$3 == phase { print $8 }' "$dir/torch/ours")
                awk -v phase=$phase -v mine="$mine" '$3 == phase { print mine / $8, mine }' "$dir/torch/theirs" \
                    >>"$dir/torch/$phase"
            done
            i=$((i + 1))
        done
        for phase in pixel adversarial; do
            judge "step, $phase phase" "$(column "$dir/torch/$phase" 1)" min 1.3 "x PyTorch" \
                "$(column "$dir/torch/$phase" 2 | cut -d. -f1) pictures/s"
        done
    fi
fi

# ---- ops ----

if part ops; then
    heading "Ops, forward and backward (the precisions of this CPU)"
    $first "$T/ops" --bench | sed 's/^/  /'
fi
