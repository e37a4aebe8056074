"""Caffe's files for the recipe train_caffe.py: the text of a network, and
trained blobs.

parse() reads prototxt into lists of (field, value), read_blobs() and
write_blobs() a caffemodel into and from {layer: arrays}.  binhash-import has
readers of its own, in C; this one trusts its input.
"""
import re

import numpy as np

TOKEN = re.compile(r'\s+|#[^\n]*|([{}<>:;,\[\]])|"((?:[^"\\]|\\.)*)"|'
                   r"'((?:[^'\\]|\\.)*)'|([^\s{}<>:;,\[\]\"'#]+)")


class Message(list):
    """(field, value) in their order; values are strings or Messages."""

    def all(self, field):
        return [v for k, v in self if k == field]

    def get(self, field, default=None):
        found = self.all(field)
        return found[-1] if found else default

    def number(self, field, default):
        return type(default)(float(self.get(field, default)))


def parse(text):
    """The message that a prototxt stands for."""
    root = Message()
    stack, field, at = [root], None, 0
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise ValueError('line %d: not prototxt' % (
                1 + text.count('\n', 0, at)))
        at = match.end()
        mark, double, single, word = match.groups()
        if mark in ('{', '<'):
            stack[-1].append((field, Message()))
            stack.append(stack[-1][-1][1])
            field = None
        elif mark in ('}', '>'):
            stack.pop()
        elif mark is None and (double, single, word) != (None,) * 3:
            value = next(v for v in (double, single, word) if v is not None)
            if field is None:
                field = value
            else:
                stack[-1].append((field, value))
                field = None
    if len(stack) != 1:
        raise ValueError('the text ends within a message')
    return root


# Binary ----------------------------------------------------------------------


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7f) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def entries(data):
    """(field, value) of a message: integers, or views of bytes."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 0:
            value, at = read_varint(data, at)
        else:
            n = {1: 8, 5: 4}.get(key & 7)
            if n is None:
                n, at = read_varint(data, at)
            value, at = data[at:at + n], at + n
        yield key >> 3, value


def read_blob(data):
    sides, values, legacy = [], np.zeros(0, '<f4'), {}
    for field, value in entries(data):
        if field == 5:
            values = np.frombuffer(value, '<f4')
        elif field == 7:
            for _, dims in entries(value):
                at = 0
                while not isinstance(dims, int) and at < len(dims):
                    n, at = read_varint(dims, at)
                    sides.append(n)
                if isinstance(dims, int):
                    sides.append(dims)
        elif field in (1, 2, 3, 4):
            legacy[field] = value
    return values.reshape(sides or [legacy.get(i, 1) for i in (1, 2, 3, 4)])


def read_blobs(path):
    """{layer: [arrays]} of a caffemodel of any generation."""
    with open(path, 'rb') as f:
        data = memoryview(f.read())
    out = {}
    for field, layer in entries(data):
        if field not in (2, 100):
            continue
        parts = list(entries(layer))
        name_field, blob_field = (1, 7) if field == 100 else (4, 6)
        inner = [v for k, v in parts if k == 1]
        if field == 2 and inner:
            parts, name_field, blob_field = list(entries(inner[0])), 1, 50
        name = [bytes(v).decode() for k, v in parts if k == name_field]
        blobs = [read_blob(v) for k, v in parts if k == blob_field]
        if name and blobs:
            out[name[0]] = blobs
    return out


def varint(n):
    out = b''
    while n > 0x7f:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def piece(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def write_blobs(path, name, layers):
    """{layer: [arrays]} as a caffemodel of the current generation."""
    with open(path, 'wb') as f:
        f.write(piece(1, name.encode()))
        for layer, blobs in layers.items():
            data = piece(1, layer.encode())
            for blob in blobs:
                shape = piece(1, b''.join(varint(n) for n in blob.shape))
                data += piece(7, piece(7, shape) + piece(
                    5, np.ascontiguousarray(blob, '<f4').tobytes()))
            f.write(piece(100, data))
