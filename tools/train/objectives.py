"""What is optimised. `Composition`: supervised by the composition itself. `SelfDistillation`: DINO, with iBOT's term."""
import copy

import numpy
import torch
import torch.nn.functional as F
from torch import nn

import model

OBJECT_MASS = 0.75  # of the attention that belongs on the object; the rest keeps the context in view


class Composition(nn.Module):
    """The CLS token's last attention is drawn to the object (all heads); the CLS vector describes the cut-out (compose.py's
    describe()), names its category and tells it from all others; patches know figure from ground, and the category."""

    views = 1

    def __init__(self, basis: tuple[numpy.ndarray, numpy.ndarray], cutouts: int, categories: int, describe: float,
                 power: float, exemplar: float, category: float, dense: float) -> None:
        super().__init__()
        self.net = model.Vit()
        self.mean, self.basis = torch.from_numpy(basis[0]), torch.from_numpy(basis[1])
        # The components have the variance 1; `power` gives back some of what they had, as the last ones are hardest to see.
        strength = self.basis.norm(dim=0) ** -2
        self.importance = strength ** power / (strength ** power).mean()
        self.weights = {"describe": describe, "exemplar": exemplar, "category": category, "ground": dense, "dense": dense}
        self.exemplars = nn.Parameter(torch.randn(cutouts, model.WIDTH) * 0.1)
        self.describe = nn.Linear(model.WIDTH, self.basis.shape[1])
        self.category = nn.Linear(model.WIDTH, categories)
        self.dense = nn.Linear(model.WIDTH, 1 + categories)

    def forward(self, views: list[torch.Tensor], shares: list[torch.Tensor],
                descriptions: list[torch.Tensor], cutouts: torch.Tensor, labels: torch.Tensor,
                progress: float) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        share = shares[0]
        tokens, attention = self.net(views[0])
        tokens, attention = tokens.float(), attention.float()[:, :, 1:].log_softmax(-1)
        rest = 1 - share
        target = OBJECT_MASS * share / share.sum(1, keepdim=True).clamp_min(1e-6) \
            + (1 - OBJECT_MASS) * rest / rest.sum(1, keepdim=True).clamp_min(1e-6)
        target = target / target.sum(1, keepdim=True)
        seen = (share.sum(1) > 0.5).float()
        apart = (target * (target.clamp_min(1e-9).log())).sum(1)[:, None] - (target[:, None] * attention).sum(-1)
        parts = {"attention": (apart.mean(1) * seen).sum() / seen.sum().clamp_min(1),
                 "entropy": -(attention.exp() * attention).sum(-1).mean()}
        wanted = (descriptions[0] - self.mean) @ self.basis
        parts["describe"] = (self.importance * (self.describe(tokens[:, 0]).float() - wanted) ** 2).mean()
        cls = F.normalize(tokens[:, 0], dim=-1)
        logits = 16 * cls @ F.normalize(self.exemplars, dim=-1).T
        parts["exemplar"] = F.cross_entropy(logits, cutouts, label_smoothing=0.1)
        named = labels >= 0
        parts["category"] = F.cross_entropy(self.category(tokens[:, 0])[named], labels[named], label_smoothing=0.1)
        ground, figure = self.dense(tokens[:, 1:]).split([1, self.dense.out_features - 1], -1)
        edge = ground[..., 0] - figure.logsumexp(-1)  # the logarithm of the odds that a patch is ground
        parts["ground"] = (share * F.softplus(edge) + rest * F.softplus(-edge)).mean()
        known = figure.log_softmax(-1).gather(-1, labels.clamp_min(0)[:, None, None].expand(-1, share.shape[1], 1))[..., 0]
        weight = share * named[:, None]
        parts["dense"] = -(weight * known).sum() / weight.sum().clamp_min(1)
        loss = parts["attention"] + sum(w * parts[name] for name, w in self.weights.items() if w)
        return loss, {name: part.detach() for name, part in parts.items()}

    def after_step(self, progress: float) -> None:
        pass

    def best(self) -> model.Vit:
        return self.net


class Head(nn.Module):
    def __init__(self, prototypes: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(model.WIDTH, 512), nn.GELU(), nn.Linear(512, 128))
        self.last = nn.Parameter(torch.randn(prototypes, 128) * 0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.mlp(x), dim=-1) @ F.normalize(self.last, dim=-1).T


class SelfDistillation(nn.Module):
    """Two views of one cut-out over two backgrounds, no labels and no masks: the student's CLS token predicts the teacher's
    of the other view (DINO), its masked patches the teacher's of the same view (iBOT)."""

    views = 2

    def __init__(self, prototypes: int, student: float = 0.1, teacher: float = 0.04, masked: float = 0.3) -> None:
        super().__init__()
        self.net, self.head, self.patch_head = model.Vit(), Head(prototypes), Head(prototypes)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, model.WIDTH))
        self.teacher = copy.deepcopy(nn.ModuleList([self.net, self.head, self.patch_head])).requires_grad_(False)
        self.register_buffer("centre", torch.zeros(2, prototypes))
        self.temperatures, self.masked = (student, teacher), masked

    def forward(self, views: list[torch.Tensor], shares: list[torch.Tensor],
                descriptions: list[torch.Tensor], cutouts: torch.Tensor, labels: torch.Tensor,
                progress: float) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        both, n = torch.cat(views), len(cutouts)
        with torch.no_grad():
            tokens, _ = self.teacher[0](both)
            raw = self.teacher[1](tokens[:, 0]).float(), self.teacher[2](tokens[:, 1:]).float()
            cold = self.temperatures[1]
            wanted = ((raw[0] - self.centre[0]) / cold).softmax(-1), ((raw[1] - self.centre[1]) / cold).softmax(-1)
            for i, r in enumerate(raw):
                self.centre[i] = 0.9 * self.centre[i] + 0.1 * r.reshape(-1, r.shape[-1]).mean(0)
        hidden = torch.rand(both.shape[0], tokens.shape[1] - 1) < self.masked
        tokens, _ = self.net(both, hidden, self.mask_token)
        cls = (self.head(tokens[:, 0]).float() / self.temperatures[0]).log_softmax(-1)
        patches = (self.patch_head(tokens[:, 1:]).float() / self.temperatures[0]).log_softmax(-1)
        dino = -(torch.cat([wanted[0][n:], wanted[0][:n]]) * cls).sum(-1).mean()
        ibot = -((wanted[1] * patches).sum(-1) * hidden).sum() / hidden.sum().clamp_min(1)
        entropy = -(wanted[0] * wanted[0].clamp_min(1e-9).log()).sum(-1).mean()
        mean = wanted[0].mean(0)
        return dino + ibot, {"dino": dino.detach(), "ibot": ibot.detach(), "entropy": entropy,
                             "spread": -(mean * mean.clamp_min(1e-9).log()).sum()}

    def after_step(self, progress: float) -> None:
        momentum = 0.99 + 0.009 * progress
        pairs = zip(self.teacher.parameters(), nn.ModuleList([self.net, self.head, self.patch_head]).parameters())
        with torch.no_grad():
            for slow, fast in pairs:
                slow.mul_(momentum).add_(fast, alpha=1 - momentum)

    def best(self) -> model.Vit:
        return self.teacher[0]
