#!/usr/bin/env python3
"""Computes a model's figures: figures.py --pool POOL [--tests FOLDER] [DIRECTORY]

DIRECTORY holds what export.py wrote; beside it, figures.json is written. --tests also writes what the project's own test
needs, so that it needs neither the images nor Python packages: held-out images, their masks, the gallery, the answers.
"""
import argparse
import json
import pathlib

import numpy
import torch
from PIL import Image

import compose
import evaluate
import export
import model

SIZE = 224
VALIDATION, TEST = 60, 200  # images with masks
QUERIES_EACH = 4  # images of each held-out cut-out, over different grounds
COMMITTED = 12


def untrained(usual: bool) -> model.Vit:
    """The recipe's own start, or the usual one of such networks: small random numbers everywhere."""
    torch.manual_seed(0)
    net = model.Vit().eval()
    if usual:
        for name, p in net.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.zeros_(p)
            elif not name.endswith(("norm.weight", "before.weight", "after.weight")):
                torch.nn.init.trunc_normal_(p, std=0.02)
    return net


def sampling(hits: numpy.ndarray, others: dict[str, numpy.ndarray]) -> dict:
    """How far chance in the choice of cut-outs may have moved the accuracy, and its quotient to others' at the same images:
    bootstrap over the cut-outs, each with all of its images."""
    rounded = lambda values: [round(float(v), 3) for v in values]
    each = lambda values: values.reshape(QUERIES_EACH, -1).mean(0)
    ours = each(hits)
    draws = numpy.random.default_rng(evaluate.SEED).integers(0, len(ours), (10000, len(ours)))
    out = {"knn_95": rounded(numpy.quantile(ours[draws].mean(1), (0.025, 0.975)))}
    for name, other in others.items():
        ratio = ours[draws].mean(1) / numpy.maximum(1e-6, each(other)[draws].mean(1))
        out[f"knn_to_{name}"] = round(float(hits.mean() / other.mean()), 3)
        out[f"knn_to_{name}_95"] = rounded(numpy.quantile(ratio, (0.025, 0.975)))
    return out


def of_network(net: model.Vit, sets: dict, processes: int) -> tuple[dict, dict]:
    keep = {split: evaluate.kept(evaluate.run(net, sets[split][0], processes=processes)[1]) for split in ("val", "test")}
    heads = evaluate.jaccard(keep["val"], sets["val"][1]).mean(0)
    head = int(heads.argmax())
    chosen, masks = keep["test"][:, head], sets["test"][1]
    overlap = evaluate.jaccard(chosen, masks)
    gallery = evaluate.run(net, sets["gallery"][0], processes=processes)[0]
    queries = evaluate.run(net, sets["queries"][0], processes=processes)[0]
    found = evaluate.neighbours(gallery, sets["gallery"][1], queries)
    return {
        "head": head, "jaccard_val_heads": [round(float(v), 4) for v in heads],
        "jaccard": round(float(overlap.mean()), 4), "jaccard_standard_error":
            round(float(overlap.std() / len(overlap) ** 0.5), 4),
        "jaccard_random_mask": round(evaluate.random_jaccard(chosen, masks), 4),
        "jaccard_centre_mask": round(evaluate.centre_jaccard(chosen, masks), 4),
        "patches_kept": round(float(chosen.mean()), 4), "knn": round(float((found == sets["queries"][1]).mean()), 4),
    }, {"gallery": gallery, "hits": found == sets["queries"][1]}


def write_tests(folder: pathlib.Path, net: model.Vit, sets: dict, details: dict, figures: dict, pool: compose.Pool) -> None:
    """COMMITTED images of the test split that have a category and a mask, and what the recipe says of them."""
    folder.mkdir(parents=True, exist_ok=True)
    some = numpy.flatnonzero((pool.splits == 2) & (pool.labels >= 0))
    some = some[numpy.random.default_rng(evaluate.SEED).permutation(len(some))]
    made = [compose.evaluation_image(pool, 2, evaluate.SEED + 2, i, SIZE, some, (0.1, 0.2)) for i in range(COMMITTED)]
    images, masks = numpy.stack([m[0] for m in made]), numpy.stack([m[1] for m in made])
    cls, attention = evaluate.run(net, images)
    gallery, labels = details["gallery"].astype("<f2"), sets["gallery"][1]
    found = evaluate.neighbours(gallery.astype(numpy.float32), labels, cls)
    overlap = evaluate.jaccard(evaluate.kept(attention), masks)
    for i in range(COMMITTED):
        Image.fromarray(images[i]).save(folder / f"{i:02d}.png", optimize=True)
    grid = SIZE // model.PATCH
    inside = masks.reshape(COMMITTED, grid, model.PATCH, grid, model.PATCH).sum((2, 4))
    inside.astype(numpy.uint8).tofile(folder / "masks.u8")
    gallery.tofile(folder / "gallery.f16")
    labels.astype(numpy.uint8).tofile(folder / "gallery.labels")
    cls.astype("<f4").tofile(folder / "cls.f32")
    attention.astype("<f4").tofile(folder / "attention.f32")
    answers = [{"image": f"{i:02d}.png", "cutout": str(pool.names[m[2]]), "background": str(pool.background_names[m[3]]),
                "category": int(pool.labels[m[2]]), "found": int(found[i]),
                "jaccard": [round(float(v), 6) for v in overlap[i]]} for i, m in enumerate(made)]
    (folder / "answers.json").write_text(json.dumps({
        "categories": [str(c) for c in pool.categories], "head": figures["head"], "neighbours": evaluate.NEIGHBOURS,
        "temperature": evaluate.TEMPERATURE, "mass": evaluate.MASS, "images": answers}, indent=1) + "\n", encoding="ascii")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=pathlib.Path, required=True)
    parser.add_argument("--tests", type=pathlib.Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("directory", type=pathlib.Path, nargs="?")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pool = compose.Pool(args.pool)
    sets = {"val": evaluate.masks_set(pool, 1, VALIDATION, SIZE), "test": evaluate.masks_set(pool, 2, TEST, SIZE),
            "gallery": evaluate.labelled_set(pool, 0, SIZE),
            "queries": evaluate.labelled_set(pool, 2, SIZE, each=QUERIES_EACH)}
    baseline = args.pool / "untrained.json"  # it takes minutes, and depends on the pool alone
    if not baseline.exists():
        both = {}
        for name, usual in (("untrained", False), ("untrained_usual_start", True)):
            numbers, details = of_network(untrained(usual), sets, args.processes)
            both[name] = {**numbers, "hits": details["hits"].astype(int).tolist()}
        baseline.write_text(json.dumps(both), encoding="ascii")
    if args.directory is None:
        return
    net = export.load(args.directory)
    figures, details = of_network(net, sets, args.processes)
    truth = sets["queries"][1]
    raw = truth == evaluate.neighbours(evaluate.thumbnails(sets["gallery"][0]), sets["gallery"][1],
                                       evaluate.thumbnails(sets["queries"][0]))
    bases = json.loads(baseline.read_text(encoding="ascii"))
    base_hits = {name: numpy.array(numbers.pop("hits")) for name, numbers in bases.items()}
    figures.update(sampling(details["hits"], {**base_hits, "raw_pixels": raw}))
    result = {
        "size": SIZE, "trained": figures, **bases,
        "knn_raw_pixels": round(float(raw.mean()), 4),
        "knn_largest_category": round(float(numpy.bincount(truth).max() / len(truth)), 4),
        "categories": len(pool.categories),
        "images": {"val": VALIDATION, "test": TEST, "gallery": len(sets["gallery"][1]), "queries": len(truth)},
        "queries_of_each_cutout": QUERIES_EACH,
        "object_area": [round(float(sets["test"][1].mean((1, 2)).min()), 3),
                        round(float(sets["test"][1].mean((1, 2)).max()), 3)],
    }
    text = json.dumps(result, indent=1)
    print(text)
    (args.directory / "figures.json").write_text(text + "\n", encoding="ascii")
    if args.tests:
        write_tests(args.tests, net, sets, details, figures, pool)


if __name__ == "__main__":
    main()
