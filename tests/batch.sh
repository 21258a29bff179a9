#!/bin/sh
# batch.sh - colorize-batch with the real ffmpeg, filter and library: streams, names, presets, resuming, quarantine, two runs at
# once, full and read-only disks, films and encoders that vanish, segments, verify, status, report.
set -u
suite=batch
. "$SRC/tests/batch_setup.sh"
common="--model model.bin --set threads=1"

# ---- names, streams ----

mkdir films
printf '1\n00:00:00,100 --> 00:00:00,500\nHello\n' >text.srt
printf '%s\n' ';FFMETADATA1' 'title=The Film' '[CHAPTER]' TIMEBASE=1/1000 START=0 END=400 title=one \
    '[CHAPTER]' TIMEBASE=1/1000 START=400 END=1000 title=two >chapters
odd=$(printf "films/-it's [a] %%d, \"q\"; \\ :\n\303\251 \351.mkv")
film 1 format=yuv420p -f lavfi -i sine=d=1 -f lavfi -i sine=f=300:d=1 -i text.srt -i chapters -attach text.srt \
    -metadata:s:t mimetype=text/plain -map 0 -map 1 -map 2 -map 3 -map_metadata 4 -metadata timecode=01:02:03:04 -c:v ffv1 -g 5 \
    -c:a:0 pcm_s16le -c:a:1 aac -c:s srt "file:$odd"
check names/run batch run "$odd" --out colour/ $common
out=colour/${odd#films/}
check streams/sound [ "$(entries a codec_name "file:$out")" = "pcm_s16le aac" ]
check streams/subtitles [ "$(entries s codec_name "file:$out")" = subrip ]
check streams/attachment [ "$(entries t codec_type "file:$out")" = attachment ]
check streams/chapters [ "$(ffprobe -v error -show_chapters -of csv=p=0 "file:$out" | wc -l)" = 2 ]
check streams/title [ "$(ffprobe -v error -show_entries format_tags=title -of csv=p=0 "file:$out")" = "The Film" ]
check streams/timecode says "$out.json" '"lost": []'
check luma/is_said says "$out.json" '"luma": "bit for bit that of the film"'
ffmpeg -nostdin -v error -i "file:$odd" -map 0:v -vf extractplanes=y -f framemd5 - | grep -v '^#' | sed 's/.*, //' >want
ffmpeg -nostdin -v error -i "file:$out" -map 0:v -vf extractplanes=y -f framemd5 - | grep -v '^#' | sed 's/.*, //' >got
check luma/is_bit_for_bit cmp -s want got
check colour/is_there [ "$(ffmpeg -nostdin -v error -i "file:$out" -map 0:v -vf extractplanes=u -f framemd5 - | grep -v '^#' |
    sed 's/.*, //' | sort -u | wc -l)" -gt 12 ]
check names/verify batch verify "$out"
mv "$odd" films/plain.mkv
check mov/run batch run films/plain.mkv --out mov/ $common --preset prores-hq
check mov/loss_is_named_first says err "plain.mkv: lost in mov: stream 4: attachment"
check mov/format [ "$(entries v codec_name,pix_fmt mov/plain.mov)" = prores,yuv422p10le ]
check mov/sound [ "$(entries a codec_name mov/plain.mov)" = "pcm_s16le aac" ]
check mov/subtitles [ "$(entries s codec_name mov/plain.mov)" = mov_text ]
check mov/timecode \
    [ "$(ffprobe -v error -show_entries stream_tags=timecode -of csv=p=0 mov/plain.mov | sort | tail -n 1)" = 01:02:03:04 ]
check sequence/run batch run films/plain.mkv --out dpx/ $common --preset dpx
check sequence/pictures [ "$(find dpx/plain -name '*.dpx' | wc -l)" = 24 ]
check sequence/loss_is_named says err "lost in dpx: stream 1: sound (pcm_s16le)"
check sequence/verify batch verify dpx/plain
check sequence/back batch run dpx/plain --out back/ $common --key rate=24
check sequence/back_format [ "$(entries v codec_name,pix_fmt back/plain.mkv)" = ffv1,gbrp10le ]
rm dpx/plain/00000007.dpx
check sequence/gap [ "$(batch run dpx/plain --out gap/ $common; echo $?)" = 1 ]
check sequence/gap_is_named says err "23 pictures numbered 1 to 24"

# ---- lists that cannot be, files that must not be replaced ----

refused() { # refused NAME WORDS LINES...
    name=$1 words=$2; shift 2
    printf '%s\n' "$@" >bad.yaml
    check "refused/$name/status" [ "$(batch run bad.yaml; echo $?)" = 2 ]
    check "refused/$name/message" says err "$words"
}
refused key 'bad.yaml:2: there is no key "modle" of a job' "jobs:" "- {in: films/plain.mkv, modle: x}"
refused option 'bad.yaml:1: the filter has no option "strenth"' "defaults: {model: model.bin, out: c, options: {strenth: 1}}" \
    "jobs: [a.mkv]"
refused range 'strength: "3" is not a number from 0 to 1' "defaults: {model: model.bin, out: c, options: {strength: 3}}" \
    "jobs: [a.mkv]"
refused preset 'there is no preset "betamax"' "defaults: {preset: betamax}" "jobs: [a.mkv]"
refused twice 'two films would become it' "defaults: {model: model.bin, out: c}" "jobs: [a/x.mkv, b/x.mkv]"
refused itself 'the output is the film itself' "defaults: {model: model.bin}" "jobs:" \
    "- {in: films/plain.mkv, out: films/plain.mkv}"
refused model 'no `model` is given' "jobs:" "- {in: films/plain.mkv, out: c.mkv}"
refused glob 'no file is named as' "defaults: {model: model.bin, out: c}" "jobs:" "- glob: nothing/*.mkv"
refused pieces 'segments and the options shots, qc, shots_only and first_frame exclude' \
    "defaults: {model: model.bin, out: c, segments: auto, options: {first_frame: 3}}" "jobs: [a.mkv]"
refused own_colours 'segments need chroma: ignore' \
    "defaults: {model: model.bin, out: c, segments: auto, options: {chroma: auto}}" "jobs: [a.mkv]"
refused empty 'there are no jobs in it' "jobs: []"
mkdir foreign
echo mine >foreign/plain.mkv
check foreign/fails [ "$(batch run films/plain.mkv --out foreign/ $common; echo $?)" = 1 ]
check foreign/is_kept [ "$(cat foreign/plain.mkv)" = mine ]
check foreign/message says err "exists, and is not of a batch"
check foreign/overwrite batch run films/plain.mkv --out foreign/ $common --overwrite
check foreign/is_replaced [ "$(entries v codec_name foreign/plain.mkv)" = ffv1 ]

mkdir other
cp films/plain.mkv other/plain.mkv
check foreign/other_film [ "$(batch run other/plain.mkv --out foreign/ $common; echo $?)" = 1 ]
check foreign/names_the_film says err "/films/plain.mkv; --overwrite replaces it"

# ---- what changes is done again, and nothing else ----

film 1 format=gray -c:v ffv1 films/grey.mkv
cat >jobs.yaml <<Y
defaults: {model: model.bin, out: again, options: {threads: 1}}
jobs:
- films/plain.mkv
- {in: films/grey.mkv, options: {strength: 0.5}}
Y
made() { grep -o '[0-9]* done, [0-9]* were done already' err; }
check again/first batch run jobs.yaml
check again/both [ "$(made)" = "2 done, 0 were done already" ]
check again/second batch run jobs.yaml
check again/none [ "$(made)" = "0 done, 2 were done already" ]
sed -i 's/strength: 0.5/strength: 0.25/' jobs.yaml
check again/option batch run jobs.yaml
check again/one [ "$(made)" = "1 done, 1 were done already" ]
touch films/plain.mkv
check again/film batch run jobs.yaml
check again/one_film [ "$(made)" = "1 done, 1 were done already" ]
rm again/grey.mkv
check again/output_is_gone batch run jobs.yaml
check again/one_output [ "$(made)" = "1 done, 1 were done already" ]
rm jobs.journal*
check again/journal_is_gone batch run jobs.yaml
check again/side_cars_tell [ "$(made)" = "0 done, 2 were done already" ]
cp model.bin kept.bin
sh "$SRC/tests/make_model.sh" model.bin && printf ' ' >>/dev/null
check again/same_model batch run jobs.yaml
check again/model_is_known_by_content [ "$(made)" = "0 done, 2 were done already" ]

# ---- films that fail ----

head -c 3000 films/plain.mkv >films/cut.mkv
echo "no film" >films/text.mkv
cat >fail.yaml <<Y
defaults: {model: model.bin, out: fail, options: {threads: 1}}
jobs: [films/cut.mkv, films/text.mkv, films/missing.mkv, films/grey.mkv]
Y
check fail/status [ "$(batch run fail.yaml; echo $?)" = 1 ]
check fail/the_others_are_done [ -s fail/grey.mkv ]
check fail/cut_is_quarantined says err "cut.mkv: failed for the third time and is quarantined"
check fail/missing_is_named says err "films/missing.mkv: No such file"
check fail/nothing_under_the_name [ ! -e fail/cut.mkv ]
check fail/log_is_there [ -s fail/cut.mkv.log ]
check fail/nothing_left [ -z "$(find fail -name '.colorize*')" ]
check fail/not_again [ "$(batch run fail.yaml; echo $?)" = 1 ]
check fail/still_quarantined says err "cut.mkv: quarantined after 3 failures"
sed -i 's/films\/cut.mkv/{in: films\/cut.mkv, damage: keep}/' fail.yaml
check fail/keep_damaged [ "$(batch run fail.yaml --retry; echo $?)" = 1 ]
check fail/damaged_film_is_coloured [ "$(entries v codec_name fail/cut.mkv)" = ffv1 ]
check fail/damage_is_noted [ -n "$(sed -n '/"damage": "./p' fail/cut.mkv.json)" ]
check status/run batch status fail.yaml
check status/counts says out "2 done, 1 failed, 1 quarantined"

# The files that a sheet names belong to what a film is known by.
printf '%s\n' 'cuts: shots.csv' 'lines:' '- {shot: 1, masks: [a.txt, b.txt]}' >masks.yaml
for missing in shots.csv a.txt b.txt; do
    check "sheet/$missing/status" [ "$(batch run films/plain.mkv --out sheet/ $common --key sheet=masks.yaml; echo $?)" = 1 ]
    check "sheet/$missing/is_named" says err "$missing: No such file"
    echo '1 1 1 #ff0000' >"$missing"
done
rm shots.csv

# ---- two runs at once ----

mkdir many
for i in 1 2 3 4; do film 2 "format=yuv420p,hue=h=$i" -c:v ffv1 many/$i.mkv; done
"$BUILD/colorize-batch" run many/* --out both/ $common 2>err1 &
first=$!
until_another_works $first both
check both/second batch run many/* --out both/ $common
wait $first
check both/first [ $? = 0 ]
batch history both/colorize-batch.journal
check both/each_once [ "$(grep -c ' done ' out)" = 4 ]
check both/both_worked [ "$(awk '$4 == "done" { print $3 }' out | sort -u | wc -l)" = 2 ]
# A run that has given the film its name, and not yet said so in the journal, still has the claim: the film is not taken as done.
rm -f both/colorize-batch.journal*
claim=both/.colorize-$(printf %s 1.mkv | sha256sum | cut -c 1-16).claim
: >"$claim"
flock "$claim" sleep 8 &
sleep 0.3
check both/adopts_later batch run many/1.mkv --out both/ $common
check both/waits_for_the_claim says err "another run works on it"
check both/adopted [ "$(made)" = "0 done, 1 were done already" ]
wait

# ---- an encoder that dies, a signal, a film that vanishes ----

film 5 format=yuv420p -c:v ffv1 films/long.mkv
ffmpeg_of() { for p in /proc/[0-9]*; do [ "$(readlink "$p/cwd" 2>/dev/null | grep -c "^$dir/$1/")" = 1 ] && basename "$p"; done; }
"$BUILD/colorize-batch" run films/long.mkv --out dies/ $common 2>err &
batch_pid=$!
wait_for working dies
kill -9 $(ffmpeg_of dies)
wait $batch_pid
check dies/is_tried_again [ $? = 0 ]
check dies/reason says err "ffmpeg was killed by signal 9"
"$BUILD/colorize-batch" run films/long.mkv --out term/ $common 2>err &
batch_pid=$!
wait_for working term
kill -TERM $batch_pid
wait $batch_pid
check term/status [ $? = 143 ]
check term/no_film [ ! -e term/long.mkv ]
check term/goes_on batch run films/long.mkv --out term/ $common
check term/the_same cmp -s dies/long.mkv term/long.mkv
cp films/long.mkv films/gone.mkv
"$BUILD/colorize-batch" run films/gone.mkv films/grey.mkv --out gone/ $common 2>err &
batch_pid=$!
wait_for working gone
: >films/gone.mkv
wait $batch_pid
check gone/fails [ $? = 1 ]
check gone/no_film [ ! -e gone/gone.mkv ]
check gone/the_other_is_done [ -s gone/grey.mkv ]

# ---- disks ----

mkdir small
if mount -t tmpfs -o size=20m none small 2>/dev/null; then
    trap 'umount "$dir/small"; rm -rf "$dir"' EXIT
    check full/status [ "$(batch run films/long.mkv --out small/ --journal j1 $common; echo $?)" = 1 ]
    check full/reckoned_before says err "GiB on this disk, which has"
    check full/nothing_left [ -z "$(find small -name 'long*' ! -name '*.log')" ]
    mount -o remount,size=200m small
    check full/then batch run films/long.mkv --out small/ --journal j1 $common
    check full/the_same cmp -s dies/long.mkv small/long.mkv
    mount -o remount,ro small
    check read_only/status [ "$(batch run films/grey.mkv --out small/ --journal j1 $common; echo $?)" = 1 ]
    check read_only/message says err "Read-only file system"
else
    echo "     disks: no tmpfs can be mounted here: not tested"
fi

# ---- segments ----

film 4.1 format=yuv420p -f lavfi -i sine=d=4 -c:v libx264 -bf 3 -g 40 -c:a aac films/gop.mp4
ffmpeg -nostdin -v error -y -itsoffset 0.7 -f lavfi -i testsrc2=s=64x48:r=25:d=4.1,format=yuv420p -f lavfi -i sine=d=5 \
    -c:v mpeg2video -c:a mp2 films/program.mpg
film 4.8 "format=gray10,select='not(eq(mod(n,7),3))',settb=1/1000,setpts='PTS+mod(N,3)*5'" -fps_mode passthrough -c:v ffv1 \
    films/uneven.mkv
films="films/gop.mp4 films/program.mpg films/uneven.mkv"
for preset in ffv1 h264; do
    check segments/$preset/whole batch run $films --out whole-$preset/ $common -p $preset --set stabilize=0 --set bars=off
    check segments/$preset/pieces batch run $films --out pieces-$preset/ $common -p $preset --set stabilize=0 --set bars=off \
        --key segments=48 --parallel 2
    sums whole-$preset >want; sums pieces-$preset >got
    check segments/$preset/the_same cmp -s want got
    films=films/gop.mp4
done
check segments/were_used says pieces-ffv1/gop.mkv.log piece-00001

# With the stabiliser, black bars that are detected, and a sheet: pieces begin at cuts. In the second shot something bright stands
# in a bar; the fourth is shorter than a piece.
scene() { echo "$1=s=64x34:r=24:d=$2${3:-},format=yuv420p,setsar=1,pad=64:48:0:7"; }
box="drawbox=x=20:y=43:w=24:h=3:c=white:t=fill:enable='between(n,9,30)'"
ffmpeg -nostdin -v error -y -f lavfi -i "$(scene testsrc2 2.5)" -f lavfi -i "$(scene testsrc2 2.2 ,negate,hflip),$box" \
    -f lavfi -i "$(scene mandelbrot 3 | sed 's/:d=3/,trim=end=3/')" -f lavfi -i "$(scene testsrc 1)" \
    -f lavfi -i "$(scene testsrc2 2.1 ,vflip,lutyuv=y=val*0.6+20)" \
    -filter_complex '[0][1][2][3][4]concat=n=5' -c:v libx264 -bf 2 -g 50 -qp 4 films/cuts.mp4
printf '%s\n' 'cuts: cuts.csv' 'lines:' '- {from: 1, to: 1.2, hold: true}' '- {from: 6, strength: 0.5}' \
    '- {shot: 3, saturation: 2}' >cuts.yaml
"$BUILD/filter/ffmpeg" -nostdin -v error -i films/cuts.mp4 -vf colorize=model.bin:shots=cuts.csv:shots_only=1 -f null -
check segments/list_of_the_film [ "$(grep -cE '^(0|60|185|209),.*,(start|cut|fade),' cuts.csv)" = 4 ]
check segments/stabilized/whole batch run films/cuts.mp4 --out whole-cuts/ $common
check segments/stabilized/pieces batch run films/cuts.mp4 --out pieces-cuts/ $common --key segments=48 --parallel 2
check segments/stabilized/were_used [ "$(grep -o 'first_frame=[0-9]*' pieces-cuts/cuts.mkv.log | sort -u | tr '\n' ' ')" = \
    "first_frame=0 first_frame=185 first_frame=60 " ]
sums whole-cuts >want; sums pieces-cuts >got
check segments/stabilized/the_same cmp -s want got
check segments/stabilized/sheet_whole batch run films/cuts.mp4 --out whole-sheet/ $common --key sheet=cuts.yaml
check segments/stabilized/sheet_pieces batch run films/cuts.mp4 --out pieces-sheet/ $common --key sheet=cuts.yaml \
    --key segments=48
check segments/stabilized/sheet_were_used says pieces-sheet/cuts.mkv.log piece-00002
sums whole-sheet >want; sums pieces-sheet >got
check segments/stabilized/sheet_the_same cmp -s want got
check segments/stabilized/sheet_changes_it [ "$(sums whole-cuts)" != "$(sums whole-sheet)" ]

# ---- verify, report ----

cp -r whole-ffv1 old
check verify/good batch verify old/gop.mkv old/program.mkv
ffmpeg -nostdin -v error -i old/gop.mkv -map 0 -c copy -metadata title=x -y again.mkv && mv again.mkv old/gop.mkv
check verify/other_bytes [ "$(batch verify old/gop.mkv; echo $?)" = 65 ]
check verify/same_frames says out "all 99 frames are those of its side-car"
ffmpeg -nostdin -v error -i whole-ffv1/gop.mkv -vf "drawbox=x=3:y=3:w=2:h=2:enable='eq(n,77)'" -c:v ffv1 -c:a copy -y old/gop.mkv
check verify/changed [ "$(batch verify old/gop.mkv; echo $?)" = 65 ]
check verify/names_the_frame says out "frame 77: luma"
rm old/program.mkv.json
check verify/no_side_car [ "$(batch verify old/program.mkv; echo $?)" = 1 ]
check report/run batch report fail.yaml --out report.html
check report/pictures [ "$(grep -c 'src="data:image/jpeg;base64,/9j/' report.html)" -ge 1 ]
check report/self_contained [ "$(grep -cE 'https?://|<script|<link' report.html)" = 0 ]
check report/failure says report.html "films/missing.mkv: No such file"

echo "$cases cases, $failed failed"
[ $failed = 0 ]
