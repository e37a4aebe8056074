#!/usr/bin/python3
"""Draw the pictures of tests/golden/pictures.

They are committed; run this only to add one, since another version of an
encoder may write other bytes.  Needs python3-pil, python3-numpy and
libjpeg-turbo-progs.  The hashes in pictures.txt come from the decoder under
test (`test_picture --print`) after its pixels were compared with PIL's.
"""
import io
import os
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy as np
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "pictures")
BROKEN = os.path.join(HERE, "broken")
W, H = 33, 47         # of a JPEG or a GIF
PW, PH = 19, 23       # of a PNG or a BMP, which are larger in bytes


def save(name, data):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data)


def drawing(w=W, h=H):
    """Gradients, edges, a disc and some noise, different in each channel."""
    y, x = np.mgrid[0:h, 0:w].astype(float)
    rng = np.random.RandomState(7)
    red = 255 * x / max(w - 1, 1)
    green = 255 * y / max(h - 1, 1)
    blue = 127 + 127 * np.sin(x * 0.7 + y * 0.3)
    disc = (x - w * 0.4) ** 2 + (y - h * 0.6) ** 2 < (min(w, h) * 0.25) ** 2
    rgb = np.stack([red, green, blue], -1)
    rgb[disc] = 255 - rgb[disc]
    rgb[:, w // 2:w // 2 + 2] = (250, 10, 20)
    rgb += rng.randn(h, w, 3) * 6
    return np.clip(rgb, 0, 255).astype(np.uint8)


RGB = Image.fromarray(drawing())
GREY = RGB.convert("L")


def tool(command, data):
    return subprocess.run(command, input=data, stdout=subprocess.PIPE,
                          check=True).stdout


def ppm(image):
    f = io.BytesIO()
    image.save(f, "ppm")
    return f.getvalue()


def cjpeg(*arguments, image=RGB):
    return tool(["cjpeg", *arguments], ppm(image))


def encode(image, format, **options):
    f = io.BytesIO()
    image.save(f, format, **options)
    return f.getvalue()


def scans(text, *arguments, image=RGB):
    with tempfile.NamedTemporaryFile("w") as f:
        f.write(text)
        f.flush()
        return cjpeg("-scans", f.name, *arguments, image=image)


def segments(jpeg):
    """(marker, bytes with the marker) up to the first scan, then the rest."""
    at, out = 2, []
    while jpeg[at + 1] != 0xda:
        n = struct.unpack(">H", jpeg[at + 2:at + 4])[0] + 2
        out.append((jpeg[at + 1], jpeg[at:at + n]))
        at += n
    return out, jpeg[at:]


def tiff(orientation, order="<", entries_before=0, shift=0):
    out = b"II*\0" if order == "<" else b"MM\0*"
    out += struct.pack(order + "I", 8 + shift) + b"\xee" * shift
    out += struct.pack(order + "H", entries_before + 1)
    for i in range(entries_before):
        out += struct.pack(order + "HHII", 0x10f + i, 4, 1, 99)
    out += struct.pack(order + "HHIHH", 0x112, 3, 1, orientation, 0)
    return out + struct.pack(order + "I", 0)


def with_exif(jpeg, tiffs):
    app1 = b""
    for t in tiffs:
        data = b"Exif\0\0" + t
        app1 += b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
    return jpeg[:2] + app1 + jpeg[2:]


def jpegs():
    q = ["-quality", "85"]
    for name, sample in [("444", "1x1"), ("422", "2x1"), ("420", "2x2"),
                         ("440", "1x2"), ("411", "4x1"), ("441", "1x4"),
                         ("410", "4x2")]:
        save("%s.jpg" % name, cjpeg(*q, "-sample", sample))
        save("%s-progressive.jpg" % name,
             cjpeg(*q, "-progressive", "-sample", sample))
    save("luma-low.jpg", cjpeg(*q, "-sample", "1x1,2x2,2x2"))
    save("grey.jpg", cjpeg(*q, "-grayscale"))
    save("grey-2x2.jpg", cjpeg(*q, "-grayscale", "-sample", "2x2"))
    save("grey-progressive.jpg", cjpeg(*q, "-grayscale", "-progressive"))
    save("restart.jpg", cjpeg(*q, "-restart", "2B"))
    save("restart-row.jpg", cjpeg(*q, "-restart", "1", "-sample", "1x1"))
    last = cjpeg(*q, "-restart", "3B")   # a multiple of 9 units
    save("restart-last.jpg", last[:-2] + b"\xff\xd2" + last[-2:])
    save("restart-progressive.jpg",
         cjpeg(*q, "-progressive", "-restart", "1B"))
    save("optimized.jpg", cjpeg(*q, "-optimize"))
    save("quality-1.jpg", cjpeg("-quality", "1"))
    save("quality-1-progressive.jpg", cjpeg("-quality", "1", "-progressive"))
    save("quality-100.jpg", cjpeg("-quality", "100", "-sample", "1x1"))
    save("separate.jpg", scans("0;\n1;\n2;\n", *q))
    save("two-and-one.jpg", scans("0 1;\n2;\n", *q))
    save("dc-and-some.jpg", scans("0 1 2: 0-0, 0, 0;\n0: 1-9, 0, 2;\n", *q))
    save("refined.jpg", scans(
        "0 1 2: 0-0, 0, 3;\n0: 1-63, 0, 3;\n1: 1-63, 0, 2;\n2: 1-63, 0, 1;\n"
        "0 1 2: 0-0, 3, 2;\n0: 1-63, 3, 2;\n1: 1-63, 2, 1;\n2: 1-63, 1, 0;\n"
        "0 1 2: 0-0, 2, 1;\n0 1 2: 0-0, 1, 0;\n"
        "0: 1-63, 2, 1;\n1: 1-63, 1, 0;\n0: 1-63, 1, 0;\n",
        "-quality", "97"))
    save("rgb.jpg", cjpeg(*q, "-rgb"))
    for w, h in [(1, 1), (1, 47), (33, 1), (8, 8), (16, 16), (17, 15)]:
        save("%dx%d.jpg" % (w, h),
             cjpeg(*q, image=Image.fromarray(drawing(w, h))))
    noise = np.random.RandomState(3).randint(0, 2, (48, 48, 3)) * 255
    noise = Image.fromarray(noise.astype(np.uint8))
    save("noise.jpg", cjpeg("-quality", "95", "-sample", "1x1", image=noise))
    save("noise-progressive.jpg",
         cjpeg("-quality", "60", "-sample", "1x1", "-progressive",
               image=noise))
    whole = cjpeg(*q)
    save("no-eoi.jpg", whole[:-2])
    save("no-eoi-progressive.jpg", cjpeg(*q, "-progressive")[:-2])
    save("trailing.jpg", whole + b"\xff\x00 not of the picture \xff\xd8\xff")
    save("padded-scan.jpg", whole[:-2] + bytes(8) + whole[-2:])
    save("padded-head.jpg", whole[:20] + bytes(5) + whole[20:])
    head, rest = segments(cjpeg(*q, "-restart", "2B"))
    filled = b"".join(b"\xff\xff" + s for _, s in head)
    save("fill-bytes.jpg", whole[:2] + filled
         + rest.replace(b"\xff\xd1", b"\xff\xff\xff\xff\xd1"))
    head, rest = segments(whole)
    extended = b"".join(b"\xff\xc1" + s[2:] if m == 0xc0 else s
                        for m, s in head)
    save("extended.jpg", whole[:2] + extended + rest)
    wide = b""
    for m, s in head:
        if m == 0xdb:
            tables = s[4:]
            s = b""
            for i in range(0, len(tables), 65):
                t = tables[i:i + 65]
                s += bytes([0x10 | t[0]])
                s += b"".join(struct.pack(">H", v) for v in t[1:])
            s = b"\xff\xdb" + struct.pack(">H", len(s) + 2) + s
        wide += s
    save("wide-quantisers.jpg", whole[:2] + wide + rest)
    cmyk = RGB.convert("CMYK")
    cmyk.putdata([(c, m, y, 40 + (c + m) // 8) for c, m, y, _ in
                  cmyk.getdata()])
    save("cmyk.jpg", encode(cmyk, "jpeg", quality=85))
    save("cmyk-progressive.jpg",
         encode(cmyk, "jpeg", quality=85, progressive=True))
    # YCCK: Adobe's marker says that the first three are YCbCr, of the colours
    # inverted.  PIL inverts what it writes.
    inverted = Image.fromarray(255 - drawing()).convert("YCbCr")
    planes = [Image.eval(band, lambda v: 255 - v) for band in inverted.split()]
    ycck = Image.merge("CMYK", planes + [Image.new("L", RGB.size, 30)])
    data = encode(ycck, "jpeg", quality=85)
    at = data.index(b"Adobe") + 11
    save("ycck.jpg", data[:at] + b"\2" + data[at + 1:])
    for o in range(1, 9):
        save("exif-%d.jpg" % o,
             with_exif(whole, [tiff(o, "<>"[o & 1], o % 3, 5 * (o & 2))]))
    save("exif-first.jpg", with_exif(whole, [tiff(6), tiff(3)]))
    save("exif-out-of-range.jpg", with_exif(whole, [tiff(9)]))
    bad = tiff(6)
    save("exif-cut.jpg", with_exif(whole, [bad[:12]]))
    save("exif-far.jpg", with_exif(whole, [bad[:4] + b"\xff" * 4 + bad[8:]]))


def chunk(name, data):
    return (struct.pack(">I", len(data)) + name + data
            + struct.pack(">I", zlib.crc32(name + data)))


def png(w, h, depth, color, rows, extra=b"", interlace=0, after=b"",
        split=None):
    data = zlib.compress(rows, 9)
    parts = [data] if not split else [data[i:i + split] for i in
                                      range(0, len(data), split)]
    return (b"\x89PNG\r\n\x1a\n"
            + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, color, 0, 0,
                                         interlace))
            + extra + b"".join(chunk(b"IDAT", p) for p in parts) + after
            + chunk(b"IEND", b""))


def pack(samples, depth):
    """Rows of samples, (h, w * channels), as PNG stores them."""
    if depth == 16:
        return [r.astype(">u2").tobytes() for r in samples]
    if depth == 8:
        return [r.astype(np.uint8).tobytes() for r in samples]
    out = []
    for r in samples:
        bits = ((r[:, None] >> np.arange(depth - 1, -1, -1)) & 1).ravel()
        out.append(np.packbits(bits.astype(np.uint8)).tobytes())
    return out


def filtered(samples, depth, channels):
    """All five filters in turn."""
    step = max(1, depth * channels // 8)
    before, out = None, b""
    for i, row in enumerate(pack(samples, depth)):
        up = before or bytes(len(row))
        line = bytearray()
        kind = i % 5
        for j, v in enumerate(row):
            a = row[j - step] if j >= step else 0
            b, c = up[j], up[j - step] if j >= step else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b),
                        (abs(p - c), 2, c))[2]
            line.append((v - [0, a, b, (a + b) // 2, paeth][kind]) & 255)
        out += bytes([kind]) + bytes(line)
        before = row
    return out


def adam7(samples, depth, channels):
    h, w = samples.shape[0], samples.shape[1] // channels
    cube = samples.reshape(h, w, channels)
    out = b""
    for x, y, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8),
                         (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
                         (0, 1, 1, 2)]:
        part = cube[y::dy, x::dx]
        if part.size:
            out += filtered(part.reshape(part.shape[0], -1), depth, channels)
    return out


def pngs():
    rgb = drawing(PW, PH).astype(int)
    grey = np.array(Image.fromarray(drawing(PW, PH)).convert("L")).astype(int)
    alpha = (np.arange(PW)[None, :] * 8 + np.zeros((PH, 1), int)) % 256
    low = np.arange(PH * PW * 4).reshape(PH, PW, 4) * 5 % 256
    samples = {
        0: grey[..., None],
        2: rgb,
        4: np.stack([grey, alpha], -1),
        6: np.concatenate([rgb, alpha[..., None]], -1),
    }
    names = {0: "grey", 2: "rgb", 4: "grey-alpha", 6: "rgb-alpha"}
    for color, s in samples.items():
        n = s.shape[2]
        for depth in (8, 16):
            v = s if depth == 8 else s * 256 + low[..., :n]
            v = v.reshape(PH, -1)
            name = "%s-%d" % (names[color], depth)
            save(name + ".png",
                 png(PW, PH, depth, color, filtered(v, depth, n)))
            save(name + "-interlaced.png",
                 png(PW, PH, depth, color, adam7(v, depth, n), interlace=1))
    for depth in (1, 2, 4):
        v = grey >> (8 - depth)
        save("grey-%d.png" % depth, png(PW, PH, depth, 0,
                                        filtered(v, depth, 1)))
        save("grey-%d-interlaced.png" % depth,
             png(PW, PH, depth, 0, adam7(v, depth, 1), interlace=1))
    rng = np.random.RandomState(11)
    for depth in (1, 2, 4, 8):
        v = grey >> (8 - depth)
        plte = chunk(b"PLTE", rng.bytes(3 << depth))
        trns = chunk(b"tRNS", bytes([0, 128, 255, 7][:1 << depth]))
        name = "palette-%d" % depth
        save(name + ".png", png(PW, PH, depth, 3, filtered(v, depth, 1), plte))
        save(name + "-trns.png", png(PW, PH, depth, 3, adam7(v, depth, 1),
                                     plte + trns, interlace=1))
    v = (grey >> 3) + 8
    save("palette-short.png", png(PW, PH, 8, 3, filtered(v, 8, 1),
                                  chunk(b"PLTE", rng.bytes(3 * 20))))
    save("grey-trns.png", png(PW, PH, 4, 0, filtered(grey >> 4, 4, 1),
                              chunk(b"tRNS", b"\0\7")))
    v = np.round(rgb / 64).astype(int) * 60
    key = chunk(b"tRNS", struct.pack(">HHH", *v[10, 10]))
    save("rgb-trns.png", png(PW, PH, 8, 2, filtered(v.reshape(PH, -1), 8, 3),
                             key))
    v16 = v * 257
    key = chunk(b"tRNS", struct.pack(">HHH", *v16[10, 10]))
    save("rgb-16-trns.png",
         png(PW, PH, 16, 2, filtered(v16.reshape(PH, -1), 16, 3), key))
    rows = filtered(rgb.reshape(PH, -1), 8, 3)
    save("split.png", png(PW, PH, 8, 2, rows, chunk(b"tEXt", b"a\0b"),
                          split=100))
    save("trailing.png", png(PW, PH, 8, 2, rows) + b"more")
    for o in (3, 6):
        exif = chunk(b"eXIf", tiff(o, "<>"[o & 1]))
        save("exif-%d.png" % o, png(PW, PH, 8, 2, rows,
                                    exif if o == 3 else b"",
                                    after=exif if o == 6 else b""))
    save("stored.png", png(PW, PH, 8, 2, rows, split=900))
    save("1x1.png", png(1, 1, 1, 0, b"\0\x80"))
    save("1x1-interlaced.png", png(1, 1, 8, 6, b"\0\1\2\3\4", interlace=1))


def lzw(indices, size, defer=False):
    """GIF's LZW; with defer a full table is kept."""
    clear = 1 << size
    out, acc, count = bytearray(), 0, 0

    def put(code, width):
        nonlocal acc, count
        acc |= code << count
        count += width
        while count >= 8:
            out.append(acc & 255)
            acc >>= 8
            count -= 8

    def fresh():
        return {(i,): i for i in range(clear)}, clear + 2, size + 1

    table, following, width = fresh()
    put(clear, width)
    string = ()
    for i in indices:
        longer = string + (int(i),)
        if longer in table:
            string = longer
            continue
        put(table[string], width)
        if following < 4096:
            table[longer] = following
            if following == 1 << width and width < 12:
                width += 1
            following += 1
        elif not defer:
            put(clear, width)
            table, following, width = fresh()
        string = (int(i),)
    put(table[string], width)
    if following == 1 << width and width < 12:
        width += 1
    put(clear + 1, width)
    if count:
        out.append(acc & 255)
    chain = b"".join(bytes([len(out[i:i + 255])]) + bytes(out[i:i + 255])
                     for i in range(0, len(out), 255))
    return bytes([size]) + chain + b"\0"


def gif(screen, frame, indices, colors, palette, transparent=None,
        interlaced=False, local=False, background=0, defer=False, tail=b""):
    bits = max(1, (colors - 1).bit_length())
    x, y, w, h = frame
    head = b"GIF89a" + struct.pack("<HHBBB", *screen,
                                   0 if local else 0x80 | (bits - 1),
                                   background, 0)
    palette = palette[:3 << bits]
    out = head + (b"" if local else palette)
    out += b"!\xfe\5hello\0"
    if transparent is not None:
        out += b"!\xf9\4" + bytes([1, 0, 0, transparent]) + b"\0"
    out += b"," + struct.pack("<HHHHB", x, y, w, h,
                              (0x80 | (bits - 1) if local else 0)
                              | (0x40 if interlaced else 0))
    out += palette if local else b""
    rows = indices.reshape(h, w)
    if interlaced:
        rows = np.concatenate([rows[0::8], rows[4::8], rows[2::4],
                               rows[1::2]])
    return out + lzw(rows.ravel(), max(2, bits), defer) + tail + b";"


def gifs():
    rng = np.random.RandomState(13)
    palette = rng.bytes(768)
    v = np.array(GREY).astype(int) >> 3
    save("plain.gif", gif((W, H), (0, 0, W, H), v, 32, palette))
    save("interlaced.gif", gif((W, H), (0, 0, W, H), v, 32, palette,
                               interlaced=True))
    save("transparent.gif", gif((W, H), (0, 0, W, H), v, 32, palette,
                                transparent=int(v[5, 5])))
    save("small-frame.gif", gif((W + 9, H + 5), (4, 3, W, H), v, 32, palette,
                                background=3, local=True, interlaced=True))
    save("large-frame.gif", gif((8, 8), (2, 1, W, H), v, 32, palette))
    whole = gif((W, H), (0, 0, W, H), v, 32, palette)
    cut = whole[:10] + b"\x83" + whole[11:13 + 48] + whole[13 + 96:]
    save("beyond-palette.gif", cut)
    save("two-colours.gif", gif((W, H), (0, 0, W, H), v >> 4, 2, palette))
    noise = rng.randint(0, 256, (96, 96))
    save("kept-table.gif", gif((96, 96), (0, 0, 96, 96), noise, 256, palette,
                               defer=True))
    save("cleared-table.gif", gif((96, 96), (0, 0, 96, 96), noise % 64, 64,
                                  palette))
    flat = np.zeros((90, 100), int)
    save("flat.gif", gif((100, 90), (0, 0, 100, 90), flat, 4, palette))
    second = b"," + struct.pack("<HHHHB", 0, 0, W, H, 0) + lzw(
        (31 - v).ravel(), 5)
    save("two-frames.gif", gif((W, H), (0, 0, W, H), v, 32, palette,
                               tail=second))


def bmps():
    rng = np.random.RandomState(17)
    rgb = drawing(PW, PH)
    image = Image.fromarray(rgb)
    grey = image.convert("L")
    save("24.bmp", encode(image, "bmp"))
    save("8.bmp", encode(image.convert("P", palette=Image.Palette.ADAPTIVE),
                         "bmp"))
    save("grey.bmp", encode(grey, "bmp"))
    save("1.bmp", encode(image.convert("1"), "bmp"))

    def bmp(header, bits, height, rows, compression=0, extra=b"",
            palette=b""):
        body = b"".join(r + bytes(-len(r) % 4) for r in rows)
        info = struct.pack("<IiiHHIIiiII", header, PW, height, 1, bits,
                           compression, len(body), 2835, 2835, 0, 0) + extra
        offset = 14 + len(info) + len(palette)
        return (b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset)
                + info + palette + body)

    v = np.array(grey) >> 4
    pairs = np.concatenate([v, np.zeros((PH, 1), np.uint8)], 1)
    pairs = pairs[:, 0::2] << 4 | pairs[:, 1::2]
    save("4.bmp", bmp(40, 4, PH, [r.tobytes() for r in pairs[::-1]],
                      palette=rng.bytes(64)))
    alpha = (np.arange(PW)[None, :, None] * 8 + np.zeros((PH, 1, 1), int)) % 256
    bgra = np.concatenate([rgb[..., ::-1], alpha.astype(np.uint8)], -1)
    save("32.bmp", bmp(40, 32, PH, [r.tobytes() for r in bgra[::-1]]))
    opaque = bgra.copy()
    opaque[..., 3] = 0
    save("32-no-alpha.bmp", bmp(40, 32, PH,
                                [r.tobytes() for r in opaque[::-1]]))
    save("24-top-down.bmp", bmp(40, 24, -PH,
                                [r[:, ::-1].tobytes() for r in rgb]))
    masks = struct.pack("<IIII", 0xff000000, 0xff0000, 0xff00, 0xff)
    abgr = np.concatenate([alpha.astype(np.uint8), rgb[..., ::-1]], -1)
    save("32-masks.bmp", bmp(108, 32, PH, [r.tobytes() for r in abgr[::-1]],
                             3, masks + bytes(52)))
    r, g, b = (rgb[..., i].astype(int) for i in range(3))
    for name, value, masks in [
            ("555", (r >> 3) << 10 | (g >> 3) << 5 | b >> 3, None),
            ("565", (r >> 3) << 11 | (g >> 2) << 5 | b >> 3,
             (0xf800, 0x7e0, 0x1f))]:
        rows = [x.astype("<u2").tobytes() for x in value[::-1]]
        extra = struct.pack("<III", *masks) if masks else b""
        save("16-%s.bmp" % name, bmp(40, 16, PH, rows, 3 if masks else 0,
                                     b"", extra))
    core = b"".join(x[:, ::-1].tobytes() + bytes(-3 * PW % 4)
                    for x in rgb[::-1])
    save("24-core.bmp", b"BM" + struct.pack("<IHHI", 26 + len(core), 0, 0, 26)
         + struct.pack("<IHHHH", 12, PW, PH, 1, 24) + core)


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
    for folder in (OUT, BROKEN):
        os.makedirs(folder, exist_ok=True)
    jpegs()
    pngs()
    gifs()
    bmps()
    broken()
    for folder in (OUT, BROKEN):
        files = [os.path.join(folder, f) for f in os.listdir(folder)]
        print("%s: %d files, %d bytes" % (os.path.basename(folder),
                                          len(files),
                                          sum(map(os.path.getsize, files))))


if __name__ == "__main__":
    sys.exit(main())
