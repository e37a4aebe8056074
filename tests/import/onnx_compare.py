#!/usr/bin/env python3
"""Networks in ONNX files, as binhash-import reads them and as onnxruntime does.

    onnx_compare.py IMPORT RUN FOLDER FILE.onnx...

Prints TAP: a line for each file with the largest difference, at batch 1 and 8,
relative to the largest output.  Files of opset 17 are also converted to 21.
"""
import os
import sys

import numpy as np
import onnx
from onnx import version_converter

from onnx_peer import Refused, compare, first, session

TOLERANCE = 1e-4


def check(tool, path, name):
    problem, worst = '', float('nan')
    try:
        shape = session(path).get_inputs()[0].shape[1:]
        worst = compare(tool, path, shape, np.random.default_rng(1))
        if not worst <= TOLERANCE:
            problem = 'more than %.0e' % TOLERANCE
    except (Refused, RuntimeError) as e:
        problem = e
    tool.result('%s: off by %.1e' % (name, worst), problem)
    return tool.layers() if not problem else {}


def main():
    tool = first(sys.argv)
    for path in sys.argv[4:]:
        name = os.path.basename(path)[:-5].replace('.', ', opset ')
        check(tool, path, name)
        if not path.endswith('.17.onnx') or os.path.getsize(path) > 1 << 30:
            continue
        newer = tool.path('newer.onnx')
        onnx.save(version_converter.convert_version(onnx.load(path), 21),
                  newer)
        check(tool, newer, name[:-2] + '21')
        os.remove(newer)
    return tool.failures > 0


if __name__ == '__main__':
    sys.exit(main())
