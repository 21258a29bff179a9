#!/bin/sh
# phases.sh - a training of two phases end to end: the files, columns and messages of the adversarial phase; stopped and killed in
# either phase it gives the same weights as uninterrupted. tests/gan.c has the arithmetic, and what it does to the colours.
set -u
: "${BUILD:?the build folder}" "${SRC:?the source root}"
BUILD=$(cd "$BUILD" && pwd) SRC=$(cd "$SRC" && pwd)
train=$BUILD/colorize-train
[ -x "$train" ] || { echo "skip no $train"; exit 77; }
command -v ffmpeg >/dev/null || { echo "skip no ffmpeg"; exit 77; }

dir=$(mktemp -d) || exit 1
pid=
trap 'rm -rf "$dir"' EXIT
trap '[ -z "$pid" ] || kill -9 $pid; exit 1' INT TERM
cd "$dir" || exit 1

cases=0 failed=0
pass() { cases=$((cases + 1)); echo "ok   phases/$1"; }
fault() {
    cases=$((cases + 1)) failed=$((failed + 1))
    echo "FAIL phases/$1"
    shift
    [ $# = 0 ] || echo "  $*"
    [ ! -s err ] || tail -n 6 err | sed 's/^/  | /'
}
check() { name=$1; shift; if "$@"; then pass "$name"; else fault "$name" "false: $*"; fi; }
same() { name=$1; if [ -s "$2" ] && cmp -s "$2" "$3"; then pass "$name"; else fault "$name" "$2 and $3 differ"; fi; }
ends() {
    name=$1 status=$2 words=$3; shift 3
    "$@" >out 2>err; got=$?
    if [ $got != "$status" ]; then fault "$name" "status $got, should be $status"
    elif cat out err | grep -q "$words"; then pass "$name"
    else fault "$name" "its output does not contain '$words'"; fi
}
sha() { "$train" info "$1" | sed -n 's/^sha256 *\([0-9a-f]*\).*/\1/p'; }
# column FOLDER NAME: lines "step value" where the last column of that name has a value
column() {
    awk -F, -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) n = i; next } $n != "" { print $1, $n }' \
        "$1/metrics.csv"
}
value() { column "$1" "$2" | awk -v step="$3" '$1 == step { print $2 }'; }
is() { awk "BEGIN { exit !($1) }"; }

wave='(0.5+0.45*sin(X/(14+mod(N,5))+N)*cos(Y/(11+mod(N,7))+2*N))'
pictures="color=black:s=48x48:r=24,format=gbrp,geq=r='255*$wave':g='128+40*sin(5*$wave)':b='200*(1-$wave)'"
mkdir photos
ffmpeg -nostdin -v error -f lavfi -i "$pictures" -frames:v 12 photos/%02d.png ||
    { echo "ffmpeg cannot make the pictures"; exit 1; }
cat >r.yaml <<END
train: photos
val: photos
run: straight
size: 32
scale: 36
batch: 4
epochs: 2
luma: 601
film: {grain: 0, blur: 0, gamma: 0, contrast: 0}
lr: 0.002
lr_schedule: constant
warmup: 2
ema: 0.9
loss: {l1: 1}
gan: {steps: 8, lambda: 20}
discriminator: {spectral_norm: true}
device: cpu
threads: 1
workers: 1
save_every: 0
val_every: 4
val_pictures: 4
sheet_every: 0
log_every: 1
END

# ---- what the phase does ----

ends straight/status 0 "model.bin written, step 14" "$train" train r.yaml
check straight/epochs_are_computed grep -q "^steps: 6" straight/recipe.yaml
check straight/phase_is_said grep -q "adversarial phase: steps 7 to 14, a discriminator patchgan of 2765633 parameters" err
check straight/pixel_phase_has_no_discriminator [ -z "$(value straight d 6)" ]
# Spectral norm keeps the first logits near 0; without it PyTorch has 0.75 to 0.87 at this size. The first value of an average is
# the loss itself.
check straight/first_loss_of_the_discriminator is "$(value straight d 7) > 0.65 && $(value straight d 7) < 1.1"
check straight/generator_s_loss [ -n "$(value straight gan 14)" ]
check straight/alarm [ "$(value straight alarm 14)" = 0 ]
for blob in w m v ema d.w d.m d.v d.u; do check "straight/checkpoint_has_$blob" [ -s "straight/ckpt/step-14/$blob" ]; done
best=$(column straight score | sort -k2 -g | tail -1 | cut -d' ' -f1)
check straight/best_bin_is_that_of_the_best_score \
    sh -c "'$train' info straight/best.bin | grep -q '\"steps\": *$best[,}]'"

# ---- stopped and killed in both phases ----

start() { "$train" "$@" >out 2>err & pid=$!; }
rows() { if [ -e stopped/metrics.csv ]; then wc -l <stopped/metrics.csv; else echo 0; fi; }
at_row() { while [ "$(rows)" -le "$1" ] && kill -0 $pid 2>/dev/null; do sleep 0.05; done; }
ended() { wait $pid; got=$?; pid=; if [ $got = "$2" ]; then pass "$1"; else fault "$1" "status $got, should be $2"; fi; }

first=train\ r.yaml\ run=stopped
for row in 3 6 7 9; do              # with a row for each validation, step 6 is row 8
    # shellcheck disable=SC2086
    start $first save_every=1
    first=resume\ stopped
    at_row $row
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
start resume stopped
at_row 12
kill -INT $pid
ended stop/int_is_status_130 130
check stop/int_leaves_a_checkpoint_of_the_phase grep -q "^phase adversarial" "stopped/ckpt/$(cat stopped/ckpt/last)/state"
check stop/int_leaves_a_model [ -s stopped/model.bin ]
ends stop/resumed_to_the_end 0 "step 14" "$train" resume stopped
check stop/same_model [ "$(sha stopped/model.bin)" = "$(sha straight/model.bin)" ]
check stop/same_best [ "$(sha stopped/best.bin)" = "$(sha straight/best.bin)" ]
for blob in w m v ema d.w d.m d.v d.u; do same stop/same_$blob stopped/ckpt/step-14/$blob straight/ckpt/step-14/$blob; done
for run in straight stopped; do cut -d, -f1,2,4- $run/metrics.csv >$run.rows; done      # without pictures/s
same stop/same_metrics stopped.rows straight.rows

# ---- the rest ----

ends pixel/status 0 "model.bin written, step 3" "$train" train r.yaml run=pixel steps=3 gan.steps=0 val='[]'
check pixel/columns_are_as_ever sh -c '! head -1 pixel/metrics.csv | grep -q alarm'
check pixel/no_discriminator [ ! -e pixel/ckpt/step-3/d.w ]
ends continued/a_pixel_run_gets_a_second_phase 0 "step 4" "$train" resume pixel resume=force gan.steps=1
check continued/it_has_a_discriminator [ -s pixel/ckpt/step-4/d.w ]
# A second phase that makes the model worse (its first steps at this rate), after a first one with scores.
"$train" train r.yaml run=kept steps=4 gan.steps=0 val_every=1 lr=0.01 2>err
column kept score >before && cp kept/best.bin best.bin
ends continued/with_scores 0 "step 7" "$train" resume kept resume=force gan.steps=3 gan.lr=0.3 gan.lambda=0 val_every=1
column kept score | head -4 >after
same continued/the_scores_stay after before
check continued/no_old_file [ ! -e kept/metrics.csv.old ]
check continued/the_scores_of_the_phase_are_worse \
    is "$(column kept score | tail -3 | sort -k2 -g | tail -1 | cut -d' ' -f2) < $(sort -k2 -g before | tail -1 | cut -d' ' -f2)"
same continued/best_bin_stays kept/best.bin best.bin
cp -r straight fewer && rm -r fewer/ckpt/step-14 && column straight score | awk '$1 <= 6' >before
ends continued/fewer_columns 0 "step 7" "$train" resume fewer resume=force gan.steps=0 steps=7 val='[]'
check continued/is_said grep -q "metrics.csv has columns that this recipe does not write; it was renamed to .*metrics.csv.old" err
column fewer score >after
same continued/scores_stay_with_fewer_columns after before
# Between the phases a checkpoint is written, without save_every.
check between/checkpoint_of_the_pixel_phase grep -q "^phase pixel" straight/ckpt/step-6/state
"$train" export straight generator.bin 2>err
ends init/a_generator_is_refused_before_the_first_step 2 \
    "discriminator.init: .*generator.bin has no parameter of the net patchgan" \
    "$train" train r.yaml run=init discriminator.init=generator.bin
check init/no_step_was_made [ ! -e init/metrics.csv ]
sed 's/^epochs: 2/steps: 3/; s/^gan: {steps: 8/gan: {epochs: 1/' r.yaml >epochs.yaml
ends length/gan_steps_0_clears_gan_epochs 0 "model.bin written, step 3" "$train" train epochs.yaml run=length gan.steps=0 val='[]'
ends export/of_the_adversarial_phase 0 "x.bin written, step 14" "$train" export straight x.bin
ends export/of_an_earlier_step 0 "early.bin written, step 6" "$train" export straight early.bin step=6
check export/has_its_weights [ "$(sha early.bin)" != "$(sha x.bin)" ]
check export/is_the_generator [ "$(sha x.bin)" = "$(sha straight/model.bin)" ]
ends nogan/critic_and_threshold 0 "step 12" "$train" train r.yaml run=nogan steps=2 gan.steps=10 gan.critic=9 \
    gan.threshold=0.01 val='[]'
check nogan/generator_does_not_learn [ "$(column nogan gan | wc -l)" = 0 ]
check nogan/the_discriminator_does is "$(value nogan d 12) < 0.8 * $(value nogan d 3)"
ends alarm/discriminator_wins 0 "step [0-9]*: the discriminator tells true from predicted colours without fail since 2 steps" \
    "$train" train r.yaml run=alarm steps=2 gan.steps=24 gan.critic=24 gan.alarm=2 gan.lr=0.0005 gan.loss=hinge \
    discriminator.spectral_norm=false val='[]'
check alarm/column is "$(column alarm alarm | awk '$2 == 1' | wc -l) > 0"
ends patience/status 0 "training ends, after 1 validations without a better score than .*best.bin has that model" \
    "$train" train r.yaml run=patience steps=2 gan.steps=40 gan.patience=1 gan.lr=0.3 gan.lambda=0 ema=0 val_every=1 \
    val_pictures=1
check patience/ends_early is "$(column patience score | tail -1 | cut -d' ' -f1) < 42"
ends patience/stays_ended 0 "training ends" "$train" resume patience
ends nan/phase_and_player 65 "step [0-9]*, adversarial phase: loss or gradients of the discriminator were not finite in 50" \
    "$train" train r.yaml run=nan batch=1 steps=2 gan.steps=90 gan.lr=10 discriminator.lr=100 \
    discriminator.spectral_norm=false val='[]'
check nan/the_first_one_is_told grep -q "^warning: step [0-9]*, adversarial phase: .* of the [dg][a-z]*tor are not finite" err

ends half/status 0 "a discriminator patchgan-half of 2765633 parameters" "$train" train r.yaml run=half steps=2 gan.steps=3 \
    size=64 scale=64 discriminator.net=patchgan-half val='[]'
check half/first_loss_of_the_discriminator is "$(value half d 3) > 0.65 && $(value half d 3) < 1.1"
ends half/smallest 2 "32x32 pixels are too small for the discriminator patchgan-half; expected at least 48x48" \
    "$train" train r.yaml run=other discriminator.net=patchgan-half
ends half/unknown 2 'discriminator.net: "patchgam" is not one of patchgan, patchgan-half' \
    "$train" train r.yaml run=other discriminator.net=patchgam

echo "$cases cases, $failed failed"
[ $failed = 0 ]
