#!/usr/bin/env python3
"""Draws a run's log, smoothed over the dots: curves.py RUN/log.jsonl FILE.png"""
import json
import sys

from PIL import Image, ImageDraw

WIDTH, HEIGHT, LEFT, GAP = 420, 170, 56, 24
PANELS = (("loss", ("loss",)), ("attention: divergence from the mask", ("attention",)),
          ("entropy of the attention (nats)", ("entropy",)),
          ("category: cross-entropy, CLS and patches", ("category", "dense")),
          ("description: 1 - cosine, CLS and patches", ("describe", "dense describe")),
          ("patches: figure or ground, cross-entropy", ("ground",)), ("patches: own looks, squared error", ("local",)),
          ("validation at 96 px: Jaccard of the best head, k-NN", ("jaccard", "knn")))
COLOURS = ((48, 92, 160), (190, 90, 30))


def smooth(points: list[tuple[float, float]], keep: float) -> list[tuple[float, float]]:
    out, mean = [], None
    for x, y in points:
        mean = y if mean is None else keep * mean + (1 - keep) * y
        out.append((x, mean))
    return out


def main(log: str, output: str) -> None:
    rows = {}
    for line in open(log, encoding="utf-8"):
        row = json.loads(line)
        if "images" in row:  # after a restart some steps are there twice: the last counts
            rows[row["step"], "knn" in row] = row
    rows = sorted(rows.values(), key=lambda row: row["step"])
    panels = [(title, keys) for title, keys in PANELS if any(keys[0] in row for row in rows)]
    columns, lines = 2, (len(panels) + 1) // 2
    picture = Image.new("RGB", (columns * (WIDTH + GAP) + GAP, lines * (HEIGHT + 2 * GAP) + GAP), "white")
    draw = ImageDraw.Draw(picture)
    last = max(row["images"] for row in rows)
    for index, (title, keys) in enumerate(panels):
        x0 = GAP + index % columns * (WIDTH + GAP) + LEFT
        y0 = GAP + index // columns * (HEIGHT + 2 * GAP) + GAP // 2
        w, h = WIDTH - LEFT, HEIGHT - GAP
        lists = [[(row["images"], row[key]) for row in rows if key in row and row.get("size", 64) == 64] for key in keys]
        low = min(y for points in lists for _, y in points)
        high = max(y for points in lists for _, y in points)
        span = (high - low) or 1
        draw.text((x0, y0 - 14), title, fill="black")
        draw.rectangle((x0, y0, x0 + w, y0 + h), outline=(200, 200, 200))
        for part in (0, 0.5, 1):
            draw.text((x0 - 50, y0 + h - part * h - 6), f"{low + part * span:.3g}", fill="black")
            draw.text((x0 + part * w - 16, y0 + h + 3), f"{part * last / 1000:.0f}k", fill="black")
        for number, (key, points) in enumerate(zip(keys, lists)):
            where = lambda p: (x0 + p[0] / last * w, y0 + h - (p[1] - low) / span * h)
            if len(points) > 20:
                draw.point([where(p) for p in points], fill=(200, 210, 225))
                points = smooth(points, 0.85)
            draw.line([where(p) for p in points], fill=COLOURS[number], width=2)
            if len(keys) > 1:
                draw.text((x0 + w - 60, y0 + 4 + 12 * number), key, fill=COLOURS[number])
    note = "across: images seen; only steps with images of 64 pixels, so of 64 patches (even attention: 4.16 nats)"
    draw.text((GAP, picture.height - 16), note, fill="black")
    picture.save(output, optimize=True)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
