#!/usr/bin/env python3
"""Run the examples of a Markdown page and compare what they print.

    examples.py PAGE.md

A block ```sql that is followed at once by a block ```text must print it, in the
sqlite3 shell, in list mode.  A block without one must run without an error.  All
blocks of a page share a database, in the order of the page.
"""
import os
import re
import subprocess
import sys
import tempfile

BLOCK = re.compile(r'^```sql\n(.*?)^```\n(?:```text\n(.*?)^```\n)?',
                   re.M | re.S)


def main():
    page = open(sys.argv[1], encoding='utf-8').read()
    blocks = list(BLOCK.finditer(page))
    with tempfile.TemporaryDirectory() as folder:
        db = os.path.join(folder, 'examples.db')
        for n, block in enumerate(blocks, 1):
            line = page.count('\n', 0, block.start()) + 1
            want = block.group(2) or ''
            got = subprocess.run(
                ['sqlite3', '-batch', '-cmd', '.load ./build/binhash', db],
                input=block.group(1), capture_output=True, text=True)
            name = '%s line %d' % (sys.argv[1], line)
            if got.returncode == 0 and got.stdout == want and not got.stderr:
                print('ok %d - %s' % (n, name))
                continue
            print('not ok %d - %s' % (n, name))
            for label, text in (('expected', want), ('printed', got.stdout),
                                ('errors', got.stderr)):
                for s in text.splitlines():
                    print('# %s: %s' % (label, s))
    print('1..%d' % len(blocks))


if __name__ == '__main__':
    main()
