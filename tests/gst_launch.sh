#!/bin/sh
# gst_launch.sh - tests the GStreamer element with gst-inspect and gst-launch: its properties, error messages, the examples of
# doc/gst.md, films with sound through real codecs, output equal to that of the FFmpeg filter in every format, and memory leaks.
set -u
: "${BUILD:?the build folder}" "${SRC:?the source root}"
BUILD=$(cd "$BUILD" && pwd) SRC=$(cd "$SRC" && pwd)
[ -e "$BUILD/gst/libgstcolorize.so" ] || { echo "skip there is no $BUILD/gst/libgstcolorize.so"; exit 77; }
! nm -D "$BUILD/gst/libgstcolorize.so" | grep -q "__[at]san_init" || {
    echo "skip the plugin is built with a sanitizer, which gst-launch does not load"; exit 77
}
command -v gst-launch-1.0 >/dev/null || { echo "skip gst-launch-1.0 is missing: package gstreamer1.0-tools"; exit 77; }
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
GST_PLUGIN_PATH=$BUILD/gst GST_REGISTRY=$dir/registry.bin       # does not change the user's registry
export GST_PLUGIN_PATH GST_REGISTRY
sh "$SRC/tests/make_model.sh" "$dir/model.bin" || exit 1
cd "$dir" || exit 1

cases=0 failed=0
# check NAME COMMAND...: passes if the command succeeds; otherwise prints the first lines of the file err.
check() {
    cases=$((cases + 1)) name=$1; shift
    if "$@"; then echo "ok   launch/$name"
    else failed=$((failed + 1)); echo "FAIL launch/$name: false: $*"; [ ! -s err ] || head -n 6 err | sed 's/^/  | /'; fi
}
launch() { timeout 120 gst-launch-1.0 -q "$@" >out 2>err; }
# refused PATTERN PIPELINE...: true if the pipeline fails and its error messages match the pattern.
refused() { words=$1; shift; if launch "$@"; then return 1; fi; grep -q "$words" err; }
frames() { ffprobe -v error -count_frames -select_streams v -show_entries stream=nb_read_frames -of csv=p=0 "$1"; }
has() { gst-inspect-1.0 "$1" >/dev/null 2>&1; }

# ---- gst-inspect ----

gst-inspect-1.0 colorize >inspect 2>err
for property in model device precision batch size strength saturation luma threads range out-range matrix siting bars qos; do
    check "inspect/$property" grep -q "^  $property  *: " inspect
done
check inspect/interlaced grep -q '^  interlaced  *: ' inspect
check inspect/saved-runs grep -q '^  saved-runs  *: ' inspect
check inspect/dropped grep -q '^  dropped  *: ' inspect
check inspect/klass grep -q 'Klass *Filter/Effect/Video' inspect
check inspect/controllable [ "$(grep -c 'controllable' inspect)" = 3 ]

# Filter and element have the same options, limits, defaults, values and texts: lines "option|text|limits|default" and
# "option.value|number|text", without the options that only one of them has, and without saturation's default.
filter_options() {
    awk '
        function text() { t = $0; sub(/^ *[^ ]+ +[^ ]+ +[^ ]+ /, "", t); return t }
        / <[a-z]+> / {
            option = $1; t = text(); limits = initial = ""
            if (match(t, / \(default .*\)$/)) { initial = substr(t, RSTART + 10, RLENGTH - 11); t = substr(t, 1, RSTART - 1) }
            if (match(t, / \(from .* to .*\)$/)) { limits = substr(t, RSTART + 7, RLENGTH - 8); t = substr(t, 1, RSTART - 1) }
            gsub(/"/, "", initial); sub(/ to /, "-", limits)
            if (initial ~ /^[a-z]/ && initial != "nan") limits = ""                 # an enum
            print option "|" t "|" limits "|" (option == "saturation" ? "" : initial)
        }
        $3 ~ /^\.\./ && $2 ~ /^[0-9]+$/ { print option "." $1 "|" $2 "|" text() }' | grep -Ev '^(lightness|mix|hue|library)[|.]'
}
element_options() {
    awk '
        function put(limits, initial) { print option "|" help "|" limits "|" (option == "saturation" ? "" : initial) }
        function initial() { t = $0; sub(/.*Default: */, "", t); gsub(/[" ]/, "", t); return t }
        /^  [a-z-]+ +: / { option = $1; gsub(/-/, "_", option); help = $0; sub(/^  [a-z-]+ +: /, "", help) }
        / (Integer|Double)\. Range/ {
            t = $0; sub(/.*Range:/, "", t); sub(/Default.*/, "", t); gsub(/ /, "", t); put(t, initial())
        }
        / String\. / { put("", /Default: null/ ? "" : initial()) }
        / Enum / { put("", substr(initial(), index(initial(), ",") + 1)) }
        /^ +\([0-9]+\): / {
            t = $0; sub(/^ +\([0-9]+\): [a-z0-9]+ +- /, "", t); number = $1; gsub(/[():]/, "", number)
            print option "." $2 "|" number "|" t
        }' | grep -Ev '^name[|.]'
}
sed -n '/^Element Properties/,$p' inspect | element_options | sort >options.element
if [ -x "$BUILD/filter/ffmpeg" ]; then
    "$BUILD/filter/ffmpeg" -v error -h filter=colorize 2>err | filter_options | sort >options.filter
    diff options.filter options.element >err
    check inspect/options_are_those_of_the_filter [ ! -s err -a "$(grep -c '^[a-z_0-9]*|' options.filter)" -ge 14 ]
fi
# doc/gst.md and doc/filter.md have a row for every option.
for option in $(sed -n 's/^\([a-z_]*\)|.*/\1/p' options.element); do
    for doc in filter gst; do
        property=$option
        [ $doc = filter ] || property=$(echo $option | tr _ -)
        check "doc/$doc/$option" grep -qE "^\| ([a-z_, -]*, )?$property(, [a-z_, -]*)? \|" "$SRC/doc/$doc.md"
    done
done

# ---- errors ----

check error/missing_model refused '/no/such.bin: No such file' videotestsrc num-buffers=3 ! colorize model=/no/such.bin ! fakesink
check error/no_model refused 'property "model"' videotestsrc num-buffers=3 ! colorize ! fakesink
printf '%s\n' 'lines:' '- {from: 0.04, to: 0.12, strength: 3}' >sheet.yaml
check error/bad_sheet refused 'sheet.yaml:2: strength: .*"3.* is not a number' videotestsrc num-buffers=3 ! \
    colorize model=model.bin sheet=sheet.yaml ! fakesink
sed -i 's/strength: 3/skip: true/' sheet.yaml
for sheet in '' sheet=sheet.yaml; do
    launch videotestsrc num-buffers=5 pattern=smpte ! video/x-raw,format=I420,width=64,height=48,framerate=25/1 ! \
        colorize model=model.bin stabilize=0 $sheet ! filesink location="film$sheet.raw"
done
changed=$(cmp -l film.raw filmsheet=sheet.yaml.raw | awk '{ print int(($1 - 1) / 4608) }' | sort -u | tr '\n' ' ')
check film/sheet [ "$changed" = "1 2 " ]
head -c 1000 model.bin >short.bin
check error/short_model refused 'short.bin' videotestsrc num-buffers=3 ! colorize model=short.bin ! fakesink
check error/packed_yuv refused 'not-negotiated\|could not link\|Internal data stream' videotestsrc num-buffers=3 ! \
    video/x-raw,format=YUY2 ! colorize model=model.bin ! fakesink
check error/fields_in_buffers refused 'deinterlace' videotestsrc num-buffers=3 ! 'video/x-raw,interlace-mode=fields' ! \
    colorize model=model.bin ! fakesink
check film/flagged_as_interlaced launch videotestsrc num-buffers=3 ! 'video/x-raw,interlace-mode=interleaved' ! \
    colorize model=model.bin ! fakesink
check error/broken_film refused '' filesrc location=short.bin ! decodebin ! colorize model=model.bin ! fakesink

# ---- films ----

ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=320x180:r=25:d=2 -f lavfi -i sine=d=2 -vf format=gray,format=yuv420p \
    -c:v libx264 -preset ultrafast -c:a aac film.mkv
if has x264enc && has mp4mux && has avdec_h264; then
    check film/with_sound launch filesrc location=film.mkv ! decodebin name=d d. ! queue ! videoconvert ! \
        colorize model=model.bin ! x264enc ! queue ! mp4mux name=m ! filesink location=out.mp4 \
        d. ! queue ! audioconvert ! avenc_aac ! m.
    check film/all_frames [ "$(frames out.mp4)" = 50 ]
    check film/sound [ "$(ffprobe -v error -select_streams a -show_entries stream=codec_name -of csv=p=0 out.mp4)" = aac ]
    # The examples of doc/gst.md, run on this film.
    sed -n 's/^    \(gst-launch-1.0 .*\)/\1/p' "$SRC/doc/gst.md" | grep -v 'v4l2src\|autovideosink\|nvh264' >examples
    check doc/has_examples [ "$(wc -l <examples)" -ge 4 ]
    number=0
    while read -r line; do
        number=$((number + 1))
        check "doc/example_$number" timeout 120 sh -c "$line >out 2>err"
    done <examples
else
    echo "  x264enc, mp4mux or avdec_h264 is missing: films and examples are not tested"
fi
check film/small_pool launch videotestsrc num-buffers=60 ! video/x-raw,format=NV12,width=64,height=48 ! colorize model=model.bin \
    batch=16 ! fakesink
check film/shared_by_tee launch videotestsrc num-buffers=20 ! video/x-raw,format=I420,width=64,height=48 ! tee name=t \
    t. ! queue ! colorize model=model.bin batch=4 ! fakesink t. ! queue ! colorize model=model.bin batch=3 strength=0.5 ! fakesink
check film/live launch videotestsrc is-live=true num-buffers=40 ! video/x-raw,format=I420,width=64,height=48,framerate=50/1 ! \
    colorize model=model.bin ! fakesink sync=true

# videoconvert must choose the YUV format that is closest to the film's format, not gray.
for pair in RGB:Y444 YV12:I420 YUY2:Y42B; do
    gst-launch-1.0 -v videotestsrc num-buffers=2 ! "video/x-raw,format=${pair%:*}" ! videoconvert ! \
        colorize name=c model=model.bin ! x264enc ! fakesink >out 2>err
    check "film/${pair%:*}_becomes_${pair#*:}" grep -q "GstColorize:c.GstPad:src: caps = .*format=(string)${pair#*:}," out
done
# With batch=16 the muxer receives the sound up to 48 frames before the picture. The queue is set as doc/gst.md recommends.
ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=64x48:r=25:d=20 -f lavfi -i sine=d=20 -pix_fmt yuv420p \
    -c:v libx264 -preset ultrafast -c:a aac long.mp4
check film/large_batch_with_sound launch filesrc location=long.mp4 ! qtdemux name=d d.video_0 ! queue ! avdec_h264 ! colorize \
    model=model.bin batch=16 ! x264enc tune=zerolatency ! queue ! mp4mux name=m ! filesink location=long-out.mp4 \
    d.audio_0 ! queue max-size-time=0 max-size-bytes=0 max-size-buffers=0 ! avdec_aac ! audioconvert ! avenc_aac ! m.
check film/large_batch_loses_none [ "$(frames long-out.mp4)" = 500 ]
# Only the first buffer of a film has the flag DISCONT, so the element drains at most once, at EOS.
GST_DEBUG_NO_COLOR=1 GST_DEBUG=colorize:5 timeout 120 gst-launch-1.0 -q videotestsrc num-buffers=40 ! \
    video/x-raw,format=I420,width=64,height=48 ! colorize model=model.bin batch=16 ! fakesink >out 2>err
check film/batches_fill [ "$(grep -c 'draining' err)" -le 1 ]

# ---- output equal to that of the FFmpeg filter ----

# equal NAME FFMPEG-FORMAT GSTREAMER-FORMAT "filter's options" "properties" [range [matrix]]: passes if the filter and the element
# give the same output for the same raw frames. The width is one at which neither pads the rows.
equal() {
    name=$1 av=$2 gst=$3 options=$4 set=$5 range=${6:-limited} matrix=${7:-smpte170m} tags=,colorimetry=
    case $range in limited) tags=${tags}2:; params=setparams=range=tv ;; *) tags=${tags}1:; params=setparams=range=pc ;; esac
    case $matrix in smpte170m) tags=${tags}4:0:0 ;; bt709) tags=${tags}3:0:0 ;; *) tags=${tags}6:0:0 ;; esac
    params=$params:colorspace=$matrix, tags=$tags,chroma-site=mpeg2 out=$av
    case $gst in GRAY*|RGB*|BGR*|GBR*|ARGB*|ABGR*) params='' tags='' ;; esac
    case $gst in GRAY8) out=yuv444p ;; GRAY16*) out=yuv444p16le ;; esac
    rm -f in.raw filter.raw element.raw
    ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=96x70:r=25 -frames:v 7 -pix_fmt "$av" -f rawvideo -y in.raw 2>err
    "$BUILD/filter/ffmpeg" -nostdin -v error -f rawvideo -pixel_format "$av" -video_size 96x70 -i in.raw \
        -vf "${params}colorize=model.bin$options" -pix_fmt "$out" -f rawvideo -y filter.raw 2>err
    # shellcheck disable=SC2086
    launch filesrc location=in.raw blocksize=$(($(stat -c %s in.raw) / 7)) ! \
        "video/x-raw,format=$gst,width=96,height=70,framerate=25/1$tags" ! colorize model=model.bin $set ! \
        filesink location=element.raw
    check "equal/$name" cmp filter.raw element.raw
}
if [ -x "$BUILD/filter/ffmpeg" ]; then
    # rows with a GStreamer name; BOTH rows in the byte order of x86
    sed -n -e 's/^    { "\([a-z0-9]*\)", *"\([A-Za-z0-9_]*\)".*/\1 \2/p' \
        -e 's/^    BOTH("\([a-z0-9]*\)", *"\([A-Za-z0-9_]*\)".*/\1le \2LE/p' "$SRC/engine/pixfmt.c" >formats
    check equal/formats_are_in_the_table [ "$(wc -l <formats)" -ge 30 ]
    while read -r av gst; do
        equal "$gst" "$av" "$gst" "" ""
    done <formats
    equal batch yuv420p I420 :batch=5 batch=5
    equal batch_differs yuv420p I420 :batch=1:window=2 "batch=3 window=2 threads=1"
    equal strength yuv420p I420 :strength=0.35:saturation=1.7 "strength=0.35 saturation=1.7"
    equal lstar yuv422p Y42B :luma=lstar luma=lstar
    rm -f film.answers
    equal answers yuv420p I420 :answers_out=film.answers:strength=0.5 "answers-in=film.answers strength=0.5"
    GST_DEBUG_NO_COLOR=1 GST_DEBUG=colorize:4 timeout 120 gst-launch-1.0 -q filesrc location=in.raw blocksize=10080 ! \
        video/x-raw,format=I420,width=96,height=70,framerate=25/1,colorimetry=2:4:0:0,chroma-site=mpeg2 ! \
        colorize model=model.bin answers-in=film.answers answers-out=element.answers ! fakesink >out 2>err
    check equal/answers_are_those_of_the_file grep -q 'answers: 7 frames from the file, 0 from the network; written' err
    # The buffers have no times, so records differ in that.
    check equal/answers_are_written_alike [ "$(wc -c <film.answers)" = "$(wc -c <element.answers)" ]
    equal f32 yuv444p Y444 :precision=f32 precision=f32
    equal size yuv420p I420 :size=96 size=96
    equal full yuv420p I420 "" "" full
    equal bt709 nv12 NV12 "" "" limited bt709
    equal bt2020 yuv420p10le I420_10LE "" "" limited bt2020nc
    equal overruled yuv420p I420 :range=full:matrix=bt709:siting=center "range=full matrix=bt709 siting=center"
    equal out_range_full yuv420p I420 :out_range=full out-range=full
    equal out_range_limited yuv422p Y42B :out_range=limited out-range=limited full
    equal out_range_rgb rgb24 RGB :out_range=limited out-range=limited
    equal gray_out_range_full gray GRAY8 :out_range=full out-range=full
    equal gray_out_range_limited gray16le GRAY16_LE :out_range=limited out-range=limited
    # Interlaced film: rows of two times in a frame, the top field first or the bottom field.
    for order in tff bff; do
        ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=96x72:r=50,format=yuv420p,interlace=lowpass=off:scan=$order -frames:v 5 \
            -f rawvideo -y in.raw 2>err
        case $order in tff) first=top ;; bff) first=bottom ;; esac
        for wish in auto progressive; do
            "$BUILD/filter/ffmpeg" -nostdin -v error -f rawvideo -pixel_format yuv420p -video_size 96x72 -i in.raw \
                -vf "setfield=$order,setparams=range=tv:colorspace=smpte170m,colorize=model.bin:stabilize=0:interlaced=$wish" \
                -f rawvideo -y filter-$wish.raw 2>err
            launch filesrc location=in.raw blocksize=$((96 * 72 * 3 / 2)) ! "video/x-raw,format=I420,width=96,height=72,\
framerate=25/1,colorimetry=2:4:0:0,chroma-site=mpeg2,interlace-mode=interleaved,field-order=$first-field-first" ! \
                colorize model=model.bin stabilize=0 interlaced=$wish ! filesink location=element-$wish.raw
            check "equal/interlaced_${order}_$wish" cmp filter-$wish.raw element-$wish.raw
        done
        cmp filter-auto.raw filter-progressive.raw >out
        check "equal/interlaced_${order}_is_not_progressive" [ $? = 1 ]
    done
    equal gray_overruled gray GRAY8 :range=limited:matrix=bt2020 "range=limited matrix=bt2020"
else
    echo "  there is no $BUILD/filter/ffmpeg: the output is not compared with the filter's"
fi

# A source that sends each picture three times.
GST_DEBUG_NO_COLOR=1 GST_DEBUG=colorize:4 timeout 120 gst-launch-1.0 -q videotestsrc num-buffers=4 pattern=ball ! \
    video/x-raw,format=I420,width=64,height=48,framerate=5/1 ! videorate ! video/x-raw,framerate=15/1 ! \
    colorize model=model.bin ! fakesink >out 2>err
check film/repetitions_are_counted grep -q ' [5-8] runs of the model were saved by repetitions' err

# ---- levels of gray film ----

# Eight steps of gray, each 40 pixels wide; black, 16, 235 and white among them, so that a wrong range is visible.
true_levels='0 16 60 110 160 210 235 255'
code=255
for step in 280:235 240:210 200:160 160:110 120:60 80:16 40:0; do code="if(lt(X\\,${step%:*})\\,${step#*:}\\,$code)"; done
ffmpeg -nostdin -v error -f lavfi -i "nullsrc=s=320x240:r=25:d=0.2,format=gray,geq=lum='$code'" -f rawvideo -y steps.raw 2>err
steps="filesrc location=steps.raw ! rawvideoparse format=gray8 width=320 height=240 framerate=25/1"

# near LEVELS FILE...: whether R of each step of the first frame, as ffmpeg shows it, is within 4 of LEVELS. 4: the largest
# deviation was 2 by the encoders' losses and by videoconvert, whose conversion to RGB is approximate. A wrong range is 16 off.
near() {
    want=$1; shift
    ffmpeg -nostdin -v error "$@" -vf format=rgb24,scale=8:1:flags=area,format=gbrp,extractplanes=r -frames:v 1 \
        -f rawvideo - 2>err | od -An -v -tu1 -w8 | awk -v want="$want" -v name="$name" '
            { split(want, w); for (i = 1; i <= 8; i++) if ($i - w[i] > 4 || w[i] - $i > 4) wrong = 1 }
            END { if (NR == 1 && !wrong) exit 0; print "  " name ": levels " $0; exit 1 }'
}
# levels NAME FILE-ENDING RANGE "properties" PIPELINE...: a file of gray steps, made by the element and the pipeline, must look
# like the source when ffmpeg and when GStreamer decode it. RANGE: what ffprobe must call the range of the file, "" for any.
levels() {
    film=$1 end=$2 range=$3 set=$4; shift 4
    for element in $(echo "$*" | tr ' ' '\n' | grep -E '^(avenc_[a-z0-9]+|[a-z0-9]+(enc|mux))$'); do
        has $element || { echo "  $element is missing: the levels of $film are not tested"; return; }
    done
    rm -f steps.$end decoded.raw
    # shellcheck disable=SC2086
    launch $steps ! colorize model=model.bin strength=0 $set ! "$@" ! filesink location=steps.$end
    check "levels/$film/ffmpeg" near "$true_levels" -i steps.$end
    [ -z "$range" ] || check "levels/$film/range" [ "$(ffprobe -v error -select_streams v -show_entries stream=color_range \
        -of csv=p=0 steps.$end)" = $range ]
    launch filesrc location=steps.$end ! decodebin ! videoconvert ! video/x-raw,format=RGB ! filesink location=decoded.raw
    check "levels/$film/gstreamer" near "$true_levels" -f rawvideo -pixel_format rgb24 -video_size 320x240 -i decoded.raw
}
levels x264enc_in_matroska mkv pc "" x264enc pass=quant quantizer=4 ! matroskamux
levels x264enc_in_mp4 mp4 tv "" x264enc pass=quant quantizer=4 ! mp4mux
levels x264enc_in_mov mov tv "" x264enc pass=quant quantizer=4 ! qtmux
levels x264enc_in_a_bin mkv pc "" queue ! bin.\( identity ! x264enc pass=quant quantizer=4 \) ! matroskamux
levels x264enc_behind_videoconvert mkv "" "" videoconvert ! video/x-raw,format=I420 ! x264enc pass=quant quantizer=4 ! matroskamux
levels x264enc_with_out_range_limited mkv tv out-range=limited x264enc pass=quant quantizer=4 ! matroskamux
levels vp9enc webm pc "" vp9enc min-quantizer=1 max-quantizer=4 deadline=1 ! webmmux
levels vp8enc webm tv "" vp8enc min-quantizer=1 max-quantizer=4 deadline=1 ! webmmux
levels theoraenc ogg "" "" theoraenc quality=63 ! oggmux
levels jpegenc avi pc "" jpegenc quality=100 ! avimux
levels jpegenc_as_files jpg pc "" jpegenc quality=100
levels pngenc png pc "" pngenc
levels y4menc y4m "" "" y4menc
levels avenc_mjpeg avi pc "" avenc_mjpeg bitrate=20000000 ! avimux
levels avenc_mpeg4 avi "" "" avenc_mpeg4 bitrate=20000000 ! avimux
levels avenc_msmpeg4 avi "" "" avenc_msmpeg4 bitrate=20000000 ! avimux
levels avenc_huffyuv avi "" "" avenc_huffyuv ! avimux
levels avenc_ffv1_in_matroska mkv tv "" avenc_ffv1 ! matroskamux
levels avenc_ffv1_of_full_range mkv pc out-range=full avenc_ffv1 ! matroskamux
if has x264enc && has matroskamux; then
    # shellcheck disable=SC2086
    launch $steps ! colorize model=model.bin strength=0 ! x264enc pass=quant quantizer=0 ! matroskamux ! \
        filesink location=exact.mkv
    ffmpeg -nostdin -v error -i exact.mkv -vf extractplanes=y -f rawvideo -y exact.raw 2>err
    check levels/luma_bit_for_bit_with_x264enc cmp exact.raw steps.raw
fi
# What was done is logged once per caps.
GST_DEBUG_NO_COLOR=1 GST_DEBUG=colorize:4 timeout 120 gst-launch-1.0 -q videotestsrc num-buffers=9 ! \
    video/x-raw,format=GRAY8,width=64,height=48 ! colorize model=model.bin ! fakesink >out 2>err
check levels/is_logged_once [ "$(grep -c 'GRAY8 becomes Y444 of limited range.*out-range=full' err)" = 1 ]

# ---- leaks ----

GST_TRACERS=leaks GST_DEBUG=GST_TRACER:7 timeout 120 gst-launch-1.0 -q videotestsrc num-buffers=30 ! \
    video/x-raw,format=GRAY8,width=64,height=48 ! colorize model=model.bin batch=4 ! fakesink >out 2>err
check leaks/tracer_saw_the_end [ $? = 0 ]
check leaks/none [ "$(grep -c "object-alive, type-name=(string)[A-Z]" err)" = 0 ]

echo "$cases cases, $failed failed"
[ $failed = 0 ]
