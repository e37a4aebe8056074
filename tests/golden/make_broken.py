#!/usr/bin/python3
"""Make the files of tests/golden/broken: pictures that must be refused.

Each is one of make_pictures.py's with one thing wrong; broken.txt says which
words the error must hold.  They are committed; run this only to add one.
"""
import os
import struct
import sys
import zlib

import numpy as np
from PIL import Image
from make_pictures import (GREY, H, HERE, RGB, adam7, chunk, cjpeg, drawing,
                           encode, filtered, gif, lzw, pack, png, report,
                           scans, segments)

BROKEN = os.path.join(HERE, "broken")


def units(jpeg):
    """The segments of a JPEG, each scan with its data, without SOI, EOI."""
    at, out = 2, []
    while jpeg[at + 1] != 0xd9:
        end = at + 2 + struct.unpack(">H", jpeg[at + 2:at + 4])[0]
        if jpeg[at + 1] == 0xda:
            while jpeg[end] != 0xff or not (
                    jpeg[end + 1] in (0xc4, 0xd9, 0xda, 0xdb)):
                end += 1
        out.append(jpeg[at:end])
        at = end
    return out


def whole(parts):
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


def without(parts, *kinds):
    return whole([p for p in parts if p[1] not in kinds])


def patched(parts, kind, at, data, nth=0):
    """The n-th segment of a kind with other bytes at an offset."""
    out, seen = [], 0
    for p in parts:
        if p[1] == kind:
            if seen == nth:
                p = p[:at] + data + p[at + len(data):]
            seen += 1
        out.append(p)
    return whole(out)


def broken_jpegs(put):
    small = Image.fromarray(drawing(17, 15))
    q = ["-quality", "85"]
    base = cjpeg(*q, image=small)
    parts = units(base)
    put("cut.jpg", base[:-20], "its data ends early")
    put("surplus.jpg", base[:-2] + b"\x55\xff\0\x55" + base[-2:],
        "it has more data than blocks")
    put("no-scan.jpg", without(parts, 0xda), "ends before its first scan")
    put("no-frame.jpg", without(parts, 0xc0), "a scan has no frame")
    put("two-frames.jpg", whole(parts[:-1] + [p for p in parts
                                              if p[1] == 0xc0] + parts[-1:]),
        "it has two frames")
    put("no-huffman.jpg", without(parts, 0xc4), "a Huffman table is missing")
    put("no-quantisers.jpg", without(parts, 0xdb),
        "a quantisation table is missing")
    put("zero-quantiser.jpg", patched(parts, 0xdb, 9, b"\0"),
        "a quantiser is 0")
    put("long-segment.jpg", patched(parts, 0xdb, 2, b"\xff\xff"),
        "it ends within a segment")
    put("short-segment.jpg", patched(parts, 0xc4, 2, b"\0\1"),
        "a segment has no length")
    put("too-tall.jpg", patched(parts, 0xc0, 5, b"\0\x60"),
        "its data ends early")
    put("no-width.jpg", patched(parts, 0xc0, 7, b"\0\0"),
        "its header gives no size")
    for kind, name in [(0xc3, "lossless"), (0xc5, "hierarchical"),
                       (0xc9, "arithmetic-coded"), (0xde, "hierarchical")]:
        put("sof-%x.jpg" % kind, patched(parts, 0xc0, 1, bytes([kind])),
            name + " JPEG is not supported")
    put("arithmetic.jpg", cjpeg(*q, "-arithmetic", image=small),
        "arithmetic-coded JPEG is not supported")
    put("12-bits.jpg", patched(parts, 0xc0, 4, b"\x0c"),
        "JPEG of 12 bits is not supported")
    frame = [p for p in parts if p[1] == 0xc0][0]
    two = frame[:2] + b"\0\x0e" + frame[4:9] + b"\2" + frame[10:16]
    put("2-components.jpg", whole([two if p[1] == 0xc0 else p
                                   for p in parts]),
        "JPEG of 2 components is not supported")
    put("fractional.jpg", patched(parts, 0xc0, 11, b"\x31\0\2\x21"),
        "fractional sampling")
    put("too-many-blocks.jpg", patched(parts, 0xc0, 11, b"\x44"),
        "its sampling factors are too large")
    put("same-id.jpg", patched(parts, 0xc0, 13, b"\1"),
        "its frame header is malformed")
    put("unknown-component.jpg", patched(parts, 0xda, 5, b"\x09"),
        "a scan header is malformed")
    put("spectral.jpg", patched(parts, 0xda, 11, b"\1"),
        "a scan header is malformed")
    put("unknown-marker.jpg", whole([b"\xff\xf0\0\2"] + parts),
        "a marker is unknown or missing")
    put("between-segments.jpg", whole(parts[:-1] + [b"\0"] + parts[-1:]),
        "a marker is unknown or missing")
    put("late-restart.jpg", whole(parts)[:-2] + b"\xff\xd0\xff\xd9",
        "a marker is unknown or missing")
    put("many-codes.jpg", patched(parts, 0xc4, 5, b"\3"),
        "a Huffman table is malformed")
    put("long-table.jpg", patched(parts, 0xc4, 20, b"\xff"),
        "a Huffman table is malformed")
    # The second table codes AC; its first symbols are the usual ones.
    put("run.jpg", patched(parts, 0xc4, 21, b"\xf1\xf1\xf1\xf1", 1),
        "a run of zeros goes past its block")
    put("no-meaning.jpg", patched(parts, 0xc4, 21, b"\x20\x30\x40\x50", 1),
        "a code that is in no table")
    noise = np.random.RandomState(3).randint(0, 2, (16, 16)) * 255
    noise = Image.fromarray(noise.astype(np.uint8)).convert("RGB")
    for kind in ["-baseline", "-progressive"]:
        loud = units(cjpeg("-quality", "90", kind, "-grayscale",
                           image=noise))
        put("loud%s.jpg" % kind, patched(loud, 0xdb, 5, b"\xff" * 64),
            "coefficients that no picture of 8 bits has")
    restart = cjpeg(*q, "-restart", "1B", image=small)
    put("restart-order.jpg", restart.replace(b"\xff\xd0", b"\xff\xd1"),
        "restart marker is missing or out of order")
    put("restart-missing.jpg", restart.replace(b"\xff\xd0", b""),
        "restart marker is missing or out of order")
    separate = units(scans("0;\n1;\n2;\n", *q, image=small))
    put("component-missing.jpg", whole(separate[:-1]),
        "a component is missing")
    put("component-twice.jpg", whole(separate + separate[-1:]),
        "a scan repeats or skips another")
    broken_progressive(put, small)
    cmyk = units(encode(small.convert("CMYK"), "jpeg", quality=85))
    put("cmyk-no-adobe.jpg", without(cmyk, 0xee), "without Adobe's marker")
    put("cmyk-other.jpg", patched(cmyk, 0xee, 15, b"\1"),
        "without Adobe's marker")
    late = b"\xff\xee" + cmyk[[p[1] for p in cmyk].index(0xee)][2:15] + b"\2"
    put("adobe-changes.jpg", whole(cmyk + [late]),
        "its colours change between scans")


def broken_progressive(put, small):
    text = ("0 1 2: 0-0, 0, 1;\n0: 1-63, 0, 2;\n1: 1-63, 0, 0;\n"
            "2: 1-63, 0, 0;\n0: 1-63, 2, 1;\n0 1 2: 0-0, 1, 0;\n"
            "0: 1-63, 1, 0;\n")
    parts = units(scans(text, "-quality", "85", image=small))
    at = [i for i, p in enumerate(parts) if p[1] == 0xda]

    def kept(*which):
        # A scan with the tables before it.
        out = parts[:at[0]]
        for i in which:
            begin = at[i - 1] + 1 if i else at[0]
            out = out + parts[begin:at[i] + 1]
        return out

    put("progressive-no-dc.jpg", whole(kept(1, 2)),
        "a scan comes before the one it builds on")
    put("progressive-order.jpg", whole(kept(0, 4)),
        "a scan repeats or skips another")
    put("progressive-repeat.jpg", whole(kept(0, 1, 1)),
        "a scan repeats or skips another")
    put("progressive-skip.jpg", whole(kept(0, 1, 6)),
        "a scan repeats or skips another")
    put("progressive-cut.jpg", whole(kept(0, 1, 2, 3, 4, 5))[:-2],
        "it ends early")
    put("progressive-step.jpg",
        patched(parts, 0xda, 9, b"\x20", 4), "a scan header is malformed")
    put("progressive-dc-and-ac.jpg",
        patched(parts, 0xda, 12, b"\5", 0), "a scan header is malformed")
    table = bytearray(parts[[p[1] for p in parts].index(0xdb)])
    table[5] ^= 1
    put("progressive-quantisers.jpg",
        whole(parts[:at[1] + 1] + [bytes(table)] + parts[at[1] + 1:]),
        "a quantisation table changes between scans")
    # A flat picture: a scan of one AC coefficient is the code for "nothing".
    flat = units(scans("0: 0-0, 0, 0;\n0: 1-63, 0, 3;\n0: 1-63, 3, 2;\n",
                       "-quality", "85", "-grayscale",
                       image=Image.new("L", (8, 8), 40)))
    nothing = [flat[-1][:7] + bytes([k, k, bits << 4 | bits - 1])
               + flat[-1][10:]
               for bits in (2, 1) for k in range(1, 64)]
    many = whole(flat + nothing + nothing[:1])
    put("progressive-scans.jpg", many, "more than 128 scans")


def broken_pngs(put):
    rgb = np.array(RGB).astype(int)[:9, :7].reshape(9, -1)
    rows = filtered(rgb, 8, 3)
    good = png(7, 9, 8, 2, rows)
    short = "the image is damaged"
    put("short.png", png(7, 9, 8, 2, rows[:-1]), short)
    put("short-interlaced.png",
        png(7, 9, 8, 2, adam7(rgb, 8, 3)[:-1], interlace=1), short)
    put("inflates.png", png(1, 1, 8, 0, bytes(3000000)),
        "far more data than its size allows")
    put("filter.png", png(7, 9, 8, 2, b"\5" + rows[1:]), "the image is damaged")
    put("bits.png", png(7, 9, 3, 2, rows), "IHDR is malformed")
    put("no-size.png", png(0, 9, 8, 2, rows), "IHDR is malformed")
    put("no-palette.png", png(7, 9, 8, 3, rows), "it has no palette")
    put("palette-size.png", png(7, 9, 8, 3, rows, chunk(b"PLTE", bytes(5))),
        "PLTE is malformed")
    put("trns-size.png", png(7, 9, 8, 2, rows, chunk(b"tRNS", bytes(5))),
        "tRNS is malformed")
    put("critical.png", png(7, 9, 8, 2, rows, chunk(b"ABCD", b"")),
        "an unknown critical chunk")
    put("cgbi.png", good[:8] + chunk(b"CgBI", bytes(4)) + good[8:], "CgBI")
    put("no-ihdr.png", good[:8] + good[33:], "does not begin with IHDR")
    put("no-idat.png", good[:33] + chunk(b"IEND", b""), "it has no IDAT")
    put("empty-idat.png", good[:33] + chunk(b"IDAT", b"") + good[33:],
        "its first IDAT is empty")
    put("no-iend.png", good[:-12], "it ends early")
    put("checksum.png", good[:-17] + bytes([good[-17] ^ 1]) + good[-16:],
        "a checksum does not hold")
    put("idat-apart.png",
        good[:-12] + chunk(b"tEXt", b"a\0b") + chunk(b"IDAT", b"")
        + good[-12:], "IDAT is split")
    put("long-chunk.png", good[:33] + b"\xff\xff\xff\xff" + good[37:],
        "it ends early")
    put("not-zlib.png", good[:33] + chunk(b"IDAT", bytes(50)) + good[-12:],
        "the image is damaged")


def broken_gifs_and_bmps(put):
    v = np.array(GREY).astype(int)[:8, :8] >> 3
    palette = bytes(range(96))
    good = gif((8, 8), (0, 0, 8, 8), v, 32, palette)
    put("short.gif", gif((8, 8), (0, 0, 8, 9), np.concatenate(
        [v, v[:1]]), 32, palette).replace(
            struct.pack("<HHB", 8, 9, 0) + lzw(np.concatenate(
                [v, v[:1]]).ravel(), 5),
            struct.pack("<HHB", 8, 9, 0) + lzw(v.ravel(), 5)),
        "its frame ends early")
    put("cut.gif", good[:-3], "ends")
    put("no-frame.gif", good[:13 + 96] + b";;", "unknown block")
    put("no-palette.gif", good[:10] + b"\0" + good[11:13] + good[13 + 96:],
        "it has no palette")
    at = good.index(struct.pack("<HHB", 8, 8, 0), 13) + 5
    put("code-size.gif", good[:at] + b"\x0c" + good[at + 1:],
        "code size is out of range")
    put("code.gif", good[:at + 2] + b"\xe0\x7f" + good[at + 4:],
        "a code that is in no table")
    put("no-size.gif", good[:at - 5] + bytes(4) + good[at - 1:],
        "its frame has no size")

    small = RGB.crop((0, 0, 9, 5))
    eight = encode(small.convert("P", palette=Image.Palette.ADAPTIVE), "bmp")
    # A palette of four colours, and indices up to 4.
    put("index.bmp", eight[:10] + struct.pack("<I", 54 + 16)
        + eight[14:54 + 16] + b"\4" * 60, "a pixel is not in the palette")
    plain = encode(small, "bmp")
    put("cut.bmp", plain[:-1], "its rows are not in the file")
    put("offset.bmp", plain[:10] + struct.pack("<I", 20) + plain[14:],
        "its rows are not in the file")
    put("rle.bmp", eight[:30] + b"\1" + eight[31:], "compressed rows")
    put("header.bmp", plain[:14] + b"\x34" + plain[15:], "this size")
    put("depth.bmp", plain[:28] + b"\2" + plain[29:], "depth")
    put("os2.bmp", b"BM" + struct.pack("<IHHI", 100, 0, 0, 32)
        + struct.pack("<IHHHH", 12, 2, 2, 1, 1) + bytes(14), "OS/2")
    put("no-size.bmp", plain[:18] + bytes(4) + plain[22:], "no size")
    put("most-negative.bmp", plain[:22] + b"\0\0\0\x80" + plain[26:],
        "no size")


def broken():
    lines = []

    def put(name, data, why):
        with open(os.path.join(BROKEN, name), "wb") as f:
            f.write(data)
        lines.append("%s %s\n" % (name, why))

    broken_jpegs(put)
    broken_pngs(put)
    broken_gifs_and_bmps(put)
    with open(os.path.join(HERE, "broken.txt"), "w") as f:
        f.writelines(lines)


def main():
    os.makedirs(BROKEN, exist_ok=True)
    broken()
    report(BROKEN)


if __name__ == "__main__":
    sys.exit(main())
