#!/bin/sh
# The builds that are not the default one: OpenBLAS linked in, no model, and a
# program that finds an installed libbinhash.a through pkg-config.  Prints TAP.
cd "$(dirname "$0")/../.." || exit 1
make=${MAKE:-make}
n=0
image=tests/golden/pictures/444.jpg

# check NAME CONDITION...: the condition is a command.
check() {
  name=$1
  shift
  n=$((n + 1))
  if "$@"; then echo "ok $n - $name"; else echo "not ok $n - $name"; fi
}

# ask EXTENSION SQL
ask() { sqlite3 -batch :memory: ".load $1" "$2" 2>&1; }

is() {
  [ "$1" = "$2" ] && return
  echo "# got '$1', not '$2'"
  return 1
}

symbols() { nm -D --defined-only "$1" | awk '{print $3}' | tr '\n' ' '; }

if ls /usr/lib/*/openblas-serial/libopenblas.a >/dev/null 2>&1; then
  so=build/static-blas/binhash.so
  $make -s STATIC_BLAS=1 loadable 2>&1 | sed 's/^/# /'
  check "static BLAS: one symbol" is "$(symbols $so)" "sqlite3_binhash_init "
  check "static BLAS: depends on no BLAS library" \
    sh -c "! ldd $so | grep -qi blas"
  # The same kernels, in one library of threads and one without: the codes agree
  # but for a bit at its threshold.
  far=$(ask "$so" "SELECT hamming(img_hash(readfile('$image')),
    x'$(ask ./build/binhash "SELECT hex(img_hash(readfile('$image')))")') <= 1")
  check "static BLAS: hashes" is "$far" 1
  # The compiled-in model computes in integers; a float32 one takes OpenBLAS.
  # A core that the CPU cannot run would be an illegal instruction.
  sh tests/sql/make_models.sh
  for core in Prescott Haswell SkylakeX; do
    if [ $core = SkylakeX ] && ! grep -q avx512bw /proc/cpuinfo; then
      n=$((n + 1))
      echo "ok $n - static BLAS: OpenBLAS's $core # SKIP no AVX-512 here"
      continue
    fi
    check "static BLAS: hashes as OpenBLAS's $core" is \
      "$(OPENBLAS_CORETYPE=$core ask $so \
         "SELECT binhash_load('tiny', 'build/tests/models/tiny.safetensors');
          SELECT length(img_hash(readfile('$image'), 'tiny'))" | tail -1)" 2
  done
else
  n=$((n + 1))
  echo "ok $n - static BLAS # SKIP no libopenblas-serial-dev"
fi

$make -s B=build/no-model MODEL=none loadable 2>&1 | sed 's/^/# /'
so=build/no-model/binhash.so
check "no model: says so" is "$(ask $so "SELECT img_hash(zeroblob(9))" |
  sed 's/.*img_hash/img_hash/')" "img_hash: this build has no default model;\
 load one with binhash_load and give its name"
check "no model: takes one" is "$(ask $so "SELECT binhash_load('cifar10-48',
  'weights/cifar10-48.safetensors') <> '', length(img_hash(readfile('$image'),
  'cifar10-48'))")" "1|6"
check "no model: compares codes" is "$(ask $so "SELECT hamming(x'03', x'00')")" 2
# Another model: all heads of its file are there, the first is the default.
$make -s B=build/no-model MODEL=cifar10-48 loadable 2>&1 | sed 's/^/# /'
check "another model: its heads" is "$(ask $so "SELECT length(img_hash(
  readfile('$image'), 'cifar10-128')), length(img_hash(readfile('$image')))")" \
  "16|6"

to=$(pwd)/build/installed
rm -rf "$to"
$make -s install PREFIX="$to" >/dev/null
check "install: the extension loads" is \
  "$(ask "$to/lib/binhash" 'SELECT hamming(7, 0)')" 3
if pkg-config --version >/dev/null 2>&1; then
  cat >"$to/app.c" <<'C'
#include <binhash.h>
#include <sqlite3.h>
#include <stdio.h>
int main(void) {
  sqlite3 *db;
  sqlite3_auto_extension((void (*)(void))sqlite3_binhash_init);
  if (sqlite3_open(":memory:", &db)) return 1;
  if (sqlite3_exec(db, "SELECT hamming(x'ff', x'00')", 0, 0, 0)) return 1;
  puts(BINHASH_VERSION);
  return sqlite3_close(db);
}
C
  export PKG_CONFIG_PATH="$to/lib/pkgconfig"
  ${CC:-cc} -o "$to/app" "$to/app.c" \
    $(pkg-config --cflags --libs binhash)
  check "install: a program links the archive through pkg-config" is \
    "$("$to/app")" "$(pkg-config --modversion binhash)"
fi
$make -s uninstall PREFIX="$to" >/dev/null
check "uninstall leaves nothing" is \
  "$(find "$to" -type f ! -name 'app*' | wc -l)" 0
echo "1..$n"
