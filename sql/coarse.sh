#!/bin/sh
# Search from coarse to fine on CIFAR-10: how good and how fast each way is.
#
#     sh sql/coarse.sh [DATA [QUERIES]]
#
# DATA is an SQLite file with images(id, split, label, image), split being
# 'train' or 'test'.  The training images are the database; the first QUERIES
# (500) test images are the queries.  Codes and features are made once, by two
# processes at a time, and kept in build/eval/, one folder for each model; an
# integer model gives the same bytes whatever build of the extension runs it.
# sql/coarse.sql holds the protocol; it wants 1.3 GB of disk for a while.
set -e
cd "$(dirname "$0")/.."
data=${1:-../shared/data/cifar10.db}
queries=${2:-500}
if [ ! -f "$data" ]; then
  echo "sql/coarse.sh: no file '$data'; give one as the first argument (an" \
    "SQLite file with images(id, split, label, image))" >&2
  exit 1
fi
default() {
  sqlite3 -batch -bail :memory: '.load ./build/binhash' \
    "SELECT $1 FROM binhash_models WHERE is_default"
}
model=$(default "name || '-' || substr(sha256, 1, 12)")
dir=build/eval/$model-$(basename "$data" .db)
mkdir -p "$dir"
wanted="(split = 'train' OR id IN (SELECT id FROM source.images
         WHERE split = 'test' ORDER BY id LIMIT $queries))"

# hash_part PART: the images whose id is PART modulo 2, in committed slices.
hash_part() {
  db=$dir/features$1.db
  sqlite3 "$db" 'CREATE TABLE IF NOT EXISTS features(id INTEGER PRIMARY KEY,
    split TEXT, label INT, code BLOB, features BLOB)'
  while :; do
    left=$(sqlite3 -batch -bail "$db" '.load ./build/binhash' \
      "ATTACH 'file:$data?mode=ro&immutable=1' AS source" \
      "INSERT INTO features
       SELECT id, split, label, img_hash(image), img_features(image)
       FROM source.images WHERE id % 2 = $1 AND $wanted AND
         id NOT IN (SELECT id FROM features)
       LIMIT 5000" \
      "SELECT count(*) FROM source.images WHERE id % 2 = $1 AND $wanted AND
         id NOT IN (SELECT id FROM features)")
    echo "process $1: $left images left to hash"
    [ "$left" = 0 ] && break
  done
}
hash_part 0 &
hash_part 1
wait $!

trap 'rm -f "$dir/work.db"' EXIT
rm -f "$dir/work.db"
sqlite3 -batch -bail "$dir/work.db" '.load ./build/binhash' \
  "CREATE TEMP TABLE setting AS SELECT $queries AS queries" \
  "CREATE VIRTUAL TABLE codes USING
     binhash(bits=$(default bits), content='images', content_rowid='id')" \
  "ATTACH '$dir/features0.db' AS a" "ATTACH '$dir/features1.db' AS b" \
  '.read sql/coarse.sql'
