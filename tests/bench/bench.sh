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
echo "From a JPEG to the pixels that a network of 96 x 96 sees"
if ${PYTHON:-/usr/bin/python3} tests/bench/make_jpegs.py build/bench; then
  build/tests/bench_decode 9 build/bench/12mp.jpg \
    build/bench/12mp-progressive.jpg build/bench/12mp-444.jpg \
    build/bench/12mp-quality-75.jpg build/bench/1mp.jpg
  build/tests/bench_decode 3 build/bench/100mp.jpg
else
  echo "skipped: python3-pil or python3-numpy is not installed"
fi

echo
echo "Pictures in bulk, with the default model"
build/tests/bench_each ./build/binhash

echo
echo "The index"
sh tests/bench/index.sh

echo
echo "Networks, forward pass"
sh tests/bench/forward.sh
