#!/bin/sh
# How well the models find pictures, through the extension, in SQL:
#
#     make eval [DATA=FILE or FOLDER] [MODEL_FILE=FILES] [SECTIONS=NAMES]
#
# prints a table for each model file (all of weights/ by default), head and data
# set.  DATA is SQLite files with images(id, split, label, image) and
# classes(label, name): a folder with cifar10.db, mnist.db, tinyimagenet-a.db
# and tinyimagenet-b.db, or some of them; or one file, of any name if it has the
# splits train and test.  SECTIONS are
#
#     classes   pictures of the classes that the model knows
#     unseen    pictures of classes that it does not
#     copies    edited versions of pictures; python3-pil makes the edits
#     views     mirrored and turned pictures
#     card      what a distance means, and images a second
#     fine      cifar10-48's search from coarse to fine (sql/coarse.sh)
#     train     codes learned by binhash_train on the default model, from 5,000
#               of CIFAR-10 and of MNIST (sql/train_eval.sh)
#
# Every picture is hashed once, by two processes at a time, in slices that are
# kept in build/eval/, in one folder for each model file, build of the extension
# and data: what was cut off goes on, and a second run only evaluates.  The
# protocol of each figure stands in sql/eval/ and tests/eval/ranking.c.
set -e
cd "$(dirname "$0")/.."
data=${1:-../shared/data}
models=${2:-$(ls weights/*.safetensors)}
sections=${3:-classes unseen copies views card fine train}
PYTHON=${PYTHON:-/usr/bin/python3}
out=${EVAL_OUT:-build/eval}
export OPENBLAS_NUM_THREADS=1
fail() { echo "make eval: $*" >&2; exit 1; }
note() { echo "$*" >&2; }
wants() { case " $sections " in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
. sql/eval/steps.sh

[ -e "$data" ] || fail "no file or folder '$data'; give one with DATA=FILE or" \
  "FOLDER (SQLite files with images(id, split, label, image))"
# file NAME: its path, if it is given.
file() {
  if [ -d "$data" ]; then
    [ ! -f "$data/$1" ] || echo "$data/$1"
  elif [ "$(basename "$data")" = "$1" ]; then
    echo "$data"
  fi
}
cifar=$(file cifar10.db) mnist=$(file mnist.db)
tiny=$(file tinyimagenet-a.db) tiny_b=$(file tinyimagenet-b.db)
other=
[ -d "$data" ] || [ -n "$cifar$mnist$tiny$tiny_b" ] || other=$data

# classes SET FILE FILES...: FILE has the test images, FILES the training ones.
# For heads whose classes are all among those of FILE.
classes() {
  set=$1 file=$2 test=test
  shift 2
  [ "$set" = tinyimagenet ] && test=val
  known=$(sqlite3 -batch "$dir/model.db" "$(read_only "$file" source)" \
    "SELECT head FROM heads WHERE classes NOT NULL AND NOT EXISTS (
       SELECT 1 FROM json_each(classes) WHERE value NOT IN
         (SELECT name FROM source.classes)) ORDER BY number")
  [ -n "$known" ] || return 0
  hash_split "$set-train" train "$@"
  hash_split "$set-test" $test "$file"
  wants classes || return 0
  others=$dir/$set-others.db
  if [ ! -f "$others" ]; then
    if "$PYTHON" -c 'import numpy' 2>/dev/null; then
      note "$name, $set: other codes of the same features"
      # shellcheck disable=SC2046
      OPENBLAS_NUM_THREADS=2 "$PYTHON" tests/eval/features.py \
        "$dir/$set-train.db" "$dir/$set-test.db" "$others" \
        $(sqlite3 -batch "$dir/model.db" 'SELECT DISTINCT bits FROM heads')
    else
      others=
      note "skipped: rotation, ITQ, float features, which need python3-numpy"
    fi
  fi
  echo "$known" | while read -r head; do
    note "$name, $set: ranking by $head"
    class_figures "$head" "$set" "$file"
  done
}

class_figures() {
  head=$1 set=$2
  set -- "ATTACH '$dir/model.db' AS model" "$(read_only "$3" source)" \
    "ATTACH '$dir/$set-train.db' AS train" "ATTACH '$dir/$set-test.db' AS test"
  this="head = '$(quoted "$head")'"
  seen="label IN (SELECT label FROM source.classes JOIN json_each((SELECT
    classes FROM model.heads WHERE $this)) ON value = name)"
  base="$(codes train "$head") AND $seen"
  query="$(codes test "$head") AND $seen"
  rank "$set" "$head" code 1000 "$base" "$query" "$@"
  rank "$set" "$head" test 1000 "$query" "$query" "$@"
  rank "$set" "$head" class 1000 "$(class_codes train "$head") AND $seen" \
    "$(class_codes test "$head") AND $seen" "$@"
  if [ -n "$others" ]; then
    for method in rotation itq; do
      of="SELECT id, label, code FROM others.codes WHERE method = '$method' AND
        bits = (SELECT bits FROM model.heads WHERE $this) AND $seen AND split"
      rank "$set" "$head" $method 1000 "$of = 'train'" "$of <> 'train'" "$@" \
        "ATTACH '$others' AS others"
    done
    sqlite3 -batch -bail "$dir/figures.db" "ATTACH '$others' AS others" \
      "DELETE FROM figures WHERE set_name = '$set' AND $this AND
         method = 'float'" \
      "INSERT INTO figures SELECT '$set', '$(quoted "$head")', 'float', name,
         value FROM others.figures"
  fi
  plot=$out/$name-$set.svg
  [ "$head" = "$name" ] || plot=$out/$name-$head-$set.svg
  sql "$dir/figures.db" "CREATE TEMP TABLE arg AS SELECT '$set' AS set_name,
      '$(quoted "$head")' AS head, '$plot' AS file" "$@" '.output /dev/null' \
    "CREATE TEMP TABLE loaded AS SELECT eval_database(id, code, label)
       FROM ($base)" \
    'CREATE TEMP TABLE bits_used AS SELECT set_name, head, eval_bits(bits) AS
       value FROM arg JOIN model.heads USING (head)' \
    '.read sql/eval/plot.sql' '.output' '.read sql/eval/classes.sql'
  echo "precision over hits: $plot"
}

# Validation images of classes that are not in the model file, and, if those of
# CIFAR-10 are, of none that resembles them.
unseen_where() {
  echo "label NOT IN (SELECT c.label FROM tiny.classes AS c
      JOIN model.heads AS h JOIN json_each(h.classes) AS k ON k.value = c.name)
    AND (label NOT IN (SELECT label FROM resembling) OR NOT EXISTS (SELECT 1
      FROM model.heads AS h, json_each(h.classes) WHERE value = 'airplane'))"
}

unseen() {
  hash_split tinyimagenet-test val "$tiny"
  set -- "ATTACH '$dir/model.db' AS model" "$(read_only "$tiny" tiny)" \
    "ATTACH '$dir/tinyimagenet-test.db' AS test" \
    "CREATE TEMP TABLE resembling(label INT)" "$(
      sed -n 's/^\([0-9][0-9]*\) .*/INSERT INTO resembling VALUES (\1);/p' \
        weights/cifar_like_classes.txt)"
  if [ "$(sql :memory: "$@" "SELECT count(*) FROM tiny.classes
      WHERE $(unseen_where)")" = 0 ]; then
    printf '\n%s has seen all classes: no figures of others\n' "$name"
    return
  fi
  heads | while read -r head; do
    for method in code phash random; do
      which=$method
      [ $method = code ] && which=$head
      of="$(codes test "$which") AND $(unseen_where)"
      rank unseen "$head" $method 100 "$of" "$of" "$@"
    done
    sql "$dir/figures.db" "$@" "CREATE TEMP TABLE arg AS SELECT 'unseen' AS
      set_name, '$(quoted "$head")' AS head" "CREATE TEMP VIEW query AS $of" \
      '.read sql/eval/unseen.sql'
  done
}

# What copies and views ask: the database's codes and the edits'.
copies_hashed() {
  hash_split tinyimagenet-test val "$tiny"
  [ -z "$cifar" ] || hash_split cifar10-test test "$cifar"
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
    wants copies || continue
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
    sql "$dir/pairs.db" "$(read_only "$dir/figures.db" f)" "CREATE TEMP TABLE
      arg AS SELECT 'views' AS set_name, '$(quoted "$head")' AS head" \
      "CREATE TEMP VIEW figures AS SELECT * FROM f.figures WHERE name = 'P@1'" \
      '.read sql/eval/views.sql'
  done
}

# What a distance means.  For heads that know the classes of SET, from pairs of
# its test images; two pictures are of one class as often as classes are many.
card_classes() {
  set=$1
  [ -f "$dir/$set-train.db" ] || return 0
  heads 'WHERE classes NOT NULL' | while read -r head; do
    of="SELECT *, 'class' AS kind FROM ($(codes test "$head"))"
    pairs "$set" "$head" code "$of" "$of" "ATTACH '$dir/$set-test.db' AS test"
    sql "$dir/pairs.db" "ATTACH '$dir/model.db' AS model" "CREATE TEMP TABLE
      arg AS SELECT '$set' AS set_name, head, 'code' AS method, 'class' AS what,
      1.0 / json_array_length(classes) AS prior FROM model.heads
      WHERE head = '$(quoted "$head")'" '.read sql/eval/card.sql'
  done
}

# For heads that know none, from near duplicates of all kinds; where one of ten
# thousand pictures is a copy.
card_copies() {
  heads 'WHERE classes IS NULL' | while read -r head; do
    sql "$dir/pairs.db" "CREATE TEMP TABLE arg AS SELECT 'copies' AS set_name,
      '$(quoted "$head")' AS head, 'code' AS method, 'picture' AS what,
      0.0001 AS prior" '.read sql/eval/card.sql'
  done
}

# By the time that the process computed, whatever else the machine did.
speed() {
  echo
  sqlite3 -batch -bail <<END | awk 'NR == 1 { n = $1 }
    /^Run Time/ { printf "%.0f images a second of one core\n", n / $6 }'
.load ./build/binhash
.output /dev/null
SELECT binhash_load('first', '$(quoted "$model")');
$(read_only "$1" s);
CREATE TEMP TABLE some AS SELECT image FROM s.images LIMIT 1000;
SELECT img_hash(image, 'first') FROM some LIMIT 1;
.output
.timer on
SELECT count(img_hash(image, 'first')) FROM some;
END
}

evaluate() {
  if wants classes || wants card; then
    [ -z "$cifar" ] || classes cifar10 "$cifar" "$cifar"
    [ -z "$mnist" ] || classes mnist "$mnist" "$mnist"
    [ -z "$tiny" ] || classes tinyimagenet "$tiny" "$tiny" ${tiny_b:+"$tiny_b"}
    [ -z "$other" ] || classes "$(basename "$other" .db)" "$other" "$other"
  fi
  general=
  case $name in
    mnist*) note "$name knows digits: no figures of other pictures" ;;
    *)
      if [ -z "$tiny" ]; then
        note "skipped: unseen, copies, views, which need tinyimagenet-a.db"
      else
        ! wants unseen || unseen
        general=$(heads 'WHERE classes IS NULL')
        if { wants copies || wants views || { wants card && [ -n "$general" ]
           }; } && edit; then
          copies_hashed
          { ! wants copies && [ -z "$general" ]; } || copies
          ! wants views || views
        else
          general=
        fi
      fi ;;
  esac
  if wants card; then
    for set in cifar10 mnist tinyimagenet "$(basename "${other:-.}" .db)"; do
      card_classes "$set"
    done
    [ -z "$general" ] || card_copies
    speed "${cifar:-${mnist:-${tiny:-$other}}}"
  fi
}

# What figures depend on, beside the model file.
sources=$(cat build/binhash.so "$cifar" "$mnist" "$tiny" "$tiny_b" "$other" \
  2>/dev/null | sha256sum)
known=
for model in $models; do
  [ -f "$model" ] || fail "no model file '$model'"
  name=$(basename "$model" .safetensors)
  dir=$out/$({ echo "$sources"; cat "$model"; } | sha256sum | cut -c 1-12)
  mkdir -p "$dir"
  rm -f "$dir/model.db"
  sql "$dir/model.db" "CREATE TEMP TABLE arg AS SELECT
      '$(quoted "$model")' AS model" \
    '.output /dev/null' "SELECT binhash_load('first', model) FROM arg" \
    '.output' '.read sql/eval/model.sql'
  evaluate
  [ "$model" != weights/cifar10-48.safetensors ] || known="$(heads | head -1) $dir"
done
if wants fine && [ -n "$cifar" ]; then
  echo
  KNOWN=$known sh sql/coarse.sh "$cifar" 100
fi
if wants train; then
  for set in "$cifar" "$mnist"; do
    [ -n "$set" ] || continue
    echo
    PYTHON=$PYTHON sh sql/train_eval.sh "$set" '' 5000 1000 12000
  done
fi
