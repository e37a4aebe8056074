#!/bin/sh
# The rules of the house that a program can check.  Prints TAP.
cd "$(dirname "$0")/.." || exit 1
n=0
# rule NAME OUTPUT: kept when there is no output.
rule() {
  n=$((n + 1))
  if [ -z "$2" ]; then
    echo "ok $n - $1"
  else
    echo "not ok $n - $1"
    echo "$2" | sed 's/^/#   /' | head -20
  fi
}

sources=$(find ext nn weights tests -name '*.[ch]')
rule "nn does not know SQLite" "$(grep -ln 'sqlite3' nn/*)"
rule "nn neither prints nor exits" \
  "$(grep -nE '\b(printf|fprintf|puts|perror|exit|abort)\(' nn/*.c)"
rule "includes go ext -> nn" "$(grep -nE '#include.*ext/' nn/*)"
# bench_decode.c times it by itself.
rule "stb_image is included by one file" \
  "$(grep -lE '#include.*stb_image' $sources |
     grep -vxE 'nn/picture.c|tests/bench/bench_decode.c')"
rule "libjpeg is a peer in tests alone" \
  "$(grep -lE '#include.*jpeglib' nn/* ext/* weights/*)"
rule "cblas.h is included by one file" \
  "$(grep -lE '#include.*cblas\.h' $sources | grep -vx 'nn/blas.c')"
# old_host.c plays a host, and needs the table of routines that hosts pass;
# plain.c and eval.c are extensions.
rule "sqlite3ext.h is included in ext alone" \
  "$(grep -lE '#include.*sqlite3ext' $sources |
     grep -vE '^ext/|^tests/hosts/old_host.c$|^tests/index/plain.c$|^tests/eval/eval.c$')"
rule "the number of BLAS threads is left alone" \
  "$(grep -nE 'openblas_set_num_threads\(' $sources)"
rule "no unfinished business" \
  "$(grep -nE '\b(TO''DO|FIX''ME|X''XX)\b' $sources Makefile)"
# What an undefined variable makes of $(T)/eval.so.
rule "no target wants a file of the root directory" \
  "$(${MAKE:-make} -pq help 2>/dev/null | grep -E '^[a-z-]+:(.* )?/[^/ ]+( |$)')"
rule "lines are at most 80 columns" \
  "$(awk 'length($0) > 80 {print FILENAME ":" FNR}' nn/*.[ch] ext/*.[ch] \
     weights/*.c)"
rule "no tabs in C" "$(grep -ln "$(printf '\t')" $sources)"
rule "files of nn and ext are at most 600 lines" \
  "$(wc -l nn/*.[ch] ext/*.[ch] | awk '$2 != "total" && $1 > 600')"
rule "every file of nn and ext opens with what it is" \
  "$(for f in nn/*.c ext/*.c; do head -1 "$f" | grep -q '^/\*' || echo "$f"
     done)"
rule "nothing else stands at the top" \
  "$(git ls-files 2>/dev/null | cut -d/ -f1 | sort -u |
     grep -vxE 'Makefile|ext|nn|sql|tests|weights|README\.md|LICENSE|\..*')"
rule "the cards of models have the sha256 of their files" \
  "$(for f in weights/*.safetensors; do
       sha256sum "$f" | { read -r sum _; grep -q "sha256 | .$sum" \
         weights/README.md || echo "$f: $sum"; }
     done)"
# One amalgamated file must compile: no static of a file clashes with another.
all=$(for f in nn/*.c ext/*.c; do
  grep -hoE '^static [a-z0-9_ ]*[ *]([a-z0-9_]+)(\(|\[|;| =)' "$f" |
    sed -E 's/.*[ *]([a-z0-9_]+)(\(|\[|;| =)$/\1/' | sort -u
done | sort | uniq -d)
rule "statics have names of their own" "$all"
echo "1..$n"
