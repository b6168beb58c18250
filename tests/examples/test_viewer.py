#!/usr/bin/env python3
"""Runs examples/viewer on a stream of pictures, in an X server of its own where there is Xvfb: test_viewer.py VIEWER MODEL

The window that it saves must be the last picture to the bit, the picture dimmed by a map, or colours over it.
"""
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import checks
from checks import check

WIDTH, HEIGHT, PICTURES = 224, 160, 6
GRAPH_BOTTOM = 70  # the graph of the frames' times lies above


def picture(number):
    """A disc that moves over tiles."""
    rows = bytearray()
    for y in range(HEIGHT):
        for x in range(WIDTH):
            inside = (x - 40 - 20 * number) ** 2 + (y - 100) ** 2 < 900
            tile = 90 + 60 * ((x // 16 + y // 16) % 2)
            rows += bytes((230, 60, 40) if inside else (tile, tile + 20, tile - 20))
    return bytes(rows)


def read_bmp(path):
    data = path.read_bytes()
    offset, = struct.unpack_from("<I", data, 10)
    width, height, _, depth = struct.unpack_from("<iiHH", data, 18)
    check((width, abs(height), depth) == (WIDTH, HEIGHT, 24), f"{path.name}: {width}x{height}, {depth} bits")
    lines = [data[offset + y * WIDTH * 3:offset + (y + 1) * WIDTH * 3] for y in range(HEIGHT)]
    pixels = b"".join(reversed(lines) if height > 0 else lines)
    return bytes(pixels[i + 2 - 2 * (i % 3)] for i in range(len(pixels)))  # blue first


def run(viewer, model, view, stream, directory):
    path = directory / f"{view}.bmp"
    command = [viewer, model, str(path), view]
    environment = dict(os.environ)
    if shutil.which("xvfb-run") and shutil.which("xauth"):
        command = ["xvfb-run", "-a", *command]
        environment["SDL_VIDEODRIVER"] = "x11"
    else:
        environment["SDL_VIDEODRIVER"] = "dummy"
    result = subprocess.run(command, input=stream, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
                            check=False)
    text = result.stdout.decode(errors="replace")
    if result.returncode != 0 and "no Vulkan" in text:
        print(f"skipped: {text.strip()}")
        sys.exit(77)
    if result.returncode != 0 or not path.exists():
        sys.exit(f"failed: {view}: the viewer exits with {result.returncode}: {text}")
    return read_bmp(path)[GRAPH_BOTTOM * WIDTH * 3:]


def main():
    viewer, model = sys.argv[1:]
    stream = b"".join(b"P6\n%d %d\n255\n" % (WIDTH, HEIGHT) + picture(i) for i in range(PICTURES))
    last = picture(PICTURES - 1)[GRAPH_BOTTOM * WIDTH * 3:]
    with tempfile.TemporaryDirectory() as directory:
        found = {view: run(viewer, model, view, stream, pathlib.Path(directory))
                 for view in ("picture", "attention", "colours")}
    check(found["picture"] == last, "the picture is not the last one of the stream")
    kept = [seen / shown for seen, shown in zip(found["attention"], last)]
    check(max(kept) <= 1.02 and max(kept) - min(kept) > 0.5, f"attention keeps {min(kept):.2f} to {max(kept):.2f} of the picture")
    # The colours lie over the picture with 190 of 255, so that what is left of it is at least a quarter of each value.
    check(all(seen >= shown // 4 - 2 for seen, shown in zip(found["colours"], last)), "colours do not lie over the picture")
    for channel in range(3):
        values = found["colours"][channel::3]
        check(max(values) - min(values) > 60, f"colours: channel {channel} from {min(values)} to {max(values)}")
    sys.exit(checks.failures != 0)


if __name__ == "__main__":
    main()
