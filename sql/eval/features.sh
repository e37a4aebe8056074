# Codes and features of a model's pictures, made once and kept: for scripts that
# have moved to the top of the checkout and set
#
#   data    an SQLite file with images(id, split, label, image)
#   load    SQL that loads the model, or ''
#   head    the model's name
#   wanted  SQL that is true of the pictures, of `split` and `id`
#   known   '' or 'HEAD FOLDER': where sql/eval.sh keeps what this model, as HEAD,
#           said of the same data; what is there is not computed again
#
# `features` makes $dir, a folder in build/eval/ for these bytes of the model and
# of the data, whatever build of the extension computes: an integer model gives
# the same.  Pictures whose id is even go into $dir/features0.db, the others into
# $dir/features1.db, two processes at a time, in slices: what was cut off goes on.

quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"; }

# model_says EXPRESSION: of the model's row in binhash_models.
model_says() {
  sqlite3 -batch -bail :memory: '.load ./build/binhash' "$load" \
    "SELECT $1 FROM binhash_models WHERE name = $(quoted "$head")"
}

features_part() {
  db=$dir/features$1.db
  sqlite3 "$db" 'CREATE TABLE IF NOT EXISTS features(id INTEGER PRIMARY KEY,
    split TEXT, label INT, code BLOB, features BLOB)'
  for split in train test; do
    file=${known#* }/$(basename "$data" .db)-$split.db
    [ "$known" ] && [ -f "$file" ] && sqlite3 "$db" \
      "ATTACH $(quoted "$file") AS known" \
      "INSERT OR IGNORE INTO features SELECT id, split, label, code, features
       FROM known.codes JOIN known.features USING (id)
       WHERE head = $(quoted "${known%% *}") AND id % 2 = $1"
  done
  while :; do
    left=$(sqlite3 -batch -bail "$db" '.load ./build/binhash' \
      "ATTACH 'file:$data?mode=ro&immutable=1' AS source" "$load" \
      "INSERT INTO features SELECT id, split, label,
         img_hash(image, $(quoted "$head")), img_features(image,
         $(quoted "$head"))
       FROM source.images WHERE id % 2 = $1 AND $wanted AND
         id NOT IN (SELECT id FROM features)
       LIMIT 5000" \
      "SELECT count(*) FROM source.images WHERE id % 2 = $1 AND $wanted AND
         id NOT IN (SELECT id FROM features)") || return 1
    echo "process $1: $left images left to hash" >&2
    [ "$left" = 0 ] && break
  done
}

# features NAME: NAME says which model it is, beside its bytes.
features() {
  sha256=$(model_says 'substr(sha256, 1, 12)')
  [ "$sha256" ] || return 1
  dir=build/eval/$1-$sha256-$(basename "$data" .db)-$(sha256sum <"$data" |
    cut -c 1-8)
  mkdir -p "$dir"
  features_part 0 &
  features_part 1 || { wait; return 1; }
  wait $!
}
