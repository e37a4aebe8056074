#!/bin/sh
# binhash-import on networks that are drawn here, compared with numpy; the
# sanitized importer on the same where it was built.  Prints TAP.
cd "$(dirname "$0")/../.." || exit 1
python=/usr/bin/python3
work=build/import

skip() {
  echo "ok 1 - import # SKIP $1"
  echo "1..1"
  exit 0
}

[ -x build/binhash-import ] || skip "no build/binhash-import: make says why"
$python -c 'import numpy' 2>/dev/null || skip "$python has no module numpy"
mkdir -p $work/plain $work/asan
$python tests/import/caffe_import.py build/binhash-import build/binhash-run \
  $work/plain
[ ! -x build/asan/binhash-import ] ||
  ASAN_OPTIONS=allocator_may_return_null=1 $python \
    tests/import/caffe_import.py build/asan/binhash-import build/binhash-run \
    $work/asan
