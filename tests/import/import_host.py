"""What the tests of binhash-import share: programs run, files named, TAP.

The program's arguments are IMPORT RUN FOLDER: binhash-import, binhash-run, and
where files go.  What is tested is titled by title().
"""
import os
import subprocess
import sys

IMPORT, RUN, FOLDER = sys.argv[1:4]
count = failures = 0
about = ''


def title(text):
    """What the names of the results begin with, after `import`."""
    global about
    about = text


def result(name, problem=''):
    global count, failures
    count += 1
    failures += bool(problem)
    print('%sok %d - import %s%s' % ('not ' if problem else '', count, about,
                                     name))
    for line in str(problem).splitlines()[:20]:
        print('# ' + line)
    sys.stdout.flush()


def finish():
    print('1..%d' % count)
    sys.exit(failures > 0)


def path(name):
    return os.path.join(FOLDER, name)


def call(*args):
    """(exit status, what it said)."""
    done = subprocess.run(list(args), capture_output=True)
    return done.returncode, (done.stderr + done.stdout).decode()
