#!/bin/sh
# The paper's network against a float64 reference: weights and expected outputs
# come from the peers folder (made once into build/peers and kept), pack.py
# turns them into a model file, and build/binhash-run must give the same 48
# sigmoids, bits and class scores, one image at a time and 32 at once.
#
# Prints TAP.  Where the peers or what they need are missing, one skip line.
# RUN names another binhash-run, TIME=1 prints the milliseconds as well.
cd "$(dirname "$0")/../.." || exit 1
python=/usr/bin/python3
peers=../shared/peers/forward/gen.py
images=../shared/data/tinyimagenet-a.db
out=build/peers
model=$out/caffenet48.safetensors
run=${RUN:-build/binhash-run}
failed=0

skip() {
  echo "ok 1 - caffenet # SKIP $1"
  echo "1..1"
  exit 0
}

die() {
  echo "not ok 1 - caffenet: $1"
  echo "1..1"
  exit 1
}

if [ ! -f $out/expected_softmax32.f64 ]; then
  [ -f $peers ] || skip "no $peers"
  [ -f $images ] || skip "no $images"
  for module in torch cv2 onnx; do
    $python -c "import $module" 2>/dev/null ||
      skip "$python has no module $module"
  done
  mkdir -p $out
  PEERS=$(pwd)/$out $python $peers $images 1 >$out/gen.log 2>&1 ||
    die "$peers failed, see $out/gen.log"
fi
[ -x "$run" ] || die "no $run, run make first"
if [ ! -f $model ] || [ weights/pack.py -nt $model ] ||
   [ weights/caffenet48.json -nt $model ]; then
  $python weights/pack.py weights/caffenet48.json $out/raw $model >&2 ||
    die "pack.py failed"
fi

n=0
# check LAYER BATCH EXPECTED [bits]
check() {
  n=$((n + 1))
  if ! $python tests/peers/caffenet.py rss "$run" $model "$1" --batch "$2" \
      <$out/input32.f32 >$out/output.f32 2>$out/output.log; then
    sed 's/^/# /' $out/output.log
    echo "not ok $n - caffenet $1 batch $2: binhash-run failed"
    failed=1
    return
  fi
  $python tests/peers/caffenet.py check "caffenet $1 batch $2" \
    $out/output.f32 $out/"$3" 1e-5 $4 >$out/check.tap || failed=1
  sed "s/ok - /ok $n - /" $out/check.tap
  cat $out/output.log
}

check fc8_kevin_encode 1 expected_sigmoid32.f64 bits
check fc8_kevin_encode 32 expected_sigmoid32.f64 bits
check prob 1 expected_softmax32.f64
check prob 32 expected_softmax32.f64
echo "1..$n"
if [ "$TIME" ]; then
  for threads in 1 2; do
    for batch in 1 32; do
      "$run" $model fc8_kevin_encode --batch $batch --threads $threads \
        --time 9 <$out/input32.f32 2>&1 >/dev/null |
        sed "s/^/# $threads threads, batch $batch: /"
    done
  done
fi
exit $failed
