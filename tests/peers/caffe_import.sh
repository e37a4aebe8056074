#!/bin/sh
# binhash-import on the paper's network as its authors wrote it: the peers'
# weights in both formats of caffemodel, under the deploy text, the V1 text and
# the published V0 training text, must give one model; its codes are compared
# with the float64 reference, and every layer with OpenCV's reading of the files.
#
# Prints TAP.  Where the peers or what they need are missing, one skip line.
# caffenet.sh, which runs before, makes build/peers.
cd "$(dirname "$0")/../.." || exit 1
python=/usr/bin/python3
seed=../shared/seed/KevinNet_CIFAR10_48_train.prototxt
out=build/peers
import=${IMPORT:-build/binhash-import}

skip() {
  echo "ok 1 - caffe import # SKIP $1"
  echo "1..1"
  exit 0
}

[ -x "$import" ] || skip "no $import: make says what it wants"
[ -f $out/expected_sigmoid32.f64 ] || skip "no $out, which caffenet.sh makes"
[ -f $seed ] || skip "no $seed"
$python -c 'import cv2' 2>/dev/null || skip "$python has no module cv2"
exec $python tests/peers/caffe_import.py "$import" "${RUN:-build/binhash-run}" \
  $out $seed
