# The steps of sql/eval.sh: hashing, ranking, counting pairs.  It sets $out,
# $dir (where this model's results lie), $model, $name, and the data's files.

quoted() { printf %s "$1" | sed "s/'/''/g"; }

# sql DB ARGUMENTS...: the shell with the extension and the evaluation's own.
sql() {
  db=$1
  shift
  sqlite3 -batch -bail "$db" '.load ./build/binhash' \
    '.load ./build/tests/eval' "$@"
}

# read_only FILE NAME: SQL that attaches a file which nothing writes.
read_only() {
  printf "ATTACH 'file:%s?mode=ro&immutable=1' AS %s" "$(quoted "$1")" "$2"
}

# Hashing ------------------------------------------------------------------

# hash_part SCRIPT INTO PART PICTURES FILES...: the pictures whose id is PART
# modulo 2; PICTURES is SQL that names them, of s1, s2... for the files.
hash_part() {
  script=$1 into=$2 part=$3 pictures=$4
  shift 4
  attached= i=1
  for f; do
    attached="$attached$(read_only "$f" s$i); "
    i=$((i + 1))
  done
  while :; do
    left=$(sql "$dir/$into.$part" \
      "CREATE TEMP TABLE arg AS SELECT $part AS part, 2 AS parts" \
      "$(read_only "$dir/model.db" model)" "$attached" \
      "CREATE TEMP VIEW picture AS $pictures" \
      '.output /dev/null' "SELECT binhash_load('first', '$(quoted "$model")')" \
      '.read sql/eval/pixels.sql' \
      '.output' ".read sql/eval/$script.sql") || return 1
    note "$name, $into, process $part: $left left to hash"
    [ "$left" = 0 ] && break
  done
}

# hash SCRIPT INTO PICTURES FILES...: into $dir/INTO.db, in two processes.
hash() {
  script=$1 into=$2 pictures=$3
  shift 3
  [ -f "$dir/$into.db" ] && return
  hash_part "$script" "$into" 0 "$pictures" "$@" &
  hash_part "$script" "$into" 1 "$pictures" "$@" || { wait; exit 1; }
  wait $! || exit 1
  features=
  [ "$script" != hash ] ||
    features='INSERT INTO features SELECT * FROM p.features'
  sqlite3 -batch -bail "$dir/$into.0" "ATTACH '$dir/$into.1' AS p" \
    'BEGIN' 'INSERT INTO codes SELECT * FROM p.codes' "$features" 'COMMIT'
  rm "$dir/$into.1"
  mv "$dir/$into.0" "$dir/$into.db"
}

# hash_split INTO SPLIT FILES...: all pictures of a split.
hash_split() {
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

# The edits, made once for all models; 1 if they cannot be.
edit() {
  originals=$(sqlite3 -batch "$tiny" "SELECT min(1000, count(*) / 10)
    FROM images WHERE split = 'val'")
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

# Codes --------------------------------------------------------------------

# heads [WHERE]: the names of the model's heads, a line each.
heads() {
  sqlite3 -batch "$dir/model.db" "SELECT head FROM heads $1 ORDER BY number"
}

# codes DB HEAD: SQL of a head's codes.
codes() {
  echo "SELECT id, label, code FROM $1.codes WHERE head = '$(quoted "$2")'"
}

# class_codes DB HEAD: the number of the predicted class as a code.  (Of ten
# classes it takes 4 bits.)
class_codes() {
  echo "SELECT id, label, eval_byte((SELECT key FROM model.heads AS h,
    json_each(h.classes) WHERE h.head = c.head AND value = predicted)) AS code
    FROM $1.codes AS c WHERE head = '$(quoted "$2")'"
}

# copies_base HEAD: the database of near duplicates.  The first pictures are the
# originals, labelled by their ids; those that have been edited for queries
# without a match are not in it.
copies_base() {
  first="(SELECT min(id) FROM test.codes)"
  echo "SELECT id, CASE WHEN id < $first + $originals THEN id END AS label, code
    FROM test.codes WHERE head = '$(quoted "$1")' AND NOT (
      id >= $first + $originals AND id < $first + 2 * $originals)"
  [ -z "$cifar" ] || echo "UNION ALL SELECT -id, NULL, code FROM small.codes
    WHERE head = '$(quoted "$1")'"
}

# Figures ------------------------------------------------------------------

# rank SET HEAD METHOD FIRST BASE QUERY ATTACH...: figures of one way to make
# codes, into $dir/figures.db.
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

# pairs SET HEAD METHOD BASE QUERY ATTACH...: pairs by distance, into
# $dir/pairs.db.
pairs() {
  arg="CREATE TEMP TABLE arg AS SELECT '$(quoted "$1")' AS set_name,
    '$(quoted "$2")' AS head, '$3' AS method"
  views="CREATE TEMP VIEW base AS $4; CREATE TEMP VIEW query AS $5"
  shift 5
  sql "$dir/pairs.db" "$arg" "$@" "$views" '.read sql/eval/pairs.sql'
}
