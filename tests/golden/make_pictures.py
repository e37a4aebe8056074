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
W, H = 33, 47         # of a JPEG or a GIF
PW, PH = 19, 23       # of a PNG or a BMP, which are larger in bytes


def save(name, data):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data)


def report(folder):
    files = [os.path.join(folder, f) for f in os.listdir(folder)]
    print("%s: %d files, %d bytes" % (os.path.basename(folder), len(files),
                                      sum(map(os.path.getsize, files))))


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


def main():
    os.makedirs(OUT, exist_ok=True)
    jpegs()
    pngs()
    gifs()
    bmps()
    report(OUT)


if __name__ == "__main__":
    sys.exit(main())
