"""The tests' own small images, written and read with the standard library alone."""
import struct
import zlib


def pixels(width, height):
    """A picture with some structure: gradients, and a few blocks of other colours."""
    rows = []
    for y in range(height):
        row = bytearray()
        for x in range(width):
            block = (x * 5 // width + 3 * (y * 4 // height)) % 7
            row += bytes(((x * 255 // width + 40 * block) % 256, (y * 255 // height + 90 * block) % 256, 36 * block))
        rows.append(bytes(row))
    return b"".join(rows)


def chunk(kind, data, crc=None):
    crc = zlib.crc32(kind + data) if crc is None else crc
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png_header(width, height):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def png(width, height, rgb=None):
    rgb = pixels(width, height) if rgb is None else rgb
    rows = b"".join(b"\0" + rgb[y * width * 3 : (y + 1) * width * 3] for y in range(height))
    return PNG_SIGNATURE + png_header(width, height) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def ppm(width, height):
    return b"P6\n%d %d\n255\n" % (width, height) + pixels(width, height)


def bmp(width, height):
    stride = (3 * width + 3) // 4 * 4
    header = struct.pack("<2sIHHI", b"BM", 54 + stride * height, 0, 0, 54)
    header += struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, stride * height, 0, 0, 0, 0)
    return header + bytes(stride * height)


def jpeg(width, height, orientation=None):
    """A baseline gray JPEG of flat 8x8 blocks that get lighter in reading order; only DC coefficients."""
    codes = {0: (0b00, 2), 5: (0b01, 2)}  # DC sizes 0 and 5, and the AC end of block
    bits, count = 0, 0
    for i in range((width + 7) // 8 * ((height + 7) // 8)):
        for code, length in (codes[5], (16, 5)) if i else (codes[0],):
            bits, count = bits << length | code, count + length
        bits, count = bits << 2, count + 2  # AC: end of block is 00
    pad = -count % 8
    data = ((bits << pad) | ((1 << pad) - 1)).to_bytes((count + pad) // 8, "big").replace(b"\xff", b"\xff\x00")

    def segment(marker, body):
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body

    out = b"\xff\xd8"
    if orientation:
        tiff = b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)
        out += segment(0xE1, b"Exif\0\0" + tiff)
    out += segment(0xDB, b"\0" + bytes([8] * 64))
    out += segment(0xC0, struct.pack(">BHHB", 8, height, width, 1) + b"\x01\x11\x00")
    out += segment(0xC4, b"\x00" + bytes([0, 2] + [0] * 14) + bytes([0, 5]))
    out += segment(0xC4, b"\x10" + bytes([0, 1] + [0] * 14) + bytes([0]))
    return out + segment(0xDA, b"\x01\x01\x00\x00\x3f\x00") + data + b"\xff\xd9"


def read_png(data):
    """(width, height, RGB bytes) of an 8-bit RGB PNG that is not interlaced; checks every checksum."""
    assert data[:8] == PNG_SIGNATURE
    at, packed, width, height = 8, b"", 0, 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size])[0] == zlib.crc32(kind + body)
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert (depth, colour, interlace) == (8, 2, 0)
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    assert kind == b"IEND"
    raw, stride = zlib.decompress(packed), 3 * width
    assert len(raw) == height * (stride + 1)
    previous, out = bytearray(stride), bytearray()
    for y in range(height):
        kind = raw[y * (stride + 1)]
        row = bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        for x in range(stride):
            left = row[x - 3] if x >= 3 else 0
            corner = previous[x - 3] if x >= 3 else 0
            up = previous[x]
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = up
            elif kind == 3:
                guess = (left + up) // 2
            elif kind == 4:
                distances = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
                guess = (left, up, corner)[distances.index(min(distances))]
            else:
                guess = 0
            row[x] = (row[x] + guess) & 255
        out += row
        previous = row
    return width, height, bytes(out)
