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
echo "Pictures in bulk, with the default model"
build/tests/bench_each ./build/binhash

echo
echo "The index"
sh tests/bench/index.sh

echo
echo "Networks, forward pass"
sh tests/bench/forward.sh
