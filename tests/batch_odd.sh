#!/bin/sh
# batch_odd.sh - colorize-batch with odd lists, plans, names and films: numbers that do not fit, plans that were edited, lists of
# shots and cuts, names with control characters or ffmpeg's words in them, long tags, side-cars with markup.
set -u
suite=batch_odd stub=yes
. "$SRC/tests/batch_setup.sh"

mkdir films
film 0.3 format=yuv420p -c:v ffv1 films/a.mkv
film 0.3 format=yuv420p,negate -c:v ffv1 films/b.mkv
set -- --model model.bin
status_of() { # status_of NAME STATUS WORDS COMMAND...
    name_=$1 want_=$2 words_=$3; shift 3
    batch "$@"
    got_=$?
    check "$name_" [ $got_ = "$want_" ]
    [ -z "$words_" ] || check "$name_/message" says err "$words_"
}

# ---- plans ----

printf '%s\n' "defaults: {model: model.bin, out: plan}" "jobs: [films/a.mkv, films/b.mkv]" >jobs.yaml
batch plan jobs.yaml
cp out plan.jsonl
printf %s "$(cat plan.jsonl)" >cut.jsonl
status_of index/too_large 2 'is not a number from 0' run --index 4294967296 plan.jsonl
status_of parallel/too_large 2 'is not a number from 1 to 256' run --parallel 4294967297 jobs.yaml
sed 's/"job":[0-9]*/"job":-1/' plan.jsonl >negative.jsonl
status_of plan/negative_job 2 'not a line of colorize-batch plan' run --index 0 negative.jsonl
status_of plan/last_line_without_end 0 '' run --index 1 cut.jsonl
status_of plan/none_after_it 2 'there is no unit 2' run --index 2 cut.jsonl
touch films/a.mkv
status_of plan/changed_film 2 'has changed since the plan' run --index 0 plan.jsonl
check plan/nothing_was_made [ ! -e plan/a.mkv ]

# ---- lists ----

long=$(printf '%500s' '' | tr ' ' 'x')
cat >long.yaml <<Y
defaults: {model: model.bin, out: c, options: {$long: 1}}
jobs: [films/a.mkv]
Y
status_of yaml/long_option 2 'a name has more than 63 bytes' run long.yaml
status_of segments/too_large 2 'is neither off, auto nor a number' run films/a.mkv --out c/ "$@" --key segments=2147483647 \
    --set stabilize=0
mkdir -p scans/reel
ffmpeg -nostdin -v error -i films/a.mkv scans/reel/%04d.png
status_of slash/run 0 '' run scans/reel/ --out slash/ "$@"
check slash/name [ -s slash/reel.mkv ]
printf '%s\n' "defaults: {model: model.bin, out: slash2}" "jobs: [scans/reel//]" >slash.yaml
status_of slash/list 0 '' run slash.yaml
check slash/list_name [ -s slash2/reel.mkv ]

# ---- lists of shots and cuts ----

mkdir lists
cat >lists/jobs.yaml <<Y
defaults: {model: ../model.bin, out: ../shots}
jobs: [{in: ../films/a.mkv, options: {shots: a.csv, cuts: cuts.csv}}]
Y
status_of cuts/missing 1 'lists/cuts.csv: No such file' run lists/jobs.yaml
echo '0' >lists/cuts.csv
status_of cuts/run 0 '' run lists/jobs.yaml
check cuts/paths_are_absolute says shots/a.mkv.log "cuts=$dir/lists/"
check shots/path_is_absolute says shots/a.mkv.log "shots=$dir/lists/"
status_of cuts/again 0 '1 were done already' run lists/jobs.yaml
echo '3' >>lists/cuts.csv
status_of cuts/edited 0 '1 done, 0 were done already' run lists/jobs.yaml

# ---- hints ----

cat >lists/hints.yaml <<Y
defaults: {model: ../model.bin, out: ../hints}
jobs: [{in: ../films/a.mkv, options: {hints: coat.txt}}]
Y
status_of hints/missing 1 'lists/coat.txt: No such file' run lists/hints.yaml
echo '50% 50% 3 #ff0000' >lists/coat.txt
status_of hints/run 0 '' run lists/hints.yaml
check hints/path_is_absolute says hints/a.mkv.log "hints=$dir/lists/"
status_of hints/again 0 '1 were done already' run lists/hints.yaml
echo '10% 50% 3 #0000ff' >>lists/coat.txt
status_of hints/edited 0 '1 done, 0 were done already' run lists/hints.yaml

# ---- shot sheets ----

cat >lists/sheets.yaml <<Y
defaults: {model: ../model.bin, out: ../sheets}
jobs: [{in: ../films/a.mkv, sheet: a.yaml}]
Y
status_of sheet/missing 1 'lists/a.yaml: No such file' run lists/sheets.yaml
printf '%s\n' 'cuts: sheet.csv' 'lines:' '- {from: 0.2, strength: 0}' >lists/a.yaml
status_of sheet/list_missing 1 'lists/sheet.csv: No such file' run lists/sheets.yaml
echo '0,0,start' >lists/sheet.csv
status_of sheet/run 0 '' run lists/sheets.yaml
check sheet/path_is_absolute says sheets/a.mkv.log "sheet=$dir/lists/"
status_of sheet/again 0 '1 were done already' run lists/sheets.yaml
echo '- {shot: 1, strength: 0.5}' >>lists/a.yaml
status_of sheet/edited 0 '1 done, 0 were done already' run lists/sheets.yaml
echo '3,0.1,cut' >>lists/sheet.csv
status_of sheet/list_edited 0 '1 done, 0 were done already' run lists/sheets.yaml
status_of sheet/empty_name 2 'sheet: the name is empty' run films/a.mkv --out c/ "$@" --key sheet=
status_of sheet/no_yaml 1 'not YAML' run films/a.mkv --out c/ "$@" --key sheet=films/a.mkv

status_of qc/two_films 2 'two films would write this file of figures' run films/a.mkv films/b.mkv --out c/ "$@" --set qc=q.csv
status_of qc/segments 2 'exclude each other' run films/a.mkv --out c/ "$@" --set qc=q.csv --set stabilize=0 --key segments=48
status_of shots/two_films 2 'two films would write this list of shots' run films/a.mkv films/b.mkv --out c/ "$@" --set shots=s.csv
status_of shots/segments 2 'exclude each other' run films/a.mkv --out c/ "$@" --set shots=s.csv --set stabilize=0 \
    --key segments=48
status_of shots/watch 2 'every film would write the same file' run --watch films --out c/ "$@" --set shots=s.csv

# ---- models and films that are not there are no fault of the film ----

for i in 1 2 3 4; do batch run films/a.mkv --out late/ --model none.bin; batch run films/none.mkv --out late/ "$@"; done
status_of late/model 0 '' run films/a.mkv --out late/ "$@"
cp films/b.mkv films/none.mkv
status_of late/film 0 '' run films/none.mkv --out late/ "$@"
batch history late/colorize-batch.journal
check late/not_quarantined [ "$(grep -c quarantined out)" = 0 ]

# ---- films ----

mkdir '[error] films'
cp films/a.mkv '[error] films/[error] a.mkv'
status_of names/level 0 '' run '[error] films/[error] a.mkv' --out 'colour/[fatal] x/' "$@"
check names/level/no_damage says 'colour/[fatal] x/[error] a.mkv.json' '"damage": ""'
odd=$(printf 'films/line\nend \033[31m.mkv')
cp films/a.mkv "$odd"
status_of names/control 0 '' run "$odd" --out odd/ "$@"
check names/control/messages [ "$(LC_ALL=C tr -d '\n -~' <err | wc -c)" = 0 ]
batch status odd/colorize-batch.journal
check names/control/status says out 'line\x0aend \x1b[31m.mkv'
check names/control/one_row [ "$(wc -l <out)" = 2 ]
ffmpeg -nostdin -v error -i films/a.mkv -c copy -metadata "comment=$(printf '%20000s' '' | tr ' ' y)" films/tag.mkv
status_of tag/of_20000_bytes 0 '' run films/tag.mkv --out tag/ "$@"
film 0.3 format=yuv420p -t 0 -c:v ffv1 films/empty.mkv
status_of empty/without_verify 1 '' run films/empty.mkv --out empty/ "$@" --key verify=off
check empty/no_film [ ! -e empty/empty.mkv ]
sed -i 's/"sha256": "[0-9a-f]*"/"sha256": "<script>alert(1)<\/script>"/' tag/tag.mkv.json
status_of markup/side_car 1 'exists, and is no' run films/tag.mkv --out tag/ "$@" --journal new.journal

echo "$cases cases, $failed failed"
[ $failed = 0 ]
