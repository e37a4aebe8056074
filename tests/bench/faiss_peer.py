"""FAISS for the benchmark of the index, as a process that answers lines.

    build/venv-bench/bin/python tests/bench/faiss_peer.py

The first line it writes says the version.  Then, a line for a line:

    load BITS CODES QUERIES   reads the files of the benchmark
    flat Q K                  IndexBinaryFlat, one thread
    padded Q K                the same over codes padded to a multiple of 64
    multi Q K                 IndexBinaryMultiHash, substrings of 16 bits,
                              one flip
    range N RADIUS            the rows at most RADIUS from the first N rows
    free                      forgets everything

The answer is milliseconds of this thread's processor time, then distances (of
range: how many rows).  An index is built at the first question that needs it,
outside what is timed.
"""
import sys
import time

import faiss
import numpy as np


class Peer:
    def __init__(self):
        self.codes = self.queries = None
        self.indexes = {}

    def load(self, bits, codes, queries):
        self.free()
        width = int(bits) // 8
        self.codes = np.fromfile(codes, np.uint8).reshape(-1, width)
        self.queries = np.fromfile(queries, np.uint8).reshape(-1, width)
        return 0, []

    def free(self):
        self.indexes = {}
        self.codes = self.queries = None
        return 0, []

    def padded_codes(self, codes):
        return np.pad(codes, ((0, 0), (0, -codes.shape[1] % 8)))

    def index(self, kind):
        if kind not in self.indexes:
            codes = self.codes
            if kind == 'padded':
                codes = self.padded_codes(codes)
            bits = 8 * codes.shape[1]
            if kind == 'multi':
                index = faiss.IndexBinaryMultiHash(bits, bits // 16, 16)
                index.nflip = 1
            else:
                index = faiss.IndexBinaryFlat(bits)
            index.add(codes)
            self.indexes[kind] = index
        return self.indexes[kind]

    def search(self, kind, q, k):
        index = self.index(kind)
        query = self.queries[int(q):int(q) + 1]
        if kind == 'padded':
            query = self.padded_codes(query)
        start = time.thread_time()
        distances, ids = index.search(query, int(k))
        ms = (time.thread_time() - start) * 1e3
        return ms, distances[0][ids[0] >= 0].tolist()

    def range(self, n, radius):
        index = self.index('flat')
        queries = self.codes[:int(n)]
        start = time.thread_time()
        # FAISS gives what is nearer than the radius.
        limits, _, _ = index.range_search(queries, int(radius) + 1)
        return (time.thread_time() - start) * 1e3, [int(limits[-1])]


def main():
    faiss.omp_set_num_threads(1)
    print('FAISS', faiss.__version__, faiss.get_compile_options().strip(),
          flush=True)
    peer = Peer()
    for line in sys.stdin:
        command, *words = line.split()
        if command in ('flat', 'padded', 'multi'):
            ms, values = peer.search(command, *words)
        elif command in ('load', 'range', 'free'):
            ms, values = getattr(peer, command)(*words)
        else:
            sys.exit(f'faiss_peer: no such command: {command}')
        print(ms, *values, flush=True)


if __name__ == '__main__':
    main()
