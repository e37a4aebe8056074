#!/bin/sh
# Fetches the peers into build/: sqlite-vec from npm, FAISS and onnxruntime from
# PyPI.  `make bench-peers` calls this; nothing else needs the network.  Where
# one cannot be had, the benchmark leaves its lines out.
cd "$(dirname "$0")/../.." || exit 1
mkdir -p build/bench
case $(uname -m) in
  aarch64) package=sqlite-vec-linux-arm64 ;;
  *) package=sqlite-vec-linux-x64 ;;
esac
if [ ! -f build/bench/node_modules/$package/vec0.so ]; then
  npm install --prefix build/bench --no-save --no-audit --no-fund $package \
    >build/bench/npm.log 2>&1 ||
    echo "no sqlite-vec (build/bench/npm.log)"
fi
sh tests/venv.sh build/venv-bench faiss-cpu onnxruntime onnx
for peer in build/bench/node_modules/$package/vec0.so \
  build/venv-bench/bin/python; do
  if [ -e $peer ]; then echo "$peer is there"; fi
done
