#!/usr/bin/python3
"""The codes that a model of binhash_train gives to pictures whose features of
its base are known, without a pass through the network.

    python3 tests/eval/learned.py WORK.db FEATURES.db...

WORK has the table trained(model, report); FEATURES are what
sql/eval/features.sh made.  WORK gets codes(id, code).  The latent layer is
computed as weights/README.md defines it, of an integer network in integers;
sql/train_eval.sh compares some codes with img_hash's.  Needs python3-numpy.
"""
import json
import sqlite3
import struct
import sys

import numpy as np

KINDS = {'F32': '<f4', 'F16': '<f2', 'I8': 'i1', 'I32': '<i4', 'U8': 'u1'}
ROWS = 4096


class Model:
    """The latent layer of a file's first head, and what it reads."""

    def __init__(self, data):
        size, = struct.unpack('<Q', data[:8])
        self.header = json.loads(data[8:8 + size])
        self.data = data[8 + size:]
        network = json.loads(self.header['__metadata__']['network'])
        self.layers = {m['name']: m for m in network['layers']}
        self.integer = 'zero_point' in network['input']
        latent = self.layers[network['heads'][0]['latent']]
        if latent['type'] == 'Sigmoid':
            latent = self.layers[latent['bottom'][0]]
        self.weight, self.bias = (self.tensor(latent[key]).astype(np.float64)
                                  for key in ('weight', 'bias'))
        self.scale = self.scale_of(latent['bottom'][0])

    def tensor(self, name):
        entry = self.header[name]
        begin, end = entry['data_offsets']
        return np.frombuffer(self.data[begin:end],
                             KINDS[entry['dtype']]).reshape(entry['shape'])

    def scale_of(self, blob):
        """Of a blob's bytes: its own, or that of what it is made of."""
        while self.integer and blob in self.layers:
            if 'scale' in self.layers[blob]:
                return self.layers[blob]['scale']
            blob = self.layers[blob]['bottom'][0]
        return 1

    def codes(self, features):
        """In float64, which is exact on the integers."""
        x = features / self.scale
        if self.integer:
            x = np.rint(x)
        return np.packbits(x @ self.weight.T + self.bias > 0, axis=1)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__.split('\n\n')[1])
    work = sqlite3.connect(sys.argv[1])
    model = Model(work.execute('SELECT model FROM trained').fetchone()[0])
    work.execute('CREATE TABLE codes(id INTEGER PRIMARY KEY, code BLOB)')
    for path in sys.argv[2:]:
        source = sqlite3.connect('file:%s?mode=ro' % path, uri=True)
        found = source.execute('SELECT id, features FROM features')
        while True:
            rows = found.fetchmany(ROWS)
            if not rows:
                break
            x = np.frombuffer(b''.join(row[1] for row in rows), '<f4')
            codes = model.codes(x.reshape(len(rows), -1).astype(np.float64))
            work.executemany('INSERT INTO codes VALUES (?, ?)',
                             ((row[0], code.tobytes())
                              for row, code in zip(rows, codes)))
    work.commit()


if __name__ == '__main__':
    main()
