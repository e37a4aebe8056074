#!/bin/sh
# Install the Debian packages that are missing for one purpose:
#     packages.sh build | demo | test
# Only `make demo` and `make test` call this.  Where everything is there it
# touches neither the network nor apt.
set -e
cd "$(dirname "$0")/.."
mkdir -p build

base="gcc libc6-dev binutils sqlite3 libsqlite3-dev libstb-dev libopenblas-dev"
# binhash-import, which make leaves out where they are missing
build="$base pkg-config libprotobuf-c-dev protobuf-c-compiler"
case $1 in
  build) want="$build" ;;
  demo) want="$base mate-backgrounds graphicsmagick exiv2" ;;
  test)
    want="$build libcmocka-dev libsimde-dev libjpeg62-turbo-dev
          libopenblas-serial-dev python3 python3-numpy python3-pil
          python3-venv"
    # The paper's network is compared with a float64 reference where the peers
    # lie beside this checkout.
    if [ -f ../shared/peers/forward/gen.py ]; then
      want="$want python3-torch python3-opencv python3-onnx"
    fi ;;
  *) echo "usage: $0 build|demo|test" >&2; exit 2 ;;
esac

missing=
for p in $want; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null |
    grep -q 'install ok installed' || missing="$missing $p"
done
if [ -n "$missing" ]; then
  sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  echo "installing:$missing"
  export DEBIAN_FRONTEND=noninteractive
  { $sudo apt-get update -qq &&
    $sudo apt-get install -y -qq --no-install-recommends $missing
  } >build/packages.log 2>&1 ||
    { tail -5 build/packages.log >&2
      echo "could not install:$missing (build/packages.log)" >&2; exit 1; }
fi

# A second SQLite library to test against, and who reads ONNX files too.
[ "$1" != test ] || sh tests/venv.sh build/venv apsw onnxruntime onnx
