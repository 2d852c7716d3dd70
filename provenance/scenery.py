"""Draw backgrounds and foregrounds of butterflies: foliage, flowers, ground, studio paper."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from provenance.noise import Floats, fractal

Colour = tuple[int, int, int]

# Tones that go together: three for what is far or large, then two for what stands out.
FOLIAGE = [
    "3f5a22 6f8f3a 9fb45f c9d48c 2a3a1a",
    "2f4a2c 54774a 86a07a dfe6cf 1c2b1c",
    "6b7a3a 97a05a c4c38a e9e2b0 4a4a28",
    "5d6b62 8a9a8c b3beb0 d9ddd0 37423a",
    "1d2a16 2f4420 4c6630 7fa048 10180c",
    "7a6a4c a08c66 c2b28c e4d9b8 4e4230",
    "4e7d1e 8fbf3f c3dd74 eaf2b4 24400f",
    "51452f 776642 4f5f30 b59a5a 2c2619",
]
GROUND = [
    "8a7358 a88f70 6b573f c9b592 43362a",
    "7d7a74 9b9890 5e5b56 c4c0b6 3a3835",
    "6a4630 8a5f42 4c3122 b08060 2e1e16",
    "c2ab86 d4c09c a38d6a e6d9bc 7d6a4e",
    "4d4338 6a5d4c 362e26 8d7d66 231d18",
]
PETALS = ["e8c02a", "f0ede4", "a874c4", "d8589a", "e0782c", "c43a3a", "8a8ad8", "f2d8e4"]
# The outline of a petal that points along the first axis.
PETAL = np.array(
    [
        [0, 0.3, 0.6, 0.85, 0.97, 1.0, 0.97, 0.85, 0.6, 0.3],
        [0, 0.08, 0.15, 0.16, 0.09, 0.0, -0.09, -0.16, -0.15, -0.08],
    ]
)


def backdrop(rng: np.random.Generator, size: int) -> Image.Image:
    """Return a random RGB background of size x size pixels."""
    scene = rng.choice(len(SCENES), p=[weight for weight, _ in SCENES])
    return SCENES[scene][1](rng, size)


def foreground(rng: np.random.Generator, picture: Image.Image) -> None:
    """Draw a blurred leaf or stem over one side of `picture`, in place."""
    tones = _tones(rng, FOLIAGE)
    # The colour of what is transparent shows through where the edges are blurred.
    veil = Image.new("RGBA", picture.size, (*tones[1], 0))
    turn = rng.uniform(0, 2 * np.pi)
    root = (0.5 + 0.62 * np.cos(turn), 0.5 + 0.62 * np.sin(turn))
    if rng.random() < 0.5:
        _leaf(rng, veil, root, turn + np.pi + rng.normal(0, 0.8), rng.uniform(0.3, 0.4), tones)
    else:
        aim = (0.5 + rng.normal(0, 0.2), 0.5 + rng.normal(0, 0.2))
        _stem(rng, veil, root, aim, rng.uniform(0.008, 0.022), tones[1])
    blur = ImageFilter.GaussianBlur(picture.width * rng.uniform(0.004, 0.014))
    picture.paste(veil.convert("RGB"), mask=veil.getchannel("A").filter(blur))


def _tones(rng: np.random.Generator, palettes: list[str]) -> list[Colour]:
    words = palettes[rng.integers(len(palettes))].split()
    return [_jitter(rng, word) for word in words]


def _jitter(rng: np.random.Generator, word: str) -> Colour:
    drift = rng.normal(0, 5, 3) + rng.normal(0, 8)
    red, green, blue = (np.array(list(bytes.fromhex(word))) + drift).clip(0, 255)
    return int(red), int(green), int(blue)


def _wash(rng: np.random.Generator, size: int, tones: list[Colour], cells: int) -> Floats:
    """Return patches of the tones with soft edges, (size, size, 3)."""
    wash = np.broadcast_to(np.array(tones[0], dtype=np.float64), (size, size, 3))
    for tone, octaves, share in ((tones[1], 3, 0.5), (tones[2], 2, 0.0)):
        cover = (fractal(rng, size, (cells, cells), octaves) * 1.2 + share).clip(0, 1)
        wash = wash + cover[..., None] * (np.array(tone) - wash)
    return wash


def _picture(pixels: Floats) -> Image.Image:
    return Image.fromarray(np.rint(pixels.clip(0, 255)).astype(np.uint8))


def _foliage(rng: np.random.Generator, size: int) -> Image.Image:
    """Return plants at several distances: distant ones are blurred, and a perch is in focus."""
    tones = _tones(rng, FOLIAGE)
    clutter, haze = rng.uniform(0.5, 1.6), rng.uniform(0.15, 1.0)
    # What is far is blurred so much that half the pixels, and a quarter of the time, will do.
    leaves = 1 + 0.3 * fractal(rng, size // 2, (9, 9), 4, 0.8)[..., None]
    picture = _picture(_wash(rng, size // 2, tones, int(rng.integers(2, 5))) * leaves)
    for blur, count, width in ((0.045, 5, size // 2), (0.018, 5, size), (0.008, 4, size)):
        for _ in range(rng.poisson(count * clutter)):
            _plant(rng, picture, tones)
        picture = picture.filter(ImageFilter.GaussianBlur(blur * haze * picture.width))
        picture = picture.resize((width, width), Image.Resampling.BILINEAR)
    if rng.random() < 0.7:
        _perch(rng, picture, tones)
    return picture.filter(ImageFilter.BoxBlur(rng.uniform(0.0015, 0.005) * size))


def _plant(rng: np.random.Generator, picture: Image.Image, tones: list[Colour]) -> None:
    place = tuple(rng.uniform(-0.1, 1.1, 2))
    kind, tone = rng.random(), tones[rng.integers(len(tones))]
    if kind < 0.3:
        _stem(rng, picture, (place[0], 1.1), (rng.uniform(-0.2, 1.2), -0.1), 0.012, tone)
    elif kind < 0.75:
        _leaf(rng, picture, place, rng.uniform(0, 6.3), rng.uniform(0.15, 0.5), tones)
    elif kind < 0.88:
        _disc(picture, place, rng.uniform(0.02, 0.09), tone)
    else:
        _flower(rng, picture, place, rng.uniform(0.06, 0.18))


def _perch(rng: np.random.Generator, picture: Image.Image, tones: list[Colour]) -> None:
    middle = (rng.normal(0.5, 0.12), rng.normal(0.6, 0.12))
    kind = rng.random()
    if kind < 0.4:
        _stem(rng, picture, (middle[0], 1.05), middle, 0.01, tones[1])
        _flower(rng, picture, middle, rng.uniform(0.2, 0.42))
    elif kind < 0.75:
        angle = rng.uniform(0, 6.3)
        root = (middle[0] - 0.45 * np.cos(angle), middle[1] - 0.45 * np.sin(angle))
        _leaf(rng, picture, root, angle, rng.uniform(0.8, 1.2), tones)
    else:
        _stem(rng, picture, (rng.uniform(0, 1), 1.05), (rng.uniform(0, 1), -0.05), 0.02, tones[2])


def _leaf(
    rng: np.random.Generator,
    picture: Image.Image,
    root: tuple[float, ...],
    angle: float,
    length: float,
    tones: list[Colour],
) -> None:
    """Draw a pointed leaf with its ribs; one half is lighter than the other."""
    along = np.linspace(0, 1, 11)
    half = rng.uniform(0.14, 0.3) * np.sin(np.pi * along**0.8)
    rib = rng.normal(0, 0.15) * along**2
    tone = _shade(tones[rng.integers(len(tones))], rng.uniform(0.7, 1.2))
    across = np.array([rib - half, rib, rib + half])
    right = root[0] + length * (along * np.cos(angle) - across * np.sin(angle))
    down = root[1] + length * (along * np.sin(angle) + across * np.cos(angle))
    points = np.stack([right, down], axis=-1) * picture.width
    one, middle, other = ([tuple(point) for point in line] for line in points.tolist())
    draw = ImageDraw.Draw(picture)
    for edge, light in ((one, 1.0), (other, rng.uniform(0.75, 0.95))):
        draw.polygon(edge + middle[::-1], fill=_shade(tone, light))
        ribs = [p for a, b in zip(middle[1:-3:2], edge[3::2], strict=True) for p in (a, b, a)]
        draw.line(ribs, fill=_shade(tone, light * 1.13))
    draw.line(middle, fill=_shade(tone, 1.3), width=1 + picture.width // 140)


def _shade(tone: Colour, light: float) -> Colour:
    red, green, blue = (min(255, int(channel * light)) for channel in tone)
    return red, green, blue


def _stem(
    rng: np.random.Generator,
    picture: Image.Image,
    start: tuple[float, float],
    end: tuple[float, float],
    width: float,
    tone: Colour,
) -> None:
    bow = rng.normal(0, 0.1)
    points = [
        tuple(
            picture.width * (a + t * (b - a) + bow * t * (1 - t))
            for a, b in zip(start, end, strict=True)
        )
        for t in np.linspace(0, 1, 9)
    ]
    pixels = max(1, round(width * picture.width))
    draw = ImageDraw.Draw(picture)
    draw.line(points, fill=tone, width=pixels, joint="curve")
    draw.line(points, fill=_shade(tone, 1.25), width=max(1, pixels // 3))


def _disc(picture: Image.Image, place: tuple[float, ...], radius: float, tone: Colour) -> None:
    box = [picture.width * (place[i] + sign * radius) for sign in (-1, 1) for i in (0, 1)]
    ImageDraw.Draw(picture).ellipse(box, fill=tone)


def _flower(
    rng: np.random.Generator, picture: Image.Image, place: tuple[float, ...], radius: float
) -> None:
    """Draw a daisy, or a flower head of many florets."""
    petal, heart = (_jitter(rng, str(word)) for word in rng.choice(PETALS, 2))
    if rng.random() < 0.5:
        for x, y in (place + rng.normal(0, 0.42, (28, 2)) * radius).tolist():
            _disc(picture, (x, y), radius * 0.13, _shade(petal, rng.uniform(0.5, 1.2)))
        return
    turn = rng.uniform(0, 2 * np.pi) + np.linspace(0, 2 * np.pi, rng.integers(8, 17))[1:, None]
    right = place[0] + radius * (PETAL[0] * np.cos(turn) - PETAL[1] * np.sin(turn))
    down = place[1] + radius * (PETAL[0] * np.sin(turn) + PETAL[1] * np.cos(turn))
    draw = ImageDraw.Draw(picture)
    for points in (
        (np.stack([right, down], axis=-1) * picture.width).reshape(len(turn), -1).tolist()
    ):
        draw.polygon(points, fill=_shade(petal, rng.uniform(0.75, 1.05)))
        draw.line(points[:2] + points[8:12], fill=_shade(petal, 0.75))
    _disc(picture, place, radius * 0.28, _shade(heart, 0.8))


def _soil(rng: np.random.Generator, size: int) -> Image.Image:
    """Return soil, sand, gravel or bark: noise lit from one side, with some leaves and stems."""
    tones = _tones(rng, GROUND)
    coarse = int(rng.integers(4, 14))
    stretch = int(rng.choice([1, 1, 2]))
    height = fractal(rng, size, (coarse * stretch, coarse), 5, rng.uniform(0.55, 0.8))
    slope = (height - np.roll(height, (1, 1), (0, 1))) * size / 160
    light = 1 + rng.uniform(0.4, 0.9) * slope + 0.25 * height
    picture = _picture(_wash(rng, size, tones, 6) * light[..., None])
    for _ in range(rng.poisson(4)):
        _litter(rng, picture, tones)
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.001, 0.010) * size))


def _litter(rng: np.random.Generator, picture: Image.Image, tones: list[Colour]) -> None:
    start = tuple(rng.uniform(0, 1, 2))
    if rng.random() < 0.5:
        _stem(rng, picture, start, tuple(start + rng.normal(0, 0.3, 2)), 0.008, tones[3])
    else:
        _leaf(rng, picture, start, rng.uniform(0, 6.3), rng.uniform(0.1, 0.4), tones)


def _stone(rng: np.random.Generator, size: int) -> Image.Image:
    """Return a bed of pebbles, each with a lit and a shaded side."""
    tones = _tones(rng, GROUND)
    picture = _picture(_wash(rng, size, tones, 8) * 0.6)
    radius = rng.uniform(0.03, 0.07)
    for place in rng.uniform(-0.05, 1.05, (int(0.8 / radius**1.6), 2)):
        tone, scale = tones[rng.integers(4)], radius * rng.uniform(0.5, 1.3)
        for step, light in ((0.0, 0.6), (0.25, 1.0)):
            _disc(picture, tuple(place - step * scale), scale * (1 - step), _shade(tone, light))
    return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.006, 0.014) * size))


def _studio(rng: np.random.Generator, size: int) -> Image.Image:
    """Return plain paper, white, tinted or black, with uneven light."""
    base = np.array(
        [(246, 246, 244), (232, 226, 214), (24, 24, 26), (196, 204, 210)][rng.integers(4)]
    )
    light = 1 + 0.05 * fractal(rng, size, (2, 2), 1)
    return _picture(base * light[..., None])


SCENES: list[tuple[float, Callable[[np.random.Generator, int], Image.Image]]] = [
    (0.74, _foliage),
    (0.13, _soil),
    (0.05, _stone),
    (0.08, _studio),
]
