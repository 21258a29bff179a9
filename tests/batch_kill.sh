#!/bin/sh
# batch_kill.sh - colorize-batch is killed with SIGKILL at random moments over a list of short films, and started again until
# all are done. The films are byte for byte those of an undisturbed run, each was done once, nothing stood under a final name that
# was not whole, and nothing is left over. KILLS=200 CLIPS=40 MS=6000 sh tests/batch_kill.sh is the long version.
set -u
suite=batch_kill
. "$SRC/tests/batch_setup.sh"
kills=${KILLS:-15} clips=${CLIPS:-6}

mkdir films
i=0
while [ $i -lt "$clips" ]; do
    case $((i % 3)) in
    0) film 1 "format=yuv420p,hue=h=$((i * 7))" -f lavfi -i sine=d=1 -c:v libx264 -c:a aac "films/$i.mp4" ;;
    1) film 1 "format=gray,eq=brightness=0.0$i" -c:v ffv1 "films/$i.mkv" ;;
    2) film 5 "format=yuv422p10,hue=b=0.$i" -c:v ffv1 "films/$i.mkv" ;;         # in pieces
    esac
    i=$((i + 1))
done
cat >jobs.yaml <<Y
defaults: {model: model.bin, out: colour, options: {threads: 1, stabilize: 0, bars: off}, segments: 48}
parallel: 2
jobs:
- glob: films/*
Y
sed 's/colour/whole/' jobs.yaml >whole.yaml
batch run whole.yaml || { cat err; exit 1; }
sums whole >want

# A number from 0 to $1 - 1; awk's generator, seeded.
seed=${SEED:-1}
random() {
    seed=$((seed + 1))
    awk -v s="$seed" -v n="$1" 'BEGIN { srand(s); for (i = 0; i < 5; i++) rand(); print int(rand() * n) }'
}

killed=0 torn=0
while [ $killed -lt "$kills" ]; do
    "$BUILD/colorize-batch" run jobs.yaml >out 2>err &
    pid=$!
    ms=$(random "${MS:-2000}")
    sleep "$(awk -v m="$ms" 'BEGIN { print m / 1000 }')"
    kill -9 $pid 2>/dev/null || break                       # it was faster
    wait $pid 2>/dev/null
    killed=$((killed + 1))
    # What stands under a final name is whole at any time.
    if [ -d colour ]; then
        sums colour >now
        grep -vxF -f want now >strange && { torn=$((torn + 1)); cat strange; }
    fi
done
check kills_happened [ $killed -gt 2 ]
check nothing_half_under_a_final_name [ $torn = 0 ]
check ends batch run jobs.yaml
sums colour >got
check same_bytes cmp -s want got
batch history jobs.yaml
check each_is_done_once [ "$(grep -c ' done ' out) $(awk '$4 == "done" { print $5 }' out | sort -u | wc -l)" = "$clips $clips" ]
check none_failed [ "$(grep -cE ' (failed|quarantined) ' out)" = 0 ]
check side_cars [ "$(find colour -name '*.json' | wc -l)" = "$clips" ]
check nothing_is_left [ -z "$(find colour -name '.colorize*')" ]
sleep 1
check no_ffmpeg_is_left [ -z "$(for f in /proc/[0-9]*/cwd; do readlink "$f" 2>/dev/null; done | grep "^$dir/colour/")" ]
for f in colour/*.json; do sed '/"run": {/,/}/d' "$f"; done | sed 's/colour/whole/g' >a
for f in whole/*.json; do sed '/"run": {/,/}/d' "$f"; done >b
check side_cars_say_the_same cmp -s a b

echo "$cases cases, $failed failed; $killed kills"
[ $failed = 0 ]
