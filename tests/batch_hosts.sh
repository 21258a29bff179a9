#!/bin/sh
# batch_hosts.sh - colorize-batch on several hosts and in clusters: hosts that share a folder, one of which dies; a plan whose
# units are done in any order, twice, by GNU parallel where it is installed, and by a Slurm of one node where Debian's packages
# slurmctld, slurmd and slurm-client are, with requeueing; the watched folder.
set -u
suite=batch_hosts stub=yes
. "$SRC/tests/batch_setup.sh"

mkdir films
for i in 1 2 3; do film 1 "format=yuv420p,hue=h=$i" -c:v ffv1 films/$i.mkv; done
film 4.5 format=yuv420p -f lavfi -i sine=d=4 -c:v libx264 -c:a aac films/long.mp4
cat >jobs.yaml <<Y
defaults: {model: model.bin, out: whole, options: {threads: 1}}
jobs: [{glob: films/*}]
Y
batch run jobs.yaml || { cat err; exit 1; }
sums whole >want

# ---- hosts that share a folder, each with its own journal ----

sed 's/whole/shared/' jobs.yaml >shared.yaml
"$BUILD/colorize-batch" run shared.yaml --host a 2>err1 & a=$!
until_another_works $a shared
"$BUILD/colorize-batch" run shared.yaml --host b 2>err2 & b=$!
wait $a; check hosts/a [ $? = 0 ]
wait $b; check hosts/b [ $? = 0 ]
sums shared >got
check hosts/same_films cmp -s want got
batch history shared.a.journal; grep ' running ' out >ran
batch history shared.b.journal; grep ' running ' out >>ran
check hosts/each_once [ "$(wc -l <ran) $(awk '{ print $5 }' ran | sort -u | wc -l)" = "4 4" ]
check hosts/both_worked [ "$(awk '{ print $2 }' ran | sort -u | wc -l)" = 2 ]

rm -rf shared shared.*.journal*
"$BUILD/colorize-batch" run shared.yaml --host a 2>err1 & a=$!
i=0
until [ -n "$(find shared -name '*.claim' 2>/dev/null)" ] || [ $i = 50 ]; do sleep 0.1; i=$((i + 1)); done
kill -9 $a; wait $a 2>/dev/null
claim=$(find shared -name '*.claim')
check dead/claim_is_left [ -n "$claim" ]
"$BUILD/colorize-batch" run shared.yaml --host b 2>err & b=$!
i=0
until says err "another run works on it" || [ $i = 150 ]; do sleep 0.2; i=$((i + 1)); done
check dead/is_respected [ -e "$claim" ]
check dead/is_named says err "another run works on it (host a, PID $a)"
touch -d '5 minutes ago' "$claim"
wait $b; check dead/is_taken_over [ $? = 0 ]
sums shared >got
check dead/same_films cmp -s want got

# ---- units of a plan ----

sed 's/whole/plan/; s/threads: 1}/threads: 1, stabilize: 0, bars: off}, segments: 48/' jobs.yaml >plan.yaml
"$BUILD/colorize-batch" plan plan.yaml >plan.jsonl 2>err
check plan/units [ "$(wc -l <plan.jsonl)" = 5 ]
check plan/pieces [ "$(grep -c '"film":"long.mp4".*"piece":[01],\|"piece":[01]' plan.jsonl)" = 2 ]
"$BUILD/colorize-batch" run --index 4 plan.jsonl >out 2>err & one=$!
check plan/last_unit batch run --index 3 plan.jsonl
wait $one; check plan/side_by_side [ $? = 0 ]
check plan/twice batch run --index 4 plan.jsonl
check plan/first_unit batch run --index 0 plan.jsonl
check plan/no_such_unit [ "$(batch run --index 5 plan.jsonl; echo $?)" = 2 ]
check plan/merge batch merge plan.jsonl
sums plan >got
check plan/same_films cmp -s want got
check plan/pieces_were_used says plan/long.mkv.log concat
check plan/pieces_were_not_done_again [ "$(grep -c 'trim=start_pts' plan/long.mkv.log)" = 0 ]
touch films/1.mkv
check plan/changed_film [ "$(rm -r plan; batch run --index 4 plan.jsonl; echo $?)" = 0 ]
touch films/long.mp4
check plan/changed_piece [ "$(batch run --index 4 plan.jsonl; echo $?)" = 2 ]
check plan/says_plan_again says err "has changed since the plan: plan again"
rm -rf plan
"$BUILD/colorize-batch" plan plan.yaml >plan.jsonl 2>err

if command -v parallel >/dev/null; then
    seq 0 4 | parallel -j2 --joblog log "$BUILD/colorize-batch" run --index '{}' plan.jsonl >out 2>err
    check parallel/all_units [ "$(awk 'NR > 1 && $7 == 0' log | wc -l)" = 5 ]
    check parallel/merge batch merge plan.jsonl
    sums plan >got
    check parallel/same_films cmp -s want got
else
    echo "     GNU parallel is not installed: not tested"
fi

# ---- Slurm, one node, started here without any change to the system ----

slurm() {
    mkdir -p slurm/state slurm/spool
    host=$(hostname -s) s=$dir/slurm
    cat >slurm/slurm.conf <<C
ClusterName=test
SlurmctldHost=$host
SlurmctldPort=26817
SlurmdPort=26818
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
StateSaveLocation=$s/state
SlurmdSpoolDir=$s/spool
SlurmctldPidFile=$s/ctld.pid
SlurmdPidFile=$s/d.pid
SlurmctldLogFile=$s/ctld.log
SlurmdLogFile=$s/d.log
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
MpiDefault=none
NodeName=$host CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
C
    SLURM_CONF=$s/slurm.conf
    export SLURM_CONF
    slurmctld -D >/dev/null 2>&1 & ctld=$!
    slurmd -D >/dev/null 2>&1 & slurmd=$!
    trap 'kill $ctld $slurmd; wait $ctld $slurmd; rm -rf "$dir"' EXIT
    i=0
    until [ "$(sinfo -h -o %T 2>/dev/null)" = idle ] || [ $i = 60 ]; do sleep 0.5; i=$((i + 1)); done
    [ $i -lt 60 ]
}
finished() { # finished JOB: waits until none of its tasks is queued or running
    i=0
    while [ -n "$(squeue -h -j "$1" 2>/dev/null)" ] && [ $i -lt 240 ]; do
        for j in $(squeue -h -j "$1" -t PD -o %A); do scontrol update jobid="$j" StartTime=now 2>/dev/null; done  # requeued ones
        sleep 0.5; i=$((i + 1))
    done
    [ $i -lt 240 ]
}
if ! command -v slurmctld >/dev/null || ! command -v slurmd >/dev/null || ! command -v sbatch >/dev/null; then
    echo "     Slurm is not installed: not tested"
elif ! slurm; then
    echo "     Slurm does not start here: not tested"
    tail -n 3 slurm/*.log
else
    rm -rf plan
    "$BUILD/colorize-batch" plan plan.yaml >plan.jsonl 2>err
    cat >unit.sh <<U
#!/bin/sh
[ "\$SLURM_ARRAY_TASK_ID" != 0 ] || [ "\${SLURM_RESTART_COUNT:-0}" -gt 0 ] || { echo waits >>restarts; sleep 60; }
echo "\$SLURM_ARRAY_TASK_ID \${SLURM_RESTART_COUNT:-0}" >>restarts
exec "$BUILD/colorize-batch" run --index "\$SLURM_ARRAY_TASK_ID" plan.jsonl
U
    units=$(wc -l <plan.jsonl)
    array=$(sbatch --parsable --requeue --open-mode=append -o units.log --array=0-$((units - 1))%2 unit.sh)
    joined=$(sbatch --parsable --dependency=afterok:"$array" -o merge.log --wrap "$BUILD/colorize-batch merge plan.jsonl")
    i=0
    until grep -q waits restarts 2>/dev/null || [ $i = 60 ]; do sleep 0.5; i=$((i + 1)); done
    scontrol requeue "${array}_0"
    check slurm/array finished "$array"
    check slurm/merge finished "$joined"
    check slurm/was_requeued grep -qx "0 1" restarts
    sums plan >got
    check slurm/same_films cmp -s want got
fi

# ---- the watched folder ----

mkdir inbox
"$BUILD/colorize-batch" run --watch inbox --settle 1 --out watched/ --model model.bin --set threads=1 >out 2>err & w=$!
sleep 1
cp films/1.mkv inbox/
cp films/2.mkv inbox/.hidden.mkv
cp films/2.mkv inbox/2.mkv.part
(head -c 20000 films/3.mkv; sleep 4; tail -c +20001 films/3.mkv) >inbox/3.mkv
i=0
until [ -e watched/3.mkv ] || [ $i = 60 ]; do sleep 0.5; i=$((i + 1)); done
mv inbox/2.mkv.part inbox/2.mkv
i=0
until [ -e watched/2.mkv ] || [ $i = 60 ]; do sleep 0.5; i=$((i + 1)); done
kill -TERM $w; wait $w
check watch/status [ $? = 143 ]
sums watched >got
grep -v long want >three
check watch/films cmp -s three got
check watch/none_too_early [ "$(grep -c ': failed' err)" = 0 ]
check watch/not_into_itself [ "$(batch run --watch inbox --out inbox/colour/ --model model.bin; echo $?)" = 2 ]
check watch/says_so says err "cannot go into the watched folder"

echo "$cases cases, $failed failed"
[ $failed = 0 ]
