#!/bin/sh
# What the linker sees, and what a user sees on a machine without OpenBLAS:
#     symbols.sh NO_BLAS.so LESSER
# where LESSER is the extension for a CPU whose float32 networks need one.
# Run from the repository root.
n=0
# ok CONDITION_STATUS NAME
ok() {
  n=$((n + 1))
  if [ "$1" = 0 ]; then echo "ok $n - $2"; else echo "not ok $n - $2"; fi
}
# same WANTED GOT NAME
same() {
  [ "$1" = "$2" ]
  status=$?
  [ $status = 0 ] || printf '# wanted: %s\n# got: %s\n' "$1" "$2"
  ok $status "$3"
}

entry='T sqlite3_binhash_init'
same "$entry" "$(nm -D --defined-only build/binhash.so | cut -d' ' -f2-)" \
  'symbols: the loadable file exports its entry point alone'
same "$entry" "$(nm -g --defined-only build/libbinhash.a |
                 grep -v '^$' | grep -v ':$' | cut -d' ' -f2-)" \
  'symbols: so does the archive'
# All that it takes from SQLite comes through the table of routines.
same '' "$(nm -D --undefined-only build/binhash.so | grep ' sqlite3_')" \
  'symbols: the loadable file calls no SQLite by name'
same '' "$(readelf -d build/binhash.so | grep NEEDED |
           grep -v 'libc\.so\|libm\.so\|ld-linux')" \
  'symbols: it needs the C library and nothing else'
same '' "$(readelf -lW build/binhash.so | grep GNU_STACK | grep RWE)" \
  'symbols: its stack is not executable'
same '' "$(readelf -dW build/binhash.so | grep TEXTREL)" \
  'symbols: it has no text relocations'

extension=$2
sql() {
  LD_PRELOAD=$1 sqlite3 -batch :memory: ".load $extension" "$2" 2>&1
}
picture="readfile('tests/golden/pictures/420.jpg')"
# The compiled-in model computes in integers; a float32 one needs OpenBLAS here.
load="SELECT binhash_load('tiny', 'build/tests/models/tiny.safetensors') = ''"
same "$(sql '' "SELECT hex(img_hash($picture))")" \
  "$(sql "$1" "SELECT hex(img_hash($picture))")" \
  'no BLAS: the compiled-in model hashes, and the same'
case $(sql "$1" "$load; SELECT img_hash($picture, 'tiny')") in
  *'needs OpenBLAS'*'apt-get install libopenblas0'*) status=0 ;;
  *) status=1 ;;
esac
ok $status 'no BLAS: img_hash names the package that is missing'
same 4 "$(sql "$1" "SELECT hamming(x'0f', x'00')")" 'no BLAS: hamming works'
same '|jpeg' "$(sql "$1" "SELECT img_error($picture),
                          json_extract(img_info($picture), '\$.format')")" \
  'no BLAS: pictures are decoded'
same 'photo-64|64,copy-64|64' "$(sql "$1" "SELECT
  group_concat(name || '|' || bits) FROM binhash_models")" \
  'no BLAS: models are listed'
same null "$(sql "$1" "SELECT json_type(binhash_info(), '\$.blas')")" \
  'no BLAS: binhash_info says so'
case $(sql "$1" "$load; SELECT try_img_hash($picture, 'tiny')") in
  *'needs OpenBLAS'*) status=0 ;;
  *) status=1 ;;
esac
ok $status 'no BLAS: an error in try_img_hash too, which is not about the image'
same 0,2 "$(sql '' "$load; SELECT length(img_hash($picture, 'tiny'))" |
            tr '\n' ',' | sed 's/,$//')" \
  'no BLAS: with it all is well'
echo "1..$n"
