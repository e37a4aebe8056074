#!/bin/sh
# The paper's network in integer form: the peers folder's random weights through
# `binhash-import model --int8`, 48 bits of 32 pictures by every engine.  The
# share of bits that changed is the report's; onnxruntime's own int8 form of the
# same network changes 44 of 1536.
#
# Prints TAP.  Where the peers are missing, one skip line.
cd "$(dirname "$0")/../.." || exit 1
out=build/peers
model=$out/caffenet48.safetensors
images=../shared/data/tinyimagenet-a.db
whole=$out/caffenet48-int8.safetensors

skip() {
  echo "ok 1 - int8 # SKIP $1"
  echo "1..1"
  exit 0
}

[ -f $images ] || skip "no $images"
[ -f $model ] || skip "no $model, tests/peers/caffenet.sh makes it"
[ -x build/binhash-import ] || skip "no build/binhash-import"
if ! build/binhash-import model $model --int8 $images --limit 64 -o $whole \
    >$out/int8.log 2>&1; then
  sed 's/^/# /' $out/int8.log
  echo "not ok 1 - int8: binhash-import failed"
  echo "1..1"
  exit 1
fi
sed 's/^/# /' $out/int8.log
# At most one bit in twenty, on pictures that were not calibrated on.
if sed -n 's/.*(\([0-9.]*\) %) on [0-9]* other pictures/\1/p' $out/int8.log |
   awk '{n++; if ($1 > 5) bad = 1} END {exit !(n == 1 && !bad)}'; then
  echo "ok 1 - int8: at most 5 % of the bits changed"
else
  echo "not ok 1 - int8: at most 5 % of the bits changed"
fi
# Whatever floats are given, an integer network reads them as pixels.
head -c $((3 * 227 * 227 * 4 * 2)) $out/input32.f32 >$out/int8.f32
for engine in fast blas reference; do
  build/binhash-run $whole fc8_kevin --engine $engine <$out/int8.f32 \
    >$out/int8.$engine || echo "not ok - int8 $engine"
done
n=1
for engine in blas reference; do
  n=$((n + 1))
  if cmp -s $out/int8.fast $out/int8.$engine; then
    echo "ok $n - int8: the $engine engine gives the same logits"
  else
    echo "not ok $n - int8: the $engine engine gives the same logits"
  fi
done
echo "1..$n"
