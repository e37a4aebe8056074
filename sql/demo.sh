#!/bin/sh
# The demonstration: photographs and edited versions of them, found by content.
#
#     sql/demo.sh [FOLDER]
#
# FOLDER defaults to the photographs of Debian's mate-backgrounds.  The first 30
# pictures are edited with GraphicsMagick and exiv2: cropped, made smaller,
# compressed hard, and turned with an EXIF tag that says how to turn them back.
# All are hashed into build/demo.db; then each of the originals asks for its
# nearest neighbours.  build/demo.html shows the answers as thumbnails.
# Whatever is done already is not done again, so a killed run can be repeated.
set -e
cd "$(dirname "$0")/.."
folder=${1:-/usr/share/backgrounds/mate}
case $folder in "~/"*) folder=$HOME/${folder#"~/"} ;; esac
[ -d "$folder" ] || { echo "make demo: no folder '$folder'" >&2; exit 1; }
folder=$(cd "$folder" && pwd)
out=build/demo
db=build/demo.db
mkdir -p $out/edits $out/thumbs

quoted() { printf "'%s'" "$(printf %s "$1" | sed "s/'/''/g")"; }
sql() { sqlite3 -batch -bail -cmd '.load ./build/binhash' "$@"; }

# Codes of another model say nothing beside those of this one.
made_of="$folder $(sql :memory: 'SELECT sha256 FROM binhash_models
                                 WHERE is_default')"
if [ "$(cat $out/made_of 2>/dev/null)" != "$made_of" ]; then
  rm -rf $db $out
  mkdir -p $out/edits $out/thumbs
  echo "$made_of" >$out/made_of
fi

# progress WHAT DONE OF: one line that counts on a terminal, few lines in a log.
progress() {
  if [ -t 1 ]; then
    printf '\r%s %d of %d ' "$1" "$2" "$3"
    [ "$2" != "$3" ] || echo
  elif [ $(($2 % 30)) = 0 ] || [ "$2" = "$3" ]; then
    echo "$1 $2 of $3"
  fi
}

import() {
  printf '.parameter init\nINSERT OR REPLACE INTO temp.sqlite_parameters
VALUES (%s, %s);\n' "':folder'" "$(quoted "$1")" | cat - sql/import.sql |
    sqlite3 -batch -bail $db
}

# edit ID PATH: four edited versions of a picture.
edit() {
  base=$out/edits/$1
  [ -f "$base-turned.jpg" ] && return
  size=$(gm identify -format '%w %h' "$2[0]" 2>/dev/null) || return 0
  w=${size% *} h=${size#* }
  gm convert "$2[0]" -background white -flatten \
    -crop "$((w * 8 / 10))x$((h * 8 / 10))+$((w / 12))+$((h / 12))" \
    -quality 90 "$base-cropped.jpg"
  gm convert "$2[0]" -background white -flatten -resize 20% \
    -quality 90 "$base-smaller.jpg"
  gm convert "$2[0]" -background white -flatten -quality 15 \
    "$base-compressed.jpg"
  gm convert "$2[0]" -background white -flatten -rotate 270 -quality 90 \
    "$base-turning.jpg"
  exiv2 -M'set Exif.Image.Orientation Short 6' "$base-turning.jpg" \
    2>/dev/null
  mv "$base-turning.jpg" "$base-turned.jpg"
}

thumb() {
  [ -f "$out/thumbs/$1.jpg" ] ||
    gm convert -size 480x480 "$2[0]" -auto-orient -background white -flatten \
      -thumbnail 200x150 -quality 80 "$out/thumbs/$1.jpg" 2>/dev/null || true
}

# each STEP QUERY: run the step on every (id, path) of the query, two at once.
each() {
  total=$(sqlite3 $db "SELECT count(*) FROM ($2)")
  sqlite3 -separator "$(printf '\t')" $db "$2" | {
    n=0
    while IFS="$(printf '\t')" read -r id path; do
      "$1" "$id" "$path" &
      n=$((n + 1))
      [ $((n % 2)) = 0 ] && wait
      progress "$3" $n "$total"
    done
    wait
  }
}

echo "pictures: $folder"
import "$folder"
originals="path NOT LIKE '%/build/demo/edits/%'"
each edit "SELECT id, path FROM photos WHERE $originals ORDER BY id LIMIT 30" \
  editing
import "$(pwd)/$out/edits"

total=$(sqlite3 $db 'SELECT count(*) FROM photos')
if [ "$total" = 0 ]; then
  echo "make demo: no JPEG, PNG, GIF or BMP in '$folder'" >&2
  exit 1
fi
while :; do
  left=$(sql -cmd '.param set :slice 32' $db <sql/hash.sql)
  progress hashing $((total - left)) "$total"
  [ "$left" = 0 ] && break
done
sqlite3 $db "SELECT 'not hashed: ' || path || ': ' || error
             FROM codes JOIN photos USING (id) WHERE error IS NOT NULL"
each thumb "SELECT id, path FROM photos JOIN codes USING (id)
            WHERE code IS NOT NULL" thumbnails

sql $db <sql/demo.sql
echo
echo "build/demo.html shows all that asked; the table is in $db:"
echo "  sqlite3 $db -cmd '.load ./build/binhash'"
