#!/usr/bin/env python3
"""Trains the network: train.py --pool POOL --out RUN [options]

RUN gets checkpoint.pt (every --save seconds, and at the end), log.jsonl, and model.pt, the network alone. Started again with
the same options it goes on where the checkpoint was written, with the same images and, on the same machine with the same
number of threads, the same digits. The schedule is a warm-up, a long stretch at the full rate, and a decay to zero over
--decay steps, with larger images. The decay begins at step --steps, or when a file RUN/decay appears; where it began is
in the log and in the checkpoint, so that a run can be repeated.
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import time

import numpy
import torch
from torch.utils.data import DataLoader, Dataset

import compose
import evaluate
import model
import objectives

# (side in pixels, images a step, share of the steps): about as many patches a step whatever the side.
SIZES = ((64, 32, 0.6), (96, 14, 0.25), (128, 8, 0.15))
DECAY_SIZES = ((64, 32, 0.2), (128, 8, 0.4), (224, 4, 0.4))


class Steps(Dataset):
    """Item `step` is this process's part of the step's batch."""

    def __init__(self, pool: compose.Pool, description: compose.Description, seed: int, first: int, count: int, views: int,
                 decaying: bool, part: tuple[int, int], plain: float) -> None:
        self.pool, self.description, self.seed, self.first, self.count, self.part = pool, description, seed, first, count, part
        self.views, self.sizes, self.plain = views, DECAY_SIZES if decaying else SIZES, plain

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, item: int) -> tuple:
        step = self.first + item
        draw = numpy.random.default_rng((self.seed, 1, step)).random()
        for size, batch, share in self.sizes:
            draw -= share
            if draw < 0:
                break
        made = [compose.training_image(self.pool, self.description, self.seed, step * 64 + i, size, self.plain,
                                        self.views)
                for i in range(self.part[0], batch // self.views, self.part[1])]
        pixels = [torch.from_numpy(numpy.stack([m[v][0] for m in made])) for v in range(self.views)]
        shares = [torch.from_numpy(numpy.stack([m[v][1] for m in made])) for v in range(self.views)]
        descriptions = [torch.from_numpy(numpy.stack([m[v][3] for m in made])) for v in range(self.views)]
        return step, pixels, shares, descriptions, torch.tensor([m[0][2] for m in made])


def rate(step: int, args: argparse.Namespace, decay_from: int | None) -> float:
    if decay_from is not None and step >= decay_from:
        return args.rate * 0.5 * (1 + math.cos(math.pi * min(1, (step - decay_from) / args.decay)))
    return args.rate * min(1, (step + 1) / args.warmup)


def look(net: model.Vit, pool: compose.Pool, sets: dict, size: int) -> tuple[float, float]:
    """Jaccard of the best head, and k-NN, on the validation split: small sets, to follow the run."""
    if not sets:
        sets["masks"] = evaluate.masks_set(pool, 1, 48, size)
        sets["gallery"] = evaluate.labelled_set(pool, 0, size, 600)
        sets["queries"] = evaluate.labelled_set(pool, 1, size, each=3)
    images, masks = sets["masks"]
    best = evaluate.jaccard(evaluate.kept(evaluate.run(net, images, 16)[1]), masks).mean(0).max()
    gallery, labels, _ = sets["gallery"]
    queries, truth, _ = sets["queries"]
    found = evaluate.neighbours(evaluate.run(net, gallery, 16)[0], labels, evaluate.run(net, queries, 16)[0])
    return float(best), float((found == truth).mean())


class Together:
    """Several processes of one thread each, that take every step together: less waiting for each other, on a machine that
    does other work, than threads inside one process. Gradients are added in the order of the processes."""

    def __init__(self, processes: int, values: int) -> None:
        self.gradients = torch.zeros(processes, values).share_memory_()
        self.told = torch.zeros(2, dtype=torch.int64).share_memory_()
        self.barrier = torch.multiprocessing.get_context("fork").Barrier(processes)

    def average(self, rank: int, parameters: list[torch.nn.Parameter], tell: int) -> int:
        """Leaves the mean of all gradients in `parameters`, and returns what process 0 tells."""
        at = 0
        for p in parameters:
            if p.grad is not None:
                self.gradients[rank, at:at + p.numel()] = p.grad.reshape(-1)
            at += p.numel()
        if rank == 0:
            self.told[0] = tell
        self.barrier.wait()
        mean, told = self.gradients.mean(0), int(self.told[0])
        self.barrier.wait()
        at = 0
        for p in parameters:
            p.grad = mean[at:at + p.numel()].view_as(p)
            at += p.numel()
        return told


def work(rank: int, args: argparse.Namespace, pool: compose.Pool, description: compose.Description, task: torch.nn.Module,
         together: Together) -> None:
    torch.set_num_threads(1)
    if rank > 0:
        os.setsid()  # Linux shares a busy machine's time by session
    labels = torch.from_numpy(pool.labels)
    trained = [p for p in task.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [{"params": [p for p in trained if p.dim() > 1], "weight_decay": 0.05},
         {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0}], betas=(0.9, 0.98))
    step, images, seconds, decay_from = 0, 0, 0.0, None
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, map_location="cpu")
        task.load_state_dict(state["task"])
        optimiser.load_state_dict(state["optimiser"])
        step, images, seconds, decay_from = state["step"], state["images"], state["seconds"], state["decay_from"]
    sets: dict = {}

    def log(row: dict) -> None:
        if rank == 0:
            with open(args.out / "log.jsonl", "a", encoding="utf-8") as file:
                print(json.dumps(row), file=file)

    def save() -> None:
        torch.save({"task": task.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "images": images,
                    "seconds": seconds, "decay_from": decay_from}, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)
        torch.save(task.best().state_dict(), args.out / "model.pt")

    log({key: value for key, value in vars(args).items() if key not in ("pool", "out")})
    cast = (lambda: torch.autocast("cpu", dtype=torch.bfloat16)) if args.precision == "bf16" else contextlib.nullcontext
    saved = time.monotonic()
    while True:
        if decay_from is None and step >= args.steps:
            decay_from = step
        end = decay_from + args.decay if decay_from is not None else args.steps
        end = end if args.stop is None else min(end, args.stop)
        steps = Steps(pool, description, args.seed, step, end - step, task.views, decay_from is not None,
                      (rank, args.processes), args.plain)
        begun = time.monotonic()
        for step, views, shares, texts, cutouts in DataLoader(steps, batch_size=None, num_workers=1, prefetch_factor=4):
            torch.manual_seed(hash((args.seed, step, rank)))
            progress = min(1.0, step / (args.steps + args.decay))
            for group in optimiser.param_groups:
                group["lr"] = rate(step, args, decay_from)
            with cast():
                loss, parts = task([model.normalise(v) for v in views], shares, texts, labels[cutouts],
                                   progress)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            decay_asked = together.average(rank, trained, decay_from is None and (args.out / "decay").exists())
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            task.after_step(progress)
            step += 1
            images += len(cutouts) * task.views * args.processes
            if step % args.tell == 0:
                now = time.monotonic()
                seconds, begun = seconds + now - begun, now
                parts = {key: float(value) for key, value in parts.items()}
                log({"step": step, "images": images, "seconds": round(seconds), "size": views[0].shape[1],
                     "loss": float(loss.detach()), **parts})
            if rank == 0 and (step % args.look == 0 or step == end):
                with cast():
                    row = dict(zip(("jaccard", "knn"), look(task.best(), pool, sets, args.look_size)))
                log({"step": step, "images": images, **row})
            if rank == 0 and time.monotonic() - saved > args.save:
                save()
                saved = time.monotonic()
            if decay_asked:
                decay_from = step
                log({"step": step, "decay": True})
                break
        if step >= end and (decay_from is not None or step == args.stop):
            break
    if rank == 0:
        save()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--objective", choices=("composition", "dino"), default="composition")
    parser.add_argument("--describe", type=float, default=4.0, help="weight of describing the cut-out")
    parser.add_argument("--plain", type=float, default=0.5, help="part of the images whose cut-out is not varied")
    parser.add_argument("--category", type=float, default=1.0, help="weight of the CLS token's category")
    parser.add_argument("--dense", type=float, default=1.0, help="weight of the patches' figure, ground and category")
    parser.add_argument("--prototypes", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=100, help="steps")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--decay", type=int, default=500, help="steps")
    parser.add_argument("--stop", type=int, help="end after this step, to show a restart")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--save", type=float, default=180, help="seconds between checkpoints")
    parser.add_argument("--tell", type=int, default=25, help="steps between lines of the log")
    parser.add_argument("--look", type=int, default=400, help="steps between looks at the validation split")
    parser.add_argument("--look-size", type=int, default=96)
    parser.add_argument("--precision", choices=("bf16", "f32"), default="bf16")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    pool = compose.Pool(args.pool)
    description = compose.Description(pool, 96, model.WIDTH)
    if args.objective == "composition":
        task = objectives.Composition(len(pool.categories), args.describe, args.category, args.dense)
    else:
        task = objectives.SelfDistillation(args.prototypes)
    together = Together(args.processes, sum(p.numel() for p in task.parameters() if p.requires_grad))
    context = torch.multiprocessing.get_context("fork")
    others = [context.Process(target=work, args=(rank, args, pool, description, task, together))
              for rank in range(1, args.processes)]
    for other in others:
        other.start()
    work(0, args, pool, description, task, together)
    for other in others:
        other.join()


if __name__ == "__main__":
    main()
