#!/bin/sh
# The benchmark of the index, with BENCH_ROWS rows (ten million) and a million.
#     BENCH_ROWS=1000000 make bench-index
# is the short form: minutes.  BENCH_PLAIN=1 measures an ordinary table in the
# place of the index; BENCH_BITS=256 leaves other lengths of code out, and
# BENCH_BITS=changes all but the costs of a table that changes.
cd "$(dirname "$0")/../.." || exit 1
mkdir -p build/bench
# A scan in memory that wants AVX-512, as a bound, where both are there.
limit=../shared/peers/search/scan.c
if grep -q avx512_vpopcntdq /proc/cpuinfo && [ -f $limit ]; then
  ${CC:-cc} -O3 -march=native -fopenmp -o build/bench/scan $limit ||
    rm -f build/bench/scan
else
  rm -f build/bench/scan
  echo "no AVX-512 scan in RAM: the bound is reading the codes"
fi
build/tests/bench_index ./build/binhash "${BENCH_ROWS:-10000000}" \
  ${BENCH_PLAIN:+plain} $BENCH_BITS
