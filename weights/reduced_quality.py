#!/usr/bin/python3
"""How far codes of JPEGs at reduced scale are from those of full decodes.

    reduced_quality.py [PHOTOS [MODEL.safetensors [MARGIN...]]]
    reduced_quality.py copies [PHOTOS]

For each margin (a value of `reduced_jpeg`, weights/README.md) MODEL is loaded
twice, with that member and without it, and img_hash takes PHOTOS photographs
through both: half of them from tinyimagenet-a.db, scaled up, half of them
pieces of the photographs of the package mate-backgrounds as they are.  They are
saved at qualities 75 to 95, with the usual 4:2:0 and every fourth with 4:4:4,
at sides that are so many times the network's: below, at and above each limit at
which the scale changes.  Prints how many bits differ, mean, 99th percentile and
most, and the share of the network's input values that do.  A second table is for
the same network looking at the centre of a picture resized to twice its input's
sides, so at 64 x 64 for one of 32 x 32.  A third says what of this is the
network's own: how many bits differ when a share of the input values, drawn with a
fixed seed, goes up or down by one.

`copies` asks what that means for finding copies: PHOTOS such photographs, of
512 to 1600 pixels, and edited versions of each as tests/eval/edits.py makes
them, hashed by copy-64 in both ways, reduced by the model's own margin.  Prints
for each kind of edit the share that is nearer to its original than all but 1 in
10,000 of the pairs that are not the same, and the share within 8 bits.

Needs build/binhash.so, python3-pil and python3-numpy; where a source of
photographs is not there, it does without.
"""
import glob
import io
import os
import random
import sqlite3
import sys
import tempfile

import numpy as np
from PIL import Image

import preprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PHOTOS = "/usr/share/backgrounds/mate/nature/*.jpg"
TINY = os.path.join(ROOT, "..", "shared", "data", "tinyimagenet-a.db")
RATIOS = [2, 3, 4, 4.5, 5.9, 6, 6.7, 8, 9, 11.9, 12, 13.4, 16, 18, 23.9, 24, 27, 40]
SHARES = [0.0005, 0.005, 0.03, 0.1, 0.2, 0.3]


def small_photos(count):
    if not os.path.exists(TINY):
        return []
    db = sqlite3.connect("file:%s?mode=ro" % TINY, uri=True)
    step = db.execute("SELECT count(*) FROM images").fetchone()[0] // count
    rows = db.execute("SELECT image FROM images WHERE id %% %d = 1 LIMIT %d"
                      % (max(step, 1), count))
    return [Image.open(io.BytesIO(r[0])).convert("RGB") for r in rows]


def encode(image, rng):
    out = io.BytesIO()
    image.save(out, "JPEG", quality=rng.choice([75, 85, 92, 95]),
               subsampling=0 if rng.random() < 0.25 else 2,
               progressive=rng.random() < 0.5)
    return out.getvalue()


def size(side, rng):
    """One side is `side`, the other as much or up to half more."""
    other = int(side * rng.uniform(1, 1.5))
    return (side, other) if rng.random() < 0.5 else (other, side)


def photographs(side, small, large, count, rng):
    """JPEGs of which the shorter side is `side`."""
    for i in range(count):
        wanted = size(side, rng)
        if large and (i % 2 or not small):
            image = large[rng.randrange(len(large))]
            # A piece four times to once as large, so that all scales of detail
            # occur.
            most = min(image.width / wanted[0], image.height / wanted[1], 4)
            if most >= 1:
                zoom = rng.uniform(1, most)
                w, h = int(wanted[0] * zoom), int(wanted[1] * zoom)
                x = rng.randrange(image.width - w + 1)
                y = rng.randrange(image.height - h + 1)
                yield encode(image.resize(wanted, Image.LANCZOS,
                                          (x, y, x + w, y + h)), rng)
                continue
        image = small[i % len(small)] if small else large[i % len(large)]
        yield encode(image.resize(wanted, Image.BICUBIC), rng)


def load(db, folder, data, name, settings):
    """Under a name of its own: the head's, and the file's."""
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(preprocess.change(data, settings))
    return db.execute("SELECT binhash_load(?, ?)", (name, path)).fetchone()


def both(folder, data, full, reduced):
    """A connection with the model as `full` and as `reduced`."""
    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    db.execute("SELECT load_extension(?)",
               (os.path.join(ROOT, "build", "binhash"),))
    load(db, folder, data, "full", full)
    load(db, folder, data, "reduced", reduced)
    return db


def pair(db, first, second, blob):
    """Bits that differ, and the share of input values, of two models' pictures."""
    (a, name), (b, other) = first, second
    bits, = db.execute("SELECT hamming(img_hash(?, ?), img_hash(?, ?))",
                       (a, name, b, other)).fetchone()
    values = [np.frombuffer(db.execute("SELECT img_layer(?, ?, ?)", (
        image, blob, model)).fetchone()[0], np.float32)
        for image, model in (first, second)]
    return bits, (values[0] != values[1]).mean()


def line(title, found):
    found = np.array(found)
    print("  %-25s %6.3f %5.1f %4d   %.4f" % (
        title, found[:, 0].mean(), np.percentile(found[:, 0], 99),
        found[:, 0].max(), found[:, 1].mean()))
    sys.stdout.flush()


def table(title, folder, data, margins, extra, side, blob, sources, count):
    print(title)
    print("  side / scale of luma      bits that differ: mean, 99 %%, most, of "
          "%d; input values" % count)
    total = {m: [] for m in margins}
    for ratio in RATIOS:
        rng = random.Random(int(ratio * 10))
        files = list(photographs(int(round(ratio * side)), *sources, count,
                                 rng))
        for m in margins:
            db = both(folder, data, extra, extra + [("reduced_jpeg", str(m))])
            found = [pair(db, (f, "full"), (f, "reduced"), blob)
                     for f in files]
            scale = next((n for n in (1, 2, 4)
                          if int(round(ratio * side)) * n >= 8 * m * side), 8)
            if scale < 8:
                total[m].extend(found)
            line("%6.1f   margin %d: %d/8" % (ratio, m, scale), found)
    for m in margins:
        line("margin %d, all reduced" % m, total[m])


def noise(folder, data, side, blob, sources, count):
    print("input values that go up or down by one")
    db = both(folder, data, [], [])
    rng = np.random.default_rng(1)
    pictures = [np.asarray(Image.open(io.BytesIO(f)).resize(
        (side, side), Image.BOX)).astype(int)
        for f in photographs(6 * side, *sources, 8 * count, random.Random(1))]
    for share in SHARES:
        found = []
        for a in pictures:
            b = a + (rng.random(a.shape) < share) * rng.choice((-1, 1), a.shape)
            found.append(pair(db, *((png(x), "full") for x in (a, b)), blob))
        line("%g of them" % share, found)


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def alone(data, head):
    """The model with one of its heads."""
    def edit(network):
        network["heads"] = [h for h in network["heads"] if h["name"] == head]
    return preprocess.rewritten(data, edit)


def bits(db, name, files):
    """Bits -1 and 1 of each file."""
    codes = [np.frombuffer(db.execute("SELECT img_hash(?, ?)", (
        f, name)).fetchone()[0], np.uint8) for f in files]
    return np.unpackbits(np.stack(codes), axis=1).astype(np.float32) * 2 - 1


def copies(folder, data, margin, sources, count):
    sys.path.insert(0, os.path.join(ROOT, "tests", "eval"))
    from edits import KINDS, edited
    db = both(folder, alone(data, "copy-64"), [("reduced_jpeg", "")],
              [("reduced_jpeg", margin)])
    rng = random.Random(1)
    files = [next(photographs(rng.randint(512, 1600), sources[0][i:i + 1],
                              sources[1] if i % 2 else [], 1, rng))
             for i in range(count)]
    names = "full", "reduced"
    asked = {n: bits(db, n, files) for n in names}
    print("copy-64, %d photographs; at 1e-4 (within 8 bits)" % count)
    print("%-12s %16s %16s" % (("",) + names))
    total = {n: [] for n in names}
    for kind in KINDS:
        versions = [edited(f, kind, i) for i, f in enumerate(files)]
        line = "%-12s" % kind.__name__
        for n in names:
            like = (64 - bits(db, n, versions) @ asked[n].T) / 2
            same = like.diagonal().copy()
            others = np.sort(like[~np.eye(count, dtype=bool)])
            found = same < others[int(1e-4 * len(others))]
            total[n].append((found.mean(), (same <= 8).mean()))
            line += "  %.4f (%.4f)" % total[n][-1]
        print(line, flush=True)
    print("%-12s" % "all" + "".join("  %.4f (%.4f)" % tuple(
        np.mean(total[n], axis=0)) for n in names))


def main():
    if sys.argv[1:2] == ["copies"]:
        count = int(sys.argv[2]) if len(sys.argv) > 2 else 200
        path = os.path.join(HERE, "photo-64.safetensors")
    else:
        count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
        path = sys.argv[2] if len(sys.argv) > 2 else os.path.join(
            HERE, "cifar10-48.safetensors")
    network = {}
    with open(path, "rb") as f:
        data = preprocess.rewritten(f.read(), network.update)
    margin = str(network["preprocess"]["reduced_jpeg"])
    data = preprocess.change(data, [("reduced_jpeg", "")])
    large = [Image.open(p).convert("RGB") for p in sorted(glob.glob(PHOTOS))]
    sources = small_photos(count), large
    if not sources[0] and not large:
        print("skipped: no photographs")
        return
    with tempfile.TemporaryDirectory() as folder:
        if sys.argv[1:2] == ["copies"]:
            copies(folder, data, margin, sources, count)
            return
        margins = [int(m) for m in sys.argv[3:]] or [1, 2, 4]
        side, blob = (network["input"][k] for k in ("height", "name"))
        data = alone(data, network["heads"][0]["name"])
        table("%s, %d x %d" % (os.path.basename(path), side, side), folder,
              data, margins, [], side, blob, sources, count)
        table("the same at %d x %d, the centre" % (2 * side, 2 * side), folder,
              data, margins, [("size", "[%d,%d]" % (2 * side, 2 * side))],
              2 * side, blob, sources, count)
        noise(folder, data, side, blob, sources, count)


if __name__ == "__main__":
    main()
