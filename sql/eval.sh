#!/bin/sh
# Retrieval quality on CIFAR-10, through the extension, in SQL:
#
#     make eval [DATA=../shared/data/cifar10.db]
#
# DATA is an SQLite file with images(id, split, label, image), split being
# 'train' or 'test'.  Every image is hashed once, by two processes at a time;
# codes are kept in build/eval/, one folder for each build of the extension, so
# a second run of the same build only evaluates.  sql/eval.sql holds the protocol.
set -e
cd "$(dirname "$0")/.."
data=${1:-../shared/data/cifar10.db}
if [ ! -f "$data" ]; then
  echo "make eval: no file '$data'; give one with DATA=FILE (an SQLite file" \
    "with images(id, split, label, image))" >&2
  exit 1
fi
dir=build/eval/$(sha256sum build/binhash.so | cut -c 1-12)-$(basename "$data" .db)
mkdir -p "$dir"

# hash_part PART: the images whose id is PART modulo 2, in committed slices.
hash_part() {
  db=$dir/part$1.db
  sqlite3 "$db" 'CREATE TABLE IF NOT EXISTS codes(id INTEGER PRIMARY KEY,
    split TEXT, label INT, code BLOB, predicted TEXT)'
  while :; do
    left=$(OPENBLAS_NUM_THREADS=1 sqlite3 -batch -bail "$db" \
      '.load ./build/binhash' ".param init" \
      "ATTACH 'file:$data?mode=ro&immutable=1' AS source" \
      "INSERT INTO codes SELECT id, split, label, img_hash(image),
         CASE split WHEN 'test' THEN img_label(image) END
       FROM source.images
       WHERE id > (SELECT coalesce(max(id), 0) FROM codes) AND id % 2 = $1
       ORDER BY id LIMIT 5000" \
      "SELECT (SELECT count(*) FROM source.images WHERE id % 2 = $1) -
              (SELECT count(*) FROM codes)")
    echo "process $1: $left images left to hash"
    [ "$left" = 0 ] && break
  done
}
hash_part 0 &
hash_part 1
wait $!

sqlite3 -batch -bail :memory: '.load ./build/binhash' \
  "ATTACH '$dir/part0.db' AS a" "ATTACH '$dir/part1.db' AS b" \
  "ATTACH 'file:$data?mode=ro&immutable=1' AS source" '.read sql/eval.sql'
