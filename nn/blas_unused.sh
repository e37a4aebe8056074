#!/bin/sh
# Stand-ins for the kernels of a static OpenBLAS that binhash never calls.
#
#     blas_unused.sh libopenblas.a > unused.c
#
# A DYNAMIC_ARCH OpenBLAS chooses kernels at run time from one table for each
# kind of CPU.  A table names every kernel of that CPU, so linking sgemm brings
# in double, complex and triangular routines as well, 24 MB of them.  The
# linker takes a member of an archive only for a symbol that nothing else
# defines; so this defines all that the tables name but the single precision
# kernels behind sgemm and sgemv, as one function that traps.
set -e
archive=$1
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
archive=$(cd "$(dirname "$archive")" && pwd)/$(basename "$archive")
cd "$dir"
ar x "$archive" $(ar t "$archive" | grep '^setparam_')
echo 'void nn_blas_unused(void);'
echo 'void nn_blas_unused(void) { __builtin_trap(); }'
nm -u setparam_*.o | awk '$1 == "U" {print $2}' | sort -u |
  grep -E '_[A-Z][A-Z0-9_]*$' | grep -vE '^_' |
  grep -vE '^s(gemm|gemv|scal|axpy|copy|dot)_' |
  sed 's/.*/__asm__(".globl &\\n.hidden &\\n.set &, nn_blas_unused\\n");/'
