"""Training and evaluation images: cut-outs over backgrounds, made on the fly.

Image number i of a seed is a function of (seed, i) alone, so a run that was stopped goes on with the same images.
"""
import pathlib

import numpy
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

PATCH = 8
# The part of a training image that its object covers, by the image's side: a small image shows a large object, so that
# an object has about as many pixels in all of them.
AREAS = {64: (0.12, 0.80), 96: (0.06, 0.60), 128: (0.04, 0.45), 224: (0.03, 0.35)}
BILINEAR = Image.Resampling.BILINEAR
# sRGB's primaries to XYZ over the white point D65, transposed (IEC 61966-2-1).
LINEAR_TO_XYZ = (numpy.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
                 / numpy.array([[0.9505], [1.0], [1.0888]])).T.astype(numpy.float32)


class Pool:
    def __init__(self, directory: pathlib.Path) -> None:
        cut, back = numpy.load(directory / "cutouts.npz"), numpy.load(directory / "backgrounds.npz")
        self.pixels, self.sizes, self.names = cut["pixels"], cut["sizes"], cut["names"]
        self.splits, self.labels, self.categories = cut["splits"], cut["labels"], list(cut["categories"])
        ends = numpy.cumsum(back["shapes"].prod(1) * 3)
        flat = back["pixels"]
        self.backgrounds = [flat[end - h * w * 3:end].reshape(h, w, 3) for (h, w), end in zip(back["shapes"], ends)]
        self.background_splits, self.background_names = back["splits"], back["names"]

    def cutout(self, i: int) -> Image.Image:
        h, w = self.sizes[i]
        return Image.fromarray(self.pixels[i, :h, :w])

    def of_split(self, split: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        return numpy.flatnonzero(self.splits == split), numpy.flatnonzero(self.background_splits == split)


def photo_crop(pool: Pool, which: int, size: int, rng: numpy.random.Generator, smallest: float) -> Image.Image:
    array = pool.backgrounds[which]
    h, w = array.shape[:2]
    side = int(min(h, w) * rng.uniform(smallest, 1))
    y, x = int(rng.integers(h - side + 1)), int(rng.integers(w - side + 1))
    image = Image.fromarray(array[y:y + side, x:x + side]).resize((size, size), BILINEAR, reducing_gap=2.0)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


def colour(rng: numpy.random.Generator) -> tuple[int, ...]:
    return tuple(int(c) for c in rng.integers(0, 256, 3))


def procedural(size: int, rng: numpy.random.Generator) -> Image.Image:
    """Dead leaves, coloured noise of a 1/f kind, stripes, or a plain gradient."""
    kind = rng.integers(4)
    if kind == 0:
        image = Image.new("RGB", (size, size), colour(rng))
        draw = ImageDraw.Draw(image)
        for _ in range(int(rng.integers(20, 90))):
            r = size * 0.04 / max(rng.random(), 0.08)
            x, y = rng.uniform(0, size, 2)
            shape = draw.ellipse if rng.random() < 0.7 else draw.rectangle
            shape((x - r, y - r * 0.8, x + r, y + r * 0.8), fill=colour(rng))
        return image
    if kind == 1:
        total = numpy.zeros((size, size, 3), numpy.float32)
        for octave in (2, 4, 8, 16, 32):
            grid = rng.integers(0, 256, (octave, octave, 3), dtype=numpy.uint8)
            total += numpy.asarray(Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC)) / octave
        return Image.fromarray((total / 0.96875).clip(0, 255).astype(numpy.uint8))
    line = numpy.linspace(0, 1, size, dtype=numpy.float32)
    turn = rng.uniform(-1, 1, 2)
    ramp = turn[0] * line[:, None] + turn[1] * line[None]
    if kind == 2:
        ramp = numpy.sin(ramp * rng.uniform(10, 80)) * 0.5 + 0.5
    a, b = numpy.array(colour(rng)), numpy.array(colour(rng))
    return Image.fromarray((a + (b - a) * ramp.clip(0, 1)[..., None]).clip(0, 255).astype(numpy.uint8))


def place(canvas: Image.Image, mask: Image.Image, cut: Image.Image, area: float, rng: numpy.random.Generator,
          inside: bool) -> bool:
    """Pastes `cut` so that it covers `area` of the canvas, and into the mask. `inside`: all of it is to be seen, and its
    middle is away from the canvas's, or it is not done."""
    size = canvas.width
    alpha = numpy.asarray(cut.getchannel("A"))
    scale = (area * size * size / max(1, (alpha > 127).sum())) ** 0.5
    w, h = max(3, round(cut.width * scale)), max(3, round(cut.height * scale))
    if inside:
        if max(w, h) > size:
            return False
        x, y = int(rng.integers(size - w + 1)), int(rng.integers(size - h + 1))
        if max(abs(x + w / 2 - size / 2), abs(y + h / 2 - size / 2)) < 0.2 * size:
            return False
    else:
        x, y = (int(rng.uniform(-0.15 * e, size - 0.85 * e)) if e < size else int(rng.uniform(size - e, 1))
                for e in (w, h))
    small = cut.convert("RGBa").resize((w, h), BILINEAR, reducing_gap=2.0).convert("RGBA")
    a = small.getchannel("A")
    if not inside and rng.random() < 0.3:
        a = a.filter(ImageFilter.BoxBlur(float(rng.uniform(0.3, 1))))
    canvas.paste(small.convert("RGB"), (x, y), a)
    mask.paste(255, (x, y), a)
    return True


def vary(cut: Image.Image, pool: Pool, backgrounds: numpy.ndarray, rng: numpy.random.Generator) -> Image.Image:
    """A cut-out in another colour, position, or made of another stuff (a photograph seen through its outline)."""
    if rng.random() < 0.5:
        cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.4:
        cut = cut.rotate(float(rng.uniform(-25, 25)), Image.Resampling.BILINEAR, expand=True)
        cut = cut.crop(cut.getchannel("A").getbbox())
    alpha = cut.getchannel("A")
    kind = rng.random()
    if kind < 0.15:
        side = max(cut.size)
        stuff = photo_crop(pool, int(rng.choice(backgrounds)), side, rng, 0.2).crop((0, 0, *cut.size))
        shade = cut.convert("L").filter(ImageFilter.BoxBlur(3)) if rng.random() < 0.7 else None
        cut = stuff if shade is None else Image.blend(stuff, Image.composite(
            stuff, Image.new("RGB", cut.size), shade), float(rng.uniform(0.2, 0.8)))
    else:
        cut = cut.convert("RGB")
        if kind < 0.25:
            cut = Image.fromarray(numpy.asarray(cut)[..., rng.permutation(3)])
        cut = ImageEnhance.Color(cut).enhance(float(rng.uniform(0.2, 1.3)))
    cut = ImageEnhance.Brightness(cut).enhance(float(rng.uniform(0.6, 1.2)))
    cut = cut.convert("RGBA")
    cut.putalpha(alpha)
    return cut


def soft_bins(values: numpy.ndarray, centres: numpy.ndarray, width: float) -> numpy.ndarray:
    """[N] -> [N, bins], every row's sum is 1."""
    near = numpy.exp(-(((values[:, None] - centres) / width) ** 2))
    return near / near.sum(1, keepdims=True)


def colours(rgb: numpy.ndarray, alpha: numpy.ndarray) -> numpy.ndarray:
    """Square roots of a histogram of 6 x 7 x 7 cells of CIE Lab: which colours, not where. rgb in [0, 1]."""
    linear = numpy.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ LINEAR_TO_XYZ
    f = numpy.cbrt(numpy.maximum(xyz, 0.008856))
    light, red, yellow = 116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])
    edge = numpy.linspace(-60, 60, 7, dtype=numpy.float32)
    planes = soft_bins(red, edge, 14)[:, :, None] * soft_bins(yellow, edge, 14)[:, None]
    lights = soft_bins(light, numpy.arange(0, 101, 20, dtype=numpy.float32), 12)
    cells = (lights * alpha[:, None]).T @ planes.reshape(-1, 49)
    return numpy.sqrt(cells.reshape(-1) / max(1e-6, alpha.sum()))


def texture(gray: numpy.ndarray, alpha: numpy.ndarray) -> numpy.ndarray:
    """Square roots of a histogram of gradients in 8 directions and 8 strengths: how rough, not where."""
    dy, dx = numpy.gradient(gray)
    turn = (numpy.arctan2(dy, dx) % numpy.pi * (8 / numpy.pi)).astype(int) % 8
    strength = numpy.clip(numpy.log2(numpy.hypot(dx, dy) + 1e-3) + 8, 0, 7).astype(int)
    cells = numpy.bincount((turn * 8 + strength).reshape(-1), alpha.reshape(-1), 64)
    return numpy.sqrt(cells / max(1e-6, alpha.sum()))


def outlines(gray: numpy.ndarray) -> numpy.ndarray:
    """Histograms of oriented gradients of a 32 x 32 image, 8 directions in 4 x 4 cells: what edges, and where."""
    dy, dx = numpy.zeros_like(gray), numpy.zeros_like(gray)
    dy[1:-1], dx[:, 1:-1] = gray[2:] - gray[:-2], gray[:, 2:] - gray[:, :-2]
    strength, turn = numpy.hypot(dx, dy), numpy.arctan2(dy, dx) % numpy.pi * (8 / numpy.pi)
    lower = turn.astype(int) % 8
    upper_part = turn - turn.astype(int)
    bins = numpy.zeros((32, 32, 8), numpy.float32)
    numpy.put_along_axis(bins, lower[..., None], (strength * (1 - upper_part))[..., None], 2)
    numpy.put_along_axis(bins, (lower[..., None] + 1) % 8, (strength * upper_part)[..., None], 2)
    cells = bins.reshape(4, 8, 4, 8, 8).mean((1, 3))
    return (cells / (numpy.sqrt((cells ** 2).sum(2, keepdims=True)) + 0.02)).reshape(-1)


def describe(cut: Image.Image) -> list[numpy.ndarray]:
    """What a cut-out looks like, whatever it is put on and wherever: colours, texture, edges, proportions."""
    side = max(cut.size)
    square = Image.new("RGBa", (side, side))
    square.paste(cut.convert("RGBa"), ((side - cut.width) // 2, (side - cut.height) // 2))
    small = square.resize((32, 32), BILINEAR, reducing_gap=2.0)
    plain = numpy.asarray(small.convert("RGBA"), numpy.float32) / 255
    alpha = plain[..., 3]
    over = numpy.asarray(small, numpy.float32)[..., :3].mean(2) / 255 + 0.5 * alpha
    fine = numpy.asarray(square.resize((64, 64), BILINEAR, reducing_gap=2.0).convert("RGBA"), numpy.float32) / 255
    seen = alpha.reshape(-1) > 0.02
    return [colours(plain[..., :3].reshape(-1, 3)[seen], alpha.reshape(-1)[seen]),
            numpy.concatenate([texture(plain[..., :3].mean(2), alpha), texture(fine[..., :3].mean(2), fine[..., 3])]),
            outlines(over), numpy.array([cut.width / side, cut.height / side, alpha.mean()])]


class Description:
    """A linear map of a cut-out's description to `width` numbers of rank `count`, such that neighbours by their angle look
    alike: of each part the principal components, the weak ones strengthened, the parts weighted; then of all together."""

    WEIGHTS = (1.0, 0.7, 1.0, 0.3)  # colours, texture, edges, proportions

    def __init__(self, pool: Pool, count: int, width: int) -> None:
        parts = [describe(pool.cutout(i)) for i in pool.of_split(0)[0]]
        self.maps = []
        mixed = []
        for part, weight in enumerate(self.WEIGHTS):
            values = numpy.stack([p[part] for p in parts]).astype(numpy.float64)
            mean, basis = components(values, 64)
            made = (values - mean) @ basis
            basis *= weight / numpy.sqrt((made ** 2).sum(1).mean())
            self.maps.append((mean, basis))
            mixed.append((values - mean) @ basis)
        _, last = components(numpy.concatenate(mixed, 1), count)
        turn, _ = numpy.linalg.qr(numpy.random.default_rng(0).standard_normal((width, count)))
        self.last = last @ turn.T  # any turn: a layer norm takes the mean of the numbers off, and none shall suffer

    def __call__(self, cut: Image.Image) -> numpy.ndarray:
        mixed = numpy.concatenate([(values - mean) @ basis for values, (mean, basis) in zip(describe(cut), self.maps)])
        made = mixed @ self.last
        return (made / max(1e-6, float(numpy.linalg.norm(made)))).astype(numpy.float32)


def components(values: numpy.ndarray, count: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Mean and at most `count` principal components [values, count], their standard deviations raised to 0.7."""
    mean = values.mean(0)
    strengths, vectors = numpy.linalg.eigh(numpy.cov((values - mean).T))
    count = min(count, int((strengths > 1e-8).sum()))
    strengths, vectors = strengths[::-1][:count], vectors[:, ::-1][:, :count]
    vectors = vectors * numpy.sign(vectors[numpy.abs(vectors).argmax(0), numpy.arange(count)])
    return mean, vectors * strengths ** -0.15


def training_image(pool: Pool, description: Description, seed: int, index: int, size: int, plain: float,
                   views: int = 1) -> list[tuple]:
    """(pixels, how much of each patch is object, cut-out, description) of `views` images of the same cut-out, which is
    not varied, but for a flip, in the part `plain` of them."""
    rng = numpy.random.default_rng((seed, index))
    cuts, backs = pool.of_split(0)
    chosen = int(rng.choice(cuts))
    made = []
    for _ in range(views):
        kind = rng.random()
        back = (photo_crop(pool, int(rng.choice(backs)), size, rng, 0.3) if kind < 0.75 else procedural(size, rng))
        mask = Image.new("L", (size, size))
        if rng.random() < 0.12:
            other = vary(pool.cutout(int(rng.choice(cuts))), pool, backs, rng)
            place(back, mask, other, float(rng.uniform(0.03, 0.1)), rng, False)
        cut = pool.cutout(chosen)
        if rng.random() >= plain:
            cut = vary(cut, pool, backs, rng)
        elif rng.random() < 0.5:
            cut = cut.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        place(back, mask, cut, float(numpy.exp(rng.uniform(*numpy.log(AREAS[size])))), rng, False)
        if rng.random() < 0.1:
            back = back.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 1.2)) * size / 64))
        pixels = numpy.asarray(back).astype(numpy.float32)
        pixels = (pixels - 127) * rng.uniform(0.75, 1.15) + 127 + rng.uniform(-20, 20)
        if rng.random() < 0.06:
            pixels[:] = pixels.mean(2, keepdims=True)
        if rng.random() < 0.15:
            pixels += rng.normal(0, rng.uniform(1, 12), pixels.shape)
        grid = size // PATCH
        share = numpy.asarray(mask, numpy.float32).reshape(grid, PATCH, grid, PATCH).mean((1, 3)) / 255
        made.append((pixels.clip(0, 255).astype(numpy.uint8), share.reshape(-1), chosen, description(cut)))
    return made


def evaluation_image(pool: Pool, split: int, seed: int, index: int, size: int, only: numpy.ndarray | None = None,
                     area: tuple[float, float] = (0.05, 0.25)) -> tuple:
    """(pixels, mask, cut-out, background): an unchanged cut-out of the split, all of it inside, 5 to 25 % of the image, its
    middle not in the image's, over a photograph of the split."""
    cuts, backs = pool.of_split(split)
    if only is not None:
        cuts = only
    rng = numpy.random.default_rng((seed, split, index))
    while True:
        chosen = int(rng.choice(cuts)) if only is None else int(only[index % len(only)])
        behind = int(rng.choice(backs))
        back = photo_crop(pool, behind, size, rng, 0.5)
        mask = Image.new("L", (size, size))
        for attempt in range(12):
            shrink = 1 if only is None else 0.8 ** (attempt // 3)  # so that long ones fit, too
            if place(back, mask, pool.cutout(chosen), float(rng.uniform(*area)) * shrink, rng, True):
                return numpy.asarray(back), numpy.asarray(mask) > 127, chosen, behind
