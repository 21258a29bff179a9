#!/bin/sh
# train.sh - colorize-train end to end, on pictures and films made here: training, the run folder, every command; stopped and
# killed runs, which must give the same weights as an uninterrupted one; errors and their messages; broken pictures, folders that
# cannot be written to, a full disk. One thread, since more would wait for each other on a busy machine.
set -u
: "${BUILD:?the build folder}" "${SRC:?the source root}"
BUILD=$(cd "$BUILD" && pwd) SRC=$(cd "$SRC" && pwd)
train=$BUILD/colorize-train
[ -x "$train" ] || { echo "skip no $train"; exit 77; }
command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || { echo "skip no ffmpeg, ffprobe"; exit 77; }

dir=$(mktemp -d) || exit 1
pid=
trap 'rm -rf "$dir"' EXIT
trap '[ -z "$pid" ] || kill -9 $pid; exit 1' INT TERM
cd "$dir" || exit 1

cases=0 failed=0
pass() { cases=$((cases + 1)); echo "ok   train/$1"; }
fault() {
    cases=$((cases + 1)) failed=$((failed + 1))
    echo "FAIL train/$1"
    shift
    [ $# = 0 ] || echo "  $*"
    [ ! -s err ] || tail -n 6 err | sed 's/^/  | /'
}
check() { name=$1; shift; if "$@"; then pass "$name"; else fault "$name" "false: $*"; fi; }
same() { name=$1; if [ -s "$2" ] && cmp -s "$2" "$3"; then pass "$name"; else fault "$name" "$2 and $3 differ"; fi; }
# ends NAME STATUS WORDS COMMAND...: the command ends with that status, and its output matches the regular expression WORDS
ends() {
    name=$1 status=$2 words=$3; shift 3
    "$@" >out 2>err; got=$?
    if [ $got != "$status" ]; then fault "$name" "status $got, should be $status"
    elif cat out err | grep -q "$words"; then pass "$name"
    else fault "$name" "its output does not contain '$words'"; fi
}
sha() { "$train" info "$1" | sed -n 's/^sha256 *\([0-9a-f]*\).*/\1/p'; }
size_of() { ffprobe -v error -show_entries stream=codec_name,width,height -of csv=p=0 "$1"; }

# The colour is a function of the luma: dark is blue, bright is orange. Waves that differ between pictures.
wave='(0.5+0.45*sin(X/(14+mod(N,5))+N)*cos(Y/(11+mod(N,7))+2*N))'
pictures="color=black:s=96x96:r=24,format=gbrp,geq=r='255*$wave':g='128+40*sin(5*$wave)':b='200*(1-$wave)'"
mkdir photos
ffmpeg -nostdin -v error -f lavfi -i "$pictures" -frames:v 24 photos/%02d.png &&
ffmpeg -nostdin -v error -f lavfi -i "$pictures" -frames:v 12 -c:v ffv1 film.mkv ||
    { echo "ffmpeg cannot make the pictures"; exit 1; }
cat >r.yaml <<END
train: photos
val: photos
run: straight
size: 32
scale: 32
batch: 8
steps: 80
luma: 601
film: {grain: 0, blur: 0, gamma: 0, contrast: 0}
lr: 0.002
warmup: 5
ema: 0.5
loss: {l2: 10}
device: cpu
threads: 1
workers: 2
save_every: 0
val_every: 40
sheet_every: 40
sheet_pictures: 4
log_every: 1
license: CC0-1.0
notes: "waves \"and\" more"
END

# ---- training, and the run folder ----

ends learn/status 0 "model.bin written, step 80" "$train" train r.yaml
for file in recipe.yaml metrics.csv model.bin ckpt/last ckpt/step-80/manifest; do
    check "run_folder/$file" [ -s straight/$file ]
done
for step in 40 80; do               # 3 x 4 pictures of 32, gaps of 4
    check run_folder/sheet_of_step_$step [ "$(size_of straight/samples/step-000000$step.png)" = png,104,140 ]
done
column() { awk -F, -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) n = i; next } $n != "" { print $1 }' "$1"; }
seq 1 80 >steps
column straight/metrics.csv train_l1 >got
same metrics/a_row_of_losses_for_each_step got steps
check metrics/scores_at_40_and_80 [ "$(column straight/metrics.csv psnr | tr '\n' ' ')" = "40 80 " ]
check run_folder/recipe_is_complete \
    [ "$(grep -c '^ *[a-z_0-9]*: .' straight/recipe.yaml)" = "$("$train" keys --markdown | sed 1,2d | wc -l)" ]

# TensorBoard's event files say the same: by the reader of tests/events.c, and by TensorBoard's own if it is installed
events=$BUILD/tests/events
if [ -x "$events" ]; then
    "$events" list straight/events >list
    sed -n 's/ train.l1 /,/p' list >losses
    check events/losses awk -F, 'NR == FNR { loss[$1] = $2; next }
        FNR == 1 { for (i = 1; i <= NF; i++) if ($i == "train_l1") n = i; next }
        $n != "" { same += ($n - loss[$1]) ^ 2 <= 1e-12 * $n * $n } END { exit same != 80 }' losses straight/metrics.csv
    check events/scores_and_sheets [ "$(awk '$2 == "val/psnr" || $2 == "samples" { printf "%s %s ", $1, $2 }
        $2 == "samples" { printf "%s ", $3 }' list)" = "40 val/psnr 40 samples 104x140 80 val/psnr 80 samples 104x140 " ]
    check events/one_start [ "$(grep start list)" = "1 start" ]
fi
for python in "${TENSORBOARD_PYTHON:-python3}" python3 ''; do
    [ -z "$python" ] || ! "$python" -c 'import tensorboard' 2>/dev/null || break
done
if [ -n "$python" ]; then
    ends events/tensorboard_reads_them 0 "80 steps" "$python" "$SRC/tests/ref/read_events.py" straight/events
fi
# resumed at step 10, though events of later steps were written: the second file says so, and TensorBoard shows no step twice
"$train" train r.yaml run=again steps=12 save_every=10 val_every=10 >out 2>err && rm -r again/ckpt/step-12 &&
    "$train" resume again >out 2>err
if [ -x "$events" ]; then
    check events/a_file_for_each_start [ "$("$events" list again/events | grep start | tr '\n' ' ')" = "1 start 11 start " ]
fi
[ -z "$python" ] || ends events/tensorboard_shows_no_step_twice 0 "12 steps" \
    "$python" "$SRC/tests/ref/read_events.py" again/events
"$train" train r.yaml run=quiet steps=2 warmup=0 tensorboard=false >out 2>err
check events/none_if_so_said [ -e quiet/metrics.csv -a ! -e quiet/events ]

# ---- report ----

cat >page.py <<'END'
import base64, sys
from html.parser import HTMLParser
class Page(HTMLParser):
    void = {"meta", "img", "br"}
    def __init__(self):
        super().__init__()
        self.open, self.counts, self.text = [], {}, ""
    def handle_starttag(self, tag, attributes):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        for name, value in attributes:
            assert not name.startswith("on") and name != "href", (tag, name)
            if name == "src":
                kind, data = value.split(",")
                assert kind == "data:image/png;base64" and base64.b64decode(data, validate=True).startswith(b"\x89PNG"), kind
        if tag not in self.void: self.open.append(tag)
    def handle_startendtag(self, tag, attributes): self.counts[tag] = self.counts.get(tag, 0) + 1
    def handle_endtag(self, tag): assert self.open.pop() == tag, tag
    def handle_data(self, data): self.text += data
page = Page()
text = open(sys.argv[1], encoding="utf-8").read()
page.feed(text)
assert not page.open and "script" not in page.counts and "link" not in page.counts, page.counts
assert "http:" not in text and "https:" not in text and "url(" not in text
for words in sys.argv[4:]: assert words in page.text, words
assert page.counts["img"] == int(sys.argv[2]), page.counts["img"]
assert str(page.counts["polyline"]) in sys.argv[3].split(","), page.counts["polyline"]
print("whole")
END
# lr, two losses, ten scores, and pictures/s if a run was long enough to be timed; sheets of steps 40 and 80
ends report/of_a_run 0 "straight/report.html written" "$train" report straight
if command -v python3 >/dev/null; then
    ends report/is_whole_and_loads_nothing 0 whole python3 page.py straight/report.html 2 13,14 'notes: "waves' "nearly grey" \
        "80 of 80" "CIEDE2000" "step 40" "learning rate"
fi
mkdir 'a <b>&"c' && cp -r again/. 'a <b>&"c' && rm 'a <b>&"c'/recipe.yaml
ends report/of_several 0 "two.html written" "$train" report straight 'a <b>&"c' out=two.html sheets=1
if command -v python3 >/dev/null; then
    ends report/side_by_side 0 whole python3 page.py two.html 2 26,27,28 'a <b>&"c' "nearly grey"
fi
ends report/no_run 1 "nothere/metrics.csv: the file is missing" "$train" report nothere
ends report/out_in_no_folder 1 "out: nothere: No such file" "$train" report straight out=nothere/x.html

# ---- commands ----

ends val/status 0 "24 pictures" \
    "$train" val straight/model.bin val=photos size=32 scale=32 threads=1 sheet=val.png sheet_pictures=2
# measured: 0.022 in bf16, 0.027 in f32; grey 0.241, mean colour 0.185
check val/three_times_better_than_grey awk '$1 == "l1" { ok = 3 * $2 < $3 && 2 * $2 < $4 } END { exit !ok }' out
check val/sheet [ "$(size_of val.png)" = png,104,68 ]
ends val/saturation_is_a_number 2 'saturation: "abc" is not a number' "$train" val straight/model.bin val=photos saturation=abc
"$train" val straight/model.bin val=photos size=32 scale=32 threads=1 >whole 2>err
"$train" val straight/model.bin val=photos size=32 scale=32 threads=1 saturation=0.5 >half 2>>err
check val/saturation awk '$1 != "cf_ratio" { next } NR == FNR { whole = $2; next }
    { ok = $2 > 0.3 * whole && $2 < 0.7 * whole } END { exit !ok }' whole half
ends val/of_a_film 0 "12 pictures" "$train" val straight/model.bin val=film.mkv size=64 threads=1
check val/film_is_asked_for sh -c '! grep -q "^cdc\|^still\|^fd" out'
cp out table
ends val/film_and_json 0 "^still_change_true " "$train" val straight/model.bin val=film.mkv size=64 threads=1 film=yes json=v.json
check val/steadiness_beside_the_truths awk '$1 == "cdc" || $1 == "cdc_true" { n += $2 > 0 && $2 < 0.7 } END { exit n != 2 }' out
ends val/json_alone 0 '"own_mean"' "$train" val straight/model.bin val=film.mkv size=64 threads=1 film=yes --json
same val/json_is_the_same_in_a_file v.json out
# strictly parsed; a number of the table is that of the JSON, rounded
cat >scores.py <<'END'
import json, sys
def refuse(word): raise ValueError(word)
def once(pairs): assert len(dict(pairs)) == len(pairs); return dict(pairs)
j = json.load(open(sys.argv[1], encoding="utf-8"), parse_constant=refuse, object_pairs_hook=once)
table = [line.split() for line in open(sys.argv[2])]
keys = sys.argv[3:]
assert list(j["scores"]) == keys, list(j["scores"])
rows = [row for row in table[1:] if row[1:2] != ["pictures"]]
assert [row[0] for row in rows if row[0] in j["scores"][keys[0]]] == list(j["scores"][keys[0]])[:len(rows)]
for row in rows:
    for key, text in zip(keys, row[1:]):
        digits = len(text.partition(".")[2])
        if text == "-": assert j["scores"][key][row[0]] is None
        else: assert f"{j['scores'][key][row[0]]:.{digits}f}" == text, (key, row)
assert j["pictures"] == int(table[-1][0])
print("agree")
END
if command -v python3 >/dev/null; then
    ends val/json_is_strict_and_says_what_the_table_says 0 agree python3 scores.py v.json table model grey mean_colour own_mean
fi
ends val/every_frame_of_a_film 2 "val_pictures: 5; expected none with film=yes" \
    "$train" val straight/model.bin val=film.mkv film=yes val_pictures=5
ends val/film_is_yes_or_no 2 'film: "1" is neither no nor yes' "$train" val straight/model.bin val=film.mkv film=1
ends val/features_of_another_net 2 "straight/model.bin is a model of light; expected one of lite0-features" \
    "$train" val straight/model.bin val=film.mkv size=64 threads=1 features=straight/model.bin
ends val/features_that_are_missing 1 "features: nofile.bin: No such file" \
    "$train" val straight/model.bin val=film.mkv features=nofile.bin
ends val/json_in_no_folder 1 "json: nothere: No such file" "$train" val straight/model.bin val=film.mkv json=nothere/x
# pictures of any size are scaled as in the model's training
mkdir large && ffmpeg -nostdin -v error -i photos/%02d.png -frames:v 4 -vf scale=480:480 large/%02d.png
val_large() { ends "$1" 0 "$2" "$train" val "$3" val=large threads=1 batch=4 $4; }
val_large val/scale_is_as_trained "scaled to a short side of 32; scale= changes it" straight/model.bin size=32
cp out trained
val_large val/scale_that_is_given "^4 pictures" straight/model.bin "size=32 scale=32"
check val/scale_that_is_given_is_told_by_nobody sh -c '! grep -q "short side" err'
same val/scale_as_trained_is_that_one out trained
val_large val/scale_0 "^4 pictures" straight/model.bin "size=32 scale=0"
check val/scale_0_is_a_patch_of_the_middle \
    awk '$1 != "l1" { next } NR == FNR { l1 = $2; next } { ok = $2 > 2 * l1 } END { exit !ok }' trained out
check val/scale_0_is_told_by_nobody sh -c '! grep -q "short side" err'
"$train" export straight wider.bin scale=40 2>err && "$train" export straight whole.bin scale=0 2>>err
val_large val/scale_of_the_model "short side of 40;" wider.bin size=32
val_large val/scale_follows_size "short side of 80;" wider.bin size=64
val_large val/scale_of_a_model_trained_without "pictures are not scaled, as in training; scale= changes it" whole.bin \
    size=32
if [ -e "$SRC/samples/model.bin" ]; then            # trained at 128 px of a short side of 224
    val_large val/scale_of_the_shipped_model "short side of 336; scale= changes it" "$SRC/samples/model.bin" ""
    val_large val/scale_of_the_shipped_model_at_64 "short side of 112;" "$SRC/samples/model.bin" size=64
fi
# the network's input is that of the model file: luma or L*, and its scale
"$train" train r.yaml run=lightness luma=lstar steps=10 sheet_every=0 >out 2>err
ends val/lstar_as_trained 0 "^24 pictures" "$train" val lightness/model.bin val=photos size=32 scale=32 threads=1
check val/lstar_is_said grep -q "input is L\* of the colour pixel, as in training; luma= changes it" err
grep '^l1 ' out >lstar
"$train" val lightness/model.bin val=photos size=32 scale=32 threads=1 luma=lstar 2>err | grep '^l1 ' >given
same val/lstar_is_what_luma_lstar_gives lstar given
"$train" val lightness/model.bin val=photos size=32 scale=32 threads=1 luma=601 2>err | grep '^l1 ' >grey
check val/luma_overrules_it sh -c '! cmp -s lstar grey'
LC_ALL=C sed 's/"colorize.l_scale":"50.0"/"colorize.l_scale":"90.0"/' straight/model.bin >scaled.bin
"$train" val scaled.bin val=photos size=32 scale=32 threads=1 2>err | grep '^l1 ' >got
check val/scale_of_the_input sh -c '[ -s got ] && ! grep -qf got whole'
for type in f16 f32 bf16; do
    ends export/$type 0 "^$type.bin written, step 80" "$train" export straight $type.bin $type
    check export/${type}_goes_on_with_nothing sh -c '! grep -q "continuing" err'
    ends info/$type 0 "^net *light" "$train" info $type.bin
done
check info/training_is_json \
    sh -c 'sed -n "s/^training *//p" out | python3 -c "import json, sys; json.load(sys.stdin)" || ! command -v python3 >/dev/null'
check info/license grep -q CC0-1.0 out
check export/f16_has_the_weights_of_the_run [ "$(sha f16.bin)" = "$(sha straight/model.bin)" ]
check export/f32_is_larger [ "$(wc -c <f32.bin)" -gt $(($(wc -c <f16.bin) * 3 / 2)) ]
check export/bf16_is_not [ "$(wc -c <bf16.bin)" -lt $(($(wc -c <f16.bin) * 11 / 10)) ]
"$train" export straight /dev/stdout f16 2>err | cat >piped.bin
same export/dev_stdout piped.bin f16.bin
ln -s linked/model.bin link.bin && mkdir linked && touch linked/model.bin
ends export/through_a_link 0 "^link.bin written" "$train" export straight link.bin
check export/the_link_stays [ -L link.bin ]
same export/it_leads_to_the_model linked/model.bin f16.bin
ends export/escapes 0 "written, step 80" "$train" export straight escapes.bin license="$(printf 'a\033[31mb\302\2331mc\303\251')"
ends info/escapes 0 "^license *a?\[31mb?1mc$(printf '\303\251')\$" "$train" info escapes.bin
ends export/other_type 2 "not one of f16, f32, bf16" "$train" export straight x.bin f64
cp -r straight earlier && sed 's/^lr: .*/lr: 0.01/' straight/recipe.yaml >earlier/recipe.yaml
ends export/of_another_recipe 0 "written, step 80" "$train" export earlier x.bin            # only the net must agree
check export/of_another_recipe_has_the_weights [ "$(sha x.bin)" = "$(sha straight/model.bin)" ]
ends export/to_no_folder 1 "nothere/x.bin" "$train" export straight nothere/x.bin
check export/to_no_folder_in_one_line [ "$(wc -l <err)" = 1 ]
mkdir bare && cp straight/recipe.yaml bare
ends export/no_such_step 1 "straight has no checkpoint of step 61; expected one of 80 (" "$train" export straight x.bin step=61
ends export/step_is_no_number 2 "step" "$train" export straight x.bin step=last
ends export/no_checkpoint 1 "bare has no checkpoint" "$train" export bare x.bin
ends export/run_is_refused 2 "run=other: colorize-train export takes the folder of the run as its first argument" \
    "$train" export straight x.bin run=other
ends export/no_run 1 "nothere/recipe.yaml" "$train" export nothere x.bin
ends export/too_few_arguments 2 "^usage:" "$train" export straight
ends info/no_model 1 "nothere.bin" "$train" info nothere.bin
head -c 100000 f16.bin >short.bin
ends info/short_model 65 "short.bin" "$train" info short.bin
ends nets 0 "^light " "$train" nets
# A head of classes, attention and hints, from a model without them
extras="run=extras init=straight/model.bin head=classes attention=true hints.points=4 loss.l2=0 loss.classes=1 steps=60"
ends extras/train 0 "model.bin written, step 60" "$train" train r.yaml $extras log_every=5 sheet_every=0 val_every=0
check extras/loss_falls awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "classes") c = i }
    NR == 2 { first = $c } $c != "" && NR > 1 { last = $c } END { exit !(c && last < first - 0.5) }' extras/metrics.csv
ends extras/info 0 "^inputs *L, hints$" "$train" info extras/model.bin
ends extras/val 0 "^psnr" "$train" val extras/model.bin val=photos size=32 scale=32
cp out automatic
ends extras/val_with_hints 0 "^psnr" "$train" val extras/model.bin val=photos size=32 scale=32 hints=5
check extras/hints_change_the_answer [ "$(cat out)" != "$(cat automatic)" ]
ends extras/resume 0 "step 61" "$train" resume extras steps=61 resume=force sheet_every=0 val_every=0
ends extras/export_adjusted 0 "written, step 61" "$train" export extras adjusted.bin adjustment=1
check extras/adjustment_changes_the_weights [ "$(sha adjusted.bin)" != "$(sha extras/model.bin)" ]
if "$BUILD/tests/perceptual" write features.bin 2>err; then
    seen="init=straight/model.bin loss.l2=0 loss.perceptual=1 features=features.bin sheet_every=0 val_every=0 steps=40"
    ends perceptual/train 0 "model.bin written, step 40" "$train" train r.yaml run=seen $seen log_every=5
    check perceptual/its_column_is_in_metrics_csv awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "perceptual") c = i }
        NR > 1 && $c != "" { last = $c } END { exit !(c && last > 0) }' seen/metrics.csv
    "$train" train r.yaml run=halves $seen save_every=20 keep=0 >/dev/null 2>&1
    rm -rf halves/ckpt/*40* halves/model.bin
    ends perceptual/resume 0 "model.bin written, step 40" "$train" resume halves
    check perceptual/resumed_is_the_same [ "$(sha halves/model.bin)" = "$(sha seen/model.bin)" ]
    ends perceptual/gan 0 "model.bin written, step 42" "$train" train r.yaml run=both $seen gan.steps=2 gan.lambda=1
    ends perceptual/dry_run 0 "gpu bf16" "$train" train r.yaml run=x $seen --dry-run
fi
ends perceptual/no_features 2 "loss.perceptual is 0.5, but .features. names no model" \
    "$train" train r.yaml run=x loss.perceptual=0.5
ends perceptual/features_are_missing 1 "nofile.bin: No such file" \
    "$train" train r.yaml run=x loss.perceptual=0.5 features=nofile.bin
ends perceptual/features_of_another_net 2 "model.bin is a model of light; expected one of lite0-features" \
    "$train" train r.yaml run=x loss.perceptual=0.5 features=straight/model.bin
ends extras/no_hints 2 "hints=5: the model has no input for hints" "$train" val straight/model.bin val=photos size=32 hints=5
ends extras/number_of_hints 2 'hints: "x"; expected a whole number from 0 to 1000' \
    "$train" val extras/model.bin val=photos hints=x
ends extras/loss_without_head 2 "loss.classes is 1; expected 0, because head is ab" "$train" train r.yaml run=x loss.classes=1
ends extras/adjustment_without_head 2 "adjustment is 0.5; expected 0, because head is ab" \
    "$train" export straight x.bin adjustment=0.5
ends extras/head_of_unet 2 "head: classes: unet cannot have such a head" "$train" train r.yaml run=x net=unet head=classes

ends help 0 "colorize-train resume" "$train" --help
ends version 0 "^colorize-train [0-9]" "$train" --version
ends no_command 2 "colorize-train train" "$train"
ends unknown_command 2 'no command is called "trian"' "$train" trian
ends keys 0 "film.grain" "$train" keys
"$train" keys --markdown >keys.md
sed -n '/^| key | default/,/^$/p' "$SRC/doc/recipe.md" | sed '/^$/d' >doc.md
same keys/doc_recipe_md_is_up_to_date keys.md doc.md
for recipe in "$SRC"/samples/recipes/*.yaml; do
    [ ! -e "$recipe" ] || ends "samples/$(basename "$recipe")" 1 "nothere: No such file" \
        "$train" train "$recipe" train=nothere val=nothere run=sample
done

# ---- sample ----

raw() { ffmpeg -nostdin -v error -i "$1" ${2:+-vf "$2"} -f rawvideo -pix_fmt rgb24 - | od -An -v -tu1 -w3; }
# at the picture's own size, which is not the model's
ffmpeg -nostdin -v error -i photos/03.png -vf crop=70:90 odd.png && ffmpeg -nostdin -v error -i odd.png odd.ppm
ends sample/of_a_picture 0 "one.png: 1 of 1 pictures written" "$train" sample straight/model.bin odd.png one.png threads=1
check sample/of_the_same_size [ "$(size_of one.png)" = png,70,90 ]
raw one.png >one
# colorize_ppm sends Y'UV, whose colours are rounded once more, and clips what is outside of RGB; measured: 1.05 codes, grey 56
if [ -x "$BUILD/samples/colorize_ppm" ]; then
    "$BUILD/samples/colorize_ppm" straight/model.bin odd.ppm lib.ppm 2>err && raw lib.ppm >lib
    check sample/as_the_library_colours_it sh -c "paste one lib | awk '
        { for (i = 1; i <= 3; i++) sum += sqrt((\$i - \$(i + 3)) ^ 2) } END { exit !(NR == 6300 && sum / NR / 3 < 2) }'"
fi
ends sample/strengths_side_by_side 0 "row: grey, then the settings" \
    "$train" sample straight/model.bin odd.png row.png strength=0,1 saturation=1 threads=1
check sample/row [ "$(size_of row.png)" = png,218,90 ]                  # 3 x 70, gaps of 4
raw row.png crop=70:90:0:0 >grey
check sample/grey_is_grey awk '$1 != $2 || $2 != $3 { exit 1 }' grey
raw row.png crop=70:90:74:0 >got
same sample/strength_0_is_grey got grey
raw row.png crop=70:90:148:0 >got
same sample/strength_1_is_the_picture_alone got one
check sample/it_has_colours sh -c '! cmp -s one grey'
mkdir -p album/sub && cp odd.png album/a.png && cp odd.ppm album/sub/a.ppm && cp film.mkv album/film.mkv
ends sample/of_a_folder 0 "coloured: 14 of 14 pictures" "$train" sample straight/model.bin album coloured threads=1
check sample/names sh -c '[ "$(ls coloured | tr "\n" " ")" = "$(echo a-2.png a.png \
    $(seq -f film-%06.0f.png 0 11)) " ]'
ends sample/some_of_them 0 "few: 3 of 3 pictures" "$train" sample straight/model.bin album few threads=1 pictures=3
ends sample/temperature 0 "warm.png: 1 of 1" "$train" sample extras/model.bin odd.png warm.png temperature=1 threads=1
ends sample/temperature_as_trained 0 "cool.png: 1 of 1" "$train" sample extras/model.bin odd.png cool.png threads=1
check sample/temperature_changes_colours sh -c '! cmp -s warm.png cool.png'
ends sample/temperature_of_no_classes 2 "straight/model.bin answers a\*, b\*, no classes" \
    "$train" sample straight/model.bin odd.png x.png temperature=1
ends sample/lists_of_different_length 2 "strength: 2 numbers beside 3 of another; expected one, or as many" \
    "$train" sample straight/model.bin odd.png x.png strength=0,1 saturation=1,2,3
ends sample/out_of_range 2 "strength=1,2: expected numbers from 0 to 1" \
    "$train" sample straight/model.bin odd.png x.png strength=1,2
ends sample/no_picture 1 "sample: nothere: No such file" "$train" sample straight/model.bin nothere x.png

# ---- compare ----

# A red film, and the same with a grey last frame. Computed by hand for sRGB red (Lab 53.24 80.09 67.20): the mean of a* and b* is
# 73.648; the grey of equal L* is 127, so the PSNR is 10 log10(3 * 255^2 / (128^2 + 2 * 127^2)) = 6.032; CIEDE2000 is 104.64
# (chroma with the a* of CIEDE2000) / (1 + 0.045 * 104.64 / 2) = 31.195; colourfulness is 0.3 * sqrt(255^2 + 127.5^2) = 85.53. The
# PSNR of equal frames is 100.
red_film() {
    ffmpeg -nostdin -v error -f lavfi -i "color=black:s=$2:r=24,format=gbrp,geq=r='$4':g='$5':b='$5'" -frames:v "$3" \
        -c:v ffv1 "$1"
}
red_film red.mkv 16x16 2 255 0 && red_film half.mkv 16x16 2 'if(N,200,255)' '200*N' && red_film wide.mkv 16x32 2 255 0 &&
    red_film long.mkv 16x16 3 255 0 || echo "ffmpeg cannot make the films"
# score NAME TOLERANCE FILM [GREY MEAN]: the scores that compare printed
score() {
    awk -v name="$1" -v near="$2" -v want="$3 ${4:-} ${5:-}" '$1 == name { n = split(want, w); ok = n > 0
        for (i = 1; i <= n; i++) ok = ok && $(i + 1) ~ /^[0-9]/ && ($(i + 1) - w[i]) ^ 2 <= near ^ 2 } END { exit !ok }' out
}
ends compare/equal 0 "^12 pictures" "$train" compare film.mkv film.mkv
check compare/equal_l1 score l1 0 0
check compare/equal_psnr score psnr 0 100
check compare/equal_cf_ratio score cf_ratio 0 1
ends compare/half 0 "^2 pictures" "$train" compare red.mkv half.mkv
check compare/half_ab_mae score ab_mae 0.002 36.824 73.648 0        # measured: 0.001, since 8-bit grey has a small a*, b*
check compare/half_psnr score psnr 0.005 53.016 6.032 100
check compare/half_de2000 score de2000 0.004 15.597 31.195 0        # likewise 0.002
check compare/half_cf score cf 0.005 42.7648 0 85.53
check compare/half_cf_true score cf_true 0.005 85.53 85.53 85.53
check compare/half_cf_ratio score cf_ratio 0 0.5 0 1
ends compare/one_frame 0 "^1 pictures" "$train" compare red.mkv half.mkv pictures=1     # the central one of two is the second
check compare/one_frame_psnr score psnr 0.005 6.032 6.032 100
check compare/some_frames_say_nothing_of_steadiness sh -c '! grep -q "^cdc" out'
ends compare/all_frames 0 "^12 pictures" "$train" compare film.mkv film.mkv pictures=0 json=c.json
check compare/as_steady_as_itself awk '$1 == "cdc" || $1 == "still_change" { v[$1] = $2 }
    $1 == "cdc_true" || $1 == "still_change_true" { n += v[substr($1, 1, length($1) - 5)] == $2 } END { exit n != 2 }' out
if command -v python3 >/dev/null; then
    cp out table
    ends compare/json 0 agree python3 scores.py c.json table film grey mean_colour own_mean
fi
# The colour matrix of untagged film is that of the filter: by width too, and of a rotated film the same.
tagged() { ffmpeg -nostdin -v error -f lavfi -i "testsrc2=s=$2,format=yuv444p" -frames:v 1 -c:v ffv1 $3 "$1"; }
# film NAME SIZE MATRIX PSNR: compares a film whose tag is MATRIX with an untagged one
untagged() {
    rm -f tagged.mkv untagged.mkv
    tagged tagged.mkv $2 "-colorspace $3" && tagged untagged.mkv $2 "-color_range tv"
    ends compare/untagged_$1 0 "^1 pictures" "$train" compare tagged.mkv untagged.mkv
    check compare/untagged_$1_is_as_$3 score psnr 0 100
}
untagged wide 1280x534 bt709
untagged high 534x1280 bt709
untagged small 1024x576 smpte170m
tagged 709.mkv 64x48 "-colorspace bt709" && tagged 240m.mkv 64x48 "-colorspace smpte240m"
ends compare/smpte240m 0 "^1 pictures" "$train" compare 709.mkv 240m.mkv
check compare/smpte240m_is_as_bt709 score psnr 0 100
# one line on stderr, nothing on stdout
refuses() { ends "$@"; check "$1_in_one_line" [ "$(wc -l <err)/$(wc -c <out)" = 1/0 ]; }
refuses compare/other_length 2 "the true film has 2 frames, the other 3" "$train" compare red.mkv long.mkv
refuses compare/other_size 2 "frame 0 of the other film is 16x32, expected 16x16 as of the first" \
    "$train" compare red.mkv wide.mkv
refuses compare/no_truth 1 "nothere.mkv: No such file" "$train" compare nothere.mkv red.mkv
refuses compare/no_film 1 "nothere.mkv: No such file" "$train" compare red.mkv nothere.mkv
refuses compare/no_number 2 '"pictures=3x" is not pictures=N' "$train" compare red.mkv red.mkv pictures=3x
refuses compare/unknown_word 2 '"frames=3" is not pictures=N' "$train" compare red.mkv red.mkv frames=3
refuses compare/one_film 2 "^usage:" "$train" compare red.mkv

# ---- orientation of pictures and films: as in stock ffmpeg ----

# turned_jpeg N: a JPEG file with that EXIF orientation. turned_mov A B C D: a film with that display matrix.
ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=64x48 -frames:v 1 -q:v 1 -pix_fmt yuvj444p stored.jpg &&
    ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=64x48 -frames:v 2 -c:v mjpeg -q:v 1 -pix_fmt yuvj444p stored.mov ||
    echo "ffmpeg cannot make the pictures"
turned_jpeg() {
    head -c 2 stored.jpg
    printf '\377\341\000\042Exif\000\000MM\000*\000\000\000\010\000\001'
    printf '\001\022\000\003\000\000\000\001\000\'$(printf %03o $1)'\000\000\000\000\000\000'
    tail -c +3 stored.jpg
}
fixed() { case $1 in 1) printf '\000\001\000\000';; -1) printf '\377\377\000\000';; *) printf '\000\000\000\000';; esac; }
turned_mov() {
    cp stored.mov turned.mov
    at=$(grep -abo tkhd turned.mov | sed 's/:.*//;q')           # box version 0: the matrix is 44 bytes after the type
    { fixed $1; fixed $2; fixed 0; fixed $3; fixed $4; fixed 0; } | dd of=turned.mov bs=1 seek=$((at + 44)) conv=notrunc 2>err
}
ffmpeg -nostdin -v error -y -i stored.jpg stored.png
o=0
for matrix in "1 0 0 1" "-1 0 0 1" "-1 0 0 -1" "1 0 0 -1" "0 1 1 0" "0 1 -1 0" "0 -1 -1 0" "0 -1 1 0"; do
    o=$((o + 1))
    turned_jpeg $o >turned.jpg
    ffmpeg -nostdin -v error -y -i turned.jpg shown.png
    ends orientation/picture_$o 0 "^1 pictures" "$train" compare turned.jpg shown.png
    check orientation/picture_${o}_is_turned sh -c "[ $o = 1 ] || ! cmp -s stored.png shown.png"
    check orientation/picture_${o}_is_as_ffmpeg_shows_it awk '$1 == "psnr" { ok = $2 > 45 } END { exit !ok }' out
    turned_mov $matrix
    ffmpeg -nostdin -v error -y -i turned.mov -c:v ffv1 -pix_fmt gbrp shown.mkv
    ends orientation/film_$o 0 "^2 pictures" "$train" compare turned.mov shown.mkv
    check orientation/film_${o}_is_as_ffmpeg_shows_it awk '$1 == "psnr" { ok = $2 > 45 } END { exit !ok }' out
done

# ---- stopped, killed and resumed runs give the same weights ----

start() { "$train" "$@" workers=1 >out 2>err & pid=$!; }
rows() { if [ -e stopped/metrics.csv ]; then wc -l <stopped/metrics.csv; else echo 0; fi; }
at_row() { while [ "$(rows)" -le "$1" ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done; }
last() { cat stopped/ckpt/last 2>/dev/null; }
ended() { wait $pid; got=$?; pid=; if [ $got = "$2" ]; then pass "$1"; else fault "$1" "status $got, should be $2"; fi; }

start train r.yaml run=stopped save_every=15 keep=2
at_row 5
kill -INT $pid
ended stop/int_is_status_130 130
check stop/int_leaves_a_checkpoint [ -s "stopped/ckpt/$(last)/manifest" ]
check stop/int_says_how_to_go_on grep -q "colorize-train resume" err
mv stopped elsewhere && mkdir other && mv elsewhere other/stopped && ln -s other/stopped stopped    # move the folder
first=$(last)
start resume other/stopped
at_row $((${first#step-} + 2))
ends stop/second_training_in_the_folder 1 "another training" "$train" resume stopped
kill -USR1 $pid
while [ "$(last)" = "$first" ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done
check stop/usr1_writes_a_checkpoint [ "$(last)" != "$first" ]
kill -TERM $pid
ended stop/term_is_status_143 143
for row in 30 50; do
    start resume stopped
    at_row $row
    sleep "$(awk 'BEGIN { srand(); print rand() / 2 }')"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    pid=
done
# temporary files of a process whose PID is in use again
mkdir -p stopped/ckpt/.step-7.tmp.$$ && touch stopped/ckpt/.step-7.tmp.$$/w
for file in ckpt/last model.bin recipe.yaml metrics.csv samples/step-00000040.png; do touch stopped/$file.tmp.$$; done
touch stopped/model.bin.tmp.mine
ends stop/resumed_to_the_end 0 "step 80" "$train" resume stopped workers=1
check stop/killed_runs_leave_nothing_half_done [ "$(find stopped/ -name '*.tmp.*')" = stopped/model.bin.tmp.mine ]
check stop/keep [ "$(ls -d stopped/ckpt/step-* | wc -l)" = 2 ]
check stop/same_weights_in_the_model [ "$(sha stopped/model.bin)" = "$(sha straight/model.bin)" ]
for blob in w m v ema; do same stop/same_$blob stopped/ckpt/step-80/$blob straight/ckpt/step-80/$blob; done
column stopped/metrics.csv train_l1 >got
same stop/metrics_tell_each_step_once got steps
for run in straight stopped; do cut -d, -f1,2,4- $run/metrics.csv >$run.rows; done      # without pictures/s
same stop/same_metrics stopped.rows straight.rows

# killed between the checkpoint and the validation of a step
scores() { column "$1/metrics.csv" psnr | tr '\n' ' '; }
without_80() { cp -r straight "$1" && awk -F, '$1 != 80 || $4$5$6 != ""' straight/metrics.csv >"$1/metrics.csv"; }
without_80 unjudged && without_80 longer
check validation/is_not_there_yet [ "$(scores unjudged)" = "40 " ]
ends validation/at_the_end_is_made_up_for 0 "step 80: val l1" "$train" resume unjudged
cut -d, -f1,2,4- unjudged/metrics.csv >unjudged.rows
same validation/with_the_same_row unjudged.rows straight.rows
"$train" resume unjudged 2>err
check validation/is_made_once [ "$(scores unjudged)" = "40 80 " ]
ends validation/on_the_way_is_made_up_for 0 "step 81" "$train" resume longer resume=force steps=81
check validation/on_the_way_row [ "$(scores longer)" = "40 80 81 " ]

cp straight/recipe.yaml before
ends resume/changed_recipe 2 "trained with another recipe; resume=force" "$train" train r.yaml lr=0.01
same resume/refused_leaves_the_recipe before straight/recipe.yaml
ends resume/run_is_refused 2 "run=other: colorize-train resume takes the folder of the run as its first argument" \
    "$train" resume straight run=other
check resume/run_is_not_made [ ! -e other/ckpt ]
ends resume/never 1 "has checkpoints up to step 80" "$train" train r.yaml resume=never
ends resume/force 0 "continuing from step 80" "$train" train r.yaml resume=force lr=0.01 steps=81 val='[]' sheet_every=0
check resume/force_is_not_stored grep -q '^resume: auto' straight/recipe.yaml
mkdir fewer && cp photos/0*.png fewer
ends resume/changed_pictures 2 "trained with other training pictures" "$train" train straight/recipe.yaml train=fewer

# ---- deleted checkpoints ----

cp -r straight gone && rm -r gone/ckpt
find gone -type f -exec cksum {} + | sort >before
ends gone/resume 1 "gone/ckpt: there is no checkpoint (step-N) to continue from; colorize-train train gone/recipe.yaml" \
    "$train" resume gone
ends gone/train 1 "gone/model.bin exists, but there is no checkpoint in .*gone/ckpt: training would begin at step 0" \
    "$train" train r.yaml run=gone
find gone -type f -exec cksum {} + | sort >after
same gone/nothing_was_overwritten after before
rm gone/model.bin
ends gone/train_without_model_bin 1 "gone/best.bin exists, but there is no checkpoint in .*gone/ckpt" \
    "$train" train r.yaml run=gone
rm gone/best.bin && cp gone/metrics.csv before
ends gone/train_without_models 0 "step 1" "$train" train r.yaml run=gone steps=1 warmup=0 val='[]'
same gone/its_rows_are_kept gone/metrics.csv.old before
ends gone/resume_of_a_recipe 2 "r.yaml is not the folder of a run. colorize-train train takes a recipe" "$train" resume r.yaml

# ---- errors ----

mkdir empty
bad() { printf "$3" >bad.yaml; ends "refused/$1" 2 "$2" "$train" train bad.yaml; }
bad unknown_key 'bad.yaml:2: no key is called "btach"; the nearest is "batch"' 'train: photos\nbtach: 4\n'
ends refused/section 2 'gan: "1" is not a map; the keys of gan are gan.steps, gan.pictures, ' "$train" train r.yaml gan=1
ends refused/section_of_losses 2 'loss: "l1" is not a map; the keys of loss are loss.l1, ' "$train" train r.yaml loss=l1
bad section 'bad.yaml:2: film: "0" is not a map; the keys of film are film.grain, ' 'train: photos\nfilm: 0\n'
bad value 'bad.yaml:3: lr: "fast" is not a number from 0 to 10' 'train: photos\nbatch: 4\nlr: fast\n'
bad warmup 'warmup is 20, more than steps, 10; expected warmup=10 or less' 'train: photos\nsteps: 10\nwarmup: 20\n'
bad not_yaml 'bad.yaml:[0-9]*: not YAML' 'train: [photos\n'
bad no_data 'train: no folder' 'batch: 4\n'
ends refused/argument 2 'batch: "0" is not a whole number from 1' "$train" train r.yaml batch=0
ends refused/size_and_stride 2 "not a multiple of 32" "$train" train r.yaml run=x size=40 scale=0
ends refused/net 2 'net: "lihgt" is not one of light' "$train" train r.yaml run=x net=lihgt
ends refused/long_notes 2 "notes: 2500 bytes" "$train" train r.yaml run=x notes="$(printf %2500d 1)"
latin1=$(printf 'caf\351')
ends refused/license_not_utf8 2 "license: byte 4, 0xe9, is not UTF-8" "$train" train r.yaml run=x license="$latin1"
ends refused/folder_not_utf8 2 "train: byte [0-9]*, 0xe9, is not UTF-8" "$train" train r.yaml run=x train="$latin1"
check refused/not_utf8_leaves_no_run [ ! -e x/recipe.yaml ]
ends refused/missing_recipe 1 "nothere.yaml: No such file" "$train" train nothere.yaml
ends refused/missing_data 1 "train: .*nothere: No such file" "$train" train r.yaml run=x train=nothere
# before decoding: the broken picture has not been reported yet
mkdir undecoded && cp photos/01.png undecoded && echo text >undecoded/text.png
for key in val init; do
    ends refused/missing_$key 1 "$key: .*nothere: No such file" "$train" train r.yaml run=x train=undecoded $key=nothere
    check refused/missing_${key}_before_decoding sh -c '! grep -q text.png err'
done
echo text >text.bin
ends refused/init_is_no_model 65 "text.bin" "$train" train r.yaml run=x train=undecoded init=text.bin
check refused/init_before_decoding sh -c '! grep -q text.png err'
ends refused/empty_val 2 "empty contains no picture" "$train" train r.yaml run=x train=undecoded val=empty
check refused/empty_val_before_decoding sh -c '! grep -q text.png err'
mkfifo fifo.png
ends refused/fifo 2 "train: .*fifo.png is a FIFO; expected a folder, a picture or a video" \
    timeout 20 "$train" train r.yaml run=x train=fifo.png
ends refused/val_fifo 2 "val: fifo.png is a FIFO" timeout 20 "$train" val f16.bin val=fifo.png
ends refused/sheet_in_no_folder 1 "sheet: nothere: No such file" "$train" val f16.bin val=photos sheet=nothere/x.png
check refused/sheet_before_the_scores [ ! -s out ]
ends refused/folder_for_a_recipe 2 "photos is a folder, not a recipe: .* RECIPE.yaml train=photos" "$train" train photos
ends refused/film_for_a_recipe 2 "film.mkv is a picture or a video, not a recipe" "$train" train film.mkv
ends refused/run_for_a_recipe 2 "straight is the folder of a run, not a recipe: colorize-train resume straight" \
    "$train" train straight
ends refused/key_twice 2 "steps is given twice: steps=5 and steps=6" "$train" train r.yaml run=x steps=5 lr=1 steps=6
ends refused/sheet_twice 2 "sheet is given twice" "$train" val f16.bin val=photos sheet=a.png sheet=b.png
ends refused/pictures_twice 2 "pictures is given twice" "$train" compare red.mkv red.mkv pictures=1 pictures=2
ends refused/octal 2 'batch: "010" begins with 0' "$train" train r.yaml run=x batch=010
mkdir '[1920x1080] reel' && cp photos/0*.png '[1920x1080] reel'
ends brackets/folder 0 "^9 pictures" "$train" val f16.bin val='[1920x1080] reel' size=32 scale=32 threads=1
mkdir greys && ffmpeg -nostdin -v error -i photos/%02d.png -vf format=gray greys/%02d.png
ends grey/train_is_warned 0 "warning: train: 24 of 24 pictures are nearly grey" \
    "$train" train r.yaml run=grey.run train=greys val='[]' steps=5 save_every=0
ends grey/val_is_warned 0 "warning: val: 24 of 24 pictures are nearly grey" \
    "$train" val f16.bin val=greys size=32 scale=32 threads=1
ends refused/no_pictures 2 "empty contains no picture" "$train" train r.yaml run=x train=empty
ends refused/no_pictures_leaves_no_run 2 . "$train" train r.yaml run=deep/w1 train=empty
check refused/no_pictures_made_no_run [ ! -e deep/w1 ]
mkdir -p full/samples
ends refused/no_pictures_in_a_folder 2 . "$train" train r.yaml run=full train=empty
check refused/what_was_there_stays [ "$(find full)" = "full
full/samples" ]
for file in recipe.yaml metrics.csv model.bin; do
    mkdir -p fifos && rm -f fifos/* && mkfifo fifos/$file
    ends refused/fifo_$file 2 "fifos/$file is not a regular file" timeout 20 "$train" train r.yaml run=fifos
done
mkdir formats
for file in a.tga b.pcx c.sgi d.m2v e.asf f.MPV; do
    ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=64x48:r=25 -frames:v 1 -strict unofficial \
        $(case $file in *.MPV) echo -f mpeg2video;; esac) formats/$file
done
ends formats/in_a_folder 0 "^6 pictures" "$train" val f16.bin val=formats size=32 scale=32 threads=1
ends refused/val_without_pictures 2 "val: no folder" "$train" val f16.bin
touch file
ends refused/file_in_place_of_the_run 1 "file exists, but is not a folder" "$train" train r.yaml run=file
mkdir blocked && touch blocked/ckpt
ends refused/file_in_place_of_the_checkpoints 1 "blocked/ckpt exists, but is not a folder" "$train" train r.yaml run=blocked
cp r.yaml blocked/recipe.yaml
ends refused/export_of_that 1 "blocked/ckpt: Not a directory" "$train" export blocked x.bin
rm blocked/ckpt && ln -s nowhere blocked/ckpt
ends refused/link_in_place_of_the_checkpoints 1 "blocked/ckpt exists, but is not a folder" "$train" train r.yaml run=blocked
ends refused/device 2 . "$train" train r.yaml run=x device=toaster

# ---- broken pictures ----

mkdir mixed && cp photos/0*.png mixed
head -c 900 photos/10.png >mixed/torn.png
echo text >mixed/text.png
ends broken/training_goes_on 0 "step 6" \
    "$train" train r.yaml run=mixed.run train='[mixed, film.mkv]' cache=none steps=6 val='[]' save_every=0
for name in torn text; do check broken/$name.png_is_reported_once [ "$(grep -c "$name.png" err)" = 1 ]; done

mkdir torn && cp mixed/torn.png mixed/text.png torn
ends broken/all 65 "error: none of 2 pictures can be read" "$train" train r.yaml run=torn.run train=torn val='[]'

# ---- a full disk: one checkpoint (w, m, v: 84 MB), best.bin and the model (14 MB each) fit ----

mkdir disk
cat >full.sh <<'END'
mount -t tmpfs -o size=118m tmpfs disk || exit 99
"$1" train r.yaml run=disk/run ema=0 steps=5 save_every=2 val_every=0 sheet_every=0
echo "status $?, $(ls disk/run/ckpt), $([ -s disk/run/model.bin ] && echo and a model)"
rm -r disk/run
"$1" train r.yaml run=disk/run ema=0 steps=9 save_every=1 val_every=0 sheet_every=0
echo "status $?, $(ls disk/run/ckpt), $([ -s disk/run/model.bin ] && echo and a model)"
END
if [ "$(id -u)" = 0 ] && unshare -m true 2>/dev/null && unshare -m mount -t tmpfs tmpfs disk 2>/dev/null; then
    unshare -m sh full.sh "$train" >out 2>err
    check full_disk/is_said grep -q "step-4: not saved: .* MB are free. Earlier checkpoints are kept" err
    check full_disk/training_goes_on grep -q "training continues" err
    check full_disk/status_and_what_stays [ "$(head -n 2 out | tr '\n' ' ')" = "status 74, last step-2, and a model " ]
    check full_disk/third_time_ends_with_a_model [ "$(tail -n 2 out | tr '\n' ' ')" = "status 74, last step-1, and a model " ]
    check full_disk/third_time_is_said grep -q "step 4: checkpoint not written.*training ends" err
else
    echo "skip train/full_disk: mounting a small disk takes rights this user does not have"
fi

echo "$cases cases, $failed failed"
[ $failed = 0 ]
