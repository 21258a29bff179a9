#!/bin/sh
# demo.sh - run by `make demo`: colours a film with the installed ffmpeg and the shipped model. Results go to the folder demo/ in
# the current folder.
#
#     make demo               makes a short black-and-white film of the photographs in Debian's lomiri-wallpapers-16.04, colours
#                             it and prints scores against the true colours
#     make demo FILM=path     colours a film of yours: all its frames, with its sound and those of its subtitles that are text
#     MODEL=path              a model other than samples/model.bin
#     SHOTS=8                 number of shots of the short film, one second each
#
# The short film is made in colour, with grain on its luma, and the grey film is its luma. So a coloured frame has the same luma
# as the true one, and the scores depend on colour only.
set -eu
: "${BUILD:?the build folder}" "${SRC:?the source root}"
film=${FILM:-} model=${MODEL:-$SRC/samples/model.bin} shots=${SHOTS:-8} ffmpeg=$BUILD/filter/ffmpeg

fail() { echo "demo: $*" >&2; exit 1; }
[ -e "$model" ] || fail "there is no model $model. Train one (samples/recipes), or give one: make demo MODEL=path"
[ -x "$ffmpeg" ] || fail "the FFmpeg filter is not built. Without --disable-filter, ./configure --install-deps && make builds it."

mkdir -p demo
work=$(mktemp -d demo/work.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# The time in seconds, with decimals if date supports %N.
now() { time=$(date +%s.%N); case $time in *[!0-9.]*|*.) date +%s ;; *) echo "$time" ;; esac; }

# progress TOTAL WHAT: reads the output of ffmpeg -progress. Updates one line on a terminal, else prints a line every ten seconds.
progress() {
    begin=$(now) start=$(date +%s) shown=0 frames=0 every=10
    [ ! -t 1 ] || every=1
    while IFS='=' read -r key value; do
        case $key in
        frame) frames=$((value)); continue ;;
        progress) ;;
        *) continue ;;
        esac
        seconds=$(($(date +%s) - start))
        [ "$value" != end ] || break
        [ $((seconds - shown)) -ge $every ] && [ $frames -gt 0 ] || continue
        shown=$seconds left=
        [ "$1" -le $frames ] || left=" of $1, $((100 * frames / $1)) %, $((seconds * ($1 - frames) / frames)) s left"
        if [ -t 1 ]; then printf '\r\033[K  %s: frame %d%s' "$2" $frames "$left"; else echo "  $2: frame $frames$left"; fi
    done
    [ ! -t 1 ] || printf '\r\033[K'
    [ "$value" = end ] || return 0          # ffmpeg stopped before the end
    LC_ALL=C awk -v what="$2" -v n=$frames -v from="$begin" -v to="$(now)" 'BEGIN {
        s = to - from
        printf("  %s: %d frame%s in %.1f s%s\n", what, n, n == 1 ? "" : "s", s, s > 0 ? sprintf(", %.1f frames/s", n / s) : "") }'
}

# run TOTAL WHAT ffmpeg's arguments...
run() {
    total=$1 what=$2
    shift 2
    rm -f "$work/failed"
    { "$ffmpeg" -nostdin -hide_banner -v level+verbose -progress pipe:1 -y "$@" 2>>demo/log.txt || echo >"$work/failed"; } |
        progress "$total" "$what"
    [ -e "$work/failed" ] || return 0
    sed -n 's/.*\[\(error\|fatal\)\] */demo: ffmpeg: /p' demo/log.txt | head -n 4 >&2
    fail "$what failed; all messages are in demo/log.txt"
}
: >demo/log.txt

# ---- the film ----

if [ -n "$film" ]; then
    case $film in /*) ;; *) film=$PWD/$film ;; esac             # so that ffmpeg does not take a name with a colon for a URL
    [ -e "$film" ] || fail "there is no film $FILM"
    [ ! -d "$film" ] || fail "$FILM is a folder; FILM is one film"
    probe() { ffprobe -v error -select_streams "$1" -show_entries "$2" -of default=noprint_wrappers=1 "$film" 2>>demo/log.txt; }
    facts=$(probe V:0 stream=width,height,avg_frame_rate,nb_frames:format=duration) || fail "ffmpeg cannot read $FILM"
    fact() { echo "$facts" | sed -n "s/^$1=//p" | head -n 1; }
    [ -n "$(fact width)" ] || fail "there are no pictures in $FILM"
    duration=$(fact duration | grep -v N/A || echo 0)
    frames=$(fact nb_frames | grep -v N/A ||
        { fact avg_frame_rate | awk -F/ -v s="$duration" '{ print int(s * $1 / ($2 ? $2 : 1)) }'; })
    step=$(awk -v s="$duration" 'BEGIN { print (s > 0 ? s / 6 : 10) }')
    audio=copy                              # unless MP4 does not support its codec
    for codec in $(probe a stream=codec_name | sed 's/.*=//'); do
        case $codec in aac|ac3|alac|eac3|mp3|opus) ;; *) audio=aac ;; esac
    done
    texts= left=0                           # subtitles: MP4 supports text only; tried first without pictures
    for stream in $(probe s stream=index,codec_name |
        awk -F= '$1 == "index" { i = $2 } $1 == "codec_name" && !seen[i]++ { print i "=" $2 }'); do
        case ${stream#*=} in
        subrip|srt|ass|ssa|mov_text|webvtt|text) texts="$texts -map 0:${stream%=*}" ;;
        *) left=$((left + 1)) ;;
        esac
    done
    # shellcheck disable=SC2086
    if [ -n "$texts" ] && ! "$ffmpeg" -nostdin -v error -i "$film" $texts -c:s mov_text -y "$work/texts.mp4" 2>>demo/log.txt; then
        left=$((left + $(echo "$texts" | grep -o map | wc -l))) texts=
    fi
    [ -z "$texts" ] || texts="$texts -c:s mov_text"
    name=${film##*/} name=${name%.*}
    colour=demo/$name-colour.mp4 picture=demo/$name.png
    echo "Colouring $FILM, $(fact width)x$(fact height)"
    [ $left = 0 ] || echo "  subtitle streams left out because they are not text, which MP4 does not support: $left"
else
    photos=$(dpkg -L lomiri-wallpapers-16.04 2>/dev/null | grep '_by_.*\.jpg$' || :)
    [ -n "$photos" ] || fail "the film is made of photographs of the package lomiri-wallpapers-16.04, which is not installed:" \
                             "run ./configure --install-deps, or give a film of yours: make demo FILM=path"
    # First photographs of different subjects, then all others (some are drawings).
    photos=$(printf '%s\n' $photos | awk '{ name = substr($0, match($0, "[^/]*$")); sub("_by_.*", "", name)
        i = index("Bridge sunset picosdeeuropa friends aitzgorri life seeding Wine", name); print i ? i : 999, $0 }' |
        sort -n | cut -d' ' -f2- | head -n "$shots")
    inputs= graph= labels= i=0
    for photo in $photos; do
        inputs="$inputs -i $photo"
        case $((i % 4)) in                  # pan right, zoom in, pan down, zoom out
        0) move="z=1.25:x=(iw-iw/zoom)*on/24:y=(ih-ih/zoom)/2" ;;
        1) move="z=1+0.3*on/24:x=(iw-iw/zoom)/2:y=(ih-ih/zoom)/2" ;;
        2) move="z=1.25:x=(iw-iw/zoom)/2:y=(ih-ih/zoom)*on/24" ;;
        3) move="z=1.3-0.3*on/24:x=(iw-iw/zoom)/2:y=(ih-ih/zoom)/2" ;;
        esac
        graph="$graph[$i]scale=1920:1080:force_original_aspect_ratio=increase:out_range=tv:flags=area,crop=1920:1080,\
format=yuv444p,zoompan=$move:d=25:s=640x360:fps=25,setsar=1,setparams=range=tv:colorspace=smpte170m[s$i];"
        labels="$labels[s$i]"
        i=$((i + 1))
    done
    shots=$i film=demo/grey.mp4 colour=demo/colour.mp4 picture=demo/demo.png frames=$((25 * i)) step=1 audio=copy texts=
    encode="-c:v libx264 -preset veryfast -crf 18 -colorspace smpte170m -color_range tv"
    echo "Making a film of $shots photographs, and colouring it"
    # shellcheck disable=SC2086
    run $frames "making the film" $inputs -filter_complex \
        "$graph${labels}concat=n=$shots,noise=c0s=9:c0f=t,format=yuv420p,split[true][in];[in]lutyuv=u=128:v=128[grey]" \
        -map '[grey]' $encode "$work/grey.mp4" -map '[true]' $encode "$work/true.mp4"
    mv "$work/grey.mp4" "$work/true.mp4" demo/
fi

# ---- in colour ----

# A file name in a filter graph is escaped twice: as the value of an option, then as part of the graph.
escaped=$(printf '%s' "$model" | sed "s/[\\\\':]/\\\\&/g" | sed "s/[][\\\\',;]/\\\\&/g")
height=240 columns=2 truth=
[ -n "${FILM:-}" ] || height=180 columns=3 truth="-i demo/true.mp4"
# The picture shows the same frames of each film, from the middles of equal intervals. They are written in the same run, so that
# frames side by side have the same time.
shape="scale=trunc(iw*sar*$height/ih/2)*2:$height,setsar=1,format=gbrp"
row="select='gte(t-start_t,$step/2)*(isnan(prev_selected_t)+gte(t-prev_selected_t,0.999*$step))',$shape"
graph="[0:V:0]split[in][g];[in]colorize=$escaped,split[out][c];[out]format=yuv420p,pad=ceil(iw/2)*2:ceil(ih/2)*2[film];\
[g]$row[grey];[c]$row[colour]"
[ $columns = 2 ] || graph="$graph;[1:V:0]$row[true]"
graph="$graph;[grey][colour]$([ $columns = 2 ] || echo '[true]')hstack=$columns[row]"
# passthrough: frames keep their times at any frame rate, and none is dropped or duplicated.
# shellcheck disable=SC2086
run "${frames:-0}" colouring -i "$film" $truth -filter_complex "$graph" \
    -map '[film]' -map '0:a?' -c:a $audio $texts -c:v libx264 -preset veryfast -crf 17 \
    -fps_mode passthrough -enc_time_base 1:90000 -movflags +faststart "$work/colour.mp4" \
    -map '[row]' -fps_mode passthrough "$work/row%03d.png"
mv "$work/colour.mp4" "$colour"
sed -n 's/.*\(colouring with .* batch [0-9].*\)/  \1/p' demo/log.txt | tail -n 1
if [ ! -e "$work/row001.png" ]; then                            # a single frame with longer sound
    run 1 "the picture" -i "$film" -i "$colour" -filter_complex \
        "[0:V:0]$shape[grey];[1:V:0]$shape[colour];[grey][colour]hstack" -frames:v 1 "$work/row%03d.png" >/dev/null
fi
run 1 "the picture" -i "$work/row%03d.png" -vf "tile=1x$(find "$work" -name 'row*.png' | wc -l)" -frames:v 1 -update 1 \
    "$work/picture.png" >/dev/null
mv "$work/picture.png" "$picture"

# ---- results ----

if [ $columns = 3 ]; then
    echo "  scoring $((3 * shots)) frames"
    "$BUILD/colorize-train" compare demo/true.mp4 "$colour" pictures=$((3 * shots)) >"$work/scores" ||
        fail "scoring failed"
    awk 'function line(name) { printf "  %-38s%10.2f%12.2f%8.2f\n", name, $2, $4, $3 }
        NR == 1 { printf "\n  %-38s%10s%12s%8s\n", "", "coloured", "one colour", "grey" }
        $1 == "psnr" { line("PSNR in dB, higher is better") }
        $1 == "de2000" { line("colour difference (CIEDE2000), lower") }
        $1 == "cf_ratio" { line("colourfulness, the true film has 1") }' "$work/scores"
fi
echo
echo "  film      $colour"
[ $columns = 2 ] || echo "            demo/grey.mp4 the grey film, demo/true.mp4 the true colours"
if [ $columns = 3 ]; then what="grey | coloured | true"; else what="grey | coloured"; fi
echo "  picture   $picture: $what"
