#!/bin/sh
# The evaluation on drawn pictures, from hashing to the tables.  Prints TAP.
#
# Without numpy and Pillow, which figures depend on, what `make eval` prints is
# the same everywhere but for the speed: tests/eval/short.out.  With them, their
# sections are there and say what their numbers must at least be like.
cd "$(dirname "$0")/../.." || exit 1
PYTHON=${PYTHON:-/usr/bin/python3}
out=build/log/eval
rm -rf $out
mkdir -p $out
"$PYTHON" tests/eval/brute.py ./build/tests/eval ||
  echo "not ok - brute.py exited with status $?"
"$PYTHON" tests/eval/drawn.py $out/data || echo "not ok - drawn.py"

# evaluate NAME PYTHON: standard output in $out/NAME.
evaluate() {
  EVAL_OUT=$out/$1.d PYTHON=$2 sh sql/eval.sh $out/data \
    $out/data/cifar10-48.safetensors "classes unseen copies views card" \
    >$out/$1 2>$out/$1.err && return
  echo "not ok - eval $1"
  sed 's/^/# /' $out/$1.err | tail -20
}

evaluate plain false
sed 's/^[0-9]* images a second/N images a second/; s|build/log/eval/||' \
  $out/plain >$out/plain.out
if diff -u tests/eval/short.out $out/plain.out >$out/plain.diff; then
  echo "ok - eval of drawn pictures"
else
  echo "not ok - eval of drawn pictures"
  sed 's/^/# /' $out/plain.diff | head -40
fi

# One file of any name is a data set.
cp $out/data/cifar10.db $out/other.db
if EVAL_OUT=$out/other.d PYTHON=false sh sql/eval.sh $out/other.db \
    $out/data/cifar10-48.safetensors classes 2>/dev/null |
    grep -q "$(grep '^mAP@1000, expected' tests/eval/short.out)"; then
  echo "ok - eval of one file"
else
  echo "not ok - eval of one file"
fi
if sh sql/eval.sh $out/nothing 2>&1 | grep -q "^make eval: no file or folder"
then echo "ok - eval of no file"; else echo "not ok - eval of no file"; fi

# Hashing again what was hashed gives the same, and takes no pass.
evaluate plain false
if grep -q 'left to hash' $out/plain.err; then
  echo "not ok - a second evaluation hashes nothing"
else
  echo "ok - a second evaluation hashes nothing"
fi

if ! "$PYTHON" -c 'import numpy, PIL' 2>/dev/null; then
  echo "ok - eval of edited pictures # SKIP no python3-numpy and python3-pil"
  exit
fi
evaluate full "$PYTHON"
# has NAME PATTERN: what was printed.
has() {
  if grep -Eq "$2" $out/full; then echo "ok - eval $1"; else
    echo "not ok - eval $1"
    sed 's/^/# /' $out/full | tail -60
  fi
}
number='0\.[0-9]{4}'
has "ranks other codes and features of the same pictures" \
  "^mAP@1000, expected( +$number){6}$"
has "counts the near duplicates of 9 pictures" \
  "^cifar10-48: edited versions of 9 pictures, among 132 distractors$"
has "asks with 11 edits and a picture without a match for each" \
  "^108 queries, 9 of them without a match"
has "prints every edit beside the perceptual hash" "^border( +0\.[0-9]+){8} "
has "finds mirrored pictures by views" "^mirrored, views( +0\.[0-9]+){2}$"
has "tells what a distance means to a head without classes" \
  "^cifar10-32: the same picture, of two pictures \(prior 0.0001\)$"

# Training, on a base that is quick and knows little of these pictures.
if OPTIONS='{"bits": 32}' sh sql/train_eval.sh $out/other.db \
    weights/mnist-48.safetensors 100 >$out/train 2>$out/train.err &&
   grep -q '^60 queries (test) among 100 images (train), which were not' \
     $out/train && grep -Eq '^mAP@1000 raised by +0\.[0-9]+$' $out/train
then echo "ok - eval of training"; else
  echo "not ok - eval of training"
  sed 's/^/# /' $out/train $out/train.err
fi
