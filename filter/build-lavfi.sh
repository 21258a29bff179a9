#!/bin/sh
# build-lavfi.sh - builds a libavfilter for the installed ffmpeg that differs from its own only in the filter `colorize`.
#
# FFmpeg cannot load filters at run time, so libavfilter itself is built, from the source of exactly the installed version, with
# vf_colorize.c in place of FFmpeg's file (which ours includes; no line of FFmpeg changes). FFmpeg's makefile links libavfilter
# with FFmpeg's other libraries in the build tree. The build tree has symlinks to the system's libraries there, and `make -o`
# tells make not to rebuild them. So only libavfilter is compiled, with FFmpeg's own link command, and the stock ffmpeg program
# loads the result.
#
#     sh build-lavfi.sh [options] WORK      WORK: folder for source, build tree and result; created if missing; no root needed
#     sh build-lavfi.sh --deps              prints the apt packages that a library with all stock filters needs
#
#     --reduced         build without external libraries even if their -dev packages are installed
#     --source=PATH     FFmpeg's source, a folder or a tarball, instead of fetching it with apt
#     --engine=FILE     libcolorize.so.0 that the wrapper script uses; default WORK/../libcolorize.so.0
#     --libdir=DIR      where libcolorize.so.0 will be installed; compiled into the filter, which looks there last
#     --preload=FILE    a sanitizer's library, which the wrapper preloads because ffmpeg itself is built without it
#     --jobs=N          default: one per core
#
# Output: WORK/out/libavfilter.so.N     the library
#         WORK/out/missing              stock filters that it lacks, one per line; empty if every -dev package was installed
#         WORK/out/stock                program, library folder and soname of the stock ffmpeg, one per line, for tests
#         WORK/ffmpeg                   a wrapper that runs the installed ffmpeg with this library; filter/ffmpeg is a link to it
#
# Run again, it does nothing if ffmpeg, our sources and the -dev packages are unchanged; if only our sources have changed, it
# compiles one file and links. Measured on 2 cores with FFmpeg 5.1.9: 527 of 527 filters, see doc/filter.md.
set -eu

fail() { echo "build-lavfi: $*" >&2; exit 1; }
say() { echo "build-lavfi: $*"; }

# FFmpeg's configure flag, the package that it needs, and whether Debian's configuration names the flag (named) or configure
# detects the library (auto). Only libraries that libavfilter uses.
table='
--enable-ladspa         ladspa-sdk              named
--enable-libass         libass-dev              named
--enable-libbs2b        libbs2b-dev             named
--enable-libflite       flite1-dev              named
--enable-libfontconfig  libfontconfig-dev       named
--enable-libfreetype    libfreetype-dev         named
--enable-libfribidi     libfribidi-dev          named
--enable-libglslang     glslang-dev             named
--enable-libmysofa      libmysofa-dev           named
--enable-libplacebo     libplacebo-dev          named
--enable-librubberband  librubberband-dev       named
--enable-libvidstab     libvidstab-dev          named
--enable-libzimg        libzimg-dev             named
--enable-libzmq         libzmq3-dev             named
--enable-lv2            liblilv-dev             named
--enable-opencl         ocl-icd-opencl-dev      named
--enable-frei0r         frei0r-plugins-dev      named
--enable-pocketsphinx   libpocketsphinx-dev     named
--enable-libmfx         libmfx-dev              named
--enable-libdrm         libdrm-dev              named
--enable-vaapi          libva-dev               auto
--enable-vulkan         libvulkan-dev           auto
--enable-ffnvcodec      libffmpeg-nvenc-dev     auto
--enable-cuda           libffmpeg-nvenc-dev     auto
--enable-cuvid          libffmpeg-nvenc-dev     auto
--enable-nvdec          libffmpeg-nvenc-dev     auto
--enable-cuda-llvm      clang                   auto
'
tools='ffmpeg gcc make nasm pkg-config xz-utils'

packages() { echo "$tools"; echo "$table" | awk 'NF { print $2 }' | sort -u; }

if [ "${1:-}" = --deps ]; then
    known=$(for p in $(packages); do apt-cache show "$p" >/dev/null 2>&1 && echo "$p" || :; done)
    if [ -n "$known" ]; then echo "$known"; else packages | tr ' ' '\n'; fi     # none: apt's lists have not been fetched yet
    exit 0
fi

reduced= given= engine= libdir_engine=/usr/local/lib preload= jobs=$(nproc 2>/dev/null || echo 1) work=
for arg; do
    case $arg in
    --reduced)  reduced=yes ;;
    --source=*) given=$(readlink -f "${arg#*=}") ;;
    --engine=*) engine=$(readlink -m "${arg#*=}") ;;
    --libdir=*) libdir_engine=${arg#*=} ;;
    --preload=*) preload=${arg#*=} ;;
    --jobs=*)   jobs=${arg#*=} ;;
    -*)         fail "unknown option $arg" ;;
    *)          work=$arg ;;
    esac
done
[ -n "$work" ] || fail "no folder given; usage: build-lavfi.sh [options] WORK"
own=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$work/out"
work=$(cd "$work" && pwd)
[ -n "$engine" ] || engine=$(readlink -m "$work/../libcolorize.so.0")

# ---- what is installed: version, name and folder of the libraries ----

# The first ffmpeg of PATH can be one of our wrapper scripts, which have no libraries. Our libavfilter may be installed already
# and be found first, so the folder of the stock libraries is that of libavutil.
program=
for folder in $(echo "$PATH" | tr : ' '); do
    if [ -x "$folder/ffmpeg" ] && ldd "$folder/ffmpeg" 2>/dev/null | grep -q libavfilter; then program=$folder/ffmpeg; break; fi
done
[ -n "$program" ] || fail "no ffmpeg with shared libraries is installed (apt-get install ffmpeg)"
soname=$(ldd "$program" | sed -n 's/.*\(libavfilter\.so\.[0-9]*\) .*/\1/p' | head -n 1)
stock=$(ldd "$program" | sed -n 's/.*=> \(.*\)\/libavutil\.so\.[0-9]* .*/\1/p')
[ -e "$stock/$soname" ] || fail "$soname is not beside libavutil in '$stock'"
banner=$(LD_LIBRARY_PATH=$stock "$program" -version)
version=$(echo "$banner" | sed -n '1s/^ffmpeg version n\{0,1\}\([0-9.]*[0-9]\).*/\1/p')
[ -n "$version" ] || fail "cannot read a release number in '$(echo "$banner" | head -n 1)'"

# ---- anything to do? ----

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'; }
have_dpkg=$(command -v dpkg-query || :)
sources="$own/vf_colorize.c $own/colorize_lavfi_compat.h $own/../engine/colorize.h $own/../engine/options.def"
stamp=$(
    {
        echo "$banner" "$program" "$soname" "$reduced" "$libdir_engine" "$engine" "$preload" "$given"
        for p in $(packages); do installed "$p" && echo "$p" || :; done
        # shellcheck disable=SC2086
        cat "$0" $sources
    } | sha256sum)
if [ "$stamp" = "$(cat "$work/stamp" 2>/dev/null)" ] && [ -e "$work/out/$soname" ] && [ -x "$work/ffmpeg" ]; then
    say "$work/out/$soname is up to date"
    exit 0
fi
rm -f "$work/stamp"
cd "$work"

# ---- source of exactly that version ----

# Fetches the source with apt and private lists, which are the system's own with deb replaced by deb-src. This needs no root and
# does not change the system's lists; apt checks signatures and hashes as usual. The upstream tarball is unpacked, without
# Debian's patches.
fetch() {
    [ -n "$have_dpkg" ] || fail "this is not a Debian system: give FFmpeg $version's source with --source=PATH"
    rm -rf apt/parts
    mkdir -p apt/parts apt/lists/partial apt/cache/archives/partial
    # In apt's own order: apt accepts a list that names a key after one that does not, but not the reverse.
    [ ! -e /etc/apt/sources.list ] || sed -n 's/^[ \t]*deb[ \t]/deb-src /p' /etc/apt/sources.list >apt/parts/0.list
    for list in /etc/apt/sources.list.d/*.list; do
        [ ! -e "$list" ] || sed -n 's/^[ \t]*deb[ \t]/deb-src /p' "$list" >"apt/parts/src-$(basename "$list" .list).list"
    done
    for list in /etc/apt/sources.list.d/*.sources; do
        [ ! -e "$list" ] || sed 's/^Types:.*/Types: deb-src/' "$list" >"apt/parts/src-${list##*/}"
    done
    set -- -q -oDir::Etc::SourceList=/dev/null "-oDir::Etc::sourceparts=$work/apt/parts" \
        "-oDir::State::Lists=$work/apt/lists" "-oDir::Cache=$work/apt/cache" "-oAPT::Sandbox::User=$(id -un)"
    package=$(dpkg-query -S "$stock/$soname" 2>/dev/null | head -n 1 | cut -d: -f1)
    exact=$(dpkg-query -W -f '${source:Version}' "${package:-ffmpeg}") ||
        fail "$stock/$soname belongs to no package: give FFmpeg $version's source with --source=PATH"
    say "fetching the source of ffmpeg $exact"
    apt-get "$@" update >apt/log 2>&1 || { tail -n 5 apt/log >&2; fail "apt-get update (private lists) failed"; }
    apt-get "$@" source --download-only "ffmpeg=$exact" >>apt/log 2>&1 || {
        tail -n 5 apt/log >&2
        fail "the package lists have no source of ffmpeg $exact: upgrade ffmpeg, or give the source with --source=PATH"
    }
}
unpack() {
    rm -rf unpack && mkdir unpack
    if [ -d "$1" ]; then cp -a "$1/." unpack/; else tar xf "$1" -C unpack --strip-components=1; fi
    rm -rf "$src" && mv unpack "$src"
}
src=ffmpeg-$version
if [ -n "$given" ] || [ ! -e "$src/RELEASE" ]; then
    if [ -n "$given" ]; then
        [ "$given" = "$(cat "$src/.given" 2>/dev/null)" ] || { unpack "$given" && echo "$given" >"$src/.given"; }
    else
        [ -e "ffmpeg_$version.orig.tar.xz" ] || fetch
        unpack "ffmpeg_$version.orig.tar.xz"
    fi
fi
[ "$(cat "$src/RELEASE")" = "$version" ] || fail "the source is FFmpeg $(cat "$src/RELEASE"), installed is $version"

# ---- our filter replaces the stock file, which is renamed and included; unchanged files keep their time of modification ----

put() { cmp -s "$1" "$src/libavfilter/$2" || cp "$1" "$src/libavfilter/$2"; }
[ -e "$src/libavfilter/vf_colorize_stock.c" ] || mv "$src/libavfilter/vf_colorize.c" "$src/libavfilter/vf_colorize_stock.c"
for file in $sources; do put "$file" "${file##*/}"; done
echo "#define COLORIZE_LIBRARY_FILE \"$libdir_engine/libcolorize.so.0\"" >path.h
put path.h colorize_path.h

# ---- configure: all that the stock library has and whose package is installed; if that fails, no external libraries ----

configuration=$(echo "$banner" | sed -n 's/^configuration: //p')
common="--enable-shared --disable-static --disable-doc --disable-programs --disable-autodetect"
for flag in $configuration; do
    case $flag in
    --prefix=*|--libdir=*|--shlibdir=*|--incdir=*|--arch=*|--toolchain=*|--extra-version=*|--build-suffix=*|--enable-gpl|\
    --enable-version3) common="$common $flag" ;;
    esac
done
[ "$(uname -m)" != x86_64 ] || command -v nasm >/dev/null || command -v yasm >/dev/null || {
    say "nasm is missing: the library will have no assembly and its filters will be slower"
    common="$common --disable-x86asm"
}
flags() {
    echo "$common"
    if [ "$1" = reduced ]; then
        echo "--disable-debug --disable-encoders --disable-decoders --disable-muxers --disable-demuxers --disable-parsers
              --disable-bsfs --disable-protocols --disable-hwaccels --disable-devices"
        return
    fi
    echo "$table" | while read -r flag package how; do
        [ -n "$flag" ] || continue
        case "$how $configuration " in named*" $flag "*|auto*) ;; *) continue ;; esac
        [ -z "$have_dpkg" ] || installed "$package" || continue
        echo "$flag"
    done
}
configure() {
    flags "$1" | tr -s ' \n' ' ' >"flags-$1"
    if cmp -s "flags-$1" "build-$1/flags" && [ -e "build-$1/ffbuild/config.mak" ]; then return 0; fi
    say "configuring FFmpeg $version ($1)"
    rm -rf "build-$1" && mkdir "build-$1"
    # shellcheck disable=SC2046
    (cd "build-$1" && "../$src/configure" $(cat "../flags-$1") >configure.log 2>&1) || return 1
    cp "flags-$1" "build-$1/flags"
}
variant=full
[ -z "$reduced" ] || variant=reduced
if ! configure $variant; then
    reason=$(sed -n 's/^ERROR: //p' build-$variant/configure.log | head -n 1)
    [ $variant = full ] || fail "configure failed: $reason; see $work/build-$variant/configure.log"
    say "configure failed ($reason); trying without external libraries"
    variant=reduced
    configure $variant || fail "configure failed; see $work/build-$variant/configure.log"
fi

# ---- make only the library ----

cd "build-$variant"
old=
for l in avutil avcodec avformat swscale swresample postproc; do
    mkdir -p "lib$l"
    for so in "$stock/lib$l.so."*; do
        case ${so##*.so.} in *.*) ;; *) [ ! -e "$so" ] || ln -sf "$so" "lib$l/lib$l.so" ;; esac
    done
    old="$old -o lib$l/lib$l.so"
done
# shellcheck disable=SC2086
count=$(make -n $old "libavfilter/$soname" 2>/dev/null | grep -c 'printf.* libav.*\.o;' || :)
say "compiling libavfilter ($variant, $count files, $jobs at a time)"
rm -f failed
# shellcheck disable=SC2086
{ make -j"$jobs" $old "libavfilter/$soname" 2>&1 || touch failed; } | awk -v total="$count" '
    { print >"make.log" }
    /^(CC|X86ASM|NVCC)\t/ { n++; if (n % 100 == 0) { print "build-lavfi: " n " of about " total; fflush() } }'
if [ -e failed ]; then tail -n 15 make.log >&2; fail "make failed; see $work/build-$variant/make.log"; fi
strip --strip-unneeded -o "../out/$soname.new" "libavfilter/$soname"
mv "../out/$soname.new" "../out/$soname"
cd ..

# ---- the wrapper ----

cat >ffmpeg.new <<END
#!/bin/sh
# Written by build-lavfi.sh: runs the installed ffmpeg with the libavfilter whose colorize opens models.
LD_LIBRARY_PATH='$work/out'\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
: "\${COLORIZE_LIBRARY=$engine}"
export LD_LIBRARY_PATH COLORIZE_LIBRARY
END
[ -z "$preload" ] || cat >>ffmpeg.new <<END
LD_PRELOAD='$preload'
: "\${ASAN_OPTIONS=detect_leaks=0}"    # ffmpeg and its libraries leak
export LD_PRELOAD ASAN_OPTIONS
END
echo "exec '$program' \"\$@\"" >>ffmpeg.new
chmod +x ffmpeg.new
mv ffmpeg.new ffmpeg
if [ "$own" != "$work" ] && [ -w "$own" ] && { [ -L "$own/ffmpeg" ] || [ ! -e "$own/ffmpeg" ]; }; then
    ln -sf "$work/ffmpeg" "$own/ffmpeg"
fi

# ---- report the filters ----

filters() { LD_LIBRARY_PATH=$1 "$program" -v quiet -filters | awk 'NF > 3 && $3 ~ /->/ { print $2 }' | sort; }
printf '%s\n' "$program" "$stock" "$soname" >out/stock
filters "$stock" >out/filters.stock
filters "$work/out" >out/filters.ours
comm -23 out/filters.stock out/filters.ours >out/missing
say "$work/out/$soname: $(wc -l <out/filters.ours) of $(wc -l <out/filters.stock) filters of the stock library"
if [ -s out/missing ]; then
    say "missing: $(tr '\n' ' ' <out/missing)"
    wanted=$(for p in $(packages); do installed "$p" || echo "$p"; done | tr '\n' ' ')
    [ -z "$wanted" ] || say "for these install: $wanted"
fi
echo "$stamp" >stamp
