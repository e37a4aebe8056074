#!/bin/sh
# Packages of PyPI that tests and benchmarks compare with, in a virtual
# environment:
#     venv.sh FOLDER PACKAGES...
# `make test`, `make bench-peers` and `make import-peers` call this; building and
# installing do not.  What is there is not asked for again, so a second run
# touches no network.  A package that cannot be had is named here, and what
# compares with it is skipped.
cd "$(dirname "$0")/.." || exit 1
folder=$1
shift
log=$folder.log
missing=
for p in "$@"; do
  case $p in
    faiss-cpu) module=faiss ;;
    *) module=$p ;;
  esac
  "$folder/bin/python" -c "import $module" 2>/dev/null ||
    missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "installing from PyPI into $folder:$missing"
[ -x "$folder/bin/python" ] || /usr/bin/python3 -m venv "$folder" >"$log" 2>&1
# One by one: what has no wheel for this machine is no reason to lack the rest.
for p in $missing; do
  "$folder/bin/python" -m pip install -q --retries 1 "$p" >>"$log" 2>&1 ||
    echo "no $p: what compares with it is skipped ($log says why)"
done
