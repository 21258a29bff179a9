#!/bin/sh
# batch_answers.sh - colorize-batch with `answers: on`: what the network says is kept beside the film and used when the film is
# coloured again, whole and in pieces, after a kill too; and segments with a sheet that has points and a still, in the real
# filter.
set -u
suite=batch_answers
. "$SRC/tests/batch_setup.sh"
lite=$SRC/samples/model.bin
common="--set threads=1 --set size=64 --set repeats=-1"        # the test picture stands still at times
# the last line about answers in a film's log; the sum of what pieces said
answers() { sed -n 's/.*\] \(answers: .*\)/\1/p' "$1.log" | tail -n 1; }
total() {
    sed -n -e 's/.*answers: \([0-9]*\) frames from the file, \([0-9]*\) .*/\1 \2/p' \
        -e 's/.*answers: \([0-9]*\) frames from the net.*/0 \1/p' "$1.log" | awk '{ a += $1; b += $2 } END { print a + 0, b + 0 }'
}
frames_of() { ffmpeg -nostdin -v error -i "$1" -map 0:v -f framemd5 - | grep -v '^#' | sed 's/.*, //'; }

# ---- written, and used again ----

mkdir films
film 2 format=yuv420p -c:v ffv1 -g 5 films/one.mkv
film 1 format=gray -c:v ffv1 films/two.mkv
check first/run batch run films/*.mkv --out a/ --model model.bin $common --key answers=on
check first/from_the_network [ "$(answers a/one.mkv)" = "answers: 48 frames from the network; written" ]
check first/stands_beside_the_film [ -s a/one.mkv.answers -a -s a/two.mkv.answers ]
check first/side_car_names_it says a/one.mkv.json '"name": "one.mkv.answers"'
check first/side_car_has_its_hash says a/one.mkv.json "$(sha256sum a/one.mkv.answers | cut -d ' ' -f 1)"
check first/nothing_left [ -z "$(find a -name '.colorize*')" ]
check plain/run batch run films/one.mkv --out plain/ --model model.bin $common
check plain/film_is_the_same cmp -s plain/one.mkv a/one.mkv
check plain/no_file [ ! -e plain/one.mkv.answers ]
check again/nothing_to_do batch run films/*.mkv --out a/ --model model.bin $common --key answers=on
check again/none says err "0 done, 2 were done already"
kept=$(sha256sum <a/one.mkv.answers)
weak="--set strength=0.5 --set saturation=1.5 --set stabilize=0.3"
check other/run batch run films/one.mkv --out a/ --model model.bin $common --key answers=on $weak
check other/no_network [ "$(answers a/one.mkv)" = "answers: 48 frames from the file, 0 from the network; written" ]
check other/want batch run films/one.mkv --out want/ --model model.bin $common $weak
check other/film_is_that_of_the_network cmp -s want/one.mkv a/one.mkv
check other/the_file_is_the_same [ "$(sha256sum <a/one.mkv.answers)" = "$kept" ]
check other/side_car says a/one.mkv.json '"answers_from_file": 48'
batch report a/colorize-batch.journal --out report.html
check other/report says report.html "answers: 48 frames from the file, 0 from the network"
check preset/run batch run films/one.mkv --out h/ --model model.bin $common -p h264 --key answers=on
check preset/other_output_has_its_own [ "$(answers h/one.mp4)" = "answers: 48 frames from the network; written" ]
check verify/run batch verify a/one.mkv
check off/run batch run films/one.mkv --out a/ --model model.bin $common --set strength=0.7
check off/the_file_stays [ "$(sha256sum <a/one.mkv.answers)" = "$kept" ]
check off/is_not_used [ -z "$(answers a/one.mkv)" ]

# ---- another model, a file that is none, names ----

check model/run batch run films/two.mkv --out a/ --model "$lite" $common --key answers=on
check model/is_run_anew [ "$(answers a/two.mkv)" = "answers: 24 frames from the network; written" ]
check model/used_then batch run films/two.mkv --out a/ --model "$lite" $common --key answers=on --set saturation=1.3
check model/from_the_file [ "$(answers a/two.mkv)" = "answers: 24 frames from the file, 0 from the network; written" ]
mkdir bad
cp a/two.mkv.answers bad/one.mkv.answers
check wrong/run batch run films/one.mkv --out bad/ --model model.bin $common --key answers=on
check wrong/was_tried says err "has the answers of another model"
check wrong/then_without_it [ "$(answers bad/one.mkv)" = "answers: 48 frames from the network; written" ]
echo mine >bad/two.mkv.answers
check foreign/fails [ "$(batch run films/two.mkv --out bad/ --model model.bin $common --key answers=on; echo $?)" = 1 ]
check foreign/message says err "two.mkv.answers: exists, and is no file of answers; --overwrite replaces it"
check foreign/is_kept [ "$(cat bad/two.mkv.answers)" = mine ]
check foreign/overwrite batch run films/two.mkv --out bad/ --model model.bin $common --key answers=on --overwrite
check foreign/is_replaced [ "$(head -c 5 bad/two.mkv.answers | tail -c 4)" = CLZA ]
check option/refused [ "$(batch run films/two.mkv --out bad/ --model model.bin --set answers_out=x; echo $?)" = 2 ]
check option/message says err 'answers_in and answers_out are no options of a job: the key `answers` does both'
head -c 20000 a/one.mkv.answers >cut.answers
mkdir cut odd
cp cut.answers cut/one.mkv.answers
check cut/run batch run films/one.mkv --out cut/ --model model.bin $common --key answers=on
check cut/used_up_to_there [ "$(total cut/one.mkv | awk '{ print ($1 > 0) ($2 > 0), $1 + $2 }')" = "11 48" ]
check cut/film cmp -s plain/one.mkv cut/one.mkv
check cut/film_is_whole_then [ "$(wc -c <cut/one.mkv.answers)" = "$(wc -c <h/one.mp4.answers)" ]
strange=$(printf "odd/it's [a] %%d, \"q\"; \\ :\n\303\251.mkv")
cp films/two.mkv "$strange"
for n in 1 2; do
    check names/run_$n batch run "$strange" --out named/ --model model.bin $common --key answers=on --set strength=0.$n
done
check names/used [ "$(answers "named/${strange#odd/}")" = "answers: 24 frames from the file, 0 from the network; written" ]

# ---- killed ----

film 5 format=yuv420p -c:v ffv1 films/long.mkv
writes() { [ -n "$(find killed -name 'answers-*' -size +20k 2>/dev/null)" ]; }
"$BUILD/colorize-batch" run films/long.mkv --out killed/ --model "$lite" $common --key answers=on 2>err &
batch_pid=$!
check killed/in_the_middle wait_for writes
kill -9 $batch_pid
wait $batch_pid 2>/dev/null
check killed/goes_on batch run films/long.mkv --out killed/ --model "$lite" $common --key answers=on
check killed/uses_what_was_written [ "$(total killed/long.mkv | awk '{ print ($1 > 0) ($2 > 0), $1 + $2 }')" = "11 120" ]
check killed/want batch run films/long.mkv --out want/ --model "$lite" $common --key answers=on
check killed/film cmp -s want/long.mkv killed/long.mkv
check killed/answers_are_all_there [ "$(wc -c <want/long.mkv.answers)" = "$(wc -c <killed/long.mkv.answers)" ]
check killed/nothing_left [ -z "$(find killed -name '.colorize*')" ]

# ---- pieces; a sheet with points and a still ----

scene() { echo "$1=s=64x34:r=24:d=$2${3:-},format=yuv420p,setsar=1,pad=64:48:0:7"; }
ffmpeg -nostdin -v error -y -f lavfi -i "$(scene testsrc2 2.5)" -f lavfi -i "$(scene testsrc2 2.2 ,negate,hflip)" \
    -f lavfi -i "$(scene mandelbrot 3 | sed 's/:d=3/,trim=end=3/')" \
    -f lavfi -i "$(scene testsrc2 2.1 ,vflip,lutyuv=y=val*0.6+20)" \
    -filter_complex '[0][1][2][3]concat=n=4' -c:v ffv1 films/cuts.mkv
ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=s=64x48:r=1:d=1 -frames:v 1 still.png
printf '10 20 3 #ff0000\n' >mask.txt
printf '%s\n' 'cuts: cuts.csv' 'lines:' "- {shot: 2, points: ['32 24 6 #00c040', '10 30 4 #d02020'], saturation: 2}" \
    '- {shot: 3, reference: still.png}' '- {shot: 3-4, masks: mask.txt, follow: false}' '- {shot: 4, strength: 0.5}' >sheet.yaml
"$BUILD/filter/ffmpeg" -nostdin -v error -i films/cuts.mkv -vf "colorize=$lite:size=64:shots=cuts.csv:shots_only=1" -f null -
check pieces/shots [ "$(grep -cE ',(start|cut|fade),' cuts.csv)" -ge 4 ]
check pieces/whole batch run films/cuts.mkv --out whole/ --model "$lite" $common --key answers=on
check pieces/run batch run films/cuts.mkv --out pieces/ --model "$lite" $common --key answers=on --key segments=48 --parallel 2
check pieces/were_used says pieces/cuts.mkv.log piece-00002
check pieces/film cmp -s whole/cuts.mkv pieces/cuts.mkv
count=$(frames_of whole/cuts.mkv | wc -l)
check pieces/all_from_the_network [ "$(total pieces/cuts.mkv)" = "0 $count" ]
check pieces/sheet/whole batch run films/cuts.mkv --out sheet/ --model "$lite" $common --key sheet=sheet.yaml
check pieces/sheet/changes_it [ "$(frames_of sheet/cuts.mkv)" != "$(frames_of whole/cuts.mkv)" ]
check pieces/sheet/pieces batch run films/cuts.mkv --out sheet-pieces/ --model "$lite" $common --key sheet=sheet.yaml \
    --key segments=48 --parallel 2
check pieces/sheet/were_used says sheet-pieces/cuts.mkv.log piece-00002
check pieces/sheet/film cmp -s sheet/cuts.mkv sheet-pieces/cuts.mkv
# from the joined file, in pieces and whole
check pieces/joined/run batch run films/cuts.mkv --out pieces/ --model "$lite" $common --key answers=on --key segments=48 \
    --key sheet=sheet.yaml
check pieces/joined/film cmp -s sheet/cuts.mkv pieces/cuts.mkv
total pieces/cuts.mkv | awk '{ print ($1 >= 60) ($2 > 0), $1 + $2 }' >got
check pieces/joined/the_first_shot_is_not_run [ "$(cat got)" = "11 $count" ]
check pieces/joined/whole batch run films/cuts.mkv --out pieces/ --model "$lite" $common --key answers=on \
    --key sheet=sheet.yaml --set strength=0.5
check pieces/joined/nothing_is_run [ "$(total pieces/cuts.mkv)" = "$count 0" ]
check pieces/joined/want batch run films/cuts.mkv --out sheet/ --model "$lite" $common --key sheet=sheet.yaml --set strength=0.5
check pieces/joined/whole_film cmp -s sheet/cuts.mkv pieces/cuts.mkv

# ---- units of a plan ----

printf '%s\n' "defaults: {model: \"$lite\", out: units, segments: 48, answers: on," \
    "  options: {threads: 1, size: 64, repeats: -1}}" \
    'jobs: [films/cuts.mkv]' >plan.yaml
check plan/plan batch plan plan.yaml
cp out plan.jsonl
for i in $(seq 0 $(($(wc -l <plan.jsonl) - 1))); do check plan/unit_$i batch run --index $i plan.jsonl; done
check plan/merge batch merge plan.jsonl
check plan/film cmp -s whole/cuts.mkv units/cuts.mkv
check plan/answers [ -s units/cuts.mkv.answers ]
sed -i 's/threads: 1/threads: 1, saturation: 2/' plan.yaml
check plan/again batch run plan.yaml
check plan/no_network [ "$(total units/cuts.mkv)" = "$count 0" ]

echo "$cases cases, $failed failed"
[ $failed = 0 ]
