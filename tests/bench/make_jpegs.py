#!/usr/bin/python3
"""Write the JPEGs that bench_decode measures: make_jpegs.py FOLDER

A photograph of the package mate-backgrounds (a drawing where that is not
installed), scaled up, and noise as a sensor has it, so that the files are as
long as those of a camera: 4032 x 3024 at quality 92, about 5 MB, baseline and
progressive, and one of 100 megapixels.  Files that are there are left alone.
Needs python3-pil and python3-numpy.
"""
import os
import sys

import numpy as np
from PIL import Image

Image.MAX_IMAGE_PIXELS = None
PHOTO = "/usr/share/backgrounds/mate/nature/Garden.jpg"


def source():
    if os.path.exists(PHOTO):
        return Image.open(PHOTO).convert("RGB")
    y, x = np.mgrid[0:1024, 0:1365] / 40.0
    rgb = [np.sin(x * (1 + c) + np.cos(y * 2)) * np.cos(y - c * x)
           for c in range(3)]
    return Image.fromarray((127 + 120 * np.stack(rgb, -1)).astype(np.uint8))


def photo(width, height, noise):
    """Scaled to cover width x height, with noise; in strips, to save memory."""
    image = source()
    scale = max(width / image.width, height / image.height)
    image = image.resize((int(image.width * scale + 1),
                          int(image.height * scale + 1)), Image.BICUBIC)
    image = image.crop((0, 0, width, height))
    rng = np.random.RandomState(5)
    for top in range(0, height, 256):
        box = (0, top, width, min(top + 256, height))
        strip = np.asarray(image.crop(box)).astype(np.float32)
        strip += rng.standard_normal(strip.shape[:2] + (1,)) * noise
        strip += rng.standard_normal(strip.shape) * noise / 3
        image.paste(Image.fromarray(np.clip(strip, 0, 255).astype(np.uint8)),
                    box[:2])
    return image


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    wanted = [
        ("12mp.jpg", 4032, 3024, dict(quality=92)),
        ("12mp-progressive.jpg", 4032, 3024,
         dict(quality=92, progressive=True)),
        ("12mp-444.jpg", 4032, 3024, dict(quality=92, subsampling=0)),
        ("12mp-quality-75.jpg", 4032, 3024, dict(quality=75)),
        ("1mp.jpg", 1152, 864, dict(quality=85)),
        ("100mp.jpg", 11546, 8660, dict(quality=92)),
    ]
    images = {}
    for name, width, height, options in wanted:
        path = os.path.join(folder, name)
        if os.path.exists(path):
            continue
        if (width, height) not in images:
            images = {(width, height): photo(width, height, 7)}
        images[width, height].save(path + ".part", "JPEG", **options)
        os.rename(path + ".part", path)


if __name__ == "__main__":
    main()
