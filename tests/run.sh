#!/bin/sh
# Run the tests, print what failed, and close with one line that counts.
#
#     tests/run.sh              everything that make has built
#     ONLY=asan tests/run.sh    one suite
#
# A suite is a function below that prints TAP ("ok 1 - name", "not ok 2 - name",
# "ok 3 - name # SKIP why").  Its whole output goes to build/log/SUITE.tap;
# what failed and what was skipped is shown.  A suite that dies counts as a
# failure, and so does one that prints no result.
cd "$(dirname "$0")/.." || exit 1
log=build/log
mkdir -p $log
passed=0 failed=0 skipped=0
export CMOCKA_MESSAGE_OUTPUT=TAP
CC=${CC:-cc} PYTHON=${PYTHON:-/usr/bin/python3}
export CC PYTHON

# programs DIR NAMES...: test programs that print TAP themselves.
programs() {
  dir=$1
  shift
  for p in "$@"; do
    echo "# $dir/$p"
    # cmocka calls a test that was skipped "not ok 1 # SKIP name"
    { "$dir/$p" 2>&1 || echo "not ok - $p exited with status $?"; } |
      sed 's/^not ok \([0-9]* # SKIP\)/ok \1/'
  done
}

units() {
  for f in tests/unit/test_*.c; do basename "$f" .c; done
}

# importer NAMES...: those tests of binhash-import that were built; make leaves
# it out without protobuf-c.
importer() {
  for p in "$@"; do
    [ ! -x build/binhash-import ] || echo "$p"
  done
}

suite_lint() { sh tests/lint.sh; }

suite_unit() {
  sh tests/sql/make_models.sh || echo "not ok - make_models.sh"
  programs build/tests $(units) test_picture_scalar
  if [ -d build/emulated ]; then
    programs build/emulated test_floats test_integer test_planes test_codes \
      test_features test_halves test_tiles
    # All of it takes minutes there.
    build/emulated/test_quantise test_again 2>&1 | grep -E '^(not )?ok ' ||
      echo "not ok - emulated test_quantise"
  else
    echo "ok - emulated AVX-512 and AMX # SKIP no libsimde-dev"
  fi
}

suite_mutations() {
  programs build/tests mutate_picture fuzz_model $(importer fuzz_import \
    fuzz_onnx)
  sh tests/sql/make_models.sh || echo "not ok - make_models.sh"
  $PYTHON tests/fuzz/mutate_trained.py ./build/binhash ||
    echo "not ok - mutate_trained.py"
}

suite_asan() {
  export ASAN_OPTIONS=allocator_may_return_null=1
  # These two load the extension, which sql_asan does under the sanitizer.
  programs build/asan $(units | grep -v '_faults$') mutate_picture \
    fuzz_model $(importer fuzz_import fuzz_onnx)
}

# Without a random address space, which older sanitizers cannot map, and with
# OpenBLAS in the calling thread: how its own threads meet is not seen.
suite_tsan() {
  if setarch -R true 2>/dev/null; then
    for name in test_bulk "test_floats test_teams" test_multi test_top; do
      # shellcheck disable=SC2086
      OPENBLAS_NUM_THREADS=1 setarch -R build/tsan/$name 2>&1 ||
        echo "not ok - tsan $name exited with status $?"
    done
  else
    echo "ok - tsan # SKIP setarch -R is not allowed here"
  fi
}

# sql_script SHELL SCRIPT: compare what a script prints with its .out file.
sql_script() {
  name=$(basename "$2" .sql)
  out=$log/$name.$3.out
  "$1" "$2" >"$out" 2>&1
  if diff -u "tests/sql/$name.out" "$out" >"$out.diff"; then
    echo "ok - sql $name"
  else
    echo "not ok - sql $name"
    sed 's/^/# /' "$out.diff" | head -40
  fi
}

sql_plain() { sqlite3 -batch :memory: <"$1"; }
# sanitized COMMAND...: one that loads build/asan/binhash.
sanitized() {
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
    LD_PRELOAD="$($CC -print-file-name=libasan.so) \
$($CC -print-file-name=libubsan.so)" "$@"
}
sql_sanitized() {
  sed 's|^\.load \./build/binhash$|.load ./build/asan/binhash|' "$1" |
    sanitized sqlite3 -batch :memory:
}

suite_sql() {
  sh tests/sql/make_models.sh || echo "not ok - make_models.sh"
  for f in tests/sql/*.sql; do sql_script sql_plain "$f" plain; done
}

suite_sql_asan() {
  for f in tests/sql/*.sql; do sql_script sql_sanitized "$f" asan; done
  sanitized $PYTHON tests/fuzz/mutate_trained.py ./build/asan/binhash 2>&1 ||
    echo "not ok - mutate_trained.py"
}

suite_reference() { $PYTHON tests/sql/examples.py sql/README.md; }

suite_differential() {
  $PYTHON tests/sql/differential.py ./build/binhash sqlite3 2000 ||
    echo "not ok - differential sqlite3"
  $PYTHON tests/sql/differential_pairs.py ./build/binhash 400 ||
    echo "not ok - differential pairs"
  $PYTHON tests/sql/differential_search.py ./build/binhash sqlite3 1000 ||
    echo "not ok - differential search"
  if [ -x build/venv/bin/python ]; then
    build/venv/bin/python tests/sql/differential.py ./build/binhash apsw 2000 ||
      echo "not ok - differential apsw"
    build/venv/bin/python tests/sql/differential_search.py ./build/binhash \
      apsw 1000 || echo "not ok - differential search apsw"
  else
    echo "ok - differential apsw # SKIP no build/venv with apsw"
  fi
}

suite_index() { sh tests/index/index.sh short; }

suite_hosts() { sh tests/hosts/hosts.sh; }

suite_builds() { sh tests/hosts/builds.sh; }

suite_exact() { sh tests/exact/exact.sh short; }

suite_import() { sh tests/import/import.sh; }

suite_eval() { sh tests/eval/short.sh; }

suite_peers() {
  sh tests/peers/pack.sh
  sh tests/peers/caffenet.sh
  sh tests/peers/int8.sh
  sh tests/peers/caffe_import.sh
}

run() {
  file=$log/$1.tap
  start=$(date +%s)
  "suite_$1" >"$file" 2>&1
  # cmocka closes each program with a plan, which says nothing new.
  p=$(grep -c '^ok' "$file")
  s=$(grep -ci '^ok.*# skip' "$file")
  f=$(grep -c '^not ok' "$file")
  if [ "$p" = 0 ] && [ "$f" = 0 ]; then
    f=1
    echo "not ok - $1 printed no result"
  fi
  printf '%-13s %5d passed %3d failed %3d skipped %4d s\n' "$1" $((p - s)) \
    "$f" "$s" $(($(date +%s) - start))
  grep -A 25 '^not ok' "$file" | head -60
  grep -i '^ok.*# skip' "$file"
  passed=$((passed + p - s)) skipped=$((skipped + s)) failed=$((failed + f))
}

for suite in ${ONLY:-lint unit mutations sql reference differential index hosts \
             builds exact import eval peers asan sql_asan tsan}; do
  run $suite
done
echo
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
