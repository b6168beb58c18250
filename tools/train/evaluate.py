"""What a network is worth: the figures of the model card.

Jaccard: of the last layer's attention of the CLS token, the patches that together hold 60 % of a head's mass (as in the
DINO repository), against the cut-out's outline, pixel by pixel. k-NN: the category of a held-out cut-out over a held-out
background, by the 20 nearest of the training cut-outs over training backgrounds, weighted as in the DINO repository.
"""
import multiprocessing
import os

import numpy
import torch

import compose
import model

MASS, NEIGHBOURS, TEMPERATURE = 0.6, 20, 0.07
SEED = 7


def run(net: model.Vit, images: numpy.ndarray, batch: int = 8, processes: int = 1) -> tuple[numpy.ndarray, numpy.ndarray]:
    """CLS vectors [N, width], and attention of the CLS token to the patches [N, heads, patches]."""
    if processes > 1 and len(images) > processes * batch:
        parts = numpy.array_split(images, processes)
        with multiprocessing.get_context("fork").Pool(processes, os.setsid) as pool:
            made = pool.starmap(run, [(net, part, batch) for part in parts])
        return numpy.concatenate([m[0] for m in made]), numpy.concatenate([m[1] for m in made])
    cls, attention = [], []
    with torch.no_grad():
        for i in range(0, len(images), batch):
            tokens, row = net(model.normalise(torch.from_numpy(images[i:i + batch])))
            cls.append(tokens[:, 0].float().numpy())
            attention.append(row[:, :, 1:].float().exp().numpy())
    return numpy.concatenate(cls), numpy.concatenate(attention)


def kept(attention: numpy.ndarray) -> numpy.ndarray:
    """True for the patches that hold MASS: where the running sum of the sorted values exceeds 1 - MASS of the whole."""
    order = attention.argsort(-1, kind="stable")
    running = numpy.take_along_axis(attention, order, -1).cumsum(-1) / attention.sum(-1, keepdims=True)
    keep = numpy.zeros(attention.shape, bool)
    numpy.put_along_axis(keep, order, running > 1 - MASS, -1)
    return keep


def jaccard(keep: numpy.ndarray, masks: numpy.ndarray) -> numpy.ndarray:
    """keep [N, ..., patches], masks [N, size, size] -> [N, ...]"""
    size, grid = masks.shape[-1], round(keep.shape[-1] ** 0.5)
    patch = size // grid
    inside = masks.reshape(-1, grid, patch, grid, patch).sum((2, 4)).reshape(len(masks), -1)
    inside = inside.reshape(len(masks), *[1] * (keep.ndim - 2), -1)
    both = (keep * inside).sum(-1)
    return both / (keep.sum(-1) * patch * patch + inside.sum(-1) - both)


def masks_set(pool: compose.Pool, split: int, count: int, size: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    made = [compose.evaluation_image(pool, split, SEED, i, size) for i in range(count)]
    return numpy.stack([m[0] for m in made]), numpy.stack([m[1] for m in made])


def labelled_set(pool: compose.Pool, split: int, size: int, most: int | None = None,
                 each: int = 1) -> tuple[numpy.ndarray, ...]:
    """`each` images of every labelled cut-out of the split, one after the other: pixels, labels, indexes."""
    which = numpy.flatnonzero((pool.splits == split) & (pool.labels >= 0))
    if most is not None:
        which = which[numpy.random.default_rng(SEED).permutation(len(which))[:most]]
    made = [compose.evaluation_image(pool, split, SEED + 1, i, size, which, area=(0.1, 0.3))
            for i in range(len(which) * each)]
    which = numpy.tile(which, each)
    return numpy.stack([m[0] for m in made]), pool.labels[which], which


def neighbours(gallery: numpy.ndarray, labels: numpy.ndarray, queries: numpy.ndarray) -> numpy.ndarray:
    """The category of each query."""
    gallery = gallery / numpy.linalg.norm(gallery, axis=1, keepdims=True)
    queries = queries / numpy.linalg.norm(queries, axis=1, keepdims=True)
    near = queries @ gallery.T
    order = (-near).argsort(1, kind="stable")[:, :NEIGHBOURS]
    weight = numpy.exp(numpy.take_along_axis(near, order, 1) / TEMPERATURE)
    votes = numpy.zeros((len(queries), labels.max() + 1))
    for column in range(order.shape[1]):
        votes[numpy.arange(len(queries)), labels[order[:, column]]] += weight[:, column]
    return votes.argmax(1)


def thumbnails(images: numpy.ndarray, side: int = 32) -> numpy.ndarray:
    """Raw pixels as features: the image at side x side, its mean taken off."""
    n, size = images.shape[:2]
    step = size // side
    small = images.reshape(n, side, step, side, step, 3).mean((2, 4)).reshape(n, -1)
    return small - small.mean(1, keepdims=True)


def random_jaccard(keep: numpy.ndarray, masks: numpy.ndarray) -> float:
    """As many patches as `keep` has, anywhere: the mean over 20 draws."""
    rng = numpy.random.default_rng(SEED)
    return float(numpy.mean([jaccard(rng.permuted(keep, axis=-1), masks).mean() for _ in range(20)]))


def centre_jaccard(keep: numpy.ndarray, masks: numpy.ndarray) -> float:
    """As many patches as `keep` has, the nearest to the image's middle."""
    grid = round(keep.shape[-1] ** 0.5)
    line = numpy.arange(grid) - (grid - 1) / 2
    rank = (line[:, None] ** 2 + line[None] ** 2).reshape(-1).argsort(kind="stable").argsort()
    return float(jaccard(rank[None] < keep.sum(-1, keepdims=True), masks).mean())
