#!/bin/sh
# sample.sh - tests of samples/colorize_ppm: the output is coloured and has the same size and luma; wrong input gives one message.
set -u
: "${BUILD:?the build folder}" "${SRC:?the source root}"
BUILD=$(cd "$BUILD" && pwd) SRC=$(cd "$SRC" && pwd)
export BUILD SRC
program=$BUILD/samples/colorize_ppm
[ -x "$program" ] || { echo "skip no $program"; exit 77; }
command -v ffmpeg >/dev/null || { echo "skip no ffmpeg to make pictures with"; exit 77; }

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
sh "$SRC/tests/make_model.sh" model.bin || exit 1

cases=0 failed=0
check() {
    cases=$((cases + 1)) name=$1; shift
    if "$@"; then echo "ok   sample/$name"; else failed=$((failed + 1)); echo "FAIL sample/$name: false: $*"; fi
}
# refuse NAME STATUS WORDS command...: must fail with this status and one line that contains these words, without an output file
refuse() {
    name=$1 status=$2 words=$3; shift 3
    rm -f bad.ppm
    "$@" >out 2>err; got=$?
    check "$name" [ "$got $(wc -l <err) $(grep -c "$words" err)" = "$status 1 1" -a ! -s out -a ! -e bad.ppm ]
}
samples() { tail -c +"$(($(head -n 3 "$1" | wc -c) + 1))" "$1" | od -An -v -tu1 -w"$2"; }

picture() { ffmpeg -nostdin -v error -f lavfi -i "$1" -frames:v 1 -y "$2"; }
picture testsrc2=s=37x23,format=gray grey.pgm
ffmpeg -nostdin -v error -i grey.pgm -pix_fmt rgb24 -y grey.ppm
picture testsrc2=s=1x1,format=gray dot.pgm

check picture/status "$program" model.bin grey.pgm out.ppm
check picture/head [ "$(head -n 3 out.ppm | tr '\n' ' ')" = "P6 37 23 255 " ]
check picture/length [ "$(wc -c <out.ppm)" = $((13 + 3 * 37 * 23)) ]
# The chroma stays inside the gamut, so luma differs only by the rounding of R, G and B (at most 0.5; measured: 0.463).
samples grey.pgm 1 >y && samples out.ppm 3 >rgb
worst=$(paste -d' ' y rgb |
    awk '{ d = $1 - .299 * $2 - .587 * $3 - .114 * $4; if (d < 0) d = -d; if (d > m) m = d } END { print m }')
check "picture/luma_is_kept_to_$worst" awk "BEGIN { exit !($worst <= 0.51) }"
check picture/has_colour [ "$(awk '$1 != $2 || $2 != $3' rgb | wc -l)" -gt 100 ]
check picture/again "$program" model.bin grey.ppm again.ppm
check picture/ppm_as_pgm cmp -s out.ppm again.ppm
{ printf 'P5 # film\n# and more\n37\t23\n\n255\n'; tail -c $((37 * 23)) grey.pgm; } >comments.pgm
check picture/comments_status "$program" model.bin comments.pgm again.ppm
check picture/comments cmp -s out.ppm again.ppm
check picture/one_pixel "$program" model.bin dot.pgm again.ppm
if [ -e "$SRC/samples/model.bin" ]; then check picture/shipped_model "$program" "$SRC/samples/model.bin" grey.pgm again.ppm; fi

# The header in C++98, where a comma after the last enumerator is an error.
if command -v g++ >/dev/null; then
    echo '#include "colorize.h"' >header.cpp
    check header/cpp98 g++ -std=c++98 -Wpedantic -Wall -Wextra -Werror -I"$SRC/engine" -c header.cpp -o header.o
fi

echo text >text.pgm
printf 'P2\n1 1\n255\n7\n' >plain.pgm
printf 'P5\n0 4\n255\n' >empty.pgm
printf 'P5\n40000 4\n255\n' >large.pgm
printf 'P5\n-4 4\n255\n' >minus.pgm
printf 'P5\n4 4\n65535\n' >deep.pgm
printf 'P5\n4 4' >head.pgm
head -c 500 grey.ppm >short.ppm
head -c 1000 model.bin >bad.bin
refuse wrong/no_arguments 2 usage "$program"
refuse wrong/no_picture 1 "nothere.pgm: No such file" "$program" model.bin nothere.pgm bad.ppm
refuse wrong/folder 1 "^colorize_ppm: .: " "$program" model.bin . bad.ppm
for bad in text plain; do refuse wrong/$bad 1 "$bad.pgm: neither" "$program" model.bin $bad.pgm bad.ppm; done
for bad in empty large minus head; do refuse wrong/$bad 1 "$bad.pgm: bad size" "$program" model.bin $bad.pgm bad.ppm; done
refuse wrong/deep 1 "deep.pgm: not 8 bits" "$program" model.bin deep.pgm bad.ppm
refuse wrong/short 1 "short.ppm: truncated" "$program" model.bin short.ppm bad.ppm
refuse wrong/no_model 1 nothere.bin "$program" nothere.bin grey.pgm bad.ppm
refuse wrong/bad_model 1 bad.bin "$program" bad.bin grey.pgm bad.ppm
refuse wrong/no_folder 1 "no/where.ppm: No such file" "$program" model.bin grey.pgm no/where.ppm
[ ! -e /dev/full ] || refuse wrong/disk_full 1 "/dev/full: " "$program" model.bin grey.pgm /dev/full

echo "$cases cases, $failed failed"
[ $failed = 0 ]
