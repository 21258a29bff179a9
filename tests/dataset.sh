#!/bin/sh
# dataset.sh - the data sets of colorize-train from the command line: `dataset scan` and `stats` of pictures and films.
set -u
: "${BUILD:?the build folder}" "${SRC:?the source root}"
BUILD=$(cd "$BUILD" && pwd) SRC=$(cd "$SRC" && pwd)
train=$BUILD/colorize-train
[ -x "$train" ] || { echo "skip no $train"; exit 77; }
command -v ffmpeg >/dev/null || { echo "skip no ffmpeg"; exit 77; }

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

cases=0 failed=0
pass() { cases=$((cases + 1)); echo "ok   dataset/$1"; }
fault() {
    cases=$((cases + 1)) failed=$((failed + 1))
    echo "FAIL dataset/$1"
    shift
    [ $# = 0 ] || echo "  $*"
    [ ! -s err ] || tail -n 6 err | sed 's/^/  | /'
}
check() { name=$1; shift; if "$@"; then pass "$name"; else fault "$name" "false: $*"; fi; }
# ends NAME STATUS WORDS COMMAND...: the command ends with that status, and its output matches the regular expression WORDS
ends() {
    name=$1 status=$2 words=$3; shift 3
    "$@" >out 2>err; got=$?
    if [ $got != "$status" ]; then fault "$name" "status $got, should be $status"
    elif cat out err | grep -q "$words"; then pass "$name"
    else fault "$name" "its output does not contain '$words'"; fi
}
said() {                                    # of the command before
    name=$1; shift
    if cat out err | grep -q "$@"; then pass "$name"; else fault "$name" "its output does not contain '$*'"; fi
}

# Sixteen different pictures; a film of 12 different frames and 8 times the last.
wave='(0.5+0.45*sin(X/(14+mod(N,5))+N)*cos(Y/(11+mod(N,7))+2*N))'
pictures="color=black:s=96x64:r=16,format=gbrp,geq=r='255*$wave':g='128+40*sin(5*$wave)':b='200*(1-$wave)'"
mkdir photos films
ffmpeg -nostdin -v error -f lavfi -i "$pictures" -frames:v 16 photos/%02d.png &&
ffmpeg -nostdin -v error -f lavfi -i "$pictures" -vf "trim=end_frame=12,tpad=stop=8:stop_mode=clone" -c:v ffv1 \
    -fps_mode passthrough films/a.mkv || { echo "ffmpeg cannot make the pictures"; exit 1; }

# ---- scan, stats ----

ends scan 0 'files          16 pictures, 1 films' "$train" dataset scan photos films
said scan/readable 'readable       16 pictures, 20 frames'
# the film's first 12 frames are the pictures 0 to 11, and equal to them
said scan/duplicates 'duplicates     12, and 8 repeated frames within films'
said scan/duplicate_by_name 'films/a.mkv frame 0 equals photos/01.png'
head -c 300 photos/05.png >photos/cut.png
printf nothing >films/empty.mkv
ends scan/damaged 0 '^unreadable     1 pictures and frames, in 1 files; 1 files cannot be opened$' \
    "$train" dataset scan photos films
said scan/damaged_by_name '^  photos/cut.png$'
said scan/left_out_by_name '^  films/empty.mkv$'
check scan/no_word_of_another_picture sh -c '! grep -q "is used instead" err'
"$train" dataset scan photos films --json >scan.json 2>err
if command -v python3 >/dev/null; then
    cp photos/03.png "$(printf 'photos/q"\\uote \351.png')"     # a name that is not UTF-8
    for what in scan stats; do "$train" dataset $what photos films --json workers=1 >$what-1.json 2>err
        "$train" dataset $what photos films --json workers=3 >$what-3.json 2>>err
        check $what/json_is_the_same_for_any_number_of_workers cmp $what-1.json $what-3.json
    done
    cat >read.py <<'END'
import json
s = json.load(open("scan-1.json"))
assert s["pictures"] == 17 and s["frames"] == 20 and s["film_files"] == 1 and s["unreadable"] == 1, s
assert s["damaged"] == [{"path": "photos/cut.png", "unreadable": 1, "of": 1}], s["damaged"]
assert s["left_out"] == ["films/empty.mkv"], s["left_out"]
assert [{"path": "photos/03.png"}, {"path": 'photos/q"\\uote \ufffd.png'}] in s["duplicates"], s["duplicates"]
assert sum(x["pictures"] for x in s["short_sides"]) == 37 and s["width"] == [96, 96] and s["height"] == [64, 64]
t = json.load(open("stats-1.json"))
assert len(t["bins"]) == 313 and sum(b["pixels"] for b in t["bins"]) == t["pixels"] == 37 * 96 * 64
assert 0 < t["L"]["mean"] < 100 and t["colourfulness"] > 10 and t["nearly_grey"] == 0
END
    check scan/json python3 read.py
else echo "skip dataset/scan/json: no python3"; fi
ends stats 0 'classes        [0-9]* of 313 occur' "$train" dataset stats photos pictures=5 scale=32
said stats/part_of_the_pictures 'pictures       5, 7680 pixels'
ends neither 2 '"look" is neither scan nor stats' "$train" dataset look photos
ends no_path 2 'no folder, video or picture is given' "$train" dataset scan --json
ends not_there 1 'nowhere: No such file' "$train" dataset scan nowhere
ends bad_number 2 'workers: "many"; expected a whole number' "$train" dataset scan photos workers=many

# ---- parts of a data set, in a training ----

rm -f photos/cut.png photos/q*
ffmpeg -nostdin -v error -i photos/01.png -vf hue=s=0 photos/grey.png
cat >r.yaml <<END
net: light
train: [photos, films/a.mkv]
run: run
size: 32
scale: 32
batch: 4
epochs: 1
warmup: 0
save_every: 0
threads: 1
sheet_pictures: 0
END
ends split 0 'nearly grey' "$train" train r.yaml split.share=0.3 min_spread=3 shot_frames=2
said split/grey_is_counted -E '1 of [0-9]+ pictures are nearly grey'
said split/shots_are_counted 'films/a.mkv: [0-9]* shots; [0-9]* of 20 frames are used'
check split/scores_of_validation grep -q 'psnr' run/metrics.csv
used=$(sed -n 's/^train: \([0-9]*\) pictures,.*/\1/p' err)
check split/epochs_count_what_is_left [ "$(tail -1 run/metrics.csv | cut -d, -f1)" = $(((used + 3) / 4)) ]
ends split/resumed 0 '' "$train" resume run steps=20 epochs=0 resume=force
ends split/and_val 2 'val and split are both given' "$train" train r.yaml run=other split.share=0.3 val=photos
ends split/no_list 1 'split.list: .*gone.txt: No such file' "$train" train r.yaml run=other split.list=gone.txt
printf '01.png\n07.png\n' >val.txt
ends split/list 0 '^val: 2 pictures' "$train" train r.yaml run=listed split.list=val.txt steps=2 epochs=0
said split/list_leaves_the_others '^train: 35 pictures'

echo "$cases cases, $failed failed"
[ $failed = 0 ]
