#!/usr/bin/env python3
"""Change how a model prepares pictures.

    python3 weights/preprocess.py IN.safetensors OUT.safetensors MEMBER=VALUE...

sets members of the network's `preprocess` (weights/README.md), VALUE as JSON:
reduced_jpeg=2.  MEMBER= removes one.  Everything else of the file stays as it
is, the tensors byte for byte.  The result is another model: its sha256 and, for
some pictures, its codes differ.
"""
import json
import struct
import sys

ALIGN = 64


def rewritten(data, edit):
    """The bytes of a model whose network edit(network) has changed."""
    size, = struct.unpack('<Q', data[:8])
    header = json.loads(data[8:8 + size])
    network = json.loads(header['__metadata__']['network'])
    edit(network)
    header['__metadata__']['network'] = json.dumps(
        network, separators=(',', ':'), ensure_ascii=False)
    text = json.dumps(header, separators=(',', ':'),
                      ensure_ascii=False).encode()
    text += b' ' * (-(8 + len(text)) % ALIGN)
    return struct.pack('<Q', len(text)) + text + data[8 + size:]


def change(data, settings):
    """The bytes of a model with these (member, JSON text) pairs set."""
    def edit(network):
        preprocess = network.setdefault('preprocess', {})
        for member, value in settings:
            if value:
                preprocess[member] = json.loads(value)
            else:
                preprocess.pop(member, None)
    return rewritten(data, edit)


def main():
    if len(sys.argv) < 4 or not all('=' in s for s in sys.argv[3:]):
        sys.exit(__doc__.strip())
    with open(sys.argv[1], 'rb') as f:
        data = f.read()
    data = change(data, [s.split('=', 1) for s in sys.argv[3:]])
    with open(sys.argv[2], 'wb') as f:
        f.write(data)


if __name__ == '__main__':
    main()
