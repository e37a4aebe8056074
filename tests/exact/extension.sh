#!/bin/sh
#     sh tests/exact/extension.sh DATA MODEL HEAD    (the file's first)
# The codes of CIFAR-10 as the extension makes them in SQL, printed as
# tests/exact/codes.c prints its own: sha256, number.
cd "$(dirname "$0")/../.." || exit 1
part() {   # DATA MODEL HEAD REMAINDER
  sqlite3 -batch -bail ":memory:" '.load ./build/binhash' \
    "ATTACH 'file:$1?mode=ro&immutable=1' AS source" '.mode list' \
    '.output /dev/null' "SELECT binhash_load('$3', '$2')" '.output stdout' \
    "SELECT hex(img_hash(image, '$3')) FROM source.images
     WHERE split IN ('train', 'test') AND id % 2 = $4 ORDER BY id"
}
dir=build/exact
part "$1" "$2" "$3" 0 > "$dir/even" &
part "$1" "$2" "$3" 1 > "$dir/odd"
wait $!
sqlite3 -batch -bail :memory: \
  "ATTACH 'file:$1?mode=ro&immutable=1' AS source" '.mode list' \
  "SELECT id % 2 FROM source.images ORDER BY id" |
  awk -v even="$dir/even" -v odd="$dir/odd" \
    '{ if ($1) getline line < odd; else getline line < even; print line }' \
  > "$dir/extension"
"${PYTHON:-python3}" - "$dir/extension" <<'END'
import hashlib, sys
lines = open(sys.argv[1]).read().split()
print(hashlib.sha256(bytes.fromhex(''.join(lines))).hexdigest(), len(lines),
      'codes')
END
