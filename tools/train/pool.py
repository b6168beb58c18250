#!/usr/bin/env python3
"""Decodes the admitted images once, small: pool.py IMAGES POOL   (IMAGES: what fetch_images made)

POOL gets cutouts.npz and backgrounds.npz and sources.tsv, the list of what was used. Every image belongs to one of three
splits by a hash of its name (a cut-out's without digits, so that the variants of one drawing stay together): train, val
(choosing heads), test (the figures). What is in val or test is never trained on.
"""
import hashlib
import pathlib
import re
import sys

import numpy
from PIL import Image

import admit

SIDE = 160  # of a cut-out's longer side
SHORT = 288  # of a background's shorter side
Image.MAX_IMAGE_PIXELS = None


def kind_of(name: str) -> str:
    """The stem without digits: what the variants of one drawing share."""
    return re.sub(r"[0-9]+", "", pathlib.PurePath(name).stem.lower()).strip("_-. ")


def split_of(name: str) -> int:
    """0 train (70 %), 1 val (10 %), 2 test (20 %)."""
    part = hashlib.sha256(name.encode()).digest()[0] % 10
    return 0 if part < 7 else 1 if part < 8 else 2


def useful(image: Image.Image) -> Image.Image | None:
    """The part inside the alpha's box, if that is an object and not a filled rectangle or a few lines."""
    image = image.convert("RGBA")
    box = image.getchannel("A").point(lambda a: 255 * (a > 127)).getbbox()
    if not box or min(box[2] - box[0], box[3] - box[1]) < 40:
        return None
    image = image.crop(box)
    cover = (numpy.asarray(image)[..., 3] > 127).mean()
    aspect = image.width / image.height
    if not 0.2 < cover < 0.93 or not 0.25 < aspect < 4:
        return None
    scale = SIDE / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    premultiplied = image.convert("RGBa").resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    return premultiplied.convert("RGBA")


def make(images: pathlib.Path, pool: pathlib.Path) -> None:
    pool.mkdir(parents=True, exist_ok=True)
    rows, arrays, seen = [], [], set()
    pixels, sizes, names, splits, labels = [], [], [], [], []
    categories = sorted({e["category"] for e in admit.cutouts(images) if e["category"]})
    for entry in admit.cutouts(images):
        try:
            image = useful(Image.open(entry["path"]))
        except (OSError, SyntaxError):
            continue
        if image is None:
            continue
        thumb = numpy.asarray(image.resize((8, 8))).astype(int) // 24
        if thumb.tobytes() in seen:
            continue  # the same picture under two names
        seen.add(thumb.tobytes())
        square = numpy.zeros((SIDE, SIDE, 4), numpy.uint8)
        square[: image.height, : image.width] = numpy.asarray(image)
        pixels.append(square)
        sizes.append((image.height, image.width))
        names.append(entry["name"])
        splits.append(split_of(kind_of(entry["name"])))
        labels.append(categories.index(entry["category"]) if entry["category"] else -1)
        rows.append((entry, splits[-1]))
    numpy.savez(pool / "cutouts.npz", pixels=numpy.stack(pixels), sizes=numpy.array(sizes), names=numpy.array(names),
                splits=numpy.array(splits), labels=numpy.array(labels), categories=numpy.array(categories))
    print(len(pixels), "cut-outs", {c: labels.count(i) for i, c in enumerate(categories)})
    splits, flat = [], []
    for entry in admit.backgrounds(images):
        image = Image.open(entry["path"]).convert("RGB")
        scale = SHORT / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC,
                             reducing_gap=2.0)
        arrays.append(numpy.asarray(image)[:, : 2 * SHORT])
        splits.append(split_of(entry["name"]))
        rows.append((entry, splits[-1]))
    for array in arrays:
        flat.append(array.reshape(-1))
    numpy.savez(pool / "backgrounds.npz", pixels=numpy.concatenate(flat), splits=numpy.array(splits),
                names=numpy.array([entry["name"] for entry in admit.backgrounds(images)]),
                shapes=numpy.array([array.shape[:2] for array in arrays]))
    print(len(arrays), "backgrounds")
    with open(pool / "sources.tsv", "w", encoding="utf-8") as file:
        file.write("package\tfile\tlicence\tby\tsplit\n")
        for entry, split in rows:
            file.write("\t".join((entry["package"], entry["name"], entry["licence"], entry["holder"],
                                  ("train", "val", "test")[split])) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    make(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
