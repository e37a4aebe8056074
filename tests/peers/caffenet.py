#!/usr/bin/env python3
"""Compare binhash-run's outputs with the float64 reference.

    caffenet.py check NAME OUTPUT.f32 EXPECTED.f64 TOLERANCE [bits]
    caffenet.py rss COMMAND... < INPUT > OUTPUT

`check` prints one TAP result: the largest difference must stay below the
tolerance, and with `bits` every value must fall on the same side of 0.5.
`rss` runs a command and prints its peak resident memory as a diagnostic on
standard error.  Python's standard library is all it needs.
"""
import array
import resource
import subprocess
import sys


def read(path, kind, size):
    values = array.array(kind)
    with open(path, 'rb') as f:
        data = f.read()
    values.frombytes(data[:len(data) - len(data) % size])
    if sys.byteorder == 'big':
        values.byteswap()
    return values


def check(name, output, expected, tolerance, bits):
    got, want = read(output, 'f', 4), read(expected, 'd', 8)
    if len(got) != len(want):
        print('not ok - %s: %d values, expected %d' % (
            name, len(got), len(want)))
        return 1
    # not (x < t), so that a NaN fails too
    worst = 0.0
    for a, b in zip(got, want):
        d = abs(a - b)
        if not d <= worst:
            worst = d
    flipped = sum((a > 0.5) != (b > 0.5) for a, b in zip(got, want))
    ok = worst < float(tolerance) and (not bits or flipped == 0)
    text = 'max difference %.2g of %d values' % (worst, len(got))
    if bits:
        text += ', %d of %d bits equal' % (len(got) - flipped, len(got))
    print('%sok - %s: %s' % ('' if ok else 'not ', name, text))
    return 0 if ok else 1


def rss(command):
    code = subprocess.call(command)
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    sys.stderr.write('# peak resident memory %d MB\n' % (peak // 1024))
    return code


if __name__ == '__main__':
    if sys.argv[1] == 'rss':
        sys.exit(rss(sys.argv[2:]))
    sys.exit(check(sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5],
                   sys.argv[6:] == ['bits']))
