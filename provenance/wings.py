"""Paint the textures of a species: wings (upper side and underside) and body.

Textures are painted once per species. Each image only transforms them, which is fast. Wing
coordinates follow the veins: `u` from the base (0) to the margin (1), and `v` from the leading edge
(0) to the trailing edge (1).
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from provenance.noise import Floats, fractal, stream
from provenance.species import Colour, Mark, Species, Wing

# A texture is a square of SIDE fore-wing lengths and PAINTED pixels. ORIGINS are the positions of
# the wing's base, (right, down) from the upper left corner, in fore-wing lengths.
SIDE = 1.5
PAINTED = 256
ORIGINS = {"fore": (0.15, 1.1), "hind": (0.25, 0.3), "body": (0.75, 0.8)}


@dataclass(frozen=True)
class WingChart:
    """Wing coordinates of the pixels that show a wing; all fields but `cover` are (pixels,)."""

    cover: Floats  # the wing's opacity, (PAINTED, PAINTED): the pixels are those above 0
    x: Floats  # from the base, outwards and forwards, in fore-wing lengths
    y: Floats
    reach: Floats  # distance from the base to the margin, on the same ray
    u: Floats
    v: Floats
    arc: Floats  # length of the wing's arc at the same distance from the base
    cells: int  # between its veins
    rough: Floats  # noise, for irregular edges

    @property
    def across(self) -> Floats:
        """Position within a cell between two veins: -0.5 on one vein, 0.5 on the next."""
        return np.asarray(self.v * self.cells % 1 - 0.5)


@functools.lru_cache(maxsize=256)
def textures(species: Species, size: int) -> dict[str, Image.Image]:
    """Return RGBA textures, size x size pixels: "fore upper", "fore under", ..., and "body"."""
    painted = {"body": _body(species)}
    for part, wing, index in (("fore", species.fore, 0), ("hind", species.hind, 1)):
        rng = stream("wing", species.key, part)
        chart, scales = _chart(wing, part, rng), fractal(rng, PAINTED, (24, 24), 4, 1.0)
        for side, inks in (("upper", species.inks), ("under", species.under_inks)):
            marks = getattr(species, side)[index]
            painted[f"{part} {side}"] = _paint(chart, marks, inks, scales)
    box = Image.Resampling.BOX
    return {name: image.resize((size, size), box) for name, image in painted.items()}


@functools.lru_cache(maxsize=512)
def outline(wing: Wing) -> Floats:
    """Return points (x, y) on a wing's margin, float64 (33, 2), in fore-wing lengths."""
    v = np.linspace(0, 1, 33)
    radius = _margin(wing, v) + _tails(wing, v)
    angle = wing.start - v * wing.span - wing.bend * radius**2
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)


def _margin(wing: Wing, v: Floats) -> Floats:
    """Return the distance from base to margin at each `v`, without scallops and tails.

    The margin is a line from the tip to the trailing corner, with a bulge, a wave and a hook.
    """
    v = v.clip(0, 1)
    chord = np.sin(v * wing.span) + wing.trailing * np.sin((1 - v) * wing.span)
    margin = wing.trailing * math.sin(wing.span) / chord
    margin = margin + wing.bulge * np.sin(np.pi * v) + wing.wave * np.sin(3 * np.pi * v)
    margin -= wing.hook * np.exp(-(((v - 0.38) / 0.16) ** 2))
    return wing.length * margin


def _tails(wing: Wing, v: Floats) -> Floats:
    reach = np.zeros_like(v)
    for place, length, width in wing.tails:
        reach += length * np.exp(-(((v - place) / width) ** 4))
    return reach


def _grid(part: str) -> tuple[Floats, Floats]:
    along = (np.arange(PAINTED) + 0.5) * SIDE / PAINTED
    left, top = ORIGINS[part]
    x, y = np.meshgrid(along - left, top - along)
    return x, y


def _chart(wing: Wing, part: str, rng: np.random.Generator) -> WingChart:
    x, y = _grid(part)
    radius = np.hypot(x, y)
    # The cut where the angle wraps around must lie behind the wing's back, not across it.
    back = wing.start - wing.span / 2 - np.pi
    angle = (np.arctan2(y, x) - back) % (2 * np.pi) + back
    v = (wing.start - wing.bend * radius**2 - angle) / wing.span
    arc, reach = radius * wing.span, _margin(wing, v)
    rough = fractal(rng, PAINTED, (12, 12), 4, 0.7)
    cover = _cover(wing, v, np.minimum(v, 1 - v) * arc, reach + 0.006 * rough - radius)
    visible = cover > 0
    x, y, reach, u, v, arc, rough = (
        field[visible] for field in (x, y, reach, radius / reach, v, arc, rough)
    )
    return WingChart(cover, x, y, reach, u, v, arc, wing.cells, rough)


def _cover(wing: Wing, v: Floats, aside: Floats, ahead: Floats) -> Floats:
    """Return the wing's opacity, from the distances to its straight edges and to its margin."""
    ahead = ahead + wing.scallop * np.cos(2 * np.pi * v * wing.cells) + _tails(wing, v)
    # Round the corners where the margin meets the leading and the trailing edge.
    corner = 1 - (np.minimum(v, 1 - v) / 0.14).clip(0, 1)
    ahead = ahead - 0.25 * _margin(wing, v) * corner**2.5
    return _soft(np.minimum(ahead, aside) * PAINTED / SIDE, 1.0)


def _soft(inside: Floats, width: float = 0.02) -> Floats:
    """Return opacity 0 to 1: a step at 0 of `inside`, softened over `width`."""
    return (inside / width + 0.5).clip(0, 1)


def _base(chart: WingChart, mark: Mark) -> Floats:
    return _soft(mark.size + mark.tilt * (chart.v - 0.5) - chart.u, 0.12)


def _margin_band(chart: WingChart, mark: Mark) -> Floats:
    width = mark.size * (1 + mark.tilt * np.cos(2 * np.pi * chart.v * chart.cells))
    return _soft(width - (1 - chart.u) * chart.reach)


def _band(chart: WingChart, mark: Mark) -> Floats:
    off = chart.u - mark.place - mark.tilt * (chart.v - 0.5)
    off = off + 0.03 * np.sin(2 * np.pi * chart.v * chart.cells)
    return _soft(mark.size / 2 - np.abs(off))


def _bar(chart: WingChart, mark: Mark) -> Floats:
    """Return a straight band that continues over both wings."""
    return _soft(mark.size / 2 - np.abs(chart.x - mark.tilt * chart.y - mark.place))


def _apex(chart: WingChart, mark: Mark) -> Floats:
    return _soft(chart.u - mark.place - mark.tilt * chart.v, 0.05)


def _veins(chart: WingChart, mark: Mark) -> Floats:
    off = (0.5 - np.abs(chart.across)) * chart.arc / chart.cells
    return _soft(mark.size - off, 0.012) * _soft(chart.u - 0.1, 0.2)


def _rays(chart: WingChart, mark: Mark) -> Floats:
    return (
        _soft(mark.size - np.abs(chart.across), 0.1)
        * _soft(chart.u - mark.place, 0.04)
        * _soft(0.9 - chart.u, 0.04)
    )


def _stripes(chart: WingChart, mark: Mark) -> Floats:
    phase = mark.place * (chart.x - mark.tilt * chart.y)
    return _soft(mark.size - 2 * np.abs(phase % 1 - 0.5), 0.1)


def _checks(chart: WingChart, mark: Mark) -> Floats:
    row = np.floor(chart.u * mark.place + mark.tilt)
    odd = (row + np.floor(chart.v * chart.cells)) % 2
    within = np.maximum(np.abs(chart.across), np.abs((chart.u * mark.place + mark.tilt) % 1 - 0.5))
    return odd * _soft(mark.size / 1.6 - within, 0.12)


def _bars(chart: WingChart, mark: Mark) -> Floats:
    """Return short bars across the cell in the middle of the inner wing."""
    beat = _soft(mark.size - 2 * np.abs(chart.u * 2 * mark.place % 1 - 0.5), 0.15)
    return (
        beat
        * _soft(0.24 - np.abs(chart.v - 0.3), 0.04)
        * _soft(0.22 - np.abs(chart.u - 0.36), 0.03)
    )


def _marble(chart: WingChart, mark: Mark) -> Floats:
    net = 0.12 * (0.5 - np.abs(chart.across) * 2)
    return _soft(chart.rough * mark.tilt * 0.6 - net - mark.size, 0.08)


def _spots(chart: WingChart, mark: Mark) -> Floats:
    """Return a spot in each cell, longer along the veins if the tilt is positive."""
    along = (chart.u - mark.place) * chart.reach / (1 + mark.tilt)
    return _soft(mark.size - np.hypot(along, chart.across * chart.arc / chart.cells))


def _disc(chart: WingChart, mark: Mark) -> Floats:
    """Return one round spot at `v` = tilt."""
    along = (chart.u - mark.place) * chart.reach
    return _soft(mark.size - np.hypot(along, (chart.v - mark.tilt) * chart.arc))


def _lunules(chart: WingChart, mark: Mark) -> Floats:
    along = (chart.u - mark.place) * chart.reach
    aside = chart.across * chart.arc / chart.cells
    hollow = np.hypot(along + mark.tilt * mark.size, aside)
    return np.minimum(_soft(mark.size - np.hypot(along, aside)), _soft(hollow - mark.size * 0.85))


SHAPES: dict[str, Callable[[WingChart, Mark], Floats]] = {
    "base": _base,
    "margin": _margin_band,
    "band": _band,
    "bar": _bar,
    "apex": _apex,
    "veins": _veins,
    "rays": _rays,
    "stripes": _stripes,
    "checks": _checks,
    "bars": _bars,
    "marble": _marble,
    "spots": _spots,
    "disc": _disc,
    "lunules": _lunules,
}


def _paint(
    chart: WingChart, marks: tuple[Mark, ...], inks: tuple[Colour, ...], scales: Floats
) -> Image.Image:
    # Noise in the coordinates makes the edges ragged, like rows of scales.
    shift = 0.02 * chart.rough
    worn = replace(chart, u=chart.u + shift, v=chart.v - shift / 2)
    cell = (np.floor(worn.v * worn.cells) + 0.5) / worn.cells
    rgb = np.broadcast_to(np.array(inks[0]), (cell.size, 3))
    for mark in marks:
        within = (cell >= mark.first) & (cell <= mark.last)
        cover = SHAPES[mark.shape](worn, mark) * within
        rgb = rgb + cover[:, None] * (np.array(inks[mark.ink]) - rgb)
    visible = chart.cover > 0
    picture = np.zeros((PAINTED, PAINTED, 3))
    picture[visible] = rgb * (_relief(chart) * (1 + 0.11 * scales[visible]))[:, None]
    return _image(picture, chart.cover)


def _relief(chart: WingChart) -> Floats:
    """Return the wing's brightness: veins, folds, hair, and a darker base."""
    vein = np.exp(-(((0.5 - np.abs(chart.across)) * chart.arc / chart.cells / 0.012) ** 2))
    fold = 0.09 * np.cos(2 * np.pi * chart.v * chart.cells)
    hair = 0.05 * np.sin(chart.v * 211 + 9 * chart.rough)
    return (1 + fold + hair - 0.28 * vein) * (0.62 + 0.38 * (chart.u / 0.3).clip(0, 1))


def _body(species: Species) -> Image.Image:
    """Paint abdomen, thorax, head and antennae from above, with the head at the top."""
    x, y = _grid("body")
    rng = stream("body", species.key)
    width, hair = species.body, fractal(rng, PAINTED, (40, 20), 3, 0.9)
    parts = [
        (width * 0.75, -species.abdomen / 2 - 0.02, species.abdomen / 2 + 0.04),
        (width, 0.05, 0.13),
        (width * 0.62, 0.20, width * 0.6),
    ]
    depth = np.full_like(x, -1.0)
    for half, middle, length in parts:
        depth = np.maximum(depth, 1 - (x / half) ** 2 - np.abs((y - middle) / length) ** 2.5)
    rings = np.where(y < -0.08, 0.14 * np.sin(y * 130), 0.0)
    light = (0.45 + 0.75 * np.sqrt(depth.clip(0, 1))) * (1 + rings + 0.3 * hair)
    dark, ground = np.array(species.inks[1]), np.array(species.inks[0])
    rgb = light[..., None] * (dark * 0.75 + ground * 0.2 + 14)
    cover = np.maximum(_soft(depth + 0.25 * hair, 0.25), _antennae(species, x, y))
    return _image(rgb, cover)


def _antennae(species: Species, x: Floats, y: Floats) -> Floats:
    """Return the opacity of two antennae: thin stalks that curve outwards and end in clubs."""
    along = (y - 0.21) / species.antenna
    stalk = 0.012 + 0.9 * species.antenna * (0.3 * along + 0.25 * along**2)
    half = 0.0055 + 0.012 * np.exp(-(((along - 0.95) / 0.09) ** 2))
    inside = half - np.abs(np.abs(x) - stalk) * 0.85
    return _soft(inside, 0.006) * ((along > 0) & (along < 1))


def _image(rgb: Floats, cover: Floats) -> Image.Image:
    rgba = np.concatenate([rgb, 255 * cover[..., None]], axis=-1)
    return Image.fromarray(np.rint(rgba.clip(0, 255)).astype(np.uint8))
