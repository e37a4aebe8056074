"""Pictures for the recipes: SQLite files with images(id, split, label, image).

Decoded by Pillow once and kept as bytes; ids give the order, so that the same
file gives the same training.
"""
import io
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image


def decoded(image):
    with Image.open(io.BytesIO(image)) as picture:
        return np.asarray(picture.convert('RGB'))


def load(paths, split, classes=None, limit=-1):
    """(uint8 [n, 3, h, w], labels [n]) of the rows of a split, in the order of
    the files and their ids; of the labels in `classes` alone, if given.  At
    most `limit` of each file are read, -1 for all."""
    images, labels = [], []
    for path in paths:
        db = sqlite3.connect('file:%s?mode=ro' % path, uri=True)
        for image, label in db.execute(
                'SELECT image, label FROM images WHERE split = ? ORDER BY id '
                'LIMIT ?', (split, limit)):
            if classes is not None and label not in classes:
                continue
            images.append(image)
            labels.append(label)
        db.close()
    if not images:
        raise SystemExit('no images of split %s in %s' % (split, paths))
    with ThreadPoolExecutor() as pool:   # Pillow decodes without Python's lock
        pixels = np.stack(list(pool.map(decoded, images)))
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return x, torch.tensor(labels)


def class_names(path):
    db = sqlite3.connect('file:%s?mode=ro' % path, uri=True)
    names = [r[0] for r in db.execute(
        'SELECT name FROM classes ORDER BY label')]
    db.close()
    return names
