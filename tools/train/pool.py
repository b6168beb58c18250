#!/usr/bin/env python3
"""Decodes the admitted images once, small: pool.py IMAGES POOL   (IMAGES: what fetch_images made)

POOL gets cutouts.npz and backgrounds.npz and sources.tsv, the list of what was used. Every image belongs to one of three
splits by a hash of its name (a cut-out's without digits, so that the variants of one drawing stay together): train, val
(choosing), test (the figures). What is in val or test is never trained on, and is nothing that looks like it: names do not
tell every variant (left_hand, right_hand), so a picture that correlates with one of an earlier split is left out.
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
ALIKE = 0.9  # correlation of 16 x 16 pixels; above it are variants of one drawing, and rarely two of a simple shape
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


def outline(image: Image.Image) -> numpy.ndarray:
    """16 x 16 pixels of it on grey, in a square, with mean 0 and length 1."""
    side = max(image.size)
    square = Image.new("RGBA", (side, side), (128, 128, 128, 255))
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2), image.convert("RGBA"))
    values = numpy.asarray(square.convert("RGB").resize((16, 16), Image.Resampling.BOX), numpy.float32)
    values = values - values.mean()
    return values / max(1e-6, float(numpy.linalg.norm(values)))


def unlike_earlier(outlines: list[numpy.ndarray], splits: list[int]) -> numpy.ndarray:
    """Indexes of the pictures that resemble none of an earlier split, either way round."""
    values, order = numpy.stack(outlines), numpy.array(splits)
    flat = values.reshape(len(values), -1)
    alike = numpy.maximum(flat @ flat.T, flat @ values[:, :, ::-1].reshape(len(values), -1).T)
    return numpy.flatnonzero(((alike > ALIKE) & (order[None] < order[:, None])).sum(1) == 0)


def make(images: pathlib.Path, pool: pathlib.Path) -> None:
    pool.mkdir(parents=True, exist_ok=True)
    rows, arrays, seen, outlines = [], [], set(), []
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
        outlines.append(outline(image))
        rows.append((entry, splits[-1]))
    kept = unlike_earlier(outlines, splits)
    labels = numpy.array(labels)[kept]
    numpy.savez(pool / "cutouts.npz", pixels=numpy.stack(pixels)[kept], sizes=numpy.array(sizes)[kept],
                names=numpy.array(names)[kept], splits=numpy.array(splits)[kept], labels=labels,
                categories=numpy.array(categories))
    rows = [rows[i] for i in kept]
    print(len(kept), "of", len(pixels), "cut-outs", {c: int((labels == i).sum()) for i, c in enumerate(categories)})
    splits, found, outlines = [], [], []
    for entry in admit.backgrounds(images):
        image = Image.open(entry["path"]).convert("RGB")
        scale = SHORT / min(image.size)
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC,
                             reducing_gap=2.0)
        arrays.append(numpy.asarray(image)[:, : 2 * SHORT])
        splits.append(split_of(entry["name"]))
        outlines.append(outline(image))
        found.append((entry, splits[-1]))
    kept = unlike_earlier(outlines, splits)
    numpy.savez(pool / "backgrounds.npz", pixels=numpy.concatenate([arrays[i].reshape(-1) for i in kept]),
                splits=numpy.array(splits)[kept], names=numpy.array([found[i][0]["name"] for i in kept]),
                shapes=numpy.array([arrays[i].shape[:2] for i in kept]))
    rows += [found[i] for i in kept]
    print(len(kept), "of", len(arrays), "backgrounds")
    with open(pool / "sources.tsv", "w", encoding="utf-8") as file:
        file.write("package\tfile\tlicence\tby\tsplit\n")
        for entry, split in rows:
            file.write("\t".join((entry["package"], entry["name"], entry["licence"], entry["holder"],
                                  ("train", "val", "test")[split])) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    make(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
