"""The network: a vision transformer in the layout of transformers' ViTModel, as facebook/dino-vits8, only smaller."""
import math

import torch
import torch.nn.functional as F
from torch import nn

WIDTH, HEADS, LAYERS, PATCH, MLP = 192, 3, 6, 8, 768
EPSILON = 1e-6
POSITIONS = 28  # the exported grid, 224 / 8
LEARNED = 14  # the grid that is trained; it is enlarged to whatever a batch needs, so positions are smooth at any size
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)


def normalise(images: torch.Tensor) -> torch.Tensor:
    """uint8 [N, H, W, 3] to what the network takes."""
    return (images.permute(0, 3, 1, 2).float() / 255 - MEAN) / STD


def waves(width: int, grid: int) -> torch.Tensor:
    """[1, width, grid, grid]: sines and cosines of both coordinates, from half a wave to the finest that the grid holds."""
    place = (torch.arange(grid) + 0.5) / grid
    frequency = math.pi * torch.logspace(0, math.log10(grid / 2), width // 4)
    phase = frequency[:, None] * place
    one = torch.cat([phase.sin(), phase.cos()])
    rows, columns = one[:, :, None].expand(-1, -1, grid), one[:, None, :].expand(-1, grid, -1)
    return 0.3 * torch.cat([rows, columns])[None]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.after = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.fc1 = nn.Linear(WIDTH, MLP)
        self.fc2 = nn.Linear(MLP, WIDTH)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The tokens, and the logarithm of the CLS token's attention row [N, heads, tokens]."""
        n, t, _ = x.shape
        q, k, v = self.qkv(self.before(x)).view(n, t, 3, HEADS, WIDTH // HEADS).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-2, -1) / math.sqrt(WIDTH // HEADS)
        mixed = (logits.softmax(-1) @ v).transpose(1, 2).reshape(n, t, WIDTH)
        x = x + self.out(mixed)
        x = x + self.fc2(F.gelu(self.fc1(self.after(x))))
        return x, logits[:, :, 0].log_softmax(-1)


class Vit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Linear(3 * PATCH * PATCH, WIDTH)  # the weights of a convolution with stride PATCH
        self.cls = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.cls_position = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.positions = nn.Parameter(torch.zeros(1, WIDTH, LEARNED, LEARNED))
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.trunc_normal_(m.weight, std=min(0.06, m.in_features ** -0.5))
                nn.init.zeros_(m.bias)
        nn.init.trunc_normal_(self.patches.weight, std=0.03)
        nn.init.trunc_normal_(self.cls, std=0.02)
        with torch.no_grad():
            self.positions.copy_(waves(WIDTH, LEARNED))
            for block in self.blocks:
                # Keys begin as the queries, so that a token first attends to what resembles it in content and place.
                block.qkv.weight[WIDTH:2 * WIDTH] = block.qkv.weight[:WIDTH]

    def position_grid(self, height: int, width: int) -> torch.Tensor:
        """[1, tokens, WIDTH]. The exported file holds the 28 x 28 grid; other sizes are interpolated from that one, in
        the same way as the runtime does it."""
        grid = self.positions
        if grid.shape[-1] != POSITIONS:
            grid = F.interpolate(grid, size=(POSITIONS, POSITIONS), mode="bicubic", align_corners=False)
        if (height, width) != (POSITIONS, POSITIONS):
            grid = F.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)
        return torch.cat([self.cls_position, grid.flatten(2).transpose(1, 2)], 1)

    def forward(self, images: torch.Tensor, masked: torch.Tensor | None = None,
                mask_token: torch.Tensor | None = None,
                behind: list[torch.Tensor] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised images to the tokens behind the last norm, and the last layer's attention row of the CLS token.
        `behind` is given the tokens behind every block."""
        n, _, h, w = images.shape
        gh, gw = h // PATCH, w // PATCH
        x = images.view(n, 3, gh, PATCH, gw, PATCH).permute(0, 2, 4, 1, 3, 5).reshape(n, gh * gw, 3 * PATCH * PATCH)
        x = self.patches(x)
        if masked is not None:
            x = torch.where(masked[..., None], mask_token.to(x.dtype), x)
        x = torch.cat([self.cls.expand(n, -1, -1), x], 1) + self.position_grid(gh, gw)
        attention = x
        for block in self.blocks:
            x, attention = block(x)
            if behind is not None:
                behind.append(x)
        return self.norm(x), attention
