#!/bin/sh
# The codes of CIFAR-10 as the extension makes them in SQL, those of both heads
# that are compiled in, one behind the other; printed as tests/exact/codes.c
# prints its own: sha256, number.
cd "$(dirname "$0")/../.." || exit 1
part() {
  sqlite3 -batch -bail ":memory:" '.load ./build/binhash' \
    "ATTACH 'file:$1?mode=ro&immutable=1' AS source" '.mode list' \
    "SELECT hex(img_hash(image)) || hex(img_hash(image, 'copy-64'))
     FROM source.images WHERE split IN ('train', 'test') AND id % 2 = $2 ORDER BY id"
}
dir=build/exact
part "$1" 0 > "$dir/even" &
part "$1" 1 > "$dir/odd"
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
