#!/bin/sh
# run.sh - runs tests and prints a line for each with result and time, and the output of those that fail without its lines "ok".
# The names of those that failed stand in the last line too. Exit status 77: skipped.
passed=0 failed=0 skipped=0 names=
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT
for test; do
    name=$(basename "$test" .sh)
    start=$(date +%s)
    case $test in
    *.sh) sh "$test" >"$out" 2>&1 </dev/null; status=$? ;;
    *) "$test" >"$out" 2>&1 </dev/null; status=$? ;;
    esac
    seconds=$(($(date +%s) - start))
    case $status in
    0) passed=$((passed + 1)); printf 'ok    %-16s %4d s  %s\n' "$name" $seconds "$(tail -1 "$out")" ;;
    77) skipped=$((skipped + 1)); printf 'skip  %-16s %4d s  %s\n' "$name" $seconds "$(tail -1 "$out")" ;;
    *) failed=$((failed + 1)); printf 'FAIL  %-16s %4d s  status %d\n' "$name" $seconds $status
       names="$names $name"
       if [ -n "${VERBOSE:-}" ]; then cat "$out"; else grep -v '^ok ' "$out"; fi ;;
    esac
    if [ -n "${VERBOSE:-}" ] && { [ $status = 0 ] || [ $status = 77 ]; }; then cat "$out"; fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] || echo "failed:$names"
[ $failed = 0 ] && [ $passed -gt 0 ]
