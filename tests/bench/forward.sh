#!/bin/sh
# The forward pass beside onnxruntime's, oneDNN's, OpenCV's and PyTorch's, on
# the networks of the peers folder: the paper's CaffeNet-48 and a small 32x32
# net, in float32 and in integers.  The same weights; rounds go to the engines
# in turn, and of each the least time counts, since machines are shared.  Where
# the CPU has AMX, integer networks run on its tiles as well, and where it has
# more than AVX2, also without that.
#
# build/peers is made by `make test` where ../shared/peers is; onnxruntime comes
# with `make bench-peers`, oneDNN with Debian's libdnnl-dev.  ROUNDS=3.
cd "$(dirname "$0")/../.." || exit 1
peers=../shared/peers/forward
out=build/peers
images=../shared/data/tinyimagenet-a.db
venv=build/venv-bench/bin/python
rounds=${ROUNDS:-3}
ENGINE='' RUN='' BATCHES=''
if [ ! -f $out/caffenet48.safetensors ] || [ ! -d $peers ]; then
  echo "skipped: no $out/caffenet48.safetensors (make test makes it where" \
    "../shared/peers is)"
  exit 0
fi

# The other forms of the two networks, made once.
import() {
  [ -f "$2" ] && return
  build/binhash-import $1 -o "$2" >$out/import.log 2>&1 ||
    { echo "no $2 (binhash-import says $(tail -1 $out/import.log))"; rm -f "$2"; }
}
if [ -x build/binhash-import ]; then
  import "model $out/caffenet48.safetensors --fp16" \
    $out/caffenet48-fp16.safetensors
  import "onnx $out/small48.onnx --mean 0 --std 1" $out/small48.safetensors
  if [ -f $images ]; then
    for net in caffenet48 small48; do
      import "model $out/$net.safetensors --int8 $images --limit 64" \
        $out/$net-int8.safetensors
    done
  fi
fi
if [ -x $venv ] && $venv -c 'import onnxruntime, onnx' 2>/dev/null; then
  [ -f $out/small48_int8.onnx ] || (cd $peers &&
    PEERS="$OLDPWD/$out" "$OLDPWD/$venv" quant_ort.py) >$out/quant.log 2>&1
else
  echo "(no onnxruntime: make bench-peers)"
  venv=
fi

if [ ! -x $out/onednn ] &&
   ! ${CXX:-c++} -O2 -fopenmp -o $out/onednn $peers/onednn.cpp -ldnnl \
       >$out/onednn.log 2>&1; then
  echo "(no oneDNN: libdnnl-dev has it)"
fi

# A program for which this CPU ends at AVX2.
avx2=$out/binhash-run-avx2
more="NN_CPU_AVX512|NN_CPU_AVX512F|NN_CPU_AVX512VNNI|NN_CPU_AVXVNNI"
if grep -qE 'avx512_vnni|avx_vnni' /proc/cpuinfo; then
  ${CC:-cc} -O3 -std=c11 -ffp-contract=off -D_GNU_SOURCE \
    "-DNN_CPU_MASK=(~(unsigned)($more|NN_CPU_BITALG|NN_CPU_AMX))" -o $avx2 \
    nn/*.c weights/binhash_run.c -lm -ldl -lpthread 2>$out/avx2.log ||
    { echo "(no binhash-run for AVX2 alone: $out/avx2.log)"; rm -f $avx2; }
elif grep -q avx2 /proc/cpuinfo; then
  cp build/binhash-run $avx2
else
  rm -f $avx2
fi

least() { sort -n | head -1; }

# ours MODEL INPUT THREADS BATCH RUNS ENGINE: the least milliseconds.
ours() {
  "${RUN:-build/binhash-run}" "$1" --batch "$4" --threads "$3" --time "$5" \
    --engine "$6" <"$2" 2>&1 >/dev/null | sed -n 's/^least_ms //p'
}
onnx() {
  [ "$venv" ] || return
  (cd $peers && PEERS="$OLDPWD/$out" "$OLDPWD/$venv" bench_ort.py "$@") \
    2>/dev/null | sed -n 's/.*"min_ms": \([0-9.]*\).*/\1/p'
}
onednn() {
  [ -x $out/onednn ] || return
  PEERS=$out OMP_NUM_THREADS=$1 $out/onednn "$2" f32 2>/dev/null |
    sed -n 's/.*"min_ms":\([0-9.]*\).*/\1/p'
}
torch() {   # AMX's products of bfloat16
  grep -q amx_bf16 /proc/cpuinfo || return
  (cd $peers && PEERS="$OLDPWD/$out" /usr/bin/python3 bench_torch.py \
    opt_cl_bf16 "$@") 2>/dev/null | sed -n 's/.*"min_ms": \([0-9.]*\).*/\1/p'
}
opencv() {
  (cd $peers && PEERS="$OLDPWD/$out" /usr/bin/python3 bench_cv.py "$@") \
    2>/dev/null | sed -n 's/.*"min_ms": \([0-9.]*\).*/\1/p'
}

# row NAME MODEL INPUT PEER PEER-ARGUMENTS: one line for each of threads, batch;
# ENGINE, RUN and BATCHES say otherwise than "fast", with OpenBLAS's beside it,
# build/binhash-run and "1 32".
row() {
  name=$1 model=$2 input=$3 peer=$4
  shift 4
  [ -f "$model" ] || return
  for threads in 1 2; do
    for batch in ${BATCHES:-1 32}; do
      runs=$((batch == 1 ? 20 : 4))
      : >$out/ours.ms; : >$out/blas.ms; : >$out/theirs.ms
      round=0
      while [ $round -lt "$rounds" ]; do
        ours "$model" "$input" $threads "$batch" $runs "${ENGINE:-fast}" \
          >>$out/ours.ms
        [ "$ENGINE$RUN" ] ||
          ours "$model" "$input" $threads "$batch" $runs blas >>$out/blas.ms
        $peer $threads "$batch" "$@" >>$out/theirs.ms
        round=$((round + 1))
      done
      [ -s $out/ours.ms ] || return   # no such tiles
      awk -v name="$name" -v t=$threads -v b="$batch" -v peer="$peer" \
        -v a="$(least <$out/ours.ms)" -v o="$(least <$out/blas.ms)" \
        -v p="$(least <$out/theirs.ms)" 'BEGIN {
          printf("  %-27s %d thread%s batch %2d: ours %7.2f ms an image", \
            name, t, (t > 1 ? "s," : ", "), b, a / b)
          if (o != "") printf(", OpenBLAS %7.2f", o / b)
          if (p != "") printf(", %s %7.2f, ratio %.2f", peer, p / b, a / p)
          print ""
        }'
    done
  done
}

row "CaffeNet-48, float32" $out/caffenet48.safetensors $out/input32.f32 onnx
row "CaffeNet-48, float32" $out/caffenet48.safetensors $out/input32.f32 onednn
row "CaffeNet-48, float32" $out/caffenet48.safetensors $out/input32.f32 opencv
# Another model: its fc weights are rounded to 16 bits.
row "CaffeNet-48, fp16 fc" $out/caffenet48-fp16.safetensors $out/input32.f32 onnx
row "small net, float32" $out/small48.safetensors $out/small_input32.f32 \
  onnx small
row "CaffeNet-48, integers" $out/caffenet48-int8.safetensors \
  $out/input32.f32 onnx "$(pwd)/$out/caffenet48_int8.onnx"
row "small net, integers" $out/small48-int8.safetensors \
  $out/small_input32.f32 onnx small "$(pwd)/$out/small48_int8.onnx"
if grep -q amx_int8 /proc/cpuinfo; then
  ENGINE=amx
  row "CaffeNet-48, integers, AMX" $out/caffenet48-int8.safetensors \
    $out/input32.f32 onnx "$(pwd)/$out/caffenet48_int8.onnx"
  row "small net, integers, AMX" $out/small48-int8.safetensors \
    $out/small_input32.f32 onnx small "$(pwd)/$out/small48_int8.onnx"
  BATCHES=32
  row "small net, integers, AMX" $out/small48-int8.safetensors \
    $out/small_input32.f32 torch small
  ENGINE='' BATCHES=''
fi
# All that the CPU has is theirs alone.
if [ -x $avx2 ]; then
  RUN=$avx2
  row "CaffeNet-48, integers, AVX2" $out/caffenet48-int8.safetensors \
    $out/input32.f32 onnx
  row "small net, integers, AVX2" $out/small48-int8.safetensors \
    $out/small_input32.f32 onnx small
fi

# From nothing to the code of one picture, the model's file in the page cache:
# through the extension (which maps the file, and takes its sha256), and
# onnxruntime's session and first run.
first_ours() {
  printf '%s\n' '.load ./build/binhash' '.timer on' \
    "SELECT binhash_load('c', '$1');" \
    "SELECT img_hash(readfile('tests/golden/pictures/16x16.jpg'), 'c');" |
    sqlite3 -batch :memory: 2>/dev/null |
    awk '/^Run Time/ { t += $4; n++ } END { if (n == 2) print t * 1e3 }'
}
first_onnx() {
  [ "$venv" ] || return
  (cd $peers && PEERS="$OLDPWD/$out" "$OLDPWD/$venv" bench_ort.py 2 1) \
    2>/dev/null | tr ',' '\n' |
    awk -F: '/"load_s"|"first_forward_s"/ { t += $2 } END { print t * 1e3 }'
}
: >$out/ours.ms; : >$out/theirs.ms
for round in 1 2 3; do
  first_ours $out/caffenet48.safetensors >>$out/ours.ms
  first_onnx >>$out/theirs.ms
done
awk -v a="$(least <$out/ours.ms)" -v p="$(least <$out/theirs.ms)" 'BEGIN {
  printf("  CaffeNet-48, float32, load to first code: ours %.0f ms", a)
  if (p != "") printf(", onnxruntime %.0f, ratio %.2f", p, a / p)
  print ""
}'
