#!/bin/sh
# One code for one picture, whatever computes it.
#
#     make exact                    all of it: hours, most of them Prescott's
#     sh tests/exact/exact.sh short what `make test` runs: a minute
#
# The codes of the same pictures are made in many configurations and their
# sha256 compared with that of the first.  Pictures are CIFAR-10's where
# DATA (../shared/data/cifar10.db) is there, and others that are drawn.  Drawn
# ones have golden codes too, tests/golden/codes/*.txt, one file for each head,
# which tests/exact/golden.py makes from the definitions alone.
# A configuration that this machine cannot run is named as skipped.
#
# What a configuration printed is kept in build/exact/done for as long as
# sources, weights, compilers and CPU stay the same: the long form, stopped, goes
# on where it was.
#
# Prints TAP: "ok N - ..." for each configuration.
cd "$(dirname "$0")/../.." || exit 1
form=${1:-long}
data=${DATA:-../shared/data/cifar10.db}
python=${PYTHON:-python3}
cc=${CC:-cc}
work=build/exact
mkdir -p "$work/done"
tests=0
failed=0
export OPENBLAS_NUM_THREADS=1   # its threads gain nothing from pieces so small

# shellcheck disable=SC2086
surroundings=$({
  cat tests/exact/*.[cs]* nn/*.[ch] ext/*.[ch] weights/*.safetensors
  $cc --version
  clang --version
  ls -lL "$data" /usr/lib/*/libopenblas.so.0
  grep -m2 -E '^(model name|flags)' /proc/cpuinfo
} 2> /dev/null | sha256sum)

ok() { tests=$((tests + 1)); echo "ok $tests - $1"; }
bad() { tests=$((tests + 1)); failed=$((failed + 1)); echo "not ok $tests - $1"; }
skip() { tests=$((tests + 1)); echo "ok $tests - $1 # SKIP $2"; }

# build NAME COMPILER FLAGS LIBRARIES: the program, of its own objects
build() {
  mkdir -p "$work/$1"
  # shellcheck disable=SC2086
  $2 $3 -std=c11 -D_GNU_SOURCE -ffp-contract=off \
    -o "$work/$1/codes" tests/exact/codes.c nn/*.c -Wl,--wrap=nn_cpu_features \
    $4 -lm -ldl -lpthread 2> "$work/$1/log" || {
    sed 's/^/# /' "$work/$1/log" | head -5
    return 1
  }
}

# printed COMMAND...: what it prints, or printed before
printed() {
  kept=$work/done/short
  if [ "$form" = long ]; then
    kept=$work/done/$(printf '%s\n' "$surroundings" "$@" | sha256sum |
                      cut -c1-32)
    if [ -s "$kept" ]; then cat "$kept"; return; fi
  fi
  if ! "$@" > "$kept.new" 2> "$kept.error"; then cat "$kept.error"; return 1; fi
  rm -f "$kept.error"
  mv "$kept.new" "$kept"
  cat "$kept"
}

# same WHAT WANTED COMMAND...: does it print what is wanted?
same() {
  what=$1
  should=$2
  shift 2
  got=$(printed "$@") || got="failed: $got"
  if [ "$got" = "$should" ]; then ok "$what: $got"
  else bad "$what"; echo "# got    $got"; echo "# wanted $should"; fi
}

# pictures of a split as a file for the program
dump() {
  [ -s "$work/$1" ] || "$python" - "$data" "$2" "$3" > "$work/$1.new" <<'END'
import sqlite3, struct, sys
db = sqlite3.connect('file:%s?mode=ro' % sys.argv[1], uri=True)
for image, in db.execute('SELECT image FROM images WHERE split IN (%s) '
                         'ORDER BY id LIMIT %s' % tuple(sys.argv[2:])):
    sys.stdout.buffer.write(struct.pack('<I', len(image)) + image)
END
  [ -s "$work/$1" ] || mv "$work/$1.new" "$work/$1"
}

model=weights/photo-64.safetensors
head=photo-64,copy-64   # of the model that is compiled in
# Its activations have 8 bits; kernels for 7 are tried on another's.
seven=weights/cifar10-48.safetensors
build gcc "$cc" -O3 "" || { bad "build"; exit 1; }
first=$work/gcc/codes
blas=1
"$first" $model $head drawn:1 --engine blas > /dev/null 2>&1 || blas=0

# golden codes of drawn pictures, for every head of every model ----------------

drawn=40
[ "$form" = long ] && drawn=200

for golden in tests/golden/codes/*.txt; do
  name=$(basename "$golden" .txt)
  file=$(sed -n 's/^# model //p' "$golden")
  "$first" "$file" "$name" drawn:$drawn --print > "$work/golden" 2> "$work/error"
  grep -v '^#' "$golden" | head -$drawn > "$work/wanted"
  if cmp -s "$work/wanted" "$work/golden"; then
    ok "$name: golden codes of $drawn drawn pictures"
  else
    bad "$name: golden codes of $drawn drawn pictures"
    sed 's/^/# /' "$work/error"
    diff "$work/wanted" "$work/golden" | head -4 | sed 's/^/# /'
  fi
done

# a few pictures, everything that is slow ------------------------------------

few=4
[ "$form" = long ] && few=200
wanted=$(printed "$first" $model $head drawn:$few)
wanted_seven=$(printed "$first" $seven cifar10-48 drawn:$few)
same "$few drawn, naive reference" "$wanted" \
  "$first" $model $head drawn:$few --engine reference
same "$few drawn, 7 bits, naive reference" "$wanted_seven" \
  "$first" $seven cifar10-48 drawn:$few --engine reference
if [ "$form" = long ]; then
  build O0 "$cc" -O0 "" &&
    same "$few drawn, -O0" "$wanted" "$work/O0/codes" $model $head drawn:$few
  if ! command -v aarch64-linux-gnu-gcc > /dev/null ||
     ! command -v qemu-aarch64 > /dev/null; then
    skip "aarch64 under qemu-user" "no cross compiler or no qemu-user"
  else
    # The cross compiler does not look where this machine's cblas.h lies, of
    # which only types are used.
    mkdir -p "$work/include"
    # shellcheck disable=SC2086
    echo '#include <cblas.h>' | $cc -M -x c - | tr ' ' '\n' |
      grep -E '/(cblas|openblas_config)\.h$' |
      xargs -I @ cp @ "$work/include/"
    if build aarch64 aarch64-linux-gnu-gcc "-O3 -static -I$work/include" ""
    then
      # without dot products, with those of one kind of bytes, of both
      for cpu in cortex-a53 cortex-a76 max; do
        same "$few drawn, aarch64 ($cpu) under qemu-user" "$wanted" \
          qemu-aarch64 -cpu $cpu "$work/aarch64/codes" $model $head \
          drawn:$few --threads 2
        same "$few drawn, 7 bits, aarch64 ($cpu) under qemu-user" \
          "$wanted_seven" qemu-aarch64 -cpu $cpu "$work/aarch64/codes" $seven \
          cifar10-48 drawn:$few --threads 2
      done
    else
      bad "aarch64 under qemu-user: it does not compile"
    fi
  fi
fi

# 2,000 fixed pictures, one factor changed at a time --------------------------

if [ "$form" = long ] && [ -f "$data" ]; then
  dump test2000 "'test'" 2000
  set -- "$work/test2000"
else
  set -- drawn:$drawn
fi
many=$1
wanted=$(printed "$first" $model $head "$many")
echo "# $many: $wanted"
same "batch 32" "$wanted" "$first" $model $head "$many" --batch 32
same "2 threads" "$wanted" "$first" $model $head "$many" --threads 2
same "rounding upwards, denormals as zeros" "$wanted" \
  "$first" $model $head "$many" --float-state
for mask in $(seq 0 "${FEATURE_BITS:-5}"); do
  same "CPU features masked by 2^$mask - 1" "$wanted" \
    "$first" $model $head "$many" --threads 2 \
    --features $(((1 << mask) - 1))
  same "$few drawn, 7 bits, masked by 2^$mask - 1" "$wanted_seven" \
    "$first" $seven cifar10-48 drawn:$few --threads 2 \
    --features $(((1 << mask) - 1))
done
if why=$("$first" $model $head drawn:1 --engine amx 2>&1 > /dev/null); then
  same "AMX" "$wanted" "$first" $model $head "$many" --engine amx --threads 2
else
  skip "AMX" "$why"
fi
if build clang clang -O3 ""; then
  same "clang" "$wanted" "$work/clang/codes" $model $head "$many"
else
  skip "clang" "it is not installed"
fi
if [ "$form" = long ]; then
  for flags in -O2 "-O3 -march=native"; do
    name=$(echo "$flags" | tr -d ' =')
    build "gcc$name" "$cc" "$flags" "" &&
      same "gcc $flags" "$wanted" "$work/gcc$name/codes" $model $head "$many"
    build "clang$name" clang "$flags" "" &&
      same "clang $flags" "$wanted" "$work/clang$name/codes" $model $head \
        "$many"
  done
fi

# the way of OpenBLAS ---------------------------------------------------------

if [ $blas = 1 ]; then
  cores="Haswell"
  [ "$form" = long ] && cores="Prescott Core2 Nehalem Sandybridge Haswell Zen"
  grep -q avx512bw /proc/cpuinfo && cores="$cores SkylakeX"
  [ "$form" = long ] && grep -q avx512_bf16 /proc/cpuinfo &&
    cores="$cores Cooperlake"
  for core in $cores; do
    same "OpenBLAS, $core" "$wanted" env OPENBLAS_CORETYPE="$core" \
      "$first" $model $head "$many" --engine blas
  done
  same "OpenBLAS, rounding upwards, denormals as zeros" "$wanted" \
    "$first" $model $head "$many" --engine blas --float-state
  archive=$(ls /usr/lib/*/openblas-serial/libopenblas.a 2> /dev/null)
  if [ "$form" = long ] && [ -n "$archive" ] &&
     build static "$cc" "-O3 -DNN_STATIC_BLAS $(pkg-config --cflags openblas)" \
       "$archive"; then
    same "OpenBLAS, linked statically" "$wanted" \
      "$work/static/codes" $model $head "$many" --engine blas
  fi
else
  skip "OpenBLAS" "it is not installed"
fi

# all of CIFAR-10 by the model that is for it, six fast configurations ---------

if [ "$form" = long ] && [ -f "$data" ]; then
  dump all "'train', 'test'" 60000
  model=weights/cifar10-48.safetensors
  head=cifar10-48
  cores=
  if [ $blas = 1 ]; then
    cores="Haswell Prescott"
    if grep -q avx512bw /proc/cpuinfo; then cores="SkylakeX $cores"
    else skip "all of CIFAR-10, OpenBLAS, SkylakeX" "no AVX-512 here"; fi
  fi
  on() {   # CORE
    env OPENBLAS_CORETYPE="$1" "$first" $model $head "$work/all" --engine blas \
      --batch 8
  }
  # Those of OpenBLAS take longest, and one processor each: they start at once.
  for core in $cores; do
    printed on "$core" > /dev/null &
  done
  wanted=$(printed "$first" $model $head "$work/all")
  echo "# all of CIFAR-10, our kernels, 1 thread, no OpenBLAS: $wanted"
  same "all of CIFAR-10, 4 threads" "$wanted" \
    "$first" $model $head "$work/all" --threads 4
  same "all of CIFAR-10, the extension" "$wanted" \
    sh tests/exact/extension.sh "$data" $model $head
  wait
  for core in $cores; do
    same "all of CIFAR-10, OpenBLAS, $core" "$wanted" on "$core"
  done
elif [ "$form" = long ]; then
  skip "all of CIFAR-10" "no file $data"
fi

echo "1..$tests"
[ $failed = 0 ]
