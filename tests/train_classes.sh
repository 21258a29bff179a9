#!/bin/sh
# train_classes.sh - a generator that is told what is in a picture, end to end: a data set as COCO has it, in which only the
# category tells red pictures from blue ones, a training, both phases, resuming, and a film coloured by what it is said to show.
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
check() {
    cases=$((cases + 1)) name=$1; shift
    if "$@"; then echo "ok   train_classes/$name"; return; fi
    failed=$((failed + 1))
    echo "FAIL train_classes/$name: false: $*"
    [ ! -s err ] || tail -n 6 err | sed 's/^/  | /'
}
# ends NAME STATUS WORDS COMMAND...
ends() {
    name_=$1 status_=$2 words_=$3; shift 3
    "$@" >out 2>err; got_=$?
    check "$name_" [ $got_ = "$status_" ]
    check "$name_/says" grep -q "$words_" out err
}
sha() { "$train" info "$1" | sed -n 's/^sha256 *\([0-9a-f]*\).*/\1/p'; }
psnr() { sed -n 's/^psnr[^0-9]*\([0-9]*\)\..*/\1/p' out; }

# The same grey waves, as red and as blue.
wave='(0.3+0.25*sin(X/(9+mod(N,5))+N)*cos(Y/(7+mod(N,7))+2*N))'
mkdir -p coco/train2017 coco/annotations
grey="color=black:s=64x64:r=24,format=gbrp,geq=r='255*$wave':g='255*$wave':b='255*$wave'"
ffmpeg -nostdin -v error -f lavfi -i "$grey,colorchannelmixer=rr=1.7:gg=0.75:bb=0.75" -frames:v 8 coco/train2017/r%02d.png &&
ffmpeg -nostdin -v error -f lavfi -i "$grey,colorchannelmixer=rr=0.8:gg=0.9:bb=2" -frames:v 8 coco/train2017/b%02d.png ||
    { echo "ffmpeg cannot make the pictures"; exit 1; }
awk 'BEGIN {
    printf "{\"images\":["
    for (i = 1; i <= 16; i++)
        printf "%s{\"id\":%d,\"file_name\":\"%s%02d.png\"}", (i > 1 ? "," : ""), i, (i > 8 ? "b" : "r"), (i - 1) % 8 + 1
    printf "],\"annotations\":["
    for (i = 1; i <= 16; i++) printf "%s{\"id\":%d,\"image_id\":%d,\"category_id\":%d}", (i > 1 ? "," : ""), i, i, (i > 8 ? 7 : 3)
    print "],\"categories\":[{\"id\":3,\"name\":\"fire engine\"},{\"id\":5,\"name\":\"nothing\"},{\"id\":7,\"name\":\"sea\"}]}"
}' >coco/annotations/instances_train2017.json
cat >r.yaml <<Y
net: light
classes: {names: [sea, fire engine], none: 0.2}
train: coco/annotations/instances_train2017.json
run: told
size: 32
scale: 32
batch: 8
steps: 120
luma: 601
film: {grain: 0, blur: 0, gamma: 0, contrast: 0}
lr: 0.003
warmup: 5
ema: 0.5
loss: {l1: 1}
val_every: 0
save_every: 60
keep: 0
sheet_every: 0
device: cpu
threads: 1
workers: 1
Y
set_="val=coco/annotations/instances_train2017.json size=32 scale=32 threads=1 workers=1"
ends train 0 "model.bin written, step 120" "$train" train r.yaml
ends info 0 "^classes *sea,fire engine$" "$train" info told/model.bin
ends val/told 0 "^psnr" "$train" val told/model.bin $set_ classes=yes
told=$(psnr)
ends val/not_told 0 "^psnr" "$train" val told/model.bin $set_
echo "     PSNR $told dB, without being told $(psnr) dB"
check val/it_helps [ "$told" -ge $(($(psnr) + 3)) ]             # measured: 6
check val/no_such_input [ "$("$train" val told/model.bin $set_ classes=maybe >out 2>err; echo $?)" = 2 ]

cp -r told half && rm -rf half/ckpt/*120* half/model.bin && sed -i "s|^run: .*|run: $dir/half|" half/recipe.yaml
ends resume 0 "step 120" "$train" resume half
check resume/the_same [ "$(sha half/model.bin)" = "$(sha told/model.bin)" ]
sed 's/"image_id":1,"category_id":3/"image_id":1,"category_id":7/' coco/annotations/instances_train2017.json >coco/other.json
cp coco/other.json coco/annotations/instances_train2017.json.new
cp coco/annotations/instances_train2017.json kept.json && mv coco/annotations/instances_train2017.json.new \
    coco/annotations/instances_train2017.json
rm -rf half/ckpt/*120*
ends resume/other_categories 2 "resume=force" "$train" resume half
mv kept.json coco/annotations/instances_train2017.json
ends gan 0 "model.bin written, step 4" \
    "$train" train r.yaml run=gan init=told/model.bin steps=2 warmup=0 gan.steps=2 gan.lambda=10
ends init/from_a_net_without 0 "step 2" "$train" train r.yaml run=plain classes.names=[] steps=2 warmup=0
ends init/to_a_net_with 0 "step 2" "$train" train r.yaml run=later init=plain/model.bin steps=2 warmup=0
ends init/other_classes 2 "told/model.bin knows the classes sea,fire engine; expected those of classes.names" \
    "$train" train r.yaml run=x init=told/model.bin classes.names=[sea]
ends names/unknown 2 'classes.names: "ship" is no category of the pictures, which have fire engine, nothing, sea' \
    "$train" train r.yaml run=x classes.names=[sea,ship]
ends names/twice 2 "classes.names: 2 names; expected up to 128 different ones" "$train" train r.yaml run=x classes.names=[sea,sea]
ends names/no_categories 2 'the pictures have no categories; expected an "instances" file of COCO' \
    "$train" train r.yaml run=x train=coco/train2017
ends val/without_input 2 "classes=yes: the model has no input for classes" "$train" val plain/model.bin $set_ classes=yes

# ---- a film, by what it is said to show ----

ours=$BUILD/filter/ffmpeg
if [ -x "$ours" ]; then
    COLORIZE_LIBRARY=$BUILD/libcolorize.so.0; export COLORIZE_LIBRARY
    case $(sed -n 's/^SANITIZER = //p' "$BUILD/../config.mak" 2>/dev/null) in ?*) echo "     film: a sanitizer: not tested"
        echo "$cases cases, $failed failed"; [ $failed = 0 ]; exit ;;
    esac
    ffmpeg -nostdin -v error -i coco/train2017/r01.png -vf "loop=9:1,format=gray,fps=5" -c:v ffv1 film.mkv
    # mean of R - B
    warm() { "$ours" -nostdin -v error -i film.mkv -vf "colorize=told/model.bin:threads=1:stabilize=0:size=32$1" -f rawvideo \
        -pix_fmt rgb24 - 2>err | od -An -v -tu1 -w3 | awk '{ n++; s += $1 - $3 } END { printf "%d\n", n ? s / n : 9999 }'; }
    red=$(warm :class=fire_engine) blue=$(warm :class=sea) both=$(warm ":class=sea+fire engine")
    echo "     R - B: $red, $blue, both $both"
    check film/red [ "$red" -gt 20 ]
    check film/blue [ "$blue" -lt -20 ]
    check film/an_unknown_class [ "$("$ours" -nostdin -v error -i film.mkv -vf colorize=told/model.bin:class=ship -f null - \
        2>err; grep -c 'class: "ship" is not one of the model' err)" = 1 ]
fi

echo "$cases cases, $failed failed"
[ $failed = 0 ]
