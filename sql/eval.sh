#!/bin/sh
# How well the models find pictures, through the extension, in SQL:
#
#     make eval [DATA=FILE or FOLDER] [MODEL_FILE=FILES] [SECTIONS=NAMES]
#
# prints one table for each model file (all of weights/ by default), head and
# data set.  DATA is SQLite files with images(id, split, label, image) and
# classes(label, name): cifar10.db, mnist.db, tinyimagenet-a.db and -b.db, or one
# file of another name with the splits train and test.  SECTIONS are
#
#     classes   pictures of the classes that the model knows
#     unseen    pictures of classes that it does not
#     copies    edited versions of pictures; python3-pil makes the edits
#     views     mirrored and turned pictures
#     card      what a distance means, and images a second
#
# Every picture is hashed once, by two processes at a time, in slices that are
# kept in build/eval/, in one folder for each model file, build of the extension
# and data: what was cut off goes on, and a second run only evaluates.  The protocol
# of each figure stands in sql/eval/ and tests/eval/ranking.c.
set -e
cd "$(dirname "$0")/.."
data=${1:-../shared/data}
models=${2:-$(ls weights/*.safetensors)}
sections=${3:-classes unseen copies views card}
PYTHON=${PYTHON:-/usr/bin/python3}
out=${EVAL_OUT:-build/eval}
fail() { echo "make eval: $*" >&2; exit 1; }
note() { echo "$*" >&2; }
[ -e "$data" ] || fail "no file or folder '$data'; give one with DATA=FILE or" \
  "FOLDER (SQLite files with images(id, split, label, image))"
export OPENBLAS_NUM_THREADS=1

# The data sets: a NAME, its files, and their splits for database and queries.
if [ -d "$data" ]; then folder=$data; else folder=$(dirname "$data"); fi
given() { [ -d "$data" ] || [ "$data" = "$1" ]; }
file() { if [ -f "$folder/$1" ] && given "$folder/$1"; then
  echo "$folder/$1"; fi; }
cifar=$(file cifar10.db) mnist=$(file mnist.db)
tiny=$(file tinyimagenet-a.db) tiny_b=$(file tinyimagenet-b.db)
other=
[ -d "$data" ] || [ -n "$cifar$mnist$tiny$tiny_b" ] || other=$data
wants() { case " $sections " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }

quoted() { printf %s "$1" | sed "s/'/''/g"; }
# sql DB ARGUMENTS...: the shell with both extensions.
sql() {
  db=$1
  shift
  sqlite3 -batch -bail "$db" '.load ./build/binhash' \
    '.load ./build/tests/eval' "$@"
}
source_of() { printf "ATTACH 'file:%s?mode=ro&immutable=1' AS %s" \
  "$(quoted "$1")" "$2"; }

# Hashing ------------------------------------------------------------------

# hash_part SCRIPT SET PART PICTURES FILES...: the pictures whose id is PART
# modulo 2; PICTURES is SQL that names them, of s1, s2... for the files.
hash_part() {
  script=$1 into=$2 part=$3 pictures=$4
  shift 4
  attached= i=1
  for f; do
    attached="$attached$(source_of "$f" s$i); "
    i=$((i + 1))
  done
  while :; do
    left=$(sql "$dir/$into.$part" \
      "CREATE TEMP TABLE arg AS SELECT $part AS part, 2 AS parts" \
      "$(source_of "$dir/model.db" model)" "$attached" \
      "CREATE TEMP VIEW picture AS $pictures" \
      '.output /dev/null' "SELECT binhash_load('first', '$(quoted "$model")')" \
      '.output' ".read sql/eval/$script.sql") || return 1
    note "$name, $into, process $part: $left left to hash"
    [ "$left" = 0 ] && break
  done
}

# hash SCRIPT SET PICTURES FILES...: into $dir/SET.db.
hash() {
  script=$1 into=$2 pictures=$3
  shift 3
  [ -f "$dir/$into.db" ] && return
  hash_part "$script" "$into" 0 "$pictures" "$@" &
  hash_part "$script" "$into" 1 "$pictures" "$@" || { wait; exit 1; }
  wait $! || exit 1
  [ "$script" = hash ] && features="INSERT INTO features SELECT * FROM p.features"
  sqlite3 -batch -bail "$dir/$into.0" "ATTACH '$dir/$into.1' AS p" \
    'BEGIN' 'INSERT INTO codes SELECT * FROM p.codes' "${features:-}" 'COMMIT'
  features=
  rm "$dir/$into.1"
  mv "$dir/$into.0" "$dir/$into.db"
}

# split SET SPLIT FILES...: all pictures of a split.
split() {
  into=$1 what=$2
  shift 2
  pictures= i=1
  for f; do
    pictures="${pictures:+$pictures UNION ALL }SELECT id, split, label, image
      FROM s$i.images WHERE split = '$what'"
    i=$((i + 1))
  done
  hash hash "$into" "$pictures" "$@"
}

# Ranking ------------------------------------------------------------------

# rank SET HEAD METHOD FIRST BASE QUERY ATTACH...: figures of one way to make
# codes, in the table `figures` of $dir/figures.db.
rank() {
  arg="CREATE TEMP TABLE arg AS SELECT '$(quoted "$1")' AS set_name,
    '$(quoted "$2")' AS head, '$3' AS method, $4 AS first"
  views="CREATE TEMP VIEW base AS $5; CREATE TEMP VIEW query AS $6"
  shift 6
  sql "$dir/figures.db" "$arg" "$@" "$views" \
    'CREATE TABLE IF NOT EXISTS figures(set_name TEXT, head TEXT, method TEXT,
       name TEXT, value REAL)' \
    'DELETE FROM figures WHERE (set_name, head, method) IN
       (SELECT set_name, head, method FROM arg)' '.read sql/eval/rank.sql'
}

heads() {
  sqlite3 -batch "$dir/model.db" "SELECT head FROM heads $1 ORDER BY number"
}

# codes DB HEAD: the rows of a head.
codes() {
  echo "SELECT id, label, code FROM $1.codes WHERE head = '$(quoted "$2")'"
}

# The number of a predicted class as a code, 4 bits of which differ for ten.
class_codes() {
  echo "SELECT id, label, eval_byte((SELECT key FROM model.heads AS h,
    json_each(h.classes) WHERE h.head = c.head AND value = predicted)) AS code
    FROM $1.codes AS c WHERE head = '$(quoted "$2")'"
}

# Sections -----------------------------------------------------------------

# classes SET FILE FILES...: FILE has the test images, FILES the training images.
classes() {
  set=$1 file=$2 test=test
  shift 2
  [ "$set" = tinyimagenet ] && test=val
  known=$(sqlite3 -batch "$dir/model.db" "$(source_of "$file" source)" \
    "SELECT head FROM heads WHERE classes NOT NULL AND NOT EXISTS (
       SELECT 1 FROM json_each(classes) WHERE value NOT IN
         (SELECT name FROM source.classes)) ORDER BY number")
  [ -n "$known" ] || return 0
  split "$set-train" train "$@"
  split "$set-test" $test "$file"
  train="ATTACH '$dir/$set-train.db' AS train"
  asked="ATTACH '$dir/$set-test.db' AS test"
  others=$dir/$set-others.db
  if ! [ -f "$others" ]; then
    if "$PYTHON" -c 'import numpy' 2>/dev/null; then
      note "$name, $set: other codes of the same features"
      # shellcheck disable=SC2046
      OPENBLAS_NUM_THREADS=2 "$PYTHON" tests/eval/features.py \
        "$dir/$set-train.db" "$dir/$set-test.db" "$others" \
        $(sqlite3 -batch "$dir/model.db" 'SELECT DISTINCT bits FROM heads')
    else
      others=
      note "skipped: rotation, ITQ and float features, which need python3-numpy"
    fi
  fi
  echo "$known" | while read -r head; do
    note "$name, $set: ranking by $head"
    seen="label IN (SELECT label FROM source.classes JOIN json_each((SELECT
      classes FROM model.heads WHERE head = '$(quoted "$head")')) ON value = name)"
    set -- "ATTACH '$dir/model.db' AS model" "$(source_of "$file" source)" \
      "$train" "$asked"
    base="$(codes train "$head") AND $seen"
    query="$(codes test "$head") AND $seen"
    rank "$set" "$head" code 1000 "$base" "$query" "$@"
    rank "$set" "$head" test 1000 "$query" "$query" "$@"
    rank "$set" "$head" class 1000 "$(class_codes train "$head") AND $seen" \
      "$(class_codes test "$head") AND $seen" "$@"
    if [ -n "$others" ]; then
      for method in rotation itq; do
        of="SELECT id, label, code FROM others.codes WHERE method = '$method' AND
          bits = (SELECT bits FROM model.heads WHERE head = '$(quoted "$head")')
          AND $seen AND split"
        rank "$set" "$head" $method 1000 "$of = 'train'" "$of <> 'train'" "$@" \
          "ATTACH '$others' AS others"
      done
      sqlite3 -batch -bail "$dir/figures.db" "ATTACH '$others' AS others" \
        "DELETE FROM figures WHERE (set_name, head, method) =
           ('$set', '$(quoted "$head")', 'float')" \
        "INSERT INTO figures SELECT '$set', '$(quoted "$head")', 'float', name,
           value FROM others.figures"
    fi
    plot=$out/$name-$set.svg
    [ "$head" = "$name" ] || plot=$out/$name-$head-$set.svg
    arg="CREATE TEMP TABLE arg AS SELECT '$set' AS set_name,
      '$(quoted "$head")' AS head, '$plot' AS file"
    sql "$dir/figures.db" "$arg" "$@" \
      ".output /dev/null" "CREATE TEMP TABLE loaded AS SELECT
         eval_database(id, code, label) FROM ($base)" \
      "CREATE TEMP TABLE bits_used AS SELECT set_name, head, eval_bits(bits) AS
         value FROM arg JOIN model.heads USING (head)" \
      '.read sql/eval/plot.sql' '.output' '.read sql/eval/classes.sql'
    echo "precision over hits: $plot"
  done
}

# The validation images of classes that the model has not seen: not those in its
# file, and for one of CIFAR-10's classes not those that resemble them.
unseen_labels() {
  cat <<END
label NOT IN (SELECT c.label FROM tiny.classes AS c JOIN model.heads AS h
  JOIN json_each(h.classes) AS k ON k.value = c.name) AND
(label NOT IN (SELECT label FROM resembling) OR NOT EXISTS (
  SELECT 1 FROM model.heads AS h, json_each(h.classes) WHERE value = 'airplane'))
END
}

unseen() {
  split tinyimagenet-test val "$tiny"
  set -- "ATTACH '$dir/model.db' AS model" "$(source_of "$tiny" tiny)" \
    "ATTACH '$dir/tinyimagenet-test.db' AS test" \
    "CREATE TEMP TABLE resembling(label INT)" "$(grep '^[0-9]' \
      weights/cifar_like_classes.txt |
      sed 's/^\([0-9]*\).*/INSERT INTO resembling VALUES (\1);/')"
  count=$(sql :memory: "$@" "SELECT count(*) FROM tiny.classes
    WHERE $(unseen_labels)")
  if [ "$count" = 0 ]; then
    echo
    echo "$name has seen all classes there are: no figure of unseen ones"
    return
  fi
  heads | while read -r head; do
    for method in code phash random; do
      which=$method
      [ $method = code ] && which=$head
      of="$(codes test "$which") AND $(unseen_labels)"
      rank unseen "$head" $method 100 "$of" "$of" "$@"
    done
    sql "$dir/figures.db" "$@" "CREATE TEMP TABLE arg AS SELECT 'unseen' AS
      set_name, '$(quoted "$head")' AS head" "CREATE TEMP VIEW query AS $of" \
      '.read sql/eval/unseen.sql'
  done
}

# The edits, made once for all models.
edits() {
  originals=$(sqlite3 -batch "$tiny" "SELECT min(1000, count(*) / 10) FROM images
    WHERE split = 'val'")
  edits=$out/edits-$(cat tests/eval/edits.py "$tiny" | sha256sum |
    cut -c 1-12).db
  [ -f "$edits" ] && return
  if ! "$PYTHON" -c 'import PIL' 2>/dev/null; then
    note "skipped: near duplicates and views, which need python3-pil"
    return 1
  fi
  note "editing $originals pictures"
  "$PYTHON" tests/eval/edits.py "$tiny" "$edits" "$originals"
}

# copies_of HEAD METHOD: SQL of the database, (id, label, code): the originals by
# their ids, and pictures without an edit, of two data sets.
copies_base() {
  first="(SELECT min(id) FROM test.codes)"
  echo "SELECT id, CASE WHEN id < $first + $originals THEN id END AS label, code
    FROM test.codes WHERE head = '$(quoted "$1")' AND NOT (
      id >= $first + $originals AND id < $first + 2 * $originals)"
  [ -z "$cifar" ] || echo "UNION ALL SELECT -id, NULL, code FROM small.codes
    WHERE head = '$(quoted "$1")'"
}

# pairs SET HEAD METHOD BASE QUERY ATTACH...
pairs() {
  arg="CREATE TEMP TABLE arg AS SELECT '$1' AS set_name,
    '$(quoted "$2")' AS head, '$3' AS method"
  views="CREATE TEMP VIEW base AS $4; CREATE TEMP VIEW query AS $5"
  shift 5
  sql "$dir/pairs.db" "$arg" "$@" "$views" '.read sql/eval/pairs.sql'
}

# What copies and views ask: the database's codes and the edits'.
copies_hashed() {
  split tinyimagenet-test val "$tiny"
  [ -z "$cifar" ] || split cifar10-test test "$cifar"
  hash hash edits 'SELECT id, split, label, image FROM s1.images' "$edits"
}

copies() {
  heads | while read -r head; do
    set -- "ATTACH '$dir/tinyimagenet-test.db' AS test" \
      "ATTACH '$dir/edits.db' AS edits"
    [ -z "$cifar" ] || set -- "$@" "ATTACH '$dir/cifar10-test.db' AS small"
    for method in code phash; do
      which=$method
      [ $method = code ] && which=$head
      query="SELECT NULL AS id, split AS kind, label, code FROM edits.codes
        WHERE head = '$(quoted "$which")' AND split <> 'turn'"
      base=$(copies_base "$which")
      pairs copies "$head" $method "$base" "$query" "$@"
    done
    sql "$dir/pairs.db" "$@" "CREATE TEMP TABLE arg AS SELECT 'copies' AS
      set_name, '$(quoted "$head")' AS head" "CREATE TEMP VIEW base AS $base" \
      "CREATE TEMP VIEW query AS $query" '.read sql/eval/copies.sql'
  done
}

views() {
  hash hash_views views "SELECT id, split, label, image FROM s1.images
    WHERE split IN ('flip', 'turn') AND label NOT NULL" "$edits"
  heads | while read -r head; do
    set -- "ATTACH '$dir/tinyimagenet-test.db' AS test" \
      "ATTACH '$dir/edits.db' AS edits" "ATTACH '$dir/views.db' AS views"
    [ -z "$cifar" ] || set -- "$@" "ATTACH '$dir/cifar10-test.db' AS small"
    base=$(copies_base "$head")
    for method in edits views; do
      query="SELECT NULL AS id, split AS kind, label, code FROM $method.codes
        WHERE head = '$(quoted "$head")' AND label NOT NULL AND split IN
          ('flip', 'turn')"
      pairs views "$head" $method "$base" "$query" "$@"
      for kind in flip turn; do
        rank views "$head" "$method $kind" 1 "$base" \
          "SELECT * FROM ($query) WHERE kind = '$kind'" "$@"
      done
    done
    sql "$dir/pairs.db" "ATTACH '$dir/figures.db' AS f" "CREATE TEMP TABLE arg AS
      SELECT 'views' AS set_name, '$(quoted "$head")' AS head" \
      "CREATE TEMP VIEW figures AS SELECT * FROM f.figures WHERE name = 'P@1'" \
      '.read sql/eval/views.sql'
  done
}

# What a distance means.  For heads that know the classes of SET, from pairs of its
# test images; two of them are of one class as often as classes are many.
card_classes() {
  set=$1 file=$2
  [ -f "$dir/$set-train.db" ] || return 0
  heads 'WHERE classes NOT NULL' | while read -r head; do
    of="SELECT *, 'class' AS kind FROM ($(codes test "$head"))"
    pairs "$set" "$head" code "$of" "$of" "ATTACH '$dir/$set-test.db' AS test"
    sql "$dir/pairs.db" "ATTACH '$dir/model.db' AS model" "CREATE TEMP TABLE arg AS
      SELECT '$set' AS set_name, head, 'code' AS method, 'class' AS what,
      1.0 / json_array_length(classes) AS prior FROM model.heads
      WHERE head = '$(quoted "$head")'" '.read sql/eval/card.sql'
  done
}

# For heads that know none, from near duplicates of all kinds.
card_copies() {
  [ -f "$dir/pairs.db" ] || return 0
  heads 'WHERE classes IS NULL' | while read -r head; do
    sql "$dir/pairs.db" "CREATE TEMP TABLE arg AS SELECT 'copies' AS set_name,
      '$(quoted "$head")' AS head, 'code' AS method, 'picture' AS what,
      0.0001 AS prior" '.read sql/eval/card.sql'
  done
}

speed() {
  sql :memory: '.output /dev/null' \
    "SELECT binhash_load('first', '$(quoted "$model")')" "$(source_of "$1" s)" \
    "CREATE TEMP TABLE begun AS SELECT julianday('now') AS at" \
    "CREATE TEMP TABLE done AS SELECT count(img_hash(image, 'first')) AS n
       FROM (SELECT image FROM s.images LIMIT 1000)" '.output' '.print' \
    "SELECT printf('%.0f images a second on one core, beside whatever else runs',
       n / 86400.0 / (julianday('now') - at)) FROM begun, done"
}

# What the figures of a model file depend on, beside the file.
sources=$(cat build/binhash.so "$cifar" "$mnist" "$tiny" "$tiny_b" "$other" \
  2>/dev/null | sha256sum)

for model in $models; do
  [ -f "$model" ] || fail "no model file '$model'"
  name=$(basename "$model" .safetensors)
  dir=$out/$({ echo "$sources"; cat "$model"; } | sha256sum |
    cut -c 1-12)
  mkdir -p "$dir"
  rm -f "$dir/model.db"
  sql "$dir/model.db" "CREATE TEMP TABLE arg AS SELECT
    '$(quoted "$model")' AS model" \
    '.output /dev/null' "SELECT binhash_load('first', model) FROM arg" '.output' \
    '.read sql/eval/model.sql'
  if wants classes || wants card; then
    [ -z "$cifar" ] || classes cifar10 "$cifar" "$cifar"
    [ -z "$mnist" ] || classes mnist "$mnist" "$mnist"
    [ -z "$tiny" ] || classes tinyimagenet "$tiny" "$tiny" ${tiny_b:+"$tiny_b"}
    [ -z "$other" ] || classes "$(basename "$other" .db)" "$other" "$other"
  fi
  case $name in
    mnist*) echo "$name knows digits: no figures of other pictures" ;;
    *)
      if [ -z "$tiny" ]; then
        note "skipped: unseen, copies, views, which need tinyimagenet-a.db"
      else
        ! wants unseen || unseen
        if { wants copies || wants views || wants card; } && edits; then
          copies_hashed
          ! wants copies || copies
          ! wants views || views
        fi
      fi ;;
  esac
  if wants card; then
    for set in cifar10 mnist tinyimagenet "$(basename "${other:-none}" .db)"; do
      card_classes "$set"
    done
    card_copies
    speed "${cifar:-${mnist:-${tiny:-$other}}}"
  fi
done
