"""What is optimised. `Composition`: supervised by the composition itself. `SelfDistillation`: DINO, with iBOT's term."""
import copy
import math

import torch
import torch.nn.functional as F
from torch import nn

import model

OBJECT_MASS = 0.75  # of the attention that belongs on the object; the rest keeps the context in view
LOOKS = 3 * 7 + 8


def local_looks(images: torch.Tensor) -> torch.Tensor:
    """[N, patches, LOOKS]: of each patch how its pixels are spread over seven steps of light, of red to green and of blue to
    yellow, and its gradients over eight directions."""
    with torch.no_grad():
        rgb = images * model.STD + model.MEAN
        light, red, yellow = rgb.mean(1), rgb[:, 0] - rgb[:, 1], (rgb[:, 0] + rgb[:, 1]) / 2 - rgb[:, 2]
        maps = []
        for plane, low, high in ((light, 0.0, 1.0), (red, -0.5, 0.5), (yellow, -0.5, 0.5)):
            centres = torch.linspace(low, high, 7).view(1, 7, 1, 1)
            near = (-(((plane[:, None] - centres) * 7 / (high - low)) ** 2)).exp()
            maps.append(near / near.sum(1, keepdim=True).clamp_min(1e-6))
        dy = F.pad(light[:, 2:] - light[:, :-2], (0, 0, 1, 1))
        dx = F.pad(light[:, :, 2:] - light[:, :, :-2], (1, 1, 0, 0))
        turn = 2 * torch.atan2(dy, dx)
        angles = torch.arange(8).view(1, 8, 1, 1) * (math.pi / 4)
        maps.append((turn[:, None] - angles).cos().clamp_min(0) ** 2 * torch.hypot(dx, dy)[:, None] * 4)
        return 3 * F.avg_pool2d(torch.cat(maps, 1), model.PATCH).flatten(2).transpose(1, 2)


class Composition(nn.Module):
    """The CLS token's last attention is drawn to the object (all heads); the CLS vector is the cut-out's description
    (compose.py's Description, by its direction) and tells its category; patches know figure from ground, and of the figure
    both; behind the second block they still know what they look like themselves, which is what all else is made of."""

    views = 1

    def __init__(self, categories: int, describe: float, category: float, dense: float) -> None:
        super().__init__()
        self.net = model.Vit()
        self.weights = {"describe": describe, "category": category, "ground": dense, "dense": dense,
                        "dense describe": describe}
        self.local = nn.Linear(model.WIDTH, LOOKS)
        self.category = nn.Linear(model.WIDTH, categories)
        self.dense = nn.Linear(model.WIDTH, 1 + categories + model.WIDTH)

    def forward(self, views: list[torch.Tensor], shares: list[torch.Tensor],
                descriptions: list[torch.Tensor], labels: torch.Tensor,
                progress: float) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        share = shares[0]
        behind: list[torch.Tensor] = []
        tokens, attention = self.net(views[0], behind=behind)
        tokens, attention = tokens.float(), attention.float()[:, :, 1:].log_softmax(-1)
        rest = 1 - share
        target = OBJECT_MASS * share / share.sum(1, keepdim=True).clamp_min(1e-6) \
            + (1 - OBJECT_MASS) * rest / rest.sum(1, keepdim=True).clamp_min(1e-6)
        target = target / target.sum(1, keepdim=True)
        seen = (share.sum(1) > 0.5).float()
        apart = (target * (target.clamp_min(1e-9).log())).sum(1)[:, None] - (target[:, None] * attention).sum(-1)
        parts = {"attention": (apart.mean(1) * seen).sum() / seen.sum().clamp_min(1),
                 "entropy": -(attention.exp() * attention).sum(-1).mean()}
        parts["describe"] = 1 - F.cosine_similarity(tokens[:, 0], descriptions[0], dim=-1).mean()
        named = labels >= 0
        naming = F.cross_entropy(self.category(tokens[:, 0]), labels.clamp_min(0), label_smoothing=0.1, reduction="none")
        parts["category"] = (naming * named).sum() / named.sum().clamp_min(1)
        ground, figure, looks = self.dense(tokens[:, 1:]).float().split([1, self.category.out_features, model.WIDTH], -1)
        unlike = 1 - F.cosine_similarity(looks, descriptions[0][:, None], dim=-1)
        parts["dense describe"] = (share * unlike).sum() / share.sum().clamp_min(1)
        edge = ground[..., 0] - figure.logsumexp(-1)  # the logarithm of the odds that a patch is ground
        parts["ground"] = (share * F.softplus(edge) + rest * F.softplus(-edge)).mean()
        known = figure.log_softmax(-1).gather(-1, labels.clamp_min(0)[:, None, None].expand(-1, share.shape[1], 1))[..., 0]
        weight = share * named[:, None]
        parts["dense"] = -(weight * known).sum() / weight.sum().clamp_min(1)
        parts["local"] = ((self.local(behind[1][:, 1:]).float() - local_looks(views[0])) ** 2).mean()
        loss = parts["attention"] + parts["local"] + sum(w * parts[name] for name, w in self.weights.items() if w)
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
                descriptions: list[torch.Tensor], labels: torch.Tensor,
                progress: float) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        both, n = torch.cat(views), len(labels)
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
