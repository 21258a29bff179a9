#!/bin/sh
# filter.sh - tests the filter in the installed ffmpeg: without a model it and all other filters equal the stock library's; with
# a model, the order and number of frames, the timeline and the errors are tested exactly with the stand-in engine of
# stub_colorize.c, then luma and number of frames with the real engine and model if both exist. Needs BUILD/filter, made by
# filter/build-lavfi.sh.
#
# The table filter_table.txt contains the references for results that are bit-exact. GEN=1 prints it anew instead of comparing.
set -u
: "${SRC:?the source root}"
. "$SRC/tests/filter_setup.sh"
echo bad >bad.bin
echo fail6 >fail6.bin

ffmpeg() { "$ours/ffmpeg" -nostdin -v error "$@" 2>err; }
loud() { "$ours/ffmpeg" -nostdin -hide_banner "$@" 2>err; }
stock() { LD_LIBRARY_PATH=$stockdir "$program" -nostdin -v error "$@" 2>err; }
# sums COMMAND SOURCE FILTER [OPTIONS...]: a line for each frame, with its pts, duration, size and md5.
sums() { run_=$1 in_=$2 filter_=$3; shift 3; $run_ -f lavfi -i "$in_" -vf "$filter_" "$@" -f framemd5 - | grep -v '^#'; }
hashes() { sed 's/.*, *//'; }

cases=0 failed=0
pass() { cases=$((cases + 1)); echo "ok   filter/$1"; }
fault() {
    cases=$((cases + 1)) failed=$((failed + 1))
    echo "FAIL filter/$1"; shift
    [ $# = 0 ] || echo "  $*"
    [ ! -s err ] || head -n 6 err | sed 's/^/  | /'
}
check() { name=$1; shift; if "$@"; then pass "$name"; else fault "$name" "false: $*"; fi; }
same() { name=$1; if [ -s "$2" ] && cmp -s "$2" "$3"; then pass "$name"; else fault "$name" "$(diff "$2" "$3" | head -n 4)"; fi; }
# refuse NAME WORDS COMMAND...: passes if the command fails and its messages match WORDS.
refuse() {
    name=$1 words=$2; shift 2
    if "$@" >out; then fault "$name" "did not fail"
    elif grep -q "$words" err; then pass "$name"
    else fault "$name" "no '$words' in its messages"; fi
}

# ---- the table ----

while IFS='|' read -r name source filter want; do
    case $name in ''|'#'*) [ -z "${GEN:-}" ] || echo "$name${source:+|$source|$filter|$want}"; continue ;; esac
    name=$(echo $name) want=$(echo $want)
    source=$(echo "$source" | sed 's/^ *//; s/ *$//') filter=$(echo "$filter" | sed 's/^ *//; s/ *$//')
    sums ffmpeg "$source" "$filter" >got
    if [ "$want" = stock ]; then
        [ -n "${GEN:-}" ] && { echo "$name | $source | $filter | stock"; continue; }
        sums stock "$source" "$filter" >expected
        same "table/$name" got expected
    else
        sum=$(md5sum <got | cut -c1-32)
        [ -n "${GEN:-}" ] && { echo "$name | $source | $filter | $sum"; continue; }
        if [ -s got ] && [ "$sum" = "$want" ]; then pass "table/$name"; else fault "table/$name" "md5 $sum, should be $want"; fi
    fi
done <"$SRC/tests/filter_table.txt"
[ -z "${GEN:-}" ] || exit 0
source=testsrc2=r=7:d=2:s=162x122        # of the tests from here on

# ---- the library beside the stock one ----

LD_LIBRARY_PATH=$stockdir "$program" -v quiet -filters | awk 'NF > 3 && $3 ~ /->/ { print $2 }' | sort >filters.stock
"$ours/ffmpeg" -v quiet -filters | awk 'NF > 3 && $3 ~ /->/ { print $2 }' | sort >filters.ours
sort "$ours/out/missing" filters.ours >filters.all
same library/filters_are_the_stock_ones_but_for_those_reported filters.all filters.stock
nm -D --defined-only "$stockdir/$soname" | awk '$2 != "A" { print $3 }' | sort >exports.stock
nm -D --defined-only "$ours/out/$soname" | awk '$2 != "A" { print $3 }' | sort >exports.ours
same library/exports_are_equal exports.ours exports.stock
for filter in hue=s=0.5 gblur eq=contrast=1.2 yadif scale=80:60 crop=100:80 transpose vflip curves=vintage unsharp; do
    sums stock testsrc2=r=5:d=1:s=162x122,format=yuv420p "$filter" >expected
    sums ffmpeg testsrc2=r=5:d=1:s=162x122,format=yuv420p "$filter" >got
    same "library/stock_filter_${filter%%=*}" got expected
done
"$ours/ffmpeg" -v error -h filter=colorize >help 2>err
for option in model device precision batch size strength saturation luma threads hue lightness mix range out_range matrix siting \
    bars library transfer qc verify answers_out answers_in interlaced repeats; do
    check "help/$option" grep -q "^ *$option  *<" help
done
check help/timeline grep -q "timeline through the 'enable' option" help

# ---- model mode: every format and batch; luma, count, order, pts ----

for format in yuv420p yuv422p yuv444p yuvj420p yuvj422p yuvj444p yuv420p10 yuv422p10 yuv444p10 yuv420p12 yuv422p12 \
              yuv444p12 yuv420p16 yuv422p16 yuv444p16 nv12 p010 p016 gray gray10 gray12 gray16; do
    sums ffmpeg $source,format=$format colorize=model.bin:batch=1 >one
    sums ffmpeg $source,format=$format null >grey
    check "model/$format/count" [ "$(wc -l <one)" = 14 ]
    hashes <one | sort >a; hashes <grey | sort >b
    check "model/$format/every_frame_is_changed" [ "$(comm -12 a b | wc -l)" = 0 ]
    cut -d, -f1-4 <one >a; cut -d, -f1-4 <grey >b
    same "model/$format/pts" a b
    for batch in 3 4 7 64; do
        sums ffmpeg $source,format=$format colorize=model.bin:batch=$batch >got
        same "model/$format/batch_$batch" got one
    done
    # Luma is the first plane of a raw frame. A raw file does not signal a range, so gray would become limited by default.
    case $format in nv12) bytes=1 ;; *1[026]) bytes=2 ;; *) bytes=1 ;; esac
    case $format in gray*) range=:out_range=full ;; *) range= ;; esac
    ffmpeg -f lavfi -i $source,format=$format -frames:v 1 -f rawvideo -y in.raw
    ffmpeg -f lavfi -i $source,format=$format -vf colorize=model.bin$range -frames:v 1 -f rawvideo -y out.raw
    check "model/$format/luma_bit_for_bit" cmp -s -n $((162 * 122 * bytes)) in.raw out.raw
done
for format in yuv420p yuv444p10; do
    sums ffmpeg $source,format=$format colorize=model.bin,extractplanes=y >got
    sums ffmpeg $source,format=$format extractplanes=y >expected
    same "model/$format/luma_of_all_frames" got expected
done

# ---- the source's own format: no scaler before the filter; only gray changes its format ----

# Prints the number of log lines about an inserted scaler, and the output format.
formats_of() {
    loud -v verbose -f lavfi -i "$source,format=$1" -vf "colorize=model.bin$2" -frames:v 1 -f null -
    sed -n '/Stream mapping/,$p' err | grep -c auto_scale
    sed -n "s/.* Video: wrapped_avframe.*, \\([a-z0-9]*\\)(.*, [0-9]*x[0-9]*.*/\\1/p" err | tail -n 1
    : >err
}
for format in gray9 gray14 gray9be gray10be gray12be gray14be gray16be ya8 ya16 ya16be yuv420p9 yuv444p14 yuv422p16be \
              yuva420p yuva422p yuva444p yuva420p9 yuva422p10 yuva444p10be yuva444p12 yuva420p16 yuva444p16be \
              gbrp gbrp9 gbrp10 gbrp12be gbrp14 gbrp16 gbrap gbrap10 gbrap12 gbrap16be rgb24 bgr24 rgb48 rgb48be bgr48 \
              rgba bgra argb abgr rgb0 0bgr rgba64 rgba64be bgra64; do
    case $format in
    gray*|ya*) plane=y gives=yuv420p${format#gray} range=:out_range=full ;;
    gbr*|rgb*|bgr*|argb|abgr|0bgr) plane=g gives=$format range= ;;
    *) plane=y gives=$format range= ;;
    esac
    case $format in ya8) gives=yuva420p ;; ya16*) gives=yuva420p16 ;; gray) gives=yuv420p ;; esac
    case $gives in *[0-9]be|*le) ;; *9|*1[0246]|*48|*64) gives=${gives}le ;; esac
    case $format in gray*be|ya*be) gives=${gives%be}; gives=${gives%le}le ;; esac
    # extractplanes does not take all packed formats; format= unpacks them and swaps bytes, and changes no sample.
    case $format in
    rgb24|bgr24|rgb0|0bgr) planar=gbrp ;; rgba|bgra|argb|abgr) planar=gbrap ;; rgb48*|bgr48) planar=gbrp16 ;;
    rgba64*|bgra64) planar=gbrap16 ;; gray*|ya*) planar=$gives ;; *) planar=$format ;;
    esac
    case $format in gray*be) own=${format%be} ;; ya16be) own=ya16 ;; *) own=$planar ;; esac
    case $format in gray*) own=${format%be} ;; ya8) own=ya8 ;; ya16*) own=ya16 ;; esac
    check "formats/$format" [ "$(formats_of "$format" "$range" | tr '\n' ' ')" = "0 $gives " ]
    sums ffmpeg $source,format=$format colorize=model.bin$range,format=$planar,extractplanes=$plane >got
    sums ffmpeg $source,format=$format format=$own,extractplanes=$plane >expected
    same "formats/$format/luma" got expected
    case $format in
    ya*|yuva*|gbrap*|rgba*|bgra*|argb|abgr)
        pattern="geq=lum=p(X\,Y):a=mod(X*7+Y*3\,256),format=$format"
        sums ffmpeg $source,format=$format "$pattern,colorize=model.bin$range,format=$planar,extractplanes=a" >got
        sums ffmpeg $source,format=$format "$pattern,format=$planar,extractplanes=a" >expected
        same "formats/$format/alpha" got expected ;;
    esac
done
# A scaler before the filter outputs the source's format, not another one of the filter's list.
for format in gray gray10 gray16 gray16be yuv422p10 gbrp12 rgb24; do
    ffmpeg -f lavfi -i testsrc2=r=5:d=1:s=162x122,format=$format -c:v rawvideo -y scaled.nut
    ffmpeg -i scaled.nut -vf "scale=90:-2,showinfo,colorize=model.bin:out_range=full" -f null - -loglevel info
    scaled=$(sed -n 's/.* fmt:\([a-z0-9]*\) .*/\1/p' err | sort -u | sed 's/le$//')
    check "formats/scale_before_keeps_$format" [ "$scaled" = $format ]
    : >err
done
ffmpeg -f lavfi -i testsrc2=r=5:d=1:s=162x122,format=gray16 -c:v ffv1 -y scaled.mkv
ffmpeg -i scaled.mkv -vf scale=90:-2,colorize=model.bin:out_range=full,extractplanes=y -f framemd5 - | grep -v '^#' >got
ffmpeg -i scaled.mkv -vf scale=90:-2,format=gray16,extractplanes=y -f framemd5 - | grep -v '^#' >expected
same formats/scale_before_keeps_every_sample got expected
# A scaler after the filter gets full chroma for 4:2:2 of another depth, as ProRes wants it.
ffmpeg -f lavfi -i $source,format=gray -vf colorize=model.bin,format=yuv422p10 -f null - -loglevel verbose
check formats/scale_after_gets_full_chroma grep -q "gray becomes yuv444p of" err
: >err

# ---- the film: pts, metadata, tags, early end, seeking ----

uneven="$source,format=yuv420p,select=not(eq(mod(n\,3)\,1))"
sums ffmpeg "$uneven" colorize=model.bin:batch=3 -vsync passthrough | cut -d, -f1-4 >got
sums ffmpeg "$uneven" null -vsync passthrough | cut -d, -f1-4 >expected
same film/uneven_pts got expected
ffmpeg -f lavfi -i $source,format=yuv420p -vf signalstats,colorize=model.bin:batch=4,metadata=print:file=got -f null -
ffmpeg -f lavfi -i $source,format=yuv420p -vf signalstats,metadata=print:file=expected -f null -
same film/metadata_stays_with_its_frame got expected
sums ffmpeg $source,format=yuv420p colorize=model.bin:batch=1 >all
for batch in 1 4; do
    COLORIZE_STUB_LOOKAHEAD=5 sums ffmpeg $source,format=yuv420p colorize=model.bin:batch=$batch >got
    same "film/engine_that_looks_ahead_batch_$batch" got all
done
sums ffmpeg $source,format=yuv420p colorize=model.bin:batch=4 -frames:v 5 >got
head -n 5 all >expected
same film/first_five_frames got expected
sums ffmpeg $source,format=yuv420p colorize=model.bin:batch=64,trim=end_frame=5 >got
same film/downstream_closes got expected
check film/downstream_closes_without_a_warning [ ! -s err ]
ffmpeg -f lavfi -i $source,format=yuv420p -c:v ffv1 -g 1 -y film.mkv
# Film with a variable rate: by default ffmpeg converts it to a constant rate, with any filter; with README's options it keeps
# every frame with its time.
ffmpeg -f lavfi -i testsrc2=s=64x48:r=25:d=4 -vf "settb=1/1000,setpts='N*16-10*eq(mod(N,4),3)+N*N/50'" -fps_mode passthrough \
    -enc_time_base 1/1000 -c:v libx264 -bf 2 -y rate.mkv
pts_of() { ffprobe -v error -select_streams v -show_entries packet=pts_time -of csv=p=0 "$1" | sort -g; }
readme_options=$(sed -n 's|^    filter/ffmpeg .*-vf colorize=[^ ]* \(.*\) colour.mkv.*|\1|p' "$SRC/README.md")
for batch in 0 1; do
    # shellcheck disable=SC2086
    ffmpeg -i rate.mkv -vf colorize=model.bin:batch=$batch $readme_options -y rates.mkv
    pts_of rate.mkv >expected; pts_of rates.mkv >got
    check "film/variable_rate_batch_$batch/count" [ "$(wc -l <expected)" = 100 ]
    same "film/variable_rate_batch_$batch/times" got expected
done
# When ffmpeg is interrupted, it takes no more frames from its filters: each decoded frame is written, or counted in the message.
# If the decoder holds a frame (mpeg4), the end of the film does not reach the filters; with other decoders it does.
for codec in ffv1 mpeg4; do ffmpeg -f lavfi -i testsrc2=r=25:d=60:s=64x48 -c:v $codec -y cut-$codec.mkv; done
for codec in ffv1 mpeg4; do for signal in INT TERM; do for batch in 1 4; do
    rm -f cut
    "$ours/ffmpeg" -nostdin -hide_banner -v verbose -re -i cut-$codec.mkv -vf colorize=model.bin:batch=$batch -f framemd5 \
        -flush_packets 1 -y cut 2>err &
    job=$!
    while [ -z "$(sed -n 20p cut 2>/dev/null)" ] && kill -0 $job 2>/dev/null; do sleep 0.1; done
    kill -$signal $job
    wait $job
    decoded=$(sed -n 's/.* \([0-9]*\) frames decoded.*/\1/p' err | head -n 1) written=$(grep -vc '^#' cut)
    inside=$(sed -n 's/.* \([0-9]*\) frames* inside w.* interrupted they are not written.*/\1/p' err)
    check "film/interrupted_by_${signal}_${codec}_batch_$batch" \
        [ "$written" -gt 9 -a "$decoded" = $((written + ${inside:-0})) ]
    check "film/interrupted_by_${signal}_${codec}_batch_$batch/advice" \
        sh -c "[ $batch = 4 ] || ! grep -q 'batch=1 or' err"
done; done; done
# The output ends before the film. With this decoder, which holds one frame, ffmpeg frees the filter while it holds frames.
ffmpeg -f lavfi -i testsrc2=r=25:d=2:s=162x122 -c:v mpeg2video -y late.mkv
ends() { "$ours/ffmpeg" -nostdin -v warning -i late.mkv -vf colorize=model.bin "$@" -f framemd5 - 2>err | grep -vc '^#'; }
check film/duration_ends_the_output [ "$(ends -t 1)" = 25 ]
check film/duration_has_no_warning [ ! -s err ]
check film/count_ends_the_output [ "$(ends -frames:v 7)" = 7 ]
check film/count_is_not_called_a_loss \
    grep -q '[0-9] frames* inside w.* not asked for: nothing is lost if the output ended first' err
: >err
ffmpeg -ss 1 -i film.mkv -vf colorize=model.bin:batch=4 -f framemd5 - | grep -v '^#' | hashes >got
tail -n 7 all | hashes >expected
same film/seek got expected
sums ffmpeg $source,format=yuv420p 'split[a][b];[a]colorize=model.bin[c];[c][b]hstack,crop=162:122:162:0' >got
sums ffmpeg $source,format=yuv420p null >expected
same film/shared_frames_are_not_written got expected
sums ffmpeg $source,format=yuv420p vflip,colorize=model.bin,vflip,extractplanes=y >got
sums ffmpeg $source,format=yuv420p extractplanes=y >expected
same film/bottom_up_rows got expected
# tags NAME RANGE MATRIX FORMAT FILTERS: passes if the output frames have this range and matrix.
tags() {
    name=$1 want="color_range:$2 color_space:$3"
    loud -f lavfi -i "$source,format=$4" -vf "$5,showinfo" -f null -
    got=$(grep -o 'color_range.*color_space:[^ ]*' err | sort -u)
    : >err
    check "film/$name" [ "$got" = "$want" ]
}
tags gray_becomes_tagged_yuv tv smpte170m gray colorize=model.bin
tags gray_of_full_range_is_tagged pc smpte170m gray colorize=model.bin:out_range=full
tags gray_to_rgb_is_tagged pc gbr gray colorize=model.bin,format=rgb24
tags range_of_yuv_can_be_changed pc smpte170m yuv420p colorize=model.bin:out_range=full
tags guess_of_the_matrix_landscape tv smpte170m yuv420p scale=720:576,colorize=model.bin
tags guess_of_the_matrix_portrait tv smpte170m yuv420p scale=576:720,colorize=model.bin
tags gray_keeps_its_range_tag tv smpte170m gray setparams=range=tv,colorize=model.bin
tags existing_tags_stay pc bt2020nc yuv420p setparams=colorspace=bt2020nc:range=pc,colorize=model.bin
tags tags_can_be_overruled pc smpte170m yuv420p setparams=colorspace=bt709,colorize=model.bin:matrix=bt601:range=full
ffmpeg -f lavfi -i $source,format=gray -vf colorize=model.bin -pix_fmt yuv420p -c:v ffv1 -y gray.mkv
loud -i gray.mkv
check film/gray_takes_the_format_that_follows grep -q yuv420p err
: >err
# The chroma of coloured gray film: 4:2:0 where players or containers expect it, full chroma or R'G'B' elsewhere.
while read -r codec format ending want more; do
    "$ours/ffmpeg" -v quiet -encoders | grep -q " $codec " || { echo "skip filter/film/gray_to_$codec"; continue; }
    # shellcheck disable=SC2086
    ffmpeg -f lavfi -i testsrc2=r=25:d=0.2:s=160x128,format=$format -vf colorize=model.bin$more -c:v $codec -strict -2 \
        -y chroma.$ending
    got=$(ffprobe -v error -show_entries stream=pix_fmt -of csv=p=0 chroma.$ending)
    check "film/gray_to_$codec/$format" [ "${got%%,*}" = $want ]
done <<'LIST'
libx264 gray mp4 yuvj420p
libx264 gray10 mp4 yuv420p10le
libx264 gray16 mp4 yuv420p10le
libx265 gray10 mp4 yuv420p10le
libvpx-vp9 gray webm yuv420p
mpeg2video gray mpg yuv420p
libtheora gray ogv yuv420p
rawvideo gray avi yuv420p
rawvideo gray avi yuv420p ,null,setpts=PTS
rawvideo gray nut yuv444p ,format=yuv444p
libx264 gray mp4 yuv444p ,format=yuv444p
ffv1 gray mkv bgr0
ffv1 gray mkv yuv444p :out_range=full
prores gray10 mov yuv444p12le
mjpeg gray avi yuvj444p
LIST
: >err

# ---- timeline and commands: exact to the frame with any batch ----

for batch in 1 4 7; do
    sums ffmpeg $source,format=yuv420p "colorize=model.bin:batch=$batch:enable=between(n\,3\,5)" >got
    sums ffmpeg $source,format=yuv420p null >grey
    { sed -n 1,3p grey; sed -n 4,6p all; sed -n '7,$p' grey; } >want
    same "timeline/batch_$batch" got want
    sums ffmpeg $source,format=gray "colorize=model.bin:batch=$batch:enable=between(n\,3\,5)" >got
    sums ffmpeg $source,format=gray colorize=model.bin:strength=0 >neutral
    sums ffmpeg $source,format=gray colorize=model.bin >full
    { sed -n 1,3p neutral; sed -n 4,6p full; sed -n '7,$p' neutral; } >want
    same "timeline/gray_is_neutral_yuv_batch_$batch" got want
    sums ffmpeg $source,format=yuv420p "sendcmd=c='1.0 colorize strength 0',colorize=model.bin:batch=$batch" >got
    sums ffmpeg $source,format=yuv420p colorize=model.bin:strength=0 >neutral
    { sed -n 1,7p all; sed -n '8,$p' neutral; } >want
    same "command/strength_batch_$batch" got want
done
sums ffmpeg $source,format=yuv420p "sendcmd=c='1.0 colorize saturation 3',colorize=model.bin" >got
sums ffmpeg $source,format=yuv420p colorize=model.bin:saturation=3 >three
{ sed -n 1,7p all; sed -n '8,$p' three; } >want
same command/saturation_above_one_with_a_model got want
sums ffmpeg $source,format=yuv420p "sendcmd=c='1.0 colorize saturation 3',colorize=40" >got
sums ffmpeg $source,format=yuv420p colorize=40 >want
same command/saturation_above_one_without_is_refused got want

for bars in off 12/12/0/0 "'12\\:12\\:0\\:0'"; do
    "$ours/ffmpeg" -nostdin -v warning -f lavfi -i $source,format=yuv420p -vf "colorize=model.bin:bars=$bars" -f null - 2>err
    check "option/bars=$bars" grep -q "bars $(echo "$bars" | tr -d "\\'")\$" err
done
: >err

# ---- a film that changes size ----

for size in 160x120 96x64 176x144; do
    ffmpeg -f lavfi -i testsrc2=r=25:d=0.4:s=$size -c:v mpeg2video -bf 0 -qscale:v 2 -f mpeg2video -y $size.m2v
done
cat 160x120.m2v 96x64.m2v 176x144.m2v >sizes.m2v
# sized LOG-LEVEL FILTER [INPUT-OPTIONS...]: the sums of the frames.
sized() {
    v_=$1 filter_=$2; shift 2
    "$ours/ffmpeg" -nostdin -v "$v_" "$@" -i sizes.m2v -vf "$filter_" -fps_mode passthrough -autoscale 0 -c:v rawvideo \
        -f framemd5 - 2>err | grep -v '^#'
}
sized error null >plain
count=$(wc -l <plain)
check size_change/the_film_has_three_sizes [ "$(cut -d, -f5 plain | sort -u | wc -l)" = 3 ]
sized warning colorize=model.bin:batch=1 >one
check size_change/rebuilt_graph_with_batch_1_loses_none [ "$(wc -l <one)" = "$count" -a ! -s err ]
sized warning colorize=model.bin:batch=4 >got
lost=$(sed -n 's/.* \([0-9]*\) frames* inside w.*/\1/p' err | awk '{ n += $1 } END { print n + 0 }')
check size_change/rebuilt_graph_says_what_keeps_all grep -q "batch=1 or ffmpeg's -reinit_filter 0 keeps all" err
check size_change/rebuilt_graph_counts_what_is_lost [ "$lost" -gt 0 -a $(($(wc -l <got) + lost)) = "$count" ]
for batch in 1 4 64; do
    sized error colorize=model.bin:batch=$batch -reinit_filter 0 >got
    same "size_change/reinit_filter_0_batch_$batch" got one
done

# ---- errors and their messages ----

run() { ffmpeg -f lavfi -i "$source,format=yuv420p" -vf "$1" -f null -; }
refuse error/missing_model "cannot open the model 'nothere.bin'" run colorize=nothere.bin
refuse error/missing_model_is_in_the_message_as_received \
    "cannot open the model 'its.bin'.* must be escaped" run "colorize=it's.bin"
# A path with all characters of ffmpeg's own syntax, escaped as doc/filter.md describes.
eval "$(sed -n 's/^    \(escape() .*\)/\1/p' "$SRC/doc/filter.md")"
mkdir 'a "b"'
model="a \"b\"/it's: x=1,[y];z\\.bin"
cp model.bin "$model"
sums ffmpeg $source,format=yuv420p "colorize=model=$(escape "$model")" >got
same path/with_all_special_characters got all
for model in 'spaces /x.bin ' ' x.bin' "tab.bin$(printf '\t')"; do
    mkdir -p 'spaces '
    cp model.bin "$model"
    sums ffmpeg $source,format=yuv420p "colorize=model=$(escape "$model")" >got
    same "path/with_white_space_at_an_end:$model:" got all
done
refuse path/is_in_the_message_as_received "cannot open the model 'it's: x=1,\[y\];z.bin'" \
    run "colorize=model=$(escape "it's: x=1,[y];z.bin")"
refuse error/bad_model "a bad model file" run colorize=bad.bin
refuse error/no_such_device "no such device" run colorize=model.bin:device=cuda
refuse error/missing_library "cannot open the engine" run colorize=model.bin:library=/nothere/libcolorize.so.0
refuse error/bars_with_colons "cannot open the engine 1 .* write bars=60/60/0/0" run colorize=model.bin:bars=1:1:0:0
refuse error/empty_model "option model is empty; expected a file" run colorize=model=
refuse error/empty_model_by_position "option model is empty; expected a file" run "colorize=:0.5"
COLORIZE_LIBRARY=/nothere.so refuse error/missing_library_by_environment "cannot open the engine" run colorize=model.bin
COLORIZE_STUB_ABI=99 refuse error/other_abi "has ABI 99, this filter needs" run colorize=model.bin
refuse error/strength_out_of_range "out of range" run colorize=model.bin:strength=2
refuse error/stock_saturation_out_of_range "out of range" run colorize=120:1.5
refuse error/stock_hue_out_of_range "out of range" run colorize=400
# The exit status is never 0, whichever of its neighbours requested the frame that fails.
again() {
    for i_ in 1 2 3 4 5 6 7 8; do
        if ffmpeg -f lavfi -i $source,format=yuv420p -vf "$1" -f framemd5 -; then return 0; fi
    done
    return 1
}
for chain in colorize=fail6.bin:batch=1 scale=128:16,colorize=fail6.bin scale=128:16,colorize=fail6.bin:batch=16 \
    fps=20,colorize=fail6.bin:batch=2,scale=64:64; do refuse "error/status_of_$chain" "could not be coloured" again "$chain"; done
refuse error/uncoloured_frame "could not be coloured" \
    ffmpeg -xerror -f lavfi -i $source,format=yuv420p -vf colorize=fail6.bin:batch=1 -f framemd5 -
check error/uncoloured_frame_is_not_output [ "$(grep -vc '^#' out)" -le 6 ]
: >err

# ---- random films ----

tree=$(ls -d "$ours"/build-*/libavutil/libavutil.so | head -n 1)
if ${CC:-cc} -std=gnu11 -O2 -DFUZZ_MAIN -I"${tree%/*/*}" -isystem "$(ls -d "$ours"/ffmpeg-*/libavutil | sed 's/.libavutil$//')" \
    -o fuzz "$SRC/tests/fuzz_filter.c" "$ours/out/$soname" "$tree" -Wl,--allow-shlib-undefined 2>err; then
    check fuzz/3000_random_films env LD_LIBRARY_PATH="$ours/out" ./fuzz "${FUZZ_RUNS:-3000}" "${FUZZ_SEED:-1}"
else
    fault fuzz/builds
fi

# ---- the real engine ----

real=$BUILD/libcolorize.so.0 model=$SRC/samples/model.bin
if [ -e "$real" ] && [ -e "$model" ]; then
    COLORIZE_LIBRARY=$real
    cp "$model" real.bin
    for format in yuv420p yuv422p10 yuv444p nv12 gray gray16; do
        for batch in 1 4; do
            sums ffmpeg testsrc2=r=6:d=1:s=162x122,format=$format colorize=real.bin:batch=$batch >got
            check "real/$format/batch_$batch/count" [ "$(wc -l <got)" = 6 ]
        done
        case $format in nv12) bytes=1 ;; *1[026]) bytes=2 ;; *) bytes=1 ;; esac
        ffmpeg -f lavfi -i testsrc2=r=6:d=1:s=162x122,format=$format -frames:v 1 -f rawvideo -y in.raw
        case $format in gray*) range=:out_range=full ;; *) range= ;; esac
        ffmpeg -f lavfi -i testsrc2=r=6:d=1:s=162x122,format=$format -vf colorize=real.bin$range -frames:v 1 -f rawvideo \
            -y out.raw
        check "real/$format/luma_bit_for_bit" cmp -s -n $((162 * 122 * bytes)) in.raw out.raw
    done
    film=testsrc2=r=6:d=1:s=162x122,format=yuv420p
    sums ffmpeg $film null >grey
    sums ffmpeg $film colorize=real.bin:stabilize=0 >coloured
    printf '%s\n' 'rate: 6' 'lines:' '- {from: 0.5, skip: true}' '- {from: 0:0:0:5, to: 0:0:1:0, skip: false}' >sheet.yaml
    sums ffmpeg $film colorize=real.bin:stabilize=0:sheet=sheet.yaml >got
    { head -n 3 coloured; sed -n 4,5p grey; tail -n 1 coloured; } >expected
    same real/sheet expected got
    echo 'lines: [{skip: true}]' >skip.yaml
    echo 'lines: []' >none.yaml
    for batch in 1 4; do
        sums ffmpeg $film "sendcmd=c='0.3 colorize sheet skip.yaml; 0.6 colorize sheet none.yaml',
            colorize=real.bin:stabilize=0:batch=$batch" >got
        { head -n 2 coloured; sed -n 3,4p grey; tail -n 2 coloured; } >expected
        same real/sheet_by_command_batch_$batch expected got
    done
    loud -f lavfi -i $film -vf "sendcmd=c='0.3 colorize sheet skip.yaml; 0.6 colorize sheet nothere.yaml',
        colorize=real.bin:stabilize=0" -f framemd5 - | grep -v "^#" | hashes >got
    { head -n 2 coloured; tail -n 4 grey; } | hashes >expected
    same real/sheet_by_command_that_is_missing expected got
    check real/sheet_by_command_that_is_missing_is_named grep -q 'nothere.yaml: No such file' err
    printf '%s\n' 'cuts: cuts.csv' 'lines:' '- {from: 900, strength: 0.5}' '- {shot: 1, strength: 0.5}' >late.yaml
    printf '%s\n' frame,time,kind,confidence,look,bars 0,0,start,1,, >cuts.csv
    loud -v info -f lavfi -i $film -vf colorize=real.bin:sheet=late.yaml -f null - >out
    check real/a_line_without_frames_is_warned_of grep -q "late.yaml:3: no frame of the film lies in this line's range" err
    check real/the_end_is_no_seek [ "$(grep -c 'after a seek' err)" = 0 ]
    film=testsrc2=r=6:d=1:s=162x122,format=yuv420p,hue=s=\'if\(lt\(n\,3\)\,0\,1\)\'
    sums ffmpeg "$film" null >grey
    sums ffmpeg "$film" colorize=real.bin:stabilize=0 >coloured
    sums ffmpeg "$film" colorize=real.bin:stabilize=0:chroma=auto >got
    check real/chroma_auto [ "$(cmp -s grey coloured; echo $?)" = 1 -a "$(head -n 3 got)" = "$(head -n 3 coloured)" ]
    check real/chroma_auto_passes_on_what_is_coloured [ "$(tail -n 1 got)" = "$(tail -n 1 grey)" ]
    film=testsrc2=r=6:d=1:s=162x122,format=yuv420p10
    sums ffmpeg "$film" setparams=colorspace=bt2020nc,colorize=real.bin | hashes >sdr
    sums ffmpeg "$film" setparams=colorspace=bt2020nc:color_trc=smpte2084,colorize=real.bin | hashes >pq
    sums ffmpeg "$film" setparams=colorspace=bt2020nc,colorize=real.bin:transfer=pq | hashes >got
    check real/hdr_is_coloured_in_its_own_terms [ "$(sort -u pq sdr | wc -l)" = 12 ]
    same real/transfer_overrules_the_tag pq got
    ffmpeg -f lavfi -i "$film" -vf colorize=real.bin:transfer=hlg,showinfo -frames:v 1 -f null - -v info
    check real/transfer_is_tagged grep -q "color_trc:arib-std-b67" err
    film=testsrc2=r=6:d=1:s=162x122,format=yuv420p
    loud -v info -f lavfi -i $film -vf colorize=real.bin:verify=1:qc=figures.csv -f null - >out
    check real/verify grep -q "verify: the luma of 6 frames was compared, bit for bit" err
    check real/qc_has_a_row_for_each_frame [ "$(grep -c '^[0-9]*,[0-9.]*,' figures.csv)" = 6 -a -s figures.csv.html ]
    # The stabiliser, a sheet and other strength without running the network: the same frames; the last line is what was run.
    printf '%s\n' 'rate: 6' 'lines:' '- {from: 0.3, strength: 0.4}' >weak.yaml
    loud -v info -f lavfi -i $film -vf colorize=real.bin:answers_out=film.answers -f framemd5 - | grep -v '^#' >expected
    check real/answers/are_written grep -q "answers: 6 frames from the network; written" err
    sums ffmpeg $film colorize=real.bin >got
    same real/answers/writing_them_changes_nothing expected got
    for options in batch=3:threads=2 strength=0.5:saturation=2:stabilize=0 sheet=weak.yaml:window=0:luma=lstar; do
        sums ffmpeg $film colorize=real.bin:$options >expected
        loud -v info -f lavfi -i $film -vf colorize=real.bin:answers_in=film.answers:$options -f framemd5 - | grep -v '^#' >got
        same "real/answers/$options" expected got
        check "real/answers/$options/no_run" grep -q "answers: 6 frames from the file, 0 from the network" err
    done
    sums ffmpeg $film,negate colorize=real.bin >expected
    loud -v info -f lavfi -i $film,negate -vf colorize=real.bin:answers_in=film.answers -f framemd5 - | grep -v '^#' >got
    same real/answers/another_film_is_run expected got
    check real/answers/another_film_is_warned_of grep -q "answers_in has none of the frames" err
    cp film.answers kept.answers
    refuse real/answers/same_file "answers_in and answers_out are the same file" \
        ffmpeg -f lavfi -i $film -vf colorize=real.bin:answers_in=film.answers:answers_out=./film.answers -f null -
    echo mine >diary
    refuse real/answers/other_file "is no file of answers, and is not replaced" \
        ffmpeg -f lavfi -i $film -vf colorize=real.bin:answers_out=diary -f null -
    mkfifo fifo
    refuse real/answers/no_file "no regular file" ffmpeg -f lavfi -i $film -vf colorize=real.bin:answers_out=fifo -f null -
    refuse real/answers/missing "No such file" ffmpeg -f lavfi -i $film -vf colorize=real.bin:answers_in=none -f null -
    check real/answers/files_are_kept [ "$(cat diary)" = mine -a "$(cmp film.answers kept.answers && echo same)" = same ]
    # Repeated frames: the same picture as without a reuse of answers, and the log counts the runs that are saved.
    film=testsrc2=r=3:d=2:s=160x120,format=yuv420p,fps=6
    sums ffmpeg $film colorize=real.bin:repeats=-1 >want
    for batch in 1 4; do
        loud -v info -f lavfi -i $film -vf colorize=real.bin:batch=$batch:window=2 -f framemd5 - | grep -v '^#' >got
        same "real/repeats/batch_$batch" got want
        check "real/repeats/batch_$batch/saved" grep -q "6 runs of the model were saved by repetitions" err
    done
    # Interlaced film, whose chroma in the rows of a field is that of progressive film with the frames of its times.
    film=testsrc2=r=12:d=1:s=160x120,format=yuv420p
    psnr_of() {                             # psnr_of COLORIZE'S-OPTIONS FIELD FIRST: of chroma, dB; FIRST: of the two times
        loud -v info -filter_complex "$film,split[a][b];
            [a]interlace=lowpass=off:scan=tff,colorize=real.bin:stabilize=0$1,field=$2,setpts=N/6/TB[got];
            [b]colorize=real.bin:stabilize=0,select=eq(mod(n\,2)\,$3),setpts=N/6/TB,field=$2[want]; [got][want]psnr" \
            -f null - >out
        sed -n 's/.*PSNR y:inf u:\([0-9.]*\) .*/\1/p' err
    }
    # The second field has the colours of the first where nothing moves, while progressive film has two answers there.
    for field in top:0:3 bottom:1:0.5; do
        gain=${field##*:} field=${field%:*}
        own=$(psnr_of '' ${field%:*} ${field#*:}) as_one=$(psnr_of :interlaced=progressive ${field%:*} ${field#*:})
        check "real/interlaced/${field%:*}_field_is_nearer_to_its_own_picture ($own and $as_one dB)" \
            awk -v a="$own" -v b="$as_one" -v c=$gain 'BEGIN { exit !(a > b + c) }'
    done
    # Progressive film that is tagged as interlaced; telecined film, whose film frames have one run each. The tag is set after -i,
    # since lavfi's device loses it.
    film=testsrc2=r=6:d=1:s=160x120,format=yuv420p
    sums ffmpeg $film colorize=real.bin | hashes >want
    sums ffmpeg $film setfield=tff,colorize=real.bin | hashes >got
    same real/interlaced/progressive_film_that_is_tagged_as_interlaced got want
    loud -v info -f lavfi -i testsrc2=r=24:d=0.5:s=160x120,format=yuv420p,telecine=pattern=23 \
        -vf setfield=tff,colorize=real.bin:verify=1 -f null - >out
    two=$(sed -n 's/.* \([0-9]*\) of 15 frames hold two fields of different times.*/\1/p' err)
    saved=$(sed -n 's/.*; \([0-9]*\) runs of the model were saved.*/\1/p' err)
    check "real/telecine/one_run_for_each_of_12_film_frames ($two frames with two pictures, $saved runs saved)" \
        [ "${two:-0}" -ge 4 -a $((15 + ${two:-0} - ${saved:-0})) = 12 ]
    echo '- {strength: 3}' >>sheet.yaml
    refuse real/bad_sheet 'sheet.yaml:5: strength: "3" is not a number from 0 to 1' \
        ffmpeg -f lavfi -i $film -vf colorize=real.bin:sheet=sheet.yaml -f null -
    refuse real/bad_model . ffmpeg -f lavfi -i $source -vf colorize=bad.bin -f null -
else
    echo "skip filter/real: no $real or no $model"
fi

echo "$cases cases, $failed failed"
[ $failed = 0 ]
