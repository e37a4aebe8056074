#!/bin/sh
# binhash-import on networks that are drawn here, compared with numpy; integer
# networks of them; the sanitized importer on the same where it was built; the
# recipe that trains Caffe's networks; and operators and networks of ONNX,
# compared with onnxruntime where build/venv has it.  Prints TAP.
#
#     import.sh         what make test runs
#     import.sh peers   more cases of every operator, and larger pictures
cd "$(dirname "$0")/../.." || exit 1
python=/usr/bin/python3
work=build/import

skip() {
  echo "ok 1 - import # SKIP $1"
  echo "1..1"
  exit 0
}

# onnx FOLDER SIZE CASES NETWORKS...: CASES of each operator, and networks that
# see SIZE x SIZE pixels.
onnx() {
  work=$1 size=$2 cases=$3
  shift 3
  venv=build/venv/bin/python
  if ! $venv -c 'import onnxruntime, onnx, numpy' 2>/dev/null; then
    echo "ok - import onnx # SKIP build/venv has no onnxruntime and onnx, which" \
      "make test gets from PyPI"
    return
  fi
  mkdir -p "$work"
  $venv tests/import/onnx_cases.py build/binhash-import build/binhash-run \
    "$work" "$cases" || echo "not ok - import onnx_cases.py: status $?"
  if ! $python -c 'import torch' 2>/dev/null; then
    echo "ok - import onnx networks # SKIP $python has no module torch"
    return
  fi
  for n in "$@"; do   # a network, or some with spaces between
    rm -f "$work"/*.onnx
    # shellcheck disable=SC2086
    $python tests/import/onnx_nets.py "$work" "$size" $n >"$work/log" 2>&1 ||
      echo "not ok - import onnx $n: $(tail -1 "$work/log")"
    $venv tests/import/onnx_compare.py build/binhash-import build/binhash-run \
      "$work" "$work"/*.*.onnx || echo "not ok - import onnx $n: status $?"
    rm -f "$work"/*.onnx "$work"/*.safetensors
  done
}

[ -x build/binhash-import ] || skip "no build/binhash-import: make says why"
$python -c 'import numpy' 2>/dev/null || skip "$python has no module numpy"
mkdir -p $work/plain $work/asan
all="alexnet vgg11 squeezenet resnet18 resnet50 mobilenet_v2 mobilenet_v3
     shufflenet densenet121 googlenet efficientnet_b0 hash"
if [ "$1" = peers ]; then
  onnx $work/96 96 40 $all
  onnx $work/224 224 0 $all
  exit
fi
for test in caffe_import caffe_heads onnx_import half_import int8_import; do
  if [ $test = int8_import ] && ! $python -c 'import PIL' 2>/dev/null; then
    echo "ok - import int8 # SKIP $python has no module PIL"
    continue
  fi
  $python tests/import/$test.py build/binhash-import build/binhash-run \
    $work/plain
  [ ! -x build/asan/binhash-import ] ||
    ASAN_OPTIONS=allocator_may_return_null=1 $python tests/import/$test.py \
      build/asan/binhash-import build/binhash-run $work/asan
done
if $python -c 'import torch, PIL' 2>/dev/null; then
  $python tests/import/train_caffe.py $work/train ||
    echo "not ok - import training: status $?"
else
  echo "ok - import training # SKIP $python lacks a module of torch, PIL"
fi
# shellcheck disable=SC2086
onnx $work/onnx 64 5 $all
