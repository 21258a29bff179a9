#!/bin/sh
# demo.sh - tests of samples/demo.sh, which is `make demo`: FILM= with odd sizes, variable frame rate, with and without sound,
# names that need quoting; the film that it makes; the messages if something is missing.
set -u
: "${BUILD:?the build folder}" "${SRC:?the source root}"
BUILD=$(cd "$BUILD" && pwd) SRC=$(cd "$SRC" && pwd)
export BUILD SRC
[ -x "$BUILD/filter/ffmpeg" ] || { echo "skip no $BUILD/filter/ffmpeg"; exit 77; }
COLORIZE_LIBRARY=$BUILD/libcolorize.so.0
export COLORIZE_LIBRARY
unset FILM MODEL SHOTS

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
mkdir "$dir/a folder, it's [1]:" && cd "$dir/a folder, it's [1]:" || exit 1
sh "$SRC/tests/make_model.sh" model.bin || exit 1

cases=0 failed=0
check() {
    cases=$((cases + 1)) name=$1; shift
    if "$@"; then echo "ok   demo/$name"; return; fi
    failed=$((failed + 1))
    echo "FAIL demo/$name: false: $*"
    [ ! -s err ] || sed 's/^/  | /' err
}
demo() { env "MODEL=$PWD/model.bin" "$@" sh "$SRC/samples/demo.sh" >out 2>err; }
# entries of the first stream of a type, as ffprobe prints them
stream() { ffprobe -v error -select_streams "$1:0" -count_frames -show_entries "stream=$2" -of csv=p=0 "$3" | head -n 1; }
size() { stream v width,height "$1"; }
frame_times() {
    ffprobe -v error -select_streams v:0 -show_entries frame=pts_time -of default=nk=1:nw=1 "$1" |
        awk '/^[0-9.]+$/ { printf "%.3f ", $1 }'
}
codecs() { ffprobe -v error -select_streams s -show_entries stream=codec_name -of csv=p=0 "$1" | tr '\n' ' '; }
refuse() { # refuse NAME WORDS setting...
    name=$1 words=$2; shift 2
    if demo "$@"; then check "$name" false; else check "$name" [ "$(wc -l <err) $(grep -c "$words" err)" = "1 1" ]; fi
}

# ---- FILM= ----

film() { filter=$1; shift; ffmpeg -nostdin -v error -f lavfi -i "testsrc2=s=160x120:r=8:d=1,$filter" "$@"; }
film scale=95:61,format=yuv420p -f lavfi -i sine=d=1 -c:v ffv1 -c:a pcm_s16le "it's [a] film, 50%d: 1.mkv"
check odd/status demo "FILM=it's [a] film, 50%d: 1.mkv"
colour="demo/it's [a] film, 50%d: 1-colour.mp4" picture="demo/it's [a] film, 50%d: 1.png"
check odd/size_is_even [ "$(size "$colour")" = 96,62 ]
check odd/frames [ "$(stream v codec_name,nb_read_frames "$colour")" = h264,8 ]
check odd/sound_is_made_fit_for_mp4 [ "$(stream a codec_name "$colour")" = aac ]
cp "$picture" odd.png                   # ffprobe takes the % for a number pattern
check odd/picture_keeps_the_aspect_ratio [ "$(size odd.png)" = 640,960 ]       # 95x61 with an aspect ratio of 4:3
check odd/tells_where grep -qF "$colour" out
check odd/times [ "$(frame_times "$colour")" = "0.000 0.125 0.250 0.375 0.500 0.625 0.750 0.875 " ]

film "scale=96:64,format=gray10,select='not(eq(n,2)+eq(n,3))',settb=1/1000,setpts='N*N*17'" -fps_mode passthrough \
    -c:v ffv1 uneven.mkv
check uneven/status demo "FILM=$PWD/uneven.mkv"
check uneven/no_sound [ -z "$(stream a codec_name demo/uneven-colour.mp4)" ]
check uneven/times [ "$(frame_times demo/uneven-colour.mp4)" = "$(frame_times uneven.mkv)" ]
check uneven/format [ "$(stream v pix_fmt demo/uneven-colour.mp4 | sed s/yuvj/yuv/)" = yuv420p ]

film scale=96:64,format=yuv420p,trim=end_frame=1 -f lavfi -i sine=d=1 -c:a libmp3lame one.mp4
check one_frame/status demo FILM=one.mp4
check one_frame/frames [ "$(stream v nb_read_frames demo/one-colour.mp4)" = 1 ]
check one_frame/sound_as_it_is [ "$(stream a codec_name demo/one-colour.mp4)" = mp3 ]
check one_frame/is_one_frame grep -q ': 1 frame in [0-9]*\.[0-9] s, [0-9.]* frames/s' out
check one_frame/picture [ "$(size demo/one.png)" = 640,240 ]

# Text subtitles are converted to the text format of MP4; bitmap subtitles (a PGS stream of one empty segment) are left out.
printf '1\n00:00:00,250 --> 00:00:00,750\nHello\n' >hello.srt
printf 'PG\000\000\000\000\000\000\000\000\200\000\000' >pictures.sup
film scale=96:64,format=yuv420p -i hello.srt -f sup -i pictures.sup -map 0 -map 1 -map 2 -map 1 \
    -c:v ffv1 -c:s:0 srt -c:s:1 copy -c:s:2 ass -metadata:s:s:0 language=eng subtitles.mkv
check subtitles/film_has_three [ "$(codecs subtitles.mkv)" = "subrip hdmv_pgs_subtitle ass " ]
check subtitles/status demo FILM=subtitles.mkv
colour=demo/subtitles-colour.mp4
check subtitles/frames [ "$(stream v nb_read_frames $colour)" = 8 ]
check subtitles/text_is_kept [ "$(codecs $colour)" = "mov_text mov_text " ]
for i in 0 1; do
    words=$(ffmpeg -nostdin -v error -i $colour -map 0:s:$i -f srt - | sed -n 2,3p | tr '\n' ' ')
    check subtitles/words_$i [ "$words" = "00:00:00,250 --> 00:00:00,750 Hello " ]
done
language=$(ffprobe -v error -select_streams s:0 -show_entries stream_tags=language -of csv=p=0 $colour)
check subtitles/language [ "$language" = eng ]
check subtitles/tells_what_is_left_out grep -q "subtitle streams left out because they are not text.*: 1$" out

# ---- the film that it makes ----

if dpkg -L lomiri-wallpapers-16.04 2>/dev/null | grep -q '_by_.*jpg$'; then
    check own/status demo SHOTS=2
    for file in grey true colour; do
        check own/$file [ "$(stream v width,height,nb_read_frames demo/$file.mp4)" = 640,360,50 ]
    done
    check own/picture [ "$(size demo/demo.png)" = 960,360 ]
    for words in "PSNR" "CIEDE2000" "colourfulness" "demo/colour.mp4" "demo/demo.png"; do
        check "own/prints_$words" grep -q "$words" out
    done
    # The chroma of the grey film is 128, except for the encoder's rounding; that of the true film is not.
    chroma() {
        ffmpeg -nostdin -v error -i "$1" -vf signalstats,metadata=print:file=- -frames:v 1 -f null - |
            sed -n 's/.*SATMAX=//p' | head -n 1
    }
    check own/grey_is_grey [ "$(chroma demo/grey.mp4)" -le 2 ]
    check own/true_is_not [ "$(chroma demo/true.mp4)" -ge 30 ]
else
    echo "skip demo/own: no lomiri-wallpapers-16.04"
fi

# ---- missing files ----

echo text >text.mkv
ffmpeg -nostdin -v error -f lavfi -i sine=d=0.1 sound.wav
refuse wrong/no_film "no film nothere.mkv" FILM=nothere.mkv
refuse wrong/folder "demo is a folder" FILM=demo
refuse wrong/no_film_at_all "cannot read text.mkv" FILM=text.mkv
refuse wrong/sound_only "no pictures in sound.wav" FILM=sound.wav
refuse wrong/no_model "no model nothere.bin" MODEL=nothere.bin
refuse wrong/no_filter "filter is not built" BUILD=.
if demo MODEL=text.mkv FILM=one.mp4; then check wrong/bad_model false
else check wrong/bad_model grep -q "colouring failed" err; fi
check leaves_no_temporary_folder [ -z "$(find demo -name 'work*')" ]

echo "$cases cases, $failed failed"
[ $failed = 0 ]
