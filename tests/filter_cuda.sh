#!/bin/sh
# filter_cuda.sh - tests the filter with CUDA frames (AV_PIX_FMT_CUDA) in the installed ffmpeg, without a GPU: with fakecuda.c in
# place of libcuda.so.1 and the stand-in engine of stub_colorize.c, which colours frames in fakecuda's memory. The frames of
# hwupload,colorize,hwdownload must equal those of colorize on frames in host memory. After a run fakecuda's report must say that
# contexts, memory and streams were freed, no context was left current, and no function was misused.
# Needs BUILD/filter as made by filter/build-lavfi.sh.
set -u
: "${SRC:?the source root}"
. "$SRC/tests/filter_setup.sh"
"$ours/ffmpeg" -v quiet -init_hw_device list | grep -qx cuda || { echo "skip this ffmpeg has no CUDA device"; exit 77; }
sed 's/"nv12"/"none"/' "$SRC/engine/pixfmt.c" >pixfmt.c
${CC:-cc} -std=gnu11 -O2 -fPIC -shared -Wl,-soname,libcolorize.so.0 -I"$SRC" -I"$SRC/engine" -o without_nv12.so \
    "$SRC/tests/stub_colorize.c" pixfmt.c || exit 1
mkdir fake
${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -fPIC -shared -fvisibility=hidden -Wl,-z,nodelete,-soname,libcuda.so.1 \
    -o fake/libcuda.so.1 "$SRC/tests/fakecuda.c" -lpthread || exit 1
echo fail6 >fail6.bin
LD_LIBRARY_PATH=$dir/fake FAKECUDA_REPORT=$dir/report
export LD_LIBRARY_PATH FAKECUDA_REPORT

cases=0 failed=0
pass() { cases=$((cases + 1)); echo "ok   filter_cuda/$1"; }
fault() {
    cases=$((cases + 1)) failed=$((failed + 1))
    echo "FAIL filter_cuda/$1"; shift
    [ $# = 0 ] || echo "  $*"
    [ ! -s err ] || head -n 6 err | sed 's/^/  | /'
}
check() { name=$1; shift; if "$@"; then pass "$name"; else fault "$name" "false: $*"; fi; }
same() { name=$1; if [ -s "$2" ] && cmp -s "$2" "$3"; then pass "$name"; else fault "$name" "$(diff "$2" "$3" | head -n 4)"; fi; }

# run LEVEL INPUT FILTER [OPTION...]: ffmpeg with messages in the file err, one line a frame with pts, size and md5 to stdout.
device=cuda=c
run() {
    level_=$1 input_=$2 filter_=$3
    shift 3
    rm -f report
    "$ours/ffmpeg" -nostdin -hide_banner -v "$level_" -init_hw_device $device -filter_hw_device c -f lavfi -i "$input_" \
        -vf "$filter_" "$@" -f framemd5 - 2>err >frames
    status=$?
    grep -v '^#' frames
    return $status
}
# state NAME [PEAK]: what fakecuda reports of the last run; at least two blocks of memory, at most PEAK, at once
state() {
    case $(cat report 2>/dev/null) in
    'contexts=0 blocks=0 streams=0 pushed=0 misuses=0 '*) ;;
    *) fault "$1" "fakecuda: $(cat report 2>/dev/null)"; return ;;
    esac
    peak=$(sed 's/.*peak=\([0-9]*\).*/\1/' report)
    if [ "$peak" -ge 2 ] && [ "$peak" -le "${2:-1000}" ]; then pass "$1"
    else fault "$1" "$peak blocks of memory, at most ${2:-1000}"; fi
}
# state_of_failed NAME: the same of a run that failed. ffmpeg 5.1 itself then does not free its device.
state_of_failed() {
    case $(cat report 2>/dev/null) in
    'contexts='[01]' blocks=0 streams=0 pushed=0 misuses=0 '*) pass "$1" ;;
    *) fault "$1" "fakecuda: $(cat report 2>/dev/null)" ;;
    esac
}
# equal NAME INPUT FORMAT FILTER [OPTION...]: FILTER on CUDA frames gives what it gives on frames in host memory
equal() {
    name_=$1 in_=$2 format_=$3 chain_=$4
    shift 4
    run error "$in_,format=$format_" "$chain_" "$@" >expected
    run error "$in_,format=$format_" "hwupload,$chain_,hwdownload,format=$format_" "$@" >got
    same "$name_" got expected
    state "$name_/state"
}
# refuse NAME WORDS COMMAND...: passes if the command fails, not by a signal or after a timeout, and its messages match WORDS.
refuse() {
    name_=$1 words_=$2
    shift 2
    "$@" >/dev/null
    status=$?
    if [ $status = 0 ] || [ $status = 124 ] || { [ $status -gt 127 ] && [ $status -lt 160 ]; }; then
        fault "$name_" "status $status"
    elif grep -q "$words_" err; then
        pass "$name_"
    else
        fault "$name_" "no '$words_' in its messages"
    fi
}
source=testsrc2=r=7:d=2:s=162x122

# ---- every format that libavutil's CUDA device and the engine have ----

for format in nv12 yuv420p yuva420p yuv444p p010 p016 yuv444p16 bgr0 rgb0; do
    equal "format/$format" $source $format colorize=model.bin
    check "format/$format/count" [ "$(wc -l <got)" = 14 ]
    run error $source,format=$format null >grey
    cut -d, -f6 got | sort >a
    cut -d, -f6 grey | sort >b
    check "format/$format/every_frame_is_changed" [ "$(comm -12 a b | wc -l)" = 0 ]
done
run error $source,format=yuv420p hwupload,colorize=model.bin,hwdownload,format=yuv420p,extractplanes=y >got
run error $source,format=yuv420p extractplanes=y >expected
same format/luma_is_kept got expected
# A pool of odd height has overlapping planes in libavutil 5.1, and its copies leave out the last row of chroma.
odd=testsrc2=r=7:d=1:s=164x124
for format in yuv420p nv12 yuv444p; do
    cut=format=$format,crop=163:123:0:0:exact=1 even=crop=162:122:0:0:exact=1
    run error $odd,$cut colorize=model.bin,$even >expected
    run error $odd,$cut hwupload,colorize=model.bin,hwdownload,format=$format,$even >got
    same "format/$format/odd_size" got expected
    state "format/$format/odd_size/state"
done
equal format/two_pixels_high testsrc2=r=7:d=1:s=64x2 nv12 colorize=model.bin

# ---- order, options, other filters, devices ----

for batch in 1 3 64; do equal "batch/$batch" $source yuv420p colorize=model.bin:batch=$batch; done
equal timeline/enable $source nv12 "colorize=model.bin:batch=3:enable='between(t,0.5,1.2)'"
equal timeline/command $source yuv444p \
    "sendcmd=c='0.6 colorize strength 0.2; 1.3 colorize saturation 2',colorize=model.bin:batch=3"
equal timeline/gaps_in_pts "$source,select='not(eq(mod(n,4),1))'" yuv420p colorize=model.bin:batch=3 -fps_mode passthrough
equal options/out_range_full $source yuv420p colorize=model.bin:out_range=full
equal options/auto_device $source nv12 colorize=model.bin:device=auto
run error $source,format=nv12 colorize=model.bin >expected
for name in cuda cuda:0 cuda/0; do
    run error $source,format=nv12 "hwupload,colorize=model.bin:device='$name',hwdownload,format=nv12" >got
    same "options/device_$name" got expected
done
equal chain/two_of_them $source yuv444p "colorize=model.bin:batch=2,colorize=model.bin:strength=0.5"
run error $source,format=yuv420p "split[a][b];[a]colorize=model.bin[c];[c][b]vstack" >expected
run error $source,format=yuv420p \
    "hwupload,split[a][b];[a]colorize=model.bin,hwdownload,format=yuv420p[c];[b]hwdownload,format=yuv420p[d];[c][d]vstack" >got
same chain/shared_input_frames_are_not_written got expected
state chain/shared_input_frames_are_not_written/state
for tags in setparams=range=pc:colorspace=bt2020nc null; do
    run info $source,format=yuv420p "$tags,colorize=model.bin,showinfo" >expected
    grep -o 'Parsed_showinfo.*' err | grep -o ' \(s\|sar\|color_[a-z]*\):[^ ]*' >tags.expected
    run info $source,format=yuv420p "$tags,hwupload,colorize=model.bin,hwdownload,format=yuv420p,showinfo" >got
    grep -o 'Parsed_showinfo.*' err | grep -o ' \(s\|sar\|color_[a-z]*\):[^ ]*' >tags.got
    same "tags/${tags%%=*}" tags.got tags.expected
done
device=cuda=c:0,primary_ctx=1
equal device/primary_context $source nv12 colorize=model.bin
device=cuda=c

# ---- frames in host memory: the application's device and stream are used where the options allow ----

run error $source,format=nv12 hwupload,colorize=model.bin,hwdownload,format=nv12 >expected
run verbose $source,format=nv12 colorize=model.bin >got
same host_frames/on_the_application\'s_device got expected
check host_frames/on_the_application\'s_device/said grep -q 'colouring with stub cuda,' err
for name in cuda auto; do
    run verbose $source,format=nv12 colorize=model.bin:device=$name >got
    check "host_frames/device_$name" grep -q 'colouring with stub cuda,' err
    same "host_frames/device_$name/frames" got expected
done
run verbose $source,format=nv12 colorize=model.bin:device=cpu >got
check host_frames/device_cpu_is_another grep -q 'colouring with stub,' err
COLORIZE_STUB_NO_CUDA=1 run verbose $source,format=nv12 colorize=model.bin >got
check host_frames/engine_without_cuda grep -q 'colouring with stub,' err
same host_frames/engine_without_cuda/frames got expected

# ---- the frames that are held: those in the stream (3 batches), none of the input's ----

run error testsrc2=r=25:d=4:s=64x32,format=nv12 hwupload,colorize=model.bin:batch=8,hwdownload,format=nv12 >got
check held/count [ "$(wc -l <got)" = 100 ]
state held/no_input_frames $((3 * 8 + 4))

# ---- the end: early, late, in the middle ----

for options in '-frames:v 3' '-t 1' '-frames:v 1'; do
    for batch in 0 1 8; do
        run error testsrc2=r=7:d=4:s=162x122,format=nv12 colorize=model.bin:batch=$batch $options >expected
        run error testsrc2=r=7:d=4:s=162x122,format=nv12 \
            hwupload,colorize=model.bin:batch=$batch,hwdownload,format=nv12 $options >got
        same "end/$options/batch_$batch" got expected
        state "end/$options/batch_$batch/state"
    done
done
run error testsrc2=r=7:d=0.1:s=162x122,format=nv12 hwupload,colorize=model.bin:batch=8,hwdownload,format=nv12 >got
check end/film_of_one_frame [ "$(wc -l <got)" = 1 ]
run warning testsrc2=r=7:d=2:s=162x122,format=nv12,trim=end_frame=0 hwupload,colorize=model.bin,hwdownload,format=nv12 >got
check end/film_without_frames [ ! -s got ]
state_of_failed end/film_without_frames/state

for size in 160x120 96x64 176x144; do
    "$ours/ffmpeg" -nostdin -v error -f lavfi -i testsrc2=r=25:d=0.4:s=$size -c:v mpeg2video -bf 0 -qscale:v 2 -f mpeg2video \
        -y $size.m2v
done
cat 160x120.m2v 96x64.m2v 176x144.m2v >sizes.m2v
sized() {
    rm -f report
    "$ours/ffmpeg" -nostdin -v warning -init_hw_device cuda=c -filter_hw_device c $2 -i sizes.m2v -vf "$1" -fps_mode passthrough \
        -autoscale 0 -c:v rawvideo -f framemd5 - 2>err >frames
    status=$?
    grep -v '^#' frames
    return $status
}
sized colorize=model.bin:batch=1 '' >expected
sized hwupload,colorize=model.bin:batch=1,hwdownload,format=yuv420p '' >got
same size_change/rebuilt_graph_with_batch_1_loses_none got expected
state size_change/rebuilt_graph_with_batch_1_loses_none/state
sized hwupload,colorize=model.bin:batch=4,hwdownload,format=yuv420p '' >got
check size_change/rebuilt_graph_says_what_is_lost grep -q "inside were not asked for" err
state size_change/rebuilt_graph_says_what_is_lost/state
refuse size_change/reinit_filter_0 "has changed from 160x120 yuv420p to 96x64 yuv420p" \
    sized hwupload,colorize=model.bin,hwdownload,format=yuv420p '-reinit_filter 0'

# ---- what is refused, and in which words ----

for name in cpu ref; do
    refuse "refused/device_$name" "device=$name cannot colour CUDA frames: .* hwdownload,format=nv12" \
        run error $source,format=nv12 hwupload,colorize=model.bin:device=$name,hwdownload,format=nv12
    state_of_failed "refused/device_$name/state"
done
without_cuda() { COLORIZE_STUB_NO_CUDA=1 run error $source,format=nv12 hwupload,colorize=model.bin,hwdownload,format=nv12; }
refuse refused/engine_without_cuda "the engine cannot colour CUDA frames here .* hwdownload,format=nv12" without_cuda
state_of_failed refused/engine_without_cuda/state
without_nv12() {
    COLORIZE_LIBRARY=$dir/without_nv12.so run error $source,format=nv12 hwupload,colorize=model.bin,hwdownload,format=nv12
}
refuse refused/format "format nv12 cannot be coloured; supported are: yuv420p yuva420p yuv444p p010le" without_nv12
state_of_failed refused/format/state
refuse refused/without_a_model "Impossible to convert\|Function not implemented" \
    run error $source,format=nv12 hwupload,colorize=120,hwdownload,format=nv12
refuse refused/uncoloured_frame "could not be coloured" \
    run error $source,format=nv12 hwupload,colorize=fail6.bin:batch=1,hwdownload,format=nv12 -xerror
state_of_failed refused/uncoloured_frame/state
real=$BUILD/libcolorize.so.0
if [ -e "$real" ] && [ -e "$SRC/samples/model.bin" ]; then
    cp "$SRC/samples/model.bin" real.bin
    real_engine() { COLORIZE_LIBRARY=$real run error $source,format=nv12 hwupload,colorize=real.bin,hwdownload,format=nv12; }
    refuse refused/real_engine_on_this_driver "the engine cannot colour CUDA frames here" real_engine
    state_of_failed refused/real_engine_on_this_driver/state
fi

# ---- no device, and a driver that breaks: an error, no crash, no endless wait ----

broken() {
    FAKECUDA_FAIL=$1 timeout 20 "$ours/ffmpeg" -nostdin -v error -xerror -init_hw_device cuda=c -filter_hw_device c -f lavfi \
        -i testsrc2=r=25:d=2:s=162x122,format=nv12 -vf hwupload,colorize=model.bin,hwdownload,format=nv12 -f framemd5 - 2>err
}
no_device() { FAKECUDA_NODEVICE=1 run error $source,format=nv12 hwupload,colorize=model.bin,hwdownload,format=nv12; }
refuse broken/no_device "FAKE_ERROR\|Device creation failed" no_device
host_frames() { FAKECUDA_NODEVICE=1 "$ours/ffmpeg" -nostdin -v error -f lavfi -i $source -vf colorize=model.bin -f null - 2>err; }
check broken/no_device/host_frames_are_coloured host_frames
refuse broken/no_context . broken cuCtxCreate_v2:1
for n in 1 2 5 9; do
    rm -f report
    refuse "broken/memory_$n" . broken cuMemAlloc_v2:$n
    state_of_failed "broken/memory_$n/state"
done
broken cuMemAlloc_v2:5 >/dev/null
check broken/memory_message grep -q "no CUDA memory for a frame of 162x122 nv12\|Cannot allocate memory" err
for n in 3 9 30; do refuse "broken/push_$n" . broken cuCtxPushCurrent_v2:$n; done
for n in 1 8 30; do refuse "broken/copy_$n" . broken copy:$n; done

echo "$cases cases, $failed failed"
[ $failed = 0 ]
