#!/bin/sh
# convert_torch.sh - checkpoints that PyTorch writes here and now, in every form, against colorize-train convert: the nets answer
# as PyTorch does. And back: what colorize-train export writes loads with load_state_dict(strict=True). Without PyTorch it is
# skipped; tests/convert.c and tests/pth.c hold the same with what PyTorch once wrote.
set -u
: "${BUILD:?the build folder}" "${SRC:?the source root}"
BUILD=$(cd "$BUILD" && pwd) SRC=$(cd "$SRC" && pwd)
train=$BUILD/colorize-train run=$BUILD/tests/convert
[ -x "$train" ] && [ -x "$run" ] || { echo "skip no $train or no $run"; exit 77; }
for python in python3 /usr/bin/python3 ''; do
    [ -z "$python" ] || ! "$python" -c 'import numpy, torch, torchvision' 2>/dev/null || break
done
[ -n "$python" ] || { echo "skip no python3 with torch and torchvision (packages python3-torch, python3-torchvision)"; exit 77; }

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
torch="$python $SRC/tests/ref/convert_torch.py"
cases=0 failed=0
verdict() {
    cases=$((cases + 1))
    if [ "$2" = 0 ]; then echo "ok   convert_torch/$1  $(tail -1 "$dir/out")"
    else failed=$((failed + 1)); echo "FAIL convert_torch/$1"; cat "$dir/out"; fi
}

$torch make "$dir" >"$dir/out" 2>&1
verdict checkpoints_are_made $?

# answers FILE NET SIZE [NODE]: NODE's tensor where the net goes on behind what the file has
answers() {
    "$train" convert "$dir/$1.pth" "$dir/$1.bin" net="$2" >"$dir/out" 2>&1 &&
    "$run" run "$dir/$1.bin" "$dir/$1.pth.in" "$dir/$1.got" "$3" ${4:+"$4"} >>"$dir/out" 2>&1 &&
    $torch compare "$dir/$1.got" "$dir/$1.pth.want" >>"$dir/out" 2>&1
    verdict "$1_in_$2_answers_as_in_pytorch" $?
    rm -f "$dir/$1.bin" "$dir/$1.got"
}
answers unet unet 256
answers dynamic resnet18-unet 64
answers gan resnet18-unet 64
answers half resnet18-unet 64
"$train" convert "$dir/gan.pth" "$dir/gan.bin" net=patchgan >"$dir/out" 2>&1
verdict discriminator_of_the_same_file $?
"$train" val "$dir/gan.bin" val="$dir" >"$dir/out" 2>&1
[ $? = 2 ] && grep -q "gan.bin is no generator, but patchgan" "$dir/out"
verdict discriminator_is_not_scored $?
rm -f "$dir/gan.bin"
answers strided resnet18-unet 64
answers torchvision resnet18-light 64 encoder.7.1.relu2
answers training resnet18-unet 64 layers.0.7.1.relu2
answers lite0 lite0 64 encoder._blocks.15._bn2
answers head lite0-features 64
"$train" convert "$dir/head.pth" "$dir/head.bin" net=lite0-features >"$dir/out" 2>&1 &&
$torch perceptual "$dir" >>"$dir/out" 2>&1 &&
"$BUILD/tests/perceptual" run "$dir/head.bin" "$dir/perceptual.in" "$dir/perceptual.got" 64 >>"$dir/out" 2>&1 &&
$torch compare "$dir/perceptual.got" "$dir/perceptual.want" >>"$dir/out" 2>&1
verdict perceptual_loss_and_gradient_as_in_pytorch $?
rm -f "$dir/head.bin"

# A run of one step that starts from PyTorch's weights, and back.
cat >"$dir/recipe.yaml" <<'END'
net: resnet18-unet
size: 64
scale: 64
batch: 2
steps: 1
warmup: 0
ema: 0
val_every: 0
save_every: 1
sheet_every: 0
device: cpu
threads: 1
workers: 1
END
mkdir "$dir/photos"
for i in 0 1 2 3; do
    awk -v i=$i 'BEGIN {
        print "P3 80 80 255"
        for (k = 0; k < 6400; k++) print (k * (i + 3)) % 256, (k * 7) % 256, (k + 50 * i) % 256
    }' >"$dir/photos/$i.ppm"
done
"$train" convert "$dir/dynamic.pth" "$dir/start.bin" net=resnet18-unet >"$dir/out" 2>&1 &&
"$train" train "$dir/recipe.yaml" train="$dir/photos" val="$dir/photos" run="$dir/run" init="$dir/start.bin" >>"$dir/out" 2>&1 &&
"$train" export "$dir/run" "$dir/back.safetensors" >>"$dir/out" 2>&1 &&
"$train" export "$dir/run" "$dir/back.bin" f32 >>"$dir/out" 2>&1 &&
$torch load "$dir/back.safetensors" resnet18-unet "$dir/dynamic.pth.in" "$dir/back.want" 64 >>"$dir/out" 2>&1 &&
"$run" run "$dir/back.bin" "$dir/dynamic.pth.in" "$dir/back.got" 64 >>"$dir/out" 2>&1 &&
$torch compare "$dir/back.got" "$dir/back.want" >>"$dir/out" 2>&1
verdict export_loads_strictly_and_answers_alike $?
! "$train" info "$dir/back.safetensors" >"$dir/out" 2>&1 && grep -q 'not a colorize model' "$dir/out"
verdict exported_weights_are_not_taken_for_a_model $?
"$train" convert "$dir/back.safetensors" "$dir/again.bin" input=luma working_shape=frame net=resnet18-unet >"$dir/out" 2>&1 &&
"$run" run "$dir/again.bin" "$dir/dynamic.pth.in" "$dir/again.got" 64 >>"$dir/out" 2>&1 &&
cmp "$dir/again.got" "$dir/back.got" >>"$dir/out" 2>&1
verdict exported_weights_convert_back $?

echo "$cases cases, $failed failed"
[ $failed = 0 ]
