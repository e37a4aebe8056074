#!/bin/sh
# What binhash_train makes of a base model: codes of the base beside codes that
# were learned, of the same pictures.
#
#     sql/train_eval.sh DATA [BASE [IMAGES [QUERIES]]]
#
# DATA is an SQLite file with images(id, split, label, image), split being
# 'train' or 'test'.  BASE is a model's name or its file; by default the model
# that is compiled in.  The first IMAGES training images (all by default) are
# learned from.  The first QUERIES test images (1000) search among the training
# images that were not learned from, or among all where none is left.
# OPTIONS='{"bits":64}' in the environment goes to binhash_train.
#
# mAP@1000 and P@k are as in sql/eval.sql: precision over the nearest codes, ties
# in the order of a database that is shuffled with a fixed seed.
set -e
cd "$(dirname "$0")/.."
data=$1 base=${2:-} images=${3:-1000000000} queries=${4:-1000}
options=${OPTIONS:-{\}}
if [ ! -f "$data" ]; then
  echo "sql/train_eval.sh: no file '$data' (see the top of the script)" >&2
  exit 1
fi
quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"; }
load='' name=$(sqlite3 :memory: '.load ./build/binhash' \
  'SELECT name FROM binhash_models WHERE is_default')
if [ -f "$base" ]; then
  load="CREATE TEMP TABLE base AS SELECT binhash_load('base', $(quoted "$base"))"
  name=base
elif [ -n "$base" ]; then
  name=$base
fi
sqlite3 -batch -bail :memory: '.load ./build/binhash' \
  "ATTACH 'file:$data?mode=ro&immutable=1' AS source" "${load:-SELECT 1 LIMIT 0}" \
  "CREATE TEMP TABLE setting AS SELECT $images AS images, $queries AS queries,
     $(quoted "$name") AS base, $(quoted "$options") AS options" \
  '.read sql/train_eval.sql'
