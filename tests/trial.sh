#!/bin/sh
# trial.sh - what comes before a training: --dry-run, --overfit-one-batch, lr-find; and the recipe of the tutorial, shortened to a
# few steps: a U-Net on ResNet18 at 256 pixels, L1, then against a discriminator.
set -u
: "${BUILD:?the build folder}" "${SRC:?the source root}"
BUILD=$(cd "$BUILD" && pwd) SRC=$(cd "$SRC" && pwd)
train=$BUILD/colorize-train tutorial=$SRC/samples/recipes/tutorial.yaml
[ -x "$train" ] || { echo "skip no $train"; exit 77; }
command -v ffmpeg >/dev/null || { echo "skip no ffmpeg"; exit 77; }

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1

cases=0 failed=0
pass() { cases=$((cases + 1)); echo "ok   trial/$1"; }
fault() {
    cases=$((cases + 1)) failed=$((failed + 1))
    echo "FAIL trial/$1"
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

# The colour is a function of the luma: dark is blue, bright is orange.
wave='(0.5+0.45*sin(X/(14+mod(N,5))+N)*cos(Y/(11+mod(N,7))+2*N))'
pictures="color=black:s=96x96:r=24,format=gbrp,geq=r='255*$wave':g='128+40*sin(5*$wave)':b='200*(1-$wave)'"
mkdir photos && ffmpeg -nostdin -v error -f lavfi -i "$pictures" -frames:v 8 photos/%02d.png || exit 1
cat >r.yaml <<END
train: photos
val: photos
size: 32
scale: 32
batch: 4
steps: 80
luma: 601
film: {grain: 0, blur: 0, gamma: 0, contrast: 0}
lr: 0.002
warmup: 5
loss: {l1: 0, l2: 10}
device: cpu
threads: 1
workers: 1
END

# ---- dry run ----

ends dry/status 0 "^ *light: 6965186 parameters" "$train" train r.yaml run=none --dry-run
check dry/writes_nothing [ "$(ls | tr '\n' ' ')" = "err out photos r.yaml " ]
check dry/length grep -q "^length  *80 steps of 4 pictures: 40.00 times" out
# a 3x3 convolution of 64 to 64 channels at a quarter of the size: 64 * 64 * 9 * 8 * 8
check dry/multiply_adds awk '$2 == "conv" && $3 == "64x8x8" && $4 == 36864 { n++; ok = $5 == "2.36" }
    END { exit !(n && ok) }' out
cp out dry
ends dry/what_a_training_says 0 "MiB of activations" \
    "$train" train r.yaml run=one steps=1 warmup=0 val_every=0 sheet_pictures=0
mib=$(sed -n 's/.* \([0-9]*\) MiB of activations$/\1/p' err)
check dry/memory_is_that_of_a_training awk -v mib="$mib" '$1 == "cpu" { ok = $3 >= 1.0485 * mib - 1 && $3 <= 1.0486 * mib + 2 }
    END { exit !(ok && mib) }' dry
ends dry/bad_key 2 'no key is called "stepz"' "$train" train r.yaml --dry-run stepz=3
ends dry/no_pictures 1 "train: .*/nothere: No such file" "$train" train r.yaml --dry-run train=nothere
ends dry/size_of_the_net 2 "size: 36 is not a multiple of 32" "$train" train r.yaml --dry-run size=36 scale=36
# the tutorial's nets, parameters and multiply-adds as its PyTorch modules have them; mixed precision in 8 GB
ends dry/tutorial 0 "resnet18-unet: 31099672 parameters, 28.43 G multiply-adds" \
    "$train" train "$tutorial" init= train=photos val=photos threads=1 --dry-run
check dry/discriminator grep -q "patchgan: 2765633 parameters, 3.15 G multiply-adds" out
# measured: 3838 MB in f16 and bf16, 7005 in f32
check dry/tutorial_fits_in_8_GB awk '$1 == "gpu" && $2 != "f32" { n += $7 > 2000 && $7 < 7500 && $9 <= 8 }
    END { exit n != 2 }' out
check dry/f32_takes_more awk '$1 == "gpu" { mb[$2] = $7 }
    END { exit !(mb["f32"] > 1.6 * mb["f16"] && mb["f16"] == mb["bf16"]) }' out
# w, dw, m, v
check dry/weights_and_adam awk '$1 == "gpu" { n += $3 > 16 * 31.0997 && $3 < 16 * 31.3 } END { exit n != 3 }' out

# ---- one batch ----

ends one_batch/learns 0 "the loss fell to 0\\.[0-9]* of its first value: 4 pictures" \
    "$train" train r.yaml --overfit-one-batch steps=40
check one_batch/losses awk '$1 == "step" { n++; if ($2 == 1) first = $4; last = $4; sum = 10 * $6
    same += (sum - $4) ^ 2 < 1e-6 * $4 * $4 } END { exit !(n > 15 && same == n && last < first / 2) }' out
ends one_batch/does_not_learn 65 "the loss went from .* to .* in 10 steps; expected less than half" \
    "$train" train r.yaml --overfit-one-batch steps=10 lr=1e-7
check one_batch/writes_nothing [ ! -e run ]

ends one_batch/of_a_run_to_resume 2 'expected key=value' "$train" resume one --overfit-one-batch
"$train" train r.yaml --overfit-one-batch steps=100000 >out 2>err &
pid=$!
until grep -q "step " out; do sleep 0.2; done
kill -INT $pid
wait $pid
stopped=$?
check one_batch/stops [ "$stopped" = 130 -a "$(tail -1 err)" = stopped ]

# ---- learning rate ----

ends lr_find/status 0 "^steepest  *lr [0-9.e-]*, where" "$train" lr-find r.yaml steps=30 from=1e-5 to=10
check lr_find/suggestion awk '$1 == "steepest" { ok = $3 + 0 >= 2e-5 && $3 + 0 <= 0.5 } END { exit !ok }' out
check lr_find/csv awk -F, 'NR == 1 { ok = $0 == "lr,loss,smoothed"; next } NR > 2 { ok = ok && $1 > before } { before = $1 }
    END { exit !(ok && NR > 12) }' lr.csv
check lr_find/curve [ "$(grep -c '<polyline' lr.csv.html)" = 2 ]
ends lr_find/falls_nowhere 65 "the loss falls nowhere" "$train" lr-find r.yaml steps=10 from=1e-12 to=1e-11
ends lr_find/range 2 "from: 0.1; expected less than to, 0.01" "$train" lr-find r.yaml from=0.1 to=0.01
ends lr_find/no_number 2 "from=x: expected numbers" "$train" lr-find r.yaml from=x
ends lr_find/out_in_no_folder 1 "out: nothere: No such file" "$train" lr-find r.yaml out=nothere/lr.csv

# ---- the tutorial ----

# Every key as it stands, but for lengths: 256 pixels, ResNet18's U-Net, L1, then PatchGAN; batches of 2 instead of 16, an epoch
# of 4 pictures in each phase instead of 20 of 8000, without pretrained weights. A minute on one core.
mkdir few && cp photos/0[1-4].png few
ends tutorial/trains 0 "model.bin written, step 4" "$train" train "$tutorial" init= train=few val=few run=t epochs=1 \
    gan.epochs=1 batch=2 device=cpu threads=1 workers=1 val_every=0 val_pictures=2 sheet_pictures=2 log_every=1
check tutorial/both_phases awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) c[$i] = i; next }
    $c["train_l1"] != "" { l1++; before = $1 < 3; gan += ($c["gan"] != "") == !before; d += ($c["d"] != "") == !before
        lr += ($c["lr"] - (before ? 0.0001 : 0.0002)) ^ 2 < 1e-14 } END { exit !(l1 == 4 && gan == 4 && d == 4 && lr == 4) }' \
    t/metrics.csv
check tutorial/recipe sh -c "grep -q 'net: \"resnet18-unet\"' t/recipe.yaml && grep -q 'lambda: 100' t/recipe.yaml"
check tutorial/sheet [ -s t/samples/step-00000004.png ]
ends tutorial/colours 0 "1 of 1 pictures" "$train" sample t/model.bin photos/01.png out.png threads=1 size=128
ends tutorial/report 0 "t/report.html written" "$train" report t

echo "$cases cases, $failed failed"
[ $failed = 0 ]
