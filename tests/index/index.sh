#!/bin/sh
# The index under trial:
#     index.sh short    a part of each, in a minute or so
#     index.sh soak     millions of operations, every fault, ten thousand
#                       damaged tables, 200 kills: an hour of a processor
# SOAK=3 makes of the two parts that have no end, the random operations and the
# random statements, three times as many: another hour and a half.
# Run from the repository root.  Prints TAP.
case ${1:-short} in
  soak) operations=$((2000000 * ${SOAK:-1})) kills=200 stride=1 damaged=10000
        sanitized=10000 statements=$((100000 * ${SOAK:-1})) rows=1000000 ;;
  *) operations=20000 kills=10 stride=150 damaged=500 sanitized=250
     statements=1500 rows=200000 ;;
esac
PYTHON=${PYTHON:-/usr/bin/python3}

# trial NAME COMMAND...
trial() {
  name=$1
  shift
  "$@" 2>&1 || echo "not ok - $name exited with status $?"
}

sh tests/sql/make_models.sh || echo 'not ok - make_models.sh'
trial model build/tests/index_model $operations
trial kill build/tests/index_kill $kills
trial faults build/tests/index_faults $stride
trial corrupt build/tests/index_corrupt $damaged
BINHASH_EXTENSION=./build/asan/binhash \
ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
  trial 'corrupt, sanitized' build/asan/index_corrupt $sanitized
trial statements "$PYTHON" tests/index/statements.py ./build/binhash sqlite3 \
  $statements
ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
LD_PRELOAD="$(${CC:-cc} -print-file-name=libasan.so) \
$(${CC:-cc} -print-file-name=libubsan.so)" \
  trial 'statements, sanitized' "$PYTHON" tests/index/statements.py \
  ./build/asan/binhash sqlite3 $((statements / 2))
trial 'order' "$PYTHON" tests/index/order.py ./build/binhash sqlite3 $rows
trial 'slabs' "$PYTHON" tests/index/slabs.py ./build/binhash sqlite3
trial 'surroundings' "$PYTHON" tests/index/surroundings.py
trial 'environment' "$PYTHON" tests/index/environment.py ./build/binhash sqlite3
if [ -x build/venv/bin/python ]; then
  trial 'environment, apsw' build/venv/bin/python tests/index/environment.py \
    ./build/binhash apsw
  trial 'statements, apsw' build/venv/bin/python tests/index/statements.py \
    ./build/binhash apsw $statements
else
  echo 'ok - environment, apsw # SKIP no build/venv with apsw'
fi

# The trial of the model, tried itself: with the plain index in place of the
# other it passes, and it notices each way in which that can be wrong.
export BINHASH_STAND_IN=./build/tests/plain
trial 'model, plain index' build/tests/index_model 3000 1 | sed 's/model:/plain:/'
for wrong in ties stale limit replace radius extreme; do
  if BINHASH_WRONG=$wrong build/tests/index_model 20000 1 |
      grep -q '^not ok 1 - model'; then
    echo "ok - the model notices: $wrong"
  else
    echo "not ok - the model does not notice: $wrong"
  fi
done

# So do the random statements.
for wrong in none ties stale limit replace radius extreme; do
  says=$(BINHASH_WRONG=$wrong "$PYTHON" tests/index/statements.py \
    ./build/binhash sqlite3 1500 1 2>&1)
  want='^not ok 1 - statements'
  [ $wrong != none ] || want='^ok 1 - statements'
  if echo "$says" | grep -q "$want"; then
    echo "ok - the statements notice: $wrong"
  else
    echo "not ok - the statements do not notice: $wrong"
    echo "$says" | sed 's/^/# /'
  fi
done
