#!/bin/sh
# style.sh - rules that the compiler does not check: which folder may include which, what the library must not call, no mutable
# globals, no tabs, no space at the end of a line, no line over 130 columns. Each rule is first run on a sample with known
# violations, so that a rule that has stopped finding anything fails.
set -u
: "${SRC:?the source root}"
cd "$SRC" || exit 1
cases=0 failed=0
temp=$(mktemp -d) || exit 1
trap 'rm -rf "$temp"' EXIT

# expect_none NAME: passes if $temp/found, the violations that a rule printed, is empty.
expect_none() {
    cases=$((cases + 1))
    if [ -s "$temp/found" ]; then failed=$((failed + 1)); echo "FAIL style/$1"; head -n 20 "$temp/found" | sed 's/^/  /'
    else echo "ok   style/$1"; fi
}
# expect NAME COUNT: passes if the rule found COUNT violations in its sample.
expect() {
    cases=$((cases + 1))
    if [ "$(wc -l <"$temp/found")" = "$2" ]; then echo "ok   style/$1"
    else failed=$((failed + 1)); echo "FAIL style/$1: found $(wc -l <"$temp/found") of $2"; sed 's/^/  /' "$temp/found"; fi
}
sources() {
    for dir; do
        [ ! -d "$dir" ] || find "$dir" -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.def' \)
    done | sort
}
# others FIND-TESTS: the files of the source tree, outside what a build makes, for which find's tests hold.
others() {
    find . -path ./.git -prune -o -path './build*' -prune -o -path ./demo -prune -o -type f \( "$@" \) -print |
        sed 's|^\./||' | sort
}

# ---- layers: base, kernels <- engine <- trainer, filter, gst, tools, samples ----

# Reads lines "FILE:INCLUDED" and prints those whose included file matches none of the patterns in "$@". A name that is not
# found in the tree belongs to another project (the filter includes FFmpeg's headers) or is made by the build.
outside() {
    while IFS=: read -r file name; do
        for at in "${file%/*}/$name" "$name" "engine/$name" ''; do [ -z "$at" ] || [ ! -e "$at" ] || break; done
        [ -n "$at" ] || continue
        for good; do
            # shellcheck disable=SC2254
            case $at in $good) continue 2 ;; esac
        done
        echo "$file includes $name"
    done
}
layer() {
    dir=$1; shift
    for file in $(sources "$dir"); do
        sed -n "s|^[[:space:]]*#[[:space:]]*include[[:space:]]*\"\([^\"]*\)\".*|$file:\1|p" "$file"
    done | outside "$@" >"$temp/found"
    expect_none "layers/$dir"
}
printf '%s\n' kernels/x.c:engine/graph.h kernels/x.c:trainer/data.h kernels/x.c:graph.h kernels/x.c:colorize.h kernels/x.c:nn.h |
    outside 'kernels/*' >"$temp/found"
expect layers/finds_violations 4
layer base 'base/*' engine/colorize.h
layer kernels 'kernels/*'
layer engine 'engine/*' 'kernels/*' 'base/*' config.h
layer trainer 'trainer/*' 'engine/*' 'kernels/*' 'base/*'
for dir in filter gst; do layer $dir "$dir/*" engine/colorize.h engine/options.def; done
layer tools 'tools/*' 'base/*' engine/colorize.h engine/options.def
layer samples engine/colorize.h

# ---- the library never prints, ends the program or reads the environment ----

forbidden='v?printf|v?fprintf|v?dprintf|puts|fputs|putchar|perror|exit|_exit|_Exit|quick_exit|abort|getenv|secure_getenv|setenv'
forbidden="$forbidden|system|assert"
# Comments are removed first: they may name what is forbidden.
calls() { sed 's|//.*||' "$@" | grep -nE "(^|[^A-Za-z0-9_])($forbidden)[[:space:]]*\(" | sed "s|^|$1:|"; }
cat >"$temp/x.c" <<'C'
    printf("%d\n", 3);
    snprintf(text, 3, "x");             // allowed
    if (bad) abort();
    clzi_exit(3);                       // allowed; and printf( in a comment
    const char *home = getenv ("HOME");
    fprintf(stderr, "no\n");
C
calls "$temp/x.c" >"$temp/found"
expect calls/finds_violations 4
for file in $(sources base engine kernels); do calls "$file"; done | grep -v '^engine/cuda/plan_cache.c:.* getenv(' >"$temp/found"
expect_none calls/engine_and_kernels

# ---- no mutable globals but the model cache's ----

# A static, or anything defined in column 1, must be const after its last '*'. Functions have a '(' before '=' and ';'.
mutable() {
    sed 's|//.*||' "$1" | awk -v file="$1" '
        /^[[:space:]]*(static|_Thread_local|__thread)[[:space:]]/ ||
        /^[A-Za-z_][A-Za-z0-9_ *]*[ *][A-Za-z_][A-Za-z0-9_]*(\[[^]]*\])*[[:space:]]*(=|;)/ {
            text = $0
            if (text ~ /^(typedef|extern|return|struct [A-Za-z0-9_]+;|enum|union [A-Za-z0-9_]+;|_Static_assert)/) next
            gsub(/\{[^{}]*\}/, "", text)            # the members of an unnamed struct
            sub(/[=;].*/, "", text)
            if (text ~ /\(/) next
            sub(/.*\*/, "*", text)
            if (text !~ /const/) print file ":" NR ": " $0
        }'
}
cat >"$temp/x.c" <<'C'
static int count;
static const int table[] = { 1 };       // allowed
static const char *name = "x";
static const char *const names[] = { "x" };     // allowed
static int f(int x) { return x = 1; }   // allowed
int counter = 0;
struct later;
extern int elsewhere;
    static float cache[3];
    static const float known[3] = { 0 };        // allowed
static const struct { int a; const char *b; } rows[] = {       // allowed
static struct { int a; const int b; } row;
C
mutable "$temp/x.c" >"$temp/found"
expect globals/finds_violations 5
for file in $(sources base engine kernels); do
    case $file in engine/model_cache.c|engine/model_colours.c) ;; *) mutable "$file" ;; esac
done >"$temp/found"
expect_none globals/engine_and_kernels
mutable engine/model_cache.c | grep -vE ':.*(list_mutex|load_mutex|\*list);?' >"$temp/found"
expect_none globals/model_cache_has_only_its_list
mutable engine/model_colours.c | grep -vE ':.* mutex = ' >"$temp/found"
expect_none globals/model_colours_has_only_its_mutex

# ---- white space ----

tab=$(printf '\t')
printf 'a\tb\nallowed\nc \n' >"$temp/x.c"
grep -nE "$tab|[[:space:]]+\$" "$temp/x.c" >"$temp/found"
expect blanks/finds_violations 2
sources base kernels engine trainer filter gst tools samples tests | xargs grep -nE "$tab|[[:space:]]+\$" /dev/null >"$temp/found"
expect_none blanks/no_tabs_and_no_trailing_space_in_c
others -name '*.sh' -o -name '*.md' -o -name '*.yaml' -o -name '*.py' -o -name Makefile -o -name configure |
    xargs grep -nE '[[:space:]]+$' /dev/null >"$temp/found"
expect_none blanks/no_trailing_space_elsewhere

# ---- width ----

wide() { awk 'length($0) > 130 { print FILENAME ":" FNR ": " length($0) " columns" }' "$1"; }
{ printf '%0130d\n' 0; printf '%0131d\n' 0; printf '%0200d\n' 0; } >"$temp/x.c"
wide "$temp/x.c" >"$temp/found"
expect width/finds_violations 2
{ sources base kernels engine trainer filter gst tools samples tests
  others -name '*.sh' -o -name '*.py' -o -name Makefile -o -name configure -o -path ./.ci/run; } |
    while read -r file; do wide "$file"; done >"$temp/found"
expect_none width/no_line_over_130_columns

echo "$cases cases, $failed failed"
[ $failed = 0 ]
