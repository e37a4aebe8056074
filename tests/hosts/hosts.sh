#!/bin/sh
# Compile and run the programs that host the extension, and print their TAP.
# Wants build/binhash.so and build/libbinhash.a; run from anywhere.  TSAN=1 adds
# the threads under the thread sanitizer, which builds the extension once more.
cd "$(dirname "$0")/../.." || exit 1
CC=${CC:-cc}
PYTHON=${PYTHON:-/usr/bin/python3}
out=build/tests/hosts
flags="-std=c11 -O1 -g -D_GNU_SOURCE -Wall -Wextra -Wshadow -Wstrict-prototypes"
libraries='-lsqlite3 -lm -ldl -lpthread'
mkdir -p $out
sh tests/sql/make_models.sh || echo 'not ok - make_models.sh'

# run NAME COMMAND...: its TAP; a status beside its lines is a failure too.
run() {
  name=$1
  shift
  echo "# $name"
  timeout 300 "$@" 2>&1
  status=$?
  [ $status = 0 ] || echo "not ok - $name exited with status $status"
}
compile() {
  # shellcheck disable=SC2086
  $CC $flags "$@" || { echo "not ok - compiling $2"; return 1; }
}

# The extension as a CPU without AVX2 and FMA would run it, whose float32
# networks need a BLAS library.  Only cpu.c knows the difference.
compile -fPIC -fvisibility=hidden -DNN_CPU_MASK=0 -c -o $out/cpu.o nn/cpu.c &&
  # shellcheck disable=SC2046
  compile -shared -o $out/binhash.so $out/cpu.o \
    $(ls build/obj/nn/*.o build/obj/ext/*.o | grep -v '/cpu\.o$') -lm -ldl \
    -lpthread

for name in threads fork quiet; do
  compile -o $out/${name}_host tests/hosts/${name}_host.c $libraries &&
    run ${name}_host $out/${name}_host ./build/binhash
done
run 'quiet_host, lesser CPU' $out/quiet_host $out/binhash blas
compile -o $out/old_host tests/hosts/old_host.c $libraries &&
  run old_host $out/old_host ./build/binhash.so
compile -o $out/static_host tests/hosts/static_host.c build/libbinhash.a \
  $libraries && run static_host $out/static_host plain
# Memory that runs out, with a small model in the place of the compiled-in one.
# shellcheck disable=SC2046
compile -DSQLITE_CORE '-DBINHASH_MODEL_NAME="exact"' \
  '-DBINHASH_MODEL_FILE="build/tests/models/exact.safetensors"' -c \
  -o $out/small_model.o ext/default_model.c &&
  compile -o $out/static_faults tests/hosts/static_host.c $out/small_model.o \
    $(ls build/obj/nn/*.o build/obj/core/ext/*.o | grep -v default_model) \
    $libraries && run 'static_host, small model' $out/static_faults
compile -shared -fPIC -o $out/no_blas.so tests/hosts/no_blas.c -ldl &&
  run symbols sh tests/hosts/symbols.sh $out/no_blas.so ./$out/binhash
run python_host "$PYTHON" tests/hosts/python_host.py ./build/binhash
run amx_host "$PYTHON" tests/hosts/amx_host.py ./build/binhash
if [ -e build/emulated/binhash.so ]; then
  run 'amx_host, emulated' "$PYTHON" tests/hosts/amx_host.py \
    ./build/emulated/binhash emulated
else
  echo 'ok - the setting amx where it is granted # SKIP no libsimde-dev'
fi
run each_host "$PYTHON" tests/hosts/each_host.py ./build/binhash
run import_kill "$PYTHON" tests/hosts/import_kill.py ./build/binhash
if [ -x build/venv/bin/python ]; then
  run two_libraries build/venv/bin/python tests/hosts/two_libraries.py \
    ./build/binhash
else
  echo 'ok - two libraries # SKIP no build/venv with apsw'
fi

if [ "${TSAN:-0}" = 1 ]; then
  mkdir -p $out/tsan
  # Without a random address space, which older sanitizers cannot map, and with
  # OpenBLAS in the calling thread: how its own threads meet is not seen.
  compile -w -fsanitize=thread -fPIC -shared -fvisibility=hidden \
    -ffp-contract=off '-DBINHASH_MODEL_NAME="photo-64"' \
    '-DBINHASH_MODEL_FILE="weights/photo-64.safetensors"' \
    -o $out/tsan/binhash.so nn/*.c ext/*.c $libraries &&
    compile -fsanitize=thread -o $out/tsan/threads_host \
      tests/hosts/threads_host.c $libraries &&
    run 'threads_host, thread sanitizer' \
      env OPENBLAS_NUM_THREADS=1 setarch -R $out/tsan/threads_host \
      $out/tsan/binhash
fi
