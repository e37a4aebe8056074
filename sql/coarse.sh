#!/bin/sh
# Search from coarse to fine on CIFAR-10: how good and how fast each way is.
#
#     sh sql/coarse.sh [DATA [QUERIES [MODEL_FILE]]]
#
# DATA is an SQLite file with images(id, split, label, image), split being
# 'train' or 'test'.  The training images are the database; the first QUERIES
# (500) test images are the queries.  The model is the first head of MODEL_FILE,
# by default weights/cifar10-48.safetensors, which knows the classes.  Codes and
# features are made once, by two processes at a time, and kept in build/eval/,
# one folder for each model; an integer model gives the same bytes whatever
# build of the extension runs it.  KNOWN in the environment says where some of
# them are (`known` of sql/eval/features.sh).
# sql/coarse.sql holds the protocol; it wants 1.3 GB of disk for a while.
set -e
cd "$(dirname "$0")/.."
data=${1:-../shared/data/cifar10.db}
queries=${2:-500}
file=${3:-weights/cifar10-48.safetensors}
if [ ! -f "$data" ]; then
  echo "sql/coarse.sh: no file '$data'; give one as the first argument (an" \
    "SQLite file with images(id, split, label, image))" >&2
  exit 1
fi
. sql/eval/features.sh
name=$(basename "$file" .safetensors)
head=coarse
load="CREATE TEMP TABLE loaded AS SELECT $(quoted "$name") AS file,
  binhash_load('coarse', $(quoted "$file")) AS names"
wanted="(split = 'train' OR id IN (SELECT id FROM source.images
         WHERE split = 'test' ORDER BY id LIMIT $queries))"
known=${KNOWN:-}
features "$name"

work=$dir/work.db
trap 'rm -f "$work" "$dir/times.txt"' EXIT
rm -f "$work"
ways=$(for batch in 0 1 2 3 4 5 6 7 8 9; do
  echo '.read sql/coarse_ways.sql'
done)
sqlite3 -batch -bail "$work" >"$dir/times.txt" <<END
.load ./build/binhash
ATTACH '$dir/features0.db' AS a;
ATTACH '$dir/features1.db' AS b;
CREATE TEMP TABLE setting AS SELECT $queries AS queries;
CREATE VIRTUAL TABLE codes USING
  binhash(bits=$(model_says bits), content='images', content_rowid='id');
.read sql/coarse.sql
CREATE TEMP VIEW floats AS SELECT * FROM images;
CREATE TEMP VIEW packs AS SELECT * FROM packed;
CREATE TEMP VIEW asked AS SELECT * FROM queries;
CREATE TEMP TABLE searched AS SELECT 'images' AS floats, 'packed' AS packs;
$ways
DROP VIEW floats;
DROP VIEW packs;
DROP VIEW asked;
CREATE TEMP VIEW floats AS SELECT * FROM wide;
CREATE TEMP VIEW packs AS SELECT * FROM wide_packed;
CREATE TEMP VIEW asked AS SELECT * FROM wide_queries;
UPDATE searched SET floats = 'wide', packs = 'wide_packed';
UPDATE round SET part = 2, batch = -1;
$ways
END

# The time of a statement in CPU seconds, which other work of the machine hardly
# changes; all data is in memory, so there is nothing to wait for.
awk -F '[| ]' '$1 == "way" {row = $2 "," $3 "," $4}
  $1 == "Run" {print "INSERT INTO times VALUES (" row "," $6 + $8 ");"}' \
  "$dir/times.txt" | sqlite3 -batch -bail "$work"
sqlite3 -batch -bail "$work" '.load ./build/binhash' "$load" \
  '.read sql/coarse_report.sql'
