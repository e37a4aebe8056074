#!/bin/sh
# weights/pack.py from the command line: what it packs is what binhash-run
# computes with, in float32 and in 8 bits, the same bytes every time; what does
# not fit is refused.  Python's standard library only.  Prints TAP.
# RUN names another binhash-run.
cd "$(dirname "$0")/../.." || exit 1
run=${RUN:-build/binhash-run}
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
n=0
failed=0

result() {
  n=$((n + 1))
  if [ "$1" = 0 ]; then
    echo "ok $n - pack $2"
  else
    echo "not ok $n - pack $2"
    failed=1
  fi
}

cat >"$dir/net.json" <<'END'
{"input": {"name": "data", "channels": 2, "height": 3, "width": 3},
 "layers": [
  {"name": "c", "type": "Convolution", "bottom": ["data"], "num_output": 2,
   "kernel_size": [3, 3], "weight": "c.w", "bias": "c.b"},
  {"name": "n", "type": "BatchNorm", "bottom": ["c"], "mean": "n.m",
   "variance": "n.v", "eps": 0},
  {"name": "f", "type": "InnerProduct", "bottom": ["n"], "num_output": 3,
   "weight": "f.w"}]}
END
python3 - "$dir" <<'END'
import array, sys
def put(name, values):
    with open('%s/%s' % (sys.argv[1], name), 'wb') as f:
        f.write(array.array('f', values).tobytes())
put('c.w.f32', [i % 5 - 2 for i in range(36)])
put('c.b.f32', [1, -1])
put('n.m.f32', [2, 3])
put('n.v.f32', [4, 16])
put('f.w.f32', [127, 2, -127, 5, 0, 0])
put('in', [i % 7 for i in range(18)])
END
cat >"$dir/check.py" <<'END'
import array, sys
x = [i % 7 for i in range(18)]
w = [i % 5 - 2 for i in range(36)]
c = [sum(w[18 * o + i] * x[i] for i in range(18)) + (1, -1)[o]
     for o in range(2)]
b = [(c[0] - 2) / 2, (c[1] - 3) / 4]
want = [127 * b[0] + 2 * b[1], -127 * b[0] + 5 * b[1], 0]
got = array.array('f', open(sys.argv[1], 'rb').read())
near = float(sys.argv[2]) * max(map(abs, want))
sys.exit(len(got) != 3 or
         any(not abs(g - v) <= near for g, v in zip(got, want)))
END

pack() {
  python3 weights/pack.py "$@" >"$dir/log" 2>&1
}

pack "$dir/net.json" "$dir" "$dir/a.safetensors" &&
  "$run" "$dir/a.safetensors" <"$dir/in" >"$dir/out" &&
  python3 "$dir/check.py" "$dir/out" 1e-6
result $? "float32"
pack "$dir/net.json" "$dir" "$dir/b.safetensors" --int8 &&
  "$run" "$dir/b.safetensors" <"$dir/in" >"$dir/out" &&
  python3 "$dir/check.py" "$dir/out" 1e-2
result $? "8 bits"
# a check that takes anything would have passed these two as well
! python3 "$dir/check.py" "$dir/out" 1e-7
result $? "8 bits are not float32"
pack "$dir/net.json" "$dir" "$dir/c.safetensors" --int8 &&
  cmp "$dir/b.safetensors" "$dir/c.safetensors"
result $? "is reproducible"
echo '{"c.b": [3]}' >"$dir/manifest.json"
! pack "$dir/net.json" "$dir" "$dir/d.safetensors" &&
  grep -q "c.b has shape \[3\] in manifest.json" "$dir/log"
result $? "refuses another shape"
rm "$dir/manifest.json"
printf '1234' >>"$dir/f.w.f32"
! pack "$dir/net.json" "$dir" "$dir/d.safetensors" &&
  grep -q "f.w.f32 has 28 bytes" "$dir/log"
result $? "refuses another length"
rm "$dir/f.w.f32"
! pack "$dir/net.json" "$dir" "$dir/d.safetensors" &&
  grep -q "there is no .*f.w.f32" "$dir/log"
result $? "names what is missing"
pack
[ $? = 2 ]
result $? "explains its arguments"
[ ! -e "$dir/d.safetensors" ]
result $? "leaves no file behind when it fails"
echo "1..$n"
exit $failed
