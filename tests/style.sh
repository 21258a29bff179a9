#!/bin/sh
# style.sh - what the compiler does not hold: which folder may include which, what the library must not call, no mutable
# globals, no tabs and no space at the end of a line. Each check is first run on lines it must find, so that it cannot rot.
set -u
: "${SRC:?the source root}"
cd "$SRC" || exit 1
cases=0 failed=0
temp=$(mktemp -d) || exit 1
trap 'rm -rf "$temp"' EXIT

# verdict NAME: what stands in $temp/found is what was found
verdict() {
    cases=$((cases + 1))
    if [ -s "$temp/found" ]; then failed=$((failed + 1)); echo "FAIL style/$1"; head -n 20 "$temp/found" | sed 's/^/  /'
    else echo "ok   style/$1"; fi
}
# red NAME: a check's own test, that must have found something in each of its lines
red() {
    cases=$((cases + 1))
    if [ "$(wc -l <"$temp/found")" = "$2" ]; then echo "ok   style/$1"
    else failed=$((failed + 1)); echo "FAIL style/$1: found $(wc -l <"$temp/found") of $2"; sed 's/^/  /' "$temp/found"; fi
}
sources() { for dir; do [ ! -d "$dir" ] || find "$dir" -type f \( -name '*.[ch]' -o -name '*.cu' -o -name '*.cuh' -o -name '*.def' \); done | sort; }

# ---- layers: kernels <- engine <- trainer, filter, gst, tools, samples ----

# Reads "FILE:INCLUDED" and prints those whose file does not lie in an allowed place. Names that are nowhere in the tree are
# other people's (FFmpeg's, in the filter) or made by a build.
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
    for file in $(sources "$dir"); do sed -n "s|^[[:space:]]*#[[:space:]]*include[[:space:]]*\"\([^\"]*\)\".*|$file:\1|p" "$file"; done | outside "$@" >"$temp/found"
    verdict "layers/$dir"
}
printf '%s\n' kernels/x.c:engine/graph.h kernels/x.c:trainer/data.h kernels/x.c:graph.h kernels/x.c:colorize.h kernels/x.c:nn.h |
    outside 'kernels/*' engine/colorize.h >"$temp/found"
red layers/finds_what_is_wrong 3
layer kernels 'kernels/*' engine/colorize.h
layer engine 'engine/*' 'kernels/*'
layer trainer 'trainer/*' 'engine/*' 'kernels/*'
for dir in filter gst tools; do layer $dir "$dir/*" engine/colorize.h; done
layer samples engine/colorize.h

# ---- the library never prints, ends the program or reads the environment ----

# Reads code; comments go first, so that they may speak of what is forbidden.
calls() { sed 's|//.*||' "$@" | grep -nE '(^|[^A-Za-z0-9_])(v?printf|v?fprintf|v?dprintf|puts|fputs|putchar|perror|exit|_exit|_Exit|quick_exit|abort|getenv|secure_getenv|setenv|system|assert)[[:space:]]*\(' | sed "s|^|$1:|"; }
cat >"$temp/x.c" <<'C'
    printf("%d\n", 3);
    snprintf(text, 3, "x");             // fine
    if (bad) abort();
    clzi_exit(3);                       // fine; and printf( in a comment
    const char *home = getenv ("HOME");
    fprintf(stderr, "no\n");
C
calls "$temp/x.c" >"$temp/found"
red calls/finds_what_is_wrong 4
for file in $(sources engine kernels); do calls "$file"; done >"$temp/found"
verdict calls/engine_and_kernels

# ---- no mutable globals but the model cache's ----

# A static, or anything defined at the left margin, must be const behind its last star. Functions have a ( before = and ;.
mutable() {
    sed 's|//.*||' "$1" | awk -v file="$1" '
        /^[[:space:]]*(static|_Thread_local|__thread)[[:space:]]/ || /^[A-Za-z_][A-Za-z0-9_ *]*[ *][A-Za-z_][A-Za-z0-9_]*(\[[^]]*\])*[[:space:]]*(=|;)/ {
            text = $0
            if (text ~ /^(typedef|extern|return|struct [A-Za-z0-9_]+;|enum|union [A-Za-z0-9_]+;|_Static_assert)/) next
            gsub(/\{[^{}]*\}/, "", text)            # the members of a struct without name
            sub(/[=;].*/, "", text)
            if (text ~ /\(/) next
            sub(/.*\*/, "*", text)
            if (text !~ /const/) print file ":" NR ": " $0
        }'
}
cat >"$temp/x.c" <<'C'
static int count;
static const int table[] = { 1 };       // fine
static const char *name = "x";
static const char *const names[] = { "x" };     // fine
static int f(int x) { return x = 1; }   // fine
int counter = 0;
struct later;
extern int elsewhere;
    static float cache[3];
    static const float known[3] = { 0 };        // fine
static const struct { int a; const char *b; } rows[] = {       // fine
static struct { int a; const int b; } row;
C
mutable "$temp/x.c" >"$temp/found"
red globals/finds_what_is_wrong 5
for file in $(sources engine kernels); do [ "$file" = engine/model_cache.c ] || mutable "$file"; done >"$temp/found"
verdict globals/engine_and_kernels
mutable engine/model_cache.c | grep -vE ':.*(list_mutex|load_mutex|\*list);?' >"$temp/found"
verdict globals/model_cache_has_its_list_alone

# ---- white space ----

tab=$(printf '\t')
blanks() { grep -nE "$tab|[[:space:]]+\$" "$@" /dev/null; }
printf 'a\tb\nfine\nc \n' >"$temp/x.c"
blanks "$temp/x.c" >"$temp/found"
red blanks/finds_what_is_wrong 2
sources kernels engine trainer filter gst tools samples tests | xargs grep -nE "$tab|[[:space:]]+\$" /dev/null >"$temp/found"
verdict blanks/no_tabs_and_no_trailing_space_in_c
find . -path ./.git -prune -o -path './build*' -prune -o -path ./demo -prune -o -type f \( -name '*.sh' -o -name '*.md' -o -name '*.yaml' -o -name '*.py' \
    -o -name Makefile -o -name configure \) -print | xargs grep -nE '[[:space:]]+$' /dev/null >"$temp/found"
verdict blanks/no_trailing_space_elsewhere

echo "$cases cases, $failed failed"
[ $failed = 0 ]
