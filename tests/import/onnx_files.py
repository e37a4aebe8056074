"""ONNX files written byte by byte: what the tests need without any package.

A message is a list of (field, value): an integer is a varint, a float four
bytes, text and bytes themselves, a list another message.  Field numbers are
those of onnx.proto.
"""
import struct

import numpy as np


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def message(fields):
    out = b''
    for field, value in fields:
        if isinstance(value, float):
            out += varint(field << 3 | 5) + struct.pack('<f', value)
        elif isinstance(value, int):
            out += varint(field << 3) + varint(value)
        else:
            if isinstance(value, list):
                value = message(value)
            elif isinstance(value, str):
                value = value.encode()
            out += varint(field << 3 | 2) + varint(len(value)) + value
    return out


def tensor(name, values, dims=None, dtype=None, more=()):
    values = np.asarray(values)
    if values.dtype.kind == 'f':
        values, kind = values.astype('<f4'), 1
    else:
        values, kind = values.astype('<i8'), 7
    return ([(1, int(d)) for d in (values.shape if dims is None else dims)] +
            [(2, kind if dtype is None else dtype), (8, name),
             (9, values.tobytes())] + list(more))


def node(kind, inputs, outputs, name='', domain='', **attributes):
    fields = [(1, i) for i in inputs.split()]
    fields += [(2, o) for o in outputs.split()]
    fields += [(3, name), (4, kind), (7, domain)]
    for key, value in attributes.items():
        a = [(1, key)]
        if isinstance(value, float):
            a += [(2, value), (20, 1)]
        elif isinstance(value, int):
            a += [(3, value), (20, 2)]
        elif isinstance(value, str):
            a += [(4, value), (20, 3)]
        else:
            a += [(8, int(v)) for v in value] + [(20, 7)]
        fields.append((5, a))
    return fields


def info(name, dims):
    return [(1, name), (2, [(1, [(1, 1), (2, [
        (1, [(2, d)] if isinstance(d, str) else [(1, d)]) for d in dims])])])]


def model(nodes, tensors=(), inputs=(('x', ['N', 3, 8, 8]),), outputs=('y',),
          opset=13):
    graph = [(1, n) for n in nodes] + [(5, t) for t in tensors]
    graph += [(11, info(*i)) for i in inputs]
    graph += [(12, [(1, o)]) for o in outputs]
    return message([(1, 8), (7, graph), (8, [(1, ''), (2, opset)])])
