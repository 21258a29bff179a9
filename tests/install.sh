#!/bin/sh
# install.sh - make install puts all files below DESTDIR, programs build against them with pkg-config and run; make uninstall
# leaves no file. Runs in the configured folder.
set -u
: "${BUILD:?the build folder}" "${SRC:?the source root}"
[ -e config.mak ] && [ -e Makefile ] || { echo "skip not in a configured folder"; exit 77; }
[ -e "$BUILD/libcolorize.so.0" ] && [ -x "$BUILD/colorize-train" ] || { echo "skip nothing built in $BUILD"; exit 77; }
BUILD=$(cd "$BUILD" && pwd) SRC=$(cd "$SRC" && pwd)
export BUILD SRC
value() { sed -n "s/^$1 = //p" config.mak; }
prefix=$(value PREFIX) libdir=$(value LIBDIR)

dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
dest=$dir/dest
# -o filter: else make would rebuild the filter, for a minute, because the time of a file has changed. The variables of the make
# that runs this test are removed.
unset MAKEFLAGS MFLAGS MAKELEVEL FILM
install() { make -s -o filter "BUILD=$BUILD" "DESTDIR=$dest" "$1" >"$dir/log" 2>&1 || { cat "$dir/log"; return 1; }; }

cases=0 failed=0
check() {
    cases=$((cases + 1)) name=$1; shift
    if "$@"; then echo "ok   install/$name"; else failed=$((failed + 1)); echo "FAIL install/$name: false: $*"; fi
}
config() {
    PKG_CONFIG_SYSROOT_DIR=$dest PKG_CONFIG_PATH=$dest$libdir/pkgconfig PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 \
        PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 pkg-config "$@" colorize
}
build() { # build OUT FOLDER pkg-config's options...: libraries in FOLDER are found before the installed ones
    out=$1 first=$2; shift 2
    # shellcheck disable=SC2046
    $(value CC) $(value LDFLAGS_CONFIG) "$SRC/samples/colorize_ppm.c" "-L$first" $(config "$@") -o "$dir/$out" &&
        objdump -p "$dir/$out" >"$dir/$out.needs"
}

dest="$dir/the dest"                        # may contain a space; the file `the` beside it must not be removed
: >"$dir/the"
check space/install install install
check space/uninstall install uninstall
check space/leaves_no_file [ -z "$(find "$dest" ! -type d)" ]
check space/leaves_the_neighbour [ -e "$dir/the" ]
dest=$dir/dest

check install install install
for file in bin/colorize-train bin/colorize-batch include/colorize.h; do check "has/$file" [ -s "$dest$prefix/$file" ]; done
for file in libcolorize.a libcolorize.so libcolorize.so.0 pkgconfig/colorize.pc; do
    check "has/$file" [ -s "$dest$libdir/$file" ]
done
if [ -e "$SRC/samples/model.bin" ]; then
    check has/model cmp -s "$SRC/samples/model.bin" "$dest$prefix/share/colorize/model.bin"
fi
if [ -e "$BUILD/filter/out/stock" ]; then
    check has/filter [ -s "$dest$libdir/colorize-ffmpeg/$(sed -n 3p "$BUILD/filter/out/stock")" ]
    check has/loader_path grep -qx "$libdir/colorize-ffmpeg" "$dest/etc/ld.so.conf.d/00-colorize.conf"
fi
if [ "$(value WITH_GST)" = yes ]; then
    plugins=$dest$(value GST_PLUGINDIR)
    check has/element [ -s "$plugins/libgstcolorize.so" ]
    rpath=$(objdump -p "$plugins/libgstcolorize.so" | awk '/RUNPATH|RPATH/ { print $2 }')
    check element/finds_the_installed_library [ "$rpath" = "$libdir" ]
    if command -v gst-inspect-1.0 >/dev/null && ! nm -D "$BUILD/gst/libgstcolorize.so" | grep -q '__[at]san_init'; then
        check element/is_found env "GST_PLUGIN_PATH=$plugins" GST_PLUGIN_SYSTEM_PATH= "GST_REGISTRY=$dir/registry.bin" \
            "LD_LIBRARY_PATH=$dest$libdir" sh -c 'gst-inspect-1.0 colorize | grep -q Filter/Effect/Video'
    fi
fi
check pkg_config/version [ "$(config --modversion)" = "$("$dest$prefix/bin/colorize-train" --version | cut -d' ' -f2)" ]
exports=$(nm -D --defined-only "$dest$libdir/libcolorize.so.0" | awk '$2 == "T" && $3 !~ /^clz_/')
check api/exports_are_public [ -z "$exports" ]
check build/shared build shared . --cflags --libs
check build/shared_needs_only_the_library [ "$(grep -c 'NEEDED *lib\(colorize\|jansson\|yaml\|dnnl\)' "$dir/shared.needs")" = 1 ]
mkdir "$dir/a" && cp "$dest$libdir/libcolorize.a" "$dir/a/"
check build/static build static "$dir/a" --cflags --libs --static
check build/static_does_not_need_it [ "$(grep -c 'NEEDED *libcolorize' "$dir/static.needs")" = 0 ]

if command -v ffmpeg >/dev/null && sh "$SRC/tests/make_model.sh" "$dir/model.bin"; then
    ffmpeg -nostdin -v error -f lavfi -i testsrc2=s=48x32,format=gray -frames:v 1 "$dir/grey.pgm"
    check run/shared env "LD_LIBRARY_PATH=$dest$libdir" "$dir/shared" "$dir/model.bin" "$dir/grey.pgm" "$dir/colour.ppm"
    check run/static "$dir/static" "$dir/model.bin" "$dir/grey.pgm" "$dir/again.ppm"
    check run/the_same cmp -s "$dir/colour.ppm" "$dir/again.ppm"
    check run/picture [ "$(wc -c <"$dir/colour.ppm")" = $((13 + 3 * 48 * 32)) ]
fi

check again install install
check uninstall install uninstall
check uninstall/leaves_no_file [ -z "$(find "$dest" ! -type d)" ]
check uninstall/no_empty_pkgconfig [ ! -e "$dest$libdir/pkgconfig" ]
check uninstall/leaves_the_library_folder [ -d "$dest$libdir" ]
check uninstall/no_folder_of_ours [ -z "$(find "$dest" -name '*colorize*')" ]
check uninstall/twice install uninstall
mkdir -p "$dest$libdir/pkgconfig" && : >"$dest$libdir/pkgconfig/other.pc"
check uninstall/with_files_of_others install uninstall
check uninstall/leaves_files_of_others [ -e "$dest$libdir/pkgconfig/other.pc" ]

# ---- configure --install-deps with no package installed: a PATH without sudo, an apt-get that only records its arguments ----

mkdir "$dir/bin" "$dir/conf"
for tool in sh env dirname cat sort sed grep tail rm sleep awk tr; do ln -s "$(command -v $tool)" "$dir/bin/$tool"; done
fake() { printf '#!/bin/sh\n%s\n' "$2" >"$dir/bin/$1"; chmod +x "$dir/bin/$1"; }
fake dpkg-query 'exit 1'
fake apt-get 'echo "$*" >>arguments; echo "E: no such luck"; [ "$1" = update ]'
deps() { (cd "$dir/conf" && rm -f arguments && ! PATH=$dir/bin sh "$SRC/configure" --install-deps >out 2>err); }
fake id 'echo 1000'
check deps/without_root_fails deps
check deps/without_root_prints_one_message \
    [ "$(cat "$dir/conf/err")" = "configure: --install-deps needs root: become root or install sudo" ]
fake id 'echo 0'
check deps/failure_fails deps
check deps/failure_names_the_log grep -q "apt-get failed, see deps.log" "$dir/conf/err"
check deps/failure_prints_the_end_of_the_log grep -qx "E: no such luck" "$dir/conf/err"
check deps/lists_are_updated [ "$(cut -d' ' -f1 "$dir/conf/arguments" | tr '\n' ' ')" = "install update install " ]
check deps/each_package_once [ -z "$(sed -n 1p "$dir/conf/arguments" | tr ' ' '\n' | sort | uniq -d)" ]
check deps/start_names_the_log grep -q "apt's messages are in $dir/conf/deps.log" "$dir/conf/out"
check version/of_onednn grep -q 'CLZ_CONFIG_DNNL "[0-9]' config.h

echo "$cases cases, $failed failed"
[ $failed = 0 ]
