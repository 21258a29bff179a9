#!/bin/sh
# levels.sh - what a stock player sees: grey steps that went through the filter and an encoder have the levels that stock ffmpeg
# gives them without the filter, or the source's own where stock ffmpeg changes them. Every video encoder of this ffmpeg, with
# gray of 8 to 16 bits and YUV; read again with stock ffmpeg. Then luma bit for bit where the file can say that it has full range.
#
# The stand-in engine colours with strength 0, so that chroma is neutral and only levels are compared. What stock ffmpeg itself
# cannot encode here is named at the end, and is no failure.
set -u
: "${SRC:?the source root}"
. "$SRC/tests/filter_setup.sh"

stock() { LD_LIBRARY_PATH=$stockdir timeout 60 "$program" -nostdin -hide_banner -v error "$@"; }
filter() { timeout 60 "$ours/ffmpeg" -nostdin -hide_banner -v info "$@"; }

# ---- the sources: eight steps of grey, 44 pixels wide; black, 16, 235 and white among them, so that a wrong range shows ----

code=255
for step in 308:235 264:210 220:160 176:110 132:60 88:16 44:0; do code="if(lt(X\\,${step%:*})\\,${step#*:}\\,$code)"; done
stock -f lavfi -i "nullsrc=s=352x288:r=25:d=0.04,format=gray16,geq=lum='257*$code'" -frames:v 1 -c:v rawvideo -y steps.nut \
    2>err || { cat err; exit 1; }
sources="gray gray10 gray12 gray16be yuv420p yuv422p10"
for source in $sources; do
    stock -color_range pc -i steps.nut -vf scale=flags=accurate_rnd,format=$source -c:v rawvideo -y $source.nut 2>err ||
        { cat err; exit 1; }
done
# the input options of a source: what NUT does not say
input() { case $1 in yuv*) echo -color_range tv -i $1.nut ;; *) echo -i $1.nut ;; esac; }

# ---- one case ----

# levels INPUT...: R of each step of each input (-i FILE, with its options before), eight numbers a line. Through rgb24, as
# players show it; ffmpeg 5.1 takes gray for limited where it was made of limited YUV.
levels() {
    graph= pads= count=0
    for word; do
        [ "$word" != -i ] || {
            graph="$graph[$count:v]format=rgb24,scale=8:1:flags=area[v$count];" pads="$pads[v$count]" count=$((count + 1)); }
    done
    red=format=gbrp,extractplanes=r
    if [ $count = 1 ]; then graph="${graph%'[v0];'},$red"; else graph="$graph${pads}hstack=$count,$red"; fi
    stock "$@" -filter_complex "$graph" -frames:v 1 -f rawvideo - 2>err | od -An -v -tu1 -w8
}
for source in $sources; do levels $(input $source) >$source.true; done

# encode TOOL FILTER OUT-PREFIX FILE-ENDING SOURCES ENCODER-OPTIONS...: each source to OUT-PREFIX.SOURCE.FILE-ENDING, in one run
encode() {
    tool=$1 graph=$2 prefix=$3 ending=$4 list=$5; shift 5
    inputs= outputs= count=0
    for source in $list; do
        inputs="$inputs $(input $source)"
        outputs="$outputs -map $count:v $graph -frames:v 1 $* -y $prefix.$source.$ending" count=$((count + 1))
    done
    $tool $inputs $outputs 2>$prefix.log
}
colorize="-vf colorize=model.bin:strength=0"

# compare NAME TOLERANCE FILE-ENDING SOURCES ENCODER-OPTIONS...: a line of result for each source. All sources in one run of
# ffmpeg, which saves starting it for each; one by one where that fails.
compare() {
    name=$1 limit=$2 end=$3 from=$4; shift 4
    work=$(mktemp -d ./work.XXXXXX)
    if ! encode stock "" $work/stock $end "$from" "$@"; then
        case $from in
        *' '*) for one in $from; do compare $name $limit $end $one "$@"; done ;;
        *) echo "none $name/$from" ;;
        esac
    elif ! encode filter "$colorize" $work/ours $end "$from" "$@"; then
        echo "FAIL levels/$name: $(tail -n 1 $work/ours.log)"
    else
        files=
        for one in $from; do files="$files -i $work/stock.$one.$end -i $work/ours.$one.$end"; done
        levels $files >$work/seen
        for one in $from; do
            # how far off at most, from stock ffmpeg or from the source, whichever is nearer
            sed -n '1,2p' $work/seen | cat - $one.true | awk -v limit=$limit -v name="$name/$one" '
                function further(a, b) { a = a > b ? a - b : b - a; return a }
                { for (i = 1; i <= 8; i++) v[NR, i] = $i; fields += NF }
                END {
                    if (fields != 24) { print "FAIL levels/" name ": cannot be read again"; exit }
                    for (i = 1; i <= 8; i++) {
                        d = further(v[2, i], v[1, i]); if (d > m) m = d
                        d = further(v[2, i], v[3, i]); if (d > n) n = d
                        a = a " " v[1, i]; b = b " " v[2, i]
                    }
                    if (n < m) m = n
                    if (m <= limit) print "ok   levels/" name
                    else print "FAIL levels/" name ": off by " m + 0 "; stock" a ", with the filter" b
                }' >$work/line
            cat $work/line
            ! grep -q '^FAIL' $work/line || sed -n "s/.*\] \($one becomes.*\)/    \1/p" $work/ours.log
            sed -i 1,2d $work/seen
        done
    fi
    rm -rf $work
}

# ---- every encoder ----

# The file's ending: a container that stock ffmpeg can write and read with this encoder.
container() {
    case $1 in
    alias_pix) echo pix ;; jpegls) echo jls ;; jpeg2000|libopenjpeg) echo jp2 ;; libjxl) echo jxl ;; libwebp) echo webp ;;
    sunrast) echo sun ;; targa) echo tga ;; tiff) echo tif ;;
    apng|bmp|dpx|exr|fits|gif|pam|pcx|pfm|pgmyuv|phm|png|ppm|qoi|sgi|vbn|xwd) echo $1 ;;
    prores*|cfhd|qtrle|hap|rpza|smc) echo mov ;;
    libx265|libvpx*|libaom-av1|libsvtav1|librav1e|libtheora) echo mkv ;;
    flashsv2) echo flv ;; rawvideo) echo nut ;; roqvideo) echo roq ;; rv10|rv20) echo rm ;;
    *) echo avi ;;
    esac
}
options() {
    case $(container $1) in
    pix|jls|jp2|jxl|sun|tga|tif|bmp|dpx|exr|pam|pcx|pfm|pgmyuv|phm|png|ppm|qoi|sgi|vbn|xwd) echo -f image2 -update 1 ;;
    esac
    case $1 in
    libaom-av1) echo -cpu-used 8 -crf 1 -b:v 0 ;; librav1e) echo -speed 10 -qp 10 ;; libsvtav1) echo -preset 12 -qp 5 ;;
    libx264*) echo -preset ultrafast -qp 4 ;; libx265) echo -preset ultrafast -x265-params log-level=error:qp=4 ;;
    libvpx*) echo -deadline realtime -b:v 20M ;;
    libwebp) echo -quality 100 ;; vbn) echo -format raw ;; vc2) echo -b:v 200M -strict -2 ;; *) echo -qscale:v 2 -strict -2 ;;
    esac
}
# Codes of 255 that an encoder's own loss may make between two inputs that differ by rounding.
tolerance() {
    case $1 in
    msvideo1|rpza|smc|gif) echo 9 ;;        # 5 bits, or a palette
    amv|asv*|cfhd|cinepak|flv|h26*|lib*av1*|librav1e|libvpx*|libxvid|mpeg*|msmpeg4*|roqvideo|rv*|snow|speedhq|svq1|wmv*) echo 4 ;;
    # measured: 3. Stock ffmpeg shows limited 4:2:0 of more than 8 bits up to 2 too dark (white is 253), but not 4:4:4.
    libx264|libx265|rawvideo|vc2) echo 3 ;;
    *) echo 2 ;;
    esac
}
each() {
    for encoder; do
        compare $encoder $(tolerance $encoder) $(container $encoder) "$sources" -c:v $encoder $(options $encoder)
    done
}

# Left out: encoders that need a device; a64multi*, xbm, pbm, xface: two levels, or one size; pgm: has no colour; avui, dvvideo:
# have sizes of their own; wrapped_avframe: makes no file; bitpacked, libwebp_anim: stock ffmpeg cannot read their files; avrp:
# stock ffmpeg reads garbage from its own files (about 93 for every step of gray12, with the filter 114); dnxhd: its profile
# decides the format, so it is in the next list.
left_out='a64multi5?|avrp|avui|bitpacked|dnxhd|dvvideo|libwebp_anim|pbm|pgm|wrapped_avframe|xbm|xface'
stock -encoders | awk '$1 ~ /^V/ && $2 != "=" { print $2 }' | grep -Ev "_(v4l2m2m|qsv|vaapi|nvenc|omx)\$|^($left_out)\$" >encoders
awk 'NR % 2' encoders >half
each $(cat half) >results.1 &
each $(grep -vxFf half encoders) >results.2
wait

# ---- a pixel format that is asked for, a container that cannot say its range, a scaler behind ----

while read -r encoder format end more; do
    compare $encoder/$format/$end 3 $end "gray gray10 gray16be" -c:v $encoder -pix_fmt $format $(options $encoder) $more
done >results.3 <<'LIST' &
libx264 yuv420p mp4
libx264 yuvj420p mp4
libx264 yuv420p10 mkv
libx265 yuv444p mkv
libvpx-vp9 yuv420p webm
ffv1 yuv444p avi
ffv1 yuv422p10 avi
ffv1 yuv444p16 mkv
ffv1 gbrp10 mkv
mjpeg yuvj420p avi
mpeg4 yuv420p mp4
mpeg2video yuv422p mpg
rawvideo yuv420p avi
rawvideo uyvy422 mov
prores_ks yuv422p10 mov
dnxhd yuv422p mov -profile:v dnxhr_hq
dnxhd yuv422p10 mov -profile:v dnxhr_hqx
dnxhd yuv444p10 mov -profile:v dnxhr_444
tiff yuv444p tif
LIST

# ---- luma bit for bit ----

# exact NAME SOURCE FILE-ENDING FILTER-OPTIONS ENCODER-OPTIONS...: the luma that is read again is the source's, the file says full
exact() {
    name=$1 source=$2 end=$3 more=$4 plain=${2%be}; shift 4
    case $plain in gray1*) plain=${plain}le ;; esac
    grep -qx "$2" encoders || { echo "none luma/$name/$source"; return; }
    filter -i $source.nut -vf colorize=model.bin$more -frames:v 1 "$@" -y exact.$end 2>exact.err ||
        { echo "FAIL luma/$name/$source: $(tail -n 1 exact.err)"; return; }
    stock -i exact.$end -vf extractplanes=y -f rawvideo -y got.raw 2>exact.err
    stock -i $source.nut -vf format=$plain -f rawvideo -y want.raw 2>exact.err
    range=$(stock -v info -i exact.$end 2>&1 | grep -c 'Video:.*(pc')
    if [ ! -s want.raw ] || ! cmp -s got.raw want.raw; then echo "FAIL luma/$name/$source: the luma differs"
    elif [ $range != 1 ]; then echo "FAIL luma/$name/$source: the file does not say that it has full range"
    else echo "ok   luma/$name/$source"; fi
}
# more than 8 bits only when it is asked for: ffmpeg 5.1 shows YUV of more than 8 bits as limited whatever the file says
for source in gray gray10; do
    case $source in gray) full= ;; *) full=:out_range=full ;; esac
    exact libx264 $source mkv "$full" -c:v libx264 -qp 0
    exact libx264_in_mp4 $source mp4 "$full" -c:v libx264 -qp 0
    exact libx265 $source mkv "$full" -c:v libx265 -x265-params lossless=1:log-level=error
    exact libvpx-vp9 $source webm "$full" -c:v libvpx-vp9 -lossless 1
    exact libaom-av1 $source mkv "$full" -c:v libaom-av1 -cpu-used 8 -aom-params lossless=1
done >results.4
exact libx265 gray12 mkv :out_range=full -c:v libx265 -x265-params lossless=1:log-level=error >>results.4
for source in gray gray10 gray12 gray16be; do exact ffv1_in_matroska $source mkv :out_range=full -c:v ffv1; done >>results.4
wait

grep -hv '^none' results.[1234]
none=$(sed -n 's/^none //p' results.[1234] | tr '\n' ' ')
[ -z "$none" ] || echo "     stock ffmpeg cannot encode: $none"
failed=$(cat results.[1234] | grep -c '^FAIL')
echo "$(cat results.[1234] | grep -Ec '^(ok|FAIL)') cases, $failed failed"
[ $failed = 0 ]
