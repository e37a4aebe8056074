#!/bin/sh
# The benchmarks, each against a peer in the same run.  Machines differ and are
# shared: only the ratios say something, and only on a quiet machine.
cd "$(dirname "$0")/../.." || exit 1
echo "CPU: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)," \
  "$(nproc) cores"
echo
echo "Search over an ordinary table (in memory)"
build/tests/bench_search ./build/binhash
echo
echo "Kernels of integer networks"
build/tests/bench_integer


echo
echo "From a JPEG to the pixels that a network of 32 x 32 sees"
if ${PYTHON:-/usr/bin/python3} tests/bench/make_jpegs.py build/bench; then
  build/tests/bench_decode 9 build/bench/12mp.jpg \
    build/bench/12mp-progressive.jpg build/bench/12mp-444.jpg \
    build/bench/12mp-quality-75.jpg build/bench/1mp.jpg
  build/tests/bench_decode 3 build/bench/100mp.jpg
else
  echo "skipped: python3-pil or python3-numpy is not installed"
fi

echo
echo "The index"
sh tests/bench/index.sh

peers=../shared/peers/forward
out=build/peers
python=/usr/bin/python3
echo
echo "The paper's network, float32, forward pass"
if [ ! -f $out/caffenet48.safetensors ]; then
  echo "skipped: no $out/caffenet48.safetensors (make test makes it where" \
    "../shared/peers is)"
  exit 0
fi
ratio() {
  awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'
}
for threads in 1 2; do
  for batch in 1 32; do
    ours=$(build/binhash-run $out/caffenet48.safetensors fc8_kevin_encode \
      --batch $batch --threads $threads --time 9 <$out/input32.f32 2>&1 \
      >/dev/null | sed -n 's/^median_ms //p')
    theirs=$(cd $peers && PEERS="$OLDPWD/$out" $python bench_cv.py $threads \
      $batch 2>/dev/null | sed -n 's/.*"median_ms": \([0-9.]*\).*/\1/p')
    if [ -n "$theirs" ]; then
      echo "  $threads threads, batch $batch: ours $ours ms," \
        "OpenCV DNN $theirs ms, ratio $(ratio "$ours" "$theirs")"
    else
      echo "  $threads threads, batch $batch: ours $ours ms" \
        "(OpenCV is not there to compare)"
    fi
  done
done
