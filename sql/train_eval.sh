#!/bin/sh
# What binhash_train makes of a base model: codes of the base beside codes that
# were learned, of the same pictures.
#
#     sql/train_eval.sh DATA [BASE [IMAGES [QUERIES [SEARCHED]]]]
#
# DATA is an SQLite file with images(id, split, label, image), split being
# 'train' or 'test'.  BASE is a model's name or its file; by default the model
# that is compiled in.  IMAGES training images (all by default), drawn with a
# fixed seed, are learned from: files of pictures are often in an order in which
# like follows like.  The first QUERIES test images (all) search among SEARCHED
# (all) of the training images that were not learned from, or of all of them where
# none is left, drawn likewise.
# OPTIONS='{"bits":64}' in the environment goes to binhash_train.
#
# The base's codes and features are made once and kept (sql/eval/features.sh); the
# learned codes are computed from them, and of 200 pictures compared with what
# img_hash gives.  Figures are those of sql/eval/rank.sql, with its extension,
# which `make eval` builds.  Needs python3-numpy.
set -e
cd "$(dirname "$0")/.."
data=$1 base=${2:-} images=${3:-1000000000} queries=${4:-1000000000}
searched=${5:-1000000000}
options=${OPTIONS:-{\}}
PYTHON=${PYTHON:-/usr/bin/python3}
fail() { echo "sql/train_eval.sh: $*" >&2; exit 1; }
[ -f "$data" ] || fail "no file '$data' (see the top of the script)"
[ -f build/tests/eval.so ] || fail "no build/tests/eval.so, which make eval builds"
if ! "$PYTHON" -c 'import numpy' 2>/dev/null; then
  echo "skipped: learned codes, which need python3-numpy"
  exit
fi
. sql/eval/features.sh
load='' head=$(sqlite3 :memory: '.load ./build/binhash' \
  'SELECT name FROM binhash_models WHERE is_default')
if [ -f "$base" ]; then
  load="CREATE TEMP TABLE base AS SELECT binhash_load('base', $(quoted "$base"))"
  head=base
elif [ -n "$base" ]; then
  head=$base
fi
[ "$head" ] || fail "no model is compiled in; name one, or its file"
name=$head
[ ! -f "$base" ] || name=$(basename "$base" .safetensors)
mkdir -p build/eval
work=$(mktemp build/eval/learned.XXXXXX)
trap 'rm -f "$work"' EXIT
sqlite3 -batch -bail "$work" '.load ./build/tests/eval' \
  "ATTACH 'file:$data?mode=ro&immutable=1' AS source" \
  "CREATE TABLE setting AS SELECT $images AS images, $queries AS queries,
    $searched AS searched, $(quoted "$options") AS options" \
  '.read sql/train_pick.sql'
wanted="id IN (SELECT id FROM picked.picked WHERE place <> 'learned')" load_base=$load
load="$load; ATTACH 'file:$work?mode=ro' AS picked" known=
features "$name" || fail "no codes of '$head'"
run() {
  sqlite3 -batch -bail "$work" '.load ./build/binhash' \
    '.load ./build/tests/eval' \
    "ATTACH 'file:$data?mode=ro&immutable=1' AS source" \
    "ATTACH '$dir/features0.db' AS a" "ATTACH '$dir/features1.db' AS b" "$@"
}
run "$load_base" "CREATE TABLE base_model AS SELECT $(quoted "$name") AS name,
    $(quoted "$head") AS head" '.read sql/train_eval.sql'
"$PYTHON" tests/eval/learned.py "$work" "$dir/features0.db" "$dir/features1.db"
run '.read sql/train_codes.sql'
for method in base learned; do
  run "CREATE TEMP TABLE arg AS SELECT '' AS set_name, '' AS head,
      '$method' AS method, 1000 AS first" \
    "CREATE TEMP VIEW base AS SELECT id, label, $method AS code FROM found
      WHERE place = 'base'" \
    "CREATE TEMP VIEW query AS SELECT id, label, $method AS code FROM found
      WHERE place = 'query'" '.read sql/eval/rank.sql'
done
run '.read sql/train_report.sql'
